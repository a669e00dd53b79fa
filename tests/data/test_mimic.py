"""MIMIC-IV-ECG's tables: the join, the report text, the split by subject."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mccgaa.data import mimic
from mccgaa.data.reader import left_out
from mccgaa.errors import StoreError

REPORTS = [f"report_{i}" for i in range(18)]


def write_tree(root: Path, studies: list[tuple[str, str, list[str]]]) -> Path:
    """Write both tables, the measurements in the opposite order of the records."""
    with (root / "record_list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject_id", "study_id", "file_name", "ecg_time", "path"])
        for subject, study, _ in studies:
            path = f"files/p{subject[:4]}/p{subject}/s{study}/{study}"
            writer.writerow([subject, study, study, "2180-07-23 08:44:00", path])
    with (root / "machine_measurements.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["subject_id", "study_id", "cart_id", "ecg_time", *REPORTS, "rr_interval"]
        )
        for subject, study, cells in reversed(studies):
            padded = cells + [""] * (18 - len(cells))
            writer.writerow([subject, study, "1", "2180", *padded, "659"])
    return root


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["Sinus rhythm", "Normal ECG"], "sinus rhythm. normal ecg."),
        (["Sinus rhythm.", "Normal EKG."], "sinus rhythm. normal ecg."),
        (["*** Abnormal  EKG ***", "", "Sinus"], "abnormal ecg. sinus."),
        (["Sinus\trhythm \n with  PACs"], "sinus rhythm with pacs."),
        (["=====", "Pacemaker rhythm ====", "== no change =="],
         "pacemaker rhythm. no change."),
        (["QTc = 500 ms"], "qtc = 500 ms."),
        (["***", "...", " = "], ""),
        (["--- Warning: Data quality may affect interpretation ---"],
         "--- warning: data quality may affect interpretation ---."),
        ([], ""),
    ],
)  # fmt: skip
def test_report_cells_become_one_clean_text(cells: list[str], expected: str) -> None:
    assert mimic.clean_report(cells) == expected


def test_reports_are_joined_by_study_and_not_by_row(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        [
            ("10000032", "40689238", ["Sinus rhythm", "Normal ECG"]),
            ("10000117", "48446569", ["Atrial fibrillation", "", "Abnormal EKG"]),
        ],
    )
    rows = mimic.read_rows(root).set_index("record_id")
    assert rows.loc["40689238", "text"] == "sinus rhythm. normal ecg."
    assert rows.loc["48446569", "text"] == "atrial fibrillation. abnormal ecg."
    assert rows.loc["48446569", "statements"] == ["atrial fibrillation", "abnormal ecg"]
    assert rows.loc["40689238", "path"].endswith("p10000032/s40689238/40689238")


def test_records_without_a_usable_report_are_listed_with_the_reason(
    tmp_path: Path,
) -> None:
    root = write_tree(
        tmp_path,
        [
            ("1", "11", ["Sinus rhythm", "Normal ECG"]),
            ("1", "12", ["Normal EKG ***"]),
            ("2", "13", ["", "   ", "==="]),
            ("2", "14", ["one two three"]),
            ("2", "15", ["one two three four"]),
        ],
    )
    with (root / "record_list.csv").open("a") as file:
        file.write("3,16,16,2180,files/p3/p3/s16/16\n")
    rows = mimic.read_rows(root)
    reasons = left_out(rows).set_index("record_id")["reason"].to_dict()
    assert rows["record_id"].to_list() == ["11", "15"]
    assert sorted(reasons) == ["12", "13", "14", "16"]
    assert "'normal ecg.' has 2 words" in reasons["12"]
    assert reasons["13"] == "the report is empty"
    assert "3 words" in reasons["14"]
    assert "machine_measurements.csv" in reasons["16"]


def test_a_study_that_changes_patients_between_the_tables_is_left_out(
    tmp_path: Path,
) -> None:
    root = write_tree(tmp_path, [("1", "11", ["sinus rhythm normal ecg"])])
    table = root / "machine_measurements.csv"
    table.write_text(table.read_text().replace("\n1,11", "\n2,11"))
    rows = mimic.read_rows(root)
    assert len(rows) == 0
    assert "subject_id is 1" in left_out(rows)["reason"][0]


def test_no_subject_is_on_both_sides_and_small_trees_have_a_validation_side(
    tmp_path: Path,
) -> None:
    studies = [
        (f"{10_000_000 + i % 7}", f"{i + 100}", ["sinus rhythm", f"rate is {i}"])
        for i in range(30)
    ]
    rows = mimic.read_rows(write_tree(tmp_path, studies))
    sides = rows.groupby("subject_id")["split"].nunique()
    assert sides.max() == 1
    assert set(rows["split"]) == {"train", "val"}


def test_distinct_texts_are_counted(tmp_path: Path) -> None:
    studies = [
        ("1", "11", ["Sinus rhythm", "Normal ECG"]),
        ("2", "12", ["sinus  rhythm.", "normal EKG"]),
        ("3", "13", ["Atrial flutter", "abnormal ECG"]),
    ]
    rows = mimic.read_rows(write_tree(tmp_path, studies))
    counts = mimic.distinct_texts(rows)
    assert counts == {"records": 3, "distinct": 2, "share": 2 / 3, "most_common": 2}


def test_equal_statements_and_reports_are_held_in_memory_once(tmp_path: Path) -> None:
    """At 800,000 records a copy per record would take more than a gigabyte."""
    studies = [(str(i), str(i), ["Sinus rhythm", "Normal ECG"]) for i in range(3)]
    studies.append(("9", "9", ["Sinus rhythm", "Left axis deviation"]))
    rows = mimic.read_rows(write_tree(tmp_path, studies))
    assert rows["text"][0] is rows["text"][2]
    assert rows["statements"][0] is rows["statements"][2]
    assert rows["statements"][0][0] is rows["statements"][3][0]


def test_limit_and_only_ids_take_a_part(tmp_path: Path) -> None:
    studies = [(str(i), str(i), ["sinus rhythm normal ecg"]) for i in range(10)]
    root = write_tree(tmp_path, studies)
    assert mimic.read_rows(root, limit=3)["record_id"].to_list() == ["0", "1", "2"]
    assert mimic.read_rows(root, only_ids=["7", "x"])["record_id"].to_list() == ["7"]


def test_a_missing_table_or_column_and_a_repeated_study_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(StoreError, match=r"record_list\.csv does not exist"):
        mimic.read_rows(tmp_path)
    root = write_tree(tmp_path, [("1", "11", ["sinus rhythm normal ecg"])] * 2)
    with pytest.raises(StoreError, match="study_id 11 more than once"):
        mimic.read_rows(root)
    table = root / "machine_measurements.csv"
    write_tree(tmp_path, [("1", "11", ["sinus rhythm normal ecg"])])
    table.write_text(table.read_text().replace("report_0", "text_0"))
    with pytest.raises(StoreError, match="no column report_0"):
        mimic.read_rows(root)
