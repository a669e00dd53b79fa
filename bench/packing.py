"""Packing: records a second a core from WFDB format 16 at 500 Hz, and peak memory.

Writes records as MIMIC-IV-ECG ships them into a temporary folder and packs them with
one process, so that a second of its processor time is a second of one core, whatever
else the machine does. Memory is the peak of the packing process and of each worker,
for stores of growing size.

    python bench/packing.py --json bench/packing.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb

from mccgaa.config import LEADS, InputConfig
from mccgaa.data import workers
from mccgaa.data.packing import pack
from mccgaa.data.record import read_record

WANTED = 150  # records a second a core
WANTED_BYTES = 2e9  # at most, however many records
SETTINGS = {
    "raw, 500 Hz": InputConfig(500, 10.0, "raw"),
    "raw, 100 Hz": InputConfig(100, 10.0, "raw"),
    "bandpass-zscore, 500 Hz": InputConfig(500, 10.0, "bandpass-zscore"),
    "bandpass-zscore, 100 Hz": InputConfig(100, 10.0, "bandpass-zscore"),
}


def write_records(folder: Path, count: int) -> None:
    """Write 10 s records of 12 leads in format 16, leads in MIMIC's order."""
    rng = np.random.default_rng(0)
    names = [*LEADS[:4], "aVF", "aVL", *LEADS[6:]]
    t = np.arange(5000) / 500
    for i in range(count):
        beats = np.exp(-(((t % rng.uniform(0.6, 1.1)) - 0.3) ** 2) / 2e-4)
        signal = rng.uniform(-1.5, 1.5, 12) * beats[:, None]  # (T, 12)
        signal += rng.normal(0, 0.02, signal.shape)
        wfdb.wrsamp(
            f"r{i}",
            fs=500,
            units=["mV"] * 12,
            sig_name=names,
            p_signal=signal,
            fmt=["16"] * 12,
            adc_gain=[200.0] * 12,
            baseline=[0] * 12,
            write_dir=str(folder),
        )


def make_rows(count: int, files: int) -> pd.DataFrame:
    """Rows of `count` records that share `files` files."""
    return pd.DataFrame(
        {
            "record_id": [str(i) for i in range(count)],
            "path": [f"r{i % files}" for i in range(count)],
            "subject_id": [str(i) for i in range(count)],
            "text": [f"sinus rhythm, variant {i % 997}." for i in range(count)],
            "split": "train",
            "statements": [["sinus rhythm"]] * count,
        }
    )


def records_a_second(folder: Path, files: int) -> dict[str, float]:
    """Processor time of reading and preparing, by setting, and of reading alone."""
    items = [workers.Item(f"r{i}") for i in range(files)]
    found = {}
    for name, config in SETTINGS.items():
        options = workers.Options(str(folder), config, seconds=10.0)
        workers.pack_chunk(items[:5], options)  # filters and caches are made once
        begin = time.process_time()
        block, _ = workers.pack_chunk(items, options)
        found[name] = round(len(block) / (time.process_time() - begin), 1)
        assert len(block) == files
    for name, read in {
        "reading alone, ours": lambda path: read_record(path),
        "reading alone, wfdb": lambda path: wfdb.rdrecord(str(path)),
    }.items():
        begin = time.process_time()
        for i in range(files):
            read(folder / f"r{i}")
        found[name] = round(files / (time.process_time() - begin), 1)
    return found


def peak_memory(folder: Path, files: int, count: int) -> dict[str, float]:
    """Pack `count` records in a process of its own and measure its peak memory."""
    script = [sys.executable, __file__, "--pack", str(folder), str(files), str(count)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak_mb(process: int | str) -> float:
    """Peak resident memory of a process, in MB; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6, 1)
    except (OSError, IndexError):
        return 0.0


def pack_and_report(folder: Path, files: int, count: int) -> None:
    """What the process of `peak_memory` does."""
    peaks: dict[int, float] = {}

    def watch() -> None:
        while True:
            for worker in multiprocessing.active_children():
                peaks[worker.pid] = peak_mb(worker.pid) or peaks.get(worker.pid, 0.0)
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "store"
        store = pack(
            make_rows(count, files),
            folder,
            out,
            dataset="mimic",
            tasks={},
            input=SETTINGS["raw, 500 Hz"],
            record_seconds=10.0,
            jobs=2,
            progress=False,
        )
        size = (out / "signals.npy").stat().st_size
    found = {
        "records": len(store),
        "store_mb": round(size / 1e6, 1),
        "packer_mb": peak_mb("self"),
        "workers_mb": list(peaks.values()),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write what was measured here")
    parser.add_argument("--records", type=int, default=400, help="files to time")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000, 12000])
    parser.add_argument("--pack", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pack:
        pack_and_report(Path(args.pack[0]), int(args.pack[1]), int(args.pack[2]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_records(folder, args.records)
        speed = records_a_second(folder, args.records)
        memory = [peak_memory(folder, args.records, n) for n in args.sizes]
    found = {
        "what": "packing 10 s records of WFDB format 16, 12 leads, 500 Hz",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "wanted_records_a_second_a_core": WANTED,
        "records_a_second_a_core": speed,
        "wanted_peak_mb": WANTED_BYTES / 1e6,
        "memory_with_two_workers": memory,
    }
    for name, value in speed.items():
        print(f"{name:26s} {value:8.1f} records a second of one core")
    for row in memory:
        print(
            f"{row['records']:6d} records, store {row['store_mb']:7.1f} MB: "
            f"packer {row['packer_mb']:.0f} MB, workers {row['workers_mb']} MB each"
        )
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
