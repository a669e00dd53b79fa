"""Equations carry the paper's numbers."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))
import equations


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("eq-13", "13"),
        ("eq-gafa-17-18", "17, 18"),
        ("ptbxl-eq-gafa-22-24", "22 to 24"),
        ("eq-cam-8-9-13", "8, 9, 13"),
        ("eq-2d-projection", "a"),
        ("eq-l2", "a"),
    ],
)
def test_a_label_that_ends_in_numbers_shows_them(label, shown):
    assert equations.shown_number(label, "a") == shown


def test_other_equations_are_lettered_on_each_page():
    labels = {
        "eq-own": ("one", 1),
        "eq-5": ("one", 2),
        "eq-more": ("one", 3),
        "eq-first": ("two", 4),
    }
    assert equations.numbers_of(labels) == {
        "eq-own": "a",
        "eq-5": "5",
        "eq-more": "b",
        "eq-first": "a",
    }


def test_numbering_again_changes_nothing():
    labels = {"eq-own": ("one", 1), "eq-5": ("one", 2)}
    once = equations.numbers_of(labels)
    again = {label: ("one", shown) for label, shown in once.items()}
    assert equations.numbers_of(again) == once
