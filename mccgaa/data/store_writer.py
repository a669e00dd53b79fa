"""Writing a store into its partial folder, restartable at any moment.

Workers prepare chunks of records; this process alone appends them, in order, to
`signals.npy`, and notes each in `journal.jsonl` together with the running SHA-256 of
all samples so far. Started again, it re-reads what the journal vouches for, cuts off
the rest and goes on, so that the finished store is the same to the byte, whatever
interrupted it. Memory holds a few chunks and the table of rows, never the signals.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from mccgaa.config import LEADS
from mccgaa.data import workers
from mccgaa.data.reader import left_out
from mccgaa.data.store import table_digest
from mccgaa.errors import StoreError
from mccgaa.files import bar
from mccgaa.settings import stable_hash

_HEADER_BYTES = 128  # numpy's header of signals.npy, rewritten with the final count
CHUNK_BYTES = 4_000_000
_READ_COLUMNS = ("sampling_rate", "units", "leads")


class StoreWriter:
    """One run over the rows, from wherever the last one stopped.

    Args:
        rows: the records to pack, in the order of the store.
        partial: the folder to build in.
        options: how to read and prepare each record.
        settings: what the store is, for `store.json`.
        progress: show a bar.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        partial: Path,
        options: workers.Options,
        settings: dict[str, Any],
        progress: bool,
    ) -> None:
        self.rows = rows
        self.partial = partial
        self.options = options
        self.settings = settings
        self.progress = progress
        self.record_bytes = 2 * len(LEADS) * options.input.length
        self.chunk = max(8, min(512, CHUNK_BYTES // self.record_bytes))
        self.digest = hashlib.sha256()
        self.reasons: list[str | None] = []  # of each row done; None: it was packed
        self.notes: dict[str, list] = {name: [] for name in workers.NOTES}  # of packed
        self.derived: dict[int, list[str]] = {}  # packed record -> leads computed
        self.values: dict[Any, Any] = {}  # each distinct note once, to save memory
        self.kept = 0

    def build(self, out: Path, jobs: int | None) -> None:
        """Append what is missing, write the tables, and rename the folder to `out`.

        Raises:
            StoreError: no record could be packed, or the disk cannot hold them.
            OSError: the disk is full, or cannot be written.
        """
        signals, journal = self.partial / "signals.npy", self.partial / "journal.jsonl"
        signals.touch()
        journal.touch()
        with signals.open("r+b") as data, journal.open("r+b") as log:
            self._resume(data, log)
            self._check_space()
            self._append(data, log, jobs)
            _write_header(data, self.kept, self.options.input.length)
            data.flush()
            os.fsync(data.fileno())
        self._finish()
        self.partial.rename(out)
        for needless in ("journal.jsonl", "settings.json"):
            (out / needless).unlink()

    def _resume(self, data: BinaryIO, log: BinaryIO) -> None:
        """Take over the chunks whose samples still have the journal's digest.

        A crash may tear either file anywhere: a line half written, samples that the
        journal counts but the disk never got, samples that no line counts. Everything
        up to the first disagreement is kept, and both files are cut there.
        """
        _write_header(data, 0, self.options.input.length)  # also moves past it
        good = 0  # bytes of the journal that are vouched for
        for line in log:
            try:
                entry = json.loads(line)
                notes, stated = entry["notes"], entry["sha256"]
                kept = sum("reason" not in note for note in notes)
            except (ValueError, KeyError, TypeError):
                break
            # The digest runs over all samples so far: one wrong byte before this
            # chunk, or in it, and it differs.
            digest = self.digest.copy()
            digest.update(data.read(kept * self.record_bytes))
            if not line.endswith(b"\n") or digest.hexdigest() != stated:
                break
            self.digest = digest
            self._take(notes)
            good += len(line)
        log.truncate(good)
        log.seek(good)
        end = _HEADER_BYTES + self.kept * self.record_bytes
        data.truncate(end)
        data.seek(end)

    def _take(self, notes: list[dict[str, Any]]) -> None:
        """Keep what the workers noted of the next rows."""
        for note in notes:
            self.reasons.append(note.get("reason"))
            if "reason" in note:
                continue
            if "derived_leads" in note:
                self.derived[self.kept] = note["derived_leads"]
            self.kept += 1
            for name, column in self.notes.items():
                value = note[name]
                # A list cannot be a key; its items can.
                key = (name, *value) if isinstance(value, list) else (name, value)
                column.append(self.values.setdefault(key, value))

    def _check_space(self) -> None:
        """Say now, not after hours, that the disk cannot hold the store."""
        needed = (len(self.rows) - len(self.reasons)) * self.record_bytes
        free = shutil.disk_usage(self.partial).free
        if needed > free:
            raise StoreError(
                f"Packing needs {needed / 1e9:.1f} GB more in {self.partial.parent}, "
                f"which has {free / 1e9:.1f} GB free; make room or pack elsewhere."
            )

    def _append(self, data: BinaryIO, log: BinaryIO, jobs: int | None) -> None:
        """Let the workers prepare chunks and write them in order."""
        done = len(self.reasons)
        progress = bar(
            total=len(self.rows),
            initial=done,
            desc=f"packing {self.settings['source']}",
            unit=" records",
            disable=not self.progress,
        )
        with progress:
            chunks = self._chunks(done)
            for block, notes in workers.run_chunks(chunks, self.options, jobs):
                # Samples first: a journal line never vouches for what is not there.
                data.write(block.data)
                data.flush()
                self.digest.update(block.data)
                entry = {"notes": notes, "sha256": self.digest.hexdigest()}
                log.write(json.dumps(entry).encode() + b"\n")
                log.flush()
                self._take(notes)
                progress.update(len(notes))

    def _chunks(self, begin: int) -> Iterator[list[workers.Item]]:
        """Yield the rows still to do, by chunk."""
        names = ["path", "start", "policy", *_READ_COLUMNS]
        table = self.rows[[name for name in names if name in self.rows]]
        for first in range(begin, len(table), self.chunk):
            chunk = []
            for row in table.iloc[first : first + self.chunk].to_dict("records"):
                given = {name: v for name, v in row.items() if not _missing(v)}
                read = {n: given.pop(n) for n in _READ_COLUMNS if n in given}
                chunk.append(workers.Item(**given, read=read))
            yield chunk

    def _finish(self) -> None:
        """Write the tables and the description, the latter last."""
        accepted = np.array([reason is None for reason in self.reasons])
        lost = self.rows.loc[~accepted, ["record_id", "path"]].copy()
        lost["reason"] = [reason for reason in self.reasons if reason is not None]
        unread = left_out(self.rows)
        everything = pd.concat([lost, unread], ignore_index=True)
        everything.to_csv(self.partial / "rejected.csv", index=False)
        if not self.kept:
            for name in ("journal.jsonl", "settings.json"):  # begin afresh next time
                (self.partial / name).unlink()
            raise StoreError(
                f"None of {len(lost)} records could be packed; the first reason: "
                f"{lost['reason'].iloc[0]} All are in {self.partial}/rejected.csv."
            )
        records = self.rows[accepted].reset_index(drop=True)
        records.attrs = {}
        for name, column in self.notes.items():
            records[name] = column
        if self.derived:  # stores of twelve-lead records are older than this column
            leads = [self.derived.get(i, []) for i in range(self.kept)]
            records["derived_leads"] = leads
        records.to_parquet(self.partial / "records.parquet", index=False)
        self._describe(records, len(lost), len(unread))

    def _describe(self, records: pd.DataFrame, rejected: int, unread: int) -> None:
        """Write `store.json`."""
        settings = self.settings
        digests = {"samples": self.digest.hexdigest(), "table": table_digest(records)}
        meta = {
            **{key: settings[key] for key in ("source", "sampling_rate", "duration")},
            "length": self.options.input.length,
            "transform": settings["transform"],
            "scale": 1 / workers.STEPS,
            "unit": "mV" if settings["transform"] == "raw" else "z",
            "synthetic": settings["synthetic"],
            "tasks": settings["tasks"],
            "records": self.kept,
            "rejected": rejected,
            "left_out": unread,
            "fingerprint": stable_hash([digests, settings], 16),
            "sha256": digests,
            "settings": settings,
        }
        (self.partial / "store.json").write_text(
            json.dumps(meta, indent=2) + "\n", encoding="utf-8"
        )


def _missing(value: Any) -> bool:
    """Whether a cell is None or NaN; it may hold a list."""
    return value is None or (isinstance(value, float) and value != value)


def _write_header(data: BinaryIO, records: int, length: int) -> None:
    """Write numpy's header; its size does not depend on the count of records."""
    data.seek(0)
    shape = (records, len(LEADS), length)
    npy.write_array_header_1_0(
        data, {"descr": "<i2", "fortran_order": False, "shape": shape}
    )
    if data.tell() != _HEADER_BYTES:
        raise StoreError(
            f"numpy wrote a header of {data.tell()} bytes; expected {_HEADER_BYTES}."
        )
