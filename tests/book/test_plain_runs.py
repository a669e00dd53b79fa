"""Runs of the plain path: the same first weights and science, other arithmetic."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from benchmark import load
from fake_device import fake_gpu

from mccgaa import model as package
from mccgaa import runtime
from mccgaa.attention import GraphAttention
from mccgaa.encoder import EcgEncoder
from mccgaa.runtime import pick_device
from mccgaa.settings import load_yaml
from mccgaa_book.lab import Lab

PROFILE = "params/small.yaml"
RUN = [PROFILE, "--variants=bipartite", "--seeds=0", "--runs=plain", "--out=out"]


@pytest.fixture(scope="module")
def plain():
    return load("plain_runs")


def test_a_plain_run_takes_the_plain_parts_and_is_the_same_run_up_to_rounding(
    project, plain, monkeypatch
):
    taken = []
    convolve, attend = torch.nn.Conv1d.forward, GraphAttention.forward

    def convolved(layer, x):
        taken.append("Conv1d")
        return convolve(layer, x)

    def attended(layer, nodes, links, **options):
        taken.append("edges" if isinstance(links, torch.Tensor) else "masks")
        return attend(layer, nodes, links, **options)

    monkeypatch.setattr(torch.nn.Conv1d, "forward", convolved)
    monkeypatch.setattr(GraphAttention, "forward", attended)
    monkeypatch.setattr(runtime, "has_bf16", lambda device: False)  # as some CPUs have

    plain.main(RUN)
    assert set(taken) >= {"Conv1d", "edges"}
    assert "masks" not in taken
    assert package.EcgEncoder is EcgEncoder, "the package is whole again"

    taken.clear()
    lab = Lab("small")
    usual = lab.run("bipartite", 0)
    assert set(taken) == {"masks"}
    lab.runs, lab._runs, lab._folders = project / "plain", {}, {}
    slow = lab.run("bipartite", 0)
    assert slow.folder != usual.folder
    losses = pd.concat([usual.history["loss"], slow.history["loss"]], axis=1)
    assert losses.iloc[0, 0] == pytest.approx(losses.iloc[0, 1], rel=1e-5)
    assert not losses.iloc[:, 0].equals(losses.iloc[:, 1])
    theirs = slow.model.state_dict()
    for name, value in usual.model.state_dict().items():
        assert theirs[name].shape == value.shape, name
        gap = (theirs[name].float() - value.float()).abs().max()
        assert gap < 0.02, name


def test_its_results_say_how_they_were_trained(project, plain):
    plain.main(RUN)
    stamp = pd.read_json("out/zeroshot.json", typ="series")
    assert stamp["command"].endswith(
        "small.yaml --variants bipartite --seeds 0 --out out"
    )
    assert "plain_runs" in stamp["command"] and "Conv1d" in stamp["note"]
    assert len(load("science").means(project / "out" / "zeroshot.csv")) == 1
    plain.main(RUN)  # goes on in a folder of its own


def test_a_machine_with_a_gpu_trains_plain_runs_on_its_cpu(plain):
    seen = []

    def run(variant, seed):
        parts = (package.EcgEncoder, package.Gafa)
        seen.append((variant, seed, pick_device().type, parts))

    with fake_gpu():
        plain.train(SimpleNamespace(run=run), ["a", "b"], [0, 1])
        assert pick_device().type == "cuda"
    parts = (plain.StandIn, plain.EdgeListGafa)
    assert seen == [(v, s, "cpu", parts) for s in (0, 1) for v in ("a", "b")]


def test_plain_runs_and_results_lie_apart_from_others(project, plain, monkeypatch):
    started = []
    monkeypatch.setattr(
        plain, "train", lambda lab, *of: started.append((lab.runs, *of))
    )
    variants = {"later": {"start": f"{PROFILE}:bipartite"}}
    variants["own"] = {"pretrain": {"start": "runs/a-run"}}
    profile = load_yaml(PROFILE)
    profile["variants"] |= variants
    Path(PROFILE).write_text(yaml.safe_dump(profile))
    Path("fast").mkdir()
    Path("fast/zeroshot.json").write_text(json.dumps({"note": None}))
    for words, said in (
        (["bipartite", "--runs=runs"], "--runs runs has the profile's own"),
        (["bipartite", "later"], "later starts from a run that is not plain"),
        (["own"], "own starts from a run that is not plain"),
        (["bipartite", "--out=fast"], "--out fast has results of fast runs"),
    ):
        with pytest.raises(SystemExit, match=said):
            plain.main([PROFILE, "--variants", *words])
    assert not started
    plain.main([PROFILE, "--variants", "bipartite"])
    assert started == [(Path("runs-plain"), ["bipartite"], [0, 1])]
