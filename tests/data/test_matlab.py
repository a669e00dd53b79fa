"""MATLAB v5 structs: what scipy reads of whole files, and no crash on others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mccgaa.data import matlab


def by_scipy(path):
    return loadmat(path, struct_as_record=False)["ECG"][0, 0]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1", "i4", "i8"])
def test_whole_files_read_as_scipy_reads_them(tmp_path, compressed, dtype):
    data = np.arange(12 * 50).reshape(12, 50).astype(dtype)
    path = tmp_path / "a.mat"
    values = {
        "other": np.ones((3, 3)),
        "ECG": {"sex": "Female", "age": 61, "data": data, "more": {"deep": 1}},
    }
    savemat(path, values, do_compression=compressed)
    found = matlab.read_struct(path, "ECG")
    np.testing.assert_array_equal(found["data"], by_scipy(path).data)
    np.testing.assert_array_equal(found["data"], data)
    assert found["sex"] == "Female"
    assert found["age"].tolist() == [[61]]
    assert found["more"]["deep"].tolist() == [[1]]
    with pytest.raises(ValueError, match="no variable none"):
        matlab.read_struct(path, "none")


def test_what_is_no_such_struct_is_reported(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"ECG": np.ones((12, 50))})
    with pytest.raises(ValueError, match="no 1 x 1 struct"):
        matlab.read_struct(path, "ECG")
    savemat(path, {"ECG": {"data": np.ones((2, 2)) * 1j, "empty": np.array([])}})
    assert matlab.read_struct(path, "ECG")["data"] is None
    savemat(path, {"val": np.ones((12, 50), dtype=np.int16)}, format="4")
    with pytest.raises(ValueError, match="not a MATLAB v5 header"):
        matlab.read_struct(path, "ECG")


@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_is_an_error(tmp_path, compressed):
    path = tmp_path / "a.mat"
    values = {"ECG": {"sex": "Male", "age": 5, "data": np.eye(12, 3)}}
    savemat(path, values, do_compression=compressed)
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError):
            matlab.read_struct(path, "ECG")


def test_a_file_that_ends_scipys_process_is_only_an_error(tmp_path):
    path = tmp_path / "a.mat"
    values = {"ECG": {"sex": "Male", "age": 50, "data": np.eye(12, 120)}}
    savemat(path, values)
    content = bytearray(path.read_bytes()[:430])
    content[265] = 245
    path.write_bytes(content)
    with pytest.raises(ValueError):
        matlab.read_struct(path, "ECG")


def test_the_real_samples_read_as_scipy_reads_them(real_data):
    for path in sorted((real_data / "cpsc2018-sample").glob("*.mat")):
        found, expected = matlab.read_struct(path, "ECG"), by_scipy(path)
        np.testing.assert_array_equal(found["data"], expected.data)
        assert found["sex"] == expected.sex[0]
        assert found["age"].item() == expected.age.item()
