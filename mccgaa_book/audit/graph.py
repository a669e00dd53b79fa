"""What the paper leaves open about GAFA's graph, and what its attention can show.

Section 3.3 (eq 17-22) and Fig. 7: products that do not exist, two readings of the
graph, a threshold without a value, neighbourhoods that may be empty, and heat maps
whose bands need no training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from mccgaa.config import EncoderConfig, GafaConfig
from mccgaa.gafa import Gafa
from mccgaa_book.audit.loss import unit_rows


def graph_readings(batch: int = 64, classes: int = 5) -> pd.DataFrame:
    """Compare the graph of the equations with the graph of the prose.

    Args:
        batch: B, pairs in the batch.
        classes: C, class texts at inference.

    Returns:
        One row per property, one column per graph; every entry is read off the modules.
    """
    generator = torch.Generator().manual_seed(0)
    columns = {}
    for graph in ("pair", "bipartite"):
        gafa = Gafa(GafaConfig(graph=graph), EncoderConfig().embedding_dim)
        m = gafa.embedding_dim
        x, q = (unit_rows(batch, m, generator) for _ in range(2))
        texts = unit_rows(classes, m, generator)
        order = torch.randperm(batch, generator=generator)
        with torch.no_grad():
            moved = (gafa(x, q)[0] - gafa(x, q[order])[0]).abs().max().item()
        columns[graph] = {
            "nodes": gafa.attention(x, q)[0].shape[1],
            "width of a node": gafa.layer1.lin.weight.shape[1],
            "weights": sum(p.numel() for p in gafa.parameters()),
            "same result when texts change partners": moved < 1e-5,
            f"takes {classes} class texts": _accepts(partial(gafa, x, texts)),
        }
    return pd.DataFrame(columns)


def attention_shapes(m: int = 256, f: int = 32, n: int = 4) -> pd.DataFrame:
    """Try the products of eq 20-22 with the shapes that the paper gives them.

    Args:
        m: M, width of one embedding.
        f: F, width of one head.
        n: N, number of heads.

    Returns:
        One row per product: equation, as written, its shapes, and whether it exists.
    """
    c = torch.zeros(1, 2 * m)  # a row of C^xr, eq 19
    w = torch.zeros(2 * m, f)  # W, in R^{2M x F}
    heads = torch.zeros(1, n * f)  # h_1 || ... || h_N of one node
    both = torch.zeros(2 * f, 1)  # W C_i || W C_j, if W C_i means C_i W
    rows = [
        ("20", "C_j W", c, w),
        ("21", "W C_i", w, c.T),
        ("21", "Wᵀ C_i", w.T, c.T),
        ("21", "a [..], with a: 1 x 2F", torch.zeros(1, 2 * f), both),
        ("21", "a [..], with a: 1 x 2H, H = N", torch.zeros(1, 2 * n), both),
        ("21", "aᵀ [..], with a: 1 x 2F", torch.zeros(1, 2 * f).T, both),
        ("22", "(h_1 .. h_N) W_O, with W_O: FN x F", heads, torch.zeros(f * n, f)),
        (
            "22",
            "(h_1 .. h_N) W_O, with W_O: HN x F, H = N",
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


def graph_by_threshold(
    x: Tensor, q: Tensor, thresholds: Sequence[float], tau: float = 0.07
) -> pd.DataFrame:
    """Sweep the threshold of eq 18, for which the paper gives no value.

    Args:
        x: (B, M) unit rows, the ECGs.
        q: (B, M) unit rows, the texts.
        thresholds: on f_sim = cosine / tau.
        tau: temperature of eq 17.

    Returns:
        One row per threshold: the `cosine` that it means, `density` (share of the B x B
        edges present), `one_way` (share of edges i -> j without j -> i: A is not
        symmetric), `own` (share of pairs whose ECG is joined to its own text),
        `empty_rows` and `empty_columns` (share of softmaxes over nothing).
    """
    rows = []
    config = GafaConfig(tau=tau)
    for threshold in thresholds:
        gafa = Gafa(replace(config, threshold=threshold), x.shape[1])
        a = gafa.adjacency(x, q)  # (B, B)
        edges = a.sum().item()
        rows.append(
            {
                "threshold": threshold,
                "cosine": threshold * tau,
                "density": a.float().mean().item(),
                "one_way": (a & ~a.T).sum().item() / edges if edges else float("nan"),
                "own": a.diagonal().float().mean().item(),
                "empty_rows": (~a.any(1)).float().mean().item(),
                "empty_columns": (~a.any(0)).float().mean().item(),
            }
        )
    return pd.DataFrame(rows)


def attention_summary(weights: Tensor) -> pd.DataFrame:
    """Describe the attention weights of one layer (eq 21, Fig. 7).

    A GAT scores neighbour j for node i by LeakyReLU(s_i + t_j), which rises with t_j
    whatever i is: all nodes rank their common neighbours alike. Bands across a heat
    map are therefore what the equation gives with any weights, trained or not.

    Args:
        weights: (heads, n, n) with rows that sum to one, as `Gafa.attention`.

    Returns:
        One row per head: `neighbours` (mean number, self included); `mean` of the
        weights on edges, which is n over the number of edges whatever was learned;
        `largest`; `focus`, a node's largest weight times its number of neighbours,
        averaged (1 where attention is uniform); `entropy`, of a node's weights over the
        largest that its number of neighbours allows, averaged over nodes with two or
        more (1 where attention is uniform, 0 on one neighbour); `one_order`, the share
        of comparisons of two neighbours in which nodes side with the majority.
    """
    rows = []
    for head in weights.double():
        edge = head > 0
        degree = edge.sum(1)
        rows.append(
            {
                "neighbours": degree.double().mean().item(),
                "mean": head[edge].mean().item(),
                "largest": head.max().item(),
                "focus": (head.amax(1) * degree).mean().item(),
                "entropy": _entropy(head, degree),
                "one_order": _one_order(head, edge),
            }
        )
    return pd.DataFrame(rows).rename_axis("head")


def _entropy(head: Tensor, degree: Tensor) -> float:
    """Mean entropy of the rows over its largest value; NaN without two neighbours."""
    several = degree > 1
    bits = torch.special.entr(head[several]).sum(1)  # entr(0) = 0
    return (bits / degree[several].double().log()).mean().item()


def _one_order(head: Tensor, edge: Tensor, tolerance: float = 1e-5) -> float:
    """Share of (node; neighbour j, neighbour k) on the majority's side; NaN if none."""
    votes = head.new_zeros(head.shape)  # [j, k]: nodes that weigh j above k
    for row, own in zip(head, edge, strict=True):
        above = row[:, None] > row[None, :] * (1 + tolerance)
        votes += above & own[:, None] & own[None, :]
    total = votes + votes.T
    agreed = torch.maximum(votes, votes.T)[total > 1]
    compared = total[total > 1].sum().item()
    return agreed.sum().item() / compared if compared else float("nan")


def _accepts(call: Callable[[], object]) -> bool:
    try:
        call()
    except ValueError:
        return False
    return True


def _shape(t: Tensor) -> str:
    return f"({t.shape[0]} x {t.shape[1]})"
