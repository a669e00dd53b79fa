# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pretraining
#
# **What the paper claims here.** Section 4.1: all models are trained for 20 epochs with AdamW, at a learning
# rate of $10^{-3}$ that a cosine takes down to $10^{-8}$, on six GPUs. Figure 3, discussed in section 4.3:
# the log-sum-exp loss falls lower than the CLIP loss, which is "better convergence", and the
# unimodal loss is near its "equilibrium around the 0-step mark".
#
# **What you will have at the end.** One run read from its folder: the pairs it saw, its schedule, both
# losses of Figure 3 beside those of the CLIP loss, the floor that equal texts put under the loss, retrieval
# on held-out pairs with and without the graph's part, and its speed. You will know what happens to a run
# that is killed, and what Figure 3 can show and what it cannot.
#
# **What it needs.** The pretraining runs of this profile, loaded where they exist and trained where they do
# not. The modules are `mccgaa/pretrain.py` and `mccgaa/pairs.py`.

# %% tags=["parameters"]
params: str = "params/smoke.yaml"  # profile: which data and how long

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from mccgaa.config import RunConfig, from_dict, load_yaml
from mccgaa.pairs import record_texts
from mccgaa.pretrain import learning_rate
from mccgaa.runtime import seed_step
from mccgaa_book import page, paper
from mccgaa_book.audit import data, results
from mccgaa_book.audit.text import false_negatives
from mccgaa_book.lab import Lab
from mccgaa_book.plots import results as plots
from mccgaa_book.plots import style

lab = Lab(params)
page.start(lab)

# %% [markdown]
# ## The pairs
#
# A run reads pairs: an ECG from a packed store, and the text that stands beside it. `lab.run()` gives the
# run of a variant and a seed; if no such run is in the folder of runs, this is the line that trains it. This page
# reads every variant of the profile with its first seed, and most closely the first.

# %%
seed = lab.seeds[0]
every = {variant: lab.run(variant, seed) for variant in lab.variants}
run = every[next(iter(every))]
config, settings = run.config, run.config.pretrain
name = lab.variants[config.name]
store = lab.store("pretrain")
run.metrics["pairs"]

# %%
pairs = run.metrics["pairs"]
printed = int(paper.table(1).loc["MIMIC-ECG", "Samples"])
page.glue("name", name)
page.glue("train", pairs["train"])
page.glue("held-out", pairs["held_out"])
page.glue("distinct", pairs["distinct_texts"])
page.glue("paper-pairs", printed)
page.glue("text-kind", settings.text)

# %% [markdown]
# This run of {glue:text}`name` learned from {glue:text}`train` pairs and held {glue:text}`held-out` out; the
# paper had {glue:text}`paper-pairs`. Between them they have only {glue:text}`distinct` distinct
# texts. In this profile the text beside an ECG is of the kind "{glue:text}`text-kind`": its machine report,
# or the knowledge base's words for its labels, as {doc}`chapter 3 </notebooks/03_text_and_knowledge>` tells.
# The text encoder is frozen, so every distinct text was encoded once, before the first step, and training
# reads vectors.
#
# ## Who is held out
#
# Held-out pairs are there to watch the run, so they must be of people that it never saw. Many people
# have several ECGs, often on the same day with the same report.

# %%
sides = store.records[store.records["split"].isin(["train", "val"])]
each = sides["subject_id"].value_counts().to_numpy()  # records of every subject
share = (sides["split"] == "train").mean()
both = 1 - share**each - (1 - share) ** each  # chance to fall on both sides
page.glue("subjects", len(each))
page.glue("several", (each > 1).mean(), ".0%")
page.glue("by-record", both.sum(), ".0f")
page.glue("by-subject", data.shared_subjects(sides))

# %% [markdown]
# Of the {glue:text}`subjects` subjects on either side, {glue:text}`several` have more than one record. Drawn record by record, a
# split of the same size would be expected to put {glue:text}`by-record` of them on both sides. Drawn by
# subject, as here, it puts {glue:text}`by-subject`.
#
# :::{admonition} Reading note: the paper does not say who was held out
# :class: warning
# Section 4.1 gives partitions for the test sets only. For MIMIC-IV-ECG nothing is said: neither whether
# part of it was held out, nor how. MERL, whose pipeline the paper follows in most other points,
# holds out 2 % of the *records* with a fixed seed, so that patients stand on both sides and held-out
# numbers look better than they are. We split by subject.
# :::
#
# ## The optimiser and its schedule
#
# The paper's sentence on training fixes four settings. A run needs more:

# %%
model = config.model
settings_table = pd.DataFrame(
    [
        ("optimiser", "AdamW", "AdamW"),
        ("learning rate, first step", "1.0e-3", f"{settings.lr:.1e}"),
        ("learning rate, last step", "1.0e-8", f"{settings.min_lr:.1e}"),
        ("schedule", "cosine", "one cosine, no warm-up"),
        ("epochs", "20", f"{settings.epochs}"),
        ("batch (pairs a process)", "not given", f"{settings.batch_size}"),
        ("weight decay", "not given", f"{settings.weight_decay:.0e}"),
        (
            "temperature",
            "not given",
            f"{model.loss.tau}, learned: {model.loss.learn_tau}",
        ),
        ("precision", "not given", settings.precision),
        ("weights kept", "not given", settings.selection),
        ("seed", "not given", f"{settings.seed}"),
    ],
    columns=["setting", "paper", "this run"],
)
page.table(settings_table, "pretrain-settings", "What a run needs to be told.", lab=lab)

# %% [markdown]
# :::{admonition} Reading note: a batch size is not a detail here
# :class: warning
# In a contrastive loss every other pair of the batch is a negative, and in GAFA the batch *is* the graph. The
# batch size therefore decides how hard the task is and how many neighbours a node has, and the paper does not give it.
# MERL uses 128 a GPU, which on six GPUs would make 768 if embeddings are gathered across them, and six
# separate tasks of 128 if not; that is not said either. `mccgaa/loss.py` gathers, so that many processes
# compute the loss of one large batch.
# :::
#
# The schedule over $T$ steps:
#
# $$
# \eta_t = \eta_{min} + \frac{\eta_{max} - \eta_{min}}{2} \left(1 + \cos \frac{\pi t}{T - 1}\right),
# \qquad t = 0, \dots, T - 1
# $$ (eq-pretrain-cosine)

# %%
T = run.metrics["steps"]
rates = np.array([learning_rate(t, T, settings.lr, settings.min_lr) for t in range(T)])
np.allclose(rates, run.history["lr"])

# %% [markdown]
# `True`: what the run logged at each step is this curve.

# %% mystnb={"figure": {"name": "fig-schedule", "caption": "The learning rate of this run. The same values on both axes."}, "image": {"alt": "Two panels with the learning rate by step. On the linear axis a half cosine from one thousandth to zero. On the logarithmic axis the curve stays high for most of the run and drops by several orders of magnitude in the last steps."}}
with style.unmarked():
    plots.schedule(rates)
plt.show()

# %%
small = rates < settings.lr / 100
page.glue("steps", T)
page.glue("small", small.mean(), ".0%")
page.glue("moved", rates[small].sum() / rates.sum(), ".1e")

# %% [markdown]
# The end value of $10^{-8}$ sounds precise and is without consequence: the steps with less than a
# hundredth of the first rate are {glue:text}`small` of all {glue:text}`steps`, and carry {glue:text}`moved` of the
# summed rate. Whether the cosine spans the run, as here, or restarts every 5,000 steps, as in MERL, is
# not said in the paper, and does have consequences.
#
# ## What a run leaves behind
#
# A run is a folder. Its name ends in a hash of everything that decides its result: the model, the
# optimiser, the seed, the store's content, and the texts.

# %%
kept = from_dict(RunConfig, load_yaml(run.folder / "config.yaml"))
slower = replace(kept, pretrain=replace(settings, lr=settings.lr / 2))
other_seed = replace(kept, pretrain=replace(settings, seed=seed + 1))
[one.folder for one in (kept, slower, other_seed)]

# %% [markdown]
# The first is the folder of this run; half the learning rate, or another seed, would be another. No run
# can be mistaken for another, and none overwrites another. Asking for the same one again loads it:

# %%
lab.run(seed=seed).folder.samefile(run.folder)

# %%
files = {
    "config.yaml": "every setting, with the fingerprints of store and texts",
    "history.csv": "a row a step: losses, learning rate, pairs a second",
    "epochs.csv": "a row an epoch: retrieval on held-out pairs",
    "config.json": "the model's part of the settings, to load it",
    "model.safetensors": "the weights",
    "metrics.json": "pairs, seconds, versions; written last, the sign of a whole run",
}
listing = pd.DataFrame(
    [
        (file, (run.folder / file).stat().st_size / 1024, meaning)
        for file, meaning in files.items()
    ],
    columns=["file", "KiB", "holds"],
)
page.table(listing, "pretrain-folder", "The folder of a run.", lab=lab, digits=1)

# %% [markdown]
# Figures and tables of this book are drawn from these files. Nothing on this page was typed in.
#
# ## Killed and started again
#
# The guarantee: a run that is killed at any moment, `kill -9` included, and started again with the same command
# ends with the same weights as one that was never interrupted; on a CPU, bit for bit. The command is the
# one that started it:
#
# ```
# mccgaa pretrain --params params/real.yaml --store stores/ptbxl-100 --out runs --seed 0
# ```
#
# Three things make it hold. A checkpoint is written beside its place and renamed when it is whole, so a kill in the
# middle of writing leaves the one before. It contains everything that a step depends on: weights, the optimiser's
# moments, the step, and the logs. And randomness is no stream that would have to be
# rewound, but a function of the step's number:


# %%
def draws(step):
    """The first random numbers of one training step."""
    seed_step(settings.seed, step)
    return torch.rand(3).tolist()


draws(7) == draws(7), draws(7) == draws(8)

# %% [markdown]
# The order of the pairs in an epoch is, in the same way, a function of the seed and the epoch. We do not
# interrupt a run on this page; `tests/test_pretrain.py` does, by killing a real process with SIGKILL and
# comparing the weights. A checkpoint of another configuration is refused in a sentence that says what
# to do, and a run that is finished returns at once.
#
# ## Figure 3: the two losses
#
# The paper compares the losses "under two different loss function designs" by step. We draw the runs
# that this profile has: the model itself and, where they are among its variants, the CLIP loss ("w/o
# log-sum-exp" in Table 4) and the pair graph. The dotted curve is no further run. It is the first
# run's own loss, divided by two.

# %%
wanted = [v for v in dict.fromkeys([config.name, "clip", "pair"]) if v in every]
runs = {lab.variants[v]: every[v] for v in wanted}
histories = {label: one.history for label, one in runs.items()}
halved = run.history.assign(cma=run.history["cma"] / 2, uma=run.history["uma"] / 2)

# %% mystnb={"figure": {"name": "fig-losses", "caption": "Both losses by step, running means over nine steps, with the single steps behind them (after Figure 3). The halved curve is the first run's loss as the CLIP loss would count it."}, "image": {"alt": "Two panels of loss against step, cross-modal left and unimodal right. The curves fall fastest in the first steps. The halved copy of the first run lies at half its height throughout, where the CLIP loss lies too if it is drawn."}}
plots.losses(histories, {f"{name}, halved": halved})
plt.show()

# %%
B = settings.batch_size
window = max(1, T // 20)
rows = {
    label: {
        "first step": history["cma"].iloc[0],
        "first twentieth": history["cma"].iloc[:window].mean(),
        "last twentieth": history["cma"].iloc[-window:].mean(),
        "unimodal, last": history["uma"].iloc[-window:].mean(),
    }
    for label, history in histories.items()
}
page.table(
    pd.DataFrame(rows).T.rename_axis("run"),
    "pretrain-losses",
    "Cross-modal loss at both ends of the run, and the unimodal loss at its end, in nats.",
    lab=lab,
)
page.glue("batch", B)
page.glue("chance-sum", 2 * np.log(B), ".2f")
page.glue("chance-mean", np.log(B), ".2f")
page.glue("start", run.history["cma"].iloc[0], ".2f")
page.glue("end", rows[name]["last twentieth"], ".2f")

# %% [markdown]
# A model that knows nothing gives all {glue:text}`batch` candidates the same probability. Equation 30 *adds* the two
# directions, so it then costs $2 \ln B$ = {glue:text}`chance-sum`; the CLIP loss takes their *mean*,
# $\ln B$ = {glue:text}`chance-mean`. This run began at {glue:text}`start` and ended at {glue:text}`end`.
#
# :::{admonition} Reading note: a lower curve is not a better one
# :class: warning
# {doc}`Chapter 5 </notebooks/05_loss>` shows that the "log-sum-exp" loss is the CLIP loss, computed stably, as every library
# does: the only difference left in the equations is the sum against the mean. So on one model and one
# batch its curve is *twice* that of CLIP, never lower. Figure 3(a) prints it lower. Then either
# something else differed between the two runs (a temperature, a batch, a seed), or one
# curve was scaled; the caption excludes the first, "apart from the difference in the loss function, the training
# process and other designs ... remain consistent". In neither case does the height of a loss tell of
# convergence: two runs can be compared by loss only if they count the same thing. AdamW, moreover,
# divides gradients by their own size: a loss and its half move the weights alike, up to rounding.
# :::
#
# If this profile has a run with the CLIP loss, the following cell compares it with half of ours, step by step.

# %%
if "clip" in every:
    clip = every["clip"].history
    gap = (halved["cma"] - clip["cma"]).abs()
    print(f"largest gap in the first ten steps: {gap[:10].max():.2e}")
    print(f"mean gap over the last twentieth:   {gap[-window:].mean():.2e}")
else:
    print("This profile has no run with the CLIP loss.")

# %% [markdown]
# ### The unimodal loss

# %%
smooth = run.history["uma"].rolling(9, center=True, min_periods=1).mean()
settled = results.settled(smooth)
paper_steps = 20 * printed // (6 * 128)
page.glue("uma-start", run.history["uma"].iloc[0], ".2f")
page.glue("uma-end", smooth.iloc[-1], ".2f")
page.glue("settled", settled)
page.glue("settled-share", settled / T, ".0%")
page.glue("paper-steps", paper_steps)
page.glue("axis-share", settled / paper_steps, ".1%")

# %% [markdown]
# $\mathcal{L}_{uma}$ begins at {glue:text}`uma-start`, where two unrelated views would be, and ends at
# {glue:text}`uma-end`. After {glue:text}`settled` steps ({glue:text}`settled-share` of this run) nine tenths of its
# fall are done.
#
# :::{admonition} Reading note: "equilibrium around the 0-step mark"
# :class: warning
# Of Figure 3(b) the paper says that the loss is "nearing equilibrium around the 0-step mark". Taken literally,
# a loss at its equilibrium at step 0 is one that trains nothing. More likely a number was lost, or the
# fall is too early to be seen: with 128 pairs on each of six GPUs, 20 epochs are about
# {glue:text}`paper-steps` steps, and the {glue:text}`settled` steps that our run needed would take up
# {glue:text}`axis-share` of that axis. A loss that is solved so early constrains the rest of the training little. That
# "the log-sum-exp design continues to show superior performance" there too is again the factor of two,
# or something that the caption excludes.
# :::
#
# ## The floor under the loss
#
# Equal texts in a batch are negatives of each other by construction. If $m_i$ pairs of the batch have the text of pair $i$, no
# encoder can rank one copy above another; the best it can do is to share the probability evenly among them:
#
# $$
# \mathcal{L}_{cma} \;\geq\; \frac{2}{B} \sum_{i=1}^{B} \ln m_i
# $$ (eq-pretrain-floor)
#
# Here it is, from the texts of this run: expected for a training batch (from drawn batches), and exact for
# the held-out batches.

# %%
texts = record_texts(store, settings, model.text, lab.knowledge)
train_texts, held_texts = (
    [texts[i] for i in store.indices(split=split) if texts[i]]
    for split in ("train", "val")
)


def floor(batch):
    """The floor of eq 30 for one batch of texts."""
    _, group, count = np.unique(batch, return_inverse=True, return_counts=True)
    return 2 * np.log(count[group]).mean()


# %%
batches = [held_texts[i : i + B] for i in range(0, len(held_texts), B)]
held_floor = np.average([floor(b) for b in batches], weights=[len(b) for b in batches])
drawn = false_negatives(train_texts, [B]).iloc[0]
train_floor = 2 * drawn["floor"]
page.glue("negatives", drawn["negatives"], ".1f")
page.glue("anchors", drawn["anchors"], ".0%")
page.glue("floor", train_floor, ".2f")

# %% [markdown]
# In a batch of {glue:text}`batch`, {glue:text}`anchors` of the pairs have a double, and a pair has
# {glue:text}`negatives` false negatives on average. The floor is {glue:text}`floor` nats. How far above it
# did each variant end? (The CLIP loss counts half, and so does its floor.)

# %%
table = {}
for variant, one in every.items():
    scale = 0.5 if one.config.model.loss.kind == "clip" else 1.0
    steps_an_epoch = len(one.history) // one.config.pretrain.epochs
    table[lab.variants[variant]] = {
        "graph": one.config.model.gafa.graph,
        "last epoch": one.history["cma"].iloc[-steps_an_epoch:].mean(),
        "its floor": scale * train_floor,
        "held out": one.epochs["held_out_cma"].iloc[-1],
        "held-out floor": scale * held_floor,
    }
above = pd.DataFrame(table).T.rename_axis("run").infer_objects()
page.table(
    above,
    "pretrain-floor",
    "Cross-modal loss at the end of each run, and the floor of equal texts, in nats.",
    lab=lab,
)

# %%
bound = above[above["graph"] != "pair"]
assert (bound["held out"] > bound["held-out floor"] - 1e-3).all()
under = above.index[above["last epoch"] < above["its floor"]]
page.glue("under", ", ".join(under) or "none of them")

# %% [markdown]
# For a run without a graph the floor is a theorem, and for the bipartite graph too, in which equal texts have equal
# neighbours and stay equal; the cell above asserts both on the held-out pairs. The pair graph can dive below it,
# because it gives equal texts different fused embeddings, one for each ECG that they stand beside. Below its
# floor in the last epoch: {glue:text}`under`.
#
# :::{admonition} Reading note: Figure 3 is no evidence of quality
# :class: warning
# $\mathcal{L}_{cma}$ is computed from fused embeddings. In the pair graph of equations 19 to 24 the two fused parts
# of a pair are halves of one vector made from both, so the loss can fall with nothing aligned;
# {doc}`chapter 4 </notebooks/04_gafa>` drives it to zero between random vectors, and tests a trained run with
# wrong partners. A loss under the floor cannot come from better encoders. Nor is a high floor a
# failure: it is paid for equal texts, which are no error. What matters at the test, ranking by backbone
# embeddings, does not appear in Figure 3.
# :::
#
# ## Retrieval on held-out pairs
#
# So after every epoch the run also asks a plain question: among all held-out texts, is an ECG's own text among
# the five nearest? And the other way round? It asks with the backbone embeddings, which zero-shot
# uses, and with the fused ones, which the loss uses.

# %%
candidates = len(set(held_texts))
chance = min(1.0, 5 / candidates)
epochs = {label: one.epochs for label, one in runs.items()}
if "merl" in every:
    epochs[lab.variants["merl"]] = every["merl"].epochs

# %% mystnb={"figure": {"name": "fig-retrieval", "caption": "Recall at 5 among all held-out pairs, by epoch. Dotted with open squares: from fused embeddings, where a graph makes them. Dotted grey: a random order."}, "image": {"alt": "Two panels of recall at 5 against epoch, from ECG to text and from text to ECG. Solid lines show backbone embeddings of each run, dotted lines the fused embeddings. All start near chance."}}
plots.held_out(epochs, chance)
plt.show()

# %%
columns = {
    "ecg_to_text_r1": "ECG to text, R@1",
    "ecg_to_text_r5": "R@5",
    "ecg_to_text_median_rank": "median rank",
    "text_to_ecg_r5": "text to ECG, R@5",
    "fused_ecg_to_text_r5": "fused: ECG to text, R@5",
    "fused_text_to_ecg_r5": "fused: text to ECG, R@5",
}
last = pd.DataFrame({label: t.iloc[-1] for label, t in epochs.items()}).T
page.table(
    last[list(columns)].rename(columns=columns).rename_axis("run"),
    "pretrain-retrieval",
    "Held-out retrieval after the last epoch.",
    lab=lab,
    digits=3,
)

# %%
own = last.loc[name]
page.glue("candidates", candidates)
page.glue("chance", chance, ".3f")
page.glue("plain", own["ecg_to_text_r5"], ".3f")
page.glue("fused", own["fused_ecg_to_text_r5"], ".3f")
page.glue("rank", own["ecg_to_text_median_rank"], ".0f")

# %% [markdown]
# With {glue:text}`candidates` distinct texts a random order would reach {glue:text}`chance`; the backbone of
# {glue:text}`name` reaches {glue:text}`plain`, with a median rank of {glue:text}`rank`. Its fused embeddings reach
# {glue:text}`fused`. The two are not quite the same question. For the backbone, equal
# texts are equal vectors and count as one; after the graph they differ, and only the very copy
# beside the ECG counts. So a fused recall below the plain one says little, but a fused recall *far
# above* it means that the graph passed on who belongs to whom, which at the test nobody can.
#
# Retrieval also depends on how many texts there are to choose from: a set twice as large is harder. It
# compares runs on the same held-out pairs, and nothing else.
#
# ### Which epoch is kept

# %%
both_ways = run.epochs["ecg_to_text_r5"] + run.epochs["text_to_ecg_r5"]
page.glue("best-epoch", int(both_ways.idxmax()) + 1)
page.glue("epochs", settings.epochs)
page.glue("selection", settings.selection)
page.glue("overfit", run.epochs["held_out_cma"].idxmin() + 1)

# %% [markdown]
# Held-out retrieval was best after epoch {glue:text}`best-epoch` of {glue:text}`epochs`, the held-out loss lowest after epoch
# {glue:text}`overfit`. This run keeps its weights by the rule "{glue:text}`selection`".
#
# :::{admonition} Reading note: which weights were tested?
# :class: warning
# The paper does not say how the tested checkpoint was chosen. MERL keeps the one that is best, during pretraining, on the
# labelled validation sets of the six downstream tasks. That is a choice made with
# downstream labels, and a zero-shot number obtained in this way is not free of them. We allow two rules only:
# `last`, and `best-retrieval` on held-out pairs of the pretraining source. Neither sees a label. (Which
# *configuration* a profile shows is another choice; {doc}`chapter 7 </notebooks/07_zero_shot>` says on what it was made.)
# :::
#
# ## Speed

# %%
speed = {}
for variant, one in every.items():
    speed[lab.variants[variant]] = {
        "pairs a second": one.history["samples_per_second"].median(),
        "minutes": one.metrics["seconds"] / 60,
        "million weights": sum(p.numel() for p in one.model.parameters()) / 1e6,
    }
facts = run.metrics["facts"]
page.table(
    pd.DataFrame(speed).T.rename_axis("run"),
    "pretrain-speed",
    "Median throughput of the training steps, and the time they took together.",
    lab=lab,
    digits=1,
)

# %%
rate = speed[name]["pairs a second"]
page.glue("device", f"{facts['device']}, {facts['threads']} threads")
page.glue("rate", rate, ".0f")
page.glue("length", model.input.length)
page.glue("days", 20 * printed / rate / 86400, ".1f")

# %% [markdown]
# Measured on {glue:text}`device`, for signals of {glue:text}`length` samples a lead; the paper's have 5,000. At
# {glue:text}`rate` pairs a second the paper's 20 epochs of {glue:text}`paper-pairs` pairs would take
# {glue:text}`days` days. The step runs in bfloat16 where the profile says so, with the losses in float32, and
# convolutions in the memory layout that the processor reads fastest: `make bench` prints how much that is worth. The
# same loop runs on one GPU without a change, and on many through torchrun:
#
# ```
# torchrun --nproc-per-node 6 -m mccgaa.cli pretrain --params params/paper.yaml --store stores/mimic-500
# ```
#
# ## What to keep
#
# - A run is named by everything that decides it, is resumed exactly, and can be read without rerunning it.
# - The "log-sum-exp" curve is twice the CLIP curve. Its height says nothing about convergence.
# - Equal texts put a floor under the loss, which can be computed before training. A loss below it
#   comes from the graph, not from the encoders.
# - What tells whether an ECG encoder has learned anything is retrieval by backbone embeddings on people it has
#   not seen, and zero-shot classification, which is {doc}`the next chapter </notebooks/07_zero_shot>`.
