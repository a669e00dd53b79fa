"""The runs behind the tables and figures: each is loaded if it is there, else made.

A profile (params/*.yaml) says which data, how long, and which variants; this module
knows none of them by name. Chapters ask a `Lab` for stores, runs and results.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.config import Profile, RunConfig, stable_hash
from mccgaa.data.datasets import open_store
from mccgaa.data.store import SignalStore
from mccgaa.files import write_whole
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import TaskResult
from mccgaa.model import MCCGAA
from mccgaa.pairs import load_pairs
from mccgaa.pretrain import pretrain
from mccgaa.text import TextEncoder
from mccgaa.zeroshot import load_model, zero_shot
from mccgaa_twin.mirror import write_twin


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: RunConfig

    @cached_property
    def model(self) -> MCCGAA:
        """The pretrained model, in evaluation mode."""
        return load_model(self.folder)

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row a step: loss, cma, uma, lr, samples_per_second."""
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row an epoch: held-out loss and retrieval, plain and fused."""
        return pd.read_csv(self.folder / "epochs.csv")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What the run was made of: pairs, seconds, versions."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    def snapshot(self, epoch: int) -> MCCGAA:
        """The weights kept at the end of an epoch (pretrain.snapshots)."""
        return load_model(self.folder / "snapshots" / f"epoch-{epoch:02d}")


class Lab:
    """Everything a chapter computes with, under one profile.

    Args:
        params: the profile's file.
        overrides: nested settings laid over every variant, such as
            {"pretrain": {"epochs": 2}}.

    Example:
        >>> lab = Lab("params/smoke.yaml")
        >>> lab.run("mccgaa", seed=0).history  # trains once, then loads
    """

    def __init__(
        self, params: Path | str, overrides: Mapping[str, Any] | None = None
    ) -> None:
        self.profile = Profile.load(params)
        self.overrides = dict(overrides or {})
        self.tier = self.profile.tier
        self.runs = Path(self.profile.runs)
        self.seeds = list(self.profile.seeds)
        self._stores: dict[str, SignalStore] = {}

    @property
    def synthetic(self) -> bool:
        """Whether any store of the profile is synthetic."""
        return bool(self.profile.twin)

    @cached_property
    def knowledge(self) -> Knowledge:
        """The clinical knowledge base K."""
        return Knowledge.load(self.profile.knowledge)

    def text_encoder(self) -> TextEncoder:
        """The frozen text encoder of the profile's model."""
        return TextEncoder(self.config().model.text)

    @property
    def variants(self) -> dict[str, str]:
        """Name -> label in tables."""
        return {name: v.label for name, v in self.profile.variants.items()}

    @property
    def tasks(self) -> dict[str, str]:
        """Task -> name of the store it is tested on."""
        return {task: self.profile.tested_on(task)[0] for task in self.profile.tasks}

    def badge(self) -> str:
        """One sentence on what kind of evidence this is, for every page and table."""
        kind = (
            "Synthetic data: simulated ECGs, no evidence about patients."
            if self.synthetic
            else "Real ECGs."
        )
        return f"{kind} {self.profile.title}".strip()

    def store(self, name: str = "pretrain") -> SignalStore:
        """Open a store of the profile, packing it first where it is absent.

        Raises:
            ConfigError: the profile has no such store.
        """
        if name not in self._stores:
            recipe = self.profile.recipe(name)
            if self.profile.twin and not Path(recipe.out).exists():
                write_twin(**self.profile.twin)
            self._stores[name] = open_store(recipe, self.profile.input)
        return self._stores[name]

    def config(self, variant: str | None = None, seed: int = 0) -> RunConfig:
        """The configuration of a variant; by default of the profile's first."""
        return self.profile.run_config(variant, seed, self.overrides)

    def run(self, variant: str | None = None, seed: int = 0) -> Run:
        """Load the run of a variant and seed, or pretrain it."""
        config = self.config(variant, seed)
        store = self.store("pretrain")
        corpus = load_pairs(store, config, self.knowledge, progress=False)
        note = {"tier": self.tier, "title": self.profile.title}
        return Run(pretrain(config, corpus, self.runs, note=note), config)

    def zero_shot(
        self,
        variant: str | None = None,
        seed: int = 0,
        *,
        tasks: Sequence[str] | None = None,
        split: str | None = "test",
        fused: bool = False,
        on: Lab | None = None,
    ) -> dict[str, TaskResult]:
        """Zero-shot results of a run, kept beside it and computed once.

        Args:
            variant: by default the profile's first.
            seed: of the run.
            tasks: by default all that the tested lab has.
            split: "train", "val", "test", or None for all records.
            fused: score through GAFA.
            on: another lab, whose stores are tested on instead of this one's.
        """
        run = self.run(variant, seed)
        tested = on or self
        paths, absent = {}, {}
        for task in tasks or tested.tasks:
            name, there = tested.profile.tested_on(task)
            store = tested.store(name)
            key = stable_hash(
                [store.meta["fingerprint"], self.knowledge.fingerprint, split, fused]
            )
            file = f"{there}-{split or 'all'}-{key}.json"
            paths[task] = run.folder / "zeroshot" / file
            if not paths[task].exists():
                absent.setdefault(name, {})[there] = paths[task]
        for name, missing in absent.items():  # a store's records are embedded once
            found = zero_shot(
                run.model,
                tested.store(name),
                list(missing),
                self.knowledge,
                split=split,
                fused=fused,
            )
            for there, result in found.items():
                with write_whole(missing[there]) as file:
                    json.dump(result.to_dict(), file)
        return {
            task: TaskResult(**json.loads(path.read_text(encoding="utf-8")))
            for task, path in paths.items()
        }

    def zero_shot_table(
        self, variants: Sequence[str] | None = None, split: str = "test"
    ) -> pd.DataFrame:
        """Macro AUROC x 100 of every variant, seed and task, in long form.

        Returns:
            Columns variant, label, seed, task, auroc, low, high; the last two are the
            bootstrap interval over records.
        """
        rows = []
        for variant in variants or self.variants:
            for seed in self.seeds:
                for task, result in self.zero_shot(variant, seed, split=split).items():
                    low, high = result.ci95
                    rows.append(
                        {
                            "variant": variant,
                            "label": self.variants[variant],
                            "seed": seed,
                            "task": task,
                            "auroc": 100 * result.macro_auroc,
                            "low": 100 * low,
                            "high": 100 * high,
                        }
                    )
        return pd.DataFrame(rows)
