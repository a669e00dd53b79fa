"""Measure intervals and the axis of any 12-lead ECG, knowing nothing of who made it.

Two rulers that share no code with the twin. `measure` works on the median beat of all
leads at once, as electrocardiographs do: QRS is where the leads' common speed exceeds
a small share of its peak, T ends where the tangent to its steepest fall meets the
baseline [1], P begins where the tangent to its steepest rise does. `neurokit` is
NeuroKit2's own delineation of lead II, beat by beat.

[1] Lepeschkin and Surawicz: The measurement of the Q-T interval of the
    electrocardiogram. Circulation 6 (1952) 378-388.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from scipy.signal import butter, sosfiltfilt

INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]  # I, II, V1-V6: the rest follow
BAND = (0.5, 40.0)  # Hz
SPEED = 0.05  # share of the peak speed at which QRS begins and ends
QUIET = 0.012  # s below it that end the search
BEFORE, AFTER = 0.40, 0.70  # s of a beat around R


@dataclass(frozen=True)
class Measured:
    """What a ruler reads from a record; NaN where it finds nothing."""

    heart_rate: float = np.nan  # beats per minute, from the median RR
    rr_spread: float = np.nan  # standard deviation of RR over its mean
    pr: float = np.nan  # ms
    qrs: float = np.nan  # ms
    qt: float = np.nan  # ms
    qtc: float = np.nan  # ms, Bazett
    axis: float = np.nan  # degrees

    def to_dict(self) -> dict[str, float]:
        """The readings by name."""
        return asdict(self)


def _r_peaks(leads: np.ndarray, rate: int) -> np.ndarray:
    """Samples of the R peaks, by NeuroKit2 on the root mean square of the leads.

    Args:
        leads: (L, T) band-passed.
        rate: Hz.
    """
    import neurokit2

    centred = leads - np.median(leads, axis=1, keepdims=True)
    size = np.sqrt((centred**2).mean(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, found = neurokit2.ecg_peaks(size, sampling_rate=rate)
    return np.asarray(found["ECG_R_Peaks"], int)


def _band_pass(signal: np.ndarray, rate: int) -> np.ndarray:
    """Filter without phase, 0.5 to 40 Hz."""
    sos = butter(2, BAND, "bandpass", fs=rate, output="sos")
    return sosfiltfilt(sos, signal, axis=-1)


def _median_beat(leads: np.ndarray, peaks: np.ndarray, rate: int) -> np.ndarray | None:
    """Median of the beats that look alike, (L, W), R at `BEFORE` seconds.

    Args:
        leads: (L, T).
        peaks: samples of R.
        rate: Hz.

    Returns:
        None where fewer than two whole beats exist.
    """
    before, after = round(BEFORE * rate), round(AFTER * rate)
    whole = [p for p in peaks if before <= p < leads.shape[1] - after]
    if len(whole) < 2:
        return None
    beats = np.stack([leads[:, p - before : p + after] for p in whole])
    middle = np.median(beats, axis=0)
    like = [np.corrcoef(b.ravel(), middle.ravel())[0, 1] > 0.9 for b in beats]
    return np.median(beats[like], axis=0) if sum(like) > 2 else middle


def _qrs_bounds(beat: np.ndarray, rate: int) -> tuple[int, int]:
    """First and last sample of QRS in a median beat (L, W), by the leads' speed."""
    speed = np.sqrt((np.gradient(beat, axis=1) ** 2).sum(axis=0))
    speed = np.convolve(speed, np.ones(3) / 3, "same")
    r = round(BEFORE * rate)
    near = slice(r - round(0.1 * rate), r + round(0.1 * rate))
    top = near.start + int(speed[near].argmax())
    rest = [
        *speed[r - round(0.18 * rate) : r - round(0.10 * rate)],
        *speed[r + round(0.20 * rate) : r + round(0.28 * rate)],
    ]
    limit = np.median(rest) + SPEED * (speed[top] - np.median(rest))
    quiet = round(QUIET * rate)

    def edge(step: int) -> int:
        sample, calm = top, 0
        while 1 < sample < len(speed) - 2 and calm < quiet:
            sample += step
            calm = calm + 1 if speed[sample] < limit else 0
        return sample - step * (calm - 1)  # the first sample of the calm

    return edge(-1), edge(1)


def _main_wave(part: np.ndarray, skip: int) -> tuple[np.ndarray, int]:
    """The leads' common wave (W,), upright, and its peak beyond the first `skip`.

    Args:
        part: (L, W), zero at its baseline.
        skip: samples at the start.
    """
    direction = np.linalg.svd(part, full_matrices=False)[0][:, 0]
    wave = np.convolve(direction @ part, np.ones(5) / 5, "same")
    peak = skip + int(np.abs(wave[skip:]).argmax())
    return wave * np.sign(wave[peak]), peak


def t_end(beat: np.ndarray, onset: int, end: int, rr: float, rate: int) -> float:
    """Sample at which T ends, by the tangent method; NaN if T does not fall."""
    level = np.median(beat[:, max(onset - 8, 0) : onset], axis=1, keepdims=True)
    start = end + round(0.05 * rate)
    length = min(beat.shape[1] - start, round(0.75 * rr * rate))
    wave, peak = _main_wave((beat - level)[:, start : start + length], 0)
    slope = np.gradient(wave)
    fall = slope[peak : peak + round(0.18 * rate)]
    steep = peak + int(fall.argmin())
    if slope[steep] >= 0:
        return np.nan
    return start + steep - wave[steep] / slope[steep]


def p_onset(beat: np.ndarray, onset: int, rr: float, rate: int) -> float:
    """Sample at which P begins, by the tangent method; NaN if nothing rises there."""
    level = np.median(beat[:, max(onset - 10, 0) : onset - 3], axis=1, keepdims=True)
    start = max(onset - min(round(0.34 * rate), round(0.55 * rr * rate)), 0)
    part = (beat - level)[:, start : onset - 4]
    if part.shape[1] < round(0.1 * rate):
        return np.nan
    wave, peak = _main_wave(part, round(0.04 * rate))
    slope = np.gradient(wave)
    first = max(peak - round(0.08 * rate), 0)
    steep = first + int(slope[first : peak + 1].argmax())
    if slope[steep] <= 0:
        return np.nan
    rest = wave[max(steep - round(0.09 * rate), 0) : max(steep - round(0.05 * rate), 3)]
    return start + steep - (wave[steep] - np.median(rest)) / slope[steep]


def measure(signal: np.ndarray, rate: int = 500) -> Measured:
    """Measure a record on its median beat.

    Args:
        signal: (12, T) mV in canonical order.
        rate: Hz.
    """
    leads = _band_pass(np.asarray(signal, float)[INDEPENDENT], rate)
    peaks = _r_peaks(leads, rate)
    beat = _median_beat(leads, peaks, rate)
    if beat is None:
        return Measured()
    intervals = np.diff(peaks) / rate
    rr = float(np.median(intervals))
    onset, end = _qrs_bounds(beat, rate)
    step = 1000.0 / rate
    qt = (t_end(beat, onset, end, rr, rate) - onset) * step
    area = (beat[:2, onset:end] - beat[:2, onset : onset + 1]).sum(axis=1)
    avf = 2 / np.sqrt(3) * (area[1] - area[0] / 2)
    return Measured(
        heart_rate=60.0 / rr,
        rr_spread=float(intervals.std() / intervals.mean()),
        pr=(onset - p_onset(beat, onset, rr, rate)) * step,
        qrs=(end - onset) * step,
        qt=qt,
        qtc=qt / np.sqrt(rr),
        axis=float(np.rad2deg(np.arctan2(avf, area[0]))),
    )


def _middle(values: np.ndarray) -> float:
    """Median of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan


def neurokit(signal: np.ndarray, rate: int = 500) -> Measured:
    """Measure a record by NeuroKit2's delineation of lead II ("prominence").

    Its QRS bounds are not used: the method caps them at a fixed window.

    Args:
        signal: (12, T) mV in canonical order.
        rate: Hz.
    """
    import neurokit2

    leads = _band_pass(np.asarray(signal, float)[INDEPENDENT], rate)
    peaks = _r_peaks(leads, rate)
    if len(peaks) < 3:
        return Measured()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _, waves = neurokit2.ecg_delineate(
                leads[1], peaks, sampling_rate=rate, method="prominence"
            )
        except (ValueError, IndexError, ZeroDivisionError):
            return Measured()  # NeuroKit2 gives up on some beats with an error
    onset, p, t = (
        np.asarray(waves[f"ECG_{name}"], float)
        for name in ("R_Onsets", "P_Onsets", "T_Offsets")
    )
    rr = float(np.median(np.diff(peaks))) / rate
    qt = _middle(t - onset) * 1000.0 / rate
    pr = _middle(onset - p) * 1000.0 / rate
    return Measured(heart_rate=60.0 / rr, pr=pr, qt=qt, qtc=qt / np.sqrt(rr))
