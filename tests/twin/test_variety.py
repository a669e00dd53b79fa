"""Variety: shapes and noises differ more, findings stay what they are called."""

import json

import numpy as np
import pytest
from test_findings import INTERVALS, LEAD, _beat, _qrs, _records, _st, _t

from mccgaa.errors import MccgaaError
from mccgaa_twin import anatomy, device, findings, population, rhythm, simulate, variety
from mccgaa_twin.effects import at_least
from mccgaa_twin.mirror import write_tree, write_twin
from mccgaa_twin.physiology import Heart
from mccgaa_twin.statements import STATEMENTS

# Upper ends of ranges that variety widens.
WIDER = {("1AVB", "pr"): 401, ("LPR", "pr"): 345, ("STACH", "heart_rate"): 175}


def _line(name, seed, **changes):
    heart = Heart(rhythm=name, variety=1.0)
    for key, value in changes.items():
        setattr(heart, key, value)
    rng = np.random.default_rng(seed)
    line = rhythm.RHYTHMS[name](heart, 10.0, rng)
    return rhythm.add_ectopy(line, heart, 10.0, rng)


def _spread(records):
    """Spread between records of the median beat (12, 350), mean of interquartiles."""
    beats = np.array([_beat(*record) for record in records])
    low, high = np.quantile(beats, [0.25, 0.75], axis=0)
    return (high - low).mean()


@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan")])
def test_a_variety_outside_its_range_is_refused(value, tmp_path):
    with pytest.raises(MccgaaError, match=r"variety is .*from 0 .* to 1"):
        write_twin(tmp_path, ptbxl=2, mimic=0, variety=value, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["ptbxl", "mimic", "cpsc2018", "csn"])
def test_a_tree_says_its_variety_and_repeats_with_the_seed(source, tmp_path):
    roots = {}
    for name, amount, jobs in (("a", 0.5, 1), ("b", 0.5, 1), ("c", 0.0, 1)):
        roots[name] = write_tree(
            tmp_path / name, source, 4, variety=amount, jobs=jobs, progress=False
        )
    files = {
        name: {
            path.relative_to(root): path.read_bytes()
            for path in root.rglob("*")
            if path.suffix in (".dat", ".mat", ".hea", ".csv")
        }
        for name, root in roots.items()
    }
    assert files["a"] == files["b"] != files["c"]
    made = {
        name: json.loads((root / "SYNTHETIC").read_text().splitlines()[1])
        for name, root in roots.items()
    }
    assert made["a"]["variety"] == 0.5 and "variety" not in made["c"]
    with pytest.raises(MccgaaError, match="not made with these settings"):
        write_tree(roots["a"], source, 4, variety=0.6, jobs=1, progress=False)


def test_a_subject_keeps_the_shapes_and_every_visit_differs_a_little():
    person = simulate.draw_subject(np.random.default_rng(1), variety=1.0)
    hearts = [
        simulate._healthy_heart(person, np.random.default_rng(s)) for s in range(3)
    ]
    for name in ("mass", "delay", "breadth", "t_delay", "p_turn", "patches"):
        assert np.array_equal(getattr(hearts[0], name), getattr(hearts[1], name))
    assert not np.array_equal(hearts[0].chest, hearts[1].chest)


def test_normal_records_differ_more_in_shape_and_stay_normal():
    same = _records(["NORM", "SR"], 1.0, 40)
    varied = _records(["NORM", "SR"], 1.0, 40, variety=1.0)
    assert _spread(varied) > 1.2 * _spread(same)
    for _, truth in varied:
        assert 58 <= truth.heart_rate <= 102
        assert 120 <= truth.pr <= 200
        assert truth.qrs < 110 and truth.qtc < 475
        assert -45 < truth.qrs_axis < 100
        assert truth.rr_sd < 0.06, "no sinus arrhythmia"


@pytest.mark.parametrize("code", sorted(STATEMENTS))
def test_every_statement_gives_a_finite_record_of_plausible_size(code):
    rng = np.random.default_rng(3)
    person = simulate.draw_subject(rng, variety=1.0)
    signal, truth = simulate.simulate_record([code], rng, subject=person)
    assert signal.shape == (12, 5000) and np.isfinite(signal).all()
    assert 0.15 < np.ptp(signal, axis=1).max() < 14.0
    assert 28 < truth.heart_rate < 235 and 60 < truth.qrs < 200


@pytest.mark.parametrize(
    ("code", "name", "low", "high"),
    [row for row in INTERVALS if row[1] != "qt"] + [("LNGQT", "qtc", 450, 660)],
)
def test_findings_keep_to_the_intervals_that_define_them(code, name, low, high):
    high = WIDER.get((code, name), high)
    records = _records([code], count=10, variety=1.0)
    values = [getattr(truth, name) for _, truth in records]
    assert all(low <= value <= high for value in values), values


def _share(codes, shape, strength=0.7, count=16):
    """Share of varied records, some of them slight, that have a shape."""
    found = [shape(*r) for r in _records(codes, strength, count, variety=1.0)]
    return np.mean(found, axis=0)


def test_bundle_branch_blocks_can_still_be_read():
    def left(signal, truth):
        qrs = _qrs(signal, truth)
        deep = qrs[LEAD["V1"]].min() < -2.5 * max(qrs[LEAD["V1"]].max(), 0.05)
        return deep, qrs[LEAD["V6"]].max() > 2 * -qrs[LEAD["V6"]].min()

    def right(signal, truth):
        end = _qrs(signal, truth)[:, -round(truth.qrs / 5) :]
        return end[LEAD["V1"]].max() > 0.08, end[LEAD["I"]].min() < -0.04

    assert (_share(["CLBBB", "SR"], left) >= 0.75).all()
    assert (_share(["CRBBB", "SR"], right) >= 0.75).all()


@pytest.mark.parametrize(
    ("code", "leads", "measure", "criterion"),
    [
        ("INJAL", "V4 V5", _st, -0.03),
        ("INJIN", "III aVF", _st, -0.03),
        ("STD_", "V5 V6", _st, -0.02),
        ("ISCAN", "V3 V4", _t, 0.05),
        ("ISCIN", "III aVF", _t, 0.05),
        ("ISCLA", "V6 aVL", _t, 0.05),
    ],
)
def test_slight_changes_of_st_and_t_can_still_be_read(code, leads, measure, criterion):
    rows = [LEAD[name] for name in leads.split()]
    level = _share([code, "SR"], lambda *r: measure(*r)[rows].min() < criterion, 0.6)
    assert level > 0.65


def test_amplitudes_that_define_a_finding_are_kept():
    assert at_least(Heart(variety=0.3), 0.04, 0.1) == 0.1
    assert at_least(Heart(variety=0.3), 0.14, 0.1) == 0.14
    assert at_least(Heart(), 0.04, 0.1) == 0.04


def test_strengths_spread_more_and_are_never_slight():
    codes = [f"{i}" for i in range(2000)]
    calm = list(findings.draw_strengths(codes, np.random.default_rng(0)).values())
    wide = list(findings.draw_strengths(codes, np.random.default_rng(0), 1).values())
    assert min(wide) == pytest.approx(0.6) and max(wide) == pytest.approx(1.9)
    assert np.std(wide) > 1.15 * np.std(calm) and min(calm) < 0.5
    visits = population.draw_visits(np.random.default_rng(0), population.PTBXL, 60, 1.0)
    drawn = [next(visits) for _ in range(60)]
    assert min(min(codes.values(), default=1) for codes in drawn) >= 0.6


def test_a_field_over_the_segments_is_smooth_and_of_deviation_one():
    rng = np.random.default_rng(0)
    fields = np.array([variety.smooth_field(rng) for _ in range(3000)])
    np.testing.assert_allclose(fields.std(0), 1, atol=0.05)
    correlation = np.corrcoef(fields.T)
    apart = np.linalg.norm(anatomy.PLACES[:, None] - anatomy.PLACES[None], axis=2)
    off = ~np.eye(22, dtype=bool)
    assert correlation[off & (apart < 2.5)].mean() > 0.75
    assert abs(correlation[apart > 8].mean()) < 0.1


def test_flutter_is_conducted_in_many_ways_and_always_in_whole_waves():
    ratios, changing = [], 0
    for seed in range(60):
        line = _line("flutter", seed)
        assert 4.0 <= line.background_rate <= 340 / 60
        times = np.array([t for t, _ in line.ventricular])
        waves = np.diff(times) * line.background_rate
        assert np.abs(waves - np.rint(waves)).max() < 0.3
        ratios.append(set(np.rint(waves)))
        changing += len(ratios[-1]) > 1
    assert {2.0} in ratios and {3.0} in ratios and {4.0} in ratios
    assert {2.0, 4.0} in ratios and any(5.0 in r or 6.0 in r for r in ratios)
    assert 15 < changing < 50


def test_premature_atrial_beats_come_in_all_kinds():
    pauses, waits, kinds, blocked = [], [], set(), 0
    for seed in range(80):
        calm = {"jitter": 0.0, "breath": 0.0, "pac": 3}
        line = _line("sinus", seed, rhythm_options=calm, rate=60.0)
        beats = sorted(line.ventricular)
        early = [t for t, kind in line.atrial if kind not in ("sinus",)]
        kinds |= {kind for _, kind in line.atrial + line.ventricular}
        assert early
        for p in early:
            after = [t for t, _ in beats if 0.05 < t - p < 0.35]
            if not after:
                blocked += 1
                continue
            i = [t for t, _ in beats].index(after[0])
            if 0 < i < len(beats) - 1:
                waits.append(after[0] - beats[i - 1][0])
                pauses.append(beats[i + 1][0] - beats[i - 1][0])
    assert {"ectopic", "low", "left", "aberrant"} <= kinds
    assert 3 < blocked < 60
    assert np.quantile(waits, 0.05) < 0.52 and np.quantile(waits, 0.95) > 0.75
    # Two RR intervals of 1 s: fully compensatory, or nearly none.
    assert max(pauses) > 1.93 and min(pauses) < 1.6


def test_a_single_premature_atrial_beat_is_conducted():
    for seed in range(60):
        options = {"jitter": 0.0, "breath": 0.0, "pac": 1}
        line = _line("sinus", seed, rhythm_options=options)
        assert len(line.atrial) == len(line.ventricular)


def test_an_interpolated_ventricular_beat_has_no_pause():
    found = 0
    for seed in range(60):
        options = {"jitter": 0.0, "breath": 0.0, "pvc": 1}
        line = _line("sinus", seed, rhythm_options=options, rate=60.0)
        beats = sorted(line.ventricular)
        (i,) = [i for i, (_, kind) in enumerate(beats) if kind == "pvc"]
        around = beats[i + 1][0] - beats[i - 1][0]
        found += around == pytest.approx(1.0, abs=0.05)
        # Every other beat has its P wave, the one after a beat squeezed in too.
        assert len(line.atrial) == len(beats) - 1
    assert 1 <= found <= 20


def test_first_degree_block_and_bradycardia_reach_their_textbook_ranges():
    pr, rate = [], []
    for seed in range(200):
        heart, rng = Heart(variety=1.0), np.random.default_rng(seed)
        findings.apply(heart, {"1AVB": 1.0, "SBRAD": 1.0}, rng)
        pr.append(heart.pr)
        rate.append(heart.rate)
    assert min(pr) > 200 and max(pr) > 350 and max(pr) <= 400
    assert 31 <= min(rate) < 42 and 57 < max(rate) < 59


def test_an_aberrant_beat_is_wider_than_the_others():
    person = simulate.draw_subject(np.random.default_rng(2), variety=1.0)
    heart = simulate._healthy_heart(person, np.random.default_rng(2))
    intact = simulate.activate_intact(heart)
    normal = simulate.activate(heart, intact)
    chest = simulate.position(heart, intact, normal)
    kind_of = simulate._kinds(heart, chest, intact, normal, np.random.default_rng(0))
    assert kind_of("aberrant").duration > kind_of("normal").duration + 15


def test_recordings_differ_in_filter_noise_and_converter():
    body = np.zeros((8, 5000))
    cart = device.DEVICES["ptbxl"]

    def high(amount):
        levels = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            steps, _ = device.record(body, cart, 500, rng, amount)
            power = np.abs(np.fft.rfft(steps[1] * cart.lsb)) ** 2
            levels.append(np.log10(power[600:1000].mean() / power[100:300].mean()))
        return np.array(levels)

    calm, varied = high(0.0), high(1.0)
    assert varied.std() > 1.5 * calm.std()
    assert varied.min() < calm.min() - 0.5, "a low-pass of 35 or 40 Hz"


@pytest.mark.parametrize("causal", [False, True])
def test_filters_pass_the_band_of_the_ecg(causal):
    frequency = np.fft.rfftfreq(5000, 1 / 500)
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        response = device._response(frequency, 0.15, 40.0, 1.0, rng)
        if np.iscomplexobj(response) != causal:
            continue
        found += 1
        size = np.abs(response)
        assert size[0] == 0 and size.max() <= 1
        band = (frequency > 2) & (frequency < 18)
        assert size[band].min() > 0.8 and size[frequency > 200].max() < 0.05
    assert found > 5
