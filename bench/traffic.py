"""What a training step must move and multiply at least, layer by layer.

A GPU's memory and arithmetic set the limit of its speed; `gpu.py` divides by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from torch import nn

from mccgaa.config import ModelConfig
from mccgaa.encoder import Block, EcgEncoder


class Layer(NamedTuple):
    """A convolution, and what an ECG is before and after it."""

    name: str
    role: Literal["stem", "shortcut", "inner", "last", "project"]
    conv: nn.Conv2d
    inputs: tuple[int, int]  # channels, moments that it reads
    outputs: tuple[int, int]


def shapes(encoder: EcgEncoder, length: int) -> Iterator[Layer]:
    """Follow an ECG of `length` samples through an encoder's convolutions."""

    def out(conv: nn.Conv2d, length: int) -> tuple[int, int]:
        step = getattr(conv, "step", conv.stride[1])
        return conv.out_channels, -(-length // step)

    conv = encoder.stem[0]
    outputs = out(conv, length)
    yield Layer("stem", "stem", conv, (conv.in_channels, length), outputs)
    for s, stage in enumerate(encoder.stages):
        for b, block in enumerate(stage):
            assert isinstance(block, Block)
            inputs = outputs
            if isinstance(block.shortcut, nn.Sequential):
                conv = block.shortcut[0]
                end = out(conv, inputs[1])
                # A kernel of one reads only the moments that it keeps.
                read = (inputs[0], end[1])
                yield Layer(f"{s}.{b}.shortcut", "shortcut", conv, read, end)
            convs = list(block.branch)[::3]
            for i, conv in enumerate(convs):
                outputs = out(conv, inputs[1])
                role = "last" if conv is convs[-1] else "inner"
                yield Layer(f"{s}.{b}.{i}", role, conv, inputs, outputs)
                inputs = outputs
    conv = encoder.project
    yield Layer("project", "project", conv, outputs, out(conv, outputs[1]))


# Passes over what leaves a convolution, forwards and backwards, for what follows it.
PASSES = {
    # Forwards one reads for the statistics of the batch, one reads and writes;
    # backwards one reads map and gradient for two sums, one reads both and writes.
    "stem": 3 + 5,
    "inner": 3 + 5,
    # Attention, shortcut and ReLU ride along: forwards the shortcut is read, too.
    # Backwards both passes read the gradient, of two parts, and what left the block;
    # the second writes a gradient for branch and shortcut.
    "last": 4 + 10,
    # Statistics; its line is applied in the block's last pass. The map is read in both
    # passes backwards.
    "shortcut": 1 + 2,
    # Keys, values and mean, read and written.
    "project": 3 + 5,
}


def needs(config: ModelConfig) -> Iterator[dict[str, Any]]:
    """Count a training step's least traffic and arithmetic, layer by layer, per ECG.

    Maps are bfloat16. A convolution reads its input and writes its output; each of its
    two gradients reads or writes as much. What follows it has to see the whole batch
    before it changes anything: `PASSES`. Weights, optimiser, GAFA and losses are left
    out: at these batches they are small.
    """
    for layer in shapes(EcgEncoder(config.encoder), config.input.length):
        kernel = layer.conv.weight.shape[3]
        read, written = (math.prod(side) for side in (layer.inputs, layer.outputs))
        stem = layer.role == "stem"
        times = 2 if stem else 3  # nobody asks for the gradient of an ECG
        passes = PASSES[layer.role] * written
        passes += 5 * read if stem else 0  # from int16 over float32 to bfloat16
        yield {
            "layer": layer.name,
            "bytes": 2 * times * (read + written),  # of the convolution
            "bytes_after": 2 * passes,
            "flops": times * 2 * layer.conv.in_channels * kernel * written,
        }
