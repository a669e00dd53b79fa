"""Figure 1: the encoders, GAFA and the losses put together, and kept on disk.

A saved model is a folder of `config.json` (every setting) and `model.safetensors`
(weights): nothing in it can run code, and it loads whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mccgaa.config import ModelConfig
from mccgaa.encoder import EcgEncoder
from mccgaa.errors import ConfigError, RunError
from mccgaa.gafa import Gafa
from mccgaa.gather import ALONE, Group, gather, mean
from mccgaa.loss import (
    SIGLIP_BIAS,
    STATEMENT_BIAS,
    UnimodalAlignment,
    alignment_loss,
    statement_loss,
)
from mccgaa.runtime import is_finite, world
from mccgaa.settings import from_dict, to_dict
from mccgaa.text import TextEncoder, TextProjection

if TYPE_CHECKING:
    from mccgaa.known_texts import KnownTexts

FILES = ("config.json", "model.safetensors")
SHIPPED = Path(__file__).parent / "weights"  # the models that come with the package
MAX_LOGIT_SCALE = 100.0  # of a learned 1 / tau

CARD = """---
library_name: mccgaa
tags: [ecg, zero-shot-classification]
---
# MCCGAA

An ECG encoder aligned with clinical text, for zero-shot classification of 12-lead
ECGs. `config.json` says which input it expects and how it was built.

```python
from mccgaa.model import MCCGAA

model = MCCGAA.from_pretrained("this-folder")
embeddings = model.encode_ecg(signals)  # (records, leads, samples) -> (records, M)
classes = model.encode_text(["atrial fibrillation", "sinus rhythm"])
scores = embeddings @ classes.T
```

A research model: not a medical device, and not fit for decisions about patients.
"""


class ModelOutput(NamedTuple):
    """What one batch gives: the losses, and this process's embeddings."""

    loss: Tensor  # weighted sum of the two below
    cma: Tensor  # cross-modal alignment (eq 32)
    uma: Tensor  # unimodal alignment (eq 32)
    x: Tensor  # (B, M) ECG embeddings of length one
    q: Tensor  # (B, M) text embeddings of length one; (S, M) of statements


def scale_input(x: Tensor, scaling: str) -> Tensor:
    """Scale signals as the input configuration says.

    Args:
        x: (B, leads, T), in mV or z-scores.
        scaling: "none" leaves them alone. "minmax" takes each record to [0, 1] by its
            minimum and maximum over all leads and samples; a record of one value
            becomes 0. What is missing stays 0 and counts in neither: leads that are
            exactly 0 throughout, and the samples at the end where all leads are
            exactly 0, which is how a store writes an absent lead and the padding of a
            short record.

    Returns:
        (B, leads, T); `x` itself with "none".
    """
    if scaling == "none":
        return x
    filled = x != 0
    lead_present = filled.any(2, keepdim=True)  # (B, leads, 1)
    # Counted from the end, a sample is padding as long as nothing has been seen.
    some = filled.any(1, keepdim=True).long()  # (B, 1, T)
    seen = some.flip(2).cumsum(2).flip(2) > 0
    present = lead_present & seen  # (B, leads, T)
    low = x.where(present, torch.inf).amin((1, 2), keepdim=True)  # (B, 1, 1)
    high = x.where(present, -torch.inf).amax((1, 2), keepdim=True)  # (B, 1, 1)
    span = high - low  # -inf for a record of zeros, which has nothing present
    scaled = (x - low) / torch.where(span > 0, span, 1)
    return scaled.where(present, 0)  # (B, leads, T)


class MCCGAA(nn.Module):
    """The whole model of figure 1.

    Args:
        config: of its parts and of the input that they expect.

    Example:
        >>> model = MCCGAA(ModelConfig())
        >>> output = model(torch.randn(8, 12, 1000), torch.randn(8, 768))
        >>> output.loss.backward()
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.encoder.embedding_dim  # M
        self.encoder = EcgEncoder(config.encoder)
        self.projection = TextProjection(config.text.dim, config.text.hidden, width)
        self.gafa = Gafa(config.gafa, width)
        self.unimodal = UnimodalAlignment(
            width, config.loss.dropout, maps=config.loss.uma == "maps"
        )
        if not config.loss.uma_weight:  # DDP would wait for their gradients
            self.unimodal.requires_grad_(False)
        if config.loss.learn_tau:
            self.logit_scale = nn.Parameter(torch.tensor(-math.log(config.loss.tau)))
        statements = config.loss.kind == "statements"
        bias = STATEMENT_BIAS if statements else SIGLIP_BIAS
        self.bias: float | nn.Parameter = bias  # learned with tau, as SigLIP's
        if config.loss.learn_tau and (statements or config.loss.kind == "siglip"):
            self.bias = nn.Parameter(torch.tensor(bias))
        self.text_encoder: TextEncoder | KnownTexts | None = None  # loaded when needed
        self.chunk = 0  # ECGs encoded at a time in `forward`; 0: the whole batch
        self.compiled: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None  # local

    @property
    def device(self) -> torch.device:
        """Where the weights are; inputs of every method are taken there."""
        return next(self.parameters()).device

    @property
    def tau(self) -> float | Tensor:
        """The temperature of eq 26: fixed, or learned and at least 1/100."""
        if not self.config.loss.learn_tau:
            return self.config.loss.tau
        return torch.exp(-self.logit_scale)

    def encode_ecg(self, x: Tensor) -> Tensor:
        """Encode ECGs (eq 2-15).

        A missing lead is to be all zeros. No mask reaches the network: it sees zeros,
        which no scaling changes, and does not know that nothing was recorded there.

        Args:
            x: (B, leads, T) at the rate and with the transform of `config.input`, on
                any device; the scaling of `config.input` is applied here.

        Returns:
            (B, M), float32, every row of length one, on the model's device.

        Raises:
            ValueError: a shape or type that the encoder does not take.
        """
        return self.encoder(self._scaled(x))

    def encode_text(self, text: list[str] | Tensor) -> Tensor:
        """Encode texts (eq 16 and the projection below it).

        Args:
            text: B texts, which the frozen encoder of `config.text` reads (loaded at
                the first call, remembered on disk), or its vectors (B, d) on any
                device.

        Returns:
            (B, M), float32, every row of length one, on the model's device.

        Raises:
            ValueError: vectors of another width than `config.text.dim`.
            TextError: the text encoder cannot be had.
        """
        if not isinstance(text, Tensor):
            if self.text_encoder is None:
                self.text_encoder = TextEncoder(self.config.text, device=self.device)
            text = self.text_encoder.encode(text)  # (B, d)
        if text.dim() != 2 or text.shape[1] != self.config.text.dim:
            raise ValueError(
                f"The text vectors have shape {tuple(text.shape)}; the model expects "
                f"(batch, {self.config.text.dim}), the width of encoder "
                f"{self.config.text.encoder!r}."
            )
        weight = next(self.projection.parameters())
        with torch.autocast(weight.device.type, enabled=False):
            return self.projection(text.to(weight))  # its device and precision

    def alignment(
        self,
        x: Tensor,
        q: Tensor,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        group: Group = ALONE,
    ) -> Tensor:
        """Compute loss_all of two views of one batch (eq 25-30), or of statements.

        Args:
            x: (B, width) one side, such as fused ECG embeddings.
            q: (B, width) the other side, row i belonging to row i of `x`; with
                `targets` (S, width), all statements.
            targets: (B, S) as in `statement_loss`, where `loss.kind` is "statements".
            weights: (S,) likewise.
            group: processes that share a batch of pairs, as in `alignment_loss`.
        """
        kind = self.config.loss.kind
        if targets is not None:
            options = {"bias": self.bias, "weights": weights}
            return statement_loss(x, q, targets, self.tau, **options)
        # The two views of eq 32 are pairs whatever the texts are.
        kind = "symmetric" if kind == "statements" else kind
        return alignment_loss(x, q, self.tau, kind, bias=self.bias, group=group)

    def forward(
        self,
        x: Tensor,
        q_vectors: Tensor,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> ModelOutput:
        """Encode one batch of pairs and compute both losses (eq 2-32).

        In a distributed run the losses are those of all processes' pairs together,
        and DDP's mean of the gradients is theirs. Only batch normalisation sees the
        rows of one process alone, unless it is made synchronous.

        Args:
            x: (B, leads, T), as in `encode_ecg`.
            q_vectors: (B, d) vectors of the texts, row i belonging to ECG i; with
                `loss.kind` "statements" (S, d), of all statements.
            targets: (B, S) whether statement s is true of ECG i, as in
                `statement_loss`; of that kind alone.
            weights: (S,) weights of the statements.

        Raises:
            ValueError: shapes that the parts do not take, targets with another kind of
                loss, or none with this one.
        """
        statements = self.config.loss.kind == "statements"
        if statements != (targets is not None):
            raise ValueError(
                f"loss.kind is {self.config.loss.kind!r} and targets are "
                f"{'missing' if statements else 'given'}: the kind statements, and it "
                "alone, compares ECGs with targets."
            )
        if self.config.loss.learn_tau and self.training:
            with torch.no_grad():
                self.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        x_local, source = self._in_chunks(self._scaled(x))  # (B, M) each
        q_local = self.encode_text(q_vectors)  # (B, M)
        with torch.autocast(x_local.device.type, enabled=False):
            group = Group(*world())
            if targets is None:
                fused = self.gafa(x_local, q_local, group)  # eq 17-24
                cma = self.alignment(*fused, group=group)  # eq 25-30 on eq 24
            else:
                cma = self._of_statements(x_local, q_local, targets, weights, group)
            uma = cma.new_zeros(())
            if self.config.loss.uma_weight:
                first, second = self.unimodal(source)  # eq 31, (B, M) each
                uma = self.alignment(first, second, group=group)  # eq 32
            cma, uma = mean(torch.stack([cma, uma]), group)
            loss = self.config.loss.cma_weight * cma + self.config.loss.uma_weight * uma
        return ModelOutput(loss, cma, uma, x_local, q_local)

    def _of_statements(
        self,
        x: Tensor,
        q: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        group: Group,
    ) -> Tensor:
        """Compare this process's ECGs (B, M) with all statements (S, M)."""
        if self.config.gafa.graph != "none":  # an ECG depends on those of all processes
            x, q = self.gafa(gather(x, group), q)
            x = x.chunk(group.processes)[group.rank]
        return self.alignment(x, q, targets, weights)

    def local(
        self, x: Tensor, features: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode scaled ECGs (B, leads, T), without a look at the rest of their batch.

        Args:
            x: the ECGs.
            features: computes what `encoder.features` does in another way, which a
                compiler may prefer.

        Returns:
            X^e (B, M), and what eq 31 makes its views of (B, M): X^e itself, or with
            `loss.uma` "maps" the features averaged over time.
        """
        maps = (features or self.encoder.features)(x)  # (B, M, T')
        x_local = self.encoder.pool(maps)  # (B, M)
        if self.config.loss.uma == "dropout":
            return x_local, x_local
        return x_local, maps.to(x_local.dtype).mean(-1)

    def _in_chunks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Do `local`, with the activations of `chunk` ECGs in memory at a time.

        The first pass keeps embeddings alone; the backward pass, which then has the
        gradient of each embedding, encodes chunk by chunk again (GradCache
        [gao2021gradcache]). Gradients are exact and randomness is replayed; batch
        normalisation sees a chunk where it would see the batch.
        """
        if not self.chunk:
            return (self.compiled or self.local)(x)

        def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
            return contextlib.nullcontext(), _statistics_kept(self.encoder)

        parts = [
            checkpoint(self.local, part, use_reentrant=False, context_fn=contexts)
            for part in x.split(self.chunk)
        ]
        x_local, source = (torch.cat(side) for side in zip(*parts, strict=True))
        return x_local, source

    def _scaled(self, x: Tensor) -> Tensor:
        """Take signals to the model's device and scale them as it expects."""
        return scale_input(x.to(self.device), self.config.input.scaling)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write configuration, weights and a card, for `from_pretrained` or the hub.

        Args:
            folder: made where it is not there.

        Raises:
            OSError: it cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config_file, weights_file = (folder / name for name in FILES)
        settings = json.dumps(to_dict(self.config), indent=2, sort_keys=True)
        config_file.write_text(settings + "\n", encoding="utf-8")
        weights = {name: t.contiguous() for name, t in self.state_dict().items()}
        # Not save_file, which lets nobody but the owner read what it writes.
        weights_file.write_bytes(save(weights, metadata={"format": "pt"}))
        (folder / "README.md").write_text(CARD, encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        map_location: str | torch.device = "cpu",
        **hub: Any,
    ) -> MCCGAA:
        """Load a model that `save_pretrained` wrote, in eval mode.

        Args:
            pretrained_model_name_or_path: its folder (a run's folder is one), the name
                of one that comes with the package, or a name on the Hugging Face hub.
            map_location: device of the weights.
            hub: `revision`, `cache_dir`, `token` ... of `snapshot_download`.

        Raises:
            RunError: no such model, a damaged file, a configuration with unknown or
                impossible settings, or weights that are not this configuration's or
                not finite.
        """
        folder = locate(pretrained_model_name_or_path, **hub)
        config_file, weights_file = (folder / name for name in FILES)
        try:
            data = json.loads(config_file.read_text(encoding="utf-8"))
            model = cls(from_dict(ModelConfig, data, "config"))
        except (ValueError, ConfigError) as error:  # JSONDecodeError is a ValueError
            raise RunError(
                f"{config_file} is not the configuration of a model: {error}"
            ) from error
        try:
            model.load_state_dict(load_file(weights_file, device=str(map_location)))
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{weights_file} cannot be read ({error}); save the model again."
            ) from error
        except RuntimeError as error:
            raise RunError(
                f"{weights_file} holds the weights of another configuration than "
                f"{config_file}: {_first_lines(error)}"
            ) from error
        if not is_finite(model):
            raise RunError(
                f"{weights_file} holds weights that are not finite: its training went "
                "wrong; train it again with a lower pretrain.lr."
            )
        return model.to(map_location).eval()


@contextlib.contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Normalise batches without a trace in the running statistics."""
    norms = [
        m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
    ]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def locate(name: Path | str, also: Sequence[str] = (), **hub: Any) -> Path:
    """Find the folder of a saved model, fetching it from the hub if need be.

    Args:
        name: its folder, the name of one that comes with the package, or its name on
            the Hugging Face hub.
        also: other files to fetch from the hub, where they are there.
        hub: `revision`, `cache_dir`, `token` ... of `snapshot_download`.

    Raises:
        RunError: there is no such model.
    """
    folder = Path(name)
    if not folder.is_dir() and (SHIPPED / folder / FILES[0]).is_file():
        folder = SHIPPED / folder
    if not folder.is_dir():
        # Loaded where it is needed: it brings a whole client for the network.
        from huggingface_hub import snapshot_download

        hub["allow_patterns"] = [*FILES, *also]
        try:
            folder = Path(snapshot_download(str(name), **hub))
        except (OSError, ValueError, RuntimeError) as error:
            raise RunError(
                f"{name} is no folder, and no model of that name could be had from "
                f"the Hugging Face hub ({type(error).__name__}); give the folder of a "
                "finished run."
            ) from error
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise RunError(
            f"{folder} has no {' and no '.join(missing)}: it is not a saved model, or "
            "the run that writes there is not finished."
        )
    return folder


def _first_lines(error: RuntimeError, count: int = 3) -> str:
    """Shorten torch's list of every parameter that does not fit."""
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    more = f" ... and {len(lines) - count} more" if len(lines) > count else ""
    return " ".join(line[:200] for line in lines[:count]) + more
