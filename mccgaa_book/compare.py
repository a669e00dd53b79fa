"""A user's rerun beside the published results: what differs, and what it changes."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pandas as pd

from mccgaa.errors import BookError
from mccgaa.profile import Profile
from mccgaa_book import claims, results
from mccgaa_book.audit.results import ENOUGH
from mccgaa_book.checkout import checkout
from mccgaa_book.experiments import EXPERIMENTS
from mccgaa_book.noise import Floor
from mccgaa_book.results import NUMBERS, SOURCES, Results

FAR = 3.0  # spreads over seeds; differences beyond it are listed
NEITHER = "neither"  # of two variants is ahead: they cannot be told apart


def compare(profile: Path | str) -> str:
    """Set every number of a rerun beside the published one.

    Args:
        profile: path of a profile, or its bare name.

    Returns:
        A report: per experiment how the reruns differ, in units of the spread over
        seeds; which published runs were not rerun; and every verdict that changed,
        that is which of two variants is ahead, or that they cannot be told apart.
        Verdicts are those of `claims.ahead`, which takes `ENOUGH` seeds.

    Raises:
        BookError: there is no rerun of this profile, and maybe nothing published.
    """
    found = Profile.load(profile)
    reruns = checkout() / "reruns" / found.name
    paths = sorted(reruns.glob("*.csv"))
    if not paths:
        there = {path.stem for path in (checkout() / "results" / found.name).glob("*")}
        names = [name for name in EXPERIMENTS if name in there]
        if not names:
            raise BookError(f"Nothing is published of {found.name} to compare with.")
        usual = "zeroshot" if "zeroshot" in names else names[0]
        raise BookError(
            f"{reruns} holds no results to compare; make some with `mccgaa run {usual} "
            f"--profile {found.name}`."
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
        {
            metric: results.over_seeds(published, of, metric)["sd"]
            for metric in published["metric"].unique()
            if not metric.endswith("_sd")
        }
    )
    both["difference"] = both["value"] - both["published"]
    sd = spreads.reindex(pd.MultiIndex.from_frame(both[["metric", *of]])).to_numpy()
    both["spreads"] = (both["difference"] / sd).where(sd > 0)
    return both.reset_index(drop=True)


def verdicts(frame: pd.DataFrame, floor: Floor) -> pd.DataFrame:
    """Say of each two variants which is ahead on the test split, task by task.

    Args:
        frame: of zero-shot results.
        floor: of `claims.measured_floor`.

    Returns:
        Index first, second, task; columns `ahead` (a variant, NEITHER, or None where
        evidence is lacking), `difference`, and `seeds` (0 where only means were kept).
    """
    macro = results.tested(frame)
    variants = list(dict.fromkeys(macro["variant"]))
    rows = {}
    for first, second in combinations(variants, 2):
        named = {1: first, 0: NEITHER, -1: second, None: None}
        for task, row in results.paired(macro, first, second).iterrows():
            rows[first, second, task] = {
                "ahead": named[claims.ahead(row, floor)],
                "difference": row["difference"],
                "seeds": int(row["seeds"]),
            }
    names, columns = ["first", "second", "task"], ["ahead", "difference", "seeds"]
    index = pd.MultiIndex.from_arrays(
        list(zip(*rows, strict=True)) or [[], [], []], names=names
    )
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)


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
        lines += _changed(_verdicts(ours), _verdicts(published))
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


def _verdicts(found: Results) -> pd.DataFrame:
    """The verdicts of zero-shot results, by their own noise floor."""
    models = claims.models_of(Profile.load(found.stamp["profile"]))
    floor = claims.measured_floor(results.tested(found.frame), models)
    return verdicts(found.frame, floor)


def _changed(ours: pd.DataFrame, published: pd.DataFrame) -> list[str]:
    """List the verdicts that a rerun changes, and say where none can be given."""
    both = ours.join(published, how="inner", rsuffix="_published")
    judged = both[both["ahead"].notna() & both["ahead_published"].notna()]
    lines = [
        f"  VERDICT CHANGED, {first} or {second} on {task}: {_verdict(row, '')}; "
        f"published: {_verdict(row, '_published')}"
        for (first, second, task), row in judged.iterrows()
        if row["ahead"] != row["ahead_published"]
    ]
    if len(judged) and not lines:
        lines.append(f"  all {len(judged)} verdicts hold")
    few = (both[["seeds", "seeds_published"]] < ENOUGH).any(axis=1)
    if few.any():
        lines.append(
            f"  too few seeds for a verdict: {few.sum()} of {len(both)} comparisons of "
            f"two variants on a task; each side takes {ENOUGH}"
        )
    if rest := len(both) - len(judged) - few.sum():
        lines.append(f"  no noise floor to judge {rest} further comparisons by")
    return lines


def _verdict(row: pd.Series, which: str) -> str:
    """Write who is ahead, by how much, and over how many seeds."""
    points, ahead = row[f"difference{which}"], row[f"ahead{which}"]
    says = f"{ahead} ahead by {abs(points):.2f}"
    if ahead == NEITHER:
        says = f"{abs(points):.2f} apart, which may be noise"
    return f"{says} ({row[f'seeds{which}']:.0f} seeds)"
