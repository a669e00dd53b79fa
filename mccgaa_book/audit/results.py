"""What may be concluded from zero-shot scores: seeds, records, rare classes.

Section 4 prints means with an unexplained ± and no interval for any class. These
functions keep apart what is mixed there: the spread over training seeds, the
uncertainty that comes from the test records, and the choice of a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mccgaa.data.store import SignalStore
from mccgaa.metrics import TaskResult, auroc
from mccgaa_book.audit.data import RARE

ENOUGH = 5  # seeds that a comparison of two variants needs before it is a verdict


def supported(change: pd.DataFrame) -> pd.DataFrame:
    """Leave out the intervals over seeds that rest on fewer than `ENOUGH` seeds.

    Args:
        change: of `results.paired`.
    """
    few = change["seeds"] < ENOUGH
    return change.assign(**{c: change[c].mask(few) for c in ("sd", "low", "high")})


def verdict(row: pd.Series) -> str:
    """Say what a row of `results.paired` allows to conclude, and nothing more.

    Args:
        row: difference, seeds (0 where unknown), low, high.
    """
    seeds = int(row["seeds"])
    if seeds < ENOUGH or np.isnan(row["low"]):
        return f"seeds: {seeds or 'unknown'}; listed, no verdict"
    if row["low"] <= 0 <= row["high"]:
        return f"over {seeds} seeds the 95 % interval includes zero: undecided"
    return f"over {seeds} seeds the 95 % interval excludes zero"


def paired_bootstrap(
    labels: NDArray[np.integer],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    groups: Sequence[Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Compare two models on the same test records, weighted anew again and again.

    The weights are exponential, as in `metrics.evaluate`: every resample keeps every
    class.

    Args:
        labels: (n, C) of 0 or 1.
        first: (n, C) scores of one model.
        second: (n, C) scores of the other.
        groups: n subjects, whose records are then weighted together, as in
            `metrics.evaluate`: those without a subject (None, NaN) each alone. By
            default every record is.
        resamples: of the records.
        seed: of the resampling.

    Returns:
        Difference of macro AUROC x 100, first less second, and the ends of its 95 %
        percentile interval. NaN where no class can be scored.
    """
    n, count = labels.shape
    kept = [c for c in range(count) if 0 < labels[:, c].sum() < n]
    if not kept:
        return np.nan, np.nan, np.nan
    unit, subjects = np.arange(n), np.arange(n)
    if groups is not None:
        unit, subjects = pd.factorize(np.asarray(groups, dtype=object))
    alone = unit < 0  # no subject
    unit[alone] = len(subjects) + np.arange(alone.sum())
    drawn = np.random.default_rng(seed).exponential(size=(resamples, 1 + unit.max()))
    weights = drawn[:, unit]  # (resamples, n)

    def change(*weighted: NDArray[np.floating]) -> NDArray[np.floating]:
        """Mean over classes of the difference, one per row of weights."""
        return np.mean(
            [
                auroc(labels[:, c], first[:, c], *weighted)
                - auroc(labels[:, c], second[:, c], *weighted)
                for c in kept
            ],
            axis=0,
        )

    low, high = np.percentile(change(weights), [2.5, 97.5])
    return 100 * float(change()), 100 * float(low), 100 * float(high)


def by_class(
    results: Mapping[str, TaskResult], stores: Mapping[str, SignalStore]
) -> pd.DataFrame:
    """List every scored class with its frequency.

    Args:
        results: task -> zero-shot result.
        stores: task -> the store it was tested on.

    Returns:
        One row per class: `task`, `class`, `positives` among the test records, its
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
    found. Resampling the records cannot do this: it reweights the same few positives,
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
