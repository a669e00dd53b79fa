"""Small baselines on made-up signals, for the tests of each method."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mccgaa.config import EncoderConfig, InputConfig
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.base import Batch, Method
from mccgaa_book.baselines.config import BaselineConfig

RATE, SECONDS = 50, 2.0
# What the seven moments of such a record's map ask for, unless a test says otherwise.
FITTING = {"ts-tcc": {"moments": 7, "ahead": 3}, "astcl": {"moments": 7}}


def config(name: str, **settings: Any) -> BaselineConfig:
    """A narrow network on records of 2 s at 50 Hz."""
    return BaselineConfig(
        name,
        registry.settings(name, FITTING.get(name, {}) | settings),
        InputConfig(RATE, SECONDS, "bandpass-zscore"),
        EncoderConfig(cam="none", widths=(8, 8, 8, 8)),
    )


def make(name: str, **settings: Any) -> Method:
    """A method with the same weights at each call."""
    torch.manual_seed(0)
    return registry.build(config(name, **settings))


def signals(count: int = 4, seed: int = 1) -> Tensor:
    """Noise of deviation 1, (count, 12, 100)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 12, round(RATE * SECONDS), generator=generator)


def batch(count: int = 4, progress: float = 0.0) -> Batch:
    """Records of different persons."""
    return Batch(signals(count), torch.arange(count), progress)


def elsewhere(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor of no values on another device than the CPU, which mixes with none."""
    return torch.empty(*shape, dtype=dtype, device="meta")


def matrix(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def learns(method: Method, given: Batch) -> set[str]:
    """Names of the parameters that a step's loss reaches."""
    torch.manual_seed(3)
    method.train().loss(given)["loss"].backward()
    reached = set()
    for name, parameter in method.named_parameters():
        if parameter.grad is not None and parameter.grad.abs().max() > 0:
            reached.add(name)
    return reached


def size(encoder: torch.nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(p.numel() for p in encoder.parameters())


def watched_spread(monkeypatch: Any, module: str) -> list[Tensor]:
    """What a method's module gives to `spread`, in a list that its steps fill."""
    seen: list[Tensor] = []
    place = f"mccgaa_book.baselines.{module}.spread"
    monkeypatch.setattr(place, lambda z: seen.append(z) or torch.ones(()))
    return seen


def watched_gather(monkeypatch: Any, module: str) -> list[tuple[tuple, Any]]:
    """Shape and group of what a method's module gathers, in a list."""
    asked: list[tuple[tuple, Any]] = []
    place = f"mccgaa_book.baselines.{module}.gather"
    monkeypatch.setattr(
        place, lambda x, group: asked.append((tuple(x.shape), group)) or x
    )
    return asked
