"""Figures 1 and 2 of the paper and its losses, drawn from the modules.

Every number is read off them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from itertools import pairwise

import torch

from mccgaa.config import ModelConfig
from mccgaa.model import MCCGAA
from mccgaa_book import page
from mccgaa_book.plots.drawing import Drawing


@dataclass(frozen=True)
class Sizes:
    """What a diagram writes on its boxes, read off a model.

    Attributes:
        leads: D.
        length: L, samples per lead.
        maps: stem and stages in their order -> (channels, moments).
        blocks: residual blocks of each stage.
        kernels: of the stem and of a block's convolutions.
        strides: of the stem and of each stage.
        squeezed: channels of the first block, and what its CAM squeezes them to; None
            without one.
        embedding: M.
        heads: of the attention pooling.
        text: d, the text encoder's width.
        fused: columns of X', M + F/2.
    """

    leads: int
    length: int
    maps: dict[str, tuple[int, int]]
    blocks: list[int]
    kernels: tuple[int, int]
    strides: list[int]
    squeezed: tuple[int, int] | None
    embedding: int
    heads: int
    text: int
    fused: int


def show(svg: str, caption: str) -> None:
    """Show a drawing on a page, with its caption."""
    page.display({"text/html": framed(svg, caption), "text/plain": caption})


def framed(svg: str, caption: str) -> str:
    """Set a drawing over its caption; it scrolls where it does not fit."""
    return (
        '<figure class="table-card"><div class="table-scroll" tabindex="0" '
        f'role="region" aria-label="{html.escape(caption)}">{svg}</div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>\n"
    )


def of_the_first_page() -> str:
    """Figure 1 at the paper's size, as the book's first page includes it."""
    caption = (
        "Figure 1 of the paper, drawn from the modules at the paper's size. Blue: "
        "learned; dashed: frozen; orange: losses. Each part leads to its chapter."
    )
    return framed(method(ModelConfig(), "notebooks/"), caption)


def sizes(config: ModelConfig) -> Sizes:
    """Read the sizes off the modules that a configuration makes."""
    model = MCCGAA(config).eval()
    encoder = model.encoder
    maps: dict[str, tuple[int, int]] = {}
    with torch.no_grad():
        x = torch.zeros(1, config.encoder.leads, 1, config.input.length)
        parts = {"stem": encoder.stem}
        parts |= {f"stage {i}": stage for i, stage in enumerate(encoder.stages, 1)}
        for name, part in parts.items():
            x = part(x)  # (1, C, 1, T)
            maps[name] = (x.shape[1], x.shape[3])
        two = torch.eye(2, encoder.project.out_channels)  # two pairs, (2, M)
        fused = model.gafa(two, two)[0].shape[1]
    first = encoder.stages[0][0]
    stem = encoder.stem[0]
    kernel = next(
        layer.kernel_size[1]
        for layer in first.branch
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size[1] > 1
    )
    lengths = [config.input.length, *(moments for _, moments in maps.values())]
    gate = getattr(first.cam, "fc1", None)
    return Sizes(
        leads=config.encoder.leads,
        length=config.input.length,
        maps=maps,
        blocks=[len(stage) for stage in encoder.stages],
        kernels=(stem.kernel_size[1], kernel),
        strides=[round(a / b) for a, b in pairwise(lengths)],
        squeezed=(gate.in_features, gate.out_features) if gate else None,
        embedding=encoder.project.out_channels,
        heads=config.encoder.pool_heads,
        text=config.text.dim or 0,
        fused=fused,
    )


def method(config: ModelConfig, folder: str = "") -> str:
    """Draw the method from end to end (Fig. 1).

    Args:
        config: of the model.
        folder: of the chapters, as seen from the page that shows the drawing.
    """
    s, m = sizes(config), config.encoder.embedding_dim
    top, low, middle = 60, 200, 130
    draw = Drawing("method", 900, 352, folder)
    draw.text(10, 20, "pretraining", "name left")
    draw.box("data", 64, top, 108, 56, ["ECGs", f"B x {s.leads} x {s.length}"])
    draw.box("data", 64, low, 108, 56, ["reports", "B texts"])
    draw.box(
        "encoder",
        228,
        top,
        150,
        56,
        [
            "ECG encoder",
            f"ResNet-{config.encoder.depth}" + (" + CAM" if s.squeezed else ""),
        ],
        "learned",
    )
    draw.box("text", 204, low, 102, 56, ["text encoder", f"frozen, {s.text}"], "frozen")
    draw.box("text", 323, low, 94, 56, ["projection", f"MLP, {m}"], "learned")
    draw.text(420, top + 17, f"Xᵉ: B x {m}", "size")
    draw.text(425, low - 8, f"Qᵉ: B x {m}", "size")
    wide = config.gafa
    kind = {"pair": "pair nodes", "bipartite": "bipartite", "none": "left out"}
    draw.box(
        "graph",
        540,
        middle,
        134,
        84,
        ["GAFA", f"{kind[wide.graph]}, GAT", f"{wide.hidden} → {wide.output}"],
        "learned",
    )
    draw.box("loss", 714, middle, 104, 56, ["fused X, Q", f"B x {s.fused} each"])
    draw.box("loss", 838, middle, 90, 56, ["L_cma", "eq 25 to 30"], "loss")
    draw.box("loss", 838, top - 18, 90, 46, ["L_uma", "eq 31, 32"], "loss")
    for start, end in (
        ((118, top), (153, top)),
        ((118, low), (153, low)),
        ((255, low), (276, low)),
        ((607, middle), (662, middle)),
        ((766, middle), (793, middle)),
    ):
        draw.arrow(start, end)
    draw.path(f"M303 {top} H470 V{middle - 20} H473")
    draw.path(f"M370 {low} H470 V{middle + 20} H473")
    draw.path(
        f"M303 {top - 18} H793", "two thinned views of the same ECG", 600, top - 26
    )
    draw.text(10, 272, "test: no label of the test set is used", "name left")
    y = 316
    draw.box("test", 64, y, 108, 56, ["one ECG", f"{s.leads} x {s.length}"])
    draw.box("encoder", 206, y, 112, 56, ["ECG encoder", f"Xᵉ: {m}"], "learned")
    draw.box(
        "test", 440, y, 176, 56, ["cosine, class by class", "the nearest text wins"]
    )
    draw.box("text", 682, y, 140, 56, ["text side", f"Qᵉ: classes x {m}"], "learned")
    draw.box("data", 832, y, 100, 56, ["class texts", "eq 1, from K"])
    draw.arrow((118, y), (150, y))
    draw.arrow((262, y), (352, y))
    draw.arrow((612, y), (528, y))
    draw.arrow((782, y), (752, y))
    says = (
        "Pretraining: ECGs pass the ECG encoder, reports the text encoder and a "
        "projection; GAFA joins both embeddings in a graph; two losses compare. Test: "
        "the cosine of an ECG's embedding with that of each class text."
    )
    return draw.svg("The method of the paper (Figure 1)", says)


def backbone(config: ModelConfig, folder: str = "") -> str:
    """Draw the ECG encoder, one of its blocks, and the channel attention (Fig. 2).

    Args:
        config: of the model.
        folder: of the chapters, as seen from the page that shows the drawing.
    """
    s = sizes(config)
    draw = Drawing("backbone", 900, 412, folder)
    y = 62
    columns = [("data", ["ECG", f"{s.leads} x {s.length}"], "")]
    for i, (name, (channels, moments)) in enumerate(s.maps.items()):
        kind = f"{s.blocks[i - 1]} blocks" if i else f"conv {s.kernels[0]}"
        lines = [name, kind, f"stride {s.strides[i]}", f"{channels} x {moments}"]
        columns.append(("encoder", lines, "learned"))
    moments = list(s.maps.values())[-1][1]
    columns.append(("encoder", ["1x1 conv", f"{s.embedding} x {moments}"], "learned"))
    pooled = {"attention": ["attention", f"{s.heads} heads"], "mean": ["mean"]}
    columns.append(
        (
            "encoder",
            ["pooling", *pooled[config.encoder.pool], f"Xᵉ: {s.embedding}"],
            "learned",
        )
    )
    step = 900 / len(columns)
    for i, (part, lines, look) in enumerate(columns):
        draw.box(part, step * (i + 0.5), y, step - 14, 78, lines, look)
        if i:
            draw.arrow((step * i - 7, y), (step * i + 7, y))
    y = 172
    draw.frame(8, y - 34, 884, 96)
    draw.text(16, y - 20, "one block", "name left")
    kernel = f"conv {s.kernels[1]}"
    steps = [kernel, "BN", "ReLU", kernel, "BN", "CAM", "+", "ReLU"]
    if config.encoder.depth > 34:
        steps = [
            "conv 1",
            "BN, ReLU",
            kernel,
            "BN, ReLU",
            "conv 1",
            "BN",
            "CAM",
            "+",
            "ReLU",
        ]
    if not s.squeezed:
        steps.remove("CAM")
    step = 860 / len(steps)
    middle = [20 + step * (i + 0.5) for i in range(len(steps))]
    for i, (x, name) in enumerate(zip(middle, steps, strict=True)):
        draw.box("encoder", x, y + 8, step - 22, 34, [name], "learned")
        if i:
            draw.arrow((x - step / 2 - 11, y + 8), (x - step / 2 + 11, y + 8))
    plus = middle[steps.index("+")]
    draw.path(f"M14 {y + 8} V{y + 46} H{plus:.0f} V{y + 27}", "shortcut", 300, y + 42)
    if s.squeezed:
        _gate(draw, s, config.encoder.gate)
    says = (
        f"From left to right: {', '.join(' '.join(c[1]) for c in columns)}. Below, one "
        "block, and its channel attention: average and maximum over time, two shared "
        "layers, their sum, a gate that scales each channel."
    )
    return draw.svg("The ECG encoder of the paper (Figure 2)", says)


def _gate(draw: Drawing, s: Sizes, gate: str) -> None:
    """The channel attention of one block, in the lowest row of Fig. 2."""
    channels, squeezed = s.squeezed or (0, 0)
    y = 336
    draw.frame(8, y - 78, 884, 142)
    draw.text(16, y - 62, "its channel attention (CAM)", "name left")
    draw.box("encoder", 70, y, 92, 50, ["map", f"{channels} x time"], "learned")
    for way, title, equation in ((-1, "average", "eq 8"), (1, "maximum", "eq 9")):
        at = y + 28 * way
        draw.box("encoder", 220, at, 110, 42, [title, f"{equation}: {channels}"])
        draw.path(f"M116 {y} H140 V{at} H162")
        draw.path(f"M275 {at} H300 V{y + 8 * way} H318")
    layers = f"{channels} → {squeezed} → {channels}"
    draw.box("encoder", 398, y, 156, 50, ["FC1, ReLU, FC2", layers], "learned")
    name = {"sigmoid": "sigmoid", "double-sigmoid": "sigmoid of sigmoid"}[gate]
    draw.box("encoder", 548, y, 76, 50, ["sum", "eq 12"])
    draw.box("encoder", 676, y, 116, 50, [name, "alpha, eq 13"])
    draw.box("encoder", 822, y, 110, 50, ["scaled map", "eq 14"])
    for x in ((476, 508), (586, 616), (734, 765)):
        draw.arrow((x[0], y), (x[1], y))


def losses(config: ModelConfig, folder: str = "") -> str:
    """Draw the two losses (eq 25 to 32).

    Args:
        config: of the model; its loss one of the three that are softmaxes.
        folder: of the chapters, as seen from the page that shows the drawing.

    Raises:
        KeyError: a loss without softmax, which the paper does not have.
    """
    s, loss = sizes(config), config.loss
    joined = {
        "symmetric": "their sum, eq 30",
        "clip": "their mean",
        "one-sided": "the first, twice",
    }[loss.kind]
    draw = Drawing("losses", 900, 284, folder)
    top, low = 82, 226
    draw.text(10, 20, "cross-modal: an ECG and its text", "name left")
    draw.box("graph", 68, top, 112, 56, ["fused X, Q", f"B x {s.fused} each"])
    draw.text(10, 164, "unimodal: two views of an ECG", "name left")
    maps = loss.uma == "maps"
    source = ["features", "mean over time"] if maps else ["Xᵉ"]
    source.append(f"B x {s.embedding}")
    draw.box("encoder", 68, low, 112, 64, source, "learned")
    for way, rate in zip((-1, 1), loss.dropout, strict=True):
        lines = [*(["linear map"] if maps else []), f"dropout {rate:g}, eq 31"]
        at = low + 32 * way
        draw.box("loss", 224, at, 134, 44, lines, "learned" if maps else "")
        draw.path(f"M124 {low} H138 V{at} H156")
        draw.path(f"M291 {at} H306 V{low + 8 * way} H321")
    draw.arrow((124, top), (321, top))
    draw.text(222, top - 8, "divided by length, eq 25", "size")
    for y, name, weight, how in (
        (top, "L_cma", loss.cma_weight, joined),
        (low, "L_uma", loss.uma_weight, "the same, eq 32"),
    ):
        lines = ["cosines", f"over {loss.tau:g}, eq 26", "B x B"]
        draw.box("loss", 388, y, 132, 64, lines)
        for way, side, number in ((-1, "rows", "27, 28"), (1, "columns", "29")):
            at = y + 32 * way
            lines = [f"softmax of {side}", f"-log p, eq {number}"]
            draw.box("loss", 568, at, 156, 44, lines)
            draw.path(f"M454 {y} H472 V{at} H488")
            draw.path(f"M646 {at} H660 V{y + 8 * way} H675")
        draw.box("loss", 738, y, 124, 50, [name, how], "loss")
        draw.path(f"M800 {y} H852 V{154 + 20 * (1 if y > 154 else -1)}")
        draw.text(838, y - 6, f"x {weight:g}", "size")
    draw.box("training", 852, 154, 72, 40, ["loss"], "loss")
    says = (
        "Both losses compare two sets of B vectors by all B x B cosines over the "
        "temperature; the cross-entropy of each row and of each column with its own "
        "partner is added up. Cross-modal: ECGs and texts after GAFA. Unimodal: two "
        "randomly thinned views of the same ECGs. The loss is their weighted sum."
    )
    return draw.svg("The two losses of the paper (equations 25 to 32)", says)
