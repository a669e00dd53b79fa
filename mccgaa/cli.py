"""The command line: `mccgaa COMMAND --help` explains each command with an example."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mccgaa.errors import ConfigError, MccgaaError

TIERS = (
    "Results are research evidence about a method on named data; nothing here is a "
    "medical device or fit for diagnosis."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 2 after one sentence on what went wrong."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except (MccgaaError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start the same command again to continue.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return 0


# ---- data ----------------------------------------------------------------------


def _twin(args: argparse.Namespace) -> None:
    from mccgaa.twin.mirror import write_twin

    sizes = {k: getattr(args, k) for k in ("ptbxl", "mimic", "cpsc2018", "csn")}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    write_twin(args.out, scale=args.scale, seed=args.seed, jobs=args.jobs, **sizes)
    print(args.out)


def _download(args: argparse.Namespace) -> None:
    from mccgaa.data.download import download

    options = {"jobs": args.jobs, "only_ids": args.only_ids, "host": args.host}
    options = {name: value for name, value in options.items() if value is not None}
    print(download(args.dataset, args.root, **options))


def _pack(args: argparse.Namespace) -> None:
    from mccgaa.data.sources import build_store

    if args.check:
        from mccgaa.data.card import check

        print(check(args.check))
        return
    for name in ("source", "root", "out"):
        if getattr(args, name) is None:
            raise ConfigError(
                "pack needs a source, --root and --out, such as: mccgaa pack ptbxl "
                "--root data/ptb-xl --out stores/ptbxl-100 (or --check STORE)."
            )
    names = ("limit", "only_ids", "labels", "lengths")
    options = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    store = build_store(
        args.source,
        args.root,
        args.out,
        sampling_rate=args.sampling_rate,
        duration=args.duration,
        transform=args.transform,
        jobs=args.jobs,
        allow_missing_leads=args.allow_missing_leads,
        **options,
    )
    print(f"{len(store.records)} records in {store.path}")


# ---- runs ----------------------------------------------------------------------


def _overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `pretrain.epochs=2` into {"pretrain": {"epochs": 2}}."""
    from mccgaa.config import merge

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


def _pretrain(args: argparse.Namespace) -> None:
    from mccgaa.companion.experiments import load_profile, run_config
    from mccgaa.corpus import load_corpus
    from mccgaa.data.store import SignalStore
    from mccgaa.knowledge import Knowledge
    from mccgaa.pretrain import pretrain

    profile = load_profile(args.params)
    variant = args.variant or next(iter(profile.get("variants") or {"mccgaa": {}}))
    config = run_config(profile, variant, args.seed, _overrides(args.set))
    store = SignalStore.open(args.store)
    knowledge = Knowledge.load(args.knowledge or profile.get("knowledge"))
    corpus = load_corpus(store, config, knowledge)
    note = {"tier": profile.get("tier", ""), "title": profile.get("title", "")}
    print(pretrain(config, corpus, args.out, device=args.device, note=note))


def _zeroshot(args: argparse.Namespace) -> None:
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


def _classify(args: argparse.Namespace) -> None:
    from mccgaa.data.record import read_record
    from mccgaa.knowledge import Knowledge
    from mccgaa.zeroshot import classify, load_model

    record = read_record(
        args.record,
        sampling_rate=args.sampling_rate,
        allow_missing_leads=args.allow_missing_leads,
    )
    model = load_model(args.run_folder, args.device)
    rows = classify(model, record, args.classes, Knowledge.load(args.knowledge))
    width = max(len(row["class"]) for row in rows)
    for row in rows:
        bar = "#" * round(30 * row["share"])
        print(
            f"{row['class']:{width}s}  {row['cosine']:+.3f}  {row['share']:6.1%}  {bar}"
        )
    print("cosine with each class; shares among these classes. " + TIERS)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _run(args: argparse.Namespace) -> None:
    from mccgaa.companion.experiments import Lab

    lab = Lab(args.params, _overrides(args.set))
    print(lab.badge())
    table = lab.zero_shot_table(args.variants or None, split=args.split)
    wide = table.pivot_table(index=["label", "seed"], columns="task", values="auroc")
    wide["mean"] = wide.mean(axis=1)
    print(wide.round(1).to_string())
    if args.csv:
        Path(args.csv).parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(args.csv, index=False)


def _book(args: argparse.Namespace) -> None:
    from mccgaa.companion import book

    if args.action == "run":
        book.run(args.profile, only=args.only, force=args.force)
    elif args.action == "check":
        problems = book.check()
        if problems:
            raise MccgaaError("The book is not fresh:\n" + "\n".join(problems))
        print("every page is fresh and without errors")
    else:
        print(book.build())


# ---- the parser ----------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="mccgaa",
        description="A reproducible companion to MCCGAA: zero-shot ECG classification.",
        epilog=TIERS,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, summary: str, example: str) -> Any:
        sub = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: {example}",
        )
        sub.set_defaults(run=run)
        return sub

    sub = command(
        "twin",
        _twin,
        "write a synthetic mirror of the datasets, as PhysioNet lays them out",
        "mccgaa twin --out data/twin --ptbxl 1500 --mimic 3000 --seed 0",
    )
    sub.add_argument("--out", required=True, help="folder to write")
    for name, what in (
        ("ptbxl", "PTB-XL"),
        ("mimic", "MIMIC-IV-ECG"),
        ("cpsc2018", "CPSC2018"),
        ("csn", "Chapman-Shaoxing-Ningbo"),
    ):
        sub.add_argument(f"--{name}", type=int, help=f"records of the {what} mirror")
    sub.add_argument(
        "--scale", type=float, help="all four at this share of a standard size"
    )
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--jobs", type=int, help="processes (default: all cores)")

    sub = command(
        "download",
        _download,
        "fetch a dataset from PhysioNet, every file checked",
        "mccgaa download ptb-xl --root data/ptb-xl --jobs 8",
    )
    sub.add_argument("dataset", choices=["ptb-xl", "cpsc2018", "csn", "mimic-iv-ecg"])
    sub.add_argument("--root", required=True, help="folder to fill")
    sub.add_argument("--only-ids", help="file of record ids, one a line")
    sub.add_argument("--jobs", type=int, help="files at a time")
    sub.add_argument("--host", help="a mirror's address instead of PhysioNet's")

    sub = command(
        "pack",
        _pack,
        "read a dataset's folder into a signal store",
        "mccgaa pack ptbxl --root data/ptb-xl --out stores/ptbxl-100 "
        "--sampling-rate 100 --transform bandpass-zscore",
    )
    sub.add_argument(
        "source", nargs="?", choices=["ptbxl", "mimic", "cpsc2018", "csn", "own"]
    )
    sub.add_argument("--root", help="the dataset's folder; for own, its CSV")
    sub.add_argument("--out", help="the store's folder")
    sub.add_argument("--sampling-rate", type=int, default=500, help="Hz (default 500)")
    sub.add_argument("--duration", type=float, default=10.0, help="seconds kept")
    sub.add_argument(
        "--transform",
        default="raw",
        choices=["raw", "bandpass-zscore"],
        help="raw keeps mV; bandpass-zscore filters 0.5-40 Hz and scales each lead",
    )
    sub.add_argument("--jobs", type=int, help="processes (default: all cores)")
    sub.add_argument("--limit", type=int, help="mimic: the first records only")
    sub.add_argument("--only-ids", help="file of record ids, one a line")
    sub.add_argument("--labels", help="csn: exact (default) or published")
    sub.add_argument("--lengths", help="cpsc2018: first-10s, first-5s-padded, windows")
    sub.add_argument("--allow-missing-leads", action="store_true")
    sub.add_argument("--check", metavar="STORE", help="verify a store, print its card")

    sub = command(
        "pretrain",
        _pretrain,
        "pretrain a model, or continue the run where it stopped",
        "mccgaa pretrain --params params/ptbxl.yaml --store stores/ptbxl-100 "
        "--out runs --seed 0",
    )
    sub.add_argument("--params", required=True, help="a profile, params/*.yaml")
    sub.add_argument("--store", required=True, help="the packed records")
    sub.add_argument("--out", default="runs", help="folder of runs (default: runs)")
    sub.add_argument("--variant", help="one of the profile's variants")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--knowledge", help="a knowledge base of your own (YAML, JSON)")
    sub.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if any)")
    sub.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override settings, such as pretrain.epochs=2 model.gafa.graph=none",
    )

    sub = command(
        "zeroshot",
        _zeroshot,
        "score a run on tasks it was never trained on",
        "mccgaa zeroshot --run runs/RUN --store stores/ptbxl-100 --tasks super sub "
        "--json out.json",
    )
    sub.add_argument("--run", dest="run_folder", required=True, help="a run's folder")
    sub.add_argument("--store", required=True)
    sub.add_argument("--tasks", nargs="+", default=[], help="default: all it has")
    sub.add_argument("--split", default="test", choices=["train", "val", "test", "all"])
    sub.add_argument("--fused", action="store_true", help="score through GAFA")
    sub.add_argument("--bootstrap", type=int, default=1000, help="resamples")
    sub.add_argument("--knowledge", help="a knowledge base of your own (YAML, JSON)")
    sub.add_argument("--json", help="write the results here")
    sub.add_argument("--device")

    sub = command(
        "classify",
        _classify,
        "rank classes in plain words for one ECG file",
        "mccgaa classify my_ecg.hea --run runs/RUN --classes 'atrial fibrillation' "
        "'sinus rhythm'",
    )
    sub.add_argument("record", help="WFDB, .mat, .npy, .edf or .csv")
    sub.add_argument("--run", dest="run_folder", required=True, help="a run's folder")
    sub.add_argument("--classes", nargs="+", required=True)
    sub.add_argument("--sampling-rate", type=float, help="Hz, where the file has none")
    sub.add_argument("--allow-missing-leads", action="store_true")
    sub.add_argument("--knowledge", help="a knowledge base of your own (YAML, JSON)")
    sub.add_argument("--json", help="write the ranking here")
    sub.add_argument("--device")

    sub = command(
        "run",
        _run,
        "pretrain and score every variant and seed of a profile",
        "mccgaa run --params params/ptbxl.yaml --split val",
    )
    sub.add_argument("--params", required=True, help="a profile, params/*.yaml")
    sub.add_argument("--variants", nargs="+", help="default: all of the profile")
    sub.add_argument("--split", default="test", choices=["val", "test"])
    sub.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    sub.add_argument("--csv", help="write the long table here")

    sub = command(
        "book",
        _book,
        "execute, check or build the book",
        "mccgaa book run --profile twin --only 07_zero_shot",
    )
    sub.add_argument("action", choices=["run", "check", "build"])
    sub.add_argument("--profile", default="twin", help="params/PROFILE.yaml")
    sub.add_argument("--only", nargs="+", help="these chapters, stale or not")
    sub.add_argument("--force", action="store_true", help="rerun fresh chapters too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
