"""A store checked: checksums recomputed, contents counted, leaks found."""

from __future__ import annotations

import pytest

from mccgaa.config import InputConfig
from mccgaa.data.check import check
from mccgaa.data.packing import pack
from mccgaa.errors import StoreError


@pytest.fixture
def make_store(tmp_path, dataset):
    """`make_store(change)`: a store of 6 records whose rows `change` may edit."""

    def make(change=lambda rows: rows, **options):
        rows = change(dataset(tmp_path / "in", 6))
        settings = {"dataset": "own", "tasks": {"rhythm": ("AFIB", "SR")}, "jobs": 1}
        config = InputConfig(100, 2.0, "raw")
        pack(
            rows,
            tmp_path / "in",
            tmp_path / "out",
            input=config,
            progress=False,
            **(settings | options),
        )
        return tmp_path / "out"

    return make


def test_a_card_counts_what_a_store_holds(make_store):
    card = check(make_store())
    assert (card.meta["records"], card.subjects) == (6, 3)
    assert "stored        100 Hz, 2 s, raw" in str(card)
    assert card.splits == {"train": 4, "test": 2}
    assert card.recorded_rates == {500: 6}
    assert card.recorded_seconds == (2, 2, 2)
    assert card.classes == {"rhythm": {"AFIB": 0, "SR": 3}}
    assert card.labelled == {"rhythm": 3}
    assert (card.without_text, card.distinct_texts, card.repeated_texts) == (2, 4, 0)
    assert (card.interpolated, card.clipped, card.stored_clipped) == (0, 0, 0)
    assert card.problems == []
    text = str(card)
    assert "6 records of 3 subjects" in text
    assert "No subject is on both sides of a split." in text
    assert "SYNTHETIC" not in text
    assert card.meta["fingerprint"] in text


def test_a_card_counts_faults_and_duplicates(
    make_store, tmp_path, dataset, ecg, wfdb_writer
):
    def change(rows):
        root = tmp_path / "in"
        wfdb_writer(root, "r0", ecg(2, 500, leads=2), leads=["I", "II"])
        odd = ecg(2, 500, seed=1)
        odd[3] = 0
        odd[5, 300:320] = float("nan")
        wfdb_writer(root, "r1", odd)
        (root / "r2.dat").unlink()
        (root / "r3.dat").unlink()
        rows.loc[5, ["path", "text"]] = ["r4", "report 4"]
        (root / "SYNTHETIC").touch()
        return rows

    card = check(make_store(change, allow_missing_leads=True))
    assert card.meta["records"] == 4
    assert card.missing_leads == {f"V{i}": 1 for i in range(1, 7)}
    assert card.derived_leads == {"III": 1, "aVR": 1, "aVL": 1, "aVF": 1}
    assert card.flat_leads == {"aVR": 1}
    assert card.interpolated == 1
    assert card.same_signals == [["r4", "r5"]]
    assert card.repeated_texts == 2
    assert card.problems == []
    text = str(card)
    assert "computed      III 1, aVR 1, aVL 1, aVF 1, from leads I and II" in text
    assert "SYNTHETIC" in text
    assert "2 records in 1 group of identical signals" in text
    assert "1 record with interpolated samples" in text
    assert "0 records at the source's limits" in text
    assert list(card.rejected.values()) == [2]


def test_equal_faults_count_together(make_store, tmp_path):
    def change(rows):
        for name in ("r2", "r3"):
            (tmp_path / "in" / f"{name}.hea").unlink()
        return rows

    card = check(make_store(change))
    assert card.rejected == {"FILE does not exist.": 2}


def test_subjects_and_signals_on_both_sides_are_problems(make_store):
    def change(rows):
        rows.loc[0, "subject_id"] = "s2"  # of the test records
        rows.loc[1, "path"] = "r5"
        return rows

    card = check(make_store(change))
    assert card.shared_subjects == ["s2"]
    assert len(card.problems) == 2
    assert "PROBLEM: 1 subject is on more than one side" in str(card)
    said = "1 signal is in records on more than one side of the split (r1 of train and"
    assert f"{said} r5 of test)." in str(card)
    assert "No subject is on" not in str(card)


def test_of_many_signals_on_both_sides_the_first_are_named(
    make_store, tmp_path, monkeypatch
):
    monkeypatch.setattr("mccgaa.data.check._NAMED", 1)

    def change(rows):
        rows["subject_id"] = rows["record_id"]
        rows["path"] = ["r0", "r0", "r1", "r1", "r0", "r1"]
        rows["split"] = ["train", "train", "train", None, "test", "test"]
        return rows

    (problem,) = check(make_store(change)).problems
    said = "2 signals are in records on more than one side of the split ("
    assert problem in (
        f"{said}r0 of train and r4 of test, ...).",
        f"{said}r2 of train and r5 of test, ...).",
    )


@pytest.mark.parametrize("file", ["signals.npy", "records.parquet"])
def test_changed_content_is_refused(make_store, file):
    store = make_store()
    check(store)
    if file == "signals.npy":
        content = bytearray((store / file).read_bytes())
        content[1000] ^= 1
        (store / file).write_bytes(content)
    else:
        import pandas as pd

        table = pd.read_parquet(store / file)
        table.loc[0, "split"] = "test"
        table.to_parquet(store / file)
    with pytest.raises(StoreError, match=rf"{file} is not what was packed"):
        check(store)
