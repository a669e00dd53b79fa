"""Every option of a command reaches what does the work, which is not done here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import MagicMock, call, patch

import pytest

from mccgaa.cli import COMMANDS, build_parser, main
from mccgaa.config import InputConfig
from mccgaa.errors import RunError, StoreError
from mccgaa.plus.prompting import Prompting
from mccgaa.ready.classifier import Finding

TWIN = "twin --out o --ptbxl 1 --mimic 2 --cpsc2018 3 --csn 4 --seed 5 --jobs 6"
TWIN += " --variety 0.5"
DOWNLOAD = "download ptbxl --root r --only-ids ids --jobs 3 --host h"
PACK = "pack ptbxl --root r --out o --sampling-rate 250 --duration 5 --jobs 2"
PACK += " --transform bandpass-zscore --only-ids ids --limit 7 --file-rate 100"
PACK += " --labels published --lengths windows --allow-missing-leads"
PRETRAIN = "pretrain --profile p --store s --out o --variant v --seed 3 --knowledge k"
PRETRAIN += " --device d --set pretrain.epochs=2 model.gafa.graph=none"
ZEROSHOT = "zeroshot --run r --store s --tasks super,sub --split val --fused --prompts"
ZEROSHOT += " members --reduction mean --bootstrap 9 --precision fp32 --knowledge k"
ZEROSHOT += " --device d --json out.json"
PROBE = "probe --run r --store s --tasks super --shares 5 50 --seed 4 --recipe merl"
PROBE += " --bootstrap 9 --device d --json out.json"
EVALUATE = "evaluate f --run r --only-ids ids --limit 7 --prompts members --reduction"
EVALUATE += " mean --bootstrap 9 --allow-missing-leads --knowledge k --device d"
EVALUATE += " --json out.json"
CLASSIFY = "classify e --run r --classes a --top 3 --threshold 0.2 --plot p.svg"
CLASSIFY += " --layout 12x1 --sampling-rate 360 --units uV --prompts members"
CLASSIFY += " --reduction mean --allow-missing-leads --knowledge k --device d"
CLASSIFY += " --json out.json"
EXPORT = "export --run r q --out o --start-share 0.5 --calibrate c --test t u --onnx"
EXPORT += " --prompts single --reduction mean --knowledge k"


class Work:
    """Runs commands while what does their work only notes how it is called."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.stubs: dict[str, MagicMock] = {}

    def __getitem__(self, place: str) -> MagicMock:
        """The stub for a function of the package, such as "files.write_json"."""
        if place not in self.stubs:
            self.stubs[place] = self.stack.enter_context(patch(f"mccgaa.{place}"))
        return self.stubs[place]

    def made(self, place: str) -> MagicMock:
        """What the stub gives back."""
        return self[place].return_value

    def model(self) -> tuple[MagicMock, MagicMock, MagicMock]:
        """The folder, store and model of the commands that score one."""
        write = "commands.models.write_json"
        names = ("ready.classifier.folder_of", "data.check.open_verified")
        found = [self.made(n) for n in (*names, "zeroshot.load_model", write)]
        return tuple(found[:3])


@pytest.fixture
def work(tmp_path, monkeypatch) -> Iterator[Work]:
    monkeypatch.chdir(tmp_path)
    work = Work()
    with work.stack:
        yield work


def test_each_option_of_a_command_is_tried_here():
    tried = (TWIN + " --scale 1", DOWNLOAD, PACK + " --check s", PRETRAIN, ZEROSHOT)
    tried += (PROBE, EVALUATE, CLASSIFY, EXPORT)
    options = {function.__name__: arguments for function, arguments in COMMANDS}
    for words in tried:
        build_parser().parse_args(words.split())
        flags = [names for names, _ in options[words.split()[0]]]
        flags = [set(names) for names in flags if names[0].startswith("--")]
        given = {word for word in words.split() if word.startswith("--")}
        assert all(len(names & given) == 1 for names in flags), "by one of its names"
        assert len(flags) == len(given)


def test_twin(work):
    sizes = {"ptbxl": 1, "mimic": 2, "cpsc2018": 3, "csn": 4}
    with patch("mccgaa_twin.mirror.write_twin") as write:
        assert main(TWIN.split()) == 0
    write.assert_called_once_with("o", seed=5, variety=0.5, jobs=6, **sizes)


def test_download(work):
    fetch = work["data.download.download"]
    assert main(DOWNLOAD.split()) == 0
    fetch.assert_called_once_with("ptbxl", "r", jobs=3, only_ids="ids", host="h")


def test_pack(work):
    pack = work["data.datasets.open_or_pack"]
    assert main(PACK.split()) == 0
    options = {"limit": 7, "only_ids": "ids", "labels": "published", "file_rate": 100}
    options |= {"lengths": "windows", "allow_missing_leads": True, "jobs": 2}
    given = InputConfig(250, 5.0, "bandpass-zscore")
    pack.assert_called_once_with("ptbxl", "r", "o", input=given, **options)


def test_pretrain(work):
    profile = work.made("profile.Profile.load")
    store = work.made("data.store.SignalStore.open")
    knowledge = work.made("knowledge.Knowledge.load")
    load_pairs, train = work["pairs.load_pairs"], work["pretrain.pretrain"]
    group = work.made("runtime.process_group")
    group.__enter__.return_value = (0, 1)
    device = work["runtime.pick_device"]
    assert main(PRETRAIN.split()) == 0
    work["profile.Profile.load"].assert_called_once_with("p")
    work["data.store.SignalStore.open"].assert_called_once_with("s")
    work["knowledge.Knowledge.load"].assert_called_once_with("k")
    device.assert_called_once_with("d")
    over = {"pretrain": {"epochs": 2}, "model": {"gafa": {"graph": "none"}}}
    profile.run_config.assert_called_once_with("v", 3, over)
    config = profile.run_config.return_value
    load_pairs.assert_called_once_with(store, config, knowledge, device="d")
    pairs = load_pairs.return_value
    train.assert_called_once_with(config, pairs, "o", device="d", note={})
    work["data.datasets.open_store"]
    assert main(PRETRAIN.replace(" --store s", "").split()) == 0
    note = {"tier": profile.tier, "title": profile.title}
    train.assert_called_with(config, pairs, "o", device="d", note=note)


def test_zeroshot(work):
    folder, store, model = work.model()
    score, say = work["zeroshot.zero_shot"], work["protocol.protocol"]
    knowledge, tasks = work.made("ready.classifier.knowledge_of"), ["super", "sub"]
    alike = work["commands.models.worded_alike"]
    work.made("ready.classifier.read_scoring").prompting = Prompting()
    assert main(ZEROSHOT.split()) == 0
    work["ready.classifier.folder_of"].assert_called_once_with("r")
    work["data.check.open_verified"].assert_called_once_with("s")
    work["zeroshot.load_model"].assert_called_once_with(folder, "d")
    work["ready.classifier.knowledge_of"].assert_called_once_with(folder, "k")
    how = {"fused": True, "prompts": "members", "reduction": "mean", "split": "val"}
    how |= {"precision": "fp32", "bootstrap": 9, "device": "d"}
    score.assert_called_once_with(model, store, tasks, knowledge, progress=True, **how)
    say.assert_called_once_with(folder, model, store, tasks, knowledge, **how)
    assert [(c.args[1], c.args[3]) for c in alike.mock_calls if c.args] == [
        (task, "members") for task in tasks
    ]
    work["commands.models.write_json"].assert_called_once_with(
        "out.json", say.return_value
    )


def test_probe(work):
    folder, store, model = work.model()
    encode, fit = work["probe.model_features"], work["probing.probe_tasks"]
    say, rows = work["probing.protocol"], work["probe.split_rows"]
    assert main(PROBE.split()) == 0
    work["zeroshot.load_model"].assert_called_once_with(folder, "d")
    how = {"shares": [5, 50], "seed": 4, "recipe": "merl", "bootstrap": 9}
    encode.assert_called_once_with(model, store, device="d", progress=True)
    fit.assert_called_once_with(encode.return_value, store, ["super"], **how)
    say.assert_called_once_with(folder, store, **how)
    assert work["commands.models.write_json"].call_args.args[0] == "out.json"
    splits = ("train", "val", "test")
    assert rows.mock_calls == [call(store, "super", split) for split in splits]


@pytest.mark.parametrize("lacking", ["train", "val", "test"])
def test_a_split_without_records_is_refused_before_a_record_is_encoded(work, lacking):
    work.model()

    def rows(store, task, split):
        if split == lacking:
            raise StoreError("There is none.")

    work["probe.split_rows"].side_effect = rows
    encode, _ = work["probe.model_features"], work["probing.protocol"]
    assert main(PROBE.split()) == 2
    encode.assert_not_called()


def test_evaluate(work):
    folder, *_ = work.model()
    load, score = (
        work["ready.classifier.load"],
        work["ready.evaluation.evaluate_folder"],
    )
    work.made("ready.classifier.read_scoring").prompting = Prompting()
    assert main(EVALUATE.split()) == 0
    how = Prompting("members", "mean")
    load.assert_called_once_with("r", device="d", knowledge="k", prompting=how)
    model, options = load.return_value, {"only_ids": "ids", "limit": 7}
    options |= {"allow_missing_leads": True, "bootstrap": 9}
    score.assert_called_once_with(model, "f", progress=True, **options)
    score.return_value.protocol.assert_called_once_with(folder, model)
    assert work["commands.models.write_json"].call_args.args[0] == "out.json"


def test_classify(work):
    work.model()
    read, load = work["data.record.read_record"], work["ready.classifier.load"]
    chances = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.1}
    found = [Finding(name, name, 0.5, 0.2, chance) for name, chance in chances.items()]
    load.return_value.classify.return_value = found
    load.return_value.occlude.return_value = ["costs"]
    save = work["ready.plot.save"]
    work.made("ready.classifier.read_scoring").prompting = Prompting()
    assert main(CLASSIFY.split()) == 0
    given = {"sampling_rate": 360.0, "units": "uV", "allow_missing_leads": True}
    read.assert_called_once_with("e", **given)
    how = Prompting("members", "mean")
    load.assert_called_once_with("r", device="d", knowledge="k", prompting=how)
    model, record = load.return_value, read.return_value
    model.classify.assert_called_once_with(record, ["a"])
    model.occlude.assert_called_once_with(record, "a")
    save.assert_called_once_with("p.svg", record, "a: 90%", "costs", layout="12x1")
    path, written = work["commands.models.write_json"].call_args.args
    assert path == "out.json" and [one["name"] for one in written] == ["a", "b", "c"]
    five = CLASSIFY.replace("--top 3", "--top 5")
    assert main(five.split()) == 0
    written = work["commands.models.write_json"].call_args.args[1]
    assert [one["name"] for one in written] == ["a", "b", "c", "d"], "0.2 or more"


@pytest.mark.parametrize("command", ["classify", "evaluate f"])
@pytest.mark.parametrize(
    ("words", "how"),
    [
        ("", Prompting("members", "best-member")),
        (" --reduction mean", Prompting("members", "mean")),
        (" --prompts single", Prompting("single", "best-member")),
    ],
)
def test_what_is_not_said_of_the_wording_is_as_in_the_model(work, command, words, how):
    own = Prompting("members", "best-member")
    work.made("ready.classifier.read_scoring").prompting = own
    load = work["ready.classifier.load"]
    load.side_effect = RunError("That is all.")
    assert main((command + words).split()) == 2
    load.assert_called_once_with(None, prompting=how)


def test_export(work):
    write, opened = work["ready.export.export"], work["data.check.open_verified"]
    opened.side_effect = lambda path: f"store {path}"
    knowledge = work.made("knowledge.Knowledge.load")
    assert main(EXPORT.split()) == 0
    work["knowledge.Knowledge.load"].assert_called_once_with("k")
    write.assert_called_once_with(
        ["r", "q"],
        "o",
        start_share=0.5,
        knowledge=knowledge,
        prompting=Prompting("single", "mean"),
        calibrate_on="store c",
        test_on=["store t", "store u"],
        onnx=True,
    )
