"""One chapter as a notebook: read from its script, executed, tidied, published.

What is written depends on the script, its parameters and its results only: cells carry
numbered ids, timings, progress bars and tool versions are dropped, and a rerun with
equal results changes no byte.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from mccgaa.errors import BookError
from mccgaa.files import write_whole
from mccgaa_book import BANNER, CLAIMS
from mccgaa_book.press.chapters import Chapter

# `name: type = value  # comment`: what is before the value, the name, what follows
_PARAMETER = re.compile(r"^((\w+): .*? = ).*?(  #.*)$", re.M)
INJECTED = "injected-parameters"  # papermill's tag for the cell it adds
FIRST, SECOND = "first-copy", "second-copy"  # tags of prose that one copy alone has
GLUED = "application/papermill.record/"  # how the kind of a glued output begins
# The profile that a script opens under is not the one that made a page, which its stamp
# names: in hashes the smallest profile takes the place of those with published pages.
_OPENS_UNDER = re.compile(r'"params/(?:synthetic|real)\.yaml"')
_IN_HASHES = '"params/smoke.yaml"'

# A label is made by (x)=, :label: x, :name: x or $$ (x), used by {eq}`x` or ](#x).
_LABEL = re.compile(
    r"^\((\S+)\)=\s*$|^\s*:(?:label|name):\s*(\S+)\s*$|\$\$\s*\((\S+)\)\s*$", re.M
)
_PLACE = re.compile(
    r"^\(\S+\)=\s*$|^\s*:(?:label|name):\s*\S+\s*$|\$\$\s*\(\S+\)\s*$"
    r"|\{(?:eq|ref|numref|math:numref)\}`[^`]*`|\]\(#?[\w:.-]+\)",
    re.M,
)


class CellFailure(Exception):
    """A cell that raised, or a kernel that died, with what it printed."""

    def __init__(self, cell: str, traceback: str) -> None:
        super().__init__(cell)
        self.cell = cell
        self.traceback = traceback


def from_script(script: Path) -> NotebookNode:
    """Read a percent script as a notebook whose cells have stable ids."""
    page = jupytext.read(script, fmt="py:percent")
    page.metadata = NotebookNode(
        kernelspec={
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        }
    )
    _number(page)
    return page


def code_hash(page: NotebookNode) -> str:
    """Hash the code cells: prose, blank lines and lines of comment do not count.

    Nor does the published profile that a script opens under.
    """
    digest = hashlib.sha256()
    for cell in page.cells:
        if cell.cell_type == "code" and INJECTED not in _tags(cell):
            source = cell.source
            if "parameters" in _tags(cell):
                source = _OPENS_UNDER.sub(_IN_HASHES, source)
            lines = [line.rstrip() for line in source.splitlines()]
            code = [x for x in lines if x and not x.lstrip().startswith("#")]
            digest.update("\n".join([*code, "\0"]).encode())
    return digest.hexdigest()[:16]


def refuse_unknown(
    page: NotebookNode, parameters: Mapping[str, Any], name: str
) -> None:
    """Stop when a notebook is given a parameter that it does not have.

    Papermill only warns, so a misspelt parameter would leave its default in force.

    Args:
        page: the notebook, with its `parameters` cell.
        parameters: what it would be given.
        name: of the chapter, for the error's sentence.

    Raises:
        BookError: there is such a parameter; the sentence lists those there are.
    """
    import papermill

    known = papermill.inspect_notebook(page)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise BookError(
            f"{name} has no parameter {', '.join(map(repr, unknown))}; it knows "
            f"{', '.join(known) or 'none: tag its first code cell `parameters`'}."
        )


def execute(
    script: Path, parameters: Mapping[str, Any], cwd: Path, kept: Path
) -> NotebookNode:
    """Execute a script's notebook with papermill.

    Args:
        script: percent script.
        parameters: injected behind its `parameters` cell.
        cwd: working directory of its kernel.
        kept: where the notebook is written cell by cell; what remains after a failure.

    Returns:
        the executed notebook; `kept` is removed.

    Raises:
        CellFailure: a cell raised, or the kernel died.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError, strip_color

    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        page = papermill.execute_notebook(
            from_script(script),
            kept,
            dict(parameters),
            kernel_name="python3",
            progress_bar=False,
            stderr_file=sys.stderr,  # progress bars and warnings, as they come
            # The kernel's own log: when it is stopped, which a signal begins, it may
            # report a Ctrl-C that nobody pressed. What a cell raises is in its output.
            extra_arguments=["--log-level=CRITICAL"],
            cwd=cwd,
        )
    except PapermillExecutionError as error:
        first = error.source.strip().splitlines()[0] if error.source else "its code"
        raise CellFailure(
            f"{error.ename} in the cell that begins with `{first}`",
            strip_color("\n".join(error.traceback)),
        ) from error
    except DeadKernelError as error:
        raise CellFailure(
            "its kernel died, most often for want of memory", str(error)
        ) from error
    kept.unlink(missing_ok=True)
    return page


def show_parameters(page: NotebookNode, parameters: Mapping[str, Any]) -> None:
    """Write the values that ran into the page's one cell of parameters.

    Papermill adds a second cell with them, and a reader would have to know which ran.

    Args:
        page: changed in place.
        parameters: what it was executed with.
    """

    def as_run(line: re.Match[str]) -> str:
        if line[2] not in parameters:
            return line[0]
        value = parameters[line[2]]
        written = json.dumps(value) if isinstance(value, str) else repr(value)
        return f"{line[1]}{written}{line[3]}"

    page.cells = [cell for cell in page.cells if INJECTED not in _tags(cell)]
    for cell in page.cells:
        if "parameters" in _tags(cell):
            cell.source = _PARAMETER.sub(as_run, cell.source)


def tidy(page: NotebookNode) -> None:
    """Drop what differs between reruns, and what was written to stderr."""
    page.metadata.pop("papermill", None)
    page.metadata.pop("language_info", None)
    for cell in page.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not _tags(cell):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    _number(page)


def banner(page: NotebookNode, name: str) -> dict[str, str]:
    """Find what `page.start` said of the page's ECGs: its kind, title and text.

    Raises:
        BookError: nothing, so a reader could not know what is real.
    """
    for cell in page.cells:
        for output in cell.get("outputs", []):
            if BANNER in output.get("metadata", {}):
                return dict(output.metadata[BANNER])
    raise BookError(
        f"{name} does not say whether its ECGs are synthetic or real: call "
        "`page.start(lab)` (or `page.start()` where it uses none) in its first cell."
    )


def scope(page: NotebookNode, chapter: Chapter) -> None:
    """Make the second copy of a chapter a page of its own.

    Its title says what ECGs it is on, its links to other chapters lead to their copies
    of the same profile, and its labels get a prefix, since the book may hold each label
    once. Prose tagged `second-copy` is for it alone; what is tagged `first-copy` it
    leaves to the first, with the rest of what explains (see `_shorten`).

    Args:
        page: executed, changed in place.
        chapter: what it is a copy of.
    """
    if not chapter.folder:
        page.cells = [cell for cell in page.cells if SECOND not in _tags(cell)]
        _number(page)
        return
    _shorten(page)
    kind = page.metadata["mccgaa"]["banner"]["kind"]
    siblings = re.compile(rf"/notebooks/({'|'.join(chapter.siblings)})\b")
    prose = "\n".join(c.source for c in page.cells if c.cell_type == "markdown")
    figures = [_figure(cell) for cell in page.cells if _figure(cell).get("name")]
    labels = {match for found in _LABEL.findall(prose) for match in found if match}
    labels |= {figure["name"] for figure in figures}
    names = "|".join(sorted(map(re.escape, labels), key=len, reverse=True)) or r"(?!)"
    use = re.compile(rf"(?<![\w:/.-])({names})(?![\w:/-]|\.\w)")
    for cell in page.cells:
        if cell.cell_type == "markdown" and SECOND not in _tags(cell):
            linked = siblings.sub(rf"/notebooks/{chapter.folder}/\1", cell.source)
            cell.source = _PLACE.sub(
                lambda m: use.sub(lambda n: f"{chapter.folder}-{n[1]}", m[0]), linked
            )
    for figure in figures:
        figure["name"] = f"{chapter.folder}-{figure['name']}"
    if kind == chapter.folder:
        title, *rest = page.cells[0].source.split("\n")
        page.cells[0].source = "\n".join([f"{title}, {kind} ECGs", *rest])


def _shorten(page: NotebookNode) -> None:
    """Leave to a chapter's first copy what both would say word for word.

    A chapter that has prose for its second copy shows there what differs: numbers,
    figures and tables, with their code folded; neither exercises nor code that shows
    nothing.

    Args:
        page: changed in place; a chapter without such prose stays as it is.
    """
    if not any(SECOND in _tags(cell) for cell in page.cells):
        return
    page.cells = [
        cell
        for cell in page.cells
        if cell.cell_type == "code" or FIRST not in _tags(cell)
    ]
    for cell in page.cells:
        if cell.cell_type != "code" or "parameters" in _tags(cell):
            continue
        if {FIRST, "hide-cell"} & set(_tags(cell)) or not _shows(cell):
            cell.metadata["tags"] = ["remove-cell"]  # it runs, and is not shown
        elif not _tags(cell):
            cell.metadata["tags"] = ["hide-input"]
    _number(page)


def _shows(cell: NotebookNode) -> bool:
    """Say whether a code cell has an output that a reader sees, and no glue alone."""
    return any(
        output.output_type == "stream"
        or any(not kind.startswith(GLUED) for kind in output.get("data", {}))
        for output in cell.outputs
    )


def publish(page: NotebookNode, path: Path) -> bool:
    """Write an executed notebook, unless only the time it took would change.

    Returns:
        whether the file changed.
    """
    if path.is_file():
        stamp = page.metadata.get("mccgaa", {})
        before = nbformat.read(path, as_version=4)
        earlier, ours = before.metadata.get("mccgaa", {}), dict(stamp)
        for key in ("seconds", "when"):
            stamp.pop(key, None)
            if key in earlier:
                stamp[key] = earlier[key]
        if nbformat.writes(page) == nbformat.writes(before):
            return False
        stamp.update(ours)
    write(page, path)
    return True


def with_prose(path: Path, chapter: Chapter) -> NotebookNode:
    """Read an executed notebook with the prose that its script has now.

    Args:
        path: executed notebook; given back as it is if its code is not the script's.
        chapter: what it is a copy of.
    """
    before = nbformat.read(path, as_version=4)
    fresh = from_script(chapter.script)
    if before.metadata.get("mccgaa", {}).get("code") != code_hash(fresh):
        return before
    old = iter([c for c in before.cells if c.cell_type == "code"])
    cells = []
    for cell in fresh.cells:
        if cell.cell_type == "code":
            ran = next(old)
            if INJECTED in _tags(ran):
                ran = next(old)
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
        cells.append(cell)
    fresh.cells, fresh.metadata = cells, before.metadata
    show_parameters(fresh, before.metadata["mccgaa"]["parameters"])
    fresh.nbformat_minor = before.nbformat_minor
    for cell in fresh.cells:
        if not _tags(cell):
            cell.metadata.pop("tags", None)
    _number(fresh)
    scope(fresh, chapter)
    return fresh


def first_error(page: NotebookNode) -> str | None:
    """Find an error among the outputs, which Jupyter Book would publish silently."""
    for cell in page.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"{output.ename}: {output.evalue}"
    return None


def claims(page: NotebookNode) -> list[dict[str, Any]]:
    """List the sentences of a page that were checked, as `claims.show` kept them."""
    return [
        one
        for cell in page.cells
        for output in cell.get("outputs", [])
        for one in output.get("metadata", {}).get(CLAIMS, [])
    ]


def broken_claims(page: NotebookNode) -> list[str]:
    """Find the sentences of a page that its numbers do not bear out.

    Returns:
        Each in quotes, with what was computed.
    """
    return [
        f"“{one['sentence']}” ({one['numbers'] or 'nothing was computed'})"
        for one in claims(page)
        if one["holds"] is not True
    ]


def write(page: NotebookNode, path: Path) -> None:
    """Write a notebook whole or not at all."""
    with write_whole(path) as file:
        nbformat.write(page, file)


def _number(page: NotebookNode) -> None:
    """Give cells ids by their order, instead of random ones."""
    for i, cell in enumerate(page.cells):
        cell.id = f"cell-{i:03d}"


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _figure(cell: NotebookNode) -> dict[str, Any]:
    return cell.metadata.get("mystnb", {}).get("figure", {})
