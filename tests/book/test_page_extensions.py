"""What the book's Sphinx extensions write on pages."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from docutils import nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))
import about_page
import api
import codes
import numbered

ROOT = Path(__file__).resolve().parents[2]
STAMP = {
    "script": "notebooks/04_gafa.py",
    "code": "0123456789abcdef",
    "package": "0.1.0",
    "method": 1,
    "python": "3.11.7",
    "device": "cpu, 2 cores",
    "seconds": 12,
    "reads": {"params/real.yaml": "x", "results/real/zeroshot.csv": "y"},
}


@pytest.mark.parametrize(
    ("page", "head"),
    [
        ("notebooks/04_gafa", "4"),
        ("notebooks/00_ecg_in_five_minutes", "0"),
        ("notebooks/real/07_zero_shot", "R7"),
        ("notebooks/real/A4_transfer", "A4"),
        ("notebooks/plus/08_beyond", "8"),
        ("intro", ""),
        ("reproducing", ""),
    ],
)
def test_numbers_begin_with_the_page(page, head):
    assert numbered.prefix(page) == head


def test_the_second_copy_of_a_table_has_a_name_of_its_own():
    assert numbered.label_of("notebooks/07_zero_shot", "table-a") == "table-a"
    assert numbered.label_of("notebooks/real/07_zero_shot", "table-a") == "real-table-a"


def test_a_stamp_says_what_made_the_page_and_its_numbers(tmp_path):
    folder = tmp_path / "results" / "real"
    folder.mkdir(parents=True)
    made = {"command": "mccgaa run x", "device": "gpu", "when": "2026-01-02T03:04"}
    (folder / "zeroshot.json").write_text(json.dumps(made))
    first, second = about_page.stamp_lines(STAMP, tmp_path)
    assert first.startswith("Made from notebooks/04_gafa.py · code 01234567 · mccgaa")
    assert first.endswith("cpu, 2 cores · 12 s")
    assert "zeroshot.csv: mccgaa run x · gpu · 2026-01-02" in second
    made["note"] = "carried over from commit 0123456"
    (folder / "zeroshot.json").write_text(json.dumps(made))
    (_, earlier) = about_page.stamp_lines(STAMP, tmp_path)
    assert "mccgaa run x (of an earlier version) · gpu" in earlier
    dated = about_page.stamp_lines(STAMP | {"when": "2026-05-06T07:08"}, tmp_path)
    assert dated[0].endswith("12 s · 2026-05-06")


def test_a_description_is_prose_and_ends_at_a_word():
    document = nodes.document(None, None)
    document += nodes.admonition("", nodes.paragraph("", "A banner. " * 10))
    document += nodes.paragraph("", "Too short.")
    document += nodes.paragraph("", "word " * 60)
    said = about_page.description(document)
    assert said.startswith("word word") and said.endswith("word ...")
    assert len(said) <= about_page.LONGEST + 4


@pytest.mark.parametrize(
    ("repository", "site"),
    [
        ("https://github.com/someone/ecg", "https://someone.github.io/ecg/"),
        ("https://gitlab.com/someone/ecg/", "https://someone.gitlab.io/ecg/"),
        ("https://code.example/someone/ecg", ""),
        ("", ""),
    ],
)
def test_the_books_address_follows_from_the_repositorys(repository, site):
    assert about_page.site_of(repository) == site


def test_the_edit_button_leads_to_the_script():
    button = {
        "label": "source-edit-button",
        "url": "h/edit/main/book/notebooks/a.ipynb",
    }
    about_page._edit([{"buttons": [button]}], "notebooks/a.py")
    assert button["url"] == "h/edit/main/notebooks/a.py"


def test_codes_are_explained_and_other_cells_left_alone():
    known = codes.meanings()
    assert known["AFIB"] == "atrial fibrillation"
    assert "(CSN)" in known["AF"] or known["AF"] == "atrial flutter"
    table = '<td class="short">AFIB</td><td>SR and more</td><td>LAO/LAE</td><td>7</td>'
    html = codes.explained(table, known)
    assert (
        '<td class="short"><abbr title="atrial fibrillation">AFIB</abbr></td>' in html
    )
    assert "<td>SR and more</td>" in html and "<td>7</td>" in html
    assert "LAO/LAE</abbr>" in html


def test_a_docstring_becomes_paragraphs_lists_and_formulas():
    found = api.prose(
        """Do a thing.

        .. math::
            a &= b

        It uses `x` and $y$.

        Args:
            x: (B, M) signals, which
                go on.
            y (int): a number.

        Returns:
            Something: not named.

        Raises:
            ConfigError: no x.
        """
    )
    kinds = [type(node).__name__ for node in found]
    assert kinds == ["paragraph", "math_block", "paragraph"] + ["container"] * 3
    assert "a &= b" in found[1].astext()
    assert [n.astext() for n in found[3].findall(nodes.list_item)] == [
        "x: (B, M) signals, which go on.",
        "y: (int) a number.",
    ]


def test_a_long_declaration_has_a_line_per_argument():
    arguments = "first: int, *, second: str = 'a long default value', **rest: Any"
    code = f"def call({arguments}) -> dict[str, list[int]]: ..."
    written = api.signature(ast.parse(code).body[0])
    assert written.splitlines()[1:4] == [
        "    first: int,",
        "    *,",
        "    second: str = 'a long default value',",
    ]
    ast.parse(f"{written}: ...")


def test_every_public_function_of_the_package_is_read():
    for path in api.modules(ROOT / "mccgaa"):
        for member in api.public(ast.parse(path.read_text(encoding="utf-8"))):
            assert member.name in api.signature(member)
            assert api.prose(ast.get_docstring(member) or "x")


PAGE = """Title
=====

.. raw:: html

   <figure class="table-card tier-real" id="table-one"><figcaption
   id="table-one-caption">Says.</figcaption><table><tr><td>AFIB</td></tr></table></figure>

See :ref:`table-one`.
"""


def test_a_built_page_numbers_its_tables_and_links_to_them(tmp_path):
    source = tmp_path / "book"
    (source / "notebooks").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    page = PAGE.replace("<figcaption\n   id", "<figcaption id")
    (source / "notebooks" / "04_page.rst").write_text(page)
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})\n"
        "extensions = ['numbered', 'codes', 'about_page']\nnumfig = True\n"
        "root_doc = 'notebooks/04_page'\nhtml_theme = 'basic'\n"
    )
    out = tmp_path / "out"
    command = ["sphinx", "-q", "-W", "-n", "-b", "html", str(source), str(out)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    html = (out / "notebooks" / "04_page.html").read_text(encoding="utf-8")
    assert 'href="#table-one">Table 4.1</a> Says.' in html
    assert '<abbr title="atrial fibrillation">AFIB</abbr>' in html
    assert html.count("Table 4.1") == 2  # the caption, and the reference
