"""MIMIC-IV-ECG 1.0, the pretraining source (section 4.1): signals and machine reports.

Layout as PhysioNet serves it::

    record_list.csv            subject_id, study_id, file_name, ecg_time, path
    machine_measurements.csv   subject_id, study_id, ..., report_0 ... report_17, ...
    files/p1000/p10000032/s40689238/40689238.{hea,dat}

Signals and reports are joined by study_id; the two tables are not in the same order.
The headers list aVF before aVL, so leads are taken by name (`record.read_record`).
MIMIC-IV-ECG has no labels: the table has texts, and the distinct ones are counted,
because equal texts are false negatives in a contrastive batch.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from mccgaa.data.reader import Ids, make_rows, read_table, take
from mccgaa.data.splits import by_subject
from mccgaa.errors import StoreError

MIN_WORDS = 4  # of a report; a shorter one is no text to learn from
REPORTS = tuple(f"report_{i}" for i in range(18))

_RECORD_COLUMNS = ["subject_id", "study_id", "ecg_time", "path"]
_EKG = re.compile("ekg", re.IGNORECASE)
_MARKS = re.compile(r"\*+|={2,}")  # asterisks, and rules drawn with '='


@functools.lru_cache(maxsize=100_000)  # a few thousand cells make all reports
def clean_statement(cell: str) -> str:
    """Clean one cell of a machine report.

    Args:
        cell: the text of report_0 ... report_17; may be empty.

    Returns:
        Lower case, EKG as ecg, no asterisks or runs of '=', single blanks, no blank,
        full stop or '=' at either end; "" when nothing is left.
    """
    text = _MARKS.sub(" ", _EKG.sub("ECG", cell)).lower()
    return " ".join(text.split()).strip(" .=")


def clean_report(cells: Iterable[str]) -> str:
    """Join a record's statements into its pretraining text.

    Args:
        cells: report_0 ... report_17 in order; empty cells are skipped.

    Returns:
        "statement. statement.", or "" when every cell is empty.
    """
    statements = _statements(cells)
    return ". ".join(statements) + "." if statements else ""


def read_rows(
    root: Path | str,
    limit: int | None = None,
    only_ids: Ids | None = None,
    val_share: float = 0.02,
    seed: int = 0,
) -> pd.DataFrame:
    """Read MIMIC-IV-ECG's tables into rows (section 4.1; Table 1, first row).

    Args:
        root: folder that holds `record_list.csv` and `machine_measurements.csv`.
        limit: take the first `limit` records of `record_list.csv`; None: all.
        only_ids: take these study ids only; a list, or a file with one per line.
        val_share: share of subjects that validate the pretraining, in [0, 1).
        seed: of the split by subject.

    Returns:
        One row per usable record: `text` is the cleaned report, `statements` its
        parts, `split` is "train" or "val". Records with equal reports share them.
        Asterisks are no words here, as they are in the count behind the paper's
        771,693 pairs, so that the number of records may differ a little.

    Raises:
        StoreError: a table is absent or damaged, or repeats a study_id.
    """
    root = Path(root)
    listed, measured = root / "record_list.csv", root / "machine_measurements.csv"
    records = read_table(
        listed, _RECORD_COLUMNS, usecols=lambda name: name.strip() in _RECORD_COLUMNS
    )
    records, dropped = take(records, "study_id", only_ids, limit)
    reports = read_table(
        measured,
        ["subject_id", "study_id", "report_0"],
        usecols=lambda name: name.strip() in ("subject_id", "study_id", *REPORTS),
    )
    for path, table in ((listed, records), (measured, reports)):
        twice = table.loc[table["study_id"].duplicated(), "study_id"]
        if len(twice):
            raise StoreError(f"{path} has study_id {twice.iloc[0]} more than once.")
    # The row of each record's report in the other table; -1 where there is none, which
    # takes the item that is appended below.
    row_of = pd.Index(reports["study_id"]).get_indexer(records["study_id"])
    others = np.append(reports["subject_id"].to_numpy(object), None)[row_of]
    texts, statements = _texts(reports, row_of)
    reasons = list(map(_reason, records["subject_id"], others, texts))
    for study, path, reason in zip(
        records["study_id"], records["path"], reasons, strict=True
    ):
        if reason:
            dropped.add(study, path, reason)
    keep = np.array([not reason for reason in reasons], dtype=bool)
    kept = records[keep]
    sides = by_subject(kept["subject_id"], val_share, seed)
    return make_rows(
        {
            "record_id": kept["study_id"].to_list(),
            "path": kept["path"].to_list(),
            "subject_id": kept["subject_id"].to_list(),
            "text": list(itertools.compress(texts, keep)),
            "split": kept["subject_id"].map(sides).to_list(),
            "statements": list(itertools.compress(statements, keep)),
            "ecg_time": kept["ecg_time"].to_list(),
        },
        left_out=dropped,
    )


def distinct_texts(rows: pd.DataFrame) -> dict[str, float]:
    """Count how many texts are distinct, and how often the commonest one occurs.

    Args:
        rows: what `read_rows` returned.

    Returns:
        `records`, `distinct`, `share` (distinct / records), `most_common` (count).
    """
    counts = rows["text"].value_counts()
    return {
        "records": len(rows),
        "distinct": len(counts),
        "share": len(counts) / len(rows) if len(rows) else 0.0,
        "most_common": int(counts.iloc[0]) if len(counts) else 0,
    }


def _statements(cells: Iterable[str]) -> list[str]:
    """Clean the cells of one report, and drop those that are then empty."""
    return [text for text in map(clean_statement, cells) if text]


def _texts(
    reports: pd.DataFrame, row_of: np.ndarray
) -> tuple[list[str], list[list[str]]]:
    """Text and statements of each record, each distinct report cleaned once.

    `row_of` is the row of its report; -1, where it has none, gives empty ones.
    """
    columns = [
        np.append(reports[name].to_numpy(object), "")[row_of]  # -1: the ""
        for name in REPORTS
        if name in reports
    ]
    known: dict[tuple[str, ...], tuple[str, list[str]]] = {}
    texts, statements = [], []
    for row in zip(*columns, strict=True):
        cells = tuple(cell for cell in row if cell)
        if cells not in known:
            known[cells] = clean_report(cells), _statements(cells)
        text, parts = known[cells]
        texts.append(text)
        statements.append(parts)
    return texts, statements


def _reason(subject: str, other: str | None, text: str) -> str:
    """Say why a record cannot be a pair; "" where it can.

    `other` is its subject by the table of measurements; None where that lacks it.
    """
    if other is None:
        return "no row in machine_measurements.csv has its study_id"
    if other != subject:
        return (
            f"subject_id is {subject} in record_list.csv but {other} in "
            "machine_measurements.csv"
        )
    words = len(text.split())
    if not words:
        return "the report is empty"
    if words < MIN_WORDS:
        return f"the report {text!r} has {words} words, fewer than {MIN_WORDS}"
    return ""
