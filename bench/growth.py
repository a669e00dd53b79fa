"""How pretraining grows: with records, batch, sampling rate and processes.

A narrow network on a store that is made up as it is read, so that a million records
cost no disk and the loop around the network is what is measured: order of an epoch,
reading, texts, steps and flushes, with the package's own parts. Every measurement is a
process of its own, on one thread, and counts that thread's seconds, not those in which
others had the processor; several processes, which wait for each other, are timed by the
clock on the wall. Epochs longer than the given seconds are stopped, after five windows
at the earliest, and their time is extrapolated from the steps taken, which is said.

    python bench/growth.py --json bench/growth.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import socket
import statistics
import time
from dataclasses import asdict, dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import cpu_model

import mccgaa.attention  # noqa: F401, takes seconds, which are no part of an epoch
from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    InputConfig,
    ModelConfig,
    PretrainConfig,
    RunConfig,
    TextConfig,
)
from mccgaa.device_reader import DeviceReader
from mccgaa.files import write_json
from mccgaa.learner import Learner
from mccgaa.pairs import epoch_order, shares
from mccgaa.runtime import process_group

DISTINCT = 256  # records that a made-up store repeats
TEXTS, DIM = 10_000, 32
SPEEDS = 5  # windows whose median is taken
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """One measurement."""

    axis: str  # what it varies
    records: int = 10_000
    batch: int = 64  # of all processes together
    sampling_rate: int = 25  # Hz, of ten seconds
    processes: int = 1


CASES = (
    *(Case("records", records=10**n) for n in (3, 4, 5, 6)),
    *(Case("batch", batch=2**n) for n in (4, 6, 8, 10)),
    *(Case("sampling_rate", sampling_rate=hertz) for hertz in (25, 50, 100, 250, 500)),
    # Long enough steps, as real ones are: short ones would wait for each other.
    *(Case("processes", processes=n, sampling_rate=250) for n in (1, 2)),
)


class MadeUpStore:
    """What a reader asks of a store, in the memory of a few records."""

    def __init__(self, records: int, length: int) -> None:
        rng = np.random.default_rng(0)
        self.some = rng.integers(-3000, 3000, (DISTINCT, 12, length)).astype(np.int16)
        # As large as a store of that many records, and one record in memory.
        self.signals = np.broadcast_to(self.some[0], (records, 12, length))
        self.meta = {"scale": 1e-3}

    def raw(self, index: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` (B, 12, T) with the records of `index`."""
        return np.take(self.some, np.asarray(index) % DISTINCT, axis=0, out=out)


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Train for one epoch, or for some seconds of it, in this process.

    Args:
        case: what to train.
        seconds: after which an epoch is stopped.
    """
    torch.set_num_threads(1)
    now = time.perf_counter if case.axis == "processes" else time.process_time
    before = now()
    with process_group(CPU):
        config = RunConfig(
            model=ModelConfig(
                input=InputConfig(sampling_rate=case.sampling_rate),
                encoder=EncoderConfig(widths=(8, 8, 16, 16), embedding_dim=16),
                text=TextConfig("random", dim=DIM, hidden=16),
                gafa=GafaConfig(hidden=16, output=8, graph="bipartite"),
            ),
            pretrain=PretrainConfig(batch_size=case.batch // case.processes),
            processes=case.processes,
        )
        learner = Learner(config, CPU)
        store = MadeUpStore(case.records, config.model.input.length)
        reader = DeviceReader(store, CPU)
        vectors = torch.randn(TEXTS, DIM)
        text_of = torch.randint(TEXTS, (case.records,))
        order = epoch_order(np.arange(case.records), 0, 0)
        rows = shares(order, config.pretrain.batch_size)  # (steps, batch / processes)
        clock = [now()]
        waiting = []
        each = max(1, min(50, len(rows) // SPEEDS))  # steps between looks at the losses
        for step, (at, signals) in enumerate(reader.batches(rows)):
            waiting.append(learner.step(step, 1e-3, signals, vectors[text_of[at]]))
            if len(waiting) == each:
                torch.stack(waiting).tolist()
                waiting.clear()
                clock.append(now())
                # All processes stop at the same step, which rank 0 alone cannot know.
                enough = len(clock) > SPEEDS and case.processes == 1
                if enough and clock[-1] - clock[0] > seconds:
                    break
        done = step + 1
        took = now() - clock[0]
    windows = np.diff(clock)
    start = clock[0] - before
    return {
        **asdict(case),
        "samples_per_second": round(each * case.batch / statistics.median(windows), 1),
        "epoch_seconds": round(start + took * len(rows) / done, 3),
        "start_seconds": round(start, 3),  # of an epoch: what looks at every record
        "whole": done == len(rows),
        "windows": len(windows),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def worker(
    case: Case, seconds: float, rank: int, port: int, results: Queue[Any]
) -> None:
    """Measure in one of a case's processes, as torchrun would start it."""
    if case.processes > 1:
        os.environ |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(case.processes),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
        }
    try:
        results.put(measure(case, seconds))
    except Exception as error:
        results.put(f"{type(error).__name__}: {error}")
        raise


def run(case: Case, seconds: float) -> dict[str, Any]:
    """Measure a case in processes of its own; memory is that of the largest.

    Raises:
        RuntimeError: one of them failed.
    """
    # Forked, so that nothing is imported again; no thread has been started here.
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        context.Process(target=worker, args=(case, seconds, rank, port, results))
        for rank in range(case.processes)
    ]
    for process in processes:
        process.start()
    rows = [results.get() for _ in processes]
    for process in processes:
        process.join()
    failed = [row for row in rows if isinstance(row, str)]
    if failed:
        raise RuntimeError(f"{case}: {failed[0]}")
    return rows[0] | {"peak_mb": max(row["peak_mb"] for row in rows)}


def main(arguments: list[str] | None = None) -> None:
    """Measure all cases, and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument(
        "--seconds", type=float, default=10, help="after which an epoch stops"
    )
    args = parser.parse_args(arguments)
    rows = []
    print(f"{'varied':14} {'value':>8} {'ECGs/s':>8} {'s/epoch':>9} {'peak MB':>8}")
    for case in CASES:
        row = run(case, args.seconds)
        rows.append(row)
        print(
            f"{case.axis:14} {row[case.axis]:8} {row['samples_per_second']:8.0f} "
            f"{row['epoch_seconds']:9.1f} {row['peak_mb']:8.0f}"
            + ("" if row["whole"] else "  (extrapolated)"),
            flush=True,
        )
    result = {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": 1,
        "torch": torch.__version__,
        "rows": rows,
    }
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
