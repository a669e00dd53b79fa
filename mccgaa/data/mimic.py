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

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mccgaa.data.reader import LeftOut, as_ids, make_rows, note_absent, read_table
from mccgaa.data.splits import by_subject
from mccgaa.errors import StoreError

TASKS: Mapping[str, tuple[str, ...]] = {}
MIN_WORDS = 4
REPORTS = tuple(f"report_{i}" for i in range(18))

_EKG = re.compile("ekg", re.IGNORECASE)
_MARKS = re.compile(r"\*+|={2,}")  # asterisks, and rules drawn with '='


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
    statements = [text for text in map(clean_statement, cells) if text]
    return ". ".join(statements) + "." if statements else ""


def read_rows(
    root: Path | str,
    limit: int | None = None,
    only_ids: Collection[str] | Path | str | None = None,
    val_share: float = 0.02,
    seed: int = 0,
) -> pd.DataFrame:
    """Read MIMIC-IV-ECG's tables into rows (section 4.1; Table 1, first row).

    Args:
        root: folder that holds `record_list.csv` and `machine_measurements.csv`.
        limit: take the first `limit` records of `record_list.csv`; None: all.
        only_ids: take these study ids only; a list, or a file with one a line.
        val_share: share of subjects that validate the pretraining, in [0, 1).
        seed: of the split by subject.

    Returns:
        One row a usable record: `text` is the cleaned report, `statements` its parts,
        `split` is "train" or "val". `attrs` hold `left_out` and `distinct_texts`.
        Asterisks are no words here, as they are in the count behind the paper's
        771,693 pairs, so that the number of records may differ a little.

    Raises:
        StoreError: a table is absent or damaged, or repeats a study_id.
    """
    root = Path(root)
    records = read_table(
        root / "record_list.csv", ["subject_id", "study_id", "ecg_time", "path"]
    )
    wanted = as_ids(only_ids)
    dropped = LeftOut()
    if wanted is not None:
        note_absent(wanted, records["study_id"], dropped)
        records = records[records["study_id"].isin(wanted)]
    if limit is not None:
        records = records.head(limit)
    table = root / "machine_measurements.csv"
    reports = read_table(
        table,
        ["subject_id", "study_id", "report_0"],
        usecols=lambda name: name in {"subject_id", "study_id", *REPORTS},
    )
    for name, frame in ((root / "record_list.csv", records), (table, reports)):
        twice = frame.loc[frame["study_id"].duplicated(), "study_id"]
        if len(twice):
            raise StoreError(f"{name} has study_id {twice.iloc[0]} more than once.")
    joined = records.merge(
        reports, on="study_id", how="left", suffixes=("", "_report"), validate="1:1"
    )
    statements, texts = _texts(joined)
    reasons = _reasons(joined, texts)
    for i in np.flatnonzero([bool(reason) for reason in reasons]):
        dropped.add(joined["study_id"].iat[i], joined["path"].iat[i], reasons[i])
    keep = np.array([not reason for reason in reasons], dtype=bool)
    sides = by_subject(joined["subject_id"][keep], val_share, seed)
    return make_rows(
        {
            "record_id": joined["study_id"][keep].to_list(),
            "path": joined["path"][keep].to_list(),
            "subject_id": joined["subject_id"][keep].to_list(),
            "text": [text for text, k in zip(texts, keep, strict=True) if k],
            "split": [sides[s] for s in joined["subject_id"][keep]],
            "statements": [s for s, k in zip(statements, keep, strict=True) if k],
            "ecg_time": joined["ecg_time"][keep].to_list(),
        },
        left_out=dropped,
        distinct_texts=len({t for t, k in zip(texts, keep, strict=True) if k}),
    )


def distinct_texts(rows: pd.DataFrame) -> dict[str, float]:
    """Count how many texts are distinct, and how often the commonest one stands.

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


def _texts(joined: pd.DataFrame) -> tuple[list[list[str]], list[str]]:
    """Clean each distinct cell once: a few thousand of them make all reports."""
    names = [name for name in REPORTS if name in joined]
    cells = joined[names].fillna("")
    cleaned = {
        cell: clean_statement(cell) for cell in pd.unique(cells.to_numpy().ravel())
    }
    columns = [cells[name].map(cleaned).to_list() for name in names]
    statements = [[s for s in row if s] for row in zip(*columns, strict=True)]
    return statements, [". ".join(s) + "." if s else "" for s in statements]


def _reasons(joined: pd.DataFrame, texts: list[str]) -> list[str]:
    """Say why a record cannot be a pair; "" where it can."""
    reasons = []
    for text, subject, other in zip(
        texts, joined["subject_id"], joined["subject_id_report"], strict=True
    ):
        words = len(text.split())
        if pd.isna(other):
            reasons.append("no row in machine_measurements.csv has its study_id")
        elif other != subject:
            reasons.append(
                f"subject_id is {subject} in record_list.csv but {other} in "
                "machine_measurements.csv"
            )
        elif not words:
            reasons.append("the report is empty")
        elif words < MIN_WORDS:
            reasons.append(
                f"the report {text!r} has {words} words, fewer than {MIN_WORDS}"
            )
        else:
            reasons.append("")
    return reasons
