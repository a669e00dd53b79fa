"""The book's table of speed is what the benchmark recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mccgaa_book import speed


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
    assert ways["hours"].iloc[0] == pytest.approx(4.28718, rel=1e-5)
    assert ways["hours"].iloc[4] == pytest.approx(4.28718 / 5, rel=1e-5)


def test_the_recorded_ways_are_those_of_the_table() -> None:
    ways = speed.on_one_gpu()
    assert (ways > 0).all(axis=None)
