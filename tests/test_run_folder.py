"""A run survives being killed and a full disk, and belongs to one writer at a time."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_pretrain import train, weights, with_
from toys import RUN, numbered_pairs, numbered_store

from mccgaa import pretrain as loop
from mccgaa.errors import RunError, WriteError
from mccgaa.model import MCCGAA
from mccgaa.pairs import Pairs
from mccgaa.pretrain import Trainer, pretrain
from mccgaa.run_folder import RunFolder, read_metrics


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return numbered_pairs(numbered_store(tmp_path_factory.mktemp("toys") / "store"))


@pytest.fixture(scope="module")
def finished(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(RUN, pairs, tmp_path_factory.mktemp("runs"))


def interrupt(pairs: Pairs, out: Path, after: int = 7, pressed: int = 0) -> RunFolder:
    """Start the run and stop it once `after` steps are done.

    Args:
        pressed: how often Ctrl-C is pressed in the step behind them; 0 stops at once.
    """
    step = Trainer.train_step

    def stop(self, *batch):
        if self.step == after and not pressed:
            raise KeyboardInterrupt
        for _ in range(pressed if self.step == after else 0):
            signal.raise_signal(signal.SIGINT)
        step(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(RUN, pairs, out)
    (folder,) = out.iterdir()
    return RunFolder(folder)


def assert_same_run(mine: Path, whole: Path) -> None:
    assert weights(mine) == weights(whole)
    for table in ("history.csv", "epochs.csv"):
        one, two = (pd.read_csv(folder / table) for folder in (mine, whole))
        columns = [c for c in two if c != "samples_per_second"]
        pd.testing.assert_frame_equal(one[columns], two[columns])


@pytest.fixture
def heard() -> Iterator[None]:
    """Hear Ctrl-C, also where the tests run behind a shell that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_lets_the_step_end_and_loses_nothing(
    heard, pairs, finished, tmp_path, monkeypatch
):
    before = signal.getsignal(signal.SIGINT)
    stopped = interrupt(pairs, tmp_path, after=8, pressed=1)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(pd.read_csv(stopped.path / "history.csv")) == 9
    taken, step = [], Trainer.train_step

    def count(self, *batch):
        taken.append(self.step)
        step(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", count)
    assert_same_run(train(RUN, pairs, tmp_path), finished)
    assert taken[0] == 9


def test_ctrl_c_again_stops_at_once(heard, pairs, finished, tmp_path):
    stopped = interrupt(pairs, tmp_path, pressed=2)
    table = stopped.path / "history.csv"
    assert not table.is_file() or len(pd.read_csv(table)) < 8
    assert_same_run(train(RUN, pairs, tmp_path), finished)


def test_who_ignores_ctrl_c_is_not_made_to_hear_it(heard, pairs, finished, tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup's jobs have it
    step = Trainer.train_step

    def ignored(self, *batch):
        signal.raise_signal(signal.SIGINT)
        step(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", ignored)
        assert_same_run(train(RUN, pairs, tmp_path), finished)


def test_a_run_in_a_thread_trains_as_in_any_place(pairs, finished, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        assert_same_run(pool.submit(train, RUN, pairs, tmp_path).result(), finished)


def test_a_run_killed_with_sigkill_ends_with_the_same_weights_and_tables(
    finished, pairs, tmp_path
):
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[3])\n"
        "from test_pretrain import *\n"
        "torch.set_num_threads(int(sys.argv[4]))\n"
        "step = Trainer.train_step\n"
        "def slow(self, *batch): time.sleep(0.1); step(self, *batch)\n"
        "Trainer.train_step = slow\n"
        "train(RUN, numbered_pairs(sys.argv[1]), sys.argv[2])\n"
    )
    arguments = [pairs.store.path, tmp_path, Path(__file__).parent]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen([*command, str(torch.get_num_threads())])
    history = tmp_path / finished.name / "history.csv"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if history.exists() and len(pd.read_csv(history)) >= 8:  # of the second epoch
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    assert (history.parent / "checkpoint" / "state.pt").exists()
    assert not (history.parent / "metrics.json").exists()
    assert_same_run(train(RUN, pairs, tmp_path), finished)


@pytest.mark.parametrize("after", [2, 4, 7, 10, 14])
def test_a_run_stopped_anywhere_ends_as_if_it_never_was(
    finished, pairs, tmp_path, after
):
    folder = interrupt(pairs, tmp_path, after)
    with folder.history.open("a") as file:
        file.write("12,1,0.5")  # a line that was cut short
    assert_same_run(train(RUN, pairs, tmp_path), finished)


def test_the_bar_of_a_continued_run_begins_where_it_was(pairs, tmp_path, capsys):
    interrupt(pairs, tmp_path, after=5)
    pretrain(RUN, pairs, tmp_path, device="cpu")
    assert "15/15" in capsys.readouterr().err


def test_best_retrieval_goes_on_from_the_best_so_far(pairs, tmp_path, monkeypatch):
    scores = {5: 0.6, 10: 0.2, 15: 0.4}
    monkeypatch.setattr(
        Trainer,
        "evaluate",
        lambda self: {"ecg_to_text_r5": scores[self.step], "text_to_ecg_r5": 0.0},
    )
    monkeypatch.setattr("test_run_folder.RUN", with_(RUN, selection="best-retrieval"))
    interrupt(pairs, tmp_path, after=13)
    config = with_(RUN, selection="best-retrieval", snapshots=())
    run = train(config, pairs, tmp_path)
    alone = train(with_(config, snapshots=(1,)), pairs, tmp_path / "alone")
    assert weights(run) == weights(RunFolder(alone).snapshot(1))


@pytest.mark.parametrize(
    ("fact", "value"),
    [("processes", 2), ("steps_per_epoch", 7), ("hash", "0123"), ("precision", "bf16")],
)
def test_a_checkpoint_of_another_run_is_refused(pairs, tmp_path, fact, value):
    folder = interrupt(pairs, tmp_path)
    found = torch.load(folder.checkpoint, weights_only=True)
    assert set(found["facts"]) == {"hash", "steps_per_epoch", "processes", "precision"}
    old = found["facts"][fact]
    found["facts"][fact] = value
    torch.save(found, folder.checkpoint)
    with pytest.raises(
        RunError, match=f"a run with {fact} {value}, but this one has {fact} {old}:"
    ):
        train(RUN, pairs, tmp_path)


def test_a_run_in_another_effective_precision_is_not_continued(
    pairs, tmp_path, monkeypatch
):
    interrupt(pairs, tmp_path)  # in fp32
    monkeypatch.setattr(loop, "effective_precision", lambda device, precision: "bf16")
    with pytest.raises(RunError, match=r"precision fp32, but this one has .* bf16"):
        train(RUN, pairs, tmp_path)


def test_a_damaged_checkpoint_and_a_lost_history_say_what_to_do(pairs, tmp_path):
    folder = interrupt(pairs, tmp_path)
    lines = folder.history.read_text().splitlines(keepends=True)
    folder.history.write_text("".join(lines[:3]))
    with pytest.raises(RunError, match=r"fewer rows than the 4 steps .*; delete"):
        train(RUN, pairs, tmp_path)
    folder.checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match="not a readable checkpoint"):
        train(RUN, pairs, tmp_path)


def test_a_checkpoint_runs_no_code(tmp_path):
    class Command:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    folder = RunFolder(tmp_path)
    folder.save({}, {"step": Command()})
    with pytest.raises(RunError, match="not a readable checkpoint"):
        folder.load({}, torch.device("cpu"))
    assert not (tmp_path / "made").exists()


def test_a_snapshot_of_an_epoch_that_has_passed_is_refused(pairs, tmp_path):
    interrupt(pairs, tmp_path, after=9)  # past epoch 1 and step 8
    with pytest.raises(RunError, match="did not keep the weights of epoch 1"):
        train(with_(RUN, snapshots=(1,)), pairs, tmp_path)
    run = train(with_(RUN, snapshots=(2,)), pairs, tmp_path)
    assert RunFolder(run).snapshot(2).exists()


def test_two_processes_never_write_one_run_at_once(pairs, tmp_path, finished):
    folder = RunFolder(tmp_path / finished.name)
    with folder.lock(), pytest.raises(RunError, match="Another process trains in"):
        train(RUN, pairs, tmp_path)
    assert not folder.history.exists()
    assert train(RUN, pairs, tmp_path) == folder.path


def test_a_full_disk_while_checkpointing_leaves_the_checkpoint_before(
    finished, pairs, tmp_path, monkeypatch
):
    save = RunFolder.save
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(self, facts, state):
        if state["step"] == 8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            save(self, facts, state)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(RunFolder, "save", full)
    with pytest.raises(WriteError, match=r"The disk is full: .*state\.pt"):
        train(RUN, pairs, tmp_path)
    monkeypatch.undo()
    folder = RunFolder(tmp_path / finished.name)
    assert folder.checkpoint.stat().st_size > 20_000
    found = torch.load(folder.checkpoint, weights_only=True)
    assert found["state"]["step"] == 4
    assert_same_run(train(RUN, pairs, tmp_path), finished)


def test_a_full_disk_at_the_end_is_said_in_a_sentence(pairs, tmp_path, monkeypatch):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    saved = MCCGAA.save_pretrained

    def full(self, folder):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            return saved(self, folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(MCCGAA, "save_pretrained", full)
    with pytest.raises(WriteError, match="Free some space"):
        train(with_(RUN, epochs=1), pairs, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert not RunFolder(folder).finished


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(pairs, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError, match="cannot be written"):
        train(RUN, pairs, tmp_path / "file")


def test_the_history_is_appended_to_and_not_rewritten(pairs, tmp_path):
    folder = interrupt(pairs, tmp_path, after=9)
    assert folder.history.read_text().count("\n") == 1 + 8
    inode = folder.history.stat().st_ino
    folder.append_history([(99, 1, 0.1, 0.1, 0.0, 1e-3, 10.0)])
    assert folder.history.stat().st_ino == inode
    assert folder.history.read_text().endswith("99,1,0.1,0.1,0.0,0.001,10.0\n")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff{}", None])
def test_what_a_run_says_is_read_or_refused_in_one_error(tmp_path, content):
    assert read_metrics(tmp_path) == read_metrics(tmp_path / "none") == {}
    file = tmp_path / "metrics.json"
    file.write_text('{"hash": "abc"}', encoding="utf-8")
    assert read_metrics(tmp_path) == read_metrics(str(tmp_path)) == {"hash": "abc"}
    assert read_metrics(file) == {}, "a file is no folder"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(RunError, match=r"metrics\.json is no JSON object .*; restore"):
        read_metrics(tmp_path)
