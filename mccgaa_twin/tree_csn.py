"""The twin's Chapman-Shaoxing-Ningbo: `WFDBRecords/NN/NNN/JS*.{mat,hea}`."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from mccgaa_twin import device, findings, simulate
from mccgaa_twin.csn_conditions import CONDITIONS, RHYTHMS, UNMAPPED, Condition
from mccgaa_twin.files import Folder, header, one_each, to_int16
from mccgaa_twin.torso import LEADS

NAME = "csn"
RECORDS = 45_152  # of the published set, over which the counts were taken
records_of_subjects = one_each
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


def draw_conditions(rng: np.random.Generator) -> list[Condition]:
    """Draw one record's rhythm and conditions by the published counts."""
    counts = np.array([c.count for c in RHYTHMS], float)
    rhythm = RHYTHMS[int(rng.choice(len(RHYTHMS), p=counts / counts.sum()))]
    drawn = [rhythm]
    chances = np.array([c.count for c in CONDITIONS]) / RECORDS
    hits = np.flatnonzero(rng.random(len(CONDITIONS)) < chances)
    for place in rng.permutation(hits):
        condition = CONDITIONS[place]
        names = {c.acronym for c in drawn}
        if condition.acronym in _BLOCKS and rhythm.acronym in _NO_PR:
            continue
        apart = any(condition.acronym in row and names & row for row in _EXCLUSIVE)
        if not apart:
            drawn.append(condition)
    return drawn


def render(
    drawn: list[Condition], extra: tuple[str, ...], rng: np.random.Generator
) -> tuple[np.ndarray, simulate.Subject]:
    """A heart with the conditions, beating for 10 s: leads (8, T) in mV, the person."""
    person = simulate.draw_subject(rng, 59.0)
    codes = dict.fromkeys(code for c in drawn for code in c.statements)
    codes.update(dict.fromkeys(extra))
    strengths = findings.draw_strengths(codes, rng)
    changes = [c.change for c in drawn if c.change is not None]
    body, _ = simulate.render(strengths, rng, person, changes=changes)
    return body, person


def matrix_v4(steps: np.ndarray) -> bytes:
    """A MATLAB 4 file with the matrix "val", 24 bytes ahead of the samples.

    Args:
        steps: (12, T) int16.
    """
    kind = 30  # little-endian, 16-bit integers, full matrix
    head = np.array([kind, *steps.shape, 0, 4], "<i4").tobytes()
    return head + b"val\0" + steps.astype("<i2").tobytes(order="F")


def subject_records(
    folder: Folder, subject: int, first: int, count: int, seeds: np.random.SeedSequence
) -> list[dict]:
    """Make and write the one record of a subject.

    Args:
        folder: the dataset's root.
        subject: number, from 0.
        first: the record's number, from 0.
        count: 1.
        seeds: this subject's own random source.

    Returns:
        One row, for the count alone: labels stand in the headers.
    """
    rng = np.random.default_rng(seeds)
    drawn = draw_conditions(rng)
    codes, extra = [c.snomed for c in drawn], []
    for code, share, statements in UNMAPPED:
        if rng.random() < share:
            codes.append(code)
            extra += statements
    body, person = render(drawn, tuple(extra), rng)
    cart = device.DEVICES[NAME]
    steps, _ = device.record(body, cart, simulate.RATE, rng)
    stored = to_int16(np.rint(steps * cart.lsb * 1000))
    number = first + 1
    name, block = f"JS{number:05d}", first // 100
    path = f"WFDBRecords/{block // 10 + 1:02d}/{block // 10 + 1:02d}{block % 10}/{name}"
    comments = (
        f"Age: {person.age:.0f}",
        f"Sex: {'Female' if person.sex else 'Male'}",
        f"Dx: {','.join(codes)}",
        *("Rx: Unknown", "Hx: Unknown", "Sx: Unknown"),
    )
    text = header(
        name,
        stored,
        simulate.RATE,
        LEADS,
        "1000/mV",
        data=f"{name}.mat",
        kind="16+24",
        comments=comments,
    )
    if number > 1000:  # Ningbo's headers carry a date that wfdb refuses
        date = datetime.datetime(2021, 3, 23) + datetime.timedelta(seconds=9 * number)
        line, rest = text.split("\n", 1)
        text = f"{line} {date:%d-%b-%Y %H:%M:%S}\n{rest}"
    folder.write(f"{path}.hea", text)
    folder.write(f"{path}.mat", matrix_v4(stored))
    return [{"record": name, "codes": codes}]


def finish(folder: Folder, rows: list[dict]) -> None:
    """Write `ConditionNames_SNOMED-CT.csv`.

    Args:
        folder: the dataset's root.
        rows: of all records; not needed.
    """
    order = [*CONDITIONS, *RHYTHMS]
    table = pd.DataFrame(
        {
            "Acronym Name": [c.acronym for c in order],
            "Full Name": [c.name for c in order],
            "Snomed_CT": [c.snomed for c in order],
        }
    )
    folder.write("ConditionNames_SNOMED-CT.csv", table.to_csv(index=False))
