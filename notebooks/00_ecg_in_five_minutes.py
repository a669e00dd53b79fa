# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An ECG in five minutes

# %% tags=["parameters"]
params: str = "params/synthetic.yaml"  # profile: how a network is shown an ECG
seed: int = 0  # of the simulated people

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mccgaa import load
from mccgaa.config import LEADS
from mccgaa.data.record import Quality, Record
from mccgaa.data.transform import prepare
from mccgaa.ready.classifier import folder_of
from mccgaa_book import page, results
from mccgaa_book.lab import Lab
from mccgaa_book.plots import data, lesson
from mccgaa_twin.reports import ReportStyle, write_report
from mccgaa_twin.simulate import simulate_record

config = Lab(params).config().model.input
people = page.Simulated("Every ECG of this page is simulated while it is made.")
page.start(people)
results.note_reading(folder_of(None) / "model.safetensors")  # of what `load` gives

# %% [markdown]
# **Why this page.** The paper and the chapters after this one speak of leads, waves, rhythms and reports. If you know networks
# and no ECGs, read this first: it takes five minutes. If you read ECGs, go on to the next chapter.
#
# **What you will have at the end.** The parts of a heartbeat by name, the twelve leads and where they look from, three
# findings that you can see with your own eyes, the report that a machine would write, and the array that a network is given.
#
# **What it needs.** Nothing: a heart model draws each ECG in a moment, and the model that is asked at the end comes with
# the package.

# %% [markdown]
# ## One beat
#
# A heart is a muscle that is switched on by electricity. The signal starts in the right atrium, crosses both atria, waits a
# moment at the only door to the ventricles, runs down two cables (the *bundle branches*) and spreads through the ventricles;
# then everything recovers. On the skin this gives about a millivolt. Here is one beat of a normal, simulated heart, as seen
# from the right arm to the left leg (lead II).


# %%
def simulated(*statements, people=seed):
    """One ECG of a heart with these findings, without noise, and the truth about it."""
    rng = np.random.default_rng(people)
    signal, truth = simulate_record(list(statements), rng, source=None)
    clean = Quality(nan_share=0.0, flat_leads=(), clipped_share=0.0)
    record = Record(
        "simulated", signal.astype("f4"), 500.0, "mV", np.ones(12, bool), clean
    )
    return record, truth


normal, truth = simulated("NORM")
II = normal.signal[LEADS.index("II")]

# %% mystnb={"figure": {"name": "fig-lesson-beat", "caption": "One beat in lead II. P: the atria are activated. QRS: the ventricles are activated. T: they recover. A small square is 0.04 s wide and 0.1 mV high."}, "image": {"alt": "A line on pink paper: a small round hump marked P, a tall narrow spike marked QRS, and a broad hump marked T. Three bars below measure the intervals PR, QRS and QT in milliseconds."}}
lesson.beat(II, normal.sampling_rate, truth.onsets[2], truth.pr, truth.qrs, truth.qt)
plt.show()

# %% tags=["hide-input"]
page.glue("pr", truth.pr, ".0f")
page.glue("qrs", truth.qrs, ".0f")
page.glue("qtc", truth.qtc, ".0f")
page.glue("rate", truth.heart_rate, ".0f")

# %% [markdown]
# - The **P wave** is small, for the atria are thin. From its beginning to that of QRS is the **PR** interval, the wait at the
#   door: 120 to 200 ms are normal; here it is {glue:text}`pr` ms.
# - The **QRS complex** is fast and tall: both ventricles are activated at once. Up to 110 ms are normal, here {glue:text}`qrs`
#   ms. From 120 ms on, one of the cables is often cut; beats that begin in the ventricles, a pacemaker and a shortcut
#   past the door widen it, too.
# - The **ST segment** after it should be level with the stretch before P. Raised or lowered, it can mean that muscle
#   lacks blood, now.
# - The **T wave** is recovery. **QT**, corrected for the heart rate, should stay below some 450 ms; here {glue:text}`qtc`.

# %% [markdown]
# ## Twelve leads
#
# One trace sees the heart from one direction. Electrodes on the arms, the left leg and at six places of the chest give twelve
# traces, the *leads*. Six of them look at the heart from the front, like the hands of a clock; six look at it from around
# the chest.

# %%
walls = pd.DataFrame(
    {
        "leads": ["II, III, aVF", "I, aVL, V5, V6", "V1, V2", "V3, V4", "aVR"],
        "look at the heart from": [
            "below",
            "the left",
            "the right and front",
            "the front",
            "the right, above",
        ],
        "and so at": [
            "the inferior wall",
            "the lateral wall",
            "the septum",
            "the anterior wall",
            "the inside; most is upside down",
        ],
    }
)
page.table(walls, "leads", "Where the twelve leads look from.")

# %% mystnb={"figure": {"name": "fig-lesson-sheet", "caption": "The same heart on clinical paper: 25 mm per second, 10 mm per millivolt. Each lead has 2.5 seconds; lead II runs through below."}, "image": {"alt": "A twelve-lead ECG on pink millimetre paper in four columns of three leads, and lead II for ten seconds below. The beats are regular, each with a small P wave, a narrow QRS complex and an upright T wave."}}
data.ecg_sheet(normal)
plt.show()

# %% [markdown]
# A doctor's first look takes five questions. Is it **regular**, and how fast? Count the large squares (0.2 s) between two
# beats and divide 300 by them; this heart beats {glue:text}`rate` times per minute. Is there a **P** before every QRS? Is QRS
# **narrow**? Where does it point (its *axis*: up in I and in II is normal)? Are **ST and T** where they should be?
# The names of most findings are the answers.

# %% [markdown]
# ## Three findings you can see
#
# Each strip below is another simulated heart, in the lead that shows its finding best.

# %%
findings = {
    "AFIB": ("II", "atrial fibrillation, lead II: no P waves, no two intervals alike"),
    "CRBBB": (
        "V1",
        "right bundle branch block, lead V1: QRS is wide and ends in a second peak",
    ),
    "IMI": ("III", "old inferior infarct, lead III: QRS begins with a deep, wide Q"),
}
hearts = {code: simulated(code, people=seed + i) for i, code in enumerate(findings, 1)}
traces = {
    title: hearts[code][0].signal[LEADS.index(lead)]
    for code, (lead, title) in findings.items()
}

# %% mystnb={"figure": {"name": "fig-lesson-strips", "caption": "Three findings, five seconds each."}, "image": {"alt": "Three rhythm strips on pink paper. The first has narrow beats at irregular intervals over a restless baseline; the second regular beats with a broad complex of two upward peaks; the third regular beats whose complex begins with a deep downward wave."}}
lesson.strips(traces, rate=500, seconds=5)
plt.show()

# %% [markdown]
# **Atrial fibrillation** is a matter of rhythm: the atria no longer beat but flicker, and the ventricles follow at random. One
# lead is enough to see it, and it can come and go within a minute. **A bundle branch block** is a matter of shape: one ventricle
# is activated through the other, late, in every beat. **An infarct** is a matter of place: dead muscle is a window, and
# the leads that look through it see the far wall activated away from them, a Q wave. The same Q in another lead is normal.
# Rhythm needs time, shape needs resolution, place needs several leads: a network for ECGs must be able to do all three. The paper's
# task *rhythm* asks for the first. *Form* asks for what is seen in a wave, such as an inverted T or an abnormal Q, whatever it
# means; *sub* asks for diagnoses, and the block and the infarct are among them.

# %% [markdown]
# ## What a machine report says
#
# Every modern recorder prints a diagnosis, and such sentences are the texts of the paper's pretraining: nobody
# wrote them for a network. They are short, built from a stock of phrases, hedged, sometimes incomplete and sometimes
# wrong. The twin writes them in the same manner. Here are four reports of one heart that has atrial fibrillation, a right
# bundle branch block and a thick left ventricle:

# %%
written = {"AFIB": 1.0, "CRBBB": 1.0, "LVH": 0.8}
record, truth = simulated(*written, people=seed + 4)
unreliable = ReportStyle(plain=0.0, doubt=0.5)  # more varied than the twin's usual ones
for attempt in range(4):
    report = write_report(written, truth, np.random.default_rng(attempt), unreliable)
    print("-", report.text)

# %% [markdown]
# The labels of the tests are another thing: codes such as AFIB, one set per record, most of them checked by people. That does
# not make them right: in the table that papers share for Chapman's ECGs 16.6 % of the rows are wrong, as chapter 1 shows.
# Zero-shot classification learns from sentences like those above and is asked about codes like these, through a text for each code. Chapters 3 and 7
# are about that bridge.

# %% [markdown]
# ## What a network sees
#
# No paper and no squares: an array of twelve rows. This profile's networks are given 100 samples per second, filtered and scaled
# so that each lead has mean 0 and deviation 1. The scaling takes away how many millivolts there were, which some findings
# (hypertrophy) are defined by; chapter 1 discusses what each choice costs.

# %%
array = prepare(record, config)
mean, deviation = abs(array[1].mean()), array[1].std()  # of lead II
print(f"shape {array.shape}; lead II: mean {mean:.2f}, deviation {deviation:.2f}")

# %% [markdown]
# And a trained one can be asked. The model that ships with the package has seen simulated ECGs and then real ones. Here it is
# asked which of five rhythms the heart with atrial fibrillation has:

# %%
rhythms = ["sinus rhythm", "sinus tachycardia", "sinus bradycardia", "atrial flutter"]
found = load().classify(record, [*rhythms, "atrial fibrillation"])
said = pd.DataFrame(
    {
        "rhythm": [f.name for f in found],
        "cosine": [f.cosine for f in found],
        "probability, %": [100 * f.chance for f in found],
    }
)
page.table(
    said, "asked", "What the shipped model says of five rhythms.", lab=people, digits=2
)

# %% [markdown]
# The cosine is that of the angle between the vector of the ECG and that of the rhythm's name: the whole book is about how these
# two vectors come to lie near each other. The probability was fitted to real records, each finding for itself, so the column
# does not add up to 100. Neither is a diagnosis, and this model is no medical device: asked for all findings, it suspects some
# that this heart does not have.

# %% [markdown]
# Next: {doc}`/notebooks/01_problem_and_data`. Words are in the {doc}`/glossary`, letters in the {doc}`/notation`.

# %% [markdown]
# ## Exercises
#
# Three questions to the hearts of this page. Answer first; the answers fold out, and each is computed.
#
# 1. Two beats are four large squares apart. How fast is the heart? Then take lead II of the normal heart above as a row of
# numbers, and find its rate without asking the simulator. What would you look for?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# 300 / 4 = 75 per minute: four squares are 0.8 s, and 60 / 0.8 = 75. In a row of numbers
# QRS is what is steep; the T wave may be as tall, but never as steep.
slope = np.abs(np.diff(II))
steep = np.flatnonzero(slope > slope.max() / 2) / normal.sampling_rate  # s
beats = steep[np.diff(steep, prepend=-1) > 0.25]  # s, the first one of each QRS
squares = np.diff(beats).mean() / 0.2
print(f"{squares:.2f} squares from beat to beat: {300 / squares:.1f} per minute")
assert abs(300 / squares - simulated("NORM")[1].heart_rate) < 2

# %% [markdown]
# 2. QRS is wide, and in V1 it points down all the way. Which bundle branch is cut? Think of which ventricle is late, and
# where V1 lies.


# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer", "figure": {"name": "fig-lesson-branches", "caption": "Lead V1 with either bundle branch cut."}, "image": {"alt": "Two rhythm strips on pink paper. With the left branch cut each wide QRS complex is one deep downward wave; with the right branch cut it ends in a second upward peak."}}
# The left one: the last muscle to be activated lies on the left, so V1 sees it go away.
cuts = {"left": simulated("CLBBB"), "right": simulated("CRBBB")}
V1 = {side: heart.signal[LEADS.index("V1")] for side, (heart, _) in cuts.items()}
late = {}
for side, (_, found) in cuts.items():
    starts = np.array(found.onsets) + found.qrs / 2000  # s, the middle of each QRS
    half = np.arange(found.qrs / 4)  # samples: 500 in a second, 0.5 in a ms
    at = (500 * starts[:, None] + half).astype(int)  # (beats, samples)
    level = np.median(V1[side])
    late[side] = V1[side][at[at < len(V1[side])]].mean() - level
    print(f"{side} branch cut: {late[side]:+.2f} mV late in QRS")
assert late["left"] < 0 < late["right"]
lesson.strips({f"V1, {side} branch cut": v for side, v in V1.items()}, 500, 5)
plt.show()

# %% [markdown]
# 3. Swap two rows of the array, aVL and aVF. A network would not notice if all of its training records were swapped alike;
# at the test it would look for an inferior infarct in the lateral wall. Can *you* notice it, with arithmetic and no
# network?

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Answer"}
# Yes: the limb leads are sums of each other, and aVF = (II + III) / 2 no longer holds.
swapped = normal.signal.copy()
aVL, aVF = LEADS.index("aVL"), LEADS.index("aVF")
swapped[[aVL, aVF]] = swapped[[aVF, aVL]]


def misfit(signal):
    """Largest violation of aVF = (II + III) / 2, mV."""
    return abs(signal[aVF] - (signal[1] + signal[2]) / 2).max()


print(f"as recorded {misfit(normal.signal):.3f} mV, swapped {misfit(swapped):.3f} mV")
assert misfit(normal.signal) < 0.02 < misfit(swapped)
# Chapter 1 shows that MIMIC-IV-ECG stores its leads in another order than the test sets,
# and why this package reads leads by name.
