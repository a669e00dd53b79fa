"""Numbers typed on the first page, in the README and in cards are those of results/."""

import re
from pathlib import Path

import pandas as pd
import pytest

from mccgaa.model import SHIPPED
from mccgaa.ready.card import SIMULATOR
from mccgaa_book import paper, results
from mccgaa_book.audit import tables
from mccgaa_book.speed import on_one_gpu

ROOT = Path(__file__).resolve().parents[2]
PROSE = [ROOT / "README.md", ROOT / "book" / "intro.md"]


def transfer(variant: str) -> float:
    """Mean over tasks on fold 10, of models that saw simulated ECGs only."""
    frame = results.load("transfer", "synthetic").frame
    way = (frame["trained_on"] == "synthetic") & (frame["tested_on"] == "real")
    rows = results.with_task_mean(frame[way & (frame["split"] == "test")])
    return results.over_seeds(rows).loc[(variant, "mean"), "mean"]


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_the_transfer_named_in_prose_is_that_of_fold_10(path):
    prose = re.sub(
        r"<!-- results -->.*<!-- /results -->", "", path.read_text("utf-8"), flags=re.S
    )
    for variant in ("bipartite", "merl"):
        assert f"{transfer(variant):.1f}" in prose, variant
    assert "folds 1" in prose and "old 10" in prose


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_what_was_new_at_the_test_is_said_with_its_numbers(path):
    prose = " ".join(path.read_text("utf-8").split())
    found = re.search(r"(\d+) of the (\d+) class texts occur", prose)
    assert found, "nothing says how many class texts pretraining had"
    frame = results.load("zeroshot", "real").frame
    classes = frame[(frame["metric"] == "positives") & (frame["split"] == "all")]
    assert int(found[2]) == len(classes)


def test_the_runs_of_the_pair_graph_stay_above_the_floor_as_the_readme_says():
    for tier in ("real", "synthetic"):
        frame = results.load("pretraining", tier).frame
        pair = frame[frame["variant"] == "pair"]
        both = pd.pivot_table(pair, "value", ["seed", "split"], "metric")
        assert (both["final_loss"] > both["loss_floor"]).all()


def test_other_hospitals_are_named_with_the_numbers_of_both_shipped_models():
    prose = " ".join(PROSE[0].read_text("utf-8").split())
    found = re.search(
        r"macro AUROC of (\S+) and the second (\S+), and for atrial fibrillation (\S+) "
        r"and (\S+);",
        prose,
    )
    said = []
    for metric in ("", "AF"):
        for name in ("plus-ready", "plus"):
            rows = results.load("external", name).frame
            rows = rows[(rows["task"] == "challenge") & (rows["class"] == metric)]
            rows = rows[rows["metric"] == "auroc_members-mean"]
            said.append(f"{rows['value'].item():.1f}")
    assert [*found.groups()] == said


@pytest.mark.parametrize(
    ("model", "profile"), [("mccgaa-plus", "plus-ready"), ("mccgaa-plus-twin", "plus")]
)
def test_a_shipped_card_has_the_score_on_other_hospitals_and_its_simulators_source(
    model, profile
):
    card = (SHIPPED / model / "README.md").read_text("utf-8")
    rows = results.load("external", profile).frame
    whole = rows[(rows["task"] == "challenge") & (rows["class"] == "")]
    whole = whole.set_index("metric")
    score = whole.loc["auroc_members-mean"]
    said = (
        f"On {whole.loc['records', 'value']:.0f} real records of other hospitals",
        f"{score['value']:.1f} [{score['low']:.1f}, {score['high']:.1f}] over "
        f"{whole.loc['classes', 'value']:.0f} of the 26 classes",
        "looked at twice",
        f".\n\n{SIMULATOR}\n\nEncoder",  # as a model that is exported now has it
    )
    for words in said:
        assert words in card, words


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_what_disturbances_cost_is_said_as_measured(path):
    prose = " ".join(path.read_text("utf-8").split())
    said = re.search(r"motion.* costs (\d) to (\d), .* limb (\d+) to (\d+)\.", prose)
    assert "less than one point" in prose and said
    rows = results.with_task_mean(results.load("robustness", "real").frame)
    means = rows[rows["task"] == "mean"].groupby(["metric", "variant"])["value"].mean()
    cost = (means["auroc clean"] - means).unstack().rename(lambda m: m[len("auroc ") :])
    filtered = cost.filter(regex="^(wander|muscle|mains) ", axis="index")
    motion, cable = cost.loc["motion 0 dB"], cost.filter(regex="swapped RA", axis=0)
    assert len(filtered) == 12 and filtered.to_numpy().max() < 1
    ends = [motion.min(), motion.max(), cable.to_numpy().min(), cable.to_numpy().max()]
    assert [int(number) for number in said.groups()] == [round(end) for end in ends]


def test_the_papers_scale_is_said_in_numbers_of_ours():
    text = (PROSE[0].read_text("utf-8"), PROSE[1].read_text("utf-8"))
    readme, intro = (" ".join(page.split()) for page in text)
    minutes = on_one_gpu()["minutes"].iloc[-1]
    assert f"of MIMIC-IV-ECG in {minutes:.0f} minutes, with 512 pairs a step" in readme
    pairs = paper.table(1).loc["MIMIC-ECG", "Samples"]
    assert f"{pairs:,} pairs" in intro and "four hundred times larger" in intro
    assert 400 <= pairs / 1786 < 450  # records of folds 1 to 8
    means = tables.field()["mean"]
    others = means[[name for name in means.index if not name.startswith("TAMER")]]
    assert "lie within three points of it" in intro
    assert (others - means["MCCGAA (2026)"]).abs().max() < 3
