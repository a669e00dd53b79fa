"""Averages of weights: of one model over its steps, and of several models."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Average:
    r"""The mean of a model's weights over its last steps.

    .. math:: \bar\theta_t = d_t \bar\theta_{t-1} + (1 - d_t) \theta_t, \quad
        d_t = \min(d, \tfrac{1 + t}{10 + t})

    The decay d_t rises with the steps t, so that a short run does not keep the weights
    that it began with. Running statistics of batch normalisation are averaged
    likewise; counters are copied.

    Args:
        model: what is averaged; `self.model` is a copy of it, in evaluation mode.
        decay: d in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step.

        Args:
            model: the one that is trained.
            step: t, steps done before this one; 0 is the first.
        """
        mine, its = self.model.state_dict().values(), model.state_dict().values()
        averaged: tuple[list[Tensor], list[Tensor]] = ([], [])
        for one, other in zip(mine, its, strict=True):
            if one.is_floating_point():
                averaged[0].append(one)
                averaged[1].append(other)
            else:
                one.copy_(other)
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*averaged, share)  # all of them in a few kernels


@torch.no_grad()
def mean_of(
    weights: Sequence[Mapping[str, Tensor]], shares: Sequence[float]
) -> dict[str, Tensor]:
    r"""The mean of several models' weights, :math:`\sum_i s_i \theta_i`.

    It is a model only where all of them are in one valley of the loss, as runs are
    that began with the same weights ("model soups", Wortsman et al. 2022). Running
    statistics of batch normalisation are averaged likewise, which are nearly those that
    the averaged network would have; counters are the first's.

    Args:
        weights: the models' `state_dict`, of the same names and shapes.
        shares: s_i, one per model, which add up to 1.
    """
    if len(weights) != len(shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"{len(weights)} models cannot have the shares {shares}")
    mean = dict(weights[0])
    for name, value in mean.items():
        if value.is_floating_point():
            parts = (s * one[name] for s, one in zip(shares, weights, strict=True))
            mean[name] = torch.stack(list(parts)).sum(0)
    return mean
