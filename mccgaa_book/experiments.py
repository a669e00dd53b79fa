"""Which runs are behind each table and figure, as experiments that write results.

An experiment takes a lab, variants and seeds, and gives tidy rows; `run` writes them
where they belong, with a stamp.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mccgaa.config import METHOD
from mccgaa.errors import ConfigError
from mccgaa.pairs import record_texts
from mccgaa.runtime import facts, has_bf16, pick_device
from mccgaa_book import results
from mccgaa_book.audit.text import false_negatives
from mccgaa_book.checkout import checkout
from mccgaa_book.scored import aurocs, beyond, climb, tested_tasks
from mccgaa_book.strict import unseen
from mccgaa_book.supervised import ceiling

if TYPE_CHECKING:  # a lab runs experiments, so it imports this module
    from mccgaa_book.lab import Lab

Experiment = Callable[["Lab", Sequence[str], Sequence[int]], pd.DataFrame]


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
        rows += _counts(lab, tasks, split)
    rows += _counts(lab, list(lab.tasks), None)
    return _with_sources(pd.DataFrame(rows), lab, lab)


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
                        "trained_on": trained.data_kind(),
                    }
                    for task, result in found.items():
                        where = tested.data_kind(tested.tasks[task])
                        own = name | {"task": task, "tested_on": where}
                        rows += aurocs(own, result, prompts)[:1]
    return pd.DataFrame(rows)


def pretraining(
    lab: Lab, variants: Sequence[str], seeds: Sequence[int]
) -> pd.DataFrame:
    """What each pretraining run did (section 4.1, Fig. 3).

    Returns:
        Rows of split "train" and "val" (held-out pairs): losses in nats
        (`first_loss`, `first_twentieth_loss`, `last_twentieth_loss`, `final_loss`, of
        the cross-modal part; `last_twentieth_uma`; `loss_floor`, what equal texts in a
        batch leave of it at best), retrieval (`ecg_to_text_r5`, `fused_...`, ...), and
        `seconds`, `samples_per_second`, `weights`.
    """
    rows = []
    for variant in variants:
        floors = loss_floors(lab, variant)
        for seed in seeds:
            run = lab.run(variant, seed)
            cma, uma = run.history["cma"], run.history["uma"]
            part = max(1, len(cma) // 20)
            epoch = len(cma) // run.config.pretrain.epochs  # steps
            last = run.epochs.iloc[-1].drop(["epoch", "step"])
            numbers = {
                ("train", "first_loss"): cma.iloc[0],
                ("train", "first_twentieth_loss"): cma.iloc[:part].mean(),
                ("train", "last_twentieth_loss"): cma.iloc[-part:].mean(),
                ("train", "last_twentieth_uma"): uma.iloc[-part:].mean(),
                ("train", "final_loss"): cma.iloc[-epoch:].mean(),
                ("train", "seconds"): run.metrics["seconds"],
                ("train", "samples_per_second"): (
                    run.history["samples_per_second"].median()
                ),
                ("train", "weights"): sum(p.numel() for p in run.model.parameters()),
            }
            numbers |= {("train", "loss_floor"): floors["train"]}
            numbers |= {("val", "loss_floor"): floors["val"]}
            for metric, value in last.items():
                metric = "final_loss" if metric == "held_out_cma" else metric
                numbers["val", str(metric)] = value
            rows += [
                {
                    "variant": variant,
                    "seed": str(seed),
                    "split": split,
                    "task": "",
                    "class": "",
                    "metric": metric,
                    "value": float(value),
                }
                for (split, metric), value in numbers.items()
            ]
    return pd.DataFrame(rows)


EXPERIMENTS: dict[str, Experiment] = {
    "zeroshot": zeroshot,
    "pretraining": pretraining,
    "transfer": transfer,
    "climb": climb,
    "beyond": beyond,
    "unseen": unseen,
    "ceiling": ceiling,
}


def loss_floors(lab: Lab, variant: str) -> dict[str, float]:
    """The least cross-modal loss of a batch in which some texts are equal (eq 30).

    An ECG whose text occurs k times in its batch cannot tell the k apart and pays at
    least log k; the sum of both directions doubles it, and the CLIP loss halves that.

    Returns:
        "train": expected over batches drawn from the training texts; "val": of the
        held-out batches in their order.
    """
    config = lab.config(variant)
    store, size = lab.store("pretrain"), config.pretrain.batch_size
    texts = record_texts(store, config.pretrain, config.model.text, lab.knowledge)
    train, held_out = (
        [texts[i] for i in store.indices(split=split) if texts[i]]
        for split in ("train", "val")
    )
    both = 1.0 if config.model.loss.kind == "clip" else 2.0
    logs, records = 0.0, 0
    for start in range(0, len(held_out), size):
        _, group, count = np.unique(
            held_out[start : start + size], return_inverse=True, return_counts=True
        )
        logs += np.log(count[group]).sum()
        records += len(group)
    return {
        "train": both * float(false_negatives(train, [size]).iloc[0]["floor"]),
        "val": both * logs / records if records else float("nan"),
    }


def run(
    names: Sequence[str],
    lab: Lab,
    *,
    variants: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    publish: bool = False,
    dry_run: bool = False,
) -> list[Path]:
    """Make experiments and write their results.

    Args:
        names: of EXPERIMENTS.
        lab: of the profile whose runs are needed.
        variants: by default those of the profile's `reproduce`; all with `publish`.
        seeds: likewise.
        publish: write to `results/<profile>` instead of `reruns/<profile>`; needs the
            whole profile as it is.
        dry_run: say which runs are needed, and make nothing.

    Returns:
        The CSV files written.

    Raises:
        ConfigError: an unknown experiment, variant or seed, or a part published.
    """
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise ConfigError(
            f"There is no experiment {', '.join(map(repr, unknown))}; there are "
            f"{', '.join(EXPERIMENTS)}."
        )
    if publish and (variants or seeds or lab.overrides):
        raise ConfigError(
            "Published results are those of a whole profile: use --publish without "
            "--variants, --seeds and --set."
        )
    variants, seeds = _chosen(lab, variants, seeds, everything=publish)
    if dry_run:
        for name in names:
            for variant in variants:
                print(f"{name}: {variant}, seeds {', '.join(map(str, seeds))}")
        return []
    folder = checkout() / "results" / lab.profile.name if publish else lab.reruns
    return [make(lab, name, variants, seeds, folder) for name in names]


def make(
    lab: Lab,
    name: str,
    variants: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    folder: Path | None = None,
) -> Path:
    """Make one experiment and write its results.

    Rows of other runs that an earlier call left in the folder stay, if they were made
    with the same settings on the same device.

    Args:
        lab: whose runs are needed.
        name: of the experiment.
        variants: by default those of the profile's `reproduce`.
        seeds: likewise.
        folder: where they go; by default `reruns/<profile>`.

    Returns:
        The CSV.
    """
    variants, seeds = _chosen(lab, variants, seeds)
    folder = folder or lab.reruns
    start = time.monotonic()
    frame = EXPERIMENTS[name](lab, variants, seeds)
    stamp = _stamp(lab, name, variants, seeds, time.monotonic() - start)
    path = folder / f"{name}.csv"
    if path.is_file() and not results.outdated(path, lab.hashes(name)):
        before = results.load(name, lab.profile.name, folder)
        if before.stamp["device"] == stamp["device"]:
            keys = [c for c in frame if c not in results.NUMBERS]
            both = pd.concat([before.frame, frame]).drop_duplicates(keys, keep="last")
            frame = both.reset_index(drop=True)
    if "trained_on" in frame:  # a run may have started from other data's weights
        words = " ".join(frame["trained_on"] + " " + frame["tested_on"]).split()
        if {results.SYNTHETIC, results.REAL} <= set(words):
            stamp["synthetic"] = "mixed"
    return results.save(frame, stamp, name, folder)


def _chosen(
    lab: Lab,
    variants: Sequence[str] | None,
    seeds: Sequence[int] | None,
    everything: bool = False,
) -> tuple[list[str], list[int]]:
    """Complete and check a choice of runs."""
    part = lab.profile.reproduce
    if not everything:
        variants, seeds = variants or part.variants, seeds or part.seeds
    variants, seeds = list(variants or lab.variants), list(seeds or lab.seeds)
    for variant in variants:
        lab.config(variant)  # refuses an unknown one
    unknown = [str(seed) for seed in seeds if seed not in lab.seeds]
    if unknown:
        raise ConfigError(
            f"{lab.profile.path} has no seed {', '.join(unknown)}; it has "
            f"{', '.join(map(str, lab.seeds))}."
        )
    return variants, seeds


def _stamp(
    lab: Lab,
    name: str,
    variants: Sequence[str],
    seeds: Sequence[int],
    seconds: float,
) -> dict[str, Any]:
    """How the results were made; see `results.STAMP`."""
    device = pick_device()
    made_on = facts(device)
    precision = lab.config().pretrain.precision
    if precision == "bf16" and not has_bf16(device):
        precision = "fp32, the device has no bf16"
    stores = ["pretrain"] if name == "pretraining" else [*lab.profile.stores]
    data = {
        f"{one.profile.name}/{store}": {
            "fingerprint": one.store(store).meta["fingerprint"],
            "synthetic": one.store(store).meta["synthetic"],
        }
        for one in lab.behind(name)
        for store in (one.profile.stores if one is not lab else stores)
    }
    kinds = {entry["synthetic"] for entry in data.values()}
    others = lab.hashes(name)
    del others[lab.profile.name]
    return {
        "command": (
            f"mccgaa run {name} --profile {lab.profile.name} "
            f"--variants {' '.join(variants)} --seeds {' '.join(map(str, seeds))}"
        ),
        "profile": lab.profile.name,
        "profile_hash": lab.hash,
        "others": others,
        "method": METHOD,
        "data": data,
        "synthetic": kinds.pop() if len(kinds) == 1 else "mixed",
        "device": made_on["device"],
        "threads": made_on["threads"],
        "precision": precision,
        "seconds": round(seconds),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "package": version("mccgaa"),
        "note": "settings overridden: " + str(lab.overrides) if lab.overrides else "",
    }


def _counts(lab: Lab, tasks: Sequence[str], split: str | None) -> list[dict[str, Any]]:
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


def _with_sources(frame: pd.DataFrame, trained: Lab, tested: Lab) -> pd.DataFrame:
    """Say of each row what kind of ECGs it rests on, where a profile mixes them."""
    if trained.synthetic != "mixed" and tested.synthetic != "mixed":
        return frame
    kinds = {task: tested.data_kind(store) for task, store in tested.tasks.items()}
    return frame.assign(
        trained_on=trained.data_kind(), tested_on=frame["task"].map(kinds)
    )
