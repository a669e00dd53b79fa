"""A Sphinx extension: a word of the book's own is explained where a page first has it.

The glossary's section "This book" lists words that the book gives a meaning of its own,
such as *twin* or *floor*. Where a page's prose first has one, it becomes a link to its
entry, which says on hover what it means.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

GLOSSARY = "glossary"
SECTION = "this-book"  # id of the section whose words are explained everywhere
LONGEST = 220  # characters of an explanation
APART = (  # no place for a link
    nodes.reference,
    nodes.literal,
    nodes.math,
    nodes.title,
    nodes.term,
    nodes.citation,
    nodes.raw,
)
PROSE = (nodes.paragraph,)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", _explain, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def entries(glossary: nodes.document) -> dict[str, tuple[str, str]]:
    """Read the words that are explained everywhere.

    Args:
        glossary: its page.

    Returns:
        Word -> id of its entry, and its explanation.
    """
    found = {}
    for section in glossary.findall(nodes.section):
        if SECTION not in section["ids"]:
            continue
        for item in section.findall(nodes.definition_list_item):
            meaning = _without_citations(item[-1])
            if len(meaning) > LONGEST:
                meaning = meaning[:LONGEST].rsplit(" ", 1)[0].rstrip(",;:") + " ..."
            for term in item.findall(nodes.term):
                for word in term.astext().split(", "):
                    found[word] = term["ids"][0], meaning
    return found


def link(tree: nodes.Element, words: dict[str, tuple[str, str]], glossary: str) -> None:
    """Make each word's first occurrence in prose a link to its entry.

    Args:
        tree: of a page, changed in place.
        words: of `entries`; a plural counts as its word.
        glossary: address of the glossary's page, seen from this one.
    """
    left = dict(words)
    for text in list(tree.findall(nodes.Text)):
        if not in_prose(text):
            continue
        parts, rest = [], text.astext()
        while left and (match := _any(left).search(rest)):
            word = match[1]
            anchor, meaning = left.pop(word)
            seen = nodes.reference(
                "",
                match[0],
                internal=True,
                refuri=f"{glossary}#{anchor}",
                reftitle=meaning,
                classes=["word"],
            )
            parts += [nodes.Text(rest[: match.start()]), seen]
            rest = rest[match.end() :]
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(rest)])


def _without_citations(definition: nodes.Element) -> str:
    plain = definition.deepcopy()
    for cited in list(plain.findall(addnodes.pending_xref)):
        if cited.get("refdomain") == "cite":
            cited.parent.remove(cited)
    text = " ".join(plain.astext().split())
    return re.sub(r" ([.,;])", r"\1", text)


def _any(words: dict[str, tuple[str, str]]) -> re.Pattern[str]:
    """Match any of some words, longer ones first, alone or in the plural.

    No part of a file's name or path is a word: params/twin.yaml.
    """
    names = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.compile(rf"(?<![\w/-])({names})(?:e?s)?(?![\w/-]|\.\w)")


def in_prose(node: nodes.Node) -> bool:
    """Say whether a node is part of a sentence, and no link, code or title."""
    inside = False
    while (node := node.parent) is not None:
        if isinstance(node, APART) or node.get("stamp"):
            return False
        inside = inside or isinstance(node, PROSE)
    return inside


def _explain(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if page == GLOSSARY or GLOSSARY not in app.env.found_docs:
        return
    words = entries(app.env.get_doctree(GLOSSARY))
    link(doctree, words, app.builder.get_relative_uri(page, GLOSSARY))
