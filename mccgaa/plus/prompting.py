"""How a class is worded for a zero-shot score, and one score made of its wordings'.

The paper has one text per class. A class that is a family of others, such as
"hypertrophy", says in one text too much or too little; its members say it better, and
several wordings of each are a fairer question than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mccgaa.choices import Prompts, Reduction, Style
from mccgaa.knowledge import Entry, Knowledge
from mccgaa.settings import check_choices

Wordings = Sequence[Sequence[str]]  # of one class: for each member what it is called


@dataclass(frozen=True)
class Prompting:
    """How classes are worded and scored.

    Raises:
        ConfigError: a choice that is not known.
    """

    # single: the class's one text. members: every wording of the class, or where it is
    # a family of others, of each of its members.
    prompts: Prompts = "single"
    # Of the cosines with these wordings: the highest, their mean, or the highest of
    # the members' means.
    reduction: Reduction = "max"

    def __post_init__(self) -> None:
        check_choices(self, "zeroshot")

    def in_words(self) -> str:
        """Say what a class's score is."""
        if self.prompts == "single":
            return "the cosine with one text per class"
        what = {
            "max": "the highest",
            "mean": "the mean",
            "best-member": "the best member's mean",
        }[self.reduction]
        return f"{what} of the cosines with all wordings of a class or its members"

    def flags(self) -> str:
        """Say it in options of the command line."""
        reduction = "" if self.prompts == "single" else f" --reduction {self.reduction}"
        return f"--prompts {self.prompts}{reduction}"

    def of(self, entry: Entry, knowledge: Knowledge, style: Style) -> Wordings:
        """Word one class: for each of its members what it is called."""
        if self.prompts == "single":
            return [(entry.text(style),)]
        return [member.said for member in knowledge.members(entry)]

    def reduce(
        self, cosine: NDArray[np.floating], classes: Sequence[Wordings]
    ) -> NDArray[np.floating]:
        """Make one score per class.

        Args:
            cosine: (n, T) of n ECGs with the T texts of `texts_of(classes)`.
            classes: C classes, each as `of` words it.

        Returns:
            (n, C) in [-1, 1].
        """
        return self.of_wordings(cosine[:, places(classes)], classes)

    def of_wordings(
        self, each: NDArray[np.floating], classes: Sequence[Wordings]
    ) -> NDArray[np.floating]:
        """Do as `reduce`, of cosines (n, wordings) in the order of `places`."""
        sizes = [sum(map(len, members)) for members in classes]
        if self.reduction == "best-member":
            each = _means(each, [len(said) for members in classes for said in members])
            sizes = [len(members) for members in classes]
        if self.reduction == "mean":
            return _means(each, sizes)
        return np.maximum.reduceat(each, _starts(sizes), axis=1)  # (n, C)


def places(classes: Sequence[Wordings]) -> list[int]:
    """Find each wording in `texts_of(classes)`: class by class, member by member."""
    place = {text: i for i, text in enumerate(texts_of(classes))}
    return [place[w] for members in classes for said in members for w in said]


def _starts(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where runs of columns begin that lie one behind another."""
    return np.cumsum([0, *sizes[:-1]])


def _means(x: NDArray[np.floating], sizes: Sequence[int]) -> NDArray[np.floating]:
    """The mean of each run of columns: (n, all) to (n, runs)."""
    return np.add.reduceat(x, _starts(sizes), axis=1) / np.array(sizes, dtype=x.dtype)


def texts_of(classes: Sequence[Wordings]) -> list[str]:
    """List the texts of classes, each once."""
    return list(dict.fromkeys(w for c in classes for words in c for w in words))
