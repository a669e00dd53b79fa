"""Changes that Chapman-Shaoxing-Ningbo names and PTB-XL has no statement for.

Each function changes a `Heart` in place; strength 1 is a typical case.
"""

from __future__ import annotations

from mccgaa_twin import anatomy
from mccgaa_twin.effects import injury
from mccgaa_twin.physiology import Heart, Rng

_ANTERIOR = [6, 12]  # mid and apical segment of the anterior wall


def axis_left(heart: Heart, strength: float, rng: Rng) -> None:
    """QRS axis left of -30 degrees."""
    heart.axis = float(rng.uniform(-70, -32))


def axis_right(heart: Heart, strength: float, rng: Rng) -> None:
    """QRS axis right of 90 degrees."""
    heart.axis = float(rng.uniform(95, 130))


def rotate_clockwise(heart: Heart, strength: float, rng: Rng) -> None:
    """Clockwise rotation: S gives way to R only at V5-V6."""
    heart.mass[anatomy.BACK] *= 1 + 0.7 * strength
    heart.alive[_ANTERIOR] *= 0.4


def rotate_counterclockwise(heart: Heart, strength: float, rng: Rng) -> None:
    """Counterclockwise rotation: S gives way to R at V1-V2 already."""
    heart.mass[anatomy.BACK] *= 0.6
    heart.mass[[*_ANTERIOR, anatomy.APEX]] *= 1 + 0.9 * strength


def early_repolarisation(heart: Heart, strength: float, rng: Rng) -> None:
    """J point raised by at least 0.1 mV with tall T waves in the chest leads."""
    injury(heart, "anterolateral", rng.uniform(0.10, 0.2) * strength)
    heart.t_amplitude *= 1.4


def tilt_st_up(heart: Heart, strength: float, rng: Rng) -> None:
    """An ST segment that rises towards T in neighbouring leads."""
    territory = str(rng.choice(["anteroseptal", "inferior", "anterolateral"]))
    injury(heart, territory, rng.uniform(0.10, 0.22) * strength)


def fragment(heart: Heart, strength: float, rng: Rng) -> None:
    """Notches in a narrow QRS."""
    heart.fragments += 0.15 * strength


def u_wave(heart: Heart, strength: float, rng: Rng) -> None:
    """A U wave at least a quarter as high as T."""
    heart.u_wave = float(rng.uniform(0.3, 0.6))


def low_chest_voltage(heart: Heart, strength: float, rng: Rng) -> None:
    """QRS below 1 mV in all chest leads."""
    heart.chest_gain *= 0.4


def low_limb_voltage(heart: Heart, strength: float, rng: Rng) -> None:
    """QRS below 0.5 mV in all limb leads."""
    heart.limb_gain *= 0.4


def wenckebach(heart: Heart, strength: float, rng: Rng) -> None:
    """Second-degree block of type one."""
    heart.rhythm_options["type"] = "wenckebach"


def mobitz(heart: Heart, strength: float, rng: Rng) -> None:
    """Second-degree block of type two."""
    heart.rhythm_options["type"] = "mobitz"


def atrial_pattern(heart: Heart, strength: float, rng: Rng) -> None:
    """The premature beats of a bigeminy or trigeminy come from the atria."""
    heart.rhythm_options["pattern_kind"] = "pac"


def ventricular_pattern(heart: Heart, strength: float, rng: Rng) -> None:
    """The premature beats of a bigeminy or trigeminy come from the ventricles."""
    heart.rhythm_options["pattern_kind"] = "pvc"
