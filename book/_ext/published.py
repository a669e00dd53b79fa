"""A Sphinx extension: a reference to a chapter that may not be published yet.

``{chapter}`09_linear_probe` `` links to every page of the book that was made from
`notebooks/09_linear_probe.py`; where there is none, it names the script and says so. So
the lists of what the book has never promise a page, nor hide one.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

ABSENT = ", not published yet"


class ChapterRole(SphinxRole):
    """Link to the pages of one script."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Write the links, or that there are none."""
        self.env.note_reread()  # another contents, other pages
        found = pages_of(self.text, self.env.found_docs)
        if not found:
            script = f"notebooks/{self.text}.py"
            return [nodes.literal("", script), nodes.Text(ABSENT)], []
        links: list[nodes.Node] = []
        for page in found:
            seen = addnodes.pending_xref(
                "",
                nodes.inline("", page),
                refdomain="std",
                reftype="doc",
                reftarget=f"/{page}",
                refdoc=self.env.docname,
                refexplicit=False,
                refwarn=True,
            )
            links += [nodes.Text(", "), seen]
        return links[1:], []


def pages_of(script: str, pages: set[str]) -> list[str]:
    """List the pages made from a script, by its name without its ending."""
    return sorted(page for page in pages if PurePosixPath(page).name == script)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role."""
    app.add_role("chapter", ChapterRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
