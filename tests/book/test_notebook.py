"""A chapter as a notebook: its hash, banner, labels and prose."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mccgaa.errors import BookError
from mccgaa_book import BANNER
from mccgaa_book.press import notebook

CHAPTER = Path(__file__).with_name("chapter.percent")


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "01_demo.py"
    path.write_text(CHAPTER.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def hash_of(source: str) -> str:
    return notebook.code_hash(new_notebook(cells=[new_code_cell(source)]))


def test_layout_comments_and_prose_do_not_change_the_hash(script):
    before = notebook.code_hash(notebook.from_script(script))
    text = script.read_text(encoding="utf-8")
    text = text.replace("# # A chapter in small", "# # A small chapter")
    text = text.replace(
        "value = np.float64(84.0149)", "value = (  # AUROC\n    np.float64(84.0149)\n)"
    )
    script.write_text(text, encoding="utf-8")
    assert notebook.code_hash(notebook.from_script(script)) == before


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = 0", "x = 1"),
        ("x = 0", "x = False"),
        ("x = 0", "x = 0.0"),
        ("x = ''", "x = None"),
        ("f(a)", "f(a=a)"),
        ("f('', 1)", "f(1)"),
        ("f'{a}b'", "f'{a}c'"),
        ("def f(): pass", "async def f(): pass"),
        ("%matplotlib", "%autoreload"),
    ],
)
def test_code_that_computes_something_else_has_another_hash(one, two):
    assert hash_of(one) != hash_of(two)


def test_the_hash_is_the_same_on_every_python():
    # written down from Python 3.11; fields that 3.12 and 3.13 added are empty
    code = "def f(x: int = 3) -> str:\n    return f'{x:>{4}}' if x else None"
    assert hash_of(code) == "707bb0625737144c"


def test_moving_code_between_cells_changes_the_hash():
    one = new_notebook(cells=[new_code_cell("a = 1\nb = 2")])
    two = new_notebook(cells=[new_code_cell("a = 1"), new_code_cell("b = 2")])
    assert notebook.code_hash(one) != notebook.code_hash(two)


def test_an_unknown_parameter_is_refused_and_the_known_ones_named(script):
    page = notebook.from_script(script)
    notebook.refuse_unknown(page, {"params": "x", "scale": 2.0}, "01_demo")
    with pytest.raises(
        BookError,
        match="01_demo has no parameter 'sclae'; it knows params, scale, boxes",
    ):
        notebook.refuse_unknown(page, {"sclae": 2.0}, "01_demo")


def page_with_banner() -> nbformat.NotebookNode:
    banner = {"kind": "ptbxl", "title": "REAL ECGs", "text": "2,298 records."}
    shown = new_output("display_data", {"text/plain": "x"}, metadata={BANNER: banner})
    return new_notebook(
        cells=[
            new_markdown_cell("# Title\n\nThe claim."),
            new_code_cell("page.start(lab)", outputs=[shown]),
        ]
    )


def test_the_banner_moves_from_its_cell_to_under_the_title():
    page = page_with_banner()
    notebook.lift_banner(page, "01_demo")
    head = page.cells[0].source
    assert head.startswith(
        "# Title\n\n:::{admonition} REAL ECGs\n:class: tier tier-ptbxl"
    )
    assert head.endswith("The claim.")
    assert page.cells[1].outputs == []


def test_a_chapter_that_shows_no_banner_is_refused():
    page = page_with_banner()
    page.cells[1].outputs = []
    with pytest.raises(BookError, match="01_demo does not say whether its ECGs"):
        notebook.lift_banner(page, "01_demo")


def test_a_chapter_without_title_is_refused():
    page = page_with_banner()
    page.cells[0].source = "The claim."
    with pytest.raises(BookError, match="opens with `# Title`"):
        notebook.lift_banner(page, "01_demo")


def test_labels_of_a_second_copy_are_prefixed_where_made_and_where_used():
    page = new_notebook(
        cells=[
            new_markdown_cell(
                "(sec-leak)=\n## The leak\n$$\nx = fig-a\n$$ (eq-13)\n"
                "See {eq}`eq-13`, {numref}`fig-a`, {ref}`here <sec-leak>`, [](#fig-a), "
                "[](sec-leak), {eq}`eq-1`, {cite}`fig-a`, sec-leak and eq-13-b."
            ),
            new_code_cell("fig-a", metadata={"mystnb": {"figure": {"name": "fig-a"}}}),
        ]
    )
    notebook.scope_labels(page, "ptbxl-")
    assert page.cells[0].source == (
        "(ptbxl-sec-leak)=\n## The leak\n$$\nx = fig-a\n$$ (ptbxl-eq-13)\n"
        "See {eq}`ptbxl-eq-13`, {numref}`ptbxl-fig-a`, {ref}`here <ptbxl-sec-leak>`, "
        "[](#ptbxl-fig-a), [](ptbxl-sec-leak), {eq}`eq-1`, {cite}`fig-a`, "
        "sec-leak and eq-13-b."
    )
    assert page.cells[1].metadata["mystnb"]["figure"]["name"] == "ptbxl-fig-a"
    assert page.cells[1].source == "fig-a"


def test_the_first_copy_keeps_its_labels():
    page = new_notebook(cells=[new_markdown_cell("(sec)=\n# T")])
    notebook.scope_labels(page, "")
    assert page.cells[0].source == "(sec)=\n# T"


def test_tidying_drops_timings_and_stderr_and_numbers_the_cells():
    warned = new_output("stream", name="stderr", text="UserWarning: x\n")
    said = new_output("stream", name="stdout", text="one\n")
    cell = new_code_cell("f()", outputs=[warned, said])
    cell.metadata = {"papermill": {"duration": 1.0}, "execution": {}, "tags": []}
    page = new_notebook(cells=[cell], metadata={"papermill": {}})
    notebook.tidy(page)
    assert page.metadata == {}
    assert page.cells[0].metadata == {}
    assert [o.name for o in page.cells[0].outputs] == ["stdout"]
    assert page.cells[0].id == "cell-000"


def test_an_error_among_the_outputs_is_found():
    wrong = new_output("error", ename="ValueError", evalue="no leads", traceback=[])
    page = new_notebook(cells=[new_code_cell("f()", outputs=[wrong])])
    assert notebook.first_error(page) == "ValueError: no leads"
    assert notebook.first_error(new_notebook(cells=[new_code_cell("f()")])) is None


def test_publishing_equal_results_leaves_the_file_and_its_seconds_alone(tmp_path):
    path = tmp_path / "deep" / "page.ipynb"
    page = page_with_banner()
    page.metadata["mccgaa"] = {"seconds": 3}
    assert notebook.publish(page, path)
    page.metadata["mccgaa"] = {"seconds": 9}
    assert not notebook.publish(page, path)
    assert nbformat.read(path, as_version=4).metadata["mccgaa"]["seconds"] == 3
    page.cells[1].source = "page.start(other)"
    page.metadata["mccgaa"] = {"seconds": 9}
    assert notebook.publish(page, path)
    assert nbformat.read(path, as_version=4).metadata["mccgaa"]["seconds"] == 9
    assert [p.name for p in path.parent.iterdir()] == ["page.ipynb"]
