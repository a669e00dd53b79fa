"""What an experiment still has to train, and how long that takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mccgaa import files
from mccgaa.counted import counted
from mccgaa_book import strict, supervised

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab

STRICT = "unseen"  # its runs leave out classes, which the stores say
LEARNED = "ceiling"  # what it needs learns from labels, and is no run
Wanted = Mapping[str, tuple[Sequence[str], Sequence[int]]]  # variants and seeds of each


def plan(lab: Lab, wanted: Wanted) -> str:
    """Say of experiments which runs are missing and how long they take.

    A run that several experiments need is named once, where it is needed first.

    Args:
        lab: of the profile.
        wanted: experiment -> its variants, as `Lab.at` takes them, and seeds.

    Returns:
        A line per experiment, and one for all together.
    """
    lines, named = [], set()
    total, unknown = 0.0, 0
    asked = sum(len(variants) * len(seeds) for variants, seeds in wanted.values())
    looked = files.bar(total=asked, desc="look", unit="run", leave=False, disable=None)
    for name, (variants, seeds) in wanted.items():
        missing, took = [], 0.0
        for variant in variants:
            absent = []
            for seed in seeds:
                home, own = behind(lab, name, variant, seed)
                kind = name if name in (LEARNED, STRICT) else ""
                run = (home.profile.name, home.hash, own, seed, kind)
                if run not in named and not _done(home, name, own, seed):
                    absent.append(seed)
                named.add(run)
                looked.update()
            if not absent:
                continue
            each = seconds(*lab.at(variant))
            unknown += len(absent) * math.isnan(each)
            took += 0.0 if math.isnan(each) else each * len(absent)
            time = "" if math.isnan(each) else f" ({duration(each)} each)"
            missing.append(f"{variant} {' '.join(map(str, absent))}{time}")
        runs = len(variants) * len(seeds)
        rest = f"missing {'; '.join(missing)}" if missing else "nothing to train"
        lines.append(f"{name}: {counted(runs, 'run')}, {rest}")
        total += took
    looked.close()
    known = [f"about {duration(total)}"] if total or not unknown else []
    rest = f"{counted(unknown, 'run')} whose time is not known yet"
    lines.append(f"To train: {', and '.join(known + [rest] * bool(unknown))}.")
    return "\n".join(lines)


def behind(lab: Lab, experiment: str, variant: str, seed: int) -> tuple[Lab, str]:
    """Find the run that a row of an experiment is made from.

    Args:
        lab: of the profile.
        experiment: its name.
        variant, seed: of the row.

    Returns:
        The lab and the variant's name there. The strict protocol has labs of its own,
        where the stores say which classes there are.
    """
    home, own = lab.at(variant)
    if experiment == STRICT and home.packed:
        home = strict.without(home, strict.group_of(home, seed))
    return home, own


def _done(home: Lab, experiment: str, variant: str, seed: int) -> bool:
    """Whether what an experiment needs of a variant and seed is there."""
    if experiment == LEARNED:
        return supervised.finished(home, variant, seed)
    if experiment == STRICT and not home.packed:
        return False  # `home` is not yet the lab of the run
    return home.finished(variant, seed)


def seconds(lab: Lab, variant: str) -> float:
    """Estimate how long a run takes, from the runs that are there.

    Args:
        lab: whose variant it is.
        variant: its name.

    Returns:
        The mean over finished runs of the variant, whatever their seed; without any,
        over the profile's other variants; NaN where none is finished.
    """
    for names in ([variant], list(lab.variants)):
        took = [
            json.loads(path.read_text(encoding="utf-8"))["seconds"]
            for name in names
            for seed in lab.seeds
            for path in [_metrics(lab, name, seed)]
            if path is not None
        ]
        if took:
            return sum(took) / len(took)
    return math.nan


def _metrics(lab: Lab, variant: str, seed: int) -> Path | None:
    """The file that a finished run leaves last."""
    folder = lab.folder(variant, seed)
    path = folder / "metrics.json" if folder else None
    return path if path and path.is_file() else None


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
