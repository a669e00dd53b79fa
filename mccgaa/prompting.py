"""How a class is worded for a zero-shot score, and one score made of its wordings'.

The paper has one text a class. A class that is a family of others, such as
"hypertrophy", says in one text too much or too little; its members say it better, and
several wordings of each are a fairer question than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mccgaa.config import Prompts, Reduction, Style
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

    def of(self, entry: Entry, knowledge: Knowledge, style: Style) -> Wordings:
        """Word one class: for each of its members what it is called."""
        if self.prompts == "single":
            return [(entry.text(style),)]
        return [member.said for member in knowledge.members(entry)]

    def reduce(
        self, cosine: NDArray[np.floating], classes: Sequence[Wordings]
    ) -> NDArray[np.floating]:
        """Make one score a class.

        Args:
            cosine: (n, T) of n ECGs with the T texts of `texts_of(classes)`.
            classes: C classes, each as `of` words it.

        Returns:
            (n, C) in [-1, 1].
        """
        place = {text: i for i, text in enumerate(texts_of(classes))}
        columns = []
        for members in classes:
            parts = [cosine[:, [place[w] for w in words]] for words in members]
            if self.reduction == "best-member":
                parts = [part.mean(axis=1, keepdims=True) for part in parts]
            whole = np.concatenate(parts, axis=1)  # (n, wordings or members)
            mean = self.reduction == "mean"
            columns.append(whole.mean(axis=1) if mean else whole.max(axis=1))
        return np.stack(columns, axis=1)


def texts_of(classes: Sequence[Wordings]) -> list[str]:
    """List the texts of classes, each once."""
    return list(dict.fromkeys(w for c in classes for words in c for w in words))
