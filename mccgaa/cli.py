"""The command line: `mccgaa COMMAND --help` explains each command with an example.

A command is a function with its arguments above it; its docstring is its help. Heavy
imports are inside the functions, so that help is fast.
"""

from __future__ import annotations

import argparse
import inspect
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mccgaa.data.physionet import DATASETS
from mccgaa.errors import ConfigError, MccgaaError, StoreError
from mccgaa.files import check_writable, write_json

DISCLAIMER = (
    "Results are research evidence about a method on named data; nothing here is a "
    "medical device or fit for diagnosis."
)
DEBUG = "MCCGAA_DEBUG"  # set in the environment, it shows the traceback of every error

Command = Callable[[argparse.Namespace], None]
Argument = tuple[tuple[str, ...], dict[str, Any]]  # what `add_argument` takes

COMMANDS: list[tuple[Command, tuple[Argument, ...]]] = []


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 after one sentence on what the user can put right; 1 after one on an error
        that is ours; 130 when stopped.
    """
    args = build_parser().parse_args(argv)
    try:
        if getattr(args, "json", None) is not None:
            check_writable(args.json)
        args.run(args)
    except KeyboardInterrupt:
        print("stopped; start the same command again to continue.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `mccgaa ... | head`
        return 0
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        sentence, ours = _sentence(error)
        print(f"error: {sentence}", file=sys.stderr)
        return 1 if ours else 2
    return 0


def _sentence(error: Exception) -> tuple[str, bool]:
    """What to tell the user, and whether the fault is ours."""
    text = str(error)
    if isinstance(error, MccgaaError | ValueError):
        return text, False
    if isinstance(error, OSError):
        why = error.strerror or text
        return f"{error.filename}: {why}." if error.filename else why, False
    if isinstance(error, RuntimeError) and ("CUDA" in text or "device" in text):
        advice = "lower the batch size, or choose another with --device."
        return f"The device failed ({text.strip().splitlines()[0]}); {advice}", False
    advice = f"start the same command with {DEBUG}=1 and report the traceback."
    return f"{type(error).__name__}: {text}. This is a fault of mccgaa: {advice}", True


def build_parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    parser = argparse.ArgumentParser(
        prog="mccgaa",
        description="A reproducible companion to MCCGAA: zero-shot ECG classification.",
        epilog=DISCLAIMER,
    )
    actions = parser.add_subparsers(required=True, metavar="COMMAND")
    for function, arguments in COMMANDS:
        text, _, example = (inspect.getdoc(function) or "").partition("\n\nExample:")
        summary = text.partition(".\n")[0].rstrip(".")
        sub = actions.add_parser(
            function.__name__,
            help=summary[0].lower() + summary[1:],
            description=text,
            epilog=f"example: {' '.join(example.split())}",
        )
        sub.set_defaults(run=function)
        for flags, options in arguments:
            sub.add_argument(*flags, **options)
    return parser


def command(*arguments: Argument) -> Callable[[Command], Command]:
    """Make a function a command with these arguments."""

    def register(function: Command) -> Command:
        COMMANDS.append((function, arguments))
        return function

    return register


def arg(*flags: str, **options: Any) -> Argument:
    """An argument, as `add_argument` takes it."""
    return flags, options


def at_least(low: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `low` on."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            said = f"{text!r} is not a whole number of {low} or more"
            raise argparse.ArgumentTypeError(said)
        return int(text)

    return whole


JOBS = arg("--jobs", type=at_least(1), help="processes (default: all cores)")
SEED = arg("--seed", type=at_least(0), default=0)
ONLY_IDS = arg("--only-ids", help="file of record ids, one per line")
RUN = arg("--run", dest="run_folder", required=True, help="a run's folder")
LEADS = arg("--allow-missing-leads", action="store_true", help="take them as zeros")
KNOWLEDGE = arg("--knowledge", help="a knowledge base of your own (YAML, JSON)")
PROMPTS = (
    arg("--prompts", choices=["single", "members"], help="texts of a class (single)"),
    arg("--reduction", choices=["max", "mean", "best-member"], help="of members (max)"),
)
DEVICE = arg("--device", help="cpu, cuda, cuda:1 (default: a GPU if any)")
JSON = arg("--json", help="write the results here")
A_PROFILE = "a profile: a file, or the name of one in params/"
SET_HELP = "override settings, such as pretrain.epochs=2 model.gafa.graph=none"
SET = arg("--set", nargs="+", default=[], metavar="KEY=VALUE", help=SET_HELP)


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

    Example: mccgaa twin --out data/synthetic --ptbxl 1500 --mimic 3000 --seed 0
    """
    from mccgaa_twin.mirror import write_twin

    sizes = _given(args, *DATASETS)
    if args.scale is not None:
        if not 0 < args.scale < math.inf:
            raise ConfigError(f"--scale is {args.scale}; expected a share above 0.")
        for name, dataset in DATASETS.items():
            sizes.setdefault(name, max(1, round(args.scale * dataset.records)))
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

    print(download(args.dataset, args.root, **_given(args, "jobs", "only_ids", "host")))


@command(
    arg("dataset", nargs="?", choices=[*DATASETS, "challenge", "own"]),
    arg("--root", help="the dataset's folder; for own, its CSV"),
    arg("--out", help="the store's folder"),
    arg("--sampling-rate", type=at_least(1), default=500, help="Hz (500)"),
    arg("--duration", type=float, default=10.0, help="seconds kept (10)"),
    arg("--transform", default="raw", choices=["raw", "bandpass-zscore"]),
    JOBS,
    ONLY_IDS,
    arg("--limit", type=at_least(1), help="mimic: the first records only"),
    arg("--file-rate", type=int, help="ptbxl: read the 500 (default) or 100 Hz files"),
    arg("--labels", help="csn: exact (default) or published"),
    arg("--lengths", help="cpsc2018: first-10s, first-5s-padded, windows"),
    LEADS,
    arg("--check", metavar="STORE", help="verify a store, print its card"),
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

    if args.check:
        card = check(args.check)
        print(card)
        if card.problems:
            raise StoreError(f"{args.check}: {'; '.join(map(str, card.problems))}")
        return
    if not (args.dataset and args.root and args.out):
        raise ConfigError("pack needs a dataset, --root and --out, or --check STORE.")
    store = open_or_pack(
        args.dataset,
        args.root,
        args.out,
        input=InputConfig(args.sampling_rate, args.duration, args.transform),
        jobs=args.jobs,
        allow_missing_leads=args.allow_missing_leads,
        **_given(args, "limit", "only_ids", "labels", "lengths", "file_rate"),
    )
    lost = store.meta["rejected"] + store.meta["left_out"]
    where = f", each with its reason in {store.path / 'rejected.csv'}" if lost else ""
    print(f"{len(store)} records in {store.path}; {lost} left out{where}")


@command(
    arg("--params", required=True, help=A_PROFILE),
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

    On six GPUs: torchrun --nproc-per-node 6 -m mccgaa.cli pretrain --params paper

    Example: mccgaa pretrain --params real --seed 0 --set pretrain.epochs=2
    """
    from mccgaa.data.datasets import open_store
    from mccgaa.data.store import SignalStore
    from mccgaa.knowledge import Knowledge
    from mccgaa.pairs import load_pairs
    from mccgaa.pretrain import pretrain
    from mccgaa.profile import Profile
    from mccgaa.runtime import pick_device, process_group, rank_zero_first
    from mccgaa.settings import from_pairs

    profile = Profile.load(args.params)
    config = profile.run_config(args.variant, args.seed, from_pairs(args.set))
    knowledge = Knowledge.load(args.knowledge or profile.knowledge)
    note = {"tier": profile.tier, "title": profile.title}
    with process_group(pick_device(args.device)) as (rank, _):
        with rank_zero_first():  # who may have to pack the store
            store = SignalStore.open(args.store) if args.store else open_store(profile)
        pairs = load_pairs(store, config, knowledge, device=args.device)
        out = args.out or profile.runs
        folder = pretrain(config, pairs, out, device=args.device, note=note)
        if rank == 0:
            print(folder)


@command(
    RUN,
    arg("--store", required=True, help="the packed records"),
    arg("--tasks", nargs="+", default=[], help="default: all that the store has"),
    arg("--split", default="test", choices=["train", "val", "test", "all"]),
    arg("--fused", action="store_true", help="score through GAFA: transductive"),
    *PROMPTS,
    arg("--bootstrap", type=at_least(0), default=1000, help="resamples (0: none)"),
    arg("--precision", default="bf16", choices=["bf16", "fp32"], help="of the encoder"),
    KNOWLEDGE,
    DEVICE,
    JSON,
)
def zeroshot(args: argparse.Namespace) -> None:
    """Score a run on tasks by the similarity of ECGs and class texts.

    No classifier is fitted to the tasks' labels; what pretraining has read of the
    classes is printed and written with the results. With --fused, which needs the
    bipartite graph, a record's score depends on the other records.

    Example: mccgaa zeroshot --run runs/RUN --store stores/ptbxl-100 --tasks super sub
    --json out.json
    """
    from mccgaa.data.store import SignalStore
    from mccgaa.knowledge import Knowledge
    from mccgaa.protocol import protocol
    from mccgaa.zeroshot import load_model, zero_shot

    store = SignalStore.open(args.store)
    model = load_model(args.run_folder, args.device)
    knowledge = Knowledge.load(args.knowledge)
    tasks = [t for word in args.tasks for t in word.split(",") if t]
    tasks = tasks or list(store.meta["tasks"])
    names = ("fused", "prompts", "reduction", "precision", "bootstrap", "device")
    how = _given(args, *names)
    how["split"] = None if args.split == "all" else args.split
    results = zero_shot(model, store, tasks, knowledge, progress=True, **how)
    found = protocol(args.run_folder, model, store, tasks, knowledge, **how)
    print(found["meaning"])
    for task, result in results.items():
        print(f"{task:10s} {result}")
    if args.json is not None:
        found["tasks"] = {task: result.to_dict() for task, result in results.items()}
        write_json(args.json, found)


@command(
    arg("record", help="WFDB, .mat, .npy, .edf or .csv"),
    RUN,
    arg("--classes", nargs="+", required=True, help="names in plain words"),
    arg("--sampling-rate", type=float, help="Hz, where the file has none"),
    *PROMPTS,
    LEADS,
    KNOWLEDGE,
    DEVICE,
    JSON,
)
def classify(args: argparse.Namespace) -> None:
    """Rank classes in plain words for one ECG file.

    Example: mccgaa classify my_ecg.hea --run runs/RUN --classes 'atrial fibrillation'
    'sinus rhythm'
    """
    from mccgaa.data.record import read_record
    from mccgaa.knowledge import Knowledge
    from mccgaa.zeroshot import classify, load_model, ranking

    missing, rate = args.allow_missing_leads, args.sampling_rate
    record = read_record(args.record, allow_missing_leads=missing, sampling_rate=rate)
    model = load_model(args.run_folder, args.device)
    how = _given(args, "prompts", "reduction")
    rows = classify(model, record, args.classes, Knowledge.load(args.knowledge), **how)
    print(ranking(rows), DISCLAIMER)
    if args.json is not None:
        write_json(args.json, rows)


@command(
    arg("experiments", nargs="+", metavar="EXPERIMENT"),
    arg("--profile", required=True, help=A_PROFILE),
    arg("--variants", nargs="+", help="default: the profile's `reproduce`"),
    arg("--seeds", nargs="+", type=at_least(0), help="likewise"),
    arg("--publish", action="store_true", help="all of them, to the tracked results/"),
    arg("--dry-run", action="store_true", help="list the runs needed"),
    SET,
)
def run(args: argparse.Namespace) -> None:
    """Make a profile's experiments (zeroshot, pretraining, transfer) into reruns/.

    Runs that exist are loaded, the others are trained.

    Example: mccgaa run zeroshot --profile real --variants bipartite merl --seeds 0 1
    """
    from mccgaa.settings import from_pairs
    from mccgaa_book import experiments
    from mccgaa_book.lab import Lab

    lab = Lab(args.profile, from_pairs(args.set))
    options = _given(args, "variants", "seeds", "publish", "dry_run")
    print(*experiments.run(args.experiments, lab, **options), sep="\n")


@command(arg("--profile", required=True, help=A_PROFILE))
def compare(args: argparse.Namespace) -> None:
    """Set a profile's reruns beside the published results.

    Example: mccgaa compare --profile real
    """
    from mccgaa_book.compare import compare

    print(compare(args.profile))


@command(
    arg("action", choices=["execute", "check", "build", "readme"]),
    arg("--profile", help=A_PROFILE),
    arg("--only", nargs="+", help="execute these chapters, stale or not"),
    arg("--force", action="store_true", help="execute fresh chapters, too"),
    arg("--publish", action="store_true", help="put executed chapters into the book"),
)
def book(args: argparse.Namespace) -> None:
    """Execute chapters, check or build the book, or bring its results into README.md.

    Executed chapters go to reruns/; only --publish and readme change a tracked file.

    Example: mccgaa book execute --profile synthetic --only 07_zero_shot
    """
    from mccgaa_book.press import book, readme

    if args.action == "execute":
        if not args.profile:
            raise ConfigError("book execute needs --profile, such as synthetic.")
        book.execute(args.profile, **_given(args, "only", "publish", "force"))
    elif args.action == "check":
        problems = book.check()
        if problems:
            raise MccgaaError("\n".join(["The book is not fresh:", *problems]))
        print("Every page is fresh and without errors.")
    elif args.action == "build":
        print(book.build(args.profile))
    else:
        print(readme.update())


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options that have a value."""
    return {n: getattr(args, n) for n in names if getattr(args, n) is not None}


if __name__ == "__main__":
    sys.exit(main())
