"""Random Init: the untrained 1D-ResNet18, the floor of Tables 2 and 3.

The weights are PyTorch's defaults drawn from the seed, the encoder and the probe those
of every other row. What a probe reads from it is what random filters keep of an ECG:
more than the printed rows suggest (see arXiv 2602.17531 on untrained ECG encoders).
Batch normalisation has running statistics of mean 0 and variance 1, which no step of
training has moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mccgaa_book.baselines.base import Method
from mccgaa_book.baselines.config import Settings


@dataclass(frozen=True)
class RandomSettings(Settings):
    """Of Random Init: none moves a weight that is drawn."""

    row = "random"
    idle = ("lr", "weight_decay", "warmup", "strength", "augmentations")


class RandomInit(Method):
    """An encoder that takes no step of training."""

    Settings = RandomSettings
    learns: ClassVar[bool] = False
