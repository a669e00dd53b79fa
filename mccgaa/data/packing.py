"""Packing: thousands of records into one memory map, in parallel and restartable.

A store is built in `<out>.partial/` and renamed when it is whole. Workers prepare
chunks of records; this process alone appends them, in order, to `signals.npy`, and
notes each in `journal.jsonl` together with the running SHA-256 of all samples so far.
Started again, it re-reads what the journal vouches for and goes on from there, so that
the finished store is the same to the byte, whatever interrupted it. Memory holds a few
chunks and the table of rows, never the signals.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.lib import format as npy
from tqdm import tqdm

from mccgaa.config import LEADS, InputConfig, stable_hash
from mccgaa.data import workers
from mccgaa.data.transform import Policy
from mccgaa.errors import StoreError

FORMAT = 1  # of the store's files; another number is another configuration
SCALE = 1e-3  # mV (a microvolt a step) or z a step
HEADER_BYTES = 128  # numpy's header of signals.npy, rewritten with the final count
CHUNK_BYTES = 4_000_000
REQUIRED = ("record_id", "path", "subject_id", "text", "split", "statements")
RECORD_SECONDS = {"ptbxl": 10.0, "mimic": 10.0}  # sources of one length


@dataclass(frozen=True)
class PackReport:
    """What packing did."""

    packed: int
    rejected: int
    out: Path
    already_there: bool = False  # a finished store of the same configuration was found

    def __str__(self) -> str:
        did = "holds" if self.already_there else "packed"
        listed = f" (reasons in {self.out / 'rejected.csv'})" if self.rejected else ""
        return f"{self.out}: {did} {self.packed}, rejected {self.rejected}{listed}"


def is_synthetic(root: Path | str) -> bool:
    """Tell whether a folder, or one above it, is marked by a file SYNTHETIC."""
    root = Path(root).resolve()
    return any((folder / "SYNTHETIC").is_file() for folder in (root, *root.parents))


def pack(
    rows: pd.DataFrame,
    root: Path | str,
    out: Path | str,
    *,
    source: str,
    tasks: dict[str, list[str]],
    input: InputConfig,
    jobs: int | None = None,
    synthetic: bool = False,
    progress: bool = True,
    allow_missing_leads: bool = False,
    policy: Policy = "first-10s",
    read_options: dict[str, Any] | None = None,
) -> PackReport:
    """Pack a dataset's records into a signal store.

    Args:
        rows: one row a record, as a reader's `read_rows` gives them; an optional column
            `start` (s) cuts a later window out of the record.
        root: the folder that the rows' paths are relative to.
        out: where the finished store stands; `<out>.partial` is used until then.
        source: the dataset's name; PTB-XL's and MIMIC's records must last 10 s.
        tasks: class names of each task that has a column in `rows`.
        input: rate, duration and transform (its scaling does not concern a store).
        jobs: worker processes; None means one a usable core.
        synthetic: mark the store as synthetic; a marked `root` does so as well.
        progress: show a bar.
        allow_missing_leads: fill absent leads with zeros instead of rejecting.
        policy: what becomes of records of another length (see `prepare`).
        read_options: further keywords of `read_record`, such as `sampling_rate`.

    Returns:
        Counts of packed and rejected records; the latter are listed in `rejected.csv`.

    Raises:
        StoreError: `out` holds something else, nothing could be packed, the disk is
            full, or another process is packing there.
    """
    root, out = Path(root), Path(out)
    _check_rows(rows, tasks, root)
    options = workers.Options(
        root=str(root),
        input=input,
        policy=policy,
        seconds=RECORD_SECONDS.get(source),
        allow_missing_leads=allow_missing_leads,
        read=dict(read_options or {}),
    )
    settings = {
        "format": FORMAT,
        "source": source,
        "tasks": {task: list(names) for task, names in tasks.items()},
        "sampling_rate": input.sampling_rate,
        "duration": input.duration,
        "transform": input.transform,
        "policy": policy,
        "allow_missing_leads": allow_missing_leads,
        "read_options": {k: str(v) for k, v in sorted(options.read.items())},
        "synthetic": bool(synthetic or is_synthetic(root)),
        "rows": table_digest(rows),
    }
    finished = _finished(out, settings)
    if finished:
        return finished
    partial = out.with_name(out.name + ".partial")
    lock = FileLock(partial.with_name(partial.name + ".lock"))
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with lock.acquire(timeout=0):
            finished = _finished(out, settings)
            if finished:
                return finished
            _claim(partial, settings)
            packing = _Packing(rows, partial, options, settings, progress)
            report = packing.run(out, jobs)
        Path(lock.lock_file).unlink(missing_ok=True)
        return report
    except Timeout as error:
        raise StoreError(f"Another process is packing {out}; let it finish.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreError(
                f"The disk is full while packing {out}. Free some space and start the "
                f"same command again: it continues from {partial}."
            ) from error
        raise StoreError(f"{out} cannot be packed ({error}).") from error


def table_digest(rows: pd.DataFrame) -> str:
    """Hash a table by its content, the same for equal values on every machine."""
    digest = hashlib.sha256(json.dumps([str(c) for c in rows.columns]).encode())
    columns = [rows[column].tolist() for column in rows.columns]
    for values in zip(*columns, strict=True):
        digest.update(json.dumps([_plain(v) for v in values]).encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Turn a cell into what JSON writes; missing values become one None."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(v) for v in value]
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float | bool) else str(value)


def _check_rows(rows: pd.DataFrame, tasks: dict[str, list[str]], root: Path) -> None:
    """Refuse a table that cannot become a store."""
    absent = [c for c in (*REQUIRED, *tasks) if c not in rows]
    if absent:
        raise StoreError(f"The rows to pack lack the columns {', '.join(absent)}.")
    if rows.empty:
        raise StoreError(f"There is no record to pack under {root}.")
    if not rows["record_id"].is_unique:
        twice = rows["record_id"][rows["record_id"].duplicated()].iloc[0]
        raise StoreError(f"The rows to pack name record {twice!r} more than once.")
    splits = set(rows["split"].dropna()) - {"train", "val", "test"}
    if splits:
        raise StoreError(
            f"The rows to pack have splits {sorted(splits)}; use train, val and test."
        )


def _finished(out: Path, settings: dict[str, Any]) -> PackReport | None:
    """Recognise a whole store of the same settings; refuse anything else there."""
    if not out.exists():
        return None
    try:
        meta = json.loads((out / "store.json").read_text(encoding="utf-8"))
        there = meta["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{out} exists and is not a signal store; choose another name."
        ) from error
    if there != settings:
        raise StoreError(
            f"{out} is a store with other settings ({_difference(there, settings)}); "
            "choose another name or delete it."
        )
    return PackReport(meta["records"], meta["rejected"], out, already_there=True)


def _claim(partial: Path, settings: dict[str, Any]) -> None:
    """Make the partial folder ours, or refuse one begun with other settings."""
    path = partial / "settings.json"
    if path.exists():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            there = {}
        if there and there != settings:
            raise StoreError(
                f"{partial} was begun with other settings "
                f"({_difference(there, settings)}); delete it to start afresh."
            )
        if there:
            return
    path.with_suffix(".new").write_text(json.dumps(settings), encoding="utf-8")
    path.with_suffix(".new").replace(path)


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Name what differs, briefly."""
    keys = [k for k in here if there.get(k) != here[k]]
    return ", ".join(
        f"{k} {there.get(k)!r} there, {here[k]!r} here"
        if not isinstance(here[k], dict) and k != "rows"
        else k
        for k in keys
    )


class _Packing:
    """One run over the rows, from wherever the last one stopped."""

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
        self.notes: list[dict[str, Any]] = []  # one a row, in order
        self.kept = 0

    def run(self, out: Path, jobs: int | None) -> PackReport:
        """Append what is missing, then finish and rename."""
        signals, journal = self.partial / "signals.npy", self.partial / "journal.jsonl"
        signals.touch()
        journal.touch()
        with signals.open("r+b") as data, journal.open("r+b") as log:
            self._resume(data, log)
            self._check_space(data)
            self._append_all(data, log, jobs)
            _write_header(data, self.kept, self.options.input.length)
            data.flush()
            os.fsync(data.fileno())
        self._finish()
        self.partial.rename(out)
        return PackReport(self.kept, len(self.rows) - self.kept, out)

    def _resume(self, data: BinaryIO, log: BinaryIO) -> None:
        """Take over the chunks whose samples still have the journal's digest."""
        _write_header(data, 0, self.options.input.length)
        good = 0
        for line in log:
            try:
                entry = json.loads(line)
                kept = sum("reason" not in note for note in entry["notes"])
            except (ValueError, KeyError, TypeError):
                break
            block = data.read(kept * self.record_bytes)
            attempt = self.digest.copy()
            attempt.update(block)
            whole = line.endswith(b"\n") and len(block) == kept * self.record_bytes
            if not whole or attempt.hexdigest() != entry["sha256"]:
                break
            self.digest = attempt
            self.notes += entry["notes"]
            self.kept += kept
            good += len(line)
        log.truncate(good)
        log.seek(good)
        end = HEADER_BYTES + self.kept * self.record_bytes
        data.truncate(end)
        data.seek(end)

    def _check_space(self, data: BinaryIO) -> None:
        """Say now, not after hours, that the disk cannot hold the store."""
        needed = (len(self.rows) - len(self.notes)) * self.record_bytes
        free = shutil.disk_usage(self.partial).free
        if needed > free:
            raise StoreError(
                f"Packing needs {needed / 1e9:.1f} GB more under "
                f"{self.partial.parent}, which has {free / 1e9:.1f} GB free."
            )

    def _append_all(self, data: BinaryIO, log: BinaryIO, jobs: int | None) -> None:
        """Let the workers prepare chunks and write them in order."""
        bar = tqdm(
            total=len(self.rows),
            initial=len(self.notes),
            desc=f"pack {self.settings['source']}",
            unit="record",
            disable=not self.progress,
        )
        with bar:
            chunks = self._chunks(len(self.notes))
            for block, notes in workers.run_chunks(chunks, self.options, jobs):
                content = block.tobytes()
                data.write(content)
                data.flush()
                self.digest.update(content)
                entry = {"notes": notes, "sha256": self.digest.hexdigest()}
                log.write(json.dumps(entry).encode() + b"\n")
                log.flush()
                self.notes += notes
                self.kept += len(block)
                bar.update(len(notes))

    def _chunks(self, start: int) -> Iterator[list[tuple[str, float]]]:
        """Yield (path, start in seconds) of the rows still to do, by chunk."""
        paths = self.rows["path"].tolist()
        begins = (
            self.rows["start"].fillna(0.0).tolist()
            if "start" in self.rows
            else [0.0] * len(paths)
        )
        for i in range(start, len(paths), self.chunk):
            stop = i + self.chunk
            yield list(zip(paths[i:stop], begins[i:stop], strict=True))

    def _finish(self) -> None:
        """Write the tables and the description, the latter last."""
        accepted = np.array(["reason" not in note for note in self.notes])
        lost = self.rows[~accepted]
        reasons = [note["reason"] for note in self.notes if "reason" in note]
        rejected = pd.DataFrame(
            {"record_id": lost["record_id"], "path": lost["path"], "reason": reasons}
        )
        rejected.to_csv(self.partial / "rejected.csv", index=False)
        if not self.kept:
            raise StoreError(
                f"None of {len(self.rows)} records could be packed; the first reason: "
                f"{reasons[0]} All are in {self.partial / 'rejected.csv'}."
            )
        records = self.rows[accepted].reset_index(drop=True)
        notes = [note for note in self.notes if "reason" not in note]
        for column in workers.NOTES:
            records[column] = [note[column] for note in notes]
        records.to_parquet(self.partial / "records.parquet", index=False)
        settings = self.settings
        checksums = {"samples": self.digest.hexdigest(), "table": table_digest(records)}
        meta = {
            **{k: settings[k] for k in ("source", "sampling_rate", "duration")},
            "length": self.options.input.length,
            "transform": settings["transform"],
            "scale": SCALE,
            "unit": "mV" if settings["transform"] == "raw" else "z",
            "synthetic": settings["synthetic"],
            "tasks": settings["tasks"],
            "records": self.kept,
            "rejected": len(rejected),
            "fingerprint": stable_hash([checksums, settings], 16),
            "sha256": checksums,
            "settings": settings,
        }
        (self.partial / "settings.json").unlink()
        (self.partial / "journal.jsonl").unlink()
        (self.partial / "store.json").write_text(
            json.dumps(meta, indent=2) + "\n", encoding="utf-8"
        )


def _write_header(data: BinaryIO, records: int, length: int) -> None:
    """Write numpy's header; its size does not depend on the count of records."""
    data.seek(0)
    shape = (records, len(LEADS), length)
    npy.write_array_header_1_0(
        data, {"descr": "<i2", "fortran_order": False, "shape": shape}
    )
    if data.tell() != HEADER_BYTES:
        raise StoreError(
            f"numpy wrote a header of {data.tell()} bytes; expected {HEADER_BYTES}."
        )
