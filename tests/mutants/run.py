"""Change the program in many small ways and see which changes no test notices.

    python tests/mutants/run.py                 every module
    python tests/mutants/run.py loss gafa       some modules
    python tests/mutants/run.py loss --write    note the survivors, reasons to be filled

A mutant is killed when a test fails, crashes or hangs on it. One that survives needs a
test, or a reason in survivors.yaml why it changes nothing that matters. named.yaml
holds wrong versions that were written by hand; all of them must die.

This process imports what the tests import of other packages, and forks for each mutant;
the child imports the mutant from a copy of the checkout, and runs the tests that reach
the changed line.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import child
import yaml
from mutate import Mutant, changed_lines, mutants

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SURVIVORS, NAMED = HERE / "survivors.yaml", HERE / "named.yaml"
SHARE = 0.9  # of a module's mutants that its tests must kill

MODULES = {  # module -> the tests that must notice
    "encoder": ["test_encoder.py"],
    "fast_conv": ["test_fast_conv.py"],
    "attention": ["test_gafa.py"],
    "gafa": ["test_gafa.py"],
    "loss": ["test_loss.py"],
    "gather": ["test_gather.py"],
    "text": ["test_text.py"],
    "knowledge": ["test_knowledge.py"],
    "model": ["test_model.py"],
    "augment": ["test_augment.py"],
    "pairs": ["test_pairs.py", "test_pretrain.py"],
    "learner": ["test_pretrain.py", "test_processes.py"],
    "pretrain": ["test_pretrain.py", "test_processes.py"],
    "reader": ["test_reader.py"],
    "run_folder": ["test_run_folder.py", "test_pretrain.py"],
    "zeroshot": ["test_zeroshot.py"],
    "metrics": ["test_metrics.py"],
    "data/transform": ["data/test_transform.py"],
    "data/splits": ["data/test_splits.py"],
    "config": ["test_config.py"],
}
NAMED_ONLY = {"config"}
STARTS_PROCESSES = ("test_processes.py", "::test_two_processes")


@dataclass
class Outcome:
    """What became of one module's mutants."""

    module: str
    made: list[Mutant] = field(default_factory=list)
    survivors: list[Mutant] = field(default_factory=list)
    named: int = 0
    cpu: float = 0.0  # seconds
    problems: list[str] = field(default_factory=list)


class Copy:
    """A copy of the checkout in which one module at a time is a mutant."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        command = [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        listed = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            source, target = ROOT / name, self.root / name
            if source.is_file() and not name.startswith("book/"):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    def path(self, module: str) -> Path:
        return self.root / "mccgaa" / f"{module}.py"

    def measure(self, module: str) -> tuple[dict, float]:
        """Run the module's tests on the right program; see `child.measure`."""
        tests, path = test_files(module), self.path(module)
        out = self.root.parent / "measured.json"
        out.unlink(missing_ok=True)
        _, cpu = child.fork(lambda: child.measure(self.root, tests, path, out))
        return json.loads(out.read_text()) if out.is_file() else {}, cpu

    def judge(
        self, module: str, measured: dict, chosen: list[Mutant]
    ) -> tuple[list[bool], float]:
        """Which mutants survive their tests, and the seconds of CPU time."""
        path, tests = self.path(module), test_files(module)
        source, stat = path.read_text(), path.stat()
        work = [(mutant, tests_of(mutant, measured)) for mutant in chosen]
        out = self.root.parent / "judged.txt"
        out.unlink(missing_ok=True)
        # What runs on import may be known to other modules and to tests' parameters,
        # so that only bodies are changed in place.
        bodies = [(mutant, seconds) for mutant, seconds in work if mutant.body]
        codes: dict[int, int] = {}
        total = 0.0
        if bodies:
            child.fork(
                lambda: child.judge_bodies(
                    self.root, tests, path, measured, bodies, out
                )
            )
            lines = [json.loads(line) for line in out.read_text().splitlines()]
            for (mutant, _), (code, cpu) in zip(bodies, lines, strict=True):
                codes[id(mutant)] = code
                total += cpu
        for mutant, seconds in work:
            if codes.get(id(mutant), 98) == 98:
                path.write_text(mutant.source)
                codes[id(mutant)], cpu = child.fork(
                    lambda s=seconds: child.judge_whole(self.root, tests, s)
                )
                total += cpu
        path.write_text(source)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # its bytecode holds
        return [codes[id(mutant)] == 0 for mutant, _ in work], total


def test_files(module: str) -> list[str]:
    return [f"tests/{name}" for name in MODULES[module]]


def run_module(module: str, copy: Copy, known: set, *, named_only: bool) -> Outcome:
    """Judge a module's mutants, but for the `known` survivors, and its named ones."""
    outcome = Outcome(module)
    measured, outcome.cpu = copy.measure(module)
    if not measured.get("seconds") or measured["failed"]:
        failed = ", ".join(measured.get("failed", [])) or "collection"
        outcome.problems.append(f"{module}: fails without any mutant: {failed}")
        print((copy.root.parent / "log.txt").read_text()[-3000:])
        return outcome
    for name in measured["modules"]:
        with suppress(Exception):
            importlib.import_module(name)

    source = copy.path(module).read_text()
    named = named_mutants(module, source, outcome.problems)
    outcome.named = len(named)
    if not (named_only or module in NAMED_ONLY):
        outcome.made = mutants(module, source)
    outcome.survivors = [mutant for mutant in outcome.made if mutant.key in known]
    fresh = [mutant for mutant in outcome.made if mutant.key not in known]
    survive, cpu = copy.judge(module, measured, [*(m for m, _ in named), *fresh])
    outcome.cpu += cpu
    for (_, name), survives in zip(named, survive, strict=False):
        if survives:
            outcome.problems.append(f"{module}: no test notices the named {name!r}")
    for mutant, survives in zip(fresh, survive[len(named) :], strict=True):
        if survives:
            outcome.survivors.append(mutant)
            print(f"{module}:{mutant.lines[0]}: {describe(mutant.key)}", flush=True)
    return outcome


def named_mutants(
    module: str, source: str, problems: list[str]
) -> list[tuple[Mutant, str]]:
    """Apply the module's patches of named.yaml."""
    made = []
    for patch in yaml.safe_load(NAMED.read_text())[module]:
        was, now = patch["was"].rstrip("\n"), patch["now"].rstrip("\n")
        if source.count(was) != 1:
            problems.append(
                f"{module}: named {patch['name']!r} does not apply: its `was` occurs "
                f"{source.count(was)} times"
            )
            continue
        code = source.replace(was, now)
        first = source[: source.index(was)].count("\n") + 1
        lines = tuple(range(first, first + was.count("\n") + 1))
        text = source.splitlines()[first - 1]
        body = text.startswith("    ") and was.count("\n") == now.count("\n")
        mutant = Mutant(module, "", *changed_lines(source, code), lines, body, code)
        made.append((mutant, patch["name"]))
    return made


def tests_of(mutant: Mutant, measured: dict) -> dict[str, float]:
    """Seconds by test, of the tests that reach the changed lines themselves.

    All tests where the import or a shared fixture reaches them. Tests that start
    processes are slow, so they judge only lines that no other test reaches.
    """
    every = measured["seconds"]
    lines = measured["lines"]
    reached = {test for n in mutant.lines for test in lines.get(str(n), [])}
    if not reached:
        return every
    chosen = reached if reached <= every.keys() else every
    quick = {
        test: every[test]
        for test in chosen
        if not any(name in test for name in STARTS_PROCESSES)
    }
    return quick or {test: every[test] for test in chosen}


def describe(key: tuple[str, str, str]) -> str:
    function, was, now = key
    return f"{function or '(module)'}: {was}  ->  {now}"


def check_reasons(outcome: Outcome, noted: list[dict], *, recheck: bool) -> None:
    """Compare the survivors with survivors.yaml."""
    survived = {mutant.key for mutant in outcome.survivors}
    made = {mutant.key for mutant in outcome.made}
    reasons = {key_of(entry): entry["why"] for entry in noted}
    problems = []
    if open_ := [key for key in survived if not reasons.get(key)]:
        problems.append(f"{len(open_)} survivors have no reason in survivors.yaml")
    problems += [
        f"survivors.yaml has what is no mutant: {describe(key)}"
        for key in reasons.keys() - made
    ]
    if recheck:
        problems += [
            f"survivors.yaml has what a test kills: {describe(key)}"
            for key in (reasons.keys() & made) - survived
        ]
    killed = len(outcome.made) - len(outcome.survivors)
    if killed < SHARE * len(outcome.made):
        problems.append(f"its tests kill {killed} of {len(outcome.made)}")
    outcome.problems += [f"{outcome.module}: {problem}" for problem in sorted(problems)]


def read_noted() -> dict[str, list[dict]]:
    return yaml.safe_load(SURVIVORS.read_text(encoding="utf-8")) or {}


def key_of(entry: dict) -> tuple[str, str, str]:
    return entry["function"], entry["was"], entry["now"]


def note(outcome: Outcome) -> None:
    """Write the survivors to survivors.yaml, keeping the reasons that are there."""
    noted = read_noted()
    reasons = {key_of(e): e["why"] for e in noted.get(outcome.module, [])}
    noted[outcome.module] = [
        {"function": key[0], "was": key[1], "now": key[2], "why": reasons.get(key, "")}
        for key in dict.fromkeys(mutant.key for mutant in outcome.survivors)
    ]
    ordered = {module: noted[module] for module in MODULES if noted.get(module)}
    text = yaml.safe_dump(ordered, sort_keys=False, width=88, allow_unicode=True)
    SURVIVORS.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--named", action="store_true", help="run named.yaml only")
    parser.add_argument("--write", action="store_true", help="note the survivors")
    parser.add_argument(
        "--recheck", action="store_true", help="run noted survivors again too"
    )
    options = parser.parse_args()
    if unknown := set(options.modules) - set(MODULES):
        parser.error(f"unknown modules: {', '.join(sorted(unknown))}")
    outcomes = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MCCGAA_REAL_DATA", str(ROOT.parent / "shared" / "data"))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        for module in options.modules or MODULES:
            entries = read_noted().get(module, [])
            known = (
                set()
                if options.recheck
                else {key_of(entry) for entry in entries if entry["why"]}
            )
            outcome = run_module(module, copy, known, named_only=options.named)
            outcomes.append(outcome)
            if outcome.made:
                if options.write:
                    note(outcome)
                    entries = read_noted().get(module, [])
                check_reasons(outcome, entries, recheck=options.recheck)
    print(f"\n{'module':16} mutants  killed  share  survivors  named  CPU min")
    for o in outcomes:
        killed = len(o.made) - len(o.survivors)
        share = f"{killed / len(o.made):.0%}" if o.made else ""
        print(
            f"{o.module:16} {len(o.made):7} {killed:7} {share:>6} "
            f"{len(o.survivors):10} {o.named:6} {o.cpu / 60:8.1f}"
        )
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    for problem in problems:
        print(f"error: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
