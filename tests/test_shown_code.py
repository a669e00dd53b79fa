"""What a chapter shows of the package exists, wherever the page is built from."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
SHOWN = re.compile(
    r"^# ```\{literalinclude\} (\S+)\n# :pyobject: (\S+)\n# :language: python\n# ```$",
    re.M,
)


def shown(path: Path) -> list[tuple[str, str]]:
    return SHOWN.findall(path.read_text(encoding="utf-8"))


def names(path: Path) -> set[str]:
    """Functions and classes of a module, methods as Class.method."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_code_that_a_chapter_shows_exists(path):
    blocks = path.read_text(encoding="utf-8").count("{literalinclude}")
    assert blocks == len(shown(path)), "a literalinclude is not written as the others"
    for file, name in shown(path):
        # From the book's root, so that executed copies in any folder find it.
        assert file.startswith("/../"), f"{file} depends on where the page is"
        module = (ROOT / "book" / file.lstrip("/")).resolve()
        assert module.is_file(), f"{file} does not exist"
        assert name in names(module), f"{file} has no {name}"


def test_the_chapters_of_the_method_show_its_code():
    for number in range(2, 8):
        (path,) = (ROOT / "notebooks").glob(f"{number:02d}_*.py")
        assert any("/mccgaa/" in file for file, _ in shown(path)), path.name
