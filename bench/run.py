"""Run every benchmark and print one table of what was measured and what is wanted.

    python bench/run.py
    python bench/run.py --only training packing --out bench

A benchmark that fails, or misses what is wanted of it, does not keep the others from
running; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mccgaa.data.physionet import DATASETS

HERE = Path(__file__).resolve().parent


class Row(NamedTuple):
    """One line of the table."""

    what: str
    value: float
    unit: str
    wanted: float | None = None
    at_most: bool = False  # whether `wanted` is a ceiling

    @property
    def verdict(self) -> str:
        """Say whether what is wanted was reached."""
        if self.wanted is None:
            return ""
        if self.at_most:
            return "yes" if self.value <= self.wanted else "NO"
        return "yes" if self.value >= self.wanted else "NO"


def training(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of training.json."""
    for setting in found["settings"]:
        leads, length = setting["input"]
        where = f"training, {leads} x {length}, batch {setting['batch']}"
        for loop, row in setting["loops"].items():
            if loop == "ours":
                yield Row(where, row["ecg_per_second"], "ECG/s")
            else:
                ratio, wanted = row["ours_is_faster"], row.get("wanted")
                yield Row(f"{where}, against {loop}", ratio, "times", wanted)


def throughput(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of throughput.json."""
    what = f"encoder's step, batch {found['batch']}, against plain Conv1d"
    yield Row(what, found["ratio"], "times", found["wanted"])


def gafa(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of gafa.json."""
    for row in found["rows"]:
        what = f"masks against edges, {row['graph']} graph of {row['batch']}"
        yield Row(what, row["ratio"], "times")


def packing(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of packing.json."""
    wanted = found["wanted_records_a_second_a_core"]
    for name, speed in found["records_a_second_a_core"].items():
        if not name.startswith("reading"):
            yield Row(f"packing, {name}", speed, "records/s", wanted)
    largest = found["memory_with_two_workers"][-1]
    what = f"packing {largest['records']} records, peak memory"
    yield Row(what, largest["packer_mb"], "MB", found["wanted_peak_mb"], at_most=True)


def tables(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of tables.json; something is wanted of the whole tables alone."""
    whole = found["rows"] >= DATASETS["mimic"].records
    wanted = found["wanted_peak_mb"] if whole else None
    for name in ("read", "pack", "check"):
        what = f"{name} a table of {found['rows']} rows, peak memory"
        yield Row(what, found[f"{name}_mb"], "MB", wanted, at_most=True)


def twin(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of twin.json."""
    for source, row in found["sources"].items():
        # Records of CPSC2018 last up to a minute: nothing is wanted of them.
        wanted = None if source == "cpsc2018" else found["wanted"]
        yield Row(f"twin, {source}", row["records_per_cpu_second"], "records/s", wanted)


def growth(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of growth.json: a million records beside a thousand."""
    rows = [row for row in found["rows"] if row["axis"] == "records"]
    first, last = rows[0], rows[-1]
    what = f"{last['records']} records beside {first['records']}"
    speeds = [row["records"] / row["epoch_seconds"] for row in (last, first)]
    yield Row(f"{what}, speed", speeds[0] / speeds[1], "times", 0.9)
    memory = last["peak_mb"] / first["peak_mb"]
    yield Row(f"{what}, peak memory", memory, "times", 1.25, at_most=True)


def classify(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of classify.json."""
    wanted = found["wanted"]
    what = "classify, a new process, beside the import of torch"
    added = found["beside_torch_cpu_seconds"]
    yield Row(what, added, "CPU s", wanted["cold"], at_most=True)
    for rate, parts in found["warm_ms"].items():
        what = f"classify, warm, one core, {rate} Hz"
        most = wanted["warm"] if rate == "100" else None
        yield Row(what, parts["whole"], "CPU ms", most, at_most=True)
    gap = found["onnx"]["largest_difference"]
    yield Row("classify, ONNX beside torch", gap, "apart", wanted["onnx"], at_most=True)


def gpu(found: dict[str, Any]) -> Iterator[Row]:
    """Rows of gpu.json: ECGs per second of each way; the fastest, and its gain."""
    speeds = {
        name: row["samples_per_second"]
        for name, row in found.items()
        if isinstance(row, dict) and "samples_per_second" in row
    }
    for name, speed in speeds.items():
        yield Row(f"GPU, {name}", speed, "ECG/s")
    best = found.get("limit", {}).get("best_samples_per_second", 0.0)
    wanted = 12_000 if "H200" in found["facts"]["device"] else None
    yield Row("GPU, the fastest training", best, "ECG/s", wanted)
    if "usual loop" in speeds:
        times = best / speeds["usual loop"]
        yield Row("GPU, the fastest, against the usual loop", times, "times", 10)


# name of the result -> command, and how its rows are read
BENCHMARKS: dict[str, tuple[list[str], Callable[[dict], Iterator[Row]]]] = {
    "training": (["training.py"], training),
    "throughput": (["throughput.py"], throughput),
    "gafa": (["gafa.py"], gafa),
    "packing": (["packing.py"], packing),
    "tables": (["packing.py", "--rows", "20000"], tables),
    "twin": (["twin.py"], twin),
    "growth": (["growth.py"], growth),
    "classify": (["classify.py"], classify),
    "gpu": (["gpu.py"], gpu),
}


def table(rows: list[Row]) -> str:
    """Lay rows out for reading."""
    lines = [f"{'':58}{'measured':>10} {'':10}{'wanted':>8}"]
    for row in rows:
        wanted = "" if row.wanted is None else f"{row.wanted:8g} {row.verdict}"
        value = f"{row.value:.1f}" if row.value >= 1 else f"{row.value:.2g}"
        lines.append(f"{row.what:58}{value:>10} {row.unit:10}{wanted}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run, print the table, and exit with 1 where one failed or missed its mark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS)
    parser.add_argument("--out", type=Path, help="keep the results (JSON) here")
    args = parser.parse_args(arguments)
    chosen = args.only or [
        name for name in BENCHMARKS if name != "gpu" or torch.cuda.is_available()
    ]
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as scratch:
        out = args.out or Path(scratch)
        for name in chosen:
            (script, *options), read = BENCHMARKS[name]
            path = out / f"{name}.json"
            before = path.stat().st_mtime_ns if path.exists() else None
            print(f"\n# {' '.join([script, *options])}", flush=True)
            command = [sys.executable, str(HERE / script), *options, "--json"]
            code = subprocess.run([*command, str(path)]).returncode
            if path.exists() and path.stat().st_mtime_ns != before:
                rows += read(json.loads(path.read_text(encoding="utf-8")))
            elif code:
                failed.append(name)
    print(f"\n{table(rows)}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    raise SystemExit(bool(failed) or any(row.verdict == "NO" for row in rows))


if __name__ == "__main__":
    main()
