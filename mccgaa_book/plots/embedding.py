"""Figures 4 and 5: embeddings in the plane, and one ECG beside its embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mccgaa.data.record import Record
from mccgaa.ready import plot
from mccgaa_book.plots import style

NAMED = len(style.PALETTE)  # classes of a task that get a colour, the commonest


def planes(
    points: Mapping[str, Mapping[str, ArrayLike]], labels: Mapping[str, Sequence[str]]
) -> Figure:
    """Draw every task's embeddings in a plane, one row per task (Fig. 4).

    Args:
        points: stage -> task -> (n, 2).
        labels: task -> n classes; the commonest have a colour and a mark of their own,
            the others are grey.
    """
    tasks, stages = list(labels), list(points)
    fig, axes = plt.subplots(
        len(tasks),
        len(stages) + 1,
        figsize=(style.WIDTH, 2.35 * len(tasks)),
        width_ratios=[*[1.0] * len(stages), 0.62],
        squeeze=False,
    )
    for row, task in zip(axes, tasks, strict=True):
        names = pd.Series(list(labels[task]))
        common = names.value_counts().index[:NAMED]
        for ax, stage in zip(row, stages, strict=False):
            xy = np.asarray(points[stage][task])
            rest = ~names.isin(common).to_numpy()
            ax.plot(*xy[rest].T, ".", ms=3, color="#BBBBBB", label="others")
            for name, mark, colour in zip(
                common, "osD^vPX", style.PALETTE, strict=False
            ):
                own = (names == name).to_numpy()
                ax.plot(*xy[own].T, mark, ms=3, color=colour, alpha=0.8, label=name)
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"{task}, {stage}", fontsize=9)
            ax.set_box_aspect(1)
        handles, shown = row[0].get_legend_handles_labels()
        order = [*range(1, len(shown)), *([0] if rest.any() else [])]
        row[-1].set_axis_off()
        row[-1].legend(
            [handles[i] for i in order],
            [shown[i] for i in order],
            loc="center left",
            fontsize=8,
            borderaxespad=0,
        )
    return fig


def ecg_and_embedding(record: Record, embedding: ArrayLike) -> Figure:
    """Draw a record on clinical paper and its embedding as a band of colours (Fig. 5).

    Args:
        record: in mV.
        embedding: (M,).
    """
    x = np.asarray(embedding)
    sheet = plot.lay_out(
        record, min(10.0, record.signal.shape[1] / record.sampling_rate)
    )
    height = style.WIDTH * sheet.height / sheet.width
    fig, (paper, band) = plt.subplots(
        2, 1, figsize=(style.WIDTH, height + 0.9), height_ratios=[height, 0.5]
    )
    plot.draw_sheet(paper, record, sheet)
    limit = np.quantile(np.abs(x), 0.99)
    look = {"aspect": "auto", "cmap": style.DIVERGING, "vmin": -limit, "vmax": limit}
    image = band.imshow(x[None], **look)
    band.set(yticks=[], xlabel=f"dimension of the embedding (1 to {len(x)})")
    fig.colorbar(image, ax=band, aspect=8)
    return fig
