"""Every setting of the method, as frozen dataclasses that read and write YAML.

One comment a field; defaults are the paper's where it gives one and otherwise the
reading defended in the book. `stable_hash` names a run by what it was trained with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from mccgaa.errors import ConfigError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
TASKS = ("super", "sub", "form", "rhythm", "cpsc2018", "csn")

T = TypeVar("T")


@dataclass(frozen=True)
class InputConfig:
    """What a model is fed: section 4.1 has 12 leads, 500 Hz, 10 s."""

    sampling_rate: int = 500  # Hz
    duration: float = 10.0  # seconds
    transform: Literal["raw", "bandpass-zscore"] = "raw"  # raw keeps mV
    scaling: Literal["none", "minmax"] = "none"  # minmax: record-global, to [0, 1]

    @property
    def length(self) -> int:
        """Samples a lead: sampling_rate x duration."""
        return round(self.sampling_rate * self.duration)


@dataclass(frozen=True)
class EncoderConfig:
    """The ECG side of section 3.2 (eq 2-15, Fig. 2)."""

    depth: Literal[18, 34, 50, 101] = 18  # Table 5
    leads: int = 12  # D
    embedding_dim: int = 256  # M; Fig. 5 and 6 show 256
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the four stages
    cam: Literal["channel", "none"] = "channel"  # none: ablation "w/o CAM"
    gate: Literal["sigmoid", "double-sigmoid"] = "sigmoid"  # eq 13 literal: double
    pool: Literal["attention", "mean"] = "attention"  # text below eq 16 against eq 15
    pool_heads: int = 4  # heads of the attention pooling
    positions: int = 64  # learned positions, interpolated to any input length


@dataclass(frozen=True)
class TextConfig:
    """The text side of section 3.2 (eq 1, 16)."""

    encoder: str = "medcpt"  # preset, Hugging Face name, or folder
    dim: int = 768  # d, the encoder's width
    pooling: Literal["cls", "mean", "pooler"] = "cls"  # MedCPT's authors use [CLS]
    max_length: int = 256  # tokens
    hidden: int = 256  # width of the projection's hidden layer
    style: Literal["name", "full"] = "name"  # how f_query words an entry


@dataclass(frozen=True)
class GafaConfig:
    """Section 3.3 (eq 17-24)."""

    embedding_dim: int = 256  # M
    hidden: int = 64  # width of layer 1, all heads together (Table 6)
    output: int = 32  # F, width of layer 2 (Table 6)
    heads: int = 4  # N, heads of layer 1; layer 2 has one
    graph: Literal["pair", "bipartite", "none"] = "pair"  # eq 19 | prose | w/o GAT
    threshold: float = 0.0  # eq 18, on f_sim = cosine / tau
    neighbours: int | None = None  # k nearest instead of the threshold
    tau: float = 0.07  # eq 17


@dataclass(frozen=True)
class LossConfig:
    """Section 3.4 (eq 25-32)."""

    kind: Literal["symmetric", "one-sided", "clip", "siglip"] = "symmetric"
    tau: float = 0.07  # eq 26
    learn_tau: bool = False  # learned and clamped at 1/tau <= 100
    cma_weight: float = 1.0  # of L_cma
    uma_weight: float = 1.0  # of L_uma
    dropout: tuple[float, float] = (0.1, 0.1)  # theta^1, theta^2 of eq 31


@dataclass(frozen=True)
class ModelConfig:
    """Figure 1: all parts, and the input they expect."""

    input: InputConfig = field(default_factory=InputConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    text: TextConfig = field(default_factory=TextConfig)
    gafa: GafaConfig = field(default_factory=GafaConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        if self.gafa.embedding_dim != self.encoder.embedding_dim:
            raise ConfigError(
                f"gafa.embedding_dim is {self.gafa.embedding_dim} but "
                f"encoder.embedding_dim is {self.encoder.embedding_dim}; "
                "both are the paper's M: give them one value."
            )


@dataclass(frozen=True)
class PretrainConfig:
    """Section 4.1: the optimiser, its schedule, and how the run is kept."""

    epochs: int = 20  # section 4.1
    batch_size: int = 128  # pairs a process
    lr: float = 1.0e-3  # section 4.1
    min_lr: float = 1.0e-8  # section 4.1, where the cosine ends
    weight_decay: float = 1.0e-8  # not given; MERL's
    betas: tuple[float, float] = (0.9, 0.999)  # AdamW
    precision: Literal["bf16", "fp32"] = "bf16"  # autocast; loss is always fp32
    text: Literal["report", "knowledge"] = "report"  # what stands beside the ECG
    selection: Literal["last", "best-retrieval"] = "last"  # never downstream labels
    augment: float = 0.0  # strength in [0, 1] of the signal augmentation; paper: none
    checkpoint_every: int = 100  # steps
    snapshots: tuple[int, ...] = ()  # epochs whose weights are kept (Fig. 7)
    workers: int = 0  # processes that read batches ahead
    seed: int = 0  # weights, dropout, batch order


@dataclass(frozen=True)
class RunConfig:
    """One run: a model, how it is pretrained, and on which store."""

    name: str = "mccgaa"
    model: ModelConfig = field(default_factory=ModelConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    store: str = ""  # fingerprint of the signal store
    texts: str = ""  # fingerprint of the texts that stand beside its records

    @property
    def folder(self) -> str:
        """Name of the run's folder: its name, and a hash of everything in it."""
        return f"{self.name}-{stable_hash(self)}"


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain dicts, lists and scalars."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[T], data: dict[str, Any] | None, where: str = "") -> T:
    """Build a configuration from plain data, refusing what it does not know.

    Args:
        cls: one of this module's dataclasses.
        data: its fields; absent ones keep their defaults.
        where: dotted path of `data` in its file, for the error's sentence.

    Raises:
        ConfigError: an unknown field, or a value of the wrong type or choice.
    """
    where = where or cls.__name__
    if not isinstance(data, dict | types.NoneType):
        raise ConfigError(f"{where} must be a mapping of settings, but is {data!r}.")
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in (data or {}).items():
        if key not in known:
            raise ConfigError(
                f"{where} has no setting {key!r}; it knows {', '.join(sorted(known))}."
            )
        values[key] = _coerce(hints[key], value, f"{where}.{key}")
    return cls(**values)


def _coerce(hint: Any, value: Any, where: str) -> Any:
    """Check one value against its type hint; lists become tuples."""
    if is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            choices = ", ".join(map(str, args))
            raise ConfigError(f"{where} is {value!r}; expected one of {choices}.")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        inner = args[:1] * len(value) if args[-1] is ... else args
        if len(inner) != len(value):
            raise ConfigError(f"{where} is {value!r}; expected {len(inner)} values.")
        return tuple(_coerce(h, v, where) for h, v in zip(inner, value, strict=True))
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _coerce(args[0], value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        tip = " (write 1.0e-4, not 1e-4)" if hint is float else ""
        raise ConfigError(f"{where} is {value!r}; expected {hint.__name__}{tip}.")
    return value


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[key] = merge(inner, value) if both else value
    return merged


def stable_hash(config: Any, length: int = 10) -> str:
    """Name a configuration by its content, the same on every machine.

    Args:
        config: a dataclass of this module, or plain data.
        length: hexadecimal digits kept.
    """
    plain = to_dict(config) if is_dataclass(config) else config
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def load_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: the file is absent, unreadable or not a mapping.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of settings at its top.")
    return data


def dump_yaml(data: dict[str, Any], path: Path | str) -> None:
    """Write a mapping as YAML, keys in their given order."""
    Path(path).write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


PROFILE_KEYS = {
    "tier": "synthetic, real or paper: what kind of evidence the profile yields",
    "title": "one line that says what the data are",
    "model": "settings of ModelConfig",
    "pretrain": "settings of PretrainConfig",
    "variants": "name -> label and settings laid over model and pretrain",
    "seeds": "list of integers",
    "twin": "arguments of the synthetic mirror, where it is used",
    "stores": "name -> how to pack it",
    "tasks": "task -> name of the store it is tested on",
    "runs": "folder of runs",
    "knowledge": "a knowledge base of one's own, or null",
    "out": "folder for the executed chapters",
    "chapters": "notebooks that the profile executes",
    "notebooks": "notebook -> its parameters",
}


def load_profile(params: Path | str) -> dict[str, Any]:
    """Read a profile, refusing a key that no profile has.

    Raises:
        ConfigError: the file cannot be read, or holds an unknown key.
    """
    profile = load_yaml(params)
    unknown = sorted(set(profile) - set(PROFILE_KEYS))
    if unknown:
        raise ConfigError(
            f"{params} has no use for {', '.join(map(repr, unknown))}; a profile has "
            f"{', '.join(PROFILE_KEYS)}."
        )
    return profile


def run_config(
    profile: Mapping[str, Any],
    variant: str = "mccgaa",
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of one run of a profile.

    Args:
        profile: as `load_profile` gives it.
        variant: a name among the profile's variants.
        seed: of weights, dropout and batch order.
        overrides: nested settings, such as {"pretrain": {"epochs": 2}}.

    Raises:
        ConfigError: an unknown variant or setting.
    """
    variants = profile.get("variants") or {"mccgaa": {}}
    if variant not in variants:
        raise ConfigError(
            f"The profile has no variant {variant!r}; it has {', '.join(variants)}."
        )
    settings = {key: profile.get(key) or {} for key in ("model", "pretrain")}
    own = {k: v for k, v in (variants[variant] or {}).items() if k != "label"}
    settings = merge(merge(settings, own), dict(overrides or {}))
    unknown = set(settings) - {"model", "pretrain"}
    if unknown:
        raise ConfigError(
            f"Settings start with model or pretrain, not {', '.join(sorted(unknown))}."
        )
    pretrain_config = from_dict(PretrainConfig, settings["pretrain"], "pretrain")
    return RunConfig(
        name=variant,
        model=from_dict(ModelConfig, settings["model"], "model"),
        pretrain=replace(pretrain_config, seed=seed),
    )
