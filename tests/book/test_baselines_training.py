"""The project's loop trains every baseline: resumed, watched, kept and read again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from toys import MODEL, ROWS, TRAIN, numbered_store, rows_of

from mccgaa.config import EncoderConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError, StoreError
from mccgaa.pretrain import Trainer
from mccgaa.run_folder import read_metrics
from mccgaa_book.baselines import registry, trainer
from mccgaa_book.baselines.base import Batch, Method, spread
from mccgaa_book.baselines.config import BaselineConfig, Plan
from mccgaa_book.baselines.trainer import Signals, train

NARROW = {"width": 16, "depth": 1, "heads": 2}
FEW = {"moments": 4}  # as many as the map of a toy's record has
SMALL = {
    **dict.fromkeys(("st-mem", "crt"), NARROW),
    "ts-tcc": {**NARROW, **FEW, "ahead": 2},
    "astcl": FEW,
}

PLAN = Plan(epochs=2, batch_size=8, precision="fp32", seeds=(0,), settings=SMALL)
# Those whose module is here.
TRAINED = registry.trained_here()
LEARNING = [n for n in TRAINED if n != "random"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SignalStore:
    return numbered_store(tmp_path_factory.mktemp("toys") / "store")


def config(name: str, plan: Plan = PLAN, seed: int = 0) -> BaselineConfig:
    settings = registry.settings(name, plan.settings.get(name))
    encoder = EncoderConfig(widths=(12, 12, 12, 12), cam="none")
    loop = plan.pretrain(settings, seed)
    return BaselineConfig(name, settings, MODEL.input, encoder, loop)


def run(name: str, store: SignalStore, out: Path, plan: Plan = PLAN) -> Path:
    return train(config(name, plan), store, out, device="cpu", progress=False)


def interrupt(
    name: str, store: SignalStore, out: Path, plan: Plan, after: int = 1
) -> None:
    """Start a run and stop it once `after` steps are done, a checkpoint at each."""
    step = Trainer.train_step

    def stop(self, *batch):
        if self.step == after:
            raise KeyboardInterrupt
        step(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", stop)
        short = config(name, plan)
        loop = replace(short.pretrain, checkpoint_every=1)
        with pytest.raises(KeyboardInterrupt):
            train(
                replace(short, pretrain=loop), store, out, device="cpu", progress=False
            )


@pytest.mark.parametrize("name", LEARNING)
def test_a_run_that_was_killed_ends_with_the_same_weights(name, store, tmp_path):
    short = replace(PLAN, epochs=1, batch_size=20)  # two steps
    whole = run(name, store, tmp_path / "whole", short)
    interrupt(name, store, tmp_path / "cut", short)
    again = run(name, store, tmp_path / "cut", short)
    mine, its = (load_file(f / "model.safetensors") for f in (again, whole))
    assert again.name == whole.name and mine.keys() == its.keys()
    assert all(torch.equal(mine[key], its[key]) for key in its)
    one, two = (pd.read_csv(f / "history.csv") for f in (again, whole))
    columns = [c for c in two if c != "samples_per_second"]
    pd.testing.assert_frame_equal(one[columns], two[columns])
    cls = registry.method(name)
    assert columns == ["step", "epoch", *cls.columns(), "lr"] and len(two) == 2
    fresh = registry.build(config(name))
    assert any(not torch.equal(v, its[k]) for k, v in fresh.state_dict().items())


@pytest.mark.parametrize("name", TRAINED)
def test_a_finished_run_is_read_again_and_not_trained_again(
    name, store, tmp_path, monkeypatch
):
    folder = run(name, store, tmp_path, replace(PLAN, epochs=1, batch_size=20))
    found = registry.load(folder)
    assert not found.training and found.config.method == name
    signals = torch.from_numpy(store.batch([0, 1, 2]))
    with torch.no_grad():
        features = found.features(signals)
    assert features.shape == (3, found.encoder.width) and features.isfinite().all()
    monkeypatch.setattr(trainer, "build", None)  # whoever trains now fails
    assert run(name, store, tmp_path, replace(PLAN, epochs=1, batch_size=20)) == folder


def test_a_warm_up_raises_the_rate_and_then_the_cosine_has_it(store, tmp_path):
    plan = replace(PLAN, epochs=2, batch_size=8)
    plain = pd.read_csv(run("simclr", store, tmp_path / "plain", plan) / "history.csv")
    settings = registry.settings("simclr", {"warmup": 0.5})
    warm = replace(config("simclr", plan), settings=settings)
    assert warm.hash != config("simclr", plan).hash
    folder = train(warm, store, tmp_path / "warm", device="cpu", progress=False)
    risen = pd.read_csv(folder / "history.csv")
    steps = len(plain)
    expected = (plain["step"] + 1).div(steps / 2).clip(upper=1) * plain["lr"]
    assert steps >= 8 and risen["lr"].tolist() == pytest.approx(expected.tolist())
    assert risen["loss"].iloc[1] != plain["loss"].iloc[1]  # what the step took
    learner = trainer.BaselineLearner(warm, torch.device("cpu"), total=10)
    learner.step(1, 1.0, torch.randn(8, 12, 100), torch.arange(8))
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(0.4)


def test_random_weights_are_those_that_training_starts_from(store, tmp_path):
    folder = run("random", store, tmp_path)
    torch.manual_seed(0)
    mine = registry.load(folder).state_dict()
    trainer.seed_step(0)
    first = registry.build(config("simclr")).encoder.state_dict()
    assert all(torch.equal(mine[f"encoder.{k}"], v) for k, v in first.items())
    assert len(pd.read_csv(folder / "history.csv")) == 0


def test_only_training_ecgs_are_read_each_once_per_epoch(store, tmp_path, monkeypatch):
    read = []

    class Reader(Method):
        def loss(self, batch: Batch):
            read.append((rows_of(batch.signals), batch.subjects.tolist()))
            assert batch.progress == (len(read) - 1) / 10
            h = self.features(batch.signals).sum()
            return {"loss": h, "spread": torch.ones(())}

    monkeypatch.setattr(registry, "method", lambda name: Reader)
    monkeypatch.setattr(trainer, "method", lambda name: Reader)
    run("simclr", store, tmp_path)
    rows = [row for batch, _ in read for row in batch]
    assert sorted(rows) == sorted(2 * TRAIN)
    for batch, subjects in read:
        assert subjects == [store_subject(store)[row] for row in batch]


def store_subject(store: SignalStore) -> list[int]:
    return Signals(store).subjects.tolist()


def test_subjects_are_numbered_and_unknown_ones_differ(store):
    assert store_subject(store) == list(range(ROWS))
    copy = SignalStore(store.path, store.meta)
    copy.__dict__["records"] = store.records.assign(
        subject_id=["a", "b", "a", None, None, *["c"] * (ROWS - 5)]
    )
    found = store_subject(copy)
    assert found[0] == found[2] != found[1] and found[5] == found[-1]
    assert len({*found[:6]}) == 5


@pytest.mark.parametrize(
    ("value", "spread", "probed", "message"),
    [
        (
            *(float("nan"), 1.0, 1.0),
            r"the loss is nan at step 0 .* lower baselines\.settings\.simclr\.lr or "
            r"use baselines\.precision: fp32\.",
        ),
        (1.0, 1e-3, 1.0, r"the embeddings have collapsed, .* 1.0e-03 in epoch 0"),
        (1.0, 1.0, 1e-4, r"the features have collapsed, .*e-0[3-9] in epoch 0"),
    ],
)
def test_a_method_that_diverges_or_collapses_fails_loudly(
    value, spread, probed, message, store, tmp_path, monkeypatch
):
    class Broken(Method):
        def features(self, x):
            return 1 + probed * super().features(x)

        def loss(self, batch: Batch):
            h = self.features(batch.signals).sum()
            return {"loss": value + 0 * h, "spread": torch.tensor(spread)}

    monkeypatch.setattr(registry, "method", lambda name: Broken)
    monkeypatch.setattr(trainer, "method", lambda name: Broken)
    with pytest.raises(RunError, match=message):
        run("simclr", store, tmp_path)
    assert not list(tmp_path.glob("*/metrics.json"))


def test_its_steps_are_plain_on_a_gpu_however_long_the_run():
    loop, own = object.__new__(trainer.BaselineTrainer), config("simclr")
    loop.config = replace(own, pretrain=replace(own.pretrain, compile="on"))
    loop.device, loop.processes = torch.device("cuda", 0), 1
    assert not loop.worth_compiling and not loop.can_be_captured


def test_a_store_of_another_rate_is_refused(store, tmp_path):
    other = config("simclr")
    other = replace(other, input=replace(other.input, sampling_rate=100))
    with pytest.raises(StoreError, match="has sampling_rate 64"):
        train(other, store, tmp_path, device="cpu", progress=False)


def test_a_run_is_named_by_what_decides_it_and_by_nothing_else():
    first = config("byol")
    assert first.folder.startswith("byol-")
    others = [
        config("byol", seed=1),
        config("simsiam"),
        replace(first, settings=replace(first.settings, decay=0.5)),
        replace(first, store="other"),
        replace(first, processes=2),
        replace(first, pretrain=replace(first.pretrain, epochs=9)),
    ]
    assert len({one.hash for one in (first, *others)}) == 7
    loop = replace(first.pretrain, workers=3, checkpoint_every=5, store_on="host")
    assert replace(first, pretrain=loop).hash == first.hash
    half = replace(first.pretrain, batch_size=4)
    assert replace(first, pretrain=half, processes=2).hash == first.hash


def test_what_is_no_baseline_is_not_read(tmp_path):
    with pytest.raises(RunError, match="holds no finished baseline"):
        registry.load(tmp_path)
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match=r"run of `mccgaa pretrain`; .* `mccgaa\.load`"):
        registry.load(tmp_path)
    for damaged in ('{"method": 3}', "[]", '{"method"', '{"method": "byol"}'):
        (tmp_path / "config.json").write_text(damaged)
        said = r"no baseline that can be read .*: unless another .*, delete the folder"
        with pytest.raises(RunError, match=said):
            registry.load(tmp_path)


def test_a_run_that_the_system_does_not_give_is_not_to_be_deleted(
    tmp_path, monkeypatch
):
    for name in registry.FILES:
        (tmp_path / name).touch()

    def refused(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(RunError, match=r"cannot be read \(.*Permission denied\)\.$"):
        registry.load(tmp_path)


def test_a_finished_run_that_lacks_a_file_is_not_said_to_be_missing(store, tmp_path):
    folder = run("random", store, tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"lacks model\.safetensors; delete the folder"):
        registry.load(folder)


HALF = """
import sys
from test_baselines_training import PLAN, SignalStore, config, replace, train
plan = replace(PLAN, batch_size=PLAN.batch_size // 2)
store = SignalStore.open(sys.argv[1])
train(config("simclr", plan), store, sys.argv[2], device="cpu", progress=False)
"""


def test_two_processes_train_the_run_that_one_has_with_the_whole_batch(store, tmp_path):
    (tmp_path / "half.py").write_text(HALF)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", str(tmp_path / "half.py"), str(store.path)]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, str(tmp_path / "runs")],
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = (tmp_path / "runs").iterdir()
    whole = replace(config("simclr"), store=store.meta["fingerprint"])
    assert folder.name == whole.folder
    assert read_metrics(folder)["facts"]["processes"] == 2
    history = pd.read_csv(folder / "history.csv")
    assert len(history) == PLAN.epochs * (len(TRAIN) // PLAN.batch_size)
    assert registry.load(folder).config.method == "simclr"


def test_each_step_lets_the_method_follow(store, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        registry.method("byol"), "after_step", lambda self, done: seen.append(done)
    )
    run("byol", store, tmp_path)
    assert seen == [i / 10 for i in range(10)]


def test_the_spread_of_what_is_probed_is_kept_for_each_epoch(store, tmp_path):
    folder = run("simsiam", store, tmp_path)
    epochs = pd.read_csv(folder / "epochs.csv")
    rows = Signals(store).train[: PLAN.batch_size]
    with torch.no_grad():
        z = registry.load(folder).features(torch.from_numpy(store.batch(rows)))
    assert epochs["features"].iloc[-1] == pytest.approx(float(spread(z)), rel=1e-4)
    assert len(epochs) == PLAN.epochs and (epochs["features"] > 0.01).all()
