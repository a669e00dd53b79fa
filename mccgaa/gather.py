"""One batch shared by many processes: the rows of all, with their gradients.

Each process computes its own rows of the graph and of the losses against the rows of
all. What a process asks of another's rows travels back in `gather`'s backward pass as
a sum, and DDP's mean over processes is then the gradient that a single process would
have had with the whole batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Group(NamedTuple):
    """The processes that share a batch, as `runtime.world` names them."""

    rank: int  # of this process
    processes: int


ALONE = Group(0, 1)


class Links(NamedTuple):
    """Which of this process's nodes attend to which nodes of all, themselves apart.

    A mask is added to the scores of eq 21: 0 where a node attends to another, else
    minus infinity.
    """

    ecgs: Tensor  # (B, all texts); (B, all pairs) in the pair graph
    texts: Tensor | None  # (C, all ECGs); None in the pair graph
    group: Group


def gather(t: Tensor, group: Group = ALONE) -> Tensor:
    """Join the same tensor of all processes, keeping its gradient.

    Args:
        t: (b, ...) this process's rows; the same shape in every process.
        group: who takes part; a process alone gathers nothing.

    Returns:
        (b x processes, ...), in order of rank; `t` itself in a process alone. The
        gradient of `t` is the sum over processes of the gradients of its rows.
    """
    return t if group.processes == 1 else _Gather.apply(t, group.processes)


def gather_both(x: Tensor, q: Tensor, group: Group = ALONE) -> tuple[Tensor, Tensor]:
    """Join two tensors of all processes, with one exchange where there are several.

    Args:
        x: (b, width) this process's rows of one side.
        q: (b, width') its rows of the other; any number of them in a process alone.
        group: as in `gather`.
    """
    if group.processes == 1:
        return x, q
    both = gather(torch.cat([x, q], dim=1), group)  # (B, width + width')
    return both[:, : x.shape[1]], both[:, x.shape[1] :]


def mean(t: Tensor, group: Group = ALONE) -> Tensor:
    """Average a loss over all processes; its gradient stays this process's own part.

    Args:
        t: this process's loss, the mean over its own rows.
        group: as in `gather`.

    Returns:
        The loss of the whole batch, the same in every process. Backwards it passes
        the gradient on as it is, since DDP's mean divides by the number of processes.
    """
    return t if group.processes == 1 else _Mean.apply(t, group.processes)


class _Gather(torch.autograd.Function):
    """All-gather forwards, reduce-scatter (a sum) backwards."""

    @staticmethod
    def forward(ctx, t: Tensor, processes: int) -> Tensor:
        ctx.processes = processes
        joined = t.new_empty(processes * len(t), *t.shape[1:])
        dist.all_gather(list(joined.chunk(processes)), t.contiguous())
        return joined

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        parts = list(grad.contiguous().chunk(ctx.processes))  # one for each process
        own = torch.empty_like(parts[0])
        dist.reduce_scatter(own, parts)
        return own, None


class _Mean(torch.autograd.Function):
    """Mean over processes forwards, the identity backwards."""

    @staticmethod
    def forward(ctx, t: Tensor, processes: int) -> Tensor:
        total = t.clone()
        dist.all_reduce(total)
        return total / processes

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None
