"""The datasets by name: which reader reads a folder tree, and what packs it."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from mccgaa.config import InputConfig, StoreRecipe
from mccgaa.data.packing import pack
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError

SOURCES = ("ptbxl", "mimic", "cpsc2018", "csn", "own")  # each a module beside this


def open_or_pack(
    source: str,
    root: Path | str,
    out: Path | str,
    *,
    sampling_rate: int = 500,
    duration: float = 10.0,
    transform: str = "raw",
    jobs: int | None = None,
    progress: bool = True,
    allow_missing_leads: bool = False,
    **options: Any,
) -> SignalStore:
    """Open the store at `out`, or read and pack a dataset's folder into it.

    Args:
        source: a name in SOURCES.
        root: the dataset's folder (for "own", the CSV); not needed where the store
            is already packed.
        out: the store's folder.
        sampling_rate: Hz of the store.
        duration: seconds kept of each record.
        transform: "raw" or "bandpass-zscore".
        jobs: processes; all cores by default.
        progress: show a bar.
        allow_missing_leads: zero-fill and mask leads that a record lacks.
        **options: passed to the reader, such as `limit` or `only_ids`.

    Raises:
        ConfigError: an unknown source.
        StoreError: what the reader or the packer found wrong.
    """
    if source not in SOURCES:
        raise ConfigError(
            f"There is no source {source!r}; choose one of {', '.join(SOURCES)}."
        )
    inputs = InputConfig(sampling_rate, duration, transform)  # type: ignore[arg-type]
    if not Path(root).exists() and Path(out).exists():
        return SignalStore.open(out)
    reader = import_module(f"mccgaa.data.{source}")
    known = inspect.signature(reader.read_rows).parameters
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(
            f"The reader of {source} takes no {', '.join(unknown)}; it takes "
            f"{', '.join(list(known)[1:])}."
        )
    rows = reader.read_rows(Path(root), **options)
    pack(
        rows,
        Path(root),
        out,
        source=source,
        tasks=rows.attrs.get("tasks", reader.TASKS),
        input=inputs,
        jobs=jobs,
        progress=progress,
        allow_missing_leads=allow_missing_leads,
        policy=rows["policy"].iloc[0] if "policy" in rows else "first-10s",
    )
    return SignalStore.open(out)


def open_store(recipe: StoreRecipe, wanted: InputConfig, **options: Any) -> SignalStore:
    """Open the store that a profile describes, packing it first where it is absent.

    Args:
        recipe: dataset, folders and the reader's options (`Profile.recipe`).
        wanted: the input that the profile's model expects (`Profile.input`).
        **options: laid over the recipe's, such as `progress` or `jobs`.
    """
    return open_or_pack(
        recipe.dataset,
        recipe.root,
        recipe.out,
        sampling_rate=wanted.sampling_rate,
        duration=wanted.duration,
        transform=wanted.transform,
        **(recipe.options | options),
    )
