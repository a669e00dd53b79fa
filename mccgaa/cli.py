"""The command line: `mccgaa COMMAND --help` explains each command with an example.

A command is a function with its arguments above it; its docstring is its help. Heavy
imports are inside the functions, so that help is fast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mccgaa.commands.command import (
    A_PROFILE,
    COMMANDS,
    PROFILE,
    SET,
    arg,
    at_least,
    build_parser,
    command,
    given,
    main,
)
from mccgaa.commands.data import download, pack, pretrain, twin
from mccgaa.commands.models import classify, evaluate, export, probe, zeroshot
from mccgaa.commands.settings import OTHERS, Setting, described, settings
from mccgaa.errors import ConfigError, MccgaaError

if TYPE_CHECKING:
    from mccgaa.profile import Profile

__all__ = [
    "COMMANDS",
    "build_parser",
    "classify",
    "download",
    "evaluate",
    "export",
    "main",
    "pack",
    "pretrain",
    "probe",
    "settings",
    "twin",
    "zeroshot",
]


def _of_baselines(profile: Profile | None) -> Iterator[Setting]:
    """Describe what `mccgaa run baselines` can be given, by a profile or by default."""
    from mccgaa_book.baselines import registry
    from mccgaa_book.baselines.config import Plan
    from mccgaa_book.baselines.plan import plan_of

    plan = plan_of(profile) if profile else Plan()
    whole = described(plan, "baselines")
    yield from (one for one in whole if one.name != "baselines.settings")
    for name in registry.trained_here():
        made = registry.settings(name, plan.settings.get(name))
        for one in described(made, f"baselines.settings.{name}"):
            if one.name.rpartition(".")[2] not in made.idle:
                yield one


OTHERS["baselines"] = _of_baselines

VARIANTS = (
    "default: the rows of its table, or else the profile's `reproduce`; of `baselines` "
    "all methods (random, simclr, byol, ...)"
)


@command(
    arg("experiments", nargs="+", metavar="EXPERIMENT"),
    arg(*PROFILE, required=True, help=A_PROFILE),
    arg("--variants", nargs="+", help=VARIANTS),
    arg("--seeds", nargs="+", type=at_least(0), help="default: all of a table's"),
    arg("--publish", action="store_true", help="every row, to the tracked results/"),
    arg(
        "--dry-run",
        action="store_true",
        help="say what is missing, and how long it takes",
    ),
    SET,
)
def run(args: argparse.Namespace) -> None:
    """Make the experiments behind the paper's tables, into reruns/.

    They are table1, zeroshot (Table 2), pretraining (Fig. 3), table3 to table6,
    robustness, imbalance and transfer; all stands for all of these. baselines are
    the other methods of Tables 2 and 3, whose settings `mccgaa settings baselines`
    lists; climb, beyond, averaged, unseen and ceiling belong to chapter 8. Runs that
    exist are loaded, the others are trained.

    Example: mccgaa run table4 --profile real --dry-run
    """
    from mccgaa.commands.words import from_pairs
    from mccgaa_book import experiments
    from mccgaa_book.lab import Lab

    lab = Lab(args.profile, from_pairs(args.set))
    options = given(args, "variants", "seeds", "publish", "dry_run")
    for path in experiments.run(args.experiments, lab, **options):
        print(path)


@command(arg(*PROFILE, required=True, help=A_PROFILE))
def compare(args: argparse.Namespace) -> None:
    """Set a profile's reruns beside the published results.

    Example: mccgaa compare --profile real
    """
    from mccgaa_book.compare import compare

    print(compare(args.profile))


@command(
    arg("action", choices=["execute", "check", "build", "readme"]),
    arg(*PROFILE, help=A_PROFILE),
    arg("--only", nargs="+", help="execute these chapters, stale or not"),
    arg("--force", action="store_true", help="execute fresh chapters, too"),
    arg("--publish", action="store_true", help="put executed chapters into the book"),
    arg("--single", action="store_true", help="build one page of it all, to print"),
)
def book(args: argparse.Namespace) -> None:
    """Execute chapters, check or build the book, or bring its results into README.md.

    Executed chapters go to reruns/; only --publish and readme change a tracked file.

    Example: mccgaa book execute --profile synthetic --only 07_zero_shot
    """
    from mccgaa_book.press import book, readme

    if args.action == "execute":
        if not args.profile:
            raise ConfigError("book execute needs --profile, such as synthetic.")
        book.execute(args.profile, **given(args, "only", "publish", "force"))
    elif args.action == "check":
        problems = book.check()
        if problems:
            raise MccgaaError("\n".join(["The book is not fresh:", *problems]))
        print(f"Every page is fresh and without errors: {book.counted()}, which hold.")
    elif args.action == "build":
        note = partial(print, file=sys.stderr)
        print(book.build(args.profile, single=args.single, echo=note))
    else:
        print(readme.update())


if __name__ == "__main__":
    sys.exit(main())
