"""The figures of the loss chapter (section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mccgaa_book.plots import style


def pulls(matrices: Mapping[str, ArrayLike]) -> Figure:
    """Draw what each loss asks of each similarity in one batch.

    Args:
        matrices: title -> (B, B), the derivative of a loss by the similarities.
    """
    arrays = {title: np.asarray(matrix) for title, matrix in matrices.items()}
    fig, axes = plt.subplots(
        1, len(arrays), figsize=(style.WIDTH, 3.0), sharey=True, squeeze=False
    )
    limit = max(np.abs(array).max() for array in arrays.values())
    for ax, (title, array) in zip(axes[0], arrays.items(), strict=True):
        image = ax.imshow(array, cmap=style.DIVERGING, vmin=-limit, vmax=limit)
        ax.set(title=title, xlabel="text j")
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0][0].set_ylabel("ECG i")
    bar = fig.colorbar(image, ax=axes[0].tolist(), shrink=0.75)
    bar.set_label("closer  < 0 <  apart")
    return fig


def overflow(table: pd.DataFrame) -> Figure:
    """Show at which temperatures a softmax written out fails, by precision.

    Args:
        table: of `audit.loss.stability`.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 2.6))
    precisions = list(table["precision"].unique())
    ways = {
        "written_out": ("written out", style.ORANGE, "s", -0.2),
        "log_sum_exp": ("log-sum-exp", style.BLUE, "o", 0.0),
        "cross_entropy": ("torch's cross-entropy (CLIP)", style.GREEN, "^", 0.2),
    }
    for y, precision in enumerate(precisions):
        part = table[table["precision"] == precision]
        for column, (_, colour, own, offset) in ways.items():
            ok = np.isfinite(part[column])
            for works, mark in ((True, own), (False, "x")):
                chosen = part[ok == works]
                ax.plot(
                    chosen["largest_logit"],
                    np.full(len(chosen), y + offset),
                    mark,
                    color=colour,
                    ms=7,
                    mew=2,
                )
    ax.axvline(1 / 0.07, color=style.GREY, lw=1)
    ax.annotate(
        r"$\tau = 0.07$",
        (1 / 0.07, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, -4),
        textcoords="offset points",
        fontsize=9,
        va="top",
    )
    ax.set(xscale="log", xlabel=r"largest logit, $1/\tau$", ylim=(2.5, -0.8))
    ax.set_yticks(range(len(precisions)), precisions)
    handles = [
        plt.Line2D([], [], marker=mark, ls="", color=colour, label=label)
        for label, colour, mark, _ in ways.values()
    ]
    handles.append(
        plt.Line2D([], [], marker="x", ls="", mew=2, color="black", label="fails")
    )
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    return fig


def unimodal(table: pd.DataFrame) -> Figure:
    """Show how alike two views of an ECG are before training, by reading of eq 31.

    Args:
        table: of `audit.loss.unimodal_views`.
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.2))
    for (reading, part), colour, mark in zip(
        table.groupby("reading"), style.PALETTE, "os", strict=False
    ):
        common = {"color": colour, "marker": mark, "ms": 5}
        axes[0].plot(part["rate"], part["same"], "-", label=reading, **common)
        axes[0].plot(part["rate"], part["other"], ":", mfc="white", **common)
        axes[1].plot(part["rate"], part["loss"], "-", **common)
    axes[0].set(xlabel="dropout rate of both views", ylabel="cosine of two views")
    axes[0].set_title("Same ECG (solid), others (dotted)")
    axes[1].set(xlabel="dropout rate of both views", ylabel=r"$\mathcal{L}_{uma}$")
    axes[1].set_title("Loss before training")
    fig.legend(loc="outside lower center", ncols=2)
    return fig
