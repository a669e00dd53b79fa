"""What chapters write on their pages."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from mccgaa.errors import BookError
from mccgaa_book import BANNER, page
from mccgaa_book.plots import style


@dataclass
class FakeLab:
    tier: str = "synthetic"
    synthetic: bool = True

    def badge(self) -> str:
        return "**1,500 simulated** ECGs & reports."


REAL = FakeLab("real", synthetic=False)


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """Collect what is displayed, and keep tables in a scratch folder."""
    said = []
    monkeypatch.setenv("MCCGAA_TABLES", str(tmp_path))
    monkeypatch.setattr(page, "_display", lambda *args: said.append(args))
    yield said
    plt.close("all")
    style.use()


@pytest.mark.parametrize(
    ("lab", "title"),
    [
        (FakeLab(), "SYNTHETIC ECGs"),
        (REAL, "REAL ECGs: PTB-XL subset"),
        (None, "NO ECG DATA"),
    ],
)
def test_a_page_opens_with_the_banner_of_its_tier(shown, lab, title):
    page.start(lab)
    data, metadata = shown[0]
    assert title in data["text/html"]
    assert metadata[BANNER]["title"] == title


def test_synthetic_data_are_called_so_whatever_the_tier_is_named():
    assert page.kind(FakeLab(tier="real", synthetic=True)) == "synthetic"


def test_a_page_on_both_kinds_says_so_and_names_both():
    title, text = page.TITLES[page.kind(FakeLab(), REAL)], page.banner(FakeLab(), REAL)
    assert title == "SYNTHETIC AND REAL ECGs"
    assert text.count("1,500 simulated") == 2
    assert page.kind(REAL, REAL) == "real"


def test_a_table_of_both_kinds_carries_both_names():
    frame = pd.DataFrame({"auroc": [65.0]})
    html = page.table_html(frame, "t", "c", (FakeLab(), REAL))
    assert page.TITLES["mixed"] in html
    assert "tier-mixed" in html


def test_a_tier_without_banner_is_refused():
    with pytest.raises(BookError, match=r"'hospital'.*expected one of"):
        page.kind(FakeLab("hospital", synthetic=False))


def test_the_banner_writes_the_badge_as_plain_text():
    assert "1,500 simulated ECGs &amp; reports." in page.banner(FakeLab())


def test_figures_of_a_synthetic_page_carry_its_mark_and_real_ones_do_not(shown):
    page.start(FakeLab())
    fig, _ = plt.subplots()
    assert [text.get_text() for text in fig.texts] == [style.MARK]
    with style.unmarked():
        assert plt.figure().texts == []
    page.start(REAL)
    assert plt.figure().texts == []


@pytest.mark.parametrize(
    ("value", "spec", "written"),
    [
        (np.float64(84.0149), ".2f", "84.01"),
        (torch.tensor(0.25), ".0%", "25%"),
        (np.int64(21388), "", "21,388"),
        (3.0, ",d", "3"),
        (-0.001, ".2f", "0.00"),
        (-0.01, ".2f", "-0.01"),
        (1 / 3, "", "0.3333"),
        (float("nan"), ".2f", page.ABSENT),
        (None, "", page.ABSENT),
        (True, "", "True"),
        ("AFIB", ".2f", "AFIB"),
    ],
)
def test_values_are_written_for_a_reader(value, spec, written):
    assert page.text(value, spec) == written


def test_a_table_is_kept_under_its_tier_and_shown_with_its_tag(shown, tmp_path):
    frame = pd.DataFrame({"ours": [71.234]}, index=pd.Index(["super"], name="task"))
    page.table(frame, "zero_shot", "Macro AUROC x 100.", lab=REAL)
    kept = pd.read_csv(tmp_path / "real" / "zero_shot.csv")
    assert kept.to_dict("list") == {"task": ["super"], "ours": [71.234]}
    html = shown[0][0]["text/html"]
    assert "71.23<" in html
    assert "REAL ECGs" in html
    assert 'id="table-zero_shot"' in html


def test_levels_of_a_pivoted_table_are_joined_in_its_head(shown, tmp_path):
    columns = pd.MultiIndex.from_product([["recall", "loss"], ["pair", "none"]])
    frame = pd.DataFrame([[1.0, 0.0, 2.0, 3.0]], index=[8], columns=columns)
    page.table(frame, "leak", "A pivot.", lab=REAL)
    kept = pd.read_csv(tmp_path / "real" / "leak.csv")
    assert list(kept.columns)[1:] == [
        "recall pair",
        "recall none",
        "loss pair",
        "loss none",
    ]
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


def test_ours_beside_the_papers_gives_the_difference_and_keeps_gaps():
    frame = page.beside({"super": 71.0, "age": 1.0}, {"super": 75.5, "sub": 77.0})
    assert frame.loc["super"].tolist() == [71.0, 75.5, -4.5]
    assert np.isnan(frame.loc["age", "paper"])
    assert "sub" not in frame.index


def test_tables_go_to_the_book_only_where_the_book_runs(monkeypatch):
    monkeypatch.delenv("MCCGAA_TABLES", raising=False)
    assert "book" not in page.tables_folder().parts
