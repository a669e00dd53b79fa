"""Linear probes: frozen is frozen, heads converge, the test split decides nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fake_device import fake_gpu
from numpy.typing import NDArray
from torch import nn
from toys import CLASSES, part

from mccgaa.config import EncoderConfig, InputConfig, ModelConfig, TextConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError, StoreError
from mccgaa.metrics import evaluate
from mccgaa.model import MCCGAA, scale_input
from mccgaa.probe import (
    GRADIENT,
    L2,
    Axes,
    Backbone,
    Part,
    features,
    fit,
    macro_auroc,
    model_features,
    probe,
    solve,
)
from mccgaa.probing import probe_tasks

CONFIG = ModelConfig(
    input=InputConfig(sampling_rate=100, transform="bandpass-zscore"),
    encoder=EncoderConfig(embedding_dim=16, widths=(8, 8, 8, 8), pool_heads=2),
    text=TextConfig(encoder="minilm"),
)


@pytest.fixture(scope="module")
def store(twin_store: Path) -> SignalStore:
    return SignalStore.open(twin_store)


@pytest.fixture
def model() -> MCCGAA:
    torch.manual_seed(0)
    return MCCGAA(CONFIG)


# Frozen


def test_probing_leaves_every_weight_and_statistic_of_the_encoder_alone(model, store):
    model.train()  # as pretraining leaves it
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert any("running_mean" in name for name in before)
    x = model_features(model, store, batch_size=32)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} moved"
    assert model.training and all(part.training for part in model.modules())
    assert x.shape == (len(store), 8) and x.dtype == np.float32


def test_a_records_features_do_not_depend_on_the_batch_that_it_is_in(model, store):
    model.train()
    together = model_features(model, store, batch_size=len(store))
    np.testing.assert_allclose(
        model_features(model, store, batch_size=5), together, rtol=1e-4, atol=1e-6
    )


def test_features_are_the_mean_over_time_of_the_encoders_last_map(model, store):
    x = model_features(model, store)
    model.eval()
    with torch.no_grad():
        maps = model.encoder.feature_map(torch.from_numpy(store.batch([3, 70])))
    for row, one in zip((3, 70), maps, strict=True):
        expected = one.flatten(1).mean(1).numpy()
        np.testing.assert_allclose(x[row], expected, rtol=1e-5, atol=1e-7)


def test_features_are_of_signals_scaled_as_the_model_expects(store):
    input = replace(CONFIG.input, scaling="minmax")
    model = MCCGAA(replace(CONFIG, input=input)).eval()
    signals = torch.from_numpy(store.batch([3, 70]))
    with torch.no_grad():
        scaled = scale_input(signals, "minmax")
        expected = model.encoder.feature_map(scaled).mean((2, 3))
        torch.testing.assert_close(Backbone(model)(signals), expected)
    assert scaled.min() >= 0 and scaled.max() == 1


def test_an_encoder_may_be_any_function_of_signals(store):
    def first_samples(signals: torch.Tensor) -> torch.Tensor:
        return signals[:, :, 0]

    x = features(first_samples, store, batch_size=50)
    np.testing.assert_array_equal(x, store.batch(slice(None))[:, :, 0])


def test_a_module_without_weights_is_put_into_evaluation_mode(store):
    noise = nn.Sequential(nn.Flatten(), nn.Dropout(0.5))
    x = features(noise, store)
    np.testing.assert_array_equal(x, store.batch(slice(None)).reshape(len(store), -1))


def test_features_are_computed_on_the_device_and_come_back(model, store):
    with fake_gpu():
        x = features(Backbone(model), store, batch_size=64)
    assert isinstance(x, np.ndarray)
    assert next(model.parameters()).device == torch.device("cpu")
    np.testing.assert_allclose(x, model_features(model, store), rtol=1e-5)


def test_a_store_of_another_rate_is_refused(model, store, tmp_path):
    other = SignalStore(store.path, {**store.meta, "sampling_rate": 500})
    with pytest.raises(StoreError, match="sampling_rate 500"):
        model_features(model, other)


# The head


def newton(z: NDArray, y: NDArray, l2: float) -> NDArray:
    """One class's regularised logistic regression by Newton's method: (W + 1,)."""
    inputs = np.c_[z, np.ones(len(z))]
    ridge = l2 * np.diag([*np.ones(z.shape[1]), 0.0])
    theta = np.zeros(inputs.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-inputs @ theta))
        gradient = inputs.T @ (p - y) / len(z) + ridge @ theta
        hessian = (inputs.T * (p * (1 - p))) @ inputs / len(z) + ridge
        theta = theta - np.linalg.solve(hessian, gradient)
    assert np.abs(gradient).max() < 1e-12
    return theta


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_the_solver_finds_what_newtons_method_finds_class_by_class(l2):
    one = part(200, 0)
    z = (one.x - one.x.mean(0, np.float64)) / one.x.std(0, np.float64)
    theta = solve(Axes.of(z), one.y, l2, np.zeros((3, 7)))
    for c in range(3):
        expected = newton(z, one.y[:, c], l2)
        np.testing.assert_allclose(theta[c], expected, rtol=1e-3, atol=1e-5)


def test_a_head_scores_features_as_they_are(store):
    train, val = part(200, 0), part(80, 1)
    head = fit(train, val, l2=[0.01])
    mean, deviation = train.x.mean(0, np.float64), train.x.std(0, np.float64)
    for c in range(3):
        theta = newton((train.x - mean) / deviation, train.y[:, c], 0.01)
        expected = (val.x - mean) / deviation @ theta[:-1] + theta[-1]
        np.testing.assert_allclose(head.scores(val.x)[:, c], expected, atol=1e-3)


def test_separable_classes_and_more_features_than_records_converge():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20, 60))
    y = np.c_[z[:, 0] > 0, z[:, 1] > 0.5].astype(np.uint8)
    theta = solve(Axes.of(z), y, min(L2), np.zeros((2, 61)))
    logits = z @ theta[:, :-1].T + theta[:, -1]
    wrong = (1 / (1 + np.exp(-logits)) - y) / len(z)
    gradient = wrong.T @ z + min(L2) * theta[:, :-1]
    assert np.abs(gradient).max() < GRADIENT / 10
    assert ((logits > 0) == y).all()


def test_a_direction_in_which_features_hardly_vary_may_decide():
    rng = np.random.default_rng(0)
    common, apart = rng.normal(size=(2, 200))
    z = np.c_[common + 0.02 * apart, common - 0.02 * apart]
    z = (z - z.mean(0)) / z.std(0)
    y = (apart + 0.5 * rng.normal(size=200) > 0).astype(np.uint8)[:, None]
    (theta,) = solve(Axes.of(z), y, 1e-4, np.zeros((1, 3)))
    np.testing.assert_allclose(theta, newton(z, y[:, 0], 1e-4), rtol=1e-3, atol=1e-4)
    assert abs(theta[0] - theta[1]) > 10


def test_a_head_that_did_not_converge_is_refused(monkeypatch):
    def stop_at_once(loss, first, **options):
        return SimpleNamespace(x=first, jac=loss(first)[1])

    monkeypatch.setattr("scipy.optimize.minimize", stop_at_once)
    with pytest.raises(RunError, match="did not converge"):
        fit(part(50, 0), part(20, 1))


def test_features_that_are_not_finite_are_refused():
    one = part(50, 0)
    bad = Part(one.x.copy(), one.y)
    bad.x[3, 2] = np.nan
    with pytest.raises(RunError, match="not finite"), np.errstate(invalid="ignore"):
        fit(bad, part(20, 1))


def test_features_too_large_to_be_squared_are_refused():
    one = part(50, 0)
    with pytest.raises(RunError, match="too large"), np.errstate(over="ignore"):
        fit(Part(one.x.astype(float) * 1e200, one.y), part(20, 1))


def test_a_head_of_few_records_is_newtons_too():
    """Fewer records than features, and features that repeat each other."""
    one = part(12, 0)
    x = np.c_[one.x, one.x, one.x[:, :2] * 3]
    z = (x - x.mean(0, np.float64)) / x.std(0, np.float64)
    theta = solve(Axes.of(z), one.y, 1e-2, np.zeros((3, z.shape[1] + 1)))
    for c in range(3):
        np.testing.assert_allclose(
            theta[c], newton(z, one.y[:, c], 1e-2), rtol=1e-3, atol=1e-4
        )


def test_the_regularisation_is_the_best_on_validation_and_the_strongest_of_equals():
    train, val = part(40, 0), part(400, 1)
    one_by_one = [fit(train, val, l2=[strength]) for strength in L2]
    aurocs = [head.val_auroc for head in one_by_one]
    chosen = fit(train, val)
    assert len(set(np.round(aurocs, 4))) > 3, "this data cannot tell"
    assert chosen.l2 == L2[int(np.argmax(np.round(aurocs, 6)))]
    assert chosen.val_auroc == pytest.approx(max(aurocs), abs=1e-4)
    assert chosen.val_auroc == pytest.approx(
        evaluate(val.y, chosen.scores(val.x), CLASSES, bootstrap=0).macro_auroc
    )
    easy = part(60, 2, noise=0.01)
    assert fit(easy, easy).l2 == max(L2) == L2[0]


def test_a_constant_feature_says_nothing_and_breaks_nothing():
    train, val = part(100, 0), part(100, 1)
    with_constant = [Part(np.c_[p.x, np.full(100, 7e4)], p.y) for p in (train, val)]
    plain, wider = fit(train, val), fit(*with_constant)
    np.testing.assert_allclose(wider.weight[:, :-1], plain.weight, rtol=1e-3, atol=1e-9)
    assert (wider.weight[:, -1] == 0).all()


def test_a_class_without_positives_in_the_share_scores_one_half_and_counts():
    train, val, test = part(60, 0), part(80, 1), part(80, 2)
    train.y[:, 2] = 0
    found = probe(train, val, test, CLASSES, bootstrap=0)
    assert len(set(found.head.scores(test.x)[:, 2])) == 1
    assert found.result.classes["c"]["auroc"] == 0.5
    three = [entry["auroc"] for entry in found.result.classes.values()]
    assert len(three) == 3 and found.result.macro_auroc == pytest.approx(np.mean(three))


def test_where_no_class_of_validation_can_be_scored_the_lowest_loss_chooses():
    train, val = part(60, 0), part(40, 1)
    blank = Part(val.x, np.zeros_like(val.y))
    chosen = fit(train, blank)
    losses = {}
    for strength in L2:
        z = fit(train, blank, l2=[strength]).scores(val.x)
        losses[strength] = np.log1p(np.exp(z)).mean()
    assert np.isnan(chosen.val_auroc)
    assert losses[chosen.l2] == pytest.approx(min(losses.values()), rel=1e-3)
    assert max(losses.values()) > 1.05 * min(losses.values()), "this data cannot tell"


def test_the_quick_macro_auroc_is_that_of_the_metrics_ties_included():
    one, rng = part(60, 0), np.random.default_rng(1)
    tied = rng.integers(0, 4, (60, 3)).astype(float)
    for scores in (rng.normal(size=(60, 3)), tied, np.zeros((60, 3))):
        expected = evaluate(one.y, scores, CLASSES, bootstrap=0).macro_auroc
        assert macro_auroc(one, scores) == pytest.approx(expected)
    half = Part(one.x, one.y * [1, 0, 1])
    expected = evaluate(half.y, tied, CLASSES, bootstrap=0).macro_auroc
    assert macro_auroc(half, tied) == pytest.approx(expected)
    assert np.isnan(macro_auroc(Part(one.x, np.zeros_like(one.y)), tied))


# Who sees what


def test_the_labels_of_the_test_split_do_not_reach_the_head():
    train, val, test = part(80, 0), part(80, 1), part(120, 2)
    order = np.random.default_rng(3).permutation(120)
    permuted = Part(test.x, test.y[order])
    first, second = (probe(train, val, t, CLASSES) for t in (test, permuted))
    np.testing.assert_array_equal(first.head.weight, second.head.weight)
    np.testing.assert_array_equal(first.head.bias, second.head.bias)
    assert first.head.l2 == second.head.l2
    assert first.result.macro_auroc != second.result.macro_auroc


def test_the_labels_of_the_records_left_out_do_not_reach_the_head():
    train, val, test = part(200, 0), part(80, 1), part(80, 2)
    rows = np.random.default_rng([5, 200]).permutation(200)[:20]  # as `drawn` has it
    other = Part(train.x, 1 - train.y)
    other.y[rows] = train.y[rows]
    first, second = (
        probe(t, val, test, CLASSES, share=10, seed=5) for t in (train, other)
    )
    np.testing.assert_array_equal(first.head.weight, second.head.weight)
    full, flipped = (probe(t, val, test, CLASSES) for t in (train, other))
    assert not np.allclose(full.head.weight, flipped.head.weight)


def test_shares_are_nested_repeatable_and_of_their_size():
    whole = Part(np.arange(300.0)[:, None], np.ones((300, 1), int), list(range(300)))
    drawn = {share: whole.drawn(share, 0) for share in (1, 10, 100)}
    rows = {share: set(one.x[:, 0].astype(int)) for share, one in drawn.items()}
    assert {share: len(r) for share, r in rows.items()} == {1: 3, 10: 30, 100: 300}
    assert rows[1] < rows[10] < rows[100]
    assert drawn[10].subjects == drawn[10].x[:, 0].astype(int).tolist()
    np.testing.assert_array_equal(whole.drawn(10, 0).x, drawn[10].x)
    assert set(whole.drawn(10, 1).x[:, 0]) != set(drawn[10].x[:, 0])
    assert len(whole.drawn(0.01, 0).x) == 1


def test_the_records_of_a_subject_are_resampled_together():
    train, val, test = part(80, 0), part(80, 1), part(90, 2)
    alike = Part(test.x, test.y, [i // 3 for i in range(90)])
    assert probe(train, val, alike, CLASSES).result.units == 30
    assert probe(train, val, test, CLASSES).result.units == 90


def windowed(tasks: list[list[str]]) -> SimpleNamespace:
    """A store of two records, cut into two and three windows."""
    records = pd.DataFrame({"group": list("bbaaa"), "subject_id": [2, 2, 1, 1, 1]})
    return SimpleNamespace(
        records=records,
        indices=lambda split, task: np.arange(5),
        labels=lambda task, rows: (np.array([[0, 1]] * 2 + [[1, 0]] * 3), ["x", "y"]),
    )


def test_the_windows_of_a_record_are_one_row_their_mean():
    x = np.array([[1.0, 0], [3, 0], [0, 3], [0, 6], [0, 0]])
    found = Part.of(x, windowed([]), "task", "train")
    np.testing.assert_allclose(found.x, [[2, 0], [0, 3]])
    assert found.y.tolist() == [[0, 1], [1, 0]] and found.subjects == [2, 1]


def test_a_split_without_records_is_refused(store):
    short = SimpleNamespace(path="s", indices=lambda split, task: np.array([], int))
    with pytest.raises(StoreError, match="no record of task 'form' in split 'val'"):
        Part.of(np.zeros((4, 2)), short, "form", "val")


def test_a_store_is_probed_on_its_own_splits(store):
    """An encoder that knows the labels is right; one that knows none is not."""
    rows = store.indices(task="super")
    labels, classes = store.labels("super", rows)
    x = np.random.default_rng(0).normal(size=(len(store), 2 * len(classes)))
    blind = {r.share: r for r in probe_tasks(x, store, ["super"], bootstrap=0)}
    x[rows, : len(classes)] = labels
    seen = {r.share: r for r in probe_tasks(x, store, ["super"], bootstrap=0)}
    assert list(seen) == [1, 10, 100]
    assert seen[100].result.macro_auroc > 0.99 > blind[100].result.macro_auroc
    assert seen[100].result.n == len(store.indices(split="test", task="super"))
    assert seen[1].result.macro_auroc < seen[100].result.macro_auroc
