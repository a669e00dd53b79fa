"""A trained encoder as it is asked: about one ECG, on a CPU, and soon.

`fold` takes each batch normalisation into the convolution before it. What it leaves,
`FoldedEncoder`, is `EcgEncoder` with the same modules. One ECG in float32 on a CPU goes
another way to the same embedding, up to rounding: all else, such as a batch, a GPU,
bfloat16, or a network that is traced or learns, goes the way of `EcgEncoder`.

A map (1, C, 1, T) is rows (T, C) there, and each layer is as few products and passes as
one ECG allows:

- A convolution of kernel k is k products of shifted rows with (C, O) matrices, which
  are views of its weights. oneDNN would bring the weights of each layer into an order
  of its own at every call, which for 63 moments costs as much as it gains.
- Attention with one query needs no keys: with q^T (W m + b) = (W^T q)^T m + q^T b the
  query goes through W once and for all, and the softmax does not see q^T b. Its weights
  add up to one, so the values' layer comes after the mean that they weigh.

So a folded encoder is not to be given other weights.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mccgaa.encoder import (
    STRIDE,
    AttentionPool,
    Block,
    ChannelAttention,
    EcgEncoder,
    PointwiseConv,
    unit,
)
from mccgaa.fast_encoder import gate
from mccgaa.model import MCCGAA


def fold(model: MCCGAA) -> None:
    """Fold each batch normalisation into the convolution before it, in place.

    For a model that is not trained any more that is the same function, up to rounding,
    with fewer passes over memory.
    """
    chains = [
        part for part in model.encoder.modules() if isinstance(part, nn.Sequential)
    ]
    for chain in chains:
        for i, (one, next_) in enumerate(pairwise(chain)):
            if isinstance(next_, nn.BatchNorm2d):
                chain[i], chain[i + 1] = fuse_conv_bn_eval(one, next_), nn.Identity()
    model.encoder.__class__ = FoldedEncoder


class FoldedEncoder(EcgEncoder):
    """What `fold` makes of an encoder."""

    def forward(self, x: Tensor) -> Tensor:
        """Encode (B, leads, T) to embeddings (B, M) of length one."""
        if not self._is_quick(x):
            return super().forward(x)
        rows = convolve(self.stem[0], x[0].t().contiguous()).relu_()  # (T / 2, C)
        for stage in self.stages:
            for block in stage:
                rows = residual(block, rows)
        rows = convolve(self.project, rows)  # (T', M)
        if isinstance(self.head, AttentionPool):
            if len(rows) not in self._asked:
                self._asked[len(rows)] = asked(self.head, len(rows))
            return unit(attend(self.head, rows, *self._asked[len(rows)]))
        return self.pool(rows.t()[None])

    @cached_property
    def _asked(self) -> dict[int, tuple[Tensor, Tensor]]:
        """What `asked` says of each number of moments that there was."""
        return {}

    def _is_quick(self, x: Tensor) -> bool:
        """Whether this is one ECG that nothing stands in the quick way of."""
        return (
            x.dim() == 3
            and x.shape[:2] == (1, self.config.leads)
            and x.shape[2] >= STRIDE
            and x.device.type == "cpu"
            and x.dtype == self.project.weight.dtype == torch.float32
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()
        )


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve rows (T, C) with a 1 x k kernel: (ceil(T / stride), O)."""
    step = conv.step if isinstance(conv, PointwiseConv) else conv.stride[1]
    matrices = conv.weight.squeeze(2).permute(2, 1, 0).unbind()  # k of (C, O)
    length, middle = x.shape[0], len(matrices) // 2
    y = torch.addmm(conv.bias, x[::step], matrices[middle])
    for shift, matrix in enumerate(matrices, start=-middle):
        first = max(0, -(shift // step))  # the first output that sees this sample
        start = first * step + shift
        count = -(-min(length, length - shift) // step) - first
        if shift and count > 0:
            seen = x[start : start + step * count : step]
            y[first : first + count].addmm_(seen, matrix)
    return y


def residual(block: Block, x: Tensor) -> Tensor:
    """Map rows (T, C) to (ceil(T / stride), C'), as `block` does."""
    *inner, last = [part for part in block.branch if isinstance(part, nn.Conv2d)]
    y = x
    for conv in inner:
        y = convolve(conv, y).relu_()
    y = convolve(last, y)
    if isinstance(block.shortcut, nn.Sequential):
        x = convolve(block.shortcut[0], x)
    if not isinstance(block.cam, ChannelAttention):
        return y.add_(x).relu_()
    alpha = gate(block.cam, torch.stack([y.mean(0), y.amax(0)])[:, None])  # (1, C')
    return torch.addcmul(x, alpha, y).relu_()


def asked(pool: AttentionPool, length: int) -> tuple[Tensor, Tensor]:
    """Position (T', M) and question (heads, M) of `attend`, for T' = `length`."""
    position = F.interpolate(pool.position.t()[None], size=length, mode="linear")
    query = pool.to_query(pool.query).view(pool.heads, 1, -1)  # (heads, 1, M / heads)
    key = pool.to_key.weight.unflatten(0, (pool.heads, -1))  # (heads, M / heads, M)
    question = (query @ key).squeeze(1) * query.shape[2] ** -0.5
    return position[0].t().contiguous(), question


def attend(
    pool: AttentionPool, rows: Tensor, position: Tensor, question: Tensor
) -> Tensor:
    """Pool rows (T', M) to (1, M), as `pool` does."""
    moments = rows + position  # (T', M)
    weights = (question @ moments.t()).softmax(1)  # (heads, T')
    every = pool.to_value(weights @ moments)  # (heads, M): all channels for each head
    own = every.unflatten(1, (pool.heads, -1)).diagonal()  # (M / heads, heads)
    return pool.out(own.t().reshape(1, -1))
