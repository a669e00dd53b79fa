"""The published splits, on tables of the published sizes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from mccgaa.data import splits
from mccgaa.errors import StoreError


def side(*, train: int, val: int, test: int) -> dict[str, int]:
    return {"train": train, "val": val, "test": test}


def test_cpsc2018_is_split_as_published() -> None:
    assert splits.counts(splits.published(6877)) == side(train=4950, val=551, test=1376)


def test_the_rule_is_sklearns_and_the_published_tables() -> None:
    """MERL's icbeb_test.csv begins with records 677, 6114, 3616 of its listing."""
    split = np.array(splits.published(6877))
    assert (split[[676, 6113, 3615, 4303, 5591, 3567, 5961, 1352]] == "test").all()
    order = np.random.RandomState(42).permutation(6877)
    assert set(np.flatnonzero(split == "test")) == set(order[:1376])
    val = order[1376:][np.random.RandomState(42).permutation(5501)[:551]]
    assert set(np.flatnonzero(split == "val")) == set(val)


@pytest.mark.parametrize("n", [*range(2, 40), 999])
def test_the_rule_is_sklearns_for_any_number_of_records(n: int) -> None:
    rest, test = train_test_split(np.arange(n), test_size=0.2, random_state=42)
    val = []
    if len(rest) > 1:
        _, val = train_test_split(rest, test_size=0.1, random_state=42)
    split = np.array(splits.published(n))
    assert set(np.flatnonzero(split == "test")) == set(test)
    assert set(np.flatnonzero(split == "val")) == set(val)


def test_chapman_was_split_before_its_records_without_a_class_were_dropped() -> None:
    """16546/1860/4620 is no split of 23,026 rows; it is what is left of 31,961."""
    assert splits.counts(splits.published(23_026)) == side(
        train=16_578, val=1842, test=4606
    )
    before = splits.counts(splits.published(31_961))
    assert before == side(train=23_011, val=2557, test=6393)
    kept = side(train=16_546, val=1860, test=4620)
    assert sum(kept.values()) == 23_026
    for name, n in kept.items():  # a random 72 % of each side, within four deviations
        share = 23_026 / 31_961
        assert abs(n - share * before[name]) < 4 * (before[name] * share * 0.28) ** 0.5


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        ((17_084, 2146, 2158), side(train=17_084, val=2146, test=2158)),
        ((7197, 901, 880), side(train=7197, val=901, test=880)),
        ((16_832, 2100, 2098), side(train=16_832, val=2100, test=2098)),
    ],
)
def test_ptbxl_is_split_by_its_folds(
    folds: tuple[int, int, int], expected: dict[str, int]
) -> None:
    train, val, test = folds
    column = [1 + i % 8 for i in range(train)] + [9] * val + [10] * test
    order = np.random.default_rng(0).permutation(len(column))
    fold_of = {str(i): column[i] for i in order}
    sides = splits.by_fold(fold_of, "table.csv")
    assert list(sides) == list(fold_of)
    assert splits.counts(list(sides.values())) == expected


@pytest.mark.parametrize("fold", [0, 11, -1, 2.5, float("nan")])
def test_a_fold_that_ptbxl_does_not_have_is_refused(fold: float) -> None:
    with pytest.raises(StoreError, match=r"^table\.csv .*record 7 .*folds are 1 to 10"):
        splits.by_fold({"1": 1, "7": fold, "8": 10}, "table.csv")


def test_small_tables_split_without_failing() -> None:
    assert [splits.published(n) for n in (0, 1)] == [[], ["test"]]
    assert sorted(splits.published(2)) == ["test", "train"]
    assert sorted(splits.published(3)) == ["test", "train", "val"]
    assert sorted(splits.published(10)) == ["test"] * 2 + ["train"] * 7 + ["val"]


@pytest.mark.parametrize("subjects", [2, 20])
def test_a_share_above_zero_holds_out_at_least_one_subject(subjects: int) -> None:
    sides = splits.by_subject([str(i) for i in range(subjects)], val_share=0.001)
    assert list(sides.values()).count("val") == 1


def test_the_split_depends_on_ids_and_seed_only() -> None:
    subjects = [str(i) for i in range(2000)]
    sides = splits.by_subject(subjects)
    assert sides == splits.by_subject(subjects[::-1] * 2, val_share=0.02)
    assert sides != splits.by_subject(subjects, val_share=0.02, seed=1)
    assert sum(side == "val" for side in sides.values()) == 40
    assert set(splits.by_subject(["1"], 0.5).values()) == {"train"}
    assert set(splits.by_subject(subjects, 0.0).values()) == {"train"}
    with pytest.raises(StoreError, match="val_share is 1"):
        splits.by_subject(subjects, 1)
