"""A run trains, is kept, survives being killed, and says what it cannot do."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    InputConfig,
    ModelConfig,
    PretrainConfig,
    RunConfig,
    TextConfig,
)
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError, StoreError
from mccgaa.model import MCCGAA
from mccgaa.pairs import Pairs, augment
from mccgaa.pretrain import learning_rate, pretrain

MODEL = ModelConfig(
    input=InputConfig(sampling_rate=100, transform="bandpass-zscore"),
    encoder=EncoderConfig(embedding_dim=16, widths=(8, 8, 8, 8), pool_heads=2),
    text=TextConfig(dim=8),
    gafa=GafaConfig(embedding_dim=16, hidden=8, output=4, heads=2),
)
RUN = RunConfig(
    model=MODEL,
    pretrain=PretrainConfig(epochs=3, batch_size=8, checkpoint_every=2, snapshots=(1,)),
)


def encode(texts: list[str]) -> torch.Tensor:
    """A vector a text, from its hash: the loop cares for vectors only."""
    seeds = [int(hashlib.sha256(t.encode()).hexdigest()[:8], 16) for t in texts]
    rows = [np.random.default_rng(seed).normal(size=8) for seed in seeds]
    return torch.tensor(np.array(rows), dtype=torch.float32)


def corpus_of(path: Path | str) -> Pairs:
    store = SignalStore.open(path)
    return Pairs.build(store, list(store.records["text"]), encode)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(twin_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    return pretrain(RUN, corpus_of(twin_store), out, device="cpu", progress=False)


def test_finished_run_holds_model_history_retrieval_and_facts(finished, twin_store):
    history = pd.read_csv(finished / "history.csv")
    steps = len(corpus_of(twin_store).train) // 8 * 3
    assert history["step"].tolist() == list(range(steps))
    assert {"loss", "cma", "uma", "lr", "samples_per_second"} <= set(history)
    np.testing.assert_allclose(
        history["loss"], history["cma"] + history["uma"], rtol=1e-5
    )
    epochs = pd.read_csv(finished / "epochs.csv")
    assert len(epochs) == 3 and "fused_ecg_to_text_r1" in epochs
    facts = json.loads((finished / "metrics.json").read_text())
    assert facts["synthetic"] is True and facts["steps"] == steps
    assert not (finished / "checkpoint").exists()
    assert MCCGAA.from_pretrained(finished).config == MODEL
    assert MCCGAA.from_pretrained(finished / "snapshots" / "epoch-01").config == MODEL


def test_second_start_of_a_finished_run_returns_without_touching_it(
    finished, twin_store
):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    again = pretrain(RUN, corpus_of(twin_store), finished.parent, progress=False)
    assert again == finished
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*")}


def test_run_killed_with_sigkill_ends_with_the_same_weights(
    finished, twin_store, tmp_path
):
    code = (
        "import sys; sys.path.insert(0, sys.argv[3])\n"
        "from test_pretrain import *\n"
        "torch.set_num_threads(int(sys.argv[4]))\n"
        "pretrain(RUN, corpus_of(sys.argv[1]), sys.argv[2], device='cpu')\n"
    )
    arguments = [twin_store, tmp_path, Path(__file__).parent, torch.get_num_threads()]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    folder = tmp_path / finished.name
    killed = 0
    for wanted in (2, 12):  # steps that the checkpoint must have reached
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            history = folder / "history.csv"
            if history.exists() and len(pd.read_csv(history)) >= wanted:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.01)
        killed += process.wait() == -signal.SIGKILL
        if not killed:
            pytest.fail(f"the run ended by itself with {process.returncode}")
    assert not (folder / "metrics.json").exists()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert weights(folder) == weights(finished)
    for table in ("history.csv", "epochs.csv"):
        mine, whole = (pd.read_csv(f / table) for f in (folder, finished))
        columns = [c for c in whole if c != "samples_per_second"]
        pd.testing.assert_frame_equal(mine[columns], whole[columns])


def test_seed_and_texts_and_settings_name_different_runs(
    finished, twin_store, tmp_path
):
    corpus = corpus_of(twin_store)
    short = replace(RUN.pretrain, epochs=1, snapshots=())
    one = pretrain(replace(RUN, pretrain=short), corpus, tmp_path, progress=False)
    other = replace(RUN, pretrain=replace(short, seed=1))
    two = pretrain(other, corpus, tmp_path, progress=False)
    assert one.name != two.name != finished.name
    assert weights(one) != weights(two)
    texts = list(corpus.store.records["text"])
    changed = Pairs.build(corpus.store, [t and t + " again" for t in texts], encode)
    assert changed.fingerprint != corpus.fingerprint


def test_best_retrieval_keeps_the_epoch_with_the_best_held_out_recall(
    twin_store, tmp_path
):
    settings = replace(RUN.pretrain, selection="best-retrieval", snapshots=(1, 2, 3))
    run = pretrain(
        replace(RUN, pretrain=settings), corpus_of(twin_store), tmp_path, progress=False
    )
    epochs = pd.read_csv(run / "epochs.csv")
    score = epochs["ecg_to_text_r5"] + epochs["text_to_ecg_r5"]
    best = int(score.idxmax()) + 1  # the first of equals
    assert weights(run) == weights(run / "snapshots" / f"epoch-{best:02d}")


def test_checkpoint_of_another_configuration_is_refused(twin_store, tmp_path):
    corpus = corpus_of(twin_store)
    run = pretrain(RUN, corpus, tmp_path, progress=False)
    (run / "metrics.json").unlink()
    state = {"hash": "0123456789"}
    (run / "checkpoint").mkdir()
    torch.save(state, run / "checkpoint" / "state.pt")
    with pytest.raises(RunError, match="belongs to another configuration"):
        pretrain(RUN, corpus, tmp_path, progress=False)
    (run / "checkpoint" / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match="not a readable checkpoint"):
        pretrain(RUN, corpus, tmp_path, progress=False)


def test_store_of_another_rate_is_refused_before_anything_is_written(
    twin_store, tmp_path
):
    model = replace(MODEL, input=InputConfig(sampling_rate=500))
    with pytest.raises(
        StoreError, match="sampling_rate 100, but the model expects 500"
    ):
        pretrain(replace(RUN, model=model), corpus_of(twin_store), tmp_path)
    assert not list(tmp_path.iterdir())


def test_too_large_a_batch_and_texts_that_are_absent_are_sentences(
    twin_store, tmp_path
):
    corpus = corpus_of(twin_store)
    large = replace(RUN, pretrain=replace(RUN.pretrain, batch_size=500))
    with pytest.raises(RunError, match="fewer than one batch of 500"):
        pretrain(large, corpus, tmp_path, progress=False)
    with pytest.raises(RunError, match="no training record with a text"):
        Pairs.build(corpus.store, [None] * len(corpus.store), encode)


def test_learning_rate_is_one_cosine_from_first_to_last_step():
    rates = [learning_rate(s, 101, 1e-3, 1e-8) for s in range(101)]
    assert rates[0] == pytest.approx(1e-3) and rates[-1] == pytest.approx(1e-8)
    assert rates[50] == pytest.approx((1e-3 + 1e-8) / 2)
    assert all(a > b for a, b in itertools.pairwise(rates))


def test_augmentation_is_off_at_zero_and_repeats_with_the_seed():
    signals = torch.randn(4, 12, 100)
    assert augment(signals, 0.0) is signals
    torch.manual_seed(3)
    first = augment(signals, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, augment(signals, 0.5))
    assert first.shape == signals.shape and not torch.equal(first, signals)


def test_two_processes_train_one_model_on_the_whole_batch(twin_store, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[3])\n"
        "from test_pretrain import *\n"
        "torch.set_num_threads(1)\n"
        "run = replace(RUN, pretrain=replace(RUN.pretrain, batch_size=4, epochs=1))\n"
        "pretrain(run, corpus_of(sys.argv[1]), sys.argv[2], device='cpu')\n"
    )
    script = tmp_path / "two.py"
    script.write_text(code)
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", str(script)),
            *map(str, (twin_store, tmp_path / "runs", Path(__file__).parent)),
        ],
        check=True,
        capture_output=True,
        timeout=240,
    )
    (run,) = (tmp_path / "runs").iterdir()
    history = pd.read_csv(run / "history.csv")
    assert len(history) == len(corpus_of(twin_store).train) // 8
    assert json.loads((run / "metrics.json").read_text())["facts"]["processes"] == 2
