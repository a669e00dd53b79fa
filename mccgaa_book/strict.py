"""Zero-shot on classes that pretraining never met.

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


def group_of(lab: Lab, seed: int) -> list[tuple[str, str]]:
    """The (task, class) that the runs of a seed never meet."""
    every = groups(lab)
    return every[seed % len(every)]


def unseen(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC x 100 on the test split of classes that the run never met.

    The same under the usual protocol is `scored.zeroshot`'s.

    Returns:
        One row per class of the group of its seed, without an interval: metric
        `auroc_unseen`. Classes without a positive or a negative record are absent.
        Besides, per variant and seed, `records`: how many pretraining had left.
    """
    rows: list[dict[str, Any]] = []
    tasks = tested_tasks(lab, "test")
    for seed in seeds:
        classes = group_of(lab, seed)
        held_out = without(lab, classes)
        wanted = {task: [c for t, c in classes if t == task] for task in tasks}
        wanted = {task: some for task, some in wanted.items() if some}
        for variant in variants:
            name = {"variant": variant, "seed": str(seed), "split": "test"}
            name |= {"trained_on": held_out.trained_on(variant, seed)}
            found = held_out.zero_shot(variant, seed, tasks=list(wanted), bootstrap=0)
            for task, result in found.items():
                rows += [
                    row | {"metric": "auroc_unseen"}
                    for row in aurocs(name | {"task": task}, result)
                    if row["class"] in wanted[task]
                ]
            left = held_out.run(variant, seed).metrics["pairs"]["train"]
            about = {"task": "", "class": "", "metric": "records"}
            rows.append(name | about | {"split": "train", "value": left})
    return with_sources(pd.DataFrame(rows), lab)


def without(lab: Lab, classes: Sequence[tuple[str, str]]) -> Lab:
    """The same lab, whose runs never meet some classes of its tasks."""
    names = [f"{lab.profile.tested_on(task)[1]}/{cls}" for task, cls in classes]
    return lab.changed({"pretrain": {"unseen": names}})


def by_group(never: pd.DataFrame, usual: pd.DataFrame) -> pd.DataFrame:
    """Put each group's classes beside themselves in runs that met them.

    Args:
        never: of the experiment "unseen".
        usual: of "zeroshot", from runs of the same variants; their seeds are averaged.

    Returns:
        Index `seed`, which is a group; columns ("never", variant) and ("met", variant),
        mean AUROC x 100 over the group's classes, NaN where not all of them were met;
        ("classes", "") and ("records", ""),
        how many there are and how many pretraining had left at most.
    """
    of_class = ["variant", "task", "class"]
    classes = never[never["metric"] == "auroc_unseen"]
    met = usual[(usual["split"] == "test") & (usual["metric"] == "auroc")]
    met = met.groupby(of_class)["value"].mean().rename("met")
    both = classes.rename(columns={"value": "never"}).join(met, on=of_class)
    groups = both.groupby(["seed", "variant"])[["never", "met"]]
    found = groups.agg(lambda values: values.mean(skipna=False)).unstack()
    names = classes.drop_duplicates(["seed", "task", "class"])
    found["classes", ""] = names.groupby("seed").size()
    left = never[never["metric"] == "records"].groupby("seed")["value"].max()
    found["records", ""] = left
    return found
