"""Claims of sections 4.3 to 4.6, checked against the tables that they describe."""

from __future__ import annotations

import pandas as pd

from mccgaa_book import paper
from mccgaa_book.audit.tables import (
    FULL,
    OURS,
    SHARES,
    TASKS,
    against,
    gains,
    graph_widths,
    samples_against_score,
    task_scores,
)
from mccgaa_book.results import MEAN

Claim = tuple[str, str, str, bool]  # section, what it says, what the tables say, holds


def claims() -> pd.DataFrame:
    """Check what the text says of Tables 1 to 6.

    Returns:
        One row per claim: `section`, what the `paper says`, what the `tables` say, and
        whether it `holds`.
    """
    rows = [*_zero_shot(), *_probe(), *_ablation(), *_architecture()]
    return pd.DataFrame(rows, columns=["section", "paper says", "tables", "holds"])


def _zero_shot() -> list[Claim]:
    """Section 4.3, on Tables 1 and 2."""
    gain, size = gains(), samples_against_score()
    rhythm, mean = gain.loc["PTBXL-Rhythm"], gain.loc[MEAN, "gain"]
    above = gain.loc[TASKS, "gain"] > 0
    larger = size.index[size["records"] > size.loc["PTBXL-Super", "records"]]
    return [
        ("4.3", "average gain over MERL 2.37", f"{mean:.2f}", round(mean, 2) == 2.37),
        (
            "4.3",
            "Rhythm rises from 78.56 to 84.59, by 6.03",
            f"Table 2 has {rhythm[OURS]:.2f}, a rise of {rhythm['gain']:.2f}; 84.59 is "
            "the single run of Table 4",
            bool(rhythm[OURS] == 84.59),
        ),
        (
            "4.3",
            "the gain is largest on Rhythm",
            f"{rhythm['gain']:.2f}, the next {gain['gain'].nlargest(2).iloc[1]:.2f}",
            gain.loc[TASKS, "gain"].idxmax() == "PTBXL-Rhythm",
        ),
        (
            "4.3",
            "above MERL on all six datasets",
            f"on {int(above.sum())} of {len(above)}",
            bool(above.all()),
        ),
        (
            "4.3",
            "Super is low for its limited number of samples",
            f"{size.loc['PTBXL-Super', 'records']:,} records; only "
            f"{', '.join(larger)} has more",
            len(larger) > 1,
        ),
    ]


def _probe() -> list[Claim]:
    """Section 4.4, on Tables 1 and 3."""
    size = samples_against_score()
    probe = size[[f"probe {share}" for share in SHARES]]
    ranks = probe.rank(ascending=False).astype(int).loc["PTBXL-Super"]
    fewer = size.index[size["classes"] < size.loc["PTBXL-Form", "classes"]]
    lost = probe["probe 100%"] - probe["probe 1%"]
    small = ["CPSC2018", "PTBXL-Form"]
    return [
        (
            "4.4",
            "Super and Form are lower, likely for their fewer categories",
            f"Super is number {', '.join(map(str, ranks))} of six at 1, 10, 100 %; "
            f"Form has more classes than {len(fewer)} of the other five",
            bool(ranks.min() >= 5 and not len(fewer)),
        ),
        (
            "4.4",
            "at 1 % small datasets are held back, larger ones less",
            f"against 100 %, CPSC2018 loses {lost['CPSC2018']:.2f} and Form "
            f"{lost['PTBXL-Form']:.2f}; Chapman, the largest, {lost['Chapman']:.2f} "
            f"and Rhythm {lost['PTBXL-Rhythm']:.2f}",
            bool(lost[small].min() > lost.drop(small).max()),
        ),
    ]


def _ablation() -> list[Claim]:
    """Section 4.5, on Table 4."""
    drop = -against(4, FULL)[TASKS]
    risen = drop.stack().loc[lambda values: values < 0]
    where = [f"{row} on {task.removeprefix('PTBXL-')}" for row, task in risen.index]
    loss, cam = drop.loc["w/o log-sum-exp"], drop.loc["w/o CAM"]
    return [
        (
            "4.5",
            "removing components degrades performance across datasets",
            f"{len(risen)} of {drop.size} numbers rise: {', '.join(where)}",
            risen.empty,
        ),
        (
            "4.5",
            "without log-sum-exp Super loses less than imbalanced Chapman",
            f"{loss['PTBXL-Super']:.2f} on Super, {loss['Chapman']:.2f} on Chapman",
            bool(loss["PTBXL-Super"] < loss["Chapman"]),
        ),
        (
            "4.5",
            "without CAM the largest drop is on Rhythm",
            f"{cam['PTBXL-Rhythm']:.2f}, the next {cam.nlargest(2).iloc[1]:.2f}",
            cam.idxmax() == "PTBXL-Rhythm",
        ),
    ]


def _architecture() -> list[Claim]:
    """Section 4.6, on Tables 5 and 6."""
    depth, sizes = task_scores(5), task_scores(6).mean(axis=1)
    rise = (depth.iloc[1:] - depth.iloc[0]).max()
    helped = [task.removeprefix("PTBXL-") for task in TASKS if rise[task] > 0]
    down = depth.diff().iloc[1:] < 0
    called = paper.table(6).loc["(64, 32)", "Avg. AUC"]
    fits = [m for m, ratio in graph_widths().items() if {0.25, 0.5, 2} <= set(ratio)]
    return [
        (
            "4.6",
            "accuracy declines as the network deepens",
            f"{int(down.to_numpy().sum())} of {down.size} steps go down; ResNet101 "
            f"lies above ResNet50 on {int((~down.iloc[-1]).sum())} of 6",
            bool(down.to_numpy().all()),
        ),
        (
            "4.6",
            "depth helps some datasets, such as Form and Super",
            f"it helps {' and '.join(helped)}; Form falls by at least "
            f"{-rise['PTBXL-Form']:.2f}",
            {"Form", "Super"} <= set(helped),
        ),
        (
            "4.6",
            "half of M, (64, 32), is relatively good (it is the model's size)",
            f"its mean, {called:.2f}, is the second; {sizes.idxmax()} has "
            f"{sizes.max():.2f}",
            sizes.rank(ascending=False)["(64, 32)"] <= 2,
        ),
        (
            "4.6",
            "three widths: 1/4, 1/2 and 2 times M (256 in Figures 5 and 6)",
            f"{len(sizes)} widths, which fit {', '.join(fits)}",
            "M = 256" in fits,
        ),
    ]
