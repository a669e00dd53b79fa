"""A rerun beside published results: what differs, by how much, and which verdicts."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from mccgaa.config import EncoderConfig, LossConfig, ModelConfig
from mccgaa.errors import BookError
from mccgaa_book import claims, compare, results

STAMP = dict.fromkeys(results.STAMP, "") | {"synthetic": True, "profile": "five"}
STAMP |= {"profile_hash": "h", "method": 1, "device": "here"}


def frame(
    split: str = "test", task: str = "super", **values: dict[int, float]
) -> pd.DataFrame:
    """Macro AUROC of each variant, by seed."""
    rows = [
        (variant, str(seed), split, task, "", "auroc", value)
        for variant, by_seed in values.items()
        for seed, value in by_seed.items()
    ]
    return pd.DataFrame(rows, columns=[*results.COLUMNS, "value"])


PUBLISHED = frame(
    a={0: 70.0, 1: 72.0, 2: 74.0}, b={0: 60.0, 1: 62.5, 2: 63.5}, c={0: 70.5}
)


def test_a_number_is_compared_with_that_of_its_own_run_in_spreads_over_seeds():
    ours = frame(a={0: 73.0, 2: 73.0}, b={1: 62.5}, d={0: 1.0})
    found = compare.differences(ours, PUBLISHED).set_index(["variant", "seed"])
    assert set(found.index) == {("a", "0"), ("a", "2"), ("b", "1")}
    assert found["published"].to_dict() == {
        ("a", "0"): 70.0,
        ("a", "2"): 74.0,
        ("b", "1"): 62.5,
    }
    assert found["difference"].tolist() == [3.0, -1.0, 0.0]  # ours minus published
    assert found["spreads"].tolist() == [1.5, -0.5, 0.0]  # the deviation is 2


def test_a_seed_is_compared_with_a_mean_where_only_that_was_kept():
    kept = frame(a={"mean of 3": 70.0}, b={"mean of 3": 60.0})
    spread = kept.assign(metric="auroc_sd", value=[0.5, 4.0])
    several = pd.concat([kept, spread, frame(c={0: 1.0, 1: 3.0})])
    found = compare.differences(frame(a={4: 71.0}, b={4: 62.0}, c={0: 1.0}), several)
    found = found.set_index("variant")[["published", "difference", "spreads"]]
    assert found.loc["a"].tolist() == [70.0, 1.0, 2.0]
    assert found.loc["b"].tolist() == [60.0, 2.0, 0.5]
    assert found.loc["c"].tolist() == [1.0, 0.0, 0.0]
    one = compare.differences(frame(c={0: 71.0}), PUBLISHED)
    assert one["difference"].item() == 0.5 and math.isnan(one["spreads"].item())


def seeds(*values: float) -> dict[int, float]:
    """One value per seed."""
    return dict(enumerate(values))


A = seeds(70.0, 70.1, 70.2, 70.3, 70.4)
CLIP = seeds(70.1, 70.0, 70.4, 70.1, 70.5)  # the same mathematics as `a`: noise
B = seeds(60.0, 60.2, 60.1, 60.3, 60.5)
NEAR = seeds(70.05, 70.1, 70.25, 70.3, 70.45)  # as `b`, within the noise of `a`
MODELS = {
    "a": ModelConfig(),
    "clip": ModelConfig(loss=LossConfig(kind="clip")),
    "b": ModelConfig(encoder=EncoderConfig(cam="none")),
}


def judged(**values: dict[int, float]) -> pd.DataFrame:
    found = frame(**values)
    return compare.verdicts(found, claims.measured_floor(found, MODELS))


def test_a_verdict_takes_five_seeds_an_interval_and_the_noise_floor():
    found = judged(a=A, clip=CLIP, b=B)
    assert found.loc[("a", "b", "super"), "ahead"] == "a"
    assert found.loc[("clip", "b", "mean"), "ahead"] == "clip"
    assert found.loc[("a", "clip", "super"), "ahead"] == compare.NEITHER
    assert found["seeds"].eq(5).all()
    assert judged(b=B, a=A, clip=CLIP).loc[("b", "a", "super"), "ahead"] == "a"
    close = {s: value + 0.1 + 0.01 * s for s, value in A.items()}  # a sure 0.12
    assert results.paired(frame(a=A, b=close), "b", "a")["low"].gt(0).all()
    found = judged(a=A, clip=CLIP, b=close)
    assert found.loc[("a", "b", "super"), "ahead"] == compare.NEITHER  # but noise
    four = {s: value for s, value in B.items() if s < 4}
    assert judged(a=A, clip=CLIP, b=four).loc[("a", "b", "super"), "ahead"] is None
    assert judged(a=A, b=B).loc[("a", "b", "super"), "ahead"] is None  # no floor
    val = frame("val", a=A, b=B)
    classes = frame(a=A, b=B).assign(**{"class": "NORM"})
    nothing = pd.concat([val, classes])
    assert compare.verdicts(nothing, claims.measured_floor(nothing, MODELS)).empty


@pytest.fixture
def report(tmp_path, monkeypatch):
    """`report(ours, ...)`: what is said of a rerun of an experiment."""
    monkeypatch.setattr(compare, "checkout", lambda: tmp_path)
    monkeypatch.setattr(results, "checkout", lambda: tmp_path)
    profile = SimpleNamespace(load=lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(compare, "Profile", profile)

    def write(folder: Path, rows: pd.DataFrame, name: str, **stamp: object) -> None:
        results.save(rows, STAMP | stamp, name, folder)

    monkeypatch.setattr(claims, "models_of", lambda profile: MODELS)

    def made(
        ours: pd.DataFrame,
        name: str = "zeroshot",
        published: pd.DataFrame = PUBLISHED,
        **stamp: object,
    ) -> str:
        write(tmp_path / "results" / "five", published, "zeroshot", device="there")
        write(tmp_path / "reruns" / "five", ours, name, **stamp)
        return compare.compare("five")

    return made


def test_a_rerun_with_other_settings_is_not_compared(report):
    for key in ("profile_hash", "method", "plan"):
        said = report(PUBLISHED, **{key: 9})
        assert f"NOT COMPARABLE: {key} is 9, published" in said
        assert "numbers beside" not in said


def test_the_report_lists_numbers_runs_that_are_missing_and_verdicts_that_hold(report):
    said = report(frame(a={0: 71.0, 1: 72.0}, b={0: 60.0, 1: 62.0}))
    assert "zeroshot: made on here, published from there" in said
    assert "4 numbers beside published ones; 4 with a known spread" in said
    assert "a 0 test super auroc: 71, published 70, +1 (+0.5 spreads)" in said
    assert "published, not rerun: a 2, b 2, c 0" in said
    assert "too few seeds for a verdict: 2 of 2 comparisons" in said  # with the mean


def test_the_report_names_a_verdict_that_turned_and_one_that_became_uncertain(report):
    published = frame(a=A, clip=CLIP, b=B)
    said = report(published, published=published)
    assert "all 6 verdicts hold" in said and "CHANGED" not in said  # with the mean
    lower = {s: value - 20 for s, value in A.items()}
    clip = {s: value - 20 for s, value in CLIP.items()}
    said = report(frame(a=lower, clip=clip, b=B), published=published)
    assert "VERDICT CHANGED, a or b on super: b ahead by 10.02 (5 seeds); " in said
    assert "published: a ahead by 9.98 (5 seeds)" in said
    assert "a or clip" not in said and "verdicts hold" not in said
    said = report(frame(a=A, clip=CLIP, b=NEAR), published=published)
    assert "a or b on mean: 0.03 apart, which may be noise (5 seeds); publ" in said
    said = report(frame(a=A, b=B), published=published)
    assert "no noise floor to judge 2 further comparisons by" in said


def test_a_rerun_of_one_seed_or_of_a_few_changes_no_verdict(report):
    """Not even one that is as it was published, and on another side of the mean."""
    published = frame(a=A, clip=CLIP, b=NEAR)
    for rerun in (
        frame(a={0: 70.0}, b={0: 70.05}),
        frame(a={0: 10.0}, b={0: 90.0}),
        frame(a={0: 10.0, 1: 11.0}, b={0: 90.0, 1: 91.0}),
    ):
        said = report(rerun, published=published)
        assert "CHANGED" not in said and "verdicts hold" not in said
        assert "too few seeds for a verdict: 2 of 2 comparisons" in said
    alone = report(frame(a={0: 70.0}), published=published)  # no two to compare
    both = report(frame(a={0: 70.0}), published=frame(a=A))
    for said in (alone, both):
        assert "numbers beside" in said and "verdict" not in said
    few = report(published, published=frame(a={0: 70.0}, b={0: 60.0}))
    assert "CHANGED" not in few and "too few seeds for a verdict: 2 of 2" in few
    far = report(frame(a={0: 77.0}, b={0: 60.0}))
    assert "1 of them more than 3 spreads away" in far


def test_what_was_never_published_and_where_nothing_was_rerun_is_said(report, tmp_path):
    said = report(PUBLISHED, "table4")
    assert "table4: nothing is published to compare it with." in said
    with pytest.raises(BookError, match="Nothing is published of six"):
        compare.compare("six")
    for name in ("external", "climb", "zeroshot"):  # the first is no experiment
        (tmp_path / "results" / "six").mkdir(exist_ok=True)
        (tmp_path / "results" / "six" / f"{name}.csv").touch()
        if name != "external":
            said = f"holds no results .*run {name} --profile six"
            with pytest.raises(BookError, match=said):
                compare.compare("six")
