"""Configurations read and write YAML, refuse what they do not know, and name runs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from dataclasses import dataclass, field, fields, replace
from typing import get_args

import pytest
import yaml

from mccgaa import choices
from mccgaa.commands.words import from_pairs
from mccgaa.config import (
    METHOD,
    SILENT,
    EncoderConfig,
    GafaConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    PretrainConfig,
    RunConfig,
)
from mccgaa.errors import ConfigError
from mccgaa.profile import StoreRecipe
from mccgaa.settings import (
    decisive,
    dump_yaml,
    from_dict,
    later,
    load_yaml,
    merge,
    stable_hash,
    to_dict,
)


def test_yaml_round_trip_gives_the_same_configuration(tmp_path):
    config = RunConfig(model=ModelConfig(encoder=EncoderConfig(depth=50)))
    dump_yaml(to_dict(config), tmp_path / "c.yaml")
    assert from_dict(RunConfig, load_yaml(tmp_path / "c.yaml")) == config


def test_the_default_schedule_is_that_of_section_4_1():
    settings = PretrainConfig()
    assert (settings.epochs, settings.lr, settings.min_lr) == (20, 1e-3, 1e-8)


def test_a_zscored_input_is_standardised_and_no_hash_knows_of_it():
    assert InputConfig(transform="bandpass-zscore").standardised
    assert not InputConfig(transform="raw").standardised
    assert "standardised" not in to_dict(InputConfig())


def test_unknown_setting_is_refused_with_its_path_and_the_known_ones():
    with pytest.raises(ConfigError, match=r"encoder has no setting 'dpeth'.*'depth'\?"):
        from_dict(ModelConfig, {"encoder": {"dpeth": 18}}, "model")


def test_value_outside_the_choices_names_them():
    with pytest.raises(ConfigError, match=r"one of pair, bipartite, none\.$"):
        from_dict(GafaConfig, {"graph": "ring"})
    with pytest.raises(ConfigError, match=r"none\. Did you mean 'bipartite'\?"):
        from_dict(GafaConfig, {"graph": "bipartit"})


@pytest.mark.parametrize("text", ["1e-4", "1.0E-4", "10.e-5", "+1e-04"])
def test_a_number_that_yaml_reads_as_text_is_a_number(text):
    config = from_dict(RunConfig, {"pretrain": {"lr": text}})
    assert config.pretrain.lr == 1e-4 and isinstance(config.pretrain.lr, float)
    assert config == from_dict(RunConfig, {"pretrain": {"lr": 1e-4}})


@pytest.mark.parametrize("word", ["auto", "on", "off"])
def test_on_and_off_are_words_although_yaml_reads_them_as_true_and_false(word):
    settings = from_pairs([f"pretrain.compile={word}"])
    assert from_dict(RunConfig, settings).pretrain.compile == word
    with pytest.raises(ConfigError, match=f"text is {yaml.safe_load(word)!r}; expec"):
        from_dict(RunConfig, from_pairs([f"pretrain.text={word}"]))


@pytest.mark.parametrize("text", ["1e", "e-4", "1e-4 s", "nan", "fast"])
def test_a_text_that_is_no_number_is_refused(text):
    with pytest.raises(ConfigError, match=r"pretrain\.lr is "):
        from_dict(RunConfig, {"pretrain": {"lr": text}})


@pytest.mark.parametrize(
    "value", [{"epochs": True}, {"epochs": 1.5}, {"betas": [0.9]}, {"lr": None}]
)
def test_wrong_types_are_refused(value):
    with pytest.raises(ConfigError):
        from_dict(RunConfig, {"pretrain": value})


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
    (tmp_path / "bad.yaml").write_text("a: 1\nb: c: d\n")
    with pytest.raises(ConfigError) as caught:
        load_yaml(tmp_path / "bad.yaml")
    why = "line 2: mapping values are not allowed here"
    assert str(caught.value) == f"{tmp_path}/bad.yaml is not valid YAML ({why})."
    (tmp_path / "odd.yaml").write_text("a: \x01")
    with pytest.raises(ConfigError, match=r"odd\.yaml is not .* #x0001: special"):
        load_yaml(tmp_path / "odd.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: na\xefve")
    with pytest.raises(ConfigError, match=r"latin\.yaml is not .* #x00ef: invalid"):
        load_yaml(tmp_path / "latin.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        load_yaml(tmp_path / "list.yaml")


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("epochs", 0, "1 or more"),
        ("batch_size", 0, "1 or more"),
        ("batch_size", -8, "1 or more"),
        ("checkpoint_every", 0, "1 or more"),
        ("checkpoint_minutes", -1.0, "0 or more"),
        ("workers", -1, "0 or more"),
        ("chunk", -1, "0 or more"),
        ("seed", -1, "0 or more"),
        ("lr", -1.0, "0 or more"),
        ("lr", float("nan"), "0 or more"),
        ("min_lr", 1.0, "0 to 0.001"),
        ("weight_decay", -0.1, "0 or more"),
        ("augment", 1.5, "0 to 1"),
        ("betas", [0.9, 1.0], "0 to 0.999999"),
        ("snapshots", [0], "1 or more"),
    ],
)
def test_a_value_outside_its_range_is_refused_with_the_range(setting, value, expected):
    with pytest.raises(ConfigError, match=rf"pretrain\.{setting} is .*; .*{expected}"):
        from_dict(RunConfig, {"pretrain": {setting: value}})


def test_a_setting_without_default_must_be_given():
    with pytest.raises(ConfigError, match="store lacks dataset, root; give a value"):
        from_dict(StoreRecipe, {"out": "a"}, "store")


def identified(**changes: object) -> RunConfig:
    data = RunConfig(store="s", texts="t", text_encoder="e")
    return replace(data, **changes)


@pytest.mark.parametrize(
    "other",
    [
        identified(store="other"),
        identified(texts="other"),
        identified(text_encoder="other"),
        identified(processes=2),
        identified(model=ModelConfig(loss=LossConfig(kind="clip"))),
        *(
            identified(pretrain=PretrainConfig(**{name: value}))
            for name, value in {
                "epochs": 3,
                "batch_size": 64,
                "lr": 1e-4,
                "min_lr": 0.0,
                "weight_decay": 0.1,
                "betas": (0.8, 0.9),
                "precision": "fp32",
                "text": "knowledge",
                "selection": "best-retrieval",
                "augment": 0.5,
                "augmentations": ("standard",),
                "seed": 1,
            }.items()
        ),
    ],
)
def test_what_decides_a_runs_numbers_names_it(other):
    assert other.folder != identified().folder


def test_what_decides_nothing_does_not_name_a_run():
    silent = PretrainConfig(
        workers=4,
        checkpoint_every=7,
        checkpoint_minutes=1.0,
        snapshots=(1,),
        store_on="host",
        compile="off",
        start="a place",
    )
    assert identified(pretrain=silent).folder == identified().folder


def test_a_run_is_named_by_the_weights_that_it_starts_from():
    names = {identified(start=start).folder for start in ("", "one", "two")}
    assert len(names) == 3
    assert "start" not in identified().identity, "older runs keep their names"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"min_count": 0}, r"pretrain\.min_count is 0; expected 1 or more"),
        ({"ema": 1.0}, r"pretrain\.ema is 1\.0; expected 0 to 0\.999999"),
        ({"unseen": ("",)}, r"pretrain\.unseen is ''; expected the name of a class"),
    ],
)
def test_impossible_settings_of_pretraining_are_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        PretrainConfig(**settings)


def test_statements_are_no_pairs_and_have_weights_of_their_own():
    statements = LossConfig(kind="statements", balance=0.5)
    for graph in ("none", "bipartite"):
        ModelConfig(gafa=GafaConfig(graph=graph), loss=statements)
    with pytest.raises(ConfigError, match=r"gafa\.graph is 'pair'; expected none or"):
        ModelConfig(loss=statements)
    with pytest.raises(ConfigError, match=r"loss\.balance is 0\.5; expected 0 unless"):
        LossConfig(balance=0.5)
    with pytest.raises(ConfigError, match=r"loss\.balance is -1\.0; expected 0 or"):
        LossConfig(kind="statements", balance=-1.0)


def test_the_global_batch_names_a_run_however_many_processes_share_it():
    one = identified(pretrain=PretrainConfig(batch_size=128))
    two = identified(processes=2, pretrain=PretrainConfig(batch_size=64))
    assert one.global_batch == two.global_batch == 128
    assert one.folder == two.folder


def test_another_method_names_another_run(monkeypatch):
    before = identified().folder
    monkeypatch.setattr("mccgaa.config.METHOD", METHOD + 1)
    assert identified().folder != before


def test_every_setting_of_pretraining_is_in_the_identity_or_known_to_be_silent():
    named = set(identified().identity["pretrain"])
    settings = [f for f in fields(PretrainConfig) if not f.metadata.get("later")]
    assert {f.name for f in settings} - named == {"batch_size", *SILENT}


def test_a_run_reads_twelve_leads_and_the_module_any_number():
    three = ModelConfig(encoder=EncoderConfig(leads=3))
    with pytest.raises(ConfigError, match=r"model\.encoder\.leads is 3; expected 12"):
        RunConfig(model=three)


def test_dotted_names_of_settings_are_those_of_the_yaml():
    with pytest.raises(ConfigError, match=r"encoder\.widths"):
        from_dict(RunConfig, {"model": {"encoder": {"widths": [4, 4, 4]}}})
    with pytest.raises(ConfigError, match=r"model\.loss has no setting 'tua'"):
        from_dict(RunConfig, {"model": {"loss": {"tua": 1.0}}}, "")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sampling_rate": 0}, r"input\.sampling_rate is 0; expected 1 or more"),
        ({"duration": 0.0}, r"input\.duration is 0\.0; expected more than 0"),
        ({"duration": float("inf")}, r"input\.duration is inf"),
        ({"duration": 10_000.0}, "is 10000.0; expected .* an hour"),  # milliseconds
        ({"transform": "z"}, r"input\.transform is 'z'; expected one of raw"),
        ({"scaling": "max"}, r"input\.scaling is 'max'; expected one of none, minmax"),
    ],
)
def test_impossible_inputs_are_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        InputConfig(**settings)


@dataclass(frozen=True)
class _Inner:
    old: int = 1
    new: float = later(0.5)


@dataclass(frozen=True)
class _Outer:
    inner: _Inner = field(default_factory=_Inner)
    names: tuple[str, ...] = later(())


def test_later_settings_are_part_of_a_hash_only_when_they_change_something():
    assert decisive(_Outer()) == {"inner": {"old": 1}}
    changed = _Outer(_Inner(new=0.25), names=("a",))
    assert decisive(changed) == to_dict(changed)


def test_hash_of_the_default_run_is_that_of_earlier_versions():
    assert RunConfig().hash == "6e32003da1"


def test_choices_that_have_a_name_are_not_written_out_again():
    named = {get_args(hint) for hint in vars(choices).values() if get_args(hint)}
    tree = ast.parse(inspect.getsource(sys.modules[RunConfig.__module__]))
    written = [
        ast.literal_eval(node.slice)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal"
    ]
    assert written and not named & set(written)
