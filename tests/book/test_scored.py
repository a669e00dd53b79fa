"""A row of results is of the run, the split and the ECGs that it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import nn

from mccgaa.metrics import TaskResult
from mccgaa_book import ablated, probed, results, robust, scored, trained
from mccgaa_book.stress import Disturbance

ASKED = ["home", "variant", "seed", "split", "on", "task", "prompts", "bootstrap"]


def result(number: int) -> TaskResult:
    """A result that says its number: AUROC x 100 is `number`, half of it by class."""
    value = number / 100
    classes = {"c": {"auroc": value / 2, "ci95": (value / 4, value), "positives": 1}}
    return TaskResult(value, (value / 3, 2 * value), 3, classes, [], 9, 3)


class FakeLab:
    """A lab whose every number tells what it was asked for.

    Args:
        name: of its profile.
        kind: of its ECGs, "real" or "synthetic".
        asked: where questions are noted; number n is the answer to the n-th.
        other: the lab that its models are tested on, too.
    """

    def __init__(
        self, name: str, kind: str, asked: list[tuple], other: FakeLab | None = None
    ) -> None:
        self.name, self.kind, self.asked, self.other = name, kind, asked, other
        self.variants, self.seeds = {"a": "A", "b": "B"}, [0, 1, 2]
        self.tasks = {"super": "store", "form": "store"}
        self.synthetic: Any = kind == "synthetic"
        self.started = False  # no variant's weights are another run's
        self.profile = SimpleNamespace(
            name=name,
            prompts=("single", "members"),
            transfer=other and other.name,
            tested_on=lambda task: ("store", task),
        )

    def at(self, name: str) -> tuple[FakeLab, str]:
        return self, name

    def data_kind(self, store: str = "pretrain") -> str:
        return self.kind

    def trained_on(self, variant: str, seed: int = 0) -> str:
        return f"{self.kind} {variant} {seed}"

    def store(self, name: str) -> Any:
        length = {None: 9, "train": 4, "val": 3, "test": 2}
        return SimpleNamespace(
            indices=lambda split, task: np.arange(length[split]),
            labels=lambda task, rows: (np.ones((len(rows), 1), int), ["c"]),
        )

    def zero_shot(
        self,
        variant: str,
        seed: int,
        *,
        tasks: Sequence[str],
        split: str | None = "test",
        prompts: str = "single",
        bootstrap: int = 1000,
        on: FakeLab | None = None,
    ) -> dict[str, TaskResult]:
        found = {}
        for task in tasks:
            where = (on or self).name
            question = (self.name, variant, str(seed), split or "all", where, task)
            self.asked.append((*question, prompts, bootstrap))
            found[task] = result(len(self.asked))
        return found


@pytest.fixture
def asked() -> list[tuple]:
    return []


def answered(frame: pd.DataFrame, asked: list[tuple]) -> pd.DataFrame:
    """Macro rows beside the question that their number answers; none is left out."""
    macro = frame[(frame["class"] == "") & frame["metric"].str.startswith("auroc")]
    macro = macro.reset_index(drop=True)
    number = macro["value"].round().astype(int)
    assert sorted(number) == list(range(1, len(asked) + 1))
    np.testing.assert_allclose(macro["low"] * 3, macro["value"])
    np.testing.assert_allclose(macro["high"] / 2, macro["value"])
    questions = pd.DataFrame([asked[n - 1] for n in number], columns=ASKED)
    metric = questions["prompts"].map({"single": "auroc", "members": "auroc_members"})
    assert macro["metric"].tolist() == metric.tolist()
    for column in ("variant", "seed", "split", "task"):
        assert macro[column].tolist() == questions[column].tolist(), column
    return macro.assign(
        home=questions["home"], on=questions["on"], bootstrap=questions["bootstrap"]
    )


def test_zero_shot_rows_are_of_their_run_split_and_task(asked):
    lab = FakeLab("real", "real", asked)
    frame = scored.zeroshot(lab, ["a", "b"], [0, 2])
    macro = answered(frame, asked)
    assert len(macro) == 2 * 2 * 2 * 2 * 2  # split, variant, seed, prompts and task
    assert set(macro["split"]) == {"test", "val"} and set(macro["bootstrap"]) == {1000}
    keys = ["variant", "seed", "split", "task", "metric"]
    of_class = frame[(frame["class"] == "c") & (frame["variant"] != "")]
    both = of_class.merge(macro, on=keys, suffixes=("", "_macro"))
    assert len(both) == len(macro)
    np.testing.assert_allclose(both["value"], both["value_macro"] / 2)
    np.testing.assert_allclose(both["low"], both["value_macro"] / 4)
    counts = frame[frame["metric"] == "records"].set_index(["split", "task"])["value"]
    assert counts.loc["test"].tolist() == [2, 2]
    assert counts.loc["val"].tolist() == [3, 3] and counts.loc["all"].tolist() == [9, 9]


def test_rows_of_a_lab_of_both_kinds_say_what_was_trained_on_and_what_tested(asked):
    lab = FakeLab("both", "real", asked)
    lab.synthetic = "mixed"
    kinds = {"pretrain": "synthetic", "store": "real"}
    lab.data_kind = lambda store="pretrain": kinds[store]
    frame = scored.zeroshot(lab, ["a"], [0])
    of_runs = frame[frame["variant"] == "a"]
    assert set(of_runs["trained_on"]) == {"real a 0"}  # as the run says
    assert set(frame.loc[frame["variant"] == "", "trained_on"]) == {"synthetic"}
    assert set(frame["tested_on"]) == {"real"}


def test_rows_of_a_lab_with_a_start_say_of_each_run_what_it_learned_from(asked):
    lab = FakeLab("both", "real", asked)
    assert not set(results.SOURCES) & set(scored.zeroshot(lab, ["a"], [0]))
    lab.started = True
    frame = scored.zeroshot(lab, ["a", "b"], [0, 2])
    of_runs = frame[frame["variant"] != ""]
    said = "real " + of_runs["variant"] + " " + of_runs["seed"]
    assert of_runs["trained_on"].tolist() == said.tolist()
    assert set(frame["tested_on"]) == {"real"}


def test_a_transfer_row_says_whose_model_it_is_and_whose_records(asked):
    real = FakeLab("real", "real", asked)
    twin = FakeLab("twin", "synthetic", asked, real)
    real.seeds = [0, 1]
    macro = answered(scored.transfer(twin, ["a", "b"], [0, 1, 2]), asked)
    ways = macro.groupby(["home", "on"])
    assert set(ways.groups) == {("twin", "real"), ("real", "twin")}
    kinds = {"twin": "synthetic", "real": "real"}
    said = macro["home"].map(kinds) + " " + macro["variant"] + " " + macro["seed"]
    assert macro["trained_on"].tolist() == said.tolist()
    assert macro["tested_on"].tolist() == macro["on"].map(kinds).tolist()
    there, back = ways.get_group(("twin", "real")), ways.get_group(("real", "twin"))
    assert set(there["split"]) == {"all", "test"} and set(back["split"]) == {"test"}
    assert set(there["seed"]) == {"0", "1", "2"} and set(back["seed"]) == {"0", "1"}


def test_settings_are_chosen_on_no_test_split_and_what_is_beyond_is_tested(asked):
    twin = FakeLab("twin", "synthetic", asked, FakeLab("real", "real", asked))
    macro = answered(scored.beyond(twin, ["a", "b"], [0, 2]), asked)
    assert set(macro["split"]) == {"test"} and set(macro["bootstrap"]) == {1000}
    assert set(macro["on"]) == {"twin", "real"} and set(macro["home"]) == {"twin"}
    said = "synthetic " + macro["variant"] + " " + macro["seed"]
    assert macro["trained_on"].tolist() == said.tolist()
    kinds = {"twin": "synthetic", "real": "real"}
    assert macro["tested_on"].tolist() == macro["on"].map(kinds).tolist()
    asked.clear()
    macro = answered(scored.climb(twin, ["a"], [0, 1]), asked)
    assert set(macro["bootstrap"]) == {0}
    assert set(zip(macro["on"], macro["split"], strict=True)) == {
        ("twin", "val"),
        ("real", "train"),
        ("real", "val"),
    }


def test_a_profile_that_transfers_to_itself_is_tested_on_its_own_records_once(asked):
    """As `smoke` does, which has no real ECGs to go to."""
    lab = FakeLab("smoke", "synthetic", asked, FakeLab("smoke", "synthetic", []))
    for experiment, split in ((scored.beyond, "test"), (scored.climb, "val")):
        asked.clear()
        macro = answered(experiment(lab, ["a"], [0]), asked)
        assert set(macro["split"]) == {split} and len(macro) == 2 * 2  # tasks, prompts
        keys = [c for c in macro if c not in results.NUMBERS]
        assert not macro.duplicated(keys).any()


def test_rows_of_table_4_are_of_the_run_that_they_name_on_this_labs_records(asked):
    more = FakeLab("more", "synthetic", asked)
    lab = FakeLab("real", "real", asked)
    lab.at = lambda name: (more, name) if name == "b" else (lab, name)
    macro = answered(ablated.table4(lab, ["a", "b"], [0, 2]), asked)
    assert set(macro["on"]) == {"real"} and set(macro["split"]) == {"test"}
    homes = dict(zip(macro["variant"], macro["home"], strict=True))
    assert homes == {"a": "real", "b": "more"}
    kinds = macro["home"].map({"real": "real", "more": "synthetic"})
    said = kinds + " " + macro["variant"] + " " + macro["seed"]
    assert macro["trained_on"].tolist() == said.tolist()
    assert set(macro["tested_on"]) == {"real"}


def test_rows_of_table_3_are_of_the_encoder_and_the_share_of_their_seed(
    asked, monkeypatch
):
    numbers: dict[tuple[str, int], int] = {}

    def encoder(lab: Any, name: str, seed: int) -> tuple[dict, None, Path]:
        return {"variant": name, "trained_on": f"{name} {seed}"}, None, Path(name, "r")

    def probes(lab: Any, made: None, folder: Path, seed: int) -> list[tuple]:
        number = numbers.setdefault((folder.parent.name, seed), len(numbers) + 1)
        return [("super", "auroc_1", result(number))]

    monkeypatch.setattr(probed, "_encoder", encoder)
    monkeypatch.setattr(probed, "probes", probes)
    frame = probed.table3(FakeLab("real", "real", asked), ["a", "b"], [0, 2])
    assert len(frame) == 6 and set(frame["variant"]) == {"a", "b", probed.RANDOM}
    for row in frame.to_dict("records"):
        number = numbers[row["variant"], int(row["seed"])]
        assert row["value"] == pytest.approx(number)
        assert row["trained_on"] == f"{row['variant']} {row['seed']}"


def test_rows_of_pretraining_are_of_the_run_that_they_name(asked, monkeypatch):
    def run(variant: str, seed: int) -> SimpleNamespace:
        number = 10.0 * "ab".index(variant) + seed
        steps = {"cma": number, "uma": number, "samples_per_second": number}
        return SimpleNamespace(
            history=pd.DataFrame(steps, index=range(20)),
            epochs=pd.DataFrame([{"epoch": 0, "step": 20, "ecg_to_text_r5": number}]),
            metrics={"seconds": number},
            model=nn.Linear(1, 1),
            config=SimpleNamespace(pretrain=SimpleNamespace(epochs=2)),
        )

    lab = FakeLab("real", "real", asked)
    lab.run = run
    floors = {"train": 0.0, "val": 0.0}
    monkeypatch.setattr(trained, "loss_floors", lambda lab, variant: floors)
    frame = trained.pretraining(lab, ["a", "b"], [0, 2])
    of = frame[~frame["metric"].isin(["weights", "loss_floor"])]
    expected = of["variant"].map({"a": 0, "b": 10}) + of["seed"].astype(int)
    assert len(of) == 4 * 8 and of["value"].tolist() == expected.tolist()


def test_each_run_is_scored_on_disturbed_records_by_its_own_model(
    asked, tmp_path, monkeypatch
):
    keys = [(variant, seed) for variant in ("a", "b") for seed in (0, 2)]
    runs = {
        key: SimpleNamespace(folder=tmp_path / str(i), model=i)
        for i, key in enumerate(keys)
    }
    lab = FakeLab("real", "real", asked)
    store = SimpleNamespace(
        path=tmp_path,
        meta={"fingerprint": "x", "scale": 0.001},
        records=None,
        indices=lambda split, task: np.arange({"test": 2}[split]),
    )
    lab.store, lab.knowledge = lambda name: store, SimpleNamespace(fingerprint="k")
    lab.profile.recipe = lambda name: SimpleNamespace(root=str(tmp_path))
    lab.profile.input = None
    monkeypatch.setattr(robust, "disturbed_signals", lambda *given: np.zeros((2, 1)))
    monkeypatch.setattr(
        robust, "zero_shot", lambda model, *g, **o: {"super": result(1 + model)}
    )
    for _ in range(2):  # made, and then read
        one = Disturbance("noise", "6 dB", lambda record, seed: record)
        found = robust._disturbed(lab, runs, "store", ["super"], one)
        assert [(key, task) for key, task, _ in found] == [(k, "super") for k in keys]
        numbers = [100 * done.macro_auroc for _, _, done in found]
        assert numbers == pytest.approx([1, 2, 3, 4])


def test_every_record_is_disturbed_by_noise_of_its_own(tmp_path, monkeypatch):
    store = SimpleNamespace(records=pd.DataFrame({"path": list("abcdef")}))
    monkeypatch.setattr(robust, "read_record", lambda path, **options: path.name)
    monkeypatch.setattr(robust, "_prepared", lambda record, config, of: record)
    one = Disturbance("noise", "6 dB", lambda name, seed: np.array([name, str(seed)]))
    config = SimpleNamespace(transform="raw")
    rows = np.array([1, 4, 5])
    found = robust.disturbed_signals(store, rows, tmp_path, config, one)
    assert found.tolist() == [["b", "1"], ["e", "4"], ["f", "5"]]
