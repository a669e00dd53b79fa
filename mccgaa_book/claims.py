"""A sentence beside the numbers that decide it: the book's own, and the paper's.

A chapter states what it found with `claim`, and with `compare` where it ranks two
variants. On a published page every claim has to hold, or the press refuses the page;
under a reader's own profile the page says of each sentence whether it holds there. The
audit (`audit.log`) judges the paper's sentences with the same class.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from mccgaa.config import ModelConfig
from mccgaa.errors import BookError
from mccgaa.profile import Profile
from mccgaa_book import CLAIMS, results
from mccgaa_book.audit.loss import same_but_for_two
from mccgaa_book.audit.results import ENOUGH
from mccgaa_book.noise import Floor, noise_floor
from mccgaa_book.results import MEAN, Results, over_seeds, paired, published

VERDICTS = {True: "confirmed", False: "contradicted", None: "cannot be decided"}
HERE = {True: "", False: "does not hold here", None: "cannot be decided here"}


@dataclass(frozen=True)
class Claim:
    """A sentence, what was computed about it, and whether it holds.

    Attributes:
        sentence: definite, and whole: it ends with a full stop.
        holds: True, False, or None where the numbers cannot tell.
        numbers: what was computed.
        where: of a printed claim, its place in the paper, such as "eq 13".
        chapter: of a printed claim, the chapter that treats it.
    """

    sentence: str
    holds: bool | None
    numbers: str = ""
    where: str = ""
    chapter: str = ""

    @property
    def verdict(self) -> str:
        """Confirmed, contradicted, or cannot be decided."""
        return VERDICTS[self.holds]


def claim(sentence: str, holds: object, numbers: str = "") -> Claim:
    """State a sentence of the book and check it.

    Args:
        sentence: definite; it ends with a full stop.
        holds: truth of it: a bool, numpy's or torch's included, or None.
        numbers: what was computed, as the page shows it.

    Raises:
        BookError: the sentence is no whole one.
    """
    if not sentence.endswith("."):
        raise BookError(
            f"The claim {sentence!r} does not end with a full stop; a claim is a whole "
            "sentence."
        )
    return Claim(sentence, None if holds is None else bool(holds), numbers)


def ranking(
    sentence: str,
    macro: pd.DataFrame,
    better: str,
    worse: str,
    floor: Floor,
    task: str = MEAN,
) -> Claim:
    """State that one variant is ahead of another, with the evidence that it takes.

    Args:
        sentence: says so.
        macro: macro rows of one split, as in `results.Results`.
        better: the variant said to be ahead.
        worse: the other.
        floor: of `measured_floor`.
        task: or the mean over tasks.

    Returns:
        A claim that holds if the 95 % interval of the paired difference excludes zero
        and the difference exceeds the noise floor.

    Raises:
        BookError: fewer than `ENOUGH` seeds, no interval, or no noise floor: then no
            sentence may rank the two.
    """
    row = paired(macro, better, worse).loc[task]
    if lacking := lacks(row, floor):
        raise BookError(
            f"{sentence!r} ranks {better} and {worse}, which takes {ENOUGH} seeds, a "
            f"paired interval and the noise floor, and there is {lacking}; run the "
            "missing seeds, or drop the sentence."
        )
    return claim(sentence, ahead(row, floor) == 1, _evidence(row, floor))


def ahead(row: pd.Series, floor: Floor) -> int | None:
    """Say which of two variants is ahead: the rule of every ranking.

    Args:
        row: of `results.paired`, named after its task.
        floor: of `measured_floor`.

    Returns:
        1 for the first and -1 for the second, if the 95 % interval of the difference
        excludes zero and the difference exceeds the noise floor of means over as many
        seeds; 0 where the two cannot be told apart; None where evidence is lacking.
    """
    if lacks(row, floor):
        return None
    beyond = row["low"] * row["high"] > 0
    beyond &= abs(row["difference"]) > _half_width(row, floor)
    return int(math.copysign(1, row["difference"])) if beyond else 0


@dataclass(frozen=True)
class Weighed:
    """Two variants, and what results allow to say of them.

    Attributes:
        first: label of a variant.
        second: label of the one subtracted from it.
        ecgs: "real ECGs" or "simulated ECGs".
        ahead: 1 where the first is ahead, -1 where it is behind, 0 where the two cannot
            be told apart, None where they may not be ranked.
        points: the paired difference, AUROC x 100.
        numbers: all that this rests on, or what it lacks.
    """

    first: str
    second: str
    ecgs: str
    ahead: int | None
    points: float
    numbers: str


def weigh(
    found: Results,
    first: str,
    second: str,
    task: str = MEAN,
    floor: Floor | None = None,
    **named: str,
) -> Weighed:
    """Compare two variants on the test split, if the evidence that it takes is there.

    Args:
        found: results whose macro rows of the metric `auroc` are compared.
        first: variant.
        second: variant that is subtracted from it.
        task: or the mean over tasks.
        floor: the noise floor, where `found` has not the rows that measure it.
        named: labels of rows that are no variants.
    """
    macro = tested(found)
    profile = Profile.load(found.stamp["profile"])
    models = models_of(profile)
    row = paired(macro, first, second).astype(float).reindex([task]).loc[task]
    row = row.fillna({"seeds": 0})
    floor = floor or measured_floor(macro, models)
    if lacking := lacks(row, floor):
        numbers = (
            f"a ranking takes {ENOUGH} seeds, a paired interval and the noise floor; "
            f"there is {lacking}"
        )
    else:
        numbers = _evidence(row, floor)
    called = {name: one.label for name, one in profile.variants.items()} | named
    labels = [called.get(name, name) for name in (first, second)]
    ecgs = "simulated ECGs" if found.synthetic else "real ECGs"
    return Weighed(*labels, ecgs, ahead(row, floor), row["difference"], numbers)


def compare(
    found: Results,
    first: str,
    second: str,
    task: str = MEAN,
    *,
    where: str = "",
    more: str = "is ahead of",
    less: str = "is behind",
    of: str = "",
    floor: Floor | None = None,
    **named: str,
) -> Claim:
    """Write the sentence that results allow about two variants, whichever it is.

    Args:
        found: results whose macro rows of the metric `auroc` are compared.
        first: variant.
        second: variant that is subtracted from it.
        task: or the mean over tasks.
        where: said behind the ECGs, such as "probed with 10 % of the labels".
        more, less: said between the two where the first is ahead, and behind.
        of: what is compared, where it is not the two as such, such as "the cost".
        floor: the noise floor, where `found` has not the rows that measure it.
        named: labels of rows that are no variants.

    Returns:
        A claim that holds: one is ahead, or the two cannot be told apart, or the seeds
        are too few to rank them.
    """
    both = weigh(found, first, second, task, floor, **named)
    size = f"by {abs(both.points):.1f} points, which is more than noise"
    pair = f"“{both.first}” and “{both.second}”"
    pair, are = (f"{of} of {pair}", "is") if of else (pair, "are")
    says = {
        None: f"{pair} {are} listed and not ranked",
        0: f"{pair} cannot be told apart",
        1: f"“{both.first}” {more} “{both.second}” {size}",
        -1: f"“{both.first}” {less} “{both.second}” {size}",
    }[both.ahead]
    on = [f"On {both.ecgs}", *([] if task == MEAN else [f"task {task}"])]
    on += [where] if where else []
    return claim(f"{', '.join(on)}, {says}.", True, both.numbers)


def on_real(first: str, second: str) -> list[Claim]:
    """Compare two variants in the published results on real ECGs.

    Returns:
        One claim of `compare`, or none where no such results have both variants.
    """
    for found in published("zeroshot"):
        if found.synthetic is False and {first, second} <= set(found.frame["variant"]):
            return [compare(found, first, second)]
    return []


def measured_floor(macro: pd.DataFrame, models: Mapping[str, ModelConfig]) -> Floor:
    """The noise floor that a pair of variants of the same mathematics measures.

    The CLIP loss is half the log-sum-exp loss, so two variants that differ in this
    alone are one method, and what separates them is noise.

    Args:
        macro: macro rows of one split, as in `results.Results`.
        models: configuration of each variant.

    Returns:
        That of several pairs with `ENOUGH` seeds whose mean over tasks varies most;
        of no task and no seed where no pair has as many.
    """
    found = [noise_floor(macro, *pair) for pair in _same_mathematics(macro, models)]
    enough = [one for one in found if one.seeds >= ENOUGH]
    none = Floor(pd.Series(dtype=float), 0)
    return max(enough, key=lambda one: one.rms[MEAN], default=none)


def noise_on_real() -> list[Claim]:
    """State how far apart two trainings of one method lie on real ECGs.

    Returns:
        One claim, or none where no published results on real ECGs tell.
    """
    for found in published("zeroshot"):
        macro, profile = tested(found), Profile.load(found.stamp["profile"])
        if found.synthetic is not False:
            continue
        for first, second in _same_mathematics(macro, models_of(profile)):
            change = paired(macro, first, second).drop(index=MEAN)["difference"].abs()
            seeds = over_seeds(macro).loc[first, "seeds"].min()
            names = [profile.variants[name].label for name in (first, second)]
            return [
                claim(
                    "On real ECGs two trainings of the same mathematics differ by "
                    f"up to {change.max():.1f} points on a task.",
                    True,
                    f"“{names[0]}” and “{names[1]}” on {change.idxmax()}, means over "
                    f"{seeds:.0f} seeds",
                )
            ]
    return []


def tested(found: Results) -> pd.DataFrame:
    """Take the macro rows of the test split from zero-shot results."""
    return results.tested(found.frame)


def show(*claims: Claim) -> None:
    """Show what a page found, each sentence with its numbers, and keep the checks."""
    from mccgaa_book.page import display

    lines = "\n".join(f"- {one.sentence} ({one.numbers})" for one in claims)
    display(
        {"text/html": listing(claims), "text/plain": lines},
        {CLAIMS: [asdict(one) for one in claims]},
    )


def listing(claims: Iterable[Claim]) -> str:
    """Write claims as an HTML list; one that does not hold says so."""
    items = []
    for one in claims:
        mark = f'<span class="tag">{HERE[one.holds]}</span> ' if HERE[one.holds] else ""
        numbers = f" <small>({html.escape(one.numbers)})</small>" if one.numbers else ""
        items.append(f"<li>{mark}{html.escape(one.sentence)}{numbers}</li>")
    return f'<ul class="found tier-none">{"".join(items)}</ul>'


def table(claims: Sequence[Claim]) -> pd.DataFrame:
    """List claims about the paper: where, what it says, what was computed, verdict."""
    rows = [(c.where, c.sentence, c.numbers, c.verdict, c.chapter) for c in claims]
    columns = ["where", "said or implied", "computed", "verdict", "chapter"]
    return pd.DataFrame(rows, columns=columns)


def models_of(profile: Profile) -> dict[str, ModelConfig]:
    """Configuration of every variant."""
    return {name: profile.run_config(name).model for name in profile.variants}


def _same_mathematics(
    macro: pd.DataFrame, models: Mapping[str, ModelConfig]
) -> Iterator[tuple[str, str]]:
    """Pairs of measured variants that are the same mathematics."""
    have = [name for name in models if name in set(macro["variant"])]
    for i, first in enumerate(have):
        for second in have[i + 1 :]:
            if second in same_but_for_two(models, first):
                yield first, second


def lacks(row: pd.Series, floor: Floor) -> str:
    """Name what a ranking lacks, or nothing; arguments as of `ahead`."""
    if row["seeds"] < ENOUGH:
        kept = f"{row['seeds']:.0f} seeds"
        return f"a pair of {kept}" if row["seeds"] else "a pair of means over seeds"
    if pd.isna(row["low"]):
        return "no interval"
    return "no noise floor" if math.isnan(_half_width(row, floor)) else ""


def _half_width(row: pd.Series, floor: Floor) -> float:
    """The noise floor of a paired difference, AUROC x 100; NaN where none is known."""
    if floor.seeds < ENOUGH:
        return math.nan
    return float(floor.at(int(row["seeds"])).get(row.name, math.nan))


def _evidence(row: pd.Series, floor: Floor) -> str:
    """Write a paired difference with all that it rests on."""
    return (
        f"{row['difference']:+.2f} points over {row['seeds']:.0f} seeds, 95 % interval "
        f"{row['low']:+.2f} to {row['high']:+.2f}, noise floor "
        f"{_half_width(row, floor):.2f}"
    )
