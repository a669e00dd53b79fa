"""A Sphinx extension: pages on which the reader tries something in the browser.

The page `explorer` gets its scripts, its ECGs and the model. They are written into the
built book after its pages, from `book/_explorer` and the model that comes with the
package, by whichever command builds the book. `{widget} gate` puts a small figure with
a slider on any page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGE = "explorer"
# Nothing that the page does may reach another host.
POLICY = "connect-src 'self' blob:"
WIDGETS = {
    "gate": "The gate of equation 13",
    "threshold": "The threshold of equation 18",
    "temperature": "The temperature of equation 26",
}


class Widget(SphinxDirective):
    """A figure of `widgets.js`, by its name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Leave a place that the script fills."""
        name = self.arguments[0]
        if name not in WIDGETS:
            known = ", ".join(WIDGETS)
            raise self.error(f"There is no widget {name!r}; there are {known}.")
        html = (
            f'<div class="widget" data-widget="{name}" role="group" '
            f'aria-label="{WIDGETS[name]}">{WIDGETS[name]}: shown where scripts run, '
            "from a web server.</div>"
        )
        return [nodes.raw("", html, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("widget", Widget)
    app.connect("html-page-context", _dress)
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _dress(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give a page the styles and scripts of what is on it."""
    if page == PAGE:
        app.add_css_file("explorer/explorer.css")
        app.add_js_file("explorer/explorer.js", type="module")
        tag = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}" />'
        context["metatags"] = f"{context.get('metatags', '')}\n{tag}"
    found = doctree.findall(nodes.raw) if doctree else ()
    if any("data-widget=" in node.astext() for node in found):
        app.add_css_file("explorer/widgets.css")
        app.add_js_file("explorer/widgets.js", type="module")


def _write(app: Sphinx, exception: Exception | None) -> None:
    """Write what the page loads, where the build has made pages."""
    if exception is None and app.builder.format == "html" and PAGE in app.env.all_docs:
        from mccgaa_book.explorer import write_explorer

        write_explorer(Path(app.outdir) / "_static" / PAGE, Path(app.srcdir))
