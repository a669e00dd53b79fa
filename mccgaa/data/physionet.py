"""What PhysioNet serves of each dataset: where, how much, under which terms.

The files of a version are listed in its SHA256SUMS.txt, which is read with suspicion:
a name that leads out of the dataset's folder makes the whole list unfit for use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mccgaa.errors import DownloadError

HOST = "https://physionet.org/files"
SUMS = "SHA256SUMS.txt"
CC_BY = "Creative Commons Attribution 4.0 (CC BY 4.0)"
_LINE = re.compile(r"^([0-9a-fA-F]{64})[ \t]+\*?(.+)$")


@dataclass(frozen=True)
class Dataset:
    """What PhysioNet says of a dataset, and which of its files are wanted."""

    title: str
    slug: str
    version: str
    licence: str
    records: int  # of the published dataset
    gigabytes: float  # of the wanted files, uncompressed, rounded
    wanted: re.Pattern[str]
    record: re.Pattern[str]  # group 1: the id of the record that a file belongs to


DATASETS = {
    "ptbxl": Dataset(
        title="PTB-XL, 12-lead ECGs at 500 Hz with tables",
        slug="ptb-xl",
        version="1.0.3",
        licence=CC_BY,
        records=21_799,
        gigabytes=2.7,
        wanted=re.compile(r"records500/.+|[^/]+"),
        record=re.compile(r"records500/\d+/0*(\d+)_hr\.\w+"),
    ),
    "cpsc2018": Dataset(
        title="CPSC2018, as kept by the PhysioNet/CinC Challenge 2020",
        slug="challenge-2020",
        version="1.0.2",
        licence=CC_BY,
        records=6_877,
        gigabytes=1.3,
        wanted=re.compile(r"training/cpsc_2018/.+|LICENSE\.txt"),
        record=re.compile(r"training/cpsc_2018/g\d+/(A\d+)\.\w+"),
    ),
    "csn": Dataset(
        title="Chapman-Shaoxing-Ningbo, a 12-lead ECG database for arrhythmia",
        slug="ecg-arrhythmia",
        version="1.0.0",
        licence=CC_BY,
        records=45_152,
        gigabytes=5.5,
        wanted=re.compile(r"WFDBRecords/.+|[^/]+"),
        record=re.compile(r"WFDBRecords/\d+/\d+/(JS\d+)\.\w+"),
    ),
    "mimic": Dataset(
        title="MIMIC-IV-ECG, diagnostic electrocardiogram matched subset",
        slug="mimic-iv-ecg",
        version="1.0",
        licence="Open Data Commons Open Database License (ODbL 1.0)",
        records=800_035,
        gigabytes=97.0,
        wanted=re.compile(r"files/.+|[^/]+"),
        record=re.compile(r"files/p\d+/p\d+/s\d+/(\d+)\.\w+"),
    ),
}


def read_sums(path: Path) -> dict[str, str]:
    """Read SHA256SUMS.txt, refusing a name that leads out of the dataset's folder.

    Args:
        path: lines of a SHA-256 and a relative name.

    Returns:
        SHA-256 in hexadecimal by name.

    Raises:
        DownloadError: a line of another form, an unsafe name, or an empty list.
    """
    sums: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            match = _LINE.match(line.rstrip("\r\n"))
            if not match:
                raise DownloadError(
                    f"{path}, line {number} is no checksum and name: {line[:80]!r}. "
                    "Is the host right?"
                )
            name = match[2].removeprefix("./")
            if not is_safe(name):
                raise DownloadError(
                    f"{path}, line {number} names {name!r}, which leads out of the "
                    "dataset's folder; nothing was fetched. Do not trust this host."
                )
            sums[name] = match[1].lower()
    if not sums:
        raise DownloadError(f"{path} lists no file. Is the host right?")
    return sums


def is_safe(name: str) -> bool:
    """Whether a listed name stays inside the folder that it is written to."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and not re.search(r"[\\:\x00-\x1f]", name)
    )
