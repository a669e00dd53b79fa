"""How long a profile trains each baseline, and what names that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mccgaa.errors import ConfigError
from mccgaa.profile import Profile
from mccgaa.settings import decisive, merge, stable_hash
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
    if profile.baselines is None:
        raise ConfigError(
            f"{profile.path} does not say how long baselines are trained; give it "
            "`baselines`, such as {epochs: 100, batch_size: 128, seeds: [0]}."
        )
    plan = Plan.of(merge(profile.baselines, (overrides or {}).get("baselines", {})))
    for name, given in plan.settings.items():
        registry.settings(name, given)  # refuses what it does not know
    return plan


def plan_hash(profile: Profile) -> str:
    """Name what decides the baselines' numbers beside the profile's own hash."""
    plan = plan_of(profile)
    made = {
        name: decisive(registry.settings(name, plan.settings.get(name)))
        for name in registry.trained_here()
    }
    how = [plan.epochs, plan.batch_size, plan.precision]
    return stable_hash([BASELINES, how, made])
