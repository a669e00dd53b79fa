"""Zero-shot scores are cosines of ECGs and class texts, averaged over windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    InputConfig,
    ModelConfig,
    TextConfig,
)
from mccgaa.data.record import read_record
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, StoreError
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.zeroshot import class_scores, classify, embed, zero_shot

CONFIG = ModelConfig(
    input=InputConfig(sampling_rate=100, transform="bandpass-zscore"),
    encoder=EncoderConfig(embedding_dim=16, widths=(8, 8, 8, 8), pool_heads=2),
    text=TextConfig(encoder="minilm", dim=384, pooling="mean"),
    gafa=GafaConfig(embedding_dim=16, hidden=8, output=4, heads=2, graph="bipartite"),
)


@pytest.fixture(scope="module")
def model() -> MCCGAA:
    torch.manual_seed(0)
    return MCCGAA(CONFIG).eval()


@pytest.fixture(scope="module")
def store(twin_store: Path) -> SignalStore:
    return SignalStore.open(twin_store)


def test_scores_are_cosines_with_the_class_texts(model, store):
    index = np.arange(5)
    x = embed(model, store, index, device="cpu")
    texts = ["atrial fibrillation", "sinus rhythm"]
    scores = class_scores(model, x, texts)
    q = model.encode_text(texts).detach()
    for i in range(5):
        for c in range(2):
            dot = sum(float(a) * float(b) for a, b in zip(x[i], q[c], strict=True))
            assert scores[i, c] == pytest.approx(dot, abs=1e-5)
    np.testing.assert_allclose(x.norm(dim=1), 1, rtol=1e-3)


def test_embedding_does_not_depend_on_the_batch_it_came_in(model, store):
    index = np.arange(7)
    whole = embed(model, store, index, device="cpu")
    parts = embed(model, store, index, batch_size=2, device="cpu")
    torch.testing.assert_close(whole, parts, atol=2e-2, rtol=0)


def test_every_task_is_scored_on_its_own_records_only(model, store):
    results = zero_shot(
        model, store, ["super", "form"], Knowledge.load(), split=None, bootstrap=20
    )
    assert results["super"].n == len(store.indices(task="super"))
    assert results["form"].n == len(store.indices(task="form"))
    labels, classes = store.labels("form")
    for name, entry in results["form"].classes.items():
        assert entry["positives"] == labels[:, classes.index(name)].sum()
    empty = {c for c, n in zip(classes, labels.sum(0), strict=True) if n == 0}
    assert empty == set(results["form"].left_out)


def test_windows_of_one_record_are_averaged(model, store):
    knowledge = Knowledge.load()
    plain = zero_shot(model, store, ["super"], knowledge, split=None, bootstrap=0)
    doubled = SignalStore.open(store.path)
    doubled.__dict__["records"] = store.records.assign(
        group=[f"g{i // 2}" for i in range(len(store))]
    )
    result = zero_shot(model, doubled, ["super"], knowledge, split=None, bootstrap=0)
    rows = store.indices(task="super")
    assert result["super"].n == len({i // 2 for i in rows}) < plain["super"].n


def test_unknown_task_and_empty_split_and_other_rate_are_sentences(
    model, store, tmp_path
):
    with pytest.raises(ConfigError, match=r"no task 'sooper'; it has super"):
        zero_shot(model, store, ["sooper"], Knowledge.load())
    other = MCCGAA(replace(CONFIG, input=InputConfig(sampling_rate=500)))
    with pytest.raises(StoreError, match="the model expects 500"):
        embed(other, store, np.arange(2))


def test_fused_scores_use_the_bipartite_graph(model, store):
    x = embed(model, store, np.arange(6), device="cpu")
    texts = ["atrial fibrillation", "sinus rhythm", "paced rhythm"]
    plain, fused = (class_scores(model, x, texts, fused=f) for f in (False, True))
    assert fused.shape == plain.shape == (6, 3)
    assert not np.allclose(plain, fused)


def test_one_file_is_classified_as_the_same_record_in_the_store(
    model, store, twin_tree
):
    record = read_record(twin_tree / store.records["path"].iloc[0])
    rows = classify(
        model, record, ["AFIB", "sinus rhythm", "a purple ECG"], Knowledge.load()
    )
    assert [row["cosine"] for row in rows] == sorted(
        (row["cosine"] for row in rows), reverse=True
    )
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    by_class = {row["class"]: row for row in rows}
    assert by_class["AFIB"]["text"] == Knowledge.load().text("rhythm", "AFIB")
    assert by_class["a purple ECG"]["text"] == "a purple ECG"
    x = embed(model, store, np.array([0]), device="cpu")
    expected = class_scores(model, x, [by_class["AFIB"]["text"]])[0, 0]
    assert by_class["AFIB"]["cosine"] == pytest.approx(
        expected, abs=0.02
    )  # bf16, int16


def test_no_class_to_choose_from_is_refused(model, twin_tree, store):
    record = read_record(twin_tree / store.records["path"].iloc[0])
    with pytest.raises(ConfigError, match="at least one class"):
        classify(model, record, [], Knowledge.load())
