"""What decides a baseline's run: its method, its settings, its data, and the plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mccgaa.choices import Precision
from mccgaa.config import (
    METHOD,
    SILENT,
    Augmentation,
    EncoderConfig,
    InputConfig,
    PretrainConfig,
)
from mccgaa.settings import (
    check_range,
    choose,
    decisive,
    from_dict,
    later,
    require,
    stable_hash,
)

# The version of the baselines: who changes what all of them compute raises it. A change
# of one belongs into its settings, so that its runs alone have another name.
BASELINES = 1

# How two views of one ECG differ, unless a method says otherwise. None of these moves
# one beat against another (see `mccgaa.plus.augment`).
VIEWS: tuple[Augmentation, ...] = (
    "crop-resize",
    "shift",
    "wander",
    "noise",
    "frequency-jitter",
    "scale",
    "lead-mask",
    "time-mask",
)


@dataclass(frozen=True)
class Settings:
    """What every method has; each method's own settings extend it.

    Attributes:
        row: the method's name in `registry.ENTRIES`, for messages.
        idle: settings of all methods that do nothing in this one, and so are refused
            where they are set.
    """

    row: ClassVar[str] = "METHOD"
    idle: ClassVar[tuple[str, ...]] = ()

    lr: float = 1.0e-3  # of AdamW before its cosine, section 4.1's
    weight_decay: float = 1.0e-4  # SimSiam's; the same for all methods here
    # Share of the run over which the rate rises to what the cosine says.
    warmup: float = later(0.0)
    strength: float = 1.0  # of the augmentations, in [0, 1]
    augmentations: tuple[Augmentation, ...] = VIEWS

    def __post_init__(self) -> None:
        self.at_least(0, "lr", "weight_decay")
        self.within(0, 1, "warmup", "strength")
        for name in self.augmentations:
            choose(Augmentation, name, self.key("augmentations"))
        for name in self.idle:
            default = getattr(type(self), name)
            same = getattr(self, name) == default
            self.need(same, name, "it to be left out: it does nothing here")

    @classmethod
    def key(cls, name: str) -> str:
        """Say where a profile has a setting."""
        return f"baselines.settings.{cls.row}.{name}"

    def within(self, low: float, high: float, *names: str) -> None:
        """Refuse a setting outside [low, high]."""
        for name in names:
            check_range(self.key(name), getattr(self, name), low, high)

    def at_least(self, low: float, *names: str) -> None:
        """Refuse a setting below `low`."""
        self.within(low, math.inf, *names)

    def positive(self, *names: str) -> None:
        """Refuse a setting that is 0 or less, or infinite."""
        for name in names:
            fits = 0 < getattr(self, name) < math.inf
            self.need(fits, name, "more than 0, and finite")

    def need(self, holds: bool, name: str, expected: str) -> None:
        """Refuse a setting that does not hold."""
        require(holds, self.key(name), getattr(self, name), expected)


@dataclass(frozen=True)
class BaselineConfig:
    """One run of a baseline, as `RunConfig` is one run of MCCGAA."""

    method: str  # a name in `registry.ENTRIES`
    settings: Any = field(default_factory=Settings)  # of the method's `Settings`
    input: InputConfig = field(default_factory=InputConfig)
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(cam="none"))
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    processes: int = 1  # each reads pretrain.batch_size ECGs per step
    store: str = ""  # fingerprint of the signal store

    def __post_init__(self) -> None:
        plain = self.encoder.cam == "none"
        expected = "none: channel attention is part of MCCGAA"
        require(plain, "baselines.encoder.cam", self.encoder.cam, expected)

    @property
    def global_batch(self) -> int:
        """ECGs per step, over all processes: what a contrastive loss compares."""
        return self.processes * self.pretrain.batch_size

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the run's numbers, and nothing else."""
        pretrain = decisive(self.pretrain)
        for name in (*SILENT, "batch_size"):
            pretrain.pop(name, None)
        return {
            "baselines": BASELINES,
            "encoder_version": METHOD,  # the network is the method's own
            "method": self.method,
            "settings": decisive(self.settings),
            "input": decisive(self.input),
            "encoder": decisive(self.encoder),
            "pretrain": pretrain,
            "global_batch": self.global_batch,
            "store": self.store,
        }

    @property
    def hash(self) -> str:
        """Name the run's identity."""
        return stable_hash(self.identity)

    @property
    def folder(self) -> str:
        """Name of the run's folder."""
        return f"{self.method}-{self.hash}"


@dataclass(frozen=True)
class Plan:
    """The key `baselines` of a profile: how long each method is trained, and how often.

    The optimiser is the same for all methods, that of section 4.1: AdamW, one cosine
    over the run, after a warm-up where a method has one. All see the training split of
    the profile's store "pretrain", labels and texts apart.
    """

    epochs: int = 100  # passes over the training records
    batch_size: int = 128  # records of a step, in one process
    precision: Precision = "bf16"  # of a step, by autocast; a loss is always fp32
    seeds: tuple[int, ...] = (0, 1, 2)  # of each method's runs
    # Method -> settings that differ from its own, such as narrower heads.
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_range("baselines.epochs", self.epochs, 1)
        check_range("baselines.batch_size", self.batch_size, 2)
        choose(Precision, self.precision, "baselines.precision")
        once = len(self.seeds) == len(set(self.seeds))
        good = once and min(self.seeds, default=-1) >= 0
        expected = "one seed or more, each once and 0 or more"
        require(good, "baselines.seeds", self.seeds, expected)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Plan:
        """Read the key `baselines` of a profile.

        Raises:
            ConfigError: an unknown setting, or a value of the wrong type.
        """
        return from_dict(cls, dict(data), "baselines")

    def pretrain(self, settings: Settings, seed: int) -> PretrainConfig:
        """The loop's settings for one method and seed."""
        return from_dict(
            PretrainConfig,
            {
                "epochs": self.epochs,
                "batch_size": self.batch_size,
                "precision": self.precision,
                "lr": settings.lr,
                "min_lr": min(1.0e-8, settings.lr),
                "weight_decay": settings.weight_decay,
                "seed": seed,
            },
            "baselines",
        )
