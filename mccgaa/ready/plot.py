"""An ECG on clinical paper, 25 mm/s and 10 mm/mV, and what speaks for a finding in it.

Axes are in millimetres of paper, so that a picture that `save` writes is true to scale
when it is printed. matplotlib is in the extra `plot`, and loaded when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mccgaa.config import LEADS
from mccgaa.data.record import Record
from mccgaa.errors import ConfigError
from mccgaa.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MM_PER_SECOND, MM_PER_MILLIVOLT = 25.0, 10.0
INCH = 25.4  # mm
INK, MINOR, MAJOR = "#222222", "#F8E0DC", "#EDBFB7"
FOR, AGAINST = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion
FONT = 8  # pt, the least; titles are larger

LEFT, RIGHT, TOP = 10.0, 5.0, 12.0  # mm around the traces; the pulse is on the left
_BELOW, _ABOVE, _MOST = 5.0, 10.5, 40.0  # mm that a row has around its baseline
_NAME = 6.0  # mm above a row's traces, for its leads' names and bars
_UNSCALED = 12.0  # mm that the highest wave of a signal without millivolts gets
_BARS = 22.0  # mm below the traces for the seconds' bars
_LEAD_BAR = 14.0  # mm of the longest bar of a lead

Parts = list[tuple[str, float, float]]  # lead, from, to (seconds)


@dataclass(frozen=True)
class Row:
    """One row of the sheet: which leads, and where its baseline is."""

    parts: Parts
    baseline: float  # mm from the bottom of the traces
    name: float  # mm, the middle of its leads' names, which no trace crosses


@dataclass(frozen=True)
class Sheet:
    """Where everything is on the paper; millimetres from its lower left corner."""

    rows: list[Row]
    seconds: float
    gain: float  # mm per unit of the signal
    width: float  # mm, margins included
    height: float  # mm, of the traces alone


def lay_out(record: Record, seconds: float, rhythm: str | None = "II") -> Sheet:
    """Place the leads: four columns of three and a rhythm strip, or twelve rows.

    Args:
        record: what is to be drawn.
        seconds: length of the sheet.
        rhythm: the lead of the strip at the bottom; None: twelve rows, one per lead.
    """
    if rhythm is None:
        leads: list[Parts] = [[(lead, 0.0, seconds)] for lead in LEADS]
    else:
        quarter = seconds / 4
        leads = [
            [(LEADS[3 * c + r], c * quarter, (c + 1) * quarter) for c in range(4)]
            for r in range(3)
        ]
        leads.append([(rhythm, 0.0, seconds)])
    gain = MM_PER_MILLIVOLT
    if record.units != "mV":
        gain = _UNSCALED / float(np.nanmax(np.abs(_centred(record)))) or 1.0
    rows, at = [], 0.0
    for parts in reversed(leads):
        values = np.concatenate([_cut(record, *part)[1] for part in parts]) * gain
        low, high = np.nanmin(values), np.nanmax(values)
        at += min(max(-low, _BELOW), _MOST)
        above = min(max(high, _ABOVE), _MOST)
        rows.append(Row(parts, at, at + above + _NAME / 2))
        at += above + _NAME
    return Sheet(rows[::-1], seconds, gain, LEFT + 25 * seconds + RIGHT, at)


def draw_sheet(
    ax: Axes, record: Record, sheet: Sheet, below: float = 0.0, above: float = 0.0
) -> None:
    """Draw a record on paper.

    Args:
        ax: its units become millimetres of paper.
        record: NaN is left blank.
        sheet: of `lay_out`.
        below, above: mm of the axes kept free under and over the paper.
    """
    _rule(ax, sheet)
    ax.set(xlim=(0, sheet.width), ylim=(-below, sheet.height + above), aspect="equal")
    ax.set_axis_off()
    for row in sheet.rows:
        for lead, start, end in row.parts:
            time, values = _cut(record, lead, start, end)
            x = LEFT + MM_PER_SECOND * time
            ax.plot(x, row.baseline + sheet.gain * values, color=INK, lw=0.8, gid=lead)
            first = LEFT + MM_PER_SECOND * start
            if start:  # a tick where the lead changes
                tick = row.baseline + np.array([-3.0, 3.0])
                ax.plot([first, first], tick, color=INK, lw=0.8)
            look = {"fontsize": FONT + 1, "fontweight": "bold", "color": INK}
            ax.text(first + 1.5, row.name, lead, va="center_baseline", **look)
        if record.units == "mV":  # the calibration pulse: 1 mV, 0.2 s
            pulse = np.array([0, 0, 1, 1, 0, 0]) * MM_PER_MILLIVOLT
            x = LEFT - 8.0 + np.array([0, 1, 1, 6, 6, 7])
            ax.plot(x, row.baseline + pulse, color=INK, lw=0.8)


def draw_seconds(ax: Axes, sheet: Sheet, costs: np.ndarray, bottom: float) -> None:
    """Draw a bar for each second: up where it speaks for the finding, down if against.

    Args:
        ax: of `draw_sheet`.
        sheet: likewise.
        costs: (S,) log-odds lost without each second.
        bottom: mm, lower edge of the bars' band, `_BARS` below the traces.
    """
    middle, reach = bottom + _BARS / 2, _BARS / 2 - 5.0
    largest = max(float(np.abs(costs).max()), 1e-9)
    end = LEFT + MM_PER_SECOND * sheet.seconds
    ax.plot([LEFT, end], [middle, middle], color=INK, lw=0.8)
    for second, cost in enumerate(costs):
        x, height = LEFT + MM_PER_SECOND * (second + 0.5), reach * cost / largest
        width = MM_PER_SECOND - 2.0
        ax.bar(x, height, width, bottom=middle, color=FOR if cost > 0 else AGAINST)
        above = cost >= 0
        ax.text(
            x,
            middle + height + (0.7 if above else -0.7),
            _signed(cost),
            ha="center",
            va="bottom" if above else "top",
            fontsize=FONT,
            color=INK,
        )


def draw_leads(ax: Axes, sheet: Sheet, costs: Mapping[str, float]) -> None:
    """Draw a bar beside each lead's name, as long as it speaks for or against.

    Args:
        ax: of `draw_sheet`.
        sheet: likewise.
        costs: lead -> log-odds lost without it.
    """
    largest = max(1e-9, *(abs(cost) for cost in costs.values()))
    rows = sheet.rows[:3] if len(sheet.rows) == 4 else sheet.rows
    for row in rows:
        for lead, start, _ in row.parts:
            cost = costs[lead]
            x, y = LEFT + MM_PER_SECOND * start + 11.0, row.name
            length = _LEAD_BAR * abs(cost) / largest
            colour = FOR if cost > 0 else AGAINST
            ax.barh(y, length, 2.4, left=x, color=colour)
            look = {"fontsize": FONT, "color": INK, "va": "center_baseline"}
            ax.text(x + length + 0.8, y, _signed(cost), **look)


def check_plot(path: Path | str) -> str:
    """Refuse a picture that `save` could not draw, before the work for it is done.

    Args:
        path: of the picture.

    Returns:
        Its format: svg, pdf or png.

    Raises:
        ConfigError: matplotlib is not installed, or cannot write such a file.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("svg", "pdf", "png"):
        raise ConfigError(f"{path} cannot be drawn; expected .svg, .pdf or .png.")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "A plot needs matplotlib, which is not installed; install it with: "
            'pip install "mccgaa[plot]".'
        ) from error
    return kind


def save(
    path: Path | str,
    record: Record,
    title: str,
    leads: np.ndarray,
    seconds: np.ndarray,
    *,
    layout: str = "3x4",
) -> None:
    """Write an ECG with what speaks for a finding: SVG, PDF or PNG by its ending.

    Args:
        path: of the picture.
        record: its first ten seconds are drawn.
        title: names the finding.
        leads: (12,) log-odds lost without each lead.
        seconds: (S,) likewise, without each second.
        layout: "3x4" with a rhythm strip of lead II, or "12x1".

    Raises:
        ConfigError: matplotlib is not installed, or cannot write such a file.
        WriteError: the file cannot be written.
    """
    kind = check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rhythm = "II" if layout == "3x4" else None
    sheet = lay_out(record, min(10.0, record.duration), rhythm)
    below = _BARS + 10.0  # the bars, and two lines of words
    height = below + sheet.height + TOP
    look = {
        "font.family": "DejaVu Sans",
        "svg.hashsalt": "mccgaa",
        "svg.fonttype": "path",
    }
    with mpl.rc_context(look):
        fig = Figure(figsize=(sheet.width / INCH, height / INCH), facecolor="white")
        ax = fig.add_axes((0, 0, 1, 1))
        draw_sheet(ax, record, sheet, below, TOP)
        draw_leads(ax, sheet, dict(zip(LEADS, leads.tolist(), strict=True)))
        draw_seconds(ax, sheet, seconds, 9.0 - below)
        ax.text(LEFT, sheet.height + 6.5, title, fontsize=FONT + 3, color=INK)
        scale = (
            "25 mm/s, 10 mm/mV" if record.units == "mV" else "25 mm/s, no scale in mV"
        )
        end = sheet.width - RIGHT
        ax.text(end, sheet.height + 6.5, scale, fontsize=FONT, color=INK, ha="right")
        note = (
            "Bars: log-odds lost when a lead, or a second of all leads, is blanked; "
            "blue, up: speaks for it; vermilion, down: against. Not for diagnosis.\n"
            "A blank second is like a pause: for a rhythm, compare seconds with each "
            "other."
        )
        look = {"fontsize": FONT, "color": INK, "linespacing": 1.3}
        ax.text(LEFT, 1.2 - below, note, **look)
        # Without the date, equal ECGs make equal files.
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with write_whole(path, "wb") as file:
            fig.savefig(file, format=kind, metadata=undated.get(kind), dpi=150)


def _rule(ax: Axes, sheet: Sheet) -> None:
    """Rule the paper: a thin line each millimetre, a thick one each fifth."""
    from matplotlib.collections import LineCollection

    # The grid is in step with the first baseline and the beginning of the traces.
    right = sheet.width
    for every, colour, width in ((1, MINOR, 0.3), (5, MAJOR, 0.6)):
        xs = np.arange(LEFT % every, right, every)
        ys = np.arange(sheet.rows[-1].baseline % every, sheet.height, every)
        lines = [[(x, 0), (x, sheet.height)] for x in xs]
        lines += [[(0, y), (right, y)] for y in ys]
        ax.add_collection(
            LineCollection(lines, colors=colour, linewidths=width, zorder=0)
        )


def _signed(cost: float) -> str:
    return f"{cost:+.2f}".replace("-", "\N{MINUS SIGN}")


def _centred(record: Record) -> np.ndarray:
    """The signal around each lead's median, (12, T)."""
    return record.signal - np.nanmedian(record.signal, axis=1, keepdims=True)


def _cut(
    record: Record, lead: str, start: float, end: float
) -> tuple[np.ndarray, np.ndarray]:
    """A lead's times (s) and values around its median, from `start` to `end`."""
    rate = record.sampling_rate
    span = slice(round(start * rate), round(end * rate))
    values = _centred(record)[LEADS.index(lead), span]
    return np.arange(span.start, span.start + len(values)) / rate, values
