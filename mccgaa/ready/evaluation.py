"""Score a model on another hospital's folder, in the PhysioNet/CinC challenge layout.

Nothing is packed and nothing chosen: each record is read, cut into windows as long as
the model's input, and its scores are the means over them. The classes are those of
`data.challenge`, whose table says which SNOMED-CT codes count as which; codes that
count as none are reported. A record with none of the classes is a negative of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mccgaa.counted import counted
from mccgaa.data.challenge import CLASSES, CODES, read_rows
from mccgaa.data.packing import is_synthetic
from mccgaa.data.reader import Ids, left_out
from mccgaa.data.record import read_record
from mccgaa.data.store import table_digest
from mccgaa.errors import RecordError, StoreError
from mccgaa.files import bar
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import TaskResult, evaluate
from mccgaa.plus.prompting import texts_of
from mccgaa.protocol import (
    kind_in_words,
    pretraining_in_words,
    provenance,
    seen_in_words,
)
from mccgaa.ready.classifier import Classifier

TASK = "challenge"  # the vocabulary of the classes


@dataclass(frozen=True)
class Evaluation:
    """How a model scores on a folder."""

    together: TaskResult  # all records
    hospitals: dict[str, TaskResult]  # folder -> its records
    texts: dict[str, str]  # class -> how it was worded, or the first of its wordings
    unmapped: list[dict[str, Any]]  # codes of no class: code, records, name if known
    rejected: list[dict[str, str]]  # records left out: record_id, path and reason
    source: SimpleNamespace  # the folder, as `protocol.provenance` takes a store

    def protocol(self, run: Path | str, classifier: Classifier) -> dict[str, Any]:
        """Say what the result rests on, as plain data for JSON.

        Args:
            run: the folder of the model.
            classifier: it.
        """
        found, _ = provenance(run, self.source, None)
        how = classifier.scoring.prompting
        count = f"{counted(self.together.n, 'record')} of {', '.join(self.hospitals)}"
        said = [f"Zero-shot on {count}: no classifier was fitted to their labels."]
        said += pretraining_in_words(found)
        seen = found["protocol"]["records_in_pretraining"]
        said += seen_in_words(seen, "this folder")
        said.append(
            f"Codes that are no class: {len(self.unmapped)}; records left out: "
            f"{len(self.rejected)}."
        )
        found["protocol"] = {"classifier_fitted": False, **found["protocol"]}
        return {
            "meaning": " ".join([*said, *kind_in_words(found["synthetic"])]),
            **found,
            "classes": {
                name: {"codes": list(CODES[name]), "text": text}
                for name, text in self.texts.items()
            },
            "prompts": how.prompts,
            "reduction": None if how.prompts == "single" else how.reduction,
            "knowledge": classifier.knowledge.fingerprint,
            "windows": "mean over a record's windows",
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the results and what was left out of them."""
        return {
            "results": self.together.to_dict(),
            "hospitals": {k: v.to_dict() for k, v in self.hospitals.items()},
            "unmapped_codes": self.unmapped,
            "rejected_records": self.rejected,
        }


def evaluate_folder(
    classifier: Classifier,
    root: Path | str,
    *,
    only_ids: Ids | None = None,
    limit: int | None = None,
    allow_missing_leads: bool = False,
    bootstrap: int = 1000,
    progress: bool = False,
) -> Evaluation:
    """Score a model on the records of a folder.

    Args:
        classifier: as `ready.load` gives it. Where its own knowledge base has no
            challenge classes, the packaged one words them.
        root: folder of one hospital's records, or of several with a folder each.
        only_ids: names of records, or a file of them.
        limit: the first records only, in order of their paths.
        allow_missing_leads: take them as zeros, instead of leaving the record out.
        bootstrap: resamples of records behind the 95 % intervals.
        progress: show a bar.

    Raises:
        StoreError: no header under `root`, or no record that can be read.
    """
    rows = read_rows(root, limit=limit, only_ids=only_ids)
    rejected = left_out(rows).to_dict("records")
    texts, ask = _wordings(classifier)
    kept, scores = [], []
    quiet = not (progress and len(rows))
    for i in bar(iterable=range(len(rows)), desc="score", disable=quiet):
        of = rows.iloc[i]
        try:
            path = Path(root) / of["path"]
            record = read_record(path, allow_missing_leads=allow_missing_leads)
            windows = classifier.windows(record)  # (W, 12, T)
        except RecordError as error:
            rejected.append(
                {
                    "record_id": of["record_id"],
                    "path": of["path"],
                    "reason": str(error),
                }
            )
            continue
        kept.append(i)
        scores.append(ask(windows).mean(0))  # (C,)
    if not kept:
        raise StoreError(
            f"No record under {root} can be scored; the first was left out since "
            f"{rejected[0]['reason'].rstrip('.') if rejected else 'there is none'}."
        )
    rows = rows.iloc[kept]
    labels = np.array([[c in one for c in CLASSES] for one in rows[TASK]], np.uint8)
    where = rows["hospital"].to_numpy()

    def scored(some: NDArray[np.bool_]) -> TaskResult:
        chosen = np.stack(scores)[some]  # (n, C)
        return evaluate(labels[some], chosen, list(CLASSES), bootstrap=bootstrap)

    source = {
        "source": TASK,
        "fingerprint": table_digest(rows)[:16],
        "synthetic": is_synthetic(root),
    }
    return Evaluation(
        scored(np.ones(len(rows), bool)),
        {name: scored(where == name) for name in dict.fromkeys(where)},
        texts,
        _unmapped(rows.attrs["unmapped"], classifier.knowledge),
        rejected,
        SimpleNamespace(path=Path(root), meta=source),
    )


def _wordings(classifier: Classifier) -> tuple[dict[str, str], Any]:
    """How each class is worded, and a function that scores windows (W, 12, T)."""
    base = classifier.knowledge
    base = base if TASK in base.vocabularies else Knowledge.load()
    style, how = classifier.model.config.text.style, classifier.scoring.prompting
    worded = [how.of(base.entry(TASK, name), base, style) for name in CLASSES]
    with torch.inference_mode():
        q = classifier.model.encode_text(texts_of(worded)).float()  # (texts, M)

    @torch.inference_mode()
    def ask(windows: torch.Tensor) -> NDArray[np.floating]:
        x = classifier.model.encode_ecg(windows).float()  # (W, M)
        return how.reduce((x @ q.T).cpu().numpy(), worded)  # (W, C)

    return {c: w[0][0] for c, w in zip(CLASSES, worded, strict=True)}, ask


def _unmapped(codes: Mapping[str, int], knowledge: Knowledge) -> list[dict[str, Any]]:
    """Name the codes of no class, most frequent first, where anything names them."""
    names = {
        str(entry.snomed): entry.name
        for classes in knowledge.vocabularies.values()
        for entry in classes.values()
        if entry.snomed
    }
    return [
        {"code": code, "records": count, "name": names.get(code)}
        for code, count in codes.items()
    ]
