"""The audit's findings on GAFA's graph hold, and could have failed."""

import math

import pytest
import torch

from mccgaa.config import GafaConfig
from mccgaa.gafa import Gafa
from mccgaa_book.audit import graph
from mccgaa_book.audit.loss import unit_rows


def random_batch(size: int = 32, width: int = 256):
    generator = torch.Generator().manual_seed(0)
    return unit_rows(size, width, generator), unit_rows(size, width, generator)


def test_the_two_graphs_differ_as_the_equations_and_the_prose_do():
    table = graph.graph_readings(batch=16, classes=3)
    assert list(table.loc["nodes"]) == [16, 32]
    assert list(table.loc["width of a node"]) == [512, 256]
    assert list(table.loc["same result when texts change partners"]) == [False, True]
    assert list(table.loc["takes 3 class texts"]) == [False, True]


def test_only_the_repaired_products_of_equations_20_to_22_exist():
    shapes = graph.attention_shapes().set_index("written")["exists"]
    assert shapes["C_j W"] and not shapes["W C_i"]
    assert shapes["a [..], with a: 1 x 2F"] and not shapes["aᵀ [..], with a: 1 x 2F"]
    assert shapes["(h_1 .. h_N) W_O, with W_O: FN x F"]
    assert not shapes["(h_1 .. h_N) W_O, with W_O: HN x F, H = N"]


def test_threshold_sweep_counts_edges_and_empty_neighbourhoods():
    x = torch.eye(4)
    q = torch.stack([x[0], x[0], x[1], x[3]])  # A: rows 0 -> {0, 1}, 1 -> {2}, 3 -> {3}
    row = graph.graph_by_threshold(x, q, [5.0], tau=0.1).iloc[0]
    assert row["cosine"] == pytest.approx(0.5)
    assert row["density"] == 4 / 16
    assert row["one_way"] == 2 / 4  # 0 -> 1 and 1 -> 2 have no way back
    assert row["own"] == 2 / 4
    assert row["empty_rows"] == 1 / 4
    assert row["empty_columns"] == 0
    beyond = graph.graph_by_threshold(x, q, [11.0], tau=0.1).iloc[0]
    assert beyond["empty_rows"] == 1 and math.isnan(beyond["one_way"])


@pytest.mark.parametrize("reading", ["pair", "bipartite"])
def test_every_node_ranks_its_neighbours_alike_whatever_the_weights(reading):
    torch.manual_seed(0)
    for weights in Gafa(GafaConfig(graph=reading), 256).attention(*random_batch()):
        summary = graph.attention_summary(weights)
        assert (summary["one_order"] == 1).all()
        assert summary["neighbours"].iloc[0] == pytest.approx(
            1 / summary["mean"].iloc[0], rel=1e-5
        )


def test_attention_that_depends_on_both_nodes_has_no_single_order():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(1, 32, 32, generator=generator).softmax(-1)
    assert graph.attention_summary(weights)["one_order"][0] < 0.7


def test_uniform_attention_has_focus_and_entropy_one():
    summary = graph.attention_summary(torch.full((1, 8, 8), 1 / 8)).iloc[0]
    assert summary["focus"] == 1 and summary["largest"] == 1 / 8
    assert summary["entropy"] == pytest.approx(1)
    assert math.isnan(summary["one_order"])


def test_entropy_is_taken_over_the_neighbours_that_a_node_has():
    weights = torch.zeros(1, 3, 3)
    weights[0, 0] = torch.tensor([0.5, 0.5, 0.0])  # uniform over two neighbours
    weights[0, 1] = torch.tensor([0.9, 0.1, 0.0])
    weights[0, 2, 2] = 1.0  # a node of its own says nothing
    entropy = graph.attention_summary(weights)["entropy"][0]
    lopsided = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    assert entropy == pytest.approx((1 + lopsided) / 2)
