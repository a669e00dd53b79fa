"""Killed at any moment, packing goes on and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest

from mccgaa.config import InputConfig
from mccgaa.data import store_writer, workers
from mccgaa.data.packing import pack
from mccgaa.data.store import SignalStore
from mccgaa.errors import StoreError

FILES = ("signals.npy", "records.parquet", "store.json", "rejected.csv")
SMALL = InputConfig(100, 2.0, "raw")


def repeated(rows, times):
    rows = pd.concat([rows] * times, ignore_index=True)
    rows["record_id"] = [f"x{i}" for i in range(len(rows))]
    return rows


def packed(rows, root, out, jobs=1):
    return pack(
        rows,
        root,
        out,
        dataset="own",
        tasks={"rhythm": ("SR",)},
        input=SMALL,
        jobs=jobs,
        progress=False,
    )


def content(store):
    return {name: (store / name).read_bytes() for name in FILES}


@pytest.fixture
def interrupted(tmp_path, dataset, monkeypatch):
    """Rows, and a whole and a partial packing of them: 4 of 6 chunks are done."""
    monkeypatch.setattr(store_writer, "CHUNK_BYTES", 1)
    rows = repeated(dataset(tmp_path / "in", 4), 12)
    (tmp_path / "in" / "r1.dat").unlink()
    packed(rows, tmp_path / "in", tmp_path / "whole")
    real, done = workers.pack_chunk, []

    def fail_after_four(chunk, options):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(chunk)
        return real(chunk, options)

    monkeypatch.setattr(workers, "pack_chunk", fail_after_four)
    with pytest.raises(KeyboardInterrupt):
        packed(rows, tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(workers, "pack_chunk", real)
    return rows, tmp_path


def continued(rows, folder, monkeypatch):
    """Finish, and count the records that were read again."""
    real, read = workers.pack_one, []

    def counting(item, options):
        read.append(item)
        return real(item, options)

    monkeypatch.setattr(workers, "pack_one", counting)
    packed(rows, folder / "in", folder / "out")
    assert content(folder / "out") == content(folder / "whole")
    assert sorted(p.name for p in (folder / "out").iterdir()) == sorted(FILES)
    return len(read)


def test_an_interrupted_packing_goes_on_where_it_was(interrupted, monkeypatch):
    rows, folder = interrupted
    assert not (folder / "out").exists()
    assert len(rows) == 48
    assert continued(rows, folder, monkeypatch) == 16


def damage(name, how):
    def apply(partial):
        file = partial / name
        file.write_bytes(how(file.read_bytes()))

    return apply


TORN = {
    "journal line half written": damage("journal.jsonl", lambda b: b[:-30]),
    "journal without its last newline": damage("journal.jsonl", lambda b: b[:-1]),
    "journal ends in noise": damage("journal.jsonl", lambda b: b + b'{"notes": [1'),
    "journal lost": damage("journal.jsonl", lambda b: b""),
    "journal of another kind": damage("journal.jsonl", lambda b: b"[]\n" + b),
    "samples never reached the disk": damage("signals.npy", lambda b: b[:-5000]),
    "samples beyond the journal": damage("signals.npy", lambda b: b + bytes(999)),
    "samples damaged": damage(
        "signals.npy", lambda b: b[:20_000] + bytes(100) + b[20_100:]
    ),
    "header damaged": damage("signals.npy", lambda b: bytes(128) + b[128:]),
    "signals lost": lambda partial: (partial / "signals.npy").unlink(),
}


@pytest.mark.parametrize("torn", TORN)
def test_what_a_crash_tore_is_packed_again(interrupted, monkeypatch, torn):
    rows, folder = interrupted
    TORN[torn](folder / "out.partial")
    again = continued(rows, folder, monkeypatch)
    assert 16 <= again <= 48


def test_a_packing_stopped_before_its_renaming_reads_nothing_again(
    interrupted, monkeypatch
):
    rows, folder = interrupted
    rename = type(folder).rename
    monkeypatch.setattr(
        type(folder), "rename", lambda *_: (_ for _ in ()).throw(OSError)
    )
    with pytest.raises(Exception, match="cannot be packed"):
        packed(rows, folder / "in", folder / "out")
    monkeypatch.setattr(type(folder), "rename", rename)
    assert continued(rows, folder, monkeypatch) == 0


def running(process):
    """Whether a process is alive, and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
        return state.rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Deadly:
    """What ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_worker_that_dies_is_not_said_to_lack_memory_for_certain():
    items = [workers.Item("r", read={"units": Deadly()})]
    said = (
        r"lack of memory, or failed, see above\. .*fewer processes \(--jobs of pack\)"
    )
    with pytest.raises(StoreError, match=said):
        list(workers.run_chunks([items], workers.Options("in", SMALL), 2))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_killed_again_and_again_ends_with_the_same_store(tmp_path, dataset):
    rows = repeated(dataset(tmp_path / "in", 4), 100)
    rows.to_pickle(tmp_path / "rows.pkl")
    script = textwrap.dedent("""
        import sys, time, pandas as pd
        from mccgaa.config import InputConfig
        from mccgaa.data import store_writer
        from mccgaa.data.packing import pack
        store_writer.CHUNK_BYTES = 1
        pause = float(sys.argv[1])
        real = store_writer.workers.run_chunks
        def slowly(*args):
            for result in real(*args):
                time.sleep(pause)
                yield result
        store_writer.workers.run_chunks = slowly
        pack(pd.read_pickle("rows.pkl"), "in", "out", dataset="own",
             tasks={"rhythm": ("SR",)}, input=InputConfig(100, 2.0, "raw"), jobs=2,
             progress=False)
    """)
    (tmp_path / "script.py").write_text(
        "if __name__ == '__main__':\n" + textwrap.indent(script, "    ")
    )
    journal = tmp_path / "out.partial" / "journal.jsonl"
    reached = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "script.py", "0.05"], cwd=tmp_path, start_new_session=True
        )
        deadline = time.monotonic() + 60
        lines = 0
        while lines < reached + 5 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
        children = subprocess.run(
            ["ps", "-o", "pid=", "-s", str(process.pid)], capture_output=True, text=True
        ).stdout.split()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "out").exists()
        assert lines >= reached + 5
        reached = lines
        deadline = time.monotonic() + 20
        while any(map(running, children)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(children) >= 3
        assert not any(map(running, children)), "workers outlive the packing process"
    done = subprocess.run([sys.executable, "script.py", "0"], cwd=tmp_path, timeout=120)
    assert done.returncode == 0
    packed(rows, tmp_path / "in", tmp_path / "whole")
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert len(SignalStore.open(tmp_path / "out")) == 400
