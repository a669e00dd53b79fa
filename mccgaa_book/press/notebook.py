"""One chapter as a notebook: read from its script, executed, tidied, published.

What is written depends on the script, its parameters and its results only: cells carry
numbered ids, timings, progress bars and tool versions are dropped, and a rerun with
equal results changes no byte.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from mccgaa.errors import BookError
from mccgaa_book import BANNER

INJECTED = "injected-parameters"  # papermill's tag for the cell it adds

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
    """Hash what the code cells compute: comments, layout and prose do not count."""
    digest = hashlib.sha256()
    for cell in page.cells:
        if cell.cell_type == "code" and INJECTED not in _tags(cell):
            digest.update(_meaning(cell.source).encode())
            digest.update(b"\0")
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
            extra_arguments=["--log-level=ERROR"],  # the kernel's own log
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


def lift_banner(page: NotebookNode, name: str) -> None:
    """Move the banner of `page.start` from its cell's output to under the title.

    Raises:
        BookError: the chapter showed none, so a reader could not tell what is real.
    """
    for cell in page.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            banner = output.get("metadata", {}).get(BANNER)
            if banner:
                cell.outputs.remove(output)
                page.metadata.setdefault("mccgaa", {})["banner"] = dict(banner)
                _set_banner(page, banner)
                return
    raise BookError(
        f"{name} does not say whether its ECGs are synthetic or real: call "
        "`page.start(lab)` (or `page.start()` where it uses none) in its first cell."
    )


def scope_labels(page: NotebookNode, prefix: str) -> None:
    """Prefix a page's labels, so that the book may show one chapter twice.

    Args:
        page: changed in place: targets, equations, figures, and references to them.
        prefix: such as "ptbxl-"; "" leaves all as it is.
    """
    if not prefix:
        return
    prose = "\n".join(c.source for c in page.cells if c.cell_type == "markdown")
    figures = [_figure(c).get("name") for c in page.cells]
    labels = {match for found in _LABEL.findall(prose) for match in found if match}
    labels |= {name for name in figures if name}
    if not labels:
        return
    names = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    use = re.compile(rf"(?<![\w:/.-])({names})(?![\w:/-]|\.\w)")
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = _PLACE.sub(
                lambda m: use.sub(lambda n: prefix + n[1], m[0]), cell.source
            )
        elif _figure(cell).get("name"):
            _figure(cell)["name"] = prefix + _figure(cell)["name"]


def publish(page: NotebookNode, path: Path) -> bool:
    """Write an executed notebook, unless only the time it took would change.

    Returns:
        whether the file changed.
    """
    if path.is_file():
        stamp = page.metadata.get("mccgaa", {})
        before = nbformat.read(path, as_version=4)
        seconds = before.metadata.get("mccgaa", {}).get("seconds")
        ours = stamp.get("seconds")
        stamp["seconds"] = seconds
        if nbformat.writes(page) == nbformat.writes(before):
            return False
        stamp["seconds"] = ours
    _write(page, path)
    return True


def carry_prose(path: Path, script: Path, prefix: str = "") -> bool:
    """Bring prose edited in a script to its executed copy, whose outputs stay.

    Args:
        path: executed notebook; left alone if its code is not the script's.
        script: its source.
        prefix: of its labels, as `scope_labels` has it.

    Returns:
        whether the file changed.
    """
    before = nbformat.read(path, as_version=4)
    fresh = from_script(script)
    stamp = before.metadata.get("mccgaa", {})
    if stamp.get("code") != code_hash(fresh):
        return False
    old = iter([c for c in before.cells if c.cell_type == "code"])
    cells = []
    for cell in fresh.cells:
        if cell.cell_type == "code":
            ran = next(old)
            if INJECTED in _tags(ran):
                cells.append(ran)
                ran = next(old)
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
        cells.append(cell)
    fresh.cells, fresh.metadata = cells, before.metadata
    fresh.nbformat_minor = before.nbformat_minor
    for cell in fresh.cells:
        if not _tags(cell):
            cell.metadata.pop("tags", None)
    _number(fresh)
    if "banner" in stamp:
        _set_banner(fresh, stamp["banner"])
    scope_labels(fresh, prefix)
    if nbformat.writes(fresh) == nbformat.writes(before):
        return False
    _write(fresh, path)
    return True


def first_error(page: NotebookNode) -> str | None:
    """Find an error among the outputs, which Jupyter Book would publish silently."""
    for cell in page.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"{output.ename}: {output.evalue}"
    return None


def _set_banner(page: NotebookNode, banner: Mapping[str, str]) -> None:
    """Put the banner under the title of a notebook that has none yet."""
    box = (
        f":::{{admonition}} {banner['title']}\n:class: tier tier-{banner['kind']}\n\n"
        f"{banner['text']}\n:::"
    )
    head = page.cells[0]
    title, _, rest = head.source.partition("\n")
    if head.cell_type != "markdown" or not title.startswith("# "):
        raise BookError(
            "A chapter's first cell must be markdown that opens with `# Title`; found "
            f"{title!r}."
        )
    head.source = f"{title}\n\n{box}\n{rest}"


def _write(page: NotebookNode, path: Path) -> None:
    """Write a notebook whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    nbformat.write(page, partial)
    partial.replace(path)


def _number(page: NotebookNode) -> None:
    """Give cells ids that tell their order, instead of random ones."""
    for i, cell in enumerate(page.cells):
        cell.id = f"cell-{i:03d}"


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _figure(cell: NotebookNode) -> dict[str, Any]:
    return cell.metadata.get("mystnb", {}).get("figure", {})


def _meaning(source: str) -> str:
    """Write code without layout and comments, alike on every Python version."""
    try:
        return _dump(ast.parse(source))
    except SyntaxError:  # a magic; its text is all there is
        return source.strip()


def _dump(node: Any) -> str:
    """Write a syntax tree; fields that newer Pythons add are empty, so left out."""
    if isinstance(node, ast.JoinedStr):  # 3.12 ends some with an empty constant
        parts = [part for part in node.values if getattr(part, "value", 0) != ""]
        return f"JoinedStr({_dump(parts)})"
    if isinstance(node, ast.AST):
        full = ((k, v) for k, v in ast.iter_fields(node) if v is not None and v != [])
        return f"{type(node).__name__}({','.join(f'{k}={_dump(v)}' for k, v in full)})"
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    return repr(node)
