"""Any hospital in the layout of the PhysioNet/CinC Challenges of 2020 and 2021.

A record is a WFDB header, whose `#Dx:` line has SNOMED-CT codes, and a `.mat` of its
signals. The records lie in folders of any depth under the root::

    georgia/g1/E00001.{hea,mat}
    cpsc/A0001.{hea,mat}

The classes are the 26 that the challenge of 2021 scored; a record without any of them
stays, as a negative of all. `hospital` is the first folder below the root.

The folders are for testing: every record has the split "test".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from mccgaa.data.reader import Ids, LeftOut, as_ids, make_rows, read_codes
from mccgaa.errors import StoreError

# Class -> the SNOMED-CT codes that count as it.
CODES: Mapping[str, tuple[int, ...]] = {
    "AF": (164889003,),
    "AFL": (164890007,),
    "BBB": (6374002,),
    "Brady": (426627000,),
    "LBBB": (164909002, 733534002),
    "RBBB": (59118001, 713427006),
    "IAVB": (270492004,),
    "IRBBB": (713426002,),
    "LAD": (39732003,),
    "LAnFB": (445118002,),
    "LPR": (164947007,),
    "LQRSV": (251146004,),
    "LQT": (111975006,),
    "NSIVCB": (698252002,),
    "NSR": (426783006,),
    "PAC": (284470004, 63593006),
    "PR": (10370003,),
    "PRWP": (365413008,),
    "PVC": (427172004, 17338001),
    "QAb": (164917005,),
    "RAD": (47665007,),
    "SA": (427393009,),
    "SB": (426177001,),
    "STach": (427084000,),
    "TAb": (164934002,),
    "TInv": (59931005,),
}
CLASSES = tuple(CODES)
TASKS: Mapping[str, tuple[str, ...]] = {"challenge": CLASSES}
CLASS_OF = {str(code): name for name, codes in CODES.items() for code in codes}


def classes_of(codes: Iterable[str]) -> list[str]:
    """Turn a record's SNOMED-CT codes into classes, in the order of CLASSES."""
    present = {CLASS_OF.get(code) for code in codes}
    return [name for name in CLASSES if name in present]


def read_rows(
    root: Path | str, limit: int | None = None, only_ids: Ids | None = None
) -> pd.DataFrame:
    """Read the headers under a folder into rows.

    Args:
        root: folder of one hospital, or of several with a folder each.
        limit: keep the first `limit` rows, in order of their paths.
        only_ids: keep these records (E00001, ...); a list, or a file of them.

    Returns:
        One row per record with a code. `challenge` has its classes, `codes` all its
        codes, `hospital` the folder; `attrs["unmapped"]` counts the codes that are no
        class. Patients are not known, so `subject_id` is the record's id.

    Raises:
        StoreError: no folder, no header under it, or one name in two folders.
    """
    root = Path(root)
    if not root.is_dir():
        raise StoreError(
            f"{root} is no folder; give that of one hospital's records, or of several "
            "with a folder each."
        )
    headers = sorted(root.rglob("*.hea"))
    if not headers:
        raise StoreError(
            f"{root} holds no .hea file; give the folder of one hospital's records, or "
            "of several with a folder each."
        )
    wanted, dropped = as_ids(only_ids), LeftOut()
    if wanted is not None:
        dropped.add_absent(wanted, [header.stem for header in headers])
        headers = [header for header in headers if header.stem in wanted]
    twice = [name for name, n in Counter(h.stem for h in headers).items() if n > 1]
    if twice:
        raise StoreError(
            f"{root} has several records named {twice[0]}; read its folders one by one."
        )
    records = list(read_codes(headers, root, dropped))[:limit]
    unmapped = Counter(
        code for record in records for code in record.codes if code not in CLASS_OF
    )
    rows = make_rows(
        {
            "record_id": [record.name for record in records],
            "path": [record.path for record in records],
            "subject_id": [record.name for record in records],
            "split": ["test"] * len(records),
            "challenge": [classes_of(record.codes) for record in records],
            "hospital": [
                Path(record.path).parts[0] if "/" in record.path else root.name
                for record in records
            ],
            "codes": [",".join(record.codes) for record in records],
            "age": [record.age for record in records],
            "sex": [record.sex for record in records],
        },
        tasks=TASKS,
        left_out=dropped,
    )
    rows.attrs["unmapped"] = dict(unmapped.most_common())
    return rows
