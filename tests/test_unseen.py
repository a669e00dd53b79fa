"""The strict protocol: whatever shows a held-out class keeps a record out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import MODEL, RUN, NumberEncoder

from mccgaa import pairs as module
from mccgaa.config import GafaConfig, LossConfig, PretrainConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import KnowledgeError
from mccgaa.knowledge import Entry, Knowledge
from mccgaa.pairs import load_pairs
from mccgaa.plus.unseen import _company, _meant, _pattern, _plain, find_unseen
from mccgaa_twin.reports import PHRASES

BASE = """
statements:
  AFIB: {name: atrial fibrillation, synonyms: [AF], wordings: [fibrillating atria]}
  SR: {name: sinus rhythm}
  LVH: {name: left ventricular hypertrophy}
  RVH: {name: right ventricular hypertrophy}
  AT: {name: atrial tachycardia}
  LAO/LAE: {name: left atrial enlargement}
  LAE: {name: something else}
super:
  HYP: {name: hypertrophy, members: [statements/LVH, statements/RVH]}
csn:
  AF: {name: atrial flutter}
  AFL: {name: fibrillation of the atria, synonyms: [atrial fibrillation]}
"""
# Each record's report, its statements, and its label in a task of another vocabulary.
RECORDS = [
    ("Sinus rhythm.", ["SR"], []),
    ("Rhythm unknown.", ["AFIB"], []),  # shows by a statement
    ("Rhythm unknown.", ["SR"], ["AFL"]),  # by a task's label
    ("No atrial  fibrillation.", ["SR"], []),  # by its name, as a negation
    ("Rapid AF; sinus rhythm.", ["SR"], []),  # by a synonym
    ("Fibrillating-atria.", ["SR"], []),  # by a wording
    ("AFIB?", ["SR"], []),  # by its abbreviation
    ("Two atrial fibrillations seen at night.", ["SR"], []),  # by a plural
    ("After safibx, naf and xafibs2.", ["SR"], ["AF"]),  # by nothing: other words
    (None, ["SR"], []),
    *[("Vorhofflimmern. Sinus rhythm.", ["AFIB"], [])] * 3,
    ("Vorhofflimmern.", ["SR"], []),  # by a sentence that keeps its company
    *[("Sinus rhythm.", ["SR"], [])] * 6,
    ("Left ventricular hypertrophy.", [], []),
    ("Sinus rhythm. Looked at.", ["RVH"], []),
]
SHOWN = {1: "label", 2: "label", 3: "text", 4: "text", 5: "text", 6: "text", 7: "text"}
SHOWN |= {10: "label", 11: "label", 12: "label", 13: "company"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Knowledge:
    file = tmp_path_factory.mktemp("base") / "base.yaml"
    file.write_text(BASE)
    return Knowledge.load(file)


def make(path: Path, source: str = "ptbxl") -> SignalStore:
    path.mkdir()
    total = len(RECORDS)
    np.save(path / "signals.npy", np.ones((total, 12, 64), dtype=np.int16))
    texts, statements, labels = zip(*RECORDS, strict=True)
    table = pd.DataFrame({"text": texts, "statements": statements, "csn": labels})
    table.assign(split=["train"] * (total - 1) + ["val"]).to_parquet(
        path / "records.parquet"
    )
    meta = {"records": total, "length": 64, "scale": 0.001, "sampling_rate": 64}
    meta |= {"duration": 1.0}
    meta |= {"transform": "bandpass-zscore", "tasks": {"csn": ["AF", "AFL"]}}
    meta |= {"source": source, "synthetic": True, "fingerprint": source}
    (path / "store.json").write_text(json.dumps(meta))
    return SignalStore.open(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SignalStore:
    return make(tmp_path_factory.mktemp("unseen") / "store")


@pytest.mark.parametrize("name", ["atrial fibrillation", "AFIB", "statements/AFIB"])
def test_a_class_shows_by_labels_texts_and_the_company_of_sentences(store, base, name):
    found = find_unseen(store, [name], base)
    assert np.flatnonzero(found.records).tolist() == sorted(SHOWN)
    for way in ("label", "text", "company"):
        alone = {i for i, first in SHOWN.items() if first == way}
        assert alone <= set(np.flatnonzero(getattr(found, f"by_{way}")))
    assert found.facts(np.arange(len(store) - 1)) == {
        "classes": {name: ["atrial fibrillation"]},
        "records": 21,
        "left_out": 11,
        "by_label": 5,
        "by_text_alone": 5,
        "by_company_alone": 1,
    }


def test_a_short_abbreviation_is_a_word_and_no_sign(store, base):
    found = find_unseen(store, ["statements/AT"], base)
    assert not found.records.any(), "AT is no sign, 'at night' and 'looked at' hold it"


def test_a_family_holds_out_its_members(store, base):
    found = find_unseen(store, ["super/HYP"], base)
    assert np.flatnonzero(found.records).tolist() == [20, 21]
    assert found.classes == {
        "super/HYP": [
            "hypertrophy",
            "left ventricular hypertrophy",
            "right ventricular hypertrophy",
        ]
    }
    both = find_unseen(store, ["super/HYP", "AFIB"], base)
    assert np.flatnonzero(both.records).tolist() == sorted([*SHOWN, 20, 21])


def test_sentences_that_keep_a_classs_company_are_mostly_with_it():
    """Half of the records carry the class, so the limit is three quarters."""
    carries = np.array([True] * 4 + [False] * 4)
    records = {"a": [0, 1, 2, 4], "b": [0, 1, 2, 3, 4], "c": [1, 2, 3], "d": [0, 1]}
    sentences = [[s for s, rows in records.items() if i in rows] for i in range(8)]
    assert _company(sentences, carries) == {"b", "c"}
    assert _company(sentences, np.ones(8, dtype=bool)) == set()


def test_company_is_also_kept_with_a_class_that_only_texts_say(tmp_path, base):
    store = make(tmp_path / "store")
    for row in (10, 11, 12):
        store.records.at[row, "text"] = "AFIB. Vorhofflimmern."
        store.records.at[row, "statements"] = ["SR"]
    store.records.at[13, "text"] = "Vorhofflimmern. Looked at."
    found = find_unseen(store, ["AFIB"], base)
    assert not found.by_label[10:14].any()
    assert found.by_company[10:14].all() and not found.by_text[13]
    assert found.facts(np.arange(10, 14))["by_company_alone"] == 1


def test_a_label_named_as_a_synonym_of_the_class_shows_it(tmp_path):
    file = tmp_path / "base.yaml"
    flutter = "  AFLT: {name: flutter, synonyms: [Atrial Flutter]}\nsuper:"
    file.write_text(BASE.replace("super:", flutter))
    store = make(tmp_path / "store")
    found = find_unseen(store, ["statements/AFLT"], Knowledge.load(file))
    assert np.flatnonzero(found.by_label).tolist() == [8]


def test_an_abbreviation_of_three_letters_says_its_class(store):
    known = Knowledge({"statements": {"NAF": Entry("a class", "NAF")}})
    found = find_unseen(store, ["statements/NAF"], known)
    assert np.flatnonzero(found.by_text).tolist() == [8]


def test_names_abbreviations_and_vocabularies_are_read_as_they_are(tmp_path, base):
    store = make(tmp_path / "store")
    store.records.loc[0, "text"] = "LVH."
    assert find_unseen(store, ["statements/LVH"], base).by_text[0]
    store.records.at[1, "statements"] = ["LAO/LAE"]
    found = find_unseen(store, ["statements/LAO/LAE"], base)
    assert np.flatnonzero(found.records).tolist() == [1]
    own = Knowledge({"statements": base.vocabularies["statements"]})
    found = find_unseen(store, ["AFIB"], own)  # whose base does not know the task
    assert found.by_label[10] and not found.by_label[2]


def test_a_statement_whose_name_says_more_says_the_class_and_a_family_does_not(
    tmp_path,
):
    """Names of statements are what pretraining may read; those of tasks are not."""
    file = tmp_path / "base.yaml"
    more = "  VCLVH: {name: voltage criteria for left ventricular hypertrophy}\nsuper:"
    more = BASE.replace("super:", more)
    more += "  CD: {name: flutter or left ventricular hypertrophy}\n"
    file.write_text(more)
    store = make(tmp_path / "store")
    store.records.at[1, "statements"] = ["VCLVH"]
    store.records.at[2, "csn"] = ["CD"]
    found = find_unseen(store, ["statements/LVH"], Knowledge.load(file))
    assert np.flatnonzero(found.by_label).tolist() == [1]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (
            "ventricular premature complex",
            "frequent premature ventricular contractions",
        ),
        ("ventricular premature beat", "ventricular extrasystoles"),
        ("ventricular premature beat", "Ventricular premature complex(es)."),
        ("first degree AV block", "1st degree A-V block"),
        ("incomplete right bundle branch block", "incomplete RBBB"),
        ("left bundle branch block", "l bundle branch block"),
        ("non-diagnostic T-wave abnormalities", "nondiagnostic t wave abnormality"),
        ("lateral injury", "Lateral ST segment depression, subendocardial injury"),
        ("inferior myocardial infarction", "Inferior infarct with posterior extension"),
        ("right bundle branch block", "IRBBB"),
        ("complete right bundle branch block", "CRBBB"),
        ("second degree AV block", "2nd degree AV block"),
        ("third degree AV block", "3rd degree AV block"),
    ],
)
def test_what_is_written_in_more_than_one_way_is_one_class(tmp_path, name, written):
    known = Knowledge({"statements": {"X": Entry(name, "X")}})
    store = make(tmp_path / "store")
    store.records.loc[0, "text"] = f"Sinus rhythm. {written}"
    found = find_unseen(store, ["statements/X"], known)
    assert np.flatnonzero(found.records).tolist() == [0]


@pytest.mark.parametrize("code", PHRASES)
def test_every_wording_of_a_simulated_report_says_its_statement(code):
    """But for one: of ST-T changes PTB-XL's reports do not say that T changes."""
    says = _pattern(_meant(Knowledge.load(), f"statements/{code}"))
    missed = [one for one in PHRASES[code] if not says.search(_plain(one))]
    assert missed == (["Nonspecific ST-T wave changes"] if code == "NDT" else [])


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("LMI", "Inferior infarct - age undetermined"),
        ("LMI", "Inferolateral myocardial infarction"),
        ("IMI", "Anteroseptal infarct - age undetermined"),
        ("ISCIN", "T inversion in lateral leads, ischemia"),
        ("ISCLA", "Anterior and lateral ischemia"),
        ("INJIN", "Inferolateral ST depression, subendocardial injury"),
        ("HVOLT", "Low QRS voltages in limb leads"),
        ("CRBBB", "Left bundle branch block"),
        ("IRBBB", "Complete right bundle branch block"),
        ("VCLVH", "LVH with ST-T changes"),
        ("PVC", "Premature atrial complexes"),
        ("LNGQT", "Prolonged PR interval"),
        ("BIGU", "Premature complexes in a trigeminal pattern"),
        ("NT_", "Nonspecific ST changes"),
        ("PVC", "Supra-ventricular extrasystole"),
    ],
)
def test_what_a_report_says_of_another_statement_does_not(code, other):
    assert not _pattern(_meant(Knowledge.load(), f"statements/{code}")).search(
        _plain(other)
    )


@pytest.mark.parametrize("dash", "-\u2010\u2011\u2012\u2013")
def test_a_hyphen_is_a_space_however_it_is_written(dash):
    assert _plain(f"First{dash}degree  AV block") == _plain("first degree AV block")


def test_statements_in_a_source_without_a_vocabulary_are_no_labels(tmp_path, base):
    found = find_unseen(make(tmp_path / "store", "mimic"), ["AFIB"], base)
    assert np.flatnonzero(found.by_label).tolist() == [2]


def test_an_unknown_class_is_refused(store, base):
    for name in ("broken heart", "statements/XYZ"):
        with pytest.raises(KnowledgeError, match=f"has no class '{name}'"):
            find_unseen(store, [name], base)


class Encoder(NumberEncoder):
    """Texts as a number each."""

    def __init__(self, *_args, **_options) -> None:
        pass

    def encode(self, texts, progress=False):
        return super().encode([f"text {len(t)}" for t in texts])


@pytest.mark.parametrize("kind", ["symmetric", "statements"])
@pytest.mark.parametrize("text", ["report", "knowledge"])
def test_pretraining_reads_no_record_and_no_text_of_an_unseen_class(
    store, base, monkeypatch, kind, text
):
    """Without `unseen` the same store leaks, in every way that there is."""
    monkeypatch.setattr(module, "TextEncoder", Encoder)
    model = MODEL.__class__(
        input=MODEL.input,
        encoder=MODEL.encoder,
        text=MODEL.text,
        gafa=GafaConfig(graph="none"),
        loss=LossConfig(kind=kind),
    )

    def read(unseen):
        settings = PretrainConfig(text=text, min_count=1, unseen=unseen)
        config = RUN.__class__(model=model, pretrain=settings)
        return load_pairs(store, config, base, device="cpu", progress=False)

    leaky, strict = read(()), read(("AFIB", "super/HYP"))
    out = {*SHOWN, 20, 21}
    assert out - {20, 21} <= set(leaky.train)
    assert out.isdisjoint(strict.train) and out.isdisjoint(strict.held_out)
    assert 0 in strict.train and 8 in strict.train
    signs = ("fibrillat", "vorhofflimmern", " af", "afib?", "hypertrophy")
    assert any(sign in t.lower() for t in leaky.distinct for sign in signs)
    assert not any(sign in t.lower() for t in strict.distinct for sign in signs)
    assert leaky.fingerprint != strict.fingerprint
    facts = strict.facts(text)["texts"]["unseen"]
    assert facts["left_out"] == 12 and facts["records"] == 21
    assert set(facts["classes"]) == {"AFIB", "super/HYP"}
    assert "unseen" not in leaky.facts(text)["texts"]
