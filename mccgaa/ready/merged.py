"""One model from runs that began alike: the mean of their weights, and of the start's.

A model that goes on to few records of one hospital forgets what it knew of others.
Part of the way back to the weights that it began with, it can know both (Wortsman et
al., Robust fine-tuning of zero-shot models, CVPR 2022); and several such runs have a
mean of their own (Wortsman et al., Model soups, ICML 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mccgaa.config import RunConfig
from mccgaa.errors import ConfigError, RunError
from mccgaa.model import MCCGAA
from mccgaa.plus.average import mean_of
from mccgaa.run_folder import read_metrics
from mccgaa.settings import from_dict, load_yaml
from mccgaa.start import Start


@dataclass(frozen=True)
class Merged:
    """A model, and what it says of itself.

    Attributes:
        model: in evaluation mode.
        metrics: as a run's metrics.json, of the first run; empty where that says
            nothing. Where there is more in it than one run's weights, `merged` names
            the runs and the start's share, and there is no `hash`.
    """

    model: MCCGAA
    metrics: dict[str, Any]


def merge(runs: Sequence[Path | str], start_share: float = 0.0) -> Merged:
    """Average the weights of runs, and of the model that they started from.

    Args:
        runs: folders of finished runs; several must have started from the same weights
            and differ in nothing but their seed.
        start_share: s in [0, 1): the start's part; the runs share the rest equally.
            What the start lacks, such as weights of another loss, is the runs' alone.

    Raises:
        ConfigError: no run, or a share outside its range.
        RunError: runs that are not alike, or a start that is no longer there.
    """
    if not runs or not 0 <= start_share < 1:
        raise ConfigError(
            f"{len(runs)} runs with a start share of {start_share:g}: expected at "
            "least one run, and a share from 0 to below 1."
        )
    model = MCCGAA.from_pretrained(runs[0])
    said = [read_metrics(run) for run in runs]
    if len(runs) == 1 and not start_share:
        return Merged(model, said[0])
    _check_alike(runs, said)
    ends = [MCCGAA.from_pretrained(run).state_dict() for run in runs]
    model.load_state_dict(mean_of(ends, [1 / len(runs)] * len(runs)))
    if start_share:
        begun = copy.deepcopy(model)
        start_of(runs[0]).give(begun)
        both = [model.state_dict(), begun.state_dict()]
        model.load_state_dict(mean_of(both, [1 - start_share, start_share]))
    of = {"runs": [one.get("hash") for one in said], "start_share": start_share}
    return Merged(model, {**said[0], "hash": None, "merged": of})


def _check_alike(runs: Sequence[Path | str], said: Sequence[dict[str, Any]]) -> None:
    """Refuse runs without a start, one run twice, and runs of different settings."""
    for run, one in zip(runs, said, strict=True):
        if not (one.get("start") or {}).get("weights"):
            raise RunError(
                f"{run} did not start from the weights of another model, so there is "
                "nothing to average its own with: start it from one (pretrain.start)."
            )
        if not (Path(run) / "config.yaml").is_file():
            raise RunError(
                f"{run} is a model and no run: it has no config.yaml. Give the folders "
                "of runs, as `mccgaa pretrain` names them in its last line."
            )
    files = [load_yaml(Path(run) / "config.yaml") for run in runs]
    configs = [from_dict(RunConfig, file) for file in files]
    seeds = [config.pretrain.seed for config in configs]
    first, *others = (_settings(config) for config in configs)
    for run, other in zip(runs[1:], others, strict=True):
        differ = [key for key in first | other if first.get(key) != other.get(key)]
        if differ:
            raise RunError(
                f"{run} is no run like {runs[0]}: they differ in {', '.join(differ)}; "
                "the mean of both would be neither. Give runs that differ in their "
                "seed alone."
            )
    if len(set(seeds)) < len(seeds):
        raise RunError(
            f"Of {', '.join(map(str, runs))}, two have the same seed: they are one "
            "run, which would count twice. Give each once."
        )


def _settings(config: RunConfig) -> dict[str, Any]:
    """All that decides a run, the weights that it started from included, but its seed.

    Returns:
        Names as `--set` takes them, such as "model.encoder.cam" -> "channel".
    """
    found = {}
    for part, value in config.identity.items():
        inner = value if isinstance(value, dict) else {"": value}
        found |= {f"{part}.{key}".rstrip("."): one for key, one in inner.items()}
    found.pop("pretrain.seed", None)
    return found


def start_of(run: Path | str) -> Start:
    """The model that a run started from.

    Args:
        run: folder of a finished run that did.

    Raises:
        RunError: it is no longer where it was.
    """
    place = load_yaml(Path(run) / "config.yaml")["pretrain"]["start"]
    start, weights = Start(place), read_metrics(run)["start"]["weights"]
    if start.fingerprint != weights:
        raise RunError(
            f"{place} holds other weights ({start.fingerprint}) than those that {run} "
            f"started from ({weights}); put these back."
        )
    return start
