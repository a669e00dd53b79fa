"""Pretraining at 12 x 5000 on one GPU: how fast, and how far from the limit.

Needs a checkout, PyTorch, torch-geometric and transformers, and no data: it fills the
device's memory with an int16 store of MIMIC-IV-ECG's size, or with as many records as
fit. The numbers in it are random, which is all that speed asks for.

    PYTHONPATH=. python bench/gpu.py --json bench/gpu.json

Each section has its share of the given seconds; what no longer fits is left out and
named. The JSON file is written after every section, so that a failure loses nothing.
`--small` runs every section in tiny sizes on any device, a CPU too: its figures mean
nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import math
import os
import signal
import statistics
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from traffic import needs
from usual import TOKENS, Usual, bert, write_records

from mccgaa import fast_encoder
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
from mccgaa.encoder import ChannelAttention
from mccgaa.files import write_json
from mccgaa.learner import Learner
from mccgaa.model import MCCGAA
from mccgaa.pairs import epoch_order
from mccgaa.runtime import autocast

MIMIC = 771_693  # records
ROOM = 30e9  # bytes kept free for the largest batch
WINDOWS = 5  # medians are of at least so many

# What a step can be made with; "+graph" after a name replays it as one CUDA graph.
VARIANTS = {
    "eager": "the package as it is, without torch.compile",
    "pooled": "as eager, with adaptive pooling for the maximum of eq 9",
    "compile": "the package as it is in a long run: its encoder compiled",
    "unfused": "as compile, but of the encoder's plain forward",
}
PLAIN = ("eager", "pooled")  # not by torch.compile, which takes minutes


@dataclass
class Sizes:
    """How large everything is."""

    records: int = MIMIC
    length: int = 5000
    batches: tuple[int, ...] = (128, 512, 1024)
    steps: int = 50  # of a window
    usual_batch: int = 128
    usual_records: int = 2048
    usual_steps: int = 10  # of a window; every step waits for the device anyway
    workers: int = 8
    tokens: int = TOKENS
    scored: int = 2048  # batch
    texts: int = 180_000  # distinct
    copied: int = 2**32  # bytes
    matrix: int = 8192
    graph: Literal["bipartite", "none"] = "bipartite"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    text: TextConfig = field(default_factory=TextConfig)

    def config(self, batch: int) -> RunConfig:
        """Make a run's configuration; what is not said here is as in the paper."""
        model = ModelConfig(
            input=InputConfig(duration=self.length / 500),
            encoder=self.encoder,
            text=self.text,
            gafa=GafaConfig(graph=self.graph),
        )
        return RunConfig(model=model, pretrain=PretrainConfig(batch_size=batch))


SMALL = Sizes(
    records=96,
    length=96,
    batches=(4, 8, 16),
    steps=2,
    usual_batch=4,
    usual_records=16,
    usual_steps=2,
    workers=1,
    tokens=16,
    scored=32,
    texts=20,
    copied=2**20,
    matrix=64,
    encoder=EncoderConfig(widths=(4, 4, 8, 8), embedding_dim=8, positions=4),
    text=TextConfig("random", dim=32, hidden=8),
)


class Resident(DeviceReader):
    """A reader whose store never was on a disk."""

    def __init__(self, signals: Tensor) -> None:
        self.signals, self.scale = signals, 1e-3
        self.device, self.where = signals.device, "device"


class Bench:
    """The machine, what was found, and what is left of the time."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.small: bool = args.small
        self.sizes = SMALL if args.small else replace(Sizes(), records=args.records)
        self.variants: list[str] = args.variants.split(",")
        name = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(name)
        self.on_gpu = name == "cuda"
        self.path: Path | None = args.json
        self.start = time.perf_counter()
        self.end = self.start + args.seconds
        self.found: dict[str, Any] = {"complete": False, "skipped": {}, "seconds": {}}
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.reader: Resident
        self.texts: tuple[Tensor, Tensor]
        self.made: tuple[str, int, Learner] | None = None  # by `learner`, last

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.perf_counter()

    def section(self, name: str, needs: float, work: Callable[[], Any]) -> Any:
        """Do a piece of work if there is time, and keep what it finds or why not.

        Args:
            name: under which it is kept.
            needs: seconds that it takes at least; it is stopped where none are left.
            work: returns what is kept, as plain data.
        """
        print(f"-- {name} ({self.left:.0f} s left)", flush=True)
        if self.left < needs:
            self.found["skipped"][name] = f"needs {needs:.0f} s, {self.left:.0f} left"
            print(f"   skipped: {self.found['skipped'][name]}", flush=True)
            return None
        start, result = time.perf_counter(), None
        try:
            signal.setitimer(signal.ITIMER_REAL, max(1.0, self.left))
            result = self.found[name] = work()
        except Exception as error:
            # Told in full, and the other sections go on.
            self.found[name] = {
                "error": f"{type(error).__name__}: {error}"[:2000],
                "trace": traceback.format_exc()[-4000:],
            }
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.clean()
        took = self.found["seconds"][name] = round(time.perf_counter() - start, 1)
        said = self.found[name]
        short = said.get("error") or {
            k: v for k, v in said.items() if isinstance(v, int | float | str)
        }
        print(f"   {took} s: {str(short)[:400]}", flush=True)
        self.save()
        return result

    def save(self) -> None:
        """Write what was found so far."""
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, self.found)

    def clean(self) -> None:
        """Let go of a section's memory."""
        gc.collect()
        if self.on_gpu:
            with contextlib.suppress(RuntimeError):
                torch.cuda.synchronize()
                torch.cuda.empty_cache()

    def learner(self, variant: str, batch: int) -> Learner:
        """Make a learner of a variant, or take the last one again if it is one.

        What is compiled for it stays compiled as long as it is the last.
        """
        if self.made is None or self.made[:2] != (variant, batch):
            self.made = None
            torch._dynamo.reset()  # or old shapes count as too many
            self.clean()
            learner = Learner(self.sizes.config(batch), self.device)
            apply(variant, learner)
            self.made = variant, batch, learner
        return self.made[2]

    def wait(self) -> float:
        """Wait for the device, and read the clock."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def median(self, work: Callable[[], Any], times: int = 7) -> float:
        """Time a piece of device work: the median of its seconds, warm."""
        work()
        taken = []
        for _ in range(times):
            start = self.wait()
            work()
            taken.append(self.wait() - start)
        return statistics.median(taken)

    def facts(self) -> dict[str, Any]:
        """Which machine this is, and its two ceilings, measured."""
        facts: dict[str, Any] = {
            "device": self.device.type,
            "torch": torch.__version__,
            "cores": os.cpu_count(),
            "small": self.small,
        }
        if self.on_gpu:
            properties = torch.cuda.get_device_properties(0)
            facts["device"] = properties.name
            facts["memory_gb"] = round(properties.total_memory / 1e9, 1)
            facts["cudnn"] = torch.backends.cudnn.version()
        source = torch.randint(
            -99, 99, (self.sizes.copied,), dtype=torch.int8, device=self.device
        )
        target = torch.empty_like(source)
        seconds = self.median(lambda: target.copy_(source))
        facts["copy_tb_per_second"] = round(2 * source.numel() / seconds / 1e12, 4)
        n = self.sizes.matrix
        type_ = torch.bfloat16 if self.on_gpu else torch.float32
        a, b = (torch.randn(n, n, dtype=type_, device=self.device) for _ in range(2))
        facts["matrix_tflops"] = round(2 * n**3 / self.median(lambda: a @ b) / 1e12, 3)
        return facts

    def store(self) -> dict[str, Any]:
        """Fill the device's memory."""
        wanted, leads = self.sizes.records, self.sizes.encoder.leads
        size = leads * self.sizes.length * 2  # bytes of a record
        records = wanted
        if self.on_gpu:
            free, _ = torch.cuda.mem_get_info()
            records = min(wanted, int((free - ROOM) // size))
        shape = (records, leads, self.sizes.length)
        signals = torch.empty(shape, dtype=torch.int16, device=self.device)
        for block in signals.split(max(1, 2**31 // size)):
            block.random_(-3000, 3000)
        self.reader = Resident(signals)
        torch.manual_seed(0)
        vectors = torch.randn(self.sizes.texts, self.sizes.text.dim, device=self.device)
        text_of = torch.randint(self.sizes.texts, (records,), device=self.device)
        self.texts = vectors, text_of
        return {
            "records": records,
            "wanted": wanted,
            "gb": round(signals.nbytes / 1e9, 1),
            "whole": records == wanted,
        }

    def agreement(self, learner: Learner, batch: int) -> dict[str, Any]:
        """Compare a learner's step with the package's own in float32, on one batch.

        Same weights, same dropout; loss, embeddings and gradients, as
        ||a - b|| / ||b||.
        """
        signals, vectors = next(self.batches(batch, 1))
        plain = Learner(self.sizes.config(batch), self.device)
        plain.model.load_state_dict(learner.model.state_dict())
        cudnn = torch.backends.cudnn
        seen = []
        for one, precision in ((learner, "bf16"), (plain, "fp32")):
            exact = one is plain
            with cudnn.flags(enabled=True, benchmark=not exact, allow_tf32=not exact):
                one.module.train()
                one.model.zero_grad(set_to_none=True)
                torch.manual_seed(1)  # of dropout
                with autocast(self.device, precision):
                    output = one.module(signals, vectors)
                output.loss.backward()
            weights = one.model.encoder
            gradients = weights.stem[0].weight.grad, weights.project.weight.grad
            seen.append([output.loss, output.x, *gradients])
        names = ("loss", "embeddings", "gradient_of_stem", "gradient_of_projection")
        return {
            name: plainly((a.double() - b.double()).norm() / b.double().norm())
            for name, a, b in zip(names, *seen, strict=True)
        }

    def training(self, variant: str, batch: int, seconds: float) -> dict[str, Any]:
        """Train, and time windows of steps from one look at the losses to the next.

        Args:
            variant: of the step; see `VARIANTS`.
            batch: pairs per step.
            seconds: to spend on windows; long ones are shortened to fit, and said.
        """
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        kept = torch.cuda.memory_allocated() if self.on_gpu else 0
        start = time.perf_counter()
        step = Stepper(self, variant, batch)
        for _ in range(3):
            step()
        first = self.wait() - start
        begin = self.wait()
        for _ in range(3):
            step()
        each = (self.wait() - begin) / 3
        print(f"   warm after {first:.1f} s, {each:.4f} s per step", flush=True)
        steps, windows = fit(each, self.sizes.steps, seconds)
        speeds, losses = [], []
        begin = self.wait()
        for _ in range(windows):
            seen = torch.stack([step() for _ in range(steps)]).tolist()  # waits
            now = time.perf_counter()
            speeds.append(steps * batch / (now - begin))
            begin = now
            losses += [row[0] for row in seen]
        peak = torch.cuda.max_memory_allocated() if self.on_gpu else 0
        agreement = None
        if batch == self.sizes.batches[1] and "+" not in variant:
            agreement = self.agreement(step.learner, batch)
        return {
            "variant": variant,
            "batch": batch,
            "samples_per_second": round(statistics.median(speeds), 1),
            "windows": [round(speed, 1) for speed in speeds],
            "steps_per_window": steps,
            "seconds_until_warm": round(first, 1),
            "peak_gb_beside_the_store": round((peak - kept) / 1e9, 2),
            "loss": [plainly(losses[0]), plainly(losses[-1])],
            "beside_the_package_in_fp32": agreement,
        }

    def batches(self, batch: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Read batches in a random order: signals and text vectors."""
        assert self.reader.signals is not None
        rows = np.arange(len(self.reader.signals))
        vectors, text_of = self.texts
        for epoch in range(10**6):
            order = epoch_order(rows, 0, epoch)
            steps = min(count, len(order) // batch)
            taken = order[: steps * batch].reshape(steps, batch)
            for at, signals in self.reader.batches(taken):
                yield signals, vectors[text_of[at]]

    def usual(self, cached: bool, seconds: float) -> dict[str, Any]:
        """Time the usual loop."""
        sizes = self.sizes
        path = self.folder / "signals.npy"
        if not path.exists():
            leads = sizes.encoder.leads
            write_records(path, sizes.usual_records, leads, sizes.length)
        config = sizes.config(sizes.usual_batch).model
        size = sizes.usual_batch * sizes.encoder.leads * sizes.length * 4  # of a batch
        shared = os.statvfs("/dev/shm")
        workers = min(sizes.workers, shared.f_bavail * shared.f_frsize // (3 * size))
        text = None if cached else bert(self.small)
        loop = Usual(
            config,
            self.device,
            path,
            sizes.usual_batch,
            int(workers),
            text,
            sizes.tokens,
        )
        steps = loop.steps()
        start = time.perf_counter()
        next(steps)
        for _ in range(2 if self.small else 6):
            next(steps)
        first = time.perf_counter() - start
        begin = time.perf_counter()
        for _ in range(2):
            next(steps)
        each = (time.perf_counter() - begin) / 2
        count, windows = fit(each, sizes.usual_steps, seconds)
        speeds = []
        for _ in range(windows):
            begin = time.perf_counter()
            for _ in range(count):
                next(steps)
            took = time.perf_counter() - begin
            speeds.append(count * sizes.usual_batch / took)
        steps.close()
        return {
            "texts": "cached" if cached else f"encoded in each step, {sizes.tokens}",
            "batch": sizes.usual_batch,
            "workers": int(workers),
            "samples_per_second": round(statistics.median(speeds), 1),
            "windows": [round(speed, 1) for speed in speeds],
            "steps_per_window": count,
            "seconds_until_warm": round(first, 1),
        }

    def limit(self) -> dict[str, Any]:
        """Count what a step must move and multiply, and how long that takes."""
        layers = list(needs(self.sizes.config(1).model))
        moved = sum(layer["bytes"] + layer["bytes_after"] for layer in layers)
        flops = sum(layer["flops"] for layer in layers)
        machine = self.found["facts"]
        bandwidth = machine["copy_tb_per_second"] * 1e12
        rate = machine["matrix_tflops"] * 1e12
        # A convolution moves and multiplies at once; what follows waits for it.
        both = sum(
            max(layer["bytes"] / bandwidth, layer["flops"] / rate)
            + layer["bytes_after"] / bandwidth
            for layer in layers
        )
        reached = [
            (row["samples_per_second"], name)
            for name, row in self.found.items()
            if name.startswith("train ") and "samples_per_second" in row
        ]
        best, name = max(reached, default=(0.0, "nothing"))
        return {
            "mb_per_sample": round(moved / 1e6, 2),
            "gflop_per_sample": round(flops / 1e9, 3),
            "samples_per_second_by_memory": round(bandwidth / moved, 1),
            "samples_per_second_by_arithmetic": round(rate / flops, 1),
            "samples_per_second_by_both": round(1 / both, 1),
            "best": name,
            "best_samples_per_second": best,
            "share_of_memory_limit": round(best * moved / bandwidth, 4),
            "share_of_both": round(best * both, 4),
            "layers": layers,
        }

    def profile(self, variant: str, batch: int) -> dict[str, Any]:
        """Record ten steps: what the device did, and what the host needed to ask."""
        from torch.profiler import ProfilerActivity, profile

        step = Stepper(self, variant, batch)
        for _ in range(5):
            step()
        count = 2 if self.small else 10
        start = self.wait()
        for _ in range(count):
            step()
        asked = time.perf_counter() - start
        took = self.wait() - start
        activities = [ProfilerActivity.CPU]
        if self.on_gpu:
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities) as recorded:
            for _ in range(count):
                step()
            self.wait()
        key = "self_device_time_total" if self.on_gpu else "self_cpu_time_total"
        rows = [row for row in recorded.key_averages() if getattr(row, key) > 0]
        if self.on_gpu:  # kernels; not what asked for them, and no annotations
            cuda = torch.autograd.DeviceType.CUDA
            notes = ("##", "Optimizer.", "ProfilerStep", "Torch-Compiled")
            rows = [r for r in rows if r.device_type == cuda]
            rows = [r for r in rows if not r.key.startswith(notes)]
        rows.sort(key=lambda row: -getattr(row, key))
        total = sum(getattr(row, key) for row in rows)
        lines = [
            f"{getattr(row, key) / count / 1e3:9.3f} ms "
            f"{getattr(row, key) / total:6.1%} {row.count / count:6.1f}x  "
            f"{row.key[:160]}"
            for row in rows[: 15 if self.small else 60]
        ]
        table = "\n".join(lines)
        print(table)
        return {
            "variant": variant,
            "batch": batch,
            "ms_per_step": round(took / count * 1e3, 3),
            "device_ms_per_step": round(total / count / 1e3, 3),
            "host_ms_per_step": round(asked / count * 1e3, 3),
            "kernels": table,
        }

    def scoring(self, seconds: float) -> dict[str, Any]:
        """Time `encode_ecg` over the store."""
        batch = min(self.sizes.scored, len(self.texts[1]))
        model = MCCGAA(self.sizes.config(batch).model).to(self.device).eval()
        data = self.batches(batch, 1000)

        @torch.no_grad()
        def score(count: int) -> None:
            for _ in range(count):
                with autocast(self.device, "bf16"):
                    model.encode_ecg(next(data)[0])

        score(3)
        begin = self.wait()
        score(2)
        count, windows = fit((self.wait() - begin) / 2, 10, seconds)
        speeds = []
        for _ in range(windows):
            begin = self.wait()
            score(count)
            speeds.append(count * batch / (self.wait() - begin))
        return {
            "batch": batch,
            "samples_per_second": round(statistics.median(speeds), 1),
            "windows": [round(speed, 1) for speed in speeds],
        }


class Stepper:
    """One training step after another, as pretraining takes them.

    Args:
        bench: whose store is read.
        variant: of the step.
        batch: pairs per step.
    """

    def __init__(self, bench: Bench, variant: str, batch: int) -> None:
        name, _, graph = variant.partition("+")
        self.learner = bench.learner(name, batch)
        self.data = bench.batches(batch, 10_000)
        self.step = 0
        self.learner.replay = None
        if graph and bench.on_gpu:
            self.learner.capture()

    def __call__(self) -> Tensor:
        """Take a step; its losses (3,) stay on the device."""
        signals, vectors = next(self.data)
        self.step += 1
        return self.learner.step(self.step, 1e-3, signals, vectors)


def apply(variant: str, learner: Learner) -> None:
    """Change a learner, in place, to a variant.

    Raises:
        RuntimeError: it cannot be compiled.
    """
    if variant not in VARIANTS:
        raise ValueError(f"No variant {variant!r}; known: {', '.join(VARIANTS)}.")
    if variant == "pooled":
        for module in learner.model.encoder.modules():
            if isinstance(module, ChannelAttention):
                module.weights = types.MethodType(pooled, module)
    if variant not in PLAIN:
        said = io.StringIO()
        plain = mock.patch.object(
            fast_encoder, "features", lambda encoder, x: encoder.features(x)
        )
        with (
            contextlib.redirect_stderr(said),
            plain if variant == "unfused" else contextlib.nullcontext(),
        ):
            works = learner.compile()
        if not works:  # or the package's own way would be timed under this name
            raise RuntimeError(said.getvalue())


def pooled(self: ChannelAttention, x: Tensor) -> Tensor:
    """`ChannelAttention.weights`, its maximum taken by adaptive pooling."""
    largest = nn.functional.adaptive_max_pool2d(x, 1).flatten(1)
    return fast_encoder.gate(self, torch.stack([x.mean((2, 3)), largest]))


def plainly(value: float | Tensor) -> float | str:
    """Shorten a number; JSON has none for what is not finite."""
    value = float(value.detach()) if isinstance(value, Tensor) else value
    return float(f"{value:.4g}") if math.isfinite(value) else str(value)


def fit(each: float, steps: int, seconds: float) -> tuple[int, int]:
    """Choose steps a window and windows, five at least unless the time is short."""
    windows = WINDOWS
    if each * steps * windows > seconds:
        steps = max(min(steps, 5), int(seconds / (each * windows)))
    if each * steps * windows > 2 * seconds:
        windows = 3
    return max(1, steps), windows


def table(found: dict[str, Any]) -> str:
    """Lay the result out for a reader."""
    lines = []
    machine, store = found.get("facts", {}), found.get("store", {})
    lines.append(
        f"{machine.get('device')}, {machine.get('memory_gb')} GB, "
        f"torch {machine.get('torch')}: copies {machine.get('copy_tb_per_second')} "
        f"TB/s, multiplies {machine.get('matrix_tflops')} TFLOP/s; store of "
        f"{store.get('records')} records ({store.get('gb')} GB)"
    )
    base = found.get("usual loop", {}).get("samples_per_second")
    for name, row in found.items():
        if not isinstance(row, dict):
            continue
        if "error" in row:
            lines.append(f"  {name:32} failed: {row['error'][:90]}")
        elif "samples_per_second" in row:
            speed = row["samples_per_second"]
            beside = f"{speed / base:7.1f} x usual" if base else ""
            lines.append(f"  {name:32} {speed:10.1f} ECG/s {beside}")
    limit = found.get("limit", {})
    if "share_of_both" in limit:
        lines.append(
            f"  limit: {limit['mb_per_sample']} MB and {limit['gflop_per_sample']} "
            f"GFLOP an ECG: {limit['samples_per_second_by_memory']} ECG/s by memory, "
            f"{limit['samples_per_second_by_arithmetic']} by arithmetic, "
            f"{limit['samples_per_second_by_both']} by both; {limit['best']} reached "
            f"{limit['share_of_memory_limit']:.0%} of the first, "
            f"{limit['share_of_both']:.0%} of the last"
        )
    for name, why in found["skipped"].items():
        lines.append(f"  {name:32} skipped: {why}")
    return "\n".join(lines)


def run(bench: Bench) -> None:
    """Do all sections, what matters most first."""
    small, middle, large = bench.sizes.batches
    scale = min(2.0, bench.left / 120)  # of the time for windows
    tick = 0.0 if bench.small else 1.0  # every section has its turn in tiny sizes

    def train(variant: str, batch: int, seconds: float, before: float) -> None:
        name, seconds = f"train {variant} {batch}", seconds * scale
        work = partial(bench.training, variant, batch, seconds)
        bench.section(name, tick * (seconds + before), work)

    def begin(variant: str) -> float:
        return 20 if variant in PLAIN else 90  # seconds until it is warm, about

    bench.section("facts", 0, bench.facts)
    if bench.section("store", 0, bench.store) is None:
        return
    bench.section("usual loop", 6 * tick, lambda: bench.usual(False, 6 * scale))
    cached = "usual loop, cached texts"
    bench.section(cached, 6 * tick, lambda: bench.usual(True, 4 * scale))
    for variant in bench.variants:
        warm = bench.made is not None and bench.made[:2] == (variant, middle)
        train(variant, middle, 4, 0 if warm else begin(variant))
        train(f"{variant}+graph", middle, 4, 2)
        work = partial(bench.profile, f"{variant}+graph", middle)
        bench.section(f"profile {variant}", 2 * tick, work)
    bench.section("limit", 0, bench.limit)
    lead, plain = bench.variants[0], [v for v in bench.variants if v in PLAIN]
    for variant in plain[:1]:
        train(variant, small, 3, 3)
        train(f"{variant}+graph", small, 3, 2)
        bench.section("score", 4 * tick, partial(bench.scoring, 3))
        bench.section("short", 5 * tick, partial(short, bench, variant))
    train(f"{lead}+graph", large, 4, begin(lead))
    bench.section("limit", 0, bench.limit)


def short(bench: Bench, variant: str) -> dict[str, Any]:
    """Train on two seconds of 500 Hz, or ten of 100 Hz, without the graph."""
    whole, reader = bench.sizes, bench.reader
    signals = reader.signals
    assert signals is not None
    shape = (*signals.shape[:2], whole.length // 5)
    cut = signals.view(-1)[: math.prod(shape)].view(shape)  # of the same memory
    try:
        bench.reader, bench.made = Resident(cut), None
        bench.sizes = replace(whole, length=shape[2], graph="none")
        found = bench.training(variant, whole.batches[1], 4)
        return found | {"length": shape[2]}
    finally:
        bench.reader, bench.sizes, bench.made = reader, whole, None


def stop(*_: Any) -> None:
    """Stop a section whose time is up."""
    raise TimeoutError("its time is up")


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--seconds", type=float, default=120, help="to spend, about")
    parser.add_argument("--records", type=int, default=MIMIC, help="of the store")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a test")
    parser.add_argument(
        "--variants",
        default="compile,eager",
        help=f"of the training step: {', '.join(VARIANTS)}",
    )
    args = parser.parse_args(arguments)
    if not (args.small or torch.cuda.is_available()):
        print("No GPU here. `--small` runs every section in tiny sizes, on a CPU too.")
        return
    signal.signal(signal.SIGALRM, stop)
    bench = Bench(args)
    try:
        run(bench)
        bench.found["complete"] = True
    finally:
        bench.found["total_seconds"] = round(time.perf_counter() - bench.start, 1)
        bench.save()
        print(table(bench.found), flush=True)


if __name__ == "__main__":
    main()
