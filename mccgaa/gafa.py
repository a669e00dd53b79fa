"""GAFA: a graph over a batch of ECGs and texts, read by two attention layers.

Section 3.3 of the paper (eq 17-24). The paper describes two graphs. Its equations
make one node of every pair, the concatenation of ECG i and text i; its prose speaks
of a bipartite graph with ECGs on one side and texts on the other. Both are here,
because they differ in what they may know: a pair node holds both halves of its own
answer, a bipartite node does not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mccgaa.config import GafaConfig
from mccgaa.gather import ALONE, Group, Links, gather_both


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
            # torch-geometric takes seconds to load, and a model without a graph none.
            from mccgaa.attention import GraphAttention

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
                bipartite graph it may have any number of rows, such as one per class.
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
        joined = self.adjacency(x, all_q)  # (B, all texts)
        if self.config.graph == "pair":
            joined.diagonal(group.rank * len(x)).fill_(False)  # that is a self-loop
            return nodes, Links(_mask(joined), None, group)
        alone = group.processes == 1
        joining = joined if alone else self.adjacency(all_x, q)  # (all ECGs, C)
        return nodes, Links(_mask(joined), _mask(joining.T), group)

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


def _mask(joined: Tensor) -> Tensor:
    """Make what is added to scores, as in `Links`, of a bool matrix."""
    return torch.where(joined, 0.0, -torch.inf).contiguous()


def _dense(edges: Tensor, weights: Tensor, n: int) -> Tensor:
    """Lay edge weights (E, heads) out as matrices (heads, n, n)."""
    source, target = edges
    dense = weights.new_zeros(weights.shape[1], n, n)
    dense[:, target, source] = weights.T
    return dense
