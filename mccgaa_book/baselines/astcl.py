r"""ASTCL: views that differ in noise, a discriminator that must not tell them apart.

Wang, Feng, Ge, Zhou, Zhou, Wang. Adversarial spatiotemporal contrastive learning for
electrocardiogram signals. IEEE Transactions on Neural Networks and Learning Systems,
2024 (online 2023), 35(10), 13845-13859. No preprint. The text is not free; this module
follows its abstract, and says below what is its own.

One view of a record gets more noise, of the kinds that ECGs have; the other is
denoised. A discriminator learns which of the two an embedding came from, and the
encoder learns to leave it guessing, so that embeddings say nothing of the noise
(adversarial module). From what one view shows up to a moment, a predictor guesses the
other view's next moment (spatiotemporal prediction). And a patient's embeddings are to
be alike, with a predictor on one side and no gradient on the other, in turn, instead of
negatives (patient discrimination).

.. math::
    \mathcal L = \mathcal L_{patient} + \mathcal L_{predict} + \mathcal L_{adv}, \qquad
    \mathcal L_{adv} = -\tfrac 1 2 \log \sigma(d(h^+)) - \tfrac 1 2 \log \sigma(-d(h^-))

    \mathcal L_{patient} = -\frac 1 {2 |J|} \sum_{(i, j) \in J}
        \cos(q(z^+_i), \bar z^-_j) + \cos(q(z^-_i), \bar z^+_j)

with + the noisy and - the denoised view, a bar where no gradient passes, and J all
pairs of one patient, a record with itself among them; L_predict is the negative cosine
of guessed moments and those that come. The discriminator d descends L_adv, the encoder
ascends it with weight alpha: its gradient is reversed on the way.

Kept: noise enhancement and denoising, the game of discriminator and encoder,
spatiotemporal prediction, patient-level positives without negatives, predictor and
stop-gradient in turn.

Ours, where the abstract leaves it open: noise is baseline wander, mains hum, muscle and
white noise, each at most as strong as `mccgaa.plus.augment` has it. Denoising is a
zero-phase filter of 0.67 to 30 Hz. For space, each view is shown a random 8 of its 12
leads, as likely in both: the other leads have to be inferred, and zeros do not give a
view away. A record has 8 moments, which one causal transformer block sums up. alpha
rises from 0 to 0.1 over the first tenth of training, as it rises in domain-adversarial
training (Ganin et al., JMLR 2016); the other weights are 1. Projector and predictor are
SimSiam's, with two layers each. These are all of its hyper-parameters.

Changed for 12-lead ECGs: the encoder is the 1D-ResNet18. Known: the discriminator stays
at log 2, a guess, for the whole of a run, in short trials also without the reversed
gradient or with both views in one batch normalisation: to bring the views of a record
together seems to take out what differs between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mccgaa.config import Augmentation
from mccgaa.gather import gather
from mccgaa_book.baselines.base import Batch, Method, in_float32, mlp, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings
from mccgaa_book.baselines.moments import HEADS, Past, check_count, moments
from mccgaa_book.baselines.views import denoised, fewer_leads


@dataclass(frozen=True)
class ASTCLSettings(Settings):
    """Hyper-parameters of ASTCL; `strength` is that of the noise."""

    row = "astcl"
    augmentations: tuple[Augmentation, ...] = ("wander", "hum", "muscle", "noise")
    band: tuple[float, float] = (0.67, 30.0)  # Hz, what denoising leaves
    leads: int = 8  # that a view shows
    moments: int = 8  # of a record, after averaging
    hidden: int = 512  # of the projector
    bottleneck: int = 128  # of predictors, discriminator and causal block
    reversal: float = 0.1  # alpha
    warm_up: float = 0.1  # share of training until alpha is reached

    def __post_init__(self) -> None:
        super().__post_init__()
        ordered = len(self.band) == 2 and 0 < self.band[0] < self.band[1]
        self.need(ordered, "band", "two frequencies in Hz, the lower first")
        self.within(1, 12, "leads")
        self.within(0, 1, "warm_up")
        self.at_least(0, "reversal")
        self.at_least(1, "hidden", "bottleneck")
        self.at_least(2, "moments")
        even = self.bottleneck % HEADS == 0
        self.need(even, "bottleneck", f"a multiple of {HEADS}, the heads")


class Reversal(torch.autograd.Function):
    """The identity, whose gradient is turned around and scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.alpha * grad, None


@in_float32
def adversarial_loss(noisy: Tensor, clean: Tensor) -> Tensor:
    """Cross-entropy of telling the views apart (L_adv); log 2 where it is a guess.

    Args:
        noisy, clean: (B,) the discriminator's logits.
    """
    return (F.softplus(-noisy).mean() + F.softplus(clean).mean()) / 2


@in_float32
def patient_similarity(predicted: Tensor, target: Tensor, patients: Tensor) -> Tensor:
    """Mean cosine of all pairs of one patient; the target gets no gradient.

    Args:
        predicted, target: (B, D), q of one view, and the other view.
        patients: (B,) numbers; equal ones are one patient.
    """
    cosine = F.normalize(predicted, dim=1) @ F.normalize(target.detach(), dim=1).T
    same = patients[:, None] == patients  # J, (B, B)
    return (cosine * same).sum() / same.sum()


@in_float32
def moment_similarity(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean cosine of moments (B, n, D) with their targets, which get no gradient."""
    return F.cosine_similarity(predicted, target.detach(), dim=-1).mean()


class ASTCL(Method):
    """ASTCL; see the module."""

    Settings = ASTCLSettings
    terms = ("patient", "predict", "adversarial")

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        check_count(config)
        width, hidden = self.encoder.width, self.settings.hidden
        bottleneck = self.settings.bottleneck
        self.project = mlp(width, hidden, hidden, norm_last=True, affine_last=False)
        self.predict = mlp(hidden, bottleneck, hidden)  # q
        self.past = Past(width, self.settings.moments, bottleneck)
        self.discriminator = nn.Sequential(
            nn.Linear(width, bottleneck), nn.ReLU(), nn.Linear(bottleneck, 1)
        )

    def noisy_view(self, x: Tensor) -> Tensor:
        """Add noise to (B, D, T), and show some leads."""
        return fewer_leads(self.view(x), self.settings.leads)

    def denoised(self, x: Tensor) -> Tensor:
        """Take noise from (B, D, T)."""
        return denoised(x, self.config.input.sampling_rate, self.settings.band)

    def denoised_view(self, x: Tensor) -> Tensor:
        """Take noise from (B, D, T), and show some leads."""
        return fewer_leads(self.denoised(x), self.settings.leads)

    def moments(self, x: Tensor) -> Tensor:
        """Encode a view (B, D, T) to moments (B, n, C)."""
        return moments(self.encoder.feature_map(self.scaled(x)), self.settings.moments)

    def alpha(self, progress: float) -> float:
        """How much the encoder works against the discriminator by now."""
        begun = progress / self.settings.warm_up if self.settings.warm_up else 1.0
        return self.settings.reversal * min(1.0, begun)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Play the game, predict moments, and bring patients together."""
        noisy = self.moments(self.noisy_view(batch.signals))  # (B, n, C)
        clean = self.moments(self.denoised_view(batch.signals))
        h_noisy, h_clean = noisy.mean(1), clean.mean(1)  # (B, C)

        alpha = self.alpha(batch.progress)
        turned = (Reversal.apply(h, alpha) for h in (h_noisy, h_clean))
        adversarial = adversarial_loss(*(self.discriminator(h)[:, 0] for h in turned))

        predict = noisy.new_zeros(())
        for own, other in ((noisy, clean), (clean, noisy)):
            upcoming = self.past(own[:, :-1])  # (B, n - 1, C)
            predict = predict - moment_similarity(upcoming, other[:, 1:]) / 2

        patients = gather(batch.subjects, self.group)
        z_noisy, z_clean = self.project(h_noisy), self.project(h_clean)
        patient = noisy.new_zeros(())
        for own, other in ((z_noisy, z_clean), (z_clean, z_noisy)):
            q = gather(self.predict(own), self.group)
            target = gather(other, self.group)
            patient = patient - patient_similarity(q, target, patients) / 2
        return {
            "loss": patient + predict + adversarial,
            "patient": patient,
            "predict": predict,
            "adversarial": adversarial,
            "spread": spread(z_noisy),
        }
