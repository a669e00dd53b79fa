"""ST-MEM's network: patches of each lead, a transformer over all, a decoder of one.

See `st_mem` for what is published, and for what is changed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mccgaa.config import InputConfig
from mccgaa_book.baselines.patches import (
    cut,
    learned,
    patch_samples,
    put_back,
    take,
    transformer,
    xavier,
)


def positions(count: int, width: int) -> Tensor:
    r"""Tell patches of one lead apart: (n + 2, W), zero for the separators at the ends.

    .. math:: e_{i, k} = \sin(i \, 10^{-8 k / W}), \quad
        e_{i, W/2 + k} = \cos(i \, 10^{-8 k / W}), \quad 0 \le k < W / 2

    Args:
        count: n, patches of a lead.
        width: W, even.
    """
    slower = 10 ** (-8 * torch.arange(width // 2) / width)
    angles = torch.arange(count)[:, None] * slower  # (n, W / 2)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    return nn.functional.pad(waves, (0, 0, 1, 1))


class LeadTransformer(nn.Module):
    """A transformer over the patches of all leads.

    Args:
        given: how long a record is, and its sampling rate.
        leads: D.
        patch: seconds of a patch.
        width: W, of a token.
        depth: blocks.
        heads: of a block.

    Raises:
        ConfigError: a record is shorter than one patch.
    """

    def __init__(
        self,
        given: InputConfig,
        leads: int,
        *,
        patch: float,
        width: int,
        depth: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.width = width
        self.size = patch_samples(given, patch)  # p
        self.count = given.length // self.size  # n
        self.embed = nn.Sequential(
            nn.LayerNorm(self.size), nn.Linear(self.size, width), nn.LayerNorm(width)
        )
        self.register_buffer("position", positions(self.count, width), persistent=False)
        self.lead = learned(leads, 1, width)
        self.separator = learned(width)
        self.blocks = transformer(width, depth, heads)
        self.apply(xavier)

    def encode(self, patches: Tensor, kept: Tensor | None = None) -> Tensor:
        """Encode the patches that are not hidden.

        Args:
            patches: (B, D, n, p).
            kept: (B, D, k) positions of the patches to see; None: all, k = n.

        Returns:
            (B, D, k + 2, W), with the separators before and after each lead's patches.
        """
        tokens = self.embed(patches) + self.position[1:-1]  # (B, D, n, W)
        if kept is not None:
            tokens = take(tokens, kept)  # (B, D, k, W)
        ends = (self.separator + self.position[[0, -1]]).expand(
            *tokens.shape[:2], 2, -1
        )  # (B, D, 2, W)
        tokens = torch.cat([ends[:, :, :1], tokens, ends[:, :, 1:]], dim=2) + self.lead
        encoded = self.blocks(tokens.flatten(1, 2))  # (B, D (k + 2), W)
        return encoded.unflatten(1, tokens.shape[1:3])

    def forward(self, x: Tensor) -> Tensor:
        """Embed (B, D, T) as the mean over patch tokens, (B, W)."""
        encoded = self.encode(cut(x, self.size))
        return encoded[:, :, 1:-1].mean((1, 2))


class Reconstruction(nn.Module):
    """The decoder, of half the width: one lead at a time, the same weights for all.

    Args:
        encoder: whose tokens it reads.
        depth: blocks.
        heads: of a block.
    """

    def __init__(self, encoder: LeadTransformer, depth: int, heads: int) -> None:
        super().__init__()
        inner = encoder.width // 2
        self.count = encoder.count  # n
        self.narrow = nn.Linear(encoder.width, inner)
        self.mask_token = learned(inner)
        self.register_buffer("position", positions(self.count, inner), persistent=False)
        self.blocks = transformer(inner, depth, heads)
        self.to_samples = nn.Linear(inner, encoder.size)
        self.apply(xavier)

    def forward(self, encoded: Tensor, kept: Tensor) -> Tensor:
        """Reconstruct all patches of all leads.

        Args:
            encoded: (B, D, k + 2, W), as `LeadTransformer.encode` gives it.
            kept: (B, D, k).

        Returns:
            (B, D, n, p).
        """
        tokens = self.narrow(encoded)  # (B, D, k + 2, W / 2)
        first, seen, last = tokens[:, :, :1], tokens[:, :, 1:-1], tokens[:, :, -1:]
        every = put_back(seen, kept, self.mask_token, self.count)  # (B, D, n, W / 2)
        tokens = torch.cat([first, every, last], dim=2) + self.position
        decoded = self.blocks(tokens.flatten(0, 1))  # (B D, n + 2, W / 2)
        return self.to_samples(decoded[:, 1:-1]).unflatten(0, encoded.shape[:2])
