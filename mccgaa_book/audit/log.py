"""The log: what the paper claims, what was computed, and the verdict, one by one.

Sections 2, 3, 4.1, 4.7 and 5 are judged here, what sections 4.3 to 4.6 say of printed
tables in `audit.claims`. The longer audits behind an entry are the other modules.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from mccgaa.config import EncoderConfig, GafaConfig
from mccgaa.encoder import EcgEncoder
from mccgaa.gafa import Gafa
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import auroc
from mccgaa_book import paper, results
from mccgaa_book.audit import chapman, data, encoder, graph, leak
from mccgaa_book.audit import loss as losses
from mccgaa_book.audit.claims import claims
from mccgaa_book.claims import Claim, Weighed, weigh

AHEAD = {1: True, 0: None, -1: False, None: None}  # what a ranking makes of "it helps"


def log() -> dict[str, list[Claim]]:
    """Judge every claim of the paper that can be checked.

    Returns:
        Part of the paper -> its claims, in the paper's order.
    """
    return {
        "The encoder (section 3.2)": of_the_encoder(),
        "The graph (section 3.3)": of_the_graph(),
        "The loss (section 3.4)": of_the_loss(),
        "The data (sections 4.1 and 4.2)": of_the_data(),
        "The printed tables (sections 4.3 to 4.6)": claims(),
        "The figures and the conclusion (sections 4.7 and 5)": of_the_figures(),
        "The method on real ECGs": on_real_ecgs(),
    }


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
    x, q = _random_pairs()
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
            f"{unrelated['backbone']:.3f}: X_topo and Q_topo are halves of one vector, "
            "so its loss can fall with nothing aligned",
            "eq 19 to 24, Fig. 3",
            "4",
        ),
        Claim(
            "C W and W C, a in R^{1 x 2H}, W_O in R^{HN x F}",
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
            f"used with {x.shape[1]}; no layer is trained, and the pair graph takes "
            f"class texts: {_yes(readings.loc['takes 5 class texts', 'pair'])}",
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


def of_the_data() -> list[Claim]:
    """Sections 4.1 and 4.2, Table 1 and equation 33."""
    printed = paper.table(1)["Classes"]
    tasks = {row: task for row, _, task in data.ROWS if task}
    agree = [row for row, t in tasks.items() if printed[row] == len(data.CLASSES[t])]
    flutter = data.imbalance_claims()
    scores = torch.randn(200, generator=torch.Generator().manual_seed(0)).numpy()
    y = (np.arange(200) % 4 == 0).astype(int)
    many = np.r_[np.flatnonzero(y), np.tile(np.flatnonzero(y == 0), 10)]
    once, rare = auroc(y, scores), auroc(y[many], scores[many])
    fault = chapman.shared_fault()
    return [
        Claim(
            "the six test sets have 9, 19, 23, 5, 12 and 38 classes",
            len(agree) == len(tasks),
            f"{len(agree)} of {len(tasks)} agree with the datasets' own vocabularies",
            "Table 1",
            "1",
        ),
        Claim(
            "MIMIC-IV-ECG has 47 classes, 12 of them below 1 %",
            None,
            "the dataset publishes reports and measurements and no classes; which 47 "
            "were meant is not said, and nothing in the method needs them",
            "4.1, Table 1",
            "1",
        ),
        Claim(
            "AUROC is independent of a threshold and robust to imbalance",
            bool(np.isclose(once, rare)),
            f"with ten times as many negatives it stays {rare:.4f}; its uncertainty is "
            "another matter, as chapter 7 shows",
            "eq 33, 4.3",
            "7",
        ),
        *(
            Claim(row["paper says"], bool(row["holds"]), row["public"], where, "1")
            for where, row in zip(
                "4.1, " + flutter["dataset"], flutter.to_dict("records"), strict=True
            )
        ),
        Claim(
            "Chapman has 23,026 records with labels of 38 classes",
            chapman.SHARED_WRONG_ROWS == 0,
            "the counts are right; the label table that the literature shares is wrong "
            f"in {chapman.SHARED_WRONG_ROWS:,} rows "
            f"({chapman.SHARED_WRONG_ROWS / chapman.SHARED_ROWS:.1%}), since acronyms "
            f"were matched as substrings: VB has {fault.loc['VB', 'published']} "
            f"records, {fault.loc['VB', 'exact']} of them true",
            "4.1",
            "1",
        ),
        Claim(
            "SimSiam is reference [7]",
            False,
            "[7] in the list of references is CRT's paper",
            "4.2",
            "7",
        ),
    ]


def of_the_figures() -> list[Claim]:
    """Figures 3, 7 and 8, and what the conclusion credits."""
    knowledge = Knowledge.load()
    named = {c: knowledge.text("csn", c) for c in ("ST", "AF", "AFIB")}
    x, q = _random_pairs()
    untrained = graph.attention_summary(
        Gafa(GafaConfig(), x.shape[1]).attention(x, q)[0]
    )
    tables = sorted(paper.tables_folder().glob("table*.csv"))
    return [
        Claim(
            "the log-sum-exp loss lies lower than CLIP's, all else being equal",
            False,
            "on one model and one batch it is twice CLIP's, whatever the batch",
            "Fig. 3(a)",
            "6",
        ),
        Claim(
            "the unimodal loss is in equilibrium around the 0-step mark",
            None,
            "a loss in equilibrium at step 0 trains nothing; a digit may be missing",
            "Fig. 3(b)",
            "6",
        ),
        Claim(
            "horizontal bands are diagnostic anchors that training forms",
            bool(untrained["one_order"].min() < 0.99),
            "a layer with random weights on random vectors has them too: "
            f"{untrained['one_order'].min():.1%} of the comparisons of two neighbours "
            "follow one order for all nodes",
            "Fig. 7",
            "4",
        ),
        Claim(
            "ST is ST-segment abnormality, AF atrial fibrillation",
            named["AF"] == named["AFIB"],
            "in Chapman's own names "
            + ", ".join(f"{c} is {text}" for c, text in named.items()),
            "Fig. 8",
            "7",
        ),
        Claim(
            "the robustness and imbalance analyses conducted in this study",
            None,
            f"none of the {len(tables)} tables and eight figures shows noise or a "
            "class below 1 %; chapter 7 makes such an analysis",
            "5",
            "7",
        ),
    ]


def on_real_ecgs() -> list[Claim]:
    """What the book's own results on real ECGs, where published, say of the method."""
    entries = []
    for found in results.published("pretraining"):
        if found.synthetic is False and "pair" in set(found.frame["variant"]):
            entries += _leak_of_runs(found)
            break
    for found in results.published("zeroshot"):
        if found.synthetic is False:
            entries += _components(found)
            break
    return entries


def _leak_of_runs(found: results.Results) -> list[Claim]:
    """What retrieval and loss of the runs with the pair graph show."""
    val = found.frame[(found.frame["split"] == "val")]
    table = pd.concat(
        {
            metric: results.over_seeds(val, ["variant"], metric)["mean"]
            for metric in (
                "ecg_to_text_r5",
                "fused_ecg_to_text_r5",
                "final_loss",
                "loss_floor",
            )
        },
        axis=1,
    )
    pair, two = table.loc["pair"], table.loc["bipartite"]
    seeds = val.loc[val["variant"] == "pair", "seed"].nunique()
    return [
        Claim(
            "the fused embeddings find no more than the encoders aligned",
            bool(pair["fused_ecg_to_text_r5"] <= pair["ecg_to_text_r5"]),
            "held-out recall at 5 of the pair graph is "
            f"{pair['fused_ecg_to_text_r5']:.2f} fused and "
            f"{pair['ecg_to_text_r5']:.2f} by its encoders (bipartite: "
            f"{two['fused_ecg_to_text_r5']:.2f} and "
            f"{two['ecg_to_text_r5']:.2f}); seeds: {seeds}",
            "eq 24",
            "4",
        ),
        Claim(
            "the loss of a trained pair graph is paid by its encoders",
            None if pair["final_loss"] > pair["loss_floor"] else False,
            f"held out it ends at {pair['final_loss']:.2f}, above the floor of "
            f"{pair['loss_floor']:.2f} that equal texts set: on these runs the leak "
            "shows in retrieval and not in the loss",
            "Fig. 3",
            "6",
        ),
    ]


def _components(found: results.Results) -> list[Claim]:
    """What leaving a component out did to zero-shot scores."""
    have = set(found.frame["variant"])
    questions = [
        ("the graph improves zero-shot classification", "bipartite", "no-gat", "4.5"),
        ("the graph as the equations have it improves it", "pair", "no-gat", "3.3"),
        ("pair nodes do no harm beside bipartite ones", "pair", "bipartite", "3.3"),
        ("channel attention and graph improve on MERL", "bipartite", "merl", "4.3"),
        ("log-sum-exp improves on the CLIP loss", "bipartite", "clip", "4.5"),
    ]
    return [
        Claim(says, AHEAD[both.ahead], _told(both), where, "7")
        for says, first, second, where in questions
        if {first, second} <= have
        for both in [weigh(found, first, second)]
    ]


def _told(both: Weighed) -> str:
    """Write a comparison's numbers after the names of the two."""
    return f"“{both.first}” minus “{both.second}”, {both.ecgs}: {both.numbers}"


def _random_pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """64 pairs of unrelated directions, (64, 256) each."""
    x, q = (
        losses.unit_rows(64, 256, torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    )
    return x, q


def _yes(value: object) -> str:
    """Write a truth as a word."""
    return "yes" if value else "no"
