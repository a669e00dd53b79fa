r"""SimSiam: one view predicts the other's embedding, which passes no gradient.

Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021,
arXiv 2011.10566. (MCCGAA cites it by the number of another paper.)

With z the projections of two views and p = h(z) the predictor's outputs (equations 1,
3 and 4 of that paper):

.. math::
    L = \tfrac12 D(p_1, \mathrm{stopgrad}(z_2))
      + \tfrac12 D(p_2, \mathrm{stopgrad}(z_1)), \qquad
    D(p, z) = -\cos(p, z)

There are no negatives and no second network. With the gradient let through, the
paper's loss falls to -1 at once and its embeddings collapse (its figure 2). The setting
`stop_gradient` lets it through; the last batch normalisation then still keeps the
records of a batch from becoming one point, but the loss no longer teaches anything.

Kept: a projector of three layers that ends in batch normalisation without weights; a
predictor with a bottleneck of a quarter; the stop-gradient; the spread of normalised z,
which the paper plots to watch for collapse (times sqrt(d) here, so that 1 is a sphere).

Changed for 12-lead ECGs: f is the 1D-ResNet18; projector and predictor have as many
units as it has features, 512 (2,048 in the paper, also those of its encoder), the
bottleneck 128 (512). AdamW with one cosine for all weights, where the paper has SGD and
keeps the predictor's learning rate fixed.

Hyper-parameters: widths as the paper's relative to the encoder; weight decay 1e-4, the
paper's.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from mccgaa_book.baselines.base import Batch, Method, in_float32, mlp, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings


@dataclass(frozen=True)
class SimSiamSettings(Settings):
    """Hyper-parameters of SimSiam; sources are in the module's docstring."""

    row = "simsiam"
    narrow: int = 4  # units of the projection per unit of the predictor's bottleneck
    stop_gradient: bool = True  # off: the paper's ablation

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "narrow")


@in_float32
def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """Compute D(p, z), the mean over (B, D) each: a scalar in [-1, 1] (eq 1)."""
    return -F.cosine_similarity(p, z, dim=1).mean()


class SimSiam(Method):
    """The encoder, the projector and the predictor."""

    Settings = SimSiamSettings

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        width = self.encoder.width
        self.projector = mlp(
            width, width, width, width, norm_last=True, affine_last=False
        )
        self.predictor = mlp(width, max(1, width // self.settings.narrow), width)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Predict each view's projection from the other view."""
        views = self.views(batch.signals)
        z = [self.projector(self.features(view)) for view in views]  # (B, D) each
        first, second = (self.predictor(one) for one in z)
        aims = [one.detach() for one in z] if self.settings.stop_gradient else z
        found = negative_cosine(first, aims[1]) + negative_cosine(second, aims[0])
        return {"loss": found / 2, "spread": spread(z[0])}
