"""The attention layer of section 3.3 (eq 20-22), on edges or on masks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GATConv

from mccgaa.gather import Links, gather, gather_both

NEGATIVE_SLOPE = 0.2  # of LeakyReLU inside the attention, as in the original GAT
BLOCK = 2**28  # scores (heads x rows x nodes) of dense attention to hold at once: 1 GB


class GraphAttention(GATConv):
    """A layer of eq 20-22, on edges or on masks.

    It is torch-geometric's layer, with its weights; with masks the same attention is
    computed for all pairs of nodes at once, and no list of edges is made.

    Args:
        inputs: width of a node.
        width: of the output, all heads together.
        heads: N.
    """

    def __init__(self, inputs: int, width: int, heads: int) -> None:
        super().__init__(
            inputs, width // heads, heads=heads, negative_slope=NEGATIVE_SLOPE
        )

    def forward(self, nodes: Tensor, links: Links | Tensor, **options: Any) -> Any:
        """Let every node attend to itself and to the nodes it is joined to.

        Args:
            nodes: (n, inputs); with the bipartite graph the ECGs and then the texts.
            links: masks, or edges (2, E).
            options: of torch-geometric's layer, which reads edges.

        Returns:
            (n, width).
        """
        if isinstance(links, Tensor):
            return super().forward(nodes, links, **options)
        CW = self.lin(nodes)  # (n, N * F), eq 20
        if links.texts is None:
            return self._attend(CW, gather(CW, links.group), links.ecgs)
        ecgs, texts = CW.tensor_split([len(links.ecgs)])
        all_ecgs, all_texts = gather_both(ecgs, texts, links.group)
        x_topo = self._attend(ecgs, all_texts, links.ecgs)  # (B, N * F)
        q_topo = self._attend(texts, all_ecgs, links.texts)  # (C, N * F)
        return torch.cat([x_topo, q_topo])

    def _attend(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """Split the work where its scores are too many; see `_attend_rows`."""
        rows = max(1, BLOCK // (self.heads * max(1, len(others))))
        if len(own) <= rows:
            return self._attend_rows(own, others, mask)
        parts = [
            # Computed again in the backward pass, instead of kept until then.
            checkpoint(
                self._attend_rows,
                some,
                others,
                some_mask,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for some, some_mask in zip(own.split(rows), mask.split(rows), strict=True)
        ]
        return torch.cat(parts)

    def _attend_rows(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """Compute eq 20 and 21 for some nodes and the nodes they may attend to.

        Args:
            own: (n, N * F) nodes times W; each attends to itself.
            others: (m, N * F) nodes times W.
            mask: (n, m), as in `Links`.
        """
        shape = (-1, self.heads, self.out_channels)
        own, others = own.view(shape), others.reshape(shape)  # (n | m, N, F)
        # The vector a in halves: s_i for the node that attends, t_j for its neighbour.
        s = (own * self.att_dst).sum(-1).T  # (N, n)
        t_own = (own * self.att_src).sum(-1).T  # (N, n)
        t = (others * self.att_src).sum(-1).T  # (N, m)
        scores = self._leaky(s[:, :, None] + t[:, None, :]) + mask  # (N, n, m)
        itself = self._leaky(s + t_own)[:, :, None]  # (N, n, 1)
        beta = torch.cat([scores, itself], dim=2).softmax(2)  # (N, n, m + 1), eq 21
        beta, beta_own = beta.split([len(others), 1], dim=2)
        h = beta @ others.transpose(0, 1) + beta_own * own.transpose(0, 1)  # eq 20
        return h.transpose(0, 1).flatten(1) + self.bias  # (n, N * F)

    def _leaky(self, scores: Tensor) -> Tensor:
        return F.leaky_relu(scores, self.negative_slope)
