"""The figures of the chapter on linear probing (section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mccgaa.merl_probe import Course
from mccgaa_book.plots import style

MARKERS = "v^s"


def strengths(l2: Sequence[float], aurocs: Sequence[float], chosen: float) -> Figure:
    """Draw the validation AUROC over the strength of the regularisation.

    Args:
        l2: strengths.
        aurocs: of the head of each, x 100.
        chosen: the strength that was taken.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 2.8))
    ax.plot(l2, aurocs, "o-", color=style.BLUE)
    at = list(l2).index(chosen)
    ax.plot(chosen, aurocs[at], "o", ms=11, mfc="none", color=style.ORANGE)
    ax.annotate(
        "chosen",
        (chosen, aurocs[at]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
        color=style.ORANGE,
    )
    ax.set(xscale="log", xlabel="regularisation", ylabel="validation AUROC x 100")
    ax.margins(y=0.2)
    return fig


def course(found: Course, epochs: Mapping[str, int], converged: float) -> Figure:
    """Draw what the ancestor's probe sees after each epoch.

    Args:
        found: of both splits.
        epochs: rule -> index of the epoch that it reports.
        converged: test AUROC x 100 of the head that converges.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.2))
    steps = np.arange(1, len(found.test) + 1)
    for values, label, colour in (
        (found.val, "validation split", style.GREY),
        (found.test, "test split", style.BLUE),
    ):
        ax.plot(steps, 100 * values, color=colour, label=label)
    for (rule, at), marker in zip(epochs.items(), MARKERS, strict=True):
        value = 100 * found.test[at]
        look = {"color": style.ORANGE, "ls": "none", "ms": 7}
        ax.plot(at + 1, value, marker, label=f"{rule}: {value:.1f}", **look)
    ax.axhline(converged, color=style.BLACK, lw=1, ls="--", label="converged head")
    ax.set(xlabel="epoch", ylabel="macro AUROC x 100")
    fig.legend(loc="outside lower center", ncols=3)
    return fig
