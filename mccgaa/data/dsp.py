"""What `scipy.signal` does to every ECG, in numpy alone: for one ECG in a hurry.

It gives scipy's numbers to within rounding, which a test holds it to. A single record
gains by it: scipy.signal takes over a second to load, longer than all that `mccgaa
classify` does besides torch. For the thousands of records of a store scipy is faster.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 64  # samples that are filtered with one product of matrices


class System(NamedTuple):
    """A linear filter of S states, worked out for blocks of L = `BLOCK` samples."""

    rest: Array  # (S,) states after an endless input of 1
    direct: Array  # (L, L) a block's input to its output, as row vectors
    driven: Array  # (L, S) its input to the states behind it
    seen: Array  # (S, L) the states before it to its output
    step: Array  # (S, S) the states before it to those behind it


@lru_cache(maxsize=8)
def bandpass(order: int, low: float, high: float, sampling_rate: float) -> System:
    """Design a digital Butterworth band-pass filter.

    Args:
        order: N of the analogue low-pass filter that it is made from.
        low, high: the band, Hz.
        sampling_rate: Hz.

    Returns:
        The filter, of 2 N states.
    """
    # The bilinear transform bends frequencies, which are bent the other way first.
    twice = 2 * sampling_rate
    w1, w2 = twice * np.tan(np.pi * np.array([low, high]) / sampling_rate)
    angles = np.pi * (2 * np.arange(order) + order + 1) / (2 * order)
    lowpass = np.exp(1j * angles) * (w2 - w1) / 2
    shift = np.sqrt(lowpass**2 - w1 * w2)
    poles = np.concatenate([lowpass + shift, lowpass - shift])  # (2N,) in the s plane
    gain = ((w2 - w1) * twice) ** order / np.prod(twice - poles).real
    poles = (twice + poles) / (twice - poles)  # in the z plane
    # Each pair of conjugate poles is a section with a zero at 1 and another at -1; the
    # sections follow one another in one state space: s' = A s + B u, y = C s + D u.
    A, B, C, D = np.zeros((0, 0)), np.zeros(0), np.zeros(0), gain
    for pole in poles[poles.imag > 0]:
        a1, a2 = -2 * pole.real, abs(pole) ** 2
        drive = np.array([-a1, -1.0 - a2])  # b - a b0 of the numerator 1 - z^-2
        own = np.array([[-a1, 1.0], [-a2, 0.0]])
        A = np.block([[A, np.zeros((len(A), 2))], [np.outer(drive, C), own]])
        B, C = np.r_[B, drive * D], np.r_[C, 1.0, 0.0]

    powers = [np.eye(len(A))]
    for _ in range(BLOCK):
        powers.append(powers[-1] @ A)
    seen = np.stack([C @ power for power in powers[:BLOCK]])  # (L, S)
    pulse = np.r_[D, seen[:-1] @ B]  # (L,) the response to one sample
    lag = np.arange(BLOCK) - np.arange(BLOCK)[:, None]
    direct = np.where(lag >= 0, pulse[lag], 0)
    driven = np.stack([power @ B for power in powers[BLOCK - 1 :: -1]])
    rest = np.linalg.solve(np.eye(len(A)) - A, B)
    return System(rest, direct, driven, seen.T, powers[BLOCK].T)


def filter_both_ways(system: System, x: NDArray[np.floating], edge: int) -> Array:
    """Filter forwards and backwards, which shifts nothing in time.

    Args:
        system: of `bandpass`.
        x: (n, T) signals.
        edge: samples by which they are extended at both ends, turned around the last
            one; fewer than T.

    Returns:
        (n, T), as `scipy.signal.sosfiltfilt` gives it with `padlen=edge`.
    """
    x = np.asarray(x, dtype=np.float64)
    before = 2 * x[:, :1] - x[:, edge:0:-1]
    after = 2 * x[:, -1:] - x[:, -2 : -edge - 2 : -1]
    y = np.concatenate([before, x, after], axis=1)  # (n, T + 2 edge)
    for _ in range(2):
        y = _run(system, y)[:, ::-1]
    return y[:, edge:-edge]


def _run(system: System, x: Array) -> Array:
    """Filter (n, T) as if the first sample had been there for ever."""
    n, length = x.shape
    blocks = -(-length // BLOCK)
    u = np.zeros((n, blocks * BLOCK))
    u[:, :length] = x
    # One product per block, of all signals: BLAS would share a larger one out to
    # threads, which then wait for more in a loop and hold up torch's.
    u = u.reshape(n, blocks, BLOCK).swapaxes(0, 1)  # (blocks, n, L)
    states = u @ system.driven  # (blocks, n, S) behind each block
    before = np.outer(x[:, 0], system.rest)  # (n, S)
    for i in range(blocks):
        after = states[i] + before @ system.step
        states[i], before = before, after
    y = u @ system.direct + states @ system.seen  # (blocks, n, L)
    return y.swapaxes(0, 1).reshape(n, blocks * BLOCK)[:, :length]


def resample(x: NDArray[np.floating], up: int, down: int) -> Array:
    """Change the rate of signals by up / down.

    Args:
        x: (n, T) signals.
        up, down: without a common divisor.

    Returns:
        (n, ceil(T up / down)), as `scipy.signal.resample_poly` gives it with
        `padtype="line"`: the signal goes on along the line from its first sample to
        its last, so that no offset makes an edge.
    """
    x = np.asarray(x, dtype=np.float64)
    length = x.shape[1]
    half, kernel = _kernel(max(up, down))
    taps = 2 * half // up + 1  # samples of x that an output depends on
    count = -(-length * up // down)
    slope = (x[:, -1:] - x[:, :1]) / max(1, length - 1)  # (n, 1)
    on = slope * np.arange(1, taps + 1)  # (n, taps)
    padded = np.concatenate([x[:, :1] - on[:, ::-1], x, x[:, -1:] + on], axis=1)
    views = sliding_window_view(padded, taps, axis=1)  # (n, T + taps + 1, taps)
    y = np.empty((len(x), count))
    for phase in range(min(up, count)):
        # Outputs m = phase, phase + up, ... see x through the same weights: that of
        # x[i] is kernel[half + m down - i up].
        first = -((half - phase * down) // up)  # the least i within the kernel
        reach = half + phase * down - (first + np.arange(taps)) * up  # (taps,)
        weights = kernel[np.maximum(reach, 0)] * up  # the kernel begins with a zero
        outputs = len(range(phase, count, up))
        start = first + taps
        seen = views[:, start : start + outputs * down : down]  # (n, outputs, taps)
        y[:, phase::up] = seen @ weights
    return y


@lru_cache(maxsize=8)
def _kernel(rate: int) -> tuple[int, Array]:
    """A low-pass filter at the Nyquist frequency of the lower rate: a windowed sinc."""
    half = 10 * rate
    at = np.arange(-half, half + 1)
    kernel = np.sinc(at / rate) * np.kaiser(len(at), 5.0)
    return half, kernel / kernel.sum()
