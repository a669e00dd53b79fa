"""What sections 4.3 to 4.6 say of Tables 1 to 6, against the tables as printed."""

from __future__ import annotations

from dataclasses import replace

from mccgaa_book import paper
from mccgaa_book.audit.tables import (
    FULL,
    OURS,
    SHARES,
    TASKS,
    against,
    averages,
    below_merl,
    excess,
    field,
    gains,
    graph_widths,
    non_zero_shot_rows,
    one_model,
    repeats,
    samples_against_score,
    task_scores,
    wrong_marks,
)
from mccgaa_book.claims import Claim
from mccgaa_book.results import MEAN


def claims() -> list[Claim]:
    """Judge what the text says of the printed tables."""
    return [
        *_zero_shot(),
        *_in("9", _probe()),
        *_in("10", _ablation()),
        *_in("10b", _architecture()),
        *_in("10", _averages()),
    ]


def _zero_shot() -> list[Claim]:
    """Abstract and section 4.3, on Tables 1 and 2."""
    gain, size = gains(), samples_against_score()
    rhythm, mean = gain.loc["PTBXL-Rhythm"], gain.loc[MEAN, "gain"]
    above = gain.loc[TASKS, "gain"] > 0
    larger = size.index[size["records"] > size.loc["PTBXL-Super", "records"]]
    rows = non_zero_shot_rows()
    probes = rows[rows["zero-shot"] == "N"]
    others = field().drop(index="MCCGAA (2026)")[TASKS]
    best = others.max() > task_scores(2).loc[OURS]
    beaten = ", ".join(
        f"{others[t].idxmax()} {others[t].max():.1f} on {t}" for t in best.index[best]
    )
    surplus = excess()
    printed = one_model().drop(index="Table 2, ±")[TASKS]
    sets = len(printed.drop_duplicates())
    return [
        _judge(
            "4.3, Table 2",
            "MCCGAA is above MERL on all six datasets",
            bool(above.all()),
            f"on {int(above.sum())} of {len(above)}",
        ),
        _judge(
            "4.3, Table 2",
            "the gain is largest on Rhythm",
            gain.loc[TASKS, "gain"].idxmax() == "PTBXL-Rhythm",
            f"{rhythm['gain']:.2f}, the next {gain['gain'].nlargest(2).iloc[1]:.2f}",
        ),
        _judge(
            "4.3, Table 2",
            "the average gain over MERL is 2.37",
            round(mean, 2) == 2.37,
            f"{mean:.2f}",
        ),
        _judge(
            "4.3, Tables 2 and 4",
            "Rhythm rises from 78.56 to 84.59, by 6.03",
            bool(rhythm[OURS] == 84.59),
            f"Table 2 has {rhythm[OURS]:.2f}, a rise of {rhythm['gain']:.2f}; 84.59 is "
            "the single run of Table 4",
        ),
        _judge(
            "Tables 2, 4, 5, 6",
            "the full model has one set of values",
            sets == 1,
            f"{sets} sets; Table 4's single run is above Table 2's mean on all "
            f"{int((surplus > 0).sum())} tasks, by {surplus.min():.2f} to "
            f"{surplus.max():.2f} of its ±",
        ),
        _judge(
            "abstract",
            "the highest scores on six public datasets",
            not best.any(),
            "the highest of Table 2's own zero-shot rows; published before it or in "
            f"its year: {beaten}",
        ),
        _judge(
            "abstract",
            "the numbers are classification accuracy",
            False,
            "all are macro AUROC, which needs no threshold and is no accuracy",
        ),
        _judge(
            "4.2, Table 2",
            "all methods were implemented with their optimal designs",
            not (probes["equal"] == len(TASKS)).any(),
            f"{int((probes['equal'] == len(TASKS)).sum())} of the {len(probes)} rows "
            "marked N repeat Table 3's 1 % probes number by number, which are those "
            "that MERL published",
        ),
        _judge(
            "4.3, Table 1",
            "Super is low for its limited number of samples",
            len(larger) > 1,
            f"{size.loc['PTBXL-Super', 'records']:,} records; only "
            f"{', '.join(larger)} has more",
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
    twice, others = repeats().iloc[0], repeats().iloc[1:]
    marks, below = wrong_marks(), below_merl()
    cells = len(TASKS) * len(SHARES)
    return [
        _judge(
            "4.4, Table 3",
            "good results on most datasets",
            len(below) < cells / 2,
            f"MCCGAA is above MERL in {cells - len(below)} of {cells} cells",
        ),
        _judge(
            "Table 3",
            "each column is a dataset of its own",
            int(twice["rows"]) < 2,
            f"{twice['second']} repeats {twice['first']} in {twice['rows']} rows; "
            f"{len(others)} other pairs of columns agree in {others['rows'].min()} to "
            f"{others['rows'].max()}",
        ),
        _judge(
            "Tables 2 to 6",
            "the best of a column is bold, the second best underlined",
            marks.empty,
            f"{len(marks)} marks are wrong, {(marks['table'] == 3).sum()} of them in "
            "Table 3, where they hide a first place of MCCGAA",
        ),
        _judge(
            "4.4, Tables 1 and 3",
            "Super and Form are lower, likely for their fewer categories",
            bool(ranks.min() >= 5 and not len(fewer)),
            f"Super is number {', '.join(map(str, ranks))} of six at 1, 10, 100 %; "
            f"Form has more classes than {len(fewer)} of the other five",
        ),
        _judge(
            "4.4, Table 3",
            "at 1 % small datasets are held back, larger ones less",
            bool(lost[small].min() > lost.drop(small).max()),
            f"against 100 %, CPSC2018 loses {lost['CPSC2018']:.2f} and Form "
            f"{lost['PTBXL-Form']:.2f}; Chapman, the largest, {lost['Chapman']:.2f} "
            f"and Rhythm {lost['PTBXL-Rhythm']:.2f}",
        ),
        _judge(
            "4.4, Table 3",
            "the encoder is frozen and only a linear head is trained",
            None,
            "the protocol is MERL's, whose code freezes only if the run's name "
            "contains “linear”, calls its schedule at every iteration and reports the "
            "best test AUROC over epochs; the paper does not say what its own does, "
            "and chapter 9 measures what the last two are worth",
        ),
    ]


def _ablation() -> list[Claim]:
    """Section 4.5, on Table 4."""
    drop = -against(4, FULL)[TASKS]
    risen = drop.stack().loc[lambda values: values < 0]
    where = [f"{row} on {task.removeprefix('PTBXL-')}" for row, task in risen.index]
    loss, cam, gat = (drop.loc[f"w/o {n}"] for n in ("log-sum-exp", "CAM", "GAT"))
    return [
        _judge(
            "4.5, Table 4",
            "every component helps in the mean over tasks",
            bool((drop.mean(axis=1) > 0).all()),
            "recomputed, the means fall by "
            + ", ".join(f"{v:.2f} ({k})" for k, v in drop.mean(axis=1).items()),
        ),
        _judge(
            "4.5, Table 4",
            "removing components degrades performance across datasets",
            risen.empty,
            f"{len(risen)} of {drop.size} numbers rise: {', '.join(where)}",
        ),
        _judge(
            "4.5, Table 4",
            "on Super the graph may slightly hurt (78.71 without, 75.75 with it)",
            bool(gat["PTBXL-Super"] < 0),
            f"the paper says so itself; it is {-gat['PTBXL-Super']:.2f} points",
        ),
        _judge(
            "4.5, Table 4",
            "without CAM the largest drop is on Rhythm",
            cam.idxmax() == "PTBXL-Rhythm",
            f"{cam['PTBXL-Rhythm']:.2f}, the next {cam.nlargest(2).iloc[1]:.2f}",
        ),
        _judge(
            "4.5, Table 4",
            "without log-sum-exp Super loses less than imbalanced Chapman",
            bool(loss["PTBXL-Super"] < loss["Chapman"]),
            f"{loss['PTBXL-Super']:.2f} on Super, {loss['Chapman']:.2f} on Chapman",
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
        _judge(
            "4.6, Table 5",
            "ResNet18 has the highest average",
            depth.mean(axis=1).idxmax() == "1D-ResNet18",
            f"{depth.mean(axis=1).max():.2f}, the next "
            f"{depth.mean(axis=1).nlargest(2).iloc[1]:.2f}",
        ),
        _judge(
            "4.6, Table 5",
            "accuracy declines as the network deepens",
            bool(down.to_numpy().all()),
            f"{int(down.to_numpy().sum())} of {down.size} steps go down; ResNet101 "
            f"lies above ResNet50 on {int((~down.iloc[-1]).sum())} of 6",
        ),
        _judge(
            "4.6, Table 5",
            "depth helps some datasets, such as Form and Super",
            {"Form", "Super"} <= set(helped),
            f"it helps {' and '.join(helped)}; Form falls by at least "
            f"{-rise['PTBXL-Form']:.2f}",
        ),
        _judge(
            "4.6, Table 6",
            "half of M, (64, 32), is relatively good (it is the model's size)",
            bool(sizes.rank(ascending=False)["(64, 32)"] <= 2),
            f"its mean, {called:.2f}, is the second; {sizes.idxmax()} has "
            f"{sizes.max():.2f}",
        ),
        _judge(
            "4.6, Table 6",
            "three widths: 1/4, 1/2 and 2 times M (256 in Figures 5 and 6)",
            "M = 256" in fits,
            f"{len(sizes)} widths, which fit {', '.join(fits)}",
        ),
    ]


def _averages() -> list[Claim]:
    """The printed averages of Tables 4 to 6, and the name above them."""
    found = averages()
    gap = (found["printed"] - found["recomputed"]).abs().max()
    return [
        _judge(
            "title, Tables 2 and 4",
            "the model has one name",
            FULL == OURS,
            f"{OURS} in the title and Table 2, {FULL} in Table 4",
        ),
        _judge(
            "Tables 4 to 6",
            "the printed averages are those of their rows and columns",
            bool(gap < 0.0051),
            f"{len(found)} recomputed, the largest difference {gap:.3f}, "
            "which is rounding",
        ),
        _judge(
            "Table 4",
            "the row “avg AUC” sums the ablation up",
            False,
            "it averages the full model with its own ablations; the mean over tasks "
            "of each row is not printed",
        ),
    ]


def _judge(where: str, says: str, holds: bool | None, computed: str) -> Claim:
    """Judge one printed claim; chapter 7 treats it, unless `_in` says otherwise."""
    return Claim(says, holds, computed, where, "7")


def _in(chapter: str, judged: list[Claim]) -> list[Claim]:
    """Say which chapter treats claims."""
    return [replace(one, chapter=chapter) for one in judged]
