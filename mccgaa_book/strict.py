"""Zero-shot on classes that pretraining never met, beside the usual protocol.

Each class of the tasks is in one of five random groups. The run of each seed is
pretrained once more without any record or statement that carries a class of one group
(`pretrain.unseen`), and tested on these classes alone: five seeds hold out each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mccgaa_book.scored import aurocs, tested_tasks, with_sources

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab

GROUPS = 5
LARGEST = 6  # members of a family that is still held out as a whole
DRAWN_WITH = 2026  # the seed of the groups, the same for every run


def groups(lab: Lab) -> list[list[tuple[str, str]]]:
    """Divide the classes of a lab's tasks into random groups.

    Classes of two tasks that the knowledge base calls the same are in one group.
    Large families, such as three superclasses of PTB-XL, are in none: without the
    records of all their members too little would be left to learn from.

    Returns:
        `GROUPS` lists of (task, class), of nearly equally many names.
    """
    named: dict[str, list[tuple[str, str]]] = {}
    for task in lab.tasks:
        store, there = lab.profile.tested_on(task)
        for cls in lab.store(store).classes(there):
            entry = lab.knowledge.entry(there, cls)
            if len(lab.knowledge.members(entry)) <= LARGEST:
                named.setdefault(entry.name.lower(), []).append((task, cls))
    order = np.random.default_rng(DRAWN_WITH).permutation(sorted(named))
    return [
        [c for name in order[i::GROUPS] for c in named[name]] for i in range(GROUPS)
    ]


def unseen(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC x 100 of classes on the test split, held out from pretraining or not.

    Returns:
        One row per class of the group of its seed, without an interval: metric
        `auroc_unseen` of the run that never met it, and `auroc` of the usual run.
        Classes without a positive or a negative record are absent.
    """
    rows: list[dict[str, Any]] = []
    tasks, every = tested_tasks(lab, "test"), groups(lab)
    for seed in seeds:
        classes = every[seed % len(every)]
        held_out = without(lab, classes)
        wanted = {task: [c for t, c in classes if t == task] for task in tasks}
        for variant in variants:
            for metric, one in (("auroc_unseen", held_out), ("auroc", lab)):
                found = one.zero_shot(
                    variant,
                    seed,
                    tasks=[task for task in tasks if wanted[task]],
                    bootstrap=0,
                )
                name = {"variant": variant, "seed": str(seed), "split": "test"}
                name |= {"trained_on": one.trained_on(variant, seed)}
                for task, result in found.items():
                    rows += [
                        row | {"metric": metric}
                        for row in aurocs(name | {"task": task}, result)
                        if row["class"] in wanted[task]
                    ]
    return with_sources(pd.DataFrame(rows), lab)


def without(lab: Lab, classes: Sequence[tuple[str, str]]) -> Lab:
    """The same lab, whose runs never meet some classes of its tasks."""
    names = [f"{lab.profile.tested_on(task)[1]}/{cls}" for task, cls in classes]
    return lab.changed({"pretrain": {"unseen": names}})
