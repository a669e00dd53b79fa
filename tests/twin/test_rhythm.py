"""Rhythm processes: rates, regularity, P waves and premature beats."""

from itertools import pairwise

import numpy as np
import pytest

from mccgaa_twin import rhythm
from mccgaa_twin.physiology import Heart


def _line(name, seed=0, duration=10.0, ectopy=True, **changes):
    heart = Heart(rhythm=name)
    for key, value in changes.items():
        setattr(heart, key, value)
    rng = np.random.default_rng(seed)
    line = rhythm.RHYTHMS[name](heart, duration, rng)
    if ectopy:
        line = rhythm.add_ectopy(line, heart, duration, rng)
    return line


def _intervals(line, duration=10.0):
    times = np.array(sorted(t for t, _ in line.ventricular))
    times = times[(times >= 0) & (times < duration)]
    return np.diff(times)


@pytest.mark.parametrize("name", sorted(rhythm.RHYTHMS))
@pytest.mark.parametrize("seed", range(5))
def test_every_rhythm_fills_the_record(name, seed):
    line = _line(name, seed)
    times = np.array([t for t, _ in line.ventricular])
    assert times.min() < 0.0 and times.max() > 9.0
    assert np.diff(np.sort(times)).min() > 0.15


def test_sinus_rhythm_conducts_every_p_after_pr():
    line = _line("sinus", pr=180.0)
    for (p, _), (qrs, _) in zip(line.atrial, line.ventricular, strict=True):
        assert qrs - p == pytest.approx(0.180)


@pytest.mark.parametrize("rate", [45, 70, 120])
def test_sinus_rhythm_keeps_its_rate(rate):
    found = [60 / _intervals(_line("sinus", s, rate=rate)).mean() for s in range(20)]
    assert np.mean(found) == pytest.approx(rate, rel=0.03)


def test_sinus_arrhythmia_swings_more_than_sinus_rhythm():
    calm = np.mean([np.ptp(_intervals(_line("sinus", s))) for s in range(20)])
    swing = {"breath": 0.15, "jitter": 0.03}
    wide = [
        np.ptp(_intervals(_line("sinus", s, rhythm_options=swing))) for s in range(20)
    ]
    assert np.mean(wide) > 0.12 > calm


def test_fibrillation_has_no_p_and_irregular_memoryless_intervals():
    variation, memory = [], []
    for seed in range(30):
        line = _line("fibrillation", seed, rate=80.0, duration=60.0)
        assert not line.atrial and line.background == "fibrillation"
        rr = _intervals(line, 60.0)
        variation.append(rr.std() / rr.mean())
        memory.append(np.corrcoef(rr[:-1], rr[1:])[0, 1])
    assert min(variation) > 0.1
    assert abs(np.mean(memory)) < 0.1


def test_flutter_conducts_a_whole_number_of_atrial_waves():
    for seed in range(10):
        line = _line("flutter", seed)
        assert 4.0 <= line.background_rate <= 340 / 60
        waves = _intervals(line) * line.background_rate
        assert np.abs(waves - np.rint(waves)).max() < 0.15
        assert set(np.rint(waves)) <= {2.0, 3.0, 4.0}


def test_supraventricular_tachycardia_is_fast_and_regular():
    rr = _intervals(_line("supraventricular", rate=180.0))
    assert rr.mean() == pytest.approx(1 / 3, rel=0.05) and rr.std() < 0.02


def test_wenckebach_lengthens_pr_until_a_beat_is_dropped():
    line = _line("second degree block", 3, rhythm_options={"type": "wenckebach"})
    qrs = np.array([t for t, _ in line.ventricular])
    delays = []
    for p, _ in line.atrial:
        after = qrs[(qrs > p) & (qrs < p + 0.55)]
        delays.append(after[0] - p if len(after) else np.nan)
    delays = np.array(delays)
    dropped = np.flatnonzero(np.isnan(delays))
    assert len(dropped) >= 2
    for start, end in pairwise(dropped):
        group = delays[start + 1 : end]
        assert (np.diff(group) > 0).all()


def test_two_to_one_block_answers_every_second_p():
    line = _line("second degree block", rhythm_options={"type": "2:1"}, rate=90.0)
    assert len(line.atrial) / len(line.ventricular) == pytest.approx(2, abs=0.2)


def test_complete_block_leaves_p_and_qrs_independent():
    line = _line("third degree block", 1, rate=80.0, duration=60.0)
    qrs = np.array([t for t, _ in line.ventricular])
    p = np.array([t for t, _ in line.atrial])
    assert 60 / np.diff(qrs).mean() < 50 and 60 / np.diff(p).mean() > 70
    delay = np.array([(qrs[qrs > t].min() - t) for t in p if (qrs > t).any()])
    assert delay.std() > 0.25  # spread over the whole cycle


def test_a_ventricular_premature_beat_has_a_compensatory_pause():
    line = _line("sinus", 4, rhythm_options={"pvc": 1, "jitter": 0.0, "breath": 0.0})
    beats = sorted(line.ventricular)
    (i,) = [i for i, (_, kind) in enumerate(beats) if kind == "pvc"]
    before, after = beats[i][0] - beats[i - 1][0], beats[i + 1][0] - beats[i][0]
    regular = beats[i - 1][0] - beats[i - 2][0]
    assert before < 0.8 * regular
    assert before + after == pytest.approx(2 * regular, rel=0.08)


def test_an_atrial_premature_beat_resets_the_sinus_node():
    line = _line("sinus", 4, rhythm_options={"pac": 1, "jitter": 0.0, "breath": 0.0})
    beats = np.array([t for t, _ in sorted(line.ventricular)])
    gaps = np.diff(beats)
    i = int(gaps.argmin())
    assert gaps[i] < 0.8 * np.median(gaps)
    assert gaps[i] + gaps[i + 1] < 1.95 * np.median(gaps)
    assert sum(kind == "ectopic" for _, kind in line.atrial) == 1
    assert len(line.atrial) == len(line.ventricular)


@pytest.mark.parametrize(("every", "kind"), [(2, "pvc"), (3, "pvc"), (2, "pac")])
def test_patterns_make_every_second_or_third_beat_premature(every, kind):
    options = {"pattern": every, "pattern_kind": kind}
    line = _line("sinus", 5, rhythm_options=options)
    kinds = [k for t, k in sorted(line.ventricular) if 0 <= t < 10]
    premature = sum(k == "pvc" for k in kinds)
    if kind == "pac":
        premature = sum(k == "ectopic" for t, k in line.atrial if 0 <= t < 10)
    assert premature == pytest.approx(len(kinds) / every, abs=1.1)


def test_pacing_puts_a_spike_ahead_of_every_paced_beat():
    line = _line("paced", 2, pacing="ventricular")
    for time, kind in line.ventricular:
        assert kind == "paced"
        assert min(abs(time - spike) for spike in line.spikes) < 0.02
