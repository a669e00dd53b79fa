"""What may be concluded from zero-shot scores: seeds, records, rare classes.

Section 4 prints means with an unexplained ± and no interval for any class. These
functions keep apart what is mixed there: the spread over training seeds, the
uncertainty that comes from the test records, and the choice of a threshold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mccgaa.data.store import SignalStore
from mccgaa.metrics import TaskResult, auroc

RARE = 0.01  # the paper's "ultra-minority": below 1 % of the records
MEAN = "mean"


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise runs that differ in their seed alone.

    Args:
        table: of `Lab.zero_shot_table`: variant, label, seed, task, auroc, low, high.

    Returns:
        One row a label and task, and `mean` for the mean over tasks: `mean` and `sd`
        over seeds (NaN for one seed), `low` and `high`, the ends of the bootstrap
        interval over test records, averaged over seeds (NaN for the mean over tasks).
    """
    rows = []
    for label, runs in table.groupby("label", sort=False):
        parts = [(task, part) for task, part in runs.groupby("task", sort=False)]
        means = runs.groupby("seed")["auroc"].mean()
        for task, part in parts:
            scores, ends = part["auroc"], part[["low", "high"]].mean()
            rows.append((label, task, scores.mean(), scores.std(), *ends))
        rows.append((label, MEAN, means.mean(), means.std(), np.nan, np.nan))
    columns = ["label", "task", "mean", "sd", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def paired(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Compare two variants seed by seed.

    Args:
        table: of `Lab.zero_shot_table`.
        first: variant.
        second: variant that is subtracted from it.

    Returns:
        One row a task and one for the mean: `difference`, its `sd` over seeds, its
        95 % t-interval `low` to `high` (NaN for one seed), and in how many of the
        `seeds` the first is `ahead`.
    """
    wide = table.pivot(index="seed", columns=["variant", "task"], values="auroc")
    change = wide[first] - wide[second]
    change = change[list(dict.fromkeys(table["task"]))]
    change[MEAN] = change.mean(axis=1)
    n = len(change)
    half = stats.t.ppf(0.975, n - 1) * change.sem() if n > 1 else np.nan
    return pd.DataFrame(
        {
            "difference": change.mean(),
            "sd": change.std(),
            "low": change.mean() - half,
            "high": change.mean() + half,
            "ahead": (change > 0).sum(),
            "seeds": n,
        }
    ).rename_axis("task")


def paired_bootstrap(
    labels: NDArray[np.integer],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Compare two models on the same test records, drawn again and again.

    Args:
        labels: (n, C) of 0 or 1.
        first: (n, C) scores of one model.
        second: (n, C) scores of the other.
        draws: resamples of the records.
        seed: of the resampling.

    Returns:
        Difference of macro AUROC x 100, first less second, and the ends of its 95 %
        percentile interval. NaN where no class can be scored.
    """
    n, count = labels.shape
    kept = [c for c in range(count) if 0 < labels[:, c].sum() < n]
    if not kept:
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(seed)
    weights = np.stack(
        [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(draws)]
    )
    exact, drawn = [], []
    for c in kept:
        exact.append(
            auroc(labels[:, c], first[:, c]) - auroc(labels[:, c], second[:, c])
        )
        drawn.append(
            auroc(labels[:, c], first[:, c], weights)
            - auroc(labels[:, c], second[:, c], weights)
        )
    seen = np.isfinite(drawn)
    total = np.where(seen, drawn, 0).sum(axis=0)
    means = total[seen.any(axis=0)] / seen.sum(axis=0)[seen.any(axis=0)]
    low, high = np.percentile(means, [2.5, 97.5])
    return 100 * float(np.mean(exact)), 100 * float(low), 100 * float(high)


def by_class(
    results: Mapping[str, TaskResult], stores: Mapping[str, SignalStore]
) -> pd.DataFrame:
    """List every scored class with its frequency.

    Args:
        results: task -> zero-shot result.
        stores: task -> the store it was tested on.

    Returns:
        One row a class: `task`, `class`, `positives` among the test records, its
        `share` of all records of the task, `auroc` with the ends `low` and `high` of
        its `score_interval` and the `width` of its bootstrap interval (all x 100),
        and whether it is `rare`, below 1 %.
    """
    rows = []
    for task, result in results.items():
        labels, names = stores[task].labels(task, stores[task].indices(task=task))
        share = dict(zip(names, labels.mean(axis=0), strict=True))
        for name, entry in result.classes.items():
            area, positives = entry["auroc"], entry["positives"]
            low, high = score_interval(area, positives, result.n - positives)
            width = entry["ci95"][1] - entry["ci95"][0]
            values = 100 * np.array([area, low, high, width])
            rows.append((task, name, positives, share[name], *values))
    columns = ["task", "class", "positives", "share", "auroc", "low", "high", "width"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(rare=table["share"] < RARE)


def by_frequency(table: pd.DataFrame) -> pd.DataFrame:
    """Compare rare classes with the others.

    Args:
        table: of `by_class`.

    Returns:
        Rows "below 1 %" and "1 % and more": number of `classes`, median `positives` in
        the test split, mean `auroc`, mean width of the classes' `score interval` and
        of their `bootstrap` interval, and the share of classes whose score interval
        contains 50, `undecided`.
    """
    rows = {}
    for name, part in (
        ("below 1 %", table[table["rare"]]),
        ("1 % and more", table[~table["rare"]]),
    ):
        rows[name] = {
            "classes": len(part),
            "positives": part["positives"].median(),
            "auroc": part["auroc"].mean(),
            "score interval": (part["high"] - part["low"]).mean(),
            "bootstrap": part["width"].mean(),
            "undecided": ((part["low"] <= 50) & (part["high"] >= 50)).mean(),
        }
    return pd.DataFrame(rows).T.rename_axis("share of the records")


def standard_error(
    area: ArrayLike, positives: int, negatives: int
) -> NDArray[np.float64]:
    """Standard error of an AUROC from its numbers of cases (Hanley and McNeil, 1982).

    Args:
        area: AUROC in [0, 1], any shape.
        positives: number of positive records, at least 1.
        negatives: number of negative records, at least 1.
    """
    a = np.asarray(area, dtype=np.float64)
    two_positives = a / (2 - a) - a**2
    two_negatives = 2 * a**2 / (1 + a) - a**2
    variance = (
        a * (1 - a) + (positives - 1) * two_positives + (negatives - 1) * two_negatives
    ) / (positives * negatives)
    return np.sqrt(np.maximum(variance, 0))


def score_interval(
    area: float, positives: int, negatives: int, z: float = 1.96
) -> tuple[float, float]:
    """Interval of an AUROC that stays honest with one or two positives.

    All areas are kept that lie within z of their own standard errors of the one
    found. Resampling the records cannot do this: it draws the same few positives again,
    so with a single one the percentile interval is narrow and means little.

    Args:
        area: AUROC found, in [0, 1].
        positives: number of positive records, at least 1.
        negatives: number of negative records, at least 1.
        z: of the normal distribution; 1.96 for 95 %.
    """
    grid = np.linspace(0, 1, 2001)
    near = np.abs(area - grid) <= z * standard_error(grid, positives, negatives)
    inside = np.append(grid[near], area)
    return float(inside.min()), float(inside.max())


def youden_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """Find the threshold with the largest sum of sensitivity and specificity.

    Args:
        labels: (n,) of 0 or 1, both present.
        scores: (n,).

    Returns:
        The smallest score that is called positive.

    Raises:
        ValueError: only one kind of label.
    """
    y, s = np.asarray(labels), np.asarray(scores)
    if not 0 < y.sum() < len(y):
        raise ValueError("Positive and negative labels are needed to set a threshold.")
    candidates = np.unique(s)
    called = s[None, :] >= candidates[:, None]  # (candidates, n)
    balance = called[:, y == 1].mean(axis=1) - called[:, y == 0].mean(axis=1)
    return float(candidates[balance.argmax()])


def confusion(
    labels: ArrayLike, scores: ArrayLike, threshold: float
) -> NDArray[np.int64]:
    """Count a class's confusion matrix (Fig. 8): rows true, columns predicted.

    Returns:
        (2, 2): [[true negatives, false positives], [false negatives, true positives]].
    """
    y, called = np.asarray(labels).astype(int), np.asarray(scores) >= threshold
    return np.bincount(2 * y + called, minlength=4).reshape(2, 2)


def named_in(texts: Iterable[str], corpus: Iterable[str]) -> list[bool]:
    """Ask which texts occur word for word in a corpus, whatever their case.

    Args:
        texts: class texts.
        corpus: the texts of pretraining.
    """
    whole = "\n".join(corpus).lower()
    words = (re.escape(text.lower()) for text in texts)
    return [re.search(rf"(?<!\w){w}(?!\w)", whole) is not None for w in words]


def neighbour_agreement(
    points: NDArray[np.floating], labels: Sequence[str], k: int = 5
) -> float:
    """Share of each point's k nearest others that carry its label, mean over points.

    Args:
        points: (n, M).
        labels: n labels.
        k: neighbours, fewer than n.
    """
    names = np.asarray(labels)
    square = (points**2).sum(axis=1)
    distance = square[:, None] + square[None, :] - 2 * points @ points.T
    np.fill_diagonal(distance, np.inf)
    nearest = np.argpartition(distance, k, axis=1)[:, :k]
    return float((names[nearest] == names[:, None]).mean())


def settled(values: ArrayLike, within: float = 0.1) -> int:
    """Find the step after which a curve stays near its end.

    Args:
        values: one a step.
        within: share of the whole fall that may still be missing.

    Returns:
        The first step from which the curve never again lies above its end by more
        than this share of its fall.
    """
    y = np.asarray(values, dtype=float)
    above = np.flatnonzero(y > y[-1] + within * (y[0] - y[-1]))
    return int(above[-1]) + 1 if len(above) else 0
