"""The tables of transfer between labs, on results that are known."""

from __future__ import annotations

import pandas as pd
import pytest

from mccgaa.metrics import TaskResult
from mccgaa_book.audit import transfer
from mccgaa_book.plots import transfer as plots


class FakeLab:
    """A lab whose results are arithmetic: seed + 1 tenths, plus a bonus a task."""

    def __init__(self, tasks, variants, bonus=0.0):
        self.tasks = {task: "store" for task in tasks}
        self.variants = {name: name.upper() for name in variants}
        self.seeds = [0, 1]
        self.bonus = bonus

    def zero_shot(self, variant, seed, *, tasks, split, on):
        value = 0.1 * (seed + 1) + on.bonus
        return {t: TaskResult(value, (0.0, 1.0), 9, {}) for t in tasks}


def test_only_variants_and_tasks_that_both_labs_have_are_compared():
    one = FakeLab(["super", "csn"], ["a", "b"])
    two = FakeLab(["super", "form"], ["b", "c"])
    assert transfer.common_variants(one, two) == ["b"]
    found = transfer.table(one, two, ["b"], split=None)
    assert found["task"].tolist() == ["super", "super"]
    assert found["auroc"].tolist() == pytest.approx([10, 20])


def test_square_puts_training_in_rows_and_testing_in_columns():
    mirror, real = FakeLab(["super"], ["a"], 0.1), FakeLab(["super"], ["a"], 0.3)
    forward = transfer.table(mirror, real, ["a"], None)  # mean 15 + 30
    backward = transfer.table(real, mirror, ["a"], None)  # mean 15 + 10
    home = pd.concat(
        {
            "simulated": transfer.table(mirror, mirror, ["a"], None),
            "real": transfer.table(real, real, ["a"], None),
        },
        names=["tested on"],
    )
    square = transfer.square(forward, backward, home)
    assert square.loc["simulated", "real"] == pytest.approx(45)
    assert square.loc["real", "simulated"] == pytest.approx(25)
    assert square.loc["simulated", "simulated"] == pytest.approx(25)
    summary = transfer.summarise(home)
    assert summary.loc[("real", "A"), "mean"] == pytest.approx(45)
    assert plots.square(square).axes[0].get_ylabel() == "trained on"


def test_weakest_lists_classes_whose_interval_reaches_chance():
    classes = pd.DataFrame(
        {
            "task": ["super", "super"],
            "class": ["MI", "HYP"],
            "positives": [9, 9],
            "auroc": [70.0, 55.0],
            "low": [60.0, 45.0],
            "high": [80.0, 65.0],
        }
    )
    assert transfer.weakest(classes)["class"].tolist() == ["HYP"]
