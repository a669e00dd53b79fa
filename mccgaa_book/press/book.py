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

from mccgaa.errors import BookError
from mccgaa_book.press import chapters, notebook
from mccgaa_book.press.chapters import Chapter

_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


@dataclass(frozen=True)
class Problem:
    """Why a published page cannot be trusted, in a sentence."""

    page: Path
    kind: str  # missing, unstamped, stale, failed
    sentence: str


def run(
    profile: Path | str,
    only: Sequence[str] | str | None = None,
    out: Path | str | None = None,
    *,
    force: bool = False,
    parameters: dict[str, Any] | None = None,
    echo: Any = print,
) -> list[Path]:
    """Execute a profile's chapters and publish their stamped copies.

    A chapter that fails does not replace the copy that it had; the others still run.

    Args:
        profile: path of a parameter file, or its bare name.
        only: names of chapters to run, fresh or not; by default the profile's stale
            ones.
        out: folder for the executed copies instead of the profile's own; the tables
            then go to `<out>/_tables`.
        force: run fresh chapters too.
        parameters: laid over those of the profile, for every chapter run.
        echo: takes each line of progress.

    Returns:
        the published notebooks.

    Raises:
        BookError: an unknown chapter or parameter, or chapters that failed.
    """
    work = chapters.select(chapters.chapters(profile, out), only, profile)
    for one in work:
        one.parameters.update(parameters or {})
        source = notebook.from_script(one.script)
        notebook.refuse_unknown(source, one.parameters, one.name)
    if not (force or only):
        work = [one for one in work if problem(one) is not None]
    tables = chapters.ROOT / (Path(out) / "_tables" if out else "book/_tables")
    done, failed = [], []
    for i, one in enumerate(work, start=1):
        echo(f"[{i}/{len(work)}] {one.name} under {one.profile.stem}: running ...")
        start = time.monotonic()
        try:
            _execute(one, tables)
        except notebook.CellFailure as failure:
            failed.append(one.name)
            echo(f"{failure.traceback}\n[{i}/{len(work)}] {one.name}: FAILED")
            echo(f"    {failure.cell}; the rest is in {chapters.relative(one.kept)}")
            continue
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
    where = chapters.relative(one.page)

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
        return found("stale", f"is stale: notebooks/{one.name}.py has other code now")
    if stamp["parameters"] != one.parameters:
        return found("stale", "is stale: its parameters changed")
    if stamp["settings"] != one.settings:
        return found("stale", f"is stale: {one.profile.name} has other settings now")
    return None


def published() -> list[Chapter]:
    """List the chapters that the book shows, over all chapters."""
    return [one for path in chapters.publishing() for one in chapters.chapters(path)]


def problems() -> list[Problem]:
    """List every page of the book that is missing, stale or failed."""
    return [found for one in published() if (found := problem(one)) is not None]


def check() -> list[str]:
    """Say in sentences what `problems` finds; nothing where all is well."""
    return [found.sentence for found in problems()]


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
    bad = [p.sentence for p in problems() if strict or p.kind == "failed"]
    if bad:
        raise BookError("\n".join(bad))
    for one in published():
        if one.page.is_file():
            notebook.carry_prose(one.page, one.script, one.prefix)
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", "book"]
    command += ["--toc", str(chapters.ROOT / "_toc.yml"), "-W", "-n", "--keep-going"]
    done = subprocess.run(
        command,
        cwd=chapters.ROOT,
        capture_output=True,
        text=True,
        env=_plain_environment(),
    )
    index = chapters.ROOT / "_build" / "html" / "index.html"
    if done.returncode or not index.is_file():
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line]
        why = "\n".join(told or lines[-40:])
        raise BookError(f"The book did not build:\n{why}")
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


def _execute(one: Chapter, tables: Path) -> None:
    """Execute one chapter and publish it."""
    start = time.monotonic()
    with _environment(tables):
        page = notebook.execute(one.script, one.parameters, chapters.ROOT, one.kept)
    notebook.tidy(page)
    notebook.lift_banner(page, one.name)
    page.metadata["mccgaa"] = {
        **page.metadata.get("mccgaa", {}),
        "code": notebook.code_hash(notebook.from_script(one.script)),
        "script": chapters.relative(one.script).as_posix(),
        "parameters": one.parameters,
        "settings": one.settings,
        "package": importlib.metadata.version("mccgaa"),
        "python": platform.python_version(),
        "device": _device(),
        "seconds": round(time.monotonic() - start),
    }
    notebook.scope_labels(page, one.prefix)
    notebook.publish(page, one.page)


@contextlib.contextmanager
def _environment(tables: Path) -> Iterator[None]:
    """Tell the kernel where tables go, and to hash alike in every run."""
    ours = {
        "MCCGAA_TABLES": str(tables),
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore:IProgress not found",
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


def _plain_environment() -> dict[str, str]:
    """An environment in which Sphinx writes no colours."""
    return {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}


def _device() -> str:
    """Name what the chapter computed on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {os.cpu_count()} cores"
