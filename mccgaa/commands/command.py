"""What a command of the command line is: a function, its arguments, its errors."""

from __future__ import annotations

import argparse
import inspect
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mccgaa.errors import ConfigError, MccgaaError
from mccgaa.files import check_writable

DISCLAIMER = (
    "Results are research evidence about a method on named data; nothing here is a "
    "medical device or fit for diagnosis."
)
DEBUG = "MCCGAA_DEBUG"  # set in the environment, it shows the traceback of every error
TRAINING = ("pretrain", "run", "book")  # commands that train, or may
CONTINUING = ("download", "pack", *TRAINING)  # commands, when stopped
PEERS = ("gloo", "NCCL", "TCPStore")  # in messages of processes that train together

Command = Callable[[argparse.Namespace], None]
Argument = tuple[tuple[str, ...], dict[str, Any]]  # what `add_argument` takes

COMMANDS: list[tuple[Command, tuple[Argument, ...]]] = []


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 after a message on what the user can put right; 1 after one on an error
        that is ours; 130 when stopped.
    """
    args = build_parser().parse_args(argv)
    try:
        if getattr(args, "json", None) is not None:
            _check_json(args.json)
        args.run(args)
    except KeyboardInterrupt:
        name = args.run.__name__
        advice = "; start the same command again to continue" * (name in CONTINUING)
        advice += ", a run from its last checkpoint" * (name in TRAINING)
        print(f"stopped{advice}.", file=sys.stderr)
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


def _check_json(path: str) -> None:
    """Refuse a file that cannot be written, or may be the user's own."""
    if Path(path).is_file() and not path.endswith(".json"):
        raise ConfigError(
            f"--json would replace {path}, which is no .json file; give another name."
        )
    check_writable(path)


def _sentence(error: Exception) -> tuple[str, bool]:
    """What to tell the user, and whether the fault is ours."""
    text = str(error)
    if isinstance(error, MccgaaError | ValueError):
        return text, False
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith(
        "mccgaa"
    ):
        return (
            f"The package {error.name} is not installed. The experiments and the book "
            'need more than the rest; install it with: pip install "mccgaa[book]".'
        ), False
    if isinstance(error, OSError):
        why = error.strerror or text
        return f"{error.filename}: {why}." if error.filename else why, False
    if isinstance(error, RuntimeError) and any(word in text for word in PEERS):
        return (
            f"Another process of this run ended, or cannot be reached "
            f"({text.strip().splitlines()[0]}); torchrun starts all of them again as "
            "often as its --max-restarts says, from the last checkpoint."
        ), False
    if isinstance(error, RuntimeError) and ("CUDA" in text or "device" in text):
        advice = "lower the batch size, or choose another with --device."
        return f"The device failed ({text.strip().splitlines()[0]}); {advice}", False
    advice = f"start the same command with {DEBUG}=1 and report the traceback."
    return f"{type(error).__name__}: {text}. This is a fault of mccgaa: {advice}", True


class _Version(argparse.Action):
    """Print the version, which takes time to look up, where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"mccgaa {version('mccgaa')}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    parser = argparse.ArgumentParser(
        prog="mccgaa",
        description="A reproducible companion to MCCGAA: zero-shot ECG classification.",
        epilog=DISCLAIMER,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print it and exit")
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


def at_least(low: int, high: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `low` on, or to `high`."""
    allowed = f"of {low} or more" if high is None else f"from {low} to {high}"

    def whole(text: str) -> int:
        most = math.inf if high is None else high
        if not text.isdecimal() or not low <= int(text) <= most:
            said = f"{text!r} is not a whole number {allowed}"
            raise argparse.ArgumentTypeError(said)
        return int(text)

    return whole


def probability(text: str) -> float:
    """The type of an argument that is a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        said = f"{text!r} is not a probability from 0 to 1"
        raise argparse.ArgumentTypeError(said)
    return number


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options that have a value."""
    return {n: getattr(args, n) for n in names if getattr(args, n) is not None}


# Arguments of commands in more than one module.
SEED = arg("--seed", type=at_least(0), default=0, help="of all that is drawn (0)")
ONLY_IDS = arg("--only-ids", help="file of record ids, one per line")
LEADS = arg("--allow-missing-leads", action="store_true", help="take them as zeros")
KNOWLEDGE = arg("--knowledge", help="a knowledge base of your own (YAML, JSON)")
DEVICE = arg("--device", help="cpu, cuda, cuda:1 (default: a GPU if any)")
JSON = arg("--json", help="write the results here")
A_PROFILE = "a profile: a file, or the name of one in params/"
PROFILE = ("--profile", "--params")  # the flags of one; the first is the usual one
SET_HELP = (
    "override settings, such as pretrain.epochs=2 model.gafa.graph=none; `mccgaa "
    "settings` says what each means"
)
SET = arg("--set", nargs="+", default=[], metavar="KEY=VALUE", help=SET_HELP)
