"""What a zero-shot result rests on: its run, its data, and what was new at the test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.runtime import effective_precision, pick_device


def protocol(
    run: Path | str,
    model: MCCGAA,
    store: SignalStore,
    tasks: Sequence[str],
    knowledge: Knowledge,
    *,
    split: str | None = "test",
    fused: bool = False,
    precision: str = "bf16",
    bootstrap: int = 1000,
    device: str | None = None,
) -> dict[str, Any]:
    """Say how `zero_shot` scores a run, and what was new to it at the test.

    Args:
        run: the folder of `model`; what its metrics.json does not say is None here.
        model, store, tasks, knowledge: as in `zero_shot`, like the options.

    Returns:
        Plain data for JSON. `meaning` says it in words; `protocol.class_texts` counts
        for each task the class texts that occur word for word in training texts.
    """
    known = _metrics(Path(run))
    trained, read = known.get("store", {}), known.get("texts", {})
    style, named = model.config.text.style, read.get("named") or {}
    met = {}
    for task in tasks:
        texts = [knowledge.text(task, name, style) for name in store.classes(task)]
        asked = all(text in named for text in texts)  # of this knowledge base
        count = sum(named[text] for text in texts) if asked else None
        met[task] = {"classes": len(texts), "named_in_pretraining": count}
    same_store, same_source = (
        trained[key] == store.meta[key] if key in trained else None
        for key in ("fingerprint", "source")
    )
    seen = False if same_source is False else None  # another store may share records
    if same_store:
        seen = split in ("train", None)
    found = {
        "run": {
            "folder": str(run),
            "hash": known.get("hash"),
            "method": known.get("method"),
            "store": trained.get("fingerprint"),
            "source": trained.get("source"),
        },
        "store": {
            "folder": str(store.path),
            "fingerprint": store.meta["fingerprint"],
            "source": store.meta["source"],
        },
        "split": split or "all",
        "synthetic": {
            "tested": store.meta["synthetic"],
            "trained": known.get("synthetic"),
        },
        "protocol": {
            "classifier_fitted": False,
            "pretraining_texts": read.get("kind"),
            "same_source": same_source,
            "records_in_pretraining": seen,
            "class_texts": met,
            "transductive": fused,
        },
        "text_style": style,
        "knowledge": knowledge.fingerprint,
        "precision": effective_precision(pick_device(device), precision),
        "fused": fused,
        "bootstrap": bootstrap,
    }
    return {"meaning": _meaning(found), **found}


def _metrics(run: Path) -> dict[str, Any]:
    """What a finished run says of itself; a model without a run says nothing."""
    try:
        return json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RunError(f"{run / 'metrics.json'} is no JSON ({error}).") from error


def _meaning(found: dict[str, Any]) -> str:
    """Say in words what a zero-shot result rests on."""
    how, synthetic = found["protocol"], found["synthetic"]
    said = ["Zero-shot: no classifier was fitted to the labels of these tasks."]
    kinds = {"report": "reports", "knowledge": "texts made from the labels"}
    if how["pretraining_texts"] is None:
        said.append("What pretraining read is not known: the run does not say.")
    else:
        source = "the source of this test" if how["same_source"] else "another source"
        kind = kinds[how["pretraining_texts"]]
        said.append(f"Pretraining read {kind} of {found['run']['source']}, {source}.")
    counts = how["class_texts"].values()
    if all(count["named_in_pretraining"] is not None for count in counts):
        read = sum(count["named_in_pretraining"] for count in counts)
        total = sum(count["classes"] for count in counts)
        said.append(f"{read} of {total} class texts occur in them word for word.")
    if how["records_in_pretraining"]:
        said.append("Records of this split were in pretraining.")
    if how["transductive"]:
        said.append("Fused: a record's scores depend on the other records.")
    if synthetic["tested"]:
        said.append("Synthetic records: no evidence about patients.")
    elif synthetic["trained"]:
        said.append("Pretraining read synthetic records; these are real.")
    return " ".join(said)
