"""Rows of results that section 5 promises: robustness, and classes by frequency."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from mccgaa.config import InputConfig
from mccgaa.data.record import Record, read_record
from mccgaa.data.store import SignalStore
from mccgaa.data.transform import DEFAULT_POLICY, prepare
from mccgaa.errors import MccgaaError, StoreError
from mccgaa.files import bar, write_json
from mccgaa.metrics import TaskResult, auroc
from mccgaa.settings import stable_hash
from mccgaa.zeroshot import score_tasks, zero_shot
from mccgaa_book.scored import sources, tested_tasks
from mccgaa_book.stress import Disturbance, disturbances

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab, Run

STRESS = 2  # version of the disturbances; who changes what one does raises it


class Disturbed(SignalStore):
    """A store some of whose records are replaced by others' signals.

    Args:
        store: with the same tables.
        rows: (n,) of the store, ascending; no other can be read.
        signals: (n, 12, T) float32 in their place, kept as the store keeps its own.
    """

    def __init__(
        self, store: SignalStore, rows: np.ndarray, signals: np.ndarray
    ) -> None:
        super().__init__(store.path, store.meta)
        self.records = store.records
        limits = np.iinfo(np.int16)
        kept = np.rint(signals / store.meta["scale"]).clip(limits.min, limits.max)
        self.rows, self.changed = rows, kept.astype(np.int16)

    def raw(
        self, index: np.ndarray | list[int], out: np.ndarray | None = None
    ) -> np.ndarray:
        """Read some records as they are stored, int16 (B, 12, T)."""
        at = np.searchsorted(self.rows, index)
        return np.take(self.changed, at, axis=0, out=out, mode="clip")

    def batch(self, index: np.ndarray | list[int] | slice) -> np.ndarray:
        """Read some records, float32 (B, 12, T)."""
        return self.raw(index) * np.float32(self.meta["scale"])


def robustness(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Zero-shot AUROC x 100 of disturbed test records (section 5).

    The recordings are read again from the profile's folders, disturbed and prepared.
    All pass the band-pass, also those that came filtered, so that the clean ones are a
    fair comparison.

    Returns:
        Macro rows of the test split, without intervals; the metric is `auroc clean`, or
        `auroc` and the disturbance, such as `auroc wander 12 dB`.

    Raises:
        StoreError: the recordings are not there.
    """
    homes = {variant: home for home, variant in map(lab.at, variants)}
    runs = {
        (variant, seed): home.run(variant, seed)
        for variant, home in homes.items()
        for seed in seeds
    }
    rows: list[dict[str, Any]] = []
    for store in dict.fromkeys(lab.tasks.values()):
        tasks = [t for t in tested_tasks(lab, "test") if lab.tasks[t] == store]
        for one in disturbances() if tasks else ():
            for (variant, seed), task, result in _disturbed(
                lab, runs, store, tasks, one
            ):
                rows.append(
                    sources(lab, task, homes[variant], variant, seed)
                    | {
                        "variant": variant,
                        "seed": str(seed),
                        "split": "test",
                        "task": task,
                        "class": "",
                        "metric": f"auroc {one.name}",
                        "value": 100 * result.macro_auroc,
                    }
                )
    return pd.DataFrame(rows)


def _disturbed(
    lab: Lab,
    runs: dict[tuple[str, int], Run],
    store: str,
    tasks: Sequence[str],
    one: Disturbance,
) -> list[tuple[tuple[str, int], str, TaskResult]]:
    """Score all runs on one disturbance of one store; what is kept is read."""
    there = {task: lab.profile.tested_on(task)[1] for task in tasks}
    whole = lab.store(store)
    decides = [STRESS, one.name, whole.meta["fingerprint"], lab.knowledge.fingerprint]
    file = f"{store}-{stable_hash([*decides, sorted(there.values())])}.json"
    paths = {key: run.folder / "robustness" / file for key, run in runs.items()}
    absent = {key: path for key, path in paths.items() if not path.is_file()}
    if absent:
        index = [whole.indices(split="test", task=name) for name in there.values()]
        rows = np.unique(np.concatenate(index))
        root = Path(lab.profile.recipe(store).root)
        signals = disturbed_signals(whole, rows, root, lab.profile.input, one)
        changed = Disturbed(whole, rows, signals)
    for key, path in absent.items():
        found = zero_shot(
            runs[key].model,
            changed,
            list(there.values()),
            lab.knowledge,
            bootstrap=0,
        )
        write_json(path, {task: result.to_dict() for task, result in found.items()})
    kept = {key: json.loads(path.read_text("utf-8")) for key, path in paths.items()}
    return [
        (key, task, TaskResult.from_dict(found[there[task]]))
        for key, found in kept.items()
        for task in tasks
    ]


def disturbed_signals(
    store: SignalStore,
    rows: np.ndarray,
    root: Path,
    input: InputConfig,
    one: Disturbance,
) -> np.ndarray:
    """Read records of a store from their files, disturb and prepare them.

    Args:
        store: packed records, whose table says where each lies and begins.
        rows: (n,) of the store.
        root: the dataset's folder.
        input: rate, duration and transform of the model.
        one: what is done to each; its noise is seeded by the row.

    Returns:
        (n, 12, T) float32.

    Raises:
        StoreError: a recording is not there any more, or cannot be used.
    """
    filtered = input.transform != "raw"
    root = root.parent if root.is_file() else root
    found = []
    for row in bar(iterable=rows, desc=one.name, unit="record", disable=None):
        of = store.records.iloc[int(row)]
        try:
            record = read_record(root / of["path"], allow_missing_leads=True)
            # Units as if in mV: also what came filtered is filtered once more.
            record = replace(record, units="mV") if filtered else record
            found.append(_prepared(one.change(record, int(row)), input, of))
        except (MccgaaError, OSError) as error:
            raise StoreError(
                f"{root / of['path']} cannot be disturbed ({error}); robustness needs "
                "the recordings that the store was packed from."
            ) from error
    return np.stack(found)


def _prepared(record: Record, input: InputConfig, of: pd.Series) -> np.ndarray:
    """Prepare a record as it was packed, (12, T)."""
    policy, start = of.get("policy"), of.get("start")
    return prepare(
        record,
        input,
        policy if isinstance(policy, str) else DEFAULT_POLICY,
        start=0.0 if start is None or np.isnan(start) else float(start),
    )


def imbalance(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC and AUPRC of each class, beside how frequent it is (section 5).

    Returns:
        Rows per class of the test split: `auroc` and `auprc` x 100 per run, and, with
        variant and seed empty, `prevalence` (per cent of the task's test records, which
        is the AUPRC of guessing) and `positives`. Classes without both kinds of label
        are left out.
    """
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(variants):
        home, variant = lab.at(name)
        for j, seed in enumerate(seeds):
            of = {"variant": variant, "seed": str(seed), "split": "test"}
            for task, labels, scores, classes in _scores(lab, home, variant, seed):
                for c in np.flatnonzero((labels.min(0) == 0) & (labels.max(0) == 1)):
                    y, s = labels[:, c], scores[:, c]
                    numbers = {"auroc": auroc(y, s)}
                    numbers["auprc"] = average_precision_score(y, s)
                    own = {"task": task, "class": classes[c]}
                    where = own | sources(lab, task, home, variant, seed)
                    rows += [
                        of | where | {"metric": m, "value": 100 * float(v)}
                        for m, v in numbers.items()
                    ]
                    if i == j == 0:
                        empty = {"variant": "", "seed": "", "split": "test"}
                        empty |= own | sources(lab, task)
                        counts = {"prevalence": 100 * y.mean(), "positives": y.sum()}
                        rows += [
                            empty | {"metric": m, "value": float(v)}
                            for m, v in counts.items()
                        ]
    return pd.DataFrame(rows)


def _scores(
    lab: Lab, home: Lab, variant: str, seed: int
) -> list[tuple[str, np.ndarray, np.ndarray, list[str]]]:
    """Labels and scores of a run on every task of a lab's test split."""
    model = home.run(variant, seed).model
    found = []
    by_store: dict[str, list[str]] = {}
    for task in tested_tasks(lab, "test"):
        by_store.setdefault(lab.tasks[task], []).append(task)
    for store, tasks in by_store.items():
        there = {task: lab.profile.tested_on(task)[1] for task in tasks}
        scored = score_tasks(
            model, lab.store(store), list(there.values()), lab.knowledge
        )
        for task, name in there.items():
            one = scored[name]
            found.append((task, one.labels, one.scores, one.classes))
    return found
