"""Filter and resampling are scipy's, to within rounding."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import signal

from mccgaa.data.dsp import bandpass, filter_both_ways, resample


def noise(seconds: float, rate: float) -> np.ndarray:
    """Three leads with an offset and a drift, which edges are sensitive to."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    drift = np.array([[0.0], [2.0], [-5.0]]) * (1 + time)
    return rng.normal(0, 1, (3, len(time))) + drift


@pytest.mark.parametrize("rate", [81.0, 100.0, 257.0, 360.0, 500.0, 1000.0, 5000.0])
@pytest.mark.parametrize("seconds", [0.4, 10.0])
def test_the_filter_is_that_of_scipy(rate, seconds):
    x = noise(seconds, rate)
    sections = signal.butter(4, (0.5, 40.0), "bandpass", fs=rate, output="sos")
    expected = signal.sosfiltfilt(sections, x, axis=1)
    found = filter_both_ways(bandpass(4, 0.5, 40.0, rate), x, 27)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("length", [28, 63, 64, 65, 128])
def test_any_length_is_whole_blocks_or_not(length):
    x = noise(1.0, 500.0)[:, :length]
    sections = signal.butter(4, (0.5, 40.0), "bandpass", fs=500.0, output="sos")
    found = filter_both_ways(bandpass(4, 0.5, 40.0, 500.0), x, 27)
    np.testing.assert_allclose(found, signal.sosfiltfilt(sections, x), atol=1e-8)


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (1, 5),
        (2, 5),
        (1, 10),
        (5, 1),
        (100, 257),
        (5, 18),
        (25, 32),
        (500, 257),
        (3, 2),
    ],
)
@pytest.mark.parametrize("length", [2, 7, 250, 1001])
def test_resampling_is_that_of_scipy(up, down, length):
    x = noise(3.0, 500.0)[:, :length]
    expected = signal.resample_poly(x, up, down, axis=1, padtype="line")
    np.testing.assert_allclose(resample(x, up, down), expected, atol=1e-9)


def test_float32_is_worked_on_in_float64():
    x = noise(2.0, 500.0).astype(np.float32)
    wide = x.astype(np.float64)
    system = bandpass(4, 0.5, 40.0, 500.0)
    for function in (
        lambda x: filter_both_ways(system, x, 27),
        lambda x: resample(x, 1, 5),
    ):
        assert function(x).dtype == np.float64
        np.testing.assert_array_equal(function(x), function(wide))


def test_one_ecg_is_filtered_on_one_thread():
    """Threads of BLAS would wait in a loop beside torch's, for three times the time."""
    x = np.random.default_rng(0).normal(0, 1, (12, 5000))
    system = bandpass(4, 0.5, 40.0, 500.0)
    filter_both_ways(system, x, 27)
    time.sleep(0.1)  # for threads of other tests to fall asleep
    beside = []
    for _ in range(5):
        every, own = time.process_time(), time.thread_time()
        filter_both_ways(system, x, 27)
        beside.append(time.process_time() - every - (time.thread_time() - own))
    assert min(beside) < 0.001  # s
