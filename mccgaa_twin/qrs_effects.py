"""Changes of P, PR and QRS that findings are made of; see `effects` for ST and T.

Each function changes a `Heart` in place; strength 1 is a typical case. Durations are in
ms. A fascicle is blocked by taking its entry away and delayed by adding to its time.
"""

from __future__ import annotations

import numpy as np

from mccgaa_twin import anatomy
from mccgaa_twin.effects import invert_t, scar, subendocardial
from mccgaa_twin.physiology import LEFT_ENTRIES, Change, Heart, Rng


def block_right(heart: Heart, strength: float, rng: Rng) -> None:
    """Complete right bundle branch block: the right ventricle comes last."""
    heart.entries.pop("right", None)
    heart.qrs = float(np.clip(rng.normal(142, 11) + 6 * (strength - 1), 124, 174))
    heart.mass[anatomy.RV] *= rng.uniform(1.9, 2.8)
    # T inverts over the right ventricle's free wall, apex and outflow tract.
    heart.t_gain[[18, 20, 21]] -= rng.uniform(0.8, 1.6)


def block_right_partly(heart: Heart, strength: float, rng: Rng) -> None:
    """Incomplete right bundle branch block: the right ventricle comes late."""
    if "right" in heart.entries:
        heart.entries["right"] += rng.uniform(34, 52) * min(strength, 1.2)
    heart.qrs = float(np.clip(rng.normal(106, 4), 100, 116))
    heart.mass[anatomy.RV] *= rng.uniform(1.6, 2.6)
    heart.mass[anatomy.SEPTUM] *= 1.4
    heart.t_gain[21] -= 1.2


def block_left(heart: Heart, strength: float, rng: Rng) -> None:
    """Complete left bundle branch block: the septum is crossed from the right."""
    for name in LEFT_ENTRIES:
        heart.entries.pop(name, None)
    heart.entries["right"] = 0.0
    heart.qrs = float(np.clip(rng.normal(146, 12) + 6 * (strength - 1), 122, 180))
    heart.blocked_axis = float(np.clip(rng.normal(-18, 32), -75, 75))
    heart.t_amplitude *= 0.7


def block_left_partly(heart: Heart, strength: float, rng: Rng) -> None:
    """Incomplete left bundle branch block: no septal q, QRS under 120 ms."""
    heart.entries.pop("septal", None)
    for name in ("left anterior", "left posterior"):
        if name in heart.entries:
            heart.entries[name] += rng.uniform(24, 34)
    heart.entries["right"] = 0.0
    heart.qrs = float(np.clip(rng.normal(113, 2.0), 110, 118))


def block_anterior_fascicle(heart: Heart, strength: float, rng: Rng) -> None:
    """Left anterior fascicular block: the anterior wall comes last, axis far left."""
    heart.entries.pop("left anterior", None)
    if "septal" in heart.entries:
        heart.entries["septal"] += 8.0
    heart.blocked_axis = float(rng.uniform(-76, -46))
    heart.qrs = max(heart.qrs, float(rng.uniform(84, 110)))


def block_posterior_fascicle(heart: Heart, strength: float, rng: Rng) -> None:
    """Left posterior fascicular block: the inferior wall comes last, axis right."""
    heart.entries.pop("left posterior", None)
    if "septal" in heart.entries:
        heart.entries["septal"] += 8.0
    heart.blocked_axis = float(rng.uniform(93, 128))
    heart.qrs = max(heart.qrs, float(rng.uniform(84, 110)))


def delay_diffusely(heart: Heart, strength: float, rng: Rng) -> None:
    """Slow conduction without the pattern of a branch: wide and notched."""
    heart.qrs = max(heart.qrs, float(np.clip(rng.normal(124, 8), 112, 148)))
    heart.fragments += rng.uniform(0.06, 0.14) * strength
    name = str(rng.choice(sorted(heart.entries)))
    heart.entries[name] += rng.uniform(5, 18)


def preexcite(heart: Heart, strength: float, rng: Rng) -> None:
    """An accessory pathway activates a part of the base ahead of the rest."""
    segment = int(rng.choice([5, 4, 3, 2, 17]))  # lateral, posterior, septal, right
    heart.preexcitation = (segment, float(rng.uniform(38, 62) * min(strength, 1.3)))
    heart.pr = float(rng.uniform(82, 118))
    heart.qrs = float(np.clip(rng.normal(126, 10), 111, 155))


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
    heart.mass[anatomy.BACK] *= rng.uniform(1.0, 1.35)
    heart.mass[anatomy.RV] *= 0.8
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
    """Right atrial overload: P of at least 0.25 mV in II, pointed."""
    heart.right_atrium = float(rng.uniform(0.27, 0.36)) * max(strength, 0.9)
    heart.p_duration = min(heart.p_duration, 112.0)


def q_waves(heart: Heart, strength: float, rng: Rng) -> None:
    """Q waves of 40 ms or a quarter of R in neighbouring leads, T unchanged."""
    territory = str(rng.choice(["inferior", "septal", "lateral"]))
    scar(heart, territory, 0.85 * strength, rng)


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


def lower_voltage(heart: Heart, strength: float, rng: Rng) -> None:
    """Low voltage: limb leads under 0.5 mV, chest leads reduced."""
    gain = min(heart.gain, 1.0) * rng.uniform(0.42, 0.6)
    heart.gain = gain / max(strength, 0.8) ** 0.3
    heart.limb_gain *= rng.uniform(0.6, 0.85)
    heart.t_amplitude *= 0.7


def raise_voltage(heart: Heart, strength: float, rng: Rng) -> None:
    """High voltage without further criteria of hypertrophy."""
    heart.gain = max(heart.gain, 1.0) * (1 + rng.uniform(0.4, 0.7) * strength)


def lengthen_pr(low: float, high: float) -> Change:
    """Make a change: PR drawn in [low, high] ms, short ones more often.

    Variety raises the upper end by up to 70 ms.
    """

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        most = high + 70 * heart.variety
        heart.pr = float(low + (most - low) * rng.beta(1.3, 2.6))

    return change
