r"""The passes of `fused.py`, written out for a GPU in Triton: nothing to wait for.

`torch.compile` finds these passes, and takes minutes for it. Here they are four kernels
for all layers: `_moments` and `_activate` forwards, `_sums` and `_gradients` backwards.
What leaves a block is relu(p y + q + shortcut), with p and q (B, C) small functions of
the moments of y. Their gradients are those of two sums over time, and torch takes them
back to the moments and to the weights; a last pass takes all to y.

Triton's interpreter runs the kernels on a CPU (`TRITON_INTERPRET=1`), for a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fused
import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from fused import Moments, maps, rows
from torch import Tensor, nn

from mccgaa.encoder import Block, ChannelAttention, EcgEncoder

NONE, SAME, LINE = 0, 1, 2  # shortcut: none, a map, or a map and its own line
LONG = {"BT": 64, "BC": 32}  # tile of the kernels that run through a record
SHORT = {"BT": 64, "BC": 64}  # tile of those that do not

Small = Callable[..., tuple[Tensor, ...]]


def features(encoder: EcgEncoder, x: Tensor) -> Tensor:
    """Map ECGs (B, leads, T) to (B, M, T'), as `encoder.features` does."""
    conv, norm, _ = encoder.stem
    spare = -x.shape[1] % fused.ALIGNED if x.is_cuda else 0
    x = F.pad(x, (0, 0, 0, spare)).unsqueeze(2)  # (B, 16, 1, T): leads of zeros
    x = x.contiguous(memory_format=torch.channels_last)
    weight = F.pad(conv.weight, (0, 0, 0, 0, 0, spare))
    y = F.conv2d(x, weight, None, conv.stride, conv.padding)
    x = normalise(y, norm)
    for stage in encoder.stages:
        for block in stage:
            x = residual(block, x)
    return encoder.project(x).squeeze(2)


def residual(block: Block, x: Tensor) -> Tensor:
    """Map (B, C, 1, T) to (B, C', 1, T'), as `block` does."""
    layers = list(block.branch)
    y = x
    for conv, norm in zip(layers[:-2:3], layers[1:-2:3], strict=True):
        y = normalise(conv(y), norm)
    conv, norm = layers[-2:]
    y = conv(y)
    if isinstance(block.shortcut, nn.Sequential):
        point, own = block.shortcut
        # As `PointwiseConv`, and with its stride: no copy of every other moment.
        shortcut = F.conv2d(x, point.weight, None, (1, point.step))
        return normalise(y, norm, block.cam, shortcut, own)
    return normalise(y, norm, block.cam, x)


def normalise(
    y: Tensor,
    norm: nn.BatchNorm2d,
    cam: nn.Module | None = None,
    shortcut: Tensor | None = None,
    own: nn.BatchNorm2d | None = None,
) -> Tensor:
    """Normalise, weigh channels, add a shortcut, and apply ReLU.

    Args:
        y: (B, C, 1, T), channels-last.
        norm: of y.
        cam: channel attention, if it is one.
        shortcut: (B, C, 1, T), if there is one.
        own: normalisation of the shortcut, if it has one.
    """
    attention = cam if isinstance(cam, ChannelAttention) else None
    batch, channels, _, length = y.shape
    count, type_ = batch * length, y.dtype

    def small(
        mean: Tensor | None,
        square: Tensor | None,
        peak: Tensor | None,
        *others: Tensor | None,
    ) -> tuple[Tensor, ...]:
        slope, offset = fused.line(norm, Moments(mean, square, count))
        if attention is not None:
            pooled = torch.stack([slope * mean + offset, slope * peak + offset])
            alpha = fused.gate(attention, pooled.to(type_)).float()  # (B, C)
            slope, offset = alpha * slope, alpha * offset
        if own is None:
            lines = (slope, offset)
        else:
            lines = (slope, offset, *fused.line(own, Moments(*others, count)))
        return tuple(t.expand(batch, channels) for t in lines)

    modules = [m for m in (norm, attention, own) if m is not None]
    weights = [p for m in modules for p in m.parameters()]
    other = None if shortcut is None else rows(shortcut)
    kind = NONE if other is None else SAME if own is None else LINE
    sign = None
    if attention is not None:  # the smallest becomes the largest where this is -1
        sign = torch.where(norm.weight.detach() < 0, -1.0, 1.0)
    return maps(Pass.apply(small, kind, norm.training, rows(y), other, sign, *weights))


class Pass(torch.autograd.Function):
    """relu(p y + q + shortcut), p and q being small functions of moments of y."""

    @staticmethod
    def forward(
        ctx: Any,
        small: Small,
        kind: int,
        training: bool,
        y: Tensor,
        other: Tensor | None,
        sign: Tensor | None,
        *weights: Tensor,
    ) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        y = y.contiguous()
        other = None if other is None else other.contiguous()
        batch, length, channels = y.shape
        none = (None, None, None, None)
        look = training or sign is not None  # or running statistics serve
        mean, square, peak, place = measure(y, sign) if look else none
        leaves = [mean, square, peak]
        if kind == LINE:
            leaves += (measure(other, None) if training else none)[:2]
        with torch.enable_grad():
            for leaf in leaves:
                if leaf is not None:
                    leaf.requires_grad_()
            lines = small(*leaves)
        p, q, r, u = (*(aligned(t.detach()) for t in lines), None, None)[:4]
        out = torch.empty_like(y)
        grid = tiles(batch, length, channels)
        _activate[grid](
            y, p, q, other, r, u, out, length, channels, *strides(p, q, r, u), kind,
            **SHORT,
        )  # fmt: skip
        ctx.save_for_backward(y, other, place, p, q, r, u)
        ctx.kind, ctx.lines, ctx.leaves, ctx.weights = kind, lines, leaves, weights
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Map (B, T, C) to gradients of y, the shortcut and the weights."""
        y, other, place, p, q, r, u = ctx.saved_tensors
        kind, dout = ctx.kind, dout.contiguous()
        batch, length, channels = y.shape
        dp, dq = (torch.empty(batch, channels, device=y.device) for _ in range(2))
        dr = torch.empty_like(dp) if kind == LINE else None
        grid = (batch, triton.cdiv(channels, LONG["BC"]))
        _sums[grid](
            dout, y, p, q, other, r, u, dp, dq, dr, length, channels,
            *strides(p, q, r, u), kind, **LONG,
        )  # fmt: skip
        asked = [leaf for leaf in ctx.leaves if leaf is not None]
        given = (dp, dq) if kind != LINE else (dp, dq, dr, dq)
        # dq serves twice: an offset's gradient is the same sum for both lines.
        found = torch.autograd.grad(
            ctx.lines, [*asked, *ctx.weights], given, allow_unused=True
        )
        back = iter(found)
        of_leaves = [None if leaf is None else next(back) for leaf in ctx.leaves]
        of_weights = tuple(back)
        zero = torch.zeros(channels, device=y.device).expand(batch, channels)
        m, s, k, m2, s2 = (
            zero if t is None else aligned(t) for t in (*of_leaves, None, None)[:5]
        )
        dy = torch.empty_like(y)
        dother = None if other is None else torch.empty_like(other)
        _gradients[tiles(batch, length, channels)](
            dout, y, p, q, other, r, u, m, s, k, place, m2, s2, dy, dother,
            length, channels, *strides(p, q, r, u, m, s, k, m2, s2),
            kind, place is not None, **SHORT,
        )  # fmt: skip
        ctx.lines = ctx.leaves = None  # let go of their graph
        return None, None, None, dy, dother, None, *of_weights


def measure(y: Tensor, sign: Tensor | None) -> tuple[Tensor | None, ...]:
    """Take mean, mean square, peak and its place over time: (B, C) each."""
    batch, length, channels = y.shape
    mean = torch.empty(batch, channels, device=y.device)
    square = torch.empty_like(mean)
    peak = None if sign is None else torch.empty_like(mean)
    place = None if sign is None else torch.empty_like(mean, dtype=torch.int32)
    grid = (batch, triton.cdiv(channels, LONG["BC"]))
    _moments[grid](
        y, sign, mean, square, peak, place, length, channels, sign is not None, **LONG
    )
    return mean, square, peak, place


def tiles(batch: int, length: int, channels: int) -> tuple[int, int, int]:
    """Make the grid of the kernels that take one tile each."""
    return (
        triton.cdiv(length, SHORT["BT"]),
        triton.cdiv(channels, SHORT["BC"]),
        batch,
    )


def strides(*lines: Tensor | None) -> list[int]:
    """How far apart records lie in (B, C): 0 where one row serves all."""
    return [0 if line is None else line.stride(0) for line in lines]


def aligned(line: Tensor) -> Tensor:
    """Make (B, C) float32 with channels side by side; records may share a row."""
    line = line.float()
    return line if line.stride(1) == 1 else line.contiguous()


@triton.jit
def _moments(
    y, sign, mean, square, peak, place, length, channels,
    PEAK: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Run through one record's channels: mean, mean square, largest value."""
    b = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    inside = c < channels
    start = y + b * length * channels + c[None, :]
    total = tl.zeros([BT, BC], tl.float32)
    squares = tl.zeros([BT, BC], tl.float32)
    if PEAK:
        flip = tl.load(sign + c, mask=inside, other=1.0)
        top = tl.full([BT, BC], float("-inf"), tl.float32)
        at = tl.zeros([BT, BC], tl.int32)
    for first in range(0, length, BT):
        t = first + tl.arange(0, BT)
        known = (t < length)[:, None] & inside[None, :]
        v = tl.load(start + t[:, None] * channels, mask=known, other=0.0)
        v = v.to(tl.float32)
        total += v
        squares += v * v
        if PEAK:
            z = tl.where(known, v * flip[None, :], float("-inf"))
            better = z > top
            top = tl.where(better, z, top)
            at = tl.where(better, t[:, None], at)
    line = b * channels + c
    tl.store(mean + line, tl.sum(total, 0) / length, mask=inside)
    tl.store(square + line, tl.sum(squares, 0) / length, mask=inside)
    if PEAK:
        best = tl.max(top, 0)
        first_place = tl.min(tl.where(top == best[None, :], at, length), 0)
        tl.store(peak + line, best * flip, mask=inside)
        tl.store(place + line, first_place, mask=inside)


@triton.jit
def _before(
    y, p, q, other, r, u, at, b, c, known, inside, pb, qb, rb, ub, KIND: tl.constexpr
):  # fmt: skip
    """Compute what ReLU is applied to, in a tile, and read y and the shortcut."""
    v = tl.load(y + at, mask=known, other=0.0).to(tl.float32)
    slope = tl.load(p + b * pb + c, mask=inside, other=0.0)
    offset = tl.load(q + b * qb + c, mask=inside, other=0.0)
    z = slope[None, :] * v + offset[None, :]
    w = v
    if KIND > 0:
        w = tl.load(other + at, mask=known, other=0.0).to(tl.float32)
    if KIND == 1:
        z += w
    if KIND == 2:
        own = tl.load(r + b * rb + c, mask=inside, other=0.0)
        shift = tl.load(u + b * ub + c, mask=inside, other=0.0)
        z += own[None, :] * w + shift[None, :]
    return z, v, w


@triton.jit
def _activate(
    y, p, q, other, r, u, out, length, channels, pb, qb, rb, ub,
    KIND: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Apply lines, shortcut and ReLU to one tile."""
    t = tl.program_id(0) * BT + tl.arange(0, BT)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.program_id(2).to(tl.int64)
    inside = c < channels
    known = (t < length)[:, None] & inside[None, :]
    at = b * length * channels + t[:, None] * channels + c[None, :]
    z, _, _ = _before(
        y, p, q, other, r, u, at, b, c, known, inside, pb, qb, rb, ub, KIND
    )
    z = tl.maximum(z, 0.0)
    tl.store(out + at, z.to(out.dtype.element_ty), mask=known)


@triton.jit
def _sums(
    dout, y, p, q, other, r, u, dp, dq, dr, length, channels, pb, qb, rb, ub,
    KIND: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Run through one record's channels: the gradients of its lines."""
    b = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    inside = c < channels
    of_slope = tl.zeros([BT, BC], tl.float32)
    of_offset = tl.zeros([BT, BC], tl.float32)
    of_own = tl.zeros([BT, BC], tl.float32)
    for first in range(0, length, BT):
        t = first + tl.arange(0, BT)
        known = (t < length)[:, None] & inside[None, :]
        at = b * length * channels + t[:, None] * channels + c[None, :]
        z, v, w = _before(
            y, p, q, other, r, u, at, b, c, known, inside, pb, qb, rb, ub, KIND
        )
        g = tl.load(dout + at, mask=known, other=0.0).to(tl.float32)
        g = tl.where(z > 0, g, 0.0)
        of_slope += g * v
        of_offset += g
        if KIND == 2:
            of_own += g * w
    line = b * channels + c
    tl.store(dp + line, tl.sum(of_slope, 0), mask=inside)
    tl.store(dq + line, tl.sum(of_offset, 0), mask=inside)
    if KIND == 2:
        tl.store(dr + line, tl.sum(of_own, 0), mask=inside)


@triton.jit
def _gradients(
    dout, y, p, q, other, r, u, m, s, k, place, m2, s2, dy, dother,
    length, channels, pb, qb, rb, ub, mb, sb, kb, m2b, s2b,
    KIND: tl.constexpr, PEAK: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Take one tile's gradient back to y and to the shortcut."""
    t = tl.program_id(0) * BT + tl.arange(0, BT)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.program_id(2).to(tl.int64)
    inside = c < channels
    known = (t < length)[:, None] & inside[None, :]
    at = b * length * channels + t[:, None] * channels + c[None, :]
    z, v, w = _before(
        y, p, q, other, r, u, at, b, c, known, inside, pb, qb, rb, ub, KIND
    )
    g = tl.load(dout + at, mask=known, other=0.0).to(tl.float32)
    g = tl.where(z > 0, g, 0.0)
    slope = tl.load(p + b * pb + c, mask=inside, other=0.0)
    mean = tl.load(m + b * mb + c, mask=inside, other=0.0) / length
    square = tl.load(s + b * sb + c, mask=inside, other=0.0) * 2 / length
    d = slope[None, :] * g + mean[None, :] + square[None, :] * v
    if PEAK:
        peak = tl.load(k + b * kb + c, mask=inside, other=0.0)
        there = tl.load(place + b * channels + c, mask=inside, other=-1)
        d += tl.where(t[:, None] == there[None, :], peak[None, :], 0.0)
    tl.store(dy + at, d.to(dy.dtype.element_ty), mask=known)
    if KIND == 1:
        tl.store(dother + at, g.to(dother.dtype.element_ty), mask=known)
    if KIND == 2:
        own = tl.load(r + b * rb + c, mask=inside, other=0.0)
        mean2 = tl.load(m2 + b * m2b + c, mask=inside, other=0.0) / length
        square2 = tl.load(s2 + b * s2b + c, mask=inside, other=0.0) * 2 / length
        e = own[None, :] * g + mean2[None, :] + square2[None, :] * w
        tl.store(dother + at, e.to(dother.dtype.element_ty), mask=known)
