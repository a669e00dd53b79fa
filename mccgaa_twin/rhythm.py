"""When atria and ventricles beat: one function a rhythm.

Times are seconds from the record's start, of P onset for the atria and of QRS onset
for the ventricles. Every process starts before zero, so that records open mid-rhythm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mccgaa_twin.physiology import Heart

LEAD_IN = 2.5  # seconds simulated before the record
TAIL = 4.0  # and after it, since premature atrial beats pull the rest forward


@dataclass
class Timeline:
    """The events of one record."""

    atrial: list[tuple[float, str]] = field(default_factory=list)  # P onset, kind
    ventricular: list[tuple[float, str]] = field(default_factory=list)  # QRS, kind
    background: str | None = None  # None | fibrillation | flutter
    background_rate: float = 0.0  # Hz
    spikes: list[float] = field(default_factory=list)  # pacing artefacts

    def beat(self, qrs: float, pr: float, atrial: str = "sinus", kind: str = "normal"):
        """Add a conducted beat: P, then QRS after PR (seconds)."""
        self.atrial.append((qrs - pr, atrial))
        self.ventricular.append((qrs, kind))


def _sinus_intervals(
    heart: Heart, duration: float, rng: np.random.Generator
) -> np.ndarray:
    """PP intervals in seconds: breathing, a slow drift and jitter around the rate.

    Breathing's share shrinks with the rate, as vagal tone does.
    """
    mean = 60.0 / heart.rate
    breath = heart.rhythm_options.get("breath", 0.025 * mean**1.5)  # share of RR
    breath = breath * rng.lognormal(0, 0.35)
    count = int((duration + LEAD_IN) / (mean * 0.6)) + 6
    frequency, phase = rng.uniform(0.17, 0.32), rng.uniform(0, 2 * np.pi)
    time = np.arange(count) * mean
    swing = np.sin(2 * np.pi * frequency * time + phase)
    drift = np.cumsum(rng.normal(0, 0.004, count))
    jitter = rng.normal(0, heart.rhythm_options.get("jitter", 0.006), count)
    return mean * (1 + breath * swing + drift - drift.mean() + jitter)


def _onsets(intervals: np.ndarray, duration: float, rng) -> np.ndarray:
    """Beat times from intervals, beginning before the record."""
    start = -LEAD_IN + rng.uniform(0, intervals[0])
    times = start + np.concatenate([[0.0], np.cumsum(intervals)])
    return times[times < duration + TAIL]


def sinus(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Sinus rhythm, any rate; every P is conducted after PR."""
    line = Timeline()
    for time in _onsets(_sinus_intervals(heart, duration, rng), duration, rng):
        line.beat(time, heart.pr / 1000)
    return line


def fibrillation(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Atrial fibrillation: no P, f waves, intervals without memory.

    RR is drawn from a shifted gamma distribution: the node's refractory time, then
    waiting; its coefficient of variation is 0.15 to 0.3 as in untreated patients.
    """
    mean = 60.0 / heart.rate
    spread = mean * rng.uniform(0.16, 0.30)
    floor = max(0.28, mean - 2.2 * spread)
    shape = ((mean - floor) / spread) ** 2
    scale = spread**2 / (mean - floor)
    count = int((duration + LEAD_IN) / mean * 2) + 12
    intervals = floor + rng.gamma(shape, scale, count)
    times = _onsets(intervals, duration, rng)
    line = Timeline(background="fibrillation", background_rate=rng.uniform(5.0, 8.0))
    line.ventricular = [(t, "normal") for t in times]
    return line


def flutter(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Atrial flutter: a saw-tooth of 240 to 340 a minute, conducted 2:1 to 4:1."""
    rate = rng.uniform(240, 340) / 60.0  # Hz
    line = Timeline(background="flutter", background_rate=rate)
    ratios = [2, 3, 4]
    ratio = ratios[rng.choice(3, p=[0.45, 0.15, 0.40])]
    variable = rng.random() < 0.35
    time = -LEAD_IN
    while time < duration + TAIL:
        line.ventricular.append((time + rng.normal(0, 0.004), "normal"))
        step = ratios[rng.choice(3, p=[0.4, 0.2, 0.4])] if variable else ratio
        time += step / rate
    return line


def supraventricular(
    heart: Heart, duration: float, rng: np.random.Generator
) -> Timeline:
    """A regular narrow tachycardia of 150 to 220; P hidden or just behind QRS."""
    mean = 60.0 / heart.rate
    line = Timeline()
    hidden = rng.random() < 0.5
    start = rng.uniform(2, 5) if heart.rhythm_options.get("paroxysmal") else None
    time = -LEAD_IN + rng.uniform(0, mean)
    while time < duration + TAIL:
        if start is not None and time < start:
            line.beat(time, heart.pr / 1000)
            time += 60.0 / heart.rhythm_options["base_rate"] * (1 + rng.normal(0, 0.02))
            if time >= start:
                time -= 0.3 * 60.0 / heart.rhythm_options["base_rate"]
            continue
        line.ventricular.append((time, "normal"))
        if not hidden:
            line.atrial.append((time + 0.085, "low"))
        time += mean * (1 + rng.normal(0, 0.006))
    return line


def ectopic_atrial(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Atrial tachycardia, or a wandering or multifocal atrial rhythm."""
    spread = heart.rhythm_options.get("spread", 0.12)
    kinds = ("sinus", "ectopic", "low")
    mean, line = 60.0 / heart.rate, Timeline()
    time, kind = -LEAD_IN, int(rng.integers(1, 3))
    while time < duration + TAIL:
        if rng.random() < heart.rhythm_options.get("wander", 0.3):
            kind = rng.integers(3)
        line.beat(time, heart.pr / 1000 * rng.uniform(0.8, 1.05), kinds[kind])
        time += mean * max(0.5, 1 + rng.normal(0, spread))
    return line


def second_degree(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Second-degree AV block: Wenckebach, Mobitz II or 2:1; some P waves go unanswered.

    Option `type` is "wenckebach", "mobitz" or "2:1"; drawn when absent.
    """
    kind = heart.rhythm_options.get("type") or rng.choice(
        ["wenckebach", "mobitz", "2:1"], p=[0.5, 0.2, 0.3]
    )
    group = {"wenckebach": rng.integers(3, 6), "mobitz": rng.integers(3, 5), "2:1": 2}
    size, place = int(group[kind]), int(rng.integers(0, 3))
    line, pr = Timeline(), heart.pr / 1000
    for p in _onsets(_sinus_intervals(heart, duration, rng), duration, rng):
        line.atrial.append((p, "sinus"))
        place = (place + 1) % size
        if place == size - 1:
            continue
        # The increment of PR is largest at the second beat, so RR shortens.
        longer = {0: 0.0, 1: 0.09}.get(place, 0.09 + 0.035 * (place - 1))
        line.ventricular.append((p + pr + longer * (kind == "wenckebach"), "normal"))
    return line


def third_degree(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Complete AV block: P waves at the sinus rate, an escape rhythm of 30 to 50."""
    line = Timeline()
    for p in _onsets(_sinus_intervals(heart, duration, rng), duration, rng):
        line.atrial.append((p, "sinus"))
    ventricular = heart.rhythm_options.get("escape", "escape")
    mean = 60.0 / heart.rhythm_options.get("escape_rate", rng.uniform(32, 48))
    time = -LEAD_IN + rng.uniform(0, mean)
    while time < duration + TAIL:
        line.ventricular.append((time, ventricular))
        time += mean * (1 + rng.normal(0, 0.012))
    return line


def junctional(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Junctional rhythm: narrow beats, P absent or inverted next to QRS."""
    line, mean = Timeline(), 60.0 / heart.rate
    offset = rng.choice([np.nan, -0.09, 0.08])
    time = -LEAD_IN + rng.uniform(0, mean)
    while time < duration + TAIL:
        line.ventricular.append((time, "normal"))
        if np.isfinite(offset):
            line.atrial.append((time + offset, "low"))
        time += mean * (1 + rng.normal(0, 0.012))
    return line


def paced(heart: Heart, duration: float, rng: np.random.Generator) -> Timeline:
    """Pacing: spikes before P (atrial, dual) and before a wide QRS (ventricular, dual).

    In ventricular pacing the atria fibrillate or run at their own rate.
    """
    mode = heart.pacing or "ventricular"
    line, mean = Timeline(), 60.0 / heart.rate
    delay = rng.uniform(0.14, 0.20)
    own = heart.rhythm_options.get(
        "atria", "fibrillation" if rng.random() < 0.4 else ""
    )
    tracking = mode == "dual" and rng.random() < 0.5  # senses P, paces the ventricle
    time = -LEAD_IN + rng.uniform(0, mean)
    while time < duration + TAIL:
        if mode == "ventricular":
            line.ventricular.append((time, "paced"))
            line.spikes.append(time - 0.006)
        else:
            kind = "normal" if mode == "atrial" else "paced"
            line.beat(time, delay if mode == "dual" else heart.pr / 1000, "sinus", kind)
            if not tracking:
                line.spikes.append(line.atrial[-1][0] - 0.004)
            if mode == "dual":
                line.spikes.append(time - 0.006)
        time += mean * (1 + rng.normal(0, 0.03 if tracking else 0.0015))
    if mode == "ventricular":
        if own == "fibrillation":
            line.background, line.background_rate = "fibrillation", 6.0
        else:
            pace = 60.0 / rng.uniform(60, 95)
            line.atrial = [
                (p, "sinus") for p in np.arange(-LEAD_IN, duration + TAIL, pace)
            ]
    return line


RHYTHMS: dict[str, Callable[[Heart, float, np.random.Generator], Timeline]] = {
    "sinus": sinus,
    "fibrillation": fibrillation,
    "flutter": flutter,
    "supraventricular": supraventricular,
    "ectopic atrial": ectopic_atrial,
    "second degree block": second_degree,
    "third degree block": third_degree,
    "junctional": junctional,
    "paced": paced,
}


def add_ectopy(
    line: Timeline, heart: Heart, duration: float, rng: np.random.Generator
) -> Timeline:
    """Put premature beats into a rhythm.

    Options: `pvc` and `pac` are counts in the record; `pattern` is 2 (bigeminy) or 3
    (trigeminy) with `pattern_kind` "pvc" or "pac".

    Args:
        line: the underlying rhythm; not changed.
        heart: carries the options.
        duration: seconds.
        rng: draws which beats are premature and how early.

    Returns:
        Timeline with the premature beats in; the pause after a ventricular one is
        compensatory, after an atrial one it is not (the sinus node is reset).
    """
    options = heart.rhythm_options
    wanted = {kind: int(options.get(kind, 0)) for kind in ("pvc", "pac")}
    pattern = options.get("pattern")
    if not (pattern or any(wanted.values())) or len(line.ventricular) < 4:
        return line
    beats = sorted(line.ventricular)
    inside = [i for i in range(1, len(beats) - 1) if 0.1 < beats[i][0] < duration - 0.5]
    chosen: dict[int, str] = {}
    if pattern:
        start = int(rng.integers(0, pattern))
        for i in range(1, len(beats) - 1):
            if (i + start) % pattern == 0:
                chosen[i] = options.get("pattern_kind", "pvc")
    rng.shuffle(inside)
    left = [kind for kind, count in wanted.items() for _ in range(count)]
    for i in inside:
        if left and not {i - 1, i, i + 1} & set(chosen):
            chosen[i] = left.pop()
    early = rng.uniform(0.55, 0.72)
    atrial = sorted(line.atrial)
    dropped, new_atrial, new_beats, shift = set(), [], [], 0.0
    edges = []  # (time from which, shift to add) so that atria follow a reset
    for i, (time, kind) in enumerate(beats):
        if i not in chosen:
            new_beats.append((time + shift, kind))
            continue
        gap = time - beats[i - 1][0]
        premature = beats[i - 1][0] + gap * (early + rng.normal(0, 0.02))
        pr = heart.pr / 1000
        dropped.update(
            j for j, (p, _) in enumerate(atrial) if time - 0.45 < p < time + 0.02
        )
        if chosen[i] == "pac":
            if line.background is None:
                new_atrial.append((premature - 0.95 * pr + shift, "ectopic"))
            new_beats.append((premature + shift, kind))
            reset = (time - premature) * 0.75
            edges.append((time + 0.02, -reset))
            shift -= reset
        else:
            new_beats.append((premature + shift, "pvc"))
    for j, (p, kind) in enumerate(atrial):
        if j in dropped and line.background is None:
            continue
        moved = sum(step for when, step in edges if p > when)
        new_atrial.append((p + moved, kind))
    return Timeline(
        sorted(new_atrial),
        sorted(new_beats),
        line.background,
        line.background_rate,
        line.spikes,
    )
