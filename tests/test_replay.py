"""Steps that are replayed are the steps that were asked for.

A stand-in for CUDA graphs records what is done between the capture's start and end, and
does it again on the tensors of then. `test_gpu.py` has the same on a GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mccgaa.replay import WARM, Replay

CPU = torch.device("cpu")


class Steps:
    """Weights that move along the mean of what a step is given."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.optimizer = torch.optim.SGD([self.weight], lr=0.5)
        self.capturing, self.fails = False, False
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
            self.waited = 0

        def wait_stream(self, other: Stream) -> None:
            self.waited += 1

    class Graph:
        replay = None

    @contextlib.contextmanager
    def graph(recorded: Graph, stream: Stream) -> Iterator[None]:
        assert isinstance(stream, Stream)
        found.capturing = True
        try:
            yield
        finally:
            found.capturing = False

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
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
            replay._record(x, torch.tensor(2.0))
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


def test_recording_changes_no_weight(steps):
    replay = Replay(steps, steps.optimizer, CPU)
    for _ in range(WARM):
        replay(torch.ones(4, 3), torch.tensor(1.0))
    before = steps.weight.detach().clone()
    replay._record(torch.ones(4, 3), torch.tensor(1.0))
    assert replay.graph is not None and torch.equal(steps.weight, before)


def test_a_batch_of_another_size_is_a_plain_step(steps):
    replay = Replay(steps, steps.optimizer, CPU)
    walk(replay, steps, replay)
    asked, before = steps.done, steps.weight.detach().clone()
    losses = replay(torch.ones(2, 3), torch.tensor(1.0))
    assert steps.done == asked + 1 and not losses.isnan().any()
    assert not torch.equal(steps.weight, before)


def test_where_nothing_can_be_recorded_a_sentence_says_so_and_steps_go_on(
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
