"""The commands as users type them, on synthetic records, and what they refuse."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, get_args

import pytest
import torch
import yaml

from mccgaa import choices, commands
from mccgaa.cli import COMMANDS, build_parser, main
from mccgaa.commands.words import from_pairs, to_pairs
from mccgaa.config import METHOD, GafaConfig, ModelConfig, PretrainConfig, RunConfig
from mccgaa.data.physionet import DATASETS
from mccgaa.data.store import SignalStore
from mccgaa.errors import MccgaaError
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.ready.classifier import shipped
from mccgaa.settings import from_dict, load_yaml, to_dict
from mccgaa_twin.mirror import write_twin

NARROW = {"encoder": {"widths": [8, 8, 8, 8]}}
INPUT = {"sampling_rate": 100, "transform": "bandpass-zscore"}
MINILM = {"encoder": "minilm"}


def write_profile(folder: Path, tree: Path, store: Path) -> Path:
    """Write params/mine.yaml, of one tiny variant per graph."""
    path = folder / "params" / "mine.yaml"
    path.parent.mkdir(parents=True)
    profile = {
        "tier": "synthetic",
        "title": "a few simulated records",
        "model": {"input": INPUT, "text": MINILM, **NARROW},
        "pretrain": {"epochs": 1, "batch_size": 16, "text": "knowledge"},
        "variants": {
            "bipartite": {"model": {"gafa": {"graph": "bipartite"}}},
            "pair": {"model": {"gafa": {"graph": "pair"}}},
        },
        "stores": {
            "pretrain": {
                "dataset": "ptbxl",
                "root": str(tree),
                "out": str(store),
                "jobs": 1,
            }
        },
        "runs": str(folder / "runs"),
    }
    path.write_text(yaml.safe_dump(profile))
    return path


@pytest.fixture(scope="module")
def profile(
    twin_tree: Path, twin_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_profile(tmp_path_factory.mktemp("cli"), twin_tree, twin_store)


@pytest.fixture(scope="module")
def run_folder(profile: Path) -> Path:
    """A run, of a profile by its bare name that also names the store and --out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(profile.parents[1])
        assert main(["pretrain", "--params", "mine", "--seed", "3"]) == 0
    (folder,) = (profile.parents[1] / "runs").iterdir()
    return folder


@pytest.fixture(scope="module")
def no_graph(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model whose graph is of pairs, without a run around it."""
    config = MCCGAA.from_pretrained(run_folder).config
    folder = tmp_path_factory.mktemp("cli-model") / "pair"
    MCCGAA(replace(config, gafa=GafaConfig(graph="pair"))).save_pretrained(folder)
    return folder


def zeroshot(run: Path, store: Path, *more: str) -> int:
    return main(["zeroshot", "--run", str(run), "--store", str(store), *more])


def strict_json(path: Path) -> Any:
    """Read JSON, refusing NaN and infinity, which Python writes and reads."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_pretrain_prints_the_run_folder_as_its_last_line(
    profile, run_folder, twin_store, capsys
):
    arguments = ["pretrain", "--params", profile, "--store", twin_store]
    arguments += ["--out", run_folder.parent, "--seed", "3"]
    assert main(list(map(str, arguments))) == 0  # the run is there: it is loaded
    assert capsys.readouterr().out.splitlines()[-1] == str(run_folder)
    config = from_dict(RunConfig, load_yaml(run_folder / "config.yaml"))
    assert (config.name, config.pretrain.seed) == ("bipartite", 3)


def test_torchrun_packs_the_store_of_the_profile_and_trains_one_run(
    twin_tree, tmp_path
):
    profile = write_profile(tmp_path, twin_tree, tmp_path / "store")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "mccgaa.cli", "pretrain", "--params", profile]
    command += ["--device", "cpu", "--set", "pretrain.batch_size=8"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert done.stdout.split() == [str(folder)]  # said once
    assert strict_json(folder / "metrics.json")["facts"]["processes"] == 2
    assert len(SignalStore.open(tmp_path / "store")) == 96


@pytest.mark.parametrize("tasks", [["super", "form"], ["super,form"]])
def test_zeroshot_writes_results_with_what_was_new_at_the_test(
    run_folder, twin_store, tmp_path, tasks, capsys
):
    out = tmp_path / "results" / "out.json"
    options = ["--split", "all", "--json", str(out), "--bootstrap", "50"]
    assert zeroshot(run_folder, twin_store, "--tasks", *tasks, *options) == 0
    found, store = strict_json(out), SignalStore.open(twin_store)
    assert list(found["tasks"]) == ["super", "form"]
    result = found["tasks"]["super"]
    low, high = result["ci95"]
    assert 0 <= low <= result["macro_auroc"] <= high <= 1
    assert result["n"] == len(store.indices(task="super"))
    assert isinstance(result["left_out"], list) and result["resamples"] == 50
    assert {"auroc", "ci95", "positives"} == set(result["classes"]["NORM"])

    assert found["run"] == {
        "folder": str(run_folder),
        "hash": run_folder.name.rpartition("-")[2],
        "method": METHOD,
        "store": store.meta["fingerprint"],
        "source": "ptbxl",
    }
    assert found["store"]["fingerprint"] == store.meta["fingerprint"]
    assert found["synthetic"] == {"tested": True, "trained": True}
    assert (found["split"], found["text_style"]) == ("all", "name")
    assert (found["fused"], found["bootstrap"]) == (False, 50)
    assert found["knowledge"] == Knowledge.load().fingerprint
    assert found["precision"] in ("bf16", "fp32")
    how = found["protocol"]
    assert how["classifier_fitted"] is how["transductive"] is False
    assert how["pretraining_texts"] == "knowledge" and how["same_source"] is True
    assert how["records_in_pretraining"] is True
    read = [counts["named_in_pretraining"] for counts in how["class_texts"].values()]
    assert how["class_texts"]["super"]["classes"] == 5 and all(n > 0 for n in read)

    printed = capsys.readouterr().out
    assert found["meaning"] == printed.splitlines()[0]
    assert "no classifier was fitted to the labels" in printed
    assert "texts made from the labels of ptbxl, the source of this test" in printed
    total = sum(counts["classes"] for counts in how["class_texts"].values())
    assert f"{sum(read)} of {total} class texts occur in them" in printed
    assert "no evidence about patients" in printed
    assert "Records of this split were in pretraining." in printed
    assert f"[{100 * low:.1f}, {100 * high:.1f}]  records {result['n']}," in printed


def test_class_texts_are_counted_as_the_training_texts_name_them(
    run_folder, twin_store, tmp_path
):
    out = tmp_path / "out.json"
    zeroshot(run_folder, twin_store, "--bootstrap", "0", "--json", str(out))
    store, knowledge = SignalStore.open(twin_store), Knowledge.load()
    records = store.records
    named = {
        knowledge.text("statements", name).lower()
        for names in records["statements"][records["split"] == "train"]
        for name in (names if names is not None else ())
    }
    for task, counts in strict_json(out)["protocol"]["class_texts"].items():
        texts = [knowledge.text(task, name).lower() for name in store.classes(task)]
        at_least = sum(text in named for text in texts)
        assert at_least <= counts["named_in_pretraining"] <= counts["classes"]
        assert counts["named_in_pretraining"] == sum(
            any(f" {text} " in f" {name.replace(',', ' ')} " for name in named)
            for text in texts
        )


def test_the_test_split_was_not_in_pretraining_and_no_interval_is_null(
    run_folder, twin_store, tmp_path, capsys
):
    out = tmp_path / "out.json"
    assert zeroshot(run_folder, twin_store, "--bootstrap", "0", "--json", str(out)) == 0
    found = strict_json(out)
    assert found["split"] == "test" and not found["protocol"]["records_in_pretraining"]
    assert all(result["ci95"] == [None, None] for result in found["tasks"].values())
    assert set(found["tasks"]) == set(SignalStore.open(twin_store).meta["tasks"])
    printed = capsys.readouterr().out
    assert "[" not in printed and "Records of this split" not in printed


def test_fused_results_say_that_they_are_transductive(
    run_folder, twin_store, tmp_path, capsys
):
    out = tmp_path / "out.json"
    options = ["--tasks", "super", "--fused", "--precision", "fp32", "--json", str(out)]
    assert zeroshot(run_folder, twin_store, *options) == 0
    found = strict_json(out)
    assert found["fused"] is found["protocol"]["transductive"] is True
    assert found["precision"] == "fp32" and found["bootstrap"] == 1000
    assert "depend on the other records" in capsys.readouterr().out


def test_a_model_without_a_run_says_that_its_pretraining_is_not_known(
    no_graph, twin_store, tmp_path, capsys
):
    out = tmp_path / "out.json"
    options = ["--tasks", "super", "--bootstrap", "0", "--json", str(out)]
    assert zeroshot(no_graph, twin_store, *options) == 0
    found = strict_json(out)
    assert found["run"]["hash"] is found["synthetic"]["trained"] is None
    assert found["protocol"]["same_source"] is None
    assert found["protocol"]["class_texts"]["super"]["named_in_pretraining"] is None
    printed = capsys.readouterr().out
    assert "What pretraining read is not known" in printed
    assert "Whether records of this split were in pretraining is not known." in printed


def test_a_score_says_its_split_and_wording_and_that_the_models_own_is_another(
    no_graph, twin_store, tmp_path, capsys
):
    model = tmp_path / "model"
    shutil.copytree(no_graph, model)
    (model / "README.md").write_text("Its card.")
    own = {"prompting": {"prompts": "members", "reduction": "mean"}}
    (model / "scoring.json").write_text(json.dumps(own))
    options = ["--tasks", "super", "--bootstrap", "0"]

    def said(*more: str) -> tuple[str, str]:
        assert zeroshot(model, twin_store, *options, *more) == 0
        return capsys.readouterr()

    out, err = said()
    assert "\nScores of the test split of ptbxl: the cosine with one text per c" in out
    assert f"the run does not say (its card may: {model / 'README.md'})." in out
    assert f"the card of {model} score otherwise, with --prompts members --red" in err
    out, err = said("--prompts", "members", "--reduction", "mean", "--split", "all")
    assert "\nScores of all records of ptbxl: the mean of the cosines with all" in out
    assert "otherwise" not in err
    (model / "scoring.json").unlink()
    (model / "README.md").unlink()
    out, err = said()
    assert "the run does not say." in out and "otherwise" not in err


def test_classify_ranks_classes_for_one_file(run_folder, twin_tree, tmp_path, capsys):
    record = next((twin_tree / "records500").rglob("*_hr.hea")).with_suffix("")
    classes, out = ["atrial fibrillation", "sinus rhythm"], tmp_path / "ranks.json"
    arguments = ["classify", str(record), "--run", str(run_folder), "--json", str(out)]
    assert main([*arguments, "--classes", *classes]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in classes) and "medical device" in printed
    rows = strict_json(out)
    assert {row["name"] for row in rows} == set(classes)
    assert sum(row["share"] for row in rows) == pytest.approx(1)


def test_check_prints_the_data_card(twin_store, capsys):
    assert main(["pack", "--check", str(twin_store)]) == 0
    assert "96" in capsys.readouterr().out


def test_probe_writes_a_result_for_every_task_share_and_choice(
    run_folder, twin_store, tmp_path, capsys
):
    out = tmp_path / "out.json"
    options = ["--run", str(run_folder), "--store", str(twin_store), "--json", str(out)]
    options += ["--tasks", "super,rhythm", "--shares", "10", "100", "--bootstrap", "20"]
    assert main(["probe", *options]) == 0
    found, printed = strict_json(out), capsys.readouterr().out
    rows = {(row["task"], row["share"]): row for row in found["results"]}
    assert list(rows) == [(t, s) for t in ("super", "rhythm") for s in (10, 100)]
    row, store = rows["super", 100], SignalStore.open(twin_store)
    assert row["recipe"] == "converged" and row["l2"] > 0
    assert row["n"] == len(store.indices(split="test", task="super"))
    assert row["resamples"] == 20 and 0 <= row["macro_auroc"] <= 1
    assert found["protocol"]["classifier_fitted"] is True
    assert found["protocol"]["shares"] == [10, 100] and found["split"] == "test"
    assert found["run"]["hash"] == run_folder.name.rpartition("-")[2]
    assert found["synthetic"] == {"tested": True, "trained": True}
    assert printed.splitlines()[0] == found["meaning"]
    assert "heads were fitted to 10, 100 % of the training split" in printed
    assert "Records of the training split were in pretraining." in printed
    assert "no evidence about patients" in printed


def test_the_ancestors_probe_says_which_epoch_it_reports_and_that_it_is_no_result(
    run_folder, twin_store, tmp_path, capsys
):
    out = tmp_path / "out.json"
    options = ["--run", str(run_folder), "--store", str(twin_store), "--json", str(out)]
    options += ["--tasks", "super", "--shares", "10", "--bootstrap", "0"]
    assert main(["probe", *options, "--recipe", "merl"]) == 0
    found = strict_json(out)
    auroc = {row["recipe"]: row["macro_auroc"] for row in found["results"]}
    assert list(auroc) == ["merl-best-test", "merl-best-val", "merl-last"]
    assert auroc["merl-best-test"] == max(auroc.values())
    assert "is no result" in capsys.readouterr().out


A_RUN = ["--run", "RUN", "--store", "STORE", "--tasks", "super"]
TRAIN = ["pretrain", "--params", "PROFILE"]
AFIB = ["--classes", "AFIB"]
MISTAKES = {
    # arguments -> what the sentence says
    ("zeroshot", "--run", "RUN", "--store", "nowhere"): "no signal store",
    ("zeroshot", "--run", "nowhere", "--store", "STORE"): "nowhere is no folder",
    ("zeroshot", "--run", "FOLDER", "--store", "STORE"): "FOLDER has no config.json",
    ("probe", "--run", "FOLDER", "--store", "STORE"): "FOLDER has no config.json",
    ("zeroshot", "--run", "mccgaa-pluss", "--store", "STORE"): "mean 'mccgaa-plus'?",
    ("zeroshot", *A_RUN, "sooper"): "no task 'sooper'; it has super, sub, form, rhythm",
    ("zeroshot", *A_RUN, "--device", "gpu"): "device 'gpu' is not available",
    ("zeroshot", *A_RUN, "--device", "cuda:99"): "device 'cuda:99' is not available",
    ("zeroshot", *A_RUN, "--json", "FOLDER"): "it is a folder",
    ("zeroshot", *A_RUN, "--json", "FILE/out.json"): "FILE/out.json cannot be written",
    ("zeroshot", *A_RUN, "--json", "FILE/a/b.json"): "FILE/a/b.json cannot be written",
    ("zeroshot", *A_RUN, "--json", ""): "cannot be written",
    ("zeroshot", *A_RUN, "--knowledge", "FILE"): "FILE",
    (
        *("zeroshot", "--run", "PAIR", "--store", "STORE", "--tasks", "super"),
        "--fused",
    ): "need the bipartite graph",
    ("probe", "--run", "RUN", "--store", "nowhere"): "no signal store",
    ("probe", *A_RUN, "sooper"): "no task 'sooper'",
    ("probe", *A_RUN, "--json", "FOLDER"): "it is a folder",
    ("classify", "absent", "--run", "RUN", *AFIB): "absent",
    ("classify", "FILE", "--run", "RUN", *AFIB): "FILE",
    ("classify", "ECG", "--run", "RUN", *AFIB, "--json", "FOLDER"): "it is a folder",
    ("classify", "ECG", "--run", "RUN", *AFIB, "--device", "gpu"): "device 'gpu'",
    ("classify", "ECG", "--run", "RUN", "--json", "FILE"): "would replace FILE, which",
    ("classify", "", "--run", "RUN"): "record's name is empty",
    ("classify", ".", "--run", "RUN"): "is a folder; name a file in it",
    ("classify", "ECG", "--run", "RUN", "--classes", "a", "a"): "names 'a' twice",
    ("classify", "--run", "RUN", *AFIB, "FILE"): "that is a file; put it before",
    (
        *("classify", "ECG", "--run", "RUN", "--classes"),
        *("sinus rhythm", "atrial", "fibrillation"),
    ): "in quotes: 'atrial fibrillation'.",
    (
        *("classify", "ECG", "--run", "RUN", "--classes"),
        "atrial fibrillation, sinus rhythm",
    ): "quotes of its own: 'atrial fibrillation' 'sinus rhythm'.",
    ("pack", "ptbxl", "--root", "FOLDER", "--out", "FOLDER/s"): "ptbxl_database",
    (
        "pack",
        "ptbxl",
        "--root",
        "TREE",
        "--out",
        "FILE/s",
    ): "/s cannot be packed (Not a",
    ("pack", "ptbxl"): "pack needs a dataset, --root and --out",
    ("pack", "--check", "FOLDER"): "no signal store",
    ("pack", "--check", "FILE"): "FILE",
    (
        *("pack", "ptbxl", "--root", "TREE", "--out", "FOLDER/s"),
        *("--only-ids", "absent.txt"),
    ): "absent.txt",
    (*TRAIN, "--set", "pretrain.epoch=2"): "has no setting 'epoch'",
    (*TRAIN, "--set", "pretrain.epochs"): "'pretrain.epochs' is no setting",
    (*TRAIN, "--set", "pretrain.betas=[0.9"): "'pretrain.betas=[0.9' is no setting",
    (*TRAIN, "--set", "pretrain..epochs=2"): "'pretrain..epochs=2' is no setting",
    (*TRAIN, "--set", "pretrain.epochs=0"): "pretrain.epochs is 0",
    (*TRAIN, "--set", "pretrain.batch_size=0"): "pretrain.batch_size is 0",
    (*TRAIN, "--set", "pretrain.checkpoint_every=0"): "checkpoint_every is 0",
    (*TRAIN, "--set", "pretrain.batch_size=4096"): "fewer than one batch",
    (*TRAIN, "--set", "pretrain.seed=3"): "pretrain.seed is given by --seed",
    ("settings", "--variant", "pair"): "give its --profile, too",
    (*TRAIN, "--variant", "nicest"): "no variant 'nicest'; it has bipartite, pair",
    (*TRAIN, "--store", "nowhere"): "no signal store",
    (*TRAIN, "--device", "gpu"): "device 'gpu' is not available",
    (*TRAIN, "--out", "FILE"): "FILE",
    ("pretrain", "--params", "nowhere"): "nowhere",
    ("pretrain", "--params", "FOLDER"): "FOLDER cannot be read",
    ("twin", "--out", "FILE", "--ptbxl", "1", "--jobs", "1"): "FILE",
    ("twin", "--out", "FOLDER/t", "--scale", "0"): "--scale is 0.0",
    ("twin", "--out", "FOLDER/t", "--scale", "nan"): "--scale is nan",
    ("run", "zeroshot", "--profile", "nowhere"): "nowhere",
    ("run", "everything", "--profile", "PROFILE"): "no experiment 'everything'",
    ("compare", "--profile", "nowhere"): "nowhere",
    ("book", "execute"): "book execute needs --profile",
    ("book", "execute", "--profile", "PROFILE"): "is in no checkout of this project",
    ("book", "check"): "is in no checkout of this project",
    ("book", "build"): "is in no checkout of this project",
    ("book", "readme"): "is in no checkout of this project",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_sentence_and_exit_status_2_and_leaves_nothing(
    arguments,
    run_folder,
    no_graph,
    profile,
    twin_store,
    twin_tree,
    tmp_path,
    monkeypatch,
    capsys,
):
    sentence = MISTAKES[arguments]
    monkeypatch.chdir(tmp_path)  # which is no checkout
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("not what it should be")
    paths = {
        "RUN": run_folder,
        "PAIR": no_graph,
        "STORE": twin_store,
        "TREE": twin_tree,
        "ECG": next((twin_tree / "records500").rglob("*_hr.hea")),
        "PROFILE": profile,
        "FOLDER": tmp_path / "folder",
        "FILE": tmp_path / "file",
    }
    for name, path in paths.items():
        arguments = [a.replace(name, str(path)) for a in arguments]
        sentence = sentence.replace(name, str(path))
    runs = sorted(profile.parents[1].rglob("*"))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1 and sentence in error
    assert "Traceback" not in error and "fault of mccgaa" not in error
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "not what it should be"
    assert sorted(profile.parents[1].rglob("*")) == runs


@pytest.mark.parametrize(
    "arguments",
    [
        ["zeroshot", "--run", "r", "--store", "s", "--bootstrap", "-1"],
        ["zeroshot", "--run", "r", "--store", "s", "--bootstrap", "many"],
        ["probe", "--run", "r", "--store", "s", "--shares", "0"],
        ["probe", "--run", "r", "--store", "s", "--shares", "10", "101"],
        ["pretrain", "--params", "real", "--seed", "-1"],
        ["pack", "ptbxl", "--root", "r", "--out", "o", "--jobs", "0"],
        ["pack", "ptb-xl", "--root", "r", "--out", "o"],
        ["download", "own", "--root", "r"],
        ["twin", "--out", "o", "--ptbxl", "-3"],
    ],
    ids=" ".join,
)
def test_a_value_that_no_command_takes_is_refused_with_its_name(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert arguments[-1] in error or arguments[1] in error
    assert "Traceback" not in error


def test_an_unwritable_json_is_refused_before_the_work(
    run_folder, twin_store, tmp_path, monkeypatch
):
    def work(*args: Any, **options: Any) -> NoReturn:
        pytest.fail("the model was loaded first")

    monkeypatch.setattr("mccgaa.zeroshot.load_model", work)
    assert zeroshot(run_folder, twin_store, "--json", str(tmp_path)) == 2


@pytest.mark.parametrize("command", ["zeroshot", "probe"])
def test_a_store_that_is_not_what_was_packed_is_not_scored(
    run_folder, twin_store, tmp_path, command, monkeypatch, capsys
):
    store = tmp_path / "store"
    shutil.copytree(twin_store, store)
    signals = store / "signals.npy"
    content = signals.read_bytes()
    signals.write_bytes(content[:5000] + bytes(len(content) - 5000))

    def work(*args: Any, **options: Any) -> NoReturn:
        raise MccgaaError("the store was taken")

    monkeypatch.setattr("mccgaa.zeroshot.load_model", work)
    words = [command, "--run", str(run_folder), "--store", str(store)]
    assert main(words) == 2
    assert f"{signals} is not what was packed: its checks" in capsys.readouterr().err
    monkeypatch.setattr("mccgaa.data.check.VERIFIED_BYTES", len(content) - 1000)
    assert main(words) == 2
    assert "the store was taken" in capsys.readouterr().err, "more takes too long"


def test_classes_that_are_worded_alike_are_noted(
    run_folder, twin_store, tmp_path, monkeypatch, capsys
):
    base = tmp_path / "base.yaml"
    named = "NORM: normal, MI: Sinus, STTC: st-t, CD: sinus, HYP: hypertrophy"
    base.write_text(f"super: {{{named}}}")
    found = SimpleNamespace(doubts=lambda task: [f"{task}: too few records"])
    monkeypatch.setattr("mccgaa.zeroshot.zero_shot", lambda *a, **k: {"super": found})
    assert (
        zeroshot(run_folder, twin_store, "--tasks", "super", "--knowledge", str(base))
        == 0
    )
    note, few = capsys.readouterr().err.splitlines()
    assert note.startswith("note: MI and CD of super are both worded 'sinus' in ")
    assert few == "note: super: too few records"
    assert zeroshot(run_folder, twin_store, "--tasks", "super") == 0
    assert "worded" not in capsys.readouterr().err


def test_a_column_of_ones_own_table_that_means_nothing_is_noted(tmp_path, capsys):
    table = tmp_path / "mine.csv"
    table.write_text("path,text,split,patient,age\nr.hea,sinus,train,p,5\n")
    words = ["pack", "own", "--root", str(table), "--out", str(tmp_path / "out")]
    assert main([*words, "--jobs", "1"]) == 2  # there is no r.hea
    patient, age, *_ = capsys.readouterr().err.splitlines()
    assert "mine.csv: the column 'patient' is kept, and not used." in patient
    assert patient.startswith("note: ") and "Did you mean 'subject'?" in patient
    assert "'age' is kept" in age and "Did you" not in age


def test_json_of_a_run_that_fails_is_as_it_was(run_folder, twin_store, tmp_path):
    out = tmp_path / "out.json"
    out.write_text("[]")
    options = ["--tasks", "sooper", "--json", str(out)]
    assert zeroshot(run_folder, twin_store, *options) == 2
    assert out.read_text() == "[]" and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("raised", "code", "sentence"),
    [
        (PermissionError(13, "Permission denied", "x.hea"), 2, "x.hea: Permission"),
        (OSError("no space"), 2, "no space"),
        (ValueError("labels must be 0 or 1."), 2, "labels must be 0 or 1."),
        (
            RuntimeError("CUDA error: out of memory\nmore"),
            2,
            "memory); lower the batch",
        ),
        (torch.OutOfMemoryError("CUDA out of memory."), 2, "The device failed (CUDA"),
        (
            RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: reset by peer"),
            2,
            "Another process of this run ended",
        ),
        (RuntimeError("NCCL error\nCUDA failure"), 2, "(NCCL error); torchrun starts"),
        (RuntimeError("mat1 and mat2"), 1, "RuntimeError: mat1 and mat2. This is a"),
        (
            ModuleNotFoundError("No module named 'sklearn'", name="sklearn"),
            2,
            "sklearn is not installed. The experiments and the book need more than the "
            'rest; install it with: pip install "mccgaa[book]".',
        ),
        (ModuleNotFoundError("No module", name="mccgaa.x"), 1, "a fault of mccgaa"),
        (KeyError("merl"), 1, "KeyError: 'merl'. This is a fault of mccgaa"),
        (KeyboardInterrupt(), 130, "start the same command again to continue"),
        (BrokenPipeError(), 0, ""),
    ],
    ids=repr,
)
def test_what_is_raised_becomes_a_sentence_and_an_exit_status(
    raised, code, sentence, monkeypatch, capsys
):
    def fail(path: str) -> NoReturn:
        raise raised

    monkeypatch.setattr("mccgaa.data.check.check", fail)
    monkeypatch.delenv("MCCGAA_DEBUG", raising=False)
    assert main(["pack", "--check", "store"]) == code
    error = capsys.readouterr().err
    assert sentence in error and len(error.splitlines()) == bool(sentence)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("classify", "stopped.\n"),
        (
            "pretrain --params smoke --store s",
            "stopped; start the same command again to continue, a run from its last "
            "checkpoint.\n",
        ),
    ],
)
def test_only_what_goes_on_is_said_to_when_it_is_stopped(
    words, said, monkeypatch, capsys
):
    def stop(*_, **__) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("mccgaa.commands.models.load_asked", stop)
    monkeypatch.setattr("mccgaa.profile.Profile.load", stop)
    assert main(words.split()) == 130
    assert capsys.readouterr().err == said


def test_developers_get_the_traceback(monkeypatch):
    monkeypatch.setenv("MCCGAA_DEBUG", "1")
    with pytest.raises(Exception, match="no signal store"):
        main(["pack", "--check", "nowhere"])


def test_every_command_teaches_with_an_example(capsys):
    names = [function.__name__ for function, _ in COMMANDS]
    expected = "twin download pack pretrain zeroshot probe evaluate classify"
    expected += " export settings run compare book"
    assert names == expected.split()
    for name in names:
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        assert stopped.value.code == 0
        help_text = capsys.readouterr().out
        assert f"example: mccgaa {name}" in help_text
        example = help_text.partition("example: mccgaa ")[2].replace("'", "")
        assert build_parser().parse_args(example.split()).run.__name__ == name


@pytest.mark.parametrize("command", ["zeroshot", "probe", "evaluate", "classify"])
def test_help_names_the_models_that_come_with_the_package(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # argparse breaks lines at hyphens
    with pytest.raises(SystemExit):
        main([command, "--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    assert f"the package: {' or '.join(shipped())}" in help_text
    assert ("(default: mccgaa-plus)" in help_text) == (command in "evaluate classify")


def test_an_argument_takes_the_choices_of_its_setting():
    known = {name: get_args(hint) for name, hint in vars(choices).items()}
    known = {name: values for name, values in known.items() if values}
    typed = [
        ast.literal_eval(node.value)
        for path in Path(commands.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "choices"
        if isinstance(node.value, ast.List | ast.Tuple)
        if all(isinstance(item, ast.Constant) for item in node.value.elts)
    ]
    assert typed, "no choices found: what does this test read?"
    for values in typed:
        for name, own in known.items():
            assert not set(values) & set(own), f"take them from choices.{name}"
    wanted = {"prompts": "Prompts", "reduction": "Reduction", "recipe": "Recipe"}
    wanted |= {"precision": "Precision", "transform": "Transform"}
    taken = {
        flags[0].removeprefix("--"): tuple(options["choices"])
        for _, arguments in COMMANDS
        for flags, options in arguments
        if "choices" in options
    }
    assert {name: taken[name] for name in wanted} == {
        name: known[hint] for name, hint in wanted.items()
    }


def printed_settings(arguments: str, capsys: pytest.CaptureFixture) -> dict[str, str]:
    """What `mccgaa settings` prints: KEY=VALUE -> its meaning, indented below."""
    assert main(["settings", *arguments.split()]) == 0
    found: dict[str, str] = {}
    last = ""
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("    "):
            found[last] = f"{found[last]} {line.strip()}".strip()
        else:
            last = line
            found[last] = ""
    return found


def test_settings_are_listed_with_meaning_and_default_as_set_takes_them(capsys):
    found = printed_settings("", capsys)
    assert all(len(meaning) > 0 for meaning in found.values()), found
    given = from_pairs(list(found))
    model = from_dict(ModelConfig, given["model"], "model")
    assert model == ModelConfig() and given["model"] == to_dict(model)
    pretrain = from_dict(PretrainConfig, given["pretrain"], "pretrain")
    assert pretrain == PretrainConfig()
    assert list(given["pretrain"]) == list(to_dict(pretrain))
    assert "steps between checkpoints" in found["pretrain.checkpoint_every=1000"]
    meaning = found["pretrain.compile=auto"]  # said above it in the code
    assert meaning.startswith("auto: long runs") and "[auto | on | off]" in meaning
    assert "time-mask]" in found["pretrain.augmentations=[]"]
    assert "[cls | mean | pooler]" in found["model.text.pooling=cls"]


def test_some_settings_are_asked_for_by_any_part_of_their_name(profile, capsys):
    assert list(printed_settings("tau", capsys)) == [
        "model.gafa.tau=0.07",
        "model.loss.tau=0.07",
    ]
    group = list(printed_settings("model.gafa", capsys))
    assert group and all(name.startswith("model.gafa.") for name in group)
    mine = f"gafa.graph --params {profile}"
    assert list(printed_settings(mine, capsys)) == ["model.gafa.graph=bipartite"]
    pair = f"{mine} --variant pair"
    assert list(printed_settings(pair, capsys)) == ["model.gafa.graph=pair"]
    for wrong, said in (("epoch", "Did you mean 'epochs'?"), ("tow", "'tow'. `mcc")):
        assert main(["settings", wrong]) == 2
        assert said in capsys.readouterr().err


def test_a_store_that_does_not_fit_is_refused_before_its_texts_are_encoded(
    profile, twin_store, tmp_path, monkeypatch, capsys
):
    shutil.copytree(twin_store, tmp_path / "slow")
    meta = json.loads((twin_store / "store.json").read_text()) | {"sampling_rate": 50}
    (tmp_path / "slow" / "store.json").write_text(json.dumps(meta))
    monkeypatch.setattr("mccgaa.pairs.TextEncoder", pytest.fail)
    words = ["pretrain", "--params", str(profile), "--store", str(tmp_path / "slow")]
    assert main(words) == 2
    assert "slow has sampling_rate 50" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["zeroshot", "probe"])
def test_tasks_that_cannot_be_scored_are_refused_before_a_record_is_encoded(
    run_folder, twin_store, tmp_path, command, monkeypatch, capsys
):
    monkeypatch.setattr("mccgaa.zeroshot.embed", pytest.fail)
    monkeypatch.setattr("mccgaa.probe.model_features", pytest.fail)
    base = tmp_path / "base.yaml"
    base.write_text("super: {NORM: normal}")
    words = [command, "--run", str(run_folder), "--store"]
    asked = [*words, str(twin_store), "--tasks", "super", "sooper"]
    assert main(asked) == 2
    assert "no task 'sooper'" in capsys.readouterr().err
    if command == "zeroshot":
        assert main([*asked[:-1], "--knowledge", str(base)]) == 2
        assert "no entry for class" in capsys.readouterr().err
    bare = tmp_path / "bare"
    shutil.copytree(twin_store, bare)
    meta = json.loads((bare / "store.json").read_text()) | {"tasks": {}}
    (bare / "store.json").write_text(json.dumps(meta))
    assert main([*words, str(bare)]) == 2
    told = capsys.readouterr()
    assert f"No record of {bare} has labels" in told.err and not told.out


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"mccgaa {version('mccgaa')}\n"


def test_help_loads_no_heavy_package():
    code = (
        "import sys; from mccgaa.cli import build_parser; build_parser().format_help();"
        "print([m for m in ('torch', 'numpy', 'pandas', 'transformers', 'yaml', "
        "'mccgaa_book', 'mccgaa_twin') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "function", "called"),
    [
        (
            "run zeroshot transfer --profile real --seeds 0 1 --set pretrain.epochs=2",
            "experiments.run",
            {
                "": (
                    ["zeroshot", "transfer"],
                    ("real", {"pretrain": {"epochs": 2}}),
                ),
                "seeds": [0, 1],
                "publish": False,
                "dry_run": False,
            },
        ),
        (
            "run zeroshot --profile real --publish --dry-run --variants pair",
            "experiments.run",
            {
                "": (["zeroshot"], ("real", {})),
                "variants": ["pair"],
                "publish": True,
                "dry_run": True,
            },
        ),
        ("compare --profile real", "compare.compare", {"": ("real",)}),
        (
            "book execute --profile real --only 06 07 --publish",
            "press.book.execute",
            {"": ("real",), "only": ["06", "07"], "publish": True, "force": False},
        ),
        ("book build", "press.book.build", {"": (None,), "single": False}),
        (
            "book build --profile real --single",
            "press.book.build",
            {"": ("real",), "single": True},
        ),
        ("book check", "press.book.check", {"": ()}),
        ("book readme", "press.readme.update", {"": ()}),
    ],
)
def test_the_commands_of_the_book_call_it(
    arguments, function, called, monkeypatch, capsys
):
    calls: list[dict[str, Any]] = []

    def record(*args: Any, **options: Any) -> list[str]:
        options.pop("echo", None)  # where notes go
        calls.append({"": args, **options})
        return []

    monkeypatch.setattr("mccgaa_book.lab.Lab", lambda *settings: settings)
    monkeypatch.setattr(f"mccgaa_book.{function}", record)
    assert main(arguments.split()) == 0, capsys.readouterr().err
    assert calls == [called]


def test_a_book_that_is_not_fresh_is_exit_status_2(monkeypatch, capsys):
    monkeypatch.setattr("mccgaa_book.press.book.check", lambda: ["7 is stale."])
    assert main(["book", "check"]) == 2
    assert "7 is stale." in capsys.readouterr().err


def test_twin_writes_all_four_trees_at_a_share_of_their_published_size(tmp_path):
    out = tmp_path / "twin"
    scale = ["--scale", "0.001", "--mimic", "5", "--jobs", "1"]
    assert main(["twin", "--out", str(out), *scale]) == 0
    trees = sorted(p.name for p in out.iterdir() if p.is_dir())
    assert trees == ["cpsc2018", "csn", "mimic", "ptbxl"]
    assert all((out / tree / "SYNTHETIC").exists() for tree in trees)
    assert len(list(out.joinpath("ptbxl").rglob("*_hr.hea"))) == 22
    assert len(list(out.joinpath("cpsc2018").rglob("A*.mat"))) == 7
    assert len(list(out.joinpath("mimic").rglob("*.hea"))) == 5


def test_a_twin_has_the_datasets_that_are_named(tmp_path, monkeypatch, capsys):
    sizes = {}
    monkeypatch.setattr("mccgaa_twin.mirror.write_twin", lambda _, **o: sizes.update(o))
    out = ["twin", "--out", str(tmp_path / "twin")]
    assert main([*out, "--csn", "2"]) == 0
    named = {name: sizes[name] for name in DATASETS}
    assert named == {"ptbxl": 0, "mimic": 0, "cpsc2018": 0, "csn": 2}
    sizes.clear()
    assert main(out) == 0
    assert not set(sizes) & set(DATASETS)  # the defaults, of which the help speaks
    known = inspect.signature(write_twin).parameters
    with pytest.raises(SystemExit):
        main(["twin", "--help"])
    ptbxl, mimic = (known[name].default for name in ("ptbxl", "mimic"))
    said = f"{ptbxl} of ptbxl and {mimic} of mimic"
    assert said in " ".join(capsys.readouterr().out.split())
    assert main([*out, "--ptbxl", "0"]) == 2
    assert "would have no record" in capsys.readouterr().err


def test_the_100_hz_copy_of_ptbxl_can_be_packed(twin_tree, tmp_path, capsys):
    out = tmp_path / "low"
    arguments = ["pack", "ptbxl", "--root", str(twin_tree), "--out", str(out)]
    rates = ["--file-rate", "100", "--sampling-rate", "100", "--jobs", "1"]
    assert main([*arguments, *rates]) == 0
    assert "96 records" in capsys.readouterr().out
    assert SignalStore.open(out).meta["sampling_rate"] == 100


def test_settings_of_the_baselines_are_listed_and_are_what_set_takes(capsys):
    from mccgaa_book.baselines import registry
    from mccgaa_book.baselines.config import Plan

    found = printed_settings("baselines", capsys)
    assert all(len(meaning) > 0 for meaning in found.values()), found
    given = from_pairs(list(found))["baselines"]
    assert Plan.of(given) == Plan(settings=given["settings"])
    for name in registry.trained_here():
        own = given["settings"].get(name)
        assert registry.settings(name, own) == registry.settings(name)
    assert "random" not in given["settings"], "nothing of it can be set"
    assert "strength" not in given["settings"]["clocs"]
    one = printed_settings("baselines.settings.clocs.dim", capsys)
    assert one == {"baselines.settings.clocs.dim=256": "of what is compared"}
    smoke = printed_settings("baselines --profile smoke", capsys)
    assert {"baselines.epochs=2", "baselines.settings.crt.width=32"} <= set(smoke)
    assert main(["settings"]) == 0
    assert capsys.readouterr().err == "See also: mccgaa settings baselines\n"


def test_pairs_are_told_as_they_are_read():
    given = ["pretrain.epochs=2", "model.text.name=a b", "baselines.seeds=[0, 1]"]
    assert from_pairs(to_pairs(from_pairs(given))) == from_pairs(given)
