"""A Sphinx extension: shown code leaves out the lines that only serve the page.

`page.glue(...)` hands a number to a sentence. In a cell whose code is shown such lines
are left out, also among others in a loop; a cell of nothing else shows no code. The
notebook that the page was made from, and that it offers for download, has them all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

FOLDED = {"tag_hide-input", "tag_hide-cell"}  # for whoever wants all of it


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", _quieten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def quiet(code: str) -> str:
    """Leave out statements that only hand numbers to the page's sentences.

    Args:
        code: of a cell; what is no plain Python is given back as it is.
    """
    try:
        body = ast.parse(code).body
    except SyntaxError:  # a magic of IPython
        return code
    left_out, lines = list(_serving(body)), code.splitlines()
    for node in reversed(left_out):  # from below, so that numbers of lines stay true
        del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip("\n") if left_out else code


def _serving(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that only hand numbers on, also among others in a loop."""
    for node in body:
        if _serves_the_page(node):
            yield node
        elif isinstance(node, ast.For | ast.If | ast.With):
            own = list(_serving(node.body))
            yield from own if own != node.body else ()  # it needs a statement


def _serves_the_page(node: ast.stmt) -> bool:
    if isinstance(node, ast.For):
        return all(map(_serves_the_page, node.body))
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) == "page.glue"


def _quieten(app: Sphinx, doctree: nodes.document) -> None:
    for cell in list(doctree.findall(nodes.container)):
        if cell.get("nb_element") != "cell_code" or FOLDED & set(cell["classes"]):
            continue
        for source in list(cell.findall(nodes.container)):
            if source.get("nb_element") != "cell_code_source":
                continue
            for block in list(source.findall(nodes.literal_block)):
                code = quiet(block.astext())
                if not code:
                    source.parent.remove(source)
                elif code != block.astext():
                    new = nodes.literal_block(code, code, **block.attributes)
                    block.replace_self(new)
