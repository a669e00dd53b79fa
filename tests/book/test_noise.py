"""The noise floor holds what it promises where nothing differs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mccgaa_book.noise import Floor, noise_floor


def frame_of(first: np.ndarray, second: np.ndarray, task: str = "sub") -> pd.DataFrame:
    rows = [
        {"variant": variant, "seed": str(seed), "task": task, "value": float(value)}
        for variant, values in (("bipartite", first), ("clip", second))
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(split="test", metric="auroc", **{"class": ""})


def test_the_floor_is_the_root_mean_square_times_students_quantile():
    frame = frame_of(np.array([70.0, 72, 71, 73]), np.array([71.0, 71, 73, 73]))
    floor = noise_floor(frame)  # differences -1, 1, -2, 0
    assert floor.seeds == 4
    assert floor.rms["sub"] == pytest.approx(1.5**0.5)
    assert floor.at(1)["sub"] == pytest.approx(2.776445 * 1.5**0.5)  # t, 4 degrees
    assert floor.at(4)["sub"] == pytest.approx(floor.at(1)["sub"] / 2)
    assert floor.rms["mean"] == floor.rms["sub"]


@pytest.mark.parametrize("seeds", [1, 5])
def test_where_nothing_differs_one_difference_in_twenty_exceeds_the_floor(seeds):
    rng = np.random.default_rng(0)
    pairs = rng.normal(70, 1.5, (4000, 2, 5))
    rms = ((pairs[:, 0] - pairs[:, 1]) ** 2).mean(1) ** 0.5  # of each experiment
    two = rng.normal(70, 1.5, (4000, 2, seeds)).mean(2)
    tasks = pd.RangeIndex(4000)  # each experiment is a task of its own here
    floor = Floor(pd.Series(rms, index=tasks), 5)
    found = floor.exceeded(pd.Series(two[:, 0] - two[:, 1], index=tasks), seeds)
    assert found.mean() == pytest.approx(0.05, abs=0.012)
    assert stats.t.ppf(0.975, 5) > 2.5  # a normal quantile would exceed it more often


def test_a_difference_far_beyond_the_noise_exceeds_it():
    frame = frame_of(np.array([70.0, 71, 70, 71, 70]), np.array([71.0, 70, 70, 71, 71]))
    floor = noise_floor(frame)
    gaps = pd.Series({"sub": -3.0, "mean": 0.1, "form": 9.0})
    assert floor.exceeded(gaps, 5).to_dict() == {
        "sub": True,
        "mean": False,
        "form": None,
    }
    assert floor.exceeded(pd.Series({"sub": np.nan}), 5).to_dict() == {"sub": None}


def test_tasks_have_floors_of_their_own_and_their_mean_another():
    quiet = frame_of(np.array([70.0, 70.2, 70.1]), np.array([70.1, 70.1, 70.1]))
    loud = frame_of(np.array([60.0, 66, 63]), np.array([64.0, 60, 63]), "form")
    floor = noise_floor(pd.concat([quiet, loud]))
    assert list(floor.rms.index) == ["sub", "form", "mean"]
    assert floor.rms["form"] > 10 * floor.rms["sub"]
    change = (np.array([-0.1, 0.1, 0]) + np.array([-4, 6, 0])) / 2
    assert floor.rms["mean"] == pytest.approx((change**2).mean() ** 0.5)


def test_only_seeds_of_both_rows_count_and_without_any_there_is_no_floor():
    frame = frame_of(np.array([70.0, 71, 72]), np.array([70.0, 71, 72]))
    third = (frame["variant"] == "clip") & (frame["seed"] == "2")
    assert noise_floor(frame[~third]).seeds == 2
    means = frame.assign(seed="mean of 3").drop_duplicates(["variant"])
    nothing = noise_floor(means)
    assert nothing.seeds == 0 and nothing.at().isna().all()
    alone = noise_floor(frame[frame["variant"] == "bipartite"])
    assert alone.seeds == 0
    beyond = alone.exceeded(pd.Series({"sub": 50.0}))
    assert beyond.to_dict() == {"sub": None}


def test_the_floor_rests_on_no_more_seeds_than_each_task_has():
    few = frame_of(np.array([70.0, 71]), np.array([71.0, 70]))
    many = frame_of(np.array([60.0, 66, 63]), np.array([64.0, 60, 63]), "form")
    assert noise_floor(pd.concat([few, many])).seeds == 2


def test_rows_of_classes_and_of_other_metrics_are_not_counted():
    frame = frame_of(np.array([70.0, 72]), np.array([71.0, 71]))
    others = [frame.assign(**{"class": "A"}), frame.assign(metric="auroc_members")]
    found = noise_floor(pd.concat([frame, *others]))
    pd.testing.assert_series_equal(found.rms, noise_floor(frame).rms)
