"""Every statement does what its criterion says, in truth and on the noiseless trace."""

import numpy as np
import pytest

from mccgaa.errors import MccgaaError
from mccgaa_twin import findings, simulate, torso
from mccgaa_twin.statements import STATEMENTS

LEAD = {name: i for i, name in enumerate(torso.LEADS)}
COUNT = 16  # records on which a finding is judged


def _records(codes, strength=None, count=COUNT, source=None, variety=0.0):
    """Noiseless records with the same seeds whatever the findings."""
    made = []
    for seed in range(count):
        rng = np.random.default_rng([77, seed])
        given = codes if strength is None else dict.fromkeys(codes, strength)
        person = simulate.draw_subject(rng, variety=variety)
        made.append(simulate.simulate_record(given, rng, subject=person, source=source))
    return made


def _beat(signal, truth):
    """Median beat (12, 350) from 100 ms before QRS onset, zero at the onset."""
    starts = [round((t - 0.1) * 500) for t in truth.onsets]
    cut = [signal[:, s : s + 350] for s in starts if s >= 0 and s + 350 <= 5000]
    beat = np.median(cut, axis=0)
    return beat - beat[:, 47:50].mean(axis=1, keepdims=True)


def _qrs(signal, truth):
    """The QRS part of the median beat (12, W)."""
    return _beat(signal, truth)[:, 50 : 50 + round(truth.qrs / 2) + 4]


def _st(signal, truth):
    """ST level (12,) in mV, 60 ms after the J point."""
    sample = 50 + round((truth.qrs + 60) / 2)
    return _beat(signal, truth)[:, sample]


def _t(signal, truth):
    """T amplitude (12,) in mV, signed, where the twin put its peak."""
    beat = _beat(signal, truth)
    after = beat[:, 50 + round(truth.qrs / 2) + 30 : 50 + round(truth.qt / 2)]
    return after[np.arange(12), np.abs(after).argmax(axis=1)]


def _share(codes, measure, test, strength=1.0):
    """Share of records in which a measure passes a test."""
    return np.mean([bool(test(measure(*r))) for r in _records(codes, strength)])


def test_all_71_statements_have_a_criterion_with_its_source():
    assert set(findings.CRITERIA) == set(STATEMENTS)
    for finding in findings.CRITERIA.values():
        assert len(finding.criterion) > 10 and finding.source


@pytest.mark.parametrize("code", sorted(STATEMENTS))
def test_every_statement_gives_a_finite_record_of_plausible_size(code):
    signal, truth = simulate.simulate_record([code], np.random.default_rng(3))
    assert signal.shape == (12, 5000) and np.isfinite(signal).all()
    assert 0.2 < np.ptp(signal, axis=1).max() < 12.0
    assert 30 < truth.heart_rate < 230 and 60 < truth.qrs < 200
    assert 240 < truth.qt < 640


@pytest.mark.parametrize("code", sorted(set(STATEMENTS) - {"NORM", "SR"}))
def test_every_abnormal_statement_changes_the_record(code):
    base, _ = simulate.simulate_record(
        {"NORM": 1.0}, np.random.default_rng(4), source=None
    )
    other, _ = simulate.simulate_record(
        {code: 1.0}, np.random.default_rng(4), source=None
    )
    assert np.abs(base - other).max() > 0.03


def test_an_unknown_statement_is_refused_by_name():
    with pytest.raises(MccgaaError, match="'LBBB' is no PTB-XL statement"):
        simulate.simulate_record(["LBBB"], np.random.default_rng(0))


def test_normal_records_are_within_normal_limits():
    for _, truth in _records(["NORM", "SR"], count=60):
        assert 58 <= truth.heart_rate <= 102
        assert 120 <= truth.pr <= 200
        assert truth.qrs < 110
        assert -45 < truth.qrs_axis < 100
        assert truth.qtc < 475


def test_normal_chest_leads_progress_from_rs_to_qr():
    signals = [_qrs(*record) for record in _records(["NORM", "SR"], count=30)]
    r = np.median([s.max(axis=1) for s in signals], axis=0)
    s = -np.median([s.min(axis=1) for s in signals], axis=0)
    assert r[LEAD["V1"]] < s[LEAD["V1"]] and r[LEAD["V6"]] > 3 * s[LEAD["V6"]]
    assert r[LEAD["V1"]] < r[LEAD["V3"]] < r[LEAD["V5"]]
    assert r[LEAD["II"]] > 0.4 and s[LEAD["aVR"]] > 0.4


INTERVALS = [
    ("CLBBB", "qrs", 120, 185),
    ("CRBBB", "qrs", 120, 180),
    ("IRBBB", "qrs", 100, 119.9),
    ("ILBBB", "qrs", 105, 120),
    ("LAFB", "qrs", 70, 119.9),
    ("IVCD", "qrs", 110, 150),
    ("WPW", "qrs", 110, 160),
    ("WPW", "pr", 60, 120),
    ("1AVB", "pr", 200, 340),
    ("LPR", "pr", 200, 280),
    ("LAFB", "qrs_axis", -90, -44),
    ("LPFB", "qrs_axis", 90, 180),
    ("LNGQT", "qt", 430, 640),
    ("STACH", "heart_rate", 100, 160),
    ("SBRAD", "heart_rate", 30, 60),
    ("SVTAC", "heart_rate", 130, 210),
    ("LAO/LAE", "p_duration", 120, 160),
]


@pytest.mark.parametrize(("code", "name", "low", "high"), INTERVALS)
def test_the_truth_lies_in_the_findings_range(code, name, low, high):
    values = [getattr(truth, name) for _, truth in _records([code])]
    assert all(low <= value <= high for value in values), values


def test_left_bundle_branch_block_looks_like_one():
    def shape(signal, truth):
        qrs = _qrs(signal, truth)
        broad = (qrs[LEAD["V6"]] > 0.5 * qrs[LEAD["V6"]].max()).sum() * 2
        deep = qrs[LEAD["V1"]].min() < -3 * max(qrs[LEAD["V1"]].max(), 0.05)
        t = _t(signal, truth)
        return broad > 35, deep, t[LEAD["V6"]] < 0.05, t[LEAD["V1"]] > 0

    found = np.mean([shape(*r) for r in _records(["CLBBB", "SR"], 1.0)], axis=0)
    assert (found >= 0.75).all(), found


def test_right_bundle_branch_block_ends_rightward_and_forward():
    def shape(signal, truth):
        qrs = _qrs(signal, truth)
        end = qrs[:, -round(truth.qrs / 5) :]
        return end[LEAD["V1"]].max() > 0.1, end[LEAD["I"]].min() < -0.05

    found = np.mean([shape(*r) for r in _records(["CRBBB", "SR"], 1.0)], axis=0)
    assert (found > 0.75).all(), found


@pytest.mark.parametrize(
    ("code", "leads"),
    [("IMI", "III aVF"), ("ASMI", "V1 V2 V3"), ("LMI", "aVL V6"), ("AMI", "V3 V4")],
)
def test_infarction_takes_r_from_its_leads(code, leads):
    rows = [LEAD[name] for name in leads.split()]
    healthy = [_qrs(*r)[rows].max(axis=1) for r in _records(["SR"], 1.0)]
    ill = [_qrs(*r)[rows].max(axis=1) for r in _records([code, "SR"], 1.0)]
    assert np.mean(ill) < 0.8 * np.mean(healthy)


def test_posterior_infarction_raises_r_in_v1_and_v2():
    rows = [LEAD["V1"], LEAD["V2"]]
    healthy = [_qrs(*r)[rows].sum(axis=1) for r in _records(["SR"], 1.0)]
    ill = [_qrs(*r)[rows].sum(axis=1) for r in _records(["PMI", "SR"], 1.2)]
    assert np.mean(ill) > np.mean(healthy) + 1.0


@pytest.mark.parametrize(
    ("code", "leads"),
    [
        ("ISCAL", "V5 aVL"),
        ("ISCAN", "V3 V4"),
        ("ISCAS", "V2 V3"),
        ("ISCIN", "III aVF"),
        ("ISCLA", "V6 aVL"),
    ],
)
def test_ischaemia_lowers_t_in_its_leads(code, leads):
    rows = [LEAD[name] for name in leads.split()]
    healthy = [_t(*r)[rows] for r in _records(["SR"], 1.0)]
    ill = [_t(*r)[rows] for r in _records([code, "SR"], 1.0)]
    assert (np.mean(ill, axis=0) < np.mean(healthy, axis=0) - 0.1).all()
    assert np.mean(np.array(ill) < 0) > 0.6


@pytest.mark.parametrize(
    ("code", "leads"),
    [
        ("INJAS", "V2 V3"),
        ("INJAL", "V4 V5"),
        ("INJIN", "III aVF"),
        ("INJLA", "V6 aVL"),
        ("INJIL", "II V6"),
        ("STD_", "V4 V5"),
        ("ISC_", "V5 V6"),
        ("DIG", "V5 V6"),
    ],
)
def test_injury_and_depression_lower_st_in_their_leads(code, leads):
    rows = [LEAD[name] for name in leads.split()]
    healthy = np.mean([_st(*r)[rows] for r in _records(["SR"], 1.0)], axis=0)
    ill = np.mean([_st(*r)[rows] for r in _records([code, "SR"], 1.0)], axis=0)
    assert (ill < healthy - 0.05).all()


def test_hypertrophy_meets_sokolow_and_lyon():
    def index(signal, truth):
        qrs = _qrs(signal, truth)
        return -qrs[LEAD["V1"]].min() + qrs[[LEAD["V5"], LEAD["V6"]]].max()

    assert _share(["LVH", "SR"], index, lambda v: v > 3.5) > 0.6
    assert _share(["VCLVH", "SR"], index, lambda v: v > 3.5) > 0.6
    assert _share(["SR"], index, lambda v: v > 3.5) < 0.25


def test_right_hypertrophy_has_r_above_s_in_v1_and_a_right_axis():
    def shape(signal, truth):
        qrs = _qrs(signal, truth)[LEAD["V1"]]
        return qrs.max() > -qrs.min() and truth.qrs_axis > 85

    assert np.mean([shape(*r) for r in _records(["RVH", "SR"], 1.0)]) > 0.6


def test_low_voltage_stays_below_half_a_millivolt_in_the_limbs():
    def size(signal, truth):
        return np.ptp(_qrs(signal, truth)[:6], axis=1).max()

    assert _share(["LVOLT", "SR"], size, lambda v: v < 0.6) > 0.8


def test_right_atrial_overload_raises_p_in_ii():
    def height(signal, truth):
        beat = _beat(signal, truth)[LEAD["II"]]
        onset = round((100 - truth.pr) / 2)
        if onset < 0:
            starts = [round((t - truth.pr / 1000) * 500) for t in truth.onsets]
            cut = [signal[LEAD["II"], s : s + 60] for s in starts if s > 5]
            wave = np.median(cut, axis=0)
            return wave.max() - wave[0]
        return beat[onset:50].max()

    values = [height(*r) for r in _records(["RAO/RAE", "SR"], 1.0)]
    normal = [height(*r) for r in _records(["SR"], 1.0)]
    assert np.median(values) > 0.2 > np.median(normal)


def test_flat_and_tall_t_waves():
    t = LEAD["V4"]
    normal = np.mean([abs(_t(*r)[t]) for r in _records(["SR"], 1.0)])
    low = np.mean([abs(_t(*r)[t]) for r in _records(["LOWT", "SR"], 1.0)])
    assert low < 0.45 * normal


def test_fibrillation_is_irregular_and_has_no_pr():
    for _, truth in _records(["AFIB"]):
        assert truth.pr is None and truth.p_axis is None
        assert truth.rr_sd > 0.06 * 60 / truth.heart_rate
    regular = [truth.rr_sd for _, truth in _records(["SR"])]
    assert np.mean(regular) < 0.05


def test_premature_ventricular_beats_are_wide_and_early():
    for signal, truth in _records(["PVC", "SR"], 1.0):
        size = np.linalg.norm(signal, axis=0)
        widths = {"pvc": [], "normal": []}
        for i, (time, kind) in enumerate(zip(truth.onsets, truth.kinds, strict=True)):
            part = size[round(time * 500) : round(time * 500) + 90]
            if len(part) == 90:
                widths[kind].append((part > 0.4 * part.max()).sum())
            if kind == "pvc" and i > 0:
                before = time - truth.onsets[i - 1]
                assert before < 0.97 * 60 / truth.heart_rate
        assert np.mean(widths["pvc"]) > 1.4 * np.mean(widths["normal"])


def test_statements_combine_without_undoing_each_other():
    for _, truth in _records(["CLBBB", "1AVB", "STACH", "LNGQT"]):
        assert truth.qrs >= 120 and truth.pr > 200 and truth.heart_rate > 100


def test_a_findings_strength_scales_its_effect():
    lead = LEAD["aVF"]
    weak = np.mean([_t(*r)[lead] for r in _records(["ISCIN", "SR"], 0.5)])
    strong = np.mean([_t(*r)[lead] for r in _records(["ISCIN", "SR"], 1.5)])
    assert strong < weak - 0.05
