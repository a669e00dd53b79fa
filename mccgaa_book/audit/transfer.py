"""Simulated to real and back: what a model learns from the synthetic mirror."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mccgaa_book.lab import Lab


def common_variants(first: Lab, second: Lab) -> list[str]:
    """Variants that two profiles both have, in the first one's order."""
    return [name for name in first.variants if name in second.variants]


def table(
    trained: Lab, tested: Lab, variants: Sequence[str], split: str | None
) -> pd.DataFrame:
    """Score every variant and seed of one lab on the tasks that both labs have.

    Args:
        trained: the lab whose runs are scored.
        tested: the lab whose stores are scored on.
        variants: names of the first lab's variants.
        split: of the tested stores; None for all records.

    Returns:
        Rows label, seed, task and auroc (macro, x 100).
    """
    tasks = [task for task in tested.tasks if task in trained.tasks]
    rows = []
    for variant in variants:
        for seed in trained.seeds:
            found = trained.zero_shot(
                variant, seed, tasks=tasks, split=split, on=tested
            )
            rows += [
                {
                    "label": trained.variants[variant],
                    "seed": seed,
                    "task": task,
                    "auroc": 100 * result.macro_auroc,
                }
                for task, result in found.items()
            ]
    return pd.DataFrame(rows)


def summarise(long: pd.DataFrame) -> pd.DataFrame:
    """Average `table`'s rows over seeds: (tested on, label) by task, and their mean."""
    wide = long.pivot_table(
        index=["tested on", "label"], columns="task", values="auroc", sort=False
    )
    return wide.assign(mean=wide.mean(axis=1)).rename_axis(columns=None)


def weakest(classes: pd.DataFrame) -> pd.DataFrame:
    """List the classes whose interval reaches down to chance.

    Args:
        classes: of `audit.results.by_class`; AUROC x 100.
    """
    columns = ["task", "class", "positives", "auroc", "low", "high"]
    weak = classes.loc[classes["low"] <= 50, columns]
    return weak.sort_values(["task", "auroc"]).reset_index(drop=True)


def square(
    forward: pd.DataFrame, backward: pd.DataFrame, home: pd.DataFrame
) -> pd.DataFrame:
    """Lay the four directions out: trained on (rows) by tested on (columns).

    Args:
        forward: rows of `table`, simulated to real.
        backward: the other way.
        home: index level "tested on" of "simulated" and "real".
    """
    tasks = set(forward["task"]) & set(backward["task"])

    def mean(rows: pd.DataFrame) -> float:
        return float(rows.loc[rows["task"].isin(tasks), "auroc"].mean())

    own = {side: mean(home.loc[[side]]) for side in ("simulated", "real")}
    found = pd.DataFrame(
        {
            "simulated": {"simulated": own["simulated"], "real": mean(backward)},
            "real": {"simulated": mean(forward), "real": own["real"]},
        }
    )
    return found.rename_axis(index="trained on", columns="tested on")
