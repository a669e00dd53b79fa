"""A claim holds by its numbers; one that ranks needs its evidence."""

import math

import pandas as pd
import pytest

from mccgaa.config import EncoderConfig, LossConfig, ModelConfig
from mccgaa.errors import BookError
from mccgaa_book import CLAIMS, claims, page, results, rows
from mccgaa_book.results import Results

PROFILE = """
tier: real
title: five records
variants:
  ours: {label: ours}
  clip: {label: CLIP, model: {loss: {kind: clip}}}
  plain: {label: plain, model: {encoder: {cam: none}}}
stores: {pretrain: {dataset: ptbxl, root: data, out: stores/x}}
"""
MODELS = {
    "ours": ModelConfig(),
    "clip": ModelConfig(loss=LossConfig(kind="clip")),
    "plain": ModelConfig(encoder=EncoderConfig(cam="none")),
}


def macro(**values: list[float]) -> pd.DataFrame:
    """Macro AUROC of each variant on one task, one value per seed."""
    listed = [
        (variant, str(seed), "test", "super", "", "auroc", value)
        for variant, several in values.items()
        for seed, value in enumerate(several)
    ]
    names = ["variant", "seed", "split", "task", "class", "metric", "value"]
    return pd.DataFrame(listed, columns=names).assign(low=math.nan, high=math.nan)


OURS = [70.0, 70.1, 70.2, 70.3, 70.4]
NOISE = [0.1, -0.1, 0.2, -0.2, 0.1]  # clip minus ours
CLIP = [a + b for a, b in zip(OURS, NOISE, strict=True)]


def found(tmp_path, monkeypatch, synthetic=False, **values: list[float]) -> Results:
    (tmp_path / "params").mkdir(exist_ok=True)
    (tmp_path / "params" / "five.yaml").write_text(PROFILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    stamp = {"profile": "five", "synthetic": synthetic}
    return Results(macro(**values), stamp, tmp_path / "zeroshot.csv")


def test_the_noise_floor_is_that_of_two_equal_methods_over_their_seeds():
    frame = macro(ours=OURS, clip=CLIP, plain=OURS)
    floor = claims.measured_floor(frame, MODELS).at(5)
    rms = math.sqrt(sum(d**2 for d in NOISE) / 5)
    expected = 2.570582 * rms / math.sqrt(5)  # t of 5 degrees of freedom, 97.5 %
    assert floor["super"] == pytest.approx(expected, rel=1e-4)
    assert floor["mean"] == pytest.approx(floor["super"])


def test_without_two_equal_methods_or_five_seeds_there_is_no_noise_floor():
    four = macro(ours=OURS[:4], clip=CLIP[:4], plain=OURS)
    for frame in (macro(ours=OURS, plain=OURS), four):
        floor = claims.measured_floor(frame, MODELS)
        assert floor.rms.empty and floor.seeds == 0
        row = results.paired(macro(ours=OURS, plain=CLIP), "ours", "plain").loc["mean"]
        assert claims.lacks(row, floor) == "no noise floor"


def test_the_noise_floor_of_a_comparison_is_that_of_its_own_seeds():
    """As `rows.against` has it: five seeds of a pair are no ten of the floor's."""
    frame = macro(ours=OURS * 2, clip=[a + 1 for a in OURS] + OURS, plain=[70.8] * 5)
    floor = claims.measured_floor(frame, MODELS)
    assert floor.seeds == 10 and floor.at(10)["super"] < 0.6 < floor.at(5)["super"]
    row = results.paired(frame, "plain", "ours").loc["super"]
    assert (
        row["seeds"] == 5 and row["low"] > 0 and row["difference"] == pytest.approx(0.6)
    )
    assert claims.ahead(row, floor) == 0
    called = {"plain": "plain", "ours": "ours"}
    told = rows.against(frame, called, "ours", floor).loc[("plain", "super")]
    assert told["beyond it"] == "no" and f"{told['noise floor']:.2f}" in (
        claims.ranking("Plain is ahead.", frame, "plain", "ours", floor).numbers
    )


@pytest.mark.parametrize(
    ("lead", "holds"), [(1.0, True), (0.15, False), (-1.0, False)], ids=str
)
def test_a_ranking_holds_beyond_both_its_interval_and_the_noise_floor(lead, holds):
    plain = [value - lead + 0.01 * (-1) ** i for i, value in enumerate(OURS)]
    frame = macro(ours=OURS, clip=CLIP, plain=plain)
    floor = claims.measured_floor(frame, MODELS)
    made = claims.ranking("Ours is ahead.", frame, "ours", "plain", floor)
    assert made.holds is holds
    assert "over 5 seeds" in made.numbers and "noise floor 0.17" in made.numbers


def test_a_difference_that_varies_from_seed_to_seed_is_no_ranking(
    tmp_path, monkeypatch
):
    """One point on average, far beyond the noise floor, with an interval around 0."""
    leads = (4.0, -2.0, 3.0, -1.0, 1.0)
    plain = [value - lead for value, lead in zip(OURS, leads, strict=True)]
    both = {"ours": OURS, "plain": plain, "clip": CLIP}
    frame = macro(**both)
    floor = claims.measured_floor(frame, MODELS)
    assert floor.at(5)["super"] < 0.2
    made = claims.ranking("Ours is ahead.", frame, "ours", "plain", floor)
    assert made.holds is False and "+1.00 points" in made.numbers
    made = found(tmp_path, monkeypatch, **both)
    for pair in (("ours", "plain"), ("plain", "ours")):
        assert "cannot be told apart" in claims.compare(made, *pair).sentence


@pytest.mark.parametrize(
    ("seeds", "clip", "lacking"),
    [(4, True, "a pair of 4 seeds"), (5, False, "no noise floor")],
)
def test_a_ranking_without_its_evidence_refuses_to_be_written(seeds, clip, lacking):
    values = {"ours": OURS[:seeds], "plain": [60.0] * seeds}
    frame = macro(**values, **({"clip": CLIP} if clip else {}))
    floor = claims.measured_floor(frame, MODELS)
    with pytest.raises(BookError, match=f"'Ours is ahead.' ranks .* {lacking}"):
        claims.ranking("Ours is ahead.", frame, "ours", "plain", floor)


@pytest.mark.parametrize(
    ("lead", "seeds", "says"),
    [
        (2.0, 5, "“ours” is ahead of “plain” by 2.0 points"),
        (-2.0, 5, "“ours” is behind “plain” by 2.0 points"),
        (0.1, 5, "“ours” and “plain” cannot be told apart."),
        (2.0, 4, "“ours” and “plain” are listed and not ranked."),
    ],
)
def test_a_comparison_is_written_as_far_as_its_evidence_goes(
    lead, seeds, says, tmp_path, monkeypatch
):
    plain = [value - lead + 0.01 * (-1) ** i for i, value in enumerate(OURS)]
    both = {"ours": OURS[:seeds], "plain": plain[:seeds], "clip": CLIP[:seeds]}
    made = claims.compare(found(tmp_path, monkeypatch, **both), "ours", "plain")
    assert made.sentence.startswith(f"On real ECGs, {says}")
    assert made.holds is True
    twin = found(tmp_path, monkeypatch, synthetic=True, **both)
    assert claims.compare(twin, "ours", "plain").sentence.startswith("On simulated")


def test_a_claim_is_a_whole_sentence_and_takes_any_kind_of_truth():
    import numpy as np

    assert claims.claim("Two is two.", np.bool_(True)).holds is True
    assert claims.claim("Nobody knows.", None).verdict == "cannot be decided"
    with pytest.raises(BookError, match="does not end with a full stop"):
        claims.claim("two is two", True)


def test_shown_claims_are_kept_for_the_press_and_say_what_does_not_hold(monkeypatch):
    said = []
    monkeypatch.setattr(page, "display", lambda *args: said.append(args))
    claims.show(
        claims.claim("Two < three.", True, "2 & 3"), claims.claim("It rains.", False)
    )
    (shown, metadata), *_ = said
    assert [one["holds"] for one in metadata[CLAIMS]] == [True, False]
    first, second = shown["text/html"].split("</li>")[:2]
    assert "Two &lt; three. <small>(2 &amp; 3)</small>" in first
    assert "does not hold here" in second and "does not hold" not in first


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (
            [60.0, 60.2, 60.1, 60.3, 60.2],
            "“ours” loses less than “plain” by 10.0 points",
        ),
        (
            [80.0, 80.2, 80.1, 80.3, 80.2],
            "“ours” loses more than “plain” by 10.0 points",
        ),
        (OURS, "the cost of “ours” and “plain” cannot be told apart."),
        (OURS[:2], "the cost of “ours” and “plain” is listed and not ranked."),
    ],
)
def test_what_is_compared_can_be_named(tmp_path, monkeypatch, plain, says):
    n = len(plain)
    values = {"ours": OURS[:n], "clip": CLIP[:n], "plain": plain}
    one = claims.compare(
        found(tmp_path, monkeypatch, **values),
        "ours",
        "plain",
        where="at 6 dB",
        more="loses less than",
        less="loses more than",
        of="the cost",
    )
    assert one.sentence.startswith("On real ECGs, at 6 dB, ") and says in one.sentence
    assert one.holds


def test_a_row_that_is_no_variant_is_called_what_it_is(tmp_path, monkeypatch):
    values = {"ours": OURS, "clip": CLIP, "random": [50.0, 50.2, 50.1, 50.3, 50.2]}
    results = found(tmp_path, monkeypatch, **values)
    one = claims.compare(results, "ours", "random", random="the same, untrained")
    assert "“ours” is ahead of “the same, untrained” by 20.0 points" in one.sentence


def test_a_comparison_may_bring_the_noise_floor_that_its_results_lack(
    tmp_path, monkeypatch
):
    plain = [value - 1.0 + 0.01 * (-1) ** i for i, value in enumerate(OURS)]
    made = found(tmp_path, monkeypatch, ours=OURS, plain=plain)
    assert "listed and not ranked" in claims.compare(made, "ours", "plain").sentence
    floor = claims.measured_floor(macro(ours=OURS, clip=CLIP), MODELS)
    told = claims.compare(made, "ours", "plain", floor=floor)
    assert "is ahead of" in told.sentence and "noise floor 0.17" in told.numbers
