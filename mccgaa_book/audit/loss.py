"""What eq 20-22 and section 3.4 of the paper claim, computed: shapes and losses.

One function a claim; each returns the table that the book shows. Module `graph` holds
the claims on GAFA's graph, and `leak` what its pair nodes give away.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from mccgaa.loss import UnimodalAlignment, alignment_loss


def unit_rows(
    rows: int, width: int, generator: torch.Generator, dtype: torch.dtype | None = None
) -> Tensor:
    """Draw random directions: (rows, width), each row of length one."""
    t = torch.randn(rows, width, generator=generator, dtype=dtype)
    return F.normalize(t, dim=1)


# ---- section 3.3: shapes ------------------------------------------------------------


def attention_shapes(m: int = 256, f: int = 32, n: int = 4) -> pd.DataFrame:
    """Try the products of eq 20-22 with the shapes that the paper gives them.

    Args:
        m: M, width of one embedding.
        f: F, width of one head.
        n: N, number of heads.

    Returns:
        One row a product: equation, as written, its shapes, and whether it exists.
    """
    c = torch.zeros(1, 2 * m)  # a row of C^xr, eq 19
    w = torch.zeros(2 * m, f)  # W, in R^{2M x F}
    heads = torch.zeros(1, n * f)  # h_1 || ... || h_N of one node
    both = torch.zeros(2 * f, 1)  # W C_i || W C_j, if W C_i means C_i W
    rows = [
        ("20", "C_j W", c, w),
        ("21", "W C_i", w, c.T),
        ("21", "W^T C_i", w.T, c.T),
        ("21", "a [..], a in R^{1 x 2F}", torch.zeros(1, 2 * f), both),
        ("21", "a [..], a in R^{1 x 2H}, H = N", torch.zeros(1, 2 * n), both),
        ("21", "a^T [..], a in R^{1 x 2F}", torch.zeros(1, 2 * f).T, both),
        ("22", "(h_1 .. h_N) W_O, W_O in R^{FN x F}", heads, torch.zeros(f * n, f)),
        (
            "22",
            "(h_1 .. h_N) W_O, W_O in R^{HN x F}, H = N",
            heads,
            torch.zeros(n * n, f),
        ),
    ]
    return pd.DataFrame(
        {
            "equation": equation,
            "written": written,
            "shapes": f"{_shape(left)} · {_shape(right)}",
            "exists": left.shape[1] == right.shape[0],
        }
        for equation, written, left, right in rows
    )


# ---- section 3.4: losses -------------------------------------------------------------


def log_sum_exp_is_clip(
    sizes: Sequence[int] = (4, 64, 256), width: int = 272, tau: float = 0.07
) -> pd.DataFrame:
    """Compare eq 25-30 with CLIP's cross-entropies in float64, values and gradients.

    Returns:
        One row a batch size: both losses, their ratio, and the largest relative
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
        rows_ce, columns_ce = (
            F.cross_entropy(s, target) for s in (logits, logits.T)
        )  # torch's own
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


def stability(
    taus: Sequence[float] = (1.0, 0.07, 0.05, 0.01, 0.001),
    size: int = 64,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.bfloat16, torch.float16),
) -> pd.DataFrame:
    """Compute eq 28 in three ways at falling temperatures, to see which overflows.

    Cosines lie in [-1, 1], so logits lie in [-1/tau, 1/tau]. The worst case is used:
    matching pairs with cosine 1.

    Returns:
        One row a precision and temperature: largest logit and the loss by a softmax
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
        One row a loss: held-out recall at 1, and how far the weights end from those
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
            return x, q.flip(1)

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


def pull(x: Tensor, q: Tensor, tau: float = 0.07, kind: str = "symmetric") -> Tensor:
    """Differentiate a loss by the similarities: what it pulls together or apart.

    Args:
        x: (B, M) one side.
        q: (B, M) the other side.
        tau: temperature.
        kind: as `alignment_loss`.

    Returns:
        (B, B) of B times dL / df_sim(i, j): negative where the loss asks for more
        similarity, positive where it asks for less.
    """
    logits = F.normalize(x, dim=1) @ F.normalize(q, dim=1).T / tau
    one = torch.eye(len(x), dtype=logits.dtype)
    if kind == "siglip":
        sign = 2 * one - 1
        return -sign * torch.sigmoid(-sign * (logits - 10.0))
    rows, columns = logits.softmax(1) - one, logits.softmax(0) - one
    return {
        "symmetric": rows + columns,
        "one-sided": 2 * rows,
        "clip": (rows + columns) / 2,
    }[kind]


def duplicate_floor(q: Tensor) -> float:
    """Bound the symmetric loss from below for a batch in which texts repeat.

    A text that stands beside m ECGs cannot be told from its copies: each direction
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
        One row a rate and reading ("dropout alone", as eq 31 is written, or "linear,
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


def _shape(t: Tensor) -> str:
    return f"({t.shape[0]} x {t.shape[1]})"
