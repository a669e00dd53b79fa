"""What every reader returns: one row a record, and the records it left out.

A reader turns a publisher's folder tree into a table that `store.pack` reads. Records
that cannot be used for a reason found in the tables (no report, unknown code, ...) are
not dropped silently: they stand in `rows.attrs["left_out"]`, each with its reason, and
the packer adds them to `rejected.csv`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.errors import StoreError

COLUMNS = ("record_id", "path", "subject_id", "text", "split", "statements")


class LeftOut(list[dict[str, str]]):
    """Records a reader left out: dicts of `record_id`, `path` and `reason`.

    pandas copies `attrs` deeply at every operation; this list is never changed once
    rows are made, so a copy is the list itself.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> LeftOut:
        return self

    def add(self, record_id: object, path: object, reason: str) -> None:
        """Note one record and the reason, a phrase that a reader understands."""
        self.append({"record_id": str(record_id), "path": str(path), "reason": reason})


def make_rows(
    columns: Mapping[str, Sequence[Any]],
    tasks: Mapping[str, Sequence[str]] | None = None,
    left_out: LeftOut | None = None,
    **attrs: Any,
) -> pd.DataFrame:
    """Build a reader's table with the columns that every reader has.

    Args:
        columns: the table by column; absent common columns are filled with None.
        tasks: classes by task; each task is a label column in `columns`.
        left_out: records that the reader could not use.
        **attrs: plain facts about the tree, kept in `rows.attrs`.

    Returns:
        A frame: `record_id`, `path` (relative to the dataset's root), `subject_id`,
        `text`, `split`, `statements`, one column a task, then the extras.

    Raises:
        StoreError: two rows have the same record_id.
    """
    rows = pd.DataFrame(
        {name: pd.Series(v, dtype=object) for name, v in columns.items()}
    ).infer_objects()
    for name in COLUMNS:
        if name not in rows:
            rows[name] = None
    first = [*COLUMNS, *(tasks or {})]
    rows = rows[first + [name for name in rows if name not in first]]
    repeated = rows.loc[rows["record_id"].duplicated(), "record_id"]
    if len(repeated):
        raise StoreError(
            f"record_id {repeated.iloc[0]!r} stands in more than one row "
            f"({len(repeated)} such rows); every record needs an id of its own."
        )
    rows.attrs["tasks"] = {task: list(names) for task, names in (tasks or {}).items()}
    rows.attrs["left_out"] = left_out if left_out is not None else LeftOut()
    rows.attrs.update(attrs)
    return rows


def left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Show the records that a reader left out, with reasons.

    Args:
        rows: what a reader returned.

    Returns:
        A frame of `record_id`, `path`, `reason`; empty when nothing was left out.
    """
    return pd.DataFrame(
        list(rows.attrs.get("left_out", ())), columns=["record_id", "path", "reason"]
    )


def read_table(path: Path, needs: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a CSV as text, after checking that its columns are there.

    Args:
        path: the file.
        needs: columns that must exist.
        **options: passed to `pandas.read_csv`.

    Returns:
        Every cell as the string that the file holds; an empty cell is "".

    Raises:
        StoreError: the file is absent, is no CSV, or lacks a column.
    """
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **options
        )
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} does not exist; give the dataset's own folder, as its publisher "
            "lays it out."
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as a CSV table: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in needs if name not in table]
    if missing:
        raise StoreError(
            f"{path} has no column {', '.join(missing)}; "
            f"its columns are {', '.join(table.columns)}."
        )
    return table


def read_ids(path: Path | str) -> list[str]:
    """Read record ids, one a line; what follows a # does not count.

    Args:
        path: a text file, such as the committed list of the real subset.

    Raises:
        StoreError: the file cannot be read or holds no id.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"The list of ids {path} cannot be read: {error}") from error
    ids = [name for line in lines for name in line.partition("#")[0].split()]
    if not ids:
        raise StoreError(f"The list of ids {path} is empty; write one id a line.")
    return ids


def as_ids(only_ids: Collection[str] | Path | str | None) -> set[str] | None:
    """Turn a reader's `only_ids` into a set of ids; None keeps every record.

    Args:
        only_ids: ids, or the path of a file with one id a line.
    """
    if only_ids is None:
        return None
    if isinstance(only_ids, str | Path):
        only_ids = read_ids(only_ids)
    return {str(i) for i in only_ids}


def note_absent(wanted: set[str] | None, seen: Iterable[str], dropped: LeftOut) -> None:
    """List the ids that were asked for and are not in the dataset.

    Args:
        wanted: what `as_ids` gave.
        seen: the ids that the dataset has here.
        dropped: the reader's list of records left out; grows.
    """
    for name in sorted((wanted or set()).difference(seen)):
        dropped.add(name, "", "it was asked for, but the dataset does not have it here")
