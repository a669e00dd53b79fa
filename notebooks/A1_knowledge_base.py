# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The knowledge base

# %% tags=["parameters"]
params: str = "params/synthetic.yaml"  # profile: which knowledge base

# %% tags=["hide-input"]
import tempfile
from pathlib import Path

import pandas as pd

from mccgaa.errors import KnowledgeError
from mccgaa.knowledge import Knowledge
from mccgaa_book import claims, page
from mccgaa_book.lab import Lab

knowledge = Lab(params).knowledge
page.start()

# %% [markdown]
# **What the paper claims here.** Section 3.1: a clinical knowledge base $K$ holds a textual report for each
# diagnostic category. It was not published; this page lists ours, whole.
#
# **What you will have at the end.** Every class of every task with its name, its ECG criteria, its
# synonyms and, where one is certain, its SNOMED-CT concept; the acronyms that mean something else
# than a reader expects; and how to put a knowledge base of your own in its place.
#
# **What it needs.** Nothing: the entries come with the package, in `mccgaa/knowledge_base/*.yaml`. The chapter
# {doc}`/notebooks/03_text_and_knowledge` measures what an encoder makes of them.

# %% [markdown]
# ## How the entries were written
#
# - The criteria are standard ones of electrocardiography, shortened to what an encoder reads at once and
#   put in our own words. They describe; they are no instrument for diagnosing a patient.
# - A name says what a clinician would say. An abbreviation is the class's name in its dataset.
# - A SNOMED-CT code is given only where the dataset's own table (CSN) or the mapping of the
#   PhysioNet/CinC Challenge 2021 has one for this very finding. A dash means that none is certain, as
#   for classes that bundle several findings.
# - A class that means the same in two vocabularies is written once and referred to.
#
# One entry, as the package's code sees it:

# %%
entry = knowledge.entry("statements", "WPW")
for field, value in vars(entry).items():
    listed = ", ".join(value) if isinstance(value, tuple) else value
    print(f"{field}: {listed or 'none'}")

# %%
print(knowledge.text("statements", "WPW", "full"))


# %%
def listing(vocabulary):
    """A vocabulary as a table."""
    entries = {c: knowledge.entry(vocabulary, c) for c in knowledge.classes(vocabulary)}
    return pd.DataFrame(
        [
            (cls, e.name, e.criteria, ", ".join(e.synonyms), str(e.snomed or "\u2013"))
            for cls, e in entries.items()
        ],
        columns=["class", "name", "criteria", "synonyms", "SNOMED-CT"],
    )


def show(vocabulary, caption):
    """Put a vocabulary on the page."""
    page.table(listing(vocabulary), f"knowledge-{vocabulary}", caption)


# %% [markdown]
# ## PTB-XL: Super and Sub
#
# The five superclasses and 23 subclasses bundle the diagnostic statements. The names of CD and HYP say what
# belongs to them, for a reason that {doc}`/notebooks/03_text_and_knowledge` measures.

# %%
show("super", "The five superclasses.")

# %%
show("sub", "The 23 subclasses.")

# %% [markdown]
# ## PTB-XL: Form and Rhythm
#
# Four statements (NDT, NST_, DIG, LNGQT) are both a diagnosis and a form, as in the dataset's own table.

# %%
show("form", "The 19 form statements.")

# %%
show("rhythm", "The 12 rhythm statements.")

# %% [markdown]
# ## PTB-XL: all 71 statements
#
# A record's text is made of these: `record_text` joins those of its statements in the order of this table.

# %%
show("statements", "The 71 statements of PTB-XL.")

# %%
print(knowledge.record_text(["SR", "LAFB", "PVC"]))

# %% [markdown]
# ## CPSC2018

# %%
show("cpsc2018", "The nine classes of CPSC2018.")

# %% [markdown]
# ## Chapman-Shaoxing-Ningbo
#
# The acronyms of this dataset were made by its authors, and its table of condition names decides what they
# mean. Several mean something else than they do elsewhere; the paper's Figure 8 falls for two
# of them. The table compares the meaning that a reader expects with the dataset's own:

# %%
expected = {
    "ST": "ST segment",
    "AF": "atrial fibrillation",
    "STE": "ST segment elevation",
    "VEB": "ventricular ectopic beat",
    "SA": "sinoatrial (block)",
}
surprises = pd.DataFrame(
    [(a, said, knowledge.text("csn", a)) for a, said in expected.items()],
    columns=["acronym", "elsewhere often", "in CSN"],
)
page.table(surprises, "knowledge-surprises", "Acronyms of CSN that invite a mistake.")

# %% [markdown]
# :::{admonition} Reading note: STE is not ST elevation
# :class: warning
# CSN's table calls STE "ST extension" with SNOMED-CT 164930006, which is an abnormal ST interval, and has
# "ST tilt up" (STTU, 164931005) for ST elevation. Whoever words the class STE as "ST elevation" tests
# the wrong finding and has two classes of one text. CPSC2018's STE, in contrast, is ST elevation.
# :::

# %%
for task, cls in (("csn", "STE"), ("csn", "STTU"), ("cpsc2018", "STE")):
    entry = knowledge.entry(task, cls)
    print(f"{cls} of {task}: {entry.name}, SNOMED-CT {entry.snomed}")

# %%
show("csn", "The 38 classes of CSN that the literature uses.")

# %% [markdown]
# A record's header may hold any of the 63 acronyms of the dataset's table. Those that the 38 classes leave out:

# %%
table = listing("csn_statements")
rest = table[~table["class"].isin(knowledge.classes("csn"))].reset_index(drop=True)
page.table(rest, "knowledge-csn-rest", "The other acronyms of CSN.")

# %% [markdown]
# ## A knowledge base of your own
#
# A YAML or JSON file of the same form takes the packaged one's place, whole: set `knowledge:` in the profile, or call
# `Knowledge.load(path)`. A bare string is a name alone; `same_as` takes the fields of another class.

# %%
mine = """
rhythm:
  SR: sinus rhythm
  AFIB:
    name: atrial fibrillation
    snomed: 164889003
    synonyms: [AF]
    criteria: no P waves, irregular RR intervals
  AF: {same_as: rhythm/AFIB, name: AF}
"""
folder = Path(tempfile.mkdtemp())
(folder / "mine.yaml").write_text(mine)
own = Knowledge.load(folder / "mine.yaml")
for cls in own.classes("rhythm"):
    print(own.text("rhythm", cls, "full"))

# %% [markdown]
# What is not of this form is refused with the file and the key, and so is a class without an entry:

# %%
try:
    own.text("rhythm", "AFLT")
except KnowledgeError as error:
    print(str(error).replace(str(folder), "..."))

# %% [markdown]
# ## What this page found

# %% tags=["remove-input"]
tested = {
    vocabulary: [
        knowledge.entry(vocabulary, cls) for cls in knowledge.classes(vocabulary)
    ]
    for vocabulary in ("super", "sub", "form", "rhythm", "cpsc2018", "csn")
}
entries = [entry for group in tested.values() for entry in group]
coded = sum(entry.snomed is not None for entry in entries)
alike = [v for v, group in tested.items() if len({e.name for e in group}) < len(group)]
claims.show(
    claims.claim(
        "Every class of the six tasks has a name and criteria.",
        all(entry.name and entry.criteria for entry in entries),
        f"{len(entries)} classes, {coded} with a SNOMED-CT concept",
    ),
    claims.claim(
        "No two classes of a task have one name.",
        not alike,
        f"{len(tested)} tasks looked through",
    ),
    claims.claim(
        "CSN's STE is another finding than CPSC2018's STE.",
        knowledge.entry("csn", "STE").snomed
        != knowledge.entry("cpsc2018", "STE").snomed,
        f"SNOMED-CT {knowledge.entry('csn', 'STE').snomed} and "
        f"{knowledge.entry('cpsc2018', 'STE').snomed}",
    ),
)
