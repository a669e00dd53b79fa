"""Section 4.3: zero-shot classification by the similarity of an ECG and class texts.

The paper speaks of "a simple linear layer" that gives the label "directly"; none is
ever trained. Here, as in its ancestor, a class's score is the cosine of the backbone's
ECG embedding with the embedding of the class's text.

"Zero-shot" says that no classifier is fitted to the labels of the test. It does not say
that the classes are new: the module `protocol` says what pretraining has read of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mccgaa.choices import Prompts, Reduction
from mccgaa.data.store import SignalStore
from mccgaa.device_reader import encoded
from mccgaa.errors import ConfigError, StoreError
from mccgaa.knowledge import Knowledge, f_query
from mccgaa.known_texts import KnownTexts
from mccgaa.lent import lent
from mccgaa.metrics import TaskResult, evaluate, mean_by_record
from mccgaa.model import MCCGAA
from mccgaa.pairs import check_input
from mccgaa.plus.prompting import Prompting, texts_of
from mccgaa.runtime import autocast, pick_device


@dataclass(frozen=True)
class Scores:
    """How near each record of a task is to each class: rows go together.

    A record that was cut into windows is one row: its scores and its embedding are the
    means over its windows.
    """

    classes: list[str]  # C names
    texts: list[str]  # C texts, one per class (eq 1)
    labels: NDArray[np.uint8]  # (n, C) of 0 or 1
    scores: NDArray[np.floating]  # (n, C) cosines in [-1, 1]
    embeddings: Tensor  # (n, M) float32 on the CPU
    rows: NDArray[np.int64]  # (n,) rows of the store; of a record's first window


def load_model(run: Path | str, device: str | None = None) -> MCCGAA:
    """Load the model of a finished run, or one that is ready, in evaluation mode.

    Args:
        run: its folder.
        device: as `runtime.pick_device`; the model is moved there.
    """
    model = MCCGAA.from_pretrained(run).to(pick_device(device)).eval()
    model.text_encoder = KnownTexts.of(run, model.config.text, model.device)
    return model


@torch.no_grad()
def embed(
    model: MCCGAA,
    store: SignalStore,
    index: NDArray[np.int64],
    *,
    batch_size: int = 256,
    precision: str = "bf16",
    device: str | None = None,
    progress: bool = False,
) -> Tensor:
    """Embed records of a store.

    Args:
        model: a pretrained model; it comes back where, and in the mode that, it was.
        store: signals of the model's input.
        index: (n,) rows of the store.
        batch_size: records at a time.
        precision: "bf16" (where the device has it, else float32) or "fp32".
        device: where to compute, as `runtime.pick_device`.
        progress: show a bar.

    Returns:
        (n, M) float32 on the CPU, unit rows.

    Raises:
        StoreError: the store's rate, length or transform is not the model's.
    """
    check_input(store, model.config.input)
    if not len(index):
        return torch.empty(0, model.config.encoder.embedding_dim)
    shown = {"desc": "embed", "disable": not progress}
    with lent(model, device) as away, autocast(away, precision):
        return encoded(model.encode_ecg, store, index, away, batch_size, **shown)


def _check_graph(model: MCCGAA, fused: bool) -> None:
    """Refuse fused scores of a graph that joins pairs, or of none."""
    graph = model.config.gafa.graph
    if fused and graph != "bipartite":
        raise ConfigError(
            f"Fused scores need the bipartite graph, which joins any number of ECGs "
            f"with any number of classes; this model's gafa.graph is {graph!r}: score "
            "it without --fused."
        )


@torch.no_grad()
def class_scores(
    model: MCCGAA, embeddings: Tensor, texts: Sequence[str], *, fused: bool = False
) -> NDArray[np.float32]:
    """Cosine of each ECG with each class text.

    Args:
        model: the model that made `embeddings`; it computes where it is.
        embeddings: (n, M) unit rows, on any device.
        texts: C class texts.
        fused: pass both through GAFA first. The n ECGs are then one graph, so that an
            ECG's scores depend on the others: the result is transductive.

    Returns:
        (n, C) in [-1, 1].

    Raises:
        ConfigError: fused scores of a model whose graph is not bipartite.
    """
    _check_graph(model, fused)
    q = model.encode_text(list(texts)).float()  # (C, M)
    x = embeddings.to(q.device)  # (n, M)
    if fused:
        x, q = (normalize(side, dim=-1) for side in model.gafa(x, q))
    return (x @ q.T).cpu().numpy()  # (n, C)


def task_rows(
    store: SignalStore,
    tasks: Sequence[str],
    knowledge: Knowledge,
    split: str | None = "test",
) -> dict[str, NDArray[np.int64]]:
    """Find the rows of each task; arguments as in `score_tasks`.

    Raises:
        ConfigError: a task that the store does not have.
        StoreError: no record of the task in this split.
        KnowledgeError: a class that has no text.
    """
    unknown = [task for task in tasks if task not in store.meta["tasks"]]
    if unknown:
        raise ConfigError(
            f"{store.path} has no task {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(store.meta['tasks']) or 'none'}."
        )
    rows = {task: store.indices(split=split, task=task) for task in tasks}
    for task in tasks:
        if not len(rows[task]):
            raise StoreError(
                f"{store.path} has no record of task {task!r} in split "
                f"{split or 'all'!r}."
            )
        for name in store.classes(task):
            knowledge.entry(task, name)
    return rows


def score_tasks(
    model: MCCGAA,
    store: SignalStore,
    tasks: Sequence[str],
    knowledge: Knowledge,
    split: str | None = "test",
    *,
    fused: bool = False,
    prompts: Prompts = "single",
    reduction: Reduction = "max",
    precision: str = "bf16",
    device: str | None = None,
    progress: bool = False,
) -> dict[str, Scores]:
    """Score the records of several tasks, embedding each record once.

    Args:
        model: a pretrained model.
        store: packed records with labels of the tasks.
        tasks: names among the store's tasks.
        knowledge: gives each class its text (eq 1).
        split: "train", "val", "test", or None for all records.
        fused: as in `class_scores`.
        prompts, reduction: as in `Prompting`.
        precision, device, progress: as in `embed`.

    Raises:
        ConfigError: a task that the store does not have, or as `class_scores` and
            `Prompting`.
        StoreError: no record of the task in this split, or as `embed`.
        KnowledgeError: a class that has no text.
    """
    _check_graph(model, fused)
    wording = Prompting(prompts, reduction)
    rows = task_rows(store, tasks, knowledge, split)
    index = np.unique(np.concatenate([[], *rows.values()])).astype(np.int64)
    style = model.config.text.style
    found = {}
    with lent(model, device):
        x = embed(
            model, store, index, precision=precision, device=device, progress=progress
        )
        for task in tasks:
            labels, classes = store.labels(task, rows[task])
            texts = f_query(classes, knowledge, task, style)  # eq 1
            worded = [
                wording.of(knowledge.entry(task, cls), knowledge, style)
                for cls in classes
            ]
            own = x[np.searchsorted(index, rows[task])]  # (n, M); index is sorted
            cosine = class_scores(model, own, texts_of(worded), fused=fused)
            scores = wording.reduce(cosine, worded)  # (n, C)
            found[task] = _by_record(
                store,
                Scores(list(classes), texts, labels, scores, own, rows[task]),
            )
    return found


def score(
    model: MCCGAA,
    store: SignalStore,
    task: str,
    knowledge: Knowledge,
    split: str | None = "test",
    **options: Any,
) -> Scores:
    """Score the records of one task; arguments as in `score_tasks`."""
    return score_tasks(model, store, [task], knowledge, split, **options)[task]


def _by_record(store: SignalStore, windows: Scores) -> Scores:
    """Average the windows of a record; a store without windows is left as it is."""
    if "group" not in store.records:
        return windows
    groups = store.records["group"].iloc[windows.rows]
    first = ~groups.duplicated().to_numpy()  # of each record, in order of appearance
    _, scores = mean_by_record(windows.scores, groups)
    _, embeddings = mean_by_record(windows.embeddings.numpy(), groups)
    return replace(
        windows,
        labels=windows.labels[first],
        scores=scores,
        embeddings=torch.from_numpy(embeddings).float(),
        rows=windows.rows[first],
    )


def zero_shot(
    model: MCCGAA,
    store: SignalStore,
    tasks: Sequence[str],
    knowledge: Knowledge,
    *,
    split: str | None = "test",
    bootstrap: int = 1000,
    **options: Any,
) -> dict[str, TaskResult]:
    """Evaluate tasks without fitting a classifier to their labels (Table 2).

    Args:
        model, store, tasks, knowledge, split: as in `score_tasks`.
        bootstrap: resamples behind the 95 % intervals, of subjects where the store
            knows them and of records otherwise.
        **options: `fused`, `prompts`, `reduction`, `precision`, `device`, `progress` of
            `score_tasks`.

    Returns:
        One result per task.

    Raises:
        ConfigError, StoreError: as `score_tasks`.
    """
    results = {}
    for task, found in score_tasks(
        model, store, tasks, knowledge, split, **options
    ).items():
        subjects = store.records["subject_id"].iloc[found.rows]
        results[task] = evaluate(
            found.labels,
            found.scores,
            found.classes,
            groups=subjects.tolist(),
            bootstrap=bootstrap,
        )
    return results
