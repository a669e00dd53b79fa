"""Where torch runs: device, precision, seeds and processes, decided in one place."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import version
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import _set_pg_timeout
from torch.distributed.rendezvous import rendezvous

from mccgaa.errors import ConfigError, MccgaaError

JOINING = timedelta(minutes=5)  # for all processes to meet
WAITING = timedelta(hours=2)  # for rank 0, which encodes texts and the held-out part
T = TypeVar("T")


def pick_device(name: str | None = None) -> torch.device:
    """Choose the device to compute on.

    Args:
        name: a torch device such as "cpu" or "cuda:1"; "cuda" is this process's GPU.
            By default `$MCCGAA_DEVICE`, else "cuda" where there is a GPU, else "cpu".

    Raises:
        ConfigError: no such device, or it is not in this machine.
    """
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    name = name or os.environ.get("MCCGAA_DEVICE")
    if not name:
        return torch.device(own if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(own if name == "cuda" else name)
        torch.empty(0, device=device)  # asks the device itself
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"The device {name!r} is not available; this machine has "
            f"{', '.join(devices())}."
        ) from error
    return device


def devices() -> list[str]:
    """List the devices of this machine that pretraining can use."""
    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself.

    A CPU without such instructions (AVX2 only, say) emulates them, tens of times slower
    than float32.
    """
    return device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def effective_precision(device: torch.device, precision: str) -> str:
    """Say which precision a device really computes the encoder in.

    Args:
        device: where the tensors are.
        precision: what is asked for, "bf16" or "fp32".

    Returns:
        "bf16" where it is asked for and the device has it, else "fp32".
    """
    return "bf16" if precision == "bf16" and has_bf16(device) else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Run the encoder in bfloat16 where that is asked for and the device has it.

    Args:
        device: where the tensors are.
        precision: "bf16", or "fp32" for float32 everywhere.
    """
    wanted = effective_precision(device, precision) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


@contextlib.contextmanager
def put_off() -> Iterator[list[int]]:
    """Put Ctrl-C off to where its reader can stop; a second one interrupts at once.

    Yields:
        The signals that came: none, or one. None ever comes outside the main thread,
        nor where Ctrl-C is ignored.
    """
    came: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        came.append(number)

    heard = callable(signal.getsignal(signal.SIGINT))  # what runs unseen may ignore it
    if not heard or threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGINT, take)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


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
        backend = "nccl" if device.type == "cuda" else "gloo"
        store, rank, processes = next(rendezvous("env://", timeout=JOINING))
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # torchrun keeps the store when it starts processes again, and in it where
            # those were that died. On many nodes each counts restarts for itself;
            # there TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 gives each attempt a new one.
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            store = dist.PrefixStore(f"attempt-{attempt}", store)
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=processes, timeout=JOINING
        )
        _set_pg_timeout(WAITING)
    try:
        yield world()
    finally:
        if joined:
            dist.destroy_process_group()


@contextlib.contextmanager
def rank_zero_first() -> Iterator[None]:
    """Let rank 0 do a piece of work alone; the others do it once it is done.

    What rank 0 leaves on the disk (a cache of text vectors, a packed store) the others
    then only read. Outside a process group this does nothing.
    """
    rank, processes = world()
    if rank:
        dist.barrier()
    try:
        yield
    finally:  # after an error, too: the others then meet it instead of waiting
        if processes > 1 and not rank:
            dist.barrier()


def from_rank_zero(work: Callable[[], T]) -> T:
    """Do a piece of work on rank 0, and give its result, or its error, to all.

    Every rank has to call this. The folder of a run is thus read and written by rank 0
    alone, which may be the only one that can see it.

    Args:
        work: what rank 0 does; its result has to be picklable, its tensors on the CPU.

    Raises:
        MccgaaError: what `work` raised on rank 0, on every rank.
    """
    rank, processes = world()
    if processes == 1:
        return work()
    told: list[Any] = [None, None]  # the result, the error
    if rank == 0:
        try:
            told[0] = work()
        except MccgaaError as error:
            told[1] = error
    dist.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    return told[0]


def is_finite(module: torch.nn.Module) -> bool:
    """Whether no weight or running statistic is NaN or infinite."""
    return all(bool(t.isfinite().all()) for t in module.state_dict().values())


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
