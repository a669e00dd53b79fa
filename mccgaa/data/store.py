"""SignalStore: packed ECGs as a memory map, and a table of what they are.

A finished store is a folder with

- `signals.npy`, int16 (N, 12, T), in thousandths of a mV or of a standard deviation,
- `records.parquet`, one row per record: what the reader said, and the quality of its
  signal,
- `rejected.csv`, the records left out, each with the reason,
- `store.json`, the description, written last.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from mccgaa.errors import StoreError
from mccgaa.files import PARTIAL

SPLITS = ("train", "val", "test")
_DIGEST_ROWS = 10_000  # turned into Python objects at a time


def _is_locked(partial: Path) -> bool:
    """Whether a process is packing there, and not one that was killed."""
    lock = Path(f"{partial}.lock")
    try:
        if lock.exists():
            FileLock(lock).acquire(timeout=0).lock.release()
    except OSError as error:  # another user's lock says nothing
        return isinstance(error, Timeout)
    return False


class SignalStore:
    """A finished store, opened for reading; signals stay on disk until asked for.

    Attributes:
        path: its folder.
        meta: source, sampling_rate (Hz), length (samples), transform, scale, synthetic,
            tasks {task: classes}, fingerprint and the rest of `store.json`.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path = path
        self.meta = meta

    @classmethod
    def open(cls, path: Path | str) -> SignalStore:
        """Open a finished store.

        Raises:
            StoreError: it is absent, unfinished or damaged.
        """
        path = Path(path)
        partial = path.with_name(path.name + PARTIAL)
        try:
            meta = json.loads((path / "store.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            hint = "make it with `mccgaa pack`."
            if _is_locked(partial):
                hint = "another process is packing it now; let it finish."
            elif partial.is_dir():
                hint = f"its packing was interrupted (see {partial}): start it again."
            raise StoreError(f"There is no signal store at {path}; {hint}") from error
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}/store.json cannot be read ({error}).") from error
        store = cls(path, meta)
        shape = (meta["records"], 12, meta["length"])
        if store.signals.shape != shape or store.signals.dtype != np.int16:
            raise StoreError(
                f"{path}/signals.npy is {store.signals.dtype} {store.signals.shape}; "
                f"store.json says int16 {shape}. Pack it again."
            )
        return store

    def __len__(self) -> int:
        return self.meta["records"]

    def __repr__(self) -> str:
        return f"SignalStore({str(self.path)!r}, {len(self)} records)"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle where the store is, not what it holds: workers open it themselves."""
        return {"path": self.path, "meta": self.meta}

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row per record, in the order of the signals."""
        try:
            table = pq.read_table(self.path / "records.parquet")
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self.path}: records.parquet is damaged ({error})."
            ) from error
        if len(table) != len(self):
            raise StoreError(f"{self.path}: records.parquet has {len(table)} rows.")
        kinds = {field.name: field.type for field in table.schema}
        lists = [name for name, kind in kinds.items() if pa.types.is_list(kind)]
        frame = table.drop_columns(lists).to_pandas()
        for name in lists:
            frame[name] = _shared_lists(table[name])
        return frame[table.column_names]

    @cached_property
    def signals(self) -> np.ndarray:
        """The memory map, int16 (N, 12, T)."""
        try:
            return np.load(self.path / "signals.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self.path}: signals.npy is damaged ({error})."
            ) from error

    def raw(
        self, index: np.ndarray | list[int], out: np.ndarray | None = None
    ) -> np.ndarray:
        """Read some records as they are stored, in the order of the file.

        Other threads run meanwhile: nearly all of it is without Python's lock.

        Args:
            index: B positions in the store, in any order.
            out: int16 (B, 12, T) to fill; a new array by default.

        Returns:
            int16 (B, 12, T), record by record as in `index`; times `meta["scale"]` they
            are mV, or standard deviations for `bandpass-zscore`.

        Raises:
            IndexError: there is no such record.
        """
        order = np.argsort(index)
        signals = np.asarray(self.signals)  # the same map, without memmap's overhead
        read = np.take(signals, np.asarray(index)[order], axis=0)  # ascending
        back = np.argsort(order)
        return np.take(read, back, axis=0, out=out, mode="clip")  # else it buffers

    def batch(self, index: np.ndarray | list[int] | slice) -> np.ndarray:
        """Read some records.

        Args:
            index: positions in the store.

        Returns:
            float32 (B, 12, T) in mV, or standard deviations for `bandpass-zscore`.
        """
        picked = self.signals[index]  # (B, 12, T) int16
        return np.multiply(picked, np.float32(self.meta["scale"]), dtype=np.float32)

    def indices(self, split: str | None = None, task: str | None = None) -> np.ndarray:
        """Find the records of a split that have a label in a task.

        Args:
            split: train, val or test; None takes all.
            task: None takes labelled and unlabelled alike.

        Returns:
            int64 (n,), ascending.

        Raises:
            StoreError: no such split or task.
        """
        keep = np.ones(len(self), dtype=bool)
        if split is not None:
            if split not in SPLITS:
                raise StoreError(f"{split!r} is no split; use {', '.join(SPLITS)}.")
            keep &= (self.records["split"] == split).to_numpy()
        if task is not None:
            self.classes(task)
            keep &= self.records[task].notna().to_numpy()
        return np.flatnonzero(keep)

    def classes(self, task: str) -> list[str]:
        """Return a task's class names.

        Raises:
            StoreError: the store has no such task.
        """
        if task not in self.meta["tasks"]:
            raise StoreError(
                f"{self.path} has no task {task!r}; it has "
                f"{', '.join(self.meta['tasks']) or 'none'}."
            )
        return list(self.meta["tasks"][task])

    def labels(
        self, task: str, index: np.ndarray | list[int] | None = None
    ) -> tuple[np.ndarray, list[str]]:
        """Return a task's labels.

        Args:
            task: super, sub, form, rhythm, cpsc2018 or csn.
            index: positions in the store; None takes `indices(task=task)`.

        Returns:
            uint8 (n, C), one column per class, and the C class names.

        Raises:
            StoreError: no such task, a record without label in it, or a label that is
                none of its classes.
        """
        classes = self.classes(task)
        index = self.indices(task=task) if index is None else np.asarray(index)
        column = {name: i for i, name in enumerate(classes)}
        y = np.zeros((len(index), len(classes)), dtype=np.uint8)  # (n, C)
        for row, labels in enumerate(self.records[task].iloc[index]):
            if labels is None:
                raise StoreError(
                    f"{self.path}: record {index[row]} has no label in task {task}; "
                    "ask indices(task=...) for those that have."
                )
            for name in labels:
                if name not in column:
                    raise StoreError(f"{self.path}: {name!r} is no class of {task}.")
                y[row, column[name]] = 1
        return y, classes


def table_digest(table: pd.DataFrame) -> str:
    """Hash a table by its content, the same for equal values on every machine."""
    digest = hashlib.sha256(json.dumps([str(c) for c in table.columns]).encode())
    for first in range(0, len(table), _DIGEST_ROWS):
        block = table.iloc[first : first + _DIGEST_ROWS]
        columns = [block[column].tolist() for column in block]
        for values in zip(*columns, strict=True):
            digest.update(json.dumps([_plain(v) for v in values]).encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Turn a cell into what JSON writes; missing values become one None."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)


def _shared_lists(column: pa.ChunkedArray) -> list[list | None]:
    """Turn a column of lists into Python lists that hold each distinct string once.

    A million statements repeat some hundred texts; as objects of their own they would
    take most of the memory that a large store needs.
    """
    encoded = column.combine_chunks().flatten().dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    values = [distinct[i] for i in encoded.indices.to_pylist()]
    found: list[list | None] = []
    at = 0
    for length in pc.list_value_length(column).to_pylist():
        found.append(None if length is None else values[at : at + length])
        at += length or 0
    return found
