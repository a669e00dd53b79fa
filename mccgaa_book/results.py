"""Results are data: one tidy CSV per experiment, one stamp beside it.

`results/<profile>/<experiment>.csv` is what this repository publishes, and what its
tables, figures, README and claims are made from. A rerun goes to
`reruns/<profile>/<experiment>.csv`, which git ignores. One row is one raw number; a
table is made from it where it is shown.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from mccgaa.config import METHOD
from mccgaa.errors import BookError
from mccgaa.files import write_whole
from mccgaa.profile import Profile
from mccgaa_book.checkout import checkout

COLUMNS = ["variant", "seed", "split", "task", "class", "metric"]  # what a number is of
NUMBERS = ["value", "low", "high"]  # the number and its 95 % interval
SOURCES = ["trained_on", "tested_on"]  # a kind of ECGs, where a file mixes both
SYNTHETIC, REAL = "synthetic", "real"  # the kinds
STAMP = [
    "command",
    "profile",
    "profile_hash",  # of what decides the numbers; see also `others`
    "method",
    "data",  # store -> its fingerprint and whether it is synthetic
    "synthetic",  # true, false or "mixed"
    "device",  # of the machine that put the rows together, as the next two
    "threads",
    "precision",
    "seconds",
    "when",
    "package",
    "note",
]  # and `sha256` of the CSV; `experiments.make` adds `trained` and `earlier_commands`
MEAN = "mean"  # the task that is the mean over tasks
SEVERAL = "mean of "  # then a number: seeds whose single numbers were not kept


@dataclass(frozen=True)
class Results:
    """The numbers of one experiment, and how they were made.

    Attributes:
        frame: COLUMNS, and SOURCES where both kinds of data are mixed, then NUMBERS.
            `class` is "" for a macro mean. `seed` is a text: "0", or "mean of 3" for
            numbers whose single seeds were not kept; these have a metric `auroc` (the
            mean) and `auroc_sd` (the spread over seeds).
        stamp: see STAMP.
        path: of the CSV.
    """

    frame: pd.DataFrame
    stamp: dict[str, Any]
    path: Path

    @property
    def synthetic(self) -> bool | str:
        """Whether the ECGs were simulated: True, False or "mixed"."""
        return self.stamp["synthetic"]

    def badge(self) -> str:
        """What the ECGs are, for a page's banner."""
        title = Profile.load(self.stamp["profile"]).title
        return f"{title[:1].upper()}{title[1:]}."


def load(experiment: str, profile: str, folder: Path | None = None) -> Results:
    """Read the results of an experiment.

    Args:
        experiment: such as "zeroshot".
        profile: whose: its name, such as "real".
        folder: read from here instead of `results/<profile>`.

    Raises:
        BookError: there are none, or the files are damaged or do not belong together.
    """
    path = (folder or checkout() / "results" / profile) / f"{experiment}.csv"
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        stamp = stamp_of(path)
    except FileNotFoundError as error:
        raise BookError(
            f"{error.filename} does not exist; make it with `mccgaa run {experiment}`."
        ) from error
    except ValueError as error:
        raise BookError(f"{path} is damaged ({error}); make it again.") from error
    lacking = [c for c in COLUMNS + NUMBERS if c not in frame]
    lacking += [key for key in STAMP if key not in stamp]
    if lacking:
        raise BookError(f"{path} and its stamp lack {', '.join(lacking)}.")
    for column in NUMBERS:
        try:
            frame[column] = pd.to_numeric(frame[column])
        except ValueError as error:
            raise BookError(
                f"{path} has a {column} that is no number ({error}); make it again."
            ) from error
    made = _sha256(path.read_text(encoding="utf-8"))
    if stamp.get("sha256", made) != made:
        raise BookError(
            f"{path} is not what was made: its stamp has another checksum. It was "
            f"changed by hand, or half of it is older; put both files back, or make "
            f"them again with `mccgaa run {experiment}`."
        )
    note_reading(path)
    return Results(frame, stamp, path)


def published(experiment: str, folder: Path | None = None) -> list[Results]:
    """Read all published results of an experiment, those on real ECGs first.

    Args:
        experiment: such as "zeroshot".
        folder: of results: `<profile>/<experiment>.csv`; the checkout's by default.
    """
    folder = folder or checkout() / "results"
    names = sorted(path.parent.name for path in folder.glob(f"*/{experiment}.csv"))
    found = [load(experiment, name, folder / name) for name in names]
    return sorted(found, key=lambda one: one.synthetic is not False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def stamp_of(path: Path) -> dict[str, Any]:
    """Read the stamp beside a CSV of results."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def outdated(
    path: Path, hashes: dict[str, str], plan: Mapping[str, str] | None = None
) -> str | None:
    """Say why results are not those of today's settings and method.

    Args:
        path: of the CSV.
        hashes: profile -> hash of what it decides now, of every profile they rest on.
        plan: row -> hash of what decides it beside profiles, a baseline's settings.

    Returns:
        The end of a sentence, or None where nothing has changed.
    """
    try:
        stamp = stamp_of(path)
        made = {stamp["profile"]: stamp["profile_hash"], **stamp.get("others", {})}
        method = stamp["method"]
    except (OSError, ValueError, KeyError):
        return "has no readable stamp"
    if method != METHOD:
        return f"was made with METHOD {method}; the code now has METHOD {METHOD}"
    if made != hashes:
        names = ", ".join(sorted(set(made) | set(hashes)))
        return f"was made with other settings than those of {names} now"
    planned = stamp.get("plan", {})
    if plan and not isinstance(planned, dict):
        return "does not say which settings of the baselines it was made with"
    others = [row for row, one in planned.items() if (plan or {}).get(row) != one]
    if others:
        return f"was made with other settings of {', '.join(others)} than it has now"
    return None


def save(
    frame: pd.DataFrame, stamp: dict[str, Any], experiment: str, folder: Path
) -> Path:
    """Write results and their stamp.

    Args:
        frame: as in `Results`; absent NUMBERS but `value` are left empty.
        stamp: with the keys of STAMP; others may be added.
        experiment: name of the files.
        folder: where they go.

    Returns:
        The CSV.

    Raises:
        BookError: a column or key is missing, two rows are of the same number, or the
            data are mixed and the rows do not say which is which.
    """
    frame = frame.copy()
    for column in ("low", "high"):
        if column not in frame:
            frame[column] = math.nan
    mixed = stamp.get("synthetic") == "mixed"
    order = COLUMNS + [c for c in SOURCES if mixed or c in frame] + NUMBERS
    lacking = [c for c in order if c not in frame]
    lacking += [key for key in STAMP if key not in stamp]
    stray = [str(c) for c in frame if c not in order]
    if lacking or stray:
        raise BookError(
            f"Results of {experiment} lack {', '.join(lacking) or 'nothing'} and have "
            f"{', '.join(stray) or 'nothing'} too much; expected {', '.join(order)}."
        )
    keys = [c for c in order if c not in NUMBERS]
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        raise BookError(
            f"Results of {experiment} give the same number twice: "
            f"{', '.join(map(str, twice.iloc[0][keys]))}."
        )
    path = folder / f"{experiment}.csv"
    text = frame[order].to_csv(index=False, float_format="%.6g")
    stamp = stamp | {"sha256": _sha256(text)}
    with write_whole(path) as file:
        file.write(text)
    with write_whole(path.with_suffix(".json")) as file:
        file.write(json.dumps(stamp, indent=2) + "\n")
    return path


def tested(frame: pd.DataFrame) -> pd.DataFrame:
    """Take the macro rows of runs on the test split: of whole tasks, of no class."""
    macro = (frame["split"] == "test") & (frame["class"] == "")
    return frame[macro & (frame["variant"] != "")]


def single_seeds(frame: pd.DataFrame) -> pd.Series:
    """Which rows are of one seed, and not a mean over several."""
    return ~frame["seed"].str.startswith(SEVERAL)


def over_seeds(
    frame: pd.DataFrame,
    by: Sequence[str] = ("variant", "task"),
    metric: str = "auroc",
) -> pd.DataFrame:
    """Average over seeds.

    Args:
        frame: of `Results`, already narrowed to one split, and to classes or macros.
        by: columns that name a number.
        metric: which one.

    Returns:
        Index `by`; columns mean, sd (of the single seeds, n - 1) and seeds (how many).
        The sd of one seed is NaN.
    """
    of = frame[frame["metric"] == metric]
    kept = single_seeds(of)
    groups = of[kept].groupby(list(by), sort=False)["value"]
    single = pd.DataFrame(
        {"mean": groups.mean(), "sd": groups.std(), "seeds": groups.size()}
    )
    of = of[~kept].set_index(list(by))
    spread = frame[frame["metric"] == f"{metric}_sd"].set_index(list(by))["value"]
    several = pd.DataFrame(
        {
            "mean": of["value"],
            "sd": spread.reindex(of.index),
            "seeds": of["seed"].str.removeprefix(SEVERAL).astype(int),
        }
    )
    both = [part for part in (single, several) if len(part)]
    order = frame[list(by)].drop_duplicates().set_index(list(by)).index
    found = pd.concat(both) if both else single
    return found.reindex(order[order.isin(found.index)])


def with_task_mean(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the mean over tasks, per variant and seed, where it is not given.

    Args:
        frame: macro rows (`class` empty) of one metric and split.
    """
    keys = [c for c in frame.columns if c not in ("task", *NUMBERS)]
    has = frame[frame["task"] == MEAN].set_index(keys).index
    mean = frame.groupby(keys, sort=False, dropna=False)["value"].mean()
    mean = mean[~mean.index.isin(has)].reset_index().assign(task=MEAN)
    return pd.concat([frame, mean[~mean["metric"].str.endswith("_sd")]])


def paired(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Compare two variants seed by seed.

    Args:
        frame: macro rows of one split, as in `Results`.
        first: variant.
        second: variant that is subtracted from it.

    Returns:
        One row per task that both have, and one for the mean over these tasks:
        `difference`, its `sd` over seeds, its 95 % t interval `low` to `high`, in how
        many seeds the first is `ahead`, and `seeds`. Where only means over seeds were
        kept, the difference is theirs, `seeds` is 0, and there is no interval.
    """
    rows = {}
    macros = frame[frame["metric"] == "auroc"]
    of = [set(macros.loc[macros["variant"] == v, "task"]) for v in (first, second)]
    macros = with_task_mean(macros[macros["task"].isin(of[0] & of[1])])
    for task, part in macros.groupby("task", sort=False):
        means = part.groupby("variant")["value"].mean()
        if first not in means or second not in means:
            continue
        kept = part[single_seeds(part)]
        wide = kept.pivot(index="seed", columns="variant", values="value")
        change = (wide.reindex(columns=[first, second]) @ [1.0, -1.0]).dropna()
        n = len(change)
        mean = change.mean() if n else means[first] - means[second]
        ahead = int((change > 0).sum())
        rows[task] = (mean, change.std(), *interval(change), ahead, n)
    columns = ["difference", "sd", "low", "high", "ahead", "seeds"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return found.rename_axis("task")


def interval(values: pd.Series) -> tuple[float, float]:
    """The 95 % t interval of a mean; NaN where there are fewer than two values."""
    n, mean = len(values), values.mean()
    half = stats.t.ppf(0.975, n - 1) * values.sem() if n > 1 else math.nan
    return mean - half, mean + half


def mean_row(values: pd.Series) -> pd.Series:
    """Average a number of each seed, or group, with its 95 % t interval.

    A seed or group without the number is none.

    Returns:
        `difference`, `low`, `high` and `seeds`, as a row of `paired`.
    """
    values = values.dropna()
    low, high = interval(values)
    row = {"difference": values.mean(), "low": low, "high": high, "seeds": len(values)}
    return pd.Series(row)


def kinds_of(metrics: Mapping[str, Any]) -> list[str]:
    """Kinds of the ECGs that a model's weights have met, earliest first: its own last.

    Args:
        metrics: what its run says of itself, and of the run that it started from.
    """
    kinds = []
    part: Mapping[str, Any] | None = metrics
    while part:
        kind = {True: SYNTHETIC, False: REAL}.get(part.get("synthetic"), "unknown")
        kinds.insert(0, kind)
        part = part.get("start")
    return kinds


def history(kinds: Sequence[str]) -> str:
    """Write which kinds of ECGs weights have met, such as "synthetic then real".

    Args:
        kinds: earliest first.
    """
    return " then ".join(dict.fromkeys(kinds))


def note_reading(path: Path) -> None:
    """Tell the press which file a page was made from.

    The press names a file in MCCGAA_READS while it executes a chapter; elsewhere this
    does nothing.
    """
    log = os.environ.get("MCCGAA_READS")
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{path.resolve()}\n")
