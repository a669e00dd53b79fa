"""What has been run, and what has not: every file of `results/` as a row of a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mccgaa.profile import Profile
from mccgaa_book import results
from mccgaa_book.page import ABSENT
from mccgaa_book.press.chapters import find
from mccgaa_book.results import Results

# What asks for nothing that the other tier could add: `transfer` goes both ways.
ONE_TIER = {"transfer": "synthetic", "averaged": "real", "ceiling": "real"}
HEAD = ("experiment", "tier", "profile", "rows", "seeds of each", "where")


def write(folder: Path, experiments: Iterable[str], tiers: Iterable[str]) -> str:
    """Write the experiments and the runs behind them as a Markdown table.

    Args:
        folder: of results: `<profile>/<experiment>.csv`.
        experiments: names, in the order of the rows; what else the folder has comes
            behind them.
        tiers: where an experiment has no results of a profile of this tier, a row says
            so.
    """
    found = sorted(folder.glob("*/*.csv"))
    names = dict.fromkeys([*experiments, *(path.stem for path in found)])
    lines = [row(HEAD), row(["---"] * len(HEAD))]
    for name in names:
        have = [path for path in found if path.stem == name]
        lines += [
            row([name, *cells(results.load(name, path.parent.name, path.parent))])
            for path in have
        ]
        ran = {_tier(path.parent.name) for path in have}
        lines += [
            row([name, tier, "not run", ABSENT, ABSENT, ABSENT])
            for tier in tiers
            if tier not in ran and ONE_TIER.get(name, tier) == tier
        ]
    return "\n".join(lines)


def cells(found: Results) -> list[str]:
    """Say of some results whose they are, and how many rows and seeds they have.

    Returns:
        Tier, profile, variants, seeds of a variant (the fewest and the most), and the
        device that the runs were trained on; where nothing says it, of the table.
    """
    profile = found.stamp["profile"]
    rows = found.frame[found.frame["variant"] != ""]
    seeds = sorted({_seeds(of["seed"]) for _, of in rows.groupby("variant")})
    span = [f"{n}" for n in dict.fromkeys((seeds[0], seeds[-1]))] if seeds else []
    made = found.stamp.get("trained") or [found.stamp["device"]]
    variants = f"{rows['variant'].nunique()}" if len(rows) else ABSENT
    return [
        _tier(profile),
        profile,
        variants,
        " to ".join(span) or ABSENT,
        "; ".join(made),
    ]


def _seeds(column: pd.Series) -> int:
    """How many runs a variant's rows are of: single ones, or a mean over several."""
    single = column[results.single_seeds(column.to_frame("seed")) & (column != "")]
    several = column[column.str.startswith(results.SEVERAL)]
    counts = several.str.removeprefix(results.SEVERAL).astype(int)
    return max(single.nunique(), *counts, 1)


def _tier(profile: str) -> str:
    return Profile.load(find(profile)).tier


def row(cells: Iterable[str]) -> str:
    """Write a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
