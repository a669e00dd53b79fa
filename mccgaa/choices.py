"""The readings that more than one module names, each with its choices.

Nothing is imported here, so that `mccgaa --help` can list them and stay fast; what each
choice means is said where it is a setting (`mccgaa.config`) or an argument.
"""

from __future__ import annotations

from typing import Literal

Transform = Literal["raw", "bandpass-zscore"]
Gate = Literal["sigmoid", "double-sigmoid"]
Pooling = Literal["cls", "mean", "pooler"]
Style = Literal["name", "full"]
LossKind = Literal["symmetric", "one-sided", "clip", "siglip", "statements"]
Precision = Literal["bf16", "fp32"]
Prompts = Literal["single", "members"]
Reduction = Literal["max", "mean", "best-member"]
StoreOn = Literal["auto", "device", "host"]  # where a store lies while it is read
Recipe = Literal["converged", "merl"]  # how a linear head is fitted
Augmentation = Literal[
    "standard",
    "crop-resize",
    "shift",
    "electrodes",
    "wander",
    "hum",
    "muscle",
    "noise",
    "filter",
    "frequency-jitter",
    "scale",
    "lead-mask",
    "time-mask",
]
