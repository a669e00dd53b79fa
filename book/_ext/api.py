"""A Sphinx extension: the reference of a package, read from its docstrings.

`{api} mccgaa` lists the package's public modules, classes and functions. The code is
parsed and not imported, so the page needs no torch, and a docstring that is no valid
reStructuredText breaks no build.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SECTION = re.compile(
    r"^(Args|Attributes|Returns|Yields|Warns|Raises|Example|Shape):\s*$"
)
ITEM = re.compile(r"^(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*)(?: \(([^)]*)\))?:\s+(.*)$")
POINT = re.compile(r"^(?:-|(\d+)\.) (?=\S)")  # opens an item of a list
MARK = re.compile(
    r"``(.+?)``|`([^`]+)`|\*\*([^*]+)\*\*|\$([^$]+)\$"
    r"|(?<![\w*])\*(\w[^*\n]*)\*(?![\w*])",
    re.S,
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("api", Reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Reference(SphinxDirective):
    """Sections for all public modules of a package."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the modules of the package named, which lies in this checkout."""
        source = Path(self.env.srcdir)
        root = next(p for p in source.parents if (p / "pyproject.toml").is_file())
        package = root / self.arguments[0].replace(".", "/")
        found = []
        for path in modules(package):
            self.env.note_dependency(os.path.relpath(path, source))
            found += self.module(path, root)
        return found

    def module(self, path: Path, root: Path) -> list[nodes.Node]:
        """Make the section of one module; nothing for one without a public name."""
        tree = ast.parse(path.read_text(encoding="utf-8"))
        members = list(public(tree))
        if not members:
            return []
        dotted = ".".join(path.relative_to(root).with_suffix("").parts)
        dotted = dotted.removesuffix(".__init__")
        section = nodes.section(ids=[dotted], names=[dotted])
        section += nodes.title("", "", nodes.literal("", dotted))
        section += prose(ast.get_docstring(tree) or "")
        for member in members:
            section += self.member(member, dotted)
        self.env.get_domain("py").note_object(dotted, "module", dotted)
        return [section]

    def member(self, node: ast.AST, parent: str) -> nodes.Node:
        """Make the entry of a class, function or property, of a class with its own."""
        name = f"{parent}.{node.name}"
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        kind = "attribute" if is_attribute(node) else kind
        self.env.get_domain("py").note_object(name, kind, name)
        entry = nodes.container(ids=[name], classes=["api", f"api-{kind}"])
        code = nodes.literal_block(signature(node), signature(node), language="python")
        entry += code
        entry += prose(ast.get_docstring(node) or "")
        if isinstance(node, ast.ClassDef):
            fields = attributes(node)
            if fields:
                entry += definitions("Fields", fields)
            for method in public(node):
                entry += self.member(method, name)
        return entry


def modules(package: Path) -> list[Path]:
    """List the public modules of a package, its own file first."""
    found = sorted(package.rglob("*.py"))
    return [p for p in found if not any(part[:1] == "_" for part in _parts(p, package))]


def _parts(path: Path, package: Path) -> list[str]:
    parts = [*path.relative_to(package).with_suffix("").parts]
    return [part for part in parts if part != "__init__"]


def public(node: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """Give the public classes and functions of a module or class, in their order."""
    for one in node.body:
        if isinstance(one, ast.ClassDef | ast.FunctionDef) and one.name[0] != "_":
            yield one


def signature(node: ast.ClassDef | ast.FunctionDef) -> str:
    """Write a declaration as in the code, a long one with a line per argument."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        head = f"class {node.name}({bases})" if bases else f"class {node.name}"
        init = next(
            (m for m in node.body if getattr(m, "name", "") == "__init__"), None
        )
        return f"{head}\n{signature(init)}" if init else head
    if is_attribute(node):
        return (
            f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name
        )
    marks = [f"@{ast.unparse(d)}" for d in node.decorator_list]
    marks = [m for m in marks if m in ("@classmethod", "@staticmethod")]
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"def {node.name}({ast.unparse(node.args)}){result}"
    if len(line) > 80:
        split = ast.parse(f"{line}: ...").body[0].args
        parts = _arguments(split)
        line = f"def {node.name}(\n    " + ",\n    ".join(parts) + f",\n){result}"
    return "\n".join([*marks, line])


def is_attribute(node: ast.AST) -> bool:
    """Whether a method is read without a call: a property, of whatever kind."""
    marks = [ast.unparse(d) for d in getattr(node, "decorator_list", ())]
    return any(mark.endswith("property") for mark in marks)


def _arguments(args: ast.arguments) -> list[str]:
    """Write the arguments of a declaration one by one."""
    parts, positional = [], [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    pairs = list(zip(positional, defaults, strict=True))
    if args.vararg:
        pairs.append((args.vararg, "*"))
    elif args.kwonlyargs:
        pairs.append((None, "*"))
    pairs += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    if args.kwarg:
        pairs.append((args.kwarg, "**"))
    for arg, default in pairs:
        if arg is None or isinstance(default, str):
            parts.append(f"{default}{ast.unparse(arg) if arg else ''}")
        else:
            equals = " = " if arg.annotation else "="
            value = f"{equals}{ast.unparse(default)}" if default is not None else ""
            parts.append(f"{ast.unparse(arg)}{value}")
    return parts


def attributes(node: ast.ClassDef) -> list[tuple[str, str]]:
    """List the annotated fields of a class, with their types and defaults."""
    return [
        (one.target.id, f"``{_declared(one)}``")
        for one in node.body
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and one.target.id[0] != "_"
    ]


def _declared(field: ast.AnnAssign) -> str:
    """Write a field's type and the default that a caller sees, if it has one."""
    value = field.value
    if isinstance(value, ast.Call):
        called = ast.unparse(value.func)
        value = value.args[0] if called == "later" and value.args else None
    default = f" = {ast.unparse(value)}" if value is not None else ""
    return ast.unparse(field.annotation) + default


def prose(docstring: str) -> list[nodes.Node]:
    """Turn a Google docstring into paragraphs, lists of arguments and formulas."""
    found: list[nodes.Node] = []
    for title, lines in _sections(inspect.cleandoc(docstring)):
        if not title:
            found += [_block(block) for block in _blocks(lines)]
        elif title == "Example":
            code = textwrap.dedent("\n".join(lines)).strip("\n")
            found.append(_code(code))
        else:
            found.append(definitions(title, _items(lines)))
    return found


def definitions(title: str, items: list[tuple[str, str]]) -> nodes.Node:
    """Set a section of a docstring: its title, and each name with what it is."""
    box = nodes.container(classes=["api-section"])
    box += nodes.paragraph("", "", nodes.strong("", title))
    listed = nodes.bullet_list()
    for name, text in items:
        line = nodes.paragraph()
        if name:
            line += [nodes.literal("", name), nodes.Text(": ")]
        line += inline(text)
        listed += nodes.list_item("", line)
    box += listed
    return box


def inline(text: str) -> list[nodes.Node]:
    """Set code, bold words and formulas inside a line."""
    found, at = [], 0
    for mark in MARK.finditer(text):
        found.append(nodes.Text(text[at : mark.start()]))
        code = mark[1] or mark[2]
        if code:
            found.append(nodes.literal("", code))
        elif mark[3]:
            found.append(nodes.strong("", mark[3]))
        elif mark[4]:
            found.append(nodes.math("", mark[4]))
        else:
            found.append(nodes.emphasis("", mark[5]))
        at = mark.end()
    return [*found, nodes.Text(text[at:])]


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Split a docstring at its section titles."""
    title, lines = "", []
    for line in text.splitlines():
        found = SECTION.match(line)
        if found or (title and line and not line.startswith(" ")):
            yield title, lines
            title, lines = (found[1], []) if found else ("", [line])
        else:
            lines.append(line)
    yield title, lines


def _blocks(lines: list[str]) -> list[str]:
    """Split lines at blank ones, but keep an indented block with what introduces it."""
    blocks = re.split(r"\n\s*\n(?=\S)", "\n".join(lines).strip("\n"))
    return [block for block in blocks if block.strip()]


def _list(lines: list[str]) -> nodes.Node:
    """Set the items of a list, each begun by a point and continued where indented."""
    numbered = POINT.match(lines[0])[1] is not None
    listed = (
        nodes.enumerated_list(enumtype="arabic") if numbered else nodes.bullet_list()
    )
    items: list[str] = []
    for line in lines:
        if POINT.match(line):
            items.append(POINT.sub("", line))
        else:
            items[-1] += f" {line.strip()}"
    for item in items:
        listed += nodes.list_item("", nodes.paragraph("", "", *inline(item)))
    return listed


def _block(block: str) -> nodes.Node:
    """Set a paragraph, a formula, lines of code, or a list."""
    lines = block.splitlines()
    first = next((i for i, line in enumerate(lines) if POINT.match(line)), None)
    if first is not None and "::" not in block:
        box = nodes.container()
        if first:
            box += nodes.paragraph("", "", *inline(" ".join(lines[:first])))
        box += _list(lines[first:])
        return box
    if block.startswith(".. math::"):
        formula = textwrap.dedent(block.removeprefix(".. math::").lstrip("\n")).strip()
        formula = f"\\begin{{align*}}\n{formula}\n\\end{{align*}}"
        return nodes.math_block(formula, formula, nowrap=True, number=None)
    if block.startswith("Example: "):  # a command, however many lines it takes
        return _code(" ".join(block.removeprefix("Example: ").split()))
    head, _, code = block.partition("::\n\n    ")
    paragraph = nodes.paragraph()
    paragraph += inline(" ".join(head.split()) + (":" if code else ""))
    if not code:
        return paragraph
    box = nodes.container("", paragraph)
    code = textwrap.dedent(f"    {code}")
    box += _code(code)
    return box


def _code(code: str) -> nodes.Node:
    """Set lines of code, or of anything else, as they are."""
    language = "python" if re.search(r">>> |import ", code) else "text"
    return nodes.literal_block(code, code, language=language)


def _items(lines: list[str]) -> list[tuple[str, str]]:
    """Read `name: what it is` entries; text without a name has an empty one."""
    items: list[tuple[str, str]] = []
    text = textwrap.dedent("\n".join(lines)).strip("\n")
    for line in text.splitlines():
        found = ITEM.match(line)
        if found and not line.startswith(" "):
            what = f"({found[2]}) {found[3]}" if found[2] else found[3]
            items.append((found[1], what))
        elif items:
            name, said = items[-1]
            items[-1] = (name, f"{said} {line.strip()}".strip())
        else:
            items.append(("", line.strip()))
    return items
