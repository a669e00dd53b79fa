# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The other rows: eleven baselines under one protocol

# %% tags=["parameters"]
params: str = "params/real.yaml"  # profile whose ECGs and tasks are used
other: str = ""  # another profile, whose results are shown beside; empty: none

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch

from mccgaa import load
from mccgaa.probe import SHARES, Backbone, features
from mccgaa.probing import probe_tasks
from mccgaa_book import claims, page, paper, results
from mccgaa_book.baselines import gallery, registry, tables
from mccgaa_book.baselines.barlow_twins import cross_correlation, redundancy
from mccgaa_book.baselines.config import VIEWS
from mccgaa_book.baselines.experiment import run_config
from mccgaa_book.baselines.plan import plan_of
from mccgaa_book.baselines.simclr import nt_xent
from mccgaa_book.lab import Lab
from mccgaa_book.plots import baselines as plots
from mccgaa_book.plots import views
from mccgaa_book.rows import macros

lab = Lab(params)
labs = [lab, *([Lab(other)] if other else [])]
page.start(*labs)

# %% [markdown]
# **What the paper claims here.** Tables 2 and 3 set MCCGAA beside ten self-supervised methods, an untrained network and
# MERL. The eleven rows marked "N" in Table 2 are linear probes on 1 % of the labels, and the text says that they "were
# evaluated using 1% of the training data". The audit found that these cells are the published numbers of MERL's
# paper, to the last digit: no run of MCCGAA's protocol stands behind them, and Table 3 repeats one of its columns for
# all ten self-supervised rows.
#
# **What was found.** {glue:text}`finding`
#
# **What you will have at the end.** Every row run: the same records, the same kind of optimiser, and one probe that
# chooses nothing on the test split. No cell is quoted in place of a run; the printed number stands beside ours.
#
# **What it needs.** `mccgaa run baselines --profile real`, minutes on a large GPU and half a day on two cores; `--dry-run` says what is missing and how
# long it takes on your machine. `mccgaa run baselines --profile baselines-smoke` makes its own data and runs all of it in a minute; its numbers mean nothing. `mccgaa settings baselines`
# lists what `--set` can change.

# %% [markdown]
# ## One protocol
#
# As little as possible differs from row to row.
#
# - **Data.** The training split of the profile's store, signals only. A self-supervised method sees no text and no
#   label; CLOCS and ASTCL are also told which records belong to one person, since their losses need it. MERL and MCCGAA read texts, and on real ECGs these
#   texts are *made from the labels* of all training records (chapter 6): before a probe is given 1 % of the labels, the two have read all of them.
# - **Network.** The 1D-ResNet18 of section 3.2 without channel attention, up to the mean over time of its last map:
#   512 numbers per ECG. CRT and ST-MEM are transformers by design, and have about as many parameters.
# - **Training.** AdamW with a learning rate of 0.001 that one cosine takes to zero, in bfloat16 where the device has it,
#   for a number of epochs that the profile gives to all. ST-MEM alone has a warm-up. The loop is the one of chapter 6: a run that is killed goes on
#   where it was and ends with the same weights. MERL and MCCGAA have the settings of chapter 6: fewer epochs ({glue:text}`own-epochs` here, where the
#   others have {glue:text}`epochs`), in smaller batches, with a weight decay of 1e-8 where the others have SimSiam's 1e-4.
# - **Probe.** The encoder is frozen, its batch normalisation included. Logistic regression is solved to convergence on
#   1, 10 and 100 % of a task's training split; how strongly it is regularised is chosen on the validation split.
#
# What is not equalised is compute. A step of BYOL or MoCo v3 passes four batches through an encoder, one of CLOCS two
# halves of one, and a transformer on patches costs more than a convolution. The number of epochs is the same for all that these modules train.
#
# ## Views that keep the rhythm
#
# Most of the methods learn that two views of one ECG are the same. What the views differ in is what the network is told
# to ignore, so it should be nothing that a cardiologist looks at. It is nearly so: a change of time by 5 % takes a rate of 97 over 100,
# a masked moment can hide the only premature beat, and masked leads a finding that is local to them. An augmentation may stretch time by a few per cent, move
# the record, let the baseline wander, add noise, weigh frequencies, scale, or silence leads and moments. None of them
# moves one beat against another, joins the end of a record to its start, or mixes two records: the order and the spacing
# of beats are what rhythm labels rest on. TS-TCC is the exception, by its authors' design: its strong view cuts a record
# into segments and puts them in another order. The figure has the eight that SimCLR, BYOL, Barlow Twins, MoCo v3 and
# SimSiam use.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Eight panels of one lead of an ECG, in grey as it was and in blue after each augmentation."}, "figure": {"caption": "What each augmentation of the shared views does to one lead (grey: before, blue: after).", "name": "fig-augmentations"}}
store = lab.store("pretrain")
signals = torch.from_numpy(store.batch([0]))  # (1, 12, T)
with page.drawn_from(lab):
    figure = plots.augmentations(signals, store.meta["sampling_rate"], VIEWS)

# %% [markdown]
# Below are the views of TS-TCC, whose strong one moves beats, and of ASTCL, before 4 of the 12 leads of each are hidden; then what each view of
# CLOCS sees of a record, and what the encoder of ST-MEM sees. CLOCS is run with halves of the time (CMSC); halves of the leads (CMLC) and both (CMSMLC) are its other two codings.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Four panels with leads II and V2 of one ECG in grey: in blue the same with little noise, in segments of another order, with baseline wander and noise, and smoothed."}, "figure": {"caption": "The views of TS-TCC and ASTCL (grey: before, blue: after), in leads II and V2.", "name": "fig-own-views"}}
own = gallery.own_views(signals[0], lab.profile.input)
with page.drawn_from(lab):
    figure = views.before_and_after(signals[0], own, store.meta["sampling_rate"])

# %% tags=["hide-input"] mystnb={"image": {"alt": "Four maps of twelve leads by ten seconds: halves of the time, halves of the leads, half of the leads early and the others late, and scattered patches, a quarter of each lead."}, "figure": {"caption": "What the views of CLOCS, and the encoder of ST-MEM, see of a record.", "name": "fig-parts-seen"}}
parts = gallery.parts(signals.shape[1], lab.profile.input)
with page.drawn_from(lab):
    figure = views.parts_seen(parts, lab.profile.input.duration)

# %% [markdown]
# ## Methods that tell records apart
#
# **SimCLR** {cite}`chen2020simclr` makes two views of each record of a batch, and asks of every view which of all the
# others is its partner. The softmax over cosines is the loss of chapter 5 with the second view in the place of the text:
# where CLIP has a row per ECG and a column per report, NT-Xent has a row and a column per view, and leaves out the
# diagonal.
#
# Its weakness is the one that chapter 5 found in the paper's loss: whatever is not the partner is a negative. Two normal
# ECGs in sinus rhythm are pushed apart although no cardiologist could say what differs, and where half of the records are normal
# a quarter of all pairs are of this kind.
#
# ```{package-code} mccgaa_book/baselines/simclr.py
# :pyobject: nt_xent
# ```
#
# **MoCo v3** {cite}`chen2021mocov3` asks the same question of a second network. The keys come from a momentum encoder,
# an average of the encoder over the last steps. No gradient passes through it, and the average makes keys change slowly while
# queries learn to find them. Earlier versions kept a queue of old keys; version 3 takes the batch as it is.
#
# A predictor stands between the query and its key, as in BYOL, and the loss is taken both ways. The factor of twice the
# temperature only rescales gradients.
#
# ```{package-code} mccgaa_book/baselines/moco_v3.py
# :pyobject: info_nce
# ```
#
# **CLOCS** {cite}`kiyasseh2021clocs` needs no augmentation. A heart that was in atrial fibrillation in the first five
# seconds is usually still in it in the next five, and the method assumes that the chest leads show the same disease as the limb leads. So two segments of a
# record, or two sets of its leads, are views, and so are two records of one patient.
#
# For the last point subjects have to be known: several records of one are positives of each other, each pair with the
# weight of a record with itself. Of
# course a patient's rhythm may change from one year to the next; the authors found that it helps all the same.
#
# ```{package-code} mccgaa_book/baselines/clocs.py
# :pyobject: patient_loss
# ```
#
# **TS-TCC** {cite}`eldele2021tstcc` looks at time. From the past of one view, a small transformer predicts the next
# moments of the *other* view, and each prediction has to find its moment among those of all records. What both views
# have in common is then what carries on in time.
#
# A second loss compares the transformer's summaries of the two views as SimCLR does. The weak view is scaled, the strong
# one is cut and reordered, which for an ECG destroys the rhythm: a choice made for accelerometers and sleep stages.
#
# ```{package-code} mccgaa_book/baselines/ts_tcc.py
# :pyobject: temporal_loss
# ```

# %% [markdown]
# ## Methods without negatives
#
# If two views of a record must be alike and nothing must differ, the best embedding is a constant. Each of the next
# four methods avoids it in its own way, and the figure of training below watches whether it succeeds: the *spread* is
# the standard deviation of normalised embeddings, scaled so that 0 is one point and 1 the whole sphere. A run whose
# spread falls under a hundredth over an epoch stops with an error message.
#
# **BYOL** {cite}`grill2020byol` predicts what a second network makes of the other view. That network is a moving average
# of the first, so it always lags behind, and the prediction goes through a predictor that the average does not have.
#
# Nothing in the loss forbids a constant, and yet it does not come about as long as there are both the predictor and the
# lag. Take the predictor away and a toy network collapses in forty steps; a test of this package does so.
#
# ```{package-code} mccgaa_book/baselines/byol.py
# :pyobject: BYOL.loss
# ```
#
# **SimSiam** {cite}`chen2021simsiam` shows that the average is not needed. Both sides are the same network; one side has
# the predictor, and the gradient stops at the other. Its authors report what happens without the stop: the loss reaches
# its minimum at once, with all embeddings equal.
#
# The authors read it as an alternating optimisation: with the targets held, the network is fitted to them, and each step
# recomputes the targets.
#
# ```{package-code} mccgaa_book/baselines/simsiam.py
# :pyobject: SimSiam.loss
# ```
#
# **Barlow Twins** {cite}`zbontar2021barlow` writes the constraint into the loss. The correlation of every feature of one
# view with every feature of the other should be the identity: ones on the diagonal, so that a feature is the same in both
# views; zeros elsewhere, so that no two features say the same.
#
# A constant feature has no correlation with anything, and so violates the first part. No predictor, no second network
# and no stopped gradient are needed, and batches may be small.
#
# ```{package-code} mccgaa_book/baselines/barlow_twins.py
# :pyobject: cross_correlation
# ```
#
# ```{package-code} mccgaa_book/baselines/barlow_twins.py
# :pyobject: redundancy
# ```
#
# **ASTCL** {cite}`wang2024astcl` lets two networks play against each other. One view of a record is noisy, the other is
# filtered; a discriminator tries to tell their embeddings apart, and the encoder, through which its gradient passes
# reversed, learns to make that impossible. What is left says nothing of the noise.
#
# Around this game are a prediction of the other view's next moment and a term that makes one patient's records alike
# without any negatives. The paper is not freely available: the module says which parts follow its abstract and which are
# ours.
#
# ```{package-code} mccgaa_book/baselines/astcl.py
# :pyobject: adversarial_loss
# ```

# %% [markdown]
# ## Methods that reconstruct
#
# **ST-MEM** {cite}`na2024stmem` hides three quarters of the patches of every lead, encodes the rest of all leads together
# with a transformer, and lets a small decoder restore what was hidden, one lead at a time. What one lead lacks has to
# come from the other leads or from other beats.
#
# There are no views and no negatives. In return, the loss rewards whatever helps to draw a curve, such as the noise of a
# lead, and an embedding from which a linear layer can read a diagnosis is a by-product. The authors fine-tune; the paper's
# tables probe. It is also easily broken without a sound: with positions that are small beside a patch's content, and no
# warm-up, the decoder guesses zero from the first step to the last and nothing fails.
#
# ```{package-code} mccgaa_book/baselines/st_mem.py
# :pyobject: masked_mse
# ```
#
# **CRT** {cite}`zhang2024crt` does the same for the spectrum as well. A record is three sequences of patches: samples, magnitudes
# and phases. Many are dropped, and everything is to be reconstructed, so that time is filled in from frequency and
# frequency from time.
#
# A second term keeps different records apart, since a decoder that is good enough would leave the encoder little to do.
# How much is dropped grows with training: as large a share as that of training that is done, but 30 % at least and 80 % at most.
#
# ```{package-code} mccgaa_book/baselines/crt.py
# :pyobject: reconstruction
# ```
#
# ## A control and a relative
#
# **Random init** takes no step of training. Its features are those of random filters, and they are the reference of any
# probe: a ResNet below it has lost some of what random filters let a linear layer read. The two transformers have no such row. The paper prints
# one in Table 2, with numbers below chance on two tasks; chapter 9 shows a recipe that gives such numbers.
#
# **MERL** reads texts, as MCCGAA does: the same network without channel attention, the CLIP loss without the graph,
# and the two views of eq 31. It and MCCGAA are the only rows for which "zero-shot" has a meaning. Under the probe all
# rows are treated alike: what is probed of MCCGAA is its feature map, averaged over time, as of every other ResNet.
#
# Beside ECG and text MERL contrasts two views of each ECG that the network makes of one embedding: two linear maps, each
# with its own dropout. Its curves are those of {chapter}`06_pretraining`.
#
# ```{package-code} mccgaa/loss.py
# :pyobject: UnimodalAlignment.__init__
# ```

# %% [markdown]
# ## How training went

# %%
frame = lab.results("baselines").frame
run = [name for name in registry.ENTRIES if name in set(frame["variant"])]
labels = {name: registry.ENTRIES[name].label for name in run}
stamp = lab.results("baselines").stamp
page.glue("seeds", tables.seeds_of(frame))
page.glue("epochs", plan_of(lab.profile).epochs)
page.glue("own-epochs", lab.config().pretrain.epochs)
crt = registry.build(run_config(lab, "crt", 0))  # for its patches, not its weights
some = store.indices(split="train")[:512]
with torch.no_grad():
    cuts = crt.encoder.patches(crt.scaled(torch.from_numpy(store.batch(some))))
variances = torch.cat([cut.var(0, correction=0).mean(-1) for cut in cuts])
hardest = crt.settings.dropped[1]  # share of patches that is dropped at the end


def guesses(of):
    """What a guess costs in each loss that tells it before any data: method -> number."""
    batch = plan_of(of.profile).batch_size
    one, two = np.log(batch), np.log(2 * batch - 1)
    ts_tcc, moco = (run_config(of, name, 0).settings for name in ("ts-tcc", "moco-v3"))
    return {
        "simclr": two,
        "clocs": 2 * one,
        "ts-tcc": ts_tcc.temporal * 2 * one + ts_tcc.contextual * two,
        "moco-v3": 2 * 2 * moco.temperature * one,
        "st-mem": 1.0,
    }


guess = guesses(lab) | {"crt": hardest * variances.mean().item()}
crt_ends = plots.curve(frame, "crt", "loss").iloc[-1]
page.glue("crt-guess", guess["crt"], ".3f")
page.glue("crt-ends", crt_ends, ".3f")
masked = plots.curve(frame, "st-mem", "loss")
page.glue("st-mem-ends", masked.iloc[-1], ".2f")

# %% tags=["hide-input"] mystnb={"image": {"alt": "A panel per method over the share of training: its loss in blue, what a guess costs as a dotted line, and the spread of its embeddings in grey."}, "figure": {"caption": "The loss of each method (blue, left axis, in its own unit; dotted: what a guess costs, where that is known) and the spread of its embeddings (grey, right axis; 0: collapsed, 1: the sphere), means over seeds. More of a record is dropped as CRT goes on.", "name": "fig-baselines-training"}}
with page.drawn_from(lab):
    figure = plots.training_curves(frame, labels, guess)

# %%
cost = frame[frame["split"] == "train"]
cost = cost[cost["metric"].isin(["weights", "steps", "seconds"])]
cost = cost.pivot_table(index="variant", columns="metric", values="value", sort=False)
for when, at in (("first", 5), ("last", 100)):  # parts of a run, in per cent
    ends = [plots.curve(frame, name, "loss").get(at, np.nan) for name in cost.index]
    cost[f"loss, {when} twentieth"] = ends
page.table(
    cost.reindex(run)
    .rename(index=labels)
    .rename_axis("method")
    .rename(columns={"weights": "weights of the encoder"})
    .round({"seconds": 0}),
    "baselines-cost",
    f"What each row's encoder weighs, and what its training took (mean over seeds), on {'; '.join(stamp['trained'])}. Note: "
    f"{stamp['note'] or 'none'}.",
    lab=lab,
    digits=3,
)

# %% [markdown]
# ## Table 2, every row
#
# Rows that read no text are probes on 1 % of the labels, as in the print; MERL and MCCGAA answer without a single label.
# The two kinds are not comparable as methods, least of all here, where the texts were made from labels. The zero-shot cells are those of chapter 7, five seeds trained
# on a CPU. With 1 % of a small task's training split, many classes have no positive
# record at all, and a head without one scores 50 by construction: {glue:text}`no-positive` of all cells of classes behind this table.

# %%
zeroshot = lab.results("zeroshot").frame
page.glue("no-positive", tables.undecided(frame), ".0%")
rows = tables.table2(frame, {"merl": zeroshot, "mccgaa": zeroshot})
if lab.data_kind() == "real":  # not comparable: chapter 8, trained otherwise
    started = macros(results.load("beyond", "plus-real").frame, "real")
    started = results.over_seeds(started)["mean"].loc["started"]
    rows.loc["mccgaa+"] = pd.Series({"zero-shot": "yes", **started})

# %% tags=["hide-input"]
page.table(
    rows,
    "baselines-table-2",
    "Macro AUROC x 100: linear probes on 1 % (no), zero-shot (yes), beside the printed Table 2. The last row, where there is one, is chapter 8's model and "
    "not comparable: simulated ECGs first, longer training, augmentation.",
    lab=lab,
    digits=1,
    highlight=["MCCGAA"],
)

# %% [markdown]
# ## Table 3, every row
#
# First the mean over tasks, ours and as printed for the same tasks; then one table per task. The column that the paper repeats for all ten rows (Sub
# at 10 % is Form at 10 %) is shown as it is printed, beside numbers that were run.

# %% tags=["hide-input"]
page.table(
    tables.mean_of_tasks(frame, lab.tasks),
    "baselines-table-3-mean",
    "Linear probes, mean over tasks of macro AUROC x 100, the standard deviation of that mean over seeds, and the mean of the printed numbers of the same tasks. "
    f"Command: mccgaa run baselines --profile {lab.profile.name}.",
    lab=lab,
    digits=1,
    highlight=["MCCGAA"],
)


# %% tags=["hide-input"]
def show_tasks(of, name):
    """Show Table 3 of a lab task by task."""
    found = of.results("baselines").frame
    for title, task in paper.TASKS.items():
        if task in set(found["task"]):
            page.table(
                tables.table3(found, task),
                f"{name}-{task}",
                f"{title}: macro AUROC x 100 of a linear probe on 1, 10 and 100 % of the training split.",
                lab=of,
                digits=1,
                highlight=["MCCGAA"],
            )


show_tasks(lab, "baselines-table-3")

# %% [markdown]
# ## The same on simulated ECGs
#
# The twin has all six tasks of the paper, and on it the texts are *reports*, as MIMIC's are: the simulator writes one for each
# record, from that record's own findings, with omissions and errors. They are of other records than the tasks'. So MERL and
# MCCGAA have read no label of a record that is probed, but noisy statements of the same findings of others. What the twin cannot say is
# anything about patients: its records were made by a program, and what a network finds in them is what that program put there.
#
# The plan is shorter here: one seed and {glue:text}`twin-epochs` epochs ({glue:text}`twin-steps` steps) per method, {glue:text}`twin-minutes` minutes of one CPU core for
# all that these modules train; MERL and MCCGAA have the profile's own {glue:text}`twin-pairs` epochs. Probed with 1 %, every row has the
# same number on: {glue:text}`twin-flat`. No class there has a positive record, and the column lowers all means alike.

# %%
twin = labs[-1]  # this page's own profile where there is no other
twin_frame = twin.results("baselines").frame
took = twin_frame.set_index("metric")["value"]
page.glue("twin-steps", took["steps"].max(), ".0f")
page.glue("twin-minutes", took["seconds"].sum() / 60, ".0f")
page.glue("twin-pairs", twin.config().pretrain.epochs)
page.glue("twin-epochs", plan_of(twin.profile).epochs)
page.glue("twin-flat", ", ".join(tables.flat(twin_frame)) or "no task")
twin_zeroshot = twin.results("zeroshot").frame
twin_rows = tables.table2(twin_frame, {"merl": twin_zeroshot, "mccgaa": twin_zeroshot})

# %% tags=["hide-input"]
if other:
    page.table(
        tables.means_last(twin_rows),
        "baselines-twin-table-2",
        "Table 2 on simulated ECGs: macro AUROC x 100, linear probes on 1 % (no), zero-shot (yes), and the mean over tasks beside the printed one.",
        lab=twin,
        digits=1,
        highlight=["MCCGAA"],
    )
    page.table(
        tables.mean_of_tasks(twin_frame, twin.tasks),
        "baselines-twin-table-3-mean",
        "Table 3 on simulated ECGs: linear probes, mean over tasks of macro AUROC x 100, and of the printed numbers. "
        f"Command: mccgaa run baselines --profile {twin.profile.name}; trained on {'; '.join(twin.results('baselines').stamp['trained'])}.",
        lab=twin,
        digits=1,
        highlight=["MCCGAA"],
    )

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Table 3 task by task", "code_prompt_hide": "Table 3 task by task"}
if other:
    show_tasks(twin, "baselines-twin-table-3")

# %% [markdown]
# ## Not comparable: the models that come with the package
#
# The two models of chapter 8 read reports as sets of statements. One saw simulated ECGs and then real ones, the other not one real ECG. They
# were trained longer, on more records and with augmentation, so they belong to no row above; under the same probe they score:


# %%
def shipped(name):
    """The same probe, of a model that comes with the package: share -> AUROC x 100."""
    backbone, found = Backbone(load(name).model), {}
    for place in dict.fromkeys(lab.tasks.values()):
        own = {
            lab.profile.tested_on(t)[1]: t for t in lab.tasks if lab.tasks[t] == place
        }
        x = features(backbone, lab.store(place))
        for row in probe_tasks(x, lab.store(place), list(own), seed=0, bootstrap=0):
            macro = 100 * row.result.macro_auroc
            found[f"{row.share} %", own[row.task]] = macro
    return pd.Series(found).unstack(0)[[f"{share} %" for share in SHARES]]


fits = load().model.config.input == lab.profile.input
plus = {name: shipped(name) for name in ("mccgaa-plus", "mccgaa-plus-twin") if fits}

# %% tags=["hide-input"]
if plus:
    page.table(
        pd.concat(plus, names=["model", "task"]).swaplevel().unstack("model"),
        "baselines-shipped",
        "The same probe of the two shipped models: macro AUROC x 100, one model each, one draw of each share.",
        lab=lab,
        digits=1,
    )

# %% [markdown]
# ## How to read these tables
#
# - SD is the standard deviation over seeds, absent where there is one; a seed decides the first weights, the order of records and which
#   records are the 1 and 10 %. A ranking takes five seeds in this book, so these tables, with {glue:text}`seeds` of them,
#   list and do not rank: rows within ten points of each other on one task may change places with the next seed.
# - MERL and MCCGAA saw an eighth of the records that the others saw. {chapter}`09_linear_probe` has the two, and an untrained network, with five seeds.
# - The printed numbers are MERL's, and MERL's published code has another probe: 100 epochs of Adam whose learning rate falls within the first forty
#   steps, an encoder that is not frozen under the default name, and the epoch that is best *on the test split*. The chapter on linear probing
#   shows what parts of this are worth.
# - The printed encoders were trained on 771,693 records of MIMIC-IV-ECG; ours have seen what the banner says. Rows of one
#   table are comparable with each other, except in what "One protocol" names, and not with the column beside them.
# - The optimiser and its rate are MCCGAA's for all (section 4.1; its weight decay is not), ASTCL's settings are ours, and the others are those of each paper as far as they carry
#   over; each module says which. ST-MEM, CLOCS and TS-TCC were brought nearer to their published code after a
#   first version of each had been trained; for one choice, that CLOCS takes a single mean over pairs, the probe of a short trial was looked at. A method's place in the table is that of its defaults, in a small world: contrastive
#   methods want large batches, reconstruction wants many epochs, and both are short here.
# - The modules were read beside the published code, where there is one, and say in their first lines what they keep and
#   what they change. Two rows do less than their names promise: the discriminator of ASTCL never rises above a guess, and
#   CRT reconstructs what it sees and no more. Its loss ends at {glue:text}`crt-ends`; drawing the patches that are seen
#   and guessing the mean of the others costs {glue:text}`crt-guess`, the share that is dropped at the end times the patches' variance.
#
# ## What this page found
#
# {glue:text}`finding` ST-MEM has only begun to reconstruct: its loss ends at {glue:text}`st-mem-ends` here and at {glue:text}`st-mem-twin` under the
# shorter plan on simulated ECGs, where a guess costs 1; there its row is that of an encoder that has learned next to nothing.

# %% tags=["remove-input"]
minutes = frame.loc[frame["metric"] == "seconds", "value"].sum() / 60
frames = {one.data_kind(): one.results("baselines").frame for one in labs}
everywhere = all(
    set(one["variant"]) == set(registry.ENTRIES) for one in frames.values()
)
ran = "; ".join(
    f"{kind}: {one['variant'].nunique()} rows, seeds per row {tables.seeds_of(one)}"
    for kind, one in frames.items()
)
spreads = {
    f"{labels[name]}, {kind}": plots.curve(one, name, "spread").min()
    for kind, one in frames.items()
    for name in set(one["variant"]) & set(registry.trained_here()) - {"random"}
}
least = min(spreads, key=spreads.get)
ends = {
    f"{labels[name]}, {one.data_kind()}": plots.curve(
        frames[one.data_kind()], name, "loss"
    ).iloc[-1]
    / cost
    for one in labs
    for name, cost in guesses(one).items()
}
idle = [name for name, share in ends.items() if share > 0.95]
page.glue("st-mem-twin", plots.curve(twin_frame, "st-mem", "loss").iloc[-1], ".2f")
means = tables.means_of_seeds(frame, "auroc_100")  # variant -> one number per seed
low, high = min(means["random"]), max(means["mccgaa"])
resnets = [n for n in run if registry.ENTRIES[n].kind != "reconstruction"]
below = [n for n in resnets if max(means[n]) < low]
above = [n for n in run if n not in ("mccgaa", "merl") and min(means[n]) > high]
middle = {n: np.mean(means[n]) for n in run}
ahead = [n for n in run if n != "merl" and middle[n] > middle["mccgaa"]]
first = sorted(middle, key=middle.get)[::-1]
few = {n: np.mean(own) for n, own in tables.means_of_seeds(frame, "auroc_1").items()}
page.glue(
    "finding",
    f"With all labels the highest means over tasks are those of {labels[first[0]]} ({middle[first[0]]:.1f}) and {labels[first[1]]} "
    f"({middle[first[1]]:.1f}); MCCGAA has {middle['mccgaa']:.1f}, an untrained network {middle['random']:.1f}. With 1 % all rows lie between "
    f"{min(few.values()):.1f} and {max(few.values()):.1f}. So few seeds list rows and rank none.",
)
twice = paper.table(3).drop(index=["MERL", "MCCGAA"])
same = (twice["PTBXL-Sub 10%"] == twice["PTBXL-Form 10%"]).sum()
claims.show(
    claims.claim(
        "Every row of the paper's Tables 2 and 3 stands here as a run; no cell is quoted.",
        everywhere,
        f"{ran}; {minutes:.0f} minutes of training in the first, every process counted",
    ),
    claims.claim(
        "No embedding that is watched collapses to a point, and of the five losses that tell before any data what a guess costs only that of ST-MEM on simulated ECGs ends within 5 % of it.",
        min(spreads.values()) > 0.01 and idle == ["ST-MEM, synthetic"],
        f"smallest spread of any part of a run: {least}, {spreads[least]:.3f}; {'; '.join(f'{n} {share:.2f}' for n, share in ends.items())} of a guess",
    ),
    claims.claim(
        "CRT has not learned to reconstruct what it does not see: its loss ends at that of a guess.",
        abs(crt_ends / guess["crt"] - 1) < 0.05,
        f"{crt_ends:.3f} beside {guess['crt']:.3f}",
    ),
    claims.claim(
        "With all labels some trained ResNets lie below the untrained one in every seed, and no row lies above MCCGAA in every seed, though some that saw no text, and eight times the records, have higher means; they are listed and not ranked.",
        len(below) > 0 and len(ahead) > 0 and not above,
        "; ".join(
            f"{labels[n]} {middle[n]:.1f}" for n in [*below, "random", "mccgaa", *ahead]
        ),
    ),
    claims.claim(
        "The paper's Table 3 prints one column twice: all ten self-supervised rows have the same number on Sub and on Form at 10 %.",
        same == len(twice),
        f"{same} of {len(twice)} rows",
    ),
)

# %% [markdown]
# ## Exercises
#
# 1. Two views of every record of a batch of 64 are the same, and all records are orthogonal to each other. What is NT-Xent at a temperature of 0.1, and what if
# all 128 views are one point?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# log(1 + 126 exp(-10)), nearly zero; and log 127, which is guessing among the others.
axes, point = torch.eye(64), torch.ones(64, 64)
apart, together = nt_xent(axes, axes, 0.1), nt_xent(point, point, 0.1)
print(f"{apart:.4f} {together:.3f}")
assert abs(apart - np.log1p(126 * np.exp(-10))) < 1e-5
assert abs(together - np.log(127)) < 1e-5

# %% [markdown]
# 2. Barlow Twins asks for a cross-correlation that is the identity. With a lambda of 0.005, what are its two sums if both views are the same and the features independent, and what if
# the second half of the features repeats the first?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# Both sums are zero; with repeated features the first stays zero, and each of the D
# features puts a one off the diagonal: D times lambda.
torch.manual_seed(0)
columns = torch.linalg.qr(torch.randn(512, 9))[0]
z = columns[:, 1:] - columns[:, 1:].mean(0)
z = torch.linalg.qr(z)[0]  # eight centred features without any correlation
doubled = torch.cat([z[:, :4], z[:, :4]], dim=1)
sums = [redundancy(cross_correlation(v, v), 0.005) for v in (z, doubled)]
print([[round(float(part), 3) for part in pair] for pair in sums])
assert sum(sums[0]) < 0.01 and abs(float(sums[1][1]) - 8 * 0.005) < 1e-3

# %% [markdown]
# 3. At the start BYOL's target is a moving average that keeps 0.99 of itself at each step. If that stayed constant, after how many steps is half of its
# first weights gone, and how many epochs is that with batches of 128 from 1,786 records?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# After 69 steps, five epochs: the target lags behind by a twentieth of a run of a hundred.
kept, steps = 1.0, 0
while kept > 0.5:
    kept, steps = 0.99 * kept, steps + 1
print(f"{steps} steps, {steps / (1786 // 128):.1f} epochs")
assert steps == int(np.ceil(np.log(0.5) / np.log(0.99))) == 69
