"""What became of the mutants: as a table, as JSON, and against survivors.yaml."""

from __future__ import annotations

import ast
import hashlib
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
REPORT = HERE / "report.json"  # of the last run of each module
KILLED = HERE / "killed.json"  # mutants that need not be judged again; not in git
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
    named_killed: int = 0
    cpu: float = 0.0  # seconds
    source: str = ""  # digest of the module
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


def digest(source: str) -> str:
    """Tell one code of a module from another.

    Imports, docstrings and comments do not count: none of them is changed by a mutant.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_silent(one)]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


def _is_silent(node: ast.stmt) -> bool:
    """Whether a statement is an import or a text that stands alone."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or isinstance(node, ast.Import | ast.ImportFrom)


def as_data(outcome: Outcome) -> dict:
    """What a report says of a module; each survivor's reason is in survivors.yaml."""
    return {
        "mutants": len(outcome.made),
        "killed": outcome.killed,
        "survivors": len(outcome.survivors),
        "not judged": len(outcome.not_judged),
        "named": outcome.named,
        "named killed": outcome.named_killed,
        "cpu seconds": round(outcome.cpu),
        "source": outcome.source,
    }


def table(rows: dict[str, dict], now: dict[str, str] | None = None) -> str:
    """Show what became of the mutants, a line per module, as Markdown.

    Args:
        rows: of `as_data`, by module.
        now: digests of the modules as they are, to say which changed since.
    """
    columns = ["mutants", "killed", "share", "survivors", "no reason", "not judged"]
    columns += ["named", "named killed"]
    lines = [f"| {'module':14} | {' | '.join(columns)} |"]
    lines.append(f"|{'-' * 16}|{'|'.join('-' * len(c) + '-:' for c in columns)}|")
    for module in now or rows:
        if module not in rows:
            cells, note = [" " * len(c) for c in columns], " never judged"
        else:
            row = dict(rows[module])
            known = sum(bool(why) for why in read_reasons(module).values())
            row["no reason"] = max(0, row["survivors"] - known)
            judged = row["mutants"] - row["not judged"]
            row["share"] = f"{100 * row['killed'] / judged:.1f}%" if judged else ""
            cells = [f"{row[column]:>{len(column)}}" for column in columns]
            note = " changed since" if now and now[module] != row["source"] else ""
        lines.append(f"| {module:14} | {' | '.join(cells)} |{note}")
    return "\n".join(lines)


def write_json(rows: dict[str, dict]) -> None:
    """Write the report of all modules."""
    versions = {"python": platform.python_version()}
    for name in ("torch", "numpy", "pytest", "mutmut"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    text = json.dumps({"versions": versions, "modules": rows}, indent=1)
    REPORT.write_text(text + "\n", encoding="utf-8")


def read_json() -> dict[str, dict]:
    """Read the report: rows of `as_data` by module."""
    if not REPORT.is_file():
        return {}
    return json.loads(REPORT.read_text(encoding="utf-8"))["modules"]


def read_killed(outcome: Outcome) -> set[Key]:
    """Read which mutants of a module, as it is, have been killed before."""
    known = json.loads(KILLED.read_text("utf-8")) if KILLED.is_file() else {}
    return {tuple(key) for key in known.get(f"{outcome.module} {outcome.source}", [])}


def note_killed(outcome: Outcome, killed: list[Mutant]) -> None:
    """Remember mutants of a module that were killed, and forget older versions."""
    known = json.loads(KILLED.read_text("utf-8")) if KILLED.is_file() else {}
    known = {n: keys for n, keys in known.items() if n.split()[0] != outcome.module}
    known[f"{outcome.module} {outcome.source}"] = [mutant.key for mutant in killed]
    KILLED.write_text(json.dumps(known), encoding="utf-8")
