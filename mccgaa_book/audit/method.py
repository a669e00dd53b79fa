"""Section 3 of the paper judged: encoder, graph and loss (eq 2 to 32)."""

from __future__ import annotations

import numpy as np
import torch

from mccgaa.config import EncoderConfig, GafaConfig
from mccgaa.encoder import EcgEncoder
from mccgaa.gafa import Gafa
from mccgaa_book.audit import encoder, graph, leak
from mccgaa_book.audit import loss as losses
from mccgaa_book.claims import Claim


def of_the_encoder() -> list[Claim]:
    """Equations 2 to 14."""
    gate = encoder.gate_table((-20.0, 20.0))["double sigmoid"]
    signals = torch.randn(4, 12, 1000, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = EcgEncoder(EncoderConfig())
    widths = {alpha.shape[1] for alpha in encoder.gates(network, signals).values()}
    entering = encoder.block_input(network, signals, "2.1")
    block = encoder.named_blocks(network)["2.1"]
    order = encoder.gate_and_relu_commute(block, entering)
    return [
        Claim(
            "the gate maps to the range [0, 1]",
            bool(gate.min() < 0.01 and gate.max() > 0.99),
            f"a sigmoid of a sigmoid lies in ({gate.min():.3f}, {gate.max():.3f}): no "
            "channel is ever suppressed by more than half",
            "eq 13",
            "2",
        ),
        Claim(
            "the channel attention prioritises key leads",
            widths == {signals.shape[1]},
            f"it weighs {min(widths)} to {max(widths)} feature channels; leads exist "
            "only in the input, before it",
            "3.2, 4.5",
            "2",
        ),
        Claim(
            "the ReLU comes before the pooling, and the gate scales the map before it",
            None,
            "the equations allow three orders; gate and ReLU commute (difference "
            f"{order['without shortcut']:.0e}), but not around the residual sum "
            f"({order['with shortcut']:.1f}); Fig. 2 is followed",
            "eq 7, 8, 14",
            "2",
        ),
    ]


def of_the_graph() -> list[Claim]:
    """Equations 17 to 24."""
    readings = graph.graph_readings()
    unrelated = leak.built_by_hand([0.0]).iloc[0]
    shapes = graph.attention_shapes()
    missing = shapes.loc[~shapes["exists"], "written"]
    x, q = random_pairs()
    swept = graph.graph_by_threshold(x, q, [0.0, 2.0]).set_index("threshold")
    swap = readings.loc["same result when texts change partners"]
    return [
        Claim(
            "a bipartite graph of two kinds of nodes",
            readings.loc["nodes", "pair"] == readings.loc["nodes", "bipartite"],
            f"true of the prose; the equations have {readings.loc['nodes', 'pair']} "
            "nodes for 64 pairs, each of width "
            f"{readings.loc['width of a node', 'pair']}, and two kinds would be "
            f"{readings.loc['nodes', 'bipartite']} of width "
            f"{readings.loc['width of a node', 'bipartite']}",
            "3.3, eq 19 to 22",
            "4",
        ),
        Claim(
            "a graph of ECGs and texts can be read without knowing who belongs to whom",
            bool(swap["bipartite"]),
            "the bipartite graph of the prose gives the same result when texts change "
            "partners; the pair graph of the equations does not",
            "3.3",
            "4",
        ),
        Claim(
            "A joins node i to node j",
            bool(swept.loc[0.0, "one_way"] == 0),
            "A compares ECG i with text j; among random directions "
            f"{swept.loc[0.0, 'one_way']:.0%} of its edges have no way back, so that "
            "as a graph of pairs it is directed",
            "eq 18, 20",
            "4",
        ),
        Claim(
            "a falling loss shows that ECGs and texts are being aligned",
            bool(unrelated["fused"] < 2 * unrelated["chance"]),
            f"between unrelated vectors fused retrieval reaches "
            f"{unrelated['fused']:.3f} in the pair graph, the embeddings themselves "
            f"{unrelated['backbone']:.3f}: both topologies are halves of one vector, "
            "so its loss can fall with nothing aligned",
            "eq 19 to 24, Fig. 3",
            "4",
        ),
        Claim(
            "the products C W and W C, with a of 1 x 2H and W_O of HN x F",
            missing.empty,
            f"{len(missing)} of {len(shapes)} products do not exist; H has three "
            "meanings; without the LeakyReLU of GAT the node's own term cancels",
            "eq 20 to 22",
            "4",
        ),
        Claim(
            "a softmax over the neighbours N(i)",
            bool(swept["empty_rows"].max() == 0),
            "the threshold is not given; at 2, "
            f"{swept.loc[2.0, 'empty_rows']:.0%} of 64 random nodes have no neighbour, "
            "and the softmax is undefined",
            "eq 18, 21",
            "4",
        ),
        Claim(
            "a simple linear layer gives the label",
            False,
            f"trained on {Gafa(GafaConfig(), x.shape[1])(x, q)[0].shape[1]} columns, "
            f"used with {x.shape[1]}; no layer is trained, and class texts "
            f"{'fit' if readings.loc['takes 5 class texts', 'pair'] else 'do not fit'} "
            "into the pair graph",
            "eq 25, 3.4",
            "4",
        ),
    ]


def of_the_loss() -> list[Claim]:
    """Equations 25 to 32."""
    equal, sums = losses.log_sum_exp_is_clip(), losses.equation_29()
    stable = losses.stability()
    finite = np.isfinite(stable[["written_out", "log_sum_exp", "cross_entropy"]])
    fails = stable[~finite["written_out"]]
    fails = fails.groupby("precision")["largest_logit"].min()
    return [
        Claim(
            "log-sum-exp is computed without overflow",
            bool(finite["log_sum_exp"].all()),
            "finite at every temperature and precision tried, where a softmax written "
            f"out fails from logits of {fails['float32']:.0f} (float32) and "
            f"{fails['float16']:.0f} (float16) on",
            "3.4",
            "5",
        ),
        Claim(
            "it is more stable than the clip-style loss",
            not finite["cross_entropy"].all(),
            "CLIP's cross-entropy is computed by log-sum-exp too and is finite "
            "wherever it is; at tau = 0.07 no logit exceeds 14.3",
            "3.4",
            "5",
        ),
        Claim(
            "log-sum-exp is another loss than CLIP's",
            bool(equal["gradient_gap"].max() > 1e-9),
            f"it is the CLIP loss times {equal['ratio'].mean():.0f}: relative "
            f"difference {equal['loss_gap'].max():.0e}, of gradients "
            f"{equal['gradient_gap'].max():.0e}; Table 4's row has no cause in the "
            "equations",
            "eq 25 to 30, Table 4",
            "5",
        ),
        Claim(
            "the loss is symmetric, in both directions",
            bool(
                np.isclose(
                    sums["loss_r2x as written (eq 29)"], sums["loss_r2x over columns"]
                )
            ),
            "the transpose of a diagonal is the diagonal: as written loss_r2x is "
            f"{sums['loss_r2x as written (eq 29)']:.5f}, like loss_x2r "
            f"({sums['loss_x2r (eq 28)']:.5f}); over columns it is "
            f"{sums['loss_r2x over columns']:.5f}",
            "eq 29, 30",
            "5",
        ),
        Claim(
            "two dropouts of X^e with different pooling rates",
            None,
            "no pooling is described and no rate given",
            "eq 31",
            "5",
        ),
    ]


def random_pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """64 pairs of unrelated directions, (64, 256) each."""
    x, q = (
        losses.unit_rows(64, 256, torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    )
    return x, q
