"""How long a profile trains each baseline, and what names that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mccgaa.errors import ConfigError
from mccgaa.profile import Profile
from mccgaa.settings import as_mapping, decisive, merge, stable_hash
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.config import BASELINES, Plan


def plan_of(profile: Profile, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Read a profile's key `baselines`.

    Args:
        profile: to read.
        overrides: nested settings laid over the profile, of which "baselines" counts.

    Raises:
        ConfigError: it has none, or an unknown setting.
    """
    over = as_mapping((overrides or {}).get("baselines", {}), "baselines")
    if profile.baselines is None:
        raise ConfigError(
            f"{profile.path} does not say how long baselines are trained; give it "
            "`baselines`, such as {epochs: 100, batch_size: 128, seeds: [0]}."
        )
    plan = Plan.of(merge(profile.baselines, over))
    for name, given in plan.settings.items():
        registry.settings(name, given)  # refuses what it does not know
    return plan


def plan_hashes(
    profile: Profile, overrides: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Name what decides each row's numbers beside the profile's own hash.

    Each row has a name of its own: a method that is added, or a setting that moves,
    leaves the results of the other rows as they are.
    """
    plan = plan_of(profile, overrides)
    how = [BASELINES, plan.epochs, plan.batch_size, plan.precision]
    return {
        name: stable_hash(
            [*how, decisive(registry.settings(name, plan.settings.get(name)))]
        )
        for name in registry.trained_here()
    }
