"""What chapters write on their pages."""

import subprocess
import sys
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from mccgaa.errors import BookError
from mccgaa_book import BANNER, page
from mccgaa_book.plots import style
from mccgaa_book.rows import PLUS_MINUS


@dataclass
class FakeLab:
    """The part of a Lab that a page asks for."""

    synthetic: bool | str = True

    def badge(self) -> str:
        return "**1,500** ECGs & reports."


REAL = FakeLab(synthetic=False)


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed."""
    said = []
    monkeypatch.setattr(page, "display", lambda *args: said.append(args))
    yield said
    plt.close("all")
    style.use()


@pytest.mark.parametrize(
    ("labs", "title"),
    [
        ([FakeLab()], "SYNTHETIC ECGs"),
        ([REAL], "REAL ECGs"),
        ([REAL, REAL], "REAL ECGs"),
        ([FakeLab(), REAL], "SYNTHETIC AND REAL ECGs"),
        ([FakeLab("mixed")], "SYNTHETIC AND REAL ECGs"),
        ([], "NO ECG DATA"),
    ],
)
def test_a_page_opens_with_the_banner_of_what_its_labs_stores_hold(shown, labs, title):
    page.start(*labs)
    data, metadata = shown[0]
    assert f'<p class="admonition-title">{title}</p>' in data["text/html"]
    assert metadata[BANNER]["title"] == title
    assert f"tier-{metadata[BANNER]['kind']}" in data["text/html"]


def test_a_page_that_uses_ecgs_in_one_part_alone_says_so(shown):
    page.start(REAL, only="in the last table")
    data, metadata = shown[0]
    assert metadata[BANNER]["title"] == "REAL ECGs IN ONE PART"
    said = "They are used in the last table alone; the rest of this page has none."
    assert metadata[BANNER]["text"].endswith(said)
    for one in (metadata[BANNER]["title"], said):
        assert one in data["text/html"]
    page.start(only="in the last table")  # where nothing is published there is none
    assert shown[1][1][BANNER]["title"] == "NO ECG DATA"
    assert shown[1][1][BANNER]["text"] == page.SAYS["none"]


def test_a_table_of_ecgs_that_the_page_reads_itself_says_that_they_are_real():
    html = page.table_html(pd.DataFrame({"a": [1]}), "t", "c", page.Recorded())
    assert page.TITLES["real"] in html and "tier-real" in html


def test_a_mixed_table_says_of_each_row_what_it_was_trained_and_tested_on():
    frame = pd.DataFrame({"auroc": [65.0]})
    for lab in ((FakeLab(), REAL), FakeLab("mixed")):
        with pytest.raises(BookError, match="which row is which; add 'trained on'"):
            page.table_html(frame, "t", "c", lab)
        html = page.table_html(frame.assign(**{"tested on": "real"}), "t", "c", lab)
        assert page.TITLES["mixed"] in html
        assert "tier-mixed" in html


def test_the_banner_writes_the_badge_as_plain_text():
    assert "1,500 ECGs &amp; reports." in page.banner(FakeLab())


def test_figures_of_a_synthetic_page_carry_its_mark_and_real_ones_do_not(shown):
    page.start(FakeLab())
    fig, _ = plt.subplots()
    assert [text.get_text() for text in fig.texts] == [style.MARK]
    with style.unmarked():
        assert plt.figure().texts == []
    page.start(FakeLab(), REAL)
    assert [text.get_text() for text in plt.figure().texts] == [page.MARKS["mixed"]]
    page.start(REAL)
    assert plt.figure().texts == []


@pytest.mark.parametrize(
    ("value", "spec", "written"),
    [
        (np.float64(84.0149), ".2f", "84.01"),
        (torch.tensor(0.25), ".0%", "25%"),
        (np.int64(21388), "", "21,388"),
        (3.0, ",d", "3"),
        (84.35, ".1f", "84.4"),  # in binary a little less
        (-1234.25, "+,.1f", "-1,234.3"),
        (0.0125, ".1%", "1.3%"),
        (float("inf"), ".1f", "inf"),
        (-0.001, ".2f", "0.00"),
        (-0.01, ".2f", "-0.01"),
        (1 / 3, "", "0.3333"),
        (float("nan"), ".2f", page.ABSENT),
        (None, "", page.ABSENT),
        (True, "", "yes"),
        (np.bool_(False), "", "no"),
        ("AFIB", ".2f", "AFIB"),
    ],
)
def test_values_are_written_for_a_reader(value, spec, written):
    assert page.text(value, spec) == written


def test_a_table_is_shown_with_its_tag_and_writes_no_file(shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"ours": [71.234]}, index=pd.Index(["super"], name="task"))
    page.table(frame, "zero_shot", "Macro AUROC x 100.", lab=REAL)
    html = shown[0][0]["text/html"]
    assert "71.23<" in html
    assert "REAL ECGs" in html
    assert 'id="table-zero_shot"' in html
    assert list(tmp_path.iterdir()) == []


def test_levels_of_a_pivoted_table_are_joined_in_its_head(shown):
    columns = pd.MultiIndex.from_product([["recall", "loss"], ["pair", "none"]])
    frame = pd.DataFrame([[1.0, 0.0, 2.0, 3.0]], index=[8], columns=columns)
    page.table(frame, "leak", "A pivot.", lab=REAL)
    assert (
        '<th class="num short" scope="col">loss pair</th>' in shown[0][0]["text/html"]
    )


def test_long_texts_wrap_and_short_ones_do_not():
    frame = pd.DataFrame({"interval": ["25.8 to 56.3"], "why": ["a long reason " * 5]})
    html = page.table_html(frame, "t", "c")
    assert '<td class="short">25.8 to 56.3</td>' in html
    assert '<td class="">a long reason' in html


def test_a_table_escapes_its_texts_tints_the_paper_and_sets_rows_bold():
    frame = pd.DataFrame({"m": ["a<b", "c"], "paper": [1.0, np.nan]})
    html = page.table_html(frame, "t", "x & y", highlight=["c"])
    assert "a&lt;b" in html
    assert "x &amp; y" in html
    assert f'<td class="num short paper">{page.ABSENT}</td>' in html
    assert html.count('<tr class="ours">') == 1


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("MERL (paper)", True),
        ("paper: Avg. AUC", True),
        ("10 %, paper", True),
        ("paper", True),
        ("part of the paper", False),
        ("papermill", False),
        ("on paper", False),
    ],
)
def test_only_columns_of_printed_numbers_are_tinted(name, printed):
    html = page.table_html(pd.DataFrame({"m": ["a"], name: [1.0]}), "t", "c")
    assert ('<td class="num short paper">' in html) == printed


def test_numbers_written_as_text_are_set_to_the_right_and_codes_are_not():
    frame = pd.DataFrame(
        {
            "block": ["1.1", "1.2"],  # names the rows
            "ours": ["78.8 ± 0.4", page.ABSENT],
            "theirs": [f"78.8{PLUS_MINUS}0.4", page.ABSENT],
            "gap": ["3.0e-03", "0.0e+00"],
            "SNOMED-CT": ["164865005", page.ABSENT],
            "interval": ["25.8 to 56.3", "1.2 to 3.4"],
        }
    )
    html = page.table_html(frame, "x", "A table.")
    heads = {
        c: f'<th class="{k}" scope="col">{c}</th>'
        for c, k in (
            ("block", "short"),
            ("ours", "num short"),
            ("theirs", "num short"),
            ("gap", "num short"),
            ("SNOMED-CT", "short"),
            ("interval", "short"),
        )
    }
    assert all(head in html for head in heads.values())


def test_counts_that_are_floats_are_written_as_counts():
    counts = {"moments": [63.0, None, 1250.0], "auroc": [70.0, 71.5, 72.0]}
    html = page.table_html(pd.DataFrame(counts | {"one": [1.0, 1.0, 1.0]}), "t", "c")
    cells = [row.split("</td>")[0].split(">")[-1] for row in html.split("<td")[1:]]
    assert cells[0::3] == ["63", page.ABSENT, "1,250"]
    assert cells[1::3] == ["70.00", "71.50", "72.00"]
    assert cells[2::3] == ["1.00"] * 3  # an exact share stays a measured number


def test_a_chapter_run_as_a_script_prints_its_tables_and_banner_as_text():
    script = (
        "import pandas as pd; from mccgaa_book import page; page.start();"
        "page.table(pd.DataFrame({'lead': ['aVF']}), 'leads', 'Leads.')"
    )
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["NO", "ECG", "DATA", "lead", "0", "aVF"]


def test_figures_of_one_kind_are_marked_as_their_own_ecgs_are():
    simulated, recorded = page.Simulated("x"), page.Recorded()
    with page.drawn_from(recorded):
        assert not plt.figure().texts
    with page.drawn_from(simulated):
        assert [text.get_text() for text in plt.figure().texts] == [style.MARK]
    with page.drawn_from(simulated, recorded):
        assert plt.figure().texts[0].get_text() == "synthetic and real ECGs"
    with page.drawn_from():
        assert not plt.figure().texts
    plt.close("all")
