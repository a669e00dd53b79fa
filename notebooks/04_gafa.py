# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # GAFA: a graph between ECGs and texts

# %% tags=["parameters"]
params: str = "params/synthetic.yaml"  # profile: which data and how long
batch: int = 64  # pairs in a graph
steps: int = 200  # of the leak's training

# %% tags=["hide-input"]
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn.functional import elu, leaky_relu, normalize

from mccgaa.config import GafaConfig
from mccgaa.errors import ConfigError
from mccgaa.gafa import Gafa
from mccgaa.loss import alignment_loss
from mccgaa.model import MCCGAA
from mccgaa.pairs import load_pairs
from mccgaa.runtime import seed_step
from mccgaa_book import claims, page, paper, results
from mccgaa_book.audit import graph, leak
from mccgaa_book.audit import loss as loss_audit
from mccgaa_book.lab import Lab
from mccgaa_book.plots import gafa as plots
from mccgaa_book.plots import style
from mccgaa_book.results import over_seeds

lab = Lab(params)
page.start(lab)

# %% [markdown]
# **What the paper claims here.** Section 3.3 (equations 17 to 24): the similarities of a batch of
# ECGs and reports make a graph; a graph attention network (GAT) reads it; its output, the
# "topology", is joined to the embeddings before they are compared. Table 4: without it the
# AUROC of CPSC2018 falls by 3 points, while Super rises by 3. Table 6: of four sizes
# (64, 32) is called relatively good, and kept. Figure 7: attention goes "from diffuse exploration to precise focusing".
#
# **What you will have at the end.** Every equation of the section computed on a batch of ECGs; the
# two graphs that the paper describes as if they were one; a demonstration that one of them can
# match ECGs and texts that have nothing to do with each other; a test of whether
# a trained model does so; and what the heat maps of Figure 7 can and cannot show.
#
# **What it needs.** One pretrained run with the bipartite graph, loaded or trained on the way. The module
# is `mccgaa/gafa.py`, the audits are `mccgaa_book/audit/graph.py` and `leak.py`.

# %% [markdown]
# ## A batch
#
# The graph is built anew for every batch, from the embeddings of its ECGs, $X^e$, and of their
# texts, $Q^e$. We take one batch of held-out pairs: records of subjects that the model was
# not trained on, each with its own text. Row $i$ of both matrices is one pair. The run is that of the
# variant with the bipartite graph.

# %%
graphs = {v: lab.config(v).model.gafa.graph for v in lab.variants}
if "bipartite" not in graphs.values():
    raise ConfigError(f"{params} has no variant with graph: bipartite; add one.")
variant = next(v for v, kind in graphs.items() if kind == "bipartite")
run = lab.run(variant)
store = lab.store("pretrain")
corpus = load_pairs(store, run.config, lab.knowledge, progress=False)


# %%
@torch.no_grad()
def embed(model, rows):
    """Embeddings of some pairs: (n, M) and (n, M), unit rows."""
    signals = torch.from_numpy(store.batch(rows))  # (n, leads, T)
    vectors = corpus.vectors[corpus.text_of[rows]]  # (n, d)
    return model.encode_ecg(signals).float(), model.encode_text(vectors).float()


# %%
rows = corpus.held_out[:batch]
x, q = embed(run.model, rows)
B, M = x.shape
distinct = len(q.unique(dim=0))
page.glue("pairs", B)
page.glue("width", M)
page.glue("distinct", distinct)
print(f"X^e: {B} x {M}, Q^e: {q.shape[0]} x {q.shape[1]}")

# %% [markdown]
# The batch has {glue:text}`pairs` pairs of width $M$ = {glue:text}`width`, but only
# {glue:text}`distinct` distinct texts: ECGs with the same finding carry the same words. That will
# matter below.
#
# ## Who is joined to whom
#
# $$
# f_{sim}(i, j) = \frac{X_i^e \cdot Q_j^e}{\tau}
# \qquad\qquad
# A_{ij} = \begin{cases} 1 & f_{sim}(i, j) > \text{threshold} \\ 0 & \text{otherwise} \end{cases}
# $$ (eq-gafa-17-18)

# %%
config = run.config.model.gafa
f_sim = x @ q.T / config.tau  # (B, B), eq 17
A = f_sim > config.threshold  # (B, B), eq 18
edges = A.float().mean()
page.glue("density", edges, ".0%")
page.glue("tau", config.tau)
page.glue("threshold", config.threshold)
torch.equal(A, run.model.gafa.adjacency(x, q))

# %% [markdown]
# `Gafa.adjacency` holds these two equations:
#
# ```{package-code} mccgaa/gafa.py
# :pyobject: Gafa.adjacency
# ```
#
# Both sides have length one, so $f_{sim}$ is a cosine divided by $\tau$ = {glue:text}`tau`, and lies
# between $-1/\tau$ and $1/\tau$. At the threshold used here, {glue:text}`threshold`, an edge says no more
# than "the angle is below 90 degrees": {glue:text}`density` of all possible edges are present.
#
# :::{admonition} Reading note: a threshold without a value
# :class: warning
# Equation 18 compares with "threshold", and the paper never says what it is. It decides what kind
# of graph this is. Among random directions it is nearly complete below zero and nearly empty a little above,
# with nodes that have no neighbour at all, for which the softmax of equation 21 is undefined; pretraining
# spreads the similarities and moves both ends. We keep 0 as the default, give
# every node a self-loop so that no neighbourhood is empty, and sweep the rest. `neighbours: k` in the
# configuration joins each ECG to its k most similar texts instead.
#
# The step in equation 18 also has no derivative: nothing in the training can
# improve the choice of edges, except by moving the embeddings themselves.
# :::
#
# Turn it, for eight drawn pairs:
#
# :::{widget} threshold
# :::

# %%
thresholds = [-6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6]
generator = torch.Generator().manual_seed(0)
x_random, q_random = (loss_audit.unit_rows(B, M, generator) for _ in range(2))
sweeps = {
    "After pretraining": graph.graph_by_threshold(x, q, thresholds, config.tau),
    "Random directions": graph.graph_by_threshold(
        x_random, q_random, thresholds, config.tau
    ),
}

# %% mystnb={"figure": {"name": "fig-threshold", "caption": "What the threshold of equation 18 makes of the graph, for one batch after pretraining and for random directions of the same width."}, "image": {"alt": "Two panels of curves against the threshold. For both, the share of edges falls from one to zero as the threshold rises, the share of ECGs without neighbours rises, and edges become one-way. After pretraining the ECGs keep their edge to their own text for longer."}}
plots.threshold_sweep(sweeps)
plt.show()

# %%
swept = sweeps["After pretraining"].drop(columns="empty_columns")

# %% tags=["hide-input"]
page.table(
    swept.rename(columns={"empty_rows": "no neighbour", "own": "own text"}),
    "gafa-threshold",
    "The threshold of equation 18 swept on one held-out batch; shares of 1.",
    lab=lab,
)
first_empty = swept.loc[swept["empty_rows"] > 0, "threshold"].min()
page.glue(
    "first-empty",
    f"from {first_empty:g} on"
    if first_empty == first_empty
    else "at none of these thresholds",
)
page.glue("one-way", swept.set_index("threshold").loc[0, "one_way"], ".0%")

# %% [markdown]
# An ECG of this batch is without a neighbour {glue:text}`first-empty` in the table.
# {numref}`fig-threshold` also shows that $A$ is no symmetric matrix: at threshold 0,
# {glue:text}`one-way` of the edges $i \to j$ have no way back. Row $i$ is an ECG and column $j$ a text, so
# there is no reason why $A_{ij}$ should equal $A_{ji}$. For which graph is that a problem?
#
# ## Two graphs in one section
#
# $$
# C^{xr} = X^e \parallel Q^e \in \mathbb{R}^{B \times 2M}
# $$ (eq-gafa-19)
#
# :::{admonition} Reading note: bipartite in words, pairs in symbols
# :class: warning
# The prose says "bipartite graph, where ECG embeddings and diagnostic text embeddings serve as two
# heterogeneous node types": $2B$ nodes, edges only between the kinds. The equations say something else.
# Equation 19 sets the ECG and the text of pair $i$ side by side in one vector, equation 20 makes that vector
# a node ($W \in \mathbb{R}^{2M \times F}$), and equation 22 has $B$ rows. Then $A$, whose entry
# $ij$ speaks of ECG $i$ and text $j$, is used as if it joined pair $i$ to pair $j$: a directed
# graph. Both are in `mccgaa/gafa.py`, as `graph="pair"` and `graph="bipartite"`.
# :::

# %% mystnb={"figure": {"name": "fig-two-graphs", "caption": "The same dozen pairs as the equations join them and as the prose does. Random directions, threshold 1."}, "image": {"alt": "Two adjacency matrices. Left, twelve pair nodes with mostly one-way edges scattered on both sides of the diagonal of self-loops. Right, twelve ECG nodes and twelve text nodes with edges only in the two off-diagonal blocks, each both ways."}}
sparse = Gafa(GafaConfig(threshold=1.0), M)
with style.unmarked():
    plots.two_graphs(sparse.adjacency(x_random, q_random)[:12, :12])
plt.show()

# %%
both = graph.graph_readings(batch=B, classes=5)
page.table(
    both.rename_axis("property"),
    "gafa-graphs",
    "The two readings of section 3.3, read off the modules.",
)

# %% [markdown]
# The fourth row is the important one. Give every ECG another partner, with the same texts in the
# batch: the bipartite graph returns the same ECG embeddings as before, because nothing in it says which
# text belongs to which ECG. The pair graph returns others. It *knows the answer* that the loss is about to
# ask for. The last row follows from the same fact: at inference, when there are classes and no
# partners, only the bipartite graph can be built.
#
# ## One head of attention
#
# $$
# h_i = \sum_{j \in \mathcal{N}(i)} \beta_{ij}\, C_j W
# \qquad\qquad
# \beta_{ij} = \frac{\exp\left(a^T [C_i W \parallel C_j W]\right)}
# {\sum_{s \in \mathcal{N}(i)} \exp\left(a^T [C_i W \parallel C_s W]\right)}
# $$ (eq-gafa-20-21)
#
# :::{admonition} Reading note: shapes that do not multiply
# :class: warning
# Equation 20 writes $C_j W$, equation 21 $W C_i$; with $W \in \mathbb{R}^{2M \times F}$ only the first
# exists. The letter $H$ stands for three things: half the length of $a$ (it must be $F$), a factor in
# the shape of $W_O$ (again $F$), and the output matrix itself. [](#table-gafa-shapes) multiplies zeros of
# the printed shapes.
# :::

# %%
shapes = graph.attention_shapes(m=M, f=config.output, n=config.heads)
page.table(shapes, "gafa-shapes", "The products of equations 20 to 22 as written.")

# %% [markdown]
# With shapes repaired, one head takes four lines. $a$ is split in two halves, one for the node that
# attends and one for its neighbour, so that the exponent is a sum $s_i + t_j$.

# %%
pair = Gafa(GafaConfig(graph="pair"), M).requires_grad_(False)
layer = pair.layer1
C = torch.cat([x, q], dim=1)  # (B, 2M), eq 19
neighbours = pair.adjacency(x, q) | torch.eye(B, dtype=torch.bool)  # self-loops

# %%
F = layer.out_channels
CW = C @ layer.lin.weight[:F].T  # (B, F): C_j W of the first head, eq 20
s = CW @ layer.att_dst[0, 0]  # (B,): the half of a that meets C_i W
t = CW @ layer.att_src[0, 0]  # (B,): the half of a that meets C_j W


# %%
def attend(scores):
    """Eq 21: a softmax over each node's neighbours."""
    return scores.masked_fill(~neighbours, -torch.inf).softmax(dim=1)


beta = attend(leaky_relu(s[:, None] + t[None, :], 0.2))  # (B, B)
h = beta @ CW  # (B, F), eq 20
torch.allclose(beta, pair.attention(x, q)[0][0], atol=1e-6)

# %% [markdown]
# That `True` is the layer of torch-geometric {cite}`fey2019pyg` that we use, agreeing with the equation, except
# for one thing that the equation does not have: the LeakyReLU of the original GAT
# {cite}`velickovic2018gat`. It reads a list of edges, which suits sparse graphs, such as those of `neighbours`.
# A threshold of 0 joins half of all nodes, and then matrices with a mask, as in these four lines, are several times
# as fast: `mccgaa/attention.py` computes the same layer that way, with the same weights. What happens without
# LeakyReLU?

# %%
literal = attend(s[:, None] + t[None, :])  # eq 21 to the letter
without_s = attend(t[None, :].expand(B, B))
cancelled = (literal - without_s).abs().max()
page.glue("cancelled", cancelled, ".1e")

# %% [markdown]
# :::{admonition} Reading note: without LeakyReLU a node does not look at itself
# :class: warning
# To the letter, $a^T[C_i W \parallel C_j W] = s_i + t_j$, and $e^{s_i}$ is in the numerator and in
# every term of the denominator: it cancels. The attention then depends on the neighbour alone and half of
# $a$ is never used; removing $s_i$ changes the weights by {glue:text}`cancelled`, which is rounding.
# We put the LeakyReLU back (slope 0.2), as in the GAT paper. It does not repair everything, as
# Figure 7 will show.
# :::
#
# ## Two layers, then halves
#
# $$
# H = (h_1 \parallel \dots \parallel h_N)\, W_O
# \qquad\qquad
# (X^{topo} \parallel Q^{topo}) = H
# $$ (eq-gafa-22-23)
#
# $$
# (X^{fuse}, Q^{fuse}) = (X^{topo} \parallel X^e,\; Q^{topo} \parallel Q^e)
# $$ (eq-gafa-24)
#
# The paper's sizes are (64, 32): four heads of 16 side by side in the first layer, an ELU, one head of
# $F$ = 32 in the second. $W_O$ is the identity, since the joined heads are already as wide as
# the layer; `output_matrix: true` makes it a learned matrix. The result is cut down the middle.

# %%
nodes, links = pair.graph(x, q)
hidden = elu(pair.layer1(nodes, links))  # (B, 64)
H = pair.layer2(hidden, links)  # (B, 32)
x_topo, q_topo = H.chunk(2, dim=1)  # (B, 16) each, eq 23
x_fuse = torch.cat([x_topo, x], dim=1)  # (B, M + 16), eq 24
torch.equal(x_fuse, pair(x, q)[0])

# %% [markdown]
# The module does the same, for both graphs:
#
# ```{package-code} mccgaa/gafa.py
# :pyobject: Gafa.forward
# ```
#
# Look at `chunk` once more. $X^{topo}_i$ and $Q^{topo}_i$, which the loss will ask to be alike, are two
# halves of *one* vector, computed from $x_i$ and $q_i$ together. If the second
# half of the last weight matrix repeats the first, they are equal whatever the ECG and whatever the text.
#
# ## The leak
#
# Take vectors that have nothing to do with each other: random directions, no ECG, no text. Write the
# weights by hand: equal halves in layer 2, scaled up so that the topology outweighs the rest.
#
# ```{package-code} mccgaa_book/audit/leak.py
# :pyobject: leaking_gafa
# ```
#
# Then ask how often an "ECG" finds its own "text" among 64.

# %%
by_hand = leak.built_by_hand([leak.EVERYTHING, -1.0, 0.0, 1.0, 2.0, leak.NOTHING])
by_hand["threshold"] = ["all edges", "-1", "0", "1", "2", "self-loops only"]
page.table(
    by_hand,
    "gafa-leak-by-hand",
    "Recall at 1 between unrelated random vectors, weights written by hand; neighbours are "
    "counted with the self-loop.",
    digits=3,
)
page.glue("hand-fused", by_hand.loc[2, "fused"], ".3f")
page.glue("hand-backbone", by_hand.loc[2, "backbone"], ".3f")

# %% [markdown]
# At threshold 0 the fused embeddings find {glue:text}`hand-fused` of the partners, the embeddings
# themselves {glue:text}`hand-backbone`, which is chance. Only the complete graph is safe, since
# there all nodes see the same neighbours and end up with the same topology.
#
# Does training find such weights? Here only the graph attention is trained, with the loss of
# section 3.4, on new random directions at every step: there is nothing to learn about them.
# Retrieval is measured on directions that were never trained on.
#
# ```{package-code} mccgaa_book/audit/leak.py
# :pyobject: learned
# ```

# %%
learned = leak.learned(steps=steps, batch=64)

# %% mystnb={"figure": {"name": "fig-leak", "caption": "Retrieval between unrelated random vectors while only the graph attention is trained. Each line is one threshold, named by how many texts equation 18 joins an ECG to on average, self-loops apart."}, "image": {"alt": "Two panels of held-out recall at 1 against training steps. In the pair graph the lines with few neighbours rise to one, the line with nine neighbours rises part of the way, and the line with thirty-two stays at chance. In the bipartite graph all lines stay at chance."}}
with style.unmarked():
    plots.leak_curves(learned)
plt.show()

# %%
last = learned[learned["step"] == learned["step"].max()]
final = last.pivot(index="neighbours", columns="graph", values=["fused", "loss"])
floor = 2 * torch.log(torch.tensor(64.0))
page.table(
    final,
    "gafa-leak",
    "The leak after training: recall at 1 and loss; self-loops are no neighbours here.",
    digits=3,
)
page.glue("ignorance", floor, ".3f")
page.glue("pair-best", final["fused", "pair"].max(), ".3f")
page.glue("bipartite-best", final["fused", "bipartite"].max(), ".3f")
page.glue("pair-loss", final["loss", "pair"].min(), ".3f")

# %% [markdown]
# In the pair graph recall reaches {glue:text}`pair-best` and the loss falls to
# {glue:text}`pair-loss`; in the bipartite graph recall is {glue:text}`bipartite-best` at most at the last step, and the loss
# stays at $2 \ln 64$ = {glue:text}`ignorance`, which is what knowing nothing costs. With many neighbours
# descent does not find the hand-written solution in these steps: averaging over half the batch leaves all
# topologies nearly alike. Every edge that training removes makes the leak easier.
#
# :::{admonition} Reading note: a falling loss is no evidence of alignment
# :class: warning
# With pair nodes, $\mathcal{L}_{cma}$ can fall to zero while ECGs and texts have nothing in
# common. Figure 3 of the paper, in which MCCGAA's loss falls faster and further than others', is what a leak
# would look like too. Worse, a loss that is already low asks nothing more of the encoders. Only
# measurements on the backbone embeddings, without the topology, can show what was aligned. And note what was
# shown so far: that the pair graph *can* do this, with random vectors. Whether a run on ECGs did is another
# question.
# :::
#
# ## Does it happen in a trained run?
#
# Every variant of the profile was pretrained; after the last epoch each run was asked for the text of
# every held-out ECG, with its backbone embeddings and with the fused ones. Recall at 5, and the cross-modal
# loss on the held-out pairs (the CLIP loss counts half, and so does its floor):

# %%
columns = {
    "ecg_to_text_r5": "recall at 5, backbone",
    "fused_ecg_to_text_r5": "recall at 5, fused",
    "final_loss": "loss at the end",
    "loss_floor": "its floor",
}
measured = lab.results("pretraining").frame.query("split == 'val'")
retrieval = pd.DataFrame(
    {name: over_seeds(measured, ["variant"], name)["mean"] for name in columns}
)
retrieval.insert(0, "graph", [graphs[v] for v in retrieval.index])
moved = retrieval["fused_ecg_to_text_r5"] - retrieval["ecg_to_text_r5"]
by_graph = moved.abs().groupby(retrieval["graph"]).max()
page.glue("others-moved", by_graph.drop("pair", errors="ignore").max(), ".4f")
page.glue("pair-moved", moved[retrieval["graph"] == "pair"].max(), ".3f")
page.glue("held-out", len(corpus.held_out))

# %% tags=["hide-input"]
page.table(
    retrieval.rename(index=lab.variants, columns=columns).rename_axis("model"),
    "gafa-runs",
    "Held-out retrieval, loss and floor after pretraining, mean over seeds.",
    lab=lab,
    digits=3,
)

# %% [markdown]
# For the backbone, equal texts are one text. Behind the graph copies count as one only where they stay equal. In the
# pair graph none do, for each carries its ECG; in the bipartite graph those of one batch do (exercise 2), and those
# of two batches differ by the neighbours that they met there. That alone makes hits rarer.
#
# So in the *pair graph* a fused recall clearly above the backbone's points to texts that the partner in the
# node has given away: a leak of retrieval. There it rises by {glue:text}`pair-moved`. Of other graphs the same
# comparison says nothing: a bipartite node does not know its partner. Where its two columns differ, by
# {glue:text}`others-moved` at most, texts were ranked by another similarity, to which every batch adds a little of
# its own, and of {glue:text}`held-out` ECGs a few fall on the other side of rank 5. Without a graph the columns are equal.
#
# Even a leak of retrieval is not yet a loss "without alignment": for that the loss would have to lie below its
# floor, the least that equal texts allow, and both columns are there to compare.
#
# The control that decides is another, in [](#table-gafa-leak-run). Give each ECG its neighbour's text as partner and ask again, in the run of
# this chapter and in one of the pair graph. A model that has aligned ECGs with their
# texts will not retrieve the wrong text; one that leaks will, because the node says so. `right` is the share of
# own texts found, `wrong` the share of wrong partners found, in batches as in training; equal texts count as one.

# %%
finished = [v for v, g in graphs.items() if g == "pair" and lab.finished(v, 0)]
size = min(batch, len(corpus.held_out))
tests = {}
for name in [variant, *finished[:1]]:
    model = lab.run(name).model
    held = embed(model, corpus.held_out)  # (n, M) each
    tests[graphs[name]] = leak.retrieval_with_and_without_fused(
        *held, model.gafa, batch=size
    )
tests = pd.concat(tests, names=["graph"])

# %% tags=["hide-input"]
page.table(
    tests,
    "gafa-leak-run",
    "Held-out recall at 1 with right and with wrong partners.",
    lab=lab,
    digits=3,
)
for kind in ("bipartite", "pair"):
    for part in ("backbone", "topology"):
        values = tests.to_dict("index").get((kind, part), {})
        for column in ("right", "wrong"):
            page.glue(f"{kind}-{part}-{column}", values.get(column), ".3f")
page.glue("run-fused", tests.loc[("bipartite", "fused"), "right"], ".3f")

# %% [markdown]
# In the bipartite graph the backbone finds {glue:text}`bipartite-backbone-right` of the right texts, the topology
# {glue:text}`bipartite-topology-right`, both together {glue:text}`run-fused`. With wrong partners the backbone
# "finds" {glue:text}`bipartite-backbone-wrong` (by luck: common texts are hit more often than rare ones), the
# topology {glue:text}`bipartite-topology-wrong`. The backbone's number is the yardstick: what the topology finds of
# wrong partners beyond it, the node has given away. The bipartite graph has nothing to give away; the pair graph
# has, and there the two numbers are {glue:text}`pair-backbone-wrong` for the backbone and
# {glue:text}`pair-topology-wrong` for the topology.
#
# Last: is the loss of this batch lower than it could honestly be? Where $m$ ECGs of a batch carry the same
# text, no encoder can distinguish the copies, and each direction of the loss costs at
# least $\ln m$ there. A loss below that floor has used something else, and a backbone loss
# above $2 \ln B$ says that the embeddings alone are worse than ignorance.

# %%
floors = loss_audit.duplicate_floor(q)
backbone_loss = alignment_loss(x, q, run.config.model.loss.tau)
with torch.no_grad():
    fused_loss = alignment_loss(*run.model.gafa(x, q), run.config.model.loss.tau)
page.glue("floor", floors, ".2f")
page.glue("loss-backbone", backbone_loss, ".2f")
page.glue("loss-fused", fused_loss, ".2f")

# %% [markdown]
# For this batch the floor is {glue:text}`floor`, the loss of the backbone embeddings
# {glue:text}`loss-backbone` and of the fused ones {glue:text}`loss-fused`.
#
# ## Figure 7: what attention maps show
#
# The paper prints attention maps of three epochs, in which the largest weight grows from about 0.05
# to 0.16 and prominent horizontal "resonance" bands "signify the formation of diagnostic anchors". We draw the same maps for
# the weights before training and for those kept on the way, on the same held-out pairs. One more map is a
# control: the embeddings of the finished run, read by a graph layer that was *never trained*.

# %%
seed_step(0)
untrained = MCCGAA(run.config.model).eval()
stages = {"untrained": untrained}
for epoch in run.config.pretrain.snapshots:
    if epoch < run.config.pretrain.epochs:  # the last one is the end
        stages[f"epoch {epoch}"] = run.snapshot(epoch)
stages["end"] = run.model

# %%
shown = rows[:32]
maps = {n: m.gafa.attention(*embed(m, shown))[0] for n, m in stages.items()}
control = "end, untrained layer"
maps[control] = untrained.gafa.attention(*embed(run.model, shown))[0]

# %%
summary = pd.concat({n: graph.attention_summary(w) for n, w in maps.items()})
summary = summary.groupby(level=0, sort=False).mean().rename_axis("stage")

# %% mystnb={"figure": {"name": "fig-attention", "caption": "Attention of the first layer, mean over heads, before, during and after pretraining, and of an untrained layer on the trained embeddings: 32 held-out ECGs (rows) attend to their 32 texts (columns). Each map has its own colour scale, finer near zero; the darkest is no edge, and the square marks the largest weight. Last panel: the entropy of a node's weights over that of uniform attention, which an epoch with fewer neighbours cannot lower by itself."}, "image": {"alt": "Heat maps of attention weights from thirty-two ECGs to thirty-two texts, one map per training stage and one of an untrained layer on the embeddings of the trained run. Where ECGs have many neighbours, vertical bands run through the map: columns that many rows attend to."}}
plots.attention_stages(
    {
        name: weights.mean(0)[: len(shown), len(shown) :]  # ECGs to texts
        for name, weights in maps.items()
    },
    entropy=summary["entropy"].drop(control),
)
plt.show()

# %% tags=["hide-input"]
page.table(
    summary,
    "gafa-attention",
    "Attention of layer 1, mean of its heads and of all nodes, ECGs and texts, with their "
    "self-loops; the maps above show ECGs attending to texts alone. Only the largest weight is no "
    "mean over nodes: it is the largest of a head.",
    lab=lab,
    digits=3,
)
page.glue("order", summary["one_order"].drop(control).min(), ".3f")
order_control = summary.loc[control, "one_order"]
page.glue("order-control", order_control, ".3f")
summary = summary.drop(index=control)
page.glue("neighbours-first", summary["neighbours"].iloc[0], ".1f")
page.glue("neighbours-last", summary["neighbours"].iloc[-1], ".1f")
page.glue("peak-first", summary["largest"].iloc[0], ".2f")
page.glue("peak-last", summary["largest"].iloc[-1], ".2f")
page.glue("entropy-last", summary["entropy"].iloc[-1], ".3f")
page.glue("focus-first", summary["focus"].iloc[0], ".2f")
page.glue("focus-last", summary["focus"].iloc[-1], ".2f")

# %% [markdown]
# Read [](#table-gafa-attention) from the top. `neighbours` goes from {glue:text}`neighbours-first` to
# {glue:text}`neighbours-last`, the largest weight from {glue:text}`peak-first` to {glue:text}`peak-last`.
# The weights of a node sum to one, so their mean is one over the number of neighbours *whatever
# is learned*; `focus` takes that out: a node's largest weight times its number of neighbours, 1
# when attention is uniform. It goes from {glue:text}`focus-first` to {glue:text}`focus-last`. `entropy` says the same in
# another unit: 1 is uniform attention, 0 all weight on one neighbour, whatever their number; at the end it is
# {glue:text}`entropy-last`.
#
# :::{admonition} Reading note: bands need no trained attention
# :class: warning
# The score of neighbour $j$ is $\operatorname{LeakyReLU}(s_i + t_j)$, which rises with $t_j$ whatever $i$ is.
# So all nodes rank their common neighbours in the same order, and a map must show
# bands: columns (or rows, if drawn transposed) that everybody attends to. `one order` is the share of
# comparisons that follow that order: {glue:text}`order` at least in the maps of the run, wherever there is anything to
# compare, and {glue:text}`order-control` in the map of the layer that was never trained, on the same embeddings
# as the end. Brody and
# others {cite}`brody2022gatv2` call this static attention and propose GATv2, in which the ranking may differ. And a peak that
# triples, from 0.05 to 0.16, is what 20 neighbours shrinking to 6 would do with uniform
# attention: to show focusing, weights must be compared at equal numbers of neighbours.
# :::
#
# How far does the threshold alone move the peak? An untrained layer on the trained embeddings of the whole batch:

# %%
peaks = pd.DataFrame(
    [
        {"threshold": v, **graph.attention_summary(g.attention(x, q)[0]).mean()}
        for v in (-2.0, 0.0, 1.0, 2.0)
        for g in [Gafa(replace(config, threshold=v), M)]
    ]
)
page.table(
    peaks.drop(columns="mean"),
    "gafa-peaks",
    "An untrained layer at four thresholds: neighbours, peak, focus, and the share of "
    "comparisons in one order.",
    lab=lab,
    digits=3,
)

# %% [markdown]
# ## Zero-shot: what becomes of the topology
#
# :::{admonition} Reading note: trained with M + F/2 columns, used with M
# :class: warning
# The loss compares $X'$ with $M + F/2$ columns (equation 25). At zero-shot the ECG "is encoded using the pre-trained
# ECG backbone embedding", $M$ columns, and there is no partner text from which a pair node could be made. So
# GAFA, in the equations' reading, is thrown away after pretraining: it can only act through what its
# gradients did to the encoders. Nor is the "simple linear layer" of section 3.4
# ever trained; the class score is a cosine.
# :::

# %%
classes = loss_audit.unit_rows(5, M, generator)
try:
    pair(x, classes)
except ValueError as error:
    print(error)

# %% [markdown]
# The bipartite graph can be built from a batch of ECGs and the class texts. Its price: the score
# of an ECG then depends on the other ECGs in the batch.

# %%
bipartite = Gafa(GafaConfig(graph="bipartite"), M).requires_grad_(False)


def scores(x_fuse, q_fuse):
    """Cosines of ECGs and classes."""
    return normalize(x_fuse, dim=1) @ normalize(q_fuse, dim=1).T


whole = scores(*bipartite(x, classes))
half = scores(*bipartite(x[: B // 2], classes))
page.glue("company", (whole[: B // 2] - half).abs().max(), ".3f")

# %% [markdown]
# With half of the batch taken away, the scores of the other half move by up to
# {glue:text}`company` (untrained weights). The run of this chapter, tested zero-shot with and without the
# topology, all test records of a task in one graph:

# %%
scored = {
    name: {
        task: 100 * result.macro_auroc
        for task, result in lab.zero_shot(variant, fused=fused).items()
    }
    for name, fused in (("backbone", False), ("fused", True))
}
table = pd.DataFrame(scored).rename_axis("task")
page.table(
    table,
    "gafa-zero-shot",
    "Macro AUROC x 100, zero-shot, of this page's run (seed 0); chapter 7 has means over seeds.",
    lab=lab,
)

# %% [markdown]
# What the paper reports for the module as a whole, from its Tables 4 and 6:

# %%
ablation = paper.table(4).loc[["MCGAA", "w/o GAT"]]
ablation.loc["difference"] = ablation.iloc[0] - ablation.iloc[1]
page.table(
    ablation.add_suffix(" (paper)"),
    "gafa-paper-4",
    "Table 4 of the paper: AUROC x 100 with and without the graph attention.",
)

# %%
sizes = paper.table(6)
page.table(
    sizes.add_suffix(" (paper)"),
    "gafa-paper-6",
    "Table 6 of the paper: sizes of the two layers.",
)
means = sizes.drop(index="avg AUC")["Avg. AUC"]
page.glue("best-size", means.idxmax())
page.glue("best-size-mean", means.max(), ".2f")
page.glue("called-best", means["(64, 32)"], ".2f")

# %% [markdown]
# :::{admonition} Reading note: what the tables say of GAFA
# :class: warning
# Table 4 has the full model *below* the one without graph attention on Super and Sub. In Table 6,
# {glue:text}`best-size` has the best mean, {glue:text}`best-size-mean`, though (64, 32), with
# {glue:text}`called-best`, is the size that is kept as "relatively good". And its text, "1/4, 1/2, and 2 times the original embedding vector
# length", fits hidden widths of 32, 64 and 256 only if $M$ = 128, while Figures 5 and 6 show 256.
# Each number is one run, without a spread.
# :::
#
# ## What this page found
#
# Section 3.3 describes two graphs. Only the bipartite one matches its prose, works with class texts, and cannot see which
# text belongs to which ECG. Zero-shot uses neither: GAFA is an auxiliary task during pretraining, and its worth is measured by
# leaving it out.

# %% tags=["remove-input"]
on_real = [r for r in results.published("pretraining") if r.synthetic is False][:1]
leaks = []
for found in on_real:
    val = found.frame[found.frame["split"] == "val"]
    recall, fused, loss, floor = (
        over_seeds(val, ["variant"], name)["mean"] for name in columns
    )
    if {"pair", "bipartite"} <= set(recall.index):
        side = "above" if loss["pair"] > floor["pair"] else "below"
        leaks.append(
            claims.claim(
                f"On real ECGs the pair graph, whose loss ends {side} the floor of its "
                "texts, finds more texts than its encoders aligned; the bipartite graph "
                "does not.",
                fused["pair"] > recall["pair"]
                and fused["bipartite"] <= recall["bipartite"],
                f"held-out recall at 5, fused and backbone: {fused['pair']:.2f} and "
                f"{recall['pair']:.2f} (pair), {fused['bipartite']:.2f} and "
                f"{recall['bipartite']:.2f} (bipartite); loss {loss['pair']:.2f}, floor "
                f"{floor['pair']:.2f}",
            )
        )
in_runs = []
if "pair" in tests.index.unique("graph"):
    beyond = tests["wrong"].unstack("graph").loc[["backbone", "topology"]]
    gain = beyond.diff().loc["topology"]
    ecgs = "simulated" if lab.synthetic else "real"
    in_runs.append(
        claims.claim(
            f"On {ecgs} ECGs the topology of a trained pair graph retrieves wrong "
            "partners, and that of a bipartite graph does not.",
            gain["pair"] > 0.05 and gain["bipartite"] < 0.02,
            "wrong partners found, one run each, topology and backbone: "
            + ", ".join(
                f"{beyond.loc['topology', kind]:.3f} and "
                f"{beyond.loc['backbone', kind]:.3f} ({kind})"
                for kind in ("pair", "bipartite")
            ),
        )
    )
claims.show(
    *leaks,
    *claims.on_real("pair", "bipartite"),
    *in_runs,
    claims.claim(
        "Between vectors with nothing in common the pair graph of the equations learns to "
        "retrieve, and the bipartite graph of the prose never does.",
        final["fused", "pair"].max() > 0.9 and final["fused", "bipartite"].max() < 0.1,
        f"recall at 1: {final['fused', 'pair'].max():.2f} and "
        f"{final['fused', 'bipartite'].max():.2f}",
    ),
    claims.claim(
        "Bands in an attention map need no training of the attention.",
        order_control > 0.99,
        f"{order_control:.1%} of the comparisons follow one order in an untrained layer",
    ),
)

# %% [markdown]
# ## Exercises
#
# Who is joined to whom, and who knows what? Decide first; the answers fold out, and each is computed.
#
# 1. Halve $\tau$ in equation 17 and double the threshold in equation 18. What becomes of the graph? So how many settings are
# the two together?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# Nothing changes: an edge asks whether the cosine is above tau times the threshold, so
# for the graph the two settings are one.
for threshold in (0.5, 1.0, 2.0):
    one = Gafa(replace(config, threshold=threshold), M)
    other = Gafa(replace(config, threshold=2 * threshold, tau=config.tau / 2), M)
    edges_of_one, edges_of_other = one.adjacency(x, q), other.adjacency(x, q)
    print(f"threshold {threshold}: {edges_of_one.sum()} edges, {edges_of_other.sum()}")
    assert torch.equal(edges_of_one, edges_of_other)

# %% [markdown]
# 2. Two ECGs of a batch carry the same text, word for word. Are the two copies still equal behind the graph? Answer for the
# bipartite and for the pair graph, then say what each answer means for the floor of the loss.

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# Bipartite: yes, for equal nodes with equal neighbours stay equal, and so the floor
# holds. Pair: no, each copy has its own ECG in it, and the loss may sink below the floor.
copied = q_random.clone()  # directions at random, as ECGs that all differ
copied[1] = copied[0]
part = {}
for kind in ("bipartite", "pair"):
    seed_step(0)
    layers = Gafa(replace(config, graph=kind), M).requires_grad_(False)
    _, fused_texts = layers(x_random, copied)
    part[kind] = (fused_texts[0] - fused_texts[1]).abs().max().item()
    print(f"{kind}: the copies differ by {part[kind]:.1e}")
assert part["bipartite"] < 1e-5 < part["pair"]

# %% [markdown]
# 3. Take the layers that leak by construction, with self-loops only, and blind their nodes to the texts: set the half of $W$
# that reads $Q^e$ to zero. Does the leak end? If not, cut what has to be cut.

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# No: the text's half of the topology is still computed from its ECG. The leak ends once
# no path leads from one side of a pair to the other's half: ECGs alone, texts alone.
leaky = leak.leaking_gafa(leak.NOTHING)
wide = leaky.embedding_dim
generator = torch.Generator().manual_seed(2)
a, b = (loss_audit.unit_rows(64, wide, generator) for _ in range(2))
recalls = {"as built": leak.recall(*leaky(a, b))}
nobody = torch.zeros_like(a)
recalls["both paths cut"] = leak.recall(leaky(a, nobody)[0], leaky(nobody, b)[1])
leaky.layer1.lin.weight[:, wide:] = 0  # the columns that read the text
recalls["blind to texts"] = leak.recall(*leaky(a, b))
print("; ".join(f"{name}: {found:.2f}" for name, found in recalls.items()))
assert min(recalls["as built"], recalls["blind to texts"]) > 0.9
assert recalls["both paths cut"] < 0.2
