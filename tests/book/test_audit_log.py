"""The log judges each claim of the paper by what it computes."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mccgaa.config import METHOD
from mccgaa_book import results
from mccgaa_book.audit import encoder, leak, method
from mccgaa_book.audit import log as audit
from mccgaa_book.claims import Claim

CHAPTERS = {*"12345679", "10", "10b", "11"}  # what a printed claim may be treated in


@pytest.fixture(scope="module")
def log():
    return audit.log()


def verdicts(entries: list[Claim]) -> dict[str, str]:
    return {one.sentence: one.verdict for one in entries}


def test_every_entry_says_where_what_and_by_which_numbers(log):
    assert len(log) == 7
    entries = [one for part in log.values() for one in part]
    assert len({one.sentence for one in entries}) == len(entries) > 50
    for one in entries:
        assert one.where and one.numbers and one.chapter in CHAPTERS, one.sentence
    assert {one.verdict for one in entries} == {
        "confirmed",
        "contradicted",
        "cannot be decided",
    }


def test_the_method_is_judged_as_the_notes_have_it(log):
    told = verdicts(log["The encoder (section 3.2)"])
    assert told["the gate maps to the range [0, 1]"] == "contradicted"
    told = verdicts(log["The graph (section 3.3)"])
    aligned = "a falling loss shows that ECGs and texts are being aligned"
    assert told[aligned] == "contradicted"
    fair = "a graph of ECGs and texts can be read without knowing who belongs to whom"
    assert told[fair] == "confirmed"
    told = verdicts(log["The loss (section 3.4)"])
    assert told["log-sum-exp is computed without overflow"] == "confirmed"
    assert told["log-sum-exp is another loss than CLIP's"] == "contradicted"
    assert told["the loss is symmetric, in both directions"] == "contradicted"


def test_a_verdict_follows_what_is_computed(monkeypatch):
    whole = pd.DataFrame({"double sigmoid": [0.0, 1.0]})
    monkeypatch.setattr(encoder, "gate_table", lambda scores: whole)
    assert method.of_the_encoder()[0].verdict == "confirmed"
    tight = pd.DataFrame({"fused": [0.02], "backbone": [0.02], "chance": [1 / 64]})
    monkeypatch.setattr(leak, "built_by_hand", lambda thresholds: tight)
    aligned = "a falling loss shows that ECGs and texts are being aligned"
    assert verdicts(method.of_the_graph())[aligned] == "confirmed"


def published(root, fused: float, loss: float) -> None:
    """Publish retrieval and loss of runs on real ECGs, and their zero-shot means."""
    names = ["variant", "seed", "split", "task", "class", "metric", "value"]
    retrieval = {
        "ecg_to_text_r5": (0.3, 0.5),
        "fused_ecg_to_text_r5": (fused, 0.4),
        "final_loss": (loss, 5.0),
        "loss_floor": (3.0, 3.0),
    }
    rows = [
        (variant, "0", "val", "", "", metric, value)
        for metric, two in retrieval.items()
        for variant, value in zip(("pair", "bipartite"), two, strict=True)
    ]
    stamp = dict.fromkeys(results.STAMP, "") | {"profile": "five", "method": METHOD}
    stamp |= {"synthetic": False}
    folder = root / "results" / "five"
    results.save(pd.DataFrame(rows, columns=names), stamp, "pretraining", folder)
    scores = {"pair": 70.0, "bipartite": 72.0, "clip": 72.1}
    rows = [
        (variant, str(seed), "test", "super", "", "auroc", value + 0.1 * seed)
        for variant, value in scores.items()
        for seed in range(5)
    ]
    results.save(pd.DataFrame(rows, columns=names), stamp, "zeroshot", folder)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").write_text("", encoding="utf-8")
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "five.yaml").write_text(
        """
tier: real
variants:
  bipartite: {label: bipartite, model: {gafa: {graph: bipartite}}}
  pair: {label: pair, model: {gafa: {graph: pair}}}
  clip: {label: clip, model: {gafa: {graph: bipartite}, loss: {kind: clip}}}
""",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("fused", "loss", "told"),
    [
        (0.4, 5.0, ["contradicted", "cannot be decided"]),
        (0.2, 2.0, ["confirmed", "contradicted"]),
    ],
)
def test_the_leak_is_told_as_far_as_published_runs_show_it(fused, loss, told, checkout):
    published(checkout, fused, loss)
    leaks = audit.on_real_ecgs()[:2]
    assert [one.verdict for one in leaks] == told
    assert f"{fused:.2f} fused" in leaks[0].numbers and "seeds: 1" in leaks[0].numbers


def test_components_are_judged_by_rankings_and_only_those_measured(checkout):
    published(checkout, 0.4, 5.0)
    told = verdicts(audit.on_real_ecgs()[2:])
    assert told == {
        "pair nodes do no harm beside bipartite ones": "contradicted",
        "log-sum-exp improves on the CLIP loss": "cannot be decided",
    }


def test_without_results_on_real_ecgs_nothing_is_said_of_them(checkout):
    assert audit.on_real_ecgs() == []
    published(checkout, 0.4, 5.0)
    for path in (checkout / "results" / "five").glob("*.json"):
        stamp = json.loads(path.read_text(encoding="utf-8")) | {"synthetic": True}
        path.write_text(json.dumps(stamp), encoding="utf-8")
    assert audit.on_real_ecgs() == []


ROOT = Path(__file__).resolve().parents[2]


def kept(name):
    return results.load(name, "real", ROOT / "results" / "real")


def test_a_backbone_that_overfits_fits_the_training_pairs_better(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = kept("table5")
    assert audit._deeper(found).verdict == "cannot be decided"
    full = found.frame["variant"] == "bipartite"
    of = found.frame["metric"]

    def with_(training, held_out):
        value = found.frame["value"].copy()
        value[full & (of == "training_loss")] = training
        value[full & (of == "held_out_loss")] = held_out
        return audit._deeper(replace(found, frame=found.frame.assign(value=value)))

    assert with_(9.0, 1.0).verdict == "confirmed"
    assert with_(9.0, 9.0).verdict == "cannot be decided"  # better on both
    assert with_(6.5, 1.0).verdict == "cannot be decided"  # some fit better


def test_the_probe_is_judged_with_all_labels_against_an_untrained_network(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = kept("table3")
    told = audit._probe(found)
    assert told.verdict == "confirmed" and "untrained" in told.numbers
    turned = {"bipartite": "random", "random": "bipartite"}
    frame = found.frame.assign(variant=found.frame["variant"].replace(turned))
    assert audit._probe(replace(found, frame=frame)).verdict != "confirmed"


def test_the_channel_attention_is_judged_by_leaving_it_out_alone(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = kept("table4")
    told = audit._cam(found)
    assert told.verdict == "cannot be decided" and "w/o CAM" in told.numbers
    without = found.frame["variant"] == "no-cam"
    for shift, verdict in ((-30.0, "confirmed"), (30.0, "contradicted")):
        value = found.frame["value"].where(~without, found.frame["value"] + shift)
        shifted = replace(found, frame=found.frame.assign(value=value))
        assert audit._cam(shifted).verdict == verdict
