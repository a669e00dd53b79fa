"""Packing: records per second of one core from WFDB format 16 at 500 Hz, peak memory.

Writes records as MIMIC-IV-ECG ships them into a temporary folder and packs them with
one process, so that a second of its processor time is a second of one core, whatever
else the machine does. Memory is the peak of the packing process and of each worker,
for stores of growing size.

    python bench/packing.py --json bench/packing.json

`--rows N` measures the tables alone instead: it writes MIMIC-IV-ECG's two tables for N
records, reads, packs (with two samples per lead in place of the signals) and checks
them, and says what all 800,035 records would take at the same bytes per row.

    python bench/packing.py --rows 100000 --json bench/tables.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from machine import cpu_model

from mccgaa.config import LEADS, InputConfig
from mccgaa.data import mimic, workers
from mccgaa.data.check import check
from mccgaa.data.packing import pack
from mccgaa.data.physionet import DATASETS
from mccgaa.data.record import read_record
from mccgaa.files import bar, write_json

WANTED = 150  # records per second of one core
WANTED_BYTES = 2e9  # at most, however many records
SETTINGS = {
    "raw, 500 Hz": InputConfig(500, 10.0, "raw"),
    "raw, 100 Hz": InputConfig(100, 10.0, "raw"),
    "bandpass-zscore, 500 Hz": InputConfig(500, 10.0, "bandpass-zscore"),
    "bandpass-zscore, 100 Hz": InputConfig(100, 10.0, "bandpass-zscore"),
}
PHRASES = (
    "Sinus rhythm", "Normal ECG", "Atrial fibrillation", "Left axis deviation",
    "Possible left ventricular hypertrophy", "Nonspecific T abnormalities",
    "Borderline ECG", "Abnormal ECG", "Inferior infarct - age undetermined",
    "Prolonged QT interval", "Right bundle branch block", "Low QRS voltages",
    "Lateral ST-T changes may be due to myocardial ischemia", "First degree AV block",
)  # fmt: skip
STUDIES_PER_SUBJECT = 5  # as in MIMIC-IV-ECG
RECORDS_PER_REPORT = 4


def write_records(folder: Path, count: int) -> None:
    """Write 10 s records of 12 leads in format 16, leads in MIMIC's order."""
    rng = np.random.default_rng(0)
    names = [*LEADS[:4], "aVF", "aVL", *LEADS[6:]]
    t = np.arange(5000) / 500
    for i in bar(iterable=range(count), desc="records"):
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
    for name, config in bar(iterable=SETTINGS.items(), desc="settings"):
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
    """Peak resident memory of a process, in MB; 0 where the system does not say."""
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


def write_tables(folder: Path, count: int) -> None:
    """Write MIMIC-IV-ECG's two tables for `count` records."""
    rng = random.Random(0)
    reports = []
    for _ in range(1 + count // RECORDS_PER_REPORT):
        cells = rng.choices(PHRASES, k=rng.randint(2, 7))
        if rng.random() < 0.3:
            cells.append(f"Rate is {rng.randint(40, 160)}")
        reports.append(",".join(cells) + "," * (18 - len(cells)))
    with (
        (folder / "record_list.csv").open("w") as listed,
        (folder / "machine_measurements.csv").open("w") as measured,
    ):
        listed.write("subject_id,study_id,file_name,ecg_time,path\n")
        names = ",".join(mimic.REPORTS)
        measured.write(f"subject_id,study_id,cart_id,{names},,rr_interval\n")
        for study in range(40_000_000, 40_000_000 + count):
            subject = 10_000_000 + rng.randrange(1 + count // STUDIES_PER_SUBJECT)
            path = f"files/p{subject // 10_000}/p{subject}/s{study}/{study}"
            listed.write(f"{subject},{study},{study},2180-07-23 08:44:00,{path}\n")
            measured.write(f"{subject},{study},6848,{rng.choice(reports)},659\n")


def stubbed_chunks(chunks, options, jobs):
    """Stand in for `workers.run_chunks`: noise, and notes as varied as real ones."""
    rng = np.random.default_rng(0)
    for chunk in chunks:
        shape = (len(chunk), len(LEADS), options.input.length)
        notes = []
        for share in rng.integers(0, 60, len(chunk)) / 60_000:
            values = (500.0, 10.0, [], [], 0.0, float(share), 0)
            notes.append(dict(zip(workers.NOTES, values, strict=True)))
        yield rng.integers(-999, 999, shape, dtype="<i2"), notes


def table_memory(folder: Path, out: Path) -> dict[str, float]:
    """Peak memory up to each step on the tables; called in a process of its own."""
    workers.run_chunks = stubbed_chunks
    peaks = {"imports_mb": peak_mb("self")}
    rows = mimic.read_rows(folder)
    peaks["read_mb"] = peak_mb("self")
    stub = InputConfig(100, 0.02)
    pack(rows, folder, out, dataset="mimic", tasks={}, input=stub, progress=False)
    peaks["pack_mb"] = peak_mb("self")
    check(out)
    return peaks | {"check_mb": peak_mb("self")}


def measure_tables(count: int) -> dict[str, object]:
    """Read, pack and check `count` records' tables, and extrapolate to them all."""
    everyone = DATASETS["mimic"].records
    found: dict[str, object] = {
        "what": "MIMIC-IV-ECG's tables read, packed (signals stubbed) and checked, "
        "in one process: its peak up to each",
        "machine": f"{cpu_model()}, Python {platform.python_version()}",
        "rows": count,
        "wanted_peak_mb": WANTED_BYTES / 1e6,
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "in", Path(scratch) / "out"
        folder.mkdir()
        script = [sys.executable, __file__, "--tables", str(folder), str(out)]
        with bar(total=2, desc="tables") as shown:
            write_tables(folder, count)
            shown.update()
            done = subprocess.run(script, capture_output=True, text=True, check=True)
            shown.update()
    peaks = json.loads(done.stdout.splitlines()[-1])
    imports = peaks.pop("imports_mb")
    for name, peak in peaks.items():
        whole = imports + (peak - imports) / count * everyone
        found |= {name: peak, f"{name}_at_{everyone}": round(whole)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write what was measured here")
    parser.add_argument("--records", type=int, default=400, help="files to time")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000, 12000])
    parser.add_argument("--rows", type=int, help="measure tables of so many rows")
    parser.add_argument("--pack", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--tables", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pack:
        pack_and_report(Path(args.pack[0]), int(args.pack[1]), int(args.pack[2]))
        return
    if args.tables:
        print(json.dumps(table_memory(*map(Path, args.tables))))
        return
    found = measure_tables(args.rows) if args.rows else measure_files(args)
    if args.json:
        write_json(args.json, found)
    else:
        print(json.dumps(found, indent=2))


def measure_files(args: argparse.Namespace) -> dict[str, object]:
    """Time records and measure the memory of whole packings."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_records(folder, args.records)
        speed = records_a_second(folder, args.records)
        memory = [
            peak_memory(folder, args.records, n)
            for n in bar(iterable=args.sizes, desc="stores")
        ]
    for name, value in speed.items():
        print(f"{name:26s} {value:8.1f} records per second of one core")
    for row in memory:
        print(
            f"{row['records']:6d} records, store {row['store_mb']:7.1f} MB: "
            f"packer {row['packer_mb']:.0f} MB, workers {row['workers_mb']} MB each"
        )
    return {
        "what": "packing 10 s records of WFDB format 16, 12 leads, 500 Hz",
        "machine": f"{cpu_model()}, Python {platform.python_version()}",
        "wanted_records_a_second_a_core": WANTED,
        "records_a_second_a_core": speed,
        "wanted_peak_mb": WANTED_BYTES / 1e6,
        "memory_with_two_workers": memory,
    }


if __name__ == "__main__":
    main()
