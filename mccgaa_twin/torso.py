"""From dipoles in the heart to twelve leads on the body.

The axes are Frank's: x to the left, y to the feet, z to the back. A dipole at the
heart's centre reaches the eight independent leads through Dower's matrix [1]. A dipole
elsewhere in the heart sees a nearby chest electrode at another angle and distance, so
each position has its own matrix: Dower's plus the difference of two lead fields in an
infinite medium. III and the augmented leads are computed from I and II, so the
identities of Einthoven and Goldberger hold exactly.

[1] Dower, Machado, Osborne: On deriving the electrocardiogram from
    vectorcardiographic leads. Clinical Cardiology 3 (1980) 87-95.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

# mV of lead per mV of heart vector; columns x, y, z; rows as INDEPENDENT. From [1].
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# Chest electrodes in cm from the heart's centre, for a torso 22 cm deep.
CHEST = np.array(
    [
        [-5.0, -1.0, -8.5],
        [-0.5, -1.0, -9.5],
        [4.0, 0.5, -9.5],
        [8.0, 2.0, -7.5],
        [10.5, 2.0, -3.5],
        [11.5, 2.0, 1.0],
    ]
)

# The nine electrodes are RA, LA, LL, V1-V6; chest leads refer to the mean of the limbs.
ELECTRODES_TO_LEADS = np.zeros((8, 9))
ELECTRODES_TO_LEADS[0, [1, 0]] = 1.0, -1.0  # I = LA - RA
ELECTRODES_TO_LEADS[1, [2, 0]] = 1.0, -1.0  # II = LL - RA
ELECTRODES_TO_LEADS[2:, :3] = -1.0 / 3.0
ELECTRODES_TO_LEADS[2:, 3:] = np.eye(6)


def lead_fields(
    places: np.ndarray, chest: np.ndarray = CHEST, dower: np.ndarray = DOWER
) -> np.ndarray:
    """Compute the torso matrix of each position in the heart.

    Args:
        places: (S, 3) cm from the heart's centre.
        chest: (6, 3) cm, the electrodes V1-V6 of this subject.
        dower: (8, 3), the matrix of the heart's centre.

    Returns:
        (S, 8, 3): rows as `INDEPENDENT`, columns x, y, z.
    """
    # A dipole's potential falls with the square of the distance: r / |r|^3.
    centre = chest / np.linalg.norm(chest, axis=1, keepdims=True) ** 3  # (6, 3)
    arm = chest[None] - places[:, None]  # (S, 6, 3) cm
    here = arm / np.linalg.norm(arm, axis=2, keepdims=True) ** 3
    # Scaled so that at the centre the field is as strong as Dower's row.
    scale = np.linalg.norm(dower[2:], axis=1) / np.linalg.norm(centre, axis=1)
    fields = np.repeat(dower[None], len(places), axis=0)  # (S, 8, 3)
    # The limb electrodes are far away; to them all positions look alike.
    fields[:, 2:] += (here - centre) * scale[:, None]
    return fields


def twelve_leads(independent: np.ndarray) -> np.ndarray:
    """Complete eight independent leads to twelve.

    Args:
        independent: (8, T) mV in the order of `INDEPENDENT`.

    Returns:
        (12, T) mV in the order of `LEADS`: III = II - I, aVR = -(I + II) / 2,
        aVL = I - II / 2, aVF = II - I / 2.
    """
    first, second = independent[0], independent[1]
    leads = np.empty((12, independent.shape[1]), independent.dtype)
    leads[0], leads[1] = first, second
    leads[2] = second - first
    leads[3] = -(first + second) / 2
    leads[4] = first - second / 2
    leads[5] = second - first / 2
    leads[6:] = independent[2:]
    return leads


def rotation(axis: Sequence[float] | np.ndarray, degrees: float) -> np.ndarray:
    """Make a right-handed rotation about an axis by Rodrigues' formula.

    About the z axis, which points to the back, it turns left towards the feet: the
    sense in which the electrical axis is counted.

    Args:
        axis: (3,), any length but zero.
        degrees: angle.

    Returns:
        (3, 3).
    """
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    angle = np.deg2rad(degrees)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def frontal_axis(first: np.ndarray, avf: np.ndarray) -> float:
    """Electrical axis from the net areas under leads I and aVF.

    aVF is an augmented lead, weaker than I by 2 / sqrt(3); this is corrected here.

    Args:
        first: (T,) lead I over the wave.
        avf: (T,) lead aVF over the wave.

    Returns:
        Degrees in (-180, 180]; 0 points left, 90 to the feet.
    """
    return float(np.rad2deg(np.arctan2(2 / np.sqrt(3) * avf.sum(), first.sum())))
