"""A Sphinx extension: figures and tables are numbered by their page, and linkable.

Page `notebooks/04_gafa` has Fig. 4.1 and Table 4.1, `notebooks/A2_the_twin` A2.1, and
`notebooks/real/07_zero_shot`, a second copy, R7.1. The number is in the page's title
too, also where the contents number none. A table that `mccgaa_book.page.table` wrote
can be referred to as `[](#table-NAME)`, its anchor on the page; the second copy of a
chapter means its own so, and other pages call that `real-table-NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
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
    app.connect("doctree-resolved", _number_titles)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}


def prefix(page: str, pages: Collection[str]) -> str:
    """Write the number of a page, with which those of its figures and tables begin.

    Args:
        page: such as "notebooks/real/07_zero_shot", which gives "R7" beside a page
            "notebooks/07_zero_shot", and "7" where there is none.
        pages: all of the book.
    """
    path = PurePosixPath(page)
    found = re.match(r"([A-Z]?)0*(\d+[a-z]?)_", path.name)
    if path.parts[0] != "notebooks" or not found:
        return ""
    first = f"notebooks/{path.name}"
    second = path.parent.name[0].upper() if page != first and first in pages else ""
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
    for link in doctree.findall(addnodes.pending_xref):
        if link["reftarget"] in found:  # a page's own, and not that of its first copy
            link["reftarget"] = label_of(page, link["reftarget"])
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
        number = prefix(page, env.found_docs)
        head = (number,) if number else ()
        for numbers in kinds.values():
            for place, name in enumerate(sorted(numbers, key=numbers.get), start=1):
                numbers[name] = (*head, place)
    labels = env.get_domain("std").labels
    for page, anchors in _tables(env).items():
        for place, anchor in enumerate(anchors, start=1):
            name = label_of(page, anchor)
            labels[name] = (page, anchor, f"Table {_shown(env, page, place)}")


def _shown(env: BuildEnvironment, page: str, place: int) -> str:
    return ".".join(filter(None, (prefix(page, env.found_docs), str(place))))


def _number_titles(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put a page's number into its title, where the contents have not."""
    parts = [(page, doctree)]
    parts += [(p["docname"], p) for p in doctree.findall(addnodes.start_of_file)]
    for name, part in parts:
        number = prefix(name, app.env.found_docs)
        title = next(part.findall(nodes.title), None)
        if number and title is not None and not app.env.toc_secnumbers.get(name):
            title.insert(0, nodes.inline("", f"{number}. ", classes=["section-number"]))


def _write_numbers(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put each table's number, which links to it, before its caption."""

    def numbered(found: re.Match[str], page: str) -> str:
        anchor = found["id"]
        place = _tables(app.env)[page].index(anchor) + 1
        number = f"Table {_shown(app.env, page, place)}"
        link = f'<a class="table-number" href="#{anchor}">{number}</a> '
        return found[0] + link

    pages = {}  # of each raw node, where many pages were made one
    for part in doctree.findall(addnodes.start_of_file):  # an inner one comes later
        pages |= {id(raw): part["docname"] for raw in part.findall(nodes.raw)}
    for raw in doctree.findall(nodes.raw):
        if CARD.search(raw.astext()):
            own = partial(numbered, page=pages.get(id(raw), page))
            raw.children = [nodes.Text(CARD.sub(own, raw.astext()))]
