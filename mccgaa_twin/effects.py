"""Changes that findings are made of: scars, injury, ST and T.

Each function changes a `Heart` in place. Strength 1 is a typical case; below 0.6 a
reader would hesitate, above 1.3 nobody would. Amplitudes are in mV. `qrs_effects` and
`rhythm_effects` hold the other changes.
"""

from __future__ import annotations

import numpy as np

from mccgaa_twin import anatomy
from mccgaa_twin.physiology import Change, Heart, Rng


def _pull(heart: Heart, mask: np.ndarray) -> float:
    """Dipole in mV that a territory makes when each unit of mass gives 1 mV.

    At least 0.15 mV, so that a small territory does not take boundless currents.
    """
    total = (anatomy.NORMALS * (heart.mass * mask)[:, None]).sum(axis=0)
    return max(float(np.linalg.norm(total)), 0.15)


def at_least(heart: Heart, millivolt: float, criterion: float) -> float:
    """Raise an amplitude to what its finding is defined by, where hearts vary."""
    return max(millivolt, criterion) if heart.variety else millivolt


def _extent(heart: Heart, territory: str) -> np.ndarray:
    """A territory in this heart as a mask over the segments, (22,) in [0, 1].

    Where `heart.patches` is above 0, up to 30 % of a segment is spared, and its
    neighbours outside the territory are touched by up to 35 %.
    """
    mask = anatomy.weights(territory)
    if not heart.patches.any():
        return mask
    spilt = np.where(mask > 0, 0.0, anatomy.NEARNESS @ mask)
    return mask * (1 - 0.3 * heart.patches) + 0.35 * heart.patches * spilt


def scar(heart: Heart, territory: str, strength: float, rng: Rng) -> None:
    """Take a territory's depolarisation away, patchily; 0.75 of it at strength 1."""
    mask = _extent(heart, territory)
    loss = np.clip(0.75 * strength * rng.uniform(0.75, 1.25, 22), 0.0, 1.0) * mask
    heart.alive = heart.alive * (1 - loss)
    heart.fragments += 0.02 * strength


def injury(heart: Heart, territory: str, millivolt: float) -> None:
    """Shift ST by so many mV, towards a territory or, if negative, away from it."""
    mask = _extent(heart, territory)
    heart.injury = heart.injury + mask * millivolt / _pull(heart, mask)


def invert_t(heart: Heart, territory: str, millivolt: float) -> None:
    """Give a territory T waves that point away from it with so many mV of dipole."""
    mask = _extent(heart, territory)
    total = (anatomy.NORMALS * (anatomy.T_WAVE * mask)[:, None]).sum(axis=0)
    per_unit = heart.t_amplitude * max(float(np.linalg.norm(total)), 0.05)
    heart.t_gain = heart.t_gain * (1 - 0.85 * mask) - mask * millivolt / per_unit


def subendocardial(heart: Heart, millivolt: float, shape: str) -> None:
    """Depress ST in the leads over the apex, as ischaemia of the inner wall does.

    The vector points to the right, up and back: away from V4-V6 and II, towards aVR.
    """
    away = np.array([-0.75, -0.50, 0.42])
    heart.st_vector = heart.st_vector + millivolt * away
    heart.st_shape = shape


def infarct(territory: str) -> Change:
    """Make a change: an infarct of a territory, old or recent."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        size = 0.75 if territory in ("anterior", "inferior") else 1.0
        scar(heart, territory, size * strength, rng)
        heart.t_amplitude *= rng.uniform(0.55, 0.95)
        # Acute: ST high. Subacute: ST settles, T inverts. Old: T has mostly recovered.
        stage = rng.choice(["old", "subacute", "acute"], p=[0.62, 0.26, 0.12])
        if stage == "acute":
            injury(heart, territory, rng.uniform(0.12, 0.35) * strength)
            heart.st_shape = "dome"
        elif stage == "subacute":
            injury(heart, territory, rng.uniform(0.04, 0.14) * strength)
            invert_t(heart, territory, rng.uniform(0.10, 0.30) * strength)
            heart.st_shape = "dome"
        else:
            invert_t(heart, territory, rng.uniform(0.0, 0.12) * strength)

    return change


def ischaemia(territory: str) -> Change:
    """Make a change: T inverted in a territory's leads, ST low or level."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        deep = 1.4 if territory in ("anterior", "anteroseptal") else 1.0
        depth = at_least(heart, rng.uniform(0.09, 0.28) * deep * strength, 0.17 * deep)
        invert_t(heart, territory, depth)
        heart.t_skew = min(heart.t_skew, 1.25)  # coronary T waves are symmetric
        injury(heart, territory, -rng.uniform(0.0, 0.08) * strength)
        heart.t_amplitude *= 0.85

    return change


def subendocardial_injury(territory: str) -> Change:
    """Make a change: ST depressed by at least 0.1 mV in a territory's leads."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        depth = at_least(heart, rng.uniform(0.10, 0.24) * strength, 0.10)
        injury(heart, territory, -depth)
        heart.st_shape = str(rng.choice(["flat", "down"]))
        if rng.random() < 0.6:
            invert_t(heart, territory, rng.uniform(0.05, 0.2) * strength)

    return change


def flatten_t(low: float, high: float) -> Change:
    """Make a change: all T waves scaled down to a share in [low, high]."""

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
    """T waves inverted by at least 0.1 mV in neighbouring leads."""
    territory = str(rng.choice(["lateral", "anterolateral", "inferior", "anterior"]))
    depth = at_least(heart, rng.uniform(0.16, 0.36) * strength, 0.12)
    invert_t(heart, territory, depth)


def digitalis(heart: Heart, strength: float, rng: Rng) -> None:
    """Digitalis: a scooped ST depression, low T, short QT, PR a little longer."""
    subendocardial(heart, rng.uniform(0.08, 0.16) * strength, "sag")
    heart.t_amplitude *= rng.uniform(0.3, 0.7)
    heart.qtc -= rng.uniform(15, 35)
    heart.pr += rng.uniform(5, 25)


def lengthen_qt(heart: Heart, strength: float, rng: Rng) -> None:
    """QTc of at least 470 ms."""
    heart.qtc = float(np.clip(rng.normal(492, 16) + 14 * (strength - 1), 470, 570))
    heart.t_width *= rng.uniform(1.0, 1.25)


def electrolytes(heart: Heart, strength: float, rng: Rng) -> None:
    """High potassium (tall narrow T), low potassium (flat T, U) or low calcium."""
    kinds = ["high potassium", "low potassium", "low calcium"]
    kind = rng.choice(kinds, p=[0.4, 0.4, 0.2])
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
    """Ventricular aneurysm: QS and a lasting domed ST elevation in anterior leads."""
    scar(heart, "anteroseptal", 1.0, rng)
    injury(heart, "anteroseptal", rng.uniform(0.12, 0.24) * strength)
    invert_t(heart, "anteroseptal", rng.uniform(0.05, 0.15))
    heart.st_shape = "dome"


def depress_st(heart: Heart, strength: float, rng: Rng) -> None:
    """Nonspecific ST depression of 0.05 to 0.1 mV, level or rising."""
    shape = str(rng.choice(["flat", "up", "down"], p=[0.5, 0.2, 0.3]))
    depth = at_least(heart, rng.uniform(0.06, 0.13) * strength, 0.095)
    subendocardial(heart, depth, shape)
    heart.t_amplitude *= rng.uniform(0.6, 1.0)


def elevate_st(heart: Heart, strength: float, rng: Rng) -> None:
    """Nonspecific ST elevation, as in early repolarisation."""
    territory = str(rng.choice(["anterior", "inferior", "anterolateral"]))
    injury(heart, territory, at_least(heart, 0.14 * strength, 0.11))


def ischaemia_unspecific(heart: Heart, strength: float, rng: Rng) -> None:
    """ST depression with inverted T laterally: ischaemia or strain."""
    depth = rng.uniform(0.06, 0.16) * strength
    subendocardial(heart, depth, str(rng.choice(["down", "flat"])))
    territory = str(rng.choice(["lateral", "anterolateral"]))
    invert_t(heart, territory, rng.uniform(0.04, 0.18) * strength)
    heart.t_amplitude *= rng.uniform(0.5, 0.9)


def nothing(heart: Heart, strength: float, rng: Rng) -> None:
    """No change: the heart is healthy to start with."""
