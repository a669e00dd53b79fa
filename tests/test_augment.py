"""Augmentations: what each adds or moves, and what none of them may touch."""

import math

import pytest
import torch

from mccgaa.errors import ConfigError
from mccgaa.plus import augment as module
from mccgaa.plus.augment import AFTERWARDS, AUGMENTATIONS, PRESETS, RECORDED, augment

RATE = 100
CHANGES = pytest.mark.parametrize("name", AUGMENTATIONS)
ADDED = {"wander": 0.5, "hum": 0.2, "muscle": 0.4, "noise": 0.2}  # most deviations


def standard_normal(records=8, length=1000):
    """Leads of mean 0 and deviation 1, (B, 12, T), as a z-scored store has them."""
    signals = torch.randn(records, 12, length).cumsum(-1)  # mostly slow, as an ECG
    signals = signals - signals.mean(-1, keepdim=True)
    return signals / signals.std(-1, correction=0, keepdim=True)


def changed(name, signals, strength=1.0, rate=RATE, seed=0):
    torch.manual_seed(seed)
    return AUGMENTATIONS[name](signals, strength, rate)


def spectrum(signals):
    """Power per bin (B, 12, F); bins are 0.1 Hz wide in 10 s."""
    return torch.fft.rfft(signals).abs().square()


@CHANGES
def test_strength_zero_changes_nothing(name):
    signals = standard_normal()
    torch.testing.assert_close(changed(name, signals, 0.0), signals, atol=5e-4, rtol=0)


@CHANGES
def test_a_seed_repeats_and_records_differ(name):
    rate = 500 if name == "hum" else RATE
    signals = standard_normal(1, 5 * rate).expand(16, 12, 5 * rate)
    first = changed(name, signals, rate=rate, seed=1)
    assert first.shape == signals.shape and first.dtype == torch.float32
    assert torch.equal(first, changed(name, signals, rate=rate, seed=1))
    assert not torch.equal(first, changed(name, signals, rate=rate, seed=2))
    distinct = {record.numpy().tobytes() for record in first}
    # Half of the records keep their leads and times where masks are drawn.
    assert len(distinct) >= (5 if "mask" in name else 15)


@CHANGES
def test_missing_leads_and_padding_stay_zero(name):
    signals = standard_normal(32)
    signals[:, [2, 7]] = 0
    signals[..., 500:] = 0
    varied = augment(signals, 1.0, [name], 500, standardised=True)
    assert not varied[:, [2, 7]].any()
    last = 525 if name == "crop-resize" else 600 if name == "shift" else 500
    assert not varied[..., last:].any() and varied[..., :500].any()


@CHANGES
def test_a_record_is_treated_as_it_would_be_without_the_others(name):
    signals = standard_normal(6)
    other = signals.clone()
    other[1:] = standard_normal(5)
    assert torch.equal(changed(name, signals)[0], changed(name, other)[0])


@CHANGES
def test_standardised_leads_stay_standardised_until_gains_and_masks(name):
    signals = standard_normal(16)
    torch.manual_seed(0)
    varied = augment(signals, 1.0, [name], RATE, standardised=True)
    if name in AFTERWARDS:
        return
    held = (varied != 0).any(1, keepdim=True)  # (B, 1, T)
    for record, times in zip(varied, held[:, 0], strict=True):
        kept = record[:, times]
        torch.testing.assert_close(kept.mean(-1), torch.zeros(12), atol=1e-4, rtol=0)
        deviation = kept.std(-1, correction=0)
        torch.testing.assert_close(deviation, torch.ones(12), atol=1e-3, rtol=0)


def test_in_millivolts_noise_is_added_and_the_signal_keeps_its_size():
    signals = standard_normal(16)
    torch.manual_seed(0)
    raw = augment(signals, 1.0, ["noise"], RATE)
    torch.manual_seed(0)
    torch.testing.assert_close(raw, AUGMENTATIONS["noise"](signals, 1.0, RATE))
    assert (raw.std(-1) > signals.std(-1)).float().mean() > 0.9


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_noise_has_up_to_its_share_of_each_leads_deviation(name, strength):
    rate = 1000  # muscle noise then has a quarter of the frequencies, and all its power
    size = torch.tensor([1.0, 100.0]).repeat(6)[:, None]  # (12, 1)
    signals = standard_normal(64, 5000) * size
    added = changed(name, signals, strength, rate) - signals
    share = (added / size).square().mean(-1).sqrt()  # (64, 12)
    most = ADDED[name] * strength
    slack = 1.5 if name == "wander" else 1.1  # part of a period is not all of it
    assert 0.6 * most < share.max() < slack * most
    assert share.amax(0).min() > 0.4 * most, "each lead by its own deviation"
    assert share.amax(1).min() < 0.2 * most, "some records have little of it"


@pytest.mark.parametrize(
    ("name", "low", "high"), [("wander", 0, 1.1), ("muscle", 13, 152)]
)
def test_noise_stays_in_its_band(name, low, high):
    signals = standard_normal(16, 5000)
    power = spectrum(changed(name, signals, rate=500) - signals).sum((0, 1))
    frequency = torch.fft.rfftfreq(5000, 1 / 500)
    inside = power[(frequency >= low) & (frequency <= high)].sum() / power.sum()
    assert inside > 0.97


def test_hum_has_one_phase_and_the_frequency_of_a_mains():
    signals = standard_normal(32, 5000)
    added = changed("hum", signals, rate=500) - signals
    peaks = spectrum(added).sum(1).argmax(-1) / 10  # (32,) Hz
    assert set(peaks.tolist()) == {50.0, 60.0}
    phases = torch.fft.rfft(added[0])[:, round(peaks[0].item() * 10)]
    turned = phases / phases[0]
    assert (turned.imag.abs() < 1e-2 * turned.real.abs()).all()


def test_a_rate_that_cannot_hold_the_mains_gets_no_hum():
    signals = standard_normal(4)
    assert torch.equal(changed("hum", signals, rate=100), signals)


def test_muscle_noise_comes_and_goes():
    signals = standard_normal(64)
    added = (changed("muscle", signals) - signals).abs().mean(1)  # (64, 1000)
    parts = added.reshape(64, 10, 100).mean(-1)  # by second
    quiet = (parts < 0.05 * parts.amax(1, keepdim=True)).sum(1)
    assert (quiet > 0).float().mean() > 0.4 and quiet.max() <= 9


def test_a_shift_moves_all_leads_of_a_record_and_fills_with_zeros():
    signals = standard_normal(64)
    varied = changed("shift", signals)
    found = []
    for before, after in zip(signals, varied, strict=True):
        for by in range(-100, 101):
            naive = torch.zeros_like(before)
            if by >= 0:
                naive[:, by:] = before[:, : 1000 - by]
            else:
                naive[:, :by] = before[:, -by:]
            if torch.equal(naive, after):
                found.append(by)
    assert len(found) == 64 and min(found) < -70 and max(found) > 70


def test_crop_resize_stretches_time_about_the_middle_by_up_to_a_twentieth():
    time = (torch.arange(1001) - 500) / 100  # (T,) s; 0 in the middle
    wave = torch.cos(2 * math.pi * 3 * time).expand(32, 12, 1001)
    varied = changed("crop-resize", wave)
    torch.testing.assert_close(varied[..., 500], wave[..., 500])
    factors = torch.linspace(0.94, 1.06, 241)
    ideal = torch.cos(2 * math.pi * 3 * factors[:, None] * time[100:901])  # (241, 801)
    best = []
    for record in varied[:, 0, 100:901]:
        miss = (ideal - record).abs().amax(1)
        assert miss.min() < 0.03
        best.append(factors[miss.argmin()].item())
    assert 0.949 < min(best) < 0.96 and 1.04 < max(best) < 1.051
    assert torch.equal(varied[:, 0], varied[:, 7]), "all leads together"


def test_electrodes_turn_the_limb_leads_as_a_turned_heart_does():
    x, y = torch.randn(2, 32, 1, 400)  # frontal heart vector: left, towards the feet
    root = math.sqrt(3)

    def limb(x, y):
        one, two = x, (x + root * y) / 2  # Einthoven's triangle
        augmented = [-(one + two) / 2, one - two / 2, two - one / 2]
        return torch.cat([one, two, two - one, *augmented], dim=1)

    signals = torch.cat([limb(x, y), torch.randn(32, 6, 400)], dim=1)
    varied = changed("electrodes", signals)
    turned = torch.atan2(
        (varied[:, 5] * 2 / root * x[:, 0] - varied[:, 0] * y[:, 0]).sum(-1),
        (varied[:, 0] * x[:, 0] + varied[:, 5] * 2 / root * y[:, 0]).sum(-1),
    )[:, None, None]  # (32, 1, 1) radians
    expected = limb(
        turned.cos() * x - turned.sin() * y, turned.sin() * x + turned.cos() * y
    )
    torch.testing.assert_close(varied[:, :6], expected, atol=1e-4, rtol=1e-4)
    most = math.radians(15)
    assert turned.max() < most + 1e-3 and turned.min() > -most - 1e-3
    assert turned.max() > 0.6 * most and turned.min() < -0.6 * most


def test_electrodes_mix_each_chest_lead_with_one_neighbour():
    signals = torch.zeros(64, 12, 12)
    signals[:] = torch.eye(12)  # lead i is 1 at time i alone: what comes out is the mix
    mixed = changed("electrodes", signals * 1.0)
    # A time at which a record has no signal at all is padding: here there is none.
    chest = mixed[:, 6:, 6:]  # (64, 6, 6)
    torch.testing.assert_close(chest.sum(-1), torch.ones(64, 6))
    own = chest.diagonal(dim1=1, dim2=2)  # (64, 6)
    assert own.min() >= 0.7 - 1e-5 and own.min() < 0.75
    for i in range(6):
        others = [j for j in range(6) if j != i and (chest[:, i, j] != 0).any()]
        assert others == [j for j in (i - 1, i + 1) if 0 <= j < 6]
    both = (chest[:, 2, 1] != 0) & (chest[:, 2, 3] != 0)
    assert not both.any()
    assert not mixed[:, 6:, :6].any() and not mixed[:, :6, 6:].any()


def test_a_filter_weakens_the_ends_of_the_spectrum_and_keeps_the_middle():
    signals = torch.randn(64, 12, 1000)
    gain = (spectrum(changed("filter", signals)) / spectrum(signals)).sqrt()
    torch.testing.assert_close(gain, gain[:, :1].expand_as(gain), atol=2e-2, rtol=0)
    gain = gain.median(1).values  # (64, 501), bins of 0.1 Hz
    assert gain.max() < 1 + 1e-2
    torch.testing.assert_close(gain[:, 0], torch.ones(64), atol=1e-3, rtol=1e-3)
    assert gain[:, 50:100].min() > 0.95, "5 to 10 Hz"
    assert gain[:, 1].min() < 0.3 and gain[:, 1].max() > 0.8, "0.1 Hz"
    assert gain[:, 400].min() < 0.1 and gain[:, 400].max() > 0.95, "40 Hz"
    assert (gain[:, 150:499].diff(dim=1) < 1e-3).all(), "a low-pass falls"


def test_a_jitter_weighs_frequencies_anew_without_moving_them_in_time():
    signals = torch.randn(64, 12, 1000)
    ratio = torch.fft.rfft(changed("frequency-jitter", signals)) / torch.fft.rfft(
        signals
    )
    ratio = ratio[..., :-1]  # the last bin is real alone
    gain = ratio.real.median(1).values.log()  # (64, 500), bins of 0.1 Hz
    assert ratio.imag.abs().median() < 1e-4, "no phase"
    torch.testing.assert_close(
        ratio.real.log(), gain[:, None].expand_as(ratio), atol=2e-2, rtol=0
    )
    most = math.log(1.25)
    assert gain[:, 0].abs().max() < 1e-3, "the mean stays"
    assert 0.9 * most < gain.max() < most + 1e-3
    assert -0.9 * most > gain.min() > -most - 1e-3
    steps = gain[:, 1:].diff(dim=1)
    assert steps.abs().max() < 2 * most / 57 + 1e-3, "straight from knot to knot"
    assert steps[:, 400:].abs().max() < 1e-3, "one factor above 40 Hz"
    assert (gain[:, 57] - gain[:, 114]).abs().mean() > most / 4, "another at each knot"


def test_scale_multiplies_leads_by_factors_of_their_own_and_of_the_record():
    signals = standard_normal(256)
    factor = changed("scale", signals) / signals
    torch.testing.assert_close(factor, factor[..., :1].expand_as(factor))
    factor = factor[..., 0].log()  # (256, 12)
    most = 2 * math.log(1.25)
    assert 0.9 * most < factor.max() <= most + 1e-5
    assert -0.9 * most > factor.min() >= -most - 1e-5
    between, within = factor.mean(1).std(), factor.std(1).mean()
    even = math.log(1.25) / math.sqrt(3)  # deviation of even numbers up to there
    assert between == pytest.approx(even, rel=0.2) and within == pytest.approx(
        even, rel=0.1
    )


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_lead_masks_hide_a_few_leads_or_a_group_in_half_of_the_records(strength):
    signals = standard_normal(2000, 20)
    varied = changed("lead-mask", signals, strength)
    gone = ~varied.any(-1)  # (B, 12)
    assert torch.equal(varied[~gone], signals[~gone])
    count = gone.sum(1)
    hit = count > 0
    assert hit.float().mean() == pytest.approx(0.5 * strength, abs=0.04)
    limb = gone[:, :6].all(1) & (count == 6)
    chest = gone[:, 6:].all(1) & (count == 6)
    few = (count >= 1) & (count <= 3)
    assert torch.equal(hit, limb | chest | few)
    for kind, share in ((limb, 0.25), (chest, 0.25), (few, 0.5)):
        assert kind.sum() / hit.sum() == pytest.approx(share, abs=0.06)
    assert gone[few].float().mean(0).min() > 0.1, "any lead"


def test_a_lead_mask_leaves_a_record_with_few_leads_something():
    signals = standard_normal(500, 20)
    signals[:, 1:] = 0
    assert changed("lead-mask", signals).any(-1).any(-1).all()


def test_time_masks_hide_one_window_in_all_leads():
    signals = standard_normal(500)
    gone = (changed("time-mask", signals) == 0) & (signals != 0)  # (B, 12, T)
    assert torch.equal(gone, gone[:, :1].expand_as(gone))
    gone = gone[:, 0]
    count = gone.sum(1)
    assert (count > 0).float().mean() == pytest.approx(0.5, abs=0.07)
    assert 80 < count.max() <= 101
    edges = gone.int().diff(dim=1).abs().sum(1)
    assert edges.max() <= 2, "one window"


def test_presets_stand_for_their_members_in_the_order_of_a_recording():
    assert set(PRESETS["standard"]) < set(AUGMENTATIONS)
    signals = standard_normal()
    torch.manual_seed(0)
    preset = augment(signals, 0.5, ("standard",), RATE, standardised=True)
    torch.manual_seed(0)
    members = reversed(PRESETS["standard"])
    assert torch.equal(
        preset, augment(signals, 0.5, (*members,), RATE, standardised=True)
    )
    assert [*RECORDED, *AFTERWARDS] == [*AUGMENTATIONS]


def test_each_augmentation_is_given_strength_and_rate(monkeypatch):
    calls = []
    for stage in (RECORDED, AFTERWARDS):
        for name in stage:
            monkeypatch.setitem(
                stage, name, lambda x, s, r, name=name: calls.append((name, s, r)) or x
            )
    augment(torch.ones(1, 12, 9), 0.3, ("noise", "shift", "time-mask"), 250)
    assert calls == [("shift", 0.3, 250), ("noise", 0.3, 250), ("time-mask", 0.3, 250)]


def test_an_unknown_augmentation_is_refused_with_those_that_exist():
    with pytest.raises(
        ConfigError, match=r"augmentations is 'flip'; .*one of standard"
    ):
        augment(torch.ones(1, 12, 9), 0.3, ("flip",))


def test_no_name_stands_for_the_first_recipe():
    signals = torch.randn(4, 12, 100)
    torch.manual_seed(3)
    first = augment(signals, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, module.simple(signals, 0.5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@CHANGES
def test_nothing_waits_for_the_device(name):
    signals = standard_normal().cuda()
    augment(signals, 1.0, [name], RATE, standardised=True)  # loads the kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        varied = augment(signals, 1.0, [name], RATE, standardised=True)
        augment(signals, 1.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert varied.device == signals.device


def test_the_first_recipe_is_off_at_zero_and_repeats_with_the_seed():
    signals = torch.randn(4, 12, 100)
    assert augment(signals, 0.0) is signals
    torch.manual_seed(3)
    first = augment(signals, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, augment(signals, 0.5))
    assert first.shape == signals.shape and not torch.equal(first, signals)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_first_recipe_scales_each_lead_by_a_factor_of_its_own(strength):
    torch.manual_seed(0)
    flat = torch.full((200, 12, 10), 2.0)  # no deviation: no noise; no time: no shift
    factor = augment(flat, strength) / flat  # (B, 12, T)
    assert torch.equal(factor, factor[..., :1].expand_as(factor))
    factor = factor[..., 0]  # (B, 12)
    assert factor.unique().numel() == factor.numel()
    low, high = 1 - 0.3 * strength, 1 + 0.3 * strength
    assert low <= factor.min() < low + 0.02 and high - 0.02 < factor.max() <= high


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_first_recipe_rotates_a_batch_by_up_to_a_fifth_of_its_length(strength):
    torch.manual_seed(0)
    pulse = torch.zeros(2, 12, 100)
    pulse[..., 50] = 1000.0  # far above the noise
    shifts = set()
    for _ in range(300):
        at = augment(pulse, strength).argmax(-1)  # (2, 12)
        assert at.unique().numel() == 1, "leads and records move together"
        shifts.add(at[0, 0].item() - 50)
    most = int(20 * strength)
    assert min(shifts) == -most and max(shifts) == most
    late = torch.zeros(1, 12, 100)
    late[..., 99] = 1000.0
    assert {augment(late, 1.0).argmax(-1)[0, 0].item() for _ in range(40)} & set(
        range(20)
    ), "what leaves at the end comes back at the start"


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_first_recipe_adds_noise_of_a_share_of_each_leads_deviation(strength):
    torch.manual_seed(0)
    wave = torch.sin(torch.arange(1000) * 2 * torch.pi / 10)  # whole periods
    size = torch.tensor([1.0, 100.0]).repeat(6)[:, None]  # (12, 1)
    signals = (wave * size).expand(64, 12, 1000)
    noisy = augment(signals, strength)
    spectrum = torch.fft.rfft(noisy) / 1000  # (64, 12, 501)
    spectrum[..., 100] = 0  # the wave itself, whatever its shift and gain
    noise = (2 * spectrum.abs().square().sum(-1)).sqrt()  # (64, 12) deviation
    share = noise / (size[:, 0] / 2**0.5)
    assert share.max() <= 0.2 * strength * 1.1, "at most a fifth of the deviation"
    assert share.amax(1).max() > 0.15 * strength and share.amin(1).min() < 0.05
    spread = share.std(1) / share.mean(1)
    assert spread.max() < 0.15, "one size of noise per record, in shares of its leads"


def test_the_first_recipe_keeps_the_type_of_the_signals():
    torch.manual_seed(0)
    assert augment(torch.randn(2, 12, 20).double(), 1.0).dtype == torch.float64
