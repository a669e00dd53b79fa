"""Files and folders that are written whole or not at all, and the one progress bar."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from mccgaa.errors import WriteError

PARTIAL = ".partial"  # ending of what is not whole yet
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def write_whole(path: Path | str, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under its name only once it is complete.

    The text or bytes go to `<path>.partial` beside it, are flushed to the disk, and
    are renamed over the old file; if anything fails, the old file is as it was.

    Args:
        path: where the file goes; its folder is made.
        mode: "w" for text (UTF-8), "wb" for bytes.

    Yields:
        The file to write to.

    Raises:
        WriteError: the disk is full, or the place cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
            with partial.open(mode, **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_json(path: Path | str, data: Any) -> None:
    """Write plain data as JSON, whole or not at all.

    Raises:
        ValueError: a number that JSON does not have (NaN or infinity).
        WriteError: as `write_whole`.
    """
    with write_whole(path) as file:
        json.dump(data, file, indent=2, allow_nan=False)
        file.write("\n")


def check_writable(path: Path | str) -> None:
    """Refuse a file that `write_whole` could not write, before the work for it is done.

    Nothing is left behind.

    Raises:
        WriteError: a folder has this name, or the place cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL) if path.name else path
    missing = [folder for folder in path.parents if not folder.exists()]
    with write_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.open("ab").close()
        finally:
            partial.unlink(missing_ok=True)
            for folder in missing:
                if folder.exists():
                    folder.rmdir()


@contextlib.contextmanager
def write_folder(folder: Path | str) -> Iterator[Path]:
    """Fill a folder that appears under its name only once it is complete.

    Args:
        folder: where it goes; a folder of that name is replaced at the end.

    Yields:
        An empty folder beside it, to be filled.

    Raises:
        WriteError: the disk is full, or the place cannot be written.
    """
    folder = Path(folder)
    partial = folder.with_name(folder.name + PARTIAL)
    with write_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def append(path: Path | str, text: str) -> None:
    """Add text at a file's end and flush it to the disk.

    Raises:
        WriteError: the disk is full, or the file cannot be written.
    """
    path = Path(path)
    with write_errors(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into an error message.

    Raises:
        WriteError: the disk is full, or the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise WriteError(
                f"The disk is full: {path} could not be written. Free some space and "
                "start the same command again."
            ) from error
        raise WriteError(
            f"{path} cannot be written ({error.strerror or error}); give another place."
        ) from error


def bar(**options: Any) -> tqdm:
    """Make a progress bar; in a log file it leaves a line every half-minute.

    Args:
        **options: of `tqdm`, such as `total`, `desc`, `unit`, `disable`.
    """
    quiet = {} if sys.stderr.isatty() else {"mininterval": 30, "maxinterval": 60}
    return tqdm(**{"dynamic_ncols": True, **quiet, **options})
