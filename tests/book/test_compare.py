"""A rerun beside published results: what differs, by how much, and which verdicts."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from mccgaa.errors import BookError
from mccgaa_book import compare, results

STAMP = dict.fromkeys(results.STAMP, "") | {"synthetic": True, "profile": "five"}
STAMP |= {"profile_hash": "h", "method": 1, "device": "here"}


def frame(
    split: str = "test", task: str = "super", **values: dict[int, float]
) -> pd.DataFrame:
    """Macro AUROC of each variant, by seed."""
    rows = [
        (variant, str(seed), split, task, "", "auroc", value)
        for variant, by_seed in values.items()
        for seed, value in by_seed.items()
    ]
    return pd.DataFrame(rows, columns=[*results.COLUMNS, "value"])


PUBLISHED = frame(
    a={0: 70.0, 1: 72.0, 2: 74.0}, b={0: 60.0, 1: 62.5, 2: 63.5}, c={0: 70.5}
)


def test_a_number_is_compared_with_that_of_its_own_run_in_spreads_over_seeds():
    ours = frame(a={0: 73.0, 2: 73.0}, b={1: 62.5}, d={0: 1.0})
    found = compare.differences(ours, PUBLISHED).set_index(["variant", "seed"])
    assert set(found.index) == {("a", "0"), ("a", "2"), ("b", "1")}
    assert found["published"].to_dict() == {
        ("a", "0"): 70.0,
        ("a", "2"): 74.0,
        ("b", "1"): 62.5,
    }
    assert found["difference"].tolist() == [3.0, -1.0, 0.0]  # ours minus published
    assert found["spreads"].tolist() == [1.5, -0.5, 0.0]  # the deviation is 2


def test_a_seed_is_compared_with_a_mean_where_only_that_was_kept():
    kept = frame(a={"mean of 3": 70.0})
    spread = kept.assign(metric="auroc_sd", value=0.5)
    found = compare.differences(frame(a={4: 71.0}), pd.concat([kept, spread]))
    assert found[["published", "difference"]].to_numpy().tolist() == [[70.0, 1.0]]
    one = compare.differences(frame(c={0: 71.0}), PUBLISHED)
    assert one["difference"].item() == 0.5 and math.isnan(one["spreads"].item())


def test_a_verdict_names_who_is_ahead_and_whether_zero_is_outside_the_interval():
    found = compare.verdicts(PUBLISHED).loc[("a", "b", "super")]
    assert found["ahead"] == "a" and found["difference"] == pytest.approx(10)
    assert found["certain"] is True and found["seeds"] == 3
    close = frame(a={0: 70.0, 1: 71.0}, b={0: 71.0, 1: 70.5})
    found = compare.verdicts(close).loc[("a", "b", "super")]
    assert found["ahead"] == "b"
    assert found["certain"] is not None and not found["certain"]
    single = compare.verdicts(PUBLISHED).loc[("a", "c", "super")]
    assert single["ahead"] == "c" and single["certain"] is None
    val = frame("val", a={0: 1.0}, b={0: 2.0})
    classes = frame(a={0: 1.0}, b={0: 2.0}).assign(**{"class": "NORM"})
    assert compare.verdicts(pd.concat([val, classes])).empty


@pytest.fixture
def report(tmp_path, monkeypatch):
    """`report(ours, ...)`: what is said of a rerun of an experiment."""
    monkeypatch.setattr(compare, "checkout", lambda: tmp_path)
    monkeypatch.setattr(results, "checkout", lambda: tmp_path)
    profile = SimpleNamespace(load=lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(compare, "Profile", profile)

    def write(folder: Path, rows: pd.DataFrame, name: str, **stamp: object) -> None:
        results.save(rows, STAMP | stamp, name, folder)

    def made(ours: pd.DataFrame, name: str = "zeroshot", **stamp: object) -> str:
        write(tmp_path / "results" / "five", PUBLISHED, "zeroshot", device="there")
        write(tmp_path / "reruns" / "five", ours, name, **stamp)
        return compare.compare("five")

    return made


def test_a_rerun_with_other_settings_is_not_compared(report):
    for key in ("profile_hash", "method", "plan"):
        said = report(PUBLISHED, **{key: 9})
        assert f"NOT COMPARABLE: {key} is 9, published" in said
        assert "numbers beside" not in said


def test_the_report_lists_numbers_runs_that_are_missing_and_verdicts_that_hold(report):
    said = report(frame(a={0: 71.0, 1: 72.0}, b={0: 60.0, 1: 62.0}))
    assert "zeroshot: made on here, published from there" in said
    assert "4 numbers beside published ones; 4 with a known spread" in said
    assert "a 0 test super auroc: 71, published 70, +1 (+0.5 spreads)" in said
    assert "published, not rerun: a 2, b 2, c 0" in said
    assert "all 2 verdicts hold" in said and "CHANGED" not in said  # with the mean


def test_the_report_names_a_verdict_that_turned_and_one_that_became_uncertain(report):
    said = report(frame(a={0: 59.0, 1: 59.0}, b={0: 60.0, 1: 62.0}))
    assert "VERDICT CHANGED, a or b on super: b ahead by 2.00 (2 seeds" in said
    assert "published: a ahead by 10.00 (3 seeds, the interval excludes zero)" in said
    worse = PUBLISHED.assign(value=PUBLISHED["value"] - 20 * (PUBLISHED.variant == "a"))
    said = report(worse)
    assert "b ahead by 10.00 (3 seeds, the interval excludes zero); published" in said
    said = report(frame(a={0: 61.0, 1: 72.0}, b={0: 60.0, 1: 62.0}))
    assert "a ahead by 5.50 (2 seeds, the interval includes zero); published" in said
    far = report(frame(a={0: 77.0}, b={0: 60.0}))
    assert "1 of them more than 3 spreads away" in far
    assert "all 2 verdicts hold" in far  # one seed has no interval to differ by


def test_what_was_never_published_and_where_nothing_was_rerun_is_said(report):
    said = report(PUBLISHED, "table4")
    assert "table4: nothing is published to compare it with." in said
    with pytest.raises(BookError, match=r"holds no results .*zeroshot --profile six"):
        compare.compare("six")
