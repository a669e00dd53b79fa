"""A run starts from the weights of another, and is named by them."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import MODEL, RUN, numbered_pairs, numbered_store

from mccgaa.config import LossConfig
from mccgaa.errors import RunError
from mccgaa.model import MCCGAA
from mccgaa.pairs import Pairs
from mccgaa.pretrain import Trainer, pretrain
from mccgaa.start import Start

SHORT = replace(RUN, pretrain=replace(RUN.pretrain, epochs=1))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return numbered_pairs(numbered_store(tmp_path_factory.mktemp("toys") / "store"))


@pytest.fixture(scope="module")
def first(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain(
        SHORT, pairs, tmp_path_factory.mktemp("first"), device="cpu", progress=False
    )


def from_(start: Path, **settings):
    return replace(
        SHORT, pretrain=replace(SHORT.pretrain, start=str(start), **settings)
    )


def test_a_run_starts_from_the_weights_and_is_named_by_them_not_by_their_place(
    first, pairs, tmp_path, monkeypatch
):
    begun = []
    train = Trainer.train

    def noting(self, note):
        begun.append({n: v.clone() for n, v in self.model.state_dict().items()})
        train(self, note)

    monkeypatch.setattr(Trainer, "train", noting)
    run = pretrain(from_(first), pairs, tmp_path, device="cpu", progress=False)
    given = MCCGAA.from_pretrained(first).state_dict()
    assert all(torch.equal(value, given[name]) for name, value in begun[0].items())
    moved = shutil.copytree(first, tmp_path / "elsewhere")
    again = pretrain(from_(moved), pairs, tmp_path, device="cpu", progress=False)
    assert again == run and len(begun) == 1, "the same weights: the same run"
    assert run.name != first.name
    second = pretrain(from_(run), pairs, tmp_path, device="cpu", progress=False)
    assert len({first.name, run.name, second.name}) == 3
    metrics = json.loads((second / "metrics.json").read_text())
    assert metrics["start"]["weights"] == Start(run).fingerprint
    assert metrics["start"]["hash"] == run.name.rpartition("-")[2]
    assert metrics["start"]["synthetic"] is True
    assert metrics["start"]["start"]["hash"] == first.name.rpartition("-")[2]


def test_a_start_of_another_configuration_is_refused(first, pairs, tmp_path):
    for part, model in (
        ("encoder", replace(MODEL, encoder=replace(MODEL.encoder, depth=34))),
        ("gafa", replace(MODEL, gafa=replace(MODEL.gafa, graph="none"))),
        ("text", replace(MODEL, text=replace(MODEL.text, hidden=4))),
    ):
        with pytest.raises(RunError, match=f"start from a model of the same {part}"):
            config = replace(from_(first), model=model)
            pretrain(config, pairs, tmp_path, device="cpu", progress=False)
    with pytest.raises(RunError, match="none is no folder"):
        pretrain(from_(Path("none")), pairs, tmp_path, device="cpu", progress=False)


def test_another_loss_takes_what_both_have_and_begins_the_rest(first):
    loss = LossConfig(kind="siglip", learn_tau=True, tau=0.5, uma="dropout")
    torch.manual_seed(9)
    model = MCCGAA(replace(MODEL, loss=loss))
    Start(first).give(model)
    given = MCCGAA.from_pretrained(first).state_dict()
    shared = [n for n in model.state_dict() if n not in ("logit_scale", "bias")]
    assert len(shared) > 20
    assert all(torch.equal(model.state_dict()[name], given[name]) for name in shared)
    assert model.bias.item() == -10 and model.tau.item() == pytest.approx(0.5)


def test_a_start_that_may_have_met_an_unseen_class_is_refused(first, pairs, tmp_path):
    config = from_(first, unseen=("AFIB",))
    with pytest.raises(RunError, match="may have met 'AFIB'"):
        pretrain(config, pairs, tmp_path, device="cpu", progress=False)

    def say(folder: Path, *classes: tuple[str, ...]) -> Path:
        """Let a run, and those that it started from, hold out classes."""
        shutil.copytree(first, folder)
        said = json.loads((first / "metrics.json").read_text())
        runs = [{"texts": {"unseen": {"classes": dict.fromkeys(c)}}} for c in classes]
        for run, below in itertools.pairwise(runs):
            run["start"] = below
        (folder / "metrics.json").write_text(json.dumps(said | runs[0]))
        return folder

    Start(say(tmp_path / "a", ("AFIB", "SR"))).check_unseen(["AFIB"])
    Start(say(tmp_path / "b", ("AFIB",), ("AFIB",))).check_unseen(["AFIB"])
    for name, classes in {"c": [("SR",)], "d": [("AFIB",), ("SR",)]}.items():
        with pytest.raises(RunError, match="may have met 'AFIB'"):
            Start(say(tmp_path / name, *classes)).check_unseen(["AFIB"])
    Start(first).check_unseen([])
    (tmp_path / "a" / "metrics.json").unlink()
    with pytest.raises(RunError, match="may have met 'AFIB'"):
        Start(tmp_path / "a").check_unseen(["AFIB"])
