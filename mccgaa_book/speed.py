"""What the benchmarks of `bench/` recorded, as tables and figures of the book.

Signals are random where speed alone is measured, and no model comes out of that. What
is compared between machines is trained on real ECGs.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from mccgaa.profile import Profile
from mccgaa_book.checkout import checkout

EPOCHS, RECORDS = 20, 771_693  # of the paper's pretraining, section 4.1
WAYS = {  # a section of bench/gpu.json -> what the table calls it
    "usual loop": "usual loop",
    "usual loop, cached texts": "usual loop, text vectors kept",
    "train eager 512": "this package, step by step",
    "train compile 512": "its encoder compiled",
    "train compile+graph 512": "and the step replayed as one CUDA graph",
}


def recorded(name: str) -> dict[str, Any]:
    """Read a benchmark's result, such as "gpu" from bench/gpu.json."""
    path = checkout() / "bench" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def on_one_gpu() -> pd.DataFrame:
    """Ways of pretraining at 12 x 5000, with CAM and GAFA, on one GPU.

    Returns:
        One row per way: `pairs per second`, `times the usual loop`, and `minutes` that
        the paper's 20 epochs of 771,693 pairs would take.
    """
    found = recorded("gpu")
    speed = pd.Series(
        {title: found[name]["samples_per_second"] for name, title in WAYS.items()}
    )
    return pd.DataFrame(
        {
            "pairs per second": speed.round().astype(int),
            "times the usual loop": speed / speed.iloc[0],
            "minutes": EPOCHS * RECORDS / speed / 60,
        }
    ).rename_axis("loop")


def on_cpu_and_gpu() -> pd.DataFrame:
    """Zero-shot AUROC of runs of one seed that were made on a CPU and on a GPU.

    Returns:
        One row per variant of params/real.yaml, means over its tasks x 100: on a CPU in
        float32, on the GPU in bfloat16, and there at 500 Hz.
    """
    pairs = pd.DataFrame(recorded("science")["pairs"]).set_index("variant")
    path = checkout() / "bench" / "h200" / "real-500.csv"
    faster = pd.read_csv(path).groupby("variant")["value"].mean()
    names = {k: v.label for k, v in Profile.load("params/real.yaml").variants.items()}
    found = pd.DataFrame(
        {
            "CPU, float32": pairs["plain"],
            "GPU, bfloat16": pairs["fast"],
            "GPU, 500 Hz": faster,
        }
    ).reindex([name for name in names if name in pairs.index])
    return found.rename(index=names).rename_axis("variant")


def growth() -> pd.DataFrame:
    """Speed and memory as records, batch, sampling rate and processes grow.

    Returns:
        As `plots.growth.growth` takes it.
    """
    return pd.DataFrame(recorded("growth")["rows"])
