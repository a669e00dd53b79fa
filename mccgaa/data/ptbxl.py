"""PTB-XL (Wagner et al. 2020): its folder tree into rows for packing.

Layout, as PhysioNet serves version 1.0.x::

    ptbxl_database.csv     one line per record: ecg_id, patient_id, report, scp_codes,
                           strat_fold, filename_lr, filename_hr ...
    scp_statements.csv     the 71 statements and what each says of a record
    records100/00000/00001_lr.{hea,dat}     100 Hz
    records500/00000/00001_hr.{hea,dat}     500 Hz

A record has a statement's label whatever the likelihood in `scp_codes`, as in the
benchmarks behind Table 2. Folds 1-8 train, 9 validate, 10 test.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mccgaa.data.reader import Ids, age_of, as_ids, make_rows, read_table
from mccgaa.data.splits import by_fold
from mccgaa.errors import StoreError

# Classes in the order of their first line in scp_statements.csv; a test compares.
TASKS: Mapping[str, tuple[str, ...]] = {
    "super": ("STTC", "NORM", "MI", "HYP", "CD"),
    "sub": (
        "STTC", "NST_", "NORM", "IMI", "AMI", "LVH", "LAFB/LPFB", "ISC_", "IRBBB",
        "_AVB", "IVCD", "ISCA", "CRBBB", "CLBBB", "LAO/LAE", "ISCI", "LMI", "RVH",
        "RAO/RAE", "WPW", "ILBBB", "SEHYP", "PMI",
    ),
    "form": (
        "NDT", "NST_", "DIG", "LNGQT", "ABQRS", "PVC", "STD_", "VCLVH", "QWAVE", "LOWT",
        "NT_", "PAC", "LPR", "INVT", "LVOLT", "HVOLT", "TAB_", "STE_", "PRC(S)",
    ),
    "rhythm": (
        "SR", "AFIB", "STACH", "SARRH", "SBRAD", "PACE", "SVARR", "BIGU", "AFLT",
        "SVTAC", "PSVT", "TRIGU",
    ),
}  # fmt: skip
_FILENAME = {500: "filename_hr", 100: "filename_lr"}
_FLAG = {"super": "diagnostic", "sub": "diagnostic", "form": "form", "rhythm": "rhythm"}
_CLASS = {"super": "diagnostic_class", "sub": "diagnostic_subclass"}
_NEEDED = ("ecg_id", "patient_id", "scp_codes", "report", "strat_fold")
_EXTRAS = {
    "age": age_of,
    "sex": {"0": "Male", "1": "Female"}.get,
    "device": lambda cell: " ".join(cell.split()) or None,
}


def read_rows(
    root: Path | str,
    only_ids: Ids | None = None,
    file_rate: int = 500,
) -> pd.DataFrame:
    """Read the record table and derive the labels of the four tasks (Table 1).

    Args:
        root: the folder that holds `ptbxl_database.csv`.
        only_ids: ecg_ids to keep, or a text file with one per line; None keeps all.
        file_rate: 500 or 100 Hz, the copy of the signals to name in `path`.

    Returns:
        One row per record, in the table's order: record_id, path (without ending, under
        `root`), subject_id, text (the report), split, statements, the four tasks'
        labels (None where a record has none), fold, age, sex, device.

    Raises:
        StoreError: a file or column is missing, a cell cannot be read, a fold is not
            1 to 10, or an id is not in the table.
    """
    root = Path(root)
    path = root / "ptbxl_database.csv"
    if file_rate not in _FILENAME:
        raise StoreError(
            f"PTB-XL has signals at 100 and 500 Hz, not at {file_rate} Hz; "
            "read one of these and let packing resample."
        )
    filename = _FILENAME[file_rate]
    table = read_table(path, [*_NEEDED, filename])
    table = _select(table, only_ids, path)
    nameless = int((table[filename] == "").sum())
    if nameless:
        raise StoreError(
            f"{path} names no {file_rate} Hz file ({filename}) for {nameless} of "
            f"{len(table)} records; read the {600 - file_rate} Hz copy instead."
        )
    codes = [
        _codes(path, *row) for row in zip(table.ecg_id, table.scp_codes, strict=True)
    ]
    names = [str(_whole(path, "ecg_id", cell)) for cell in table["ecg_id"]]
    folds = [_whole(path, "strat_fold", cell) for cell in table["strat_fold"]]
    sides = by_fold(dict(zip(names, folds, strict=True)), path)
    columns = {
        "record_id": names,
        "path": [cell.removesuffix(".hea") for cell in table[filename]],
        "subject_id": [
            str(_whole(path, "patient_id", cell)) for cell in table["patient_id"]
        ],
        "text": [cell.strip() or None for cell in table["report"]],
        "split": [sides[name] for name in names],
        "statements": codes,
        "fold": folds,
    }
    for task, class_of in _class_of(root).items():
        columns[task] = [_labels(task, class_of, held) for held in codes]
    for name, convert in _EXTRAS.items():
        columns[name] = [convert(cell) for cell in table.get(name, [""] * len(table))]
    return make_rows(columns, tasks=TASKS)


def _select(table: pd.DataFrame, only_ids: Ids | None, path: Path) -> pd.DataFrame:
    """Keep the records of a list of ids, in the table's order."""
    wanted = as_ids(only_ids)
    if wanted is None:
        return table
    unknown = sorted(wanted - set(table["ecg_id"]))
    if unknown or not wanted:
        example = f", such as {unknown[0]!r}" if unknown else ""
        raise StoreError(
            f"{len(unknown)} of {len(wanted)} ids asked for are not in "
            f"{path}{example}; give ecg_ids of that table."
        )
    return table[table["ecg_id"].isin(wanted)]


def _whole(path: Path, column: str, cell: str) -> int:
    """Read a whole number, which the table may write as 15709.0."""
    try:
        number = float(cell)
        if number != int(number):
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise StoreError(
            f"{path}: {column} is {cell!r} in one line; expected a whole number."
        ) from error
    return int(number)


def _codes(path: Path, ecg_id: str, cell: str) -> list[str]:
    """Read one cell of scp_codes: a printed dict of statement to likelihood."""
    try:
        codes = ast.literal_eval(cell)
        return [str(code) for code in dict(codes)]
    except (ValueError, SyntaxError, TypeError) as error:
        raise StoreError(
            f"{path}: scp_codes of ecg_id {ecg_id} is {cell!r}; "
            "expected a dict of statements."
        ) from error


def _class_of(root: Path) -> dict[str, dict[str, str]]:
    """For each task, map a statement to its class, as scp_statements.csv says."""
    path = root / "scp_statements.csv"
    table = read_table(path, [*_FLAG.values(), *_CLASS.values()])
    table = table.set_index(table.columns[0])
    classes: dict[str, dict[str, str]] = {}
    for task, flag in _FLAG.items():
        chosen = table[table[flag].isin(["1", "1.0"])]
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
