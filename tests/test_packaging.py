"""One set of versions: pyproject.toml has the ranges, constraints.txt the pins."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
EXTRAS = PROJECT["optional-dependencies"]


def declared() -> dict[str, Requirement]:
    """Everything that pyproject.toml asks for, all extras together."""
    lists = [PROJECT["dependencies"], *EXTRAS.values()]
    wanted = [Requirement(text) for group in lists for text in group]
    return {canonicalize_name(r.name): r for r in wanted}


def pinned() -> dict[str, str]:
    """Name -> version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins), "constraints.txt holds exact pins only"
    return {canonicalize_name(name): version for name, version in pins}


def conda_pip() -> list[str]:
    """The lines that environment.yml hands to pip."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)["dependencies"]
    return next(entry["pip"] for entry in entries if isinstance(entry, dict))


def test_every_declared_dependency_is_pinned_within_its_bounds():
    pins = pinned()
    for name, wanted in declared().items():
        assert name in pins, f"constraints.txt does not pin {name}"
        assert wanted.specifier.contains(pins[name], prereleases=True), (
            f"constraints.txt pins {name} {pins[name]}, pyproject.toml says {wanted}"
        )


def test_environment_yml_installs_every_extra_under_the_constraints():
    assert conda_pip() == [
        "--constraint constraints.txt",
        f"--editable .[{','.join(sorted(EXTRAS))}]",
    ]


def test_the_thin_package_needs_nothing_that_only_the_book_needs():
    code = (
        "import pkgutil, sys, importlib, mccgaa, mccgaa_twin\n"
        "for room in (mccgaa, mccgaa_twin):\n"
        "    for m in pkgutil.walk_packages(room.__path__, room.__name__ + '.'):\n"
        "        importlib.import_module(m.name)\n"
        "print(sorted({'matplotlib', 'seaborn', 'jupytext', 'papermill'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    base = {canonicalize_name(Requirement(d).name) for d in PROJECT["dependencies"]}
    assert not base & {"matplotlib", "seaborn", "scikit-learn", "neurokit2"}


def test_environment_yml_has_a_python_that_the_package_allows():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    python = next(e for e in yaml.safe_load(text)["dependencies"] if "python=" in e)
    wanted = Requirement(f"python{PROJECT['requires-python']}")
    assert wanted.specifier.contains(python.split("=")[1])


def test_the_pinned_torch_is_the_one_the_makefile_installs_first():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"torch==(\S+)", makefile) == [pinned()["torch"]]


def test_no_file_of_the_setup_names_an_index_host():
    for name in ("Makefile", "constraints.txt", "environment.yml", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text), name


def test_make_help_lists_every_target():
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for target in ("install", "test", "reproduce", "book", "bench", "clean"):
        assert re.search(rf"^  {target} ", shown, re.M), f"make help hides {target}"


@pytest.mark.parametrize("page", ["README.md", "book/intro.md", "book/reproducing.md"])
def test_every_make_target_that_a_page_names_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.M))
    assert named, f"{page} names no make target"
    assert named <= targets, f"{page} names {named - targets}, which make has not"


@pytest.mark.parametrize("page", ["README.md", "book/intro.md", "book/reproducing.md"])
def test_every_command_that_a_page_names_exists(page):
    from mccgaa.cli import build_parser

    text = (ROOT / page).read_text(encoding="utf-8")
    actions = build_parser()._actions
    known = {c for action in actions for c in (action.choices or ())}
    named = set(re.findall(r"(?:^|`|\$ |/)mccgaa ([a-z][\w-]*)", text, re.M))
    assert named <= known, f"{page} names {named - known}; mccgaa has {known}"


def test_the_licence_is_whole_and_the_citation_agrees_with_the_package():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("MIT License")
    assert "the mccgaa contributors" in licence
    assert "WITHOUT WARRANTY OF ANY KIND" in licence
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
