"""AUROC, its intervals and retrieval, against definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mccgaa.metrics import auroc, evaluate, retrieval


def naive_auroc(labels, scores):
    """Share of (positive, negative) pairs in the right order; a tie is half."""
    wins = pairs = 0.0
    for y_i, s_i in zip(labels, scores, strict=True):
        for y_j, s_j in zip(labels, scores, strict=True):
            if y_i == 1 and y_j == 0:
                pairs += 1
                wins += 1.0 if s_i > s_j else 0.5 if s_i == s_j else 0.0
    return wins / pairs


@pytest.mark.parametrize("levels", [3, 10**6])
def test_eq_33_equals_the_share_of_ordered_pairs_also_with_ties(levels):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    scores = rng.integers(0, levels, 60).astype(float)
    assert auroc(labels, scores) == pytest.approx(naive_auroc(labels, scores))
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_weights_mean_repeated_records():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 40), rng.normal(size=40)
    weights = rng.integers(0, 3, (5, 40))
    repeated = [
        roc_auc_score(np.repeat(labels, w), np.repeat(scores, w)) for w in weights
    ]
    np.testing.assert_allclose(auroc(labels, scores, weights), repeated)


def test_one_kind_of_label_gives_nan_in_a_resample():
    weights = np.array([[1, 1, 0], [1, 1, 1]])
    assert np.isnan(auroc([1, 1, 0], [0.1, 0.2, 0.3], weights)).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("labels", "scores"), [([0, 2], [0, 1]), ([0, 1], [0, np.nan]), ([0, 1], [0, 1, 2])]
)
def test_bad_input_is_refused(labels, scores):
    with pytest.raises(ValueError, match="must"):
        auroc(np.array(labels), np.array(scores))


def test_macro_leaves_out_and_names_classes_without_both_labels():
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])
    scores = np.array([[4.0, 1, 1], [1, 2, 2], [3, 3, 3], [2, 4, 4]])
    result = evaluate(labels, scores, ["A", "B", "C"], bootstrap=50)
    assert result.left_out == ["B", "C"]
    assert result.macro_auroc == result.classes["A"]["auroc"] == 1.0
    assert result.classes["A"]["positives"] == 2


def test_bootstrap_interval_covers_and_narrows_with_records():
    rng = np.random.default_rng(2)
    widths = []
    for n in (100, 1600):
        labels = rng.integers(0, 2, (n, 1))
        scores = labels + rng.normal(size=(n, 1))
        result = evaluate(labels, scores, ["A"], bootstrap=400)
        low, high = result.ci95
        assert low < result.macro_auroc < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2.5  # about 1 / sqrt(16)


def test_no_class_at_all_is_nan_and_no_crash():
    result = evaluate(np.zeros((3, 1), int), np.zeros((3, 1)), ["A"], bootstrap=10)
    assert np.isnan(result.macro_auroc) and result.left_out == ["A"]


def test_retrieval_ranks_by_cosine_and_forgives_duplicate_texts():
    q = np.eye(4)[[0, 1, 2, 2]]
    x = np.eye(4)[[0, 1, 2, 2]]
    found = retrieval(x, q)
    assert found["ecg_to_text_r1"] == found["text_to_ecg_r1"] == 1.0
    wrong = retrieval(x[[1, 0, 2, 3]], q)
    assert wrong["ecg_to_text_r1"] == 0.5
    assert wrong["text_to_ecg_r1"] == pytest.approx(1 / 3)
