"""A class is scored through its members and all of their wordings."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from test_knowledge import STATEMENTS
from test_zeroshot import Plain

from mccgaa.choices import Prompts, Reduction
from mccgaa.cli import build_parser
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, KnowledgeError
from mccgaa.knowledge import Entry, Knowledge
from mccgaa.plus.prompting import Prompting, texts_of
from mccgaa.zeroshot import class_scores, embed, score

BASE = """
s:
  A: {name: a, synonyms: [a1, a2], wordings: [a3, a]}
  B: {name: b, synonyms: [b1]}
  C: c
  D: {same_as: s/B, name: d}
f:
  AB: {name: both, members: [s/A, s/B]}
  ALL: {name: all, members: [f/AB, s/C, s/A]}
  SAME: {same_as: f/AB, name: again}
"""


@pytest.fixture
def base(tmp_path: Path) -> Knowledge:
    (tmp_path / "base.yaml").write_text(BASE)
    return Knowledge.load(tmp_path / "base.yaml")


def test_a_class_is_said_in_all_its_wordings_and_a_family_in_its_members(base):
    a, b = ("a", "a1", "a2", "a3"), ("b", "b1")
    assert base.prompts("s", "A") == [a]
    assert base.prompts("s", "D") == [("d", "b1")]
    assert base.prompts("f", "AB") == base.prompts("f", "SAME") == [a, b]
    assert base.prompts("f", "ALL") == [a, b, ("c",)], "each member once"
    assert base.text("f", "AB", "full") == "both.", "its own text stays as it was"
    assert base.find("A3").abbreviation == "A"
    assert base.wordings() == sorted([*a, *b, "c", "d", "both", "all", "again"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x: {A: {name: a, members: [x/B]}}", r"x/A has the member 'x/B', .* no class"),
        ("x: {A: {name: a, members: [B]}, B: b}", r"member 'B', which is no class"),
        ("x: {A: {name: a, members: [x/A]}}", r"member 'x/A', which it is part of"),
        (
            "x: {A: {name: a, members: [x/B]}, B: {name: b, members: [x/A]}}",
            "which it is part of",
        ),
        ("x: {A: {name: a, members: x/B}, B: b}", "members must be a list"),
        ("x: {A: {name: a, wordings: [1]}}", r"wordings must be a list, not \[1\]"),
    ],
)
def test_impossible_families_are_refused(tmp_path, content, said):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(KnowledgeError, match=said):
        Knowledge.load(tmp_path / "bad.yaml")


def test_fields_that_hold_nothing_leave_the_fingerprint_as_it_was():
    """The hash is that of the code before `wordings` and `members`."""
    plain = Knowledge({"x": {"A": Entry("a", "A", 1, "b", ("c",))}})
    assert plain.fingerprint == "7ae6c4a9ee"
    for field in ("wordings", "members"):
        entry = replace(Entry("a", "A", 1, "b", ("c",)), **{field: ("x/A",)})
        assert Knowledge({"x": {"A": entry}}).fingerprint != plain.fingerprint


@pytest.mark.skipif(not STATEMENTS.exists(), reason="the PTB-XL subset is not here")
def test_families_of_ptb_xl_have_the_statements_of_its_own_table():
    knowledge = Knowledge.load()
    with STATEMENTS.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["diagnostic"] == "1.0"]
    for task, column in (("super", "class"), ("sub", "subclass")):
        for cls in knowledge.classes(task):
            own = [r[""] for r in rows if r[f"diagnostic_{column}"] == cls]
            entry = knowledge.entry(task, cls)
            assert [f"statements/{name}" for name in own] == list(entry.members) or (
                len(own) == 1
                and entry.said == knowledge.entry("statements", own[0]).said
            )


def test_scores_are_reduced_over_wordings_or_members(base):
    classes = [base.prompts("f", "AB"), base.prompts("s", "C")]
    texts = texts_of(classes)
    assert texts == ["a", "a1", "a2", "a3", "b", "b1", "c"]
    cosine = np.array([[0.8, 0.0, 0.0, 0.0, 0.3, 0.5, -1.0], [-0.9] * 7])

    def reduce(reduction):
        first, second = Prompting("members", reduction).reduce(cosine, classes)
        assert second.tolist() == pytest.approx([-0.9, -0.9])
        return first.tolist()

    assert reduce("max") == [0.8, -1.0]
    assert reduce("mean") == pytest.approx([1.6 / 6, -1.0])
    assert reduce("best-member") == pytest.approx([0.4, -1.0])
    single = Prompting().of(base.entry("f", "AB"), base, "full")
    assert single == [("both.",)]


def test_unknown_choices_are_refused():
    with pytest.raises(ConfigError, match=r"zeroshot\.prompts is 'many'; expected"):
        Prompting("many")
    with pytest.raises(ConfigError, match="reduction is 'sum'"):
        Prompting("members", "sum")


def test_the_commands_offer_the_choices_that_there_are():
    parser = build_parser()
    for start in (["zeroshot", "--store", "s"], ["classify", "f", "--classes", "c"]):
        for flag, choices in (("--prompts", Prompts), ("--reduction", Reduction)):
            for choice in get_args(choices):
                args = parser.parse_args([*start, "--run", "r", flag, choice])
                assert getattr(args, flag[2:]) == choice


def test_a_task_is_scored_through_members(twin_store):
    store, knowledge, model = SignalStore.open(twin_store), Knowledge.load(), Plain()
    found = score(model, store, "super", knowledge, None, prompts="members")
    x = embed(model, store, found.rows)
    said_of = [knowledge.prompts("super", cls) for cls in found.classes]
    for c, said in enumerate(said_of):
        own = [class_scores(model, x, wording) for wording in said]
        expected = np.concatenate(own, axis=1).max(axis=1)
        np.testing.assert_allclose(found.scores[:, c], expected, atol=1e-6)
    options = {"prompts": "members", "reduction": "mean"}
    mean = score(model, store, "super", knowledge, None, **options)
    for c, said in enumerate(said_of):
        every = [text for wording in said for text in wording]
        expected = class_scores(model, x, every).mean(axis=1)
        np.testing.assert_allclose(mean.scores[:, c], expected, atol=1e-6)
    single = score(model, store, "super", knowledge, None)
    assert single.texts == found.texts and (single.scores != found.scores).any()
    default = score(model, store, "super", knowledge, None, prompts="single")
    assert np.array_equal(default.scores, single.scores)
