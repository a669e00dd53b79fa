"""Section 4.1: pretraining, on a CPU, one GPU, or many through torchrun.

A run is a folder `<name>-<hash of its configuration>`: config.yaml, history.csv (a row
a step), epochs.csv (held-out retrieval), checkpoint/ while it trains, and then
model.safetensors, config.json and metrics.json. The randomness of a step is a function
of (seed, step), so a run that is killed and started again ends as if it never was.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from mccgaa.config import RunConfig, dump_yaml, to_dict
from mccgaa.errors import RunError
from mccgaa.files import bar
from mccgaa.metrics import retrieval
from mccgaa.model import MCCGAA
from mccgaa.pairs import Batches, Pairs, augment, check_input
from mccgaa.runtime import (
    autocast,
    facts,
    pick_device,
    process_group,
    seed_step,
    world,
)


def learning_rate(step: int, total: int, lr: float, min_lr: float) -> float:
    """One cosine over the run, from `lr` at step 0 to `min_lr` at the last step."""
    progress = step / max(1, total - 1)
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


def pretrain(
    config: RunConfig,
    corpus: Pairs,
    out: Path | str,
    *,
    device: str | None = None,
    progress: bool = True,
    note: dict[str, Any] | None = None,
) -> Path:
    """Pretrain a model, or continue or return the run of this configuration.

    Args:
        config: model, optimiser and seed; `store` and `texts` are filled in from
            the corpus.
        corpus: the pairs.
        out: folder of runs.
        device: as `runtime.pick_device`.
        progress: show a bar.
        note: facts to keep in metrics.json (the tier, whether data are synthetic).

    Returns:
        The run's folder.

    Raises:
        StoreError: the store's signals are not what the model expects.
        RunError: too few records for a batch, a checkpoint
            of another configuration, or a loss that is not finite.
    """
    config = replace(
        config, store=corpus.store.meta["fingerprint"], texts=corpus.fingerprint
    )
    folder = Path(out) / config.folder
    if (folder / "metrics.json").exists():
        return folder
    check_input(corpus.store, config.model.input)
    place = pick_device(device)
    with process_group(place):
        _Run(config, corpus, folder, place, progress).train(note or {})
    return folder


class _Run:
    """State of one run: what a checkpoint holds, and the folder it lives in."""

    def __init__(
        self,
        config: RunConfig,
        corpus: Pairs,
        folder: Path,
        device: torch.device,
        progress: bool,
    ) -> None:
        self.config, self.corpus, self.folder = config, corpus, folder
        self.device = device
        self.rank, self.processes = world()
        self.progress = progress and self.rank == 0
        settings = config.pretrain
        group = settings.batch_size * self.processes
        self.steps_per_epoch = len(corpus.train) // group
        if not self.steps_per_epoch:
            raise RunError(
                f"{corpus.store.path} has {len(corpus.train)} training pairs, fewer "
                f"than one batch of {group}: lower pretrain.batch_size."
            )
        self.total_steps = self.steps_per_epoch * settings.epochs
        seed_step(settings.seed)
        self.model = MCCGAA(config.model).to(device)
        module: nn.Module = self.model
        if self.processes > 1:
            if device.type == "cuda":
                module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
            module = DistributedDataParallel(module)
        self.module = module
        self.optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad],
            lr=settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.step = 0
        self.best = -1.0  # held-out retrieval of the best epoch
        self.history: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.seconds = 0.0

    def save(self) -> None:
        """Write the checkpoint whole, or leave the one before."""
        if self.rank:
            return
        state = {
            "hash": self.config.hash,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "history": self.history,
            "epochs": self.epochs,
        }
        path = self.folder / "checkpoint" / "state.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        self._write_tables()

    def load(self) -> None:
        """Continue from the checkpoint, if there is one."""
        path = self.folder / "checkpoint" / "state.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            raise RunError(
                f"{path} is not a readable checkpoint ({error}); delete "
                f"{self.folder} to start the run over."
            ) from error
        if state["hash"] != self.config.hash:
            raise RunError(
                f"{path} belongs to another configuration ({state['hash']}) than this "
                f"run's ({self.config.hash}); delete {self.folder}, or give "
                "another output folder."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("step", "best", "seconds", "history", "epochs"):
            setattr(self, name, state[name])

    def _write_tables(self) -> None:
        for name, rows in (("history.csv", self.history), ("epochs.csv", self.epochs)):
            partial = self.folder / f"{name}.partial"
            pd.DataFrame(rows).to_csv(partial, index=False)
            partial.replace(self.folder / name)

    def train(self, note: dict[str, Any]) -> None:
        """Run the remaining epochs, then write the finished model."""
        settings = self.config.pretrain
        self.folder.mkdir(parents=True, exist_ok=True)
        self.load()
        if self.rank == 0:
            dump_yaml(to_dict(self.config), self.folder / "config.yaml")
        steps = bar(
            total=self.total_steps,
            initial=self.step,
            desc=self.config.folder,
            unit="step",
            disable=not self.progress,
        )
        with steps:
            for epoch in range(self.step // self.steps_per_epoch, settings.epochs):
                for signals, vectors in self._batches(epoch):
                    row = self._train_step(epoch, signals, vectors)
                    steps.update()
                    steps.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                    if self.step % self.steps_per_epoch == 0:
                        self._end_epoch(epoch)
                    if self.step % settings.checkpoint_every == 0:
                        self.save()
        self._finish(note)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The rest of an epoch's batches, in an order that (seed, epoch) decides."""
        settings = self.config.pretrain
        rng = np.random.default_rng([settings.seed, epoch])
        order = rng.permutation(self.corpus.train)
        data = Batches(self.corpus, order, settings.batch_size)
        done = self.step - epoch * self.steps_per_epoch
        return iter(
            DataLoader(
                data,
                batch_size=None,
                sampler=range(done, len(data)),
                num_workers=settings.workers,
                pin_memory=self.device.type == "cuda",
                generator=torch.Generator().manual_seed(0),
            )
        )

    def _train_step(
        self, epoch: int, signals: Tensor, vectors: Tensor
    ) -> dict[str, float]:
        settings = self.config.pretrain
        started = time.perf_counter()
        seed_step(settings.seed, self.step, self.rank)
        lr = learning_rate(self.step, self.total_steps, settings.lr, settings.min_lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.module.train()
        signals = augment(signals.to(self.device, non_blocking=True), settings.augment)
        vectors = vectors.to(self.device, non_blocking=True)
        with autocast(self.device, settings.precision):
            output = self.module(signals, vectors)
        if not torch.isfinite(output.loss):
            raise RunError(
                f"{self.folder.name}: the loss is {output.loss.item()} at step "
                f"{self.step}; lower pretrain.lr or use precision: fp32."
            )
        self.optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        self.optimizer.step()
        seconds = time.perf_counter() - started
        self.seconds += seconds
        row = {
            "step": self.step,
            "epoch": epoch,
            "loss": output.loss.item(),
            "cma": output.cma.item(),
            "uma": output.uma.item(),
            "lr": lr,
            "samples_per_second": len(signals) * self.processes / seconds,
        }
        self.history.append(row)
        self.step += 1
        return row

    def _end_epoch(self, epoch: int) -> None:
        """Measure held-out retrieval, keep the best weights, take a snapshot."""
        settings = self.config.pretrain
        if self.rank == 0:
            row: dict[str, float] = {"epoch": epoch, "step": self.step}
            if len(self.corpus.held_out):
                row |= self._held_out()
            self.epochs.append(row)
            score = row.get("ecg_to_text_r5", 0.0) + row.get("text_to_ecg_r5", 0.0)
            if settings.selection == "best-retrieval" and score > self.best:
                self.best = score
                self._keep(self.folder / "checkpoint" / "best")
            if epoch + 1 in settings.snapshots:
                self._keep(self.folder / "snapshots" / f"epoch-{epoch + 1:02d}")

    def _keep(self, folder: Path) -> None:
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        self.model.save_pretrained(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    @torch.no_grad()
    def _held_out(self) -> dict[str, float]:
        """Retrieval on the held-out pairs, with and without the fused part."""
        self.model.eval()
        size = self.config.pretrain.batch_size
        rows = self.corpus.held_out
        xs, qs, fused_x, fused_q, losses = [], [], [], [], []
        for start in range(0, len(rows), size):
            index = rows[start : start + size]
            signals = torch.from_numpy(self.corpus.store.batch(index)).to(self.device)
            with autocast(self.device, self.config.pretrain.precision):
                x = self.model.encode_ecg(signals).float()
            q = self.model.encode_text(
                self.corpus.vectors[self.corpus.text_of[index]].to(self.device)
            ).float()
            x_fuse, q_fuse = self.model.gafa(x, q)
            for kept, new in ((xs, x), (qs, q), (fused_x, x_fuse), (fused_q, q_fuse)):
                kept.append(nn.functional.normalize(new, dim=-1).cpu())
            losses.append(self.model.alignment(x_fuse, q_fuse).item() * len(index))
        plain = retrieval(torch.cat(xs).numpy(), torch.cat(qs).numpy())
        fused = retrieval(torch.cat(fused_x).numpy(), torch.cat(fused_q).numpy())
        fused = {f"fused_{name}": value for name, value in fused.items()}
        return {"held_out_cma": sum(losses) / len(rows)} | plain | fused

    def _finish(self, note: dict[str, Any]) -> None:
        """Write the model and, last of all, metrics.json: the sign of a whole run."""
        if self.rank:
            return
        best = self.folder / "checkpoint" / "best"
        if self.config.pretrain.selection == "best-retrieval" and best.exists():
            self.model = MCCGAA.from_pretrained(best)
        self._write_tables()
        self.model.save_pretrained(self.folder)
        store = self.corpus.store
        metrics = {
            **note,
            "synthetic": store.meta["synthetic"],
            "store": {"source": store.meta["source"], "fingerprint": self.config.store},
            "pairs": {
                "train": len(self.corpus.train),
                "held_out": len(self.corpus.held_out),
                "distinct_texts": len(self.corpus.vectors),
            },
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "last_epoch": self.epochs[-1] if self.epochs else {},
            "facts": facts(self.device),
        }
        partial = self.folder / "metrics.json.partial"
        partial.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.folder / "metrics.json")
        shutil.rmtree(self.folder / "checkpoint", ignore_errors=True)
