"""The rules of the house: who imports whom, and how long a module may be."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mccgaa"
MODULES = sorted(PACKAGE.rglob("*.py"))
COMMAND_LINE = ("cli.py", "commands.py")
METHOD = [p for p in sorted(PACKAGE.glob("*.py")) if p.name not in COMMAND_LINE]

# From the bottom up: a module imports its own room, and rooms of lower storeys.
STOREYS = (
    {"errors"},
    {"config"},
    {"data", "twin", "knowledge", "metrics", "runtime", "text_cache"},
    {"encoder", "text", "gafa", "loss"},
    {"model", "corpus"},
    {"pretrain", "zeroshot", "probe"},
    {"baselines"},
    {"companion"},
    {"commands"},
    {"cli"},
)
STOREY = {room: i for i, rooms in enumerate(STOREYS) for room in rooms}


def room_of(module: str) -> str:
    """Name the room of `mccgaa.data.store`: data."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    """List the package's modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "mccgaa":
            found |= {f"mccgaa.{name.name}" for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write mccgaa.X"
            found.add(node.module or "")
    return {name for name in found if name.startswith("mccgaa.")}


def code_lines(path: Path) -> int:
    """Count lines that hold code: no blank lines, comments or docstrings."""
    source = path.read_text(encoding="utf-8")
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            ast.get_docstring(node)
        ):
            text = node.body[0]
            lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_its_own_room_and_lower_storeys(path):
    inside = path.relative_to(PACKAGE)
    room = inside.parts[0].removesuffix(".py")
    if room == "__init__":
        assert imports(path) == set()
        return
    assert room in STOREY, f"{inside} has no place in the house: give it a storey here"
    for other in imports(path):
        theirs = room_of(other)
        assert theirs == room or STOREY[theirs] < STOREY[room], (
            f"mccgaa/{inside} imports {other}, which stands on its own storey or above"
        )


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_stays_within_350_lines(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 350, f"{path.name} has {lines} lines: it is two things, split it"


def test_the_method_stays_under_2000_lines_of_code():
    total = sum(code_lines(path) for path in METHOD)
    assert 0 < total < 2000


def test_no_code_asks_which_profile_it_runs_under():
    profiles = {path.stem for path in (ROOT / "params").glob("*.yaml")}
    assert profiles, "params/ holds no profile"
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                named = {s.value for s in sides if isinstance(s, ast.Constant)}
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                assert not named & profiles, f"{where} asks for a profile by name"


def test_notebooks_are_never_imported_by_the_package():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                assert not any(name.startswith("notebooks") for name in names)
                assert not (getattr(node, "module", "") or "").startswith("notebooks")
