"""The comment lines of WFDB headers, where PhysioNet puts age, sex and diagnoses."""

from __future__ import annotations

import re
from pathlib import Path

_FIELD = re.compile(r"^#\s*(\w+)\s*:\s*(.*)$")


def read_comments(header: Path) -> dict[str, str]:
    """Read the `#Name: value` lines of a WFDB header, whatever its first line holds.

    wfdb refuses some of these headers for the date in their first line; their comments
    are sound.

    Args:
        header: a .hea file.

    Returns:
        Values by name, such as {"Age": "85", "Dx": "164889003,59118001"}.

    Raises:
        OSError: the file cannot be read.
    """
    found = {}
    for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _FIELD.match(line.strip())
        if match:
            found.setdefault(match[1], match[2].strip())
    return found


def codes_of(dx: str) -> list[str]:
    """Split a `#Dx:` value into its codes, each once, in their order."""
    codes = [code.strip() for code in dx.split(",")]
    return list(dict.fromkeys(code for code in codes if code.isdigit()))


def age_of(value: str) -> float | None:
    """Read an age in years; None where the header has none (NaN, Unknown, -1)."""
    try:
        age = float(value)
    except ValueError:
        return None
    return age if 0 <= age < 150 else None
