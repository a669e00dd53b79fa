"""What lies between the body and the file: electrodes, amplifier, filter, converter.

Noise arises at the nine electrodes, so it keeps the identities between leads, as on a
patient; only the converter's rounding breaks them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mccgaa_twin import torso

_REMARKABLE = 2.2  # times the typical level: noise that a reader would mention


@dataclass(frozen=True)
class Device:
    """A make of electrocardiograph and the habits of the hospital that uses it."""

    name: str  # as the source's tables print it
    mains: float  # Hz
    low_cut: tuple[float, ...]  # Hz, the choices of its high-pass filter
    high_cut: tuple[float, ...]  # Hz, the choices of its low-pass filter
    lsb: float  # mV, the converter's step
    wander: float  # mV, typical baseline wander
    muscle: float  # mV, typical electromyogram
    hum: float  # mV, typical mains interference
    motion: float  # chance of an electrode's jump in a record
    gain_error: float = 0.02  # relative standard deviation of the lead gains


# The Schiller carts of PTB-XL (50 Hz mains, unfiltered signals), the Philips and GE
# carts of a Boston hospital (60 Hz), and the Chinese sources of CPSC2018 and CSN.
DEVICES = {
    "ptbxl": Device(
        name="AT-6 C",
        mains=50.0,
        low_cut=(0.05,),
        high_cut=(150.0, 250.0),
        lsb=0.005,
        wander=0.07,
        muscle=0.011,
        hum=0.006,
        motion=0.05,
    ),
    "mimic": Device(
        name="cart",
        mains=60.0,
        low_cut=(0.05, 0.15),
        high_cut=(40.0, 100.0, 150.0, 150.0),
        lsb=0.005,
        wander=0.05,
        muscle=0.010,
        hum=0.004,
        motion=0.06,
    ),
    "cpsc2018": Device(
        name="hospital",
        mains=50.0,
        low_cut=(0.05, 0.5),
        high_cut=(35.0, 75.0, 100.0),
        lsb=0.001,
        wander=0.06,
        muscle=0.012,
        hum=0.004,
        motion=0.08,
    ),
    "csn": Device(
        name="MUSE",
        mains=50.0,
        low_cut=(0.5,),
        high_cut=(35.0, 100.0),
        lsb=0.00488,
        wander=0.015,
        muscle=0.008,
        hum=0.002,
        motion=0.03,
        gain_error=0.03,
    ),
}


def _electrode_noise(
    device: Device,
    samples: int,
    rate: int,
    rng: np.random.Generator,
    variety: float = 0.0,
) -> tuple[np.ndarray, dict[str, bool]]:
    """Make the noise of the nine electrodes, all kinds at once, by frequency.

    Args:
        device: typical levels; a record's own are log-normal around them.
        samples: length of the record.
        rate: Hz.
        rng: draws the noise.
        variety: how far levels and spectra vary from record to record.

    Returns:
        (9, T) mV for RA, LA, LL, V1-V6, and which noises a reader would mention:
        "baseline_drift", "static_noise", "burst_noise", "electrodes_problems".
    """
    frequency = np.fft.rfftfreq(samples, 1 / rate)  # (F,) Hz
    # Levels in mV of wander, muscle and hum in this record; each electrode's factor.
    level = rng.lognormal(0, 0.6 + 0.25 * variety, 3)
    level = level * [device.wander, device.muscle, device.hum]
    each = rng.lognormal(0, 0.35 + 0.2 * variety, (9, 1))
    each[:3] *= 0.6  # limb electrodes are quieter than those on the chest
    # Amplitude by frequency. Wander falls steeply up to 2 Hz; muscle noise is broad
    # around 60 Hz; a pink floor of 40 % of the muscle noise lies under both.
    steep, corner = 2, 20.0  # of wander, Hz of muscle noise
    if variety:
        steep = 2 + variety * rng.uniform(-0.7, 1.0)
        corner = 20.0 * rng.lognormal(0, 0.5 * variety)
    slow = np.where(frequency > 0, 1, 0) / (0.15 + frequency) ** steep
    slow[frequency > 2.0] = 0.0
    broad = frequency / (corner + frequency) / (1 + (frequency / 130.0) ** 2)
    pink = 1 / np.sqrt(np.maximum(frequency, 0.5))
    shape = level[0] * slow / np.sqrt((slow**2).sum())
    shape = np.hypot(shape, level[1] * broad / np.sqrt((broad**2).sum()))
    shape = np.hypot(shape, 0.4 * level[1] * pink / np.sqrt((pink**2).sum()))
    # Complex normal numbers (9, F): two neighbouring floats are one complex number.
    spectrum = rng.standard_normal((9, len(frequency), 2), dtype=np.float32)
    spectrum = spectrum.view(np.complex64)[..., 0] * (shape * samples / 2) * each
    # Mains hum: one frequency, one phase, another strength at each electrode.
    tone = round(device.mains * samples / rate)
    if tone < len(frequency):
        phase = np.exp(2j * np.pi * rng.random())
        spectrum[:, tone] += level[2] * phase * samples / 2 * rng.normal(0, 0.7, 9)
    noise = np.fft.irfft(spectrum, samples)
    if variety:
        noise += _disturbances(noise.shape, rate, level[2], device.mains, variety, rng)
    marks = {
        "baseline_drift": bool(level[0] > _REMARKABLE * device.wander),
        "static_noise": bool(level[1] > _REMARKABLE * device.muscle),
        "burst_noise": False,
        "electrodes_problems": False,
    }
    if rng.random() < 0.06:  # a burst of muscle tension, 0.5 to 2 s
        start = int(rng.integers(0, samples - rate))
        length = int(rng.integers(rate // 2, 2 * rate))
        part = noise[:, start : start + length]
        part += rng.normal(0, 3 * device.muscle, part.shape) * each
        marks["burst_noise"] = True
    if rng.random() < device.motion:  # an electrode moves and settles again
        electrode, start = int(rng.integers(9)), int(rng.integers(0, samples))
        decay = np.exp(-np.arange(samples - start) / (rate * rng.uniform(0.2, 1.0)))
        noise[electrode, start:] += rng.normal(0, 0.4) * decay
        marks["electrodes_problems"] = True
    return noise, marks


def _disturbances(
    shape: tuple[int, int],
    rate: int,
    hum: float,
    mains: float,
    variety: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rarer noises, (9, T) in mV: harmonics of the mains, tremor, jumps, a bad contact.

    Args:
        shape: (9, T).
        rate: Hz.
        hum: the record's level of mains interference, mV.
        mains: Hz.
        variety: chance of each.
        rng: draws them.
    """
    electrodes, samples = shape
    time = np.arange(samples) / rate  # (T,) s
    noise = np.zeros(shape)
    if rng.random() < 0.3 * variety:
        for harmonic in (2, 3):
            size = hum * rng.uniform(0, 0.6) * rng.normal(0, 0.7, (electrodes, 1))
            noise += size * np.sin(2 * np.pi * harmonic * mains * time + rng.random())
    if rng.random() < 0.03 * variety:  # tremor of one arm or of all limbs
        phase = 2 * np.pi * (rng.uniform(4, 6.5) * time + 0.05 * np.sin(time))
        wave = np.sin(phase) + 0.4 * np.sin(2 * phase)
        limbs = rng.random((3, 1)) < 0.6
        noise[:3] += limbs * rng.uniform(0.02, 0.09) * wave
    for _ in range(int(rng.poisson(0.12 * variety))):  # the baseline jumps
        one, start = int(rng.integers(electrodes)), int(rng.integers(samples))
        noise[one, start:] += rng.normal(0, 0.15)
    if rng.random() < 0.04 * variety:  # one electrode has bad contact for a while
        one, start = int(rng.integers(electrodes)), int(rng.integers(samples))
        length = int(rng.integers(rate // 2, 4 * rate))
        part = noise[one, start : start + length]
        rough = np.cumsum(rng.normal(0, 1, len(part)))
        part += rng.uniform(0.05, 0.25) * rough / (np.abs(rough).max() + 1e-9)
    return noise


def _response(
    frequency: np.ndarray, low: float, high: float, variety: float, rng
) -> np.ndarray:
    """Response (F,) of an amplifier's filters whose make and order vary.

    Half of the high-pass filters are those of old amplifiers, of first order and
    causal, which tilt ST; their corner is at 0.15 Hz or below.
    """
    order = 6 if rng.random() > variety else int(rng.integers(2, 9))
    response = 1 / (1 + (frequency / high) ** order)
    if rng.random() < 0.5 * variety:
        causal = frequency + 0j
        causal[1:] = 1 / (1 - 1j * min(low, 0.15) / frequency[1:])
        return response * causal
    return response * (frequency**2 / (frequency**2 + low**2))


def record(
    body: np.ndarray,
    device: Device,
    rate: int,
    rng: np.random.Generator,
    variety: float = 0.0,
) -> tuple[np.ndarray, dict[str, bool]]:
    """Measure eight body-surface leads with a device.

    Args:
        body: (8, T) mV, noiseless.
        device: the electrocardiograph.
        rate: Hz.
        rng: draws noise, filter setting and gain errors.
        variety: in [0, 1]. Above 0 filters of other makes, coarser converters and
            rarer noises occur too.

    Returns:
        (12, T) int32 in steps of `device.lsb`, in the order of `torso.LEADS`, III and
        the augmented leads computed by the device; and the noises that a reader would
        mention.
    """
    samples = body.shape[1]
    noise, marks = _electrode_noise(device, samples, rate, rng, variety)
    gain_error = device.gain_error + 0.03 * variety
    gains = 1 + gain_error * rng.standard_normal((8, 1))
    leads = body * gains + torso.ELECTRODES_TO_LEADS @ noise
    frequency = np.fft.rfftfreq(samples, 1 / rate)
    low = device.low_cut[rng.integers(len(device.low_cut))]
    high = device.high_cut[rng.integers(len(device.high_cut))]
    if variety and rng.random() < 0.6 * variety:  # another hospital's settings
        low = float(rng.choice([0.05, 0.05, 0.15, 0.3, 0.5]))
        high = float(rng.choice([35.0, 40.0, 75.0, 100.0, 150.0]))
    if variety:
        response = _response(frequency, low, high, variety, rng)
    else:
        response = 1 / (1 + (frequency / high) ** 6)  # low-pass
        response *= frequency**2 / (frequency**2 + low**2)  # high-pass
    # The high-pass would take the mean away; the slower it is, the more of it stays.
    offset = leads.mean(axis=1, keepdims=True) * min(1.0, 0.05 / low)
    leads = np.fft.irfft(np.fft.rfft(leads) * response, samples) + offset
    if variety and rng.random() < 0.5 * variety:  # a coarser converter
        coarse = rng.choice([0.0024, 0.00488, 0.01])  # mV
        leads = np.rint(leads / coarse) * coarse
    steps = np.rint(leads / device.lsb)
    return np.rint(torso.twelve_leads(steps)).astype(np.int32), marks
