"""The audit of the text side against hand-made vectors and counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
import torch

from mccgaa.knowledge import Entry, Knowledge
from mccgaa_book.audit import text as audit

KNOWLEDGE = Knowledge(
    {
        "toy": {
            "A": Entry("alpha", "A", criteria="first", synonyms=("one", "two")),
            "B": Entry("beta", "B", criteria="second", synonyms=("three",)),
        }
    }
)
DIRECTION = {  # degrees in the plane
    "alpha": 0,
    "one": 10,
    "two": 80,
    "beta": 90,
    "three": 95,
    "alpha: first.": 0,
    "beta: second.": 60,
}


class Plane:
    """An encoder that knows some words as directions in the plane."""

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        angles = [math.radians(DIRECTION[text]) for text in texts]
        return torch.tensor([[3 * math.cos(a), 3 * math.sin(a)] for a in angles])


def test_separation_sums_up_pairs_and_nearest():
    found = audit.separation(Plane().encode(["alpha", "one", "beta"]))
    near, far, wide = (math.cos(math.radians(a)) for a in (10, 80, 90))
    assert found["mean of pairs"] == pytest.approx((near + far + wide) / 3, abs=1e-6)
    assert found["mean to nearest"] == pytest.approx((near + near + far) / 3, abs=1e-6)
    assert found["closest pair"] == pytest.approx(near, abs=1e-6)
    assert found["close pairs"] == 1


@pytest.mark.parametrize(("style", "right"), [("name", 2), ("full", 2)])
def test_a_synonym_is_looked_up_without_itself_in_the_text(style, right):
    table = audit.synonyms_found(Plane(), KNOWLEDGE, "toy", style)
    assert table.synonym.tolist() == ["one", "two", "three"]
    assert table.found.tolist() == ["A", "B", "B"]
    assert table.right.sum() == right


def test_collisions_are_those_of_all_pairs():
    texts = list("aaabbc")
    same = [x == y for x, y in permutations(texts, 2)]
    found = audit.repeated(texts)
    assert found["collision"] == pytest.approx(sum(same) / len(same))
    assert (found["records"], found["distinct"], found["commonest"]) == (6, 3, 0.5)


def test_false_negatives_of_the_whole_set_are_exact():
    table = audit.false_negatives(list("aaabbc"), [6, 100], draws=3)
    (row,) = table.to_dict("records")
    assert row["batch"] == 6
    assert row["negatives"] == row["expected"] == pytest.approx((3 * 2 + 2 * 1) / 6)
    assert row["anchors"] == pytest.approx(5 / 6)
    assert row["floor"] == pytest.approx((3 * math.log(3) + 2 * math.log(2)) / 6)


def test_drawn_false_negatives_meet_their_expectation():
    texts = [f"text {i % 40 if i % 3 else 0}" for i in range(600)]
    table = audit.false_negatives(texts, [16, 64], draws=4000)
    np.testing.assert_allclose(table.negatives, table.expected, rtol=0.05)


def test_the_floor_is_the_least_loss_that_equal_texts_allow():
    # three pairs share a text: the best row gives each a third, whatever the ECGs
    x = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
    q = torch.ones(1, 8).expand(3, 8)
    rows = torch.log_softmax(x @ q.T / 0.01, dim=1).diagonal()
    floor = audit.false_negatives(["t"] * 3, [3], draws=1).floor[0]
    assert -rows.mean().item() == pytest.approx(floor) == pytest.approx(math.log(3))


def test_contraries_and_paraphrases_stand_in_the_same_order():
    class Words:
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            assert len(set(texts)) == 3
            return torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])

    table = audit.contraries(Words())
    assert len(table) == len(audit.CONTRARIES)
    assert set(table["to contrary"]) == {0.0} and set(table["to paraphrase"]) == {1.0}
    assert [a for a, _ in audit.ALIKE] == table.finding.tolist()
