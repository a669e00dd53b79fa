"""The command that lists every setting of a run, from where it is declared."""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import json
import sys
import textwrap
import tokenize
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Literal, NamedTuple

from mccgaa.commands.command import A_PROFILE, PROFILE, arg, command
from mccgaa.errors import ConfigError, did_you_mean

if typing.TYPE_CHECKING:
    from mccgaa.profile import Profile

WIDTH = 88  # of what is printed
INDENT = " " * 4

# Group -> what describes it, where it is no part of a run's configuration.
OTHERS: dict[str, Callable[[Profile | None], Iterable[Setting]]] = {}


class Setting(NamedTuple):
    """One setting, as the command shows it."""

    name: str  # dotted
    value: str  # as --set takes it
    meaning: str
    choices: str  # "" where any value of the type will do

    def __str__(self) -> str:
        said = f"{self.meaning} [{self.choices}]" if self.choices else self.meaning
        indent = {"initial_indent": INDENT, "subsequent_indent": INDENT}
        return f"{self.name}={self.value}\n{textwrap.fill(said, WIDTH, **indent)}"


@command(
    arg("name", nargs="?", help="a setting, or a group of them, such as model.gafa"),
    arg(*PROFILE, help=f"show the values of {A_PROFILE}"),
    arg("--variant", help="of the profile (default: its first)"),
)
def settings(args: argparse.Namespace) -> None:
    """Say what each setting of a run means, and its default.

    A profile's file sets them, and --set of pretrain and run overrides them.

    Example: mccgaa settings pretrain
    """
    from mccgaa.config import RunConfig
    from mccgaa.profile import Profile

    config, profile = RunConfig(), None
    if args.profile:
        profile = Profile.load(args.profile)
        config = profile.run_config(args.variant)
    elif args.variant:
        raise ConfigError("--variant is one of a profile; give its --profile, too.")
    wanted = args.name or ""
    group = wanted.partition(".")[0]
    if group in OTHERS:
        found = [*OTHERS[group](profile)]
    else:
        parts = (config.model, "model"), (config.pretrain, "pretrain")
        found = [setting for part in parts for setting in described(*part)]
    shown = [s for s in found if not wanted or f".{wanted}." in f".{s.name}."]
    if not shown:
        words = {part for s in found for part in (s.name, *s.name.split("."))}
        raise ConfigError(
            f"There is no setting {wanted!r}.{did_you_mean(wanted, words)} "
            "`mccgaa settings` lists all of them."
        )
    print(*shown, sep="\n")
    if not wanted:
        also = [f"See also: mccgaa settings {name}" for name in OTHERS]
        print(*also, sep="\n", file=sys.stderr)


def described(config: Any, section: str) -> Iterator[Setting]:
    """Describe the settings of a dataclass and those inside it, in their order.

    Args:
        config: its values.
        section: what the dotted names begin with.
    """
    hints, said = typing.get_type_hints(type(config)), comments(type(config))
    for one in fields(config):
        value, name = getattr(config, one.name), f"{section}.{one.name}"
        if is_dataclass(value):
            yield from described(value, name)
        else:
            choices = " | ".join(_choices(hints[one.name]))
            plain = json.dumps(value, separators=(",", ":"))
            shown = value if isinstance(value, str) else plain
            yield Setting(name, shown, said[one.name], choices)


def comments(cls: type) -> dict[str, str]:
    """The comment of each field of a class: the lines above it, and that beside it.

    Fields that a class has from another one are told there.
    """
    inherited = [comments(base) for base in cls.__bases__ if is_dataclass(base)]
    source = textwrap.dedent(inspect.getsource(cls))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = source.splitlines()
    found = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }
    said = {name: text for one in inherited for name, text in one.items()}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign):
            first = node.lineno
            while lines[first - 2].lstrip().startswith("#"):
                first -= 1
            rows = range(first, (node.end_lineno or first) + 1)
            said[ast.unparse(node.target)] = " ".join(
                found[row] for row in rows if row in found
            )
    return said


def _choices(hint: Any) -> list[str]:
    """The values that a type names, inside a list or beside None, too."""
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    return [choice for part in typing.get_args(hint) for choice in _choices(part)]
