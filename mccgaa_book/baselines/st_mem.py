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

import math
from dataclasses import dataclass

from torch import Tensor, nn

from mccgaa_book.baselines.base import Batch, Method, in_float32, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings
from mccgaa_book.baselines.leadwise import LeadTransformer, Reconstruction
from mccgaa_book.baselines.patches import cut, draw_kept, hidden


@dataclass(frozen=True)
class STMEMSettings(Settings):
    """Hyper-parameters of ST-MEM, which varies no signal."""

    row = "st-mem"
    idle = ("strength", "augmentations")
    warmup: float = 0.05  # share of the run over which the rate rises
    patch: float = 0.3  # seconds; published: 75 samples at 250 Hz
    masked: float = 0.75  # share of each lead's patches; the paper's
    width: int = 256  # of the encoder; the decoder has half of it
    depth: int = 5  # blocks of the encoder
    heads: int = 4  # of a block
    decoder_depth: int = 2  # blocks of the decoder

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within(0, 1, "masked")
        self.positive("patch", "masked")
        self.at_least(1, "width", "depth", "heads", "decoder_depth")
        even = math.lcm(4, 2 * self.heads)  # the decoder's half is even, too
        expected = f"a multiple of {even}: {self.heads} heads share half of it"
        self.need(self.width % even == 0, "width", expected)


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


class STMEM(Method):
    """ST-MEM; see the module."""

    Settings = STMEMSettings

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        given, count = self.settings, self.encoder.count
        given.need(count > 1, "patch", "half of a record or less: one patch stays")
        some = f"1/{count} or more: a lead has {count} patches, of which one is hidden"
        given.need(int(count * given.masked) > 0, "masked", some)
        depth, heads = self.settings.decoder_depth, self.settings.heads
        self.decoder = Reconstruction(self.encoder, depth, heads)

    def build_encoder(self) -> nn.Module:
        """Make the transformer; the 1D-ResNet is not used."""
        given = self.settings
        return LeadTransformer(
            self.config.input,
            self.config.encoder.leads,
            patch=given.patch,
            width=given.width,
            depth=given.depth,
            heads=given.heads,
        )

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
