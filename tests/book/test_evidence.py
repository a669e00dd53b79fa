"""The list of what has been run is what `results/` holds, counted anew."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from mccgaa_book.page import ABSENT
from mccgaa_book.press import evidence, readme
from mccgaa_book.results import Results

ROOT = Path(__file__).resolve().parents[2]
LIST = readme.runs(ROOT / "results")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in LIST.strip().splitlines()[2:]
]


def of(*rows: tuple[str, str], **stamp: object) -> Results:
    frame = pd.DataFrame(rows, columns=["variant", "seed"])
    return Results(frame, {"profile": "real", "device": "cpu"} | stamp, Path("x.csv"))


def test_the_book_shows_what_has_been_run():
    page = (ROOT / readme.REPRODUCING).read_text(encoding="utf-8")
    assert LIST in page, "reproducing.md is older than results/: `mccgaa book readme`"


def test_every_file_of_results_is_a_row_and_no_other_is():
    files = sorted(
        p.relative_to(ROOT / "results") for p in ROOT.glob("results/*/*.csv")
    )
    listed = [(row[2], row[0]) for row in ROWS if row[2] != "not run"]
    assert sorted(listed) == [(path.parent.name, path.stem) for path in files]


def test_variants_and_seeds_are_those_of_the_files():
    row = next(row for row in ROWS if row[:3] == ["zeroshot", "real", "real"])
    path = ROOT / "results" / "real" / "zeroshot.csv"
    with path.open(newline="", encoding="utf-8") as file:
        runs = {(r["variant"], r["seed"]) for r in csv.DictReader(file) if r["variant"]}
    assert row[3] == str(len({variant for variant, _ in runs}))
    assert row[4] == str(len({seed for _, seed in runs}))


def test_what_a_tier_lacks_is_listed_behind_what_it_has():
    have = {(row[0], row[1]) for row in ROWS if row[2] != "not run"}
    lack = [(row[0], row[1]) for row in ROWS if row[2] == "not run"]
    assert len(set(lack)) == len(lack) and not have & set(lack)
    named = {name for name, _ in have | set(lack)} - {"external"}
    for name in named:
        tiers = {tier for one, tier in have | set(lack) if one == name}
        only = evidence.ONE_TIER.get(name)
        assert tiers == ({only} if only else {"real", "synthetic"})


@pytest.mark.parametrize(
    ("rows", "variants", "seeds"),
    [
        ([("a", "0"), ("a", "0"), ("a", "1"), ("", "")], "1", "2"),
        ([("a", "0"), ("b", "0"), ("b", "1"), ("b", "2")], "2", "1 to 3"),
        ([("a", ""), ("a", "0"), ("a", "1")], "1", "2"),  # what no seed decides
        ([("a", "mean of 3"), ("a", "mean of 2")], "1", "3"),
        ([("a", ""), ("b", "4")], "2", "1"),
        ([("", "")], ABSENT, ABSENT),
    ],
)
def test_seeds_are_counted_by_variant(rows, variants, seeds):
    assert evidence.cells(of(*rows))[2:4] == [variants, seeds]


def test_what_runs_were_trained_on_is_said_before_what_made_the_table():
    row = ("a", "0")
    assert evidence.cells(of(row))[-1] == "cpu"
    assert evidence.cells(of(row, trained=["g, bf16", "c, fp32"]))[-1] == (
        "g, bf16; c, fp32"
    )


def test_an_experiment_without_results_is_listed_all_the_same(tmp_path):
    text = evidence.write(tmp_path, ["table9"], ["real"])
    lacking = " | ".join(["table9", "real", "not run", *[ABSENT] * 3])
    assert text.splitlines()[2:] == [f"| {lacking} |"]
