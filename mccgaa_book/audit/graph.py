"""What the paper leaves open about GAFA's graph, and what its attention can show.

Section 3.3 (eq 17-21) and Fig. 7: two readings of the graph, a threshold without a
value, neighbourhoods that may be empty, and heat maps whose bands need no training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from mccgaa.config import GafaConfig
from mccgaa.gafa import Gafa
from mccgaa_book.audit.loss import unit_rows


def graph_readings(batch: int = 64, classes: int = 5) -> pd.DataFrame:
    """Set the graph of the equations beside the graph of the prose.

    Args:
        batch: B, pairs in the batch.
        classes: C, class texts at inference.

    Returns:
        One row a property, one column a graph; every entry is read off the modules.
    """
    generator = torch.Generator().manual_seed(0)
    columns = {}
    for graph in ("pair", "bipartite"):
        gafa = Gafa(GafaConfig(graph=graph))
        m = gafa.config.embedding_dim
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
        One row a threshold: `cosine` it stands for, `density` (share of the B x B
        edges present), `one_way` (share of edges i -> j without j -> i: A is not
        symmetric), `own` (share of pairs whose ECG is joined to its own text),
        `empty_rows` and `empty_columns` (share of softmaxes over nothing).
    """
    rows = []
    config = GafaConfig(embedding_dim=x.shape[1], tau=tau)
    for threshold in thresholds:
        gafa = Gafa(replace(config, threshold=threshold))
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
        One row a head: `neighbours` (mean number, self included); `mean` of the
        weights on edges, which is n over the number of edges whatever was learned;
        `largest`; `focus`, a node's largest weight times its number of neighbours,
        averaged (1 where attention is uniform); `one_order`, the share of comparisons
        of two neighbours in which nodes side with the majority of nodes.
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
                "one_order": _one_order(head, edge),
            }
        )
    return pd.DataFrame(rows).rename_axis("head")


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
