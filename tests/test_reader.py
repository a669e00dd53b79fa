"""A store is read the same wherever it lies and whoever reads it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from toys import ROWS, numbered_store

from mccgaa import reader as module
from mccgaa.data.store import SignalStore
from mccgaa.errors import StoreError
from mccgaa.reader import DeviceReader

CPU = torch.device("cpu")
BATCHES = [np.array(rows) for rows in ([7, 0, 48, 7], [3, 2, 1, 49], [20, 30])]
WAYS = [("host", 0), ("host", 1), ("host", 3), ("device", 0)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SignalStore:
    return numbered_store(tmp_path_factory.mktemp("toys") / "store")


@pytest.mark.parametrize(("where", "threads"), WAYS)
def test_signals_are_those_of_the_store_to_the_bit(store, monkeypatch, where, threads):
    monkeypatch.setattr(module, "BLOCK", 7 * store.signals[0].nbytes)
    reader = DeviceReader(store, CPU, where, threads)
    assert reader.where == where
    for _ in range(2):
        read = list(reader.batches(BATCHES))
        assert len(read) == len(BATCHES)
        for rows, (at, signals) in zip(BATCHES, read, strict=True):
            assert at.tolist() == rows.tolist()
            assert signals.dtype == torch.float32
            np.testing.assert_array_equal(signals.numpy(), store.batch(rows))
    assert list(reader.batches([])) == []


def test_a_cpu_reads_the_memory_map_unless_it_is_told_otherwise(store):
    reader = DeviceReader(store, CPU)
    assert (reader.where, reader.threads, reader.signals) == ("host", 0, None)


def test_a_store_fits_where_it_leaves_a_margin(store, monkeypatch):
    size = store.signals.nbytes
    for free, fits in ((int(size / 0.7) + 1, True), (int(size / 0.7) - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, f=free: (f, 10 * f))
        assert DeviceReader._fits(DeviceReader(store, CPU)) is fits


def test_a_store_too_large_for_the_device_is_refused_or_read_from_the_disk(
    store, monkeypatch, capsys
):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("no")

    reader = DeviceReader(store, CPU)
    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(StoreError, match=r"0\.0 GB of cpu, .*pretrain.store_on: host"):
        DeviceReader(store, CPU, "device")
    reader._load(progress=False, needed=False)
    assert reader.signals is None and "from the disk instead" in capsys.readouterr().err


def test_threads_read_ahead_and_stop_when_nobody_asks_any_more(store, monkeypatch):
    begun, gate = [], threading.Event()
    raw = SignalStore.raw

    def slow(self, rows, out=None):
        begun.append(rows.tolist())
        if len(begun) > 1:
            gate.wait(10)
        return raw(self, rows, out)

    monkeypatch.setattr(SignalStore, "raw", slow)
    rows = np.arange(ROWS).reshape(25, 2)
    batches = DeviceReader(store, CPU, "host", threads=2).batches(rows)
    assert next(batches)[0].tolist() == [0, 1]
    batches.close()
    gate.set()
    assert [0, 1] in begun and len(begun) <= module.AHEAD * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["auto", "device", "host"])
def test_a_gpu_is_given_the_same_signals(store, where):
    reader = DeviceReader(store, torch.device("cuda", 0), where)
    assert reader.where == {"auto": "device"}.get(where, where)
    for rows, (at, signals) in zip(BATCHES, reader.batches(BATCHES), strict=True):
        assert signals.is_cuda and at.tolist() == rows.tolist()
        np.testing.assert_array_equal(signals.cpu().numpy(), store.batch(rows))
