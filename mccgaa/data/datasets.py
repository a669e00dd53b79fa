"""The datasets by name: which reader reads a folder tree, and what it may assume."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mccgaa.config import InputConfig
from mccgaa.data import challenge, cpsc2018, csn, mimic, own, ptbxl
from mccgaa.data.packing import pack
from mccgaa.data.physionet import DATASETS
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, StoreError
from mccgaa.profile import Profile, StoreRecipe


@dataclass(frozen=True)
class Reader:
    """How one dataset's folder becomes rows for `pack`."""

    read_rows: Callable[..., pd.DataFrame]
    record_seconds: float | None = None  # what every record lasts; None: it varies


READERS = {
    "ptbxl": Reader(ptbxl.read_rows, record_seconds=10.0),
    "mimic": Reader(mimic.read_rows, record_seconds=10.0),
    "cpsc2018": Reader(cpsc2018.read_rows),
    "csn": Reader(csn.read_rows),
    "challenge": Reader(challenge.read_rows),
    "own": Reader(own.read_rows),
}


def open_or_pack(
    dataset: str,
    root: Path | str,
    out: Path | str,
    *,
    input: InputConfig,
    jobs: int | None = None,
    progress: bool = True,
    allow_missing_leads: bool = False,
    **options: Any,
) -> SignalStore:
    """Open the store at `out`, or read and pack a dataset's folder into it.

    Args:
        dataset: a name in READERS.
        root: the dataset's folder (for "own", the CSV); not needed where the store
            is already packed.
        out: the store's folder.
        input: sampling rate, duration and transform of the store.
        jobs: processes; all cores by default.
        progress: show a bar.
        allow_missing_leads: fill leads that a record lacks with zeros, which is all
            that a model sees of them: it gets no mask.
        **options: passed to the reader, such as `limit` or `only_ids`.

    Raises:
        ConfigError: an unknown dataset, or an option that its reader does not take.
        StoreError: what the reader or packing found wrong.
    """
    if dataset not in READERS:
        raise ConfigError(
            f"There is no dataset {dataset!r}; choose one of {', '.join(READERS)}."
        )
    if not Path(root).exists() and Path(out).exists():
        return _as_asked(SignalStore.open(out), dataset, root, input)
    reader = READERS[dataset]
    known = list(inspect.signature(reader.read_rows).parameters)[1:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(
            f"The reader of {dataset} takes no {', '.join(unknown)}; it takes "
            f"{', '.join(known)}."
        )
    if "duration" in known:  # of the windows that it cuts
        options = {"duration": input.duration} | options
    rows = reader.read_rows(Path(root), **options)
    return pack(
        rows,
        root,
        out,
        dataset=dataset,
        tasks=rows.attrs["tasks"],
        input=input,
        record_seconds=reader.record_seconds,
        jobs=jobs,
        progress=progress,
        allow_missing_leads=allow_missing_leads,
    )


def _as_asked(
    store: SignalStore, dataset: str, root: Path | str, input: InputConfig
) -> SignalStore:
    """A store whose source is not there, if it is of that source and such signals.

    Raises:
        StoreError: it is of another, so `root` is not merely gone.
    """
    names = ("sampling_rate", "duration", "transform")
    wanted = {"source": dataset, **{name: getattr(input, name) for name in names}}
    other = {k: store.meta[k] for k, v in wanted.items() if store.meta[k] != v}
    if other:
        has = ", ".join(f"{name} {value}" for name, value in other.items())
        raise StoreError(
            f"{root} does not exist, and {store.path} holds other signals ({has}); "
            "correct the folder, or give another store to write."
        )
    return store


def mirror_of(recipe: StoreRecipe, profile: Profile) -> dict[str, Any]:
    """The settings of the profile's mirror that has a store's records; {} if none."""
    root = Path(recipe.root)
    for mirror in (profile.twin or {}, *profile.twins):
        if Path(mirror.get("out", root)) == root.parent:
            return dict(mirror)
    return {}


def _way_to(recipe: StoreRecipe, profile: Profile) -> str:
    """What makes the records of a store, as the end of a sentence on their absence."""
    if mirror := mirror_of(recipe, profile):
        options = " ".join(f"--{name} {value}" for name, value in mirror.items())
        return f"; simulate them: mccgaa twin {options}"
    if recipe.dataset not in DATASETS:
        return ""
    only = recipe.options.get("only_ids")
    options = f" --root {recipe.root}" + (f" --only-ids {only}" if only else "")
    return f"; fetch them: mccgaa download {recipe.dataset}{options}"


def absent(profile: Profile, name: str = "pretrain") -> str:
    """Say that neither a store nor its records are there, and what makes them.

    Args:
        profile: that has the store.
        name: of the store.

    Returns:
        A sentence; nothing where either is there.
    """
    recipe = profile.recipe(name)
    if Path(recipe.root).exists() or Path(recipe.out).exists():
        return ""
    return (
        f"There is no {recipe.root}, whose records {profile.path} packs"
        f"{_way_to(recipe, profile)}."
    )


def open_store(profile: Profile, name: str = "pretrain") -> SignalStore:
    """Open a store of a profile, packing it first where it is absent.

    Args:
        profile: says which dataset, where it is, and the input of its model.
        name: of the store.

    Raises:
        ConfigError: the profile has no such store.
        StoreError: neither the store nor its records are there; or as `open_or_pack`.
    """
    recipe = profile.recipe(name)
    if said := absent(profile, name):
        raise StoreError(said)
    return open_or_pack(
        recipe.dataset,
        recipe.root,
        recipe.out,
        input=profile.input,
        **recipe.options,
    )
