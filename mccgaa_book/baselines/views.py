"""Views of an ECG beside the augmentations: another order, a band, fewer leads."""

from __future__ import annotations

import torch
from torch import Tensor

from mccgaa.plus.augment import present, restored


def reordered(x: Tensor, most: int) -> Tensor:
    """Cut each record into 1 to `most` segments and shuffle them, all leads alike.

    Args:
        x: (B, D, T).
        most: segments; where they are cut is random.

    Returns:
        (B, D, T), each sample of a record once.
    """
    rows, length, device = len(x), x.shape[-1], x.device
    # Where segments begin; a record with fewer segments begins some of them at its end.
    count = torch.randint(1, most + 1, (rows, 1), device=device)
    starts = torch.rand(rows, most - 1, device=device) * length  # (B, most - 1)
    absent = torch.arange(1, most, device=device) >= count
    starts = starts.masked_fill(absent, length)
    time = torch.arange(length, device=device)
    segment = (time[None, :, None] >= starts[:, None]).sum(-1)  # (B, T)
    # A random key for each segment: a stable sort by it moves segments as a whole.
    key = torch.rand(rows, most, device=device).gather(1, segment)  # (B, T)
    order = key.argsort(stable=True, dim=1)  # (B, T)
    return x.gather(-1, order[:, None].expand_as(x))


def denoised(x: Tensor, rate: float, band: tuple[float, float]) -> Tensor:
    """Keep a band of (B, D, T) without a shift in time, and each lead's deviation.

    Args:
        x: signals.
        rate: sampling rate in Hz.
        band: Hz; both edges are of the second order, and halve the power there.
    """
    low, high = band
    frequency = torch.fft.rfftfreq(x.shape[-1], 1 / rate, device=x.device)
    response = 1 / (1 + (frequency / high) ** 4).sqrt()
    response = response / (1 + (low / frequency.clamp(min=1e-6)) ** 4).sqrt()
    filtered = torch.fft.irfft(torch.fft.rfft(x.float()) * response, x.shape[-1])
    return restored(filtered * present(x), x)


def fewer_leads(x: Tensor, count: int) -> Tensor:
    """Leave a random `count` of each record's leads, the others zero."""
    order = torch.rand(*x.shape[:2], device=x.device).argsort(1)  # a permutation
    return x * (order < count)[..., None]
