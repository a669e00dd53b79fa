"""PTB-XL's folder tree into rows with the labels of its four tasks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mccgaa.data import ptbxl
from mccgaa.errors import StoreError

IDS = Path(__file__).resolve().parents[2] / "params" / "real-ids.txt"

STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NDT,non-diagnostic T abnormalities,1.0,1.0,,STTC,STTC
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
ILMI,inferolateral myocardial infarction,1.0,,,MI,IMI
LVOLT,low QRS voltages,,1.0,,,
SR,sinus rhythm,,,1.0,,
AFIB,atrial fibrillation,,,1.0,,
"""
RECORDS = """\
ecg_id,patient_id,age,sex,report,scp_codes,strat_fold,filename_lr,filename_hr,device
1,15709.0,56.0,1,sinusrhythmus,"{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}",3,\
records100/00000/00001_lr,records500/00000/00001_hr,CS-12   E
2,13243.0,300,0,,"{'ILMI': 0.0, 'NDT': 35.0, 'IMI': 100.0}",9,\
records100/00000/00002_lr,records500/00000/00002_hr,
7,13243.0,,0, ,"{'AFIB': 0.0}",10,\
records100/00000/00007_lr,records500/00000/00007_hr,
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "scp_statements.csv").write_text(STATEMENTS)
    (tmp_path / "ptbxl_database.csv").write_text(RECORDS)
    return tmp_path


def test_a_statement_counts_whatever_its_likelihood(tree):
    rows = ptbxl.read_rows(tree)
    assert rows["statements"].tolist() == [
        ["NORM", "LVOLT", "SR"],
        ["ILMI", "NDT", "IMI"],
        ["AFIB"],
    ]
    assert rows["super"].tolist() == [["NORM"], ["STTC", "MI"], None]
    assert rows["sub"].tolist() == [["NORM"], ["STTC", "IMI"], None]
    assert rows["form"].tolist() == [["LVOLT"], ["NDT"], None]
    assert rows["rhythm"].tolist() == [["SR"], None, ["AFIB"]]


def test_the_tables_cells_become_rows(tree):
    rows = ptbxl.read_rows(tree)
    assert rows["record_id"].tolist() == ["1", "2", "7"]
    assert rows["path"][0] == "records500/00000/00001_hr"
    assert rows["subject_id"].tolist() == ["15709", "13243", "13243"]
    assert rows["text"].tolist() == ["sinusrhythmus", None, None]
    assert rows["split"].tolist() == ["train", "val", "test"]
    assert rows["fold"].tolist() == [3, 9, 10]
    assert rows["sex"].tolist() == ["Female", "Male", "Male"]
    assert rows["age"][0] == 56
    assert rows["age"].isna().tolist() == [False, True, True]
    assert rows["device"].tolist() == ["CS-12 E", None, None]


def test_both_rates_can_be_read(tree):
    assert ptbxl.read_rows(tree, file_rate=100)["path"][2].endswith("00007_lr")
    with pytest.raises(StoreError, match="not at 250 Hz"):
        ptbxl.read_rows(tree, file_rate=250)
    table = tree / "ptbxl_database.csv"
    table.write_text(table.read_text().replace("records100/00000/00002_lr", ""))
    with pytest.raises(StoreError, match=r"names no 100 Hz file .* 1 of 3 records"):
        ptbxl.read_rows(tree, file_rate=100)


def test_only_some_ids(tree, tmp_path):
    assert ptbxl.read_rows(tree, only_ids=[7, 1])["record_id"].tolist() == ["1", "7"]
    (tmp_path / "ids.txt").write_text("2\n7\n")
    rows = ptbxl.read_rows(tree, only_ids=tmp_path / "ids.txt")
    assert rows["record_id"].tolist() == ["2", "7"]
    with pytest.raises(StoreError, match=r"1 of 2 ids .* such as '8'"):
        ptbxl.read_rows(tree, only_ids=[8, 1])


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("ptbxl_database.csv", "strat_fold", "fold", "no column strat_fold"),
        ("ptbxl_database.csv", "{'AFIB': 0.0}", "AFIB", "scp_codes of ecg_id 7"),
        ("ptbxl_database.csv", "15709.0", "x", "patient_id is 'x'"),
        ("ptbxl_database.csv", "15709.0", "1.5", "patient_id is '1.5'"),
        ("ptbxl_database.csv", ",10,", ",inf,", "strat_fold is 'inf'"),
        ("ptbxl_database.csv", ",10,", ",0,", r"database\.csv .*record 7 into fold 0"),
        (
            "ptbxl_database.csv",
            ",10,",
            ",11,",
            r"database\.csv .*record 7 into fold 11",
        ),
        ("scp_statements.csv", "diagnostic_class", "class", "no column diagnostic_cl"),
        ("scp_statements.csv", "STTC,STTC", "STTC,NEW", "sub classes .*'NEW'"),
    ],
)
def test_tables_of_another_kind_are_refused(tree, file, old, new, expected):
    path = tree / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StoreError, match=expected):
        ptbxl.read_rows(tree)


@pytest.mark.parametrize("file", ["ptbxl_database.csv", "scp_statements.csv"])
def test_a_missing_table_is_named(tree, file):
    (tree / file).unlink()
    with pytest.raises(StoreError, match=f"{file} does not exist"):
        ptbxl.read_rows(tree)


def test_an_empty_folder_is_an_error_that_says_so(tmp_path):
    with pytest.raises(StoreError, match=r"ptbxl_database\.csv does not exist"):
        ptbxl.read_rows(tmp_path)


def test_the_real_subset_has_the_known_counts(real_data):
    root = real_data / "ptb-xl-subset"
    rows = ptbxl.read_rows(root, only_ids=IDS)
    assert len(rows) == 2298
    counts = {task: int(rows[task].notna().sum()) for task in ptbxl.TASKS}
    assert counts == {"super": 2286, "sub": 2286, "form": 751, "rhythm": 2219}
    assert rows["split"].value_counts().to_dict() == {
        "train": 1786,
        "val": 256,
        "test": 256,
    }
    assert rows.groupby("subject_id")["split"].nunique().max() == 1


def test_classes_are_in_the_order_of_scp_statements(real_data):
    table = pd.read_csv(real_data / "ptb-xl-subset" / "scp_statements.csv", index_col=0)
    diagnostic = table[table["diagnostic"] == 1]
    assert list(ptbxl.TASKS["super"]) == list(diagnostic["diagnostic_class"].unique())
    assert list(ptbxl.TASKS["sub"]) == list(diagnostic["diagnostic_subclass"].unique())
    assert list(ptbxl.TASKS["form"]) == list(table.index[table["form"] == 1])
    assert list(ptbxl.TASKS["rhythm"]) == list(table.index[table["rhythm"] == 1])


def test_the_committed_list_of_ids_is_whole():
    ids = [int(line) for line in IDS.read_text().split()]
    assert len(set(ids)) == len(ids) == 2298
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == (1, 21832)
