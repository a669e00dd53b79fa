"""Fast convolutions against torch's own, in values and in gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mccgaa import fast_conv
from mccgaa.config import EncoderConfig
from mccgaa.encoder import EcgEncoder
from mccgaa.fast_conv import Convolution, ProductsGradient, Winograd, plan


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return values.to(memory_format=torch.channels_last)


def check(fast: Callable, kernel: int, stride: int, length: int) -> None:
    """Compare a float64 convolution and both gradients with torch's, to rounding."""
    results = []
    for convolve in (fast, conv2d):
        x = random(3, 5, 1, length).requires_grad_()
        weight = random(4, 5, 1, kernel, seed=1).requires_grad_()
        y = convolve(x, weight, stride)
        y.backward(random(*y.shape, seed=2))
        results.append((y.detach(), x.grad, weight.grad))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def conv2d(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return F.conv2d(x, weight, None, (1, stride), (0, weight.shape[3] // 2))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 9, 15, 16])
def test_minimal_filtering_is_the_convolution(length: int) -> None:
    check(lambda x, weight, _: Winograd.apply(x, weight), 3, 1, length)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("length", [7, 8, 9, 20])
def test_matrix_products_give_the_kernels_gradient(
    kernel: int, stride: int, length: int
) -> None:
    check(ProductsGradient.apply, kernel, stride, length)


@pytest.mark.parametrize("function", [Winograd, ProductsGradient])
@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_only_the_gradients_that_are_wanted_are_computed(
    function: type, wanted: tuple[bool, bool]
) -> None:
    inputs = (random(2, 3, 1, 6), random(4, 3, 1, 3))
    for tensor, wants in zip(inputs, wanted, strict=True):
        tensor.requires_grad_(wants)
    stride = () if function is Winograd else (1,)
    y = function.apply(*inputs, *stride)
    y.sum().backward()
    assert tuple(one.grad is not None for one in inputs) == wanted


def test_a_map_of_another_memory_order_is_convolved_too() -> None:
    x, weight = random(2, 3, 1, 10).contiguous(), random(4, 3, 1, 3)
    assert not x.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(Winograd.apply(x, weight), conv2d(x, weight, 1))


@pytest.mark.parametrize("function", [Winograd, ProductsGradient])
def test_maps_and_gradients_stay_channels_last(function: type) -> None:
    x = random(3, 5, 1, 9).requires_grad_()
    weight = random(4, 5, 1, 3, seed=1).requires_grad_()
    y = function.apply(x, weight, *(() if function is Winograd else (1,)))
    y.sum().backward()
    for tensor in (y, x.grad, weight.grad):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


WIDE = (16, 256, 1, 64)  # 1,024 moments of 256 channels


def planned(
    shape: tuple = WIDE, outputs: int = 256, kernel: int = 3, stride: int = 1, **kinds
) -> str:
    kinds = {"dtype": torch.float32, "device": "meta", **kinds}
    weight = torch.empty(outputs, shape[1], 1, kernel, **kinds, requires_grad=True)
    x = torch.empty(shape, **kinds)
    return plan(x, weight, stride)


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Tensors on the CPU, whichever CPU it is."""
    monkeypatch.setattr(fast_conv, "SLOW_GRADIENT", True)
    return {"device": "cpu"}


def test_wide_layers_take_minimal_filtering(on_cpu: dict) -> None:
    assert planned(**on_cpu) == "winograd"
    with torch.no_grad():
        assert planned(**on_cpu) == "winograd"
    assert planned(outputs=255, **on_cpu) == "products"
    assert planned((16, 255, 1, 64), **on_cpu) == "products"
    assert planned(stride=2, **on_cpu) == "products"
    assert planned(kernel=5, **on_cpu) == "products"


def test_other_layers_differ_in_their_gradient_alone(
    on_cpu: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned(stride=2, **on_cpu) == "products"
    assert planned(kernel=1, **on_cpu) == "torch"
    with torch.no_grad():
        assert planned(stride=2, **on_cpu) == "torch"
    frozen = torch.empty(256, 256, 1, 3)
    assert plan(torch.empty(WIDE), frozen, 2) == "torch"
    monkeypatch.setattr(fast_conv, "SLOW_GRADIENT", False)
    assert planned(stride=2, **on_cpu) == "torch"


def test_few_moments_are_convolved_as_torch_does(on_cpu: dict) -> None:
    assert planned((16, 256, 1, 63), **on_cpu) == "torch"
    assert planned((1, 256, 1, 1024), **on_cpu) == "winograd"


def test_other_devices_and_types_are_torchs(on_cpu: dict) -> None:
    assert planned(device="meta") == "torch"
    for dtype in (torch.float64, torch.bfloat16):
        assert planned(dtype=dtype, **on_cpu) == "torch"
    with torch.autocast("cpu", torch.bfloat16):
        assert planned(**on_cpu) == "torch"
    with torch.autocast("cpu", torch.bfloat16, enabled=False):
        assert planned(**on_cpu) == "winograd"
    x, weight = torch.empty(WIDE), torch.empty(256, 256, 1, 3, dtype=torch.float64)
    assert plan(x, weight, 1) == "torch"


def test_a_traced_network_is_made_of_plain_parts(
    on_cpu: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned(**on_cpu) == "winograd"
    for module, name in ((torch.compiler, "is_compiling"), (torch.jit, "is_tracing")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda: True)
            assert planned(**on_cpu) == "torch"


def test_a_layer_is_a_conv2d_with_the_same_parameters() -> None:
    layer = Convolution(6, 4, 7, 2)
    assert list(layer.state_dict()) == ["weight"]
    assert layer.weight.shape == (4, 6, 1, 7)
    plain = torch.nn.Conv2d(6, 4, (1, 7), (1, 2), (0, 3), bias=False)
    plain.load_state_dict(layer.state_dict())
    x = random(2, 6, 1, 21).float()
    torch.testing.assert_close(layer(x), plain(x))


@pytest.mark.parametrize(("outputs", "stride"), [(256, 1), (256, 2), (32, 1)])
def test_float32_is_as_exact_as_torchs(
    outputs: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_conv, "SLOW_GRADIENT", True)
    torch.manual_seed(0)
    layer = Convolution(256, outputs, 3, stride)
    x = random(16, 256, 1, 65).requires_grad_()
    weight = layer.weight.detach().double().requires_grad_()
    expected = conv2d(x, weight, stride)
    dy = random(*expected.shape, seed=1)
    expected.backward(dy)
    x32 = x.detach().float().requires_grad_()
    assert plan(x32, layer.weight, stride) != "torch"
    y = layer(x32)
    y.backward(dy.float())
    pairs = ((y, expected), (x32.grad, x.grad), (layer.weight.grad, weight.grad))
    for ours, exact in pairs:
        assert (ours - exact).abs().max() < 1e-5 * exact.abs().max()


def test_a_training_step_of_the_encoder_is_as_exact_as_with_torchs_convolutions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(widths=(8, 8, 256, 256), embedding_dim=16, pool_heads=2)
    encoder = EcgEncoder(config).train()
    x, target = torch.randn(16, 12, 1024), torch.randn(16, 16)
    ways: list[str] = []

    def gradients(dtype: torch.dtype, choose: Callable) -> tuple[Tensor, list[Tensor]]:
        monkeypatch.setattr(fast_conv, "plan", choose)
        encoder.to(dtype).zero_grad()
        embedding = encoder(x.to(dtype))
        (embedding * target).sum().backward()
        return embedding.detach(), [p.grad.double() for p in encoder.parameters()]

    fast = gradients(torch.float32, lambda *of: ways.append(plan(*of)) or ways[-1])
    torchs = gradients(torch.float32, lambda *_: "torch")
    exact = gradients(torch.float64, lambda *_: "torch")
    assert ways.count("winograd") == 6  # three in each of the stages 3 and 4
    torch.testing.assert_close(fast[0], torchs[0], rtol=0, atol=1e-5)
    # Rounding moves the maxima of eq 9 and the zeros of the ReLUs, with or without us.
    far, usual = (
        sum(
            float((g - e).square().sum()) for g, e in zip(one[1], exact[1], strict=True)
        )
        ** 0.5
        for one in (fast, torchs)
    )
    assert far < 3 * usual
