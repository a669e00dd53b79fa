# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The twin: a simulated mirror of four datasets

# %% tags=["parameters"]
params: str = "params/synthetic.yaml"  # profile; only its kind of evidence is used here
records: int = 6  # simulated and measured for each finding
reports: int = 2000  # written without signals, to study their variety

# %% tags=["hide-input"]
import numpy as np

from mccgaa_book import claims, page
from mccgaa_book.audit import twin as audit
from mccgaa_book.audit import twin_data
from mccgaa_book.lab import Lab
from mccgaa_book.plots import twin as plots
from mccgaa_twin.simulate import simulate_record

lab = Lab(params)
page.start(lab)

# %% [markdown]
# **What this is for.** The paper's data are 97 GB of MIMIC-IV-ECG and three more collections. This book
# must also run where none of them is. So it simulates: ECGs from a heart model, with
# machine-like reports, laid out in the folder trees and file formats that PhysioNet serves. The same readers read
# both, and going over to real data is one path.
#
# **What you will have at the end.** How a simulated heart makes twelve leads, what a finding changes in it, by which
# textbook criterion; a table that measures, with rulers that did not make the ECGs, whether the
# findings meet their criteria; and what is known of the reports. How far a model trained
# on the twin gets on real records is measured in {doc}`/notebooks/real/A4_transfer`.
#
# **What it needs.** Nothing but the package. The modules are in `mccgaa_twin/`, the measurements in
# `mccgaa_book/audit/twin.py`.

# %% [markdown]
# ## From a heart to twelve leads
#
# The ventricles are cut into segments. Each is activated at a time that depends on how the
# impulse reaches it, and adds a dipole in the direction in which its wall points; atria and
# repolarisation add theirs. Their sum at a moment is the heart vector $\mathbf{d}(t)$, in three
# dimensions. A torso is a matrix $\mathbf{T}$ that projects it to the eight independent leads, and the other four
# are made of them:
#
# $$
# \begin{gathered}
# \begin{pmatrix} I & II & V1 \dots V6 \end{pmatrix}^\top(t) = \mathbf{T}\, \mathbf{d}(t), \\
# III = II - I, \qquad aVR = -\tfrac{I + II}{2}
# \end{gathered}
# $$ (eq-twin-leads)
#
# So Einthoven's and Goldberger's identities hold exactly before noise, as they do in a body. The matrix is
# Dower's, varied from subject to subject.

# %% mystnb={"figure": {"name": "fig-activation", "caption": "Synthetic: when each segment of the simulated ventricles is activated, in ms after the onset of QRS, for four ways in which an impulse can spread."}, "image": {"alt": "A heat map of segments by way of activation. In bundle branch blocks the segments of the blocked side come late."}}
fig = plots.activation(twin_data.activation_times())

# %% [markdown]
# A bundle branch block is nothing but late segments: cut the right bundle, and the right wall is reached through the
# septum. The broad QRS, the terminal R in V1, the axis are not put in; they follow.

# %%
identities = twin_data.identities(["NORM", "SR"])
page.table(
    identities,
    "twin-identities",
    "Largest deviation from the lead identities in one record, mV: noiseless, and as a device records it.",
    lab=lab,
    digits=4,
)

# %% [markdown]
# After noise and rounding, the identities hold to the noise of the electrodes and the steps of the device, as in real records.
#
# ## What a finding changes
#
# The parameters were not guessed in the dark: amplitudes, T waves, conduction and noise were chosen while
# the simulated beats were compared with real ones of PTB-XL, folds 1 to 8. So the twin is no
# independent witness about those records.
#
# Each of PTB-XL's 71 statements is a documented change of the heart, of its rhythm, or of the recording, with
# the criterion that it implements and the source of that criterion. Its strength varies from record to
# record, and findings combine.

# %%
criteria = audit.criteria()
page.glue("statements", len(criteria))
chosen = ["CLBBB", "CRBBB", "IMI", "ASMI", "LVH", "LAFB", "LNGQT", "WPW"]
page.table(
    criteria[criteria["statement"].isin(chosen)].reset_index(drop=True),
    "twin-criteria",
    "Some of the criteria that the simulated findings implement.",
    lab=lab,
)

# %% mystnb={"figure": {"name": "fig-beats", "caption": "Synthetic: the median beat of one simulated subject, normal in grey and with one finding in blue; six leads."}, "image": {"alt": "Rows of beats, one row per finding: bundle branch blocks are broad, infarcts have Q waves, hypertrophy is tall."}}
normal = twin_data.beat(["NORM", "SR"])
shown = {code: twin_data.beat([code, "SR"]) for code in chosen[:6]}
fig = plots.beats(shown, normal)

# %% [markdown]
# Rhythms are processes of their own: a sinus node with respiratory variability, atrial
# fibrillation with irregular intervals and fibrillatory waves in place of P, flutter with a sawtooth
# and a fixed or changing conduction, premature beats with their pauses.

# %% mystnb={"figure": {"name": "fig-rhythms", "caption": "Synthetic: eight seconds of lead II in six simulated rhythms, with measurement noise."}, "image": {"alt": "Six strips of lead II: sinus rhythm, atrial fibrillation, flutter, premature ventricular beats, bigeminy, pacing."}}
codes = {
    "sinus rhythm": ["NORM", "SR"],
    "atrial fibrillation": ["AFIB"],
    "atrial flutter": ["AFLT"],
    "premature ventricular complexes": ["PVC", "SR"],
    "bigeminy": ["BIGU", "SR"],
    "paced rhythm": ["PACE"],
}
signals = {
    name: simulate_record(given, np.random.default_rng(7))[0][1]
    for name, given in codes.items()
}
fig = plots.strips(signals, seconds=8)

# %% [markdown]
# ## Do the findings meet their criteria?
#
# A simulator that is asked whether a block is broad will say yes. So the question is put to two rulers that
# did not make the ECG: NeuroKit2's delineation of waves {cite}`makowski2021neurokit`, and a
# measurement of the median beat by the speed of the heart vector. Both see the noisy record only.

# %%
measured = audit.in_range(records=records)
shown = measured[["finding", "measure", "textbook", "median"]].copy()
shown["measure"] = shown["measure"].str.replace("_", " ")
ends = zip(measured["p10"], measured["p90"], strict=True)
shown["10 to 90 %"] = [f"{low:.3g} to {high:.3g}" for low, high in ends]
for ruler in ("truth", "measured", "NeuroKit2"):
    shown[ruler] = measured[f"{ruler} in range"]

# %% tags=["remove-input"]
page.table(
    shown,
    "twin-ranges",
    "What the median-beat ruler reads, and the share of records inside the textbook range "
    f"by the truth, by it, and by NeuroKit2; {records} records per finding.",
    lab=lab,
)
share = measured["measured in range"]
page.glue("ranges", len(measured))
page.glue("in-range", share.mean(), ".0%")
page.glue("truth-in-range", measured["truth in range"].mean(), ".0%")

# %% mystnb={"figure": {"name": "fig-ranges", "caption": "Synthetic: what the median-beat ruler reads in simulated records (median and middle 80 per cent) against the textbook range of each finding."}, "image": {"alt": "One row per finding: a shaded band for the textbook range and a dot with a bar for the measured values, in five panels."}}
fig = plots.ranges(measured)

# %% [markdown]
# Over the {glue:text}`ranges` ranges, {glue:text}`in-range` of the measurements lie inside, against
# {glue:text}`truth-in-range` of the values that the simulator says it made. The difference is the
# ruler's error as well as the simulator's: both rulers miss
# by what the next table says, even where nothing is wrong.

# %% tags=["hide-input"]
errors = audit.ruler_error(records=records)
errors["measure"] = errors["measure"].str.replace("_", " ")
page.table(
    errors,
    "twin-rulers",
    "Error of both rulers on simulated normal records, against the simulator's truth.",
    lab=lab,
    digits=1,
)

# %% [markdown]
# ## Reports as a machine writes them
#
# MIMIC's reports come from the cart. The twin's are worded likewise, with synonyms, hedges and stock
# phrases, and with faults at stated rates: findings left out, contradictions, errors. Many are equal to each other, so that a
# batch holds false negatives, as in MIMIC.

# %%
written = twin_data.reports(reports)
page.glue("reports", len(written))
page.glue("distinct", written["text"].nunique())
page.table(
    twin_data.fault_rates(written).rename_axis("fault"),
    "twin-faults",
    "Faults that the simulated reports carry on purpose.",
    lab=lab,
    digits=3,
)
for report in written["text"].head(4):
    print("-", report)

# %% mystnb={"figure": {"name": "fig-variety", "caption": "Synthetic: distinct texts against the number of simulated reports."}, "image": {"alt": "A curve that rises more and more slowly than the diagonal."}}
fig = plots.variety(twin_data.variety(written))

# %% [markdown]
# Of {glue:text}`reports` reports, {glue:text}`distinct` are distinct.
#
# ## Four sources, four devices
#
# The four mirrors differ as their originals do: in the device's gain and filters, in noise, in
# length (6 to 60 s in CPSC2018), in who comes to be recorded. A model trained on one meets a shift of
# domain on another.

# %% mystnb={"figure": {"name": "fig-spectra", "caption": "Synthetic: mean power spectrum of one lead by source, the same hearts on every device."}, "image": {"alt": "Four spectra on logarithmic axes; they agree in the middle and differ at low and high frequencies."}}
fig = plots.spectra(twin_data.spectra(records=records))

# %% [markdown]
# How often is each finding there? The mirror of PTB-XL should have the shares that PTB-XL publishes. MIMIC-IV-ECG publishes
# none, so the mirror of it is set beside PTB-XL too: not as a check, but to see how far the two populations differ.

# %% mystnb={"figure": {"name": "fig-prevalence", "caption": "Synthetic: share of each of PTB-XL's statements in two of the twin's mirrors, against its published share in PTB-XL. Named are the five that depart most in the mirror of PTB-XL. MIMIC-IV-ECG publishes no shares of its own."}, "image": {"alt": "Two scatter plots on logarithmic axes. In the mirror of PTB-XL points lie near the diagonal; in the mirror of MIMIC-IV-ECG most rare statements lie above it."}}
fig = plots.prevalence(twin_data.prevalence(records=reports))

# %% [markdown]
# :::{admonition} Reading note: what the twin cannot show
# :class: warning
# The twin knows what its makers know of the ECG, and nothing else. It has no patient, no disease
# course, no label that a cardiologist would dispute. A method that does well on it may do so because
# the simulated world is simple. Nothing on a synthetic page is evidence about patients, and no difference
# between methods seen there counts until real records repeat it.
# :::

# %% [markdown]
# ## What this page found

# %% tags=["remove-input"]
claims.show(
    claims.claim(
        "Most measurements of a simulated finding lie in its textbook range, by rulers that "
        "did not make the ECG.",
        share.mean() > 0.8,
        f"{share.mean():.0%} over {len(measured)} ranges, {records} records per finding",
    ),
    claims.claim(
        "Two machine-like reports in a batch are often the same text, as in MIMIC.",
        written["text"].nunique() < 0.9 * len(written),
        f"{written['text'].nunique():,} of {len(written):,} are distinct",
    ),
)
