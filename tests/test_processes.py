"""Two processes (gloo) train the model that one would, each on its part of a batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
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

from mccgaa.config import LossConfig, PretrainConfig
from mccgaa.data.store import SignalStore
from mccgaa.pairs import Pairs, epoch_order
from mccgaa.pretrain import Trainer, pretrain
from mccgaa.runtime import world
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


def work(store: str, out: Path) -> None:
    """What each of the two processes does; it leaves its notes in `out`."""
    encoder = CachedEncoder(out / "cache")
    opened = SignalStore.open(store)
    pairs = Pairs.build(opened, list(opened.records["text"]), encoder)
    notes = {"rows": [], "texts": []}
    step, train = Trainer.train_step, Trainer.train

    def train_step(self, epoch, signals, vectors):
        notes["rows"].append(rows_of(signals))
        notes["texts"].append(texts_of(vectors))
        step(self, epoch, signals, vectors)

    def whole_train(self, note):
        train(self, note)
        notes["encoded"] = encoder.encoded
        (out / f"rank{self.rank}.json").write_text(json.dumps(notes))
        torch.save(self.model.state_dict(), out / f"rank{self.rank}.pt")
        assert world() == (self.rank, 2)

    with pytest.MonkeyPatch.context() as patch:
        exact(patch)
        patch.setattr(Trainer, "train_step", train_step)
        patch.setattr(Trainer, "train", whole_train)
        half = replace(CONFIG, pretrain=replace(CONFIG.pretrain, batch_size=4))
        pretrain(half, pairs, out / "runs", device="cpu", progress=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes, started by torchrun, leave behind."""
    folder = tmp_path_factory.mktemp("two")
    store = numbered_store(folder / "store")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *command, __file__, str(store.path), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


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


def test_both_processes_end_with_the_weights_of_one_with_the_whole_batch(
    out, tmp_path, monkeypatch
):
    first, second = (torch.load(out / f"rank{r}.pt", weights_only=True) for r in (0, 1))
    kept = {}
    train = Trainer.train

    def whole_train(self, note):
        train(self, note)
        kept.update(self.model.state_dict())

    monkeypatch.setattr(Trainer, "train", whole_train)
    exact(monkeypatch)
    pairs = numbered_pairs(out / "store")
    alone = pretrain(CONFIG, pairs, tmp_path, device="cpu", progress=False)
    assert first.keys() == kept.keys()
    for name, weight in kept.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], weight, rtol=1e-9, atol=1e-12)
    (together,) = (out / "runs").iterdir()
    assert together.name == alone.name, "one global batch: one run"
    one, two = (pd.read_csv(run / "history.csv") for run in (alone, together))
    columns = ["step", "epoch", "loss", "cma", "uma", "lr"]
    pd.testing.assert_frame_equal(one[columns], two[columns], rtol=1e-9)


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
    work(sys.argv[1], Path(sys.argv[2]))
