"""Rows of results: how well a lab's models score, on its own records and another's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab


def climb(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Zero-shot AUROC x 100 where settings are chosen: on no test split.

    Returns:
        Macro rows, without intervals, of the lab's validation split and, where the
        profile names another to test its models on, of that one's training and
        validation splits.
    """
    return _on(lab, variants, seeds, {"own": ["val"], "other": ["train", "val"]}, 0)


def beyond(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Zero-shot AUROC x 100 on the test splits, of the lab and of where it transfers.

    Returns:
        Macro rows with the bootstrap interval over records.
    """
    return _on(lab, variants, seeds, {"own": ["test"], "other": ["test"]}, 1000)


def _on(
    lab: Lab,
    variants: Sequence[str],
    seeds: Sequence[int],
    splits: dict[str, list[str]],
    bootstrap: int,
) -> pd.DataFrame:
    """Macro rows of a lab's models on splits of its own and of another's records."""
    places = [(lab, split) for split in splits["own"]]
    if lab.profile.transfer:
        places += [(lab.other, split) for split in splits["other"]]
    rows: list[dict[str, Any]] = []
    for variant, seed, (tested, split), prompts in product(
        variants, seeds, places, lab.profile.prompts
    ):
        tasks = [task for task in tested_tasks(tested, split) if task in lab.tasks]
        found = lab.zero_shot(
            variant,
            seed,
            tasks=tasks,
            split=split,
            on=tested,
            prompts=prompts,
            bootstrap=bootstrap,
        )
        for task, result in found.items():
            name = {
                "variant": variant,
                "seed": str(seed),
                "split": split,
                "task": task,
                "trained_on": lab.trained_on(variant, seed),
                "tested_on": tested.data_kind(tested.tasks[task]),
            }
            rows += aurocs(name, result, prompts)[:1]
    return pd.DataFrame(rows)


def tested_tasks(lab: Lab, split: str) -> list[str]:
    """Tasks that have records in a split."""
    return [
        task
        for task in lab.tasks
        if len(
            lab.store(lab.tasks[task]).indices(
                split=split, task=lab.profile.tested_on(task)[1]
            )
        )
    ]


def aurocs(
    name: dict[str, str], result: Any, prompts: str = "single"
) -> list[dict[str, Any]]:
    """Rows of one task: the macro AUROC first, then every class."""
    metric = "auroc" if prompts == "single" else f"auroc_{prompts}"
    parts = {"": (result.macro_auroc, result.ci95)}
    parts |= {c: (e["auroc"], e["ci95"]) for c, e in result.classes.items()}
    return [
        name
        | {
            "class": c,
            "metric": metric,
            "value": 100 * value,
            "low": _hundred(low),
            "high": _hundred(high),
        }
        for c, (value, (low, high)) in parts.items()
    ]


def _hundred(bound: float | None) -> float:
    """A bound x 100; not a number where there is none."""
    return float("nan") if bound is None else 100 * bound
