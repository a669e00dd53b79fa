"""Settings as frozen dataclasses: read from YAML and checked, laid over, and hashed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from mccgaa.errors import ConfigError, did_you_mean
from mccgaa.files import write_whole

T = TypeVar("T")


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a number outside [low, high].

    Args:
        name: dotted name of the setting, such as "pretrain.epochs".
        value: what it is set to.
        low: the least that is allowed.
        high: the most that is allowed.

    Raises:
        ConfigError: the value is outside, or not a number.
    """
    if not low <= value <= high:
        wanted = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise ConfigError(f"{name} is {value}; expected {wanted}.")


def require(holds: bool, name: str, value: Any, expected: str) -> None:
    """Refuse a setting that nothing can be built from.

    Args:
        holds: whether the value is as it should be.
        name: dotted name of the setting, such as "gafa.tau".
        value: what it is set to.
        expected: what it should be, in words.

    Raises:
        ConfigError: it does not hold.
    """
    if not holds:
        raise ConfigError(f"{name} is {value!r}; expected {expected}.")


def choose(hint: Any, value: T, name: str) -> T:
    """Return a value that is one of a Literal's choices, or refuse it by its name."""
    choices = typing.get_args(hint)
    if value not in choices:
        words = [str(choice) for choice in choices]
        raise ConfigError(
            f"{name} is {value!r}; expected one of {', '.join(words)}."
            f"{did_you_mean(str(value), words)}"
        )
    return value


def check_choices(config: Any, section: str) -> None:
    """Check every field of a dataclass whose type is a Literal.

    Args:
        config: an instance of one of the dataclasses of settings.
        section: what its fields' dotted names start with.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        if typing.get_origin(hint) is Literal:
            choose(hint, getattr(config, name), f"{section}.{name}")


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain dicts, lists and scalars."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def later(default: Any) -> Any:
    """Declare a field of settings that was added after runs had been made.

    At its default it is left out of `decisive`, so that the hashes of older runs and
    results hold; it must then change nothing.
    """
    return dataclasses.field(default=default, metadata={"later": True})


def decisive(config: Any) -> dict[str, Any]:
    """Return `to_dict` without the `later` fields that are at their defaults."""
    plain = to_dict(config)
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            plain[f.name] = decisive(value)
        elif f.metadata.get("later") and value == f.default:
            del plain[f.name]
    return plain


def from_dict(cls: type[T], data: dict[str, Any] | None, where: str = "") -> T:
    """Build a configuration from plain data, refusing what it does not know.

    Args:
        cls: one of this module's dataclasses.
        data: its fields; absent ones keep their defaults.
        where: dotted path of `data` in its file, for the error message.

    Raises:
        ConfigError: an unknown field, or a value of the wrong type or choice.
    """
    where = where or cls.__name__
    data = as_mapping({} if data is None else data, where)
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in data.items():
        if key not in known:
            raise ConfigError(
                f"{where} has no setting {key!r}; it knows {', '.join(sorted(known))}."
                f"{did_you_mean(str(key), known)}"
            )
        values[key] = _coerce(hints[key], value, f"{where}.{key}")
    missing = [
        f.name
        for f in fields(cls)  # type: ignore[arg-type]
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}; give a value for each.")
    return cls(**values)


def as_mapping(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a mapping of settings, but is {data!r}.")
    return data


def nest(cls: type, data: Any, rest: str, where: str) -> dict[str, Any]:
    """Move the settings that are no fields of `cls` into its field `rest`."""
    known = {f.name for f in fields(cls)} - {rest}
    nested: dict[str, Any] = {rest: {}}
    for key, value in as_mapping({} if data is None else data, where).items():
        (nested if key in known else nested[rest])[key] = value
    return nested


SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # 1e-4: to YAML, a text
ON_OFF = {True: "on", False: "off"}  # to YAML, these words are true and false
KINDS = {  # what a setting's type is called
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list, such as [0, 1]",
    dict: "names with values",
}


def _coerce(hint: Any, value: Any, where: str) -> Any:
    """Check one value against its type hint; lists become tuples."""
    if is_dataclass(hint):
        return from_dict(hint, as_mapping(value, where), where)  # type: ignore[arg-type]
    if hint is Any:
        return value
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict and isinstance(value, dict):
        return {k: _coerce(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin is Literal:
        meant = ON_OFF[value] if isinstance(value, bool) else value
        return choose(hint, meant if meant in args else value, where)
    hint = origin or hint
    if origin is tuple and isinstance(value, list | tuple):
        inner = args[:1] * len(value) if args[-1] is ... else args
        if len(inner) != len(value):
            raise ConfigError(f"{where} is {value!r}; expected {len(inner)} values.")
        return tuple(_coerce(h, v, where) for h, v in zip(inner, value, strict=True))
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _coerce(args[0], value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(
            f"{where} is {value!r}; expected {KINDS.get(hint, hint.__name__)}."
        )
    return value


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[key] = merge(inner, value) if both else value
    return merged


def stable_hash(config: Any, length: int = 10) -> str:
    """Name a configuration by its content, the same on every machine.

    Args:
        config: a dataclass of this module, or plain data.
        length: hexadecimal digits kept.
    """
    plain = to_dict(config) if is_dataclass(config) else config
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def load_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: the file is absent, unreadable or not a mapping.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML ({yaml_fault(error)}).") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of settings at its top.")
    return data


def yaml_fault(error: yaml.YAMLError) -> str:
    """Say where a text is no YAML, and why."""
    why = getattr(error, "problem", None) or str(error).partition("\n")[0]
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {why}" if mark else why


def dump_yaml(data: dict[str, Any], path: Path | str) -> None:
    """Write a mapping as YAML, keys in their given order."""
    with write_whole(path) as file:
        yaml.safe_dump(data, file, sort_keys=False)
