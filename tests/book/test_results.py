"""Results are tidy files with a stamp; nothing half-labelled is ever written."""

from __future__ import annotations

import pandas as pd
import pytest

from mccgaa.errors import BookError
from mccgaa_book import results
from mccgaa_book.checkout import checkout

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
    path.with_suffix(".json").write_text("{", encoding="utf-8")
    with pytest.raises(BookError, match="is damaged"):
        results.load("zeroshot", "synthetic", tmp_path)


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
    with pytest.raises(BookError, match="installed code is that of"):
        checkout()
