"""Reports: variety, and faults at the stated rates."""

from dataclasses import replace

import numpy as np
import pytest

from mccgaa_twin import population, reports, simulate
from mccgaa_twin.statements import STATEMENTS

TRUTH = simulate.Truth(
    heart_rate=71.0,
    rr_sd=0.02,
    pr=160.0,
    qrs=90.0,
    qt=390.0,
    qtc=420.0,
    p_axis=50.0,
    qrs_axis=40.0,
    t_axis=45.0,
    rhythm="sinus",
)
NO_FAULTS = reports.ReportStyle(
    omission=0, false_finding=0, wrong_rhythm=0, contradiction=0, doubt=0, plain=1
)


@pytest.fixture(scope="module")
def written():
    """Reports over a hospital's statements, with what they report."""
    made = []
    for seed in range(4_000):
        rng = np.random.default_rng([9, seed])
        codes = population.draw_statements(rng, population.MIMIC)
        truth = replace(TRUTH, heart_rate=rng.uniform(50, 130))
        made.append((codes, reports.write_report(codes, truth, rng)))
    return made


def test_every_statement_has_wordings():
    assert set(reports.PHRASES) == set(STATEMENTS)


def test_four_thousand_reports_hold_two_thousand_texts_and_many_duplicates(written):
    texts = [report.text for _, report in written]
    assert 2000 < len(set(texts)) < 3500


def test_faults_occur_at_the_stated_rates(written):
    style = reports.ReportStyle()
    findings = sum(
        not STATEMENTS[c].rhythm and c != "NORM"
        for codes, _ in written
        for c in codes
        if len(codes) > 1 or "NORM" in codes
    )
    left_out = sum(
        not STATEMENTS[c].rhythm for _, report in written for c in report.omitted
    )
    assert left_out / findings == pytest.approx(style.omission, rel=0.25)
    invented = np.mean(
        [any(not STATEMENTS[c].rhythm for c in r.invented) for _, r in written]
    )
    assert invented == pytest.approx(style.false_finding, rel=0.35)
    contradicted = np.mean([r.contradicted for codes, r in written if len(codes) > 2])
    assert contradicted == pytest.approx(style.contradiction, rel=0.4)


def test_without_faults_a_report_names_every_statement_in_its_commonest_words():
    codes = {"CLBBB": 1.0, "1AVB": 1.0, "SR": 1.0}
    report = reports.write_report(codes, TRUTH, np.random.default_rng(0), NO_FAULTS)
    assert report.lines == (
        "Sinus rhythm",
        "Left bundle branch block",
        "First degree AV block",
        "Abnormal ECG",
    )
    assert not report.omitted and not report.invented


def test_a_fast_fibrillation_is_called_rapid():
    truth = replace(TRUTH, heart_rate=140.0, rhythm="fibrillation")
    texts = [
        reports.write_report({"AFIB": 1.0}, truth, np.random.default_rng(s)).text
        for s in range(50)
    ]
    assert sum("rapid ventricular response" in text for text in texts) > 20


def test_an_abnormal_axis_is_mentioned_unless_a_fascicular_block_explains_it():
    truth = replace(TRUTH, qrs_axis=-50.0)

    def lines(codes):
        return reports.write_report(codes, truth, np.random.default_rng(1)).lines

    assert "Left axis deviation" in lines({"IMI": 1.0, "SR": 1.0})
    assert "Left axis deviation" not in lines({"LAFB": 1.0, "SR": 1.0})
