"""The ventricles as 22 segments: where they lie, where they face, how much they weigh.

Seventeen segments of the left ventricle as the American Heart Association numbers
them [1], and five of the right. A segment's dipole points outward, from endocardium
to epicardium, the way its activation runs when the Purkinje net reaches it first.

[1] Cerqueira et al.: Standardized myocardial segmentation and nomenclature for
    tomographic imaging of the heart. Circulation 105 (2002) 539-542.
"""

from __future__ import annotations

import numpy as np

_WALLS = ("anterior", "anteroseptal", "inferoseptal", "inferior")
_WALLS += ("inferolateral", "anterolateral")
_WALL_ANGLES = np.deg2rad([90, 150, 210, 270, 330, 30])  # 0 lateral, 90 anterior

SEGMENTS = (
    *(f"basal {wall}" for wall in _WALLS),  # 0-5
    *(f"mid {wall}" for wall in _WALLS),  # 6-11
    *(f"apical {wall}" for wall in ("anterior", "septal", "inferior", "lateral")),
    "apex",  # 16
    "RV base",  # 17
    "RV free wall",  # 18
    "RV inferior wall",  # 19
    "RV apex",  # 20
    "RV outflow tract",  # 21
)
LV = np.arange(17)
RV = np.arange(17, 22)
BACK = np.array([3, 4, 10])  # the walls at the back
SEPTUM = np.array([1, 2, 7, 8, 13])

# The wall that each territory of infarction and ischaemia takes, by segment number.
TERRITORIES: dict[str, tuple[int, ...]] = {
    "septal": (1, 7, 13),
    "anterior": (6, 12, 16, 7),
    "anteroseptal": (1, 7, 12, 13, 6),
    "anterolateral": (6, 12, 11, 15, 16, 5),
    "lateral": (5, 11, 15, 10),
    "inferior": (3, 9, 14),
    "inferolateral": (3, 9, 14, 4, 10, 15),
    "posterior": (4, 10, 3),
    "inferoposterior": (3, 9, 14, 4, 10),
    "inferoposterolateral": (3, 9, 14, 4, 10, 11, 15),
    "apical": (12, 13, 14, 15, 16),
}

AXIS = np.array([0.60, 0.42, -0.68])  # base to apex: left, down, forward
AXIS = AXIS / np.linalg.norm(AXIS)
_SEPTAL = np.array([-0.75, 0.10, -0.65])
_SEPTAL = _SEPTAL - (_SEPTAL @ AXIS) * AXIS
_SEPTAL = _SEPTAL / np.linalg.norm(_SEPTAL)
_INFERIOR = np.cross(AXIS, _SEPTAL)


def _left_ventricle() -> tuple[np.ndarray, np.ndarray]:
    """Places (17, 3) in cm and outward normals (17, 3) of the left ventricle."""
    places, normals = [], []
    # Ring: height along the axis in cm, radius in cm, share of the axis in the normal.
    rings = [(-2.8, 3.2, -0.10, _WALL_ANGLES), (0.2, 3.0, 0.25, _WALL_ANGLES)]
    rings.append((2.8, 2.1, 0.60, np.deg2rad([90, 180, 270, 0])))
    for height, radius, lean, angles in rings:
        for angle in angles:
            radial = -np.cos(angle) * _SEPTAL - np.sin(angle) * _INFERIOR
            places.append(height * AXIS + radius * radial)
            normals.append(radial + lean * AXIS)
    places.append(4.4 * AXIS)
    normals.append(AXIS)
    normals = np.array(normals)
    return np.array(places), normals / np.linalg.norm(normals, axis=1, keepdims=True)


_PLACES, _NORMALS = _left_ventricle()
_RV_PLACES = np.array(
    [
        [-4.6, 0.6, 0.2],  # base, at the tricuspid valve
        [-3.4, 0.4, -3.6],  # free wall
        [-2.4, 2.8, -1.8],  # inferior wall
        [0.6, 2.4, -4.6],  # apex
        [-0.4, -2.8, -3.6],  # outflow tract
    ]
)
_RV_NORMALS = np.array(
    [
        [-0.95, 0.1, -0.3],
        [-0.75, 0.1, -0.65],
        [-0.45, 0.80, -0.4],
        [0.15, 0.55, -0.82],
        [-0.15, -0.65, -0.75],
    ]
)
PLACES = np.vstack([_PLACES, _RV_PLACES])  # (22, 3) cm
NORMALS = np.vstack(
    [_NORMALS, _RV_NORMALS / np.linalg.norm(_RV_NORMALS, axis=1, keepdims=True)]
)

# Dipole strength in mV and the delay in ms with which the Purkinje net reaches a
# segment: the base, poor in Purkinje fibres, comes last. Fitted so that the mean normal
# heart has the median R and S of normal adults in all leads; the septum is activated
# from both sides, so little is left of it.
MASS = np.array(
    [
        *(0.85, 0.47, 0.52, 1.05, 0.76, 1.20),
        *(0.32, 0.16, 0.13, 0.46, 0.36, 0.59),
        *(0.25, 0.17, 0.30, 0.40, 0.28),
        *(0.11, 0.08, 0.18, 0.09, 0.10),
    ]
)
DELAY = np.array(
    [
        *(17.0, 13.0, 12.0, 13.0, 13.0, 4.0),
        *(3.0, 0.0, 4.0, 14.0, 2.0, 0.0),
        *(6.0, 0.0, 8.0, 0.0, 2.0),
        *(0.0, 1.0, 3.0, 8.0, 16.0),
    ]
)

# Share of each segment in the T wave, in mV, fitted to the median T of normal adults:
# apex and free wall repolarise with the steepest gradient, the base with the least.
T_WAVE = np.array(
    [
        *(0.010, 0.010, 0.005, 0.055, 0.075, 0.055),
        *(0.085, 0.045, 0.010, 0.090, 0.120, 0.105),
        *(0.080, 0.115, 0.105, 0.130, 0.045),
        *(0.003, 0.005, 0.005, 0.045, 0.115),
    ]
)


# Where the atria lie, in cm: above, behind and to the right of the ventricles.
ATRIA = np.array([-2.5, -4.5, 3.5])


def weights(territory: str) -> np.ndarray:
    """A territory as a mask over the segments.

    Args:
        territory: a key of `TERRITORIES`.

    Returns:
        (22,): 1 in its core; 0 elsewhere.
    """
    mask = np.zeros(len(SEGMENTS))
    mask[list(TERRITORIES[territory])] = 1.0
    return mask
