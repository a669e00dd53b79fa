"""What the book says of speed is what the benchmarks recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from mccgaa_book import speed

BENCH = Path(__file__).parents[2] / "bench"


def test_ways_are_set_beside_the_usual_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        name: {"samples_per_second": 1000.0 * (i + 1)}
        for i, name in enumerate(speed.WAYS)
    }
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "gpu.json").write_text(json.dumps(found))
    monkeypatch.setattr(speed, "checkout", lambda: tmp_path)
    ways = speed.on_one_gpu()
    assert list(ways.index) == list(speed.WAYS.values())
    assert ways["pairs per second"].tolist() == [1000, 2000, 3000, 4000, 5000]
    assert ways["times the usual loop"].tolist() == [1, 2, 3, 4, 5]
    # 15,433,860 pairs at 1,000 per second
    assert ways["minutes"].iloc[0] == pytest.approx(257.231, rel=1e-5)
    assert ways["minutes"].iloc[4] == pytest.approx(257.231 / 5, rel=1e-5)


def test_the_recorded_ways_are_those_of_the_table() -> None:
    ways = speed.on_one_gpu()
    assert (ways > 0).all(axis=None)


def test_runs_of_cpu_and_gpu_are_those_of_the_recorded_results():
    table = speed.on_cpu_and_gpu()
    assert len(table) == 5 and not table.isna().any().any()
    published = pd.read_csv(BENCH.parent / "results/real/zeroshot.csv")
    macro = published[published["class"].isna() & (published["metric"] == "auroc")]
    macro = macro[(macro["split"] == "test") & (macro["variant"] == "pair")]
    mean = macro[macro["seed"].astype(float) == 0]["value"].mean()
    assert table.loc["MCCGAA, pair graph", "CPU, float32"] == pytest.approx(
        mean, abs=0.01
    )


def test_growth_has_what_its_figure_draws():
    rows = speed.growth()
    assert {"records", "batch", "sampling_rate", "processes"} == set(rows["axis"])
    assert {"epoch_seconds", "peak_mb"} <= set(rows)
    assert rows["records"].max() == 1_000_000
