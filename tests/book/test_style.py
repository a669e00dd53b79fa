"""The figures' style: reruns equal byte for byte, distinct colours."""

import itertools
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mccgaa_book import paper
from mccgaa_book.plots import style

SIGHT = {  # linear RGB as eyes without one kind of cone see it (Machado et al., 2009)
    "all cones": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = [[0.434, 0.376, 0.190], [0.213, 0.715, 0.072], [0.018, 0.109, 0.873]]  # of white
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


def marks(fig) -> list[str]:
    return [text.get_text() for text in fig.texts if text.get_gid() == "synthetic"]


def test_on_a_page_of_both_kinds_a_figure_of_one_says_so():
    style.use(synthetic=True, mark="both")
    with style.marked("one"):
        assert marks(plt.figure()) == ["one"]
    with style.unmarked():
        assert marks(plt.figure()) == []
    with pytest.raises(ValueError, match="drawing"), style.marked("one"):
        raise ValueError("drawing")
    assert marks(plt.figure()) == ["both"]


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


def lab(colour: str, sight: str) -> np.ndarray:
    """CIE Lab of a colour as some eyes see it: a step of 1 can just be seen."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    x, y, z = np.cbrt(np.maximum(np.array(XYZ) @ seen, 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_tasks_are_told_apart_by_colour_and_by_mark(sight):
    assert list(style.TASKS) == list(paper.TASKS.values())
    colours, marks = zip(*style.TASKS.values(), strict=True)
    assert len({*marks}) == len(marks)
    assert not {*colours} & {*style.PALETTE}, "a method's colour, or a class's"
    for one, two in itertools.combinations(colours, 2):
        assert np.linalg.norm(lab(one, sight) - lab(two, sight)) > 15, (one, two)
    for colour in colours:
        assert 1.05 / (luminance(colour) + 0.05) > 3


def test_a_task_has_one_look_by_our_name_and_by_the_papers():
    ours = style.of_tasks(paper.TASKS.values())
    assert ours == style.of_tasks(paper.TASKS) == [*style.TASKS.values()]
    assert style.of_tasks(["csn", "super"]) == [ours[5], ours[3]]
    mine, more, known = style.of_tasks(["mine", "more", "form"])
    assert mine != more and known == ours[1] and not {mine, more} & {*ours}


@pytest.mark.parametrize("name", ["Blues", style.SEQUENTIAL, style.DIVERGING, "gray"])
def test_letters_have_a_contrast_of_4_5_on_every_colour_of_a_map(name):
    colours = mpl.colormaps[name](np.arange(256))
    for below in colours:
        light, dark = sorted(map(luminance, (below, style.ink(below))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, below


def test_the_mark_is_saved_with_the_figure_even_where_the_figure_is_tight(tmp_path):
    sizes = []
    for synthetic in (False, True):
        style.use(synthetic)
        fig, _ = plt.subplots(figsize=(3, 2))
        path = tmp_path / f"{synthetic}.svg"
        fig.savefig(path, metadata=style.SVG)
        sizes.append(path.read_text(encoding="utf-8").count('id="synthetic"'))
    assert sizes == [0, 1]
