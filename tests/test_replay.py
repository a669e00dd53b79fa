"""Steps that are replayed are the steps that were asked for.

A stand-in for CUDA graphs records what is done between the capture's start and end, and
does it again on the tensors of then. `test_gpu.py` has the same on a GPU.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from fake_device import fake_gpu
from torch import Tensor
from toys import RUN

from mccgaa.learner import Learner
from mccgaa.replay import WARM, Replay

CPU = torch.device("cpu")


class Steps:
    """Weights that move along the mean of what a step is given."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.optimizer = torch.optim.SGD([self.weight], lr=0.5)
        self.capturing, self.fails, self.ends_badly = False, False, False
        self.mode, self.streams = "", []  # of a capture; entered and not left
        self.waits: list[tuple] = []  # who waited for whom
        self.done = 0  # times that the host asked for a step

    def __call__(self, x: Tensor, scale: Tensor) -> Tensor:
        if self.capturing:
            if self.fails:
                raise RuntimeError("operation not permitted\nwhen stream is capturing")
            return torch.full((3,), torch.nan)  # recorded, not computed
        self.done += 1
        return self.compute(x, scale)

    def compute(self, x: Tensor, scale: Tensor) -> Tensor:
        lr = self.optimizer.param_groups[0]["lr"]
        with torch.no_grad():
            self.weight += lr * scale * x.mean(0)
        return self.weight.detach().clone()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Steps, and a `torch.cuda` that records them."""
    found = Steps()

    class Stream:
        def __init__(self, device: object = None) -> None:
            assert device is CPU

        def wait_stream(self, other: Stream) -> None:
            found.waits.append((self, other))

    class Graph:
        replay = None

    now = Stream(CPU)

    @contextlib.contextmanager
    def stream(one: Stream) -> Iterator[None]:
        assert isinstance(one, Stream)
        before = list(found.streams)
        found.streams.append(one)
        try:
            yield
        finally:
            found.streams[:] = before

    @contextlib.contextmanager
    def graph(
        recorded: Graph, stream: Stream, capture_error_mode: str = "global"
    ) -> Iterator[None]:
        assert isinstance(recorded, Graph) and isinstance(stream, Stream)
        found.mode = capture_error_mode
        found.streams.append(stream)
        found.capturing = True
        try:
            yield
        finally:
            found.capturing = False
        if found.ends_badly:  # before torch leaves the stream
            raise RuntimeError("operation failed due to a previous error")
        found.streams.pop()

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", {CPU: now}.__getitem__)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    return found


def connect(replay: Replay, steps: Steps) -> None:
    """Let the recorded graph do its work on the tensors that it was recorded with."""

    def again() -> None:
        replay.losses.copy_(steps.compute(*replay.inputs))

    replay.graph.replay = again


def walk(take, steps: Steps, replay: Replay | None = None) -> list[Tensor]:
    """Take ten steps at falling rates; keep what each returns."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for t in range(10):
        x = torch.randn(4, 3, generator=generator)
        lr = steps.optimizer.param_groups[0]["lr"]
        if isinstance(lr, Tensor):
            lr.fill_(1 / (t + 1))
        else:
            steps.optimizer.param_groups[0]["lr"] = 1 / (t + 1)
        if replay and replay.graph is None and replay.taken == WARM:
            replay._capture(x, torch.tensor(2.0))
            if replay.graph:
                connect(replay, steps)
        found.append(take(x, torch.tensor(2.0)))
    return found


def test_replayed_steps_are_plain_steps(steps):
    other = Steps()
    wanted = walk(other, other)
    replay = Replay(steps, steps.optimizer, CPU)
    found = walk(replay, steps, replay)
    assert steps.done == WARM, "after these the host asks for the graph alone"
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted))
    torch.testing.assert_close(steps.weight, other.weight)
    assert len({t.data_ptr() for t in found}) == 10, "each step has losses of its own"


def test_a_step_is_captured_once_the_plain_ones_are_taken(steps, monkeypatch):
    replay = Replay(steps, steps.optimizer, CPU)
    given = torch.ones(4, 3), torch.tensor(1.0)
    recorded = []

    def record(*given: Tensor) -> None:
        recorded.append((replay.taken, given))
        Replay._capture(replay, *given)
        connect(replay, steps)

    monkeypatch.setattr(replay, "_capture", record)
    for _ in range(WARM + 2):
        replay(*given)
    assert recorded == [(WARM, given)] and steps.done == WARM
    assert all(mine is not one for mine, one in zip(replay.inputs, given, strict=True))
    losses = replay(torch.zeros(4, 3), torch.tensor(1.0))
    torch.testing.assert_close(losses, steps.weight.detach())
    assert given[0].eq(1).all(), "what a step was given stays as it was"


def test_a_plain_step_waits_for_what_was_asked_for_and_is_waited_for(steps):
    replay = Replay(steps, steps.optimizer, CPU)
    now = torch.cuda.current_stream(CPU)
    seen = []

    def step(x: Tensor) -> Tensor:
        seen.append((list(steps.streams), list(steps.waits)))
        return x

    replay.step = step
    replay(torch.ones(4, 3))
    assert seen == [([replay.stream], [(replay.stream, now)])]
    assert steps.waits == [(replay.stream, now), (now, replay.stream)]


@pytest.mark.parametrize("fails", [False, True])
def test_a_learner_takes_the_same_steps_by_replay(steps, monkeypatch, fails):
    """Dropout, augmentation, average and schedule included."""
    settings = replace(RUN.pretrain, augment=0.5, ema=0.9)
    config = replace(RUN, pretrain=settings)
    plain, other = Learner(config, CPU), Learner(config, CPU)
    other.capture()
    replay, (group,) = other.replay, other.optimizer.param_groups
    rate = group["lr"]  # what recorded kernels read
    step, record = replay.step, replay._capture

    def watched(*given: Tensor) -> Tensor:
        assert group["capturable"] == steps.capturing
        if steps.capturing:
            if fails:
                step(*given)  # as far as it went
                raise RuntimeError("out of memory")
            return torch.zeros(3)
        return step(*given)

    def recorded(*given: Tensor) -> None:
        before, drawn = copy.deepcopy(other.state()), torch.get_rng_state()
        record(*given)
        grads = [p.grad for p in other.model.parameters()]
        assert grads.count(None) == len(grads) or not fails
        if fails:  # a GPU records, and neither computes nor draws
            torch.set_rng_state(drawn)
            other.model.load_state_dict(before["model"])
            other.optimizer.load_state_dict(before["optimizer"])
            return

        def again() -> None:
            replay.losses.copy_(step(*replay.inputs))

        replay.graph.replay = again

    replay.step = watched
    monkeypatch.setattr(replay, "_capture", recorded)
    generator = torch.Generator().manual_seed(0)
    for t in range(WARM + 3):
        given = config.model.input.length, config.model.text.dim
        signals = torch.randn(8, 12, given[0], generator=generator)
        vectors = torch.randn(8, given[1], generator=generator)
        lr = 1e-3 / (t + 1)
        losses = [one.step(t, lr, signals, vectors) for one in (plain, other)]
        torch.testing.assert_close(*losses)
        assert fails or (group["lr"] is rate and float(rate) == pytest.approx(lr))
    assert (replay.graph is None) == fails
    # Together: a weight whose gradient is rounding alone goes its own way.
    begun, wanted, mine = (
        torch.cat([w.flatten() for w in one.result.parameters()])
        for one in (Learner(config, CPU), plain, other)
    )
    assert (mine - wanted).norm() < 0.02 * (wanted - begun).norm()


def test_a_run_that_was_captured_goes_on_where_nothing_is(steps):
    learner, other = Learner(RUN, CPU), Learner(RUN, CPU)
    learner.capture()
    signals, vectors = torch.randn(8, 12, 64), torch.randn(8, 8)
    for t in range(2):
        learner.step(t, 1e-3, signals, vectors)
    other.load(copy.deepcopy(learner.state()))
    (group,) = other.optimizer.param_groups
    assert type(group["lr"]) is float and group["lr"] == pytest.approx(1e-3)
    losses = [one.step(2, 1e-3, signals, vectors) for one in (learner, other)]
    torch.testing.assert_close(*losses)


def test_recording_changes_no_weight(steps):
    replay = Replay(steps, steps.optimizer, CPU)
    for _ in range(WARM):
        replay(torch.ones(4, 3), torch.tensor(1.0))
    before = steps.weight.detach().clone()
    replay._capture(torch.ones(4, 3), torch.tensor(1.0))
    assert replay.graph is not None and torch.equal(steps.weight, before)


def test_threads_may_pin_memory_while_a_step_is_captured(steps):
    replay = Replay(steps, steps.optimizer, CPU)
    walk(replay, steps, replay)
    assert steps.mode == "thread_local", "or their calls would end the capture and them"


def test_a_capture_that_ends_badly_leaves_its_stream_and_steps_go_on(steps, capsys):
    steps.ends_badly = True
    replay = Replay(steps, steps.optimizer, CPU)
    walk(replay, steps)
    assert replay.graph is None and steps.done == 10
    assert steps.streams == []
    assert "without a CUDA graph: operation failed" in capsys.readouterr().err


def test_a_capture_that_fails_without_a_word_is_named_by_its_kind(steps, monkeypatch):
    replay = Replay(steps, steps.optimizer, CPU)

    def fail(*_: Tensor) -> Tensor:
        raise NotImplementedError

    monkeypatch.setattr(replay, "step", fail)
    replay._capture(torch.ones(4, 3), torch.tensor(1.0))
    assert replay.graph is None and replay.why == "NotImplementedError"


def test_the_learning_rate_that_kernels_read_lies_on_the_device():
    optimizer = Steps().optimizer
    with fake_gpu() as gpu:
        Replay(lambda x: x, optimizer, gpu)
        rate = optimizer.param_groups[0]["lr"]
        assert rate.device == gpu and rate.dtype == torch.float32


def test_a_batch_of_another_size_is_a_plain_step(steps):
    replay = Replay(steps, steps.optimizer, CPU)
    walk(replay, steps, replay)
    asked, before = steps.done, steps.weight.detach().clone()
    losses = replay(torch.ones(2, 3), torch.tensor(1.0))
    assert steps.done == asked + 1 and not losses.isnan().any()
    assert not torch.equal(steps.weight, before)


def test_where_nothing_can_be_captured_a_sentence_says_so_and_steps_go_on(
    steps, capsys
):
    steps.fails = True
    other = Steps()
    wanted = walk(other, other)
    replay = Replay(steps, steps.optimizer, CPU)
    found = walk(replay, steps, replay)
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted))
    said = capsys.readouterr().err
    assert said == (
        "Training goes on without a CUDA graph: operation not permitted\n"
    ), "once, and its first line alone"
    assert steps.done == 10
    assert replay.inputs == () and replay.losses is None, "their memory is free"
