"""Runs from one start have a mean, with a share of the start; others are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import MODEL, RUN, numbered_pairs, numbered_store

from mccgaa.config import LossConfig
from mccgaa.errors import ConfigError, RunError
from mccgaa.model import MCCGAA
from mccgaa.pretrain import pretrain
from mccgaa.ready import merged
from mccgaa.ready.merged import merge
from mccgaa.settings import dump_yaml, load_yaml

SHORT = replace(RUN, pretrain=replace(RUN.pretrain, epochs=1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model whose loss has other weights, and two runs that started from it."""
    place = tmp_path_factory.mktemp("merged")
    pairs = numbered_pairs(numbered_store(place / "store"))
    loss = LossConfig(kind="siglip", learn_tau=True, tau=0.5, uma="maps")
    begin = replace(SHORT, model=replace(MODEL, loss=loss))
    found = [pretrain(begin, pairs, place, device="cpu", progress=False)]
    for seed in (1, 2):
        settings = replace(SHORT.pretrain, start=str(found[0]), seed=seed, lr=0.1)
        config = replace(SHORT, pretrain=settings)
        found.append(pretrain(config, pairs, place, device="cpu", progress=False))
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return MCCGAA.from_pretrained(folder).state_dict()


def hashes(runs: list[Path]) -> list[str]:
    return [run.name.rpartition("-")[2] for run in runs]


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("count", [1, 2])
def test_the_mean_has_the_parts_that_were_asked_for(runs, count, share):
    start, *ended = runs[: 1 + count]
    found = merge(ended, share)
    begun, ends = weights(start), [weights(run) for run in ended]
    for name, value in found.model.state_dict().items():
        wanted = ends[0][name]
        if value.is_floating_point():
            mean = sum(end[name] for end in ends) / count
            wanted = share * begun.get(name, mean) + (1 - share) * mean
        torch.testing.assert_close(value, wanted)
    name = "encoder.stages.0.0.branch.0.weight"
    assert not torch.allclose(begun[name], ends[0][name], atol=1e-3)
    assert not found.model.training and found.model.config == MODEL
    alone = count == 1 and not share
    said = {"runs": hashes(ended), "start_share": share}
    assert found.metrics.get("merged") == (None if alone else said)
    assert found.metrics["hash"] == (hashes(ended)[0] if alone else None)


def test_what_is_no_choice_of_runs_is_refused(runs):
    for chosen, share in (([], 0.0), (runs[1:], 1.0), (runs[1:], -0.1)):
        with pytest.raises(ConfigError, match="a share from 0 to below 1"):
            merge(chosen, share)
    for chosen, share in ((runs[:1], 0.5), (runs, 0.0)):
        with pytest.raises(RunError, match="did not start from the weights of another"):
            merge(chosen, share)


def test_a_model_that_is_no_run_has_no_share_of_its_start():
    shipped = Path(merged.__file__).parents[1] / "weights" / "mccgaa-plus"
    with pytest.raises(RunError, match=r"mccgaa-plus is a model and no run"):
        merge([shipped], 0.5)


def test_runs_that_differ_in_more_than_their_seed_are_refused(runs, tmp_path):
    """Each beside two that are alike, and as the last of three."""
    for key, value, named in (
        ("start", "other", "start"),
        ("store", "other", "store"),
        ("texts", "other", "texts"),
        ("model.encoder.cam", "none", "model"),
        ("pretrain.epochs", 7, r"pretrain\.epochs"),
        ("pretrain.unseen", ["AFIB"], r"pretrain\.unseen"),
    ):
        folder = shutil.copytree(runs[2], tmp_path / key)
        config = load_yaml(folder / "config.yaml")
        *parts, last = key.split(".")
        inner = config
        for part in parts:
            inner = inner[part]
        inner[last] = value
        config["pretrain"]["seed"] = 3
        dump_yaml(config, folder / "config.yaml")
        for chosen in ([runs[1], folder], [*runs[1:], folder]):
            with pytest.raises(RunError, match=f"{key} is no run like .* in {named}"):
                merge(chosen)
    with pytest.raises(RunError, match="two have the same seed"):
        merge([runs[1], runs[2], runs[1]])


def test_a_start_that_is_no_longer_what_it_was_is_refused(runs, tmp_path, monkeypatch):
    start = shutil.copytree(runs[0], tmp_path / "kept")
    try:
        MCCGAA(MCCGAA.from_pretrained(start).config).save_pretrained(runs[0])
        assert merge(runs[1:]).metrics["merged"]["start_share"] == 0, "needs no start"
        with pytest.raises(RunError, match=r"other weights .* than those that .*back"):
            merge(runs[1:], 0.5)
        shutil.rmtree(runs[0])
        with pytest.raises(RunError, match="is no folder"):
            merge(runs[1:], 0.5)
    finally:
        shutil.copytree(start, runs[0], dirs_exist_ok=True)
