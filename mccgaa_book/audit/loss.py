"""What section 3.4 of the paper claims of its losses, computed.

Most functions check one claim and return the table that the book shows. Module `graph`
holds the claims on GAFA's graph, and `leak` what its pair nodes give away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from mccgaa.config import ModelConfig
from mccgaa.loss import UnimodalAlignment, alignment_loss
from mccgaa.model import MCCGAA
from mccgaa.runtime import seed_step


def unit_rows(
    rows: int, width: int, generator: torch.Generator, dtype: torch.dtype | None = None
) -> Tensor:
    """Draw random directions: (rows, width), each row of length one."""
    t = torch.randn(rows, width, generator=generator, dtype=dtype)
    return F.normalize(t, dim=1)


def log_sum_exp_is_clip(
    sizes: Sequence[int] = (4, 64, 256), width: int = 272, tau: float = 0.07
) -> pd.DataFrame:
    """Compare eq 25-30 with CLIP's cross-entropies in float64, values and gradients.

    Returns:
        One row per batch size: both losses, their ratio, and the largest relative
        difference of the gradients once the ratio of two is taken out.
    """
    rows = []
    for size in sizes:
        generator = torch.Generator().manual_seed(size)
        x, q = (
            unit_rows(size, width, generator, torch.float64).requires_grad_()
            for _ in range(2)
        )
        symmetric = alignment_loss(x, q, tau, "symmetric")
        logits = F.normalize(x, dim=1) @ F.normalize(q, dim=1).T / tau
        target = torch.arange(size)
        rows_ce = F.cross_entropy(logits, target)  # torch's own
        columns_ce = F.cross_entropy(logits.T, target)
        clip = (rows_ce + columns_ce) / 2
        ours = torch.autograd.grad(symmetric, (x, q))
        theirs = torch.autograd.grad(clip, (x, q))
        gap = max(
            ((a - 2 * b).abs().max() / a.abs().max()).item()
            for a, b in zip(ours, theirs, strict=True)
        )
        rows.append(
            {
                "batch": size,
                "log_sum_exp": symmetric.item(),
                "clip": clip.item(),
                "ratio": (symmetric / clip).item(),
                "loss_gap": abs((symmetric - 2 * clip) / symmetric).item(),
                "gradient_gap": gap,
            }
        )
    return pd.DataFrame(rows)


def equation_29(size: int = 64, width: int = 272, tau: float = 0.07) -> pd.Series:
    """Read eq 29 to the letter: the transpose of a diagonal is the diagonal.

    Returns:
        loss_x2r, loss_r2x as written, loss_r2x over columns, and both sums (float64).
    """
    generator = torch.Generator().manual_seed(0)
    x, q = (unit_rows(size, width, generator, torch.float64) for _ in range(2))
    logits = x @ q.T / tau  # eq 26
    prob = logits - logits.logsumexp(dim=1, keepdim=True)  # eq 27
    x2r = -prob.diagonal().mean()  # eq 28
    written = -prob.T.diagonal().mean()  # eq 29
    columns = -(logits - logits.logsumexp(dim=0)).diagonal().mean()
    return pd.Series(
        {
            "loss_x2r (eq 28)": x2r.item(),
            "loss_r2x as written (eq 29)": written.item(),
            "loss_r2x over columns": columns.item(),
            "one-sided sum": (x2r + written).item(),
            "symmetric sum": (x2r + columns).item(),
        }
    )


def same_but_for_two(models: Mapping[str, ModelConfig], name: str) -> list[str]:
    """Name the models that are the same mathematics as one, itself left out.

    The symmetric loss is twice CLIP's, so two models that differ in this alone show
    how much two trainings of one method differ.

    Args:
        models: configuration by name.
        name: of the one.
    """

    def doubled(model: ModelConfig) -> ModelConfig:
        kind = "symmetric" if model.loss.kind == "clip" else model.loss.kind
        return replace(model, loss=replace(model.loss, kind=kind))

    own = doubled(models[name])
    return [
        other
        for other, model in models.items()
        if other != name and doubled(model) == own
    ]


def stability(
    taus: Sequence[float] = (1.0, 0.07, 0.05, 0.01, 0.001),
    size: int = 64,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.bfloat16, torch.float16),
) -> pd.DataFrame:
    """Compute eq 28 in three ways at falling temperatures, to see which overflows.

    Cosines lie in [-1, 1], so logits lie in [-1/tau, 1/tau]. The worst case is used:
    matching pairs with cosine 1.

    Returns:
        One row per precision and temperature: largest logit and the loss by a softmax
        written out, by log-sum-exp, and by torch's cross-entropy; inf or NaN where a
        way fails.
    """
    rows = []
    eye = torch.eye(size)
    for dtype in dtypes:
        for tau in taus:
            logits = (eye / tau).to(dtype)
            exp = logits.exp()
            naive = -(exp.diagonal() / exp.sum(1)).log().mean()
            lse = (logits.logsumexp(dim=1) - logits.diagonal()).mean()
            entropy = F.cross_entropy(logits, torch.arange(size))
            rows.append(
                {
                    "precision": str(dtype).removeprefix("torch."),
                    "tau": tau,
                    "largest_logit": 1 / tau,
                    "written_out": naive.item(),
                    "log_sum_exp": lse.item(),
                    "cross_entropy": entropy.item(),
                }
            )
    return pd.DataFrame(rows)


def training_with(
    kinds: Sequence[str] = ("symmetric", "clip", "one-sided", "siglip"),
    *,
    steps: int = 200,
    batch: int = 32,
    width: int = 16,
    lr: float = 1e-2,
    seed: int = 0,
) -> pd.DataFrame:
    """Train the same two linear towers with each loss, by AdamW, in float64.

    AdamW divides by the size of the gradient, so a loss and its double take the same
    steps but for its epsilon. The task: two noisy views of the same hidden vectors.

    Returns:
        One row per loss: held-out recall at 1, and how far the weights end from those
        of the first loss, relative to how far those moved.
    """
    end, recall = {}, {}
    for kind in kinds:
        torch.manual_seed(seed)
        towers = [torch.nn.Linear(width, 8, bias=False).double() for _ in range(2)]
        weights = [tower.weight for tower in towers]
        start = torch.cat([w.detach().clone() for w in weights])
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=1e-8)
        generator = torch.Generator().manual_seed(seed)
        bias = torch.tensor(-10.0, dtype=torch.float64)

        def views(rows: int, generator=generator) -> tuple[Tensor, Tensor]:
            hidden = torch.randn(rows, width, generator=generator, dtype=torch.float64)
            noise = torch.randn(2, *hidden.shape, generator=generator).double()
            x, q = hidden + 0.3 * noise
            return x, q.flip(1)  # the towers must learn different maps

        held_out = views(256)
        for _ in range(steps):
            x, q = (t(v) for t, v in zip(towers, views(batch), strict=True))
            optimizer.zero_grad()
            alignment_loss(x, q, 0.07, kind, bias=bias).backward()
            optimizer.step()
        with torch.no_grad():
            x, q = (
                F.normalize(t(v), dim=1) for t, v in zip(towers, held_out, strict=True)
            )
        recall[kind] = _recall(x @ q.T)
        end[kind] = torch.cat([w.detach() for w in weights])
    first = end[kinds[0]]
    moved = (first - start).norm()
    return pd.DataFrame(
        {
            "recall_at_1": recall,
            "distance": {
                k: ((w - first).norm() / moved).item() for k, w in end.items()
            },
        }
    ).rename_axis("loss")


def halved_loss(
    config: ModelConfig,
    signals: Tensor,
    vectors: Tensor,
    *,
    steps: int = 10,
    lr: float = 1e-3,
    epsilon: float = 1e-8,
    seed: int = 0,
) -> pd.DataFrame:
    """Train the whole network with a loss and with its half, in float32.

    AdamW's step is m / (sqrt(v) + epsilon). Half of the loss halves m and sqrt(v),
    exactly so in binary numbers, which leaves epsilon as the only difference.

    Args:
        config: of the network; its loss becomes the symmetric one, or CLIP's.
        signals: (B, leads, T), the batch of every step.
        vectors: (B, d) vectors of the texts.
        steps: of AdamW.
        lr: learning rate.
        epsilon: of AdamW; torch's default is 1e-8.
        seed: of weights and dropout.

    Returns:
        One row per way, compared with training by the symmetric loss: share of
        `equal weights` after the steps, their `distance` relative to how far the
        weights moved, and the `largest loss gap` over the steps (cross-modal loss,
        counted as the sum of two directions).
    """

    def weights(model: MCCGAA) -> Tensor:
        return torch.cat([p.detach().flatten().clone() for p in model.parameters()])

    def train(kind: str, factor: float, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        """The weights before and after, and the loss of every step."""
        seed_step(seed)
        model = MCCGAA(replace(config, loss=replace(config.loss, kind=kind))).train()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=lr, eps=eps, weight_decay=1e-8
        )
        start = weights(model)
        losses = []
        for step in range(steps):
            seed_step(seed, step)  # the same dropout in every way
            output = model(signals, vectors)
            optimizer.zero_grad()
            (factor * output.loss).backward()
            optimizer.step()
            losses.append(output.cma.item() * (2 if kind == "clip" else 1))
        return start, weights(model), torch.tensor(losses)

    start, end, losses = train("symmetric", 1.0, epsilon)
    ways = {
        "half the loss": ("symmetric", 0.5, epsilon),
        "half the loss, half of epsilon": ("symmetric", 0.5, epsilon / 2),
        "CLIP loss": ("clip", 1.0, epsilon),
    }
    rows = {}
    for name, way in ways.items():
        _, other, gaps = train(*way)
        rows[name] = {
            "equal weights": (other == end).double().mean().item(),
            "distance": ((other - end).norm() / (end - start).norm()).item(),
            "largest loss gap": (gaps - losses).abs().max().item(),
        }
    return pd.DataFrame(rows).T.rename_axis("trained with")


def duplicate_floor(q: Tensor) -> float:
    """Bound the symmetric loss from below for a batch in which texts repeat.

    A text that m ECGs share cannot be distinguished from its copies: each direction
    costs at least log m there, whatever the encoders learn (eq 27, 28).

    Args:
        q: (B, M) texts, equal rows being the same text.

    Returns:
        Twice the mean of log m, in nats.
    """
    _, group, count = q.unique(dim=0, return_inverse=True, return_counts=True)
    return 2 * count[group].double().log().mean().item()


def unimodal_views(
    features: Tensor,
    rates: Sequence[float] = (0.0, 0.1, 0.3, 0.5),
    *,
    tau: float = 0.07,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two readings of eq 31 before any training.

    Args:
        features: (B, M) ECG features.
        rates: dropout rates, given to both views.
        tau: temperature of the loss.
        seed: of weights and dropout.

    Returns:
        One row per rate and reading ("dropout alone", as eq 31 is written, or "linear,
        then dropout"): mean cosine of the two views of the `same` ECG and of `other`
        ECGs, the `loss` (eq 32), and `top1`, how often a view finds its twin.
    """
    rows = []
    for rate in rates:
        torch.manual_seed(seed)
        uma = UnimodalAlignment(features.shape[1], (rate, rate)).train()
        readings = {
            "dropout alone": lambda t, p=rate: (F.dropout(t, p), F.dropout(t, p)),
            "linear, then dropout": uma,
        }
        for reading, views in readings.items():
            with torch.no_grad():
                one, other = views(features)
                cosine = F.normalize(one, dim=1) @ F.normalize(other, dim=1).T
                own = torch.eye(len(cosine), dtype=torch.bool)
                rows.append(
                    {
                        "rate": rate,
                        "reading": reading,
                        "same": cosine[own].mean().item(),
                        "other": cosine[~own].mean().item(),
                        "loss": alignment_loss(one, other, tau).item(),
                        "top1": _recall(cosine),
                    }
                )
    return pd.DataFrame(rows)


def _recall(scores: Tensor) -> float:
    """Share of rows whose largest score is on the diagonal."""
    hit = scores.argmax(1) == torch.arange(len(scores))
    return hit.double().mean().item()
