"""Between two models: weights on the line from a start to where training ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from mccgaa.errors import ConfigError
from mccgaa.ready.merged import merge, start_of
from mccgaa.zeroshot import zero_shot
from mccgaa_book.results import history
from mccgaa_book.scored import aurocs, prompting, tested_tasks

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa.model import MCCGAA
    from mccgaa_book.lab import Lab

SHARES = (0.0, 0.25, 0.5, 0.75)  # of the start, in the weights
HALF = 0.5  # the only one on a test split beside 0: nothing is chosen there
MERGED, START = "merged", "start"  # seeds: the mean of all; where they began


def averaged(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Zero-shot AUROC x 100 of runs averaged with the weights that they started from.

    Returns:
        Macro rows, without intervals, with a column `start_share`: of the validation
        splits of the lab and of the profile that it transfers to, for each of SHARES,
        and of their test splits for none and half. Where several seeds started from
        the same weights, the seed MERGED is the mean of all of theirs, and the seed
        START those weights, on the validation splits.

    Raises:
        ConfigError: a variant that starts from no model's weights.
    """
    rows: list[dict[str, Any]] = []
    places = [lab, *([lab.other] if lab.profile.transfer else [])]
    for variant in variants:
        runs = {str(seed): [lab.run(variant, seed)] for seed in seeds}
        starts = [one.metrics.get("start") for (one,) in runs.values()]
        if None in starts:
            raise ConfigError(
                f"{lab.profile.path}: {variant} starts from no model's weights, so "
                "there is nothing to average its own with; choose variants that do."
            )
        if len(runs) > 1 and len({start["weights"] for start in starts}) == 1:
            runs[MERGED] = [one for (one,) in runs.values()]
        kinds = next(iter(runs.values()))[0].kinds
        models = [
            (name, share, kinds, merge([run.folder for run in some], share).model)
            for (name, some), share in product(runs.items(), SHARES)
        ]
        if MERGED in runs:
            start = start_of(runs[MERGED][0].folder).model
            models.append((START, 1.0, kinds[:-1], start))
        for name, share, met, model in models:
            row = {"variant": variant, "seed": name, "start_share": f"{share:g}"}
            row |= {"trained_on": history(met)}
            splits = ["val", "test"] if share in (0, HALF) else ["val"]
            for tested, split in product(places, splits):
                rows += _macros(lab, model, tested, row | {"split": split})
    return pd.DataFrame(rows)


def _macros(
    lab: Lab, model: MCCGAA, tested: Lab, row: dict[str, str]
) -> list[dict[str, Any]]:
    """The macro row of each task of a lab's split, for each way to word classes."""
    by_store: dict[str, dict[str, str]] = {}  # store -> task there -> task
    for task in tested_tasks(tested, row["split"]):
        if task in lab.tasks:
            store, there = tested.profile.tested_on(task)
            by_store.setdefault(store, {})[there] = task
    rows = []
    for (store, tasks), prompts in product(by_store.items(), lab.profile.prompts):
        found = zero_shot(
            model,
            tested.store(store),
            list(tasks),
            lab.knowledge,
            split=row["split"],
            bootstrap=0,
            **prompting(prompts),
        )
        source = {"tested_on": tested.data_kind(store)}
        for there, result in found.items():
            name = row | source | {"task": tasks[there]}
            rows += aurocs(name, result, prompts)[:1]
    return rows
