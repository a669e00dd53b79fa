"""A Sphinx extension: what a page says of itself, to its reader and to other programs.

At its foot, how it was made, from the stamp in its notebook and those of the results
that it shows; at the end of its opening, the commands that make it again, and how long
they took. In its head, a description and a preview for those who link to it. And where
`_config.yml` names the repository, buttons that lead to it, to an editor of the page's
script, to a machine that runs it, and to the whole book as one page. Built pages lose
what they load in vain.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from docutils import nodes
from sphinx.application import Sphinx

PREVIEW = "preview.png"  # in book/_theme
LONGEST = 180  # characters of a description
EARLIER = " (runs of an earlier version; a run that a page loads is another)"
ICONS = (
    "fontawesome.js"  # 0.5 MB compressed; the theme's style sheet has the same icons
)
LAUNCH = {  # a machine that installs environment.yml first; others lack the packages
    "notebook_interface": "jupyterlab",
    "binderhub_url": "https://mybinder.org",
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", _name_repository)
    app.connect("doctree-read", _add_stamp)
    app.connect("doctree-read", _add_rerun)
    app.connect("html-page-context", _describe, priority=900)
    app.connect("builder-inited", _make_static, priority=100)
    app.connect("build-finished", _lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def stamp_lines(stamp: dict[str, Any], root: Path) -> list[str]:
    """Write what a stamp says: the page, how to rerun it, each file of results.

    Args:
        stamp: of an executed notebook, as `press.book` makes it.
        root: of the checkout, where the results are.
    """
    parts = [
        f"Made from {stamp['script']}",
        f"code {stamp['code'][:8]}",
        f"mccgaa {stamp['package']}, method {stamp['method']}",
        f"Python {stamp['python']}",
        stamp["device"],
        f"{stamp['seconds']} s",
        str(stamp.get("when", ""))[:10],
    ]
    lines = [" · ".join(part for part in parts if part)]
    for name in sorted(stamp.get("reads", {})):
        made = (root / name).with_suffix(".json")
        if name.endswith(".csv") and made.is_file():
            told = json.loads(made.read_text(encoding="utf-8"))
            earlier = str(told.get("note", "")).startswith("carried over")
            lines.append(
                f"Numbers of {name}: {told['command']}"
                + (EARLIER if earlier else "")
                + f" · {told['device']} · {str(told['when'])[:10]}"
            )
    return lines


def rerun(stamp: dict[str, Any]) -> tuple[str, str]:
    """Write the commands that make a page again, and what they take.

    Args:
        stamp: of an executed notebook, as `press.book` makes it.
    """
    given = [f"-p {name} {value}" for name, value in stamp["parameters"].items()]
    separator = " \\\n    " if len(given) > 1 else " "
    commands = [
        f"jupytext --to ipynb --output chapter.ipynb {stamp['script']}",
        separator.join(["papermill chapter.ipynb out.ipynb", *given]),
    ]
    profile = Path(stamp["parameters"]["params"]).stem
    chapter = Path(stamp["script"]).stem
    seconds = stamp["seconds"]
    minutes = round(seconds / 60)
    time = f"{seconds} seconds" if seconds < 90 else f"{minutes} minutes"
    said = (
        f"from the root of a checkout, after `make install`. It took {time} on "
        f"{stamp['device']}; data and pretraining runs that are not there yet are made "
        "first, and take longer. A downloaded notebook needs the package installed. "
        "Sentences get their numbers when the book is built, not in `out.ipynb`: "
        f"`mccgaa book execute --profile {profile} --only {chapter}`, then "
        f"`mccgaa book build --profile {profile}`."
    )
    return "\n".join(commands), said


def description(doctree: nodes.document) -> str:
    """Take a page's first paragraph of prose, cut at a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        inside = (nodes.Admonition, nodes.admonition, nodes.table, nodes.figure)
        parent = paragraph.parent
        while parent is not None and not isinstance(parent, inside):
            parent = parent.parent
        text = re.sub(r" \[\d+(, \d+)*\]", "", " ".join(paragraph.astext().split()))
        if parent is None and len(text) > 40 and not paragraph.parent.get("stamp"):
            text = re.sub(
                r"^(What the paper claims here|What is asked here)\. ", "", text
            )
            if len(text) <= LONGEST:
                return text
            return text[:LONGEST].rsplit(" ", 1)[0].rstrip(",;:") + " ..."
    return ""


def site_of(repository: str) -> str:
    """Guess where a repository's pages are published: GitHub's and GitLab's own way."""
    host, path = urlparse(repository).netloc, urlparse(repository).path.strip("/")
    owner, _, name = path.partition("/")
    pages = {"github.com": "github.io", "gitlab.com": "gitlab.io"}.get(host)
    return f"https://{owner}.{pages}/{name}/" if pages and name else ""


def _checkout(app: Sphinx) -> Path:
    source = Path(app.srcdir)
    return next(p for p in source.parents if (p / "pyproject.toml").is_file())


def _name_repository(app: Sphinx, config: Any) -> None:
    """Turn one setting, `repository.url`, into buttons and the book's own address."""
    options = config.html_theme_options
    if url := options.get("repository_url"):
        for button in ("repository", "issues", "edit_page"):
            options[f"use_{button}_button"] = True  # Jupyter Book sets False
        options["launch_buttons"] = LAUNCH
        config.html_baseurl = config.html_baseurl or site_of(url)


def _stamp(app: Sphinx, docname: str) -> dict[str, Any]:
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return {}
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    return metadata.get("mccgaa", {})


def _add_stamp(app: Sphinx, doctree: nodes.document) -> None:
    """Put the stamp at the end of an executed page."""
    stamp = _stamp(app, app.env.docname)
    if stamp:
        box = nodes.container(classes=["page-stamp"], stamp=True)
        for line in stamp_lines(stamp, _checkout(app)):
            box += nodes.paragraph("", line)
        doctree += box


def _add_rerun(app: Sphinx, doctree: nodes.document) -> None:
    """Put the commands of a rerun before the first heading under the title."""
    stamp = _stamp(app, app.env.docname)
    title = next(doctree.findall(nodes.section), None)
    if not stamp or title is None:
        return
    commands, said = rerun(stamp)
    box = nodes.container(classes=["rerun"])
    strong = nodes.strong("", "Run this page yourself,")
    parts = f" {said}".split("`")
    marked = [
        nodes.literal("", p) if i % 2 else nodes.Text(p) for i, p in enumerate(parts)
    ]
    box += nodes.paragraph("", "", strong, *marked)
    box += nodes.literal_block(commands, commands, language="bash")
    place = title.first_child_matching_class(nodes.section)
    title.insert(len(title) if place is None else place, box)


def _describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Write the page's head, and correct where its buttons lead."""
    if doctree is None:
        return
    if page == app.config.root_doc:
        context["docstitle"] = ""  # the page's title is the book's
    said = {
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:site_name": app.config.html_title,
        "og:title": re.sub("<[^>]+>", "", context.get("title", "")),
        "og:description": description(doctree),
    }
    tags = [f'<meta name="description" content="{_quoted(said["og:description"])}" />']
    if app.config.html_baseurl:
        said["og:url"] = context.get("pageurl") or app.config.html_baseurl
        said["og:image"] = f"{app.config.html_baseurl.rstrip('/')}/_static/{PREVIEW}"
        tags.append('<meta name="twitter:card" content="summary_large_image" />')
    tags += [f'<meta property="{k}" content="{_quoted(v)}" />' for k, v in said.items()]
    context["metatags"] = "\n".join([context.get("metatags", ""), *tags])
    buttons = context.get("header_buttons", [])
    if script := _stamp(app, page).get("script"):
        _edit(buttons, script)
    if app.config.html_baseurl:
        _offer_whole(buttons, app.config.html_baseurl.rstrip("/"))


def _edit(buttons: list[dict[str, Any]], script: str) -> None:
    """Lead "Suggest edit" to the script instead of its executed copy."""
    for button in buttons:
        _edit(button.get("buttons", []), script)
        if button.get("label") == "source-edit-button":
            button["url"] = re.sub(r"book/notebooks/.*", script, button["url"])


def _offer_whole(buttons: list[dict[str, Any]], site: str) -> None:
    """Let a reader of the published book take all of it as one page, to print it."""
    for button in buttons:
        if button.get("label") == "download-buttons":
            whole = {"type": "link", "text": "whole book", "icon": "fas fa-book"}
            whole |= {"label": "download-whole-book", "tooltip": "All pages as one"}
            button["buttons"].append(whole | {"url": f"{site}/single/index.html"})


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def lightened(page: str) -> str:
    """Take out of a page the script of icons, further viewports, a deprecated role."""
    page = page.replace('role="doc-biblioentry"', 'role="listitem"')  # deprecated
    page = re.sub(rf"<script[^>]*{ICONS}[^>]*></script>\n?", "", page)
    first, *others = re.split(r'<meta name="viewport"[^>]*>\n?', page)
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1" />'
    return f"{first}{viewport}\n{''.join(others)}" if others else page


def _make_static(app: Sphinx) -> None:
    """Make the folder into which the theme copies a logo, which it takes for a file
    where one page of all is built."""
    Path(app.outdir, "_static").mkdir(parents=True, exist_ok=True)


def _lighten(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            page = path.read_text(encoding="utf-8")
            path.write_text(lightened(page), encoding="utf-8")
        Path(app.outdir, "_static", "scripts", ICONS).unlink(missing_ok=True)
