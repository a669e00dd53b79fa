"""A Sphinx extension: codes of classes say on hover what they mean.

`AFIB` in a cell becomes an abbreviation of "atrial fibrillation", as the packaged
knowledge base names it, and so does each code of a cell that lists some. A code that
datasets use for different findings lists them all. In prose the first of each is
marked, where it is long enough to be no other abbreviation.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache
from itertools import chain, repeat
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from words import in_prose

from mccgaa.knowledge import Knowledge

CELL = re.compile(r"(<t[dh](?: [^>]*)?>)(.*?)(</t[dh]>)", re.DOTALL)
ROW = re.compile(r"<tr.*?</tr>|^(?!.*<tr).*", re.DOTALL)  # or cells without one
APART = "synonyms"  # a column of words that texts use, whatever datasets call so
WORD = re.compile(r"(?<![\w/-])[0-9]?[A-Z]{3,}(?![\w/-])")  # in a sentence
NAMES = {"statements": "PTB-XL", "cpsc2018": "CPSC2018", "csn": "CSN"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", _explain)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@cache
def meanings() -> Mapping[str, str]:
    """Say what each code of the knowledge base means: code -> name, or names."""
    knowledge = Knowledge.load()
    found: dict[str, dict[str, str]] = {}
    for vocabulary in ("super", "sub", *NAMES):
        for code, entry in knowledge.vocabularies[vocabulary].items():
            dataset = NAMES.get(vocabulary, "PTB-XL")
            found.setdefault(code, {}).setdefault(dataset, entry.name)
    return {code: _joined(names) for code, names in found.items()}


def explained(table: str, known: Mapping[str, str]) -> str:
    """Mark the codes in the cells of an HTML table as abbreviations.

    Args:
        table: HTML; cells that hold more than codes are left alone.
        known: code -> what it means.
    """

    heads = [head[2] for head in CELL.finditer(table) if head[1].startswith("<th")]

    def mark(cell: re.Match[str]) -> str:
        listed = cell[2].split(", ")
        if not all(html.unescape(code) in known for code in listed):
            return cell[0]
        marked = [
            f'<abbr title="{html.escape(known[html.unescape(code)])}">{code}</abbr>'
            for code in listed
        ]
        return cell[1] + ", ".join(marked) + cell[3]

    def row(found: re.Match[str]) -> str:
        columns = chain(heads, repeat(""))
        return CELL.sub(
            lambda cell: cell[0] if next(columns) == APART else mark(cell), found[0]
        )

    return ROW.sub(row, table)


def mark_prose(tree: nodes.Element, known: Mapping[str, str]) -> None:
    """Mark the first of each code in a page's prose as an abbreviation.

    Args:
        tree: of a page, changed in place.
        known: code -> what it means.
    """
    left = dict(known)
    for text in list(tree.findall(nodes.Text)):
        if not in_prose(text):
            continue
        parts, sentence, end = [], text.astext(), 0
        for code in WORD.finditer(sentence):
            if code[0] in left:
                said = nodes.abbreviation("", code[0], explanation=left.pop(code[0]))
                parts += [nodes.Text(sentence[end : code.start()]), said]
                end = code.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(sentence[end:])])


def _joined(names: Mapping[str, str]) -> str:
    if len(set(names.values())) == 1:
        return next(iter(names.values()))
    return "; ".join(f"{name} ({dataset})" for dataset, name in names.items())


def _explain(app: Sphinx, doctree: nodes.document, page: str) -> None:
    for raw in doctree.findall(nodes.raw):
        if 'class="table-card' in raw.astext():
            raw.children = [nodes.Text(explained(raw.astext(), meanings()))]
    mark_prose(doctree, meanings())
