"""The ventricles as 22 segments: where they lie, where they face, how much they weigh.

Seventeen segments of the left ventricle as the American Heart Association numbers
them [1], and five of the right. A segment's dipole points outward, from endocardium
to epicardium, the way its activation runs when the Purkinje network reaches it first.
Coordinates are Frank's: x to the left, y to the feet, z to the back.

[1] Cerqueira et al.: Standardized myocardial segmentation and nomenclature for
    tomographic imaging of the heart. Circulation 105 (2002) 539-542.
"""

from __future__ import annotations

import numpy as np

# Name; dipole strength in mV; delay in ms with which the Purkinje network reaches the
# segment; share in the T wave in mV.
# - Strength and delay were fitted so that the mean normal heart has the median R and S
#   of normal adults in all leads. The septum is activated from both sides, so little is
#   left of its dipoles; the base, poor in Purkinje fibres, is activated last.
# - T was fitted to the median T wave of normal adults: apex and free wall repolarise
#   with the steepest gradient, the base with the least.
_SEGMENTS = (
    ("basal anterior", 0.85, 17.0, 0.010),  # 0
    ("basal anteroseptal", 0.47, 13.0, 0.010),
    ("basal inferoseptal", 0.52, 12.0, 0.005),
    ("basal inferior", 1.05, 13.0, 0.055),
    ("basal inferolateral", 0.76, 13.0, 0.075),
    ("basal anterolateral", 1.20, 4.0, 0.055),  # 5
    ("mid anterior", 0.32, 3.0, 0.085),
    ("mid anteroseptal", 0.16, 0.0, 0.045),
    ("mid inferoseptal", 0.13, 4.0, 0.010),
    ("mid inferior", 0.46, 14.0, 0.090),
    ("mid inferolateral", 0.36, 2.0, 0.120),  # 10
    ("mid anterolateral", 0.59, 0.0, 0.105),
    ("apical anterior", 0.25, 6.0, 0.080),
    ("apical septal", 0.17, 0.0, 0.115),
    ("apical inferior", 0.30, 8.0, 0.105),
    ("apical lateral", 0.40, 0.0, 0.130),  # 15
    ("apex", 0.28, 2.0, 0.045),
    ("RV base", 0.11, 0.0, 0.003),
    ("RV free wall", 0.08, 1.0, 0.005),
    ("RV inferior wall", 0.18, 3.0, 0.005),
    ("RV apex", 0.09, 8.0, 0.045),  # 20
    ("RV outflow tract", 0.10, 16.0, 0.115),
)
SEGMENTS = tuple(name for name, *_ in _SEGMENTS)
MASS = np.array([mass for _, mass, _, _ in _SEGMENTS])  # (22,) mV
DELAY = np.array([delay for _, _, delay, _ in _SEGMENTS])  # (22,) ms
T_WAVE = np.array([t for _, _, _, t in _SEGMENTS])  # (22,) mV

LV = np.arange(17)
RV = np.arange(17, 22)
APEX = 16
RV_APEX = 20
BACK = np.array([3, 4, 10])  # the walls at the back
SEPTUM = np.array([1, 2, 7, 8, 13])

# The segments that each territory of infarction and ischaemia covers.
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

# Where the atria lie, in cm: above, behind and to the right of the ventricles.
ATRIA = np.array([-2.5, -4.5, 3.5])

# Three directions at right angles: along the left ventricle, towards its septum (made
# perpendicular to the axis), and towards its inferior wall.
AXIS = np.array([0.60, 0.42, -0.68])  # base to apex: left, down, forward
AXIS = AXIS / np.linalg.norm(AXIS)
_SEPTAL = np.array([-0.75, 0.10, -0.65])
_SEPTAL = _SEPTAL - (_SEPTAL @ AXIS) * AXIS
_SEPTAL = _SEPTAL / np.linalg.norm(_SEPTAL)
_INFERIOR = np.cross(AXIS, _SEPTAL)

# Degrees around the axis: 0 lateral, 90 anterior, 180 septal, 270 inferior.
_SIX_WALLS = np.deg2rad([90, 150, 210, 270, 330, 30])
_FOUR_WALLS = np.deg2rad([90, 180, 270, 0])
# Height along the axis in cm, radius in cm, how far the normals lean towards the apex.
_RINGS = (
    (-2.8, 3.2, -0.10, _SIX_WALLS),  # basal
    (0.2, 3.0, 0.25, _SIX_WALLS),  # mid
    (2.8, 2.1, 0.60, _FOUR_WALLS),  # apical
)
_APEX_HEIGHT = 4.4  # cm


def _left_ventricle() -> tuple[np.ndarray, np.ndarray]:
    """Positions (17, 3) in cm and outward normals (17, 3) of the left ventricle."""
    places, normals = [], []
    for height, radius, lean, angles in _RINGS:
        for angle in angles:
            radial = -np.cos(angle) * _SEPTAL - np.sin(angle) * _INFERIOR
            places.append(height * AXIS + radius * radial)
            normals.append(radial + lean * AXIS)
    places.append(_APEX_HEIGHT * AXIS)
    normals.append(AXIS)
    return np.array(places), np.array(normals)


_LV_PLACES, _LV_NORMALS = _left_ventricle()
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
PLACES = np.vstack([_LV_PLACES, _RV_PLACES])  # (22, 3) cm
NORMALS = np.vstack([_LV_NORMALS, _RV_NORMALS])  # (22, 3)
NORMALS = NORMALS / np.linalg.norm(NORMALS, axis=1, keepdims=True)

# How near two segments lie, (22, 22): 1 within 2 cm, falling to 0 at 4 cm. The
# ventricles are apart.
_APART = np.linalg.norm(PLACES[:, None] - PLACES[None], axis=2)  # cm
NEARNESS = np.clip(2 - _APART / 2, 0, 1)
NEARNESS[:17, 17:] = NEARNESS[17:, :17] = 0
NEARNESS = NEARNESS / NEARNESS.sum(axis=1, keepdims=True)


def weights(territory: str) -> np.ndarray:
    """Give a territory as a mask over the segments.

    Args:
        territory: a key of `TERRITORIES`.

    Returns:
        (22,): 1 inside the territory, 0 elsewhere.
    """
    mask = np.zeros(len(SEGMENTS))
    mask[list(TERRITORIES[territory])] = 1.0
    return mask
