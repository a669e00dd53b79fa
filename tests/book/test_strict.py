"""Groups of classes that pretraining never met, beside runs that met them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from mccgaa.settings import dump_yaml, load_yaml
from mccgaa_book import plan, results, strict
from mccgaa_book.lab import Lab


def test_a_group_is_the_mean_over_its_classes_and_runs_that_met_them():
    names = ["variant", "seed", "split", "task", "class", "metric", "value"]
    never = pd.DataFrame(
        [
            ("a", "0", "test", "t", "X", "auroc_unseen", 60.0),
            ("a", "0", "test", "u", "X", "auroc_unseen", 50.0),
            ("a", "0", "test", "t", "W", "auroc_unseen", 85.0),
            ("b", "0", "test", "t", "X", "auroc_unseen", 80.0),
            ("b", "0", "test", "u", "X", "auroc_unseen", 90.0),
            ("a", "1", "test", "t", "Y", "auroc_unseen", 40.0),
            ("b", "1", "test", "t", "Y", "auroc_unseen", 45.0),
            ("a", "0", "train", "", "", "records", 100.0),
            ("b", "0", "train", "", "", "records", 98.0),
            ("a", "1", "train", "", "", "records", 7.0),
            ("b", "1", "train", "", "", "records", 7.0),
        ],
        columns=names,
    )
    usual = pd.DataFrame(
        [
            ("a", "0", "test", "t", "X", "auroc", 70.0),
            ("a", "1", "test", "t", "X", "auroc", 90.0),
            ("a", "0", "test", "t", "W", "auroc", 25.0),
            ("a", "0", "test", "u", "X", "auroc", 60.0),
            ("a", "0", "test", "t", "Y", "auroc", 75.0),
            ("a", "0", "val", "t", "Y", "auroc", 0.0),
            ("a", "0", "test", "t", "Z", "auroc", 0.0),
            ("a", "0", "test", "t", "Y", "auroc_members", 0.0),
        ],
        columns=names,
    )
    found = strict.by_group(never, usual)
    assert found["never"].to_dict("list") == {"a": [65.0, 40.0], "b": [85.0, 45.0]}
    assert found["met"]["a"].tolist() == [55.0, 75.0] and found["met"]["b"].isna().all()
    assert found["classes"].tolist() == [3, 1]
    assert found["records"].tolist() == [100, 7]
    assert found.index.tolist() == ["0", "1"]
    partly = strict.by_group(never, usual[usual["class"] != usual["class"].iloc[0]])
    assert partly["never"].equals(found["never"])
    assert partly["met"]["a"].isna().sum() == 1, "means over other classes, compared"


def test_the_interval_over_groups_is_students():
    found = results.mean_row(pd.Series([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert found["difference"] == 3 and found["seeds"] == 5
    few = results.mean_row(pd.Series([1.0, 2.0, 3.0, math.nan, math.nan]))
    pd.testing.assert_series_equal(few, results.mean_row(pd.Series([1.0, 2.0, 3.0])))
    half = 2.7764451 * (2.5 / 5) ** 0.5  # the table's quantile for 4 degrees of freedom
    assert [found["low"], found["high"]] == pytest.approx([3 - half, 3 + half])


def test_a_group_of_no_tested_class_has_no_row(project, monkeypatch):
    monkeypatch.setattr(strict, "group_of", lambda lab, seed: [])
    frame = strict.unseen(Lab("small"), ["bipartite"], [0])
    assert frame["metric"].tolist() == ["records"]


def test_a_plan_counts_no_usual_run_as_one_without_classes(project):
    path = project / "params" / "small.yaml"
    profile = load_yaml(path)
    own = profile["stores"]["ptbxl"]
    second = own | {"out": "stores/second"}
    stores = {"pretrain": own, "ptbxl": own, "second": second}
    tasks = {"super": "ptbxl", "form": "second"}
    dump_yaml(profile | {"stores": stores, "tasks": tasks}, path)
    lab = Lab("small")
    lab.run("bipartite", 0)
    wanted = {"unseen": (["bipartite"], [0, 1]), "zeroshot": (["bipartite"], [0, 1])}
    for _ in range(2):  # before the second store is packed, and after
        first, second, _ = plan.plan(lab, wanted).splitlines()
        assert "missing bipartite 0 1" in first and "missing bipartite 1" in second
        lab.store("second")
