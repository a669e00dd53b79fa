"""Chapter 1's figures draw what they are given, where they say."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mccgaa.config import LEADS
from mccgaa.data.record import Quality, Record
from mccgaa_book.plots import data as plots
from mccgaa_book.plots import style


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def record(seconds: float = 10.0, rate: float = 100.0) -> Record:
    """Lead k is a sine of amplitude k / 10 mV."""
    time = np.arange(round(seconds * rate)) / rate
    signal = np.sin(2 * np.pi * time) * np.arange(1, 13)[:, None] / 10  # (12, T)
    quality = Quality(0.0, (), 0.0)
    present = np.ones(12, dtype=bool)
    return Record("x", signal.astype(np.float32), rate, "mV", present, quality)


def test_the_sheet_of_the_page_is_that_of_the_package_and_as_wide_as_the_page() -> None:
    fig = plots.ecg_sheet(record())
    (ax,) = fig.axes
    names = [text.get_text() for text in ax.texts]
    assert sorted(names) == sorted([*LEADS, "II"])
    width, height = fig.get_size_inches()
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert width == style.WIDTH
    assert height / width == pytest.approx((high - low) / (right - left))


def test_every_class_has_a_bar_and_rare_ones_another_colour() -> None:
    frame = pd.DataFrame({"share": [0.5, 0.02, 0.005, 0.0]}, index=list("abcd"))
    large = pd.DataFrame({"share": np.geomspace(0.5, 0.001, 40)})
    fig = plots.class_imbalance({"one": frame, "two": frame, "three": large})
    titles = {ax.get_title(): ax for ax in fig.axes}
    assert list(titles) == [
        "one\n2 below 1 %",
        "two\n2 below 1 %",
        f"three\n{(large['share'] < 0.01).sum()} below 1 %",
    ]
    bars = titles["one\n2 below 1 %"].patches
    tops = [bar.get_y() + bar.get_height() for bar in bars]
    assert tops[:3] == pytest.approx([0.5, 0.02, 0.005])
    assert bars[3].get_height() == 0
    colours = [bar.get_facecolor() for bar in bars]
    assert colours[0] == colours[1] != colours[2] == colours[3]


def test_a_title_is_no_wider_than_its_panel() -> None:
    style.use()
    sizes = {"super": 5, "cpsc2018": 9, "rhythm": 12, "form": 19, "sub": 23, "csn": 38}
    shares = {t: pd.DataFrame({"share": [0.1] * n}) for t, n in sizes.items()}
    fig = plots.class_imbalance(shares)
    fig.canvas.draw()
    assert len(fig.axes) == 6
    for ax in fig.axes:
        title = ax._left_title.get_window_extent()
        assert title.x1 <= ax.get_window_extent().x1, "over the next panel's labels"


def test_the_fault_is_drawn_for_the_same_classes_in_every_panel() -> None:
    first = pd.DataFrame(
        {"exact": [3, 176, 10], "published": [916, 913, 10]},
        index=["VB", "AVB", "SR"],
    )
    second = pd.DataFrame(
        {"exact": [0, 2, 5], "published": [4, 4, 5]}, index=["VB", "AVB", "SR"]
    )
    fig = plots.label_fault({"shared": first, "here": second})
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [
        "AVB",
        "VB",
    ]
    exact, published = (line.get_xdata() for line in fig.axes[1].lines[:2])
    assert list(published) == [4, 4]
    assert list(exact) == [2, plots._ZERO]
