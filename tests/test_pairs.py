"""ECGs and texts stay together, and only those of the right split are read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_device import fake_gpu
from toys import (
    TRAIN,
    VAL,
    NumberEncoder,
    numbered_pairs,
    numbered_store,
    rows_of,
    texts_of,
    write_store,
)

from mccgaa import pairs as module
from mccgaa.config import (
    GafaConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    PretrainConfig,
    RunConfig,
    TextConfig,
)
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError, StoreError
from mccgaa.knowledge import Entry, Knowledge
from mccgaa.pairs import (
    Pairs,
    check_input,
    epoch_order,
    load_pairs,
    record_texts,
    shares,
)


@pytest.fixture
def store(twin_store: Path) -> SignalStore:
    return SignalStore.open(twin_store)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> SignalStore:
    return numbered_store(tmp_path_factory.mktemp("toys") / "store")


def test_reports_are_taken_as_they_are_and_empty_ones_left_out(store):
    store.records.loc[0, "text"] = ""
    texts = record_texts(
        store, PretrainConfig(text="report"), TextConfig(), Knowledge.load()
    )
    assert texts[0] is None
    assert texts[1:] == list(store.records["text"][1:])


@pytest.mark.parametrize("style", ["name", "full"])
def test_knowledge_texts_name_every_statement_of_a_record(store, style):
    knowledge, settings = Knowledge.load(), PretrainConfig(text="knowledge")
    store.records.at[3, "statements"] = []
    texts = record_texts(store, settings, TextConfig(style=style), knowledge)
    assert texts[3] is None
    for text, statements in zip(texts, store.records["statements"], strict=True):
        for statement in statements:
            named = knowledge.text("statements", statement, style).rstrip(".")
            assert named in text


def test_the_data_take_the_path_of_equation_1(store, monkeypatch):
    def f_query(labels, knowledge, task, style):
        return [f"{task} {style} {'+'.join(sorted(names))}" for names in labels]

    monkeypatch.setattr(module, "f_query", f_query)
    settings = PretrainConfig(text="knowledge")
    texts = record_texts(store, settings, TextConfig(style="full"), Knowledge.load())
    assert texts == [
        f"statements full {'+'.join(sorted(names))}"
        for names in store.records["statements"]
    ]


def test_a_source_without_statements_says_to_use_its_reports(store):
    store.meta["source"] = "mimic"
    with pytest.raises(RunError, match="pretrain it with text: report"):
        record_texts(
            store, PretrainConfig(text="knowledge"), TextConfig(), Knowledge.load()
        )


def test_training_rows_are_literally_the_train_split_and_held_out_ones_the_val(
    numbered,
):
    pairs = numbered_pairs(numbered)
    assert pairs.train.tolist() == TRAIN and pairs.held_out.tolist() == VAL
    texts = [None if i in (0, 18) else f"record {i}" for i in range(len(numbered))]
    pairs = Pairs.build(numbered, texts, NumberEncoder())
    assert pairs.train.tolist() == [i for i in TRAIN if i != 0]
    assert pairs.held_out.tolist() == [i for i in VAL if i != 18]
    assert "record 9" not in pairs.distinct, "a text of the test split is not encoded"
    with pytest.raises(RunError, match="no training record with a text"):
        Pairs.build(numbered, [None] * len(numbered), NumberEncoder())


def test_a_store_without_a_training_split_is_refused_by_that_name(tmp_path):
    """And not as one without texts, or whose statements are too rare."""
    store = write_store(tmp_path / "s", np.zeros((4, 12, 64)), ["test"] * 4)
    said = "s has no record to learn from: none is in the split train"
    with pytest.raises(RunError, match=said):
        Pairs.build(store, ["record 1"] * 4, NumberEncoder())
    with pytest.raises(RunError, match=said):
        Pairs.of_statements(store, [["record 1"]] * 4, NumberEncoder())


def test_a_batch_has_each_signal_with_its_own_text(numbered):
    pairs = numbered_pairs(numbered)
    rows = np.array([7, 0, 48, 7])
    signals, vectors = pairs.batch(rows)
    assert signals.shape == (4, 12, 64) and vectors.shape == (4, 8)
    assert rows_of(signals) == texts_of(vectors) == rows.tolist()


def test_equal_texts_are_encoded_once(numbered):
    texts = [f"record {i % 4}" for i in range(len(numbered))]
    pairs = Pairs.build(numbered, texts, NumberEncoder())
    assert sorted(pairs.distinct) == [f"record {i}" for i in range(4)]
    _, vectors = pairs.batch(np.array([5, 10, 11]))
    assert texts_of(vectors) == [1, 2, 3]


def test_the_fingerprint_follows_the_texts_and_their_order(numbered):
    texts = [f"record {i}" for i in range(len(numbered))]
    prints = {
        Pairs.build(numbered, words, NumberEncoder()).fingerprint
        for words in (texts, texts[::-1], [*texts[:-1], "other 1"], [None, *texts[1:]])
    }
    assert len(prints) == 4
    assert numbered_pairs(numbered).fingerprint in prints


def test_a_fingerprint_is_of_the_texts_of_all_records(numbered):
    """Runs and checkpoints are found by it."""
    texts = ["record 1", None, "", *["record 2"] * (len(numbered) - 3)]
    pairs = Pairs.build(numbered, texts, NumberEncoder())
    whole = "\0".join(["record 1", "", "", *["record 2"] * (len(numbered) - 3)])
    assert pairs.fingerprint == hashlib.sha256(whole.encode()).hexdigest()[:16]
    assert pairs.text_of.tolist() == [0, -1, -1, *[1] * (len(numbered) - 3)]


def test_an_epochs_order_is_a_function_of_seed_and_epoch_alone():
    rows = np.arange(100, 140)
    first = epoch_order(rows, seed=1, epoch=2)
    np.random.seed(9)  # noqa: NPY002 (the global state must not matter)
    torch.manual_seed(9)
    assert np.array_equal(first, epoch_order(rows, 1, 2))
    assert sorted(first) == rows.tolist()
    others = [epoch_order(rows, 1, 1), epoch_order(rows, 2, 1), epoch_order(rows, 0, 2)]
    for i, one in enumerate([first, *others, rows]):
        for two in [first, *others, rows][i + 1 :]:
            assert not np.array_equal(one, two)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_processes_share_each_step_of_an_epoch(monkeypatch, processes):
    order = epoch_order(np.array(TRAIN), 0, 0)
    parts = []
    for rank in range(processes):
        monkeypatch.setattr(module, "world", lambda rank=rank: (rank, processes))
        parts.append(shares(order, size=4))
        assert parts[-1].shape == (40 // (4 * processes), 4)
    for step, together in enumerate(zip(*parts, strict=True)):
        start = step * 4 * processes
        rows = np.concatenate(together)
        assert rows.tolist() == order[start : start + 4 * processes].tolist()


def as_packed(store: SignalStore, **parts: object) -> ModelConfig:
    """The configuration of a model that reads a store."""
    rate = store.meta["sampling_rate"]
    seconds = store.meta["length"] / rate
    given = InputConfig(rate, seconds, store.meta["transform"])
    return ModelConfig(input=given, **parts)


def test_a_store_of_another_input_is_refused(numbered, monkeypatch):
    monkeypatch.setattr(module, "TextEncoder", pytest.fail)
    right = InputConfig(sampling_rate=64, duration=1.0, transform="bandpass-zscore")
    check_input(numbered, right)
    for wrong, said in (
        (
            InputConfig(500, 0.5, "raw"),
            "sampling_rate 64, duration 1.0, transform bandpass-zscore, but .* again "
            "with --sampling-rate 500 --duration 0.5 --transform raw,",
        ),
        (InputConfig(64, 2.0, "bandpass-zscore"), "duration 1.0, but .* 2.0"),
        (InputConfig(64, 1.0, "raw"), "transform bandpass-zscore, but .* raw"),
    ):
        with pytest.raises(StoreError, match=said):
            check_input(numbered, wrong)
        config = RunConfig(model=ModelConfig(input=wrong))
        with pytest.raises(StoreError, match=said):
            load_pairs(numbered, config, Knowledge.load())


@pytest.mark.parametrize("device", ["cpu", None])
def test_load_pairs_encodes_nothing_before_it_is_asked(store, monkeypatch, device):
    seen = []

    class Encoder(NumberEncoder):
        def __init__(self, config, device):
            self.config, self.device = config, device

        def encode(self, texts, progress=False):
            seen.append((list(texts), progress))
            return torch.zeros(len(texts), 8)

    monkeypatch.setattr(module, "TextEncoder", Encoder)
    settings = PretrainConfig(text="knowledge")
    config = RunConfig(model=as_packed(store), pretrain=settings)
    options = {"device": device, "progress": False}
    with fake_gpu() as gpu:  # which is the default
        pairs = load_pairs(store, config, Knowledge.load(), **options)
    assert pairs.encoder.config == config.model.text
    assert pairs.encoder.device == (torch.device(device) if device else gpu)
    assert not seen
    assert pairs.vectors is pairs.vectors and pairs.vectors.shape[1] == 8
    assert seen == [(list(pairs.distinct), False)]


class Shown(NumberEncoder):
    """Notes whether a bar is wanted."""

    def __init__(self, *_config: object, **_options: object) -> None:
        self.progress: list[bool] = []

    def encode(self, texts, progress=False):
        self.progress.append(progress)
        return super().encode(["record 0"] * len(texts))


def test_a_bar_is_shown_where_texts_are_loaded_unless_it_is_not_wanted(
    numbered, monkeypatch
):
    monkeypatch.setattr(module, "TextEncoder", Shown)
    texts = list(numbered.records["text"])
    made = [
        (False, Pairs.build(numbered, texts, Shown())),
        (True, Pairs.build(numbered, texts, Shown(), progress=True)),
        (False, Pairs.of_statements(numbered, [[t] for t in texts], Shown())),
        (True, Pairs.of_statements(numbered, [[t] for t in texts], Shown(), True)),
    ]
    for kind in ("symmetric", "statements"):
        parts = {"loss": LossConfig(kind=kind), "gafa": GafaConfig(graph="none")}
        model = as_packed(numbered, **parts)
        config = RunConfig(model=model, pretrain=PretrainConfig(min_count=1))
        for wanted, options in ((True, {}), (False, {"progress": False})):
            pairs = load_pairs(numbered, config, Knowledge.load(), **options)
            made.append((wanted, pairs))
    for wanted, pairs in made:
        assert pairs.progress is wanted
        assert len(pairs.vectors) and pairs.encoder.progress == [wanted]


@pytest.mark.parametrize("kind", ["symmetric", "statements"])
def test_a_run_may_read_the_first_training_records_alone(numbered, monkeypatch, kind):
    monkeypatch.setattr(module, "TextEncoder", lambda *a, **k: NumberEncoder())

    def read(records: int):
        parts = {"loss": LossConfig(kind=kind), "gafa": GafaConfig(graph="none")}
        model = as_packed(numbered, **parts)
        settings = PretrainConfig(records=records, min_count=1)
        config = RunConfig(model=model, pretrain=settings)
        return load_pairs(numbered, config, Knowledge.load(), device="cpu")

    few, every = read(3), read(0)
    assert few.train.tolist() == every.train[:3].tolist()
    assert len(every.train) > 3 and few.held_out.tolist() == every.held_out.tolist()
    assert few.fingerprint != every.fingerprint


def test_class_texts_are_named_by_training_texts_alone(numbered, monkeypatch):
    splits, texts = numbered.records["split"].to_numpy(), numbered.records["text"]
    first = {split: texts[splits == split].iloc[0] for split in ("train", "val")}
    names = {**first, "part": "recor", "none": "atrial fibrillation"}
    knowledge = Knowledge({"any": {k: Entry(text, k) for k, text in names.items()}})
    monkeypatch.setattr(module, "TextEncoder", lambda *a, **k: NumberEncoder())
    config = RunConfig(model=as_packed(numbered))
    named = load_pairs(numbered, config, knowledge, device="cpu").named
    expected = {first["train"]: True, first["val"]: False}
    assert named == {**expected, "recor": False, "atrial fibrillation": False}
