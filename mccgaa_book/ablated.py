"""Rows of Tables 1, 4, 5 and 6: what the data are, and MCCGAA with parts replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import nn

from mccgaa.config import ModelConfig
from mccgaa.data.store import SPLITS
from mccgaa.model import MCCGAA
from mccgaa.runtime import facts, pick_device
from mccgaa_book import results
from mccgaa_book.checkout import checkout
from mccgaa_book.scored import aurocs, counts, sources, tested_tasks, with_sources

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab


def table1(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """How many records each dataset has, and how many of each class (Table 1).

    No run decides any of it, so that variant and seed are empty.

    Returns:
        Rows per split and of all together ("all"): `records` per task, `positives` per
        class, and of the task "pretrain" `records` and `subjects` of pretraining.
    """
    rows: list[dict[str, Any]] = []
    for split in (*SPLITS, None):
        rows += counts(lab, list(lab.tasks), split)
        store = lab.store("pretrain")
        records = store.records.iloc[store.indices(split=split)]
        found = {"records": len(records), "subjects": records["subject_id"].nunique()}
        rows += [
            {
                "variant": "",
                "seed": "",
                "split": split or "all",
                "task": "pretrain",
                "class": "",
                "metric": metric,
                "value": value,
            }
            for metric, value in found.items()
        ]
    return with_sources(pd.DataFrame(rows), lab)


def table4(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Zero-shot AUROC x 100 of MCCGAA without its parts (section 4.5, Table 4).

    Returns:
        Macro rows of the test split with the interval over records.
    """
    return pd.DataFrame(_tested(lab, variants, seeds))


def known(
    lab: Lab, variants: Sequence[str], seeds: Sequence[int]
) -> results.Results | None:
    """Rows of Table 4 that the published Table 2 has, of variants not all trained here.

    A row of both tables is one run, so that who publishes Table 4 need not train again
    what is published already, with the same settings, all of these seeds among others.

    Returns:
        Rows as of `table4`, with the stamp of Table 2; None where there are none, or
        no others to make.
    """
    path = checkout() / "results" / lab.profile.name / "zeroshot.csv"
    if not path.is_file() or lab.outdated(path):
        return None
    found = results.load("zeroshot", lab.profile.name)
    data = {of.split("/")[1]: was for of, was in found.stamp["data"].items()}
    packed = all(
        (Path(lab.profile.recipe(s).out) / "store.json").exists() for s in data
    )
    if found.stamp["device"] != facts(pick_device())["device"] or not packed:
        return None
    if any(
        was["fingerprint"] != lab.store(store).meta["fingerprint"]
        for store, was in data.items()
    ):
        return None
    frame = found.frame.query("split == 'test' and `class` == '' and metric == 'auroc'")
    frame = frame[frame["seed"].isin(list(map(str, seeds)))]
    here = [
        variant
        for variant in variants
        if lab.at(variant)[0] is not lab
        or not {*map(str, seeds)} <= {*frame.loc[frame["variant"] == variant, "seed"]}
        or all(lab.finished(variant, seed) for seed in seeds)
    ]
    frame = frame[frame["variant"].isin({*variants} - {*here})]
    if "trained_on" not in frame:  # one kind of ECGs, then
        kind = lab.data_kind()
        frame = frame.assign(trained_on=kind, tested_on=kind)
    return replace(found, frame=frame) if here and len(frame) else None


def table5(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """The same of backbones, and what each costs (section 4.6, Table 5).

    Returns:
        Rows as of `table4`, and of the task "": `weights` of the ECG encoder and
        `flops` of one ECG per variant (no seed); per run `seconds` and
        `samples_per_second` of pretraining, and its cross-modal loss in nats at the
        end, as the mean of the last epoch (`training_loss`) and on the validation
        split (`held_out_loss`).
    """
    rows = _tested(lab, variants, seeds)
    for name in variants:
        home, variant = lab.at(name)
        costs = cost(home.config(variant).model)
        rows += [_number(variant, "", m, value) for m, value in costs.items()]
        for seed in seeds:
            run = home.run(variant, seed)
            steps = run.history
            took = {
                "seconds": run.metrics["seconds"],
                "samples_per_second": steps["samples_per_second"].median(),
                "training_loss": steps.query("epoch == epoch.max()")["cma"].mean(),
                "held_out_loss": run.epochs["held_out_cma"].iloc[-1],
            }
            rows += [_number(variant, str(seed), m, value) for m, value in took.items()]
    return pd.DataFrame(rows)


def table6(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """The same of widths of the graph (section 4.6, Table 6).

    Returns:
        Rows as of `table4`, and `graph_weights` per variant (task "", no seed).
    """
    rows = _tested(lab, variants, seeds)
    for name in variants:
        home, variant = lab.at(name)
        graph = MCCGAA(home.config(variant).model).gafa
        count = sum(weight.numel() for weight in graph.parameters())
        rows.append(_number(variant, "", "graph_weights", count))
    return pd.DataFrame(rows)


def _tested(
    lab: Lab, variants: Sequence[str], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Macro rows of variants, wherever they are, on a lab's test split."""
    rows: list[dict[str, Any]] = []
    tasks = tested_tasks(lab, "test")
    for name in variants:
        home, variant = lab.at(name)
        for seed in seeds:
            found = home.zero_shot(variant, seed, tasks=tasks, on=lab)
            of = {"variant": variant, "seed": str(seed), "split": "test"}
            for task, result in found.items():
                where = sources(lab, task, home, variant, seed)
                rows += aurocs(of | where | {"task": task}, result)[:1]
    return rows


def _number(variant: str, seed: str, metric: str, value: float) -> dict[str, Any]:
    """A row of what a network or a run takes, whatever it is tested on."""
    return {
        "variant": variant,
        "seed": seed,
        "trained_on": "",
        "tested_on": "",
        "split": "",
        "task": "",
        "class": "",
        "metric": metric,
        "value": float(value),
    }


@torch.no_grad()
def cost(config: ModelConfig) -> dict[str, float]:
    """Count what the ECG encoder of a configuration takes.

    Returns:
        `weights`, and `flops` of one ECG: two per multiplication of a convolution or a
        linear layer, whatever algorithm computes it; the rest is far less.
    """
    encoder = MCCGAA(config).encoder.eval()
    total = 0

    def count(layer: nn.Module, given: tuple, made: torch.Tensor) -> None:
        nonlocal total
        total += 2 * made.numel() * layer.weight[0].numel()

    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    encoder(torch.zeros(1, config.encoder.leads, config.input.length))
    weights = sum(weight.numel() for weight in encoder.parameters())
    return {"weights": float(weights), "flops": float(total)}
