"""PTB-XL (Wagner et al. 2020): its folder tree into rows for packing.

Layout, as PhysioNet serves version 1.0.x::

    ptbxl_database.csv     one line a record: ecg_id, patient_id, report, scp_codes,
                           strat_fold, filename_lr, filename_hr ...
    scp_statements.csv     the 71 statements and what each says of a record
    records100/00000/00001_lr.{hea,dat}     100 Hz
    records500/00000/00001_hr.{hea,dat}     500 Hz

A record has a statement's label whatever the likelihood in `scp_codes`, as in the
benchmarks behind Table 2. Folds 1-8 train, 9 validate, 10 test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mccgaa.errors import StoreError

# Classes in the order of their first line in scp_statements.csv; a test compares.
TASKS: dict[str, list[str]] = {
    "super": ["STTC", "NORM", "MI", "HYP", "CD"],
    "sub": [
        *("STTC", "NST_", "NORM", "IMI", "AMI", "LVH", "LAFB/LPFB", "ISC_", "IRBBB"),
        *("_AVB", "IVCD", "ISCA", "CRBBB", "CLBBB", "LAO/LAE", "ISCI", "LMI", "RVH"),
        *("RAO/RAE", "WPW", "ILBBB", "SEHYP", "PMI"),
    ],
    "form": [
        *("NDT", "NST_", "DIG", "LNGQT", "ABQRS", "PVC", "STD_", "VCLVH", "QWAVE"),
        *("LOWT", "NT_", "PAC", "LPR", "INVT", "LVOLT", "HVOLT", "TAB_", "STE_"),
        "PRC(S)",
    ],
    "rhythm": [
        *("SR", "AFIB", "STACH", "SARRH", "SBRAD", "PACE", "SVARR", "BIGU", "AFLT"),
        *("SVTAC", "PSVT", "TRIGU"),
    ],
}
SECONDS = 10.0  # of every record
_FLAG = {"super": "diagnostic", "sub": "diagnostic", "form": "form", "rhythm": "rhythm"}
_CLASS = {"super": "diagnostic_class", "sub": "diagnostic_subclass"}
_NEEDED = ("ecg_id", "patient_id", "scp_codes", "report", "strat_fold")
_EXTRAS = ("age", "sex", "device")


def read_rows(
    root: Path | str,
    only_ids: Iterable[int] | Path | str | None = None,
    sampling_rate: int = 500,
) -> pd.DataFrame:
    """Read the record table and derive the labels of the four tasks.

    Args:
        root: the folder that holds `ptbxl_database.csv`.
        only_ids: ecg_ids to keep, or a text file with one a line; None keeps all.
        sampling_rate: 500 or 100 Hz, the copy of the signals to name in `path`.

    Returns:
        One row a record, in the table's order: record_id, path (without ending, under
        `root`), subject_id, text (the report), split, statements, the four tasks'
        labels (None where a record has none), fold, age, sex, device.

    Raises:
        StoreError: a file or column is missing, or an id is not in the table.
    """
    root = Path(root)
    table = _read_csv(root / "ptbxl_database.csv")
    named = {500: "filename_hr", 100: "filename_lr"}.get(sampling_rate)
    if named is None:
        raise StoreError(
            f"PTB-XL has signals at 100 and 500 Hz, not at {sampling_rate} Hz; "
            "read one of these and let packing resample."
        )
    absent = [column for column in (*_NEEDED, named) if column not in table]
    if absent:
        raise StoreError(
            f"{root / 'ptbxl_database.csv'} lacks the columns {', '.join(absent)}; "
            "expected PTB-XL's table as PhysioNet serves it."
        )
    if only_ids is not None:
        table = _select(table, only_ids)
    if table[named].isna().any():
        raise StoreError(
            f"{root / 'ptbxl_database.csv'} names no {sampling_rate} Hz file "
            f"({named}) for {int(table[named].isna().sum())} of {len(table)} records; "
            f"read the {600 - sampling_rate} Hz copy instead."
        )
    statements = [_codes(root, i, c) for i, c in zip(*_pair(table), strict=True)]
    rows = pd.DataFrame(
        {
            "record_id": table["ecg_id"].astype(int).astype(str),
            "path": table[named].str.removesuffix(".hea"),
            "subject_id": table["patient_id"].astype(int).astype(str),
            "text": [
                t if isinstance(t, str) and t.strip() else None for t in table["report"]
            ],
            "split": table["strat_fold"].map({9: "val", 10: "test"}).fillna("train"),
            "statements": statements,
        }
    )
    for task, labels in _class_of(root).items():
        rows[task] = [_labels(task, labels, codes) for codes in statements]
    rows["fold"] = table["strat_fold"].astype(int)
    for column in _EXTRAS:
        rows[column] = table.get(column)
    return rows.reset_index(drop=True)


def _pair(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return table["ecg_id"], table["scp_codes"]


def _read_csv(path: Path) -> pd.DataFrame:
    """Read one of PTB-XL's two tables."""
    try:
        return pd.read_csv(path)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} does not exist; the folder must hold PTB-XL as PhysioNet has it."
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as a table ({error}).") from error


def _select(table: pd.DataFrame, only_ids: Iterable[int] | Path | str) -> pd.DataFrame:
    """Keep the records of a list of ids, in the table's order."""
    where = "the list of ids"
    if isinstance(only_ids, str | Path):
        where = str(only_ids)
        try:
            only_ids = Path(only_ids).read_text(encoding="utf-8").split()
        except OSError as error:
            raise StoreError(f"{where} cannot be read ({error.strerror}).") from error
    try:
        wanted = {int(i) for i in only_ids}
    except ValueError as error:
        raise StoreError(f"{where} must hold whole ecg_ids only ({error}).") from error
    unknown = sorted(wanted - set(table["ecg_id"]))
    if unknown or not wanted:
        raise StoreError(
            f"{where} names {len(unknown)} ids that ptbxl_database.csv does not have "
            f"(first: {unknown[:3]})."
            if unknown
            else f"{where} is empty; expected ecg_ids."
        )
    return table[table["ecg_id"].isin(wanted)]


def _codes(root: Path, ecg_id: int, cell: str) -> list[str]:
    """Read one cell of scp_codes: a printed dict of statement to likelihood."""
    try:
        codes = ast.literal_eval(cell)
        return [str(code) for code in dict(codes)]
    except (ValueError, SyntaxError, TypeError) as error:
        raise StoreError(
            f"{root / 'ptbxl_database.csv'}: scp_codes of ecg_id {ecg_id} is {cell!r}; "
            "expected a dict of statements."
        ) from error


def _class_of(root: Path) -> dict[str, dict[str, str]]:
    """For each task, map a statement to its class, as scp_statements.csv says."""
    path = root / "scp_statements.csv"
    table = _read_csv(path)
    table = table.set_index(table.columns[0])
    absent = {*_FLAG.values(), *_CLASS.values()} - set(table.columns)
    if absent:
        raise StoreError(f"{path} lacks the columns {', '.join(sorted(absent))}.")
    classes: dict[str, dict[str, str]] = {}
    for task, flag in _FLAG.items():
        chosen = table[table[flag] == 1]
        names = chosen[_CLASS[task]] if task in _CLASS else chosen.index
        classes[task] = dict(zip(chosen.index, names, strict=True))
        unknown = set(classes[task].values()) - set(TASKS[task])
        if unknown:
            raise StoreError(
                f"{path} has {task} classes that PTB-XL does not: {sorted(unknown)}."
            )
    return classes


def _labels(task: str, class_of: dict[str, str], codes: list[str]) -> list[str] | None:
    """A record's classes in the task's order, or None if it has none there."""
    held = {class_of[code] for code in codes if code in class_of}
    return [name for name in TASKS[task] if name in held] or None
