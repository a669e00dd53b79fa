r"""Barlow Twins: what two views share, each feature says once.

Zbontar, Jing, Misra, LeCun and Deny, "Barlow Twins: Self-Supervised Learning via
Redundancy Reduction", ICML 2021, arXiv 2103.03230.

With Z^A and Z^B the projections of two views, each feature brought to mean 0 and
deviation 1 over the batch (equations 1 and 2 of that paper):

.. math::
    C_{ij} = \frac1B \sum_b z^A_{b,i} z^B_{b,j}, \qquad
    L = \sum_i (1 - C_{ii})^2 + \lambda \sum_i \sum_{j \ne i} C_{ij}^2

The loss is zero where the cross-correlation is the identity: each feature is the same
in both views, and no two features say the same. There are no negatives, no predictor
and no second network; a constant feature has no correlation, which the first sum
forbids.

Kept: the projector of three layers, the loss over the batch of all processes, lambda.

Changed for 12-lead ECGs: f is the 1D-ResNet18, and the projector has 1,024 units per
layer instead of 8,192 (the paper varies them in its figure 4), twice the
encoder's 512 features. AdamW instead of LARS; since AdamW does not see a loss's scale,
the paper's scaling of the loss is left out.

Hyper-parameters: lambda = 0.0051, as in the published code; the paper's figure on
lambda shows that the result depends on it little.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mccgaa.gather import ALONE, Group, gather_both
from mccgaa_book.baselines.base import Batch, Method, in_float32, mlp, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings

EPSILON = 1e-5  # of the variance, as in batch normalisation


@dataclass(frozen=True)
class BarlowTwinsSettings(Settings):
    """Hyper-parameters of Barlow Twins; sources are in the module's docstring."""

    row = "barlow-twins"
    off_diagonal: float = 0.0051  # lambda
    widen: int = 2  # units of each layer of the projector per feature of the encoder

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(0, "off_diagonal")
        self.at_least(1, "widen")


@in_float32
def cross_correlation(first: Tensor, second: Tensor, group: Group = ALONE) -> Tensor:
    """Correlate the features of two views over the batch (eq 2).

    Args:
        first, second: (B, D), row i of one record.
        group: processes that share the batch.

    Returns:
        (D, D); entry (i, j) of feature i of the first and j of the second.
    """
    sides = []
    for z in gather_both(first, second, group):  # (N, D), N of all processes
        variance = z.var(0, correction=0)
        sides.append((z - z.mean(0)) / (variance + EPSILON).sqrt())
    return sides[0].T @ sides[1] / len(sides[0])


@in_float32
def redundancy(correlation: Tensor, off_diagonal: float) -> tuple[Tensor, Tensor]:
    """Compute the two sums of equation 1, the second times lambda: scalars."""
    diagonal = correlation.diagonal()
    invariance = (1 - diagonal).square().sum()
    rest = correlation.square().sum() - diagonal.square().sum()
    return invariance, off_diagonal * rest


class BarlowTwins(Method):
    """The encoder, the projector, and the loss of their cross-correlation."""

    Settings = BarlowTwinsSettings
    terms = ("invariance", "redundancy")

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        width = self.encoder.width
        units = self.settings.widen * width
        self.projector = mlp(width, units, units, units)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Compare the cross-correlation of two views with the identity."""
        views = self.views(batch.signals)
        first, second = (self.projector(self.features(view)) for view in views)
        correlation = cross_correlation(first, second, self.group)
        invariance, rest = redundancy(correlation, self.settings.off_diagonal)
        return {
            "loss": invariance + rest,
            "invariance": invariance,
            "redundancy": rest,
            "spread": spread(first),
        }
