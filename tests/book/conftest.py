"""A checkout of the smallest profile; styles that stay within a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
import yaml

from mccgaa.settings import load_yaml
from mccgaa_book.lab import Lab

PARAMS = Path(__file__).resolve().parents[2] / "params"


@pytest.fixture(autouse=True)
def own_style() -> Iterator[None]:
    """Give back matplotlib's settings as they were."""
    with mpl.rc_context():
        yield


STORES = {"pretrain": "mimic", "ptbxl": "ptbxl"}


def smallest() -> dict:
    """A profile on 120 and 60 simulated records, one epoch of a narrow network."""
    profile = load_yaml(PARAMS / "smoke.yaml")
    profile["twin"] = {"out": "data", "mimic": 120, "ptbxl": 60, "seed": 0}
    profile["twin"] |= {"jobs": 1, "progress": False}
    profile["stores"] = {
        name: profile["stores"][name]
        | {"root": f"data/{tree}", "out": f"stores/{name}", "jobs": 1}
        for name, tree in STORES.items()
    }
    profile["tasks"] = {"super": "ptbxl"}
    profile["pretrain"] |= {"epochs": 1, "batch_size": 16, "snapshots": []}
    profile |= {"seeds": [0, 1], "reproduce": {"variants": ["bipartite"], "seeds": [0]}}
    profile |= {"transfer": "params/small.yaml", "chapters": [], "notebooks": {}}
    profile["ablations"] = "params/more.yaml"
    return profile


MORE = """
base: small.yaml
variants:
  bipartite: {label: full, model: {gafa: {graph: bipartite}}}
  no-cam: {label: w/o CAM, model: {encoder: {cam: none}, gafa: {graph: bipartite}}}
  gat-32: {label: "(32, 16)", model: {gafa: {graph: bipartite, hidden: 32, output: 16}}}
tables:
  table3: [bipartite]
  table4: [bipartite, clip, no-cam]
  table5: [bipartite]
  table6: [bipartite, gat-32]
  robustness: [bipartite]
  imbalance: [bipartite]
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A checkout in which the smallest profile's data were simulated and packed."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "params").mkdir()
    (root / "_toc.yml").touch()
    text = yaml.safe_dump(smallest())
    (root / "params" / "small.yaml").write_text(text, encoding="utf-8")
    (root / "params" / "more.yaml").write_text(MORE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        lab = Lab("small")
        assert lab.synthetic is True  # opens, so simulates and packs, every store
    return root


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root
