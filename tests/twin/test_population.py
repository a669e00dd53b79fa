"""Prevalences resemble PTB-XL's, combinations are possible, rarities exist."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from mccgaa_twin import population, simulate
from mccgaa_twin.statements import STATEMENTS

DRAWS = 4000


@pytest.fixture(scope="module")
def drawn():
    """Statements of many PTB-XL-like records."""
    made = []
    for seed in range(DRAWS):
        rng = np.random.default_rng([5, seed])
        age = simulate.draw_subject(rng).age
        made.append(population.draw_statements(rng, population.PTBXL, age))
    return made


def test_diagnostic_classes_are_as_common_as_in_ptbxl(drawn):
    published = {"NORM": 9514, "MI": 5469, "STTC": 5235, "CD": 4898, "HYP": 2649}
    found = Counter(
        group
        for codes in drawn
        for group in {STATEMENTS[c].diagnostic_class for c in codes} - {""}
    )
    for group, count in published.items():
        assert found[group] / DRAWS == pytest.approx(count / 21_388, rel=0.25)


def test_common_statements_are_within_a_factor_of_two_of_the_published_counts(drawn):
    found = Counter(code for codes in drawn for code in codes)
    for code, statement in STATEMENTS.items():
        share = statement.count / 21_837
        if share * DRAWS > 60:
            assert 0.5 < found[code] / DRAWS / share < 2.0, code


def test_every_record_has_at_most_one_rhythm_and_normal_excludes_diagnoses(drawn):
    for codes in drawn:
        assert sum(STATEMENTS[c].rhythm for c in codes) <= 1
        if "NORM" in codes:
            assert sum(STATEMENTS[c].diagnostic for c in codes) == 1
        assert not {"CLBBB", "CRBBB"} <= set(codes)
        assert not ({"AFIB", "PACE", "AFLT"} & set(codes) and "1AVB" in codes)


def test_strengths_vary_around_one(drawn):
    values = np.array([s for codes in drawn for s in codes.values()])
    assert values.min() >= 0.45 and values.max() <= 1.6
    assert np.median(values) == pytest.approx(1.0, abs=0.05) and values.std() > 0.2


def test_the_young_are_normal_more_often():
    def share(age):
        made = [
            population.draw_statements(np.random.default_rng([6, s]), age=age)
            for s in range(400)
        ]
        return np.mean(["NORM" in codes for codes in made])

    assert share(35) > share(80) + 0.2


def test_the_hospital_population_has_every_statement_in_reach():
    rng = np.random.default_rng(8)
    missing = set(STATEMENTS)
    for _ in range(3_000):
        missing -= set(population.draw_statements(rng, population.MIMIC))
        if not missing:
            break
    assert not missing


def test_a_subjects_next_record_keeps_its_findings_as_often_as_stated():
    visits = population.draw_visits(np.random.default_rng(9), population.MIMIC, 65.0)
    made = [next(visits) for _ in range(400)]
    same = np.mean([a is b for a, b in pairwise(made)])
    assert same == pytest.approx(population.MIMIC.unchanged, abs=0.06)
