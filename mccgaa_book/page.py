"""What a chapter needs to write on its page: its banner, tables, and glued numbers.

A chapter begins with `page.start(lab)`, which shows in an unmistakable banner whether
its ECGs are synthetic or real, and marks its figures likewise.
"""

from __future__ import annotations

import decimal
import html
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mccgaa.errors import BookError
from mccgaa_book import BANNER
from mccgaa_book.plots import style
from mccgaa_book.results import SOURCES, Results

if TYPE_CHECKING:
    from mccgaa_book.lab import Lab

PRINTED = re.compile(r"^paper\b|\(paper\)$|, paper$")  # names of its own numbers
ABSENT = "\N{EN DASH}"  # a cell without a number
# a number that was written as text: 78.8 ± 0.4, 3.0e-03, -1.2 %
WRITTEN = re.compile(r"[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?(\s?%)?(\s±\s[\d.]+)?")
TITLES = {
    "synthetic": "SYNTHETIC ECGs",
    "real": "REAL ECGs",
    "mixed": "SYNTHETIC AND REAL ECGs",
    "none": "NO ECG DATA",
}
SAYS = {
    "synthetic": "Simulated: no evidence about patients.",
    "real": "Recorded from patients.",
    "mixed": "Each row of a table says what it was trained and tested on.",
    "none": "Nothing on this page was measured on an ECG.",
}
MARKS = {"synthetic": style.MARK, "mixed": "synthetic and real ECGs"}


@dataclass(frozen=True)
class Simulated:
    """ECGs that a page simulates itself, as `start` and `table` take a lab."""

    title: str  # one sentence that says what they are
    synthetic: bool = True

    def badge(self) -> str:
        """What the ECGs are, for the page's banner."""
        return self.title


@dataclass(frozen=True)
class Recorded:
    """Real ECGs that a page reads itself, as `table` takes a lab."""

    synthetic: bool = False


def start(*labs: Lab | Results | Simulated, only: str = "") -> None:
    """Open a page: set the figures' style and show what its ECGs are.

    Args:
        labs: the chapter's lab, or several, or published results that a page without a
            lab rests on; none for a page that uses no ECG at all.
        only: where these ECGs are, if the rest of the page uses none.
    """
    found = kind(*labs)
    style.use(synthetic=found in MARKS, mark=MARKS.get(found, style.MARK))
    title, said = _title(*labs, only=only), _text(*labs, only=only)
    note = {"kind": found, "title": title, "text": said}
    shown = {"text/html": banner(*labs, only=only), "text/plain": title}
    display(shown, {BANNER: note})


@contextmanager
def drawn_from(*labs: Lab | Results | Simulated) -> Iterator[None]:
    """Mark figures as made from these ECGs, on a page that has others too.

    Args:
        labs: as `start` takes them; none for a figure of no ECG at all.
    """
    found = kind(*labs)
    with style.marked(MARKS.get(found)):
        yield


def kind(*labs: Lab | Results) -> str:
    """Name what the ECGs of these labs are, as their stores say.

    Returns:
        "synthetic", "real", "mixed", or "none" for no lab.
    """
    found = {lab.synthetic for lab in labs}
    if not found:
        return "none"
    if len(found) > 1 or "mixed" in found:
        return "mixed"
    return "synthetic" if found.pop() else "real"


def banner(*labs: Lab | Results, only: str = "") -> str:
    """Write the banner as HTML, in the book's own look of an admonition."""
    return (
        f'<div class="admonition tier tier-{kind(*labs)}">'
        f'<p class="admonition-title">{_title(*labs, only=only)}</p>'
        f"<p>{html.escape(_text(*labs, only=only))}</p></div>"
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return ABSENT
    if spec:
        written = _written(value, spec)
        return written.lstrip("-") if not written.strip("-0.,%") else written
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def _written(value: int | float, spec: str) -> str:
    """Format a number; decimals are rounded as a reader would: 84.35 is 84.4."""
    if spec.endswith("d"):
        return format(int(value), spec)
    if not spec.endswith(("f", "%")) or not math.isfinite(value):
        return format(value, spec)
    with decimal.localcontext(rounding=decimal.ROUND_HALF_UP):
        return format(decimal.Decimal(repr(float(value))), spec)


def table(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    *,
    lab: Lab | Results | Recorded | tuple[Lab, ...] | None = None,
    digits: int = 2,
    index: bool | None = None,
    highlight: Sequence[str] = (),
) -> None:
    """Show a table on the page.

    Columns named "paper ...", "... (paper)" or "..., paper" are tinted: they are
    printed numbers, or computed from these alone, not ours.

    Args:
        frame: what to show; every cell a number or a text.
        name: of the table, whose anchor is `#table-<name>`.
        caption: one sentence; what the ECGs are is added to it.
        lab: whose ECGs the numbers come from, or several labs; None for printed or
            derived numbers.
        digits: decimals of floats.
        index: show the index; by default, if it is not just row numbers.
        highlight: index entries (or first-column entries) set in bold.

    Raises:
        BookError: the ECGs are synthetic and real, and no column says of each row
            which ("trained on", "tested on").
    """
    if index is None:
        index = not isinstance(frame.index, pd.RangeIndex)
    shown = frame.reset_index() if index else frame
    shown = shown.set_axis([_label(column) for column in shown.columns], axis=1)
    display(
        {
            "text/html": table_html(shown, name, caption, lab, digits, highlight),
            "text/plain": frame.to_string(float_format=lambda x: f"{x:.{digits}f}"),
        }
    )


def table_html(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    lab: Lab | Results | Recorded | tuple[Lab, ...] | None = None,
    digits: int = 2,
    highlight: Sequence[str] = (),
) -> str:
    """Write a table as HTML: numbers to the right, the paper's columns tinted."""
    tag = kind(*(lab if isinstance(lab, tuple) else [lab] if lab else []))
    wanted = [column.replace("_", " ") for column in SOURCES]
    if tag == "mixed" and not set(wanted) & set(frame.columns):
        raise BookError(
            f"Table {name} holds synthetic and real ECGs, and none of its columns says "
            f"which row is which; add {' and '.join(map(repr, wanted))}."
        )
    classes = [_class(frame.iloc[:, i], first=i == 0) for i in range(frame.shape[1])]
    specs = [_spec(frame.iloc[:, i], digits) for i in range(frame.shape[1])]
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


def _spec(column: pd.Series, digits: int) -> str:
    """Say how numbers of a column are written; counts have no decimals."""
    if not pd.api.types.is_float_dtype(column):
        return ""
    known = column.dropna()
    counts = len(known) > 1 and (known == known.round()).all() and known.abs().max() > 1
    return ",.0f" if counts else f".{digits}f"


def _class(column: pd.Series, first: bool = False) -> str:
    """Say how a column is set: numbers, texts too short to wrap, the paper's own.

    Args:
        column: of a table.
        first: it names the rows, so that a number written as text stays a name.
    """
    kinds = pd.api.types
    words = []
    numeric = kinds.is_numeric_dtype(column) and not kinds.is_bool_dtype(column)
    if numeric or (not first and _measured([str(cell) for cell in column])):
        words.append("num")
    if all(len(str(cell)) < 20 for cell in column):
        words.append("short")
    if PRINTED.search(str(column.name)):
        words.append("paper")
    return " ".join(words)


def _measured(cells: Sequence[str]) -> bool:
    """Say whether texts are measured numbers, and not codes or counts of a kind."""
    written = all(cell == ABSENT or WRITTEN.fullmatch(cell) for cell in cells)
    return written and any(mark in cell for cell in cells for mark in ("±", ".", "e"))


def _title(*labs: Lab | Results, only: str) -> str:
    """Write the banner's title."""
    return TITLES[kind(*labs)] + (" IN ONE PART" if labs and only else "")


def _text(*labs: Lab | Results, only: str) -> str:
    """Write what the banner says below its title."""
    badges = [lab.badge().replace("*", "") for lab in labs]
    said = [SAYS[kind(*labs)], *dict.fromkeys(badges)]
    if labs and only:
        said.append(f"They are used {only} alone; the rest of this page has none.")
    return " ".join(said)


def _label(column: Any) -> str:
    """Write a column's name: levels and words joined, an unnamed index left blank."""
    parts = column if isinstance(column, tuple) else (column,)
    kept = [str(part) for part in parts if str(part) not in ("", "index")]
    return " ".join(kept).replace("_", " ")


def display(data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
    """Show an output on the page, by MIME type, with metadata for the press.

    A chapter that runs as a script has no page: its text is printed.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display as show

    if InteractiveShell.initialized():
        show(data, raw=True, metadata=metadata or {})
    else:
        print(data["text/plain"])
