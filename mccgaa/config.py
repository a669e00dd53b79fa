"""Every setting of the method, as frozen dataclasses that read and write YAML.

One comment a field; defaults are the paper's where it gives one and otherwise the
reading defended in the book. `stable_hash` names a run by what it was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mccgaa.errors import ConfigError
from mccgaa.settings import (
    as_mapping,
    check_choices,
    check_range,
    choose,
    from_dict,
    load_yaml,
    merge,
    nest,
    require,
    stable_hash,
    to_dict,
)

# The version of the method: who changes what a run of given settings computes raises
# it, and every run, result and page made before is stale.
METHOD = 1

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
TASKS = ("super", "sub", "form", "rhythm", "cpsc2018", "csn")

# The readings that more than one module names.
Gate = Literal["sigmoid", "double-sigmoid"]
Pooling = Literal["cls", "mean", "pooler"]
Style = Literal["name", "full"]
LossKind = Literal["symmetric", "one-sided", "clip", "siglip"]

# Preset of the text encoder -> its width d, and how its authors read one vector.
TEXT_PRESETS: Mapping[str, tuple[int, Pooling]] = {
    "medcpt": (768, "cls"),
    "minilm": (384, "mean"),
}


@dataclass(frozen=True)
class InputConfig:
    """What a model is fed: section 4.1 has 12 leads, 500 Hz, 10 s."""

    sampling_rate: int = 500  # Hz
    duration: float = 10.0  # seconds
    transform: Literal["raw", "bandpass-zscore"] = "raw"  # raw keeps mV
    scaling: Literal["none", "minmax"] = "none"  # minmax: record-global, to [0, 1]

    def __post_init__(self) -> None:
        check_choices(self, "input")
        check_range("input.sampling_rate", self.sampling_rate, 1)
        seconds = self.duration
        require(0 < seconds < math.inf, "input.duration", seconds, "more than 0")

    @property
    def length(self) -> int:
        """Samples per lead: sampling_rate x duration."""
        return round(self.sampling_rate * self.duration)


@dataclass(frozen=True)
class EncoderConfig:
    """The ECG side of section 3.2 (eq 2-15, Fig. 2).

    A store holds the twelve standard leads, so a run has `leads` = 12; another number
    serves those who call the encoder themselves. A lead that a record lacks is all
    zeros, and the network has no mask: it is not told that the lead is missing.
    """

    depth: Literal[18, 34, 50, 101] = 18  # Table 5
    leads: int = 12  # D
    embedding_dim: int = 256  # M; Fig. 5 and 6 show 256
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the four stages
    cam: Literal["channel", "none"] = "channel"  # none: ablation "w/o CAM"
    gate: Gate = "sigmoid"  # eq 13 to the letter: double-sigmoid
    pool: Literal["attention", "mean"] = "attention"  # text below eq 16 against eq 15
    pool_heads: int = 4  # heads of the attention pooling
    positions: int = 64  # learned positions, interpolated to any input length

    def __post_init__(self) -> None:
        check_choices(self, "encoder")
        for name in ("leads", "embedding_dim", "pool_heads", "positions"):
            check_range(f"encoder.{name}", getattr(self, name), 1)
        require(
            len(self.widths) == 4 and min(self.widths) >= 2,
            "encoder.widths",
            self.widths,
            "four stages of at least 2 channels",
        )
        require(
            self.pool == "mean" or self.embedding_dim % self.pool_heads == 0,
            "encoder.embedding_dim",
            self.embedding_dim,
            f"a multiple of encoder.pool_heads, which is {self.pool_heads}",
        )


@dataclass(frozen=True)
class TextConfig:
    """The text side of section 3.2 (eq 1, 16)."""

    encoder: str = "medcpt"  # preset, Hugging Face name, or folder
    dim: int | None = None  # d, the encoder's width; None: the preset's, else 768
    pooling: Pooling | None = None  # None: as the preset's authors do, else cls
    max_length: int = 256  # tokens
    hidden: int = 256  # width of the projection's hidden layer
    style: Style = "name"  # how f_query words an entry

    def __post_init__(self) -> None:
        preset = TEXT_PRESETS.get(self.encoder)
        dim, pooling = preset or (768, "cls")
        if self.dim is None:
            object.__setattr__(self, "dim", dim)
        if self.pooling is None:
            object.__setattr__(self, "pooling", pooling)
        check_choices(self, "text")
        choose(Pooling, self.pooling, "text.pooling")
        require(
            preset is None or self.dim == dim,
            "text.dim",
            self.dim,
            f"{dim}, the width of encoder {self.encoder!r}; leave text.dim out",
        )
        check_range("text.dim", self.dim, 1)
        check_range("text.hidden", self.hidden, 1)
        check_range("text.max_length", self.max_length, 3)  # [CLS], a word, [SEP]


@dataclass(frozen=True)
class GafaConfig:
    """Section 3.3 (eq 17-24)."""

    hidden: int = 64  # width of layer 1, all heads together (Table 6)
    output: int = 32  # F, width of layer 2 (Table 6)
    heads: int = 4  # N, heads of layer 1; layer 2 has one
    graph: Literal["pair", "bipartite", "none"] = "pair"  # eq 19 | prose | w/o GAT
    threshold: float = 0.0  # eq 18, on f_sim = cosine / tau
    neighbours: int | None = None  # k nearest instead of the threshold
    tau: float = 0.07  # eq 17
    output_matrix: bool = False  # with W_O of eq 22 after each layer's joined heads

    def __post_init__(self) -> None:
        check_choices(self, "gafa")
        check_range("gafa.heads", self.heads, 1)
        require(
            self.hidden >= 1 and self.hidden % self.heads == 0,
            "gafa.hidden",
            self.hidden,
            f"a multiple of gafa.heads, which is {self.heads}: it is the width of all "
            "heads together",
        )
        require(
            self.output >= 2 and self.output % 2 == 0,
            "gafa.output",
            self.output,
            "an even number, which ECG and text share",
        )
        if self.neighbours is not None:
            check_range("gafa.neighbours", self.neighbours, 1)
        require(0 < self.tau < math.inf, "gafa.tau", self.tau, "more than 0")


@dataclass(frozen=True)
class LossConfig:
    """Section 3.4 (eq 25-32)."""

    kind: LossKind = "symmetric"
    tau: float = 0.07  # eq 26
    learn_tau: bool = False  # learned and clamped at 1/tau <= 100
    cma_weight: float = 1.0  # of L_cma
    uma_weight: float = 1.0  # of L_uma
    uma: Literal["maps", "dropout"] = "maps"  # eq 31 to the letter: dropout
    dropout: tuple[float, float] = (0.1, 0.1)  # theta^1, theta^2 of eq 31

    def __post_init__(self) -> None:
        check_choices(self, "loss")
        require(0 < self.tau < math.inf, "loss.tau", self.tau, "more than 0")
        for name in ("cma_weight", "uma_weight"):
            check_range(f"loss.{name}", getattr(self, name), 0)
        require(
            len(self.dropout) == 2 and all(0 <= rate < 1 for rate in self.dropout),
            "loss.dropout",
            self.dropout,
            "two rates of at least 0 and below 1, one for each view",
        )


@dataclass(frozen=True)
class ModelConfig:
    """Figure 1: all parts, and the input they expect."""

    input: InputConfig = field(default_factory=InputConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    text: TextConfig = field(default_factory=TextConfig)
    gafa: GafaConfig = field(default_factory=GafaConfig)
    loss: LossConfig = field(default_factory=LossConfig)


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
    checkpoint_every: int = 1000  # steps
    checkpoint_minutes: float = 5.0  # since the last; whichever of the two comes first
    snapshots: tuple[int, ...] = ()  # epochs whose weights are kept (Fig. 7)
    workers: int = 0  # processes that read batches ahead
    seed: int = 0  # weights, dropout, batch order

    def __post_init__(self) -> None:
        check_choices(self, "pretrain")
        for name in ("epochs", "batch_size", "checkpoint_every"):
            check_range(f"pretrain.{name}", getattr(self, name), 1)
        for name in ("weight_decay", "checkpoint_minutes", "workers", "seed", "lr"):
            check_range(f"pretrain.{name}", getattr(self, name), 0)
        check_range("pretrain.min_lr", self.min_lr, 0, self.lr)
        check_range("pretrain.augment", self.augment, 0, 1)
        for beta in self.betas:
            check_range("pretrain.betas", beta, 0, 0.999999)
        for epoch in self.snapshots:
            check_range("pretrain.snapshots", epoch, 1)


# Settings of PretrainConfig that change how a run is made and none of its numbers.
SILENT = ("workers", "checkpoint_every", "checkpoint_minutes", "snapshots")


@dataclass(frozen=True)
class RunConfig:
    """One run: a model, how it is pretrained, and on which pairs."""

    name: str = "mccgaa"
    model: ModelConfig = field(default_factory=ModelConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    processes: int = 1  # each reads batch_size pairs a step
    store: str = ""  # fingerprint of the signal store
    texts: str = ""  # fingerprint of the texts of its records
    text_encoder: str = ""  # fingerprint of the frozen encoder of the texts

    def __post_init__(self) -> None:
        leads = self.model.encoder.leads
        expected = f"{len(LEADS)}, the leads of every record in a store"
        require(leads == len(LEADS), "model.encoder.leads", leads, expected)

    @property
    def global_batch(self) -> int:
        """Pairs a step, over all processes: what the contrastive loss compares."""
        return self.processes * self.pretrain.batch_size

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the run's numbers, and nothing else."""
        pretrain = to_dict(self.pretrain)
        for name in (*SILENT, "batch_size"):
            del pretrain[name]
        return {
            "method": METHOD,
            "model": to_dict(self.model),
            "pretrain": pretrain,
            "global_batch": self.global_batch,
            "store": self.store,
            "texts": self.texts,
            "text_encoder": self.text_encoder,
        }

    @property
    def hash(self) -> str:
        """Name the run's identity."""
        return stable_hash(self.identity)

    @property
    def folder(self) -> str:
        """Name of the run's folder: two runs of one name and identity are one run."""
        return f"{self.name}-{self.hash}"


@dataclass(frozen=True)
class Variant:
    """One row of a table: a label, and settings laid over the profile's."""

    label: str  # as tables print it
    settings: dict[str, Any] = field(default_factory=dict)  # of model and pretrain


@dataclass(frozen=True)
class StoreRecipe:
    """How a store is packed; rate, duration and transform are `model.input`'s."""

    dataset: str  # ptbxl, mimic, cpsc2018, csn or own
    root: str  # the dataset's folder
    out: str  # the store's folder
    options: dict[str, Any] = field(default_factory=dict)  # of the dataset's reader

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the store's content, wherever it is packed."""
        silent = ("jobs", "progress")
        options = {k: v for k, v in self.options.items() if k not in silent}
        return {"dataset": self.dataset, "options": options}


@dataclass(frozen=True)
class Reproduce:
    """The part of a profile that a reader's half hour reruns."""

    variants: tuple[str, ...] = ()  # empty: all
    seeds: tuple[int, ...] = ()  # empty: all


@dataclass(frozen=True)
class Profile:
    """One file of params/: which data, how long, which variants, which chapters."""

    name: str  # the file's stem
    path: Path
    tier: Literal["synthetic", "real", "paper"]  # what its results may be evidence of
    title: str = ""  # one line that says what the data are
    model: dict[str, Any] = field(default_factory=dict)  # of ModelConfig
    pretrain: dict[str, Any] = field(default_factory=dict)  # of PretrainConfig
    variants: dict[str, Variant] = field(
        default_factory=lambda: {"mccgaa": Variant("mccgaa")}
    )
    seeds: tuple[int, ...] = (0,)
    reproduce: Reproduce = field(default_factory=Reproduce)
    twin: dict[str, Any] | None = None  # arguments of the synthetic mirror
    stores: dict[str, StoreRecipe] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)  # task -> store, or store/task
    runs: str = "runs"  # folder of runs
    knowledge: str | None = None  # another knowledge base than the packaged one
    transfer: str | None = None  # profile on whose stores its models are tested too
    out: str | None = None  # folder of the executed chapters
    chapters: tuple[str, ...] = ()  # notebooks that it executes
    notebooks: dict[str, dict[str, Any]] = field(default_factory=dict)  # parameters

    @classmethod
    def load(cls, params: Path | str) -> Profile:
        """Read a profile.

        Args:
            params: its file, or the bare name of one in ./params ("real").

        Raises:
            ConfigError: no such file, an unknown key or variant, or a store that a
                task names and `stores` lacks.
        """
        path = Path(params)
        named = Path("params") / f"{params}.yaml"
        if not path.is_file() and named.is_file():
            path = named
        data = {k: v for k, v in load_yaml(path).items() if v is not None}
        for key, kind, rest in (
            ("variants", Variant, "settings"),
            ("stores", StoreRecipe, "options"),
        ):
            for name, entry in as_mapping(data.get(key, {}), f"{path}: {key}").items():
                where = f"{path}: {key}.{name}"
                data[key] = data[key] | {name: nest(kind, entry, rest, where)}
        for name, variant in data.get("variants", {}).items():
            variant.setdefault("label", name)
        profile = from_dict(cls, {**data, "name": path.stem, "path": path}, str(path))
        profile._check()
        return profile

    def _check(self) -> None:
        """Refuse the names of variants and stores that the profile does not define."""
        for variant in self.reproduce.variants:
            self._variant(variant)
        for task in self.tasks:
            self.recipe(self.tested_on(task)[0])

    def _variant(self, name: str) -> Variant:
        if name not in self.variants:
            raise ConfigError(
                f"{self.path} has no variant {name!r}; it has "
                f"{', '.join(self.variants)}."
            )
        return self.variants[name]

    def recipe(self, store: str = "pretrain") -> StoreRecipe:
        """How a store of the profile is packed.

        Raises:
            ConfigError: the profile has no such store.
        """
        if store not in self.stores:
            raise ConfigError(
                f"{self.path} has no store {store!r}; it has "
                f"{', '.join(self.stores) or 'none'}."
            )
        return self.stores[store]

    @property
    def input(self) -> InputConfig:
        """The input that the model expects and every store is packed for."""
        return from_dict(InputConfig, self.model.get("input"), "model.input")

    def tested_on(self, task: str) -> tuple[str, str]:
        """Return the store that a task is tested on, and the task's name there."""
        store, _, there = self.tasks[task].partition("/")
        return store, there or task

    def run_config(
        self,
        variant: str | None = None,
        seed: int = 0,
        overrides: Mapping[str, Any] | None = None,
    ) -> RunConfig:
        """The configuration of one run.

        Args:
            variant: a name in `variants`; by default the first.
            seed: of weights, dropout and batch order.
            overrides: nested settings, such as {"pretrain": {"epochs": 2}}.

        Raises:
            ConfigError: an unknown variant or setting.
        """
        name = variant or next(iter(self.variants))
        settings = {"model": self.model, "pretrain": self.pretrain}
        settings = merge(settings, self._variant(name).settings)
        settings = merge(settings, dict(overrides or {}))
        unknown = set(settings) - {"model", "pretrain"}
        if unknown:
            raise ConfigError(
                "Settings start with model or pretrain, not "
                f"{', '.join(sorted(unknown))}."
            )
        pretrain = from_dict(PretrainConfig, settings["pretrain"], "pretrain")
        model = from_dict(ModelConfig, settings["model"], "model")
        return RunConfig(name=name, model=model, pretrain=replace(pretrain, seed=seed))

    @property
    def hash(self) -> str:
        """Name what decides the profile's results: not labels, seeds or folders."""
        silent = ("out", "jobs", "progress")
        twin = {k: v for k, v in (self.twin or {}).items() if k not in silent}
        runs = {name: self.run_config(name).identity for name in self.variants}
        for run in runs.values():
            del run["method"]  # a stamp gives it on its own
        return stable_hash(
            {
                "runs": runs,
                "twin": twin,
                "stores": {k: v.identity for k, v in self.stores.items()},
                "tasks": self.tasks,
                "knowledge": self.knowledge,
            }
        )
