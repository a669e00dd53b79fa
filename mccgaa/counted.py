"""How many there are, in words that a reader does not stumble over."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Write a count and what is counted, such as "1 record" or "2 records"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
