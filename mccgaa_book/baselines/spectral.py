"""CRT's network: patches of an ECG and of its spectrum, a transformer, a decoder.

See `crt` for what is published, and for what is changed for 12-lead ECGs.
"""

from __future__ import annotations

import math

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
)


def spectrum(x: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Magnitude and phase of the lowest frequencies.

    Args:
        x: (B, D, T).
        bins: how many frequencies, from 0 Hz on.

    Returns:
        log(1 + magnitude) of the orthonormal transform, and phase as a share of pi in
        [-1, 1]: (B, D, bins) each.
    """
    transform = torch.fft.rfft(x.float(), norm="ortho")[..., :bins]
    return transform.abs().log1p(), transform.angle() / math.pi


class SpectralTransformer(nn.Module):
    """A transformer over patches of time, magnitude and phase.

    Args:
        given: how long a record is, and its sampling rate.
        leads: D.
        patch: seconds of a patch of time.
        band: Hz of a patch of the spectrum.
        highest: Hz; what is above is not read.
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
        band: float,
        highest: float,
        width: int,
        depth: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.width = width
        self.size = patch_samples(given, patch)
        seconds = given.length / given.sampling_rate  # bins per Hz
        bins = max(1, int(min(highest, given.sampling_rate / 2) * seconds))
        self.band = min(bins, max(1, round(band * seconds)))
        self.bins = bins // self.band * self.band
        of_time, of_band = given.length // self.size, self.bins // self.band
        counts = (of_time, of_band, of_band)
        sizes = (leads * self.size, leads * self.band, leads * self.band)
        self.embed = nn.ModuleList(nn.Linear(size, width) for size in sizes)
        # The class token has the first position of its sequence.
        self.position = nn.ParameterList(learned(n + 1, width) for n in counts)
        self.kind = learned(3, width)
        self.summary = learned(3, width)  # class tokens
        self.blocks = transformer(width, depth, heads)

    def patches(self, x: Tensor) -> list[Tensor]:
        """Cut (B, D, T) into patches of time, magnitude and phase, (B, n, D p) each."""
        magnitude, phase = spectrum(x, self.bins)
        parts = (cut(x, self.size), cut(magnitude, self.band), cut(phase, self.band))
        return [part.transpose(1, 2).flatten(2) for part in parts]

    def tokens(self, patches: list[Tensor]) -> list[Tensor]:
        """Turn patches into tokens, without position and kind: (B, n, W) each."""
        return [embed(p) for embed, p in zip(self.embed, patches, strict=True)]

    def encode(
        self, tokens: list[Tensor], kept: list[Tensor] | None = None
    ) -> list[Tensor]:
        """Encode the tokens that are not dropped.

        Args:
            tokens: of the three sequences, (B, n, W) each.
            kept: positions of those to see, (B, k) each; None: all.

        Returns:
            (B, k + 1, W) for each sequence, its class token first.
        """
        parts = []
        for i, sequence in enumerate(tokens):
            placed = sequence + self.position[i][1:]  # (B, n, W)
            if kept is not None:
                placed = take(placed, kept[i])  # (B, k, W)
            first = (self.summary[i] + self.position[i][0]).expand(len(placed), 1, -1)
            parts.append(torch.cat([first, placed], dim=1) + self.kind[i])
        encoded = self.blocks(torch.cat(parts, dim=1))  # (B, sum of k + 1, W)
        return list(encoded.split([part.shape[1] for part in parts], dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Embed (B, D, T) as the mean of the three class tokens, (B, W)."""
        encoded = self.encode(self.tokens(self.patches(x)))
        return torch.stack([part[:, 0] for part in encoded]).mean(0)


class CrossReconstruction(nn.Module):
    """The decoder: mask tokens for what was dropped, and a linear layer per sequence.

    Args:
        encoder: whose tokens it reads.
        depth: blocks.
        heads: of a block.
    """

    def __init__(self, encoder: SpectralTransformer, depth: int, heads: int) -> None:
        super().__init__()
        width = encoder.width
        self.mask_token = learned(3, width)
        self.position = nn.ParameterList(learned(*p.shape) for p in encoder.position)
        self.blocks = transformer(width, depth, heads)
        self.to_patch = nn.ModuleList(
            nn.Linear(width, embed.in_features) for embed in encoder.embed
        )

    def forward(self, encoded: list[Tensor], kept: list[Tensor]) -> list[Tensor]:
        """Reconstruct all patches of the three sequences, (B, n, D p) each.

        Args:
            encoded: (B, k + 1, W) for each sequence, its class token first.
            kept: (B, k) each.
        """
        parts = []
        for i, part in enumerate(encoded):
            count = len(self.position[i]) - 1
            every = put_back(part[:, 1:], kept[i], self.mask_token[i], count)
            parts.append(torch.cat([part[:, :1], every], dim=1) + self.position[i])
        sizes = [part.shape[1] for part in parts]
        decoded = self.blocks(torch.cat(parts, dim=1)).split(sizes, dim=1)
        return [
            layer(part[:, 1:])
            for layer, part in zip(self.to_patch, decoded, strict=True)
        ]
