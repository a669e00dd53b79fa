"""TS-TCC: views, the context of what was, and the prediction of what comes."""

import math

import pytest
import torch
from toy_baselines import (
    batch,
    config,
    elsewhere,
    learns,
    make,
    matrix,
    signals,
    watched_gather,
    watched_spread,
)

from mccgaa.errors import ConfigError
from mccgaa_book.baselines.ts_tcc import temporal_loss
from mccgaa_book.baselines.views import reordered

SMALL = {"width": 16, "depth": 1, "heads": 2, "moments": 7, "ahead": 3}


def test_the_temporal_loss_is_that_of_the_paper():
    predicted, future = matrix(4, 3, 5), matrix(4, 3, 5, seed=1)
    total = 0.0
    for k in range(3):
        for i in range(4):
            scores = [sum((predicted[i, k] * future[n, k]).tolist()) for n in range(4)]
            total -= math.log(math.exp(scores[i]) / sum(map(math.exp, scores)))
    ours = temporal_loss(predicted, future).item()
    assert ours == pytest.approx(total / 12, abs=1e-12)
    nothing = torch.zeros(4, 3, 5).double()
    assert temporal_loss(nothing, future).item() == pytest.approx(math.log(4))
    certain = 100 * torch.eye(4).double()[:, None].expand(4, 3, 4)
    assert temporal_loss(certain, certain).item() == pytest.approx(0, abs=1e-9)


def test_moments_ahead_are_told_apart():
    future = matrix(4, 3, 5)
    right = temporal_loss(4 * future, future)
    assert right < temporal_loss(4 * future.flip(1), future) - 1


def test_segments_move_as_a_whole_and_with_all_leads():
    torch.manual_seed(0)
    x = torch.arange(100.0).expand(40, 12, 100)
    y = reordered(x, 4)
    assert torch.equal(y.sort(-1).values, x)  # each sample once
    assert torch.equal(y, y[:, :1].expand_as(y))  # all leads alike
    jumps = (y[:, 0].diff(dim=-1) != 1).sum(-1)  # a place where segments meet
    assert jumps.max() <= 3
    assert jumps.unique().tolist() == [0, 1, 2, 3]  # from 1 to 4 segments
    assert torch.equal(reordered(x, 1), x)


def test_the_weak_view_keeps_order_and_the_strong_one_does_not():
    method = make("ts-tcc", **SMALL)
    torch.manual_seed(0)
    x = signals(20)

    def likeness(view):
        pairs = torch.stack([x.flatten(0, 1), view.flatten(0, 1)])
        return torch.nn.functional.cosine_similarity(*pairs, dim=-1).view(20, 12)

    weak = likeness(method.weak_view(x))
    assert weak.min() > 0.98  # noise of 5 % of the deviation
    factors = (method.weak_view(x) * x).sum(-1) / x.square().sum(-1)
    assert 0.05 < factors.std() < 0.15 and abs(factors.mean() - 1) < 0.05
    assert likeness(method.strong_view(x)).amin(1).median() < 0.8
    still = make("ts-tcc", **SMALL, segments=1)
    noise = still.strong_view(x) - x
    assert (noise.std() / x.std()).item() == pytest.approx(0.2, abs=0.02)


def test_a_missing_lead_stays_missing_in_both_views():
    method = make("ts-tcc", **SMALL)
    x = signals()
    x[:, 5] = 0
    for view in (method.weak_view(x), method.strong_view(x)):
        assert view[:, 5].abs().max() == 0
        assert view[:, 4].abs().max() > 0


def test_a_context_knows_the_order_of_moments_and_none_that_comes_later():
    context = make("ts-tcc", **SMALL).context.eval()
    past = torch.randn(2, 4, 8)
    before = context(past)
    assert before.shape == (2, 16)
    assert not torch.allclose(context(past.flip(1)), before, atol=1e-5)
    assert not torch.allclose(context(past[:, :3]), before, atol=1e-5)
    assert torch.allclose(context(torch.cat([past, past])[:2]), before, atol=1e-6)


def test_each_view_predicts_the_others_next_moments(monkeypatch):
    method = make("ts-tcc", **SMALL)
    weak, strong = torch.zeros(2, 7, 8), torch.ones(2, 7, 8)
    weak = weak + torch.arange(7)[:, None]  # the moment's number
    strong = strong + torch.arange(7)[:, None] + 100
    queue = [weak, strong]
    monkeypatch.setattr(method, "moments", lambda x: queue.pop(0))
    pasts, futures = [], []
    context = method.context.forward

    def watch_past(past):
        pasts.append(past)
        return context(past)

    monkeypatch.setattr(method.context, "forward", watch_past)

    def watch_future(predicted, future):
        futures.append(future)
        assert predicted.shape == future.shape == (2, 3, 8)
        return predicted.sum()

    module = "mccgaa_book.baselines.ts_tcc.temporal_loss"
    monkeypatch.setattr(module, watch_future)
    method.loss(batch(2))
    t = pasts[0].shape[1]
    assert 1 <= t <= 4
    assert torch.equal(pasts[0], weak[:, :t]) and torch.equal(pasts[1], strong[:, :t])
    assert torch.equal(futures[0], strong[:, t : t + 3])
    assert torch.equal(futures[1], weak[:, t : t + 3])


def test_the_present_is_anywhere_before_the_last_moments(monkeypatch):
    method = make("ts-tcc", **SMALL)
    lengths = set()
    context = method.context.forward

    def watched(past):
        lengths.add(past.shape[1])
        return context(past)

    monkeypatch.setattr(method.context, "forward", watched)
    for seed in range(12):
        torch.manual_seed(seed)
        method.loss(batch(2))
    assert lengths == {1, 2, 3, 4}


def test_a_step_weighs_both_losses_and_reaches_all_weights():
    method = make("ts-tcc", **SMALL, temporal=2.0, contextual=3.0)
    found = method.loss(batch())
    assert tuple(found) == method.columns()
    total = 2 * found["temporal"] + 3 * found["contextual"]
    assert found["loss"].item() == pytest.approx(total.item(), rel=1e-6)
    names = {name for name, _ in method.named_parameters()}
    assert learns(method, batch()) == names


def test_the_same_moments_are_predicted_at_any_rate():
    method = make("ts-tcc", **SMALL, unit=False)
    assert method.moments(signals()).shape == (4, 7, 8)
    longer = torch.randn(4, 12, 500)
    assert method.moments(longer).shape == (4, 7, 8)
    mean = method.moments(longer[..., :224]).mean(1)  # 14 moments, two for each
    assert torch.allclose(mean, method.encoder(longer[..., :224]), atol=1e-5)


def test_each_moment_has_length_1():
    plain = make("ts-tcc", **SMALL, unit=False).eval().moments(signals())
    unit = make("ts-tcc", **SMALL).eval().moments(signals())
    assert torch.allclose(unit.norm(dim=2), torch.ones(4, 7), atol=1e-6)
    assert (plain.norm(dim=2) - 1).abs().min() > 0.01
    assert torch.allclose(unit * plain.norm(dim=2, keepdim=True), plain, atol=1e-6)


def test_as_many_moments_to_predict_as_there_are_is_refused():
    with pytest.raises(ConfigError, match=r"ts-tcc.moments is 12; expected more than"):
        config("ts-tcc", moments=12, ahead=12)


def test_a_step_has_both_directions_of_both_views(monkeypatch):
    method = make("ts-tcc", **SMALL, tau=0.3)
    moments, module = method.moments, "mccgaa_book.baselines.ts_tcc"
    seen, pairs, losses = [], [], iter([1.0, 10.0])
    monkeypatch.setattr(method, "weak_view", lambda x: 0 * x + 1)
    monkeypatch.setattr(method, "strong_view", lambda x: 0 * x + 2)
    monkeypatch.setattr(method, "moments", lambda x: seen.append(x) or moments(x))
    monkeypatch.setattr(
        f"{module}.temporal_loss", lambda *given: torch.tensor(next(losses))
    )
    monkeypatch.setattr(
        f"{module}.nt_xent", lambda *given: pairs.append(given) or torch.zeros(())
    )
    assert method.loss(batch())["temporal"] == 11
    assert [x.unique().item() for x in seen] == [1, 2]
    ((first, second, tau, group),) = pairs
    assert tau == 0.3 and group == method.group
    assert not torch.equal(first, second)


def test_moments_of_all_processes_are_told_apart(monkeypatch):
    method, asked = make("ts-tcc", **SMALL), watched_gather(monkeypatch, "ts_tcc")
    method.loss(batch())
    assert asked == [((4, 3, 8), method.group)] * 4


def test_the_context_is_that_of_the_class_token():
    context = make("ts-tcc", **SMALL).context.eval()
    past, tokens = torch.randn(2, 4, 8), []
    context.blocks.register_forward_hook(lambda *given: tokens.append(given[2]))
    found = context(past)
    assert tokens[0].shape == (2, 5, 16)
    assert torch.equal(found, tokens[0][:, 0])


def test_the_contexts_are_projected_by_two_layers():
    layers = [type(one).__name__ for one in make("ts-tcc", **SMALL).project]
    assert layers == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    project = make("ts-tcc", **SMALL).project
    assert [project[0].in_features, project[0].out_features] == [16, 4]
    assert project[3].out_features == 2  # a quarter of the encoder's 8


def test_records_have_1_to_4_segments_as_often_and_cuts_of_their_own():
    torch.manual_seed(0)
    x = torch.arange(500.0).expand(3000, 1, 500)
    same = (reordered(x, 4) == x).all(-1).float().mean().item()
    # One segment stays, two stay in one of two orders, three in one of six, ...
    assert same == pytest.approx((1 + 1 / 2 + 1 / 6 + 1 / 24) / 4, abs=0.025)
    jumps = reordered(x, 2)[:, 0].diff(dim=-1) != 1
    places = jumps.float().argmax(-1)[jumps.any(-1)]
    assert len(places.unique()) > 300


def test_the_weak_view_multiplies_each_lead_by_its_own_factor():
    method, x = make("ts-tcc", **SMALL, scale=0.3, weak_noise=0.0), signals()
    torch.manual_seed(5)
    factors = 1 + 0.3 * torch.randn(4, 12, 1)
    torch.manual_seed(5)
    assert torch.allclose(method.weak_view(x), x * factors, atol=1e-5)


def test_what_is_watched_is_the_mean_moment_of_the_weak_view(monkeypatch):
    method, watched = make("ts-tcc", **SMALL), watched_spread(monkeypatch, "ts_tcc")
    moments, made = method.moments, []
    monkeypatch.setattr(
        method, "moments", lambda x: made.append(moments(x)) or made[-1]
    )
    method.loss(batch())
    assert torch.equal(watched[0], made[0].mean(1))


def test_views_and_the_loss_stay_on_the_device_of_the_batch():
    x = elsewhere(4, 12, 100)
    method = make("ts-tcc", **SMALL)
    for made in (reordered(x, 5), method.weak_view(x), method.strong_view(x)):
        assert made.is_meta and made.shape == x.shape
    plain = temporal_loss.__wrapped__  # there is no autocast on that device
    assert plain(elsewhere(4, 3, 5), elsewhere(4, 3, 5)).is_meta
