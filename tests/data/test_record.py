"""Reading one record: the right content in the right lead, or a sentence."""

from __future__ import annotations

import re

import edfio
import numpy as np
import pandas as pd
import pytest
import wfdb
from scipy.io import savemat

from mccgaa.config import LEADS, InputConfig
from mccgaa.data import wfdb_records
from mccgaa.data.record import read_record
from mccgaa.data.transform import prepare
from mccgaa.data.wfdb_records import lead_of, read_comments
from mccgaa.errors import RecordError

MIMIC = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def edit(header, pattern, replacement, count=0):
    """Change a header's text; the pattern must be there."""
    text = header.read_text()
    changed = re.sub(pattern, replacement, text, count=count, flags=re.MULTILINE)
    assert changed != text
    header.write_text(changed)


def by_wfdb(header):
    """wfdb's own reading, float32 (12, T), leads by name."""
    record = wfdb.rdrecord(str(header.with_suffix("")))
    names = [name.lower() for name in record.sig_name]
    order = [names.index(lead.lower()) for lead in LEADS]
    return record.p_signal.T[order].astype(np.float32)


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212", "508", "516", "524"])
def test_every_wfdb_format_reads_as_wfdb_reads_it(tmp_path, ecg, wfdb_writer, fmt):
    gain = 40.0 if fmt in ("80", "508") else 1000.0
    signal = ecg(2, 500) / (4 if fmt in ("80", "508", "212") else 1)
    header = wfdb_writer(tmp_path, "r", signal, fmt=fmt, gain=gain)
    record = read_record(header)
    np.testing.assert_array_equal(record.signal, by_wfdb(header))
    np.testing.assert_allclose(record.signal, signal, atol=0.51 / gain)
    assert record.signal.dtype == np.float32
    assert record.sampling_rate == 500
    assert record.units == "mV"


def test_plain_headers_never_reach_wfdb(tmp_path, ecg, wfdb_writer, monkeypatch):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500))
    expected = by_wfdb(header)
    monkeypatch.setattr(wfdb, "rdrecord", None)
    monkeypatch.setattr(wfdb, "rdheader", None)
    np.testing.assert_array_equal(read_record(header).signal, expected)


def test_leads_are_taken_by_name_in_mimics_order(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500)
    stored = signal[[LEADS.index(lead) for lead in MIMIC]]
    header = wfdb_writer(tmp_path, "r", stored, leads=MIMIC)
    np.testing.assert_allclose(read_record(header).signal, signal, atol=1e-6)


def test_lead_names_are_known_in_any_case(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500)
    header = wfdb_writer(tmp_path, "r", signal, leads=[s.upper() for s in LEADS])
    np.testing.assert_allclose(read_record(header).signal, signal, atol=1e-6)
    assert lead_of("ECG avr ") == "aVR"
    assert lead_of("MDC_ECG_LEAD_V4") == "V4"
    assert lead_of("-aVR") is None
    assert lead_of("MLII") is None


def test_a_path_without_ending_or_of_the_signal_file_names_the_record(
    tmp_path, ecg, wfdb_writer
):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500))
    expected = read_record(header).signal
    for path in (tmp_path / "r", str(tmp_path / "r.dat")):
        np.testing.assert_array_equal(read_record(path).signal, expected)


def write_mat(folder, signal, first_line):
    """A record as CSN ships it: MATLAB v4 samples behind 24 bytes, and a header."""
    digital = np.round(signal * 1000).astype(np.int16)
    savemat(folder / "J.mat", {"val": digital}, format="4")
    lines = [first_line]
    for name, row in zip(LEADS, digital, strict=True):
        checksum = int(row.sum(dtype=np.int64).astype(np.int16))
        lines.append(f"J.mat 16+24 1000/mV 16 0 {row[0]} {checksum} 0 {name}")
    lines += ["#Age: 61", "#Dx: 426783006"]
    (folder / "J.hea").write_text("\n".join(lines) + "\n")
    return folder / "J.hea"


def test_matlab_samples_behind_a_header_are_read(tmp_path, ecg):
    signal = ecg(2, 500)
    header = write_mat(tmp_path, signal, "J 12 500 1000")
    record = read_record(tmp_path / "J.mat")
    np.testing.assert_array_equal(record.signal, by_wfdb(header))
    np.testing.assert_allclose(record.signal, signal, atol=1e-6)
    assert read_comments(header) == {"Age": "61", "Dx": "426783006"}


def test_a_first_line_whose_date_wfdb_refuses_is_read_all_the_same(
    tmp_path, ecg, wfdb_writer
):
    signal = ecg(2, 500)
    write_mat(tmp_path, signal, "J 12 500 1000 21:21:56 03/23/2021")
    header = wfdb_writer(tmp_path, "r", signal, fmt="516", comments=["source: x"])
    edit(header, r"^(r 12 500 1000).*", r"\1 21:21:56 03/23/2021")
    for name in ("J", "r"):
        with pytest.raises(ValueError):
            wfdb.rdrecord(str(tmp_path / name))
        np.testing.assert_allclose(
            read_record(tmp_path / name).signal, signal, atol=1e-6
        )
    assert read_comments(header) == {"source": "x"}


@pytest.mark.parametrize(("units", "factor"), [("uV", 1e-3), ("V", 1e3), ("mV", 1)])
def test_units_become_millivolts(tmp_path, ecg, wfdb_writer, units, factor):
    signal = ecg(2, 500)
    header = wfdb_writer(
        tmp_path, "r", signal / factor, units=units, gain=1000 * factor
    )
    record = read_record(header)
    assert record.units == "mV"
    np.testing.assert_allclose(record.signal, signal, atol=1e-6)


def test_normalised_units_are_flagged_and_refused_where_amplitude_counts(
    tmp_path, ecg, wfdb_writer
):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500), units="NU")
    record = read_record(header)
    assert record.units == "NU"
    config = InputConfig(500, 2.0, "bandpass-zscore")
    assert np.isfinite(prepare(record, config)).all()
    with pytest.raises(RecordError, match=r"z-scored.*bandpass-zscore"):
        prepare(record, InputConfig(500, 2.0, "raw"))


@pytest.mark.parametrize("gain", ["0", "0(0)/mV"])
def test_a_record_without_a_gain_has_no_unit(tmp_path, ecg, wfdb_writer, gain):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500))
    edit(header, r" 1000\.0\(0\)/mV", f" {gain}")
    record = read_record(header)
    assert record.units == "uncalibrated"
    with pytest.raises(RecordError, match="without a stated gain"):
        prepare(record, InputConfig(500, 2.0, "raw"))


def test_other_channels_beside_the_twelve_leads_do_no_harm(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500, leads=15)
    names = ("vx", *LEADS, "vy", "vz")
    header = wfdb_writer(tmp_path, "r", signal, leads=names)
    np.testing.assert_allclose(read_record(header).signal, signal[1:13], atol=1e-6)


def test_invalid_samples_are_kept_and_counted(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500)
    signal[3, 100:130] = np.nan
    record = read_record(wfdb_writer(tmp_path, "r", signal))
    assert np.isnan(record.signal[3, 100:130]).all()
    assert np.isnan(record.signal).sum() == 30
    assert record.quality.nan_share == pytest.approx(30 / 12_000)


def test_flat_leads_are_reported(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500)
    signal[4] = 0.25
    signal[9] = 0
    record = read_record(wfdb_writer(tmp_path, "r", signal))
    assert record.quality.flat_leads == ("aVL", "V4")
    assert record.quality.clipped_share == 0


def test_clipping_is_reported(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500)
    signal[1, 200:240] = 3.0  # 80 ms at the top
    signal[2, 300:303] = 3.0  # 6 ms: a peak, not a rail
    record = read_record(wfdb_writer(tmp_path, "r", signal))
    assert record.quality.clipped_share == pytest.approx(40 / 12_000)


def test_a_rail_does_not_go_on_from_one_lead_to_the_next(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500)
    signal[1, -6:] = 3.0  # 12 ms each, one behind the other
    signal[2, :6] = 3.0
    record = read_record(wfdb_writer(tmp_path, "r", signal))
    assert record.quality.clipped_share == 0


def test_missing_leads_are_refused_or_filled_and_masked(tmp_path, ecg, wfdb_writer):
    signal = ecg(2, 500, leads=11)
    header = wfdb_writer(tmp_path, "r", signal, leads=LEADS[:11])
    with pytest.raises(RecordError, match="V6 missing"):
        read_record(header)
    record = read_record(header, allow_missing_leads=True)
    assert record.present.tolist() == [True] * 11 + [False]
    np.testing.assert_allclose(record.signal[:11], signal, atol=1e-6)
    assert not record.signal[11].any()
    out = prepare(record, InputConfig(100, 2.0, "bandpass-zscore"))
    assert not out[11].any()


EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def limbs_of(one, two):
    """The other limb leads as textbooks have them, from electrodes R = 0, L, F."""
    left, foot = one, two  # I = L - R, II = F - R
    mean = (left + foot) / 3  # Wilson's terminal
    goldberger = [1.5 * (electrode - mean) for electrode in (0 * left, left, foot)]
    return np.stack([foot - left, *goldberger])  # III, aVR, aVL, aVF


def test_limb_leads_that_are_missing_are_computed_from_two(tmp_path, ecg, wfdb_writer):
    eight = ecg(2, 500, leads=8)
    limbs = limbs_of(*eight[:2])
    header = wfdb_writer(tmp_path, "r", eight, leads=EIGHT)
    record = read_record(header)
    np.testing.assert_allclose(record.signal[2:6], limbs, atol=1e-6)
    np.testing.assert_allclose(record.signal[[0, 1, *range(6, 12)]], eight, atol=1e-6)
    assert record.present.all()
    assert record.derived == ("III", "aVR", "aVL", "aVF")
    said = f"III, aVR, aVL, aVF: without a valid sample in {header}, but computed from"
    assert record.notes == (f"{said} its I and II.",)
    # With one of them there, and right but for its noise, the other three are.
    with_iii = np.concatenate([eight, limbs[:1] + 0.01 * ecg(2, 500, 1)])
    record = read_record(wfdb_writer(tmp_path, "s", with_iii, leads=[*EIGHT, "III"]))
    assert record.derived == ("aVR", "aVL", "aVF")
    np.testing.assert_allclose(record.signal[2], with_iii[8], atol=0.001)
    np.testing.assert_allclose(record.signal[3:6], limbs[1:], atol=1e-6)


def test_limb_leads_are_not_computed_from_what_is_no_i_and_ii(
    tmp_path, ecg, wfdb_writer
):
    eight = ecg(2, 500, leads=8)
    wrong = np.concatenate([eight, -limbs_of(*eight[:2])[1:2]])
    swapped = wfdb_writer(tmp_path, "s", wrong, leads=[*EIGHT, "aVR"])
    scaled = wfdb_writer(tmp_path, "n", eight, leads=EIGHT, units="NU")
    alone = wfdb_writer(tmp_path, "a", eight[:7], leads=["I", *EIGHT[2:]])
    for header, lacks in ((swapped, "III, aVL, aVF"), (scaled, "III, aVR, aVL, aVF")):
        with pytest.raises(RecordError, match=f"leads: {lacks} missing"):
            read_record(header)
    record = read_record(alone, allow_missing_leads=True)
    assert record.present.sum() == 7 and not record.derived and not record.notes
    twelve = read_record(wfdb_writer(tmp_path, "t", ecg(2, 500)))
    assert not twelve.derived and not twelve.notes, "odd, but nothing is missing"


def test_leads_that_bear_each_others_names_are_said(tmp_path, ecg, wfdb_writer):
    eight = ecg(2, 500, leads=8)
    whole = np.stack([*eight[:2], *limbs_of(*eight[:2]), *eight[2:]])  # (12, T)
    right = read_record(wfdb_writer(tmp_path, "r", whole))
    assert right.misnamed == ""
    names = list(LEADS)
    names[1], names[10] = names[10], names[1]  # II and V5
    swapped = read_record(wfdb_writer(tmp_path, "s", whole, leads=names))
    assert "III, aVF are not what its I and II add up to" in swapped.misnamed
    assert swapped.misnamed.endswith("are its leads named rightly?")
    one = whole.copy()
    one[4] *= -1
    assert ": aVL is not what" in read_record(wfdb_writer(tmp_path, "o", one)).misnamed
    scaled = wfdb_writer(tmp_path, "n", whole, leads=names, units="NU")
    assert read_record(scaled).misnamed == "", "each lead has a scale of its own"


def test_millivolts_too_small_for_a_heart_are_said(tmp_path, ecg, wfdb_writer):
    np.save(tmp_path / "x.npy", ecg(2, 500) + 5)  # an offset is no wave
    true, small = (
        read_record(tmp_path / "x.npy", sampling_rate=500, units=unit)
        for unit in ("mV", "uV")
    )
    assert true.faint == ""
    assert "x.npy has less than 0.05 mV from peak to peak" in small.faint
    assert small.faint.endswith("are its units right?")
    small = ecg(2, 500) * 0.01
    small[7, 100] += 0.1
    assert not read_record(wfdb_writer(tmp_path, "one", small)).faint
    z = wfdb_writer(tmp_path, "z", ecg(2, 500) * 0.01, units="NU")
    assert not read_record(z).faint


def test_a_rate_or_unit_that_the_file_contradicts_is_said(tmp_path, ecg, wfdb_writer):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500))
    write_edf(tmp_path / "x.edf", ecg(2, 500))
    assert read_record(header, sampling_rate=500.0, units="mV").notes == ()
    rate, unit = read_record(header, sampling_rate=250, units="uV").notes
    assert "states its own sampling rate, 500 Hz; the 250 Hz that were given" in rate
    assert "r.hea states its own units, mV; the uV that were given are not" in unit
    (unit,) = read_record(tmp_path / "x.edf", units="mV").notes
    assert "states its own units, uV; the mV" in unit
    (unit,) = read_record(header, units="microvolt").notes
    assert "the microvolt that were given are not used" in unit
    np.save(tmp_path / "x.npy", ecg(2, 500))
    assert read_record(tmp_path / "x.npy", sampling_rate=250, units="uV").notes == ()


def test_an_edf_without_units_takes_those_given(tmp_path, ecg):
    signal, path = ecg(2, 500), tmp_path / "x.edf"
    write_edf(path, signal, unit="")
    with pytest.raises(RecordError, match=r"no unit for a lead; pass .*--units"):
        read_record(path)
    record = read_record(path, units="uV")
    order = [MIMIC.index(lead) for lead in LEADS]
    np.testing.assert_allclose(record.signal, signal[order], atol=1e-4)
    assert record.notes == ()
    with pytest.raises(RecordError, match="passes 30 mV"):
        read_record(path, units="mV")


def test_one_lead_suffices_where_missing_leads_are_allowed(tmp_path, ecg, wfdb_writer):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500, leads=1), leads=["V5"])
    record = read_record(header, allow_missing_leads=True)
    assert record.present.sum() == 1
    assert record.present[LEADS.index("V5")]


def test_an_unknown_lead_is_never_dropped_silently(tmp_path, ecg, wfdb_writer):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500, leads=2), leads=["MLII", "V5"])
    said = "unknown leads 'MLII' .* rename .* MLII to II, .* --allow-missing-leads"
    with pytest.raises(RecordError, match=said):
        read_record(header, allow_missing_leads=True)


def truncate(header):
    data = header.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:-240])


def flip(header):
    data = header.with_suffix(".dat")
    content = bytearray(data.read_bytes())
    content[5000] ^= 4
    data.write_bytes(content)


FAULTS = {
    "truncated signal": (truncate, "23760 bytes but r.hea states"),
    "header too long": (lambda h: edit(h, " 1000$", " 1100"), "26400 bytes"),
    "header too short": (lambda h: edit(h, " 1000$", " 900"), "21600 bytes"),
    "a flipped bit": (flip, "checksum"),
    "leads renamed": (lambda h: edit(h, "V5$", "V7"), r"unknown leads 'V7'"),
    "a lead twice": (lambda h: edit(h, "V5$", "V4"), "lead V4 twice"),
    "no signal file": (lambda h: h.with_suffix(".dat").unlink(), "is missing"),
    "rate 0": (lambda h: edit(h, "12 500", "12 0"), "0 Hz"),
    "rate below zero": (lambda h: edit(h, "12 500", "12 -500"), "not a WFDB header"),
    "rate absurd": (lambda h: edit(h, "12 500", "12 500000"), "500000 Hz"),
    "another format": (lambda h: edit(h, "dat 16 ", "dat 212 "), "r.hea"),
    "no such format": (lambda h: edit(h, "dat 16 ", "dat 999 "), "cannot be decoded"),
    "outside its folder": (lambda h: edit(h, r"r\.dat", "../r.dat"), "file beside it"),
    "a field missing": (lambda h: edit(h, r" 1000\.0\(0\)/mV", ""), "describe a lead"),
    "a line missing": (lambda h: edit(h, r".*V6\n", ""), "describes 11"),
    "negative gain": (lambda h: edit(h, r" 1000\.0", " -1000.0"), "describe a lead"),
    "empty header": (lambda h: h.write_text(""), "not a WFDB header"),
    "binary header": (lambda h: h.write_bytes(bytes(range(256))), "not a WFDB"),
    "no leads": (lambda h: h.write_text("r 0 500 1000\n"), "announces 0 leads"),
    "several segments": (
        lambda h: h.write_text("r/2 12 500 2000\na 1000\nb 1000\n"),
        "several segments",
    ),
    "a day long": (lambda h: edit(h, " 1000$", " 43200000"), "86400 s"),
    "unknown unit": (
        lambda h: edit(h, "/mV 16 0", "/mmHg 16 0"),
        r"mmHg; expected v",
    ),
    "two rates": (lambda h: edit(h, "dat 16 ", "dat 16x2 ", 1), "different rates"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_record_is_an_error_that_names_it(tmp_path, ecg, wfdb_writer, fault):
    damage, expected = FAULTS[fault]
    header = wfdb_writer(tmp_path, "r", ecg(2, 500))
    read_record(header)
    damage(header)
    with pytest.raises(RecordError, match=expected) as caught:
        read_record(header)
    assert str(tmp_path) in str(caught.value)
    assert str(caught.value).endswith(".")


def test_swapped_header_lines_are_found_by_their_checksums(tmp_path, ecg, wfdb_writer):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500))
    lines = header.read_text().splitlines()
    lines[7], lines[8] = lines[8], lines[7]
    header.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError, match="checksum"):
        read_record(header)


@pytest.mark.parametrize("fmt", ["212", "516"])
@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_damage_is_found_in_formats_that_wfdb_reads(
    tmp_path, ecg, wfdb_writer, fmt, damage
):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500) / 4, fmt=fmt)
    for data in tmp_path.glob("*.dat"):
        content = bytearray(data.read_bytes())
        if damage == "truncate":
            del content[-len(content) // 3 :]
        else:
            content[len(content) // 2] ^= 16
        data.write_bytes(content)
    with pytest.raises(RecordError):
        read_record(header)


def test_a_lead_without_a_valid_sample_is_as_good_as_absent(tmp_path, ecg, wfdb_writer):
    eight = ecg(2, 500, leads=8)
    limbs = limbs_of(*eight[:2])
    signal = np.concatenate([eight[:2], limbs, eight[2:]])
    signal[3] = np.nan
    record = read_record(wfdb_writer(tmp_path, "limb", signal, leads=LEADS))
    assert record.derived == ("aVR",) and record.present.all()
    np.testing.assert_allclose(record.signal[3], limbs[1], atol=0.001)
    signal[6] = np.nan
    header = wfdb_writer(tmp_path, "chest", signal, leads=LEADS)
    with pytest.raises(RecordError, match="V1 missing, or without a valid sample"):
        read_record(header)
    record = read_record(header, allow_missing_leads=True)
    assert not record.signal[6].any() and record.blank == ["V1"]
    signal[:] = np.nan
    header = wfdb_writer(tmp_path, "none", signal, leads=LEADS)
    with pytest.raises(RecordError) as caught:
        read_record(header, allow_missing_leads=True)
    assert "a valid sample in none of the twelve" in str(caught.value)
    assert "allow" not in str(caught.value), "which would not help"


def test_an_unknown_lead_beside_twelve_does_no_harm_though_one_is_empty(
    tmp_path, ecg, wfdb_writer
):
    signal = ecg(2, 500, leads=13)
    signal[6] = np.nan
    header = wfdb_writer(tmp_path, "r", signal, leads=[*LEADS, "Vx"])
    assert read_record(header, allow_missing_leads=True).blank == ["V1"]
    with pytest.raises(RecordError, match="V1 missing, or without a valid sample"):
        read_record(header)


def test_what_could_be_read_in_two_ways_is_refused(tmp_path, ecg):
    np.save(tmp_path / "x.npy", np.eye(12))
    with pytest.raises(RecordError, match="is ambiguous: either side"):
        read_record(tmp_path / "x.npy", sampling_rate=500)
    np.save(tmp_path / "x.npy", np.eye(5))
    with pytest.raises(RecordError, match=r"expected \(12, samples\)"):
        read_record(tmp_path / "x.npy", sampling_rate=500)
    for others, said in (
        (["I"], "has lead I twice"),
        (["I.1", "I.1"], "has lead I twice"),
        (["note", "note"], "every lead is flat"),  # it is read
    ):
        names = [*LEADS, *others]
        rows = [",".join(names), *([",".join("1" * len(names))] * 9)]
        (tmp_path / "x.csv").write_text("\n".join(rows))
        with pytest.raises(RecordError, match=said):
            read_record(tmp_path / "x.csv", sampling_rate=500)
    (tmp_path / "x.csv").write_text("I.1,II\n" + "1,2\n" * 9)
    with pytest.raises(RecordError, match=r"unknown leads 'I\.1'"):
        read_record(tmp_path / "x.csv", sampling_rate=500)


def test_twelve_flat_leads_are_refused(tmp_path, wfdb_writer):
    header = wfdb_writer(tmp_path, "r", np.zeros((12, 1000)))
    with pytest.raises(RecordError, match="every lead is flat"):
        read_record(header)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("x", "x.hea", "x.npy"):
        with pytest.raises(RecordError, match="does not exist"):
            read_record(tmp_path / name)
    (tmp_path / "x.txt").write_text("?")
    with pytest.raises(RecordError, match="no known format"):
        read_record(tmp_path / "x.txt")


def test_a_folder_is_no_record_but_may_have_the_name_of_one(
    tmp_path, ecg, wfdb_writer, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("r", "x.csv"):
        (tmp_path / name).mkdir()
    for name in ("r", "x.csv", ".", ".."):
        with pytest.raises(RecordError, match="is a folder; name a file in it"):
            read_record(name)
    wfdb_writer(tmp_path, "r", ecg(2, 500))
    assert read_record("r").path == "r.hea"


def test_a_remedy_is_named_as_python_and_the_command_line_spell_it(
    tmp_path, ecg, wfdb_writer
):
    np.save(tmp_path / "x.npy", ecg(2, 500) * 1000)
    (tmp_path / "x.csv").write_text("I,II\n1,2\n")
    for name in ("x.npy", "x.csv"):
        with pytest.raises(
            RecordError, match=r"sampling_rate in Hz .*--sampling-rate.* a column sampl"
        ):
            read_record(tmp_path / name)
    with pytest.raises(RecordError, match=r"--units.*a column units"):
        read_record(tmp_path / "x.npy", sampling_rate=500)
    wfdb_writer(tmp_path, "r", ecg(2, 500, leads=1), leads=["V5"])
    with pytest.raises(
        RecordError, match=r"allow_missing_leads \(.*--allow-missing-leads\)"
    ):
        read_record(tmp_path / "r")


def test_a_cpsc_struct_is_read(tmp_path, ecg):
    signal = ecg(7, 500)
    struct = {"sex": "Female", "age": 47, "data": signal}
    savemat(tmp_path / "A0001.mat", {"ECG": struct})
    record = read_record(tmp_path / "A0001")
    np.testing.assert_array_equal(record.signal, signal.astype(np.float32))
    assert (record.sampling_rate, record.units) == (500, "mV")


def test_a_struct_that_cannot_be_used_is_refused(tmp_path, ecg):
    file = tmp_path / "A.mat"
    savemat(file, {"ECG": {"sex": "Male"}})
    with pytest.raises(RecordError, match="struct ECG without an array data"):
        read_record(file)
    savemat(file, {"ECG": {"data": ecg(2, 500)[:11]}})
    with pytest.raises(RecordError, match=r"shape \(11, 1000\)"):
        read_record(file)
    savemat(file, {"val": ecg(2, 500)})
    with pytest.raises(RecordError, match=r"header A\.hea is missing"):
        read_record(file)
    file.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(300))
    with pytest.raises(RecordError, match="not a MATLAB v5 file"):
        read_record(file)


def test_all_signal_files_that_are_missing_are_named_in_order(
    tmp_path, ecg, wfdb_writer
):
    header = wfdb_writer(tmp_path, "r", ecg(2, 500))
    lines = header.read_text().splitlines(keepends=True)
    lines[1:] = [
        s.replace("r.dat", f"{12 - i:02}.dat") for i, s in enumerate(lines[1:])
    ]
    header.write_text("".join(lines))
    named = ", ".join(f"{i:02}.dat" for i in range(1, 13))
    with pytest.raises(RecordError, match=f"signal files {named}, which are missing"):
        read_record(header)


def test_an_array_needs_its_rate_and_may_lie_either_way(tmp_path, ecg):
    signal = ecg(2, 250)
    for array in (signal, signal.T, np.asfortranarray(signal.astype(np.float32))):
        np.save(tmp_path / "x.npy", array)
        record = read_record(tmp_path / "x.npy", sampling_rate=250)
        np.testing.assert_array_equal(record.signal, signal.astype(np.float32))
    with pytest.raises(RecordError, match="pass sampling_rate"):
        read_record(tmp_path / "x.npy")


@pytest.mark.parametrize("rate", ["fast", (250, 500)])
def test_a_rate_that_is_no_number_is_refused_whatever_is_read(
    tmp_path, ecg, wfdb_writer, rate
):
    wfdb_writer(tmp_path, "r", ecg(2, 500))
    for file in (ecg(2, 500), tmp_path / "r.hea"):
        with pytest.raises(RecordError, match=r"sampling_rate is .* a number, in Hz"):
            read_record(file, sampling_rate=rate)


def test_an_arrays_leads_and_units_may_be_stated(tmp_path, ecg):
    signal = ecg(2, 500, leads=3)
    np.save(tmp_path / "x.npy", np.round(signal * 1000).astype(np.int32))
    record = read_record(
        tmp_path / "x.npy",
        sampling_rate=500,
        units="uV",
        leads=["V2", "I", "aVF"],
        allow_missing_leads=True,
    )
    np.testing.assert_allclose(record.signal[7], signal[0], atol=1e-6)
    np.testing.assert_allclose(record.signal[0], signal[1], atol=1e-6)
    assert record.present.sum() == 3


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((12, 12)), r"shape \(12, 12\)"),
        (np.zeros((3, 500)), r"shape \(3, 500\)"),
        (np.array(["a"] * 12), "real numbers"),
        (np.array([{}] * 12, dtype=object), "not a numpy array"),
        (np.zeros((12, 500), dtype=complex), "real numbers"),
    ],
)
def test_an_array_of_another_kind_is_refused(tmp_path, array, expected):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(RecordError, match=expected):
        read_record(tmp_path / "x.npy", sampling_rate=500)


def test_a_text_is_no_array_and_no_pickle_is_advised(tmp_path):
    for content in (b"hello", b"0.1,0.2,0.3\n" * 20):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(
            RecordError, match=r"x\.npy is not .* by numpy\.save\."
        ) as e:
            read_record(tmp_path / "x.npy", sampling_rate=500)
        assert "pickle" not in str(e.value)


def test_microvolts_taken_for_millivolts_are_refused(tmp_path, ecg):
    np.save(tmp_path / "x.npy", ecg(2, 500) * 1000)
    with pytest.raises(RecordError, match="true units"):
        read_record(tmp_path / "x.npy", sampling_rate=500)
    assert read_record(tmp_path / "x.npy", sampling_rate=500, units="uV").units == "mV"


def test_infinite_values_are_refused(tmp_path, ecg):
    signal = ecg(2, 500)
    signal[0, 5] = np.inf
    np.save(tmp_path / "x.npy", signal)
    with pytest.raises(RecordError, match="infinite"):
        read_record(tmp_path / "x.npy", sampling_rate=500)


def test_a_table_has_one_column_a_lead(tmp_path, ecg):
    signal = ecg(2, 500)
    table = pd.DataFrame(dict(zip(MIMIC, signal, strict=True)))
    table.insert(0, "time", np.arange(1000) / 500)
    table.to_csv(tmp_path / "x.csv", index=False)
    record = read_record(tmp_path / "x.csv", sampling_rate=500)
    order = [MIMIC.index(lead) for lead in LEADS]
    np.testing.assert_allclose(record.signal, signal[order], atol=1e-6)
    for first, do in (
        ("0.0,0.0,0.5", "add a line above with"),
        ("\ufeff0.0,,-1e-3", "add a line above with"),
        ("time,ch0,ch1", "replace its names by"),
        ("ch0,1,2", "replace its names by"),
    ):
        (tmp_path / "x.csv").write_text(f"{first}\n1,2,3\n", encoding="utf-8")
        with pytest.raises(RecordError, match=f"first line; {do} those of .*I,II,III"):
            read_record(tmp_path / "x.csv", sampling_rate=500)
    (tmp_path / "x.csv").write_text("I,II\n1,a\n")
    with pytest.raises(RecordError, match="table of numbers"):
        read_record(tmp_path / "x.csv", sampling_rate=500)
    for rows in ("I,II\n0,1,0,2\n", "I;II\n0,1;0,2\n", "I;II\n0.1;0.2\n"):
        (tmp_path / "x.csv").write_text(rows)
        with pytest.raises(RecordError, match="commas, and write decimals with points"):
            read_record(tmp_path / "x.csv", sampling_rate=500)
    for nothing in ("", "\n \n"):
        (tmp_path / "x.csv").write_text(nothing)
        with pytest.raises(RecordError, match=r"x\.csv is empty; expected one column"):
            read_record(tmp_path / "x.csv", sampling_rate=500)


@pytest.mark.parametrize(
    ("times", "own"),
    [
        (np.arange(1000) / 500, 500),  # seconds
        (7e3 + 2 * np.arange(1000), 500),  # ms, from some hour on
        (4000 * np.arange(1000), 250),  # microseconds
        (np.round(np.arange(1000) / 360, 3), 360),  # steps of 2 ms and of 3
        ([None, *np.arange(998) / 250, "?"], 250),
    ],
)
def test_a_rate_that_the_column_of_times_contradicts_is_refused(
    tmp_path, ecg, times, own
):
    table = pd.DataFrame(dict(zip(LEADS, ecg(2, 500), strict=True)))
    table.insert(12, " Time", times)
    table.to_csv(tmp_path / "x.csv", index=False)
    for rate in (own, 0.985 * own, 1.015 * own):
        found = read_record(tmp_path / "x.csv", sampling_rate=rate)
        assert found.sampling_rate == rate
    for rate in (own / 2, 0.97 * own, 1.03 * own, 1000 * own):
        said = f"x.csv has {own} Hz by its column time, not the {rate:g} Hz that were"
        with pytest.raises(RecordError, match=re.escape(said)):
            read_record(tmp_path / "x.csv", sampling_rate=rate)


@pytest.mark.parametrize(
    "times",
    [
        np.arange(1000),  # numbers of samples
        np.zeros(1000),
        -np.arange(1000) / 500,
        ["0:00:01"] * 1000,
        [0.5, *[None] * 999],
        np.arange(1000) * 1e12,  # of no unit known
    ],
)
def test_times_that_say_no_rate_contradict_none(tmp_path, ecg, times):
    table = pd.DataFrame(dict(zip(LEADS, ecg(2, 500), strict=True)))
    table.insert(0, "time", times)
    table.to_csv(tmp_path / "x.csv", index=False)
    for rate in (250, 500):
        assert (
            read_record(tmp_path / "x.csv", sampling_rate=rate).duration * rate == 1e3
        )


def test_units_that_are_none_are_the_callers_not_the_files(tmp_path, ecg):
    signal = ecg(2, 500)
    np.save(tmp_path / "x.npy", signal)
    pd.DataFrame(dict(zip(LEADS, signal, strict=True))).to_csv(tmp_path / "x.csv")
    write_edf(tmp_path / "x.edf", signal, unit="")
    for name in ("x.npy", "x.csv", "x.edf"):
        said = rf"units given for .*{name} are 'microvolt'; expected mV, uV or V \(.*--"
        with pytest.raises(RecordError, match=said):
            read_record(tmp_path / name, sampling_rate=500, units="microvolt")
    z = read_record(tmp_path / "x.npy", sampling_rate=500, units="nu")
    assert z.units == "NU"


def write_edf(path, signal, rate=500, unit="uV"):
    signals = [
        edfio.EdfSignal(row * 1000, rate, label=f"ECG {name}", physical_dimension=unit)
        for name, row in zip(MIMIC, signal, strict=True)
    ]
    other = edfio.EdfSignal(np.sin(np.arange(signal.shape[1])), rate, label="Resp")
    edfio.Edf([other, *signals]).write(path)


def test_edf_signals_are_taken_by_label(tmp_path, ecg):
    signal = ecg(3, 500)
    write_edf(tmp_path / "x.edf", signal)
    record = read_record(tmp_path / "x.edf")
    order = [MIMIC.index(lead) for lead in LEADS]
    np.testing.assert_allclose(record.signal, signal[order], atol=1e-4)
    assert (record.sampling_rate, record.units) == (500, "mV")


def test_a_damaged_edf_is_refused(tmp_path, ecg):
    path = tmp_path / "x.edf"
    write_edf(path, ecg(3, 500))
    content = path.read_bytes()
    for damaged in (
        content[:-1000],
        content + bytes(10),
        content[:300],
        b"",
        b"x" * 99,
    ):
        path.write_bytes(damaged)
        with pytest.raises(RecordError):
            read_record(path)


def test_every_csn_sample_reads_as_wfdb_reads_it(real_data, tmp_path):
    headers = sorted((real_data / "csn-sample").rglob("*.hea"))
    assert len(headers) == 37
    for header in headers:
        text = header.read_text()
        assert wfdb_records.parse_header(header, text).plain
        copy = tmp_path / header.name
        copy.write_text(re.sub(r"^(\S+ 12 500 5000).*", r"\1", text, count=1))
        data = header.with_suffix(".mat")
        (tmp_path / data.name).symlink_to(data)
        np.testing.assert_array_equal(read_record(header).signal, by_wfdb(copy))


def test_every_cpsc_sample_is_read(real_data):
    files = sorted((real_data / "cpsc2018-sample").glob("A*.mat"))
    assert len(files) == 10
    for file in files:
        record = read_record(file)
        assert 6 <= record.duration <= 60
        assert 0.3 < np.abs(record.signal).max() < 30


def test_real_ptbxl_in_format_16_reads_as_wfdb_reads_it(real_data, tmp_path):
    headers = sorted((real_data / "ptb-xl-subset" / "records500").rglob("*.hea"))
    for header in headers[::60]:
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        wfdb.wrsamp(
            "copy",
            fs=record.fs,
            units=record.units,
            sig_name=record.sig_name,
            d_signal=record.d_signal,
            fmt=["16"] * 12,
            adc_gain=record.adc_gain,
            baseline=record.baseline,
            write_dir=str(tmp_path),
        )
        copy = tmp_path / "copy.hea"
        assert wfdb_records.parse_header(copy, copy.read_text()).plain
        expected = by_wfdb(header)
        np.testing.assert_array_equal(read_record(copy).signal, expected)
        np.testing.assert_array_equal(read_record(header).signal, expected)
