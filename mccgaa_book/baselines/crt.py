r"""CRT: drop patches of an ECG and of its spectrum, and reconstruct both.

Zhang, Yang, Geng, Hong. Self-supervised time series representation learning via cross
reconstruction transformer. IEEE Transactions on Neural Networks and Learning Systems,
2024 (online 2023), 35(11), 16129-16138. arXiv:2205.09928.

A record is three sequences of patches: its samples, and the magnitude and the phase of
its Fourier transform. Random patches of all three are dropped, not replaced by a mask,
so that the encoder meets no token that later does not occur. A transformer encodes what
is left of the three together; a decoder gets mask tokens for what was dropped and
reconstructs everything. Time can be filled in from frequency, and the other way round.

.. math::
    \mathcal L = \frac 1 n \sum_{i=1}^n \frac 1 {p_i} \lVert \hat x_i - x_i \rVert^2
        + \beta \, \frac 1 B \sum_{b=1}^B \log \sum_{c \ne b} e^{\cos(u_b, v_c)}

The second term is the instance discrimination constraint: u is a projection of a
record's tokens before the transformer, v one of its tokens after it, and different
records are to differ.

Kept: three sequences with an embedding of their kind, positions, and a class token
each, whose mean is the embedding; magnitude and phase dropped at the same frequencies;
dropping as large a share as that of training that is done, but 30 % at least and 80 %
at most; a decoder of two blocks; the error over all patches.

Changed for 12-lead ECGs: a patch has 0.2 s, or 2 Hz of the spectrum up to 50 Hz, so
that there are 50 + 25 + 25 tokens at 100 and at 500 Hz (published: 20 samples or bins
at 500 Hz, 500 tokens). A linear layer turns a patch of all leads into a token, instead
of a small ResNet, and the blocks are those of a ViT without dropout: 5 of width 256,
4.2 million parameters, next to the 3.8 of the 1D-ResNet18 that other methods have.
Magnitude is log(1 + magnitude) of the orthonormal transform, or the error would see
nothing but the largest bins; phase is a share of pi. The published code computes the
constraint between the patches of one record; the paper has it between records, and so
does this module. Its decoder gives positions to mask tokens alone and draws what was
seen from the encoder's tokens; here all tokens pass the decoder. It drops the same
patches in all records of a batch; here each record has its own.

Known: after 1,300 steps it draws the patches that it sees and guesses the mean of those
that it does not (chapter "The other rows" measures it). Positions and tokens have a
deviation of 0.02 at first, those of the published code of 1; with that, and with 30 %
dropped throughout, a short trial drew the dropped patches of time no better than a
guess either.

Hyper-parameters: shares dropped, beta, and the decoder's blocks as in the published
code, whose defaults are for PTB-XL; width and depth so that parameters match.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mccgaa.gather import gather
from mccgaa_book.baselines.base import Batch, Method, in_float32, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings
from mccgaa_book.baselines.patches import draw_kept, take
from mccgaa_book.baselines.spectral import CrossReconstruction, SpectralTransformer


@dataclass(frozen=True)
class CRTSettings(Settings):
    """Hyper-parameters of CRT, which varies no signal."""

    row = "crt"
    idle = ("strength", "augmentations")
    patch: float = 0.2  # seconds
    band: float = 2.0  # Hz of a patch of the spectrum
    highest: float = 50.0  # Hz; what is above is not read
    dropped: tuple[float, float] = (0.3, 0.8)  # share of patches, least and most
    constraint: float = 1.0e-4  # beta
    width: int = 256  # of a token
    depth: int = 5  # blocks of the encoder
    heads: int = 4  # of a block
    decoder_depth: int = 2  # blocks of the decoder

    def __post_init__(self) -> None:
        super().__post_init__()
        ordered = len(self.dropped) == 2 and 0 <= self.dropped[0] <= self.dropped[1] < 1
        self.need(ordered, "dropped", "two shares in [0, 1), the smaller first")
        self.at_least(0, "constraint")
        self.positive("patch", "band", "highest")
        self.at_least(1, "width", "depth", "heads", "decoder_depth")
        even = self.width % self.heads == 0
        self.need(even, "width", f"a multiple of {self.heads}, the heads")


def dropping(progress: float, between: tuple[float, float]) -> float:
    """The share of patches to drop when `progress` in [0, 1] of training is done."""
    low, high = between
    return min(high, max(low, progress))


@in_float32
def discrimination(before: Tensor, after: Tensor) -> Tensor:
    """The instance discrimination constraint of two views (B, W) of each record.

    Returns:
        The mean over records of log sum exp of the cosines with all other records; 0
        for a single one.
    """
    if len(before) < 2:
        return (before.sum() + after.sum()) * 0
    cosine = normalize(before, dim=1) @ normalize(after, dim=1).T  # (B, B)
    itself = torch.eye(len(cosine), dtype=torch.bool, device=cosine.device)
    return cosine.masked_fill(itself, -math.inf).logsumexp(1).mean()


def reconstruction(predicted: list[Tensor], patches: list[Tensor]) -> Tensor:
    """Average the squared error over all patches of all sequences.

    Args:
        predicted, patches: (B, n, p) each; n and p may differ between sequences.
    """
    errors = [
        (one.float() - other.float()).square().mean(-1)  # (B, n)
        for one, other in zip(predicted, patches, strict=True)
    ]
    return torch.cat(errors, dim=1).mean()


class CRT(Method):
    """CRT; see the module."""

    Settings = CRTSettings
    terms = ("reconstruction", "discrimination")

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        width = self.settings.width
        depth, heads = self.settings.decoder_depth, self.settings.heads
        self.decoder = CrossReconstruction(self.encoder, depth, heads)
        self.project_before = nn.Linear(width, width)
        self.project_after = nn.Linear(width, width)

    def build_encoder(self) -> nn.Module:
        """Make the transformer; the 1D-ResNet is not used."""
        given = self.settings
        return SpectralTransformer(
            self.config.input,
            self.config.encoder.leads,
            patch=given.patch,
            band=given.band,
            highest=given.highest,
            width=given.width,
            depth=given.depth,
            heads=given.heads,
        )

    def draw(self, patches: list[Tensor], ratio: float) -> list[Tensor]:
        """Draw the patches to keep: magnitude and phase at the same frequencies."""
        time, spectrum = (
            draw_kept(len(part), part.shape[1], ratio, part.device)
            for part in patches[:2]
        )
        return [time, spectrum, spectrum]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Drop patches, and reconstruct all of them."""
        x = self.scaled(batch.signals)
        patches = self.encoder.patches(x)
        kept = self.draw(patches, dropping(batch.progress, self.settings.dropped))
        tokens = self.encoder.tokens(patches)
        encoded = self.encoder.encode(tokens, kept)
        error = reconstruction(self.decoder(encoded, kept), patches)
        seen = torch.cat(
            [take(*pair) for pair in zip(tokens, kept, strict=True)], dim=1
        )
        after = torch.cat([part[:, 1:] for part in encoded], dim=1)  # (B, sum of k, W)
        constraint = discrimination(
            gather(self.project_before(seen.mean(1)), self.group),
            gather(self.project_after(after.mean(1)), self.group),
        )
        embedding = torch.stack([part[:, 0] for part in encoded]).mean(0)  # (B, W)
        return {
            "loss": error + self.settings.constraint * constraint,
            "reconstruction": error,
            "discrimination": constraint,
            "spread": spread(embedding),
        }
