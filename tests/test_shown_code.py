"""What a chapter shows of the package exists, wherever the page is built from."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
SHOWN = re.compile(r"^# ```\{package-code\} (\S+)\n# :pyobject: (\S+)\n# ```$", re.M)


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
    text = path.read_text(encoding="utf-8")
    assert "{literalinclude}" not in text, "its path depends on where the page is"
    assert text.count("{package-code}") == len(shown(path)), "one is written wrongly"
    for file, name in shown(path):
        assert (ROOT / file).is_file(), f"{file} does not exist"
        assert name in names(ROOT / file), f"{file} has no {name}"


def test_the_chapters_of_the_method_show_its_code():
    for number in range(2, 8):
        (path,) = (ROOT / "notebooks").glob(f"{number:02d}_*.py")
        assert any(file.startswith("mccgaa/") for file, _ in shown(path)), path.name


@pytest.mark.parametrize("folder", ["book", "_build/source"])
def test_a_page_finds_the_code_wherever_the_book_is_built(folder, tmp_path):
    source = tmp_path / folder
    (source / "notebooks" / "real").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("def shown():\n    return 4711\n")
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})\n"
        "extensions = ['package_code']\nroot_doc = 'notebooks/real/page'\n"
    )
    (source / "notebooks" / "real" / "page.rst").write_text(
        "Page\n====\n\n.. package-code:: package/module.py\n   :pyobject: shown\n"
    )
    command = ["sphinx", "-q", "-W", "-b", "text", str(source), str(tmp_path / "out")]
    subprocess.run([sys.executable, "-m", *command], check=True)
    page = tmp_path / "out" / "notebooks" / "real" / "page.txt"
    assert "return 4711" in page.read_text(encoding="utf-8")
