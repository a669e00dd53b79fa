"""Small ECG files, written without the code that reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def make_ecg(seconds: float, rate: float, leads: int = 12, seed: int = 0) -> np.ndarray:
    """Beats, drift and noise in whole microvolts, mV, (leads, T)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    beat = np.exp(-(((t % 0.8) - 0.3) ** 2) / 2e-4)
    wave = 0.2 * np.sin(2 * np.pi * 1.25 * t)
    scale = rng.uniform(0.3, 1.5, (leads, 1)) * rng.choice([-1, 1], (leads, 1))
    noise = rng.normal(0, 0.01, (leads, len(t)))
    return np.round(scale * (beat + wave) + noise, 3)


def write_wfdb(
    folder: Path,
    name: str,
    signal: np.ndarray,
    *,
    rate: float = 500,
    fmt: str = "16",
    gain: float = 1000.0,
    units: str = "mV",
    leads: Sequence[str] = STANDARD,
    comments: Sequence[str] = (),
) -> Path:
    """Write one record with wfdb and return its header's path."""
    folder.mkdir(parents=True, exist_ok=True)
    n = len(leads)
    wfdb.wrsamp(
        name,
        fs=rate,
        units=[units] * n,
        sig_name=list(leads),
        p_signal=signal.T.astype(float),
        fmt=[fmt] * n,
        adc_gain=[gain] * n,
        baseline=[0] * n,
        comments=list(comments),
        write_dir=str(folder),
    )
    return folder / f"{name}.hea"


@pytest.fixture(scope="session")
def ecg() -> Callable[..., np.ndarray]:
    """`ecg(seconds, rate, leads=12, seed=0)`: mV, (leads, T)."""
    return make_ecg


@pytest.fixture(scope="session")
def wfdb_writer() -> Callable[..., Path]:
    """`wfdb_writer(folder, name, signal, rate=500, fmt="16", ...)`: the header."""
    return write_wfdb


def make_dataset(root: Path, records: int = 6, seconds: float = 2) -> pd.DataFrame:
    """Write records r0, r1, ... under `root` and describe them as a reader would."""
    for i in range(records):
        write_wfdb(root, f"r{i}", make_ecg(seconds, 500, seed=i))
    names = [f"r{i}" for i in range(records)]
    return pd.DataFrame(
        {
            "record_id": names,
            "path": names,
            "subject_id": [f"s{i // 2}" for i in range(records)],
            "text": [f"report {i}" if i % 3 else None for i in range(records)],
            "split": ["test" if i >= records - 2 else "train" for i in range(records)],
            "statements": [["SR"] for _ in names],
            "rhythm": [["SR"] if i % 2 else None for i in range(records)],
            "age": [50.0 + i if i else np.nan for i in range(records)],
        }
    )


@pytest.fixture(scope="session")
def dataset() -> Callable[..., pd.DataFrame]:
    """`dataset(root, records=6, seconds=2)`: writes records, returns their rows."""
    return make_dataset
