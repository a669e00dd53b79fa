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

from mccgaa.config import RunConfig, load_profile, run_config, stable_hash
from mccgaa.data.datasets import open_or_pack
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError
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
        self.path = Path(params)
        self.params = load_profile(params)
        self.overrides = dict(overrides or {})
        self.tier: str = self.params["tier"]
        self.runs = Path(self.params.get("runs", "runs"))
        self.seeds: list[int] = list(self.params.get("seeds", [0]))
        self._stores: dict[str, SignalStore] = {}

    @property
    def synthetic(self) -> bool:
        """Whether any store of the profile is synthetic."""
        return bool(self.params.get("twin"))

    @cached_property
    def knowledge(self) -> Knowledge:
        """The clinical knowledge base K."""
        return Knowledge.load(self.params.get("knowledge"))

    def text_encoder(self) -> TextEncoder:
        """The frozen text encoder of the profile's model."""
        return TextEncoder(self.config().model.text)

    @property
    def variants(self) -> dict[str, str]:
        """Name -> label in tables."""
        entries = self.params.get("variants") or {"mccgaa": {}}
        return {name: (v or {}).get("label", name) for name, v in entries.items()}

    @property
    def tasks(self) -> dict[str, str]:
        """Task -> name of the store it is tested on."""
        return dict(self.params.get("tasks") or {})

    def badge(self) -> str:
        """One sentence on what kind of evidence this is, for every page and table."""
        kind = (
            "Synthetic data: simulated ECGs, no evidence about patients."
            if self.synthetic
            else "Real ECGs."
        )
        return f"{kind} {self.params.get('title', '')}".strip()

    def store(self, name: str = "pretrain") -> SignalStore:
        """Open a store of the profile, packing it first where it is absent.

        Raises:
            ConfigError: the profile has no such store.
        """
        recipes = self.params.get("stores") or {}
        if name not in recipes:
            raise ConfigError(
                f"{self.path} has no store {name!r}; it has {', '.join(recipes)}."
            )
        if name not in self._stores:
            recipe = recipes[name]
            twin = self.params.get("twin")
            if twin and not Path(recipe["out"]).exists():
                write_twin(**twin)
            self._stores[name] = open_or_pack(**recipe)
        return self._stores[name]

    def config(self, variant: str | None = None, seed: int = 0) -> RunConfig:
        """The configuration of a variant; by default of the profile's first."""
        variant = variant or next(iter(self.variants))
        return run_config(self.params, variant, seed, self.overrides)

    def run(self, variant: str | None = None, seed: int = 0) -> Run:
        """Load the run of a variant and seed, or pretrain it."""
        config = self.config(variant, seed)
        store = self.store("pretrain")
        corpus = load_pairs(store, config, self.knowledge, progress=False)
        note = {"tier": self.tier, "title": self.params.get("title", "")}
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
            store = tested.store(tested.tasks[task])
            key = stable_hash(
                [store.meta["fingerprint"], self.knowledge.fingerprint, split, fused]
            )
            name = f"{task}-{split or 'all'}-{key}.json"
            paths[task] = run.folder / "zeroshot" / name
            if not paths[task].exists():
                absent.setdefault(tested.tasks[task], []).append(task)
        for name, missing in absent.items():  # a store's records are embedded once
            found = zero_shot(
                run.model,
                tested.store(name),
                missing,
                self.knowledge,
                split=split,
                fused=fused,
            )
            for task, result in found.items():
                paths[task].parent.mkdir(exist_ok=True)
                partial = paths[task].with_suffix(".partial")
                partial.write_text(json.dumps(result.to_dict()), encoding="utf-8")
                partial.replace(paths[task])
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
