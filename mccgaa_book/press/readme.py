"""The results on the README and the book's first page: from `results/`, never typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.errors import BookError
from mccgaa.files import write_whole
from mccgaa.profile import Profile
from mccgaa_book import paper, results
from mccgaa_book.checkout import checkout
from mccgaa_book.page import ABSENT
from mccgaa_book.press.chapters import find
from mccgaa_book.results import MEAN, Results

PRINTED = ("MERL", "MCCGAA")
TASKS = list(paper.TASKS.values())
START, END = "<!-- results -->", "<!-- /results -->"
INTRO = Path("book/intro.md")
PICTURE = Path("book/_figures/readme.svg")
NEW = {  # (same source as in pretraining, what its texts were) -> new at the test
    (False, "report"): "the source; pretraining had reports, no labels",
    (False, "knowledge"): "the source; pretraining had texts made from labels",
    (True, "report"): "the people, not the source",
    (True, "knowledge"): "the people, not the source, nor most classes: pretraining "
    "had texts made from labels",
}


def update() -> Path:
    """Bring README.md, its picture and the book's first page up to `results/`."""
    root = checkout()
    folder = root / "results"
    texts = {root / "README.md": section(folder), root / INTRO: summary(folder)}
    for path, text in texts.items():
        whole = filled(path.read_text(encoding="utf-8"), text, path.name)
        with write_whole(path) as file:
            file.write(whole)
    with write_whole(root / PICTURE) as file:
        file.write(picture(folder))
    return root / "README.md"


def summary(folder: Path) -> str:
    """Write the result on real ECGs beside the paper's, task by task.

    Args:
        folder: as in `section`.
    """
    found, profile, variants = _real(folder)
    macro = found.frame[(found.frame["split"] == "test") & (found.frame["class"] == "")]
    table = results.over_seeds(results.with_task_mean(macro))
    tasks = [task for task in TASKS if (variants[0], task) in table.index]
    columns = [name for name, task in paper.TASKS.items() if task in tasks]
    printed = paper.table(2).loc[list(PRINTED), columns].astype(float)
    head = [profile.variants[name].label for name in variants]
    head += [f"{name} (paper)" for name in PRINTED]
    lines = [_row(["task", *head]), _row(["---"] * (len(head) + 1))]
    for task, column in zip(tasks, columns, strict=True):
        ours = [_cell(table, name, task) for name in variants]
        lines.append(_row([task, *ours, *(f"{v:.1f}" for v in printed[column])]))
    ours = [_cell(table, name, MEAN) for name in variants]
    lines.append(_row([MEAN, *ours, *(f"{v:.1f}" for v in printed.mean(axis=1))]))
    return "\n" + "\n".join(lines) + "\n"


def section(folder: Path) -> str:
    """Write the results as a Markdown table, real ECGs first, the paper's last.

    Args:
        folder: of results: `<profile>/<experiment>.csv`.

    Raises:
        BookError: there are none.
    """
    head = ["evidence", "new at the test", "method", *TASKS, MEAN, "seeds"]
    lines = [_row(head), _row(["---"] * len(head))]
    for found in _published(folder, "zeroshot"):
        profile = Profile.load(find(found.stamp["profile"]))
        kind = results.SYNTHETIC if found.synthetic else results.REAL
        macro = found.frame[
            (found.frame["split"] == "test") & (found.frame["class"] == "")
        ]
        lines += _rows(macro, f"**{kind}**", _new(profile), profile)
    for found in _published(folder, "transfer"):
        profile = Profile.load(find(found.stamp["profile"]))
        frame = found.frame[
            (found.frame["split"] == "test")
            & (found.frame["trained_on"] == results.SYNTHETIC)
            & (found.frame["tested_on"] == results.REAL)
        ]
        what = "**synthetic** training, **real** test split"
        lines += _rows(
            frame, what, "real hearts: the model saw simulated ones", profile
        )
    printed = paper.table(2)
    for method in PRINTED:
        values = [float(printed.loc[method, column]) for column in paper.TASKS]
        cells = [f"{v:.1f}" for v in (*values, sum(values) / len(values))]
        lines.append(_row(["paper, printed", "the source", method, *cells, ABSENT]))
    return "\n".join(lines)


def picture(folder: Path) -> str:
    """Draw the AUROC of every class on real ECGs as an SVG.

    Args:
        folder: as in `section`.

    Raises:
        BookError: there are no published results on real ECGs.
    """
    import io

    import matplotlib.pyplot as plt

    from mccgaa_book.plots import style
    from mccgaa_book.plots.results import class_aurocs

    found, profile, variants = _real(folder)
    style.use()
    fig = class_aurocs(
        {profile.variants[name].label: class_table(found, name) for name in variants}
    )
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None}
    fig.savefig(buffer, format="svg", bbox_inches="tight", metadata=metadata)
    plt.close(fig)
    return buffer.getvalue().decode()


def class_table(
    found: Results, variant: str, seed: str = "0", split: str = "test"
) -> pd.DataFrame:
    """List every scored class of one run.

    Args:
        found: of the experiment "zeroshot".
        variant: of the run.
        seed: of the run.
        split: tested on.

    Returns:
        As `audit.results.by_class`, without the width of the bootstrap interval: one
        row per class with `task`, `class`, `positives`, `share` (of all records),
        `auroc` and its `score_interval` `low` to `high` (x 100), and `rare`.
    """
    from mccgaa_book.audit.results import RARE, score_interval

    frame = found.frame
    number = frame.set_index(["split", "task", "class", "metric", "variant"])["value"]
    number = number[number.index.get_level_values("variant") == ""].droplevel("variant")
    run = (frame["variant"] == variant) & (frame["seed"] == seed)
    own = frame[run & (frame["split"] == split) & (frame["class"] != "")]
    rows = []
    for task, name, area in own[own["metric"] == "auroc"][
        ["task", "class", "value"]
    ].itertuples(index=False):
        positives = int(number[split, task, name, "positives"])
        negatives = int(number[split, task, "", "records"]) - positives
        low, high = score_interval(area / 100, positives, negatives)
        share = (
            number["all", task, name, "positives"] / number["all", task, "", "records"]
        )
        rows.append((task, name, positives, share, area, 100 * low, 100 * high))
    columns = ["task", "class", "positives", "share", "auroc", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(rare=table["share"] < RARE)


def filled(page: str, section: str, name: str = "README.md") -> str:
    """Put results between the two marks of a page.

    Raises:
        BookError: a mark is missing.
    """
    if START not in page or END not in page:
        raise BookError(f"{name} lacks {START} or {END}; put both back.")
    head, rest = page.split(START, 1)
    return f"{head}{START}\n{section}\n{END}{rest.split(END, 1)[1]}"


def _published(folder: Path, experiment: str) -> list[Results]:
    """All results of an experiment, those on real ECGs first."""
    found = results.published(experiment, folder)
    if not found:
        raise BookError(
            f"{folder} holds no results of {experiment}; make them with `mccgaa run "
            f"{experiment} --publish`."
        )
    return found


def _real(folder: Path) -> tuple[Results, Profile, tuple[str, ...]]:
    """Results on real ECGs, their profile, and the variants that it compares."""
    found = _published(folder, "zeroshot")[0]
    if found.synthetic is not False:
        raise BookError(f"{folder} holds no results on real ECGs; publish some first.")
    profile = Profile.load(find(found.stamp["profile"]))
    return found, profile, profile.reproduce.variants or tuple(profile.variants)[:2]


def _new(profile: Profile) -> str:
    """Say what a profile's models meet for the first time at the test."""
    tested = {profile.recipe(profile.tested_on(t)[0]).dataset for t in profile.tasks}
    same = profile.recipe("pretrain").dataset in tested
    return NEW[same, profile.run_config().pretrain.text]


def _rows(frame: pd.DataFrame, what: str, new: str, profile: Profile) -> list[str]:
    """Write one row per variant: mean ± deviation over seeds."""
    table = results.over_seeds(results.with_task_mean(frame))
    rows = []
    for variant in [v for v in profile.variants if v in set(frame["variant"])]:
        cells = [_cell(table, variant, task) for task in (*TASKS, MEAN)]
        seeds = f"{table.loc[variant, 'seeds'].max():.0f}"
        label = profile.variants[variant].label
        rows.append(_row([what, new, label, *cells, seeds]))
    return rows


def _cell(table: pd.DataFrame, variant: str, task: str) -> str:
    """Write a mean and, where it is known, its deviation."""
    if (variant, task) not in table.index:
        return ABSENT
    mean, sd = table.loc[(variant, task), ["mean", "sd"]]
    return f"{mean:.1f}" if pd.isna(sd) else f"{mean:.1f} ± {sd:.1f}"


def _row(cells: list[Any]) -> str:
    return f"| {' | '.join(cells)} |"
