"""The twin's MIMIC-IV-ECG: `record_list.csv`, `machine_measurements.csv`, `files/`."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from mccgaa_twin import device, population, simulate
from mccgaa_twin.files import Folder
from mccgaa_twin.reports import ReportStyle, write_report

NAME = "mimic"
# The order in the published headers: aVF stands before aVL.
ORDER = (0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11)
LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
REPORTS = [f"report_{i}" for i in range(18)]
MEASURES = ["rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end"]
MEASURES += ["p_axis", "qrs_axis", "t_axis"]
ABSENT = 29999  # what the cart writes for a wave it did not find
STYLE = ReportStyle(omission=0.10, doubt=0.26)


def records_of_subjects(records: int, rng: np.random.Generator) -> np.ndarray:
    """Records of each subject, (S,) of sum `records`; about five on average."""
    counts = rng.geometric(0.2, records)
    counts = np.minimum(counts, 30)
    ends = np.cumsum(counts)
    last = int(np.searchsorted(ends, records))
    counts = counts[: last + 1]
    counts[-1] -= ends[last] - records
    return counts


def numbers(subject: int, record: int) -> tuple[int, int]:
    """Subject and study numbers of eight digits, scattered as the published ones are.

    Multiplication by a number without common divisor with the range is a permutation,
    so no two subjects and no two studies share a number.
    """
    return (
        10_000_000 + subject * 7_368_787 % 9_999_991,
        40_000_000 + record * 6_700_417 % 9_999_991,
    )


def _measures(truth: simulate.Truth, rng: np.random.Generator) -> dict[str, int]:
    """The cart's measurements, with its error: ms within the averaged beat, axes."""

    def off(value: float, sd: float) -> int:
        return round(value + rng.normal(0, sd))

    onset = 40 + (truth.pr or 160)
    has_p = truth.pr is not None
    return {
        "rr_interval": off(60_000 / truth.heart_rate, 3),
        "p_onset": 40 if has_p else ABSENT,
        "p_end": off(40 + truth.p_duration, 5) if has_p else ABSENT,
        "qrs_onset": off(onset, 3),
        "qrs_end": off(onset + truth.qrs, 4),
        "t_end": off(onset + truth.qt, 9),
        "p_axis": off(truth.p_axis, 6) if truth.p_axis is not None else ABSENT,
        "qrs_axis": off(truth.qrs_axis, 4),
        "t_axis": off(truth.t_axis, 8),
    }


def subject_records(
    folder: Folder, subject: int, first: int, count: int, seeds: np.random.SeedSequence
) -> list[dict]:
    """Make and write all records of one subject.

    Args:
        folder: the dataset's root.
        subject: number, from 0.
        first: number of the subject's first record, from 0.
        count: how many.
        seeds: this subject's own random source.

    Returns:
        A row a record, holding the columns of both tables.
    """
    rng = np.random.default_rng(seeds)
    person = simulate.draw_subject(rng, population.MIMIC.mean_age)
    time = datetime.datetime(2110, 1, 1) + datetime.timedelta(
        minutes=int(rng.integers(0, 60 * 24 * 365 * 90))
    )
    cart = device.DEVICES[NAME]
    rows: list[dict] = []
    codes = population.draw_statements(rng, population.MIMIC, person.age)
    for number in range(first, first + count):
        if rows and rng.random() > 0.5:  # the next record of a subject may differ
            codes = population.draw_statements(rng, population.MIMIC, person.age)
        body, truth = simulate.render(codes, rng, person)
        steps, truth.noise = device.record(body, cart, simulate.RATE, rng)
        report = write_report(codes, truth, rng, STYLE)
        subject_id, study_id = numbers(subject, number)
        path = f"files/p{subject_id // 10_000}/p{subject_id}/s{study_id}/{study_id}"
        gain = f"{1 / cart.lsb:.1f}(0)/mV"
        folder.write_record(path, steps[list(ORDER)], simulate.RATE, LEADS, gain)
        row = {
            "subject_id": subject_id,
            "study_id": study_id,
            "cart_id": int(rng.integers(6_000_000, 7_000_000)),
            "ecg_time": str(time),
            **dict.fromkeys(REPORTS),
            **dict(zip(REPORTS, report.lines, strict=False)),
            "bandwidth": "0.005-150 Hz",
            "filtering": "60 Hz notch Baseline filter",
            **_measures(truth, rng),
            "file_name": study_id,
            "path": path,
        }
        rows.append(row)
        time += datetime.timedelta(minutes=int(rng.integers(30, 60 * 24 * 400)))
    return rows


def finish(folder: Folder, rows: list[dict]) -> None:
    """Write the two tables, ordered by subject and study as the published ones are.

    Args:
        folder: the dataset's root.
        rows: of all records.
    """
    table = pd.DataFrame(rows).sort_values(["subject_id", "study_id"])
    listed = table[["subject_id", "study_id", "file_name", "ecg_time", "path"]]
    folder.write("record_list.csv", listed.to_csv(index=False))
    columns = ["subject_id", "study_id", "cart_id", "ecg_time", *REPORTS]
    columns += ["bandwidth", "filtering", *MEASURES]
    folder.write("machine_measurements.csv", table[columns].to_csv(index=False))
