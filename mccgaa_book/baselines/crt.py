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
dropping that grows with training from 30 % to 80 %; a decoder of two blocks; the error
over all patches.

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

from mccgaa.config import InputConfig
from mccgaa.gather import gather
from mccgaa.settings import check_range, require
from mccgaa_book.baselines.base import Batch, Method, in_float32, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings
from mccgaa_book.baselines.patches import (
    cut,
    draw_kept,
    learned,
    patch_samples,
    put_back,
    take,
    transformer,
)


@dataclass(frozen=True)
class CRTSettings(Settings):
    """Of CRT; it varies no signal, so strength and augmentations do nothing."""

    patch: float = 0.2  # seconds
    band: float = 2.0  # Hz of a patch of the spectrum
    highest: float = 50.0  # Hz; what is above is not read
    dropped: tuple[float, float] = (0.3, 0.8)  # share of patches, first to last step
    constraint: float = 1.0e-4  # beta
    width: int = 256
    depth: int = 5  # blocks of the encoder
    heads: int = 4
    decoder_depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        ordered = len(self.dropped) == 2 and 0 <= self.dropped[0] <= self.dropped[1] < 1
        expected = "two shares in [0, 1), the smaller first"
        require(ordered, "crt.dropped", self.dropped, expected)
        check_range("crt.constraint", self.constraint, 0)
        for name in ("patch", "band", "highest"):
            value = getattr(self, name)
            require(value > 0, f"crt.{name}", value, "more than 0")
        for name in ("width", "depth", "heads", "decoder_depth"):
            check_range(f"crt.{name}", getattr(self, name), 1)


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
        settings: size of the network and of patches.

    Raises:
        ConfigError: a record is shorter than one patch.
    """

    def __init__(self, given: InputConfig, leads: int, settings: CRTSettings) -> None:
        super().__init__()
        self.width = width = settings.width
        self.size = patch_samples(given, settings.patch)
        seconds = given.length / given.sampling_rate  # bins per Hz
        highest = min(settings.highest, given.sampling_rate / 2)
        bins = max(1, int(highest * seconds))
        self.band = min(bins, max(1, round(settings.band * seconds)))
        self.bins = bins // self.band * self.band
        of_time, of_band = given.length // self.size, self.bins // self.band
        counts = (of_time, of_band, of_band)
        sizes = (leads * self.size, leads * self.band, leads * self.band)
        self.embed = nn.ModuleList(nn.Linear(size, width) for size in sizes)
        # The class token has the first position of its sequence.
        self.position = nn.ParameterList(learned(n + 1, width) for n in counts)
        self.kind = learned(3, width)
        self.summary = learned(3, width)  # class tokens
        self.blocks = transformer(width, settings.depth, settings.heads)

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
        settings: size of the network.
    """

    def __init__(self, encoder: SpectralTransformer, settings: CRTSettings) -> None:
        super().__init__()
        width = settings.width
        self.mask_token = learned(3, width)
        self.position = nn.ParameterList(learned(*p.shape) for p in encoder.position)
        self.blocks = transformer(width, settings.decoder_depth, settings.heads)
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
        self.decoder = CrossReconstruction(self.encoder, self.settings)
        self.project_before = nn.Linear(width, width)
        self.project_after = nn.Linear(width, width)

    def build_encoder(self) -> nn.Module:
        """Make the transformer; the 1D-ResNet is not used."""
        leads = self.config.encoder.leads
        return SpectralTransformer(self.config.input, leads, self.settings)

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
