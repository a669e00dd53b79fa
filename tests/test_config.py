"""Configurations read and write YAML, refuse what they do not know, and name runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    ModelConfig,
    RunConfig,
    dump_yaml,
    from_dict,
    load_yaml,
    merge,
    stable_hash,
    to_dict,
)
from mccgaa.errors import ConfigError


def test_yaml_round_trip_gives_the_same_configuration(tmp_path):
    config = RunConfig(model=ModelConfig(encoder=EncoderConfig(depth=50)))
    dump_yaml(to_dict(config), tmp_path / "c.yaml")
    assert from_dict(RunConfig, load_yaml(tmp_path / "c.yaml")) == config


def test_unknown_setting_is_refused_with_its_path_and_the_known_ones():
    with pytest.raises(ConfigError, match=r"model\.encoder has no setting 'dpeth'"):
        from_dict(ModelConfig, {"encoder": {"dpeth": 18}}, "model")


def test_value_outside_the_choices_names_them():
    with pytest.raises(ConfigError, match="expected one of pair, bipartite, none"):
        from_dict(GafaConfig, {"graph": "ring"})


def test_number_that_yaml_reads_as_text_is_explained():
    with pytest.raises(ConfigError, match=r"write 1\.0e-4"):
        from_dict(RunConfig, {"pretrain": {"lr": "1e-4"}})


@pytest.mark.parametrize(
    "value", [{"epochs": True}, {"epochs": 1.5}, {"betas": [0.9]}, {"lr": None}]
)
def test_wrong_types_are_refused(value):
    with pytest.raises(ConfigError):
        from_dict(RunConfig, {"pretrain": value})


def test_embedding_widths_must_agree():
    with pytest.raises(ConfigError, match="both are the paper's M"):
        ModelConfig(encoder=EncoderConfig(embedding_dim=128))


def test_merge_lays_nested_settings_over_and_changes_neither():
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(base, {"a": {"b": 9}}) == {"a": {"b": 9, "c": 2}, "d": 3}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_hash_depends_on_content_and_not_on_the_process():
    code = "from mccgaa.config import *; print(stable_hash(RunConfig()))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert stable_hash(RunConfig()) == other
    assert stable_hash(RunConfig(name="b")) != other


def test_unreadable_yaml_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_yaml(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        load_yaml(tmp_path / "list.yaml")
