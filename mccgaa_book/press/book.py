"""The executable book: percent script -> notebook -> papermill -> stamp -> page.

A chapter is a script in `notebooks/`. `execute` runs it under a profile and keeps the
executed copy, stamped with everything that it was made from; `check` says in a second
what is missing, stale or failed; `build` makes the static book. Only `publish=True`
changes a tracked file.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from mccgaa.config import METHOD
from mccgaa.errors import BookError
from mccgaa.profile import Profile
from mccgaa_book import results
from mccgaa_book.checkout import checkout
from mccgaa_book.press import chapters, notebook
from mccgaa_book.press.chapters import Chapter

_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


def execute(
    profile: Path | str,
    only: Sequence[str] | str | None = None,
    *,
    publish: bool = False,
    force: bool = False,
    parameters: dict[str, Any] | None = None,
    echo: Any = print,
) -> list[Path]:
    """Execute a profile's chapters and keep their stamped copies.

    A chapter that fails does not replace the copy that it had; the others still run.

    Args:
        profile: path of a parameter file, or its bare name.
        only: names of chapters to execute, fresh or not; by default the profile's
            stale ones.
        publish: keep the copies where the book shows them, instead of in
            `reruns/<profile>/notebooks`; those that are fresh get the prose of their
            scripts.
        force: execute fresh chapters too.
        parameters: laid over those of the profile, for every chapter executed.
        echo: takes each line of progress.

    Returns:
        the executed notebooks.

    Raises:
        BookError: an unknown chapter or parameter, chapters that failed, or a page to
            publish that shows results which are not published.
    """
    listed = chapters.chapters(profile, publish=publish)
    work = chapters.select(listed, only, profile)
    for one in work:
        one.parameters.update(parameters or {})
        source = notebook.from_script(one.script)
        notebook.refuse_unknown(source, one.parameters, one.name)
    if not (force or only):
        work = [one for one in work if problem(one) is not None]
    done, failed = [], []
    for i, one in enumerate(work, start=1):
        echo(f"[{i}/{len(work)}] {one.name} under {one.profile.stem}: running ...")
        start = time.monotonic()
        try:
            _execute(one, publish)
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
            "tracebacks are above; the copies made before are unchanged."
        )
    if not work:
        echo(f"Every chapter of {Path(profile).stem} is fresh.")
    for one in listed if publish else ():
        if one.page.is_file():
            notebook.write(notebook.with_prose(one.page, one), one.page)
    return done


def problem(one: Chapter) -> str | None:
    """Say in a sentence what is wrong with one page, without executing it."""
    redo = f"run `mccgaa book execute --profile {one.profile.stem} --only {one.name}"
    redo += "`" if one.page.is_relative_to(checkout() / "reruns") else " --publish`"
    why = _fault(one)
    return why and f"{chapters.relative(one.page)} {why}: {redo}."


def published() -> list[Chapter]:
    """List the chapters that the book shows, over all profiles."""
    return [
        one
        for path in chapters.publishing()
        for one in chapters.chapters(path, publish=True)
    ]


def check() -> list[str]:
    """Say in sentences which pages and results are not those of today's checkout.

    Returns:
        One sentence per page that is missing, stale, failed or of older prose, and
        per file of results that was made with other settings or another METHOD;
        nothing where all is well.
    """
    said = [said for one in published() if (said := problem(one))]
    for one in published():
        if not problem(one) and _older_prose(one):
            said.append(
                f"{chapters.relative(one.page)} has older prose than its script: run "
                f"`mccgaa book execute --profile {one.profile.stem} --publish`."
            )
    for path in sorted((checkout() / "results").glob("*/*.csv")):
        if why := _outdated(path):
            said.append(
                f"{chapters.relative(path)} {why}: run `mccgaa run {path.stem} "
                f"--profile {path.parent.name} --publish`."
            )
    return said


def counted() -> str:
    """Say how many pages are published, and how many claims they make."""
    pages = [nbformat.read(one.page, as_version=4) for one in published()]
    claims = sum(len(notebook.claims(page)) for page in pages)
    return f"{len(pages)} pages, {claims} claims"


def build(
    profile: Path | str | None = None, *, single: bool = False, echo: Any = print
) -> Path:
    """Build the static book in `_build`, with warnings as errors.

    Args:
        profile: show this profile's rerun pages (`reruns/<profile>/notebooks`) in the
            place of the published ones, where there are any.
        single: make one page of it all, to print or to read as one file.
        echo: takes the note that no chapter was executed under this profile yet.

    Returns:
        the book's first page.

    Raises:
        BookError: a page that cannot be trusted, the wrong Jupyter Book, a warning, or
            a checkout that cannot be written.
    """
    refuse_other_jupyter_book()
    root = checkout()
    shown = {one.page.relative_to(root / "book"): one for one in published()}
    for one in chapters.chapters(profile) if profile else ():
        place = Path("notebooks", one.folder, f"{one.name}.ipynb")
        if place in shown and one.page.is_file():
            shown[place] = one
    if profile and not any(
        one.page.is_relative_to(root / "reruns") for one in shown.values()
    ):
        name = Path(profile).stem
        echo(
            f"no chapter was executed under {name!r} yet: the book has the published "
            f"pages alone; run `mccgaa book execute --profile {name}` first."
        )
    bad = [said for one in shown.values() if (said := problem(one))]
    if bad:
        raise BookError("\n".join(bad))
    source = root / "_build" / "source"
    skip = shutil.ignore_patterns("_build", ".ipynb_checkpoints", "_toc.yml")
    try:
        if source.exists():
            shutil.rmtree(source)
        shutil.copytree(root / "book", source, ignore=skip)
    except OSError as error:
        place, why = error.filename or source, error.strerror or error
        raise BookError(
            f"{place} cannot be written ({why}): "
            "make _build writable, or build the book in a copy of this checkout."
        ) from error
    for place, one in shown.items():
        notebook.write(notebook.with_prose(one.page, one), source / place)
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", str(source)]
    command += ["--config", str(root / "_config.yml"), "--toc", str(root / "_toc.yml")]
    command += ["--path-output", str(root), "-W", "-n", "--keep-going"]
    builder = "singlehtml" if single else "html"
    command += ["--builder", builder]
    done = subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
    )
    index = root / "_build" / builder / "index.html"
    if done.returncode or not index.is_file():
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        named = [line for line in lines if "WARNING" in line or "ERROR" in line]
        why = "\n".join(named or lines[-40:])
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


def _fault(one: Chapter) -> str | None:
    """Find what is wrong with a page: the end of a sentence that begins with it."""
    if not one.page.is_file():
        return "is missing"
    try:
        nb = nbformat.read(one.page, as_version=4)
    except (ValueError, nbformat.ValidationError, KeyError):
        return "is not a readable notebook"
    error = notebook.first_error(nb)
    if error:
        return f"shows an error ({error})"
    published = one.page.is_relative_to(checkout() / "book")
    if published and (broken := notebook.broken_claims(nb)):
        return (
            f"makes a claim that does not hold, {broken[0]}; correct the sentence in "
            f"notebooks/{one.name}.py, then execute it"
        )
    stamp = nb.metadata.get("mccgaa")
    if not stamp:
        return "carries no stamp, so nothing says what made it"
    if stamp["code"] != notebook.code_hash(notebook.from_script(one.script)):
        return f"is stale: notebooks/{one.name}.py has other code now"
    if stamp["parameters"] != one.parameters:
        return "is stale: its parameters changed"
    if stamp.get("method") != METHOD:
        return f"is stale: METHOD was {stamp.get('method')} and is {METHOD} now"
    if stamp["package"] != importlib.metadata.version("mccgaa"):
        return f"is stale: it was made with version {stamp['package']} of the package"
    for name, value in stamp.get("reads", {}).items():
        if value != _reading(checkout() / name):
            return f"is stale: {name} is another one now"
    return None


def _older_prose(one: Chapter) -> bool:
    """Whether a fresh page lacks what its script says now."""
    nb = notebook.with_prose(one.page, one)
    return nbformat.writes(nb) != nbformat.writes(nbformat.read(one.page, as_version=4))


def _outdated(path: Path) -> str | None:
    """Say why published results are not those of their profiles today."""
    try:
        stamp = results.stamp_of(path)
        names = [stamp["profile"], *stamp.get("others", {})]
    except (OSError, ValueError, KeyError):
        return "has no readable stamp"
    profiles = {name: Profile.load(chapters.find(name)) for name in names}
    hashes = {name: profile.hash for name, profile in profiles.items()}
    plan = {}
    if "plan" in stamp:  # of the baselines, whose settings lie beside their networks
        from mccgaa_book.baselines.plan import plan_hashes

        plan = plan_hashes(profiles[stamp["profile"]])
    return results.outdated(path, hashes, plan)


def _reading(path: Path) -> str | None:
    """Hash a file that a page was made from: a profile, results with stamp, a model."""
    if not path.is_file():
        return None
    if path.suffix == ".yaml":
        return chapters.settings(path)
    content = path.read_bytes()
    if path.suffix == ".csv":
        content += path.with_suffix(".json").read_bytes()
    return hashlib.sha256(content).hexdigest()[:10]


def _execute(one: Chapter, publish: bool) -> None:
    """Execute one chapter, stamp it and keep it."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "reads"
        with _environment(log):
            nb = notebook.execute(one.script, one.parameters, checkout(), one.kept)
        lines = log.read_text(encoding="utf-8").split("\n") if log.exists() else []
    notebook.show_parameters(nb, one.parameters)
    notebook.tidy(nb)
    reads = {chapters.relative(Path(line)) for line in lines if line}
    own = [path for path in reads if path.parts[:1] == ("reruns",)]
    if publish and own:
        raise BookError(
            f"{one.name} shows {own[0]}, which is not published; run `mccgaa run "
            f"{own[0].stem} --profile {own[0].parts[1]} --publish` first."
        )
    if publish and (broken := notebook.broken_claims(nb)):
        notebook.write(nb, one.kept)
        raise notebook.CellFailure(
            "it claims what does not hold",
            "\n".join(["These claims do not hold:", *broken]),
        )
    nb.metadata["mccgaa"] = {
        "banner": notebook.banner(nb, one.name),
        "code": notebook.code_hash(notebook.from_script(one.script)),
        "script": chapters.relative(one.script).as_posix(),
        "parameters": one.parameters,
        "reads": {p.as_posix(): _reading(checkout() / p) for p in sorted(reads)},
        "method": METHOD,
        "package": importlib.metadata.version("mccgaa"),
        "python": platform.python_version(),
        "device": _device(),
        "seconds": round(time.monotonic() - start),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    notebook.scope(nb, one)
    notebook.publish(nb, one.page)


@contextlib.contextmanager
def _environment(log: Path) -> Iterator[None]:
    """Have the kernel log what it reads, and hash alike in every run."""
    ours = {
        "MCCGAA_READS": str(log),
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


def _device() -> str:
    """Name what the chapter computed on."""
    from mccgaa.runtime import facts, pick_device

    made_on = facts(pick_device())
    return f"{made_on['device']}, {os.cpu_count()} cores"
