"""Training steps per second: our encoder against the same network in plain Conv1d.

Ours runs as pretraining does (Conv2d of height one, channels-last, bfloat16
autocast); the plain one is the text-book Conv1d network in float32. Both take the
same steps (forward, backward, AdamW) in turns in one process, so that whatever else
the machine does hits both, and medians are compared.

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
from torch import Tensor, nn

from mccgaa.config import EncoderConfig
from mccgaa.encoder import STAGES, AttentionPool, EcgEncoder, MeanPool
from mccgaa.files import write_json

WANTED = 1.6  # ratio below which the special form of the network is not worth having


class PlainAttention(nn.Module):
    """Channel attention (eq 8-14) on (B, C, T)."""

    def __init__(self, channels: int, gate: str) -> None:
        super().__init__()
        self.gate = gate
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        average = self.fc2(F.relu(self.fc1(x.mean(-1))))
        maximum = self.fc2(F.relu(self.fc1(x.amax(-1))))
        alpha = torch.sigmoid(average + maximum)
        if self.gate == "double-sigmoid":
            alpha = torch.sigmoid(alpha)
        return alpha.unsqueeze(-1) * x


class PlainBlock(nn.Module):
    """A residual block in Conv1d; parameters named as in mccgaa.encoder.Block."""

    def __init__(
        self, inputs: int, width: int, stride: int, bottleneck: bool, config: object
    ) -> None:
        super().__init__()
        self.outputs = out = width * 4 if bottleneck else width

        def layer(i: int, o: int, k: int, s: int = 1) -> list[nn.Module]:
            return [nn.Conv1d(i, o, k, s, k // 2, bias=False), nn.BatchNorm1d(o)]

        if bottleneck:
            self.branch = nn.Sequential(
                *layer(inputs, width, 1),
                nn.ReLU(),
                *layer(width, width, 3, stride),
                nn.ReLU(),
                *layer(width, out, 1),
            )
        else:
            self.branch = nn.Sequential(
                *layer(inputs, width, 3, stride), nn.ReLU(), *layer(width, width, 3)
            )
        self.cam: nn.Module = nn.Identity()
        if config.cam == "channel":
            self.cam = PlainAttention(out, config.gate)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != out:
            self.shortcut = nn.Sequential(*layer(inputs, out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.cam(self.branch(x)) + self.shortcut(x))


class PlainEncoder(nn.Module):
    """The encoder of section 3.2 as one would first write it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        blocks, bottleneck = STAGES[config.depth]
        channels = config.widths[0]
        self.stem = nn.Sequential(
            nn.Conv1d(config.leads, channels, 7, 2, 3, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
        )
        stages = []
        for stage, width in enumerate(config.widths):
            layers = []
            for block in range(blocks[stage]):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(PlainBlock(channels, width, stride, bottleneck, config))
                channels = layers[-1].outputs
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.project = nn.Conv1d(channels, config.embedding_dim, 1)
        self.head: nn.Module = MeanPool(config.embedding_dim)
        if config.pool == "attention":
            self.head = AttentionPool(
                config.embedding_dim, config.pool_heads, config.positions
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.head(self.project(self.stages(self.stem(x)))), dim=-1)


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
    pairs = [(ours(), plain()) for _ in range(steps)]
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
