"""The commands that score a model, ask it, and make it ready to use."""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, get_args

from mccgaa.choices import Precision, Prompts, Recipe, Reduction
from mccgaa.commands.command import (
    DEVICE,
    DISCLAIMER,
    JSON,
    KNOWLEDGE,
    LEADS,
    ONLY_IDS,
    Argument,
    arg,
    at_least,
    command,
    given,
    probability,
)
from mccgaa.commands.words import check_no_file, check_quotes, named_tasks, worded_alike
from mccgaa.counted import counted
from mccgaa.files import check_writable, write_json

if TYPE_CHECKING:
    from mccgaa.ready.classifier import Classifier

RUNS = arg(
    "--run",
    dest="runs",
    nargs="+",
    required=True,
    metavar="FOLDER",
    help="a run's, or those of several seeds from one start: their mean",
)
A_MODEL = (
    "a run's folder, a name on the Hugging Face hub, or a model that comes with the "
    "package: mccgaa-plus or mccgaa-plus-twin"
)
TRAINED = arg(
    "--run", "--model", dest="model", metavar="MODEL", required=True, help=A_MODEL
)
MODEL = arg(
    "--run",
    "--model",
    dest="model",
    metavar="MODEL",
    help=f"{A_MODEL} (default: mccgaa-plus)",
)
TASKS = arg("--tasks", nargs="+", default=[], help="default: all that the store has")
BOOTSTRAP = arg(
    "--bootstrap", type=at_least(0), default=1000, help="resamples (0: none)"
)
OWN = "the model's own"
PER_CENT = at_least(1, 100)
SHARES = "per cent of the training split (default: 1 10 100)"
TO_WRITE = "folder to write; its name is the model's, and one there is replaced"
RECIPE = "how the head is fitted (default: converged)"


def prompts(default: str, reduction: str = "max") -> tuple[Argument, Argument]:
    """How classes are worded and scored; see `prompting.Prompting`."""
    said = f"texts of a class (default: {default})"
    of = f"of the cosines with them (default: {reduction})"
    return (
        arg("--prompts", choices=get_args(Prompts), help=said),
        arg("--reduction", choices=get_args(Reduction), help=of),
    )


def load_asked(args: argparse.Namespace) -> Classifier:
    """Load the model of --run, whose own wording stays where no other is given."""
    from mccgaa.ready.classifier import folder_of, load, read_scoring

    own = read_scoring(folder_of(args.model)).prompting
    prompting = replace(own, **given(args, "prompts", "reduction"))
    options = given(args, "device", "knowledge")
    return load(args.model, prompting=prompting, **options)


def _write(path: str, results: Any) -> None:
    """Write the results of --json, and say so beside what is printed."""
    write_json(path, results)
    print(f"wrote {path}", file=sys.stderr)


@command(
    TRAINED,
    arg("--store", required=True, help="the packed records"),
    TASKS,
    arg(
        "--split",
        default="test",
        choices=["train", "val", "test", "all"],
        help="which records (test)",
    ),
    arg("--fused", action="store_true", help="score through GAFA: transductive"),
    *prompts("single"),
    BOOTSTRAP,
    arg(
        "--precision",
        default="bf16",
        choices=get_args(Precision),
        help="of the encoder",
    ),
    KNOWLEDGE,
    DEVICE,
    JSON,
)
def zeroshot(args: argparse.Namespace) -> None:
    """Score a model on tasks by the similarity of ECGs and class texts.

    No classifier is fitted to the tasks' labels; what pretraining has read of the
    classes is printed and written with the results. With --fused, which needs the
    bipartite graph, a record's score depends on the other records.

    Example: mccgaa zeroshot --run runs/RUN --store stores/ptbxl-100 --tasks super sub
    --json out.json
    """
    from mccgaa.data.check import open_verified
    from mccgaa.plus.prompting import Prompting
    from mccgaa.protocol import protocol
    from mccgaa.ready.classifier import folder_of, knowledge_of, read_scoring
    from mccgaa.zeroshot import load_model, zero_shot

    folder = folder_of(args.model)
    store = open_verified(args.store)
    model = load_model(folder, args.device)
    knowledge = knowledge_of(folder, args.knowledge)
    tasks = named_tasks(args, store)
    names = ("fused", "prompts", "reduction", "precision", "bootstrap", "device")
    how = given(args, *names)
    how["split"] = None if args.split == "all" else args.split
    results = zero_shot(model, store, tasks, knowledge, progress=True, **how)
    for task in tasks:
        alike = worded_alike(knowledge, task, store.classes(task), args.prompts)
        for note in (*alike, *results[task].doubts(task)):
            print(f"note: {note}", file=sys.stderr)
    found = protocol(folder, model, store, tasks, knowledge, **how)
    print(found["meaning"])
    asked = Prompting(**given(args, "prompts", "reduction"))
    records = "all records" if args.split == "all" else f"the {args.split} split"
    print(f"Scores of {records} of {store.meta['source']}: {asked.in_words()}.")
    own = read_scoring(folder).prompting
    if own.flags() not in (asked.flags(), Prompting().flags()):
        print(
            f"note: classify and the card of {args.model} score otherwise, with "
            f"{own.flags()}: other numbers.",
            file=sys.stderr,
        )
    for task, result in results.items():
        print(f"{task:10s} {result}")
    if args.json is not None:
        found["tasks"] = {task: result.to_dict() for task, result in results.items()}
        _write(args.json, found)


@command(
    TRAINED,
    arg("--store", required=True, help="the packed records, with all three splits"),
    TASKS,
    arg("--shares", nargs="+", type=PER_CENT, default=[1, 10, 100], help=SHARES),
    arg("--seed", type=at_least(0), default=0, help="which records a share is"),
    arg("--recipe", default="converged", choices=get_args(Recipe), help=RECIPE),
    BOOTSTRAP,
    DEVICE,
    JSON,
)
def probe(args: argparse.Namespace) -> None:
    """Score a model's frozen encoder by linear heads fitted to a store's labels.

    The recipe converged chooses everything on the validation split and scores the test
    split once. The recipe merl is the ancestor's: it reports the best epoch of the test
    split, and beside it the best of the validation split and the last.

    Example: mccgaa probe --run runs/RUN --store stores/ptbxl-100 --tasks super --shares
    1 10 100 --json out.json
    """
    from mccgaa.data.check import open_verified
    from mccgaa.data.store import SPLITS
    from mccgaa.probe import model_features, split_rows
    from mccgaa.probing import probe_tasks, protocol
    from mccgaa.ready.classifier import folder_of
    from mccgaa.zeroshot import load_model

    folder = folder_of(args.model)
    store = open_verified(args.store)
    model = load_model(folder, args.device)
    tasks = named_tasks(args, store)
    how = given(args, "shares", "seed", "recipe", "bootstrap")
    found = protocol(folder, store, **how)
    for task in tasks:
        for split in SPLITS:
            split_rows(store, task, split)  # before the records are encoded
    x = model_features(model, store, device=args.device, progress=True)
    print(found["meaning"])
    rows = []
    for row in probe_tasks(x, store, tasks, **how):
        print(f"{row.task:10s} {row.share:3d} % {row.recipe:14s} {row.result}")
        rows.append(row.to_dict())
    if args.json is not None:
        _write(args.json, found | {"results": rows})


@command(
    arg("folder", help="records of one hospital, or of several with a folder each"),
    MODEL,
    ONLY_IDS,
    arg("--limit", type=at_least(1), help="the first records only"),
    *prompts(OWN, OWN),
    BOOTSTRAP,
    LEADS,
    KNOWLEDGE,
    DEVICE,
    JSON,
)
def evaluate(args: argparse.Namespace) -> None:
    """Score a model on a folder in the layout of the PhysioNet/CinC challenges.

    Its records are pairs of a WFDB header, whose #Dx line has SNOMED-CT codes, and a
    .mat of signals. Results are per hospital and class; codes that are no class, and
    records that were left out, are named.

    Example: mccgaa evaluate data/georgia --run mccgaa-plus --json out.json
    """
    from mccgaa.ready.classifier import folder_of
    from mccgaa.ready.evaluation import evaluate_folder

    model = load_asked(args)
    options = given(args, "only_ids", "limit", "allow_missing_leads", "bootstrap")
    found = evaluate_folder(model, args.folder, progress=True, **options)
    said = found.protocol(folder_of(args.model), model)
    print(said["meaning"])
    for name, result in {"together": found.together, **found.hospitals}.items():
        print(f"{name:16s} {result}")
    for name, one in found.together.classes.items():
        low, high = one["ci95"]
        interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if args.bootstrap else ""
        shown = f"{100 * one['auroc']:5.1f}{interval}  {one['positives']} positive"
        print(f"  {name:8s} {shown}  {found.texts[name]}")
    for one in found.unmapped:
        name = one["name"] or "not in the knowledge base"
        print(f"no class: {one['code']} ({name}), {counted(one['records'], 'record')}")
    for one in found.rejected:
        print(f"left out: {one['record_id']}, {one['reason']}")
    print(DISCLAIMER)
    if args.json is not None:
        _write(args.json, said | {"bootstrap": args.bootstrap} | found.to_dict())


@command(
    arg(
        "record",
        nargs="?",
        help="WFDB, .npy, .edf, .csv or CPSC2018's .mat (default: a simulated example)",
    ),
    MODEL,
    arg("--classes", nargs="+", help="in plain words (default: every finding)"),
    arg(
        "--top", type=at_least(1), help="show this many (default: 10 of every finding)"
    ),
    arg(
        "--threshold",
        type=probability,
        metavar="P",
        help="show what is this probable (0 to 1)",
    ),
    arg(
        "--plot",
        metavar="FILE",
        help="draw the ECG and what speaks for the first finding: .svg, .pdf or .png",
    ),
    arg("--layout", default="3x4", choices=["3x4", "12x1"], help="of the plot's leads"),
    arg("--sampling-rate", type=float, help="Hz, where the file has none"),
    arg("--units", help="mV (default), uV or V, where the file has none"),
    *prompts(OWN, OWN),
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
    from mccgaa.data.record import read_record
    from mccgaa.ready.classifier import EXAMPLE, Doubt, ranking

    if args.plot is not None:
        from mccgaa.ready.plot import check_plot, save

        check_writable(args.plot)
        check_plot(args.plot)
    if args.record is None:
        check_no_file(args.classes or ())
    reading = given(args, "sampling_rate", "units", "allow_missing_leads")
    record = read_record(EXAMPLE if args.record is None else args.record, **reading)
    model = load_asked(args)
    check_quotes(args.classes or (), model.knowledge)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Doubt)  # those of what is shown are printed
        findings = model.classify(record, args.classes)
    least = args.threshold or 0.0
    shown = [f for f in findings if f.chance >= least][: args.top]
    asked = args.classes or args.top or args.threshold is not None
    few = shown if asked else shown[:10]
    print(ranking(few) if few else f"No finding has {least:g} or more.")
    print(DISCLAIMER)
    if args.record is None:
        print("note: no file was given; this is the example", file=sys.stderr)
    for doubt in model.doubts(record, [finding.name for finding in few]):
        print(f"note: {doubt}", file=sys.stderr)
    if args.plot is not None:
        first = findings[0]
        costs = model.occlude(record, first.name)
        title = f"{first.name}: {first.chance:.0%}"
        save(args.plot, record, title, *costs, layout=args.layout)
        print(f"wrote {args.plot}", file=sys.stderr)
    if args.json is not None:
        _write(args.json, [asdict(finding) for finding in shown])


@command(
    RUNS,
    arg("--out", required=True, help=TO_WRITE),
    arg(
        "--start-share",
        type=probability,
        default=0.0,
        metavar="S",
        help="part of the weights that the run started from in the model's (0)",
    ),
    arg("--calibrate", metavar="STORE", help="records to fit probabilities to"),
    arg("--test", nargs="+", default=[], metavar="STORE", help="scored for the card"),
    arg("--onnx", action="store_true", help="write the ECG encoder as ONNX, too"),
    *prompts("members"),
    KNOWLEDGE,
)
def export(args: argparse.Namespace) -> None:
    """Make a run's model ready to use: a small folder that classify and load take.

    Classes are scored through all of their wordings unless --prompts says otherwise.
    With --calibrate, records of the training and validation split are used where
    pretraining read none of them, else of the validation split alone. Where that is not
    known, as with another store of the same source, the card says so.

    A run that started from another model's weights forgets some of what that one knew.
    With --start-share 0.5 the model is half-way between both, which may keep the better
    part of each (chapter 8 of the book); and of several such runs it is the mean.

    Example: mccgaa export --run runs/RUN --out my-model --calibrate stores/ptbxl-100
    --test stores/ptbxl-100 --onnx
    """
    from mccgaa.data.check import open_verified
    from mccgaa.knowledge import Knowledge
    from mccgaa.plus.prompting import Prompting
    from mccgaa.ready.export import export

    how = {"prompts": "members"} | given(args, "prompts", "reduction")
    folder = export(
        args.runs,
        args.out,
        start_share=args.start_share,
        knowledge=Knowledge.load(args.knowledge),
        prompting=Prompting(**how),
        calibrate_on=open_verified(args.calibrate) if args.calibrate else None,
        test_on=[open_verified(path) for path in args.test],
        onnx=args.onnx,
    )
    print(folder)
