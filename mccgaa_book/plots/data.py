"""The figures of chapter 1: an ECG, the classes' imbalance, Chapman's label fault."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mccgaa.data.record import Record
from mccgaa.ready import plot
from mccgaa_book.audit.data import RARE
from mccgaa_book.plots import style

_ZERO = 0.5  # where a logarithmic axis of counts shows zero


def ecg_sheet(record: Record, seconds: float = 10.0, rhythm: str = "II") -> Figure:
    """Draw a record as it is printed: four columns of three leads and a rhythm strip.

    Args:
        record: in mV, at least `seconds` long; NaN is left blank.
        seconds: length of the sheet; each column shows a quarter of it.
        rhythm: the lead drawn in full at the bottom.
    """
    sheet = plot.lay_out(record, seconds, rhythm)
    size = (style.WIDTH, style.WIDTH * sheet.height / sheet.width)
    fig, ax = plt.subplots(figsize=size)
    plot.draw_sheet(ax, record, sheet)
    return fig


def class_imbalance(counts: Mapping[str, pd.DataFrame]) -> Figure:
    """Show every class's share of its task, commonest first, on a logarithmic axis.

    Args:
        counts: title -> table of `audit.data.class_counts`; classes below 1 % are set
            off, classes without a record have no bar.
    """
    rows = _in_rows({title: len(frame) for title, frame in counts.items()})
    found = pd.concat([frame["share"] for frame in counts.values()])
    floor = 10 ** np.floor(np.log10(found[found > 0].min()) - 0.05)
    fig = plt.figure(figsize=(style.WIDTH, 2.6 * len(rows)))
    for part, row in zip(np.atleast_1d(fig.subfigures(len(rows))), rows, strict=True):
        widths = [len(counts[title]) + 3 for title in row]
        axes = part.subplots(1, len(row), squeeze=False, width_ratios=widths)[0]
        for ax, title in zip(axes, row, strict=True):
            _bars(ax, counts[title]["share"], floor)
            rare = int((counts[title]["share"] < RARE).sum())
            ax.set_title(f"{title}\n{rare} below 1 %", fontsize=10)
        axes[0].set_ylabel("share of records")
    return fig


def label_fault(faults: Mapping[str, pd.DataFrame]) -> Figure:
    """Compare the records that have a class with those that the shared table gives it.

    Args:
        faults: title -> table with columns exact and published, by class; the classes
            drawn are those of the first table that have a wrong record.
    """
    first = next(iter(faults.values()))
    hit = first[first["published"] > first["exact"]].sort_values("published").index
    y = np.arange(len(hit))
    fig, axes = plt.subplots(
        1, len(faults), figsize=(style.WIDTH, 3.6), squeeze=False, sharey=True
    )
    marks = {"exact": ("o", style.BLUE), "published": ("D", style.ORANGE)}
    names = {"exact": "exact acronym", "published": "substring, as published"}
    for ax, (title, frame) in zip(axes[0], faults.items(), strict=True):
        shown = frame.reindex(hit).clip(lower=_ZERO)
        ax.hlines(y, shown["exact"], shown["published"], color=style.GREY, lw=2)
        for column, (mark, colour) in marks.items():
            ax.plot(shown[column], y, mark, color=colour, label=names[column])
        ax.set(xscale="log", xlabel="records", title=title, xlim=(_ZERO * 0.8, None))
        ticks = [_ZERO, *(10.0**k for k in range(6) if 10**k <= shown.max().max())]
        ax.set_xticks(ticks, ["0", *(f"{tick:,.0f}" for tick in ticks[1:])])
        ax.minorticks_off()
        ax.grid(True, axis="x", lw=0.4)
    axes[0][0].set_yticks(y, hit)
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    return fig


def _in_rows(classes: Mapping[str, int], width: int = 46) -> list[list[str]]:
    """Put tasks side by side as long as their classes stay legible."""
    rows: list[list[str]] = [[]]
    for title, n in classes.items():
        if rows[-1] and sum(classes[t] + 3 for t in rows[-1]) + n > width:
            rows.append([])
        rows[-1].append(title)
    return rows


def _bars(ax: plt.Axes, share: pd.Series, floor: float) -> None:
    """Draw one task's classes."""
    x = np.arange(len(share))
    colours = np.where(share < RARE, style.PINK, style.SKY)
    height = share.clip(lower=floor) - floor
    ax.bar(x, height, bottom=floor, color=colours, width=0.8)
    ax.axhline(RARE, color=style.BLACK, lw=0.8, ls="--")
    ax.set(yscale="log", ylim=(floor, 1), xlim=(-0.8, len(share) - 0.2))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    ax.minorticks_off()
    ax.set_xticks(x, share.index, rotation=90, fontsize=8)
    ax.tick_params(axis="x", length=0, pad=2)
