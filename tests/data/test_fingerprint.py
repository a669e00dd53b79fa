"""What decides a store's fingerprint must not change: stores and runs name it."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from mccgaa.config import InputConfig
from mccgaa.data.datasets import open_or_pack
from mccgaa.data.store import SignalStore
from mccgaa.errors import StoreError

RAW = InputConfig(500, 10.0, "raw")
# Made with commit 561e3a8 from the same files.
EXPECTED = [
    ("ptbxl", {}, "44bd134f4de7d19a"),
    ("mimic", {"val_share": 0.5}, "2df62d3ea36b392e"),
    ("csn", {}, "664dea3b0a0e4288"),
    ("csn", {"labels": "published"}, "e426eb95653f42cc"),
    ("cpsc2018", {}, "aa2692b86470a340"),
    ("cpsc2018", {"lengths": "windows"}, "ad740e6a44a67821"),
    ("cpsc2018", {"lengths": "first-5s-padded"}, "a162c952cdf7848f"),
    ("own", {"allow_missing_leads": True}, "30d6f4541e5d6db9"),
]


@pytest.mark.parametrize(("dataset", "options", "fingerprint"), EXPECTED)
def test_equal_files_and_settings_make_the_store_that_they_always_made(
    tmp_path, dataset, options, fingerprint
):
    root = tiny.write_all(tmp_path / "in")[dataset]
    out = tmp_path / "out"
    options = options | {"input": RAW, "jobs": 1, "progress": False}
    store = open_or_pack(dataset, root, out, **options)
    assert store.meta["fingerprint"] == fingerprint
    again = open_or_pack(dataset, root, out, **options)
    assert again.meta == store.meta
    # Without the dataset's folder, the store is enough.
    elsewhere = tmp_path / "nowhere"
    assert open_or_pack(dataset, elsewhere, out, **options).meta == store.meta
    mistyped = f"nowhere does not exist, and {out} holds other signals"
    other = options | {"input": InputConfig(100)}
    with pytest.raises(StoreError, match=rf"{mistyped} \(sampling_rate 500\)"):
        open_or_pack(dataset, elsewhere, out, **other)
    with pytest.raises(StoreError, match=rf"{mistyped} \(source {dataset}\)"):
        open_or_pack("challenge", elsewhere, out, **options)


def test_ptbxls_records_must_last_ten_seconds(tmp_path):
    root = tiny.write_all(tmp_path / "in")["ptbxl"]
    store = open_or_pack(
        "ptbxl", root, tmp_path / "out", input=RAW, jobs=1, progress=False
    )
    assert store.records["record_id"].tolist() == ["1", "2", "3"]
    reason = (store.path / "rejected.csv").read_text()
    assert "4,r500/4_hr,r500/4_hr.hea lasts 8 s" in reason


def test_a_store_holds_the_samples_of_the_files(tmp_path):
    root = tiny.write_all(tmp_path / "in")["ptbxl"]
    open_or_pack("ptbxl", root, tmp_path / "out", input=RAW, jobs=1, progress=False)
    signal = SignalStore.open(tmp_path / "out").signals[1]
    assert np.array_equal(signal, tiny.digital(2, 5000))
