"""Every error that a user can cause: a sentence that says what to do."""


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
