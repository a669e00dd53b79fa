"""The processes that prepare records for a store, and what they note of each."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mccgaa.config import LEADS, InputConfig
from mccgaa.data.record import read_record
from mccgaa.data.transform import DEFAULT_POLICY, Policy, prepare
from mccgaa.errors import RecordError, StoreError

STEPS = 1000  # integer steps per mV or per standard deviation
NOTES = (
    "recorded_rate",  # Hz, of the file
    "recorded_seconds",
    "missing_leads",
    "flat_leads",
    "nan_share",
    "clipped_share",  # at the source's own limits
    "stored_clipped",  # samples beyond what int16 holds
)
_MAX_STORED_CLIPPED = 0.01  # of a record's samples; beyond, its unit is doubtful


@dataclass(frozen=True)
class Item:
    """One record to prepare."""

    path: str  # under the root
    start: float = 0.0  # seconds into the record
    policy: Policy = DEFAULT_POLICY
    read: dict[str, Any] = field(default_factory=dict)  # keywords of `read_record`


@dataclass(frozen=True)
class Options:
    """How every record of one packing is read and prepared."""

    root: str
    input: InputConfig
    seconds: float | None = None  # the length that each record must have
    allow_missing_leads: bool = False


def pack_one(item: Item, options: Options) -> tuple[np.ndarray, dict[str, Any]]:
    """Read and prepare one record.

    Returns:
        int16 (12, T) in thousandths of a mV or of a standard deviation, and notes.

    Raises:
        RecordError: the record is to be rejected, with the reason.
    """
    record = read_record(
        Path(options.root) / item.path,
        allow_missing_leads=options.allow_missing_leads,
        **item.read,
    )
    if record.faint and options.input.transform == "raw":
        raise RecordError(record.faint)
    prepared = prepare(
        record, options.input, item.policy, start=item.start, seconds=options.seconds
    )
    steps = np.rint(prepared * np.float32(STEPS))  # (12, T)
    clipped = int(np.count_nonzero(np.abs(steps) > 32767))
    if clipped > _MAX_STORED_CLIPPED * steps.size:
        raise RecordError(
            f"{record.path} passes 32.767 {'mV' if record.units == 'mV' else 'z'} in "
            f"{clipped / steps.size:.0%} of its samples; its gain or unit is wrong."
        )
    absent = [n for n, here in zip(LEADS, record.present, strict=True) if not here]
    values = (
        record.sampling_rate,
        round(record.duration, 4),
        absent,
        list(record.quality.flat_leads),
        record.quality.nan_share,
        record.quality.clipped_share,
        clipped,
    )
    notes = dict(zip(NOTES, values, strict=True))
    if record.derived:
        notes["derived_leads"] = list(record.derived)
    return np.clip(steps, -32767, 32767).astype("<i2"), notes


def pack_chunk(
    chunk: list[Item], options: Options
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Prepare a chunk: the accepted records' samples, and a note for every record."""
    blocks, notes = [], []
    for item in chunk:
        try:
            block, note = pack_one(item, options)
        except RecordError as error:
            # Not within another folder's name: "./" is a part of "../".
            root = rf"(?<![^\s'\"(]){re.escape(options.root + os.sep)}"
            note = {"reason": re.sub(root, "", str(error))}
        # One odd file among 800,000 must not end the night's work; it is listed.
        except Exception as error:
            kind = type(error).__name__
            note = {"reason": f"{item.path}: unforeseen {kind}: {error}"}
        else:
            blocks.append(block)
        notes.append(note)
    empty = np.empty((0, len(LEADS), options.input.length), dtype="<i2")
    return (np.stack(blocks) if blocks else empty), notes


def run_chunks(
    chunks: Iterable[list[Item]], options: Options, jobs: int | None
) -> Iterator[tuple[np.ndarray, list[dict[str, Any]]]]:
    """Prepare chunks in parallel and yield them in order, few at a time.

    Args:
        chunks: what is to be done.
        options: the same for all.
        jobs: processes; None means one per usable core, 1 means this process.

    Raises:
        StoreError: a worker died, usually for lack of memory, or could not start.
    """
    jobs = jobs or _usable_cores()
    if jobs == 1:
        for chunk in chunks:
            yield pack_chunk(chunk, options)
        return
    # Not fork: a worker must hold neither the caller's threads nor its lock.
    methods = multiprocessing.get_all_start_methods()
    method = "forkserver" if "forkserver" in methods else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    pending: deque[Future] = deque()
    with ProcessPoolExecutor(jobs, context, _start_worker, (os.getpid(),)) as pool:
        try:
            for chunk in chunks:
                # The oldest result is awaited before more is handed out, so that a
                # slow disk cannot pile up blocks in memory.
                pending.append(pool.submit(pack_chunk, chunk, options))
                if len(pending) > 2 * jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise StoreError(
                "A packing process was killed, probably for lack of memory, or failed, "
                "see above. Start the same command again, with fewer processes "
                "(--jobs of pack) where memory is short: it continues."
            ) from error
        finally:  # also when the caller closes this generator half-way
            pool.shutdown(wait=False, cancel_futures=True)


def _usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_worker(packer: int) -> None:
    """End this worker when the packing process is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the packer stops its workers

    def watch() -> None:
        while _alive(packer):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _alive(process: int) -> bool:
    """Whether a process exists."""
    if os.name == "nt":  # its workers end with their pipe
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
