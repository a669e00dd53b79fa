"""The encoder's audit says what it claims to say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mccgaa.config import LEADS, EncoderConfig
from mccgaa.encoder import EcgEncoder
from mccgaa_book.audit import encoder as audit
from mccgaa_book.audit import leads

SMALL = EncoderConfig(widths=(4, 6, 8, 10), embedding_dim=8, pool_heads=2, positions=5)


@pytest.fixture
def encoder() -> EcgEncoder:
    torch.manual_seed(0)
    return EcgEncoder(SMALL).eval()


@pytest.fixture
def signals() -> Tensor:
    raw = torch.randn(40, 12, 200, generator=torch.Generator().manual_seed(1))
    return (raw - raw.mean(-1, keepdim=True)) / raw.std(-1, keepdim=True)


def test_double_sigmoid_never_leaves_half_to_sigmoid_of_one() -> None:
    table = audit.gate_table((-50, 0, 50)).set_index("z")
    assert table.loc[-50, "sigmoid"] == pytest.approx(0, abs=1e-12)
    assert table["double sigmoid"].tolist() == pytest.approx(
        [0.5, 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-1))]
    )
    assert pytest.approx(0.5 / table["double sigmoid"].max()) == leads.GREATEST_CONTRAST


def test_gates_are_those_that_the_encoder_applies(
    encoder: EcgEncoder, signals: Tensor
) -> None:
    found = audit.gates(encoder, signals)
    assert list(found) == ["1.1", "1.2", "2.1", "2.2", "3.1", "3.2", "4.1", "4.2"]
    x = signals.unsqueeze(2)
    block = encoder.stages[0][0]
    alpha = block.cam.weights(block.branch(encoder.stem(x)))
    torch.testing.assert_close(found["1.1"], alpha)
    assert found["4.2"].shape == (40, 10)
    again = audit.gates(encoder, signals)  # the hooks are gone: nothing doubles
    torch.testing.assert_close(again["4.2"], found["4.2"])


def test_silencing_a_lead_that_nothing_reads_moves_nothing(
    encoder: EcgEncoder, signals: Tensor
) -> None:
    with torch.no_grad():
        encoder.double().stem[0].weight[:, LEADS.index("V3")] = 0.0
    table = leads.lead_response(encoder, signals.double())
    assert list(table.index) == list(LEADS)
    assert table.loc["V3"].abs().max() < 1e-12
    assert (table.drop(index="V3")[["4.2", "embedding"]] > 1e-9).all().all()


@pytest.mark.parametrize("kind", leads.DISTURBANCES)
def test_only_the_named_lead_is_disturbed(signals: Tensor, kind: str) -> None:
    lead = leads.one_lead_each(signals)
    noisy = leads.disturb(signals, lead, kind, rate=100.0)
    rows = torch.arange(len(signals))
    changed = (noisy != signals).any(-1)
    assert changed[rows, lead].all()
    assert changed.sum() == len(signals)
    if kind != "flat":
        torch.testing.assert_close(noisy.std(-1), torch.ones(40, 12))
    raw = leads.disturb(3 * signals, lead, "noise alone", 100.0, standardise=False)
    assert raw[rows, lead].std(-1).mean() == pytest.approx(3, rel=0.1)


def test_the_mean_of_a_standardised_lead_knows_nothing(signals: Tensor) -> None:
    spikes = signals.clone()
    spikes[..., ::50] += 20  # as tall as QRS complexes
    spikes = (spikes - spikes.mean(-1, keepdim=True)) / spikes.std(-1, keepdim=True)
    table = leads.lead_evidence(spikes, rate=100.0)
    assert (table.drop(index="flat")["average (eq 8)"] == 0.5).all()
    assert table.loc["flat", "maximum (eq 9)"] == 1.0
    assert table.loc["noise alone", "maximum (eq 9)"] > 0.9


def test_an_oracle_that_silences_makes_every_disturbance_the_same(
    encoder: EcgEncoder, signals: Tensor
) -> None:
    table = leads.oracle_lead_gate(encoder, signals, 100.0, weights=(1.0, 0.0))
    assert list(table.columns) == ["weight 1", "weight 0"]
    assert table["weight 0"].std() < 1e-6
    assert table.loc["flat", "weight 1"] == pytest.approx(table.loc["flat", "weight 0"])
    assert (table <= 1 + 1e-6).all().all()


def test_gate_and_relu_commute_until_the_shortcut_is_added(
    encoder: EcgEncoder, signals: Tensor
) -> None:
    x = audit.block_input(encoder, signals, "2.2")
    gap = audit.gate_and_relu_commute(encoder.stages[1][1], x)
    assert gap["without shortcut"] == 0
    assert gap["with shortcut"] > 0.01


def test_relu_readings_pool_three_different_maps(
    encoder: EcgEncoder, signals: Tensor
) -> None:
    block = encoder.stages[0][0]
    table = audit.relu_readings(block, audit.block_input(encoder, signals, "1.1"))
    assert table["average"].nunique() == 3
    assert table["correlation"].iloc[0] == pytest.approx(1)
    assert table["average"].iloc[1] > table["average"].iloc[0]  # ReLU only adds


def test_mean_pooling_forgets_the_order_and_attention_does_not(
    encoder: EcgEncoder, signals: Tensor
) -> None:
    with torch.no_grad():
        encoder.head.position.mul_(10)
        encoder.project.weight.mul_(1000)  # moments that differ from each other
    table = audit.pooling_readings(encoder, signals)
    assert table["cosine, reordered"].iloc[0] == pytest.approx(1)
    assert table["cosine, reordered"].iloc[1] < 0.999
    assert table["moments"].iloc[0] == 13  # all of 200 / 16
    assert 1 <= table["moments"].iloc[1] < 13
    assert table["parameters"].tolist() == [8 * 10 + 8, 8 * 10 + 8 + 48 + 4 * 72]


@pytest.mark.parametrize("depth", [18, 50])
def test_receptive_field_is_where_gradients_reach(depth: int) -> None:
    torch.manual_seed(0)
    encoder = EcgEncoder(replace(SMALL, depth=depth, cam="none")).double().eval()
    for module in encoder.modules():  # nothing is cut off on its way
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.uniform_(module.weight, 0.1, 1.0)
    x = torch.rand(1, 12, 800, dtype=torch.float64, requires_grad=True)
    encoder.feature_map(x)[0, 0, 0, 25].backward()
    reached = x.grad[0].abs().sum(0).nonzero().flatten()
    span = int(reached.max() - reached.min()) + 1
    assert span == audit.receptive_field(encoder)


def test_size_table_counts_what_the_networks_hold() -> None:
    table = audit.size_table(depths=(18, 50), config=SMALL, length=1000)
    for name, depth in (("1D-ResNet18", 18), ("1D-ResNet50", 50)):
        encoder = EcgEncoder(replace(SMALL, depth=depth))
        whole = sum(p.numel() for p in encoder.parameters()) / 1e6
        row = table.loc[name]
        assert row["without CAM (M)"] + row["CAM (M)"] == pytest.approx(whole)
        assert row["CAM share"] == pytest.approx(row["CAM (M)"] / whole)
    bare = EcgEncoder(replace(SMALL, cam="none"))
    count = sum(p.numel() for p in bare.parameters()) / 1e6
    assert table.loc["1D-ResNet18", "without CAM (M)"] == pytest.approx(count)


def test_multiply_adds_are_outputs_times_kernel() -> None:
    # 64 samples: stem 32 x (12 x 7 -> 4), stages at 32, 16, 8, 4 moments, one head.
    stem = 32 * 12 * 7 * 4
    stage1 = 32 * 4 * (4 * 3 * 4)
    stage2 = 16 * (4 * 3 * 6 + 3 * 6 * 3 * 6 + 4 * 6)
    stage3 = 8 * (6 * 3 * 8 + 3 * 8 * 3 * 8 + 6 * 8)
    stage4 = 4 * (8 * 3 * 10 + 3 * 10 * 3 * 10 + 8 * 10)
    head = 4 * 10 * 8
    total = stem + stage1 + stage2 + stage3 + stage4 + head
    assert audit.multiply_adds(EcgEncoder(SMALL), 64) == total
