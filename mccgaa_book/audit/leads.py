"""Channels are not leads: what section 3.2 says of leads, computed.

The paper's channel attention "prioritises key leads". It weighs feature channels, each
of which mixes all leads; here that is measured, and a gate on leads is tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mccgaa.config import LEADS
from mccgaa.encoder import EcgEncoder
from mccgaa_book.audit.encoder import gates

DISTURBANCES = ("flat", "noise added", "noise alone", "wander", "inverted")
GREATEST_CONTRAST = 0.5 * (1 + math.exp(-1))  # sigma(0) / sigma(1), of eq 13


def lead_response(encoder: EcgEncoder, signals: Tensor) -> pd.DataFrame:
    """Silence one lead at a time and watch every gate, and the embedding.

    Args:
        encoder: with channel attention.
        signals: (B, leads, T), scaled as the encoder expects.

    Returns:
        One row per lead: mean |change of alpha| in each block, and "embedding", the
        mean cosine distance from the embedding of all leads.
    """
    before, embedding = gates(encoder, signals), encoder(signals).detach()
    rows = {}
    for i, lead in enumerate(LEADS):
        silenced = signals.clone()
        silenced[:, i] = 0
        after = gates(encoder, silenced)
        rows[lead] = {
            name: (after[name] - alpha).abs().mean().item()
            for name, alpha in before.items()
        }
        moved = encoder(silenced).detach()
        rows[lead]["embedding"] = (1 - (embedding * moved).sum(1)).mean().item()
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("lead silenced")


def disturb(
    signals: Tensor, lead: Tensor, kind: str, rate: float, *, standardise: bool = True
) -> Tensor:
    """Disturb one lead of each record.

    Args:
        signals: (B, leads, T).
        lead: (B,) which lead of each record.
        kind: one of `DISTURBANCES`; noise and wander are sized by the lead's own
            standard deviation (as strong, and 1.4 times as strong).
        rate: Hz.
        standardise: z-score the lead again, as packing with z-scores would.
    """
    rows = torch.arange(len(signals))
    clean = signals[rows, lead]  # (B, T)
    size = clean.std(1, keepdim=True)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)) * size
    seconds = torch.arange(clean.shape[1]) / rate
    new = {
        "flat": torch.zeros_like(clean),
        "noise added": clean + noise,
        "noise alone": noise,
        "wander": clean + 2 * size * torch.sin(2 * torch.pi * 0.6 * seconds),
        "inverted": -clean,
    }[kind]
    if standardise and kind != "flat":
        new = new - new.mean(1, keepdim=True)
        new = new / new.std(1, keepdim=True).clamp_min(1e-6)
    out = signals.clone()
    out[rows, lead] = new
    return out


def one_lead_each(signals: Tensor, seed: int = 0) -> Tensor:
    """Choose one lead of each record, (B,), for `disturb`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(signals.shape[1], (len(signals),), generator=generator)


def lead_evidence(
    signals: Tensor, rate: float, *, standardise: bool = True, seed: int = 0
) -> pd.DataFrame:
    """Ask what a gate on leads could know: a lead's mean and maximum (eq 8, 9).

    Args:
        signals: (B, 12, T).
        rate: Hz.
        standardise: as `disturb`.
        seed: of the lead disturbed in each record.

    Returns:
        One row per disturbance: AUROC of the mean and of the maximum, of disturbed
        leads against the same leads intact; 0.5 knows nothing, 1.0 everything.
    """
    lead = one_lead_each(signals, seed)
    rows = torch.arange(len(signals))
    truth = [0] * len(signals) + [1] * len(signals)
    table = {}
    for kind in DISTURBANCES:
        noisy = disturb(signals, lead, kind, rate, standardise=standardise)
        both = torch.cat([signals[rows, lead], noisy[rows, lead]])
        table[kind] = {
            "average (eq 8)": _auroc(truth, both.mean(1)),
            "maximum (eq 9)": _auroc(truth, both.amax(1)),
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("disturbance")


@torch.no_grad()
def oracle_lead_gate(
    encoder: EcgEncoder,
    signals: Tensor,
    rate: float,
    *,
    weights: Sequence[float] = (1.0, GREATEST_CONTRAST, 0.25, 0.0),
    standardise: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Let a gate on leads know which lead is disturbed, and turn that lead down.

    This is the most that lead attention could do for an encoder that does not expect
    it. Eq 13 to the letter can at best give a lead sigma(0) / sigma(1) = 0.684 of the
    weight of another.

    Args:
        encoder: in eval mode.
        signals: (B, 12, T).
        rate: Hz.
        weights: of the disturbed lead, relative to the others.
        standardise: as `disturb`.
        seed: of the lead disturbed in each record.

    Returns:
        One row per disturbance, one column per weight: mean cosine to the embedding of
        the undisturbed record.
    """
    lead = one_lead_each(signals, seed)
    rows = torch.arange(len(signals))
    target = encoder(signals)  # (B, M)
    table: dict[str, dict[str, float]] = {}
    for kind in DISTURBANCES:
        noisy = disturb(signals, lead, kind, rate, standardise=standardise)
        table[kind] = {}
        for weight in weights:
            gate = torch.ones(signals.shape[:2])  # (B, leads)
            gate[rows, lead] = weight
            cosine = (encoder(noisy * gate.unsqueeze(-1)) * target).sum(1)
            table[kind][f"weight {weight:.3g}"] = cosine.mean().item()
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("disturbance")


def _auroc(truth: Sequence[int], score: Tensor) -> float:
    """AUROC whichever way round the score points; rounding noise counts as ties."""
    area = float(roc_auc_score(truth, score.round(decimals=4)))
    return max(area, 1 - area)
