"""Zero-shot scores are cosines of ECGs and class texts, averaged over windows."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_device import fake_gpu
from torch import nn

from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    InputConfig,
    ModelConfig,
    TextConfig,
)
from mccgaa.data.datasets import open_or_pack
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, RunError, StoreError
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import evaluate
from mccgaa.model import MCCGAA
from mccgaa.zeroshot import (
    class_scores,
    embed,
    load_model,
    score,
    score_tasks,
    zero_shot,
)
from mccgaa_twin.mirror import write_twin

CONFIG = ModelConfig(
    input=InputConfig(sampling_rate=100, transform="bandpass-zscore"),
    encoder=EncoderConfig(embedding_dim=16, widths=(8, 8, 8, 8), pool_heads=2),
    text=TextConfig(encoder="minilm"),
    gafa=GafaConfig(hidden=8, output=4, heads=2, graph="bipartite"),
)


@pytest.fixture(scope="module")
def model() -> MCCGAA:
    torch.manual_seed(0)
    return MCCGAA(CONFIG).eval()


@pytest.fixture(scope="module")
def store(twin_store: Path) -> SignalStore:
    return SignalStore.open(twin_store)


class Oracle(nn.Module):
    """Knows the label of every signal: an ECG's embedding IS its label vector.

    A class's text is its unit vector, so that the score of a record and a class is the
    record's label, or its negative.
    """

    def __init__(self, store: SignalStore, task: str, sign: float = 1.0) -> None:
        super().__init__()
        self.config = CONFIG
        self.weight = nn.Parameter(torch.zeros(()))
        self.sign = sign
        rows = store.indices(task=task)
        labels, classes = store.labels(task, rows)
        self.label_of = {
            store.batch([row])[0].tobytes(): torch.from_numpy(label).float()
            for row, label in zip(rows, labels, strict=True)
        }
        knowledge = Knowledge.load()
        self.texts = [knowledge.text(task, name) for name in classes]

    def encode_ecg(self, x: torch.Tensor) -> torch.Tensor:
        rows = [self.label_of[signal.numpy().tobytes()] for signal in x]
        return self.sign * torch.stack(rows)  # (B, C)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        return torch.eye(len(self.texts))[[self.texts.index(text) for text in texts]]


class Plain(nn.Module):
    """Some function of signals and some of texts, cheaper than the model's."""

    def __init__(self) -> None:
        super().__init__()
        self.config = CONFIG
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(120, 16, generator=rng))

    def encode_ecg(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(x[:, :, ::100].flatten(1) @ self.weight, dim=1)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        codes = [
            [math.sin(i * sum(text.encode())) for i in range(16)] for text in texts
        ]
        return nn.functional.normalize(torch.tensor(codes), dim=1)


@pytest.fixture(scope="module")
def plain() -> Plain:
    return Plain().eval()


TASKS = ("super", "sub", "form", "rhythm")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("sign", "expected"), [(1.0, 1.0), (-1.0, 0.0)])
def test_who_knows_the_labels_has_auroc_1_and_who_inverts_them_0(
    store, task, sign, expected
):
    result = zero_shot(
        Oracle(store, task, sign),
        store,
        [task],
        Knowledge.load(),
        split=None,
        bootstrap=10,
    )[task]
    assert result.macro_auroc == expected and result.ci95 == (expected, expected)
    assert result.classes  # at least one can be scored
    assert {entry["auroc"] for entry in result.classes.values()} == {expected}


@pytest.mark.parametrize("task", TASKS)
def test_the_order_of_the_classes_does_not_matter(store, task):
    permuted = SignalStore.open(store.path)
    permuted.meta["tasks"][task] = permuted.meta["tasks"][task][::-1]
    found = score(Oracle(store, task), permuted, task, Knowledge.load(), None)
    assert found.classes == store.classes(task)[::-1]
    np.testing.assert_array_equal(found.scores, found.labels)
    straight = score(Oracle(store, task), store, task, Knowledge.load(), None)
    np.testing.assert_array_equal(found.labels, straight.labels[:, ::-1])
    assert found.texts == straight.texts[::-1]


@pytest.mark.parametrize("split", ["train", "val", "test", None])
def test_a_split_is_the_rows_of_the_split_column(plain, store, split):
    table = store.records
    for task, found in score_tasks(
        plain, store, TASKS, Knowledge.load(), split, device="cpu"
    ).items():
        rows = [
            i
            for i in range(len(table))
            if split in (None, table["split"][i]) and table[task][i] is not None
        ]
        assert found.rows.tolist() == rows
        expected = embed(plain, store, np.array(rows), device="cpu")
        torch.testing.assert_close(found.embeddings, expected, atol=2e-2, rtol=0)
        labels = [[c in table[task][i] for c in found.classes] for i in rows]
        np.testing.assert_array_equal(found.labels, labels)
        cosines = class_scores(plain, expected, found.texts)
        np.testing.assert_allclose(found.scores, cosines, atol=2e-2)


def test_the_test_split_is_the_default(plain, store):
    found = score(plain, store, "super", Knowledge.load())
    assert set(store.records["split"].iloc[found.rows]) == {"test"}
    result = zero_shot(plain, store, ["super"], Knowledge.load(), bootstrap=0)
    assert result["super"].n == len(found.rows)
    scores = score_tasks(plain, store, ["super"], Knowledge.load())["super"]
    assert np.array_equal(scores.rows, found.rows)


def test_records_of_one_subject_are_resampled_together(plain, store):
    knowledge = Knowledge.load()
    rows = store.indices(task="super")
    subjects = store.records["subject_id"].iloc[rows]
    assert subjects.duplicated().any()  # the mirror has patients with several ECGs
    result = zero_shot(
        plain, store, ["super"], knowledge, split=None, bootstrap=40, device="cpu"
    )["super"]
    assert (result.n, result.units) == (len(rows), subjects.nunique())
    found = score(plain, store, "super", knowledge, None, device="cpu")
    expected = evaluate(
        found.labels, found.scores, found.classes, groups=[*subjects], bootstrap=40
    )
    assert result.ci95 == expected.ci95


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


def test_every_task_is_scored_on_its_own_records_only(plain, store):
    results = zero_shot(
        plain, store, ["super", "form"], Knowledge.load(), split=None, bootstrap=20
    )
    assert results["super"].n == len(store.indices(task="super"))
    assert results["form"].n == len(store.indices(task="form"))
    labels, classes = store.labels("form")
    for name, entry in results["form"].classes.items():
        assert entry["positives"] == labels[:, classes.index(name)].sum()
    empty = {c for c, n in zip(classes, labels.sum(0), strict=True) if n == 0}
    assert empty == set(results["form"].left_out)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> SignalStore:
    """Records of 6 to 60 s, cut into windows of 10 s."""
    folder = tmp_path_factory.mktemp("windows")
    sizes = {"ptbxl": 0, "mimic": 0, "cpsc2018": 24}
    write_twin(folder, **sizes, seed=2, jobs=1, progress=False)
    return open_or_pack(
        "cpsc2018",
        folder / "cpsc2018",
        folder / "store",
        input=InputConfig(100, transform="bandpass-zscore"),
        lengths="windows",
        jobs=1,
        progress=False,
    )


def test_a_record_is_scored_by_the_mean_over_its_windows(plain, windows):
    knowledge, task = Knowledge.load(), "cpsc2018"
    found = score(plain, windows, task, knowledge, None, device="cpu")
    table = windows.records
    names = list(dict.fromkeys(table["group"]))
    assert len(names) < len(table)  # some record has several windows
    texts = [knowledge.text(task, name) for name in found.classes]
    q = plain.encode_text(texts).detach()
    assert len(found.scores) == len(names)
    for i, name in enumerate(names):
        rows = [r for r in range(len(table)) if table["group"][r] == name]
        x = embed(plain, windows, np.array(rows), device="cpu")
        mean = sum(x[j] @ q.T for j in range(len(rows))) / len(rows)
        np.testing.assert_allclose(found.scores[i], mean, atol=1e-2)
        np.testing.assert_allclose(found.embeddings[i], x.mean(0), atol=1e-2)
        assert found.rows[i] == rows[0]
        labels = [c in table[task][rows[0]] for c in found.classes]
        assert found.labels[i].tolist() == labels
    result = zero_shot(plain, windows, [task], knowledge, split=None, bootstrap=5)
    assert (result[task].n, result[task].units) == (len(names), len(names))


def test_unknown_task_and_empty_split_raise_readable_errors(plain, store):
    with pytest.raises(ConfigError, match=r"no task 'sooper'; it has super"):
        zero_shot(plain, store, ["sooper"], Knowledge.load())
    empty = SignalStore.open(store.path)
    empty.records["split"] = "train"
    for split in ("val", "test"):
        with pytest.raises(StoreError, match=f"task 'super' in split '{split}'"):
            zero_shot(plain, empty, ["super"], Knowledge.load(), split=split)


@pytest.mark.parametrize(
    "changed", [{"sampling_rate": 500}, {"transform": "raw"}, {"duration": 5.0}]
)
def test_a_store_of_another_input_is_refused(store, changed):
    other = MCCGAA(replace(CONFIG, input=replace(CONFIG.input, **changed)))
    with pytest.raises(StoreError, match="the model expects"):
        zero_shot(other, store, ["super"], Knowledge.load(), device="cpu")


def test_fused_scores_use_the_bipartite_graph(model, store):
    x = embed(model, store, np.arange(6), device="cpu")
    texts = ["atrial fibrillation", "sinus rhythm", "paced rhythm"]
    fused = class_scores(model, x, texts, fused=True)
    with torch.no_grad():
        x_fuse, q_fuse = model.gafa(x, model.encode_text(texts))
    for i in range(6):
        for c in range(3):
            a, b = x_fuse[i], q_fuse[c]
            expected = float(a @ b / (a.norm() * b.norm()))
            assert fused[i, c] == pytest.approx(expected, abs=1e-5)
    assert not np.allclose(fused, class_scores(model, x, texts))
    knowledge = Knowledge.load()
    found = score(model, store, "super", knowledge, fused=True, device="cpu")
    expected = class_scores(model, found.embeddings, found.texts, fused=True)
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)


def test_a_fused_score_depends_on_the_other_records(model):
    rng = torch.Generator().manual_seed(0)
    x = nn.functional.normalize(torch.randn(12, 16, generator=rng), dim=1)
    texts = ["atrial fibrillation", "sinus rhythm"]
    together = class_scores(model, x, texts, fused=True)
    assert not np.allclose(class_scores(model, x[:6], texts, fused=True), together[:6])


@pytest.mark.parametrize("graph", ["pair", "none"])
def test_fused_scores_of_another_graph_are_refused(store, graph):
    gafa = replace(CONFIG.gafa, graph=graph)
    other = MCCGAA(replace(CONFIG, gafa=gafa)).eval()
    with pytest.raises(ConfigError, match="need the bipartite graph"):  # before work
        other.encode_ecg = lambda x: pytest.fail("it was embedded first")
        score(other, store, "super", Knowledge.load(), fused=True, device="cpu")
    x = torch.eye(2, 16)  # as many ECGs as classes: the pair graph would take them
    with pytest.raises(ConfigError, match=f"need the bipartite graph.*{graph!r}"):
        class_scores(other, x, ["sinus rhythm", "paced rhythm"], fused=True)


def test_precision_is_a_choice(plain, store, monkeypatch):
    asked = []

    def autocast(device, precision):
        asked.append((device.type, precision))
        return contextlib.nullcontext()

    monkeypatch.setattr("mccgaa.zeroshot.autocast", autocast)
    knowledge = Knowledge.load()
    score(plain, store, "super", knowledge, device="cpu")
    score(plain, store, "super", knowledge, precision="fp32", device="cpu")
    embed(plain, store, np.arange(2), device="cpu")
    assert asked == [("cpu", "bf16"), ("cpu", "fp32"), ("cpu", "bf16")]


def test_no_record_has_no_embedding(plain, store):
    assert embed(plain, store, np.array([], dtype=int), device="cpu").shape == (0, 16)


def test_a_bar_is_shown_only_when_asked_for(plain, store, capsys):
    knowledge = Knowledge.load()
    embed(plain, store, np.arange(2), device="cpu")
    score(plain, store, "super", knowledge, device="cpu")
    assert "embed" not in capsys.readouterr().err
    for show in (False, True):
        score(plain, store, "super", knowledge, device="cpu", progress=show)
        shown = capsys.readouterr().err
        assert ("embed" in shown) is ("batch" in shown) is show


def test_class_texts_are_worded_in_the_style_of_the_model(plain, store):
    knowledge = Knowledge.load()
    full = Plain().eval()
    full.config = replace(CONFIG, text=replace(CONFIG.text, style="full"))
    found = score(full, store, "super", knowledge, device="cpu")
    texts = [knowledge.text("super", name, "full") for name in found.classes]
    assert found.texts == texts
    cosines = class_scores(full, found.embeddings, texts)
    np.testing.assert_allclose(found.scores, cosines, atol=1e-5)
    assert score(plain, store, "super", knowledge, device="cpu").texts != texts


def test_zero_shot_evaluates_the_scores_that_its_options_ask_for(model, store):
    knowledge, results = Knowledge.load(), {}
    for fused in (False, True):
        options = {"fused": fused, "device": "cpu"}
        results[fused] = zero_shot(model, store, ["super"], knowledge, **options)
        found = score(model, store, "super", knowledge, **options)
        expected = evaluate(found.labels, found.scores, found.classes, bootstrap=0)
        assert results[fused]["super"].macro_auroc == expected.macro_auroc
        assert results[fused]["super"].resamples == 1000
    assert results[True] != results[False]


class Watched(Plain):
    """Notes where and in which mode it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.ecgs, self.texts = [], []

    def encode_ecg(self, x: torch.Tensor) -> torch.Tensor:
        self.ecgs.append((x.device.type, self.weight.device.type, self.training))
        return super().encode_ecg(x)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        self.texts.append(self.weight.device.type)
        return super().encode_text(texts).to(self.weight.device)


@pytest.mark.parametrize(
    ("device", "where"), [(None, "cuda"), ("cpu", "cpu"), ("cuda", "cuda")]
)
def test_a_model_computes_where_it_is_told_and_in_evaluation_mode(store, device, where):
    model = Watched().train()
    with fake_gpu():
        score(model, store, "super", Knowledge.load(), device=device)
        embed(model, store, np.arange(3), device=device)
    assert model.ecgs == 2 * [(where, where, False)] and model.texts == [where]
    assert model.training and model.weight.device.type == "cpu"


def test_a_saved_model_is_loaded_onto_the_device_asked_for(model, tmp_path):
    model.save_pretrained(tmp_path / "run")
    with fake_gpu() as gpu:
        for device, where in ((None, gpu), ("cpu", torch.device("cpu"))):
            again = load_model(tmp_path / "run", device)
            assert next(again.parameters()).device == where and not again.training
    with pytest.raises(RunError, match="nowhere"):
        load_model(tmp_path / "nowhere", "cpu")


def test_every_result_is_on_the_cpu_and_the_model_stays_where_it_was(store):
    torch.manual_seed(0)
    model, knowledge = MCCGAA(CONFIG).train(), Knowledge.load()
    expected = score(model, store, "super", knowledge, precision="fp32", device="cpu")
    with fake_gpu() as gpu:
        for home in ("cpu", "cuda"):
            model.to(home)
            for device in (None, "cpu", "cuda"):
                found = score(model, store, "super", knowledge, device=device)
                assert found.embeddings.device == torch.device("cpu")
                np.testing.assert_allclose(found.scores, expected.scores, atol=2e-2)
                where = next(model.parameters()).device
                assert where == (gpu if home == "cuda" else torch.device("cpu"))
        assert model.training  # as it was
        model.to("cpu")
