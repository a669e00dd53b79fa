"""The average of the weights is the formula's, is kept, and survives a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toys import RUN, numbered_pairs, numbered_store

from mccgaa.pairs import Pairs
from mccgaa.plus.average import Average, mean_of
from mccgaa.pretrain import Trainer, pretrain

EMA = replace(RUN, pretrain=replace(RUN.pretrain, ema=0.8, epochs=2, snapshots=(1,)))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return numbered_pairs(numbered_store(tmp_path_factory.mktemp("toys") / "store"))


def test_the_average_is_that_of_the_formula():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    average = Average(model, 0.8)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    decays = []
    for step in range(40):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter)
        model(torch.randn(4, 2).double())  # moves the running statistics
        average.update(model, step)
        decay = min(0.8, (1 + step) / (10 + step))
        decays.append(decay)
        for name, value in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                expected[name] = value.clone()
            else:
                expected[name] = decay * expected[name] + (1 - decay) * value
    assert decays[0] == 0.1 and decays[-1] == 0.8
    for name, value in average.model.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_the_mean_of_models_is_that_of_their_weights_and_statistics():
    models = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(3)]
    for number, model in enumerate(models):
        for _ in range(number + 1):
            model(torch.randn(4, 2))
    states = [model.state_dict() for model in models]
    found = mean_of(states, [0.5, 0.3, 0.2])
    for name, value in found.items():
        a, b, c = (state[name] for state in states)
        counter = name.endswith("num_batches_tracked")
        wanted = a if counter else 0.5 * a + 0.3 * b + 0.2 * c
        torch.testing.assert_close(value, wanted)
        assert value.dtype == a.dtype
    for shares in ([0.5, 0.5], [0.5, 0.3, 0.3]):
        with pytest.raises(ValueError, match="3 models cannot have the shares"):
            mean_of(states, shares)


def test_a_run_evaluates_and_keeps_the_average(pairs, tmp_path, monkeypatch):
    """The average is made again from the weights after each step."""
    kept, seen = [], []
    step = Trainer.train_step

    def train_step(self, *given):
        if not kept:
            kept.append({n: v.clone() for n, v in self.model.state_dict().items()})
        step(self, *given)
        decay = min(0.8, self.step / (9 + self.step))
        new = {n: v.clone() for n, v in self.model.state_dict().items()}
        kept.append(
            {
                n: decay * v + (1 - decay) * new[n] if v.is_floating_point() else new[n]
                for n, v in kept[-1].items()
            }
        )

    def held_out(model, batches, precision):
        seen.append({n: v.clone() for n, v in model.state_dict().items()})
        return {}

    monkeypatch.setattr(Trainer, "train_step", train_step)
    monkeypatch.setattr("mccgaa.pretrain.held_out", held_out)
    run = pretrain(EMA, pairs, tmp_path, device="cpu", progress=False)
    assert len(kept) == 11 and len(seen) == 2
    for name, value in load_file(run / "model.safetensors").items():
        torch.testing.assert_close(value, kept[10][name])
        torch.testing.assert_close(value, seen[1][name])
    snapshot = load_file(run / "snapshots" / "epoch-01" / "model.safetensors")
    for name, value in snapshot.items():
        torch.testing.assert_close(value, kept[5][name])


def test_the_best_epoch_keeps_the_average_too(pairs, tmp_path, monkeypatch):
    scores = iter([{"ecg_to_text_r5": 0.9}, {"ecg_to_text_r5": 0.1}])
    monkeypatch.setattr(Trainer, "evaluate", lambda self: next(scores))
    settings = replace(EMA.pretrain, selection="best-retrieval")
    config = replace(EMA, pretrain=settings)
    run = pretrain(config, pairs, tmp_path, device="cpu", progress=False)
    kept, snapshot = (
        (folder / "model.safetensors").read_bytes()
        for folder in (run, run / "snapshots" / "epoch-01")
    )
    assert kept == snapshot


def test_a_run_that_stops_ends_with_the_same_average(pairs, tmp_path, monkeypatch):
    """Stopped behind the checkpoint of step 4, in the middle of an epoch."""
    whole = pretrain(EMA, pairs, tmp_path / "whole", device="cpu", progress=False)
    step = Trainer.train_step

    def train_step(self, *given):
        if self.step == 7:
            raise KeyboardInterrupt
        step(self, *given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "train_step", train_step)
        pretrain(EMA, pairs, tmp_path / "part", device="cpu", progress=False)
    part = pretrain(EMA, pairs, tmp_path / "part", device="cpu", progress=False)
    one, other = ((run / "model.safetensors").read_bytes() for run in (whole, part))
    assert one == other
    plain = replace(EMA, pretrain=replace(EMA.pretrain, ema=0.0))
    last: Path = pretrain(
        plain, pairs, tmp_path / "whole", device="cpu", progress=False
    )
    assert last.name != whole.name
    assert (last / "model.safetensors").read_bytes() != one
    assert (last / "history.csv").read_text().split(",")[:9] == (
        whole / "history.csv"
    ).read_text().split(",")[:9], "the average changes no step"
