"""What a model makes of the held-out pairs, which choose the best epoch.

No label of a downstream task is read: the texts are those of pretraining.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mccgaa.errors import RunError
from mccgaa.metrics import auroc, retrieval, set_retrieval
from mccgaa.model import MCCGAA
from mccgaa.runtime import autocast


@torch.no_grad()
def held_out(
    model: MCCGAA, batches: Iterable[tuple[Tensor, ...]], precision: str
) -> dict[str, float]:
    """Loss and retrieval on the held-out pairs, with and without the fused part.

    Args:
        model: put into evaluation mode; it computes where it is.
        batches: signals and what else `MCCGAA.forward` takes, on the model's device;
            GAFA's graph joins one batch.
        precision: "bf16" or "fp32", of the encoder.

    Returns:
        "held_out_cma", the recalls and ranks of `metrics.retrieval`, and the same with
        "fused_" in front. Of statements those of `metrics.set_retrieval`, and
        "statement_auroc", the mean over statements that some records carry and others
        do not, if there are any.

    Raises:
        RunError: the loss is not finite, as after a step that was too large.
    """
    model.eval()
    found, total, count = [], 0.0, 0
    statements = model.config.loss.kind == "statements"
    for signals, vectors, *targets in batches:
        with autocast(model.device, precision):
            x = model.encode_ecg(signals).float()  # (B, M)
        q = model.encode_text(vectors).float()  # (B, M), or (S, M)
        fused = model.gafa(x, q)
        total += model.alignment(*fused, *targets).item() * len(signals)
        count += len(signals)
        x_fuse, q_fuse = (normalize(side, dim=-1) for side in fused)
        sides = (x, q, vectors, x_fuse, q_fuse)
        if statements:
            sides = (targets[0] > 0.5, x @ q.T, x_fuse @ q_fuse.T)  # (B, S) each
        found.append([side.cpu().numpy() for side in sides])
    if not math.isfinite(total):
        raise RunError(
            f"The loss on the held-out pairs is {total / count}; lower pretrain.lr or "
            "use precision: fp32."
        )
    sides = [np.concatenate(side) for side in zip(*found, strict=True)]
    if statements:
        carried, *similarities = sides
        plain, fusion = (set_retrieval(one, carried) for one in similarities)
        plain |= _mean_auroc(carried, similarities[0])
    else:
        plain, fusion = retrieval(*sides[:3]), retrieval(*sides[3:])
    return {
        "held_out_cma": total / count,
        **plain,
        **{f"fused_{name}": value for name, value in fusion.items()},
    }


def _mean_auroc(
    carried: NDArray[np.bool_], similarity: NDArray[np.floating]
) -> dict[str, float]:
    """Average over the statements that some ECGs carry and others do not, if any."""
    mixed = np.flatnonzero(carried.any(axis=0) & ~carried.all(axis=0))
    areas = [auroc(carried[:, s], similarity[:, s]) for s in mixed]
    return {"statement_auroc": float(np.mean(areas))} if areas else {}
