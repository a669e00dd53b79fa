"""CPSC2018 in both living forms, its length policies, its nine classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from mccgaa.config import InputConfig
from mccgaa.data import cpsc2018
from mccgaa.data.datasets import open_or_pack
from mccgaa.data.reader import left_out
from mccgaa.data.record import read_record
from mccgaa.data.transform import prepare
from mccgaa.errors import StoreError


def write_original(root: Path, labels: Mapping[str, str], seconds: float = 12) -> Path:
    """Write the challenge's own form: struct ECG in A*.mat, and REFERENCE.csv."""
    root.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * 500)) / 500
    data = np.sin(2 * np.pi * time) * np.arange(1, 13)[:, None] / 12  # (12, T) mV
    for name in labels:
        ecg = {"sex": "Male", "age": 61.0, "data": data}
        savemat(root / f"{name}.mat", {"ECG": ecg})
    lines = [f"{name},{cells}" for name, cells in labels.items()]
    header = "Recording,First_label,Second_label,Third_label"
    (root / "REFERENCE.csv").write_text("\n".join([header, *lines]) + "\n")
    return root


def write_headers(root: Path, dx: Mapping[str, str]) -> Path:
    """Write the headers of PhysioNet's copy."""
    for i, (name, codes) in enumerate(dx.items()):
        folder = root / "training" / "cpsc_2018" / f"g{1 + i // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{name} 12 500 7500 12-May-2020 12:33:59", "#Age: 74", "#Sex: Female"]
        (folder / f"{name}.hea").write_text("\n".join([*lines, f"#Dx: {codes}"]))
    return root


def test_both_forms_give_the_same_labels(tmp_path: Path) -> None:
    original = write_original(
        tmp_path / "original", {"A0001": "5,,", "A0002": "1,,", "A0003": "8,2,7"}
    )
    copy = write_headers(
        tmp_path / "copy",
        {
            "A0001": "59118001",
            "A0002": "426783006",
            "A0003": "164884008,164889003,429622005",
        },
    )
    expected = [["CRBBB"], ["NORM"], ["AFIB", "VPC", "STD"]]
    rows, twins = cpsc2018.read_rows(original), cpsc2018.read_rows(copy)
    assert rows["cpsc2018"].to_list() == twins["cpsc2018"].to_list() == expected
    assert rows["split"].to_list() == twins["split"].to_list()
    assert rows["path"][0] == "A0001.mat"
    assert twins["path"][2] == "training/cpsc_2018/g2/A0003"
    assert (twins["age"][0], twins["sex"][0]) == (74.0, "Female")


def test_every_class_of_physionets_copy_has_its_code() -> None:
    challenge = (
        "426783006 164889003 270492004 164909002 59118001 284470004 164884008 "
        "429622005 164931005"
    )
    named = [cpsc2018.SNOMED[code] for code in challenge.split()]
    assert tuple(named) == cpsc2018.CLASSES
    assert set(cpsc2018.SNOMED.values()) == set(cpsc2018.CLASSES)


def test_records_are_never_lost_silently(tmp_path: Path) -> None:
    root = write_original(tmp_path, {"A0001": "5,,", "A0002": "1,,", "A0003": ",,"})
    (root / "A0002.mat").rename(root / "A0004.mat")
    rows = cpsc2018.read_rows(root)
    reasons = left_out(rows).set_index("record_id")["reason"]
    assert rows["record_id"].to_list() == ["A0001"]
    assert "A0002.mat is absent" in reasons["A0002"]
    assert "no label" in reasons["A0003"]
    assert "does not name it" in reasons["A0004"]
    copy = write_headers(tmp_path / "copy", {"A0001": "59118001,7", "A0002": ""})
    reasons = left_out(cpsc2018.read_rows(copy)).set_index("record_id")["reason"]
    assert reasons["A0001"] == "code 7 is none of the nine classes"
    assert "no Dx line" in reasons["A0002"]


def test_a_wrong_label_or_folder_or_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="neither A"):
        cpsc2018.read_rows(tmp_path)
    for bad in ("10", "0", "1.5", "AF"):
        root = write_original(tmp_path, {"A0001": f"{bad},,"})
        with pytest.raises(StoreError, match=f"A0001 the label '{bad}'"):
            cpsc2018.read_rows(root)
    root = write_original(tmp_path, {"A0001": "1.0,,"})
    assert cpsc2018.read_rows(root)["cpsc2018"][0] == ["NORM"]
    with pytest.raises(StoreError, match="lengths is 'all'"):
        cpsc2018.read_rows(root, lengths="all")


@pytest.mark.parametrize(
    ("duration", "starts"),
    [
        (6.0, [0.0]),
        (10.0, [0.0]),
        (15.5, [0.0, 5.5]),
        (20.0, [0.0, 10.0]),
        (33.0, [0.0, 10.0, 20.0, 23.0]),
    ],
)
def test_windows_cover_every_sample_without_padding(
    duration: float, starts: list[float]
) -> None:
    found = cpsc2018.window_starts(duration)
    assert found == pytest.approx(starts)
    covered = np.zeros(round(duration * 500), dtype=bool)
    for start in found:
        covered[round(start * 500) : round((start + 10) * 500)] = True
    assert covered.all()
    assert max(found) + 10 <= duration or found == [0.0]


def test_windows_of_a_record_share_its_split_and_labels(tmp_path: Path) -> None:
    labels = {f"A{i:04d}": "2,," for i in range(1, 11)}
    root = write_original(tmp_path, labels, seconds=24)
    whole = cpsc2018.read_rows(root).set_index("record_id")
    rows = cpsc2018.read_rows(root, lengths="windows")
    assert len(rows) == 30
    assert rows["record_id"].is_unique
    for row in rows.itertuples():
        assert row.split == whole.loc[row.group, "split"]
        assert row.cpsc2018 == ["AFIB"]
    assert rows["start"][:3].to_list() == [0.0, 10.0, 14.0]
    assert set(rows["policy"]) == {"first-10s"}
    assert len(cpsc2018.read_rows(root, lengths="windows", limit=2)) == 6
    short = cpsc2018.read_rows(root, lengths="windows", limit=1, duration=5)
    assert short["start"].to_list() == [0.0, 5.0, 10.0, 15.0, 19.0]
    store = open_or_pack(
        *("cpsc2018", root, tmp_path / "store"),
        input=InputConfig(100, 5.0),
        lengths="windows",
        limit=1,
        jobs=1,
        progress=False,
    )
    assert store.records["start"].to_list() == short["start"].to_list()


def test_the_policies_cut_what_they_say(tmp_path: Path) -> None:
    root = write_original(tmp_path, {"A0001": "2,,"}, seconds=12)
    record, config = read_record(root / "A0001.mat"), InputConfig()
    first = cpsc2018.read_rows(root)
    ten = prepare(record, config, first["policy"][0])
    short = cpsc2018.read_rows(root, lengths="first-5s-padded")
    five = prepare(record, config, short["policy"][0])
    assert np.array_equal(ten, record.signal[:, :5000])
    assert np.array_equal(five[:, :2500], record.signal[:, :2500])
    assert not five[:, 2500:].any()
    start = cpsc2018.read_rows(root, lengths="windows")["start"][1]
    assert np.array_equal(prepare(record, config, start=start), record.signal[:, 1000:])


def test_a_part_of_the_records_keeps_its_places_in_the_split(tmp_path: Path) -> None:
    root = write_original(tmp_path, {f"A{i:04d}": "2,," for i in range(1, 11)})
    whole = cpsc2018.read_rows(root).set_index("record_id")
    part = cpsc2018.read_rows(root, only_ids=["A0002", "A0009", "A7777"])
    assert part["record_id"].to_list() == ["A0002", "A0009"]
    assert part["split"].to_list() == whole.loc[["A0002", "A0009"], "split"].to_list()
    assert left_out(part)["record_id"].to_list() == ["A7777"]


def test_every_real_sample_is_labelled_and_read(real_data: Path) -> None:
    root = real_data / "cpsc2018-sample"
    rows = cpsc2018.read_rows(root)
    assert len(rows) == 10
    assert len(left_out(rows)) == 0
    labels = rows.set_index("record_id")["cpsc2018"]
    assert (labels["A1980"], labels["A1982"]) == (["PAC"], ["1AVB"])
    for path in rows["path"]:
        record = read_record(root / path)
        assert record.units == "mV"
        assert 6 <= record.duration <= 60
        assert prepare(record, InputConfig()).shape == (12, 5000)
