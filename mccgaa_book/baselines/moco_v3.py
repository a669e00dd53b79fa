r"""MoCo v3: queries find the keys that a slowly moving encoder makes of the other view.

Chen, Xie and He, "An Empirical Study of Training Self-Supervised Vision Transformers",
ICCV 2021, arXiv 2104.02057.

With q the predictor's output and k the momentum encoder's, of two views (equation 1
and algorithm 1 of that paper):

.. math::
    L = 2\tau \left[ \ell(q_1, k_2) + \ell(q_2, k_1) \right], \qquad
    \ell(q, k) = -\frac1N \sum_i
    \log \frac{\exp(q_i \cdot k_i / \tau)}{\sum_j \exp(q_i \cdot k_j / \tau)}

The negatives are the other records of the batch: version 3 has no queue. Keys pass no
gradient. The momentum encoder is encoder and projector without the predictor, and its
decay rises to 1 with a cosine, as in BYOL.

Kept: the symmetric loss and its factor, normalised q and k, the projector of two layers
(for a ResNet) that ends in batch normalisation without weights, the predictor of two
layers, keys from all processes.

Changed for 12-lead ECGs: f is the 1D-ResNet18, so hidden layers have 1,024 units
instead of 4,096; AdamW without a warm-up. The frozen patch projection that steadies
ViTs has nothing to freeze here.

Hyper-parameters: temperature 0.2, 256 outputs and decay 0.99, the paper's defaults for
ViT; its code has temperature 1 for ResNet-50.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mccgaa.gather import ALONE, Group, gather
from mccgaa_book.baselines.base import (
    Batch,
    Method,
    Target,
    in_float32,
    mlp,
    rising,
    spread,
)
from mccgaa_book.baselines.config import BaselineConfig, Settings


@dataclass(frozen=True)
class MoCoV3Settings(Settings):
    """Hyper-parameters of MoCo v3; sources are in the module's docstring."""

    row = "moco-v3"
    temperature: float = 0.2  # of cosines
    decay: float = 0.99  # of the momentum encoder at the first step
    dim: int = 256  # outputs of projector and predictor
    widen: int = 2  # hidden units per feature of the encoder

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("temperature")
        self.within(0, 1, "decay")
        self.at_least(1, "widen")
        self.at_least(2, "dim")  # on the sphere of one number nothing moves


@in_float32
def info_nce(
    queries: Tensor, keys: Tensor, temperature: float, group: Group = ALONE
) -> Tensor:
    """Compute 2 tau times the cross-entropy of each query with its key.

    Args:
        queries, keys: (B, D), row i of one record.
        temperature: tau, more than 0.
        group: processes whose keys are negatives, too.

    Returns:
        The mean over this process's queries, a scalar.
    """
    q = F.normalize(queries, dim=1)
    k = gather(F.normalize(keys, dim=1), group)  # (N, D), N of all processes
    logits = q @ k.T / temperature  # (B, N)
    own = torch.arange(len(q), device=q.device) + group.rank * len(q)
    return 2 * temperature * F.cross_entropy(logits, own)


class MoCoV3(Method):
    """Encoder, projector and predictor, and the momentum encoder that makes keys."""

    Settings = MoCoV3Settings

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        width, dim = self.encoder.width, self.settings.dim
        hidden = self.settings.widen * width
        self.projector = mlp(width, hidden, dim, norm_last=True, affine_last=False)
        self.predictor = mlp(dim, hidden, dim)
        self.momentum_encoder = Target(self.encoder)
        self.momentum_projector = Target(self.projector)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Let each view's queries find the other view's keys."""
        views = self.views(batch.signals)
        projected = [self.projector(self.features(view)) for view in views]
        queries = [self.predictor(z) for z in projected]  # (B, dim) each
        made = (self.momentum_encoder(self.scaled(view)) for view in views)
        keys = [self.momentum_projector(h) for h in made]
        tau, group = self.settings.temperature, self.group
        found = info_nce(queries[0], keys[1], tau, group)
        found = found + info_nce(queries[1], keys[0], tau, group)
        return {"loss": found, "spread": spread(queries[0])}

    def after_step(self, progress: float) -> None:
        """Let the momentum encoder follow."""
        decay = rising(self.settings.decay, progress)
        self.momentum_encoder.follow(self.encoder, decay)
        self.momentum_projector.follow(self.projector, decay)
