"""Files as PhysioNet serves them: WFDB format 16 with its header, and checksums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


def header(
    name: str,
    steps: np.ndarray,
    rate: int,
    leads: tuple[str, ...],
    gain: str,
    *,
    data: str | None = None,
    kind: str = "16",
    comments: tuple[str, ...] = (),
) -> str:
    """The text of a WFDB header.

    Args:
        name: record name.
        steps: (leads, T) int16.
        rate: Hz.
        leads: a description for each row.
        gain: field of converter steps, for example "1000.0(0)/mV".
        data: signal file; `name` + ".dat" when None.
        kind: format field, for example "16" or "16+24".
        comments: lines to follow, written with "#" before them.
    """
    data = data or f"{name}.dat"
    # The header's checksum is the sum of the samples, 16 bits, signed.
    sums = steps.astype(np.int64).sum(axis=1).astype(np.uint16).astype(np.int16)
    lines = [f"{name} {len(leads)} {rate} {steps.shape[1]}"]
    lines += [
        f"{data} {kind} {gain} 16 0 {row[0]} {check} 0 {lead}"
        for row, check, lead in zip(steps, sums, leads, strict=True)
    ]
    lines += [f"#{comment}" for comment in comments]
    return "\n".join(lines) + "\n"


def one_each(records: int, rng: np.random.Generator) -> np.ndarray:
    """One record a subject, (records,): sources that tell nothing of persons."""
    return np.ones(records, int)


def to_int16(steps: np.ndarray) -> np.ndarray:
    """Clip converter steps to 16 bits; the lowest value is WFDB's mark of absence."""
    return np.clip(steps, -32767, 32767).astype("<i2")


@dataclass
class Folder:
    """A dataset's root being written: files go in, checksums are kept."""

    root: Path
    sums: list[tuple[str, str]] = field(default_factory=list)  # path, sha256
    made: set[Path] = field(default_factory=set)  # folders

    def write(self, path: str, content: bytes | str) -> None:
        """Write one file at a path relative to the root."""
        raw = content.encode() if isinstance(content, str) else content
        target = self.root / path
        if target.parent not in self.made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self.made.add(target.parent)
        target.write_bytes(raw)
        self.sums.append((path, hashlib.sha256(raw).hexdigest()))

    def write_record(
        self,
        path: str,
        steps: np.ndarray,
        rate: int,
        leads: tuple[str, ...],
        gain: str,
    ) -> None:
        """Write `path`.hea and `path`.dat in format 16.

        Args:
            path: relative, without ending.
            steps: (leads, T) converter steps.
            rate: Hz.
            leads: names of the rows.
            gain: the header's gain field.
        """
        stored = to_int16(steps)
        name = path.rsplit("/", 1)[-1]
        self.write(f"{path}.hea", header(name, stored, rate, leads, gain))
        self.write(f"{path}.dat", stored.T.tobytes())

    def write_sums(self) -> None:
        """Write SHA256SUMS.txt over all files written so far, by path."""
        lines = [f"{digest} {path}" for path, digest in sorted(self.sums)]
        (self.root / "SHA256SUMS.txt").write_text("\n".join(lines) + "\n")
