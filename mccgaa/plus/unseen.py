"""The strict protocol: classes that pretraining never meets, in records or in texts.

"Zero-shot" usually says that no classifier is fitted, while every class that is tested
occurs in the texts of pretraining. Here whole classes are held out: no record that
carries one is read, by any sign of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mccgaa.data.store import SignalStore
from mccgaa.errors import KnowledgeError
from mccgaa.knowledge import VOCABULARIES, Entry, Knowledge
from mccgaa.plus.statements import split_report

SHORTEST = (
    3  # letters of an abbreviation that is looked for in texts: AT is a word, too
)
HYPHENS = re.compile("[-\u2010-\u2013]")  # and an en dash
FEWEST = 3  # records of a sentence before the company that it keeps says anything
# What reports write in more than one way, in small letters without hyphens: the ways of
# the twin's reports and of the knowledge base, and no more. Who leaves classes out of
# other reports reads a sample of what is left.
SAME = {
    r"\b1st\b": "first",
    r"\b2nd\b": "second",
    r"\b3rd\b": "third",
    r"\b(?:non ?|un)(?=diagnostic|specific)": "non",
    r"\b(?:abnormality|abnormalities|changes?)\b": "change",
    r"\bvoltages\b": "voltage",
    r"\bst segment\b": "st",
    r"\bt waves?\b": "t",
    r"\bsupra ventricular\b": "supraventricular",
    # Conduction
    r"\ba v\b": "av",
    r"\bi([rl])bbb\b": r"incomplete \1 bundle branch block",
    r"\bc([rl])bbb\b": r"complete \1 bundle branch block",
    r"\b([rl])bbb\b": r"\1 bundle branch block",
    r"\br bundle": "right bundle",
    r"\bl bundle": "left bundle",
    r"\b(?:iv|intraventricular) conduction (?:defect|block|disturbance)\b": (
        "intraventricular conduction delay"
    ),
    r"\bpre excitation\b": "preexcitation",
    # Rhythm
    r"\b(?:extrasystole|premature (?:complex|contraction|beat))(?:s|es)?\b": "ectopy",
    r"\bpremature (\w+) (?:complex|contraction|beat)(?:s|es)?\b": r"\1 ectopy",
    r"\b(bi|tri)geminal pattern\b": r"\1geminy",
    r"\b(ectopic|multifocal) atrial rhythm\b|\bwandering atrial pacemaker\b": (
        r"\g<0>, atrial arrhythmia"
    ),
    r"\bnarrow complex tachycardia, paroxysmal\b|\bav nodal reentrant tachycardia": (
        "paroxysmal supraventricular tachycardia"
    ),
    r"\belectronic (?:atrial|ventricular) pacemaker\b": "electronic pacemaker",
    # Size and voltage
    r"\blvh\b": "left ventricular hypertrophy",
    r"\bleft ventricular hypertrophy by voltage\b": (
        "voltage criteria for left ventricular hypertrophy"
    ),
    r"\bprominent qrs voltage\b": "high qrs voltage",
    r"\b(?:qrs contour change|poor r wave progression|late precordial r.*transition)": (
        r"\g<0>, abnormal qrs"
    ),
    # Infarction, injury and ischemia, by place
    r"\banterior and lateral\b": "anterolateral",
    r"\binferior and lateral\b": "inferolateral",
    r"\binferior (?:and )?posterior\b": "inferoposterior",
    r"\b(?:(?:myocardial|wall) )?infarct(?:ion)?s?\b": "infarct",
    r"\binferior infarct with posterior extension\b": (
        r"\g<0>, inferoposterior infarct"
    ),
    r"\binferior infarct with posterior and lateral extension\b": (
        r"\g<0>, inferoposterolateral infarct"
    ),
    r"\bextensive anterior infarct\b": r"\g<0>, anterolateral infarct",
    r"\b(\w+) st depression, subendocardial injury\b": r"\g<0>, \1 injury",
    r"(?<!\w)septal ischemia\b": "anteroseptal ischemia",
    r"\b(?:left )?ventricular aneurysm\b": "left ventricular aneurysm",
    # Repolarisation
    r"\bborderline t change\b": "nondiagnostic t change",
    r"\bnonspecific st t change\b": r"\g<0>, nonspecific st change",
    r"\b(?!st )(\w+) t change may be due to myocardial ischemia\b": (
        r"\g<0>, \1 ischemia"
    ),
    r"\bt inversion in (\w+) leads, ischemia\b": r"\g<0>, \1 ischemia",
    r"\bischemia or strain\b|\brepolarization change suggests ischemia\b": (
        r"\g<0>, possible ischemia"
    ),
    r"\bt flattening\b": "flat t",
    r"\bqtc\b": "qt",
    r"\bqt interval prolonged\b": "prolonged qt interval",
    r"\belectrolytic\b": "electrolyte",
    r"\b(?:possible|consider) (?:hyper|hypo)kalemia\b": "electrolyte change",
}


@dataclass(frozen=True)
class Unseen:
    """Records that carry a held-out class, and how it shows.

    A class shows by a label of the record, whose name says it; by a sentence of its
    report that says the class in any wording of the knowledge base, in the plural, or
    as a negation; or by a sentence that is hardly ever in the report of a record
    without the class: that finds other languages and unknown wordings. What says more
    says it, too, as "incomplete right bundle branch block" says the block.
    """

    classes: dict[str, list[str]]  # as the setting names it -> what it stands for
    by_label: NDArray[np.bool_]  # (N,)
    by_text: NDArray[np.bool_]  # (N,)
    by_company: NDArray[np.bool_]  # (N,)

    @property
    def records(self) -> NDArray[np.bool_]:
        """(N,) whether a record is to be left out."""
        return self.by_label | self.by_text | self.by_company

    def facts(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Count what is left out of some rows of the store, such as the training's."""
        label, text, company = (
            found[rows] for found in (self.by_label, self.by_text, self.by_company)
        )
        return {
            "classes": self.classes,
            "records": len(rows),
            "left_out": int(self.records[rows].sum()),
            "by_label": int(label.sum()),
            "by_text_alone": int((text & ~label).sum()),
            "by_company_alone": int((company & ~label & ~text).sum()),
        }


def find_unseen(
    store: SignalStore, names: Sequence[str], knowledge: Knowledge
) -> Unseen:
    """Find the records that carry held-out classes.

    Args:
        store: packed records: their labels of every task, their statements, and the
            sentences of their reports are looked at.
        names: of classes, in plain words, or as "vocabulary/class"; a family stands
            for its members, too.
        knowledge: says what the classes are called.

    Raises:
        KnowledgeError: it knows no such class.
    """
    total = len(store)
    classes: dict[str, list[str]] = {}
    by_label, by_text, by_company = (np.zeros(total, dtype=bool) for _ in range(3))
    split = cache(split_report)
    texts = store.records["text"]
    sentences = [split(t) if isinstance(t, str) else [] for t in texts]
    distinct = sorted({s for some in sentences for s in some})
    plain = {s: _plain(s) for s in distinct}
    for name in names:
        meant = _meant(knowledge, name)
        classes[name] = sorted({entry.name for entry in meant})
        says = _pattern(meant)
        labelled = _labelled(store, knowledge, meant, says)
        saying = {s for s in distinct if says.search(plain[s])}
        said = np.array([not saying.isdisjoint(some) for some in sentences])
        company = _company(sentences, labelled | said)
        by_label |= labelled
        by_text |= said
        by_company |= [not company.isdisjoint(some) for some in sentences]
    return Unseen(classes, by_label, by_text, by_company)


def _meant(knowledge: Knowledge, name: str) -> list[Entry]:
    """Return the entry of a class, and those of its members."""
    vocabulary, _, cls = name.partition("/")
    if cls in knowledge.vocabularies.get(vocabulary, {}):
        entry: Entry | None = knowledge.entry(vocabulary, cls)
    else:
        entry = knowledge.find(name)
    if entry is None:
        raise KnowledgeError(
            f"pretrain.unseen: {knowledge.source} has no class {name!r}; give a name, "
            "such as 'atrial fibrillation', or a class, such as statements/AFIB."
        )
    return list(dict.fromkeys([entry, *knowledge.members(entry)]))


def _labelled(
    store: SignalStore,
    knowledge: Knowledge,
    meant: Iterable[Entry],
    says: re.Pattern[str],
) -> NDArray[np.bool_]:
    """Find records with a label that shares a name or synonym with the class.

    Names of statements, which pretraining may read in the place of reports, must not
    say it within others either.
    """
    called = {word.lower() for e in meant for word in (e.name, *e.synonyms)}
    columns = {task: task for task in store.meta["tasks"]}  # column -> vocabulary
    if store.meta["source"] in VOCABULARIES and "statements" in store.records:
        columns["statements"] = VOCABULARIES[store.meta["source"]]
    found = np.zeros(len(store), dtype=bool)
    for column, vocabulary in columns.items():
        known = knowledge.vocabularies.get(vocabulary, {})
        ours = {
            cls
            for cls, e in known.items()
            if not called.isdisjoint(word.lower() for word in (e.name, *e.synonyms))
            or (column == "statements" and says.search(_plain(e.name)))
        }
        found |= [
            labels is not None and not ours.isdisjoint(labels)
            for labels in store.records[column]
        ]
    return found


def _pattern(meant: Iterable[Entry]) -> re.Pattern[str]:
    """Match whatever says one of these classes, as whole words of a plain sentence."""
    words = {word for entry in meant for word in entry.said}
    short = (entry.abbreviation for entry in meant)
    words |= {word for word in short if len(word) >= SHORTEST}
    inner = "|".join(sorted(re.escape(_plain(word)) for word in words))
    return re.compile(rf"(?<!\w)(?:{inner})(?:s|es|\(s\))?(?!\w)")


def _plain(text: str) -> str:
    """Take case, hyphens, repeated spaces and ways to write the same out of a text."""
    plain = " ".join(HYPHENS.sub(" ", text.lower()).split())
    for way, one in SAME.items():
        plain = re.sub(way, one, plain)
    return plain


def _company(
    sentences: Sequence[Sequence[str]], carries: NDArray[np.bool_]
) -> set[str]:
    """Find sentences that are (nearly) only in reports of records with a class.

    More than half of a sentence's records carry the class; and of those that would not
    do so if the sentence said nothing, at most half do not.
    """
    everywhere = Counter(s for some in sentences for s in some)
    there = Counter(
        s for some, c in zip(sentences, carries, strict=True) if c for s in some
    )
    limit = (1 + carries.mean()) / 2
    return {
        s
        for s, count in there.items()
        if everywhere[s] >= FEWEST and count > limit * everywhere[s]
    }
