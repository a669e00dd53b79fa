"""Tables of a chapter say what their rows of results say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mccgaa_book import paper
from mccgaa_book.noise import noise_floor, printed_floor
from mccgaa_book.results import load
from mccgaa_book.rows import (
    MEMBERS,
    against,
    beyond,
    both_ways,
    macro,
    macros,
    means,
    of_both_kinds,
)

ROOT = Path(__file__).resolve().parents[2]
CALLED = {"bipartite": "full", "no-gat": "w/o GAT", "clip": "CLIP", "absent": "x"}


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two tasks, five seeds; without GAT 4 points less on `sub`, as noisy elsewhere."""
    rng = np.random.default_rng(0)
    rows = []
    for variant, drop in (("bipartite", 0), ("no-gat", 4), ("clip", 0)):
        for seed in range(5):
            for task, level in (("sub", 70), ("form", 60)):
                value = level + rng.normal(0, 0.3) - drop * (task == "sub")
                rows.append((variant, str(seed), "test", task, "", "auroc", value))
    rows.append(("bipartite", "0", "val", "sub", "", "auroc", 1.0))
    rows.append(("bipartite", "0", "test", "sub", "NORM", "auroc", 1.0))
    rows.append(("bipartite", "0", "test", "sub", "", "auroc_1", 1.0))
    rows.append(("", "", "test", "sub", "", "auroc", 1.0))
    columns = ["variant", "seed", "split", "task", "class", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_only_macro_rows_of_the_test_split_and_one_metric_are_taken(frame):
    assert len(macro(frame)) == 30 and macro(frame)["value"].min() > 50
    one = macro(frame, "auroc_1")
    assert one["value"].tolist() == [1.0] and one["metric"].tolist() == ["auroc"]


def test_means_are_written_with_their_spread_row_by_row(frame):
    table = means(macro(frame), CALLED)
    assert list(table.index) == ["full", "w/o GAT", "CLIP"]
    assert list(table) == ["sub", "form", "mean", "seeds"]
    values = macro(frame).query("variant == 'no-gat' and task == 'sub'")["value"]
    mean, sd = table.loc["w/o GAT", "sub"].replace("\N{NO-BREAK SPACE}", "").split("±")
    assert float(mean) == pytest.approx(values.mean(), abs=0.05)
    assert float(sd) == pytest.approx(values.std(), abs=0.05)
    assert table.loc["full", "seeds"] == 5


def test_both_kinds_of_ecgs_stand_in_one_table_with_their_own_numbers(monkeypatch):
    monkeypatch.chdir(ROOT)
    table = of_both_kinds("zeroshot")
    assert list(dict.fromkeys(table.index.get_level_values("ECGs"))) == [
        "real",
        "simulated",
    ]
    for kind, profile in (("real", "real"), ("simulated", "synthetic")):
        frame = load("zeroshot", profile, ROOT / "results" / profile).frame
        of = (frame["class"] == "") & (frame["split"] == "test")
        of &= (frame["variant"] == "merl") & (frame["metric"] == "auroc")
        mean = frame[of].groupby("task")["value"].mean()
        row = table.loc[(kind, "MERL-style")]
        for task, value in mean.items():
            assert row[task].startswith(f"{value:.1f}")
        assert row["mean"].startswith(f"{mean.mean():.1f}")
    assert pd.isna(table.loc[("real", "MERL-style"), "csn"])


def test_where_nothing_is_published_the_table_is_empty(monkeypatch, tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert of_both_kinds("zeroshot").empty


def test_differences_stand_beside_the_noise_floor_and_say_whether_they_exceed_it(frame):
    rows = macro(frame)
    table = against(rows, CALLED, "bipartite", noise_floor(rows))
    assert {label for label, _ in table.index} == {"w/o GAT", "CLIP"}
    sub = table.loc[("w/o GAT", "sub")]
    assert sub["difference"] == pytest.approx(-4, abs=0.6) and sub["beyond it"] == "yes"
    assert sub["low"] < sub["difference"] < sub["high"] < 0
    assert sub["noise floor"] == pytest.approx(noise_floor(rows).at(5)["sub"])
    assert table.loc[("w/o GAT", "form"), "beyond it"] == "no"
    assert (table.loc["CLIP", "beyond it"] == "no").all()
    said = beyond(table)
    assert "w/o GAT on sub (-" in said and "w/o GAT in the mean (-" in said
    assert "CLIP" not in said
    nothing = against(rows, CALLED, "bipartite", noise_floor(rows.head(10)))
    assert set(nothing["beyond it"]) == {"unknown"} and beyond(nothing) == "none"


def test_no_difference_of_the_papers_table_4_exceeds_its_own_noise():
    table = paper.table(4)
    floor = printed_floor(table)
    same = (table.loc["MCGAA"] - table.loc["w/o log-sum-exp"]).astype(float)
    assert len(same) == 6 and floor == pytest.approx(2.446912 * (same**2).mean() ** 0.5)
    for design in ("w/o GAT", "w/o CAM"):
        assert ((table.loc["MCGAA"] - table.loc[design]).abs() < floor).all()


@pytest.fixture
def both() -> pd.DataFrame:
    """One variant on both kinds of ECGs, two tasks and seeds, scored in two ways."""
    rows = [
        (
            "a",
            seed,
            "test",
            task,
            "",
            metric,
            kind,
            value + int(seed) + 10 * (task == "y"),
        )
        for kind, base in (("real", 60.0), ("synthetic", 80.0))
        for metric, value in (("auroc", base), (MEMBERS, base + 2))
        for seed in "01"
        for task in "xy"
    ]
    names = [
        "variant",
        "seed",
        "split",
        "task",
        "class",
        "metric",
        "tested_on",
        "value",
    ]
    return pd.DataFrame(rows, columns=names)


def test_macros_are_of_one_kind_of_ecgs_and_one_way_to_score(both):
    assert macros(both, "real")["value"].tolist() == [60, 70, 61, 71]
    through = macros(both, "synthetic", MEMBERS)
    assert through["value"].tolist() == [82, 92, 83, 93]
    assert set(through["metric"]) == {"auroc"}


def test_a_model_has_its_mean_over_tasks_by_either_way(both):
    table = both_ways(both, "real", {"absent": "x", "a": "A"})
    assert table.index.tolist() == ["A"] and table.index.name == "variant"
    expected = {"one text": 65.5, "SD, one text": 0.5**0.5, "members": 67.5}
    expected |= {"SD, members": 0.5**0.5, "seeds": 2}
    assert table.loc["A"].to_dict() == pytest.approx(expected)
    assert list(table) == list(expected)
