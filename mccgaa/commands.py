"""What each command does; `cli` says how it is called."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mccgaa.errors import ConfigError, MccgaaError, StoreError

TIERS = (
    "Results are research evidence about a method on named data; nothing here is a "
    "medical device or fit for diagnosis."
)


def twin(args: argparse.Namespace) -> None:
    from mccgaa.data.physionet import DATASETS
    from mccgaa_twin.mirror import write_twin

    sizes = {name: getattr(args, name) for name in DATASETS}
    if args.scale is not None:
        if args.scale <= 0:
            raise ConfigError(f"--scale is {args.scale}; expected a share above 0.")
        for name, published in DATASETS.items():
            full = args.scale * published.records
            sizes[name] = sizes[name] or max(1, round(full))
    given = {name: size for name, size in sizes.items() if size is not None}
    write_twin(args.out, seed=args.seed, jobs=args.jobs, **given)
    print(args.out)


def download(args: argparse.Namespace) -> None:
    from mccgaa.data import download as source

    options = {"jobs": args.jobs, "only_ids": args.only_ids, "host": args.host}
    options = {name: value for name, value in options.items() if value is not None}
    print(source.download(args.dataset, args.root, **options))


def pack(args: argparse.Namespace) -> None:
    from mccgaa.config import InputConfig
    from mccgaa.data.datasets import open_or_pack

    if args.check:
        from mccgaa.data.check import check

        card = check(args.check)
        print(card)
        if card.problems:
            raise StoreError(f"{args.check}: {'; '.join(map(str, card.problems))}")
        return
    for name in ("dataset", "root", "out"):
        if getattr(args, name) is None:
            raise ConfigError(
                "pack needs a dataset, --root and --out, such as: mccgaa pack ptbxl "
                "--root data/ptbxl --out stores/ptbxl-100 (or --check STORE)."
            )
    names = ("limit", "only_ids", "labels", "lengths", "file_rate")
    options = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    store = open_or_pack(
        args.dataset,
        args.root,
        args.out,
        input=InputConfig(args.sampling_rate, args.duration, args.transform),
        jobs=args.jobs,
        allow_missing_leads=args.allow_missing_leads,
        **options,
    )
    lost = store.meta["rejected"] + store.meta["left_out"]
    where = f", each with its reason in {store.path / 'rejected.csv'}" * bool(lost)
    print(f"{len(store)} records in {store.path}; {lost} left out{where}")


def _overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `pretrain.epochs=2` into {"pretrain": {"epochs": 2}}."""
    from mccgaa.settings import merge

    nested: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {pair!r}: expected KEY=VALUE, pretrain.epochs=2.")
        inner: Any = yaml.safe_load(value)
        for part in reversed(key.split(".")):
            inner = {part: inner}
        nested = merge(nested, inner)
    return nested


def pretrain(args: argparse.Namespace) -> None:
    from mccgaa import pretrain as loop
    from mccgaa.data.store import SignalStore
    from mccgaa.knowledge import Knowledge
    from mccgaa.pairs import load_pairs
    from mccgaa.profile import Profile

    profile = Profile.load(args.params)
    config = profile.run_config(args.variant, args.seed, _overrides(args.set))
    store = SignalStore.open(args.store)
    knowledge = Knowledge.load(args.knowledge or profile.knowledge)
    corpus = load_pairs(store, config, knowledge)
    note = {"tier": profile.tier, "title": profile.title}
    print(loop.pretrain(config, corpus, args.out, device=args.device, note=note))


def zeroshot(args: argparse.Namespace) -> None:
    from mccgaa.data.store import SignalStore
    from mccgaa.knowledge import Knowledge
    from mccgaa.zeroshot import load_model, zero_shot

    store = SignalStore.open(args.store)
    tasks = [t for word in args.tasks for t in word.split(",") if t]
    results = zero_shot(
        load_model(args.run_folder, args.device),
        store,
        tasks or list(store.meta["tasks"]),
        Knowledge.load(args.knowledge),
        split=None if args.split == "all" else args.split,
        fused=args.fused,
        bootstrap=args.bootstrap,
        device=args.device,
        progress=True,
    )
    if store.meta["synthetic"]:
        print("synthetic records: no evidence about patients")
    for task, result in results.items():
        low, high = (100 * bound for bound in result.ci95)
        print(
            f"{task:10s} macro AUROC {100 * result.macro_auroc:5.1f} "
            f"[{low:.1f}, {high:.1f}]  {result.n} records, {len(result.classes)} "
            f"classes"
            + (f", left out: {', '.join(result.left_out)}" * bool(result.left_out))
        )
    if args.json:
        plain = {task: result.to_dict() for task, result in results.items()}
        partial = Path(f"{args.json}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
        partial.replace(args.json)


def classify(args: argparse.Namespace) -> None:
    from mccgaa import zeroshot as scoring
    from mccgaa.data.record import read_record
    from mccgaa.knowledge import Knowledge

    record = read_record(
        args.record,
        sampling_rate=args.sampling_rate,
        allow_missing_leads=args.allow_missing_leads,
    )
    model = scoring.load_model(args.run_folder, args.device)
    rows = scoring.classify(model, record, args.classes, Knowledge.load(args.knowledge))
    width = max(len(row["class"]) for row in rows)
    for row in rows:
        bar = "#" * round(30 * row["share"])
        print(
            f"{row['class']:{width}s}  {row['cosine']:+.3f}  {row['share']:6.1%}  {bar}"
        )
    print("cosine with each class; shares among these classes. " + TIERS)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def run(args: argparse.Namespace) -> None:
    from mccgaa_book.lab import Lab

    lab = Lab(args.params, _overrides(args.set))
    print(lab.badge())
    table = lab.zero_shot_table(args.variants or None, split=args.split)
    wide = table.pivot_table(index=["label", "seed"], columns="task", values="auroc")
    wide["mean"] = wide.mean(axis=1)
    print(wide.round(1).to_string())
    if args.csv:
        Path(args.csv).parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(args.csv, index=False)


def book(args: argparse.Namespace) -> None:
    from mccgaa_book.press import book as pages
    from mccgaa_book.press.chapters import ROOT

    if args.action == "run":
        pages.run(args.profile, only=args.only, force=args.force)
    elif args.action == "check":
        problems = pages.check()
        if problems:
            raise MccgaaError("The book is not fresh:\n" + "\n".join(problems))
        print("every page is fresh and without errors")
    elif args.action == "readme":
        from mccgaa_book.press import readme

        print(readme.update(ROOT))
    else:
        print(pages.build())
