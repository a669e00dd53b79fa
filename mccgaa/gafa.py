"""GAFA: a graph over a batch of ECGs and texts, read by two attention layers.

Section 3.3 of the paper (eq 17-24). The paper describes two graphs. Its equations
make one node of every pair, the concatenation of ECG i and text i; its prose speaks
of a bipartite graph with ECGs on one side and texts on the other. Both are here,
because they differ in what they may know: a pair node holds both halves of its own
answer, a bipartite node does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GATConv

from mccgaa.config import GafaConfig
from mccgaa.gather import ALONE, Group, gather, gather_both

NEGATIVE_SLOPE = 0.2  # of LeakyReLU inside the attention, as in the original GAT
BLOCK = 2**28  # scores (heads x rows x nodes) of dense attention to hold at once: 1 GB


class Gafa(nn.Module):
    r"""Graph attention feature alignment (section 3.3).

    .. math::
        f_{sim}(i, j) &= X_i^e \cdot Q_j^e / \tau & (17) \\
        A_{ij} &= [f_{sim}(i, j) > \text{threshold}] & (18) \\
        C^{xr} &= X^e \parallel Q^e & (19) \\
        h_i^{(k)} &= \sum_{j \in \mathcal{N}(i)} \beta_{ij}^{(k)} C_j W^{(k)} & (20) \\
        \beta_{ij}^{(k)} &= \operatorname{softmax}_{j \in \mathcal{N}(i)}
            \operatorname{LeakyReLU}(a^{(k)T}[C_i W^{(k)} \parallel C_j W^{(k)}])
            & (21) \\
        X^{topo} \parallel Q^{topo} &= H & (23) \\
        X^{fuse}, Q^{fuse} &= X^{topo} \parallel X^e,\; Q^{topo} \parallel Q^e & (24)

    Every node is its own neighbour, so no softmax runs over an empty set. Layer 1 has
    `heads` heads whose outputs lie side by side and are `hidden` wide together, then
    an ELU; layer 2 has one head. The output matrix W_O of eq 22 is the identity, since
    a layer's width is already that of its joined heads, or with
    `config.output_matrix` a learnable square matrix after each layer's joined heads
    and their bias. Eq 18 is a step, so no gradient flows through the choice of
    neighbours. Runs on the device and in the precision of its weights, whatever
    autocast says.

    A threshold joins about half of all nodes, so its attention is computed as masked
    matrices; the few `neighbours` of each ECG are a list of edges, for torch-geometric
    to read. Both give the same numbers, up to rounding.

    Args:
        config: widths, graph, threshold or neighbours; see `GafaConfig`.
        embedding_dim: M, the width of the embeddings of ECGs and texts.

    Attributes:
        dense: compute with matrices; False for a list of edges, whatever the graph.

    Example:
        >>> gafa = Gafa(GafaConfig(hidden=8, output=4), embedding_dim=8)
        >>> x_fuse, q_fuse = gafa(torch.randn(5, 8), torch.randn(5, 8))
        >>> x_fuse.shape
        torch.Size([5, 10])
    """

    def __init__(self, config: GafaConfig, embedding_dim: int) -> None:
        super().__init__()
        self.config = config
        self.embedding_dim = embedding_dim
        self.dense = config.neighbours is None
        pair, hidden = config.graph == "pair", config.hidden
        node_in = 2 * embedding_dim if pair else embedding_dim
        node_out = config.output if pair else config.output // 2
        if config.graph != "none":
            self.layer1 = GraphAttention(node_in, hidden, config.heads)
            self.layer2 = GraphAttention(hidden, node_out, 1)
        self.output1: nn.Module = nn.Identity()  # W_O of layer 1
        self.output2: nn.Module = nn.Identity()  # W_O of layer 2
        if config.graph != "none" and config.output_matrix:
            self.output1 = nn.Linear(hidden, hidden, bias=False)
            self.output2 = nn.Linear(node_out, node_out, bias=False)

    @property
    def width(self) -> int:
        """Columns of the fused embeddings: M + F//2, or M without a graph."""
        extra = 0 if self.config.graph == "none" else self.config.output // 2
        return self.embedding_dim + extra

    def forward(
        self, x: Tensor, q: Tensor, group: Group = ALONE
    ) -> tuple[Tensor, Tensor]:
        """Fuse each embedding with what the graph says of it (eq 19-24).

        Args:
            x: (B, M) ECG embeddings, L2-normalised.
            q: (B, M) text embeddings, L2-normalised; row i belongs to ECG i. With the
                bipartite graph it may have any number of rows, such as one a class.
            group: processes whose rows together are the graph; each passes its own
                and gets its own back.

        Returns:
            x_fuse (B, M + F//2) and q_fuse (rows of q, M + F//2), topology first as
            in eq 24; x and q unchanged when the graph is "none".

        Raises:
            ValueError: shapes that do not fit each other or the graph.
        """
        self._check_shapes(x, q)
        if self.config.graph == "none":
            return x, q
        x, q = self._cast(x), self._cast(q)
        if group.processes > 1 and not self.dense:  # few edges: all, in every process
            fused = self(*gather_both(x, q, group))
            return tuple(t.chunk(group.processes)[group.rank] for t in fused)
        with torch.autocast(x.device.type, enabled=False):
            nodes, links = self.graph(x, q, group)
            hidden = F.elu(self.output1(self.layer1(nodes, links)))  # (n, hidden)
            h = self.output2(self.layer2(hidden, links))  # (B, F) or (B + C, F//2)
            x_topo, q_topo = self._split(h, len(x))  # (B, F//2), (rows of q, F//2)
            return torch.cat([x_topo, x], dim=1), torch.cat([q_topo, q], dim=1)

    @torch.no_grad()
    def adjacency(self, x: Tensor, q: Tensor) -> Tensor:
        """Decide which ECG is joined to which text (eq 17, 18).

        Args:
            x: (B, M) ECG embeddings.
            q: (C, M) text embeddings.

        Returns:
            (B, C) bool: f_sim above the threshold or, with `neighbours` = k, the k
            texts most similar to each ECG (all, where there are fewer). Without the
            self-loops, which the attention layers add.
        """
        x, q = self._cast(x), self._cast(q)
        with torch.autocast(x.device.type, enabled=False):
            similarity = x @ q.T / self.config.tau  # (B, C), eq 17
        if self.config.neighbours is None:
            return similarity > self.config.threshold  # eq 18
        k = min(self.config.neighbours, len(q))
        nearest = similarity.topk(k, dim=1).indices  # (B, k)
        empty = torch.zeros_like(similarity, dtype=torch.bool)
        return empty.scatter(1, nearest, True)

    @torch.no_grad()
    def attention(self, x: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attention weights of both layers (eq 21; Fig. 7).

        Args:
            x: (B, M) ECG embeddings.
            q: (B, M) text embeddings; any number of rows with the bipartite graph.

        Returns:
            Two dense tensors (heads, n, n) and (1, n, n) whose entry [k, i, j] is the
            weight beta that node i gives node j; each row sums to one. Nodes are the
            B pairs, or with the bipartite graph the ECGs and then the texts.

        Raises:
            ValueError: there is no graph, or the shapes do not fit.
        """
        if self.config.graph == "none":
            raise ValueError('GafaConfig.graph is "none": there is no attention.')
        self._check_shapes(x, q)
        x, q = self._cast(x), self._cast(q)
        with torch.autocast(x.device.type, enabled=False):
            nodes, edges = self._nodes(x, q), self._edges(x, q)
            heads, first = self.layer1(nodes, edges, return_attention_weights=True)
            hidden = F.elu(self.output1(heads))  # (n, hidden)
            _, second = self.layer2(hidden, edges, return_attention_weights=True)
        return _dense(*first, len(nodes)), _dense(*second, len(nodes))

    def graph(
        self, x: Tensor, q: Tensor, group: Group = ALONE
    ) -> tuple[Tensor, Links | Tensor]:
        """Make nodes, and say which attends to which (eq 18, 19).

        Args:
            x: (B, M) ECG embeddings.
            q: (C, M) text embeddings.
            group: as in `forward`.

        Returns:
            Nodes (n, width), and links as the attention layers take them: masks, or
            edges (2, E) whose columns (j, i) let node i attend to node j. Without the
            self-loops, which the layers add.
        """
        nodes = self._nodes(x, q)
        if not self.dense:
            return nodes, self._edges(x, q)
        all_x, all_q = gather_both(x.detach(), q.detach(), group)
        joined = self.adjacency(
            x, all_q
        )  # (B, all texts): what each own ECG attends to
        if self.config.graph == "pair":
            joined.diagonal(group.rank * len(x)).fill_(False)  # that is a self-loop
            return nodes, Links(joined, None, group)
        joining = joined if all_x is x else self.adjacency(all_x, q)
        return nodes, Links(joined, joining.T.contiguous(), group)

    def _nodes(self, x: Tensor, q: Tensor) -> Tensor:
        """Make a node of each pair (eq 19), or one of each ECG and then each text."""
        pair = self.config.graph == "pair"
        return torch.cat([x, q], dim=1 if pair else 0)  # (B, 2M) or (B + C, M)

    def _edges(self, x: Tensor, q: Tensor) -> Tensor:
        """List the edges (2, E) as torch-geometric does: attended to, attending."""
        i, j = self.adjacency(x, q).nonzero(as_tuple=True)  # ECG i is joined to text j
        if self.config.graph == "pair":  # pair i attends to pair j, whose text it is
            return torch.stack([j, i])
        ecg, text = i, j + len(x)  # texts are numbered after the ECGs
        # Each edge both ways: ECGs attend to texts and texts to ECGs.
        return torch.stack([torch.cat([text, ecg]), torch.cat([ecg, text])])

    def _split(self, h: Tensor, n_ecg: int) -> tuple[Tensor, Tensor]:
        """Part the layers' output into its ECG and its text share (eq 23)."""
        if self.config.graph == "pair":
            x_topo, q_topo = h.chunk(2, dim=1)  # columns of one vector
            return x_topo, q_topo
        return h[:n_ecg], h[n_ecg:]  # rows, one node each

    def _cast(self, t: Tensor) -> Tensor:
        """Bring a tensor to the device and the precision of the weights."""
        weight = next(self.parameters(), None)  # there is none without a graph
        return t.float() if weight is None else t.to(weight)

    def _check_shapes(self, x: Tensor, q: Tensor) -> None:
        m = self.embedding_dim
        for name, t in (("x", x), ("q", q)):
            if t.ndim != 2 or t.shape[1] != m:
                raise ValueError(
                    f"{name} has shape {tuple(t.shape)}; expected (rows, {m}), one "
                    "embedding of M numbers in each row."
                )
        if self.config.graph == "pair" and len(x) != len(q):
            raise ValueError(
                f"x has {len(x)} rows and q has {len(q)}: the pair graph makes one "
                'node of each ECG and its own text. Use graph="bipartite" to join '
                "ECGs to a different number of texts."
            )


class Links(NamedTuple):
    """Which of this process's nodes attend to which nodes of all, themselves apart."""

    ecgs: Tensor  # (B, all texts) bool; (B, all pairs) in the pair graph
    texts: Tensor | None  # (C, all ECGs) bool; None in the pair graph
    group: Group


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

    def _attend(self, own: Tensor, others: Tensor, joined: Tensor) -> Tensor:
        """Split the work where its scores are too many; see `_attend_rows`."""
        rows = max(1, BLOCK // (self.heads * max(1, len(others))))
        if len(own) <= rows:
            return self._attend_rows(own, others, joined)
        parts = [
            # Computed again in the backward pass, instead of kept until then.
            checkpoint(
                self._attend_rows,
                some,
                others,
                mask,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for some, mask in zip(own.split(rows), joined.split(rows), strict=True)
        ]
        return torch.cat(parts)

    def _attend_rows(self, own: Tensor, others: Tensor, joined: Tensor) -> Tensor:
        """Compute eq 20 and 21 for some nodes and the nodes they may attend to.

        Args:
            own: (n, N * F) nodes times W; each attends to itself.
            others: (m, N * F) nodes times W.
            joined: (n, m) bool.
        """
        shape = (-1, self.heads, self.out_channels)
        own, others = own.view(shape), others.reshape(shape)  # (n | m, N, F)
        # The vector a in halves: s_i for the node that attends, t_j for its neighbour.
        s = (own * self.att_dst).sum(-1).T  # (N, n)
        t_own = (own * self.att_src).sum(-1).T  # (N, n)
        t = (others * self.att_src).sum(-1).T  # (N, m)
        scores = s[:, :, None] + t[:, None, :]  # (N, n, m)
        scores = scores.masked_fill(~joined, -torch.inf)
        scores = torch.cat([scores, (s + t_own)[:, :, None]], dim=2)  # last: itself
        beta = F.leaky_relu(scores, self.negative_slope).softmax(2)  # (N, n, m + 1)
        h = beta[:, :, :-1] @ others.transpose(0, 1)  # (N, n, F), eq 20
        h = h + beta[:, :, -1:] * own.transpose(0, 1)
        return h.transpose(0, 1).flatten(1) + self.bias  # (n, N * F)


def _dense(edges: Tensor, weights: Tensor, n: int) -> Tensor:
    """Lay edge weights (E, heads) out as matrices (heads, n, n)."""
    source, target = edges
    dense = weights.new_zeros(weights.shape[1], n, n)
    dense[:, target, source] = weights.T
    return dense
