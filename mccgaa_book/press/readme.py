"""The results on the README and the book's first page: from `results/`, never typed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mccgaa.errors import BookError
from mccgaa.files import write_whole
from mccgaa.profile import Profile
from mccgaa_book import paper, results
from mccgaa_book.checkout import checkout
from mccgaa_book.page import ABSENT
from mccgaa_book.page import text as written
from mccgaa_book.press import evidence, findings
from mccgaa_book.press.chapters import find
from mccgaa_book.press.evidence import row
from mccgaa_book.results import MEAN, Results

PRINTED = ("MERL", "MCCGAA")
TASKS = list(paper.TASKS.values())
# What stands between a page's marks.
RESULTS, FINDINGS, EVIDENCE = "results", "findings", "evidence"
START, END = "<!-- results -->", "<!-- /results -->"
BEYOND = (  # profile, variant, what it was trained on, what it reads, its look
    ("plus-real", "merl", "real ECGs alone", "whole reports", "plain"),
    ("plus-real", "statements", "real ECGs alone", "statements", "beyond"),
    ("plus", "merl-long", "simulated alone", "whole reports", "plain"),
    ("plus", "plus", "simulated alone", "statements", "beyond"),
    ("plus-real", "started", "simulated, then real", "statements", "beyond"),
)
INTRO = Path("book/intro.md")
REPRODUCING = Path("book/reproducing.md")
PICTURE = Path("book/_figures/readme.svg")
NEW = {  # (same source as in pretraining, what its texts were) -> new at the test
    (False, "report"): "the source; pretraining had reports, no labels",
    (False, "knowledge"): "the source; pretraining had texts made from labels",
    (True, "report"): "the people, not the source",
    (True, "knowledge"): "the people, not the source, nor most classes: pretraining "
    "had texts made from labels",
}


def update() -> Path:
    """Bring README.md, its picture and two pages of the book up to `results/`."""
    root = checkout()
    folder = root / "results"
    texts = {
        root / "README.md": (section(folder), findings.write(folder, "book/")),
        root / INTRO: (summary(folder), findings.write(folder)),
    }
    for path, (table, found) in texts.items():
        whole = filled(path.read_text(encoding="utf-8"), table, path.name)
        whole = filled(whole, found, path.name, FINDINGS)
        with write_whole(path) as file:
            file.write(whole)
    whole = (root / REPRODUCING).read_text(encoding="utf-8")
    with write_whole(root / REPRODUCING) as file:
        file.write(filled(whole, runs(folder), REPRODUCING.name, EVIDENCE))
    with write_whole(root / PICTURE) as file:
        file.write(picture(folder))
    return root / "README.md"


def runs(folder: Path) -> str:
    """Write what has been run of every experiment, and what has not.

    Args:
        folder: as in `section`.
    """
    from mccgaa_book.experiments import EXPERIMENTS  # which loads torch

    tiers = (results.REAL, results.SYNTHETIC)
    return f"\n{evidence.write(folder, EXPERIMENTS, tiers)}\n"


def summary(folder: Path) -> str:
    """Write the result on real ECGs beside the paper's, task by task.

    Args:
        folder: as in `section`.
    """
    found, profile, variants = _real(folder)
    macro = results.tested(found.frame)
    table = results.over_seeds(results.with_task_mean(macro))
    tasks = [task for task in TASKS if (variants[0], task) in table.index]
    columns = [name for name, task in paper.TASKS.items() if task in tasks]
    printed = paper.table(2).loc[list(PRINTED), columns].astype(float)
    head = [profile.variants[name].label for name in variants]
    head += [f"{name} (paper)" for name in PRINTED]
    lines = [row(["task", *head]), row(["---"] * (len(head) + 1))]
    for task, column in zip(tasks, columns, strict=True):
        ours = [_cell(table, name, task) for name in variants]
        lines.append(row([task, *ours, *(written(v, ".1f") for v in printed[column])]))
    ours = [_cell(table, name, MEAN) for name in variants]
    lines.append(row([MEAN, *ours, *(written(v, ".1f") for v in printed.mean(axis=1))]))
    verdict = findings.findings(folder)[0]
    return "\n" + "\n".join([*lines, "", f"**Verdict.** {verdict.sentence}."]) + "\n"


def section(folder: Path) -> str:
    """Write the results as a Markdown table, real ECGs first, the paper's last.

    Args:
        folder: of results: `<profile>/<experiment>.csv`.

    Raises:
        BookError: there are none.
    """
    head = ["evidence", "new at the test", "method", *TASKS, MEAN, "tasks", "seeds"]
    lines = [row(head), row(["---"] * len(head))]
    for found in _published(folder, "zeroshot"):
        profile = Profile.load(find(found.stamp["profile"]))
        kind = results.SYNTHETIC if found.synthetic else results.REAL
        rate = profile.run_config().model.input.sampling_rate
        macro = results.tested(found.frame)
        lines += _rows(macro, f"**{kind}**, {rate} Hz", _new(profile), profile)
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
        cells = [written(v, ".1f") for v in (*values, sum(values) / len(values))]
        cells += [str(len(values)), ABSENT]
        lines.append(row(["paper, printed", "the source", method, *cells]))
    return "\n".join(lines)


def picture(folder: Path) -> str:
    """Draw the real result and what goes beyond it as an SVG.

    Args:
        folder: as in `section`.

    Raises:
        BookError: there are no published results on real ECGs.
    """
    import io

    import matplotlib.pyplot as plt

    from mccgaa_book.plots import style
    from mccgaa_book.plots.headline import headline

    style.use()
    fig = headline(_by_seed(folder), _beyond(folder))
    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", bbox_inches="tight", metadata=style.SVG)
    plt.close(fig)
    return buffer.getvalue().decode()


def _by_seed(folder: Path) -> pd.DataFrame:
    """One row per task, method and seed on real ECGs, and for the mean over tasks."""
    found, profile, variants = _real(folder)
    macro = results.tested(found.frame)
    macro = results.with_task_mean(macro[macro["metric"] == "auroc"])
    looks = dict(zip(variants, ("method", "plain"), strict=False))
    rows = macro[macro["variant"].isin(looks)]
    order = [*TASKS, MEAN]
    rows = rows.sort_values("task", key=lambda task: task.map(order.index))
    return rows.assign(
        method=rows["variant"].map({v: profile.variants[v].label for v in looks}),
        look=rows["variant"].map(looks),
    )


def _beyond(folder: Path) -> pd.DataFrame:
    """One row per model and seed on the real test fold, with one text per class."""
    parts = []
    for profile, variant, group, method, look in BEYOND:
        found = results.load("beyond", profile, folder / profile)
        macro = results.with_task_mean(findings.one_text(found))
        part = macro[(macro["task"] == MEAN) & (macro["variant"] == variant)]
        parts.append(part.assign(group=group, method=method, look=look))
    return pd.concat(parts)


def filled(page: str, text: str, name: str = "README.md", mark: str = RESULTS) -> str:
    """Put a text between the two marks of a page.

    Args:
        page: the whole text.
        text: what is to stand there.
        name: of the page, for the error message.
        mark: RESULTS, FINDINGS or EVIDENCE.

    Raises:
        BookError: a mark is missing.
    """
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if start not in page or end not in page:
        raise BookError(f"{name} lacks {start} or {end}; put both back.")
    head, rest = page.split(start, 1)
    return f"{head}{start}\n{text}\n{end}{rest.split(end, 1)[1]}"


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
        of = str(sum((variant, task) in table.index for task in TASKS))
        seeds = f"{table.loc[variant, 'seeds'].max():.0f}"
        label = profile.variants[variant].label
        rows.append(row([what, new, label, *cells, of, seeds]))
    return rows


def _cell(table: pd.DataFrame, variant: str, task: str) -> str:
    """Write a mean and, where it is known, its deviation."""
    if (variant, task) not in table.index:
        return ABSENT
    mean, sd = table.loc[(variant, task), ["mean", "sd"]]
    return f"{mean:.1f}" if pd.isna(sd) else f"{mean:.1f} ± {sd:.1f}"
