"""Section 4.3: zero-shot classification by the similarity of an ECG and class texts.

The paper speaks of "a simple linear layer" that gives the label "directly"; none is
ever trained. Here, as in its ancestor, a class's score is the cosine of the backbone's
ECG embedding with the embedding of the class's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mccgaa.data.record import Record
from mccgaa.data.store import SignalStore
from mccgaa.data.transform import prepare
from mccgaa.errors import ConfigError, StoreError
from mccgaa.files import bar
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import TaskResult, evaluate, mean_by_record
from mccgaa.model import MCCGAA
from mccgaa.pairs import check_input
from mccgaa.runtime import autocast, pick_device


@torch.no_grad()
def embed(
    model: MCCGAA,
    store: SignalStore,
    index: NDArray[np.int64],
    *,
    batch_size: int = 256,
    device: str | None = None,
    progress: bool = False,
) -> Tensor:
    """Embed records of a store.

    Args:
        model: a pretrained model; put into evaluation mode, and given back on the
            device that it came on.
        store: signals of the model's input.
        index: (n,) rows of the store.
        batch_size: records at a time.
        device: as `runtime.pick_device`.
        progress: show a bar.

    Returns:
        (n, M) float32 on the CPU, unit rows.

    Raises:
        StoreError: the store's rate, length or transform is not the model's.
    """
    check_input(store, model.config.input)
    place = pick_device(device)
    home = next(model.parameters()).device
    model = model.to(place).eval()
    starts = range(0, len(index), batch_size)
    parts = []
    for start in bar(iterable=starts, desc="embed", unit="batch", disable=not progress):
        signals = torch.from_numpy(store.batch(index[start : start + batch_size]))
        with autocast(place, "bf16"):
            parts.append(model.encode_ecg(signals.to(place)).float().cpu())
    model.to(home)
    return (
        torch.cat(parts)
        if parts
        else torch.empty(0, model.config.encoder.embedding_dim)
    )


@torch.no_grad()
def class_scores(
    model: MCCGAA, embeddings: Tensor, texts: Sequence[str], *, fused: bool = False
) -> NDArray[np.float32]:
    """Cosine of each ECG with each class text.

    Args:
        model: the model that made `embeddings`.
        embeddings: (n, M) unit rows.
        texts: C class texts.
        fused: pass both through GAFA first; only the bipartite graph allows it.

    Returns:
        (n, C) in [-1, 1].
    """
    place = next(model.parameters()).device
    x = embeddings.to(place)
    q = model.encode_text(list(texts)).float()  # (C, M)
    if fused:
        x, q = model.gafa(x, q)
        x, q = (torch.nn.functional.normalize(t, dim=-1) for t in (x, q))
    return (x @ q.T).cpu().numpy()


def zero_shot(
    model: MCCGAA,
    store: SignalStore,
    tasks: Sequence[str],
    knowledge: Knowledge,
    *,
    split: str | None = "test",
    fused: bool = False,
    bootstrap: int = 1000,
    device: str | None = None,
    progress: bool = False,
) -> dict[str, TaskResult]:
    """Evaluate tasks without training on any of their labels (Table 2).

    Args:
        model: a pretrained model.
        store: packed records with labels of the tasks.
        tasks: names among the store's tasks.
        knowledge: gives each class its text (eq 1).
        split: "train", "val", "test", or None for all records.
        fused: as in `class_scores`.
        bootstrap: resamples behind the 95 % intervals.
        device: as `runtime.pick_device`.
        progress: show a bar.

    Returns:
        One result a task.

    Raises:
        ConfigError: a task that the store does not have.
        StoreError: no record of the task in this split.
    """
    unknown = [task for task in tasks if task not in store.meta["tasks"]]
    if unknown:
        raise ConfigError(
            f"{store.path} has no task {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(store.meta['tasks'])}."
        )
    index = store.indices(split=split)
    embeddings = embed(model, store, index, device=device, progress=progress)
    position = {row: i for i, row in enumerate(index)}
    results = {}
    for task in tasks:
        rows = store.indices(split=split, task=task)
        if not len(rows):
            raise StoreError(
                f"{store.path} has no record of task {task!r} in split {split!r}."
            )
        labels, classes = store.labels(task, rows)
        texts = [knowledge.text(task, c, model.config.text.style) for c in classes]
        own = embeddings[[position[row] for row in rows]]
        scores = class_scores(model, own, texts, fused=fused)
        if "group" in store.records:  # windows of one record: their mean is its score
            groups = store.records["group"].iloc[rows]
            labels = labels[~groups.duplicated().to_numpy()]  # order of appearance
            _, scores = mean_by_record(scores, groups)
        results[task] = evaluate(labels, scores, list(classes), bootstrap=bootstrap)
    return results


@torch.no_grad()
def classify(
    model: MCCGAA, record: Record, classes: Sequence[str], knowledge: Knowledge
) -> list[dict[str, Any]]:
    """Rank class texts for one ECG of one's own.

    Args:
        model: a pretrained model.
        record: twelve leads in mV at any rate.
        classes: names in plain words; a name, abbreviation or synonym that the
            knowledge base holds is worded as the model was trained on it.
        knowledge: the clinical knowledge base.

    Returns:
        One row a class, best first: class, text, cosine, and the share that a softmax
        at the model's temperature gives it among these classes (no probability of
        disease: the classes given are all it can choose from).
    """
    if not classes:
        raise ConfigError("Name at least one class, such as --classes 'sinus rhythm'.")
    signal = prepare(record, model.config.input)  # (D, T)
    texts = [
        knowledge.lookup(name, model.config.text.style) or name for name in classes
    ]
    model = model.eval()
    place = next(model.parameters()).device
    x = model.encode_ecg(torch.from_numpy(signal)[None].to(place)).float()
    cosine = class_scores(model, x, texts)[0]
    share = torch.softmax(torch.from_numpy(cosine) / float(model.tau), dim=0)
    rows = [
        {"class": name, "text": text, "cosine": float(c), "share": float(p)}
        for name, text, c, p in zip(classes, texts, cosine, share, strict=True)
    ]
    return sorted(rows, key=lambda row: -row["cosine"])


def load_model(run: Path | str, device: str | None = None) -> MCCGAA:
    """Load the model of a finished run."""
    return MCCGAA.from_pretrained(run).to(pick_device(device)).eval()
