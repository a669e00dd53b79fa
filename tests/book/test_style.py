"""The figures' style: reruns equal byte for byte, distinct colours."""

import itertools
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from mccgaa_book.plots import style

DRAW = """
import matplotlib.pyplot as plt
from mccgaa_book.plots import style
style.use(synthetic=True)
fig, ax = plt.subplots()
ax.plot([0, 1], [0, 1], label="II")
ax.legend()
fig.savefig({path!r}, metadata=style.SVG)
"""


@pytest.fixture(autouse=True)
def tidy():
    yield
    plt.close("all")
    style.use()


def test_a_figure_drawn_again_in_another_process_is_the_same_file(tmp_path):
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in files:
        code = DRAW.format(path=str(path))
        subprocess.run([sys.executable, "-c", code], check=True)
    first, second = (path.read_bytes() for path in files)
    assert first == second
    assert b"<dc:date>" not in first


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, as WCAG 2 defines it."""
    parts = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(colour)
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_the_colours_are_distinct_and_dark_enough_for_white_paper():
    for one, two in itertools.combinations(style.PALETTE, 2):
        assert mpl.colors.to_rgb(one) != mpl.colors.to_rgb(two)
    for colour in style.PALETTE[:4]:
        assert 1.05 / (luminance(colour) + 0.05) > 2.9


def test_the_mark_is_saved_with_the_figure_even_where_the_figure_is_tight(tmp_path):
    sizes = []
    for synthetic in (False, True):
        style.use(synthetic)
        fig, _ = plt.subplots(figsize=(3, 2))
        path = tmp_path / f"{synthetic}.svg"
        fig.savefig(path, metadata=style.SVG)
        sizes.append(path.read_text(encoding="utf-8").count('id="synthetic"'))
    assert sizes == [0, 1]
