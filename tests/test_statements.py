"""Reports are split into statements, and every record finds its own again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_device import fake_gpu

from mccgaa.plus.statements import Statements, Targets, digest, split_report

SETS = [["b", "a"], ["b"], [], ["c", "b"], ["d", "a"]]


@pytest.mark.parametrize(
    ("report", "statements"),
    [
        (
            "Sinus rhythm. Left axis deviation. Abnormal ECG.",
            ["sinus rhythm", "left axis deviation", "abnormal ecg"],
        ),
        (
            "ST depression 0.5 mV in V5; low voltage\nnormal  axis",
            ["st depression 0.5 mv in v5", "low voltage", "normal axis"],
        ),
        (
            "1. Degree AV block. Rate (approx. 60), slow.",
            ["1. degree av block", "rate (approx. 60), slow"],
        ),
        ("1. Sinus rhythm. 2. Left axis.", ["sinus rhythm", "left axis"]),
        ("- sinus rhythm\r\n- PVC (poss. VT)", ["sinus rhythm", "pvc (poss. vt)"]),
        ("sinus rhythm.left axis.. V1.V2", ["sinus rhythm", "left axis", "v1.v2"]),
        ("1) sinus rhythm; 2) left axis", ["sinus rhythm", "left axis"]),
        (": = sinus rhythm, ; * left axis -. ", ["sinus rhythm", "left axis"]),
        (
            "normal ecg.left axis.v1abc.slow",
            ["normal ecg", "left axis", "v1abc", "slow"],
        ),
        ("t1ab.left is one word", ["t1ab.left is one word"]),
        ("normal ecg. Normal ECG.", ["normal ecg"]),
        ("QRS 120ms. 99. ...", ["qrs 120ms"]),
        ("", []),
    ],
)
def test_a_report_is_split_at_its_sentences(report, statements):
    assert split_report(report) == statements


@pytest.mark.parametrize(
    "word", ["approx", "ca", "e.g", "i.e", "incl", "poss", "prob", "resp", "vs", "z.b"]
)
def test_an_abbreviation_ends_no_statement(word):
    assert split_report(f"a {word.upper()}. b. c") == [f"a {word}. b", "c"]


def test_statements_are_those_of_enough_training_records():
    train = np.array([0, 1, 3])
    every = Statements.build(SETS, train)
    assert every.texts == ("a", "b", "c") and every.counts.tolist() == [1, 3, 1]
    assert every.sizes.tolist() == [2, 1, 0, 2, 1], "d is of no training record"
    common = Statements.build(SETS, train, min_count=2)
    assert common.texts == ("b",) and common.sizes.tolist() == [1, 1, 0, 1, 0]
    twice = Statements.build([["a", "a"]], np.array([0]), min_count=2)
    assert not len(twice), "a statement counts once for each record"


def test_targets_are_looked_up_where_the_batch_is():
    statements = Statements.build(SETS, np.arange(5))
    expected = [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
    rows = [4, 2, 0, 3, 4]
    assert Targets(statements)(torch.tensor(rows)).tolist() == expected
    with fake_gpu() as gpu:
        found = Targets(statements, gpu)(torch.tensor(rows, device=gpu))
        assert found.device == gpu
    assert found.tolist() == expected


def test_the_last_record_may_have_no_statement_and_all_may_have_none():
    targets = Targets(Statements.build([["a", "b"], []], np.arange(2)))
    assert targets(torch.tensor([1, 0])).tolist() == [[0, 0], [1, 1]]
    none = Statements.build([[], []], np.arange(2))
    kinds = {none.counts.dtype, none.indices.dtype, none.indptr.dtype}
    assert not len(none) and kinds == {np.dtype(np.int64)}


def test_weights_follow_the_counts_and_have_mean_one():
    statements = Statements.build(SETS, np.arange(5))
    assert statements.counts.tolist() == [2, 3, 1, 1]
    assert statements.weights(0.0).tolist() == [1, 1, 1, 1]
    raw = np.array([1 / 2, 1 / 3, 1, 1])
    weights = statements.weights(1.0)
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(raw * 4 / raw.sum())


def test_the_digest_follows_statements_records_and_their_limits():
    others = [[["a", "b"]], [["b", "a"]], [["a"], ["b"]], [["ab"]], [["a"], [], ["b"]]]
    assert len({digest(sets) for sets in others}) == 5
    assert len(digest(SETS)) == 16
    assert digest(SETS) == digest([list(one) for one in SETS])
