"""Moments of an ECG and transformers that sum them up: of TS-TCC and ASTCL.

A moment is a mean over an equal part of a record, so that a record has as many at any
sampling rate. `Context` is TS-TCC's, `Past` ASTCL's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mccgaa.encoder import STRIDE
from mccgaa_book.baselines.config import BaselineConfig
from mccgaa_book.baselines.patches import learned, transformer

HEADS = 4  # of the causal block


def moments(maps: Tensor, count: int) -> Tensor:
    """Average maps (B, C, T') over parts of the time: (B, count, C)."""
    return F.adaptive_avg_pool1d(maps, count).transpose(1, 2)


def check_count(config: BaselineConfig) -> None:
    """Refuse more moments than the encoder's map has, T', which would repeat some.

    Raises:
        ConfigError: `config.settings.moments` is above it.
    """
    most = -(-config.input.length // STRIDE)
    expected = f"{most} or fewer: the encoder's map has no more at this length"
    config.settings.need(config.settings.moments <= most, "moments", expected)


class Context(nn.Module):
    """Sum up moments in a context: TS-TCC's autoregressive model.

    Args:
        channels: C, of a moment.
        count: moments of a record.
        width: h, of a context.
        depth: blocks.
        heads: of a block.
    """

    def __init__(
        self, channels: int, count: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.position = learned(count, width)
        self.summary = learned(width)  # the class token
        self.blocks = transformer(width, depth, heads)

    def forward(self, past: Tensor) -> Tensor:
        """Sum up moments z_1 ... z_t, (B, t, C), in contexts c_t, (B, h)."""
        tokens = self.embed(past) + self.position[: past.shape[1]]  # (B, t, h)
        first = self.summary.expand(len(tokens), 1, -1)
        return self.blocks(torch.cat([first, tokens], dim=1))[:, 0]


class Past(nn.Module):
    """Guess each moment from those before it: ASTCL's causal transformer of one block.

    Args:
        channels: C, of a moment.
        count: moments of a record.
        width: of the block.
    """

    def __init__(self, channels: int, count: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.position = learned(count - 1, width)
        self.block = transformer(width, depth=1, heads=HEADS)
        self.next = nn.Linear(width, channels)

    def forward(self, moments: Tensor) -> Tensor:
        """Map moments 1 ... n, (B, n, C), to guesses of 2 ... n + 1."""
        count = moments.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=moments.device)
        tokens = self.embed(moments) + self.position[:count]
        return self.next(self.block(tokens, mask=later.triu(1)))
