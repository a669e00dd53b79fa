"""ECGs outside WFDB: CPSC2018's .mat struct, and .npy, .edf and .csv of one's own.

Each function reads one file into `Traces`; what a file does not say of itself (rate,
units, the leads of an array) the caller states.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from mccgaa.config import LEADS
from mccgaa.data.wfdb_fast import Traces
from mccgaa.errors import RecordError

CPSC_RATE = 500.0  # Hz, of every CPSC2018 original


def read_mat(path: Path, sampling_rate: float | None, units: str | None) -> Traces:
    """Read CPSC2018's original form: a struct `ECG` with sex, age and data (12, T).

    Args:
        path: a MATLAB v5 file; leads in the standard order, mV.
        sampling_rate: Hz; None means the 500 Hz of CPSC2018.
        units: None means mV.

    Raises:
        RecordError: unreadable, or not that struct.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error
    # A damaged MATLAB file makes scipy raise nearly anything.
    except Exception as error:
        raise RecordError(
            f"{path} is not a MATLAB file that can be read "
            f"({type(error).__name__}: {error})."
        ) from error
    if "val" in content and "ECG" not in content:
        raise RecordError(
            f"{path} holds bare samples without rate or gain; "
            f"its header {path.stem}.hea is missing."
        )
    try:
        struct = content["ECG"][0, 0]
        data = np.asarray(struct["data"], dtype=np.float64)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise RecordError(f"{path} has no struct ECG with a field data.") from error
    data = _oriented(path, data, len(LEADS))
    info = {}
    for key in ("sex", "age"):
        if key in (struct.dtype.names or ()) and np.size(struct[key]):
            info[key] = np.ravel(struct[key])[0].item()
    names, rate = list(LEADS), float(sampling_rate or CPSC_RATE)
    return Traces(data, names, [units or "mV"] * 12, rate, [], info, False)


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
    rate = _required_rate(path, sampling_rate)
    try:
        data = np.load(path, allow_pickle=False)
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error
    # A damaged header reaches numpy's literal parser, which raises nearly anything.
    except Exception as error:
        raise RecordError(
            f"{path} is not a numpy array that can be read ({error})."
        ) from error
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "iuf":
        raise RecordError(f"{path} does not hold one array of real numbers.")
    names = list(leads or LEADS)
    data = _oriented(path, np.atleast_2d(data).astype(np.float64), len(names))
    return Traces(data, names, [units or "mV"] * len(names), rate, units_stated=False)


def read_csv(path: Path, sampling_rate: float | None, units: str | None) -> Traces:
    """Read a table with one column a lead, named by it; a column `time` is ignored.

    Args:
        path: a `.csv` file with a header line.
        sampling_rate: Hz.
        units: None means mV.

    Raises:
        RecordError: unreadable, not numbers, or without a rate.
    """
    rate = _required_rate(path, sampling_rate)
    try:
        table = pd.read_csv(path)
        table = table[[c for c in table if str(c).strip().lower() != "time"]]
        data = table.to_numpy(dtype=np.float64).T
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise RecordError(
            f"{path} is not a table of numbers with one column a lead ({error})."
        ) from error
    names = [str(name) for name in table.columns]
    return Traces(data, names, [units or "mV"] * len(names), rate, units_stated=False)


def read_edf(path: Path) -> Traces:
    """Read an EDF or EDF+ file; signals that are no ECG leads are left aside.

    Raises:
        RecordError: unreadable, truncated, or with leads of different rates.
    """
    import edfio

    from mccgaa.data.record import lead_of

    try:
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
    units = [s.physical_dimension for s in signals]
    return Traces(np.stack(traces), names, units, rates.pop())


def _required_rate(path: Path, sampling_rate: float | None) -> float:
    """The caller's rate, or an error that asks for it."""
    if sampling_rate is None:
        raise RecordError(
            f"{path} does not say its sampling rate; pass sampling_rate in Hz."
        )
    return float(sampling_rate)


def _oriented(path: Path, data: np.ndarray, leads: int) -> np.ndarray:
    """Turn an array so that its first axis is the leads."""
    if data.ndim == 2 and data.shape != (leads, leads):
        if data.shape[0] == leads:
            return data
        if data.shape[1] == leads:
            return np.ascontiguousarray(data.T)
    raise RecordError(
        f"{path} holds an array of shape {data.shape}; expected ({leads}, samples) "
        f"or (samples, {leads})."
    )
