"""The paper's tables 1 to 6 as data, exactly as printed.

The files keep what the print says, marks included: `**best**`, `_second best_` and
`mean ± spread`. `table` gives numbers, `spread` what stands behind the ±, and `marks`
what the authors set in bold or underlined, so that all three can be checked.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from mccgaa.errors import BookError
from mccgaa_book.checkout import checkout

TASKS = {  # the paper's column -> the name used here
    "CPSC2018": "cpsc2018",
    "PTBXL-Form": "form",
    "PTBXL-Sub": "sub",
    "PTBXL-Super": "super",
    "PTBXL-Rhythm": "rhythm",
    "Chapman": "csn",
}
_NUMBER = re.compile(r"[\d,]*\.?\d+")


def tables_folder() -> Path:
    """Where the printed tables lie: in `book/_paper` of the checkout."""
    return checkout() / "book" / "_paper"


def printed(number: int, folder: Path | None = None) -> pd.DataFrame:
    """Read one printed table as text, marks and ± kept, its first column as index.

    Args:
        number: 1 to 6, as in the paper.
        folder: where the tables lie; the book's own by default.

    Raises:
        BookError: there is no such table, or the checkout's `book` folder is absent.
    """
    path = (folder or tables_folder()) / f"table{number}.csv"
    if not path.is_file():
        raise BookError(
            f"{path} does not exist: the paper has tables 1 to 6, and they are kept in "
            "book/_paper of a checkout; run this from one."
        )
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame.set_index(frame.columns[0])


def table(number: int, folder: Path | None = None) -> pd.DataFrame:
    """Read one printed table as numbers: AUROC x 100, or counts in Table 1.

    Args:
        number: 1 to 6.
        folder: where the tables lie; the book's own by default.

    Returns:
        the table with its first column as index; columns of words stay words.
    """
    return printed(number, folder).apply(_numbers)


def spread(number: int = 2, folder: Path | None = None) -> pd.DataFrame:
    """Read what stands behind each ± (AUROC x 100); NaN where nothing does."""
    frame = printed(number, folder)
    behind = frame.apply(lambda column: column.str.extract(r"±\s*([\d.]+)")[0])
    return behind.astype(float)


def marks(number: int, folder: Path | None = None) -> pd.DataFrame:
    """Read how each cell is set: "bold", "underlined" or ""."""
    frame = printed(number, folder)
    return frame.map(
        lambda cell: (
            "bold"
            if cell.startswith("**")
            else "underlined"
            if cell.startswith("_")
            else ""
        )
    )


def _numbers(column: pd.Series) -> pd.Series:
    """Turn a column into floats (ints where whole) if every cell begins with one."""
    plain = column.str.strip("*_").str.split("±").str[0].str.strip()
    if not plain.map(lambda cell: bool(_NUMBER.fullmatch(cell))).all():
        return plain
    return pd.to_numeric(plain.str.replace(",", ""))
