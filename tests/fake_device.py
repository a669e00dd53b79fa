"""A GPU for tests on machines without one: it computes, and refuses to be mixed.

Inside `fake_gpu()` a tensor or module moved to "cuda" says that it is there, gives the
right numbers, and raises what torch raises when it meets a tensor of the CPU or is
turned into an array.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)


_MAY_MIX = ("copy_", "_has_compatible_shallow_copy_type")


def _away(tensor: torch.Tensor) -> bool:
    return getattr(tensor, "_away", False)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]


def _wanted(args: tuple, kwargs: dict) -> torch.device | None:
    """The device among the arguments of `Tensor.to`, a factory or the like."""
    for value in (kwargs.get("device"), *args[1:]):
        if isinstance(value, torch.Tensor):
            return GPU if _away(value) else torch.device("cpu")
        if isinstance(value, str | torch.device):
            return torch.device(value)
    return None


def _at_home(value: Any) -> Any:
    """Replace a device argument by the CPU."""
    is_gpu = isinstance(value, str | torch.device) and "cuda" in str(value)
    return "cpu" if is_gpu else value


class _FakeGpu(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        tensors = [
            t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)
        ]
        away = [_away(t) for t in tensors if t.dim()]  # scalars may mix, as in torch
        if func == torch.Tensor.device.__get__:
            return GPU if _away(args[0]) else torch.device("cpu")
        if func == torch.Tensor.is_cuda.__get__:
            return _away(args[0])
        if func == torch.Tensor.data.__set__:
            args[0]._away = _away(args[1])
            return func(*args, **kwargs)
        moves = name in ("to", "cpu", "cuda")
        if moves:
            target = {"cpu": torch.device("cpu"), "cuda": GPU}.get(name)
            target = target or _wanted(args, kwargs)
            there = _away(args[0]) if target is None else target.type == "cuda"
            rest = tree_map(_at_home, args[1:])
            moved = args[0] if name == "cuda" else func(args[0], *rest)
            if moved is args[0] and there == _away(moved):
                return moved
            moved = moved.clone() if moved is args[0] else moved
            moved._away = there
            return moved
        if name in ("numpy", "__array__") and _away(args[0]) and away:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        if any(away) and not all(away) and name not in _MAY_MIX:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {name} found at "
                "least two devices, cuda:0 and cpu!"
            )
        made = _wanted((), kwargs)
        result = func(*args, **tree_map(_at_home, kwargs))
        there = made.type == "cuda" if made else any(_away(t) for t in tensors)
        for tensor in _tensors(result) if name != "copy_" else ():
            tensor._away = there
        return result


def _unpinned(empty: Any, *shape: Any, pin_memory: bool = False, **options: Any) -> Any:
    """Stand in for `torch.empty`: only a real GPU has memory to pin."""
    return empty(*shape, **options)


@contextlib.contextmanager
def fake_gpu() -> Iterator[torch.device]:
    """Give the machine a GPU, which is also the default of `pick_device`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        patch.setattr(torch.cuda, "get_device_name", lambda *_: "fake GPU")
        patch.setattr(torch.cuda, "synchronize", lambda *_: None)
        patch.setattr(torch.cuda, "Stream", lambda *_: None)  # nothing waits for it
        patch.setattr(torch.cuda, "set_device", lambda _: None)
        patch.setattr(torch, "empty", partial(_unpinned, torch.empty))
        patch.setattr(torch.cuda, "mem_get_info", lambda *_: (2**40, 2**40))
        patch.delenv("MCCGAA_DEVICE", raising=False)
        with _FakeGpu():
            yield GPU
