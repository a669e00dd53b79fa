"""The picture of the README and of the book's first page: the result in two panels."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mccgaa_book.plots import style

LOOKS = {
    "method": (style.METHODS["MCCGAA, bipartite graph"], "o"),
    "plain": (style.METHODS["MERL-style"], "s"),
    "beyond": (style.METHODS["mccgaa+"], "D"),
}


def headline(rerun: pd.DataFrame, beyond: pd.DataFrame) -> Figure:
    """Draw the method beside its baseline by task, and what goes beyond both.

    Args:
        rerun: one row per task, method and seed: `task`, `method`, `look` (a key of
            LOOKS) and `value`, the macro AUROC x 100.
        beyond: one row per model and seed: `group` (what it was trained on), `method`,
            `look` and `value`, likewise.
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.1), width_ratios=(1, 1.15))
    tasks = list(dict.fromkeys(rerun["task"]))
    for (method, look), part in rerun.groupby(["method", "look"], sort=False):
        step = 0.16 if look == "method" else -0.16
        for row, task in enumerate(reversed(tasks)):
            values = part.loc[part["task"] == task, "value"]
            _dots(axes[0], values, row + step, look, method if not row else None)
    axes[0].set_yticks(range(len(tasks)), list(reversed(tasks)))
    axes[0].set_title("The paper, rerun on real ECGs")
    below = {"bbox_to_anchor": (0.5, -0.2), "loc": "upper center", "ncols": 2}
    look = {"fontsize": 8, "handletextpad": 0.1, "columnspacing": 1.0}
    axes[0].legend(**below, **look)
    rows = list(dict.fromkeys(zip(beyond["group"], beyond["method"], strict=True)))
    for row, (group, method) in enumerate(reversed(rows)):
        part = beyond[(beyond["group"] == group) & (beyond["method"] == method)]
        _dots(axes[1], part["value"], row, part["look"].iloc[0], None)
    axes[1].set_yticks(
        range(len(rows)), [f"{m}\n({g})" for g, m in reversed(rows)], fontsize=8
    )
    axes[1].set_title("Beyond it, on the same records")
    for ax in axes:
        ax.set_xlabel("zero-shot macro AUROC x 100")
        ax.grid(axis="x", color="0.9", lw=0.6)
        ax.tick_params(axis="y", length=0)
        low, high = ax.get_xlim()
        ax.set_xlim(low, high + 0.08 * (high - low))  # room for the last number
    return fig


def _dots(
    ax: Axes, values: Sequence[float], y: float, look: str, label: str | None
) -> None:
    """Draw the seeds faintly, and their mean over them with its value beside it."""
    colour, marker = LOOKS[look]
    values = pd.Series(values)
    ax.plot(values, [y] * len(values), marker, ms=4, color=colour, alpha=0.35, mew=0)
    ax.plot(values.mean(), y, marker, ms=7, color=colour, label=label)
    ax.annotate(
        f"{values.mean():.1f}",
        (values.max(), y),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )
