"""What runs after the fork: pytest on a copy of the checkout, in this process."""

from __future__ import annotations

import gc
import json
import math
import mmap
import os
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item
from mutate import Mutant

ALONE = 97  # exit code: what tests share cannot be made before forking
MEMORY = 8 << 30  # bytes that a mutant may take
SLOW = 1.0  # seconds of a test
START = 300  # seconds for importing and collecting
SLOW_TESTS = (  # parts of the names of tests that start processes, or take long
    "test_processes.py",
    "::test_two_processes",
    "::test_a_run_killed_with_sigkill",
    "::test_a_narrow_network_trains",
    "::test_minilm_puts_like_findings",
    "::test_full_texts_fit_the_embedded_encoder",
    "::test_gradients_repeat_bit_for_bit",
    "::test_masks_compile_into_one_graph",
)


def fork(work: Callable[[], int]) -> tuple[int, float]:
    """Call `work` in a child process; its exit code and seconds of CPU time."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            os.setsid()
            for number in (signal.SIGALRM, signal.SIGPROF):
                signal.signal(number, signal.SIG_DFL)  # a hanging test ends it
            code = work()
        finally:
            os._exit(code)
    try:
        _, status, usage = os.wait4(pid, 0)
    except BaseException:  # interrupted: let no child run on
        os.kill(pid, signal.SIGTERM)
        raise
    with suppress(ProcessLookupError):  # what a test started and left behind
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def run_pytest(copy: Path, tests: list[str], plugin: object) -> int:
    """Run pytest in a copy of the checkout; the exit code."""
    signal.setitimer(signal.ITIMER_REAL, START)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    log = os.open(copy.parent / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.path.insert(0, str(copy))
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={copy.parent}/tmp"]
    return int(pytest.main([*options, *tests], plugins=[plugin]))


def verdict(code: int, until: float) -> int | None:
    """What a child's exit code says: nothing if the end of the time stopped it."""
    return None if code < 0 and time.time() >= until else code


def is_slow(test: str) -> bool:
    """Whether a test is for lines that no quick one reaches."""
    return any(name in test for name in SLOW_TESTS)


class Runner:
    """Run collected tests in any order, without undoing what the tests of a file share.

    Args:
        items: all that were collected.
        seconds: that each test takes, by name.
    """

    def __init__(self, items: list[pytest.Item], seconds: dict[str, float]) -> None:
        self.items = {item.nodeid: item for item in items}
        self.seconds = seconds
        self.aside: dict[pytest.Collector, Any] = {}  # pytest's state of other files

    def run(self, test: str) -> bool:
        """Run a test; whether it passes."""
        item = self.items[test]
        # Where the next test is of the same file, pytest keeps the file's fixtures. So
        # it is told of one, and the state of other files is laid aside meanwhile.
        stack, chain = item.session._setupstate.stack, item.listchain()
        for node in [node for node in stack if node not in chain]:
            self.aside[node] = stack.pop(node)
        stack.update({n: self.aside.pop(n) for n in chain if n in self.aside})
        beside = (other for other in self.items.values() if other.path == item.path)
        following = next((other for other in beside if other is not item), None)
        how = {"config": item.config, "ihook": item.ihook, "when": "runtest"}
        with catch_warnings_for_item(**how, item=item):
            reports = runtestprotocol(item, nextitem=following, log=False)
        return not any(report.failed for report in reports)

    def passes(
        self,
        tests: Iterable[str],
        until: float = math.inf,
        started: Callable[[int], None] = lambda number: None,
    ) -> bool:
        """Whether tests pass, in the order given, each within its time.

        Args:
            tests: their names; what was not collected is left out.
            until: the end of the time, in seconds since the epoch.
            started: told how many tests have been started.
        """
        for number, test in enumerate((t for t in tests if t in self.items), start=1):
            started(number)
            # Of CPU time: a machine with other work is not a mutant that hangs.
            signal.setitimer(signal.ITIMER_PROF, 8 + 10 * self.seconds[test])
            left = max(until - time.time(), 0.1)
            limit = START + 100 * self.seconds[test]
            signal.setitimer(signal.ITIMER_REAL, min(limit, left))
            if not self.run(test):
                return False
        return True


class History:
    """Which tests have failed, so that those come first that are quick and likely to.

    Args:
        measured: of `measure`.
    """

    def __init__(self, measured: dict) -> None:
        self.seconds, self.most = measured["seconds"], measured["most"]
        self.before = measured["before"]
        self.ran: Counter = Counter()  # by test, and by function and test
        self.failed: Counter = Counter()

    def order(self, function: str, tests: Iterable[str]) -> list[str]:
        """Choose tests of a function, by their expected seconds per failure."""

        def price(test: str) -> float:
            anywhere = (self.failed[test] + 1) / (self.ran[test] + 2)
            here = self.failed[function, test] + anywhere
            seconds = self.before.get(test, 0.0) + self.seconds[test] + 0.01
            return seconds * (self.ran[function, test] + 1) / here

        total, chosen = 0.0, []
        for test in sorted(tests, key=price):
            total += self.seconds[test]
            if chosen and total > self.most:
                break
            chosen.append(test)
        return chosen

    def note(self, function: str, ran: list[str], failed: bool) -> None:
        """Note the tests that a mutant of a function met; the last may have failed."""
        for test in ran:
            self.ran.update([test, (function, test)])
        if ran and failed:
            self.failed.update([ran[-1], (function, ran[-1])])


# --- the right program ----------------------------------------------------------------


class Measure:
    """Note for each test its seconds of CPU time, and which lines it reaches.

    Args:
        coverage: that is switched on.
        most: seconds of tests that a mutant is given; where there is such a limit, slow
            tests are left out.
    """

    def __init__(self, coverage, most: float) -> None:
        self.coverage, self.most = coverage, most
        self.seconds: dict[str, float] = {}
        self.made: list[tuple[str, str, float]] = []  # fixture, test, its seconds
        self.uses: list[tuple[str, list[str]]] = []  # test, its fixtures
        self.failed: list[str] = []

    def _context(self, name: str) -> Iterator[None]:
        self.coverage.switch_context(name)
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.most < math.inf:
            items[:] = [item for item in items if not is_slow(item.nodeid)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        signal.setitimer(signal.ITIMER_REAL, START)
        before = time.process_time()
        try:
            return (yield from self._context(item.nodeid))
        finally:
            self.seconds[item.nodeid] = time.process_time() - before

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.scope == "function":
            return (yield)
        self.coverage.switch_context(f"fixture {fixturedef.argname}")
        before = time.process_time()
        try:
            return (yield)
        finally:
            item = request.session._mutants_item
            seconds = time.process_time() - before
            self.made.append((fixturedef.argname, item, seconds))
            self.coverage.switch_context(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.session._mutants_item = item.nodeid
        self.uses.append((item.nodeid, item._fixtureinfo.names_closure))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def measure(copy: Path, tests: list[str], module: Path, most: float, out: Path) -> int:
    """Run all tests on the right program; write what judging its mutants needs.

    `out` gets seconds by test, and those of the fixtures that every mutant has to make
    before it; by line of `module` the tests that run it ("" on import
    and "fixture NAME" in one that tests share); and the other packages' modules.
    """
    from coverage import Coverage

    coverage = Coverage(data_file=None, include=[str(module)], config_file=False)
    coverage.start()
    plugin = Measure(coverage, most)
    code = run_pytest(copy, tests, plugin)
    coverage.stop()
    lines = coverage.get_data().contexts_by_lineno(str(module))
    reached = {name for names in lines.values() for name in names}
    before: Counter = Counter()
    for fixture, test, seconds in plugin.made:
        if test in plugin.seconds:
            plugin.seconds[test] = max(0.0, plugin.seconds[test] - seconds)
        if f"fixture {fixture}" in reached:  # it is made after forking
            before.update({t: seconds for t, used in plugin.uses if fixture in used})
    # A package of ours that is imported before forking would be that of another folder.
    ours = {path.stem for path in copy.rglob("*.py")}
    ours |= {path.parent.name for path in copy.rglob("__init__.py")} | {"tests"}
    found = {
        "seconds": plugin.seconds,
        "failed": plugin.failed,
        "before": before,
        "most": most,
        "lines": lines,
        "modules": [n for n in sys.modules if ours.isdisjoint(n.split("."))],
    }
    out.write_text(json.dumps(found))
    return code


# --- mutants --------------------------------------------------------------------------


class Judge:
    """Fork once for each mutant of a function's body, all tests being collected."""

    def __init__(
        self,
        module: Path,
        measured: dict,
        work: list[tuple[Mutant, dict]],
        until: float,
        out: Path,
        share: bool,
    ) -> None:
        self.module, self.work, self.until, self.out = module, work, until, out
        self.share = share
        self.measured, self.seconds = measured, measured["seconds"]
        contexts = {name for names in measured["lines"].values() for name in names}
        self.mutated = {c.split()[-1] for c in contexts if c.startswith("fixture ")}

    def share_fixtures(self, runner: Runner) -> bool:
        """Make the fixtures that tests share and no mutant changes, once for all forks.

        Returns:
            Whether the tests that are not slow pass in a fork after that, as they must:
            a process that has computed gradients cannot be forked, for one.
        """
        made: set[str] = set()
        quick = [t for t in runner.items if self.seconds.get(t, SLOW) < SLOW]
        quick = sorted(
            (test for test in quick if not is_slow(test)),
            key=self.seconds.__getitem__,
        )
        files = Counter(runner.items[test].path for test in runner.items)
        for test in quick:
            item = runner.items[test]
            defined = item._fixtureinfo.name2fixturedefs
            shared = {
                f"{found[-1].baseid} {name}"
                for name, found in defined.items()
                if is_shared(found[-1])
            }
            changed = {name.split()[-1] for name in shared} & self.mutated
            if files[item.path] > 1 and shared - made and not changed:
                runner.run(test)
                made |= shared
        return not made or fork(lambda: 1 - runner.passes(quick))[0] == 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0)
        runner = Runner(session.items, self.seconds)
        if self.share and not self.share_fixtures(runner):
            pytest.exit("the fixtures cannot be shared", returncode=ALONE)
        history, started = History(self.measured), mmap.mmap(-1, 8)
        old = codes(self.module.read_text(), str(self.module))
        live = [
            f
            for f in gc.get_objects()
            if isinstance(f, FunctionType)
            and f.__code__.co_filename == str(self.module)
        ]
        gc.freeze()
        base = session.config._tmp_path_factory.getbasetemp()
        kept = set(base.iterdir())  # of the shared fixtures
        with self.out.open("w") as out:
            for mutant, seconds in self.work:
                if time.time() >= self.until:
                    break

                order = history.order(mutant.function, seconds)
                started[:] = bytes(8)

                def note(number: int) -> None:
                    started[:] = number.to_bytes(8, "little")

                def survives(mutant=mutant, order=order) -> int:
                    if not transplant(mutant.source, old, live):
                        return 98
                    return 0 if runner.passes(order, self.until, note) else 1

                self.module.write_text(mutant.source)  # for processes that tests start
                code, cpu = fork(survives)
                ran = order[: int.from_bytes(started[:], "little")]
                history.note(mutant.function, ran, failed=code != 0)
                out.write(json.dumps([verdict(code, self.until), cpu]) + "\n")
                out.flush()
                for path in set(base.iterdir()) - kept:
                    remove(path)
        return True


def remove(path: Path) -> None:
    """Remove a folder, a file or a link, such as pytest's to the newest folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def is_shared(fixture: pytest.FixtureDef) -> bool:
    ours = not fixture.func.__module__.startswith("_pytest")
    return ours and fixture.scope != "function"


def transplant(
    source: str, old: dict[str, list[CodeType]], live: list[FunctionType]
) -> bool:
    """Give live functions the code of a mutant; False where that cannot be done."""
    new = codes(source, live[0].__code__.co_filename)
    changed = False
    for function in live:
        code = function.__code__
        name = code.co_qualname
        if len(new.get(name, [])) != len(old[name]):
            return False
        other = new[name][old[name].index(code)]
        if other.co_freevars != code.co_freevars:
            return False
        changed = changed or code != other
        function.__code__ = other
    return changed


def codes(source: str, file: str) -> dict[str, list[CodeType]]:
    """All code objects of a module by qualified name, in the order of its text."""
    found = [compile(source, file, "exec")]
    by_name: dict[str, list[CodeType]] = {}
    for code in found:
        found += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
        by_name.setdefault(code.co_qualname, []).append(code)
    return by_name


class Select:
    """Run the chosen tests only."""

    def __init__(self, measured: dict, seconds: dict, until: float) -> None:
        self.measured, self.seconds, self.until = measured, seconds, until

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        quickest = History(self.measured).order("", self.seconds)
        runner = Runner(session.items, self.seconds)
        session.testsfailed = not runner.passes(quickest, self.until)
        return True


def judge_bodies(
    copy: Path,
    tests: list[str],
    module: Path,
    measured: dict,
    work: list,
    until: float,
    out: Path,
    share: bool,
) -> int:
    """Judge mutants of functions' bodies; `out` gets a line [code, seconds] for each.

    The code is 0 for a survivor, 98 for a mutant that has to be imported, and None for
    one that there was no time for. With `share`, fixtures that tests share are made
    once; `ALONE` is returned where that does not work.
    """
    return run_pytest(copy, tests, Judge(module, measured, work, until, out, share))


def judge_whole(
    copy: Path, tests: list[str], measured: dict, seconds: dict, until: float
) -> int:
    """Import the mutant that lies in the copy and test it; 0 says that it survived."""
    return run_pytest(copy, tests, Select(measured, seconds, until))
