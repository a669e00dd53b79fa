"""From a record to a model's input: the path that packing and `classify` share.

Order of the steps, and why:

1. short runs of invalid samples are interpolated, longer ones refuse the record;
2. `bandpass-zscore` filters at the record's own rate, where 40 Hz is far from Nyquist;
3. `scipy.signal.resample_poly` goes to the wanted rate;
4. the wanted seconds are cut out;
5. `bandpass-zscore` standardises each lead over the samples that were cut out, and
6. what is short is padded with zeros last, so that padding never sways the z-score.

Absent leads and padding are zeros here, and no mask goes with them. A model that scales
its batches later (`InputConfig.scaling`) finds both by their zeros, leaves them zeros,
and takes minimum and maximum over the rest (`model.scale_input`).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np

from mccgaa.config import LEADS, InputConfig
from mccgaa.data import dsp
from mccgaa.data.record import NORMALISED, Record
from mccgaa.errors import RecordError

Policy = Literal["first-10s", "first-5s-padded"]
DEFAULT_POLICY: Policy = "first-10s"

BAND = (0.5, 40.0)  # Hz
_ORDER = 4  # Butterworth, run forwards and backwards
_MAX_GAP = 0.2  # seconds; shorter than any two beats lie apart
_MAX_NAN_SHARE = 0.05  # of a lead's samples, in however many short gaps
_WAY_OUT = (
    "Cut that part out of the file, or leave the lead out and pass allow_missing_leads "
    "(command line: --allow-missing-leads)."
)
_FIRST = {"first-10s": None, "first-5s-padded": 5.0}


def prepare(
    record: Record,
    config: InputConfig,
    policy: Policy = DEFAULT_POLICY,
    *,
    start: float = 0.0,
    seconds: float | None = None,
) -> np.ndarray:
    """Turn a record into the array that a model or a store takes (section 4.1).

    `config.scaling` is not applied here: the model scales its batches.

    Args:
        record: what `read_record` returned.
        config: rate (Hz), duration (s) and transform.
        policy: `first-10s` keeps `config.duration` seconds and pads what is shorter
            with zeros; `first-5s-padded` keeps 5 s and pads the rest (MERL's reading
            of CPSC2018).
        start: seconds into the record at which the window begins.
        seconds: the length that the record must have, or None for any length.

    Returns:
        float32 (12, config.length) in mV (`raw`) or standard deviations.

    Raises:
        RecordError: physical units are wanted of a record without them, the length is
            wrong, too many samples are invalid, or the rate cannot hold the band.
    """
    if policy not in _FIRST:
        raise RecordError(f"{policy!r} is no length policy; use {', '.join(_FIRST)}.")
    if seconds is not None and record.signal.shape[1] != round(
        seconds * record.sampling_rate
    ):
        raise RecordError(
            f"{record.path} lasts {record.duration:g} s; this dataset's records last "
            f"{seconds:g} s."
        )
    kept = round((_FIRST[policy] or config.duration) * config.sampling_rate)
    first = round(start * config.sampling_rate)
    signal = _whole(record, config)  # (12, T)
    return _cut(signal, record, config, first, min(kept, config.length))


def prepare_windows(record: Record, config: InputConfig) -> np.ndarray:
    """Turn a record of any length into as many inputs of a model as it takes.

    Args:
        record: what `read_record` returned.
        config: rate (Hz), duration (s) and transform.

    Returns:
        float32 (W, 12, config.length), as `prepare` gives them up to rounding, but
        without scipy. Windows lie end to end; where the record is no whole number of
        them, the last one ends with the record and overlaps the one before. A record
        that is shorter than one is padded with zeros.

    Raises:
        RecordError: as `prepare`.
    """
    signal = _whole(record, config, alone=True)  # (12, T)
    length = config.length
    last = max(0, signal.shape[1] - length)
    starts = [*range(0, last, length), last]
    return np.stack([_cut(signal, record, config, at, length) for at in starts])


def _whole(record: Record, config: InputConfig, alone: bool = False) -> np.ndarray:
    """Filter and resample a whole record -> (12, T) at the wanted rate.

    Args:
        record: what `read_record` returned.
        config: rate (Hz) and transform.
        alone: it is the only one, for which it does not pay to load scipy.
    """
    standardise = config.transform == "bandpass-zscore"
    if not standardise and record.units != "mV":
        why = "z-scored" if record.units == NORMALISED else "without a stated gain"
        raise RecordError(
            f"{record.path} is {why} (units {record.units}), so its amplitude is lost; "
            "pack it with the transform bandpass-zscore."
        )
    signal = _fill_gaps(record)  # (12, T)
    # NU came to us filtered and z-scored; a second pass would narrow its band.
    if standardise and record.units != NORMALISED:
        signal = _bandpass(record, signal, alone)
    return _resample(signal, record.sampling_rate, config.sampling_rate, alone)


def _cut(
    signal: np.ndarray, record: Record, config: InputConfig, first: int, kept: int
) -> np.ndarray:
    """Cut at most `kept` samples from `first` on out of (12, T); scale and pad them."""
    window = signal[:, first : first + kept]
    if window.shape[1] < 2:
        start = first / config.sampling_rate
        raise RecordError(f"{record.path} has nothing {start:g} s after its start.")
    if config.transform == "bandpass-zscore":
        window = _zscore(window, record)
    out = np.zeros((len(LEADS), config.length), dtype=np.float32)
    out[:, : window.shape[1]] = window
    out[~record.present] = 0
    return out


def _fill_gaps(record: Record) -> np.ndarray:
    """Interpolate invalid samples in short runs.

    Returns:
        (12, T) without NaN; the record's own array when nothing was to be filled.

    Raises:
        RecordError: a run is longer than 0.2 s, or over 5 % of a lead is invalid.
    """
    if record.quality.nan_share == 0:
        return record.signal
    signal = record.signal.copy()
    longest = _MAX_GAP * record.sampling_rate
    for lead, trace in zip(LEADS, signal, strict=True):
        bad = np.isnan(trace)
        if not bad.any():
            continue
        edges = np.flatnonzero(np.diff(np.concatenate(([0], bad.view(np.int8), [0]))))
        gap = int((edges[1::2] - edges[::2]).max())
        if gap > longest:
            raise RecordError(
                f"{record.path}: lead {lead} is invalid for "
                f"{gap / record.sampling_rate:.2f} s; up to {_MAX_GAP} s are "
                f"interpolated. {_WAY_OUT}"
            )
        if bad.mean() > _MAX_NAN_SHARE:
            raise RecordError(
                f"{record.path}: {bad.mean():.1%} of lead {lead} is invalid; "
                f"up to {_MAX_NAN_SHARE:.0%} is interpolated. {_WAY_OUT}"
            )
        trace[bad] = np.interp(np.flatnonzero(bad), np.flatnonzero(~bad), trace[~bad])
    return signal


def _bandpass(record: Record, signal: np.ndarray, alone: bool) -> np.ndarray:
    """Filter without shifting anything in time."""
    rate = record.sampling_rate
    if rate <= 2 * BAND[1]:
        raise RecordError(
            f"{record.path} has {rate:g} Hz; the transform bandpass-zscore keeps what "
            f"is below {BAND[1]:g} Hz, and needs more than {2 * BAND[1]:g} Hz."
        )
    # scipy's short padding at the ends; the z-scored part of PTB-XL was made with it.
    edge = 3 * (2 * _ORDER + 1)
    if signal.shape[1] <= edge:
        raise RecordError(f"{record.path} is too short ({record.duration:g} s).")
    if alone:
        return dsp.filter_both_ways(dsp.bandpass(_ORDER, *BAND, rate), signal, edge)
    from scipy.signal import sosfiltfilt

    return sosfiltfilt(_filter(rate), signal, axis=1)


@lru_cache(maxsize=8)
def _filter(sampling_rate: float) -> np.ndarray:
    from scipy.signal import butter

    return butter(_ORDER, BAND, "bandpass", fs=sampling_rate, output="sos")


def _resample(signal: np.ndarray, have: float, want: float, alone: bool) -> np.ndarray:
    """Change the rate; ends are extended along a line, so offsets make no edge."""
    if have == want:
        return signal
    up, down = Fraction(want / have).limit_denominator(1000).as_integer_ratio()
    if alone:
        return dsp.resample(signal, up, down)
    from scipy.signal import resample_poly

    return resample_poly(signal, up, down, axis=1, padtype="line")


def _zscore(window: np.ndarray, record: Record) -> np.ndarray:
    """Standardise each lead over its own samples; a flat lead becomes zeros."""
    window = window - window.mean(axis=1, keepdims=True)
    deviation = window.std(axis=1, keepdims=True)
    flat = np.isin(LEADS, record.quality.flat_leads)[:, None] | (deviation < 1e-9)
    return np.where(flat, 0, window / np.where(flat, 1, deviation))
