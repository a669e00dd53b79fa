"""The ECG on clinical paper: to scale, every lead in its place, and what speaks for."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mccgaa.config import LEADS
from mccgaa.data.record import Quality, Record, read_record
from mccgaa.errors import ConfigError
from mccgaa.ready import plot
from mccgaa.ready.classifier import EXAMPLE

RATE = 100.0


def record(seconds: float = 10.0) -> Record:
    """Lead k is a sine of amplitude k / 10 mV around 0.5 mV."""
    time = np.arange(round(seconds * RATE)) / RATE
    signal = np.sin(2 * np.pi * time) * np.arange(1, 13)[:, None] / 10 + 0.5
    quality = Quality(0.0, (), 0.0)
    present = np.ones(12, dtype=bool)
    return Record("x", signal.astype(np.float32), RATE, "mV", present, quality)


def drawn(ecg: Record, rhythm: str | None = "II"):
    """Axes with a sheet, and its traces by lead and first second."""
    ax = Figure().add_axes((0, 0, 1, 1))
    sheet = plot.lay_out(ecg, 10.0, rhythm)
    plot.draw_sheet(ax, ecg, sheet)
    traces = {}
    for line in ax.lines:
        if line.get_gid() in LEADS and len(line.get_xdata()):
            start = round((line.get_xdata()[0] - plot.LEFT) / 25, 2)
            traces[line.get_gid(), start] = line
    return ax, sheet, traces


def test_leads_lie_in_four_columns_over_a_rhythm_strip():
    ax, sheet, traces = drawn(record())
    expected = {(lead, 2.5 * (i // 3)) for i, lead in enumerate(LEADS)} | {("II", 0.0)}
    assert set(traces) == expected
    rows = [[lead for lead, _, _ in row.parts] for row in sheet.rows]
    assert rows[0] == ["I", "aVR", "V1", "V4"] and rows[3] == ["II"]
    strip = [line for line in ax.lines if line.get_gid() == "II"][-1]
    assert len(strip.get_xdata()) == 1000
    baselines = [row.baseline for row in sheet.rows]
    assert baselines == sorted(baselines, reverse=True), "the first row is on top"
    # Where a lead is on the paper, no other row's name or trace is.
    for row, below in zip(sheet.rows, sheet.rows[1:], strict=False):
        assert row.baseline > below.name > below.baseline


def test_twelve_rows_have_ten_seconds_of_a_lead_each():
    _, sheet, traces = drawn(record(), rhythm=None)
    assert set(traces) == {(lead, 0.0) for lead in LEADS}
    assert [row.parts[0][0] for row in sheet.rows] == list(LEADS)


def test_a_second_is_25_mm_and_a_millivolt_10_around_the_leads_median():
    ecg = record()
    ax, sheet, traces = drawn(ecg)
    line, row = traces["V6", 7.5], sheet.rows[2]
    x, y = line.get_xdata(), line.get_ydata()
    np.testing.assert_allclose(x, plot.LEFT + 25 * np.arange(750, 1000) / RATE)
    values = ecg.signal[11, 750:] - np.median(ecg.signal[11])
    np.testing.assert_allclose(y, row.baseline + 10 * values, atol=1e-4)
    assert ax.get_aspect() == 1.0
    gaps = {
        collection.get_linewidth()[0]: np.diff(
            sorted({p[0, 0] for p in collection.get_segments() if p[0, 1] == 0})
        )
        for collection in ax.collections
    }
    (thin, small), (thick, large) = sorted(gaps.items())
    assert thin < thick and np.allclose(small, 1) and np.allclose(large, 5)
    pulses = [line for line in ax.lines if line.get_xdata()[0] < plot.LEFT - 5]
    assert len(pulses) == 4, "one calibration pulse a row"
    for pulse, row in zip(pulses, sheet.rows, strict=True):
        assert max(pulse.get_ydata()) - row.baseline == 10.0
        assert np.ptp(pulse.get_xdata()[2:4]) == 5.0  # mm: 0.2 s


def test_a_signal_without_millivolts_has_no_pulse_and_fits_its_row():
    ecg = replace(record(), units="NU")
    ecg = replace(ecg, signal=ecg.signal * 30)
    ax, sheet, traces = drawn(ecg)
    assert not [line for line in ax.lines if line.get_xdata()[0] < plot.LEFT - 5]
    heights = [np.ptp(line.get_ydata()) for line in traces.values()]
    assert 20 < max(heights) <= 30 and sheet.height < 150


def test_what_is_missing_is_left_blank_and_a_short_record_ends():
    ecg = record(4.0)
    signal = ecg.signal.copy()
    signal[0, 20:40] = np.nan
    _, _, traces = drawn(replace(ecg, signal=signal))
    assert np.isnan(traces["I", 0.0].get_ydata()[20:40]).all()
    assert len(traces["aVR", 2.5].get_xdata()) == 150
    assert not any(start > 4 for _, start in traces)


@pytest.fixture
def costs() -> tuple[np.ndarray, np.ndarray]:
    leads = np.zeros(12, np.float32)
    leads[[1, 6]] = 2.0, -1.0  # II for, V1 against
    seconds = np.linspace(-0.5, 1.5, 10).astype(np.float32)
    return leads, seconds


@pytest.mark.parametrize("layout", ["3x4", "12x1"])
def test_bars_are_as_long_as_what_is_lost_and_colours_are_not_all(
    costs, layout, tmp_path, monkeypatch
):
    kept = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda fig, *a, **k: kept.append(fig) or savefig(fig, *a, **k),
    )
    plot.save(tmp_path / "out.svg", record(), "sinus: 90%", *costs, layout=layout)
    (fig,) = kept
    (ax,) = fig.axes
    bars = [
        (p.get_width(), p.get_height(), p.get_y(), p.get_facecolor())
        for p in ax.patches
    ]
    leads, seconds = bars[:12], bars[12:]
    assert sorted(w for w, *_ in leads)[-2:] == pytest.approx([7.0, 14.0])
    assert len(seconds) == 10
    middle = seconds[0][2]
    for (_, height, bottom, colour), cost in zip(seconds, costs[1], strict=True):
        assert bottom == middle and np.sign(height) == np.sign(cost)
        assert height / seconds[9][1] == pytest.approx(cost / 1.5, abs=1e-6)
        same = colour == seconds[9][3]
        assert same == (cost > 0)
    words = {text.get_text() for text in ax.texts}
    assert {"sinus: 90%", "+2.00", "\N{MINUS SIGN}1.00", "25 mm/s, 10 mm/mV"} <= words
    assert min(text.get_fontsize() for text in ax.texts) >= 8
    width, height = fig.get_size_inches() * plot.INCH
    assert width == pytest.approx(np.ptp(ax.get_xlim()))  # true to scale
    assert height == pytest.approx(np.ptp(ax.get_ylim()))


def test_equal_ecgs_make_equal_files(costs, tmp_path):
    ecg = read_record(EXAMPLE)
    for name in ("a.svg", "b.svg"):
        plot.save(tmp_path / name, ecg, "x", *costs)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_what_cannot_be_drawn_is_said_in_a_sentence(costs, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"expected \.svg, \.pdf or \.png"):
        plot.save(tmp_path / "out.jpg", record(), "x", *costs)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r'pip install "mccgaa\[plot\]"'):
        plot.save(tmp_path / "out.svg", record(), "x", *costs)
    assert not list(Path(tmp_path).iterdir())
