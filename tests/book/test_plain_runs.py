"""Runs of the plain path: the same first weights and science, other arithmetic."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from benchmark import load

from mccgaa import model as package
from mccgaa.attention import GraphAttention
from mccgaa.encoder import EcgEncoder
from mccgaa_book.lab import Lab

RUN = ["params/small.yaml", "--variants=bipartite", "--seeds=0"]
RUN += ["--runs=plain", "--out=out"]


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

    plain.main(RUN)
    assert set(taken) >= {"Conv1d", "edges"}
    assert "masks" not in taken[: taken.index("edges") + 1]
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
    assert stamp["command"].endswith("small.yaml --variants bipartite --seeds 0")
    assert "plain_runs" in stamp["command"] and "Conv1d" in stamp["note"]
    assert len(load("science").means(project / "out" / "zeroshot.csv")) == 1
