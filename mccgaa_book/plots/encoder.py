"""The figures of the encoder chapter (section 3.2): gates, channels, leads, moments."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from mccgaa_book.plots import style

LIMITS = (0.5, 1 / (1 + np.exp(-1.0)))  # of eq 13 to the letter
EFFECTS = "embedding"  # column of a lead table that is not a block


def gate_curves(table: pd.DataFrame) -> Figure:
    """Draw both readings of eq 13 over the channel's score z.

    Args:
        table: of `audit.encoder.gate_table`, many z.
    """
    fig, ax = plt.subplots(figsize=(style.WIDTH, 3.0))
    ax.axhspan(*LIMITS, color=style.ORANGE, alpha=0.12, lw=0)
    ax.plot(table["z"], table["sigmoid"], color=style.BLUE, lw=2)
    ax.plot(table["z"], table["double sigmoid"], "--", color=style.ORANGE, lw=2)
    ax.text(0.7, 0.9, "one sigmoid: the text's [0, 1]", color=style.BLUE, ha="right")
    label = "sigmoid of a sigmoid: equation 13"
    ax.text(table["z"].min(), 0.64, label, color=style.ORANGE)
    ax.set(
        xlabel=r"score $z = X_2^{avg} + X_2^{max}$",
        ylabel=r"weight $\alpha$",
        ylim=(-0.02, 1.06),
    )
    ax.set_yticks([0, 0.25, 0.5, LIMITS[1], 1], ["0", "0.25", "0.5", "0.731", "1"])
    return fig


def beat_through_gate(
    beat: Mapping[str, ArrayLike],
    window: tuple[float, float],
    before: ArrayLike,
    alpha: ArrayLike,
    after: ArrayLike,
    unit: str = "mV",
) -> Figure:
    """Show one beat, the channels it excites, and what the gate leaves of them.

    Args:
        beat: lead name -> (samples,) in the window.
        window: its begin and end in the record, seconds.
        before: (C, moments) of the window, entering the gate.
        alpha: (C,) weights; channels are sorted by them, the largest on top.
        after: (C, moments) leaving the gate.
        unit: of the beat's y axis.
    """
    order = np.argsort(-np.asarray(alpha))
    weight = np.asarray(alpha)[order, None]
    maps = [np.asarray(m)[order] for m in (before, after)]
    top = float(np.quantile(np.abs(maps[0]), 0.99))
    fig, axes = plt.subplots(
        nrows=2,
        ncols=3,
        figsize=(style.WIDTH, 5.0),
        sharex="col",
        width_ratios=(10, 1, 10),
        height_ratios=(2, 3),
    )
    axes[0, 1].axis("off")
    looks = zip(("-", "--", ":"), (style.BLUE, style.ORANGE, style.GREEN), strict=True)
    for (name, trace), (dash, colour) in zip(beat.items(), looks, strict=False):
        seconds = np.linspace(*window, len(np.asarray(trace)), endpoint=False)
        axes[0, 0].plot(seconds, trace, dash, color=colour, label=name)
    axes[0, 0].set(ylabel=unit, xlim=window, title="the beat")
    moments = np.linspace(*window, maps[0].shape[1])
    for values, dash, colour, label in (
        (maps[0], "--", style.GREY, "before"),
        (maps[1], "-", style.BLUE, "after"),
    ):
        axes[0, 2].plot(
            moments, np.abs(values).mean(0), dash, color=colour, label=label
        )
    axes[0, 2].set(title="mean |channel|", xlim=window, ylim=(0, None))
    for ax in (axes[0, 0], axes[0, 2]):
        ax.legend(loc="upper right")
    extent = (*window, len(order), 0)
    for ax, values, title in (
        (axes[1, 0], maps[0], "before the gate"),
        (axes[1, 2], maps[1], "after the gate"),
    ):
        image = ax.imshow(
            values,
            aspect="auto",
            extent=extent,
            cmap=style.DIVERGING,
            vmin=-top,
            vmax=top,
        )
        ax.set(title=title, xlabel="time (s)")
    axes[1, 0].set_ylabel(r"channel, by $\alpha$")
    axes[1, 2].set_yticks([])
    column = axes[1, 1]
    column.imshow(weight, aspect="auto", cmap=style.SEQUENTIAL, vmin=0, vmax=1)
    column.set(title=r"$\alpha$")
    column.set_xticks([])
    marks = [0, len(order) // 2, len(order) - 1]
    column.set_yticks(marks, [f"{weight[i, 0]:.2f}" for i in marks])
    column.tick_params(length=0, pad=1)
    fig.colorbar(image, ax=axes[1, 2], label="channel value", pad=0.02)
    return fig


def gates_by_block(found: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Show how far the gates of each block are open: the spread over its channels.

    Args:
        found: title -> block -> alpha (records, C), as `audit.encoder.gates`.
    """
    fig, axes = plt.subplots(
        1, len(found), figsize=(style.WIDTH, 3.4), sharey=True, squeeze=False
    )
    for ax, (title, blocks) in zip(axes[0], found.items(), strict=True):
        means = pd.concat(
            pd.DataFrame({"block": name, "alpha": np.asarray(alpha).mean(0)})
            for name, alpha in blocks.items()
        )
        ax.axhspan(*LIMITS, color=style.ORANGE, alpha=0.15, lw=0)
        sns.violinplot(
            means,
            x="block",
            y="alpha",
            ax=ax,
            cut=0,
            bw_adjust=0.5,
            density_norm="width",
            inner="quart",
            color=style.SKY,
            linewidth=0.8,
        )
        ax.set(title=title, xlabel="stage.block", ylabel="", ylim=(-0.02, 1.02))
    axes[0][0].set_ylabel(r"mean $\alpha$ of a channel")
    fig.legend(
        handles=[
            Patch(
                color=style.ORANGE,
                alpha=0.3,
                label="all that equation 13 to the letter could reach",
            )
        ],
        loc="outside lower center",
    )
    return fig


def lead_response(table: pd.DataFrame) -> Figure:
    """Draw how each gate, and the embedding, respond to the loss of each lead.

    Args:
        table: of `audit.leads.lead_response`.
    """
    blocks = table.drop(columns=EFFECTS)
    fig, axes = plt.subplots(
        1, 2, figsize=(style.WIDTH, 4.0), sharey=True, width_ratios=(3, 1)
    )
    sns.heatmap(
        blocks,
        ax=axes[0],
        cmap=style.SEQUENTIAL,
        vmin=0,
        cbar_kws={"pad": 0.02},
    )
    axes[0].set(title=r"the gates: mean $|\Delta\alpha|$", xlabel="stage.block")
    axes[0].tick_params(axis="y", rotation=0, length=0)
    axes[1].barh(np.arange(len(table)) + 0.5, table[EFFECTS], color=style.BLUE)
    axes[1].set(title="the embedding", xlabel="cosine distance")
    axes[1].xaxis.set_major_locator(MaxNLocator(2))
    axes[1].xaxis.set_major_formatter("{x:g}")
    axes[0].set_ylabel("lead silenced")
    return fig


def moments_attended(signal: ArrayLike, attention: ArrayLike, rate: float) -> Figure:
    """Show where in a record the heads of the attention pooling look.

    Args:
        signal: (T,) one lead.
        attention: (heads, T') weights that sum to one over the T' moments.
        rate: Hz.
    """
    lead, weights = np.asarray(signal), np.asarray(attention)
    seconds = len(lead) / rate
    fig, axes = plt.subplots(
        2, 1, figsize=(style.WIDTH, 3.8), sharex=True, height_ratios=(1, 1)
    )
    axes[0].plot(np.arange(len(lead)) / rate, lead, color=style.BLACK, lw=0.9)
    axes[0].set(ylabel="lead II", xlim=(0, seconds))
    middle = (np.arange(weights.shape[1]) + 0.5) * seconds / weights.shape[1]
    for head, (row, dash) in enumerate(
        zip(weights, ("-", "--", "-.", ":") * len(weights), strict=False), 1
    ):
        axes[1].plot(middle, row * weights.shape[1], dash, label=f"head {head}")
    axes[1].axhline(1, color=style.GREY, lw=0.8)
    axes[1].set(
        xlabel="time (s)",
        ylabel="weight\n(1 = mean pooling)",
        ylim=(0, 1.25 * weights.max() * weights.shape[1]),
    )
    axes[1].legend(ncols=4, loc="upper right")
    return fig


def fields_of_view(
    signal: ArrayLike, rate: float, fields: Mapping[str, float]
) -> Figure:
    """Lay what one moment of the last map can see under a strip of ECG.

    Args:
        signal: (T,) one lead.
        rate: Hz.
        fields: label -> receptive field in seconds.
    """
    lead = np.asarray(signal)
    seconds = len(lead) / rate
    fig, axes = plt.subplots(
        nrows=2,
        ncols=1,
        figsize=(style.WIDTH, 1.8 + 0.32 * len(fields)),
        sharex=True,
        height_ratios=(1.4, 0.32 * len(fields)),
    )
    axes[0].plot(np.arange(len(lead)) / rate, lead, color=style.BLACK, lw=0.9)
    axes[0].set(ylabel="lead II", xlim=(0, seconds))
    for row, (label, field) in enumerate(fields.items()):
        shown = min(field, seconds)
        axes[1].barh(
            row, shown, left=(seconds - shown) / 2, height=0.62, color=style.BLUE
        )
        axes[1].text(
            (seconds - shown) / 2 - 0.03,
            row,
            f"{label}: {field:.2f} s",
            ha="right",
            va="center",
            fontsize=9,
        )
    axes[1].set(xlabel="time (s)", yticks=[], ylim=(len(fields) - 0.4, -0.6))
    axes[1].spines["left"].set_visible(False)
    return fig
