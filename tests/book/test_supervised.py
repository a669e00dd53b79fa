"""The supervised ceiling learns from the training labels, and from those alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from toys import MODEL, RUN, SPLITS, write_store

from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError
from mccgaa.metrics import TaskResult, auroc, evaluate
from mccgaa.model import MCCGAA, scale_input
from mccgaa.runtime import effective_precision, facts
from mccgaa.settings import dump_yaml, load_yaml
from mccgaa_book import experiments, supervised
from mccgaa_book.lab import Lab
from mccgaa_book.supervised import Targets

TASKS = {"rhythm": "rhythm", "shape": "form"}
SETTINGS = replace(RUN.pretrain, epochs=6, batch_size=16, lr=3e-3, precision="fp32")


def labelled(folder: Path, change=lambda labels: labels) -> SignalStore:
    """120 records whose first lead is strong in A, weak in B; some also with a form."""
    n = 120
    rng = np.random.default_rng(0)
    strong = np.arange(n) % 3 == 0
    signals = rng.normal(0, 1000, (n, 12, 64))
    wave = 4000 * np.sin(np.arange(64) / 2)
    signals[strong, 0] += wave
    write_store(folder, signals, np.resize(SPLITS, n))
    table = pd.read_parquet(folder / "records.parquet")
    table["rhythm"] = change([["A"] if s else ["B"] for s in strong])
    table["form"] = [
        ["F"] if i % 4 == 0 else [] if i % 4 < 3 else None for i in range(n)
    ]
    table["subject_id"] = [str(i) for i in range(n)]
    table.to_parquet(folder / "records.parquet")
    meta = json.loads((folder / "store.json").read_text())
    meta["tasks"] = {"rhythm": ["A", "B"], "form": ["F"]}
    (folder / "store.json").write_text(json.dumps(meta))
    return SignalStore.open(folder)


def trained(store: SignalStore, **changes) -> torch.nn.Module:
    return supervised.train(
        store,
        Targets.of(store, TASKS),
        MODEL,
        replace(SETTINGS, **changes),
        device="cpu",
    )


def test_targets_say_what_is_known_of_each_record(tmp_path):
    found = Targets.of(labelled(tmp_path / "s"), TASKS)
    assert found.classes == {"rhythm": ["A", "B"], "shape": ["F"]}
    assert found.labels[:4].tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.known[:4].tolist() == [[True] * 3] * 3 + [[True, True, False]]


def test_the_loss_is_the_mean_over_what_is_known():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    known = torch.tensor([[True, True], [True, False]])
    naive = [
        -np.log(1 / (1 + np.exp(-2.0))),
        -np.log(1 - 1 / (1 + np.exp(1.0))),
        -np.log(1 - 1 / (1 + np.exp(-0.5))),
    ]
    assert supervised._masked(logits, labels, known).item() == pytest.approx(
        np.mean(naive), rel=1e-6
    )
    assert supervised._masked(logits, labels, torch.zeros(2, 2, dtype=torch.bool)) == 0


def test_signals_are_scaled_as_the_model_expects():
    torch.manual_seed(0)
    model = MCCGAA(MODEL).eval()
    head = torch.nn.Linear(MODEL.encoder.embedding_dim, 3)
    x = torch.randn(4, 12, 64) + 5
    with torch.no_grad():
        features = model.encoder.features(scale_input(x, "minmax"))
        expected = head(model.encoder.head(features))
        found = supervised._Classifier(model.encoder, head, "minmax")(x)
        plain = supervised._Classifier(model.encoder, head, "none")(x)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(plain, expected, atol=1e-2)


def test_it_learns_and_is_scored_on_records_that_it_never_saw(tmp_path):
    store = labelled(tmp_path / "s")
    targets = Targets.of(store, TASKS)
    network = trained(store)
    assert not network.training
    found = supervised.score(network, store, targets, "test", bootstrap=0)
    assert list(found) == ["rhythm", "shape"]
    assert found["rhythm"].n == 12 and found["rhythm"].macro_auroc > 0.9
    before = supervised.score(
        trained(store, epochs=1, lr=1e-9, min_lr=0.0), store, targets, "test"
    )
    assert before["rhythm"].macro_auroc < found["rhythm"].macro_auroc


def test_no_label_beyond_the_training_split_moves_a_weight(tmp_path):
    def wrong(split):
        def change(labels):
            here = np.resize(SPLITS, len(labels)) == split
            flipped = {"A": "B", "B": "A"}
            return [
                [flipped[c[0]]] if h else c for c, h in zip(labels, here, strict=True)
            ]

        return change

    weights = [
        trained(labelled(tmp_path / split, wrong(split)), epochs=1).state_dict()
        for split in ("none", "val", "test", "train")
    ]
    same = [
        all(torch.equal(w[name], weights[0][name]) for name in weights[0])
        for w in weights
    ]
    assert same == [True, True, True, False]


def test_signals_are_varied_as_in_the_pretraining_that_it_is_compared_with(
    tmp_path, monkeypatch
):
    calls = []

    def spy(signals, *given, **options):
        calls.append((given, options))
        return signals

    monkeypatch.setattr(supervised, "augment", spy)
    store = labelled(tmp_path / "s")
    in_mv = replace(MODEL.input, transform="raw")
    for given in (in_mv, MODEL.input):
        supervised.train(
            store,
            Targets.of(store, TASKS),
            replace(MODEL, input=given),
            replace(
                SETTINGS,
                epochs=1,
                batch_size=64,
                augment=0.7,
                augmentations=("noise",),
            ),
            device="cpu",
        )
    rate = MODEL.input.sampling_rate
    plain, again = calls[0], calls[-1]
    assert plain == ((0.7, ("noise",), rate), {"standardised": False})
    assert again == ((0.7, ("noise",), rate), {"standardised": True})


def test_it_starts_from_a_pretrained_encoder(tmp_path):
    torch.manual_seed(5)
    model = MCCGAA(MODEL)
    model.save_pretrained(tmp_path / "model")
    store = labelled(tmp_path / "s")
    network = supervised.train(
        store,
        Targets.of(store, TASKS),
        MODEL,
        replace(SETTINGS, epochs=1, lr=1e-12, min_lr=0.0, weight_decay=0.0),
        start=tmp_path / "model",
        device="cpu",
    )
    given = dict(model.encoder.named_parameters())
    own = dict(network.encoder.named_parameters())
    assert all(torch.allclose(own[n], given[n], atol=1e-9) for n in given)


def test_a_network_is_kept_and_comes_back_as_it_was(tmp_path, monkeypatch):
    store = labelled(tmp_path / "s")
    targets = Targets.of(store, TASKS)
    config = replace(RUN, model=MODEL, pretrain=replace(SETTINGS, epochs=1))
    path = tmp_path / "runs" / "supervised-a-1" / "network.safetensors"
    first = supervised.trained(path, store, targets, config, None)
    with monkeypatch.context() as never:
        never.delattr(supervised, "train")  # what is kept is not trained again
        again = supervised.trained(path, store, targets, config, None)
    scores = [
        supervised.score(network, store, targets, "test", bootstrap=0)
        for network in (trained(store, epochs=1), first, again)
    ]
    assert scores[0] == scores[1] == scores[2]
    assert not again.training
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_it_learns_from_as_many_records_as_the_run_beside_it(tmp_path):
    store = labelled(tmp_path / "s")
    first = store.indices(split="train")[:20]
    table = store.records
    beyond = ~table.index.isin(first)
    for record in table.index[beyond]:
        table.at[record, "rhythm"] = (
            ["B"] if table.at[record, "rhythm"][0] == "A" else ["A"]
        )
    other = trained(store, epochs=1, batch_size=8, records=20).state_dict()
    again = labelled(tmp_path / "again")
    few = trained(again, epochs=1, batch_size=8, records=20).state_dict()
    every = trained(again, epochs=1, batch_size=8).state_dict()
    assert all(torch.equal(few[name], other[name]) for name in few)
    assert not all(torch.equal(few[name], every[name]) for name in few)


def test_a_store_of_no_task_is_not_waited_for_and_unseen_classes_are_refused(project):
    path = project / "params" / "small.yaml"
    profile = load_yaml(path)
    own = profile["stores"]["ptbxl"]
    spare = own | {"out": "stores/spare"}
    stores = {"pretrain": own, "ptbxl": own, "spare": spare}
    dump_yaml(profile | {"stores": stores, "tasks": {"super": "ptbxl"}}, path)
    lab = Lab("small")
    assert not supervised.finished(lab, "bipartite", 0)
    found = supervised.ceiling(lab, ["bipartite"], [0])
    assert found["task"].tolist() == ["super"]
    assert supervised.finished(lab, "bipartite", 0)
    kept = supervised.place(lab, "bipartite", 0)
    made = facts(torch.device("cpu"))["device"]
    precision = effective_precision(
        torch.device("cpu"), lab.config().pretrain.precision
    )
    said = [f"{made}, {precision}"]
    assert experiments._trained(lab, "ceiling", ["bipartite"], [0]) == said
    safetensors.torch.save_file(supervised.load_file(kept), kept)  # as older ones are
    assert experiments._trained(lab, "ceiling", ["bipartite"], [0]) == ["unknown"]
    out = lab.changed({"pretrain": {"unseen": ["super/MI"]}})
    with pytest.raises(ConfigError, match="bipartite leaves classes out"):
        supervised.ceiling(out, ["bipartite"], [0])


def test_all_records_with_a_label_in_some_task_are_read_and_no_others(
    tmp_path, monkeypatch
):
    store = labelled(tmp_path / "s")
    nothing = np.arange(120) % 8 == 7  # where there is no form either
    store.records.loc[nothing, "rhythm"] = None
    wanted = np.flatnonzero((store.records["split"] == "train") & ~nothing)
    read, batch = [], SignalStore.batch

    def spy(self, rows):
        read.extend(rows)
        return batch(self, rows)

    monkeypatch.setattr(SignalStore, "batch", spy)
    trained(store, epochs=1, batch_size=len(wanted))
    assert sorted(read) == wanted.tolist()


def test_each_step_and_each_seed_draws_anew(tmp_path, monkeypatch):
    drawn = []

    def spy(signals, *given, **options):
        drawn.append((torch.rand(1).item(), signals.sum().item()))
        return signals

    monkeypatch.setattr(supervised, "augment", spy)
    store = labelled(tmp_path / "s")
    for seed in (0, 1):
        trained(store, epochs=1, seed=seed)
    numbers, signals = zip(*drawn, strict=True)
    assert len(drawn) == 12
    assert len(set(numbers)) == len(set(signals)) == 12


def test_the_schedule_reaches_the_optimiser(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        supervised, "learning_rate", lambda *given: asked.append(given) or 0.0
    )
    store = labelled(tmp_path / "s")
    ends = [dict(trained(store, epochs=n).named_parameters()) for n in (1, 2)]
    assert asked == [(i, n, 3e-3, SETTINGS.min_lr) for n in (6, 12) for i in range(n)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_weight_decay_is_that_of_the_settings(tmp_path):
    store = labelled(tmp_path / "s")
    one, other = (
        trained(store, epochs=1, weight_decay=decay).head.weight
        for decay in (0.01, 10.0)  # the optimiser's default is the first
    )
    assert not torch.equal(one, other)


def test_a_task_is_scored_by_its_own_columns_records_and_people(tmp_path, monkeypatch):
    store = labelled(tmp_path / "s")
    store.records.at[9, "form"] = store.records.at[29, "form"] = ["F"]
    store.records.loc[[9, 29], "subject_id"] = "one"
    network, people = trained(store, epochs=1), []

    def spy(*given, groups, **options):
        people.append(groups)
        return evaluate(*given, groups=groups, **options)

    monkeypatch.setattr(supervised, "evaluate", spy)
    found = supervised.score(
        network, store, Targets.of(store, TASKS), "test", bootstrap=0
    )
    rows = store.indices(split="test", task="form")
    assert found["shape"].n == len(rows) < found["rhythm"].n
    with torch.no_grad():
        logits = network(torch.from_numpy(store.batch(rows)))[:, 2].numpy()
    expected = auroc(np.isin(rows, [9, 29]), logits)
    assert found["shape"].macro_auroc == pytest.approx(expected)
    assert people[1] == store.records["subject_id"][rows].tolist()


def test_a_network_scales_its_input_as_its_model_is_set(tmp_path):
    targets = Targets.of(labelled(tmp_path / "s"), TASKS)
    for way in ("none", "minmax"):
        model = replace(MODEL, input=replace(MODEL.input, scaling=way))
        assert supervised.untrained(targets, model).scaling == way


def test_the_ceiling_is_that_of_each_seed_on_the_test_split(tmp_path, monkeypatch):
    asked = []
    lab = SimpleNamespace(
        store=lambda name: labelled(tmp_path / name),
        config=lambda variant, seed: replace(
            RUN, pretrain=replace(SETTINGS, seed=seed)
        ),
        earlier_run=lambda variant, seed: None,
        data_kind=lambda: "real",
    )

    def score(network, store, targets, split):
        asked.append((*network, split))
        none = (float("nan"), float("nan"))
        return {"rhythm": TaskResult(network[0] / 10, none, 1, {})}

    monkeypatch.setattr(supervised, "own_tasks", lambda lab: TASKS)
    monkeypatch.setattr(supervised, "place", lambda lab, variant, seed: seed)
    monkeypatch.setattr(
        supervised,
        "trained",
        lambda path, store, targets, config, start: (path, config.pretrain.seed),
    )
    monkeypatch.setattr(supervised, "score", score)
    monkeypatch.setattr(supervised, "with_sources", lambda frame, lab: frame)
    found = supervised.ceiling(lab, ["a"], [1, 2])
    assert asked == [(1, 1, "test"), (2, 2, "test")]
    assert found[["seed", "value"]].to_numpy().tolist() == [["1", 10.0], ["2", 20.0]]


def own(monkeypatch, tasks: dict[str, str]) -> SimpleNamespace:
    """A lab whose tasks are each tested on a store, which is its fingerprint too."""
    monkeypatch.setattr(supervised, "tested_tasks", lambda lab, split: list(tasks))
    return SimpleNamespace(
        tasks=tasks,
        store=lambda name: SimpleNamespace(
            meta={"fingerprint": "a" if name == "pretrain" else name}
        ),
        profile=SimpleNamespace(
            path="p.yaml", tested_on=lambda task: (tasks[task], f"{task} there")
        ),
    )


def test_only_tasks_of_the_records_that_are_learned_from_have_labels(monkeypatch):
    lab = own(monkeypatch, {"rhythm": "a", "csn": "b"})
    assert supervised.own_tasks(lab) == {"rhythm": "rhythm there"}
    with pytest.raises(ConfigError, match="no task is tested on the records"):
        supervised.own_tasks(own(monkeypatch, {"csn": "b"}))


def test_a_network_of_other_tasks_is_another(tmp_path, monkeypatch):
    places = []
    for tasks in ({"rhythm": "a"}, {"rhythm": "a", "form": "a"}):
        lab = own(monkeypatch, tasks)
        lab.packed, lab.runs = True, tmp_path
        lab.folder = lambda variant, seed: tmp_path / f"{variant}-{seed}"
        places.append(supervised.place(lab, "v", 0))
    assert places[0] != places[1]
