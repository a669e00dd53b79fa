"""Chapman-Shaoxing-Ningbo (PhysioNet ecg-arrhythmia 1.0.0): 38 classes (Table 1).

Layout as PhysioNet serves it::

    ConditionNames_SNOMED-CT.csv           Acronym Name, Full Name, Snomed_CT
    WFDBRecords/01/010/JS00001.{hea,mat}   the header's `#Dx:` line has SNOMED-CT codes

A code stands for one acronym: where the table gives it several (164909002 is LBBB,
LBBBB and LFBBB), the first row counts, as in the literature. A record with a code that
the table lacks is left out, as there, and so is one that has none of the 38 classes.

Labels come in two kinds. `labels="exact"`, the default, sets a class when its acronym
is in the record's list. `labels="published"` repeats a fault of the table that the
literature shares, where a class is set when its acronym is a SUBSTRING of that list:
"VB" (ventricular bigeminy) is set by every "1AVB", "ST" (sinus tachycardia) by every
"STTC". It is here to compare with published numbers, not to be trusted.

The published split was drawn before the records without a class were dropped: only
then do its 16546/1860/4620 records follow from `splits.published` (of 31,961 rows).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from mccgaa.data.reader import (
    CodedRecord,
    Ids,
    LeftOut,
    as_ids,
    make_rows,
    read_codes,
    read_table,
)
from mccgaa.data.splits import published
from mccgaa.errors import StoreError

CLASSES = (
    "AQW", "UW", "SR", "WPW", "2AVB", "AT", "VB", "ARS", "STTC", "SA", "STE", "VPB",
    "TWO", "STTU", "ALS", "APB", "2AVB1", "PRIE", "CCR", "CR", "AF", "AVB", "QTIE",
    "LBBB", "VEB", "SVT", "RBBB", "1AVB", "STDD", "MI", "AFIB", "TWC", "PWC", "ERV",
    "RVH", "LVH", "ST", "JEB",
)  # fmt: skip
TASKS: Mapping[str, tuple[str, ...]] = {"csn": CLASSES}
_LABELS = ("exact", "published")
NAMES = "ConditionNames_SNOMED-CT.csv"


def exact_labels(acronyms: Iterable[str]) -> list[str]:
    """Set the classes whose acronym is in a record's list.

    Args:
        acronyms: the record's statements, such as ["SB", "1AVB"].

    Returns:
        Classes in the order of CLASSES: ["1AVB"].
    """
    present = set(acronyms)
    return [name for name in CLASSES if name in present]


def published_labels(acronyms: Iterable[str]) -> list[str]:
    """Set classes as the shared table does: by substring. Faulty, for comparison only.

    Args:
        acronyms: the record's statements, such as ["SB", "1AVB"].

    Returns:
        Classes in the order of CLASSES: ["VB", "AVB", "1AVB"].
    """
    joined = ",".join(acronyms)
    return [name for name in CLASSES if name in joined]


def read_conditions(path: Path) -> dict[str, str]:
    """Read which acronym each SNOMED-CT code stands for; a code's first row counts.

    Args:
        path: `ConditionNames_SNOMED-CT.csv`.

    Raises:
        StoreError: the table is absent, damaged or empty.
    """
    table = read_table(path, ["Acronym Name", "Snomed_CT"])
    acronyms: dict[str, str] = {}
    for code, name in zip(table["Snomed_CT"], table["Acronym Name"], strict=True):
        if code.strip() and name.strip():
            acronyms.setdefault(code.strip(), name.strip())
    if not acronyms:
        raise StoreError(f"{path} names no condition; download it again.")
    return acronyms


def read_rows(
    root: Path | str,
    labels: str = "exact",
    limit: int | None = None,
    only_ids: Ids | None = None,
) -> pd.DataFrame:
    """Read the headers of Chapman-Shaoxing-Ningbo into rows (Table 1, "Chapman").

    Args:
        root: folder that holds `WFDBRecords` and `ConditionNames_SNOMED-CT.csv`.
        labels: "exact", or "published" for the literature's faulty table (see above).
        limit: keep the first `limit` rows; the split is drawn before.
        only_ids: keep these records (JS00001, ...); a list, or a file of them.

    Returns:
        One row per usable record. `csn` has its classes, `statements` all its acronyms,
        `codes` its SNOMED-CT codes; both kinds of labels have the same rows. Each
        patient has one record, so `subject_id` is the record's id.

    Raises:
        StoreError: a wrong `labels`, no table of names, or no header under `root`.
    """
    if labels not in _LABELS:
        raise StoreError(f"labels is {labels!r}; expected one of {', '.join(_LABELS)}.")
    root = Path(root)
    acronyms = read_conditions(root / NAMES)
    headers = sorted((root / "WFDBRecords").glob("*/*/*.hea"))
    if not headers:
        raise StoreError(
            f"{root / 'WFDBRecords'} holds no NN/NNN/*.hea; give the folder that has "
            f"WFDBRecords and {NAMES} in it."
        )
    wanted, dropped = as_ids(only_ids), LeftOut()
    records = _mapped(headers, root, acronyms, dropped)
    sides = published(len(records))  # before any record without a class goes
    if wanted is not None:
        dropped = dropped.only(wanted, [header.stem for header in headers])
    kept = []
    for (record, names), side in zip(records, sides, strict=True):
        if wanted is not None and record.name not in wanted:
            continue
        # The published table's rows are the ones that its own labels reach.
        if published_labels(names):
            kept.append((record, names, side))
        else:
            reason = f"none of the 38 classes is among its labels ({','.join(names)})"
            dropped.add(record.name, record.path, reason)
    kept = kept[:limit]
    label = exact_labels if labels == "exact" else published_labels
    return make_rows(
        {
            "record_id": [record.name for record, _, _ in kept],
            "path": [record.path for record, _, _ in kept],
            "subject_id": [record.name for record, _, _ in kept],
            "split": [side for _, _, side in kept],
            "statements": [names for _, names, _ in kept],
            "csn": [label(names) for _, names, _ in kept],
            "codes": [",".join(record.codes) for record, _, _ in kept],
            "age": [record.age for record, _, _ in kept],
            "sex": [record.sex for record, _, _ in kept],
        },
        tasks=TASKS,
        left_out=dropped,
    )


def _mapped(
    headers: Iterable[Path], root: Path, acronyms: Mapping[str, str], dropped: LeftOut
) -> list[tuple[CodedRecord, list[str]]]:
    """Read the headers whose codes have acronyms, each with these acronyms."""
    found = []
    for record in read_codes(headers, root, dropped):
        unknown = [code for code in record.codes if code not in acronyms]
        if unknown:
            reason = f"code {', '.join(unknown)} is not in {NAMES}"
            dropped.add(record.name, record.path, reason)
        else:
            found.append((record, [acronyms[code] for code in record.codes]))
    return found
