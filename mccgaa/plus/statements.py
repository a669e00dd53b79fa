"""A report as a set of statements: which ones there are, and whose they are.

"sinus rhythm. left axis deviation. abnormal ecg." is three findings, and thousands of
reports share each of them. `loss.statement_loss` compares every ECG with all distinct
statements of pretraining; this module says which those are. The paper has none of it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# A full stop behind one of these words ends no sentence.
ABBREVIATIONS = frozenset(
    {"approx", "ca", "e.g", "i.e", "incl", "poss", "prob", "resp", "vs", "z.b"}
)
_ENDS = re.compile(r"[;\n\r]+|\.+")  # where a sentence may end
_NUMBER = re.compile(r"^\d+\)")  # "2)" of a list
_ORDINAL = re.compile(r"\s*(?:degree|grade?)", re.IGNORECASE)  # "1. degree av block"


def split_report(text: str) -> list[str]:
    """Split a report into its statements.

    Args:
        text: the report. A statement ends at a semicolon, a line break or a full stop;
            not at the full stop of a number ("0.5 mv"), an ordinal ("1. degree") or an
            abbreviation (`ABBREVIATIONS`).

    Returns:
        The statements in order, each once, in lower case, with single spaces and
        without the punctuation at their ends; what holds no letter is left out.
    """
    parts, start = [], 0
    for end in _ENDS.finditer(text):
        if not _stops(text, end):
            continue
        parts.append(text[start : end.start()])
        start = end.end()
    parts.append(text[start:])
    found = (_NUMBER.sub("", p.strip()) for p in parts)
    found = (" ".join(p.lower().split()).strip(" .,:=-*") for p in found)
    return list(dict.fromkeys(p for p in found if any(c.isalpha() for c in p)))


def _stops(text: str, end: re.Match[str]) -> bool:
    """Whether a semicolon, line break or full stop ends a statement."""
    if "." not in end.group():
        return True
    space = text.rfind(" ", 0, end.start())
    before = text[space + 1 : end.start()].lower().lstrip("(")  # the word
    after = text[end.end() : end.end() + 1]  # the next character, if any
    if before in ABBREVIATIONS:
        return False
    if before.isdigit() and _ORDINAL.match(text, end.end()):
        return False
    if not after or after.isspace():
        return True
    # "rhythm.left" lacks its space; "0.5", "z.b." and "st.p." are one word.
    return before[-3:].isalpha() and len(before) >= 3 and after.isalpha()


@dataclass(frozen=True)
class Statements:
    """The S distinct statements of pretraining, and which records they are of."""

    texts: tuple[str, ...]  # S, sorted
    counts: NDArray[np.int64]  # (S,) training records that each is of
    indptr: NDArray[np.int64]  # (N + 1,) record i has indices[indptr[i]:indptr[i + 1]]
    indices: NDArray[np.int64]  # (entries,) places in `texts`, sorted for each record

    @classmethod
    def build(
        cls,
        sets: Sequence[Iterable[str]],
        train: NDArray[np.int64],
        min_count: int = 1,
    ) -> Statements:
        """Choose the statements, and find them in every record.

        Args:
            sets: statements of each of N records; none where it has no text.
            train: rows of the training records, whose statements are taken.
            min_count: leave out statements of fewer training records.
        """
        seen = Counter(s for row in train for s in dict.fromkeys(sets[row]))
        texts = tuple(sorted(s for s, n in seen.items() if n >= min_count))
        place = {text: i for i, text in enumerate(texts)}
        rows = [sorted({place[s] for s in one if s in place}) for one in sets]
        return cls(
            texts,
            np.array([seen[text] for text in texts], dtype=np.int64),
            np.cumsum([0, *map(len, rows)]),
            np.array([i for row in rows for i in row], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(N,) statements of each record."""
        return np.diff(self.indptr)

    def weights(self, balance: float) -> Tensor:
        """Weigh statements by count**-balance.

        Args:
            balance: 0 for equal weights, 1 where each statement is to count as much as
                any other, however many records it is of.

        Returns:
            (S,) float32, of mean 1.
        """
        raw = self.counts ** -float(balance)
        return torch.from_numpy(raw / raw.mean()).float()


class Targets:
    """Which statements the records of a batch carry, looked up on the device.

    Args:
        statements: of all records.
        device: where batches are; the index is kept there.
    """

    def __init__(
        self, statements: Statements, device: torch.device | str = "cpu"
    ) -> None:
        self.indptr = torch.from_numpy(statements.indptr).to(device)
        self.indices = torch.from_numpy(statements.indices).to(device)
        self.total = len(statements)  # S
        self.most = int(statements.sizes.max())  # of one record

    def __call__(self, rows: Tensor) -> Tensor:
        """Build the targets of some records, without waiting for the device.

        Args:
            rows: (B,) rows of the store, on the index's device.

        Returns:
            (B, S) float32 of 0 and 1. Soft targets for near-synonyms would be this
            times a matrix (S, S).
        """
        first, end = self.indptr[rows, None], self.indptr[rows + 1, None]  # (B, 1)
        at = first + torch.arange(self.most, device=rows.device)  # (B, most)
        place = self.indices[at.clamp(max=len(self.indices) - 1)]  # (B, most)
        # What lies behind a record's last statement goes to a column of its own.
        place = place.where(at < end, self.total)
        empty = torch.zeros(len(rows), self.total + 1, device=rows.device)
        return empty.scatter_(1, place, 1.0)[:, :-1]  # (B, S)


def digest(sets: Iterable[Iterable[str]]) -> str:
    """Name the statements of all records by their content."""
    whole = "\0".join("\n".join(one) for one in sets)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]
