"""Folder trees as PhysioNet lays them out, filled with simulated ECGs.

A tree is written into a partial folder beside its place and renamed when whole; a
subject's records depend on the seed, the source and the subject's number alone, so the
result is the same whatever the number of processes. Every root holds a file named
SYNTHETIC, which readers carry on to every table and page.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from mccgaa.errors import MccgaaError
from mccgaa_twin import tree_cpsc2018, tree_csn, tree_mimic, tree_ptbxl
from mccgaa_twin.files import Folder

SOURCES: dict[str, ModuleType] = {
    module.NAME: module for module in (tree_ptbxl, tree_mimic, tree_cpsc2018, tree_csn)
}
MARKER = "SYNTHETIC"
SENTENCE = (
    "This data set is synthetic: every ECG and every report in it was simulated by "
    "mccgaa's twin; no person was recorded."
)
_CHUNK = 24  # records of work handed to a process at once


def write_twin(
    out: Path | str,
    *,
    ptbxl: int = 1500,
    mimic: int = 3000,
    cpsc2018: int = 0,
    csn: int = 0,
    seed: int = 0,
    jobs: int | None = None,
    progress: bool = True,
) -> dict[str, Path]:
    """Write simulated datasets with PhysioNet's names, tables and formats.

    Args:
        out: folder that will hold ptbxl, mimic, cpsc2018, csn.
        ptbxl, mimic, cpsc2018, csn: records of each; 0 leaves a dataset out.
        seed: the same seed gives the same files, byte for byte.
        jobs: processes; None takes one a core.
        progress: show a bar.

    Returns:
        Dataset name -> its root.

    Raises:
        MccgaaError: a count below zero, or a folder in the way that holds other data.
    """
    wanted = dict(zip(ALL, (ptbxl, mimic, cpsc2018, csn), strict=True))
    roots = {}
    for name, records in wanted.items():
        if records < 0:
            raise MccgaaError(
                f"The twin's {name} was asked for {records} records; give 0 or more."
            )
        if records:
            root = Path(out) / name
            write_tree(root, name, records, seed, jobs=jobs, progress=progress)
            roots[name] = root
    return roots


ALL = ("ptbxl", "mimic", "cpsc2018", "csn")


def _marker(name: str, records: int, seed: int) -> str:
    """The marker's text: the sentence, and what the tree was made with."""
    made = {"source": name, "records": records, "seed": seed, "version": VERSION}
    return f"{SENTENCE}\n{json.dumps(made)}\n"


VERSION = 1  # of the physiology and of the trees; raised when either changes


def write_tree(
    root: Path | str,
    name: str,
    records: int,
    seed: int = 0,
    *,
    jobs: int | None = None,
    progress: bool = True,
) -> Path:
    """Write one dataset; a tree that is there already, made alike, is left as it is.

    Args:
        root: the dataset's folder.
        name: a key of `SOURCES`.
        records: how many, at least 1.
        seed, jobs, progress: as in `write_twin`.

    Returns:
        `root`.

    Raises:
        MccgaaError: an unknown source, or a folder in the way that holds other data.
    """
    root = Path(root)
    if name not in SOURCES:
        raise MccgaaError(f"The twin has no source {name!r}; it has {', '.join(ALL)}.")
    text = _marker(name, records, seed)
    if root.exists():
        if (root / MARKER).is_file() and (root / MARKER).read_text() == text:
            return root
        raise MccgaaError(
            f"{root} is there already and was not made with these settings; remove it "
            "or write the twin to another folder."
        )
    partial = root.parent / f".{root.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    source = SOURCES[name]
    rng = np.random.default_rng([seed, ALL.index(name)])
    counts = source.records_of_subjects(records, rng)
    folder, rows = Folder(partial), []
    bar = tqdm(total=records, desc=f"twin {name}", unit="ecg", disable=not progress)
    with bar:
        for part, sums in _work(name, partial, counts, seed, jobs):
            rows += part
            folder.sums += sums
            bar.update(len(part))
    source.finish(folder, rows)
    folder.write(MARKER, text)
    folder.write_sums()
    partial.rename(root)
    return root


def _work(
    name: str, partial: Path, counts: np.ndarray, seed: int, jobs: int | None
) -> Iterator[tuple[list[dict], list[tuple[str, str]]]]:
    """Share subjects out to processes; results come in the subjects' order."""
    starts = np.cumsum(counts) - counts
    parts = np.flatnonzero(np.diff(starts // _CHUNK, prepend=-1))
    tasks = [
        (name, str(partial), first, counts[first:last], int(starts[first]), seed)
        for first, last in zip(parts, [*parts[1:], len(counts)], strict=True)
    ]
    jobs = min(jobs or os.cpu_count() or 1, len(tasks))
    if jobs == 1:
        yield from map(_chunk, tasks)
        return
    # Forking a process that holds threads (PyTorch's) may hang: start clean ones.
    context = get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, context, threadpool_limits, (1,)) as pool:
            yield from pool.map(_chunk, tasks)
    except BrokenProcessPool as error:
        raise MccgaaError(
            f"A process that wrote the twin's {name} ended early. Free some memory or "
            "use jobs=1; in a script of your own, call the twin under "
            '`if __name__ == "__main__":`.'
        ) from error


def _chunk(task: tuple) -> tuple[list[dict], list[tuple[str, str]]]:
    """Make some subjects' records in this process."""
    name, partial, first_subject, counts, first_record, seed = task
    folder, rows, record = Folder(Path(partial)), [], first_record
    for i, count in enumerate(counts):
        subject = int(first_subject) + i
        seeds = np.random.SeedSequence([seed, ALL.index(name), subject])
        rows += SOURCES[name].subject_records(
            folder, subject, record, int(count), seeds
        )
        record += int(count)
    return rows, folder.sums
