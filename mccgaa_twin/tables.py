"""Read the tables of codes and wordings in this package's YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mccgaa.errors import MccgaaError

_FOLDER = Path(__file__).parent


def read_table(name: Path | str) -> dict[str, Any]:
    """Read one YAML file as a mapping.

    Args:
        name: of a file in this package, or a path.

    Raises:
        MccgaaError: the file is missing, is not YAML or is not a mapping.
    """
    path = _FOLDER / name
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MccgaaError(
            f"{path}, a table of the twin, cannot be read ({error}); install the "
            "package again."
        ) from error
    if not isinstance(table, dict):
        raise MccgaaError(f"{path} holds {table!r}; expected rows under keys.")
    return table


def read_rows(
    table: Any, columns: Mapping[str, type], name: str
) -> dict[str, dict[str, Any]]:
    """Check that each row of a table has the same columns.

    Args:
        table: key -> row, as read.
        columns: column -> type; a list must hold strings only.
        name: of the table, for error messages.

    Returns:
        The rows by key, in the file's order; lists become tuples.

    Raises:
        MccgaaError: a row lacks a column, has one more, or holds another type.
    """
    rows = {}
    for key, row in _items(table, name):
        if not isinstance(row, dict) or set(row) != set(columns):
            raise MccgaaError(
                f"{name}: row {key!r} is {row!r}; expected the columns "
                f"{', '.join(columns)}."
            )
        for column, kind in columns.items():
            if not isinstance(row[column], kind) or (
                kind is list and not all(isinstance(one, str) for one in row[column])
            ):
                raise MccgaaError(
                    f"{name}: {column} of {key!r} is {row[column]!r}; expected "
                    f"{'strings' if kind is list else kind.__name__}."
                )
        rows[key] = {
            column: tuple(cell) if isinstance(cell, list) else cell
            for column, cell in row.items()
        }
    return rows


def read_wordings(table: Any, name: str) -> dict[str, tuple[str, ...]]:
    """Check that each key of a table has one wording or more, all different.

    Args:
        table: key -> wordings, as read.
        name: of the table, for error messages.

    Returns:
        The wordings by key, both in the file's order.

    Raises:
        MccgaaError: a key has no wording, one that is not text, or one twice.
    """
    for key, words in _items(table, name):
        good = isinstance(words, list) and all(isinstance(w, str) for w in words)
        if not good or not words or len(set(words)) < len(words):
            raise MccgaaError(
                f"{name}: {key!r} has the wordings {words!r}; expected a list of one "
                "text or more, all different."
            )
    return {key: tuple(words) for key, words in table.items()}


def _items(table: Any, name: str) -> Any:
    """The rows of a mapping whose keys are text; anything else is refused."""
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise MccgaaError(f"{name} is {table!r}; expected rows under keys of text.")
    return table.items()
