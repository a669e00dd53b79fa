"""Where torch runs: device, precision, seeds and processes, decided in one place."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
import torch.distributed as dist


def pick_device(name: str | None = None) -> torch.device:
    """Choose the device to compute on.

    Args:
        name: a torch device such as "cpu" or "cuda:1"; by default `$MCCGAA_DEVICE`,
            else this process's GPU where there is one, else the CPU.
    """
    name = name or os.environ.get("MCCGAA_DEVICE")
    if name:
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself.

    A CPU without such instructions (AVX2 only, say) emulates them, a hundred times
    slower than float32.
    """
    return device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Run the encoder in bfloat16 where the device has it, else as written.

    Args:
        device: where the tensors are.
        precision: "bf16", or "fp32" for float32 everywhere.
    """
    wanted = precision == "bf16" and has_bf16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def seed_step(*numbers: int) -> None:
    """Seed torch from a tuple such as (seed, step, rank).

    Randomness is then a function of the step alone, so that a run continued at a
    step draws what the uninterrupted run drew there.
    """
    mixed = 0
    for number in numbers:
        mixed = (mixed * 1_000_003 + number + 1) % (2**63)
    torch.manual_seed(mixed)


def world() -> tuple[int, int]:
    """Return (rank, number of processes); (0, 1) outside torchrun."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    """Join the process group that torchrun describes, if it does, and leave it."""
    joined = "WORLD_SIZE" in os.environ and not dist.is_initialized()
    if joined:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield world()
    finally:
        if joined:
            dist.destroy_process_group()


def facts(device: torch.device) -> dict[str, Any]:
    """What a result was computed with: versions, device, threads."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "mccgaa": version("mccgaa"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "processes": world()[1],
    }
