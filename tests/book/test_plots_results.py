"""The figures of chapters 4, 6, 7 and of the twin show what they are given."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mccgaa_book.plots import gafa, results, style, twin


@pytest.fixture(autouse=True)
def tidy():
    yield
    plt.close("all")


def test_no_words_of_a_figure_are_smaller_than_eight_points():
    sizes = re.compile(r"""(?:font|label)size"?\s*[=:]\s*([\d.]+)""")
    for path in Path(results.__file__).parent.glob("*.py"):
        found = [float(size) for size in sizes.findall(path.read_text("utf-8"))]
        assert min(found, default=8) >= 8, path.name


def arrows(fig) -> list[tuple[str, float]]:
    """Marker and x of every end that leaves the figure."""
    lines = [line for line in fig.axes[0].lines if line.get_gid() == "cut"]
    return [(line.get_marker(), x) for line in lines for x in line.get_xdata()]


def test_an_interval_that_is_cut_ends_in_an_arrow():
    table = pd.DataFrame(
        {
            "difference": [1.0, 2.0, -3.0],
            "low": [-40.0, 1.0, np.nan],
            "high": [42.0, 3.0, np.nan],
            "kind": "over seeds",
        },
        index=["super", "sub", "mean"],
    )
    found = arrows(results.differences(table, "difference"))
    assert found == [("<", -results.WIDEST), (">", results.WIDEST)]


def test_an_interval_that_fits_has_no_arrow():
    table = pd.DataFrame(
        {"difference": [1.0], "low": [-2.0], "high": [4.0], "kind": "over seeds"},
        index=["mean"],
    )
    fig = results.differences(table, "difference")
    assert arrows(fig) == []
    assert fig.axes[0].get_xlim()[1] > 4
    assert all(len(line.get_xdata()) for line in fig.axes[0].lines), "asks for room"


def test_an_ecgs_own_labels_are_marked_by_more_than_a_colour():
    fig = results.bands(np.eye(3)[0], np.eye(3), ["SR", "AFIB", "PVC"], ["AFIB"])
    ticks = [label.get_text() for label in fig.axes[2].get_yticklabels()]
    assert sorted(ticks) == ["* AFIB", "PVC", "SR"]


def test_no_figure_asks_for_letters_below_eight_points():
    for path in Path(results.__file__).parent.glob("*.py"):
        sizes = re.findall(
            r'(?:font_?size"?|labelsize)\s*[=:]\s*([\d.]+)', path.read_text("utf-8")
        )
        assert min(map(float, sizes), default=8) >= 8, path.name


def test_the_legend_of_differences_lies_right_below_its_axis():
    table = pd.DataFrame(
        {"difference": 1.0, "low": -2.0, "high": 4.0},
        index=["super", "sub", "form", "rhythm", "mean"],
    )
    style.use()
    kinds = [table.assign(kind=kind) for kind in ("over seeds", "one run", "floor")]
    fig = results.differences(pd.concat(kinds), "difference")
    fig.canvas.draw()
    lowest = fig.axes[0].get_tightbbox().y0
    gap = (lowest - fig.legends[0].get_window_extent().y1) / fig.dpi
    assert 0 <= gap < 0.2  # inches


def test_words_of_class_figures_are_no_smaller_than_8_points():
    table = pd.DataFrame(
        {
            "task": "form",
            "class": ["NT_", "PVC"],
            "auroc": [40.0, 70.0],
            "low": [20.0, 60.0],
            "high": [60.0, 80.0],
            "positives": [3, 40],
            "rare": [True, False],
        }
    )
    fig = results.class_aurocs({"ours": table})
    fig.canvas.draw()
    words = [t for t in fig.findobj(plt.Text) if t.get_text().strip()]
    assert min(word.get_fontsize() for word in words) >= 8


def test_a_title_of_a_confusion_matrix_keeps_its_lines():
    style.use()
    title = "right bundle branch block\n(sub: CRBBB)"
    fig = results.confusions({title: np.eye(2)})
    shown = fig.axes[0].get_title(loc="left").splitlines()
    assert shown[-1] == "(sub: CRBBB)"
    assert len(shown) > 2  # and the long one is folded


def test_each_attention_map_has_its_own_colour_scale():
    maps = {
        name: np.full((4, 4), peak)
        for name, peak in zip("abcde", (1.0, 0.1, 0.2, 0.3, 0.4), strict=True)
    }
    fig = gafa.attention_stages(maps)
    tops = [image.get_clim()[1] for ax in fig.axes[:6] for image in ax.images]
    assert tops == [1.0, 0.1, 0.2, 0.3, 0.4]
    fig.canvas.draw()
    rows = [round(ax.get_position().y0, 2) for ax in fig.axes[:6] if ax.images]
    assert rows[0] == rows[1] == rows[2] > rows[3] == rows[4]


def test_the_entropy_of_the_stages_has_the_panel_after_the_maps():
    entropy = pd.Series({"untrained": 1.0, "end": 0.5})
    fig = gafa.attention_stages({"untrained": np.eye(3), "end": np.eye(3)}, entropy)
    panel = fig.axes[2]
    assert panel.lines[0].get_ydata().tolist() == [1.0, 0.5]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["untrained", "end"]


def test_small_shares_are_not_written_as_zero_per_cent():
    shares = [0.5, 0.05, 0.005, 0.0005]
    table = pd.DataFrame(
        {"published": shares, "ptbxl": shares, "mimic": shares}, index=list("ABCD")
    )
    fig = twin.prevalence(table)
    fig.canvas.draw()
    labels = [t.get_text() for t in fig.axes[0].get_xticklabels() if t.get_text()]
    assert "0.1 %" in labels
    assert len(set(labels)) == len(labels)


def test_both_panels_of_recall_show_all_of_their_curves():
    low, high = ([0.1, 0.2], [0.3, 0.9])
    names = ("ecg_to_text_r5", "text_to_ecg_r5")
    table = pd.DataFrame({"epoch": [0, 1], names[0]: low, names[1]: high})
    table = table.assign(**{f"fused_{name}": table[name] for name in names})
    fig = results.held_out({"run": table}, chance=0.05)
    for ax in fig.axes:
        bottom, top = ax.get_ylim()
        assert bottom == 0 and top > 0.9
    plt.close(fig)
