"""The twin's tables: packaged, read whole, and refused with a readable error."""

import tomllib
from pathlib import Path

import pytest

import mccgaa_twin
from mccgaa.errors import MccgaaError
from mccgaa_twin import csn_conditions, statements
from mccgaa_twin.findings import CRITERIA
from mccgaa_twin.tables import read_rows, read_table, read_wordings

PACKAGE = Path(mccgaa_twin.__file__).parent
COLUMNS = {"name": str, "count": int, "statements": list}
ROW = {"name": "atrial flutter", "count": 3, "statements": ["AFLT"]}


def test_every_table_is_part_of_the_package_that_is_installed():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["mccgaa_twin"]
    packaged = {path.name for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert packaged == {"csn_conditions.yaml", "phrases.yaml", "statements.yaml"}


def test_rows_keep_the_order_of_the_file_and_lists_become_tuples():
    rows = read_rows({"b": ROW, "a": ROW}, COLUMNS, "table")
    assert list(rows) == ["b", "a"] and rows["a"] == {**ROW, "statements": ("AFLT",)}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "table is None; expected rows under keys of text"),
        ({1: ROW}, "expected rows under keys of text"),
        ({"a": None}, "row 'a' is None; expected the columns name, count, statements"),
        ({"a": {"name": "x", "count": 1}}, "expected the columns"),
        ({"a": {**ROW, "more": 1}}, "expected the columns"),
        ({"a": {**ROW, "count": "3"}}, "count of 'a' is '3'; expected int"),
        ({"a": {**ROW, "statements": [1]}}, r"statements of 'a' is \[1\]; .* strings"),
    ],
)
def test_a_row_of_another_form_is_refused(table, message):
    with pytest.raises(MccgaaError, match=message):
        read_rows(table, COLUMNS, "table")


@pytest.mark.parametrize("words", [[], "Sinus rhythm", ["x", 1], ["x", "x"], None])
def test_wordings_that_cannot_be_drawn_from_are_refused(words):
    with pytest.raises(MccgaaError, match="table: 'SR' has the wordings"):
        read_wordings({"SR": words}, "table")


@pytest.mark.parametrize("text", [None, "a: [", "- a list", ""])
def test_a_file_that_is_no_table_is_refused_by_its_name(text, tmp_path):
    path = tmp_path / "statements.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MccgaaError, match=r"statements\.yaml"):
        read_table(path)


def test_statements_and_conditions_name_what_the_twin_can_make():
    assert len(statements.STATEMENTS) == 71
    made = (*csn_conditions.CONDITIONS, *csn_conditions.RHYTHMS)
    for one in (*made, *csn_conditions.UNMAPPED):
        assert set(one.statements) <= set(CRITERIA), one
    assert all(one.statements or one.change for one in made)
    acronyms = {one.acronym for one in made}
    assert len(acronyms) == len(made) == 63
    assert set(csn_conditions._CHANGES) <= acronyms
