"""Zero-shot classification of ECGs: `from mccgaa import load`, then `load().classify`.

The names below are imported when they are asked for: `import mccgaa` is instant.
"""

__all__ = ["Classifier", "Finding", "load", "shipped"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from mccgaa.ready import classifier

        return getattr(classifier, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("mccgaa")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
