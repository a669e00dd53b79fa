"""The README shows what `results/` holds, and says so when it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mccgaa.errors import BookError
from mccgaa_book import paper, results
from mccgaa_book.press import readme

ROOT = Path(__file__).resolve().parents[2]
SECTION = readme.section(ROOT / "results")


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_readme_shows_the_published_results_to_the_letter():
    assert SECTION in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "README.md is older than results/: run `mccgaa book readme`"
    )


def test_the_books_first_page_shows_the_real_result_beside_the_papers():
    text = readme.summary(ROOT / "results")
    assert text in (ROOT / readme.INTRO).read_text(encoding="utf-8"), (
        "book/intro.md is older than results/: run `mccgaa book readme`"
    )
    table, _, verdict = text.strip().partition("\n\n")
    assert verdict.startswith("**Verdict.** On real ECGs")
    head, _, *rows = map(cells, table.splitlines())
    assert head[-2:] == ["MERL (paper)", "MCCGAA (paper)"]
    assert [row[0] for row in rows] == ["form", "sub", "super", "rhythm", "mean"]
    assert rows[-1][-2:] == ["73.6", "76.4"]  # means of the four, from Table 2


def test_words_lead_to_the_section_of_the_glossary_that_explains_them():
    """Where a code host shows both files, which has anchors for headings alone."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    sections = {
        head.strip().lower().replace(" ", "-"): re.findall(r"^\w.*", rest, re.M)
        for head, _, rest in (s.partition("\n") for s in text.split("\n## ")[1:])
    }
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\[([^]]+)\]\(book/glossary\.md#([-\w]+)\)", page)
    assert len(links) >= 4
    for words, anchor in links:
        explained = ", ".join(sections[anchor]).replace(" (the model)", "").split(", ")
        assert set(words.split(", ")) <= set(explained), anchor
    assert {"zero-shot", "AUROC", "MERL-style", "twin"} <= {
        word for words, _ in links for word in words.split(", ")
    }


def test_every_row_says_its_evidence_and_what_was_new_real_ones_first():
    head, _, *rows = map(cells, SECTION.splitlines())
    assert head[:3] == ["evidence", "new at the test", "method"]
    assert all(len(row) == len(head) and row[1] for row in rows)
    evidence = list(dict.fromkeys(row[0] for row in rows))
    assert evidence == [
        "**real**, 100 Hz",
        "**synthetic**, 100 Hz",
        "**synthetic** training, **real** test split",
        "paper, printed",
    ]
    real = next(row for row in rows if row[0] == "**real**, 100 Hz")
    assert "texts made from labels" in real[1]


def test_every_row_says_over_how_many_tasks_its_mean_is():
    head, _, *rows = map(cells, SECTION.splitlines())
    mean, tasks = head.index("mean"), head.index("tasks")
    assert tasks == mean + 1
    for row in rows:
        assert int(row[tasks]) == sum(c != readme.ABSENT for c in row[3:mean]), row
    assert {row[tasks] for row in rows} == {"4", "6"}


def test_printed_scores_are_rounded_as_a_reader_would(monkeypatch):
    printed = paper.table(2)
    monkeypatch.setattr(readme.paper, "table", lambda _: printed)
    printed.loc["MERL", "Chapman"] = 84.35  # in binary a little less
    *_, merl, _ = map(cells, readme.section(ROOT / "results").splitlines())
    assert merl[2] == "MERL" and merl[8] == "84.4"


def test_transfer_rows_are_of_the_test_split_that_the_simulator_was_not_tuned_on():
    transfer = results.load("transfer", "synthetic").frame
    row = (
        transfer[
            (transfer["variant"] == "merl")
            & (transfer["task"] == "rhythm")
            & (transfer["trained_on"] == "synthetic")
        ]
        .groupby("split")["value"]
        .mean()
    )
    shown = next(
        cells(line)
        for line in SECTION.splitlines()
        if "**synthetic** training" in line and "MERL-style" in line
    )
    assert f"{row['test']:.1f}" in shown[7]
    assert f"{row['all']:.1f}" not in shown[7]


def test_the_pictures_numbers_are_those_of_the_results():
    # the same text and marks; coordinates may differ in the last digits elsewhere
    kept = (ROOT / readme.PICTURE).read_text(encoding="utf-8")
    drawn = readme.picture(ROOT / "results")
    texts = [re.findall(r"<!-- (.*?) -->", svg) for svg in (kept, drawn)]
    assert texts[0] == texts[1] and "super" in texts[0]
    places = [re.findall(r'<use [^>]*x="([\d.]+)"', svg) for svg in (kept, drawn)]
    assert [*map(float, places[0])] == pytest.approx([*map(float, places[1])], abs=0.1)


def test_absent_results_and_marks_are_readable_errors(tmp_path):
    with pytest.raises(BookError, match="mccgaa run zeroshot --publish"):
        readme.section(tmp_path)
    with pytest.raises(BookError, match="put both back"):
        readme.filled("# no marks", "table")


def test_filling_keeps_the_rest_of_the_readme():
    before = f"a\n{readme.START}\nold\n{readme.END}\nb\n"
    assert readme.filled(before, "new") == (
        f"a\n{readme.START}\nnew\n{readme.END}\nb\n"
    )
