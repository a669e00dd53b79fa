# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Ablations

# %% tags=["parameters"]
params: str = "params/real.yaml"  # profile: which data and how long
other: str = ""  # another profile, whose results are shown beside; empty: none

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy import stats

from mccgaa.model import MCCGAA
from mccgaa.pairs import load_pairs
from mccgaa.runtime import seed_step
from mccgaa_book import claims, page, paper, results
from mccgaa_book.audit.graph import attention_summary
from mccgaa_book.lab import Lab
from mccgaa_book.noise import printed_floor
from mccgaa_book.plots import ablations as plots
from mccgaa_book.plots.gafa import attention_stages
from mccgaa_book.results import MEAN
from mccgaa_book.rows import against, beyond, floor_of, labels, macro, means, narrow

lab = Lab(params)
labs = [lab, *([Lab(other)] if other else [])]
page.start(*labs)

# %% [markdown]
# **What the paper claims here.** Section 4.5 and Table 4: removing the graph attention, the log-sum-exp loss or the channel
# attention costs AUROC "across datasets", so that "each module contributes to MCGAA through distinct mechanisms". Section 4.7 and
# Figure 7: attention becomes "increasingly sparse and focused" while it is trained.
#
# **What you will have at the end.** Table 4 rerun, with every reading of its rows and every point that the equations leave open as a row
# of its own; what training again makes of no change at all, measured in two ways; and Figure 7.
#
# **What it needs.** The results of `mccgaa run table4 zeroshot` and one run. The variants are in `params/ablations.yaml`, the modules
# `mccgaa_book/ablated.py` and `mccgaa_book/noise.py`. Tables 5 and 6 are in {chapter}`10b_sizes`.

# %% [markdown]
# ## What an ablation can show
#
# An ablation trains the model again without a part and reads the drop in the score as the worth of the part. That
# is sound if the drop is larger than what training again would have done anyway. Another seed changes the initial weights and
# the order of the batches, nothing of the method, and yet moves a task's macro AUROC by a point or more: the network ends in
# another minimum, and classes with a handful of positive test records jump. Table 4 has no ± and no number of runs.
#
# So the first number that an ablation needs is the difference between two runs that differ in *nothing*.
#
# ## The noise floor
#
# The row "w/o log-sum-exp" replaces equations 25 to 30 by "the CLIP-style loss". Chapter 5 shows that these are one loss, if equation 30
# compares ECGs with texts and texts with ECGs, as the prose says: log-softmax computed with log-sum-exp *is* cross-entropy, to the last bit of
# float64. What is left is a factor of two, which AdamW sees through its $\varepsilon$ alone; from differences of the size of rounding the
# two runs part. They are two trainings of one mathematics: their true difference is zero, and the measured one is noise. With $d_s$ the
# difference at seed $s$, its spread is estimated around zero,
#
# $$
# \sigma^2 = \frac1S \sum_{s=1}^{S} d_s^2 , \qquad
# \text{floor}(n) = t_{0.975,\,S} \, \frac{\sigma}{\sqrt n} ,
# $$ (eq-ablation-floor)
#
# and 95 % of the differences between means of *these two losses* over $n$ seeds stay within it. The two begin with the same weights and
# see the same batches; designs that have other weights differ more without any effect. So the floor is a lower bound: below it nothing may
# be read, and above it the interval over seeds decides.
#
# ```{package-code} mccgaa_book/noise.py
# :pyobject: Floor
# ```
#
# Each task has its own floor, because the tasks differ in size and in how rare their classes are, and the mean over tasks has
# another, smaller one.


# %%
floors = {one.profile.name: floor_of(one) for one in labs}
shown = pd.DataFrame(
    {
        f"{name}, {what}": floor.at(seeds)
        for name, floor in floors.items()
        for what, seeds in (("single run", 1), ("five seeds", 5))
    }
).rename_axis("task")

# %% tags=["hide-input"]
page.table(
    shown,
    "ablation-floor",
    "The noise floor: differences of macro AUROC x 100 that training again makes, between "
    "single runs and between means over five seeds.",
    digits=1,
)
page.glue("floor-seeds", min(floor.seeds for floor in floors.values()))

# %% [markdown]
# The floors rest on {glue:text}`floor-seeds` seeds of each of the two rows. A floor of few seeds is itself uncertain, and Student's
# quantile widens it accordingly.
#
# ## The paper's Table 4 beside its own noise
#
# The printed table holds the same pair once per task, so it has a noise floor of its own. And Table 2 gives a ± for the full model, without
# saying over what. If it is over runs, two of them differ by at most $1.96\sqrt2$ times as much, nineteen times of twenty:

# %%
table4 = paper.table(4).loc[["MCGAA", "w/o GAT", "w/o log-sum-exp", "w/o CAM"]]
drop = (table4.loc["MCGAA"] - table4.drop(index="MCGAA")).astype(float)
floor = printed_floor(table4)
over_runs = 1.96 * np.sqrt(2) * paper.spread(2).loc["MCCGAA", drop.columns]
loss, parts = drop.loc["w/o log-sum-exp"], drop.drop(index="w/o log-sum-exp")
above = int((parts.abs() > floor).to_numpy().sum())
above_runs = int((parts.abs() > over_runs).to_numpy().sum())
loss_above = int((loss.abs() > over_runs).sum())

# %% tags=["hide-input"]
page.glue("printed-floor", floor, ".1f")
page.glue("printed-above", above)
page.glue("printed-negative", int((drop < 0).to_numpy().sum()))
page.glue("runs-low", over_runs.min(), ".1f")
page.glue("runs-high", over_runs.max(), ".1f")
page.glue("runs-above", above_runs)
page.glue("loss-above", loss_above)
page.table(
    drop.rename_axis("MCCGAA minus"),
    "ablation-printed",
    "The paper's Table 4 as differences: what each removal costs, macro AUROC x 100.",
)

# %% mystnb={"figure": {"name": "fig-ablation-printed", "caption": "The paper's Table 4 as differences from its first row, task by task, and the noise floor that its own row w/o log-sum-exp implies (grey band), if that row is the same mathematics."}, "image": {"alt": "Three rows of points, one per removed part, six points each, within or near a grey band around zero."}}
with page.drawn_from():
    plots.dots(drop, floor)
plt.show()

# %% [markdown]
# If the two rows are one mathematics, their six differences are noise, whose root mean square gives a floor of
# ±{glue:text}`printed-floor` points for a single task and run: {glue:text}`printed-above` of the twelve differences that could be effects
# exceed it. If Table 2's ± is over runs, two runs are within {glue:text}`runs-low` to {glue:text}`runs-high` points, task by task, and
# {glue:text}`runs-above` of the twelve exceed that; but then so do {glue:text}`loss-above` of the six that ought to be noise. The two readings
# contradict each other, and the paper does not say enough to choose. {glue:text}`printed-negative` of all eighteen differences are negative: the
# model is better without the part. Section 4.5 gives reasons for all three rows, among them "smoother gradients for scarce rare-class
# samples" for the one that may not have an effect.
#
# :::{admonition} Reading note: what the two loss rows may have been
# :class: warning
# *The CLIP loss*: the mean of two cross-entropies, which is half of equation 30 as the prose describes it. *Equation 29 to the letter*: it
# transposes the diagonal of the same row-normalised matrix, so that both directions are the same one and texts are never asked for
# their ECGs; if the authors' full model has this, their two rows are two methods. *No softmax at all*: a sigmoid per pair, as SigLIP has it, where no
# log-sum-exp is left. The authors' code is not known; all three are rows below.
# :::
#
# ## Table 4, rerun
#
# All rows have the same data, seeds, number of steps and machine. The last column is the paper's, its mean over the tasks that
# this row has.

# %%
PRINTED = {  # our variant -> the paper's row
    "bipartite": "MCGAA",
    "no-gat": "w/o GAT",
    "clip": "w/o log-sum-exp",
    "no-cam": "w/o CAM",
}


def printed_means(one):
    """The paper's means over a profile's tasks: our variant -> AUROC x 100."""
    rows = paper.table(4).rename(columns=paper.TASKS)[list(one.tasks)].mean(axis=1)
    return pd.Series({ours: rows[theirs] for ours, theirs in PRINTED.items()})


LETTER = {"one-sided": "eq 29 to the letter (one direction)"}  # with log-sum-exp


def table_of(one):
    """Means of Table 4's rows beside the paper's, and how far each is from the first."""
    frame = macro(one.results("table4").frame)
    called = labels(one, one.table("table4"), LETTER)
    shown = means(frame, called).drop(columns="trained on", errors="ignore")
    shown = narrow(shown) if len(one.tasks) > 4 else shown
    known = printed_means(one).rename(index=called).reindex(shown.index)
    shown["mean, paper"] = [page.text(float(value), ".1f") for value in known]
    return shown, against(frame, called, "bipartite", floor_of(one))


tables4 = {one.profile.name: table_of(one) for one in labs}

# %% tags=["hide-input"]
for one in labs:
    page.table(
        tables4[one.profile.name][0].rename_axis("design"),
        f"ablation-table-4-{one.profile.name}",
        "Table 4 rerun: zero-shot macro AUROC x 100, mean ± standard deviation over seeds (of six tasks: of their mean alone). "
        f"Command: mccgaa run table4 --profile {one.profile.name}.",
        lab=one,
        highlight=[one.label("bipartite")],
    )

# %% [markdown]
# The same as differences from the full model, in the mean over tasks, each beside its floor and beside what the paper
# prints for the same tasks:

# %% tags=["hide-input"]
for one in labs:
    change = tables4[one.profile.name][1].xs(MEAN, level="task")
    said = printed_means(one)
    said = (said - said["bipartite"]).rename(labels(one, one.table("table4"), LETTER))
    page.table(
        change.assign(
            ecgs=str(one.data_kind()),
            **{"difference, paper": said.reindex(change.index)},
        ),
        f"ablation-change-4-{one.profile.name}",
        "What each design changes in the mean over tasks, design minus full model; low and high: "
        "95 % interval over seeds, from five on.",
        lab=one if one.synthetic != "mixed" else None,
    )

# %% mystnb={"figure": {"name": "fig-ablation-changes", "caption": "Each design minus the full model, in the mean over tasks, with its 95 % interval over seeds where there are enough; the grey band is the noise floor."}, "image": {"alt": "One row per design with a point and, where there are five seeds, a horizontal interval; a vertical grey band around zero marks the noise floor."}}
plots.changes({n: c.xs(MEAN, level="task") for n, (_, c) in tables4.items()})
plt.show()


# %%
def decided(change):
    """The differences beyond the noise floor whose interval excludes zero."""
    apart = change["low"] * change["high"] > 0
    return change[apart & (change["beyond it"] == "yes")]


# %%
def after_holm(change):
    """Which differences are left after Holm's correction for their number, at 5 %."""
    free = change["seeds"] - 1
    error = (change["high"] - change["low"]) / 2 / stats.t.ppf(0.975, free)
    p = pd.Series(2 * stats.t.sf(change["difference"].abs() / error, free))
    p = p.set_axis(change.index).dropna().sort_values()
    passed = p * np.arange(len(p), 0, -1) < 0.05
    return change.loc[passed[passed.cummin()].index]


# %%
changes = {n: change.xs(MEAN, level="task") for n, (_, change) in tables4.items()}
behind = [set(decided(c[c["difference"] < 0]).index) for c in changes.values()]
alike = sorted(set.intersection(*behind))  # behind on every kind of ECGs
page.glue("alike", "; ".join(alike) or "none")
ahead = [set(decided(c[c["difference"] > 0]).index) for c in changes.values()]
for name, which in zip(("first", "other"), [*ahead, set()], strict=False):
    page.glue(f"ahead-{name}", "; ".join(sorted(which)) or "none")

# %%
everything = tables4[lab.profile.name][1]
everything = everything[everything.index.get_level_values(0) != lab.label("clip")]
average = everything.xs(MEAN, level="task", drop_level=False)
cells = everything.drop(index=average.index)
page.glue("count-decided", len(decided(everything)))
page.glue("count-all", len(everything))
page.glue("count-chance", 0.05 * len(everything), ".0f")
page.glue("count-holm", len(after_holm(everything)))
page.glue("mean-holm", beyond(after_holm(average)))
page.glue("named", beyond(decided(average)))
page.table(
    decided(cells).drop(columns=["seeds", "beyond it"]).reset_index(),
    "ablation-cells",
    "Single tasks in which a design differs from the full model by more than the floor, with an interval over seeds that excludes "
    "zero; before any correction for their number.",
    lab=lab if lab.synthetic != "mixed" else None,
)

# %% [markdown]
# The row of the CLIP loss is the floor itself and is left out here. In the mean over tasks these differences exceed the floor and have an interval
# without zero: {glue:text}`named`. The table above has the single tasks.
#
# Of {glue:text}`count-all` differences, tasks and means together, about {glue:text}`count-chance` would have such an interval by chance, and
# {glue:text}`count-decided` do. Holm's correction for all of them leaves {glue:text}`count-holm`; for the means alone it leaves:
# {glue:text}`mean-holm`. Five seeds seldom allow more, so single tasks are candidates and no findings.
#
# By the same rule, before any correction, these designs are behind the full model on every kind of ECGs that this page has: {glue:text}`alike`. Ahead of it on the
# first kind: {glue:text}`ahead-first`; on the other: {glue:text}`ahead-other`. The two kinds differ in their texts and their machine as well, labels and a CPU
# against reports and a GPU. A simulated table can suggest what to look for in real ECGs; it does not decide it.
#
# An interval that includes zero refutes nothing, either: where it includes the paper's difference too, this page cannot contradict the paper. Nor is
# a difference yet the worth of a part. The removal also takes weights away, and a smaller network may be helped or hurt by the same learning
# rate. And rows do not add up; MERL-style, which lacks two parts, need not lose what both lose together.
#
# A single cell is what a table of this kind is worst at, and section 4.5 discusses single cells: CPSC2018 for the graph, rhythms, Chapman and the super
# classes for the loss, rhythms, CPSC2018 and Chapman for the channel attention, and the super classes, where two of three removals help, as
# a case of its own. Among eighteen noisy numbers some are large. A reason that is found after the numbers needs another experiment to test it: the same
# design on another data set, or a prediction made before the run.
#
# ### What each row replaces
#
# - **w/o GAT** compares the embeddings themselves, as MERL does; nothing of section 3.3 is left.
# - **w/o CAM** leaves the ResNet's blocks as they were; the paper's text credits this part with selecting leads, though it weighs
#   feature channels (chapter 2).
# - **MERL-style** has neither.
# - **The pair graph** is what the equations write; the bipartite graph, our full model, is what the prose describes. A pair node
#   holds both halves of its own answer, so the fused loss can fall without alignment (chapter 4).
# - **Eq 13 to the letter** is a sigmoid of a sigmoid, which cannot leave the interval from 0.5 to 0.731: no channel is ever
#   suppressed by more than half.
# - **W_O of eq 22** is a square matrix after the joined heads, of a shape that the equation leaves open.
# - **Eq 31 to the letter** makes the two views by two dropouts on the embedding, where MERL has two linear maps of the features'
#   mean.
#
# ## The same runs on another machine
#
# Five of these designs stand in chapter 7's Table 2 as well, with the same seeds, trained on another processor. That is the second measure of no change at
# all: same settings, data and seeds, and other arithmetic.


# %%
def again(one):
    """Table 4 less Table 2, design by design and seed by seed, with the mean over tasks."""
    keys = ["variant", "seed", "task"]
    both = [
        results.with_task_mean(macro(one.results(t).frame)).set_index(keys)["value"]
        for t in ("table4", "zeroshot")
    ]
    return (both[0] - both[1]).dropna()


# %%
moved = again(lab)
by_seed = moved.groupby(["task", "seed"]).mean()  # over the designs
repeated = by_seed.groupby("task").apply(results.mean_row).unstack()
repeated["SD of a pair"] = moved.groupby("task").std()
repeated["pairs"] = moved.groupby("task").size()
trained = {
    t: " and ".join(lab.results(t).stamp["trained"]) for t in ("zeroshot", "table4")
}

# %% tags=["hide-input"]
page.table(
    repeated.drop(columns="seeds"),
    "ablation-again",
    f"Table 4 (trained on {trained['table4']}) minus Table 2 (trained on {trained['zeroshot']}), mean over the designs of both: macro AUROC x 100, "
    "with the 95 % interval over seeds, and the spread of a single design and seed.",
    lab=lab if lab.synthetic != "mixed" else None,
)
page.glue("again", repeated.loc[MEAN, "difference"], "+.1f")
page.glue("again-low", repeated.loc[MEAN, "low"], "+.1f")
page.glue("again-high", repeated.loc[MEAN, "high"], "+.1f")
page.glue("again-sd", repeated.loc[MEAN, "SD of a pair"], ".1f")
page.glue("again-pairs", repeated.loc[MEAN, "pairs"])

# %% [markdown]
# On average over designs and tasks the second machine changes {glue:text}`again` points ({glue:text}`again-low` to {glue:text}`again-high`). A single
# design and seed moves by {glue:text}`again-sd` (standard deviation of {glue:text}`again-pairs` pairs): a seed is no anchor once sums are ordered
# otherwise, and two machines with the same seed are two draws. Rows are therefore compared within one table, all of whose rows have one machine.
#
# ## Figure 7: the graph's attention while it is trained
#
# Figure 7 (section 4.7) shows attention maps of three stages. The largest weight grows from about 0.05 at epoch 4 to 0.16 at epoch 10, the maps are
# said to become "increasingly sparse and focused", and "prominent horizontal “resonance” bands signify the formation of diagnostic anchors".
# {doc}`/notebooks/04_gafa` draws it on simulated ECGs, and shows why bands need no trained attention: the score of a neighbour is
# $\operatorname{LeakyReLU}(s_i + t_j)$, so that all nodes rank their common neighbours in one order. Here is the full model, one run, on
# pairs of the validation split; the last map is of a layer that was never trained, on the embeddings of the finished run.

# %%
run = lab.run("bipartite", lab.seeds[0])
pairs = load_pairs(lab.store(), run.config, lab.knowledge, progress=False)
rows = pairs.held_out[:64]  # as many pairs as a batch has
signals = torch.from_numpy(lab.store().batch(rows))  # (n, leads, T)
vectors = pairs.vectors[pairs.text_of[rows]]  # (n, d)


@torch.no_grad()
def embed(model):
    """Embeddings of these pairs, ECGs and texts: (n, M) each, unit rows."""
    return model.encode_ecg(signals).float(), model.encode_text(vectors).float()


# %%
seed_step(0)
untrained = MCCGAA(run.config.model).eval()
epochs = run.config.pretrain.epochs
kept = [e for e in run.config.pretrain.snapshots if e < epochs]  # the last is the end
stages = {"untrained": untrained} | {f"epoch {e}": run.snapshot(e) for e in kept}
stages["end"] = run.model
maps = {n: m.gafa.attention(*embed(m))[0] for n, m in stages.items()}
maps["end, untrained layer"] = untrained.gafa.attention(*embed(run.model))[0]
attention = pd.concat({n: attention_summary(w) for n, w in maps.items()})
attention = attention.groupby(level=0, sort=False).mean().rename_axis("stage")

# %% mystnb={"figure": {"name": "fig-ablation-attention", "caption": "Attention of the first layer, mean over heads: ECGs of the validation split (rows) attend to their texts (columns). Each map has its own colour scale, finer near zero; the darkest is no edge, and the square marks the largest weight. Last panel: the entropy of a node's weights over that of uniform attention, stage by stage."}, "image": {"alt": "Heat maps of attention weights from ECGs to texts, one map per training stage and one of an untrained layer, and a panel with the entropy of attention by stage."}}
drawn = {n: w.mean(0)[: len(rows), len(rows) :] for n, w in maps.items()}
with page.drawn_from(lab):
    attention_stages(drawn, entropy=attention["entropy"].iloc[:-1])
plt.show()

# %% tags=["hide-input"]
page.table(
    attention,
    "ablation-attention",
    "Attention of layer 1, mean of its heads and of all nodes, self-loops included; of the largest weight, the mean over heads.",
    lab=lab if lab.synthetic != "mixed" else None,
    digits=3,
)
for name, at in (("first", 0), ("early", 1), ("end", -2)):
    page.glue(f"neighbours-{name}", attention["neighbours"].iloc[at], ".0f")
    page.glue(f"focus-{name}", attention["focus"].iloc[at], ".2f")
apart = (maps["end"] - maps["end, untrained layer"]).abs().max()
page.glue("largest", attention["largest"].iloc[-2], ".3f")
page.glue("apart", apart, ".3f")
page.glue("entropy-least", attention["entropy"].min(), ".4f")
page.glue("nodes", len(rows) + 1)

# %% [markdown]
# Before training a node has {glue:text}`neighbours-first` neighbours of {glue:text}`nodes` possible ones, itself included; at the next stage
# {glue:text}`neighbours-early`, and at the end {glue:text}`neighbours-end`: the map does not become sparse. Weights of a node sum to one, so the largest
# says nothing before the number of neighbours is taken out. `focus`, a node's largest weight times its neighbours, goes from
# {glue:text}`focus-first` to {glue:text}`focus-end`, where 1 is uniform attention, and the entropy is never below {glue:text}`entropy-least` of its largest
# value. The layer that was never trained differs from the trained one by at most {glue:text}`apart` in any weight, where the largest is
# {glue:text}`largest`. So what training changes is which texts are neighbours, which is the embeddings' doing; the attention stays nearly an
# average over them.
#
# ## What this page found

# %% tags=["remove-input"]
found = lab.results("table4")
called = {name: lab.label(name) for name in lab.table("table4")}
told = [
    claims.compare(found, name, "bipartite", **called)
    for name in ("no-gat", "no-cam")
    if name in called
]
both = [
    claims.claim(
        f"Behind the full model on real and on simulated ECGs alike: {'; '.join(alike)}.",
        bool(alike),
        "; ".join(
            f"{name}: "
            + ", ".join(f"{c.loc[name, 'difference']:+.1f}" for c in changes.values())
            for name in alike
        ),
    )
]
claims.show(
    *told,
    *(both if len(labs) > 1 else []),
    claims.claim(
        "The graph's attention stays nearly uniform over its neighbours while it is trained.",
        attention["entropy"].min() > 0.99,
        f"{lab.data_kind()} ECGs, one run, {len(rows)} pairs: entropy at least {attention['entropy'].min():.4f} of its largest value",
    ),
    claims.claim(
        "If the two loss rows of the printed Table 4 are one mathematics, none of its other differences exceeds the noise that it holds.",
        above == 0,
        f"{above} of 12 exceed ±{floor:.1f}",
    ),
)

# %% [markdown]
# ## Exercises
#
# 1. How many seeds would it take to see a difference of half a point in the mean over six tasks in at least half of such experiments? Take
# the noise of the printed pair of one mathematics, once with independent tasks and once with tasks that move together.

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# 14 seeds, or 41: as many as make half of the 95 % interval smaller than the difference.
# Six independent tasks average their noise out; the pair's own means are 1.6 points apart.
columns = list(paper.TASKS)
pair = (table4.loc["MCGAA", columns] - table4.loc["w/o log-sum-exp", columns]).astype(
    float
)
spreads = {
    "independent": float(np.sqrt((pair**2).mean() / 6)),
    "together": abs(pair.mean()),
}
n = np.arange(2, 2000)
needed = {
    name: int(n[stats.t.ppf(0.975, n - 1) * spread / np.sqrt(n) < 0.5][0])
    for name, spread in spreads.items()
}
print({name: f"± {spread:.2f} points" for name, spread in spreads.items()}, needed)
assert needed == {"independent": 14, "together": 41}

# %% [markdown]
# 2. Suppose that none of the three removals of Table 4 had an effect. How many of its eighteen cells would you expect beyond
# a 95 % noise floor, and how often would there be at least one to write about?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# About one, and in six of ten such tables at least one. Fewer tables where cells go
# together: the three removals share the first row, and with it that row's luck.
rng = np.random.default_rng(0)
full, removed = rng.normal(size=(20000, 6)), rng.normal(size=(20000, 3, 6))
differences = full[:, None] - removed  # (tables, removals, tasks), spread sqrt(2)
outside = (np.abs(differences) > 1.96 * np.sqrt(2)).sum(axis=(1, 2))
some = (outside > 0).mean()
print(
    f"expected {outside.mean():.2f}, at least one in {some:.0%}; apart: {1 - 0.95**18:.0%}"
)
assert 0.85 < outside.mean() < 0.95 and 0.4 < some < 1 - 0.95**18

# %% [markdown]
# 3. Ten designs are compared with the full model, each difference with a standard deviation of two points over seeds, about what this page measures.
# Five of them truly cost two points, five cost nothing. How many of the five does Holm's correction at 5 % find with five seeds,
# and how many with twenty?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# One in thirteen, and nine in ten. Twenty seeds are a day on two cores; five seeds can refute
# a large effect, and seldom confirm one of two points.
rng = np.random.default_rng(0)
share = {}
for n in (5, 20):
    hits = 0
    for _ in range(1000):
        d = rng.normal(scale=2, size=(10, n)) + np.repeat([2.0, 0.0], 5)[:, None]
        p = stats.ttest_1samp(d, 0, axis=1).pvalue
        order = np.argsort(p)
        passed = np.cumprod(p[order] * np.arange(10, 0, -1) < 0.05).astype(bool)
        hits += (order[passed] < 5).sum()
    share[n] = hits / 5000
print({f"{n} seeds": f"{value:.0%} found" for n, value in share.items()})
assert share[5] < 0.3 and share[20] > 0.8
