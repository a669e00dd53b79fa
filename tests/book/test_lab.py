"""A lab loads what is there and makes what is not, and says what its ECGs are."""

from __future__ import annotations

import json
import math
import shutil
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from fake_device import fake_gpu

from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, StoreError
from mccgaa.metrics import TaskResult
from mccgaa.settings import dump_yaml, load_yaml
from mccgaa.zeroshot import load_model, zero_shot
from mccgaa_book import (
    averaged,
    compare,
    experiments,
    plan,
    results,
    scored,
    strict,
    supervised,
)
from mccgaa_book.lab import Lab

PARAMS = Path(__file__).resolve().parents[2] / "params"


def edit(root: Path, **changes) -> None:
    path = root / "params" / "small.yaml"
    path.write_text(yaml.safe_dump(load_yaml(path) | changes), encoding="utf-8")


def pretend_real(root: Path, *stores: str) -> None:
    """Write into stores that their records are real."""
    for store in stores:
        path = root / "stores" / store / "store.json"
        meta = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(meta | {"synthetic": False}), encoding="utf-8")


def test_a_store_that_the_profile_lacks_is_refused():
    with pytest.raises(ConfigError, match="no store 'mine'"):
        Lab(PARAMS / "smoke.yaml").store("mine")


def test_a_notebook_opened_in_its_own_folder_works_from_the_root(tmp_path, monkeypatch):
    """As Jupyter and Binder start it: profiles name data and runs from the root."""
    (tmp_path / "_toc.yml").touch()
    shutil.copytree(PARAMS, tmp_path / "params")
    own = tmp_path / "book" / "notebooks"
    own.mkdir(parents=True)
    monkeypatch.chdir(own)
    assert Lab("params/synthetic.yaml").profile.name == "synthetic"
    assert Path.cwd() == tmp_path
    monkeypatch.chdir(own)
    with pytest.raises(ConfigError, match="cannot be read"):
        Lab("params/nowhere.yaml")
    assert Path.cwd() == own


def test_a_profile_that_passes_simulated_ecgs_for_real_is_refused(project):
    edit(project, tier="real", twin=None)  # the stores remember what they hold
    with pytest.raises(ConfigError, match=r"tier: real, but the ECGs.*are synthetic"):
        Lab("small").synthetic  # noqa: B018


def test_a_profile_that_passes_real_ecgs_for_simulated_is_refused(project):
    pretend_real(project, "pretrain", "ptbxl")
    with pytest.raises(ConfigError, match=r"tier: synthetic, but the ECGs.*are real"):
        Lab("small").synthetic  # noqa: B018
    edit(project, tier="real")  # even with a key `twin` the stores decide
    assert Lab("small").synthetic is False


def test_stores_of_both_kinds_are_mixed_and_a_profile_without_any_is_refused(project):
    pretend_real(project, "ptbxl")
    lab = Lab("small")
    assert lab.synthetic == "mixed"
    assert (lab.data_kind("pretrain"), lab.data_kind("ptbxl")) == ("synthetic", "real")
    edit(project, stores={}, tasks={})
    with pytest.raises(ConfigError, match="has no store"):
        Lab("small").synthetic  # noqa: B018


def test_results_are_made_once_into_the_users_folder_and_compared(project):
    found = Lab("small").results("zeroshot")
    assert found.path == project / "reruns" / "small" / "zeroshot.csv"
    assert found.synthetic is True and found.stamp["profile"] == "small"
    assert found.stamp["data"]["small/ptbxl"]["synthetic"] is True
    macro = found.frame.query("metric == 'auroc' and `class` == '' and split == 'test'")
    assert macro[["variant", "seed", "task"]].to_numpy().tolist() == [
        ["bipartite", "0", "super"]
    ]
    low, value, high = macro[["low", "value", "high"]].iloc[0]
    assert 0 <= low <= value <= high <= 100
    of_classes = found.frame.query("metric == 'auroc' and `class` != ''")
    tested = of_classes[of_classes["split"] == "test"]["value"]
    assert tested.mean() == pytest.approx(value, abs=1e-3)
    before = {p: p.stat().st_mtime_ns for p in project.rglob("*")}
    assert Lab("small").results("zeroshot").frame.equals(found.frame)
    assert before == {p: p.stat().st_mtime_ns for p in project.rglob("*")}

    # published ones are preferred, but only those of these settings and this method
    shutil.copytree(found.path.parent, project / "results" / "small")
    published = project / "results" / "small" / "zeroshot.csv"
    assert Lab("small").results("zeroshot").path == published
    assert "bipartite" in compare.compare("small")
    stamp = json.loads(published.with_suffix(".json").read_text(encoding="utf-8"))
    for key in ("method", "profile_hash"):
        other = stamp | {key: 0}
        published.with_suffix(".json").write_text(json.dumps(other), encoding="utf-8")
        assert Lab("small").results("zeroshot").path == found.path

    # another run's rows join those that are there
    experiments.run(["zeroshot"], Lab("small"), variants=["merl"])
    assert set(Lab("small").results("zeroshot").frame["variant"]) == {
        "bipartite",
        "merl",
        "",
    }


def test_pretraining_and_transfer_are_told_in_numbers(project):
    lab = Lab("small")
    pretraining = lab.results("pretraining").frame
    numbers = pretraining.set_index(["split", "metric"])["value"]
    assert numbers["val", "loss_floor"] < numbers["val", "final_loss"]
    assert numbers["train", "weights"] > 0 and numbers["train", "seconds"] >= 0
    assert 0 <= numbers["val", "fused_ecg_to_text_r5"] <= 1
    transfer = lab.results("transfer").frame
    assert set(transfer["split"]) == {"all", "test"}
    assert set(transfer["trained_on"]) == set(transfer["tested_on"]) == {"synthetic"}


def test_a_run_that_started_from_simulated_ecgs_says_so(project, monkeypatch):
    """Of a twin's model that goes on to real ECGs, and is tested on real ones."""
    first = load_yaml(project / "params" / "small.yaml")
    first["stores"]["ptbxl"]["out"] = "stores/simulated"  # stays what it is
    dump_yaml(first, project / "params" / "first.yaml")
    pretend_real(project, "ptbxl")
    profile = load_yaml(project / "params" / "small.yaml")
    profile["stores"] = {n: profile["stores"]["ptbxl"] for n in ("pretrain", "ptbxl")}
    profile["variants"] = {
        "alone": {"model": profile["variants"]["bipartite"]["model"]}
    }
    profile["variants"]["started"] = profile["variants"]["alone"] | {
        "start": "params/first.yaml:bipartite"
    }
    profile["pretrain"] |= {"text": "knowledge"}
    profile |= {"tier": "real", "twin": None, "transfer": None, "reproduce": {}}
    edit(project, **profile)
    lab = Lab("small")
    assert lab.trained_on("alone") == "real"
    assert lab.trained_on("started") == "synthetic then real"
    longer = Lab("small", {"pretrain": {"epochs": 2}})  # the run it starts from is not
    assert not longer.finished("started", 0)
    assert longer.run("started").folder == longer.folder("started", 0)
    frame = scored.climb(lab, ["alone", "started"], [0])
    said = dict(zip(frame["variant"], frame["trained_on"], strict=True))
    assert said == {"alone": "real", "started": "synthetic then real"}
    path = experiments.make(lab, "climb", ["alone"], [0])
    assert results.stamp_of(path)["synthetic"] is False
    top = experiments.EXPERIMENTS["ceiling"](lab, ["alone", "started"], [0])
    assert top["metric"].tolist() == ["auroc_supervised"] * 2
    assert top["variant"].tolist() == ["alone", "started"] and top["task"][0] == "super"
    assert top["value"][0] != top["value"][1], "they start from other weights"
    assert top["trained_on"].tolist() == list(said.values())
    with pytest.raises(ConfigError, match="alone starts from no model's weights"):
        averaged.averaged(lab, ["alone"], [0])
    own_starts = averaged.averaged(lab, ["started"], [0, 1])
    assert set(own_starts["seed"]) == {"0", "1"}, "their mean would be no model"
    start = lab.earlier_run("started").folder
    profile["variants"]["tuned"] = profile["variants"]["alone"] | {
        "pretrain": {"start": str(start), "lr": 0.01}
    }
    profile["variants"]["fast"] = profile["variants"]["alone"] | {
        "pretrain": {"lr": 0.01}
    }
    ways = ["single", "members-mean"]
    edit(project, **profile | {"prompts": ways, "transfer": "params/first.yaml"})
    lab = Lab("small")
    assert lab.run("tuned").folder == lab.folder("tuned", 0) and lab.started
    path = experiments.make(lab, "averaged", ["tuned"], [0, 1])
    assert results.stamp_of(path)["synthetic"] == "mixed"
    between = results.load("averaged", "small", path.parent).frame
    begun = between["variant"] == "tuned 1"
    assert set(between[begun]["trained_on"]) == {"synthetic"}
    assert set(between[~begun]["trained_on"]) == {"synthetic then real"}
    keys = ["variant", "seed", "split", "tested_on", "metric"]
    cells = between.set_index(keys)["value"]
    shares, splits = ("0", "0.25", "0.5", "0.75"), {"test": ("0", "0.5")}
    made = {("tuned 1", "", "val")}
    for split, some in ({"val": shares} | splits).items():
        made |= {(f"tuned {s}", seed, split) for s in some for seed in ("0", "1")}
        made |= {(f"tuned {s} merged", "", split) for s in some}
    kinds, metrics = ("synthetic", "real"), ("auroc", "auroc_members-mean")
    assert set(cells.index) == {
        (*m, k, way) for m in made for k in kinds for way in metrics
    }
    for (kind, on), (metric, way) in product(
        zip(kinds, (lab.other, lab), strict=True), zip(metrics, ways, strict=True)
    ):
        (usual,) = lab.zero_shot(
            "tuned", 1, split="val", bootstrap=0, on=on, prompts=way
        ).values()
        value = cells["tuned 0", "1", "val", kind, metric]
        assert value == pytest.approx(100 * usual.macro_auroc, abs=1e-3)
    model = load_model(start, "cpu")
    (_, at_start) = next(
        lab.score(model, ["super"], lab.knowledge, "single", split="val")
    )
    value = cells["tuned 1", "", "val", "real", "auroc"]
    assert value == pytest.approx(100 * at_start.macro_auroc, abs=1e-3)
    alone = averaged.averaged(lab, ["tuned"], [0])
    assert set(alone["seed"]) == {"0"}, "of one run there is no mean"
    folders = [start, *(lab.run("tuned", seed).folder for seed in (0, 1))]
    began, *ends = (load_model(folder, "cpu").state_dict() for folder in folders)
    for name, ended in (
        (("tuned 0.5", "0"), ends[0]),
        (("tuned 0.5 merged", ""), {n: (ends[0][n] + ends[1][n]) / 2 for n in began}),
    ):
        half = {n: (began[n] + ended[n]) / 2 for n in began}
        model.load_state_dict({n: v.to(began[n].dtype) for n, v in half.items()})
        (found,) = zero_shot(
            model, lab.store("ptbxl"), ["super"], lab.knowledge, bootstrap=0
        ).values()
        value = cells[(*name, "test", "real", "auroc")]
        assert value == pytest.approx(100 * found.macro_auroc, abs=0.5)
    rows = ["tuned", "fast"]
    assert "missing tuned 0 (" in plan.plan(lab, {"ceiling": (rows, [0])})
    top = experiments.EXPERIMENTS["ceiling"](lab, rows, [0])
    assert set(top["trained_on"]) == {"synthetic then real", "real"}
    assert top["value"][0] != top["value"][1], "they start from other weights"
    assert "nothing to train" in plan.plan(lab, {"ceiling": (rows, [0])})
    assert "missing tuned 1" in plan.plan(lab, {"ceiling": (rows, [1])})
    places = {supervised.place(lab, row, 0) for row in rows}
    assert len(places) == 2 and all(one.parent.parent == lab.runs for one in places)
    with monkeypatch.context() as never:
        never.delattr(supervised, "train")  # what is kept is not trained again
        again = experiments.EXPERIMENTS["ceiling"](lab, rows, [0])
    pd.testing.assert_frame_equal(again, top)
    edit(project, **profile | {"transfer": None})
    lab = Lab("small")
    scored_classes = [("super", c) for c in lab.zero_shot("alone")["super"].classes]
    monkeypatch.setattr(strict, "groups", lambda lab: [scored_classes])
    monkeypatch.setattr(strict, "without", lambda lab, classes: lab)  # no more runs
    for name in ("zeroshot", "pretraining", "unseen", "ceiling"):
        for variants in (["alone"], ["started"]):  # the second adds to the first
            path = experiments.make(lab, name, variants, [0])
            synthetic = "mixed" if "started" in variants else False
            assert results.stamp_of(path)["synthetic"] == synthetic, name
        rows = results.load(name, "small", path.parent).frame
        assert set(rows["tested_on"]) == {"real"}, name
        of_run = rows[rows["variant"] != ""].groupby("variant")["trained_on"]
        assert of_run.unique().map(list).to_dict() == {v: [k] for v, k in said.items()}
    for variants in (["alone", "started"], ["alone"]):  # the second adds to the first
        path = experiments.make(lab, "climb", variants, [0])
        assert results.stamp_of(path)["synthetic"] == "mixed"


def test_each_class_is_tested_by_a_run_that_never_met_it(project, monkeypatch):
    monkeypatch.setattr(strict, "GROUPS", 3)  # as many more runs
    pretrain = load_yaml(project / "params" / "small.yaml")["pretrain"]
    tasks = {"form": "ptbxl", "rhythm": "ptbxl", "super": "ptbxl"}
    edit(project, tasks=tasks, pretrain=pretrain | {"batch_size": 2})
    lab = Lab("small")
    groups = strict.groups(lab)
    classes = [c for group in groups for c in group]
    every = {(t, c) for t in lab.tasks for c in lab.store("ptbxl").classes(t)}
    families = {("super", c) for c in ("MI", "STTC", "CD")}
    assert set(classes) == every - families and len(classes) == len(set(classes))
    assert strict.groups(lab) == groups  # of every run
    sizes = [len({lab.knowledge.entry(*c).name for c in group}) for group in groups]
    assert max(sizes) - min(sizes) <= 1
    seeds = [0, 1, 5]  # the last has the group of 5 % 3
    monkeypatch.setattr(lab, "seeds", seeds)
    assert "bipartite 0 1 5" in plan.plan(lab, {"unseen": (["bipartite"], seeds)})
    frame = strict.unseen(lab, ["bipartite"], seeds)
    assert "nothing to train" in plan.plan(lab, {"unseen": (["bipartite"], seeds)})
    assert not lab.finished("bipartite", 1), "the usual run is not needed"
    of_class = frame["metric"] == "auroc_unseen"
    both = frame[of_class].set_index(["task", "class"])["value"]
    assert set(both.index) <= set(classes) and len(both) >= 3
    seed_of = frame[of_class].groupby(["task", "class"])["seed"].unique()
    left = frame[~of_class].set_index("seed")["value"]
    total = len(lab.store("pretrain").indices(split="train"))
    for seed, group in zip(seeds, groups, strict=True):
        held_out = strict.without(lab, group)
        pairs = held_out.run("bipartite", seed).metrics["pairs"]
        assert left[str(seed)] == pairs["train"] < total
        facts = held_out.run("bipartite", seed).metrics["texts"]["unseen"]
        assert set(facts["classes"]) == {f"{task}/{cls}" for task, cls in group}
        strict_ = held_out.zero_shot("bipartite", seed, bootstrap=0)
        found = [c for c in group if c in both.index]
        assert all(list(seed_of[c]) == [str(seed)] for c in found)
        for task, cls in [c for c in group if c in both.index]:
            assert both[task, cls] == 100 * strict_[task].classes[cls]["auroc"]


def test_what_cannot_be_run_is_refused_and_a_dry_run_makes_nothing(project, capsys):
    with pytest.raises(
        ConfigError, match="no experiment 'zeroshoot'; there are table1"
    ):
        experiments.run(["zeroshoot"], Lab("small"))
    with pytest.raises(ConfigError, match="no variant 'best'"):
        experiments.run(["zeroshot"], Lab("small"), variants=["best"])
    with pytest.raises(ConfigError, match="no seed 7; it has 0, 1"):
        experiments.run(["zeroshot"], Lab("small"), seeds=[7])
    with pytest.raises(ConfigError, match="--publish without"):
        experiments.run(
            ["zeroshot"], Lab("small"), variants=["bipartite"], publish=True
        )
    assert experiments.run(["zeroshot"], Lab("small"), dry_run=True) == []
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "zeroshot: 1 run, missing bipartite 0"
    assert said[1] == "To train: 1 run whose time is not known yet."
    assert not (project / "runs").exists() and not (project / "reruns").exists()


def test_a_dry_run_refuses_what_the_run_would_and_says_which_records_it_lacks(
    project, capsys
):
    no_labels = "no task is tested on the records of the store pretrain"
    for name, said in (
        ("averaged", "bipartite starts from no model's weights"),
        ("ceiling", no_labels),
    ):
        with pytest.raises(ConfigError, match=said):
            experiments.run([name], Lab("small"), dry_run=True)
    shutil.rmtree(project / "stores")  # nothing is packed yet
    with pytest.raises(ConfigError, match=no_labels):
        experiments.run(["ceiling"], Lab("small"), dry_run=True)
    stores = load_yaml(project / "params" / "small.yaml")["stores"]
    real = {"dataset": "ptbxl", "root": "real/ptbxl", "out": "stores/real"}
    edit(project, stores=stores | {"pretrain": real, "ptbxl": real})
    experiments.run(["ceiling"], Lab("small"), dry_run=True)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("There is no real/ptbxl, whose records")
    assert said[0].endswith("fetch them: mccgaa download ptbxl --root real/ptbxl.")
    assert len(said) == 3 and said[1].startswith("ceiling: 1 run, missing")
    with pytest.raises(StoreError, match="There is no real/ptbxl, whose records"):
        experiments.run(["ceiling"], Lab("small"))
    assert not (project / "runs").exists() and not (project / "reruns").exists()


@pytest.mark.parametrize(
    ("finished", "took", "said"),
    [
        ([], [60, 30], "To train: about 3 min."),
        ([], [math.nan] * 2, "To train: 4 runs whose time is not known yet."),
        (
            ["b 1"],
            [60, math.nan],
            "To train: about 2 min, and 1 run whose time is not known yet.",
        ),
        (["a 0", "a 1", "b 0", "b 1"], [], "To train: about 0 s."),
    ],
)
def test_a_plan_says_how_long_it_takes_as_far_as_that_is_known(
    monkeypatch, finished, took, said
):
    lab = SimpleNamespace(profile=SimpleNamespace(name="p"), hash="h")
    lab.at = lambda variant: (lab, variant)
    lab.finished = lambda variant, seed: f"{variant} {seed}" in finished
    times = iter(took)
    monkeypatch.setattr(plan, "seconds", lambda *_: next(times))
    lines = plan.plan(lab, {"zeroshot": (["a", "b"], [0, 1])}).splitlines()
    assert lines[0].startswith("zeroshot: 4 runs, ") and lines[1] == said


def test_a_run_without_a_group_and_a_ceiling_are_planned_beside_the_usual_run(
    monkeypatch,
):
    lab = SimpleNamespace(profile=SimpleNamespace(name="p"), hash="h", packed=True)
    lab.at, lab.finished = lambda variant: (lab, variant), lambda *_: False
    held_out = SimpleNamespace(**vars(lab) | {"hash": "other"})
    monkeypatch.setattr(strict, "group_of", lambda lab, seed: [])
    monkeypatch.setattr(strict, "without", lambda lab, classes: held_out)
    monkeypatch.setattr(supervised, "finished", lambda *_: False)
    monkeypatch.setattr(plan, "seconds", lambda *_: 60)
    wanted = {name: (["a"], [0]) for name in ("zeroshot", "unseen", "ceiling")}
    *lines, total = plan.plan(lab, wanted).splitlines()
    assert lines == [f"{name}: 1 run, missing a 0 (60 s each)" for name in wanted]
    assert total == "To train: about 3 min."


def test_a_plan_of_runs_without_a_group_makes_no_store(project, capsys):
    shutil.rmtree("stores")
    experiments.run(["unseen"], Lab("small"), dry_run=True)
    assert "missing bipartite 0" in capsys.readouterr().out
    assert not Path("stores").exists()


def test_a_plan_shows_the_runs_that_it_looks_at_until_it_is_made(monkeypatch, capsys):
    lab = SimpleNamespace(profile=SimpleNamespace(name="p"), hash="h")
    lab.at, lab.finished = lambda variant: (lab, variant), lambda *_: True
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(plan.files, "bar", partial(plan.files.bar, mininterval=0))
    plan.plan(lab, {"table4": (["a", "b"], [0, 1]), "table6": (["a", "c"], [0])})
    out, shown = capsys.readouterr()
    for looked in range(7):  # the last of all, too, which was planned before
        assert f"| {looked}/6 [" in shown
    assert not out and not shown.rpartition("\r")[0].rpartition("\r")[2].strip()
    assert shown.endswith("\r")


def test_a_run_that_its_store_does_not_fit_has_no_folder(project):
    lab = Lab("small", {"model": {"input": {"sampling_rate": 50}}})
    for ask in (lab.folder, lab.run):
        with pytest.raises(StoreError, match=r"has sampling_rate 100, but .* 50"):
            ask("bipartite", 0)
    assert not lab.runs.exists()


def test_overridden_settings_never_pass_for_the_profiles_own(project):
    longer = {"pretrain": {"epochs": 3}}
    assert Lab("small").hash == Lab("small").profile.hash
    assert Lab("small", longer).hash != Lab("small").hash
    stamp = experiments._stamp(Lab("small", longer), "zeroshot", ["bipartite"], [0], 1)
    assert stamp["profile_hash"] == Lab("small", longer).hash
    assert "'epochs': 3" in stamp["note"]
    assert stamp["command"].endswith(" bipartite --seeds 0 --set pretrain.epochs=3")


def test_what_is_kept_of_a_run_is_of_these_records_and_of_this_way_to_score_them(
    project, monkeypatch
):
    asked = []

    def zero_shot(model, store, tasks, knowledge, **options):
        asked.append((model, store.meta["fingerprint"], options))
        none = (math.nan, math.nan)
        return {task: TaskResult(len(asked), none, 1, {}) for task in tasks}

    def run(variant, seed):
        name = f"{variant} {seed}"
        return SimpleNamespace(folder=project / "runs" / name, model=name)

    monkeypatch.setattr("mccgaa_book.lab.zero_shot", zero_shot)
    lab, other = Lab("small"), Lab("small")
    monkeypatch.setattr(lab, "run", run)
    store = other.store("ptbxl")
    meta = store.meta | {"fingerprint": "other"}
    other._stores["ptbxl"] = SignalStore(store.path, meta)
    ways = [
        {},
        {"seed": 1},
        {"variant": "merl"},
        {"split": "val"},
        {"split": None},
        {"fused": True},
        {"bootstrap": 10},
        {"prompts": "members"},
        {"prompts": "members-mean"},
        {"on": other},
    ]
    for _ in range(2):  # asked once, and then read
        for number, way in enumerate(ways, 1):
            found = lab.zero_shot(**({"variant": "bipartite"} | way))
            assert found["super"].macro_auroc == number, way
    assert len(asked) == len(ways)
    assert asked[1][0] == "bipartite 1" and asked[2][0] == "merl 0"
    assert [fingerprint for _, fingerprint, _ in asked].count("other") == 1
    assert asked[8][2]["prompts"] == "members" and asked[8][2]["reduction"] == "mean"
    lab.knowledge.fingerprint = "another base"
    assert lab.zero_shot("bipartite")["super"].macro_auroc == len(ways) + 1


def test_a_stores_records_are_embedded_once_for_all_of_its_tasks(monkeypatch):
    asked = []

    def zero_shot(model, store, tasks, knowledge, **options):
        asked.append((model, store, tasks, knowledge, options))
        return {task: f"{store} {task}" for task in tasks}

    monkeypatch.setattr("mccgaa_book.lab.zero_shot", zero_shot)
    where = {"super": ("ptbxl", "super"), "own": ("csn", "rhythm")}
    where["rhythm"] = ("ptbxl", "rhythm")
    lab = SimpleNamespace(profile=SimpleNamespace(tested_on=where.get), store=str.upper)
    found = Lab.score(lab, "model", list(where), "base", "members-mean", split="val")
    assert list(found) == [
        ("super", "PTBXL super"),
        ("rhythm", "PTBXL rhythm"),
        ("own", "CSN rhythm"),
    ]
    how = {"split": "val", "prompts": "members", "reduction": "mean"}
    assert asked == [
        ("model", "PTBXL", ["super", "rhythm"], "base", how),
        ("model", "CSN", ["rhythm"], "base", how),
    ]


def test_a_run_starts_from_the_run_of_its_own_seed(project, monkeypatch):
    (project / "params" / "first.yaml").write_text(
        (project / "params" / "small.yaml").read_text(encoding="utf-8")
    )
    model = load_yaml(project / "params" / "small.yaml")["variants"]["bipartite"]
    started = model | {"start": "params/first.yaml:bipartite"}
    edit(project, variants={"alone": model, "started": started}, reproduce={})

    def run(self, variant, seed):
        return SimpleNamespace(folder=f"{self.profile.name} {variant} {seed}")

    monkeypatch.setattr(Lab, "run", run)
    lab = Lab("small")
    earlier = [lab.earlier_run("started", seed).folder for seed in (0, 1)]
    assert earlier == [
        "first bipartite 0",
        "first bipartite 1",
    ]
    assert lab.earlier_run("alone", 1) is None


def test_with_a_gpu_in_the_machine_a_chapter_still_gets_its_model_on_the_cpu(project):
    # The fake GPU takes plain steps alone: it captures none.
    lab = Lab("small", {"pretrain": {"compile": "off"}})
    with fake_gpu():
        lab.run()  # trains on the GPU
        auroc = lab.zero_shot()["super"].macro_auroc  # embeds on it
        model = lab.run().model
        assert {p.device.type for p in model.parameters()} == {"cpu"}
        q = model.encode_text(["sinus rhythm"])  # with tensors that a chapter makes
        assert (q @ torch.ones(q.shape[1])).shape == (1,)
    assert 0 <= auroc <= 1
