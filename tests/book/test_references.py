"""The bibliography: complete, linked, and without a work that nothing cites."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIB = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", BIB, re.M | re.S))
SOURCES = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.py")]


def test_every_work_is_cited_and_every_citation_has_its_work():
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    groups = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
    cited = {key.strip() for group in groups for key in group.split(",")}
    assert len(ENTRIES) == BIB.count("\n@") + 1
    assert cited == set(ENTRIES)


@pytest.mark.parametrize("key", ENTRIES)
def test_a_work_leads_the_reader_to_it(key):
    entry = dict(re.findall(r"^  (\w+) *= \{(.*)\},$", ENTRIES[key], re.M))
    assert {"author", "title", "year"} <= set(entry)
    forms = {
        "doi": r"10\.\d{4,5}/\S+",
        "eprint": r"\d{4}\.\d{5}",
        "url": r"https://\S+",
    }
    assert {"doi", "url"} & set(entry), f"{key} has no DOI, and no address instead"
    _, preprint, number = entry.get("doi", "").partition("10.48550/arXiv.")
    assert not preprint or number == entry["eprint"], f"{key}: another paper's DOI"
    for name in forms.keys() & entry:
        assert re.fullmatch(forms[name], entry[name]), f"{key}: {entry[name]}"


def test_the_page_lists_what_is_cited_and_nothing_else():
    page = (ROOT / "book" / "references.md").read_text(encoding="utf-8")
    assert "```{bibliography}\n```" in page, "`:all:` would list works not cited"
