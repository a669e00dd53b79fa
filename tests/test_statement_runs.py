"""Runs of statements: what they read, what a step compares, and what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_statement_loss import naive
from torch.nn.functional import normalize
from toys import MODEL, ROWS, RUN, TRAIN, VAL, NumberEncoder, numbered_store, rows_of

from mccgaa import pairs as module
from mccgaa.config import LossConfig, PretrainConfig, RunConfig, TextConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import auroc, retrieval, set_retrieval
from mccgaa.model import MCCGAA
from mccgaa.pairs import DeviceTexts, Pairs, load_pairs, record_statements, record_texts
from mccgaa.plus.statements import split_report
from mccgaa.pretrain import Trainer, pretrain
from mccgaa.run_folder import RunFolder

KNOWN = Knowledge.load()
LOSS = LossConfig(kind="statements", tau=0.1, learn_tau=True, uma_weight=0.0)


def config(graph: str = "none", **loss) -> RunConfig:
    model = replace(MODEL, gafa=replace(MODEL.gafa, graph=graph))
    return replace(RUN, model=replace(model, loss=replace(LOSS, **loss)))


def sets_of(row: int) -> list[str]:
    """Record i carries its remainder by 5 and, where it is even, a sixth statement."""
    return [] if row == 7 else [f"says {row % 5}"] + ["says 5"] * (row % 2 == 0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    store = numbered_store(tmp_path_factory.mktemp("toys") / "store")
    return Pairs.of_statements(store, list(map(sets_of, range(ROWS))), NumberEncoder())


def trainer(config: RunConfig, pairs: Pairs, folder: Path) -> Trainer:
    return Trainer(config, pairs, RunFolder(folder), torch.device("cpu"), False)


# -- what is read


@pytest.mark.parametrize("read", [record_texts, record_statements])
def test_a_record_without_labels_has_no_text(twin_store, read):
    store = SignalStore.open(twin_store)
    labelled = read(store, PretrainConfig(text="knowledge"), TextConfig(), KNOWN)
    store.records.at[3, "statements"] = None
    found = read(store, PretrainConfig(text="knowledge"), TextConfig(), KNOWN)
    assert labelled[3] and not found[3]
    assert found[:3] + found[4:] == labelled[:3] + labelled[4:]


def test_reports_become_their_sentences_and_labels_their_texts(twin_store):
    store, knowledge = SignalStore.open(twin_store), Knowledge.load()
    store.records.loc[0, "text"] = ""
    store.records.at[3, "statements"] = []
    sets = record_statements(store, PretrainConfig(), TextConfig(), knowledge)
    assert sets[0] == []
    assert sets[1:] == [split_report(text) for text in store.records["text"][1:]]
    for style in ("name", "full"):
        text, settings = TextConfig(style=style), PretrainConfig(text="knowledge")
        sets = record_statements(store, settings, text, knowledge)
        assert sets[3] == []
        for found, names in zip(sets, store.records["statements"], strict=True):
            worded = [knowledge.text("statements", name, style) for name in names]
            assert found == list(dict.fromkeys(worded))
    store.meta["source"] = "mimic"
    with pytest.raises(RunError, match="pretrain it with text: report"):
        record_statements(store, settings, text, knowledge)


def test_records_that_keep_no_statement_are_left_out(pairs):
    assert pairs.train.tolist() == [i for i in TRAIN if i != 7]
    assert pairs.held_out.tolist() == VAL
    assert pairs.distinct == tuple(f"says {i}" for i in range(6))
    sets = [[f"says {i}"] if i < 4 else ["says 9"] for i in range(ROWS)]
    few = Pairs.of_statements(pairs.store, sets, NumberEncoder(), min_count=2)
    assert few.distinct == ("says 9",) and few.train.tolist() == TRAIN[4:]
    with pytest.raises(RunError, match="no statement that 41 training records share"):
        Pairs.of_statements(pairs.store, sets, NumberEncoder(), min_count=41)
    assert len({pairs.fingerprint, few.fingerprint}) == 2


def test_what_belongs_to_a_batch_lies_on_the_device_of_the_model(pairs):
    away = DeviceTexts(pairs, torch.device("meta"))
    index = (away.targets.indptr, away.targets.indices)
    for tensor in (away.vectors, away.text_of, away.weights, *index):
        assert tensor.is_meta
    weights = DeviceTexts(pairs, torch.device("cpu")).weights
    assert torch.equal(weights, torch.ones(len(pairs.statements)))


def test_loading_follows_the_settings(pairs, monkeypatch):
    monkeypatch.setattr(module, "TextEncoder", lambda *_args, **_options: "encoder")
    pairs.store.records["text"] = ["B one. A two."] * 8 + ["C three."] * (ROWS - 8)
    knowledge = Knowledge.load()

    def load(min_count: int) -> Pairs:
        settings = PretrainConfig(min_count=min_count)
        wanted = replace(config(), pretrain=settings)
        return load_pairs(pairs.store, wanted, knowledge, device="cpu")

    found = load(3)
    assert found.distinct == ("a two", "b one", "c three")
    assert found.statements.counts.tolist() == [8, 8, 32]
    assert load(9).distinct == ("c three",) and load(9).train.tolist() == TRAIN[8:]
    assert not any(found.named.values())
    assert found.facts("report") == {
        "pairs": {"train": 40, "held_out": 5, "distinct_texts": 3},
        "texts": {"kind": "report", "named": found.named, "statements": True},
    }


# -- what a step compares


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_each_ecg_of_a_step_lies_beside_its_own_statements(pairs, tmp_path, balance):
    loop = trainer(config(balance=balance), pairs, tmp_path)
    read = []
    for signals, vectors, targets, weights in loop.batches(0):
        assert vectors[:, 0].tolist() == list(range(6)), "all statements, each step"
        for row, target in zip(rows_of(signals), targets, strict=True):
            found = [f"says {s}" for s in target.nonzero().flatten().tolist()]
            assert found == sets_of(row)
            read.append(row)
        assert torch.equal(weights, pairs.statements.weights(balance))
    assert len(read) == 32 and set(read) <= set(TRAIN)
    assert (weights == 1).all() == (balance == 0)


@pytest.mark.parametrize("graph", ["none", "bipartite"])
def test_the_loss_of_a_batch_is_that_of_the_formula(pairs, tmp_path, graph):
    loop = trainer(config(graph, balance=0.5), pairs, tmp_path)
    model = loop.model.eval()
    given = next(iter(loop.batches(0)))
    with torch.no_grad():
        output = model(*given)
        x, q = model.encode_ecg(given[0]), model.encode_text(given[1])
        x, q = (normalize(side, dim=1) for side in model.gafa(x, q))
    expected = naive(x, q, given[2], 0.1, -6.0, given[3])
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)
    assert output.cma == output.loss and output.uma == 0
    assert output.q.shape == (6, 16)


def test_l_uma_costs_nothing_and_moves_nothing_where_it_has_no_weight(
    pairs, tmp_path, monkeypatch
):
    def refuse(*_args):
        raise AssertionError("the views are made")

    loop = trainer(config(), pairs, tmp_path)
    monkeypatch.setattr(loop.model.unimodal, "forward", refuse)
    before = {n: v.clone() for n, v in loop.model.state_dict().items()}
    loop.train_step(0, *next(iter(loop.batches(0))))
    after = loop.model.state_dict()
    moved = {
        name.split(".")[0] for name in before if (before[name] != after[name]).any()
    }
    assert moved == {"encoder", "projection", "logit_scale", "bias"}
    monkeypatch.undo()
    loop = trainer(config(uma_weight=0.5), pairs, tmp_path)
    given = next(iter(loop.batches(0)))
    output = loop.model(*given)
    assert output.uma > 0
    assert output.loss.item() == pytest.approx((output.cma + 0.5 * output.uma).item())


def test_targets_belong_to_this_kind_of_loss_alone(pairs, tmp_path):
    given = next(iter(trainer(config(), pairs, tmp_path).batches(0)))
    with pytest.raises(ValueError, match="'statements' and targets are missing"):
        MCCGAA(config().model)(*given[:2])
    with pytest.raises(ValueError, match="'symmetric' and targets are given"):
        MCCGAA(MODEL)(*given)


def test_scale_and_bias_start_as_set():
    learned = MCCGAA(config().model)
    assert learned.bias.item() == -6 and learned.tau.item() == pytest.approx(0.1)
    fixed = MCCGAA(config(learn_tau=False).model)
    assert fixed.bias == -6 and fixed.tau == pytest.approx(0.1)


# -- what is measured and kept


@pytest.mark.parametrize("graph", ["none", "bipartite"])
def test_a_run_of_statements_learns_and_measures_what_was_held_out(
    pairs, tmp_path, graph
):
    """ECGs whose one tone says their statements."""
    store = SignalStore.open(pairs.store.path)
    time = np.arange(64)
    tones = [np.sin(2 * np.pi * (1 + i % 5) * time / 16) for i in range(ROWS)]
    lines = np.stack([tone * (1 + (i % 2 == 0)) for i, tone in enumerate(tones)])
    store.signals = (1000 * lines[:, None].repeat(12, 1)).astype(np.int16)
    own = replace(pairs, store=store, held_out=np.array([0, 1, 2, 4, 5, 8, 18]))
    long = config(graph)
    long = replace(long, pretrain=replace(long.pretrain, epochs=6, lr=1e-2))
    run = pretrain(long, own, tmp_path, device="cpu", progress=False)
    loss = pd.read_csv(run / "history.csv")["loss"]
    assert loss.iloc[-4:].mean() < loss.iloc[:4].mean() / 2
    last = json.loads((run / "metrics.json").read_text())["last_epoch"]
    model = MCCGAA.from_pretrained(run)
    signals, vectors, targets, _ = own.batch(own.held_out)
    with torch.no_grad():
        x, q = model.encode_ecg(signals), model.encode_text(vectors)
        fused = model.gafa(x, q)
        cma = model.alignment(*fused, targets).item()
        x_fuse, q_fuse = (torch.nn.functional.normalize(f, dim=1) for f in fused)
    assert last["held_out_cma"] == pytest.approx(cma, rel=1e-4)
    carried = targets.bool().numpy()
    plain = set_retrieval((x @ q.T).numpy(), carried)
    best = set_retrieval((x_fuse @ q_fuse.T).numpy(), carried)
    for name, value in plain.items():
        assert last[name] == value and last[f"fused_{name}"] == best[name]
    mixed = (0, 1, 2, 3, 4, 5)
    areas = [auroc(carried[:, s], (x @ q.T)[:, s].numpy()) for s in mixed]
    assert last["statement_auroc"] == pytest.approx(np.mean(areas), abs=1e-6)


def test_statements_that_all_or_none_of_the_held_out_ecgs_carry_have_no_auroc(
    pairs, tmp_path
):
    loop = trainer(config(), pairs, tmp_path)
    carried = pairs.batch(pairs.held_out)[2]
    assert carried[:, [3, 5]].all() and not carried[:, [0, 1, 2, 4]].any()
    assert "statement_auroc" not in loop.evaluate()


def test_ranks_of_sets_are_those_of_single_texts_where_each_ecg_has_one():
    rng = np.random.default_rng(0)
    x, texts = rng.normal(size=(30, 4)), rng.normal(size=(7, 4))
    own = np.arange(30) % 7
    carried = np.eye(7, dtype=bool)[own]
    assert set_retrieval(x @ texts.T, carried) == retrieval(x, texts[own])


def test_ranks_of_sets_count_only_what_is_not_ones_own():
    """ECG 1 carries statements 1 and 2, ECG 2 the third; the fourth is of nobody."""
    similarity = np.array([[0.9, 0.2, 0.5, 0.1], [0.8, 0.3, 0.6, 0.9]])
    own = np.array([[True, True, False, False], [False, False, True, False]])
    found = set_retrieval(similarity, own)
    # Others above: 0.9: none; 0.2: one (0.5); of ECG 2, 0.6: two (0.8, 0.9).
    assert found["ecg_to_text_r1"] == pytest.approx(1 / 3)
    assert found["ecg_to_text_r5"] == 1 and found["ecg_to_text_median_rank"] == 2
    # Statement 1 finds its ECG first, 2 second (0.3 > 0.2), 3 first.
    assert found["text_to_ecg_r1"] == pytest.approx(2 / 3)
    assert found["text_to_ecg_median_rank"] == 1
