"""Tiny ECG files, and edits that damage them: what the property tests feed the reader.

An edit is plain data, so that a case found once can be kept in `malformed.json`.
"""

from __future__ import annotations

import io
from pathlib import Path

import edfio
import numpy as np
import wfdb
from scipy.io import savemat

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATE, LENGTH = 100, 120

# What headers may come to hold where a number or a word stood.
TOKENS = (
    "", "0", "1", "-1", "2", "16", "212", "516", "1e9", "1e400", "nan", "inf", "-0",
    "99999999999999999999", "4294967296", "65536", "-32768", "0x10", "1_0", "1,5",
    "٣", "٣٠٠", "µV", "uV", "V", "NU", "mmHg", "/", "()", "(5)/mV", "200(3)", "...",
    "../a", "a.dat", "a.dat:", "a.hea", "V1", "I", "aVR", "II ", "12", "11", "#", "~",
    "\x00", "\ufeff", "\r", "\t", "%s", "{}", "0.0000001", "1000.0", "24", "32", "80",
)  # fmt: skip

Edit = list  # [kind, position, value], positions as shares of the content


class Sample:
    """One well-formed record; not a dataclass, whose bytes failures would print.

    Args:
        name: of the kind of file.
        files: name -> content.
        main: the file to hand to `read_record`.
        signal: (12, T), mV.
        options: keywords of `read_record`.
    """

    def __init__(
        self,
        name: str,
        files: dict[str, bytes],
        main: str,
        signal: np.ndarray,
        options: dict,
    ) -> None:
        self.name = name
        self.files = files
        self.main = main
        self.signal = signal
        self.options = options

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _signal() -> np.ndarray:
    rng = np.random.default_rng(7)
    t = np.arange(LENGTH) / RATE
    wave = np.sin(2 * np.pi * (1.3 * t + np.linspace(0, 1, 12)[:, None]))
    return np.round(0.5 * wave + rng.normal(0, 0.05, wave.shape), 3)  # (12, T)


def _header(kind: str, digital: np.ndarray, file: str, gain: str) -> bytes:
    lines = [f"a 12 {RATE} {LENGTH}"]
    for lead, row in zip(LEADS, digital, strict=True):
        checksum = int(row.sum(dtype=np.int64).astype(np.int16))
        lines.append(f"{file} {kind} {gain} 16 0 {row[0]} {checksum} 0 {lead}")
    return ("\n".join([*lines, "# Dx: 426783006"]) + "\n").encode()


def make_samples(folder: Path) -> dict[str, Sample]:
    """Write one record in each format, and read its bytes."""
    signal = _signal()
    digital = np.round(signal * 1000).astype(np.int16)
    plain = {
        "a.hea": _header("16", digital, "a.dat", "1000(0)/mV"),
        "a.dat": digital.T.astype("<i2").tobytes(),
    }
    savemat(folder / "a.mat", {"val": digital}, format="4")
    mat = {
        "a.hea": _header("16+24", digital, "a.mat", "1000/mV"),
        "a.mat": (folder / "a.mat").read_bytes(),
    }
    samples = [
        Sample("plain", plain, "a.hea", signal, {}),
        Sample("mat", mat, "a.hea", signal, {}),
    ]
    for kind in ("212", "24", "516"):
        place = folder / kind
        place.mkdir()
        wfdb.wrsamp(
            "a",
            fs=RATE,
            units=["mV"] * 12,
            sig_name=list(LEADS),
            p_signal=signal.T,
            fmt=[kind] * 12,
            adc_gain=[1000.0] * 12,
            baseline=[0] * 12,
            write_dir=str(place),
        )
        files = {p.name: p.read_bytes() for p in place.iterdir()}
        samples.append(Sample(kind, files, "a.hea", signal, {}))
    values = {"ECG": {"sex": "Male", "age": 50, "data": signal}}
    for name, compressed in (("struct", False), ("struct-z", True)):
        savemat(folder / "b.mat", values, do_compression=compressed)
        files = {"a.mat": (folder / "b.mat").read_bytes()}
        samples.append(Sample(name, files, "a.mat", signal, {}))
    buffer = io.BytesIO()
    np.save(buffer, signal)
    rate = {"sampling_rate": RATE}
    samples.append(Sample("npy", {"a.npy": buffer.getvalue()}, "a.npy", signal, rate))
    rows = "\n".join(",".join(map(str, row)) for row in signal.T)
    table = {"a.csv": f"{','.join(LEADS)}\n{rows}\n".encode()}
    samples.append(Sample("csv", table, "a.csv", signal, rate))
    edfio.Edf(
        [
            edfio.EdfSignal(
                row[:100],
                RATE,
                label=lead,
                physical_dimension="mV",
                physical_range=(-5, 5),
            )
            for lead, row in zip(LEADS, signal, strict=True)
        ]
    ).write(folder / "a.edf")
    edf = {"a.edf": (folder / "a.edf").read_bytes()}
    samples.append(Sample("edf", edf, "a.edf", signal[:, :100], {}))
    return {sample.name: sample for sample in samples}


def damaged(content: bytes, edits: list[Edit]) -> bytes:
    """Apply edits to a file's content, in order.

    Kinds: `byte` sets one, `flip` xors one, `cut` ends the file, `drop` removes a
    piece, `grow` repeats the end, `swap` exchanges two lines, `line` removes one,
    `twice` repeats one, `token` replaces one word.
    """
    for kind, where, value in edits:
        if kind in ("swap", "line", "twice", "token"):
            content = _damaged_lines(content, kind, where, value)
            continue
        at = min(int(where * len(content)), max(len(content) - 1, 0))
        head, tail = content[:at], content[at:]
        if kind == "byte" and tail:
            content = head + bytes([value]) + tail[1:]
        elif kind == "flip" and tail:
            content = head + bytes([tail[0] ^ value]) + tail[1:]
        elif kind == "cut":
            content = head
        elif kind == "drop":
            content = head + tail[value:]
        elif kind == "grow":
            content = content + content[-value:]
    return content


def _damaged_lines(content: bytes, kind: str, where: float, value: int) -> bytes:
    lines = content.split(b"\n")
    at = min(int(where * len(lines)), len(lines) - 1)
    other = value % len(lines)
    if kind == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "line":
        del lines[at]
    elif kind == "twice":
        lines.insert(other, lines[at])
    else:
        words = lines[at].split(b" ")
        words[value % len(words)] = TOKENS[value % len(TOKENS)].encode()
        lines[at] = b" ".join(words)
    return b"\n".join(lines)
