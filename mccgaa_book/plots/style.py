"""How every figure of the book looks, and how it says that its ECGs are synthetic.

Colours are Okabe and Ito's, which colour-blind readers can distinguish, on paper too;
those of tasks are Paul Tol's, so that no colour is a method here and a task there.
Figures have a white card, which the page keeps in its dark theme. Written twice, an
SVG is the same file byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from mccgaa_book import paper

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
AMBER, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#222222", "#767676"
PALETTE = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK)
METHODS = {  # the same colour in every figure, and in none of them for anything else
    "MCCGAA, bipartite graph": BLUE,
    "MERL-style": ORANGE,
    "mccgaa+": GREEN,
    "MCCGAA, CLIP loss": PINK,
    "MCCGAA, pair graph": AMBER,
    "MCCGAA, w/o GAT": SKY,
}
TASKS = {  # colour and mark, the same in every figure
    "cpsc2018": ("#332288", "o"),
    "form": ("#CC6677", "s"),
    "sub": ("#117733", "D"),
    "super": ("#999933", "^"),
    "rhythm": ("#882255", "v"),
    "csn": ("#AA4499", "P"),
}
SEQUENTIAL = "viridis"  # magnitudes: attention, similarity, counts
DIVERGING = "RdBu_r"  # signed values: centre them on zero
WIDTH = 7.2  # inches, the page's column: a figure this wide is shown unscaled
MARK = "synthetic ECGs (twin)"

_HOOK = "mccgaa_book.plots.style:mark_synthetic"
_mark = {"text": MARK}
SVG = {"Date": None, "Creator": None}  # metadata that would differ between reruns


def use(synthetic: bool = False, mark: str = MARK) -> None:
    """Set the book's theme for every figure made from here on.

    Args:
        synthetic: mark each new figure as made from the twin's ECGs.
        mark: what the mark says.
    """
    _mark["text"] = mark
    sns.set_theme(context="notebook", style="ticks", palette=list(PALETTE))
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.4),
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "figure.hooks": [_HOOK] if synthetic else [],
            "savefig.bbox": "tight",
            "savefig.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "font.family": "DejaVu Sans",  # matplotlib ships it: the same everywhere
            "font.size": 10,
            "lines.linewidth": 1.4,
            "image.cmap": SEQUENTIAL,
            "image.interpolation": "nearest",
            "svg.hashsalt": "mccgaa",
            "svg.fonttype": "path",
        }
    )
    _inline_svg()


def of_methods(labels: Iterable[str]) -> list[str]:
    """Give each method of a figure its colour: METHODS' own, or one that is left.

    Args:
        labels: as a profile has them; "MERL-style, twin then real" is a MERL-style, and
            has its colour unless an earlier label of the figure has it.
    """
    found: list[str | None] = []
    for label in labels:
        own = (c for name, c in METHODS.items() if f"{label},".startswith(f"{name},"))
        colour = next(own, None)
        found.append(None if colour in found else colour)
    free = cycle([colour for colour in (*PALETTE, GREY) if colour not in found])
    return [colour or next(free) for colour in found]


def of_tasks(names: Iterable[str]) -> list[tuple[str, str]]:
    """Give each task of a figure its colour and its mark: TASKS' own, or one left.

    Args:
        names: as a profile has them, or as the paper's tables head their columns.
    """
    free = cycle([(GREY, mark) for mark in "X*phd"])
    return [TASKS.get(paper.TASKS.get(name, name)) or next(free) for name in names]


def ink(paint: ColorType) -> str:
    """Black or white, whichever WCAG's contrast with a colour is larger: 4.5 at least.

    Args:
        paint: the colour that letters are written on.
    """
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in to_rgb(paint)
    ]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05
    return "black" if light / 0.05 > 1.05 / light else "white"


def ink_cells(ax: Axes) -> None:
    """Write the numbers of a seaborn heat map in the ink that its cells ask for.

    seaborn takes white on colours of medium lightness, where it is hard to read.
    """
    (cells,) = ax.collections
    values = cells.get_array()
    for text in ax.texts:
        x, y = text.get_position()  # the middle of a cell
        text.set_color(ink(cells.to_rgba(values[int(y), int(x)])))


def mark_synthetic(fig: Figure) -> None:
    """Write over a figure that its ECGs were simulated; a matplotlib figure hook."""
    look = {"fontsize": 8, "fontstyle": "italic", "color": ORANGE, "gid": "synthetic"}
    fig.text(1.0, 1.005, _mark["text"], ha="right", va="bottom", **look)


@contextmanager
def unmarked() -> Iterator[None]:
    """Draw figures that show no ECG data (an equation) without the mark."""
    with marked(None):
        yield


@contextmanager
def marked(mark: str | None) -> Iterator[None]:
    """Draw figures with another mark than the page's; None for none."""
    before = _mark["text"]
    _mark["text"] = mark or before
    try:
        with mpl.rc_context({"figure.hooks": [_HOOK] if mark else []}):
            yield
    finally:
        _mark["text"] = before


def _inline_svg() -> None:
    """Have notebooks store figures as reproducible SVG; elsewhere do nothing."""
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        set_matplotlib_formats("svg", metadata=SVG)
