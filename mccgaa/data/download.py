"""The datasets from PhysioNet, file by file, every one checked against SHA256SUMS.txt.

All four are open: no account is asked for. A file is fetched into `NAME.part` and takes
its name only when its checksum agrees, so what has its own name is whole. An
interrupted download continues where it was, within a file too (HTTP Range). A mirror is
any address under which `SLUG/VERSION/NAME` is served: `--host` or $MCCGAA_HOST.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import requests

from mccgaa.counted import counted
from mccgaa.data.physionet import DATASETS, HOST, SUMS, Dataset, read_sums
from mccgaa.data.reader import Ids, as_ids
from mccgaa.errors import DownloadError
from mccgaa.files import FULL, bar

_BLOCK = 1 << 16  # bytes read at a time; a dropped connection loses up to one block
_TIMEOUT = (20.0, 60.0)  # seconds to connect, seconds without a byte
_PERMANENT = (400, 401, 403, 404, 405, 410)


@dataclass(frozen=True)
class DownloadReport:
    """What a download did."""

    root: Path
    fetched: int  # files
    already_there: int  # files, verified again
    bytes: int  # fetched

    def __str__(self) -> str:
        return (
            f"{self.root}: {counted(self.fetched, 'file')} fetched "
            f"({self.bytes / 1e6:.1f} MB), {self.already_there} already there; "
            "every checksum agrees."
        )


def download(
    dataset: str,
    root: Path | str,
    only_ids: Ids | None = None,
    jobs: int = 8,
    host: str | None = None,
    retries: int = 5,
    backoff: float = 1.0,
    progress: bool = True,
) -> DownloadReport:
    """Fetch a dataset, or continue where an earlier call stopped.

    Args:
        dataset: "ptbxl", "cpsc2018", "csn" or "mimic".
        root: folder to fill; what is there and agrees with its checksum is kept.
        only_ids: fetch the tables and these records only; ids, or a file with one per
            line (ecg_id, A0001, JS00001, study_id).
        jobs: files at a time.
        host: a mirror's address; default $MCCGAA_HOST, else PhysioNet.
        retries: further attempts per file after the first.
        backoff: seconds before the second attempt; doubled for each further one.
        progress: show a bar.

    Returns:
        Counts of files, all of them verified.

    Raises:
        DownloadError: an unknown dataset, a list of files that is damaged or leads out
            of `root`, an id that it does not have, a full disk, or files that could not
            be had; the message says which, and the same call continues.
    """
    if dataset not in DATASETS:
        raise DownloadError(
            f"There is no dataset {dataset!r}; choose one of {', '.join(DATASETS)}."
        )
    if jobs < 1:
        raise DownloadError(f"jobs is {jobs}; expected at least 1.")
    what, root = DATASETS[dataset], Path(root)
    host = (host or os.environ.get("MCCGAA_HOST") or HOST).rstrip("/")
    base = f"{host}/{what.slug}/{what.version}"
    _make(root)
    print(
        f"{what.title} ({what.slug} {what.version})\n  licence  {what.licence}\n"
        f"  whole    {what.records:,} records, about {what.gigabytes} GB\n"
        f"  from     {base}",
        file=sys.stderr,
    )
    ids = as_ids(only_ids)
    fetcher = _Fetcher(base, root, retries, backoff)
    fetcher.fetch(SUMS, None)
    files = _select(what, read_sums(root / SUMS), ids)
    print(_announcement(what, root, files), file=sys.stderr)
    return _fetch_all(fetcher, files, jobs, progress)


def _select(
    what: Dataset, sums: dict[str, str], ids: set[str] | None
) -> dict[str, str]:
    """Keep the wanted files: the tables, and the records that were asked for."""
    files, seen = {}, set()
    for name, digest in sums.items():
        if name == SUMS or not what.wanted.fullmatch(name):
            continue
        match = what.record.fullmatch(name)
        if match and ids is not None:
            if match[1] not in ids:
                continue
            seen.add(match[1])
        files[name] = digest
    absent = sorted((ids or set()) - seen)
    if absent:
        raise DownloadError(
            f"{what.slug} {what.version} has no record {', '.join(absent[:5])} "
            f"({len(absent)} of the ids asked for are unknown)."
        )
    return files


def _announcement(what: Dataset, root: Path, files: dict[str, str]) -> str:
    """Say how much of the dataset is about to be fetched."""
    records = len({m[1] for name in files if (m := what.record.fullmatch(name))})
    share = what.gigabytes * records / what.records
    free = shutil.disk_usage(root).free / 1e9
    return (
        f"  now      {records:,} records, {len(files):,} files, about {share:.2g} GB "
        f"({free:.0f} GB are free in {root})"
    )


def _fetch_all(
    fetcher: _Fetcher, files: dict[str, str], jobs: int, progress: bool
) -> DownloadReport:
    """Fetch with `jobs` threads, a few files ahead of them, and count."""
    done: list[int] = []  # bytes fetched for each file, -1 where it was there
    failures: list[str] = []
    shown = bar(total=len(files), unit="file", desc="download", disable=not progress)
    with shown, ThreadPoolExecutor(jobs) as pool:
        waiting: set[Future[int]] = set()
        queue = iter(files.items())
        try:
            for future in _completed(pool, fetcher, queue, waiting, 4 * jobs):
                try:
                    done.append(future.result())
                except DownloadError as error:
                    failures.append(str(error))
                    shown.set_postfix_str(f"{len(failures)} failed", refresh=False)
                shown.update()
        except BaseException:
            fetcher.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if failures:
        listed = "; ".join(failures[:3]) + ("; ..." if len(failures) > 3 else "")
        raise DownloadError(
            f"{len(failures)} of {len(files)} files could not be fetched: {listed}. "
            "The others are whole; the same command tries these again."
        )
    there = sum(n < 0 for n in done)
    fetched = sum(n for n in done if n > 0)
    return DownloadReport(fetcher.root, len(done) - there, there, fetched)


def _completed(
    pool: ThreadPoolExecutor,
    fetcher: _Fetcher,
    queue: Iterator[tuple[str, str]],
    waiting: set[Future[int]],
    ahead: int,
) -> Iterator[Future[int]]:
    """Yield finished files while keeping at most `ahead` in the pool."""
    for name, digest in queue:
        waiting.add(pool.submit(fetcher.fetch, name, digest))
        if len(waiting) >= ahead:
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            waiting -= finished
            yield from finished
    while waiting:
        finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
        waiting -= finished
        yield from finished


class _Retry(Exception):
    """An attempt failed in a way that another may not."""


class _Fetcher:
    """Fetches files of one dataset; used by many threads at once."""

    def __init__(self, base: str, root: Path, retries: int, backoff: float) -> None:
        self.base, self.root = base, root
        self.retries, self.backoff = retries, backoff
        self.stop = threading.Event()
        self._local = threading.local()

    def fetch(self, name: str, digest: str | None) -> int:
        """Fetch one file, however many attempts it takes.

        Returns:
            Bytes fetched, or -1 where a file that agrees was there.

        Raises:
            DownloadError: it cannot be had.
        """
        target = self.root / name
        if digest and target.is_file() and _sha256(target) == digest:
            return -1
        _make(target.parent)
        part = target.with_name(target.name + ".part")
        if digest is None:
            part.unlink(missing_ok=True)
        fetched, reason = 0, ""
        for attempt in range(self.retries + 1):
            if attempt:
                self.stop.wait(self.backoff * 2 ** (attempt - 1))
            if self.stop.is_set():
                raise DownloadError(f"{name}: stopped")
            try:
                fetched += self._attempt(name, part)
                if digest and _sha256(part) != digest:
                    part.unlink()
                    raise _Retry(f"its SHA-256 is not the one in {SUMS}")
                part.replace(target)
                return fetched
            except requests.ConnectionError:
                reason = (
                    f"no connection to {self.base}; check the network, or name a "
                    "mirror (command line: --host)"
                )
            except (_Retry, requests.RequestException) as error:
                reason = str(error)
            except OSError as error:
                self._give_up(error)
        raise DownloadError(f"{name}: {reason} ({self.retries + 1} attempts)")

    def _attempt(self, name: str, part: Path) -> int:
        """Append what is missing of a file to its .part."""
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        url = f"{self.base}/{quote(name)}"
        with self._session().get(
            url, headers=headers, stream=True, timeout=_TIMEOUT
        ) as answer:
            if answer.status_code == 416:  # nothing after what we have
                if f"*/{have}" not in answer.headers.get("Content-Range", ""):
                    part.unlink()
                    raise _Retry("the part fetched earlier does not fit")
                return 0
            if answer.status_code in _PERMANENT:
                raise DownloadError(f"{name}: {url} answers {answer.status_code}")
            if answer.status_code not in (200, 206):
                raise _Retry(f"{url} answers {answer.status_code}")
            resumed = answer.status_code == 206
            if resumed and not answer.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            ):
                part.unlink()
                raise _Retry("the host sent another range than was asked for")
            return self._write(answer, part, "ab" if resumed else "wb")

    def _write(self, answer: requests.Response, part: Path, mode: str) -> int:
        """Stream an answer to disk; what came before a drop stays."""
        expected = answer.headers.get("Content-Length")
        count = 0
        with part.open(mode) as file:
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                count += len(block)
                if self.stop.is_set():
                    raise _Retry("stopped")
        if expected is not None and count != int(expected):
            raise _Retry(f"the connection dropped after {count} of {expected} bytes")
        return count

    def _give_up(self, error: OSError) -> None:
        """Stop every thread for an error of the disk; network errors end elsewhere."""
        self.stop.set()
        if error.errno in FULL:
            raise DownloadError(
                f"the disk of {self.root} is full; free some space and start again"
            ) from error
        raise DownloadError(f"{self.root} cannot be written ({error})") from error

    def _session(self) -> requests.Session:
        """One connection per thread, kept open: most files are small."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["User-Agent"] = f"mccgaa/{version('mccgaa')}"
        return self._local.session


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(folder: Path) -> None:
    """Make a folder, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{folder} cannot be made ({error.strerror}).") from error
