"""The form of the encoder that is compiled computes what the encoder does."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from fake_device import fake_gpu

from mccgaa import fast_encoder
from mccgaa.config import EncoderConfig
from mccgaa.encoder import EcgEncoder

NARROW = EncoderConfig(widths=(4, 4, 8, 8), embedding_dim=8, positions=4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "changes",
    [{}, {"gate": "double-sigmoid"}, {"cam": "none"}, {"depth": 50}],
    ids=str,
)
def test_another_form_of_the_encoder_is_the_encoder(changes: dict, training: bool):
    torch.manual_seed(0)
    plain = EcgEncoder(replace(NARROW, **changes)).to(torch.float64).train(training)
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # slopes of both signs
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    other = copy.deepcopy(plain)
    x = torch.randn(5, 12, 163, dtype=torch.float64)
    want, got = plain.features(x), fast_encoder.features(other, x)
    direction = torch.randn_like(want)
    want.backward(direction)
    got.backward(direction)
    pairs = [("features", want, got)]
    for (name, a), b in zip(plain.named_parameters(), other.parameters(), strict=True):
        if a.grad is not None:
            pairs.append((f"gradient of {name}", a.grad, b.grad))
    for (name, a), b in zip(plain.named_buffers(), other.buffers(), strict=True):
        pairs.append((name, a.double(), b.double()))
    for name, a, b in pairs:
        assert (b - a).norm() <= 1e-9 * a.norm() + 1e-6, name


def test_in_bfloat16_it_is_as_exact_as_the_encoder():
    torch.manual_seed(0)
    first = EcgEncoder(NARROW)
    x = torch.randn(5, 12, 163) + 3
    direction = torch.randn_like(first.features(x))

    def found(features, type_: torch.dtype) -> list[torch.Tensor]:
        """Maps, and all gradients together."""
        one = copy.deepcopy(first).to(type_).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=type_ is torch.float32):
            maps = features(one, x.to(type_))
        maps.backward(direction.to(maps))
        weights = [p.grad for p in one.parameters() if p.grad is not None]
        gradient = torch.cat([w.flatten() for w in weights])
        return [maps.detach().double(), gradient.double()]

    exact = found(EcgEncoder.features, torch.float64)
    plain = found(EcgEncoder.features, torch.float32)
    fast = found(fast_encoder.features, torch.float32)
    for a, b, c in zip(exact, plain, fast, strict=True):
        assert (c - a).norm() < 1.25 * (b - a).norm()


def test_leads_of_zeros_fill_what_a_gpu_reads_at_once(monkeypatch):
    seen, conv2d = [], fast_encoder.F.conv2d

    def watched(x: torch.Tensor, weight: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append((x.shape[1], weight.shape[1], x.shape[3]))
        return conv2d(x, weight, *rest)

    encoder = EcgEncoder(replace(NARROW, leads=10)).eval()
    x = torch.randn(2, 10, 163)
    with torch.no_grad():
        want = encoder.features(x)
        monkeypatch.setattr(fast_encoder.F, "conv2d", watched)
        for leads in (10, 16):
            with fake_gpu() as gpu:
                place = gpu if leads == 16 else "cpu"
                got = fast_encoder.features(encoder.to(place), x.to(place))
            assert seen[0] == (leads, leads, 163)
            torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
            seen.clear()


def test_what_the_next_layer_keeps_is_as_narrow_as_it_came():
    norm = torch.nn.BatchNorm2d(4)
    y = torch.randn(3, 7, 4, dtype=torch.bfloat16)
    assert fast_encoder.activate(y, norm).dtype == torch.bfloat16


def test_a_flat_channel_far_from_zero_has_no_negative_variance():
    norm = torch.nn.BatchNorm2d(64)
    y = torch.linspace(100, 5000, 64).expand(3, 77, 64)  # mean squares round
    slope, offset = fast_encoder.line(norm, fast_encoder.moments(y, norm))
    assert slope.isfinite().all() and offset.isfinite().all()
    assert (norm.running_var > 0).all()
