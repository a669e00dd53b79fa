"""Tables 2 and 3, every row: train what is missing, probe all encoders alike.

`mccgaa run baselines --profile NAME` trains each row of `registry.ENTRIES` as the
profile's key `baselines` says, encodes the ECGs of its tasks once per run, and fits
linear heads to 1, 10 and 100 % of the training splits with `mccgaa.probe`. MERL and
MCCGAA are variants of the profile, trained by the project's own loop, and probed
likewise; no cell is quoted from elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mccgaa.config import EncoderConfig, InputConfig
from mccgaa.errors import ConfigError, RunError
from mccgaa.probe import Backbone
from mccgaa.probing import CONVERGED
from mccgaa.run_folder import RunFolder, read_metrics
from mccgaa.runtime import pick_device
from mccgaa.settings import from_dict, merge
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.config import BaselineConfig
from mccgaa_book.baselines.plan import plan_of
from mccgaa_book.baselines.trainer import BaselineLearner, check_batch, train
from mccgaa_book.probed import probes
from mccgaa_book.scored import aurocs

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab

CURVE = 20  # points of a training curve that are kept


def choose(
    lab: Lab, names: Sequence[str] | None, seeds: Sequence[int] | None
) -> tuple[list[str], list[int]]:
    """Complete and check a choice of rows and seeds.

    Args:
        lab: of the profile.
        names: of `registry.ENTRIES`; by default all whose variant the profile has.
        seeds: by default the plan's.

    Raises:
        ConfigError: an unknown row or seed, a variant that the profile lacks, or a
            setting laid over it that not all rows have.
    """
    plan = plan_of(lab.profile, lab.overrides)
    strange = sorted(set(lab.overrides) - {"baselines", "model"})
    if strange:
        raise ConfigError(
            f"{strange[0]} cannot be set for baselines: not all rows have it; "
            "expected baselines.epochs, baselines.batch_size or "
            "baselines.settings.METHOD.NAME, or a setting of model."
        )
    lab.config()  # refuses what model does not have
    there = [
        name
        for name, entry in registry.ENTRIES.items()
        if entry.trains or entry.variant in lab.variants
    ]
    # What is named twice is meant once.
    names = list(dict.fromkeys(names or there))
    seeds = list(dict.fromkeys(seeds or plan.seeds))
    for name in names:
        entry = registry.entry(name)
        if entry.variant:
            lab.config(entry.variant)  # refuses an unknown one
    unknown = [str(seed) for seed in seeds if seed not in plan.seeds]
    if unknown:
        raise ConfigError(
            f"{lab.profile.path} has no seed {', '.join(unknown)} for baselines; it "
            f"has {', '.join(map(str, plan.seeds))}."
        )
    return names, seeds


def baselines(lab: Lab, names: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Train and probe rows of Tables 2 and 3 (section 4.4).

    Returns:
        Rows of split "test": `auroc_1`, `auroc_10` and `auroc_100`, AUROC x 100 of a
        linear head on so many per cent of the training split, macro and per class, with
        the bootstrap interval over records. Rows of split "train": `weights` of the
        encoder, and of what is trained here `seconds`, `steps`, and its training curve
        in twenty parts, each the mean over the steps up to a share of the run:
        `loss_5` to `loss_100`, `spread_5` to `spread_100`.
    """
    rows: list[dict[str, Any]] = []
    for name in names:
        for seed in seeds:
            own = {"variant": name, "seed": str(seed)}
            folder, encoder = trained(lab, name, seed)
            weights = sum(p.numel() for p in encoder.encoder.parameters())
            numbers = {"weights": weights, **training(folder, name)}
            rows += [
                own
                | {"split": "train", "task": "", "class": ""}
                | {"metric": metric, "value": float(value)}
                for metric, value in numbers.items()
            ]
            for task, metric, result in probes(
                lab, lambda encoder=encoder: encoder, folder, seed, recipes=[CONVERGED]
            ):
                of = own | {"split": "test", "task": task}
                rows += [row | {"metric": metric} for row in aurocs(of, result)]
    return pd.DataFrame(rows)


def run_config(lab: Lab, name: str, seed: int) -> BaselineConfig:
    """The configuration of one baseline under a profile and what is laid over it."""
    plan = plan_of(lab.profile, lab.overrides)
    settings = registry.settings(name, plan.settings.get(name))
    model = merge(lab.profile.model, lab.overrides.get("model", {}))
    encoder = {**model.get("encoder", {}), "cam": "none"}
    return BaselineConfig(
        name,
        settings,
        from_dict(InputConfig, model.get("input"), "model.input"),
        from_dict(EncoderConfig, encoder, "model.encoder"),
        plan.pretrain(settings, seed),
    )


def trained(lab: Lab, name: str, seed: int) -> tuple[Path, Probed]:
    """Train a row, or load it.

    Returns:
        The run's folder, and its encoder: signals (B, 12, T) to features (B, D).
    """
    entry = registry.entry(name)
    if entry.variant:
        run = lab.run(entry.variant, seed)
        network = run.model.encoder  # of which a probe sees the map, not the head
        seen = nn.ModuleList([network.stem, network.stages])
        return run.folder, Probed(Backbone(run.model), seen)
    note = {"tier": lab.tier, "title": lab.profile.title}
    config = run_config(lab, name, seed)
    folder = train(config, lab.store("pretrain"), lab.runs, note=note)
    model = registry.load(folder)
    return folder, Probed(model.features, model.encoder)


class Probed(nn.Module):
    """What is probed of a row, as one module that can be frozen and lent a device.

    Args:
        encode: signals (B, 12, T), as a store has them, to features (B, D).
        encoder: what has the weights that it uses.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], encoder: nn.Module) -> None:
        super().__init__()
        self.encode, self.encoder = encode, encoder

    def forward(self, x: Tensor) -> Tensor:
        """Encode (B, 12, T) to (B, D)."""
        return self.encode(x)


def training(folder: Path, name: str) -> dict[str, float]:
    """Numbers of what a row's training did; none of a profile's variant."""
    if registry.entry(name).variant or not registry.method(name).learns:
        return {}
    metrics = read_metrics(folder)
    try:
        history = pd.read_csv(folder / "history.csv")[["loss", "spread"]].astype(float)
        found = {name: float(metrics[name]) for name in ("seconds", "steps")}
        whole = len(history.dropna())
        if not len(history) == whole == found["steps"]:
            raise ValueError(f"{whole} of {found['steps']:.0f} steps")
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise RunError(
            f"metrics.json and history.csv of {folder} are not those of a whole run "
            f"({error}); delete the folder and start the same command again."
        ) from error
    ends = np.ceil(np.linspace(0, len(history), CURVE + 1)).astype(int)
    for point, (start, end) in enumerate(pairwise(ends), 1):
        part = history.iloc[min(start, end - 1) : end]  # never empty
        for column in ("loss", "spread"):
            found[f"{column}_{round(100 * point / CURVE)}"] = part[column].mean()
    return found


def missing(lab: Lab, names: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Say which runs are not there yet, and about how long they take here.

    A step of each method is timed on this device, with signals of noise; nothing is
    written. Probing comes on top, seconds to minutes per row.

    Returns:
        Lines to print.
    """
    lines, total = [], 0.0
    fingerprint = _fingerprint(lab)
    for name in names:
        entry = registry.entry(name)
        if entry.variant:
            lines.append(f"{name}: the profile's runs of {entry.variant}")
            continue
        absent = [seed for seed in seeds if not _there(lab, name, seed, fingerprint)]
        if not absent:
            lines.append(f"{name}: all there")
            continue
        said = f"{name}: seeds {', '.join(map(str, absent))} are missing"
        if registry.method(name).learns and fingerprint:
            config = run_config(lab, name, absent[0])
            store = lab.store("pretrain")
            records = check_batch(config, store)
            steps = records // config.global_batch * config.pretrain.epochs
            seconds = steps * seconds_per_step(config)
            total += seconds * len(absent)
            said += f", about {seconds / 60:.1f} minutes each"
        lines.append(said)
    if not fingerprint:
        return [*lines, "The store is not packed yet, so no time can be told."]
    return [*lines, f"Training what is missing: about {total / 60:.0f} minutes here."]


def seconds_per_step(config: BaselineConfig) -> float:
    """Time one step of a method on this device, on noise; a CPU has a small batch."""
    device = pick_device()
    size = config.pretrain.batch_size
    timed = size if device.type == "cuda" else min(size, 16)
    learner = BaselineLearner(config, device, total=2)
    signals = torch.randn(timed, 12, config.input.length, device=device)
    subjects = torch.arange(timed, device=device)
    for step in range(2):  # the first warms up
        start = time.perf_counter()
        learner.step(step, config.pretrain.lr, signals, subjects).tolist()  # waits
    return (time.perf_counter() - start) * size / timed


def _fingerprint(lab: Lab) -> str:
    """The fingerprint of the store that baselines learn from; "" where not packed."""
    out = Path(lab.profile.recipe("pretrain").out)
    return lab.store("pretrain").meta["fingerprint"] if out.is_dir() else ""


def _there(lab: Lab, name: str, seed: int, fingerprint: str) -> bool:
    """Whether a run is finished."""
    return RunFolder(_place(lab, name, seed, fingerprint)).finished


def _place(lab: Lab, name: str, seed: int, fingerprint: str) -> Path:
    """The folder of a run of a method."""
    config = replace(run_config(lab, name, seed), store=fingerprint)
    return lab.runs / config.folder


def trained_with(lab: Lab, names: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Name what the rows' finished runs were trained with.

    Returns:
        Such as "cuda (NVIDIA H100), bf16", sorted.
    """
    fingerprint, found = _fingerprint(lab), set()
    for name, seed in product(names, seeds):
        entry = registry.entry(name)
        folder = (
            lab.run(entry.variant, seed).folder
            if entry.variant
            else _place(lab, name, seed, fingerprint)
        )
        if facts := read_metrics(folder).get("facts"):  # what takes no step has none
            found.add(f"{facts['device']}, {facts['precision']}")
    return sorted(found)
