# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Ablations and parameter stability

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
from mccgaa_book import claims, page, paper
from mccgaa_book.audit.graph import attention_summary
from mccgaa_book.lab import Lab
from mccgaa_book.noise import noise_floor, printed_floor
from mccgaa_book.plots import ablations as plots
from mccgaa_book.plots.gafa import attention_stages
from mccgaa_book.results import MEAN, paired
from mccgaa_book.rows import against, beyond, labels, macro, means

lab = Lab(params)
labs = [lab, *([Lab(other)] if other else [])]
page.start(*labs)

# %% [markdown]
# **What the paper claims here.** Section 4.5 and Table 4: removing the graph attention, the log-sum-exp loss or the channel
# attention costs AUROC on most of six tasks, so "each module contributes to MCGAA through distinct mechanisms". Section 4.6
# and Tables 5 and 6: ResNet-18 is the best of four backbones on average, and (64, 32) a good width of the graph's layers.
#
# **What you will have at the end.** The three tables rerun, with every reading of "w/o log-sum-exp" and every point that the
# equations leave open as a row of its own; and beside each difference the noise floor, which says how large a
# difference is when there is none.
#
# **What it needs.** The results of `mccgaa run table4 table5 table6`; `--dry-run` says which pretraining runs are missing and how
# long they take. The variants are in `params/ablations.yaml`, the modules `mccgaa_book/ablated.py` and `mccgaa_book/noise.py`.

# %% [markdown]
# ## What an ablation can show
#
# An ablation trains the model again without a part and reads the drop in the score as the worth of the part. That
# is sound if the drop is larger than what training again would have done anyway. Another seed changes the initial weights and
# the order of the batches, nothing of the method, and yet moves a task's macro AUROC by a point or more: the network ends in
# another minimum, and classes with a handful of positive test records jump. Table 4 has one run per row and no ±.
#
# So the first number that an ablation needs is the difference between two runs that differ in *nothing*. The paper
# supplies the pair itself, without intending it.
#
# ## The noise floor
#
# The row "w/o log-sum-exp" replaces equations 25 to 30 by "the CLIP-style loss". Chapter 5 shows that these are one loss:
# log-softmax computed with log-sum-exp *is* cross-entropy, to the last bit of float64, and what is left open is a factor
# of two, which AdamW does not see. The two rows are two trainings of one mathematics; their true difference is zero, and the
# measured one is noise. With $d_s$ the difference at seed $s$, its spread is estimated around zero,
#
# $$
# \sigma^2 = \frac1S \sum_{s=1}^{S} d_s^2 , \qquad
# \text{floor}(n) = t_{0.975,\,S} \, \frac{\sigma}{\sqrt n} ,
# $$ (eq-ablation-floor)
#
# and 95 % of the differences between two means over $n$ seeds stay within the floor where there is nothing to find.
#
# ```{package-code} mccgaa_book/noise.py
# :pyobject: Floor
# ```
#
# Each task has its own floor, because the tasks differ in size and in how rare their classes are, and the mean over tasks has
# another, smaller one.


# %%
def floor_of(one):
    """The noise floor of a profile, from all seeds of its Table 4."""
    return noise_floor(macro(one.results("table4").frame))


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
# The printed table holds the same pair once per task, so it has a noise floor of its own:

# %%
table4 = paper.table(4).loc[["MCGAA", "w/o GAT", "w/o log-sum-exp", "w/o CAM"]]
drop = (table4.loc["MCGAA"] - table4.drop(index="MCGAA")).astype(float)
floor = printed_floor(table4)
above = int((drop.drop(index="w/o log-sum-exp").abs() > floor).to_numpy().sum())
page.glue("printed-floor", floor, ".1f")
page.glue("printed-above", above)
page.glue("printed-negative", int((drop < 0).to_numpy().sum()))

# %% tags=["hide-input"]
page.table(
    drop.rename_axis("MCCGAA minus"),
    "ablation-printed",
    "The paper's Table 4 as differences: what each removal costs, macro AUROC x 100, one run each.",
)

# %% mystnb={"figure": {"name": "fig-ablation-printed", "caption": "The paper's Table 4 as differences from its first row, task by task, and the noise floor that its own row w/o log-sum-exp implies (grey band)."}, "image": {"alt": "Three rows of points, one per removed part, six points each, within or near a grey band around zero."}}
plots.dots(drop, floor)
plt.show()

# %% [markdown]
# Six differences that are noise by construction have a root mean square from which follows a floor of
# ±{glue:text}`printed-floor` points for a single task and run. Of the twelve differences that could be effects,
# {glue:text}`printed-above` exceed it. {glue:text}`printed-negative` of all eighteen are negative: the model is better without the part. Section 4.5 gives reasons for the
# numbers of all three rows ("smoother gradients for scarce rare-class samples"), also for the one that cannot have an effect.
#
# :::{admonition} Reading note: three readings of "w/o log-sum-exp"
# :class: warning
# *The CLIP loss*: the mean of two cross-entropies, which is half of equation 30. *Equation 29 to the letter*: it transposes the
# diagonal of the same row-normalised matrix, so that both directions are the same one and texts are never asked for
# their ECGs. *No softmax at all*: a sigmoid per pair, as SigLIP has it, where no log-sum-exp is left. Only the last two are
# other mathematics; all three are rows below.
# :::
#
# ## Table 4, rerun
#
# Every row is trained anew with the same data, seeds and number of steps. The last column is the paper's, its mean over the tasks
# that this row has.

# %%
PRINTED = {  # number of a table -> our variant -> the paper's row
    4: {"bipartite": "MCGAA", "no-gat": "w/o GAT", "no-cam": "w/o CAM"},
    5: {"bipartite": "1D-ResNet18"} | {f"resnet{n}": f"1D-ResNet{n}" for n in (34, 50)},
    6: {"bipartite": "(64, 32)", "gat-32": "(32, 16)", "gat-128": "(128, 64)"},
}
PRINTED[4]["clip"] = "w/o log-sum-exp"
PRINTED[5]["resnet101"] = "1D-ResNet101"
PRINTED[6]["gat-256"] = "(256, 128)"


def printed_means(one, number):
    """The paper's means over a profile's tasks: our variant -> AUROC x 100."""
    rows = paper.table(number).rename(columns=paper.TASKS)[list(one.tasks)].mean(axis=1)
    return pd.Series({ours: rows[theirs] for ours, theirs in PRINTED[number].items()})


def table_of(one, number):
    """Means of a table's rows beside the paper's, and how far each is from the first."""
    frame = macro(one.results(f"table{number}").frame)
    called = labels(one, one.table(f"table{number}"), {})
    shown = means(frame, called)
    known = printed_means(one, number).rename(index=called).reindex(shown.index)
    shown["mean, paper"] = [page.text(float(value), ".1f") for value in known]
    return shown, against(frame, called, "bipartite", floor_of(one))


tables4 = {one.profile.name: table_of(one, 4) for one in labs}

# %% tags=["hide-input"]
for one in labs:
    page.table(
        tables4[one.profile.name][0].rename_axis("design"),
        f"ablation-table-4-{one.profile.name}",
        "Table 4 rerun: zero-shot macro AUROC x 100, mean ± standard deviation over seeds. "
        f"Command: mccgaa run table4 --profile {one.profile.name}.",
        lab=one,
        highlight=[one.label("bipartite")],
    )

# %% [markdown]
# The same as differences from the full model, in the mean over tasks, each beside its floor and beside what the paper
# prints for it:

# %% tags=["hide-input"]
for one in labs:
    change = tables4[one.profile.name][1].xs(MEAN, level="task")
    said = printed_means(one, 4)
    said = (said - said["bipartite"]).rename(labels(one, one.table("table4"), {}))
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
plots.changes({n: change.xs(MEAN, level="task") for n, (_, change) in tables4.items()})
plt.show()


# %%
def decided(change):
    """The differences beyond the noise floor whose interval excludes zero."""
    apart = change["low"] * change["high"] > 0
    return change[apart & (change["beyond it"] == "yes")]


# %% tags=["hide-input"]
first = tables4[lab.profile.name][1]
page.glue("count-beyond", int((first["beyond it"] == "yes").sum()))
page.glue("count-decided", len(decided(first)))
page.glue("count-all", len(first))
page.glue("named", beyond(decided(first).xs(MEAN, level="task", drop_level=False)))
page.glue("profile", lab.profile.name)

# %% [markdown]
# Under the profile {glue:text}`profile`, {glue:text}`count-beyond` of {glue:text}`count-all` differences (designs by tasks, and their
# means) exceed the noise floor; of {glue:text}`count-decided` of these the interval over seeds excludes zero, too. In the mean over tasks these are:
# {glue:text}`named`. One in twenty would be among them by chance.
#
# Both conditions are needed. The floor is measured between two losses that share their seeds, so that both runs of a pair begin with the
# same weights and see the same batches; designs with other weights part sooner, and their differences spread more than the floor says. It is
# the least that training again makes.
#
# Nor is what remains yet the worth of a part: the part's removal also
# removes weights, and a smaller network may be helped or hurt by the same learning rate. Nor do rows add up; MERL-style, which lacks two
# parts, need not lose what both lose together.
#
# The mean over tasks is what a table of this kind is best at, because the noise of six tasks averages out in part. A single cell is what
# it is worst at. Section 4.5 discusses single cells: rhythms for the loss and for the channel attention, CPSC2018 for the graph, and the super
# classes, where two of three removals help, as a case of its own. With six tasks and three removals there are eighteen cells,
# and among eighteen noisy numbers some are large. A reason that is found after the numbers needs another experiment to
# test it: the same design on another data set, or a prediction made before the run.
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
# ## Table 5: backbones

# %%
tables5 = {one.profile.name: table_of(one, 5) for one in labs}


def costs(one):
    """Weights, operations and time of each backbone, as the results say."""
    frame = one.results("table5").frame
    of = frame[frame["task"] == ""]
    wide = of.pivot_table(index="variant", columns="metric", values="value", sort=False)
    wide = wide.assign(
        **{
            "million weights": wide["weights"] / 1e6,
            "GFLOP per ECG": wide["flops"] / 1e9,
            "minutes per run": wide["seconds"] / 60,
            "training loss, last epoch": wide["training_loss"],
            "held-out loss": wide["held_out_loss"],
        }
    )
    called = labels(one, one.table("table5"), {})
    wide = wide.loc[[v for v in called if v in wide.index]].rename(index=called)
    return wide[[name for name in wide if " " in name]]


costs5 = {one.profile.name: costs(one) for one in labs}


# %% tags=["hide-input"]
for one in labs:
    page.table(
        tables5[one.profile.name][0].rename_axis("backbone"),
        f"ablation-table-5-{one.profile.name}",
        "Table 5 rerun: zero-shot macro AUROC x 100 of four backbones. "
        f"Command: mccgaa run table5 --profile {one.profile.name}.",
        lab=one,
    )
    page.table(
        costs5[one.profile.name].rename_axis("backbone"),
        f"ablation-cost-5-{one.profile.name}",
        f"What they cost, trained on {', '.join(one.results('table5').stamp['trained'])}, and where their cross-modal "
        "loss ended, in nats: means over seeds. Weights and operations are the ECG encoder's.",
        lab=one if one.synthetic != "mixed" else None,
    )

# %% [markdown]
# Table 5 has no column of costs, and without one a backbone cannot be chosen. The operations are counted layer by layer, two
# per multiplication of a convolution or linear layer, so they do not depend on the machine; the times do.
#
# That a deeper network scores *lower* in Table 5 is called overfitting there. All four were trained for the same twenty epochs at one
# learning rate, and a ResNet-101 with bottlenecks is not the ResNet-18 with more of the same: its blocks are others, and
# four times as many channels leave its last stage. The loss tells overfitting from training too short: a network that overfits has
# the lower training loss and the higher held-out one; one whose training loss is the higher has not been trained long enough,
# and no statement about its capacity follows.
#
# ## Table 6: widths of the graph
#
# Table 6 varies the hidden and output width of the two attention layers. Its text gives them as "1/4, 1/2, and 2 times the original
# embedding vector length", which fits an embedding of 128, where Figures 5 and 6 show 256. At the test the graph is not used at all, so
# its width can act only through training.

# %%
tables6 = {one.profile.name: table_of(one, 6) for one in labs}

# %% tags=["hide-input"]
for one in labs:
    page.table(
        tables6[one.profile.name][0].rename_axis("(hidden, output)"),
        f"ablation-table-6-{one.profile.name}",
        "Table 6 rerun: zero-shot macro AUROC x 100 of four widths of the graph's layers; the full model has "
        f"(64, 32). Command: mccgaa run table6 --profile {one.profile.name}.",
        lab=one,
    )

# %% [markdown]
# ## Figure 7: the graph's attention while it is trained
#
# The paper's Figure 7 shows attention maps of three epochs and reads a growing peak and "resonance bands" as diagnostic anchors.
# {doc}`/notebooks/04_gafa` draws it on simulated ECGs, and shows why bands need no trained attention: the score of a neighbour is
# $\operatorname{LeakyReLU}(s_i + t_j)$, so that all nodes rank their common neighbours in one order. Here is the full model again, on
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
for name, at in (("first", 0), ("end", -2), ("control", -1)):
    for column, spec in (("neighbours", ".0f"), ("largest", ".3f"), ("focus", ".2f")):
        page.glue(f"{column}-{name}", attention[column].iloc[at], spec)
page.glue("entropy-least", attention["entropy"].min(), ".4f")
page.glue("nodes", len(rows) + 1)

# %% [markdown]
# Before training a node has {glue:text}`neighbours-first` neighbours of {glue:text}`nodes` possible ones, itself included; at the end
# {glue:text}`neighbours-end`. Weights of a node sum to one, so the largest says nothing before the number of neighbours is
# taken out: `focus`, a node's largest weight times its neighbours, goes from {glue:text}`focus-first` to {glue:text}`focus-end`, where 1 is uniform
# attention; the entropy is never below {glue:text}`entropy-least` of its largest value. And the layer that was never trained has the same map: its
# largest weight is {glue:text}`largest-control` where the trained one has {glue:text}`largest-end`. So what training changes is which texts are
# neighbours, which is the embeddings' doing; the attention stays an average over them.
#
# ## One model, printed three times
#
# The paper prints the same model three times, as the first row of Table 4, the first of Table 5, and the second of
# Table 6, and the three do not agree in every cell (75.75 against 75.74, 84.59 against 84.58, 76.69 against 76.68). The differences
# are of rounding, and show that the rows are one run. So the choice of ResNet-18 and of (64, 32), and the ablation,
# all rest on one draw.

# %%
sizes = paper.table(6).drop(index="avg AUC", errors="ignore")
spans = (sizes.max() - sizes.min()).astype(float)
page.glue("span-low", spans.min(), ".1f")
page.glue("span-high", spans.max(), ".1f")
page.glue("span-best", np.ptp(sizes[list(paper.TASKS)].mean(axis=1)), ".1f")

# %% [markdown]
# Its four widths are between {glue:text}`span-low` and {glue:text}`span-high` points apart, column by column, which is to be read beside the
# ±{glue:text}`printed-floor` points of noise between two of its runs.
#
# ## One model, trained twice
#
# Here the full model stands in all three tables too, and two of them may hold different runs of it: Table 4 takes the runs of
# chapter 7 as they were published, and Tables 5 and 6 train again what is not at hand. Same settings, same seeds, same data; a
# difference is what the machine and its arithmetic do.


# %%
def twice(one):
    """The full model of Table 6 less that of Table 4, seed by seed."""
    first, again = (macro(one.results(t).frame) for t in ("table4", "table6"))
    both = [
        frame[frame["variant"] == "bipartite"].assign(variant=name)
        for name, frame in (("first", first), ("bipartite", again))
    ]
    return paired(pd.concat(both), "bipartite", "first")


repeated = {one.profile.name: twice(one) for one in labs}
trained = {t: lab.results(t).stamp["trained"] for t in ("table4", "table6")}

# %% tags=["hide-input"]
for one in labs:
    page.table(
        repeated[one.profile.name].drop(columns="sd"),
        f"ablation-twice-{one.profile.name}",
        "The full model of Tables 5 and 6 minus that of Table 4, the same seeds: macro AUROC x 100. Trained on "
        + " and ".join(", ".join(one.results(t).stamp["trained"]) for t in trained)
        + ".",
        lab=one,
    )
page.glue("machines-4", " and ".join(trained["table4"]))
page.glue("machines-6", " and ".join(trained["table6"]))
again = repeated[lab.profile.name]
page.glue("again", again.loc[MEAN, "difference"], "+.1f")
page.glue("again-sd", again.loc[MEAN, "sd"], ".1f")

# %% [markdown]
# Table 4 was trained on {glue:text}`machines-4`, Table 6 on {glue:text}`machines-6`. The means over tasks differ by
# {glue:text}`again` points, and that of a single seed by {glue:text}`again-sd` (standard deviation): a seed is no anchor once sums are
# ordered otherwise, and two machines with the same seed are two draws. Rows are therefore compared within one table.
#
# ## What this page found

# %% tags=["remove-input"]
found = lab.results("table4")
called = {name: lab.label(name) for name in lab.table("table4")}
told = [
    claims.compare(found, name, "bipartite", **called)
    for name in ("no-gat", "no-cam", "siglip")
    if name in called
]
claims.show(
    *told,
    claims.claim(
        "The graph's attention stays uniform over its neighbours while it is trained.",
        attention["entropy"].min() > 0.99,
        f"entropy at least {attention['entropy'].min():.4f} of its largest value, {lab.data_kind()} ECGs",
    ),
    claims.claim(
        "Most of the differences that the printed Table 4 rests on are within the noise that it holds itself.",
        above < 6,
        f"{above} of 12 exceed ±{floor:.1f}",
    ),
)

# %% [markdown]
# ## Exercises
#
# 1. How many seeds would it take to see a difference of half a point in the mean over six tasks, if it varies from seed to seed as
# much as the printed pair of one mathematics does? And a difference of two points?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# As many as make half of the 95 % interval smaller than the difference. It falls with the
# square root of the seeds: a quarter of the difference takes up to sixteen times as many.
columns = list(paper.TASKS)
pair = table4[columns].loc["MCGAA"] - table4[columns].loc["w/o log-sum-exp"]
spread = float(np.sqrt((pair.astype(float) ** 2).mean() / len(columns)))
n = np.arange(2, 2000)
half = stats.t.ppf(0.975, n - 1) * spread / np.sqrt(n)
needed = {size: int(n[half < size][0]) for size in (0.5, 2.0)}
print(f"spread {spread:.2f} points; seeds needed: {needed}")
assert 1 < needed[0.5] / needed[2.0] < 16

# %% [markdown]
# 2. Suppose that none of the three removals of Table 4 had an effect. How many of its eighteen cells would you expect beyond
# a 95 % noise floor, and how often would there be at least one to write about?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# One in the mean, and in six of ten such tables at least one. Fewer where cells go
# together: the three removals share the first row, and with it that row's luck.
rng = np.random.default_rng(0)
full, removed = rng.normal(size=(20000, 6)), rng.normal(size=(20000, 3, 6))
cells = full[:, None] - removed  # (tables, removals, tasks), spread sqrt(2)
outside = (np.abs(cells) > 1.96 * np.sqrt(2)).sum(axis=(1, 2))
some = (outside > 0).mean()
print(
    f"expected {outside.mean():.2f}, at least one in {some:.0%}; apart: {1 - 0.95**18:.0%}"
)
assert 0.85 < outside.mean() < 0.95 and 0.4 < some < 1 - 0.95**18

# %% [markdown]
# 3. Table 6 has its best and its worst width {glue:text}`span-best` points apart in the mean over tasks. How far apart would four widths
# be that do not differ at all, each trained once, with the noise that Table 4 holds?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# 1.3 points in the mean, two of their standard deviations, and as far as printed in one
# table of twenty. So the widest graph may be worse, if six differences give the noise
# rightly; the other three are 0.8 points apart, which four equal widths surpass easily.
one_run = spread / np.sqrt(2)  # a difference has two runs' noise
draws = rng.normal(scale=one_run, size=(20000, 4))
ranges = draws.max(axis=1) - draws.min(axis=1)
real_range = float(np.ptp(sizes[columns].mean(axis=1)))
print(
    f"one run's mean ± {one_run:.2f}; range of four {ranges.mean():.2f}, printed {real_range:.2f}"
)
as_wide = (ranges >= real_range).mean()
print(f"at least as wide without any difference: {as_wide:.0%}")
assert 1.9 < ranges.mean() / one_run < 2.2 and 0.02 < as_wide < 0.1
