"""What the twin writes for a seed, down to the byte.

The digests were taken at commit 561e3a8, with numpy 2.4. Whoever changes what the twin
makes raises `mirror.VERSION` and puts the new digests here.
"""

import hashlib

import numpy as np
import pytest

from mccgaa_twin import csn_conditions, mirror, reports, simulate
from mccgaa_twin.statements import STATEMENTS

RECORDS, SEED = 8, 3
TREES = {
    "ptbxl": {
        ".csv": "73c99e5f91628861",
        ".dat": "2cabc2e813854bf5",
        ".hea": "f10f4b67f62e5f6a",
    },
    "mimic": {
        ".csv": "3a3b4790d88671cd",
        ".dat": "044de7b733a8631c",
        ".hea": "4d9f4195071e98bd",
    },
    "cpsc2018": {".csv": "eb4148965b9687ad", ".mat": "08a1ec36035a10cb"},
    "csn": {
        ".csv": "4aa7316d2fc4d74a",
        ".hea": "9401db0dd4c03757",
        ".mat": "aad0c89ea66e5049",
    },
}
MADE_WITHOUT = ("SYNTHETIC", "SHA256SUMS.txt")  # they hold the dataset's name


def _steps(signal: np.ndarray) -> bytes:
    """A signal in steps of 5 uV, so that the last bit of a float does not matter."""
    return np.rint(signal * 200).astype("<i2").tobytes()


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_the_same_to_the_byte(name, tmp_path):
    root = mirror.write_tree(
        tmp_path / name, name, RECORDS, SEED, jobs=1, progress=False
    )
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name not in MADE_WITHOUT:
            digest = found.setdefault(path.suffix, hashlib.sha256())
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    assert mirror.VERSION == 1
    assert {kind: d.hexdigest()[:16] for kind, d in found.items()} == TREES[name]


def test_every_statement_gives_the_same_record_and_reports():
    signals, texts = hashlib.sha256(), hashlib.sha256()
    for code in STATEMENTS:
        rng = np.random.default_rng(SEED)
        signal, truth = simulate.simulate_record([code], rng)
        signals.update(_steps(signal))
        for _ in range(20):
            report = reports.write_report({code: 1.0}, truth, rng)
            texts.update(report.text.encode())
    assert signals.hexdigest()[:16] == "25d4a44c0abe8ad4"
    assert texts.hexdigest()[:16] == "3453ac80271d5946"


def test_every_condition_of_csn_gives_the_same_record():
    digest = hashlib.sha256()
    person = simulate.Subject(60.0, 0, SEED)
    for one in (*csn_conditions.CONDITIONS, *csn_conditions.RHYTHMS):
        rng = np.random.default_rng(SEED)
        changes = [one.change] if one.change else []
        codes = dict.fromkeys(one.statements, 1.0)
        body, _ = simulate.render(codes, rng, person, changes=changes)
        digest.update(f"{one.acronym} {one.name} {one.snomed} {one.count}".encode())
        digest.update(_steps(body))
    assert digest.hexdigest()[:16] == "52c7a282930667f1"
