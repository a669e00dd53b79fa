"""The losses against equations 25-32, written out as loops in float64."""

import math

import pytest
import torch
from fake_device import fake_gpu
from torch import Tensor
from torch.nn.functional import normalize

from mccgaa import loss as loss_module
from mccgaa.config import LossConfig
from mccgaa.errors import ConfigError
from mccgaa.gather import Group
from mccgaa.loss import SIGLIP_BIAS, UnimodalAlignment, alignment_loss

KINDS = ("symmetric", "one-sided", "clip", "siglip")
TAU, BIAS = 0.1, -2.0


def matrix(rows: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64)


def naive_similarity(x, q, tau):
    """Eq 25 and 26."""
    rows = []
    for left in (x, q):
        norms = [math.sqrt(sum(v * v for v in row)) for row in left]
        rows.append([[v / n for v in r] for r, n in zip(left, norms, strict=True)])
    X, Q = rows
    return [[sum(a * b for a, b in zip(r, s, strict=True)) / tau for s in Q] for r in X]


def naive_probability(f):
    """Eq 27."""
    return [[s - math.log(sum(math.exp(t) for t in row)) for s in row] for row in f]


def naive_loss(x, q, tau, kind, bias=BIAS):
    """Eq 28-30, and the two losses that the paper compares itself with."""
    f = naive_similarity(x.tolist(), q.tolist(), tau)
    size = len(f)
    prob = naive_probability(f)
    x2r = -sum(prob[i][i] for i in range(size)) / size
    if kind == "one-sided":  # eq 29: the transpose of the same matrix's diagonal
        transposed = [[prob[j][i] for j in range(size)] for i in range(size)]
        return x2r - sum(transposed[i][i] for i in range(size)) / size
    if kind == "siglip":
        total = 0.0
        for i in range(size):
            for j in range(size):
                z = (1 if i == j else -1) * (f[i][j] + bias)
                total += math.log(1 + math.exp(-z))
        return total / size
    columns = naive_probability([[f[j][i] for j in range(size)] for i in range(size)])
    r2x = -sum(columns[i][i] for i in range(size)) / size
    return x2r + r2x if kind == "symmetric" else (x2r + r2x) / 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 7])
def test_loss_equals_equations_25_to_30(kind, size):
    x, q = matrix(size, 4, 1), matrix(size, 4, 2)
    ours = alignment_loss(x, q, TAU, kind, bias=BIAS)
    assert ours.item() == pytest.approx(naive_loss(x, q, TAU, kind), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    x, q = matrix(4, 3, 1).requires_grad_(), matrix(4, 3, 2).requires_grad_()
    tau = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)

    def loss(x, q, tau, bias):
        return alignment_loss(x, q, tau, kind, bias=bias)

    assert torch.autograd.gradcheck(loss, (x, q, tau, bias))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [1, 20])
def test_loss_in_blocks_of_rows_is_that_of_the_whole(kind, block, monkeypatch):
    tau, bias = (torch.tensor(v, dtype=torch.float64) for v in (TAU, BIAS))
    inputs = [matrix(7, 4, 1), matrix(7, 4, 2), tau, bias]
    inputs = [t.requires_grad_() for t in inputs]
    rows: list[int] = []

    def watch(name: str) -> None:
        losses = getattr(loss_module, name)

        def watched(x, *rest, **settings):
            rows.append(len(x))
            return losses(x, *rest, **settings)

        monkeypatch.setattr(loss_module, name, watched)

    watch("_cross_entropy")
    watch("_sigmoids")

    def loss_and_gradients() -> list[Tensor]:
        loss = alignment_loss(*inputs[:3], kind, bias=inputs[3])
        gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
        return [loss, *(g for g in gradients if g is not None)]

    whole = loss_and_gradients()
    assert set(rows) == {7}
    rows.clear()
    monkeypatch.setattr(
        loss_module, "SIMILARITIES", block
    )  # one row, or two, at a time
    for one, other in zip(whole, loss_and_gradients(), strict=True):
        torch.testing.assert_close(one, other)
    assert max(rows) == (1 if block == 1 else 2)
    sides = 1 if kind in ("one-sided", "siglip") else 2
    assert sum(rows) == 2 * sides * 7, "each block again in the backward pass"


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_mean_of_the_parts_of_processes(kind, monkeypatch):
    x, q = matrix(6, 4, 1), matrix(6, 4, 2)
    whole = alignment_loss(x, q, TAU, kind, bias=BIAS)
    everyone = torch.cat([normalize(x, dim=1), normalize(q, dim=1)], dim=1)

    def part(group: Group) -> Tensor:
        rows = slice(2 * group.rank, 2 * group.rank + 2)

        def joined(own: Tensor, asked: Group) -> Tensor:
            assert asked is group
            torch.testing.assert_close(own, everyone[rows])
            return everyone

        monkeypatch.setattr(loss_module, "gather", joined)
        return alignment_loss(x[rows], q[rows], TAU, kind, bias=BIAS, group=group)

    parts = [part(Group(rank, 3)) for rank in range(3)]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_does_not_depend_on_the_order_of_the_pairs(kind):
    x, q = matrix(6, 4, 1), matrix(6, 4, 2)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    one, other = (
        alignment_loss(a, b, TAU, kind) for a, b in ((x, q), (x[order], q[order]))
    )
    torch.testing.assert_close(one, other)


def test_only_the_one_sided_loss_changes_when_ecg_and_text_swap_places():
    x, q = matrix(6, 4, 1), matrix(6, 4, 2)
    for kind in KINDS:
        gap = alignment_loss(x, q, TAU, kind) - alignment_loss(q, x, TAU, kind)
        assert (gap.abs().item() > 1e-3) == (kind == "one-sided")


def test_loss_ignores_the_length_of_the_embeddings():
    x, q = matrix(6, 4, 1), matrix(6, 4, 2)
    for kind in KINDS:
        one = alignment_loss(x, q, TAU, kind)
        torch.testing.assert_close(one, alignment_loss(100 * x, 0.01 * q, TAU, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_stay_finite_at_logits_of_ten_thousand(kind):
    x = torch.eye(4).requires_grad_()
    wrong = torch.eye(4).roll(1, 0)  # every pair is the worst one: cosine 0 against 1
    loss = alignment_loss(x, wrong, 1e-4, kind)
    loss.backward()
    assert loss.item() > 9e3
    assert x.grad.isfinite().all()
    right = alignment_loss(torch.eye(4), torch.eye(4), 1e-4, kind)
    assert right.item() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_computed_where_the_embeddings_are(kind):
    x, q = matrix(6, 4, 1), matrix(6, 4, 2)
    with fake_gpu() as gpu:
        there = alignment_loss(x.to(gpu), q.to(gpu), kind=kind)
        assert there.device == gpu
    assert there.item() == pytest.approx(naive_loss(x, q, 0.07, kind, bias=-10.0))


def test_low_precision_embeddings_are_scored_in_float32():
    x, q = matrix(8, 16, 1).bfloat16(), matrix(8, 16, 2).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = alignment_loss(x, q, TAU)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, alignment_loss(x.float(), q.float(), TAU))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"kind": "lse"}, "kind is 'lse'; expected one of symmetric"),
        ({"tau": 0.0}, "tau is 0.0"),
        ({"tau": float("nan")}, "tau is nan"),
        ({"q": matrix(5, 4, 2)}, r"q has \(5, 4\)"),
        ({"x": matrix(0, 4, 1), "q": matrix(0, 4, 2)}, r"x has shape \(0, 4\)"),
    ],
)
def test_impossible_calls_are_refused(call, message):
    arguments = {"x": matrix(6, 4, 1), "q": matrix(6, 4, 2), "tau": TAU} | call
    with pytest.raises(ValueError, match=message):
        alignment_loss(**arguments)


def test_views_are_linear_maps_without_bias_then_dropout():
    torch.manual_seed(0)
    uma, x = UnimodalAlignment(4, (0.5, 0.25)).double(), matrix(300, 4, 1)
    layers = (uma.view1, uma.view2)
    for view, sequence, rate in zip(uma(x), layers, (0.5, 0.25), strict=True):
        weight = sequence[0].weight.tolist()
        for i, row in enumerate(x.tolist()):
            for j in range(4):
                dense = sum(w * v for w, v in zip(weight[j], row, strict=True))
                kept = view[i, j].item()
                assert kept == 0 or kept == pytest.approx(dense / (1 - rate))
        assert (view == 0).double().mean().item() == pytest.approx(rate, abs=0.06)


def test_views_of_one_ecg_differ_by_weights_once_dropout_is_off():
    torch.manual_seed(0)
    uma, x = UnimodalAlignment(4, (0.5, 0.5)).double().eval(), matrix(3, 4, 1)
    one, other = uma(x)
    torch.testing.assert_close(one, x @ uma.view1[0].weight.T)
    assert not torch.allclose(one, other)
    assert torch.equal(one, uma(x)[0])


def test_views_drop_a_tenth_by_default():
    views = UnimodalAlignment(4)
    assert [view[1].p for view in (views.view1, views.view2)] == [0.1, 0.1]


def test_views_to_the_letter_of_equation_31_are_two_dropouts_of_the_embedding():
    rates, x = (0.5, 0.25), matrix(300, 4, 1)
    uma = UnimodalAlignment(4, rates, maps=False)
    assert not list(uma.parameters())
    torch.manual_seed(0)
    one, other = uma(x)
    for view, rate in ((one, rates[0]), (other, rates[1])):
        for row, seen in zip(x.tolist(), view.tolist(), strict=True):
            for value, kept in zip(row, seen, strict=True):
                assert kept == 0 or kept == pytest.approx(value / (1 - rate))
        assert (view == 0).double().mean().item() == pytest.approx(rate, abs=0.06)
    both = ((one == 0) & (other == 0)).double().mean().item()
    assert both == pytest.approx(0.125, abs=0.04)  # two masks, drawn apart
    assert all(torch.equal(view, x) for view in uma.eval()(x))


@pytest.mark.parametrize("rates", [(0.1, 1.0), (-0.1, 0.1), (0.1,), (0.1, 0.1, 0.1)])
def test_impossible_dropout_rates_are_refused(rates):
    with pytest.raises(ConfigError, match=r"loss\.dropout is .*two rates"):
        LossConfig(dropout=rates)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": 0.0}, r"loss\.tau is 0\.0; expected more than 0"),
        ({"tau": -1.0}, r"loss\.tau is -1\.0"),
        ({"tau": math.inf}, r"loss\.tau is inf"),
        ({"cma_weight": -1.0}, r"loss\.cma_weight is -1\.0"),
        ({"uma_weight": -0.5}, r"loss\.uma_weight is -0\.5"),
        ({"kind": "lse"}, r"loss\.kind is 'lse'; expected one of symmetric"),
        ({"uma": "map"}, r"loss\.uma is 'map'; expected one of maps, dropout"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LossConfig(**settings)


def test_weights_and_rates_of_zero_are_allowed():
    config = LossConfig(cma_weight=0.0, uma_weight=0.0, dropout=(0.0, 0.0))
    assert config.dropout == (0.0, 0.0)


def test_siglip_starts_at_a_bias_of_minus_ten():
    assert SIGLIP_BIAS == -10.0
    x, q = matrix(6, 4, 1), matrix(6, 4, 2)
    ours = alignment_loss(x, q, TAU, "siglip").item()
    assert ours == pytest.approx(naive_loss(x, q, TAU, "siglip", bias=-10.0))
