"""The ceiling beside "zero-shot": the same ECG encoder, trained on the tasks' labels.

One linear layer on the embedding gives a logit for each class of every task; a record
without a label in a task counts for none of that task's classes. Nothing is chosen: the
weights of the last step are tested. They are kept among the runs, and trained once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mccgaa.config import METHOD, ModelConfig, PretrainConfig, RunConfig
from mccgaa.data.store import SignalStore
from mccgaa.device_reader import encoded
from mccgaa.encoder import EcgEncoder
from mccgaa.errors import ConfigError
from mccgaa.files import bar, write_whole
from mccgaa.metrics import TaskResult, evaluate
from mccgaa.model import MCCGAA, scale_input
from mccgaa.plus.augment import augment
from mccgaa.pretrain import learning_rate
from mccgaa.runtime import (
    autocast,
    effective_precision,
    facts,
    pick_device,
    seed_step,
)
from mccgaa.settings import stable_hash
from mccgaa.start import Start
from mccgaa_book.results import history, kinds_of
from mccgaa_book.scored import aurocs, tested_tasks, with_sources

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab


def ceiling(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC x 100 on the test split of each variant's encoder, trained on the labels.

    Data, network, epochs, augmentation and first weights are the variant's; only what
    it learns from differs. An average of the weights (`pretrain.ema`) is not taken.

    Returns:
        Macro rows with the bootstrap interval over records: metric `auroc_supervised`.
    """
    rows: list[dict[str, Any]] = []
    store = lab.store("pretrain")
    targets = Targets.of(store, own_tasks(lab))
    for variant, seed in product(variants, seeds):
        config = lab.config(variant, seed)
        if config.pretrain.unseen:
            raise ConfigError(
                f"{lab.profile.path}: {variant} leaves classes out (pretrain.unseen), "
                "and supervised training reads all labels; choose other variants."
            )
        earlier = lab.earlier_run(variant, seed)
        start, kinds = config.pretrain.start, [lab.data_kind()]
        if earlier:
            start, kinds = earlier.folder, [*earlier.kinds, *kinds]
        elif start:
            kinds = [*kinds_of(Start(start).facts), *kinds]
        network = trained(place(lab, variant, seed), store, targets, config, start)
        for task, result in score(network, store, targets, "test").items():
            name = {"variant": variant, "seed": str(seed), "split": "test"}
            name |= {"task": task, "trained_on": history(kinds)}
            (row, *_) = aurocs(name, result)
            rows.append(row | {"metric": "auroc_supervised"})
    return with_sources(pd.DataFrame(rows), lab)


@dataclass(frozen=True)
class Targets:
    """The labels of several tasks side by side."""

    classes: dict[str, list[str]]  # task -> its classes, in the columns' order
    labels: np.ndarray  # (N, C) float32 of 0 or 1
    known: np.ndarray  # (N, C) bool: the record has a label in the column's task

    @classmethod
    def of(cls, store: SignalStore, tasks: Mapping[str, str]) -> Targets:
        """Read the labels of a store.

        Args:
            store: packed records.
            tasks: task -> its name in the store.
        """
        classes, labels, known = {}, [], []
        for task, there in tasks.items():
            rows = store.indices(task=there)
            found, classes[task] = store.labels(there, rows)
            full = np.zeros((len(store), found.shape[1]), dtype=np.float32)
            full[rows] = found
            labels.append(full)
            has = np.zeros((len(store), 1), dtype=bool)
            has[rows] = True
            known.append(np.repeat(has, found.shape[1], axis=1))
        return cls(classes, np.concatenate(labels, 1), np.concatenate(known, 1))


def own_tasks(lab: Lab) -> dict[str, str]:
    """The tasks of the records that a lab's models learn from.

    Returns:
        Task -> its name in the store "pretrain".

    Raises:
        ConfigError: there are none.
    """
    own = lab.store("pretrain").meta["fingerprint"]
    tasks = {
        task: lab.profile.tested_on(task)[1]
        for task in tested_tasks(lab, "test")
        if lab.store(lab.tasks[task]).meta["fingerprint"] == own
    }
    if not tasks:
        raise no_labels(lab)
    return tasks


def no_labels(lab: Lab) -> ConfigError:
    """The error of a profile whose tasks are all of other records."""
    return ConfigError(
        f"{lab.profile.path}: no task is tested on the records of the store "
        "pretrain, so supervised training has no labels; use a profile such as "
        "plus-real, whose tasks are those of its own records."
    )


def place(lab: Lab, variant: str, seed: int) -> Path | None:
    """Where the network of a variant and seed is, or will be, kept.

    Its name is made from that of the zero-shot run, which says what its encoder, data,
    settings and start are; None where that cannot be told yet, as in `Lab.folder`.
    """
    folder = lab.folder(variant, seed)
    if folder is None or not lab.packed:
        return None
    key = stable_hash([METHOD, folder.name, own_tasks(lab)])
    return lab.runs / f"supervised-{variant}-{key}" / "network.safetensors"


def finished(lab: Lab, variant: str, seed: int) -> bool:
    """Whether the network of a variant and seed is kept."""
    path = place(lab, variant, seed)
    return path is not None and path.exists()


def trained(
    path: Path,
    store: SignalStore,
    targets: Targets,
    config: RunConfig,
    start: Path | str | None,
) -> nn.Module:
    """Load the network that was kept at a path, or train it and keep it there."""
    if not path.exists():
        network = train(
            store, targets, config.model, config.pretrain, start=start, progress=True
        )
        weights = {k: v.cpu().contiguous() for k, v in network.state_dict().items()}
        device = pick_device()
        precision = effective_precision(device, config.pretrain.precision)
        with_what = f"{facts(device)['device']}, {precision}"
        with write_whole(path, "wb") as file:
            file.write(save(weights, metadata={"trained": with_what}))
    network = untrained(targets, config.model)
    network.load_state_dict(load_file(path))
    return network.to(pick_device()).eval()


def trained_with(path: Path) -> str:
    """Name the device and precision that a kept network was trained with."""
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get("trained", "unknown")


def train(
    store: SignalStore,
    targets: Targets,
    model: ModelConfig,
    settings: PretrainConfig,
    *,
    start: Path | str | None = None,
    device: str | None = None,
    progress: bool = False,
) -> nn.Module:
    """Train the encoder and a linear layer on the labels of the training split.

    Args:
        store: packed records; the split "train" is used.
        targets: their labels.
        model: of the encoder and its input.
        settings: records, epochs, batch size, optimiser, augmentation and seed.
        start: folder of a pretrained model whose encoder it starts from.
        device: as `runtime.pick_device`.
        progress: show a bar.

    Returns:
        The network, in evaluation mode: (B, leads, T) signals to (B, C) logits.
    """
    chosen = pick_device(device)
    seed_step(settings.seed)
    network = untrained(targets, model)
    if start is not None:
        first = MCCGAA.from_pretrained(start).encoder.state_dict()
        network.encoder.load_state_dict(first)
    network.to(chosen)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )
    rows = store.indices(split="train")[: settings.records or None]
    rows = rows[targets.known[rows].any(1)]
    labels, known = (torch.from_numpy(t) for t in (targets.labels, targets.known))
    per_epoch = max(1, len(rows) // settings.batch_size)
    total = per_epoch * settings.epochs
    rng = np.random.default_rng(settings.seed)
    step = 0
    with bar(
        total=total, desc="supervised", unit="step", disable=not progress
    ) as shown:
        for _ in range(settings.epochs):
            order = rng.permutation(rows)
            for number in range(per_epoch):
                part = order[number * settings.batch_size :][: settings.batch_size]
                seed_step(settings.seed, step)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(
                        step, total, settings.lr, settings.min_lr
                    )
                network.train()
                signals = torch.from_numpy(store.batch(part)).to(chosen)  # (B, D, T)
                signals = augment(
                    signals,
                    settings.augment,
                    settings.augmentations,
                    model.input.sampling_rate,
                    standardised=model.input.standardised,
                )
                with autocast(chosen, settings.precision):
                    logits = network(signals)  # (B, C)
                loss = _masked(logits.float(), labels[part], known[part])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                step += 1
                shown.update()
    return network.eval()


def untrained(targets: Targets, model: ModelConfig) -> _Classifier:
    """The network for some targets, with random weights."""
    encoder = EcgEncoder(model.encoder)
    head = nn.Linear(model.encoder.embedding_dim, targets.labels.shape[1])
    return _Classifier(encoder, head, model.input.scaling)


class _Classifier(nn.Module):
    """Encoder, then one linear layer on its embedding before it is normalised."""

    def __init__(self, encoder: EcgEncoder, head: nn.Linear, scaling: str) -> None:
        super().__init__()
        self.encoder, self.head, self.scaling = encoder, head, scaling

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder.features(scale_input(x, self.scaling))  # (B, M, T')
        return self.head(self.encoder.head(features))  # (B, C)


def _masked(logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy over what is known of the batch, a scalar."""
    labels, known = labels.to(logits), known.to(logits)
    loss = nn.functional.binary_cross_entropy_with_logits(
        logits, labels, reduction="none"
    )  # (B, C)
    return (loss * known).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def score(
    network: nn.Module,
    store: SignalStore,
    targets: Targets,
    split: str,
    *,
    bootstrap: int = 1000,
) -> dict[str, TaskResult]:
    """Score a trained network on the records of a split, task by task."""
    device = next(network.parameters()).device
    rows = store.indices(split=split)
    scores = encoded(network, store, rows, device, disable=True).numpy()  # (n, C)
    found, first = {}, 0
    subjects = store.records["subject_id"].to_numpy()
    for task, classes in targets.classes.items():
        columns = slice(first, first + len(classes))
        first = columns.stop
        has = targets.known[rows, columns.start]
        found[task] = evaluate(
            targets.labels[rows][has, columns].astype(np.uint8),
            scores[has, columns],
            classes,
            groups=subjects[rows][has].tolist(),
            bootstrap=bootstrap,
        )
    return found
