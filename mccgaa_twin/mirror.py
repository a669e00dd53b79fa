"""Folder trees as PhysioNet lays them out, filled with simulated ECGs.

A tree appears under its name only once it is whole. A subject's records depend on the
seed, the dataset and the subject's number alone, so the result is the same whatever the
number of processes. Every root holds a file named SYNTHETIC, which readers carry on to
every table and page.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from mccgaa.errors import MccgaaError
from mccgaa.files import bar, write_folder
from mccgaa_twin import tree_cpsc2018, tree_csn, tree_mimic, tree_ptbxl
from mccgaa_twin.files import Folder
from mccgaa_twin.physiology import Rng
from mccgaa_twin.variety import check

VERSION = 1  # of the physiology and of the trees; raised when either changes
_MARKER = "SYNTHETIC"
_DISCLAIMER = (
    "This data set is synthetic: every ECG and every report in it was simulated by "
    "mccgaa's twin; no person was recorded."
)
_CHUNK = 24  # records of work handed to a process at once


class Tree(Protocol):
    """What a module that writes one dataset provides."""

    NAME: str

    def records_of_subjects(self, records: int, rng: Rng) -> np.ndarray:
        """Draw how many records each subject has.

        Args:
            records: how many the dataset has in all.
            rng: draws the counts.

        Returns:
            (records,) whole numbers of at least 1. As many subjects are written as
            `records` takes.
        """

    def subject_records(
        self,
        folder: Folder,
        subject: int,
        first: int,
        count: int,
        rng: Rng,
        variety: float = 0.0,
    ) -> list[dict]:
        """Make and write all records of one subject.

        Args:
            folder: the dataset's root.
            subject: number, from 0.
            first: number of the subject's first record in the dataset, from 0.
            count: how many.
            rng: the subject's own.
            variety: in [0, 1].

        Returns:
            One row of the dataset's tables per record.
        """

    def finish(self, folder: Folder, rows: list[dict]) -> None:
        """Write the tables.

        Args:
            folder: the dataset's root.
            rows: of all records, by subject and record.
        """


# A dataset's position here is part of its subjects' seeds: add new ones at the end.
SOURCES: dict[str, Tree] = {
    tree.NAME: tree for tree in (tree_ptbxl, tree_mimic, tree_cpsc2018, tree_csn)
}


def write_twin(
    out: Path | str,
    *,
    ptbxl: int = 1500,
    mimic: int = 3000,
    cpsc2018: int = 0,
    csn: int = 0,
    seed: int = 0,
    variety: float = 0.0,
    jobs: int | None = None,
    progress: bool = True,
) -> dict[str, Path]:
    """Write simulated datasets with PhysioNet's names, tables and formats.

    Args:
        out: folder that will hold ptbxl, mimic, cpsc2018, csn.
        ptbxl, mimic, cpsc2018, csn: records of each; 0 leaves a dataset out.
        seed: the same seed gives the same files, byte for byte.
        variety: in [0, 1]: how far shapes, findings, rhythms and noises vary from
            record to record; see `variety`. 0 is a textbook's spread.
        jobs: processes; None takes one per core.
        progress: show a bar.

    Returns:
        Dataset name -> its root.

    Raises:
        MccgaaError: a count below zero, a variety outside [0, 1], or a folder in the
            way that holds other data.
    """
    sizes = {"ptbxl": ptbxl, "mimic": mimic, "cpsc2018": cpsc2018, "csn": csn}
    roots = {}
    for name, records in sizes.items():
        if records < 0:
            raise MccgaaError(
                f"The twin's {name} was asked for {records} records; give 0 or more."
            )
        if records:
            root = Path(out) / name
            write_tree(
                root,
                name,
                records,
                seed,
                variety=variety,
                jobs=jobs,
                progress=progress,
            )
            roots[name] = root
    return roots


def write_tree(
    root: Path | str,
    name: str,
    records: int,
    seed: int = 0,
    *,
    variety: float = 0.0,
    jobs: int | None = None,
    progress: bool = True,
) -> Path:
    """Write one dataset; one that exists and was made alike is left as it is.

    Args:
        root: the dataset's folder.
        name: a key of `SOURCES`.
        records: how many, at least 1.
        seed, variety, jobs, progress: as in `write_twin`.

    Returns:
        `root`.

    Raises:
        MccgaaError: an unknown dataset, a variety outside [0, 1], or a folder in the
            way that holds other data.
        WriteError: the disk is full, or the folder cannot be written.
    """
    root = Path(root)
    if name not in SOURCES:
        raise MccgaaError(
            f"The twin has no dataset {name!r}; it has {', '.join(SOURCES)}."
        )
    variety = check(variety)
    text = _marker(name, records, seed, variety)
    if root.exists():
        if (root / _MARKER).is_file() and (root / _MARKER).read_text() == text:
            return root
        raise MccgaaError(
            f"{root} exists and was not made with these settings; remove it or write "
            "the twin to another folder."
        )
    with (
        write_folder(root) as partial,
        bar(total=records, desc=f"twin {name}", unit="ecg", disable=not progress) as b,
    ):
        folder, rows = Folder(partial), []
        for part, sums in _work(name, partial, records, seed, variety, jobs):
            rows += part
            folder.sums += sums
            b.update(len(part))
        SOURCES[name].finish(folder, rows)
        folder.write(_MARKER, text)
        folder.write_sums()
    return root


def _marker(name: str, records: int, seed: int, variety: float) -> str:
    """The marker's text: the disclaimer, and what the tree was made with."""
    made = {"source": name, "records": records, "seed": seed, "version": VERSION}
    if variety:
        made["variety"] = variety
    return f"{_DISCLAIMER}\n{json.dumps(made)}\n"


def _seed(name: str, seed: int, *more: int) -> list[int]:
    """The seed of a dataset, or of something in it."""
    return [seed, list(SOURCES).index(name), *more]


def _records_of_subjects(name: str, records: int, seed: int) -> np.ndarray:
    """Records of each subject, (S,) with the sum `records`."""
    rng = np.random.default_rng(_seed(name, seed))
    counts = SOURCES[name].records_of_subjects(records, rng)
    ends = np.cumsum(counts)
    last = int(np.searchsorted(ends, records))  # the subject who has the last record
    counts = counts[: last + 1]
    counts[-1] -= ends[last] - records
    return counts


def _work(
    name: str,
    partial: Path,
    records: int,
    seed: int,
    variety: float,
    jobs: int | None,
) -> Iterator[tuple[list[dict], list[tuple[str, str]]]]:
    """Share subjects out to processes; results come in the subjects' order."""
    counts = _records_of_subjects(name, records, seed)  # (S,)
    starts = np.cumsum(counts) - counts
    # A chunk starts with the first subject after each multiple of _CHUNK records.
    heads = np.flatnonzero(np.diff(starts // _CHUNK, prepend=-1))
    tasks = [
        (
            name,
            str(partial),
            first,
            counts[first:last],
            int(starts[first]),
            seed,
            variety,
        )
        for first, last in zip(heads, [*heads[1:], len(counts)], strict=True)
    ]
    jobs = min(jobs or os.cpu_count() or 1, len(tasks))
    if jobs == 1:
        yield from map(_chunk, tasks)
        return
    # Forking a process that holds threads (PyTorch's) may hang: start clean ones.
    try:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            yield from pool.map(_chunk, tasks)
    except BrokenProcessPool as error:
        raise MccgaaError(
            f"A process that wrote the twin's {name} ended early. Free some memory or "
            "use jobs=1; in a script of your own, call the twin under "
            '`if __name__ == "__main__":`.'
        ) from error


def _chunk(task: tuple) -> tuple[list[dict], list[tuple[str, str]]]:
    """Write some subjects' records in this process; give their rows and checksums.

    The matrices are too small for more than one thread.
    """
    name, partial, first_subject, counts, record, seed, variety = task
    folder, rows = Folder(Path(partial)), []
    with threadpool_limits(1):
        for subject, count in enumerate(counts.tolist(), int(first_subject)):
            rng = np.random.default_rng(_seed(name, seed, subject))
            rows += SOURCES[name].subject_records(
                folder, subject, record, count, rng, variety
            )
            record += count
    return rows, folder.sums
