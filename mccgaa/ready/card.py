"""The card of a model that is ready to use: what it is, and what it is not for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mccgaa.data.physionet import CC_BY, DATASETS
from mccgaa.data.store import SignalStore
from mccgaa.metrics import TaskResult
from mccgaa.plus.prompting import Prompting
from mccgaa.protocol import seen_in_words
from mccgaa.ready.calibration import LEAST
from mccgaa.ready.classifier import (
    KNOWLEDGE,
    ONNX,
    SCORING,
    VECTORS,
    Classifier,
    Scoring,
)
from mccgaa.run_folder import METRICS

CARD = """---
library_name: mccgaa
license: {licence}
tags: [ecg, zero-shot-classification]
---
# {name}

Says of a 12-lead ECG which findings, in plain words, it speaks for. A model of the
package `mccgaa`, {megabytes:.1f} MB.

```python
from mccgaa import load

load("{name}").classify("ecg.hea", ["atrial fibrillation", "sinus rhythm"])
```

## What it must not be used for

A research model. It is not a medical device, was not tested prospectively, and must not
be used to diagnose, treat or screen anybody, nor to decide who is seen by a physician.
A probability is a frequency among the records that it was fitted to, and not that of
another hospital. Rare findings, children, paced hearts, unusual electrode positions and
faulty recordings were hardly or not tested.

## Input

Twelve leads, {rate} Hz, {duration:g} s, {transform}. `mccgaa` reads
WFDB, CSV, NPY, EDF and CPSC2018's MAT files of any rate and length, and averages the
scores of their windows. Missing limb leads are computed from I and II; a record that
lacks others is refused or, where `allow_missing_leads` is given, has zeros there.

## What it was trained on

{trained}

Encoder: ResNet-{depth}, {parameters:.1f} million parameters in all; text encoder
`{encoder}`, frozen. Loss: {loss}.{merged} The configuration is in `config.json`.

## How it was tested

{tested}

{calibrated}

## Files

| file | holds |
| --- | --- |
{files}

## Licence and attribution

{attribution}
"""

TRANSFORMS = {
    "raw": "in mV",
    "bandpass-zscore": "filtered to 0.5-40 Hz, each lead in its standard deviations",
}
HOLDS = {
    "config.json": "every setting",
    "model.safetensors": "the weights, in half precision",
    VECTORS: "for every name and wording of a class, in the order of `texts` in its "
    "metadata: `vectors` of the text encoder, and `embeddings` to compare ECGs with",
    KNOWLEDGE: "the classes: names, synonyms, wordings, criteria, SNOMED-CT codes",
    SCORING: "how cosines become scores and probabilities",
    METRICS: "what it was trained on, as its run says it",
    ONNX: "the ECG encoder: `signals` (ecgs, 12, samples) to `embedding`",
}
SIMULATOR = (
    "The simulator, `mccgaa_twin`, was set while looking at real records of PTB-XL: at "
    "folds 1 to 9, and in a first draft at the spread of normal beats of fold 10."
)
MAY_BE_READ = (
    f"{' '.join(seen_in_words(None))} If they were, these probabilities are too sure."
)
CITATIONS = {
    "ptbxl": "Wagner et al., PTB-XL, a large publicly available electrocardiography "
    "dataset, Scientific Data 7:154 (2020)",
    "mimic": "Gow et al., MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset, "
    "PhysioNet (2023)",
    "cpsc2018": "Liu et al., An open access database for evaluating the algorithms of "
    "electrocardiogram rhythm and morphology abnormality detection, JMIHI 8 (2018)",
    "csn": "Zheng et al., A 12-lead electrocardiogram database for arrhythmia research "
    "covering more than 10,000 patients, Scientific Data 7:48 (2020)",
}


@dataclass(frozen=True)
class Tested:
    """What a model reaches on the test split of a store."""

    store: SignalStore
    tasks: dict[str, TaskResult]
    error: float | None  # expected calibration error; None without labels of findings


def write_card(
    name: str,
    folder: Path,
    classifier: Classifier,
    facts: dict[str, Any],
    tested: Sequence[Tested],
) -> str:
    """Write what a reader must know of a model before using it."""
    config = classifier.model.config
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    files = [f"| `{f}` | {text} |" for f, text in HOLDS.items() if f in sizes]
    real = _real_sources(facts)
    licence = _licence(facts["stages"])
    loss = config.loss.kind
    if loss == "statements":
        loss += ", one yes-or-no question for each ECG and statement"
    return CARD.format(
        name=name,
        licence=licence,
        megabytes=sum(size for f, size in sizes.items() if f != ONNX) / 1e6,
        rate=config.input.sampling_rate,
        duration=config.input.duration,
        transform=TRANSFORMS[config.input.transform],
        trained=_trained(facts["stages"]),
        depth=config.encoder.depth,
        parameters=sum(p.numel() for p in classifier.model.parameters()) / 1e6,
        encoder=config.text.encoder,
        loss=loss,
        merged=_merged(facts["merged"]),
        tested=_tests(name, tested, classifier.scoring.prompting)
        or "No store was given to test it on.",
        calibrated=_calibrated(classifier.scoring, tested),
        files="\n".join(files),
        attribution=_attribution(real, licence),
    )


def _real_sources(facts: dict[str, Any]) -> list[str]:
    """The datasets of patients among what a model was trained on, each once."""
    stages = facts["stages"]
    real = [stage.get("source") for stage in stages if stage["synthetic"] is False]
    return list(dict.fromkeys(source for source in real if source))


def _trained(stages: Sequence[dict[str, Any]]) -> str:
    """List what a model was trained on, and say what its simulator was made from."""
    listed = "\n".join(f"- {_stage(stage)}" for stage in stages)
    note = f"\n\n{SIMULATOR}" * any(stage["synthetic"] for stage in stages)
    return (listed or "- The run does not say.") + note


def _licence(stages: Sequence[dict[str, Any]]) -> str:
    """The licence of the weights, as far as that of all their ECGs decides it."""
    if not stages:
        return "unknown"
    if all(stage["synthetic"] for stage in stages):
        return "mit"
    return "cc-by-4.0" if all(map(_is_free, stages)) else "unknown"


def _is_free(stage: dict[str, Any]) -> bool:
    """Whether a stage was of simulated ECGs, or of real ones under CC BY 4.0."""
    if stage["synthetic"] is None:
        return False
    known = DATASETS.get(stage.get("source"))
    return stage["synthetic"] or (known is not None and known.licence == CC_BY)


def _stage(stage: dict[str, Any]) -> str:
    """Say what one run was trained on."""
    source = stage.get("source", "an unknown source")
    kinds = {True: "simulated ECGs", False: "real ECGs"}
    kind = kinds.get(stage["synthetic"], "ECGs, real or simulated as nothing says,")
    shape = f" (in the form of {source})" if stage["synthetic"] else f" of {source}"
    texts = {
        "report": "with the sentences of their reports",
        "knowledge": "with the names of their labels",
    }.get(stage["texts"], "with texts")
    count = f"{stage['ecgs']:,} " if stage["ecgs"] else ""
    name = stage.get("fingerprint", "unknown")
    return f"{count}{kind}{shape}, {texts}; store {name}."


def _tests(name: str, tested: Sequence[Tested], how: Prompting) -> str:
    """A table, a row for each store and task, and how to have it again."""
    if not tested:
        return ""
    rows = ["| test split of | task | records | classes | macro AUROC x 100 [95 %] |"]
    rows.append("| --- | --- | --- | --- | --- |")
    for one in tested:
        meta = one.store.meta
        source = f"{meta['source']}, {'simulated' if meta['synthetic'] else 'real'}"
        for task, result in one.tasks.items():
            low, high = (100 * bound for bound in result.ci95)
            found = f"{100 * result.macro_auroc:.1f} [{low:.1f}, {high:.1f}]"
            rows.append(
                f"| {source} | {task} | {result.n} | {len(result.classes)} | {found} |"
            )
    command = f"mccgaa zeroshot --run {name} --store STORE {how.flags()}"
    rows.append(f"\nA score is {how.in_words()}: `{command} --precision fp32`.")
    return "\n".join(rows)


def _calibrated(scoring: Scoring, tested: Sequence[Tested]) -> str:
    """Say what the probabilities were fitted to, and how good they are."""
    on = scoring.fitted
    if not on:
        return "Its probabilities are those of its loss; none were fitted afterwards."
    kind = "simulated" if on["synthetic"] else "real"
    said = (
        f"Its probabilities were fitted to {on['ecgs']} {kind} records of "
        f"{on['source']} ({' and '.join(on['splits'])} split)."
    )
    if on.get("records_in_pretraining", False) is None:
        said += f" {MAY_BE_READ}"
    for one in tested:
        if one.error is not None:
            said += (
                f" On the test split of {one.store.meta['source']}, probabilities of "
                f"{LEAST:.0%} or more differ from the share of true findings by "
                f"{100 * one.error:.1f} points (expected calibration error)."
            )
    return said


def _attribution(real: Sequence[str], licence: str) -> str:
    """Name the datasets that a model is made from, as their licences ask."""
    if licence == "mit":
        return (
            "MIT, like the package. No ECG of a patient was used in training: the "
            "records are simulated by `mccgaa_twin`."
        )
    said = ["The weights are under CC BY 4.0, the code of the package under MIT. Data:"]
    if licence == "unknown":
        said = [
            "The terms of the ECGs that it was trained on hold for the weights, and "
            "MIT for the code of the package."
        ]
        said += ["The run does not say which ECGs these are."] * (not real)
    for source in real:
        known = DATASETS.get(source)
        title = f"{known.title}, version {known.version}" if known else source
        terms = f"; {known.licence}" if known else ""
        work = f". {CITATIONS[source]}" if source in CITATIONS else ""
        said.append(f"- {title}{terms}{work}. Changes: used to train this model.")
    return "\n".join(said)


def training_facts(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a run and those that it started from were trained on.

    Args:
        metrics: what the run says of itself (`run_folder.read_metrics`).

    Returns:
        `stages`, first to last, each with source, fingerprint, synthetic and the kind
        of texts; and `merged`, as in `merged.Merged`, or None.
    """
    one = metrics
    stages = []
    while one:
        store = one.get("store") or {}
        kind = (one.get("texts") or {}).get("kind")
        ecgs = (one.get("pairs") or {}).get("train")
        facts = {"synthetic": one.get("synthetic"), "texts": kind, "ecgs": ecgs}
        stages.append({**store, **facts})
        one = one.get("start") or {}
    return {"stages": stages[::-1], "merged": metrics.get("merged")}


def _merged(merged: dict[str, Any] | None) -> str:
    """Say whose weights the model has, where they are not those of one run."""
    if not merged:
        return ""
    runs, share = len(merged["runs"]), merged["start_share"]
    said = f"the mean of {runs} runs that differ in their seed" if runs > 1 else ""
    if share:
        part = f"{share:.0%} those that the training started from"
        said = f"{part}, and for the rest {said or 'those that it ended with'}"
    return f" Its weights are {said}."
