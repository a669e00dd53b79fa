"""One ECG before and after each view of a method, and the parts that a method sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from mccgaa.config import LEADS
from mccgaa_book.plots import style

COLUMNS = 2  # panels side by side
SHOWN = ("II", "V2")  # leads of a panel
APART = 6.0  # between the baselines of a panel's leads, in deviations


def before_and_after(
    ecg: ArrayLike,
    varied: Mapping[str, ArrayLike],
    rate: float,
    window: tuple[float, float] = (0.0, 5.0),
    leads: Sequence[str] = SHOWN,
) -> Figure:
    """Draw each variant of one ECG over the ECG, in two leads.

    Args:
        ecg: (12, T), z-scored.
        varied: title -> (12, T).
        rate: Hz.
        window: seconds that are shown.
        leads: their names, from the top down.
    """
    before = np.asarray(ecg)
    rows = -(-len(varied) // COLUMNS)
    fig, axes = plt.subplots(
        nrows=rows,
        ncols=COLUMNS,
        figsize=(style.WIDTH, 1.4 * rows + 0.4),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    first, last = (round(t * rate) for t in window)
    seconds = np.arange(first, last) / rate
    for ax, (title, after) in zip(axes.flat, varied.items(), strict=False):
        for row, name in enumerate(leads):
            lead = LEADS.index(name)
            for values, look in (
                (before, {"color": style.GREY, "lw": 2.5, "alpha": 0.4}),
                (np.asarray(after), {"color": style.BLUE, "lw": 0.9}),
            ):
                ax.plot(seconds, values[lead, first:last] - row * APART, **look)
        ax.set_title(title, fontsize=9)
        ax.set(xlim=window)
        ax.set_yticks([-row * APART for row in range(len(leads))], leads)
        ax.tick_params(axis="y", length=0)
    for ax in axes.flat[len(varied) :]:
        ax.axis("off")
    for column in range(COLUMNS):
        shown = [i for i in range(rows) if i * COLUMNS + column < len(varied)]
        if shown:
            bottom = axes[shown[-1], column]
            bottom.set_xlabel("time (s)")
            bottom.xaxis.set_tick_params(labelbottom=True)
    return fig


def parts_seen(parts: Mapping[str, ArrayLike], seconds: float) -> Figure:
    """Show by lead and time which part of a record each view, or the encoder, sees.

    Args:
        parts: title -> (12, n), 0 what nobody sees, 1 and 2 the first and second view.
        seconds: length of the record.
    """
    fig, axes = plt.subplots(
        ncols=len(parts), figsize=(style.WIDTH, 2.9), sharey=True, squeeze=False
    )
    colours = ListedColormap(["#E8E8E8", style.BLUE, style.ORANGE])
    for ax, (title, seen) in zip(axes[0], parts.items(), strict=True):
        values = np.asarray(seen)
        extent = (0, seconds, len(values), 0)
        ax.imshow(
            values, aspect="auto", extent=extent, cmap=colours, vmin=-0.5, vmax=2.5
        )
        ax.hlines(range(1, len(values)), 0, seconds, color="white", lw=0.8)
        ax.set(title=title, xlabel="time (s)")
        ax.tick_params(length=0)
    axes[0][0].set_yticks(np.arange(len(LEADS)) + 0.5, LEADS)
    named = zip(
        ("hidden", "first view, or seen", "second view"), colours.colors, strict=True
    )
    handles = [Patch(color=colour, label=label) for label, colour in named]
    fig.legend(handles=handles, loc="outside lower center", ncols=3)
    return fig
