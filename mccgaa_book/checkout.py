"""Which checkout the book's commands act on: that of the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from mccgaa.errors import BookError


def checkout(start: Path | None = None) -> Path:
    """Find the checkout that the working directory lies in.

    Args:
        start: where to begin; the working directory by default.

    Returns:
        The nearest folder, upwards, that has `_toc.yml` and `params/`.

    Raises:
        BookError: there is none, or its code is not the code that is running.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file() and (folder / "params").is_dir():
            running = Path(__file__).resolve().parent
            own = folder / running.name
            if own.is_dir() and own != running:
                raise BookError(
                    f"The working directory belongs to the checkout {folder}, but the "
                    f"installed code is that of {running.parent}; run `make clean "
                    f"install` in {folder}, or change to the other one."
                )
            return folder
    raise BookError(
        f"{start} is in no checkout of this project (a folder with _toc.yml and "
        "params/); change into one and start the command again."
    )


def go_to_root(params: Path | str) -> None:
    """Let a notebook that was opened in its own folder work from the checkout's root.

    Profiles name their data, stores and runs from there.

    Args:
        params: path of a profile; where it exists as it is, nothing changes.
    """
    if not Path(params).is_file():
        for folder in Path.cwd().parents:
            if (folder / "_toc.yml").is_file() and (folder / params).is_file():
                os.chdir(folder)
                return
