"""Packing: what may be packed under which name, and the call that does it.

A store is built in `<out>.partial/` (see `builder`) and renamed when it is whole, so a
store is complete or does not exist under its name.
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout

from mccgaa.config import InputConfig
from mccgaa.data.reader import COLUMNS, left_out
from mccgaa.data.store_writer import StoreWriter, table_digest
from mccgaa.data.transform import Policy
from mccgaa.data.workers import Options
from mccgaa.errors import StoreError

FORMAT = 1  # of the store's files; another number is another configuration
RECORD_SECONDS = {"ptbxl": 10.0, "mimic": 10.0}  # sources whose records last alike
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class PackReport:
    """What packing did."""

    packed: int
    rejected: int  # files that could not be used
    out: Path
    left_out: int = 0  # by the reader, for what the dataset's tables say
    already_there: bool = False  # a finished store of the same settings was found

    def __str__(self) -> str:
        text = f"{self.out}: {self.packed} packed, {self.rejected} rejected"
        if self.left_out:
            text += f", {self.left_out} left out by the reader"
        if self.rejected or self.left_out:
            text += f"; reasons in {self.out / 'rejected.csv'}"
        return text


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
    tasks: Mapping[str, Sequence[str]],
    input: InputConfig,
    jobs: int | None = None,
    synthetic: bool = False,
    progress: bool = True,
    allow_missing_leads: bool = False,
    policy: Policy = "first-10s",
) -> PackReport:
    """Pack a dataset's records into a signal store.

    Args:
        rows: one row a record, as a reader's `read_rows` gives them. Optional columns
            say of single records: `start` (s into it), `policy`, and `sampling_rate`,
            `units`, `leads` for files that do not state them (see `read_record`).
        root: the folder that the rows' paths are relative to, or a file in it.
        out: where the finished store stands; `<out>.partial` is used until then.
        source: the dataset's name; PTB-XL's and MIMIC's records must last 10 s.
        tasks: class names of each task that has a column in `rows`.
        input: rate, duration and transform (its scaling does not concern a store).
        jobs: worker processes; None means one a usable core.
        synthetic: mark the store as synthetic; a marked `root` does so as well.
        progress: show a bar.
        allow_missing_leads: fill absent leads with zeros instead of rejecting.
        policy: what becomes of records of another length (see `prepare`).

    Returns:
        Counts of packed and rejected records; the latter are listed in `rejected.csv`.

    Raises:
        StoreError: `out` holds something else, nothing could be packed, the disk is
            full, or another process is packing there.
    """
    root, out = Path(root), Path(out)
    root = root.parent if root.is_file() else root
    _check_rows(rows, tasks, root)
    settings = {
        "format": FORMAT,
        "source": source,
        "tasks": {task: list(names) for task, names in tasks.items()},
        "sampling_rate": input.sampling_rate,
        "duration": input.duration,
        "transform": input.transform,
        "policy": policy,
        "allow_missing_leads": allow_missing_leads,
        "synthetic": bool(synthetic or is_synthetic(root)),
        "rows": table_digest(rows),
    }
    options = Options(
        root=str(root),
        input=input,
        seconds=RECORD_SECONDS.get(source),
        allow_missing_leads=allow_missing_leads,
    )
    if (finished := _finished(out, settings)) is not None:
        return finished
    partial = out.with_name(out.name + ".partial")
    lock = FileLock(f"{partial}.lock")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with lock.acquire(timeout=0):
            try:
                _claim(partial, settings)
                builder = StoreWriter(
                    rows, partial, options, settings, policy, progress
                )
                kept = builder.build(out, jobs)
            finally:
                with contextlib.suppress(OSError):
                    Path(lock.lock_file).unlink()
    except Timeout as error:
        raise StoreError(f"Another process is packing {out}; let it finish.") from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StoreError(
                f"The disk is full while packing {out}. Free some space and start the "
                f"same command again: it continues from {partial}."
            ) from error
        raise StoreError(f"{out} cannot be packed ({error}).") from error
    return PackReport(kept, len(rows) - kept, out, len(left_out(rows)))


def _check_rows(
    rows: pd.DataFrame, tasks: Mapping[str, Sequence[str]], root: Path
) -> None:
    """Refuse a table that cannot become a store."""
    absent = [c for c in (*COLUMNS, *tasks) if c not in rows]
    if absent:
        raise StoreError(f"The rows to pack lack the columns {', '.join(absent)}.")
    if rows.empty:
        out = left_out(rows)
        why = (
            f"; {len(out)} were left out ({out['reason'].iloc[0]})" if len(out) else ""
        )
        raise StoreError(f"There is no record to pack under {root}{why}.")
    if not rows["record_id"].is_unique:
        twice = rows["record_id"][rows["record_id"].duplicated()].iloc[0]
        raise StoreError(f"The rows to pack name record {twice!r} more than once.")
    splits = set(rows["split"].dropna()) - {"train", "val", "test"}
    if splits:
        raise StoreError(
            f"The rows to pack have splits {sorted(splits)}; use train, val and test."
        )

    try:
        pa.Table.from_pandas(rows, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(
            f"A column of the rows mixes kinds of values ({'; '.join(error.args)})."
        ) from error


def _finished(out: Path, settings: dict[str, Any]) -> PackReport | None:
    """Recognise a whole store of the same settings; refuse anything else there."""
    if not out.exists():
        return None
    try:
        meta = json.loads((out / "store.json").read_text(encoding="utf-8"))
        there, counts = meta["settings"], (meta["records"], meta["rejected"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{out} exists and is not a signal store; choose another name."
        ) from error
    if there != settings:
        raise StoreError(
            f"{out} is a store with other settings ({_difference(there, settings)}); "
            "choose another name or delete it."
        )
    return PackReport(*counts, out, meta.get("left_out", 0), already_there=True)


def _claim(partial: Path, settings: dict[str, Any]) -> None:
    """Make the partial folder ours, or refuse one begun with other settings."""
    path = partial / "settings.json"
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        if there != settings:
            raise StoreError(
                f"{partial} was begun with other settings "
                f"({_difference(there, settings)}); delete it to start afresh."
            )
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(settings), encoding="utf-8")
    fresh.replace(path)


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Name what differs, briefly."""
    changed = [key for key in here if there.get(key) != here[key]]
    return ", ".join(
        key
        if key in ("rows", "tasks")
        else f"{key} {there.get(key)!r}, not {here[key]!r}"
        for key in changed
    )
