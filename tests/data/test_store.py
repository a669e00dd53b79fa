"""An open store: batches, splits, labels, and damage that is reported."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from mccgaa.config import InputConfig
from mccgaa.data import store as store_module
from mccgaa.data.packing import pack
from mccgaa.data.store import SignalStore, table_digest
from mccgaa.errors import StoreError

TASKS = {"rhythm": ("AFIB", "SR", "PACE")}


@pytest.fixture
def store(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 6)
    rows["rhythm"] = [["SR"], None, ["PACE", "AFIB"], ["SR"], None, ["AFIB"]]
    pack(
        rows,
        tmp_path / "in",
        tmp_path / "out",
        dataset="own",
        tasks=TASKS,
        input=InputConfig(100, 2.0, "raw"),
        jobs=1,
        progress=False,
    )
    return SignalStore.open(tmp_path / "out")


def test_a_store_describes_itself(store):
    expected = {
        "source": "own",
        "sampling_rate": 100,
        "length": 200,
        "transform": "raw",
        "unit": "mV",
        "scale": 0.001,
        "synthetic": False,
        "records": 6,
        "tasks": {"rhythm": ["AFIB", "SR", "PACE"]},
    }
    assert {key: store.meta[key] for key in expected} == expected
    assert len(store) == 6
    assert "6 records" in repr(store)
    assert len(store.meta["fingerprint"]) == 16


def test_a_store_is_pickled_as_its_path_and_never_as_its_signals(store):
    _ = store.signals, store.records
    content = pickle.dumps(store)
    assert len(content) < 5000 < store.signals.nbytes
    copy = pickle.loads(content)
    assert (copy.path, copy.meta) == (store.path, store.meta)
    assert isinstance(copy.signals, np.memmap)
    np.testing.assert_array_equal(copy.signals, store.signals)


def test_raw_records_come_as_they_are_stored_in_the_order_asked_for(store):
    index = [4, 0, 5, 0, 2]
    raw = store.raw(index)
    assert raw.dtype == np.int16 and len(np.unique(raw, axis=0)) == 4
    np.testing.assert_array_equal(raw, store.signals[index])
    given = np.zeros((5, 12, 200), dtype=np.int16)
    assert store.raw(np.array(index), out=given) is given
    np.testing.assert_array_equal(given, raw)
    with pytest.raises(IndexError):
        store.raw([0, 6])


def test_raw_records_are_read_in_the_order_of_the_file(store, monkeypatch):
    """A disk is read forwards, whatever the order of an epoch."""
    read, take = [], np.take

    def watched(array, index, **options):
        read.append(list(index))
        return take(array, index, **options)

    monkeypatch.setattr(store_module.np, "take", watched)
    store.raw([4, 0, 5, 0, 2])
    assert read[0] == [0, 0, 2, 4, 5], "then they are put in the order asked for"


def test_opening_a_store_needs_neither_packing_nor_readers():
    code = "import sys, mccgaa.data.store; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {m for m in done.stdout.split() if m.startswith("mccgaa.")}
    assert loaded == {
        "mccgaa.data",
        "mccgaa.data.store",
        "mccgaa.errors",
        "mccgaa.files",
    }


def test_signals_stay_on_disk_until_asked_for(store):
    assert isinstance(store.signals, np.memmap)
    batch = store.batch([4, 1])
    assert batch.dtype == np.float32
    assert batch.shape == (2, 12, 200)
    np.testing.assert_allclose(batch, store.signals[[4, 1]] / 1000, rtol=1e-6)


def test_indices_follow_split_and_task(store):
    assert store.indices().tolist() == [0, 1, 2, 3, 4, 5]
    assert store.indices("test").tolist() == [4, 5]
    assert store.indices("val").tolist() == []
    assert store.indices(task="rhythm").tolist() == [0, 2, 3, 5]
    assert store.indices("test", "rhythm").tolist() == [5]


def test_labels_are_one_column_per_class(store):
    y, classes = store.labels("rhythm")
    assert classes == ["AFIB", "SR", "PACE"]
    assert y.dtype == np.uint8
    assert y.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0], [1, 0, 0]]
    y, _ = store.labels("rhythm", [5, 0])
    assert y.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_lists_and_gaps_of_the_rows_come_back(store):
    labels = store.records["rhythm"].tolist()
    assert labels == [["SR"], None, ["PACE", "AFIB"], ["SR"], None, ["AFIB"]]
    assert store.records["text"].isna().tolist() == [True, False, False] * 2
    assert np.isnan(store.records["age"][0])


def test_equal_strings_of_a_stores_lists_are_held_in_memory_once(store):
    first, second, *_ = store.records["statements"]
    assert first == second == ["SR"]
    assert first is not second
    assert first[0] is second[0]
    assert store.records["missing_leads"].tolist() == [[]] * 6


def test_a_table_is_hashed_alike_however_it_is_cut(store, monkeypatch):
    whole = table_digest(store.records)
    assert whole == store.meta["sha256"]["table"]
    monkeypatch.setattr(store_module, "_DIGEST_ROWS", 4)
    assert table_digest(store.records) == whole
    assert table_digest(store.records[::-1]) != whole


def test_what_a_store_lacks_is_named(store):
    with pytest.raises(StoreError, match="no task 'super'; it has rhythm"):
        store.labels("super")
    with pytest.raises(StoreError, match="no task 'super'"):
        store.indices(task="super")
    with pytest.raises(StoreError, match="'dev' is no split"):
        store.indices("dev")
    with pytest.raises(StoreError, match="record 1 has no label in task rhythm"):
        store.labels("rhythm", [0, 1])


def test_a_store_that_is_absent_or_unfinished_is_reported(tmp_path):
    with pytest.raises(StoreError, match="make it with `mccgaa pack`"):
        SignalStore.open(tmp_path / "none")
    (tmp_path / "out.partial").mkdir()
    with pytest.raises(StoreError, match="packing was interrupted"):
        SignalStore.open(tmp_path / "out")
    with (
        FileLock(tmp_path / "out.partial.lock"),
        pytest.raises(StoreError, match="another process is packing it now"),
    ):
        SignalStore.open(tmp_path / "out")
    lock = tmp_path / "out.partial.lock"
    lock.touch()  # which a process left that was killed
    with pytest.raises(StoreError, match="packing was interrupted"):
        SignalStore.open(tmp_path / "out")
    lock.unlink(missing_ok=True)
    lock.mkdir()  # which nobody can lock
    with pytest.raises(StoreError, match="packing was interrupted"):
        SignalStore.open(tmp_path / "out")
    lock.rmdir()
    with pytest.raises(StoreError, match="packing was interrupted"):
        SignalStore.open(tmp_path / "out")
    assert not lock.exists(), "reading leaves nothing behind"


def test_damage_is_reported(store):
    signals = store.path / "signals.npy"
    content = signals.read_bytes()
    signals.write_bytes(content[:-10])
    with pytest.raises(StoreError, match=r"signals\.npy is damaged"):
        SignalStore.open(store.path)
    np.save(signals, np.zeros((5, 12, 200), dtype=np.int16))
    with pytest.raises(StoreError, match=r"int16 \(5, 12, 200\)"):
        SignalStore.open(store.path)
    signals.write_bytes(content)
    table = store.path / "records.parquet"
    pd.DataFrame({"split": ["train"]}).to_parquet(table)
    with pytest.raises(StoreError, match="has 1 rows"):
        _ = SignalStore.open(store.path).records
    table.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"records\.parquet is damaged"):
        _ = SignalStore.open(store.path).records
    meta = store.path / "store.json"
    meta.write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        SignalStore.open(store.path)


def test_a_label_that_is_no_class_is_reported(store):
    meta = json.loads((store.path / "store.json").read_text())
    meta["tasks"]["rhythm"] = ["SR", "AFIB"]
    (store.path / "store.json").write_text(json.dumps(meta))
    with pytest.raises(StoreError, match="'PACE' is no class of rhythm"):
        SignalStore.open(store.path).labels("rhythm")


def test_the_fingerprint_follows_content(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 3)

    def fingerprint(name, rows, **options):
        settings = {"dataset": "own", "tasks": {}, "input": InputConfig(100, 2.0)}
        pack(rows, tmp_path / "in", tmp_path / name, progress=False, jobs=1, **settings)
        return SignalStore.open(tmp_path / name).meta["fingerprint"]

    first = fingerprint("a", rows)
    assert fingerprint("b", rows) == first
    assert fingerprint("c", rows.assign(text="other")) != first
    assert fingerprint("d", rows[:2]) != first
