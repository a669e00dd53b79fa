"""The twin's CPSC2018: `A0001.mat` (struct ECG) of 6 to 60 s and `REFERENCE.csv`.

`mirror.Tree` describes what a module like this provides.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import scipy.io

from mccgaa_twin import device, findings, simulate
from mccgaa_twin.files import Folder
from mccgaa_twin.physiology import Rng

NAME = "cpsc2018"
# Class, label number, records that carry it among 6,877, statements that make it.
_CLASSES: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
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
_SECOND = 0.07  # share of records with a second label
# Labels that no record has together.
_APART = ({"AFIB", "1AVB"}, {"AFIB", "PAC"}, {"CLBBB", "CRBBB"}, {"STD", "STE"})


def records_of_subjects(records: int, rng: Rng) -> np.ndarray:
    """One record per subject: the dataset does not say whose a record is."""
    return np.ones(records, int)


def _draw_classes(rng: Rng) -> list[int]:
    """Draw one record's classes, as rows of `_CLASSES`, by the published counts."""
    counts = np.array([row[2] for row in _CLASSES], float)
    first = int(rng.choice(len(_CLASSES), p=counts / counts.sum()))
    if first == 0 or rng.random() >= _SECOND:
        return [first]
    others = counts.copy()
    others[[0, first]] = 0.0
    second = int(rng.choice(len(_CLASSES), p=others / others.sum()))
    pair = {_CLASSES[first][0], _CLASSES[second][0]}
    return [first] if pair in _APART else [first, second]


def _statements(classes: list[int], rng: Rng, variety: float) -> dict[str, float]:
    """The statements that make the classes, with strengths; one rhythm."""
    codes = dict.fromkeys(code for row in classes for code in _CLASSES[row][3])
    if "AFIB" in codes:
        codes.pop("SR", None)
    elif "NORM" not in codes and rng.random() < 0.2:
        codes.pop("SR")
        codes[str(rng.choice(["STACH", "SBRAD", "SARRH"]))] = None
    strengths = findings.draw_strengths(codes, rng, variety)
    for code in ("STD_", "STE_"):  # labelled here only when it is obvious
        if code in strengths:
            strengths[code] = max(strengths[code], 0.9) * 1.3
    return strengths


def _draw_duration(rng: Rng) -> float:
    """Draw a length in [6, 60] s, mostly below 20, as in the challenge."""
    return round(float(np.clip(6 + rng.gamma(1.4, 7.0), 6, 60)), 3)


def _mat_struct(signal: np.ndarray, age: float, sex: int) -> bytes:
    """Make a MATLAB 5 file with struct ECG (sex, age, data).

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
    folder: Folder,
    subject: int,
    first: int,
    count: int,
    rng: Rng,
    variety: float = 0.0,
) -> list[dict]:
    """Write the one record of a subject; give its row of `REFERENCE.csv`."""
    classes = _draw_classes(rng)
    person = simulate.draw_subject(rng, 45.0 if classes == [0] else 64.0, variety)
    codes = _statements(classes, rng, variety)
    body, _ = simulate.render(codes, rng, person, _draw_duration(rng))
    cart = device.DEVICES[NAME]
    steps, _ = device.record(body, cart, simulate.RATE, rng, variety)
    name = f"A{first + 1:04d}"
    folder.write(f"{name}.mat", _mat_struct(steps * cart.lsb, person.age, person.sex))
    labels = [_CLASSES[row][1] for row in classes]
    return [
        {
            "Recording": name,
            "First_label": labels[0],
            "Second_label": labels[1] if len(labels) > 1 else None,
            "Third_label": None,
        }
    ]


def finish(folder: Folder, rows: list[dict]) -> None:
    """Write `REFERENCE.csv`."""
    table = pd.DataFrame(rows).astype({"Second_label": "Int64", "Third_label": "Int64"})
    folder.write("REFERENCE.csv", table.to_csv(index=False))
