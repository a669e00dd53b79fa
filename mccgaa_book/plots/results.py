"""The figures of the pretraining and zero-shot chapters (sections 4.1, 4.3, 4.7)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mccgaa_book.audit.data import RARE
from mccgaa_book.plots import style

DASHES = ("-", "--", "-.")
KINDS = (style.BLACK, style.SKY, style.PINK, style.AMBER, style.GREY)  # of intervals
WIDEST = 25.0  # AUROC x 100: as far as an axis of differences reaches


def schedule(rates: ArrayLike) -> Figure:
    """Draw the learning rate of every step, on a linear and on a logarithmic axis.

    Args:
        rates: one per step.
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 2.5))
    for ax, scale in zip(axes, ("linear", "log"), strict=True):
        ax.plot(rates, lw=2)
        ax.set(xlabel="step", ylabel="learning rate", yscale=scale, title=scale)
        ax.minorticks_off()
    return fig


def losses(
    histories: Mapping[str, pd.DataFrame],
    derived: Mapping[str, pd.DataFrame] | None = None,
    *,
    window: int = 9,
) -> Figure:
    """Draw both losses of several runs by step (Fig. 3).

    Args:
        histories: label -> a run's history, with step, cma and uma.
        derived: label -> the like, computed from a run; dotted lines.
        window: steps of the running mean; single steps are drawn faintly.
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.4))
    panels = (("cma", "(a) cross-modal loss"), ("uma", "(b) unimodal loss"))
    for ax, (column, title) in zip(axes, panels, strict=True):
        looks = zip(
            histories.items(), DASHES, style.of_methods(histories), strict=False
        )
        for (label, table), dash, colour in looks:
            smooth = _running(table[column], window)
            ax.plot(table["step"], table[column], color=colour, lw=0.6, alpha=0.25)
            ax.plot(table["step"], smooth, dash, color=colour, lw=2, label=label)
        for label, table in (derived or {}).items():
            smooth = _running(table[column], window)
            ax.plot(table["step"], smooth, ":", color=style.BLACK, lw=2, label=label)
        ax.set(xlabel="step", title=title)
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("nats")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))
    return fig


def held_out(tables: Mapping[str, pd.DataFrame], chance: float) -> Figure:
    """Draw held-out recall at 5 by epoch, with and without the fused part.

    Args:
        tables: label -> a run's epochs.
        chance: recall at 5 of a random order of the distinct texts.
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.3), sharey=True)
    panels = (("ecg_to_text_r5", "ECG to text"), ("text_to_ecg_r5", "text to ECG"))
    for ax, (column, title) in zip(axes, panels, strict=True):
        for (label, table), colour in zip(
            tables.items(), style.of_methods(tables), strict=True
        ):
            epoch = table["epoch"] + 1
            ax.plot(
                epoch, table[column], "o-", ms=4, color=colour, label=f"{label}: plain"
            )
            fused = table[f"fused_{column}"]
            if not np.allclose(fused, table[column]):
                ax.plot(
                    epoch,
                    fused,
                    "s--",
                    ms=4,
                    color=colour,
                    mfc="white",
                    label=f"{label}: fused",
                )
        ax.set(xlabel="epoch", title=title)
        ax.xaxis.get_major_locator().set_params(integer=True)
    dots = {"color": style.GREY, "lw": 1.2, "ls": (0, (1, 1))}
    axes[0].axhline(chance, label="random order (ECG to text)", **dots)
    axes[0].set_ylabel("recall at 5")
    axes[0].set_ylim(bottom=0)  # once both panels, which share it, are drawn
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    return fig


def roc(fpr: ArrayLike, tpr: ArrayLike, title: str) -> Figure:
    """Draw a ROC curve with the trapezia that eq 33 adds up.

    Args:
        fpr: (n,) false positive rates, ascending.
        tpr: (n,) true positive rates.
        title: of the figure.
    """
    fig, ax = plt.subplots(figsize=(3.8, 3.4))
    ax.fill_between(fpr, tpr, color=style.SKY, alpha=0.35, lw=0)
    ax.vlines(fpr, 0, tpr, color="white", lw=0.4)
    ax.plot(fpr, tpr, color=style.BLUE, lw=1.8)
    ax.plot([0, 1], [0, 1], color=style.GREY, lw=1, ls="--")
    ax.set(xlabel="FPR", ylabel="TPR", title=title, xlim=(0, 1), ylim=(0, 1.01))
    ax.set_aspect("equal")
    return fig


def differences(table: pd.DataFrame, title: str) -> Figure:
    """Draw differences of AUROC x 100 with their intervals.

    An interval that leaves the figure ends in an arrow.

    Args:
        table: index the tasks; `difference`, `low` and `high` (NaN draws no interval),
            and `kind`, what the interval is over.
        title: of the axis.
    """
    tasks = list(dict.fromkeys(table.index))
    kinds = list(table["kind"].unique())
    ends = table[["difference", "low", "high"]].to_numpy(float)
    reach = min(WIDEST, 1.08 * np.nanmax(np.abs(ends)))
    fig, ax = plt.subplots(
        figsize=(style.WIDTH, 1.0 + 0.22 * len(kinds) + 0.42 * len(tasks))
    )
    offsets = np.linspace(-0.2, 0.2, len(kinds)) if len(kinds) > 1 else [0.0]
    looks = zip(kinds, offsets, "osD^v", KINDS, strict=False)
    for kind, offset, mark, colour in looks:
        part = table[table["kind"] == kind]
        y = np.array([tasks.index(task) + offset for task in part.index])
        low, high = part["low"].to_numpy(float), part["high"].to_numpy(float)
        ax.hlines(y, low.clip(-reach), high.clip(max=reach), color=colour, lw=2)
        for cut, edge, arrow in (
            (low < -reach, -reach, "<"),
            (high > reach, reach, ">"),
        ):
            if not cut.any():  # an empty line unclipped would still ask for room
                continue
            ax.plot(
                np.full(cut.sum(), edge),
                y[cut],
                arrow,
                color=colour,
                ms=8,
                clip_on=False,
                gid="cut",
            )
        ax.plot(part["difference"], y, mark, color=colour, label=kind)
    ax.axvline(0, color=style.BLACK, lw=1)
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set(xlabel=title, xlim=(-reach, reach), ylim=(len(tasks) - 0.4, -0.6))
    fig.legend(loc="outside lower center", ncols=1)
    return fig


def class_aurocs(tables: Mapping[str, pd.DataFrame], columns: int = 2) -> Figure:
    """Draw each class's AUROC with its interval and its number of positives.

    Args:
        tables: label -> table of `audit.results.by_class`; intervals are drawn for
            the first, points for all.
        columns: of panels, one panel per task.
    """
    first = next(iter(tables.values()))
    sizes = first.groupby("task", sort=False).size().sort_values(ascending=False)
    stacks: list[list[str]] = [[] for _ in range(columns)]
    for task in sizes.index:  # the next task goes where there is most room
        min(stacks, key=lambda stack: sum(sizes[t] + 3 for t in stack)).append(task)
    stacks = [stack for stack in stacks if stack]
    rows = max(sum(sizes[t] + 3 for t in stack) for stack in stacks)
    fig = plt.figure(figsize=(style.WIDTH, 0.9 + 0.175 * rows))
    for subfigure, stack in zip(
        np.atleast_1d(fig.subfigures(1, len(stacks))), stacks, strict=True
    ):
        heights = [sizes[task] + 1 for task in stack]
        axes = subfigure.subplots(
            len(stack), 1, squeeze=False, height_ratios=heights, sharex=True
        )
        for ax, task in zip(axes[:, 0], stack, strict=True):
            _class_panel(ax, task, tables)
        axes[-1, 0].set_xlabel("AUROC x 100")
    handles, labels = fig.axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return fig


def _class_panel(ax: Axes, task: str, tables: Mapping[str, pd.DataFrame]) -> None:
    """One task of `class_aurocs`: best class on top."""
    parts = [t[t["task"] == task].set_index("class") for t in tables.values()]
    order = parts[0].sort_values("auroc", ascending=False).index
    y = np.arange(len(order))
    lead = parts[0].loc[order]
    colours = style.of_methods(tables)
    ax.hlines(y, lead["low"], lead["high"], color=colours[0], lw=1.6, alpha=0.6)
    looks = zip(tables, parts, "oD^s", colours, strict=False)
    for label, part, mark, colour in looks:
        face = colour if mark == "o" else "white"
        ax.plot(
            part["auroc"].reindex(order),
            y,
            mark,
            ms=4,
            color=colour,
            mfc=face,
            label=label,
        )
    ax.axvline(50, color=style.GREY, lw=0.8, ls="--")
    rare = ["* " if lead.loc[name, "rare"] else "" for name in order]
    counts = lead["positives"].astype(str)
    names = [
        f"{mark}{name} ({counts[name]})" for mark, name in zip(rare, order, strict=True)
    ]
    ax.set_yticks(y, names, fontsize=8)
    ax.set(title=task, xlim=(-2, 102), ylim=(len(order) - 0.4, -0.6))


def auroc_by_share(table: pd.DataFrame) -> Figure:
    """Draw each class's AUROC against its share of the records.

    Args:
        table: of `audit.results.by_class`.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.8))
    groups = table.groupby("task", sort=False)
    looks = style.of_tasks(table["task"].unique())
    for (task, part), (colour, mark) in zip(groups, looks, strict=True):
        share = part["share"]
        ax.vlines(share, part["low"], part["high"], color=colour, lw=1, alpha=0.35)
        ax.plot(share, part["auroc"], mark, ms=5, color=colour, label=task)
    ax.axvline(RARE, color=style.GREY, lw=1, ls=":")
    ax.axhline(50, color=style.GREY, lw=0.8, ls="--")
    ax.set(xscale="log", xlabel="share of the task's records", ylabel="AUROC x 100")
    ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    ax.annotate(
        "1 %",
        (RARE, 0.01),
        xycoords=("data", "axes fraction"),
        xytext=(3, 0),
        textcoords="offset points",
        fontsize=9,
        color=style.GREY,
    )
    fig.legend(loc="outside lower center", ncols=6)
    return fig


def confusions(matrices: Mapping[str, ArrayLike]) -> Figure:
    """Draw confusion matrices with their counts (Fig. 8).

    Args:
        matrices: title -> (2, 2), rows true and columns predicted, negative first.
    """
    fig, axes = plt.subplots(
        1, len(matrices), figsize=(style.WIDTH, 2.9), squeeze=False
    )
    for ax, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        counts = np.asarray(matrix)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        sns.heatmap(
            shares,
            annot=[
                [f"{n}\n{share:.0%}" for n, share in zip(*row, strict=True)]
                for row in zip(counts, shares, strict=True)
            ],
            fmt="",
            cmap="Blues",
            vmin=0,
            vmax=1,
            cbar=False,
            annot_kws={"fontsize": 9},
            square=True,
            ax=ax,
        )
        style.ink_cells(ax)
        names = ["absent", "present"]
        ax.set_xticklabels(names)
        ax.set_yticklabels(names if ax is axes[0, 0] else [])
        lines = [textwrap.fill(line, 18) for line in title.splitlines()]
        ax.set_title("\n".join(lines), fontsize=9)
        ax.set(xlabel="predicted", ylabel="")
        ax.tick_params(length=0)
    axes[0, 0].set_ylabel("true")
    return fig


def bands(
    ecg: ArrayLike, texts: ArrayLike, names: Sequence[str], own: Sequence[str]
) -> Figure:
    """Draw one ECG's embedding over those of the class texts, and their cosines.

    Args:
        ecg: (M,) unit vector (Fig. 5).
        texts: (C, M) unit rows (Fig. 6).
        names: of the C classes.
        own: the classes that the ECG has.
    """
    x, q = np.asarray(ecg), np.asarray(texts)
    cosine = q @ x
    order = np.argsort(-cosine)
    limit = np.quantile(np.abs(q), 0.99)
    fig, axes = plt.subplots(
        nrows=2,
        ncols=2,
        figsize=(style.WIDTH, 1.5 + 0.24 * len(q)),
        height_ratios=[1.4, len(q)],
        width_ratios=[3.4, 1],
    )
    look = {"aspect": "auto", "cmap": style.DIVERGING, "vmin": -limit, "vmax": limit}
    axes[0, 0].imshow(x[None], **look)
    axes[0, 0].set_yticks([0], ["this ECG"], fontsize=8)
    axes[0, 0].set_xticks([])
    axes[0, 1].set_axis_off()
    image = axes[1, 0].imshow(q[order], **look)
    marked = [f"* {names[i]}" if names[i] in own else names[i] for i in order]
    axes[1, 0].set_yticks(range(len(q)), marked, fontsize=8)
    axes[1, 0].set_xlabel("dimension")
    colours = [style.ORANGE if names[i] in own else style.BLUE for i in order]
    axes[1, 1].barh(range(len(q)), cosine[order], color=colours)
    axes[1, 1].set(xlabel="cosine", ylim=(len(q) - 0.5, -0.5), yticks=[])
    axes[1, 1].axvline(0, color=style.BLACK, lw=0.8)
    fig.colorbar(image, ax=axes[0, 1], orientation="horizontal", fraction=0.5)
    return fig


def _running(values: pd.Series, window: int) -> pd.Series:
    return values.rolling(window, center=True, min_periods=1).mean()
