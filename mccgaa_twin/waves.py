"""The waves of a beat in lead space: QRS, ST, T and U of one ventricle, and P.

T waves keep the ventricular gradient (Wilson et al., Am Heart J 10 (1934) 46-61): what
an abnormal activation adds to the area of QRS is taken from the area of T.
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
    envelope,
    mean_axis,
)


@dataclass
class Ventricle:
    """One kind of ventricular beat in lead space, ready for any QT."""

    qrs: np.ndarray  # (8, W) from PRE_MS before QRS onset
    t_weights: np.ndarray  # (8, 22)
    st: np.ndarray  # (8,)
    duration: float  # ms
    axis: float  # degrees
    heart: Heart

    def qt(self, rr: float) -> float:
        """QT in ms at an RR interval in seconds (Fridericia), later if QRS is wide."""
        wide = 0.8 * max(self.duration - 100.0, 0.0)
        return self.heart.qtc * min(max(rr, 0.3), 1.6) ** (1 / 3) + wide

    def wave(self, qt: float) -> np.ndarray:
        """The whole beat (8, T) in mV, from PRE_MS before QRS onset to past T or U."""
        heart, step = self.heart, 1000.0 / RATE
        scale = (qt / 400.0) ** 0.6
        down = heart.t_width * scale
        up = down * heart.t_skew
        # The tangent at a Gaussian's steepest fall meets zero two deviations out.
        peak = qt - 2 * down
        time = np.arange(-PRE_MS, qt + 2.5 * down + 160 * (heart.u_wave > 0), step)
        wave = np.zeros((8, len(time)))
        wave[:, : self.qrs.shape[1]] = self.qrs[:, : len(time)]
        offset = time[None] - (peak + _DISPERSION)[:, None]
        width = np.where(offset < 0, up, down)
        wave += self.t_weights @ np.exp(-0.5 * (offset / width) ** 2)
        if self.st.any():
            wave += self.st[:, None] * self._st_window(time, peak, down)
        if heart.u_wave:
            bump = np.exp(-0.5 * ((time - qt - 90 * scale) / (32 * scale)) ** 2)
            wave += heart.u_wave * np.abs(self.t_weights.sum(axis=1))[:, None] * bump
        return wave

    def _st_window(self, time: np.ndarray, peak: float, down: float) -> np.ndarray:
        """The ST segment's course (T,), 1 at its middle."""
        start = self.duration - 22.0  # ST builds up while the last segments activate
        rise = 1 / (1 + np.exp(-(time - start) / 11.0))
        fall = 1 / (1 + np.exp((time - peak - 0.3 * down) / (0.45 * down)))
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
        return rise * fall * shape


# Apex and septum repolarise first, base and lateral wall last; ms around the T peak.
_DISPERSION = 6.0 * (anatomy.PLACES @ -anatomy.AXIS) / 3.0


def ventricle(
    heart: Heart, chest: Chest, activation: Activation, normal: Activation, rng
) -> Ventricle:
    """Turn an activation into lead waveforms.

    Args:
        heart, chest: the subject.
        activation: this kind of beat's.
        normal: the same heart's by the intact conduction system: its QRS area is the
            reference for secondary T waves.
        rng: draws the notches.

    Returns:
        Ventricle: QRS sampled, T and ST as lead weights.
    """
    step = 1000.0 / RATE
    angle = chest.blocked
    weights = chest.leads(activation.dipoles, angle)
    grid = np.arange(-PRE_MS, activation.duration + PRE_MS, step)
    qrs = envelope(weights, activation.times, activation.widths, grid)
    if heart.fragments:
        count = 4
        centre = rng.uniform(0.15, 0.95, count) * activation.duration
        vector = rng.normal(0, heart.fragments, (count, 3))
        notch = np.stack([chest.vector(v) for v in vector], axis=1)  # (8, count)
        qrs += envelope(notch, centre, rng.uniform(4, 8, count), grid)
    share = anatomy.T_WAVE * heart.t_amplitude * heart.t_gain
    primary = anatomy.NORMALS * share[:, None]
    excess = activation.dipoles - normal.dipoles * heart.alive[:, None]
    t_area = heart.t_width * (1 + heart.t_skew) / 2
    secondary = -0.7 * excess * activation.widths[:, None] / t_area
    injury = anatomy.NORMALS * (heart.mass * heart.injury)[:, None]
    st = chest.leads(injury).sum(axis=1)
    st = st + 0.3 * chest.leads(secondary, angle).sum(axis=1)
    st = st + chest.vector(heart.st_vector)
    axis = mean_axis(qrs.sum(axis=1))
    # T follows the heart's position less than QRS does.
    t_weights = chest.leads(primary, 0.5 * chest.frontal)
    t_weights = t_weights + chest.leads(secondary, angle)
    return Ventricle(qrs, t_weights, st, activation.duration, axis, heart)


# Directions of the atrial dipoles: the right atrium forward and down, the left to the
# left and back; a low ectopic focus runs upward; flutter turns in the frontal plane.
RIGHT_ATRIUM = np.array([0.80, 0.70, -0.65])
LEFT_ATRIUM = np.array([1.05, 0.30, 0.25])
ATRIAL_KINDS = {
    "sinus": (RIGHT_ATRIUM, LEFT_ATRIUM, 1.0),
    "ectopic": (np.array([0.1, 0.5, -0.6]), np.array([0.5, 0.2, 0.1]), 0.9),
    "low": (np.array([0.2, -0.7, -0.1]), np.array([0.2, -0.6, 0.2]), 0.9),
}


def p_wave(heart: Heart, chest: Chest, kind: str = "sinus") -> np.ndarray:
    """One P wave (8, T) in mV, from 20 ms before its onset.

    Args:
        heart: gives P's duration and the two atria's amplitudes.
        chest: the torso.
        kind: a key of `ATRIAL_KINDS`.
    """
    right, left, scale = ATRIAL_KINDS[kind]
    duration = heart.p_duration * scale
    time = np.arange(-20, duration + 30, 1000.0 / RATE)
    centres, width = np.array([0.36, 0.64]) * duration, duration / 5.6
    field = chest.atrial_field()
    pair = [right * heart.right_atrium, left * heart.left_atrium]
    dipoles = np.stack([field @ dipole for dipole in pair], axis=1)
    return envelope(dipoles, centres, np.array([width, width]), time)
