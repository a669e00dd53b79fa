"""What every reader returns: one row per record, and the records that it left out.

A reader turns a publisher's folder tree into a table for `packing.pack`. A record that
cannot be used because of what the tables say (no report, unknown code, ...) is not
dropped silently: it is listed in `rows.attrs["left_out"]` with its reason, and packing
adds it to `rejected.csv`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.data.wfdb_records import read_comments
from mccgaa.errors import StoreError

COLUMNS = ("record_id", "path", "subject_id", "text", "split", "statements")
Ids = Collection[int | str] | Path | str  # of records, or a file with one per line


class LeftOut(list[dict[str, str]]):
    """Records that a reader left out: dicts of `record_id`, `path` and `reason`.

    pandas copies `attrs` deeply at every operation; this list never changes once the
    rows are made, so a copy is the list itself.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> LeftOut:
        return self

    def add(self, record_id: object, path: object, reason: str) -> None:
        """Note one record and the reason, a phrase that a reader understands."""
        self.append({"record_id": str(record_id), "path": str(path), "reason": reason})

    def add_absent(self, wanted: set[str], seen: Iterable[str]) -> None:
        """Note the wanted ids that are not among the dataset's own."""
        for name in sorted(wanted.difference(seen)):
            self.add(name, "", "it was asked for, but the dataset does not have it")

    def only(self, wanted: set[str], seen: Iterable[str]) -> LeftOut:
        """Keep the wanted records, and note the wanted ids that were never seen."""
        kept = LeftOut(row for row in self if row["record_id"] in wanted)
        kept.add_absent(wanted, seen)
        return kept


@dataclass(frozen=True)
class CodedRecord:
    """One record whose header names its diagnoses by SNOMED-CT codes."""

    name: str
    path: str  # under the dataset's root, without ending
    codes: list[str]  # each once, in the header's order; at least one
    age: float | None  # years
    sex: str | None


def make_rows(
    columns: Mapping[str, Sequence[Any]],
    tasks: Mapping[str, Sequence[str]] | None = None,
    left_out: LeftOut | None = None,
) -> pd.DataFrame:
    """Build a reader's table with the columns that every reader has.

    Args:
        columns: the table by column; absent common columns are filled with None.
        tasks: classes by task; each task is a label column in `columns`.
        left_out: records that the reader could not use.

    Returns:
        A frame: `record_id`, `path` (relative to the dataset's root), `subject_id`,
        `text`, `split`, `statements`, one column per task, then the extras. Its
        `attrs` hold `tasks` and `left_out`.

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
            f"record_id {repeated.iloc[0]!r} is in more than one row "
            f"({len(repeated)} such rows); every record needs an id of its own."
        )
    rows.attrs["tasks"] = {task: list(names) for task, names in (tasks or {}).items()}
    rows.attrs["left_out"] = left_out if left_out is not None else LeftOut()
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
    options = {"dtype": str, "keep_default_na": False, **options}
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", **options)
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
        hint = " Separate its columns by commas." if len(table.columns) == 1 else ""
        raise StoreError(
            f"{path} has no column {', '.join(missing)}; "
            f"its columns are {', '.join(table.columns)}.{hint}"
        )
    return table


def as_ids(only_ids: Ids | None) -> set[str] | None:
    """Turn a reader's `only_ids` into a set of ids; None keeps every record.

    Args:
        only_ids: ids, or the path of a file with one per line, where what follows a #
            does not count.

    Raises:
        StoreError: the file cannot be read or holds no id.
    """
    if only_ids is None:
        return None
    if not isinstance(only_ids, str | Path):
        return {str(i) for i in only_ids}
    try:
        lines = Path(only_ids).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(
            f"The list of ids {only_ids} cannot be read: {why}."
        ) from error
    ids = {name for line in lines for name in line.partition("#")[0].split()}
    if not ids:
        raise StoreError(f"The list of ids {only_ids} is empty; write one id per line.")
    return ids


def take(
    table: pd.DataFrame, column: str, only_ids: Ids | None, limit: int | None
) -> tuple[pd.DataFrame, LeftOut]:
    """Keep the rows of some ids, then the first few of those.

    Args:
        table: what `read_table` returned.
        column: the one that holds the ids.
        only_ids: see `as_ids`; None keeps all.
        limit: how many rows at most; None keeps all.

    Returns:
        The rows kept, and the ids that the table does not have.
    """
    wanted, absent = as_ids(only_ids), LeftOut()
    if wanted is not None:
        absent.add_absent(wanted, table[column])
        table = table[table[column].isin(wanted)]
    return table.head(len(table) if limit is None else limit), absent


def read_codes(
    headers: Iterable[Path], root: Path, dropped: LeftOut
) -> Iterator[CodedRecord]:
    """Read the `#Dx:` line of each header, and age and sex where it has them.

    Args:
        headers: `.hea` files.
        root: the dataset's folder.
        dropped: grows by the headers that cannot be read or hold no code.
    """
    for header in headers:
        path = header.relative_to(root).with_suffix("").as_posix()
        try:
            comments = read_comments(header)
        except OSError as error:
            dropped.add(header.stem, path, f"its header cannot be read ({error})")
            continue
        cells = [cell.strip() for cell in comments.get("Dx", "").split(",")]
        codes = list(dict.fromkeys(cell for cell in cells if cell.isdigit()))
        if not codes:
            dropped.add(header.stem, path, "its header has no Dx line with a code")
            continue
        age = age_of(comments.get("Age", ""))
        yield CodedRecord(header.stem, path, codes, age, comments.get("Sex"))


def age_of(value: str) -> float | None:
    """Read an age in years; None where there is none (empty, NaN, Unknown, -1)."""
    try:
        age = float(value)
    except ValueError:
        return None
    return age if 0 <= age < 150 else None
