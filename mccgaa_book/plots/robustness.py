"""The figures of the chapter on robustness and imbalance (section 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from mccgaa.config import LEADS
from mccgaa.data.record import Record
from mccgaa_book.audit.data import RARE
from mccgaa_book.plots import style

SECONDS = 4.0  # of a record that are shown
LEAD = LEADS.index("II")
MARKERS = "osD^vPX"  # one per method, beside its colour
HATCHES = ("", "//", "..", "xx", "--", "++", "oo")


def examples(
    records: Mapping[str, Record], fed: Mapping[str, np.ndarray], rate: int
) -> Figure:
    """Draw one lead as recorded and as the model is fed it.

    Args:
        records: name -> recording.
        fed: name -> (12, T) of the model's input; a name may be absent.
        rate: of `fed`, Hz.
    """
    size = (style.WIDTH, 0.85 * len(records) + 0.4)
    fig, axes = plt.subplots(len(records), 1, figsize=size, sharex=True)
    for ax, (name, record) in zip(axes, records.items(), strict=True):
        drawn = [(record.signal[LEAD], record.sampling_rate, style.GREY)]
        if name in fed:
            drawn.append((fed[name][LEAD], rate, style.BLUE))
        for trace, hertz, colour in drawn:
            part = trace[: round(SECONDS * hertz)]
            scaled = (part - np.mean(part)) / (np.std(part) or 1.0)
            ax.plot(np.arange(len(part)) / hertz, scaled, color=colour, lw=0.9)
        ax.set(yticks=[])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
    axes[-1].set(xlabel="s")
    return fig


def levels(tables: Mapping[str, pd.DataFrame], decibels: Sequence[int]) -> Figure:
    """Draw the change by level of noise, a panel per kind.

    Args:
        tables: kind -> rows the levels, columns the methods; AUROC x 100.
        decibels: of the rows.
    """
    fig, axes = plt.subplots(
        1, len(tables), figsize=(style.WIDTH, 3.0), sharey=True, squeeze=False
    )
    at = np.arange(len(decibels))
    for ax, (kind, table) in zip(axes[0], tables.items(), strict=True):
        ax.axhline(0, color=style.GREY, lw=1)
        looks = zip(table, style.of_methods(table), MARKERS, strict=False)
        for method, colour, marker in looks:
            ax.plot(at, table[method], marker + "-", color=colour, label=method)
        ax.set(title=kind, xlabel="dB", xticks=at, xticklabels=decibels)
    axes[0, 0].set_ylabel("change of AUROC x 100")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3)
    return fig


def leads(table: pd.DataFrame) -> Figure:
    """Draw the change when a lead is lost.

    Args:
        table: rows the leads in order, columns the methods; AUROC x 100.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.0))
    at, width = np.arange(len(table)), 0.8 / table.shape[1]
    looks = zip(table, style.of_methods(table), HATCHES, strict=False)
    for i, (method, colour, hatch) in enumerate(looks):
        place = at + (i - (table.shape[1] - 1) / 2) * width
        look = {"color": colour, "hatch": hatch, "edgecolor": "white", "lw": 0}
        ax.bar(place, table[method], width, label=method, **look)
    ax.axhline(0, color=style.GREY, lw=1)
    names = [name.removeprefix("lost lead ") for name in table.index]
    ax.set(xticks=at, xticklabels=names, ylabel="change of AUROC x 100")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def frequency(table: pd.DataFrame) -> Figure:
    """Draw AUROC and AUPRC of every class against how frequent it is.

    Args:
        table: one row per class and method: `variant`, `prevalence` (per cent),
            `auroc` and `auprc` (x 100).
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.4))
    for ax, (column, guess) in zip(
        axes, (("auroc", None), ("auprc", "prevalence")), strict=True
    ):
        methods = table.groupby("variant", sort=False)
        colours = style.of_methods(table["variant"].unique())
        for (method, own), colour, marker in zip(
            methods, colours, MARKERS, strict=False
        ):
            look = {"color": colour, "ms": 4, "alpha": 0.7, "ls": "none"}
            ax.plot(own["prevalence"], own[column], marker, label=method, **look)
        low, high = table["prevalence"].min(), table["prevalence"].max()
        line = np.geomspace(low, high)
        floor = line if guess else np.full_like(line, 50.0)
        ax.plot(line, floor, ":", color=style.GREY)
        ax.axvline(100 * RARE, color=style.GREY, lw=0.8)
        ax.set(xscale="log", xlabel="frequency, per cent", ylim=(0, 101))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # 10, not a power
        ax.set_ylabel(f"{column.upper()} x 100")
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3)
    return fig
