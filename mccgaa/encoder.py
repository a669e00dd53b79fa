"""The ECG side of section 3.2 (Fig. 2): a 1D-ResNet with channel attention.

One-dimensional convolutions are written as Conv2d of height one in channels-last
order: the same numbers, and twice the throughput on a CPU in bfloat16. What goes in
stays (B, leads, T). `fast_conv` computes wide convolutions with fewer multiplications.
"""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mccgaa.config import EncoderConfig, Gate
from mccgaa.fast_conv import Convolution

STRIDE = 16  # samples from one moment of the last map to the next; the shortest input
STAGES = {  # depth -> blocks per stage, and whether they are bottlenecks (Table 5)
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


class PointwiseConv(nn.Conv2d):
    """Convolve every `step`-th sample with a kernel of one.

    The same function and parameters as a convolution of kernel one and stride `step`,
    without its stride: the backward pass of a strided 1x1 convolution with few channels
    crashes in oneDNN 3.12 on CPUs with AVX512 bfloat16.
    """

    def __init__(self, inputs: int, outputs: int, step: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, 1, T) to (B, outputs, 1, ceil(T / step))."""
        return super().forward(x[..., :: self.step])


def unit(x: Tensor) -> Tensor:
    """Scale the last axis to length one, in float32 or better."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


class ChannelAttention(nn.Module):
    r"""Weigh each feature channel by its average and maximum over time (eq 8-14).

    .. math::
        z = f_{FC2}(\mathrm{ReLU}(f_{FC1}(X^{avg})))
          + f_{FC2}(\mathrm{ReLU}(f_{FC1}(X^{max}))), \qquad
        X^{CAM} = \alpha(z) \cdot X

    The paper's text wants weights in [0, 1], which one sigmoid gives. Eq 13 to the
    letter is a sigmoid of a sigmoid and stays within (0.5, 0.731).

    Args:
        channels: C, the channels weighed; FC1 halves them, FC2 restores them.
        gate: "sigmoid", or "double-sigmoid" for eq 13 to the letter.

    Raises:
        ValueError: fewer than two channels, or an unknown gate.
    """

    def __init__(self, channels: int, gate: Gate = "sigmoid") -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"channels is {channels}; FC1 halves it: give at least 2.")
        if gate not in get_args(Gate):
            known = " or ".join(get_args(Gate))
            raise ValueError(f"gate is {gate!r}; expected {known}.")
        self.gate = gate
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)

    def weights(self, x: Tensor) -> Tensor:
        """Compute alpha (B, C) of a map (B, C, T) or (B, C, 1, T) (eq 8-13)."""
        x = x.unsqueeze(2) if x.dim() == 3 else x  # (B, C, 1, T)
        # Not x.amax: its gradient looks for the maximum a second time. On a GPU pooling
        # runs through a channel's moments in one thread; a reduction shares them out.
        largest = (
            x.flatten(2).max(2).values
            if x.is_cuda
            else F.adaptive_max_pool2d(x, 1).flatten(1)
        )  # (B, C), eq 9
        # Both poolings pass the same two layers, so they go through them as one batch.
        pooled = torch.stack([x.mean((2, 3)), largest])  # (2, B, C), eq 8 and 9
        z = self.fc2(F.relu(self.fc1(pooled))).sum(0)  # (B, C), eq 10-12
        alpha = torch.sigmoid(z)
        return torch.sigmoid(alpha) if self.gate == "double-sigmoid" else alpha

    def forward(self, x: Tensor) -> Tensor:
        """Scale a map (B, C, T) or (B, C, 1, T) by its channel weights (eq 14)."""
        alpha = self.weights(x).to(x.dtype)  # (B, C)
        ones = [1] * (x.dim() - 2)  # one weight for all of a channel's moments
        return x * alpha.reshape(*alpha.shape, *ones)


class Block(nn.Module):
    """A residual block: branch, channel attention, shortcut, ReLU (Fig. 2).

    The attention comes after the branch's last BN and before the residual sum; the
    ReLU of eq 7 follows the sum, as in every ResNet.

    Args:
        inputs: channels of the map that enters.
        width: channels of the branch's inner convolutions.
        stride: of the block, over time.
        bottleneck: 1-3-1 kernels with four times `width` leaving (ResNet-50, 101),
            instead of 3-3 with `width` leaving (ResNet-18, 34).
        cam: with channel attention; False is the ablation "w/o CAM".
        gate: of the attention.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        *,
        bottleneck: bool = False,
        cam: bool = True,
        gate: Gate = "sigmoid",
    ) -> None:
        super().__init__()
        self.outputs = width * 4 if bottleneck else width
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        strides = (1, stride, 1) if bottleneck else (stride, 1)
        channels = (inputs, *[width] * (len(kernels) - 1), self.outputs)
        layers: list[nn.Module] = []
        for i, (kernel, step) in enumerate(zip(kernels, strides, strict=True)):
            layers.append(Convolution(channels[i], channels[i + 1], kernel, step))
            layers.append(nn.BatchNorm2d(channels[i + 1]))
            layers.append(nn.ReLU(inplace=True))
        self.branch = nn.Sequential(*layers[:-1])  # the last ReLU follows the sum
        self.cam = ChannelAttention(self.outputs, gate) if cam else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != self.outputs:
            self.shortcut = nn.Sequential(
                PointwiseConv(inputs, self.outputs, stride),
                nn.BatchNorm2d(self.outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, 1, T) to (B, outputs, 1, ceil(T / stride))."""
        return F.relu(self.cam(self.branch(x)) + self.shortcut(x))


class AttentionPool(nn.Module):
    """Pool a feature map over time by attention with one learned query.

    The text below eq 16 has "attention-based pooling to aggregate key temporal
    information" and no formula; this is multi-head attention whose only query is a
    learned token, its keys and values the map's moments plus their positions.

    Args:
        dim: M, channels of the map and of the result.
        heads: attention heads; must divide `dim`.
        positions: learned positions, stretched linearly over any number of moments,
            so that a moment carries where in the record it is.
    """

    def __init__(self, dim: int, heads: int = 4, positions: int = 64) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.position = nn.Parameter(torch.randn(positions, dim) * dim**-0.5)
        self.to_query = nn.Linear(dim, dim)
        self.to_key = nn.Linear(dim, dim)
        self.to_value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def _keys(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split query, keys and values by head: (B, heads, 1 or T', M / heads)."""
        length = features.shape[-1]
        position = F.interpolate(
            self.position.t()[None], size=length, mode="linear", align_corners=False
        )  # (1, M, T')
        moments = features + position.to(features.dtype)  # (B, M, T')
        moments = moments.transpose(1, 2)  # (B, T', M)
        query = self.to_query(self.query).expand(features.shape[0], 1, -1)  # (B, 1, M)
        joined = (query, self.to_key(moments), self.to_value(moments))
        query, key, value = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in joined
        )  # (B, 1 or T', M) -> (B, heads, 1 or T', M / heads)
        return query, key, value

    def attention(self, features: Tensor) -> Tensor:
        """Show how much each head looks at each moment: (B, heads, T')."""
        query, key, _ = self._keys(features)
        scores = (query @ key.transpose(-1, -2)).squeeze(2)  # (B, heads, T')
        return (scores * query.shape[-1] ** -0.5).softmax(-1)

    def forward(self, features: Tensor) -> Tensor:
        """Pool (B, M, T') to (B, M)."""
        pooled = F.scaled_dot_product_attention(*self._keys(features))
        return self.out(pooled.flatten(1))  # (B, heads, 1, M / heads) -> (B, M)


class MeanPool(nn.Module):
    """Pool by the mean over time and a linear layer: eq 15 to the letter.

    Args:
        dim: M, channels of the map and of the result.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Pool (B, M, T') to (B, M)."""
        return self.out(features.mean(-1))


class EcgEncoder(nn.Module):
    """Turn an ECG into an embedding of length one (eq 2-15, Fig. 2).

    Stem (convolution of kernel 7 and stride 2, BN, ReLU; no max-pool), four stages
    of residual blocks with channel attention at strides 1, 2, 2, 2, a 1x1
    convolution to M channels, and pooling over time.

    Args:
        config: depth, widths, attention and pooling.

    Example:
        >>> encoder = EcgEncoder(EncoderConfig()).eval()
        >>> encoder(torch.randn(2, 12, 1000)).shape
        torch.Size([2, 256])
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        blocks, bottleneck = STAGES[config.depth]
        first = config.widths[0]
        self.stem = nn.Sequential(
            Convolution(config.leads, first, 7, 2),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        stages, channels = [], first
        for number, (width, depth) in enumerate(
            zip(config.widths, blocks, strict=True)
        ):
            stage = []
            for i in range(depth):
                first_of_later_stage = number > 0 and i == 0
                block = Block(
                    channels,
                    width,
                    stride=2 if first_of_later_stage else 1,
                    bottleneck=bottleneck,
                    cam=config.cam == "channel",
                    gate=config.gate,
                )
                stage.append(block)
                channels = block.outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.project = nn.Conv2d(channels, config.embedding_dim, 1)
        self.head: nn.Module = (
            AttentionPool(config.embedding_dim, config.pool_heads, config.positions)
            if config.pool == "attention"
            else MeanPool(config.embedding_dim)
        )
        self.to(memory_format=torch.channels_last)

    def feature_map(self, x: Tensor) -> Tensor:
        """Run stem and stages: (B, leads, T) -> X^CAM (B, C, 1, T').

        Raises:
            ValueError: not (B, leads, T), another number of leads, or too short.
        """
        leads = self.config.leads
        if x.dim() != 3 or x.shape[1] != leads or not x.is_floating_point():
            raise ValueError(
                f"The ECG has shape {tuple(x.shape)} and type {x.dtype}; the encoder "
                f"expects floating-point (batch, {leads}, samples)."
            )
        if x.shape[-1] < STRIDE:
            raise ValueError(
                f"The ECG has {x.shape[-1]} samples per lead; "
                f"the encoder needs at least {STRIDE}."
            )
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return self.stages(self.stem(x))  # (B, C, 1, T'), T' = ceil(T / 16)

    def features(self, x: Tensor) -> Tensor:
        """Map an ECG to its embedding's moments, after the 1x1 convolution.

        Args:
            x: (B, leads, T), scaled as the model's input configuration says.

        Returns:
            (B, M, T') with T' = ceil(T / 16); its mean over time feeds eq 31.

        Raises:
            ValueError: as `feature_map`.
        """
        return self.project(self.feature_map(x)).squeeze(2)

    def pool(self, features: Tensor) -> Tensor:
        """Pool (B, M, T') over time to embeddings (B, M) of length one."""
        return unit(self.head(features))

    def forward(self, x: Tensor) -> Tensor:
        """Encode (B, leads, T) to embeddings (B, M) of length one."""
        return self.pool(self.features(x))
