"""Figures 1 and 2, and the losses, say what the modules are."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
)
from mccgaa_book.plots import diagram

ROOT = Path(__file__).resolve().parents[2]
SMALL = ModelConfig(
    input=InputConfig(sampling_rate=100),
    encoder=EncoderConfig(
        depth=34, embedding_dim=48, widths=(8, 16, 24, 32), cam="none", pool_heads=3
    ),
    gafa=GafaConfig(hidden=12, output=6, graph="bipartite"),
)


def texts(svg: str) -> list[str]:
    """What the drawing's boxes say."""
    return [t.text for t in ET.fromstring(svg).iter() if t.tag.endswith("}text")]


def test_the_sizes_are_those_of_the_papers_model():
    s = diagram.sizes(ModelConfig())
    assert s.maps == {
        "stem": (64, 2500),
        "stage 1": (64, 2500),
        "stage 2": (128, 1250),
        "stage 3": (256, 625),
        "stage 4": (512, 313),
    }
    assert (s.blocks, s.strides, s.kernels) == ([2, 2, 2, 2], [2, 1, 2, 2, 2], (7, 3))
    assert (s.squeezed, s.embedding, s.fused) == ((64, 32), 256, 256 + 16)


def test_another_configuration_is_another_drawing():
    s = diagram.sizes(SMALL)
    assert s.blocks == [3, 4, 6, 3] and s.squeezed is None
    said = texts(diagram.method(SMALL))
    assert {"ResNet-34", "bipartite, GAT", "12 \u2192 6", "B x 51 each"} <= set(said)
    said = texts(diagram.backbone(SMALL))
    assert {"6 blocks", "32 x 63", "3 heads", "48 x 63"} <= set(said)
    assert "CAM" not in said and not any("FC1" in line for line in said)


def test_deeper_encoders_are_drawn_with_their_bottleneck():
    deep = ModelConfig(
        input=InputConfig(sampling_rate=100),
        encoder=EncoderConfig(depth=50, widths=(4, 4, 4, 4), gate="double-sigmoid"),
    )
    said = texts(diagram.backbone(deep))
    assert said.count("conv 1") == 2 and "sigmoid of sigmoid" in said


def test_the_losses_are_drawn_with_the_models_sizes_rates_and_weights():
    said = texts(diagram.losses(ModelConfig()))
    assert {"B x 272 each", "mean over time", "their sum, eq 30"} <= set(said)
    assert said.count("linear map") == 2 and said.count("x 1") == 2
    loss = LossConfig(
        kind="clip", tau=0.2, uma="dropout", dropout=(0.3, 0.4), uma_weight=0.5
    )
    said = texts(diagram.losses(replace(SMALL, loss=loss)))
    assert {"their mean", "B x 51 each", "B x 48", "x 0.5"} <= set(said)
    assert {"dropout 0.3, eq 31", "dropout 0.4, eq 31"} <= set(said)
    assert said.count("over 0.2, eq 26") == 2 and "linear map" not in said


@pytest.mark.parametrize("draw", [diagram.method, diagram.backbone, diagram.losses])
def test_each_part_is_a_link_to_a_chapter_and_the_drawing_has_a_description(draw):
    svg = draw(SMALL, "notebooks/")
    links = set(re.findall(r'href="(.+?)"', svg))
    assert links
    for link in links:
        assert (ROOT / link).with_suffix(".py").is_file(), link
    assert len(re.search(r"<desc.*?>(.+?)</desc>", svg)[1]) > 40


def steps(path: str) -> list[tuple[float, ...]]:
    """A path's straight steps: left, top, right, bottom."""
    found, x, y = [], 0.0, 0.0
    for letter, numbers in re.findall(r"([MLHV])([\d. ]+)", path):
        values = [float(number) for number in numbers.split()]
        new = {"H": (values[0], y), "V": (x, values[0])}.get(letter) or tuple(values)
        if letter != "M":
            found.append(
                (min(x, new[0]), min(y, new[1]), max(x, new[0]), max(y, new[1]))
            )
        x, y = new
    return found


@pytest.mark.parametrize("draw", [diagram.method, diagram.backbone, diagram.losses])
@pytest.mark.parametrize("config", [ModelConfig(), SMALL], ids=["paper", "small"])
def test_no_label_touches_a_line(draw, config):
    root = ET.fromstring(draw(config))
    free = [e for e in root if e.tag.endswith("}text") and e.get("class") == "size"]
    lines = [
        step for e in root if e.tag.endswith("}path") for step in steps(e.get("d"))
    ]
    assert lines and (free or draw is diagram.backbone)
    for label in free:
        x, y, half = float(label.get("x")), float(label.get("y")), 3.5 * len(label.text)
        for left, top, right, bottom in lines:
            beside = right < x - half or left > x + half
            over = (
                bottom < y - 12 or top > y + 3
            )  # letters of 12.7 px, with superscripts
            assert beside or over, (label.text, left, top, right, bottom)


def test_the_drawing_of_the_first_page_is_that_of_todays_code():
    kept = (ROOT / "book" / "_figures" / "method.html").read_text(encoding="utf-8")
    assert kept == diagram.of_the_first_page()
