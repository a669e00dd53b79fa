"""Section 4.1: pretraining, on a CPU, one GPU, or many through torchrun.

A run is a folder `<name>-<hash of what decides its numbers>` (see `run_folder`). The
randomness of a step is a function of (seed, step, rank), so a run that is killed and
started again ends as if it never was. One step is `learner.Learner`'s; this module is
the loop around it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mccgaa.config import METHOD, RunConfig
from mccgaa.device_reader import DeviceReader
from mccgaa.errors import RunError
from mccgaa.files import bar
from mccgaa.held_out import held_out
from mccgaa.learner import Learner
from mccgaa.model import MCCGAA
from mccgaa.pairs import DeviceTexts, Pairs, check_input, epoch_order, shares
from mccgaa.run_folder import RunFolder
from mccgaa.runtime import (
    effective_precision,
    facts,
    from_rank_zero,
    pick_device,
    process_group,
    put_off,
    world,
)

if TYPE_CHECKING:
    from mccgaa.start import Start

WORTH_COMPILING = 10_000  # steps: compiling takes a minute
FLUSH = 50  # steps between two looks at the losses: each look waits for the device


def learning_rate(step: int, total: int, lr: float, min_lr: float) -> float:
    """One cosine over the run, from `lr` at step 0 to `min_lr` at the last step."""
    progress = step / max(1, total - 1)
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


def pretrain(
    config: RunConfig,
    pairs: Pairs,
    out: Path | str,
    *,
    device: str | None = None,
    progress: bool = True,
    note: dict[str, Any] | None = None,
) -> Path:
    """Pretrain a model, or continue or return the run of this configuration.

    Args:
        config: model, optimiser and seed; `processes` and the fingerprints are filled
            in from torchrun and the pairs.
        pairs: what to train on.
        out: folder of runs.
        device: as `runtime.pick_device`.
        progress: show a bar.
        note: facts to keep in metrics.json, such as the tier.

    Returns:
        The run's folder.

    Raises:
        StoreError: the store's signals are not what the model expects.
        RunError: too few records for a batch, a checkpoint of another run, a loss that
            is not finite, another process at work in the folder, snapshots that a
            finished run did not keep, or a start that does not fit or has met classes
            that are to stay unseen.
        WriteError: the disk is full, or `out` cannot be written.
    """
    chosen = pick_device(device)
    start = None
    if config.pretrain.start:
        from mccgaa.start import Start

        start = Start(config.pretrain.start)
        start.check_unseen(config.pretrain.unseen)
    with process_group(chosen) as (_, processes):
        config = replace(identified(config, pairs, start), processes=processes)
        folder = RunFolder(Path(out) / config.folder)
        if not from_rank_zero(lambda: folder.finished):
            check_input(pairs.store, config.model.input)
            trainer = Trainer(config, pairs, folder, chosen, progress, start)
            with contextlib.ExitStack() as stack:
                from_rank_zero(lambda: stack.enter_context(folder.lock()))
                trainer.train(note or {})
        settings = config.pretrain
        from_rank_zero(
            lambda: folder.check_snapshots(settings.snapshots, settings.epochs)
        )
    return folder.path


def identified(config: RunConfig, pairs: Pairs, start: Start | None) -> RunConfig:
    """Fill in what a run's identity takes from its data: see `RunConfig.folder`."""
    return replace(
        config,
        store=pairs.store.meta["fingerprint"],
        texts=pairs.fingerprint,
        text_encoder=pairs.encoder.fingerprint,
        start=start.fingerprint if start else "",
    )


class Trainer:
    """The loop of one run, and the folder that it fills.

    Args:
        config: of the run, with its processes and fingerprints.
        pairs: what to train on.
        folder: of the run.
        device: to train on.
        progress: show a bar.
        start: the model whose weights the run starts from.

    Raises:
        RunError: too few records for one batch, or none to choose the best epoch; a
            start that does not fit.
    """

    def __init__(
        self,
        config: RunConfig,
        pairs: Pairs,
        folder: RunFolder,
        device: torch.device,
        progress: bool,
        start: Start | None = None,
    ) -> None:
        self.config, self.pairs = config, pairs
        self.folder, self.device = folder, device
        self.rank, self.processes = world()
        settings = config.pretrain
        self.steps_per_epoch = len(pairs.train) // config.global_batch
        if not self.steps_per_epoch:
            raise RunError(
                f"{pairs.store.path} has {len(pairs.train)} training pairs, fewer than "
                f"one batch of {config.global_batch}: lower pretrain.batch_size."
            )
        if settings.selection == "best-retrieval" and not len(pairs.held_out):
            raise RunError(
                f"{pairs.store.path} has no held-out pairs to choose the best epoch: "
                "use pretrain.selection: last."
            )
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.precision = effective_precision(device, settings.precision)
        self.progress = progress and self.rank == 0

        self.start = start
        self.learner = self.new_learner()
        self.model = self.learner.model
        self.compiled = False  # whether torch.compile made the steps
        self.step = 0  # steps done
        self.seconds = 0.0  # spent on them
        self.best = -1.0  # held-out retrieval of the best epoch
        self.epochs: list[dict[str, float]] = []  # rows of epochs.csv
        self.waiting: list[tuple[int, int, float, Tensor]] = []  # steps to flush

    def new_learner(self) -> Learner:
        """What takes the steps; other methods have their own."""
        return Learner(self.config, self.device, self.start)

    def train(self, note: dict[str, Any]) -> None:
        """Run the remaining epochs, then write the finished model.

        Args:
            note: facts to keep in metrics.json.
        """
        settings = self.config.pretrain
        _ = self.texts  # encodes them, if no cache has them
        self.resume()
        _ = self.reader  # takes the store to the device, if it fits
        if self.worth_compiling:
            self.compiled = self.learner.compile()
        if self.can_be_captured:
            self.learner.capture()
        steps = bar(
            total=self.total_steps,
            initial=self.step,
            desc=self.config.folder,
            unit="step",
            disable=not self.progress,
        )
        saved = self.clock = time.perf_counter()
        # Of several processes one must not stop where the others wait for it.
        stops = put_off() if self.processes == 1 else contextlib.nullcontext([])
        with steps, stops as stopped:
            for epoch in range(self.step // self.steps_per_epoch, settings.epochs):
                for signals, *texts in self.batches(epoch):
                    self.train_step(epoch, signals, *texts)
                    steps.update()
                    epoch_ends = self.step % self.steps_per_epoch == 0
                    minutes = (time.perf_counter() - saved) / 60
                    save = (
                        stopped
                        or self.step % settings.checkpoint_every == 0
                        or minutes >= settings.checkpoint_minutes
                    )
                    if epoch_ends or save or len(self.waiting) == FLUSH:
                        steps.set_postfix(loss=f"{self.flush():.3f}", refresh=False)
                    if epoch_ends:
                        from_rank_zero(partial(self.end_epoch, epoch))
                    if save and self.rank == 0:
                        self.save()
                    if save:
                        saved = time.perf_counter()
                    if epoch_ends or save:
                        self.clock = time.perf_counter()  # that was not training
                    if stopped:
                        raise KeyboardInterrupt
        from_rank_zero(lambda: self.finish(note))

    @property
    def remedy(self) -> str:
        """What to do about a loss that is not finite."""
        return "lower pretrain.lr or use pretrain.precision: fp32"

    @property
    def worth_compiling(self) -> bool:
        """Whether a minute of compiling is asked for, or soon made up for."""
        settings = self.config.pretrain
        if settings.compile != "auto" or settings.chunk:  # chunks are not compiled
            return settings.compile == "on" and not settings.chunk
        # SyncBatchNorm's exchanges leave little that could be compiled.
        alone_on_gpu = self.device.type == "cuda" and self.processes == 1
        return alone_on_gpu and self.total_steps - self.step >= WORTH_COMPILING

    @property
    def can_be_captured(self) -> bool:
        """Whether a step can be a CUDA graph, which the host asks for at once.

        What differs from step to step cannot. Augmentation is applied before. The loss
        of statements would fit, but nobody has measured whether it gains by it.
        """
        settings, model = self.config.pretrain, self.config.model
        alone_on_gpu = self.device.type == "cuda" and self.processes == 1
        fixed = model.gafa.neighbours is None and model.loss.kind != "statements"
        plain = settings.compile == "off" or settings.chunk
        return alone_on_gpu and fixed and not plain

    @cached_property
    def reader(self) -> DeviceReader:
        """What brings signals to the device."""
        settings = self.config.pretrain
        return DeviceReader(
            self.pairs.store,
            self.device,
            settings.store_on,
            settings.workers,
            self.progress,
        )

    @cached_property
    def texts(self) -> DeviceTexts:
        """The texts on the device, and which record has which."""
        return DeviceTexts(self.pairs, self.device, self.config.model.loss.balance)

    def read(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[tuple[Tensor, ...]]:
        """Read batches of rows: what `MCCGAA.forward` takes."""
        for at, signals in self.reader.batches(rows):
            yield signals, *self.texts(at)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """Read the rest of an epoch, as `read` does."""
        settings = self.config.pretrain
        order = epoch_order(self.pairs.train, settings.seed, epoch)
        done = self.step - epoch * self.steps_per_epoch
        return self.read(shares(order, settings.batch_size)[done:])

    def train_step(self, epoch: int, signals: Tensor, *texts: Tensor) -> None:
        """Take one step of AdamW; its losses stay on the device until `flush`."""
        settings = self.config.pretrain
        lr = learning_rate(self.step, self.total_steps, settings.lr, settings.min_lr)
        losses = self.learner.step(self.step, lr, signals, *texts)  # (K,)
        self.waiting.append((self.step, epoch, lr, losses))
        self.step += 1

    def flush(self) -> float:
        """Fetch the losses of the steps since the last flush, and write their rows.

        Returns:
            The last step's loss.

        Raises:
            RunError: one of them is not finite.
        """
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        seconds, self.clock = now - self.clock, now
        self.seconds += seconds
        # Wall time: it covers reading, both passes and the optimiser.
        speed = len(self.waiting) * self.config.global_batch / seconds
        found = torch.stack([losses for *_, losses in self.waiting]).tolist()  # (n, K)
        rows = []
        for (step, epoch, lr, _), losses in zip(self.waiting, found, strict=True):
            loss = losses[0]
            if not math.isfinite(loss):
                raise RunError(
                    f"{self.folder.path}: the loss is {loss} at step {step} (seen when "
                    f"steps {self.waiting[0][0]} to {self.waiting[-1][0]} were "
                    f"written); {self.remedy}."
                )
            rows.append((step, epoch, *losses, lr, speed))
        self.waiting.clear()
        if self.rank == 0:
            self.folder.append_history(rows)
        return loss

    def end_epoch(self, epoch: int) -> None:
        """Measure what `evaluate` does, keep the best weights, take a snapshot."""
        settings = self.config.pretrain
        row: dict[str, float] = {"epoch": epoch, "step": self.step}
        row |= self.evaluate()
        self.epochs.append(row)
        self.folder.write_epochs(self.epochs)
        score = row.get("ecg_to_text_r5", 0.0) + row.get("text_to_ecg_r5", 0.0)
        if settings.selection == "best-retrieval" and score > self.best:
            self.best = score
            self.folder.keep(self.learner.result, self.folder.best)
        if epoch + 1 in settings.snapshots:
            self.folder.keep(self.learner.result, self.folder.snapshot(epoch + 1))

    def evaluate(self) -> dict[str, float]:
        """Loss and retrieval on the held-out pairs, if there are any."""
        if not len(self.pairs.held_out):
            return {}
        size = self.config.global_batch  # GAFA's graph is that of a training step
        rows = self.pairs.held_out
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        precision = self.config.pretrain.precision
        return held_out(self.learner.result, self.read(parts), precision)

    def facts(self) -> dict[str, Any]:
        """What must not change between the start of a run and its continuation."""
        return {
            "hash": self.config.hash,
            "steps_per_epoch": self.steps_per_epoch,
            "processes": self.processes,
            "precision": self.precision,
        }

    def save(self) -> None:
        """Write a checkpoint of all that `resume` restores."""
        state = {
            **self.learner.state(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "epochs": self.epochs,
        }
        self.folder.save(self.facts(), state)

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one: rank 0 reads it for all."""

        def begin() -> dict[str, Any]:
            state = self.folder.load(self.facts(), torch.device("cpu"))
            step = state.get("step", 0)
            done = step // self.steps_per_epoch
            self.folder.check_snapshots(self.config.pretrain.snapshots, done)
            self.folder.begin(self.config, step)
            return state

        state = from_rank_zero(begin)
        if state:
            self.learner.load(state)
            self.step = state["step"]
            self.seconds = state["seconds"]
            self.best = state["best"]
            self.epochs = state["epochs"]

    def finish(self, note: dict[str, Any]) -> None:
        """Write the finished model, and what it was made of."""
        model = self.learner.result
        if self.config.pretrain.selection == "best-retrieval":
            model = MCCGAA.from_pretrained(self.folder.best)
        store = self.pairs.store
        metrics = {
            **note,
            "synthetic": store.meta["synthetic"],
            "method": METHOD,
            "hash": self.config.hash,
            "store": {"source": store.meta["source"], "fingerprint": self.config.store},
            **self.pairs.facts(self.config.pretrain.text),
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "last_epoch": self.epochs[-1] if self.epochs else {},
            "facts": {
                **facts(self.device),
                "precision": self.precision,
                "store_on": self.reader.where,
                "compiled": self.compiled,
                "captured": bool(self.learner.replay and self.learner.replay.graph),
            },
        }
        if self.start:
            metrics["start"] = self.start.facts
        self.folder.finish(model, metrics)
