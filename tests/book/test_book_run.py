"""The executable book on a project of one small chapter: run, check, build, refuse."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mccgaa.errors import BookError
from mccgaa_book.press import book, chapters, notebook

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = Path(__file__).with_name("chapter.percent")
PROFILE = """
tier: synthetic
title: a wave
out: book/notebooks
chapters: [01_demo]
notebooks:
  01_demo: {scale: 1.5}
"""


def silent(_: str) -> None:
    """Take a line of progress and forget it."""


def lay_out(root: Path) -> None:
    (root / "notebooks").mkdir()
    (root / "params").mkdir()
    shutil.copy(CHAPTER, root / "notebooks" / "01_demo.py")
    (root / "params" / "demo.yaml").write_text(PROFILE, encoding="utf-8")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The project with its chapter executed once; copied by each test that edits."""
    root = tmp_path_factory.mktemp("executed")
    lay_out(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chapters, "ROOT", root)
        said: list[str] = []
        book.run("demo", echo=said.append)
    (root / "said.txt").write_text("\n".join(said), encoding="utf-8")
    return root


@pytest.fixture
def project(executed, tmp_path, monkeypatch):
    root = tmp_path / "project"
    shutil.copytree(executed, root)
    monkeypatch.setattr(chapters, "ROOT", root)
    return root


def page_of(root: Path) -> Path:
    return root / "book" / "notebooks" / "01_demo.ipynb"


def edit(root: Path, old: str, new: str, name: str = "notebooks/01_demo.py") -> None:
    path = root / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_an_executed_page_shows_its_results_its_banner_and_its_stamp(project):
    page = nbformat.read(page_of(project), as_version=4)
    stamp = page.metadata["mccgaa"]
    assert stamp["parameters"] == {"params": "params/demo.yaml", "scale": 1.5}
    assert stamp["script"] == "notebooks/01_demo.py"
    assert stamp["seconds"] >= 0
    assert "SYNTHETIC ECGs" in page.cells[0].source
    outputs = [o for c in page.cells for o in c.get("outputs", [])]
    assert sum("image/svg+xml" in o.get("data", {}) for o in outputs) == 1
    assert (project / "book" / "_tables" / "synthetic" / "demo.csv").is_file()
    assert not list((project / "_build" / "failed").glob("*"))


def test_progress_is_one_line_a_chapter_before_and_after(project):
    said = (project / "said.txt").read_text(encoding="utf-8").splitlines()
    assert said[0] == "[1/1] 01_demo under demo: running ..."
    assert said[-1].startswith("[1/1] 01_demo: done in ")


def test_a_fresh_book_has_no_problem_and_is_not_run_again(project):
    before = page_of(project).stat().st_mtime_ns
    assert book.check() == []
    assert book.run("demo", echo=silent) == []
    assert page_of(project).stat().st_mtime_ns == before


def test_a_forced_rerun_changes_no_byte(project):
    before = page_of(project).read_bytes()
    assert book.run("demo", force=True, echo=silent) == [page_of(project)]
    assert page_of(project).read_bytes() == before


def test_edited_prose_stays_fresh_and_reaches_the_page_without_execution(project):
    edit(project, "The paper claims in", "The authors claim in")
    assert book.check() == []
    one = book.published()[0]
    assert notebook.carry_prose(one.page, one.script)
    text = page_of(project).read_text(encoding="utf-8")
    assert "The authors claim in" in text
    assert "SYNTHETIC ECGs" in text
    assert "image/svg+xml" in text
    assert not notebook.carry_prose(one.page, one.script)


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("notebooks/01_demo.py", "84.0149", "84.015", "other code"),
        ("params/demo.yaml", "scale: 1.5", "scale: 1.6", "parameters changed"),
        ("params/demo.yaml", "a wave", "two waves", "other settings"),
    ],
)
def test_edited_code_parameters_or_settings_make_a_page_stale(
    project, name, old, new, why
):
    edit(project, old, new, name)
    assert [p.kind for p in book.problems()] == ["stale"]
    assert why in book.check()[0]
    assert "mccgaa book run --profile demo --only 01_demo" in book.check()[0]
    one = book.published()[0]
    if "code" in why:
        assert not notebook.carry_prose(one.page, one.script)


def test_a_missing_an_unstamped_and_a_damaged_page_are_told_apart(project):
    page = nbformat.read(page_of(project), as_version=4)
    del page.metadata["mccgaa"]
    nbformat.write(page, page_of(project))
    assert [p.kind for p in book.problems()] == ["unstamped"]
    page_of(project).write_text("{", encoding="utf-8")
    assert [p.kind for p in book.problems()] == ["failed"]
    page_of(project).unlink()
    assert [p.kind for p in book.problems()] == ["missing"]


def test_a_page_that_shows_an_error_is_not_built(project):
    page = nbformat.read(page_of(project), as_version=4)
    wrong = nbformat.v4.new_output(
        "error", ename="ValueError", evalue="no leads", traceback=[]
    )
    page.cells[-1].outputs.append(wrong)
    nbformat.write(page, page_of(project))
    for strict in (True, False):
        with pytest.raises(BookError, match=r"shows an error .*ValueError: no leads"):
            book.build(strict=strict)


def test_a_failed_chapter_leaves_its_page_and_shows_its_traceback(project):
    before = page_of(project).read_bytes()
    edit(project, "value = np.float64(84.0149)", "value = [][4]")
    said: list[str] = []
    with pytest.raises(BookError, match="1 of 1 chapters failed: 01_demo"):
        book.run("demo", echo=said.append)
    assert page_of(project).read_bytes() == before
    assert "IndexError: list index out of range" in "\n".join(said)
    assert (project / "_build" / "failed" / "demo-01_demo.ipynb").is_file()


def test_what_a_profile_or_call_cannot_mean_is_refused_before_anything_runs(project):
    with pytest.raises(
        BookError, match=r"no parameter 'sclae'; it knows params, scale"
    ):
        book.run("demo", force=True, parameters={"sclae": 2}, echo=silent)
    with pytest.raises(BookError, match="does not execute 02_x; it executes 01_demo"):
        book.run("demo", only="02_x", echo=silent)
    with pytest.raises(BookError, match="no profile 'dmeo'; params/ has demo"):
        book.run("dmeo", echo=silent)
    edit(project, "  01_demo:", "  02_x:", "params/demo.yaml")
    with pytest.raises(BookError, match="gives parameters to 02_x"):
        book.run("demo", echo=silent)
    edit(project, "[01_demo]", "[01_demo, 02_x]", "params/demo.yaml")
    with pytest.raises(BookError, match=r"notebooks/02_x\.py does not exist"):
        book.run("demo", echo=silent)


def test_a_copy_elsewhere_leaves_the_book_alone(project, tmp_path):
    chapter = chapters.chapters("demo", out=tmp_path / "else")[0]
    assert chapter.page == tmp_path / "else" / "01_demo.ipynb"
    assert chapter.prefix == ""


def test_a_second_place_in_the_book_prefixes_its_labels(project):
    edit(project, "book/notebooks", "book/notebooks/real", "params/demo.yaml")
    assert chapters.chapters("demo")[0].prefix == "real-"


@pytest.mark.parametrize("version", ["2.0.0", "0.15.1"])
def test_another_jupyter_book_than_version_1_is_refused(version):
    with pytest.raises(BookError, match=f"Jupyter Book {version} is installed"):
        book.refuse_other_jupyter_book(version)


def test_the_installed_jupyter_book_is_version_1_and_the_project_pins_it():
    book.refuse_other_jupyter_book()
    pinned = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "jupyter-book>=1.0.4.post1,<2" in pinned


def test_the_kernels_environment_is_put_back(tmp_path, monkeypatch):
    monkeypatch.delenv("MCCGAA_TABLES", raising=False)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    with book._environment(tmp_path):
        assert os.environ["MCCGAA_TABLES"] == str(tmp_path)
    assert "MCCGAA_TABLES" not in os.environ
    assert os.environ["PYTHONHASHSEED"] == "0"


def test_checking_the_book_does_not_import_what_executing_it_needs():
    code = (
        "import sys; from mccgaa_book.press import book; book.check();"
        "print({'torch', 'papermill', 'sphinx', 'seaborn'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
