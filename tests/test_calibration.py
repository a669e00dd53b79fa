"""Probabilities are fitted to labelled ECGs, and fit them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_ready import NONE
from torch import nn

from mccgaa.data.store import SignalStore
from mccgaa.errors import StoreError
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.ready.calibration import calibrate, calibration_error, labelled
from mccgaa.ready.classifier import Classifier, listed

KNOWLEDGE = Knowledge.load()
NAMES = [entry.name for entry in listed(KNOWLEDGE)]
CODES = list(KNOWLEDGE.vocabularies["statements"])


class Stated:
    """A classifier that is told the cosines of every record of a store."""

    def __init__(self, store: SignalStore, cosine: np.ndarray) -> None:
        self.model = MCCGAA(NONE).eval().requires_grad_(False)  # tau is 0.5
        self.model.bias = nn.Parameter(torch.tensor(-1.0), requires_grad=False)
        self.knowledge = KNOWLEDGE
        self.inner = Classifier(self.model, KNOWLEDGE)
        self.scoring = self.inner.scoring
        rows = range(len(store))
        self.of = {store.batch([i])[0].tobytes(): cosine[i] for i in rows}

    def score(self, signals: torch.Tensor, names: list[str]) -> torch.Tensor:
        columns = [NAMES.index(name) for name in names]
        rows = [self.of[signal.numpy().tobytes()] for signal in signals]
        return torch.from_numpy(np.stack(rows)[:, columns])


@pytest.fixture(scope="module")
def store(twin_store) -> SignalStore:
    return SignalStore.open(twin_store)


@pytest.fixture
def cosine(store) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (len(store), len(NAMES))).astype(np.float32)


def relabel(store, monkeypatch, labels: np.ndarray) -> None:
    """Give the records of a store other statements, (N, 71) bool."""
    given = [[CODES[c] for c in np.flatnonzero(row)] or None for row in labels]
    monkeypatch.setitem(
        store.__dict__, "records", store.records.assign(statements=given)
    )


def test_labels_and_scores_are_those_of_the_splits_records(store, cosine):
    stated = Stated(store, cosine)
    found = labelled(stated, store, ("val", "train"), batch_size=7)
    rows = np.concatenate([store.indices(split=s) for s in ("val", "train")])
    assert found.names == NAMES[:71], "the findings that PTB-XL's labels are of"
    np.testing.assert_array_equal(found.cosine, cosine[rows, :71])
    for i, row in enumerate(rows):
        codes = store.records["statements"].iloc[row]
        names = {KNOWLEDGE.text("statements", code) for code in codes}
        carried = {n for n, y in zip(found.names, found.labels[i], strict=True) if y}
        assert carried == names


def test_slope_intercept_and_offsets_are_those_that_made_the_labels(
    store, cosine, monkeypatch
):
    """Cosines whose labels are drawn from 2 z + 0.5, for one finding from 2 z + 3."""
    z = cosine[:, :71].astype(np.float64) / 0.5 - 1.0
    truth = 2.0 * z + 0.5
    truth[:, 0] += 2.5
    rng = np.random.default_rng(1)
    relabel(store, monkeypatch, rng.uniform(size=z.shape) < 1 / (1 + np.exp(-truth)))
    stated = Stated(store, cosine)
    found = calibrate(stated, store, ("train", "val", "test"))
    assert found.slope == pytest.approx(2.0, abs=0.1)
    others = np.mean([found.offsets[name] for name in NAMES[1:71]])
    assert found.intercept + others == pytest.approx(0.5, abs=0.1)
    assert found.offsets[NAMES[0]] - others == pytest.approx(2.5, abs=0.6)
    assert set(found.offsets) == set(NAMES[:71])
    assert found.fitted["ecgs"] == len(store) and found.fitted["synthetic"] is True
    assert found.prompting == stated.scoring.prompting

    stated.inner.scoring = found
    logits = stated.inner.logits(torch.from_numpy(cosine[:, :71]), NAMES[:71])
    expected = found.slope * z + found.intercept
    expected += [found.offsets[name] for name in NAMES[:71]]
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    labels = labelled(stated, store, ("train", "val", "test")).labels
    plain = 1 / (1 + np.exp(-z))
    order = np.concatenate([store.indices(split=s) for s in ("train", "val", "test")])
    fitted = torch.sigmoid(logits).numpy()[order]
    assert calibration_error(fitted, labels) < 0.03
    assert calibration_error(plain[order], labels) > 0.06


def test_a_finding_of_few_ecgs_is_drawn_to_the_others(store, cosine, monkeypatch):
    labels = np.random.default_rng(2).uniform(size=(len(store), 71)) < 0.3
    labels[:, 5] = False  # none at all
    relabel(store, monkeypatch, labels)
    found = calibrate(Stated(store, cosine), store, ("train", "val", "test"))
    assert -5 < found.offsets[NAMES[5]] < -1.5
    assert np.isfinite(list(found.offsets.values())).all()


def test_a_store_without_findings_is_refused(store, cosine, monkeypatch):
    monkeypatch.setitem(store.meta, "source", "mimic")
    with pytest.raises(StoreError, match="probabilities need such records"):
        labelled(Stated(store, cosine), store, ("train",))


def test_the_error_is_the_gap_between_said_and_true():
    said = np.array([[0.2, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 0.8, 0.01, 0.02]])
    true = np.array([[1, 1, 0, 0, 1, 1, 1, 1, 1, 1]], dtype=bool)
    assert calibration_error(said, true, bins=2) == pytest.approx((0.3 + 0.2) / 2)
    assert np.isnan(calibration_error(said / 100, true))
    assert calibration_error(said[:, 8:], true[:, 8:], least=0) == pytest.approx(0.985)
