"""AUROC, its intervals and retrieval, against definitions written out."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mccgaa.metrics import (
    TaskResult,
    _interval,
    auroc,
    evaluate,
    mean_by_record,
    retrieval,
    set_retrieval,
)


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


def test_whole_numbers_of_any_type_are_scores():
    assert auroc([0, 1], np.array([0, 1], dtype=np.uint8)) == 1


@pytest.mark.filterwarnings("error")
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


def test_an_interval_runs_between_the_percentiles_2_5_and_97_5():
    assert _interval(np.arange(1001.0)[::-1]) == (25.0, 975.0)
    assert all(math.isnan(bound) for bound in _interval(np.array([])))


def test_95_of_100_intervals_hold_the_true_auroc():
    true = norm.cdf(1 / math.sqrt(2))  # of scores N(1, 1) against N(0, 1)
    labels = (np.arange(200) < 60).astype(int)[:, None]
    rng = np.random.default_rng(0)
    held = []
    for seed in range(300):
        scores = labels + rng.normal(size=labels.shape)
        result = evaluate(labels, scores, ["A"], bootstrap=200, seed=seed)
        low, high = result.ci95
        assert list(result.classes["A"]["ci95"]) == [low, high]  # the only class
        assert low < result.macro_auroc < high
        held.append(low <= true <= high)
    # Four standard errors of a share of 0.95 in 300 are 0.05; a 68 % interval is far.
    assert 0.91 <= np.mean(held) <= 0.99


def test_an_interval_narrows_with_records():
    rng = np.random.default_rng(2)
    widths = []
    for n in (100, 1600):
        labels = rng.integers(0, 2, (n, 1))
        low, high = evaluate(labels, labels + rng.normal(size=(n, 1)), ["A"]).ci95
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4)  # sqrt(16)


def test_every_resample_of_a_macro_auroc_scores_every_class():
    """A class with one positive is lost in 37 % of plain bootstrap resamples."""
    labels = np.zeros((30, 2), int)
    labels[:10, 0] = labels[0, 1] = 1
    scores = np.stack([labels[:, 0], -labels[:, 1]], axis=1)  # AUROC 1 and 0
    result = evaluate(labels, scores, ["many", "one"], bootstrap=200)
    assert result.macro_auroc == 0.5
    assert result.ci95 == pytest.approx((0.5, 0.5))  # without "one" it would reach 1
    assert result.classes["one"]["ci95"] == pytest.approx((0, 0))
    assert (result.resamples, result.units) == (200, 30)


def test_the_macro_interval_is_that_of_the_mean_over_classes():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (80, 3))
    scores = labels + rng.normal(size=labels.shape)
    weights = np.random.default_rng(7).exponential(size=(30, 80))
    each = [
        [roc_auc_score(labels[:, c], scores[:, c], sample_weight=w) for c in range(3)]
        for w in weights
    ]
    result = evaluate(labels, scores, ["A", "B", "C"], bootstrap=30, seed=7)
    expected = np.percentile(np.mean(each, axis=1), [2.5, 97.5])
    np.testing.assert_allclose(result.ci95, expected)
    expected = np.percentile(np.array(each)[:, 1], [2.5, 97.5])
    np.testing.assert_allclose(result.classes["B"]["ci95"], expected)


def test_records_of_one_subject_are_resampled_together():
    """Four copies of every record say no more than one."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, (60, 2))
    scores = labels + rng.normal(size=labels.shape)
    once = evaluate(labels, scores, ["A", "B"], bootstrap=300)
    many = labels.repeat(4, axis=0), scores.repeat(4, axis=0)
    subjects = [f"subject {i}" for i in np.arange(60).repeat(4)]
    together = evaluate(*many, ["A", "B"], bootstrap=300, groups=subjects)
    assert together.ci95 == pytest.approx(once.ci95)
    assert (together.n, together.units) == (240, 60)
    apart = evaluate(*many, ["A", "B"], bootstrap=300)
    assert np.diff(apart.ci95) < 0.7 * np.diff(together.ci95)


def test_a_record_without_a_subject_is_resampled_by_itself():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, (40, 1))
    scores = labels + rng.normal(size=labels.shape)
    alone = evaluate(labels, scores, ["A"], groups=[None] * 40, bootstrap=50)
    assert alone.ci95 == evaluate(labels, scores, ["A"], bootstrap=50).ci95
    mixed = evaluate(labels, scores, ["A"], groups=["s"] * 10 + [None] * 30)
    assert (mixed.units, mixed.resamples) == (31, 1000)
    numbers = evaluate(labels, scores, ["A"], groups=["s"] * 10 + [np.nan] * 30)
    assert (
        numbers
        == mixed
        == evaluate(labels, scores, ["A"], groups=["s"] * 10 + [None] * 30, seed=0)
    )
    with pytest.raises(ValueError, match="40 records but 3 groups"):
        evaluate(labels, scores, ["A"], groups=["a", "b", "c"])


def test_more_resamples_than_fit_one_block_are_those_of_one_stream():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, (50, 1))
    scores = labels + rng.normal(size=labels.shape)
    result = evaluate(labels, scores, ["A"], bootstrap=250, seed=1)
    weights = np.random.default_rng(1).exponential(size=(250, 50))
    areas = auroc(labels[:, 0], scores[:, 0], weights)
    np.testing.assert_allclose(result.ci95, np.percentile(areas, [2.5, 97.5]))
    assert result.ci95 != evaluate(labels, scores, ["A"], bootstrap=250, seed=2).ci95


@pytest.mark.parametrize("bootstrap", [0, 10])
@pytest.mark.parametrize("positives", [0, 2])
def test_a_result_is_valid_json_and_comes_back_from_it(bootstrap, positives):
    labels = (np.arange(5) < positives).astype(int)[:, None]
    scores = np.arange(5.0)[:, None]
    result = evaluate(labels, scores, ["A"], bootstrap=bootstrap)
    text = json.dumps(result.to_dict(), allow_nan=False)
    again = TaskResult.from_dict(json.loads(text))
    np.testing.assert_equal(asdict(again), asdict(replace(result, ci95=[*result.ci95])))
    plain = json.loads(text)
    assert (plain["macro_auroc"] is None) == (not positives)
    assert (plain["ci95"] == [None, None]) == (not positives or not bootstrap)
    assert plain["left_out"] == ([] if positives else ["A"])


def test_a_result_says_what_was_scored_and_what_was_not():
    found = TaskResult(0.5, (0.25, 0.75), 9, {"A": {}}, resamples=10)
    assert str(found) == "macro AUROC  50.0 [25.0, 75.0]  records 9, classes 1"
    found = replace(found, resamples=0, left_out=["B", "C"])
    assert str(found) == "macro AUROC  50.0  records 9, classes 1, left out: B, C"
    found = replace(found, classes={}, left_out=["A"])
    assert str(found) == "no class can be scored  records 9, classes 0, left out: A"


@pytest.mark.parametrize("n", [0, 1])
def test_a_record_alone_or_none_is_scored_on_no_class(n):
    result = evaluate(np.ones((n, 1), int), np.ones((n, 1)), ["A"], bootstrap=5)
    assert (result.n, result.units, result.left_out) == (n, n, ["A"])


def test_a_result_says_itself_in_a_line():
    result = TaskResult(0.731, (0.6, 0.8), 98, {"A": {}, "B": {}}, [], 1000)
    assert str(result) == "macro AUROC  73.1 [60.0, 80.0]  records 98, classes 2"
    plain = replace(result, resamples=0, left_out=["C", "D"])
    said = "macro AUROC  73.1  records 98, classes 2, left out: C, D"
    assert str(plain) == said
    none = TaskResult(math.nan, (math.nan, math.nan), 3, {}, ["A"], 10)
    assert str(none) == "no class can be scored  records 3, classes 0, left out: A"


def test_fewer_than_no_resamples_are_refused():
    with pytest.raises(ValueError, match="bootstrap is -1; expected 0 or more"):
        evaluate(np.eye(2, dtype=int), np.eye(2), ["A", "B"], bootstrap=-1)


@pytest.mark.parametrize(
    ("scores", "classes"), [((3, 2), 2), ((4, 1), 2), ((4, 2), 3), ((4, 2), 1)]
)
def test_labels_scores_and_names_must_agree(scores, classes):
    with pytest.raises(ValueError, match="must agree"):
        evaluate(np.ones((4, 2), int), np.ones(scores), ["A", "B", "C"][:classes])


def naive_retrieval(x, q):
    """The ranks by loops over ECGs and over distinct texts."""
    texts = [tuple(row) for row in q]
    distinct = sorted(set(texts))

    def dot(a, b):
        return sum(float(s) * float(t) for s, t in zip(a, b, strict=True))

    to_text = []
    for ecg, own in zip(x, texts, strict=True):
        nearer = sum(dot(ecg, text) > dot(ecg, own) for text in distinct)
        to_text.append(1 + nearer)
    to_ecg = []
    for text in distinct:
        own = max(dot(e, text) for e, t in zip(x, texts, strict=True) if t == text)
        to_ecg.append(1 + sum(dot(ecg, text) > own for ecg in x))
    found = {}
    for name, ranks in (("ecg_to_text", to_text), ("text_to_ecg", to_ecg)):
        found[f"{name}_r1"] = sum(rank <= 1 for rank in ranks) / len(ranks)
        found[f"{name}_r5"] = sum(rank <= 5 for rank in ranks) / len(ranks)
        found[f"{name}_median_rank"] = sorted(ranks)[len(ranks) // 2]
    return found


@pytest.mark.parametrize("texts", [31, 9])
@pytest.mark.parametrize("levels", [2, 1000])
def test_retrieval_equals_loops_with_duplicate_texts_and_ties(texts, levels):
    """Integers are exact in any order of summation; two levels make many ties."""
    rng = np.random.default_rng([texts, levels])
    distinct = rng.integers(-levels, levels + 1, (texts, 8)).astype(float)
    own = np.concatenate([np.arange(texts), rng.integers(0, texts, 31 - texts)])
    q = distinct[rng.permutation(own)]
    x = q + rng.integers(-2 * levels, 2 * levels + 1, q.shape)
    assert retrieval(x, q) == pytest.approx(naive_retrieval(x, q))


def test_a_text_is_one_whatever_rounding_made_of_its_rows():
    rng = np.random.default_rng(8)
    vectors = np.repeat(rng.normal(size=(5, 3)), 4, axis=0)
    q = vectors @ rng.normal(size=(3, 8))
    rounded = q.copy()
    rounded[3::4] += 1e-7 * np.sign(q[3::4])  # nearer to what lies in its direction
    assert retrieval(q, rounded, vectors) == retrieval(q, q)
    assert retrieval(q, rounded) != retrieval(q, q)


def test_retrieval_forgives_duplicate_texts_and_sees_a_swap():
    q = np.eye(4)[[0, 1, 2, 2]]
    found = retrieval(q, q)
    assert found["ecg_to_text_r1"] == found["text_to_ecg_r1"] == 1.0
    wrong = retrieval(q[[1, 0, 2, 3]], q)
    assert wrong["ecg_to_text_r1"] == 0.5
    assert wrong["text_to_ecg_r1"] == pytest.approx(1 / 3)


def test_a_text_is_found_by_its_nearest_ecg_whatever_their_order():
    near, far, other = [1.0, 0.0], [0.1, 0.0], [0.5, 1.0]
    q = np.array([[1.0, 0], [1, 0], [0, 1]])
    for x in ([near, far, other], [far, near, other]):
        assert retrieval(np.array(x), q)["text_to_ecg_r1"] == 1.0


@pytest.mark.parametrize("levels", [2, 1000])
def test_retrieval_of_sets_is_that_of_texts_where_each_set_is_one_text(levels):
    rng = np.random.default_rng(levels)
    texts = np.unique(rng.integers(-levels, levels + 1, (9, 8)), axis=0).astype(float)
    of = np.concatenate([np.arange(len(texts)), rng.integers(0, len(texts), 20)])
    x = texts[of] + rng.integers(-2 * levels, 2 * levels + 1, (len(of), 8))
    own = of[:, None] == np.arange(len(texts))
    assert set_retrieval(x @ texts.T, own) == retrieval(x, texts[of])


def test_statements_of_one_ecg_do_not_push_each_other_down():
    similarity = np.array([[0.9, 0.8, 0.7, 0.1], [0.2, 0.9, 0.3, 0.9]])
    own = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=bool)  # the last is of no ECG
    found = set_retrieval(similarity, own)
    # ECG 0: both of its own come first. ECG 1: two others are above each of its own.
    assert found["ecg_to_text_r1"] == 0.5
    assert found["ecg_to_text_r5"] == 1
    assert found["ecg_to_text_median_rank"] == 2  # of 1, 1, 3, 3
    # Statement 0 finds ECG 0, 1 finds ECG 1 first, and 2 finds ECG 0 first.
    assert found["text_to_ecg_r1"] == pytest.approx(1 / 3)
    assert found["text_to_ecg_median_rank"] == 2


def test_embeddings_that_are_not_finite_are_no_perfect_retrieval():
    x = np.eye(3)
    x[1] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        retrieval(x, np.eye(3))
    with pytest.raises(ValueError, match="must be finite"):
        set_retrieval(x, np.eye(3, dtype=bool))


def test_scores_of_windows_are_averaged_by_record():
    scores = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.2, 0.4]])
    records, means = mean_by_record(scores, ["b", "a", "b", "a"])
    assert records == ["b", "a"]
    assert means == pytest.approx(np.array([[0.5, 0.5], [0.35, 0.45]]))
    assert mean_by_record(scores.astype(np.float32), list("baba"))[1].dtype == float
    with pytest.raises(ValueError, match="4 rows of scores but 1 groups"):
        mean_by_record(scores, ["a"])
    for missing in (None, math.nan):
        with pytest.raises(ValueError, match="window has no group"):
            mean_by_record(scores, ["b", missing, "b", "a"])


def test_classes_of_few_records_are_doubtful():
    for n, positives, few in ((9, 5, True), (9, 4, True), (10, 5, False)):
        found = TaskResult(0.9, (0.8, 1.0), n, {"A": {"positives": positives}})
        assert [
            "t: fewer than 5 records have, or lack, A; an AUROC of so few says" in d
            for d in found.doubts("t")
        ] == [True] * few
