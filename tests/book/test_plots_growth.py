"""The figure of growth draws each measurement where it belongs."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from mccgaa_book.plots.growth import AXES, growth


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def test_speed_is_that_of_the_whole_epoch_beside_memory() -> None:
    same = {"records": 1000, "batch": 8, "sampling_rate": 25, "processes": 1}
    rows = []
    for axis in AXES:
        for times in (1, 2):
            value = same[axis] * times
            measured = {"epoch_seconds": 4.0 * times, "peak_mb": 300.0 + times}
            rows.append({"axis": axis, **same, axis: value, **measured})
    panels = growth(pd.DataFrame(rows)).axes
    first = panels[0].lines[0]
    assert first.get_xdata().tolist() == [1000, 2000]
    assert first.get_ydata().tolist() == [250, 250], "twice the records, twice the time"
    assert panels[1].lines[0].get_xdata().tolist() == [8, 16]
    assert panels[1].lines[0].get_ydata().tolist() == [250, 125]
    for column, axis in enumerate(AXES):
        memory = panels[len(AXES) + column].lines[0]
        assert memory.get_ydata().tolist() == [301, 302], axis
