"""The figures of chapter 3: class texts, their neighbours, and repeated texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from mccgaa_book.plots import style

COLOURS = {"name": style.BLUE, "full": style.ORANGE}


def token_lengths(lengths: Mapping[str, Sequence[int]], limit: int) -> Figure:
    """Draw how many tokens texts have, as cumulative shares.

    Args:
        lengths: kind of text -> tokens of each of its texts.
        limit: tokens that the encoder reads.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.0))
    dashes = ["-", "--", "-.", ":"]
    for i, (name, counts) in enumerate(lengths.items()):
        x = np.sort(np.asarray(counts))
        y = np.arange(1, len(x) + 1) / len(x)
        colour = style.PALETTE[i]
        ax.step(x, y, where="post", label=name, color=colour, linestyle=dashes[i % 4])
    ax.axvline(limit, color=style.GREY, linewidth=1)
    ax.annotate(
        f"cut at {limit}",
        (limit, 0.04),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        color=style.GREY,
        fontsize=9,
    )
    ax.set(xlabel="tokens in a text", ylabel="share of texts", xscale="log")
    ticks = [t for t in (3, 5, 10, 20, 50, 100, 200, 500) if t <= 1.5 * limit]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    _legend_above(ax)
    return fig


def similarity(
    tables: Mapping[str, tuple[Sequence[str], NDArray[np.floating]]],
) -> Figure:
    """Draw the cosines among the class texts of some tasks, side by side.

    Classes are ordered so that like ones are neighbours (average linkage).

    Args:
        tables: task -> class names and their (C, C) cosines.
    """
    widths = [len(names) for names, _ in tables.values()]
    fig, axes = plt.subplots(
        1,
        len(tables),
        figsize=(style.WIDTH, 4.0 if len(tables) > 1 else 5.6),
        width_ratios=widths,
        squeeze=False,
    )
    for ax, (task, (names, table)) in zip(axes[0], tables.items(), strict=True):
        order = leaves_list(linkage(np.asarray(table, float), "average"))
        names = [names[i] for i in order]
        sns.heatmap(
            table[np.ix_(order, order)],
            ax=ax,
            vmin=0,
            vmax=1,
            cmap=style.SEQUENTIAL,
            xticklabels=names,
            yticklabels=names,
            square=True,
            cbar=ax is axes[0][-1],
            cbar_kws={"label": "cosine", "shrink": 0.6},
        )
        ax.tick_params(labelsize=8, length=0)
        ax.set_title(task)
    return fig


def nearest(frame: pd.DataFrame) -> Figure:
    """Draw each class's cosine with its nearest other, by task and style.

    Args:
        frame: columns task, style and cosine, one row per class.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.2))
    styles = list(frame["style"].unique())
    for wording, mark in zip(styles, "osD^", strict=False):
        sns.swarmplot(  # no random jitter: a rerun draws the same file
            frame[frame["style"] == wording],
            x="task",
            y="cosine",
            order=frame["task"].unique(),
            hue="style",
            hue_order=styles,
            dodge=True,
            size=3,
            marker=mark,
            alpha=0.75,
            palette=COLOURS,
            legend=False,
            ax=ax,
        )
        ax.plot([], [], mark, ms=4, color=COLOURS[wording], label=wording)
    _legend_above(ax)
    ax.set(xlabel="", ylabel="cosine with the\nnearest other class", ylim=(None, 1.02))
    return fig


def contraries(frame: pd.DataFrame) -> Figure:
    """Draw for each finding how close its contrary and its paraphrase lie.

    Args:
        frame: as `audit.text.contraries` gives it.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 0.9 + 0.48 * len(frame)))
    y = np.arange(len(frame))[::-1]
    ends = frame[["to contrary", "to paraphrase"]]
    ax.hlines(y, ends.min(axis=1), ends.max(axis=1), color="#BBBBBB", zorder=1)
    for column, colour, mark in (
        ("contrary", style.ORANGE, "X"),
        ("paraphrase", style.BLUE, "o"),
    ):
        ax.scatter(
            frame[f"to {column}"], y, s=48, color=colour, marker=mark, label=column
        )
    words = frame["finding"] + "\n" + frame["contrary"] + " | " + frame["paraphrase"]
    ax.set_yticks(y, words, fontsize=8)
    ax.set(xlabel="cosine with the finding", xlim=(-0.02, 1.02))
    _legend_above(ax)
    return fig


def false_negatives(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw what repeated texts do to a batch: false negatives, and the loss's floor.

    Args:
        tables: kind of text -> `audit.text.false_negatives`.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(style.WIDTH, 3.2))
    marks = "osD^"
    for i, (name, table) in enumerate(tables.items()):
        look = {"color": style.PALETTE[i], "marker": marks[i % 4], "label": name}
        left.plot(table["batch"], table["negatives"], **look)
        right.plot(table["batch"], table["floor"], **look)
    sizes = np.unique(np.concatenate([t["batch"] for t in tables.values()]))
    right.plot(sizes, np.log(sizes), color=style.GREY, linestyle=":", label="chance")
    left.set(ylabel="negatives with the anchor's own text", yscale="log")
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.set(ylabel="least loss in one direction (nats)", ylim=(0, None))
    for ax in (left, right):
        ax.set(xlabel="batch size B", xscale="log")
        ax.set_xticks(sizes, [str(s) for s in sizes])
        ax.minorticks_off()
    right.legend(loc="upper left")
    return fig


def ceilings(frame: pd.DataFrame) -> Figure:
    """Draw the macro AUROC that the texts alone allow, by task and wording.

    Args:
        frame: one row per task, one column per wording, AUROC x 100.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.2))
    x = np.arange(len(frame))
    width = 0.8 / frame.shape[1]
    hatches = ["", "//", "..", "xx"]
    for i, column in enumerate(frame):
        centre = x + (i - (frame.shape[1] - 1) / 2) * width
        bars = ax.bar(
            centre,
            frame[column] - 50,  # from chance on
            width * 0.92,
            bottom=50,
            label=column,
            color=style.PALETTE[i],
            hatch=hatches[i % 4],
            edgecolor="white",
        )
        labels = [f"{value:.0f}" for value in frame[column]]
        ax.bar_label(bars, labels, fontsize=8, padding=1)
    ax.axhline(50, color=style.BLACK, linewidth=1)
    ax.set(ylabel="macro AUROC x 100\n(50 is chance)", ylim=(None, 104))
    ax.set_xticks(x, frame.index)
    _legend_above(ax)
    return fig


def _legend_above(ax: Axes) -> None:
    """Set the legend in one line over the axes, where it hides nothing."""
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(labels),
    )
