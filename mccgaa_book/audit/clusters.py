"""Do embeddings of one class lie together? Numbers beside section 4.7's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors


def single_label(
    labels: NDArray[np.integer], classes: Sequence[str], most: int
) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Choose the records that carry exactly one label.

    Args:
        labels: (n, C) of 0 or 1.
        classes: C names.
        most: records at most, the first ones.

    Returns:
        Their positions (k,) and the name of each one's class (k,).
    """
    index = np.flatnonzero(labels.sum(axis=1) == 1)[:most]
    return index, np.asarray(classes)[labels[index].argmax(axis=1)]


def purity(points: ArrayLike, labels: ArrayLike, neighbours: int = 5) -> float:
    """Share of a record's nearest others, by cosine, that carry its label.

    Args:
        points: (n, M) embeddings.
        labels: (n,).
        neighbours: how many, itself left out.
    """
    x, y = np.asarray(points), np.asarray(labels)
    count = min(neighbours, len(x) - 1)
    search = NearestNeighbors(n_neighbors=count, metric="cosine").fit(x)
    nearest = search.kneighbors(return_distance=False)  # (n, count)
    return float((y[nearest] == y[:, None]).mean())


def chance(labels: ArrayLike) -> float:
    """Purity to expect of a random order: the chance that two records share a label."""
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    n = counts.sum()
    return float((counts * (counts - 1)).sum() / (n * (n - 1)))


def silhouette(points: ArrayLike, labels: ArrayLike) -> float:
    """Mean silhouette by cosine: 1 for tight classes, 0 for none, below it for mixed.

    NaN where there is a single class, or a class for every record.
    """
    kinds = len(np.unique(np.asarray(labels)))
    if not 2 <= kinds < len(np.asarray(labels)):
        return float("nan")
    return float(silhouette_score(np.asarray(points), labels, metric="cosine"))


def agreement(
    stages: Mapping[str, Mapping[str, ArrayLike]], labels: Mapping[str, ArrayLike]
) -> pd.DataFrame:
    """Compare embeddings of several stages, task by task.

    Args:
        stages: title -> task -> (n, M) embeddings of the same records.
        labels: task -> (n,) classes.

    Returns:
        One row per task: `records`, `classes`, the purity of each stage and that of
        `chance`, and the silhouette of each stage.
    """
    rows = {}
    for task, y in labels.items():
        row: dict[str, float] = {"records": len(y), "classes": len(np.unique(y))}
        row |= {f"purity, {s}": purity(x[task], y) for s, x in stages.items()}
        row["purity, chance"] = chance(y)
        row |= {f"silhouette, {s}": silhouette(x[task], y) for s, x in stages.items()}
        rows[task] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")
    return table.astype({"records": int, "classes": int})
