"""Between two models: weights on the line from a start to where training ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from mccgaa.errors import ConfigError
from mccgaa.ready.merged import merge, start_of
from mccgaa_book.results import history
from mccgaa_book.scored import aurocs, tested_labs, tested_tasks

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa.model import MCCGAA
    from mccgaa_book.lab import Lab

SHARES = (0.0, 0.25, 0.5, 0.75)  # of the start, in the weights
HALF = 0.5  # the only one on a test split beside 0: nothing is chosen there
MERGED = "merged"  # behind a variant and its share: the mean of all seeds' weights


def averaged(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Zero-shot AUROC x 100 of runs averaged with the weights that they started from.

    Returns:
        Macro rows, without intervals. `variant` is followed by the share of the start
        ("tuned 0.5"), of which there are SHARES on the validation splits of the lab and
        of the profile that it transfers to, and none and HALF on their test splits.
        Where several seeds started from the same weights, there are two models of no
        seed: the mean of all their weights ("tuned 0.5 merged"), and where they began
        ("tuned 1"), on the validation splits.

    Raises:
        ConfigError: a variant that starts from no model's weights.
    """
    check(lab, variants)
    rows: list[dict[str, Any]] = []
    for variant in variants:
        runs = {str(seed): lab.run(variant, seed) for seed in seeds}
        starts = [run.metrics["start"] for run in runs.values()]
        whole = [(seed, "", [run.folder]) for seed, run in runs.items()]
        folders = [run.folder for run in runs.values()]
        common = len(runs) > 1 and len({start["weights"] for start in starts}) == 1
        if common:
            whole.append(("", f" {MERGED}", folders))
        kinds = next(iter(runs.values())).kinds
        for (seed, how, some), share in product(whole, SHARES):
            name = {"variant": f"{variant} {share:g}{how}", "seed": seed}
            name |= {"trained_on": history(kinds)}
            splits = ["val", "test"] if share in (0, HALF) else ["val"]
            rows += _everywhere(lab, merge(some, share).model, splits, name)
        if common:
            name = {"variant": f"{variant} 1", "seed": ""}
            name |= {"trained_on": history(kinds[:-1])}
            rows += _everywhere(lab, start_of(folders[0]).model, ["val"], name)
    return pd.DataFrame(rows)


def check(lab: Lab, variants: Sequence[str]) -> None:
    """Refuse variants whose weights have nothing to be averaged with.

    Raises:
        ConfigError: a variant that starts from no model's weights.
    """
    for variant in variants:
        start = lab.config(variant).pretrain.start
        if not (start or lab.profile.variants[variant].start_of):
            raise ConfigError(
                f"{lab.profile.path}: {variant} starts from no model's weights, so "
                "there is nothing to average its own with; choose variants that do."
            )


def _everywhere(
    lab: Lab, model: MCCGAA, splits: Sequence[str], name: dict[str, str]
) -> list[dict[str, Any]]:
    """The macro rows of a model on splits of a lab and of where it transfers."""
    return [
        row
        for tested, split in product(tested_labs(lab), splits)
        for row in _macros(lab, model, tested, name | {"split": split})
    ]


def _macros(
    lab: Lab, model: MCCGAA, tested: Lab, row: dict[str, str]
) -> list[dict[str, Any]]:
    """The macro row of each task of a lab's split, for each way to word classes."""
    tasks = tested_tasks(tested, row["split"])
    how = {"split": row["split"], "bootstrap": 0}
    rows = []
    for prompts in lab.profile.prompts:
        for task, result in tested.score(model, tasks, lab.knowledge, prompts, **how):
            name = {"task": task, "tested_on": tested.data_kind(tested.tasks[task])}
            rows += aurocs(row | name, result, prompts)[:1]
    return rows
