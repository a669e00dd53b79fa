"""The noise floor: how far apart two trainings of the same mathematics are.

The CLIP loss is the log-sum-exp loss of eq 30, halved: log-softmax computed with
log-sum-exp *is* cross-entropy, and Adam sees the factor through its epsilon alone. So
the row "w/o log-sum-exp" is another draw of the same row, its true difference is zero,
and what is measured between the two is what no difference looks like. The two share
first weights and batches, seed by seed: designs of other weights differ more without
any effect, so that the floor is a lower bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from mccgaa_book.results import MEAN, single_seeds, with_task_mean


@dataclass(frozen=True)
class Floor:
    """The spread of differences that are none.

    Attributes:
        rms: task (and MEAN) -> root mean square of the seeds' differences, AUROC x 100.
        seeds: how many seeds it rests on.
    """

    rms: pd.Series
    seeds: int

    def at(self, seeds: int = 1) -> pd.Series:
        """The half-width that 95 % of differences stay within where there is none.

        Differences of single seeds are taken as normal around zero, with the variance
        of `rms`; that of means over n seeds has a variance n times smaller. The
        quantile is Student's, with as many degrees of freedom as there are seeds, for
        the mean is not estimated: it is zero.

        Args:
            seeds: behind each of the two means that are compared; 1 for single runs.

        Returns:
            Task -> AUROC x 100; NaN without any seed.
        """
        if not self.seeds:
            return self.rms * math.nan
        quantile = stats.t.ppf(0.975, self.seeds)
        return self.rms * float(quantile) / math.sqrt(seeds)

    def exceeded(self, differences: pd.Series, seeds: int = 1) -> pd.Series:
        """Which differences are more than the floor.

        Args:
            differences: task -> AUROC x 100.
            seeds: as in `at`.

        Returns:
            Task -> True or False; None where the floor is not known.
        """
        floor = self.at(seeds).reindex(differences.index)
        beyond = (differences.abs() > floor).astype(object)
        return beyond.where(floor.notna() & differences.notna(), None)


def noise_floor(
    frame: pd.DataFrame, first: str = "bipartite", second: str = "clip"
) -> Floor:
    """Measure the noise floor between two variants of the same mathematics.

    Args:
        frame: macro rows of one split and of the metric `auroc`, as in `Results`.
        first: variant with the log-sum-exp loss.
        second: the same with the CLIP loss.

    Returns:
        The floor of each task, and of the mean over tasks; without seeds that both
        have, of none.
    """
    macro = frame[(frame["class"] == "") & (frame["metric"] == "auroc")]
    macro = with_task_mean(macro[macro["variant"].isin([first, second])])
    single = macro[single_seeds(macro)]
    wide = single.pivot(index=["task", "seed"], columns="variant", values="value")
    change = (wide.reindex(columns=[first, second]) @ [1.0, -1.0]).dropna()
    rms = (change**2).groupby("task").mean() ** 0.5
    tasks = dict.fromkeys(macro["task"])  # in their own order, the mean last
    order = [t for t in (*(t for t in tasks if t != MEAN), MEAN) if t in rms.index]
    seeds = int(change.groupby("task").size().min()) if len(change) else 0
    return Floor(rms.reindex(order), seeds)


def printed_floor(
    table: pd.DataFrame, full: str = "MCGAA", same: str = "w/o log-sum-exp"
) -> float:
    """The noise floor that the paper's Table 4 itself holds, for a single run.

    Its row "w/o log-sum-exp" is another training of its first row, so their differences
    on six tasks are six draws of noise; of each task there is one, so one spread is
    taken for all.

    Args:
        table: of `paper.table(4)`: rows the designs, columns the tasks, AUROC x 100.
        full: the row of the whole model.
        same: the row of the same mathematics.

    Returns:
        The half-width that 95 % of such differences stay within.
    """
    change = (table.loc[full] - table.loc[same]).astype(float)
    rms = float((change**2).mean() ** 0.5)
    return rms * float(stats.t.ppf(0.975, len(change)))
