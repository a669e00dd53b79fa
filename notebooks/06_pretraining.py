# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pretraining

# %% tags=["parameters"]
params: str = "params/synthetic.yaml"  # profile: which data and how long

# %% tags=["hide-input"]
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from mccgaa.config import RunConfig
from mccgaa.metrics import retrieval as retrieval_of
from mccgaa.pairs import record_texts
from mccgaa.runtime import seed_step
from mccgaa.settings import from_dict, load_yaml
from mccgaa_book import claims, page, paper
from mccgaa_book import speed as speeds
from mccgaa_book.audit import data
from mccgaa_book.audit.text import false_negatives
from mccgaa_book.lab import Lab
from mccgaa_book.plots import results as plots
from mccgaa_book.plots import style
from mccgaa_book.plots.growth import growth
from mccgaa_book.results import load, over_seeds

lab = Lab(params)
page.start(lab)

# %% [markdown] tags=["first-copy"]
# **What the paper claims here.** Section 4.1: all models are trained for 20 epochs with AdamW, at a learning
# rate of $10^{-3}$ that a cosine takes down to $10^{-8}$, on six GPUs. Figure 3, discussed in section 4.3:
# the log-sum-exp loss falls lower than the CLIP loss, which is "better convergence", and the
# unimodal loss is near its "equilibrium around the 0-step mark".
#
# **What you will have at the end.** One run read from its folder: the pairs it saw, its schedule, both
# losses of Figure 3 next to those of the CLIP loss, the floor that equal texts put under the loss, retrieval
# on held-out pairs with and without the graph's part, and its speed. You will know what happens to a run
# that is killed, and what Figure 3 can show and what it cannot.
#
# **What it needs.** The runs that the profile reproduces, loaded where they exist and trained where they do
# not, and the results of all its runs. The modules are `mccgaa/pretrain.py` and `mccgaa/pairs.py`.

# %% [markdown] tags=["second-copy"]
# This is {doc}`chapter 6 </notebooks/06_pretraining>` once more, on real ECGs: its figures, tables and numbers, with the code
# folded. What the paper claims, the equations, the reading notes and the exercises are there.

# %% [markdown]
# ## The pairs

# %% [markdown] tags=["first-copy"]
# A run reads pairs: an ECG from a packed store, and its text. `lab.run()` gives the
# run of a variant and a seed; if no such run is in the folder of runs, this is the line that trains it. This page
# reads the runs that the profile reproduces with its first seed, and most closely the first; numbers over all
# variants and seeds come from the profile's results.

# %%
seed = lab.seeds[0]
live = lab.profile.reproduce.variants or tuple(lab.variants)
every = {variant: lab.run(variant, seed) for variant in live}
run = every[live[0]]
config, settings = run.config, run.config.pretrain
name = lab.variants[config.name]
store = lab.store("pretrain")
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
# texts. In this profile the text of an ECG is of the kind "{glue:text}`text-kind`" (*report* is its machine report,
# *knowledge* the knowledge base's words for its labels, {doc}`chapter 3 </notebooks/03_text_and_knowledge>`).
# The text encoder is frozen, so every distinct text was encoded once, before the first step, and training
# reads vectors.
#
# ## Who is held out

# %% [markdown] tags=["first-copy"]
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
# Of the {glue:text}`subjects` subjects on either side, {glue:text}`several` have more than one record. A split of the same
# size by record would be expected to put {glue:text}`by-record` of them on both sides. The split by subject that
# is used here puts {glue:text}`by-subject`.

# %% [markdown] tags=["first-copy"]
# :::{admonition} Reading note: the paper does not say who was held out
# :class: warning
# Section 4.1 gives partitions for the test sets only. For MIMIC-IV-ECG nothing is said: neither whether
# part of it was held out, nor how. MERL, whose pipeline the paper follows in most other points,
# holds out 2 % of the *records* with a fixed seed, so that patients are on both sides and held-out
# numbers look better than they are. We split by subject.
# :::

# %% [markdown]
# ## The optimiser and its schedule

# %% [markdown] tags=["first-copy"]
# The paper's sentence on training fixes four settings. A run needs more:

# %%
model = config.model
settings_table = pd.DataFrame(
    [
        ("optimiser", "AdamW", "AdamW"),
        ("learning rate, first step", "0.001", f"{settings.lr:g}"),
        ("learning rate, last step", "1e-08", f"{settings.min_lr:g}"),
        ("schedule", "cosine", "one cosine, no warm-up"),
        ("epochs", "20", f"{settings.epochs}"),
        ("batch (pairs per process)", "not given", f"{settings.batch_size}"),
        ("weight decay", "not given", f"{settings.weight_decay:g}"),
        (
            "temperature",
            "not given",
            f"{model.loss.tau}, {'learned' if model.loss.learn_tau else 'fixed'}",
        ),
        ("precision", "not given", run.metrics["facts"]["precision"]),
        ("weights kept", "not given", settings.selection),
        ("seed", "not given", f"{settings.seed}"),
    ],
    columns=["setting", "paper", "this run"],
)
page.table(settings_table, "pretrain-settings", "The settings of a run.", lab=lab)

# %% [markdown] tags=["first-copy"]
# :::{admonition} Reading note: a batch size is not a detail here
# :class: warning
# In a contrastive loss every other pair of the batch is a negative, and in GAFA the batch *is* the graph. The
# batch size therefore decides how hard the task is and how many neighbours a node has, and the paper does not give it.
# MERL uses 128 per GPU, which on six GPUs would make 768 if embeddings are gathered across them, and six
# separate tasks of 128 if not; that is not said either. `mccgaa/loss.py` gathers, so that many processes
# compute the loss of one large batch.
# :::
#
# One step of the loop:
#
# ```{package-code} mccgaa/pretrain.py
# :pyobject: Trainer.train_step
# ```

# %% [markdown]
# The schedule over $T$ steps:
#
# $$
# \eta_t = \eta_{min} + \frac{\eta_{max} - \eta_{min}}{2} \left(1 + \cos \frac{\pi t}{T - 1}\right),
# \qquad t = 0, \dots, T - 1
# $$ (eq-pretrain-cosine)

# %%
T = run.metrics["steps"]
t = np.arange(T)
rates = settings.min_lr + (settings.lr - settings.min_lr) / 2 * (
    1 + np.cos(np.pi * t / max(T - 1, 1))
)
np.allclose(rates, run.history["lr"])

# %% [markdown]
# `True`: what the run logged at each step is the equation's curve.

# %% [markdown] tags=["first-copy"]
# The package computes it by
#
# ```{package-code} mccgaa/pretrain.py
# :pyobject: learning_rate
# ```

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

# %% [markdown] tags=["first-copy"]
# ## What a run leaves behind
#
# A run is a folder. Its name ends in a hash of everything that decides its numbers: the version of the method,
# the model, the optimiser, the seed, the batch over all processes, the store's content, the texts, and
# the text encoder.

# %% tags=["first-copy"]
kept = from_dict(RunConfig, load_yaml(run.folder / "config.yaml"))
slower = replace(kept, pretrain=replace(settings, lr=settings.lr / 2))
other_seed = replace(kept, pretrain=replace(settings, seed=seed + 1))
for one in (kept, slower, other_seed):
    print(one.folder)

# %% [markdown] tags=["first-copy"]
# The first is the folder of this run; half the learning rate, or another seed, would be another. No run
# can be mistaken for another, and none overwrites another. Asking for the same one again loads it:

# %% tags=["first-copy"]
lab.run(seed=seed).folder.samefile(run.folder)

# %% tags=["first-copy"]
files = {
    "config.yaml": "every setting, with the fingerprints of store and texts",
    "history.csv": "one row per step: losses, learning rate, pairs per second",
    "epochs.csv": "one row per epoch: retrieval on held-out pairs",
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

# %% [markdown] tags=["first-copy"]
# Figures and tables of this book are made from these files. Nothing on this page was typed in.
#
# ## Killed and started again
#
# The guarantee: a run that is killed at any moment, `kill -9` included, and started again with the same command
# ends with the same weights as one that was never interrupted; on a CPU, bit for bit. The command is the
# one that started it; for the run of this page:

# %% tags=["first-copy", "remove-input"]
print(
    f"mccgaa pretrain --params {params} --variant {config.name} --seed {seed} "
    f"--store {store.path} --out {lab.runs}"
)

# %% [markdown] tags=["first-copy"]
# Three things make it hold. A checkpoint is written next to the old one and renamed when it is whole, so a kill in
# the middle of writing leaves the old one. It contains everything that a step depends on: weights, the optimiser's
# moments, the step, and the logs. And randomness is no stream that would have to be
# rewound, but a function of the step's number:


# %% tags=["first-copy"]
def draws(step):
    """The first random numbers of one training step."""
    seed_step(settings.seed, step)
    return torch.rand(3).tolist()


print("step 7, twice alike:", draws(7) == draws(7))
print("step 8 like step 7:", draws(7) == draws(8))

# %% [markdown] tags=["first-copy"]
# The order of the pairs in an epoch is, in the same way, a function of the seed and the epoch. We do not
# interrupt a run on this page; `tests/test_pretrain.py` does, by killing a real process with SIGKILL and
# comparing the weights. A checkpoint of another configuration is refused with an error that says what
# to do, and a run that is finished returns at once.

# %% [markdown]
# ## Figure 3: the two losses
#
# The paper compares the losses "under two different loss function designs" by step. The figure has
# the runs of this page. The dotted curve is not another run: it is the first
# run's own loss, divided by two.

# %%
runs = {lab.variants[v]: one for v, one in every.items()}
histories = {label: one.history for label, one in runs.items()}
halved = run.history.assign(cma=run.history["cma"] / 2, uma=run.history["uma"] / 2)

# %% mystnb={"figure": {"name": "fig-losses", "caption": "Both losses by step, running means over nine steps, with the single steps behind them (after Figure 3). The halved curve is the first run's loss as the CLIP loss would count it."}, "image": {"alt": "Two panels of loss against step, cross-modal left and unimodal right. The curves fall fastest in the first steps. The halved copy of the first run lies at half its height throughout."}}
plots.losses(histories, {f"{name}, halved": halved})
plt.show()

# %%
measured = lab.results("pretraining")


def at_the_end(split, **metrics):
    """A table of the profile's variants: means over seeds of some metrics."""
    part = measured.frame[measured.frame["split"] == split]
    columns = {
        title: over_seeds(part, ["variant"], metric)["mean"]
        for metric, title in metrics.items()
    }
    return pd.DataFrame(columns).rename(index=lab.variants).rename_axis("variant")


ends = at_the_end(
    "train",
    first_loss="first step",
    first_twentieth_loss="first twentieth",
    last_twentieth_loss="last twentieth",
    last_twentieth_uma="unimodal, last twentieth",
)

# %% tags=["hide-input"]
page.table(
    ends,
    "pretrain-losses",
    "Cross-modal loss at both ends of the runs, and the unimodal loss at their end, in "
    "nats; means over seeds.",
    lab=lab,
)
B = settings.batch_size
page.glue("batch", B)
page.glue("chance-sum", 2 * np.log(B), ".2f")
page.glue("chance-mean", np.log(B), ".2f")
page.glue("start", ends.loc[name, "first step"], ".2f")
page.glue("end", ends.loc[name, "last twentieth"], ".2f")

# %% [markdown]
# A model that knows nothing gives all {glue:text}`batch` candidates the same probability. Equation 30 *adds* the two
# directions, so it then costs $2 \ln B$ = {glue:text}`chance-sum`; the CLIP loss takes their *mean*,
# $\ln B$ = {glue:text}`chance-mean`. Over its seeds {glue:text}`name` began at {glue:text}`start` in the mean and ended at {glue:text}`end`.

# %% [markdown] tags=["first-copy"]
# :::{admonition} Reading note: a lower curve is not a better one
# :class: warning
# {doc}`Chapter 5 </notebooks/05_loss>` shows that the "log-sum-exp" loss is the CLIP loss, computed stably, as every library
# does: the only difference left in the equations is the sum against the mean. So on one model and one
# batch its curve is *twice* that of CLIP, never lower. Figure 3(a) prints it lower. Then either
# something else differed between the two runs (a temperature, a batch, a seed), or one
# curve was scaled; the caption excludes the first, "apart from the difference in the loss function, the training
# process and other designs ... remain consistent". In neither case does the height of a loss say anything of
# convergence: two runs can be compared by loss only if they count the same thing.
# :::
#
# A run with half of a loss is *not* the same run as one with all of it. AdamW divides gradients by their own size
# plus $\varepsilon$, and chapter 5 measures what this $\varepsilon$ does: the weights part at the first step, and the
# difference grows. What the two share is the mathematics. So their distance is the noise
# floor of this chapter's tables: a difference between two other variants that is not larger is not a finding.

# %% [markdown]
# ### The unimodal loss

# %%
smooth = run.history["uma"].rolling(9, center=True, min_periods=1).mean()
fall = smooth.iloc[0] - smooth.iloc[-1]
above = np.flatnonzero(smooth > smooth.iloc[-1] + 0.1 * fall)
settled = int(above.max(initial=-1)) + 1  # from here on within a tenth of its fall
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

# %% [markdown] tags=["first-copy"]
# :::{admonition} Reading note: "equilibrium around the 0-step mark"
# :class: warning
# Of Figure 3(b) the paper says that the loss is "nearing equilibrium around the 0-step mark". Taken literally,
# a loss at its equilibrium at step 0 is one that trains nothing. More likely a number was lost, or the
# fall is too early to be seen: with 128 pairs on each of six GPUs, 20 epochs are about
# {glue:text}`paper-steps` steps, and the {glue:text}`settled` steps that our run needed would take up
# {glue:text}`axis-share` of that axis. A loss that is solved so early asks little of the rest of the training. That
# "the log-sum-exp design continues to show superior performance" there too is again the factor of two,
# or something that the caption excludes.
# :::

# %% [markdown]
# ## The floor under the loss

# %% [markdown] tags=["first-copy"]
# Equal texts in a batch are negatives of each other by construction. If $m_i$ pairs of the batch have the text of pair $i$, no
# encoder can rank one copy above another; the best it can do is to share the probability evenly among them:
#
# $$
# \mathcal{L}_{cma} \;\geq\; \frac{2}{B} \sum_{i=1}^{B} \ln m_i
# $$ (eq-pretrain-floor)

# %% [markdown]
# The floor of the loss is what equal texts in a batch cost the best of encoders. Here it is for batches of this run, from its
# training texts:

# %%
texts = record_texts(store, settings, model.text, lab.knowledge)
train_texts, held_texts = (
    [texts[i] for i in store.indices(split=split) if texts[i]]
    for split in ("train", "val")
)
batches = false_negatives(train_texts, [B]).iloc[0]
page.glue("negatives", batches["negatives"], ".1f")
page.glue("anchors", batches["anchors"], ".0%")
page.glue("floor", 2 * batches["floor"], ".2f")

# %% [markdown]
# In a batch of {glue:text}`batch`, {glue:text}`anchors` of the pairs have a double, and a pair has
# {glue:text}`negatives` false negatives on average. The floor is {glue:text}`floor` nats, as expected over
# training batches; for the held-out batches, which are always the same, it is exact. How far above it
# did each variant end? [](#table-pretrain-floor) has both. (The CLIP loss counts half, and so does its floor.)

# %%
above = at_the_end("train", final_loss="last epoch", loss_floor="its floor").join(
    at_the_end("val", final_loss="held out", loss_floor="held-out floor")
)
graphs = {label: lab.config(v).model.gafa.graph for v, label in lab.variants.items()}
above.insert(0, "graph", [graphs[label] for label in above.index])

# %% tags=["hide-input"]
page.table(
    above,
    "pretrain-floor",
    "Cross-modal loss at the end of pretraining, and the floor of equal texts, in nats; "
    "means over seeds.",
    lab=lab,
)

# %%
bound = above[above["graph"] != "pair"]
under = above.index[above["last epoch"] < above["its floor"]]
page.glue("under", ", ".join(under) or "none of them")

# %% [markdown]
# For a run without a graph the floor is a theorem, and for the bipartite graph too, in which equal texts have equal
# neighbours and stay equal; the claims below check both on the held-out pairs. The pair graph can dive below it,
# because it gives equal texts different fused embeddings, one for each ECG that they belong to. Variants below their
# floor in the last epoch: {glue:text}`under`. A leak of the loss would show here; what shows of it in retrieval is below.

# %% [markdown] tags=["first-copy"]
# :::{admonition} Reading note: Figure 3 is no evidence of quality
# :class: warning
# $\mathcal{L}_{cma}$ is computed from fused embeddings. In the pair graph of equations 19 to 24 the two fused parts
# of a pair are halves of one vector made from both, so the loss can fall with nothing aligned;
# {doc}`chapter 4 </notebooks/04_gafa>` drives it to zero between random vectors, and tests a trained run with
# wrong partners. A loss under the floor cannot come from better encoders. Nor is a high floor a
# failure: it is paid for equal texts, which are no error. What matters at the test, ranking by backbone
# embeddings, does not appear in Figure 3.
# :::

# %% [markdown]
# ## Retrieval on held-out pairs
#
# After every epoch the run asks a plain question, too: among all held-out texts, is an ECG's own text among
# the five nearest? And the other way round? It asks with the backbone embeddings, which zero-shot
# uses, and with the fused ones, which the loss uses.

# %%
candidates = len(set(held_texts))
chance = min(1.0, 5 / candidates)
epochs = {label: one.epochs for label, one in runs.items()}

# %% mystnb={"figure": {"name": "fig-retrieval", "caption": "Recall at 5 among all held-out pairs, by epoch. Dashed with open squares: from fused embeddings, where a graph makes them. Dotted grey: a random order."}, "image": {"alt": "Two panels of recall at 5 against epoch, from ECG to text and from text to ECG. Solid lines show backbone embeddings of each run, dashed lines the fused embeddings. All start near chance."}}
plots.held_out(epochs, chance)
plt.show()

# %%
retrieval = at_the_end(
    "val",
    ecg_to_text_r1="ECG to text, R@1",
    ecg_to_text_r5="R@5",
    ecg_to_text_median_rank="median rank",
    text_to_ecg_r5="text to ECG, R@5",
    fused_ecg_to_text_r5="fused: ECG to text, R@5",
    fused_text_to_ecg_r5="fused: text to ECG, R@5",
)

# %% tags=["hide-input"]
ranks = retrieval["median rank"].map("{:.1f}".format)
page.table(
    retrieval.assign(**{"median rank": ranks}),
    "pretrain-retrieval",
    "Held-out retrieval after the last epoch, means over seeds.",
    lab=lab,
    digits=3,
)
own = retrieval.loc[name]
page.glue("candidates", candidates)
page.glue("chance", chance, ".3f")
page.glue("plain", own["R@5"], ".3f")
page.glue("fused", own["fused: ECG to text, R@5"], ".3f")
page.glue("rank", own["median rank"], ".1f")

# %% [markdown]
# With {glue:text}`candidates` distinct texts a random order would reach {glue:text}`chance`; the backbone of
# {glue:text}`name` reaches {glue:text}`plain`, with a median rank of {glue:text}`rank`. Its fused embeddings reach
# {glue:text}`fused`. The two are not quite the same question. For the backbone, equal
# texts are equal vectors and count as one; after the graph they may differ, and only the very copy
# of the ECG counts. So a fused recall below the plain one says little, but a fused recall *far
# above* it means that the graph passed on who belongs to whom, which at the test nobody can.

# %% [markdown] tags=["first-copy"]
# Retrieval also depends on how many texts there are to choose from: a set twice as large is harder. It
# compares runs on the same held-out pairs, and nothing else.

# %% [markdown]
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

# %% [markdown] tags=["first-copy"]
# :::{admonition} Reading note: which weights were tested?
# :class: warning
# The paper does not say how the tested checkpoint was chosen. MERL keeps the one that is best, during pretraining, on the
# labelled validation sets of the six downstream tasks. That is a choice made with
# downstream labels, and a zero-shot number obtained in this way is not free of them. We allow two rules only:
# `last`, and `best-retrieval` on held-out pairs of the pretraining source. Neither sees a label. (Which
# *configuration* a profile shows is another choice; {doc}`chapter 7 </notebooks/07_zero_shot>` says on what it was made.)
# :::

# %% [markdown]
# ## Speed

# %%
speed = at_the_end(
    "train", samples_per_second="pairs per second", seconds="minutes", weights="weights"
)
speed["minutes"] /= 60
rate = speed.loc[name, "pairs per second"]

# %% tags=["hide-input"]
page.table(
    speed.assign(weights=speed["weights"] / 1e6).rename(
        columns={"weights": "million weights"}
    ),
    "pretrain-speed",
    "Median throughput of the training steps, and the time they took together, means over "
    "seeds. Where the two do not agree, the machine had other work as well.",
    lab=lab,
    digits=1,
)
stamp = measured.stamp
threads = f", threads: {stamp['threads']}" if stamp["threads"] else ""
note = f" ({stamp['note']})" if stamp["note"] else ""
page.glue("device", stamp["device"] + threads + note)
page.glue("rate", rate, ".0f")
page.glue("length", model.input.length)
page.glue("days", 20 * printed / rate / 86400, ".1f")

# %% [markdown]
# Measured on {glue:text}`device`, for signals of {glue:text}`length` samples per lead; the paper's have 5,000. At
# {glue:text}`rate` pairs per second the paper's 20 epochs of {glue:text}`paper-pairs` pairs would take
# {glue:text}`days` days if its signals were as short as these, and several times as long at their length.

# %% [markdown] tags=["first-copy"]
# ### At the paper's size
#
# The paper used six GPUs. `bench/gpu.py` pretrains on one, with CAM, GAFA and 12 x 5,000 samples, from a store of the paper's
# size in the GPU's memory. The *usual loop* beside it is written as one would write it first, with a data loader and a text
# encoder that runs in every step. It takes 128 pairs a step and the package 512; it was not timed at 512. The signals are random
# numbers, which is all that a measurement of speed needs.

# %% tags=["first-copy"]
gpu = speeds.recorded("gpu")
ways = speeds.on_one_gpu()
page.table(
    ways,
    "pretrain-gpu",
    "Training steps on one GPU, random signals: median pairs per second, and the minutes "
    "that the steps of 20 epochs of 771,693 pairs would take. The usual loops have 128 "
    "pairs a step, the others 512.",
    digits=1,
)
page.glue("gpu", gpu["facts"]["device"])
page.glue("gpu-minutes", ways["minutes"].iloc[-1], ".0f")
page.glue("gpu-limit", gpu["limit"]["share_of_memory_limit"], ".0%")
for way in ("eager", "eager+graph"):
    page.glue(f"gpu-{way}-128", gpu[f"train {way} 128"]["samples_per_second"], ",.0f")
for way in ("eager", "compile", "compile+graph"):
    step = 1000 * 512 / gpu[f"train {way} 512"]["samples_per_second"]  # ms
    page.glue(f"gpu-{way}", step, ".0f")
for way in ("eager", "compile"):
    page.glue(f"gpu-{way}-busy", gpu[f"profile {way}"]["device_ms_per_step"], ".0f")

# %% [markdown] tags=["first-copy"]
# One {glue:text}`gpu` would take all steps of the pretraining in {glue:text}`gpu-minutes` minutes. What comes on top was not
# timed: encoding the texts, reading the store from a disk, compiling, and retrieval after each epoch. With 128 pairs a step, as
# the usual loop has them, the package takes {glue:text}`gpu-eager-128` pairs per second step by step, and
# {glue:text}`gpu-eager+graph-128` with its steps replayed as a CUDA graph.
#
# Arithmetic is not what held the GPU back. A step of 512 pairs consists of hundreds of kernels. Launched one by one they take
# {glue:text}`gpu-eager` ms. The GPU is busy for {glue:text}`gpu-eager-busy` of these, mostly with reading feature maps that it
# has just written. Compiled, everything that follows a convolution passes over its feature map twice, and the GPU is busy for
# {glue:text}`gpu-compile-busy` ms only; but the host needs longer than that to launch the kernels, and a step still takes
# {glue:text}`gpu-compile` ms. Recorded once as a CUDA graph, they are all launched at once, and a step takes
# {glue:text}`gpu-compile+graph` ms: {glue:text}`gpu-limit` of the speed that the memory's bandwidth allows. On a single GPU
# `mccgaa pretrain` records its step by itself, and compiles where it has 10,000 steps or more to take. On several GPUs it does
# neither.
#
# Speed is worth nothing if it changes what is learned. Five variants of the profile `real` were therefore trained there once
# more, with the same seed:

# %% tags=["first-copy"]
science = speeds.recorded("science")
page.table(
    speeds.on_cpu_and_gpu(),
    "pretrain-science",
    "PTB-XL subset: zero-shot macro AUROC x 100 of single runs, mean over four tasks, "
    "seed 0. Listed, not ranked.",
    lab=load("zeroshot", "real"),
    digits=1,
)
page.glue("science-by", science["difference"], "+.1f")
page.glue("science-low", science["low"], "+.1f")
page.glue("science-high", science["high"], "+.1f")
page.glue("science-spread", science["spread_over_seeds"], ".1f")
apart = [abs(pair["fast"] - pair["plain"]) for pair in science["pairs"]]
page.glue("science-most", max(apart), ".1f")

# %% [markdown] tags=["first-copy"]
# At 100 Hz the runs of the GPU differ from those of the CPU by {glue:text}`science-by` points in the mean, with a 95 % interval
# of {glue:text}`science-low` to {glue:text}`science-high`. That is within what a seed changes: over the seeds of a variant on the
# CPU the standard deviation is {glue:text}`science-spread`. Single runs differ by up to {glue:text}`science-most` points, and
# five pairs cannot show a small difference. At 500 Hz and otherwise equal settings no run scored higher than at 100 Hz, but one
# seed ranks nothing.

# %% tags=["first-copy"]
rows = speeds.growth()
by_records = rows[rows["axis"] == "records"].set_index("records")
per_second = by_records.index / by_records["epoch_seconds"]
page.glue("grow-slow", per_second.min(), ",.0f")
page.glue("grow-fast", per_second.max(), ",.0f")
page.glue(
    "grow-memory", by_records["peak_mb"].max() / by_records["peak_mb"].min() - 1, ".0%"
)
again = rows[
    (rows[["records", "batch", "sampling_rate"]] == [10_000, 64, 25]).all(axis=1)
]
again = again["records"] / again["epoch_seconds"]
page.glue("grow-times", len(again))
page.glue("grow-again-slow", again.min(), ",.0f")
page.glue("grow-again-fast", again.max(), ",.0f")
together = rows[rows["axis"] == "processes"].set_index("processes")
together = together["samples_per_second"]
page.glue("grow-processes", together.loc[2] / together.loc[1], ".1f")

# %% [markdown] tags=["first-copy"]
# A larger source takes more time, and hardly more memory. From a thousand records to a million an epoch of a narrow network runs
# at {glue:text}`grow-slow` to {glue:text}`grow-fast` ECGs per second on one thread, so its time grows about as the number of
# records does, and the peak of memory rises by {glue:text}`grow-memory`. An epoch of more than ten seconds is stopped and its
# time extrapolated. Of 10,000 records the same was measured {glue:text}`grow-times` times, which gave
# {glue:text}`grow-again-slow` to {glue:text}`grow-again-fast` ECGs per second: smaller differences mean nothing. There were
# always 10,000 texts; more of them need memory for their vectors. Otherwise memory depends on the batch and the sampling rate:

# %% tags=["first-copy"] mystnb={"figure": {"name": "fig-growth", "caption": "Speed of an epoch and peak memory of pretraining a narrow network on one CPU thread. One thing grows in each column; otherwise there are 10,000 records, batches of 64 and 25 Hz. Long epochs are extrapolated. Recorded by bench/growth.py, with random signals."}, "image": {"alt": "Six panels: ECGs per second above, peak memory below, against records, batch and sampling rate on logarithmic axes. Against records, from a thousand to a million, both lines are nearly level. A larger batch is faster up to 256 and needs more memory; a higher sampling rate is slower and needs more memory."}}
with style.unmarked():
    growth(rows)
plt.show()

# %% [markdown] tags=["first-copy"]
# Two processes that share each batch, on the two cores of the same CPU, take {glue:text}`grow-processes` times as many ECGs per second
# as one (at 250 Hz). This is timed by the clock, which other work on the machine slows.

# %% [markdown]
# The same loop runs in many processes through torchrun. The tests have several processes on CPUs; on several GPUs it was not
# timed. Under the profile of the paper's scale:
#
# ```
# torchrun --standalone --nproc-per-node 6 -m mccgaa.cli pretrain \
#     --params params/paper.yaml --store stores/mimic-500 --out runs
# ```
#
# ## What this page found
#
# A run is named by everything that decides it, is resumed exactly, and can be read without rerunning it. The height of a loss
# says nothing about convergence; whether an ECG encoder has learned anything shows in retrieval by backbone embeddings on
# people it has not seen, and in zero-shot classification (chapter 7).

# %% tags=["remove-input"]
several = retrieval.assign(graph=[graphs[label] for label in retrieval.index])
several = several.groupby("graph").mean()
leaking = several.loc["pair"] if "pair" in several.index else None
claims.show(
    claims.claim(
        "The encoders find the texts of people whom they have never seen.",
        own["R@5"] > 3 * chance,
        f"recall at 5 of {name} is {own['R@5']:.2f}, by chance {chance:.2f}",
    ),
    claims.claim(
        "Without pair nodes no run's loss lies below the floor that equal texts set.",
        (bound["held out"] > bound["held-out floor"] - 1e-3).all(),
        ", ".join(
            f"{row['held out']:.2f} over {row['held-out floor']:.2f}"
            for _, row in bound.iterrows()
        ),
    ),
    *(
        claims.claim(
            "With pair nodes the fused embeddings find more than the encoders aligned: the "
            "graph passes on who belongs to whom.",
            leaking["fused: ECG to text, R@5"] > leaking["R@5"],
            f"recall at 5: {leaking['fused: ECG to text, R@5']:.2f} fused, "
            f"{leaking['R@5']:.2f} by the encoders",
        )
        for _ in range(leaking is not None)
    ),
    claims.claim(
        "The last learning rate of 1e-8 is without consequence.",
        rates[small].sum() < 0.01 * rates.sum(),
        f"the steps below a hundredth of the first rate carry "
        f"{rates[small].sum() / rates.sum():.1e} of the summed rate",
    ),
)

# %% [markdown] tags=["first-copy"]
# ## Exercises
#
# Three numbers of a run that are easily misread. Guess first; the answers fold out, and each is computed from the run of this
# page.
#
# 1. The learning rate falls from its largest value to almost nothing. Which share of the way (the sum of all rates) lies in
# the first half of the steps? A straight line would give three quarters.

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# More than that, 1/2 + 1/pi for a long run: a cosine stays high for longer.
first_half = rates[: len(rates) // 2].sum() / rates[: 2 * (len(rates) // 2)].sum()
print(f"this run {first_half:.1%}, a long one {0.5 + 1 / np.pi:.1%}")
assert 0.75 < first_half < 0.5 + 1 / np.pi + 0.1

# %% [markdown] tags=["first-copy"]
# 2. Double the batch. Chance then costs $2 \ln 2$ more. Does the floor of equal texts rise by less, by as much, or by more?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# By less: a text that is alone in its batch may stay alone. So a larger batch widens the
# room between floor and chance, which is what can be learned.
sizes = [size for size in (B // 2, B, 2 * B) if size <= len(train_texts)]
found = false_negatives(train_texts, sizes).set_index("batch")
found = pd.DataFrame({"floor": 2 * found["floor"], "chance": 2 * np.log(found.index)})
print(found.assign(room=found["chance"] - found["floor"]).round(3))
rise = found.diff().dropna()
assert (rise["floor"] < rise["chance"]).all() and len(rise)

# %% [markdown] tags=["first-copy"]
# 3. This page takes for chance that five of the distinct texts are shown. Check it with a model that knows nothing. Which
# would you draw at random, a vector for each record or one for each text, and does the answer matter?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# One for each text: equal texts are equal vectors to a model that knows nothing, too. With
# one for each record there are more candidates, and chance would be put too low. The two
# lie close together where few texts are shared, so many draws are needed to see it.
_, which = np.unique(held_texts, return_inverse=True)
rng = np.random.default_rng(0)
n = len(which)
seen, expected = {"text": [], "record": []}, {"text": chance, "record": min(1.0, 5 / n)}
for _ in range(2000):
    ecgs, words = rng.normal(size=(2, n, 8))
    for kind, own in (("text", which.ravel()), ("record", np.arange(n))):
        ranks = retrieval_of(ecgs, words[own], same=own[:, None])
        seen[kind].append(ranks["ecg_to_text_r5"])
for kind, values in seen.items():
    mean, error = np.mean(values), np.std(values) / np.sqrt(len(values))
    print(f"a vector per {kind}: {mean:.4f}, expected {expected[kind]:.4f}")
    assert abs(mean - expected[kind]) < 5 * error + 1e-9
if expected["record"] < expected["text"]:
    middle = (expected["text"] + expected["record"]) / 2
    assert np.mean(seen["record"]) < middle < np.mean(seen["text"])
