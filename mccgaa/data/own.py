r"""Your own ECGs: a CSV that says where each is, and what is known of it.

Ten lines are enough. `my-ecgs.csv`::

    path,text,labels,subject,split,sampling_rate,units
    clinic/0001.hea,"sinus rhythm. normal ecg.",SR,p1,train,,
    clinic/0002.edf,"atrial fibrillation with rapid response.",AFIB,p2,train,,
    clinic/0003.csv,,AFIB|PVC,p3,test,500,mV
    clinic/0004.npy,,SR,p4,test,250,uV

and then::

    mccgaa pack own --root my-ecgs.csv --out stores/mine --sampling-rate 100
    echo "own: {SR: sinus rhythm, AFIB: atrial fibrillation, PVC: ventricular \
      premature complex}" > my-classes.yaml
    mccgaa zeroshot --run runs/RUN --store stores/mine --tasks own \
      --knowledge my-classes.yaml --json out.json

- `path`: needed; relative to the CSV's folder, any file that `read_record` knows (WFDB
  .hea or a WFDB record without ending, CPSC2018's .mat, .edf, .csv, .npy);
- `text`: a report, for pretraining; `labels`: classes joined by "|", for testing; at
  least one of the two columns. An empty cell means that nothing is known; a record
  with none of the classes has the label "-";
- `id`: by default the path; `subject`: by default the id (say who it is when a patient
  has several records); `split`: train, val or test, by default all "test" where there
  are labels, else subjects are split into train and val;
- `sampling_rate` (Hz) and `units` (mV, uV or V): for .npy and .csv files, which do not
  state them; `units` also for .edf files that lack them; empty for the others;
- `start`: seconds into the file where the ECG begins, by default 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.data.reader import Ids, make_rows, read_table, take
from mccgaa.data.splits import by_subject
from mccgaa.data.store import SPLITS
from mccgaa.data.workers import NOTES
from mccgaa.errors import StoreError, did_you_mean

_NO_CLASS = "-"
_COLUMNS = ("path", "text", "labels", "id", "subject", "split")
_OF_FILES = ("sampling_rate", "units", "start")
_OF_STORES = ("group", "leads", "policy", *NOTES)  # mean something else in a store
_ALIASES = {"patient": "subject", "patient_id": "subject", "subject_id": "subject"}


def read_rows(
    root: Path | str,
    task: str = "own",
    limit: int | None = None,
    only_ids: Ids | None = None,
    val_share: float = 0.02,
    seed: int = 0,
) -> pd.DataFrame:
    """Read a table of your own ECGs into rows.

    Args:
        root: the CSV, as described above.
        task: name of the task that the labels belong to; a name of the paper's tasks
            ("super", "csn", ...) lets the knowledge base say what the classes mean.
        limit: keep the first `limit` rows.
        only_ids: keep these ids; a list, or a file with one per line.
        val_share: share of subjects that validate, where the CSV has no split.
        seed: of that split.

    Returns:
        One row per ECG, its path relative to the CSV's folder. `attrs["tasks"]` names
        the classes met, in order of their names. Columns that are none of the known
        ones are kept as they are.

    Raises:
        StoreError: the CSV cannot be read, lacks a column, or has a wrong value; the
            message names the line.
    """
    root = Path(root)
    if root.is_dir():
        raise StoreError(f"{root} is a folder; give the CSV that lists your ECGs.")
    if not root.exists():
        raise StoreError(f"{root} does not exist; give the CSV that lists your ECGs.")
    table = read_table(root, ["path"])
    if not isinstance(table.index, pd.RangeIndex):
        raise StoreError(
            f"{root} has lines with more cells than its first; put texts that have "
            "commas in quotes."
        )
    taken = [name for name in table if name in _OF_STORES]
    if taken:
        raise StoreError(
            f"{root} has a column {taken[0]!r}, which is a name of the store's own; "
            "give it another name."
        )
    if "text" not in table and "labels" not in table:
        raise StoreError(
            f"{root} has neither a column text nor a column labels; add what is known "
            "of each ECG: a report to learn from, or classes to test."
        )
    table = table.apply(lambda column: column.str.strip())
    table["id"] = _or(table, "id", table["path"])
    table["line"] = range(2, len(table) + 2)
    _check(root, table)
    table, absent = take(table, "id", only_ids, limit)
    subjects = _or(table, "subject", table["id"])
    columns: dict[str, Any] = {
        "record_id": list(table["id"]),
        "path": list(table["path"]),
        "subject_id": list(subjects),
        "split": _splits(table, subjects, val_share, seed),
        "statements": [[] for _ in range(len(table))],
    }
    if "text" in table:
        columns["text"] = [cell or None for cell in table["text"]]
    tasks: dict[str, tuple[str, ...]] = {}
    if "labels" in table:
        labels = [_labels(cell) for cell in table["labels"]]
        tasks[task] = tuple(sorted({n for names in labels for n in names or ()}))
        columns[task] = labels
        columns["statements"] = [names or [] for names in labels]
    if "sampling_rate" in table:
        columns["sampling_rate"] = _numbers(root, table, "sampling_rate", "Hz")
    if "start" in table:
        columns["start"] = _numbers(root, table, "start", "seconds into the file")
    if "units" in table:
        columns["units"] = [cell or None for cell in table["units"]]
    known = {*_COLUMNS, "line", *columns}
    columns |= {name: list(table[name]) for name in table if name not in known}
    return make_rows(columns, tasks=tasks, left_out=absent)


def odd_columns(root: Path | str) -> list[str]:
    """Say which columns of such a table mean nothing, and which may have been meant.

    Raises:
        StoreError: the CSV cannot be read, or lacks the column path.
    """
    columns = list(read_table(Path(root), ["path"], nrows=0))
    known = {*_COLUMNS, *_OF_FILES}
    free = known.difference(columns)
    said = []
    for name in columns:
        if name in known:
            continue
        plain = _ALIASES.get(name.lower().replace(" ", "_"), name)
        meant = did_you_mean(plain, free)
        said.append(f"{root}: the column {name!r} is kept, and not used.{meant}")
    return said


def _or(table: pd.DataFrame, name: str, other: pd.Series) -> pd.Series:
    """A column, with empty cells (or all of them) taken from another."""
    return table[name].where(table[name] != "", other) if name in table else other


def _labels(cell: str) -> list[str] | None:
    """Split a cell of labels: None is unknown, [] is none of the classes."""
    names = [name.strip() for name in cell.split("|") if name.strip()]
    return None if not names else [name for name in names if name != _NO_CLASS]


def _splits(
    table: pd.DataFrame, subjects: pd.Series, val_share: float, seed: int
) -> list[str]:
    """The CSV's split; else test what has labels, and hold subjects out of the rest."""
    if "split" in table:
        return list(table["split"])
    if "labels" in table:
        return ["test"] * len(table)
    sides = by_subject(subjects, val_share, seed)
    return [sides[subject] for subject in subjects]


def _check(root: Path, table: pd.DataFrame) -> None:
    """Refuse what cannot be meant, naming the line."""
    empty = table.loc[table["path"] == "", "line"]
    if len(empty):
        raise StoreError(f"{root}, line {empty.iloc[0]}: the path is empty.")
    twice = table[table["id"].duplicated()]
    if len(twice):
        raise StoreError(
            f"{root}, line {twice['line'].iloc[0]}: {twice['id'].iloc[0]!r} is there "
            "already; give each ECG an id of its own in a column id."
        )
    if "split" in table:
        wrong = table[~table["split"].isin(SPLITS)]
        if len(wrong):
            raise StoreError(
                f"{root}, line {wrong['line'].iloc[0]}: split is "
                f"{wrong['split'].iloc[0]!r}; expected {', '.join(SPLITS)}."
            )
        if "subject" in table:
            sides = table[table["subject"] != ""].groupby("subject")["split"].nunique()
            if (sides > 1).any():
                raise StoreError(
                    f"{root}: subject {sides[sides > 1].index[0]!r} is in more than "
                    "one split; a patient belongs on one side only."
                )


def _numbers(
    root: Path, table: pd.DataFrame, name: str, unit: str
) -> list[float | None]:
    """Read a column of numbers; an empty cell is None."""
    numbers: list[float | None] = []
    for line, cell in zip(table["line"], table[name], strict=True):
        try:
            numbers.append(float(cell) if cell else None)
        except ValueError as error:
            raise StoreError(
                f"{root}, line {line}: {name} is {cell!r}; expected a number: {unit}."
            ) from error
    return numbers
