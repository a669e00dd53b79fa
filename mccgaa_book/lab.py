"""The runs and results behind the tables and figures: loaded, or made.

A profile (params/*.yaml) says which data, how long, and which variants; this module
knows none of them by name. Chapters ask a `Lab` for stores, runs and results.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.config import RunConfig
from mccgaa.data.datasets import open_store
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError
from mccgaa.files import write_whole
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import TaskResult
from mccgaa.model import MCCGAA
from mccgaa.pairs import load_pairs
from mccgaa.pretrain import identified, pretrain
from mccgaa.profile import Profile, elsewhere
from mccgaa.run_folder import RunFolder
from mccgaa.settings import merge, stable_hash
from mccgaa.start import Start
from mccgaa.text import TextEncoder
from mccgaa.zeroshot import load_model, zero_shot
from mccgaa_book import experiments, results
from mccgaa_book.baselines.plan import plan_hashes
from mccgaa_book.checkout import checkout, go_to_root
from mccgaa_book.scored import prompting
from mccgaa_twin.mirror import write_twin


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: RunConfig

    @cached_property
    def model(self) -> MCCGAA:
        """The pretrained model, in evaluation mode, on the CPU.

        Chapters mix its outputs with tensors of their own, so it stays on the CPU
        even where there is a GPU; pretraining and embedding choose theirs.
        """
        return load_model(self.folder, "cpu")

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per step: loss, cma, uma, lr, samples_per_second."""
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row per epoch: held-out loss and retrieval, plain and fused."""
        return pd.read_csv(self.folder / "epochs.csv")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What the run was made of: pairs, seconds, versions."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    @property
    def kinds(self) -> list[str]:
        """Kinds of the ECGs that the weights have met, earliest first: its own last."""
        return results.kinds_of(self.metrics)

    def snapshot(self, epoch: int) -> MCCGAA:
        """The weights kept at the end of an epoch (pretrain.snapshots)."""
        return load_model(RunFolder(self.folder).snapshot(epoch), "cpu")


class Lab:
    """Everything a chapter computes with, under one profile.

    Args:
        params: the profile's file, or its bare name.
        overrides: nested settings laid over every variant, such as
            {"pretrain": {"epochs": 2}}.

    Example:
        >>> lab = Lab("params/smoke.yaml")
        >>> lab.run("bipartite", seed=0).history  # trains once, then loads
    """

    def __init__(
        self, params: Path | str, overrides: Mapping[str, Any] | None = None
    ) -> None:
        go_to_root(params)
        self.profile = Profile.load(params)
        self.overrides = dict(overrides or {})
        self.tier = self.profile.tier
        self.runs = Path(self.profile.runs)
        self.seeds = list(self.profile.seeds)
        self._stores: dict[str, SignalStore] = {}
        self._runs: dict[tuple[str, int], Run] = {}
        self._folders: dict[tuple[str, int], Path] = {}
        self._others: dict[str, Lab] = {}
        results.note_reading(self.profile.path)

    def changed(self, overrides: Mapping[str, Any]) -> Lab:
        """The same lab, with these settings laid over every variant as well."""
        lab = Lab(self.profile.path, merge(self.overrides, dict(overrides)))
        lab._stores = self._stores
        return lab

    @property
    def hash(self) -> str:
        """Name what decides this lab's results, overrides included."""
        if not self.overrides:
            return self.profile.hash
        return stable_hash([self.profile.hash, self.overrides])

    @cached_property
    def synthetic(self) -> bool | str:
        """Whether the ECGs are simulated, as the stores say: True, False or "mixed".

        Raises:
            ConfigError: the profile's tier says otherwise, or it has no store.
        """
        kinds = {self.store(name).meta["synthetic"] for name in self.profile.stores}
        if not kinds:
            raise ConfigError(
                f"{self.profile.path} has no store, so nothing says whether its ECGs "
                "are synthetic; give it `stores`."
            )
        if len(kinds) > 1:
            return "mixed"
        found = kinds.pop()
        if found != (self.tier == results.SYNTHETIC):
            raise ConfigError(
                f"{self.profile.path} says tier: {self.tier}, but the ECGs in its "
                f"stores are {_kind(found)}; correct the tier."
            )
        return found

    def data_kind(self, store: str = "pretrain") -> str:
        """Name the ECGs of one store: "synthetic" or "real"."""
        return _kind(self.store(store).meta["synthetic"])

    def trained_on(self, variant: str | None = None, seed: int = 0) -> str:
        """Name the ECGs that a run learned from, earliest first.

        Returns:
            "synthetic", "real", or such as "synthetic then real" for a run that started
            from another's weights, as the runs themselves say.
        """
        return results.history(self.run(variant, seed).kinds)

    @cached_property
    def started(self) -> bool:
        """Whether a variant's first weights are those of another run."""
        return any(
            variant.start_of or self.config(name).pretrain.start
            for name, variant in self.profile.variants.items()
        )

    @cached_property
    def other(self) -> Lab:
        """The lab on whose stores this one's models are tested too.

        Raises:
            ConfigError: the profile names none.
        """
        if self.profile.transfer is None:
            raise ConfigError(
                f"{self.profile.path} names no other profile to test its models on; "
                "give it `transfer`, such as params/real.yaml."
            )
        return Lab(self.profile.transfer)

    @property
    def ablated(self) -> Lab:
        """The lab that has further variants; this one, where the profile names none."""
        if self.profile.ablations is None:
            return self
        return self._other(self.profile.ablations)

    def _other(self, params: str, overrides: Mapping[str, Any] | None = None) -> Lab:
        """The lab of another profile, by default under the same overrides."""
        overrides = self.overrides if overrides is None else overrides
        key = f"{params} {stable_hash(overrides)}"
        if key not in self._others:
            self._others[key] = Lab(params, overrides)
        return self._others[key]

    def table(self, experiment: str) -> list[str] | None:
        """The variants that a table has as rows, as `at` takes them.

        Returns:
            None where neither this profile nor its `ablations` says.
        """
        for lab in (self, self.ablated):
            if experiment in lab.profile.tables:
                return list(lab.profile.tables[experiment])
        return None

    def at(self, name: str) -> tuple[Lab, str]:
        """Find the lab that has a variant.

        Args:
            name: a variant of this profile or of its `ablations`, or PROFILE:VARIANT.

        Returns:
            The lab, and the variant's name there.

        Raises:
            ConfigError: none of them has it.
        """
        if ":" in name:
            params, variant = elsewhere(name, "A variant")
            lab = self._other(params)
            lab.config(variant)  # refuses an unknown one
            return lab, variant
        if name not in self.variants and name in self.ablated.variants:
            return self.ablated, name
        self.config(name)
        return self, name

    def label(self, name: str) -> str:
        """What a table calls a variant that `at` finds."""
        lab, variant = self.at(name)
        return lab.variants[variant]

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
        """What the ECGs are, for a page's banner."""
        title = self.profile.title
        return f"{title[:1].upper()}{title[1:]}."

    def store(self, name: str = "pretrain") -> SignalStore:
        """Open a store of the profile, packing it first where it is absent.

        Raises:
            ConfigError: the profile has no such store.
        """
        if name not in self._stores:
            recipe = self.profile.recipe(name)
            if self.profile.twin and not Path(recipe.out).exists():
                for mirror in (self.profile.twin, *self.profile.twins):
                    write_twin(**mirror)  # leaves alone what is there
            self._stores[name] = open_store(self.profile, name)
        return self._stores[name]

    @property
    def packed(self) -> bool:
        """Whether the stores that the models learn from and are tested on are there."""
        names = {"pretrain", *self.tasks.values()}
        places = [Path(self.profile.recipe(name).out) for name in names]
        return all((place / "store.json").is_file() for place in places)

    def config(self, variant: str | None = None, seed: int = 0) -> RunConfig:
        """The configuration of a variant; by default of the profile's first."""
        own = {k: v for k, v in self.overrides.items() if k != "baselines"}
        return self.profile.run_config(variant, seed, own)

    def folder(self, variant: str, seed: int) -> Path | None:
        """Where the run of a variant and seed is, or will be; nothing is made.

        Returns:
            None where that cannot be told yet: its store is not packed, or the run that
            it starts from is not finished.
        """
        key = (variant, seed)
        if key not in self._folders:
            recipe = self.profile.recipe("pretrain")
            if not (Path(recipe.out) / "store.json").is_file():
                return None
            config, start = self.config(variant, seed), None
            if earlier := self._earlier(variant):
                before, name = earlier
                if not before.finished(name, seed):
                    return None
                start = Start(before.folder(name, seed))
            elif config.pretrain.start:
                start = Start(config.pretrain.start)
            store = SignalStore.open(recipe.out)
            pairs = load_pairs(store, config, self.knowledge, progress=False)
            self._folders[key] = self.runs / identified(config, pairs, start).folder
        return self._folders[key]

    def finished(self, variant: str, seed: int) -> bool:
        """Whether a run is there and whole."""
        folder = self.folder(variant, seed)
        return folder is not None and RunFolder(folder).finished

    def run(self, variant: str | None = None, seed: int = 0) -> Run:
        """Load the run of a variant and seed, or pretrain it."""
        config = self.config(variant, seed)
        key = (config.name, seed)
        if key not in self._runs:
            if earlier := self.earlier_run(config.name, seed):
                settings = replace(config.pretrain, start=str(earlier.folder))
                config = replace(config, pretrain=settings)
            store = self.store("pretrain")
            pairs = load_pairs(store, config, self.knowledge, progress=False)
            note = {"tier": self.tier, "title": self.profile.title}
            folder = pretrain(config, pairs, self.runs, note=note)
            self._runs[key] = Run(folder, config)
        return self._runs[key]

    def earlier_run(self, variant: str, seed: int = 0) -> Run | None:
        """Load the run whose weights a variant starts from, or pretrain it.

        Returns:
            None where the variant starts from random weights.
        """
        earlier = self._earlier(variant)
        if earlier is None:
            return None
        before, name = earlier
        return before.run(name, seed)

    def _earlier(self, variant: str) -> tuple[Lab, str] | None:
        """The lab and the variant whose run a variant starts from, if it does.

        That run is the other profile's own: what is laid over this lab's variants is
        not laid over it, except that it too leaves out the unseen classes.
        """
        start = self.profile.variants[variant].start_of
        if start is None:
            return None
        profile, name = start
        unseen = self.config(variant).pretrain.unseen
        over = {"pretrain": {"unseen": list(unseen)}} if unseen else {}
        return self._other(profile, over), name

    def zero_shot(
        self,
        variant: str | None = None,
        seed: int = 0,
        *,
        tasks: Sequence[str] | None = None,
        split: str | None = "test",
        fused: bool = False,
        prompts: str = "single",
        bootstrap: int = 1000,
        on: Lab | None = None,
    ) -> dict[str, TaskResult]:
        """Zero-shot results of a run, kept beside it and computed once.

        Args:
            variant: by default the profile's first.
            seed: of the run.
            tasks: by default all that the tested lab has.
            split: "train", "val", "test", or None for all records.
            fused: score through GAFA.
            prompts: "single" or "members" as in `zeroshot.score_tasks`, the latter with
                its `reduction` behind a hyphen, such as "members-mean".
            bootstrap: resamples behind the intervals.
            on: another lab, whose stores are tested on instead of this one's.
        """
        run = self.run(variant, seed)
        tested = on or self
        paths = {}
        for task in tested.tasks if tasks is None else tasks:
            name, there = tested.profile.tested_on(task)
            store = tested.store(name)
            decides = [store.meta["fingerprint"], self.knowledge.fingerprint]
            decides += [split, fused]
            if (prompts, bootstrap) != ("single", 1000):
                decides += [prompts, bootstrap]
            key = stable_hash(decides)
            file = f"{there}-{split or 'all'}-{key}.json"
            paths[task] = run.folder / "zeroshot" / file
        absent = [task for task, path in paths.items() if not path.exists()]
        if absent:
            how = {"split": split, "fused": fused, "bootstrap": bootstrap}
            for task, result in tested.score(
                run.model, absent, self.knowledge, prompts, **how
            ):
                with write_whole(paths[task]) as file:
                    json.dump(result.to_dict(), file)
        return {
            task: TaskResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
            for task, path in paths.items()
        }

    def score(
        self,
        model: MCCGAA,
        tasks: Sequence[str],
        knowledge: Knowledge,
        prompts: str,
        **options: Any,
    ) -> Iterator[tuple[str, TaskResult]]:
        """Score any model on tasks of this lab, keeping nothing.

        Args:
            model: to score.
            tasks: of this lab.
            knowledge: what classes are called.
            prompts: as `zero_shot` takes it.
            **options: of `zeroshot.zero_shot`.

        Yields:
            Each task with its result, store by store: its records are embedded once.
        """
        by_store: dict[str, dict[str, str]] = {}  # store -> task there -> task
        for task in tasks:
            store, there = self.profile.tested_on(task)
            by_store.setdefault(store, {})[there] = task
        options |= prompting(prompts)
        for store, own in by_store.items():
            found = zero_shot(model, self.store(store), list(own), knowledge, **options)
            for there, result in found.items():
                yield own[there], result

    def results(self, experiment: str) -> results.Results:
        """The published results of this profile; else a rerun's; else made now.

        Published and rerun results count only if they were made with the settings
        that the profile has now and with this version of the method.

        Args:
            experiment: a name in `experiments.EXPERIMENTS`.
        """
        for folder in (checkout() / "results" / self.profile.name, self.reruns):
            path = folder / f"{experiment}.csv"
            if path.is_file() and not self.outdated(path):
                return results.load(experiment, self.profile.name, folder)
        experiments.make(self, experiment)
        return results.load(experiment, self.profile.name, self.reruns)

    def outdated(self, path: Path) -> str | None:
        """Why a CSV of results is not of today's settings, as `results.outdated`."""
        name = path.stem
        return results.outdated(path, self.hashes(name), self.plan_hashes(name))

    def plan_hashes(self, experiment: str) -> dict[str, str]:
        """What decides an experiment's rows beside `hashes`; mostly nothing."""
        if experiment != experiments.OTHERS:
            return {}
        return plan_hashes(self.profile, self.overrides)

    def hashes(self, experiment: str) -> dict[str, str]:
        """Profile -> hash of what it decides, of all that an experiment rests on."""
        return {lab.profile.name: lab.hash for lab in self.behind(experiment)}

    def behind(self, experiment: str) -> list[Lab]:
        """The labs whose runs and records an experiment needs."""
        reads_other = experiment == "transfer" or (
            experiment in ("climb", "beyond", "averaged") and self.profile.transfer
        )
        labs = [self, *(self.at(name)[0] for name in self.table(experiment) or ())]
        labs += [self.other] if reads_other else []
        return list({lab.profile.name: lab for lab in labs}.values())

    @property
    def reruns(self) -> Path:
        """Where a user's own results go."""
        return checkout() / "reruns" / self.profile.name


def _kind(synthetic: bool) -> str:
    """Name a kind of ECGs."""
    return results.SYNTHETIC if synthetic else results.REAL
