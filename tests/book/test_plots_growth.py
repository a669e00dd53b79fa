"""The figure of growth draws each measurement where it belongs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from mccgaa_book import speed
from mccgaa_book.plots import style
from mccgaa_book.plots.growth import AXES, growth


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def test_speed_is_that_of_the_whole_epoch_beside_memory() -> None:
    same = {"records": 1000, "batch": 8, "sampling_rate": 25, "processes": 1}
    rows = []
    for axis in (*AXES, "processes"):
        for times in (1, 2):
            value = same[axis] * times
            measured = {"epoch_seconds": 4.0 * times, "peak_mb": 300.0 + times}
            rows.append({"axis": axis, **same, axis: value, **measured})
    panels = growth(pd.DataFrame(rows)).axes
    assert len(panels) == 2 * len(AXES), "processes are timed by another clock"
    first = panels[0].lines[0]
    assert first.get_xdata().tolist() == [1000, 2000]
    assert first.get_ydata().tolist() == [250, 250], "twice the records, twice the time"
    assert panels[1].lines[0].get_xdata().tolist() == [8, 16]
    assert panels[1].lines[0].get_ydata().tolist() == [250, 125]
    for column, axis in enumerate(AXES):
        memory = panels[len(AXES) + column].lines[0]
        assert memory.get_ydata().tolist() == [301, 302], axis


def test_a_tick_stands_at_each_measurement_and_no_two_overlap() -> None:
    style.use()
    fig = growth(speed.growth())
    fig.canvas.draw()
    below = fig.axes[len(AXES) :]
    for axes, axis in zip(below, AXES, strict=True):
        words = [label for label in axes.get_xticklabels(which="both")]
        boxes = [word.get_window_extent() for word in words if word.get_text()]
        measured = {
            line.get_xdata().size for line in axes.lines if line.get_xdata().size
        }
        assert {len(boxes)} == measured, axis
        ends = pairwise(boxes)
        assert all(left.x1 < right.x0 for left, right in ends), axis
    said = [label.get_text() for label in below[0].get_xticklabels()]
    assert said == ["1k", "10k", "100k", "1M"]
    said = [label.get_text() for label in below[1].get_xticklabels()]
    assert said[-1] == "1,024"
