"""What experiments need of a profile, told before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mccgaa.data import datasets
from mccgaa_book import averaged, plan, supervised

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab


def check(lab: Lab, wanted: Mapping[str, tuple[Sequence[str], Sequence[int]]]) -> None:
    """Refuse what a profile can make no rows of.

    Args:
        lab: of the profile.
        wanted: experiment -> its variants and seeds.

    Raises:
        ConfigError: the experiment "averaged" of a variant that starts from no model's
            weights, or "ceiling" where no labels are those of the training records.
    """
    if "averaged" in wanted:
        averaged.check(lab, wanted["averaged"][0])
    if plan.LEARNED in wanted:
        _check_labels(lab)


def _check_labels(lab: Lab) -> None:
    """Refuse tasks of other records alone, by what is packed or will be."""
    if lab.packed:
        supervised.own_tasks(lab)
        return
    recipes = [lab.profile.recipe(name) for name in ("pretrain", *lab.tasks.values())]
    own, *tested = [(one.dataset, one.root) for one in recipes]
    if own not in tested:
        raise supervised.no_labels(lab)


def absent(lab: Lab, experiments: Iterable[str]) -> list[str]:
    """Say which records experiments lack, and what fetches them.

    Returns:
        Sentences, none where all is there, packed, or simulated when it is needed.
    """
    labs = [home for name in experiments for home in lab.behind(name)]
    found = [
        datasets.absent(home.profile, store)
        for home in labs
        for store, recipe in home.profile.stores.items()
        if not datasets.mirror_of(recipe, home.profile)
    ]
    return list(dict.fromkeys(filter(None, found)))
