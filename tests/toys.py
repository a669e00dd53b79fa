"""A small world for tests of the training loop: a store whose signals say their row.

Record i's signal holds i, its text is "record i", and the text's vector starts with i;
so a test can decode what was read, and which text lay beside which signal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    PretrainConfig,
    RunConfig,
    TextConfig,
)
from mccgaa.data.store import SignalStore
from mccgaa.pairs import Pairs
from mccgaa.probe import Part

LENGTH = 64  # samples
SCALE = 0.001  # of a store's int16
SPLITS = np.array(["train"] * 8 + ["val", "test"])  # of ten rows, again and again
ROWS = 50
TRAIN = [i for i in range(ROWS) if i % 10 < 8]  # 40 rows
VAL = [i for i in range(ROWS) if i % 10 == 8]  # 5 rows

MODEL = ModelConfig(
    input=InputConfig(sampling_rate=64, duration=1.0, transform="bandpass-zscore"),
    encoder=EncoderConfig(embedding_dim=16, widths=(12, 12, 12, 12), pool_heads=2),
    text=TextConfig(encoder="toy", dim=8),
    gafa=GafaConfig(hidden=8, output=4, heads=2),
    loss=LossConfig(dropout=(0.1, 0.1)),
)
RUN = RunConfig(
    model=MODEL,
    pretrain=PretrainConfig(
        epochs=3, batch_size=8, checkpoint_every=4, precision="fp32"
    ),
)


def write_store(path: Path, signals: np.ndarray, splits: Sequence[str]) -> SignalStore:
    """Write int16 (N, 12, T) signals as a store, record i's text being "record i"."""
    path.mkdir(parents=True)
    np.save(path / "signals.npy", signals.astype(np.int16))
    rows = range(len(signals))
    table = pd.DataFrame({"split": splits, "text": [f"record {i}" for i in rows]})
    table.to_parquet(path / "records.parquet")
    meta = {"records": len(signals), "length": signals.shape[2], "scale": SCALE}
    meta |= {"duration": signals.shape[2] / 64}
    meta |= {"sampling_rate": 64, "transform": "bandpass-zscore", "tasks": {}}
    meta |= {"source": "toy", "synthetic": True, "fingerprint": "toy"}
    (path / "store.json").write_text(json.dumps(meta))
    return SignalStore.open(path)


def numbered_store(path: Path) -> SignalStore:
    """A store of `ROWS` records of noise, whose first sample is the row."""
    rng = np.random.default_rng(0)
    signals = rng.normal(0, 1000, (ROWS, 12, LENGTH))
    signals[:, :, 0] = np.arange(ROWS)[:, None]
    return write_store(path, signals, np.resize(SPLITS, ROWS))


def rows_of(signals: Tensor) -> list[int]:
    """Decode the rows of a batch of signals (B, 12, T)."""
    assert torch.equal(signals[:, :1, 0].expand(-1, 12), signals[:, :, 0])
    return (signals[:, 0, 0] / SCALE).round().long().tolist()


def texts_of(vectors: Tensor) -> list[int]:
    """Decode the records that a batch of text vectors (B, d) belongs to."""
    return vectors[:, 0].round().long().tolist()


class NumberEncoder:
    """The vector of "record i": i, and seven numbers that depend on it."""

    fingerprint = "numbers"

    def encode(self, texts: Sequence[str], progress: bool = False) -> Tensor:
        numbers = [int(text.split()[-1]) for text in texts]
        rest = [np.random.default_rng(n).normal(size=7) for n in numbers]
        return torch.tensor(np.c_[numbers, rest], dtype=torch.float32)


def numbered_pairs(store: SignalStore | Path) -> Pairs:
    """The pairs of `numbered_store`."""
    store = store if isinstance(store, SignalStore) else SignalStore.open(store)
    return Pairs.build(store, list(store.records["text"]), NumberEncoder())


CLASSES = ["a", "b", "c"]  # of `part`


def part(n: int, seed: int, noise: float = 2.0, width: int = 6) -> Part:
    """Features of which the first three say the label, with noise, in odd units."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < (0.5, 0.3, 0.2)).astype(np.uint8)
    x = rng.normal(size=(n, width)) * noise
    x[:, :3] += y
    scale = 10.0 ** np.arange(width)[::-1]
    return Part((x * scale + 5 * scale).astype(np.float32), y)
