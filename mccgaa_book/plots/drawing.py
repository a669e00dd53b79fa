"""Boxes and arrows as an SVG that a page includes.

It takes its colours from the page, light or dark, and its parts are links to the
chapters that compute them.
"""

from __future__ import annotations

import html

CHAPTERS = {  # part -> page
    "data": "01_problem_and_data",
    "encoder": "02_ecg_encoder",
    "text": "03_text_and_knowledge",
    "graph": "04_gafa",
    "loss": "05_loss",
    "training": "06_pretraining",
    "test": "07_zero_shot",
}
STYLE = """
svg.diagram { display: block; width: 100%; min-width: 760px; height: auto;
  font-family: system-ui, "DejaVu Sans", sans-serif; }
svg.diagram text { fill: var(--pst-color-text-base, #222); font-size: 13px;
  text-anchor: middle; }
svg.diagram text.name { font-weight: 700; }
svg.diagram text.size { font-size: 12.7px; fill: var(--pst-color-text-muted, #555); }
svg.diagram text.left { text-anchor: start; } svg.diagram a { text-decoration: none; }
svg.diagram rect { fill: var(--pst-color-surface, #f4f5f7);
  stroke: var(--pst-color-text-muted, #667); stroke-width: 1.2; }
svg.diagram .learned rect { fill: rgba(0, 114, 178, 0.14); stroke: #0072b2; }
svg.diagram .frozen rect { stroke-dasharray: 5 3; }
svg.diagram .loss rect { fill: rgba(213, 94, 0, 0.14); stroke: #d55e00; }
svg.diagram rect.frame { fill: none; stroke-dasharray: 2 3; }
svg.diagram a:hover rect, svg.diagram a:focus rect { stroke-width: 2.4; }
svg.diagram path { fill: none; stroke: var(--pst-color-text-muted, #667);
  stroke-width: 1.4; }
svg.diagram marker path { fill: var(--pst-color-text-muted, #667); stroke: none; }
"""


class Drawing:
    """Boxes, arrows and texts of one SVG."""

    def __init__(self, name: str, width: int, height: int, folder: str) -> None:
        self.name, self.width, self.height, self.folder = name, width, height, folder
        self.parts: list[str] = []

    def box(
        self,
        part: str,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: list[str],
        look: str = "",
    ) -> None:
        """A box around its middle (x, y): the name, then sizes; a link to a chapter."""
        first = y - 7.5 * (len(lines) - 1) + 4
        written = "".join(
            f'<text x="{x:.0f}" y="{first + 15 * i:.1f}" '
            f'class="{"size" if i else "name"}">{html.escape(line)}</text>'
            for i, line in enumerate(lines)
        )
        corner = f'x="{x - width / 2:.0f}" y="{y - height / 2:.0f}"'
        size = f'width="{width:.0f}" height="{height:.0f}" rx="5"'
        self.parts.append(
            f'<a href="{self.folder}{CHAPTERS[part]}.html" class="{look}">'
            f"<rect {corner} {size}/>{written}</a>"
        )

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        """A dotted frame."""
        self.parts.append(
            f'<rect class="frame" x="{x}" y="{y}" width="{width}" height="{height}" '
            'rx="8"/>'
        )

    def text(self, x: float, y: float, line: str, look: str) -> None:
        """A line of text."""
        self.parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}" class="{look}">{html.escape(line)}</text>'
        )

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A straight arrow."""
        self.path(f"M{start[0]:.0f} {start[1]:.0f} L{end[0]:.0f} {end[1]:.0f}")

    def path(self, along: str, label: str = "", x: float = 0, y: float = 0) -> None:
        """An arrow along a path, with a text beside it."""
        self.parts.append(f'<path d="{along}" marker-end="url(#{self.name}-end)"/>')
        if label:
            self.text(x, y, label, "size")

    def svg(self, title: str, says: str) -> str:
        """The whole drawing; `says` is its alternative text."""
        marker = (
            f'<marker id="{self.name}-end" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 L8 4 L0 8 Z"/></marker>'
        )
        return (
            f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {self.width} {self.height}" role="group" '
            f'aria-labelledby="{self.name}-title {self.name}-desc">'
            f'<title id="{self.name}-title">{html.escape(title)}</title>'
            f'<desc id="{self.name}-desc">{html.escape(says)}</desc>'
            f"<style>{STYLE}</style><defs>{marker}</defs>{''.join(self.parts)}</svg>"
        )
