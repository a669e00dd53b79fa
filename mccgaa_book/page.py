"""What a chapter needs to write on its page: its tier, tables, and glued numbers.

A chapter begins with `page.start(lab)`, which shows in an unmistakable banner whether
its ECGs are synthetic or real, and marks its figures likewise.
"""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from mccgaa.errors import BookError
from mccgaa_book import BANNER
from mccgaa_book.plots import style

PRINTED = "paper"  # a column so named holds the paper's own numbers
ABSENT = "\N{EN DASH}"  # a cell without a number
TITLES = {
    "synthetic": "SYNTHETIC ECGs",
    "real": "REAL ECGs: PTB-XL subset",
    "paper": "REAL ECGs: the paper's datasets",
    "mixed": "SYNTHETIC AND REAL ECGs",
    "none": "NO ECG DATA",
}
NO_DATA = "Nothing on this page was measured on an ECG."


class HasTier(Protocol):
    """The part of `experiments.Lab` that a page asks for."""

    tier: str
    synthetic: bool

    def badge(self) -> str: ...


def start(*labs: HasTier | None) -> None:
    """Open a page: set the figures' style and show what its ECGs are.

    Args:
        labs: the chapter's lab, or several; none for a page that uses no ECG at all.
    """
    found = kind(*labs)
    mark = {"synthetic": style.MARK, "mixed": "synthetic and real ECGs"}.get(found)
    style.use(synthetic=mark is not None, mark=mark or style.MARK)
    note = {"kind": found, "title": TITLES[found], "text": _text(*labs)}
    shown = {"text/html": banner(*labs), "text/plain": TITLES[found]}
    _display(shown, {BANNER: note})


def kind(*labs: HasTier | None) -> str:
    """Name what ECGs are: "synthetic", "real", "paper", "mixed" or "none"."""
    found = {_kind(lab) for lab in labs} or {"none"}
    return found.pop() if len(found) == 1 else "mixed"


def _kind(lab: HasTier | None) -> str:
    if lab is None:
        return "none"
    if lab.synthetic:
        return "synthetic"
    if lab.tier not in TITLES:
        raise BookError(
            f"The lab's tier is {lab.tier!r}, not synthetic and without a banner; "
            f"expected one of {', '.join(TITLES)}. Correct `tier` in its profile."
        )
    return lab.tier


def banner(*labs: HasTier | None) -> str:
    """Write the banner as HTML."""
    return (
        f'<div class="tier tier-{kind(*labs)}"><strong>{TITLES[kind(*labs)]}</strong> '
        f"{html.escape(_text(*labs))}</div>"
    )


def glue(name: str, value: Any, spec: str = "") -> None:
    """Keep a value for the prose, which shows it with ``{glue:text}`name` ``.

    Args:
        name: unique on its page.
        value: a number, possibly numpy's or a 0-d tensor, or a text.
        spec: how to write a number, as in `format`: ".2f", ".1%", ",d". Without one,
            whole numbers are written whole and others with four significant digits.
    """
    from myst_nb import glue as keep

    keep(name, text(value, spec), display=False)


def text(value: Any, spec: str = "") -> str:
    """Write one value as `glue` and `table` do."""
    if value is None or value is pd.NA:
        return ABSENT
    if hasattr(value, "item"):  # numpy scalars render empty in glue, tensors as code
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return ABSENT
    if spec:
        written = format(int(value) if spec.endswith("d") else value, spec)
        return written.lstrip("-") if not written.strip("-0.,%") else written
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def table(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    *,
    lab: HasTier | tuple[HasTier, ...] | None = None,
    digits: int = 2,
    index: bool | None = None,
    highlight: Sequence[str] = (),
) -> None:
    """Show a table and keep it as `_tables/<tier>/<name>.csv`.

    Columns whose name contains "paper" are tinted: they are printed numbers, not ours.

    Args:
        frame: what to show; every cell a number or a text.
        name: of the CSV file, and the table's anchor `#table-<name>`.
        caption: one sentence; the tier is added to it.
        lab: whose tier the numbers belong to, or several of them; None for printed or
            derived numbers.
        digits: decimals of floats.
        index: show the index; by default, if it is not just row numbers.
        highlight: index entries (or first-column entries) set in bold.
    """
    if index is None:
        index = not isinstance(frame.index, pd.RangeIndex)
    shown = frame.reset_index() if index else frame
    shown = shown.set_axis([_label(column) for column in shown.columns], axis=1)
    path = tables_folder() / _tier(lab) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    shown.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    _display(
        {
            "text/html": table_html(shown, name, caption, lab, digits, highlight),
            "text/plain": frame.to_string(float_format=lambda x: f"{x:.{digits}f}"),
        }
    )


def table_html(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    lab: HasTier | tuple[HasTier, ...] | None = None,
    digits: int = 2,
    highlight: Sequence[str] = (),
) -> str:
    """Write a table as HTML: numbers to the right, the paper's columns tinted."""
    classes = [_class(frame.iloc[:, i]) for i in range(frame.shape[1])]
    specs = [
        f".{digits}f" if pd.api.types.is_float_dtype(kind) else ""
        for kind in frame.dtypes
    ]
    head = "".join(
        f'<th class="{c}" scope="col">{html.escape(str(column))}</th>'
        for c, column in zip(classes, frame.columns, strict=True)
    )
    rows = []
    for row in frame.itertuples(index=False, name=None):
        ours = ' class="ours"' if str(row[0]) in highlight else ""
        cells = "".join(
            f'<td class="{c}">{html.escape(text(value, spec))}</td>'
            for c, value, spec in zip(classes, row, specs, strict=True)
        )
        rows.append(f"<tr{ours}>{cells}</tr>")
    tag = kind(*_labs(lab))
    badge = "" if tag == "none" else f'<span class="tag">{TITLES[tag]}</span> '
    anchor = html.escape(f"table-{name}")
    return (
        f'<figure class="table-card tier-{tag}" id="{anchor}">'
        f'<figcaption id="{anchor}-caption">{badge}{html.escape(caption)}</figcaption>'
        f'<div class="table-scroll" tabindex="0" role="region" '
        f'aria-labelledby="{anchor}-caption"><table class="numbers">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div></figure>"
    )


def _class(column: pd.Series) -> str:
    """Say how a column is set: numbers, texts too short to wrap, the paper's own."""
    kinds = pd.api.types
    number = kinds.is_numeric_dtype(column) and not kinds.is_bool_dtype(column)
    short = all(len(str(cell)) < 20 for cell in column)
    printed = PRINTED in str(column.name).lower()
    return " ".join(["num"] * number + ["short"] * short + [PRINTED] * printed)


def beside(
    ours: Mapping[str, float] | pd.Series,
    printed: Mapping[str, float] | pd.Series,
    *,
    ours_name: str = "ours",
) -> pd.DataFrame:
    """Set our numbers beside the paper's, with the difference.

    Args:
        ours: value by row name, in the paper's unit (AUROC x 100).
        printed: the paper's value by row name; rows it lacks show a dash.
        ours_name: heading of our column.
    """
    left, right = pd.Series(ours, dtype=float), pd.Series(printed, dtype=float)
    right = right.reindex(left.index)
    return pd.DataFrame({ours_name: left, "paper": right, "difference": left - right})


def tables_folder() -> Path:
    """Where tables are kept: the book's folder only when `mccgaa book run` says so."""
    return Path(os.environ.get("MCCGAA_TABLES", "_build/tables"))


def _labs(lab: HasTier | tuple[HasTier, ...] | None) -> tuple[HasTier | None, ...]:
    """Take one lab for several."""
    return lab if isinstance(lab, tuple) else (lab,)


def _tier(lab: HasTier | tuple[HasTier, ...] | None) -> str:
    """Name the folder of a table: that of its first lab's tier."""
    first = _labs(lab)[0]
    return "derived" if first is None else first.tier


def _text(*labs: HasTier | None) -> str:
    """Write what the banner says below its title."""
    badges = [lab.badge().replace("*", "").split() for lab in labs if lab is not None]
    return " ".join(" ".join(words) for words in badges) or NO_DATA


def _label(column: Any) -> str:
    """Write a column's name: levels joined, an unnamed index left blank."""
    parts = column if isinstance(column, tuple) else (column,)
    return " ".join(str(part) for part in parts if str(part) not in ("", "index"))


def _display(data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
    from IPython.display import display

    display(data, raw=True, metadata=metadata or {})
