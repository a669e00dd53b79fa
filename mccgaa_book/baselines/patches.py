"""Patches of an ECG, which CRT and ST-MEM share, and blocks of transformers.

A patch is given in seconds or hertz, so that a record has the same tokens at any
sampling rate. Blocks are PyTorch's, normalised before each sublayer as in a ViT; the
contexts of TS-TCC and ASTCL are made of them, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mccgaa.config import InputConfig
from mccgaa.settings import require


def patch_samples(config: InputConfig, seconds: float) -> int:
    """Count the samples of a patch.

    Raises:
        ConfigError: a record is shorter than one patch.
    """
    size = max(1, round(seconds * config.sampling_rate))
    fits = size <= config.length
    require(fits, "input.duration", config.duration, f"{seconds} s, one patch, or more")
    return size


def cut(x: Tensor, size: int) -> Tensor:
    """Cut (..., T) into patches (..., T // size, size), without what is left over."""
    count = x.shape[-1] // size
    return x[..., : count * size].unflatten(-1, (count, size))


def transformer(width: int, depth: int, heads: int) -> nn.TransformerEncoder:
    """Build `depth` blocks of a ViT on tokens (B, n, width), and a last LayerNorm."""
    block = nn.TransformerEncoderLayer(
        width,
        heads,
        dim_feedforward=4 * width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(
        block, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False
    )


def learned(*shape: int) -> nn.Parameter:
    """Draw an embedding that is learned, of deviation 0.02 as in a ViT."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def xavier(module: nn.Module) -> None:
    """Draw a layer's weights as a ViT does, its biases zero; for `Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.MultiheadAttention):
        nn.init.xavier_uniform_(module.in_proj_weight)
        nn.init.zeros_(module.in_proj_bias)


def draw_kept(rows: int, patches: int, ratio: float, device: torch.device) -> Tensor:
    """Draw which patches an encoder sees, for each row on its own.

    Args:
        rows: how often to draw.
        patches: n, to draw from.
        ratio: share in [0, 1] that is hidden; at least one patch is kept.
        device: of the result.

    Returns:
        (rows, k) ascending positions of the patches that stay, k = n - floor(n ratio)
        or 1.
    """
    kept = max(1, patches - int(patches * ratio))
    order = torch.rand(rows, patches, device=device).argsort(1)
    return order[:, :kept].sort(1).values


def take(tokens: Tensor, kept: Tensor) -> Tensor:
    """Pick tokens (..., n, W) at positions (..., k): (..., k, W)."""
    return tokens.gather(-2, kept[..., None].expand(*kept.shape, tokens.shape[-1]))


def put_back(tokens: Tensor, kept: Tensor, mask_token: Tensor, count: int) -> Tensor:
    """Undo `take`: tokens (..., k, W) at their positions among `count` mask tokens."""
    width = tokens.shape[-1]
    filled = mask_token.to(tokens).expand(*kept.shape[:-1], count, width).clone()
    return filled.scatter(-2, kept[..., None].expand_as(tokens), tokens)


def hidden(kept: Tensor, count: int) -> Tensor:
    """Mark the patches that were not kept: (..., k) to (..., count) bool."""
    marks = torch.ones(*kept.shape[:-1], count, dtype=torch.bool, device=kept.device)
    return marks.scatter(-1, kept, False)
