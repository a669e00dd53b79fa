"""The alignment losses, cross-modal and unimodal, in one process or many.

Section 3.4 of the paper (eq 25-32). Its "log-sum-exp" loss is the cross-entropy of
CLIP, summed over the two directions instead of averaged; `kind` keeps the readings
apart. In a distributed run each process computes the loss of its own rows against the
rows of all, and the mean over processes is the loss of the whole batch; see
`mccgaa.gather`.

`statement_loss` is no part of the paper: it replaces its loss, and its graph, where
`loss.kind` is "statements".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mccgaa.config import LossKind
from mccgaa.gather import ALONE, Group, gather

SIGLIP_BIAS = -10.0  # where the bias of the "siglip" loss starts
STATEMENT_BIAS = -6.0  # and that of the "statements" loss: 1 statement in 400 is true
BLOCK = 2048  # statements whose logits are in memory at a time
SIMILARITIES = 2**24  # of pairs (rows x B) in memory at a time: 64 MB in fp32


def alignment_loss(
    x: Tensor,
    q: Tensor,
    tau: float | Tensor = 0.07,
    kind: LossKind = "symmetric",
    *,
    bias: float | Tensor = SIGLIP_BIAS,
    group: Group = ALONE,
) -> Tensor:
    r"""Draw row i of `x` to row i of `q` and away from the others (eq 25-30).

    .. math::
        f_{sim}(i, j) &= X'_i \cdot Q'_j / \tau & (26) \\
        f_{prob}(i, j) &= f_{sim}(i, j) - \log \sum_b \exp f_{sim}(i, b) & (27) \\
        loss_{x2r} &= -\tfrac{1}{B} \sum_i f_{prob}(i, i) & (28)

    Args:
        x: (B, width) embeddings of one side; normalised here (eq 25).
        q: (B, width) embeddings of the other side, row i paired with row i of `x`.
        tau: temperature above 0; a tensor of one element where it is learned.
        kind: "symmetric": rows and columns of the same matrix, summed (eq 30 as the
            text explains it). "one-sided": eq 29 to the letter, where transposing the
            diagonal changes nothing, so twice eq 28. "clip": the mean of the two
            cross-entropies. "siglip": a sigmoid for each of the B x B pairs.
        bias: added to the similarities, "siglip" only; -10 is where SigLIP starts.
        group: processes whose rows together are the batch; each passes its own and
            gets their share of the loss, whose mean over processes is the loss.

    Returns:
        The loss, a scalar in fp32 (fp64 for fp64 embeddings), whatever autocast says.

    Raises:
        ValueError: an unknown kind, a temperature not above 0, or shapes that do not
            pair.
    """
    _check(x, q, tau, kind)
    with torch.autocast(x.device.type, enabled=False):
        x, q = F.normalize(_full(x), dim=1), F.normalize(_full(q), dim=1)  # eq 25
        everyone = gather(torch.cat([x, q], dim=1), group)  # (B, 2 width), of all
        all_x, all_q = everyone.chunk(2, dim=1)  # (B, width) each
        first = group.rank * len(x)  # row of `all_q` that belongs to row 0 of `x`
        if kind == "siglip":
            pairs = partial(_sigmoids, tau=tau, bias=bias)
            return _mean_over_rows(pairs, x, all_q, first)
        one_of_all = partial(_cross_entropy, tau=tau)
        x2r = _mean_over_rows(one_of_all, x, all_q, first)  # eq 28
        if kind == "one-sided":
            return x2r + x2r  # eq 29 and 30, literally
        r2x = _mean_over_rows(one_of_all, q, all_x, first)
        return (x2r + r2x) / 2 if kind == "clip" else x2r + r2x  # eq 30


def statement_loss(
    x: Tensor,
    q: Tensor,
    targets: Tensor,
    tau: float | Tensor = 0.1,
    *,
    bias: float | Tensor = STATEMENT_BIAS,
    weights: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    r"""Say of every ECG which of all statements are true of it.

    A report is a set of statements. Each of the S distinct ones of pretraining is a
    yes-or-no question about each of the B ECGs, asked by its text:

    .. math::
        z_{is} &= X'_i \cdot Q'_s / \tau + b \\
        loss &= -\frac{1}{B} \sum_{i=1}^{B} \sum_{s=1}^{S} w_s \left[
            y_{is} \log \sigma(z_{is}) + (1 - y_{is}) \log \sigma(-z_{is}) \right]

    with y_is = 1 where statement s is in the report of ECG i. ECGs of equal findings
    have equal targets, and are never each other's negatives. The loss is a mean over
    ECGs and a sum over statements: an ECG has a few true statements whatever S is, and
    a mean over S would divide their pull by S; the bias starts where the many untrue
    ones weigh little. A mean over rows is also what DDP's mean over processes keeps
    exact, so nothing has to be gathered.

    Relatives: SigLIP [zhai2023siglip] asks the same question of the B x B pairs of a
    batch, where a caption is one text and an equal caption elsewhere is a negative.
    SuPreME [cai2025supreme] takes entities out of reports with a language model and
    trains a head with one output per entity, queried by cross-attention; here a
    statement is a sentence as it is written, and the classifier is the cosine itself.

    Args:
        x: (B, width) ECG embeddings; normalised here (eq 25).
        q: (S, width) embeddings of all statements; normalised here.
        targets: (B, S) in [0, 1], whether statement s is true of ECG i.
        tau: temperature above 0, the inverse of SigLIP's scale.
        bias: b.
        weights: (S,) w_s; all 1 where it is None.
        block: statements whose logits (B, block) are computed, and in the backward
            pass computed again, at a time; S up to this are computed at once. The
            result does not depend on it.

    Returns:
        The loss, a scalar in fp32 (fp64 for fp64 embeddings), whatever autocast says.

    Raises:
        ValueError: a temperature not above 0, or shapes that do not fit.
    """
    _check_temperature(tau)
    wanted = (len(x), len(q))
    fits = x.ndim == q.ndim == 2 and x.shape[1] == q.shape[1] and 0 not in wanted
    if not fits or targets.shape != wanted:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, q {tuple(q.shape)} and targets "
            f"{tuple(targets.shape)}; expected (B, width), (S, width) and (B, S)."
        )
    with torch.autocast(x.device.type, enabled=False):
        x, q = F.normalize(_full(x), dim=1), F.normalize(_full(q), dim=1)
        weights = x.new_ones(len(q)) if weights is None else weights.to(x)

        def part(x: Tensor, q: Tensor, y: Tensor, w: Tensor) -> Tensor:
            logits = x @ q.T / tau + bias  # (B, block)
            return F.binary_cross_entropy_with_logits(
                logits, y.to(logits), weight=w, reduction="sum"
            )

        blocks = zip(
            q.split(block), targets.split(block, 1), weights.split(block), strict=True
        )
        if len(q) <= block:
            return part(x, q, targets, weights) / len(x)
        options = {"use_reentrant": False, "preserve_rng_state": False}
        return sum(checkpoint(part, x, *one, **options) for one in blocks) / len(x)


class UnimodalAlignment(nn.Module):
    r"""Two random views of one ECG embedding (eq 31).

    .. math::
        X^{drp1}, X^{drp2} = f_{Dropout}(X^e, \theta^1, \theta^2)

    The loss between the views is `alignment_loss` of the two (eq 32).

    Args:
        embedding_dim: M.
        dropout: the two rates, each in [0, 1).
        maps: each view is a linear map without bias followed by its own dropout, as in
            MERL, the ancestor; without them it is dropout alone, eq 31 to the letter.
    """

    def __init__(
        self,
        embedding_dim: int,
        dropout: tuple[float, float] = (0.1, 0.1),
        *,
        maps: bool = True,
    ) -> None:
        super().__init__()
        self.view1, self.view2 = (
            nn.Sequential(
                nn.Linear(embedding_dim, embedding_dim, bias=False), nn.Dropout(rate)
            )
            if maps
            else nn.Dropout(rate)
            for rate in dropout
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Make both views.

        Args:
            x: (B, M): with maps ECG features averaged over time, without them the
                embeddings X^e.

        Returns:
            Two tensors (B, M); without dropout once the module is in eval mode, when
            views without maps are `x` twice.
        """
        return self.view1(x), self.view2(x)


def _cross_entropy(x: Tensor, all_q: Tensor, own: int, tau: float | Tensor) -> Tensor:
    """Compute -f_prob(i, i) of each row (eq 26, 27).

    Args:
        x: (n, width) rows of one side.
        all_q: (B, width) the whole other side.
        own: row of `all_q` that belongs to the first row of `x`.
        tau: as in `alignment_loss`.

    Returns:
        (n,)
    """
    logits = x @ all_q.T / tau  # (n, B), eq 26
    return logits.logsumexp(dim=1) - logits.diagonal(own)


def _sigmoids(
    x: Tensor, all_q: Tensor, own: int, tau: float | Tensor, bias: float | Tensor
) -> Tensor:
    """Sum the B binary losses of each row: a pair, or not; as `_cross_entropy`."""
    logits = x @ all_q.T / tau + bias  # (n, B)
    # Where row and column are a pair the loss is that of +logit, else of -logit.
    signed = torch.diagonal_scatter(-logits, logits.diagonal(own), own)
    return -F.logsigmoid(signed).sum(dim=1)


def _mean_over_rows(
    losses: Callable[[Tensor, Tensor, int], Tensor],
    x: Tensor,
    others: Tensor,
    own: int,
) -> Tensor:
    """Average the losses of rows; see `_cross_entropy`.

    Of a large batch, blocks of rows are computed one after the other and again in the
    backward pass, so that no (B, B) matrix is kept.
    """
    rows = max(1, SIMILARITIES // len(others))
    if len(x) <= rows:
        return losses(x, others, own).mean()
    blocks = [
        checkpoint(
            losses,
            block,
            others,
            own + i * rows,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for i, block in enumerate(x.split(rows))
    ]
    return torch.cat(blocks).mean()


def _full(t: Tensor) -> Tensor:
    return t if t.dtype == torch.float64 else t.float()


def _check(x: Tensor, q: Tensor, tau: float | Tensor, kind: str) -> None:
    kinds = [known for known in get_args(LossKind) if known != "statements"]
    if kind not in kinds:
        known = ", ".join(kinds)
        raise ValueError(f"The loss kind is {kind!r}; expected one of {known}.")
    if x.ndim != 2 or x.shape != q.shape or not len(x):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and q has {tuple(q.shape)}; expected two "
            "matrices of one shape, row i of x paired with row i of q."
        )
    _check_temperature(tau)


def _check_temperature(tau: float | Tensor) -> None:
    if not isinstance(tau, Tensor) and not (math.isfinite(tau) and tau > 0):
        raise ValueError(f"tau is {tau}; expected a finite temperature above 0.")
