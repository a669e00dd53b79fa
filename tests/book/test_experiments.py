"""Every experiment on the smallest profile: its rows, its plan, and what it resumes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score

from mccgaa.cli import main
from mccgaa.device_reader import encoded
from mccgaa.errors import ConfigError, StoreError
from mccgaa.metrics import auroc
from mccgaa.model import MCCGAA
from mccgaa.profile import Profile
from mccgaa.zeroshot import score
from mccgaa_book import ablated, experiments, page, plan, results, robust, stress
from mccgaa_book.lab import Lab
from mccgaa_book.press import notebook

ROOT = Path(__file__).resolve().parents[2]
SEED = [0]


@pytest.fixture(scope="module")
def ran(made, tmp_path_factory):
    """The checkout after `mccgaa run all` with one seed."""
    root = tmp_path_factory.mktemp("ran") / "checkout"
    shutil.copytree(made, root)
    shutil.copytree(ROOT / "book" / "_paper", root / "book" / "_paper")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(stress, "LEVELS", (0,))
        patch.setattr(stress, "RATES", (100, 500))
        experiments.run([experiments.ALL], Lab("small"), seeds=SEED)
    return root


@pytest.fixture
def lab(ran, monkeypatch):
    monkeypatch.chdir(ran)
    return Lab("small")


def frame_of(lab: Lab, name: str) -> pd.DataFrame:
    return results.load(name, "small", lab.reruns).frame


def test_all_is_every_experiment_but_those_of_chapter_8(lab):
    made = {path.stem for path in lab.reruns.glob("*.csv")}
    others = {experiments.OTHERS, *experiments.CHAPTER_8}
    assert made == set(experiments.EXPERIMENTS) - others


def test_table_1_counts_records_and_classes_split_by_split(lab):
    frame = frame_of(lab, "table1")
    number = frame.set_index(["split", "task", "class", "metric"])["value"]
    store = lab.store("ptbxl")
    for split in ("train", "val", "test"):
        rows = store.indices(split=split, task="super")
        assert number[split, "super", "", "records"] == len(rows)
        labels, classes = store.labels("super", rows)
        for name, count in zip(classes, labels.sum(0), strict=True):
            assert number[split, "super", name, "positives"] == count
    whole = lab.store("pretrain")
    assert number["all", "pretrain", "", "records"] == len(whole)
    subjects = whole.records["subject_id"].nunique()
    assert number["all", "pretrain", "", "subjects"] == subjects < len(whole)


def test_table_3_has_every_share_and_recipe_and_the_untrained_network(lab):
    frame = frame_of(lab, "table3")
    assert set(frame["variant"]) == {"bipartite", "random"}
    epochs = ("best-test", "best-val", "last")
    ways = [
        "",
        *(f"_merl-{e}" for e in epochs),
        *(f"_merl-per-epoch-{e}" for e in epochs),
    ]
    expected = {f"auroc_{share}{way}" for share in (1, 10, 100) for way in ways}
    assert set(frame["metric"]) == expected
    of = frame.set_index(["variant", "metric"])
    assert of.loc[("bipartite", "auroc_100"), "low"] >= 0
    best = of.loc[("bipartite", "auroc_100_merl-best-test"), "value"]
    assert best >= of.loc[("bipartite", "auroc_100_merl-last"), "value"]
    said = dict(zip(frame["variant"], frame["trained_on"], strict=True))
    assert said == {"bipartite": "synthetic", "random": "nothing"}


def test_table_4_takes_variants_of_both_profiles_and_scores_them_here(lab):
    frame = frame_of(lab, "table4")
    assert list(frame["variant"]) == ["bipartite", "clip", "no-cam"]
    stamp = results.stamp_of(lab.reruns / "table4.csv")
    more = Profile.load("params/more.yaml")
    assert stamp["profile"] == "small" and stamp["others"] == {"more": more.hash}
    zeroshot = frame_of(lab, "zeroshot")
    same = zeroshot.query("split == 'test' and `class` == '' and metric == 'auroc'")
    both = frame.set_index("variant")["value"]
    assert both["bipartite"] == same.set_index("variant")["value"]["bipartite"]
    names = [path.name.rpartition("-")[0] for path in Path("runs").iterdir()]
    trained = [name for name in names if name != "random"]
    assert sorted(trained) == sorted(set(trained)), "a run was made twice"


def test_results_of_a_table_are_those_of_both_profiles_as_they_are_now(lab, tmp_path):
    found = lab.results("table4")
    assert found.path.parent == lab.reruns
    assert lab.hashes("table4").keys() == {"small", "more"}
    assert lab.hashes("zeroshot").keys() == {"small"}
    hashes = lab.hashes("table4")
    assert results.outdated(found.path, hashes) is None
    assert "other settings" in results.outdated(found.path, hashes | {"more": "x"})


def test_table_5_says_what_a_backbone_costs(lab):
    frame = frame_of(lab, "table5").set_index("metric")["value"]
    model = lab.run("bipartite", 0).model
    assert frame["weights"] == sum(w.numel() for w in model.encoder.parameters())
    assert frame["seconds"] == pytest.approx(lab.run("bipartite", 0).metrics["seconds"])
    assert frame["flops"] > 0 and "auroc" in frame


def test_table_5_says_where_the_losses_ended(lab):
    longer = lab.changed({"pretrain": {"epochs": 2}})
    frame = ablated.table5(longer, ["bipartite"], [0]).set_index("metric")["value"]
    run = longer.run("bipartite", 0)
    steps = list(zip(run.history["epoch"], run.history["cma"], strict=True))
    last = [loss for epoch, loss in steps if epoch == 1]
    assert 2 * len(last) == len(steps) and len(last) > 1
    assert frame["training_loss"] == pytest.approx(sum(last) / len(last))
    assert frame["held_out_loss"] == list(run.epochs["held_out_cma"])[-1]


def test_flops_are_counted_layer_by_layer(lab):
    """A stem and one stage by hand: two per multiplication."""
    config = lab.config("bipartite").model
    layers = [m for m in MCCGAA(config).encoder.stages[0].modules()]
    assert layers  # blocks of the first stage have stride 1
    width, moments = config.encoder.widths[0], 500
    stem = 2 * moments * width * 12 * 7
    wider = config.encoder.__class__(**{**vars(config.encoder), "depth": 34})
    deeper = type(config)(**{**vars(config), "encoder": wider})
    small, large = ablated.cost(config), ablated.cost(deeper)
    widths, more = config.encoder.widths, (1, 2, 4, 1)  # blocks that a ResNet-34 adds
    times = (500, 250, 125, 63)
    added = sum(
        n * 2 * (2 * t * w * w * 3)  # two convolutions of kernel 3
        + n * 2 * (2 * 2 * w * (w // 2) / 2)  # the CAM's two layers, of two poolings
        for n, w, t in zip(more, widths, times, strict=True)
    )
    assert large["flops"] - small["flops"] == pytest.approx(added, rel=0.02)
    assert small["flops"] > stem and large["weights"] > small["weights"]


def test_table_6_counts_the_weights_of_the_graph(lab):
    frame = frame_of(lab, "table6").set_index(["variant", "metric"])["value"]
    wide, narrow = (frame[v, "graph_weights"] for v in ("bipartite", "gat-32"))
    assert wide > narrow > 0


def test_robustness_has_the_clean_records_and_every_disturbance(lab):
    frame = frame_of(lab, "robustness")
    named = [name.removeprefix("auroc ") for name in frame["metric"]]
    assert named[0] == "clean" and len(named) == 1 + 4 + 12 + 3 + 2 + 3
    assert {"wander 0 dB", "lost lead V1", "shift 2 s", "rate 500 Hz"} <= set(named)
    value = dict(zip(named, frame["value"], strict=True))
    # The twin records at 500 Hz, so this is the same ECG, and the packed one.
    assert value["rate 500 Hz"] == value["clean"]
    packed = frame_of(lab, "table4").set_index("variant")["value"]["bipartite"]
    assert value["clean"] == pytest.approx(packed, abs=2.0)
    for name in ("motion 0 dB", "lost lead V1", "swapped RA-LA"):
        assert value[name] != value["clean"], f"{name} did not reach the model"


def test_a_disturbed_record_is_what_a_model_is_given_whichever_way_it_is_read(lab):
    store = lab.store("ptbxl")
    rows = np.array([2, 5, 11])
    signals = store.batch(rows)[:, ::-1] * 0.5
    changed = robust.Disturbed(store, rows, signals)
    step = store.meta["scale"]
    given = encoded(
        lambda x: x.flatten(1), changed, rows[[2, 0]], torch.device("cpu"), 1
    )
    expected = signals[[2, 0]].reshape(2, -1)
    np.testing.assert_allclose(given.numpy(), expected, atol=0.51 * step)
    np.testing.assert_allclose(changed.batch(rows), signals, atol=0.51 * step)


def test_robustness_without_the_recordings_says_what_it_needs(ran, project):
    shutil.copytree(ran / "runs", project / "runs", dirs_exist_ok=True)
    for kept in (project / "runs").glob("*/robustness"):
        shutil.rmtree(kept)
    shutil.rmtree(project / "data")
    with pytest.raises(StoreError, match="needs the recordings"):
        experiments.make(Lab("small"), "robustness", ["bipartite"], SEED)


def test_imbalance_has_both_areas_of_every_class_and_how_frequent_it_is(lab):
    frame = frame_of(lab, "imbalance").set_index(["class", "metric"])["value"]
    scored = score(
        lab.run("bipartite", 0).model, lab.store("ptbxl"), "super", lab.knowledge
    )
    seen = 0
    for c, name in enumerate(scored.classes):
        y, s = scored.labels[:, c], scored.scores[:, c]
        if 0 < y.sum() < len(y):
            seen += 1
            assert frame[name, "auroc"] == pytest.approx(100 * auroc(y, s), abs=1e-2)
            precision = average_precision_score(y, s)
            assert frame[name, "auprc"] == pytest.approx(100 * precision, abs=1e-2)
            assert frame[name, "prevalence"] == pytest.approx(100 * y.mean(), abs=1e-2)
            assert frame[name, "positives"] == y.sum()
    assert seen == len(set(frame.index.get_level_values(0)))


def test_a_second_call_trains_and_probes_nothing(lab, monkeypatch):
    def work(*args, **options):
        pytest.fail("it was there")

    monkeypatch.setattr("mccgaa_book.probed.features", work)
    monkeypatch.setattr("mccgaa_book.robust.disturbed_signals", work)
    monkeypatch.setattr("mccgaa_book.lab.zero_shot", work)
    monkeypatch.setattr("mccgaa.pretrain.Trainer", work)
    monkeypatch.setattr(stress, "LEVELS", (0,))
    monkeypatch.setattr(stress, "RATES", (100, 500))
    for name in ("table3", "table4", "table5", "robustness"):
        before = frame_of(lab, name)
        experiments.make(lab, name, seeds=SEED)
        pd.testing.assert_frame_equal(frame_of(lab, name), before)


def test_the_plan_names_what_is_missing_and_how_long_it_takes(lab, capsys):
    experiments.run(["table4", "table1"], lab, seeds=[0, 1], dry_run=True)
    line, total = capsys.readouterr().out.splitlines()
    took = {v: lab.at(v)[0].run(v, 0).metrics["seconds"] for v in lab.table("table4")}
    assert line.startswith("table4: 6 runs, missing bipartite 1 (")
    for variant, seconds in took.items():
        assert f"{variant} 1 ({plan.duration(seconds)} each)" in line
    assert total == f"To train: about {plan.duration(sum(took.values()))}."
    experiments.run(["table4"], lab, seeds=SEED, dry_run=True)
    said = capsys.readouterr().out.splitlines()
    assert said == ["table4: 3 runs, nothing to train", "To train: about 0 s."]
    profile = str(lab.profile.path)
    assert main(["run", "table1", "--profile", profile, "--dry-run"]) == 0
    assert capsys.readouterr().out == "To train: about 0 s.\n"


def test_a_run_that_two_experiments_need_is_planned_once(lab, capsys):
    experiments.run(["table4", "table6"], lab, seeds=[1], dry_run=True)
    first, second, _ = capsys.readouterr().out.splitlines()
    assert "bipartite 1" in first
    assert "bipartite 1" not in second and "gat-32 1" in second


def test_a_variant_that_no_profile_has_is_refused(lab):
    with pytest.raises(ConfigError, match="no variant 'no-gut'"):
        experiments.run(["table4"], lab, variants=["no-gut"])
    with pytest.raises(ConfigError, match="no variant 'no-gut'"):
        lab.at("params/more.yaml:no-gut")
    with pytest.raises(ConfigError, match="expected PROFILE:VARIANT"):
        lab.at("params/more.yaml:")
    assert lab.label("no-cam") == lab.label("params/more.yaml:no-cam") == "w/o CAM"


def test_several_processes_are_sent_to_what_trains_in_them(lab, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"works in one process\. .*mccgaa pretrain`"):
        experiments.run(["table1"], lab)


def test_what_is_published_has_every_row_of_a_profile_as_it_stands(lab, capsys):
    with pytest.raises(ConfigError, match="without --variants and --set"):
        experiments.run(["zeroshot"], lab, variants=["bipartite"], publish=True)
    other = Lab("small", overrides={"pretrain.epochs": 2})
    with pytest.raises(ConfigError, match="without --variants and --set"):
        experiments.run(["zeroshot"], other, publish=True)
    experiments.run(["zeroshot"], lab, seeds=[1], publish=True, dry_run=True)
    planned = capsys.readouterr().out.splitlines()[0]
    assert all(f"{variant} 1" in planned for variant in lab.variants)
    assert "bipartite 0" not in planned


def test_table_4_is_published_with_the_rows_that_table_2_has(
    ran, tmp_path, monkeypatch, capsys
):
    root = tmp_path / "checkout"
    shutil.copytree(ran, root)
    monkeypatch.chdir(root)
    published = root / "results" / "small"
    experiments.make(Lab("small"), "zeroshot", ["bipartite", "clip"], SEED, published)
    expected = frame_of(Lab("small"), "table4")
    for run in (root / "runs").glob("bipartite-*"):
        shutil.rmtree(run)

    def planned(publish: bool, seeds: list[int] = SEED, also: str = "table4") -> str:
        options = {"seeds": seeds, "publish": publish, "dry_run": True}
        experiments.run([also, "table4"], Lab("small"), **options)
        return capsys.readouterr().out.splitlines()[-2]

    # clip's run is here, and so it is tested here; no-cam is none of Table 2's variants
    assert planned(publish=True) == "table4: 2 runs, nothing to train"
    assert planned(publish=False).startswith("table4: 3 runs, missing bipartite 0")
    assert "bipartite 0 1" in planned(publish=True, seeds=[0, 1]), (
        "seed 1 is in no table"
    )
    assert planned(publish=True, also="zeroshot").startswith("table4: 3 runs"), (
        "Table 2 is made again, by runs of here"
    )

    stamp = published / "zeroshot.json"
    right = stamp.read_text(encoding="utf-8")
    said = json.loads(right)
    data = {of: was | {"fingerprint": "x"} for of, was in said["data"].items()}
    one = said["data"] | dict([*data.items()][-1:])
    others = {"device": "cuda"}, {"data": data}, {"data": one}, {"profile_hash": "x"}
    for other in others:
        stamp.write_text(json.dumps(said | other), encoding="utf-8")
        assert "missing bipartite 0" in planned(publish=True), other
    stamp.write_text(right, encoding="utf-8")
    for folder in ("stores", "data"):
        shutil.move(folder, f"no {folder}")
    assert "missing bipartite 0" in planned(publish=True)
    assert not Path("stores").exists() and not Path("data").exists(), "nothing is made"
    for folder in ("stores", "data"):
        shutil.move(f"no {folder}", folder)

    shutil.move("stores/ptbxl", "no ptbxl")
    assert "missing bipartite 0" in planned(publish=True)
    assert not Path("stores/ptbxl").exists(), "one store of two is not all"
    shutil.move("no ptbxl", "stores/ptbxl")
    assert ablated.known(Lab("small"), ["bipartite"], SEED) is None, "no others to make"

    two = results.load("zeroshot", "small")
    both = pd.concat([two.frame, two.frame.assign(seed="1")])
    both = both.drop_duplicates(results.COLUMNS)
    results.save(both, two.stamp, "zeroshot", published)
    found = ablated.known(Lab("small"), ["clip", "no-cam"], [0, 1])
    assert set(found.frame["variant"]) == {"clip"}, "whose seed 1 is not here"
    more = two.frame[two.frame["variant"] == "bipartite"].assign(seed="1")
    results.save(pd.concat([two.frame, more]), two.stamp, "zeroshot", published)
    monkeypatch.setattr("mccgaa.pretrain.Trainer", lambda *_, **__: pytest.fail())

    def publish() -> results.Results:
        experiments.run(["table4"], Lab("small"), seeds=SEED, publish=True)
        return results.load("table4", "small")

    def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
        order = [f.sort_values(["variant", "seed"]) for f in (one, other)]
        pd.testing.assert_frame_equal(*(f.reset_index(drop=True) for f in order))

    found = publish()
    same(found.frame, expected)
    assert found.stamp["earlier_commands"] == [said["command"]]
    assert found.stamp["trained"] == said["trained"]

    # An earlier Table 4 keeps its other seed, and not its rows of an earlier Table 2.
    other = expected[expected["variant"] == "no-cam"].assign(seed="1")
    older = expected.assign(value=1.0)
    earlier = found.stamp | {"command": "another", "earlier_commands": []}
    results.save(pd.concat([older, other]), earlier, "table4", published)
    found = publish()
    same(found.frame, pd.concat([expected, other]))
    assert found.stamp["earlier_commands"] == [said["command"], "another"]


def test_a_duration_is_in_the_unit_that_suits_it():
    written = [plan.duration(s) for s in (0, 89.4, 90, 5399, 5400, 86400)]
    assert written == ["0 s", "89 s", "2 min", "90 min", "1.5 h", "24.0 h"]


def test_the_ablations_of_every_profile_are_what_their_names_say():
    base = {}
    for name in ("ablations", "ablations-real", "ablations-smoke"):
        found = Profile.load(ROOT / "params" / f"{name}.yaml")
        base[name] = found
        full = found.run_config("bipartite")
        for variant in found.variants:
            run = found.run_config(variant)
            assert run.pretrain == full.pretrain, f"{variant} is trained otherwise"
        for table in found.tables.values():
            assert set(table) <= set(found.variants)
    assert base["ablations"].variants == base["ablations-real"].variants
    assert base["ablations-real"].tier == "real"
    for name, own in (("real", "ablations-real"), ("synthetic", "ablations")):
        main = Profile.load(ROOT / "params" / f"{name}.yaml")
        assert main.ablations == f"params/{own}.yaml"
        for variant in set(main.variants) & set(base[own].variants):
            here, there = (p.run_config(variant) for p in (main, base[own]))
            assert here.identity == there.identity, f"{name} trains {variant} twice"


CHANGES = {
    "no-gat": ("gafa", "graph", "none"),
    "clip": ("loss", "kind", "clip"),
    "one-sided": ("loss", "kind", "one-sided"),
    "siglip": ("loss", "kind", "siglip"),
    "no-cam": ("encoder", "cam", "none"),
    "pair": ("gafa", "graph", "pair"),
    "double-sigmoid": ("encoder", "gate", "double-sigmoid"),
    "output-matrix": ("gafa", "output_matrix", True),
    "uma-dropout": ("loss", "uma", "dropout"),
    "resnet34": ("encoder", "depth", 34),
    "resnet50": ("encoder", "depth", 50),
    "resnet101": ("encoder", "depth", 101),
}


@pytest.mark.parametrize("variant", CHANGES)
def test_an_ablation_replaces_one_part_alone(variant):
    found = Profile.load(ROOT / "params" / "ablations.yaml")
    full, run = (found.run_config(v).model for v in ("bipartite", variant))
    section, key, value = CHANGES[variant]
    assert getattr(getattr(run, section), key) == value
    changed = {
        (part, name)
        for part in ("input", "encoder", "text", "gafa", "loss")
        for name, before in vars(getattr(full, part)).items()
        if before != getattr(getattr(run, part), name)
    }
    assert changed == {(section, key)}


def test_table_6_has_the_papers_four_widths():
    found = Profile.load(ROOT / "params" / "ablations.yaml")
    widths = [found.run_config(v).model.gafa for v in found.tables["table6"]]
    assert [(w.hidden, w.output) for w in widths] == [
        (32, 16),
        (64, 32),
        (128, 64),
        (256, 128),
    ]
    depths = [found.run_config(v).model.encoder for v in found.tables["table5"]]
    assert [d.depth for d in depths] == [18, 34, 50, 101]


def test_a_later_call_replaces_its_own_rows_and_keeps_those_made_alike(
    tmp_path, monkeypatch
):
    """Alike: with the same settings, from the same data, on the same device."""
    made = {"value": 0.0, "device": "here", "data": {"a": 1}, "outdated": None}
    made["trained"] = "gpu, bf16"
    calls, sources = [], []
    shown = SimpleNamespace(profile=SimpleNamespace(name="toy"), reruns=tmp_path)
    shown.outdated = lambda path: made["outdated"]

    def experiment(lab, variants, seeds):
        rows = [
            (v, str(s), "test", "super", "", "auroc", made["value"])
            for v in variants
            for s in seeds
        ]
        frame = pd.DataFrame(rows, columns=[*results.COLUMNS, "value"])
        return frame.assign(**dict.fromkeys(sources, "real"))

    def stamp(lab, name, variants, seeds, seconds):
        calls.append(f"{' '.join(variants)} {seeds}")
        of = {key: made[key] for key in ("device", "data")}
        return dict.fromkeys(results.STAMP, "") | of | {"command": calls[-1]}

    def earlier():
        found = results.stamp_of(tmp_path / "toy.json")
        assert found["command"] == calls[-1]
        return found.get("earlier_commands")

    monkeypatch.setattr(experiments, "EXPERIMENTS", {"toy": experiment})
    monkeypatch.setattr(experiments, "_chosen", lambda lab, name, v, s: (v, s))
    monkeypatch.setattr(experiments, "_stamp", stamp)
    monkeypatch.setattr(experiments, "_trained", lambda *given: [made["trained"]])

    def make(value, variants, seeds, **changed):
        made.update({"value": value, **changed})
        experiments.make(shown, "toy", variants, seeds)
        frame = results.load("toy", "toy", tmp_path).frame
        return frame.set_index(["variant", "seed"])["value"].to_dict()

    assert make(1.0, ["a"], [0, 1]) == {("a", "0"): 1, ("a", "1"): 1}
    assert earlier() is None
    both = {("a", "0"): 1, ("a", "1"): 2, ("b", "1"): 2}
    assert make(2.0, ["a", "b"], [1], trained="cpu, fp32") == both
    assert earlier() == calls[:1]
    stamped = results.stamp_of(tmp_path / "toy.json")
    assert stamped["trained"] == ["cpu, fp32", "gpu, bf16"]
    for _ in range(2):
        assert make(2.0, ["b"], [1]) == both
        assert earlier() == calls[:2]
    assert make(3.0, ["b"], [0], device="there") == {("b", "0"): 3}
    assert earlier() is None
    assert results.stamp_of(tmp_path / "toy.json")["trained"] == ["cpu, fp32"]
    assert make(4.0, ["a"], [0], outdated="has other settings") == {("a", "0"): 4}
    made["outdated"] = None
    assert make(5.0, ["b"], [0], data={"a": 2}) == {("b", "0"): 5}
    sources += results.SOURCES  # which the file there was made without
    assert make(6.0, ["a"], [0]) == {("a", "0"): 6}


def test_a_stamp_says_what_the_runs_were_trained_with(lab, monkeypatch):
    for name in ("table4", "zeroshot"):
        (said,) = results.stamp_of(lab.reruns / f"{name}.csv")["trained"]
        facts = lab.run("bipartite", 0).metrics["facts"]
        assert said == f"{facts['device']}, {facts['precision']}"
    assert results.stamp_of(lab.reruns / "table1.csv")["trained"] == []
    made = {("small", "bipartite", 0): "bf16", ("small", "bipartite", 1): "fp32"}
    made |= {("more", "no-cam", 0): "tf32", ("more", "no-cam", 1): "tf32"}

    def run(self, variant, seed):
        precision = made[self.profile.name, variant, seed]
        facts = {"device": "gpu (G)", "precision": precision}
        return SimpleNamespace(metrics={"facts": facts})

    monkeypatch.setattr(Lab, "run", run)
    asked = ["bipartite", "no-cam"], [0, 1]
    said = [f"gpu (G), {one}" for one in ("bf16", "fp32", "tf32")]
    assert experiments._trained(lab, "table4", *asked) == said
    assert experiments._trained(lab, "table4", ["bipartite"], [1]) == said[1:2]


def test_what_runs_were_trained_with_is_asked_of_those_that_an_experiment_takes(
    lab, monkeypatch
):
    def run(self, variant, seed):
        kind = "strict" if self.overrides else self.profile.name
        facts = {"device": kind, "precision": f"{variant} {seed}"}
        return SimpleNamespace(metrics={"facts": facts})

    monkeypatch.setattr(Lab, "run", run)
    said = experiments._trained(lab, "unseen", ["bipartite"], [0])
    assert said == ["strict, bipartite 0"]
    other = lab.ablated
    monkeypatch.setattr(other, "seeds", [1])
    monkeypatch.setattr(Lab, "other", other)
    assert experiments._trained(lab, "transfer", ["bipartite", "no-cam"], [0, 1]) == [
        "more, bipartite 1",
        "more, no-cam 1",
        "small, bipartite 0",
        "small, bipartite 1",
    ]


def test_what_is_kept_of_a_probe_is_plain_json(lab):
    (kept,) = Path(lab.run("bipartite", 0).folder / "probe").glob("super-converged-*")
    rows = json.loads(kept.read_text(encoding="utf-8"))
    assert [row["metric"] for row in rows] == ["auroc_1", "auroc_10", "auroc_100"]
    assert all(row["l2"] > 0 and 0 <= row["val_macro_auroc"] <= 1 for row in rows)
    assert np.isfinite([row["result"]["macro_auroc"] for row in rows]).all()


@pytest.mark.parametrize(
    "name", ["09_linear_probe", "10_ablations", "10b_sizes", "11_robustness"]
)
def test_a_chapter_runs_on_results_and_glues_what_its_prose_shows(
    name, lab, monkeypatch
):
    """Its cells, one behind the other, as the press executes them in a kernel."""
    glued: dict[str, str] = {}

    def glue(key, value, spec=""):
        glued[key] = page.text(value, spec)

    monkeypatch.setattr(page, "glue", glue)
    monkeypatch.setattr(page, "display", lambda *args: None)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.setattr(stress, "LEVELS", (0,))
    monkeypatch.setattr(stress, "RATES", (100, 500))
    cells = notebook.from_script(ROOT / "notebooks" / f"{name}.py").cells
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names["params"] = "small"
    prose = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
    shown = set(re.findall(r"\{glue:text\}`([^`]+)`", prose))
    assert shown and shown <= set(glued), shown - set(glued)
    plt.close("all")
