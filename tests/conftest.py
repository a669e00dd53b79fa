"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LONGEST = "test_book.py"  # a third of the suite

# Beside each other, two processes of two threads wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest file first, so that one worker is not left alone with it."""
    items.sort(key=lambda item: item.path.name != LONGEST)


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


@pytest.fixture(scope="session")
def twin_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic PTB-XL, as PhysioNet lays it out."""
    from mccgaa_twin.mirror import write_twin

    out = tmp_path_factory.mktemp("twin") / "data"
    write_twin(out, ptbxl=96, mimic=0, seed=1, jobs=1, progress=False)
    return out / "ptbxl"


@pytest.fixture(scope="session")
def twin_store(twin_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, packed at 100 Hz."""
    from mccgaa.config import InputConfig
    from mccgaa.data.datasets import open_or_pack

    out = tmp_path_factory.mktemp("stores") / "twin-100"
    open_or_pack(
        "ptbxl",
        twin_tree,
        out,
        input=InputConfig(100, transform="bandpass-zscore"),
        jobs=1,
        progress=False,
    )
    return out
