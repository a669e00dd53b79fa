"""Downloads, against a local server that drops, lies, refuses and resumes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import requests

from mccgaa.data import mimic
from mccgaa.data.download import DownloadReport, download
from mccgaa.data.physionet import DATASETS, SUMS, is_safe
from mccgaa.data.record import read_record
from mccgaa.errors import DownloadError
from mccgaa_twin.mirror import write_twin


@dataclass
class Host:
    """A small dataset as PhysioNet serves it, and what goes wrong on the way."""

    files: dict[str, bytes] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)  # served instead
    drops: dict[str, int] = field(default_factory=dict)  # times to break off half-way
    status: dict[str, list[int]] = field(default_factory=dict)  # answers before a 200
    ranges: bool = True
    sums: str | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def listing(self) -> bytes:
        if self.sums is not None:
            return self.sums.encode()
        lines = [f"{sha(body)} {name}" for name, body in self.files.items()]
        return ("\n".join(lines) + "\n").encode()

    def asked(self, name: str) -> list[str | None]:
        """The Range headers of the requests for a file, in order."""
        return [header for path, header in self.requests if path == name]


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves a Host's files, with ranges."""

    protocol_version = "HTTP/1.1"

    def __init__(self, host: Host, *args: Any) -> None:
        self.host = host
        super().__init__(*args)

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:  # /SLUG/VERSION/NAME
        name = self.path.split("/", 3)[3]
        asked = self.headers.get("Range")
        self.host.requests.append((name, asked))
        body = self.host.lies.get(name, self.host.files.get(name))
        body = self.host.listing() if name == SUMS else body
        status = self.host.status.get(name)
        if body is None or status:
            self.send_response(404 if body is None else status.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        if asked and self.host.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header(
                "Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"
            )
        else:
            self.send_response(200)
        rest = body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.host.drops.get(name, 0):
            self.host.drops[name] -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(rest)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A running host with two records, their table, and a licence."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = Host()
    served.files = {
        "LICENSE.txt": b"Creative Commons\n",
        "ConditionNames_SNOMED-CT.csv": b"Acronym Name,Full Name,Snomed_CT\n",
    }
    for i in (1, 2):
        stem = f"WFDBRecords/01/010/JS0000{i}"
        served.files[f"{stem}.hea"] = f"JS0000{i} 12 500 5000\n".encode()
        served.files[f"{stem}.mat"] = bytes([i]) * 600_000
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, served))
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()


def get(host: Host, root: Path, **options: Any) -> DownloadReport:
    settings = {"jobs": 3, "backoff": 0.01, "retries": 3, "progress": False}
    return download("csn", root, host=host.url, **(settings | options))


def left_behind(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*.part"))


MAT = "WFDBRecords/01/010/JS00001.mat"


def test_a_dataset_arrives_whole_and_is_announced(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = get(host, tmp_path)
    assert (report.fetched, report.already_there) == (6, 0)
    assert report.bytes == sum(map(len, host.files.values()))
    for name, body in host.files.items():
        assert (tmp_path / name).read_bytes() == body
    assert left_behind(tmp_path) == []
    said = capsys.readouterr().err
    assert "CC BY 4.0" in said
    assert "45,152 records, about 5.5 GB" in said
    assert "2 records, 6 files" in said


def test_a_second_call_fetches_nothing_and_mends_what_changed(
    host: Host, tmp_path: Path
) -> None:
    get(host, tmp_path)
    host.requests.clear()
    again = get(host, tmp_path)
    assert (again.fetched, again.already_there, again.bytes) == (0, 6, 0)
    assert [name for name, _ in host.requests] == [SUMS]
    (tmp_path / MAT).write_bytes(b"damaged")
    mended = get(host, tmp_path)
    assert (mended.fetched, mended.already_there) == (1, 5)
    assert (tmp_path / MAT).read_bytes() == host.files[MAT]


def test_a_dropped_connection_continues_inside_the_file(
    host: Host, tmp_path: Path
) -> None:
    host.drops[MAT] = 2
    get(host, tmp_path)
    asked = host.asked(MAT)
    assert asked[0] is None
    starts = [int(a.removeprefix("bytes=").rstrip("-")) for a in asked[1:] if a]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] < 600_000
    assert (tmp_path / MAT).read_bytes() == host.files[MAT]


def test_a_host_without_ranges_starts_the_file_again(
    host: Host, tmp_path: Path
) -> None:
    host.ranges = False
    host.drops[MAT] = 1
    get(host, tmp_path)
    assert (tmp_path / MAT).read_bytes() == host.files[MAT]


def test_a_later_call_continues_a_part_that_an_earlier_one_left(
    host: Host, tmp_path: Path
) -> None:
    host.drops[MAT] = 100
    with pytest.raises(DownloadError, match=r"1 of 6 files .*JS00001\.mat"):
        get(host, tmp_path)
    assert left_behind(tmp_path) == [f"{MAT}.part"]
    assert not (tmp_path / MAT).exists()
    kept = (tmp_path / f"{MAT}.part").stat().st_size
    host.drops.clear()
    host.requests.clear()
    report = get(host, tmp_path)
    assert host.asked(MAT) == [f"bytes={kept}-"]
    assert (report.fetched, report.already_there) == (1, 5)
    assert (tmp_path / MAT).read_bytes() == host.files[MAT]


@pytest.mark.parametrize("size", [300_000, 600_000, 700_000])
def test_a_part_with_wrong_content_is_thrown_away(
    host: Host, tmp_path: Path, size: int
) -> None:
    part = tmp_path / f"{MAT}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * size)
    get(host, tmp_path)
    assert (tmp_path / MAT).read_bytes() == host.files[MAT]
    assert left_behind(tmp_path) == []


def test_a_wrong_checksum_is_never_kept(host: Host, tmp_path: Path) -> None:
    host.lies[MAT] = b"y" * 600_000
    with pytest.raises(DownloadError, match="its SHA-256 is not the one"):
        get(host, tmp_path)
    assert not (tmp_path / MAT).exists()
    assert left_behind(tmp_path) == []
    assert len(host.asked(MAT)) == 4
    assert (tmp_path / "LICENSE.txt").exists()


def test_404_is_not_tried_again_but_503_is(host: Host, tmp_path: Path) -> None:
    body = host.files.pop(MAT)
    host.sums = host.listing().decode() + f"{sha(body)} {MAT}\n"
    host.status["LICENSE.txt"] = [503, 500]
    with pytest.raises(DownloadError, match=r"1 of 6 files .* answers 404"):
        get(host, tmp_path)
    assert len(host.asked(MAT)) == 1
    assert len(host.asked("LICENSE.txt")) == 3
    assert (tmp_path / "LICENSE.txt").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "WFDBRecords/../../evil.txt",
        "/etc/evil.txt",
        "..",
        "a\\..\\evil.txt",
        "C:/evil.txt",
        ".",
    ],
)
def test_a_name_that_leads_out_of_the_folder_stops_everything(
    host: Host, tmp_path: Path, name: str
) -> None:
    root = tmp_path / "root"
    host.sums = f"{host.listing().decode()}{sha(b'')} {name}\n"
    with pytest.raises(DownloadError, match="leads out of the dataset's folder"):
        get(host, root)
    assert [asked for asked, _ in host.requests] == [SUMS]
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [SUMS]


def test_safe_names_are_those_of_physionet() -> None:
    assert is_safe("files/p1000/p10000032/s40689238/40689238.dat")
    assert is_safe("records500/00000/00001_hr.hea")
    assert not is_safe("")
    assert not is_safe("a/\x00b")


def test_a_listing_that_is_none_is_refused(host: Host, tmp_path: Path) -> None:
    for sums, sentence in (("<html>Sign in", "line 1 is no checksum"), ("", "no file")):
        host.sums = sums
        with pytest.raises(DownloadError, match=sentence):
            get(host, tmp_path)


def test_only_the_asked_records_and_the_tables_are_fetched(
    host: Host, tmp_path: Path
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("JS00002  # the second\n")
    root = tmp_path / "root"
    report = get(host, root, only_ids=ids)
    assert report.fetched == 4
    assert (root / "WFDBRecords/01/010/JS00002.mat").exists()
    assert not (root / MAT).exists()
    with pytest.raises(DownloadError, match="has no record JS77777"):
        get(host, root, only_ids=["JS00001", "JS77777"])


def test_the_host_may_come_from_the_environment(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCCGAA_HOST", host.url + "/")
    report = download("csn", tmp_path, progress=False, backoff=0.01)
    assert report.fetched == 6


def test_a_full_disk_stops_at_once(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DownloadError, match="is full; free some space"):
        get(host, tmp_path)


def test_a_host_that_does_not_answer_is_named_in_a_sentence(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> NoReturn:
        raise requests.ConnectionError("HTTPConnectionPool(...)")

    monkeypatch.setattr(requests.Session, "get", refuse)
    with pytest.raises(DownloadError, match=f"no connection to {host.url}") as found:
        get(host, tmp_path, retries=1)
    assert "--host) (2 attempts)" in str(found.value)
    assert "Pool" not in str(found.value)


def test_a_folder_that_cannot_be_made_is_refused(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be made"):
        get(host, tmp_path / "file" / "root")


def test_unknown_datasets_and_jobs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="There is no dataset 'ptb-xl'"):
        download("ptb-xl", tmp_path)
    with pytest.raises(DownloadError, match="jobs is 0"):
        download("csn", tmp_path, jobs=0)


@pytest.mark.parametrize(
    ("dataset", "name", "record", "wanted"),
    [
        ("ptbxl", "records500/21000/21837_hr.dat", "21837", True),
        ("ptbxl", "records500/00000/00010_hr.hea", "10", True),
        ("ptbxl", "records100/00000/00010_lr.hea", None, False),
        ("ptbxl", "ptbxl_database.csv", None, True),
        ("cpsc2018", "training/cpsc_2018/g1/A0001.mat", "A0001", True),
        ("cpsc2018", "training/cpsc_2018_extra/g1/Q0001.mat", None, False),
        ("cpsc2018", "training/georgia/g1/E00001.mat", None, False),
        ("csn", "WFDBRecords/46/460/JS45551.hea", "JS45551", True),
        (
            "mimic",
            "files/p1000/p10000032/s40689238/40689238.hea",
            "40689238",
            True,
        ),
        ("mimic", "machine_measurements.csv", None, True),
    ],
)
def test_each_datasets_files_are_told_apart(
    dataset: str, name: str, record: str | None, wanted: bool
) -> None:
    what = DATASETS[dataset]
    assert bool(what.wanted.fullmatch(name)) is wanted
    match = what.record.fullmatch(name)
    assert (match[1] if match else None) == record


def test_the_twin_is_served_fetched_and_read_like_the_real_dataset(
    host: Host, tmp_path: Path
) -> None:
    twin = write_twin(
        tmp_path / "twin", ptbxl=0, mimic=3, seed=5, jobs=1, progress=False
    )["mimic"]
    paths = [path for path in sorted(twin.rglob("*")) if path.is_file()]
    host.files = {str(p.relative_to(twin)): p.read_bytes() for p in paths}
    signal = next(name for name in host.files if name.endswith(".dat"))
    host.drops[signal] = 1
    root = tmp_path / "mimic"
    download("mimic", root, host=host.url, backoff=0.01, progress=False)
    here, there = mimic.read_rows(root), mimic.read_rows(twin)
    assert len(here) == 3
    assert here.drop(columns="statements").equals(there.drop(columns="statements"))
    for path in here["path"]:
        assert np.array_equal(
            read_record(root / path).signal, read_record(twin / path).signal
        )
