"""Train and test a profile's variants with nothing of this package that is fast.

The network is the text-book one in `Conv1d` (`plain.py`) and the graph is a list of
edges that torch-geometric reads; data, order, losses, optimiser and test are those of
`mccgaa run zeroshot`. `science.py` sets the results beside those of the fast paths,
seed by seed. First weights are those of the package, and so is the form in which they
are saved: runs differ in rounding alone, which many steps blow up. They are trained on
the CPU, since a GPU has fast ways of its own, and never lie among the profile's runs.

    python bench/plain_runs.py params/real.yaml --variants bipartite --out bench/plain
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from plain import PlainEncoder
from torch import Tensor, nn

from mccgaa import model
from mccgaa.config import EncoderConfig, GafaConfig
from mccgaa.encoder import EcgEncoder
from mccgaa.files import write_json
from mccgaa.gafa import Gafa
from mccgaa_book import experiments, results
from mccgaa_book.lab import Lab

NOTE = "trained with Conv1d layers, and the graph as a list of edges"


class StandIn(PlainEncoder):
    """The plain network, whose weights are saved and read in the package's shapes."""

    def __init__(self, config: EncoderConfig) -> None:
        with torch.random.fork_rng(devices=[]):  # what follows draws as it would have
            super().__init__(config)
        self.register_state_dict_post_hook(_widen)
        self.register_load_state_dict_pre_hook(_narrow)
        self.load_state_dict(EcgEncoder(config).state_dict())


class EdgeListGafa(Gafa):
    """The package's graph, computed on a list of edges by torch-geometric."""

    def __init__(self, config: GafaConfig, embedding_dim: int) -> None:
        super().__init__(config, embedding_dim)
        self.dense = False


def _widen(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Give kernels (O, C, k) of the encoder the package's shape, (O, C, 1, k)."""
    for name in _own(state, prefix):
        if state[name].dim() == 3:
            state[name] = state[name].unsqueeze(2)


def _narrow(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Take the height out of kernels that are read, (O, C, 1, k) to (O, C, k)."""
    for name in _own(state, prefix):
        if state[name].dim() == 4:
            state[name] = state[name].squeeze(2)


def _own(state: dict[str, Any], prefix: str) -> list[str]:
    return [name for name in state if name.startswith(prefix)]


def check(lab: Lab, variants: list[str], out: Path | None) -> None:
    """Refuse what would mix runs or results of the plain path with others.

    Raises:
        SystemExit: `lab.runs` is the profile's own folder, a variant goes on from a run
            that is not trained here, or `out` has results of another way of training.
    """
    if lab.runs.resolve() == Path(lab.profile.runs).resolve():
        raise SystemExit(f"--runs {lab.runs} has the profile's own; give another.")
    for name in variants:
        if lab.config(name).pretrain.start or lab.profile.variants[name].start:
            raise SystemExit(f"{name} starts from a run that is not plain; leave it.")
    if out and (out / "zeroshot.json").is_file():
        stamp = json.loads((out / "zeroshot.json").read_text(encoding="utf-8"))
        if stamp.get("note") != NOTE:
            raise SystemExit(f"--out {out} has results of fast runs; give another.")


def train(lab: Lab, variants: list[str], seeds: list[int]) -> None:
    """Train on the plain path what is not there yet, into `lab.runs`."""
    with (
        mock.patch.object(model, "EcgEncoder", StandIn),
        mock.patch.object(model, "Gafa", EdgeListGafa),
        mock.patch.dict(os.environ, MCCGAA_DEVICE="cpu"),
    ):
        for seed in seeds:
            for variant in variants:
                lab.run(variant, seed)


def main(arguments: list[str] | None = None) -> None:
    """Train, test with the package's own encoder, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path, help="such as params/real.yaml")
    parser.add_argument("--variants", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the profile's")
    parser.add_argument("--runs", type=Path, help="default: the profile's, with -plain")
    parser.add_argument("--out", type=Path, help="folder for zeroshot.csv; none: train")
    args = parser.parse_args(arguments)
    lab = Lab(args.profile)
    lab.runs = args.runs or Path(f"{lab.profile.runs}-plain")
    check(lab, args.variants, args.out)
    seeds = args.seeds or lab.seeds
    train(lab, args.variants, seeds)
    if args.out:
        path = experiments.make(lab, "zeroshot", args.variants, seeds, args.out)
        stamp = results.load("zeroshot", lab.profile.name, args.out).stamp
        words = ["python bench/plain_runs.py", args.profile, "--variants"]
        words += [*args.variants, "--seeds", *seeds, "--out", args.out]
        stamp |= {"command": " ".join(map(str, words)), "note": NOTE}
        write_json(path.with_suffix(".json"), stamp)
        print(path)


if __name__ == "__main__":
    main()
