"""The benchmark of training takes real steps, in turns, and reports them rightly."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmark import load

ROOT = Path(__file__).parents[1]
bench, run, _ = load("training"), load("run"), load("usual")
SETTING = replace(bench.QUICK[0], length=100, batch=4, records=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    bench.write_data(SETTING, folder)
    return folder


@pytest.mark.parametrize("loop", ["ours", "cached", "usual"])
def test_each_turn_of_a_loop_trains(
    loop: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = []
    step = torch.optim.AdamW.step

    def counted(self, *arguments):
        updates.append(self)
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    steps = bench.start(loop, SETTING, data)
    for turn in range(1, 4):
        took = bench.timed(steps, seconds=0)
        assert len(updates) == turn
        assert took["wall"] > 0 and took["cpu"] > 0


def test_a_turn_lasts_as_long_as_it_should_and_is_divided_by_its_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(bench.time, "process_time", lambda: 2 * now[0])

    def steps():
        while True:
            now[0] += 0.5
            yield

    assert bench.timed(steps(), seconds=1.6) == {"wall": 0.5, "cpu": 1.0}
    assert now[0] == 2.0  # four steps: the last began before the time was over
    assert bench.timed(steps(), seconds=0) == {"wall": 0.5, "cpu": 1.0}


def test_ratios_are_medians_of_the_rounds_and_name_what_is_wanted() -> None:
    def one(ours: float, usual: float) -> dict:
        return {
            "ours": {"wall": ours, "cpu": 2 * ours},
            "usual": {"wall": usual, "cpu": usual},
        }

    rounds = [one(1, 30), one(2, 40), one(4, 40)]  # 30, 20 and 10 times
    setting = replace(SETTING, batch=8, wanted={"usual": 25.0})
    found = bench.summary(rounds, setting)
    assert found["ours"]["ecg_per_second"] == 4.0
    assert found["usual"]["ecg_per_second"] == 0.2
    assert found["usual"]["ours_is_faster"] == 20
    assert found["usual"]["by_cpu_seconds"] == 10
    assert found["usual"]["wanted"] == 25
    settings = [{"input": [12, 100], "batch": 8, "loops": found}]
    rows = list(run.training({"settings": settings}))
    assert [row.verdict for row in rows] == ["", "NO"]
    place = {"cpu": "a CPU", "threads": 2, "torch": "2", "precision": "fp32"}
    printed = bench.table({"machine": place, "settings": settings})
    assert "a CPU, threads: 2" in printed and "20.00x" in printed


def test_loops_take_turns_in_processes_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = []

    class Process:
        def __init__(self, loop, setting, folder, code):
            self.loop = loop
            assert (folder / "store" / "store.json").is_file()
            assert (code / "mccgaa").is_dir()

        def turn(self, seconds):
            order.append((self.loop, seconds))
            return {"wall": 1.0, "cpu": 1.0}

        def close(self):
            order.append((self.loop, "closed"))

    monkeypatch.setattr(bench, "Process", Process)
    monkeypatch.setattr(bench, "checkout", lambda folder: None)  # git lacks it
    found = bench.measure(SETTING, ["ours", "cached", bench.COMMIT], 2, 3.0)
    first, second = [("ours", 3.0), ("cached", 3.0)], [("ours", 3.0), ("cached", 3.0)]
    assert order[:6] == [("ours", 0), ("cached", 0), *first, *second]
    assert found["turns"] == 2
    assert list(found["loops"]) == ["ours", "cached"]


def test_a_process_answers_each_line_with_a_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    class Left(Exception):
        pass

    def leave(code):
        raise Left

    monkeypatch.setattr(bench.os, "_exit", leave)
    monkeypatch.setattr(sys, "stdin", iter(["0\n", "0\n"]))
    with pytest.raises(Left):
        bench.answer(iter(range(10)))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(line) for line in lines] == [{"wall", "cpu"}] * 2


def test_every_recorded_result_has_rows_in_the_one_table() -> None:
    read = {}
    for name, (_, rows) in run.BENCHMARKS.items():
        path = ROOT / "bench" / f"{name}.json"
        if path.is_file():
            read[name] = list(rows(json.loads(path.read_text(encoding="utf-8"))))
            assert read[name], name
    assert {"throughput", "packing", "tables", "twin"} <= read.keys()
    printed = run.table([row for rows in read.values() for row in rows])
    assert len(printed.splitlines()) == 1 + sum(map(len, read.values()))


def test_memory_is_wanted_of_whole_tables_alone() -> None:
    found = {"wanted_peak_mb": 2, "read_mb": 1, "pack_mb": 1, "check_mb": 3}
    whole = run.tables(found | {"rows": 800_035})
    assert [row.verdict for row in whole] == ["yes", "yes", "NO"]
    assert not any(row.verdict for row in run.tables(found | {"rows": 20_000}))


def test_a_ceiling_and_a_floor_are_told_apart() -> None:
    assert run.Row("a", 3, "MB", 2, at_most=True).verdict == "NO"
    assert run.Row("a", 3, "times", 2).verdict == "yes"
    assert run.Row("a", 1, "times", 2).verdict == "NO"
    assert run.Row("a", 1, "times").verdict == ""


@pytest.mark.parametrize(("code", "writes"), [(0, True), (1, True), (2, False)])
def test_a_benchmark_that_fails_is_named(
    code: int,
    writes: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    result = (ROOT / "bench" / "throughput.json").read_text(encoding="utf-8")

    class Done:
        returncode = code

    def fake(command):
        if writes:
            Path(command[-1]).write_text(result, encoding="utf-8")
        return Done

    monkeypatch.setattr(run.subprocess, "run", fake)
    with pytest.raises(SystemExit) as left:
        run.main(["--only", "throughput"])
    printed = capsys.readouterr().out
    assert ("against plain Conv1d" in printed) == writes
    assert ("failed: throughput" in printed) == (not writes)
    assert bool(left.value.code) == (not writes)
