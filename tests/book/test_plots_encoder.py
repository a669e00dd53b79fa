"""Chapter 2's figures draw what they are given, where they say."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mccgaa.config import LEADS
from mccgaa_book.audit.encoder import gate_table
from mccgaa_book.plots import encoder as plots


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def test_both_readings_of_the_gate_are_drawn_with_the_band_they_differ_by() -> None:
    fig = plots.gate_curves(gate_table(np.linspace(-6, 6, 25)))
    once, twice = (line.get_ydata() for line in fig.axes[0].lines)
    assert once.min() < 0.01
    assert twice.min() >= 0.5
    band = fig.axes[0].patches[0]
    assert band.get_y() == 0.5
    assert band.get_y() + band.get_height() == pytest.approx(twice.max(), abs=1e-3)


def test_channels_are_sorted_by_their_weight() -> None:
    alpha = np.array([0.2, 0.9, 0.5])
    before = np.array([[2.0] * 4, [1.0] * 4, [3.0] * 4])
    fig = plots.beat_through_gate(
        {"II": np.zeros(8)}, (1.0, 2.0), before, alpha, alpha[:, None] * before
    )
    images = [ax.images[0] for ax in fig.axes if ax.images]
    left, column, right = (np.asarray(image.get_array()) for image in images)
    assert left[:, 0].tolist() == [1.0, 3.0, 2.0]
    assert column[:, 0].tolist() == [0.9, 0.5, 0.2]
    assert right[:, 0] == pytest.approx([0.9, 1.5, 0.4])
    assert images[0].get_clim() == images[2].get_clim()  # fading stays visible
    assert fig.axes[0].lines[0].get_xdata()[[0, -1]] == pytest.approx([1.0, 1.875])


def test_every_block_has_its_violin() -> None:
    rng = np.random.default_rng(0)
    gates = {"1.1": rng.uniform(size=(5, 16)), "4.2": rng.uniform(size=(5, 32))}
    fig = plots.gates_by_block({"before": gates, "after": gates})
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes] == [
        "before",
        "after",
    ]
    for ax in fig.axes:
        assert [t.get_text() for t in ax.get_xticklabels()] == ["1.1", "4.2"]


def test_each_lead_has_a_row_and_a_bar() -> None:
    table = pd.DataFrame(
        {"1.1": np.arange(12) / 100, "1.2": 0.0, "embedding": np.arange(12) / 50},
        index=list(LEADS),
    )
    fig = plots.lead_response(table)
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == list(LEADS)
    assert [bar.get_width() for bar in fig.axes[1].patches] == pytest.approx(
        table["embedding"].tolist()
    )


def test_a_weight_of_one_is_mean_pooling() -> None:
    attention = np.array([[0.25] * 4, [0.7, 0.1, 0.1, 0.1]])
    fig = plots.moments_attended(np.zeros(400), attention, rate=100)
    even, uneven = fig.axes[1].lines[:2]
    assert even.get_ydata() == pytest.approx([1.0] * 4)
    assert uneven.get_ydata()[0] == pytest.approx(2.8)
    assert even.get_xdata() == pytest.approx([0.5, 1.5, 2.5, 3.5])


def test_fields_of_view_are_as_long_as_they_say() -> None:
    fig = plots.fields_of_view(np.zeros(400), 100, {"short": 0.5, "too long": 9.0})
    widths = [bar.get_width() for bar in fig.axes[1].patches]
    assert widths == [0.5, 4.0]
    assert [t.get_text() for t in fig.axes[1].texts] == [
        "short: 0.50 s",
        "too long: 9.00 s",
    ]
