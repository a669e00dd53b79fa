r"""SimCLR: two views of one ECG attract, those of all others in the batch repel.

Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive Learning of
Visual Representations", ICML 2020, arXiv 2002.05709.

For 2N views of N records, with z_i the projection of view i and j its other view
(NT-Xent, equation 1 of that paper, averaged over all 2N):

.. math::
    \ell_{i,j} = -\log \frac{\exp(\cos(z_i, z_j) / \tau)}
    {\sum_{k \ne i} \exp(\cos(z_i, z_k) / \tau)}, \qquad
    z = W_2 \, \mathrm{ReLU}(\mathrm{BN}(W_1 h)), \quad h = f(x)

Kept: both views in one pass, so that batch normalisation sees them together; a head of
one hidden layer as wide as h, 128 outputs, dropped for the probe; negatives from all
processes.

Changed for 12-lead ECGs: f is the 1D-ResNet18; views come from `mccgaa.plus.augment`
instead of image crops and colours; AdamW instead of LARS with a warm-up, since the
batches are of hundreds, not thousands.

Hyper-parameters: temperature 0.1, the paper's best for normalised embeddings at 100
epochs (its table 5); head as in its section 4.2; learning rate as in section 4.1 of
MCCGAA for all baselines; weight decay 1e-4 as for all methods here (the paper has 1e-6,
with LARS).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mccgaa.gather import ALONE, Group, gather_both
from mccgaa_book.baselines.base import Batch, Method, in_float32, mlp, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings


@dataclass(frozen=True)
class SimCLRSettings(Settings):
    """Hyper-parameters of SimCLR; sources are in the module's docstring."""

    row = "simclr"
    temperature: float = 0.1  # of cosines
    dim: int = 128  # outputs of the head

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("temperature")
        self.at_least(2, "dim")  # on the sphere of one number nothing moves


@in_float32
def nt_xent(
    first: Tensor, second: Tensor, temperature: float, group: Group = ALONE
) -> Tensor:
    """Compute the normalised, temperature-scaled cross-entropy.

    Args:
        first, second: (B, D) projections of two views, row i of one record.
        temperature: tau, more than 0.
        group: processes whose records are negatives, too.

    Returns:
        The mean over this process's 2B views, a scalar.
    """
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    own = torch.cat([first, second])  # (2B, D)
    every = torch.cat(gather_both(first, second, group))  # (2N, D), N of all processes
    batch, total = len(first), len(every) // 2
    # Where this process's views are among all: its first views, then its second.
    place = torch.arange(batch, device=own.device) + group.rank * batch
    itself = torch.cat([place, place + total])  # (2B,)
    partner = torch.cat([place + total, place])
    logits = own @ every.T / temperature  # (2B, 2N)
    logits = logits.scatter(1, itself[:, None], -torch.inf)  # no view is its own pair
    return F.cross_entropy(logits, partner)


class SimCLR(Method):
    """The encoder, the head g, and NT-Xent."""

    Settings = SimCLRSettings

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        width = self.encoder.width
        self.head = mlp(width, width, self.settings.dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Compute NT-Xent of two views of the batch."""
        both = torch.cat(self.views(batch.signals))  # (2B, 12, T)
        first, second = self.head(self.features(both)).chunk(2)  # (B, dim) each
        found = nt_xent(first, second, self.settings.temperature, self.group)
        return {"loss": found, "spread": spread(first)}
