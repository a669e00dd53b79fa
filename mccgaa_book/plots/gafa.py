"""The figures of the GAFA chapter (section 3.3): graph, threshold, leak, attention."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from mccgaa_book.plots import style

NONE, ONE_WAY, BOTH = 0, 1, 2  # how two nodes are joined
MAPS_IN_A_ROW = 2


def two_graphs(adjacency: ArrayLike) -> Figure:
    """Draw one matrix A (eq 18) as a graph of pairs and as a bipartite graph.

    Args:
        adjacency: (B, B) bool, ECG i joined to text j; a dozen pairs stay legible.
    """
    a = np.asarray(adjacency, dtype=bool)
    n = len(a)
    pair = np.where(a & a.T, BOTH, np.where(a, ONE_WAY, NONE))
    nothing = np.zeros_like(a)
    bipartite = BOTH * np.block([[nothing, a], [a.T, nothing]])
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 4.0))
    colours = ListedColormap(["#F4F4F4", style.ORANGE, style.BLUE])
    for ax, matrix, size in zip(axes, (pair, bipartite), (n, 2 * n), strict=True):
        ax.imshow(matrix, cmap=colours, vmin=NONE, vmax=BOTH)
        ax.plot(range(size), range(size), ".", color=style.BLACK, ms=40 / size)
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0].set(title=f"Equations: {n} pair nodes", xlabel="pair j", ylabel="pair i")
    axes[1].set(title=f"Prose: {n} ECGs and {n} texts")
    for set_ticks in (axes[1].set_xticks, axes[1].set_yticks):
        set_ticks([n / 2 - 0.5, 3 * n / 2 - 0.5], ["ECGs", "texts"])
    axes[1].axhline(n - 0.5, color="white", lw=2)
    axes[1].axvline(n - 0.5, color="white", lw=2)
    keys = [
        Patch(color=style.BLUE, label="edge both ways"),
        Patch(color=style.ORANGE, label="edge one way only"),
        plt.Line2D([], [], marker=".", ls="", color=style.BLACK, label="self-loop"),
    ]
    fig.legend(handles=keys, loc="outside lower center", ncols=3)
    return fig


def threshold_sweep(sweeps: Mapping[str, pd.DataFrame]) -> Figure:
    """Show what the threshold of eq 18 makes of the graph.

    Args:
        sweeps: title -> table of `audit.graph.graph_by_threshold`.
    """
    fig, axes = plt.subplots(
        1, len(sweeps), figsize=(style.WIDTH, 3.3), sharey=True, squeeze=False
    )
    lines = {
        "density": "edges present",
        "own": "ECG joined to its own text",
        "empty_rows": "ECGs with no neighbour",
        "one_way": "edges without a way back",
    }
    marks = ("o-", "s--", "^:", "d-.")
    for ax, (title, table) in zip(axes[0], sweeps.items(), strict=True):
        for (column, label), mark in zip(lines.items(), marks, strict=True):
            ax.plot(table["threshold"], table[column], mark, label=label, ms=4)
        ax.axvline(0, color=style.GREY, lw=0.8)
        ax.set(title=title, xlabel=r"threshold on $f_{sim}$", ylim=(-0.03, 1.03))
    axes[0][0].set_ylabel("share")
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    return fig


def leak_curves(table: pd.DataFrame) -> Figure:
    """Show retrieval between unrelated vectors as only the graph attention learns.

    Args:
        table: of `audit.leak.learned`.
    """
    graphs = list(table["graph"].unique())
    fig, axes = plt.subplots(
        1, len(graphs), figsize=(style.WIDTH, 3.6), sharey=True, squeeze=False
    )
    degrees = sorted(table["neighbours"].unique())
    colours = dict(zip(degrees, sns.color_palette(n_colors=len(degrees)), strict=True))
    marks = dict(zip(degrees, "osD^vPX", strict=False))  # dotted is the backbone alone
    for ax, graph in zip(axes[0], graphs, strict=True):
        part = table[table["graph"] == graph]
        for degree, curve in part.groupby("neighbours"):
            ax.plot(
                curve["step"],
                curve["fused"],
                marks[degree] + "-",
                color=colours[degree],
                ms=4,
                label=f"{degree:.1f}",
            )
        ax.axhline(part["backbone"].mean(), color=style.GREY, lw=1, ls=":")
        ax.set(title=f"{graph} graph", xlabel="step of training", ylim=(-0.03, 1.05))
    axes[0][0].set_ylabel("fused retrieval, recall at 1")
    axes[0][-1].annotate(
        "backbone embeddings (dotted)",
        (0.97, 0.1),
        xycoords="axes fraction",
        ha="right",
        fontsize=9,
        color=style.GREY,
    )
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(
        handles,
        labels,
        title="neighbours of an ECG, on average",
        loc="outside lower center",
        ncols=len(labels),
    )
    return fig


def attention_stages(
    stages: Mapping[str, ArrayLike], entropy: pd.Series | None = None
) -> Figure:
    """Draw attention maps, two in a row, each on its own colour scale (after Fig. 7).

    Args:
        stages: title -> (n, m) weights, row i the node that attends.
        entropy: stage -> entropy of the attention over that of uniform attention, for
            a last panel.
    """
    panels = len(stages) + (entropy is not None)
    rows = -(-panels // MAPS_IN_A_ROW)
    fig, axes = plt.subplots(
        rows, MAPS_IN_A_ROW, figsize=(style.WIDTH, 3.2 * rows), squeeze=False
    )
    for ax in axes.flat[panels:]:
        ax.set_axis_off()
    for ax, (title, stage) in zip(axes.flat, stages.items(), strict=False):
        weights = np.asarray(stage)
        scale = PowerNorm(0.5, vmin=0, vmax=weights.max())  # small weights stay visible
        image = ax.imshow(weights, cmap=style.SEQUENTIAL, norm=scale)
        i, j = np.unravel_index(weights.argmax(), weights.shape)
        ax.add_patch(
            plt.Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec=style.ORANGE, lw=1.5)
        )
        ax.set_title(f"{title}\npeak {weights.max():.2f}", fontsize=10)
        ax.set(xlabel="text j", xticks=[], yticks=[])
        fig.colorbar(image, ax=ax, shrink=0.8)
    for ax in axes[:, 0]:
        ax.set_ylabel("ECG i attends")
    if entropy is not None:
        ax = axes.flat[len(stages)]
        ax.plot(range(len(entropy)), entropy, "o-", color=style.BLUE)
        ax.axhline(1, color=style.GREY, lw=1, ls=":")
        ax.set_title("entropy\n1: uniform (dotted)", fontsize=10)
        ax.set(ylim=(0, 1.05), xlim=(-0.4, len(entropy) - 0.6))
        ax.set_xticks(range(len(entropy)), entropy.index, rotation=35, ha="right")
    return fig
