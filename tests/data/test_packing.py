"""Packing: what a store holds, what is rejected, and what is refused."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from mccgaa.config import InputConfig
from mccgaa.data import store_writer, workers
from mccgaa.data.packing import is_synthetic, pack
from mccgaa.data.record import read_record
from mccgaa.data.store import SignalStore
from mccgaa.data.transform import prepare
from mccgaa.errors import StoreError

TASKS = {"rhythm": ("AFIB", "SR")}
SMALL = InputConfig(100, 2.0, "raw")


def packed(rows, root, out, **options):
    defaults = {"dataset": "own", "tasks": TASKS, "input": SMALL, "jobs": 1}
    return pack(rows, root, out, progress=False, **(defaults | options))


def rejected(out):
    return pd.read_csv(out / "rejected.csv", keep_default_na=False)


@pytest.mark.parametrize("transform", ["raw", "bandpass-zscore"])
def test_a_store_holds_what_prepare_returns(tmp_path, dataset, transform):
    rows = dataset(tmp_path / "in")
    config = InputConfig(100, 2.0, transform)
    store = packed(rows, tmp_path / "in", tmp_path / "out", input=config)
    assert (len(store), store.meta["rejected"]) == (6, 0)
    expected = [prepare(read_record(tmp_path / "in" / p), config) for p in rows["path"]]
    np.testing.assert_allclose(store.batch(slice(None)), expected, atol=0.00051)
    assert store.signals.shape == (6, 12, 200)
    assert store.signals.dtype == np.int16
    assert len(rejected(tmp_path / "out")) == 0
    for column in ("record_id", "subject_id", "split", "text"):
        assert store.records[column].tolist() == rows[column].tolist()
    assert store.records["recorded_rate"].tolist() == [500] * 6
    assert not list(tmp_path.glob("out.*"))


def test_bad_records_are_listed_with_their_reason_and_skipped(
    tmp_path, dataset, ecg, wfdb_writer
):
    root = tmp_path / "in"
    rows = dataset(root, 10)
    data = root / "r0.dat"
    data.write_bytes(data.read_bytes()[:-2])
    header = root / "r1.hea"
    header.write_text(header.read_text().replace(" 1000\n", " 2000\n"))
    wfdb_writer(root, "r2", ecg(2, 500, leads=11), leads=header_leads(11))
    hole = ecg(2, 500)
    hole[3, 200:500] = np.nan
    wfdb_writer(root, "r3", hole)
    (root / "r5.dat").unlink()
    wfdb_writer(root, "r6", ecg(2, 500), units="NU")
    blank = ecg(2, 500)
    blank[7] = np.nan
    wfdb_writer(root, "r8", blank)
    store = packed(rows, root, tmp_path / "out")
    assert (len(store), store.meta["rejected"]) == (3, 7)
    assert store.records["record_id"].tolist() == ["r4", "r7", "r9"]
    reasons = dict(rejected(tmp_path / "out")[["record_id", "reason"]].to_numpy())
    for record, reason in {
        "r0": "one is damaged",
        "r1": "one is damaged",
        "r2": "V6 missing",
        "r3": "aVR is invalid for 0.60 s",
        "r5": "r5.dat, which is missing",
        "r6": "z-scored (units NU)",
        "r8": "V2 missing, or without a valid sample",
    }.items():
        assert reason in reasons[record]
        assert str(root) not in reasons[record]


def header_leads(n):
    return ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5")[:n]


def test_mimics_order_250_hz_and_a_flat_lead_are_packed_right(
    tmp_path, ecg, wfdb_writer, dataset
):
    root = tmp_path / "in"
    rows = dataset(root, 3)
    signal = ecg(2, 500)
    order = [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]
    names = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
    wfdb_writer(root, "r0", signal[order], leads=names)
    slow = ecg(2, 250)
    wfdb_writer(root, "r1", slow, rate=250)
    flat = ecg(2, 500)
    flat[9] = 0
    wfdb_writer(root, "r2", flat)
    packed(rows, root, tmp_path / "out", input=InputConfig(500, 2.0))
    store = SignalStore.open(tmp_path / "out")
    np.testing.assert_allclose(store.batch([0])[0], signal, atol=1e-3)
    np.testing.assert_allclose(
        store.batch([1])[0][:, 100:900:2], slow[:, 50:450], atol=0.02
    )
    assert store.records["recorded_rate"].tolist() == [500, 250, 500]
    assert store.records["flat_leads"].tolist() == [[], [], ["V4"]]


def test_missing_leads_are_packed_where_allowed(tmp_path, dataset, ecg, wfdb_writer):
    rows = dataset(tmp_path / "in", 2)
    wfdb_writer(tmp_path / "in", "r0", ecg(2, 500, leads=3), leads=["I", "II", "V2"])
    packed(rows, tmp_path / "in", tmp_path / "out", allow_missing_leads=True)
    store = SignalStore.open(tmp_path / "out")
    assert store.records["missing_leads"][0] == ["V1", "V3", "V4", "V5", "V6"]
    assert store.records["derived_leads"].tolist() == [["III", "aVR", "aVL", "aVF"], []]
    assert not store.batch([0])[0, 8:].any()
    assert store.records["missing_leads"][1] == []


def test_rows_may_state_their_own_window_policy_and_units(tmp_path, dataset, ecg):
    rows = dataset(tmp_path / "in", 3)
    signal = ecg(6, 250)
    np.save(tmp_path / "in" / "x.npy", signal * 1000)
    rows["path"] = ["r0", "x.npy", "x.npy"]
    rows["sampling_rate"] = [None, 250, 250]
    rows["units"] = [None, "uV", "uV"]
    rows["start"] = [0.0, 4.0, None]
    rows["policy"] = [None, "first-10s", "first-5s-padded"]
    config = InputConfig(250, 6.0)
    packed(rows, tmp_path / "in", tmp_path / "out", input=config)
    batch = SignalStore.open(tmp_path / "out").batch([1, 2])
    np.testing.assert_allclose(batch[0][:, :500], signal[:, 1000:], atol=1e-3)
    assert not batch[0][:, 500:].any()
    np.testing.assert_allclose(batch[1][:, :1250], signal[:, :1250], atol=1e-3)
    assert not batch[1][:, 1250:].any()


def test_records_of_another_length_than_their_dataset_has_are_rejected(
    tmp_path, dataset
):
    rows = dataset(tmp_path / "in", 2, seconds=10)
    short = dataset(tmp_path / "short", 1)
    (tmp_path / "short" / "r0.hea").replace(tmp_path / "in" / "r0.hea")
    (tmp_path / "short" / "r0.dat").replace(tmp_path / "in" / "r0.dat")
    assert len(short) == 1
    store = packed(rows, tmp_path / "in", tmp_path / "out", record_seconds=10.0)
    assert (len(store), store.meta["rejected"]) == (1, 1)
    assert "lasts 2 s" in rejected(tmp_path / "out")["reason"][0]


def test_a_gain_that_cannot_be_right_is_rejected(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    header = tmp_path / "in" / "r0.hea"
    header.write_text(header.read_text().replace("1000.0(0)", "1.0(0)"))
    packed(rows, tmp_path / "in", tmp_path / "out")
    assert "passes 32.767 mV" in rejected(tmp_path / "out")["reason"][0]


def test_amplitudes_too_small_are_rejected_where_they_count(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    header = tmp_path / "in" / "r0.hea"
    header.write_text(header.read_text().replace("/mV", "/uV"))
    store = packed(rows, tmp_path / "in", tmp_path / "out")
    assert store.records["record_id"].tolist() == ["r1"]
    assert "r0.hea has less than 0.05 mV" in rejected(tmp_path / "out")["reason"][0]
    z = InputConfig(100, 2.0, "bandpass-zscore")  # of which the unit is no part
    assert len(packed(rows, tmp_path / "in", tmp_path / "z", input=z)) == 2


def test_samples_beyond_int16_are_clipped_and_counted(
    tmp_path, dataset, ecg, wfdb_writer
):
    rows = dataset(tmp_path / "in", 2)
    signal = ecg(2, 500)
    signal[3, 300:305] = 100.0
    wfdb_writer(tmp_path / "in", "r0", signal, gain=200)
    packed(rows, tmp_path / "in", tmp_path / "out", input=InputConfig(500, 2.0))
    store = SignalStore.open(tmp_path / "out")
    assert store.records["stored_clipped"].tolist() == [5, 0]
    assert store.signals[0].max() == 32767


def test_what_the_reader_left_out_is_listed_too(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    rows.attrs["left_out"] = [{"record_id": "q", "path": "q", "reason": "no report"}]
    store = packed(rows, tmp_path / "in", tmp_path / "out")
    assert (len(store), store.meta["rejected"], store.meta["left_out"]) == (2, 0, 1)
    assert rejected(tmp_path / "out")["reason"].tolist() == ["no report"]


def test_an_odd_failure_rejects_one_record_not_the_night(
    tmp_path, dataset, monkeypatch
):
    rows = dataset(tmp_path / "in", 3)

    def stumble(path, **options):
        if path.name == "r1":
            raise ZeroDivisionError("by design")
        return read_record(path, **options)

    monkeypatch.setattr(workers, "read_record", stumble)
    store = packed(rows, tmp_path / "in", tmp_path / "out")
    assert (len(store), store.meta["rejected"]) == (2, 1)
    assert "unforeseen ZeroDivisionError" in rejected(tmp_path / "out")["reason"][0]


def test_many_processes_pack_the_same_bytes_as_one(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(store_writer, "CHUNK_BYTES", 1)
    rows = pd.concat([dataset(tmp_path / "in", 5)] * 6, ignore_index=True)
    rows["record_id"] = [f"x{i}" for i in range(len(rows))]
    packed(rows, tmp_path / "in", tmp_path / "one", jobs=1)
    packed(rows, tmp_path / "in", tmp_path / "two", jobs=2)
    for name in ("signals.npy", "records.parquet", "store.json", "rejected.csv"):
        one, two = (tmp_path / s / name for s in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name


def test_reasons_name_paths_as_the_rows_do(tmp_path, dataset, monkeypatch):
    rows = dataset(tmp_path / "in" / "mine", 4)
    (tmp_path / "in" / "list.csv").touch()
    rows["path"] = ["mine/r0", "../in/no.npy", "no.csv", "main/no.hea"]
    roots = ("in", "in/list.csv", ".", "list.csv", tmp_path / "in")
    for number, root in enumerate(roots):
        here = root in (".", "list.csv")
        monkeypatch.chdir(tmp_path / "in" if here else tmp_path)
        packed(rows, root, tmp_path / f"out{number}")
        reasons = rejected(tmp_path / f"out{number}")["reason"].tolist()
        assert reasons == [f"{path} does not exist." for path in rows["path"][1:]]


def test_where_there_is_no_record_the_list_is_named(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 1)[:0]
    rows.attrs["left_out"] = [{"record_id": "q", "path": "q", "reason": "no report"}]
    table = tmp_path / "in" / "list.csv"
    table.touch()
    for root in (table, tmp_path / "in"):
        said = f"There is no record to pack in {root}; 1 record left out (no report)."
        with pytest.raises(StoreError, match=rf"^{re.escape(said)}$"):
            packed(rows, root, tmp_path / "out")


def test_a_rate_that_cannot_hold_the_filters_band_is_refused(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    for rate in (60, 80):
        slow = InputConfig(rate, 2.0, "bandpass-zscore")
        said = f"store of {rate} Hz cannot hold .* 0.5 to 40 Hz; .* above 80 Hz"
        with pytest.raises(StoreError, match=said):
            packed(rows, tmp_path / "in", tmp_path / "out", input=slow)
        assert not list(tmp_path.glob("out*"))
    above = InputConfig(81, 2.0, "bandpass-zscore")
    assert len(packed(rows, tmp_path / "in", tmp_path / "out", input=above)) == 2
    raw = InputConfig(60, 2.0, "raw")
    assert len(packed(rows, tmp_path / "in", tmp_path / "raw", input=raw)) == 2


def test_a_marked_tree_makes_a_synthetic_store(tmp_path, dataset):
    root = tmp_path / "twin" / "ptbxl"
    rows = dataset(root, 2)
    assert not is_synthetic(root)
    (tmp_path / "twin" / "SYNTHETIC").touch()
    packed(rows, root, tmp_path / "out")
    assert SignalStore.open(tmp_path / "out").meta["synthetic"] is True


def test_a_finished_store_returns_at_once(tmp_path, dataset, monkeypatch):
    rows = dataset(tmp_path / "in", 3)
    first = packed(rows, tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(workers, "pack_chunk", None)
    again = packed(rows, tmp_path / "in", tmp_path / "out")
    assert again.meta == first.meta


def test_another_configuration_never_overwrites(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 3)
    packed(rows, tmp_path / "in", tmp_path / "out")
    other = InputConfig(250, 2.0, "raw")
    with pytest.raises(StoreError, match=r"sampling_rate 100, not 250"):
        packed(rows, tmp_path / "in", tmp_path / "out", input=other)
    with pytest.raises(StoreError, match=r"other settings \(rows\)"):
        packed(rows[:2], tmp_path / "in", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    with pytest.raises(StoreError, match="not a signal store"):
        packed(rows, tmp_path / "in", tmp_path / "mine")


def test_where_nothing_could_be_packed_the_next_start_is_a_fresh_one(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 3)
    header = tmp_path / "in" / "r0.hea"
    hidden = header.rename(tmp_path / "kept")
    with pytest.raises(StoreError, match="None of 1 records could be packed"):
        packed(rows[:1], tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "r0" in (tmp_path / "out.partial" / "rejected.csv").read_text()
    hidden.rename(header)
    assert len(packed(rows[:1], tmp_path / "in", tmp_path / "out")) == 1

    header.rename(hidden)
    with pytest.raises(StoreError, match="None of 1 records could be packed"):
        packed(rows[:1], tmp_path / "in", tmp_path / "again")
    hidden.rename(header)  # and other rows are asked for
    assert len(packed(rows, tmp_path / "in", tmp_path / "again")) == 3


def test_a_partial_folder_of_another_configuration_is_refused(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 3)
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "settings.json").write_text('{"rows": "others"}')
    with pytest.raises(StoreError, match=r"begun with other settings.*delete it"):
        packed(rows, tmp_path / "in", tmp_path / "out")


def test_only_one_process_packs_a_store(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    with (
        FileLock(tmp_path / "out.partial.lock"),
        pytest.raises(StoreError, match="Another process is packing"),
    ):
        packed(rows, tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: rows[:0], "no record to pack"),
        (lambda rows: rows.drop(columns="split"), "lack the columns split"),
        (lambda rows: rows.drop(columns="rhythm"), "lack the columns rhythm"),
        (lambda rows: rows.assign(record_id="same"), "'same' more than once"),
        (lambda rows: rows.assign(split="fold 9"), "use train, val, test"),
        (lambda rows: rows.assign(age=["x", 1.0]), "mixes kinds of values"),
    ],
)
def test_rows_that_are_no_dataset_are_refused(tmp_path, dataset, change, expected):
    rows = change(dataset(tmp_path / "in", 2))
    with pytest.raises(StoreError, match=expected):
        packed(rows, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_an_error_that_says_so(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"r0\.hea does not exist"):
        packed(rows, tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_too_small_is_reported_before_hours_are_lost(
    tmp_path, dataset, monkeypatch
):
    rows = dataset(tmp_path / "in", 2)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(store_writer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StoreError, match="make room or pack elsewhere"):
        packed(rows, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_write_that_the_system_refuses_leaves_nothing_under_the_name(
    tmp_path, dataset
):
    rows = dataset(tmp_path / "in", 5)
    rows.to_pickle(tmp_path / "rows.pkl")
    script = textwrap.dedent("""
        import resource, sys, pandas as pd
        from mccgaa.config import InputConfig
        from mccgaa.data import store_writer
        from mccgaa.data.packing import pack
        from mccgaa.errors import StoreError
        store_writer.CHUNK_BYTES = 1
        rows = pd.concat([pd.read_pickle("rows.pkl")] * 8, ignore_index=True)
        rows["record_id"] = [str(i) for i in range(len(rows))]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            pack(rows, "in", "out", dataset="own", tasks={}, jobs=1, progress=False,
                 input=InputConfig(100, 2.0, "raw"))
        except StoreError as error:
            print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert "disk is full while packing out" in done.stdout, done.stderr
    assert "it continues from out.partial" in done.stdout
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial" / "signals.npy").stat().st_size == 100_000


def test_a_store_where_nothing_can_be_written_is_refused(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/out cannot be packed \(.*Not a dir"):
        packed(rows, tmp_path / "in", tmp_path / "file" / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_full_at_the_very_end_leaves_nothing_under_the_name(tmp_path, dataset):
    rows = dataset(tmp_path / "in", 2)
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "records.parquet").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="disk is full") as caught:
        packed(rows, tmp_path / "in", tmp_path / "out")
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert not (tmp_path / "out").exists()
    assert packed(rows, tmp_path / "in", tmp_path / "out").meta["records"] == 2
