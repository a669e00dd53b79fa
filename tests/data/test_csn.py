"""Chapman-Shaoxing-Ningbo: exact labels, the published fault, odd headers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mccgaa.data import csn
from mccgaa.data.reader import left_out
from mccgaa.data.record import read_record
from mccgaa.errors import MccgaaError, StoreError

# The published table's header line, in its order (MERL's chapman_*.csv).
PUBLISHED = (
    "AQW UW SR WPW 2AVB AT VB ARS STTC SA STE VPB TWO STTU ALS APB 2AVB1 PRIE CCR CR "
    "AF AVB QTIE LBBB VEB SVT RBBB 1AVB STDD MI AFIB TWC PWC ERV RVH LVH ST JEB"
)
NAMES = """\ufeffAcronym Name,Full Name,Snomed_CT
1AVB,1 degree atrioventricular block,270492004
LBBB,left bundle branch block,164909002
LBBBB,left back bundle branch block,164909002
LVQRSAL,lower voltage QRS in all lead,251146004
SB,Sinus Bradycardia,426177001
SR,Sinus Rhythm,426783006
STTC,ST-T Change,428750005
VB,ventricular bigeminy,11157007
"""
SINUS, BRADY, BLOCK = "426783006", "426177001", "270492004"
LOW, LBBB = "251146004", "164909002"


def write_tree(root: Path, dx: Mapping[str, str | None]) -> Path:
    """Write headers only: the labels never ask for the signals."""
    (root / csn.NAMES).write_text(NAMES, encoding="utf-8")
    for name, codes in dx.items():
        folder = root / "WFDBRecords" / "01" / "010"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{name} 12 500 5000 23-Mar-2021 21:21:56", "#Age: 56", "#Sex: Male"]
        lines += [] if codes is None else [f"#Dx: {codes}", "#Rx: Unknown"]
        (folder / f"{name}.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_the_38_classes_are_in_the_published_order() -> None:
    assert " ".join(csn.CLASSES) == PUBLISHED


@pytest.mark.parametrize(
    ("statements", "exact", "published"),
    [
        # Rows of the published table (chapman_test.csv), with the columns set there.
        ("AF", "AF", "AF"),
        ("SB,STE,ERV", "STE ERV", "STE ERV ST"),
        ("AF,AVB", "AF AVB", "VB AF AVB"),
        ("AFIB", "AFIB", "AF AFIB"),
        ("SB,1AVB,STTC", "STTC 1AVB", "VB STTC AVB 1AVB ST"),
        ("SB,APB,LVQRSAL", "APB", "SA APB"),
        ("AT,1AVB,SR,APB", "SR AT APB 1AVB", "SR AT VB APB AVB 1AVB"),
        ("2AVB1", "2AVB1", "2AVB VB 2AVB1 AVB"),
        ("CCR", "CCR", "CCR CR"),
        ("SB", "", ""),
    ],
)
def test_labels_are_exact_or_repeat_the_published_fault(
    statements: str, exact: str, published: str
) -> None:
    acronyms = statements.split(",")
    assert csn.exact_labels(acronyms) == exact.split()
    assert csn.published_labels(acronyms) == published.split()


def test_rows_are_labelled_exactly_unless_asked_otherwise(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"JS00001": f"{BRADY},{BLOCK}", "JS00002": LOW})
    exact = csn.read_rows(root).set_index("record_id")
    faulty = csn.read_rows(root, labels="published").set_index("record_id")
    assert list(exact.index) == list(faulty.index) == ["JS00001", "JS00002"]
    assert exact.loc["JS00001", "csn"] == ["1AVB"]
    assert faulty.loc["JS00001", "csn"] == ["VB", "AVB", "1AVB"]
    assert (exact.loc["JS00002", "csn"], faulty.loc["JS00002", "csn"]) == ([], ["SA"])
    assert exact.loc["JS00001", "statements"] == ["SB", "1AVB"]
    assert (exact.loc["JS00001", "age"], exact.loc["JS00001", "sex"]) == (56.0, "Male")
    with pytest.raises(StoreError, match="labels is 'fuzzy'"):
        csn.read_rows(root, labels="fuzzy")


def test_the_first_acronym_of_a_code_counts(tmp_path: Path) -> None:
    rows = csn.read_rows(write_tree(tmp_path, {"JS00001": LBBB}))
    assert rows["statements"][0] == ["LBBB"]


def test_records_that_cannot_be_labelled_are_listed_with_the_reason(
    tmp_path: Path,
) -> None:
    root = write_tree(
        tmp_path,
        {
            "JS00001": SINUS,
            "JS00002": f"{SINUS},55827005",
            "JS00003": BRADY,
            "JS00004": None,
            "JS00005": "Unknown",
        },
    )
    rows = csn.read_rows(root)
    assert rows["record_id"].to_list() == ["JS00001"]
    reasons = left_out(rows).set_index("record_id")["reason"]
    assert reasons["JS00002"] == f"code 55827005 is not in {csn.NAMES}"
    assert "none of the 38 classes is among its labels (SB)" in reasons["JS00003"]
    assert reasons["JS00004"] == reasons["JS00005"]
    assert "no Dx line with a code" in reasons["JS00004"]


def test_the_split_is_drawn_before_the_records_without_a_class_go(
    tmp_path: Path,
) -> None:
    """Of ten records the rule tests the ninth and the second."""
    dx = {f"JS{i:05d}": BRADY if i in (1, 5) else SINUS for i in range(1, 11)}
    rows = csn.read_rows(write_tree(tmp_path, dx)).set_index("record_id")
    assert len(rows) == 8
    assert set(rows.index[rows["split"] == "test"]) == {"JS00002", "JS00009"}


def test_a_part_of_the_records_keeps_its_places_in_the_split(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {f"JS{i:05d}": SINUS for i in range(1, 11)})
    whole = csn.read_rows(root).set_index("record_id")
    ids = tmp_path / "ids.txt"
    ids.write_text("# chosen\nJS00009\n\nJS00003\nJS99999\n")
    part = csn.read_rows(root, only_ids=ids).set_index("record_id")
    assert list(part.index) == ["JS00003", "JS00009"]
    assert part["split"].equals(whole.loc[part.index, "split"])
    assert left_out(part)["record_id"].to_list() == ["JS99999"]
    assert len(csn.read_rows(root, limit=4)) == 4


def test_another_folder_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"ConditionNames_SNOMED-CT\.csv does not"):
        csn.read_rows(tmp_path)
    (tmp_path / csn.NAMES).write_text(NAMES)
    with pytest.raises(StoreError, match="give the folder that has WFDBRecords"):
        csn.read_rows(tmp_path)


def test_every_real_sample_is_labelled_or_left_out_for_its_true_reason(
    real_data: Path,
) -> None:
    """Of the 37, 15 have a class, 6 are sinus bradycardia alone, 16 unknown codes."""
    root = real_data / "csn-sample"
    rows = csn.read_rows(root)
    out = left_out(rows)
    assert len(rows) + len(out) == 37
    assert len(rows) == 15
    assert out["reason"].str.contains("none of the 38").sum() == 6
    unmapped = out[out["reason"].str.contains("is not in")]
    assert len(unmapped) == 16
    names = (root / csn.NAMES).read_text()
    for path, reason in zip(unmapped["path"], unmapped["reason"], strict=True):
        codes = reason.removeprefix("code ").split(" is not")[0].split(", ")
        header = (root / f"{path}.hea").read_text()
        assert all(code in header and code not in names for code in codes)


def test_every_real_signal_is_read_whatever_its_headers_first_line(
    real_data: Path,
) -> None:
    root = real_data / "csn-sample"
    headers = sorted(root.rglob("*.hea"))
    assert len(headers) == 37
    dated = 0
    for header in headers:
        dated += len(header.read_text().splitlines()[0].split()) > 4
        try:
            record = read_record(header)
        except MccgaaError as error:
            pytest.fail(f"{header.name}: {error}")
        assert record.signal.shape == (12, 5000)
        assert record.sampling_rate == 500
    assert dated == 33
