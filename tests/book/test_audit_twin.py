"""The rulers read what was drawn, and the twin's findings lie in textbook ranges."""

import numpy as np
import pytest

from mccgaa.errors import MccgaaError
from mccgaa_book.audit import delineate, twin

RATE = 500


def _drawn(pr=160, qrs=90, qt=400, rate=70, axis=40.0, noise=0.005):
    """A plain ECG of triangles and bells in all leads, nothing of the twin's."""
    time = np.arange(5000) / RATE
    wave = np.zeros((12, 5000))
    size = np.array([np.cos(np.deg2rad(axis)), 0, 0, 0, 0, 0] + [0.4] * 6)
    up = np.sin(np.deg2rad(axis)) * np.sqrt(3) / 2
    size[1] = up + size[0] / 2  # II, so that aVF = II - I / 2 = up
    size = size[:, None]
    for start in np.arange(0.6, 9.4, 60 / rate):
        p = np.exp(-0.5 * ((time - start + (pr - 50) / 1000) / 0.020) ** 2)
        rest = np.abs(time - start - qrs / 2000) / (qrs / 2000)
        t = np.exp(-0.5 * ((time - start - (qt - 80) / 1000) / 0.040) ** 2)
        wave += size * (np.clip(1 - rest, 0, 1) + 0.12 * p + 0.25 * t)
    return wave + noise * np.random.default_rng(0).normal(size=wave.shape)


@pytest.mark.parametrize("qrs", [80, 100, 140])
@pytest.mark.parametrize("pr", [140, 240])
def test_the_ruler_reads_a_drawn_ecg(pr, qrs):
    read = delineate.measure(_drawn(pr=pr, qrs=qrs, qt=420), RATE)
    assert read.heart_rate == pytest.approx(70, abs=1)
    assert read.qrs == pytest.approx(qrs, abs=18)
    assert read.pr == pytest.approx(pr, abs=20)
    assert read.qt == pytest.approx(420, abs=20)


@pytest.mark.parametrize("axis", [-60, 0, 45, 110])
def test_the_ruler_reads_the_axis(axis):
    assert delineate.measure(_drawn(axis=axis), RATE).axis == pytest.approx(axis, abs=3)


def test_qtc_is_bazetts():
    read = delineate.measure(_drawn(rate=60), RATE)
    assert read.qtc == pytest.approx(read.qt, rel=0.02)


def test_a_record_without_beats_gives_no_numbers():
    flat = delineate.measure(np.random.default_rng(0).normal(0, 1e-3, (12, 900)), RATE)
    assert np.isnan(flat.qrs)


def test_the_ruler_agrees_with_the_twins_truth():
    table = twin.ruler_error(12).set_index("measure")
    assert abs(table.loc["heart_rate", "measured: median"]) < 1
    for name, bound in (("pr", 8), ("qrs", 10), ("qt", 15), ("axis", 4)):
        assert abs(table.loc[name, "measured: median"]) < bound
    assert abs(table.loc["qt", "neurokit: median"]) < 25


CHEAP = [one for one in twin.RANGES if one.code in ("NORM", "CLBBB", "1AVB", "LAFB")]


def test_findings_lie_in_their_ranges_as_measured():
    table = twin.in_range(10, ranges=CHEAP)
    assert len(table) == len(CHEAP)
    assert (table["truth in range"] >= 0.9).all()
    assert (table["measured in range"] >= 0.6).all()
    assert table["measured in range"].mean() > 0.9


def test_every_range_belongs_to_a_criterion():
    listed = set(twin.criteria()["statement"])
    assert {one.code for one in twin.RANGES} <= listed and len(listed) == 71
    assert all(one.low < one.high for one in twin.RANGES)


def test_a_folder_without_ptbxl_is_refused(tmp_path):
    with pytest.raises(MccgaaError, match="no ptbxl_database"):
        twin.measure_real(tmp_path, ["NORM"])
