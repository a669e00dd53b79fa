"""The pair graph leaks, the bipartite graph does not, and the control tells which."""

import pytest
import torch

from mccgaa.config import GafaConfig
from mccgaa.gafa import Gafa
from mccgaa_book.audit import leak
from mccgaa_book.audit.loss import unit_rows


def random_pairs(rows: int = 128):
    generator = torch.Generator().manual_seed(3)
    return unit_rows(rows, 256, generator), unit_rows(rows, 256, generator)


def test_weights_written_by_hand_match_unrelated_pairs():
    table = leak.built_by_hand(
        [leak.EVERYTHING, 0.0, 1.0, leak.NOTHING], batches=5
    ).set_index("threshold")
    assert table["backbone"].max() < 0.05
    assert table.loc[[0.0, 1.0, leak.NOTHING], "fused"].min() > 0.95
    assert table.loc[leak.EVERYTHING, "fused"] < 0.05  # all nodes see the same


def test_gradient_descent_finds_the_leak_in_the_pair_graph_alone():
    table = leak.learned([leak.NOTHING], steps=60, every=60)
    last = table[table["step"] == 60].set_index("graph")
    assert last.loc["pair", "fused"] > 0.95
    assert last.loc["bipartite", "fused"] < 0.1
    assert last.loc["pair", "loss"] < 1 < last.loc["bipartite", "loss"]


def test_a_leak_retrieves_wrong_partners_as_well_as_right_ones():
    found = leak.retrieval_with_and_without_fused(
        *random_pairs(), leak.leaking_gafa(2.0)
    )
    assert found.loc["fused", "right"] > 0.9
    assert found.loc["fused", "wrong"] > 0.9
    assert found.loc["backbone"].max() < 0.1


def test_alignment_retrieves_right_partners_only():
    x, _ = random_pairs()
    torch.manual_seed(0)
    gafa = Gafa(GafaConfig(graph="bipartite"), x.shape[1])
    found = leak.retrieval_with_and_without_fused(x, x, gafa)
    assert found.loc["backbone", "right"] == 1
    assert found.loc["backbone", "wrong"] == 0
    assert found.loc["fused", "right"] > 0.9
    assert found.loc["fused", "wrong"] < 0.05


def test_equal_texts_count_as_one():
    x = torch.eye(8)[torch.arange(64) % 8]  # 8 distinct texts, each eight times
    found = leak.retrieval_with_and_without_fused(
        x, x, Gafa(GafaConfig(graph="none"), 8)
    )
    assert list(found.index) == ["backbone"]
    assert found.loc["backbone", "right"] == 1
    assert found.loc["backbone", "chance"] == pytest.approx(1 / 8)


def test_fewer_pairs_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="There are 10 pairs"):
        x, q = random_pairs(10)
        leak.retrieval_with_and_without_fused(x, q, leak.leaking_gafa(2.0))
