"""A chapter as a notebook: its hash, banner, labels, links and prose."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mccgaa.errors import BookError
from mccgaa_book import BANNER
from mccgaa_book.press import notebook
from mccgaa_book.press.chapters import Chapter

CHAPTER = Path(__file__).with_name("chapter.percent")


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "01_demo.py"
    path.write_text(CHAPTER.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def hash_of(source: str) -> str:
    return notebook.code_hash(new_notebook(cells=[new_code_cell(source)]))


def test_comments_blank_lines_and_prose_do_not_change_the_hash(script):
    before = notebook.code_hash(notebook.from_script(script))
    text = script.read_text(encoding="utf-8")
    text = text.replace("# # A chapter in small", "# # A small chapter")
    text = text.replace(
        "value = np.float64(84.0149)", "# AUROC\n\nvalue = np.float64(84.0149)"
    )
    script.write_text(text, encoding="utf-8")
    assert notebook.code_hash(notebook.from_script(script)) == before


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = 0", "x = 1"),
        ("f(a)", "f(a=a)"),
        ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
        ("%matplotlib", "%autoreload"),
        ("x = '#'", "x = '##'"),
    ],
)
def test_other_code_has_another_hash(one, two):
    assert hash_of(one) != hash_of(two)


def test_the_published_profile_that_a_script_opens_under_is_no_part_of_its_hash():
    """It is not the one that made a page; every page is given one and says which."""

    def opened(source, tags=("parameters",)):
        cell = new_code_cell(source, metadata={"tags": list(tags)})
        return notebook.code_hash(new_notebook(cells=[cell]))

    line = 'params: str = "params/{}.yaml"  # profile'
    names = ("smoke", "synthetic", "real")
    assert len({opened(line.format(name)) for name in names}) == 1
    assert opened(line.format("mine")) != opened(line.format("smoke"))
    assert opened(line.format("real"), ()) != opened(line.format("smoke"), ())


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


def page_with_banner(kind: str = "real") -> nbformat.NotebookNode:
    banner = {"kind": kind, "title": "REAL ECGs", "text": "2,298 records."}
    shown = new_output("display_data", {"text/html": "x"}, metadata={BANNER: banner})
    return new_notebook(
        cells=[
            new_markdown_cell("# Title"),
            new_code_cell("page.start(lab)", outputs=[shown]),
        ],
        metadata={"mccgaa": {"banner": banner}},
    )


def test_the_banner_that_the_page_shows_is_found():
    assert notebook.banner(page_with_banner(), "01_demo")["title"] == "REAL ECGs"


def test_a_chapter_that_shows_no_banner_is_refused():
    page = page_with_banner()
    page.cells[1].outputs = []
    with pytest.raises(BookError, match="01_demo does not say whether its ECGs"):
        notebook.banner(page, "01_demo")


def chapter(folder: str) -> Chapter:
    here = Path("x")
    return Chapter(here, here, here, {}, ("06_pretraining", "07_zero_shot"), folder)


def test_labels_of_a_second_copy_are_prefixed_where_made_and_where_used():
    page = page_with_banner("mixed")
    page.cells += [
        new_markdown_cell(
            "(sec-leak)=\n## The leak\n$$\nx = fig-a\n$$ (eq-13)\n"
            "See {eq}`eq-13`, {numref}`fig-a`, {ref}`here <sec-leak>`, [](#fig-a), "
            "[](sec-leak), {eq}`eq-1`, {cite}`fig-a`, sec-leak and eq-13-b."
        ),
        new_code_cell("fig-a", metadata={"mystnb": {"figure": {"name": "fig-a"}}}),
    ]
    notebook.scope(page, chapter("real"))
    assert page.cells[2].source == (
        "(real-sec-leak)=\n## The leak\n$$\nx = fig-a\n$$ (real-eq-13)\n"
        "See {eq}`real-eq-13`, {numref}`real-fig-a`, {ref}`here <real-sec-leak>`, "
        "[](#real-fig-a), [](real-sec-leak), {eq}`eq-1`, {cite}`fig-a`, "
        "sec-leak and eq-13-b."
    )
    assert page.cells[3].metadata["mystnb"]["figure"]["name"] == "real-fig-a"
    assert page.cells[3].source == "fig-a"


def test_a_second_copy_says_its_ecgs_in_its_title_and_links_to_its_own_kind():
    page = page_with_banner()
    links = "{doc}`chapter 6 </notebooks/06_pretraining>`, {doc}`/notebooks/04_gafa`"
    page.cells.append(new_markdown_cell(links))
    notebook.scope(page, chapter("real"))
    assert page.cells[0].source == "# Title, real ECGs"
    assert page.cells[2].source == links.replace("06_pre", "real/06_pre")
    mixed = page_with_banner("mixed")
    notebook.scope(mixed, chapter("real"))
    assert mixed.cells[0].source == "# Title"


def test_the_first_copy_stays_as_it_is():
    page = page_with_banner()
    page.cells.append(new_markdown_cell("(sec)=\n## T {doc}`/notebooks/07_zero_shot`"))
    notebook.tidy(page)  # numbers its cells
    before = nbformat.writes(page)
    notebook.scope(page, chapter(""))
    assert nbformat.writes(page) == before


def two_copies() -> nbformat.NotebookNode:
    """A chapter with prose that one of its copies alone shows."""
    page = page_with_banner()
    seen = new_output("display_data", {"text/html": "<p>"})
    glued = new_output("display_data", {f"{notebook.GLUED}text/plain": "1"})
    page.cells += [
        new_markdown_cell("why", metadata={"tags": ["first-copy"]}),
        new_markdown_cell(
            "see {doc}`/notebooks/06_pretraining`", metadata={"tags": ["second-copy"]}
        ),
        new_code_cell("run", metadata={"tags": ["hide-input"]}, outputs=[seen]),
        new_code_cell("draw", metadata={"tags": ["first-copy"]}, outputs=[seen]),
        new_code_cell("plain", outputs=[glued, seen]),
        new_code_cell("silent"),
        new_code_cell("glue", metadata={"tags": ["hide-input"]}, outputs=[glued]),
        new_code_cell("# answer", metadata={"tags": ["hide-cell"]}),
    ]
    return page


def test_a_second_copy_leaves_explanations_and_answers_to_the_first():
    page = two_copies()
    notebook.scope(page, chapter("real"))
    shown = [(c.source, c.metadata.get("tags", [])) for c in page.cells[2:]]
    assert shown == [
        ("see {doc}`/notebooks/06_pretraining`", ["second-copy"]),  # as it is
        ("run", ["hide-input"]),
        ("draw", ["remove-cell"]),
        ("plain", ["hide-input"]),
        ("silent", ["remove-cell"]),
        ("glue", ["remove-cell"]),
        ("# answer", ["remove-cell"]),
    ]


def test_the_first_copy_has_all_but_the_prose_of_the_second():
    page = two_copies()
    before = [cell.source for cell in page.cells]
    notebook.scope(page, chapter(""))
    assert [c.source for c in page.cells] == [s for s in before if s[:3] != "see"]
    assert page.cells[-1].metadata["tags"] == ["hide-cell"]


def test_an_only_copy_in_a_folder_shows_its_code_and_answers():
    page = page_with_banner()
    page.cells += [
        new_code_cell("plain"),
        new_code_cell("# answer", metadata={"tags": ["hide-cell"]}),
    ]
    notebook.scope(page, chapter("real"))
    assert "tags" not in page.cells[2].metadata
    assert page.cells[3].metadata["tags"] == ["hide-cell"]


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


def test_a_page_shows_one_cell_of_parameters_with_the_values_that_ran():
    lines = [
        'params: str = "params/smoke.yaml"  # profile',
        "scale: float = 1.0  # of the wave",
        "boxes: list = []  # notes",
    ]
    page = new_notebook(
        cells=[
            new_code_cell("\n".join(lines), metadata={"tags": ["parameters"]}),
            new_code_cell("scale = 2.5", metadata={"tags": [notebook.INJECTED]}),
        ]
    )
    notebook.show_parameters(page, {"params": "params/real.yaml", "scale": 2.5})
    (cell,) = page.cells
    assert cell.source.splitlines() == [
        'params: str = "params/real.yaml"  # profile',
        "scale: float = 2.5  # of the wave",
        lines[2],
    ]
