"""The executable book on a checkout of one small chapter: execute, check, refuse."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from mccgaa.config import METHOD
from mccgaa.errors import BookError
from mccgaa.profile import Profile
from mccgaa_book import CLAIMS, results
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
    for folder in ("notebooks", "params", "book"):
        (root / folder).mkdir()
    (root / "_toc.yml").write_text("format: jb-book\n", encoding="utf-8")
    shutil.copytree(ROOT / "book" / "_paper", root / "book" / "_paper")
    shutil.copy(CHAPTER, root / "notebooks" / "01_demo.py")
    (root / "params" / "demo.yaml").write_text(PROFILE, encoding="utf-8")
    keep_results(root, 70.0)


def keep_results(root: Path, value: float) -> None:
    names = ("variant", "seed", "split", "task", "class", "metric", "value")
    cells = ("mccgaa", "0", "test", "super", "", "auroc", value)
    stamp = dict.fromkeys(results.STAMP, "") | {"profile": "demo", "method": METHOD}
    stamp |= {"profile_hash": Profile.load(root / "params" / "demo.yaml").hash}
    frame = pd.DataFrame([cells], columns=names)
    folder = root / "results" / "synthetic"
    results.save(frame, stamp | {"synthetic": True}, "zeroshot", folder)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The checkout with its chapter published once; copied by each test that edits."""
    root = tmp_path_factory.mktemp("executed")
    lay_out(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        said: list[str] = []
        book.execute("demo", publish=True, echo=said.append)
    (root / "said.txt").write_text("\n".join(said), encoding="utf-8")
    return root


@pytest.fixture
def project(executed, tmp_path, monkeypatch):
    root = tmp_path / "project"
    shutil.copytree(executed, root)
    monkeypatch.chdir(root)
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
    assert list(stamp["reads"]) == ["results/synthetic/zeroshot.csv"]
    assert (stamp["method"], stamp["banner"]["kind"]) == (METHOD, "synthetic")
    assert stamp["seconds"] >= 0
    outputs = [o for c in page.cells for o in c.get("outputs", [])]
    assert sum("image/svg+xml" in o.get("data", {}) for o in outputs) == 1
    assert "SYNTHETIC ECGs" in outputs[0]["data"]["text/html"]
    assert not list((project / "_build" / "failed").glob("*"))


def test_progress_is_one_line_a_chapter_before_and_after(project):
    said = (project / "said.txt").read_text(encoding="utf-8").splitlines()
    assert said[0] == "[1/1] 01_demo under demo: running ..."
    assert said[-1].startswith("[1/1] 01_demo: done in ")


def test_a_fresh_book_has_no_problem_and_is_not_executed_again(project):
    before = page_of(project).stat().st_mtime_ns
    assert book.check() == []
    assert book.execute("demo", publish=True, echo=silent) == []
    assert page_of(project).read_bytes()
    assert [p for p in (project / "reruns").glob("*")] == []
    assert before <= page_of(project).stat().st_mtime_ns


def test_a_forced_rerun_changes_no_byte_and_without_publish_no_published_file(project):
    before = {p: p.read_bytes() for p in (project / "book").rglob("*") if p.is_file()}
    assert book.execute("demo", publish=True, force=True, echo=silent) == [
        page_of(project)
    ]
    own = project / "reruns" / "demo" / "notebooks" / "01_demo.ipynb"
    assert book.execute("demo", echo=silent) == [own]
    assert own.is_file()
    after = {p: p.read_bytes() for p in (project / "book").rglob("*") if p.is_file()}
    assert after == before


def test_edited_prose_is_reported_and_published_without_execution(project):
    edit(project, "The paper claims in", "The authors claim in")
    assert book.problem(book.published()[0]) is None
    assert "has older prose than its script" in book.check()[0]
    assert book.execute("demo", publish=True, echo=silent) == []
    text = page_of(project).read_text(encoding="utf-8")
    assert "The authors claim in" in text
    assert "SYNTHETIC ECGs" in text
    assert "image/svg+xml" in text
    assert book.check() == []


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("notebooks/01_demo.py", "84.0149", "84.015", "other code"),
        ("params/demo.yaml", "scale: 1.5", "scale: 1.6", "parameters changed"),
        ("results/synthetic/zeroshot.csv", "70", "71", "zeroshot.csv is another one"),
        ("results/synthetic/zeroshot.json", '"when": ""', '"when": "now"', "another"),
    ],
)
def test_edited_code_parameters_or_results_make_a_page_stale(
    project, name, old, new, why
):
    edit(project, old, new, name)
    assert why in book.check()[0]
    assert (
        "mccgaa book execute --profile demo --only 01_demo --publish"
        in (book.check()[0])
    )
    one = book.published()[0]
    if "code" in why:  # no prose is carried to a page of other code
        nb = notebook.with_prose(one.page, one)
        assert nb == nbformat.read(one.page, as_version=4)


def test_a_page_is_stale_where_any_profile_that_it_read_is_another_now(project):
    other = project / "params" / "other.yaml"
    other.write_text("tier: synthetic\ntitle: a wave\n", encoding="utf-8")
    edit(project, "page.start(lab)", "page.start(lab)\nLab('other')")
    edit(
        project,
        "import numpy as np",
        "from mccgaa_book.lab import Lab\nimport numpy as np",
    )
    book.execute("demo", publish=True, echo=silent)
    assert book.check() == []
    edit(project, "title: a wave", "title: two waves", "params/other.yaml")
    assert "params/other.yaml is another one now" in book.check()[0]
    edit(project, "title: two waves", "title: a wave", "params/other.yaml")
    edit(
        project, "tier:", "chapters: []  # no page shows it\ntier:", "params/other.yaml"
    )
    assert book.check() == []


def test_a_page_is_stale_where_a_model_that_it_asked_is_another_now(project):
    model = project / "model.safetensors"
    model.write_bytes(b"one")
    edit(
        project,
        "page.start(lab)",
        "page.start(lab)\nfrom pathlib import Path\n"
        "results.note_reading(Path('model.safetensors').resolve())",
    )
    edit(
        project,
        "import numpy as np",
        "from mccgaa_book import results\nimport numpy as np",
    )
    book.execute("demo", publish=True, echo=silent)
    assert book.check() == []
    model.write_bytes(b"two")
    assert "model.safetensors is another one now" in book.check()[0]


def test_a_page_or_result_of_another_method_or_package_is_stale(project, monkeypatch):
    monkeypatch.setattr(book, "METHOD", METHOD + 1)
    assert f"METHOD was {METHOD} and is {METHOD + 1} now" in book.check()[0]
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.setattr(book.importlib.metadata, "version", lambda _: "9.9")
    assert "version 0.1.0 of the package" in book.check()[0]
    monkeypatch.undo()
    monkeypatch.chdir(project)
    edit(
        project,
        "tier: synthetic",
        "tier: synthetic\npretrain: {epochs: 9}",
        "params/demo.yaml",
    )
    assert "zeroshot.csv was made with other settings" in book.check()[-1]


def test_a_missing_an_unstamped_and_a_damaged_page_are_told_apart(project):
    page = nbformat.read(page_of(project), as_version=4)
    del page.metadata["mccgaa"]
    nbformat.write(page, page_of(project))
    assert "carries no stamp" in book.check()[0]
    page_of(project).write_text("{", encoding="utf-8")
    assert "is not a readable notebook" in book.check()[0]
    page_of(project).unlink()
    assert "is missing" in book.check()[0]


def test_results_of_a_damaged_stamp_are_one_sentence_among_the_others(project):
    (stamp,) = (project / "results").glob("*/zeroshot.json")
    stamp.write_text("", encoding="utf-8")
    page_of(project).unlink()
    missing, damaged = book.check()
    assert "is missing" in missing
    run = f"`mccgaa run zeroshot --profile {stamp.parent.name} --publish`"
    assert damaged.endswith(f"zeroshot.csv has no readable stamp: run {run}.")


def test_a_page_that_shows_an_error_is_not_built(project):
    page = nbformat.read(page_of(project), as_version=4)
    wrong = nbformat.v4.new_output(
        "error", ename="ValueError", evalue="no leads", traceback=[]
    )
    page.cells[-1].outputs.append(wrong)
    nbformat.write(page, page_of(project))
    with pytest.raises(BookError, match=r"shows an error .*ValueError: no leads"):
        book.build()


def test_a_page_that_shows_a_users_own_results_is_not_published(project):
    shutil.move("results", "reruns/demo")
    shutil.move("reruns/demo/synthetic/zeroshot.csv", "reruns/demo/zeroshot.csv")
    shutil.move("reruns/demo/synthetic/zeroshot.json", "reruns/demo/zeroshot.json")
    edit(
        project,
        'results.load("zeroshot", "synthetic")',
        'results.load("zeroshot", "synthetic", Path("reruns/demo"))',
    )
    edit(project, "import numpy as np", "from pathlib import Path\nimport numpy as np")
    with pytest.raises(BookError, match="run zeroshot --profile demo --publish` first"):
        book.execute("demo", publish=True, echo=silent)
    assert len(book.execute("demo", echo=silent)) == 1


def test_a_failed_chapter_leaves_its_page_and_shows_its_traceback(project):
    before = page_of(project).read_bytes()
    edit(project, "value = np.float64(84.0149)", "value = [][4]")
    said: list[str] = []
    with pytest.raises(BookError, match="1 of 1 chapters failed: 01_demo"):
        book.execute("demo", publish=True, echo=said.append)
    assert page_of(project).read_bytes() == before
    assert "IndexError: list index out of range" in "\n".join(said)
    assert (project / "_build" / "failed" / "demo-01_demo.ipynb").is_file()


def test_a_kernel_that_is_stopped_reports_no_ctrl_c(project, capfd):
    """Its end begins with a signal, which may come while it still answers."""
    slow = (
        "import time\n"
        "kernel = get_ipython().kernel\n"
        'answer = kernel.shell_handlers["kernel_info_request"]\n'
        "async def answer_and_wait(*question):\n"
        "    await answer(*question)\n"
        "    time.sleep(1)\n"
        'kernel.shell_handlers["kernel_info_request"] = answer_and_wait\n'
    )
    edit(project, "value = np", f"{slow}value = np")
    book.execute("demo", echo=silent)
    assert "KeyboardInterrupt" not in "".join(capfd.readouterr())


def test_a_book_without_own_pages_says_so(project, monkeypatch):
    failed = subprocess.CompletedProcess("", 1, "", "")
    monkeypatch.setattr(book.subprocess, "run", lambda *_, **__: failed)
    said: list[str] = []
    for profile in (None, "demo"):
        with pytest.raises(BookError, match="did not build"):
            book.build(profile, echo=said.append)
    (line,) = said
    assert line.startswith("no chapter was executed under 'demo' yet")
    book.execute("demo", force=True, echo=silent)
    with pytest.raises(BookError, match="did not build"):
        book.build("demo", echo=said.append)
    assert said == [line]


def test_a_book_that_cannot_be_written_says_which_file_and_why(project, monkeypatch):
    def refuse(path, ignore_errors=False, **_):
        if not ignore_errors:
            raise PermissionError(13, "Permission denied", str(path))

    (project / "_build" / "source").mkdir(parents=True)
    monkeypatch.setattr(book.shutil, "rmtree", refuse)
    with pytest.raises(BookError, match=r"_build/source .*denied\): make _build writ"):
        book.build()


def test_what_a_profile_or_call_cannot_mean_is_refused_before_anything_runs(project):
    with pytest.raises(
        BookError, match=r"no parameter 'sclae'; it knows params, scale"
    ):
        book.execute("demo", force=True, parameters={"sclae": 2}, echo=silent)
    with pytest.raises(BookError, match="does not execute 02_x; it executes 01_demo"):
        book.execute("demo", only="02_x", echo=silent)
    with pytest.raises(BookError, match="no profile 'dmeo'; params/ has demo"):
        book.execute("dmeo", echo=silent)
    edit(project, "  01_demo:", "  02_x:", "params/demo.yaml")
    with pytest.raises(BookError, match="gives parameters to 02_x"):
        book.execute("demo", echo=silent)
    edit(project, "[01_demo]", "[01_demo, 02_x]", "params/demo.yaml")
    with pytest.raises(BookError, match=r"notebooks/02_x\.py does not exist"):
        book.execute("demo", echo=silent)
    edit(project, "out: book/notebooks\n", "", "params/demo.yaml")
    edit(project, "[01_demo, 02_x]", "[01_demo]", "params/demo.yaml")
    edit(project, "  02_x:", "  01_demo:", "params/demo.yaml")
    with pytest.raises(BookError, match="in no `out` where its pages are published"):
        book.execute("demo", publish=True, echo=silent)


def test_the_book_that_is_acted_on_is_that_of_the_working_directory(
    project, tmp_path, monkeypatch
):
    monkeypatch.chdir(project / "book")
    assert book.published()[0].page == page_of(project)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BookError, match="is in no checkout"):
        book.check()


def test_a_second_place_in_the_book_is_a_folder_of_its_own(project):
    edit(project, "book/notebooks", "book/notebooks/real", "params/demo.yaml")
    one = chapters.chapters("demo", publish=True)[0]
    assert one.folder == "real"
    assert one.page == project / "book" / "notebooks" / "real" / "01_demo.ipynb"


@pytest.mark.parametrize("version", ["2.0.0", "0.15.1"])
def test_another_jupyter_book_than_version_1_is_refused(version):
    with pytest.raises(BookError, match=f"Jupyter Book {version} is installed"):
        book.refuse_other_jupyter_book(version)


def test_the_installed_jupyter_book_is_version_1_and_the_project_pins_it():
    book.refuse_other_jupyter_book()
    pinned = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "jupyter-book>=1.0.4.post1,<2" in pinned


def test_the_kernels_environment_is_put_back(tmp_path, monkeypatch):
    monkeypatch.delenv("MCCGAA_READS", raising=False)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    with book._environment(tmp_path / "reads"):
        assert os.environ["MCCGAA_READS"] == str(tmp_path / "reads")
    assert "MCCGAA_READS" not in os.environ
    assert os.environ["PYTHONHASHSEED"] == "0"


def test_checking_the_book_does_not_import_what_executing_it_needs():
    code = (
        "import sys; from mccgaa_book.press import book; book.check();"
        "print({'papermill', 'sphinx', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


BROKEN = """
# %%
from mccgaa_book import claims

claims.show(claims.claim("Two is three.", 2 == 3, "2 against 3"))
"""


def test_a_chapter_whose_claim_does_not_hold_is_not_published(project):
    before = page_of(project).read_bytes()
    with (project / "notebooks" / "01_demo.py").open("a", encoding="utf-8") as script:
        script.write(BROKEN)
    said: list[str] = []
    with pytest.raises(BookError, match="1 of 1 chapters failed: 01_demo"):
        book.execute("demo", publish=True, echo=said.append)
    assert "“Two is three.” (2 against 3)" in "\n".join(said)
    assert page_of(project).read_bytes() == before


def test_a_published_page_whose_claim_does_not_hold_stops_the_build(project):
    page = nbformat.read(page_of(project), as_version=4)
    kept = [{"sentence": "Two is three.", "holds": False, "numbers": "2 against 3"}]
    page.cells[2].outputs[0].metadata[CLAIMS] = kept
    nbformat.write(page, page_of(project))
    says = "makes a claim that does not hold, “Two is three.” (2 against 3)"
    assert says in book.check()[0]
    with pytest.raises(BookError, match="makes a claim that does not hold"):
        book.build()
    own = project / "reruns" / "demo" / "notebooks" / "01_demo.ipynb"
    own.parent.mkdir(parents=True)
    nbformat.write(page, own)  # a reader's own page may say what does not hold there
    assert book.problem(chapters.chapters("demo")[0]) is None
    kept[0]["holds"] = True
    nbformat.write(page, page_of(project))
    assert book.check() == []
