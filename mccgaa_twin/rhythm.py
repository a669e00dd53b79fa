"""When atria and ventricles beat: one function per rhythm.

Times are seconds from the record's start: of P onset for the atria, of QRS onset for
the ventricles. Every rhythm starts before zero, so that a record starts amid it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mccgaa_twin.physiology import Heart, Rng

_LEAD_IN = 2.5  # seconds simulated before the record
_TAIL = 4.0  # and after it, since premature atrial beats move the rest forward


@dataclass
class Timeline:
    """The events of one record, in seconds."""

    atrial: list[tuple[float, str]] = field(default_factory=list)  # P onset, kind
    ventricular: list[tuple[float, str]] = field(default_factory=list)  # QRS, kind
    background: str | None = None  # None | fibrillation | flutter
    background_rate: float = 0.0  # Hz
    spikes: list[float] = field(default_factory=list)  # pacing artefacts

    def beat(
        self, qrs: float, pr: float, atrial: str = "sinus", kind: str = "normal"
    ) -> None:
        """Add a conducted beat: QRS at `qrs`, its P wave `pr` before it."""
        self.atrial.append((qrs - pr, atrial))
        self.ventricular.append((qrs, kind))


def _sinus_intervals(heart: Heart, duration: float, rng: Rng) -> np.ndarray:
    """PP intervals (N,) in seconds: the rate, with breathing, a slow drift and jitter.

    Options: `breath`, amplitude of the breathing as a share of PP, by default smaller
    the higher the rate is, as vagal tone is; `jitter`, a standard deviation as a share.
    """
    mean = 60.0 / heart.rate
    breath = heart.rhythm_options.get("breath", 0.025 * mean**1.5)
    breath = breath * rng.lognormal(0, 0.35 + 0.35 * heart.variety)
    if heart.variety and "breath" not in heart.rhythm_options:
        breath = min(breath, 0.045 / mean)  # PP differ by less than in an arrhythmia
    count = int((duration + _LEAD_IN) / (mean * 0.6)) + 6
    frequency, phase = rng.uniform(0.17, 0.32), rng.uniform(0, 2 * np.pi)  # Hz
    time = np.arange(count) * mean
    swing = np.sin(2 * np.pi * frequency * time + phase)
    drift = np.cumsum(rng.normal(0, 0.004, count))
    jitter = rng.normal(0, heart.rhythm_options.get("jitter", 0.006), count)
    return mean * (1 + breath * swing + drift - drift.mean() + jitter)


def _onsets(intervals: np.ndarray, duration: float, rng: Rng) -> np.ndarray:
    """Beat times (N,) in seconds from intervals, the first before the record."""
    start = -_LEAD_IN + rng.uniform(0, intervals[0])
    times = start + np.concatenate([[0.0], np.cumsum(intervals)])
    return times[times < duration + _TAIL]


def _sinus(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Sinus rhythm, any rate; every P is conducted after PR."""
    line = Timeline()
    for time in _onsets(_sinus_intervals(heart, duration, rng), duration, rng):
        line.beat(time, heart.pr / 1000)
    return line


def _fibrillation(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Atrial fibrillation: no P, f waves, intervals without memory.

    RR is drawn from a shifted gamma distribution: the AV node's refractory time, then
    a wait. Its coefficient of variation is 0.16 to 0.30, as in untreated patients.
    """
    mean = 60.0 / heart.rate
    spread = mean * rng.uniform(0.16, 0.30)  # seconds, standard deviation of RR
    floor = max(0.28, mean - 2.2 * spread)  # seconds, the refractory time
    # A gamma distribution of this shape and scale has mean RR - floor and the spread.
    shape = ((mean - floor) / spread) ** 2
    scale = spread**2 / (mean - floor)
    count = int((duration + _LEAD_IN) / mean * 2) + 12
    intervals = floor + rng.gamma(shape, scale, count)
    times = _onsets(intervals, duration, rng)
    waves = rng.uniform(5.0 - 0.5 * heart.variety, 8.0 + 0.8 * heart.variety)  # Hz
    line = Timeline(background="fibrillation", background_rate=waves)
    line.ventricular = [(t, "normal") for t in times]
    return line


def _flutter(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Atrial flutter: a saw-tooth of 240 to 340 per minute, conducted 2:1 to 4:1.

    In about a third of records the ratio changes from beat to beat.
    """
    rate = rng.uniform(240, 340) / 60.0  # Hz
    line = Timeline(background="flutter", background_rate=rate)
    ratios = [2, 3, 4]
    ratio = ratios[rng.choice(3, p=[0.45, 0.15, 0.40])]
    variable = rng.random() < 0.35
    # Two ratios in turn, as when a block lies at two levels of the AV node.
    turns = heart.variety and rng.random() < 0.2 * heart.variety
    other = ratios[rng.integers(3)] if turns else ratio
    jitter = 0.004 + 0.008 * heart.variety  # seconds
    time, beat = -_LEAD_IN, 0
    while time < duration + _TAIL:
        line.ventricular.append((time + rng.normal(0, jitter), "normal"))
        step = (ratio, other)[beat % 2]
        if variable and not turns:
            step = ratios[rng.choice(3, p=[0.4, 0.2, 0.4])]
            # Now and then the node lets nothing through for longer.
            if heart.variety and rng.random() < 0.08 * heart.variety:
                step = int(rng.integers(5, 7))
        time += step / rate
        beat += 1
    return line


def _supraventricular(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """A regular narrow tachycardia; P hidden in QRS, or inverted 85 ms after its onset.

    Option `paroxysmal`: it starts 2 to 5 s into the record, after sinus rhythm of
    `base_rate` beats per minute, with a premature beat.
    """
    mean = 60.0 / heart.rate
    line = Timeline()
    hidden = rng.random() < 0.5
    late = 0.085 + (heart.variety and rng.uniform(-0.025, 0.05) * heart.variety)
    start = rng.uniform(2, 5) if heart.rhythm_options.get("paroxysmal") else -np.inf
    time = -_LEAD_IN + rng.uniform(0, mean)
    while time < duration + _TAIL:
        if time < start:
            line.beat(time, heart.pr / 1000)
            time += 60.0 / heart.rhythm_options["base_rate"] * (1 + rng.normal(0, 0.02))
            if time >= start:  # the beat that sets the tachycardia off is premature
                time -= 0.3 * 60.0 / heart.rhythm_options["base_rate"]
            continue
        line.ventricular.append((time, "normal"))
        if not hidden:
            line.atrial.append((time + late, "low"))
        time += mean * (1 + rng.normal(0, 0.006))
    return line


def _ectopic_atrial(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Atrial tachycardia, or a wandering or multifocal atrial rhythm.

    Options: `spread`, standard deviation of PP as a share; `wander`, the chance that a
    beat comes from another focus than the one before it.
    """
    spread = heart.rhythm_options.get("spread", 0.12)
    kinds = ("sinus", "ectopic", "low")
    mean, line = 60.0 / heart.rate, Timeline()
    time, kind = -_LEAD_IN, int(rng.integers(1, 3))
    while time < duration + _TAIL:
        if rng.random() < heart.rhythm_options.get("wander", 0.3):
            kind = rng.integers(3)
        line.beat(time, heart.pr / 1000 * rng.uniform(0.8, 1.05), kinds[kind])
        time += mean * max(0.5, 1 + rng.normal(0, spread))
    return line


def _second_degree(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Second-degree AV block: some P waves are not conducted.

    Option `type` is "wenckebach" (PR lengthens until a beat is dropped), "mobitz" (PR
    is constant) or "2:1"; drawn if not given.
    """
    kind = heart.rhythm_options.get("type") or rng.choice(
        ["wenckebach", "mobitz", "2:1"], p=[0.5, 0.2, 0.3]
    )
    # P waves from one dropped beat to the next, and where the record starts in a group.
    group = {"wenckebach": rng.integers(3, 6), "mobitz": rng.integers(3, 5), "2:1": 2}
    size, nth = int(group[kind]), int(rng.integers(0, 3))
    line, pr = Timeline(), heart.pr / 1000
    for p in _onsets(_sinus_intervals(heart, duration, rng), duration, rng):
        line.atrial.append((p, "sinus"))
        nth = (nth + 1) % size
        if nth == size - 1:
            continue
        longer = 0.0
        if kind == "wenckebach" and nth > 0:
            # PR grows most at the second beat (90 ms), less at the next ones (35 ms),
            # so that RR shortens although PR lengthens.
            longer = 0.09 + 0.035 * (nth - 1)
        line.ventricular.append((p + pr + longer, "normal"))
    return line


def _third_degree(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Complete AV block: P waves at the sinus rate, an escape rhythm of 32 to 48.

    Option `escape`: the kind of its beats, "escape" (wide) or "normal".
    """
    line = Timeline()
    for p in _onsets(_sinus_intervals(heart, duration, rng), duration, rng):
        line.atrial.append((p, "sinus"))
    ventricular = heart.rhythm_options.get("escape", "escape")
    mean = 60.0 / rng.uniform(32, 48)
    time = -_LEAD_IN + rng.uniform(0, mean)
    while time < duration + _TAIL:
        line.ventricular.append((time, ventricular))
        time += mean * (1 + rng.normal(0, 0.012))
    return line


def _junctional(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Junctional rhythm: narrow beats, P absent or inverted next to QRS."""
    line, mean = Timeline(), 60.0 / heart.rate
    offset = rng.choice([np.nan, -0.09, 0.08])  # seconds from QRS to P; nan: hidden
    time = -_LEAD_IN + rng.uniform(0, mean)
    while time < duration + _TAIL:
        line.ventricular.append((time, "normal"))
        if np.isfinite(offset):
            line.atrial.append((time + offset, "low"))
        time += mean * (1 + rng.normal(0, 0.012))
    return line


def _paced(heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Pacing: spikes before P (atrial, dual) and before a wide QRS (ventricular, dual).

    In ventricular pacing the atria fibrillate or beat at their own rate.
    """
    mode = heart.pacing or "ventricular"
    line, mean = Timeline(), 60.0 / heart.rate
    delay = rng.uniform(0.14, 0.20)  # seconds from P to QRS, as programmed
    fibrillating = rng.random() < 0.4
    tracking = mode == "dual" and rng.random() < 0.5  # senses P, paces the ventricle
    time = -_LEAD_IN + rng.uniform(0, mean)
    while time < duration + _TAIL:
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
        if fibrillating:
            line.background, line.background_rate = "fibrillation", 6.0
        else:
            pace = 60.0 / rng.uniform(60, 95)
            times = np.arange(-_LEAD_IN, duration + _TAIL, pace)
            line.atrial = [(p, "sinus") for p in times]
    return line


# Each draws a rhythm from a heart, a duration in seconds and a random generator.
RHYTHMS: dict[str, Callable[[Heart, float, Rng], Timeline]] = {
    "sinus": _sinus,
    "fibrillation": _fibrillation,
    "flutter": _flutter,
    "supraventricular": _supraventricular,
    "ectopic atrial": _ectopic_atrial,
    "second degree block": _second_degree,
    "third degree block": _third_degree,
    "junctional": _junctional,
    "paced": _paced,
}


def add_ectopy(line: Timeline, heart: Heart, duration: float, rng: Rng) -> Timeline:
    """Put premature beats into a rhythm.

    Options of the heart: `pvc` and `pac` are counts in the record; `pattern` is 2
    (bigeminy) or 3 (trigeminy) with `pattern_kind` "pvc" or "pac".

    Args:
        line: the underlying rhythm; not changed.
        heart: carries the options.
        duration: seconds.
        rng: draws which beats are premature and how early.

    Returns:
        Timeline with the premature beats in. The pause after a ventricular one is
        compensatory; after an atrial one it is not, as the sinus node is reset.
    """
    beats = sorted(line.ventricular)
    if len(beats) < 4:
        return line
    chosen = _premature_beats(beats, heart.rhythm_options, duration, rng)
    if chosen is None:
        return line
    # The share of the RR interval that a premature beat waits, and its spread.
    varied = heart.variety
    early = rng.uniform(0.55 - 0.08 * varied, 0.72 + 0.10 * varied)
    spread = 0.02 + 0.04 * varied
    pr = heart.pr / 1000
    new_atrial, new_beats = [], []
    replaced: list[tuple[float, float]] = []  # windows whose P waves are not seen
    resets: list[tuple[float, float]] = []  # from when, by how much P waves move
    shift = 0.0  # seconds by which the resets so far move the beats
    conducted = 0  # premature atrial beats so far that a QRS follows
    for i, (time, kind) in enumerate(beats):
        if i not in chosen:
            new_beats.append((time + shift, kind))
            continue
        before = beats[i - 1][0]
        wait = early + rng.normal(0, spread)
        if varied:
            wait = min(max(wait, 0.42), 0.86)
        premature = before + (time - before) * wait
        replaced.append((time - 0.45, time + 0.02))
        if chosen[i] == "pvc":
            if varied and time - before > 0.8 and rng.random() < 0.12 * varied:
                # Interpolated: the beat that was due comes, and no pause follows.
                replaced.pop()
                premature = before + (time - before) * rng.uniform(0.44, 0.52)
                new_beats += [(premature + shift, "pvc"), (time + shift, kind)]
                continue
            # The beat that was due is missing: its P falls into the refractory time.
            # The next one comes when it would have come anyway.
            new_beats.append((premature + shift, "pvc"))
            continue
        if line.background is None:  # no P wave while the atria fibrillate or flutter
            focus, lead = "ectopic", 0.95
            if varied:
                focus = str(rng.choice(["ectopic", "low", "left"], p=[0.5, 0.25, 0.25]))
                lead = rng.uniform(0.95 - 0.15 * varied, 0.95 + 0.25 * varied)
            new_atrial.append((premature - lead * pr + shift, focus))
        answered, share = True, 0.75
        if varied:
            # From no reset, a fully compensatory pause, to a reset with none.
            share = rng.uniform(0.75 - 0.75 * varied, 0.75 + 0.25 * varied)
            # A very early one may find the AV node, or a bundle branch, refractory.
            answered = not (conducted and rng.random() < 0.3 * (wait < 0.6))
            if wait < 0.65 and kind == "normal" and rng.random() < 0.25 * varied:
                kind = "aberrant"
        if answered:
            new_beats.append((premature + shift, kind))
            conducted += 1
        # The sinus node starts anew, so that all that follows comes earlier.
        reset = (time - premature) * share
        resets.append((time + 0.02, -reset))
        shift -= reset
    for time, kind in sorted(line.atrial):
        hidden = any(start < time < end for start, end in replaced)
        if hidden and line.background is None:
            continue
        moved = sum(step for start, step in resets if time > start)
        new_atrial.append((time + moved, kind))
    return replace(line, atrial=sorted(new_atrial), ventricular=sorted(new_beats))


def _premature_beats(
    beats: list[tuple[float, str]], options: dict, duration: float, rng: Rng
) -> dict[int, str] | None:
    """Choose which beats come early.

    Args:
        beats: onset in seconds and kind, in order.
        options: the heart's `pvc`, `pac`, `pattern` and `pattern_kind`.
        duration: of the record in seconds.
        rng: draws the choice.

    Returns:
        Index of a beat -> "pvc" or "pac"; None where the options ask for none.
    """
    wanted = [kind for kind in ("pvc", "pac") for _ in range(int(options.get(kind, 0)))]
    pattern = options.get("pattern")
    if not pattern and not wanted:
        return None
    chosen: dict[int, str] = {}
    if pattern:
        start = int(rng.integers(0, pattern))
        for i in range(1, len(beats) - 1):
            if (i + start) % pattern == 0:
                chosen[i] = options.get("pattern_kind", "pvc")
    # Single ones lie within the record, and never next to another.
    inside = [i for i in range(1, len(beats) - 1) if 0.1 < beats[i][0] < duration - 0.5]
    rng.shuffle(inside)
    for i in inside:
        if wanted and not {i - 1, i, i + 1} & set(chosen):
            chosen[i] = wanted.pop()
    return chosen
