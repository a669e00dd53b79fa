"""A module that is lent to a device, to be used there and not trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from mccgaa.runtime import pick_device


@contextlib.contextmanager
def lent(module: torch.nn.Module, name: str | None = None) -> Iterator[torch.device]:
    """Move a module to a device, in evaluation mode, and back where it was.

    In evaluation mode batch normalisation reads its statistics and leaves them alone.

    Args:
        module: its parameters, if it has any, are on one device.
        name: of the device, as `pick_device`.

    Yields:
        The device.
    """
    first = next(module.parameters(), torch.empty(0))
    home, training = first.device, module.training
    away = pick_device(name)
    try:
        module.to(away).eval()
        yield away
    finally:
        module.to(home).train(training)
