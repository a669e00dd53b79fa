"""Texts whose vectors come with a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mccgaa.config import TextConfig
from mccgaa.errors import TextError, did_you_mean
from mccgaa.text import TextEncoder

VECTORS = "classes.safetensors"  # the file, in the folder of a model that has one


class KnownTexts:
    """Vectors of texts that come with a model, so that these need no text encoder.

    Args:
        vectors: (n, d) of `texts`, as the encoder of `config` gives them.
        texts: n texts.
        config: the encoder that reads any other text, loaded when there is one.
        device: where it is loaded.
    """

    def __init__(
        self,
        vectors: Tensor,
        texts: Sequence[str],
        config: TextConfig,
        device: str | torch.device = "cpu",
    ) -> None:
        self.vectors = vectors.float()
        self.row = {text: i for i, text in enumerate(texts)}
        self.config = config
        self.device = torch.device(device)

    @classmethod
    def read(
        cls, path: Path, config: TextConfig, device: str | torch.device = "cpu"
    ) -> KnownTexts:
        """Read a safetensors file of `vectors`, its texts in its metadata.

        Raises:
            TextError: it is no such file, or is of another encoder than `config`.
        """
        try:
            with safe_open(path, framework="pt") as stream:
                vectors, meta = stream.get_tensor("vectors"), stream.metadata()
            texts = json.loads(meta["texts"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise TextError(f"{path} holds no vectors of texts ({error}).") from error
        if tuple(vectors.shape) != (len(texts), config.dim):
            raise TextError(
                f"{path} has vectors of shape {tuple(vectors.shape)}; expected "
                f"{len(texts)} of {config.dim}, the width of encoder "
                f"{config.encoder!r}."
            )
        return cls(vectors, texts, config, device)

    @classmethod
    def of(
        cls, folder: Path | str, config: TextConfig, device: str | torch.device = "cpu"
    ) -> KnownTexts | None:
        """Read those of a model's folder; None where it has none, as a run's."""
        path = Path(folder) / VECTORS
        return cls.read(path, config, device) if path.is_file() else None

    @cached_property
    def encoder(self) -> TextEncoder:
        """The encoder itself, for texts that are not known."""
        return TextEncoder(self.config, device=self.device)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return one vector per text (n, d), float32 on the CPU, in their order.

        Raises:
            TextError: a text is not known, and the encoder cannot be had.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self.row]
        vectors, row = self.vectors, self.row
        if new:
            try:
                vectors = torch.cat([vectors, self.encoder.encode(new)])
            except TextError as error:
                raise TextError(
                    f"{new[0]!r} is in no knowledge base of this model, so its text "
                    f"encoder would have to read it.{did_you_mean(new[0], self.row)} "
                    f"{error}"
                ) from error
            row = row | {text: i for i, text in enumerate(new, start=len(row))}
        return vectors[[row[text] for text in texts]]
