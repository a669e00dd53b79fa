"""Every error that a user can cause: a sentence that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MccgaaError(Exception):
    """Something a user can put right; its text names the file or value at fault."""


class ConfigError(MccgaaError):
    """A setting, parameter file or option that cannot be used."""


class RecordError(MccgaaError):
    """An ECG file that cannot be turned into twelve trustworthy leads."""


class StoreError(MccgaaError):
    """A signal store that is absent, incomplete, damaged or of another kind."""


class TextError(MccgaaError):
    """A text encoder that cannot be had, or a text it cannot encode."""


class KnowledgeError(MccgaaError):
    """A class or entry that the clinical knowledge base does not hold."""


class RunError(MccgaaError):
    """A pretraining run or checkpoint that cannot be read or continued."""


class DownloadError(MccgaaError):
    """A file that could not be fetched whole and verified."""


class BookError(MccgaaError):
    """A chapter that is stale, failed, or was given an unknown parameter."""


class WriteError(MccgaaError):
    """A file or folder could not be written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Ask whether a word was meant that is spelled nearly alike.

    Args:
        word: as a user wrote it.
        known: what there is; case does not count.

    Returns:
        A question to put behind a sentence, a space before it, or "".
    """
    spelled = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.strip().lower(), spelled, n=1, cutoff=0.8)
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""
