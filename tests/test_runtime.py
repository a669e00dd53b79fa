"""Devices are asked for by name, precision is what the device has, seeds repeat."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from mccgaa import runtime
from mccgaa.errors import ConfigError
from mccgaa.runtime import (
    autocast,
    effective_precision,
    pick_device,
    process_group,
    rank_zero_first,
    seed_step,
    world,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv("MCCGAA_DEVICE", raising=False)


def test_the_device_is_the_name_given_then_the_environments_then_the_machines(
    monkeypatch,
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == CPU
    monkeypatch.setenv("MCCGAA_DEVICE", "meta")
    assert pick_device() == torch.device("meta")
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:7", "xpu", "cpu:x", "cuda:-1"])
def test_a_device_that_is_not_there_is_refused_with_what_there_is(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match=rf"'{name}' is not available.* has cpu\."):
        pick_device(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="has cpu, cuda:0, cuda:1"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(ConfigError, match="'cuda' is not available"):
        pick_device("cuda")


def test_cuda_means_the_gpu_of_this_process(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "empty", lambda *size, device: asked.append(device))
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device("cuda") == torch.device("cuda:3") == asked[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == torch.device("cuda:3")


def test_bf16_falls_back_to_fp32_where_the_device_lacks_it(monkeypatch):
    for has, wanted in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(runtime, "has_bf16", lambda device, has=has: has)
        assert effective_precision(CPU, "bf16") == wanted
        assert effective_precision(CPU, "fp32") == "fp32"
        with autocast(CPU, "bf16"):
            assert torch.is_autocast_enabled("cpu") is has
            kind = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        assert kind == (torch.bfloat16 if has else torch.float32)
        with autocast(CPU, "fp32"):
            assert not torch.is_autocast_enabled("cpu")


def test_a_steps_seed_is_a_function_of_all_its_numbers():
    def draw(*numbers: int) -> float:
        seed_step(*numbers)
        return torch.rand(()).item()

    triples = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0), (2, 0, 0), (0,)]
    assert len({draw(*one) for one in triples}) == len(triples)
    assert draw(3, 2, 1) == draw(3, 2, 1)


def test_outside_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group(CPU) as found, rank_zero_first():
        assert found == world() == (0, 1)


@pytest.mark.parametrize(
    ("here", "keys"),
    [("2", ["attempt-0/met", "attempt-1/met"]), ("1", ["met"])],
    ids=["one node", "two nodes"],
)
def test_processes_that_are_started_again_meet_in_a_place_of_their_own(
    monkeypatch, here, keys
):
    """torchrun keeps a node's store, and in it where the dead were."""
    kept, joined = dist.HashStore(), []

    def join(backend, *, store, rank, world_size, timeout):
        store.set("met", "yes")
        joined.append((backend, rank, world_size))

    monkeypatch.setattr(runtime, "rendezvous", lambda *_, **__: iter([(kept, 1, 2)]))
    monkeypatch.setattr(runtime, "_set_pg_timeout", lambda _: None)
    monkeypatch.setattr(dist, "init_process_group", join)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    for attempt in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        with process_group(CPU):
            pass
    assert joined == [("gloo", 1, 2)] * 2
    assert kept.num_keys() == len(keys) and kept.check(keys)
