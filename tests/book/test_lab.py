"""A lab loads what is there and makes what is not; a profile is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mccgaa_book.lab import Lab, load_profile, run_config
from mccgaa.errors import ConfigError

PARAMS = Path(__file__).resolve().parents[2] / "params"


@pytest.mark.parametrize("path", sorted(PARAMS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_profile_gives_valid_runs_for_all_its_variants(path):
    profile = load_profile(path)
    names = {
        run_config(profile, variant, seed).folder
        for variant in profile["variants"]
        for seed in profile["seeds"]
    }
    assert len(names) == len(profile["variants"]) * len(profile["seeds"])
    assert set(profile["tasks"].values()) <= set(profile["stores"])


def test_variants_differ_in_what_they_say_and_nothing_else():
    profile = load_profile(PARAMS / "real.yaml")
    ours, merl = (run_config(profile, name) for name in ("no-gat", "merl"))
    assert merl.model.encoder.cam == "none" and merl.model.gafa.graph == "none"
    assert merl.pretrain == ours.pretrain and merl.model.text == ours.model.text


def test_unknown_key_variant_and_store_are_sentences(tmp_path):
    (tmp_path / "p.yaml").write_text("tier: synthetic\nepochs: 3\n")
    with pytest.raises(ConfigError, match="no use for 'epochs'"):
        load_profile(tmp_path / "p.yaml")
    with pytest.raises(ConfigError, match="no variant 'best'"):
        run_config(load_profile(PARAMS / "smoke.yaml"), "best")
    with pytest.raises(ConfigError, match="no store 'mine'"):
        Lab(PARAMS / "smoke.yaml").store("mine")


def test_lab_makes_data_runs_and_results_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    profile = load_profile(PARAMS / "smoke.yaml")
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
