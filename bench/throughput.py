"""Training steps per second: our encoder against the same network in plain Conv1d.

Ours runs as pretraining does (Conv2d of height one, channels-last, bfloat16
autocast); the plain one is the text-book Conv1d network of `plain.py` in float32. Both
take the same steps (forward, backward, AdamW) in turns in one process, so that whatever
else the machine does hits both, and medians are compared.

    python bench/throughput.py --json bench/throughput.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from machine import cpu_model
from plain import PlainEncoder
from torch import nn

from mccgaa.config import EncoderConfig
from mccgaa.encoder import EcgEncoder
from mccgaa.files import bar, write_json

WANTED = 1.6  # ratio below which the special form of the network is not worth having


def stepper(
    model: nn.Module, batch: int, length: int, leads: int, bf16: bool
) -> Callable[[], float]:
    """Make a function that takes one training step and returns its seconds."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    # One thread's own seconds do not count what others did meanwhile.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    x = torch.randn(batch, leads, length)
    target = F.normalize(torch.randn(batch, model.project.out_channels), dim=-1)

    def step() -> float:
        start = clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embedding = model(x)
        loss = 1 - (embedding.float() * target).sum(-1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return clock() - start

    return step


def measure(batch: int = 64, length: int = 1000, steps: int = 15) -> dict:
    """Time both networks in turns.

    Args:
        batch: ECGs per step.
        length: samples per lead.
        steps: timed steps of each, after two warm-up steps.
    """
    torch.manual_seed(0)
    config = EncoderConfig()
    ours = stepper(EcgEncoder(config).train(), batch, length, config.leads, bf16=True)
    plain = stepper(
        PlainEncoder(config).train(), batch, length, config.leads, bf16=False
    )
    for _ in range(2):
        ours()
        plain()
    turns = bar(iterable=range(steps), desc="steps")
    pairs = [(ours(), plain()) for _ in turns]
    mine, text_book = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "input": [config.leads, length],
        "batch": batch,
        "steps": steps,
        "ours_ecg_per_second": round(batch / mine, 1),
        "plain_ecg_per_second": round(batch / text_book, 1),
        "ratio": round(statistics.median(p / o for o, p in pairs), 2),
        "wanted": WANTED,
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
        "seconds": "CPU" if torch.get_num_threads() == 1 else "wall clock",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }


def main() -> None:
    """Print both rates and their ratio; exit with 1 where the ratio is too low."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument(
        "--threads",
        type=int,
        help="of torch; all cores by default. One thread is timed in CPU seconds, "
        "for a machine that does other work too",
    )
    parser.add_argument("--json", type=Path, help="write the result here too")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    result = measure(args.batch, args.length, args.steps)
    print(
        f"training step, 12 x {args.length}, batch {args.batch}, "
        f"{result['threads']} threads ({result['seconds']} seconds), {result['cpu']}, "
        f"torch {result['torch']}\n"
        f"  ours (bf16, channels-last)  {result['ours_ecg_per_second']:8.1f} ECG/s\n"
        f"  plain fp32 Conv1d           {result['plain_ecg_per_second']:8.1f} ECG/s\n"
        f"  ratio                       {result['ratio']:8.2f}   (wanted: {WANTED})"
    )
    if args.json:
        write_json(args.json, result)
    raise SystemExit(result["ratio"] < WANTED)


if __name__ == "__main__":
    main()
