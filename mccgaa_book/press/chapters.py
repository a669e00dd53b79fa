"""Which chapters a profile executes, with what parameters, and where they go.

A profile (params/*.yaml) names its `chapters`, gives `notebooks` their parameters, and
says in `out` where the executed copies go. Code knows none of them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mccgaa.config import load_yaml, stable_hash
from mccgaa.errors import BookError

ROOT = Path(__file__).resolve().parents[2]
_LAYOUT = ("out", "chapters", "notebooks")  # keys of a profile that change no result


@dataclass(frozen=True)
class Chapter:
    """One script under one profile, and where its executed copy goes."""

    script: Path
    page: Path
    profile: Path
    parameters: dict[str, Any]
    settings: str  # hash of what else the profile says
    prefix: str  # laid before its labels, so that two pages may show one chapter

    @property
    def name(self) -> str:
        """The script's name without its ending."""
        return self.script.stem

    @property
    def kept(self) -> Path:
        """Where the copy lies while it is executed, and after it failed."""
        return ROOT / "_build" / "failed" / f"{self.profile.stem}-{self.name}.ipynb"


def chapters(profile: Path | str, out: Path | str | None = None) -> list[Chapter]:
    """List what a profile executes.

    Args:
        profile: path of a parameter file, or its bare name ("real").
        out: folder for the executed copies instead of the profile's own `out`.

    Raises:
        BookError: an absent profile or script, or parameters for a notebook that the
            profile does not execute.
    """
    path = find(profile)
    settings = load_yaml(path)
    names = settings.get("chapters") or []
    own = settings.get("notebooks") or {}
    stray = sorted(set(own) - set(names))
    if stray:
        raise BookError(
            f"{path} gives parameters to {', '.join(stray)}, which its `chapters` do "
            f"not name; they are {', '.join(names) or 'empty'}."
        )
    own_place = Path(settings.get("out") or "_build/notebooks")
    prefix = "" if own_place.name == "notebooks" else f"{own_place.name}-"
    place = ROOT / (out or own_place)
    rest = stable_hash({k: v for k, v in settings.items() if k not in _LAYOUT})
    shown = relative(path)
    found = []
    for name in names:
        script = ROOT / "notebooks" / f"{name}.py"
        if not script.is_file():
            have = ", ".join(sorted(p.stem for p in script.parent.glob("*.py")))
            raise BookError(
                f"{shown} executes {name}, but notebooks/{name}.py does not exist; "
                f"there are {have or 'none'}."
            )
        parameters = {"params": shown.as_posix(), **(own.get(name) or {})}
        page = place / f"{name}.ipynb"
        found.append(Chapter(script, page, path, parameters, rest, prefix))
    return found


def find(profile: Path | str) -> Path:
    """Find a profile by path or by bare name.

    Raises:
        BookError: there is no such file.
    """
    given = Path(profile)
    for path in (given, ROOT / given, ROOT / "params" / f"{given.name}.yaml"):
        if path.is_file():
            return path.resolve()
    known = ", ".join(sorted(p.stem for p in (ROOT / "params").glob("*.yaml")))
    raise BookError(f"There is no profile {str(profile)!r}; params/ has {known}.")


def publishing() -> list[Path]:
    """List the profiles that the book shows: their `out` lies inside `book/`."""
    return [
        path
        for path in sorted((ROOT / "params").glob("*.yaml"))
        if Path(str(load_yaml(path).get("out") or "")).parts[:1] == ("book",)
    ]


def select(
    work: list[Chapter], only: Sequence[str] | str | None, profile: Path | str
) -> list[Chapter]:
    """Keep the chapters asked for, refusing a name that the profile lacks."""
    if only is None:
        return work
    names = [only] if isinstance(only, str) else list(only)
    known = [one.name for one in work]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise BookError(
            f"The profile {Path(profile).stem} does not execute "
            f"{', '.join(unknown)}; it executes {', '.join(known)}."
        )
    return [one for one in work if one.name in names]


def relative(path: Path) -> Path:
    """Write a path from the project's root where it lies inside."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
