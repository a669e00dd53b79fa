"""The ECG encoder against the paper's symbols, written as loops in float64."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from benchmark import load
from fake_device import fake_gpu
from torch import Tensor

from mccgaa.config import EncoderConfig
from mccgaa.encoder import (
    STRIDE,
    AttentionPool,
    Block,
    ChannelAttention,
    EcgEncoder,
    MeanPool,
    PointwiseConv,
    unit,
)
from mccgaa.errors import ConfigError
from mccgaa.fast_conv import Convolution

SMALL = EncoderConfig(widths=(4, 6, 8, 10), embedding_dim=8, pool_heads=2, positions=5)


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def plain_network(config: EncoderConfig) -> torch.nn.Module:
    """The network of the benchmark: plain Conv1d, written on its own."""
    return load("plain").PlainEncoder(config)


def naive_convolution(x: Tensor, w: Tensor, stride: int) -> Tensor:
    """Eq 2-4 for several channels: chi_i^o = sum_j chi_{i+j} w_j, zero-padded."""
    batch, channels, length = x.shape
    filters, _, k = w.shape
    pad = k // 2
    steps = (length + 2 * pad - k) // stride + 1
    out = torch.zeros(batch, filters, steps, dtype=torch.float64)
    for b in range(batch):
        for o in range(filters):
            for i in range(steps):
                for c in range(channels):
                    for j in range(k):
                        at = i * stride + j - pad
                        if 0 <= at < length:
                            out[b, o, i] += x[b, c, at] * w[o, c, j]
    return out


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (7, 2)])
def test_convolution_is_equation_2(kernel: int, stride: int) -> None:
    layer = Convolution(3, 2, kernel, stride).double()
    x = random(2, 3, 11)
    ours = layer(x.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(
        ours, naive_convolution(x, layer.weight.squeeze(2), stride)
    )


@pytest.mark.parametrize("length", [1, 2, 9, 10])
def test_every_second_sample_is_a_convolution_of_stride_2(length: int) -> None:
    ours, strided = PointwiseConv(3, 5, 2).double(), Convolution(3, 5, 1, 2).double()
    strided.load_state_dict(ours.state_dict())
    x = random(2, 3, 1, length).requires_grad_()
    y = x.detach().clone().requires_grad_()
    out, expected = ours(x), strided(y)
    torch.testing.assert_close(out, expected)
    upstream = random(*out.shape, seed=1)
    out.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(ours.weight.grad, strided.weight.grad)


def naive_batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Eq 5-6, mean and standard deviation of a channel over batch and time."""
    out = torch.empty_like(x)
    for c in range(x.shape[1]):
        values = [float(v) for v in x[:, c].flatten()]
        mu = sum(values) / len(values)
        sigma = math.sqrt(sum((v - mu) ** 2 for v in values) / len(values) + eps)
        out[:, c] = gamma[c] * (x[:, c] - mu) / sigma + beta[c]
    return out


def test_first_half_of_a_block_is_equations_2_to_7() -> None:
    block = Block(3, 4).double().train()
    with torch.no_grad():
        block.branch[1].weight.copy_(random(4, seed=1))
        block.branch[1].bias.copy_(random(4, seed=2))
    x = random(2, 3, 9)
    convolution, norm, relu = block.branch[:3]
    ours = relu(norm(convolution(x.unsqueeze(2)))).squeeze(2).detach()
    expected = naive_batch_norm(
        naive_convolution(x, convolution.weight.detach().squeeze(2), 1),
        norm.weight.detach(),
        norm.bias.detach(),
        norm.eps,
    )
    expected = torch.where(expected > 0, expected, torch.zeros_like(expected))  # eq 7
    torch.testing.assert_close(ours, expected)


def sigma(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def naive_cam(x: Tensor, cam: ChannelAttention, gate: str) -> tuple[Tensor, Tensor]:
    """Eq 8-14, one sample and one channel at a time."""
    batch, channels, length = x.shape
    w1, b1 = cam.fc1.weight.tolist(), cam.fc1.bias.tolist()
    w2, b2 = cam.fc2.weight.tolist(), cam.fc2.bias.tolist()
    alpha = torch.zeros(batch, channels, dtype=torch.float64)
    for b in range(batch):
        scores = []
        for pool in ("avg", "max"):
            pooled = []
            for c in range(channels):
                values = [float(v) for v in x[b, c]]
                mean = sum(values) / length
                pooled.append(mean if pool == "avg" else max(values))  # eq 8, 9
            squeezed = [  # eq 10, 11
                max(0.0, bias + sum(w * v for w, v in zip(row, pooled, strict=True)))
                for row, bias in zip(w1, b1, strict=True)
            ]
            scores.append(  # eq 12
                [
                    bias + sum(w * v for w, v in zip(row, squeezed, strict=True))
                    for row, bias in zip(w2, b2, strict=True)
                ]
            )
        for c in range(channels):
            z = scores[0][c] + scores[1][c]
            alpha[b, c] = sigma(z)  # the text's [0, 1]
            if gate == "double-sigmoid":
                alpha[b, c] = sigma(1 / (1 + math.exp(-z)))  # eq 13 to the letter
    out = torch.zeros_like(x)
    for b in range(batch):
        for c in range(channels):
            for t in range(length):
                out[b, c, t] = alpha[b, c] * x[b, c, t]  # eq 14
    return alpha, out


@pytest.mark.parametrize("gate", ["sigmoid", "double-sigmoid"])
def test_channel_attention_is_equations_8_to_14(gate: str) -> None:
    cam = ChannelAttention(6, gate).double()
    x = 3 * random(2, 6, 7)
    alpha, out = naive_cam(x, cam, gate)
    torch.testing.assert_close(cam.weights(x), alpha)
    torch.testing.assert_close(cam(x), out)
    torch.testing.assert_close(cam(x.unsqueeze(2)).squeeze(2), out)


def test_on_a_gpu_the_largest_value_is_the_same() -> None:
    cam = ChannelAttention(6).double()
    x = 3 * random(2, 6, 7)
    expected = cam.weights(x)
    with fake_gpu():
        found = cam.to("cuda").weights(x.to("cuda")).cpu()
    torch.testing.assert_close(found, expected)


def test_double_sigmoid_stays_between_a_half_and_sigmoid_of_one() -> None:
    cam = ChannelAttention(8, "double-sigmoid").double()
    alpha = cam.weights(100 * random(50, 8, 5))
    assert 0.5 <= alpha.min() < 0.501
    assert 0.731 < alpha.max() <= sigma(1.0)


@pytest.mark.parametrize("gate", ["sigmoid", "double-sigmoid"])
def test_channel_attention_has_the_right_gradient(gate: str) -> None:
    torch.manual_seed(0)
    cam = ChannelAttention(4, gate).double()
    x = random(2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(cam, (x,))


def test_channel_attention_refuses_what_it_cannot_halve() -> None:
    with pytest.raises(ValueError, match="channels is 1"):
        ChannelAttention(1)
    with pytest.raises(ValueError, match="'softmax'"):
        ChannelAttention(4, "softmax")


def test_attention_stands_between_the_last_norm_and_the_residual_sum() -> None:
    block = Block(4, 4).double().eval()
    x = random(2, 4, 1, 6)
    expected = block.cam.weights(block.branch(x))[:, :, None, None] * block.branch(x)
    torch.testing.assert_close(block(x), torch.relu(expected + x))
    assert isinstance(block.branch[-1], torch.nn.BatchNorm2d)


def test_a_block_is_plain_and_keeps_its_length_unless_it_is_told_otherwise() -> None:
    block = Block(4, 4)
    assert isinstance(block.shortcut, torch.nn.Identity)
    assert block.outputs == 4 and block.cam.gate == "sigmoid"
    assert block(torch.ones(2, 4, 1, 6)).shape == (2, 4, 1, 6)
    wider, longer = Block(4, 6), Block(4, 4, 2)
    for other in (wider, longer):
        assert isinstance(other.shortcut[0], PointwiseConv)
    assert longer(torch.ones(2, 4, 1, 6)).shape == (2, 4, 1, 3)


def naive_attention_pool(features: Tensor, pool: AttentionPool) -> Tensor:
    """One learned query over the moments of one sample, head by head."""
    batch, dim, length = features.shape
    position = naive_stretch(pool.position.detach(), length)  # (T', M)

    def linear(layer: torch.nn.Linear, v: list[float]) -> list[float]:
        return [
            b + sum(w * x for w, x in zip(row, v, strict=True))
            for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
        ]

    query = linear(pool.to_query, pool.query.tolist())
    width = dim // pool.heads
    rows = []
    for b in range(batch):
        moments = [
            [float(features[b, m, t] + position[t, m]) for m in range(dim)]
            for t in range(length)
        ]
        keys = [linear(pool.to_key, v) for v in moments]
        values = [linear(pool.to_value, v) for v in moments]
        pooled: list[float] = []
        for h in range(pool.heads):
            part = range(h * width, (h + 1) * width)
            scores = [
                sum(query[m] * k[m] for m in part) / math.sqrt(width) for k in keys
            ]
            weight = [math.exp(s) for s in scores]
            pooled += [
                sum(w * v[m] for w, v in zip(weight, values, strict=True)) / sum(weight)
                for m in part
            ]
        rows.append(linear(pool.out, pooled))
    return torch.tensor(rows, dtype=torch.float64)


def naive_stretch(position: Tensor, length: int) -> Tensor:
    """Linear interpolation between the middles of equal parts of the record."""
    count = len(position)
    rows = []
    for t in range(length):
        at = min(max((t + 0.5) * count / length - 0.5, 0.0), count - 1.0)
        low = int(at)
        high = min(low + 1, count - 1)
        rows.append((low + 1 - at) * position[low] + (at - low) * position[high])
    return torch.stack(rows)


@pytest.mark.parametrize("length", [1, 3, 5, 12])
def test_attention_pool_is_attention_with_one_learned_query(length: int) -> None:
    torch.manual_seed(0)
    pool = AttentionPool(6, heads=2, positions=5).double()
    features = 2 * random(2, 6, length)
    torch.testing.assert_close(pool(features), naive_attention_pool(features, pool))


def test_attention_pool_starts_with_small_tokens_of_its_width() -> None:
    torch.manual_seed(0)
    pool = AttentionPool(1024)
    assert pool.heads == 4 and pool.position.shape == (64, 1024)
    for learned in (pool.query, pool.position):
        assert learned.std().item() == pytest.approx(1024**-0.5, rel=0.1)


def test_attention_shown_is_the_attention_used() -> None:
    torch.manual_seed(0)
    pool = AttentionPool(6, heads=2, positions=5).double()
    features = random(3, 6, 7)
    weight = pool.attention(features)  # (B, heads, T')
    _, _, value = pool._keys(features)
    torch.testing.assert_close(weight.sum(-1), torch.ones(3, 2, dtype=torch.float64))
    pooled = (weight.unsqueeze(-1) * value).sum(2).flatten(1)
    torch.testing.assert_close(pool.out(pooled), pool(features))


def test_attention_pool_has_the_right_gradient() -> None:
    torch.manual_seed(0)
    pool = AttentionPool(4, heads=2, positions=3).double()
    assert torch.autograd.gradcheck(pool, (random(2, 4, 5).requires_grad_(),))
    query = pool.query.detach().clone().requires_grad_()

    def of_query(q: Tensor) -> Tensor:
        return torch.func.functional_call(pool, {"query": q}, random(2, 4, 5))

    assert torch.autograd.gradcheck(of_query, (query,))


def test_mean_pool_is_equation_15() -> None:
    torch.manual_seed(0)
    pool = MeanPool(3).double()
    features = random(2, 3, 4)
    w, b = pool.out.weight.tolist(), pool.out.bias.tolist()
    expected = torch.zeros(2, 3, dtype=torch.float64)
    for i in range(2):
        for m in range(3):
            mean = [sum(float(v) for v in features[i, c]) / 4 for c in range(3)]
            expected[i, m] = b[m] + sum(w[m][c] * mean[c] for c in range(3))
    torch.testing.assert_close(pool(features), expected)


def test_embeddings_have_length_one_and_at_least_float32() -> None:
    v = random(3, 5).bfloat16()
    assert unit(v).dtype == torch.float32
    assert unit(random(3, 5)).dtype == torch.float64
    torch.testing.assert_close(unit(v).norm(dim=-1), torch.ones(3))
    several = unit(random(2, 3, 5))  # of each record
    torch.testing.assert_close(several.norm(dim=-1), torch.ones(2, 3).double())


def test_channel_attention_keeps_the_precision_of_its_map() -> None:
    x = random(2, 4, 5).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ChannelAttention(4)(x).dtype == torch.bfloat16


VARIANTS = [
    {},
    {"gate": "double-sigmoid"},
    {"cam": "none"},
    {"pool": "mean"},
    {"depth": 34},
    {"depth": 50},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_network_equals_the_same_network_in_plain_conv1d(
    variant: dict, training: bool
) -> None:
    config = replace(SMALL, **variant)
    torch.manual_seed(0)
    ours = EcgEncoder(config).double().train(training)
    plain = plain_network(config).double().train(training)
    state = {  # the same names; kernels without their height
        name: value.squeeze(2) if value.dim() == 4 else value
        for name, value in ours.state_dict().items()
    }
    plain.load_state_dict(state)
    x = random(3, 12, 97)
    torch.testing.assert_close(ours(x), plain(x))
    torch.autograd.backward(ours(x)[:, 0].sum())
    torch.autograd.backward(plain(x)[:, 0].sum())
    torch.testing.assert_close(
        ours.stem[0].weight.grad.squeeze(2), plain.stem[0].weight.grad
    )


@pytest.mark.parametrize("length", [16, 17, 63, 64, 100, 333, 1000])
def test_any_length_is_encoded_even_one_record_at_a_time(length: int) -> None:
    encoder = EcgEncoder(SMALL).eval()
    x = random(3, 12, length).float()
    assert encoder.features(x).shape == (3, 8, math.ceil(length / STRIDE))
    together = encoder(x)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    alone = torch.cat([encoder(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


def test_forward_is_features_then_pool() -> None:
    encoder = EcgEncoder(SMALL).eval()
    x = random(2, 12, 80).float()
    torch.testing.assert_close(encoder.pool(encoder.features(x)), encoder(x))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 11, 100), r"shape \(2, 11, 100\).*expects .*\(batch, 12, samples\)"),
        ((12, 100), r"shape \(12, 100\)"),
        ((2, 12, 15), "15 samples per lead.*at least 16"),
    ],
)
def test_an_ecg_of_another_shape_is_refused(shape: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EcgEncoder(SMALL)(torch.zeros(shape))


def test_integers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"torch\.int16"):
        EcgEncoder(SMALL)(torch.zeros(1, 12, 100, dtype=torch.int16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": (4, 8, 16)}, r"encoder\.widths is \(4, 8, 16\); .*four stages"),
        ({"widths": (4, 1, 8, 8)}, r"encoder\.widths is .* 2 channels or more"),
        ({"embedding_dim": 10, "pool_heads": 4}, r"embedding_dim is 10; .* is 4"),
        ({"embedding_dim": 0}, r"encoder\.embedding_dim is 0"),
        ({"leads": 0}, r"encoder\.leads is 0"),
        ({"pool_heads": 0}, r"encoder\.pool_heads is 0"),
        ({"positions": 0}, r"encoder\.positions is 0"),
        ({"depth": 20}, r"encoder\.depth is 20; expected one of 18, 34, 50, 101"),
        ({"gate": "softmax"}, r"encoder\.gate is 'softmax'"),
        ({"pool": "max"}, r"encoder\.pool is 'max'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EncoderConfig(**settings)


def test_the_smallest_settings_are_allowed() -> None:
    config = EncoderConfig(
        widths=(2, 2, 2, 2), embedding_dim=1, pool_heads=1, positions=1, leads=1
    )
    assert EcgEncoder(config).eval()(torch.zeros(1, 1, STRIDE)).shape == (1, 1)
    EncoderConfig(pool="mean", embedding_dim=10, pool_heads=4)  # no heads to divide


# Learned layers that the depth counts: stem, two or three a block, and one head.
@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_depth_counts_the_convolutions_of_stem_branches_and_head(depth: int) -> None:
    encoder = EcgEncoder(replace(SMALL, depth=depth))
    names = [n for n, m in encoder.named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert len([n for n in names if "shortcut" not in n]) == depth
    attention = [m for m in encoder.modules() if isinstance(m, ChannelAttention)]
    assert len(attention) == {18: 8, 34: 16, 50: 16, 101: 33}[depth]


def test_paper_sized_network_reads_channels_last_in_bfloat16() -> None:
    encoder = EcgEncoder(EncoderConfig())
    weights = [m.weight for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    last = torch.channels_last
    assert all(w.is_contiguous(memory_format=last) for w in weights)
    x = random(2, 12, 200).float()
    with torch.autocast("cpu", torch.bfloat16):
        map_ = encoder.feature_map(x)
        assert map_.dtype == torch.bfloat16
        assert map_.shape == (2, 512, 1, 13)
        assert map_.is_contiguous(memory_format=last)
        assert encoder(x).dtype == torch.float32


@pytest.mark.parametrize("depth", [18, 50])
def test_no_convolution_of_kernel_one_has_a_stride(depth: int) -> None:
    encoder = EcgEncoder(replace(SMALL, depth=depth))
    convolutions = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    pointwise = [m for m in convolutions if m.kernel_size == (1, 1)]
    assert sum(isinstance(m, PointwiseConv) and m.step == 2 for m in pointwise) == 3
    assert all(m.stride == (1, 1) for m in pointwise)


NARROW = """
import torch
from mccgaa.config import EncoderConfig
from mccgaa.encoder import EcgEncoder

torch.set_num_threads(2)
torch.manual_seed(0)
encoder = EcgEncoder(
    EncoderConfig(widths=(4, 6, 8, 10), embedding_dim=8, pool_heads=2, positions=5)
)
for _ in range(20):
    encoder(torch.randn(5, 12, 100)).sum().backward()
"""


def test_a_narrow_network_trains_without_crashing_the_process() -> None:
    child = subprocess.run(
        [sys.executable, "-c", NARROW], capture_output=True, text=True, timeout=120
    )
    assert child.returncode == 0, child.stderr
