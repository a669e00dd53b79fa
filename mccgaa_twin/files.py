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
    """Make the text of a WFDB header.

    Args:
        name: of the record.
        steps: (L, T) int16, one row per lead.
        rate: Hz.
        leads: L names.
        gain: the gain field, for example "1000.0(0)/mV".
        data: signal file; None takes `name` + ".dat".
        kind: the format field, for example "16" or "16+24".
        comments: lines at the end, written with "#" before them.
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


def to_int16(steps: np.ndarray) -> np.ndarray:
    """Clip converter steps to 16 bits; WFDB keeps the lowest value for "missing"."""
    return np.clip(steps, -32767, 32767).astype("<i2")


@dataclass
class Folder:
    """A dataset's root while it is written; keeps the checksums of its files."""

    root: Path
    sums: list[tuple[str, str]] = field(default_factory=list)  # path, SHA-256
    made: set[Path] = field(default_factory=set)  # folders that exist

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
            path: relative to the root, without ending.
            steps: (L, T) converter steps.
            rate: Hz.
            leads: L names.
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
