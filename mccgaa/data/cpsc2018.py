"""CPSC2018: 6,877 records of 6 to 60 s, nine classes (Table 1), in either living form.

The challenge's own files, in one folder or several::

    A0001.mat ...        struct ECG with sex, age, data (12, T) at 500 Hz
    REFERENCE.csv        Recording, First_label, Second_label, Third_label: 1 to 9

and the copy that PhysioNet's Challenge 2020 keeps::

    training/cpsc_2018/g1/A0001.{mat,hea}     the `#Dx:` line has SNOMED-CT codes

A record is longer or shorter than the 10 s of a model's input. `lengths` says what is
fed: "first-10s" (shorter ones padded with zeros), "first-5s-padded" (as in MERL), or
"windows": one row for every 10 s, whose scores `mean_by_record` averages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mccgaa.data.reader import Ids, LeftOut, as_ids, make_rows, read_codes, read_table
from mccgaa.data.record import read_record
from mccgaa.data.splits import published
from mccgaa.errors import MccgaaError, StoreError

CLASSES = ("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "VPC", "STD", "STE")
TASKS: Mapping[str, tuple[str, ...]] = {"cpsc2018": CLASSES}
_LENGTHS = ("first-10s", "first-5s-padded", "windows")
SNOMED = {
    "426783006": "NORM",
    "164889003": "AFIB",
    "270492004": "1AVB",
    "164909002": "CLBBB",
    "59118001": "CRBBB",
    "284470004": "PAC",
    "164884008": "VPC",  # what Challenge 2020 writes
    "427172004": "VPC",  # premature ventricular contractions
    "17338001": "VPC",  # ventricular premature beats
    "429622005": "STD",
    "164931005": "STE",
}


def read_rows(
    root: Path | str,
    lengths: str = "first-10s",
    limit: int | None = None,
    only_ids: Ids | None = None,
    duration: float = 10.0,
) -> pd.DataFrame:
    """Read CPSC2018's labels into rows (Table 1, "CPSC2018"; split 7:2:1).

    Args:
        root: a folder with either form anywhere below it.
        lengths: "first-10s", "first-5s-padded" or "windows" (see above).
        limit: keep the first `limit` records; the split is drawn before.
        only_ids: keep these records (A0001, ...); a list, or a file with one per line.
        duration: seconds of a window.

    Returns:
        One row per record, or one per window: `start` (seconds) and `policy` say what
        to cut (`policy` is the same in every row; the fingerprint of every CPSC2018
        store rests on that column), `group` is the record. `cpsc2018` has the classes.
        Subjects are not published, so `subject_id` is the record's id.

    Raises:
        StoreError: neither form is under `root`, a table is damaged, or a wrong
            `lengths`.
    """
    if lengths not in _LENGTHS:
        raise StoreError(
            f"lengths is {lengths!r}; expected one of {', '.join(_LENGTHS)}."
        )
    root = Path(root)
    dropped = LeftOut()
    headers = sorted(root.rglob("A*.hea"), key=lambda path: path.stem)
    found = (
        _from_headers(headers, root, dropped)
        if headers
        else _from_reference(root, dropped)
    )
    seen = [record["group"] for record in found] + [r["record_id"] for r in dropped]
    for record, side in zip(found, published(len(found)), strict=True):
        record["split"] = side
    wanted = as_ids(only_ids)
    if wanted is not None:
        found = [record for record in found if record["group"] in wanted]
        dropped = dropped.only(wanted, seen)
    found = found[:limit]
    if lengths == "windows":
        found = [
            w for record in found for w in _windows(record, root, dropped, duration)
        ]
    policy = "first-5s-padded" if lengths == "first-5s-padded" else "first-10s"
    names = ("record_id", "path", "split", "cpsc2018", "group", "start", "age", "sex")
    columns: dict[str, list[Any]] = {n: [r[n] for r in found] for n in names}
    columns["subject_id"] = columns["group"]
    columns["statements"] = [list(labels) for labels in columns["cpsc2018"]]
    columns["policy"] = [policy] * len(found)
    return make_rows(columns, tasks=TASKS, left_out=dropped)


def window_starts(duration: float, window: float = 10.0) -> list[float]:
    """Place windows so that every sample is in one and none has to be padded.

    Args:
        duration: seconds of the record.
        window: seconds of a window.

    Returns:
        Starts in seconds: 0, 10, 20, ... for 10; the last window ends where the record
        does. A record shorter than a window has the single start 0.
    """
    if duration <= window:
        return [0.0]
    starts = np.arange(0.0, duration - window, window).tolist()
    return [*starts, duration - window]


def _from_headers(
    headers: list[Path], root: Path, dropped: LeftOut
) -> list[dict[str, Any]]:
    """Read PhysioNet's copy, whose headers name the classes by code."""
    records = []
    for coded in read_codes(headers, root, dropped):
        unknown = [code for code in coded.codes if code not in SNOMED]
        if unknown:
            reason = f"code {', '.join(unknown)} is none of the nine classes"
            dropped.add(coded.name, coded.path, reason)
            continue
        record = _record(coded.name, coded.path, {SNOMED[c] for c in coded.codes})
        records.append(record | {"age": coded.age, "sex": coded.sex})
    return records


def _from_reference(root: Path, dropped: LeftOut) -> list[dict[str, Any]]:
    """Read the challenge's REFERENCE.csv (or several) and find its .mat files."""
    tables = sorted(root.rglob("REFERENCE.csv"))
    files = {path.stem: path for path in sorted(root.rglob("A*.mat"))}
    if not tables:
        raise StoreError(
            f"{root} holds neither A*.hea (PhysioNet 2020's cpsc_2018) nor "
            "REFERENCE.csv (the challenge's own files); give the folder of CPSC2018."
        )
    columns = ["First_label", "Second_label", "Third_label"]
    labels: dict[str, set[str]] = {}
    for table in tables:
        frame = read_table(table, ["Recording", *columns])
        for name, *cells in frame[["Recording", *columns]].itertuples(index=False):
            values = [cell.strip() for cell in cells if cell.strip()]
            labels.setdefault(name.strip(), set()).update(
                _class(value, name, table) for value in values
            )
    for name in sorted(set(files) - set(labels)):
        path = files[name].relative_to(root).as_posix()
        dropped.add(name, path, "REFERENCE.csv does not name it")
    records = []
    for name in sorted(labels):
        path = files[name].relative_to(root).as_posix() if name in files else name
        if name not in files:
            dropped.add(name, path, f"REFERENCE.csv names it, but {name}.mat is absent")
        elif not labels[name]:
            dropped.add(name, path, "REFERENCE.csv gives it no label")
        else:
            records.append(_record(name, path, labels[name]))
    return records


def _class(value: str, name: str, table: Path) -> str:
    """Turn a label of REFERENCE.csv ("1" to "9", or "1.0") into its class."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if number not in range(1, len(CLASSES) + 1):
        raise StoreError(f"{table} gives {name} the label {value!r}; expected 1 to 9.")
    return CLASSES[int(number) - 1]


def _record(name: str, path: str, labels: set[str]) -> dict[str, Any]:
    """Make one row; age and sex of the original form are inside its .mat file."""
    ordered = [label for label in CLASSES if label in labels]
    return {
        "record_id": name,
        "path": path,
        "cpsc2018": ordered,
        "group": name,
        "start": 0.0,
        "age": None,
        "sex": None,
    }


def _windows(
    record: dict[str, Any], root: Path, dropped: LeftOut, window: float
) -> list[dict[str, Any]]:
    """Repeat a row for each window of its record, whose length has to be read."""
    try:
        duration = read_record(root / record["path"]).duration
    except MccgaaError as error:
        dropped.add(record["record_id"], record["path"], str(error))
        return []
    return [
        record | {"record_id": f"{record['group']}-w{i}", "start": start}
        for i, start in enumerate(window_starts(duration, window))
    ]
