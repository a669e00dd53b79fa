"""Augmentations: signals varied as recordings vary, so that findings stay.

Each takes a batch (B, 12, T) and draws what it does for each record on its own, on the
device of the batch, from torch's generator. No beat is moved against the others or
taken from another record. Two may still hide or shift a finding: see `PRESETS`.

A lead that a record lacks is all zeros and stays so, as does the padding of a short
record: noise is added where there is a signal.

**Amplitude.** A store of the transform `bandpass-zscore` holds leads of mean 0 and
deviation 1, whatever was recorded. So noise, wander and filters are followed by a new
z-score, as packing would have given it: noise then makes beats smaller instead of the
lead larger. Gains and masks come after it. A gain would otherwise do nothing at all; it
stands for what one large beat or artefact does to the deviation of its lead. A masked
lead is zero as a missing one is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import get_args

import torch
from torch import Tensor
from torch.linalg import vector_norm as norm
from torch.nn import functional as F

from mccgaa.config import Augmentation
from mccgaa.settings import choose

# What a preset's name stands for. Left out of "standard": what moves rates across the
# limits of 60 and 100 per minute (crop-resize), may hide the only premature beat
# (time-mask), or lies outside the band of 0.5 to 40 Hz (hum).
PRESETS: dict[str, tuple[Augmentation, ...]] = {
    "standard": (
        "shift",
        "electrodes",
        "wander",
        "muscle",
        "noise",
        "filter",
        "scale",
        "lead-mask",
    ),
}


def augment(
    signals: Tensor,
    strength: float,
    names: Sequence[Augmentation] = (),
    rate: float = 100,
    *,
    standardised: bool = False,
) -> Tensor:
    """Vary signals as recordings vary.

    Args:
        signals: (B, 12, T) float32.
        strength: in [0, 1]. 0 leaves them alone.
        names: keys of `AUGMENTATIONS` or `PRESETS`, applied in the order of
            `AUGMENTATIONS`, which is that of a recording; none stands for `simple`.
        rate: sampling rate in Hz.
        standardised: the leads are z-scored, and are z-scored again after what changes
            their deviation.

    Returns:
        (B, 12, T).

    Raises:
        ConfigError: an unknown name.
    """
    if not strength:
        return signals
    if not names:
        return simple(signals, strength)
    wanted: set[str] = set()
    for name in names:
        choose(Augmentation, name, "augmentations")
        wanted.update(PRESETS.get(name, (name,)))
    varied = signals
    for name, change in RECORDED.items():
        if name in wanted:
            varied = change(varied, strength, rate)
    if standardised and varied is not signals:
        varied = restored(varied, signals)
    for name, change in AFTERWARDS.items():
        if name in wanted:
            varied = change(varied, strength, rate)
    return varied


def simple(signals: Tensor, strength: float) -> Tensor:
    """Shift the batch in time, scale each lead, add white noise: the first recipe.

    Args:
        signals: (B, D, T).
        strength: in [0, 1]; 1 rotates the batch in time by up to a fifth of its
            length, scales each lead by a factor in [0.7, 1.3], and adds noise of up to
            0.2 standard deviations of its lead.

    Returns:
        (B, D, T).
    """
    batch, leads, length = signals.shape
    device = signals.device
    shift = int(torch.randint(-length // 5, length // 5 + 1, ()).item() * strength)
    gain = 1 + 0.3 * strength * (2 * torch.rand(batch, leads, 1, device=device) - 1)
    noise = torch.randn(batch, leads, length, device=device)
    noise = noise * signals.std(dim=-1, keepdim=True)
    noise = 0.2 * strength * torch.rand(batch, 1, 1, device=device) * noise
    moved = torch.roll(signals, shift, dims=-1)
    return moved * gain.to(signals) + noise.to(signals)


def uniform(signals: Tensor, low: float, high: float, *more: int) -> Tensor:
    """Draw numbers in [low, high) for each record, (B, *more)."""
    drawn = torch.rand(len(signals), *more, device=signals.device)
    return low + (high - low) * drawn


def anywhere(signals: Tensor, dim: int) -> Tensor:
    """Whether there is anything but zeros along a dimension, which is kept."""
    return (signals.amax(dim, keepdim=True) != 0) | (
        signals.amin(dim, keepdim=True) != 0
    )


def present(signals: Tensor) -> Tensor:
    """Where there is a signal, (B, D, T) bool: not in missing leads and padding."""
    return anywhere(signals, -1) & anywhere(signals, -2)  # (B, D, 1) & (B, 1, T)


def moments(signals: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each lead where it has a signal, (B, D, 1) each.

    Elsewhere it is zero, and adds nothing to the sums. A lead without any signal has
    mean 0 and a deviation next to 0.
    """
    count = anywhere(signals, -2).float().sum(-1, keepdim=True)  # (B, 1, 1)
    count = count.clamp(min=1)
    mean = signals.sum(-1, keepdim=True) / count
    square = norm(signals, dim=-1, keepdim=True).square() / count
    return mean, (square - mean.square()).clamp(min=1e-12).sqrt()


def restored(varied: Tensor, before: Tensor) -> Tensor:
    """Give each lead the mean and deviation that it had before.

    Args:
        varied, before: (B, D, T).

    Returns:
        (B, D, T); zeros stay where `varied` has no signal.
    """
    mean, deviation = moments(varied)
    old_mean, old_deviation = moments(before)
    factor = old_deviation / deviation  # (B, D, 1)
    return (varied * factor + (old_mean - mean * factor)) * present(varied)


def crop_resize(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Stretch time by up to 5 % about the middle; heart rate changes as much.

    Cubic interpolation; what comes from outside the record is zero.
    """
    length = signals.shape[-1]
    factor = 1 + strength * uniform(signals, -0.05, 0.05, 1)  # (B, 1)
    # Positions in [-1, 1] from the first to the last sample.
    where = torch.linspace(-1, 1, length, device=signals.device) * factor  # (B, T)
    grid = torch.stack([where, torch.zeros_like(where)], dim=-1)[
        :, None
    ]  # (B, 1, T, 2)
    image = signals[:, :, None].float()  # (B, D, 1, T)
    drawn = F.grid_sample(image, grid, "bicubic", "zeros", align_corners=True)
    return drawn[:, :, 0].to(signals)


def shift(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Move each record in time by up to a tenth of its length, zeros after it.

    A rotation would join the record's end to its start, and so make one RR interval
    that is too short or too long.
    """
    length = signals.shape[-1]
    by = (uniform(signals, -0.1, 0.1, 1) * strength * length).round().long()  # (B, 1)
    source = torch.arange(length, device=signals.device) - by  # (B, T)
    inside = (source >= 0) & (source < length)
    source = source.clamp(0, length - 1)[:, None].expand_as(signals)
    return signals.gather(-1, source) * inside[:, None]


def electrodes(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Put the electrodes elsewhere: limb leads turn, chest leads mix with neighbours.

    The limb leads see the heart turned in the frontal plane by up to 15 degrees. Each
    chest lead takes up to 30 % of one neighbour, as if its electrode lay nearer to it.
    In mV the first is exact; between z-scored leads, both are approximations.
    """
    limb, chest = signals[:, :6], signals[:, 6:]
    # Of I, II, III, aVR, aVL, aVF, the n-th lead lies at right angles to the n-th from
    # the end, on alternating sides. Augmented leads are weaker by sqrt(3) / 2.
    nth = torch.arange(6, device=signals.device)[:, None]  # (6, 1)
    gain = torch.where(nth < 3, 2 / math.sqrt(3), math.sqrt(3) / 2)
    side = gain * (2 * (nth % 2) - 1)
    angle = strength * uniform(signals, -math.pi / 12, math.pi / 12, 1, 1)
    turned = angle.cos() * limb + angle.sin() * side * limb.flip(1)  # (B, 6, T)
    # The outermost leads have themselves for the neighbour that they lack.
    before = torch.cat([chest[:, :1], chest[:, :-1]], dim=1)
    after = torch.cat([chest[:, 1:], chest[:, -1:]], dim=1)
    share = strength * uniform(signals, -0.3, 0.3, 6, 1)  # (B, 6, 1)
    neighbour = torch.where(share < 0, before, after)
    moved = chest + share.abs() * (neighbour - chest)
    return torch.cat([turned, moved], dim=1).to(signals) * present(signals)


def added(signals: Tensor, shape: Tensor, level: Tensor) -> Tensor:
    """Add noise where there is a signal.

    Args:
        signals: (B, D, T).
        shape: (B, D, T) noise of deviation 1.
        level: (B, 1, 1) or (B, D, 1), its deviation as a share of the lead's.
    """
    noise = shape * level * moments(signals)[1]
    return signals + noise.to(signals) * present(signals)


def wander(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Add baseline wander of up to 0.5 deviations of the lead.

    Three sinusoids of 0.05 to 0.8 Hz per record, of another amplitude and sign in each
    lead, as breathing and sweat make them.
    """
    length, tau = signals.shape[-1], 2 * math.pi
    time = torch.arange(length, device=signals.device) / rate  # (T,) s
    frequency = torch.exp(uniform(signals, math.log(0.05), math.log(0.8), 3, 1))
    phase = uniform(signals, 0, tau, 3, 1)
    waves = torch.sin(tau * frequency * time + phase)  # (B, 3, T)
    size = uniform(signals, -1, 1, signals.shape[1], 3)  # (B, D, 3)
    size = size / size.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    shape = size @ waves * math.sqrt(2)  # (B, D, T), deviation about 1
    return added(signals, shape, strength * uniform(signals, 0, 0.5, 1, 1))


def hum(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Add mains hum of up to 0.2 deviations: 50 or 60 Hz, one phase in all leads.

    Below twice the mains' frequency, a rate holds no hum and nothing changes.
    """
    time = torch.arange(signals.shape[-1], device=signals.device) / rate  # (T,) s
    mains = 50 + 10 * (uniform(signals, 0, 1, 1, 1) < 0.5)  # (B, 1, 1) Hz
    phase = uniform(signals, 0, 2 * math.pi, 1, 1)
    shape = math.sqrt(2) * torch.sin(2 * math.pi * mains * time + phase)
    size = uniform(signals, -1, 1, signals.shape[1], 1)  # (B, D, 1)
    size = size * strength * uniform(signals, 0, 0.2, 1, 1)
    return added(signals, shape, size * (mains < rate / 2))


def muscle(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Add muscle noise of up to 0.4 deviations, 15 Hz and above, for 1 s or longer."""
    length = signals.shape[-1]
    frequency = torch.fft.rfftfreq(length, 1 / rate, device=signals.device)  # (F,)
    band = ((frequency >= 15) & (frequency <= 150)).float()
    white = torch.randn(signals.shape, device=signals.device)
    shape = torch.fft.irfft(torch.fft.rfft(white) * band, length)  # (B, D, T)
    shape = shape / (band.mean() + 1e-6).sqrt()  # the band's share of the power
    # A window with soft edges of 0.1 s: tension comes and goes.
    time = torch.arange(length, device=signals.device) / rate
    start = uniform(signals, -0.5, 0.9, 1, 1) * length / rate
    end = start + 1 + uniform(signals, 0, 1.5, 1, 1) * length / rate
    tense = torch.sigmoid((time - start) / 0.1) * torch.sigmoid((end - time) / 0.1)
    return added(signals, shape * tense, strength * uniform(signals, 0, 0.4, 1, 1))


def noise(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Add white noise of up to 0.2 deviations of the lead, another in each record."""
    white = torch.randn(signals.shape, device=signals.device)
    return added(signals, white, strength * uniform(signals, 0, 0.2, 1, 1))


def frequency_filter(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Filter as another hospital does, without a shift in time.

    A high-pass of up to 0.5 Hz (first order) and a low-pass of 20 Hz or more (third
    order); the mean stays. Weaker filters are closer to none: the corner of the
    high-pass, and one over that of the low-pass, are drawn evenly from 0 on.
    """
    length = signals.shape[-1]
    frequency = torch.fft.rfftfreq(length, 1 / rate, device=signals.device)  # (F,)
    low = strength * uniform(signals, 0, 0.5, 1, 1)  # (B, 1, 1) Hz
    slowness = strength * uniform(signals, 0, 1 / 20, 1, 1)  # 1 / Hz
    response = 1 / (1 + (frequency * slowness) ** 6)  # (B, 1, F)
    response = response / (1 + (low / frequency.clamp(min=1e-6)) ** 2)
    response[..., 0] = 1
    spectrum = torch.fft.rfft(signals.float()) * response
    return torch.fft.irfft(spectrum, length).to(signals) * present(signals)


def frequency_jitter(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Weigh frequencies anew, by a factor in [0.8, 1.25], without a shift in time.

    Factors are drawn at eight frequencies from 0 to 40 Hz, even on a logarithmic scale,
    and interpolated between them; the mean stays.
    """
    length, knots = signals.shape[-1], 8
    frequency = torch.fft.rfftfreq(length, 1 / rate, device=signals.device)  # (F,)
    position = frequency.clamp(max=40) / 40 * (knots - 1)  # between knots
    before = position.long().clamp(max=knots - 2)  # (F,)
    most = strength * math.log(1.25)
    drawn = uniform(signals, -most, most, 1, knots)  # (B, 1, 8)
    gain = torch.lerp(drawn[..., before], drawn[..., before + 1], position - before)
    gain = gain.exp()  # (B, 1, F)
    gain[..., 0] = 1
    spectrum = torch.fft.rfft(signals.float()) * gain
    return torch.fft.irfft(spectrum, length).to(signals) * present(signals)


def scale(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Multiply each record by a factor in [0.8, 1.25], each lead by one in [0.8, 1.25].

    Factors are even on a logarithmic scale.
    """
    most = strength * math.log(1.25)
    record = uniform(signals, -most, most, 1, 1)
    lead = uniform(signals, -most, most, signals.shape[1], 1)
    return signals * torch.exp(record + lead).to(signals)


def lead_mask(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Set leads to zero in up to half of the records.

    In half of these one to three leads of twelve, in a quarter all limb leads, in a
    quarter all chest leads. A record in which nothing would be left is not masked.
    """
    leads = signals.shape[1]
    masked = uniform(signals, 0, 1) < 0.5 * strength  # (B,)
    kind = uniform(signals, 0, 1, 1)  # (B, 1)
    count = 1 + uniform(signals, 0, 3, 1).long()  # 1, 2 or 3
    order = uniform(signals, 0, 1, leads).argsort(dim=1)  # a permutation
    limb = torch.arange(leads, device=signals.device) < 6  # (D,)
    gone = torch.where(kind < 0.5, order < count, (kind < 0.75) == limb)  # (B, D)
    kept = torch.where((gone & masked[:, None])[..., None], 0, signals)
    empty = ~kept.any(-1).any(-1)[:, None, None]
    return torch.where(empty, signals, kept)


def time_mask(signals: Tensor, strength: float, rate: float) -> Tensor:
    """Set up to a tenth of the time to zero in all leads, in up to half the records."""
    length = signals.shape[-1]
    masked = uniform(signals, 0, 1, 1, 1) < 0.5 * strength
    width = strength * uniform(signals, 0, 0.1, 1, 1) * length
    start = uniform(signals, 0, 1, 1, 1) * (length - width)
    time = torch.arange(length, device=signals.device)
    gone = (time >= start) & (time < start + width) & masked  # (B, 1, T)
    return torch.where(gone, 0, signals)


Change = Callable[[Tensor, float, float], Tensor]

# What happens before a record is stored, in the order in which it happens.
RECORDED: dict[str, Change] = {
    "crop-resize": crop_resize,
    "shift": shift,
    "electrodes": electrodes,
    "wander": wander,
    "hum": hum,
    "muscle": muscle,
    "noise": noise,
    "filter": frequency_filter,
    "frequency-jitter": frequency_jitter,
}
# What happens to a stored record.
AFTERWARDS: dict[str, Change] = {
    "scale": scale,
    "lead-mask": lead_mask,
    "time-mask": time_mask,
}
AUGMENTATIONS = RECORDED | AFTERWARDS
assert {*AUGMENTATIONS, *PRESETS} == set(get_args(Augmentation))
