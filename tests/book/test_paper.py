"""The printed tables: shapes, values spot-checked against the paper's text, marks."""

import pytest

from mccgaa.errors import BookError
from mccgaa_book import paper

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


# What the book's audit page says of the printed tables, entry by entry.


def test_the_gains_named_in_the_text_are_not_those_of_table_2():
    table = paper.table(2)[list(paper.TASKS)]
    gain = table.loc["MCCGAA"] - table.loc["MERL"]
    assert gain["PTBXL-Rhythm"] == pytest.approx(5.45)
    assert gain.mean() == pytest.approx(2.39, abs=0.006)
    single = paper.table(4).loc["MCGAA", "PTBXL-Rhythm"]
    assert single - table.loc["MERL", "PTBXL-Rhythm"] == pytest.approx(6.03)


def test_the_rows_marked_n_repeat_the_one_percent_columns_of_table_3():
    two, three = paper.table(2), paper.table(3)
    rows = two.index[(two["Zero-Shot"] == "N") & (two.index != "Random Init")]
    for task in paper.TASKS:
        assert (two.loc[rows, task] == three.loc[rows, f"{task} 1%"]).all()


def test_three_ablations_beat_the_full_model_of_table_4_somewhere():
    table = paper.table(4)
    beaten = table.drop(index="avg AUC").gt(table.loc["MCGAA"])
    assert beaten.loc["w/o GAT", ["PTBXL-Super", "PTBXL-Sub"]].all()
    assert beaten.loc["w/o log-sum-exp", "PTBXL-Form"]
    assert beaten.loc["w/o CAM", "PTBXL-Super"]


def test_depth_helps_sub_and_super_not_form():
    table = paper.table(5).drop(index="avg AUC")
    best = table.drop(columns="Avg. AUC").idxmax()
    deeper = set(best.index[best != "1D-ResNet18"])
    assert deeper == {"PTBXL-Sub", "PTBXL-Super"}


def test_the_size_called_best_has_not_the_best_mean():
    means = paper.table(6)["Avg. AUC"]
    assert means["(32, 16)"] == 78.00 > means["(64, 32)"] == 77.95


def test_one_model_has_three_sets_of_values():
    sets = {
        tuple(paper.table(number).loc[row, list(paper.TASKS)])
        for number, row in (
            (2, "MCCGAA"),
            (4, "MCGAA"),
            (5, "1D-ResNet18"),
            (6, "(64, 32)"),
        )
    }
    assert len(sets) == 3


def test_a_column_of_table_3_stands_twice():
    table = paper.table(3).drop(index=["MERL", "MCCGAA"])
    assert (table["PTBXL-Sub 10%"] == table["PTBXL-Form 10%"]).all()
    assert len(table) == 10
