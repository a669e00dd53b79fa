"""What section 4.1 says of the data, counted: Table 1 and the imbalance.

Every function takes plain tables (a reader's rows or a store's records), so the same
lines check the twin and the real datasets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mccgaa.data import cpsc2018, csn, ptbxl, splits
from mccgaa.data.datasets import READERS
from mccgaa.data.packing import is_synthetic
from mccgaa_book import paper
from mccgaa_book.audit import chapman

RARE = 0.01  # the paper's "ultra-minority": below 1 % of the records
ROWS = (  # Table 1: the paper's name, our source, our task
    ("MIMIC-ECG", "mimic", None),
    ("CPSC2018", "cpsc2018", "cpsc2018"),
    ("PTBXL-Form", "ptbxl", "form"),
    ("PTBXL-Sub", "ptbxl", "sub"),
    ("PTBXL-Super", "ptbxl", "super"),
    ("PTBXL-Rhythm", "ptbxl", "rhythm"),
    ("Chapman", "csn", "csn"),
)
CLASSES: Mapping[str, Sequence[str]] = {**ptbxl.TASKS, **cpsc2018.TASKS, **csn.TASKS}

# Records by class, from the tables of diagnoses that the PhysioNet/CinC Challenges 2020
# and 2021 publish with their scoring code; of PTB-XL's rhythms, all but SR.
PUBLIC: Mapping[str, Mapping[str, int]] = {
    "cpsc2018": {
        "NORM": 918,
        "AFIB": 1221,
        "1AVB": 722,
        "CLBBB": 236,
        "CRBBB": 1857,
        "PAC": 616,
        "VPC": 700,
        "STD": 869,
        "STE": 220,
    },
    "rhythm": {
        "AFIB": 1514,
        "STACH": 826,
        "SARRH": 772,
        "SBRAD": 637,
        "PACE": 296,
        "SVARR": 157,
        "BIGU": 82,
        "AFLT": 73,
        "SVTAC": 27,
        "PSVT": 24,
        "TRIGU": 20,
    },
}

# A file that only this dataset has, under its root.
_MARKERS = (
    ("mimic", "machine_measurements.csv"),
    ("ptbxl", "ptbxl_database.csv"),
    ("csn", csn.NAMES),
    ("cpsc2018", "REFERENCE.csv"),
    ("cpsc2018", "training/cpsc_2018"),
)


def class_counts(records: pd.DataFrame, task: str) -> pd.DataFrame:
    """Count a task's classes among the records that belong to it.

    Args:
        records: rows or a store's records, with a column named after the task.
        task: super, sub, form, rhythm, cpsc2018 or csn.

    Returns:
        One row per class of the task, commonest first: `records`, `share` (of the
        task's records; a record may have several classes).
    """
    lists = records[task].dropna()
    found = lists.explode().value_counts()
    known = list(CLASSES.get(task, ())) or sorted(found.index)
    counts = found.reindex(known, fill_value=0).astype(int)
    frame = pd.DataFrame({"records": counts, "share": counts / max(len(lists), 1)})
    return frame.sort_values("records", ascending=False, kind="stable").rename_axis(
        "class"
    )


def table1(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Build Table 1 for the sources at hand, next to the printed one.

    Args:
        tables: records by source: mimic, cpsc2018, ptbxl, csn; absent ones stay empty.
            Windows of one record (column `group`) count once.

    Returns:
        One row per dataset of Table 1: `records`, `classes` (with at least one record),
        `train`, `val`, `test`, `subjects`, `records (paper)`, `classes (paper)`.
    """
    printed = paper.table(1)
    rows = {}
    for name, source, task in ROWS:
        row: dict[str, float | None] = dict.fromkeys(
            ("records", "classes", "train", "val", "test", "subjects")
        )
        if source in tables:
            records = _one_row_a_record(tables[source])
            used = records if task is None else records[records[task].notna()]
            row["records"] = len(used)
            row |= splits.counts(list(used["split"]))
            row["subjects"] = used["subject_id"].nunique()
            if task is not None:
                row["classes"] = int((class_counts(used, task)["records"] > 0).sum())
        row["records (paper)"] = printed.loc[name, "Samples"]
        row["classes (paper)"] = printed.loc[name, "Classes"]
        rows[name] = row
    return pd.DataFrame(rows).T.astype("Int64").rename_axis("dataset")


def shared_subjects(records: pd.DataFrame) -> int:
    """Count subjects that are on more than one side of the split; none may be."""
    return int((records.groupby("subject_id")["split"].nunique() > 1).sum())


@dataclass(frozen=True)
class Imbalance:
    """How unequal a task's classes are."""

    classes: int
    rare: int  # below 1 % of the records, absent ones included
    rarest: str
    rarest_share: float
    commonest: str
    commonest_share: float
    top_five: float  # the five commonest classes' share of all labels


def imbalance(counts: pd.DataFrame) -> Imbalance:
    """Describe the imbalance of a task (the paragraph below Table 1).

    Args:
        counts: what `class_counts` gave.
    """
    share, records = counts["share"], counts["records"]
    return Imbalance(
        classes=len(counts),
        rare=int((share < RARE).sum()),
        rarest=str(share.idxmin()),
        rarest_share=float(share.min()),
        commonest=str(share.idxmax()),
        commonest_share=float(share.max()),
        top_five=float(records.nlargest(5).sum() / max(records.sum(), 1)),
    )


def imbalance_claims() -> pd.DataFrame:
    """Check the printed claims of imbalance against public tables (section 4.1, 4.3).

    Returns:
        One row per claim: its dataset, what is printed, what the public counts or the
        datasets' own vocabularies say, and whether it holds.
    """
    printed = paper.table(1)["Samples"]
    cpsc = pd.Series(PUBLIC["cpsc2018"]) / printed["CPSC2018"]
    rhythm = pd.Series(PUBLIC["rhythm"]) / printed["PTBXL-Rhythm"]
    other = [c for c in cpsc2018.CLASSES if "other" in c.lower()]
    conduction = [c for c in ptbxl.TASKS["form"] if "conduction" in c.lower()]
    flutter = f"AFLT is {rhythm['AFLT']:.2%} ({PUBLIC['rhythm']['AFLT']} records)"
    claims = [
        (
            "CPSC2018",
            '2 classes below 1 %, such as "Other Arrhythmia" at 0.8 %',
            f"{len(other)} of the nine classes is called so, "
            f"{int((cpsc < RARE).sum())} lie below 1 %; "
            f"the rarest is {cpsc.idxmin()} with {cpsc.min():.1%}",
            bool(other) and int((cpsc < RARE).sum()) == 2,
        ),
        (
            "PTBXL-Rhythm",
            '"Atrial Flutter" is below 0.6 % (section 4.1)',
            flutter,
            bool(rhythm["AFLT"] < 0.006),
        ),
        (
            "PTBXL-Rhythm",
            '"Atrial Flutter" is 0.5 % (section 4.3)',
            flutter,
            round(100 * rhythm["AFLT"], 1) == 0.5,
        ),
        (
            "PTBXL-Rhythm",
            "several classes below 1 % (section 4.3)",
            f"{int((rhythm < RARE).sum())} of 12 are",
            int((rhythm < RARE).sum()) >= 3,
        ),
        (
            "PTBXL-Form",
            '"Rare Conduction Disorders" is below 0.6 %',
            f"{len(conduction)} of the 19 form statements is called so; conduction "
            "belongs to the diagnostic classes (CD), not to form",
            bool(conduction),
        ),
        (
            "Chapman",
            "18 classes below 1 %",
            f"{chapman.SHARED_RARE} in the table that the literature shares",
            chapman.SHARED_RARE == 18,
        ),
    ]
    return pd.DataFrame(claims, columns=["dataset", "paper says", "public", "holds"])


def present(folder: Path | str) -> dict[str, pd.DataFrame]:
    """Read the real datasets that lie in a folder, whatever their folders are called.

    Args:
        folder: where `mccgaa download` put them, such as `data`; it may be absent.

    Returns:
        Rows by source (mimic, cpsc2018, ptbxl, csn), complete or a sample; folders that
        are marked as synthetic are passed over.

    Raises:
        StoreError: a dataset's tables are damaged.
    """
    folder, found = Path(folder), {}
    for root in sorted(folder.iterdir()) if folder.is_dir() else ():
        for source, marker in _MARKERS:
            if any(root.glob(marker)) and not is_synthetic(root):
                found[source] = READERS[source].read_rows(root)
    return found


def _one_row_a_record(records: pd.DataFrame) -> pd.DataFrame:
    """Keep one window of each record."""
    if "group" not in records:
        return records
    return records[~records["group"].duplicated()]
