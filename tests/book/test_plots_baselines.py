"""Figures of the baselines show what an augmentation changed, and how training went."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from mccgaa.plus.augment import AUGMENTATIONS
from mccgaa_book.plots.baselines import augmentations, curve, training_curves


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def test_every_augmentation_has_a_panel_before_and_after() -> None:
    torch.manual_seed(0)
    signals = torch.randn(1, 12, 500)
    state = torch.random.get_rng_state()
    panels = augmentations(signals, 500, lead=3, seconds=0.5).axes
    titles = [panel.get_title() for panel in panels]
    assert titles[: len(AUGMENTATIONS)] == list(AUGMENTATIONS)
    for panel in panels[: len(AUGMENTATIONS)]:
        before, after = (line.get_ydata() for line in panel.lines)
        np.testing.assert_array_equal(before, signals[0, 3, :250])
        assert np.abs(np.asarray(after) - before).max() > 0, panel.get_title()
    assert torch.equal(torch.random.get_rng_state(), state)


def rows(variant: str, seed: int, losses: list[float]) -> list[dict]:
    points = (50, 100)
    return [
        {"variant": variant, "seed": str(seed), "split": "train", "metric": metric}
        | {"value": value}
        for point, loss in zip(points, losses, strict=True)
        for metric, value in (
            (f"loss_{point}", loss),
            (f"spread_{point}", loss / 10),
            ("seconds", 7.0),
        )
    ]


def test_each_method_has_a_panel_of_its_mean_curves_and_of_what_a_guess_costs() -> None:
    frame = pd.DataFrame(rows("byol", 0, [4.0, 2.0]) + rows("byol", 1, [6.0, 2.0]))
    frame = pd.concat([frame, pd.DataFrame(rows("simclr", 0, [3.0, 1.0]))])
    found = curve(frame, "byol", "loss")
    assert found.to_dict() == {50: 5.0, 100: 2.0}
    labels = {"byol": "BYOL", "crt": "CRT", "simclr": "SimCLR"}
    figure = training_curves(frame, labels, {"simclr": 3.5, "crt": 9.0})
    panels = [one for one in figure.axes if one.get_visible() and one.lines]
    assert [one.get_title() for one in panels] == ["BYOL", "SimCLR", "", ""]
    (loss,), (low, guess) = panels[0].lines, panels[1].lines
    assert list(loss.get_xdata()) == [50, 100]
    np.testing.assert_allclose(loss.get_ydata(), [5.0, 2.0])
    np.testing.assert_allclose(low.get_ydata(), [3.0, 1.0])
    np.testing.assert_allclose(guess.get_ydata(), [3.5, 3.5])
    for panel, known in zip(panels[2:], ([0.5, 0.2], [0.3, 0.1]), strict=True):
        np.testing.assert_allclose(panel.lines[0].get_ydata(), known)
