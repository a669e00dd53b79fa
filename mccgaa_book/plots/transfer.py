"""The figure of the transfer between the synthetic mirror and real records."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mccgaa_book.plots import style


def square(table: pd.DataFrame) -> Figure:
    """Draw where a model was trained against where it was tested.

    Args:
        table: macro AUROC x 100; rows trained on, columns tested on.
    """
    fig, ax = plt.subplots(figsize=(0.6 * style.WIDTH, 3.2))
    sns.heatmap(
        table,
        ax=ax,
        annot=True,
        fmt=".1f",
        cmap=style.SEQUENTIAL,
        vmin=50,
        vmax=100,
        square=True,
        linewidths=2,
        cbar_kws={"label": "macro AUROC x 100"},
    )
    style.ink_cells(ax)
    ax.tick_params(length=0)
    return fig
