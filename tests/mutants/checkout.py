"""A copy of the checkout, in which one module at a time is a mutant."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import child
from mutate import Mutant

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("mccgaa*", "bench", "params", "results", "notebooks", "tests", "*.toml")


class Checkout:
    """The program and its tests, to be changed at will.

    Args:
        root: of a copy; beside it lie what its tests print and what they write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def copy(cls, source: Path, folder: Path) -> Checkout:
        """Copy what git knows in `source`, or `FOLDERS` where it knows nothing."""
        target = folder / "checkout"
        command = ["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"]
        listed = subprocess.run(command, cwd=source, capture_output=True, text=True)
        if listed.returncode or not (source / ".git").exists():
            target.mkdir()
            for path in (path for name in FOLDERS for path in source.glob(name)):
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, target / path.name)
            return cls(target)
        for name in filter(None, listed.stdout.split("\0")):
            if (source / name).is_file() and not name.startswith("book/"):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, target / name)
        return cls(target)

    def path(self, module: str) -> Path:
        """Where a module is: in the package, or in the book's."""
        package, book = (self.root / name for name in ("mccgaa", "mccgaa_book"))
        inside = package / f"{module}.py"
        return inside if inside.is_file() else book / f"{module}.py"

    def log(self) -> str:
        """What the tests printed that ran last."""
        return (self.root.parent / "log.txt").read_text(errors="replace")

    def measure(self, module: str, tests: list[str], most: float) -> tuple[dict, float]:
        """Run a module's tests on the right program; see `child.measure`."""
        path, out = self.path(module), self.root.parent / "measured.json"
        out.unlink(missing_ok=True)
        _, cpu = child.fork(lambda: child.measure(self.root, tests, path, most, out))
        return json.loads(out.read_text()) if out.is_file() else {}, cpu

    def judge(
        self, module: str, tests: list[str], measured: dict, work: list, until: float
    ) -> tuple[list[int | None], float]:
        """Test mutants.

        Args:
            module: that they are mutants of.
            tests: its files of tests.
            measured: what `measure` found.
            work: pairs of a mutant and the seconds, by name, of the tests to run on it.
            until: the time by which to be done, in seconds since the epoch.

        Returns:
            For each mutant 0 if it survives, another number if not, and None if there
            was no time; and the seconds of CPU time.
        """
        path, out = self.path(module), self.root.parent / "judged.txt"
        source, stat = path.read_text(), path.stat()
        out.unlink(missing_ok=True)
        # What runs on import may be known to other modules and to tests' parameters,
        # so that only bodies are changed in place.
        bodies = [(mutant, seconds) for mutant, seconds in work if mutant.body]
        codes: dict[Mutant, int | None] = {}
        total = 0.0
        if bodies:
            for share in (True, False):
                code, _ = child.fork(
                    lambda share=share: child.judge_bodies(
                        self.root, tests, path, measured, bodies, until, out, share
                    )
                )
                if code != child.ALONE:
                    break
            lines = out.read_text().splitlines() if out.is_file() else []
            if len(lines) < len(bodies) and time.time() < until:
                raise RuntimeError(f"{module}: its tests stop early:\n{self.log()}")
            for mutant, _ in bodies:
                codes[mutant] = None
            for (mutant, _), line in zip(bodies, lines, strict=False):
                codes[mutant], cpu = json.loads(line)
                total += cpu
        for mutant, seconds in work:
            if codes.get(mutant, 98) == 98 and time.time() < until:
                path.write_text(mutant.source)
                code, cpu = child.fork(
                    lambda s=seconds: child.judge_whole(
                        self.root, tests, measured, s, until
                    )
                )
                codes[mutant] = child.verdict(code, until)
                total += cpu
            elif codes.get(mutant) == 98:
                codes[mutant] = None
        path.write_text(source)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # its bytecode holds
        return [codes.get(mutant) for mutant, _ in work], total
