"""Section 4.2: AUROC as in eq 33, per class and macro, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def auroc(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Area under the ROC curve by the trapezoidal rule (eq 33).

    .. math:: \mathrm{AUC} = \sum_i \tfrac12 (\mathrm{TPR}_i + \mathrm{TPR}_{i+1})
        (\mathrm{FPR}_{i+1} - \mathrm{FPR}_i)

    Args:
        labels: (n,) of 0 or 1.
        scores: (n,) finite numbers; higher means more likely positive. Tied scores
            make one point of the curve.
        weights: (R, n) non-negative multiplicities, one row a bootstrap resample.

    Returns:
        Area in [0, 1]: a scalar array, or (R,) with `weights`. NaN where a resample
        holds only one kind of label.

    Raises:
        ValueError: shapes that differ, labels other than 0 and 1, a score not finite.
    """
    y = np.asarray(labels)
    s = np.asarray(scores, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(f"labels {y.shape} and scores {s.shape} must both be (n,).")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 or 1.")
    if not np.isfinite(s).all():
        raise ValueError("scores must be finite; found NaN or infinity.")
    w = np.ones((1, len(y))) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(-s, kind="stable")
    last = np.flatnonzero(np.append(np.diff(s[order]) != 0, True))  # end of each tie
    w, y = w[:, order], y[order]
    true_positives = np.cumsum(w * y, axis=1)[:, last]  # (R, points)
    false_positives = np.cumsum(w * (1 - y), axis=1)[:, last]
    zero = np.zeros((len(w), 1))
    tpr = np.concatenate([zero, true_positives], axis=1)
    fpr = np.concatenate([zero, false_positives], axis=1)
    with np.errstate(invalid="ignore"):
        tpr, fpr = tpr / tpr[:, -1:], fpr / fpr[:, -1:]
    area = ((tpr[:, 1:] + tpr[:, :-1]) / 2 * np.diff(fpr, axis=1)).sum(axis=1)
    return area[0] if weights is None else area


@dataclass
class TaskResult:
    """Zero-shot or probe result on one task; AUROC as a fraction of 1."""

    macro_auroc: float  # mean over classes with both kinds of label
    ci95: tuple[float, float]  # bootstrap over records
    n: int  # records
    classes: dict[str, dict[str, Any]]  # name -> auroc, ci95, positives
    left_out: list[str] = field(default_factory=list)  # no positive or no negative

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"ci95": list(self.ci95)}


def evaluate(
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    classes: list[str],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> TaskResult:
    """Score a multi-label task, naming the classes that cannot be scored.

    Args:
        labels: (n, C) of 0 or 1.
        scores: (n, C) finite; compared within a class only.
        classes: C names.
        bootstrap: resamples of the n records for the 95 % intervals; 0 for none.
        seed: of the resampling.

    Returns:
        The macro AUROC is the unweighted mean over the classes that have at least one
        positive and one negative; `ci95` is the percentile interval of that mean over
        resamples of the records, and says nothing of the spread over training seeds.

    Raises:
        ValueError: shapes that do not agree.
    """
    n, count = labels.shape
    if scores.shape != (n, count) or len(classes) != count:
        raise ValueError(
            f"labels {labels.shape}, scores {scores.shape} and {len(classes)} class "
            "names must agree."
        )
    kept = [c for c in range(count) if 0 < labels[:, c].sum() < n]
    left_out = [classes[c] for c in range(count) if c not in kept]
    rng = np.random.default_rng(seed)
    weights = np.zeros((bootstrap, n), dtype=np.float32)
    for row in weights:
        row += np.bincount(rng.integers(0, n, n), minlength=n)
    per_class, resampled = {}, np.full((len(kept), bootstrap), np.nan)
    for i, c in enumerate(kept):
        if bootstrap:
            resampled[i] = auroc(labels[:, c], scores[:, c], weights)
        per_class[classes[c]] = {
            "auroc": float(auroc(labels[:, c], scores[:, c])),
            "ci95": _interval(resampled[i]),
            "positives": int(labels[:, c].sum()),
        }
    values = [entry["auroc"] for entry in per_class.values()]
    macro = float(np.mean(values)) if values else float("nan")
    means = _nanmean(resampled) if kept else resampled.ravel()
    return TaskResult(macro, tuple(_interval(means)), n, per_class, left_out)


def _nanmean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over classes; NaN where a resample scored none."""
    seen = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(seen, values, 0).sum(axis=0) / seen.sum(axis=0)


def _interval(values: NDArray[np.float64]) -> list[float]:
    """Percentile interval of the finite values; NaN where there are none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return [float("nan"), float("nan")]
    return [float(v) for v in np.percentile(finite, [2.5, 97.5])]


def retrieval(x: NDArray[np.floating], q: NDArray[np.floating]) -> dict[str, float]:
    """Rank each ECG's own text among all texts, and each text's own ECG.

    Args:
        x: (n, M) ECG embeddings; row i belongs to row i of `q`.
        q: (n, M) text embeddings; equal rows count as one text, so that a duplicate
            is not scored as a miss.

    Returns:
        Recall at 1 and 5 and the median rank, ECG to text and text to ECG.
    """
    texts, own = np.unique(q, axis=0, return_inverse=True)
    own = own.ravel()
    similarity = x @ texts.T  # (n, U)
    to_text = (similarity > similarity[np.arange(len(x)), own][:, None]).sum(axis=1)
    best = np.full(len(texts), -np.inf)
    np.maximum.at(best, own, similarity[np.arange(len(x)), own])
    to_ecg = (similarity > best[None, :]).sum(axis=0)
    return {
        "ecg_to_text_r1": float((to_text < 1).mean()),
        "ecg_to_text_r5": float((to_text < 5).mean()),
        "ecg_to_text_median_rank": float(np.median(to_text) + 1),
        "text_to_ecg_r1": float((to_ecg < 1).mean()),
        "text_to_ecg_r5": float((to_ecg < 5).mean()),
        "text_to_ecg_median_rank": float(np.median(to_ecg) + 1),
    }


def mean_by_record(
    scores: np.ndarray, groups: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Average the scores of a record's windows, the policy "windows" at scoring.

    Args:
        scores: (n, C), one row a window.
        groups: the record of each window, n of them (column `group`).

    Returns:
        Records in order of first appearance, and their scores (records, C).

    Raises:
        ValueError: there are not as many groups as rows of scores.
    """
    if len(groups) != len(scores):
        raise ValueError(f"{len(scores)} rows of scores but {len(groups)} groups.")
    index, records = pd.factorize(np.asarray(groups, dtype=object))
    total = np.zeros((len(records), scores.shape[1]), dtype=np.float64)  # (records, C)
    np.add.at(total, index, scores)
    return list(records), total / np.bincount(index)[:, None]
