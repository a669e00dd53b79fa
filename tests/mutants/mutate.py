"""Make wrong versions of a module, one change each, with mutmut's operators.

Left alone: docstrings, type hints, imports, decorators, the messages of errors and
warnings, what is printed, and arguments that decide no result (`IGNORED`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
from libcst import matchers as m
from libcst.metadata import (
    ByteSpanPositionProvider,
    MetadataWrapper,
    PositionProvider,
)
from mutmut.mutation.mutators import mutation_operators, operator_string

IGNORED = {"encoding", "strict", "stacklevel", "maxsize", "desc", "errors"}
# Parts of a message that is raised later.
MESSAGE = m.Assign(targets=[m.AssignTarget(m.Name("why"))]) | m.Assign(
    targets=[m.AssignTarget(m.Name("known"))],
    value=m.Call(func=m.Attribute(attr=m.Name("join"))),
)
NO_RESULT = m.Name("print") | m.Attribute(m.Name("warnings") | m.Name("log"))
SKIPPED = (
    m.Annotation()
    | m.Decorator()
    | m.Import()
    | m.ImportFrom()
    | m.Raise()
    | m.Expr(m.SimpleString() | m.ConcatenatedString())
    | m.Expr(m.Call(func=NO_RESULT))
    | MESSAGE
    | m.Assign(value=m.Subscript(value=m.Name("Literal")))
    | m.Subscript(value=m.Name("Literal"))
)
# What mutmut's operators turn over themselves, so that no second negation is needed.
TURNED = m.UnaryOperation(operator=m.Not()) | m.Comparison(
    comparisons=[
        m.ComparisonTarget(
            m.Equal() | m.NotEqual() | m.Is() | m.IsNot() | m.In() | m.NotIn()
        )
    ]
)


@dataclass(frozen=True)
class Mutant:
    """One wrong version of a module."""

    module: str
    function: str  # qualified name, or "" at module level
    was: str  # the changed lines, joined by single spaces
    now: str
    lines: tuple[int, ...]  # of the statement that was changed, for choosing tests
    body: bool  # whether the change lies in a function's body
    source: str  # of the whole wrong module

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it apart in its module, whatever the line numbers."""
        return self.function, self.was, self.now


def mutants(module: str, source: str) -> list[Mutant]:
    """Make every mutant of a module, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = _Finder(wrapper.resolve(PositionProvider))
    spans = wrapper.resolve(ByteSpanPositionProvider)
    wrapper.module.visit(finder)
    found, seen = [], {source}
    for node, new, function, lines, body in finder.found:
        code = _replace(wrapper.module, spans[node], node, new)
        if code in seen or not _compiles(code):
            continue
        seen.add(code)
        was, now = changed_lines(source, code)
        found.append(Mutant(module, function, was, now, lines, body, code))
    return found


def changed_lines(source: str, code: str) -> tuple[str, str]:
    """Return the lines that differ, before and after, each as one line of text."""
    old, new = source.splitlines(), code.splitlines()
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    edits = [b for b in blocks if b[0] != "equal"]
    was = [line for _, i, j, _, _ in edits for line in old[i:j]]
    now = [line for _, _, _, i, j in edits for line in new[i:j]]
    return " ".join(" ".join(was).split()), " ".join(" ".join(now).split())


def _replace(module: cst.Module, span, node: cst.CSTNode, new: cst.CSTNode) -> str:
    """Return the module's code with one node replaced."""
    start, end = span.start, span.start + span.length
    code = module.bytes
    if code[start:end].decode() == module.code_for_node(node):
        return (code[:start] + module.code_for_node(new).encode() + code[end:]).decode()
    return module.deep_replace(node, new).code  # right for every node, and slow


class _Finder(cst.CSTVisitor):
    """Collect (node, replacement, function, lines, in a body) over a module."""

    def __init__(self, positions) -> None:
        self.positions, self.found = positions, []
        self.names: list[str] = []
        self.bodies = 0
        self.statements: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, SKIPPED) or (
            isinstance(node, cst.Arg) and node.keyword and node.keyword.value in IGNORED
        ):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.append(node.name.value)
        if isinstance(node, cst.SimpleStatementLine):
            self.statements.append(node)
        name, body = ".".join(self.names), self.bodies > 0
        for old, new in _replacements(node):
            self.found.append((old, new, name, self._lines(old), body))
        return True

    def visit_FunctionDef_body(self, node: cst.FunctionDef) -> None:
        self.bodies += 1

    def leave_FunctionDef_body(self, node: cst.FunctionDef) -> None:
        self.bodies -= 1

    def on_leave(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.pop()
        if isinstance(node, cst.SimpleStatementLine):
            self.statements.pop()

    def _lines(self, node: cst.CSTNode) -> tuple[int, ...]:
        where = self.positions[self.statements[-1] if self.statements else node]
        return tuple(range(where.start.line, where.end.line + 1))


def _replacements(node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    for kind, operator in mutation_operators:
        if not isinstance(node, kind):
            continue
        made = list(operator(node))
        if operator is operator_string:
            made = made[:1]  # another word; its upper and lower case tell no more
        for new in made:
            if not (isinstance(node, cst.Call) and _same_but_ignored(node, new)):
                yield node, new
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.Call):
        yield node, cst.Pass()
    if isinstance(node, cst.If | cst.CompIf) and not m.matches(node.test, TURNED):
        inner = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.test, cst.UnaryOperation(cst.Not(), inner)


def _same_but_ignored(node: cst.Call, new: cst.Call) -> bool:
    """Whether two calls differ in arguments that decide no result only."""

    def kept(call: cst.Call) -> list[str]:
        named = [(a.keyword.value if a.keyword else "", a) for a in call.args]
        return [
            f"{name}={cst.Module([]).code_for_node(a.value)}"
            for name, a in named
            if name not in IGNORED
        ]

    return new.func is node.func and kept(node) == kept(new)


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True
