"""Results are tidy files with a stamp; nothing half-labelled is ever written."""

from __future__ import annotations

import html
import itertools
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from mccgaa.config import METHOD
from mccgaa.errors import BookError
from mccgaa.profile import Profile
from mccgaa_book import results
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.plan import plan_hashes
from mccgaa_book.checkout import checkout
from mccgaa_book.experiments import OTHERS
from mccgaa_book.probed import RANDOM

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = sorted((ROOT / "results").glob("*/*.csv"))
STAMP = dict.fromkeys(results.STAMP, "") | {"synthetic": True, "method": 1}


def rows(*cells: tuple) -> pd.DataFrame:
    names = ("variant", "seed", "task", "metric", "value")
    frame = pd.DataFrame(cells, columns=names)
    return frame.assign(split="test", **{"class": ""})


RAW = rows(
    ("a", "0", "sub", "auroc", 70.0),
    ("a", "1", "sub", "auroc", 72.0),
    ("a", "0", "form", "auroc", 60.0),
    ("a", "1", "form", "auroc", 64.0),
    ("b", "0", "sub", "auroc", 50.0),
    ("c", "mean of 3", "sub", "auroc", 75.5),
    ("c", "mean of 3", "sub", "auroc_sd", 0.5),
)


def test_what_is_saved_is_loaded_with_its_stamp(tmp_path):
    path = results.save(RAW, STAMP, "zeroshot", tmp_path)
    found = results.load("zeroshot", "synthetic", tmp_path)
    assert found.synthetic is True and found.path == path
    assert list(found.frame) == results.COLUMNS + results.NUMBERS
    assert found.frame["value"].tolist() == RAW["value"].tolist()
    assert found.frame["seed"].tolist()[:2] == ["0", "1"]
    assert found.frame["low"].isna().all() and set(found.frame["class"]) == {""}


def test_over_seeds_gives_mean_spread_and_number_and_takes_means_as_they_are():
    found = results.over_seeds(RAW)
    assert found.loc[("a", "sub")].tolist() == pytest.approx([71.0, 2**0.5, 2])
    assert found.loc[("b", "sub"), "seeds"] == 1
    assert pd.isna(found.loc[("b", "sub"), "sd"])
    assert found.loc[("c", "sub")].tolist() == [75.5, 0.5, 3]


def test_the_mean_over_tasks_is_taken_seed_by_seed():
    found = results.over_seeds(results.with_task_mean(RAW))
    assert found.loc[("a", "mean")].tolist() == pytest.approx([66.5, 4.5**0.5, 2])
    again = results.with_task_mean(results.with_task_mean(RAW))
    assert not again.duplicated().any()


def test_spreads_over_seeds_have_no_mean_over_tasks():
    frame = RAW[RAW["variant"] == "c"]
    found = results.with_task_mean(frame).query("task == 'mean'")
    assert found[["metric", "value"]].to_numpy().tolist() == [["auroc", 75.5]]


def test_results_of_both_kinds_must_say_so_in_each_row(tmp_path):
    mixed = STAMP | {"synthetic": "mixed"}
    with pytest.raises(BookError, match="lack trained_on, tested_on"):
        results.save(RAW, mixed, "transfer", tmp_path)
    both = RAW.assign(trained_on="synthetic", tested_on="real")
    results.save(both, mixed, "transfer", tmp_path)
    found = results.load("transfer", "synthetic", tmp_path)
    assert set(found.frame["tested_on"]) == {"real"}


def test_a_stray_column_a_lacking_key_and_a_number_given_twice_are_refused(tmp_path):
    with pytest.raises(BookError, match="and have label too much"):
        results.save(RAW.assign(label="A"), STAMP, "zeroshot", tmp_path)
    with pytest.raises(BookError, match="lack device"):
        short = {k: v for k, v in STAMP.items() if k != "device"}
        results.save(RAW, short, "zeroshot", tmp_path)
    with pytest.raises(BookError, match="the same number twice: b, 0, test, sub"):
        results.save(pd.concat([RAW, RAW.iloc[[4]]]), STAMP, "zeroshot", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_absent_and_damaged_results_are_readable_errors(tmp_path):
    with pytest.raises(BookError, match="make it with `mccgaa run zeroshot`"):
        results.load("zeroshot", "synthetic", tmp_path)
    path = results.save(RAW, STAMP, "zeroshot", tmp_path)
    whole = path.read_text(encoding="utf-8")
    words = pd.read_csv(path, dtype=str).assign(value="much")
    words.to_csv(path, index=False)
    with pytest.raises(BookError, match=r"zeroshot\.csv has a value that is no number"):
        results.load("zeroshot", "synthetic", tmp_path)
    path.write_text(whole.replace("70", "79", 1), encoding="utf-8")
    with pytest.raises(BookError, match="its stamp has another checksum"):
        results.load("zeroshot", "synthetic", tmp_path)
    path.write_text(whole, encoding="utf-8")
    path.with_suffix(".json").write_text("{", encoding="utf-8")
    with pytest.raises(BookError, match="is damaged"):
        results.load("zeroshot", "synthetic", tmp_path)


def test_variants_are_compared_seed_by_seed_and_means_without_an_interval():
    frame = rows(
        *[("a", str(i), "sub", "auroc", v) for i, v in enumerate((70, 72, 77))],
        *[("b", str(i), "sub", "auroc", v) for i, v in enumerate((69, 73, 73))],
        ("c", "mean of 3", "sub", "auroc", 60.0),
        ("c", "mean of 3", "sub", "auroc_sd", 1.0),
    )
    found = results.paired(frame, "a", "b").loc["sub"]  # differences 1, -1, 4
    assert found["difference"] == pytest.approx(4 / 3)
    half = 4.302653 * found["sd"] / 3**0.5  # t of 2 degrees of freedom, 97.5 %
    assert found["low"] == pytest.approx(4 / 3 - half)
    assert found["high"] == pytest.approx(4 / 3 + half)
    assert (found["ahead"], found["seeds"]) == (2, 3)
    means = results.paired(frame, "a", "c").loc["sub"]
    assert means["difference"] == pytest.approx(13) and means["seeds"] == 0
    assert pd.isna(means["low"])
    one = results.paired(frame[frame["seed"] == "0"], "a", "b").loc["sub"]
    assert one["seeds"] == 1 and pd.isna(one["low"])


def test_only_seeds_of_both_are_compared_and_a_tie_is_not_ahead():
    frame = rows(
        *[("a", str(i), "sub", "auroc", v) for i, v in enumerate((70, 72, 90))],
        *[("b", str(i), "sub", "auroc", v) for i, v in enumerate((70, 71))],
    )
    found = results.paired(frame, "a", "b").loc["sub"]
    assert (found["difference"], found["ahead"], found["seeds"]) == (0.5, 1, 2)


def test_the_mean_is_over_the_tasks_that_both_have():
    frame = rows(
        *[("a", str(i), "sub", "auroc", 80.0 + i) for i in range(2)],
        *[("a", str(i), "form", "auroc", 60.0 + i) for i in range(2)],
        *[("b", str(i), "sub", "auroc", 70.0) for i in range(2)],
    )
    found = results.paired(frame, "a", "b")["difference"]
    assert found.to_dict() == {"sub": 10.5, results.MEAN: 10.5}
    apart = frame[(frame["variant"] == "b") | (frame["task"] == "form")]
    assert results.paired(apart, "a", "b").empty


def test_two_means_over_seeds_are_not_one_seed():
    frame = rows(
        ("c", "mean of 3", "sub", "auroc", 60.0), ("d", "mean of 3", "sub", "auroc", 55)
    )
    found = results.paired(frame, "c", "d").loc["sub"]
    assert (found["difference"], found["ahead"], found["seeds"]) == (5, 0, 0)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_published_results_are_those_of_todays_profile_and_method(path):
    found = results.load(path.stem, path.parent.name)
    names = [found.stamp["profile"], *found.stamp.get("others", {})]
    profiles = {n: Profile.load(ROOT / "params" / f"{n}.yaml") for n in names}
    hashes = {name: profile.hash for name, profile in profiles.items()}
    first = profiles[found.stamp["profile"]]
    rows = registry.ENTRIES if path.stem == OTHERS else {}
    plan = plan_hashes(first) if rows else {}
    assert found.stamp.get("plan", {}) == {n: plan[n] for n in plan if n in rows}
    assert results.outdated(path, hashes, plan) is None
    assert path.parent.name == first.name
    untrained = {RANDOM} if path.stem == "table3" else set()
    variants = {name for profile in profiles.values() for name in profile.variants}
    averages = r" [\d.]+( merged)?$"  # of a variant with its start: "tuned 0.5"
    shown = found.frame["variant"].str.replace(averages, "", regex=True)
    assert set(shown) <= {"", *variants, *rows} | untrained
    kinds = {entry["synthetic"] for entry in found.stamp["data"].values()}
    if "trained_on" in found.frame:  # a run may have started from the twin's weights
        words = set(" ".join(found.frame["trained_on"]).split())
        kinds |= {word == results.SYNTHETIC for word in words - {"then", "nothing"}}
    assert found.synthetic == (kinds.pop() if len(kinds) == 1 else "mixed")


def test_results_of_other_settings_or_another_method_are_outdated(tmp_path):
    stamp = STAMP | {"profile": "p", "profile_hash": "1", "method": METHOD}
    path = results.save(RAW, stamp | {"others": {"q": "2"}}, "zeroshot", tmp_path)
    assert results.outdated(path, {"p": "1", "q": "2"}) is None
    assert "other settings" in results.outdated(path, {"p": "1", "q": "3"})
    results.save(RAW, stamp | {"method": METHOD + 1}, "zeroshot", tmp_path)
    assert f"METHOD {METHOD + 1}" in results.outdated(path, {"p": "1"})
    path.with_suffix(".json").unlink()
    assert "no readable stamp" in results.outdated(path, {"p": "1"})


def test_the_press_is_told_what_was_read(tmp_path, monkeypatch):
    path = results.save(RAW, STAMP, "zeroshot", tmp_path)
    monkeypatch.setenv("MCCGAA_READS", str(tmp_path / "reads"))
    results.load("zeroshot", "synthetic", tmp_path)
    assert (tmp_path / "reads").read_text(encoding="utf-8") == f"{path}\n"


def test_the_checkout_is_that_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "params").mkdir()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    with pytest.raises(BookError, match="in no checkout"):
        checkout()
    (tmp_path / "_toc.yml").touch()
    assert checkout() == tmp_path
    (tmp_path / "mccgaa_book").mkdir()  # another checkout's code, not what runs here
    # `make install` alone has nothing to do where pip has replaced what it installed.
    with pytest.raises(BookError, match=r"installed code .*make clean install"):
        checkout()


PAGES = {  # page -> profile whose results of "zeroshot" its tables show
    "05_loss": "synthetic",
    "07_zero_shot": "synthetic",
    "real/07_zero_shot": "real",
}


def cells_of(table: str) -> pd.DataFrame:
    """Read a page's HTML table; the first column names the rows."""
    rows = [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in cells]
        for row in re.findall(r"<tr.*?</tr>", table, re.S)
        if (cells := re.findall(r"<t[dh]\b.*?</t[dh]>", row, re.S))
    ]
    return pd.DataFrame(rows[1:], columns=rows[0]).set_index(rows[0][0])


@pytest.mark.parametrize("page, name", PAGES.items(), ids=list(PAGES))
def test_tables_of_variants_have_the_means_of_the_published_results(page, name):
    """Each row is read by its label, so a number under another task's name fails."""
    profile, found = Profile.load(name), results.load("zeroshot", name)
    macro = results.tested(found.frame)
    mean = results.over_seeds(results.with_task_mean(macro))["mean"]
    labels = {one.label: variant for variant, one in profile.variants.items()}
    cells = json.loads((ROOT / f"book/notebooks/{page}.ipynb").read_text())["cells"]
    outputs = [o.get("data", {}) for cell in cells for o in cell.get("outputs", [])]
    tables = ["".join(one.get("text/html", "")) for one in outputs]
    compared = 0
    for anchor in ("loss-runs", "zero-variants"):
        for text in tables:
            if f'id="table-{anchor}"' in text:
                table = cells_of(text)
                if anchor == "loss-runs":
                    table = table.T
                for label, task in itertools.product(table.index, table.columns):
                    if label in labels and task in (*profile.tasks, results.MEAN):
                        shown = str(table.loc[label, task]).split()[0]
                        assert float(shown) == pytest.approx(
                            mean[labels[label], task], abs=0.06
                        ), (label, task)
                        compared += 1
    assert compared >= 10
