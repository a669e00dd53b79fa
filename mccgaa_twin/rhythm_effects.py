"""Changes of rhythm that findings are made of; see `effects` for the others.

Each function changes a `Heart` in place. Rates are in beats per minute; the options
are those that `rhythm` reads.
"""

from __future__ import annotations

import numpy as np

from mccgaa_twin import anatomy
from mccgaa_twin.physiology import Change, Heart, Rng


def sinus_rhythm(heart: Heart, strength: float, rng: Rng) -> None:
    """Sinus rhythm between 60 and 100 per minute."""
    heart.rate = float(np.clip(heart.rate, 62, 97))


def sinus_tachycardia(heart: Heart, strength: float, rng: Rng) -> None:
    """Sinus rhythm faster than 100 per minute."""
    most = 155 + 15 * heart.variety
    heart.rate = float(np.clip(101 + rng.gamma(2.0, 8.0), 101.5, most))
    heart.pr = float(np.clip(heart.pr * 0.9, 115, 190)) if heart.pr < 200 else heart.pr


def sinus_bradycardia(heart: Heart, strength: float, rng: Rng) -> None:
    """Sinus rhythm slower than 60 per minute."""
    slower = rng.gamma(1.8, 3.2 + 1.3 * heart.variety)
    heart.rate = float(np.clip(59 - slower, 36 - 5 * heart.variety, 58.5))
    if heart.variety:  # the vagus that slows the heart swings with the breath
        breath = 0.025 * (60 / heart.rate) ** 1.5 * rng.uniform(0.5, 3.0)
        heart.rhythm_options["breath"] = float(min(breath, 0.09))


def sinus_arrhythmia(heart: Heart, strength: float, rng: Rng) -> None:
    """PP intervals that differ by more than 0.12 s, swinging with the breath."""
    heart.rate = float(np.clip(rng.normal(66, 8), 50, 90))
    heart.rhythm_options["breath"] = float(rng.uniform(0.07, 0.18)) * max(strength, 0.8)
    heart.rhythm_options["jitter"] = float(rng.uniform(0.02, 0.06))


def atrial_fibrillation(heart: Heart, strength: float, rng: Rng) -> None:
    """No P waves, fibrillatory waves, irregular RR; the response slow to fast."""
    heart.rhythm = "fibrillation"
    low, high = 48 - 6 * heart.variety, 160 + 20 * heart.variety
    heart.rate = float(np.clip(rng.normal(88, 22 + 6 * heart.variety), low, high))


def atrial_flutter(heart: Heart, strength: float, rng: Rng) -> None:
    """Saw-tooth waves of 240 to 340 per minute with a response of 2:1 to 4:1."""
    heart.rhythm = "flutter"
    heart.rate = 100.0


def tachycardia(heart: Heart, strength: float, rng: Rng) -> None:
    """A regular narrow tachycardia without P waves before QRS."""
    heart.rhythm = "supraventricular"
    low, high = 140 - 10 * heart.variety, 200 + 10 * heart.variety
    heart.rate = float(rng.uniform(low, high))


def paroxysm(heart: Heart, strength: float, rng: Rng) -> None:
    """The same; in half of the records it starts within the record."""
    heart.rhythm_options["base_rate"] = heart.rate
    heart.rhythm_options["paroxysmal"] = bool(rng.random() < 0.5)
    tachycardia(heart, strength, rng)


def supraventricular_arrhythmia(heart: Heart, strength: float, rng: Rng) -> None:
    """P waves of changing form, frequent atrial beats, or an ectopic rhythm."""
    kind = rng.choice(["steady", "wandering", "beats"], p=[0.60, 0.25, 0.15])
    if kind == "steady":  # one focus outside the sinus node
        heart.rhythm = "ectopic atrial"
        heart.rate = float(np.clip(rng.normal(70, 12), 50, 110))
        heart.rhythm_options.update(spread=float(rng.uniform(0.005, 0.03)), wander=0.0)
    elif kind == "wandering":
        heart.rhythm = "ectopic atrial"
        heart.rate = float(np.clip(rng.normal(85, 18), 58, 135))
        heart.rhythm_options["spread"] = float(rng.uniform(0.05, 0.18))
    else:
        heart.rhythm_options["pac"] = int(rng.integers(3, 6))


def atrial_tachycardia(heart: Heart, strength: float, rng: Rng) -> None:
    """A regular ectopic atrial rhythm above 100 per minute."""
    heart.rhythm = "ectopic atrial"
    heart.rate = float(rng.uniform(105, 150))
    heart.rhythm_options.update(spread=0.015, wander=0.0)


def junctional_escape(heart: Heart, strength: float, rng: Rng) -> None:
    """A slow narrow rhythm from the junction, P absent or inverted."""
    heart.rhythm = "junctional"
    heart.rate = float(rng.uniform(38, 58))


def ventricular_escape(heart: Heart, strength: float, rng: Rng) -> None:
    """Wide slow beats, independent of an atrial rhythm that is not conducted."""
    third_degree_block(heart, strength, rng)
    heart.rhythm_options["escape"] = "escape"


def pattern(every: int) -> Change:
    """Make a change: every second beat premature (bigeminy), or every third."""

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        heart.rhythm_options["pattern"] = every
        kind = "pvc" if rng.random() < 0.7 else "pac"
        heart.rhythm_options["pattern_kind"] = kind

    return change


def premature(kind: str) -> Change:
    """Make a change: two to five premature beats.

    Args:
        kind: "pvc", "pac" or "any", which draws one of them.
    """

    def change(heart: Heart, strength: float, rng: Rng) -> None:
        where = ("pvc" if rng.random() < 0.5 else "pac") if kind == "any" else kind
        count = 1 + int(rng.geometric(0.5))
        if heart.variety and rng.random() < 0.5 * heart.variety:
            count = 1  # as in many a record of ten seconds
        before = heart.rhythm_options.get(where, 0)
        heart.rhythm_options[where] = max(before, min(count, 5))

    return change


def pacemaker(heart: Heart, strength: float, rng: Rng) -> None:
    """Pacing of ventricle, both chambers or atrium; the lead lies in the RV apex."""
    heart.rhythm = "paced"
    modes = ["ventricular", "dual", "atrial"]
    heart.pacing = str(rng.choice(modes, p=[0.6, 0.32, 0.08]))
    heart.rate = float(rng.choice([60, 65, 70, 75, 80])) + float(rng.normal(0, 0.5))
    heart.focus = anatomy.RV_APEX


def second_degree_block(heart: Heart, strength: float, rng: Rng) -> None:
    """Some P waves are not conducted."""
    heart.rhythm = "second degree block"
    heart.rate = float(np.clip(rng.normal(78, 10), 58, 110))


def third_degree_block(heart: Heart, strength: float, rng: Rng) -> None:
    """P waves and QRS are independent of each other."""
    heart.rhythm = "third degree block"
    heart.rate = float(np.clip(rng.normal(82, 12), 58, 115))
    heart.rhythm_options["escape"] = "escape" if rng.random() < 0.6 else "normal"
