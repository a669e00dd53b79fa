"""The usual training loop, as the faithful other side of a comparison.

It is what one writes first: `Conv1d` in float32, on a GPU under float16 autocast, the
text encoder called on every batch at full padding, float32 records of a .npy array read
one by one by workers, an edge list for the graph, and a look at the loss after every
step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from plain import PlainEncoder
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mccgaa.config import ModelConfig
from mccgaa.model import MCCGAA

TOKENS = 256  # of a text, padding included
VOCABULARY = 30522  # of BERT


class Records(Dataset):
    """Signals of a .npy array, each with its text's tokens and its vector."""

    def __init__(self, path: Path, dim: int, tokens: int) -> None:
        self.signals = np.load(path, mmap_mode="r")  # (N, 12, T) float32
        rng = np.random.default_rng(0)
        n = len(self.signals)
        self.tokens = rng.integers(1000, VOCABULARY, (n, tokens))
        self.lengths = rng.integers(tokens // 16, tokens // 4, n)
        self.vectors = rng.standard_normal((n, dim), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        signal = torch.from_numpy(np.array(self.signals[i]))
        tokens = torch.from_numpy(self.tokens[i])
        mask = (torch.arange(len(tokens)) < int(self.lengths[i])).long()
        return signal, tokens, mask, torch.from_numpy(self.vectors[i])


def write_records(path: Path, records: int, leads: int, length: int) -> None:
    """Write random float32 signals, some at a time."""
    shape = (records, leads, length)
    array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    rng = np.random.default_rng(0)
    for start in range(0, records, 256):
        part = array[start : start + 256]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    array.flush()


def bert(small: bool = False) -> nn.Module:
    """Make a BERT-base of random weights, frozen; small, for tests, is 2 x 32."""
    from transformers import BertConfig, BertModel

    sizes = {}
    if small:
        sizes = {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        }
    return BertModel(BertConfig(**sizes), add_pooling_layer=False).eval()


@dataclass
class Usual:
    """The loop.

    Args:
        config: of the model; its encoder is replaced by the plain one.
        device: to train on.
        path: .npy file of signals.
        batch: pairs per step.
        workers: processes that read.
        text: the text encoder, called in every step; None reads vectors kept from a
            first pass.
        tokens: of a text, padding included.
    """

    config: ModelConfig
    device: torch.device
    path: Path
    batch: int
    workers: int
    text: nn.Module | None = None
    tokens: int = TOKENS

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        model = MCCGAA(self.config)
        model.encoder = PlainEncoder(self.config.encoder)
        model.gafa.dense = False  # an edge list
        self.model = model.to(self.device).train()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        self.on_gpu = self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.on_gpu)
        if self.text is not None:
            self.text.to(self.device)

    def steps(self) -> Iterator[float]:
        """Train for ever; yield the loss of each step."""
        data = Records(self.path, self.config.text.dim, self.tokens)
        loader = DataLoader(
            data,
            self.batch,
            # One endless epoch: no pause where one ends and the next begins.
            sampler=RandomSampler(data, replacement=True, num_samples=10**9),
            num_workers=self.workers,
            pin_memory=self.on_gpu,
        )
        for signals, tokens, mask, vectors in loader:
            signals = signals.to(self.device, non_blocking=True)
            with torch.autocast(self.device.type, torch.float16, enabled=self.on_gpu):
                if self.text is None:
                    vectors = vectors.to(self.device, non_blocking=True)
                else:
                    with torch.no_grad():
                        read = self.text(
                            input_ids=tokens.to(self.device, non_blocking=True),
                            attention_mask=mask.to(self.device, non_blocking=True),
                        )
                    vectors = read.last_hidden_state[:, 0].float()  # (B, d)
                output = self.model(signals, vectors)
            self.optimizer.zero_grad()
            self.scaler.scale(output.loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            yield output.loss.item()
