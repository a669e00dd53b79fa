"""A model that is ready to use says what an ECG file shows."""

from __future__ import annotations

import importlib.metadata
import json
import math
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_zeroshot import CONFIG
from torch import nn

import mccgaa
from mccgaa.cli import main
from mccgaa.config import LEADS, LossConfig, ModelConfig
from mccgaa.data.record import Quality, Record, read_record
from mccgaa.data.store import SignalStore
from mccgaa.data.transform import prepare
from mccgaa.errors import ConfigError, RecordError, RunError, TextError
from mccgaa.knowledge import Entry, Knowledge
from mccgaa.model import MCCGAA
from mccgaa.plus.prompting import Prompting
from mccgaa.ready import classifier as ready
from mccgaa.ready.classifier import (
    Classifier,
    Doubt,
    Scoring,
    listed,
    load,
    ranking,
    shipped,
)
from mccgaa.zeroshot import class_scores, embed

STATEMENTS = replace(
    CONFIG, loss=LossConfig(kind="statements", tau=0.5, learn_tau=True)
)
NONE = replace(STATEMENTS, gafa=replace(CONFIG.gafa, graph="none"))
BASE = Knowledge(
    {
        "statements": {
            "A": Entry("atrial one", "A", 1, synonyms=("a one",)),
            "B": Entry("block", "B", 2),
        },
        "csn_statements": {
            "C": Entry("Block", "C", 3),  # the same name
            "D": Entry("other", "D", 1),  # the same concept as A
            "E": Entry("extra", "E", 4),
            "F": Entry("further", "F", 4),  # two findings under one code
        },
        "super": {"S": Entry("family", "S", members=("statements/A", "statements/B"))},
    }
)


def ecg(seconds: float = 10.0, rate: float = 100.0, seed: int = 0) -> Record:
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 0.3, (12, round(seconds * rate))).astype(np.float32)
    one, two = signal[:2]  # Einthoven's and Goldberger's leads follow from these
    signal[2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return Record("x", signal, rate, "mV", np.ones(12, bool), Quality(0.0, (), 0.0))


def toy(cosines: dict[str, float], config: ModelConfig = NONE) -> MCCGAA:
    """A model for which every ECG has these cosines with texts."""
    model = MCCGAA(config)
    model.bias = nn.Parameter(torch.tensor(-1.0))

    def encode_text(texts):
        first = torch.tensor([cosines.get(text, -0.9) for text in texts])
        return nn.functional.pad(first[:, None], (0, 15))

    model.encode_ecg = lambda x: torch.eye(16)[:1].expand(len(x), -1)
    model.encode_text = encode_text
    return model


def unsettle(model: MCCGAA) -> None:
    """Give batch normalisation statistics that are not those it begins with."""
    for part in model.encoder.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.2, 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model with all that `export` writes, its weights and vectors random."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small"
    MCCGAA(NONE).save_pretrained(path)
    texts = BASE.wordings()
    vectors = torch.randn(len(texts), 384).half()
    meta = {"texts": json.dumps(texts)}
    save_file({"vectors": vectors}, path / ready.VECTORS, metadata=meta)
    (path / ready.KNOWLEDGE).write_text(json.dumps(BASE.content))
    scoring = {"prompting": {"prompts": "members"}, "slope": 2.0, "intercept": 0.5}
    scoring |= {"offsets": {"block": 1.0}, "fitted": {"ecgs": 9}}
    (path / ready.SCORING).write_text(json.dumps(scoring))
    return path


@pytest.fixture
def no_encoder(monkeypatch) -> None:
    def absent(*args, **options):
        raise TextError("It is not installed.")

    monkeypatch.setattr("mccgaa.known_texts.TextEncoder", absent)


def test_everything_is_asked_where_no_class_is_named_and_needs_no_text_encoder(
    folder, no_encoder, tmp_path
):
    model = load(folder)
    signal = ecg().signal
    np.save(tmp_path / "ecg.npy", signal)
    found = model.classify(tmp_path / "ecg.npy", sampling_rate=100)
    assert {f.name for f in found} == {"atrial one", "block", "extra", "further"}
    assert [f.probability for f in found] == sorted(
        (f.probability for f in found), reverse=True
    )
    x = model.model.encode_ecg(model.windows(ecg()))  # (1, M)
    for f in found:
        said = BASE.find(f.name).said
        cosine = float((x @ model.model.encode_text(list(said)).T).max())
        assert f.cosine == pytest.approx(cosine, abs=1e-6)
        z = 2.0 * (cosine / 0.5 + float(model.model.bias)) + 0.5 + (f.name == "block")
        assert f.probability == pytest.approx(1 / (1 + math.exp(-z)), rel=1e-4)


def test_words_of_ones_own_need_the_encoder_and_say_so(folder, no_encoder):
    model = load(folder)
    assert model.classify(ecg(), ["A ONE", "family"])[0].probability
    with pytest.raises(
        TextError, match=r"'purple' is in no knowledge .* not installed"
    ):
        model.classify(ecg(), ["block", "purple"])


def test_words_of_ones_own_are_read_by_the_encoder(folder, monkeypatch):
    asked = []

    class Encoder:
        def __init__(self, config, device):
            assert config.encoder == "minilm"

        def encode(self, texts):
            asked.append(texts)
            return torch.ones(len(texts), 384)

    monkeypatch.setattr("mccgaa.known_texts.TextEncoder", Encoder)
    model = load(folder)
    names = ["purple", "block", "green"]
    found = {f.name: f for f in model.classify(ecg(), names)}
    assert asked == [["purple", "green"]]
    assert found["purple"].cosine == pytest.approx(found["green"].cosine)
    assert found["block"].cosine != pytest.approx(found["purple"].cosine)
    model.classify(ecg(seed=1), names)
    assert len(asked) == 1, "classes are worded and embedded once"


def test_findings_of_a_knowledge_base_are_listed_once():
    assert [e.name for e in listed(BASE)] == ["atrial one", "block", "extra", "further"]
    own = Knowledge({"own": {"A": Entry("mine", "A"), "B": Entry("yours", "B")}})
    assert [e.name for e in listed(own)] == ["mine", "yours"]
    names = [e.name for e in listed(Knowledge.load())]
    assert len(names) == len(set(names)) > 90
    statements = Knowledge.load().vocabularies["statements"].values()
    assert names[:71] == [entry.name for entry in statements]
    assert "left axis deviation" in names and "ST-T changes" not in names


def test_probabilities_are_those_of_the_loss_through_members():
    """Cosines by hand; scale 2 and bias -1."""
    model = toy({"atrial one": 0.1, "a one": 0.9, "block": 0.3, "new": -0.5})
    names = ["family", "block", "new"]
    found = Classifier(model, BASE, Scoring(Prompting("members"))).classify(
        ecg(), names
    )
    assert [f.name for f in found] == names
    for f, cosine in zip(found, (0.9, 0.3, -0.5), strict=True):
        assert f.cosine == pytest.approx(cosine)
        assert f.probability == pytest.approx(1 / (1 + math.exp(1 - 2 * cosine)))
    assert found[0].text == "atrial one" and found[2].text == "new"
    assert "69.0%" in ranking(found) and "its probability" in ranking(found)
    single = Classifier(model, BASE).classify(ecg(), ["family"])
    assert (single[0].text, single[0].cosine) == ("family", pytest.approx(-0.9))


def test_offsets_decide_the_order():
    model = toy({"atrial one": 0.2, "block": 0.1})
    scoring = Scoring(offsets={"block": 3.0}, fitted={"ecgs": 5})
    found = Classifier(model, BASE, scoring).classify(ecg(), ["atrial one", "block"])
    assert [f.name for f in found] == ["block", "atrial one"]
    assert found[0].probability == pytest.approx(1 / (1 + math.exp(-(0.2 - 1 + 3))))


def test_one_finding_has_one_probability_by_whatever_name_it_is_asked_for():
    """Offsets are kept by the entry's name; the words typed are not looked up."""
    model = toy({"atrial one": 0.2, "block": 0.1})
    scoring = Scoring(offsets={"atrial one": 3.0, "block": 1.0}, fitted={"ecgs": 5})
    asked = ["atrial one", "Atrial One", " a one ", "A"]
    found = Classifier(model, BASE, scoring).classify(ecg(), [*asked, "B", "block"])
    assert {f.name for f in found[:4]} == set(asked)
    for f, z in zip(found, [0.4 - 1 + 3] * 4 + [0.2 - 1 + 1] * 2, strict=True):
        assert f.probability == pytest.approx(1 / (1 + math.exp(-z)))


def test_what_makes_findings_doubtful_is_said():
    scoring = Scoring(offsets={"atrial one": 0.0}, fitted={"ecgs": 5})
    model = Classifier(toy({}), BASE, scoring)
    assert model.doubts(ecg(10), ["atrial one", "A", "a one"]) == []
    assert model.doubts(ecg(9.996, 250), []) == [], "rounded, it is not padded"
    banana, short = model.doubts(ecg(25), ["a one", "purple banana"]), ecg(4.5)
    assert len(banana) == 1 and "'purple banana' is not calibrated: no" in banana[0]
    padded, block = model.doubts(short, ["block"])
    assert "x lasts 4.5 s and the model's input 10 s; the rest is filled" in padded
    assert "'block' is not calibrated" in block
    assert "zeros, and probabilities were fitted to whole records" in padded
    (near,) = model.doubts(ecg(10), ["Atrial  onne", "a one"])
    assert "'Atrial  onne' is not calibrated" in near
    assert near.endswith(" Did you mean 'atrial one'?")
    (both,) = model.doubts(ecg(10), ["block", "a one", "extra"])
    assert both.startswith("'block', 'extra' are not calibrated: no probability")
    present = np.arange(12) < 2
    few = replace(ecg(10), present=present, quality=Quality(0.0, ("II",), 0.0))
    (blank,) = model.doubts(few, [])
    assert "x has nothing in 11 of 12 leads (II, III, aVR, " in blank
    assert "zeros, and probabilities were fitted to whole records" in blank
    small = replace(ecg(10), quality=Quality(0.0, (), 0.0, 0.01), notes=("odd",))
    odd, faint = model.doubts(small, [])
    assert odd == "odd" and faint.endswith("are its units right?")
    swapped = replace(ecg(10), signal=ecg(10).signal[[0, 10, *range(2, 10), 1, 11]])
    (misnamed,) = model.doubts(swapped, [])
    assert misnamed.endswith("are its leads named rightly?")
    unfitted = Classifier(toy({}), BASE)  # whose probabilities are all the loss's own
    assert unfitted.doubts(ecg(10), ["block", "purple banana"]) == []
    (padded,) = unfitted.doubts(short, [])
    assert padded.endswith("filled with zeros.")
    (blank,) = unfitted.doubts(few, [])
    assert blank.endswith("which are taken as zeros.")
    (near,) = unfitted.doubts(ecg(10), ["blok"])
    assert near == "'blok' is in no vocabulary of this model. Did you mean 'block'?"


def test_other_losses_rank_by_cosine_and_share_out_at_their_temperature():
    config = replace(NONE, loss=LossConfig(tau=0.5))
    cosines = {"a": 0.6, "b": 1.0, "c": 0.0, "d": 0.6}
    found = Classifier(toy(cosines, config), Knowledge({})).classify(
        ecg(), list("cadb")
    )
    assert [f.name for f in found] == ["b", "a", "d", "c"]  # ties as given
    total = sum(math.exp(cosine / 0.5) for cosine in cosines.values())
    for f in found:
        assert f.probability is None
        assert (
            f.share
            == f.chance
            == pytest.approx(math.exp(cosines[f.name] / 0.5) / total)
        )
    assert "shares among these classes" in ranking(found)


@pytest.fixture(scope="module")
def plain() -> Classifier:
    torch.manual_seed(0)
    model = MCCGAA(NONE)
    rows = {name: torch.randn(16) for name in ("atrial one", "block")}
    model.encode_text = lambda texts: torch.stack([rows[text] for text in texts])
    return Classifier(model, BASE)


def test_the_windows_of_a_long_record_are_averaged(plain):
    names = ["atrial one", "block"]
    record = ecg(25)
    cosines = {f.name: f.cosine for f in plain.classify(record, names)}
    config = plain.model.config.input
    parts = [prepare(record, config, start=start) for start in (0, 10, 15)]
    each = plain.score(torch.from_numpy(np.stack(parts)), names)  # (3, 2)
    assert each.std(0).min() > 1e-4
    assert [cosines[n] for n in names] == pytest.approx(each.mean(0).tolist())


def test_every_format_and_rate_gives_the_findings_of_the_record(
    plain, twin_tree, tmp_path
):
    names = ["atrial one", "block"]
    path = next((twin_tree / "records500").rglob("*_hr.hea"))
    record = read_record(path)
    expected = {f.name: f.cosine for f in plain.classify(path, names)}
    np.save(tmp_path / "a.npy", record.signal.T)
    table = ",".join(LEADS) + "\n"
    table += "\n".join(",".join(f"{v:.4f}" for v in row) for row in record.signal.T)
    (tmp_path / "a.csv").write_text(table)
    low = path.parents[2] / "records100" / path.parent.name
    low = low / path.name.replace("_hr", "_lr")
    for file, options, within in (
        (tmp_path / "a.npy", {"sampling_rate": 500}, 1e-5),
        (tmp_path / "a.csv", {"sampling_rate": 500}, 1e-3),
        (record, {}, 1e-6),
        (low, {}, 0.1),
    ):
        found = {f.name: f.cosine for f in plain.classify(file, names, **options)}
        assert found == pytest.approx(expected, abs=within)


def test_a_file_is_scored_as_the_same_record_in_a_store(twin_store, twin_tree):
    torch.manual_seed(0)
    store, model = SignalStore.open(twin_store), MCCGAA(NONE)
    path = twin_tree / store.records["path"].iloc[0]
    (found,) = Classifier(model, Knowledge.load()).classify(path, ["AFIB"])
    assert (found.name, found.text) == ("AFIB", "atrial fibrillation")
    x = embed(model, store, np.array([0]), precision="fp32", device="cpu")
    expected = class_scores(model, x, ["atrial fibrillation"])[0, 0]
    assert found.cosine == pytest.approx(expected, abs=1e-3)  # a store keeps int16


def test_a_model_says_in_a_line_what_it_is(folder):
    said = f"Classifier({str(folder)!r}, 4 classes, 100 Hz, 10 s, calibrated)"
    assert repr(load(folder)) == said
    assert repr(load()).startswith(f"Classifier({ready.DEFAULT!r}, ")
    short = replace(NONE, input=replace(NONE.input, sampling_rate=50, duration=2.5))
    said = "Classifier('unnamed', 4 classes, 50 Hz, 2.5 s, not calibrated)"
    assert repr(Classifier(MCCGAA(short), BASE)) == said


def test_blanking_a_part_costs_what_it_spoke_for():
    """A score that is lead V1's mean square in the third second."""
    model = toy({"block": 1.0})
    model.encode_ecg = lambda x: nn.functional.pad(
        x[:, 6, 200:300].square().mean(1)[:, None], (0, 15)
    )
    record = ecg(4.5)
    classifier = Classifier(model, BASE)
    whole = classifier.score(classifier.windows(record), ["block"])[0, 0]
    found = classifier.occlude(record, "block")
    assert found.leads.shape == (12,) and found.seconds.shape == (5,)
    for costs, at in ((found.leads, 6), (found.seconds, 2)):
        assert costs[at] == pytest.approx(2 * float(whole), rel=1e-4)  # 1 / tau = 2
        assert np.abs(np.delete(costs, at)).max() < 1e-6


def test_no_class_to_choose_from_is_refused(plain):
    with pytest.raises(ConfigError, match="at least one class"):
        plain.classify(ecg(), [])


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("atrial one", r"classes is 'atrial one'; expected a list"),
        (3, "classes is 3; expected a list"),
        (np.array("block"), r"classes is array\('block'.*; expected a list"),
        ([None], "classes holds None; expected words"),
        (["block", " "], "classes holds ' '; expected words"),
        (np.ones(2), "classes holds .*1.0.*; expected words"),
    ],
    ids=repr,
)
def test_classes_that_are_no_list_of_words_are_refused(plain, classes, said):
    with pytest.raises(ConfigError, match=said):
        plain.classify(ecg(), classes)


def test_any_collection_of_words_names_classes_and_a_list_is_no_file(plain):
    names = ["atrial one", "block"]
    expected = plain.classify(ecg(), names)
    for classes in (np.array(names), tuple(names), iter(names), dict.fromkeys(names)):
        assert plain.classify(ecg(), classes) == expected
    with pytest.raises(ConfigError, match="type list; expected the path of an ECG"):
        plain.classify(ecg().signal.tolist(), names)


def test_shipped_models_are_found_by_name_and_the_default_comes_first(
    folder, monkeypatch, tmp_path
):
    weights = tmp_path / "weights"
    for name in ("a-model", ready.DEFAULT, "z-model"):
        (weights / name).mkdir(parents=True)
        for file in folder.iterdir():
            (weights / name / file.name).write_bytes(file.read_bytes())
    (weights / "empty").mkdir()
    monkeypatch.setattr(ready, "SHIPPED", weights)
    monkeypatch.setattr("mccgaa.model.SHIPPED", weights)
    assert shipped() == [ready.DEFAULT, "a-model", "z-model"]
    (weights / "a-model" / ready.SCORING).unlink()
    assert load("a-model").scoring == Scoring()
    assert load().scoring == load(ready.DEFAULT).scoring == load(folder).scoring
    assert load(prompting=Prompting("members")).scoring.slope == 2.0
    other = load(prompting=Prompting()).scoring
    assert (other.slope, other.offsets) == (1.0, {}), "fitted to other scores"
    monkeypatch.setattr(ready, "SHIPPED", tmp_path / "nothing")
    with pytest.raises(RunError, match="No model comes with this copy"):
        load()


def test_a_damaged_part_of_a_model_is_named(folder, tmp_path):
    for file, content, error, said in (
        (ready.SCORING, "{", RunError, r"scoring\.json cannot be used"),
        (ready.SCORING, '{"slopes": 1}', RunError, "no setting 'slopes'"),
        (ready.VECTORS, "", TextError, "holds no vectors of texts"),
    ):
        for path in folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / file).write_text(content)
        with pytest.raises(error, match=said):
            load(tmp_path)
    save_file({"vectors": torch.ones(2, 5)}, tmp_path / file, {"texts": '["a", "b"]'})
    with pytest.raises(TextError, match=r"shape \(2, 5\); expected 2 of 384"):
        load(tmp_path)


def test_a_runs_model_is_asked_with_the_packaged_knowledge_base(folder, tmp_path):
    MCCGAA(NONE).save_pretrained(tmp_path)
    model = load(tmp_path)
    assert model.model.text_encoder is None and model.scoring == Scoring()
    assert model.knowledge.fingerprint == Knowledge.load().fingerprint
    assert load(folder).knowledge.fingerprint == BASE.fingerprint
    (tmp_path / "mine.yaml").write_text("own: {A: mine}")
    assert load(folder, knowledge=tmp_path / "mine.yaml").names == ("mine",)


def test_the_package_offers_load_and_is_imported_at_once():
    code = (
        "import sys, mccgaa; print('torch' in sys.modules or 'numpy' in sys.modules);"
        "print(mccgaa.load.__module__, mccgaa.Classifier.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "mccgaa.ready.classifier", "Classifier"]
    assert mccgaa.__version__ == importlib.metadata.version("mccgaa")
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = mccgaa.lode


def test_asking_a_shipped_model_loads_nothing_that_it_does_not_use(folder, twin_tree):
    record = next((twin_tree / "records100").rglob("*_lr.hea"))
    heavy = "pandas pyarrow scipy wfdb edfio torch_geometric huggingface_hub"
    heavy += " transformers matplotlib"
    code = (
        "import sys; from mccgaa.cli import main;"
        f"main(['classify', {str(record)!r}, '--run', {str(folder)!r}]);"
        f"print([m for m in {heavy.split()} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.count("medical device") == 1


@pytest.fixture
def classify(folder, tmp_path, capsys):
    """Run the command on the shipped example, and give back what it prints."""

    def run(*options: str, code: int = 0) -> str:
        assert main(["classify", "--run", str(folder), *options]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def test_the_command_shows_what_it_is_asked_to_show(classify, folder, tmp_path):
    out = tmp_path / "out.json"
    found = load(folder).classify(ready.EXAMPLE)
    lines = classify("--json", str(out)).splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == [f.name for f in found]
    assert [f["name"] for f in json.loads(out.read_text())] == [f.name for f in found]
    assert len(lines) == 6 and "medical device" in lines[5]
    assert len(classify("--top", "2").splitlines()) == 4
    least = str(found[1].probability - 1e-6)
    printed = classify("--threshold", least, "--json", str(out))
    assert found[1].name in printed and found[2].name not in printed
    assert len(json.loads(out.read_text())) == 2
    assert "No finding has 1 or more." in classify("--threshold", "1")
    assert classify("--classes", "extra", "block").count("%") == 2


@pytest.mark.parametrize("least", ["5", "-0.1", "nan", "inf", "half"])
def test_a_threshold_is_a_probability(classify, least, capsys):
    with pytest.raises(SystemExit):
        classify(f"--threshold={least}")
    said = capsys.readouterr().err
    assert f"--threshold: {least!r} is not a probability from 0 to 1" in said


def test_the_command_says_beside_the_findings_what_it_wrote_and_what_is_doubtful(
    folder, tmp_path, capsys
):
    np.save(tmp_path / "short.npy", ecg(6).signal)
    files = [str(tmp_path / name) for name in ("out.json", "out.svg")]
    command = ["classify", str(tmp_path / "short.npy"), "--sampling-rate", "100"]
    command += ["--run", str(folder), "--json", files[0], "--plot", files[1]]
    assert main([*command, "--classes", "B", "a one"]) == 0
    said = capsys.readouterr()
    assert "wrote" not in said.out and "note" not in said.out
    short, doubt, *wrote = said.err.splitlines()
    assert short.startswith("note: ") and "short.npy lasts 6 s" in short
    assert doubt.startswith("note: 'a one' is not calibrated")
    assert sorted(wrote) == [f"wrote {file}" for file in files]


@pytest.mark.parametrize(
    ("options", "doubted"),
    [
        ({}, []),
        ({"prompting": Prompting("members")}, []),
        ({"prompting": Prompting("single")}, ["block"]),
        ({"prompting": Prompting("members", "mean")}, ["block"]),
        ({"knowledge": {"own": {"B": "block"}}}, []),
        ({"knowledge": {"own": {"B": {"name": "block", "synonyms": ["stop"]}}}}, "B"),
        ({"knowledge": {"own": {"B": {"name": "bloc", "synonyms": ["block"]}}}}, "B"),
    ],
)
def test_classes_worded_or_scored_otherwise_than_fitted_are_not_calibrated(
    folder, tmp_path, options, doubted
):
    if "knowledge" in options:
        path = tmp_path / "base.json"
        path.write_text(json.dumps(options["knowledge"]))
        options = {"knowledge": path}
    model = load(folder, **options)
    said = model.doubts(ecg(10), list(doubted) or ["block"])
    assert [" not calibrated" in doubt for doubt in said] == [True] * len(doubted)


def test_an_array_is_asked_like_a_file_that_holds_it(plain, tmp_path):
    x = ecg().signal * 1000
    x[3, 5] = np.nan
    names, order = ["atrial one", "block"], [*LEADS[6:], *LEADS[:6]]
    for array, more in (
        (x, {}),
        (x.T, {}),
        (x.astype(np.float64), {}),
        (np.roll(x, 6, axis=0), {"leads": order}),
        (x[:2], {"leads": LEADS[:2], "allow_missing_leads": True}),
    ):
        reading = {"sampling_rate": 250, "units": "uV", **more}
        np.save(tmp_path / "x.npy", array)
        record = read_record(tmp_path / "x.npy", **reading)
        expected = plain.classify(record, names)
        vectors = plain.embed(record)
        for given in (array, torch.from_numpy(array)):
            assert plain.classify(given, names, **reading) == expected
            assert np.array_equal(plain.embed(given, **reading), vectors)
    half = (
        torch.ones(12, 5000, dtype=torch.bfloat16, requires_grad=True)
        * torch.rand(5000).bfloat16()
    )
    rate = {"sampling_rate": 500}
    same = half.detach().float().numpy()
    assert plain.classify(half, names, **rate) == plain.classify(same, names, **rate)
    with pytest.raises(RecordError, match=r"<array> does not say its sampling rate"):
        plain.classify(x, names)
    with pytest.raises(
        RecordError, match=r"<array> holds an array of shape \(5, 1000\)"
    ):
        plain.classify(x[:5], names, sampling_rate=250)


def test_an_ecg_is_embedded_window_by_window_as_scores_take_it(plain):
    record = ecg(25)
    vectors = plain.embed(record)
    assert vectors.shape == (len(plain.windows(record)), 16) and len(vectors) > 1
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    text = plain.model.encode_text(["block"])[0].detach().numpy()
    (found,) = plain.classify(record, ["block"])
    assert (vectors @ text).mean() == pytest.approx(found.cosine, abs=1e-6)


def test_python_warns_of_each_doubt_once_and_the_command_prints_it(
    folder, classify, tmp_path, capsys
):
    blank = ecg(4).signal * (np.arange(12) < 6)[:, None]
    np.save(tmp_path / "x.npy", blank)
    model, rate = load(folder), {"sampling_rate": 100}
    record = read_record(tmp_path / "x.npy", **rate)
    doubts = model.doubts(record, ["extra"])
    assert len(doubts) == 3
    with pytest.warns(Doubt) as said:
        model.classify(record, ["extra"])
    assert [str(one.message) for one in said] == doubts
    assert {one.filename for one in said} == {__file__}, "the line that asked"
    with pytest.warns(Doubt) as said:
        model.embed(record)
    assert [str(one.message) for one in said] == model.doubts(record, [])
    assert {one.filename for one in said} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.classify(ecg(), ["block"])  # nothing to doubt
        words = [str(tmp_path / "x.npy"), "--run", str(folder), "--classes", "extra"]
        assert main(["classify", *words, "--sampling-rate", "100"]) == 0
    noted = capsys.readouterr().err.splitlines()
    assert noted == [f"note: {doubt}" for doubt in doubts]


def test_a_knowledge_base_of_ones_own_is_warned_of_as_not_calibrated(folder, tmp_path):
    base = tmp_path / "own.yaml"
    base.write_text("own: {B: {name: block, synonyms: [stop]}}")
    with pytest.warns(Doubt, match="'block' is not calibrated"):
        load(folder, knowledge=base).classify(ecg(), ["block"])


def test_of_many_uncalibrated_classes_three_are_named():
    model = Classifier(toy({}), BASE, Scoring(fitted={"ecgs": 5}))
    names = [f"class {i}" for i in range(11)]
    (many,) = model.doubts(ecg(), names)
    assert many.startswith("'class 0', 'class 1', 'class 2' and 8 others are not cal")
    (few,) = model.doubts(ecg(), names[:10])
    assert all(repr(name) in few for name in names[:10])


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(
    classify, monkeypatch, tmp_path
):
    monkeypatch.setattr(
        "mccgaa.ready.classifier.load", lambda *a, **k: pytest.fail("loaded")
    )
    for name in ("x.bmp", "x"):
        said = classify("--plot", str(tmp_path / name), code=2)
        assert f"{name} cannot be drawn; expected .svg, .pdf or .png" in said


def test_every_finding_is_asked_for_and_ten_are_shown(tmp_path, capsys):
    MCCGAA(NONE).save_pretrained(tmp_path / "model")
    names = {f"c{i}": f"{i} of something" for i in range(12)}
    (tmp_path / "base.json").write_text(json.dumps({"own": names}))
    texts = list(names.values())
    vectors = {"vectors": torch.randn(len(texts), 384)}
    path = tmp_path / "model" / ready.VECTORS
    save_file(vectors, path, metadata={"texts": json.dumps(texts)})
    base = str(tmp_path / "base.json")
    command = ["classify", "--run", str(tmp_path / "model"), "--knowledge", base]
    assert main(command) == 0
    assert capsys.readouterr().out.count("of something") == 10
    assert main([*command, "--threshold", "0"]) == 0
    assert capsys.readouterr().out.count("of something") == 12
    assert main([*command, "--classes", *texts]) == 0
    assert capsys.readouterr().out.count("of something") == 12


def test_the_command_draws_what_speaks_for_the_first_finding(classify, tmp_path):
    out = tmp_path / "out.svg"
    for layout in ("3x4", "12x1"):
        classify("--plot", str(out), "--layout", layout)
        assert out.read_text().count('id="V6"') == 1
        assert out.read_text().count('id="II"') == (2 if layout == "3x4" else 1)
        out.unlink()
    assert ".jpg cannot be drawn" in classify("--plot", "a.jpg", code=2)
    said = classify("--plot", str(tmp_path), code=2)
    assert "it is a folder" in said
