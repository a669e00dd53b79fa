"""The 71 SCP-ECG statements of PTB-XL: their groups and how often they are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mccgaa_twin.tables import read_rows, read_table

_COLUMNS = {
    "groups": list,
    "class": str,
    "subclass": str,
    "count": int,
    "description": str,
}


@dataclass(frozen=True)
class Statement:
    """One row of `scp_statements.csv`."""

    code: str
    diagnostic: bool
    form: bool
    rhythm: bool
    diagnostic_class: str  # "" unless diagnostic
    diagnostic_subclass: str
    count: int  # records of PTB-XL that carry it, of 21,837
    description: str


def _load(name: Path | str = "statements.yaml") -> dict[str, Statement]:
    """Read the table; its order decides which statement a random number picks."""
    return {
        code: Statement(
            code=code,
            diagnostic="diagnostic" in row["groups"],
            form="form" in row["groups"],
            rhythm="rhythm" in row["groups"],
            diagnostic_class=row["class"],
            diagnostic_subclass=row["subclass"],
            count=row["count"],
            description=row["description"],
        )
        for code, row in read_rows(read_table(name), _COLUMNS, str(name)).items()
    }


STATEMENTS: dict[str, Statement] = _load()
