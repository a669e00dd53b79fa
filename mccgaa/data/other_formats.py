"""ECGs outside WFDB: CPSC2018's .mat struct, and .npy, .edf and .csv files.

Each function reads one file into `Traces`; the caller states what a file does not say
(sampling rate, units, the leads of an array).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from mccgaa.config import LEADS
from mccgaa.data import matlab
from mccgaa.data.wfdb_records import Traces, lead_of
from mccgaa.errors import RecordError

_CPSC_RATE = 500.0  # Hz, of every CPSC2018 original
_SAME_RATE = 0.02  # share by which a rate given for a table may be off its times


def read_mat(path: Path, sampling_rate: float | None, units: str | None) -> Traces:
    """Read CPSC2018's original form: a struct `ECG` with sex, age and data (12, T).

    Args:
        path: a MATLAB v5 file; leads in the standard order, mV.
        sampling_rate: Hz; None means the 500 Hz of CPSC2018.
        units: None means mV.

    Raises:
        RecordError: unreadable, or not that struct.
    """
    try:
        ecg = matlab.read_struct(path, "ECG")
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise RecordError(
            f"{path} is not a MATLAB v5 file with a struct ECG: {error}. If it is the "
            f"signal file of a WFDB record, its header {path.stem}.hea is missing."
        ) from error
    if not isinstance(ecg.get("data"), np.ndarray):
        raise RecordError(f"{path} has a struct ECG without an array data.")
    data = _oriented(path, ecg["data"], len(LEADS))
    rate = sampling_rate or _CPSC_RATE
    return Traces(data, list(LEADS), [units or "mV"] * 12, rate, units_stated=False)


def read_npy(
    path: Path,
    sampling_rate: float | None,
    units: str | None,
    leads: tuple[str, ...] | list[str] | None,
) -> Traces:
    """Read an array (leads, T) or (T, leads); its rate has to be given.

    Args:
        path: a `.npy` file of real numbers.
        sampling_rate: Hz.
        units: None means mV.
        leads: names of its leads in order; None means the standard twelve.

    Raises:
        RecordError: unreadable, of another shape, or without a rate.
    """
    try:
        data = npy.open_memmap(path, mode="r")
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error
    # A damaged header reaches numpy's literal parser, which raises nearly anything.
    except Exception as error:
        raise RecordError(
            f"{path} is not a numpy array that can be read ({error}); write one of "
            "numbers by numpy.save."
        ) from error
    return of_array(path, data, sampling_rate, units, leads)


def of_array(
    path: Path,
    data: np.ndarray,
    sampling_rate: float | None,
    units: str | None,
    leads: tuple[str, ...] | list[str] | None,
) -> Traces:
    """Take an array as `read_npy` does; `path` is what errors call it.

    Args:
        data: (leads, T) or (T, leads) of real numbers, in `units`.
    """
    rate = _required_rate(path, sampling_rate)
    if data.dtype.kind not in "iuf":
        raise RecordError(f"{path} does not hold one array of real numbers.")
    names = list(leads or LEADS)
    data = _oriented(path, np.atleast_2d(data).astype(np.float64), len(names))
    return Traces(data, names, [units or "mV"] * len(names), rate, units_stated=False)


def read_csv(path: Path, sampling_rate: float | None, units: str | None) -> Traces:
    """Read a table with one column per lead, named by it; a column `time` is no lead.

    Args:
        path: a `.csv` file with a header line.
        sampling_rate: Hz; a column `time` must agree.
        units: None means mV.

    Raises:
        RecordError: unreadable, not numbers, without a rate or names of leads, or of
            another rate by its own times.
    """
    import pandas as pd

    rate = _required_rate(path, sampling_rate)
    try:
        content = path.read_bytes()
        if not content.strip():
            raise RecordError(f"{path} is empty; expected one column per lead.")
        if b"\0" in content:
            raise ValueError("it holds zero bytes")
        # A blank line is a lost sample, except at the end.
        table = pd.read_csv(io.BytesIO(content), skip_blank_lines=False)
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("its lines have more cells than its header")
        table = table.loc[: table.last_valid_index()]
        timed = [c for c in table if str(c).strip().lower() == "time"]
        times = pd.to_numeric(table[timed[0]], errors="coerce") if timed else None
        table = table.drop(columns=timed)
        data = table.to_numpy(dtype=np.float64).T
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise RecordError(
            f"{path} is not a table of numbers with one column per lead ({error}); "
            "separate columns by commas, and write decimals with points."
        ) from error
    names = [str(name) for name in table.columns]
    if not any(lead_of(name) for name in names):
        first = content.decode("utf-8-sig", errors="replace").splitlines()[0]
        numbers = all(map(_is_number, first.split(",")))
        do = "add a line above with" if numbers else "replace its names by"
        raise RecordError(
            f"{path} names no lead in its first line; {do} those of the leads, such as "
            f"{','.join(LEADS)}."
        )
    for name in names:  # pandas calls the second of two columns I "I.1"
        plain, _, copy = name.rpartition(".")
        if copy.isdecimal() and plain in names and lead_of(plain):
            raise RecordError(f"{path} has lead {plain} twice.")
    if times is not None:
        _check_times(path, times.to_numpy(dtype=np.float64), rate)
    return Traces(data, names, [units or "mV"] * len(names), rate, units_stated=False)


def _is_number(cell: str) -> bool:
    """Whether a cell holds a number, or nothing."""
    try:
        float(cell.strip() or "nan")
    except ValueError:
        return False
    return True


def _check_times(path: Path, times: np.ndarray, rate: float) -> None:
    """Refuse a rate that a file's own times contradict.

    Args:
        path: the file.
        times: (T,) in whatever unit; steps of 1 may be numbers of samples.
        rate: Hz, as the caller has it.
    """
    at = np.flatnonzero(np.isfinite(times))
    if len(at) < 2:
        return
    step = float((times[at[-1]] - times[at[0]]) / (at[-1] - at[0]))
    if step <= 0 or np.isclose(step, 1):
        return
    # The column does not say its unit: seconds, ms, us or ns, the first that may be.
    own = next((per / step for per in (1, 1e3, 1e6, 1e9) if per / step >= 10), rate)
    if abs(rate / own - 1) > _SAME_RATE:
        raise RecordError(
            f"{path} has {own:.4g} Hz by its column time, not the {rate:g} Hz that "
            "were given; give the right rate, or take the column out if it is wrong."
        )


def read_edf(path: Path, units: str | None = None) -> Traces:
    """Read an EDF or EDF+ file; signals that are no ECG leads are ignored.

    Args:
        path: a `.edf` file.
        units: of the leads for which it states none.

    Raises:
        RecordError: unreadable, truncated, or with leads of different rates.
    """
    import edfio

    try:
        _check_edf_limits(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # edfio repairs damage and only warns
            edf = edfio.read_edf(path)
            signals = [s for s in edf.signals if lead_of(s.label)]
            rates = {float(s.sampling_frequency) for s in signals}
            traces = [np.asarray(s.data, dtype=np.float64) for s in signals]
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error
    # edfio raises whatever a damaged header makes it stumble over.
    except Exception as error:
        raise RecordError(
            f"{path} is not an EDF file that can be read "
            f"({type(error).__name__}: {error})."
        ) from error
    if not signals:
        raise RecordError(f"{path} has no signal labelled as one of the twelve leads.")
    if len(rates) > 1 or len({len(t) for t in traces}) > 1:
        raise RecordError(f"{path} has leads of different rates; expected one rate.")
    names = [s.label for s in signals]
    stated = [s.physical_dimension.strip() for s in signals]
    given = [unit or units or "" for unit in stated]
    return Traces(np.stack(traces), names, given, rates.pop(), all(stated))


def _check_edf_limits(content: bytes) -> None:
    """Refuse limits that edfio would guess, or leave the samples unscaled for.

    Raises:
        ValueError: a signal's physical or digital limits are no plain numbers.
    """
    signals = int(content[252:256])
    # Eight characters per signal each, after labels, transducers and units.
    first = 256 + 104 * signals
    cells = [
        content[at : at + 8].decode("ascii")
        for at in range(first, first + 32 * signals, 8)
    ]
    physical = [float(cell) for cell in cells[: 2 * signals]]
    digital = [int(cell) for cell in cells[2 * signals :]]
    for i in range(signals):
        if digital[i] >= digital[i + signals] or physical[i] == physical[i + signals]:
            raise ValueError(f"the limits of signal {i + 1} span nothing")


def in_hertz(path: Path, sampling_rate: Any) -> float | None:
    """A rate that a caller gave, or None where none was given.

    Raises:
        RecordError: it is no number.
    """
    try:
        return None if sampling_rate is None else float(sampling_rate)
    except (TypeError, ValueError) as error:
        raise RecordError(
            f"{path}: sampling_rate is {sampling_rate!r}; expected a number, in Hz."
        ) from error


def _required_rate(path: Path, sampling_rate: float | None) -> float:
    """The caller's rate, or an error that asks for it."""
    if sampling_rate is None:
        raise RecordError(
            f"{path} does not say its sampling rate; pass sampling_rate in Hz (command "
            "line: --sampling-rate of classify, or for pack own a column sampling_rate "
            "in its table, and one of units where they are not mV)."
        )
    return sampling_rate


def _oriented(path: Path, data: np.ndarray, leads: int) -> np.ndarray:
    """Turn an array so that its first axis is the leads."""
    if data.shape == (leads, leads):
        raise RecordError(
            f"{path} holds an array of shape {data.shape}, which is ambiguous: either "
            "side may be the leads; give more samples."
        )
    if data.ndim == 2 and data.shape[0] == leads:
        return data
    if data.ndim == 2 and data.shape[1] == leads:
        return np.ascontiguousarray(data.T)
    raise RecordError(
        f"{path} holds an array of shape {data.shape}; expected ({leads}, samples) "
        f"or (samples, {leads})."
    )
