"""Change the program in many small ways and see which changes no test notices.

    python tests/mutants/run.py                 what changed since report.json was made
    python tests/mutants/run.py loss gafa       some modules
    python tests/mutants/run.py all --jobs 16 --seconds 500
    python tests/mutants/run.py loss --write    note the survivors, reasons to be filled
    python tests/mutants/run.py --show          what the last runs found

A mutant is killed when a test fails, crashes or hangs on it. One that survives needs a
test, or a reason in survivors.yaml why it changes nothing that matters. named.yaml
holds wrong versions that were written by hand; all of them must die.

A run that was stopped goes on: what was killed is remembered, in a file that git
ignores, until the module changes.

Each worker has a copy of the checkout. It imports what the tests import of other
packages, and forks for each mutant; the child imports the mutant from the copy, and
runs the tests that reach the changed line.
"""

from __future__ import annotations

import argparse
import importlib
import math
import multiprocessing
import os
import queue
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from checkout import ROOT, Checkout
from child import is_slow
from mutate import Mutant, changed_lines, mutants
from report import (
    HERE,
    REPORT,
    Outcome,
    as_data,
    describe,
    digest,
    note_killed,
    read_json,
    read_killed,
    read_reasons,
    table,
    write_json,
)

NAMED = HERE / "named.yaml"
CHUNK = 40  # mutants that a worker judges at a time, where there are several
MINUTE = 60  # of tests, at least, for a worker to start on
GRACE = 60  # seconds after its time in which a worker has to answer

MODULES = {  # module -> the tests that must notice
    "encoder": ["test_encoder.py"],
    "fast_conv": ["test_fast_conv.py"],
    "attention": ["test_gafa.py"],
    "gafa": ["test_gafa.py"],
    "loss": ["test_loss.py", "test_statement_loss.py"],
    "gather": ["test_gather.py"],
    "text": ["test_text.py"],
    "knowledge": ["test_knowledge.py", "test_prompting.py"],
    "model": ["test_model.py", "test_statement_runs.py"],
    "plus/augment": ["test_augment.py"],
    "plus/average": ["test_average.py"],
    "start": ["test_start.py"],
    "plus/statements": ["test_statements.py"],
    "plus/unseen": ["test_unseen.py"],
    "plus/prompting": ["test_prompting.py"],
    "pairs": [
        "test_pairs.py",
        "test_statement_runs.py",
        "test_unseen.py",
    ],
    "learner": [
        "test_pretrain.py",
        "test_run_folder.py",
        "test_average.py",
        "test_start.py",
        "test_processes.py",
    ],
    "pretrain": [
        "test_pretrain.py",
        "test_run_folder.py",
        "test_start.py",
        "test_processes.py",
    ],
    "held_out": ["test_pretrain.py", "test_statement_runs.py"],
    "device_reader": ["test_device_reader.py"],
    "fast_encoder": ["test_fast_encoder.py"],
    "replay": ["test_replay.py"],
    "ready/folded": ["test_folded.py"],
    "run_folder": ["test_run_folder.py", "test_pretrain.py"],
    "zeroshot": ["test_zeroshot.py", "test_prompting.py"],
    "metrics": ["test_metrics.py"],
    "data/transform": ["data/test_transform.py"],
    "data/dsp": ["data/test_dsp.py"],
    "data/splits": ["data/test_splits.py"],
    "config": ["test_config.py"],
    **{
        f"baselines/{name}": [
            *(f"book/test_baselines_{file}.py" for file in files.split()),
            "book/test_baselines_settings.py",
        ]
        for name, files in {
            "base": "base",
            "simclr": "losses",
            "byol": "losses",
            "barlow_twins": "losses",
            "moco_v3": "losses",
            "simsiam": "losses",
            "views": "ts_tcc astcl",
            "moments": "ts_tcc astcl",
            "ts_tcc": "ts_tcc",
            "clocs": "clocs",
            "astcl": "astcl",
            "patches": "st_mem",
            "spectral": "crt",
            "crt": "crt",
            "leadwise": "st_mem",
            "st_mem": "st_mem",
        }.items()
    },
}
NAMED_ONLY = {"config"}

# --- in a worker ----------------------------------------------------------------------

_checkout: Checkout  # the worker's own


def start_worker(source: Path, folder: Path) -> None:
    global _checkout
    # A handler in Python runs when the main thread wakes, which a signal to one of
    # torch's threads does not do. The tests that it leaves behind have timers.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The tests may start processes, which a pool forbids its workers.
    multiprocessing.current_process()._config["daemon"] = False
    own = Path(tempfile.mkdtemp(dir=folder))
    _checkout = Checkout.copy(source, own)


def measure(
    module: str, named_only: bool, most: float
) -> tuple[dict, float, list[Mutant]]:
    """What judging a module needs, the seconds of CPU time, and its mutants."""
    source = _checkout.path(module).read_text()
    measured, cpu = _checkout.measure(module, test_files(module), most)
    if not measured.get("seconds") or measured["failed"]:
        measured["log"] = _checkout.log()[-3000:]
    named_only = named_only or module in NAMED_ONLY
    return measured, cpu, [] if named_only else mutants(module, source)


def judge(
    module: str, measured: dict, work: list[tuple[Mutant, dict]], until: float
) -> tuple[list[int | None], float]:
    """See `Checkout.judge`."""
    for name in measured["modules"]:
        with suppress(Exception):
            importlib.import_module(name)
    return _checkout.judge(module, test_files(module), measured, work, until)


# --- in the parent --------------------------------------------------------------------


def test_files(module: str) -> list[str]:
    return [f"tests/{name}" for name in MODULES[module]]


@dataclass
class Module:
    """A module whose mutants are being judged."""

    outcome: Outcome
    named: dict[Mutant, str] = field(default_factory=dict)  # their names
    codes: dict[Mutant, int | None] = field(default_factory=dict)

    def chunks(self, measured: dict, source: str, options) -> list[list]:
        """The mutants to judge with the seconds of their tests, a worker's part each.

        The named ones are the first part. A worker imports and collects before it
        starts, and sets up what tests share, which takes about as long as they all do.
        """
        outcome = self.outcome
        self.named = named_mutants(outcome.module, source, outcome.problems)
        outcome.named = len(self.named)
        reasons = read_reasons(outcome.module)
        killed = set() if options.recheck else read_killed(outcome)
        fresh = []
        for mutant in outcome.made:
            if mutant.key in killed:
                self.codes[mutant] = 1
            elif reasons.get(mutant.key) and not options.recheck:
                self.codes[mutant] = 0
            else:
                fresh.append(mutant)
        # So that those that time is left for are a fair sample.
        random.Random(0).shuffle(fresh)
        named = [(mutant, tests_of(mutant, measured)) for mutant in self.named]
        work = [(mutant, tests_of(mutant, measured)) for mutant in fresh]
        if options.jobs == 1:
            return [part for part in [named + work] if part]
        needed = sum(sum(seconds.values()) for _, seconds in work) / 2
        least = max(MINUTE, 3 * sum(measured["seconds"].values()))
        parts = math.ceil(max(len(work) / CHUNK, needed / least))
        return [
            part for part in [named, *(work[i::parts] for i in range(parts))] if part
        ]

    def finish(self, options) -> None:
        """Sort out what became of them."""
        outcome, codes = self.outcome, self.codes
        for mutant, name in self.named.items():
            if codes.get(mutant) is None:
                outcome.problems.append(f"{outcome.module}: no time for {name!r}")
            elif codes[mutant] == 0:
                problem = f"{outcome.module}: no test notices the named {name!r}"
                outcome.problems.append(problem)
            else:
                outcome.named_killed += 1
        if outcome.source:
            note_killed(outcome, [m for m in outcome.made if codes.get(m)])
        outcome.survivors = [m for m in outcome.made if codes.get(m) == 0]
        outcome.not_judged = [m for m in outcome.made if codes.get(m) is None]
        if outcome.made:
            if options.write:
                outcome.note()
            outcome.check(recheck=options.recheck)


def named_mutants(module: str, source: str, problems: list[str]) -> dict[Mutant, str]:
    """Apply the module's patches of named.yaml; their names by mutant."""
    made = {}
    for patch in yaml.safe_load(NAMED.read_text()).get(module, []):
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
        made[mutant] = patch["name"]
    return made


def tests_of(mutant: Mutant, measured: dict) -> dict[str, float]:
    """Seconds by test, of the tests that reach the changed lines themselves.

    All tests where the import or a shared fixture reaches them. Slow tests judge
    only lines that no other test reaches.
    """
    every = measured["seconds"]
    lines = measured["lines"]
    reached = {test for n in mutant.lines for test in lines.get(str(n), [])}
    if not reached:
        return every
    chosen = reached if reached <= every.keys() else every
    quick = {test: every[test] for test in chosen if not is_slow(test)}
    return quick or {test: every[test] for test in chosen}


def run(modules: dict[str, Module], pool, sources: Checkout, options) -> None:
    """Measure every module, then judge its mutants, in as many workers as there are."""
    answers: queue.Queue = queue.Queue()
    open_ = 0

    def ask(task, *given, then) -> None:
        nonlocal open_
        open_ += 1

        def answer(found) -> None:
            answers.put((then, found))

        pool.apply_async(task, given, callback=answer, error_callback=answer)

    def measured(module: Module, found) -> None:
        name = module.outcome.module
        facts, module.outcome.cpu, module.outcome.made = found
        if "log" in facts:
            failed = ", ".join(facts.get("failed", [])) or "collection"
            problem = f"{name}: fails without any mutant: {failed}"
            module.outcome.problems.append(problem)
            print(facts["log"])
            return
        source = sources.path(name).read_text()
        module.outcome.source = digest(source)
        for chunk in module.chunks(facts, source, options):
            ask(
                judge,
                name,
                facts,
                chunk,
                options.until,
                then=lambda found, chunk=chunk: judged(module, chunk, found),
            )

    def judged(module: Module, chunk: list, found) -> None:
        codes, cpu = found
        module.outcome.cpu += cpu
        for (mutant, _), code in zip(chunk, codes, strict=True):
            module.codes[mutant] = code
            if code == 0 and mutant not in module.named:
                name = module.outcome.module
                print(f"{name}:{mutant.lines[0]}: {describe(mutant.key)}", flush=True)

    for name, module in modules.items():
        ask(
            measure,
            name,
            options.named,
            options.each,
            then=lambda found, module=module: measured(module, found),
        )
    while open_:
        left = None
        if options.until < math.inf:
            left = max(options.until + GRACE - time.time(), 0)
        try:
            then, found = answers.get(timeout=left)
        except queue.Empty:
            return
        open_ -= 1
        if isinstance(found, BaseException):
            raise found
        then(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ", ".join(MODULES)
    parser.add_argument("modules", nargs="*", help=f"all, or of {names}")
    parser.add_argument("--named", action="store_true", help="run named.yaml only")
    parser.add_argument("--write", action="store_true", help="note the survivors")
    parser.add_argument(
        "--recheck", action="store_true", help="run noted survivors again too"
    )
    parser.add_argument("--jobs", type=int, default=1, help="workers (default: 1)")
    parser.add_argument(
        "--seconds", type=float, help="stop then, and say what was not judged"
    )
    parser.add_argument(
        "--each",
        type=float,
        default=math.inf,
        help="seconds of tests that a mutant is given at most; one that would have "
        "died later is a survivor then",
    )
    parser.add_argument(
        "--show", action="store_true", help=f"show {REPORT.name} and judge nothing"
    )
    options = parser.parse_args()
    if unknown := set(options.modules) - {"all", *MODULES}:
        parser.error(f"unknown modules: {', '.join(sorted(unknown))}")
    now = {name: digest(Checkout(ROOT).path(name).read_text()) for name in MODULES}
    before = read_json()
    changed = [n for n in MODULES if before.get(n, {}).get("source") != now[n]]
    chosen = list(MODULES) if "all" in options.modules else options.modules or changed
    if options.show or not chosen:
        print(table(before, now))
        return 0
    started = time.time()
    options.until = started + options.seconds if options.seconds else math.inf
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MCCGAA_REAL_DATA", str(ROOT.parent / "shared" / "data"))
    modules = {name: Module(Outcome(name)) for name in chosen}
    with tempfile.TemporaryDirectory(
        prefix="mutants-",
        ignore_cleanup_errors=True,  # a test left behind may write
    ) as folder:
        sources = Checkout.copy(ROOT, Path(folder))
        given = (sources.root, Path(folder))
        with multiprocessing.get_context("fork").Pool(
            options.jobs, start_worker, given
        ) as pool:
            run(modules, pool, sources, options)
    outcomes = []
    for module in modules.values():
        module.finish(options)
        outcomes.append(module.outcome)
    rows = {o.module: as_data(o) for o in outcomes if not options.named}
    print(f"\n{table(rows)}")
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    for problem in problems:
        print(f"error: {problem}")
    rows = read_json() | rows
    write_json({name: rows[name] for name in MODULES if name in rows})
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
