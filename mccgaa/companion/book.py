"""The executable book: percent script -> notebook -> papermill -> stamp -> page.

A chapter is a script in `notebooks/`. `run` executes it under a profile and publishes
the executed copy, stamped with the hash of its code; `check` tells in milliseconds what
is missing, stale or failed; `build` makes the static book from what is published.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from mccgaa.companion import notebook
from mccgaa.config import load_yaml, stable_hash
from mccgaa.errors import BookError

ROOT = Path(__file__).resolve().parents[2]
_LAYOUT = ("out", "chapters", "notebooks")  # keys of a profile that change no result
_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


@dataclass(frozen=True)
class Chapter:
    """One script under one profile, and where its executed copy goes."""

    script: Path
    page: Path
    profile: Path
    parameters: dict[str, Any]
    settings: str  # hash of what else the profile says
    prefix: str  # laid before its labels, so that two pages may show one chapter

    @property
    def name(self) -> str:
        """The script's name without its ending."""
        return self.script.stem

    @property
    def kept(self) -> Path:
        """Where the copy lies while it is executed, and after it failed."""
        return ROOT / "_build" / "failed" / f"{self.profile.stem}-{self.name}.ipynb"


@dataclass(frozen=True)
class Problem:
    """Why a published page cannot be trusted, in a sentence."""

    page: Path
    kind: str  # missing, unstamped, stale, failed
    sentence: str


def chapters(profile: Path | str, out: Path | str | None = None) -> list[Chapter]:
    """List what a profile executes.

    Args:
        profile: path of a parameter file, or its bare name ("twin").
        out: folder for the executed copies instead of the profile's own `out`.

    Raises:
        BookError: an absent profile or script, or parameters for a notebook that the
            profile does not execute.
    """
    path = profile_path(profile)
    settings = load_yaml(path)
    names = settings.get("chapters") or []
    own = settings.get("notebooks") or {}
    stray = sorted(set(own) - set(names))
    if stray:
        raise BookError(
            f"{path} gives parameters to {', '.join(stray)}, which its `chapters` do "
            f"not name; they are {', '.join(names) or 'empty'}."
        )
    own_place = Path(settings.get("out") or "_build/notebooks")
    prefix = "" if own_place.name == "notebooks" else f"{own_place.name}-"
    place = ROOT / (out or own_place)
    rest = stable_hash({k: v for k, v in settings.items() if k not in _LAYOUT})
    shown = _relative(path)
    found = []
    for name in names:
        script = ROOT / "notebooks" / f"{name}.py"
        if not script.is_file():
            have = ", ".join(sorted(p.stem for p in script.parent.glob("*.py")))
            raise BookError(
                f"{shown} executes {name}, but notebooks/{name}.py does not exist; "
                f"there are {have or 'none'}."
            )
        parameters = {"params": shown.as_posix(), **(own.get(name) or {})}
        page = place / f"{name}.ipynb"
        found.append(Chapter(script, page, path, parameters, rest, prefix))
    return found


def profile_path(profile: Path | str) -> Path:
    """Find a profile by path or by bare name.

    Raises:
        BookError: there is no such file.
    """
    given = Path(profile)
    for path in (given, ROOT / given, ROOT / "params" / f"{given.name}.yaml"):
        if path.is_file():
            return path.resolve()
    known = ", ".join(sorted(p.stem for p in (ROOT / "params").glob("*.yaml")))
    raise BookError(f"There is no profile {str(profile)!r}; params/ has {known}.")


def run(
    profile: Path | str,
    only: Sequence[str] | str | None = None,
    out: Path | str | None = None,
    *,
    stale: bool = False,
    parameters: dict[str, Any] | None = None,
    echo: Any = print,
) -> list[Path]:
    """Execute a profile's chapters and publish their stamped copies.

    A chapter that fails does not replace the copy that it had; the others still run.

    Args:
        profile: path of a parameter file, or its bare name.
        only: names of chapters, by default all of the profile's.
        out: folder for the executed copies instead of the profile's own; the tables
            then go to `<out>/_tables`.
        stale: leave alone what is published and fresh.
        parameters: laid over those of the profile, for every chapter run.
        echo: takes each line of progress.

    Returns:
        the published notebooks.

    Raises:
        BookError: an unknown chapter or parameter, or chapters that failed.
    """
    work = _select(chapters(profile, out), only, profile)
    for one in work:
        one.parameters.update(parameters or {})
        source = notebook.from_script(one.script)
        notebook.refuse_unknown(source, one.parameters, one.name)
    if stale:
        work = [one for one in work if problem(one) is not None]
    tables = ROOT / (Path(out) / "_tables" if out else "book/_tables")
    done, failed = [], []
    for i, one in enumerate(work, start=1):
        echo(f"[{i}/{len(work)}] {one.name} under {one.profile.stem}: running ...")
        start = time.monotonic()
        try:
            said = _execute(one, tables)
        except notebook.CellFailure as failure:
            failed.append(one.name)
            echo(f"{failure.traceback}\n[{i}/{len(work)}] {one.name}: FAILED")
            echo(f"    {failure.cell}; as far as it came: {_relative(one.kept)}")
            continue
        if said:
            echo(said)
        echo(f"[{i}/{len(work)}] {one.name}: done in {time.monotonic() - start:.0f} s")
        done.append(one.page)
    if failed:
        raise BookError(
            f"{len(failed)} of {len(work)} chapters failed: {', '.join(failed)}. Their "
            "tracebacks are above; the copies published before are unchanged."
        )
    if not work:
        echo(f"Every chapter of {Path(profile).stem} is fresh.")
    return done


def problem(one: Chapter) -> Problem | None:
    """Say what is wrong with one published page, reading but not executing it."""
    redo = f"run `mccgaa book run --profile {one.profile.stem} --only {one.name}`"
    where = _relative(one.page)

    def found(kind: str, why: str) -> Problem:
        return Problem(one.page, kind, f"{where} {why}: {redo}.")

    if not one.page.is_file():
        return found("missing", "is missing")
    try:
        page = nbformat.read(one.page, as_version=4)
    except (ValueError, nbformat.ValidationError, KeyError):
        return found("failed", "is not a readable notebook")
    error = notebook.first_error(page)
    if error:
        return found("failed", f"shows an error ({error})")
    stamp = page.metadata.get("mccgaa")
    if not stamp:
        return found("unstamped", "carries no stamp, so nothing tells what made it")
    if stamp["code"] != notebook.code_hash(notebook.from_script(one.script)):
        return found("stale", f"is stale: {_relative(one.script)} has other code now")
    if stamp["parameters"] != one.parameters:
        return found("stale", "is stale: its parameters changed")
    if stamp["settings"] != one.settings:
        return found("stale", f"is stale: {one.profile.name} has other settings now")
    return None


def check(profiles: Sequence[Path | str] | None = None) -> list[Problem]:
    """List every published page that is missing, stale or failed.

    Args:
        profiles: which to look at; by default all that publish into `book/`.
    """
    return [p for one in published(profiles) if (p := problem(one)) is not None]


def published(profiles: Sequence[Path | str] | None = None) -> list[Chapter]:
    """List the chapters that the book shows, over all profiles."""
    if profiles is None:
        profiles = [
            path
            for path in sorted((ROOT / "params").glob("*.yaml"))
            if Path(str(load_yaml(path).get("out") or "")).parts[:1] == ("book",)
        ]
    return [one for profile in profiles for one in chapters(profile)]


def build(*, strict: bool = True) -> Path:
    """Build the static book, with warnings as errors, from what is published.

    Prose edited in a script since its execution is carried over first.

    Args:
        strict: refuse pages that are missing, stale or failed.

    Returns:
        the book's first page.

    Raises:
        BookError: a page that cannot be trusted, the wrong Jupyter Book, or a warning.
    """
    refuse_other_jupyter_book()
    problems = [p for p in check() if strict or p.kind == "failed"]
    if problems:
        raise BookError("\n".join(p.sentence for p in problems))
    for one in published():
        if one.page.is_file():
            notebook.carry_prose(one.page, one.script, one.prefix)
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", "book"]
    command += ["--toc", str(ROOT / "_toc.yml"), "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    index = ROOT / "_build" / "html" / "index.html"
    if done.returncode or not index.is_file():
        output = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        raise BookError("The book did not build:\n" + "\n".join(output[-40:]))
    return index


def refuse_other_jupyter_book(version: str | None = None) -> None:
    """Stop before Jupyter Book 2, which prints one line, makes no page and exits 0.

    Raises:
        BookError: Jupyter Book is absent or is not version 1.
    """
    try:
        version = version or importlib.metadata.version("jupyter-book")
    except importlib.metadata.PackageNotFoundError as error:
        raise BookError(
            "Jupyter Book is not installed; run `pip install -c constraints.txt -e "
            "'.[book]'`."
        ) from error
    if version.split(".")[0] != "1":
        raise BookError(
            f"Jupyter Book {version} is installed, but the book needs version 1: "
            "version 2 ignores _config.yml and makes no page. Run "
            "`pip install -c constraints.txt -e '.[book]'`."
        )


def _execute(one: Chapter, tables: Path) -> str:
    """Execute one chapter and publish it; returns what it wrote to stderr."""
    start = time.monotonic()
    with _environment(tables):
        page = notebook.execute(one.script, one.parameters, ROOT, one.kept)
    said = notebook.tidy(page)
    notebook.lift_banner(page, one.name)
    page.metadata["mccgaa"] = {
        **page.metadata.get("mccgaa", {}),
        "code": notebook.code_hash(notebook.from_script(one.script)),
        "script": _relative(one.script).as_posix(),
        "parameters": one.parameters,
        "settings": one.settings,
        "package": importlib.metadata.version("mccgaa"),
        "python": platform.python_version(),
        "device": _device(),
        "seconds": round(time.monotonic() - start),
    }
    notebook.scope_labels(page, one.prefix)
    notebook.publish(page, one.page)
    return said


@contextlib.contextmanager
def _environment(tables: Path) -> Iterator[None]:
    """Tell the kernel where tables go, to keep progress bars off the page."""
    ours = {
        "MCCGAA_TABLES": str(tables),
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    before = {key: os.environ.get(key) for key in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _device() -> str:
    """Name what the chapter computed on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {os.cpu_count()} cores"


def _select(
    work: list[Chapter], only: Sequence[str] | str | None, profile: Path | str
) -> list[Chapter]:
    """Keep the chapters asked for, refusing a name that the profile lacks."""
    if only is None:
        return work
    names = [only] if isinstance(only, str) else list(only)
    known = [one.name for one in work]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise BookError(
            f"The profile {Path(profile).stem} does not execute "
            f"{', '.join(unknown)}; it executes {', '.join(known)}."
        )
    return [one for one in work if one.name in names]


def _relative(path: Path) -> Path:
    """Write a path from the project's root where it lies inside."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
