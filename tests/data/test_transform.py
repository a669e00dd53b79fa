"""From a record to a model's input: rate, band, length, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import signal as dsp

from mccgaa.config import LEADS, InputConfig
from mccgaa.data.record import read_record
from mccgaa.data.transform import prepare, prepare_windows
from mccgaa.errors import RecordError


@pytest.fixture
def record_of(tmp_path, wfdb_writer):
    """`record_of(signal, rate=500, ...)`: write, then read."""

    def make(signal, **options):
        return read_record(wfdb_writer(tmp_path, "r", signal, **options))

    return make


def sines(rate, seconds, frequency, amplitude=1.0):
    t = np.arange(round(rate * seconds)) / rate
    phase = np.arange(12)[:, None] / 12
    return amplitude * np.sin(2 * np.pi * (frequency * t + phase))


def test_raw_at_the_records_own_rate_is_the_record(record_of, ecg):
    record = record_of(ecg(10, 500))
    out = prepare(record, InputConfig())
    assert out.shape == (12, 5000)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, record.signal)


@pytest.mark.parametrize("rate", [100, 250, 257, 1000])
def test_another_rate_keeps_the_wave_and_its_place(record_of, rate):
    record = record_of(sines(rate, 4, 5), rate=rate)
    out = prepare(record, InputConfig(500, 4.0))
    assert out.shape == (12, 2000)
    middle = slice(250, 1750)
    expected = sines(500, 4, 5)
    np.testing.assert_allclose(out[:, middle], expected[:, middle], atol=0.01)


def test_an_offset_makes_no_edge_when_the_rate_changes(record_of):
    signal = sines(500, 4, 1, 0.1) + 3
    out = prepare(record_of(signal), InputConfig(100, 4.0))
    np.testing.assert_allclose(out, sines(100, 4, 1, 0.1) + 3, atol=0.02)


def test_bandpass_zscore_keeps_the_band_and_drops_drift_and_hum(record_of):
    wave, drift, hum = sines(500, 10, 10), sines(500, 10, 0.1, 2), sines(500, 10, 100)
    fade = np.hanning(5000)  # no edges, which every filter answers
    record = record_of(fade * (wave + hum) + drift * fade**4)
    out = prepare(record, InputConfig(500, 10.0, "bandpass-zscore"))
    wanted = fade * wave
    np.testing.assert_allclose(out, wanted / wanted.std(1)[:, None], atol=0.1)


def test_bandpass_zscore_is_the_stated_filter_then_the_stated_rate(record_of, ecg):
    record = record_of(ecg(10, 500))
    out = prepare(record, InputConfig(100, 10.0, "bandpass-zscore"))
    for trace, result in zip(record.signal.astype(float), out, strict=True):
        sections = dsp.butter(4, [0.5, 40], "bandpass", fs=500, output="sos")
        filtered = dsp.sosfiltfilt(sections, trace)
        slow = dsp.resample_poly(filtered, 1, 5, padtype="line")
        np.testing.assert_allclose(result, (slow - slow.mean()) / slow.std(), atol=1e-3)


def test_each_lead_is_standardised_on_its_own(record_of, ecg):
    out = prepare(record_of(ecg(10, 500)), InputConfig(100, 10.0, "bandpass-zscore"))
    np.testing.assert_allclose(out.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=1), 1, atol=1e-5)


def test_padding_does_not_sway_the_zscore(record_of, ecg):
    record = record_of(ecg(7, 500))
    alone = prepare(record, InputConfig(100, 7.0, "bandpass-zscore"))
    padded = prepare(record, InputConfig(100, 10.0, "bandpass-zscore"))
    np.testing.assert_array_equal(padded[:, :700], alone)
    assert not padded[:, 700:].any()


def test_long_records_are_cut_after_their_first_ten_seconds(record_of, ecg):
    record = record_of(ecg(14, 500))
    out = prepare(record, InputConfig())
    np.testing.assert_array_equal(out, record.signal[:, :5000])


def test_five_seconds_padded_is_merls_reading(record_of, ecg):
    record = record_of(ecg(14, 500))
    out = prepare(record, InputConfig(), "first-5s-padded")
    np.testing.assert_array_equal(out[:, :2500], record.signal[:, :2500])
    assert not out[:, 2500:].any()


def test_a_window_begins_where_it_is_asked_to(record_of, ecg):
    record = record_of(ecg(25, 500))
    out = prepare(record, InputConfig(), start=15)
    np.testing.assert_array_equal(out, record.signal[:, 7500:12500])
    with pytest.raises(RecordError, match="nothing 25 s after its start"):
        prepare(record, InputConfig(), start=25)


def test_a_wrong_length_is_refused_where_one_is_stated(record_of, ecg):
    record = record_of(ecg(8, 500))
    with pytest.raises(RecordError, match=r"lasts 8 s; .* last 10 s"):
        prepare(record, InputConfig(), seconds=10)
    assert prepare(record, InputConfig(), seconds=8).shape == (12, 5000)


def test_the_shortest_window_has_two_samples(record_of, ecg):
    record = record_of(ecg(10, 500))
    out = prepare(record, InputConfig(), start=4998 / 500)
    np.testing.assert_array_equal(out[:, :2], record.signal[:, 4998:])
    with pytest.raises(RecordError, match=r"nothing 9\.998 s after its start"):
        prepare(record, InputConfig(), start=4999 / 500)


def test_an_absent_lead_is_zeros(record_of, ecg):
    record = record_of(ecg(10, 500))
    present = np.arange(12) != 6
    out = prepare(replace(record, present=present), InputConfig())
    assert not out[6].any()
    np.testing.assert_array_equal(out[present], record.signal[present])


def test_normalised_records_are_not_filtered_twice(record_of, ecg):
    signal = ecg(10, 500)
    z = np.round((signal - signal.mean(1, keepdims=True)) / signal.std(1)[:, None], 3)
    record = record_of(z, units="NU")
    out = prepare(record, InputConfig(500, 10.0, "bandpass-zscore"))
    np.testing.assert_allclose(out, z, atol=2e-3)
    unfiltered = record_of(z, units="mV")
    other = prepare(unfiltered, InputConfig(500, 10.0, "bandpass-zscore"))
    assert np.abs(other - z).max() > 0.1


def test_short_gaps_are_interpolated(record_of, ecg):
    signal = ecg(10, 500)
    holed = signal.copy()
    holed[1, 1000:1100] = np.nan  # 0.2 s
    holed[2, :20] = np.nan
    out = prepare(record_of(holed), InputConfig())
    assert np.isfinite(out).all()
    line = np.interp(np.arange(1000, 1100), [999, 1100], signal[1, [999, 1100]])
    np.testing.assert_allclose(out[1, 1000:1100], line, atol=1e-5)
    np.testing.assert_allclose(out[2, :20], signal[2, 20], atol=1e-5)


def test_long_and_frequent_gaps_are_refused(record_of, ecg):
    long = ecg(10, 500)
    long[3, 1000:1101] = np.nan
    with pytest.raises(
        RecordError, match=r"aVR is invalid for 0\.20 s.* Cut that part"
    ):
        prepare(record_of(long), InputConfig())
    often = ecg(10, 500)
    often[8, ::20] = np.nan  # 5 %
    assert np.isfinite(prepare(record_of(often), InputConfig())).all()
    often[8, ::15] = np.nan
    with pytest.raises(RecordError, match=r"10\.0% of lead V3.* Cut that part out"):
        prepare(record_of(often), InputConfig())


def test_a_flat_lead_becomes_zeros_not_noise(record_of, ecg):
    signal = ecg(10, 500)
    signal[5] = 0.123
    with np.errstate(all="raise"):
        out = prepare(record_of(signal), InputConfig(100, 10.0, "bandpass-zscore"))
    assert not out[LEADS.index("aVF")].any()
    assert np.isfinite(out).all()
    assert prepare(record_of(signal), InputConfig())[5, 0] == np.float32(0.123)


def test_a_lead_that_is_flat_for_the_window_only_becomes_zeros(record_of, ecg):
    signal = ecg(10, 500)
    signal[5, :1000] = 0.123
    record = record_of(signal, units="NU")
    out = prepare(record, InputConfig(500, 2.0, "bandpass-zscore"))
    assert not out[5].any() and out[4].any()


def test_a_lead_that_its_record_calls_flat_becomes_zeros(record_of, ecg):
    record = record_of(ecg(10, 500))  # what a filter leaves of a flat lead is rounding
    record = replace(record, quality=replace(record.quality, flat_leads=("V1",)))
    out = prepare(record, InputConfig(100, 10.0, "bandpass-zscore"))
    assert [lead.any() for lead in out] == [lead != "V1" for lead in LEADS]


def test_what_cannot_hold_the_band_is_refused(record_of, ecg):
    config = InputConfig(100, 10.0, "bandpass-zscore")
    with pytest.raises(RecordError, match=r"transform .* needs more than 80 Hz"):
        prepare(record_of(ecg(10, 80), rate=80), config)
    assert prepare(record_of(ecg(10, 81), rate=81), config).any()
    # scipy's padding of four second-order sections: 3 * (2 * 4 + 1) = 27 samples
    with pytest.raises(RecordError, match="too short"):
        prepare(record_of(ecg(27 / 500, 500)), config)
    assert prepare(record_of(ecg(28 / 500, 500)), config).any()


def test_an_unknown_policy_is_refused(record_of, ecg):
    with pytest.raises(RecordError, match="'last-10s' is no length policy"):
        prepare(record_of(ecg(1, 500)), InputConfig(), "last-10s")


@pytest.mark.parametrize(
    ("seconds", "starts"), [(4, [0]), (10, [0]), (20, [0, 10]), (23, [0, 10, 13])]
)
@pytest.mark.parametrize("transform", ["raw", "bandpass-zscore"])
def test_a_record_of_any_length_is_windows_that_cover_it(
    record_of, ecg, seconds, starts, transform
):
    record, config = record_of(ecg(seconds, 500)), InputConfig(100, 10.0, transform)
    windows = prepare_windows(record, config)
    assert windows.shape == (len(starts), 12, 1000)
    for window, start in zip(windows, starts, strict=True):
        expected = prepare(record, config, start=start)
        np.testing.assert_allclose(window, expected, atol=1e-6)
    assert not windows[0][:, 100 * seconds :].any()  # padding, where it is short


def test_only_a_whole_data_set_loads_scipy(record_of, ecg, monkeypatch):
    record, config = record_of(ecg(10, 500)), InputConfig(100, 10.0, "bandpass-zscore")
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    assert prepare_windows(record, config).shape == (1, 12, 1000)
    with pytest.raises(ImportError):
        prepare(record, config)
