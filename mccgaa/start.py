"""Start a run from the weights of another: first the twin, say, and then patients."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mccgaa.errors import RunError
from mccgaa.model import MCCGAA, locate
from mccgaa.run_folder import METRICS, read_metrics

# Parts that must be the same; the loss may be another.
PARTS = ("input", "encoder", "text", "gafa")
OF_THE_LOSS = ("logit_scale", "bias", "unimodal.")
KEPT = ("hash", "synthetic", "store", "pairs", "texts", "start")  # of metrics.json


class Start:
    """A model that a run takes its first weights from.

    Args:
        folder: of the model; a run's folder is one, and the name of a model that comes
            with the package will do.

    Raises:
        RunError: there is no model there.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = locate(folder, also=[METRICS])
        self.model = MCCGAA.from_pretrained(self.folder)

    @property
    def fingerprint(self) -> str:
        """Name the weights by their content, wherever they are."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
            digest.update(weight.contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:16]

    @property
    def facts(self) -> dict[str, Any]:
        """What its run says of what it was trained on; None where it says nothing."""
        found = read_metrics(self.folder)
        return {"weights": self.fingerprint, **{key: found.get(key) for key in KEPT}}

    def check_unseen(self, names: Sequence[str]) -> None:
        """Refuse a start that has met classes which a run holds out.

        Args:
            names: `pretrain.unseen` of the run; the run that made the start, and those
                it started from itself, must have named each of them likewise.

        Raises:
            RunError: one of them has not, or does not say.
        """
        run: dict[str, Any] | None = self.facts
        while run and names:
            held = ((run.get("texts") or {}).get("unseen") or {}).get("classes", ())
            met = [name for name in names if name not in held]
            if met:
                raise RunError(
                    f"pretrain.start: the weights in {self.folder} may have met "
                    f"{', '.join(map(repr, met))}, which pretrain.unseen holds out: "
                    "start from a run of the same pretrain.unseen."
                )
            run = run.get("start")

    def give(self, model: MCCGAA) -> None:
        """Copy the weights into a model; the loss's own where both have them.

        Raises:
            RunError: another input, encoder, text side or graph.
        """
        for part in PARTS:
            have, want = (getattr(m.config, part) for m in (self.model, model))
            if have != want:
                raise RunError(
                    f"pretrain.start: the model in {self.folder} has {have}, but this "
                    f"run has {want}: start from a model of the same {part}."
                )
        given, own = self.model.state_dict(), model.state_dict()
        for name in own.keys() ^ given.keys():
            assert name.startswith(OF_THE_LOSS), name
        shared = {name: given.get(name, own[name]) for name in own}
        model.load_state_dict(shared)
