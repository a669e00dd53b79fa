"""The README's results: taken from the published pages, never typed.

The table comes from the CSV files of chapter 7 and the paper's printed Table 2; the
picture is the one that the executed chapter holds.
"""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat
import pandas as pd

from mccgaa.errors import BookError
from mccgaa_book import paper
from mccgaa_book.page import ABSENT

PRINTED = ("MERL", "MCCGAA")
PAGE = Path("book/notebooks/real/07_zero_shot.ipynb")
FIGURE = "fig-classes"
TRANSFER = Path("book/_tables/synthetic/transfer-simulated-to-real.csv")
START, END = "<!-- results -->", "<!-- /results -->"


def results_section(
    tables: dict[str, Path], printed: pd.DataFrame, transfer: Path | None = None
) -> str:
    """Write the results as Markdown: ours beside the paper's, each row marked.

    Args:
        tables: mark ("real", "synthetic") -> chapter 7's zero-variants.csv.
        printed: the paper's Table 2, indexed by method.

        transfer: the transfer page's table of models that saw simulated ECGs only.

    Raises:
        BookError: a table that is not there, or has no row.
    """
    tasks = list(paper.TASKS.values())
    lines = [
        f"| evidence | method | {' | '.join(tasks)} | mean |",
        "|---|---|" + "---|" * (len(tasks) + 1),
    ]
    for mark, path in tables.items():
        if not path.is_file():
            raise BookError(f"{path} does not exist; execute chapter 7 first.")
        table = pd.read_csv(path, index_col=0, dtype=str)
        if table.empty:
            raise BookError(f"{path} has no row; execute chapter 7 again.")
        table.columns = [str(name).lower() for name in table.columns]
        for label, row in table.iterrows():
            cells = [str(row.get(name, ABSENT)) for name in (*tasks, "mean")]
            lines.append(f"| **{mark}** | {label} | {' | '.join(cells)} |")
    if transfer is not None:
        lines += _transfer_rows(transfer, tasks)
    for method in PRINTED:
        values = [float(printed.loc[method, column]) for column in paper.TASKS]
        cells = [f"{v:.1f}" for v in (*values, sum(values) / len(values))]
        lines.append(f"| paper, printed | {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _transfer_rows(path: Path, tasks: list[str]) -> list[str]:
    """Rows of models pretrained on the twin and tested on real records."""
    if not path.is_file():
        raise BookError(f"{path} does not exist; execute A4_transfer first.")
    table = pd.read_csv(path)
    rows = []
    for _, row in table[table["tested on"] == "all records"].iterrows():
        values = [row.get(task) for task in (*tasks, "mean")]
        cells = [ABSENT if pd.isna(v) or v is None else f"{v:.1f}" for v in values]
        mark = "**synthetic** training, **real** test"
        rows.append(f"| {mark} | {row['label']} | {' | '.join(cells)} |")
    return rows


def picture(page: Path, figure: str) -> tuple[str, bytes]:
    """Take a figure out of an executed page.

    Args:
        page: the notebook.
        figure: the name in its cell's figure metadata, without the page's prefix.

    Returns:
        File ending ("svg" or "png") and content.

    Raises:
        BookError: the page holds no such figure.
    """
    book = nbformat.read(page, as_version=4)
    for cell in book.cells:
        settings = (cell.metadata.get("mystnb") or {}).get("figure") or {}
        if not str(settings.get("name", "")).endswith(figure):
            continue
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/svg+xml" in data:
                return "svg", data["image/svg+xml"].encode()
            if "image/png" in data:
                return "png", base64.b64decode(data["image/png"])
    raise BookError(f"{page} holds no figure named {figure}; execute it again.")


def filled(readme: str, section: str) -> str:
    """Put the results between the README's two marks.

    Raises:
        BookError: a mark is missing.
    """
    if START not in readme or END not in readme:
        raise BookError(f"README.md lacks {START} or {END}; put both back.")
    head, rest = readme.split(START, 1)
    return f"{head}{START}\n{section}\n{END}{rest.split(END, 1)[1]}"


def update(root: Path) -> Path:
    """Bring README.md and its picture up to the published pages."""
    section = results_section(sources(root), paper.table(2), root / TRANSFER)
    readme = root / "README.md"
    ending, content = picture(root / PAGE, FIGURE)
    place = root / "book" / "_figures" / f"readme.{ending}"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    readme.write_text(filled(readme.read_text(encoding="utf-8"), section), "utf-8")
    return readme


def sources(root: Path) -> dict[str, Path]:
    """The tables behind the README, real ones first."""
    tables = root / "book" / "_tables"
    return {
        "real": tables / "real" / "zero-variants.csv",
        "synthetic": tables / "synthetic" / "zero-variants.csv",
    }
