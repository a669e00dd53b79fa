"""A Sphinx extension: equations carry the paper's numbers, not the book's own count.

A label that ends in numbers names the paper's equations: `eq-gafa-17-18` is shown as
(17, 18) and `eq-gafa-22-24` as (22 to 24). Equations of the book itself, whose labels
end in a word, are lettered on their page: (a), (b).
"""

from __future__ import annotations

import re
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_TAIL = re.compile(r"(?:-\d+)+$")


def shown_number(label: str, letter: str) -> str:
    """Write what stands beside an equation.

    Args:
        label: such as "eq-gafa-17-18".
        letter: for an equation that the paper does not have.
    """
    tail = _TAIL.search(label)
    if tail is None:
        return letter
    numbers = [int(part) for part in tail[0].split("-") if part]
    if len(numbers) == 2 and numbers[1] > numbers[0] + 1:
        return f"{numbers[0]} to {numbers[1]}"
    return ", ".join(map(str, numbers))


def numbers_of(labels: dict[str, tuple[str, Any]]) -> dict[str, str]:
    """Number the equations of all pages: label -> what is shown.

    Args:
        labels: label -> (page, anything), in the order of the pages' text.
    """
    lettered: dict[str, int] = {}
    shown = {}
    for label, (page, _) in labels.items():
        place = lettered.get(page, 0)
        if _TAIL.search(label) is None:
            lettered[page] = place + 1
        shown[label] = shown_number(label, ascii_lowercase[place % 26])
    return shown


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; needs `math_numfig: false`."""
    app.connect("env-updated", _renumber_targets)
    app.connect("doctree-resolved", _renumber_nodes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _renumber_targets(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Give references the shown numbers, before any is resolved."""
    objects = env.domaindata["math"]["objects"]
    for label, number in numbers_of(objects).items():
        objects[label] = (objects[label][0], number)
    return []


def _renumber_nodes(app: Sphinx, doctree: Any, _: str) -> None:
    """Give equations the numbers that their references have."""
    from docutils import nodes

    objects = app.env.domaindata["math"]["objects"]
    for node in doctree.findall(nodes.math_block):
        if node.get("label") in objects:
            node["number"] = objects[node["label"]][1]
