"""The command line: `mccgaa COMMAND --help` explains each command with an example."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mccgaa import commands
from mccgaa.commands import TIERS
from mccgaa.errors import MccgaaError


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


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="mccgaa",
        description="A reproducible companion to MCCGAA: zero-shot ECG classification.",
        epilog=TIERS,
    )
    actions = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, summary: str, example: str) -> Any:
        sub = actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: {example}",
        )
        sub.set_defaults(run=run)
        return sub

    sub = command(
        "twin",
        commands.twin,
        "write a synthetic mirror of the datasets, as PhysioNet lays them out",
        "mccgaa twin --out data/synthetic --ptbxl 1500 --mimic 3000 --seed 0",
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
        "--scale",
        type=float,
        help="all four at this share of the published size (1.0: all)",
    )
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--jobs", type=int, help="processes (default: all cores)")

    sub = command(
        "download",
        commands.download,
        "fetch a dataset from PhysioNet, every file checked",
        "mccgaa download ptbxl --root data/ptbxl --jobs 8",
    )
    sub.add_argument("dataset", choices=["ptbxl", "cpsc2018", "csn", "mimic"])
    sub.add_argument("--root", required=True, help="folder to fill")
    sub.add_argument("--only-ids", help="file of record ids, one a line")
    sub.add_argument("--jobs", type=int, help="files at a time")
    sub.add_argument("--host", help="a mirror's address instead of PhysioNet's")

    sub = command(
        "pack",
        commands.pack,
        "read a dataset's folder into a signal store",
        "mccgaa pack ptbxl --root data/ptbxl --out stores/ptbxl-100 "
        "--sampling-rate 100 --transform bandpass-zscore",
    )
    sub.add_argument(
        "dataset", nargs="?", choices=["ptbxl", "mimic", "cpsc2018", "csn", "own"]
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
    sub.add_argument(
        "--file-rate", type=int, help="ptbxl: read the 500 (default) or 100 Hz files"
    )
    sub.add_argument("--labels", help="csn: exact (default) or published")
    sub.add_argument("--lengths", help="cpsc2018: first-10s, first-5s-padded, windows")
    sub.add_argument("--allow-missing-leads", action="store_true")
    sub.add_argument("--check", metavar="STORE", help="verify a store, print its card")

    sub = command(
        "pretrain",
        commands.pretrain,
        "pretrain a model, or continue the run where it stopped",
        "mccgaa pretrain --params params/real.yaml --store stores/ptbxl-100 "
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
        commands.zeroshot,
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
        commands.classify,
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
        commands.run,
        "pretrain and score every variant and seed of a profile",
        "mccgaa run --params params/real.yaml --split val",
    )
    sub.add_argument("--params", required=True, help="a profile, params/*.yaml")
    sub.add_argument("--variants", nargs="+", help="default: all of the profile")
    sub.add_argument("--split", default="test", choices=["val", "test"])
    sub.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    sub.add_argument("--csv", help="write the long table here")

    sub = command(
        "book",
        commands.book,
        "execute, check or build the book; readme brings its results into README.md",
        "mccgaa book run --profile synthetic --only 07_zero_shot",
    )
    sub.add_argument("action", choices=["run", "check", "build", "readme"])
    sub.add_argument("--profile", default="synthetic", help="params/PROFILE.yaml")
    sub.add_argument("--only", nargs="+", help="these chapters, stale or not")
    sub.add_argument("--force", action="store_true", help="rerun fresh chapters too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
