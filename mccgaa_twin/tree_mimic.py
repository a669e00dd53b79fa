"""The twin's MIMIC-IV-ECG: `record_list.csv`, `machine_measurements.csv`, `files/`.

`mirror.Tree` describes what a module like this provides.
"""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from mccgaa_twin import device, population, simulate, torso
from mccgaa_twin.files import Folder
from mccgaa_twin.physiology import Rng
from mccgaa_twin.reports import ReportStyle, write_report

NAME = "mimic"
# The order of the published headers: aVF comes before aVL.
_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
_ORDER = [torso.LEADS.index(lead) for lead in _LEADS]
_REPORTS = [f"report_{i}" for i in range(18)]
_ABSENT = 29999  # what the cart writes for a wave it did not find
_STYLE = ReportStyle(omission=0.10, doubt=0.26)
_MOST_RECORDS = 30  # of one subject


def records_of_subjects(records: int, rng: Rng) -> np.ndarray:
    """About five records per subject on average."""
    return np.minimum(rng.geometric(0.2, records), _MOST_RECORDS)


def _numbers(subject: int, record: int) -> tuple[int, int]:
    """Subject and study numbers of eight digits, scattered as the published ones are.

    Multiplying modulo a number that shares no divisor with the factor is a permutation,
    so no two subjects and no two studies share a number.
    """
    return (
        10_000_000 + subject * 7_368_787 % 9_999_991,
        40_000_000 + record * 6_700_417 % 9_999_991,
    )


def _measurements(truth: simulate.Truth, rng: Rng) -> dict[str, int]:
    """The cart's measurements with its errors: ms in the averaged beat, degrees."""

    def off(value: float, sd: float) -> int:
        return round(value + rng.normal(0, sd))

    onset = 40 + (truth.pr or 160)  # P starts 40 ms into the averaged beat
    has_p = truth.pr is not None
    return {
        "rr_interval": off(60_000 / truth.heart_rate, 3),
        "p_onset": 40 if has_p else _ABSENT,
        "p_end": off(40 + truth.p_duration, 5) if has_p else _ABSENT,
        "qrs_onset": off(onset, 3),
        "qrs_end": off(onset + truth.qrs, 4),
        "t_end": off(onset + truth.qt, 9),
        "p_axis": off(truth.p_axis, 6) if truth.p_axis is not None else _ABSENT,
        "qrs_axis": off(truth.qrs_axis, 4),
        "t_axis": off(truth.t_axis, 8),
    }


def subject_records(
    folder: Folder,
    subject: int,
    first: int,
    count: int,
    rng: Rng,
    variety: float = 0.0,
) -> list[dict]:
    """Write one subject's records; a row holds the columns of both tables."""
    person = simulate.draw_subject(rng, population.MIMIC.mean_age, variety)
    time = datetime.datetime(2110, 1, 1) + datetime.timedelta(
        minutes=int(rng.integers(0, 60 * 24 * 365 * 90))
    )
    cart = device.DEVICES[NAME]
    gain = f"{1 / cart.lsb:.1f}(0)/mV"
    visits = population.draw_visits(rng, population.MIMIC, person.age, variety)
    rows: list[dict] = []
    for study, codes in zip(range(first, first + count), visits, strict=False):
        body, truth = simulate.render(codes, rng, person)
        steps, truth.noise = device.record(body, cart, simulate.RATE, rng, variety)
        report = write_report(codes, truth, rng, _STYLE)
        subject_id, study_id = _numbers(subject, study)
        path = f"files/p{subject_id // 10_000}/p{subject_id}/s{study_id}/{study_id}"
        folder.write_record(path, steps[_ORDER], simulate.RATE, _LEADS, gain)
        row = {
            "subject_id": subject_id,
            "study_id": study_id,
            "cart_id": int(rng.integers(6_000_000, 7_000_000)),
            "ecg_time": str(time),
            **dict.fromkeys(_REPORTS),
            **dict(zip(_REPORTS, report.lines, strict=False)),
            "bandwidth": "0.005-150 Hz",
            "filtering": "60 Hz notch Baseline filter",
            **_measurements(truth, rng),
        }
        rows.append({**row, "file_name": study_id, "path": path})
        time += datetime.timedelta(minutes=int(rng.integers(30, 60 * 24 * 400)))
    return rows


def finish(folder: Folder, rows: list[dict]) -> None:
    """Write the two tables, ordered by subject and study as the published ones are."""
    table = pd.DataFrame(rows).sort_values(["subject_id", "study_id"])
    listed = table[["subject_id", "study_id", "file_name", "ecg_time", "path"]]
    folder.write("record_list.csv", listed.to_csv(index=False))
    measured = table.drop(columns=["file_name", "path"])
    folder.write("machine_measurements.csv", measured.to_csv(index=False))
