"""Train a baseline with the project's own loop: AMP, resume, torchrun, history.

A run is a folder `<method>-<hash of what decides its numbers>` under the profile's
runs, as one of MCCGAA is, and `mccgaa.pretrain.Trainer` fills it. history.csv has the
method's losses and, as `spread`, how far its embeddings are from collapsed; epochs.csv
has the same of what is probed, as `features`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError
from mccgaa.gather import Group, mean
from mccgaa.learner import Learner
from mccgaa.pairs import check_input
from mccgaa.pretrain import Trainer
from mccgaa.run_folder import RunFolder
from mccgaa.runtime import (
    autocast,
    from_rank_zero,
    pick_device,
    process_group,
    seed_step,
)
from mccgaa_book.baselines.base import Batch, Method, spread
from mccgaa_book.baselines.config import BaselineConfig
from mccgaa_book.baselines.registry import build, method

# A mean spread over an epoch below this is a collapse: cosines of 0.9999 on average.
COLLAPSED = 0.01


@dataclass(frozen=True)
class Signals:
    """What self-supervised methods read: the training ECGs of a store, no text."""

    store: SignalStore

    @cached_property
    def train(self) -> NDArray[np.int64]:
        """Rows of the training split."""
        return self.store.indices(split="train")

    @property
    def held_out(self) -> NDArray[np.int64]:
        """No rows: nothing is chosen while a baseline trains."""
        return np.empty(0, dtype=np.int64)

    @cached_property
    def subjects(self) -> Tensor:
        """A number for each record of the store (N,), the same for one person.

        A record of nobody known is a person of its own.
        """
        records = self.store.records
        if "subject_id" not in records:
            return torch.arange(len(records))
        codes, _ = pd.factorize(records["subject_id"])
        own = -1 - np.arange(len(codes))
        return torch.from_numpy(np.where(codes < 0, own, codes).astype(np.int64))

    def facts(self, kind: str) -> dict[str, Any]:
        """Say what was read, for metrics.json."""
        return {"records": {"train": len(self.train)}}


class BaselineLearner(Learner):
    """A method, its optimiser, and the step that both take.

    Args:
        config: of the run; its seed decides the first weights.
        device: to learn on.
        total: steps of the whole run.
    """

    model: Method  # type: ignore[assignment]

    def __init__(
        self, config: BaselineConfig, device: torch.device, total: int
    ) -> None:
        self.total = total
        super().__init__(config, device)  # type: ignore[arg-type]

    def new_model(self) -> Method:  # type: ignore[override]
        """Make the method, its weights drawn from torch's generator."""
        return build(self.config)  # type: ignore[arg-type]

    def risen(self, step: int) -> float:
        """Say what share of its learning rate a step has, in (0, 1]: a warm-up's."""
        warm = self.config.settings.warmup * self.total  # type: ignore[attr-defined]
        return min(1.0, (step + 1) / max(1.0, warm))

    def step(self, step: int, lr: float, signals: Tensor, *texts: Tensor) -> Tensor:
        """Take one step of AdamW.

        Args:
            step: its number in the run.
            lr: learning rate, before the method's warm-up.
            signals: (B, 12, T) float32 on the device.
            texts: the numbers of the subjects (B,), alone.

        Returns:
            (K,) on the device: what `Method.columns` names.
        """
        settings = self.config.pretrain
        seed_step(settings.seed, step, self.rank)  # of views and dropout
        for group in self.optimizer.param_groups:
            group["lr"] = lr * self.risen(step)
        self.module.train()
        progress = step / self.total
        with autocast(self.device, settings.precision):
            found = self.module(Batch(signals, *texts, progress))  # (K,)
        self.optimizer.zero_grad(set_to_none=True)
        found[0].backward()
        self.optimizer.step()
        self.model.after_step(progress)
        return found.detach()


class BaselineTrainer(Trainer):
    """The loop of one run of a baseline, and the folder that it fills."""

    learner: BaselineLearner

    @property
    def remedy(self) -> str:
        """What to do about a loss that is not finite."""
        return f"lower {self.lr} or use baselines.precision: fp32"

    @property
    def lr(self) -> str:
        """Where a profile has the learning rate."""
        return f"baselines.settings.{self.config.method}.lr"  # type: ignore[attr-defined]

    @property
    def worth_compiling(self) -> bool:
        """No: it is the encoder of MCCGAA that can be."""
        return False

    @property
    def can_be_captured(self) -> bool:
        """No: views are drawn within a step."""
        return False

    def new_learner(self) -> BaselineLearner:
        """What takes the steps."""
        config: Any = self.config
        return BaselineLearner(config, self.device, self.total_steps)

    @cached_property
    def texts(self) -> Any:
        """What gives the subjects of rows of the store, both on the device."""
        subjects = self.pairs.subjects.to(self.device)  # type: ignore[attr-defined]
        return lambda rows: (subjects[rows],)

    def train_step(self, epoch: int, signals: Tensor, *texts: Tensor) -> None:
        """Take one step, and average what is logged over the processes."""
        super().train_step(epoch, signals, *texts)
        step, epoch, lr, losses = self.waiting[-1]
        losses = mean(losses, Group(self.rank, self.processes))
        self.waiting[-1] = (step, epoch, lr * self.learner.risen(step), losses)

    def end_epoch(self, epoch: int) -> None:
        """Refuse to go on with embeddings that have all become the same.

        Both what the loss is made from is watched and what is probed: the batch
        normalisation of a head would spread features that lie next to one point.

        Raises:
            RunError: they have, over this epoch.
        """
        super().end_epoch(epoch)
        history = pd.read_csv(self.folder.history)
        compared = history.loc[history["epoch"] == epoch, "spread"].mean()
        for name, found in (
            ("embeddings", compared),
            ("features", self.epochs[-1]["features"]),
        ):
            if found < COLLAPSED:
                raise RunError(
                    f"{self.folder.path}: the {name} have collapsed, their spread is "
                    f"{found:.1e} in epoch {epoch} (1 is the sphere, see history.csv "
                    f"and epochs.csv): lower {self.lr}, or give a larger "
                    "baselines.batch_size."
                )

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """How far from collapsed the first training ECGs are as a probe sees them."""
        rows = self.pairs.train[: self.config.pretrain.batch_size]
        signals = torch.from_numpy(self.pairs.store.batch(rows))
        features = self.learner.model.eval().features(signals.to(self.device))
        return {"features": float(spread(features))}  # of (B, D)


def train(
    config: BaselineConfig,
    store: SignalStore,
    out: Path | str,
    *,
    device: str | None = None,
    progress: bool = True,
    note: dict[str, Any] | None = None,
) -> Path:
    """Train a baseline, or continue or return the run of this configuration.

    Args:
        config: of the run; `processes` and `store` are filled in.
        store: whose training split is read.
        out: folder of runs.
        device: as `runtime.pick_device`.
        progress: show a bar.
        note: facts to keep in metrics.json, such as the tier.

    Returns:
        The run's folder, which `registry.load` reads.

    Raises:
        StoreError: the store's signals are not what the configuration says.
        RunError: too few records for a batch, a loss that is not finite, embeddings
            that collapse, or another process at work in the folder.
    """
    chosen = pick_device(device)
    with process_group(chosen) as (_, processes):
        fingerprint = store.meta["fingerprint"]
        config = replace(config, processes=processes, store=fingerprint)
        cls = method(config.method)
        folder = RunFolder(Path(out) / config.folder, cls.columns())
        if not from_rank_zero(lambda: folder.finished):
            check_input(store, config.input)
            if not cls.learns:
                return from_rank_zero(lambda: _as_drawn(config, folder, note or {}))
            check_batch(config, store)
            made: tuple[Any, Any] = (config, Signals(store))
            trainer = BaselineTrainer(*made, folder, chosen, progress)
            with contextlib.ExitStack() as stack:
                from_rank_zero(lambda: stack.enter_context(folder.lock()))
                trainer.train(note or {})
    return folder.path


def check_batch(config: BaselineConfig, store: SignalStore) -> int:
    """Count the training records of a store.

    Raises:
        RunError: they are too few for a batch.
    """
    records = len(store.indices(split="train"))
    if records < config.global_batch:
        raise RunError(
            f"{store.path} has {records} training records, fewer than one batch of "
            f"{config.global_batch}: lower baselines.batch_size."
        )
    return records


def _as_drawn(config: BaselineConfig, folder: RunFolder, note: dict[str, Any]) -> Path:
    """Keep the first weights of a method that has nothing to learn."""
    seed_step(config.pretrain.seed)
    with folder.lock():
        folder.begin(config, 0)
        folder.finish(build(config), {**note, "hash": config.hash, "steps": 0})
    return folder.path
