"""One record of any format: twelve leads by name, in mV, and what is wrong with them.

Every ECG file, of a dataset or of your own, comes through `read_record`. It trusts no
order of leads (MIMIC-IV-ECG stores aVR aVF aVL), no length and no unit that it has not
checked; what it cannot vouch for raises a `RecordError` with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mccgaa.config import LEADS
from mccgaa.data import other_formats
from mccgaa.data.wfdb_records import (
    UNCALIBRATED,
    Traces,
    check_extent,
    lead_of,
    read_wfdb,
)
from mccgaa.errors import RecordError

_SUFFIXES = (".hea", ".mat", ".npy", ".edf", ".csv")
_ARRAY = Path("<array>")  # what an array is called that comes from no file
_STATING = (".hea", ".edf")  # formats that say their own rate, and mostly their units
NORMALISED = "NU"  # WFDB's "normalised units": z-scored before it reached us

_TO_MILLIVOLT = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}
_IMPLAUSIBLE = 30.0  # mV that 1 % of an ECG's samples never pass
_FAINT = 0.05  # mV from peak to peak, which some lead of every ECG passes
_AGREE = 0.2  # how far limb leads may be from those of I and II, as a share of these
_I, _II = LEADS.index("I"), LEADS.index("II")
_RAIL_SECONDS = 0.02  # at least this long on a lead's extreme value: clipped


@dataclass(frozen=True)
class Quality:
    """What a reader of the signal should know before trusting it."""

    nan_share: float  # of all samples of the leads present, [0, 1]
    flat_leads: tuple[str, ...]  # leads present that never change
    clipped_share: float  # of samples resting on their lead's extreme value, [0, 1]
    height: float = float("inf")  # of the largest lead, from peak to peak


@dataclass(frozen=True)
class Record:
    """Twelve leads in the order of `mccgaa.config.LEADS`."""

    path: str
    signal: np.ndarray  # (12, T) float32 in `units`; NaN kept; leads not there are 0
    sampling_rate: float  # Hz
    units: str  # mV | NU (z-scored at the source) | uncalibrated (no gain stated)
    present: np.ndarray  # (12,) bool: in the file, with a valid sample
    quality: Quality
    derived: tuple[str, ...] = ()  # limb leads computed from I and II; also `present`
    notes: tuple[str, ...] = ()  # sentences on how the file was read

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.signal.shape[1] / self.sampling_rate

    @property
    def blank(self) -> list[str]:
        """The leads that are absent or flat, of which a model sees zeros."""
        here = zip(LEADS, self.present, strict=True)
        return [n for n, is_in in here if not is_in or n in self.quality.flat_leads]

    @property
    def misnamed(self) -> str:
        """What to say where limb leads do not add up as Einthoven's law has it."""
        if self.units != "mV" or not (self.present[_I] and self.present[_II]):
            return ""
        if not (odd := _disagreeing(self.signal, self.present)):
            return ""
        are = "is" if len(odd) == 1 else "are"
        return (
            f"{self.path}: {', '.join(odd)} {are} not what its I and II add up to "
            "(III = II - I, and so on); are its leads named rightly?"
        )

    @property
    def faint(self) -> str:
        """What to say of millivolts that are too small for a heart; "" of others."""
        if self.units != "mV" or self.quality.height >= _FAINT:
            return ""
        return (
            f"{self.path} has less than {_FAINT:g} mV from peak to peak in every lead; "
            "are its units right?"
        )


def read_record(
    path: Path | str | np.ndarray,
    *,
    allow_missing_leads: bool = False,
    sampling_rate: float | None = None,
    units: str | None = None,
    leads: tuple[str, ...] | list[str] | None = None,
) -> Record:
    """Read one ECG file, or an array, as twelve leads in standard order.

    Limb leads that the file lacks are computed where it has I and II, of which they are
    exact linear combinations, and where the limb leads that it has are so, too. A lead
    without a valid sample is as good as absent.

    Args:
        path: a `.hea`, `.mat`, `.npy`, `.edf` or `.csv` file, or a WFDB record's path
            without ending. An array is taken as a `.npy` file that holds it.
        allow_missing_leads: fill other absent leads with zeros and mark them in
            `present`, instead of refusing the record.
        sampling_rate: Hz, for what does not state it (arrays, `.npy`, `.csv`); the
            column `time` that a `.csv` may have must agree.
        units: mV, uV or V, for files that do not state them; None means mV, but for
            `.edf`, which is then refused.
        leads: names of an array's leads in its order; None means the twelve.

    Returns:
        The record; its signal is float32 (12, T) in mV unless `units` says otherwise.

    Raises:
        RecordError: anything that keeps the file from being twelve trustworthy leads.
    """
    file = _ARRAY if isinstance(path, np.ndarray) else _locate(path)
    sampling_rate = other_formats.in_hertz(file, sampling_rate)
    kind = file.suffix.lower()
    if isinstance(path, np.ndarray):
        traces = other_formats.of_array(file, path, sampling_rate, units, leads)
    elif kind == ".hea":
        traces = read_wfdb(file)
    elif kind == ".mat":
        traces = other_formats.read_mat(file, sampling_rate, units)
    elif kind == ".npy":
        traces = other_formats.read_npy(file, sampling_rate, units, leads)
    elif kind == ".edf":
        traces = other_formats.read_edf(file, units)
    else:
        traces = other_formats.read_csv(file, sampling_rate, units)
    if units and not traces.units_stated:
        _check_given(file, units)
    notes = _unused(file, traces, sampling_rate, units) if kind in _STATING else []
    return _assemble(file, traces, allow_missing_leads, notes)


def _locate(path: Path | str) -> Path:
    """Find the file that describes the record named by `path`."""
    if path == "":
        raise RecordError("The record's name is empty; name an ECG file.")
    path = Path(path)
    endings = [path.parent / f"{path.name}{ending}" for ending in _SUFFIXES]
    candidate = next(filter(Path.is_file, endings), None)
    if path.is_dir() and candidate is None:
        raise RecordError(f"{path} is a folder; name a file in it.")
    suffix = path.suffix.lower()
    header = path.with_suffix(".hea")
    if suffix in (".dat", ".mat") and header.is_file():
        return header
    if suffix in _SUFFIXES:
        if path.is_file():
            return path
        raise RecordError(f"{path} does not exist.")
    if candidate is not None:
        return candidate
    if path.is_file():
        raise RecordError(
            f"{path} is of no known format; expected one of {', '.join(_SUFFIXES)}."
        )
    raise RecordError(f"{path}.hea does not exist.")


def _check_given(path: Path, units: str) -> None:
    """Refuse units of the caller's that are none."""
    known = {*_TO_MILLIVOLT, NORMALISED.casefold(), UNCALIBRATED}
    if units.strip().casefold() not in known:
        raise RecordError(
            f"The units given for {path} are {units!r}; expected mV, uV or V (command "
            "line: --units of classify, or for pack own the column units in its table)."
        )


def _unused(
    path: Path, traces: Traces, sampling_rate: float | None, units: str | None
) -> list[str]:
    """Say which of the caller's rate and units the file contradicts."""
    notes, rate = [], traces.sampling_rate
    if sampling_rate is not None and sampling_rate != rate:
        notes.append(
            f"{path} states its own sampling rate, {rate:g} Hz; the {sampling_rate:g} "
            "Hz that were given are not used."
        )
    stated = sorted({unit.strip() for unit in traces.units})
    own = [unit.casefold() for unit in stated]
    if units is not None and traces.units_stated and own != [units.casefold()]:
        notes.append(
            f"{path} states its own units, {', '.join(stated)}; the {units} that were "
            "given are not used."
        )
    return notes


def _assemble(
    path: Path, traces: Traces, allow_missing: bool, notes: list[str]
) -> Record:
    """Sort traces into the twelve leads by name, in mV, and judge them."""
    check_extent(path, traces.sampling_rate, traces.data.shape[1])
    places, unknown = _places(path, traces.names)
    rows = list(places.values())
    if len(rows) == len(LEADS):
        unknown = []  # Frank leads or respiration, which do no harm
    unit, factors = _common_unit(path, [traces.units[row] for row in rows])
    signal = np.zeros((len(LEADS), traces.data.shape[1]), dtype=np.float32)  # (12, T)
    present = np.zeros(len(LEADS), dtype=bool)
    for (lead, row), factor in zip(places.items(), factors, strict=True):
        if not np.isnan(traces.data[row]).all():
            signal[lead] = (
                traces.data[row] if factor == 1 else traces.data[row] * factor
            )
            present[lead] = True
    if np.isinf(signal).any():
        raise RecordError(f"{path} holds infinite values.")
    # Leads that were scaled one by one (NU), or by unknown gains, do not add up.
    derived = _derive(signal, present) if unit == "mV" else ()
    _check_leads(path, present, unknown, allow_missing)
    if not traces.units_stated and unit == "mV":
        _check_amplitude(path, signal)
    quality = _quality(path, signal, present, traces.sampling_rate)
    if derived:
        notes = [
            *notes,
            f"{', '.join(derived)}: without a valid sample in {path}, but computed "
            "from its I and II.",
        ]
    return Record(
        path=str(path),
        signal=signal,
        sampling_rate=float(traces.sampling_rate),
        units=unit,
        present=present,
        quality=quality,
        derived=derived,
        notes=tuple(notes),
    )


def _places(path: Path, names: list[str]) -> tuple[dict[int, int], list[str]]:
    """Map each lead's index to the row that carries its name; and the other names."""
    places: dict[int, int] = {}
    unknown = []
    for row, name in enumerate(names):
        lead = lead_of(name)
        if lead is None:
            unknown.append(name)
        elif LEADS.index(lead) in places:
            raise RecordError(f"{path} has lead {lead} twice.")
        else:
            places[LEADS.index(lead)] = row
    return dict(sorted(places.items())), unknown


def _derive(signal: np.ndarray, present: np.ndarray) -> tuple[str, ...]:
    """Compute absent limb leads from I and II, in place; the names of those computed.

    Args:
        signal: (12, T) in mV, without infinite values.
        present: (12,) bool.
    """
    if present.all() or not (present[_I] and present[_II]):
        return ()
    if _disagreeing(signal, present):
        return ()  # I and II, or another one, may not be what they are called
    limbs = _limbs(signal)
    absent = tuple(lead for lead in limbs if not present[LEADS.index(lead)])
    for lead in absent:
        signal[LEADS.index(lead)] = limbs[lead]
        present[LEADS.index(lead)] = True
    return absent


def _disagreeing(signal: np.ndarray, present: np.ndarray) -> list[str]:
    """Name the limb leads that are there and far from what I and II make of them."""
    allowed = _AGREE * max(_spread(signal[_I]), _spread(signal[_II]))
    return [
        lead
        for lead, made in _limbs(signal).items()
        if present[(row := LEADS.index(lead))] and _spread(signal[row] - made) > allowed
    ]


def _limbs(signal: np.ndarray) -> dict[str, np.ndarray]:
    """What I and II make of the other limb leads, (T,) each."""
    one, two = signal[_I], signal[_II]
    return {  # Einthoven's law, and Goldberger's leads in terms of it
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }


def _spread(values: np.ndarray) -> float:
    """The standard deviation of what is valid, 0 where nothing is."""
    valid = values[~np.isnan(values)]
    return float(valid.std()) if valid.size else 0.0


def _check_leads(
    path: Path, present: np.ndarray, unknown: list[str], allow_missing: bool
) -> None:
    """Refuse a record that lacks leads, unless that is allowed and no name is odd."""
    missing = [lead for lead, here in zip(LEADS, present, strict=True) if not here]
    if missing and unknown:
        raise RecordError(
            f"{path} has unknown leads {', '.join(map(repr, unknown))} and lacks "
            f"{', '.join(missing)}; rename in the file what is one of the twelve, such "
            "as MLII to II, and take out what is none: --allow-missing-leads fills "
            "leads that are absent, and cannot know which these are."
        )
    if not present.any():
        raise RecordError(
            f"{path} has a valid sample in none of the twelve leads; expected "
            f"{', '.join(LEADS)}, each with numbers."
        )
    if missing and not allow_missing:
        raise RecordError(
            f"{path} has {present.sum()} of the twelve leads: {', '.join(missing)} "
            "missing, or without a valid sample. Pass allow_missing_leads (command "
            "line: --allow-missing-leads) to have them filled with zeros."
        )


def _common_unit(path: Path, units: list[str]) -> tuple[str, list[float]]:
    """Name the unit that all leads share, and each lead's factor into it."""
    plain = [unit.strip() for unit in units]
    for special in (NORMALISED, UNCALIBRATED):
        if all(unit.casefold() == special.casefold() for unit in plain):
            return special, [1.0] * len(plain)
    factors = [_TO_MILLIVOLT.get(unit.casefold()) for unit in plain]
    for unit, factor in zip(plain, factors, strict=True):
        if not unit:
            raise RecordError(
                f"{path} states no unit for a lead; pass units, such as mV (command "
                "line: --units of classify, or for pack own a column units in its "
                "table)."
            )
        if factor is None:
            raise RecordError(
                f"{path} states its leads in {', '.join(sorted(set(plain)))}; expected "
                "voltages (mV, uV or V), or NU in all of them."
            )
    return "mV", factors  # type: ignore[return-value]


def _check_amplitude(path: Path, signal: np.ndarray) -> None:
    """Refuse millivolts that no heart makes: the unit was guessed wrong."""
    share = np.mean(np.abs(signal) > _IMPLAUSIBLE)
    if share > 0.01:
        raise RecordError(
            f"{path} passes {_IMPLAUSIBLE:g} mV in {share:.0%} of its samples, which "
            "no ECG does; pass its true units, such as uV (command line: --units of "
            "classify, or for pack own a column units in its table)."
        )


def _quality(
    path: Path, signal: np.ndarray, present: np.ndarray, sampling_rate: float
) -> Quality:
    """Measure invalid samples, flat leads and clipping; refuse what is all flat."""
    used = signal[present]  # (n, T)
    names = [lead for lead, here in zip(LEADS, present, strict=True) if here]
    nan = np.isnan(used)
    any_nan = bool(nan.any())
    low = np.nanmin(used, axis=1) if any_nan else used.min(axis=1)
    high = np.nanmax(used, axis=1) if any_nan else used.max(axis=1)
    flat = low == high
    if flat.all():
        raise RecordError(f"{path}: every lead is flat.")
    rails = (used == low[:, None]) | (used == high[:, None])
    rails[flat] = False
    least = max(2, round(_RAIL_SECONDS * sampling_rate))
    # One lead behind the other, with a gap that no run passes.
    resting = _in_runs(np.pad(rails, ((0, 0), (0, 1))).ravel(), least)
    return Quality(
        nan_share=float(nan.mean()) if any_nan else 0.0,
        flat_leads=tuple(n for n, is_flat in zip(names, flat, strict=True) if is_flat),
        clipped_share=resting / used.size,
        height=float((high - low).max()),
    )


def _in_runs(mask: np.ndarray, least: int) -> int:
    """Count the true samples that lie in runs of at least `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.view(np.int8), [0]))))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= least].sum())
