"""The figures of chapter 0: one beat with the names of its parts, and rhythm strips."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mccgaa.ready.plot import INK, MAJOR, MINOR
from mccgaa_book.plots import style

_BEFORE, _AFTER = 0.3, 0.6  # seconds of a beat shown around the onset of its QRS


def beat(
    lead: ArrayLike, rate: float, onset: float, pr: float, qrs: float, qt: float
) -> Figure:
    """Draw one beat on paper, its waves named and its intervals measured.

    Args:
        lead: (T,) mV.
        rate: samples per second.
        onset: seconds at which QRS begins.
        pr, qrs, qt: the beat's intervals, ms.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH * 0.75, 3.6))
    time = np.arange(len(lead)) / rate - onset  # 0 where QRS begins
    shown = (time >= -_BEFORE) & (time <= _AFTER)
    values = np.asarray(lead)[shown]
    low, high = values.min() - 0.55, values.max() + 0.25
    _paper(ax, -_BEFORE, _AFTER, low, high)
    ax.plot(time[shown], values, color=INK, lw=1.6)
    ends = {"PR": (-pr, 0.0), "QRS": (0.0, qrs), "QT": (0.0, qt)}  # ms
    for row, (name, (start, end)) in enumerate(ends.items()):
        y = low + 0.12 + 0.13 * row
        arrow = {"arrowstyle": "|-|, widthA=0.25, widthB=0.25", "color": style.BLUE}
        ax.annotate("", (start / 1e3, y), (end / 1e3, y), arrowprops=arrow)
        look = {"fontsize": 9, "color": style.BLUE, "va": "center"}
        ax.text(max(end, 0) / 1e3 + 0.02, y, f"{name} {end - start:.0f} ms", **look)
    places = {"P": -pr + 40, "QRS": qrs / 2, "T": qt - 90}  # ms
    for name, at in places.items():
        near = np.abs(time[shown] - at / 1e3) < 0.06
        top = values[near].max()
        ax.text(at / 1e3, top + 0.05, name, ha="center", fontweight="bold")
    ax.set(xlabel="seconds from the beginning of QRS", ylabel="mV")
    return fig


def strips(leads: Mapping[str, ArrayLike], rate: float, seconds: float) -> Figure:
    """Draw the first seconds of several leads below each other, on paper.

    Args:
        leads: title -> (T,) mV.
        rate: samples per second.
        seconds: shown of each.
    """
    fig, axes = plt.subplots(
        len(leads), 1, figsize=(style.WIDTH, 1.25 * len(leads)), sharex=True
    )
    for ax, (title, lead) in zip(np.atleast_1d(axes), leads.items(), strict=True):
        values = np.asarray(lead)[: round(seconds * rate)]
        values = values - np.median(values)
        _paper(ax, 0.0, seconds, min(values.min(), -0.5) - 0.1, max(values.max(), 1.0))
        ax.plot(np.arange(len(values)) / rate, values, color=INK, lw=1)
        ax.set_title(title, fontsize=10)
        ax.set_yticks([])
    ax.set_xlabel("seconds")
    return fig


def _paper(ax: Axes, left: float, right: float, low: float, high: float) -> None:
    """Rule an axis as paper: small squares of 0.04 s and 0.1 mV, large ones of five."""
    for every, colour, width in ((1, MINOR, 0.4), (5, MAJOR, 0.7)):
        across = np.arange(np.ceil(left / 0.04), right / 0.04 + 1e-9)
        up = np.arange(np.ceil(low / 0.1), high / 0.1 + 1e-9)
        look = {"color": colour, "lw": width, "zorder": 0}
        ax.vlines(0.04 * across[across % every == 0], low, high, **look)
        ax.hlines(0.1 * up[up % every == 0], left, right, **look)
    ax.set(xlim=(left, right), ylim=(low, high))
