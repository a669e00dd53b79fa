"""One set of versions: pyproject.toml has the ranges, constraints.txt the pins."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mccgaa.commands.command import DISCLAIMER
from mccgaa.ready.classifier import (
    EXAMPLE,
    KNOWLEDGE,
    SCORING,
    SHIPPED,
    VECTORS,
    load,
    shipped,
)

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


def imported(file: Path) -> set[str]:
    """Top-level names that a file imports, at its top or later."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.partition(".")[0] for name in found}


def test_the_package_imports_what_a_plain_installation_has():
    files = [f for top in ("mccgaa", "mccgaa_twin") for f in (ROOT / top).rglob("*.py")]
    names = set().union(*map(imported, files)) - sys.stdlib_module_names
    named = {"yaml": "pyyaml"}
    names = {canonicalize_name(named.get(n, n)) for n in names if n[:6] != "mccgaa"}
    plain = {canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"]}
    # Both are asked for, with the extra that brings them, where they are missing.
    assert names - plain == {"matplotlib", "onnx"}


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


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """The source distribution of what git tracks, built and unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "tree" / name)
    build = "import sys, setuptools.build_meta as made; made.build_sdist(sys.argv[1])"
    command = [sys.executable, "-c", build, str(folder)]
    subprocess.run(command, cwd=folder / "tree", check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def installed(unpacked, tmp_path_factory) -> Path:
    """A folder that holds the package's wheel, made of the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", folder, unpacked]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    install = ["install", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    return target


def run_installed(installed: Path, cwd: Path, *words: str) -> str:
    """Run a command of the installed package, far from the checkout."""
    code = (
        "import sys, mccgaa, mccgaa.cli\n"
        "print(mccgaa.__file__, file=sys.stderr)\n"
        f"sys.exit(mccgaa.cli.main({list(words)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(str(installed)), "another copy ran"
    return done.stdout


def test_the_wheel_holds_all_that_the_package_reads(installed):
    kept = {p.relative_to(ROOT) for p in (ROOT / "mccgaa").rglob("*") if p.is_file()}
    data = {p for p in kept if p.suffix not in (".py", ".pyc")}
    assert len(data) >= 6
    missing = {str(p) for p in data if not (installed / p).is_file()}
    assert not missing


def test_the_wheel_holds_every_profile_and_finds_it_by_name(installed, tmp_path):
    here = {path.name for path in (ROOT / "params").iterdir()}
    assert {p.name for p in (installed / "share/mccgaa/params").iterdir()} == here
    said = run_installed(
        installed, tmp_path, "run", "zeroshot", "--profile", "smoke", "--dry-run"
    )
    assert "bipartite" in said


def test_the_source_distribution_holds_a_whole_checkout(unpacked):
    """All that git tracks but the files of continuous integration and of git."""
    tree = unpacked.parent / "tree"
    tracked = {p.relative_to(tree) for p in tree.rglob("*") if p.is_file()}
    wanted = {path for path in tracked if not path.parts[0].startswith(".")}
    assert len(wanted) > 300
    missing = {str(path) for path in wanted if not (unpacked / path).is_file()}
    assert not {path for path in missing if "egg-info" not in path}


def test_the_changelog_has_the_version_and_the_citation_the_papers_doi():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}]" in text
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    doi = re.search(r"doi: (\S+)", citation)[1]
    bib = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    intro = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
    assert doi in bib.partition("@inproceedings")[0] and doi in intro
    assert f"version = {{{PROJECT['version']}}}" in intro


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")))
def test_a_workflow_is_valid_and_runs_what_exists(path):
    flow = yaml.safe_load(path.read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    runs = "\n".join(step.get("run", "") for step in steps)
    assert flow["name"] == path.stem and all("uses" in s or "run" in s for s in steps)
    for target in re.findall(r"make ([a-z]+)", runs):
        assert re.search(rf"^{target}:", makefile, re.M), f"make has no {target}"
    for script in re.findall(r"(?<!\S)(\.ci/\S+)", runs):
        assert (ROOT / script).is_file()


def test_an_installed_package_classifies_its_example_without_run_or_download(
    installed, tmp_path
):
    """With a stand-in for the shipped model where the checkout has none."""
    weights = installed / "mccgaa" / "weights" / "stand-in"
    standin(weights)
    try:
        words = ("classify", "--run", "stand-in", "--json", "out.json", "--top", "3")
        printed = run_installed(installed, tmp_path, *words)
    finally:
        shutil.rmtree(weights)
    findings = json.loads((tmp_path / "out.json").read_text())
    assert [f["name"] in printed for f in findings] == [True] * 3
    assert printed.count("medical device") == 1


def standin(folder: Path) -> None:
    """Write an untrained model with all that `mccgaa export` writes."""
    import torch
    from safetensors.torch import save_file

    from mccgaa.config import (
        EncoderConfig,
        GafaConfig,
        InputConfig,
        LossConfig,
        ModelConfig,
        TextConfig,
    )
    from mccgaa.knowledge import Knowledge
    from mccgaa.model import MCCGAA
    from mccgaa.ready import classifier as ready

    config = ModelConfig(
        input=InputConfig(sampling_rate=100, transform="bandpass-zscore"),
        encoder=EncoderConfig(embedding_dim=16, widths=(8, 8, 8, 8), pool_heads=2),
        text=TextConfig(encoder="minilm"),
        gafa=GafaConfig(graph="none"),
        loss=LossConfig(kind="statements", learn_tau=True),
    )
    MCCGAA(config).half().save_pretrained(folder)
    knowledge = Knowledge.load()
    texts = knowledge.wordings()
    vectors = {"vectors": torch.randn(len(texts), 384).half()}
    save_file(vectors, folder / ready.VECTORS, metadata={"texts": json.dumps(texts)})
    (folder / ready.KNOWLEDGE).write_text(json.dumps(knowledge.content))
    (folder / ready.SCORING).write_text('{"prompting": {"prompts": "members"}}')


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_model_is_small_documented_and_classifies_the_example(name):
    folder = SHIPPED / name
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sum(files.values()) < 12e6
    names = {"config.json", "model.safetensors", "README.md"}
    assert names | {VECTORS, KNOWLEDGE, SCORING} <= set(files)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "must not" in card and "| test split of |" in card and "Licence" in card
    found = load(name).classify(EXAMPLE)
    assert found[0].probability >= found[-1].probability
    assert "atrial fibrillation" in [finding.name for finding in found[:3]]


def test_the_readme_shows_what_the_default_model_says_of_the_example():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- classify -->")[2].partition("<!-- /classify -->")[0]
    assert shown.strip().strip("`").rstrip().endswith(DISCLAIMER), "its last line"
    rows = re.findall(r"^(\S.*?)  +[+-][\d.]+ +([\d.]+)%", shown, re.M)
    found = load().classify(EXAMPLE)[:5]
    assert [name for name, _ in rows] == [finding.name for finding in found], (
        "README.md is older than the model: paste what `mccgaa classify --top 5` prints"
    )
    said = [float(percent) for _, percent in rows]
    assert said == pytest.approx([100 * f.probability for f in found], abs=0.3)


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


def test_what_pip_and_the_recipes_leave_is_ignored_and_removed():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/build/" in ignored  # of `pip install .`
    for page in ("README.md", "book/reproducing.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        left = set(re.findall(r"(?<=\s)\w+\.ipynb(?=\s)", text))
        left |= set(re.findall(r"--(?:out|json|plot) ([\w.-]+)(?=\s)", text))
        for name in left:
            known = any(fnmatch(f"/{name}", line.rstrip("/")) for line in ignored)
            assert known, f"{page} leaves {name}"
    clean = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nclean:")[2]
    assert "build" in clean.split(), "a stale build/ gets into the next wheel"


def test_make_refuses_what_is_not_there_before_it_installs(tmp_path):
    for words, said in (
        (["install", "PYTHON=python9"], "error: there is no python9; give another"),
        (["reproduce", "PROFILE=smok"], "no params/smok.yaml; there are: "),
    ):
        made = subprocess.run(
            ["make", *words, f"VENV={tmp_path / 'v'}", "PYTHON=python9"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 2 and said in made.stdout
        assert "older" not in made.stdout and not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["reproduce", "book"])
def test_make_stops_where_the_book_is_not_built(target, tmp_path):
    """With a stand-in for the command, of which `book build` alone fails."""
    command = tmp_path / "bin" / "mccgaa"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\necho "did $*"\ntest "$1 $2" != "book build"\n')
    command.chmod(0o755)
    (tmp_path / ".installed").touch()
    made = subprocess.run(
        ["make", target, f"VENV={tmp_path}"], cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 2
    assert "The book:" not in made.stdout and "did compare" not in made.stdout


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
