"""The trees: their files, tables and marker; the same whatever the processes."""

import ast
import errno
import hashlib

import numpy as np
import pandas as pd
import pytest
import wfdb
from scipy.signal import resample_poly
from threadpoolctl import threadpool_info, threadpool_limits

from mccgaa.errors import MccgaaError, WriteError
from mccgaa_twin import tree_csn, tree_ptbxl
from mccgaa_twin.files import Folder
from mccgaa_twin.mirror import SOURCES, write_tree, write_twin
from mccgaa_twin.statements import STATEMENTS

SIZES = {"ptbxl": 40, "mimic": 60}


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A small twin of both sources, written by one process."""
    out = tmp_path_factory.mktemp("twin")
    return out, write_twin(out, **SIZES, seed=7, jobs=1, progress=False)


def _files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(
    twin, tmp_path
):
    _, roots = twin
    again = write_tree(
        tmp_path / "again", "mimic", SIZES["mimic"], 7, jobs=2, progress=False
    )
    assert _files(again) == _files(roots["mimic"])


def test_another_seed_gives_other_signals(twin, tmp_path):
    _, roots = twin
    other = write_tree(tmp_path / "o", "ptbxl", 3, 8, jobs=1, progress=False)
    name = "records500/00000/00001_hr.dat"
    assert (other / name).read_bytes() != (roots["ptbxl"] / name).read_bytes()


def test_checksums_hold_and_cover_every_file(twin):
    _, roots = twin
    for root in roots.values():
        listed = dict(
            line.split(" ", 1)[::-1]
            for line in (root / "SHA256SUMS.txt").read_text().splitlines()
        )
        present = _files(root)
        present.pop("SHA256SUMS.txt")
        assert {k: hashlib.sha256(v).hexdigest() for k, v in present.items()} == listed


def test_every_root_says_that_it_is_synthetic(twin):
    _, roots = twin
    for root in roots.values():
        assert "synthetic" in (root / "SYNTHETIC").read_text()


def test_wfdb_reads_format_16_back_with_matching_checksums(twin):
    _, roots = twin
    root = roots["ptbxl"]
    table = pd.read_csv(root / "ptbxl_database.csv")
    for name in table["filename_hr"][:5]:
        record = wfdb.rdrecord(str(root / name), physical=False)
        assert record.sig_name[:6] == ["I", "II", "III", "AVR", "AVL", "AVF"]
        assert record.fs == 500 and record.d_signal.shape == (5000, 12)
        assert record.units == ["mV"] * 12 and record.adc_gain == [1000.0] * 12
        assert list(record.d_signal[0]) == record.init_value
        total = record.d_signal.astype(np.int64).sum(axis=0)
        assert list(total.astype(np.int16)) == record.checksum


def test_the_low_rate_copy_is_the_same_record(twin):
    _, roots = twin
    root = roots["ptbxl"]
    row = pd.read_csv(root / "ptbxl_database.csv").iloc[0]
    fast = wfdb.rdrecord(str(root / row["filename_hr"])).p_signal
    slow = wfdb.rdrecord(str(root / row["filename_lr"])).p_signal
    assert slow.shape == (1000, 12)
    expected = resample_poly(fast, 1, 5)
    for lead in range(12):
        assert np.corrcoef(expected[20:-20, lead], slow[20:-20, lead])[0, 1] > 0.99


def test_ptbxl_tables_have_the_published_columns_and_codes(twin):
    _, roots = twin
    root = roots["ptbxl"]
    table = pd.read_csv(root / "ptbxl_database.csv")
    assert list(table.columns[:6]) == [
        "ecg_id",
        "patient_id",
        "age",
        "sex",
        "height",
        "weight",
    ]
    assert list(table.columns[-3:]) == ["strat_fold", "filename_lr", "filename_hr"]
    assert set(table["strat_fold"]) <= set(range(1, 11))
    assert table.groupby("patient_id")["strat_fold"].nunique().max() == 1
    for codes in table["scp_codes"].map(ast.literal_eval):
        assert set(codes) <= set(STATEMENTS)
        assert set(codes.values()) <= {0.0, 15.0, 35.0, 50.0, 80.0, 100.0}
    statements = pd.read_csv(root / "scp_statements.csv", index_col=0)
    assert len(statements) == 71
    assert statements["diagnostic"].sum() == 44
    assert statements["form"].sum() == 19
    assert statements["rhythm"].sum() == 12
    assert statements["diagnostic_class"].dropna().nunique() == 5
    assert statements["diagnostic_subclass"].dropna().nunique() == 23


def test_mimic_tables_pair_by_study_and_hold_several_records_per_subject(twin):
    _, roots = twin
    root = roots["mimic"]
    listed = pd.read_csv(root / "record_list.csv")
    measured = pd.read_csv(root / "machine_measurements.csv")
    assert list(listed.columns) == [
        "subject_id",
        "study_id",
        "file_name",
        "ecg_time",
        "path",
    ]
    assert list(measured.columns[:5]) == [
        "subject_id",
        "study_id",
        "cart_id",
        "ecg_time",
        "report_0",
    ]
    assert list(measured.columns[-9:]) == [
        "rr_interval",
        "p_onset",
        "p_end",
        "qrs_onset",
        "qrs_end",
        "t_end",
        "p_axis",
        "qrs_axis",
        "t_axis",
    ]
    assert set(listed["study_id"]) == set(measured["study_id"])
    assert listed["study_id"].is_unique and len(listed) == SIZES["mimic"]
    assert 1.5 < len(listed) / listed["subject_id"].nunique() < 12
    for row in listed.itertuples():
        assert row.path == (
            f"files/p{str(row.subject_id)[:4]}/p{row.subject_id}/"
            f"s{row.study_id}/{row.study_id}"
        )


def test_mimic_leads_are_in_the_published_order_and_mean_what_they_say(twin):
    _, roots = twin
    root = roots["mimic"]
    path = pd.read_csv(root / "record_list.csv")["path"].iloc[0]
    record = wfdb.rdrecord(str(root / path))
    assert record.sig_name[3:6] == ["aVR", "aVF", "aVL"]
    lead = dict(zip(record.sig_name, record.p_signal.T, strict=True))
    step = 1 / record.adc_gain[0]
    assert np.abs(lead["II"] - lead["I"] - lead["III"]).max() < step / 100
    assert np.abs(lead["aVF"] - lead["II"] + lead["I"] / 2).max() < 0.51 * step
    assert np.abs(lead["aVL"] - lead["I"] + lead["II"] / 2).max() < 0.51 * step


def test_a_finished_tree_is_left_alone_and_another_one_is_refused(twin):
    out, roots = twin
    stamp = (roots["ptbxl"] / "SHA256SUMS.txt").stat().st_mtime_ns
    write_twin(out, ptbxl=SIZES["ptbxl"], mimic=0, seed=7, progress=False)
    assert (roots["ptbxl"] / "SHA256SUMS.txt").stat().st_mtime_ns == stamp
    with pytest.raises(MccgaaError, match="was not made with these settings"):
        write_twin(out, ptbxl=SIZES["ptbxl"], mimic=0, seed=8, progress=False)


def test_an_interrupted_writing_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    def fail(folder, rows):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tree_ptbxl, "finish", fail)
    with pytest.raises(WriteError, match="disk is full"):
        write_tree(tmp_path / "ptbxl", "ptbxl", 2, jobs=1, progress=False)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    root = write_tree(tmp_path / "ptbxl", "ptbxl", 2, jobs=1, progress=False)
    assert (root / "SYNTHETIC").is_file()


def test_a_negative_count_is_refused(tmp_path):
    with pytest.raises(MccgaaError, match="-1 records"):
        write_twin(tmp_path, ptbxl=-1, progress=False)


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(MccgaaError, match="no dataset 'ptb-xl'; it has ptbxl, mimic"):
        write_tree(tmp_path / "x", "ptb-xl", 1, progress=False)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("records", [1, 2, 57])
def test_a_tree_has_as_many_records_as_asked_for(name, records, tmp_path, monkeypatch):
    counted = []

    def count_only(folder, subject, first, count, rng, variety):
        assert count >= 1 and first == sum(counted) and subject == len(counted)
        counted.append(count)
        return [{}] * count

    monkeypatch.setattr(SOURCES[name], "subject_records", count_only)
    monkeypatch.setattr(SOURCES[name], "finish", lambda folder, rows: None)
    write_tree(tmp_path / name, name, records, jobs=1, progress=False)
    assert sum(counted) == records


def test_records_are_made_with_one_thread(tmp_path, monkeypatch):
    threads = []

    def look(folder, subject, first, count, rng, variety):
        threads.extend(pool["num_threads"] for pool in threadpool_info())
        return []

    monkeypatch.setattr(tree_csn, "subject_records", look)
    with threadpool_limits(2):
        write_tree(tmp_path / "csn", "csn", 1, jobs=1, progress=False)
        assert max(pool["num_threads"] for pool in threadpool_info()) == 2
    assert set(threads) == {1}


def test_ningbo_headers_are_in_their_own_folder_and_carry_a_date(tmp_path):
    for first in (999, 1000):
        tree_csn.subject_records(
            Folder(tmp_path), first, first, 1, np.random.default_rng(0)
        )
    chapman = (tmp_path / "WFDBRecords/01/019/JS01000.hea").read_text()
    ningbo = (tmp_path / "WFDBRecords/02/020/JS01001.hea").read_text()
    assert chapman.startswith("JS01000 12 500 5000\n")
    assert ningbo.startswith("JS01001 12 500 5000 23-Mar-2021 02:30:09\n")
