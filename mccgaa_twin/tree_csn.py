"""The twin's Chapman-Shaoxing-Ningbo: `WFDBRecords/NN/NNN/JS*.{mat,hea}`.

`mirror.Tree` describes what a module like this provides.
"""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from mccgaa_twin import device, findings, simulate
from mccgaa_twin.csn_conditions import (
    CONDITIONS,
    PUBLISHED_RECORDS,
    RHYTHMS,
    UNMAPPED,
    Condition,
)
from mccgaa_twin.files import Folder, header, to_int16
from mccgaa_twin.physiology import Rng
from mccgaa_twin.torso import LEADS

NAME = "csn"
_MEAN_AGE = 59.0  # years
_FIRST_OF_NINGBO = 1001  # from this record on, headers carry a date
_BLOCKS = {"1AVB", "2AVB", "2AVB1", "2AVB2", "3AVB", "AVB", "PRIE", "WPW", "VPE"}
_NO_PR = {"AFIB", "AF", "SVT", "AT", "AVNRT", "AVRT"}
# Conditions of which a heart has at most one.
_EXCLUSIVE = (
    _BLOCKS,
    {"LBBB", "LBBBB", "LFBBB", "RBBB", "IDC", "IVB", "WPW", "VPE"},
    {"ALS", "ARS"},
    {"CR", "CCR"},
    {"LVH", "RVH", "LVQRSAL", "LVQRSCL", "LVQRSLL"},
    {"STDD", "STE", "STTU", "STTC", "ERV"},
    {"TWC", "TWO"},
    {"JEB", "VEB", "2AVB", "2AVB1", "2AVB2", "3AVB"},
    {"VB", "ABI", "VET", "VPB", "APB"},
)


def records_of_subjects(records: int, rng: Rng) -> np.ndarray:
    """One record per subject: the dataset does not say whose a record is."""
    return np.ones(records, int)


def _draw_conditions(rng: Rng) -> list[Condition]:
    """Draw one record's rhythm and conditions by the published counts."""
    counts = np.array([c.count for c in RHYTHMS], float)
    rhythm = RHYTHMS[int(rng.choice(len(RHYTHMS), p=counts / counts.sum()))]
    drawn = [rhythm]
    chances = np.array([c.count for c in CONDITIONS]) / PUBLISHED_RECORDS
    hits = np.flatnonzero(rng.random(len(CONDITIONS)) < chances)
    for row in rng.permutation(hits):
        condition = CONDITIONS[row]
        names = {c.acronym for c in drawn}
        if condition.acronym in _BLOCKS and rhythm.acronym in _NO_PR:
            continue
        apart = any(condition.acronym in one and names & one for one in _EXCLUSIVE)
        if not apart:
            drawn.append(condition)
    return drawn


def _render(
    drawn: list[Condition], extra: list[str], rng: Rng, variety: float
) -> tuple[np.ndarray, simulate.Subject]:
    """Render 10 s with conditions and further statements.

    Returns:
        (8, 5000) mV without noise, and the person.
    """
    person = simulate.draw_subject(rng, _MEAN_AGE, variety)
    codes = dict.fromkeys(code for c in drawn for code in c.statements)
    codes.update(dict.fromkeys(extra))
    strengths = findings.draw_strengths(codes, rng, variety)
    changes = [c.change for c in drawn if c.change is not None]
    body, _ = simulate.render(strengths, rng, person, changes=changes)
    return body, person


def _matrix_v4(steps: np.ndarray) -> bytes:
    """Make a MATLAB 4 file with the matrix "val"; 24 bytes come before the samples.

    Args:
        steps: (12, T) int16.
    """
    kind = 30  # little-endian, 16-bit integers, full matrix
    head = np.array([kind, *steps.shape, 0, 4], "<i4").tobytes()
    return head + b"val\0" + steps.astype("<i2").tobytes(order="F")


def _header(
    number: int, steps: np.ndarray, person: simulate.Subject, codes: list[str]
) -> str:
    """Make a record's header; its comments carry the labels.

    Args:
        number: of the record, from 1.
        steps: (12, T) int16, in uV.
        person: age and sex.
        codes: SNOMED-CT.
    """
    text = header(
        f"JS{number:05d}",
        steps,
        simulate.RATE,
        LEADS,
        "1000/mV",
        data=f"JS{number:05d}.mat",
        kind="16+24",
        comments=(
            f"Age: {person.age:.0f}",
            f"Sex: {'Female' if person.sex else 'Male'}",
            f"Dx: {','.join(codes)}",
            "Rx: Unknown",
            "Hx: Unknown",
            "Sx: Unknown",
        ),
    )
    if number < _FIRST_OF_NINGBO:
        return text
    # Ningbo's headers carry a date in a form that wfdb refuses.
    date = datetime.datetime(2021, 3, 23) + datetime.timedelta(seconds=9 * number)
    line, rest = text.split("\n", 1)
    return f"{line} {date:%d-%b-%Y %H:%M:%S}\n{rest}"


def subject_records(
    folder: Folder,
    subject: int,
    first: int,
    count: int,
    rng: Rng,
    variety: float = 0.0,
) -> list[dict]:
    """Write the one record of a subject; the labels are in its header."""
    drawn = _draw_conditions(rng)
    codes, extra = [c.snomed for c in drawn], []
    for one in UNMAPPED:
        if rng.random() < one.share:
            codes.append(one.snomed)
            extra += one.statements
    body, person = _render(drawn, extra, rng, variety)
    cart = device.DEVICES[NAME]
    steps, _ = device.record(body, cart, simulate.RATE, rng, variety)
    stored = to_int16(np.rint(steps * cart.lsb * 1000))
    # A hundred records per folder, ten such folders in one.
    upper, lower = first // 1000 + 1, first // 100 % 10
    path = f"WFDBRecords/{upper:02d}/{upper:02d}{lower}/JS{first + 1:05d}"
    folder.write(f"{path}.hea", _header(first + 1, stored, person, codes))
    folder.write(f"{path}.mat", _matrix_v4(stored))
    return [{"path": path}]


def finish(folder: Folder, rows: list[dict]) -> None:
    """Write `ConditionNames_SNOMED-CT.csv`, which is the same whatever the rows."""
    order = [*CONDITIONS, *RHYTHMS]
    table = pd.DataFrame(
        {
            "Acronym Name": [c.acronym for c in order],
            "Full Name": [c.name for c in order],
            "Snomed_CT": [c.snomed for c in order],
        }
    )
    folder.write("ConditionNames_SNOMED-CT.csv", table.to_csv(index=False))
