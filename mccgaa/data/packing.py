"""Packing: what may be packed under which name, and the call that does it.

A store is built in `<out>.partial` (see `store_writer`) and renamed when it is whole,
so a store is complete or does not exist under its name.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout

from mccgaa.config import InputConfig
from mccgaa.counted import counted
from mccgaa.data.reader import COLUMNS, left_out
from mccgaa.data.store import SPLITS, SignalStore, table_digest
from mccgaa.data.store_writer import StoreWriter
from mccgaa.data.transform import BAND, DEFAULT_POLICY
from mccgaa.data.workers import Options
from mccgaa.errors import StoreError
from mccgaa.files import FULL, PARTIAL, write_whole

FORMAT = 1  # of the store's files; another number is another configuration


def is_synthetic(root: Path | str) -> bool:
    """Whether a folder, or one above it, is marked by a file SYNTHETIC."""
    root = Path(root).resolve()
    return any((folder / "SYNTHETIC").is_file() for folder in (root, *root.parents))


def pack(
    rows: pd.DataFrame,
    root: Path | str,
    out: Path | str,
    *,
    dataset: str,
    tasks: Mapping[str, Sequence[str]],
    input: InputConfig,
    record_seconds: float | None = None,
    jobs: int | None = None,
    progress: bool = True,
    allow_missing_leads: bool = False,
) -> SignalStore:
    """Pack a dataset's records into a signal store, or open it if that was done.

    Args:
        rows: one row per record, as a reader's `read_rows` gives them. Optional columns
            say of single records: `start` (s into it), `policy` (see `prepare`), and
            `sampling_rate`, `units`, `leads` for files that do not state them (see
            `read_record`).
        root: the folder that the rows' paths are relative to, or a file in it; a file
            SYNTHETIC there or above marks the store as synthetic.
        out: the finished store's folder; `<out>.partial` is used until then.
        dataset: its name.
        tasks: class names of each task that has a column in `rows`.
        input: rate, duration and transform (its scaling does not concern a store).
        record_seconds: the length that each record must have; None takes any.
        jobs: worker processes; None means one per usable core.
        progress: show a bar.
        allow_missing_leads: fill absent leads with zeros instead of rejecting.

    Returns:
        The store; records that could not be packed are listed in its `rejected.csv`.

    Raises:
        StoreError: `out` holds something else, nothing could be packed, the disk is
            full, or another process is packing there.
    """
    given, out = Path(root), Path(out)
    root = given.parent if given.is_file() else given
    _check_rows(rows, tasks, given)
    _check_input(input)
    policy = rows["policy"].iloc[0] if "policy" in rows else None
    settings = {  # what a store is; its fingerprint depends on every key and value
        "format": FORMAT,
        "source": dataset,
        "tasks": {task: list(names) for task, names in tasks.items()},
        "sampling_rate": input.sampling_rate,
        "duration": input.duration,
        "transform": input.transform,
        "policy": policy or DEFAULT_POLICY,
        "allow_missing_leads": allow_missing_leads,
        "synthetic": is_synthetic(root),
        "rows": table_digest(rows),
    }
    options = Options(str(root), input, record_seconds, allow_missing_leads)
    if _is_finished(out, settings):
        return SignalStore.open(out)
    partial = out.with_name(out.name + PARTIAL)
    lock = FileLock(f"{partial}.lock")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with lock.acquire(timeout=0):
            try:
                _claim(partial, settings)
                StoreWriter(rows, partial, options, settings, progress).build(out, jobs)
            finally:
                with contextlib.suppress(OSError):
                    Path(lock.lock_file).unlink()
    except Timeout as error:
        raise StoreError(f"Another process is packing {out}; let it finish.") from error
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(
                f"The disk is full while packing {out}. Free some space and start the "
                f"same command again: it continues from {partial}."
            ) from error
        raise StoreError(
            f"{out} cannot be packed ({error.strerror or error}); give another place."
        ) from error
    return SignalStore.open(out)


def _check_rows(
    rows: pd.DataFrame, tasks: Mapping[str, Sequence[str]], given: Path
) -> None:
    """Refuse a table that cannot become a store.

    Args:
        rows, tasks: as `pack` takes them.
        given: the folder or file that they were read from.
    """
    absent = [c for c in (*COLUMNS, *tasks) if c not in rows]
    if absent:
        raise StoreError(f"The rows to pack lack the columns {', '.join(absent)}.")
    if rows.empty:
        lost = left_out(rows)
        left = f"; {counted(len(lost), 'record')} left out"
        why = f"{left} ({lost['reason'][0]})" if len(lost) else ""
        raise StoreError(f"There is no record to pack in {given}{why}.")
    if not rows["record_id"].is_unique:
        twice = rows["record_id"][rows["record_id"].duplicated()].iloc[0]
        raise StoreError(f"The rows to pack name record {twice!r} more than once.")
    splits = set(rows["split"].dropna()) - set(SPLITS)
    if splits:
        raise StoreError(
            f"The rows to pack have splits {sorted(splits)}; use {', '.join(SPLITS)}."
        )
    for name in rows:  # now, not when the table is written at the very end
        try:
            pa.Array.from_pandas(rows[name])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise StoreError(
                f"Column {name} of the rows mixes kinds of values "
                f"({'; '.join(error.args)})."
            ) from error


def _check_input(input: InputConfig) -> None:
    """Refuse a rate that cannot hold the filter's band."""
    if input.standardised and input.sampling_rate <= 2 * BAND[1]:
        raise StoreError(
            f"A store of {input.sampling_rate} Hz cannot hold what the transform "
            f"bandpass-zscore keeps, {BAND[0]:g} to {BAND[1]:g} Hz; give a sampling "
            f"rate above {2 * BAND[1]:g} Hz."
        )


def _is_finished(out: Path, settings: dict[str, Any]) -> bool:
    """Whether the whole store is there; anything else there is refused."""
    if not out.exists():
        return False
    try:
        there = json.loads((out / "store.json").read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{out} exists and is not a signal store; choose another name."
        ) from error
    if there != settings:
        raise StoreError(
            f"{out} is a store with other settings ({_difference(there, settings)}); "
            "choose another name or delete it."
        )
    return True


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
    with write_whole(path) as file:
        json.dump(settings, file)


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Name what differs, briefly."""
    changed = [key for key in here if there.get(key) != here[key]]
    return ", ".join(
        key
        if key in ("rows", "tasks")
        else f"{key} {there.get(key)!r}, not {here[key]!r}"
        for key in changed
    )
