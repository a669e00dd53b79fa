"""What `make mutants` knows: wrong versions by name, survivors, and the last report."""

import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NAMED = yaml.safe_load((ROOT / "tests/mutants/named.yaml").read_text())
SURVIVORS = yaml.safe_load((ROOT / "tests/mutants/survivors.yaml").read_text())
REPORT = json.loads((ROOT / "tests/mutants/report.json").read_text())["modules"]


@pytest.mark.parametrize("module", NAMED)
def test_each_named_mutant_changes_one_place_of_its_module(module, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests/mutants"))
    from checkout import Checkout

    source = Checkout(ROOT).path(module).read_text()
    for patch in NAMED[module]:
        assert source.count(patch["was"]) == 1, patch["name"]
        compile(source.replace(patch["was"], patch["now"]), patch["name"], "exec")


@pytest.mark.parametrize("module", SURVIVORS)
def test_each_survivor_has_a_reason_and_is_there_once(module):
    noted = [(e["function"], e["was"], e["now"]) for e in SURVIVORS[module]]
    assert len(set(noted)) == len(noted)
    for entry in SURVIVORS[module]:
        assert entry["why"].strip(), entry


@pytest.mark.parametrize("module", REPORT)
def test_of_a_module_judged_whole_nine_of_ten_mutants_die(module):
    row = REPORT[module]
    judged = row["mutants"] - row["not judged"]
    assert judged == row["killed"] + row["survivors"]
    assert row["named killed"] == row["named"]
    if not row["not judged"]:
        assert row["killed"] >= 0.9 * judged


def test_a_module_is_judged_anew_when_its_code_changes_and_not_its_words(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests/mutants"))
    from report import digest

    source = (
        '"""A module."""\nimport a\n\ndef f(x):\n    """Half."""\n    return x / 2\n'
    )
    for was, now in (("Half", "A half"), ("import a", "import b"), ("/ 2", "/ 2  # !")):
        assert digest(source.replace(was, now)) == digest(source)
    assert digest(source.replace("/ 2", "/ 3")) != digest(source)
