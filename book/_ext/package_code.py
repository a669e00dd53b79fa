"""A Sphinx extension: show code of this checkout's packages on a page.

`{package-code} mccgaa/gafa.py` takes the options of `literalinclude`, most of all
`:pyobject:`, and its path from the root of the checkout, so that a page finds the code
wherever the book is built from.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.directives.code import LiteralInclude


class PackageCode(LiteralInclude):
    """`literalinclude` with a path from the root of the checkout."""

    def run(self) -> list[Node]:
        """Point the path at the checkout, and include it."""
        source = Path(self.env.srcdir)
        root = next(p for p in source.parents if (p / "pyproject.toml").is_file())
        # A path that begins with "/" is read from the book's own folder.
        self.arguments[0] = "/" + os.path.relpath(root / self.arguments[0], source)
        self.options.setdefault("language", "python")
        return super().run()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("package-code", PackageCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
