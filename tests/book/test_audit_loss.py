"""The audit's findings on the losses hold, and could have failed."""

import math

import pytest
import torch

from mccgaa.config import EncoderConfig, GafaConfig, ModelConfig, TextConfig
from mccgaa.loss import alignment_loss
from mccgaa_book.audit import loss as loss_audit


def test_log_sum_exp_is_twice_clip_to_the_last_digits_of_float64():
    table = loss_audit.log_sum_exp_is_clip()
    assert table["loss_gap"].max() < 1e-15
    assert table["gradient_gap"].max() < 1e-14
    assert (table["ratio"] - 2).abs().max() < 1e-14


def test_equation_29_as_written_repeats_equation_28():
    sums = loss_audit.equation_29()
    assert sums["loss_r2x as written (eq 29)"] == sums["loss_x2r (eq 28)"]
    assert sums["one-sided sum"] == pytest.approx(2 * sums["loss_x2r (eq 28)"], abs=0)
    assert sums["loss_r2x over columns"] != sums["loss_x2r (eq 28)"]


def test_softmax_written_out_fails_only_beyond_the_range_of_its_precision():
    table = loss_audit.stability().set_index(["precision", "tau"])
    limits = {"float32": 88.7, "bfloat16": 88.7, "float16": 11.09}  # log of the largest
    for (precision, tau), row in table.iterrows():
        overflows = 1 / tau > limits[precision]
        assert math.isfinite(row["written_out"]) != overflows
        assert math.isfinite(row["log_sum_exp"])
        assert math.isfinite(row["cross_entropy"])
    assert math.isfinite(table.loc[("float32", 0.07), "written_out"])


def test_adamw_ends_at_the_same_weights_with_the_loss_and_with_its_double():
    table = loss_audit.training_with(("symmetric", "clip", "one-sided"), steps=40)
    assert table.loc["clip", "distance"] < 1e-6
    assert table.loc["one-sided", "distance"] > 1e-3


def test_unit_rows_have_length_one():
    rows = loss_audit.unit_rows(7, 5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(rows.square().sum(1), torch.ones(7))


def test_only_epsilon_parts_a_loss_from_its_half():
    config = ModelConfig(
        encoder=EncoderConfig(embedding_dim=16, widths=(16, 16, 16, 16)),
        gafa=GafaConfig(graph="bipartite"),
        text=TextConfig(encoder="minilm"),
    )
    generator = torch.Generator().manual_seed(0)
    signals = torch.randn(8, 12, 200, generator=generator)
    vectors = torch.randn(8, config.text.dim, generator=generator)
    table = loss_audit.halved_loss(config, signals, vectors, steps=4)
    exact = table.loc["half the loss, half of epsilon"]
    assert exact["equal weights"] == 1 and exact["largest loss gap"] == 0
    alone = table.loc["half the loss"]
    assert alone["equal weights"] < 1 and 0 < alone["distance"] < 0.1
    assert 0 < table.loc["CLIP loss", "distance"] < 0.1
    larger = loss_audit.halved_loss(config, signals, vectors, steps=4, epsilon=1e-3)
    assert larger.loc["half the loss", "distance"] > 10 * alone["distance"]


def test_no_encoder_gets_below_the_floor_of_repeated_texts():
    text = torch.eye(4)[[0, 0, 0, 1, 2, 2]]
    floor = loss_audit.duplicate_floor(text)
    expected = 2 * (3 * math.log(3) + 2 * math.log(2)) / 6
    assert floor == pytest.approx(expected)
    perfect = alignment_loss(text, text, 0.05)  # each ECG lies on its own text
    assert perfect.item() == pytest.approx(floor, abs=1e-5)
    generator = torch.Generator().manual_seed(0)
    assert alignment_loss(loss_audit.unit_rows(6, 4, generator), text, 0.07) > floor
    assert loss_audit.duplicate_floor(torch.eye(4)) == 0


def test_dropout_alone_leaves_views_alike_and_linear_maps_do_not():
    features = loss_audit.unit_rows(64, 128, torch.Generator().manual_seed(0)).abs()
    views = loss_audit.unimodal_views(features, [0.0, 0.5])
    views = views.set_index(["rate", "reading"])
    assert views.loc[(0.0, "dropout alone"), "same"] == pytest.approx(1, abs=1e-5)
    assert views.loc[(0.5, "dropout alone"), "same"] == pytest.approx(0.5, abs=0.1)
    assert abs(views.loc[(0.0, "linear, then dropout"), "same"]) < 0.3
