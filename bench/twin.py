"""Records per second that the twin simulates and writes, on one core at 500 Hz.

One process, one thread, whole trees: simulation, noise, files, checksums, tables.
CPU seconds are counted, so that other work on the machine does not matter. With --real
the audit's measurements are taken on real PTB-XL records (folds 1 to 8) instead;
chapter A2 compares the twin's with them.

    python bench/twin.py --json bench/twin.json
    python bench/twin.py --real PTB-XL --table bench/twin_real.csv
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from machine import cpu_model

from mccgaa.files import bar, write_json
from mccgaa_twin.mirror import SOURCES, write_tree

WANTED = 100.0  # records per second, of the datasets whose records last 10 s
TEN_SECONDS = ("ptbxl", "mimic", "csn")


def rate(source: str, records: int) -> dict[str, float]:
    """Write a tree and count records per second of CPU time and of the clock.

    Args:
        source: a key of `mirror.SOURCES`.
        records: how many.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder) / "warm", source, 5, jobs=1, progress=False)
        wall, cpu = time.perf_counter(), time.process_time()
        write_tree(Path(folder) / "tree", source, records, jobs=1, progress=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "records_per_cpu_second": round(records / cpu, 1),
        "records_per_second": round(records / wall, 1),
    }


def measure(records: int) -> dict:
    """Measure all datasets, and say on which machine."""
    return {
        "sampling_rate": 500,
        "records": records,
        "processes": 1,
        "sources": {
            source: rate(source, records)
            for source in bar(iterable=SOURCES, desc="datasets")
        },
        "wanted": WANTED,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    """Print the rates; exit with 1 where one is too low."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200, help="of each dataset")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--real", type=Path, help="root of PTB-XL: measure it instead")
    parser.add_argument("--table", type=Path, help="write what --real measured here")
    args = parser.parse_args()
    if args.real:
        from mccgaa_book.audit import twin

        codes = list(dict.fromkeys(one.code for one in twin.RANGES))
        table: pd.DataFrame = twin.measure_real(args.real, codes).round(1)
        print(table.to_string(index=False))
        if args.table:
            table.to_csv(args.table, index=False)
        return
    result = measure(args.records)
    for source, found in result["sources"].items():
        print(
            f"{source:10} {found['records_per_cpu_second']:7.1f} records per CPU second"
            f" ({found['records_per_second']:.1f} by the clock)"
        )
    if args.json:
        write_json(args.json, result)
    slow = [
        source
        for source in TEN_SECONDS
        if result["sources"][source]["records_per_cpu_second"] < WANTED
    ]
    raise SystemExit(bool(slow))


if __name__ == "__main__":
    main()
