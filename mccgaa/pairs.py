"""What pretraining reads: ECGs from a store, each with its text as a vector."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mccgaa.config import InputConfig, PretrainConfig, RunConfig, TextConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError, StoreError
from mccgaa.knowledge import VOCABULARIES, Knowledge, f_query, named_in
from mccgaa.plus.statements import Statements, Targets, digest, split_report
from mccgaa.runtime import pick_device, rank_zero_first, world
from mccgaa.text import TextEncoder


class Encoder(Protocol):
    """What turns texts into vectors, such as `text.TextEncoder`."""

    fingerprint: str  # two encoders of one fingerprint give the same vectors

    def encode(self, texts: Sequence[str], progress: bool = False) -> Tensor:
        """Return (n, d) float32, one vector per text."""


def record_texts(
    store: SignalStore, pretrain: PretrainConfig, text: TextConfig, knowledge: Knowledge
) -> list[str | None]:
    """The text of each record: its report, or f_query of its labels (eq 1).

    Args:
        store: packed records.
        pretrain: `text` says which of the two.
        text: `style` words the knowledge base's entries.
        knowledge: the clinical knowledge base K.

    Returns:
        One text per record; None where the record has no report, or no statement.

    Raises:
        RunError: knowledge texts are wanted of a source without statements.
    """
    if pretrain.text == "report":
        return [t if isinstance(t, str) and t else None for t in store.records["text"]]
    vocabulary = _vocabulary(store)
    labels = [() if names is None else names for names in store.records["statements"]]
    queried = iter(f_query([y for y in labels if y], knowledge, vocabulary, text.style))
    return [next(queried) if y else None for y in labels]


def _vocabulary(store: SignalStore) -> str:
    """Name the vocabulary that a store's labels are from."""
    vocabulary = VOCABULARIES.get(store.meta["source"])
    if vocabulary is None:
        raise RunError(
            f"{store.path} was packed from {store.meta['source']}, whose records carry "
            "no statements of the knowledge base; pretrain it with text: report."
        )
    return vocabulary


def record_statements(
    store: SignalStore, pretrain: PretrainConfig, text: TextConfig, knowledge: Knowledge
) -> list[list[str]]:
    """The statements of each record: the sentences of its report, or its labels' texts.

    Args and raises as `record_texts`.

    Returns:
        For each record its statements, each once; none where it has no text.
    """
    if pretrain.text == "report":
        split = cache(split_report)  # equal reports are split once
        texts = record_texts(store, pretrain, text, knowledge)
        return [split(t) if t else [] for t in texts]
    vocabulary = _vocabulary(store)
    labels = [() if y is None else y for y in store.records["statements"]]
    worded = {
        y: knowledge.text(vocabulary, y, text.style)
        for y in {*chain.from_iterable(labels)}
    }
    return [list(dict.fromkeys(worded[y] for y in one)) for one in labels]


@dataclass(frozen=True)
class Pairs:
    """The pairs of a run: signals by row of the store, distinct texts as vectors."""

    store: SignalStore
    train: NDArray[np.int64]  # (n,) rows of the store
    held_out: NDArray[np.int64]  # (m,) rows of the store, other subjects
    text_of: NDArray[np.int64]  # (N,) row of `vectors`; -1 where there is no text
    distinct: tuple[str, ...]  # the U texts of all these rows, each once
    fingerprint: str  # of the texts of all records
    encoder: Encoder
    progress: bool = False  # show a bar while texts are encoded
    named: Mapping[str, bool] | None = None  # class text of K -> training texts hold it
    statements: Statements | None = None  # of loss.kind "statements": `distinct`
    unseen: Mapping[str, Any] | None = None  # classes left out, and their records

    @classmethod
    def build(
        cls,
        store: SignalStore,
        texts: Sequence[str | None],
        encoder: Encoder,
        progress: bool = False,
    ) -> Pairs:
        """Pair a store with its texts; nothing is encoded yet.

        Args:
            store: packed signals; its splits "train" and "val" are used.
            texts: one per record of the store; None leaves the record out.
            encoder: of the texts.
            progress: show a bar while texts are encoded.

        Raises:
            RunError: no training record has a text.
        """
        has_text = np.array([bool(t) for t in texts])
        train, held_out = (
            rows[has_text[rows]]
            for rows in (store.indices(split="train"), store.indices(split="val"))
        )
        _check_train(store)
        if not len(train):
            raise RunError(
                f"{store.path} has no training record with a text; pack it with "
                "reports, or pretrain with text: knowledge."
            )
        distinct = sorted({texts[i] for i in np.concatenate([train, held_out])})
        row = {text: i for i, text in enumerate(distinct)}
        text_of = np.array([row.get(t, -1) for t in texts], dtype=np.int64)  # (N,)
        digest = hashlib.sha256("\0".join(t or "" for t in texts).encode()).hexdigest()
        return cls(
            store,
            train,
            held_out,
            text_of,
            tuple(distinct),
            digest[:16],
            encoder,
            progress,
        )

    @classmethod
    def of_statements(
        cls,
        store: SignalStore,
        sets: Sequence[Sequence[str]],
        encoder: Encoder,
        progress: bool = False,
        min_count: int = 1,
    ) -> Pairs:
        """Pair a store with sets of statements; nothing is encoded yet.

        Args:
            store, encoder, progress: as in `build`.
            sets: for each record of the store its statements.
            min_count: leave out statements of fewer training records, and then the
                records that keep none.

        Raises:
            RunError: no training record keeps a statement.
        """
        train, held_out = store.indices(split="train"), store.indices(split="val")
        _check_train(store)
        statements = Statements.build(sets, train, min_count)
        if not len(statements):
            raise RunError(
                f"{store.path} has no statement that {min_count} training records "
                "share; lower pretrain.min_count, or pretrain with text: knowledge."
            )
        carries = statements.sizes > 0  # (N,)
        return cls(
            store,
            train[carries[train]],
            held_out[carries[held_out]],
            np.where(carries, 0, -1),
            statements.texts,
            digest(sets),
            encoder,
            progress,
            statements=statements,
        )

    @cached_property
    def vectors(self) -> Tensor:
        """The distinct texts' vectors, (U, d) float32, encoded at the first call.

        In a distributed run rank 0 encodes what the encoder's cache lacks; the others
        wait for it and read the cache.
        """
        with rank_zero_first():
            return self.encoder.encode(list(self.distinct), progress=self.progress)

    def facts(self, kind: str) -> dict[str, Any]:
        """Say what was read, for metrics.json; `kind` is `pretrain.text`."""
        read: dict[str, Any] = {"kind": kind, "named": self.named}
        if self.statements is not None:
            read["statements"] = True
        if self.unseen is not None:
            read["unseen"] = self.unseen
        count = {"train": len(self.train), "held_out": len(self.held_out)}
        return {
            "pairs": {**count, "distinct_texts": len(self.distinct)},
            "texts": read,
        }

    @cached_property
    def texts(self) -> DeviceTexts:
        """The texts on the CPU, and which record has which."""
        return DeviceTexts(self, torch.device("cpu"))

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
        """Read some pairs.

        Args:
            rows: B rows of the store, of `train` or `held_out`.

        Returns:
            What `MCCGAA.forward` takes: signals (B, D, T) float32, and the vectors
            (B, d) of their texts, or what `DeviceTexts` gives of statements.
        """
        signals = torch.from_numpy(self.store.batch(rows))  # (B, D, T)
        return signals, *self.texts(torch.from_numpy(np.asarray(rows)))


class DeviceTexts:
    """What a model takes of a batch beside its signals, looked up on the device.

    Args:
        pairs: whose texts are encoded, if no cache has them.
        device: of the model.
        balance: of the statements' weights, as in `Statements.weights`.
    """

    def __init__(
        self, pairs: Pairs, device: torch.device, balance: float = 0.0
    ) -> None:
        self.vectors = pairs.vectors.to(device)  # (U, d), or (S, d) of statements
        self.text_of = torch.from_numpy(pairs.text_of).to(device)  # (N,)
        self.targets: Targets | None = None
        if pairs.statements is not None:
            self.targets = Targets(pairs.statements, device)
            self.weights = pairs.statements.weights(balance).to(device)  # (S,)

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Look up what belongs to rows of the store (B,), on the device.

        Returns:
            The arguments of `MCCGAA.forward` behind the signals: vectors (B, d), or of
            all statements the vectors (S, d), targets (B, S) and weights (S,).
        """
        if self.targets is None:
            return (self.vectors[self.text_of[rows]],)
        return self.vectors, self.targets(rows), self.weights


def epoch_order(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Shuffle the training rows for one epoch: a function of (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


def shares(order: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Divide an epoch among the processes.

    Step s takes the next `size` x processes rows of `order`, of which rank r reads the
    r-th part; rows that do not fill a step are left out.

    Args:
        order: rows of the store, shuffled.
        size: pairs per process and step.

    Returns:
        (steps, size) rows of the store: what this process reads.
    """
    rank, processes = world()
    steps = len(order) // (size * processes)
    whole = order[: steps * processes * size]
    return whole.reshape(steps, processes, size)[:, rank]


def check_input(store: SignalStore, wanted: InputConfig) -> None:
    """Refuse a store whose signals are not what a model expects.

    Raises:
        StoreError: its sampling rate, length or transform is another.
    """
    names = ("sampling_rate", "duration", "transform")
    want = {name: getattr(wanted, name) for name in names}
    other = {name: v for name, v in want.items() if store.meta[name] != v}
    if other:
        have = ", ".join(f"{name} {store.meta[name]}" for name in other)
        flags = " ".join(f"--{n.replace('_', '-')} {v}" for n, v in other.items())
        raise StoreError(
            f"{store.path} has {have}, but the model expects another input: pack the "
            f"records again with {flags}, or use another model."
        )


def _check_train(store: SignalStore) -> None:
    """Refuse a store without a training split."""
    if not len(store.indices(split="train")):
        raise RunError(
            f"{store.path} has no record to learn from: none is in the split train."
        )


def load_pairs(
    store: SignalStore,
    config: RunConfig,
    knowledge: Knowledge,
    *,
    device: str | None = None,
    progress: bool = True,
) -> Pairs:
    """Pair a store with its texts, as a run's configuration says.

    Args:
        store: packed records.
        config: `pretrain.text`, `pretrain.unseen`, `pretrain.records`,
            `pretrain.min_count`, `model.text` and `model.loss.kind` are used, and
            `model.input`, which the store has to have.
        knowledge: the clinical knowledge base K.
        device: where texts are encoded that no cache has, as `runtime.pick_device`.
        progress: show a bar while texts are encoded.

    Raises:
        StoreError: the store's rate, length or transform is not the model's.
        RunError: no training record has a text, or a statement that is kept.
        KnowledgeError: `pretrain.unseen` has a name of no class.
    """
    check_input(store, config.model.input)
    settings, text = config.pretrain, config.model.text
    encoder = TextEncoder(text, device=pick_device(device))
    left_out = np.zeros(len(store), dtype=bool)
    facts = None
    if settings.unseen:
        from mccgaa.plus.unseen import find_unseen

        unseen = find_unseen(store, settings.unseen, knowledge)
        left_out, facts = unseen.records, unseen.facts(store.indices(split="train"))
    if settings.records:
        train = store.indices(split="train")
        left_out[train[~left_out[train]][settings.records :]] = True
    if config.model.loss.kind == "statements":
        sets = record_statements(store, settings, text, knowledge)
        sets = [[] if out else one for one, out in zip(sets, left_out, strict=True)]
        pairs = Pairs.of_statements(store, sets, encoder, progress, settings.min_count)
        read = set(pairs.distinct)
    else:
        texts = record_texts(store, settings, text, knowledge)
        texts = [None if out else t for t, out in zip(texts, left_out, strict=True)]
        pairs = Pairs.build(store, texts, encoder, progress)
        read = {texts[i] for i in pairs.train}
    class_texts = sorted({*knowledge.texts(text.style), *knowledge.wordings()})
    met = named_in(class_texts, read)
    named = dict(zip(class_texts, met, strict=True))
    return replace(pairs, named=named, unseen=facts)
