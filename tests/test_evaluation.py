"""A hospital's folder is scored as it lies there, and nothing is lost silently."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mccgaa.cli import main
from mccgaa.config import EncoderConfig, InputConfig, ModelConfig, TextConfig
from mccgaa.data.challenge import CLASS_OF, CLASSES
from mccgaa.data.record import read_record
from mccgaa.errors import StoreError
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.plus.prompting import Prompting
from mccgaa.ready.classifier import Classifier, Scoring, load
from mccgaa.ready.evaluation import Evaluation, evaluate_folder
from mccgaa_twin.mirror import write_twin

CONFIG = ModelConfig(
    input=InputConfig(sampling_rate=100, transform="bandpass-zscore"),
    encoder=EncoderConfig(embedding_dim=16, widths=(8, 8, 8, 8), pool_heads=2),
    text=TextConfig(encoder="minilm"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two hospitals of simulated records, and one record that is cut short."""
    made = tmp_path_factory.mktemp("challenge")
    write_twin(made, csn=30, mimic=0, ptbxl=0, cpsc2018=0, jobs=1, progress=False)
    root = made / "hospitals"
    for i, header in enumerate(sorted((made / "csn").rglob("*.hea"))):
        to = root / ("north" if i % 3 else "south/g1")
        to.mkdir(parents=True, exist_ok=True)
        for file in (header, header.with_suffix(".mat")):
            shutil.copy(file, to)
    (root / "SYNTHETIC").touch()
    broken = sorted((root / "north").glob("*.mat"))[0]
    broken.write_bytes(broken.read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    scoring = Scoring(Prompting("members", "mean"))
    return Classifier(MCCGAA(CONFIG), Knowledge.load(), scoring)


@pytest.fixture(scope="module")
def found(classifier, folder) -> Evaluation:
    return evaluate_folder(classifier, folder, bootstrap=20)


def headers(folder: Path) -> dict[str, list[str]]:
    """Record -> the codes of its header, read line by line."""
    return {
        header.stem: line.partition(":")[2].strip().split(",")
        for header in sorted(folder.rglob("*.hea"))
        for line in header.read_text().splitlines()
        if line.startswith("#Dx")
    }


def test_each_hospital_and_all_together_are_scored(found, folder):
    broken = {one["record_id"] for one in found.rejected}
    assert len(broken) == 1 and "cut" not in found.rejected[0]["path"]
    north, south = (len(list((folder / h).rglob("*.hea"))) for h in ("north", "south"))
    assert found.together.n == north + south - 1
    assert {k: v.n for k, v in found.hospitals.items()} == {
        "north": north - 1,
        "south": south,
    }
    assert found.together.resamples == 20 and found.together.units == found.together.n


def test_the_areas_are_those_of_an_independent_computation(found, classifier, folder):
    base, broken = Knowledge.load(), found.rejected[0]["record_id"]
    labels, scores = [], []
    for name, codes in headers(folder).items():
        if name == broken:
            continue
        labels.append([c in {CLASS_OF.get(code) for code in codes} for c in CLASSES])
        (path,) = folder.rglob(f"{name}.hea")
        x = classifier.model.encode_ecg(classifier.windows(read_record(path)))  # (W, M)
        row = []
        for c in CLASSES:
            words = [w for said in base.prompts("challenge", c) for w in said]
            row.append(float((x @ classifier.model.encode_text(words).T).mean()))
        scores.append(row)
    labels, scores = np.array(labels), np.array(scores)
    tested = 0
    for c, name in enumerate(CLASSES):
        if name in found.together.classes:
            expected = roc_auc_score(labels[:, c], scores[:, c])
            got = found.together.classes[name]["auroc"]
            assert got == pytest.approx(expected, abs=1e-3)
            tested += 1
        else:
            assert name in found.together.left_out
            assert not 0 < labels[:, c].sum() < len(labels)
    assert tested >= 5


def test_codes_that_are_no_class_are_counted_and_named(found, folder):
    counted = Counter(code for codes in headers(folder).values() for code in codes)
    expected = {c: n for c, n in counted.items() if c not in CLASS_OF}
    assert expected, "the twin writes codes that the challenge does not score"
    assert {one["code"]: one["records"] for one in found.unmapped} == expected
    named = [one["name"] for one in found.unmapped]
    assert any(named), "the knowledge base knows some of them"


def test_a_model_whose_knowledge_lacks_the_classes_gets_the_packaged_ones(
    classifier, folder
):
    base = Knowledge({"mine": {"a": Knowledge.load().entry("challenge", "AF")}})
    other = Classifier(classifier.model, base, classifier.scoring)
    one = evaluate_folder(other, folder, bootstrap=0, limit=8)
    two = evaluate_folder(classifier, folder, bootstrap=0, limit=8)
    assert one.together.macro_auroc == two.together.macro_auroc


def test_a_folder_without_a_record_that_can_be_scored_is_refused(
    classifier, folder, found, tmp_path
):
    with pytest.raises(StoreError, match=r"holds no \.hea file"):
        evaluate_folder(classifier, tmp_path)
    broken = found.rejected[0]["record_id"]
    with pytest.raises(StoreError, match=r"No record under .* can be scored.*[^.]\.$"):
        evaluate_folder(classifier, folder, only_ids=[broken])
    with pytest.raises(StoreError, match="nowhere is no folder"):
        evaluate_folder(classifier, tmp_path / "nowhere")


def test_the_command_writes_results_with_their_protocol(folder, tmp_path, capsys):
    import json

    out = tmp_path / "out.json"
    options = ["--bootstrap", "0", "--limit", "9", "--json", str(out)]
    assert main(["evaluate", str(folder), *options]) == 0
    said = json.loads(out.read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert said["meaning"] == printed.splitlines()[0]
    assert "no classifier was fitted" in said["meaning"]
    assert "no evidence about patients" in said["meaning"]  # the folder is marked
    assert "ptbxl, another source" in said["meaning"]  # so none was in pretraining
    assert said["protocol"]["records_in_pretraining"] is False
    assert said["synthetic"]["tested"] is True
    assert said["protocol"]["classifier_fitted"] is False
    assert said["results"]["n"] == sum(h["n"] for h in said["hospitals"].values())
    assert set(said["classes"]) == set(CLASSES)
    assert said["classes"]["LBBB"]["codes"] == [164909002, 733534002]
    assert len(said["rejected_records"]) == 1 and said["unmapped_codes"]
    assert "left out:" in printed and "no class:" in printed
    assert said["results"]["ci95"] == [None, None]


def test_real_records_of_other_hospitals_can_be_read_and_scored(real_data):
    """That it runs, on three records; three say nothing of how well."""
    root = real_data / "external" / "georgia"
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    found = evaluate_folder(load(), root, limit=3, bootstrap=0)
    assert found.together.n + len(found.rejected) == 3
    assert found.source.meta["synthetic"] is False
