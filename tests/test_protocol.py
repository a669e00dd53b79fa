"""What a zero-shot result says of the run and the records that it rests on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mccgaa.config import ModelConfig, TextConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError
from mccgaa.knowledge import Knowledge
from mccgaa.protocol import protocol

MODEL: Any = SimpleNamespace(config=ModelConfig(text=TextConfig(style="name")))
NOT_KNOWN = "Whether records of this split were in pretraining is not known."
UNTOUCHED = "Zero-shot: no classifier was fitted to the labels of these tasks."


@pytest.fixture
def store(twin_store: Path) -> SignalStore:
    return SignalStore.open(twin_store)


def write_run(folder: Path, store: SignalStore, /, **changed: Any) -> Path:
    """Write the metrics.json of a run on this store, its texts naming all but NORM."""
    knowledge = Knowledge.load()
    texts = knowledge.texts("name")
    metrics = {
        "synthetic": True,
        "method": 7,
        "hash": "abc",
        "store": {
            "source": store.meta["source"],
            "fingerprint": store.meta["fingerprint"],
        },
        "texts": {
            "kind": "knowledge",
            "named": {text: text != knowledge.text("super", "NORM") for text in texts},
        },
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics | changed))
    return folder


def test_a_test_of_the_source_of_pretraining_says_so(store, tmp_path):
    run = write_run(tmp_path / "run", store)
    found = protocol(run, MODEL, store, ["super", "form"], Knowledge.load())
    json.dumps(found, allow_nan=False)
    assert found["run"]["hash"] == "abc" and found["run"]["method"] == 7
    assert found["protocol"]["same_source"] is True
    assert found["protocol"]["records_in_pretraining"] is False  # split test
    count = len(store.classes("form"))
    assert found["protocol"]["class_texts"] == {
        "super": {"classes": 5, "named_in_pretraining": 4},
        "form": {"classes": count, "named_in_pretraining": count},
    }
    assert found["meaning"] == (
        f"{UNTOUCHED} Pretraining read texts made from the labels of ptbxl, the source "
        f"of this test. {count + 4} of {count + 5} class texts occur in them word for "
        "word. Synthetic records: no evidence about patients."
    )


@pytest.mark.parametrize(
    ("split", "seen"), [("train", True), (None, True), ("val", False), ("test", False)]
)
def test_only_the_training_split_was_in_pretraining(store, tmp_path, split, seen):
    run = write_run(tmp_path / "run", store)
    options = {"split": split}
    found = protocol(run, MODEL, store, ["super"], Knowledge.load(), **options)
    assert found["split"] == (split or "all")
    assert found["protocol"]["records_in_pretraining"] is seen
    assert ("Records of this split were in pretraining." in found["meaning"]) is seen
    assert NOT_KNOWN not in found["meaning"]


def test_whether_another_store_of_the_source_shares_records_is_not_known(
    store, tmp_path
):
    other = {"source": "ptbxl", "fingerprint": "other"}
    run = write_run(tmp_path / "run", store, store=other)
    for split in ("test", None):
        found = protocol(run, MODEL, store, ["super"], Knowledge.load(), split=split)
        assert found["protocol"]["same_source"] is True
        assert found["protocol"]["records_in_pretraining"] is None
        assert NOT_KNOWN in found["meaning"]


def test_a_test_of_another_source_after_reports_says_so(store, tmp_path):
    store.meta["synthetic"] = False
    run = write_run(
        tmp_path / "run",
        store,
        store={"source": "mimic", "fingerprint": "other"},
        texts={"kind": "report", "named": {}},
    )
    options = {"split": None, "fused": True}
    found = protocol(run, MODEL, store, ["super"], Knowledge.load(), **options)
    how = found["protocol"]
    assert how["same_source"] is how["records_in_pretraining"] is False
    assert how["class_texts"] == {"super": {"classes": 5, "named_in_pretraining": None}}
    assert found["synthetic"] == {"tested": False, "trained": True}
    assert found["meaning"] == (
        f"{UNTOUCHED} Pretraining read reports of mimic, another source. Fused: a "
        "record's scores depend on the other records. Pretraining read synthetic "
        "records; those tested are not marked as synthetic."
    )


def test_real_records_after_real_ones_need_no_word(store, tmp_path):
    store.meta["synthetic"] = False
    run = write_run(tmp_path / "run", store, synthetic=False)
    found = protocol(run, MODEL, store, ["super"], Knowledge.load())
    assert "ynthetic" not in found["meaning"]


def test_a_run_rests_on_what_the_run_that_it_started_from_read_too(store, tmp_path):
    store.meta["synthetic"] = False
    knowledge = Knowledge.load()
    texts = knowledge.texts("name")
    earlier = {
        "weights": "1",
        "hash": "def",
        "synthetic": True,
        "store": {"source": "mimic", "fingerprint": "other"},
        "texts": {
            "kind": "report",
            "named": {text: text == knowledge.text("super", "NORM") for text in texts},
        },
        "unseen": None,
        "start": None,
    }
    run = write_run(tmp_path / "run", store, synthetic=False, start=earlier)
    found = protocol(run, MODEL, store, ["super"], knowledge)
    assert found["synthetic"] == {"tested": False, "trained": "mixed"}
    assert found["protocol"]["class_texts"]["super"]["named_in_pretraining"] == 5
    assert found["meaning"] == (
        f"{UNTOUCHED} Pretraining read reports of mimic, another source, and then "
        "texts made from the labels of ptbxl, the source of this test. 5 of 5 class "
        "texts occur in them word for word. Pretraining read synthetic and real "
        "records; those tested are not marked as synthetic."
    )
    assert found["protocol"]["records_in_pretraining"] is False

    own = {"source": "ptbxl", "fingerprint": store.meta["fingerprint"]}
    other = {"source": "mimic", "fingerprint": "other"}
    turned = write_run(
        tmp_path / "turned", store, store=other, start=earlier | {"store": own}
    )
    how = protocol(turned, MODEL, store, ["super"], knowledge, split="train")
    assert how["protocol"]["same_source"] is True
    assert how["protocol"]["records_in_pretraining"] is True

    unknown = earlier | dict.fromkeys(("store", "texts", "synthetic"))
    run = write_run(tmp_path / "unknown", store, synthetic=False, start=unknown)
    found = protocol(run, MODEL, store, ["super"], knowledge)
    assert found["synthetic"]["trained"] is None
    assert found["protocol"]["same_source"] is True
    assert found["protocol"]["records_in_pretraining"] is None
    counts = found["protocol"]["class_texts"]["super"]
    assert counts["named_in_pretraining"] is None
    assert "What pretraining read is not known" in found["meaning"]


def test_texts_of_another_knowledge_base_are_not_known_to_be_named(store, tmp_path):
    run = write_run(tmp_path / "run", store)
    own = Knowledge.load()
    own.vocabularies["super"] |= {"MI": own.entry("csn", own.classes("csn")[0])}
    own.vocabularies["super"]["CD"] = own.entry("super", "HYP")
    found = protocol(run, MODEL, store, ["super"], own)
    counts = found["protocol"]["class_texts"]["super"]
    assert counts["named_in_pretraining"] == 4  # words of the packaged base, still
    text = tmp_path / "own.yaml"
    text.write_text("super: {NORM: fine, MI: infarct, STTC: st, CD: block, HYP: big}")
    found = protocol(run, MODEL, store, ["super"], Knowledge.load(text))
    counts = found["protocol"]["class_texts"]["super"]
    assert counts == {"classes": 5, "named_in_pretraining": None}
    assert "class texts" not in found["meaning"]
    assert found["knowledge"] == Knowledge.load(text).fingerprint


def test_a_model_without_a_run_and_a_damaged_run(store, tmp_path):
    found = protocol(tmp_path, MODEL, store, ["super"], Knowledge.load())
    assert set(found["run"].values()) == {str(tmp_path), None}
    assert found["protocol"]["same_source"] is None
    assert found["protocol"]["records_in_pretraining"] is None
    assert "What pretraining read is not known" in found["meaning"]
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(RunError, match=r"metrics\.json is no JSON"):
        protocol(tmp_path, MODEL, store, ["super"], Knowledge.load())


def test_a_run_of_statements_says_so_and_what_it_held_out(store, tmp_path):
    unseen = {"classes": {"AFIB": [], "SR": []}, "left_out": 7, "records": 70}
    texts = {"kind": "report", "statements": True, "unseen": unseen, "named": {}}
    run = write_run(tmp_path / "run", store, texts=texts)
    found = protocol(run, MODEL, store, ["super"], Knowledge.load())
    assert found["protocol"]["stages"][0]["statements"] is True
    assert found["protocol"]["unseen"] == unseen
    assert found["meaning"] == (
        f"{UNTOUCHED} Pretraining read the statements of reports of ptbxl, the source "
        "of this test. Held out with all that shows them: AFIB, SR (7 of 70 training "
        "records). Synthetic records: no evidence about patients."
    )
    texts = {"kind": "knowledge", "statements": True}
    run = write_run(tmp_path / "other", store, texts=texts)
    said = protocol(run, MODEL, store, ["super"], Knowledge.load())["meaning"]
    assert "read statements made from the labels of ptbxl, the source" in said


def test_members_are_named_where_one_of_their_wordings_is(store, tmp_path):
    knowledge = Knowledge.load()
    names = {w: w == "old inferior infarct" for w in knowledge.wordings()}
    run = write_run(tmp_path / "run", store, texts={"kind": "report", "named": names})
    options = {"prompts": "members", "reduction": "mean"}
    found = protocol(run, MODEL, store, ["super"], knowledge, **options)
    counts = found["protocol"]["class_texts"]["super"]
    assert counts == {"classes": 5, "named_in_pretraining": 1}
    assert "1 of 5 classes are in them word for word." in found["meaning"]
    assert (found["prompts"], found["reduction"]) == ("members", "mean")
    found = protocol(run, MODEL, store, ["super"], knowledge)
    assert found["protocol"]["class_texts"]["super"]["named_in_pretraining"] == 0
    assert (found["prompts"], found["reduction"]) == ("single", None)


def test_the_settings_of_the_scoring_are_kept(store, tmp_path, monkeypatch):
    for has in (True, False):
        monkeypatch.setattr("mccgaa.runtime.has_bf16", lambda device, has=has: has)
        found = protocol(
            tmp_path, MODEL, store, ["super"], Knowledge.load(), bootstrap=5
        )
        assert found["precision"] == ("bf16" if has else "fp32")
    assert (found["bootstrap"], found["fused"], found["text_style"]) == (
        5,
        False,
        "name",
    )
    assert found["store"] == {
        "folder": str(store.path),
        "fingerprint": store.meta["fingerprint"],
        "source": "ptbxl",
    }
