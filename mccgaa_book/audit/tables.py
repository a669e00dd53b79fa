"""Arithmetic on the paper's printed tables.

Every number comes from `book/_paper/*.csv`, the tables as printed, except for what
other papers published (`OTHER_SYSTEMS`). Nothing here needs an ECG.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from mccgaa_book import paper
from mccgaa_book.results import MEAN

TASKS = list(paper.TASKS)  # the six columns of Tables 2, 4, 5 and 6
OURS, FULL, MERL = "MCCGAA", "MCGAA", "MERL"
SHARES = ("1%", "10%", "100%")  # of the training records, Table 3
AVERAGES = ("avg AUC", "Avg. AUC")

# Zero-shot macro AUROC x 100 after pretraining on MIMIC-IV-ECG, as their authors
# publish it; only a mean where a paper prints no other number.
OTHER_SYSTEMS: Mapping[str, Mapping[str, float]] = {
    "MERL (ICML 2024)": {
        "PTBXL-Super": 74.2,
        "PTBXL-Sub": 75.7,
        "PTBXL-Form": 65.9,
        "PTBXL-Rhythm": 78.5,
        "CPSC2018": 82.8,
        "Chapman": 74.4,
        MEAN: 75.2,
    },
    "D-BETA (ICML 2025)": {
        "PTBXL-Super": 76.2,
        "PTBXL-Sub": 75.9,
        "PTBXL-Form": 66.1,
        "PTBXL-Rhythm": 88.6,
        "CPSC2018": 80.1,
        "Chapman": 76.3,
        MEAN: 77.2,
    },
    "SuPreME (2025)": {MEAN: 77.2},
    "TAMER (CVPR 2026)": {"PTBXL-Super": 76.5, "CPSC2018": 88.3, "Chapman": 78.7},
}


def gains() -> pd.DataFrame:
    """Recompute MCCGAA's gain over MERL (section 4.3, Table 2).

    Returns:
        One row per task and one for the mean: `MERL`, `MCCGAA` of Table 2, their
        `gain`, the value of `Table 4`, and the `gain of Table 4`.
    """
    scores = task_scores(2)
    table = pd.DataFrame(
        {
            MERL: scores.loc[MERL],
            OURS: scores.loc[OURS],
            "Table 4": task_scores(4).loc[FULL],
        }
    )
    table.loc[MEAN] = table.mean()
    table.insert(2, "gain", table[OURS] - table[MERL])
    table["gain of Table 4"] = table["Table 4"] - table[MERL]
    return table.rename_axis("task")


def one_model() -> pd.DataFrame:
    """Collect what the paper prints for one and the same model.

    Returns:
        Rows "Table 2" (means), "Table 2, ±", "Table 4", "Table 5", "Table 6"; one
        column per task, and `mean`.
    """
    rows = {
        "Table 2": task_scores(2).loc[OURS],
        "Table 2, ±": paper.spread(2).loc[OURS, TASKS],
        "Table 4": task_scores(4).loc[FULL],
        "Table 5": task_scores(5).loc["1D-ResNet18"],
        "Table 6": task_scores(6).loc["(64, 32)"],
    }
    table = pd.DataFrame(rows).T
    table[MEAN] = table.mean(axis=1)
    return table.rename_axis("printed in")


def excess() -> pd.Series:
    """How far the single run of Table 4 lies above Table 2's mean, in Table 2's ±."""
    table = one_model()[TASKS]
    return (table.loc["Table 4"] - table.loc["Table 2"]) / table.loc["Table 2, ±"]


def against(number: int, reference: str) -> pd.DataFrame:
    """Subtract one row of a printed table from the others (Tables 4, 5, 6).

    Args:
        number: of the table.
        reference: its row to subtract; averages over rows are left out.

    Returns:
        Differences in AUROC x 100, with `mean` over the tasks.
    """
    scores = task_scores(number)
    table = scores.drop(index=reference) - scores.loc[reference]
    table[MEAN] = table.mean(axis=1)
    return table


def averages() -> pd.DataFrame:
    """Recompute every printed average of Tables 4, 5 and 6.

    Returns:
        One row an average: `table`, `of` (a row or a column), `printed`, `recomputed`,
        and `over`, what it averages.
    """
    rows = []
    for number in (4, 5, 6):
        printed, scores = paper.table(number), task_scores(number)
        for task in TASKS:
            row = (number, task, printed.loc[AVERAGES[0], task], scores[task].mean())
            rows.append((*row, "the table's rows"))
        if AVERAGES[1] in printed:
            for name, values in scores.iterrows():
                row = (number, name, printed.loc[name, AVERAGES[1]], values.mean())
                rows.append((*row, "tasks"))
    columns = ["table", "of", "printed", "recomputed", "over"]
    return pd.DataFrame(rows, columns=columns)


def wrong_marks(numbers: Iterable[int] = (2, 3, 4, 5, 6)) -> pd.DataFrame:
    """Compare bold and underline with the best and second best of each column.

    Returns:
        One row per cell set wrongly: `table`, `column`, `row`, `value`, how it is
        `printed`, and what it `should be` ("" for neither).
    """
    wrong = []
    for number in numbers:
        values = _body(paper.table(number))
        marks = paper.marks(number).loc[values.index]
        for column in values.select_dtypes("number"):
            best, second = sorted(set(values[column]), reverse=True)[:2]
            for row, value in values[column].items():
                right = {best: "bold", second: "underlined"}.get(value, "")
                if marks.loc[row, column] != right:
                    cell = (row, value, marks.loc[row, column], right)
                    wrong.append((number, column, *cell))
    columns = ["table", "column", "row", "value", "printed", "should be"]
    return pd.DataFrame(wrong, columns=columns)


def repeats(number: int = 3) -> pd.DataFrame:
    """Find columns of a table that hold the same number in the same row.

    Returns:
        One row per pair of columns: `first`, `second`, the number of `rows` that agree,
        and `which`; most first.
    """
    table = paper.table(number).select_dtypes("number")
    pairs = []
    for first, second in combinations(table.columns, 2):
        same = table.index[table[first] == table[second]]
        if len(same):
            pairs.append((first, second, len(same), ", ".join(same)))
    found = pd.DataFrame(pairs, columns=["first", "second", "rows", "which"])
    return found.sort_values("rows", ascending=False, ignore_index=True)


def non_zero_shot_rows() -> pd.DataFrame:
    """Compare Table 2's "N" rows with the 1 % columns of Table 3.

    Returns:
        One row per method of both tables: `zero-shot` as Table 2 marks it, how many of
        the six numbers are `equal`, and the means of `Table 2` and `Table 3, 1%`.
    """
    two, three = paper.table(2), paper.table(3)[[f"{task} 1%" for task in TASKS]]
    three.columns = TASKS
    both = [name for name in two.index if name in three.index]
    scores = task_scores(2).loc[both]
    return pd.DataFrame(
        {
            "zero-shot": two.loc[both, "Zero-Shot"],
            "equal": (scores == three.loc[both]).sum(axis=1),
            "Table 2": scores.mean(axis=1),
            "Table 3, 1%": three.loc[both].mean(axis=1),
        }
    ).rename_axis("method")


def below_merl() -> pd.DataFrame:
    """List the cells of Table 3 in which MCCGAA lies below MERL."""
    table = paper.table(3).loc[[MERL, OURS]].T
    table["difference"] = table[OURS] - table[MERL]
    return table[table["difference"] < 0].rename_axis("column")


def graph_widths(embedding_dims: Iterable[int] = (128, 256)) -> pd.DataFrame:
    """Divide Table 6's hidden widths by M; the text says 1/4, 1/2 and 2 times.

    Returns:
        One row per width, one column per value of M.
    """
    widths = [int(size.strip("()").split(",")[0]) for size in task_scores(6).index]
    ratios = {f"M = {m}": np.array(widths) / m for m in embedding_dims}
    return pd.DataFrame(ratios, index=pd.Index(widths, name="hidden"))


def samples_against_score() -> pd.DataFrame:
    """Compare the size of each dataset with MCCGAA's scores (sections 4.3 and 4.4).

    Returns:
        One row per task, fewest records first: `records` and `classes` of Table 1,
        `zero-shot` of Table 2, and the probe at 1, 10 and 100 % of Table 3.
    """
    sizes = paper.table(1).loc[TASKS]
    table = pd.DataFrame(
        {
            "records": sizes["Samples"].astype(int),
            "classes": sizes["Classes"].astype(int),
            "zero-shot": task_scores(2).loc[OURS],
        }
    )
    probe = paper.table(3).loc[OURS]
    for share in SHARES:
        table[f"probe {share}"] = [probe[f"{task} {share}"] for task in table.index]
    return table.sort_values("records").rename_axis("task")


def field() -> pd.DataFrame:
    """Compare Table 2 with what other systems published, in the order of their years.

    Returns:
        One row per system: AUROC x 100 by task (NaN where it publishes none), `mean` of
        all six, and `mean of three`: Super, CPSC2018, Chapman.
    """
    table = pd.DataFrame(OTHER_SYSTEMS).T.reindex(columns=[*TASKS, MEAN])
    ours = task_scores(2).loc[OURS]
    table.loc["MCCGAA (2026)"] = [*ours, ours.mean()]
    three = ["PTBXL-Super", "CPSC2018", "Chapman"]
    table["mean of three"] = table[three].mean(axis=1, skipna=False)
    return table.rename_axis("system")


def task_scores(number: int) -> pd.DataFrame:
    """Read the six task columns of Table 2, 4, 5 or 6, without the averages."""
    return _body(paper.table(number))[TASKS].astype(float)


def _body(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(index=[name for name in AVERAGES if name in table.index])
