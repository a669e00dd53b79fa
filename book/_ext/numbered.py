"""A Sphinx extension: figures and tables are numbered by their page, and linkable.

Page `notebooks/04_gafa` has Fig. 4.1 and Table 4.1, `notebooks/real/07_zero_shot` has
R7.1, `notebooks/A2_the_twin` A2.1. A table that `mccgaa_book.page.table` wrote can be
referred to as `[](#table-NAME)`, its anchor on the page; on the second copy of a
chapter the anchor is `real-table-NAME`.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CARD = re.compile(
    r'<figure class="table-card[^"]*" id="(?P<id>[^"]+)">\s*'
    r'<figcaption id="[^"]+-caption">'
)
_TABLES = "mccgaa_tables"  # of the environment: page -> ids of its tables, in order


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx; needs `numfig: true`."""
    app.connect("doctree-read", _find_tables)
    app.connect("env-purge-doc", _forget)
    app.connect("env-merge-info", _merge)
    app.connect("env-check-consistency", _number)
    app.connect("doctree-resolved", _write_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}


def prefix(page: str) -> str:
    """Write what the numbers of a page's figures and tables begin with.

    Args:
        page: such as "notebooks/real/07_zero_shot", which gives "R7".
    """
    path = PurePosixPath(page)
    found = re.match(r"([A-Z]?)0*(\d+)_", path.name)
    if path.parts[0] != "notebooks" or not found:
        return ""
    second = "R" if path.parent.name == "real" and not found[1] else ""
    return f"{second}{found[1]}{found[2]}"


def label_of(page: str, anchor: str) -> str:
    """Name a table for references: its anchor, behind its folder on a second copy."""
    folder = PurePosixPath(page).parent.name
    return anchor if folder in ("notebooks", "") else f"{folder}-{anchor}"


def _tables(env: BuildEnvironment) -> dict[str, list[str]]:
    if not hasattr(env, _TABLES):
        setattr(env, _TABLES, {})
    return getattr(env, _TABLES)


def _find_tables(app: Sphinx, doctree: nodes.document) -> None:
    """Collect a page's tables, and make each a target of references."""
    page = app.env.docname
    found = []
    for raw in doctree.findall(nodes.raw):
        found += [m["id"] for m in CARD.finditer(raw.rawsource or raw.astext())]
    _tables(app.env)[page] = found
    labels = app.env.get_domain("std")
    for anchor in found:
        name = label_of(page, anchor)
        labels.anonlabels[name] = (page, anchor)
        labels.labels[name] = (page, anchor, "Table")


def _forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    _tables(env).pop(page, None)


def _merge(app: Sphinx, env: BuildEnvironment, pages: set[str], other: Any) -> None:
    _tables(env).update({p: t for p, t in _tables(other).items() if p in pages})


def _number(app: Sphinx, env: BuildEnvironment) -> None:
    """Give figures and tables their numbers, before any reference is resolved."""
    for page, kinds in env.toc_fignumbers.items():
        head = (prefix(page),) if prefix(page) else ()
        for numbers in kinds.values():
            for place, name in enumerate(sorted(numbers, key=numbers.get), start=1):
                numbers[name] = (*head, place)
    labels = env.get_domain("std").labels
    for page, anchors in _tables(env).items():
        for place, anchor in enumerate(anchors, start=1):
            name = label_of(page, anchor)
            labels[name] = (page, anchor, f"Table {_shown(page, place)}")


def _shown(page: str, place: int) -> str:
    return ".".join(filter(None, (prefix(page), str(place))))


def _write_numbers(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put each table's number, which links to it, before its caption."""

    def numbered(found: re.Match[str], page: str) -> str:
        anchor = found["id"]
        place = _tables(app.env)[page].index(anchor) + 1
        number = f"Table {_shown(page, place)}"
        link = f'<a class="table-number" href="#{anchor}">{number}</a> '
        return found[0] + link

    pages = {}  # of each raw node, where many pages were made one
    for part in doctree.findall(addnodes.start_of_file):  # an inner one comes later
        pages |= {id(raw): part["docname"] for raw in part.findall(nodes.raw)}
    for raw in doctree.findall(nodes.raw):
        if CARD.search(raw.astext()):
            own = partial(numbered, page=pages.get(id(raw), page))
            raw.children = [nodes.Text(CARD.sub(own, raw.astext()))]
