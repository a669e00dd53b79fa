"""The figures of appendix 2: the simulated heart and what is measured on it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mccgaa.config import LEADS
from mccgaa_book.audit.twin import RANGES
from mccgaa_book.plots import style

SHOWN = ("I", "III", "aVF", "V1", "V3", "V6")
PANELS = {
    "heart_rate": "heart rate, /min",
    "pr": "PR, ms",
    "qrs": "QRS, ms",
    "qtc": "QTc, ms",
    "axis": "QRS axis, degrees",
}
MILLIVOLT = 0.4  # inches
MIRRORS = {"ptbxl": "mirror of PTB-XL", "mimic": "mirror of MIMIC-IV-ECG"}
_LIMITS = {
    "heart_rate": (30, 210),
    "pr": (70, 320),
    "qrs": (60, 185),
    "qtc": (290, 560),
    "axis": (-100, 180),
}


def activation(times: pd.DataFrame) -> Figure:
    """Show when each segment of the ventricles is activated.

    Args:
        times: of `audit.twin_data.activation_times`, ms.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 5.6))
    sns.heatmap(
        times,
        ax=ax,
        cmap=style.SEQUENTIAL,
        annot=True,
        fmt=".0f",
        annot_kws={"fontsize": 8},
        cbar_kws={"label": "ms after QRS onset"},
        linewidths=0.4,
    )
    style.ink_cells(ax)
    ax.set(xlabel="", ylabel="")
    ax.set_xticks(ax.get_xticks(), [textwrap.fill(way, 14) for way in times])
    ax.tick_params(axis="x", rotation=0, labelsize=8, length=0)
    ax.tick_params(axis="y", labelsize=8, length=0)
    return fig


def beats(found: Mapping[str, np.ndarray], normal: np.ndarray) -> Figure:
    """Draw beats with findings over the same subject's normal beat, six leads each.

    A row is as high as its beats ask for; a millivolt is as long in all of them.

    Args:
        found: title -> (12, W) mV at 500 Hz.
        normal: (12, W) mV of the same subject.
    """
    leads = [LEADS.index(lead) for lead in SHOWN]
    pairs = [np.stack([normal, beat])[:, leads] for beat in found.values()]
    limits = [(pair.min() - 0.15, pair.max() + 0.15) for pair in pairs]
    heights = [high - low for low, high in limits]
    fig, axes = plt.subplots(
        len(found),
        len(SHOWN),
        figsize=(style.WIDTH, MILLIVOLT * sum(heights) + 0.5),
        height_ratios=heights,
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0, wspace=0, hspace=0)
    time = np.arange(normal.shape[1]) / 500
    for row, title, pair, limit in zip(axes, found, pairs, limits, strict=True):
        for ax, without, beat in zip(row, *pair, strict=True):
            ax.plot(time, without, color=style.GREY, lw=1.0)
            ax.plot(time, beat, color=style.BLUE, lw=1.4)
            ax.set(xticks=[], yticks=[], ylim=limit, xlim=(time[0], time[-1]))
            ax.spines[:].set_visible(False)
        row[0].annotate(  # beside the beat's baseline, wherever that lies
            title,
            (0, 0),
            xycoords=row[0].get_yaxis_transform(),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=9,
        )
    for ax, lead in zip(axes[0], SHOWN, strict=True):
        ax.set_title(lead, fontsize=9, loc="center")
    corner = axes[-1][-1]
    low, right = corner.get_ylim()[0], time[-1]
    bar = {"color": style.BLACK, "lw": 1.5, "clip_on": False}
    corner.plot([right, right, right - 0.2], [low + 1.0, low, low], **bar)
    corner.annotate(
        "1 mV, 0.2 s",
        (right, low),
        xytext=(0, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
    )
    return fig


def strips(signals: Mapping[str, np.ndarray], seconds: float = 8.0) -> Figure:
    """Draw rhythms one below the other.

    Args:
        signals: title -> (T,) mV at 500 Hz.
        seconds: shown of each.
    """
    fig, axes = plt.subplots(
        len(signals), 1, figsize=(style.WIDTH, 0.78 * len(signals)), sharex=True
    )
    length = round(seconds * 500)
    time = np.arange(length) / 500
    for ax, (title, signal) in zip(np.atleast_1d(axes), signals.items(), strict=True):
        ax.plot(time, signal[:length], color=style.BLACK, lw=0.7)
        ax.set_title(title, fontsize=8, pad=1)
        ax.set(yticks=[], xlim=(0, seconds))
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(axis="x", length=0, labelbottom=False)
        ax.grid(True, axis="x", color="#F2C9C4", lw=0.5)
    last = np.atleast_1d(axes)[-1]
    last.tick_params(labelbottom=True)
    last.set_xlabel("seconds")
    return fig


def ranges(measured: pd.DataFrame) -> Figure:
    """Draw what the ruler reads over the textbook's range of each finding.

    Args:
        measured: of `audit.twin.in_range`.
    """
    rows = {name: [r for r in RANGES if r.name == name] for name in PANELS}
    fig, axes = plt.subplots(
        len(PANELS),
        1,
        figsize=(style.WIDTH, 0.30 * len(RANGES) + 3.4),
        height_ratios=[len(part) + 0.6 for part in rows.values()],
    )
    for ax, (name, title) in zip(axes, PANELS.items(), strict=True):
        low, high = _LIMITS[name]
        for y, one in enumerate(rows[name]):
            left, right = max(one.low, low), min(one.high, high)
            ax.barh(
                y,
                width=right - left,
                height=0.72,
                left=left,
                color="#DDEAF3",
                edgecolor="none",
            )
            here = measured["finding"] == one.code
            here &= measured["measure"].str.startswith(name)
            _interval(ax, measured[here], y, style.BLUE, "o", "twin")
        ax.set_yticks(range(len(rows[name])), [one.code for one in rows[name]])
        ax.set(xlim=(low, high), ylim=(len(rows[name]) - 0.4, -0.6))
        ax.set_xlabel(title, fontsize=9, labelpad=3)
        ax.tick_params(axis="y", length=0, labelsize=8)
        ax.tick_params(axis="x", labelsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    fig.legend(
        unique.values(), unique.keys(), loc="outside lower center", ncols=len(unique)
    )
    return fig


def _interval(
    ax: plt.Axes, rows: pd.DataFrame, y: float, colour: str, mark: str, name: str
) -> None:
    """A median with the middle 80 per cent; nothing where nothing was measured."""
    if rows.empty or rows["median"].isna().all():
        return
    row = rows.iloc[0]
    ax.plot([row["p10"], row["p90"]], [y, y], color=colour, lw=1.6)
    ax.plot(row["median"], y, mark, color=colour, ms=4.5, label=name)


def prevalence(table: pd.DataFrame) -> Figure:
    """Plot each statement's share in the twin against its share in PTB-XL.

    Args:
        table: of `audit.twin_data.prevalence`.
    """
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.8), sharex=True, sharey=True)
    limits = (2e-4, 1.0)
    for ax, (column, title) in zip(axes, MIRRORS.items(), strict=True):
        found = table[table[column] > 0]
        ax.plot(limits, limits, color=style.GREY, lw=0.8)
        ax.scatter(found["published"], found[column], s=14, color=style.BLUE)
        ax.set(xscale="log", yscale="log", xlim=limits, ylim=limits, title=title)
        ax.set_xlabel("share in PTB-XL, published")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(
                FuncFormatter(lambda share, _: f"{100 * share:g} %")
            )
        ax.grid(True, lw=0.4)
    axes[0].set_ylabel("share in the twin")
    _name_departing(axes[0], table[(table["ptbxl"] > 0) & (table["published"] > 0.002)])
    return fig


def _name_departing(ax: plt.Axes, table: pd.DataFrame, count: int = 5) -> None:
    """Write the codes of those whose share departs most, on the side that is free."""
    ratio = np.log(table["ptbxl"] / table["published"])
    for code in ratio.abs().nlargest(count).index:
        above = ratio[code] > 0
        ax.annotate(
            code,
            table.loc[code, ["published", "ptbxl"]],
            xytext=(-5, 4) if above else (5, -4),
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if above else "top",
            fontsize=8,
        )


def variety(curve: pd.DataFrame) -> Figure:
    """Draw distinct texts against reports.

    Args:
        curve: of `audit.twin_data.variety`.
    """
    fig, ax = plt.subplots(figsize=(0.7 * style.WIDTH, 2.8))
    ax.plot(curve["reports"], curve["reports"], color=style.GREY, lw=0.8)
    ax.plot(curve["reports"], curve["distinct"], color=style.BLUE, marker="o", ms=3)
    ax.annotate(
        "were every text new", (0.24, 0.62), xycoords="axes fraction", fontsize=8
    )
    ax.set(xlabel="reports written", ylabel="distinct texts")
    ax.set_ylim(0, None)
    ax.grid(True, lw=0.4)
    return fig


def spectra(power: pd.DataFrame) -> Figure:
    """Draw the mean power spectrum of one lead by source.

    Args:
        power: of `audit.twin_data.spectra`.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.2))
    dashes = ("-", "--", "-.", ":")
    for (name, column), dash in zip(power.items(), dashes, strict=False):
        shown = column[(power.index > 0.2) & (power.index < 200)]
        ax.plot(shown.index, shown, ls=dash, lw=1.2, label=name)
    ax.set(xscale="log", yscale="log", xlabel="Hz", ylabel="mV$^2$ / Hz")
    ax.legend()
    ax.grid(True, which="both", lw=0.3)
    return fig
