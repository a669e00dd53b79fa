"""ASTCL: noise within its bounds, the game, and where gradients stop."""

import math

import pytest
import torch
from toy_baselines import (
    RATE,
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
from mccgaa_book.baselines.astcl import (
    Reversal,
    adversarial_loss,
    moment_similarity,
    patient_similarity,
)
from mccgaa_book.baselines.base import Batch
from mccgaa_book.baselines.views import denoised, fewer_leads

SMALL = {"hidden": 16, "bottleneck": 8, "moments": 4}


def test_the_losses_are_those_of_the_equations():
    noisy, clean = matrix(5), matrix(5, seed=1)
    total = 0.0
    for plus, minus in zip(noisy.tolist(), clean.tolist(), strict=True):
        total -= math.log(1 / (1 + math.exp(-plus))) / 2
        total -= math.log(1 / (1 + math.exp(minus))) / 2
    ours = adversarial_loss(noisy, clean).item()
    assert ours == pytest.approx(total / 5, abs=1e-12)
    guess = torch.zeros(3).double()
    assert adversarial_loss(guess, guess).item() == pytest.approx(math.log(2))
    assert adversarial_loss(guess + 50, guess - 50).item() == pytest.approx(0)

    q, z = matrix(4, 3), matrix(4, 3, seed=1)
    patients, cosines = [3, 1, 3, 2], []
    for i in range(4):
        for j in range(4):
            if patients[i] == patients[j]:
                dot = sum((q[i] * z[j]).tolist())
                cosines.append(dot / (q[i].norm() * z[j].norm()).item())
    assert len(cosines) == 6  # four of a record with itself
    ours = patient_similarity(q, z, torch.tensor(patients)).item()
    assert ours == pytest.approx(sum(cosines) / 6, abs=1e-12)
    assert moment_similarity(z[None], z[None]).item() == pytest.approx(1)
    assert moment_similarity(z[None], -z[None]).item() == pytest.approx(-1)


def test_targets_get_no_gradient():
    q, z = matrix(4, 3).requires_grad_(), matrix(4, 3, seed=1).requires_grad_()
    patient_similarity(q, z, torch.arange(4)).backward()
    assert z.grad is None and q.grad.abs().max() > 0
    q.grad = None
    moment_similarity(q[None], z[None]).backward()
    assert z.grad is None and q.grad.abs().max() > 0


def test_the_gradient_is_reversed_and_scaled():
    x = matrix(3).requires_grad_()
    y = Reversal.apply(x, 0.25)
    assert torch.equal(y, x)
    y.backward(torch.tensor([1.0, 2.0, -4.0]).double())
    assert x.grad.tolist() == [-0.25, -0.5, 1.0]


def test_the_discriminator_lowers_the_loss_that_the_encoder_raises():
    torch.manual_seed(0)
    discriminator = make("astcl", **SMALL).discriminator
    noisy, clean = torch.randn(2, 6, 8).requires_grad_()

    def game(first, second):
        return adversarial_loss(*(discriminator(h).squeeze(1) for h in (first, second)))

    before = game(noisy, clean)
    turned = [Reversal.apply(h, 0.5) for h in (noisy, clean)]
    logits = [discriminator(h).squeeze(1) for h in turned]
    gradients = torch.autograd.grad(
        adversarial_loss(*logits), [noisy, clean, *discriminator.parameters()]
    )
    step = 0.1
    with torch.no_grad():
        moved = [h - step * g for h, g in zip((noisy, clean), gradients, strict=False)]
        assert game(*moved) > before  # what gradient descent does to embeddings
        own = discriminator.parameters()
        for parameter, gradient in zip(own, gradients[2:], strict=True):
            parameter -= step * gradient
        assert game(noisy, clean) < before  # and to the discriminator


def test_noise_stays_within_its_bound_and_in_the_signal():
    method = make("astcl", **SMALL, leads=12)
    x = signals(30)
    x[:, 3] = 0
    torch.manual_seed(0)
    noisy = method.view(x)
    assert noisy[:, 3].abs().max() == 0
    a, b = (t[:, [0, 1, 2, 4]].flatten(0, 1) for t in (x, noisy))
    assert torch.allclose(b.std(1), a.std(1), rtol=1e-3)  # the leads stay z-scored
    # Wander 0.5, muscle 0.4 and white noise 0.2 of the deviation at most, and a lead of
    # deviation 1 + r^2 has a cosine of at least 1 / sqrt(1 + r^2) with what it was.
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1)
    assert cosine.min() > 0.75
    assert cosine.median() < 0.98
    assert torch.equal(make("astcl", **SMALL, strength=0.0).view(x), x)


def test_denoising_leaves_the_band_and_the_deviation():
    time = torch.arange(500) / RATE
    tones = {f: torch.sin(2 * math.pi * f * time) for f in (0.1, 5.0, 22.0)}
    lead = sum(tones.values())
    x = lead.expand(1, 12, -1).clone()
    x[:, 2] = 0
    clean = denoised(x, RATE, (1.0, 10.0))
    assert clean[:, 2].abs().max() == 0
    assert torch.allclose(clean[0, 0].std(), lead.std(), rtol=1e-3)

    def share(wave, f):
        return (wave @ tones[f] / tones[f].square().sum()).item()

    left = {f: share(clean[0, 0], f) for f in tones}
    # Amplitudes relative to the tone in the middle: a second-order edge at each side.
    assert left[22.0] / left[5.0] == pytest.approx(
        (1 + 0.5**4) ** 0.5 / (1 + 2.2**4) ** 0.5, rel=0.02
    )
    assert abs(left[0.1]) / left[5.0] < 0.02
    phase = 2 * math.pi * 5 * time
    assert abs((clean[0, 0] @ torch.cos(phase)).item()) < 1  # no shift in time


def test_each_view_shows_some_leads_of_each_record():
    torch.manual_seed(0)
    x = signals(40)
    fewer = fewer_leads(x, 8)
    shown = (fewer != 0).any(-1)
    assert (shown.sum(1) == 8).all() and len(shown.unique(dim=0)) > 30
    assert torch.equal(fewer[shown], x[shown])
    assert torch.equal(fewer_leads(x, 12), x)
    method = make("astcl", **SMALL)
    for view in (method.noisy_view(x), method.denoised_view(x)):
        assert ((view != 0).any(-1).sum(1) == 8).all()


def test_a_guess_rests_on_earlier_moments_alone_and_on_their_order():
    past = make("astcl", **SMALL).past.eval()
    moments = torch.randn(2, 3, 8)
    before = past(moments)
    changed = moments.clone()
    changed[:, 2] += 1
    after = past(changed)
    assert torch.allclose(after[:, :2], before[:, :2], atol=1e-6)
    assert not torch.allclose(after[:, 2], before[:, 2], atol=1e-4)
    swapped = past(moments[:, [1, 0, 2]])
    assert not torch.allclose(swapped[:, 2], before[:, 2], atol=1e-5)


def test_the_game_begins_slowly():
    method = make("astcl", **SMALL)
    alphas = [method.alpha(p) for p in (0.0, 0.05, 0.1, 0.9)]
    assert alphas == pytest.approx([0, 0.05, 0.1, 0.1])
    assert make("astcl", **SMALL, warm_up=0.0).alpha(0.0) == 0.1


def test_a_step_sums_three_losses_and_reaches_all_weights():
    method = make("astcl", **SMALL)
    found = method.loss(batch(progress=0.5))
    assert tuple(found) == method.columns()
    total = found["patient"] + found["predict"] + found["adversarial"]
    assert found["loss"].item() == pytest.approx(total.item(), rel=1e-5)
    names = {name for name, _ in method.named_parameters()}
    assert learns(method, batch(progress=0.5)) == names


def test_the_encoder_works_against_the_discriminator():
    given = batch(8, progress=0.5)

    def gradient(reversal):
        method = make("astcl", **SMALL, reversal=reversal)
        torch.manual_seed(3)
        found = method.train().loss(given)
        weight = method.encoder.stem[0].weight
        (whole,) = torch.autograd.grad(found["loss"], weight, retain_graph=True)
        (game,) = torch.autograd.grad(found["adversarial"], weight, allow_unused=True)
        return whole, game

    without, none = gradient(0.0)
    whole, game = gradient(0.5)
    assert none.abs().max() == 0 and game.abs().max() > 0
    assert torch.allclose(whole - without, game, atol=1e-4)


def test_a_step_asks_for_the_patients():
    method = make("astcl", **SMALL)

    def patient(subjects):
        torch.manual_seed(0)
        given = Batch(signals(), torch.tensor(subjects), 0.0)
        return method.loss(given)["patient"].item()

    assert patient([0, 1, 2, 3]) != pytest.approx(patient([0, 0, 0, 0]), abs=1e-4)


def test_more_leads_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"astcl.leads is 13"):
        config("astcl", leads=13)


def test_each_view_guesses_the_others_next_moments(monkeypatch):
    method = make("astcl", **SMALL)
    noisy, clean = torch.randn(2, 3, 4, 8)
    queue = [noisy, clean]
    monkeypatch.setattr(method, "moments", lambda x: queue.pop(0))
    pasts, targets = [], []
    past = method.past.forward

    def watch_past(moments):
        pasts.append(moments)
        return past(moments)

    def watch_targets(predicted, target):
        targets.append(target)
        return moment_similarity(predicted, target)

    monkeypatch.setattr(method.past, "forward", watch_past)
    module = "mccgaa_book.baselines.astcl.moment_similarity"
    monkeypatch.setattr(module, watch_targets)
    method.loss(batch(3))
    for one, other, given, wanted in zip(
        (noisy, clean), (clean, noisy), pasts, targets, strict=True
    ):
        assert torch.equal(given, one[:, :3])
        assert torch.equal(wanted, other[:, 1:])


def test_each_views_projection_predicts_that_of_the_other(monkeypatch):
    method = make("astcl", **SMALL)
    noisy, clean = torch.randn(2, 3, 4, 8)
    queue, found = [noisy, clean], []
    monkeypatch.setattr(method, "moments", lambda x: queue.pop(0))

    def watch(predicted, target, patients):
        found.append((predicted, target))
        return patient_similarity(predicted, target, patients)

    monkeypatch.setattr("mccgaa_book.baselines.astcl.patient_similarity", watch)
    method.loss(batch(3))
    z = [method.project(view.mean(1)) for view in (noisy, clean)]
    for (predicted, target), own, other in zip(found, z, reversed(z), strict=True):
        assert torch.allclose(predicted, method.predict(own), atol=1e-6)
        assert torch.allclose(target, other, atol=1e-6)


def test_the_views_are_noise_and_a_filter_and_each_term_is_a_mean(monkeypatch):
    method = make("astcl", **SMALL, leads=12)
    moments, seen = method.moments, []
    monkeypatch.setattr(method, "view", lambda x: 0 * x + 1)
    monkeypatch.setattr(method, "denoised", lambda x: 0 * x + 2)
    monkeypatch.setattr(method, "moments", lambda x: seen.append(x) or moments(x))
    for name in ("patient_similarity", "moment_similarity"):
        module = f"mccgaa_book.baselines.astcl.{name}"
        monkeypatch.setattr(module, lambda *given: torch.tensor(1.0))
    found = method.loss(batch())
    assert [x.unique().item() for x in seen] == [1, 2]
    assert found["patient"] == found["predict"] == -1


def test_the_encoder_is_left_alone_at_the_start():
    method = make("astcl", **SMALL)
    game = method.loss(batch(8, progress=0.0))["adversarial"]
    weight = method.encoder.stem[0].weight
    assert torch.autograd.grad(game, weight)[0].abs().max() == 0


def test_patients_and_projections_of_all_processes_are_compared(monkeypatch):
    method, asked = make("astcl", **SMALL), watched_gather(monkeypatch, "astcl")
    method.loss(batch())
    assert asked == [((4,), method.group)] + [((4, 16), method.group)] * 4


def test_the_projection_ends_in_a_normalisation_and_is_what_is_watched(monkeypatch):
    method = make("astcl", **SMALL)
    layers = [type(one).__name__ for one in method.project]
    assert layers == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    made, watched = [], watched_spread(monkeypatch, "astcl")
    method.project.register_forward_hook(lambda *given: made.append(given[2]))
    method.loss(batch())
    assert torch.equal(watched[0], made[0])


def test_moments_are_compared_one_by_one():
    predicted, target = matrix(2, 3, 4), matrix(2, 3, 4, seed=1)
    cosines = []
    for one, other in zip(predicted.flatten(0, 1), target.flatten(0, 1), strict=True):
        cosines.append((one @ other / one.norm() / other.norm()).item())
    found = moment_similarity(predicted, target).item()
    assert found == pytest.approx(sum(cosines) / 6, abs=1e-12)


def test_the_heads_are_as_wide_and_deep_as_the_module_says():
    method = make("astcl", **SMALL)

    def layers(part):
        return [(type(one).__name__, one.weight.shape) for one in part if one_has(one)]

    def one_has(one):
        return getattr(one, "weight", None) is not None

    assert [type(one).__name__ for one in method.discriminator] == [
        *("Linear", "ReLU", "Linear")
    ]
    assert layers(method.discriminator) == [("Linear", (8, 8)), ("Linear", (1, 8))]
    assert layers(method.project) == [
        ("Linear", (16, 8)),
        ("BatchNorm1d", (16,)),
        ("Linear", (16, 16)),  # the last normalisation has no weights
    ]
    assert layers(method.predict) == [
        ("Linear", (8, 16)),
        ("BatchNorm1d", (8,)),
        ("Linear", (16, 8)),
    ]
    assert method.past.position.shape == (3, 8) and len(method.past.block.layers) == 1


@pytest.mark.parametrize("length", [500, 499])
def test_each_edge_of_the_filter_is_of_the_second_order(length):
    time = torch.arange(500) / RATE
    tones = {f: torch.sin(2 * math.pi * f * time) for f in (0.5, 5.0, 20.0)}
    x = sum(tones.values())[:length].expand(1, 12, -1)
    clean = denoised(x, RATE, (1.0, 10.0))
    assert clean.shape == x.shape
    if length == 500:
        share = {
            f: (clean[0, 0] @ w / w.square().sum()).item() for f, w in tones.items()
        }

        def response(f):
            return 1 / math.sqrt((1 + (f / 10) ** 4) * (1 + (1 / f) ** 4))

        for f in (0.5, 20.0):
            known = response(f) / response(5.0)
            assert share[f] / share[5.0] == pytest.approx(known, rel=0.005)


def test_a_band_out_of_order_is_refused():
    said = r"astcl\.band is \(30\.0, 0\.67\); expected two frequencies in Hz, the "
    with pytest.raises(ConfigError, match=said + r"lower first\.$"):
        config("astcl", band=[30.0, 0.67])


def test_views_stay_on_the_device_of_the_batch():
    x = elsewhere(4, 12, 100)
    for made in (denoised(x, RATE, (0.67, 20.0)), fewer_leads(x, 8)):
        assert made.is_meta and made.shape == x.shape
