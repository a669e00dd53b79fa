"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real ECG samples, which no repository may carry."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("MCCGAA_REAL_DATA", default))
    if not (folder / "ptb-xl-subset" / "ptbxl_database.csv").is_file():
        pytest.skip(
            f"Real ECGs are absent ({folder}); set MCCGAA_REAL_DATA to their folder."
        )
    return folder
