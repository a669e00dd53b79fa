"""A style that one of the companion's tests sets must not reach another."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import pytest


@pytest.fixture(autouse=True)
def own_style() -> Iterator[None]:
    """Give back matplotlib's settings as they were."""
    with mpl.rc_context():
        yield
