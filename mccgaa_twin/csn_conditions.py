"""The rhythms and conditions of Chapman-Shaoxing-Ningbo, and how the twin makes them.

Names, SNOMED-CT codes and counts are in `csn_conditions.yaml`. A condition is made by
PTB-XL statements, by a change of the heart, or by both.
"""

from __future__ import annotations

from dataclasses import dataclass

from mccgaa_twin import csn_effects as s
from mccgaa_twin import rhythm_effects as r
from mccgaa_twin.physiology import Change
from mccgaa_twin.tables import read_rows, read_table

_COLUMNS = {"name": str, "snomed": str, "count": int, "statements": list}
_UNMAPPED_COLUMNS = {"name": str, "share": float, "statements": list}
# What no PTB-XL statement does, by acronym.
_CHANGES: dict[str, Change] = {
    "AT": r.atrial_tachycardia,
    "2AVB1": s.wenckebach,
    "2AVB2": s.mobitz,
    "ABI": s.atrial_pattern,
    "ALS": s.axis_left,
    "ARS": s.axis_right,
    "CCR": s.rotate_counterclockwise,
    "CR": s.rotate_clockwise,
    "ERV": s.early_repolarisation,
    "FQRS": s.fragment,
    "JEB": r.junctional_escape,
    "LVQRSCL": s.low_chest_voltage,
    "LVQRSLL": s.low_limb_voltage,
    "STTU": s.tilt_st_up,
    "UW": s.u_wave,
    "VB": s.ventricular_pattern,
    "VEB": r.ventricular_escape,
}


@dataclass(frozen=True)
class Condition:
    """One row of `ConditionNames_SNOMED-CT.csv`, and how the twin makes it."""

    acronym: str
    name: str
    snomed: str
    count: int  # records that carry it, of PUBLISHED_RECORDS
    statements: tuple[str, ...]  # PTB-XL statements that make it
    change: Change | None  # what no PTB-XL statement does


@dataclass(frozen=True)
class Unmapped:
    """A code that headers use and the table of conditions lacks."""

    snomed: str
    name: str
    share: float  # of records
    statements: tuple[str, ...]  # PTB-XL statements that make it


def _conditions(section: str) -> tuple[Condition, ...]:
    """Read the rhythms or the conditions, in the table's order."""
    rows = read_rows(_TABLE.get(section), _COLUMNS, f"csn_conditions.yaml, {section}")
    return tuple(
        Condition(acronym=acronym, change=_CHANGES.get(acronym), **row)
        for acronym, row in rows.items()
    )


_TABLE = read_table("csn_conditions.yaml")
PUBLISHED_RECORDS: int = _TABLE["published_records"]
RHYTHMS = _conditions("rhythms")
CONDITIONS = _conditions("conditions")
UNMAPPED = tuple(
    Unmapped(snomed, **row)
    for snomed, row in read_rows(
        _TABLE.get("unmapped"), _UNMAPPED_COLUMNS, "csn_conditions.yaml, unmapped"
    ).items()
)
