"""The ancestor's linear probe, so that the recipe's own share of Table 3 can be seen.

This is what MERL's `finetune/main_single.py` does to its linear layer, with the options
of its scripts: Adam at 0.001 with weight decay 1e-4, batches of 16, 100 epochs, binary
cross-entropy on features as they are. Two things in it decide what is reported:

- the schedule divides the rate by ten at 40 *calls*, and is called at every iteration
  and once more per epoch: with more than 40 batches per epoch nearly all training is
  at a tenth of the rate;
- both splits are scored at every epoch, and the best epoch *of the test split* is
  reported (`BEST_TEST`).

Two more are not followed here, because with either the encoder would not be the one
that is compared. MERL freezes it only if the run's name contains "linear", which its
default name, LinearProbing, does not; and it leaves batch normalisation in training
mode, so that a frozen encoder's features still move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mccgaa.metrics import TaskResult, evaluate
from mccgaa.probe import Part, macro_auroc
from mccgaa.runtime import seed_step

LEARNING_RATE, WEIGHT_DECAY, BATCH, EPOCHS = 1e-3, 1e-4, 16, 100
MILESTONE = 40  # calls of the schedule
BEST_TEST, BEST_VAL, LAST = "best-test", "best-val", "last"  # which epoch is reported


@dataclass(frozen=True)
class Course:
    """A probe's training, as both splits saw it."""

    val: NDArray[np.float64]  # (E,) macro AUROC after each epoch
    test: NDArray[np.float64]  # (E,)
    scores: NDArray[np.float32]  # (E, n, C) of the test split

    def epoch(self, choice: str) -> int:
        """Index of the epoch that a choice reports; of equally good ones the first.

        Args:
            choice: BEST_TEST, as the ancestor does; BEST_VAL; or LAST.

        Raises:
            ValueError: the split that chooses has no class with both kinds of label.
        """
        if choice == LAST:
            return len(self.test) - 1
        return int(np.nanargmax({BEST_TEST: self.test, BEST_VAL: self.val}[choice]))

    def can(self, choice: str) -> bool:
        """Whether an epoch can be chosen so."""
        aurocs = {BEST_TEST: self.test, BEST_VAL: self.val}.get(choice)
        return aurocs is None or not np.isnan(aurocs).all()


def train_layer(
    train: Part,
    val: Part,
    test: Part,
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
    per_iteration: bool = True,
) -> Course:
    """Train a linear layer as the ancestor does, scoring both splits at every epoch.

    Args:
        train: features and labels that it is fitted to.
        val, test: features and labels that it is scored on.
        seed: of the layer's weights and of the order of the records.
        epochs: E.
        per_iteration: call the schedule at every iteration, too, as the ancestor does;
            False calls it once per epoch, as was meant.
    """
    seed_step(seed)
    x, x_val, x_test, y = (
        torch.from_numpy(np.asarray(rows, dtype=np.float32))
        for rows in (train.x, val.x, test.x, train.y)
    )  # (n, W), ..., (n, C)
    layer = nn.Linear(x.shape[1], y.shape[1])
    optimizer = torch.optim.Adam(
        layer.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [MILESTONE], gamma=0.1)
    criterion = nn.BCEWithLogitsLoss()
    aurocs, scores = [], []
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            criterion(layer(x[rows]), y[rows]).backward()
            optimizer.step()
            if per_iteration:
                schedule.step()
        schedule.step()
        with torch.no_grad():
            on_val, on_test = layer(x_val).numpy(), layer(x_test).numpy()  # (n, C)
        aurocs.append((macro_auroc(val, on_val), macro_auroc(test, on_test)))
        scores.append(on_test)
    of_val, of_test = np.array(aurocs).T  # (E,) each
    return Course(of_val, of_test, np.stack(scores))


def probe(
    train: Part,
    val: Part,
    test: Part,
    classes: Sequence[str],
    *,
    share: float = 100,
    seed: int = 0,
    bootstrap: int = 1000,
    per_iteration: bool = True,
    choices: Sequence[str] = (BEST_TEST, BEST_VAL, LAST),
) -> dict[str, TaskResult]:
    """Probe as the ancestor does; arguments as in `probe.probe` and `train_layer`.

    Returns:
        A result per choice of the epoch that can be made: BEST_VAL and BEST_TEST need a
        class with both kinds of label in their split. That of BEST_TEST is what the
        ancestor reports; it has seen the labels of the test split.
    """
    drawn = train.drawn(share, seed)
    course = train_layer(drawn, val, test, seed=seed, per_iteration=per_iteration)
    choices = [choice for choice in choices if course.can(choice)]
    return {
        choice: evaluate(
            test.y,
            course.scores[course.epoch(choice)],
            list(classes),
            groups=test.subjects,
            bootstrap=bootstrap,
        )
        for choice in choices
    }
