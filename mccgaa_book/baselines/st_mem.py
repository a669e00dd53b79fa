r"""ST-MEM: mask patches of each lead and reconstruct them.

Na, Park, Tae, Joo. Guiding masked representation learning to capture spatio-temporal
relationship of electrocardiogram. ICLR 2024. arXiv:2402.09450.

A lead is cut into patches. Each patch becomes a token, to which a position says when it
was (the same in all leads) and an embedding of its lead says where; a separator comes
before and after each lead. Most patches are hidden, a transformer encodes the rest of
all leads together, and a small decoder, which sees one lead at a time, reconstructs
what was hidden. So what one lead lacks has to come through the encoder from other leads
(space) and other moments (time).

.. math::
    \mathcal L = \frac 1 {|M|} \sum_{(l, i) \in M}
        \frac 1 p \lVert \hat x_{l,i} - \tilde x_{l,i} \rVert^2, \qquad
    \tilde x_{l,i} = \frac{x_{l,i} - \mu_{l,i}}{\sqrt{\sigma_{l,i}^2 + 10^{-6}}}

with M the hidden patches, p samples in each, and each patch z-scored on its own.

Kept: as many patches hidden in each lead, lead and separator embeddings, the decoder of
one lead at a time with weights shared by all leads, the loss on hidden patches alone,
and the mean over patch tokens as embedding. From the published code: a LayerNorm before
and after the layer that embeds a patch, positions that are fixed sines and cosines,
Xavier's first weights, and a warm-up. Without these four (learned positions of
deviation 0.02, which a patch's content drowns, and PyTorch's own first weights) the
loss stayed at 1 and the embeddings near one point for the whole of a run.

Changed (the paper is about 12-lead ECGs): its encoder is a ViT-B, 12 blocks of width
768 with 85 million parameters, and its decoder has 4 blocks of width 256. Here the
encoder has 5 blocks of width 256, 4.0 million parameters, next to the 3.8 of the
1D-ResNet18 that other methods have, and the decoder 2 of half that width. A record of
10 s has 33 patches, and its last 0.1 s belongs to none; the paper crops 9 s.

Hyper-parameters: patches of 0.3 s (75 samples at 250 Hz) as published, 75 % hidden as
in the paper (24 of 33 patches, where the published code would hide 25); width and depth
so that parameters match; the rate is that of all methods, and rises over the first 5 %
of the run, as that of masked autoencoders does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mccgaa.config import InputConfig
from mccgaa.settings import check_range, require
from mccgaa_book.baselines.base import Batch, Method, in_float32, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings
from mccgaa_book.baselines.patches import (
    cut,
    draw_kept,
    hidden,
    learned,
    patch_samples,
    put_back,
    take,
    transformer,
    xavier,
)


@dataclass(frozen=True)
class STMEMSettings(Settings):
    """Of ST-MEM; it varies no signal, so strength and augmentations do nothing."""

    warmup: float = 0.05
    patch: float = 0.3  # seconds; published: 75 samples at 250 Hz
    masked: float = 0.75  # share of each lead's patches; the paper's
    width: int = 256  # of the encoder; the decoder has half of it
    depth: int = 5  # blocks of the encoder
    heads: int = 4
    decoder_depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("st-mem.masked", self.masked, 0, 1)
        require(self.patch > 0, "st-mem.patch", self.patch, "more than 0 s")
        for name in ("width", "depth", "heads", "decoder_depth"):
            check_range(f"st-mem.{name}", getattr(self, name), 1)


@in_float32
def masked_mse(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Average the squared error over the samples of hidden patches.

    Args:
        predicted, target: (..., n, p).
        mask: (..., n) bool, true where a patch was hidden.
    """
    error = (predicted - target).square().mean(-1)  # (..., n)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def standardised(patches: Tensor) -> Tensor:
    """Scale each patch (..., p) to mean 0 and deviation 1; constant ones become 0."""
    centred = patches - patches.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()


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
        settings: size of the network and of a patch.

    Raises:
        ConfigError: a record is shorter than one patch.
    """

    def __init__(self, given: InputConfig, leads: int, settings: STMEMSettings) -> None:
        super().__init__()
        self.width = width = settings.width
        self.size = patch_samples(given, settings.patch)  # p
        self.count = given.length // self.size  # n
        self.embed = nn.Sequential(
            nn.LayerNorm(self.size), nn.Linear(self.size, width), nn.LayerNorm(width)
        )
        self.register_buffer("position", positions(self.count, width), persistent=False)
        self.lead = learned(leads, 1, width)
        self.separator = learned(width)
        self.blocks = transformer(width, settings.depth, settings.heads)
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
    """The decoder: one lead at a time, the same weights for all.

    Args:
        encoder: whose tokens it reads.
        settings: size of the network.
    """

    def __init__(self, encoder: LeadTransformer, settings: STMEMSettings) -> None:
        super().__init__()
        inner = settings.width // 2
        self.count = encoder.count  # n
        self.narrow = nn.Linear(settings.width, inner)
        self.mask_token = learned(inner)
        self.register_buffer("position", positions(self.count, inner), persistent=False)
        self.blocks = transformer(inner, settings.decoder_depth, settings.heads)
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


class STMEM(Method):
    """ST-MEM; see the module."""

    Settings = STMEMSettings

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.decoder = Reconstruction(self.encoder, self.settings)

    def build_encoder(self) -> nn.Module:
        """Make the transformer; the 1D-ResNet is not used."""
        leads = self.config.encoder.leads
        return LeadTransformer(self.config.input, leads, self.settings)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Hide patches, and reconstruct them."""
        x = self.scaled(batch.signals)
        patches = cut(x, self.encoder.size)  # (B, D, n, p)
        rows, leads, count, _ = patches.shape
        kept = draw_kept(rows * leads, count, self.settings.masked, x.device)
        kept = kept.unflatten(0, (rows, leads))  # (B, D, k)
        encoded = self.encoder.encode(patches, kept)  # (B, D, k + 2, W)
        predicted = self.decoder(encoded, kept)  # (B, D, n, p)
        loss = masked_mse(predicted, standardised(patches), hidden(kept, count))
        embedding = encoded[:, :, 1:-1].mean((1, 2))  # (B, W)
        return {"loss": loss, "spread": spread(embedding)}
