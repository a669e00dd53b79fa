"""Changes that findings are made of: scars, injury, inverted T waves, blocks, rhythms.

Each function changes a `Heart` in place. Strength 1 is a typical case; below 0.6 a
reader would hesitate, above 1.3 nobody would.
"""

from __future__ import annotations

import numpy as np

from mccgaa.twin import anatomy
from mccgaa.twin.physiology import Heart

Rng = np.random.Generator


def _pull(heart: Heart, mask: np.ndarray) -> float:
    """Dipole in mV that a territory makes when each unit of mass gives 1 mV."""
    total = (anatomy.NORMALS * (heart.mass * mask)[:, None]).sum(axis=0)
    return max(float(np.linalg.norm(total)), 0.15)


def scar(heart: Heart, territory: str, strength: float, rng: Rng) -> None:
    """Take a territory's depolarisation away, patchily."""
    mask = anatomy.weights(territory)
    loss = np.clip(0.80 * strength * rng.uniform(0.75, 1.25, 22), 0.0, 1.0) * mask
    heart.alive = heart.alive * (1 - loss)
    heart.fragments += 0.02 * strength


def injury(heart: Heart, territory: str, millivolt: float) -> None:
    """Shift a territory's ST: positive towards the territory, negative away from it."""
    mask = anatomy.weights(territory)
    heart.injury = heart.injury + mask * millivolt / _pull(heart, mask)


def invert_t(heart: Heart, territory: str, millivolt: float) -> None:
    """Give a territory T waves that point away from it, by so many mV of dipole."""
    mask = anatomy.weights(territory)
    total = (anatomy.NORMALS * (anatomy.T_WAVE * mask)[:, None]).sum(axis=0)
    per_unit = heart.t_amplitude * max(float(np.linalg.norm(total)), 0.05)
    heart.t_gain = heart.t_gain * (1 - 0.6 * mask) - mask * millivolt / per_unit


def subendocardial(heart: Heart, millivolt: float, shape: str) -> None:
    """Depress ST in the leads over the apex, as ischaemia of the inner wall does.

    The vector points to the right, up and back: away from V4-V6 and II, towards aVR.
    """
    away = np.array([-0.75, -0.50, 0.42])
    heart.st_vector = heart.st_vector + millivolt * away
    heart.st_shape = shape


def infarct(territory: str):
    """A change that makes an infarct of a territory, old or recent."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        scar(heart, territory, strength, rng)
        stage = rng.choice(["old", "subacute", "acute"], p=[0.62, 0.26, 0.12])
        if stage == "acute":
            injury(heart, territory, rng.uniform(0.12, 0.35) * strength)
            heart.st_shape = "dome"
        elif stage == "subacute":
            injury(heart, territory, rng.uniform(0.04, 0.14) * strength)
            invert_t(heart, territory, rng.uniform(0.10, 0.30) * strength)
            heart.st_shape = "dome"
        else:
            invert_t(heart, territory, rng.uniform(0.0, 0.18) * strength)

    return change


def ischaemia(territory: str):
    """A change that inverts T in a territory's leads, ST low or level."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        invert_t(heart, territory, rng.uniform(0.14, 0.34) * strength)
        heart.t_skew = min(heart.t_skew, 1.25)  # coronary T waves are symmetric
        injury(heart, territory, -rng.uniform(0.0, 0.08) * strength)
        heart.t_amplitude *= 0.85

    return change


def subendocardial_injury(territory: str):
    """A change that depresses ST in a territory's leads by 0.1 mV and more."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        injury(heart, territory, -rng.uniform(0.10, 0.24) * strength)
        heart.st_shape = str(rng.choice(["flat", "down"]))
        if rng.random() < 0.6:
            invert_t(heart, territory, rng.uniform(0.05, 0.2) * strength)

    return change


def block_right(heart: Heart, strength: float, rng: Rng) -> None:
    """Complete right bundle branch block: the right ventricle comes last."""
    heart.entries.pop("right", None)
    heart.qrs = float(np.clip(rng.normal(138, 12) + 6 * (strength - 1), 121, 172))
    heart.mass[anatomy.RV] *= rng.uniform(1.3, 1.9)


def block_right_partly(heart: Heart, strength: float, rng: Rng) -> None:
    """Incomplete right bundle branch block: the right ventricle comes late."""
    if "right" in heart.entries:
        heart.entries["right"] += rng.uniform(22, 36) * min(strength, 1.2)
    heart.qrs = float(np.clip(rng.normal(107, 5), 98, 118))
    heart.mass[anatomy.RV] *= rng.uniform(1.1, 1.5)


def block_left(heart: Heart, strength: float, rng: Rng) -> None:
    """Complete left bundle branch block: the septum is crossed from the right."""
    for name in ("septal", "left anterior", "left posterior"):
        heart.entries.pop(name, None)
    heart.entries["right"] = 0.0
    heart.qrs = float(np.clip(rng.normal(146, 12) + 6 * (strength - 1), 122, 180))
    heart.axis = float(np.clip(rng.normal(-8, 32), -75, 75))


def block_left_partly(heart: Heart, strength: float, rng: Rng) -> None:
    """Incomplete left bundle branch block: no septal q, QRS under 120 ms."""
    heart.entries.pop("septal", None)
    for name in ("left anterior", "left posterior"):
        if name in heart.entries:
            heart.entries[name] += rng.uniform(24, 34)
    heart.entries["right"] = 0.0
    heart.qrs = float(np.clip(rng.normal(112, 3.5), 106, 119))


def block_anterior_fascicle(heart: Heart, strength: float, rng: Rng) -> None:
    """Left anterior fascicular block: the anterior wall comes last, axis far left."""
    heart.entries.pop("left anterior", None)
    if "septal" in heart.entries:
        heart.entries["septal"] += 8.0
    heart.axis = float(rng.uniform(-76, -46))
    heart.qrs = max(heart.qrs, float(rng.uniform(92, 117)))


def block_posterior_fascicle(heart: Heart, strength: float, rng: Rng) -> None:
    """Left posterior fascicular block: the inferior wall comes last, axis right."""
    heart.entries.pop("left posterior", None)
    if "septal" in heart.entries:
        heart.entries["septal"] += 8.0
    heart.axis = float(rng.uniform(93, 128))
    heart.qrs = max(heart.qrs, float(rng.uniform(90, 117)))


def delay_diffusely(heart: Heart, strength: float, rng: Rng) -> None:
    """Slow conduction of no branch's pattern: wide and notched."""
    heart.qrs = max(heart.qrs, float(np.clip(rng.normal(119, 7), 111, 142)))
    heart.fragments += rng.uniform(0.06, 0.14) * strength
    name = str(rng.choice(sorted(heart.entries)))
    heart.entries[name] += rng.uniform(5, 18)


def preexcite(heart: Heart, strength: float, rng: Rng) -> None:
    """An accessory pathway starts a part of the base ahead of the rest."""
    segment = int(rng.choice([5, 4, 3, 2, 17]))  # lateral, posterior, septal, right
    heart.preexcitation = (segment, float(rng.uniform(38, 62) * min(strength, 1.3)))
    heart.pr = float(rng.uniform(82, 118))
    heart.qrs = float(np.clip(rng.normal(126, 10), 111, 155))
    heart.axis = None


def thicken_left(heart: Heart, strength: float, rng: Rng) -> None:
    """Left ventricular hypertrophy: more mass, axis left, often strain."""
    raise_left_voltage(heart, strength, rng)
    heart.axis = float(np.clip(rng.normal(5, 28), -40, 70))
    heart.qrs = float(np.clip(heart.qrs + rng.uniform(4, 12), 85, 116))
    if rng.random() < 0.7:
        strain = rng.uniform(0.06, 0.22) * strength
        subendocardial(heart, 0.5 * strain, "down")
        invert_t(heart, "lateral", strain)
        heart.t_amplitude *= 0.8
    if rng.random() < 0.35:
        heart.left_atrium *= 1.5


def raise_left_voltage(heart: Heart, strength: float, rng: Rng) -> None:
    """More left ventricular mass, the septum included."""
    heart.mass[anatomy.LV] *= 1 + rng.uniform(0.55, 0.95) * strength
    heart.gain = max(heart.gain, 0.95)


def thicken_right(heart: Heart, strength: float, rng: Rng) -> None:
    """Right ventricular hypertrophy: R in V1, axis right, strain in V1-V3."""
    heart.mass[anatomy.RV] *= 1 + rng.uniform(2.5, 4.5) * strength
    heart.mass[anatomy.LV] *= 0.8
    if "right" in heart.entries:
        heart.entries["right"] += rng.uniform(4, 14)
    heart.axis = float(rng.uniform(95, 150))
    heart.turn += float(rng.uniform(5, 25))
    heart.t_gain[anatomy.RV] -= rng.uniform(1.5, 4.0) * strength
    heart.right_atrium *= rng.uniform(1.1, 1.8)


def thicken_septum(heart: Heart, strength: float, rng: Rng) -> None:
    """Septal hypertrophy: deep narrow Q laterally and below, tall R in V1-V2."""
    heart.mass[anatomy.SEPTUM] *= 1 + rng.uniform(2.0, 3.2) * strength
    invert_t(heart, "lateral", 0.1 * strength)


def widen_left_atrium(heart: Heart, strength: float, rng: Rng) -> None:
    """Left atrial overload: P wide and notched, terminally negative in V1."""
    heart.p_duration = float(np.clip(rng.normal(131, 7), 121, 155))
    heart.left_atrium *= 1 + 0.8 * strength


def raise_right_atrium(heart: Heart, strength: float, rng: Rng) -> None:
    """Right atrial overload: P of 0.25 mV and more in II, pointed."""
    heart.right_atrium = float(rng.uniform(0.27, 0.36)) * max(strength, 0.9)
    heart.p_duration = min(heart.p_duration, 112.0)


def flatten_t(low: float, high: float):
    """A change that scales all T waves down to a share in [low, high]."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        heart.t_amplitude *= rng.uniform(low, high) ** min(strength, 1.3)

    return change


def vary_t(heart: Heart, strength: float, rng: Rng) -> None:
    """Nonspecific T changes: low, flat or slightly inverted in some leads."""
    heart.t_amplitude *= rng.uniform(0.35, 0.75)
    territory = str(
        rng.choice(["lateral", "inferior", "anterolateral", "anteroseptal"])
    )
    invert_t(heart, territory, rng.uniform(0.03, 0.11) * strength)


def invert_somewhere(heart: Heart, strength: float, rng: Rng) -> None:
    """T waves inverted by 0.1 mV and more in neighbouring leads."""
    territory = str(rng.choice(["lateral", "anterolateral", "inferior", "anterior"]))
    invert_t(heart, territory, rng.uniform(0.16, 0.36) * strength)


def digitalis(heart: Heart, strength: float, rng: Rng) -> None:
    """Digitalis: a scooped ST depression, low T, short QT, PR a little longer."""
    subendocardial(heart, rng.uniform(0.08, 0.16) * strength, "sag")
    heart.t_amplitude *= rng.uniform(0.3, 0.7)
    heart.qtc -= rng.uniform(20, 45)
    heart.pr += rng.uniform(5, 25)


def lengthen_qt(heart: Heart, strength: float, rng: Rng) -> None:
    """QTc of 470 ms and more."""
    heart.qtc = float(np.clip(rng.normal(492, 16) + 14 * (strength - 1), 470, 570))
    heart.t_width *= rng.uniform(1.0, 1.25)


def electrolytes(heart: Heart, strength: float, rng: Rng) -> None:
    """High potassium (tall narrow T), low potassium (flat T, U) or low calcium."""
    kind = rng.choice(
        ["high potassium", "low potassium", "low calcium"], p=[0.4, 0.4, 0.2]
    )
    if kind == "high potassium":
        heart.t_amplitude *= rng.uniform(2.0, 3.0) * min(strength, 1.2)
        heart.t_width, heart.t_skew = 28.0, 1.05
        heart.right_atrium *= 0.6
        heart.left_atrium *= 0.6
    elif kind == "low potassium":
        heart.t_amplitude *= 0.30
        heart.u_wave = float(rng.uniform(0.9, 1.6))
        subendocardial(heart, 0.07 * strength, "down")
    else:
        heart.qtc = float(rng.uniform(470, 530))
        heart.t_width *= 0.8


def aneurysm(heart: Heart, strength: float, rng: Rng) -> None:
    """Ventricular aneurysm: QS and a lasting domed ST elevation over the front."""
    scar(heart, "anteroseptal", 1.0, rng)
    injury(heart, "anteroseptal", rng.uniform(0.12, 0.24) * strength)
    invert_t(heart, "anteroseptal", rng.uniform(0.05, 0.15))
    heart.st_shape = "dome"


def depress_st(heart: Heart, strength: float, rng: Rng) -> None:
    """Nonspecific ST depression of 0.05 to 0.1 mV, level or rising."""
    shape = str(rng.choice(["flat", "up", "down"], p=[0.5, 0.2, 0.3]))
    subendocardial(heart, rng.uniform(0.06, 0.13) * strength, shape)
    heart.t_amplitude *= rng.uniform(0.6, 1.0)


def elevate_st(heart: Heart, strength: float, rng: Rng) -> None:
    """Nonspecific ST elevation, as in early repolarisation."""
    injury(
        heart,
        str(rng.choice(["anterior", "inferior", "anterolateral"])),
        0.14 * strength,
    )


def ischaemia_unspecific(heart: Heart, strength: float, rng: Rng) -> None:
    """ST depression with inverted T laterally: ischaemia or strain."""
    subendocardial(
        heart, rng.uniform(0.06, 0.16) * strength, str(rng.choice(["down", "flat"]))
    )
    invert_t(
        heart,
        str(rng.choice(["lateral", "anterolateral"])),
        rng.uniform(0.10, 0.28) * strength,
    )


def alter_qrs(heart: Heart, strength: float, rng: Rng) -> None:
    """An abnormal QRS: notches, or a small scar somewhere, or poor R progression."""
    which = rng.choice(["notches", "scar", "progression"], p=[0.35, 0.35, 0.30])
    if which == "notches":
        heart.fragments += rng.uniform(0.08, 0.16) * strength
    elif which == "scar":
        territory = str(rng.choice(["septal", "inferior", "lateral", "apical"]))
        scar(heart, territory, 0.6 * strength, rng)
    else:
        heart.turn += rng.uniform(18, 35)
        scar(heart, "anterior", 0.35, rng)


def q_waves(heart: Heart, strength: float, rng: Rng) -> None:
    """Q waves of 40 ms or a quarter of R in neighbouring leads, T as it was."""
    scar(
        heart, str(rng.choice(["inferior", "septal", "lateral"])), 0.85 * strength, rng
    )


def lower_voltage(heart: Heart, strength: float, rng: Rng) -> None:
    """Low voltage: limb leads under 0.5 mV, chest leads reduced."""
    heart.gain = (
        min(heart.gain, 1.0) * rng.uniform(0.42, 0.6) / max(strength, 0.8) ** 0.3
    )
    heart.limb_gain *= rng.uniform(0.6, 0.85)
    heart.t_amplitude *= 0.7


def raise_voltage(heart: Heart, strength: float, rng: Rng) -> None:
    """High voltage without more criteria of hypertrophy."""
    heart.gain = max(heart.gain, 1.0) * (1 + rng.uniform(0.4, 0.7) * strength)


def lengthen_pr(low: float, high: float):
    """A change that draws PR in [low, high] ms."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        heart.pr = float(low + (high - low) * rng.beta(1.3, 2.6))

    return change


def nothing(heart: Heart, strength: float, rng: Rng) -> None:
    """No change: the heart is healthy to start with."""
