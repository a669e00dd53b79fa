"""What the frozen text encoder of section 3.2 can and cannot distinguish.

Each function answers one question: how close class texts lie, whether the encoder knows
a synonym or a contrary, and how often a batch holds one text twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mccgaa.config import Style
from mccgaa.knowledge import Knowledge
from mccgaa.text import TextEncoder

CONTRARIES = (  # what a clinician must not confuse
    ("left bundle branch block", "right bundle branch block"),
    ("ST segment elevation", "ST segment depression"),
    ("sinus tachycardia", "sinus bradycardia"),
    ("left axis deviation", "right axis deviation"),
    ("high QRS voltage", "low QRS voltage"),
    ("atrial premature complex", "ventricular premature complex"),
    ("myocardial infarction", "no myocardial infarction"),
    ("normal ECG", "abnormal ECG"),
)
ALIKE = (  # what a clinician would read as one
    ("left bundle branch block", "LBBB"),
    ("ST segment elevation", "raised ST segments"),
    ("sinus tachycardia", "fast sinus rhythm"),
    ("left axis deviation", "axis shifted to the left"),
    ("high QRS voltage", "tall QRS complexes"),
    ("atrial premature complex", "atrial extrasystole"),
    ("myocardial infarction", "heart attack"),
    ("normal ECG", "within normal limits"),
)


def cosines(vectors: Tensor) -> NDArray[np.float32]:
    """Cosine of every text with every other: (n, d) -> (n, n)."""
    unit = F.normalize(vectors, dim=-1)
    return (unit @ unit.T).numpy()


def class_vectors(
    encoder: TextEncoder, knowledge: Knowledge, task: str, style: Style = "name"
) -> Tensor:
    """Encode the texts of a task's classes: (C, d)."""
    texts = [knowledge.text(task, cls, style) for cls in knowledge.classes(task)]
    return encoder.encode(texts)


def nearest(vectors: Tensor) -> NDArray[np.float32]:
    """Cosine of each text with the nearest other: (n, d) -> (n,)."""
    table = cosines(vectors)
    np.fill_diagonal(table, -1)
    return table.max(axis=1)


def separation(vectors: Tensor, close: float = 0.9) -> dict[str, float]:
    """Sum up how far apart a task's texts lie.

    Args:
        vectors: (n, d), n >= 2.
        close: cosine above which a pair counts as nearly one text.

    Returns:
        Mean cosine of the pairs, the mean and greatest cosine of a text with its
        nearest other, and the number of close pairs.
    """
    table = cosines(vectors)
    pairs = table[np.triu_indices(len(table), k=1)]
    return {
        "mean of pairs": float(pairs.mean()),
        "mean to nearest": float(nearest(vectors).mean()),
        "closest pair": float(pairs.max()),
        "close pairs": int((pairs > close).sum()),
    }


def contraries(encoder: TextEncoder) -> pd.DataFrame:
    """Compare a finding's contrary with a paraphrase of it.

    Returns:
        One row per finding: cosine with its contrary, and with its paraphrase.
    """
    rows = []
    for (text, against), (_, same) in zip(CONTRARIES, ALIKE, strict=True):
        table = cosines(encoder.encode([text, against, same]))
        rows.append((text, against, table[0, 1], same, table[0, 2]))
    columns = ["finding", "contrary", "to contrary", "paraphrase", "to paraphrase"]
    return pd.DataFrame(rows, columns=columns)


def synonyms_found(
    encoder: TextEncoder,
    knowledge: Knowledge,
    task: str,
    style: Style = "name",
) -> pd.DataFrame:
    """Look each synonym up among a task's class texts by cosine.

    The synonym is taken out of its own class's text first.

    Args:
        encoder: the frozen text encoder.
        knowledge: the clinical knowledge base.
        task: whose classes and synonyms are used.
        style: of the class texts.

    Returns:
        Columns class, synonym, found (the nearest class) and right.
    """
    classes = knowledge.classes(task)
    entries = [knowledge.entry(task, cls) for cls in classes]
    texts = encoder.encode(
        [e.name if style == "name" else f"{e.name}: {e.criteria}." for e in entries]
    )
    asked = [(c, s) for c, e in zip(classes, entries, strict=True) for s in e.synonyms]
    words = F.normalize(encoder.encode([synonym for _, synonym in asked]), dim=-1)
    best = (words @ F.normalize(texts, dim=-1).T).argmax(dim=1).tolist()
    table = pd.DataFrame(asked, columns=["class", "synonym"])
    table["found"] = [classes[i] for i in best]
    return table.assign(right=table["found"] == table["class"])


def repeated(texts: Sequence[str]) -> dict[str, float]:
    """Count how often texts repeat each other.

    Args:
        texts: one per record.

    Returns:
        records, distinct texts, the share of the commonest one, and the chance that
        two different records have the same text.
    """
    counts = np.array(list(Counter(texts).values()))
    n = counts.sum()
    return {
        "records": int(n),
        "distinct": len(counts),
        "commonest": float(counts.max() / n),
        "collision": float((counts * (counts - 1)).sum() / (n * (n - 1))),
    }


def false_negatives(
    texts: Sequence[str], batches: Sequence[int], *, draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Measure what equal texts do to a contrastive batch.

    The n records of the batch that share a text cannot be distinguished: no encoder
    takes the cross-entropy of these rows below log n.

    Args:
        texts: one per record.
        batches: batch sizes B; those larger than the records are left out.
        draws: random batches of each size.
        seed: of the draws.

    Returns:
        One row per size: `negatives` that are false, per anchor (mean; expected by
        `repeated`'s collision as `expected`), the share of `anchors` that have one,
        and the `floor` of the loss in one direction.
    """
    _, text = np.unique(np.array(texts), return_inverse=True)
    rng = np.random.default_rng(seed)
    collision = repeated(texts)["collision"]
    rows = []
    for size in (b for b in batches if b <= len(text)):
        drawn = [rng.choice(text, size, replace=False) for _ in range(draws)]
        same = np.array([np.bincount(batch)[batch] for batch in drawn])  # (draws, B)
        rows.append(
            {
                "batch": size,
                "negatives": float((same - 1).mean()),
                "expected": (size - 1) * collision,
                "anchors": float((same > 1).mean()),
                "floor": float(np.log(same).mean()),
            }
        )
    return pd.DataFrame(rows)
