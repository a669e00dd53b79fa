"""The loss over statements against a loop, and what makes it one of sets."""

from __future__ import annotations

import math

import pytest
import torch
from fake_device import fake_gpu
from torch import Tensor

from mccgaa.loss import (
    BLOCK,
    STATEMENT_BIAS,
    alignment_loss,
    statement_loss,
)

TAU, BIAS = 0.1, -2.0


def matrix(rows: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64)


def world(ecgs: int = 5, statements: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings, targets and weights."""
    y = (matrix(ecgs, statements, 3) > 0.5).double()
    return (
        matrix(ecgs, 4, 1),
        matrix(statements, 4, 2),
        y,
        matrix(1, statements, 4)[0].abs(),
    )


def naive(x, q, y, tau, bias, weights) -> float:
    """One ECG and one statement at a time."""
    total = 0.0
    for ecg, truths in zip(x.tolist(), y.tolist(), strict=True):
        for text, truth, weight in zip(
            q.tolist(), truths, weights.tolist(), strict=True
        ):
            dot = sum(a * b for a, b in zip(ecg, text, strict=True))
            z = dot / math.hypot(*ecg) / math.hypot(*text) / tau + bias
            p = 1 / (1 + math.exp(-z))
            total -= weight * (truth * math.log(p) + (1 - truth) * math.log(1 - p))
    return total / len(x)


@pytest.mark.parametrize(("ecgs", "statements"), [(1, 1), (5, 7), (3, 1)])
def test_the_loss_is_the_cross_entropy_of_every_ecg_and_statement(ecgs, statements):
    x, q, y, w = world(ecgs, statements)
    ours = statement_loss(x, q, y, TAU, bias=BIAS, weights=w)
    assert ours.item() == pytest.approx(naive(x, q, y, TAU, BIAS, w), abs=1e-12)
    soft = y * 0.8 + 0.1
    ours = statement_loss(x, q, soft, TAU, bias=BIAS)
    assert ours.item() == pytest.approx(
        naive(x, q, soft, TAU, BIAS, torch.ones(len(q)))
    )


def test_known_values():
    """ECG 1 carries statement 1: cosines 1 and 0, scale 10, bias -6."""
    assert STATEMENT_BIAS == -6.0
    loss = statement_loss(torch.eye(2)[:1], torch.eye(2), torch.tensor([[1.0, 0.0]]))
    expected = math.log(1 + math.exp(-(10 - 6))) + math.log(1 + math.exp(-6))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_sums_over_statements_and_averages_over_ecgs():
    x, q, y, _ = world()
    one = statement_loss(x, q, y, TAU, bias=BIAS)
    rows = statement_loss(x.repeat(3, 1), q, y.repeat(3, 1), TAU, bias=BIAS)
    columns = statement_loss(x, q.repeat(3, 1), y.repeat(1, 3), TAU, bias=BIAS)
    torch.testing.assert_close(rows, one)
    torch.testing.assert_close(columns, 3 * one)
    parts = [statement_loss(x[i:j], q, y[i:j], TAU) for i, j in ((0, 2), (2, 5))]
    whole = statement_loss(x, q, y, TAU)
    torch.testing.assert_close(whole, (2 * parts[0] + 3 * parts[1]) / 5)


def test_gradients_are_those_of_finite_differences():
    x, q, y, w = world(3, 4)
    tau = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    for block in (2, 8):

        def loss(x, q, tau, bias, block=block):
            return statement_loss(x, q, y, tau, bias=bias, weights=w, block=block)

        given = (x.requires_grad_(), q.requires_grad_(), tau, bias)
        assert torch.autograd.gradcheck(loss, given)


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_blocks_change_neither_the_loss_nor_a_gradient(block):
    found = []
    for size in (BLOCK, block):
        x, q, y, w = world()
        tau, bias = (torch.tensor(v, dtype=torch.float64) for v in (TAU, BIAS))
        given = [t.requires_grad_() for t in (x, q, tau, bias)]
        loss = statement_loss(x, q, y, tau, bias=bias, weights=w, block=size)
        found.append([loss, *torch.autograd.grad(loss, given)])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_blocks_keep_the_logits_of_one_block_alone():
    x, q, y, _ = world(4, 64)
    kept: list[int] = []

    def keep(t: Tensor) -> Tensor:
        kept.append(t.numel())
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        statement_loss(x.requires_grad_(), q, y, TAU, block=64)
        whole = max(kept)
        kept.clear()
        statement_loss(x, q, y, TAU, block=8)
    assert whole == 4 * 64 and sum(n == 4 * 64 for n in kept) == 0


def test_ecgs_of_equal_findings_are_no_negatives_of_each_other():
    x, q, y, _ = world()
    y[1] = y[0]
    swapped = x[[1, 0, 2, 3, 4]]
    one, other = (statement_loss(e, q, y, TAU, bias=BIAS) for e in (x, swapped))
    torch.testing.assert_close(one, other)
    texts = q[:5]  # a softmax over reports sees four wrong texts, one of them equal
    contrast = [alignment_loss(e, texts, TAU) for e in (x, swapped)]
    assert abs(contrast[0] - contrast[1]) > 1e-3
    # Two ECGs with one set do not push each other away: the gradient of one does not
    # know the other.
    alone = x[:1].clone().requires_grad_()
    statement_loss(alone, q, y[:1], TAU, bias=BIAS).backward()
    both = x[:2].clone().requires_grad_()
    statement_loss(both, q, y[:2], TAU, bias=BIAS).backward()
    torch.testing.assert_close(2 * both.grad[0], alone.grad[0])


def test_the_order_of_statements_changes_nothing():
    x, q, y, w = world()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    one = statement_loss(x, q, y, TAU, weights=w)
    other = statement_loss(x, q[order], y[:, order], TAU, weights=w[order])
    torch.testing.assert_close(one, other)


def test_the_loss_ignores_lengths_and_computes_in_float32_where_the_ecgs_are():
    x, q, y, w = world()
    one = statement_loss(x, q, y, TAU, weights=w)
    torch.testing.assert_close(one, statement_loss(9 * x, 0.1 * q, y, TAU, weights=w))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = statement_loss(x.bfloat16(), q.bfloat16(), y, TAU, weights=w)
    assert low.dtype == torch.float32
    full = statement_loss(x.bfloat16().float(), q.bfloat16().float(), y, TAU, weights=w)
    assert torch.equal(low, full)
    exact = statement_loss(
        x.bfloat16().double(), q.bfloat16().double(), y, TAU, weights=w
    )
    assert full.item() == pytest.approx(exact.item(), rel=1e-6)
    with fake_gpu() as gpu:
        there = statement_loss(x.to(gpu), q.to(gpu), y.to(gpu), TAU, weights=w)
        assert there.device == gpu
    assert there.item() == pytest.approx(one.item())


def test_the_loss_stays_finite_at_logits_of_ten_thousand():
    x = torch.eye(3).requires_grad_()
    loss = statement_loss(x, torch.eye(3), 1 - torch.eye(3), 1e-4)
    loss.backward()
    assert loss.item() > 9e3 and x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"tau": 0.0}, "tau is 0.0"),
        ({"q": matrix(7, 3, 2)}, r"q \(7, 3\)"),
        ({"targets": torch.ones(7, 5)}, r"targets \(7, 5\)"),
        ({"x": matrix(0, 4, 1), "targets": torch.ones(0, 7)}, r"x has shape \(0, 4\)"),
        ({"q": matrix(0, 4, 1), "targets": torch.ones(5, 0)}, r"q \(0, 4\)"),
    ],
)
def test_impossible_calls_are_refused(call, message):
    x, q, y, _ = world()
    with pytest.raises(ValueError, match=message):
        statement_loss(**({"x": x, "q": q, "targets": y, "tau": TAU} | call))
    with pytest.raises(ValueError, match="kind is 'statements'"):
        alignment_loss(x, x, TAU, "statements")
