"""The waves of a beat in the leads: QRS, ST, T and U of one ventricle, and P.

T waves keep the ventricular gradient (Wilson et al., Am Heart J 10 (1934) 46-61): what
an abnormal activation adds to the area under QRS is taken from the area under T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mccgaa_twin import anatomy
from mccgaa_twin.physiology import (
    PRE_MS,
    RATE,
    Activation,
    Chest,
    Heart,
    Rng,
    envelope,
    mean_axis,
)

_STEP = 1000.0 / RATE  # ms per sample
# Each segment's T peak in ms around the common one, (22,): apex and septum repolarise
# first, base and lateral wall last.
_DISPERSION = 6.0 * (anatomy.PLACES @ -anatomy.AXIS) / 3.0

# Directions of the atrial dipoles: the right atrium's points forward and down, the
# left's to the left and back; a low ectopic focus runs upward. With them the duration
# of P as a share of sinus rhythm's.
_RIGHT_ATRIUM = np.array([0.80, 0.70, -0.65])
_LEFT_ATRIUM = np.array([1.05, 0.30, 0.25])
_P_WAVES = {
    "sinus": (_RIGHT_ATRIUM, _LEFT_ATRIUM, 1.0),
    "ectopic": (np.array([0.1, 0.5, -0.6]), np.array([0.5, 0.2, 0.1]), 0.9),
    "low": (np.array([0.2, -0.7, -0.1]), np.array([0.2, -0.6, 0.2]), 0.9),
    "left": (np.array([-0.5, 0.3, -0.5]), np.array([-0.4, 0.5, -0.7]), 1.0),
}


@dataclass
class Ventricle:
    """One kind of ventricular beat in the leads, ready for any QT."""

    qrs: np.ndarray  # (8, W) mV, from PRE_MS before QRS onset
    t_weights: np.ndarray  # (8, 22) mV
    st: np.ndarray  # (8,) mV
    duration: float  # ms
    axis: float  # degrees
    heart: Heart

    def qt(self, rr: float) -> float:
        """QT in ms at an RR interval in seconds (Fridericia), later if QRS is wide."""
        wide = 0.8 * max(self.duration - 100.0, 0.0)
        return self.heart.qtc * min(max(rr, 0.3), 1.6) ** (1 / 3) + wide

    def wave(self, qt: float) -> np.ndarray:
        """Make the whole beat.

        Args:
            qt: ms.

        Returns:
            (8, T) mV, from PRE_MS before QRS onset until T or U is over.
        """
        heart = self.heart
        scale = (qt / 400.0) ** 0.6  # T narrows with QT, but less than QT does
        down = heart.t_width * scale  # ms
        up = down * heart.t_skew
        # QT ends where the tangent at T's steepest fall meets the baseline, which is
        # two standard deviations after a Gaussian's peak.
        peak = qt - 2 * down
        time = np.arange(-PRE_MS, qt + 2.5 * down + 160 * (heart.u_wave > 0), _STEP)
        wave = np.zeros((8, len(time)))
        wave[:, : self.qrs.shape[1]] = self.qrs[:, : len(time)]
        peaks = peak + _DISPERSION + heart.t_delay  # (22,) ms
        offset = time[None] - peaks[:, None]  # (22, T)
        width = np.where(offset < 0, up, down)
        fall = (offset / width) ** 2
        if heart.t_power != 2.0:
            fall **= heart.t_power / 2
        wave += self.t_weights @ np.exp(-0.5 * fall)
        if self.st.any():
            wave += self.st[:, None] * self._st_course(time, peak, down)
        if heart.u_wave:  # 90 ms after T's end at a QT of 400 ms, as wide as 32 ms
            bump = np.exp(-0.5 * ((time - qt - 90 * scale) / (32 * scale)) ** 2)
            wave += heart.u_wave * np.abs(self.t_weights.sum(axis=1))[:, None] * bump
        return wave

    def _st_course(self, time: np.ndarray, peak: float, down: float) -> np.ndarray:
        """The ST segment's course (T,) in time, about 1 at its middle.

        Args:
            time: (T,) ms after QRS onset.
            peak: of T, ms.
            down: width of T's downstroke, ms.
        """
        start = self.duration - 22.0  # ST builds up while the last segments activate
        rise = 1 / (1 + np.exp(-(time - start) / 11.0))
        fall = 1 / (1 + np.exp((time - peak - 0.3 * down) / (0.45 * down)))
        # 0 at the J point, 1 at T's peak
        part = np.clip(
            (time - self.duration) / max(peak - self.duration, 40.0), 0.0, 1.3
        )
        shape = {
            "flat": 1.0,
            "up": 1.35 - 0.7 * part,  # a depression that rises towards T
            "down": 0.6 + 0.8 * part,  # a depression that deepens towards T
            "sag": 0.45 + 2.2 * part * (1.3 - part),  # digitalis: a scoop
            "dome": 0.7 + 1.2 * part * (1.3 - part),  # convex, as in infarction
        }[self.heart.st_shape]
        heart = self.heart
        bend = heart.st_slope * (part - 0.5) + heart.st_bow * part * (1.0 - part)
        return rise * fall * shape * (1 + bend)


def _notches(heart: Heart, chest: Chest, duration: float, rng: Rng, grid: np.ndarray):
    """Four small deflections (8, T) in mV at random times within QRS."""
    count = 4
    centre = rng.uniform(0.15, 0.95, count) * duration  # ms
    vector = rng.normal(0, heart.fragments, (count, 3))  # mV
    notch = np.stack([chest.vector(v) for v in vector], axis=1)  # (8, count)
    return envelope(notch, centre, rng.uniform(4, 8, count), grid)


def ventricle(
    heart: Heart, chest: Chest, activation: Activation, normal: Activation, rng: Rng
) -> Ventricle:
    """Turn an activation into waves in the leads.

    Args:
        heart, chest: the subject.
        activation: of this kind of beat.
        normal: of the same heart through the intact conduction system; the area under
            its QRS is the reference for secondary T waves.
        rng: draws the notches.

    Returns:
        Ventricle: QRS sampled, T and ST as weights in the leads.
    """
    angle = chest.blocked
    weights = chest.leads(activation.dipoles, angle)  # (8, 22)
    grid = np.arange(-PRE_MS, activation.duration + PRE_MS, _STEP)
    qrs = envelope(weights, activation.times, activation.widths, grid)  # (8, W)
    if heart.fragments:
        qrs += _notches(heart, chest, activation.duration, rng, grid)
    # Primary T: of the segments themselves. Secondary T: 70 % of the area that this
    # activation adds to QRS, with opposite sign, spread over T's width.
    share = anatomy.T_WAVE * heart.t_amplitude * heart.t_gain  # (22,) mV
    primary = anatomy.NORMALS * share[:, None]  # (22, 3)
    excess = activation.dipoles - normal.dipoles * heart.alive[:, None]
    t_area = heart.t_width * (1 + heart.t_skew) / 2
    secondary = -0.7 * excess * activation.widths[:, None] / t_area
    # ST: currents of injury, some of the secondary change, and the heart's own vector.
    injury = anatomy.NORMALS * (heart.mass * heart.injury)[:, None]
    st = chest.leads(injury).sum(axis=1)
    st = st + 0.3 * chest.leads(secondary, angle).sum(axis=1)
    st = st + chest.vector(heart.st_vector)
    axis = mean_axis(qrs.sum(axis=1))
    # T follows the heart's position less than QRS does.
    t_weights = chest.leads(primary, 0.5 * chest.frontal)
    t_weights = t_weights + chest.leads(secondary, angle)
    return Ventricle(qrs, t_weights, st, activation.duration, axis, heart)


def p_wave(heart: Heart, chest: Chest, kind: str = "sinus") -> np.ndarray:
    """Make one P wave.

    Args:
        heart: gives P's duration and the amplitudes of both atria.
        chest: the torso.
        kind: "sinus", "ectopic", "low" or "left".

    Returns:
        (8, T) mV, from 20 ms before P onset.
    """
    right, left, scale = _P_WAVES[kind]
    duration = heart.p_duration * scale  # ms
    time = np.arange(-20, duration + 30, _STEP)
    # The right atrium is activated first; two Gaussians make P, notched if it is wide.
    centres = np.array(heart.p_centres) * duration
    width = duration / heart.p_sharpness
    field = chest.atrial_field()
    pair = [right * heart.right_atrium, left * heart.left_atrium]
    field = field @ heart.p_turn
    dipoles = np.stack([field @ dipole for dipole in pair], axis=1)  # (8, 2)
    return envelope(dipoles, centres, np.array([width, width]), time)
