"""The figure of chapter 8 shows each kind of ECGs, its spread, and the merged model."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mccgaa_book.plots.beyond import LOOKS, between

MEANS = {"real": [80.0, 90.0], "synthetic": [70.0, 95.0]}  # without the start, and half


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def test_each_kind_has_its_mean_its_band_and_the_merged_marks() -> None:
    rows = [
        {"start_share": share, "tested_on": kind, "value": mean + seed}
        for kind, means in MEANS.items()
        for share, mean in zip((0.0, 0.5), means, strict=True)
        for seed in (-1.0, 0.0, 1.0)
    ]
    table = pd.DataFrame(rows)
    merged = table.groupby(["start_share", "tested_on"]).max().reset_index()
    (ax,) = between(table, merged).axes
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert len(drawn) == 4 and set(LOOKS) == set(MEANS)
    for kind, (line, marks), band in zip(
        LOOKS, (drawn[:2], drawn[2:]), ax.collections, strict=True
    ):
        assert line.get_ydata().tolist() == MEANS[kind]
        assert marks.get_ydata().tolist() == [mean + 1 for mean in MEANS[kind]]
        assert marks.get_linestyle() == "None" and line.get_linestyle() == "-"
        assert line.get_color() == marks.get_color()
        heights = band.get_paths()[0].vertices[:, 1]
        assert np.isclose(
            [heights.min(), heights.max()], np.add(MEANS[kind], [-1, 1])
        ).all()
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(set(said)) == 4 and all("one run" in w or "all runs" in w for w in said)
