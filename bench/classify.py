"""Classifying one ECG: a fresh process beside its imports, and each part once warm.

CPU seconds on one thread are counted, which other work on the machine lengthens least.
A fresh `mccgaa classify` and a process that only imports torch take turns; what the
command adds to torch is the difference of their medians. transformers is imported only
for classes in words of one's own, and is timed beside it. How fast the core multiplies
matrices says how far the encoder is from what it could reach there at all.

    python bench/classify.py --json bench/classify.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from machine import cpu_model
from threadpoolctl import threadpool_limits

from mccgaa.data.record import read_record
from mccgaa.data.transform import prepare_windows
from mccgaa.files import bar, write_json
from mccgaa.ready.classifier import EXAMPLE, load
from mccgaa.ready.export import write_onnx
from mccgaa_book.ablated import cost
from mccgaa_twin.mirror import write_tree

WANTED_COLD, WANTED_WARM, WANTED_ONNX = 1.5, 15.0, 1e-4  # s, ms, largest difference
SIDE = 512  # of the matrices whose product is timed
COMMANDS = {
    "torch": "import torch",
    "torch and transformers": "import torch; from transformers import AutoModel",
    "classify": "from mccgaa.cli import main; main(['classify'])",
}


def fresh(code: str) -> tuple[float, float]:
    """Seconds of CPU and of the clock that a new process takes for some code."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-c", code]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def cold(turns: int) -> dict[str, dict[str, float]]:
    """Medians of fresh processes that take turns, after one of each unmeasured."""
    found = {name: [] for name in COMMANDS}
    for turn in bar(iterable=range(turns + 1), desc="new processes"):
        for name, code in COMMANDS.items():
            seconds = fresh(code)
            if turn:
                found[name].append(seconds)
    return {
        name: {
            "cpu_seconds": round(median(cpu for cpu, _ in rows), 2),
            "seconds": round(median(wall for _, wall in rows), 2),
        }
        for name, rows in found.items()
    }


def taken(parts: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median CPU milliseconds of each part; they take turns, after three unmeasured."""
    found = {name: [] for name in parts}
    for turn in bar(iterable=range(turns + 3), desc="warm"):
        for name, work in parts.items():
            start = time.process_time()
            work()
            if turn >= 3:
                found[name].append(1000 * (time.process_time() - start))
    return {name: round(median(times), 2) for name, times in found.items()}


def parts_of(record: Path) -> dict[str, Callable[[], object]]:
    """The parts of `classify`, and the whole, for one file."""
    classifier = load(device="cpu")
    read = read_record(record)
    config = classifier.model.config.input
    signals = classifier.windows(read)

    def encode() -> None:
        with torch.inference_mode():
            classifier.model.encode_ecg(signals)

    return {
        "read": lambda: read_record(record),
        "filter and resample": lambda: prepare_windows(read, config),
        "encode": encode,
        "encode and score": lambda: classifier.score(signals, classifier.names),
        "whole": lambda: classifier.classify(record),
    }


def warm(records: dict[str, Path], turns: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each part for each sampling rate, and what products alone take.

    Returns:
        "warm_ms": rate -> part -> CPU ms; "limit": the core's speed in matrix products,
        the operations of an ECG in the encoder, and how long these take at that speed.
    """
    one, other = torch.randn(2, SIDE, SIDE)
    of = {rate: parts_of(path) for rate, path in records.items()}
    parts = {
        f"{rate} {part}": work for rate, own in of.items() for part, work in own.items()
    }
    found = taken({"product": lambda: one @ other} | parts, turns)
    speed = 2 * SIDE**3 / found["product"] / 1e6  # GFLOP/s
    gflop = cost(load(device="cpu").model.config)["flops"] / 1e9
    return {
        "warm_ms": {
            rate: {part: found[f"{rate} {part}"] for part in own}
            for rate, own in of.items()
        },
        "limit": {
            "matrix_product_gflop_per_second": round(speed, 1),
            "encoder_gflop": round(gflop, 3),
            "encoder_at_that_speed_ms": round(1000 * gflop / speed, 2),
        },
    }


def onnx(path: Path) -> dict[str, float]:
    """How far the shipped encoder's ONNX is from it, over 64 ECGs of noise."""
    import onnxruntime

    model = load(device="cpu").model
    write_onnx(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = torch.randn(64, 12, model.config.input.length)
    (found,) = session.run(["embedding"], {"signals": x.numpy()})
    with torch.inference_mode():
        gap = (torch.from_numpy(found) - model.encode_ecg(x)).abs().max()
    return {"largest_difference": float(f"{float(gap):.2g}")}


def measure(turns: int) -> dict:
    """Measure everything, and say on which machine."""
    torch.set_num_threads(1)
    threadpool_limits(1)  # scipy's and numpy's threads count as CPU seconds, too
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_tree(folder / "ptbxl", "ptbxl", 1, jobs=1, progress=False)
        (low,) = (folder / "ptbxl").rglob("*_lr.hea")
        rates = {"100": low, "500": EXAMPLE}
        found = {"cold": cold(turns)} | warm(rates, 10 * turns)
        found["onnx"] = onnx(folder / "encoder.onnx")
    added = found["cold"]["classify"]["cpu_seconds"]
    added -= found["cold"]["torch"]["cpu_seconds"]
    return found | {
        "beside_torch_cpu_seconds": round(added, 2),
        "wanted": {"cold": WANTED_COLD, "warm": WANTED_WARM, "onnx": WANTED_ONNX},
        "threads": 1,
        "turns": turns,
        "processor": cpu_model(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    """Print the times; exit with 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the result here too")
    args = parser.parse_args()
    found = measure(args.turns)
    print(json.dumps(found, indent=2))
    if args.json:
        write_json(args.json, found)
    missed = (
        found["beside_torch_cpu_seconds"] > WANTED_COLD,
        found["warm_ms"]["100"]["whole"] > WANTED_WARM,
        found["onnx"]["largest_difference"] > WANTED_ONNX,
    )
    raise SystemExit(any(missed))


if __name__ == "__main__":
    main()
