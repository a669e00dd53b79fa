"""Rows of results: how well a lab's models score, on its own records and another's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab


def zeroshot(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Zero-shot AUROC x 100 on the test and validation splits (section 4.3, Table 2).

    Returns:
        Rows `auroc`, macro and per class, with the bootstrap interval over records;
        and `positives` per class and `records` per task, also of all splits together
        ("all"), which no run decides, so that their variant and seed are empty.
    """
    rows: list[dict[str, Any]] = []
    for split in ("test", "val"):
        tasks = tested_tasks(lab, split)
        for variant in variants:
            for seed in seeds:
                name = {"variant": variant, "seed": str(seed), "split": split}
                for prompts in lab.profile.prompts:
                    found = lab.zero_shot(
                        variant, seed, tasks=tasks, split=split, prompts=prompts
                    )
                    for task, result in found.items():
                        rows += aurocs(name | {"task": task}, result, prompts)
        rows += counts(lab, tasks, split)
    rows += counts(lab, list(lab.tasks), None)
    return with_sources(pd.DataFrame(rows), lab)


def transfer(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Models of one lab tested on another's records, and back.

    Returns:
        Rows as of `zeroshot`, macro only. The lab's models are tested on all of the
        other's records (`split` "all") and on its test split; the other's models on
        this lab's test split.
    """
    rows: list[dict[str, Any]] = []
    ways: list[tuple[Lab, Lab, tuple[str | None, ...]]]
    ways = [(lab, lab.other, (None, "test")), (lab.other, lab, ("test",))]
    if lab.other.profile.name == lab.profile.name:
        del ways[1]  # the way back is the same
    for trained, tested, splits in ways:
        tasks = [task for task in tested.tasks if task in trained.tasks]
        for variant in [v for v in variants if v in trained.variants]:
            for seed in [s for s in seeds if s in trained.seeds]:
                for split, prompts in product(splits, lab.profile.prompts):
                    found = trained.zero_shot(
                        variant,
                        seed,
                        tasks=tasks,
                        split=split,
                        on=tested,
                        prompts=prompts,
                    )
                    name = {
                        "variant": variant,
                        "seed": str(seed),
                        "split": split or "all",
                        "trained_on": trained.trained_on(variant, seed),
                    }
                    for task, result in found.items():
                        where = tested.data_kind(tested.tasks[task])
                        own = name | {"task": task, "tested_on": where}
                        rows += aurocs(own, result, prompts)[:1]
    return pd.DataFrame(rows)


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
    own, *others = tested_labs(lab)
    places = [(own, split) for split in splits["own"]]
    places += [(other, split) for other in others for split in splits["other"]]
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


def tested_labs(lab: Lab) -> list[Lab]:
    """The lab, and the one that its models are tested on too, if that is another."""
    other = lab.other if lab.profile.transfer else lab
    return [lab] if other.profile.name == lab.profile.name else [lab, other]


def prompting(prompts: str) -> dict[str, str]:
    """The options of `zeroshot.score_tasks` that a profile's `prompts` name."""
    kind, _, reduction = prompts.partition("-")
    return {"prompts": kind} | ({"reduction": reduction} if reduction else {})


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


def counts(lab: Lab, tasks: Sequence[str], split: str | None) -> list[dict[str, Any]]:
    """Rows that tell how many records a task has, and how many each class."""
    rows = []
    for task in tasks:
        name, there = lab.profile.tested_on(task)
        store = lab.store(name)
        index = store.indices(split=split, task=there)
        labels, classes = store.labels(there, index)
        counts = {("", "records"): len(index)}
        counts |= {
            (c, "positives"): int(n)
            for c, n in zip(classes, labels.sum(axis=0), strict=True)
        }
        rows += [
            {
                "variant": "",
                "seed": "",
                "split": split or "all",
                "task": task,
                "class": c,
                "metric": metric,
                "value": n,
            }
            for (c, metric), n in counts.items()
        ]
    return rows


def sources(
    lab: Lab, task: str, home: Lab | None = None, variant: str = "", seed: int = 0
) -> dict[str, str]:
    """Say of a row what kinds of ECGs it rests on.

    Args:
        lab: whose task is tested.
        task: likewise.
        home: the lab of the run that is tested; None for a number without one.
        variant, seed: of the run.
    """
    trained = home.trained_on(variant, seed) if home else ""
    return {"trained_on": trained, "tested_on": lab.data_kind(lab.tasks[task])}


def with_sources(frame: pd.DataFrame, lab: Lab) -> pd.DataFrame:
    """Say of each row what kinds of ECGs it rests on, where a profile needs that.

    It does where its stores mix both kinds, and where a variant's first weights are
    those of another run.

    Args:
        frame: rows of the lab's runs, tested on its own records; with `trained_on`
            where these are not runs that `Lab.trained_on` knows.
        lab: whose they are.
    """
    if not lab.started and lab.synthetic != "mixed":
        return frame.drop(columns="trained_on", errors="ignore")
    own = lab.data_kind()
    kinds = {task: lab.data_kind(store) for task, store in lab.tasks.items()}
    if "trained_on" not in frame:
        runs = zip(frame["variant"], frame["seed"], strict=True)
        said = [lab.trained_on(v, int(seed)) if v else own for v, seed in runs]
        frame = frame.assign(trained_on=said)
    # Numbers of pretraining, of the task "" or "pretrain", are of its own records.
    return frame.assign(tested_on=frame["task"].map(kinds).fillna(own))
