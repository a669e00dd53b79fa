"""ECGs of one's own: a CSV of paths with texts or labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mccgaa.config import LEADS, InputConfig
from mccgaa.data import own
from mccgaa.data.packing import pack
from mccgaa.data.reader import left_out
from mccgaa.errors import StoreError


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_of_the_docstring_and_the_readme_is_read(tmp_path: Path) -> None:
    lines = [line.strip() for line in own.__doc__.splitlines()]
    start = lines.index("path,text,labels,subject,split,sampling_rate,units")
    example = lines[start : lines.index("", start)]
    assert len(example) == 5
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert "\n".join(example) in readme
    rows = own.read_rows(write(tmp_path, "\n".join(example) + "\n"))
    assert rows["split"].to_list() == ["train", "train", "test", "test"]
    assert rows["own"].to_list() == [["SR"], ["AFIB"], ["AFIB", "PVC"], ["SR"]]
    assert rows["text"][0] == "sinus rhythm. normal ecg."
    assert rows["text"][2] is None
    assert rows.attrs["tasks"] == {"own": ["AFIB", "PVC", "SR"]}
    assert rows["path"][0] == "clinic/0001.hea"
    stated = list(zip(rows["path"], rows["sampling_rate"], rows["units"], strict=True))
    # What states neither in the file has both in the table.
    assert stated[2:] == [
        ("clinic/0003.csv", 500, "mV"),
        ("clinic/0004.npy", 250, "uV"),
    ]
    assert rows["units"].isna().to_list() == [True, True, False, False]


def test_reports_alone_are_split_by_subject(tmp_path: Path) -> None:
    lines = [f"{i}.hea,sinus rhythm {i},p{i // 3},{i}" for i in range(30)]
    table = "\n".join(["path,text,subject,site", *lines])
    rows = own.read_rows(write(tmp_path, table), val_share=0.2)
    assert rows.groupby("subject_id")["split"].nunique().max() == 1
    assert (rows["split"] == "val").sum() == 6
    assert rows.attrs["tasks"] == {}
    assert rows["site"][3] == "3"


def test_labels_alone_are_tested_and_unknown_differs_from_none(
    tmp_path: Path,
) -> None:
    rows = own.read_rows(write(tmp_path, "path,labels\na.hea,AF\nb.hea,-\nc.hea,\n"))
    assert rows["own"].to_list() == [["AF"], [], None]
    assert set(rows["split"]) == {"test"}
    assert rows["subject_id"].to_list() == ["a.hea", "b.hea", "c.hea"]


def test_a_part_is_taken_and_absent_ids_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "id,path,labels\nx,a.hea,A\ny,b.hea,B\nz,c.hea,A\n")
    rows = own.read_rows(path, only_ids=["z", "w"], task="csn")
    assert rows["record_id"].to_list() == ["z"]
    assert rows.attrs["tasks"] == {"csn": ["A"]}
    assert left_out(rows)["record_id"].to_list() == ["w"]
    assert own.read_rows(path, limit=2)["record_id"].to_list() == ["x", "y"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("file,text\na,b\n", "has no column path"),
        ("path;text\na;b\n", r"are path;text\. Separate its columns by commas\."),
        ("path,text\na,b, c\n", "more cells than its first; put texts that have"),
        ("path,note\na,b\n", "neither a column text nor a column labels"),
        ("path,text\n,b\n", "line 2: the path is empty"),
        ("path,text\na,b\na,c\n", "line 3: 'a' is there already"),
        ("path,text,split\na,b,dev\n", "line 2: split is 'dev'"),
        (
            "path,text,subject,split\na,b,p,train\nc,d,p,test\n",
            "subject 'p' is in more than one split",
        ),
        (
            "path,text,sampling_rate\na,b,500\nc,d,fast\n",
            "line 3: sampling_rate is 'fast'",
        ),
        ("path,text,start\na,b,0\nc,d,9:30\n", "line 3: start is '9:30'"),
        ("path,text,group\na,b,control\n", "a column 'group', which is a name of"),
        ("path,text,leads\na,b,12\n", "a column 'leads', which is a name of"),
    ],
)
def test_what_is_wrong_with_the_table_is_refused(
    tmp_path: Path, table: str, sentence: str
) -> None:
    with pytest.raises(StoreError, match=sentence):
        own.read_rows(write(tmp_path, table))


def test_a_start_is_seconds_into_its_file_and_may_be_empty(tmp_path: Path) -> None:
    """Of twelve seconds of a lead that counts the seconds, and nine of them unsaid."""
    seconds = np.repeat(np.arange(1.0, 13.0), 100)  # mV
    np.save(tmp_path / "a.npy", np.tile(seconds, (12, 1)))
    lines = ["path,labels,id,start,sampling_rate,units", "a.npy,SR,x,2,100,mV"]
    path = write(tmp_path, "\n".join([*lines, "a.npy,SR,y,,100,mV"]) + "\n")
    rows = own.read_rows(path)
    form = {"input": InputConfig(100), "jobs": 1, "progress": False}
    tasks = rows.attrs["tasks"]
    store = pack(rows, path, tmp_path / "s", dataset="own", tasks=tasks, **form)
    assert store.batch([0, 1])[:, 0, 50] == pytest.approx([3, 1], abs=0.01)


def test_a_folder_or_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder; give the CSV"):
        own.read_rows(tmp_path)
    with pytest.raises(StoreError, match="does not exist; give the CSV"):
        own.read_rows(tmp_path / "mine.csv")


def test_columns_of_no_meaning_are_named_with_what_may_be_meant(
    tmp_path: Path,
) -> None:
    first = "path,text,Patient ID,label,units,sex"
    said = own.odd_columns(write(tmp_path, f"{first}\na,b,p,x,mV,f\n"))
    assert [line.split("column ")[1] for line in said] == [
        "'Patient ID' is kept, and not used. Did you mean 'subject'?",
        "'label' is kept, and not used. Did you mean 'labels'?",
        "'sex' is kept, and not used.",
    ]
    table = write(tmp_path, "path,text,subject,patient\na,b,p,p\n")
    assert "Did you" not in own.odd_columns(table)[0], "subject is there"


def test_arrays_and_tables_without_a_header_are_packed(tmp_path: Path) -> None:
    """Rate and units of the CSV reach the reader of signals through the rows."""
    time = np.arange(5000) / 500
    volts = 1000 * np.sin(2 * np.pi * time) * np.arange(1, 13)[:, None]  # (12, T) uV
    np.save(tmp_path / "a.npy", volts)
    header = ",".join(LEADS)
    np.savetxt(
        tmp_path / "b.csv", volts.T / 1000, delimiter=",", header=header, comments=""
    )
    path = write(
        tmp_path,
        "path,labels,sampling_rate,units\na.npy,SR,500,uV\nb.csv,SR,500,mV\n"
        "c.npy,SR,500,uV\n",
    )
    rows = own.read_rows(path)
    store = pack(
        rows,
        path,
        tmp_path / "store",
        dataset="own",
        tasks=rows.attrs["tasks"],
        input=InputConfig(sampling_rate=100),
        jobs=1,
        progress=False,
    )
    assert (len(store), store.meta["rejected"]) == (2, 1)
    assert store.labels("own")[0].tolist() == [[1], [1]]
    assert store.batch([0, 1]).max(axis=(1, 2)) == pytest.approx([12, 12], rel=1e-2)
