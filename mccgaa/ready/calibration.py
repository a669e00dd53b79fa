"""Probabilities that mean what they say: Platt scaling, fitted to labelled ECGs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mccgaa.data.store import SignalStore
from mccgaa.errors import StoreError
from mccgaa.knowledge import VOCABULARIES, Knowledge
from mccgaa.metrics import mean_by_record
from mccgaa.ready.classifier import Classifier, Scoring, listed

PRIOR = 1.0  # precision of the offsets: a class needs several ECGs to have one of size
BINS, LEAST = 15, 0.05  # of `calibration_error`


@dataclass(frozen=True)
class Labelled:
    """Scores of ECGs that say which findings they have."""

    names: list[str]  # C findings
    cosine: NDArray[np.float32]  # (n, C)
    labels: NDArray[np.bool_]  # (n, C)


def findings(knowledge: Knowledge, store: SignalStore) -> dict[str, str]:
    """The names of the findings that a store's labels are of, by their codes."""
    vocabulary = VOCABULARIES.get(store.meta["source"], "")
    known = knowledge.vocabularies.get(vocabulary, {})
    return {code: entry.name for code, entry in known.items()}


def labelled_rows(
    knowledge: Knowledge, store: SignalStore, splits: tuple[str, ...]
) -> NDArray[np.int64]:
    """Find the records of some splits whose labels are findings.

    Raises:
        StoreError: the store has no labels of findings, or no record in these splits.
    """
    rows = np.concatenate([store.indices(split=split) for split in splits])
    if not findings(knowledge, store) or not len(rows):
        raise StoreError(
            f"{store.path} has no record in {' and '.join(splits)} whose labels are "
            "findings of the knowledge base; probabilities need such records."
        )
    return rows


def labelled(
    classifier: Classifier,
    store: SignalStore,
    splits: tuple[str, ...],
    *,
    batch_size: int = 256,
) -> Labelled:
    """Score a store's records on the findings that its labels are of.

    Args:
        classifier: a model of the store's input.
        store: packed records that carry statements.
        splits: of "train", "val" and "test", those whose records are scored.
        batch_size: records at a time.

    Raises:
        StoreError: the store has no labels of findings, no record in these splits, or
            signals that are not the model's input.
    """
    from mccgaa.device_reader import encoded
    from mccgaa.pairs import check_input

    check_input(store, classifier.model.config.input)
    rows = labelled_rows(classifier.knowledge, store, splits)
    codes = findings(classifier.knowledge, store)
    names = [e.name for e in listed(classifier.knowledge) if e.name in codes.values()]
    score, device = partial(classifier.score, names=names), classifier.model.device
    found = encoded(score, store, rows, device, batch_size, disable=True)
    cosine = found.numpy()  # (n, C)
    given = store.records["statements"].iloc[rows]
    carried = [{codes.get(c) for c in (y if y is not None else ())} for y in given]
    labels = np.array([[name in one for name in names] for one in carried])  # (n, C)
    if "group" in store.records:
        groups = store.records["group"].iloc[rows]
        labels = labels[~groups.duplicated().to_numpy()]
        _, cosine = mean_by_record(cosine, groups)
    return Labelled(names, cosine, labels)


def calibrate(
    classifier: Classifier, store: SignalStore, splits: tuple[str, ...] = ("val",)
) -> Scoring:
    """Fit how a model's cosines become probabilities.

    One slope and intercept for all findings, and an offset for each, which is drawn to
    0 where few ECGs have the finding: `Scoring` has the formula. The loss is the
    binary cross-entropy, so the probabilities are those of a hospital whose findings
    are as frequent as the store's.

    Args:
        classifier: its own scoring says how classes are worded.
        store: packed records that carry statements.
        splits: whose records are used; none that the model was trained on, since it
            is surer of these than it may be of others.

    Returns:
        The scoring to ask the model with.

    Raises:
        StoreError: as `labelled`.
    """
    from scipy.optimize import minimize

    found = labelled(classifier, store, splits)
    y = found.labels
    model = classifier.model
    raw = found.cosine / float(model.tau) + float(model.bias)  # (n, C)

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, intercept, offsets = theta[0], theta[1], theta[2:]
        z = slope * raw + intercept + offsets  # (n, C)
        wrong = np.exp(-np.logaddexp(0, -z)) - y  # (n, C), d loss / d z
        each = np.logaddexp(0, z) - y * z
        value = each.sum() + PRIOR / 2 * (offsets**2).sum()
        slopes = [(wrong * raw).sum(), wrong.sum()]
        return value, np.r_[slopes, wrong.sum(0) + PRIOR * offsets]

    start = np.r_[1.0, 0.0, np.zeros(len(found.names))]
    bounds = [(0.01, 100.0), *[(None, None)] * (len(start) - 1)]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    offsets = zip(found.names, theta[2:].tolist(), strict=True)
    return replace(
        classifier.scoring,
        slope=float(theta[0]),
        intercept=float(theta[1]),
        offsets={name: round(offset, 4) for name, offset in offsets},
        fitted={
            "source": store.meta["source"],
            "fingerprint": store.meta["fingerprint"],
            "synthetic": store.meta["synthetic"],
            "splits": list(splits),
            "ecgs": len(y),
        },
    )


def calibration_error(
    probability: NDArray[np.floating],
    labels: NDArray[np.bool_],
    bins: int = BINS,
    least: float = LEAST,
) -> float:
    """Expected calibration error: how far shares of true findings are from said ones.

    Args:
        probability: (n, C) in [0, 1].
        labels: (n, C), whether ECG i has finding c.
        bins: of equally many probabilities each.
        least: what is less probable is left out. Most findings are absent from most
            ECGs, and to say so is easy.

    Returns:
        The mean over the probabilities of |share that is true - mean probability| of
        their bin; NaN where there is none.
    """
    said = probability >= least
    p, y = probability[said], labels[said]
    if not len(p):
        return float("nan")
    bins = min(bins, len(p))
    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [abs(y[part].mean() - p[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(p))
