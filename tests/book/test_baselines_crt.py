"""CRT: patches of time and spectrum, what is dropped of them, and both losses."""

import math
from dataclasses import replace

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
    size,
    watched_gather,
    watched_spread,
)

from mccgaa.config import EncoderConfig, InputConfig
from mccgaa.errors import ConfigError
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.base import Backbone
from mccgaa_book.baselines.crt import (
    discrimination,
    dropping,
    reconstruction,
)
from mccgaa_book.baselines.spectral import spectrum

SMALL = {"width": 16, "depth": 1, "decoder_depth": 1}


def test_the_constraint_is_the_log_sum_exp_of_cosines_with_other_records():
    before, after = matrix(4, 3), matrix(4, 3, seed=1)
    total = 0.0
    for b in range(4):
        terms = []
        for c in range(4):
            if c != b:
                dot = sum((before[b] * after[c]).tolist())
                length = math.dist(before[b], [0] * 3) * math.dist(after[c], [0] * 3)
                terms.append(math.exp(dot / length))
        total += math.log(sum(terms))
    ours = discrimination(before, after).item()
    assert ours == pytest.approx(total / 4, abs=1e-12)
    same = torch.ones(5, 3).double()
    assert discrimination(same, same).item() == pytest.approx(1 + math.log(4))
    assert discrimination(same, -same).item() == pytest.approx(-1 + math.log(4))
    assert discrimination(same[:1], same[:1]) == 0


def test_reconstruction_weighs_each_patch_alike_whatever_its_size():
    predicted = [matrix(2, 3, 4), matrix(2, 5, 7, seed=1)]
    target = [matrix(2, 3, 4, seed=2), matrix(2, 5, 7, seed=3)]
    errors = []
    for one, other in zip(predicted, target, strict=True):
        for row, wanted in zip(one.flatten(0, 1), other.flatten(0, 1), strict=True):
            squares = [(a - b) ** 2 for a, b in zip(row, wanted, strict=True)]
            errors.append(sum(squares) / len(squares))
    expected = float(sum(errors) / len(errors))
    assert reconstruction(predicted, target).item() == pytest.approx(expected, 1e-6)
    assert reconstruction(target, target) == 0


def test_dropping_grows_with_training_between_its_limits():
    shares = [dropping(p, (0.3, 0.8)) for p in (0.0, 0.3, 0.5, 0.8, 1.0)]
    assert shares == [0.3, 0.3, 0.5, 0.8, 0.8]


def test_a_sinusoid_has_one_frequency_and_its_phase():
    rate, length = 50, 100
    time = torch.arange(length) / rate
    wave = torch.cos(2 * math.pi * 5 * time + math.pi / 4).expand(1, 1, -1)
    magnitude, phase = spectrum(wave, 40)
    assert magnitude.shape == phase.shape == (1, 1, 40)
    assert magnitude[0, 0].argmax() == 10  # 5 Hz in bins of 0.5 Hz
    # The orthonormal transform of a cosine of amplitude 1 is sqrt(length) / 2.
    assert magnitude[0, 0, 10].item() == pytest.approx(math.log1p(5), abs=1e-5)
    assert phase[0, 0, 10].item() == pytest.approx(0.25, abs=1e-5)
    assert phase.abs().max() <= 1


def test_patches_hold_all_leads_of_a_moment_or_a_band():
    encoder = make("crt", **SMALL).encoder
    x = signals(2)
    time, magnitude, phase = encoder.patches(x)
    assert time.shape == (2, 10, 12 * 10)  # 0.2 s at 50 Hz
    assert magnitude.shape == phase.shape == (2, 12, 12 * 4)  # 2 Hz in bins of 0.5
    assert torch.equal(time[1, 3].view(12, 10), x[1, :, 30:40])
    lows, turns = spectrum(x, 48)
    assert torch.equal(magnitude[0, 2].view(12, 4), lows[0, :, 8:12])
    assert torch.equal(phase[0, 2].view(12, 4), turns[0, :, 8:12])


def test_magnitude_and_phase_are_dropped_at_the_same_frequencies():
    method = make("crt", **SMALL)
    torch.manual_seed(0)
    time, magnitude, phase = method.draw(method.encoder.patches(signals(3)), 0.75)
    assert torch.equal(magnitude, phase)
    assert time.shape == (3, 3) and phase.shape == (3, 3)  # of 10 and of 12
    assert not torch.equal(time, phase)


def test_a_dropped_token_does_not_change_the_encoding_and_a_kept_one_does():
    method = make("crt", **SMALL)
    encoder = method.encoder.eval()
    tokens = encoder.tokens(encoder.patches(signals(2)))
    kept = method.draw(tokens, 0.5)
    before = torch.cat(encoder.encode(tokens, kept), dim=1)
    for i, sequence in enumerate(tokens):
        changed = list(tokens)
        gone = torch.ones(sequence.shape[:2]).scatter(1, kept[i], 0)[..., None]
        changed[i] = sequence + 5 * gone
        assert torch.equal(torch.cat(encoder.encode(changed, kept), dim=1), before)
        changed[i] = sequence + (1 - gone)
        after = torch.cat(encoder.encode(changed, kept), dim=1)
        assert not torch.allclose(after, before)


def test_the_embedding_depends_on_position_and_on_the_kind_of_a_token():
    encoder = make("crt", **SMALL).encoder.eval()
    tokens = encoder.tokens(encoder.patches(signals(1)))

    def embed(parts):
        return torch.stack([part[:, 0] for part in encoder.encode(parts)]).mean(0)

    before = embed(tokens)
    assert torch.allclose(before, encoder(signals(1)), atol=1e-6)
    reversed_time = [tokens[0].flip(1), *tokens[1:]]
    assert not torch.allclose(embed(reversed_time), before, atol=1e-5)
    with torch.no_grad():
        encoder.kind.copy_(encoder.kind.flip(0))
    assert not torch.allclose(embed(tokens), before, atol=1e-5)


def test_the_decoder_gives_every_patch_of_every_sequence():
    method = make("crt", **SMALL)
    patches = method.encoder.patches(signals(2))
    kept = method.draw(patches, 0.75)
    encoded = method.encoder.encode(method.encoder.tokens(patches), kept)
    predicted = method.decoder(encoded, kept)
    assert [p.shape for p in predicted] == [p.shape for p in patches]


def test_a_step_adds_the_weighed_constraint_and_reaches_all_weights():
    method = make("crt", **SMALL, constraint=0.5)
    found = method.loss(batch())
    assert tuple(found) == method.columns()
    total = found["reconstruction"] + 0.5 * found["discrimination"]
    assert found["loss"].item() == pytest.approx(total.item())
    names = {name for name, _ in method.named_parameters()}
    assert learns(method, batch()) == names


def test_more_is_dropped_as_training_goes_on(monkeypatch):
    method = make("crt", **SMALL)
    kept = []
    encode = method.encoder.encode

    def watched(tokens, places):
        kept.append(places[0].shape[1])
        return encode(tokens, places)

    monkeypatch.setattr(method.encoder, "encode", watched)
    for progress in (0.0, 0.5, 0.99):
        method.loss(batch(progress=progress))
    assert kept == [7, 5, 2]  # of 10 patches


@pytest.mark.parametrize("rate", [100, 500])
def test_tokens_and_parameters_hardly_depend_on_the_rate(rate):
    given = replace(config("crt"), input=InputConfig(rate, 10.0))
    encoder = registry.build(given).encoder
    assert [len(p) - 1 for p in encoder.position] == [50, 25, 25]
    resnet = size(Backbone(EncoderConfig(cam="none")))
    assert abs(size(encoder) / resnet - 1) < 0.2


def test_shares_out_of_order_are_refused():
    said = (
        r"crt\.dropped is \(0\.8, 0\.3\); expected two shares in \[0, 1\), the smaller "
    )
    with pytest.raises(ConfigError, match=said + r"first\.?$"):
        config("crt", dropped=[0.8, 0.3])


def test_a_kept_patch_has_the_position_of_its_place():
    encoder = make("crt", **SMALL).encoder.eval()
    tokens = encoder.tokens(encoder.patches(signals(1)))
    kept = 3 * [torch.tensor([[2, 5]])]
    before = torch.cat(encoder.encode(tokens, kept), dim=1)
    with torch.no_grad():
        for position in encoder.position:
            position[[1, 2]] += 1  # of patches that are dropped
    assert torch.equal(torch.cat(encoder.encode(tokens, kept), dim=1), before)


def test_the_decoder_puts_each_patch_in_its_place_among_its_own_mask_tokens():
    method = make("crt", **SMALL)
    decoder = method.decoder
    decoder.blocks = torch.nn.Identity()
    kept = [torch.tensor([[1, 4]]), torch.tensor([[0, 2]]), torch.tensor([[3, 5]])]
    encoded = [torch.randn(1, 3, 16) for _ in kept]
    with torch.no_grad():
        decoder.mask_token.copy_(torch.randn(3, 16))
        for position in decoder.position:
            position.zero_()
        predicted = decoder(encoded, kept)
    for i, (part, places) in enumerate(zip(encoded, kept, strict=True)):
        tokens = decoder.mask_token[i].repeat(predicted[i].shape[1], 1)
        tokens[places[0]] = part[0, 1:]  # the class token comes first
        expected = decoder.to_patch[i](tokens)
        assert torch.allclose(predicted[i][0], expected, atol=1e-6)


def test_a_phase_has_its_sign():
    time = torch.arange(100) / 50
    wave = torch.cos(2 * math.pi * 5 * time - math.pi / 4).expand(1, 1, -1)
    assert spectrum(wave, 40)[1][0, 0, 10].item() == pytest.approx(-0.25, abs=1e-5)


def test_a_step_reconstructs_the_patches_and_sets_apart_what_went_in_and_came_out(
    monkeypatch,
):
    method = make("crt", **SMALL)
    method.project_before = method.project_after = torch.nn.Identity()
    module, kept = "mccgaa_book.baselines.crt", {}
    for name in ("reconstruction", "discrimination"):
        monkeypatch.setattr(
            f"{module}.{name}",
            lambda *given, name=name: kept.update({name: given}) or given[0][0].sum(),
        )
    encode, parts = method.encoder.encode, []
    monkeypatch.setattr(
        method.encoder,
        "encode",
        lambda tokens, places: parts.append((tokens, places)) or encode(tokens, places),
    )
    given = batch()
    method.loss(given)
    ((tokens, places),) = parts
    wanted = method.encoder.patches(given.signals)
    assert all(map(torch.equal, kept["reconstruction"][1], wanted))
    before, after = kept["discrimination"]
    seen = [
        token.gather(1, place[..., None].expand(-1, -1, 16))
        for token, place in zip(tokens, places, strict=True)
    ]
    assert torch.allclose(before, torch.cat(seen, dim=1).mean(1), atol=1e-6)
    came = torch.cat([part[:, 1:] for part in encode(tokens, places)], dim=1)
    assert torch.allclose(after, came.mean(1), atol=1e-5)


def test_records_of_all_processes_are_set_apart(monkeypatch):
    method, asked = make("crt", **SMALL), watched_gather(monkeypatch, "crt")
    method.loss(batch())
    assert asked == [((4, 16), method.group)] * 2


def test_two_records_are_set_apart_and_one_is_alone():
    two = torch.eye(2).double()
    assert discrimination(two, two) == 0
    assert discrimination(two, two.flip(0)).item() == pytest.approx(1)


def test_what_is_watched_is_the_mean_of_the_class_tokens(monkeypatch):
    method, watched = make("crt", **SMALL), watched_spread(monkeypatch, "crt")
    encode, made = method.encoder.encode, []
    monkeypatch.setattr(
        method.encoder, "encode", lambda *given: made.append(encode(*given)) or made[0]
    )
    method.loss(batch())
    known = sum(part[:, 0] for part in made[0]) / 3
    assert known.shape == (4, 16)
    assert torch.allclose(watched[0], known, atol=1e-6)


def test_frequencies_end_where_the_settings_say_and_a_band_has_one_at_least():
    encoder = make("crt", **SMALL, highest=10.0).encoder
    assert [len(p) for p in encoder.position] == [11, 6, 6]
    assert encoder.kind.shape == encoder.summary.shape == (3, 16)
    assert [p.shape[1] for p in encoder.patches(signals(1))] == [10, 5, 5]
    narrow = make("crt", **SMALL, highest=0.4, band=0.1).encoder
    assert (narrow.bins, narrow.band) == (1, 1)
    assert make("crt", **SMALL, band=0.1).encoder.band == 1


def test_what_is_drawn_stays_on_the_device_of_the_batch():
    parts = [elsewhere(4, n, 5) for n in (10, 6, 6)]
    assert all(kept.is_meta for kept in make("crt", **SMALL).draw(parts, 0.5))
    plain = discrimination.__wrapped__  # there is no autocast on that device
    assert plain(elsewhere(4, 3), elsewhere(4, 3)).is_meta


def test_tokens_have_their_place_their_kind_and_class_tokens_before_them():
    """Without blocks, what is encoded is what they are given."""
    encoder = make("crt", **SMALL).encoder
    encoder.blocks = torch.nn.Identity()
    tokens = encoder.tokens(encoder.patches(signals()))
    encoded = encoder.encode(tokens)
    for i, (part, own) in enumerate(zip(encoded, tokens, strict=True)):
        place, kind = encoder.position[i], encoder.kind[i]
        torch.testing.assert_close(part[:, 1:], own + place[1:] + kind)
        first = (encoder.summary[i] + place[0] + kind).expand(4, -1)
        torch.testing.assert_close(part[:, 0], first)
    mean = sum(part[:, 0] for part in encoded) / 3
    torch.testing.assert_close(encoder(signals()), mean)


def test_the_decoder_has_places_of_its_own_and_mask_tokens_where_none_was_kept():
    method = make("crt", **SMALL)
    decoder, width = method.decoder, SMALL["width"]
    decoder.blocks = torch.nn.Identity()
    decoder.to_patch = torch.nn.ModuleList(torch.nn.Identity() for _ in range(3))
    counts = [len(place) - 1 for place in decoder.position]
    kept = [torch.tensor([[0, n - 1]]) for n in counts]
    encoded = [torch.full((1, 3, width), 7.0 + i) for i in range(3)]
    for i, part in enumerate(decoder(encoded, kept)):
        known = decoder.mask_token[i].expand(counts[i], -1).clone()
        known[[0, -1]] = 7.0 + i
        torch.testing.assert_close(part[0], known + decoder.position[i][1:])
