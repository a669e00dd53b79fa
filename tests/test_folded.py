"""A folded encoder is the encoder, by the quick way of one ECG and by the usual."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from test_encoder import naive_attention_pool, naive_convolution, plain_network, random
from test_ready import NONE, unsettle
from torch import nn

from mccgaa.encoder import AttentionPool, EcgEncoder, PointwiseConv
from mccgaa.fast_conv import Convolution
from mccgaa.model import MCCGAA
from mccgaa.ready import folded
from mccgaa.ready.folded import FoldedEncoder, fold

VARIANTS = [
    {"cam": "channel"},
    {"cam": "none"},
    {"gate": "double-sigmoid"},
    {"pool": "mean"},
    {"depth": 50},
    {"widths": (8, 8, 256, 256)},  # where `fast_conv` has its own way for 18 ECGs
]


def unfolded(**changes: object) -> MCCGAA:
    """A model whose ECGs' embeddings are far from each other."""
    torch.manual_seed(3)
    model = MCCGAA(replace(NONE, encoder=replace(NONE.encoder, **changes))).eval()
    for value in model.encoder.parameters():
        if value.dim() == 1:  # of normalisations, and biases
            value.data += 0.1 * torch.randn_like(value)
    unsettle(model)
    return model


def ecgs(count: int, length: int = 1000) -> torch.Tensor:
    torch.manual_seed(4)
    return torch.randn(count, 12, length).cumsum(2) / 10  # each its own way


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The convolutions and attentions over time that went the quick way."""
    seen: list[nn.Module] = []

    def watched(real: Callable) -> Callable:
        def call(layer: nn.Module, *given: torch.Tensor) -> torch.Tensor:
            seen.append(layer)
            return real(layer, *given)

        return call

    monkeypatch.setattr(folded, "convolve", watched(folded.convolve))
    monkeypatch.setattr(folded, "attend", watched(folded.attend))
    return seen


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_folding_changes_nothing(changes: dict, layers: list[nn.Module]) -> None:
    model = unfolded(**changes)
    plain = plain_network(model.config.encoder).double().eval()  # in Conv1d
    state = model.encoder.state_dict()
    plain.load_state_dict(
        {n: v.squeeze(2) if v.dim() == 4 else v for n, v in state.items()}
    )
    exact = copy.deepcopy(model).double()
    fold(model)
    parts = {*model.encoder.modules()}
    own = {part for part in parts if isinstance(part, nn.Conv2d | AttentionPool)}
    assert not any(isinstance(part, nn.BatchNorm2d) for part in parts)
    with torch.no_grad():
        for count, length in ((1, 1000), (1, 97), (1, 16), (2, 1000), (18, 1000)):
            x = ecgs(count, length)
            found, layers[:] = model.encode_ecg(x), []
            one = model.encode_ecg(x[:1])
            assert len(layers) == len({*layers}) and {*layers} == own
            for expected in (exact.encode_ecg(x.double()), plain(x.double())):
                for ours in (found, one):
                    off = (ours.double() - expected[: len(ours)]).norm(dim=1)
                    assert off.max() < 1e-5, (count, length)  # no cosine is farther off
        assert found.std(0).max() > 0.01, "the ECG is not lost on the way"


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 9])
def test_shifted_products_are_the_convolution(
    kernel: int, stride: int, length: int
) -> None:
    layer = Convolution(3, 2, kernel, stride).double()
    layer.bias = nn.Parameter(random(2, seed=1))
    x = random(1, 3, length)
    expected = naive_convolution(x, layer.weight.squeeze(2), stride)[0].t() + layer.bias
    torch.testing.assert_close(folded.convolve(layer, x[0].t()), expected)


def test_every_second_sample_is_convolved() -> None:
    layer = PointwiseConv(3, 2, 2)
    layer.bias = nn.Parameter(torch.randn(2))
    x = torch.randn(1, 3, 1, 9)
    rows = folded.convolve(layer, x[0, :, 0].t())
    torch.testing.assert_close(rows, layer(x)[0, :, 0].t())


@pytest.mark.parametrize("length", [1, 3, 5, 12])
def test_attention_without_keys_is_attention(length: int) -> None:
    torch.manual_seed(0)
    pool = AttentionPool(6, heads=2, positions=5).double()
    features = 2 * random(1, 6, length)
    found = folded.attend(pool, features[0].t(), *folded.asked(pool, length))
    torch.testing.assert_close(found, naive_attention_pool(features, pool))


def in_bfloat16(encoder: EcgEncoder, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return encoder(x)


def in_float64(encoder: EcgEncoder, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return copy.deepcopy(encoder).double()(x.double())


def learning(encoder: EcgEncoder, x: torch.Tensor) -> torch.Tensor:
    return encoder(x.requires_grad_())


def traced(encoder: EcgEncoder, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.jit.trace(encoder, x, check_trace=False)(x)


def on_another_device(encoder: EcgEncoder, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found = copy.deepcopy(encoder).to("meta")(x.to("meta"))
    return torch.zeros(found.shape)


def compiled(encoder: EcgEncoder, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        return encoder(x)


def as_a_batch(encoder: EcgEncoder, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return encoder(x.expand(2, -1, -1).contiguous())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    "way",
    [
        *(in_bfloat16, in_float64, learning, traced),
        *(on_another_device, compiled, as_a_batch),
    ],
)
def test_all_but_one_ecg_in_float32_on_a_cpu_goes_the_usual_way(
    way: Callable, layers: list[nn.Module]
) -> None:
    model = unfolded()
    fold(model)
    usual = copy.deepcopy(model.encoder)
    usual.__class__ = EcgEncoder
    x = ecgs(1)
    found, expected = way(model.encoder, x), way(usual, x)
    assert torch.equal(found, expected) and found.shape[1] == 16
    assert not layers
    assert type(model.encoder) is FoldedEncoder


def test_an_ecg_of_another_shape_is_refused_as_by_the_encoder() -> None:
    model = unfolded()
    fold(model)
    with torch.inference_mode():
        for shape, said in (
            ((1, 11, 100), "expects floating-point"),
            ((12, 100), "expects floating-point"),
            ((1, 12, 15), "at least 16"),
        ):
            with pytest.raises(ValueError, match=said):
                model.encode_ecg(torch.zeros(shape))
