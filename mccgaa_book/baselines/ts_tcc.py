r"""TS-TCC: predict one view's future from another view's past.

Eldele, Ragab, Chen, Wu, Kwoh, Li, Guan. Time-series representation learning via
temporal and contextual contrasting. IJCAI 2021. arXiv:2106.14112.

A record has a weak view (scaled, a little noise) and a strong one (its segments in
another order, more noise). A transformer sums up the moments of one view up to a time t
in a context c, from which linear maps predict the next K moments of the *other* view,
each among those of all records of the batch (temporal contrasting). The contexts of a
record's two views are to be more alike than those of different records (contextual
contrasting).

.. math::
    \mathcal L_{TC}^{s} = -\frac 1 K \sum_{k=1}^K \log
        \frac{\exp\left((W_k c_t^s)^\top z_{t+k}^w\right)}
             {\sum_n \exp\left((W_k c_t^s)^\top z_{n, t+k}^w\right)}, \qquad
    \mathcal L = \lambda_1 (\mathcal L_{TC}^s + \mathcal L_{TC}^w)
        + \lambda_2 \mathcal L_{CC}

with w and s exchanged in the other direction; L_CC is SimCLR's loss of the projected
contexts.

Kept: both kinds of view, prediction across views, a transformer with a class token, dot
products without a temperature, a projection of the contexts for L_CC. From the
published code: moments have length 1 before anything is predicted from or of them;
without it L_TC begins far above a guess.

Changed for 12-lead ECGs: the encoder is the 1D-ResNet18, its moments averaged to 32 per
record, so that K is the same at any sampling rate. The transformer's blocks are those
of a ViT, and positions are added, without which it does not know what came last. The
leads of a record are cut and reordered together. Scaling draws from N(1, 0.1) instead
of N(2, 1.1), and noise has 5 % (weak) and 20 % (strong) of a lead's deviation; the
published 80 % would hide all waves but the QRS. The strong view changes the rhythm that
a label may rest on: the method is built on that, and no other method here reorders
segments.

Hyper-parameters: K is 40 % of the moments, lambda 1 and 0.7, tau 0.2 (the paper,
section 4); width 100, up to 8 segments (its published configuration for human activity,
whose records also have several channels; its code draws 1 to 7 of them, and here it is
1 to 8).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mccgaa.gather import gather
from mccgaa.plus.augment import added
from mccgaa_book.baselines.base import Batch, Method, in_float32, mlp, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings
from mccgaa_book.baselines.moments import Context, check_count, moments
from mccgaa_book.baselines.simclr import nt_xent
from mccgaa_book.baselines.views import reordered


@dataclass(frozen=True)
class TSTCCSettings(Settings):
    """Hyper-parameters of TS-TCC, whose views are its own."""

    row = "ts-tcc"
    idle = ("strength", "augmentations")
    moments: int = 32  # of a record, after averaging
    ahead: int = 12  # K, moments to predict
    width: int = 100  # h, of the context
    depth: int = 4  # blocks of the context's transformer
    heads: int = 4  # of a block
    segments: int = 8  # at most, of the strong view
    scale: float = 0.1  # deviation of the weak view's factor per lead
    weak_noise: float = 0.05  # as a share of a lead's deviation
    strong_noise: float = 0.2  # likewise
    temporal: float = 1.0  # lambda_1
    contextual: float = 0.7  # lambda_2
    tau: float = 0.2  # temperature of contexts' cosines
    unit: bool = True  # moments of length 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "ahead", "width", "depth", "heads", "segments")
        self.at_least(0, "scale", "weak_noise", "strong_noise")
        self.at_least(0, "temporal", "contextual")
        self.positive("tau")
        past = f"more than {self.key('ahead')}, which is {self.ahead}"
        self.need(self.moments > self.ahead, "moments", past)
        even = self.width % self.heads == 0
        self.need(even, "width", f"a multiple of {self.heads}, the heads")


@in_float32
def temporal_loss(predicted: Tensor, future: Tensor) -> Tensor:
    """Find each record's own moment among those of the batch (L_TC).

    Args:
        predicted: (B, K, C), W_k c_t of one view.
        future: (B, K, C), z_{t+k} of the other view.
    """
    scores = predicted.transpose(0, 1) @ future.permute(1, 2, 0)  # (K, B, B)
    own = torch.arange(scores.shape[1], device=scores.device)
    return F.cross_entropy(scores.flatten(0, 1), own.repeat(len(scores)))


class TSTCC(Method):
    """TS-TCC; see the module."""

    Settings = TSTCCSettings
    terms = ("temporal", "contextual")

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        check_count(config)
        given, channels, width = self.settings, self.encoder.width, self.settings.width
        self.context = Context(channels, given.moments, width, given.depth, given.heads)
        self.predict = nn.Linear(width, channels * given.ahead)  # all W_k
        self.project = mlp(width, channels // 2, max(1, channels // 4))

    def weak_view(self, x: Tensor) -> Tensor:
        """Scale each lead of (B, D, T), and add little noise."""
        draw = torch.randn(*x.shape[:2], 1, device=x.device)  # (B, D, 1)
        return _noisy(x * (1 + self.settings.scale * draw), self.settings.weak_noise)

    def strong_view(self, x: Tensor) -> Tensor:
        """Put segments of (B, D, T) in another order, and add noise."""
        shuffled = reordered(x, self.settings.segments)
        return _noisy(shuffled, self.settings.strong_noise)

    def moments(self, x: Tensor) -> Tensor:
        """Encode a view (B, D, T) to moments (B, n, C), each of length 1."""
        maps = self.encoder.feature_map(self.scaled(x))  # (B, C, T')
        found = moments(maps, self.settings.moments)
        return F.normalize(found, dim=2) if self.settings.unit else found

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Predict across views, then contrast the contexts."""
        ahead = self.settings.ahead
        weak, strong = (
            self.moments(view(batch.signals))
            for view in (self.weak_view, self.strong_view)
        )  # (B, n, C)
        # The same t in both views and for all records, from 1 to n - K. Processes draw
        # their own: records of another are negatives whatever their t.
        t = int(torch.randint(1, self.settings.moments - ahead + 1, ()))
        contexts = [self.context(z[:, :t]) for z in (weak, strong)]  # (B, h)
        temporal = weak.new_zeros(())
        for context, other in zip(contexts, (strong, weak), strict=True):
            predicted = self.predict(context).unflatten(1, (ahead, -1))  # (B, K, C)
            future = other[:, t : t + ahead]
            temporal = temporal + temporal_loss(
                gather(predicted, self.group), gather(future, self.group)
            )
        first, second = (self.project(context) for context in contexts)
        contextual = nt_xent(first, second, self.settings.tau, self.group)
        loss = self.settings.temporal * temporal
        return {
            "loss": loss + self.settings.contextual * contextual,
            "temporal": temporal,
            "contextual": contextual,
            "spread": spread(weak.mean(1)),
        }


def _noisy(x: Tensor, level: float) -> Tensor:
    """Add white noise where there is a signal; `level` is a share of the deviation."""
    return added(x, torch.randn_like(x), torch.full_like(x[:, :1, :1], level))
