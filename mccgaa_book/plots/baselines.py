"""Figures of the baselines: what each augmentation does, and how training went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
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
    seconds: float = 2.5,
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
        before = {"color": style.GREY, "linewidth": 2.5, "alpha": 0.4}
        panel.plot(time, signals[0, lead, shown], **before)
        panel.plot(time, varied[0, lead, shown], color=style.BLUE, linewidth=0.9)
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


def training_curves(
    frame: pd.DataFrame, labels: Mapping[str, str], guesses: Mapping[str, float]
) -> Figure:
    """Draw each method's loss and the spread of its embeddings, in a panel of its own.

    Args:
        frame: of the experiment "baselines", rows of split "train".
        labels: variant -> its panel's title, in their order; variants without a curve
            have no panel.
        guesses: variant -> what its loss is where nothing has been learned.
    """
    found = {name: curve(frame, name, "loss") for name in labels}
    found = {name: loss for name, loss in found.items() if len(loss)}
    columns = 4
    rows = max(1, math.ceil(len(found) / columns))
    fig, panels = plt.subplots(
        rows, columns, figsize=(style.WIDTH, 1.5 * rows + 0.2), squeeze=False
    )
    for i, (panel, (name, loss)) in enumerate(
        zip(panels.flat, found.items(), strict=False)
    ):
        panel.plot(loss.index, loss, color=style.BLUE, linewidth=1.2)
        if name in guesses:
            panel.axhline(guesses[name], color=style.BLUE, linestyle=":", linewidth=0.9)
        panel.set_title(labels[name], fontsize=9)
        panel.yaxis.set_major_locator(MaxNLocator(3))
        spread = curve(frame, name, "spread")
        right = panel.twinx()
        right.plot(spread.index, spread, color=style.GREY, linewidth=0.9)
        right.set_ylim(0, 1.1)
        last = i % columns == columns - 1 or i == len(found) - 1
        right.set_yticks([0, 1] if last else [])
        right.spines["right"].set_visible(last)
        panel.set_xticks([0, 100])
        panel.tick_params(labelsize=8)
        right.tick_params(labelsize=8, colors=style.GREY)
    for panel in panels.flat[len(found) :]:
        panel.set_visible(False)
    fig.supxlabel("share of training (%)", fontsize=9)
    fig.supylabel("loss", fontsize=9, color=style.BLUE)
    return fig


def curve(frame: pd.DataFrame, variant: str, column: str) -> pd.Series:
    """The mean over seeds of a training curve, by share of training in per cent."""
    own = frame[(frame["variant"] == variant) & (frame["split"] == "train")]
    points = own["metric"].str.extract(rf"^{column}_(\d+)$")[0]
    own = own.assign(share=pd.to_numeric(points)).dropna(subset="share")
    return own.groupby("share")["value"].mean()
