"""The benchmark of one classification times what it says, and sums it up rightly."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import onnxruntime
import pytest
import torch
from benchmark import load

from mccgaa.ready import classifier, folded

PARTS = ["read", "filter and resample", "encode", "encode and score", "whole"]


@pytest.fixture
def script() -> ModuleType:
    return load("classify")


def test_parts_take_turns_and_a_time_is_the_median_of_cpu_ms_once_warm(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, calls = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(script, "time", SimpleNamespace(process_time=lambda: clock.now))
    ms = {"a": [50, 50, 50, 1, 2, 6], "b": [0, 0, 0, 8, 9, 4]}

    def work(name: str) -> None:
        calls.append(name)
        clock.now += ms[name].pop(0) / 1000

    found = script.taken({name: partial(work, name) for name in ms}, turns=3)
    assert found == {"a": 2, "b": 8}
    assert "".join(calls) == 6 * "ab"


def test_parts_are_those_of_the_command(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def watched(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def call(*given: object) -> object:
            done.append(name)
            return real(*given)

        monkeypatch.setattr(module, name, call)

    for module in (script, classifier):
        watched(module, "read_record")
        watched(module, "prepare_windows")
    watched(folded, "asked")  # once, for all ECGs of one length
    watched(folded, "attend")  # the quick way of one ECG
    parts = script.parts_of(script.EXAMPLE)
    assert [*parts] == PARTS
    steps, made = {}, {}
    for name, work in parts.items():
        done.clear()
        made[name] = work()
        steps[name] = [step for step in done if step != "asked"]
    assert [*steps.values()] == [
        ["read_record"],
        ["prepare_windows"],
        ["attend"],
        ["attend"],
        ["read_record", "prepare_windows", "attend"],
    ]
    assert made["filter and resample"].shape == (1, 12, 1000)
    assert made["encode and score"].shape == (1, len(made["whole"]))


def test_matrix_products_set_the_limit_of_the_encoder(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = []

    def taken(parts: dict, turns: int) -> dict[str, float]:
        products.append(parts["product"]())
        return {name: float(place) for place, name in enumerate(parts, start=8)}

    monkeypatch.setattr(script, "taken", taken)
    monkeypatch.setattr(script, "parts_of", lambda path: dict.fromkeys(PARTS))
    found = script.warm({"100": Path("low"), "500": Path("high")}, turns=2)
    low, high = range(9, 14), range(14, 19)
    assert found["warm_ms"] == {
        "100": dict(zip(PARTS, low, strict=True)),
        "500": dict(zip(PARTS, high, strict=True)),
    }
    (product,) = products
    flop, limit = 2 * product.shape[0] * product.shape[1] * script.SIDE, found["limit"]
    assert limit["matrix_product_gflop_per_second"] == pytest.approx(flop / 8e6, 3e-3)
    assert 0.6 < limit["encoder_gflop"] < 0.8
    share = limit["encoder_gflop"] * 1e9 / flop  # of such a product
    assert limit["encoder_at_that_speed_ms"] == pytest.approx(8 * share, rel=2e-3)


def test_a_new_process_is_timed_by_its_cpu_and_by_the_clock(script: ModuleType) -> None:
    cpu, wall = script.fresh("import time; time.sleep(0.5)")
    assert 0 < cpu < wall - 0.4
    busy, _ = script.fresh(f"import time\nwhile time.process_time() < {cpu + 0.3}: 0")
    assert busy > cpu + 0.2


def test_new_processes_take_turns_and_the_first_of_each_does_not_count(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def fresh(code: str) -> tuple[float, float]:
        ran.append(code)
        turn = (len(ran) - 1) // len(script.COMMANDS)
        return (9.0, 1.0, 2.0, 6.0)[turn], (9.0, 3.0, 4.0, 8.0)[turn]

    monkeypatch.setattr(script, "fresh", fresh)
    found = script.cold(3)
    assert ran == 4 * [*script.COMMANDS.values()]
    row = {"cpu_seconds": 2.0, "seconds": 4.0}
    assert found == dict.fromkeys(script.COMMANDS, row)


def test_onnx_is_as_far_off_as_its_worst_number(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exact, off = torch.zeros(64, 2), torch.zeros(64, 2)
    off[5, 1], off[6, 0] = -0.25, 0.125
    model = SimpleNamespace(
        encode_ecg=lambda x: exact,
        config=SimpleNamespace(input=SimpleNamespace(length=3)),
    )
    session = SimpleNamespace(run=lambda names, given: [off.numpy()])
    monkeypatch.setattr(script, "load", lambda device: SimpleNamespace(model=model))
    monkeypatch.setattr(script, "write_onnx", lambda model, path: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: session)
    assert script.onnx(tmp_path) == {"largest_difference": 0.25}


def test_all_is_measured_on_one_thread_and_beside_torch_alone(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    seconds = {"torch": 3.0, "torch and transformers": 5.0, "classify": 3.5}
    cold = {name: {"cpu_seconds": value} for name, value in seconds.items()}

    def write_tree(root: Path, *given: object, **options: object) -> None:
        (root / "a").mkdir(parents=True)
        for rate in ("lr", "hr"):
            (root / "a" / f"1_{rate}.hea").touch()

    def warm(records: dict[str, Path], turns: int) -> dict:
        assert threads == [1, 1]
        assert [path.name for path in records.values()] == ["1_lr.hea", "ecg.hea"]
        return {"warm_ms": {rate: {"whole": 1.0} for rate in records}}

    monkeypatch.setattr(script.torch, "set_num_threads", threads.append)
    monkeypatch.setattr(script, "threadpool_limits", threads.append)
    monkeypatch.setattr(script, "write_tree", write_tree)
    monkeypatch.setattr(script, "cold", lambda turns: cold)
    monkeypatch.setattr(script, "warm", warm)
    monkeypatch.setattr(script, "onnx", lambda path: {"largest_difference": 0.0})
    found = script.measure(2)
    assert found["beside_torch_cpu_seconds"] == 0.5
    assert [*found["warm_ms"]] == ["100", "500"]


@pytest.mark.parametrize(
    ("cold", "low", "high", "gap", "missed"),
    [
        (1.5, 15.0, 99.0, 1e-4, False),
        (1.6, 1.0, 1.0, 0.0, True),
        (1.0, 15.1, 1.0, 0.0, True),
        (1.0, 1.0, 1.0, 1.1e-4, True),
    ],
)
def test_the_exit_status_says_whether_a_wish_is_missed(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    cold: float,
    low: float,
    high: float,
    gap: float,
    missed: bool,
) -> None:
    found = {
        "beside_torch_cpu_seconds": cold,
        "warm_ms": {"100": {"whole": low}, "500": {"whole": high}},
        "onnx": {"largest_difference": gap},
    }
    monkeypatch.setattr(script, "measure", lambda turns: found)
    monkeypatch.setattr(sys, "argv", ["classify.py"])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert bool(end.value.code) is missed
