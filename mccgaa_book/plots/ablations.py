"""The figures of the chapter on ablations (sections 4.5 and 4.6)."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mccgaa_book.plots import style


def _band(ax: Axes, floor: float) -> None:
    """Mark zero, and the differences around it that are noise."""
    ax.axvspan(-floor, floor, color=style.GREY, alpha=0.18, lw=0, label="noise floor")
    ax.axvline(0, color=style.GREY, lw=1)


def dots(drops: pd.DataFrame, floor: float) -> Figure:
    """Draw what each removal costs on each task, one run each.

    Args:
        drops: rows the removed parts, columns the tasks; AUROC x 100.
        floor: half-width of the noise band.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 0.9 + 0.5 * len(drops)))
    _band(ax, floor)
    for task, (colour, mark) in zip(drops, style.of_tasks(drops), strict=True):
        ax.plot(drops[task], drops.index, mark, color=colour, label=task, clip_on=False)
    ax.set(xlabel="difference of AUROC x 100, with the part minus without it")
    ax.invert_yaxis()
    ax.margins(y=0.25)
    fig.legend(loc="outside lower center", ncols=4)
    return fig


def changes(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw designs against the full model, profile by profile.

    Args:
        tables: profile -> of `rows.against`, one row per design: `difference`, `low`,
            `high`, and `noise floor`.
    """
    count = max(len(table) for table in tables.values())
    size = (style.WIDTH, (0.8 + 0.32 * count) * len(tables))
    fig, axes = plt.subplots(len(tables), 1, figsize=size, sharex=True, squeeze=False)
    for ax, (name, table) in zip(axes[:, 0], tables.items(), strict=True):
        floor = table["noise floor"].max()
        _band(ax, 0.0 if np.isnan(floor) else floor)
        for label, row in table.iterrows():
            ax.plot([row["low"], row["high"]], [label, label], color=style.BLUE, lw=1.5)
            ax.plot(row["difference"], label, "o", color=style.BLUE)
        ax.set(title=name)
        ax.invert_yaxis()
    axes[-1, 0].set(xlabel="design minus full model, mean over tasks, AUROC x 100")
    return fig


def sizes(ours: pd.DataFrame, printed: pd.DataFrame, cost: str) -> Figure:
    """Draw scores against what a size costs: ours seed by seed, and as printed.

    Args:
        ours: columns `cost` and `auroc` (x 100), one row per size and seed.
        printed: the same, one row per size.
        cost: what the horizontal axis is.
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.0), sharex=True)
    ticks = sorted(set(ours["cost"]))
    for ax, points, title in zip(axes, (ours, printed), ("ours", "paper"), strict=True):
        mean = points.groupby("cost")["auroc"].mean()
        ax.plot(points["cost"], points["auroc"], "o", color=style.GREY, ms=4, alpha=0.6)
        ax.plot(mean.index, mean, "o-", color=style.BLUE)
        ax.set(title=title, xlabel=cost, xscale="log")
        ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        ax.minorticks_off()
    axes[0].set(ylabel="mean macro AUROC x 100")
    return fig
