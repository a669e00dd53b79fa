"""Rows of results: what a lab's pretraining runs did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mccgaa.pairs import record_texts
from mccgaa_book.audit.text import false_negatives
from mccgaa_book.scored import with_sources

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab


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
    frame = pd.DataFrame(rows)  # of one store, whatever kinds the others are
    return with_sources(frame, lab) if lab.started else frame


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
