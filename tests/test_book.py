"""The book as a reader meets it: built strictly, every page opened in a browser."""

import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from browser import Browser, absent, serve

from mccgaa_book.press import book, chapters

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
FILES = [TOC["root"]] + [c["file"] for part in TOC["parts"] for c in part["chapters"]]

WRONG = """<!doctype html><title>t</title><link rel="icon" href="data:,">
<article class="bd-article"><span class="math">x</span>
<img src="missing.svg"><div style="width: 900px">wide</div></article>
<script src="http://cdn.invalid/mathjax.js"></script>
<script>console.error("no leads")</script>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The committed book, built in a tree of its own by the documented command."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, tree)
    skip = shutil.ignore_patterns("_build", ".ipynb_checkpoints", "_toc.yml")
    shutil.copytree(ROOT / "book", tree / "book", ignore=skip)
    (tree / "book" / "_toc.yml").symlink_to("../_toc.yml")
    command = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run(
        [command, "build", "book", "-W", "-n", "--keep-going"],
        cwd=tree,
        capture_output=True,
        text=True,
    )
    told = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert done.returncode == 0, "\n".join(told) or done.stdout[-2000:]
    return tree / "_build" / "html"


@pytest.fixture(scope="module")
def visits(site, tmp_path_factory):
    """Every page, visited at the width of a desk and of a phone."""
    why = absent()
    if why:
        pytest.skip(why)
    seen = {}
    with serve(site) as home, Browser(tmp_path_factory.mktemp("profile")) as browser:
        for width in (1440, 420):
            browser.size(width)
            for name in FILES:
                seen[name, width] = browser.visit(f"{home}{name}.html")
    return seen


def test_every_published_page_is_fresh_and_without_errors():
    assert book.check() == []


def test_the_contents_list_every_published_page_once():
    pages = [one.page.relative_to(ROOT / "book") for one in book.published()]
    notebooks = [name for name in FILES if name.startswith("notebooks/")]
    assert sorted(notebooks) == sorted(p.with_suffix("").as_posix() for p in pages)
    assert len(set(FILES)) == len(FILES)


def test_the_contents_are_found_from_the_books_own_folder_too():
    link = ROOT / "book" / "_toc.yml"
    assert link.read_text(encoding="utf-8") == (ROOT / "_toc.yml").read_text(
        encoding="utf-8"
    )


def test_the_built_book_has_every_page_and_no_other_host_in_it(site):
    for name in FILES:
        html = (site / f"{name}.html").read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', html)
        abroad = [url for url in loaded if re.match(r"(https?:)?//", url)]
        assert abroad == [], f"{name} loads {abroad}"


def test_every_link_within_the_book_leads_somewhere(site):
    for name in FILES:
        page = site / f"{name}.html"
        html = page.read_text(encoding="utf-8")
        for link in re.findall(r'<a [^>]*href="([^"#?]+)[^"]*"', html):
            if not re.match(r"[a-z]+:", link):
                assert (page.parent / link).exists(), f"{name} links to {link}"


def test_every_page_renders_its_equations(visits):
    for (name, _), visit in visits.items():
        told = visit.report
        assert told["wrong"] == 0, f"{name} shows an equation that MathJax refused"
        assert told["equations"] >= told["math"], f"{name} has unrendered equations"
    assert sum(visit.report["equations"] for visit in visits.values()) > 0


def test_every_page_shows_its_figures_with_alternative_text(visits):
    for (name, _), visit in visits.items():
        assert visit.report["broken"] == [], name
        assert visit.report["silent"] == [], name


def test_no_page_logs_an_error_fails_a_request_or_leaves_the_machine(visits):
    for (name, width), visit in visits.items():
        assert visit.console == [], (name, width)
        assert visit.failed == [], (name, width)
        assert visit.abroad == [], (name, width)


def test_the_browser_notices_what_a_page_does_wrong(tmp_path):
    why = absent()
    if why:
        pytest.skip(why)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.html").write_text(WRONG, encoding="utf-8")
    with serve(tmp_path / "site") as home, Browser(tmp_path / "profile") as browser:
        browser.size(420)
        visit = browser.visit(f"{home}page.html", patience=1.0)
    assert any("missing.svg: 404" in failure for failure in visit.failed)
    assert any("no leads" in message for message in visit.console)
    assert visit.abroad == ["http://cdn.invalid/mathjax.js"]
    assert visit.report["equations"] < visit.report["math"]
    assert visit.report["broken"]
    assert visit.report["silent"]
    assert visit.report["wide"]


def test_no_page_is_wider_than_a_phone_or_a_desk(visits):
    wide = [where for where, visit in visits.items() if visit.report["wide"]]
    assert wide == []


def test_every_chapter_says_in_its_head_what_its_ecgs_are(visits):
    for one in book.published():
        name = one.page.relative_to(ROOT / "book").with_suffix("").as_posix()
        banner = visits[name, 1440].report["banner"]
        assert len(banner) == 1, f"{name} has {len(banner)} banners"
        if (
            yaml.safe_load(one.profile.read_text(encoding="utf-8"))["tier"]
            == "synthetic"
        ):
            assert "REAL" not in banner[0], f"{name} passes simulated ECGs for real"


def test_the_whole_book_runs_from_nothing_under_the_smoke_profile(
    tmp_path, monkeypatch
):
    tree = tmp_path / "project"
    for name in ("notebooks", "params", "bench"):
        shutil.copytree(ROOT / name, tree / name)
    monkeypatch.setattr(chapters, "ROOT", tree)
    said: list[str] = []
    before = children_seconds()
    pages = book.run("smoke", force=True, echo=said.append)
    assert {page.stem for page in pages} == {
        p.stem for p in tree.glob("notebooks/*.py")
    }
    took = children_seconds() - before
    assert took < 360, f"the smoke profile took {took:.0f} s of one core: {said}"


def children_seconds() -> float:
    """CPU seconds of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
