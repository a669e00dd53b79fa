"""The findings of the first page: made from results, and honest about seeds."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mccgaa.errors import BookError
from mccgaa.loss import alignment_loss
from mccgaa_book import results
from mccgaa_book.audit import chapman
from mccgaa_book.press import findings, readme

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "results"


@pytest.mark.parametrize(
    ("page", "prefix"), [("README.md", "book/"), ("book/intro.md", "")]
)
def test_both_first_pages_show_the_findings_to_the_letter(page, prefix, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert findings.write(FOLDER, prefix) in (ROOT / page).read_text("utf-8"), (
        f"{page} is older than results/: run `mccgaa book readme`"
    )


def test_there_are_eight_each_in_one_sentence_with_a_page_that_exists(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = findings.findings(FOLDER)
    assert len(found) == 8
    for one in found:
        assert not one.sentence.endswith(".") and ". " not in one.sentence
        assert one.shown
        for page in one.shown.values():
            assert (ROOT / "book" / page).is_file()


def rerun(seeds: int, shift: float, floor: bool = True) -> str:
    """The first finding, if the method were ahead by `shift` on that many seeds."""
    kept = results.load("zeroshot", "real", FOLDER / "real")
    frame = kept.frame
    one = frame[(frame["class"] == "") & (frame["split"] == "test")]
    one = one[(one["seed"] == "0") & (one["variant"] == "merl")]
    parts = []
    for seed in range(seeds):
        near = 0.1 * (-1) ** seed
        means = {"merl": 70.0, "bipartite": 70 + shift + near, "clip": 70 + shift}
        for variant, mean in means.items():
            if floor or variant != "clip":
                made = {"variant": variant, "seed": str(seed), "value": mean}
                parts.append(one.assign(**made))
    return findings._rerun(replace(kept, frame=pd.concat(parts))).sentence


def test_few_seeds_rank_nothing(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "two seeds are too few to rank" in rerun(2, 5.0)
    assert "95 %" not in rerun(4, 5.0)
    assert "no noise floor" in rerun(5, 5.0, floor=False)


def test_five_seeds_say_whether_there_is_a_difference(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "over five seeds the two cannot be told apart" in rerun(5, 0.0)
    assert "more than noise (+5.0" in rerun(5, 5.0)


def test_a_finding_that_compares_refuses_few_seeds():
    kept = results.load("beyond", "plus-real", FOLDER / "plus-real")
    few = kept.frame[kept.frame["seed"].isin(["0", "1"])]
    with pytest.raises(BookError, match="2 seeds, and it takes 5"):
        findings._started(replace(kept, frame=few))


def test_a_finding_that_says_better_refuses_a_difference_that_may_be_none():
    kept = results.load("beyond", "plus-real", FOLDER / "plus-real")
    turned = {"started": "statements", "statements": "started"}
    frame = kept.frame.assign(variant=kept.frame["variant"].replace(turned))
    with pytest.raises(
        BookError, match=r"better than another, and it is not: -7\.1 po"
    ):
        findings._started(replace(kept, frame=frame))


def test_deeper_backbones_must_fit_worse_in_every_seed():
    kept = results.load("table5", "real", FOLDER / "real")
    assert "ahead of the ResNet-101" in findings._deeper(kept).sentence
    one = (kept.frame["variant"] == "resnet34") & (kept.frame["seed"] == "3")
    one &= kept.frame["metric"] == "training_loss"
    frame = kept.frame.assign(value=kept.frame["value"].where(~one, 0.1))
    with pytest.raises(BookError, match="higher training loss in every seed"):
        findings._deeper(replace(kept, frame=frame))


def test_a_probe_of_all_labels_is_the_one_that_the_finding_tells():
    kept = results.load("table3", "real", FOLDER / "real")
    said = findings._untrained(kept).sentence
    rows = kept.frame[kept.frame["metric"] == "auroc_100"]
    means = rows.groupby("variant")["value"].mean()
    assert f"{means['random']:.1f} ±" in said and f"{means['bipartite']:.1f} ±" in said


def test_the_log_sum_exp_loss_is_the_clip_loss_times_two():
    torch.manual_seed(0)
    x, q = torch.randn(2, 6, 4, dtype=torch.float64)
    both = [alignment_loss(x, q, 0.07, kind=kind) for kind in ("symmetric", "clip")]
    assert both[0].item() == pytest.approx(2 * both[1].item(), rel=1e-12)


def test_the_shared_table_is_wrong_as_often_as_said(monkeypatch):
    monkeypatch.chdir(ROOT)
    share = 100 * chapman.SHARED_WRONG_ROWS / chapman.SHARED_ROWS
    assert f"{share:.1f} %" in findings._paper().sentence


def test_a_page_without_the_log_is_a_readable_error(tmp_path):
    page = tmp_path / "A3_audit.ipynb"
    page.write_text('{"cells": [{"outputs": []}]}')
    with pytest.raises(BookError, match="shows no table audit-log"):
        findings.contradicted(page)


def test_verdicts_are_counted_over_all_parts_of_the_log(tmp_path):
    rows = "<td>confirmed</td><td class='x'>contradicted</td><td>cannot be decided</td>"
    parts = [f'<figure id="table-audit-log-{part}">{rows}' for part in "ab"]
    cells = [{"outputs": [{"data": {"text/html": [html]}}]} for html in [*parts, rows]]
    page = tmp_path / "A3_audit.ipynb"
    page.write_text(json.dumps({"cells": cells}))
    assert findings.contradicted(page) == (2, 6)


def test_findings_and_results_have_marks_of_their_own():
    page = "a\n<!-- findings -->\nold\n<!-- /findings -->\nb"
    with pytest.raises(BookError, match="lacks <!-- results -->"):
        readme.filled(page, "new")
    filled = readme.filled(page, "new", mark=readme.FINDINGS)
    assert filled == "a\n<!-- findings -->\nnew\n<!-- /findings -->\nb"
