"""The figure of how pretraining grows with its records, batch and sampling rate."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator

from mccgaa_book.plots import style

AXES = {  # column of the table -> what the axis says
    "records": "records",
    "batch": "batch",
    "sampling_rate": "sampling rate (Hz)",
}


def growth(rows: pd.DataFrame) -> Figure:
    """Draw speed and memory against each of the three, the others kept.

    Speed is that of a whole epoch, with all that looks at every record before its first
    step: where it does not fall as records grow, time is linear in them.

    Args:
        rows: one measurement per row, as `bench/growth.json` has them: `axis` names the
            column that it varies; `epoch_seconds`, `peak_mb`. Those of `processes` are
            not drawn: they are timed by another clock, and two make no line.
    """
    rows = rows.assign(speed=rows["records"] / rows["epoch_seconds"])
    fig, panels = plt.subplots(
        2, len(AXES), figsize=(style.WIDTH, 3.8), sharex="col", sharey="row"
    )
    for (axis, label), (time, memory) in zip(AXES.items(), panels.T, strict=True):
        part = rows[rows["axis"] == axis]
        look = {"data": part, "x": axis, "marker": "o", "legend": False}
        sns.lineplot(**look, y="speed", ax=time, color=style.BLUE)
        sns.lineplot(**look, y="peak_mb", ax=memory, color=style.ORANGE)
        ticks = sorted(part[axis])
        # 1,000,000 is too wide; 1.024k is no batch.
        short = EngFormatter(sep="") if axis == "records" else "{:,}".format
        time.set(xscale="log", ylabel="ECGs per second")
        memory.set(xscale="log", xlabel=label, ylabel="peak memory (MB)")
        memory.set_xticks(ticks, [short(tick) for tick in ticks])
        memory.xaxis.set_minor_locator(NullLocator())
    panels[0, 0].set_ylim(bottom=0)
    panels[1, 0].set_ylim(bottom=0)
    return fig
