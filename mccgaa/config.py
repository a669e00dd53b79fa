"""Every setting of the method, as frozen dataclasses.

One comment per field; defaults are the paper's where it gives one and otherwise the
reading defended in the book. `stable_hash` names a run by what it was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mccgaa.choices import (
    Augmentation,
    Gate,
    LossKind,
    Pooling,
    Precision,
    StoreOn,
    Style,
    Transform,
)
from mccgaa.settings import (
    check_choices,
    check_range,
    choose,
    decisive,
    later,
    require,
    stable_hash,
)

# The version of the method: who changes what a run of given settings computes raises
# it, and every run, result and page made before is stale.
METHOD = 1

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

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
    transform: Transform = "raw"  # raw keeps mV; the other filters, scales each lead
    scaling: Literal["none", "minmax"] = "none"  # minmax: record-global, to [0, 1]

    def __post_init__(self) -> None:
        check_choices(self, "input")
        check_range("input.sampling_rate", self.sampling_rate, 1)
        seconds = self.duration
        hour = "more than 0 seconds, and an hour (3600) at most"
        require(0 < seconds <= 3600, "input.duration", seconds, hour)

    @property
    def length(self) -> int:
        """Samples per lead: sampling_rate x duration."""
        return round(self.sampling_rate * self.duration)

    @property
    def standardised(self) -> bool:
        """Whether each lead has mean 0 and standard deviation 1, instead of mV."""
        return self.transform == "bandpass-zscore"


@dataclass(frozen=True)
class EncoderConfig:
    """The ECG side of section 3.2 (eq 2-15, Fig. 2).

    A store holds the twelve standard leads, so a run has `leads` = 12; another number
    serves those who call the encoder themselves. A lead that a record lacks is all
    zeros, and the network has no mask: it does not know that the lead is missing.
    """

    depth: Literal[18, 34, 50, 101] = 18  # layers of the ResNet (Table 5)
    leads: int = 12  # D, of an ECG
    embedding_dim: int = 256  # M, width of an embedding; Fig. 5 and 6 show 256
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the four stages
    cam: Literal["channel", "none"] = "channel"  # attention; none: ablation "w/o CAM"
    gate: Gate = "sigmoid"  # of the CAM; eq 13 to the letter: double-sigmoid
    pool: Literal["attention", "mean"] = "attention"  # text below eq 16 | eq 15
    pool_heads: int = 4  # heads of the attention pooling
    positions: int = 64  # learned positions, interpolated to any input length

    def __post_init__(self) -> None:
        check_choices(self, "encoder")
        for name in ("leads", "embedding_dim", "pool_heads", "positions"):
            check_range(f"encoder.{name}", getattr(self, name), 1)
        widths, dim, heads = self.widths, self.embedding_dim, self.pool_heads
        four = len(widths) == 4 and min(widths) >= 2  # the CAM halves them
        require(four, "encoder.widths", widths, "four stages of 2 channels or more")
        fits = self.pool == "mean" or dim % heads == 0
        multiple = f"a multiple of encoder.pool_heads, which is {heads}"
        require(fits, "encoder.embedding_dim", dim, multiple)


@dataclass(frozen=True)
class TextConfig:
    """The text side of section 3.2 (eq 1, 16)."""

    encoder: str = "medcpt"  # preset, Hugging Face name, or folder
    dim: int | None = None  # d, the encoder's width; None: the preset's, else 768
    pooling: Pooling | None = None  # None: as the preset's authors do, else cls
    max_length: int = 256  # tokens of a text; the rest is cut off
    hidden: int = 256  # width of the projection's hidden layer
    style: Style = "name"  # how f_query words an entry
    precision: Precision = later("fp32")  # of the frozen encoder

    def __post_init__(self) -> None:
        preset = TEXT_PRESETS.get(self.encoder)
        dim, pooling = preset or (768, "cls")
        if self.dim is None:
            object.__setattr__(self, "dim", dim)
        if self.pooling is None:
            object.__setattr__(self, "pooling", pooling)
        check_choices(self, "text")
        choose(Pooling, self.pooling, "text.pooling")
        known = f"{dim}, the width of encoder {self.encoder!r}; leave text.dim out"
        require(not preset or self.dim == dim, "text.dim", self.dim, known)
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
    threshold: float = 0.0  # eq 18: nodes above it are joined; on f_sim = cosine / tau
    neighbours: int | None = None  # k nearest instead of the threshold
    tau: float = 0.07  # temperature of f_sim (eq 17)
    output_matrix: bool = False  # with W_O of eq 22 after each layer's joined heads

    def __post_init__(self) -> None:
        check_choices(self, "gafa")
        check_range("gafa.heads", self.heads, 1)
        check_range("gafa.hidden", self.hidden, 1)
        together = f"a multiple of gafa.heads, which is {self.heads}"
        require(self.hidden % self.heads == 0, "gafa.hidden", self.hidden, together)
        check_range("gafa.output", self.output, 2)
        shared = "an even number: ECG and text have half of it each"
        require(self.output % 2 == 0, "gafa.output", self.output, shared)
        if self.neighbours is not None:
            check_range("gafa.neighbours", self.neighbours, 1)
        require(0 < self.tau < math.inf, "gafa.tau", self.tau, "more than 0")


@dataclass(frozen=True)
class LossConfig:
    """Section 3.4 (eq 25-32)."""

    # eq 30 | eq 29 to the letter | CLIP's | SigLIP's | reports as sets of findings
    kind: LossKind = "symmetric"
    tau: float = 0.07  # temperature of the similarities (eq 26)
    learn_tau: bool = False  # learned and clamped at 1/tau <= 100
    cma_weight: float = 1.0  # of L_cma, ECGs beside texts (eq 32)
    uma_weight: float = 1.0  # of L_uma, two views of an ECG (eq 32)
    uma: Literal["maps", "dropout"] = "maps"  # the views; eq 31 to the letter: dropout
    dropout: tuple[float, float] = (0.1, 0.1)  # theta^1, theta^2 of eq 31
    balance: float = later(0.0)  # statements: weights follow count**-balance

    def __post_init__(self) -> None:
        check_choices(self, "loss")
        require(0 < self.tau < math.inf, "loss.tau", self.tau, "more than 0")
        for name in ("cma_weight", "uma_weight"):
            check_range(f"loss.{name}", getattr(self, name), 0)
        check_range("loss.balance", self.balance, 0)
        sets = self.kind == "statements" or not self.balance
        require(sets, "loss.balance", self.balance, "0 unless loss.kind is statements")
        rates = len(self.dropout) == 2 and all(0 <= r < 1 for r in self.dropout)
        require(rates, "loss.dropout", self.dropout, "two rates in [0, 1)")


@dataclass(frozen=True)
class ModelConfig:
    """Figure 1: all parts, and the input they expect."""

    input: InputConfig = field(default_factory=InputConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    text: TextConfig = field(default_factory=TextConfig)
    gafa: GafaConfig = field(default_factory=GafaConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        graph = self.gafa.graph
        fits = self.loss.kind != "statements" or graph != "pair"
        expected = "none or bipartite: statements are no pairs (loss.kind: statements)"
        require(fits, "gafa.graph", graph, expected)


@dataclass(frozen=True)
class PretrainConfig:
    """Section 4.1: the optimiser, its schedule, and how the run is kept."""

    epochs: int = 20  # passes over the training records (section 4.1)
    batch_size: int = 128  # pairs per process
    lr: float = 1.0e-3  # learning rate of the first step (section 4.1)
    min_lr: float = 1.0e-8  # and of the last, along a cosine (section 4.1)
    weight_decay: float = 1.0e-8  # of AdamW; not given: MERL's
    betas: tuple[float, float] = (0.9, 0.999)  # of AdamW
    precision: Precision = "bf16"  # of a step, by autocast; the loss is always fp32
    text: Literal["report", "knowledge"] = "report"  # its report | its labels' names
    records: int = later(0)  # the first so many training records alone; 0: all
    min_count: int = later(3)  # training records that a statement must be of
    unseen: tuple[str, ...] = later(())  # classes left out with all of their records
    start: str | None = None  # a model, its folder or name, whose weights it takes on
    ema: float = later(0.0)  # decay of the average of the weights; 0: none
    # whose weights are kept: those of the last epoch, or of the best on held-out pairs
    selection: Literal["last", "best-retrieval"] = "last"
    augment: float = 0.0  # strength in [0, 1] of the signal augmentation; paper: none
    augmentations: tuple[Augmentation, ...] = later(())  # which; none: augment.simple
    checkpoint_every: int = 1000  # steps between checkpoints
    checkpoint_minutes: float = 5.0  # likewise; whichever of the two comes first
    snapshots: tuple[int, ...] = ()  # epochs whose weights are kept (Fig. 7)
    workers: int = 0  # threads that read batches ahead
    store_on: StoreOn = "auto"  # where signals lie; auto: on the GPU if they fit
    # auto: long runs on one GPU; off: no step is a CUDA graph either
    compile: Literal["auto", "on", "off"] = "auto"
    chunk: int = later(0)  # ECGs encoded at a time, to save memory; 0: the whole batch
    seed: int = 0  # weights, dropout, batch order; of --seed

    def __post_init__(self) -> None:
        check_choices(self, "pretrain")
        for name in ("epochs", "batch_size", "checkpoint_every", "min_count"):
            check_range(f"pretrain.{name}", getattr(self, name), 1)
        for name in (
            "weight_decay",
            "checkpoint_minutes",
            "workers",
            "records",
            "chunk",
            "seed",
            "lr",
        ):
            check_range(f"pretrain.{name}", getattr(self, name), 0)
        check_range("pretrain.min_lr", self.min_lr, 0, self.lr)
        check_range("pretrain.augment", self.augment, 0, 1)
        check_range("pretrain.ema", self.ema, 0, 0.999999)
        for name in self.unseen:
            require(bool(name.strip()), "pretrain.unseen", name, "the name of a class")
        for beta in self.betas:
            check_range("pretrain.betas", beta, 0, 0.999999)
        for name in self.augmentations:
            choose(Augmentation, name, "pretrain.augmentations")
        for epoch in self.snapshots:
            check_range("pretrain.snapshots", epoch, 1)


# Settings of PretrainConfig that change how a run is made and none of its numbers.
# `start` is a place; what lies there decides, by its fingerprint in RunConfig.start.
SILENT = (
    "workers",
    "store_on",
    "compile",
    "checkpoint_every",
    "checkpoint_minutes",
    "snapshots",
    "start",
)


@dataclass(frozen=True)
class RunConfig:
    """One run: a model, how it is pretrained, and on which pairs.

    Runs of one global batch are one run, however many processes share it: on GPUs batch
    normalisation is synchronised, on CPUs each process normalises its own part.
    """

    name: str = "mccgaa"
    model: ModelConfig = field(default_factory=ModelConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    processes: int = 1  # each reads batch_size pairs per step
    store: str = ""  # fingerprint of the signal store
    texts: str = ""  # fingerprint of the texts of its records
    text_encoder: str = ""  # fingerprint of the frozen encoder of the texts
    start: str = later("")  # fingerprint of the weights that the run starts from

    def __post_init__(self) -> None:
        leads = self.model.encoder.leads
        expected = f"{len(LEADS)}, the leads of every record in a store"
        require(leads == len(LEADS), "model.encoder.leads", leads, expected)

    @property
    def global_batch(self) -> int:
        """Pairs per step, over all processes: what the contrastive loss compares."""
        return self.processes * self.pretrain.batch_size

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the run's numbers, and nothing else."""
        pretrain = decisive(self.pretrain)
        for name in (*SILENT, "batch_size"):
            pretrain.pop(name, None)
        found = {
            "method": METHOD,
            "model": decisive(self.model),
            "pretrain": pretrain,
            "global_batch": self.global_batch,
            "store": self.store,
            "texts": self.texts,
            "text_encoder": self.text_encoder,
        }
        return found | ({"start": self.start} if self.start else {})

    @property
    def hash(self) -> str:
        """Name the run's identity."""
        return stable_hash(self.identity)

    @property
    def folder(self) -> str:
        """Name of the run's folder: two runs of one name and identity are one run."""
        return f"{self.name}-{self.hash}"
