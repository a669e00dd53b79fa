r"""CLOCS: contrast segments and leads of patients.

Kiyasseh, Zhu, Clifton. CLOCS: contrastive learning of cardiac signals across space,
time, and patients. ICML 2021. arXiv:2005.13249.

No augmentation is made up. Two views of a record are two segments of its time (CMSC,
multi-segment), two parts of its leads (CMLC, multi-lead), or both (CMSMLC): what a
heart does now and next, or seen from here and from there, has the same label. Views are
positive when they come from the same *patient*, from one record or from two of the
batch.

.. math::
    \mathcal L = \mathcal L^{AB} + \mathcal L^{BA}, \qquad
    \mathcal L^{AB} = -\frac 1 {|J|} \sum_{(i, j) \in J} \log p_{ij}

with p_ij the softmax over j of cos(a_i, b_j) / tau, and J all pairs of one patient, a
record with itself among them.

Kept: the three codings, no augmentation, and the linear layer at the end whose output
is compared. A probe sees what comes before it, as with all methods here.

Changed for 12-lead ECGs: the paper encodes one lead at a time. A probe sees all twelve
at once, so a segment has all leads here, and CMLC parts the leads in two random halves;
the other half is zero, as a missing lead is everywhere in this project. A segment is
half of a record. The paper averages over the pairs of a record with itself and over
those of different records apart, in batches where each lead is a row and a patient has
many. Here most batches have no pair of different records and some a single one, which
would weigh as much as all others together; all pairs have the same weight instead.
Which of the three codings the printed row ran is not said; CMSC is the default, since
its views have all leads, as the records of a probe have.

Hyper-parameters: tau 0.1 (the paper); an embedding of 256 numbers (the paper tries 32
to 320).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mccgaa.gather import gather
from mccgaa.settings import check_choices
from mccgaa_book.baselines.base import Batch, Method, in_float32, spread
from mccgaa_book.baselines.config import BaselineConfig, Settings
from mccgaa_book.baselines.views import fewer_leads

Coding = Literal["cmsc", "cmlc", "cmsmlc"]


@dataclass(frozen=True)
class CLOCSSettings(Settings):
    """Hyper-parameters of CLOCS, which varies no signal."""

    row = "clocs"
    idle = ("strength", "augmentations")
    coding: Coding = "cmsc"  # what views are: of time, leads, or both
    tau: float = 0.1  # temperature of cosines
    dim: int = 256  # of what is compared

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, "baselines.settings.clocs")
        self.positive("tau")
        self.at_least(2, "dim")  # on the sphere of one number nothing moves


def segments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Halve records (B, D, T) in time, without the middle sample of an odd length."""
    half = x.shape[-1] // 2
    return x[..., :half], x[..., -half:]


def lead_halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Part the leads of (B, D, T) in two random halves, the other half zero."""
    first = fewer_leads(torch.ones_like(x[..., :1]), x.shape[1] // 2)  # (B, D, 1)
    return x * first, x * (1 - first)


def coded(x: Tensor, coding: Coding) -> tuple[Tensor, Tensor]:
    """Make the two views of records (B, D, T) that a coding contrasts."""
    if coding == "cmsc":
        return segments(x)
    if coding == "cmlc":
        return lead_halves(x)
    now, later = segments(x)
    leads, _ = lead_halves(torch.ones_like(x[..., :1]))  # (B, D, 1), ones and zeros
    return now * leads, later * (1 - leads)


@in_float32
def patient_loss(a: Tensor, b: Tensor, patients: Tensor, tau: float) -> Tensor:
    """Contrast views of patients, in both directions.

    Args:
        a, b: (B, M), the two views' embeddings.
        patients: (B,) numbers; equal ones are one patient.
        tau: temperature.
    """
    scores = normalize(a, dim=1) @ normalize(b, dim=1).T / tau  # (B, B)
    same = patients[:, None] == patients  # J, (B, B)
    log_p = scores.log_softmax(1) + scores.T.log_softmax(1)  # J is symmetric
    return -(log_p * same).sum() / same.sum()


class CLOCS(Method):
    """CLOCS; see the module."""

    Settings = CLOCSSettings

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(self.encoder.width, self.settings.dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Contrast two views of each patient."""
        parts = coded(batch.signals, self.settings.coding)
        a, b = (gather(self.project(self.features(part)), self.group) for part in parts)
        patients = gather(batch.subjects, self.group)
        return {
            "loss": patient_loss(a, b, patients, self.settings.tau),
            "spread": spread(a),
        }
