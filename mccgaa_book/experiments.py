"""Which runs are behind each table and figure, as experiments that write results.

An experiment takes a lab, variants and seeds, and gives tidy rows; `run` writes them
where they belong, with a stamp.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mccgaa.commands.words import to_pairs
from mccgaa.config import METHOD
from mccgaa.errors import ConfigError
from mccgaa.runtime import facts, has_bf16, pick_device
from mccgaa_book import needed, plan, results, supervised
from mccgaa_book.ablated import known, table1, table4, table5, table6
from mccgaa_book.averaged import averaged
from mccgaa_book.baselines.experiment import baselines, choose, missing, trained_with
from mccgaa_book.baselines.plan import plan_of
from mccgaa_book.checkout import checkout
from mccgaa_book.probed import table3
from mccgaa_book.robust import imbalance, robustness
from mccgaa_book.scored import beyond, climb, transfer, zeroshot
from mccgaa_book.strict import unseen
from mccgaa_book.trained import pretraining

if TYPE_CHECKING:  # a lab runs experiments, so it imports this module
    from mccgaa_book.lab import Lab

Experiment = Callable[["Lab", Sequence[str], Sequence[int]], pd.DataFrame]

EXPERIMENTS: dict[str, Experiment] = {
    "table1": table1,
    "zeroshot": zeroshot,  # Table 2
    "pretraining": pretraining,  # Fig. 3
    "transfer": transfer,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table6": table6,
    "baselines": baselines,  # every row of Tables 2 and 3
    "robustness": robustness,
    "imbalance": imbalance,
    "climb": climb,
    "beyond": beyond,
    "averaged": averaged,
    "unseen": unseen,
    plan.LEARNED: supervised.ceiling,
}
ALL = "all"  # stands for every experiment but the baselines and those of chapter 8
WITHOUT_RUNS = ("table1",)
OTHERS = "baselines"  # their rows are methods of their own, no variants of the profile
CHAPTER_8 = ("climb", "beyond", "averaged", "unseen", plan.LEARNED)


def run(
    names: Sequence[str],
    lab: Lab,
    *,
    variants: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    publish: bool = False,
    dry_run: bool = False,
) -> list[Path]:
    """Make experiments and write their results.

    Args:
        names: of EXPERIMENTS, or ALL.
        lab: of the profile whose runs are needed.
        variants: as `Lab.at` takes them; by default the rows that the profile gives a
            table, and otherwise those of its `reproduce`, or all with `publish`.
        seeds: by default all for such a table, and otherwise likewise.
        publish: write to `results/<profile>` instead of `reruns/<profile>`; every row
            of the profile as it is, of all its seeds or of those named. Table 4 takes
            from the published Table 2 what that has and is not here, unless Table 2
            is made as well.
        dry_run: say which runs are missing and how long they take; make nothing.

    Returns:
        The CSV files written.

    Raises:
        ConfigError: an unknown experiment, variant or seed, a part published, what
            the profile can make no rows of, or several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "`mccgaa run` works in one process. In several train by `mccgaa pretrain`, "
            "or a baseline by `mccgaa_book.baselines.trainer.train`; a run of the same "
            "batch over all processes is then found."
        )
    names = expand(names, lab)
    if publish and (variants or lab.overrides):
        raise ConfigError(
            "Published results have every row of a profile, as it stands: use "
            "--publish without --variants and --set; --seeds may choose seeds."
        )
    chosen = {
        name: _chosen(lab, name, variants, seeds, everything=publish) for name in names
    }
    before = None
    if publish and "table4" in names and "zeroshot" not in names:  # trains them
        before = known(lab, *chosen["table4"])
    if before:
        variants, seeds = chosen["table4"]
        rest = [v for v in variants if v not in set(before.frame["variant"])]
        chosen["table4"] = rest, seeds
    needed.check(lab, chosen)
    if dry_run:
        for said in needed.absent(lab, names):
            print(said)
        silent = (*WITHOUT_RUNS, OTHERS)
        wanted = {name: chosen[name] for name in names if name not in silent}
        if wanted or OTHERS not in names:
            print(plan.plan(lab, wanted))
        if OTHERS in names:
            print(*missing(lab, *chosen[OTHERS]), sep="\n")
        return []
    folder = checkout() / "results" / lab.profile.name if publish else lab.reruns
    return [
        make(lab, name, *chosen[name], folder, before if name == "table4" else None)
        for name in names
    ]


def expand(names: Sequence[str], lab: Lab) -> list[str]:
    """Put the experiments that a profile can make in the place of ALL.

    Raises:
        ConfigError: an unknown experiment.
    """
    unknown = [name for name in names if name not in (*EXPERIMENTS, ALL)]
    if unknown:
        raise ConfigError(
            f"There is no experiment {', '.join(map(repr, unknown))}; there are "
            f"{', '.join(EXPERIMENTS)}, and {ALL}."
        )
    left_out = (*CHAPTER_8, OTHERS, *([] if lab.profile.transfer else ["transfer"]))
    every = [name for name in EXPERIMENTS if name not in left_out]
    found = [one for name in names for one in (every if name == ALL else [name])]
    return list(dict.fromkeys(found))


def make(
    lab: Lab,
    name: str,
    variants: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    folder: Path | None = None,
    before: results.Results | None = None,
) -> Path:
    """Make one experiment and write its results.

    Rows of other runs that an earlier call left in the folder stay, if they were made
    with the same settings from the same data on the same device.

    Args:
        lab: whose runs are needed.
        name: of the experiment.
        variants, seeds: by default as in `run`.
        folder: where they go; by default `reruns/<profile>`.
        before: rows of other runs, of another experiment, to add.

    Returns:
        The CSV.
    """
    variants, seeds = _chosen(lab, name, variants, seeds)
    folder = folder or lab.reruns
    start = time.monotonic()
    frame = EXPERIMENTS[name](lab, variants, seeds)
    stamp = _stamp(lab, name, variants, seeds, time.monotonic() - start)
    stamp["trained"] = _trained(lab, name, variants, seeds)
    path = folder / f"{name}.csv"
    if before:
        frame = _joined(before, frame, stamp)
    said = lab.outdated(path) if path.is_file() else None
    if said:
        print(f"{path} {said}: its rows are replaced.", file=sys.stderr)
    elif path.is_file():
        frame = _joined(results.load(name, lab.profile.name, folder), frame, stamp)
    if "trained_on" in frame:  # a run may have started from other data's weights
        words = " ".join(frame["trained_on"] + " " + frame["tested_on"]).split()
        if {results.SYNTHETIC, results.REAL} <= set(words):
            stamp["synthetic"] = "mixed"
    return results.save(frame, stamp, name, folder)


def _joined(
    before: results.Results, frame: pd.DataFrame, stamp: dict[str, Any]
) -> pd.DataFrame:
    """Add to rows those of other runs that an earlier call left, if made alike.

    Where any are added, the stamp names the earlier commands and devices, too.
    """
    keys = [c for c in frame if c not in results.NUMBERS]
    alike = before.stamp["data"].items() <= stamp["data"].items()
    alike = alike and before.stamp["device"] == stamp["device"]
    if not alike or set(keys) != set(before.frame) - set(results.NUMBERS):
        return frame
    both = pd.concat([before.frame, frame]).drop_duplicates(keys, keep="last")
    if len(both) > len(frame):
        said = [
            was for s in (stamp, before.stamp) for was in s.get("earlier_commands", [])
        ]
        said = dict.fromkeys([*said, before.stamp["command"]])
        stamp["earlier_commands"] = [one for one in said if one != stamp["command"]]
        earlier = before.stamp.get("trained", [])
        stamp["trained"] = sorted({*earlier, *stamp["trained"]})
        if "plan" in stamp:
            stamp["plan"] = {**before.stamp["plan"], **stamp["plan"]}
    return both.reset_index(drop=True)


def _chosen(
    lab: Lab,
    name: str,
    variants: Sequence[str] | None,
    seeds: Sequence[int] | None,
    everything: bool = False,
) -> tuple[list[str], list[int]]:
    """Complete and check a choice of runs."""
    if name == OTHERS:
        return choose(lab, variants, seeds)
    part, rows = lab.profile.reproduce, lab.table(name)
    if not (everything or rows):
        variants, seeds = variants or part.variants, seeds or part.seeds
    variants, seeds = list(variants or rows or lab.variants), list(seeds or lab.seeds)
    for variant in variants:
        lab.at(variant)  # refuses an unknown one
    unknown = [str(seed) for seed in seeds if seed not in lab.seeds]
    if unknown:
        raise ConfigError(
            f"{lab.profile.path} has no seed {', '.join(unknown)}; it has "
            f"{', '.join(map(str, lab.seeds))}."
        )
    return variants, seeds


def _trained(
    lab: Lab, name: str, variants: Sequence[str], seeds: Sequence[int]
) -> list[str]:
    """Name what an experiment's runs, or its kept networks, were trained with.

    They may be others than those of the machine that puts a table together, which are
    the stamp's `device` and `precision`.

    Returns:
        Such as "cuda (NVIDIA H100), bf16", sorted; none where an experiment takes no
        finished run of the profile's variants.
    """
    if name in WITHOUT_RUNS:
        return []
    if name == OTHERS:
        return trained_with(lab, variants, seeds)
    if name == plan.LEARNED:
        kept = [supervised.place(lab, *one) for one in product(variants, seeds)]
        return sorted({supervised.trained_with(path) for path in kept if path})
    runs = [
        (plan.behind(lab, name, variant, seed), seed)
        for variant, seed in product(variants, seeds)
    ]
    if name == "transfer":  # of both profiles' models, as far as they have them
        runs = [
            ((home, variant), seed)
            for home in (lab, lab.other)
            for variant, seed in product(variants, seeds)
            if variant in home.variants and seed in home.seeds
        ]
    found = [home.run(of, seed).metrics["facts"] for (home, of), seed in runs]
    return sorted({f"{one['device']}, {one['precision']}" for one in found})


def _stamp(
    lab: Lab,
    name: str,
    variants: Sequence[str],
    seeds: Sequence[int],
    seconds: float,
) -> dict[str, Any]:
    """How the results were made; see `results.STAMP`."""
    device = pick_device()
    made_on = facts(device)
    loop = (
        plan_of(lab.profile, lab.overrides) if name == OTHERS else lab.config().pretrain
    )
    precision = loop.precision
    if precision == "bf16" and not has_bf16(device):
        precision = "fp32, the device has no bf16"
    stores = ["pretrain"] if name == "pretraining" else [*lab.profile.stores]
    data = {
        f"{one.profile.name}/{store}": {
            "fingerprint": one.store(store).meta["fingerprint"],
            "synthetic": one.store(store).meta["synthetic"],
        }
        for one in lab.behind(name)
        for store in (one.profile.stores if one is not lab else stores)
    }
    kinds = {entry["synthetic"] for entry in data.values()}
    others = lab.hashes(name)
    del others[lab.profile.name]
    rows = {n: one for n, one in lab.plan_hashes(name).items() if n in variants}
    over = to_pairs(lab.overrides)
    return ({"plan": rows} if name == OTHERS else {}) | {
        "command": (
            f"mccgaa run {name} --profile {lab.profile.name} "
            f"--variants {' '.join(variants)} --seeds {' '.join(map(str, seeds))}"
            f"{' --set ' if over else ''}{shlex.join(over)}"
        ),
        "profile": lab.profile.name,
        "profile_hash": lab.hash,
        "others": others,
        "method": METHOD,
        "data": data,
        "synthetic": kinds.pop() if len(kinds) == 1 else "mixed",
        "device": made_on["device"],
        "threads": made_on["threads"],
        "precision": precision,
        "seconds": round(seconds),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "package": version("mccgaa"),
        "note": "settings overridden: " + str(lab.overrides) if lab.overrides else "",
    }
