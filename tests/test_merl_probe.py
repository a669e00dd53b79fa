"""The ancestor's probe, step for step, and what it reports that is no result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import CLASSES, part

from mccgaa import merl_probe
from mccgaa.merl_probe import BEST_TEST, BEST_VAL, LAST, Course, train_layer
from mccgaa.metrics import auroc
from mccgaa.probe import Part
from mccgaa.runtime import seed_step


def by_hand(train: Part, epochs: int, per_iteration: bool, seed: int) -> np.ndarray:
    """Adam and its schedule written out: the layer's weights and bias (C, W + 1)."""
    seed_step(seed)
    layer = torch.nn.Linear(train.x.shape[1], train.y.shape[1])
    theta = np.c_[layer.weight.detach().numpy(), layer.bias.detach().numpy()]
    theta = theta.astype(np.float64)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    inputs = np.c_[train.x, np.ones(len(train.x))]
    step, calls = 0, 0
    for _ in range(epochs):
        order = torch.randperm(len(inputs)).numpy()
        for start in range(0, len(order), 16):
            rows = order[start : start + 16]
            rate = 0.001 if calls < 40 else 0.0001
            p = 1 / (1 + np.exp(-inputs[rows] @ theta.T))  # (B, C)
            wrong = (p - train.y[rows]) / p.size  # the mean is over records and classes
            gradient = wrong.T @ inputs[rows] + 1e-4 * theta
            step += 1
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            up = first / (1 - 0.9**step)
            down = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            theta = theta - rate * up / down
            calls += per_iteration
        calls += 1
    return theta


def small(n: int, seed: int) -> Part:
    """Features of the size that a network gives."""
    one = part(n, seed)
    return Part((one.x / one.x.std(0)).astype(np.float32), one.y)


@pytest.mark.parametrize(("per_iteration", "epochs"), [(True, 14), (False, 44)])
def test_the_layer_is_trained_step_for_step_as_the_ancestor_does(per_iteration, epochs):
    train, val, test = small(40, 0), small(30, 1), small(30, 2)
    options = {"seed": 3, "epochs": epochs, "per_iteration": per_iteration}
    course = train_layer(train, val, test, **options)
    theta = by_hand(train, epochs, per_iteration, seed=3)
    expected = test.x @ theta[:, :-1].T + theta[:, -1]
    np.testing.assert_allclose(course.scores[-1], expected, atol=2e-5)
    other = by_hand(train, epochs, not per_iteration, seed=3)
    wrong = test.x @ other[:, :-1].T + other[:, -1]
    assert np.abs(course.scores[-1] - wrong).max() > 1e-3  # the schedule is seen


def test_both_splits_are_scored_after_every_epoch():
    train, val, test = small(40, 0), small(30, 1), small(30, 2)
    course = train_layer(train, val, test, epochs=5)
    assert course.val.shape == course.test.shape == (5,)
    assert course.scores.shape == (5, 30, 3)
    for epoch in range(5):
        each = [auroc(test.y[:, c], course.scores[epoch][:, c]) for c in range(3)]
        assert course.test[epoch] == pytest.approx(np.mean(each))
    assert len(set(course.val)) > 1 and not np.array_equal(course.val, course.test)


def test_each_choice_of_the_epoch_is_what_its_name_says():
    course = Course(
        val=np.array([0.1, 0.9, 0.9, 0.2]),
        test=np.array([np.nan, 0.3, 0.8, 0.5]),
        scores=np.zeros((4, 1, 1), np.float32),
    )
    assert [course.epoch(c) for c in (BEST_TEST, BEST_VAL, LAST)] == [2, 1, 3]
    nothing = Course(np.full(2, np.nan), np.zeros(2), np.zeros((2, 1, 1), np.float32))
    assert [nothing.can(c) for c in (BEST_TEST, BEST_VAL, LAST)] == [True, False, True]


def test_what_is_reported_depends_on_the_labels_of_the_test_split():
    train, val, test = small(60, 0), small(60, 1), small(60, 2)
    other = Part(test.x, test.y[np.random.default_rng(0).permutation(60)])
    courses = [train_layer(train, val, t, epochs=40) for t in (test, other)]
    np.testing.assert_array_equal(courses[0].scores, courses[1].scores)
    assert courses[0].epoch(BEST_TEST) != courses[1].epoch(BEST_TEST)
    assert courses[0].epoch(BEST_VAL) == courses[1].epoch(BEST_VAL)


def test_with_labels_that_mean_nothing_the_look_at_the_test_alone_is_worth_something():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(6):
        parts = [
            Part(
                rng.normal(size=(40, 8)).astype(np.float32), rng.integers(0, 2, (40, 3))
            )
            for _ in range(3)
        ]
        course = train_layer(*parts, seed=seed, epochs=30)
        found.append([course.test[course.epoch(c)] for c in (BEST_TEST, LAST)])
    best, last = np.array(found).T
    assert (best >= last).all() and best.mean() > last.mean()


def test_the_probe_gives_a_result_for_each_choice_with_its_interval():
    train, val, test = small(60, 0), small(60, 1), small(60, 2)
    found = merl_probe.probe(train, val, test, CLASSES, share=50, bootstrap=20)
    assert list(found) == [BEST_TEST, BEST_VAL, LAST]
    assert found[BEST_TEST].macro_auroc == max(r.macro_auroc for r in found.values())
    low, high = found[LAST].ci95
    assert low <= found[LAST].macro_auroc <= high and found[LAST].resamples == 20
    half = train_layer(train.drawn(50, 0), val, test)
    assert found[LAST].macro_auroc == pytest.approx(half.test[-1])


def test_a_choice_that_cannot_be_made_is_left_out():
    train, val, test = small(40, 0), small(30, 1), small(30, 2)
    blank = Part(val.x, np.zeros_like(val.y))
    found = merl_probe.probe(train, blank, test, CLASSES, bootstrap=0)
    assert list(found) == [BEST_TEST, LAST]
