"""Chapter 3's figures show the numbers that they are given."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from mccgaa_book.plots import text as plots


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_like_classes_stand_together_in_the_heat_map():
    table = np.array([[1, 0.1, 0.9], [0.1, 1, 0.2], [0.9, 0.2, 1]])
    ax = plots.similarity({"toy": (["a", "b", "c"], table)}).axes[0]
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(shown) == ["a", "b", "c"]
    assert abs(shown.index("a") - shown.index("c")) == 1
    place = [["a", "b", "c"].index(name) for name in shown]
    np.testing.assert_allclose(
        ax.collections[0].get_array().reshape(3, 3), table[np.ix_(place, place)]
    )


def test_token_curves_end_at_all_texts_and_the_limit_is_marked():
    ax = plots.token_lengths({"name": [4, 4, 9], "full": [30, 80]}, limit=64).axes[0]
    name, full, limit = ax.lines
    assert name.get_xdata().tolist() == [4, 4, 9]
    assert full.get_ydata().tolist() == [0.5, 1.0]
    assert set(limit.get_xdata()) == {64}


def test_the_floor_is_drawn_below_chance():
    table = pd.DataFrame(
        {"batch": [16, 64], "negatives": [1.0, 4.0], "floor": [0.3, 0.9]}
    )
    left, right = plots.false_negatives({"report": table}).axes
    assert left.lines[0].get_ydata().tolist() == [1.0, 4.0]
    floor, chance = right.lines
    assert floor.get_ydata().tolist() == [0.3, 0.9]
    np.testing.assert_allclose(chance.get_ydata(), np.log([16, 64]))


def test_bars_start_at_chance_and_end_at_their_value():
    frame = pd.DataFrame({"name": [90.0, 40.0], "full": [95.0, 60.0]}, ["sub", "form"])
    ax = plots.ceilings(frame).axes[0]
    ends = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in ax.patches]
    assert ends == [(50, 90), (50, 40), (50, 95), (50, 60)]


def test_each_finding_has_its_two_marks():
    frame = pd.DataFrame(
        {
            "finding": ["fast", "left"],
            "contrary": ["slow", "right"],
            "to contrary": [0.9, 0.8],
            "paraphrase": ["quick", "sinister"],
            "to paraphrase": [0.5, 0.85],
        }
    )
    ax = plots.contraries(frame).axes[0]
    _, contrary, paraphrase = ax.collections
    assert contrary.get_offsets()[:, 0].tolist() == [0.9, 0.8]
    assert paraphrase.get_offsets()[:, 0].tolist() == [0.5, 0.85]
    assert [t.get_text().split("\n")[0] for t in ax.get_yticklabels()] == [
        "fast",
        "left",
    ]


def test_every_class_has_a_dot_in_its_style():
    frame = pd.DataFrame(
        {
            "task": ["sub"] * 4,
            "style": ["name", "name", "full", "full"],
            "cosine": [0.1, 0.2, 0.3, 0.4],
        }
    )
    ax = plots.nearest(frame).axes[0]
    drawn = sorted(y for dots in ax.collections for _, y in dots.get_offsets())
    np.testing.assert_allclose(drawn, [0.1, 0.2, 0.3, 0.4])
