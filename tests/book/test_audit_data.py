"""The claims about the data: Table 1, imbalance, Chapman's labels, equal texts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mccgaa.data import csn
from mccgaa_book.audit import chapman, data


def records(task: str, labels: list[list[str] | None]) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "record_id": [str(i) for i in range(n)],
            "subject_id": [str(i // 2) for i in range(n)],
            "split": (["train"] * 6 + ["val", "test"] * n)[:n],
            task: pd.Series(labels, dtype=object),
        }
    )


def test_classes_are_counted_among_the_tasks_own_records() -> None:
    frame = records("super", [["NORM"], ["MI", "CD"], None, ["NORM"], ["MI"]])
    counts = data.class_counts(frame, "super")
    assert counts["records"].to_dict() == {
        "NORM": 2,
        "MI": 2,
        "CD": 1,
        "STTC": 0,
        "HYP": 0,
    }
    assert counts.loc["NORM", "share"] == 0.5


def test_table_1_has_the_papers_rows_beside_ours() -> None:
    ptb = records("super", [["NORM"]] * 8 + [["MI"]] * 2)
    for task in ("sub", "form", "rhythm"):
        ptb[task] = [None] * 9 + [["SR"]]
    table = data.table1({"ptbxl": ptb})
    assert list(table.index) == [row[0] for row in data.ROWS]
    row = table.loc["PTBXL-Super"]
    assert (row["records"], row["classes"], row["subjects"]) == (10, 2, 5)
    assert (row["train"], row["val"], row["test"]) == (6, 2, 2)
    assert (row["records (paper)"], row["classes (paper)"]) == (21_388, 5)
    assert table.loc["PTBXL-Rhythm", "records"] == 1
    assert pd.isna(table.loc["Chapman", "records"])
    assert table.loc["Chapman", "records (paper)"] == 23_026


def test_windows_of_a_record_count_once_in_table_1() -> None:
    frame = records("cpsc2018", [["AFIB"]] * 4)
    frame["group"] = ["a", "a", "b", "b"]
    assert data.table1({"cpsc2018": frame}).loc["CPSC2018", "records"] == 2


def test_a_subject_on_two_sides_is_counted() -> None:
    frame = records("super", [["NORM"]] * 8)
    assert data.shared_subjects(frame) == 1
    frame["split"] = ["train"] * 6 + ["test"] * 2
    assert data.shared_subjects(frame) == 0


def test_imbalance_names_rare_and_common_classes() -> None:
    labels = [["NORM"]] * 180 + [["MI"]] * 19 + [["HYP"]]
    found = data.imbalance(data.class_counts(records("super", labels), "super"))
    assert (found.classes, found.rare) == (5, 3)
    assert (found.commonest, found.commonest_share) == ("NORM", 0.9)
    assert found.rarest_share == 0
    assert found.top_five == 1


def test_the_printed_claims_are_judged_by_public_counts() -> None:
    claims = data.imbalance_claims()
    assert claims["holds"].to_list() == [False, True, False, True, False, False]
    said = " ".join(claims["public"])
    assert "the rarest is STE with 3.2%" in said
    assert "AFLT is 0.35% (73 records)" in said
    assert "6 of 12 are" in said
    assert "17 in the table" in said


def test_the_public_counts_fit_table_1() -> None:
    """CPSC2018: 6,877 records of one to three labels. PTB-XL: rhythms beside SR."""
    assert set(data.PUBLIC["cpsc2018"]) == set(data.CLASSES["cpsc2018"])
    assert 6877 < sum(data.PUBLIC["cpsc2018"].values()) < 6877 * 1.2
    assert set(data.PUBLIC["rhythm"]) == set(data.CLASSES["rhythm"]) - {"SR"}


def test_the_fault_is_explained_by_the_acronyms_alone() -> None:
    acronyms = ["1AVB", "2AVB", "2AVB1", "AVB", "VB", "AF", "AFIB", "SR", "LVQRSAL"]
    causes = chapman.substring_causes(acronyms)["also set by"].to_dict()
    assert causes == {
        "2AVB": "2AVB1",
        "VB": "1AVB, 2AVB, 2AVB1, AVB",
        "SA": "LVQRSAL",
        "AF": "AFIB",
        "AVB": "1AVB, 2AVB, 2AVB1",
    }


def test_the_fault_is_counted_by_class_and_by_row() -> None:
    fault = chapman.label_fault(
        [["SR"], ["SB", "1AVB"], ["AFIB"], ["AF"], ["SB"], ["LVQRSAL"]]
    )
    assert (fault.rows, fault.wrong_rows) == (5, 3)
    assert fault.classes.loc["VB"].to_list() == [0, 1, 1]
    assert fault.classes.loc["AF"].to_list() == [1, 2, 1]
    assert fault.classes.loc["SR"].to_list() == [1, 1, 0]
    assert set(fault.classes.index) == set(csn.CLASSES)
    assert (fault.classes["wrong"] >= 0).all()


def test_the_shared_tables_fault_has_a_cause_for_every_class(real_data: object) -> None:
    names = csn.read_conditions(real_data / "csn-sample" / csn.NAMES)  # type: ignore
    causes = chapman.substring_causes(names.values())
    shared = chapman.shared_fault()
    assert set(shared.index) == set(causes.index)
    assert shared["wrong"].sum() == sum(p - e for p, e in chapman.SHARED_FAULT.values())


def test_chapmans_split_was_drawn_from_the_larger_table() -> None:
    table = chapman.split_of_rows((23_026, 26_118, 31_961, 34_547, 45_152))
    assert table["found"].idxmax() == 31_961
    assert table.loc[31_961, "found"] == len(chapman.SHARED_TEST) == 54
    assert table["found"].drop(31_961).max() < 45
    sizes = table[["train", "val", "test"]]
    assert sizes.loc[31_961].to_list() == [23_011, 2557, 6393]
    shared = pd.Series({"train": 16_546, "val": 1860, "test": 4620})
    assert sizes.loc[23_026].to_list() != shared.to_list()
    kept = shared / sizes.loc[31_961]
    assert kept.to_numpy() == pytest.approx(table.loc[31_961, "kept"], abs=0.01)


def test_real_datasets_are_found_by_their_files(
    real_data: Path, tmp_path: Path
) -> None:
    found = data.present(real_data)
    assert {name: len(rows) for name, rows in found.items()} == {
        "cpsc2018": 10,
        "csn": 15,
        "ptbxl": 2298,
    }
    table = data.table1(found)
    assert table.loc["PTBXL-Super", "records"] == 2286
    assert table.loc["PTBXL-Rhythm", "records"] == 2219
    assert data.present(tmp_path / "absent") == {}


def test_synthetic_folders_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "csn"
    root.mkdir()
    (root / csn.NAMES).write_text("Acronym Name,Snomed_CT\nSR,426783006\n")
    (root / "SYNTHETIC").touch()
    assert data.present(tmp_path) == {}
