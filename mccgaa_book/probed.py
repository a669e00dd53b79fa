"""Rows of Table 3: linear probes of encoders that a lab has."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import Tensor

from mccgaa.errors import RunError
from mccgaa.files import write_json
from mccgaa.metrics import TaskResult
from mccgaa.model import MCCGAA
from mccgaa.probe import SHARES, Backbone, features
from mccgaa.probing import CONVERGED, MERL, probe_tasks
from mccgaa.runtime import seed_step
from mccgaa.settings import stable_hash
from mccgaa_book.scored import aurocs

if TYPE_CHECKING:  # a lab runs experiments, which import this module
    from mccgaa_book.lab import Lab

PROBE = 1  # version of the probes; who changes what one computes raises it
RANDOM = "random"  # the first variant's network, untrained
RECIPES: dict[str, dict[str, Any]] = {  # name in a metric -> options of `probe_tasks`
    CONVERGED: {"recipe": CONVERGED},
    MERL: {"recipe": MERL},
    "merl-per-epoch": {"recipe": MERL, "per_iteration": False},
}


def table3(lab: Lab, variants: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC x 100 of linear probes at three shares of the training split (Table 3).

    Beside the variants the first one's network is probed untrained, as RANDOM.

    Returns:
        Macro rows of the test split. The metric is `auroc_<share>` for the probe that
        converges, whose rows have the interval over records, and
        `auroc_<share>_<recipe>-<epoch>` for the ancestor's, such as
        `auroc_1_merl-best-test`; `merl-per-epoch` calls its schedule as was meant.
    """
    rows: list[dict[str, Any]] = []
    for name in [*variants, RANDOM]:
        for seed in seeds:
            of, encoder, folder = _encoder(lab, name, seed)
            of |= {"seed": str(seed), "split": "test"}
            for task, metric, result in probes(lab, encoder, folder, seed):
                where = {"task": task, "tested_on": lab.data_kind(lab.tasks[task])}
                rows.append(aurocs(of | where, result)[0] | {"metric": metric})
    return pd.DataFrame(rows)


def _encoder(
    lab: Lab, name: str, seed: int
) -> tuple[dict[str, str], Callable[[], Backbone], Path]:
    """What a row is of, how its encoder is had, and the folder of its probes."""
    if name != RANDOM:
        home, variant = lab.at(name)
        run = home.run(variant, seed)
        of = {"variant": variant, "trained_on": home.trained_on(variant, seed)}
        return of, lambda: Backbone(run.model), run.folder
    config = lab.config(seed=seed).model

    def untrained() -> Backbone:
        seed_step(seed)
        return Backbone(MCCGAA(config))

    key = stable_hash([lab.config(seed=seed).identity, seed])
    of = {"variant": RANDOM, "trained_on": "nothing"}
    return of, untrained, lab.runs / f"{RANDOM}-{key}"


def probes(
    lab: Lab,
    encoder: Callable[[], Callable[[Tensor], Tensor]],
    folder: Path,
    seed: int,
    *,
    recipes: Sequence[str] = tuple(RECIPES),
    shares: Sequence[int] = SHARES,
    bootstrap: int = 1000,
) -> list[tuple[str, str, TaskResult]]:
    """Probe an encoder on every task of a lab; what was probed before is read.

    Args:
        lab: whose stores are probed.
        encoder: makes what `probe.features` takes; called only where it is needed.
        folder: where the results are kept, in `probe/`.
        seed: of the shares.
        recipes: of RECIPES.
        shares: per cent of the training split.
        bootstrap: resamples behind the intervals of the converged probe.

    Returns:
        Task, metric and result of each probe.
    """
    found = []
    for store_name in dict.fromkeys(lab.tasks.values()):
        store = lab.store(store_name)
        tasks = {
            task: lab.profile.tested_on(task)[1]
            for task, where in lab.tasks.items()
            if where == store_name
        }
        x = None  # features of the store, once any probe is missing
        for (task, there), recipe in [
            (pair, recipe) for pair in tasks.items() for recipe in recipes
        ]:
            decides = [PROBE, store.meta["fingerprint"], seed, recipe, list(shares)]
            key = stable_hash([*decides, bootstrap])
            path = folder / "probe" / f"{there}-{recipe}-{key}.json"
            if not path.is_file():
                x = features(encoder(), store) if x is None else x
                options = {"shares": shares, "seed": seed, **RECIPES[recipe]}
                drawn = bootstrap if recipe == CONVERGED else 0
                probed = probe_tasks(x, store, [there], bootstrap=drawn, **options)
                kept = [row.to_dict() for row in probed]
                write_json(path, [_named(row, recipe) for row in kept])
            found += [(task, metric, result) for metric, result in _kept(path)]
    return found


def _kept(path: Path) -> list[tuple[str, TaskResult]]:
    """Read metric and result of the probes that a file keeps.

    Raises:
        RunError: the file is damaged.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [(row["metric"], TaskResult.from_dict(row["result"])) for row in rows]
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path} holds no probes that can be read ({type(error).__name__}: "
            f"{error}); delete the file and start the same command again."
        ) from error


def _named(row: dict[str, Any], recipe: str) -> dict[str, Any]:
    """Part a probe's result from what it is of, and name its metric."""
    share, made = row.pop("share"), row.pop("recipe")
    said = {
        name: row.pop(name) for name in ("task", "l2", "val_macro_auroc") if name in row
    }
    if made == CONVERGED:
        metric = f"auroc_{share}"
    else:
        metric = f"auroc_{share}_{recipe}{made.removeprefix(MERL)}"
    return said | {"metric": metric, "result": row}
