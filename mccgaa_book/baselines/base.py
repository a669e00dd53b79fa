"""What every baseline shares: its encoder, its views, and what it is asked.

A method is a module with an `encoder`, which is what is probed, and a `loss` of one
batch. The loop of training is `trainer`'s, the table of methods `registry`'s.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, ParamSpec, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mccgaa.config import EncoderConfig
from mccgaa.data.record import Record
from mccgaa.data.transform import prepare_windows
from mccgaa.encoder import EcgEncoder
from mccgaa.files import write_json
from mccgaa.gather import Group
from mccgaa.model import scale_input
from mccgaa.plus.augment import augment
from mccgaa.runtime import world
from mccgaa.settings import to_dict
from mccgaa_book.baselines.config import BaselineConfig, Settings

P = ParamSpec("P")
R = TypeVar("R")


class Batch(NamedTuple):
    """What a method learns from in one step, on the device."""

    signals: Tensor  # (B, 12, T) float32, mV or standard deviations
    subjects: Tensor  # (B,) int64, equal where two ECGs are of one person
    progress: float  # share of the steps that is done, in [0, 1)


class Backbone(nn.Module):
    """The 1D-ResNet of section 3.2 without channel attention, up to its mean over time.

    What follows it in MCCGAA (a 1x1 convolution, attention pooling) is left out: a
    method adds its own head. The mean over time of the last map is what SimCLR calls h
    and what MERL probes.

    Args:
        config: depth and widths; `cam` is "none".

    Attributes:
        width: D, numbers per ECG; 512 for a ResNet-18.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        whole = EcgEncoder(config)
        self.stem, self.stages = whole.stem, whole.stages
        self.width = whole.project.in_channels

    def feature_map(self, x: Tensor) -> Tensor:
        """Map (B, 12, T) to (B, D, T') with T' = ceil(T / 16)."""
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return self.stages(self.stem(x)).squeeze(2)  # (B, D, 1, T') -> (B, D, T')

    def forward(self, x: Tensor) -> Tensor:
        """Encode (B, 12, T) to (B, D)."""
        return self.feature_map(x).mean(-1)


class Method(nn.Module):
    """A self-supervised method: subclasses say what its loss is.

    A subclass makes its heads in `__init__` and defines `loss`. It may define `terms`,
    `views`, `build_encoder` and `after_step`. Randomness comes from torch's generator,
    which the trainer seeds per step.

    Args:
        config: of the run; `config.settings` is an instance of `Settings`.

    Attributes:
        Settings: the method's hyper-parameters, a frozen dataclass.
        learns: whether there is anything to train.
        terms: names of scalars in what `loss` gives, beside "loss" and "spread".
        encoder: what is probed; has `width`, D.
    """

    Settings: ClassVar[type[Settings]] = Settings
    learns: ClassVar[bool] = True
    terms: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.config = config
        self.settings: Any = config.settings
        self.encoder = self.build_encoder()

    def build_encoder(self) -> nn.Module:
        """Make the network (B, 12, T) -> (B, D), with an attribute `width`, D."""
        return Backbone(self.config.encoder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def group(self) -> Group:
        """The processes that share a batch; see `mccgaa.gather`."""
        return Group(*world())

    def features(self, x: Tensor) -> Tensor:
        """Encode ECGs for a probe.

        Args:
            x: (B, 12, T) as in the store, at the rate and with the transform of
                `config.input`.

        Returns:
            (B, D).
        """
        return self.encoder(self.scaled(x))

    @torch.no_grad()
    def embed(self, record: Record) -> Tensor:
        """Encode an ECG for a task of your own.

        Args:
            record: of `mccgaa.data.record.read_record`.

        Returns:
            (W, D) on the CPU: features of each of its W windows, as long as the input.

        Raises:
            RecordError: the record cannot be made into the method's input.
        """
        windows = torch.from_numpy(prepare_windows(record, self.config.input))
        return self.eval().features(windows.to(self.device)).float().cpu()

    def scaled(self, x: Tensor) -> Tensor:
        """Scale signals (B, 12, T) as the input's settings say, after augmentation."""
        return scale_input(x, self.config.input.scaling)

    def views(self, signals: Tensor, count: int = 2) -> list[Tensor]:
        """Vary a batch (B, 12, T) `count` times, each ECG on its own."""
        return [self.view(signals) for _ in range(count)]

    def view(
        self,
        signals: Tensor,
        names: Sequence[str] | None = None,
        strength: float | None = None,
    ) -> Tensor:
        """Vary a batch (B, 12, T) once.

        Args:
            signals: as in the store.
            names: of `mccgaa.plus.augment.AUGMENTATIONS`; by default the settings'.
            strength: in [0, 1]; by default the settings'.
        """
        given = self.config.input
        names = self.settings.augmentations if names is None else names
        strength = self.settings.strength if strength is None else strength
        if not names:  # `augment` would take its first recipe
            return signals
        with torch.autocast(signals.device.type, enabled=False):
            return augment(
                signals,
                strength,
                names,
                given.sampling_rate,
                standardised=given.standardised,
            )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of one batch.

        Returns:
            Scalars: "loss", which is minimised, "spread" as `spread` measures it on
            the embedding that the method watches, and those of `terms`.
        """
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """Do what follows an optimiser's step, such as moving an average of weights.

        Args:
            progress: share of the steps that was done before it, in [0, 1).
        """

    def forward(self, batch: Batch) -> Tensor:
        """Compute the scalars of `columns`, (K,); the first is minimised."""
        found = self.loss(batch)
        return torch.stack([found[name].float() for name in self.columns()])

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Names of the scalars of a step, in their order."""
        return ("loss", *cls.terms, "spread")

    def save_pretrained(self, folder: Path) -> None:
        """Write weights and configuration; `registry.load` reads them."""
        weights = {k: v.contiguous() for k, v in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "config.json", to_dict(self.config))


def mlp(*widths: int, norm_last: bool = False, affine_last: bool = True) -> nn.Module:
    """Linear layers with batch normalisation and ReLU between them.

    Args:
        widths: of the input, of each hidden layer, of the output.
        norm_last: normalise the output, too.
        affine_last: with weights in that last normalisation.
    """
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        last = i == len(widths) - 2
        normed = norm_last or not last
        layers.append(nn.Linear(inputs, outputs, bias=not normed))
        if normed:
            layers.append(nn.BatchNorm1d(outputs, affine=affine_last or not last))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Target(nn.Module):
    r"""A copy of a network that follows it slowly, and passes no gradient.

    .. math:: \xi \leftarrow \tau \xi + (1 - \tau) \theta

    Batch normalisation uses the statistics of its own batches, as in training; its
    running statistics are therefore its own and no average.

    Args:
        online: the network theta that is followed.
    """

    def __init__(self, online: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(online).requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Do what the network does, without a gradient."""
        return self.network(x)

    @torch.no_grad()
    def follow(self, online: nn.Module, decay: float) -> None:
        """Take in the weights after a step; `decay` is tau in [0, 1]."""
        mine = list(self.network.parameters())
        torch._foreach_lerp_(mine, list(online.parameters()), 1 - decay)


def rising(decay: float, progress: float) -> float:
    r"""A decay that a cosine takes to 1 over the run (BYOL, MoCo v3).

    .. math:: 1 - (1 - \tau) (\cos \pi p + 1) / 2
    """
    return 1 - (1 - decay) * (math.cos(math.pi * progress) + 1) / 2


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Compute a loss in float32 or better, whatever precision its inputs have."""

    @wraps(function)
    def full(*args: P.args, **options: P.kwargs) -> R:
        given = [full_precision(a) for a in args]
        device = next(a.device for a in args if isinstance(a, Tensor))
        with torch.autocast(device.type, enabled=False):
            return function(*given, **options)  # type: ignore[arg-type]

    return full


def full_precision(value: Any) -> Any:
    """Turn a tensor of half precision into float32; leave anything else alone."""
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value


@torch.no_grad()
@in_float32
def spread(z: Tensor) -> Tensor:
    r"""Say how far from collapsed embeddings are (SimSiam, section 4.1).

    .. math:: \sqrt{D} \cdot \frac{1}{D} \sum_d \mathrm{std}_i
        \left( z_{id} / \lVert z_i \rVert \right)

    Args:
        z: (B, D) embeddings.

    Returns:
        A scalar: 0 where all are the same, about 1 where they are spread over the
        sphere.
    """
    unit = nn.functional.normalize(z, dim=-1)
    return unit.std(0, correction=0).mean() * z.shape[-1] ** 0.5
