"""The table of baselines, and the loop that trains them all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mccgaa.errors import ConfigError
from mccgaa.profile import Profile
from mccgaa_book import paper
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.config import Plan, Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [2, 3])
def test_each_row_of_the_papers_table_has_an_entry(number):
    labels = [entry.label for entry in registry.ENTRIES.values()]
    assert len(set(labels)) == len(labels)
    assert set(paper.table(number).index) <= set(labels)


def test_the_papers_table_2_says_which_rows_read_text():
    table = paper.printed(2)
    for entry in registry.ENTRIES.values():
        assert entry.text == (table.loc[entry.label, "Zero-Shot"] == "Y")
        assert bool(entry.trains) != bool(entry.variant)


@pytest.mark.parametrize("name", [n for n in registry.trained_here() if n != "random"])
def test_each_row_that_is_trained_has_a_short_module_of_its_own(name):
    """Its paper, what is kept and changed, its loss, views and heads; no more."""
    module, cls = registry.ENTRIES[name].trains.split(":")
    path = ROOT / "mccgaa_book" / "baselines" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert registry.method(name).__module__ == f"mccgaa_book.baselines.{module}"
    assert registry.method(name).__name__ == cls
    assert registry.method(name).Settings.row == name
    assert 40 <= len(text.splitlines()) <= 200
    told = sys.modules[registry.method(name).__module__].__doc__
    for word in (".. math::", "Kept:", "Changed", "yper-parameters"):
        assert word in told, f"{path} does not say: {word}"


def test_a_row_that_is_not_there_or_not_trained_here_is_refused():
    with pytest.raises(ConfigError, match="no baseline 'dino'; there are random"):
        registry.entry("dino")
    with pytest.raises(ConfigError, match="'merl' is the variant 'merl'"):
        registry.method("merl")


def test_a_plan_gives_a_methods_settings_to_the_loop():
    plan = Plan.of({"epochs": 3, "batch_size": 4, "precision": "fp32", "seeds": [5]})
    loop = plan.pretrain(Settings(lr=0.5, weight_decay=0.25), 5)
    assert (loop.epochs, loop.batch_size, loop.precision) == (3, 4, "fp32")
    assert (loop.lr, loop.weight_decay, loop.seed) == (0.5, 0.25, 5)
    assert loop.augment == 0
    with pytest.raises(ConfigError, match="baselines has no setting 'epoch'"):
        Plan.of({"epoch": 3})
    with pytest.raises(ConfigError, match="batch_size is 1; expected 2"):
        Plan.of({"batch_size": 1})
    for seeds in ([], [0, 0], [-1]):
        with pytest.raises(
            ConfigError, match=r"baselines\.seeds is .* each once and 0"
        ):
            Plan.of({"seeds": seeds})
    with pytest.raises(ConfigError, match=r"baselines\.precision is 'fp16'; expected"):
        Plan.of({"precision": "fp16"})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.stem
)
def test_each_profile_with_baselines_says_how_they_are_trained(path):
    profile = Profile.load(path)
    if profile.baselines is not None:
        plan = Plan.of(profile.baselines)
        assert set(plan.seeds) <= set(profile.seeds), "MERL has the profile's seeds"


def test_the_plan_is_no_part_of_the_profiles_hash(tmp_path):
    text = (ROOT / "params" / "smoke.yaml").read_text(encoding="utf-8")
    other = tmp_path / "smoke.yaml"
    was, now = "baselines:\n  epochs: 2", "baselines:\n  epochs: 3"
    other.write_text(text.replace(was, now), encoding="utf-8")
    before, after = Profile.load(ROOT / "params" / "smoke.yaml"), Profile.load(other)
    assert before.baselines != after.baselines and before.hash == after.hash
