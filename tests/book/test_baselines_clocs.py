"""CLOCS: segments, leads, and who is whose positive."""

import math

import pytest
import torch
from toy_baselines import batch, config, learns, make, matrix, signals, watched_gather

from mccgaa.errors import ConfigError
from mccgaa_book.baselines.base import Batch
from mccgaa_book.baselines.clocs import (
    CLOCSSettings,
    coded,
    lead_halves,
    patient_loss,
    segments,
)

TAU = 0.1


def naive_loss(a, b, patients, tau):
    """Minus the mean log p of all pairs of one patient, both directions, in loops."""
    size, total = len(a), 0.0
    for one, other in ((a, b), (b, a)):
        pairs = []
        for i in range(size):
            scores = []
            for j in range(size):
                dot = sum((one[i] * other[j]).tolist())
                scores.append(dot / (one[i].norm() * other[j].norm()).item() / tau)
            whole = math.log(sum(math.exp(s) for s in scores))
            pairs += [
                scores[j] - whole for j in range(size) if patients[i] == patients[j]
            ]
        total -= sum(pairs) / len(pairs)
    return total


@pytest.mark.parametrize(
    "patients", [[1, 2, 3, 4, 5], [7, 7, 3, 4, 3], [1, 1, 1, 1, 1]]
)
def test_the_loss_is_that_of_the_paper(patients):
    a, b = matrix(5, 4), matrix(5, 4, seed=1)
    ours = patient_loss(a, b, torch.tensor(patients), 0.5).item()
    assert ours == pytest.approx(naive_loss(a, b, patients, 0.5), abs=1e-12)


def test_known_values_of_the_loss():
    same = torch.ones(4, 3).double()
    apart, alone = torch.arange(4), torch.zeros(4).long()
    assert patient_loss(same, same, apart, TAU).item() == pytest.approx(2 * math.log(4))
    assert patient_loss(same, same, alone, TAU).item() == pytest.approx(2 * math.log(4))
    own = torch.eye(4).double()
    assert patient_loss(own, own, apart, 0.01).item() == pytest.approx(0, abs=1e-12)


def test_positives_are_exactly_the_pairs_of_one_patient():
    patients = torch.tensor([5, 9, 5, 2])
    a, b = matrix(4, 3), matrix(4, 3, seed=1)
    # Another record of the patient attracts: nearer to it, the loss is less.
    other = torch.tensor([5, 9, 8, 2])
    nearer = b.clone()
    nearer[2] = a[0]
    gain = patient_loss(a, b, patients, TAU) - patient_loss(a, nearer, patients, TAU)
    without = patient_loss(a, b, other, TAU) - patient_loss(a, nearer, other, TAU)
    assert gain > without


def test_a_pair_of_two_records_weighs_as_much_as_one_of_a_record_with_itself():
    a, b = matrix(4, 3), matrix(4, 3, seed=1)
    cosine = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=2) / TAU
    log_p = cosine.log_softmax(1), cosine.T.log_softmax(1)
    joined = torch.tensor([5, 9, 5, 2])
    for one, patients in (([], torch.arange(4)), ([(0, 2), (2, 0)], joined)):
        pairs = [(i, i) for i in range(4)] + one
        known = -sum(p[i, j].item() for p in log_p for i, j in pairs) / len(pairs)
        assert patient_loss(a, b, patients, TAU).item() == pytest.approx(known)


def test_segments_are_halves_of_the_time_of_all_leads():
    x = signals()
    now, later = segments(x)
    assert torch.equal(torch.cat([now, later], dim=-1), x)
    first, last = segments(x[..., :99])
    assert first.shape == last.shape == (4, 12, 49)
    assert torch.equal(last, x[..., 50:99])


def test_lead_views_share_no_lead_and_miss_none():
    torch.manual_seed(0)
    x = signals(50)
    one, other = lead_halves(x)
    assert torch.equal(one + other, x)
    has = (one != 0).any(-1), (other != 0).any(-1)
    assert (has[0] ^ has[1]).all()
    assert (has[0].sum(1) == 6).all()
    assert has[0].float().mean(0).std() < 0.15  # each lead as often as any
    assert len(has[0].unique(dim=0)) > 40  # another half for each record


def test_the_third_coding_differs_in_both():
    torch.manual_seed(0)
    x = signals()
    now, later = coded(x, "cmsmlc")
    shown, hidden = (now != 0).any(-1), (later != 0).any(-1)
    assert now.shape == later.shape == (4, 12, 50)
    assert (shown ^ hidden).all() and (shown.sum(1) == 6).all()
    assert torch.equal(now[shown], x[..., :50][shown])
    assert torch.equal(later[hidden], x[..., 50:][hidden])


@pytest.mark.parametrize("coding", ["cmsc", "cmlc", "cmsmlc"])
def test_a_step_reaches_all_weights(coding):
    method = make("clocs", coding=coding)
    found = method.loss(batch())
    assert tuple(found) == method.columns()
    names = {name for name, _ in method.named_parameters()}
    assert learns(method, batch()) == names


def test_a_step_asks_for_the_patients():
    method = make(
        "clocs", tau=0.001
    ).eval()  # an untrained network's cosines are near 1
    x = signals()
    apart = method.loss(Batch(x, torch.arange(4), 0.0))["loss"]
    joined = method.loss(Batch(x, torch.tensor([0, 1, 1, 2]), 0.0))["loss"]
    assert abs(joined - apart) > 0.01  # another pair


@pytest.mark.parametrize("coding", ["cmsc", "cmlc", "cmsmlc"])
def test_a_step_compares_the_views_of_its_coding(coding):
    method = make("clocs", coding=coding, tau=0.002).eval()
    x, patients = signals(), torch.tensor([0, 1, 1, 2])
    torch.manual_seed(5)
    made = [method.project(method.features(part)) for part in coded(x, coding)]
    assert made[0].shape == (4, 256) and (made[0] < 0).any()
    known = patient_loss(*made, patients, 0.002)
    torch.manual_seed(5)
    found = method.loss(Batch(x, patients, 0.0))["loss"]
    torch.testing.assert_close(found, known)


def test_views_and_patients_of_all_processes_are_compared(monkeypatch):
    method, asked = make("clocs"), watched_gather(monkeypatch, "clocs")
    method.loss(batch())
    assert asked == [((4, 256), method.group)] * 2 + [((4,), method.group)]


def test_which_views_a_coding_has():
    x = signals()
    assert all(map(torch.equal, coded(x, "cmsc"), segments(x)))
    torch.manual_seed(3)
    known = lead_halves(x)
    torch.manual_seed(3)
    assert all(map(torch.equal, coded(x, "cmlc"), known))


def test_the_smaller_half_of_an_odd_number_of_leads_comes_first():
    first, second = lead_halves(torch.ones(20, 5, 3))
    assert (first[..., 0].sum(1) == 2).all() and (second[..., 0].sum(1) == 3).all()


def test_an_unknown_coding_and_a_temperature_of_0_are_refused():
    with pytest.raises(ConfigError, match=r"clocs\.coding"):
        config("clocs", coding="cmc")
    said = r"^baselines\.settings\.clocs\.coding is 'cmc'; expected"
    with pytest.raises(ConfigError, match=said):
        CLOCSSettings(coding="cmc")
    with pytest.raises(ConfigError, match=r"clocs\.tau is 0.0; expected more than 0"):
        config("clocs", tau=0.0)
    with pytest.raises(ConfigError, match=r"clocs\.dim is 0; expected"):
        config("clocs", dim=0)
