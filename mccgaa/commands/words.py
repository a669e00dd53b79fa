"""What the words of a command line name: tasks, classes, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mccgaa.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from mccgaa.data.store import SignalStore
    from mccgaa.knowledge import Knowledge


def named_tasks(args: argparse.Namespace, store: SignalStore) -> list[str]:
    """The tasks of --tasks, with or without commas; without it all of a store's."""
    tasks = [task for word in args.tasks for task in word.split(",") if task]
    if not tasks and not store.meta["tasks"]:
        raise ConfigError(
            f"No record of {store.path} has labels, so there is no task to score; give "
            "a store of labelled records."
        )
    return tasks or list(store.meta["tasks"])


def worded_alike(
    knowledge: Knowledge, task: str, classes: Sequence[str], prompts: str | None
) -> list[str]:
    """Say which classes of a task have the same text, and so the same scores."""
    seen: dict[tuple[str, ...], str] = {}
    said = []
    for name in classes:
        entry = knowledge.entry(task, name)
        members = knowledge.members(entry) if prompts == "members" else [entry]
        worded = tuple(one.name.strip().lower() for one in members)
        if worded in seen:
            said.append(
                f"{seen[worded]} and {name} of {task} are both worded "
                f"{entry.name!r} in {knowledge.source}: no score can tell them apart."
            )
        seen.setdefault(worded, name)
    return said


def check_no_file(classes: Sequence[str]) -> None:
    """Refuse a file as a class: the option takes all words that follow it."""
    for name in classes:
        if Path(name).is_file():
            raise ConfigError(
                f"--classes {name}: that is a file; put it before --classes."
            )


def check_quotes(classes: Sequence[str], knowledge: Knowledge) -> None:
    """Refuse the words of one class given as several, and several classes as one.

    Raises:
        ConfigError: with the class, or the classes, that may be meant.
    """
    for start in range(len(classes)):
        for end in range(start + 2, len(classes) + 1):
            words, whole = classes[start:end], " ".join(classes[start:end])
            if knowledge.find(whole) and not all(map(knowledge.find, words)):
                raise ConfigError(
                    f"{' and '.join(map(repr, words))} are separate classes; put a "
                    f"class of several words in quotes: {whole!r}."
                )
    for name in classes:
        parts = [part.strip() for part in name.split(",")]
        known = all(map(knowledge.find, parts)) and not knowledge.find(name)
        if len(parts) > 1 and known:
            raise ConfigError(
                f"{name!r} is one class; put each in quotes of its own: "
                f"{' '.join(map(repr, parts))}."
            )


def from_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ["pretrain.epochs=2"] into {"pretrain": {"epochs": 2}}.

    Args:
        pairs: each KEY=VALUE, the key dotted and the value YAML.

    Raises:
        ConfigError: a pair of another form.
    """
    import yaml

    from mccgaa.settings import merge

    nested: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        try:
            inner: Any = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or not all(key.split(".")):
            raise ConfigError(
                f"{pair!r} is no setting; expected KEY=VALUE, such as "
                "pretrain.epochs=2."
            )
        for part in reversed(key.split(".")):
            inner = {part: inner}
        nested = merge(nested, inner)
    return nested


def to_pairs(nested: Mapping[str, Any]) -> list[str]:
    """Undo `from_pairs`: {"pretrain": {"epochs": 2}} becomes ["pretrain.epochs=2"]."""
    pairs = []
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            pairs += [f"{key}.{pair}" for pair in to_pairs(value)]
        else:
            pairs.append(f"{key}={json.dumps(value)}")
    return pairs
