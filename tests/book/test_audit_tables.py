"""The book's arithmetic on the printed tables, against the print and the text."""

import itertools

import pandas as pd
import pytest

from mccgaa_book import paper
from mccgaa_book.audit import tables
from mccgaa_book.audit.claims import claims


def test_the_gain_over_merl_is_that_of_table_2_and_not_the_printed_one():
    gains = tables.gains()
    assert gains.loc["mean", "gain"] == pytest.approx(2.39, abs=0.005)  # print: 2.37
    assert gains.loc["PTBXL-Rhythm", "gain"] == pytest.approx(84.01 - 78.56)
    assert gains.loc["PTBXL-Rhythm", "gain of Table 4"] == pytest.approx(6.03)


def test_one_model_has_three_sets_of_values():
    table = tables.one_model().drop(index="Table 2, ±")
    rows = {tuple(row.round(2)) for _, row in table[tables.TASKS].iterrows()}
    assert len(rows) == 3  # Tables 4 and 5 agree
    assert table.loc["Table 4"].equals(table.loc["Table 5"])
    differ = table.columns[(table.loc["Table 6"] - table.loc["Table 4"]).abs() > 0.005]
    assert set(differ) - {"mean"} == {"PTBXL-Super", "PTBXL-Rhythm", "Chapman"}


def test_the_single_run_lies_above_its_mean_on_every_task():
    excess = tables.excess()
    assert (excess > 0).all()
    assert excess["PTBXL-Rhythm"] == pytest.approx(0.58 / 0.68)


def test_the_full_model_loses_super_sub_and_form_to_an_ablation():
    change = tables.against(4, "MCGAA")
    risen = {(row, task) for row, task in change.stack()[lambda v: v > 0].index}
    assert risen == {
        ("w/o GAT", "PTBXL-Sub"),
        ("w/o GAT", "PTBXL-Super"),
        ("w/o log-sum-exp", "PTBXL-Form"),
        ("w/o CAM", "PTBXL-Super"),
    }
    assert change.loc["w/o GAT", "PTBXL-Super"] == pytest.approx(78.71 - 75.75)
    assert (change["mean"] < 0).all()


def test_depth_helps_sub_and_super_but_not_form():
    change = tables.against(5, "1D-ResNet18")[tables.TASKS].max()
    assert set(change.index[change > 0]) == {"PTBXL-Sub", "PTBXL-Super"}


def test_printed_averages_are_those_of_their_rows_and_columns():
    table = tables.averages()
    assert len(table) == 6 * 3 + 4 * 2
    assert (table["printed"] - table["recomputed"]).abs().max() < 0.0051


def test_the_average_row_of_table_4_mixes_the_model_with_its_ablations():
    over_ablations = paper.table(4).drop(index=["MCGAA", "avg AUC"]).mean()
    printed = paper.table(4).loc["avg AUC"]
    assert (over_ablations - printed).abs().max() > 0.5


def test_the_smallest_graph_has_the_best_mean_of_table_6():
    means = tables.task_scores(6).mean(axis=1)
    assert means.idxmax() == "(32, 16)"
    assert means.max() == pytest.approx(78.00, abs=0.005)
    assert means["(64, 32)"] == pytest.approx(77.945)


def test_bold_and_underline_are_wrong_in_three_cells():
    wrong = tables.wrong_marks().set_index(["table", "column", "row"])["should be"]
    assert wrong.to_dict() == {
        (3, "PTBXL-Rhythm 1%", "MCCGAA"): "bold",
        (3, "PTBXL-Sub 100%", "MCCGAA"): "bold",
        (4, "CPSC2018", "w/o CAM"): "underlined",
    }


def test_table_3_prints_form_at_10_percent_again_as_sub():
    pairs = tables.repeats().set_index(["first", "second"])
    assert pairs.loc[("PTBXL-Form 10%", "PTBXL-Sub 10%"), "rows"] == 10
    for share in ("10%", "100%"):
        one = pairs.loc[(f"Chapman {share}", f"PTBXL-Super {share}")]
        assert (one["rows"], one["which"]) == (1, "ST-MEM")


def test_the_n_rows_of_table_2_are_the_one_percent_columns_of_table_3():
    table = tables.non_zero_shot_rows()
    assert (table.loc[table["zero-shot"] == "N", "equal"] == 6).all()
    assert (table["zero-shot"] == "N").sum() == 10
    assert (table.loc[["MERL", "MCCGAA"], "equal"] == 0).all()


def test_mccgaa_is_below_merl_in_six_of_eighteen_cells():
    below = tables.below_merl()
    assert len(below) == 6
    assert below.loc["CPSC2018 10%", "difference"] == pytest.approx(-4.03)


def test_the_three_ratios_of_section_4_6_fit_128_dimensions_and_not_256():
    ratios = tables.graph_widths()
    assert {0.25, 0.5, 2.0} <= set(ratios["M = 128"])
    assert not {0.25, 0.5, 2.0} <= set(ratios["M = 256"])


def test_super_is_the_second_largest_dataset():
    sizes = tables.samples_against_score()["records"]
    assert (sizes > sizes["PTBXL-Super"]).sum() == 1
    assert sizes["PTBXL-Super"] == 21_388


def test_the_field_has_a_better_system_on_the_three_tasks_that_both_publish():
    field = tables.field()
    assert field.loc["MCCGAA (2026)", "mean"] == pytest.approx(77.67, abs=0.005)
    three = field["mean of three"]
    assert three["TAMER (CVPR 2026)"] > three["MCCGAA (2026)"]
    assert field["PTBXL-Rhythm"].idxmax() == "D-BETA (ICML 2025)"


def test_published_means_agree_with_their_own_columns():
    field = tables.field()
    means = field[tables.TASKS].mean(axis=1, skipna=False)
    assert (means - field["mean"]).abs().max() < 0.06


def test_each_claim_of_the_text_is_judged_by_the_tables():
    judged = {one.sentence: one.verdict for one in claims()}
    assert len(judged) == 28
    assert {said for said, verdict in judged.items() if verdict == "confirmed"} == {
        "MCCGAA is above MERL on all six datasets",
        "the gain is largest on Rhythm",
        "good results on most datasets",
        "every component helps in the mean over tasks",
        "on Super the graph may slightly hurt (78.71 without, 75.75 with it)",
        "without CAM the largest drop is on Rhythm",
        "ResNet18 has the highest average",
        "half of M, (64, 32), is relatively good (it is the model's size)",
        "the printed averages are those of their rows and columns",
    }
    untold = {
        said for said, verdict in judged.items() if verdict == "cannot be decided"
    }
    assert untold == {"the encoder is frozen and only a linear head is trained"}


def test_columns_that_agree_are_counted_beside_the_one_that_is_repeated():
    table = paper.table(3).select_dtypes("number")
    agree = [
        int((table[one] == table[two]).sum())
        for one, two in itertools.combinations(table.columns, 2)
    ]
    agree = sorted(number for number in agree if number)
    (told,) = [
        c for c in claims() if c.sentence == "each column is a dataset of its own"
    ]
    rest = agree[:-1]
    said = f"{len(rest)} other pairs of columns agree in {rest[0]} to {rest[-1]}"
    assert f"in {agree[-1]} rows; {said}" in told.numbers


def test_a_claim_would_hold_if_the_tables_said_so(monkeypatch):
    def repaired(number: int, folder: object = None) -> pd.DataFrame:
        table = real(number)
        if number == 5:
            table.loc["1D-ResNet34", "PTBXL-Form"] = 70.0
        return table

    real = paper.table
    monkeypatch.setattr(paper, "table", repaired)
    judged = {one.sentence: one.holds for one in claims()}
    assert judged["depth helps some datasets, such as Form and Super"] is True
