"""GAFA: a step of its two layers with masks, and with torch-geometric's edges.

Both compute the same graph with the same weights, forwards and backwards, in turns in
one process; a ratio is the median over pairs of neighbouring runs. On a CPU seconds
are those of one thread's processor time, whatever else the machine does.

    python bench/gafa.py --json bench/gafa.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import cpu_model
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from mccgaa.config import GafaConfig
from mccgaa.files import bar, write_json
from mccgaa.gafa import Gafa
from mccgaa.runtime import pick_device

WIDTH = 256  # M, of embeddings
BATCHES = (64, 128, 512)


def seconds(step: Callable[[], None], device: torch.device) -> float:
    """Time one step: of this thread on a CPU, by the clock on a GPU."""
    if device.type == "cpu":
        start = time.thread_time()
        step()
        return time.thread_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def kept_bytes(forward: Callable[[], object]) -> int:
    """Count what a forward pass keeps for its backward pass."""
    found: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return t

    with saved_tensors_hooks(pack, lambda t: t):
        forward()
    return sum(found.values())


def measure(graph: str, batch: int, repeats: int, device: torch.device) -> dict:
    """Compare both ways of one graph, of random directions at threshold 0."""
    torch.manual_seed(0)
    gafa = Gafa(GafaConfig(graph=graph), WIDTH).to(device)
    x, q = (torch.randn(batch, WIDTH, device=device) for _ in range(2))
    x, q = (torch.nn.functional.normalize(t, dim=1) for t in (x, q))
    x.requires_grad_()
    q.requires_grad_()

    def forward() -> Tensor:
        return sum((t * t).sum() for t in gafa(x, q))

    def step() -> None:
        forward().backward()

    kept: dict[str, int] = {}
    times: dict[str, list[float]] = {"masks": [], "edges": []}
    for i in range(repeats + 2):  # the first two warm up
        for name, found in times.items():
            gafa.dense = name == "masks"
            if not i:
                kept[name] = kept_bytes(forward)
            found.append(seconds(step, device))
    pairs = list(zip(times["edges"][2:], times["masks"][2:], strict=True))
    return {
        "graph": graph,
        "batch": batch,
        "repeats": repeats,
        **{f"{n}_ms": 1e3 * statistics.median(t[2:]) for n, t in times.items()},
        "ratio": statistics.median(edges / masks for edges, masks in pairs),
        **{f"{n}_kept_mb": kept[n] / 1e6 for n in kept},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    cases = [(graph, n) for graph in ("pair", "bipartite") for n in arguments.batch]
    for graph, batch in bar(iterable=cases, desc="graphs"):
        row = measure(graph, batch, arguments.repeats, device)
        rows.append(row)
        print(
            f"{graph}, batch {batch}: masks {row['masks_ms']:.1f} ms, edges "
            f"{row['edges_ms']:.1f} ms, ratio {row['ratio']:.1f}; kept "
            f"{row['masks_kept_mb']:.1f} and {row['edges_kept_mb']:.1f} MB",
            flush=True,
        )
    torch.set_num_threads(threads)
    gpu = device.type == "cuda"
    result = {
        "processor": torch.cuda.get_device_name(device) if gpu else cpu_model(),
        "threads": 1,
        "torch": torch.__version__,
        "rows": rows,
    }
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
