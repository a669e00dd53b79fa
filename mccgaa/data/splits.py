"""Who trains and who tests: the splits of Table 1, and a split by subject.

PTB-XL comes with ten folds. For CPSC2018 and Chapman the literature shares one rule
(7:2:1 in the paper): scikit-learn's `train_test_split` takes 20 % for the test and then
10 % of the rest for validation, both with seed 42.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mccgaa.data.store import SPLITS
from mccgaa.errors import StoreError

TEST_SHARE, VAL_SHARE, SEED = 0.2, 0.1, 42
VAL_FOLD, TEST_FOLD = 9, 10


def published(n: int) -> list[str]:
    """Split n records by the literature's rule (section 4.1, "7:2:1").

    The rule sees positions, not ids: the same records in another order are split
    otherwise.

    Args:
        n: number of records, in their table's order.

    Returns:
        "train", "val" or "test" for each position; with fewer than three records
        there is no validation, and a single record is a test.
    """
    side = np.full(n, "train", dtype=object)
    if n == 1:
        side[:] = "test"
    if n > 1:
        rest, test = _drawn(np.arange(n), TEST_SHARE)
        side[test] = "test"
        if len(rest) > 1:
            _, val = _drawn(rest, VAL_SHARE)
            side[val] = "val"
    return side.tolist()


def _drawn(positions: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a share of positions, as scikit-learn's `train_test_split` does.

    Returns:
        The others and the drawn, each in the order of the draw.
    """
    order = np.random.RandomState(SEED).permutation(len(positions))
    count = math.ceil(share * len(positions))
    return positions[order[count:]], positions[order[:count]]


def by_fold(folds: Mapping[str, int], table: Path | str) -> dict[str, str]:
    """Split PTB-XL by its folds: 1-8 train, 9 validate, 10 test.

    Args:
        folds: `strat_fold` by record, 1 to 10.
        table: the file that they were read from, for error messages.

    Returns:
        "train", "val" or "test" by record.

    Raises:
        StoreError: a fold outside 1 to 10.
    """
    for record, fold in folds.items():
        if fold not in range(1, TEST_FOLD + 1):
            raise StoreError(
                f"{table} puts record {record} into fold {fold}; PTB-XL's folds are 1 "
                "to 10, so download the table again."
            )
    special = {VAL_FOLD: "val", TEST_FOLD: "test"}
    return {record: special.get(fold, "train") for record, fold in folds.items()}


def by_subject(
    subjects: Iterable[str], val_share: float = 0.02, seed: int = 0
) -> dict[str, str]:
    """Give every subject one side, so that no patient is on both.

    Subjects are ordered by a hash of seed and id, and the first ones validate: the
    answer depends neither on the order of the records nor on the platform.

    Args:
        subjects: subject ids, repeated or not.
        val_share: share of subjects held out, in [0, 1); at least one subject where
            the share is positive and there are two or more.
        seed: another seed, another split.

    Returns:
        "train" or "val" by subject.

    Raises:
        StoreError: `val_share` is outside [0, 1).
    """
    if not 0 <= val_share < 1:
        raise StoreError(f"val_share is {val_share}; expected a share in [0, 1).")
    distinct = sorted(
        set(subjects), key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).digest()
    )
    held_out = round(val_share * len(distinct))
    if val_share > 0 and len(distinct) > 1:
        held_out = max(1, held_out)
    return {s: "val" if i < held_out else "train" for i, s in enumerate(distinct)}


def counts(split: Sequence[str]) -> dict[str, int]:
    """Count records by side, in the order train, val, test."""
    return {side: sum(s == side for s in split) for side in SPLITS}
