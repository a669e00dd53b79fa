"""The command line: `mccgaa COMMAND --help` explains each command with an example.

A command is a function with its arguments above it; its docstring is its help. Heavy
imports are inside the functions, so that help is fast.
"""

from __future__ import annotations

import argparse
import math
import sys

from mccgaa.command import (
    COMMANDS,
    DISCLAIMER,
    Argument,
    arg,
    at_least,
    build_parser,
    command,
    given,
    main,
)
from mccgaa.data.physionet import DATASETS
from mccgaa.errors import ConfigError, MccgaaError, StoreError
from mccgaa.files import check_writable, write_json

__all__ = ["COMMANDS", "build_parser", "main"]

JOBS = arg("--jobs", type=at_least(1), help="processes (default: all cores)")
SEED = arg("--seed", type=at_least(0), default=0)
ONLY_IDS = arg("--only-ids", help="file of record ids, one per line")
RUN = arg("--run", dest="run_folder", required=True, help="a run's folder")
LEADS = arg("--allow-missing-leads", action="store_true", help="take them as zeros")
KNOWLEDGE = arg("--knowledge", help="a knowledge base of your own (YAML, JSON)")
DEVICE = arg("--device", help="cpu, cuda, cuda:1 (default: a GPU if any)")
JSON = arg("--json", help="write the results here")
A_PROFILE = "a profile: a file, or the name of one in params/"
SET_HELP = "override settings, such as pretrain.epochs=2 model.gafa.graph=none"
REDUCTION_HELP = "of the cosines with them (default: max)"
SET = arg("--set", nargs="+", default=[], metavar="KEY=VALUE", help=SET_HELP)


def prompts(default: str) -> tuple[Argument, Argument]:
    """How classes are worded and scored; see `prompting.Prompting`."""
    said = f"texts of a class (default: {default})"
    return (
        arg("--prompts", choices=["single", "members"], help=said),
        arg("--reduction", choices=["max", "mean", "best-member"], help=REDUCTION_HELP),
    )


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

    sizes = given(args, *DATASETS)
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

    print(download(args.dataset, args.root, **given(args, "jobs", "only_ids", "host")))


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
        **given(args, "limit", "only_ids", "labels", "lengths", "file_rate"),
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
    *prompts("single"),
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
    how = given(args, *names)
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
    arg(
        "record",
        nargs="?",
        help="WFDB, .mat, .npy, .edf or .csv (default: a shipped, simulated example)",
    ),
    arg(
        "--run",
        dest="model",
        metavar="MODEL",
        help="a model that comes with the "
        "package (the default), a run's folder, or a name on the Hugging Face hub",
    ),
    arg("--classes", nargs="+", help="in plain words (default: every finding)"),
    arg(
        "--top", type=at_least(1), help="show this many (default: 10 of every finding)"
    ),
    arg("--threshold", type=float, metavar="P", help="show what is this probable"),
    arg(
        "--plot",
        metavar="FILE",
        help="draw the ECG and what speaks for the first finding: .svg, .pdf or .png",
    ),
    arg("--layout", default="3x4", choices=["3x4", "12x1"], help="of the plot's leads"),
    arg("--sampling-rate", type=float, help="Hz, where the file has none"),
    arg("--units", help="mV (default), uV or V, where the file has none"),
    *prompts("the model's own"),
    LEADS,
    KNOWLEDGE,
    DEVICE,
    JSON,
)
def classify(args: argparse.Namespace) -> None:
    """Say what one ECG file shows: its findings, or the classes that you name.

    Example: mccgaa classify my_ecg.hea --classes 'atrial fibrillation' 'sinus rhythm'
    --plot out.svg
    """
    from dataclasses import asdict

    from mccgaa.data.record import read_record
    from mccgaa.prompting import Prompting
    from mccgaa.ready import EXAMPLE, load, ranking

    if args.plot is not None:
        check_writable(args.plot)
    how = given(args, "prompts", "reduction")
    reading = given(args, "sampling_rate", "units", "allow_missing_leads")
    record = read_record(args.record or EXAMPLE, **reading)
    how = {"prompting": Prompting(**how)} if how else {}
    model = load(args.model, device=args.device, knowledge=args.knowledge, **how)
    findings = model.classify(record, args.classes)
    least = args.threshold or 0.0
    shown = [f for f in findings if f.chance >= least][: args.top]
    few = shown if args.classes or args.top or least else shown[:10]
    print(ranking(few) if few else f"No finding has {least:g} or more.")
    print(DISCLAIMER)
    if args.plot is not None:
        from mccgaa.plot import save

        first = findings[0]
        costs = model.occlude(record, first.name)
        title = f"{first.name}: {first.chance:.0%}"
        save(args.plot, record, title, *costs, layout=args.layout)
    if args.json is not None:
        write_json(args.json, [asdict(finding) for finding in shown])


@command(
    RUN,
    arg("--out", required=True, help="folder to write; its name is the model's"),
    arg("--calibrate", metavar="STORE", help="records to fit probabilities to"),
    arg("--test", nargs="+", default=[], metavar="STORE", help="scored for the card"),
    arg("--onnx", action="store_true", help="write the ECG encoder as ONNX, too"),
    *prompts("members"),
    KNOWLEDGE,
)
def export(args: argparse.Namespace) -> None:
    """Make a run's model ready to use: a small folder that classify and load take.

    Classes are scored through all of their wordings unless --prompts says otherwise.
    With --calibrate, records of the training and validation split are used, or of the
    latter alone where the run was trained on that store.

    Example: mccgaa export --run runs/RUN --out my-model --calibrate stores/ptbxl-100
    --test stores/ptbxl-100 --onnx
    """
    from mccgaa.data.store import SignalStore
    from mccgaa.export import export
    from mccgaa.knowledge import Knowledge
    from mccgaa.prompting import Prompting

    how = {"prompts": "members"} | given(args, "prompts", "reduction")
    folder = export(
        args.run_folder,
        args.out,
        knowledge=Knowledge.load(args.knowledge),
        prompting=Prompting(**how),
        calibrate_on=SignalStore.open(args.calibrate) if args.calibrate else None,
        test_on=[SignalStore.open(path) for path in args.test],
        onnx=args.onnx,
    )
    print(folder)


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
    options = given(args, "variants", "seeds", "publish", "dry_run")
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
        book.execute(args.profile, **given(args, "only", "publish", "force"))
    elif args.action == "check":
        problems = book.check()
        if problems:
            raise MccgaaError("\n".join(["The book is not fresh:", *problems]))
        print("Every page is fresh and without errors.")
    elif args.action == "build":
        print(book.build(args.profile))
    else:
        print(readme.update())


if __name__ == "__main__":
    sys.exit(main())
