"""What pretraining reads: ECGs from a store, each with its text as a vector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mccgaa.config import InputConfig, PretrainConfig, RunConfig, TextConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError, StoreError
from mccgaa.knowledge import VOCABULARIES, Knowledge
from mccgaa.runtime import world
from mccgaa.text import TextEncoder


def record_texts(
    store: SignalStore, pretrain: PretrainConfig, text: TextConfig, knowledge: Knowledge
) -> list[str | None]:
    """The text beside each record: its report, or f_query of its labels (eq 1).

    Args:
        store: packed records.
        pretrain: `text` says which.
        text: `style` words the knowledge base's entries.
        knowledge: the clinical knowledge base K.

    Returns:
        One text a record; None where the record has no report, or no statement.

    Raises:
        RunError: knowledge texts are wanted of a source without statements.
    """
    if pretrain.text == "report":
        return [t if isinstance(t, str) and t else None for t in store.records["text"]]
    vocabulary = VOCABULARIES.get(store.meta["source"])
    if vocabulary is None:
        raise RunError(
            f"{store.path} was packed from {store.meta['source']}, whose records carry "
            "no statements of the knowledge base; pretrain it with text: report."
        )
    return [
        knowledge.record_text(list(names), vocabulary, text.style)
        if names is not None and len(names)
        else None
        for names in store.records["statements"]
    ]


@dataclass(frozen=True)
class Pairs:
    """The pairs of a run: signals by index, and every distinct text as one vector."""

    store: SignalStore
    train: NDArray[np.int64]  # (n,) rows of the store
    held_out: NDArray[np.int64]  # (m,) rows of the store, other subjects
    text_of: NDArray[np.int64]  # (N,) row of `vectors`; -1 where there is no text
    vectors: Tensor  # (U, d) float32, one a distinct text
    fingerprint: str  # of the texts

    @classmethod
    def build(
        cls,
        store: SignalStore,
        texts: Sequence[str | None],
        encode: Callable[[list[str]], Tensor],
    ) -> Pairs:
        """Pair a store with its texts.

        Args:
            store: packed signals; its splits "train" and "val" are used.
            texts: one a record of the store; None leaves the record out.
            encode: function from a list of distinct texts to (U, d) float32.

        Raises:
            RunError: no training record has a text.
        """
        has_text = np.array([bool(t) for t in texts])
        train, held_out = (
            index[has_text[index]]
            for index in (store.indices(split="train"), store.indices(split="val"))
        )
        if not len(train):
            raise RunError(
                f"{store.path} has no training record with a text; pack it with "
                "reports, or pretrain with text: knowledge."
            )
        distinct = sorted({texts[i] for i in np.concatenate([train, held_out])})
        row = {text: i for i, text in enumerate(distinct)}
        text_of = np.array([row.get(t, -1) for t in texts], dtype=np.int64)
        digest = hashlib.sha256("\0".join(t or "" for t in texts).encode()).hexdigest()
        return cls(store, train, held_out, text_of, encode(distinct), digest[:16])


class Batches(Dataset):
    """Batches of one epoch from `start` on; rank r reads every world-th part."""

    def __init__(self, corpus: Pairs, order: NDArray[np.int64], size: int) -> None:
        self.corpus, self.size = corpus, size
        rank, processes = world()
        self.order = order[: len(order) // (size * processes) * size * processes]
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return len(self.order) // (self.size * self.processes)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if step >= len(self):
            raise IndexError(step)
        start = (step * self.processes + self.rank) * self.size
        index = self.order[start : start + self.size]
        signals = torch.from_numpy(self.corpus.store.batch(index))  # (B, D, T)
        return signals, self.corpus.vectors[self.corpus.text_of[index]]


def check_input(store: SignalStore, wanted: InputConfig) -> None:
    """Refuse a store whose signals are not what a model expects.

    Raises:
        StoreError: its sampling rate, length or transform is another.
    """
    for name in ("sampling_rate", "length", "transform"):
        have, want = store.meta[name], getattr(wanted, name)
        if have != want:
            raise StoreError(
                f"{store.path} has {name} {have}, but the model expects {want}: pack "
                f"the records with {name} {want}, or use a model of {have}."
            )


def load_pairs(
    store: SignalStore,
    config: RunConfig,
    knowledge: Knowledge,
    *,
    progress: bool = True,
) -> Pairs:
    """Pair a store with its texts and encode them, as a run's configuration says.

    Args:
        store: packed records.
        config: `pretrain.text` and `model.text` are used.
        knowledge: the clinical knowledge base K.
        progress: show a bar while texts are encoded.
    """
    encoder = TextEncoder(config.model.text)
    return Pairs.build(
        store,
        record_texts(store, config.pretrain, config.model.text, knowledge),
        lambda texts: encoder.encode(texts, progress=progress),
    )


def augment(signals: Tensor, strength: float) -> Tensor:
    """Vary signals as recordings vary: shift in time, gain of a lead, noise.

    Args:
        signals: (B, D, T).
        strength: 0 leaves them alone; 1 shifts by up to a fifth of the length, scales
            each lead by 1 +- 0.3 and adds noise of 0.2 standard deviations.
    """
    if not strength:
        return signals
    batch, leads, length = signals.shape
    shift = int(torch.randint(-length // 5, length // 5 + 1, ()).item() * strength)
    gain = 1 + 0.3 * strength * (2 * torch.rand(batch, leads, 1) - 1)
    noise = torch.randn(batch, leads, length) * signals.std(dim=-1, keepdim=True).cpu()
    noise = 0.2 * strength * torch.rand(batch, 1, 1) * noise
    moved = torch.roll(signals, shift, dims=-1)
    return moved * gain.to(signals) + noise.to(signals)
