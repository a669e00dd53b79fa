"""Every wrong version that `make mutants` knows by name can still be made."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NAMED = yaml.safe_load((ROOT / "tests/mutants/named.yaml").read_text())


@pytest.mark.parametrize("module", NAMED)
def test_each_named_mutant_changes_one_place_of_its_module(module):
    source = (ROOT / "mccgaa" / f"{module}.py").read_text()
    for patch in NAMED[module]:
        assert source.count(patch["was"]) == 1, patch["name"]
        compile(source.replace(patch["was"], patch["now"]), patch["name"], "exec")
