"""The log: what the paper claims, what was computed, and the verdict, one by one.

Section 3 is judged in `audit.method`, what sections 4.3 to 4.6 say of printed tables in
`audit.claims`, the rest here. The longer audits behind an entry are the other modules.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from mccgaa.config import GafaConfig
from mccgaa.gafa import Gafa
from mccgaa.knowledge import Knowledge
from mccgaa.metrics import auroc
from mccgaa_book import paper, results
from mccgaa_book.audit import chapman, data, graph
from mccgaa_book.audit.claims import claims
from mccgaa_book.audit.method import (
    of_the_encoder,
    of_the_graph,
    of_the_loss,
    random_pairs,
)
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
            "the counts hold, the labels do not: the table that the literature shares "
            f"is wrong in {chapman.SHARED_WRONG_ROWS:,} rows "
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
    x, q = random_pairs()
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
            "class below 1 %; chapter 11 makes both analyses",
            "5",
            "11",
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
    for name, judge in (("table3", _probe), ("table4", _cam), ("table5", _deeper)):
        for found in results.published(name):
            if found.synthetic is False:
                entries += [judge(found)]
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


def _probe(found: results.Results) -> Claim:
    """What pretraining adds for a linear layer that has all labels."""
    rows = found.frame[found.frame["metric"] == "auroc_100"].assign(metric="auroc")
    at_100 = replace(found, frame=rows)
    both = weigh(at_100, "bipartite", "random", random="the same network, untrained")
    says = "pretraining adds to what a linear layer reads from the encoder"
    return Claim(says, AHEAD[both.ahead], _told(both), "4.4", "9")


def _cam(found: results.Results) -> Claim:
    """What leaving out the channel attention alone did."""
    both = weigh(found, "bipartite", "no-cam", **{"no-cam": "w/o CAM"})
    says = "channel attention improves zero-shot classification"
    return Claim(says, AHEAD[both.ahead], _told(both), "4.5", "10")


def _deeper(found: results.Results) -> Claim:
    """Whether backbones that score lower have overfitted."""
    ends = [
        results.over_seeds(found.frame, ["variant"], metric)["mean"]
        for metric in ("training_loss", "held_out_loss")
    ]
    change = [(end - end["bipartite"]).drop("bipartite") for end in ends]
    overfits = (change[0] < 0) & (change[1] > 0)
    numbers = "; ".join(
        f"{name}: training loss {change[0][name]:+.2f}, held-out {change[1][name]:+.2f}"
        for name in overfits.index
    )
    return Claim(
        "deeper backbones decline by overfitting: they fit the training pairs better",
        True if overfits.all() else None,  # shorter runs refute no longer ones
        "the paper prints no loss; against the ResNet-18, real ECGs, far fewer steps: "
        f"{numbers}",
        "4.6, Table 5",
        "10b",
    )


def _told(both: Weighed) -> str:
    """Write a comparison's numbers after the names of the two."""
    return f"“{both.first}” minus “{both.second}”, {both.ecgs}: {both.numbers}"
