"""The printed tables: shapes, values spot-checked against the paper's text, marks."""

import pytest

from mccgaa.companion import paper
from mccgaa.errors import BookError

SHAPES = {1: (7, 4), 2: (13, 7), 3: (12, 18), 4: (5, 6), 5: (5, 7), 6: (5, 7)}


@pytest.mark.parametrize("number", SHAPES)
def test_every_table_has_the_rows_and_columns_of_the_print(number):
    assert paper.printed(number).shape == SHAPES[number]


def test_counts_and_scores_come_as_numbers():
    counts = paper.table(1)["Samples"]
    assert counts["MIMIC-ECG"] == 771_693
    assert counts.dtype.kind == "i"
    scores = paper.table(2)
    assert scores.loc["MCCGAA", "PTBXL-Rhythm"] == 84.01
    assert scores.loc["MERL", "Chapman"] == 74.45
    assert paper.table(3).loc["MERL", "PTBXL-Sub 10%"] == 80.56


def test_the_spread_stands_only_behind_the_papers_own_row():
    spread = paper.spread(2)
    assert spread.loc["MCCGAA", "PTBXL-Rhythm"] == 0.68
    assert spread.drop(index="MCCGAA").isna().all(axis=None)


def test_marks_tell_what_was_set_bold_and_underlined():
    marks = paper.marks(6)
    assert marks.loc["(32, 16)", "Avg. AUC"] == "bold"
    assert marks.loc["(64, 32)", "Avg. AUC"] == "underlined"
    assert marks.loc["(128, 64)", "Avg. AUC"] == ""


def test_the_six_downstream_tasks_are_columns_of_table_2():
    assert set(paper.TASKS) <= set(paper.table(2).columns)
    assert len(set(paper.TASKS.values())) == 6


def test_the_printed_means_of_table_5_follow_from_its_columns():
    table = paper.table(5)
    means = table.drop(columns="Avg. AUC").mean(axis=1)
    assert (means - table["Avg. AUC"]).abs().max() < 0.02


def test_a_table_that_the_paper_lacks_is_refused_by_name(tmp_path):
    with pytest.raises(BookError, match=r"table7\.csv.*tables 1 to 6"):
        paper.table(7)
    with pytest.raises(BookError, match="book/_paper of a checkout"):
        paper.table(2, folder=tmp_path)
