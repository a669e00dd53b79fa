"""How far one person's ECG may lie from another's: a twin of variety above 0.

At variety 0 hearts differ in what a textbook's normal ranges list: rate, intervals,
axis, voltages. Shapes are then much alike, as every heart is activated and repolarises
in one order and lies behind one torso. Variety lets these differ too. Intervals stay
within the limits that make a record normal, and a finding is at least as marked as its
criterion asks for; see `findings.draw_strengths` for how marked it may be.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from mccgaa.errors import MccgaaError
from mccgaa_twin import anatomy, torso
from mccgaa_twin.physiology import Heart, Rng

_REACH = 3.5  # cm over which neighbouring segments differ alike


def check(variety: float) -> float:
    """Return a variety that is in range.

    Raises:
        MccgaaError: it is not in [0, 1].
    """
    if not 0 <= variety <= 1:
        raise MccgaaError(
            f"The twin's variety is {variety}; give a number from 0 (hearts differ in "
            "rate, intervals, axis and voltage) to 1 (in all shapes and noises too)."
        )
    return float(variety)


@cache
def _correlation() -> np.ndarray:
    """Matrix (22, 22) that turns white noise into a field over the segments."""
    apart = anatomy.PLACES[:, None] - anatomy.PLACES[None]
    squared = (apart**2).sum(axis=2)  # (22, 22) cm^2
    covariance = np.exp(-0.5 * squared / _REACH**2) + 0.02 * np.eye(22)
    return np.linalg.cholesky(covariance)


def smooth_field(rng: Rng) -> np.ndarray:
    """Draw a number of mean 0 and deviation 1 per segment, neighbours alike: (22,)."""
    return _correlation() @ rng.standard_normal(22)


def vary_heart(heart: Heart, amount: float, rng: Rng) -> None:
    """Give a normal heart shapes of its own.

    Args:
        heart: changed in place; stays within normal limits.
        amount: variety in (0, 1].
        rng: the body's, so that one person keeps these shapes.
    """
    heart.variety = amount
    _vary_depolarisation(heart, amount, rng)
    _vary_repolarisation(heart, amount, rng)
    _vary_atria(heart, amount, rng)
    _vary_torso(heart, amount, rng)
    # Where a territory's scar or ischaemia is patchy, and how far it spills over.
    heart.patches = amount * rng.random(22)
    heart.focus = int(rng.integers(22))
    heart.rhythm_options["jitter"] = 0.006 * float(rng.lognormal(0, 0.6 * amount))


def _vary_depolarisation(heart: Heart, amount: float, rng: Rng) -> None:
    """Masses, order and sharpness of activation: R progression, q, r', slurs."""
    heart.mass *= np.exp(0.16 * amount * smooth_field(rng))
    # The right ventricle's share decides r and S of V1-V2 and the terminal r'.
    heart.mass[anatomy.RV] *= rng.lognormal(-0.3 * amount, 0.2 * amount)
    heart.mass[anatomy.SEPTUM] *= rng.lognormal(0, 0.2 * amount)
    heart.delay = amount * (2.0 * smooth_field(rng) + rng.normal(0, 1.0, 22))  # ms
    heart.breadth = np.exp(0.12 * amount * smooth_field(rng))
    heart.breadth = heart.breadth * rng.lognormal(0.12 * amount, 0.12 * amount)
    heart.fragments *= float(rng.lognormal(0, 0.6 * amount))
    qrs = heart.qrs + amount * rng.normal(0, 5)
    heart.qrs = heart.own_qrs = float(np.clip(qrs, 68, 107))
    heart.pr = float(np.clip(heart.pr + amount * rng.normal(0, 12), 122, 197))
    heart.axis = float(np.clip(heart.axis + amount * rng.normal(-10, 7), -28, 88))
    heart.turn += amount * float(rng.normal(0, 9))


def _vary_repolarisation(heart: Heart, amount: float, rng: Rng) -> None:
    """T of each segment in size and time, T's shape, the ST segment's course."""
    heart.t_gain = heart.t_gain * np.exp(0.15 * amount * smooth_field(rng))
    # T is low or negative in V1 of many adults.
    heart.t_gain[anatomy.RV] *= rng.lognormal(-0.4 * amount, 0.4 * amount)
    heart.t_amplitude *= float(rng.lognormal(0, 0.12 * amount))
    heart.t_delay = amount * 6.0 * smooth_field(rng)  # ms
    heart.t_width *= float(np.clip(rng.lognormal(0, 0.16 * amount), 0.7, 1.5))
    heart.t_skew = float(np.clip(heart.t_skew + amount * rng.normal(0, 0.3), 1.05, 2.4))
    # Below 2 T is pointed, above it is a dome.
    heart.t_power = float(2.0 * np.clip(rng.lognormal(0, 0.18 * amount), 0.7, 1.6))
    heart.qtc = float(np.clip(heart.qtc + amount * rng.normal(0, 14), 355, 435))
    heart.st_vector = heart.st_vector + amount * rng.normal(0, 0.007, 3)  # mV
    heart.st_slope = amount * float(rng.normal(0, 0.4))
    heart.st_bow = amount * float(rng.normal(0, 0.8))


def _vary_atria(heart: Heart, amount: float, rng: Rng) -> None:
    """P's duration, direction, notch and the share of each atrium."""
    p_duration = heart.p_duration + amount * rng.normal(0, 6)
    heart.p_duration = float(np.clip(p_duration, 74, 119))
    heart.right_atrium *= float(rng.lognormal(0, 0.32 * amount))
    heart.left_atrium *= float(rng.lognormal(0, 0.32 * amount))
    heart.p_turn = _tilt(14 * amount, rng)
    gap = 0.14 * float(np.clip(1 + amount * rng.normal(0, 0.25), 0.4, 1.5))
    heart.p_centres = (0.5 - gap, 0.5 + gap)
    heart.p_sharpness *= float(np.clip(rng.lognormal(0, 0.12 * amount), 0.75, 1.35))


def _vary_torso(heart: Heart, amount: float, rng: Rng) -> None:
    """Where the heart lies, how the body conducts, how tall the chest is."""
    heart.dower = heart.dower @ _tilt(5 * amount, rng)
    # The nearer an electrode lies to the heart, the more the wall between them counts.
    near = np.array([0.5, 0.5, 1.2, 2.0, 2.0, 1.5, 1.0, 0.8])[:, None]  # (8, 1)
    heart.dower = heart.dower * rng.lognormal(0, 0.10 * amount * near)
    heart.dower = heart.dower + amount * near * rng.normal(0, 0.04, (8, 3))
    heart.chest = heart.chest * np.exp(amount * rng.normal(0, 0.06, 3))


def vary_visit(heart: Heart, amount: float, rng: Rng) -> None:
    """Vary what differs between two records of one person.

    Args:
        heart: changed in place.
        amount: variety in (0, 1].
        rng: the record's.
    """
    heart.rate = float(np.clip(heart.rate + amount * rng.normal(1, 8), 62, 97))
    # A row of electrodes that is too high or too low, and each one on its own, in cm.
    row = rng.normal(0, 1.2) + (3.0 if rng.random() < 0.08 else 0.0)
    heart.chest = heart.chest + amount * np.array([0.0, -row, 0.0])
    heart.chest = heart.chest + amount * rng.normal(0, 0.8, (6, 3))
    heart.t_amplitude *= float(rng.lognormal(0, 0.08 * amount))


def _tilt(degrees: float, rng: Rng) -> np.ndarray:
    """Rotation (3, 3) about any axis, by an angle of this standard deviation."""
    return torso.rotation(rng.normal(0, 1, 3), float(rng.normal(0, degrees)))
