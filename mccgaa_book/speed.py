"""What the benchmarks of `bench/` recorded, as tables and figures of the book.

Their numbers are of speed alone: signals are random, and no model comes out of them.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

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
        One row per way: `pairs per second`, `times the usual loop`, and `hours` that
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
            "hours": EPOCHS * RECORDS / speed / 3600,
        }
    ).rename_axis("loop")


def growth() -> pd.DataFrame:
    """Speed and memory as records, batch, sampling rate and processes grow.

    Returns:
        As `plots.growth.growth` takes it.
    """
    return pd.DataFrame(recorded("growth")["rows"])
