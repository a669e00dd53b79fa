"""The challenge layout: codes become the 26 classes, folders become hospitals."""

from __future__ import annotations

from pathlib import Path

import pytest

from mccgaa.data import challenge
from mccgaa.data.reader import left_out
from mccgaa.errors import StoreError
from mccgaa.knowledge import Knowledge

FIB, SINUS, LBBB, CLBBB = "164889003", "426783006", "164909002", "733534002"
NAUGHT = "55827005"  # a finding that the challenge does not score


def write(root: Path, name: str, codes: str | None) -> None:
    path = root / f"{name}.hea"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{path.stem} 12 500 5000", "#Age: 60", "#Sex: Female"]
    lines += [] if codes is None else [f"#Dx: {codes}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_codes_become_classes_and_folders_hospitals(tmp_path):
    write(tmp_path, "georgia/g1/E1", f"{FIB},{CLBBB},{NAUGHT}")
    write(tmp_path, "cpsc/A1", NAUGHT)
    write(tmp_path, "cpsc/A2", None)
    rows = challenge.read_rows(tmp_path).set_index("record_id")
    assert rows.loc["E1", "challenge"] == ["AF", "LBBB"]
    assert rows.loc["A1", "challenge"] == []  # a negative of all classes
    assert rows["hospital"].to_dict() == {"A1": "cpsc", "E1": "georgia"}
    assert set(rows["split"]) == {"test"} and rows.loc["E1", "age"] == 60
    assert rows.attrs["unmapped"] == {NAUGHT: 2}
    assert [one.record_id for one in left_out(rows).itertuples()] == ["A2"]


def test_codes_that_the_challenge_scores_as_one_are_one_class():
    assert challenge.classes_of([LBBB]) == challenge.classes_of([CLBBB]) == ["LBBB"]
    assert len(challenge.CLASSES) == 26 and len(challenge.CLASS_OF) == 30


def test_every_class_has_an_entry_with_one_of_its_codes():
    entries = Knowledge.load().vocabularies["challenge"]
    assert set(entries) == set(challenge.CLASSES)
    for name, entry in entries.items():
        codes = challenge.CODES[name]
        assert entry.snomed is None or entry.snomed in codes, name


def test_one_hospitals_folder_is_read_by_itself(tmp_path):
    write(tmp_path / "ningbo", "JS1", SINUS)
    write(tmp_path / "ningbo", "JS2", FIB)
    rows = challenge.read_rows(tmp_path / "ningbo", limit=1)
    assert rows["record_id"].tolist() == ["JS1"]
    assert rows["hospital"].tolist() == ["ningbo"]
    only = challenge.read_rows(tmp_path / "ningbo", only_ids=["JS2", "JS9"])
    assert only["challenge"].tolist() == [["AF"]]


def test_an_empty_folder_and_a_name_in_two_folders_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"holds no \.hea"):
        challenge.read_rows(tmp_path)
    write(tmp_path, "a/E1", FIB)
    write(tmp_path, "b/E1", FIB)
    with pytest.raises(StoreError, match="several records named E1"):
        challenge.read_rows(tmp_path)
