"""A Sphinx extension: a number stays on its line, and a glued sentence is no shout.

The theme sets every glued value in bold. That suits a number or a name; a value of many
words is prose like what surrounds it. A number of a narrow page would break at its sign
("3.7e-" and "09") or before its deviation ("79.2" and "± 1.2").
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GLUED = "pasted-text"  # the class that MyST-NB gives a glued value
NAME = 6  # words that a name or a short remark has at most
SIGN = " \N{PLUS-MINUS SIGN} "
CODE = (nodes.literal, nodes.literal_block, nodes.raw, nodes.math, nodes.math_block)
UNBROKEN = SIGN.replace(" ", "\N{NO-BREAK SPACE}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", _set, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def kind(value: str) -> str:
    """Name the class of a glued value: "glued-number", "glued-prose", or none."""
    words = value.split()
    if len(words) == 1 and any(letter.isdigit() for letter in value):
        return "glued-number"
    return "glued-prose" if len(words) > NAME else ""


def unbroken(tree: nodes.Element) -> None:
    """Keep each number on one line with its deviation; code stays as it is."""
    for text in list(tree.findall(nodes.Text)):
        if SIGN not in text or text.parent is None:  # the other extensions' HTML
            continue
        if not isinstance(text.parent, CODE):
            text.parent.replace(text, nodes.Text(text.replace(SIGN, UNBROKEN)))


def _set(app: Sphinx, doctree: nodes.document, page: str) -> None:
    unbroken(doctree)
    for node in doctree.findall(nodes.inline):
        if GLUED in node["classes"] and kind(node.astext()):
            node["classes"].append(kind(node.astext()))
