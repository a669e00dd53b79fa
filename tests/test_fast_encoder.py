"""The form of the encoder that is compiled computes what the encoder does."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

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
