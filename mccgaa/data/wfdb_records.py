"""WFDB records: plain format-16 ones are read by numpy, the other formats by `wfdb`.

MIMIC-IV-ECG, PTB-XL and CSN ship headers whose leads all lie in one 16-bit file. Those
are read here directly: `wfdb` takes several times as long, most of it for parsing.

`wfdb` is lenient where this project must not be: a negative rate, for example, reads as
its default of 250 Hz. So headers are held to header(5)'s grammar here, whoever decodes
the samples, and to what they say of them: the length, and the checksum of every lead::

    NAME LEADS RATE SAMPLES [TIME DATE]
    FILE FORMAT[+OFFSET] GAIN[(BASELINE)][/UNITS] BITS ZERO FIRST CHECKSUM BLOCK LEAD
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mccgaa.config import LEADS
from mccgaa.errors import RecordError

UNCALIBRATED = "uncalibrated"  # gain 0: amplitudes have no unit

_MAX_SECONDS = 3600.0  # longer is a Holter recording, or a header that lies
_LEAD_BY_NAME = {lead.casefold(): lead for lead in LEADS}
_LEAD_PREFIXES = ("mdc_ecg_lead_", "ecg ", "lead ")

_COMMENT = re.compile(r"^#\s*(\w+)\s*:\s*(.*)$")
# Time and date are not looked at: real ones are written in ways that nothing parses.
_FIRST = re.compile(
    r"(?P<name>[-\w]+)(?P<segments>/\d+)?[ \t]+(?P<leads>\d{1,4})"
    r"[ \t]+(?P<rate>\d{1,7}(?:\.\d+)?)(?:/[\d.]+(?:\([-\d.]+\))?)?"
    r"[ \t]+(?P<length>\d{1,10})(?:[ \t].*)?",
    re.ASCII,
)
_SIGNAL = re.compile(
    r"(?P<file>[-\w]+(?:\.\w+)?)[ \t]+(?P<format>\d{1,3})(?:x(?P<frame>\d+))?"
    r"(?::(?P<skew>\d+))?(?:\+(?P<offset>\d{1,9}))?"
    r"[ \t]+(?P<gain>\d{1,9}(?:\.\d+)?)(?:\((?P<baseline>-?\d{1,10})\))?"
    r"(?:/(?P<units>\S+))?"
    r"[ \t]+\d{1,2}[ \t]+(?P<zero>-?\d{1,10})[ \t]+-?\d+[ \t]+(?P<checksum>-?\d{1,10})"
    r"[ \t]+\d+[ \t]+(?P<lead>\S.*)",
    re.ASCII,
)


@dataclass
class Traces:
    """Named traces as a file holds them, before they become twelve leads."""

    data: np.ndarray  # (n, T) float64 in `units`, NaN where a sample is invalid
    names: list[str]
    units: list[str]
    sampling_rate: float  # Hz
    units_stated: bool = True  # by the file itself, not by the caller


@dataclass(frozen=True)
class Header:
    """One segment's header, as its file states it."""

    sampling_rate: float  # Hz
    length: int  # samples per lead
    files: list[str]  # one per lead, like all that follow
    formats: list[int]
    offsets: list[int]  # bytes before the first sample
    gains: list[float]  # digital units per physical unit; 0 where not calibrated
    baselines: list[int]  # digital value of 0 physical
    units: list[str]
    checksums: list[int]
    names: list[str]
    lines: list[str]  # of the leads, as the file has them

    @property
    def plain(self) -> bool:
        """All leads in one file of format 16, calibrated."""
        return (
            set(self.formats) == {16}
            and len({*zip(self.files, self.offsets, strict=True)}) == 1
            and all(self.gains)
        )


def lead_of(name: str) -> str | None:
    """Return the standard name of a lead, or None if it is none of the twelve.

    Args:
        name: as a file writes it; case does not matter, nor a prefix such as "ECG ".
    """
    plain = name.strip().casefold()
    for prefix in _LEAD_PREFIXES:
        plain = plain.removeprefix(prefix)
    return _LEAD_BY_NAME.get(plain)


def read_comments(header: Path) -> dict[str, str]:
    """Read the `#Name: value` lines of a header, whatever its first line holds.

    PhysioNet puts age, sex and diagnoses there. `wfdb` refuses some of these headers
    for the date in their first line; their comments are sound.

    Args:
        header: a .hea file.

    Returns:
        Values by name, such as {"Age": "85", "Dx": "164889003,59118001"}.

    Raises:
        OSError: the file cannot be read.
    """
    found: dict[str, str] = {}
    for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := _COMMENT.match(line.strip()):
            found.setdefault(match[1], match[2].strip())
    return found


def parse_header(path: Path, text: str) -> Header:
    """Parse a header by the grammar above.

    Args:
        path: its file, for error messages.
        text: what the file holds.

    Raises:
        RecordError: the text is not such a header, or describes something else than
            leads of one common clock in files next to it.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    first = _FIRST.fullmatch(lines[0]) if lines else None
    if first is None:
        raise RecordError(
            f"{path} is not a WFDB header: its first line must read NAME LEADS RATE "
            "SAMPLES."
        )
    if first["segments"]:
        raise RecordError(f"{path} has several segments; expected one 12-lead ECG.")
    if int(first["leads"]) != len(lines) - 1 or len(lines) == 1:
        raise RecordError(
            f"{path} announces {first['leads']} leads but describes {len(lines) - 1}."
        )
    signals = [_SIGNAL.fullmatch(line) for line in lines[1:]]
    for line, signal in zip(lines[1:], signals, strict=True):
        if signal is None:
            raise RecordError(
                f"{path} is not a WFDB header: {line[:60]!r} does not describe a lead "
                "in a file beside it."
            )
        if signal["frame"] not in (None, "1") or (signal["skew"] or "0") != "0":
            raise RecordError(
                f"{path} has leads of different rates or skews; expected one clock."
            )
    gains = [float(m["gain"]) for m in signals]
    return Header(
        sampling_rate=float(first["rate"]),
        length=int(first["length"]),
        files=[m["file"] for m in signals],
        formats=[int(m["format"]) for m in signals],
        offsets=[int(m["offset"] or 0) for m in signals],
        gains=gains,
        baselines=[int(m["baseline"] or m["zero"]) for m in signals],
        units=[
            (m["units"] or "mV") if gain else UNCALIBRATED
            for m, gain in zip(signals, gains, strict=True)
        ],
        checksums=[int(m["checksum"]) for m in signals],
        names=[m["lead"] for m in signals],
        lines=lines[1:],
    )


def read_wfdb(path: Path) -> Traces:
    """Read one WFDB record in physical units, whatever its format.

    Args:
        path: its `.hea` file.

    Raises:
        RecordError: the record is missing, truncated, malformed, or its samples do
            not have the length or the checksums that the header states.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}).") from error
    header = parse_header(path, text)
    check_extent(path, header.sampling_rate, header.length)
    absent = sorted({f for f in header.files if not (path.parent / f).is_file()})
    if absent:
        files, are = ("file", "is") if len(absent) == 1 else ("files", "are")
        raise RecordError(
            f"{path} names the signal {files} {', '.join(absent)}, which {are} missing."
        )
    decode = _read_plain if header.plain else _read_any
    digital, invalid = decode(path, header)
    # A header with no checksum at all has zeros there.
    if any(header.checksums):
        sums = digital.sum(axis=1, dtype=np.int64)
        for name, total, stated in zip(
            header.names, sums, header.checksums, strict=True
        ):
            if (int(total) - stated) % 65536:
                raise RecordError(
                    f"{path}: the samples of lead {name} do not add up to the header's "
                    f"checksum {stated}; header or signal file is damaged."
                )
    baselines = np.array(header.baselines, dtype=np.float64)
    gains = np.array([gain or 1.0 for gain in header.gains])
    physical = (digital - baselines[:, None]) / gains[:, None]  # (n, T)
    if invalid.any():
        physical[invalid] = np.nan
    return Traces(physical, header.names, header.units, header.sampling_rate)


def check_extent(path: Path, sampling_rate: float, length: int) -> None:
    """Refuse a rate or length that no ECG has, before memory is given to it.

    Raises:
        RecordError: the rate is outside 50-50,000 Hz, or the record lasts over an hour.
    """
    if not 50 <= sampling_rate <= 50_000:
        raise RecordError(
            f"{path} states a sampling rate of {sampling_rate:g} Hz; "
            "expected 50 to 50,000 Hz, and above 80 Hz for a model of filtered ECGs."
        )
    if length <= 0:
        raise RecordError(f"{path} holds no samples.")
    if length > _MAX_SECONDS * sampling_rate:
        raise RecordError(
            f"{path} lasts {length / sampling_rate:.0f} s by its header; expected one "
            f"ECG of at most {_MAX_SECONDS:.0f} s."
        )


def _read_plain(path: Path, header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Read one 16-bit file whose every byte the header accounts for.

    Returns:
        Digital samples and which of them are marked invalid, both (n, T).
    """
    data, count = path.parent / header.files[0], len(header.names)
    try:
        content = data.read_bytes()
    except OSError as error:
        raise RecordError(f"{data} cannot be read ({error.strerror}).") from error
    expected = header.offsets[0] + 2 * count * header.length
    if len(content) != expected:
        raise RecordError(
            f"{data} has {len(content)} bytes but {path.name} states {count} leads of "
            f"{header.length} samples, which are {expected} bytes: one is damaged."
        )
    digital = np.frombuffer(content, "<i2", offset=header.offsets[0])
    digital = digital.reshape(header.length, count).T
    return digital, digital == -32768


def _read_any(path: Path, header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Let `wfdb` decode the samples, from a header without time and date.

    Returns:
        Digital samples and which of them are marked invalid, both (n, T).
    """
    import wfdb

    with tempfile.TemporaryDirectory() as scratch:
        count, rate = len(header.lines), header.sampling_rate
        lines = [f"record {count} {rate!r} {header.length}", *header.lines]
        copy = Path(scratch) / "record"
        copy.with_suffix(".hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for file in set(header.files):
            (Path(scratch) / file).symlink_to((path.parent / file).resolve())
        try:
            record = wfdb.rdrecord(str(copy), physical=False)
            invalid = np.isnan(record.dac())
        # wfdb and libsndfile raise whatever a damaged file makes them stumble over.
        except Exception as error:
            raise RecordError(
                f"{path} has samples that cannot be decoded "
                f"({type(error).__name__}: {error})."
            ) from error
    digital = record.d_signal  # (T, n)
    if digital is None or digital.shape != (header.length, len(header.names)):
        raise RecordError(f"{path} does not hold the samples that its header states.")
    return digital.T, invalid.T
