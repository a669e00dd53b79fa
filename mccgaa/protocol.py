"""What a zero-shot result rests on: its run, its data, and what was new at the test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mccgaa.choices import Prompts, Reduction
from mccgaa.data.store import SignalStore
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.plus.prompting import Prompting, texts_of
from mccgaa.run_folder import read_metrics
from mccgaa.runtime import effective_precision, pick_device

# (pretrain.text, whether it was split into statements) -> what pretraining read
READ = {
    ("report", False): "reports",
    ("knowledge", False): "texts made from the labels",
    ("report", True): "the statements of reports",
    ("knowledge", True): "statements made from the labels",
}
TESTED = "those tested are not marked as synthetic."


def protocol(
    run: Path | str,
    model: MCCGAA,
    store: SignalStore,
    tasks: Sequence[str],
    knowledge: Knowledge,
    *,
    split: str | None = "test",
    fused: bool = False,
    prompts: Prompts = "single",
    reduction: Reduction = "max",
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
        for each task the classes of which a text, of those that they are scored by,
        occurs word for word in training texts. A run that took its weights from another
        rests on what that one read too (`protocol.stages`, the last one first).
    """
    found, stages = provenance(run, store, split)
    style, wording = model.config.text.style, Prompting(prompts, reduction)
    read = [(stage["texts"] or {}).get("named") or {} for stage in stages]
    met = {}
    for task in tasks:
        entries = [knowledge.entry(task, name) for name in store.classes(task)]
        classes = [texts_of([wording.of(e, knowledge, style)]) for e in entries]
        words = {text for one in classes for text in one}
        asked = all(words <= named.keys() for named in read)  # of this base
        count = sum(any(named.get(t) for named in read for t in one) for one in classes)
        met[task] = {
            "classes": len(classes),
            "named_in_pretraining": count if asked else None,
        }
    found["protocol"] = {
        "classifier_fitted": False,
        **found["protocol"],
        "class_texts": met,
        "transductive": fused,
    }
    found |= {
        "text_style": style,
        "knowledge": knowledge.fingerprint,
        "precision": effective_precision(pick_device(device), precision),
        "fused": fused,
        "prompts": prompts,
        "reduction": None if prompts == "single" else reduction,
        "bootstrap": bootstrap,
    }
    return {"meaning": _meaning(found), **found}


def provenance(
    run: Path | str, store: SignalStore, split: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Say what a run has read, and what of that is in a store's split.

    Args:
        run: the folder of a model, as in `protocol`.
        store: that it is tested on.
        split: likewise; None for all records. Which of them were in pretraining is not
            known (None) for another store of a source that pretraining read, as the
            two may share records, nor where the run does not say what it read.

    Returns:
        Plain data for JSON, of any kind of test; and what the run and those that it
        started from read, the last one first.
    """
    known = read_metrics(run)
    stages = list(_stages(known))
    trained = stages[0]["store"] or {}
    texts = stages[0]["texts"] or {}
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
            "trained": _all_alike([stage["synthetic"] for stage in stages]),
        },
        "protocol": {
            "pretraining_texts": texts.get("kind"),
            "unseen": texts.get("unseen"),
            "stages": [
                {
                    "source": (stage["store"] or {}).get("source"),
                    "texts": (stage["texts"] or {}).get("kind"),
                    "statements": bool((stage["texts"] or {}).get("statements")),
                    "synthetic": stage["synthetic"],
                }
                for stage in stages
            ],
            "same_source": _any([_same(stage, store, "source") for stage in stages]),
            "records_in_pretraining": _any(
                [_seen(stage, store, split) for stage in stages]
            ),
        },
    }
    return found, stages


def _stages(known: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """What was read by a run, by the run that it started from, and so on."""
    while known is not None:
        yield {key: known.get(key) for key in ("store", "texts", "synthetic")}
        known = known.get("start")


def _same(stage: dict[str, Any], store: SignalStore, key: str) -> bool | None:
    """Whether a stage read a store of this fingerprint or source, if it says so."""
    trained = stage["store"] or {}
    return trained[key] == store.meta[key] if key in trained else None


def _seen(stage: dict[str, Any], store: SignalStore, split: str | None) -> bool | None:
    """Whether a stage read records of this split."""
    if _same(stage, store, "fingerprint"):
        return split in ("train", None)
    # Another store of the source may share records.
    return False if _same(stage, store, "source") is False else None


def _any(known: Sequence[bool | None]) -> bool | None:
    """Whether one of them is so; None where it is not known."""
    return True if True in known else None if None in known else False


def _all_alike(known: Sequence[bool | None]) -> bool | str | None:
    """What all of them are; "mixed" where they differ, None where it is not known."""
    if None in known:
        return None
    return known[0] if len(set(known)) == 1 else "mixed"


def _meaning(found: dict[str, Any]) -> str:
    """Say in words what a zero-shot result rests on."""
    how = found["protocol"]
    said = ["Zero-shot: no classifier was fitted to the labels of these tasks."]
    said += pretraining_in_words(found)
    counts = how["class_texts"].values()
    if all(count["named_in_pretraining"] is not None for count in counts):
        read = sum(count["named_in_pretraining"] for count in counts)
        total = sum(count["classes"] for count in counts)
        texts = "class texts occur" if found["prompts"] == "single" else "classes are"
        said.append(f"{read} of {total} {texts} in them word for word.")
    said += seen_in_words(how["records_in_pretraining"])
    if how["transductive"]:
        said.append("Fused: a record's scores depend on the other records.")
    return " ".join([*said, *kind_in_words(found["synthetic"])])


def pretraining_in_words(found: dict[str, Any]) -> list[str]:
    """Say in sentences what pretraining read, of what `provenance` gives."""
    how = found["protocol"]
    stages = how["stages"][::-1]  # as they came
    if any(stage["texts"] is None for stage in stages):
        card = Path(found["run"]["folder"]) / "README.md"
        may = f" (its card may: {card})" if card.is_file() else ""
        said = [f"What pretraining read is not known: the run does not say{may}."]
    else:
        read = [
            f"{READ[stage['texts'], stage['statements']]} of {stage['source']}, "
            + (
                "the source of this test"
                if stage["source"] == found["store"]["source"]
                else "another source"
            )
            for stage in stages
        ]
        said = [f"Pretraining read {', and then '.join(read)}."]
    if how["unseen"]:
        left = how["unseen"]
        said.append(
            f"Held out with all that shows them: {', '.join(left['classes'])} "
            f"({left['left_out']} of {left['records']} training records)."
        )
    return said


def seen_in_words(seen: bool | None, records: str = "this split") -> list[str]:
    """Say in a sentence whether pretraining read records; nothing where it did not.

    Args:
        seen: `protocol.records_in_pretraining` of `provenance`.
        records: which they are.
    """
    if seen is None:
        return [f"Whether records of {records} were in pretraining is not known."]
    return [f"Records of {records} were in pretraining."] if seen else []


def kind_in_words(synthetic: dict[str, Any]) -> list[str]:
    """Say in a sentence whether ECGs were simulated; nothing where none is said to."""
    if synthetic["tested"]:
        return ["Synthetic records: no evidence about patients."]
    if synthetic["trained"] == "mixed":
        return ["Pretraining read synthetic and real records; " + TESTED]
    if synthetic["trained"]:
        return ["Pretraining read synthetic records; " + TESTED]
    return []
