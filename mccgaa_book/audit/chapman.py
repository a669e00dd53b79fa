"""Chapman's label table and split as the literature shares them, and what is wrong.

The table's columns were made by asking whether an acronym is a substring of a record's
list of acronyms, and its split was drawn before rows without a class were dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mccgaa.data import csn, splits
from mccgaa.data.physionet import DATASETS

# Chapman's table as the literature shares it (23,026 rows), and what exact acronyms
# give: counted once on MERL's chapman_{train,val,test}.csv.
SHARED_FAULT = {  # class -> records (as published, by exact acronym)
    "VB": (916, 3),
    "AVB": (913, 176),
    "AF": (4753, 3340),
    "ST": (6338, 5154),
    "SA": (2828, 2107),
    "CR": (216, 75),
    "2AVB": (38, 22),
}
SHARED_ROWS, SHARED_WRONG_ROWS, SHARED_RARE = 23_026, 3817, 17
ALL_ROWS = DATASETS["csn"].records  # of Chapman
MAPPED_ROWS = 31_961  # of them with no code that its table of names lacks
# The numbers of the first records of chapman_test.csv, in its order (JS18048, ...).
SHARED_TEST = (
    18048, 24831, 30521, 36026, 2721, 42616, 39493, 41925, 20539, 3021, 36266, 40825,
    40750, 1344, 9199, 36937, 36178, 36488, 38641, 16355, 16637, 36759, 10992, 43708,
    19597, 39124, 16494, 38757, 24658, 38341, 15412, 35936, 34734, 40031, 13844, 28907,
    40422, 30452, 16591, 43537, 37206, 43872, 41625, 1817, 22757, 1705, 39241, 35972,
    23937, 11048, 44824, 14045, 33566, 24314,
)  # fmt: skip


def substring_causes(acronyms: Iterable[str]) -> pd.DataFrame:
    """Find which statements set a class wrongly, by the substring rule.

    Args:
        acronyms: every statement of the dataset.

    Returns:
        One row per class that is hit: `also set by`, the statements that contain its
        acronym.
    """
    names = list(dict.fromkeys(acronyms))
    causes = {
        name: [other for other in names if name in other and other != name]
        for name in csn.CLASSES
    }
    hit = {name: ", ".join(others) for name, others in causes.items() if others}
    return pd.Series(hit, name="also set by").rename_axis("class").to_frame()


@dataclass(frozen=True)
class LabelFault:
    """What the substring rule does to a table of labels."""

    classes: pd.DataFrame  # by class: exact, published, wrong (records set wrongly)
    rows: int
    wrong_rows: int  # rows with at least one label that is not theirs


def label_fault(statements: Iterable[Sequence[str]]) -> LabelFault:
    """Label records by exact acronym and as published, and count what differs.

    Args:
        statements: each record's acronyms, such as ["SB", "1AVB"].

    Returns:
        Counts by class, most wrong first; records that the published table would not
        have (none of its labels) are left out, as there.
    """
    pairs = [(csn.exact_labels(s), csn.published_labels(s)) for s in statements]
    pairs = [(exact, faulty) for exact, faulty in pairs if faulty]
    frame = pd.DataFrame(
        {
            "exact": [sum(c in e for e, _ in pairs) for c in csn.CLASSES],
            "published": [sum(c in f for _, f in pairs) for c in csn.CLASSES],
        },
        index=pd.Index(csn.CLASSES, name="class"),
    )
    frame["wrong"] = frame["published"] - frame["exact"]
    frame = frame.sort_values("wrong", ascending=False, kind="stable")
    return LabelFault(frame, len(pairs), sum(e != f for e, f in pairs))


def shared_fault() -> pd.DataFrame:
    """The fault in the table that the literature shares, by class."""
    frame = pd.DataFrame(SHARED_FAULT, index=["published", "exact"]).T
    frame["wrong"] = frame["published"] - frame["exact"]
    return frame.rename_axis("class").sort_values("wrong", ascending=False)


def split_of_rows(
    rows: Sequence[int] = (SHARED_ROWS, MAPPED_ROWS, ALL_ROWS),
) -> pd.DataFrame:
    """Ask which table Chapman's published split was drawn from (Table 1, 7:2:1).

    The shared test table lists its records in the order of scikit-learn's permutation,
    less those that were dropped. So the first 54 of them must be found, in order, soon
    in the permutation of the right number of rows, each near where its record number
    puts it (within 13 % of the table); in another permutation they are met by chance.

    Args:
        rows: sizes of the table to try.

    Returns:
        One row per size: `train`, `val`, `test` of the rule on it; `kept` (share of the
        published 23,026 in it); `found`, how many of the 54 are among the first 100 of
        the permutation.
    """
    table = {}
    for n in rows:
        table[n] = {
            **splits.counts(splits.published(n)),
            "kept": SHARED_ROWS / n,
            "found": _found_in_order(n),
        }
    frame = pd.DataFrame(table).T.rename_axis("rows")
    return frame.astype({name: int for name in frame if name != "kept"})


def _found_in_order(rows: int, ahead: int = 100, tolerance: float = 0.13) -> int:
    """Count the published test records met, in their order, in the permutation."""
    order = np.random.RandomState(splits.SEED).permutation(rows)[:ahead] / rows
    sought = [number / ALL_ROWS for number in SHARED_TEST]
    found = 0
    for position in order:
        if found < len(sought) and abs(position - sought[found]) < tolerance:
            found += 1
    return found
