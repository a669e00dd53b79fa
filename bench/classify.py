"""Classifying one ECG: a fresh process beside its imports, and each part once warm.

CPU seconds on one thread are counted, which other work on the machine lengthens least.
A fresh `mccgaa classify` and a process that only imports torch take turns; what the
command adds to torch is the difference of their medians. transformers is imported only
for classes in words of one's own, and is timed beside it.

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
from mccgaa_twin.mirror import write_tree

WANTED_COLD, WANTED_WARM, WANTED_ONNX = 1.5, 15.0, 1e-4  # s, ms, largest difference
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


def milliseconds(work: Callable[[], object], turns: int) -> float:
    """Median CPU milliseconds of some work, after a few times unmeasured."""
    taken = []
    for turn in range(turns + 3):
        start = time.process_time()
        work()
        if turn >= 3:
            taken.append(1000 * (time.process_time() - start))
    return round(median(taken), 2)


def warm(record: Path, turns: int) -> dict[str, float]:
    """Milliseconds of each part of `classify`, and of the whole, for one file."""
    classifier = load(device="cpu")
    read = read_record(record)
    config = classifier.model.config.input
    signals = classifier.windows(read)

    def encode() -> None:
        with torch.inference_mode():
            classifier.model.encode_ecg(signals)

    parts = {
        "read": lambda: read_record(record),
        "filter and resample": lambda: prepare_windows(read, config),
        "encode": encode,
        "encode and score": lambda: classifier.score(signals, classifier.names),
        "whole": lambda: classifier.classify(record),
    }
    return {name: milliseconds(work, turns) for name, work in parts.items()}


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
        found = {
            "cold": cold(turns),
            "warm_ms": {
                rate: warm(path, 4 * turns)
                for rate, path in bar(iterable=rates.items(), desc="warm")
            },
            "onnx": onnx(folder / "encoder.onnx"),
        }
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
