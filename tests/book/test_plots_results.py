"""The figures of chapters 4, 6, 7 and of the twin show what they are given."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.colors import to_hex

from mccgaa_book.plots import (
    ablations,
    gafa,
    results,
    robustness,
    style,
    transfer,
    twin,
)


@pytest.fixture(autouse=True)
def tidy():
    yield
    plt.close("all")


METHODS = ["MERL-style", "MCCGAA, pair graph", "MCCGAA, bipartite graph", "mine"]


def test_a_method_has_the_same_colour_wherever_it_stands():
    one = dict(zip(METHODS, style.of_methods(METHODS), strict=True))
    other = dict(zip(METHODS[::-1], style.of_methods(METHODS[::-1]), strict=True))
    assert one == other
    assert one["MERL-style"] == style.ORANGE
    assert one["MCCGAA, bipartite graph"] == style.BLUE
    assert len({*one.values()}) == len(METHODS), "two methods alike"


def test_variations_of_one_method_are_told_apart():
    labels = ["MERL-style", "MERL-style, twin then real", "mccgaa+, real ECGs alone"]
    first, second, third = style.of_methods(labels)
    assert (first, third) == (style.ORANGE, style.GREEN)
    assert second not in {first, third}
    assert style.of_methods(labels[1:2]) == [style.ORANGE]
    assert style.of_methods(["MERL-styled"]) != [style.ORANGE], "another word"


def test_methods_with_a_colour_are_methods_of_the_profiles():
    profiles = ("synthetic", "real", "plus")
    texts = [Path(f"params/{name}.yaml").read_text("utf-8") for name in profiles]
    labels = {
        variant["label"]
        for text in texts
        for variant in yaml.safe_load(text)["variants"].values()
    }
    assert set(style.METHODS) <= labels
    assert len(set(style.METHODS.values())) == len(style.METHODS)


def history() -> pd.DataFrame:
    steps = np.arange(20)
    return pd.DataFrame({"step": steps, "cma": 3.0 - steps / 10, "uma": 1.0})


def epochs() -> pd.DataFrame:
    names = ("ecg_to_text_r5", "text_to_ecg_r5")
    same = {f"{fused}{name}": [0.1, 0.2] for name in names for fused in ("", "fused_")}
    return pd.DataFrame({"epoch": [0, 1], **same})


def classes() -> pd.DataFrame:
    row = {"task": "super", "auroc": 80.0, "low": 70.0, "high": 90.0}
    return pd.DataFrame([row | {"class": "MI", "rare": False, "positives": 9}])


def by_frequency() -> pd.DataFrame:
    row = {"prevalence": 2.0, "auroc": 80.0, "auprc": 30.0}
    return pd.DataFrame([row | {"variant": name} for name in METHODS])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: results.losses({name: history() for name in METHODS[:3]}),
        lambda: results.held_out({name: epochs() for name in METHODS}, 0.1),
        lambda: results.class_aurocs({name: classes() for name in METHODS}),
        lambda: robustness.levels(
            {"wander": pd.DataFrame(0.0, index=[24, 0], columns=METHODS)}, [24, 0]
        ),
        lambda: robustness.leads(pd.DataFrame(0.0, index=["I"], columns=METHODS)),
        lambda: robustness.frequency(by_frequency()),
    ],
    ids=["losses", "held out", "classes", "levels", "leads", "frequency"],
)
def test_each_figure_of_methods_has_the_methods_colours(draw):
    style.use()
    axes = draw().axes[0]
    handles, labels = axes.get_legend_handles_labels()
    found = {}
    for handle, label in zip(handles, labels, strict=True):
        patches = getattr(handle, "patches", None)  # of bars
        colour = patches[0].get_facecolor() if patches else handle.get_color()
        found[label.removesuffix(": plain")] = to_hex(colour).upper()
    for name in METHODS[:3]:
        assert found[name] == style.METHODS[name], name


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
    assert rows[0] == rows[1] > rows[2] == rows[3] > rows[4]


def test_a_node_of_an_attention_map_of_32_is_6_pixels_wide_or_more():
    style.use()
    stages = dict.fromkeys("abcde", np.eye(32))
    fig = gafa.attention_stages(stages, pd.Series({"a": 1.0, "b": 0.5}))
    fig.canvas.draw()
    maps = [ax.get_window_extent() for ax in fig.axes if ax.images]
    assert min(box.width for box in maps) / fig.dpi >= 32 * 6 / 96  # inches
    assert fig.get_figwidth() == style.WIDTH


def test_the_entropy_of_the_stages_has_the_panel_after_the_maps():
    entropy = pd.Series({"untrained": 1.0, "end": 0.5})
    fig = gafa.attention_stages({"untrained": np.eye(3), "end": np.eye(3)}, entropy)
    panel = fig.axes[2]  # the first of the second row
    assert panel.lines[0].get_ydata().tolist() == [1.0, 0.5]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["untrained", "end"]


def numbered(draw) -> list[tuple[str, str]]:
    """The colour of each number of a figure's matrices, and of the cell under it."""
    fig = draw()
    fig.canvas.draw()
    return [
        (to_hex(text.get_color()), to_hex(cell))
        for ax in fig.axes
        if ax.texts
        for text, cell in zip(ax.texts, ax.collections[0].get_facecolors(), strict=True)
    ]


SHARES = np.linspace(0, 100, 12).round().astype(int)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: results.confusions(
            {f"{n}": [[n, 100 - n]] * 2 for n in (0, 42, 50, 60)}
        ),
        lambda: transfer.square(pd.DataFrame(50 + SHARES.reshape(3, 4) / 2)),
        lambda: twin.activation(
            pd.DataFrame(SHARES.reshape(3, 4), columns=["a", "b", "c", "d"])
        ),
    ],
    ids=["confusions", "square", "activation"],
)
def test_numbers_in_a_matrix_are_in_the_ink_that_their_cell_asks_for(draw):
    found = numbered(draw)
    assert len(found) >= 12
    assert {ink for ink, _ in found} == {"#000000", "#ffffff"}
    for ink, cell in found:
        assert ink == to_hex(style.ink(cell)), cell


def test_dotted_is_the_backbone_alone_where_the_leak_is_drawn():
    rows = [
        {"graph": g, "neighbours": n, "step": s, "fused": n / 40, "backbone": 0.02}
        for g in ("pair", "bipartite")
        for n in (0.0, 0.8, 9.0, 32.6)
        for s in (0, 20)
    ]
    fig = gafa.leak_curves(pd.DataFrame(rows))
    for ax in fig.axes:
        *graphs, backbone = ax.lines
        assert backbone.get_linestyle() == ":"
        assert {line.get_linestyle() for line in graphs} == {"-"}
        assert len({line.get_marker() for line in graphs} - {"None"}) == 4


@pytest.mark.parametrize("tasks", [list(style.TASKS), ["super", "csn", "form"]])
def test_a_task_has_the_same_look_in_every_figure(tasks):
    share = pd.DataFrame({"task": tasks, "share": 0.1, "auroc": 70.0})
    figures = (
        results.auroc_by_share(share.assign(low=60.0, high=80.0)),
        ablations.dots(pd.DataFrame(1.0, index=["w/o CAM"], columns=tasks), 0.5),
    )
    for fig in figures:
        found = {
            line.get_label(): (line.get_color(), line.get_marker())
            for line in fig.axes[0].lines
            if line.get_label() in tasks
        }
        assert found == {task: style.TASKS[task] for task in tasks}


def test_a_millivolt_is_as_long_in_every_row_of_beats_and_no_beat_is_cut():
    style.use(synthetic=True)
    normal = np.zeros((12, 400))
    tall, low = normal.copy(), normal.copy()
    tall[:, 200], low[:, 210] = 3.0, -0.5
    fig = twin.beats({"tall": tall, "low": low}, normal)
    fig.canvas.draw()
    inches = [
        ax.get_window_extent().height / fig.dpi / np.ptp(ax.get_ylim())
        for ax in fig.axes
    ]
    assert np.ptp(inches) < 1e-3
    assert min(inches) == pytest.approx(twin.MILLIVOLT, rel=0.1)
    for ax in fig.axes:
        bottom, top = ax.get_ylim()
        for line in ax.lines[:2]:
            assert bottom < line.get_ydata().min() <= line.get_ydata().max() < top


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
