"""What all baselines share: encoder, views, heads, targets, and a folder to keep."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toy_baselines import RATE, batch, config, make, signals

from mccgaa.config import EncoderConfig
from mccgaa.data.record import read_record
from mccgaa.data.transform import prepare_windows
from mccgaa.encoder import EcgEncoder
from mccgaa.errors import ConfigError
from mccgaa.plus.augment import augment
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.base import (
    Batch,
    Method,
    Target,
    in_float32,
    mlp,
    rising,
    spread,
)
from mccgaa_book.baselines.config import Settings


def test_spread_is_zero_for_one_embedding_and_one_on_the_sphere():
    assert spread(torch.ones(8, 16)).item() == 0
    same = torch.arange(4.0).expand(8, 4)  # records, whose features differ
    assert spread(same).item() == 0
    assert spread(torch.tensor([[5.0, 0.0], [-1.0, 0.0]])).item() == pytest.approx(
        0.5 * math.sqrt(2)
    )
    torch.manual_seed(0)
    assert spread(torch.randn(500, 64)).item() == pytest.approx(1, abs=0.02)


def test_a_decay_rises_to_one_by_a_cosine():
    assert rising(0.9, 0.0) == pytest.approx(0.9)
    assert rising(0.9, 0.5) == pytest.approx(0.95)
    assert rising(0.9, 1.0) == pytest.approx(1.0)


def test_a_target_follows_exactly_and_passes_no_gradient():
    torch.manual_seed(0)
    online = nn.Linear(3, 2).double()
    target = Target(online)
    before = [p.clone() for p in target.parameters()]
    with torch.no_grad():
        for p in online.parameters():
            p += 1
    target.follow(online, 0.75)
    for old, new in zip(before, target.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25, rtol=1e-12, atol=1e-12)
        assert not new.requires_grad
    assert not target(torch.ones(1, 3).double()).requires_grad


def test_an_mlp_normalises_what_it_is_asked_to():
    kinds = [type(layer).__name__ for layer in mlp(4, 5, 6)]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    whole = mlp(4, 5, 6, norm_last=True, affine_last=False)
    assert whole[1].affine and not whole[-1].affine
    torch.manual_seed(0)
    found = whole(torch.randn(64, 4))
    torch.testing.assert_close(found.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    # What a normalisation takes away at once is no weight; a last one has some.
    assert [m.bias is None for m in whole if isinstance(m, nn.Linear)] == [True, True]
    first, _, _, last = mlp(4, 5, 6)
    assert first.bias is None and last.bias is not None
    assert mlp(4, 5, 6, norm_last=True)[-1].affine


def test_views_are_two_changes_of_each_record_and_the_probe_sees_none():
    model, x = make("simclr"), signals()
    torch.manual_seed(2)
    first, second = model.views(x)
    assert first.shape == second.shape == x.shape
    assert not torch.equal(first, second) and not torch.equal(first, x)
    torch.manual_seed(2)
    assert torch.equal(model.views(x)[0], first)
    assert torch.equal(make("simclr", strength=0.0).view(x), x)
    assert torch.equal(make("simclr", augmentations=[]).view(x), x)
    model.eval()
    torch.testing.assert_close(model.features(x), model.encoder(x))
    assert model.features(x).shape == (4, 8)


def test_what_a_view_is_asked_for_goes_before_the_settings():
    x = signals()
    torch.manual_seed(2)
    wander = make("simclr", augmentations=["wander"], strength=0.5).view(x)
    torch.manual_seed(2)
    asked = make("simclr", augmentations=["noise"], strength=0.0)
    assert torch.equal(asked.view(x, ["wander"], 0.5), wander)
    assert torch.equal(asked.view(x), x) and not torch.equal(wander, x)


def test_views_are_made_in_full_precision():
    method, x = make("simclr", augmentations=["wander"]), signals()
    torch.manual_seed(2)
    plain = augment(x, 1.0, ("wander",), RATE, standardised=True)
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(method.view(x), plain)


def test_views_are_varied_at_the_rate_and_in_the_unit_of_the_input(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mccgaa_book.baselines.base.augment",
        lambda *given, **options: asked.append((given[1:], options)) or given[0],
    )
    for transform, standardised in (("bandpass-zscore", True), ("raw", False)):
        plain = config("simclr", strength=0.5, augmentations=["noise"])
        given = replace(plain.input, transform=transform)
        registry.build(replace(plain, input=given)).view(signals())
        assert asked.pop() == ((0.5, ("noise",), 50), {"standardised": standardised})


def test_the_encoder_is_that_of_section_3_2_without_its_attention():
    wanted = config("simclr")
    torch.manual_seed(0)
    whole = EcgEncoder(wanted.encoder).eval()
    own = registry.build(wanted).eval().encoder
    weights = whole.state_dict().items()
    shared = {k: v for k, v in weights if k.split(".")[0] in {"stem", "stages"}}
    own.load_state_dict(shared)
    x = signals()
    torch.testing.assert_close(own(x), whole.feature_map(x).mean((2, 3)))
    with pytest.raises(ConfigError, match="channel attention is part of MCCGAA"):
        replace(wanted, encoder=EncoderConfig())


def test_a_probe_sees_signals_scaled_as_the_input_says():
    plain = config("simclr")
    given = replace(plain.input, transform="raw", scaling="minmax")
    method = registry.build(replace(plain, input=given)).eval()
    x = signals()
    with torch.no_grad():
        found, known = method.features(x), method.encoder(method.scaled(x))
        assert torch.equal(found, known)
        assert not torch.allclose(found, method.encoder(x), atol=1e-4)


@pytest.mark.parametrize("name", [n for n in registry.trained_here() if n != "random"])
def test_a_loss_sees_signals_scaled_as_a_probe_does(name, monkeypatch):
    def replaced(x):  # by noise that does not depend on what is scaled
        return torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

    method = make(name).train()
    monkeypatch.setattr(method, "scaled", replaced)
    losses = []
    for given in (signals(seed=1), signals(seed=2)):
        torch.manual_seed(0)
        losses.append(method.loss(Batch(given, torch.arange(4), 0.0))["loss"].item())
    assert losses[0] == losses[1] and math.isfinite(losses[0])


def test_every_method_learns_but_random_weights():
    learning = [n for n in registry.trained_here() if registry.method(n).learns is True]
    assert [*learning] == [n for n in registry.trained_here() if n != "random"]


def test_a_step_gives_the_scalars_in_the_order_of_their_names(monkeypatch):
    method, given = make("barlow-twins"), batch()
    assert method.device == torch.device("cpu")
    assert method.columns() == ("loss", "invariance", "redundancy", "spread")
    told = {"spread": 4.0, "redundancy": 3.0, "invariance": 2.0, "loss": 1.0}
    seen = []

    def loss(batch):
        seen.append(batch)
        return {name: torch.tensor(v).bfloat16() for name, v in told.items()}

    monkeypatch.setattr(method, "loss", loss)
    found = method(given)
    assert found.dtype == torch.float32 and found.tolist() == [1, 2, 3, 4]
    assert seen[0] is given


def test_what_is_saved_is_read_again_whole(tmp_path):
    method = make("byol", decay=0.5)
    method.save_pretrained(tmp_path)
    read = registry.load(tmp_path)
    assert read.config == method.config
    mine, its = method.state_dict(), read.state_dict()
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[key], its[key]) for key in mine)


def test_a_loss_in_full_precision_takes_its_options_too():
    @in_float32
    def product(z, *, times):
        return (z @ z.T) * times

    z = torch.tensor([[1.0, 1 / 256]]).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = product(z, times=2)
    assert found.dtype == torch.float32
    assert found.item() == 2 * (1 + 1 / 256**2)  # which bf16 would round


def test_a_method_has_the_settings_of_all_and_no_terms_unless_it_says_so():
    assert Method.Settings is Settings
    assert Method.columns() == ("loss", "spread")


def test_an_ecg_of_ones_own_is_embedded_window_by_window():
    rate = 200  # of the record; the method's input is another
    leads = np.random.default_rng(0).normal(size=(12, 5 * rate)).astype(np.float32)
    record = read_record(leads, sampling_rate=rate)
    method = make("simclr").train()
    found = method.embed(record)  # of five seconds, three windows of two
    windows = torch.from_numpy(prepare_windows(record, method.config.input))
    assert found.shape == (3, 8) and not found.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(found, method.eval().features(windows))
