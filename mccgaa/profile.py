"""Profiles: one file of params/ is one set of data, variants and chapters."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mccgaa.config import InputConfig, ModelConfig, PretrainConfig, RunConfig
from mccgaa.errors import ConfigError, did_you_mean
from mccgaa.settings import (
    as_mapping,
    from_dict,
    load_yaml,
    merge,
    nest,
    stable_hash,
)

# Where the wheel's data go: below the environment, or below `pip install --target`. An
# editable install has them in its checkout.
_BESIDE = Path(__file__).resolve().parents[1]
INSTALLED = [
    Path(base, "share", "mccgaa", "params")
    for base in (sysconfig.get_path("data"), _BESIDE)
] + [_BESIDE / "params"]


@dataclass(frozen=True)
class Variant:
    """One row of a table: a label, and settings laid over the profile's."""

    label: str  # as tables print it
    settings: dict[str, Any] = field(default_factory=dict)  # of model and pretrain
    start: str | None = None  # PROFILE:VARIANT, whose run of the same seed it goes on

    @property
    def start_of(self) -> tuple[str, str] | None:
        """The profile's file and the variant of the run that this one starts from."""
        return None if self.start is None else elsewhere(self.start, "start")


def elsewhere(text: str, key: str) -> tuple[str, str]:
    """Part the name of another profile's variant, such as params/real.yaml:merl.

    Args:
        text: PROFILE:VARIANT.
        key: where it is said, for the error message.

    Raises:
        ConfigError: it names no profile, or no variant.
    """
    profile, colon, variant = text.rpartition(":")
    if not colon or not profile or not variant:
        raise ConfigError(
            f"{key} is {text!r}; expected PROFILE:VARIANT, such as "
            "params/synthetic.yaml:merl."
        )
    return profile, variant


@dataclass(frozen=True)
class StoreRecipe:
    """How a store is packed; rate, duration and transform are `model.input`'s."""

    dataset: Literal["ptbxl", "mimic", "cpsc2018", "csn", "challenge", "own"]
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
    twins: tuple[
        dict, ...
    ] = ()  # further mirrors, such as another profile's to test on
    stores: dict[str, StoreRecipe] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)  # task -> store, or store/task
    prompts: tuple[str, ...] = ("single",)  # or members, members-mean, ...
    runs: str = "runs"  # folder of runs
    knowledge: str | None = None  # another knowledge base than the packaged one
    # Epochs, batch size and seeds of the baselines: mccgaa_book.baselines.config.Plan.
    baselines: dict[str, Any] | None = None
    transfer: str | None = None  # profile on whose stores its models are tested too
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)  # see `ablations`
    ablations: str | None = None  # profile with further variants, for further tables
    base: str | None = None  # profile beside it, from which `INHERITED` keys are taken
    out: str | None = None  # folder of the executed chapters
    chapters: tuple[str, ...] = ()  # notebooks that it executes
    notebooks: dict[str, dict[str, Any]] = field(default_factory=dict)  # parameters

    @classmethod
    def load(cls, params: Path | str) -> Profile:
        """Read a profile.

        Args:
            params: its file, or the bare name ("real") of one in ./params, or else of
                one that was installed with the package.

        Raises:
            ConfigError: no such file, an unknown key or variant, or a store that a
                task names and `stores` lacks.
        """
        path = Path(params)
        bare = path.stem if path.parent == Path("params") else params
        folders = (Path("params"), *INSTALLED)
        named = [folder / f"{bare}.yaml" for folder in folders]
        if not path.is_file():
            path = next(filter(Path.is_file, named), path)
        if not path.is_file():  # perhaps a folder of its name
            found = [folder.glob("*.yaml") for folder in folders]
            known = sorted({file.stem for files in found for file in files})
            advice = (
                f"profiles are {', '.join(known)}"
                if known
                else "give a profile's file, or change into a checkout of this project "
                "(a folder with _toc.yml and params/)"
            )
            why = "it is a folder" if path.is_dir() else "there is no such file"
            raise ConfigError(
                f"{params} cannot be read: {why}, and no profile has this name; "
                f"{advice}.{did_you_mean(path.stem, known)}"
            )
        data = _inherited(path)
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
        for variant in self.variants.values():
            _ = variant.start_of  # refuses what names no run
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
                f"{', '.join(sorted(unknown))}; `mccgaa settings` lists all of them."
            )
        for part, section in settings.items():
            as_mapping(section, part)
        if "seed" in settings["pretrain"]:
            raise ConfigError(
                "pretrain.seed is given by --seed, or by a profile's seeds; leave it "
                "out of pretrain and --set."
            )
        try:
            pretrain = from_dict(PretrainConfig, settings["pretrain"], "pretrain")
            model = from_dict(ModelConfig, settings["model"], "model")
        except ConfigError as error:
            over = ", or what --set lays over it" if overrides else ""
            raise ConfigError(f"{self.path}{over}: {error}") from error
        return RunConfig(name=name, model=model, pretrain=replace(pretrain, seed=seed))

    @property
    def hash(self) -> str:
        """Name what decides the profile's results: not labels, seeds or folders."""
        decides = {
            "runs": {name: self._identity(name) for name in self.variants},
            "twin": _recipe(self.twin),
            "stores": {k: v.identity for k, v in self.stores.items()},
            "tasks": self.tasks,
            "knowledge": self.knowledge,
        }
        # Hashes of profiles without these are older than they.
        if self.twins:
            decides["twins"] = [_recipe(mirror) for mirror in self.twins]
        starts = {name: self._start(name) for name in self.variants}
        if any(starts.values()):
            decides["starts"] = {k: v for k, v in starts.items() if v}
        return stable_hash(decides)

    def _identity(self, variant: str) -> dict[str, Any]:
        """What decides a run, except METHOD, which a stamp gives on its own."""
        identity = self.run_config(variant).identity
        return {k: v for k, v in identity.items() if k != "method"}

    def _start(self, variant: str, behind: tuple[str, ...] = ()) -> dict[str, Any]:
        """What decides the weights that a variant starts from; empty where none.

        Of a run, its settings; of a model by its place or name, that alone.

        Raises:
            ConfigError: it starts, over however many others, from itself.
        """
        found = self._variant(variant)
        if found.start_of is None:
            place = self.run_config(variant).pretrain.start
            return {"model": place} if place else {}
        if found.start in behind:
            raise ConfigError(
                f"{self.path}: {variant} starts from {found.start}, which starts from "
                "it; one of them must start from nothing."
            )
        profile, earlier = found.start_of
        its = Profile.load(profile)
        return {
            "run": its._identity(earlier),
            "twin": _recipe(its.twin),
            "store": its.recipe().identity,
            "knowledge": its.knowledge,
            "start": its._start(earlier, (*behind, str(found.start))),
        }


def _recipe(mirror: Mapping[str, Any] | None) -> dict[str, Any]:
    """What decides a simulated mirror, wherever it is written."""
    silent = ("out", "jobs", "progress")
    return {k: v for k, v in (mirror or {}).items() if k not in silent}


# Keys of a profile that another one laid over it has, too, where it says nothing else.
INHERITED = (
    "tier",
    "title",
    "model",
    "pretrain",
    "seeds",
    "twin",
    "twins",
    "stores",
    "tasks",
    "prompts",
    "runs",
    "knowledge",
    "baselines",
    "transfer",
)


def _inherited(path: Path) -> dict[str, Any]:
    """Read a profile's keys, and those that it takes from profiles beside it.

    `base` names the one that it is laid over; `variants` may name one that has the
    same variants and tables.
    """
    data = {k: v for k, v in load_yaml(path).items() if v is not None}
    if "base" in data:
        below = _inherited(path.parent / str(data["base"]))
        data = {k: v for k, v in below.items() if k in INHERITED} | data
    if isinstance(data.get("variants"), str):
        other = load_yaml(path.parent / data["variants"])
        data = {"tables": other.get("tables", {})} | data
        data["variants"] = other.get("variants", {})
    return data
