"""The commands that make, fetch and pack ECGs, and pretrain on them."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import get_args

from mccgaa.choices import Transform
from mccgaa.commands.command import (
    A_PROFILE,
    DEVICE,
    KNOWLEDGE,
    LEADS,
    ONLY_IDS,
    PROFILE,
    SEED,
    SET,
    arg,
    at_least,
    command,
    given,
)
from mccgaa.counted import counted
from mccgaa.data.physionet import DATASETS
from mccgaa.errors import ConfigError, StoreError

JOBS = arg("--jobs", type=at_least(1), help="processes (default: all cores)")


@command(
    arg("--out", required=True, help="folder to write"),
    *(arg(f"--{name}", type=at_least(0), help="records") for name in DATASETS),
    arg("--scale", type=float, help="all at this share of the published size (1: all)"),
    SEED,
    JOBS,
    arg("--variety", type=float, default=0.0, help="0 to 1: how far records vary"),
)
def twin(args: argparse.Namespace) -> None:
    """Write a synthetic mirror of the datasets, as PhysioNet lays them out.

    It has the datasets whose sizes are given; if none is, 1500 of ptbxl and 3000 of
    mimic.

    Example: mccgaa twin --out data/synthetic --ptbxl 1500 --mimic 3000 --seed 0
    """
    from mccgaa_twin.mirror import write_twin

    sizes = given(args, *DATASETS)
    if args.scale is not None:
        if not 0 < args.scale < math.inf:
            raise ConfigError(f"--scale is {args.scale}; expected a share above 0.")
        for name, dataset in DATASETS.items():
            sizes.setdefault(name, max(1, round(args.scale * dataset.records)))
    if sizes and not any(sizes.values()):
        raise ConfigError("The twin would have no record; give a size above 0.")
    if sizes:  # what is not named is left out
        sizes = dict.fromkeys(DATASETS, 0) | sizes
    write_twin(args.out, seed=args.seed, variety=args.variety, jobs=args.jobs, **sizes)
    print(args.out)


@command(
    arg("dataset", choices=list(DATASETS)),
    arg("--root", required=True, help="folder to fill"),
    ONLY_IDS,
    arg("--jobs", type=at_least(1), help="files at a time"),
    arg("--host", help="a mirror's address instead of PhysioNet's"),
)
def download(args: argparse.Namespace) -> None:
    """Fetch a dataset from PhysioNet, every file checked.

    Example: mccgaa download ptbxl --root data/ptbxl --jobs 8
    """
    from mccgaa.data.download import download

    print(download(args.dataset, args.root, **given(args, "jobs", "only_ids", "host")))


@command(
    arg("dataset", nargs="?", choices=[*DATASETS, "challenge", "own"]),
    arg("--root", help="the dataset's folder; for own, its CSV"),
    arg("--out", help="the store's folder"),
    arg("--sampling-rate", type=at_least(1), default=500, help="Hz (500)"),
    arg("--duration", type=float, default=10.0, help="seconds kept (10)"),
    arg("--transform", default="raw", choices=get_args(Transform), help="(raw)"),
    JOBS,
    ONLY_IDS,
    arg("--limit", type=at_least(1), help="the first so many records (not ptbxl)"),
    arg("--file-rate", type=int, help="ptbxl: read the 500 (default) or 100 Hz files"),
    arg("--labels", help="csn: exact (default) or published"),
    arg("--lengths", help="cpsc2018: first-10s, first-5s-padded, windows"),
    LEADS,
    arg("--check", metavar="STORE", help="verify a store, and say what it holds"),
)
def pack(args: argparse.Namespace) -> None:
    """Read a dataset's folder into a signal store.

    The transform raw keeps mV; bandpass-zscore filters 0.5-40 Hz and scales each lead.

    Example: mccgaa pack ptbxl --root data/ptbxl --out stores/ptbxl-100
    --sampling-rate 100 --transform bandpass-zscore
    """
    from mccgaa.config import InputConfig
    from mccgaa.data.check import check
    from mccgaa.data.datasets import open_or_pack
    from mccgaa.data.own import odd_columns

    if args.check:
        report = check(args.check)
        print(report)
        if report.problems:
            raise StoreError(f"{args.check}: {'; '.join(map(str, report.problems))}")
        return
    if not (args.dataset and args.root and args.out):
        raise ConfigError("pack needs a dataset, --root and --out, or --check STORE.")
    if args.dataset == "own" and Path(args.root).is_file():
        for note in odd_columns(args.root):
            print(f"note: {note}", file=sys.stderr)
    store = open_or_pack(
        args.dataset,
        args.root,
        args.out,
        input=InputConfig(args.sampling_rate, args.duration, args.transform),
        jobs=args.jobs,
        allow_missing_leads=args.allow_missing_leads,
        **given(args, "limit", "only_ids", "labels", "lengths", "file_rate"),
    )
    lost = store.meta["rejected"] + store.meta["left_out"]
    where = f", each with its reason in {store.path / 'rejected.csv'}" if lost else ""
    print(f"{counted(len(store), 'record')} in {store.path}; {lost} left out{where}")


@command(
    arg(*PROFILE, required=True, help=A_PROFILE),
    arg("--store", help="packed records instead of the profile's"),
    arg("--out", help="folder of runs (default: the profile's)"),
    arg("--variant", help="one of the profile's (default: its first)"),
    SEED,
    KNOWLEDGE,
    DEVICE,
    SET,
)
def pretrain(args: argparse.Namespace) -> None:
    """Pretrain a model, or continue the run where it stopped.

    On six GPUs: torchrun --nproc-per-node 6 -m mccgaa.cli pretrain --profile paper

    Example: mccgaa pretrain --profile real --seed 0 --set pretrain.epochs=2
    """
    from mccgaa.commands.words import from_pairs
    from mccgaa.data.datasets import open_store
    from mccgaa.data.store import SignalStore
    from mccgaa.knowledge import Knowledge
    from mccgaa.pairs import load_pairs
    from mccgaa.pretrain import pretrain
    from mccgaa.profile import Profile
    from mccgaa.runtime import pick_device, process_group, rank_zero_first

    profile = Profile.load(args.profile)
    config = profile.run_config(args.variant, args.seed, from_pairs(args.set))
    knowledge = Knowledge.load(args.knowledge or profile.knowledge)
    note = {} if args.store else {"tier": profile.tier, "title": profile.title}
    with process_group(pick_device(args.device)) as (rank, _):
        with rank_zero_first():  # who may have to pack the store
            store = SignalStore.open(args.store) if args.store else open_store(profile)
        pairs = load_pairs(store, config, knowledge, device=args.device)
        out = args.out or profile.runs
        folder = pretrain(config, pairs, out, device=args.device, note=note)
        if rank == 0:
            print(folder)
