"""One model from runs that began alike: the mean of their weights, and of the start's.

A model that goes on to few records of one hospital forgets what it knew of others.
Part of the way back to the weights that it began with, it can know both (Wortsman et
al., Robust fine-tuning of zero-shot models, CVPR 2022); and several such runs have a
mean of their own (Wortsman et al., Model soups, ICML 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mccgaa.errors import ConfigError, RunError
from mccgaa.model import MCCGAA
from mccgaa.plus.average import mean_of
from mccgaa.run_folder import read_metrics
from mccgaa.settings import load_yaml
from mccgaa.start import Start


@dataclass(frozen=True)
class Merged:
    """A model, and what it says of itself.

    Attributes:
        model: in evaluation mode.
        metrics: as a run's metrics.json, of the first run; empty where that says
            nothing. `merged` names the runs and the start's share, if there is more
            than one run's weights in it.
    """

    model: MCCGAA
    metrics: dict[str, Any]


def merge(runs: Sequence[Path | str], start_share: float = 0.0) -> Merged:
    """Average the weights of runs, and of the model that they started from.

    Args:
        runs: folders of finished runs; several must have started from the same weights
            and learned from the same records.
        start_share: s in [0, 1): the start's part; the runs share the rest equally.

    Raises:
        ConfigError: no run, or a share outside its range.
        RunError: runs that did not start alike, or the start is no longer there.
    """
    if not runs or not 0 <= start_share < 1:
        raise ConfigError(
            f"{len(runs)} runs with a start share of {start_share:g}: expected at "
            "least one run, and a share from 0 to below 1."
        )
    models = [MCCGAA.from_pretrained(run) for run in runs]
    said = [read_metrics(run) for run in runs]
    model = models[0]
    if len(runs) == 1 and not start_share:
        return Merged(model, said[0])
    _check_alike(runs, models, said)
    weights = [one.state_dict() for one in models]
    shares = [(1 - start_share) / len(runs)] * len(runs)
    if start_share:
        begun = MCCGAA.from_pretrained(runs[0])  # what a start lacks is the run's own
        start_of(runs[0]).give(begun)
        weights, shares = [*weights, begun.state_dict()], [*shares, start_share]
    model.load_state_dict(mean_of(weights, shares))
    of = {"runs": [one.get("hash") for one in said], "start_share": start_share}
    return Merged(model, {**said[0], "merged": of})


def _check_alike(
    runs: Sequence[Path | str],
    models: Sequence[MCCGAA],
    said: Sequence[dict[str, Any]],
) -> None:
    """Refuse runs that are not of one start, model and set of records."""
    origins = [(one.get("start") or {}).get("weights") for one in said]
    if origins[0] is None:
        raise RunError(
            f"{runs[0]} did not start from the weights of another model, so there is "
            "nothing to average its own with: start it from one with pretrain.start."
        )
    for run, model, one, origin in zip(runs, models, said, origins, strict=True):
        for what, mine, first in (
            ("started from other weights", origin, origins[0]),
            ("is another model", model.config, models[0].config),
            ("learned from other records", one.get("store"), said[0].get("store")),
        ):
            if mine != first:
                raise RunError(
                    f"{run} {what} than {runs[0]}: the mean of both would be neither; "
                    "give runs that differ in their seed alone."
                )


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
