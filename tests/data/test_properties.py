"""Malformed files: none crashes the reader, none is accepted with wrong content.

2,000 generated cases, the same in every run, and those kept in `malformed.json`.
Accepted means right: either the file still holds its original signal, or an
independent reader, where there is one, finds in it what `read_record` found.
"""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import LEADS, RATE, TOKENS, damaged, make_samples
from scipy.io import loadmat

from mccgaa.config import InputConfig
from mccgaa.data.record import Record, read_record
from mccgaa.data.transform import prepare
from mccgaa.errors import RecordError

KEPT = json.loads((Path(__file__).parent / "malformed.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return make_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder on which all cases follow one another."""
    return tmp_path_factory.mktemp("case")


def by_wfdb(path: Path) -> np.ndarray | None:
    """wfdb's reading in mV, leads by name; None where it does not read them."""
    units = {"mV": 1.0, "uV": 1e-3, "V": 1e3, "NU": 1.0}
    try:
        record = wfdb.rdrecord(str(path.with_suffix("")))
        names = [name.strip().lower() for name in record.sig_name]
        rows = [names.index(lead.lower()) for lead in LEADS]
        scale = np.array([units[record.units[row]] for row in rows])
        return (record.p_signal[:, rows] * scale).T
    except Exception:
        return None


def attempt(sample, file: str, edits: list, folder: Path) -> Record | None:
    """Read a damaged record; what is accepted must be right."""
    for old in folder.iterdir():
        old.unlink()
    for name, content in sample.files.items():
        changed = damaged(content, edits) if name == file else content
        (folder / name).write_bytes(changed)
    main = folder / sample.main
    try:
        record = read_record(main, **sample.options)
    except RecordError as error:
        assert str(error).startswith(str(folder)), error
        assert str(error).endswith((".", ")")), error
        return None
    assert record.signal.shape[0] == 12
    assert np.isfinite(record.sampling_rate)
    original = sample.signal.astype(np.float32)
    same = record.signal.shape == original.shape and np.allclose(
        record.signal, original, atol=2e-4, equal_nan=True
    )
    if not same:
        other = by_wfdb(main) if sample.main == "a.hea" else None
        if other is None:
            other = by_hand(main)
        assert other is not None, "accepted, but no other reader agrees"
        np.testing.assert_allclose(
            record.signal, other, rtol=1e-5, atol=2e-4, equal_nan=True
        )
    return record


def by_hand(path: Path) -> np.ndarray | None:
    """A second reading of the formats that carry no checksum, by other means."""
    if path.suffix == ".npy":
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        return array if array.shape[0] == 12 else array.T
    if path.suffix == ".mat":
        return loadmat(path, struct_as_record=False)["ECG"][0, 0].data
    if path.suffix == ".edf":
        return edf_by_hand(path.read_bytes())
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            names, *lines = [
                [cell.strip("\t ") for cell in line] for line in csv.reader(file)
            ]
        while not any(lines[-1]):
            lines.pop()
        names = [name.lower() for name in names]
        cells = np.full((len(lines), len(names)), np.nan)
        for row, line in zip(cells, lines, strict=True):
            row[: len(line)] = [float(cell or "nan") for cell in line]
        return cells.T[[names.index(lead.lower()) for lead in LEADS]]
    return None


def edf_by_hand(content: bytes) -> np.ndarray:
    """Leads by label in mV, straight from the fields of an EDF file's header."""
    n, records = int(content[252:256]), int(content[236:244])

    def column(first: int, width: int) -> list[str]:
        begin = 256 + first * n
        cells = [content[begin + i * width :][:width] for i in range(n)]
        return [cell.decode("ascii").strip() for cell in cells]

    labels, per_record = column(0, 16), [int(c) for c in column(216, 8)]
    low, high = np.array([column(k, 8) for k in (104, 112)], dtype=float)
    least, most = np.array([column(k, 8) for k in (120, 128)], dtype=float)
    digital = np.frombuffer(content, "<i2", offset=256 * (n + 1))
    digital = digital.reshape(records, sum(per_record))
    ends = np.cumsum(per_record)
    traces = {}
    for i, label in enumerate(labels):
        part = digital[:, ends[i] - per_record[i] : ends[i]].ravel()
        scaled = (part - least[i]) / (most[i] - least[i]) * (high[i] - low[i]) + low[i]
        unit = {"mv": 1, "uv": 1e-3, "v": 1e3, "nu": 1}[column(96, 8)[i].lower()]
        traces[label.lower().removeprefix("ecg ")] = scaled * unit
    return np.array([traces[lead.lower()] for lead in LEADS])


def check_prepared(record: Record) -> None:
    """What the packer makes of an accepted record is finite and of the right size."""
    for transform in ("raw", "bandpass-zscore"):
        config = InputConfig(RATE, 1.0, transform)
        try:
            out = prepare(record, config)
        except RecordError:
            continue
        assert out.shape == (12, RATE)
        assert np.isfinite(out).all()


where = st.floats(0, 1, exclude_max=True)
byte_edits = st.one_of(
    st.tuples(st.just("byte"), where, st.integers(0, 255)),
    st.tuples(st.just("flip"), where, st.integers(1, 255)),
    st.tuples(st.just("cut"), where, st.just(0)),
    st.tuples(st.just("drop"), where, st.integers(1, 64)),
    st.tuples(st.just("grow"), where, st.integers(1, 64)),
)
line_edits = st.one_of(
    st.tuples(st.sampled_from(["swap", "line", "twice"]), where, st.integers(0, 20)),
    st.tuples(st.just("token"), where, st.integers(0, 12 * len(TOKENS))),
    st.tuples(st.just("token"), where, st.integers(0, 12 * len(TOKENS))),
    st.tuples(st.just("byte"), where, st.sampled_from(list(b"0159.-+x:/() \t\n#aIV"))),
)
checked = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)


def run(samples, place, kind, file, edits):
    """One case, without the noise of the libraries underneath."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = attempt(samples[kind], file, [list(e) for e in edits], place)
        if record is not None:
            check_prepared(record)


@settings(checked, max_examples=1000)
@given(
    kind=st.sampled_from(["plain", "plain", "mat", "mat", "212", "24", "516"]),
    edits=st.lists(line_edits, min_size=1, max_size=3),
)
def test_malformed_headers(samples, place, kind, edits):
    run(samples, place, kind, "a.hea", edits)


@settings(checked, max_examples=600)
@given(
    kind=st.sampled_from(["plain", "mat", "212", "24", "516"]),
    edits=st.lists(byte_edits, min_size=1, max_size=2),
)
def test_malformed_signals(samples, place, kind, edits):
    files = [name for name in samples[kind].files if name != "a.hea"]
    run(samples, place, kind, files[0], edits)


@settings(checked, max_examples=400)
@given(
    kind=st.sampled_from(["struct", "struct-z", "npy", "csv", "edf"]),
    edits=st.lists(st.one_of(byte_edits, line_edits), min_size=1, max_size=2),
)
def test_malformed_files_of_ones_own(samples, place, kind, edits):
    run(samples, place, kind, samples[kind].main, edits)


@pytest.mark.parametrize("case", KEPT, ids=[case["found"] for case in KEPT])
def test_cases_kept_from_longer_searches(samples, place, case):
    run(samples, place, case["kind"], case["file"], case["edits"])


@pytest.mark.parametrize(
    "kind", ["plain", "mat", "212", "24", "516", "struct", "struct-z", "npy", "csv"]
)
def test_the_undamaged_samples_are_accepted(samples, place, kind):
    sample = samples[kind]
    record = attempt(sample, sample.main, [], place)
    np.testing.assert_allclose(record.signal, sample.signal, atol=1e-6)


@settings(checked, max_examples=60)
@given(data=st.data())
def test_any_signal_comes_back_by_name(place, data):
    order = data.draw(st.permutations(range(12)))
    length = data.draw(st.integers(60, 90))
    gains = data.draw(st.lists(st.integers(1, 5000), min_size=12, max_size=12))
    bases = data.draw(st.lists(st.integers(-999, 999), min_size=12, max_size=12))
    numbers = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    digital = numbers.integers(-32768, 32768, (12, length))  # (12, T)
    lines = [f"a 12 {RATE} {length}"]
    for row in order:
        total = int(digital[row].sum().astype(np.int16))
        lines.append(
            f"a.dat 16 {gains[row]}({bases[row]})/mV 16 0 0 {total} 0 {LEADS[row]}"
        )
    (place / "a.hea").write_text("\n".join(lines))
    (place / "a.dat").write_bytes(digital[list(order)].T.astype("<i2").tobytes())
    record = read_record(place / "a")
    for lead in range(12):
        for t in range(length):
            value = float(digital[lead, t])
            if value == -32768:
                assert np.isnan(record.signal[lead, t])
            else:
                expected = np.float32((value - bases[lead]) / gains[lead])
                assert record.signal[lead, t] == expected
