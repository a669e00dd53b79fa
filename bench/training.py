"""Pretraining on a CPU: ECGs per second beside loops of the usual kind.

Every loop trains the same model on ECGs of the same shape, in a process of its own, and
they take turns: what else the machine does hits all of them. Medians of the turns are
compared, in seconds of the clock and in CPU seconds of the loop's process.

    python bench/training.py --json bench/training.json

The loops, each an endless iterator that takes a step whenever it is asked:

- ours: `mccgaa.pretrain.Trainer`, as `mccgaa pretrain` steps.
- cached: the usual loop of `usual.py` (`Conv1d` in float32, workers that read records
  of a float32 .npy array, AdamW with its defaults, a look at each loss), with vectors
  of the texts kept from a first pass.
- usual: the same, its text encoder called in every step at 256 padded tokens: BERT-base
  with random weights, the size of the paper's MedCPT.
- usual, MiniLM: the same with the small encoder of `mccgaa[offline]`.
- 561e3a8: this package as it was at that commit, where git has it. A CPU without
  bfloat16 instructions emulates them there (48 s per step), so it then runs in float32.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

HERE = Path(__file__).resolve().parent
COMMIT = "561e3a8"
LOOPS = ("ours", "cached", "usual", "usual, MiniLM", COMMIT)
TEXTS = 64  # distinct
DIM = 384  # of a text's vector where it is kept


@dataclass(frozen=True)
class Setting:
    """What is trained on, and how many times ours is to be faster than a loop."""

    length: int  # samples per lead
    batch: int
    wanted: dict[str, float] = field(default_factory=dict)
    records: int = 1024
    workers: int = 2  # of the usual loops
    quick: bool = False  # a network and a text encoder for tests


SETTINGS = (
    Setting(5000, 32, {"cached": 3.5, "usual": 14, COMMIT: 1.5}),
    Setting(1000, 64, {"cached": 3, "usual": 45, COMMIT: 1.5}),
)
QUICK = (Setting(160, 8, {}, records=32, workers=0, quick=True),)


def ours(setting: Setting, folder: Path) -> Iterator[Any]:
    """Step as `mccgaa pretrain` does."""
    from mccgaa.config import ModelConfig, PretrainConfig, RunConfig
    from mccgaa.data.store import SignalStore
    from mccgaa.pairs import Pairs
    from mccgaa.pretrain import Trainer
    from mccgaa.run_folder import RunFolder
    from mccgaa.settings import from_dict

    model = from_dict(ModelConfig, model_settings(setting), "model")
    config = RunConfig(
        model=model, pretrain=PretrainConfig(epochs=1000, batch_size=setting.batch)
    )
    store = SignalStore.open(folder / "store")
    pairs = Pairs.build(store, list(store.records["text"]), Vectors())
    trainer = Trainer(
        config, pairs, RunFolder(folder / "run"), torch.device("cpu"), False
    )
    for epoch in range(config.pretrain.epochs):
        for signals, vectors in trainer.batches(epoch):
            trainer.train_step(epoch, signals, vectors)
            yield
            trainer.waiting.clear()


def old(setting: Setting, folder: Path) -> Iterator[Any]:
    """Step as `mccgaa pretrain` did at 561e3a8, whose package this process imports."""
    from mccgaa.corpus import Corpus

    from mccgaa import pretrain
    from mccgaa.config import ModelConfig, PretrainConfig, RunConfig, from_dict
    from mccgaa.data.store import SignalStore

    model = from_dict(ModelConfig, model_settings(setting), "model")
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    settings = PretrainConfig(
        epochs=1000, batch_size=setting.batch, precision="bf16" if native else "fp32"
    )
    store = SignalStore.open(folder / "store")
    corpus = Corpus.build(store, list(store.records["text"]), Vectors().encode)
    config = RunConfig(model=model, pretrain=settings)
    run = pretrain._Run(config, corpus, folder / "run", torch.device("cpu"), False)
    for epoch in range(settings.epochs):
        for signals, vectors in run._batches(epoch):
            yield run._train_step(epoch, signals, vectors)


def usual(setting: Setting, folder: Path, text: str | None) -> Iterator[Any]:
    """Step as one would first write it.

    Args:
        setting: what is trained on.
        folder: of the data.
        text: encoder that reads each batch's texts, "bert" or "minilm"; None has kept
            their vectors.
    """
    from usual import TOKENS, Usual, bert

    from mccgaa.config import ModelConfig
    from mccgaa.settings import from_dict

    wanted = model_settings(setting)
    encoder = None
    if text == "bert":
        encoder = bert(small=setting.quick)
    elif text == "minilm":
        from mccgaa.config import TextConfig
        from mccgaa.text import TextEncoder

        encoder = TextEncoder(TextConfig(encoder="minilm"), folder / "cache").model
    if encoder is not None:
        wanted["text"]["dim"] = encoder.config.hidden_size
    loop = Usual(
        from_dict(ModelConfig, wanted, "model"),
        torch.device("cpu"),
        folder / "signals.npy",
        setting.batch,
        setting.workers,
        encoder,
        16 if setting.quick else TOKENS,
    )
    return loop.steps()


def start(loop: str, setting: Setting, folder: Path) -> Iterator[Any]:
    """Make a loop of `LOOPS`."""
    if loop == "ours":
        return ours(setting, folder)
    if loop == COMMIT:
        return old(setting, folder)
    text = {"cached": None, "usual": "bert", "usual, MiniLM": "minilm"}[loop]
    return usual(setting, folder, text)


def model_settings(setting: Setting) -> dict[str, Any]:
    """Settings of the model that today's package and 561e3a8 both know."""
    rate = setting.length / 10  # Hz
    model: dict[str, Any] = {
        "input": {"sampling_rate": round(rate), "transform": "bandpass-zscore"},
        "text": {"encoder": "kept vectors", "dim": DIM, "pooling": "mean"},
    }
    if setting.quick:
        model["encoder"] = {"widths": [4, 4, 8, 8]}
    return model


class Vectors:
    """Stands for the text encoder: a random vector for each text."""

    fingerprint = "random"

    def encode(self, texts: list[str], progress: bool = False) -> torch.Tensor:
        """Return (n, DIM) float32."""
        numbers = [int(text.split()[-1]) for text in texts]
        table = np.random.default_rng(0).normal(size=(TEXTS, DIM))
        return torch.tensor(table[numbers], dtype=torch.float32)


def write_data(setting: Setting, folder: Path) -> None:
    """Write one store for both packages, and the array of the usual loops."""
    from usual import write_records

    rng = np.random.default_rng(0)
    shape = (setting.records, 12, setting.length)
    store = folder / "store"
    store.mkdir(parents=True)
    np.save(store / "signals.npy", rng.integers(-3000, 3000, shape, dtype=np.int16))
    texts = [f"report {i % TEXTS}" for i in range(setting.records)]
    table = pd.DataFrame({"split": ["train"] * setting.records, "text": texts})
    table.to_parquet(store / "records.parquet")
    meta = {"records": setting.records, "length": setting.length, "scale": 1e-3}
    meta |= {"sampling_rate": setting.length // 10, "transform": "bandpass-zscore"}
    meta |= {"source": "noise", "synthetic": True, "fingerprint": "noise", "tasks": {}}
    (store / "store.json").write_text(json.dumps(meta), encoding="utf-8")
    write_records(folder / "signals.npy", setting.records, 12, setting.length)


def checkout(folder: Path) -> Path | None:
    """Write the package of `COMMIT` into a folder; None where git does not have it."""
    command = ["git", "-C", str(HERE.parent), "archive", COMMIT, "mccgaa"]
    try:
        made = subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Process:
    """A loop in a process of its own, which waits between its turns."""

    def __init__(self, loop: str, setting: Setting, folder: Path, code: Path) -> None:
        command = [sys.executable, __file__, "--loop", loop, "--folder", str(folder)]
        command += ["--setting", json.dumps(asdict(setting))]
        environment = {**os.environ, "PYTHONPATH": str(code)}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def turn(self, seconds: float) -> dict[str, float]:
        """Let it step for so long, and at least once; see `answer`."""
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended: see its message above.")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait(timeout=60)


def answer(steps: Iterator[Any]) -> None:
    """Be such a process: step for as many seconds as each line of stdin says."""
    for line in sys.stdin:
        print(json.dumps(timed(steps, float(line))), flush=True)
    os._exit(0)  # workers of a DataLoader may have batches that nobody wants


def timed(steps: Iterator[Any], seconds: float) -> dict[str, float]:
    """Take steps for so long, and at least one.

    Returns:
        Seconds of a step by the clock ("wall"), and of this process on its CPUs.
    """
    wall, cpu, count = time.perf_counter(), time.process_time(), 0
    while not count or time.perf_counter() - wall < seconds:
        next(steps)
        count += 1
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall / count, "cpu": cpu / count}


def measure(setting: Setting, loops: list[str], turns: int, seconds: float) -> dict:
    """Let loops take turns at one setting.

    Args:
        setting: what is trained on.
        loops: of `LOOPS`.
        turns: of each loop, after one that only warms it up.
        seconds: of a turn.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_data(setting, folder)
        processes = {}
        for loop in loops:
            code = checkout(folder / "code") if loop == COMMIT else HERE.parent
            if code is None:
                print(f"git has no commit {COMMIT} here: left out.", file=sys.stderr)
                continue
            processes[loop] = Process(loop, setting, folder, code)
            stack.callback(processes[loop].close)
            processes[loop].turn(0)
        rounds = []
        for number in range(turns):
            rounds.append({loop: one.turn(seconds) for loop, one in processes.items()})
            took = ", ".join(
                f"{loop} {t['wall']:.2f}" for loop, t in rounds[-1].items()
            )
            print(f"round {number + 1} of {turns}, s/step: {took}", file=sys.stderr)
    return {
        "input": [12, setting.length],
        "batch": setting.batch,
        "turns": turns,
        "loops": summary(rounds, setting),
    }


def summary(rounds: list[dict[str, dict[str, float]]], setting: Setting) -> dict:
    """Medians of each loop, and how many times faster ours is than it.

    Args:
        rounds: loop -> what `timed` found, once a round.
        setting: that they were found at.
    """
    found: dict[str, dict[str, float]] = {}
    for loop in rounds[0]:
        wall = statistics.median(one[loop]["wall"] for one in rounds)
        found[loop] = {
            "ecg_per_second": round(setting.batch / wall, 2),
            "step_seconds": round(wall, 3),
            "step_cpu_seconds": round(
                statistics.median(one[loop]["cpu"] for one in rounds), 3
            ),
        }
        if loop == "ours" or "ours" not in rounds[0]:
            continue
        for name, kind in (("ours_is_faster", "wall"), ("by_cpu_seconds", "cpu")):
            ratios = [one[loop][kind] / one["ours"][kind] for one in rounds]
            found[loop][name] = round(statistics.median(ratios), 2)
        if loop in setting.wanted:
            found[loop]["wanted"] = setting.wanted[loop]
    return found


def machine() -> dict[str, Any]:
    """What this was measured on."""
    from machine import cpu_model

    from mccgaa.runtime import effective_precision

    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": effective_precision(torch.device("cpu"), "bf16"),
    }


def table(result: dict) -> str:
    """Lay the result out for reading."""
    where = result["machine"]
    lines = [
        f"pretraining on {where['cpu']}, threads: {where['threads']}, torch "
        f"{where['torch']}, {where['precision']}"
    ]
    for one in result["settings"]:
        leads, length = one["input"]
        title = f"{leads} x {length}, batch {one['batch']}"
        lines += [
            "",
            f"{title:24}{'ECG/s':>9}{'s/step':>9}{'CPU s':>9}{'ours is':>10}"
            f"{'(CPU)':>8}{'wanted':>8}",
        ]
        for loop, row in one["loops"].items():
            line = f"  {loop:22}{row['ecg_per_second']:9.1f}{row['step_seconds']:9.2f}"
            line += f"{row['step_cpu_seconds']:9.2f}"
            if "ours_is_faster" in row:
                line += f"{row['ours_is_faster']:9.2f}x{row['by_cpu_seconds']:7.2f}x"
            if "wanted" in row:
                line += f"{row['wanted']:8g}"
            lines.append(line)
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Print the table; exit with 1 where ours is not as much faster as wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="of each loop")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of a turn, at least"
    )
    parser.add_argument("--only", nargs="+", choices=LOOPS, help="these loops alone")
    parser.add_argument("--length", type=int, help="this setting alone: 1000 or 5000")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--quick", action="store_true", help="a trial at tiny sizes")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.loop:
        answer(start(args.loop, Setting(**json.loads(args.setting)), args.folder))
    if args.threads:
        torch.set_num_threads(args.threads)
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # of the loops' processes
    settings = QUICK if args.quick else SETTINGS
    turns, seconds = (2, 0.0) if args.quick else (args.turns, args.seconds)
    result = {
        "machine": machine(),
        "settings": [
            measure(one, list(args.only or LOOPS), turns, seconds)
            for one in settings
            if args.length in (None, one.length)
        ],
    }
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    rows = [row for one in result["settings"] for row in one["loops"].values()]
    raise SystemExit(
        any("wanted" in row and row["ours_is_faster"] < row["wanted"] for row in rows)
    )


if __name__ == "__main__":
    main()
