r"""BYOL: one view predicts a slowly moving network's embedding of the other.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning",
NeurIPS 2020, arXiv 2006.07733.

The online network theta is encoder, projector and predictor q; the target xi is a
moving average of encoder and projector. With z the projections of the two views
(equations 1 and 2 of that paper, symmetric as there):

.. math::
    L = \lVert \bar q_\theta(z_\theta) - \bar z'_\xi \rVert^2
      = 2 - 2 \cos(q_\theta(z_\theta), z'_\xi), \qquad
    \xi \leftarrow \tau \xi + (1 - \tau) \theta, \quad
    \tau = 1 - (1 - \tau_0) \frac{\cos(\pi k / K) + 1}{2}

There are no negatives. What keeps all embeddings from becoming one is the predictor
together with the target that lags behind: without a predictor the paper's network
collapses (its table 5b), and so does this one (`predictor` off; a test shows it).

Kept: projector and predictor of one hidden layer with batch normalisation, 256
outputs; hidden layers of twice the encoder's width; no gradient into the target, whose
batch normalisation uses its own batches; the rising decay.

Changed for 12-lead ECGs: f is the 1D-ResNet18, so hidden layers have 1,024 units
instead of 4,096; one family of views for both networks; AdamW instead of LARS, and no
parameter is exempt from weight decay.

Hyper-parameters: tau_0 = 0.99, what the paper uses for its runs of 300 epochs; it has
0.996 for 1,000.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

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
class BYOLSettings(Settings):
    """Hyper-parameters of BYOL; sources are in the module's docstring."""

    row = "byol"
    decay: float = 0.99  # tau_0 of the target
    dim: int = 256  # outputs of projector and predictor
    widen: int = 2  # hidden units per feature of the encoder
    predictor: bool = True  # off: the ablation that collapses

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within(0, 1, "decay")
        self.at_least(1, "widen")
        self.at_least(2, "dim")  # on the sphere of one number nothing moves


@in_float32
def regression(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared distance of normalised vectors, (B, D) each (eq 2)."""
    return (2 - 2 * F.cosine_similarity(prediction, target, dim=1)).mean()


class BYOL(Method):
    """Online network, predictor and target."""

    Settings = BYOLSettings

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        width, dim = self.encoder.width, self.settings.dim
        hidden = self.settings.widen * width
        self.projector = mlp(width, hidden, dim)
        # The target begins as a copy of the online network.
        self.target_encoder = Target(self.encoder)
        self.target_projector = Target(self.projector)
        with_it = self.settings.predictor
        self.predictor = mlp(dim, hidden, dim) if with_it else nn.Identity()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Predict each view's target from the other view."""
        views = self.views(batch.signals)
        online = [self.projector(self.features(view)) for view in views]
        first, second = (self.predictor(z) for z in online)  # (B, dim) each
        targets = (self.target_encoder(self.scaled(view)) for view in views)
        one, other = (self.target_projector(h) for h in targets)
        found = regression(first, other) + regression(second, one)
        return {"loss": found, "spread": spread(online[0])}

    def after_step(self, progress: float) -> None:
        """Let the target follow."""
        decay = rising(self.settings.decay, progress)
        self.target_encoder.follow(self.encoder, decay)
        self.target_projector.follow(self.projector, decay)
