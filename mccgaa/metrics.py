"""Section 4.2: AUROC as in eq 33, per class and macro, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
        weights: (R, n) non-negative weights of the records, one row per resample.

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


FEW = 5  # records with a class, or without it, of which an AUROC says little


@dataclass
class TaskResult:
    """Zero-shot or probe result on one task; AUROC as a fraction of 1."""

    macro_auroc: float  # mean over classes with both kinds of label; NaN for none
    ci95: tuple[float, float]  # bootstrap over records or subjects; NaN for none
    n: int  # records
    classes: dict[str, dict[str, Any]]  # name -> auroc, ci95, positives
    left_out: list[str] = field(default_factory=list)  # no positive or no negative
    resamples: int = 0  # behind every interval; each scores every class in `classes`
    units: int = 0  # what is resampled: subjects, or records where none are known

    def __str__(self) -> str:
        scored = f"macro AUROC {100 * self.macro_auroc:5.1f}"
        low, high = (100 * bound for bound in self.ci95)
        interval = f" [{low:.1f}, {high:.1f}]" if self.resamples else ""
        found = scored + interval if self.classes else "no class can be scored"
        rest = f", left out: {', '.join(self.left_out)}" if self.left_out else ""
        return f"{found}  records {self.n}, classes {len(self.classes)}{rest}"

    def doubts(self, task: str) -> list[str]:
        """Say which classes have too few records, or are absent from too few."""
        sizes = {name: one["positives"] for name, one in self.classes.items()}
        few = [name for name, n in sizes.items() if min(n, self.n - n) < FEW]
        said = (
            f"{task}: fewer than {FEW} records have, or lack, {', '.join(few)}; an "
            "AUROC of so few says little, whatever its interval."
        )
        return [said] if few else []

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no NaN: None is written for it."""
        return _swap(asdict(self), math.isnan, None)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TaskResult:
        """Read what `to_dict` wrote."""
        return cls(**_swap(data, lambda value: value is None, math.nan))


def _swap(value: Any, wanted: Callable[[Any], bool], other: float | None) -> Any:
    """Put `other` for each wanted number or None, all the way down."""
    if isinstance(value, dict):
        return {key: _swap(inner, wanted, other) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_swap(inner, wanted, other) for inner in value]
    number = value is None or isinstance(value, float)
    return other if number and wanted(value) else value


def evaluate(
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    classes: list[str],
    *,
    groups: Sequence[Any] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> TaskResult:
    """Score a multi-label task, naming the classes that cannot be scored.

    The macro AUROC is the unweighted mean over the classes that have at least one
    positive and one negative; `ci95` is the 95 % percentile interval of that mean over
    resamples of the records. It says nothing of the spread over training seeds.

    A plain bootstrap counts how often each record is drawn. A class with one positive
    is absent from 37 % of its resamples, so that the macro mean would run over another
    set of classes each time. Here a resample gives each record a weight, drawn from the
    exponential distribution: the Bayesian bootstrap (Rubin, Ann. Stat. 1981), which Xu
    et al. (Am. Stat. 2020) advise where events are rare. No weight is zero, so every
    resample scores every class, and with many records the two bootstraps agree.
    Neither can say how another patient with a class of one positive would score.

    Args:
        labels: (n, C) of 0 or 1.
        scores: (n, C) finite; compared within a class only.
        classes: C names.
        groups: n subjects; the records of one subject are then resampled together,
            for they are not independent. Records without a subject (None, NaN) each
            make a group. By default every record does.
        bootstrap: resamples behind the intervals; 0 for none.
        seed: of the resampling.

    Raises:
        ValueError: shapes that do not agree, or fewer than 0 resamples.
    """
    n, count = labels.shape
    if scores.shape != (n, count) or len(classes) != count:
        raise ValueError(
            f"labels {labels.shape}, scores {scores.shape} and {len(classes)} class "
            "names must agree."
        )
    if bootstrap < 0:
        raise ValueError(f"bootstrap is {bootstrap}; expected 0 or more resamples.")
    positives = labels.sum(axis=0)
    kept = [c for c in range(count) if 0 < positives[c] < n]
    unit = _units(groups, n)  # (n,)
    units = int(unit.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    resampled = np.empty((bootstrap, len(kept)))  # AUROC of each resample and class
    for first in range(0, bootstrap, _BLOCK):
        block = slice(first, min(first + _BLOCK, bootstrap))
        # Exponential weights, scaled to sum 1, are Dirichlet(1, ..., 1); AUROC does
        # not depend on the scale.
        drawn = rng.exponential(size=(block.stop - block.start, units))
        weights = drawn[:, unit]  # (block, n)
        for i, c in enumerate(kept):
            resampled[block, i] = auroc(labels[:, c], scores[:, c], weights)
    per_class = {
        classes[c]: {
            "auroc": float(auroc(labels[:, c], scores[:, c])),
            "ci95": _interval(resampled[:, i]),
            "positives": int(positives[c]),
        }
        for i, c in enumerate(kept)
    }
    values = [entry["auroc"] for entry in per_class.values()]
    macro, interval = math.nan, (math.nan, math.nan)
    if kept:
        macro, interval = float(np.mean(values)), _interval(resampled.mean(axis=1))
    left_out = [classes[c] for c in range(count) if c not in kept]
    return TaskResult(macro, interval, n, per_class, left_out, bootstrap, units)


_BLOCK = 100  # resamples at a time, to bound the memory


def _units(groups: Sequence[Any] | None, n: int) -> NDArray[np.int64]:
    """Number the units of resampling: (n,) from 0, a subject's records alike."""
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"{n} records but {len(groups)} groups; give one per record.")
    unit, subjects = pd.factorize(np.asarray(groups, dtype=object))
    alone = unit < 0  # no subject: a unit of its own
    unit[alone] = len(subjects) + np.arange(alone.sum())
    return unit


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of one number's resamples; NaN where there are none."""
    if not len(values):
        return math.nan, math.nan
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def retrieval(
    x: NDArray[np.floating],
    q: NDArray[np.floating],
    same: NDArray[np.floating] | None = None,
) -> dict[str, float]:
    """Rank each ECG's own text among all texts, and each text's own ECG.

    A rank is 1 plus the number of candidates that are strictly more similar. An ECG
    with the same text as another is no miss, and a text with several ECGs is found once
    the first of them is.

    Args:
        x: (n, M) ECG embeddings; row i belongs to row i of `q`.
        q: (n, M) text embeddings.
        same: (n, d) of which equal rows are one text, such as what `q` was projected
            from; by default `q` itself, whose rows differ by rounding where a text was
            projected in batches of several sizes.

    Returns:
        Recall at 1 and 5 (shares of 1) and the median rank, ECG to text over the n
        ECGs, and text to ECG over the U distinct texts.

    Raises:
        ValueError: a similarity is not finite; nothing is above NaN, so that every rank
            would be 1.
    """
    known = q if same is None else same
    _, first, own = np.unique(known, axis=0, return_index=True, return_inverse=True)
    texts, own = q[first], own.ravel()  # (U, M), (n,); NumPy 2.0 gives (n, 1)
    similarity = _finite(x @ texts.T)  # (n, U)
    mine = similarity[np.arange(len(x)), own]  # (n,) each ECG with its own text
    to_text = (similarity > mine[:, None]).sum(axis=1)  # (n,)
    # best[u] is the highest similarity of text u with any ECG of its own. Several rows
    # may write to one u: `best[own] = ...` would keep the last, `maximum.at` the most.
    best = np.full(len(texts), -np.inf)  # (U,)
    np.maximum.at(best, own, mine)
    to_ecg = (similarity > best[None, :]).sum(axis=0)  # (U,)
    return _recalls(to_text, to_ecg)


def set_retrieval(
    similarity: NDArray[np.floating], own: NDArray[np.bool_]
) -> dict[str, float]:
    """Rank each ECG's own statements among all, and each statement's own ECGs.

    As `retrieval`, which it equals where every ECG has one text: ranks count the
    candidates that are not one's own and strictly more similar.

    Args:
        similarity: (n, S) of n ECGs and S statements.
        own: (n, S) whether the statement is the ECG's; True at least once.

    Returns:
        As `retrieval`: ECG to text over all pairs of an ECG and a statement of its own,
        text to ECG over the statements that are of an ECG.

    Raises:
        ValueError: as `retrieval`.
    """
    similarity = _finite(similarity)
    to_text: list[int] = []
    for row, mine in zip(similarity, own, strict=True):  # (S,)
        others = np.sort(row[~mine])
        # How many of the others are above each of the ECG's own.
        to_text += list(len(others) - np.searchsorted(others, row[mine], "right"))
    found = own.any(axis=0)
    best = np.where(own, similarity, -np.inf).max(axis=0)[found]  # of own ECGs
    to_ecg = (similarity[:, found] > best).sum(axis=0)
    return _recalls(np.array(to_text), to_ecg)


def _finite(similarity: NDArray[np.floating]) -> NDArray[np.floating]:
    if not np.isfinite(similarity).all():
        raise ValueError("similarities must be finite; found NaN or infinity.")
    return similarity


def _recalls(to_text: NDArray[np.int64], to_ecg: NDArray[np.int64]) -> dict[str, float]:
    """Summarise how many candidates came before the right one, each way."""
    return {
        "ecg_to_text_r1": float((to_text < 1).mean()),
        "ecg_to_text_r5": float((to_text < 5).mean()),
        "ecg_to_text_median_rank": float(np.median(to_text) + 1),
        "text_to_ecg_r1": float((to_ecg < 1).mean()),
        "text_to_ecg_r5": float((to_ecg < 5).mean()),
        "text_to_ecg_median_rank": float(np.median(to_ecg) + 1),
    }


def mean_by_record(
    scores: NDArray[np.floating], groups: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Average the scores of a record's windows, the policy "windows" at scoring.

    Args:
        scores: (n, C), one row per window.
        groups: the record of each window, n of them (column `group`).

    Returns:
        Records in order of first appearance, and their scores (records, C).

    Raises:
        ValueError: there are not as many groups as rows of scores, or a window is of
            no record.
    """
    if len(groups) != len(scores):
        raise ValueError(f"{len(scores)} rows of scores but {len(groups)} groups.")
    index, records = pd.factorize(np.asarray(groups, dtype=object))
    if (index < 0).any():
        raise ValueError("A window has no group; give the record that it was cut from.")
    total = np.zeros((len(records), scores.shape[1]), dtype=np.float64)  # (records, C)
    np.add.at(total, index, scores)
    return list(records), total / np.bincount(index)[:, None]
