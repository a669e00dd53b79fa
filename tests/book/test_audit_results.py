"""Summaries of zero-shot scores, against hand-made tables and independent formulas."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from mccgaa.metrics import TaskResult, evaluate
from mccgaa_book.audit import results


def compared(seeds, difference=2.0, low=1.0, high=3.0):
    """A table as `results.paired` gives it, one row."""
    row = {"difference": difference, "sd": 1.0, "low": low, "high": high}
    return pd.DataFrame({"mean": {**row, "ahead": seeds, "seeds": seeds}}).T


def test_fewer_than_five_seeds_give_no_interval_and_no_verdict():
    for seeds in (0, 1, 2, 4):
        row = results.supported(compared(seeds)).loc["mean"]
        assert np.isnan(row["low"]) and np.isnan(row["high"]) and np.isnan(row["sd"])
        assert row["difference"] == 2
        assert "no verdict" in results.verdict(row)
        assert "no verdict" in results.verdict(compared(seeds).loc["mean"])


def test_five_seeds_give_a_verdict_by_the_interval():
    row = results.supported(compared(5)).loc["mean"]
    assert row["low"] == 1 and row["high"] == 3
    assert "excludes zero" in results.verdict(row)
    assert "includes zero" in results.verdict(compared(5, low=-1.0).loc["mean"])
    assert "excludes zero" in results.verdict(compared(5, -2, -3, -1).loc["mean"])


@pytest.fixture
def task():
    rng = np.random.default_rng(3)
    labels = (rng.random((120, 3)) < [0.4, 0.1, 0.0]).astype(int)
    good = labels + rng.normal(size=(120, 3))
    return labels, good, rng.normal(size=(120, 3))


def test_the_paired_bootstrap_compares_macro_aurocs(task):
    labels, good, noise = task
    exact, low, high = results.paired_bootstrap(labels, good, noise, resamples=200)
    expected = [
        roc_auc_score(labels[:, c], good[:, c])
        - roc_auc_score(labels[:, c], noise[:, c])
        for c in (0, 1)
    ]
    assert exact == pytest.approx(100 * np.mean(expected))
    assert low < exact < high
    assert results.paired_bootstrap(labels, good, good, resamples=20) == (0, 0, 0)


@pytest.mark.parametrize("groups", [None, "people"])
def test_the_paired_bootstrap_weighs_the_records_of_a_subject_together(task, groups):
    """Against scores that are all equal, a macro AUROC of 50: the one of `evaluate`."""
    labels, good, _ = task
    if groups:
        groups = [None, *np.arange(119) // 4]  # the first record is of nobody known
    found = results.paired_bootstrap(
        labels, good, np.zeros_like(good), groups=groups, resamples=100
    )
    alone = evaluate(labels, good, ["a", "b", "c"], groups=groups, bootstrap=100)
    expected = 100 * (np.array([alone.macro_auroc, *alone.ci95]) - 0.5)
    assert found == pytest.approx(tuple(expected))


def test_a_class_with_one_positive_is_part_of_every_resample():
    labels = np.zeros((40, 2), dtype=int)
    labels[:20, 0] = labels[0, 1] = 1
    better = labels * [[1.0, 2.0]]
    worse = labels * [[1.0, -2.0]]  # wrong on the rare class in every resample
    found = results.paired_bootstrap(labels, better, worse, resamples=50)
    assert found == pytest.approx((50, 50, 50))


def test_a_task_without_scorable_classes_has_no_difference(task):
    labels, good, noise = (part[:, 2:] for part in task)
    assert np.isnan(results.paired_bootstrap(labels, good, noise, resamples=5)).all()


class Store:
    """The two calls that `by_class` makes of a store."""

    def __init__(self, labels, classes):
        self.table, self.names = labels, classes

    def indices(self, split=None, task=None):
        return np.arange(len(self.table))

    def labels(self, task, index):
        return self.table[index], self.names


def test_classes_are_listed_with_their_share_and_rare_ones_marked(task):
    labels, good, _ = task
    found = evaluate(labels, good, ["many", "some", "none"], bootstrap=50)
    everything = np.zeros((1000, 3), dtype=int)
    everything[:400, 0] = 1
    everything[:9, 1] = 1
    store = Store(everything, ["many", "some", "none"])
    table = results.by_class({"t": found}, {"t": store}).set_index("class")
    assert list(table.index) == ["many", "some"]  # "none" cannot be scored
    assert table.loc["some", "share"] == pytest.approx(0.009)
    assert list(table["rare"]) == [False, True]
    assert table.loc["many", "auroc"] == pytest.approx(
        100 * roc_auc_score(labels[:, 0], good[:, 0])
    )
    assert table.loc["some", "positives"] == labels[:, 1].sum()
    assert table.loc["some", "low"] < table.loc["some", "auroc"]
    ends = found.classes["some"]["ci95"]
    assert table.loc["some", "width"] == pytest.approx(100 * (ends[1] - ends[0]))
    assert isinstance(found, TaskResult)


def test_rare_and_common_classes_are_summarised_apart():
    table = pd.DataFrame(
        {
            "rare": [True, True, False],
            "positives": [1, 3, 50],
            "auroc": [60.0, 80.0, 90.0],
            "low": [20.0, 70.0, 85.0],
            "high": [90.0, 90.0, 95.0],
            "width": [4.0, 6.0, 8.0],
        }
    )
    found = results.by_frequency(table)
    assert found.loc["below 1 %", "auroc"] == 70
    assert found.loc["below 1 %", "score interval"] == 45
    assert found.loc["below 1 %", "bootstrap"] == 5
    assert found.loc["below 1 %", "undecided"] == 0.5
    assert found.loc["1 % and more", "classes"] == 1


def test_the_standard_error_is_exact_for_exponential_scores():
    rng = np.random.default_rng(0)  # the case from which the formula was derived
    positive = rng.exponential(3.0, (2000, 12, 1))
    negative = rng.exponential(1.0, (2000, 1, 60))
    areas = (positive > negative).mean(axis=(1, 2))
    error = results.standard_error(3 / 4, 12, 60)
    assert error == pytest.approx(areas.std(), rel=0.05)


@pytest.mark.parametrize("positives", [1, 2, 12])
def test_the_score_interval_covers_the_truth_where_the_bootstrap_does_not(positives):
    rng = np.random.default_rng(4)
    labels = np.repeat([1, 0], [positives, 100])
    hits = {"score": 0, "bootstrap": 0}
    for _ in range(200):
        scores = rng.exponential(np.where(labels == 1, 3.0, 1.0))  # true area 3/4
        one = evaluate(labels[:, None], scores[:, None], ["c"], bootstrap=100)
        area, drawn = one.macro_auroc, one.classes["c"]["ci95"]
        low, high = results.score_interval(area, positives, 100)
        hits["score"] += low <= 0.75 <= high
        hits["bootstrap"] += drawn[0] <= 0.75 <= drawn[1]
    assert hits["score"] >= 0.9 * 200
    if positives == 1:
        assert hits["bootstrap"] < 0.5 * 200


def test_a_perfect_score_with_one_positive_is_no_certainty():
    low, high = results.score_interval(1.0, 1, 250)
    assert high == 1 and low < 0.6


def test_the_threshold_is_the_highest_point_of_the_roc_curve_over_its_diagonal(task):
    labels, good, _ = task
    fpr, tpr, thresholds = roc_curve(labels[:, 0], good[:, 0])
    best = thresholds[(tpr - fpr).argmax()]
    assert results.youden_threshold(labels[:, 0], good[:, 0]) == best


def test_a_threshold_needs_both_kinds_of_label():
    with pytest.raises(ValueError, match="Positive and negative"):
        results.youden_threshold([0, 0], [0.1, 0.2])
