"""Figures of the baselines: what each augmentation does, and how training went."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mccgaa.plus.augment import AUGMENTATIONS, augment
from mccgaa_book.plots import style


def augmentations(
    signals: Tensor,
    rate: float,
    names: Sequence[str] = tuple(AUGMENTATIONS),
    *,
    lead: int = 1,
    strength: float = 1.0,
    seconds: float = 4.0,
    seed: int = 0,
    standardised: bool = True,
) -> Figure:
    """Draw one lead of an ECG before and after each augmentation.

    Args:
        signals: (1, 12, T), one record.
        rate: Hz.
        names: of `mccgaa.plus.augment.AUGMENTATIONS`, a panel each.
        lead: drawn, by position.
        strength: in [0, 1].
        seconds: shown, from the start.
        seed: of what is drawn at random; where an augmentation is one that leaves half
            of the records alone, the first later seed at which it changes this one.
        standardised: the leads are z-scored, as in `augment`.
    """
    columns = 2
    rows = math.ceil(len(names) / columns)
    fig, panels = plt.subplots(
        rows,
        columns,
        figsize=(style.WIDTH, 1.15 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    shown = slice(0, round(seconds * rate))
    time = np.arange(signals.shape[-1])[shown] / rate
    for panel, name in zip(panels.flat, names, strict=False):
        varied = _changed(signals, rate, name, lead, strength, seed, standardised)
        panel.plot(time, signals[0, lead, shown], color=style.GREY, linewidth=1.0)
        panel.plot(time, varied[0, lead, shown], color=style.BLUE, linewidth=1.0)
        panel.set_title(name, fontsize=9)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    for panel in panels[-1]:
        panel.set_xlabel("time (s)")
    return fig


def _changed(
    signals: Tensor,
    rate: float,
    name: str,
    lead: int,
    strength: float,
    seed: int,
    standardised: bool,
) -> Tensor:
    """Change a record until its drawn lead is another, (1, 12, T)."""
    varied = signals
    with torch.random.fork_rng():
        for offset in range(100):
            torch.manual_seed(seed + offset)
            varied = augment(signals, strength, [name], rate, standardised=standardised)
            if not torch.equal(varied[0, lead], signals[0, lead]):
                break
    return varied


def training_curves(frame: pd.DataFrame, labels: dict[str, str]) -> Figure:
    """Draw each method's loss and the spread of its embeddings over training.

    Losses of different methods have different units, so each is drawn from its first
    point (1) to its lowest (0).

    Args:
        frame: of the experiment "baselines", rows of split "train".
        labels: variant -> what the legend says, in its order.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(style.WIDTH, 3.2))
    looks = zip(labels.items(), style.of_methods(labels.values()), strict=True)
    for number, ((variant, label), colour) in enumerate(looks):
        look = {
            "color": colour,
            "linestyle": "-" if number < len(style.PALETTE) else "--",
            "label": label,
        }
        loss = curve(frame, variant, "loss")
        if loss.empty:
            continue
        low, high = loss.min(), loss.iloc[0]
        left.plot(loss.index, (loss - low) / max(high - low, 1e-12), **look)
        spread = curve(frame, variant, "spread")
        right.plot(spread.index, spread, **look)
    left.set(xlabel="share of training (%)", ylabel="loss, first to lowest")
    right.set(xlabel="share of training (%)", ylabel="spread of embeddings")
    right.set_ylim(bottom=0)
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def curve(frame: pd.DataFrame, variant: str, column: str) -> pd.Series:
    """The mean over seeds of a training curve, by share of training in per cent."""
    own = frame[(frame["variant"] == variant) & (frame["split"] == "train")]
    points = own["metric"].str.extract(rf"^{column}_(\d+)$")[0]
    own = own.assign(share=pd.to_numeric(points)).dropna(subset="share")
    return own.groupby("share")["value"].mean()
