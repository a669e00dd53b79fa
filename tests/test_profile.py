"""Profiles: what they hold, what they refuse, and that paper.yaml is the paper's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mccgaa.cli import build_parser
from mccgaa.config import ModelConfig, PretrainConfig, RunConfig
from mccgaa.data.datasets import open_store
from mccgaa.errors import ConfigError, StoreError
from mccgaa.profile import Profile

PARAMS = Path(__file__).resolve().parents[1] / "params"
PROFILES = sorted(PARAMS.glob("*.yaml"))
SMALL = """
tier: synthetic
model: {input: {sampling_rate: 100}}
pretrain: {epochs: 2}
variants:
  plain: {label: Plain}
  clip: {model: {loss: {kind: clip}}}
stores:
  pretrain: {dataset: mimic, root: data/mimic, out: stores/mimic, val_share: 0.1}
  csn: {dataset: csn, root: data/csn, out: stores/csn}
tasks: {csn: csn, csn-again: csn/csn}
"""


def profile(folder: Path, text: str = SMALL, old: str = "", new: str = "") -> Profile:
    assert old in text
    (folder / "small.yaml").write_text(text.replace(old, new) if old else text)
    return Profile.load(folder / "small.yaml")


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_profile_gives_valid_runs_for_all_its_variants(path):
    found = Profile.load(path)
    names = {
        found.run_config(variant, seed).folder
        for variant in found.variants
        for seed in found.seeds
    }
    assert len(names) == len(found.variants) * len(found.seeds)
    assert set(found.reproduce.variants) <= set(found.variants)
    assert set(found.reproduce.seeds) <= set(found.seeds)
    for task in found.tasks:
        assert found.tested_on(task)[0] in found.stores


def test_a_profile_is_read_into_its_parts(tmp_path):
    found = profile(tmp_path)
    assert found.name == "small" and found.tier == "synthetic" and found.seeds == (0,)
    assert found.variants["plain"].label == "Plain"
    assert found.variants["clip"].label == "clip"
    recipe = found.recipe("pretrain")
    assert (recipe.dataset, recipe.root, recipe.out) == (
        "mimic",
        "data/mimic",
        "stores/mimic",
    )
    assert recipe.options == {"val_share": 0.1}
    assert found.input.sampling_rate == 100 and found.input.duration == 10.0
    assert found.tested_on("csn") == found.tested_on("csn-again") == ("csn", "csn")


def test_a_run_is_the_profile_then_the_variant_then_the_overrides(tmp_path):
    found = profile(tmp_path)
    assert found.run_config() == found.run_config("plain", 0)
    run = found.run_config("clip", 3, {"pretrain": {"epochs": 5}})
    assert (run.name, run.pretrain.seed, run.pretrain.epochs) == ("clip", 3, 5)
    assert run.model.loss.kind == "clip" and run.model.input.sampling_rate == 100
    assert replace(run.pretrain, seed=0, epochs=2) == found.run_config().pretrain
    again = found.run_config("clip", 0, {"model": {"loss": {"kind": "siglip"}}})
    assert again.model.loss.kind == "siglip"


def test_the_profiles_of_an_editable_install_are_found_from_anywhere(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert Profile.load("smoke").path == PARAMS / "smoke.yaml"


def test_variants_differ_in_what_they_say_and_nothing_else():
    found = Profile.load(PARAMS / "real.yaml")
    ours, merl = (found.run_config(name) for name in ("no-gat", "merl"))
    assert merl.model.encoder.cam == "none" and merl.model.gafa.graph == "none"
    assert merl.pretrain == ours.pretrain and merl.model.text == ours.model.text


def test_a_bare_name_is_looked_up_in_params(tmp_path, monkeypatch):
    (tmp_path / "params").mkdir()
    profile(tmp_path / "params")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mccgaa.profile.INSTALLED", ())
    assert Profile.load("small").path == Path("params/small.yaml")
    (tmp_path / "small").mkdir()
    assert Profile.load("small").path == Path("params/small.yaml")
    (tmp_path / "absent").mkdir()  # a folder is no profile
    for name, why in (("absent", "it is a folder"), ("params/absent", "no such file")):
        with pytest.raises(
            ConfigError, match=rf"{name} cannot be read: .*{why}, .* profiles are small"
        ):
            Profile.load(name)
    other = tmp_path / "other"  # whose files are no profiles
    other.mkdir()
    (other / "recipe.yaml").touch()
    for file in (other / "smal.yaml", "other/smal.yaml", "smal"):
        with pytest.raises(ConfigError, match=r"are small\. Did you mean 'small'\?$"):
            Profile.load(file)
    monkeypatch.setattr("mccgaa.profile.INSTALLED", (other,))
    with pytest.raises(ConfigError, match="profiles are recipe, small"):
        Profile.load("none")
    monkeypatch.setattr("mccgaa.profile.INSTALLED", ())
    (tmp_path / "params" / "small.yaml").unlink()
    with pytest.raises(ConfigError, match="change into a checkout"):
        Profile.load("smal")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tier: synthetic", "epochs: 3", "has no setting 'epochs'"),
        ("tier: synthetic", "title: a", "lacks tier"),
        ("tier: synthetic", "tier: mine", "one of synthetic, real, paper"),
        ("dataset: csn, ", "", "stores.csn lacks dataset"),
        ("dataset: csn,", "dataset: cns,", "'cns'; .*ptbxl, mimic, cpsc2018, csn,"),
        ("tier: synthetic", "tier: real\nseeds: 0", r"seeds is 0; .* a list, such as"),
        ("csn: csn,", "csn: other,", "no store 'other'"),
        ("plain: {label: Plain}", "plain: [1]", "must be a mapping"),
        ("pretrain: {epochs: 2}", "reproduce: {variants: [a]}", "no variant 'a'"),
        ("label: Plain", "start: real", "start is 'real'; expected PROFILE:VARIANT"),
    ],
)
def test_what_a_profile_may_not_say_is_refused(tmp_path, old, new, message):
    with pytest.raises(ConfigError, match=message):
        profile(tmp_path, SMALL, old, new)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"model": {"gafa": False}}, "model.gafa must be a mapping .* but is False"),
        ({"model": {"encoder": 0}}, "model.encoder must be a mapping"),
        ({"model": {"loss": None}}, "model.loss must be a mapping .* but is None"),
        ({"model": None}, "model must be a mapping"),
        ({"pretrain": 2}, "pretrain must be a mapping of settings, but is 2"),
    ],
)
def test_a_section_of_settings_is_never_replaced_by_a_word(tmp_path, over, message):
    """Such as --set model.gafa=off, which once meant all of its defaults."""
    found = profile(tmp_path, SMALL)
    with pytest.raises(ConfigError, match=message):
        found.run_config(None, 0, over)


def test_a_variant_may_start_from_a_run_of_another_profile(tmp_path):
    found = profile(tmp_path, SMALL, "label: Plain", "start: 'params/a.yaml:merl'")
    assert found.variants["plain"].start_of == ("params/a.yaml", "merl")
    assert found.variants["clip"].start_of is None


def test_the_hash_changes_with_the_run_that_a_variant_starts_from(tmp_path):
    (tmp_path / "first.yaml").write_text(SMALL)
    start = f"label: Plain, start: '{tmp_path / 'first.yaml'}:clip'"
    before = profile(tmp_path, SMALL, "label: Plain", start).hash
    for old, new, decides in (
        ("kind: clip", "kind: siglip", True),
        ("val_share: 0.1", "val_share: 0.2", True),
        ("csn: csn,", "", False),  # the first run's tests
        ("label: Plain", "label: Plainer", False),
    ):
        assert old in SMALL
        (tmp_path / "first.yaml").write_text(SMALL.replace(old, new))
        after = profile(tmp_path, SMALL, "label: Plain", start).hash
        assert (after != before) == decides, new


def test_the_hash_changes_with_the_model_that_a_variant_starts_from(tmp_path):
    plain = "label: Plain, pretrain: {lr: 0.01}"
    starts = ("", ", start: mccgaa-plus", ", start: mccgaa-plus-twin")
    settings = [plain.replace("0.01", f"0.01{start}") for start in starts]
    found = {profile(tmp_path, SMALL, "label: Plain", one).hash for one in settings}
    assert len(found) == 3


def test_variants_that_start_from_each_other_are_refused(tmp_path):
    start = f"label: Plain, start: '{tmp_path / 'small.yaml'}:plain'"
    found = profile(tmp_path, SMALL, "label: Plain", start)
    with pytest.raises(
        ConfigError, match=r"plain starts from .*, which starts from it"
    ):
        found.hash  # noqa: B018
    start = start.replace(
        ":plain'", ":clip'"
    )  # another variant of its own is no circle
    assert profile(tmp_path, SMALL, "label: Plain", start).hash


def test_unknown_variants_settings_and_stores_are_refused(tmp_path):
    found = profile(tmp_path)
    with pytest.raises(ConfigError, match="no variant 'best'; it has plain, clip"):
        found.run_config("best")
    wrong = profile(tmp_path, SMALL, "kind: clip", "kind: clipp")
    with pytest.raises(ConfigError, match=r"small\.yaml: model\.loss\.kind is 'clipp'"):
        wrong.run_config("clip")
    with pytest.raises(ConfigError, match=r"small\.yaml, or what --set lays over it: "):
        found.run_config(overrides={"pretrain": {"epochs": "x"}})
    with pytest.raises(ConfigError, match="start with model or pretrain, not loss"):
        found.run_config(overrides={"loss": {}})
    with pytest.raises(ConfigError, match="no store 'mine'"):
        found.recipe("mine")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs: 2", "epochs: 3"),
        ("sampling_rate: 100", "sampling_rate: 250"),
        ("kind: clip", "kind: siglip"),
        ("val_share: 0.1", "val_share: 0.2"),
        ("dataset: csn", "dataset: ptbxl"),
        ("csn-again: csn/csn", "csn-again: csn/form"),
        ("tier: synthetic", "tier: synthetic\ntwin: {out: data, mimic: 10}"),
        ("tier: synthetic", "tier: synthetic\nknowledge: mine.yaml"),
        ("tier: synthetic", "tier: synthetic\ntwins: [{out: data, mimic: 10}]"),
        ("label: Plain", f"label: Plain, start: '{PARAMS / 'real.yaml'}:merl'"),
    ],
)
def test_the_hash_changes_with_what_decides_results(tmp_path, old, new):
    before = profile(tmp_path).hash
    assert profile(tmp_path, SMALL, old, new).hash != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("label: Plain", "label: Plainer"),
        ("root: data/mimic, out: stores/mimic", "root: a, out: b, jobs: 3"),
        ("epochs: 2", "epochs: 2, workers: 4, checkpoint_every: 7, snapshots: [1]"),
        ("tier: synthetic", "tier: synthetic\nseeds: [0, 1]\nchapters: [a]\nout: b"),
    ],
)
def test_the_hash_stays_with_what_decides_nothing(tmp_path, old, new):
    before = profile(tmp_path).hash
    assert profile(tmp_path, SMALL, old, new).hash == before


def assert_section_4_1(run: RunConfig) -> None:
    """The paper's setting, in literals: sections 3 and 4.1 and table 6."""
    model, pretrain = run.model, run.pretrain
    assert model.encoder.leads == 12
    assert model.input.sampling_rate == 500 and model.input.duration == 10.0
    assert model.input.length == 5000 and model.input.transform == "raw"
    assert model.encoder.depth == 18
    assert model.encoder.widths == (64, 128, 256, 512)
    assert model.encoder.cam == "channel" and model.encoder.embedding_dim == 256
    assert (model.gafa.hidden, model.gafa.output) == (64, 32)
    assert model.gafa.tau == model.loss.tau == 0.07
    assert model.gafa.threshold == 0.0 and model.gafa.neighbours is None
    assert model.gafa.graph == "pair" and model.loss.kind == "symmetric"
    assert (model.loss.cma_weight, model.loss.uma_weight) == (1.0, 1.0)
    assert model.text.encoder == "medcpt" and model.text.pooling == "cls"
    assert model.text.dim == 768 and model.text.max_length == 256
    assert pretrain.epochs == 20
    assert pretrain.lr == 1e-3 and pretrain.min_lr == 1e-8
    assert pretrain.betas == (0.9, 0.999) and pretrain.weight_decay == 1e-8
    assert pretrain.batch_size == 128 and pretrain.precision == "bf16"
    assert pretrain.text == "report" and pretrain.selection == "last"
    assert pretrain.augment == 0.0 and pretrain.seed == 0


def test_golden_defaults_of_the_paper_profile_are_section_4_1():
    paper = Profile.load(PARAMS / "paper.yaml")
    assert_section_4_1(paper.run_config())
    assert paper.run_config().model.input.scaling == "minmax"
    assert paper.tier == "paper" and paper.seeds == (0, 1, 2) and paper.twin is None


def test_golden_defaults_of_the_dataclasses_are_section_4_1():
    assert_section_4_1(RunConfig(model=ModelConfig(), pretrain=PretrainConfig()))


def test_the_paper_profile_has_what_the_paper_compares():
    paper = Profile.load(PARAMS / "paper.yaml")
    plain = paper.run_config("pair").model
    runs = {name: paper.run_config(name).model for name in paper.variants}
    assert next(iter(runs)) == "pair", "the equations' graph comes first"
    assert runs["bipartite"].gafa == replace(plain.gafa, graph="bipartite")
    assert runs["no-gat"].gafa == replace(plain.gafa, graph="none")
    assert runs["no-cam"].encoder == replace(plain.encoder, cam="none")
    assert runs["clip"].loss == replace(plain.loss, kind="clip")
    assert runs["one-sided"].loss == replace(plain.loss, kind="one-sided")
    assert runs["double-sigmoid"].encoder == replace(
        plain.encoder, gate="double-sigmoid"
    )
    assert paper.recipe("pretrain").dataset == "mimic"
    assert {paper.tested_on(t)[1] for t in paper.tasks} == {
        "super",
        "sub",
        "form",
        "rhythm",
        "cpsc2018",
        "csn",
    }
    exact, published = (
        paper.recipe(paper.tested_on(task)[0])
        for task in ("csn", "csn-published-labels")
    )
    assert exact.options["labels"] == "exact"
    assert published.options["labels"] == "published"
    assert exact.out != published.out and exact.root == published.root


@pytest.mark.parametrize(
    ("name", "store", "way"),
    [
        ("smoke", "pretrain", "mccgaa twin --out data/smoke --mimic 240 --ptbxl 240"),
        ("plus", "csn", "mccgaa twin --out data/synthetic --mimic 3000"),
        (
            "real",
            "ptbxl",
            "mccgaa download ptbxl --root data/ptbxl --only-ids params/real-ids.txt",
        ),
        ("paper", "pretrain", "mccgaa download mimic --root data/mimic"),
    ],
)
def test_a_profile_without_its_records_says_where_they_come_from(
    name, store, way, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as raised:
        open_store(Profile.load(PARAMS / f"{name}.yaml"), store)
    text = str(raised.value)
    assert text.startswith("There is no data/") and way in text
    build_parser().parse_args(
        text.rstrip(".").split("mccgaa ")[-1].split()
    )  # it is a command
    assert not list(tmp_path.iterdir())


def test_records_that_nothing_makes_are_only_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = "{dataset: own, root: mine/table.csv, out: stores/mine}"
    found = profile(
        tmp_path, old="{dataset: csn, root: data/csn, out: stores/csn}", new=own
    )
    with pytest.raises(StoreError, match=r"no mine/table\.csv, .* packs\.$"):
        open_store(found, "csn")
