"""Disturbances do to a recording what their names say, at the level they say."""

from __future__ import annotations

import numpy as np
import pytest

from mccgaa.config import LEADS
from mccgaa.data.record import Quality, Record
from mccgaa_book import stress
from mccgaa_book.stress import (
    ELECTRODES,
    NOISES,
    RATES,
    SHIFTS,
    SWAPS,
    add_noise,
    disturbances,
    lose,
    record_at,
    shift,
    swap,
)

RATE = 500.0


def electrodes() -> np.ndarray:
    """Potentials (9, T) of ten seconds, with slow and fast parts."""
    time = np.arange(5000) / RATE
    rng = np.random.default_rng(0)
    size, phase = rng.normal(size=(9, 4, 1)), rng.uniform(0, 6, (9, 4, 1))
    frequency = np.array([1.0, 3, 8, 20])[:, None]
    return (size * np.sin(2 * np.pi * frequency * time + phase)).sum(1)


def leads_of(potentials: np.ndarray) -> np.ndarray:
    """The twelve leads by their definitions, one by one."""
    ra, la, ll, *chest = potentials
    terminal = (ra + la + ll) / 3
    limb = [la - ra, ll - ra, ll - la]
    limb += [ra - (la + ll) / 2, la - (ra + ll) / 2, ll - (ra + la) / 2]
    return np.stack([*limb, *(v - terminal for v in chest)])


def record_of(signal: np.ndarray) -> Record:
    quality = Quality(flat_leads=(), nan_share=0.0, clipped_share=0.0)
    signal = signal.astype(np.float32)
    return Record("r", signal, RATE, "mV", np.ones(12, bool), quality)


@pytest.fixture
def record() -> Record:
    return record_of(leads_of(electrodes()))


def test_leads_are_made_of_electrodes_by_their_definitions():
    potentials = electrodes()
    np.testing.assert_allclose(ELECTRODES @ potentials, leads_of(potentials))


@pytest.mark.parametrize("level", stress.LEVELS)
@pytest.mark.parametrize("kind", NOISES)
def test_noise_has_the_power_that_its_level_says_and_obeys_einthoven(
    kind, level, record
):
    noisy = add_noise(NOISES[kind], level, record, seed=1)
    added = noisy.signal.astype(float) - record.signal
    ratio = record.signal.var(axis=1).mean() / added.var(axis=1).mean()
    assert 10 * np.log10(ratio) == pytest.approx(level, abs=0.05)
    i, ii, iii = added[:3]
    np.testing.assert_allclose(i + iii, ii, atol=1e-4 * np.abs(added).max() + 1e-5)
    assert noisy.signal.dtype == np.float32
    again = add_noise(NOISES[kind], level, record, seed=1)
    np.testing.assert_array_equal(again.signal, noisy.signal)
    other = add_noise(NOISES[kind], level, record, seed=2)
    assert not np.allclose(other.signal, noisy.signal)


BANDS = {"wander": (0.0, 0.7), "muscle": (19.0, 151.0), "mains": (49.0, 51.0)}


@pytest.mark.parametrize("kind", BANDS)
def test_noise_lies_in_its_band(kind):
    noise = NOISES[kind](np.random.default_rng(0), 5000, RATE)
    assert noise.shape == (9, 5000)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(5000, 1 / RATE)
    low, high = BANDS[kind]
    inside = (frequency >= low) & (frequency <= high)
    assert power[:, inside].sum() > 0.95 * power.sum()


def test_motion_is_where_no_filter_can_take_it():
    noise = NOISES["motion"](np.random.default_rng(0), 5000, RATE)
    power = np.abs(np.fft.rfft(noise - noise.mean(1, keepdims=True))) ** 2
    frequency = np.fft.rfftfreq(5000, 1 / RATE)
    band = (frequency >= 0.5) & (frequency <= 40)
    assert power[:, band].sum() > 0.3 * power.sum()


def test_a_lost_lead_is_absent_and_the_others_are_as_they_were(record):
    found = lose("V1", record, 0)
    at = LEADS.index("V1")
    assert not found.present[at] and found.present.sum() == 11
    assert not found.signal[at].any() and record.signal[at].any()
    rest = np.arange(12) != at
    np.testing.assert_array_equal(found.signal[rest], record.signal[rest])


def test_a_shift_moves_the_start_to_the_end(record):
    found = shift(2, record, 0)
    np.testing.assert_array_equal(found.signal[:, 0], record.signal[:, 1000])
    np.testing.assert_array_equal(found.signal[:, -1000:], record.signal[:, :1000])


@pytest.mark.parametrize("rate", RATES)
def test_another_rate_keeps_duration_and_what_it_can_hold(rate, record):
    found = record_at(rate, record, 0)
    assert found.sampling_rate == rate and found.signal.shape == (12, 10 * rate)
    time = np.arange(10 * rate) / rate
    expected = np.stack(
        [np.interp(time, np.arange(5000) / RATE, x) for x in record.signal]
    )
    inner = slice(rate, -rate)
    error = np.abs(found.signal - expected)[:, inner].max()
    assert error < 0.05 * np.abs(record.signal).max()


@pytest.mark.parametrize(
    ("pair", "order"),
    [("RA-LA", [1, 0, 2]), ("RA-LL", [2, 1, 0]), ("LA-LL", [0, 2, 1])],
)
def test_swapped_cables_give_the_leads_of_swapped_electrodes(pair, order, record):
    potentials = electrodes()
    swapped = np.concatenate([potentials[order], potentials[3:]])
    found = swap(pair, record, 0)
    np.testing.assert_allclose(found.signal, leads_of(swapped), atol=1e-4)
    assert set(SWAPS) == {"RA-LA", "RA-LL", "LA-LL"}


def test_absent_leads_stay_absent_under_noise(record):
    without = lose("V6", record, 0)
    noisy = add_noise(NOISES["muscle"], 0, without, 0)
    assert not noisy.signal[LEADS.index("V6")].any()


def test_every_disturbance_of_the_issue_is_there_once():
    names = [one.name for one in disturbances()]
    assert names[0] == "clean" and len(set(names)) == len(names)
    expected = [f"{k} {level} dB" for k in NOISES for level in (24, 12, 6, 0)]
    expected += [f"lost lead {lead}" for lead in LEADS]
    expected += [f"shift {s} s" for s in SHIFTS] + [f"rate {r} Hz" for r in RATES]
    expected += [f"swapped {pair}" for pair in SWAPS]
    assert names[1:] == expected and list(NOISES) == [
        "wander",
        "muscle",
        "mains",
        "motion",
    ]
