"""A store is read the same wherever it lies and whoever reads it."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest
import torch
from fake_device import fake_gpu
from torch.overrides import TorchFunctionMode
from toys import ROWS, numbered_store

from mccgaa import device_reader as module
from mccgaa.data.store import SignalStore
from mccgaa.device_reader import DeviceReader, encoded
from mccgaa.errors import StoreError

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
        if rows[0]:  # all but the first batch, whichever thread comes first
            gate.wait(10)
        return raw(self, rows, out)

    monkeypatch.setattr(SignalStore, "raw", slow)
    rows = np.arange(ROWS).reshape(25, 2)
    batches = DeviceReader(store, CPU, "host", threads=2).batches(rows)
    assert next(batches)[0].tolist() == [0, 1]
    start = time.perf_counter()
    batches.close()
    assert time.perf_counter() - start < 5, "it waits for what nobody wants"
    gate.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "Pool" in thread.name:
            thread.join(10)
    assert [0, 1] in begun and len(begun) <= 3  # the first, and one in each thread


def test_threads_read_a_few_batches_ahead_and_no_epoch(store, monkeypatch):
    begun = []
    raw = SignalStore.raw

    def counted(self, rows, out=None):
        begun.append(rows.tolist())
        return raw(self, rows, out)

    monkeypatch.setattr(SignalStore, "raw", counted)
    rows = np.arange(ROWS).reshape(25, 2)
    batches = DeviceReader(store, CPU, "host", threads=2).batches(rows)
    for taken in range(1, 10):
        next(batches)
        assert taken <= len(begun) < taken + module.AHEAD * 2
    batches.close()


@pytest.mark.parametrize(("block", "parts"), [(7.5, [7] * 7 + [1]), (0.1, [1] * ROWS)])
def test_a_store_goes_to_the_device_block_by_block(store, monkeypatch, block, parts):
    taken = []

    @contextlib.contextmanager
    def bar(**options):
        assert options["total"] == ROWS and options["unit"] == "record"
        assert options["disable"] is True
        yield type("Bar", (), {"update": lambda _, n: taken.append(n)})()

    monkeypatch.setattr(module, "bar", bar)
    monkeypatch.setattr(module, "BLOCK", int(block * store.signals[0].nbytes))
    DeviceReader(store, CPU, "device")
    assert taken == parts


def test_a_bar_is_shown_while_a_store_goes_to_the_device(store, capsys):
    DeviceReader(store, CPU, "device")
    assert not capsys.readouterr().err
    DeviceReader(store, CPU, "device", progress=True)
    assert "store to cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "room", "chosen"),
    [("auto", 2, "device"), ("auto", 1, "host"), ("host", 2, "host")],
)
def test_a_gpu_holds_the_store_where_there_is_room(store, where, room, chosen):
    with fake_gpu() as gpu, pytest.MonkeyPatch.context() as patch:
        free = room * store.signals.nbytes
        patch.setattr(torch.cuda, "mem_get_info", lambda *_: (free, 9 * free))
        reader = DeviceReader(store, gpu, where, threads=9)
        assert reader.where == chosen
        if chosen == "device":
            for rows, (at, signals) in zip(
                BATCHES, reader.batches(BATCHES), strict=True
            ):
                assert at.device == signals.device == gpu
                np.testing.assert_array_equal(signals.cpu().numpy(), store.batch(rows))


def test_a_gpu_is_sent_batches_on_a_stream_that_it_then_waits_for(store):
    calls: list[tuple] = []
    empty = torch.empty

    class Stream:
        def __init__(self, device: torch.device) -> None:
            assert device == gpu

        def wait_stream(self, other: object) -> None:
            calls.append(("wait", self, other))

    @contextlib.contextmanager
    def stream(one):
        calls.append(("on", one))
        yield
        calls.append(("off", one))

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is torch.Tensor.to and args[0].dtype == torch.int16:
                calls.append(("to", *args[1:], kwargs))
            return func(*args, **kwargs or {})

    def pinned(*shape, pin_memory=False, **options):
        calls.append(("pinned", pin_memory))
        return empty(*shape, **options)

    with fake_gpu() as gpu, pytest.MonkeyPatch.context() as patch, Watch():
        now = Stream(gpu)
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "stream", stream)
        patch.setattr(torch.cuda, "current_stream", {gpu: now}.__getitem__)
        patch.setattr(torch.cuda, "set_device", lambda one: calls.append(("use", one)))
        patch.setattr(torch, "empty", pinned)
        patch.setattr(
            torch.Tensor, "record_stream", lambda _, one: calls.append(("keep", one))
        )
        reader = DeviceReader(store, gpu, "host", threads=1)
        assert reader.threads == module.THREADS
        for rows, (at, signals) in zip(BATCHES, reader.batches(BATCHES), strict=True):
            assert at.device == signals.device == gpu and at.tolist() == rows.tolist()
            np.testing.assert_array_equal(signals.cpu().numpy(), store.batch(rows))
    own = reader.copies
    in_threads = [call for call in calls if call[0] in ("use", "pinned")]
    assert ("use", gpu) in in_threads
    assert set(in_threads) == {("use", gpu), ("pinned", True)}
    sent = [("on", own), ("to", gpu, {"non_blocking": True}), ("off", own)]
    sent += [("wait", now, own), ("keep", now)]
    assert [c for c in calls if c[0] not in ("use", "pinned")] == sent * len(BATCHES)


@pytest.mark.parametrize(("size", "sizes"), [(4, [4, 3]), (7, [7]), (9, [7])])
def test_records_are_encoded_in_their_order_each_once(store, size, sizes, capsys):
    rows, seen = np.array([7, 0, 48, 3, 2, 1, 20]), []

    def encode(signals: torch.Tensor) -> torch.Tensor:
        seen.append(len(signals))
        return signals.flatten(1).double()

    found = encoded(encode, store, rows, CPU, size, disable=True)
    assert seen == sizes and found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), store.batch(rows).reshape(7, -1))
    assert not capsys.readouterr().err


def test_a_gpu_encodes_while_threads_read_a_store_and_never_holds_it(store):
    rows = np.arange(ROWS)
    with fake_gpu() as gpu, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeviceReader, "_load", lambda *_: pytest.fail("all was loaded"))
        found = encoded(lambda x: x.flatten(1), store, rows, gpu, 9, disable=True)
        assert found.device == CPU
    np.testing.assert_array_equal(found.numpy(), store.batch(rows).reshape(ROWS, -1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["auto", "device", "host"])
def test_a_gpu_is_given_the_same_signals(store, where):
    reader = DeviceReader(store, torch.device("cuda", 0), where)
    assert reader.where == {"auto": "device"}.get(where, where)
    for rows, (at, signals) in zip(BATCHES, reader.batches(BATCHES), strict=True):
        assert signals.is_cuda and at.tolist() == rows.tolist()
        np.testing.assert_array_equal(signals.cpu().numpy(), store.batch(rows))
