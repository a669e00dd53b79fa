"""The whole model: what a batch gives, and what a folder keeps of it."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mccgaa import model as model_module
from mccgaa.config import (
    EncoderConfig,
    GafaConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    TextConfig,
)
from mccgaa.errors import RunError
from mccgaa.model import MCCGAA, locate, scale_input

SMALL = ModelConfig(
    input=InputConfig(sampling_rate=100, duration=1.0),
    encoder=EncoderConfig(
        widths=(4, 6, 8, 10), embedding_dim=8, pool_heads=2, positions=5
    ),
    text=TextConfig(encoder="none: vectors are given", dim=6, hidden=5),
    gafa=GafaConfig(hidden=8, output=4, heads=2),
    loss=LossConfig(dropout=(0.0, 0.0)),
)


def make(config: ModelConfig = SMALL, seed: int = 0) -> MCCGAA:
    torch.manual_seed(seed)
    return MCCGAA(config)


def batch(size: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    signals = torch.randn(size, 12, 100, generator=generator)
    return signals, torch.randn(size, 6, generator=generator)


def naive_loss_all(x: Tensor, q: Tensor, tau: float) -> float:
    """Eq 25-30 pair by pair, both directions."""
    rows = [[float(v) for v in row] for row in x.detach()]
    columns = [[float(v) for v in row] for row in q.detach()]

    def unit(v: list[float]) -> list[float]:  # eq 25
        norm = math.sqrt(sum(a * a for a in v))
        return [a / norm for a in v]

    rows, columns = [unit(v) for v in rows], [unit(v) for v in columns]
    count = len(rows)
    sim = [  # eq 26
        [sum(a * b for a, b in zip(r, c, strict=True)) / tau for c in columns]
        for r in rows
    ]
    x2r = r2x = 0.0
    for i in range(count):
        x2r -= sim[i][i] - math.log(sum(math.exp(sim[i][b]) for b in range(count)))
        r2x -= sim[i][i] - math.log(sum(math.exp(sim[b][i]) for b in range(count)))
    return (x2r + r2x) / count  # eq 28-30


def test_losses_are_equation_32_on_the_parts() -> None:
    model = make().double()
    signals, vectors = (t.double() for t in batch())
    output = model(signals, vectors)
    features = model.encoder.features(signals)
    views = model.unimodal(features.mean(-1))  # eq 31 without dropout
    fused = model.gafa(output.x, output.q)  # eq 17-24
    tau = SMALL.loss.tau
    assert output.uma.item() == pytest.approx(naive_loss_all(*views, tau), rel=1e-9)
    assert output.cma.item() == pytest.approx(naive_loss_all(*fused, tau), rel=1e-9)
    assert output.loss.item() == pytest.approx((output.cma + output.uma).item())


def test_equation_31_to_the_letter_drops_from_the_embedding_itself() -> None:
    loss = replace(SMALL.loss, uma="dropout", dropout=(0.5, 0.25))
    config = replace(SMALL, loss=loss)
    model = make(config).double()
    assert not list(model.unimodal.parameters())
    signals, vectors = (t.double() for t in batch())
    torch.manual_seed(3)
    output = model(signals, vectors)
    torch.manual_seed(3)
    views = [
        torch.dropout(output.x.detach(), rate, train=True) for rate in loss.dropout
    ]
    expected = naive_loss_all(*views, SMALL.loss.tau)
    assert output.uma.item() == pytest.approx(expected, rel=1e-9)
    model.load_state_dict(make(config).state_dict())  # the switch decides the keys
    with pytest.raises(RuntimeError, match=r"unimodal\.view1"):
        model.load_state_dict(make().state_dict())


def test_embeddings_of_a_batch_are_those_of_the_encoders() -> None:
    model = make().eval()
    signals, vectors = batch()
    output = model(signals, vectors)
    torch.testing.assert_close(output.x, model.encode_ecg(signals))
    torch.testing.assert_close(output.q, model.encode_text(vectors))
    torch.testing.assert_close(output.x.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(output.q.norm(dim=1), torch.ones(5))


def test_losses_are_weighted() -> None:
    weighted = replace(SMALL, loss=replace(SMALL.loss, cma_weight=2.0, uma_weight=0.5))
    output = make(weighted)(*batch())
    torch.testing.assert_close(output.loss, 2 * output.cma + 0.5 * output.uma)


def test_every_parameter_learns_from_one_batch() -> None:
    model = make(replace(SMALL, loss=replace(SMALL.loss, learn_tau=True)))
    model(*batch())[0].backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert silent == []


def gradients(model: MCCGAA, size: int = 7) -> dict[str, Tensor]:
    """Gradients of one batch in float64."""
    signals, vectors = (t.double() for t in batch(size))
    model.double().zero_grad()
    torch.manual_seed(3)
    model(signals, vectors).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("uma", ["maps", "dropout"])
@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_have_the_gradients_of_the_whole_batch(uma: str, chunk: int) -> None:
    loss = LossConfig(dropout=(0.2, 0.3), uma=uma)
    model = make(replace(SMALL, loss=loss))
    model.encoder.train(False)  # batch norm by its running statistics
    encoded, features = [], model.encoder.features

    def count(x: Tensor) -> Tensor:
        encoded.append(len(x))
        return features(x)

    model.encoder.features = count
    whole = gradients(model)
    assert encoded == [7]
    model.chunk = chunk
    chunks = gradients(model)
    parts = [min(chunk, 7 - start) for start in range(0, 7, chunk)]
    # The backward pass meets the last chunk first.
    assert encoded == [7, *parts, *parts[::-1]]
    for name, gradient in whole.items():
        torch.testing.assert_close(
            chunks[name], gradient, rtol=1e-9, atol=1e-12, msg=name
        )


def test_chunks_replay_the_randomness_of_their_first_pass() -> None:
    model = make()
    pool = model.encoder.pool
    model.encoder.pool = lambda x: pool(torch.nn.functional.dropout(x, 0.5))
    whole = gradients(model)
    model.chunk = 7
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, whole[name], msg=name)


def test_each_chunk_moves_the_running_statistics_once() -> None:
    model, plain = make().double(), make().double()
    model.chunk = 3
    gradients(model)
    for part in batch(7)[0].double().split(3):
        plain.local(part)
    assert model.encoder.stem[1].num_batches_tracked == 3
    for (name, mine), other in zip(model.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)
    assert model.encoder.stem[1].momentum == 0.1


def test_losses_and_embeddings_stay_float32_under_bf16() -> None:
    model = make()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(*batch())
        features = model.encoder.features(batch()[0])
    assert features.dtype == torch.bfloat16
    assert {t.dtype for t in output} == {torch.float32}


def test_without_a_graph_the_loss_compares_the_embeddings_themselves() -> None:
    model = make(replace(SMALL, gafa=replace(SMALL.gafa, graph="none")))
    output = model(*batch())
    expected = naive_loss_all(output.x, output.q, SMALL.loss.tau)
    assert output.cma.item() == pytest.approx(expected, rel=1e-4)


def test_learned_tau_starts_at_the_configured_one_and_stops_at_a_hundredth() -> None:
    fixed = make()
    learned = make(replace(SMALL, loss=replace(SMALL.loss, learn_tau=True)))
    assert fixed.tau == SMALL.loss.tau
    assert learned.tau.item() == pytest.approx(SMALL.loss.tau)
    with torch.no_grad():
        learned.logit_scale.fill_(math.log(1000.0))
    output = learned(*batch())
    assert learned.tau.item() == pytest.approx(0.01)
    output.loss.backward()  # at the bound it still has a gradient to come back by
    assert learned.logit_scale.grad.item() != 0


def test_siglip_learns_its_bias_with_its_temperature() -> None:
    siglip = replace(SMALL.loss, kind="siglip", learn_tau=True)
    model = make(replace(SMALL, loss=siglip))
    model(*batch()).cma.backward()
    assert model.bias.grad.item() != 0
    assert model.bias.item() == -10.0
    assert make(replace(SMALL, loss=replace(SMALL.loss, kind="siglip"))).bias == -10.0


def test_minmax_takes_each_record_to_zero_and_one_over_all_its_leads() -> None:
    x = batch()[0] * torch.tensor([1.0, 3.0, 10.0, 0.1, 1e-4])[:, None, None] + 2
    x[2] = 7.0  # a record without any signal
    scaled = scale_input(x, "minmax")
    for i in (0, 1, 3, 4):
        low, high = x[i].min(), x[i].max()
        torch.testing.assert_close(scaled[i], (x[i] - low) / (high - low))
    assert scaled[2].eq(0).all()


def padded(seconds: int = 60) -> Tensor:
    """Three records in mV around an offset: whole, short, and without lead V1."""
    x = batch(3)[0] + 5
    x[1, :, seconds:] = 0
    x[2, 6] = 0
    return x


def test_minmax_leaves_padding_at_zero_and_out_of_the_minimum() -> None:
    x = padded()
    scaled = scale_input(x, "minmax")
    recorded = x[1, :, :60]
    low, high = recorded.min(), recorded.max()
    torch.testing.assert_close(scaled[1, :, :60], (recorded - low) / (high - low))
    assert scaled[1, :, 60:].eq(0).all()
    alone = scale_input(x[1:2, :, :60], "minmax")
    torch.testing.assert_close(scaled[1:2, :, :60], alone)


def test_minmax_leaves_an_absent_lead_at_zero_and_out_of_the_minimum() -> None:
    x = padded()
    scaled = scale_input(x, "minmax")
    assert scaled[2, 6].eq(0).all()
    others = [lead for lead in range(12) if lead != 6]
    alone = scale_input(x[2:, others], "minmax")
    torch.testing.assert_close(scaled[2:, others], alone)
    assert alone.min() == 0 and alone.max() == 1


def test_minmax_counts_negative_zeros_of_records_below_zero_too() -> None:
    x = -padded()  # the missing parts would be the maximum
    scaled = scale_input(x, "minmax")
    assert scaled[1, :, 60:].eq(0).all() and scaled[2, 6].eq(0).all()
    torch.testing.assert_close(scaled.amax((1, 2)), torch.ones(3))


def test_zeros_inside_a_record_are_samples_like_any_other() -> None:
    x = padded()
    x[0, :, 0] = 0  # all leads, but at the start
    x[0, 3, 90:] = 0  # at the end, but of one lead alone
    x[0, :, 50] = 0
    low, high = x[0].min(), x[0].max()
    assert low == 0
    scaled = scale_input(x, "minmax")
    torch.testing.assert_close(scaled[0], (x[0] - low) / (high - low))
    x[0] -= 10  # now zeros of that kind would be the maximum: -10 is no zero
    assert scale_input(x, "minmax")[0].max() == 1


def test_a_record_of_zeros_stays_zero_and_has_a_finite_gradient() -> None:
    x = padded()
    x[1] = 0
    x.requires_grad_()
    scaled = scale_input(x, "minmax")
    assert scaled[1].eq(0).all() and scaled.isfinite().all()
    scaled.square().sum().backward()
    assert x.grad.isfinite().all()


def test_without_scaling_signals_are_handed_on_as_they_are() -> None:
    x = padded()
    assert scale_input(x, "none") is x


def test_scaling_of_the_configuration_is_applied_when_encoding() -> None:
    plain = make().eval()
    scaled = make(replace(SMALL, input=replace(SMALL.input, scaling="minmax"))).eval()
    x, vectors = batch()
    expected = plain.encode_ecg(scale_input(x, "minmax"))
    torch.testing.assert_close(scaled.encode_ecg(x), expected)
    torch.testing.assert_close(scaled(x, vectors).x, expected)
    assert not torch.allclose(plain.encode_ecg(x), expected)


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices, as a GPU would."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        devices = {t.device for t in tensors if t.dim()}  # plain numbers may be mixed
        moves = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        assert moves or len(devices) <= 1, f"{func} mixes {devices}"
        return func(*args, **kwargs)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> MCCGAA:
    """A model on another device than the CPU: `meta`, which computes shapes only."""
    # No autocast exists for it, and no choice of edges, which depends on numbers.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    scaled = replace(SMALL.input, scaling="minmax")
    config = replace(SMALL, input=scaled, gafa=replace(SMALL.gafa, graph="none"))
    return make(config).eval().to("meta")


def test_inputs_from_the_cpu_are_taken_to_the_devices_of_the_weights(
    elsewhere: MCCGAA, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_on = []

    class Encoder(CountingEncoder):
        def __init__(self, config: TextConfig, device: torch.device) -> None:
            super().__init__(config)
            made_on.append(device)

    monkeypatch.setattr(model_module, "TextEncoder", Encoder)
    signals, vectors = batch()
    assert elsewhere.device == torch.device("meta")
    with OneDevice():
        made = [
            elsewhere.encode_ecg(signals),
            elsewhere.encode_text(vectors),
            elsewhere.encode_text(["sinus rhythm", "pacemaker"]),
            *elsewhere(signals, vectors),
        ]
    assert {t.device.type for t in made} == {"meta"}
    assert made_on == [torch.device("meta")]


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
def test_gafa_takes_embeddings_to_the_device_of_its_weights(
    graph: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    gafa = make(replace(SMALL, gafa=replace(SMALL.gafa, graph=graph))).gafa.to("meta")
    with OneDevice():
        assert gafa.adjacency(torch.randn(4, 8), torch.randn(4, 8)).is_meta


class CountingEncoder:
    """Stands for the frozen text encoder; counts how often it is made."""

    made = 0

    def __init__(self, config: TextConfig, **_: object) -> None:
        type(self).made += 1
        self.dim = config.dim

    def encode(self, texts: list[str]) -> Tensor:
        return torch.tensor([[float(len(t))] * self.dim for t in texts])


def test_texts_are_read_by_the_configured_encoder_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_module, "TextEncoder", CountingEncoder)
    model = make()
    assert CountingEncoder.made == 0
    texts = ["sinus rhythm", "pacemaker"]
    vectors = torch.tensor([[12.0] * 6, [9.0] * 6])
    for _ in range(2):
        torch.testing.assert_close(model.encode_text(texts), model.encode_text(vectors))
    assert CountingEncoder.made == 1


def test_vectors_of_another_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 7\).*expects \(batch, 6\)"):
        make().encode_text(torch.zeros(3, 7))


@pytest.mark.parametrize("learn_tau", [False, True])
def test_a_saved_model_comes_back_the_same(tmp_path: Path, learn_tau: bool) -> None:
    loss = replace(SMALL.loss, learn_tau=learn_tau, kind="siglip", tau=0.1)
    config = replace(SMALL, loss=loss)
    model = make(config)
    model(*batch())  # moves the running statistics
    model.eval().save_pretrained(tmp_path)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1  # who may read the configuration may read the weights
    again = MCCGAA.from_pretrained(tmp_path)
    assert again.config == config
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert torch.equal(again.encode_ecg(batch()[0]), model.encode_ecg(batch()[0]))
    weight = again.encoder.stem[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_saved_model_is_written_in_a_form_that_others_read(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    for _ in range(2):  # a folder that is there already is filled again
        make().save_pretrained(folder)
    text = (folder / "config.json").read_text("utf-8")
    again = json.dumps(json.loads(text), indent=2, sort_keys=True)
    assert text == again + "\n" and next(iter(json.loads(text))) == "encoder"
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt"}


def test_a_model_of_the_hub_is_fetched_with_its_own_files(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def hub(name: str, **options: object) -> str:
        asked.append((name, options))
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert MCCGAA.from_pretrained("someone/model", revision="abc").config == SMALL
    assert locate(Path("someone/model"), also=("more.json",)) == saved
    files = ["config.json", "model.safetensors"]
    assert asked == [
        ("someone/model", {"allow_patterns": files, "revision": "abc"}),
        ("someone/model", {"allow_patterns": [*files, "more.json"]}),
    ]


def test_a_model_that_comes_with_the_package_is_found_by_its_name(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "SHIPPED", saved.parent)
    monkeypatch.chdir(saved)
    assert MCCGAA.from_pretrained(saved.name).config == SMALL
    assert locate(saved.name) == saved
    Path(saved.name).mkdir()  # a folder of that name comes first
    with pytest.raises(RunError, match=r"has no config\.json"):
        locate(saved.name)


def test_a_long_list_of_what_does_not_fit_is_shortened() -> None:
    shorten = model_module._first_lines
    lines = [f"  missing {i}" for i in range(5)]
    error = RuntimeError("\n".join(["Error(s) in loading", *lines]))
    assert shorten(error) == "missing 0 missing 1 missing 2 ... and 2 more"
    error = RuntimeError("\n".join(["Error(s) in loading", *lines[:3]]))
    assert shorten(error) == "missing 0 missing 1 missing 2"
    assert shorten(RuntimeError("head\n" + 300 * "x")) == 200 * "x"


def test_views_without_a_weight_have_no_gradients_to_wait_for() -> None:
    loss = replace(SMALL.loss, uma_weight=0.0)
    model = make(replace(SMALL, loss=loss))
    assert not any(p.requires_grad for p in model.unimodal.parameters())
    others = (model.encoder, model.projection, model.gafa, make().unimodal)
    assert all(p.requires_grad for part in others for p in part.parameters())


def test_a_temperature_is_bounded_in_training_alone() -> None:
    model = make(replace(SMALL, loss=replace(SMALL.loss, learn_tau=True))).eval()
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1000.0))
    model(*batch())
    assert model.tau.item() == pytest.approx(0.001)


def test_a_saved_model_is_json_and_safetensors_and_nothing_else(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md"}
    assert "MCCGAA.from_pretrained" in (tmp_path / "README.md").read_text("utf-8")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make().save_pretrained(tmp_path)
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    data = json.loads(path.read_text("utf-8"))
    for section, values in changes.items():
        data[section] = data.get(section, {}) | values
    path.write_text(json.dumps(data), "utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {"colour": "red"}}, "no setting 'colour'"),
        ({"encoder": {"depth": 19}}, "depth is 19; expected one of 18, 34"),
        ({"encoder": {"embedding_dim": 15}}, r"encoder\.embedding_dim is 15"),
        ({"gafa": {"heads": 3}}, r"gafa\.hidden is 8; .*heads, which is 3"),
        ({"decoder": {"depth": 18}}, "no setting 'decoder'"),
    ],
)
def test_an_impossible_configuration_is_refused(
    saved: Path, changes: dict, message: str
) -> None:
    edit(saved, **changes)
    with pytest.raises(RunError, match=f"config.json is not .*{message}"):
        MCCGAA.from_pretrained(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": {"depth": 34}},
        {"encoder": {"embedding_dim": 16}},
        {"gafa": {"output_matrix": True}},
        {"loss": {"uma": "dropout"}},
        {"encoder": {"cam": "none"}},
        {"gafa": {"graph": "none"}},
        {"text": {"dim": 12}},
    ],
)
def test_weights_of_another_configuration_are_refused(
    saved: Path, changes: dict
) -> None:
    edit(saved, **changes)
    with pytest.raises(RunError, match="weights of another configuration"):
        MCCGAA.from_pretrained(saved)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_without_its_files_is_refused(saved: Path, file: str) -> None:
    (saved / file).unlink()
    with pytest.raises(RunError, match=f"has no {file}: it is not"):
        MCCGAA.from_pretrained(saved)
    for rest in saved.iterdir():
        rest.unlink()
    both = r"has no config\.json and no model\.safetensors: it is not"
    with pytest.raises(RunError, match=both):
        MCCGAA.from_pretrained(saved)


def test_damaged_files_are_refused(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"model\.safetensors cannot be read"):
        MCCGAA.from_pretrained(saved)
    for damaged in ("{", "[1]"):
        (saved / "config.json").write_text(damaged, "utf-8")
        with pytest.raises(RunError, match=r"config\.json is not the configuration"):
            MCCGAA.from_pretrained(saved)
    (saved / "config.json").write_text('{"heads": 2}', "utf-8")
    with pytest.raises(RunError, match="configuration of a model: config has no setti"):
        MCCGAA.from_pretrained(saved)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = MCCGAA(SMALL)
    model.encoder.get_buffer(
        next(n for n, _ in model.encoder.named_buffers() if "running_var" in n)
    ).fill_(torch.inf)
    model.save_pretrained(tmp_path / "broken")
    with pytest.raises(RunError, match=r"model\.safetensors holds .* not finite"):
        MCCGAA.from_pretrained(tmp_path / "broken")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="absent is no folder"):
        MCCGAA.from_pretrained(tmp_path / "absent")
    with pytest.raises(RunError, match="nobody/nothing is no folder"):
        MCCGAA.from_pretrained("nobody/nothing", local_files_only=True)


class BesideItsCopy:
    """`torch.distributed` where the other of two processes holds the same rows."""

    def all_gather(self, parts: list[Tensor], own: Tensor) -> None:
        for part in parts:
            part.copy_(own)

    def reduce_scatter(self, own: Tensor, parts: list[Tensor]) -> None:
        # What this process asks of the other's rows, the other asks of this one's.
        own.copy_(parts[0] + parts[1])

    def all_reduce(self, t: Tensor) -> None:
        t *= 2


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("graph", ["pair", "bipartite", "none"])
def test_a_process_has_the_losses_and_gradients_of_the_batch_it_shares(
    rank: int, graph: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, gafa=replace(SMALL.gafa, graph=graph))
    alone, shared = make(config).double(), make(config).double()
    signals, vectors = (t.double() for t in batch())
    whole = alone(torch.cat([signals, signals]), torch.cat([vectors, vectors]))
    whole.loss.backward()
    monkeypatch.setattr("mccgaa.gather.dist", BesideItsCopy())
    monkeypatch.setattr(model_module, "world", lambda: (rank, 2))
    part = shared(signals, vectors)
    part.loss.backward()
    torch.testing.assert_close(part[:3], whole[:3])
    assert part.x.shape == (5, 8)
    for one, other in zip(shared.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
