"""A user's rerun beside the published results: what differs, and what it changes."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from mccgaa.errors import BookError
from mccgaa.profile import Profile
from mccgaa_book import results
from mccgaa_book.checkout import checkout
from mccgaa_book.results import NUMBERS, SOURCES, Results

FAR = 3.0  # spreads over seeds; differences beyond it are listed


def compare(profile: Path | str) -> str:
    """Set every number of a rerun beside the published one.

    Args:
        profile: path of a profile, or its bare name.

    Returns:
        A report: per experiment how the reruns differ, in units of the spread over
        seeds; which published runs were not rerun; and every verdict that changed,
        that is which of two variants is ahead, and whether the interval of their
        difference excludes zero.

    Raises:
        BookError: there is no rerun of this profile.
    """
    found = Profile.load(profile)
    reruns = checkout() / "reruns" / found.name
    paths = sorted(reruns.glob("*.csv"))
    if not paths:
        raise BookError(
            f"{reruns} holds no results to compare; make some with `mccgaa run "
            f"zeroshot --profile {found.name}`."
        )
    parts = [f"Reruns of {found.name} beside results/{found.name}:"]
    for path in paths:
        ours = results.load(path.stem, found.name, reruns)
        try:
            published = results.load(path.stem, found.name)
        except BookError:
            parts.append(f"\n{path.stem}: nothing is published to compare it with.")
            continue
        parts.append(_experiment(path.stem, ours, published))
    return "\n".join(parts)


def differences(ours: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Match the numbers of two frames of results.

    Args:
        ours: the rerun.
        published: what it is compared with.

    Returns:
        One row per number that both have: its keys, `value` (ours), `published`,
        `difference`, and `spreads`, the difference in units of the published spread
        over seeds (NaN where that is not known). Where the published single seeds
        were not kept, a seed's number is set beside their mean.
    """
    keys = [c for c in ours if c not in NUMBERS]
    of = [c for c in keys if c not in ("seed", "metric")]
    left = ours[[*keys, "value"]]
    exact = published[[*keys, "value"]].rename(columns={"value": "published"})
    means = exact[~results.single_seeds(exact)].drop(columns="seed")
    both = pd.concat(
        [left.merge(exact, on=keys), left.merge(means, on=[*of, "metric"])]
    )
    spreads = pd.concat(
        results.over_seeds(published, (*of, "metric"), metric)["sd"]
        for metric in published["metric"].unique()
        if not metric.endswith("_sd")
    )
    both["difference"] = both["value"] - both["published"]
    sd = spreads.reindex(pd.MultiIndex.from_frame(both[[*of, "metric"]])).to_numpy()
    both["spreads"] = (both["difference"] / sd).where(sd > 0)
    return both.reset_index(drop=True)


def verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """Say of each two variants which is ahead on the test split, task by task.

    Args:
        frame: of zero-shot results.

    Returns:
        Index first, second, task; columns `ahead` (the variant), `difference`,
        `certain` (whether the 95 % interval over seeds excludes zero; None where
        there is none) and `seeds`.
    """
    macro = results.tested(frame)
    variants = list(dict.fromkeys(macro["variant"]))
    rows = {}
    for i, first in enumerate(variants):
        for second in variants[i + 1 :]:
            for task, row in results.paired(macro, first, second).iterrows():
                known = math.isfinite(row["low"])
                rows[first, second, task] = {
                    "ahead": first if row["difference"] > 0 else second,
                    "difference": row["difference"],
                    "certain": bool(row["low"] * row["high"] > 0) if known else None,
                    "seeds": row["seeds"],
                }
    index = pd.MultiIndex.from_tuples(rows, names=["first", "second", "task"])
    return pd.DataFrame(list(rows.values()), index=index if rows else None)


def _experiment(name: str, ours: Results, published: Results) -> str:
    """Report on one experiment."""
    here, there = ours.stamp, published.stamp
    lines = [f"\n{name}: made on {here['device']}, published from {there['device']}"]
    for key in ("profile_hash", "method", "plan"):
        if here.get(key) != there.get(key):
            what = f"{key} is {here.get(key)}, published {there.get(key)}"
            return "\n".join([*lines, f"  NOT COMPARABLE: {what}."])
    table = differences(ours.frame, published.frame)
    known = table.dropna(subset="spreads")
    far = known[known["spreads"].abs() > FAR]
    lines.append(
        f"  {len(table)} numbers beside published ones; {len(known)} with a known "
        f"spread over seeds, {len(far)} of them more than {FAR:.0f} spreads away"
    )
    macro = table[table["class"] == ""]
    shown = [c for c in (*SOURCES, "split", "task", "metric") if c in macro]
    for row in macro.itertuples(index=False):
        of = " ".join(str(v) for c in shown if (v := getattr(row, c)))
        units = "" if math.isnan(row.spreads) else f" ({row.spreads:+.1f} spreads)"
        lines.append(
            f"  {row.variant or 'data'} {row.seed} {of}: {row.value:.4g}, published "
            f"{row.published:.4g}, {row.difference:+.3g}{units}"
        )
    lines += _not_rerun(ours.frame, published.frame)
    if name == "zeroshot":
        lines += _changed(verdicts(ours.frame), verdicts(published.frame))
    return "\n".join(lines)


def _not_rerun(ours: pd.DataFrame, published: pd.DataFrame) -> list[str]:
    """Name the published runs that the rerun leaves out."""
    runs = published.loc[published["variant"] != "", ["variant", "seed"]]
    have = set(ours[["variant", "seed"]].itertuples(index=False, name=None))
    lacking = [
        f"{variant} {seed}"
        for variant, seed in runs.drop_duplicates().itertuples(index=False, name=None)
        if (variant, seed) not in have
    ]
    return [f"  published, not rerun: {', '.join(lacking)}"] if lacking else []


def _changed(ours: pd.DataFrame, published: pd.DataFrame) -> list[str]:
    """List the verdicts that the rerun turns round, makes certain, or unmakes."""
    lines = []
    both = ours.join(published, how="inner", lsuffix="", rsuffix="_published")
    for (first, second, task), row in both.iterrows():
        turned = row["ahead"] != row["ahead_published"]
        known = row["certain"] is not None and row["certain_published"] is not None
        if turned or (known and row["certain"] != row["certain_published"]):
            lines.append(
                f"  VERDICT CHANGED, {first} or {second} on {task}: "
                f"{_verdict(row, '')}; published: {_verdict(row, '_published')}"
            )
    return lines or ([f"  all {len(both)} verdicts hold"] if len(both) else [])


def _verdict(row: pd.Series, which: str) -> str:
    """Write who is ahead, by how much, and how certainly."""
    certain = row[f"certain{which}"]
    sure = {
        None: "no interval",
        True: "the interval excludes zero",
        False: "the interval includes zero",
    }[certain]
    count = row[f"seeds{which}"]  # a float once frames were merged
    seeds = f"{count:.0f}" if count else "means over"
    return (
        f"{row[f'ahead{which}']} ahead by {abs(row[f'difference{which}']):.2f} "
        f"({seeds} seed{'' if count == 1 else 's'}, {sure})"
    )
