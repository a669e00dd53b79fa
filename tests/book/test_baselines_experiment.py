"""The experiment behind Tables 2 and 3: which runs it needs, and what it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, RunError
from mccgaa.model import MCCGAA
from mccgaa.profile import Profile
from mccgaa.settings import load_yaml
from mccgaa_book import experiments, paper, results
from mccgaa_book.baselines import experiment, registry, tables
from mccgaa_book.baselines.experiment import (
    baselines,
    choose,
    missing,
    run_config,
)
from mccgaa_book.baselines.plan import plan_hashes
from mccgaa_book.lab import Lab

PROFILE = """
tier: synthetic
title: a toy
model:
  input: {sampling_rate: 100, transform: bandpass-zscore}
  encoder: {embedding_dim: 16, widths: [8, 8, 8, 8], pool_heads: 2}
  text: {encoder: minilm}
variants:
  bipartite: {model: {gafa: {graph: bipartite}}}
seeds: [0, 1]
stores: {pretrain: {dataset: ptbxl, root: data, out: OUT}}
tasks: {super: pretrain}
baselines: {epochs: 2, batch_size: 16, precision: fp32, seeds: [0, 1]}
"""


@dataclass
class ToyLab:
    """As much of a lab as the experiment asks for."""

    profile: Profile
    packed: SignalStore
    runs: Path
    tier: str = "synthetic"
    overrides: dict = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=lambda: {"bipartite": "MCCGAA"})
    tasks: dict[str, str] = field(default_factory=lambda: {"super": "pretrain"})

    def store(self, name: str = "pretrain") -> SignalStore:
        return self.packed

    def config(self, variant: str | None = None, seed: int = 0):
        return Lab.config(self, variant, seed)

    def run(self, variant: str, seed: int):
        torch.manual_seed(seed)
        folder = self.runs / f"{variant}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text("{}")
        (folder / "history.csv").write_text("step,loss\n0,1.0\n")
        model = MCCGAA(self.config(variant).model).eval()
        return SimpleNamespace(folder=folder, model=model)


def profile(folder: Path, store: Path, **changes: str) -> Profile:
    text = PROFILE.replace("OUT", str(store))
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "toy.yaml").write_text(text)
    return Profile.load(folder / "toy.yaml")


@pytest.fixture
def lab(twin_store: Path, tmp_path: Path) -> ToyLab:
    found = profile(tmp_path, twin_store)
    return ToyLab(found, SignalStore.open(twin_store), tmp_path / "runs")


def test_rows_and_seeds_are_the_plans_unless_they_are_named(lab):
    names, seeds = choose(lab, None, None)
    assert seeds == [0, 1]
    assert names == [n for n in registry.ENTRIES if n != "merl"], "no such variant here"
    assert choose(lab, ["byol"], [1]) == (["byol"], [1])
    assert choose(lab, ["byol", "byol"], [1, 1]) == (["byol"], [1])
    with pytest.raises(ConfigError, match="no baseline 'dino'"):
        choose(lab, ["dino"], None)
    with pytest.raises(ConfigError, match="no variant 'merl'"):
        choose(lab, ["merl"], None)
    with pytest.raises(ConfigError, match=r"no seed 7 for baselines; it has 0, 1"):
        choose(lab, None, [7])


def test_what_is_laid_over_a_profile_reaches_the_runs_or_is_refused(lab):
    lab.overrides = {"baselines": {"epochs": 7, "settings": {"simclr": {"dim": 9}}}}
    made = run_config(lab, "simclr", 0)
    assert made.pretrain.epochs == 7 and made.settings.dim == 9
    assert choose(lab, ["simclr", "mccgaa"], [0]) == (["simclr", "mccgaa"], [0])
    for given, said in (
        ({"pretrain": {"epochs": 2}}, r"^pretrain cannot be set for baselines"),
        ({"model": {"deep": 1}}, "deep"),
        ({"baselines": {"epochs": 0}}, r"baselines\.epochs"),
        ({"baselines": 5}, "baselines must be a mapping of settings, but is 5"),
        ({"baselines": {"settings": {"simclr": {"temprature": 1}}}}, "temprature"),
    ):
        lab.overrides = given
        with pytest.raises(ConfigError, match=said):
            choose(lab, ["simclr"], [0])


def test_a_profile_without_a_plan_is_refused(lab, tmp_path, twin_store):
    text = (tmp_path / "toy.yaml").read_text()
    (tmp_path / "none.yaml").write_text(text[: text.index("baselines:")])
    lab.profile = Profile.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="does not say how long baselines are"):
        choose(lab, None, None)


def test_runs_are_trained_probed_and_then_kept(lab, monkeypatch):
    frame = baselines(lab, ["random", "simsiam", "mccgaa"], [0])
    macro = frame[(frame["class"] == "") & (frame["split"] == "test")]
    assert set(macro["variant"]) == {"random", "simsiam", "mccgaa"}
    assert set(macro["metric"]) == {"auroc_1", "auroc_10", "auroc_100"}
    assert macro["value"].between(0, 100).all() and len(macro) == 9
    assert set(frame["class"]) - {""} <= set(lab.packed.classes("super"))
    own = frame[(frame["variant"] == "simsiam") & (frame["split"] == "train")]
    numbers = own.set_index("metric")["value"]
    assert numbers["steps"] == 2 * (len(lab.packed.indices(split="train")) // 16)
    history = pd.read_csv(next(lab.runs.glob("simsiam-*/history.csv")))
    assert numbers["loss_100"] == pytest.approx(history["loss"].iloc[-1])
    assert numbers["loss_5"] == pytest.approx(history["loss"].iloc[0])
    assert numbers["spread_100"] == pytest.approx(history["spread"].iloc[-1])
    assert "loss_5" not in set(frame.loc[frame["variant"] == "mccgaa", "metric"])
    assert not frame.duplicated(
        ["variant", "seed", "split", "task", "class", "metric"]
    ).any()
    monkeypatch.setattr(
        "mccgaa_book.probed.features", None
    )  # whoever encodes again fails
    again = baselines(lab, ["random", "simsiam", "mccgaa"], [0])
    pd.testing.assert_frame_equal(again, frame)
    kept = next(lab.runs.glob("simsiam-*/probe/*.json"))
    kept.write_text(kept.read_text()[:-3])
    with pytest.raises(
        RunError, match=r"holds no probes that can be .*delete the file"
    ):
        baselines(lab, ["simsiam"], [0])


def test_what_runs_were_trained_with_is_read_from_each_of_them(lab):
    for name in ("random", "simsiam"):
        experiment.trained(lab, name, 0)
    assert experiment.trained_with(lab, ["random"], [0]) == []  # it takes no step
    (said,) = experiment.trained_with(lab, ["random", "simsiam"], [0])
    path = next(lab.runs.glob("simsiam-*/metrics.json"))
    metrics = json.loads(path.read_text(encoding="utf-8"))
    facts = metrics["facts"]
    assert said == f"{facts['device']}, {facts['precision']}"
    metrics["facts"] = facts | {"device": "cuda (A)"}
    path.write_text(json.dumps(metrics), encoding="utf-8")
    said = experiment.trained_with(lab, ["simsiam"], [0])
    path.write_text(json.dumps(metrics | {"facts": facts}), encoding="utf-8")
    assert said == [f"cuda (A), {facts['precision']}"]


def test_what_is_probed_is_the_encoder_before_any_head(lab):
    signals = torch.from_numpy(lab.packed.batch([3, 50]))
    folder, encoder = experiment.trained(lab, "simclr", 0)
    model = registry.load(folder)
    with torch.no_grad():
        known = model.encoder.feature_map(signals).mean(-1)  # (2, 8)
        torch.testing.assert_close(encoder.eval()(signals), known)
    own, all_of_it = (sum(p.numel() for p in m.parameters()) for m in (encoder, model))
    assert own < all_of_it
    _, encoder = experiment.trained(lab, "mccgaa", 1)
    torch.manual_seed(1)
    whole = MCCGAA(lab.config("bipartite").model).eval()
    with torch.no_grad():
        known = whole.encoder.feature_map(signals).mean((2, 3))
        torch.testing.assert_close(encoder.eval()(signals), known)
    encoder(signals).sum().backward()  # reaches what has a part in what is probed
    reached = [p for p in encoder.parameters() if p.grad is not None]
    counted = sum(p.numel() for p in encoder.encoder.parameters())
    assert counted == sum(p.numel() for p in reached)


def test_a_dry_run_names_what_is_missing_and_trains_nothing(lab):
    experiment.trained(lab, "random", 0)
    said = missing(lab, ["random", "simsiam", "mccgaa"], [0])
    assert said[0] == "random: all there"
    assert said[1].startswith("simsiam: seeds 0 are missing, about ")
    assert said[2] == "mccgaa: the profile's runs of bipartite"
    assert said[3].startswith("Training what is missing: about ")
    assert not list(lab.runs.glob("simsiam-*"))
    assert missing(lab, ["random"], [0, 1])[0] == "random: seeds 1 are missing"


def test_a_rows_hash_changes_with_what_decides_its_numbers(tmp_path, twin_store):
    first = plan_hashes(profile(tmp_path, twin_store))
    assert list(first) == registry.trained_here()
    for old, new in {
        "epochs: 2,": "epochs: 3,",
        "batch_size: 16": "batch_size: 8",
    }.items():
        now = plan_hashes(profile(tmp_path, twin_store, **{old: new}))
        assert all(now[name] != first[name] for name in first)
    own = {"seeds: [0, 1]}": "seeds: [0, 1], settings: {byol: {decay: 0.5}}}"}
    now = plan_hashes(profile(tmp_path, twin_store, **own))
    assert [name for name in first if now[name] != first[name]] == ["byol"]
    over = {"baselines": {"settings": {"byol": {"decay": 0.5}}}}
    assert plan_hashes(profile(tmp_path, twin_store), over) == now
    fewer = {"seeds: [0, 1]}": "seeds: [0]}"}
    assert plan_hashes(profile(tmp_path, twin_store, **fewer)) == first


def plan_for(project: Path, **plan) -> Lab:
    path = project / "params" / "small.yaml"
    text = yaml.safe_dump(load_yaml(path) | {"baselines": plan})
    path.write_text(text, encoding="utf-8")
    return Lab("small")


def test_results_are_those_of_the_plan_and_say_so(project, capsys):
    """By `mccgaa run baselines`, of a lab as it is."""
    plan = {"epochs": 1, "batch_size": 16, "seeds": [0]}
    lab = plan_for(project, **plan)
    assert experiments.run(["baselines"], lab, variants=["byol"], dry_run=True) == []
    said = capsys.readouterr().out
    assert said.startswith("byol: seeds 0 are missing, about ")
    (path,) = experiments.run(["baselines"], lab, variants=["random"])
    assert path == project / "reruns" / "small" / "baselines.csv"
    stamp = results.stamp_of(path)
    assert stamp["plan"] == {"random": plan_hashes(lab.profile)["random"]}
    assert stamp["command"].startswith("mccgaa run baselines --profile small")
    assert lab.outdated(path) is None
    assert set(lab.results("baselines").frame["variant"]) == {"random"}
    other = plan_for(project, **plan | {"epochs": 2})
    assert "other settings of random than" in other.outdated(path)
    assert other.hashes("baselines") == lab.hashes("baselines"), (
        "the profile is as it was"
    )
    capsys.readouterr()
    experiments.run(["baselines"], other, variants=["simsiam"])
    assert set(other.results("baselines").frame["variant"]) == {"simsiam"}
    assert capsys.readouterr().err.endswith("it has now: its rows are replaced.\n")
    experiments.run(["baselines"], other, variants=["random"])
    assert results.stamp_of(path)["plan"].keys() == {"simsiam", "random"}
    over = {"baselines": {"settings": {"simsiam": {"narrow": 2}}}}
    Lab("small", over)
    experiments.run(["baselines"], Lab("small", over), variants=["simsiam"])
    command = results.stamp_of(path)["command"]
    assert command.endswith("--seeds 0 --set baselines.settings.simsiam.narrow=2")
    assert "baselines" not in experiments.expand(["all"], lab)


def macro(variant: str, value: float, metric: str, seed: int = 0, task: str = "csn"):
    row = {"variant": variant, "seed": str(seed), "split": "test", "task": task}
    return row | {"class": "", "metric": metric, "value": value}


def test_table_3_has_our_means_beside_the_printed_numbers():
    rows = [
        macro(name, value + seed, f"auroc_{share}", seed)
        for name, value in (("mccgaa", 80.0), ("simclr", 60.0))
        for share in (1, 10, 100)
        for seed in (0, 2)
    ]
    rows.append(macro("simclr", 5.0, "auroc_1", task="super"))
    table = tables.table3(pd.DataFrame(rows), "csn")
    assert list(table.index) == ["SimCLR", "MCCGAA"], "the paper's order"
    row = table.loc["SimCLR"]
    assert row["1 %"] == 61 and row["1 % SD"] == pytest.approx(2**0.5)
    assert row["1 %, paper"] == paper.table(3).loc["SimCLR", "Chapman 1%"] == 59.02
    assert row["100 %, paper"] == 73.20
    alone = pd.DataFrame([row for row in rows if row["seed"] == "0"])
    assert [n for n in table if "SD" not in n] == list(tables.table3(alone, "csn"))


def test_table_2_probes_what_reads_no_text_and_asks_the_others_without_a_probe():
    frame = pd.DataFrame(
        [macro("simclr", 60.0, "auroc_1"), macro("mccgaa", 99.0, "auroc_1")]
    )
    zeroshot = {"mccgaa": pd.DataFrame([macro("bipartite", 70.0, "auroc")])}
    table = tables.table2(frame, zeroshot)
    assert list(table.columns) == ["zero-shot", "csn", "csn, paper"]
    assert table.loc["SimCLR"].tolist() == ["no", 60.0, 59.02]
    assert table.loc["MCCGAA"].tolist()[:2] == ["yes", 70.0]
    assert np.isnan(tables.table2(frame).loc["MCCGAA", "csn"])


def test_the_mean_of_tasks_of_single_seeds_has_no_deviations():
    rows = [
        macro(name, value, f"auroc_{share}", task=task)
        for task, value in (("csn", 60.0), ("form", 70.0))
        for name in ("simclr", "mccgaa")
        for share in (1, 10, 100)
    ]
    table = tables.mean_of_tasks(pd.DataFrame(rows), ["csn", "form"])
    assert not [name for name in table if "SD" in name]
    assert table["10 %"].tolist() == [65, 65]
    printed = paper.table(3).loc["SimCLR", ["Chapman 1%", "PTBXL-Form 1%"]]
    assert table.loc["SimCLR", "1 %, paper"] == pytest.approx(printed.mean())


def test_means_come_last_ours_before_the_printed_one():
    frame = pd.DataFrame(
        [macro("simclr", v, "auroc_1", task=t) for t, v in (("csn", 60), ("sub", 71))]
    )
    wide = tables.table2(frame)
    short = tables.means_last(wide)
    tasks = [t for t in paper.TASKS.values() if t in ("csn", "sub")]
    assert list(short) == ["zero-shot", *tasks, "mean", "mean, paper"]
    assert short.loc["SimCLR", "mean"] == 65.5
    both = [wide.loc["SimCLR", f"{t}, paper"] for t in tasks]
    assert short.loc["SimCLR", "mean, paper"] == pytest.approx(sum(both) / 2)


def test_the_mean_over_tasks_has_the_deviation_of_the_mean_and_counts_seeds():
    values = {("simclr", 0): (60, 80), ("simclr", 1): (64, 84), ("mccgaa", 0): (70, 90)}
    rows = [
        macro(name, value, f"auroc_{share}", seed, task)
        for (name, seed), both in values.items()
        for task, value in zip(("csn", "super"), both, strict=True)
        for share in (1, 10, 100)
    ]
    frame = pd.DataFrame(rows)
    found = tables.mean_of_tasks(frame, ["csn", "super"])
    assert found["100 %"].to_dict() == {"SimCLR": 72, "MCCGAA": 80}
    assert found["1 % SD"]["SimCLR"] == pytest.approx(8**0.5)  # of 70 and 74
    assert np.isnan(found["1 % SD"]["MCCGAA"])
    assert found["seeds"].to_dict() == {"SimCLR": 2, "MCCGAA": 1}
    assert tables.seeds_of(frame) == "1 to 2"
    assert tables.seeds_of(frame[frame["seed"] == "0"]) == "1"
    one = tables.mean_of_tasks(frame, ["csn"])
    assert one["10 %"]["SimCLR"] == 62
    assert one["10 % SD"]["SimCLR"] == pytest.approx(8**0.5)


def test_classes_without_a_positive_and_tasks_that_tell_no_rows_apart_are_named():
    rows = [
        macro(name, value, "auroc_1", task=task)
        for name in ("simclr", "mccgaa")
        for task, value in (("csn", 50.0), ("super", 60.0 + len(name)))
    ]
    rows[-1]["value"] = 61.0
    cells = [macro("simclr", value, "auroc_1") for value in (50.0, 71.0, 50.0, 49.0)]
    frame = pd.DataFrame(rows + [one | {"class": "AFIB"} for one in cells])
    assert tables.flat(frame) == ["csn"]
    assert tables.undecided(frame) == 0.5


def test_a_method_that_the_paper_lacks_has_no_printed_numbers(monkeypatch):
    own = registry.Entry("Own", "no paper", "simclr:SimCLR")
    monkeypatch.setitem(registry.ENTRIES, "own", own)
    one = {"split": "test", "task": "super", "class": "", "seed": "0"}
    metrics = [f"auroc_{share}" for share in (1, 10, 100)]
    frame = pd.DataFrame(
        [
            one | {"variant": name, "metric": metric, "value": 60.0}
            for name in ("own", "simclr")
            for metric in metrics
        ]
    )
    second, third = tables.table2(frame), tables.table3(frame, "super")
    for table, share in ((second, "super"), (third, "1 %")):
        assert table.loc["Own", share] == 60
        assert pd.isna(table.loc["Own", f"{share}, paper"])
        assert table.loc["SimCLR", f"{share}, paper"] > 0
    assert tables.mean_of_tasks(frame, ["super"]).loc["Own", "100 %"] == 60


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", None),
        ("metrics.json", "{}"),
        ("metrics.json", "seconds"),
        ("metrics.json", "[]"),
        ("metrics.json", '{"seconds": null, "steps": 2}'),
        ("history.csv", "loss,spread\n2.0,1.0\n,\n"),
        ("history.csv", None),
        ("history.csv", "a\n"),
        ("history.csv", "loss,spread\n1.0,1.0\n"),
    ],
)
def test_a_run_whose_files_are_damaged_is_refused_with_what_to_do(
    name, content, tmp_path
):
    (tmp_path / "metrics.json").write_text('{"seconds": 1.0, "steps": 2}')
    (tmp_path / "history.csv").write_text("loss,spread\n2.0,1.0\n1.0,1.0\n")
    assert experiment.training(tmp_path, "simclr")["loss_100"] == 1
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=r"(whole run|can be read) \(.*delete the fold"):
        experiment.training(tmp_path, "simclr")


def test_a_batch_larger_than_the_training_split_is_refused(lab):
    lab.overrides = {"baselines": {"batch_size": 10_000}}
    said = (
        r"training records, fewer than one batch of 10000: lower baselines\.batch_size"
    )
    with pytest.raises(RunError, match=said):
        missing(lab, ["simclr"], [0])
    with pytest.raises(RunError, match=said):
        experiment.trained(lab, "simclr", 0)
