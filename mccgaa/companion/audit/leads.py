"""Channels are not leads: what section 3.2 says of leads, computed.

The paper's channel attention "prioritises key leads". It weighs feature channels, each
of which mixes all leads; here that is measured, and a gate on leads is tried.
"""

from __future__ import annotations

import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mccgaa.companion.audit.encoder import gates
from mccgaa.config import LEADS
from mccgaa.encoder import ChannelAttention, EcgEncoder

DISTURBANCES = ("flat", "noise added", "noise alone", "wander", "inverted")


def stem_mixing(encoder: EcgEncoder) -> Tensor:
    """Count the leads that each filter of the stem draws on.

    Returns:
        (filters,): the inverse participation ratio of a filter's energy over the
        leads; 1 where it reads one lead, 12 where it reads all alike.
    """
    weight = encoder.stem[0].weight.detach().squeeze(2)  # (filters, leads, 7)
    energy = weight.square().sum(-1)
    share = energy / energy.sum(1, keepdim=True)  # (filters, leads)
    return 1 / share.square().sum(1)


def lead_response(encoder: EcgEncoder, signals: Tensor) -> pd.DataFrame:
    """Silence one lead at a time and watch every gate, and the embedding.

    Args:
        encoder: with channel attention.
        signals: (B, leads, T), scaled as the encoder expects.

    Returns:
        One row a lead: mean |change of alpha| in each block, and "embedding", the
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


def disturb(signals: Tensor, lead: Tensor, kind: str, rate: float) -> Tensor:
    """Disturb one lead of each record and standardise it again, as packing would.

    Args:
        signals: (B, leads, T), z-scored.
        lead: (B,) which lead of each record.
        kind: one of `DISTURBANCES`.
        rate: Hz.
    """
    rows = torch.arange(len(signals))
    clean = signals[rows, lead]  # (B, T)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(clean.shape, generator=generator)
    seconds = torch.arange(clean.shape[1]) / rate
    new = {
        "flat": torch.zeros_like(clean),
        "noise added": clean + noise,
        "noise alone": noise,
        "wander": clean + 2 * torch.sin(2 * torch.pi * 0.6 * seconds),
        "inverted": -clean,
    }[kind]
    scale = new.std(1, keepdim=True).clamp_min(1e-6)
    new = torch.where(scale > 1e-3, (new - new.mean(1, keepdim=True)) / scale, 0)
    out = signals.clone()
    out[rows, lead] = new
    return out


def lead_evidence(signals: Tensor, rate: float, seed: int = 0) -> pd.DataFrame:
    """Ask what a gate on leads could know: only a lead's mean and maximum (eq 8, 9).

    Args:
        signals: (B, 12, T), z-scored.
        rate: Hz.
        seed: of the lead disturbed in each record.

    Returns:
        One row a disturbance: AUROC of the mean and of the maximum, telling disturbed
        leads from the same leads intact; 0.5 knows nothing, 1.0 everything.
    """
    generator = torch.Generator().manual_seed(seed)
    lead = torch.randint(signals.shape[1], (len(signals),), generator=generator)
    rows = torch.arange(len(signals))
    truth = [0] * len(signals) + [1] * len(signals)
    table = {}
    for kind in DISTURBANCES:
        pair = (signals[rows, lead], disturb(signals, lead, kind, rate)[rows, lead])
        both = torch.cat(pair)
        scores = {"average (eq 8)": both.mean(1), "maximum (eq 9)": both.amax(1)}
        table[kind] = {
            name: max(auc, 1 - auc)
            for name, s in scores.items()
            for auc in [float(roc_auc_score(truth, s.round(decimals=4)))]
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("disturbance")


def learned_lead_gate(
    encoder: EcgEncoder,
    signals: Tensor,
    rate: float,
    *,
    kind: str = "noise alone",
    steps: int = 40,
    batch: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    """Put eq 8-14 on the 12 leads before a frozen encoder and train it for its task.

    The task: one lead of each record is disturbed, and the embedding should be that
    of the undisturbed record. Half of the records train, half test.

    Args:
        encoder: frozen.
        signals: (B, 12, T), z-scored.
        rate: Hz.
        kind: disturbance.
        steps: of AdamW.
        batch: records a step.
        seed: of weights, leads and batches.

    Returns:
        One row a gate ("none", "sigmoid", "double-sigmoid"): on the test half, mean
        cosine to the undisturbed embedding, and mean alpha of the disturbed leads
        relative to that of the others.
    """
    generator = torch.Generator().manual_seed(seed)
    lead = torch.randint(signals.shape[1], (len(signals),), generator=generator)
    noisy = disturb(signals, lead, kind, rate)
    half = len(signals) // 2
    encoder = encoder.eval().requires_grad_(False)
    with torch.no_grad():
        target = encoder(signals)  # (B, M)
        plain = (encoder(noisy[half:]) * target[half:]).sum(1).mean().item()
    rows = {"none": {"cosine": plain, "disturbed / intact": 1.0}}
    for gate in ("sigmoid", "double-sigmoid"):
        torch.manual_seed(seed)
        cam = ChannelAttention(signals.shape[1], gate)
        optimizer = torch.optim.AdamW(cam.parameters(), lr=0.03)
        for _ in range(steps):
            index = torch.randint(half, (min(batch, half),), generator=generator)
            moved = encoder(cam(noisy[index]))
            loss = (1 - (moved * target[index]).sum(1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            alpha = cam.weights(noisy[half:])  # (B / 2, leads)
            cosine = (encoder(cam(noisy[half:])) * target[half:]).sum(1).mean()
        mine = torch.zeros_like(alpha, dtype=torch.bool)
        mine[torch.arange(len(mine)), lead[half:]] = True
        ratio = alpha[mine].mean() / alpha[~mine].mean()
        rows[gate] = {"cosine": cosine.item(), "disturbed / intact": ratio.item()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("gate on leads")
