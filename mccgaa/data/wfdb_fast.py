"""WFDB records in: plain format-16 headers by numpy, everything else by `wfdb`.

MIMIC-IV-ECG, PTB-XL and CSN ship single-segment headers whose leads all lie in one
16-bit file. Those are read here directly, because most of `wfdb`'s time on them goes
into parsing and checking that such files do not need. Both ways verify what the header
says of its samples: the length, and the checksum of every lead that has one.

Header layout (WFDB, header(5))::

    NAME LEADS RATE SAMPLES [TIME DATE]
    FILE FORMAT[+OFFSET] GAIN[(BASELINE)][/UNITS] BITS ZERO FIRST CHECKSUM BLOCK LEAD
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mccgaa.errors import RecordError

MAX_SECONDS = 3600.0  # longer is a Holter recording, or a header that lies
UNCALIBRATED = "uncalibrated"  # gain absent or 0: amplitudes have no unit

_RECORD = re.compile(
    r"[-\w]+[ \t]+(\d+)[ \t]+(\d+(?:\.\d+)?)[ \t]+(\d+)(?:[ \t].*)?", re.ASCII
)
_SIGNAL = re.compile(
    r"(?P<file>[-\w]+\.\w+)[ \t]+16(?:\+(?P<offset>\d+))?"
    r"[ \t]+(?P<gain>\d+(?:\.\d+)?)(?:\((?P<baseline>-?\d+)\))?/(?P<units>[A-Za-z]+)"
    r"[ \t]+\d+[ \t]+(?P<zero>-?\d+)[ \t]+-?\d+[ \t]+(?P<checksum>-?\d+)[ \t]+0"
    r"[ \t]+(?P<lead>[A-Za-z]+[0-9]?)[ \t]*",
    re.ASCII,
)


@dataclass
class Traces:
    """Named traces as a file holds them, before they become twelve leads."""

    data: np.ndarray  # (n, T) float64 in `units`, NaN where a sample is invalid
    names: list[str]
    units: list[str]
    sampling_rate: float  # Hz
    comments: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)  # age, sex where a file has them
    units_stated: bool = True  # by the file itself, not by the caller


@dataclass(frozen=True)
class Header:
    """A plain header: one segment, one file, format 16, one rate."""

    file: str
    offset: int  # bytes before the first sample
    sampling_rate: float
    length: int  # samples a lead
    names: list[str]
    units: list[str]
    gain: np.ndarray  # (n,) digital units a physical unit
    baseline: np.ndarray  # (n,) digital value of 0
    checksums: list[int]
    comments: list[str]


def parse_plain(text: str) -> Header | None:
    """Parse a header if it is plain; time and date of its first line are ignored.

    Args:
        text: the whole `.hea` file.

    Returns:
        The header, or None when anything in it needs `wfdb`.
    """
    lines = [line.strip() for line in text.splitlines()]
    comments = [line[1:].strip() for line in lines if line.startswith("#")]
    lines = [line for line in lines if line and not line.startswith("#")]
    first = _RECORD.fullmatch(lines[0]) if lines else None
    signals = [_SIGNAL.fullmatch(line) for line in lines[1:]]
    if first is None or not signals or None in signals:
        return None
    count, rate, length = int(first[1]), float(first[2]), int(first[3])
    places = {(m["file"], m["offset"]) for m in signals}
    gain = np.array([float(m["gain"]) for m in signals])
    if count != len(signals) or len(places) > 1 or length == 0 or not gain.all():
        return None
    return Header(
        file=signals[0]["file"],
        offset=int(signals[0]["offset"] or 0),
        sampling_rate=rate,
        length=length,
        names=[m["lead"] for m in signals],
        units=[m["units"] for m in signals],
        gain=gain,
        baseline=np.array([float(m["baseline"] or m["zero"]) for m in signals]),
        checksums=[int(m["checksum"]) for m in signals],
        comments=comments,
    )


def read_wfdb(header: Path) -> Traces:
    """Read one WFDB record in physical units, whatever its format.

    Args:
        header: path of its `.hea` file.

    Raises:
        RecordError: the record is missing, truncated, malformed, or its samples do
            not have the length or the checksums that the header states.
    """
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RecordError(f"{header} cannot be read ({error.strerror}).") from error
    plain = parse_plain(text)
    return _read_plain(header, plain) if plain else _read_any(header, text)


def check_extent(path: Path, sampling_rate: float, length: int) -> None:
    """Refuse a rate or length that no ECG has, before memory is given to it.

    Raises:
        RecordError: the rate is outside 50-50,000 Hz, or the record lasts over an hour.
    """
    if not 50 <= sampling_rate <= 50_000:
        raise RecordError(
            f"{path} states a sampling rate of {sampling_rate:g} Hz; "
            "expected 50 to 50,000 Hz."
        )
    if length <= 0:
        raise RecordError(f"{path} holds no samples.")
    if length > MAX_SECONDS * sampling_rate:
        raise RecordError(
            f"{path} lasts {length / sampling_rate:.0f} s by its header; expected one "
            f"ECG of at most {MAX_SECONDS:.0f} s."
        )


def _read_plain(path: Path, header: Header) -> Traces:
    """Read one 16-bit file whose every byte the header accounts for."""
    check_extent(path, header.sampling_rate, header.length)
    data, count = path.parent / header.file, len(header.names)
    try:
        content = data.read_bytes()
    except OSError as error:
        raise RecordError(f"{data} cannot be read ({error.strerror}).") from error
    expected = header.offset + 2 * count * header.length
    if len(content) != expected:
        raise RecordError(
            f"{data} has {len(content)} bytes but {path.name} states {count} leads of "
            f"{header.length} samples, which are {expected} bytes: one is damaged."
        )
    digital = np.frombuffer(content, "<i2", offset=header.offset)
    digital = digital.reshape(header.length, count).T  # (n, T)
    _verify(path, header.names, digital, header.checksums)
    physical = (digital - header.baseline[:, None]) / header.gain[:, None]
    if (invalid := digital == -32768).any():  # format 16's "no valid sample"
        physical[invalid] = np.nan
    return Traces(
        physical, header.names, header.units, header.sampling_rate, header.comments
    )


def _verify(
    path: Path, names: list[str], digital: np.ndarray, checksums: list[int | None]
) -> None:
    """Compare each lead's 16-bit sum with the header's; all zero means not computed."""
    if not any(checksums):
        return
    sums = digital.sum(axis=1, dtype=np.int64)
    for name, total, stated in zip(names, sums, checksums, strict=True):
        if stated is not None and (int(total) - stated) % 65536:
            raise RecordError(
                f"{path}: the samples of lead {name} do not add up to the header's "
                f"checksum {stated}; header or signal file is damaged."
            )


def _read_any(path: Path, text: str) -> Traces:
    """Read through `wfdb` (other formats, FLAC, unusual headers)."""
    try:
        record = _rdrecord(path, text)
        physical = record.dac(return_res=64).T  # (n, T)
        units = _units(text, record)
    except RecordError:
        raise
    # wfdb and libsndfile raise whatever a damaged file makes them stumble over.
    except Exception as error:
        raise RecordError(
            f"{path} is not a WFDB record that can be read "
            f"({type(error).__name__}: {error})."
        ) from error
    checksums = record.checksum or [None] * record.n_sig
    names = [str(name) for name in record.sig_name]
    _verify(path, names, record.d_signal.T, checksums)
    return Traces(physical, names, units, record.fs, record.comments)


def _rdrecord(path: Path, text: str) -> Any:
    """Call `wfdb`, without the first line's date when that is what it refuses."""
    import wfdb

    name = str(path.with_suffix(""))
    try:
        return _checked(path, name, wfdb.rdheader(name))
    except ValueError:
        lines = [s for s in text.splitlines() if s.strip() and s[0] != "#"]
        if not lines or len(lines[0].split()) <= 4:
            raise
    with tempfile.TemporaryDirectory() as scratch:
        name = str(Path(scratch) / path.stem)
        lines[0] = " ".join(lines[0].split()[:4])
        comments = [s for s in text.splitlines() if s.startswith("#")]
        Path(f"{name}.hea").write_text("\n".join(lines + comments), encoding="utf-8")
        for file in {line.split()[0] for line in lines[1:]}:
            if Path(file).name == file and (path.parent / file).is_file():
                (Path(scratch) / file).symlink_to((path.parent / file).resolve())
        return _checked(path, name, wfdb.rdheader(name))


def _checked(path: Path, name: str, header: Any) -> Any:
    """Read the samples of a header that describes one 12-lead ECG."""
    import wfdb

    if getattr(header, "n_seg", None):
        raise RecordError(f"{path} has several segments; expected one 12-lead ECG.")
    if not header.n_sig or not header.file_name:
        raise RecordError(f"{path} describes no leads.")
    if set(header.samps_per_frame) != {1} or any(header.skew or []):
        raise RecordError(
            f"{path} has leads of different rates or skews; expected one common clock."
        )
    for file in header.file_name:
        if Path(file).name != file:
            raise RecordError(f"{path} points to {file!r}, outside its own folder.")
        if not (path.parent / file).is_file():
            raise RecordError(f"{path} names the signal file {file}, which is missing.")
    check_extent(path, header.fs or 0, header.sig_len or 1)
    record = wfdb.rdrecord(name, physical=False)
    length = header.sig_len or record.sig_len
    if record.d_signal is None or record.d_signal.shape != (length, header.n_sig):
        raise RecordError(f"{path} does not hold the samples that its header states.")
    return record


def _units(text: str, record: Any) -> list[str]:
    """Take wfdb's units, but own up to a gain that the header left out."""
    lines = [s.split() for s in text.splitlines() if s.strip() and s[0] != "#"]
    stated = [re.match(r"\d*\.?\d+", [*line, "", "", ""][2]) for line in lines[1:]]
    return [
        unit if match and float(match[0]) > 0 else UNCALIBRATED
        for unit, match in zip(record.units, stated, strict=False)
    ]
