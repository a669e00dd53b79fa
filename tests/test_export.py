"""A run becomes a small folder that says what it is and scores as the run did."""

from __future__ import annotations

import builtins
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_ready import BASE, STATEMENTS, ecg, unsettle

from mccgaa.cli import main
from mccgaa.config import EncoderConfig, PretrainConfig, RunConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import (
    ConfigError,
    KnowledgeError,
    RunError,
    StoreError,
    TextError,
    WriteError,
)
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.plus.prompting import Prompting
from mccgaa.probe import model_features
from mccgaa.ready.card import SIMULATOR, training_facts
from mccgaa.ready.classifier import Classifier, Scoring, load
from mccgaa.ready.export import export, lean, write_onnx
from mccgaa.ready.folded import fold
from mccgaa.ready.merged import merge
from mccgaa.settings import dump_yaml, to_dict
from mccgaa.start import Start
from mccgaa.zeroshot import load_model, score_tasks

SMALL = Knowledge(
    {
        "statements": {
            code: Knowledge.load().entry("statements", code)
            for code in ("NORM", "AFIB", "SR", "IMI")
        }
    }
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, twin_store) -> Path:
    """A model with a bipartite graph, and what its run says of its training."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("export") / "run"
    MCCGAA(STATEMENTS).save_pretrained(path)
    store = SignalStore.open(twin_store).meta
    first = {"store": {"source": "mimic", "fingerprint": "f1"}, "synthetic": True}
    first |= {"texts": {"kind": "report"}, "pairs": {"train": 11733}}
    last = {"store": {"source": "ptbxl", "fingerprint": store["fingerprint"]}}
    last |= {"synthetic": False, "texts": {"kind": "knowledge"}, "start": first}
    (path / "metrics.json").write_text(json.dumps(last))
    return path


def saying(run: Path, folder: Path, **store: str) -> Path:
    """Copy a run, and let it say that it was trained on another store."""
    shutil.copytree(run, folder)
    facts = json.loads((run / "metrics.json").read_text())
    facts["store"] |= store
    (folder / "metrics.json").write_text(json.dumps(facts))
    return folder


def knows(store: SignalStore) -> Knowledge:
    """The packaged base without its long lists, but with the classes of a store."""
    whole = Knowledge.load()
    tasks = {task: whole.vocabularies[task] for task in store.meta["tasks"]}
    return Knowledge({"statements": whole.vocabularies["statements"], **tasks})


@pytest.fixture(scope="module")
def ready(run, tmp_path_factory, twin_store) -> Path:
    store = SignalStore.open(twin_store)
    return export(
        run,
        tmp_path_factory.mktemp("export") / "tiny",
        knowledge=knows(store),
        calibrate_on=store,
        test_on=[store],
        bootstrap=10,
    )


def test_what_is_exported_scores_as_the_run_in_half_the_bytes(run, ready):
    model = load(ready)
    whole = Classifier(
        MCCGAA.from_pretrained(run), model.knowledge, Scoring(Prompting("members"))
    )
    for name in ("AFIB", "family of none", "hypertrophy"):
        (one,), (other,) = (m.classify(ecg(), [name]) for m in (model, whole))
        assert one.cosine == pytest.approx(other.cosine, abs=2e-3)
    weights = load_file(ready / "model.safetensors")
    floats = {t.dtype for t in weights.values() if t.is_floating_point()}
    assert floats == {torch.float16}
    assert not any(name.startswith(("gafa", "unimodal")) for name in weights)
    assert model.model.config.gafa.graph == "none"
    files = {path.name for path in ready.iterdir()}
    assert files == {
        *("README.md", "config.json", "model.safetensors", "classes.safetensors"),
        *("knowledge.json", "scoring.json", "metrics.json"),
    }


def test_a_ready_model_is_scored_by_its_name_as_the_run_that_it_is_of(
    run, ready, twin_store, tmp_path, monkeypatch
):
    monkeypatch.setattr("mccgaa.model.SHIPPED", ready.parent)
    store = SignalStore.open(twin_store)
    tasks, how = list(store.meta["tasks"]), {"precision": "fp32"}
    expected = score_tasks(load_model(run), store, tasks, knows(store), None, **how)
    features = model_features(load_model(run), store)

    def absent(*args, **options):
        pytest.fail("a text encoder was loaded")

    for module in ("known_texts", "model"):
        monkeypatch.setattr(f"mccgaa.{module}.TextEncoder", absent)
    model = load_model(ready)
    found = score_tasks(model, store, tasks, knows(store), None, **how)
    for task in tasks:
        np.testing.assert_allclose(found[task].scores, expected[task].scores, atol=2e-3)
    np.testing.assert_allclose(model_features(model, store), features, atol=2e-2)

    out = tmp_path / "out.json"
    words = ["--run", "tiny", "--store", str(twin_store), "--json", str(out)]
    assert main(["zeroshot", *words, "--bootstrap", "0"]) == 0
    said = json.loads(out.read_text())
    assert said["tasks"].keys() == set(tasks)
    assert said["knowledge"] == knows(store).fingerprint, "not the model's own"
    assert said["run"]["store"] == store.meta["fingerprint"], "of its metrics.json"
    assert main(["probe", *words, "--bootstrap", "0", "--tasks", "super"]) == 0
    said = json.loads(out.read_text())
    assert [row["share"] for row in said["results"]] == [1, 10, 100]
    assert said["run"]["store"] == store.meta["fingerprint"]


def test_the_vectors_are_of_every_wording_and_embed_as_the_model_does(ready):
    model = load(ready)
    texts = list(model.model.text_encoder.row)
    assert set(model.knowledge.wordings()) <= set(texts)
    tensors = load_file(ready / "classes.safetensors")
    assert tensors["vectors"].shape == (len(texts), 384)
    with torch.no_grad():
        q = model.model.encode_text(texts[:20])
    np.testing.assert_allclose(tensors["embeddings"][:20].float(), q, atol=1e-3)


def test_probabilities_are_fitted_to_records_that_training_did_not_read(
    run, ready, tmp_path, twin_store
):
    fitted = load(ready).scoring
    assert fitted.fitted["splits"] == ["val"], "the run was trained on this store"
    assert fitted.prompting == Prompting("members")
    assert fitted.fitted["records_in_pretraining"] is False
    store = SignalStore.open(twin_store)
    other = saying(run, tmp_path / "run", source="csn", fingerprint="another")
    out = export(other, tmp_path / "out", knowledge=SMALL, calibrate_on=store)
    found = load(out).scoring
    assert found.fitted["splits"] == ["train", "val"]
    rows = [len(store.indices(split=split)) for split in ("train", "val")]
    assert found.fitted["ecgs"] == sum(rows)
    assert set(found.offsets) == {
        e.name for e in SMALL.vocabularies["statements"].values()
    }


def test_probabilities_of_records_that_may_have_been_read_say_so(
    run, ready, tmp_path, twin_store, capsys
):
    """Another store of the source: its records may be those of the training store."""
    doubt = (
        "Whether records of this split were in pretraining is not known. If they were, "
        "these probabilities are too sure."
    )
    store = SignalStore.open(twin_store)
    repacked = saying(run, tmp_path / "repacked", fingerprint="another")
    silent = saying(run, tmp_path / "silent")
    (silent / "metrics.json").unlink()
    for folder in (repacked, silent):
        out = tmp_path / f"{folder.name}-out"
        export(folder, out, knowledge=SMALL, calibrate_on=store)
        fitted = load(out).scoring.fitted
        assert fitted["splits"] == ["val"]
        assert fitted["records_in_pretraining"] is None
        assert f"(val split). {doubt}" in (out / "README.md").read_text()
        assert capsys.readouterr().err == f"note: {store.path}, val split: {doubt}\n"
    assert doubt not in (ready / "README.md").read_text()


def test_the_cards_numbers_are_those_of_the_command_that_it_names(
    ready, twin_store, capsys
):
    card = (ready / "README.md").read_text()
    words = re.search(r"`mccgaa (zeroshot --run tiny --store STORE .*)`", card)[1]
    assert "A score is the highest of the cosines with all wordings of a cl" in card
    paths = {"tiny": str(ready), "STORE": str(twin_store)}
    words = [paths.get(word, word) for word in words.split()]
    assert main([*words, "--bootstrap", "0"]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| [^|]* \| (\w+) \| .* \| ([\d.]+) \[", card, re.M)
    assert [task for task, _ in rows] == list(
        SignalStore.open(twin_store).meta["tasks"]
    )
    for task, score in rows:
        assert re.search(rf"^{task} +macro AUROC +{score} ", printed, re.M)


def test_the_card_says_what_the_model_is_and_is_not_for(ready):
    card = (ready / "README.md").read_text()
    for said in (
        "license: cc-by-4.0",
        'load("tiny").classify',
        "not a medical device",
        "must not",
        "11,733 simulated ECGs (in the form of mimic), with the sentences of their",
        "real ECGs of ptbxl, with the names of their labels",
        f".\n\n{SIMULATOR}\n\nEncoder",
        "Wagner et al.",
        "CC BY 4.0",
        "(val split)",
        "is refused or, where `allow_missing_leads` is given, has zeros",
        "expected calibration error",
        "| `classes.safetensors` |",
    ):
        assert said in card, said
    assert re.search(r"\| ptbxl, simulated \| rhythm \| \d+ \| \d+ \| \d+\.\d \[", card)
    assert "encoder.onnx" not in card and "{" not in card.replace("{{", "")
    assert card.index("simulated ECGs") < card.index("real ECGs"), (
        "in order of training"
    )


def test_a_card_says_whose_weights_a_model_has(run, tmp_path):
    start = tmp_path / "start"
    torch.manual_seed(1)
    MCCGAA(STATEMENTS).save_pretrained(start)
    said = json.loads((run / "metrics.json").read_text())
    said["start"]["weights"] = Start(start).fingerprint
    runs = []
    for seed in (2, 3):
        torch.manual_seed(seed)
        runs.append(tmp_path / f"run-{seed}")
        MCCGAA(STATEMENTS).save_pretrained(runs[-1])
        (runs[-1] / "metrics.json").write_text(json.dumps(said | {"hash": str(seed)}))
        settings = PretrainConfig(start=str(start), seed=seed)
        dump_yaml(
            to_dict(RunConfig(model=STATEMENTS, pretrain=settings)),
            runs[-1] / "config.yaml",
        )
    for chosen, share, words in (
        (runs, 0.0, "the mean of 2 runs that differ in their seed"),
        (runs[0], 0.4, "40% those that the training started from, and for the rest "),
        (runs, 0.4, "and for the rest the mean of 2 runs that differ in their seed"),
    ):
        out = export(chosen, tmp_path / "out", start_share=share, knowledge=SMALL)
        card = (out / "README.md").read_text()
        assert words in card and card.count("Its weights are") == 1, card
        merged = json.loads((out / "metrics.json").read_text())["merged"]
        assert merged["start_share"] == share
        assert merged["runs"] == (["2", "3"] if chosen is runs else ["2"])
        wanted = lean(merge(runs if chosen is runs else [chosen], share).model)
        for name, value in load_file(out / "model.safetensors").items():
            assert torch.equal(value, wanted.half().state_dict()[name])
    assert (
        "Its weights"
        not in (
            export(runs[0], tmp_path / "one", knowledge=SMALL) / "README.md"
        ).read_text()
    ), "they are the run's"


def test_a_model_of_simulated_ecgs_alone_needs_no_attribution(run, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    for file in run.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    facts = json.loads((run / "metrics.json").read_text())["start"]
    (path / "metrics.json").write_text(json.dumps(facts))
    out = export(path, tmp_path / "twin", knowledge=SMALL)
    card = (out / "README.md").read_text()
    assert "license: mit" in card and "No ECG of a patient" in card
    assert SIMULATOR in card
    real = json.loads((run / "metrics.json").read_text()) | {"start": None}
    (path / "metrics.json").write_text(json.dumps(real))
    other = export(path, tmp_path / "real", knowledge=SMALL) / "README.md"
    assert SIMULATOR not in other.read_text()
    assert "CC BY" not in card and "none were fitted" in card
    for stage in (
        {"store": {"source": "mimic"}},  # ODbL
        {"store": {"source": "own"}},
        {"synthetic": None},  # a start that came without its facts
    ):
        (path / "metrics.json").write_text(json.dumps(real | {"start": real | stage}))
        again = (
            export(path, tmp_path / "o", knowledge=SMALL) / "README.md"
        ).read_text()
        assert "license: unknown" in again and "CC BY 4.0, the code" not in again
        assert "terms of the ECGs that it was trained on hold for the wei" in again
        assert ("real or simulated as nothing says" in again) == ("synthetic" in stage)
    (path / "metrics.json").unlink()
    assert training_facts({}) == {"stages": [], "merged": None}
    card = (
        export(path, tmp_path / "silent", knowledge=SMALL) / "README.md"
    ).read_text()
    assert "license: unknown" in card and "does not say which ECGs" in card
    assert "No ECG of a patient" not in card and "MIT, like" not in card
    (path / "metrics.json").write_text("{")
    with pytest.raises(RunError, match="is no JSON"):
        export(path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_lean_model_embeds_as_the_whole_one():
    torch.manual_seed(1)
    whole = MCCGAA(
        replace(STATEMENTS, loss=replace(STATEMENTS.loss, uma="maps"))
    ).eval()
    x = torch.randn(3, 12, 1000)
    with torch.no_grad():
        assert torch.equal(lean(whole).encode_ecg(x), whole.encode_ecg(x))
        q = torch.randn(2, 384)
        assert torch.equal(lean(whole).encode_text(q), whole.encode_text(q))
    assert lean(whole).tau == whole.tau and lean(whole).bias == whole.bias


@pytest.mark.parametrize(
    ("scaling", "folded"), [("none", False), ("minmax", False), ("none", True)]
)
def test_onnx_embeds_as_torch_for_any_number_of_ecgs(tmp_path, scaling, folded):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(2)
    wide = EncoderConfig(embedding_dim=16, widths=(8, 8, 16, 16), pool_heads=2)
    config = replace(STATEMENTS, encoder=wide)
    config = replace(config, input=replace(config.input, scaling=scaling))
    model = lean(MCCGAA(config))
    unsettle(model)
    if folded:
        fold(model)
    write_onnx(model, tmp_path / "encoder.onnx")
    session = runtime.InferenceSession(
        tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"]
    )
    for ecgs in (1, 2, 5):
        x = torch.randn(ecgs, 12, 1000).cumsum(2) / 10  # each its own way
        x[0, 3] = 0  # a missing lead
        (found,) = session.run(["embedding"], {"signals": x.numpy()})
        with torch.no_grad():
            expected = model.encode_ecg(x)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert expected.std(0).max() > 0.003


def test_a_model_without_a_run_is_not_exported(tmp_path):
    """Nothing would say what it was trained on: not the card, not the calibration."""
    with pytest.raises(RunError, match=r"is no folder; .* is ready to use\.$"):
        export("mccgaa-plus", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def altered(store: Path, folder: Path, **meta: object) -> SignalStore:
    """Copy a store, whose description then says something else."""
    shutil.copytree(store, folder)
    said = json.loads((folder / "store.json").read_text()) | meta
    (folder / "store.json").write_text(json.dumps(said))
    return SignalStore.open(folder)


def test_what_can_be_checked_is_checked_before_anything_is_made(
    run, twin_store, tmp_path, monkeypatch
):
    def work(*args, **options):
        pytest.fail("something was made first")

    monkeypatch.setattr("mccgaa.ready.export.write_folder", work)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    store, out = SignalStore.open(twin_store), tmp_path / "out"
    slow = altered(twin_store, tmp_path / "slow", sampling_rate=50)
    raw = altered(twin_store, tmp_path / "raw", transform="raw")
    other = altered(twin_store, tmp_path / "other", source="mimic")
    for place, options, error, said in (
        (tmp_path / "file", {}, WriteError, "file"),
        (tmp_path / "file" / "out", {}, WriteError, "file"),
        (tmp_path / "full", {}, WriteError, "full is a folder of something else"),
        (run, {}, WriteError, "is a folder of something else"),
        (out, {"calibrate_on": slow}, StoreError, "slow has sampling_rate 50"),
        (out, {"calibrate_on": raw}, StoreError, "raw has transform raw"),
        (out, {"calibrate_on": other}, StoreError, "other has no record in val whose"),
        (out, {"test_on": [store, slow]}, StoreError, "slow has sampling_rate 50"),
        (out, {"test_on": [store]}, KnowledgeError, "has no vocabulary 'super'"),
    ):
        with pytest.raises(error, match=said):
            export(run, place, knowledge=SMALL, **options)
    missing = replace(STATEMENTS, text=replace(STATEMENTS.text, encoder="medcpt-x"))
    monkeypatch.setattr(
        "mccgaa.ready.export.MCCGAA.from_pretrained", lambda _: MCCGAA(missing)
    )
    monkeypatch.setattr("mccgaa.ready.export.locate", absent_encoder)
    with pytest.raises(TextError, match="'medcpt-x' is not there"):
        export(run, out)
    assert (tmp_path / "file").read_text() == "mine" and not out.exists()
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"


def absent_encoder(name: str) -> NoReturn:
    raise TextError(f"Text encoder {name!r} is not there.")


def test_a_model_is_exported_again_into_its_folder(run, tmp_path):
    out = tmp_path / "out"
    for knowledge in (BASE, SMALL):
        export(run, out, knowledge=knowledge)
        assert load(out).knowledge.fingerprint == knowledge.fingerprint


def test_a_store_without_findings_is_tested_without_a_calibration_error(
    run, twin_store, tmp_path
):
    store = SignalStore.open(twin_store)
    other = altered(twin_store, tmp_path / "other", source="own")
    base, out = knows(store), tmp_path / "out"
    export(run, out, knowledge=base, calibrate_on=store, test_on=[other], bootstrap=9)
    card = (out / "README.md").read_text()
    assert "| own, simulated | super |" in card
    assert "expected calibration error" not in card


def test_onnx_that_is_absent_is_said_in_a_sentence(run, tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **options):
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r'pip install "mccgaa\[onnx\]"'):
        write_onnx(lean(MCCGAA(STATEMENTS)), tmp_path / "encoder.onnx")
    monkeypatch.setattr("mccgaa.ready.export.write_folder", pytest.fail)
    with pytest.raises(ConfigError, match="ONNX needs the package onnx"):
        export(run, tmp_path / "out", onnx=True)


def test_the_command_exports_and_classify_takes_its_folder(run, tmp_path, capsys):
    base = tmp_path / "base.json"
    base.write_text(json.dumps(BASE.content))
    out = tmp_path / "mine"
    command = ["export", "--run", str(run), "--out", str(out), "--knowledge", str(base)]
    assert main([*command, "--reduction", "mean"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert load(out).scoring.prompting == Prompting("members", "mean")
    assert main(["classify", "--run", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "atrial one" in printed and printed.count("medical device") == 1
