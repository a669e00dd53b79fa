"""A Sphinx extension: a number or an option stays on its line, and prose is no shout.

The theme sets every glued value in bold. That suits a number or a name; a value of many
words is prose like what surrounds it. A number of a narrow page would break at its sign
("3.7e-" and "09"), before its deviation ("79.2" and "± 1.2") or before its unit ("95"
and "%"). A percent sign has the same space before it everywhere: Python's format, which
most numbers come from, writes none, and prose has one. An option would break behind its
hyphens ("--" and "set"); only code with a word that is too long for a phone may.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GLUED = "pasted-text"  # the class that MyST-NB gives a glued value
NAME = 6  # words that a name or a short remark has at most
LONG = 24  # characters of a word of code that a phone's line holds
SIGN = " \N{PLUS-MINUS SIGN} "
CODE = (nodes.literal, nodes.literal_block, nodes.raw, nodes.math, nodes.math_block)
UNBROKEN = SIGN.replace(" ", "\N{NO-BREAK SPACE}")
PERCENT = re.compile(r"(?<=\d) ?%(?!\w)")
BETWEEN_TAGS = re.compile(r">[^<>]+<")  # the text of a table's or a list's HTML
OURS = ('class="table-card', 'class="found')  # HTML that `mccgaa_book` writes


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


def keep_code(tree: nodes.Element) -> None:
    """Mark inline code as "whole" where none of its words is too long for a phone."""
    for code in tree.findall(nodes.literal):
        if max(map(len, code.astext().split()), default=0) <= LONG:
            code["classes"].append("whole")


def unbroken(tree: nodes.Element) -> None:
    """Keep a number on one line with its deviation or percent sign, except in code."""
    for text in list(tree.findall(nodes.Text)):
        if text.parent is None or isinstance(text.parent, CODE):
            continue  # without a parent: the other extensions' HTML
        if (whole := _whole(text)) != text:
            text.parent.replace(text, nodes.Text(whole))
    for raw in tree.findall(nodes.raw):
        html = raw.astext()
        if any(mark in html for mark in OURS):
            whole = BETWEEN_TAGS.sub(lambda found: _whole(found[0]), html)
            raw.children = [nodes.Text(whole)]


def _whole(text: str) -> str:
    return PERCENT.sub("\N{NO-BREAK SPACE}%", text.replace(SIGN, UNBROKEN))


def _set(app: Sphinx, doctree: nodes.document, page: str) -> None:
    unbroken(doctree)
    keep_code(doctree)
    for node in doctree.findall(nodes.inline):
        if GLUED in node["classes"] and kind(node.astext()):
            node["classes"].append(kind(node.astext()))
