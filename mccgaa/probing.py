"""Probe the tasks of a store by a recipe, and say what the results rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from mccgaa import merl_probe, probe
from mccgaa.choices import Recipe
from mccgaa.data.store import SignalStore
from mccgaa.metrics import TaskResult
from mccgaa.probe import SHARES, Head, Part
from mccgaa.protocol import (
    kind_in_words,
    pretraining_in_words,
    provenance,
    seen_in_words,
)

CONVERGED, MERL = get_args(Recipe)
HOW = {
    CONVERGED: "The heads converged, their regularisation was chosen on the validation "
    "split, and the test split was scored once.",
    MERL: "The ancestor's recipe: the epoch best-test was chosen by the labels of the "
    "test split, and is no result.",
}


class Row(NamedTuple):
    """One number of Table 3: a task, a share of its training split, a recipe."""

    task: str
    share: int  # per cent
    recipe: str  # "converged", or "merl" and the epoch chosen, such as "merl-best-test"
    result: TaskResult
    head: Head | None  # of "converged"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        said = {"task": self.task, "share": self.share, "recipe": self.recipe}
        if self.head is not None:
            known = None if isnan(self.head.val_auroc) else self.head.val_auroc
            said |= {"l2": self.head.l2, "val_macro_auroc": known}
        return said | self.result.to_dict()


def probe_tasks(
    x: NDArray[np.floating],
    store: SignalStore,
    tasks: Sequence[str],
    *,
    shares: Sequence[int] = SHARES,
    seed: int = 0,
    recipe: Recipe = CONVERGED,
    bootstrap: int = 1000,
    **options: Any,
) -> Iterator[Row]:
    """Fit and score linear heads, one row at a time.

    Args:
        x: (N, W) of `probe.features`, of all records of the store.
        store: packed records.
        tasks: names among the store's tasks.
        shares: per cent of the training split, each drawn by `seed`.
        seed: likewise.
        recipe: CONVERGED or MERL.
        bootstrap: resamples behind the intervals.
        **options: `per_iteration`, `choices` of `merl_probe.probe`.

    Raises:
        StoreError, RunError: as `probe.Part.of` and `probe.fit`.
    """
    for task in tasks:
        train, val, test = (
            Part.of(x, store, task, s) for s in ("train", "val", "test")
        )
        parts = (train, val, test, store.classes(task))
        for share in shares:
            how = {"share": share, "seed": seed, "bootstrap": bootstrap}
            if recipe == CONVERGED:
                result, head = probe.probe(*parts, **how)
                yield Row(task, share, recipe, result, head)
            else:
                found = merl_probe.probe(*parts, **how, **options)
                for choice, result in found.items():
                    yield Row(task, share, f"{recipe}-{choice}", result, None)


def protocol(
    run: Path | str,
    store: SignalStore,
    *,
    shares: Sequence[int] = SHARES,
    seed: int = 0,
    recipe: Recipe = CONVERGED,
    bootstrap: int = 1000,
) -> dict[str, Any]:
    """Say how `probe_tasks` scores a run's encoder, and what that encoder has read.

    Args:
        run: the folder of the model; what its metrics.json does not say is None here.
        store, shares, seed, recipe, bootstrap: as in `probe_tasks`.

    Returns:
        Plain data for JSON; `meaning` says it in words.
    """
    found, _ = provenance(run, store, "train")
    found["split"] = "test"
    percents = ", ".join(map(str, shares))
    said = [f"Linear probe: heads were fitted to {percents} % of the training split."]
    said += [HOW[recipe], *pretraining_in_words(found)]
    seen = found["protocol"]["records_in_pretraining"]
    said += seen_in_words(seen, "the training split")
    how = {"shares": list(shares), "seed": seed, "recipe": recipe}
    found["protocol"] = {"classifier_fitted": True, **how, **found["protocol"]}
    said += kind_in_words(found["synthetic"])
    return {"meaning": " ".join(said), **found, "bootstrap": bootstrap}
