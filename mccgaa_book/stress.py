"""What goes wrong with recordings: noise, lost leads, shifts, rates, swapped cables.

A disturbance changes a recording before it is filtered, resampled and standardised, as
it would in a hospital: the band-pass then takes what it can of wander and mains.

Noise arises at electrodes, not in leads. It is made for RA, LA, LL and V1 to V6 and
carried into the twelve leads, so that Einthoven's law (I + III = II) holds for it. Its
level is the ratio of powers, averaged over the leads, of the recording without its mean
and of the noise, in dB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from mccgaa.config import LEADS
from mccgaa.data.record import Record

Array = NDArray[np.floating]
Noise = Callable[[np.random.Generator, int, float], Array]

LEVELS = (24, 12, 6, 0)  # dB
SHIFTS = (1, 2, 4)  # seconds
RATES = (100, 125, 200, 250, 360, 500)  # Hz
MAINS = 50.0  # Hz

# Rows: the leads. Columns: RA, LA, LL, V1, ..., V6; V6 is against Wilson's terminal.
ELECTRODES = np.zeros((12, 9))
ELECTRODES[:6, :3] = [
    [-1, 1, 0],  # I
    [-1, 0, 1],  # II
    [0, -1, 1],  # III
    [1, -0.5, -0.5],  # aVR
    [-0.5, 1, -0.5],  # aVL
    [-0.5, -0.5, 1],  # aVF
]
ELECTRODES[6:, :3] = -1 / 3
ELECTRODES[6:, 3:] = np.eye(6)

# Swapped electrodes -> for each lead which one is recorded in its place, and its sign.
SWAPS = {
    "RA-LA": "-I III II aVL aVR aVF V1 V2 V3 V4 V5 V6",
    "RA-LL": "-III -II -I aVF aVL aVR V1 V2 V3 V4 V5 V6",
    "LA-LL": "II I -III aVR aVF aVL V1 V2 V3 V4 V5 V6",
}


@dataclass(frozen=True)
class Disturbance:
    """One way in which a recording is disturbed, at one level."""

    kind: str  # such as "wander"; "clean" for none
    level: str  # such as "12 dB", "V1", "2 s", "250 Hz" or "RA-LA"
    change: Callable[[Record, int], Record]  # of a record and a seed

    @property
    def name(self) -> str:
        """Both, such as "wander 12 dB"."""
        return f"{self.kind} {self.level}".strip()


def disturbances() -> Iterator[Disturbance]:
    """List every disturbance, the undisturbed recording first."""
    yield Disturbance("clean", "", lambda record, seed: record)
    for kind, noise in NOISES.items():
        for level in LEVELS:
            yield Disturbance(kind, f"{level} dB", partial(add_noise, noise, level))
    for lead in LEADS:
        yield Disturbance("lost lead", lead, partial(lose, lead))
    for seconds in SHIFTS:
        yield Disturbance("shift", f"{seconds} s", partial(shift, seconds))
    for rate in RATES:
        yield Disturbance("rate", f"{rate} Hz", partial(record_at, rate))
    for pair in SWAPS:
        yield Disturbance("swapped", pair, partial(swap, pair))


def wander(rng: np.random.Generator, length: int, rate: float) -> Array:
    """Baseline wander: three sinusoids of 0.05 to 0.5 Hz per electrode, (9, T)."""
    time = np.arange(length) / rate  # (T,) s
    frequency = np.exp(rng.uniform(np.log(0.05), np.log(0.5), (9, 3, 1)))
    phase = rng.uniform(0, 2 * np.pi, (9, 3, 1))
    size = rng.uniform(0, 1, (9, 3, 1))
    return (size * np.sin(2 * np.pi * frequency * time + phase)).sum(1)


def muscle(rng: np.random.Generator, length: int, rate: float) -> Array:
    """Muscle noise: white from 20 Hz to 150 Hz, another at each electrode, (9, T)."""
    spectrum = np.fft.rfft(rng.normal(size=(9, length)))
    frequency = np.fft.rfftfreq(length, 1 / rate)  # (F,)
    return np.fft.irfft(spectrum * ((frequency >= 20) & (frequency <= 150)), length)


def mains(rng: np.random.Generator, length: int, rate: float) -> Array:
    """Mains: 50 Hz of one phase, of another size and sign at each electrode, (9, T)."""
    time = np.arange(length) / rate  # (T,) s
    wave = np.sin(2 * np.pi * MAINS * time + rng.uniform(0, 2 * np.pi))
    return rng.uniform(-1, 1, (9, 1)) * wave


def motion(rng: np.random.Generator, length: int, rate: float) -> Array:
    """Electrode motion: steps that die away, about one every 2 s per electrode, (9, T).

    Their time constants of 0.1 to 0.5 s put their power where QRS and T have theirs,
    so no filter takes it.
    """
    time = np.arange(length) / rate  # (T,) s
    found = np.zeros((9, length))
    for electrode in found:
        count = 1 + rng.poisson(time[-1] / 2)
        starts, sizes = rng.uniform(0, time[-1], count), rng.normal(size=count)
        decays = rng.uniform(0.1, 0.5, count)
        for start, size, decay in zip(starts, sizes, decays, strict=True):
            since = np.clip(time - start, 0, None)
            electrode += size * np.exp(-since / decay) * (time >= start)
    return found


NOISES: dict[str, Noise] = {
    "wander": wander,
    "muscle": muscle,
    "mains": mains,
    "motion": motion,
}


def add_noise(noise: Noise, level: float, record: Record, seed: int) -> Record:
    """Add noise at a level in dB; absent leads stay absent."""
    rng = np.random.default_rng(seed)
    signal = record.signal.astype(np.float64)  # (12, T)
    here = record.present
    added = ELECTRODES @ noise(rng, signal.shape[1], record.sampling_rate)  # (12, T)
    power = np.nanvar(signal[here], axis=1).mean()
    size = np.sqrt(power / added[here].var(axis=1).mean() / 10 ** (level / 10))
    signal[here] += size * added[here]
    return replace(record, signal=signal.astype(np.float32))


def lose(lead: str, record: Record, seed: int) -> Record:
    """Lose a lead, as if it had never been recorded."""
    here = record.present & (np.array(LEADS) != lead)
    return replace(record, signal=record.signal * here[:, None], present=here)


def shift(seconds: float, record: Record, seed: int) -> Record:
    """Begin later: what comes before the new start follows the end."""
    samples = round(seconds * record.sampling_rate)
    return replace(record, signal=np.roll(record.signal, -samples, axis=1))


def record_at(rate: int, record: Record, seed: int) -> Record:
    """Record at another rate, with a filter against aliasing."""
    ratio = Fraction(rate / record.sampling_rate).limit_denominator(1000)
    if ratio == 1:
        return record
    up, down = ratio.as_integer_ratio()
    gaps_filled = np.nan_to_num(record.signal)  # a NaN would spread
    signal = resample_poly(gaps_filled, up, down, axis=1, padtype="line")
    signal = signal.astype(np.float32)
    return replace(record, signal=signal, sampling_rate=float(rate))


def swap(pair: str, record: Record, seed: int) -> Record:
    """Swap the cables of two limb electrodes."""
    names = SWAPS[pair].split()
    order = [LEADS.index(name.lstrip("-")) for name in names]
    sign = np.array([-1.0 if name.startswith("-") else 1.0 for name in names])
    signal = record.signal[order] * sign[:, None]
    signal = signal.astype(np.float32)
    return replace(record, signal=signal, present=record.present[order])
