"""The twin's CPSC2018: `A0001.mat` (struct ECG) of 6 to 60 s and `REFERENCE.csv`."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import scipy.io

from mccgaa_twin import device, findings, simulate
from mccgaa_twin.files import Folder, one_each

NAME = "cpsc2018"
# Class, label number, records that carry it among 6,877, statements that make it.
CLASSES: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("NORM", 1, 918, ("NORM", "SR")),
    ("AFIB", 2, 1221, ("AFIB",)),
    ("1AVB", 3, 722, ("1AVB", "SR")),
    ("CLBBB", 4, 236, ("CLBBB", "SR")),
    ("CRBBB", 5, 1857, ("CRBBB", "SR")),
    ("PAC", 6, 616, ("PAC", "SR")),
    ("VPC", 7, 700, ("PVC", "SR")),
    ("STD", 8, 869, ("STD_", "SR")),
    ("STE", 9, 220, ("STE_", "SR")),
)
SECOND = 0.07  # share of records with a second label
records_of_subjects = one_each
# Second labels that cannot stand beside a first.
_APART = ({"AFIB", "1AVB"}, {"AFIB", "PAC"}, {"CLBBB", "CRBBB"}, {"STD", "STE"})


def draw_classes(rng: np.random.Generator) -> list[int]:
    """Draw one record's classes, as places in `CLASSES`, by the published counts."""
    counts = np.array([row[2] for row in CLASSES], float)
    first = int(rng.choice(len(CLASSES), p=counts / counts.sum()))
    if first == 0 or rng.random() >= SECOND:
        return [first]
    others = counts.copy()
    others[[0, first]] = 0.0
    second = int(rng.choice(len(CLASSES), p=others / others.sum()))
    pair = {CLASSES[first][0], CLASSES[second][0]}
    return [first] if pair in _APART else [first, second]


def statements_of(classes: list[int], rng: np.random.Generator) -> dict[str, float]:
    """The statements that make the classes, with strengths; one rhythm."""
    codes = dict.fromkeys(code for place in classes for code in CLASSES[place][3])
    if "AFIB" in codes:
        codes.pop("SR", None)
    elif "NORM" not in codes and rng.random() < 0.2:
        codes.pop("SR")
        codes[str(rng.choice(["STACH", "SBRAD", "SARRH"]))] = None
    strengths = findings.draw_strengths(codes, rng)
    for code in ("STD_", "STE_"):  # labelled here only when it is plain to see
        if code in strengths:
            strengths[code] = max(strengths[code], 0.9) * 1.3
    return strengths


def draw_duration(rng: np.random.Generator) -> float:
    """Seconds in [6, 60], most below 20, as in the challenge."""
    return round(float(np.clip(6 + rng.gamma(1.4, 7.0), 6, 60)), 3)


def mat_struct(signal: np.ndarray, age: float, sex: int) -> bytes:
    """A MATLAB 5 file with struct ECG (sex, age, data).

    Args:
        signal: (12, T) mV.
        age: years.
        sex: 0 male, 1 female.
    """
    content = io.BytesIO()
    record = {
        "sex": "Female" if sex else "Male",
        "age": np.array([[age]]),
        "data": signal.astype(np.float64),
    }
    scipy.io.savemat(content, {"ECG": record})
    raw = bytearray(content.getvalue())
    # The file's first 116 bytes are free text; scipy puts the hour there.
    raw[:116] = b"MATLAB 5.0 MAT-file".ljust(116)
    return bytes(raw)


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
        One row of `REFERENCE.csv`.
    """
    rng = np.random.default_rng(seeds)
    classes = draw_classes(rng)
    person = simulate.draw_subject(rng, 45.0 if classes == [0] else 64.0)
    body, _ = simulate.render(
        statements_of(classes, rng), rng, person, draw_duration(rng)
    )
    cart = device.DEVICES[NAME]
    steps, _ = device.record(body, cart, simulate.RATE, rng)
    name = f"A{first + 1:04d}"
    folder.write(f"{name}.mat", mat_struct(steps * cart.lsb, person.age, person.sex))
    labels = [CLASSES[place][1] for place in classes] + [None] * 3
    row = {"Recording": name, "First_label": labels[0]}
    return [{**row, "Second_label": labels[1], "Third_label": labels[2]}]


def finish(folder: Folder, rows: list[dict]) -> None:
    """Write `REFERENCE.csv`.

    Args:
        folder: the dataset's root.
        rows: of all records.
    """
    table = pd.DataFrame(rows).astype({"Second_label": "Int64", "Third_label": "Int64"})
    folder.write("REFERENCE.csv", table.to_csv(index=False))
