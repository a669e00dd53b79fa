"""The pictures of views and masks show what the methods do."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from mccgaa.config import InputConfig
from mccgaa_book.baselines import gallery
from mccgaa_book.plots import views as plots

GIVEN = InputConfig(100, 4.0, "bandpass-zscore")


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def beats() -> np.ndarray:
    """A spike per second in each lead, (12, 400)."""
    ecg = np.zeros((12, 400))
    ecg[:, 50::100] = np.arange(1, 13)[:, None]
    return ecg


def test_own_views_are_those_of_the_methods():
    wave = torch.sin(2 * torch.pi * 1.25 * torch.arange(400) / 100)
    ecg = (wave * 2**0.5).repeat(12, 1)  # of deviation 1
    found = gallery.own_views(ecg, GIVEN)
    assert list(found) == [
        "TS-TCC, weak",
        "TS-TCC, strong",
        "ASTCL, noise",
        "ASTCL, denoised",
    ]
    for varied in found.values():
        assert varied.shape == ecg.shape and not torch.equal(varied, ecg)
    # Second differences of so slow a wave are mostly noise.
    rough = {
        name: v.diff(dim=1).diff(dim=1).square().mean() for name, v in found.items()
    }
    assert rough["ASTCL, denoised"] < rough["TS-TCC, weak"] < rough["TS-TCC, strong"]


def test_parts_are_shared_out_as_each_coding_says():
    found = gallery.parts(12, InputConfig(100, 10.0))
    time, leads, both, hidden = found.values()
    assert list(found) == ["CMSC", "CMLC", "CMSMLC", "ST-MEM"]
    assert time.tolist() == [[1, 2]] * 12
    assert torch.equal(leads[:, 0], leads[:, 1])
    assert sorted(leads[:, 0].tolist()) == [1] * 6 + [2] * 6
    assert sorted(both.tolist()) == [[0, 2]] * 6 + [[1, 0]] * 6
    assert hidden.shape == (12, 33) and hidden.sum(1).tolist() == [9] * 12


def test_each_panel_draws_the_ecg_and_its_variant_in_both_leads():
    ecg = beats()
    varied = {"twice": 2 * ecg, "none": 0 * ecg, "a": ecg, "b": ecg}
    fig = plots.before_and_after(ecg, varied, 100, (1.0, 3.0))
    drawn = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title() or ax.get_title("left") for ax in drawn] == [*varied]
    before, after, before_v2, after_v2 = drawn[0].lines
    assert before.get_xdata()[[0, -1]] == pytest.approx([1.0, 2.99])
    assert before.get_ydata() == pytest.approx(ecg[1, 100:300])
    assert after.get_ydata() == pytest.approx(2 * ecg[1, 100:300])
    assert before_v2.get_ydata() == pytest.approx(ecg[7, 100:300] - plots.APART)
    assert after_v2.get_ydata() == pytest.approx(2 * ecg[7, 100:300] - plots.APART)


def test_parts_are_drawn_by_lead_from_the_top():
    seen = np.zeros((12, 4))
    seen[0], seen[3, 1] = 1, 2
    fig = plots.parts_seen({"one": seen, "other": seen}, 8.0)
    image = fig.axes[0].images[0]
    assert np.array_equal(np.asarray(image.get_array()), seen)
    assert list(image.get_extent()) == [0, 8.0, 12, 0]
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()][:2] == ["I", "II"]
    labels = [t.get_text() for t in fig.legends[0].get_texts()]
    assert labels == ["hidden", "first view, or seen", "second view"]
