"""One record: from statements to twelve leads and the truth about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from mccgaa_twin import anatomy, device, findings, rhythm, torso, variety
from mccgaa_twin.physiology import (
    PRE_MS,
    RATE,
    Activation,
    Change,
    Chest,
    Heart,
    Rng,
    activate,
    activate_intact,
    mean_axis,
    position,
)
from mccgaa_twin.rhythm import Timeline
from mccgaa_twin.waves import Ventricle, p_wave, ventricle

# A pacing spike and the electrode's recovery from it, sample by sample.
_SPIKE = np.array([[1.0, 0.9, -0.12, -0.08, -0.04]])


@dataclass
class Truth:
    """What a record was made with: what a delineation of it should find."""

    heart_rate: float  # ventricular, beats per minute, over the record
    rr_sd: float  # seconds, standard deviation of the RR intervals
    pr: float | None  # ms; None without a fixed P before QRS
    qrs: float  # ms
    qt: float  # ms, at the mean RR
    qtc: float  # ms, Bazett, as machines print it
    p_axis: float | None  # degrees
    qrs_axis: float  # degrees
    t_axis: float  # degrees
    rhythm: str  # a key of rhythm.RHYTHMS
    onsets: list[float] = field(default_factory=list)  # s, QRS onsets in the record
    # normal | aberrant | pvc | paced | escape
    kinds: list[str] = field(default_factory=list)
    p_duration: float = 0.0  # ms
    noise: dict[str, bool] = field(default_factory=dict)  # what a reader would mention


@dataclass
class Subject:
    """What stays the same in one person from record to record."""

    age: float  # years
    sex: int  # 0 male, 1 female, as PTB-XL codes it
    seed: int  # of the body: torso, masses, usual intervals
    variety: float = 0.0  # in [0, 1]: how far shapes and noises vary


def draw_subject(rng: Rng, mean_age: float = 62.0, variety: float = 0.0) -> Subject:
    """Draw a person: age 18 to 95, either sex, a body of their own."""
    age = float(np.clip(rng.normal(mean_age, 17), 18, 95))
    female = int(rng.random() < 0.48)
    return Subject(round(age), female, int(rng.integers(2**31)), variety)


def _healthy_heart(subject: Subject, rng: Rng) -> Heart:
    """Make a normal heart with this subject's build.

    Means and spreads are those of normal adults by age and sex.

    Args:
        subject: the person; `subject.seed` fixes the body.
        rng: draws what differs between two records of one person.

    Returns:
        Heart within normal limits (rate 60-100, PR 120-200, QRS < 110, axis -30..90).
    """
    # The body's own generator: each draw below keeps its place in the sequence.
    body = np.random.default_rng(subject.seed)
    female, age = subject.sex == 1, subject.age
    heart = Heart()
    heart.rate = float(np.clip(rng.normal(72, 9), 62, 97))
    heart.pr = float(np.clip(body.normal(152 + 0.2 * (age - 50), 18), 122, 197))
    heart.qrs = float(np.clip(body.normal(82 if female else 89, 7), 68, 107))
    heart.own_qrs = heart.qrs
    # QT is longer in women; the axis turns to the left with age.
    heart.qtc = float(np.clip(body.normal(407 if female else 397, 14), 360, 435))
    heart.axis = float(np.clip(body.normal(47 - 0.5 * (age - 45), 20), -28, 88))
    heart.turn = float(body.normal(0, 14))
    heart.mass *= body.lognormal(0, 0.13, 22)
    # The right ventricle, heavy at birth, weighs less and less beside the left.
    heart.mass[anatomy.RV] *= body.lognormal(0, 0.15) * (1.15 - 0.006 * (age - 30))
    # With age the chest leads' transition moves to the left: more force backwards.
    heart.mass[anatomy.BACK] *= body.lognormal(0, 0.15) * (1 + 0.008 * (age - 45))
    # Voltages are lower in women, and T falls with age.
    heart.gain = float(body.lognormal(0.0, 0.25)) * (0.92 if female else 1.05)
    heart.fragments = float(body.gamma(2.0, 0.02))
    heart.t_amplitude *= float(body.lognormal(0, 0.28)) * (0.85 if female else 1.1)
    heart.t_amplitude *= 1.15 - 0.005 * (age - 40)
    heart.t_width = float(np.clip(body.normal(42, 5), 32, 54))
    heart.t_skew = float(body.uniform(1.3, 1.8))
    heart.t_gain = body.lognormal(0, 0.12, 22)
    # ST lies a little above the baseline in V1-V3, more so in men and in the young.
    heart.st_vector = np.array([-0.015, 0.005, -0.055]) * float(body.gamma(3.0, 1 / 3))
    heart.st_vector *= (0.8 if female else 1.3) * (1.3 - 0.006 * (age - 20))
    heart.u_wave = float(body.random() < 0.25) * float(body.uniform(0.03, 0.12))
    heart.p_duration = float(np.clip(body.normal(103, 9), 80, 119))
    heart.right_atrium *= float(body.lognormal(0, 0.25))
    heart.left_atrium *= float(body.lognormal(0, 0.25))
    # Electrode positions in cm; the torso's matrix; where ectopic beats would start.
    heart.chest = torso.CHEST * body.lognormal(0, 0.07) + body.normal(0, 0.9, (6, 3))
    heart.dower = torso.DOWER * body.lognormal(0, 0.08, (8, 1))
    heart.dower = heart.dower + body.normal(0, 0.06, (8, 3))
    heart.focus = int(body.choice([20, 21, 18, 17, 10, 4, 9, 6]))
    # Where the electrodes were put this time.
    heart.chest = heart.chest + rng.normal(0, 0.5, (6, 3))
    heart.axis += float(rng.normal(0, 4))
    if subject.variety:
        variety.vary_heart(heart, subject.variety, body)
        variety.vary_visit(heart, subject.variety, rng)
    return heart


def _kinds(
    heart: Heart, chest: Chest, intact: Activation, normal: Activation, rng: Rng
) -> Callable[[str], Ventricle]:
    """The kinds of ventricular beat of this heart, each made when first asked for."""

    @cache
    def of(kind: str) -> Ventricle:
        if kind == "normal":
            activation = normal
        elif kind == "aberrant":  # the right bundle branch is still refractory
            open_ones = {k: v for k, v in heart.entries.items() if k != "right"}
            # In left bundle branch block the right bundle is the only way in.
            open_ones = open_ones or heart.entries
            wide = min(heart.qrs + rng.uniform(18, 45), 165.0)
            late = replace(heart, entries=open_ones, qrs=max(wide, heart.qrs))
            activation = activate(late, intact)
        elif kind == "pvc":
            activation = activate(heart, intact, heart.focus, rng.uniform(132, 175))
        else:  # paced at the right ventricle's apex; escape from either ventricle
            apex = anatomy.RV_APEX
            focus = apex if kind == "paced" else int(rng.choice([apex, 9, 18]))
            activation = activate(heart, intact, focus, rng.uniform(140, 185))
        return ventricle(heart, chest, activation, intact, rng)

    return of


def _add(signal: np.ndarray, wave: np.ndarray, start: int) -> None:
    """Add a wave (8, W) to a signal (8, T) from a sample on, cut at both ends."""
    first, last = max(start, 0), min(start + wave.shape[1], signal.shape[1])
    if first < last:
        signal[:, first:last] += wave[:, first - start : last - start]


def _flutter_waves(rate: float, chest: Chest, samples: int, rng: Rng) -> np.ndarray:
    """Flutter waves (8, T) in mV of a rate in Hz."""
    time = np.arange(samples) / RATE
    phase = rate * time + rng.random()  # in turns
    phase += 0.01 * np.cumsum(rng.standard_normal(samples)) / np.sqrt(RATE)
    turn = phase % 1.0
    # A fast limb and a slow one: the saw-tooth, negative in II, III, aVF.
    fast = rng.uniform(0.25, 0.4)  # share of the fast limb
    saw = np.where(turn < fast, 1 - 2 * turn / fast, 2 * (turn - fast) / (1 - fast) - 1)
    size = rng.uniform(0.09, 0.20)  # mV
    second = np.sin(2 * np.pi * phase + rng.uniform(0.8, 1.6))
    axes = np.array([[0.12, 1.0, 0.05], [0.1, 0.0, -0.7]])  # of saw-tooth and sine
    amount = chest.heart.variety
    if amount:
        axes = axes + amount * rng.normal(0, 0.2, (2, 3))
        if rng.random() < 0.2 * amount:  # the circuit runs clockwise
            axes = -axes
        size *= rng.lognormal(0, 0.4 * amount)
        # From a sharp saw-tooth to a wave that hardly differs from a sine.
        soft = amount * rng.uniform(0, 0.8)
        saw = (1 - soft) * saw + soft * np.sin(2 * np.pi * phase + rng.uniform(0, 1))
    down = chest.vector(axes[0]) * size  # (8,)
    front = chest.vector(axes[1]) * size * 0.6
    return down[:, None] * saw + front[:, None] * second


def _fibrillatory_waves(
    rate: float, chest: Chest, samples: int, rng: Rng
) -> np.ndarray:
    """Fibrillatory waves (8, T) in mV around a rate in Hz.

    Three sources, each a sum of three sines whose phases walk at random.
    """
    time = np.arange(samples) / RATE
    size = rng.lognormal(np.log(0.035), 0.45 + 0.2 * chest.heart.variety)  # mV
    waves = np.zeros((3, samples))
    for partial, share in ((1.0, 1.0), (1.6, 0.5), (2.3, 0.3)):
        # A random walk with 20 steps per second, between them straight.
        walk = np.cumsum(rng.standard_normal((3, samples // 25 + 2)), axis=1) * 0.16
        drift = np.stack([np.interp(time, np.arange(len(w)) / 20.0, w) for w in walk])
        angle = 2 * np.pi * (rate * partial) * time + drift * 2
        waves += share * np.sin(angle + rng.uniform(0, 6.3, (3, 1)))
    # The right atrium lies under V1, where fibrillation shows best.
    frame = np.array([[0.3, 0.4, 0.0], [0.2, 0.8, -0.2], [0.0, 0.1, -1.3]]) * size
    return np.stack([chest.vector(v) for v in frame], axis=1) @ waves  # (8, 3) @ (3, T)


def _ventricular_waves(
    beats: list[tuple[float, str]],
    heart: Heart,
    kind_of: Callable[[str], Ventricle],
    samples: int,
    rng: Rng,
) -> np.ndarray:
    """QRS, ST, T and U of all beats, (8, T) in mV.

    Args:
        beats: QRS onset in seconds and kind, in order.
        heart: gives the rate before the first beat.
        kind_of: makes a kind of beat.
        samples: length of the record.
        rng: draws how breathing changes the amplitudes.
    """
    signal = np.zeros((8, samples))
    times = np.array([t for t, _ in beats])
    intervals = np.diff(times, prepend=times[0] - 60.0 / heart.rate)
    # Breathing turns the heart: 1 to 6 % of the amplitude, of either sign by lead.
    breath, phase = rng.uniform(0.18, 0.32), rng.uniform(0, 2 * np.pi)  # Hz, radians
    most = 0.06 + 0.04 * heart.variety
    depth = rng.uniform(0.01, most) * np.array([1, 0.6, 1, 1, 0.8, 0.8, 1, 1.2])
    depth = depth * rng.choice([-1, 1], 8)
    waves: dict[tuple[str, int], np.ndarray] = {}
    rr = 60.0 / heart.rate
    for (time, kind), interval in zip(beats, intervals, strict=True):
        # QT follows the rate with a lag of several beats.
        rr += 0.35 * (min(max(float(interval), 0.3), 2.0) - rr)
        beat = kind_of(kind)
        qt = 4 * round(beat.qt(rr) / 4)  # in steps of 4 ms, so that waves are reused
        if (kind, qt) not in waves:
            waves[kind, qt] = beat.wave(qt)
        swing = 1 + depth * np.sin(2 * np.pi * breath * time + phase)
        start = round(time * RATE - PRE_MS * RATE / 1000)
        _add(signal, waves[kind, qt] * swing[:, None], start)
    return signal


def _synthesise(heart: Heart, rng: Rng, duration: float) -> tuple[np.ndarray, Truth]:
    """Let a heart beat for some seconds, without noise.

    Args:
        heart: subject and findings.
        rng: draws the rhythm and each beat's variation.
        duration: seconds.

    Returns:
        (8, T) mV in the order of `torso.INDEPENDENT`, at 500 Hz, and the truth.
    """
    samples = round(duration * RATE)
    line = rhythm.RHYTHMS[heart.rhythm](heart, duration, rng)
    line = rhythm.add_ectopy(line, heart, duration, rng)
    intact = activate_intact(heart)
    normal = activate(heart, intact)
    chest = position(heart, intact, normal)
    kind_of = _kinds(heart, chest, intact, normal, rng)
    beats = sorted(line.ventricular)
    signal = _ventricular_waves(beats, heart, kind_of, samples, rng)
    kinds = {kind for _, kind in line.atrial}
    p_waves = {kind: p_wave(heart, chest, kind) for kind in kinds}
    for time, kind in line.atrial:
        _add(signal, p_waves[kind], round((time - 0.020) * RATE))
    if line.background == "flutter":
        signal += _flutter_waves(line.background_rate, chest, samples, rng)
    elif line.background == "fibrillation":
        signal += _fibrillatory_waves(line.background_rate, chest, samples, rng)
    if line.spikes:
        spike = chest.vector(rng.normal(0, 1, 3))[:, None] * rng.uniform(0.3, 1.5)
        for time in line.spikes:
            _add(signal, spike * _SPIKE, round(time * RATE))
    return signal, _truth(heart, line, beats, duration, kind_of, p_waves)


def _truth(
    heart: Heart,
    line: Timeline,
    beats: list[tuple[float, str]],
    duration: float,
    kind_of: Callable[[str], Ventricle],
    p_waves: dict[str, np.ndarray],
) -> Truth:
    """Collect the truth of a record.

    QRS, QT and the axes are those of the heart's normal beats, or of the commonest kind
    where there are none.
    """
    inside = [(t, k) for t, k in beats if 0 <= t < duration]
    intervals = np.diff([t for t, _ in inside])
    mean = float(intervals.mean()) if len(intervals) else 60.0 / heart.rate
    kinds = [k for _, k in inside] or ["normal"]
    main = max(sorted(set(kinds)), key=kinds.count)
    beat = kind_of("normal" if "normal" in kinds else main)
    fixed = heart.rhythm in ("sinus", "ectopic atrial") and not line.background
    has_p = bool(line.atrial) and not line.background
    t_leads = beat.t_weights.sum(axis=1)
    p_leads = p_waves["sinus"].sum(axis=1) if has_p and "sinus" in p_waves else None
    qt = beat.qt(mean)
    return Truth(
        heart_rate=60.0 / mean,
        rr_sd=float(intervals.std()) if len(intervals) else 0.0,
        pr=heart.pr if fixed else None,
        qrs=beat.duration,
        qt=qt,
        qtc=qt / mean**0.5,
        p_axis=mean_axis(p_leads) if p_leads is not None else None,
        qrs_axis=beat.axis,
        t_axis=mean_axis(t_leads),
        rhythm=heart.rhythm,
        onsets=[round(t, 4) for t, _ in inside],
        kinds=[k for _, k in inside],
        p_duration=heart.p_duration if has_p else 0.0,
    )


def render(
    statements: dict[str, float] | list[str],
    rng: Rng,
    subject: Subject,
    duration: float = 10.0,
    changes: Sequence[Change] = (),
) -> tuple[np.ndarray, Truth]:
    """Render what a subject's heart with findings shows on the body, without noise.

    Args:
        statements: PTB-XL codes, with strengths or without.
        rng: draws everything but the subject's body.
        subject: the person.
        duration: seconds.
        changes: further changes of the heart, made after the statements.

    Returns:
        (8, T) mV at 500 Hz in the order of `torso.INDEPENDENT`, and the truth.

    Raises:
        MccgaaError: an unknown statement.
    """
    heart = _healthy_heart(subject, rng)
    findings.apply(heart, statements, rng)
    for change in changes:
        change(heart, 1.0, rng)
    if heart.variety:  # P does not move into the QRS before it
        heart.pr = min(heart.pr, max(210.0, 0.5 * 60_000 / heart.rate))
    return _synthesise(heart, rng, duration)


def simulate_record(
    statements: dict[str, float] | list[str],
    rng: Rng,
    *,
    subject: Subject | None = None,
    source: str | None = "ptbxl",
    duration: float = 10.0,
) -> tuple[np.ndarray, Truth]:
    """Make one 12-lead ECG that carries the given statements.

    Args:
        statements: PTB-XL statement codes, with strengths in (0, 1.5] or, as a list,
            with strengths drawn.
        rng: draws everything.
        subject: the person; drawn when None.
        source: whose device records it (a key of `device.DEVICES`); None gives the
            noiseless signal.
        duration: seconds.

    Returns:
        (12, T) mV at 500 Hz in the order of `torso.LEADS`, and the truth.

    Raises:
        MccgaaError: an unknown statement.
    """
    subject = subject or draw_subject(rng)
    body, truth = render(statements, rng, subject, duration)
    if source is None:
        return torso.twelve_leads(body), truth
    cart = device.DEVICES[source]
    steps, truth.noise = device.record(body, cart, RATE, rng, subject.variety)
    return steps * cart.lsb, truth
