"""Tables of a chapter, made from rows of results: means, spreads, and differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from mccgaa.profile import Profile
from mccgaa_book import paper
from mccgaa_book.audit.results import ENOUGH, supported
from mccgaa_book.noise import Floor, noise_floor
from mccgaa_book.page import ABSENT
from mccgaa_book.results import (
    MEAN,
    over_seeds,
    paired,
    published,
    with_task_mean,
)

if TYPE_CHECKING:
    from mccgaa_book.lab import Lab

MEMBERS = "auroc_members-mean"  # a class is the mean over its members and wordings
WAYS = {"one text": "auroc", "members": MEMBERS}  # to score a model of chapter 8
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


def macro(frame: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Macro rows of the test split and of one metric, which is then named `auroc`."""
    of = (frame["class"] == "") & (frame["split"] == "test")
    of &= (frame["metric"] == metric) & (frame["task"] != "") & (frame["variant"] != "")
    return frame[of].assign(metric="auroc")


def macros(frame: pd.DataFrame, tested_on: str, metric: str = "auroc") -> pd.DataFrame:
    """Macro rows on one kind of ECGs, by one way to score, which is named `auroc`."""
    rows = frame[(frame["tested_on"] == tested_on) & (frame["metric"] == metric)]
    return rows.assign(metric="auroc")


def both_ways(
    frame: pd.DataFrame, tested_on: str, called: dict[str, str]
) -> pd.DataFrame:
    """Means over tasks with their deviation over seeds, scored in both ways.

    Args:
        frame: macro rows of the test split, of both metrics of WAYS.
        tested_on: "real" or "synthetic".
        called: variant -> label of its row, in this order, as far as they are there.

    Returns:
        Index "variant"; columns of WAYS, each with its "SD, ...", and "seeds".
    """
    columns = {}
    for way, metric in WAYS.items():
        rows = with_task_mean(macros(frame, tested_on, metric))
        value = rows[rows["task"] == MEAN].groupby("variant")["value"]
        columns |= {way: value.mean(), f"SD, {way}": value.std()}
    table = pd.DataFrame(columns).assign(seeds=value.count())
    kept = [name for name in called if name in table.index]
    return table.loc[kept].rename(index=called).rename_axis("variant")


def labels(lab: Lab, names: Sequence[str], more: dict[str, str]) -> dict[str, str]:
    """What a table calls each row: variant -> label, in the order of `names`.

    Args:
        lab: as `Lab.at` finds the variants.
        names: of an experiment, such as `lab.table("table4")`.
        more: rows that are no variants.
    """
    return {lab.at(name)[1]: lab.label(name) for name in names} | more


def means(frame: pd.DataFrame, called: dict[str, str]) -> pd.DataFrame:
    """Mean ± standard deviation over seeds, as text.

    Args:
        frame: of `macro`.
        called: variant -> label of its row; only these, in this order.

    Returns:
        Rows the labels; columns "trained on" (where the results say it), the tasks and
        "mean", then "seeds".
    """
    summary = over_seeds(with_task_mean(frame))
    tasks = [t for t in dict.fromkeys(frame["task"]) if t != MEAN]
    rows = {}
    for variant, label in called.items():
        of = summary[summary.index.get_level_values("variant") == variant]
        if len(of):
            of = of.droplevel("variant")
            cells = {t: _written(of, t) for t in [*tasks, MEAN]}
            if "trained_on" in frame:
                own = frame["variant"] == variant
                cells = {"trained on": frame.loc[own, "trained_on"].iloc[0]} | cells
            rows[label] = cells | {"seeds": int(of["seeds"].min())}
    return pd.DataFrame(rows).T


def floor_of(lab: Lab) -> Floor:
    """The noise floor of a lab's Tables 4 to 6, from all seeds of its Table 4."""
    return noise_floor(macro(lab.results("table4").frame))


def narrow(table: pd.DataFrame) -> pd.DataFrame:
    """Leave of a table of `means` the deviation of the mean over tasks alone."""
    tasks = [name for name in paper.TASKS.values() if name in table]
    alone = table[tasks].map(lambda cell: cell.partition(PLUS_MINUS)[0])
    return table.assign(**{name: alone[name] for name in tasks})


def of_both_kinds(experiment: str) -> pd.DataFrame:
    """Set the published results of an experiment on both kinds of ECGs side by side.

    Args:
        experiment: whose macro rows have the metric `auroc`, such as "zeroshot".

    Returns:
        Index "ECGs" ("real", "simulated") and "variant" (labels); the mean of each of
        the paper's tasks, in its order, "mean" with its deviation, and "seeds"; empty
        where nothing is published.
    """
    kinds = {}
    for one in published(experiment):
        variants = Profile.load(one.stamp["profile"]).variants
        called = {name: variant.label for name, variant in variants.items()}
        kind = "simulated" if one.synthetic else "real"
        kinds[kind] = narrow(means(macro(one.frame), called))
    columns = [*paper.TASKS.values(), MEAN, "seeds"]
    if not kinds:
        return pd.DataFrame(columns=columns)
    table = pd.concat(kinds, names=["ECGs", "variant"])
    return table.reindex(columns=columns)


def _written(summary: pd.DataFrame, task: str) -> str:
    """Write one mean and its spread."""
    if task not in summary.index:
        return ABSENT
    mean, sd = summary.loc[task, "mean"], summary.loc[task, "sd"]
    return f"{mean:.1f}" + ("" if pd.isna(sd) else f"{PLUS_MINUS}{sd:.1f}")


def against(
    frame: pd.DataFrame, called: dict[str, str], full: str, floor: Floor
) -> pd.DataFrame:
    """How far each variant is from the full model, and whether that is more than noise.

    Args:
        frame: of `macro`.
        called: variant -> label of its row.
        full: the variant that is subtracted.
        floor: the noise floor.

    Returns:
        Rows (label, task), the mean over tasks as "mean"; columns `difference` (AUROC
        x 100), the ends `low` and `high` of its 95 % interval over seeds where enough
        are there, `seeds`, `noise floor`, and `beyond it` ("yes", "no" or "unknown").
    """
    rows = []
    for variant, label in called.items():
        if variant == full or variant not in set(frame["variant"]):
            continue
        change = supported(paired(frame, variant, full))
        for task, row in change.iterrows():
            seeds = max(1, int(row["seeds"]))
            beyond = floor.exceeded(pd.Series({task: row["difference"]}), seeds)[task]
            if min(row["seeds"], floor.seeds) < ENOUGH:  # then no verdict is written
                beyond = None
            rows.append(
                {
                    "variant": label,
                    "task": task,
                    "difference": row["difference"],
                    "low": row["low"],
                    "high": row["high"],
                    "seeds": int(row["seeds"]),
                    "noise floor": floor.at(seeds).get(task, float("nan")),
                    "beyond it": {True: "yes", False: "no", None: "unknown"}[beyond],
                }
            )
    columns = ["difference", "low", "high", "seeds", "noise floor", "beyond it"]
    table = pd.DataFrame(rows, columns=["variant", "task", *columns])
    return table.set_index(["variant", "task"])


def beyond(table: pd.DataFrame) -> str:
    """Name the rows of `against` that are more than noise, for a sentence."""
    found = table[table["beyond it"] == "yes"]
    named = [
        f"{variant} on {task} ({row['difference']:+.1f})"
        if task != MEAN
        else f"{variant} in the mean ({row['difference']:+.1f})"
        for (variant, task), row in found.iterrows()
    ]
    return "; ".join(named) or "none"
