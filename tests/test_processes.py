"""Two or three processes (gloo) train the model that one would, each on its part."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import Timeout
from torch import Tensor, nn
from toys import (
    MODEL,
    RUN,
    TRAIN,
    NumberEncoder,
    numbered_pairs,
    numbered_store,
    rows_of,
    texts_of,
)

from mccgaa import run_folder, runtime
from mccgaa.config import LossConfig, PretrainConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError
from mccgaa.pairs import Pairs, epoch_order
from mccgaa.pretrain import Trainer, pretrain
from mccgaa.runtime import process_group, world
from mccgaa.text_cache import VectorCache

# Dropout draws differently on each rank; without it, and with batch norm by its running
# statistics (`exact`), two processes compute what one does.
CONFIG = replace(
    RUN,
    model=replace(
        MODEL,
        gafa=replace(MODEL.gafa, graph="bipartite"),
        loss=LossConfig(dropout=(0.0, 0.0)),
    ),
    pretrain=PretrainConfig(epochs=2, batch_size=8, precision="fp32", lr=1e-2),
)


class CachedEncoder(NumberEncoder):
    """Numbers through a cache on the disk, noting how many texts it had to encode."""

    def __init__(self, folder: Path) -> None:
        self.cache = VectorCache(folder)
        self.encoded = 0

    def encode(self, texts: Sequence[str], progress: bool = False) -> Tensor:
        missing = self.cache.missing(texts)
        if missing:
            time.sleep(0.5)  # a second process would come meanwhile
            self.encoded += len(missing)
            self.cache.add(missing, super().encode(missing).numpy())
        return torch.from_numpy(self.cache.read(texts, 8))


def exact(patch: pytest.MonkeyPatch) -> None:
    """Compute in float64, with batch norm by its running statistics."""
    read = Trainer.read

    def double_read(self, rows):
        for signals, vectors in read(self, rows):
            yield signals.double(), vectors.double()

    patch.setattr(Trainer, "read", double_read)
    patch.setattr(
        nn.BatchNorm2d, "train", lambda s, mode=True: nn.Module.train(s, False)
    )
    patch.setattr(Trainer, "evaluate", lambda s: {})
    init = Trainer.__init__

    def double(self, *arguments):
        torch.set_default_dtype(torch.float64)
        try:
            init(self, *arguments)
        finally:
            torch.set_default_dtype(torch.float32)

    patch.setattr(Trainer, "__init__", double)


def work(store: str, out: Path, size: int, trouble: str) -> None:
    """What each process does; it leaves its notes in `out`.

    Args:
        store: to read.
        out: where notes and runs go.
        size: pairs a process.
        trouble: "none"; "killed": rank 1 dies at step 5 when it is there first;
            "locked": somebody else trains in the folder at first.
    """
    encoder = CachedEncoder(out / "cache")
    opened = SignalStore.open(store)
    pairs = Pairs.build(opened, list(opened.records["text"]), encoder)
    notes = {"rows": [], "texts": []}
    step, train = Trainer.train_step, Trainer.train

    def train_step(self, epoch, signals, vectors):
        if trouble == "killed" and (self.rank, self.step) == (1, 5):
            with contextlib.suppress(FileExistsError):
                (out / "was killed").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        notes["rows"].append(rows_of(signals))
        notes["texts"].append(texts_of(vectors))
        step(self, epoch, signals, vectors)

    def whole_train(self, note):
        train(self, note)
        notes["encoded"] = encoder.encoded
        notes["processes"] = world()[1]
        (out / f"rank{self.rank}.json").write_text(json.dumps(notes))
        torch.save(self.model.state_dict(), out / f"rank{self.rank}.pt")
        assert world()[0] == self.rank

    def taken(self, **options):
        raise Timeout(self.lock_file)

    with pytest.MonkeyPatch.context() as patch:
        exact(patch)
        patch.setattr(Trainer, "train_step", train_step)
        patch.setattr(Trainer, "train", whole_train)
        patch.setattr(runtime, "JOINING", timedelta(seconds=30))
        settings = replace(CONFIG.pretrain, batch_size=size, checkpoint_every=4)
        part = replace(CONFIG, pretrain=settings)
        with process_group(torch.device("cpu")):
            if trouble == "locked":
                with pytest.MonkeyPatch.context() as locked:
                    locked.setattr(run_folder.FileLock, "acquire", taken)
                    try:
                        pretrain(part, pairs, out / "runs", device="cpu")
                    except RunError as error:
                        notes["error"] = str(error)
            pretrain(part, pairs, out / "runs", device="cpu", progress=False)


def torchrun(
    folder: Path, processes: int, size: int, trouble: str, nodes: int = 1
) -> Path:
    """Start processes that leave in `folder` what `work` says.

    Args:
        folder: for store, runs and notes.
        processes: of each node.
        size, trouble: as `work` takes them.
        nodes: agents on this machine that meet as those of several machines do.
    """
    store = numbered_store(folder / "store")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meet = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "torch.distributed.run", "--max-restarts", "3"]
    command += ["--nnodes", str(nodes), "--nproc-per-node", str(processes)]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", meet, __file__]
    command += [str(store.path), str(folder), str(size), trouble]
    own = {"OMP_NUM_THREADS": "1"}
    if nodes > 1:  # as README.md has it; one node starts again without
        own["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    agents = [
        subprocess.Popen(
            command,
            env=os.environ | own,
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"agent{node}.log").open("w"),
        )
        for node in range(nodes)
    ]
    try:
        for node, agent in enumerate(agents):
            said = folder / f"agent{node}.log"
            assert agent.wait(timeout=300) == 0, said.read_text()[-3000:]
    finally:
        for agent in agents:
            agent.terminate()  # with its processes
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave behind."""
    return torchrun(tmp_path_factory.mktemp("two"), 2, 4, "none")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three processes leave behind that found the folder locked at first."""
    return torchrun(tmp_path_factory.mktemp("three"), 3, 4, "locked")


@pytest.fixture(scope="module")
def notes(out: Path) -> list[dict]:
    return [json.loads((out / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_one_process_encodes_the_texts_and_the_other_reads_them(notes):
    assert [one["encoded"] for one in notes] == [45, 0]


def test_the_rows_of_two_processes_are_disjoint_and_complete(notes):
    for one in notes:
        assert one["rows"] == one["texts"], "each ECG beside its own text, on each rank"
    for epoch in range(2):
        order = epoch_order(np.array(TRAIN), 0, epoch).reshape(5, 2, 4)
        for rank, one in enumerate(notes):
            assert one["rows"][5 * epoch : 5 * epoch + 5] == order[:, rank].tolist()
        both = [
            row
            for one in notes
            for step in one["rows"][5 * epoch : 5 * epoch + 5]
            for row in step
        ]
        assert sorted(both) == TRAIN


@pytest.mark.parametrize(("fixture", "processes"), [("out", 2), ("three", 3)])
def test_processes_end_with_the_weights_of_one_with_the_whole_batch(
    request, tmp_path, monkeypatch, fixture, processes
):
    out = request.getfixturevalue(fixture)
    ranks = [
        torch.load(out / f"rank{r}.pt", weights_only=True) for r in range(processes)
    ]
    kept = {}
    train = Trainer.train

    def whole_train(self, note):
        train(self, note)
        kept.update(self.model.state_dict())

    monkeypatch.setattr(Trainer, "train", whole_train)
    exact(monkeypatch)
    pairs = numbered_pairs(out / "store")
    settings = replace(CONFIG.pretrain, batch_size=4 * processes)
    config = replace(CONFIG, pretrain=settings)
    alone = pretrain(config, pairs, tmp_path, device="cpu", progress=False)
    for rank in ranks:
        assert rank.keys() == kept.keys()
        for name, weight in kept.items():
            assert torch.equal(rank[name], ranks[0][name]), name
            torch.testing.assert_close(rank[name], weight, rtol=1e-9, atol=1e-12)
    (together,) = (out / "runs").iterdir()
    assert together.name == alone.name, "one global batch: one run"
    one, many = (pd.read_csv(run / "history.csv") for run in (alone, together))
    columns = ["step", "epoch", "loss", "cma", "uma", "lr"]
    pd.testing.assert_frame_equal(one[columns], many[columns], rtol=1e-9)


@pytest.mark.parametrize(("fixture", "processes"), [("out", 2), ("three", 3)])
def test_a_killed_process_is_started_again_and_the_run_ends_the_same(
    request, tmp_path, fixture, processes
):
    whole = request.getfixturevalue(fixture)
    again = torchrun(tmp_path, processes, 4, "killed")
    assert (again / "was killed").exists()
    steps = 2 * (len(TRAIN) // (4 * processes))
    for rank in range(processes):
        notes = json.loads((again / f"rank{rank}.json").read_text())
        assert len(notes["rows"]) == steps - 4, "those that follow the checkpoint"
        first, second = (
            torch.load(folder / f"rank{rank}.pt", weights_only=True)
            for folder in (whole, again)
        )
        # A sum of three may round otherwise after a start, which a sum of two cannot.
        rtol, atol = (0, 0) if processes == 2 else (1e-9, 1e-12)
        for name, weight in first.items():
            torch.testing.assert_close(second[name], weight, rtol=rtol, atol=atol)


def test_two_nodes_of_which_one_loses_its_process_end_as_two_processes_do(
    out, tmp_path
):
    again = torchrun(tmp_path, 1, 4, "killed", nodes=2)
    assert (again / "was killed").exists()
    for rank in range(2):
        notes = json.loads((again / f"rank{rank}.json").read_text())
        assert notes["processes"] == 2
        assert len(notes["rows"]) == 10 - 4, "those that follow the checkpoint"
        first, second = (
            torch.load(folder / f"rank{rank}.pt", weights_only=True)
            for folder in (out, again)
        )
        for name, weight in first.items():
            assert torch.equal(second[name], weight), name


def test_every_process_of_a_locked_run_says_the_same(three):
    notes = [json.loads((three / f"rank{rank}.json").read_text()) for rank in range(3)]
    (run,) = (three / "runs").iterdir()
    for one in notes:
        assert one["error"].startswith(f"Another process trains in {run}; wait for it")
        assert one["processes"] == 3 and len(one["rows"]) == 2 * (40 // 12)


def test_a_finished_run_of_two_processes_is_the_run_of_one(out):
    (together,) = (out / "runs").iterdir()
    facts = json.loads((together / "metrics.json").read_text())["facts"]
    assert facts["processes"] == 2
    before = {p: p.stat().st_mtime_ns for p in together.rglob("*")}
    pairs = numbered_pairs(out / "store")
    again = pretrain(CONFIG, pairs, out / "runs", device="cpu", progress=False)
    assert again == together
    assert before == {p: p.stat().st_mtime_ns for p in together.rglob("*")}


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
