r"""The encoder in as few passes over memory as training allows, for `torch.compile`.

On a GPU a step is bound by memory: its convolutions could run several times as fast as
their neighbours (batch normalisation, attention, shortcut, ReLU) read and write maps.
`features` is `EcgEncoder.features` on the same modules and weights, written so that a
compiler needs two passes over what leaves a convolution, whatever follows it:

- One pass takes each channel's mean, mean square and largest value over time, for every
  record. They give the statistics of the batch (eq 5), and both poolings of the channel
  attention (eq 8, 9), because normalisation is a line, a y + c, and a line keeps the
  mean and sends the largest value to the largest, or to the smallest where a < 0.
- One pass applies the attention's weight, the line, the shortcut and ReLU together:
  relu(alpha a y + alpha c + shortcut).

The backward pass needs two as well. In training mode the running statistics move as
those of `nn.BatchNorm2d` do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mccgaa.encoder import Block, ChannelAttention, EcgEncoder, PointwiseConv

ALIGNED = 8  # channels: tensor cores read that many bfloat16 numbers at once


class Line(NamedTuple):
    """What normalisation does to a channel: y becomes slope * y + offset."""

    slope: Tensor  # (C,)
    offset: Tensor  # (C,)


class Moments(NamedTuple):
    """Each channel's moments over time, for every record."""

    mean: Tensor  # (B, C)
    square: Tensor  # (B, C), mean of the squares
    count: int  # of all values of a channel, B x T


def features(encoder: EcgEncoder, x: Tensor) -> Tensor:
    """Map ECGs (B, leads, T) to (B, M, T'), as `encoder.features` does.

    Args:
        encoder: whose modules are used, in training or evaluation mode.
        x: scaled as the model's input configuration says.
    """
    conv, norm, _ = encoder.stem
    spare = -x.shape[1] % ALIGNED if x.device.type == "cuda" else 0
    x = F.pad(x, (0, 0, 0, spare)).unsqueeze(2)  # (B, 16, 1, T): leads of zeros
    x = x.contiguous(memory_format=torch.channels_last)
    weight = F.pad(conv.weight, (0, 0, 0, 0, 0, spare))  # (64, 16, 1, 7)
    y = rows(F.conv2d(x, weight, None, conv.stride, conv.padding))  # (B, T / 2, C)
    x = maps(activate(y, norm))
    for stage in encoder.stages:
        for block in stage:
            x = residual(block, x)
    return encoder.project(x).squeeze(2)


def residual(block: Block, x: Tensor) -> Tensor:
    """Map (B, C, 1, T) to (B, C', 1, T'), as `block` does."""
    shortcut = wide(rows(x))
    if isinstance(block.shortcut, nn.Sequential):
        conv, norm = block.shortcut
        assert isinstance(conv, PointwiseConv)
        y = wide(rows(conv(x)))  # (B, T', C')
        slope, offset = line(norm, moments(y, norm))
        shortcut = slope * y + offset
    layers = list(block.branch)
    for conv, norm in zip(layers[:-2:3], layers[1:-2:3], strict=True):
        x = maps(activate(rows(conv(x)), norm))
    conv, norm = layers[-2:]
    y = rows(conv(x))  # (B, T', C')
    type_, y = y.dtype, wide(y)
    cam = block.cam if isinstance(block.cam, ChannelAttention) else None
    found = moments(y, norm, always=cam is not None)
    slope, offset = line(norm, found)  # (C',) each
    if cam is not None and found is not None:
        sign = torch.where(norm.weight < 0, -1.0, 1.0).to(y.dtype)  # of the slope
        peak = Peak.apply(y * sign) * sign  # (B, C'), what becomes the largest
        pooled = torch.stack([slope * found.mean + offset, slope * peak + offset])
        alpha = gate(cam, pooled.to(type_)).to(y.dtype)  # (B, C')
        slope, offset = alpha * slope, alpha * offset  # (B, C') each
        slope, offset = slope[:, None], offset[:, None]  # (B, 1, C')
    total = slope * y + offset + shortcut
    # Rounded before ReLU, so that its backward pass reads what the next layer keeps.
    return maps(F.relu(total.to(type_)))


def activate(y: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Normalise rows (B, T, C) and apply ReLU."""
    full = wide(y)
    slope, offset = line(norm, moments(full, norm))
    return F.relu((slope * full + offset).to(y.dtype))


def moments(y: Tensor, norm: nn.BatchNorm2d, always: bool = False) -> Moments | None:
    """Take moments of rows (B, T, C); none where running statistics serve."""
    if not (norm.training or always):
        return None
    return Moments(y.mean(1), y.square().mean(1), y.shape[0] * y.shape[1])


def line(norm: nn.BatchNorm2d, found: Moments | None) -> Line:
    """Make normalisation a line, and move its running statistics in training."""
    if norm.training:
        assert found is not None and norm.running_mean is not None
        assert norm.running_var is not None and norm.num_batches_tracked is not None
        mean = found.mean.mean(0)  # (C,)
        variance = (found.square.mean(0) - mean.square()).clamp_min(0)
        with torch.no_grad():
            unbiased = variance * (found.count / (found.count - 1))
            norm.running_mean.lerp_(mean.to(norm.running_mean), norm.momentum)
            norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)
            norm.num_batches_tracked.add_(1)
    else:
        mean, variance = norm.running_mean, norm.running_var
    slope = norm.weight * torch.rsqrt(variance + norm.eps)
    return Line(slope, norm.bias - slope * mean)


def gate(cam: ChannelAttention, pooled: Tensor) -> Tensor:
    """Weigh channels by their poolings (2, B, C), eq 10-13: (B, C)."""
    alpha = torch.sigmoid(cam.fc2(F.relu(cam.fc1(pooled))).sum(0))
    return torch.sigmoid(alpha) if cam.gate == "double-sigmoid" else alpha


class Peak(torch.autograd.Function):
    """The largest value over time; its gradient goes to the first that is as large.

    torch's own gradient writes a map of zeros and scatters into it; a comparison with
    the place is one more term of a pass that is made anyway.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        """Map (B, T, C) to (B, C)."""
        top, place = y.max(1)
        ctx.save_for_backward(place)
        ctx.length = y.shape[1]
        return top

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Map (B, C) to (B, T, C)."""
        (place,) = ctx.saved_tensors
        moment = torch.arange(ctx.length, device=place.device)[:, None]  # (T, 1)
        return torch.where(moment == place[:, None], gradient[:, None], 0)


def rows(x: Tensor) -> Tensor:
    """View a channels-last map (B, C, 1, T) as rows (B, T, C)."""
    return x.squeeze(2).transpose(1, 2)


def maps(x: Tensor) -> Tensor:
    """View rows (B, T, C) as a channels-last map (B, C, 1, T)."""
    return x.transpose(1, 2).unsqueeze(2)


def wide(x: Tensor) -> Tensor:
    """Compute in float32 or better: the compiler keeps that in registers."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
