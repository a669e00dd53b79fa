"""What section 3.2 says of the ECG encoder, computed: gates, order, pooling, size.

Each function checks one claim and returns what the book shows. Module `leads` holds
the claim that channel attention selects leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from mccgaa.config import EncoderConfig
from mccgaa.encoder import Block, ChannelAttention, EcgEncoder, unit

DEPTHS = (18, 34, 50, 101)  # Table 5


def gate_table(scores: Sequence[float] = (-10, -3, -1, 0, 1, 3, 10)) -> pd.DataFrame:
    """Evaluate both readings of eq 13 at some channel scores z = X_2^avg + X_2^max.

    Returns:
        Columns z, sigmoid (the text's [0, 1]) and double sigmoid (eq 13 to the letter).
    """
    z = torch.tensor(scores, dtype=torch.float64)
    once = torch.sigmoid(z)
    twice = torch.sigmoid(once)
    return pd.DataFrame({"z": z, "sigmoid": once, "double sigmoid": twice})


@torch.no_grad()
def gates(encoder: EcgEncoder, signals: Tensor) -> dict[str, Tensor]:
    """Read alpha of every block while an encoder looks at some ECGs.

    Args:
        encoder: with channel attention.
        signals: (B, leads, T), scaled as the encoder expects.

    Returns:
        "stage.block" (from 1.1) -> alpha (B, C) of its channel attention, eq 13.
    """
    found: dict[str, Tensor] = {}
    handles = []
    for name, block in named_blocks(encoder).items():

        def keep(cam: nn.Module, inputs: tuple[Tensor, ...], _, name=name) -> None:
            found[name] = cam.weights(inputs[0]).float()

        handles.append(block.cam.register_forward_hook(keep))
    try:
        encoder.eval()(signals)
    finally:
        for handle in handles:
            handle.remove()
    return found


@torch.no_grad()
def block_input(encoder: EcgEncoder, signals: Tensor, name: str) -> Tensor:
    """Run an encoder up to the block "stage.block": its input (B, C, 1, T')."""
    found: list[Tensor] = []
    block = named_blocks(encoder)[name]
    handle = block.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        encoder.eval()(signals)
    finally:
        handle.remove()
    return found[0]


def named_blocks(encoder: EcgEncoder) -> dict[str, Block]:
    """Name an encoder's residual blocks "stage.block", counted from 1."""
    return {
        f"{i}.{j}": block
        for i, stage in enumerate(encoder.stages, 1)
        for j, block in enumerate(stage, 1)
    }


@torch.no_grad()
def relu_readings(block: Block, x: Tensor) -> pd.DataFrame:
    """Compare the maps that eq 8 may pool and eq 14 may scale.

    Eq 8 and 9 pool X^o, which eq 2-4 make the convolution's output; eq 14 scales the
    output of BN; eq 7 is between them, and Fig. 2 puts the CAM after BN.

    Args:
        block: of an encoder in eval mode, with channel attention.
        x: (B, C, 1, T), the map that enters it.

    Returns:
        One row per reading: mean pooled average and maximum, the mean alpha they give,
        and the correlation of alpha with that of the reading used here.
    """
    convolved = block.branch[:-1](x)
    normed = block.branch[-1](convolved)
    readings = {
        "after BN (Fig. 2; used here)": normed,
        "after BN and ReLU (eq 7, then 8)": normed.relu(),
        "after the convolution (eq 8 to the letter)": convolved,
    }
    own = block.cam.weights(normed).float().flatten()
    rows = {}
    for name, pooled in readings.items():
        alpha = block.cam.weights(pooled).float().flatten()
        rows[name] = {
            "average": pooled.float().mean().item(),
            "maximum": pooled.float().amax((2, 3)).mean().item(),
            "alpha": alpha.mean().item(),
            "correlation": torch.corrcoef(torch.stack([own, alpha]))[0, 1].item(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pooled map")


@torch.no_grad()
def gate_and_relu_commute(block: Block, x: Tensor) -> dict[str, float]:
    """Test whether the order of gate and ReLU matters, given the same alpha.

    A gate is positive, so ReLU(alpha x) = alpha ReLU(x). With the residual sum in
    between the two differ.

    Returns:
        Largest absolute difference without and with the shortcut s: of ReLU(alpha x)
        and alpha ReLU(x), and of ReLU(alpha x + s) and alpha ReLU(x) + s.
    """
    normed, s = block.branch(x), block.shortcut(x)
    alpha = block.cam.weights(normed)[:, :, None, None]
    alone = (alpha * normed).relu() - alpha * normed.relu()
    summed = (alpha * normed + s).relu() - (alpha * normed.relu() + s)
    return {
        "without shortcut": alone.abs().max().item(),
        "with shortcut": summed.abs().max().item(),
    }


@torch.no_grad()
def pooling_readings(encoder: EcgEncoder, signals: Tensor) -> pd.DataFrame:
    """Compare eq 15 with the text below eq 16 on the same feature maps.

    Args:
        encoder: in eval mode, with attention pooling.
        signals: (B, leads, T).

    Returns:
        One row per reading: its parameters, the moments that share the weight (the
        exponential of the weight's entropy, mean over heads and records), and the mean
        cosine between the embedding of a map and of the same map with its moments in
        another order.
    """
    last = encoder.feature_map(signals)  # (B, C, 1, T')
    features = encoder.project(last).squeeze(2)  # (B, M, T')
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(features.shape[-1], generator=generator)
    attention = encoder.head.attention(features)  # (B, heads, T')
    entropy = -(attention * attention.clamp_min(1e-12).log()).sum(-1)
    readings = {
        "linear on the mean (eq 15)": (
            _count(encoder.project),
            features.shape[-1],
            lambda f: unit(f.mean(-1)),
        ),
        "1x1 conv, attention pooling (text)": (
            _count(encoder.project) + _count(encoder.head),
            entropy.exp().mean().item(),
            encoder.pool,
        ),
    }
    rows = {}
    for name, (parameters, moments, pool) in readings.items():
        cosine = (pool(features) * pool(features[..., order])).sum(1)
        rows[name] = {
            "parameters": parameters,
            "moments": moments,
            "cosine, reordered": cosine.mean().item(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("reading")


def receptive_field(encoder: EcgEncoder) -> int:
    """Count the samples that one moment of the last map can see through convolutions.

    The channel attention adds the average and maximum over the whole record, one
    number per channel; apart from these a moment knows nothing beyond this field.
    """
    field, jump = 1, 1
    paths = [encoder.stem, *(block.branch for block in named_blocks(encoder).values())]
    for layer in (m for path in paths for m in path if isinstance(m, nn.Conv2d)):
        field += (layer.kernel_size[1] - 1) * jump
        jump *= layer.stride[1]
    return field


def size_table(
    depths: Sequence[int] = DEPTHS,
    config: EncoderConfig | None = None,
    length: int = 5000,
) -> pd.DataFrame:
    """Count what the encoders of Table 5 hold, do and see.

    Args:
        depths: of Table 5.
        config: of everything but the depth; the paper's by default.
        length: samples per lead, for the multiplications.

    Returns:
        One row per depth: million parameters without CAM and of all CAM, the CAM's
        share, billion multiply-adds of the convolutions for one ECG, and the receptive
        field in samples.
    """
    rows = {}
    for depth in depths:
        with torch.device("meta"):
            encoder = EcgEncoder(replace(config or EncoderConfig(), depth=depth))
        cam = sum(
            _count(m) for m in encoder.modules() if isinstance(m, ChannelAttention)
        )
        rows[f"1D-ResNet{depth}"] = {
            "without CAM (M)": (_count(encoder) - cam) / 1e6,
            "CAM (M)": cam / 1e6,
            "CAM share": cam / _count(encoder),
            "GMAC": multiply_adds(encoder, length) / 1e9,
            "field (samples)": receptive_field(encoder),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("encoder")


def multiply_adds(encoder: EcgEncoder, length: int) -> int:
    """Count the multiply-adds of all convolutions for one ECG of `length` samples."""
    total = 0

    def count(layer: nn.Conv2d, _: object, output: Tensor) -> None:
        nonlocal total
        total += output.shape[-1] * layer.weight.numel()

    layers = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    weight = layers[0].weight
    try:
        encoder.eval().features(weight.new_zeros(1, encoder.config.leads, length))
    finally:
        for handle in handles:
            handle.remove()
    return total


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
