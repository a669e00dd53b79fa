"""The encoder of section 3.2 as one would first write it: text-book `Conv1d` layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mccgaa.config import EncoderConfig
from mccgaa.encoder import STAGES, AttentionPool, MeanPool, unit


class PlainAttention(nn.Module):
    """Channel attention (eq 8-14) on (B, C, T)."""

    def __init__(self, channels: int, gate: str) -> None:
        super().__init__()
        self.gate = gate
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        average = self.fc2(F.relu(self.fc1(x.mean(-1))))
        maximum = self.fc2(F.relu(self.fc1(x.amax(-1))))
        alpha = torch.sigmoid(average + maximum)
        if self.gate == "double-sigmoid":
            alpha = torch.sigmoid(alpha)
        return alpha.unsqueeze(-1) * x


class PlainBlock(nn.Module):
    """A residual block in Conv1d; parameters named as in mccgaa.encoder.Block."""

    def __init__(
        self, inputs: int, width: int, stride: int, bottleneck: bool, config: object
    ) -> None:
        super().__init__()
        self.outputs = out = width * 4 if bottleneck else width

        def layer(i: int, o: int, k: int, s: int = 1) -> list[nn.Module]:
            return [nn.Conv1d(i, o, k, s, k // 2, bias=False), nn.BatchNorm1d(o)]

        if bottleneck:
            self.branch = nn.Sequential(
                *layer(inputs, width, 1),
                nn.ReLU(),
                *layer(width, width, 3, stride),
                nn.ReLU(),
                *layer(width, out, 1),
            )
        else:
            self.branch = nn.Sequential(
                *layer(inputs, width, 3, stride), nn.ReLU(), *layer(width, width, 3)
            )
        self.cam: nn.Module = nn.Identity()
        if config.cam == "channel":
            self.cam = PlainAttention(out, config.gate)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != out:
            self.shortcut = nn.Sequential(*layer(inputs, out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.cam(self.branch(x)) + self.shortcut(x))


class PlainEncoder(nn.Module):
    """The same function and parameters as `EcgEncoder`."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        blocks, bottleneck = STAGES[config.depth]
        channels = config.widths[0]
        self.stem = nn.Sequential(
            nn.Conv1d(config.leads, channels, 7, 2, 3, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
        )
        stages = []
        for stage, width in enumerate(config.widths):
            layers = []
            for block in range(blocks[stage]):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(PlainBlock(channels, width, stride, bottleneck, config))
                channels = layers[-1].outputs
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.project = nn.Conv1d(channels, config.embedding_dim, 1)
        self.head: nn.Module = MeanPool(config.embedding_dim)
        if config.pool == "attention":
            self.head = AttentionPool(
                config.embedding_dim, config.pool_heads, config.positions
            )

    def features(self, x: Tensor) -> Tensor:
        """Map (B, leads, T) to (B, M, T')."""
        return self.project(self.stages(self.stem(x)))

    def pool(self, features: Tensor) -> Tensor:
        """Pool (B, M, T') to (B, M) of length one."""
        return unit(self.head(features))

    def forward(self, x: Tensor) -> Tensor:
        """Encode (B, leads, T) to (B, M) of length one."""
        return self.pool(self.features(x))
