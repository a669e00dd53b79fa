"""The README shows what the published pages hold, and says so when they do not."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pandas as pd
import pytest

from mccgaa.errors import BookError
from mccgaa_book import paper
from mccgaa_book.press import readme

ROOT = Path(__file__).resolve().parents[2]


def test_readme_shows_the_published_tables_to_the_letter():
    section = readme.results_section(
        readme.sources(ROOT), paper.table(2), ROOT / readme.TRANSFER
    )
    assert "**synthetic** training, **real** test" in section
    assert section in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "README.md is older than the book: run `mccgaa book readme`"
    )


def test_readme_picture_is_the_pages_own():
    ending, content = readme.picture(ROOT / readme.PAGE, readme.FIGURE)
    assert (ROOT / "book" / "_figures" / f"readme.{ending}").read_bytes() == content


def test_section_marks_every_row_and_leaves_absent_tasks_open(tmp_path):
    table = pd.DataFrame({"super": ["70.1 ± 0.2"], "mean": ["70.1 ± 0.2"]}, index=["A"])
    table.to_csv(tmp_path / "t.csv")
    section = readme.results_section({"real": tmp_path / "t.csv"}, paper.table(2))
    row = next(line for line in section.splitlines() if "| A |" in line)
    assert row.startswith("| **real** |") and row.count("70.1") == 2
    assert "| paper, printed | MCCGAA |" in section and "77.7 |" in section


def test_absent_table_mark_and_figure_are_sentences(tmp_path):
    with pytest.raises(BookError, match="execute chapter 7"):
        readme.results_section({"real": tmp_path / "no.csv"}, paper.table(2))
    with pytest.raises(BookError, match="put both back"):
        readme.filled("# no marks", "table")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "n.ipynb")
    with pytest.raises(BookError, match="holds no figure"):
        readme.picture(tmp_path / "n.ipynb", "fig-classes")


def test_filling_keeps_the_rest_of_the_readme():
    before = f"a\n{readme.START}\nold\n{readme.END}\nb\n"
    assert readme.filled(before, "new") == (
        f"a\n{readme.START}\nnew\n{readme.END}\nb\n"
    )
