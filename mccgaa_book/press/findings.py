"""The findings on the README and the book's first page, made from `results/`.

No number of them is typed: each comes from published results, from a published page, or
from a constant of the audit that a test counts again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mccgaa.errors import BookError
from mccgaa_book import claims, paper, results
from mccgaa_book.audit import chapman
from mccgaa_book.audit.results import ENOUGH
from mccgaa_book.checkout import checkout
from mccgaa_book.results import MEAN, Results
from mccgaa_book.rows import macros

LOG = Path("book/notebooks/A3_audit.ipynb")  # lists the contradictions
VERDICT = re.compile(rf"<td[^>]*>({'|'.join(claims.VERDICTS.values())})</td>")
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Finding:
    """What was found, in one sentence, and the page that shows it."""

    lead: str  # three words that name it
    sentence: str
    shown: Mapping[str, str]  # name of a page -> its notebook in book/


def findings(folder: Path) -> list[Finding]:
    """List what was found, real evidence first.

    Args:
        folder: of results: `<profile>/<experiment>.csv`.

    Raises:
        BookError: results or the page with the log are missing.
    """
    return [
        _rerun(results.load("zeroshot", "real", folder / "real")),
        _deeper(results.load("table5", "real", folder / "real")),
        _untrained(results.load("table3", "real", folder / "real")),
        _left_out(
            results.load("unseen", "plus-real", folder / "plus-real"),
            results.load("zeroshot", "real", folder / "real"),
        ),
        _started(results.load("beyond", "plus-real", folder / "plus-real")),
        _simulated(results.load("beyond", "plus", folder / "plus")),
        Finding(
            "Two of its parts are not what they seem",
            "The graph of the equations can match ECGs and texts that have "
            "nothing in common, and its log-sum-exp loss is the CLIP loss times two",
            {
                "chapter 4": "notebooks/04_gafa.ipynb",
                "chapter 5": "notebooks/05_loss.ipynb",
            },
        ),
        _paper(),
    ]


def write(folder: Path, prefix: str = "") -> str:
    """Write the findings as a numbered Markdown list.

    Args:
        folder: as in `findings`.
        prefix: of each link: the way from the text's folder to `book/`.
    """
    lines = []
    for number, one in enumerate(findings(folder), start=1):
        links = ", ".join(f"[{name}]({prefix}{at})" for name, at in one.shown.items())
        lines.append(f"{number}. **{one.lead}.** {one.sentence} ({links}).")
    return "\n".join(lines)


def one_text(found: Results, tested_on: str = results.REAL) -> pd.DataFrame:
    """Take macro rows that were scored with one text per class, as the paper does.

    Args:
        found: of the experiment "beyond".
        tested_on: kind of ECGs.
    """
    return macros(found.frame, tested_on)


def mean_of(macro: pd.DataFrame, variant: str) -> str:
    """Write a variant's mean over tasks ± its deviation over seeds."""
    row = results.over_seeds(results.with_task_mean(macro)).loc[(variant, MEAN)]
    return f"{row['mean']:.1f} ± {row['sd']:.1f}"


def in_words(number: int) -> str:
    """Write a number below ten as a word."""
    return WORDS[number] if number < len(WORDS) else f"{number:,}"


def _rerun(found: Results) -> Finding:
    """The method against its baseline, on real ECGs."""
    macro = claims.tested(found)
    both = claims.weigh(found, "bipartite", "merl")
    seeds = int(results.paired(macro, "bipartite", "merl").loc[MEAN, "seeds"])
    lead = "The paper's graph and channel attention show no gain at this scale"
    if both.ahead is None:
        short = f"{in_words(seeds)} seeds are too few to rank the two"
        why = short if seeds < ENOUGH else "the two are not ranked: no noise floor"
    elif both.ahead == 0:
        why = f"over {in_words(seeds)} seeds the two cannot be told apart"
    else:
        lead = "The paper's graph and channel attention make a difference"
        why = f"the difference is more than noise ({both.numbers})"
    return Finding(
        lead,
        "On real ECGs MCCGAA has a zero-shot macro AUROC of "
        f"{mean_of(macro, 'bipartite')}, the same network without these parts "
        f"{mean_of(macro, 'merl')}; {why}",
        {"zero-shot, real ECGs": "notebooks/real/07_zero_shot.ipynb"},
    )


def _deeper(found: Results) -> Finding:
    """Backbones of Table 5, and where their losses end."""
    depths = ("resnet34", "resnet50", "resnet101")
    change = _better(
        results.paired(claims.tested(found), "bipartite", depths[-1]).loc[MEAN]
    )
    losses = found.frame[found.frame["metric"] == "training_loss"]
    wide = losses.pivot(index="seed", columns="variant", values="value")
    if not (wide[list(depths)].min(axis=1) > wide["bipartite"]).all():
        raise BookError(
            "A finding says that deeper backbones end with a higher training loss in "
            "every seed, and they do not; correct the finding."
        )
    printed = paper.table(5)["Avg. AUC"].astype(float)
    gap = printed["1D-ResNet18"] - printed["1D-ResNet101"]
    return Finding(
        "Deeper backbones do worse here, and not by overfitting",
        f"On real ECGs the ResNet-18 is {_size(change)} ahead of the ResNet-101, where "
        f"the paper's Table 5 has {gap:.1f}; but all three deeper networks fit their "
        "training pairs worse in the same number of steps, in every seed, where "
        "overfitting would fit them better; the paper trained far longer and prints "
        "no loss",
        {"chapter 10b": "notebooks/real/10b_sizes.ipynb"},
    )


def _untrained(found: Results) -> Finding:
    """A linear probe of a network that was not trained, with all labels."""
    rows = found.frame[found.frame["metric"] == "auroc_100"]
    macro = rows.assign(metric="auroc")
    change = _better(results.paired(macro, "bipartite", "random").loc[MEAN])
    return Finding(
        "Most of what a linear probe reads is there before training",
        f"With all labels of the subset it reads {mean_of(macro, 'random')} from a "
        f"network that was never trained, and {mean_of(macro, 'bipartite')} from "
        f"MCCGAA, {_size(change)}; the paper's Table 3 has no such row",
        {"chapter 9": "notebooks/real/09_linear_probe.ipynb"},
    )


def _left_out(never: Results, usual: Results) -> Finding:
    """Zero-shot of classes that were left out of pretraining."""
    from mccgaa_book import strict  # which loads torch

    groups = strict.by_group(never.frame, usual.frame)
    new, met = (groups[which]["bipartite"] for which in ("never", "met"))
    return Finding(
        "Classes left out of pretraining, with their records, are recognised less",
        f"On real ECGs MCCGAA has {new.mean():.1f} on such classes, where chance is "
        "50; pretraining that kept them is "
        f"{_size(_better(results.mean_row(met - new)), 'groups')} ahead; how much of "
        "this is the classes and how much the records was not measured",
        {"chapter 8": "notebooks/plus/08_beyond.ipynb"},
    )


def _started(found: Results) -> Finding:
    """Simulated ECGs first, then real ones."""
    macro = one_text(found)
    change = _better(results.paired(macro, "started", "statements").loc[MEAN])
    return Finding(
        "Simulated ECGs first, then real ones, do better than real ones alone",
        "A model that reads reports as sets of findings reaches "
        f"{mean_of(macro, 'started')} that way, {_size(change)} against a shorter and "
        "plainer training on real ones alone; how much of it is the start and how much "
        "the longer, augmented training was not measured",
        {"chapter 8": "notebooks/plus/08_beyond.ipynb"},
    )


def _simulated(found: Results) -> Finding:
    """Not one real ECG in training."""
    macro = one_text(found)
    change = _better(results.paired(macro, "plus", "merl-long").loc[MEAN])
    return Finding(
        "A model can learn from simulated ECGs alone",
        f"Trained on not one real ECG, a model has {mean_of(macro, 'plus')} on them, "
        f"{_size(change)} against the same training with whole reports; the simulator "
        "and the recipe were chosen while looking at real records",
        {"chapter 8": "notebooks/plus/08_beyond.ipynb"},
    )


def _paper() -> Finding:
    """What is wrong in print."""
    against, judged = contradicted()
    wrong = f"{100 * chapman.SHARED_WRONG_ROWS / chapman.SHARED_ROWS:.1f}"
    return Finding(
        "The benchmark and the paper have faults",
        f"{wrong} % of the rows of the label table that the field shares for one test "
        f"set (Chapman) are wrong, and {against} of the {judged} claims that the audit "
        "takes up are contradicted: by the paper's own equations and tables, by the "
        "data and publications that it uses, or by runs here",
        {
            "chapter 1": "notebooks/01_problem_and_data.ipynb",
            "the audit": "notebooks/A3_audit.ipynb",
        },
    )


def contradicted(page: Path | None = None) -> tuple[int, int]:
    """Count the claims of the paper on the published page of the log.

    Returns:
        How many are contradicted, and how many there are.

    Raises:
        BookError: the page does not show the log.
    """
    page = page or checkout() / LOG
    verdicts: list[str] = []
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            shown = "".join(output.get("data", {}).get("text/html", []))
            if 'id="table-audit-log-' in shown:
                verdicts += VERDICT.findall(shown)
    if not verdicts:
        raise BookError(
            f"{page} shows no table audit-log-...; execute it with `mccgaa book "
            "execute --profile synthetic --only A3_audit --publish`."
        )
    return verdicts.count(claims.VERDICTS[False]), len(verdicts)


def _better(change: pd.Series) -> pd.Series:
    """Refuse a difference that is no gain, or that too few seeds stand behind."""
    if change["seeds"] < ENOUGH:
        raise BookError(
            f"A finding compares two models over {change['seeds']:.0f} seeds, and it "
            f"takes {ENOUGH}; run the missing seeds or drop the finding."
        )
    if not change["low"] > 0:
        raise BookError(
            f"A finding says that one model is better than another, and it is not: "
            f"{_size(change)}; correct the finding."
        )
    return change


def _size(change: pd.Series, over: str = "seeds") -> str:
    """Write a row of `results.paired` with its interval over seeds, or groups."""
    return (
        f"{change['difference']:+.1f} points (95 %: {change['low']:+.1f} to "
        f"{change['high']:+.1f}, {in_words(int(change['seeds']))} {over})"
    )
