# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The problem and the data

# %% tags=["parameters"]
params: str = "params/synthetic.yaml"  # profile: which data and how long
real: str = "data"  # folder with real datasets to count as well; may be absent

# %% tags=["hide-input"]
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mccgaa.config import LEADS
from mccgaa.data import cpsc2018, csn, mimic, splits
from mccgaa.data.reader import left_out
from mccgaa.data.record import read_record
from mccgaa.data.wfdb_records import read_comments
from mccgaa.metrics import auroc
from mccgaa_book import claims, page, results
from mccgaa_book.audit import chapman
from mccgaa_book.audit import data as audit
from mccgaa_book.lab import Lab
from mccgaa_book.plots import data as plots

lab = Lab(params)
page.start(lab)

# %% [markdown]
# **What the paper claims here.** Section 3.1: a model that has read many ECGs with their reports can
# name findings that nobody ever labelled for it. Section 4.1 and Table 1: it is pretrained on 771,693
# pairs of MIMIC-IV-ECG and tested on six public tasks, all of them "significantly imbalanced", with
# numbers for the rarest classes.
#
# **What you will have at the end.** One ECG read from its file, lead by lead; Table 1 counted from
# folder trees as their publishers serve them, next to the printed one; the splits behind every later
# number; the printed claims about imbalance checked against public tables; and an account of a
# fault in the labels of the Chapman dataset that every published zero-shot result on it shares.
#
# **What it needs.** The four datasets of this profile: no model, no text encoder. The modules are
# `mccgaa/data/` (one reader per dataset) and the audits `mccgaa_book/audit/data.py` and `chapman.py`.

# %% [markdown]
# ## The problem
#
# An ECG of $D$ leads is a matrix $x \in \mathbb{R}^{D \times L}$, and each class of a task has a text:
#
# $$
# Q = f_{query}(Y, K), \qquad K = \{k_1, \dots, k_C\}
# $$ (eq-data-1)
#
# Zero-shot classification learns from a source of ECGs $X_s$ with their reports $Q_s$, and is then asked
# about other people, other hospitals, other devices, and classes by name only. So there are two
# kinds of data, and the paper keeps them strictly apart: one source to learn from, which has *texts*,
# and test sets, which have *labels*. No test set may be used to train, to stop, or to choose anything.
#
# Each dataset comes as a folder tree. A reader for each dataset turns it into rows with the same columns
# (path, subject, text, split, labels), and packing turns rows into one file of signals; whatever cannot
# be used is listed with a reason.

# %%
names = {"pretrain": "mimic", "ptbxl": "ptbxl", "cpsc2018": "cpsc2018", "csn": "csn"}
stores = {source: lab.store(name) for name, source in names.items()}
records = {source: store.records for source, store in stores.items()}
roots = {source: Path(lab.profile.recipe(name).root) for name, source in names.items()}
for source, table in records.items():
    print(f"{source}: {len(table):,} records")

# %% [markdown]
# ## One ECG
#
# Take one of MIMIC's records. Its header names the channels, and they are not in the order
# of the textbooks: aVF comes before aVL.

# %%
example = roots["mimic"] / records["mimic"]["path"].iloc[0]
header = example.with_suffix(".hea").read_text().splitlines()
in_file = [line.split()[-1] for line in header[1:13]]
print(header[0])
print("in the file:", *in_file)
print("as we read: ", *LEADS)

# %% [markdown]
# Code that trusts the order of the channels would swap aVL and aVF in all pretraining
# pairs and in none of the tests, and nothing would ever complain: the network would look in the lateral wall
# for what it has learned of the inferior one. `read_record` therefore takes leads by *name*, converts to millivolt, and refuses a
# record in which a lead is missing, unless it is asked to fill them.

# %%
record = read_record(example)
leads, samples = record.signal.shape
print(
    f"{leads} leads x {samples} samples in {record.units}, {record.sampling_rate:g} Hz"
)
print(
    f"{record.quality.nan_share:.0%} missing, flat leads: {len(record.quality.flat_leads)}"
)

# %% mystnb={"figure": {"name": "fig-data-ecg", "caption": "The first record of the pretraining source, drawn as it is printed on paper. A square is 0.2 s wide and 0.5 mV high."}, "image": {"alt": "A twelve-lead ECG on pink millimetre paper. Four columns of three leads show 2.5 seconds each, named I to III, aVR to aVF, V1 to V3 and V4 to V6; below them lead II runs for ten seconds."}}
plots.ecg_sheet(record)
plt.show()

# %% [markdown]
# Twelve leads are not twelve measurements. Einthoven's law makes lead II the sum of I and
# III, and the augmented leads are further sums: from two of the six limb leads the other four follow.
#
# $$
# II = I + III, \qquad aVR = -\tfrac{1}{2}(I + II)
# $$ (eq-data-einthoven)

# %%
lead = dict(zip(LEADS, record.signal, strict=True))
residual = abs(lead["II"] - lead["I"] - lead["III"]).max()
page.glue("einthoven", max(1, round(1000 * residual)))
page.glue("amplitude", abs(record.signal).max(), ".1f")

# %% [markdown]
# In this record the law holds to within {glue:text}`einthoven` microvolt, at amplitudes of up to
# {glue:text}`amplitude` mV. That is also why "selecting key leads" (the paper's reason for its channel
# attention) cannot mean that lead II carries what I and III together do not: see the chapter on
# the ECG encoder.
#
# ## Seven rows, four folder trees
#
# Table 1 names seven datasets, but PTB-XL is one tree with four label sets. The
# columns on the plain ground are counted here; the two tinted ones are printed in the paper.

# %%
table1 = audit.table1(records)

# %% tags=["remove-input"]
page.table(
    table1,
    "table1",
    "Table 1 for the data of this page, and as the paper prints it. "
    f"Command: mccgaa run table1 --profile {lab.profile.name}.",
    lab=lab,
)

# %% [markdown]
# The real ECGs of this book are 2,298 records of PTB-XL. Their Table 1, counted by the same code when they were scored:

# %% tags=["remove-input"]
for scored in [r for r in results.published("zeroshot") if r.synthetic is False][:1]:
    every = scored.frame[scored.frame["split"] == "all"]
    counted = every[every["metric"] == "records"].set_index("task")["value"]
    present = every[(every["metric"] == "positives") & (every["value"] > 0)]
    page.table(
        pd.DataFrame(
            {"records": counted, "classes": present.groupby("task")["class"].nunique()}
        ).astype(int),
        "table1-real",
        "Records and classes of the real subset, by task. Command: mccgaa run table1 --profile real.",
        lab=scored,
    )

# %% [markdown]
# The sources differ in more than their size, and that is the point of the exercise:
#
# | source | recorded in | who wrote what we use |
# |---|---|---|
# | MIMIC-IV-ECG | one hospital in Boston, 2008 to 2019, 160,000 patients | the cart's software: a report of one to a dozen phrases |
# | PTB-XL | Germany, 1989 to 1996, 18,869 patients | cardiologists: SCP-ECG statements, with likelihoods |
# | CPSC2018 | eleven hospitals in China | experts: one to three of nine classes |
# | Chapman-Shaoxing-Ningbo | two hospitals in China, 45,152 patients | physicians: any of some sixty SNOMED-CT codes |
#
# So the model learns from phrases that a program made in Boston, and is tested on what physicians
# thought elsewhere, on other devices, of other populations, in the words of four vocabularies.
#
# :::{admonition} Reading note: what the printed Table 1 leaves open
# :class: warning
# - MIMIC-ECG is called "multi-center". It was recorded at a single center.
# - MIMIC-IV-ECG is said to have 47 classes, 12 of them below 1 %. The dataset publishes *no* classes: it
#   has machine reports and measurements. Which 47 were meant, and how an ECG was
#   assigned to them, is not said; nothing in the method needs them.
# - "8:1:1" for PTB-XL is its own folds: 1 to 8, 9, and 10. Its four label sets have different
#   sizes because a record belongs to a task only if it has a statement of that kind.
# - The header says "Train/Test/Val", and "7:2:1" for the other two then means 20 % for the test. It is a
#   rule with two steps (below) that gives 72, 20 and 8 %.
# - CPSC2018 is "variable-length ... from 6 to 60 s", yet the model takes 10 s. What happens
#   to shorter and longer ones is not said.
# :::
#
# ## Labels made of statements
#
# A PTB-XL record has statements; `scp_statements.csv` says which of them are diagnostic (and then
# of which superclass and subclass), which describe the form of the curve, and which the rhythm. That
# makes four label sets of one list. A statement counts whatever its likelihood, as in
# the benchmarks that the paper compares with: even 0 (for "not given") is a label, 15 of 100 as well.

# %%
row = records["ptbxl"].iloc[0]
print("statements:", row["statements"])
for task in ("super", "sub", "form", "rhythm"):
    print(f"{task}: {row[task]}")

# %% [markdown]
# Where a record has nothing of a kind, the reader writes `None`, which is not an empty list. A record without any form statement is not a record
# with a normal form; it does not belong to the task, and is neither trained on nor tested there. That is
# why Form has 8,978 records of the 21,799, and why a detector of "any change of form" could not be
# judged on it: its records all have one.
#
# ## The texts to learn from
#
# MIMIC's report is up to 18 cells of text that the cart's software wrote. Cells are joined, EKG becomes ECG,
# asterisks and rules of "=" go, everything is lower case. What is left with fewer than four words is
# no report. The tables are joined by `study_id`, since their rows are in different orders.

# %%
cells = ["*** Sinus rhythm  with PAC(s) ***", "", "=====", "Abnormal EKG."]
mimic.clean_report(cells)

# %%
pairs = mimic.distinct_texts(records["mimic"])
rejected = pd.read_csv(stores["mimic"].path / "rejected.csv")
page.glue("pairs", pairs["records"])
page.glue("no-pair", len(rejected))
page.glue("distinct", pairs["distinct"])
page.glue("distinct-share", pairs["share"], ".0%")
page.glue("most-common", pairs["most_common"])
for text in records["mimic"]["text"].head(3):
    print("-", text)

# %% [markdown]
# The source of this page has {glue:text}`pairs` pairs; records left out: {glue:text}`no-pair` (`rejected.csv` would say why of
# each). Only {glue:text}`distinct` texts are distinct
# ({glue:text}`distinct-share`), and the commonest belongs to {glue:text}`most-common` different ECGs. In the
# real MIMIC-IV-ECG about 180,000 texts serve 800,000 records. A contrastive loss treats every other text
# of a batch as wrong, including those that are word for word the same: the chapters on texts and on the loss
# measure what that costs.
#
# ## Who trains, who tests
#
# A pretraining source is split by *subject*: a patient recorded twice must not be on both sides. MERL,
# the paper's ancestor, splits records; with 800,000 ECGs of 160,000 patients most held-out ECGs are then
# of patients who are also trained on. PTB-XL comes with folds that respect patients. For CPSC2018 and Chapman
# the literature shares a rule: 20 % of the rows for the test, then 10 % of the rest for validation,
# by scikit-learn with seed 42.

# %%
for split, count in splits.counts(splits.published(6877)).items():
    print(f"{split}: {count}")

# %% [markdown]
# That is 4950, 551 and 1376, as in the published tables. No subject of this page is on two sides:

# %%
shared_people = {s: audit.shared_subjects(table) for s, table in records.items()}
for source, count in shared_people.items():
    print(f"{source}: {count} subjects on two sides")

# %% [markdown]
# :::{admonition} Reading note: two splits that cannot be repeated from the rule
# :class: warning
# The rule permutes *positions*, so it needs the table's order.
#
# - For CPSC2018 the shared table was listed in the order in which a file system happened to return the
#   files. The counts follow from the rule; who is in the test set does not. We sort by record id.
# - For Chapman the published counts (16,546, 1860, 4620) are not what the rule makes of 23,026 rows.
#   [](#table-chapman-split) shows what they are: the split was made of a larger table, and the rows without any of the 38
#   classes were dropped from its three parts afterwards. The shared test table still lists its records in
#   the order of the permutation, and only one size of table fits that order.
# :::

# %% tags=["hide-input"]
page.table(
    chapman.split_of_rows([23_026, 26_118, 31_960, 31_961, 31_962, 45_152]),
    "chapman-split",
    "Which table was Chapman split from? 'found' counts how many of the first 54 published "
    "test records are, in order, among the first 100 of scikit-learn's permutation.",
    digits=3,
)

# %% [markdown]
# With 31,961 rows all 54 are found (31,962 makes nearly the same permutation); other sizes find some by
# chance. So 31,961 of the 45,152 records have only codes that the dataset's table of names
# knows, and 8935 of these have none of the 38 classes (sinus bradycardia alone, for example). Our reader draws the split at the same point.
#
# ## Imbalance
#
# "Notably, all datasets exhibit significant class imbalance", says section 4.1. They do:

# %%
tasks = {"super": "ptbxl", "cpsc2018": "cpsc2018", "rhythm": "ptbxl"}
tasks |= {"form": "ptbxl", "sub": "ptbxl", "csn": "csn"}
counts = {t: audit.class_counts(records[source], t) for t, source in tasks.items()}

# %% mystnb={"figure": {"name": "fig-imbalance", "caption": "The share of records that have a class, for the six tasks, on a logarithmic axis. Dashed: 1 %. Pink: classes below it; those without a bar have no record."}, "image": {"alt": "Six bar charts on logarithmic axes, classes sorted by share, from tens of per cent downwards. Super has no class below the dashed line at one per cent; rhythm, form, sub and above all Chapman end in a tail of pink bars below it, or of classes without any record."}}
plots.class_imbalance(counts)
plt.show()

# %%
measures = {task: vars(audit.imbalance(table)) for task, table in counts.items()}
measures = pd.DataFrame(measures).T.rename_axis("task").infer_objects()

# %% tags=["hide-input"]
page.table(
    measures.rename(columns=lambda name: name.replace("_", " ")),
    "imbalance",
    "The imbalance of the six tasks; shares of 1, top five of all labels.",
    lab=lab,
    digits=3,
)

# %% [markdown]
# The AUROC of a class with three positives is a lottery, yet in a macro average it weighs as much as
# that of a class with three thousand. Later chapters therefore give bootstrap intervals, and name
# the classes that have no positive or no negative and are left out. Table 1 above counts the classes that occur; the
# tables of this section count all that a task has, with those of no record.
#
# The paper's numbers about imbalance can be checked without any ECG, against the tables of diagnoses
# that the PhysioNet challenges publish and against the datasets' own lists of classes.

# %%
judged = audit.imbalance_claims()

# %% tags=["remove-input"]
page.table(judged, "imbalance-claims", "Printed claims of imbalance, checked.")
page.glue("claims", len(judged))
page.glue("claims-hold", int(judged["holds"].sum()))

# %% [markdown]
# :::{admonition} Reading note: classes that the datasets do not have
# :class: warning
# Of {glue:text}`claims` checkable claims {glue:text}`claims-hold` hold. CPSC2018 has no class "Other
# Arrhythmia" and no class below 1 %; its rarest, ST elevation, has 3.2 %. "Rare Conduction Disorders"
# is no statement of PTB-XL. "Atrial Flutter" is 0.35 % of the rhythm task, which the paper gives once as "below 0.6 %"
# and once as "only 0.5 %". The argument (rare classes are hard) does not depend on these numbers; but the
# paper's conclusion credits an imbalance analysis, and these sentences are all there is of it.
# :::
#
# ## The labels of Chapman
#
# A Chapman header carries SNOMED-CT codes; a table of the dataset gives each code an acronym.

# %%
richest = records["csn"]["statements"].str.len().idxmax()
header_of = roots["csn"] / records["csn"]["path"][richest]
acronym_of = csn.read_conditions(roots["csn"] / csn.NAMES)
codes = read_comments(header_of.with_suffix(".hea"))["Dx"]
for code in codes.split(","):
    print(code, acronym_of[code])

# %% [markdown]
# Two acronyms of that table invite misreading. In this dataset **ST** is sinus tachycardia, and **AF**
# is atrial *flutter*; fibrillation is AFIB:

# %%
acronyms = ["ST", "AF", "AFIB", "STE", "STTU", "VB", "AVB"]
meaning = {name: lab.knowledge.entry("csn", name).name for name in acronyms}
page.table(
    pd.Series(meaning, name="means").rename_axis("acronym").to_frame(),
    "chapman-acronyms",
    "What seven of Chapman's acronyms stand for.",
)

# %% [markdown]
# The caption of the paper's Figure 8 takes ST for "ST-segment abnormality" and AF for "atrial
# fibrillation". That is harmless compared with what follows. The label table that MERL published, and that
# later work took over (its 38 columns, 23,026 rows and split are those of Table 1), was made by
# asking, for each class, whether its acronym is a *substring* of the record's list:

# %%
statements = ["SB", "1AVB", "STTC"]  # bradycardia, first-degree block, ST-T change
print("exact:    ", csn.exact_labels(statements))
print("published:", csn.published_labels(statements))

# %% [markdown]
# Ventricular bigeminy (VB), because "1A**VB**" contains it; sinus tachycardia (ST), in a patient with
# *bradycardia*, because "**ST**TC" does. Nothing but the list of acronyms is needed to know which
# classes are hit:

# %%
causes = chapman.substring_causes(acronym_of.values())
page.table(causes, "chapman-causes", "Classes that other statements' acronyms contain.")

# %% [markdown]
# Every record with one of the statements on the right is labelled with the class on the left. How
# many is that? The first three columns of [](#table-chapman-fault) were counted once on the published table; the
# labels of this page's records show the same fault by the same rule.

# %%
shared = chapman.shared_fault()
here = chapman.label_fault(records["csn"]["statements"])
ours = here.classes.add_suffix(" here").reindex(shared.index)
page.table(
    shared.add_suffix(" (shared table)").join(ours),
    "chapman-fault",
    "Records of each class by exact acronym and as published: in the shared table, which is of "
    "real ECGs, and here.",
    lab=lab,
)
page.glue("wrong-rows", here.wrong_rows)
page.glue("fault-rows", here.rows)
page.glue("wrong-share", here.wrong_rows / here.rows, ".1%")
page.glue("shared-wrong", chapman.SHARED_WRONG_ROWS)
page.glue("shared-rows", chapman.SHARED_ROWS)
page.glue("shared-share", chapman.SHARED_WRONG_ROWS / chapman.SHARED_ROWS, ".1%")

# %% mystnb={"figure": {"name": "fig-fault", "caption": "Records of the seven classes that the substring rule hits: by exact acronym, and as published. Left, the table that the literature shares; right, the records of this page."}, "image": {"alt": "Two dumbbell charts on logarithmic axes. In the shared table VB has 3 records by exact acronym and 916 as published, AVB 176 and 913; AF, ST, SA, CR and 2AVB are hit less. The right panel shows the same seven classes for this page's records."}}
plots.label_fault({"Shared table": shared, "This page's records": here.classes})
plt.show()

# %% [markdown]
# :::{admonition} Reading note: one row in six
# :class: warning
# In the shared table {glue:text}`shared-wrong` of {glue:text}`shared-rows` rows ({glue:text}`shared-share`)
# carry at least one label that is not theirs; among this page's records {glue:text}`wrong-rows` of
# {glue:text}`fault-rows` ({glue:text}`wrong-share`). "VB" has 916 positives, of which 3 are
# bigeminy; in the test part its column is identical with that of "AVB". The class that a model is
# asked about by the text "ventricular bigeminy" is in truth AV block. And sinus bradycardia, the most
# frequent rhythm of the dataset, has no column at all.
#
# Every zero-shot number on "Chapman" that uses this table was measured against these labels: MERL's
# 74.45, and the paper's 76.41, to judge by its 23,026 rows and 38 classes. Our default is exact labels;
# `labels="published"` gives the others, for comparison only. Both have the same rows and splits.
# :::
#
# ## Ten seconds of a longer record
#
# CPSC2018's records last 6 to 60 s, and their label may rest on a premature beat in the last second.
# Three policies are offered: the first 10 s (default; shorter ones are padded), the first 5 s padded to
# 10 (what MERL's code does), and windows that cover everything, whose scores are averaged.

# %%
seconds = records["cpsc2018"]["recorded_seconds"]
page.glue("shortest", seconds.min(), ".0f")
page.glue("longest", seconds.max(), ".0f")
page.glue("longer", (seconds > 10).mean(), ".0%")
page.glue("unseen-10", (1 - 10 / seconds).clip(lower=0).mean(), ".0%")
page.glue("unseen-5", (1 - 5 / seconds).clip(lower=0).mean(), ".0%")
starts = ", ".join(f"{start:g}" for start in cpsc2018.window_starts(23.5))
print(f"windows of a record of 23.5 s start at {starts} s")

# %% [markdown]
# Here records last {glue:text}`shortest` to {glue:text}`longest` s and {glue:text}`longer` are longer than
# 10 s. The first 10 s leave {glue:text}`unseen-10` of an average record unseen, the first 5 s
# {glue:text}`unseen-5`. A record of 23.5 s makes three windows, the last of which ends with it.
#
# ## Real data
#
# Everything above runs unchanged on the real trees: the twin writes what PhysioNet serves, down to
# the odd header. Real datasets that lie in the folder `real` are counted by this cell:

# %%
found = audit.present(real)
for source, table in found.items():
    print(f"{source}: {len(table)} records, {len(left_out(table))} left out")
if found:
    page.table(
        audit.table1(found),
        "table1-found",
        "The rows of Table 1, counted in the real datasets that were found here, and as "
        "the paper prints them.",
        lab=page.Recorded(),
    )
if "csn" in found:
    fault = chapman.label_fault(found["csn"]["statements"])
    print(f"substring labels are wrong in {fault.wrong_rows} of {fault.rows} records")

# %% [markdown]
# To have all of them (about 107 GB, most of it MIMIC-IV-ECG; all four are open):
#
# ```
# mccgaa download mimic --root data/mimic
# mccgaa download ptbxl --root data/ptbxl
# mccgaa download cpsc2018 --root data/cpsc2018
# mccgaa download csn --root data/csn
# mccgaa book execute --profile paper --only 01_problem_and_data
# ```
#
# ## What this page found
#
# The pretraining source has texts and no classes, the test sets have labels and no texts, and the only bridge between them
# is language. Where this book prints a Chapman number, it says which labels it used.

# %% tags=["remove-input"]
wrong, rows = chapman.SHARED_WRONG_ROWS, chapman.SHARED_ROWS
rarest = min(audit.PUBLIC["cpsc2018"].values()) / 6877
drawn = chapman.split_of_rows([31_961])["found"].iloc[0]
claims.show(
    claims.claim(
        "One row in six of the Chapman label table that the literature shares is wrong.",
        round(rows / wrong) == 6,
        f"{wrong:,} of {rows:,}",
    ),
    claims.claim(
        "Two of the six printed claims of imbalance that public counts can check hold.",
        len(judged) == 6 and judged["holds"].sum() == 2,
        f"{judged['holds'].sum()} of {len(judged)}",
    ),
    claims.claim(
        "CPSC2018 has no class below 1 %, where the paper counts two.",
        rarest >= audit.RARE,
        f"its rarest has {rarest:.1%}",
    ),
    claims.claim(
        "Chapman's published split was drawn before its rows without a class were dropped.",
        drawn == len(chapman.SHARED_TEST),
        f"all {drawn} known test records are found, in order, in a table of 31,961 rows",
    ),
    claims.claim(
        "Nobody in this page's records is on two sides of a split.",
        not any(shared_people.values()),
        f"subjects on two sides: {sum(shared_people.values())}",
    ),
)

# %% [markdown]
# ## Exercises
#
# What is in a record, a label, a score? Decide first; the answers fold out, and each is computed on this page's data.
#
# 1. An ECG has twelve rows, but the limb leads are sums of each other. How many of the twelve are enough to rebuild the
# rest?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# Eight: I, II and the six chest leads. III, aVR, aVL and aVF follow from I and II.
two = np.stack([lead["I"], lead["II"]])  # (2, T)
others = np.stack([lead[name] for name in ("III", "aVR", "aVL", "aVF")])  # (4, T)
mixing = np.linalg.lstsq(two.T, others.T, rcond=None)[0].T  # (4, 2)
print(pd.DataFrame(mixing.round(3), ["III", "aVR", "aVL", "aVF"], ["of I", "of II"]))
error = abs(mixing @ two - others).max()
print(f"largest error: {1000 * error:.0f} microvolt")
assert error < 0.02 * abs(record.signal).max()

# %% [markdown]
# 2. Which classes does the published rule give a record whose only statement is AFIB? Repair the rule with the smallest
# change you can think of, and show on all records of this page that the repair is complete. What would have found the fault?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# AF as well, which is flutter here. To split the list at its commas repairs it; one test
# that labels a record with a single statement, for each statement, would have found it.
print("a record with AFIB alone:", *csn.published_labels(["AFIB"]))


def repaired(statements):
    """The published rule, looking for whole acronyms."""
    joined = ",".join(statements).split(",")
    return [name for name in csn.CLASSES if name in joined]


every = records["csn"]["statements"]
assert csn.published_labels(["AFIB"]) == ["AF", "AFIB"]
assert all(repaired(one) == csn.exact_labels(one) for one in every)
wrong_alone = [a for a in csn.CLASSES if csn.published_labels([a]) != [a]]
print("classes that a record with one statement would show wrong:", *wrong_alone)

# %% [markdown]
# 3. A score that is drawn at random has an AUROC of 0.5, on average. How far from it does a class typically fall by luck
# alone, if it has $n$ positives among many records? Guess it for the rarest and for the commonest rhythm of this page.

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# By about 0.29 / sqrt(n), if it is rare: the deviation is sqrt((n + m + 1) / (12 n m)),
# with m negatives. In a macro mean both classes weigh the same.
rng, luck = np.random.default_rng(0), {}
size = int(records["ptbxl"]["rhythm"].notna().sum())
present = counts["rhythm"]["records"]
for n in (int(present[present > 0].min()), int(present.max())):
    labels = np.arange(size) < n
    drawn_scores = rng.random((500, size))
    spread = np.std([auroc(labels, one) for one in drawn_scores])
    luck[n] = spread, np.sqrt((size + 1) / (12 * n * (size - n)))
    print("positives: {}, deviation {:.3f}, formula {:.3f}".format(n, *luck[n]))
assert all(abs(found / formula - 1) < 0.2 for found, formula in luck.values())
assert luck[min(luck)][0] > luck[max(luck)][0]
