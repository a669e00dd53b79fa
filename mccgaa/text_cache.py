"""Vectors of texts on disk: every distinct text of section 3.2 is encoded once.

A cache belongs to one encoder's fingerprint (its weights, tokenizer, pooling and
length). It is a folder of parts that are written whole and never changed, so that two
processes may fill it together, and an interrupted one loses at most the part it was
working on.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_safetensors

from mccgaa.errors import TextError, WriteError
from mccgaa.files import write_whole


class VectorCache:
    """Vectors of texts on disk, in parts that are written whole and never changed.

    Args:
        folder: one encoder's own; made when the first part is written.

    Raises:
        TextError: a part cannot be written (full disk, no right to).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[bytes, tuple[Path, int]] = {}
        self._seen: set[Path] = set()

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Return those texts that no part holds, parts of other processes included."""
        self._refresh()
        return [text for text in texts if _key(text) not in self._index]

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Write texts' vectors (n, d) as one part, whole or not at all."""
        keys = np.frombuffer(b"".join(map(_key, texts)), np.uint8).reshape(-1, 32)
        data = save_safetensors({"keys": keys, "vectors": vectors})
        # Two processes with equal work must not write one file at the same time.
        name = f"{hashlib.sha256(keys).hexdigest()[:24]}-{os.getpid()}.safetensors"
        part = self.folder / name
        try:
            with write_whole(part, "wb") as file:
                file.write(data)
        except WriteError as error:
            raise TextError(
                f"The text cache cannot be written. {error} Another folder for it can "
                "be named in MCCGAA_CACHE."
            ) from error
        self._seen.add(part)
        self._index.update({_key(text): (part, i) for i, text in enumerate(texts)})

    def read(self, texts: Sequence[str], dim: int) -> np.ndarray:
        """Return the vectors (n, dim) of texts that are all in the cache."""
        vectors = np.empty((len(texts), dim), np.float32)
        rows: dict[Path, list[tuple[int, int]]] = {}  # part -> (row here, row in it)
        for i, text in enumerate(texts):
            part, row = self._index[_key(text)]
            rows.setdefault(part, []).append((i, row))
        for part, pairs in rows.items():  # so that each part is opened once
            into, taken = np.array(pairs).T
            with safe_open(part, framework="numpy") as stream:
                vectors[into] = stream.get_tensor("vectors")[taken]
        return vectors

    def _refresh(self) -> None:
        """Learn the keys of parts written since the last look."""
        for part in sorted(set(self.folder.glob("*.safetensors")) - self._seen):
            try:
                with safe_open(part, framework="numpy") as stream:
                    keys = stream.get_tensor("keys")
            except (SafetensorError, OSError) as error:
                warnings.warn(
                    f"Text cache {part} is damaged ({error}); its texts are encoded "
                    "again. Delete the file to be rid of this warning.",
                    stacklevel=4,
                )
                continue
            self._seen.add(part)
            self._index.update({key.tobytes(): (part, i) for i, key in enumerate(keys)})


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
