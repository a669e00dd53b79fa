"""The loop trains, on the right pairs, as written, and says what it cannot do."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fake_device import fake_gpu
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from toys import (
    MODEL,
    RUN,
    TRAIN,
    VAL,
    NumberEncoder,
    numbered_pairs,
    numbered_store,
    rows_of,
    texts_of,
    write_store,
)

from mccgaa import fast_encoder, learner
from mccgaa import pretrain as module
from mccgaa.config import GafaConfig, InputConfig, LossConfig, RunConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, RunError, StoreError
from mccgaa.held_out import held_out
from mccgaa.learner import Learner
from mccgaa.metrics import retrieval
from mccgaa.model import MCCGAA
from mccgaa.pairs import Pairs, epoch_order
from mccgaa.pretrain import Trainer, learning_rate, pretrain
from mccgaa.run_folder import RunFolder
from mccgaa.runtime import seed_step

STEPS = 15  # 3 epochs of 40 training rows, 8 at a time


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return numbered_pairs(numbered_store(tmp_path_factory.mktemp("toys") / "store"))


@pytest.fixture(scope="module")
def finished(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = with_(RUN, snapshots=(1,))
    return train(config, pairs, tmp_path_factory.mktemp("runs"))


def with_(config: RunConfig, **settings: Any) -> RunConfig:
    """Change settings of a run's pretraining."""
    return replace(config, pretrain=replace(config.pretrain, **settings))


def train(config: RunConfig, pairs: Pairs, out: Path) -> Path:
    return pretrain(config, pairs, out, device="cpu", progress=False)


def trainer(config: RunConfig, pairs: Pairs, folder: Path) -> Trainer:
    return Trainer(config, pairs, RunFolder(folder), torch.device("cpu"), False)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_finished_run_holds_model_history_retrieval_and_facts(finished):
    history = pd.read_csv(finished / "history.csv")
    assert history["step"].tolist() == list(range(STEPS))
    assert history["epoch"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    np.testing.assert_allclose(
        history["loss"], history["cma"] + history["uma"], rtol=1e-5
    )
    epochs = pd.read_csv(finished / "epochs.csv")
    assert epochs["step"].tolist() == [5, 10, 15]
    assert {"held_out_cma", "text_to_ecg_r5", "fused_ecg_to_text_r1"} <= set(epochs)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["synthetic"] is True and metrics["steps"] == STEPS
    assert metrics["pairs"] == {"train": 40, "held_out": 5, "distinct_texts": 45}
    assert metrics["texts"] == {"kind": RUN.pretrain.text, "named": None}
    assert metrics["hash"] == finished.name.rpartition("-")[2]
    assert metrics["method"] == 1 and metrics["facts"]["precision"] == "fp32"
    assert metrics["facts"]["store_on"] == "host"
    assert metrics["facts"]["compiled"] is False and "start" not in metrics
    assert metrics["store"] == {"source": "toy", "fingerprint": "toy"}
    assert metrics["last_epoch"]["step"] == 15
    assert not (finished / "checkpoint").exists()
    assert MCCGAA.from_pretrained(finished).config == MODEL
    assert MCCGAA.from_pretrained(finished / "snapshots" / "epoch-01").config == MODEL


def test_second_start_of_a_finished_run_returns_without_touching_it(finished, pairs):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    silent = with_(RUN, workers=3, checkpoint_every=7, checkpoint_minutes=1.0)
    silent = with_(silent, store_on="device")
    for config in (with_(RUN, snapshots=(1,)), RUN, silent):
        assert train(config, pairs, finished.parent) == finished
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*")}


def test_the_device_and_the_precision_asked_for_are_used(
    finished, pairs, tmp_path, monkeypatch
):
    asked = []

    def pick(device: str) -> torch.device:
        asked.append(device)
        return torch.device("cpu")

    def effective(device: torch.device, precision: str) -> str:
        asked.append((device.type, precision))
        return precision

    monkeypatch.setattr(module, "pick_device", pick)
    train(RUN, pairs, finished.parent)
    monkeypatch.setattr(module, "effective_precision", effective)
    half = trainer(with_(RUN, precision="bf16"), pairs, tmp_path)
    assert asked == ["cpu", ("cpu", "bf16")] and half.precision == "bf16"


def test_the_loss_that_is_shown_and_watched_is_the_whole_one(
    pairs, tmp_path, monkeypatch
):
    loop = trainer(RUN, pairs, tmp_path)
    monkeypatch.setattr(loop.folder, "append_history", lambda rows: None)
    loop.clock = 0.0
    loop.waiting.append((0, 0, 1e-3, torch.tensor([3.0, 2.0, 1.0])))
    assert loop.flush() == 3
    loop.waiting.append((1, 0, 1e-3, torch.tensor([math.nan, 2.0, math.nan])))
    with pytest.raises(RunError, match="the loss is nan at step 1"):
        loop.flush()


def test_a_finished_run_without_a_snapshot_that_is_asked_for_says_so(finished, pairs):
    with pytest.raises(RunError, match=r"weights of epoch 2, 3 \(pretrain.snapshots\)"):
        train(with_(RUN, snapshots=(1, 2, 3, 9)), pairs, finished.parent)


def test_seed_texts_encoder_and_settings_name_different_runs(pairs, tmp_path):
    short = with_(RUN, epochs=1)
    encoder = NumberEncoder()
    encoder.fingerprint = "other numbers"
    texts = [f"again {i}" for i in range(len(pairs.store))]
    runs = [
        train(short, pairs, tmp_path),
        train(with_(short, seed=1), pairs, tmp_path),
        train(with_(short, lr=2e-3), pairs, tmp_path),
        train(short, replace(pairs, encoder=encoder), tmp_path),
        train(short, Pairs.build(pairs.store, texts, NumberEncoder()), tmp_path),
    ]
    assert len({run.name for run in runs}) == len(runs)
    assert len({weights(run) for run in runs[:3]}) == 3


@pytest.mark.parametrize(
    ("workers", "where"), [(0, "auto"), (2, "host"), (0, "device")]
)
def test_every_epoch_reads_the_training_rows_each_beside_its_own_text(
    pairs, tmp_path, workers, where
):
    loop = trainer(with_(RUN, workers=workers, store_on=where), pairs, tmp_path)
    for epoch in range(2):
        loop.step = 5 * epoch
        read = []
        for signals, vectors in loop.batches(epoch):
            assert rows_of(signals) == texts_of(vectors)
            read += rows_of(signals)
        assert read == epoch_order(np.array(TRAIN), 0, epoch).tolist()
        assert sorted(read) == TRAIN
    loop.step = 8  # three of the second epoch's five batches are done
    rest = [row for signals, _ in loop.batches(1) for row in rows_of(signals)]
    assert rest == read[24:]


def test_training_sees_only_training_rows_and_the_held_out_part_only_val_rows(
    pairs, tmp_path, monkeypatch
):
    seen: dict[str, list[int]] = {"train": [], "evaluate": []}
    for name in seen:
        monkeypatch.setattr(Trainer, *_spy(seen, name))
    train(with_(RUN, epochs=2), pairs, tmp_path)
    assert sorted(seen["train"]) == sorted(TRAIN * 2)
    assert seen["evaluate"] == VAL * 2


def _spy(seen: dict[str, list[int]], name: str) -> tuple[str, Any]:
    """Record the rows that the model is given in a method of the Trainer."""
    if name == "train":
        original = Trainer.train_step

        def train_step(self, epoch, signals, vectors):
            assert rows_of(signals) == texts_of(vectors)
            seen[name] += rows_of(signals)
            original(self, epoch, signals, vectors)

        return "train_step", train_step
    original = Trainer.evaluate

    def evaluate(self):
        with pytest.MonkeyPatch.context() as patch:
            encode = self.model.encode_ecg

            def encode_ecg(signals):
                assert not self.model.training
                seen[name].extend(rows_of(signals))
                return encode(signals)

            patch.setattr(self.model, "encode_ecg", encode_ecg)
            return original(self)

    return "evaluate", evaluate


@pytest.mark.parametrize(("size", "processes"), [(3, 1), (1, 3)])
def test_held_out_numbers_are_those_of_the_val_pairs(pairs, tmp_path, size, processes):
    config = replace(with_(RUN, batch_size=size), processes=processes)
    loop = trainer(config, pairs, tmp_path)
    for _ in range(2):  # batch norm's running statistics move
        loop.train_step(0, *pairs.batch(np.array(TRAIN[:8])))
    found = loop.evaluate()
    model = loop.model.eval()
    x_fuse, q_fuse, losses = [], [], []
    with torch.no_grad():
        signals, vectors = pairs.batch(np.array(VAL))
        x, q = model.encode_ecg(signals), model.encode_text(vectors)
        for part in (slice(0, 3), slice(3, 5)):
            fused = model.gafa(x[part], q[part])
            losses.append(model.alignment(*fused).item())
            for kept, new in zip((x_fuse, q_fuse), fused, strict=True):
                kept.append(torch.nn.functional.normalize(new, dim=-1))
    assert found["held_out_cma"] == pytest.approx((3 * losses[0] + 2 * losses[1]) / 5)
    plain = retrieval(x.numpy(), q.numpy())
    fused = retrieval(torch.cat(x_fuse).numpy(), torch.cat(q_fuse).numpy())
    for name, value in plain.items():
        assert found[name] == value
        assert found[f"fused_{name}"] == fused[name]


def test_equal_texts_are_one_though_batches_of_other_sizes_round_otherwise(
    pairs, tmp_path, monkeypatch
):
    loop = trainer(RUN, pairs, tmp_path)
    signals, vectors = pairs.batch(np.array(TRAIN[:9]))
    vectors = vectors[[0, 0, 0, 1, 1, 1, 0, 1, 0]]
    parts = [
        (signals[rows], vectors[rows])
        for rows in (slice(0, 4), slice(4, 8), slice(8, 9))
    ]
    exact = held_out(loop.model, parts, "fp32")
    project = loop.model.encode_text
    monkeypatch.setattr(
        loop.model, "encode_text", lambda q: project(q) + 1e-6 * (len(q) == 1)
    )
    rounded = held_out(loop.model, parts, "fp32")
    names = [name for name in exact if name.startswith(("ecg_", "text_"))]
    assert len(names) == 6
    assert [rounded[name] for name in names] == [exact[name] for name in names]
    assert exact["ecg_to_text_median_rank"] <= 2  # of two texts


def test_steps_equal_adamw_written_by_hand_in_float64(pairs, tmp_path):
    beta1, beta2, eps = 0.8, 0.95, 1e-8
    loss = LossConfig(learn_tau=True, dropout=(0.2, 0.3))
    config = with_(
        replace(RUN, model=replace(MODEL, loss=loss)),
        lr=1e-2,
        min_lr=1e-4,
        weight_decay=0.1,
        betas=(beta1, beta2),
        seed=3,
    )
    loop = trainer(config, pairs, tmp_path)
    loop.model.double()
    ours = MCCGAA(config.model).double()
    ours.load_state_dict(loop.model.state_dict())
    start = {name: p.detach().clone() for name, p in ours.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in ours.named_parameters()}
    second = {name: torch.zeros_like(p) for name, p in ours.named_parameters()}
    for t in range(4):
        signals, vectors = pairs.batch(np.array(TRAIN[8 * t : 8 * t + 8]))
        signals, vectors = signals.double(), vectors.double() / 10
        loop.train_step(0, signals, vectors)

        seed_step(3, t, 0)
        output = ours.train()(signals, vectors)
        torch.testing.assert_close(
            loop.waiting[-1][3], torch.stack([output.loss, output.cma, output.uma])
        )
        lr = 1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * t / 14)) / 2
        gradients = torch.autograd.grad(output.loss, list(ours.parameters()))
        with torch.no_grad():
            for (name, p), g in zip(ours.named_parameters(), gradients, strict=True):
                first[name] = beta1 * first[name] + (1 - beta1) * g
                second[name] = beta2 * second[name] + (1 - beta2) * g * g
                m = first[name] / (1 - beta1 ** (t + 1))
                v = second[name] / (1 - beta2 ** (t + 1))
                p -= lr * 0.1 * p  # decoupled weight decay
                p -= lr * m / (v.sqrt() + eps)
    for name, p in loop.model.named_parameters():
        torch.testing.assert_close(p, ours.get_parameter(name), msg=name)
        assert not torch.equal(p, start[name]), f"{name} never moved"
    assert loop.step == 4


def test_the_schedule_reaches_the_optimiser(pairs, tmp_path, monkeypatch):
    used = []
    original = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        used.append([group["lr"] for group in self.param_groups])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    run = train(RUN, pairs, tmp_path)
    wanted = [
        1e-8 + (1e-3 - 1e-8) * (1 + math.cos(math.pi * t / (STEPS - 1))) / 2
        for t in range(STEPS)
    ]
    np.testing.assert_allclose([lr for (lr,) in used], wanted, rtol=1e-12)
    history = pd.read_csv(run / "history.csv")
    np.testing.assert_allclose(history["lr"], wanted, rtol=1e-12)


def test_learning_rate_is_one_cosine_from_first_to_last_step():
    rates = [learning_rate(s, 101, 1e-3, 1e-8) for s in range(101)]
    assert rates[0] == pytest.approx(1e-3) and rates[-1] == pytest.approx(1e-8)
    assert rates[50] == pytest.approx((1e-3 + 1e-8) / 2)
    assert rates[25] == pytest.approx(1e-8 + (1e-3 - 1e-8) * (2 + 2**0.5) / 4)
    assert learning_rate(0, 1, 1e-3, 1e-8) == 1e-3
    assert learning_rate(1, 2, 1e-3, 1e-8) == pytest.approx(1e-8)


def test_dropout_differs_from_step_to_step_and_repeats_with_the_seed(pairs, tmp_path):
    def losses(seed: int) -> list[float]:
        loop = trainer(with_(RUN, lr=0.0, min_lr=0.0, seed=seed), pairs, tmp_path)
        seed_step(0)
        for parameter in loop.model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        batch = pairs.batch(np.array(TRAIN[:8]))
        for _ in range(3):
            loop.train_step(0, *batch)
        return torch.stack([w[3][2] for w in loop.waiting]).tolist()

    assert losses(0) == losses(0) and len(set(losses(0))) == 3
    assert not set(losses(0)) & set(losses(1))


def test_the_first_weights_are_those_of_the_seed(pairs, tmp_path):
    def first(seed: int) -> Tensor:
        torch.manual_seed(99)  # what was drawn before must not matter
        loop = trainer(with_(RUN, seed=seed), pairs, tmp_path)
        return torch.cat([p.detach().flatten() for p in loop.model.parameters()])

    assert torch.equal(first(0), first(0))
    assert (first(0) != first(1)).float().mean() > 0.9


def test_augmentation_reaches_training_and_not_the_held_out_part(
    pairs, tmp_path, monkeypatch
):
    calls = []

    def augment(signals: Tensor, *settings: object, **more: object) -> Tensor:
        calls.append((settings, more))
        return signals * 0

    monkeypatch.setattr("mccgaa.plus.augment.augment", augment)
    names = ("noise", "shift")
    rate = RUN.model.input.sampling_rate
    loop = trainer(with_(RUN, augment=0.7, augmentations=names), pairs, tmp_path)
    given = []
    forward = loop.model.forward
    monkeypatch.setattr(
        loop.model, "forward", lambda x, q: (given.append(x), forward(x, q))[1]
    )
    loop.train_step(0, *pairs.batch(np.array(TRAIN[:8])))
    loop.evaluate()
    assert calls == [((0.7, names, rate), {"standardised": True})]
    assert not given[0].any()


class OneHotEncoder:
    """The vector of "kind k": 1 in place k."""

    fingerprint = "one-hot"

    def encode(self, texts: Sequence[str], progress: bool = False) -> Tensor:
        kinds = torch.tensor([int(text.split()[-1]) for text in texts])
        return torch.nn.functional.one_hot(kinds, 8).float()


def separable_pairs(folder: Path) -> Pairs:
    """Eight kinds of ECG, each with its text: one wave, its sign a pattern of leads."""
    rng = np.random.default_rng(0)
    kind = np.r_[np.tile(np.arange(8), 16), np.arange(8)]  # (136,), the last 8 held out
    wave = np.sin(2 * np.pi * 4 * np.arange(64) / 64)  # (64,)
    signs = rng.choice([-1, 1], (8, 12))[kind]  # (136, 12)
    signals = 1000 * signs[:, :, None] * wave + rng.normal(0, 100, (136, 12, 64))
    store = write_store(folder, signals, ["train"] * 128 + ["val"] * 8)
    return Pairs.build(store, [f"kind {k}" for k in kind], OneHotEncoder())


def test_a_run_on_separable_pairs_learns(tmp_path):
    model = replace(MODEL, gafa=replace(MODEL.gafa, graph="none"))
    config = with_(replace(RUN, model=model), epochs=5, batch_size=16, lr=3e-3)
    run = train(config, separable_pairs(tmp_path / "store"), tmp_path)
    epochs = pd.read_csv(run / "epochs.csv")
    loss = pd.read_csv(run / "history.csv")["cma"]
    assert len(loss) == 40
    assert loss.iloc[-5:].mean() < loss.iloc[0] / 2
    assert epochs["ecg_to_text_r1"].iloc[-1] >= 0.9  # chance is 1 / 8
    assert epochs["text_to_ecg_r1"].iloc[-1] >= 0.9
    assert epochs["held_out_cma"].iloc[-1] < epochs["held_out_cma"].iloc[0] / 2


@pytest.mark.parametrize(
    ("ecg", "text", "best"),
    [
        ((0.2, 0.6, 0.4), (0.5, 0.5, 0.5), 1),
        ((0.6, 0.1, 0.6), (0.5, 0.5, 0.5), 0),  # the first of equals
        ((0.1, 0.2, 0.3), (0.0, 0.0, 0.0), 2),
        ((0.2, 0.6, 0.4), (0.2, 0.3, 0.9), 2),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0),
    ],
)
def test_best_retrieval_keeps_the_epoch_with_the_best_held_out_recalls(
    pairs, tmp_path, monkeypatch, ecg, text, best
):
    names = ("ecg_to_text_r5", "text_to_ecg_r5")
    # What a graph finds that holds both halves of a pair must not choose.
    fused = [{f"fused_{name}": value for name in names} for value in (0.9, 0.5, 0.7)]
    given = (
        dict(zip(names, row, strict=True)) | of_graph
        for row, of_graph in zip(zip(ecg, text, strict=True), fused, strict=True)
    )
    monkeypatch.setattr(Trainer, "evaluate", lambda self: next(given))
    config = with_(RUN, selection="best-retrieval", snapshots=(1, 2, 3))
    run = train(config, pairs, tmp_path)
    kept = [weights(RunFolder(run).snapshot(epoch)) for epoch in (1, 2, 3)]
    assert len(set(kept)) == 3
    assert weights(run) == kept[best]


def test_where_the_store_lies_and_who_reads_it_change_no_weight(
    finished, pairs, tmp_path
):
    for name, settings in (("a", {"workers": 2}), ("b", {"store_on": "device"})):
        run = train(with_(RUN, **settings), pairs, tmp_path / name)
        assert weights(run) == weights(finished)


@pytest.mark.parametrize(
    ("settings", "processes", "steps", "expected"),
    [
        ({}, 1, 10_000, True),
        ({}, 1, 9_999, False),
        ({}, 2, 10_000, False),
        ({"compile": "off"}, 1, 10_000, False),
        ({"compile": "on"}, 2, 1, True),
        ({"compile": "on", "chunk": 4}, 1, 10_000, False),
        ({"chunk": 4}, 1, 10_000, False),
    ],
)
def test_long_runs_on_one_gpu_are_worth_compiling(
    pairs, tmp_path, settings, processes, steps, expected
):
    loop = trainer(with_(RUN, **settings), pairs, tmp_path)
    on_cpu = loop.worth_compiling
    loop.device, loop.processes = torch.device("cuda", 0), processes
    loop.step, loop.total_steps = 5, 5 + steps
    assert loop.worth_compiling is expected
    assert on_cpu is (expected and "compile" in settings)


@pytest.mark.parametrize(
    ("settings", "model", "processes", "expected"),
    [
        ({}, {}, 1, True),
        ({"compile": "on", "augment": 0.5, "ema": 0.9}, {}, 1, True),
        ({}, {}, 2, False),
        ({"compile": "off"}, {}, 1, False),
        ({"chunk": 4}, {}, 1, False),
        ({}, {"gafa": GafaConfig(graph="bipartite", neighbours=3)}, 1, False),
        (
            {},
            {
                "gafa": GafaConfig(graph="none"),
                "loss": LossConfig(kind="statements", learn_tau=True, uma_weight=0.0),
            },
            1,
            False,
        ),
    ],
)
def test_steps_on_one_gpu_are_captured_where_all_are_alike(
    pairs, tmp_path, settings, model, processes, expected
):
    config = with_(RUN, **settings)
    loop = trainer(config, pairs, tmp_path)
    assert not loop.can_be_captured, "a CPU records nothing"
    loop.config = replace(config, model=replace(config.model, **model))
    loop.device, loop.processes = torch.device("cuda", 0), processes
    assert loop.can_be_captured is expected


@pytest.mark.parametrize("graph", [None, object()])
def test_a_run_is_captured_from_its_first_step_and_says_whether_it_was(
    pairs, tmp_path, monkeypatch, graph
):
    begun, taken = [], []

    class Stand:
        def __init__(self, one: Learner) -> None:
            self.one, self.graph = one, graph

        def __call__(self, *given: Tensor) -> Tensor:
            taken.append(len(given))
            return self.one.plain_step(*given)

    def record(self: Learner) -> None:
        begun.append(len(taken))
        for group in self.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        self.replay = Stand(self)

    monkeypatch.setattr(Trainer, "can_be_captured", True)
    monkeypatch.setattr(Learner, "capture", record)
    run = train(with_(RUN, epochs=1), pairs, tmp_path)
    assert begun == [0] and taken == [2] * 5
    facts = json.loads((run / "metrics.json").read_text())["facts"]
    assert facts["captured"] is (graph is not None)


@pytest.mark.parametrize(("processes", "fast"), [(1, True), (2, False)])
def test_statistics_of_all_processes_need_the_plain_form_of_the_encoder(
    monkeypatch, processes, fast
):
    used, features = [], fast_encoder.features

    def watched(*given):
        used.append(given)
        return features(*given)

    monkeypatch.setattr(torch, "compile", lambda function, **_options: function)
    monkeypatch.setattr(fast_encoder, "features", watched)
    one = Learner(RUN, torch.device("cpu"))
    monkeypatch.setattr(learner, "world", lambda: (0, processes))
    assert one.compile() and bool(used) is fast
    assert all(weight.grad is None for weight in one.model.parameters())


def test_compiled_steps_leave_weights_names_and_statistics_as_they_are(
    finished, pairs, tmp_path, monkeypatch
):
    calls = []

    def compile_(function, **options):
        assert options == {"dynamic": False}  # every batch has one shape

        def compiled(x):
            calls.append(tuple(x.shape))
            return function(x)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_)
    run = train(with_(RUN, compile="on"), pairs, tmp_path)
    assert calls == [(8, 12, 64)] * (1 + STEPS)
    mine, plain = (
        load_file(folder / "model.safetensors") for folder in (run, finished)
    )
    assert mine.keys() == plain.keys()
    for name, weight in mine.items():
        if "num_batches" in name:  # the step that compiles does not count
            assert weight == STEPS
    mine, plain = (pd.read_csv(folder / "history.csv") for folder in (run, finished))
    columns = ["loss", "cma", "uma"]  # another form of the encoder rounds otherwise
    pd.testing.assert_frame_equal(mine[columns], plain[columns], rtol=1e-3)
    assert json.loads((run / "metrics.json").read_text())["facts"]["compiled"] is True


def test_steps_measures_and_compiling_use_the_precision_asked_for(
    pairs, tmp_path, monkeypatch
):
    asked = []

    def autocast(device, precision):
        asked.append((device.type, precision))
        return contextlib.nullcontext()

    monkeypatch.setattr(torch, "compile", lambda function, **_options: function)
    for place in ("learner", "held_out"):
        monkeypatch.setattr(f"mccgaa.{place}.autocast", autocast)
    for precision in ("fp32", "bf16"):
        loop = trainer(with_(RUN, precision=precision), pairs, tmp_path)
        loop.train_step(0, *pairs.batch(np.array(TRAIN[:8])))
        loop.evaluate()
        assert loop.learner.compile()
        assert asked == [("cpu", precision)] * 3
        asked.clear()


def test_where_nothing_can_be_compiled_a_sentence_says_so_and_training_goes_on(
    finished, pairs, tmp_path, monkeypatch, capsys
):
    def compile_(function, **options):
        def compiled(x):
            function(x)[0].sum().backward()
            raise RuntimeError("no C compiler\nlong story")

        return compiled

    monkeypatch.setattr(torch, "compile", compile_)
    run = train(with_(RUN, compile="on"), pairs, tmp_path)
    said = capsys.readouterr().err
    assert said == "Training goes on without torch.compile: no C compiler\n"
    assert weights(run) == weights(finished)
    assert json.loads((run / "metrics.json").read_text())["facts"]["compiled"] is False


def test_processes_share_gradients_and_on_gpus_the_statistics_of_batch_norm(
    monkeypatch,
):
    done = []

    def shared(model):
        done.append(("gradients", model))
        return torch.nn.Sequential(model)

    def convert(model):
        done.append(("statistics", model))

    monkeypatch.setattr(learner, "world", lambda: (1, 2))
    monkeypatch.setattr(learner, "DistributedDataParallel", shared)
    monkeypatch.setattr(torch.nn.SyncBatchNorm, "convert_sync_batchnorm", convert)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    one = learner.Learner(RUN, torch.device("cpu"))
    assert done == [("gradients", one.model)] and one.module[0] is one.model
    assert torch.backends.cudnn.benchmark is False
    with fake_gpu() as gpu:
        other = learner.Learner(RUN, gpu)
        assert done[1:] == [("statistics", other.model), ("gradients", other.model)]
        assert other.model.device == gpu and torch.backends.cudnn.benchmark is True
    assert one.rank == other.rank == 1
    monkeypatch.setattr(learner, "world", lambda: (0, 1))
    assert learner.Learner(RUN, torch.device("cpu")).module is not one.module
    assert len(done) == 3


def test_a_run_in_chunks_is_another_run(finished, pairs, tmp_path):
    run = train(with_(RUN, chunk=3), pairs, tmp_path)
    assert run.name != finished.name and weights(run) != weights(finished)


def test_last_selection_keeps_the_last_epoch(pairs, tmp_path):
    run = train(with_(RUN, snapshots=(1, 3)), pairs, tmp_path)
    assert weights(run) == weights(RunFolder(run).snapshot(3))
    assert weights(run) != weights(RunFolder(run).snapshot(1))


def test_pairs_per_second_count_reading_and_both_passes(pairs, tmp_path, monkeypatch):
    raw = SignalStore.raw
    backward = Tensor.backward

    def slow_raw(self, rows, out=None):
        time.sleep(0.02)
        return raw(self, rows, out)

    def slow_backward(self, *args, **kwargs):
        time.sleep(0.02)
        return backward(self, *args, **kwargs)

    def slow_evaluate(self):
        time.sleep(0.5)
        return {}

    monkeypatch.setattr(SignalStore, "raw", slow_raw)
    monkeypatch.setattr(Tensor, "backward", slow_backward)
    monkeypatch.setattr(Trainer, "evaluate", slow_evaluate)
    start = time.perf_counter()
    run = train(RUN, pairs, tmp_path)
    whole = time.perf_counter() - start
    speed = pd.read_csv(run / "history.csv")["samples_per_second"]
    assert speed.max() < 8 / 0.04
    seconds = json.loads((run / "metrics.json").read_text())["seconds"]
    assert STEPS * 0.04 < seconds + 0.05 < whole - 3 * 0.5 + 0.1
    assert (8 / speed).sum() == pytest.approx(seconds, abs=0.06)


class Asked(TorchDispatchMode):
    """Notes what the host asks of a tensor's numbers, for which it would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2"):
            self.found.append(name)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("graph", ["pair", "bipartite", "none"])
def test_a_step_asks_no_number_of_the_device(pairs, tmp_path, graph):
    """`test_gpu.py` has the same on a GPU."""
    model = replace(MODEL, gafa=replace(MODEL.gafa, graph=graph))
    names = ("standard", "crop-resize", "hum", "time-mask")
    config = with_(RUN, store_on="device", augment=0.5, augmentations=names, ema=0.9)
    loop = trainer(replace(config, model=model), pairs, tmp_path)
    steps = loop.batches(0)
    with Asked() as asked:
        loop.train_step(0, *next(steps))
        loop.train_step(0, *next(steps))
        assert asked.found == []
        float(loop.waiting[0][-1][0])
    assert asked.found == ["_local_scalar_dense"], "as a look at a loss does"


def test_losses_are_fetched_every_few_steps_and_at_the_end_of_an_epoch(
    pairs, tmp_path, monkeypatch
):
    flushed = []
    flush = Trainer.flush

    def spy(self):
        flushed.append(self.step)
        return flush(self)

    assert module.FLUSH == 50
    monkeypatch.setattr(module, "FLUSH", 2)
    monkeypatch.setattr(Trainer, "flush", spy)
    train(with_(RUN, checkpoint_every=1000), pairs, tmp_path)
    assert flushed == [2, 4, 5, 7, 9, 10, 12, 14, 15]


@pytest.mark.parametrize(
    ("steps", "minutes", "saved"),
    [(4, 60.0, [4, 8, 12]), (1000, 0.0, list(range(1, 16))), (1000, 60.0, [])],
)
def test_checkpoints_come_after_steps_or_minutes(
    pairs, tmp_path, monkeypatch, steps, minutes, saved
):
    found = []
    monkeypatch.setattr(
        RunFolder, "save", lambda self, facts, state: found.append(state["step"])
    )
    config = with_(RUN, checkpoint_every=steps, checkpoint_minutes=minutes)
    train(config, pairs, tmp_path)
    assert found == saved


def test_training_is_timed_without_measuring_and_saving(pairs, tmp_path, monkeypatch):
    """A clock that each step moves by 20 s, the end of an epoch by 5, a save by 7."""
    now, saved = 0.0, []
    step, end, save = Trainer.train_step, Trainer.end_epoch, Trainer.save

    def train_step(self, *given):
        nonlocal now
        step(self, *given)
        now += 20

    def end_epoch(self, epoch):
        nonlocal now
        end(self, epoch)
        now += 5

    def note(self):
        nonlocal now
        saved.append(self.step)
        save(self)
        now += 7

    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    for name, method in (("train_step", train_step), ("end_epoch", end_epoch)):
        monkeypatch.setattr(Trainer, name, method)
    monkeypatch.setattr(Trainer, "save", note)
    monkeypatch.setattr(Trainer, "evaluate", lambda self: {})
    config = with_(RUN, checkpoint_every=1000, checkpoint_minutes=1.0)
    run = train(config, pairs, tmp_path)
    # A minute behind the last: three steps, or two and the end of an epoch.
    assert saved == [3, 6, 9, 12, 15]
    assert json.loads((run / "metrics.json").read_text())["seconds"] == 300
    speed = pd.read_csv(run / "history.csv")["samples_per_second"]
    assert speed.tolist() == pytest.approx([8 / 20] * STEPS)


def test_each_look_at_the_losses_counts_its_own_steps_and_nothing_on_its_way(
    pairs, tmp_path, monkeypatch
):
    """A clock that a step moves by 20 s, and what goes to the device by 1000."""
    now = 0.0
    step = Trainer.train_step

    def train_step(self, *given):
        nonlocal now
        step(self, *given)
        now += 20

    def late(make, *given):
        nonlocal now
        now += 1000
        return make(*given)

    for name in ("DeviceReader", "DeviceTexts"):
        monkeypatch.setattr(module, name, partial(late, getattr(module, name)))
    monkeypatch.setattr(module, "FLUSH", 2)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    monkeypatch.setattr(Trainer, "train_step", train_step)
    config = with_(RUN, epochs=1, checkpoint_every=99, checkpoint_minutes=99.0)
    run = train(config, pairs, tmp_path)
    speed = pd.read_csv(run / "history.csv")["samples_per_second"]
    assert speed.tolist() == pytest.approx([8 / 20] * 5)
    assert json.loads((run / "metrics.json").read_text())["seconds"] == 100


def test_a_continued_run_counts_the_seconds_that_it_took_before(
    pairs, tmp_path, monkeypatch
):
    save = RunFolder.save

    class Killed(Exception):
        pass

    def killed(self, facts, state):
        save(self, facts, state | {"seconds": 1000.0})
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunFolder, "save", killed)
        train(RUN, pairs, tmp_path)
    run = train(RUN, pairs, tmp_path)
    seconds = json.loads((run / "metrics.json").read_text())["seconds"]
    assert 1000 < seconds < 1100


def test_speed_is_that_of_all_processes_together(pairs, tmp_path, monkeypatch):
    rows = []
    monkeypatch.setattr(RunFolder, "append_history", lambda _, new: rows.extend(new))
    loop = trainer(replace(RUN, processes=3), pairs, tmp_path)
    loop.clock = 0.0
    loop.train_step(0, *pairs.batch(np.array(TRAIN[:8])))
    monkeypatch.setattr(module.time, "perf_counter", lambda: 4.0)
    loop.flush()
    assert [row[-1] for row in rows] == [3 * 8 / 4]


def test_a_bar_counts_steps_and_notes_are_kept(pairs, tmp_path, capsys):
    short = with_(RUN, epochs=1)
    run = pretrain(short, pairs, tmp_path, device="cpu", note={"tier": "toy"})
    said = capsys.readouterr().err
    assert "5/5" in said and run.name in said and "loss=" in said
    assert re.search(r"\d(s/step|step/s)", said)
    assert json.loads((run / "metrics.json").read_text())["tier"] == "toy"
    train(short, pairs, tmp_path / "quiet")
    assert not capsys.readouterr().err


def test_one_process_of_several_shows_a_bar(pairs, tmp_path, monkeypatch):
    given = (RUN, pairs, RunFolder(tmp_path), torch.device("cpu"), True)
    assert Trainer(*given).progress is True
    monkeypatch.setattr(module, "world", lambda: (1, 2))
    loop = Trainer(*given)
    assert loop.progress is False and loop.facts()["processes"] == 2


def test_a_run_is_known_by_its_data_texts_and_encoder(pairs, tmp_path, monkeypatch):
    seen = []

    class Stub:
        def __init__(self, config, *_given):
            seen.append(config)

        def train(self, note):
            assert note == {}

    monkeypatch.setattr(module, "Trainer", Stub)
    path = train(RUN, pairs, tmp_path)
    wanted = {"processes": 1, "store": "toy", "texts": pairs.fingerprint}
    config = replace(RUN, **wanted, text_encoder="numbers", start="")
    assert seen == [config] and path == tmp_path / config.folder


def test_the_reader_and_the_texts_are_made_as_the_settings_say(
    pairs, tmp_path, monkeypatch
):
    cpu = torch.device("cpu")
    config = with_(RUN, workers=3, store_on="device")
    loop = Trainer(config, pairs, RunFolder(tmp_path), cpu, True)
    monkeypatch.setattr(module, "DeviceReader", lambda *given: given)
    monkeypatch.setattr(module, "DeviceTexts", lambda *given: given)
    assert loop.reader == (pairs.store, cpu, "device", 3, True)
    assert loop.texts == (pairs, cpu, config.model.loss.balance)


def test_only_the_first_process_writes_the_history(pairs, tmp_path):
    loop = trainer(RUN, pairs, tmp_path)
    loop.rank, loop.clock = 1, 0.0
    loop.train_step(0, *pairs.batch(np.array(TRAIN[:8])))
    assert loop.flush() > 0 and not list(tmp_path.iterdir())


def test_a_gpu_is_waited_for_before_the_clock_is_read(pairs, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    loop = trainer(RUN, pairs, tmp_path)
    for device in (torch.device("cpu"), torch.device("cuda", 0)):
        loop.clock = 0.0
        loop.device = torch.device("cpu")
        loop.train_step(0, *pairs.batch(np.array(TRAIN[:8])))
        loop.device = device
        loop.flush()
    assert waited == [torch.device("cuda", 0)]


def test_a_loss_that_is_not_finite_names_the_steps_and_leaves_the_checkpoint(
    pairs, tmp_path, monkeypatch
):
    step = Trainer.train_step

    def explode(self, epoch, signals, vectors):
        step(self, epoch, signals * (torch.inf if self.step == 6 else 1), vectors)

    monkeypatch.setattr(Trainer, "train_step", explode)
    with pytest.raises(
        RunError, match=r"the loss is nan at step 6 \(seen when steps 5 to 7 .*lower"
    ):
        train(RUN, pairs, tmp_path)
    (folder,) = tmp_path.iterdir()
    state = torch.load(folder / "checkpoint" / "state.pt", weights_only=True)
    assert state["state"]["step"] == 4
    assert pd.read_csv(folder / "history.csv")["loss"].notna().all()


@pytest.mark.parametrize("held_out", [True, False])
def test_a_last_step_that_breaks_the_weights_makes_no_finished_run(
    pairs, tmp_path, monkeypatch, held_out
):
    """Its own loss is finite, and nothing is above NaN: recalls would be 1."""
    step = Trainer.train_step

    def explode(self, epoch, signals, vectors):
        step(self, epoch, signals, vectors)
        if self.step == self.total_steps:
            next(self.model.encoder.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(Trainer, "train_step", explode)
    if not held_out:
        pairs = replace(pairs, held_out=pairs.held_out[:0])
    wrong = "loss on the held-out pairs is nan" if held_out else "weights that are not"
    with pytest.raises(RunError, match=f"{wrong}.*lower pretrain.lr"):
        train(with_(RUN, epochs=1), pairs, tmp_path)
    assert not list(tmp_path.rglob("metrics.json"))
    assert not list(tmp_path.rglob("model.safetensors"))


def test_store_of_another_rate_is_refused_before_anything_is_written(pairs, tmp_path):
    model = replace(MODEL, input=InputConfig(sampling_rate=500))
    said = "sampling_rate 64, .* again with --sampling-rate 500"
    with pytest.raises(StoreError, match=said):
        train(replace(RUN, model=model), pairs, tmp_path)
    assert not list(tmp_path.iterdir())


def test_too_large_a_batch_is_refused(pairs, tmp_path):
    with pytest.raises(RunError, match="40 training pairs, fewer than one batch of 41"):
        train(with_(RUN, batch_size=41), pairs, tmp_path)
    trainer(with_(RUN, batch_size=40), pairs, tmp_path)


def test_best_retrieval_without_held_out_pairs_is_refused(tmp_path):
    signals = np.zeros((8, 12, 64))
    store = write_store(tmp_path / "store", signals, ["train"] * 8)
    config = with_(RUN, selection="best-retrieval")
    with pytest.raises(RunError, match="no held-out pairs"):
        train(config, numbered_pairs(store), tmp_path)


def test_a_run_without_held_out_pairs_ends_without_retrieval(tmp_path):
    rng = np.random.default_rng(0)
    signals = rng.normal(0, 1000, (8, 12, 64))
    store = write_store(tmp_path / "store", signals, ["train"] * 8)
    run = train(with_(RUN, epochs=1), numbered_pairs(store), tmp_path)
    assert pd.read_csv(run / "epochs.csv").to_dict("list") == {
        "epoch": [0],
        "step": [1],
    }


@pytest.mark.parametrize("kind", ["symmetric", "clip", "siglip", "statements"])
def test_a_batch_of_one_pair_is_refused_where_the_loss_compares_pairs(kind):
    graph = replace(RUN.model.gafa, graph="none")
    model = replace(RUN.model, gafa=graph, loss=LossConfig(kind=kind))
    alone = replace(RUN, model=model, pretrain=replace(RUN.pretrain, batch_size=1))
    cpu = torch.device("cpu")
    Learner(replace(alone, processes=2), cpu)
    if kind == "statements":
        Learner(alone, cpu)
    else:
        with pytest.raises(ConfigError, match=r"batch_size is 1; expected 2 or more"):
            Learner(alone, cpu)
