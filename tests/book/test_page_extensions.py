"""What the book's Sphinx extensions write on pages."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from docutils import nodes
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx import addnodes

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))
import about_page
import api
import codes
import lines
import numbered
import published
import quiet_code
import words

ROOT = Path(__file__).resolve().parents[2]
STAMP = {
    "script": "notebooks/04_gafa.py",
    "parameters": {"params": "params/real.yaml", "steps": 3},
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
        ("notebooks/real/11_robustness", "11"),
        ("notebooks/real/A4_transfer", "A4"),
        ("notebooks/real/10b_sizes", "10b"),
        ("notebooks/plus/08_beyond", "8"),
        ("intro", ""),
        ("reproducing", ""),
    ],
)
def test_numbers_begin_with_the_page(page, head):
    pages = {page, "notebooks/07_zero_shot"}
    assert numbered.prefix(page, pages) == head


def test_the_contents_name_a_chapter_by_the_number_of_its_tables():
    """A sentence that leads to chapter 11 leads to what the contents call 11."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [
        (entry["file"], entry.get("title", ""), part.get("numbered"))
        for part in contents["parts"]
        for entry in part["chapters"]
    ]
    pages = {name for name, *_ in entries}
    for name, title, counted in entries:
        number = numbered.prefix(name, pages)
        if number and not counted:
            assert title.startswith(f"{number}. "), name


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
    assert "mccgaa run x (runs of an earlier version; a run that a page" in earlier
    dated = about_page.stamp_lines(STAMP | {"when": "2026-05-06T07:08"}, tmp_path)
    assert dated[0].endswith("12 s · 2026-05-06")


def test_a_rerun_is_the_exact_command_and_says_how_long_it_took():
    given = {"params": "params/real.yaml", "records": 20}
    commands, said = about_page.rerun(STAMP | {"parameters": given})
    assert commands.splitlines() == [
        "jupytext --to ipynb --output chapter.ipynb notebooks/04_gafa.py",
        "papermill chapter.ipynb out.ipynb \\",
        "    -p params params/real.yaml \\",
        "    -p records 20",
    ]
    assert "12 seconds on cpu, 2 cores" in said
    assert said.endswith(
        "Sentences get their numbers when the book is built, not in `out.ipynb`: "
        "`mccgaa book execute --profile real --only 04_gafa`, then "
        "`mccgaa book build --profile real`."
    )
    short, _ = about_page.rerun(STAMP | {"parameters": {"params": "p.yaml"}})
    assert short.endswith("\npapermill chapter.ipynb out.ipynb -p params p.yaml")
    slow = about_page.rerun(STAMP | {"parameters": given, "seconds": 204})
    assert "3 minutes on" in slow[1]


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("x = 1\npage.glue('x', x)\ny = x", "x = 1\ny = x"),
        ("page.glue(\n    'x',\n    1,\n)", ""),
        ("for n in names:\n    page.glue(n, 1)", ""),
        (
            "for n in names:\n    y = f(n)\n    page.glue(n, y)\n    g(y)",
            "for n in names:\n    y = f(n)\n    g(y)",
        ),
        (
            "with a:\n    for n in b:\n        page.glue(n, 1)\n    x = 1\nz = 2",
            "with a:\n    x = 1\nz = 2",
        ),
        ("if x:\n    page.glue('x', x)", "if x:\n    page.glue('x', x)"),
        ("%time f()\npage.glue('x', 1)", "%time f()\npage.glue('x', 1)"),
        ("page.table(x)", "page.table(x)"),
    ],
)
def test_shown_code_leaves_out_what_only_hands_numbers_to_sentences(code, shown):
    assert quiet_code.quiet(code) == shown


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


def test_each_line_that_is_left_out_is_the_right_one():
    code = "if x:\n    page.glue('x', x)\n    y = x\npage.glue('y', 1)\nz = 1"
    assert quiet_code.quiet(code) == "if x:\n    y = x\nz = 1"


def test_a_synonym_is_no_code():
    head = '<thead><tr><th>class</th><th scope="col">synonyms</th></tr></thead>'
    known = {"AF": "atrial flutter"}
    html = codes.explained(f"{head}<tr><td>AF</td><td>AF</td></tr>", known)
    assert html.endswith('<abbr title="atrial flutter">AF</abbr></td><td>AF</td></tr>')


def test_each_code_of_a_list_is_explained():
    known = {"RVH": "right & thick", "PMI": "posterior"}
    assert codes.explained("<td>RVH, PMI</td>", known) == (
        '<td><abbr title="right &amp; thick">RVH</abbr>, '
        '<abbr title="posterior">PMI</abbr></td>'
    )
    assert codes.explained("<td>RVH, none</td>", known) == "<td>RVH, none</td>"


def test_the_first_of_a_code_in_prose_is_explained():
    known = {"AVB": "block", "2AVB": "second-degree block", "AFIB": "fibrillation"}
    known["MI"] = "infarction, or something else: too short"
    tree = nodes.document(None, None)
    prose = "MI, AVBs, x/AVB and 2AVB; an AVB, another AVB, and AFIB."
    tree += nodes.paragraph("", "", nodes.literal("", "AFIB"), nodes.Text(prose))
    codes.mark_prose(tree, known)
    marked = list(tree.findall(nodes.abbreviation))
    assert [(one.astext(), one["explanation"]) for one in marked] == [
        ("2AVB", "second-degree block"),
        ("AVB", "block"),
        ("AFIB", "fibrillation"),
    ]
    assert tree.astext() == "AFIB" + prose
    assert marked[1].parent.index(marked[1]) > marked[0].parent.index(marked[0])
    before = marked[1].parent[marked[1].parent.index(marked[1]) - 1]
    assert before.astext() == "; an ", "not the one in another word"


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

        Warns:
            Doubt: too few.

        Raises:
            ConfigError: no x.
        """
    )
    kinds = [type(node).__name__ for node in found]
    assert kinds == ["paragraph", "math_block", "paragraph"] + ["container"] * 4
    assert "a &= b" in found[1].astext()
    assert [n.astext() for n in found[3].findall(nodes.list_item)] == [
        "x: (B, M) signals, which go on.",
        "y: (int) a number.",
    ]


def test_a_docstrings_lists_emphasis_and_sentences_are_set_as_such():
    found = api.prose(
        """Read *only* what a * b says; **all** of `*args`.

        Order:
        - `path`: needed,
          by all;
        - the rest.

        1. first
        2. second

        Returns:
            One row per record: as `read` gives them.
        """
    )
    assert [n.astext() for n in found[0].findall(nodes.emphasis)] == ["only"]
    box, numbered, returned = found[1:]
    assert box[0].astext() == "Order:"
    assert [n.astext() for n in box[1]] == ["path: needed, by all;", "the rest."]
    assert isinstance(numbered[0], nodes.enumerated_list) and len(numbered[0]) == 2
    (item,) = returned.findall(nodes.list_item)
    assert item.astext() == "One row per record: as read gives them."
    assert [n.astext() for n in item.findall(nodes.literal)] == ["read"]


def test_a_commands_example_is_set_as_code():
    """Two hyphens of prose break at the end of a line, and its words have links."""
    found = api.prose("Do.\n\nExample: mccgaa twin --out data\n--seed 0")
    assert [type(node) for node in found] == [nodes.paragraph, nodes.literal_block]
    assert found[1].astext() == "mccgaa twin --out data --seed 0"


def test_a_field_shows_its_type_and_the_default_that_a_caller_sees():
    code = """class C:
        a: Literal['x', 'y'] = later('x')
        b: dict = field(default_factory=dict)
        c: int"""
    assert api.attributes(ast.parse(code).body[0]) == [
        ("a", "``Literal['x', 'y'] = 'x'``"),
        ("b", "``dict``"),
        ("c", "``int``"),
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


def test_a_property_is_shown_as_an_attribute_which_is_not_called():
    for mark in ("property", "cached_property", "functools.cached_property"):
        code = f"class C:\n @{mark}\n def names(self) -> tuple[str, ...]: ..."
        (method,) = api.public(ast.parse(code).body[0])
        assert api.signature(method) == "names: tuple[str, ...]"
    plain = ast.parse("@staticmethod\ndef names() -> int: ...").body[0]
    assert api.signature(plain) == "@staticmethod\ndef names() -> int"


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
    (source / "notebooks" / "real").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    page = PAGE.replace("<figcaption\n   id", "<figcaption id")
    contents = "\n.. toctree::\n\n   real/04_page\n"
    (source / "notebooks" / "04_page.rst").write_text(page + contents)
    (source / "notebooks" / "real" / "04_page.rst").write_text(page)
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
    assert '<h1><span class="section-number">4. </span>' in html
    copy = (out / "notebooks" / "real" / "04_page.html").read_text(encoding="utf-8")
    assert copy.count("Table R4.1") == 2, "a second copy means its own table"


def prose(*parts: nodes.Node) -> nodes.document:
    """A page with one paragraph."""
    page = new_document("page")
    page += nodes.paragraph("", "", *parts)
    return page


TWIN = {
    "twin": ("term-twin", "the mirror"),
    "noise floor": ("term-n", "apart"),
    "rare class": ("term-r", "below 1 %"),
}


def test_a_words_first_occurrence_in_prose_leads_to_the_glossary():
    page = prose(
        nodes.literal("", "twin"),
        nodes.Text(
            " params/twin.yaml, twin.yaml, twins, twin, twin-like; a noise floor,"
            " rare classes."
        ),
    )
    words.link(page, TWIN, "../glossary.html")
    links = [
        (n.astext(), n["refuri"], n["reftitle"]) for n in page.findall(nodes.reference)
    ]
    assert links == [
        ("twins", "../glossary.html#term-twin", "the mirror"),
        ("noise floor", "../glossary.html#term-n", "apart"),
        ("rare classes", "../glossary.html#term-r", "below 1 %"),
    ]
    assert page.astext().endswith("twin, twin-like; a noise floor, rare classes.")


def test_a_word_inside_a_link_a_heading_or_a_stamp_is_left_alone():
    page = prose(nodes.reference("", "the twin", refuri="x"))
    page += nodes.section("", nodes.title("", "The twin"))
    page += nodes.container("", nodes.paragraph("", "--profile twin"), stamp=True)
    words.link(page, TWIN, "g")
    assert len(list(page.findall(nodes.reference))) == 1


def test_words_are_read_from_the_glossarys_own_section():
    def entry(word, *meaning):
        term = nodes.term("", word, ids=[f"term-{word}"])
        definition = nodes.definition("", nodes.paragraph("", "", *meaning))
        return nodes.definition_list_item("", term, definition)

    cited = addnodes.pending_xref("", nodes.Text("key"), refdomain="cite")
    ours = nodes.section("", ids=[words.SECTION])
    ours += nodes.definition_list(
        "", entry("twin", nodes.Text("the mirror "), cited, nodes.Text("."))
    )
    others = nodes.section(
        "", nodes.definition_list("", entry("ECG", nodes.Text("x"))), ids=["ecg"]
    )
    page = new_document("glossary")
    page += [ours, others]
    assert words.entries(page) == {"twin": ("term-twin", "the mirror.")}


def test_the_words_that_the_first_reader_missed_are_in_the_glossary():
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    ours = text.split("## This book")[1].split("\n## ")[0].splitlines()
    for word in (
        *("twin", "profile", "variant", "store", "lab", "tier", "floor", "fused"),
        *("topology", "nat", "score interval", "Youden's threshold", "R@5", "Chapman"),
    ):
        assert word in ours


def test_a_chapter_is_found_wherever_its_pages_are():
    pages = {"notebooks/07_zero_shot", "notebooks/real/07_zero_shot", "intro"}
    assert published.pages_of("07_zero_shot", pages) == sorted(pages - {"intro"})
    assert published.pages_of("09_linear_probe", pages) == []


@pytest.mark.parametrize("name", ["intro", "reproducing"])
def test_the_index_names_every_table_figure_and_equation_of_the_paper(name):
    text = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line[:1] == "|"]
    first = "\n".join(row[0] for row in rows)
    for number in range(1, 7):
        assert re.search(rf"Tables? .*\b{number}\b", first), f"Table {number}"
    for number in range(1, 9):
        assert f"Fig. {number}" in first, f"Fig. {number}"
    second = [row[1].strip() for row in rows]
    said = re.findall(r"equations? ([\d, toand]+)", first)
    said += [cell for cell in second if re.fullmatch(r"[\d, to]+", cell)]
    spans = re.findall(r"(\d+)(?: to (\d+))?", " ".join(said))
    covered = {n for a, b in spans for n in range(int(a), int(b or a) + 1)}
    assert set(range(1, 34)) <= covered


def test_every_chapter_that_the_index_names_is_a_script():
    for name in ("intro", "reproducing"):
        text = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
        for script in re.findall(r"\{chapter\}`([^`]+)`", text):
            assert (ROOT / "notebooks" / f"{script}.py").is_file(), script


def test_a_glued_sentence_is_no_shout_and_a_number_keeps_its_line():
    assert lines.kind("3.7e-09") == "glued-number"
    assert lines.kind("MCCGAA, bipartite graph") == ""
    assert (
        lines.kind("Two trainings of one method can differ by that.") == "glued-prose"
    )


def test_a_deviation_stays_beside_its_number_except_in_code():
    text = nodes.paragraph("", "79.2 \u00b1 1.2 on them, ")
    text += nodes.literal("", "a \u00b1 b")
    lines.unbroken(text)
    assert text.astext() == "79.2\u00a0\u00b1\u00a01.2 on them, a \u00b1 b"


def test_code_breaks_within_a_word_only_where_a_phone_has_no_room_for_it():
    page = new_document("page")
    for code in (
        "--set",
        "mccgaa book build --only 04_gafa",
        "x" * 24,
        "a " + "x" * 25,
    ):
        page += nodes.paragraph("", "", nodes.literal("", code))
    lines.keep_code(page)
    kept = ["whole" in code["classes"] for code in page.findall(nodes.literal)]
    assert kept == [True, True, True, False]


def test_a_percent_sign_has_one_space_before_it_in_prose_and_tables_alike():
    page = new_document("page")
    page += nodes.paragraph("", "9% and 95 % of 100 %s; 100%s. ")
    page[0] += nodes.literal("", "{:.0%} 9%")
    html = '<figure class="table-card"><td style="width: 50%">16.6%</td></figure>'
    page += nodes.raw("", html, format="html")
    page += nodes.raw("", "<style>p { width: 50% }</style>", format="html")
    lines.unbroken(page)
    assert page[0].astext() == ("9\u00a0% and 95\u00a0% of 100 %s; 100%s. {:.0%} 9%")
    assert page[1].astext() == html.replace("16.6%", "16.6\u00a0%")
    assert "50% }" in page[2].astext()


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A chapter of a book whose configuration names its repository."""
    tree = tmp_path_factory.mktemp("named")
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("_ext", "_theme", "_vendor"):
        shutil.copytree(ROOT / "book" / name, tree / "book" / name, ignore=skip)
    shutil.copy(ROOT / "book" / "references.bib", tree / "book")
    (tree / "pyproject.toml").touch()
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    assert config.count('  url: ""\n') == 1
    address = "  url: https://github.com/someone/ecg\n"
    (tree / "_config.yml").write_text(config.replace('  url: ""\n', address))
    (tree / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nchapters:\n- file: notebooks/04_gafa\n"
    )
    (tree / "book" / "intro.md").write_text("# A book\n\nIt has one chapter.\n")
    page = new_notebook(
        cells=[
            new_markdown_cell("# A chapter"),
            new_markdown_cell("**What it needs.** Nothing but time and some patience."),
            new_markdown_cell("## A section"),
            new_code_cell("seen = 1\npage.glue('one', seen)"),
            new_code_cell("page.glue('two', 2)"),
            new_code_cell("page.glue('three', 3)", metadata={"tags": ["hide-input"]}),
        ]
    )
    page.metadata["mccgaa"] = STAMP | {"parameters": {"params": "params/real.yaml"}}
    (tree / "book" / "notebooks").mkdir()
    nbformat.write(page, tree / "book" / "notebooks" / "04_gafa.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "book"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    html = tree / "_build" / "html" / "notebooks" / "04_gafa.html"
    return html.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "link",
    [
        "https://github.com/someone/ecg",
        "https://github.com/someone/ecg/edit/main/notebooks/04_gafa.py",
        "https://github.com/someone/ecg/issues/new",
        "https://mybinder.org/v2/gh/someone/ecg/main?urlpath=lab/tree/book/notebooks/",
        "https://someone.github.io/ecg/single/index.html",
        "https://someone.github.io/ecg/notebooks/04_gafa.html",  # canonical
    ],
)
def test_one_setting_gives_a_page_its_buttons_and_its_address(named, link):
    assert f'href="{link}' in named


def test_a_page_says_how_to_make_it_again_before_its_first_section(named):
    """And shows code without the lines that serve its sentences, unless folded."""
    box = named.index("Run this page yourself")
    assert '<span class="pre">make</span> <span class="pre">install</span>' in named
    assert named.index("What it needs.") < box < named.index("<h2>A section")
    text = " ".join(named.split())
    assert "papermill" in text[text.index("Run this page yourself") :]
    assert "colab" not in named, "its machines do not have these packages"
    assert named.count("glue") == 1 and "seen" in named
