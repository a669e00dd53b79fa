"""Which chapters a profile executes, with what parameters, and where they go.

A profile (params/*.yaml) names its `chapters`, gives `notebooks` their parameters, and
says in `out` where the published copies go. Code knows none of them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mccgaa.errors import BookError
from mccgaa.profile import Profile
from mccgaa.settings import load_yaml, stable_hash
from mccgaa_book.checkout import checkout

# Keys that no page shows; of the last three the results, which carry a stamp, say it.
_LAYOUT = ("out", "chapters", "notebooks", "reproduce")
_LAYOUT += ("baselines", "tables", "ablations")


@dataclass(frozen=True)
class Chapter:
    """One script under one profile, and where its executed copy goes."""

    script: Path
    page: Path
    profile: Path
    parameters: dict[str, Any] = field(hash=False)
    siblings: tuple[str, ...]  # all that its profile executes
    folder: str  # of its page below book/notebooks; "" for the first copies

    @property
    def name(self) -> str:
        """The script's name without its ending."""
        return self.script.stem

    @cached_property
    def kept(self) -> Path:
        """Where the copy lies while it is executed, and after it failed."""
        file = f"{self.profile.stem}-{self.name}.ipynb"
        return checkout() / "_build" / "failed" / file


def chapters(profile: Path | str, *, publish: bool = False) -> list[Chapter]:
    """List what a profile executes.

    Args:
        profile: path of a parameter file, or its bare name ("real").
        publish: the copies that the book shows, in the profile's `out`, instead of
            those in `reruns/<profile>/notebooks`.

    Raises:
        BookError: an absent profile or script, parameters for a notebook that the
            profile does not execute, or nowhere to publish.
    """
    path, root = find(profile), checkout()
    found = Profile.load(path)
    stray = sorted(set(found.notebooks) - set(found.chapters))
    if stray:
        raise BookError(
            f"{path} gives parameters to {', '.join(stray)}, which its `chapters` do "
            f"not name; they are {', '.join(found.chapters) or 'empty'}."
        )
    if publish and not found.out:
        raise BookError(
            f"{path} says in no `out` where its pages are published; give it one in "
            "book/notebooks, or execute without --publish."
        )
    published = Path(found.out or "book/notebooks")
    folder = "" if published.name == "notebooks" else published.name
    pages = published if publish else Path("reruns", found.name, "notebooks")
    shown = relative(path)
    listed = []
    for name in found.chapters:
        script = root / "notebooks" / f"{name}.py"
        if not script.is_file():
            have = ", ".join(sorted(p.stem for p in script.parent.glob("*.py")))
            raise BookError(
                f"{shown} executes {name}, but notebooks/{name}.py does not exist; "
                f"there are {have or 'none'}."
            )
        parameters = {"params": shown.as_posix(), **found.notebooks.get(name, {})}
        page = root / pages / f"{name}.ipynb"
        listed.append(Chapter(script, page, path, parameters, found.chapters, folder))
    return listed


def find(profile: Path | str) -> Path:
    """Find a profile by path or by bare name.

    Raises:
        BookError: there is no such file.
    """
    root = checkout()
    for path in (
        Path(profile),
        root / profile,
        root / "params" / f"{Path(profile).name}.yaml",
    ):
        if path.is_file():
            return path.resolve()
    known = ", ".join(sorted(p.stem for p in (root / "params").glob("*.yaml")))
    raise BookError(f"There is no profile {str(profile)!r}; params/ has {known}.")


def settings(profile: Path) -> str:
    """Hash what a page may show of a profile: all of it but the layout."""
    shown = {k: v for k, v in load_yaml(profile).items() if k not in _LAYOUT}
    return stable_hash(shown)


def publishing() -> list[Path]:
    """List the profiles that the book shows: their `out` lies inside `book/`."""
    return [
        path
        for path in sorted((checkout() / "params").glob("*.yaml"))
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
    """Write a path from the checkout's root where it lies inside."""
    root = checkout()
    return path.relative_to(root) if path.is_relative_to(root) else path
