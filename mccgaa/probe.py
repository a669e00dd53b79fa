r"""Section 4.4: linear probing, of an encoder that is frozen by a head that converges.

The paper freezes "most of the layers" and trains "a simple linear layer" on 1, 10 and
100 % of the training split. Its ancestor's recipe, which the paper inherits, is in
`merl_probe`. Here every choice is made without the test split:

- **frozen**: the ECGs pass the encoder once, in evaluation mode, so that neither its
  weights nor the statistics of batch normalisation depend on the task;
- **head**: logistic regression of each class on standardised features, all classes at
  once, solved to convergence in float64;
- **regularisation**: the one of `L2` with the best macro AUROC on the validation split
  (where no class of that has both kinds of label, with the lowest loss), which is whole
  whatever the share of the training split is;
- **share**: drawn at random by seed, the smaller within the larger, and *not*
  stratified: classes are as frequent in it as chance leaves them, as in the ancestor's.
  A class without both kinds of label in it has no head: its scores are constant, its
  AUROC is 0.5, and it counts in the macro mean;
- **test**: scored once, by the head that was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mccgaa.data.store import SignalStore
from mccgaa.device_reader import encoded
from mccgaa.errors import RunError, StoreError
from mccgaa.lent import lent
from mccgaa.metrics import TaskResult, evaluate, mean_by_record
from mccgaa.model import MCCGAA, scale_input
from mccgaa.pairs import check_input

SHARES = (1, 10, 100)  # per cent of the training split (Table 3)
L2 = tuple(10.0**power for power in range(2, -6, -1))  # strongest first
GRADIENT = 1e-4  # largest entry that a head may be left with


class Backbone(nn.Module):
    """The part of a model that is probed: signals to X^CAM, averaged over time.

    The ancestor probes the same map; what follows it (the 1x1 convolution, the pooling,
    the text's projection) serves the alignment with texts.

    Args:
        model: pretrained or not; shared, not copied.
    """

    def __init__(self, model: MCCGAA) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Map signals (B, 12, T) to features (B, C)."""
        x = scale_input(x.to(self.model.device), self.model.config.input.scaling)
        return self.model.encoder.feature_map(x).mean((2, 3))  # (B, C, 1, T') -> (B, C)


@torch.no_grad()
def features(
    encode: Callable[[Tensor], Tensor],
    store: SignalStore,
    *,
    batch_size: int = 256,
    device: str | None = None,
    progress: bool = False,
) -> NDArray[np.float32]:
    """Encode every record of a store once, in float32.

    Args:
        encode: maps signals (B, 12, T) float32 to features (B, W). A module is put on
            the device and into evaluation mode, and comes back as it was; another
            function gets signals on the CPU, and its maker has to freeze it.
        store: packed records.
        batch_size: records at a time.
        device: as `runtime.pick_device`; of a module.
        progress: show a bar.

    Returns:
        (N, W), row i of record i of the store.
    """
    frozen: AbstractContextManager[torch.device] = nullcontext(torch.device("cpu"))
    if isinstance(encode, nn.Module):
        frozen = lent(encode, device)
    shown = {"desc": "features", "disable": not progress}
    with frozen as away:
        rows = np.arange(len(store))
        return encoded(encode, store, rows, away, batch_size, **shown).numpy()


def model_features(
    model: MCCGAA, store: SignalStore, **options: Any
) -> NDArray[np.float32]:
    """Features (N, C) of a model's `Backbone`; options as of `features`.

    Raises:
        StoreError: the store's rate, length or transform is not the model's.
    """
    check_input(store, model.config.input)
    return features(Backbone(model), store, **options)


def split_rows(store: SignalStore, task: str, split: str) -> NDArray[np.int64]:
    """Find the records of a split that have a label in a task.

    Raises:
        StoreError: there is none.
    """
    rows = store.indices(split=split, task=task)
    if not len(rows):
        raise StoreError(
            f"{store.path} has no record of task {task!r} in split {split!r}, "
            "which probing needs; give a store with all three splits."
        )
    return rows


@dataclass(frozen=True)
class Part:
    """Features and labels of the records of one split: rows go together."""

    x: NDArray[np.floating]  # (n, W)
    y: NDArray[np.integer]  # (n, C) of 0 or 1
    subjects: Sequence[Any] | None = None  # n, as `groups` of metrics.evaluate

    @classmethod
    def of(
        cls, x: NDArray[np.floating], store: SignalStore, task: str, split: str
    ) -> Part:
        """Take the records of a split that have a label in a task.

        A record that was cut into windows is one row, the mean over its windows: for a
        linear head that is the same as the mean of their scores.

        Args:
            x: (N, W) of `features`, of all records of the store.
            store: packed records.
            task: one of the store's tasks.
            split: "train", "val" or "test".

        Raises:
            StoreError: no record of the task in this split.
        """
        rows = split_rows(store, task, split)
        y, _ = store.labels(task, rows)
        x = x[rows]
        if "group" in store.records:
            groups = store.records["group"].iloc[rows]
            first = ~groups.duplicated().to_numpy()  # in order of appearance
            _, x = mean_by_record(x, groups)
            rows, y = rows[first], y[first]
        return cls(x, y, store.records["subject_id"].iloc[rows].tolist())

    def drawn(self, share: float, seed: int) -> Part:
        """Draw records at random: of one seed, the smaller share within the larger.

        Args:
            share: per cent in (0, 100]; at least one record is drawn.
            seed: of the order.
        """
        n = len(self.x)
        order = np.random.default_rng([seed, n]).permutation(n)
        rows = np.sort(order[: max(1, round(n * share / 100))])
        subjects = None if self.subjects is None else [self.subjects[i] for i in rows]
        return replace(self, x=self.x[rows], y=self.y[rows], subjects=subjects)


@dataclass(frozen=True)
class Head:
    """A linear layer, and what it was chosen by."""

    weight: NDArray[np.float64]  # (C, W), of features as they are
    bias: NDArray[np.float64]  # (C,)
    l2: float
    val_auroc: float = float("nan")  # macro, on the validation split

    def scores(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (n, C) of features (n, W)."""
        return x @ self.weight.T + self.bias


class Probed(NamedTuple):
    """A result on the test split, and the head that gave it."""

    result: TaskResult
    head: Head


def macro_auroc(part: Part, scores: NDArray[np.floating]) -> float:
    """Macro AUROC of scores (n, C), over the classes that have both kinds of label.

    By ranks, for all classes at once: a probe asks for it a hundred times over. It is
    that of `metrics.evaluate`; NaN where no class can be scored.
    """
    from scipy.stats import rankdata

    kept = (part.y.min(0) == 0) & (part.y.max(0) == 1)
    if not kept.any():
        return float("nan")
    y = part.y[:, kept].astype(np.float64)  # (n, K)
    positives, negatives = y.sum(0), (1 - y).sum(0)
    ranks = rankdata(scores[:, kept], axis=0)  # ties share their mean rank
    above = (ranks * y).sum(0) - positives * (positives + 1) / 2  # pairs in order
    return float((above / (positives * negatives)).mean())


def fit(train: Part, val: Part, l2: Sequence[float] = L2) -> Head:
    """Fit the heads of all classes, and choose how strongly they are regularised.

    Args:
        train: what they are fitted to.
        val: what `l2` is chosen on.
        l2: strengths to choose from; of equally good ones the first is taken.

    Returns:
        The head of the best macro AUROC on `val`, in the units of the features; of the
        lowest logistic loss where no class of `val` has both kinds of label.

    Raises:
        RunError: a feature is not finite, or the solver did not converge.
    """
    mean, deviation = train.x.mean(0, np.float64), train.x.std(0, np.float64)  # (W,)
    if not np.isfinite(mean + deviation).all():
        raise RunError(
            "Some features are not finite, or too large to be squared; look for such "
            "numbers in the encoder's weights or the signals."
        )
    deviation = np.where(deviation > 1e-9 * (1 + abs(mean)), deviation, 1.0)
    axes = Axes.of((train.x - mean) / deviation)
    taught = (train.y.min(0) == 0) & (train.y.max(0) == 1)  # (C,) have both kinds
    theta = np.zeros((len(taught), len(mean) + 1))  # (C, W + 1): weights and bias
    found = []  # pairs of merit and head
    for strength in l2:
        theta[taught] = solve(axes, train.y[:, taught], strength, theta[taught])
        weight = theta[:, :-1] / deviation
        head = Head(weight, theta[:, -1] - weight @ mean, strength)
        logits = head.scores(val.x)  # (m, C)
        head = replace(head, val_auroc=macro_auroc(val, logits))
        merit = head.val_auroc
        if np.isnan(merit):  # for all strengths alike: no class can be scored
            merit = -float((np.logaddexp(0, logits) - val.y * logits).mean())
        found.append((merit, head))
    return max(found, key=lambda one: one[0])[1]  # the first of equals


class Axes(NamedTuple):
    """Standardised features along their principal axes: k of them, k <= min(n, W).

    A head that is regularised has no part outside of them, so that few records make a
    small problem; and along them the loss bends about as the variance says, which is
    what `solve` is fast by.
    """

    scores: NDArray[np.float64]  # (n, k): features = scores @ axes
    variance: NDArray[np.float64]  # (k,), mean squares of the scores
    axes: NDArray[np.float64]  # (k, W), orthonormal rows

    @classmethod
    def of(cls, z: NDArray[np.float64]) -> Axes:
        """Turn standardised features (n, W), all of them finite."""
        left, size, axes = np.linalg.svd(z, full_matrices=False)
        kept = size > 1e-9 * size.max(initial=0)
        scores = left[:, kept] * size[kept]
        return cls(scores, size[kept] ** 2 / len(z), axes[kept])


def solve(
    along: Axes,
    y: NDArray[np.integer],
    l2: float,
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    r"""Minimise each class's regularised logistic loss; the bias is not regularised.

    .. math:: \frac1n \sum_i \log(1 + e^{-\tilde y_i (w \cdot z_i + b)})
        + \frac{\lambda}{2} \lVert w \rVert^2, \qquad \tilde y_i = \pm 1

    The classes are separate problems; they share each pass over the features. L-BFGS
    works on w along the principal axes, each stretched by the root of the curvature
    that a constant probability would give it: steps are then alike in all directions,
    and it needs a sixth of the time.

    Args:
        along: the axes of n standardised features of width W.
        y: (n, C) of 0 or 1, both kinds in each column.
        l2: lambda.
        start: (C, W + 1) weights and bias to start from.

    Returns:
        (C, W + 1).

    Raises:
        RunError: it did not converge.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    scores, variance, axes = along
    rate = y.mean(0)[:, None]  # (C, 1)
    bends = (rate * (1 - rate)) * np.append(variance, 1.0)  # (C, k + 1)
    stretch = np.sqrt(bends + np.append(np.full(len(variance), l2), 0.0))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        theta = flat.reshape(stretch.shape) / stretch
        weight, bias = np.split(theta, [-1], axis=1)
        logits = scores @ weight.T + bias.T  # (n, C)
        each = np.logaddexp(0, logits) - y * logits
        value = each.sum() / len(y) + l2 / 2 * (weight**2).sum()
        wrong = (expit(logits) - y) / len(y)  # (n, C), d value / d logits
        gradient = np.c_[wrong.T @ scores + l2 * weight, wrong.sum(0)]  # (C, k + 1)
        return value, (gradient / stretch).ravel()

    options = {"ftol": 1e-13, "gtol": 1e-7, "maxcor": 30}
    first = (np.c_[start[:, :-1] @ axes.T, start[:, -1]] * stretch).ravel()
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options=options)
    if not len(found.x):
        return start
    left = abs(found.jac.reshape(stretch.shape) * stretch).max()
    if not left < min(GRADIENT, l2):  # a weight may be off by gradient / l2
        raise RunError(
            f"A linear head did not converge (a gradient of {left:.1e} is left at "
            f"l2 = {l2:g}); look for features that are huge."
        )
    theta = found.x.reshape(stretch.shape) / stretch
    return np.c_[theta[:, :-1] @ axes, theta[:, -1]]


def probe(
    train: Part,
    val: Part,
    test: Part,
    classes: Sequence[str],
    *,
    share: float = 100,
    seed: int = 0,
    bootstrap: int = 1000,
) -> Probed:
    """Fit a head to a share of the training split, and score the test split with it.

    Args:
        train, val, test: of one task.
        classes: C names.
        share: per cent of the training split.
        seed: which records these are.
        bootstrap: resamples behind the intervals, as in `metrics.evaluate`.

    Raises:
        RunError: as `fit`.
    """
    head = fit(train.drawn(share, seed), val)
    scores = head.scores(test.x)
    options = {"groups": test.subjects, "bootstrap": bootstrap}
    return Probed(evaluate(test.y, scores, list(classes), **options), head)
