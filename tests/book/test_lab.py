"""A lab loads what is there and makes what is not; a profile is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mccgaa.config import Profile, load_yaml
from mccgaa.errors import ConfigError
from mccgaa_book.lab import Lab

PARAMS = Path(__file__).resolve().parents[2] / "params"


def test_a_store_that_the_profile_lacks_is_refused():
    with pytest.raises(ConfigError, match="no store 'mine'"):
        Lab(PARAMS / "smoke.yaml").store("mine")


def test_lab_makes_data_runs_and_results_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    profile = load_yaml(PARAMS / "smoke.yaml")
    profile["twin"] = {"out": "data", "mimic": 120, "ptbxl": 60, "seed": 0}
    profile["twin"] |= {"jobs": 1, "progress": False}
    profile["stores"] = {
        name: profile["stores"][name]
        | {"root": f"data/{tree}", "out": f"stores/{name}", "jobs": 1}
        for name, tree in (("pretrain", "mimic"), ("ptbxl", "ptbxl"))
    }
    profile["tasks"] = {"super": "ptbxl"}
    profile["pretrain"] |= {"epochs": 1, "batch_size": 16, "snapshots": []}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(profile))
    lab = Lab("p.yaml")
    assert lab.synthetic and lab.badge().startswith("Synthetic")
    table = lab.zero_shot_table(["bipartite"])
    assert table[["variant", "seed", "task"]].to_numpy().tolist() == [
        ["bipartite", 0, "super"]
    ]
    assert table["low"].item() <= table["auroc"].item() <= table["high"].item()
    before = {p: p.stat().st_mtime_ns for p in Path("runs").rglob("*")}
    again = Lab("p.yaml").zero_shot_table(["bipartite"])
    assert again.equals(table)
    assert before == {p: p.stat().st_mtime_ns for p in Path("runs").rglob("*")}
    assert len(lab.run().history) > 0 and lab.run().metrics["synthetic"] is True
