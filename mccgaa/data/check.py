"""A store checked byte by byte, and described in numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.counted import counted
from mccgaa.data.store import SignalStore, table_digest
from mccgaa.errors import StoreError

_SHOWN = 20  # reasons of rejection
_NAMED = 5  # subjects or signals of a problem
_BLOCK_BYTES = 8_000_000  # read at a time
VERIFIED_BYTES = 2_000_000_000  # of samples, which are hashed in some seconds


@dataclass(frozen=True)
class StoreReport:
    """What a store holds; `problems` is empty where nothing forbids its use."""

    path: Path
    meta: dict[str, Any]  # of `store.json`: records, sampling_rate, synthetic, ...
    rejected: dict[str, int]  # reason without the record's name -> count
    subjects: int
    recorded_rates: dict[float, int]  # Hz of the files -> records
    recorded_seconds: tuple[float, float, float]  # least, median, most
    splits: dict[str, int]
    classes: dict[str, dict[str, int]]  # task -> class -> records
    labelled: dict[str, int]  # task -> records with at least one class
    without_text: int
    distinct_texts: int
    repeated_texts: int  # records whose text another record has too
    missing_leads: dict[str, int]  # lead -> records
    derived_leads: dict[str, int]  # lead -> records where it was computed from I, II
    flat_leads: dict[str, int]  # lead -> records
    interpolated: int  # records with invalid samples that were filled
    clipped: int  # records that stay at their source's limits
    stored_clipped: int  # records with samples beyond what int16 holds
    same_signals: list[list[str]]  # groups of record_ids
    shared_subjects: list[str]  # on more than one side of the split
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        meta, (least, median, most) = self.meta, self.recorded_seconds
        rates = _counts({f"{rate:g} Hz": n for rate, n in self.recorded_rates.items()})
        repeated = sum(map(len, self.same_signals))
        lines = [
            f"{self.path}: {counted(meta['records'], 'record')} of "
            f"{counted(self.subjects, 'subject')}, "
            f"{meta['source']}{' (SYNTHETIC)' if meta['synthetic'] else ''}",
            f"fingerprint   {meta['fingerprint']}; checksums agree",
            f"stored        {meta['sampling_rate']} Hz, {meta['duration']:g} s, "
            f"{meta['transform']}",
            f"recorded      {rates}; {least:g} to {most:g} s, median {median:g} s",
            f"splits        {_counts(self.splits)}",
            f"texts         {self.distinct_texts} distinct; {self.repeated_texts} "
            f"records share theirs with another, {self.without_text} without one",
            f"missing leads {_counts(self.missing_leads)}",
            f"flat leads    {_counts(self.flat_leads)}",
            *(
                [f"computed      {_counts(self.derived_leads)}, from leads I and II"]
                if self.derived_leads
                else []
            ),
            f"invalid       {counted(self.interpolated, 'record')} with "
            "interpolated samples",
            f"clipped       {counted(self.clipped, 'record')} at the source's limits, "
            f"{self.stored_clipped} beyond the store's",
            f"duplicates    {counted(repeated, 'record')} in "
            f"{counted(len(self.same_signals), 'group')} of identical signals",
            f"rejected      {sum(self.rejected.values())}",
            *(f"  {n:7d}  {why}" for why, n in list(self.rejected.items())[:_SHOWN]),
        ]
        for task, classes in self.classes.items():
            labelled = counted(self.labelled[task], "record")
            lines.append(f"task {task}: {labelled} labelled")
            lines += [f"  {n:7d}  {name}" for name, n in classes.items()]
        lines += [f"PROBLEM: {problem}" for problem in self.problems]
        if not self.problems:
            lines.append("No subject is on both sides of a split.")
        return "\n".join(lines)


def open_verified(path: Path | str) -> SignalStore:
    """Open a store, its checksums recomputed unless that takes long.

    Args:
        path: a finished store; more than `VERIFIED_BYTES` of samples are not read.

    Raises:
        StoreError: there is no store, or its content is not what was packed.
    """
    store = SignalStore.open(path)
    if store.signals.nbytes <= VERIFIED_BYTES:
        total = hashlib.sha256()
        for block in _blocks(store):
            total.update(block)
        _compare(store, "samples", "signals.npy", total.hexdigest())
        _compare(store, "table", "records.parquet", table_digest(store.records))
    return store


def check(path: Path | str) -> StoreReport:
    """Recompute a store's checksums and describe what it holds (Table 1's columns).

    Args:
        path: a finished store.

    Returns:
        What was found; print it to read it.

    Raises:
        StoreError: there is no store, or its content is not what was packed.
    """
    store = SignalStore.open(path)
    total, digests = _digests(store)
    _compare(store, "samples", "signals.npy", total)
    _compare(store, "table", "records.parquet", table_digest(store.records))
    records = store.records
    seconds = records["recorded_seconds"]
    same = _groups(digests, records["record_id"])
    texts = Counter(text for text in records["text"] if isinstance(text, str))
    classes, labelled = {}, {}
    for task in store.meta["tasks"]:
        y, names = store.labels(task)  # (n, C)
        classes[task] = dict(zip(names, y.sum(axis=0).tolist(), strict=True))
        labelled[task] = len(y)
    shared = _shared(records, records["subject_id"])
    problems = []
    if shared:
        problems.append(
            f"{_are(len(shared), 'subject')} on more than one side of the split "
            f"{_few(shared[:_NAMED], len(shared))}."
        )
    across = _shared(records, pd.Series(digests))
    if across:
        few = across[:_NAMED]
        named = [_sides(records[[d == one for d in digests]]) for one in few]
        problems.append(
            f"{_are(len(across), 'signal')} in records on more than one side of the "
            f"split {_few(named, len(across))}."
        )
    return StoreReport(
        path=store.path,
        meta=store.meta,
        rejected=_reasons(store.path / "rejected.csv"),
        subjects=records["subject_id"].nunique(),
        recorded_rates=records["recorded_rate"].value_counts().to_dict(),
        recorded_seconds=(seconds.min(), seconds.median(), seconds.max()),
        splits=records["split"].value_counts(dropna=False).to_dict(),
        classes=classes,
        labelled=labelled,
        without_text=len(records) - texts.total(),
        distinct_texts=len(texts),
        repeated_texts=sum(n for n in texts.values() if n > 1),
        missing_leads=_by_lead(records["missing_leads"]),
        derived_leads=_by_lead(records.get("derived_leads", [])),
        flat_leads=_by_lead(records["flat_leads"]),
        interpolated=int((records["nan_share"] > 0).sum()),
        clipped=int((records["clipped_share"] > 0).sum()),
        stored_clipped=int((records["stored_clipped"] > 0).sum()),
        same_signals=same,
        shared_subjects=shared,
        problems=problems,
    )


def _compare(store: SignalStore, name: str, file: str, found: str) -> None:
    """Refuse a file whose checksum is not the one in `store.json`."""
    stated = store.meta["sha256"][name]
    if found != stated:
        raise StoreError(
            f"{store.path / file} is not what was packed: its checksum is "
            f"{found[:12]}..., not {stated[:12]}... as store.json says. Pack it again."
        )


def _digests(store: SignalStore) -> tuple[str, list[bytes]]:
    """Hash all samples at once, and each record's on its own, in one pass."""
    total, each = hashlib.sha256(), []
    size = _record_bytes(store)
    for block in _blocks(store):
        total.update(block)
        for at in range(0, len(block), size):
            record = memoryview(block)[at : at + size]
            each.append(hashlib.blake2b(record, digest_size=16).digest())
    return total.hexdigest(), each


def _record_bytes(store: SignalStore) -> int:
    """Bytes of a record's samples: 12 leads of int16."""
    return 24 * store.meta["length"]


def _blocks(store: SignalStore) -> Iterator[bytes]:
    """Read the samples, some whole records at a time."""
    size = _record_bytes(store)
    step = max(1, _BLOCK_BYTES // size)
    # Read, not mapped: pages of a map count as this process's memory.
    with (store.path / "signals.npy").open("rb") as file:
        file.seek(store.signals.offset)
        for first in range(0, len(store), step):
            yield file.read(size * min(step, len(store) - first))


def _groups(digests: list[bytes], names: Iterable[str]) -> list[list[str]]:
    """Group the records whose samples are identical."""
    repeated = {digest for digest, n in Counter(digests).items() if n > 1}
    groups: dict[bytes, list[str]] = {}
    for digest, name in zip(digests, names, strict=True):
        if digest in repeated:
            groups.setdefault(digest, []).append(str(name))
    return list(groups.values())


def _shared(records: pd.DataFrame, keys: pd.Series) -> list:
    """Find the keys that are in more than one split."""
    sides = records["split"].groupby(keys.to_numpy()).nunique()
    return sides.index[sides > 1].tolist()


def _sides(records: pd.DataFrame) -> str:
    """Name one of some records for each side of the split that they are on."""
    first = records.dropna(subset="split").drop_duplicates("split")
    pairs = zip(first["record_id"], first["split"], strict=True)
    return " and ".join(f"{name} of {side}" for name, side in pairs)


def _few(named: list[str], count: int) -> str:
    """Write the first of so many names, in brackets."""
    return f"({', '.join(named)}{', ...' if count > len(named) else ''})"


def _by_lead(column: pd.Series) -> dict[str, int]:
    """Count records by lead."""
    return dict(Counter(lead for leads in column for lead in leads))


def _reasons(file: Path) -> dict[str, int]:
    """Count rejections by reason, most frequent first.

    A reason names its file; the name is left out, so that equal faults count together.
    """
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    counts: Counter[str] = Counter()
    for path, reason in zip(table["path"], table["reason"], strict=True):
        plain = reason
        for ending in (".hea", ".mat", ".dat", ".npy", ".edf", ".csv", ""):
            plain = plain.replace(path + ending, "FILE")
        counts[plain] += 1
    return dict(counts.most_common())


def _are(count: int, noun: str) -> str:
    """Begin a sentence on some things."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"


def _counts(counts: dict) -> str:
    """Write counts in one line."""
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "none"
