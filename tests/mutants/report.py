"""What became of the mutants: as a table, as JSON, and against survivors.yaml."""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml
from mutate import Mutant

HERE = Path(__file__).resolve().parent
SURVIVORS = HERE / "survivors.yaml"
SHARE = 0.9  # of a module's mutants that its tests must kill

Key = tuple[str, str, str]


@dataclass
class Outcome:
    """What became of one module's mutants."""

    module: str
    made: list[Mutant] = field(default_factory=list)
    survivors: list[Mutant] = field(default_factory=list)
    not_judged: list[Mutant] = field(default_factory=list)
    named: int = 0
    cpu: float = 0.0  # seconds
    problems: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return len(self.made) - len(self.survivors) - len(self.not_judged)

    @property
    def share(self) -> float:
        """Of the judged mutants."""
        return self.killed / ((len(self.made) - len(self.not_judged)) or 1)

    def check(self, *, recheck: bool) -> None:
        """Compare the survivors with survivors.yaml."""
        reasons = read_reasons(self.module)
        survived = {mutant.key for mutant in self.survivors}
        made = {mutant.key for mutant in self.made}
        judged = made - {mutant.key for mutant in self.not_judged}
        problems = [
            f"survivors.yaml has what is no mutant: {describe(key)}"
            for key in reasons.keys() - made
        ]
        if open_ := [key for key in survived if not reasons.get(key)]:
            problems.append(f"{len(open_)} survivors have no reason in survivors.yaml")
        if recheck:
            problems += [
                f"survivors.yaml has what a test kills: {describe(key)}"
                for key in (reasons.keys() & judged) - survived
            ]
        count = len(self.made) - len(self.not_judged)
        if count and self.share < SHARE:
            problems.append(f"its tests kill {self.killed} of {count}")
        if self.not_judged:
            problems.append(f"no time was left for {len(self.not_judged)} mutants")
        self.problems += [f"{self.module}: {problem}" for problem in sorted(problems)]

    def note(self) -> None:
        """Write the survivors to survivors.yaml, keeping the reasons that are there."""
        noted = yaml.safe_load(SURVIVORS.read_text(encoding="utf-8")) or {}
        reasons = read_reasons(self.module)
        keys = [mutant.key for mutant in self.survivors]
        keys += [m.key for m in self.not_judged if m.key in reasons]
        noted[self.module] = [
            {"function": k[0], "was": k[1], "now": k[2], "why": reasons.get(k, "")}
            for k in dict.fromkeys(keys)
        ]
        kept = {module: entries for module, entries in noted.items() if entries}
        text = yaml.safe_dump(kept, sort_keys=False, width=88, allow_unicode=True)
        SURVIVORS.write_text(text, encoding="utf-8")


def read_reasons(module: str) -> dict[Key, str]:
    """Why each noted survivor of a module changes nothing that matters."""
    noted = yaml.safe_load(SURVIVORS.read_text(encoding="utf-8")) or {}
    return {
        (entry["function"], entry["was"], entry["now"]): entry["why"]
        for entry in noted.get(module, [])
    }


def describe(key: Key) -> str:
    function, was, now = key
    return f"{function or '(module)'}: {was}  ->  {now}"


def table(outcomes: list[Outcome]) -> str:
    """One line per module."""
    head = "mutants  killed  share  survivors  not judged  named  CPU min"
    lines = [f"{'module':16} {head}"]
    for o in outcomes:
        share = f"{100 * o.share:.1f}%" if o.made else ""
        lines.append(
            f"{o.module:16} {len(o.made):7} {o.killed:7} {share:>6} "
            f"{len(o.survivors):10} {len(o.not_judged):11} {o.named:6} "
            f"{o.cpu / 60:8.1f}"
        )
    return "\n".join(lines)


def write_json(outcomes: list[Outcome], seconds: float, path: Path) -> None:
    """Write the table, and every survivor with its reason."""
    versions = {"python": platform.python_version()}
    for name in ("torch", "numpy", "pytest", "mutmut"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    found = {
        "versions": versions,
        "seconds": round(seconds),
        "modules": {o.module: _as_data(o) for o in outcomes},
        "problems": [problem for o in outcomes for problem in o.problems],
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _as_data(outcome: Outcome) -> dict:
    reasons = read_reasons(outcome.module)

    def listed(chosen: list[Mutant]) -> list[dict]:
        return [
            {
                "line": mutant.lines[0],
                "function": mutant.function,
                "was": mutant.was,
                "now": mutant.now,
                "why": reasons.get(mutant.key, ""),
            }
            for mutant in chosen
        ]

    return {
        "mutants": len(outcome.made),
        "killed": outcome.killed,
        "named": outcome.named,
        "cpu_seconds": round(outcome.cpu),
        "survivors": listed(outcome.survivors),
        "not_judged": listed(outcome.not_judged),
    }
