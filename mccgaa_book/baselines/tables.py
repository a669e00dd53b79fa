"""Tables 2 and 3 with every row, ours beside the printed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from mccgaa.probe import SHARES
from mccgaa_book import paper, results
from mccgaa_book.baselines.registry import ENTRIES


def over_seeds(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Average a metric's macro rows of the test split over seeds.

    Returns:
        Index (variant, task); columns mean, sd and seeds.
    """
    macro = frame[(frame["split"] == "test") & (frame["class"] == "")]
    return results.over_seeds(macro, metric=metric)


def table3(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """Linear probing of every row on one task, as Table 3 has it.

    Args:
        frame: of the experiment "baselines".
        task: one of `paper.TASKS`' values.

    Returns:
        Index: the rows' labels in the paper's order, those that `frame` has. Columns:
        for 1, 10 and 100 % the mean over seeds, its standard deviation if there are
        several, and the printed number.
    """
    printed = paper.table(3)
    prefix = next(name for name, one in paper.TASKS.items() if one == task)
    columns = {}
    for share in SHARES:
        ours = over_seeds(frame, f"auroc_{share}")
        ours = ours[ours.index.get_level_values("task") == task].droplevel("task")
        named = ours.rename(index={n: e.label for n, e in ENTRIES.items()})
        columns[f"{share} %"] = named["mean"]
        if named["sd"].notna().any():  # more than one seed
            columns[f"{share} % SD"] = named["sd"]
        columns[f"{share} %, paper"] = printed[f"{prefix} {share}%"]
    return _in_order(pd.DataFrame(columns), frame)


def mean_of_tasks(frame: pd.DataFrame, tasks: Iterable[str]) -> pd.DataFrame:
    """Average `table3` over tasks.

    Returns:
        Its columns, where a deviation is that of the mean over tasks from seed to seed,
        and "seeds".
    """
    tasks = list(tasks)
    by_task = [table3(frame, task) for task in tasks]
    mean = sum(by_task[1:], by_task[0]) / len(by_task)
    own = frame[frame["task"].isin(tasks)]
    for name in [name for name in mean if name.endswith("SD")]:
        share = name.removesuffix(" % SD")
        found = means_of_seeds(own, f"auroc_{share}")
        mean[name] = [pd.Series(found[n]).std() for n in ENTRIES if n in found]
    counts = means_of_seeds(own, f"auroc_{SHARES[0]}")
    return mean.assign(seeds=[len(counts[n]) for n in ENTRIES if n in counts])


def means_of_seeds(frame: pd.DataFrame, metric: str) -> dict[str, list[float]]:
    """Average a macro metric of the test split over tasks: variant -> one per seed."""
    macro = frame[(frame["split"] == "test") & (frame["class"] == "")]
    of = macro[macro["metric"] == metric].groupby(["variant", "seed"])["value"].mean()
    return {str(name): list(own) for name, own in of.groupby("variant")}


def seeds_of(frame: pd.DataFrame) -> str:
    """Say how many seeds rows have, such as "2" or "1 to 3"."""
    macro = frame[(frame["split"] == "test") & (frame["class"] == "")]
    counts = macro.groupby("variant")["seed"].nunique()
    least, most = counts.min(), counts.max()
    return str(least) if least == most else f"{least} to {most}"


def undecided(frame: pd.DataFrame) -> float:
    """The share of class cells at 1 % that are exactly 50: no positive was drawn."""
    cells = frame[(frame["metric"] == "auroc_1") & (frame["class"] != "")]
    return float((cells["value"] == 50).mean())


def flat(frame: pd.DataFrame) -> list[str]:
    """Tasks that have the same number in every row at 1 %."""
    probed = over_seeds(frame, "auroc_1")["mean"].round(1)
    kinds = probed.groupby("task").nunique()
    return [str(task) for task in kinds.index[kinds == 1]]


def means_last(rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the printed columns of a `table2` by their mean, after that of ours."""
    printed = [name for name in rows if name.endswith(", paper")]
    ours = rows.drop(columns=printed)
    scores = ours.drop(columns="zero-shot").astype(float)
    return ours.assign(
        **{"mean": scores.mean(axis=1), "mean, paper": rows[printed].mean(axis=1)}
    )


def table2(
    frame: pd.DataFrame, zeroshot: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Every row of Table 2: a probe of 1 % for "N", zero-shot for "Y".

    Args:
        frame: of the experiment "baselines".
        zeroshot: name of a row that reads text -> its rows of the experiment
            "zeroshot"; rows without are left empty.

    Returns:
        Index: labels in the paper's order; columns: "zero-shot", and for each task the
        mean over seeds and the printed number.
    """
    printed = paper.table(2).reindex([e.label for e in ENTRIES.values()])
    probed = over_seeds(frame, "auroc_1")["mean"]
    given = {
        name: over_seeds(own, "auroc")["mean"] for name, own in (zeroshot or {}).items()
    }
    tasks = [t for t in paper.TASKS.values() if t in set(frame["task"])]
    rows = {}
    for name, entry in ENTRIES.items():
        found = given.get(name) if entry.text else probed
        row: dict[str, object] = {"zero-shot": "yes" if entry.text else "no"}
        for prefix, task in paper.TASKS.items():
            if task not in tasks:
                continue
            key = (entry.variant if entry.text else name, task)
            has = found is not None and key in found.index
            row[task] = found[key] if has else float("nan")
            row[f"{task}, paper"] = printed.loc[entry.label, prefix]
        rows[entry.label] = row
    return _in_order(pd.DataFrame.from_dict(rows, orient="index"), frame)


def _in_order(table: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that were run, in the paper's order."""
    run = [e.label for name, e in ENTRIES.items() if name in set(frame["variant"])]
    return table.loc[run].rename_axis("method")
