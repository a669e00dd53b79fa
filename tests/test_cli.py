"""The commands as users type them, on synthetic records, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mccgaa.cli import build_parser, main

TINY = [
    *("pretrain.epochs=1", "pretrain.batch_size=16", "pretrain.text=knowledge"),
    *("model.encoder.widths=[8,8,8,8]", "model.encoder.embedding_dim=16"),
    *("model.encoder.pool_heads=2"),
]
PROFILE = Path(__file__).resolve().parents[1] / "params" / "real.yaml"


@pytest.fixture(scope="module")
def run_folder(twin_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli-runs")
    arguments = ["pretrain", "--params", PROFILE, "--store", twin_store, "--out", out]
    assert main([*map(str, arguments), "--seed", "3", "--set", *TINY]) == 0
    (folder,) = out.iterdir()
    return folder


def test_pretrain_prints_the_run_folder_as_its_last_line(
    run_folder, twin_store, capsys
):
    arguments = ["pretrain", "--params", PROFILE, "--store", twin_store]
    arguments += ["--out", run_folder.parent, "--seed", "3", "--set", *TINY]
    assert main(list(map(str, arguments))) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(run_folder)


@pytest.mark.parametrize("tasks", [["super", "form"], ["super,form"]])
def test_zeroshot_writes_json_with_classes_intervals_and_those_left_out(
    run_folder, twin_store, tmp_path, tasks, capsys
):
    out = tmp_path / "out.json"
    code = main(
        [
            *("zeroshot", "--run", str(run_folder), "--store", str(twin_store)),
            *("--tasks", *tasks, "--split", "all", "--json", str(out)),
            *("--bootstrap", "50"),
        ]
    )
    assert code == 0
    assert "synthetic" in capsys.readouterr().out
    results = json.loads(out.read_text())
    assert list(results) == ["super", "form"]
    found = results["super"]
    assert 0 <= found["macro_auroc"] <= 1 and len(found["ci95"]) == 2
    assert found["n"] > 0 and isinstance(found["left_out"], list)
    assert {"auroc", "positives"} <= set(next(iter(found["classes"].values())))


def test_classify_ranks_classes_for_one_file(run_folder, twin_tree, capsys):
    record = next((twin_tree / "records500").rglob("*_hr.hea")).with_suffix("")
    classes = ["atrial fibrillation", "sinus rhythm"]
    arguments = ["classify", str(record), "--run", str(run_folder)]
    assert main([*arguments, "--classes", *classes]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in classes) and "medical device" in printed


def test_check_prints_the_data_card(twin_store, capsys):
    assert main(["pack", "--check", str(twin_store)]) == 0
    assert "96" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["zeroshot", "--run", "RUN", "--store", "nowhere"], "no signal store"),
        (["zeroshot", "--run", "nowhere", "--store", "STORE"], "nowhere"),
        (
            ["zeroshot", "--run", "RUN", "--store", "STORE", "--tasks", "sooper"],
            "no task 'sooper'; it has super, sub, form, rhythm",
        ),
        (
            ["classify", "absent", "--run", "RUN", "--classes", "sinus rhythm"],
            "absent",
        ),
        (["pack", "ptbxl", "--root", "EMPTY", "--out", "EMPTY/s"], "ptbxl_database"),
        (["pack", "ptbxl"], "pack needs a dataset"),
        (
            [
                *("pretrain", "--params", "PROFILE", "--store", "STORE", "--out"),
                *("EMPTY", "--set", "pretrain.epoch=2"),
            ],
            "has no setting 'epoch'",
        ),
        (
            [
                *("pretrain", "--params", "PROFILE", "--store", "STORE", "--out"),
                *("EMPTY", "--variant", "nicest"),
            ],
            "no variant 'nicest'; it has bipartite",
        ),
        (["book", "run", "--profile", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_status_2(
    arguments, sentence, run_folder, twin_store, tmp_path, capsys
):
    names = {
        "RUN": run_folder,
        "STORE": twin_store,
        "EMPTY": tmp_path,
        "PROFILE": PROFILE,
    }
    for name, path in names.items():
        arguments = [a.replace(name, str(path)) for a in arguments]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "error: " in error and sentence in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_every_command_teaches_with_an_example(capsys):
    for name in (
        "twin",
        "download",
        "pack",
        "pretrain",
        "zeroshot",
        "classify",
        "book",
    ):
        with pytest.raises(SystemExit):
            build_parser().parse_args([name, "--help"])
        assert f"example: mccgaa {name}" in capsys.readouterr().out


def test_twin_writes_all_four_trees_at_a_share_of_their_published_size(tmp_path):
    out = tmp_path / "twin"
    scale = ["--scale", "0.001", "--mimic", "5", "--jobs", "1"]
    assert main(["twin", "--out", str(out), *scale]) == 0
    trees = sorted(p.name for p in out.iterdir() if p.is_dir())
    assert trees == ["cpsc2018", "csn", "mimic", "ptbxl"]
    assert all((out / tree / "SYNTHETIC").exists() for tree in trees)
    assert len(list(out.joinpath("ptbxl").rglob("*_hr.hea"))) == 22
    assert len(list(out.joinpath("cpsc2018").rglob("A*.mat"))) == 7


def test_the_100_hz_copy_of_ptbxl_can_be_packed(twin_tree, tmp_path, capsys):
    out = tmp_path / "low"
    arguments = ["pack", "ptbxl", "--root", str(twin_tree), "--out", str(out)]
    rates = ["--file-rate", "100", "--sampling-rate", "100", "--jobs", "1"]
    assert main([*arguments, *rates]) == 0
    assert "96 records" in capsys.readouterr().out
