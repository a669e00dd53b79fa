"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from toys import MODEL, RUN, NumberEncoder, numbered_pairs, numbered_store

from mccgaa.config import LossConfig, RunConfig
from mccgaa.encoder import ChannelAttention
from mccgaa.learner import Learner
from mccgaa.model import MCCGAA
from mccgaa.pairs import Pairs
from mccgaa.pretrain import Trainer, pretrain
from mccgaa.run_folder import RunFolder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU = torch.device("cuda", 0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return numbered_pairs(numbered_store(tmp_path_factory.mktemp("toys") / "store"))


@pytest.fixture(autouse=True)
def all_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolve in float32, not in TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def test_channel_attention_is_that_of_a_cpu():
    torch.manual_seed(0)
    cam = ChannelAttention(6)
    x = torch.randn(3, 6, 1, 41).to(memory_format=torch.channels_last)
    direction, seen = torch.randn(3, 6), []
    for device in ("cpu", "cuda"):
        cam.to(device).zero_grad()
        own = x.detach().to(device).requires_grad_()  # a leaf of its own
        alpha = cam.weights(own)
        alpha.backward(direction.to(device))
        seen.append((alpha.detach().cpu(), own.grad.cpu()))
    torch.testing.assert_close(seen[1], seen[0])


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Fail where the host waits for the device."""
    yield
    torch.cuda.set_sync_debug_mode("default")


def with_(**settings) -> RunConfig:
    """The toy run with other settings of pretraining."""
    return replace(RUN, pretrain=replace(RUN.pretrain, **settings))


@pytest.mark.parametrize("graph", ["pair", "bipartite", "none"])
@pytest.mark.parametrize("where", ["device", "host"])
def test_a_step_never_waits_for_the_device(pairs, tmp_path, no_waiting, graph, where):
    model = replace(MODEL, gafa=replace(MODEL.gafa, graph=graph))
    names = ("standard", "crop-resize", "hum", "time-mask")
    settings = {"store_on": where, "augment": 0.5, "augmentations": names}
    config = replace(with_(precision="bf16", **settings), model=model)
    loop = Trainer(config, pairs, RunFolder(tmp_path), GPU, False)
    steps = loop.batches(0)
    for _ in range(2):  # kernels are chosen, memory is had
        loop.train_step(0, *next(steps))
    torch.cuda.set_sync_debug_mode("error")
    loop.train_step(0, *next(steps))
    loop.train_step(0, *next(steps))
    torch.cuda.set_sync_debug_mode("default")
    assert loop.step == 4


def test_a_step_of_statements_never_waits_for_the_device(pairs, tmp_path, no_waiting):
    sets = [["says 1", f"says {i % 9}"] for i in range(len(pairs.store))]
    loss = LossConfig(kind="statements", learn_tau=True, uma_weight=0.0)
    model = replace(MODEL, gafa=replace(MODEL.gafa, graph="none"), loss=loss)
    config = replace(with_(precision="bf16", ema=0.9), model=model)
    own = Pairs.of_statements(pairs.store, sets, NumberEncoder())
    loop = Trainer(config, own, RunFolder(tmp_path), GPU, False)
    steps = loop.batches(0)
    loop.train_step(0, *next(steps))
    loop.train_step(0, *next(steps))
    torch.cuda.set_sync_debug_mode("error")
    given = next(steps)
    loop.train_step(0, *given)
    torch.cuda.set_sync_debug_mode("default")
    rows, targets = [round(float(r)) for r in given[0][:, 0, 0] * 1000], given[2]
    for row, target in zip(rows, targets.tolist(), strict=True):
        assert [i for i, y in enumerate(target) if y] == sorted({1, row % 9})


@pytest.mark.parametrize("where", ["device", "host"])
def test_a_run_ends_and_its_model_loads_on_the_cpu(pairs, tmp_path, where):
    run = pretrain(with_(store_on=where), pairs, tmp_path, device="cuda")
    facts = json.loads((run / "metrics.json").read_text())["facts"]
    assert facts["store_on"] == where and "cuda" in facts["device"]
    assert MCCGAA.from_pretrained(run).device.type == "cpu"


def test_the_gpu_takes_the_steps_of_the_cpu(pairs):
    loss = LossConfig(dropout=(0.0, 0.0))
    config = replace(with_(precision="fp32"), model=replace(MODEL, loss=loss))
    found = {}
    for device in (torch.device("cpu"), GPU):
        learner = Learner(config, device)
        signals, vectors = (t.to(device) for t in pairs.batch(pairs.train[:8]))
        losses = [learner.step(t, 1e-4, signals, vectors / 10) for t in range(4)]
        found[device.type] = torch.stack(losses).cpu()
    torch.testing.assert_close(found["cuda"], found["cpu"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("augment", [0.0, 0.5])
def test_compiled_steps_are_plain_steps(pairs, augment, capsys):
    found, names = [], []
    for compiled in (False, True):
        learner = Learner(with_(precision="fp32", augment=augment), GPU)
        names.append(list(learner.model.state_dict()))
        if compiled and not learner.compile():
            pytest.skip(capsys.readouterr().err)
        signals, vectors = (t.to(GPU) for t in pairs.batch(pairs.train[:8]))
        losses = [learner.step(t, 1e-4, signals, vectors / 10) for t in range(4)]
        found.append(torch.stack(losses))
        assert list(learner.model.state_dict()) == names[0]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("augment", [0.0, 0.5])
@pytest.mark.filterwarnings("error:.*capturable")
def test_captured_steps_are_plain_steps_dropout_included(pairs, augment):
    found, weights = [], []
    for recorded in (False, True):
        learner = Learner(with_(precision="fp32", augment=augment, ema=0.9), GPU)
        if recorded:
            learner.capture()
        signals, vectors = (t.to(GPU) for t in pairs.batch(pairs.train[:8]))
        losses = [
            learner.step(t, 1e-3 / (t + 1), signals, vectors / 10) for t in range(8)
        ]
        found.append(torch.stack(losses))
        weights.append(torch.cat([w.flatten() for w in learner.result.parameters()]))
    assert learner.replay is not None and learner.replay.graph, learner.replay.why
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-3)
    fewer = learner.step(8, 1e-3, signals[:4], vectors[:4] / 10)  # plain
    assert fewer.isfinite().all() and fewer[0] != found[1][-1, 0]


def test_a_step_is_captured_while_threads_pin_memory(pairs):
    learner, done, kept = Learner(with_(), GPU), threading.Event(), []

    def pin() -> None:
        while not done.is_set() and len(kept) < 10_000:
            kept.append(torch.empty(2**16 + len(kept), pin_memory=True))

    learner.capture()
    signals, vectors = (t.to(GPU) for t in pairs.batch(pairs.train[:8]))
    with ThreadPoolExecutor(1) as pool:
        pinned = pool.submit(pin)
        try:
            for t in range(6):
                learner.step(t, 1e-4, signals, vectors / 10)
        finally:
            done.set()
        pinned.result()
    assert learner.replay is not None and learner.replay.graph, learner.replay.why


@pytest.mark.parametrize("where", ["device", "host"])
def test_a_short_run_is_captured_and_goes_on_plainly_on_a_cpu(pairs, tmp_path, where):
    run = pretrain(with_(epochs=2, store_on=where), pairs, tmp_path, device="cuda")
    facts = json.loads((run / "metrics.json").read_text())["facts"]
    assert facts["captured"] and not facts["compiled"]
    config = with_(epochs=2)
    learner, other = Learner(config, GPU), Learner(config, torch.device("cpu"))
    learner.capture()
    signals, vectors = (t.to(GPU) for t in pairs.batch(pairs.train[:8]))
    for t in range(5):
        learner.step(t, 1e-3, signals, vectors)
    other.load(learner.state())
    assert other.step(5, 1e-3, signals.cpu(), vectors.cpu()).isfinite().all()
