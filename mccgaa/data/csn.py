"""Chapman-Shaoxing-Ningbo (PhysioNet ecg-arrhythmia 1.0.0): 38 classes (Table 1).

Layout as PhysioNet serves it::

    ConditionNames_SNOMED-CT.csv           Acronym Name, Full Name, Snomed_CT
    WFDBRecords/01/010/JS00001.{hea,mat}   the header's `#Dx:` line has SNOMED-CT codes

A code stands for one acronym: where the table gives it several (164909002 is LBBB,
LBBBB and LFBBB), the first row counts, as in the literature. A record with a code that
the table lacks is left out, as there, and so is one that has none of the 38 classes.

Labels come in two kinds. `labels="exact"`, the default, sets a class when its acronym
stands in the record's list. `labels="published"` repeats a fault of the table that the
literature shares, where a class is set when its acronym is a SUBSTRING of that list:
"VB" (ventricular bigeminy) is set by every "1AVB", "ST" (sinus tachycardia) by every
"STTC". It is here to compare with published numbers, not to be trusted.

The published split was drawn before the records without a class were dropped: only
then do its 16546/1860/4620 records follow from `splits.published` (of 31,961 rows).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from mccgaa.data.headers import age_of, codes_of, read_comments
from mccgaa.data.reader import LeftOut, as_ids, make_rows, note_absent, read_table
from mccgaa.data.splits import published
from mccgaa.errors import StoreError

CLASSES = (
    *("AQW", "UW", "SR", "WPW", "2AVB", "AT", "VB", "ARS", "STTC", "SA", "STE", "VPB"),
    *("TWO", "STTU", "ALS", "APB", "2AVB1", "PRIE", "CCR", "CR", "AF", "AVB", "QTIE"),
    *("LBBB", "VEB", "SVT", "RBBB", "1AVB", "STDD", "MI", "AFIB", "TWC", "PWC", "ERV"),
    *("RVH", "LVH", "ST", "JEB"),
)
TASKS: Mapping[str, tuple[str, ...]] = {"csn": CLASSES}
LABELS = ("exact", "published")
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
    only_ids: Collection[str] | Path | str | None = None,
    drop_unmapped: bool = True,
) -> pd.DataFrame:
    """Read the headers of Chapman-Shaoxing-Ningbo into rows (Table 1, "Chapman").

    Args:
        root: folder that holds `WFDBRecords` and `ConditionNames_SNOMED-CT.csv`.
        labels: "exact", or "published" for the literature's faulty table (see above).
        limit: keep the first `limit` rows; the split is drawn before.
        only_ids: keep these records (JS00001, ...); a list, or a file with one a line.
        drop_unmapped: leave out a record with any code that the table lacks, as the
            published table does; False keeps what its other codes say.

    Returns:
        One row a usable record. `csn` has its classes, `statements` all its acronyms,
        `codes` its SNOMED-CT codes; both kinds of labels have the same rows. Each
        patient has one record, so `subject_id` is the record's id.

    Raises:
        StoreError: a wrong `labels`, no table of names, or no header under `root`.
    """
    if labels not in LABELS:
        raise StoreError(f"labels is {labels!r}; expected one of {', '.join(LABELS)}.")
    root = Path(root)
    acronyms = read_conditions(root / NAMES)
    headers = sorted((root / "WFDBRecords").glob("*/*/*.hea"))
    if not headers:
        raise StoreError(
            f"{root / 'WFDBRecords'} holds no NN/NNN/*.hea; give the folder that has "
            f"WFDBRecords and {NAMES} in it."
        )
    wanted = as_ids(only_ids)
    dropped, found = LeftOut(), []
    for header in headers:
        path = header.relative_to(root).with_suffix("").as_posix()
        try:
            comments = read_comments(header)
        except OSError as error:
            dropped.add(header.stem, path, f"its header cannot be read ({error})")
            continue
        codes = codes_of(comments.get("Dx", ""))
        unknown = [code for code in codes if code not in acronyms]
        names = [acronyms[code] for code in codes if code in acronyms]
        if not codes:
            dropped.add(header.stem, path, "its header has no Dx line with a code")
        elif unknown and (drop_unmapped or not names):
            dropped.add(
                header.stem, path, f"code {', '.join(unknown)} is not in {NAMES}"
            )
        else:
            found.append((header.stem, path, names, codes, comments))
    if wanted is not None:
        dropped = LeftOut(row for row in dropped if row["record_id"] in wanted)
        note_absent(wanted, [header.stem for header in headers], dropped)
    chosen = exact_labels if labels == "exact" else published_labels
    kept = []
    for side, row in zip(published(len(found)), found, strict=True):
        if wanted is not None and row[0] not in wanted:
            continue
        # The published table's rows are the ones that its own labels reach.
        if not published_labels(row[2]):
            reason = f"none of the 38 classes is among its labels ({','.join(row[2])})"
            dropped.add(row[0], row[1], reason)
        else:
            kept.append((side, *row))
    kept = kept[:limit]
    return make_rows(
        {
            "record_id": [row[1] for row in kept],
            "path": [row[2] for row in kept],
            "subject_id": [row[1] for row in kept],
            "split": [row[0] for row in kept],
            "statements": [row[3] for row in kept],
            "csn": [chosen(row[3]) for row in kept],
            "codes": [",".join(row[4]) for row in kept],
            "age": [age_of(row[5].get("Age", "")) for row in kept],
            "sex": [row[5].get("Sex") for row in kept],
        },
        tasks=TASKS,
        left_out=dropped,
        labels=labels,
    )
