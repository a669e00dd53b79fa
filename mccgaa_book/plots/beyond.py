"""The figure of chapter 8: models on the line between two others."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mccgaa_book.plots import style

LOOKS = {  # kind of the ECGs tested -> colour, mark, what the legend says
    "real": (style.BLUE, "o", "real, PTB-XL fold 9"),
    "synthetic": (style.ORANGE, "s", "synthetic, the twin's validation split"),
}


def between(table: pd.DataFrame, merged: pd.DataFrame) -> Figure:
    """Draw a score against the share that the start has in the weights.

    Args:
        table: one row per seed, share and kind: `start_share` in [0, 1], `tested_on`
            (a key of LOOKS), and `value`; the band is the deviation over seeds.
        merged: likewise, of the mean of all seeds' weights: single open marks.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.2))
    for kind, (color, mark, label) in LOOKS.items():
        rows, one = (t[t["tested_on"] == kind] for t in (table, merged))
        look = {"color": color, "ax": ax}
        sns.lineplot(
            rows,
            x="start_share",
            y="value",
            errorbar="sd",
            marker=mark,
            label=f"{label}, one run",
            **look,
        )
        ax.plot(
            one["start_share"],
            one["value"],
            color=color,
            marker=mark,
            markerfacecolor="white",
            linestyle="",
            label=f"{label}, mean of all runs",
        )
    ax.set(xlabel="share of the start in the weights", ylabel="macro AUROC x 100")
    ax.set_xticks(sorted(table["start_share"].unique()))
    ax.legend(loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0))
    return fig
