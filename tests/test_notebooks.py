"""Every chapter keeps the form that a reader, papermill and the book rely on."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from mccgaa_book.press import chapters, notebook

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
CHAPTERS = [path for path in SCRIPTS if path.name[0].isdigit()]
PROFILES = sorted((ROOT / "params").glob("*.yaml"))
PAGES = sorted((ROOT / "book" / "notebooks").rglob("*.ipynb"))
OPENED = [ROOT / "notebooks" / f"{one}.py" for one in sorted({p.stem for p in PAGES})]
EXERCISES = "## Exercises"


def name(path: Path) -> str:
    return path.stem


def cells(path: Path, kind: str) -> list[str]:
    page = notebook.from_script(path)
    return [c.source for c in page.cells if c.cell_type == kind and c.source.strip()]


def lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def parts(path: Path) -> tuple[list, list]:
    """The cells before a chapter's exercises, and those of its exercises."""
    all_cells = notebook.from_script(path).cells
    heads = [i for i, c in enumerate(all_cells) if c.source.startswith(EXERCISES)]
    first = heads[0] if heads else len(all_cells)
    return all_cells[:first], all_cells[first:]


def prose(path: Path) -> str:
    text = "\n".join(cells(path, "markdown"))
    return re.sub(r"\$\$.*?\$\$|\$[^$]*\$|```.*?```", " ", text, flags=re.S)


def test_the_seven_chapters_of_the_paper_are_there():
    numbers = [path.name[:2] for path in CHAPTERS]
    assert numbers[:8] == [f"{i:02d}" for i in range(8)]  # 00 comes before the paper


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_chapter_opens_with_its_title_its_banner_its_claims_and_its_needs(path):
    title, _, setup, head, *_ = notebook.from_script(path).cells
    assert re.fullmatch(r"# \S.*", title.source), "the first cell is the title alone"
    assert "page.start(" in setup.source, "the banner is right under the title"
    assert setup.metadata["tags"] == ["hide-input"]
    for word in ("paper", "will have", "needs"):
        assert word in head.source.lower(), f"the head does not say {word!r}"


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_parameters_are_typed_commented_and_begin_with_the_profile(path):
    tagged = [
        c
        for c in notebook.from_script(path).cells
        if "parameters" in c.metadata.get("tags", [])
    ]
    assert len(tagged) == 1, "one cell is tagged `parameters`"
    body = ast.parse(tagged[0].source).body
    assert all(isinstance(line, ast.AnnAssign) for line in body)
    assert body[0].target.id == "params"
    for line in tagged[0].source.splitlines():
        assert re.search(r"  # \S", line), f"no comment explains `{line}`"


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_the_default_profile_of_a_chapter_exists(path):
    default = re.search(
        r'^params: str = "(.+?)"', path.read_text(encoding="utf-8"), re.M
    )
    assert (ROOT / default[1]).is_file()


@pytest.mark.parametrize("path", OPENED, ids=name)
def test_a_published_chapter_opens_under_a_profile_whose_numbers_mean_something(path):
    """Who opens a notebook and runs it must not be left with the tests' profile."""
    source = path.read_text(encoding="utf-8")
    opened = re.findall(r'^\w+: str = "(params/.+?)"', source, re.M)
    published = {folder.name for folder in (ROOT / "results").iterdir()}
    assert opened and {Path(one).stem for one in opened} <= published


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_cells_are_small_and_a_chapter_stays_readable(path):
    body, exercises = (
        [lines(c.source) for c in part if c.cell_type == "code"] for part in parts(path)
    )
    assert statistics.median(body) < 10
    assert sum(body) <= 450
    assert max(exercises, default=0) <= 30  # an answer fits on a screen


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_a_chapter_explains_itself_within_four_thousand_words(path):
    words = len(re.findall(r"[A-Za-z][\w'-]*", prose(path)))
    least = 900 if path.name.startswith("00_") else 1400  # that one takes five minutes
    assert least <= words <= 4000


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_no_column_is_unstacked_unsorted(path):
    """Pandas 2.3 puts values into wrong rows then, where a pair of keys is missing."""
    code = path.read_text(encoding="utf-8")
    assert not re.search(r'\.unstack\("\w+", sort=False\)', code)


def own_names(loop: ast.AST) -> set[str]:
    """The names that a loop or a comprehension's part gives to what it goes through."""
    return {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}


def read_names(node: ast.AST) -> set[str]:
    """The names that a top-level statement takes from the cells before it."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        return set()
    loops = [node] if isinstance(node, ast.For) else getattr(node, "generators", [])
    read = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    names = {node.id} if read else set()
    names = names.union(*map(read_names, ast.iter_child_nodes(node)))
    return names.difference(*map(own_names, loops))


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_no_loop_takes_a_name_that_later_cells_still_read(path):
    """A `for name in ...` once gave a claim another model's name."""
    assigned, lost = set(), set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        assert not lost & read_names(node), f"line {node.lineno}"
        if isinstance(node, ast.For):
            lost |= own_names(node) & assigned
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            stored = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
            stored = {n.id for n in stored if isinstance(n.ctx, ast.Store)}
            assigned, lost = assigned | stored, lost - stored


CONCLUDING = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11")
EXERCISED = ("00", *CONCLUDING)


@pytest.mark.parametrize(
    "path", [path for path in CHAPTERS if path.name[:2] in CONCLUDING], ids=name
)
def test_a_chapter_closes_with_what_it_found_as_claims(path):
    *_, found, shown = parts(path)[0]
    assert "## What this page found" in found.source
    assert "claims.show(" in shown.source
    assert shown.metadata["tags"] == ["remove-input"]
    assert shown.source.count("claims.") > 3


@pytest.mark.parametrize(
    "path", [path for path in CHAPTERS if path.name[:2] in EXERCISED], ids=name
)
def test_a_chapter_ends_with_three_questions_whose_answers_fold_out_and_run(path):
    questions, answers = (parts(path)[1][i::2] for i in range(2))
    for number, question in enumerate(questions, 1):
        assert question.cell_type == "markdown"
        assert re.search(rf"^{number}\. .*\?", question.source, re.M | re.S)
    for answer in answers:
        assert answer.metadata["tags"] == ["hide-cell"]
        assert answer.metadata["mystnb"]["code_prompt_show"] == "Answer"
        assert answer.source.startswith("# "), "the first line is the answer in words"
        assert "print(" in answer.source or "page." in answer.source
        checked = re.search(r"^ *assert ", answer.source, re.M)
        assert checked, "an answer is checked, not only shown"
    assert len(questions) == len(answers) == 3


HEDGES = ("if this profile", "if it has any", "(s)", "the answer of this page is in")


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_prose_is_definite(path):
    text = "\n".join(cells(path, "markdown")).lower()
    assert [hedge for hedge in HEDGES if hedge in text] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_carries_no_outputs_and_no_version_of_its_tools(path):
    text = path.read_text(encoding="utf-8")
    assert "jupytext_version" not in text
    assert "%matplotlib" not in text


@pytest.mark.parametrize("path", PROFILES, ids=name)
def test_a_profile_gives_only_parameters_that_its_notebooks_have(path):
    for one in chapters.chapters(path):
        source = notebook.from_script(one.script)
        notebook.refuse_unknown(source, one.parameters, one.name)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT / "book")))
def test_every_figure_has_a_caption_and_alternative_text(path):
    page = nbformat.read(path, as_version=4)
    for cell in page.cells:
        images = [
            output
            for output in cell.get("outputs", [])
            if any(kind.startswith("image/") for kind in output.get("data", {}))
        ]
        if images:
            told = cell.metadata.get("mystnb", {})
            where = f"{path.name}, cell `{cell.source.splitlines()[0]}`"
            assert len(told.get("image", {}).get("alt", "")) > 20, f"no alt: {where}"
            assert told.get("figure", {}).get("caption"), f"no caption: {where}"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT / "book")))
def test_a_published_page_is_stamped_banners_its_tier_and_shows_no_error(path):
    page = nbformat.read(path, as_version=4)
    stamp = page.metadata["mccgaa"]
    assert {"code", "reads", "method", "package", "device"} <= set(stamp)
    assert notebook.banner(page, path.stem) == stamp["banner"]
    assert notebook.first_error(page) is None
    assert all(
        o.get("name") != "stderr" for c in page.cells for o in c.get("outputs", [])
    )


def test_every_script_is_a_chapter_of_some_profile():
    listed = {one.script for path in PROFILES for one in chapters.chapters(path)}
    assert {path.resolve() for path in SCRIPTS} == {path.resolve() for path in listed}
