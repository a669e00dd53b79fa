"""The pair graph's leak: retrieval of 1.000 between things that have no relation.

X_topo and Q_topo of pair i are the two halves of ONE vector, which the graph attention
computes from x_i and q_i together (eq 19-23). Writing the same number into both halves
matches them without any alignment. Here it is built by hand, found by gradient descent
on unrelated random embeddings, and looked for in a real run.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from mccgaa.config import EncoderConfig, GafaConfig
from mccgaa.gafa import Gafa
from mccgaa.loss import alignment_loss
from mccgaa_book.audit.loss import unit_rows

EVERYTHING, NOTHING = -1e9, 1e9  # thresholds of a complete and of an empty graph


@torch.no_grad()
def leaking_gafa(
    threshold: float, *, scale: float = 1000.0, batch: int = 64, seed: int = 0
) -> Gafa:
    """Write a pair graph's weights so that it leaks, without any training.

    Layer 2 is given equal halves, so X_topo = Q_topo; its attention is left out, its
    mean output removed, and its scale raised so that the topology outweighs x and q.

    Args:
        threshold: of eq 18.
        scale: factor on layer 2.
        batch: pairs that the mean output is measured on.
        seed: of the remaining weights and of those pairs.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    gafa = Gafa(GafaConfig(threshold=threshold), EncoderConfig().embedding_dim)
    gafa.requires_grad_(False)
    half, layer = gafa.config.output // 2, gafa.layer2
    layer.lin.weight[half:] = layer.lin.weight[:half]
    layer.lin.weight.mul_(scale)
    layer.att_src.zero_()
    layer.att_dst.zero_()
    x, q = (unit_rows(batch, gafa.embedding_dim, generator) for _ in range(2))
    topology = gafa(x, q)[0][:, :half].mean(0)  # (F//2,)
    layer.bias.copy_(-torch.cat([topology, topology]))
    return gafa


def built_by_hand(
    thresholds: Sequence[float], *, batch: int = 64, batches: int = 20, seed: int = 1
) -> pd.DataFrame:
    """Measure `leaking_gafa` on unrelated random unit vectors.

    Args:
        thresholds: of eq 18.
        batch: B.
        batches: fresh batches that retrieval is averaged over.
        seed: of the embeddings.

    Returns:
        One row per threshold: `neighbours` (mean, self included), recall at 1 of
        `fused` and `backbone` embeddings, and `chance`.
    """
    rows = []
    for threshold in thresholds:
        gafa = leaking_gafa(threshold, batch=batch)
        generator = torch.Generator().manual_seed(seed)
        fused, backbone, degree = [], [], []
        for _ in range(batches):
            x, q = (unit_rows(batch, gafa.embedding_dim, generator) for _ in range(2))
            fused.append(recall(*gafa(x, q)))
            backbone.append(recall(x, q))
            joined = gafa.adjacency(x, q) | torch.eye(batch, dtype=torch.bool)
            degree.append(joined.sum(1).float().mean().item())
        rows.append(
            {
                "threshold": threshold,
                "neighbours": sum(degree) / batches,
                "fused": sum(fused) / batches,
                "backbone": sum(backbone) / batches,
                "chance": 1 / batch,
            }
        )
    return pd.DataFrame(rows)


def learned(
    thresholds: Sequence[float] = (0.0, 1.0, 2.0, NOTHING),
    graphs: Sequence[str] = ("pair", "bipartite"),
    *,
    steps: int = 200,
    every: int = 20,
    batch: int = 64,
    width: int = 256,
    lr: float = 1e-2,
    seed: int = 0,
) -> pd.DataFrame:
    """Train only the graph attention on pairs that have nothing in common.

    Every step draws new random unit vectors, so nothing can be learned about them, and
    retrieval is measured on pairs never trained on.

    Args:
        thresholds: of eq 18.
        graphs: readings of section 3.3.
        steps: of AdamW.
        every: steps between two measurements.
        batch: B.
        width: M.
        lr: learning rate.
        seed: of weights and embeddings.

    Returns:
        Columns graph, threshold, neighbours (mean texts an ECG is joined to), step,
        loss (training, L_cma), fused (held-out recall at 1) and backbone (the same
        without the topology).
    """
    rows = []
    for graph in graphs:
        for threshold in thresholds:
            torch.manual_seed(seed)
            generator = torch.Generator().manual_seed(seed)
            gafa = Gafa(GafaConfig(graph=graph, threshold=threshold), width)
            optimizer = torch.optim.AdamW(gafa.parameters(), lr=lr)
            held_out = [
                [unit_rows(batch, width, generator) for _ in range(2)] for _ in range(3)
            ]
            backbone = sum(recall(x, q) for x, q in held_out) / len(held_out)
            degree = gafa.adjacency(*held_out[0]).sum(1).float().mean().item()
            for step in range(steps + 1):
                x, q = (unit_rows(batch, width, generator) for _ in range(2))
                loss = alignment_loss(*gafa(x, q))
                if step % every == 0:
                    with torch.no_grad():
                        fused = sum(recall(*gafa(x, q)) for x, q in held_out)
                    rows.append(
                        {
                            "graph": graph,
                            "threshold": threshold,
                            "neighbours": degree,
                            "step": step,
                            "loss": loss.item(),
                            "fused": fused / len(held_out),
                            "backbone": backbone,
                        }
                    )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return pd.DataFrame(rows)


@torch.no_grad()
def retrieval_with_and_without_fused(
    x: Tensor, q: Tensor, gafa: Gafa, *, batch: int = 64
) -> pd.DataFrame:
    """Look for the leak in a model: retrieval with right and with wrong partners.

    The control that decides: each ECG is given its neighbour's text as partner. A
    model that has aligned ECGs and texts does not retrieve that wrong text; one that
    leaks does, because the node says so. Equal texts count as one.

    Args:
        x: (n, M) ECG embeddings of a model, unit rows.
        q: (n, M) text embeddings, row i belonging to ECG i.
        gafa: the model's graph layers.
        batch: pairs a graph holds; retrieval is within the batch, as in the loss.

    Returns:
        Recall at 1 (ECG to text), one row an embedding (backbone, topology, fused; the
        first alone without a graph), columns `right` (own text found), `wrong` (the
        wrong partner found, among ECGs whose partner has another text), `chance`.

    Raises:
        ValueError: fewer pairs than one batch.
    """
    if len(x) < batch:
        raise ValueError(
            f"There are {len(x)} pairs, fewer than one batch of {batch}; give more "
            "pairs, or a smaller batch."
        )
    found: dict[str, dict[str, list[Tensor]]] = {}
    chance = []
    for start in range(0, len(x) - batch + 1, batch):
        ecg, text = x[start : start + batch], q[start : start + batch]
        distinct, name = text.unique(dim=0, return_inverse=True)
        chance.append(1 / len(distinct))
        for column, shift in (("right", 0), ("wrong", 1)):
            partner, group = text.roll(shift, 0), name.roll(shift)
            counted = (group != name) if shift else torch.ones_like(name).bool()
            for row, (left, right) in _embeddings(ecg, partner, gafa).items():
                best = _cosine(left, right).argmax(1)
                hits = (group[best] == group)[counted]
                found.setdefault(row, {}).setdefault(column, []).append(hits)
    table = pd.DataFrame(
        {
            column: {
                row: torch.cat(hits[column]).double().mean().item()
                for row, hits in found.items()
            }
            for column in ("right", "wrong")
        }
    )
    return table.assign(chance=sum(chance) / len(chance)).rename_axis("embedding")


def recall(x: Tensor, q: Tensor) -> float:
    """Recall at 1: share of rows of `x` whose nearest row of `q` is their own."""
    own = torch.arange(len(x), device=x.device)
    return (_cosine(x, q).argmax(1) == own).double().mean().item()


def _embeddings(x: Tensor, q: Tensor, gafa: Gafa) -> dict[str, tuple[Tensor, Tensor]]:
    """The embeddings that could be compared: without, of, and with the graph."""
    if gafa.config.graph == "none":
        return {"backbone": (x, q)}
    x_fuse, q_fuse = gafa(x, q)
    half = gafa.config.output // 2
    return {
        "backbone": (x, q),
        "topology": (x_fuse[:, :half], q_fuse[:, :half]),
        "fused": (x_fuse, q_fuse),
    }


def _cosine(x: Tensor, q: Tensor) -> Tensor:
    return F.normalize(x, dim=1) @ F.normalize(q, dim=1).T
