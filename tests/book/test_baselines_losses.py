"""Each loss of a baseline is its paper's, and gradients stop where they must."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from toy_baselines import elsewhere

from mccgaa.config import EncoderConfig, InputConfig
from mccgaa.errors import ConfigError
from mccgaa.gather import Group
from mccgaa_book.baselines import barlow_twins, moco_v3, registry, simclr
from mccgaa_book.baselines.barlow_twins import cross_correlation, redundancy
from mccgaa_book.baselines.base import Batch
from mccgaa_book.baselines.byol import regression
from mccgaa_book.baselines.config import BaselineConfig
from mccgaa_book.baselines.moco_v3 import info_nce
from mccgaa_book.baselines.simclr import nt_xent
from mccgaa_book.baselines.simsiam import negative_cosine

SIAMESE = ["simclr", "byol", "barlow-twins", "moco-v3", "simsiam"]
FOLLOWED = {  # module -> the copy of it that follows
    "byol": {"encoder": "target_encoder", "projector": "target_projector"},
    "moco-v3": {"encoder": "momentum_encoder", "projector": "momentum_projector"},
}


def config(method: str, **settings) -> BaselineConfig:
    return BaselineConfig(
        method,
        registry.settings(method, settings),
        InputConfig(sampling_rate=64, duration=1.0, transform="bandpass-zscore"),
        EncoderConfig(widths=(12, 12, 12, 12), cam="none"),
    )


def made(method: str, **settings):
    torch.manual_seed(0)
    return registry.build(config(method, **settings))


def batch(records: int = 8, progress: float = 0.25) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(records, 12, 64), torch.arange(records), progress)


def two_views(rows: int = 5, width: int = 4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, rows, width))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_nt_xent_is_its_sum_written_out():
    first, second = two_views()
    z = unit(np.concatenate([first, second]))
    terms = []
    for i in range(10):
        j = (i + 5) % 10
        others = [math.exp(z[i] @ z[k] / 0.3) for k in range(10) if k != i]
        terms.append(-math.log(math.exp(z[i] @ z[j] / 0.3) / sum(others)))
    found = nt_xent(torch.tensor(first), torch.tensor(second), 0.3)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-12)


def test_nt_xent_of_equal_orthogonal_pairs_is_known():
    z = 7.0 * torch.eye(6, dtype=torch.float64)
    known = math.log(1 + 10 * math.exp(-1 / 0.5))  # one partner, ten at right angles
    assert nt_xent(z, z, 0.5).item() == pytest.approx(known, rel=1e-12)


def test_partners_are_found_on_the_device_of_the_batch():
    plain = nt_xent.__wrapped__  # there is no autocast on that device
    assert plain(elsewhere(4, 3), elsewhere(4, 3), 0.1).is_meta
    plain = info_nce.__wrapped__
    assert plain(elsewhere(4, 3), elsewhere(4, 3), 0.1).is_meta


def test_info_nce_is_its_sum_written_out():
    queries, keys = two_views()
    q, k = unit(queries), unit(keys)
    terms = []
    for i in range(5):
        others = [math.exp(q[i] @ k[j] / 0.2) for j in range(5)]
        terms.append(-0.4 * math.log(math.exp(q[i] @ k[i] / 0.2) / sum(others)))
    found = info_nce(torch.tensor(queries), torch.tensor(keys), 0.2)
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-12)
    z = torch.eye(6, dtype=torch.float64)
    known = 0.4 * math.log(1 + 5 * math.exp(-5))
    assert info_nce(3 * z, z, 0.2).item() == pytest.approx(known, rel=1e-12)


def test_losses_of_two_processes_average_to_that_of_the_whole_batch(monkeypatch):
    first, second = (torch.tensor(v) for v in two_views(rows=6))
    sides = [nn.functional.normalize(z) for z in (first, second)]  # of all processes
    monkeypatch.setattr(simclr, "gather_both", lambda x, q, group: sides)
    monkeypatch.setattr(moco_v3, "gather", lambda t, group: sides[1])
    for loss in (nt_xent, info_nce):
        together = loss(first, second, 0.5).item()
        parts = [
            loss(first[part], second[part], 0.5, Group(rank, 2)).item()
            for rank, part in enumerate((slice(0, 3), slice(3, 6)))
        ]
        assert sum(parts) / 2 == pytest.approx(together, rel=1e-12)
        assert parts[0] != pytest.approx(parts[1], rel=1e-6)


def test_cross_correlation_is_pearsons_over_the_whole_batch(monkeypatch):
    first, second = two_views(rows=50, width=3)
    known = np.corrcoef(first.T, second.T)[:3, 3:]
    a, b = torch.tensor(first), torch.tensor(second)
    np.testing.assert_allclose(cross_correlation(a, b), known, atol=1e-4)
    monkeypatch.setattr(barlow_twins, "gather_both", lambda x, q, group: (a, b))
    own = cross_correlation(a[:25], b[:25], Group(0, 2))
    np.testing.assert_allclose(own, known, atol=1e-4)


def test_barlow_twins_is_zero_at_the_identity_and_counts_what_is_off_it():
    identity = torch.eye(4, dtype=torch.float64)
    assert [t.item() for t in redundancy(identity, 0.1)] == [0.0, 0.0]
    table = torch.tensor([[0.5, 2.0], [-1.0, 1.0]], dtype=torch.float64)
    invariance, rest = redundancy(table, 0.1)
    assert invariance.item() == pytest.approx(0.25)
    assert rest.item() == pytest.approx(0.1 * (4 + 1))


def test_a_constant_feature_correlates_with_nothing():
    z = torch.randn(6, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    z[:, 1] = 4.0
    found = cross_correlation(z, z)
    assert found.isfinite().all() and not found[1].any() and not found[:, 1].any()


def test_a_step_of_barlow_twins_adds_its_two_sums(monkeypatch):
    method = made("barlow-twins", off_diagonal=0.5, widen=3)
    assert [m.out_features for m in method.projector if isinstance(m, nn.Linear)] == [
        3 * method.encoder.width
    ] * 3
    seen = []
    correlate = barlow_twins.cross_correlation

    def watched(first, second, group):
        seen.append(correlate(first, second, group))
        return seen[0]

    monkeypatch.setattr(barlow_twins, "cross_correlation", watched)
    found = method.train().loss(batch())
    invariance, rest = redundancy(seen[0], 0.5)
    assert found["invariance"] == invariance and found["redundancy"] == rest
    assert found["loss"].item() == pytest.approx((invariance + rest).item())
    assert min(invariance, rest) > 1


def test_distances_of_vectors_are_known():
    a = torch.tensor([[3.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert regression(a, 5 * a).item() == pytest.approx(0)
    assert regression(a, -a).item() == pytest.approx(4)
    assert negative_cosine(a, 5 * a).item() == pytest.approx(-1)
    assert negative_cosine(a, a.flip(0)).item() == pytest.approx(0)


def test_losses_of_half_precision_are_computed_in_full():
    first, second = (torch.tensor(v).bfloat16() for v in two_views())
    with torch.autocast("cpu", torch.bfloat16):
        found = nt_xent(first, second, 0.1)
    assert found.dtype == torch.float32
    exact = nt_xent(first.double(), second.double(), 0.1)
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize("name", SIAMESE)
def test_the_gradient_reaches_every_weight_that_learns(name):
    model = made(name)
    model.train()
    found = model.loss(batch())
    assert set(found) == set(model.columns())
    found["loss"].backward()
    for path, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None and weight.grad.isfinite().all(), path
            assert weight.grad.any() or path.endswith("bias"), path
        else:
            assert weight.grad is None, path
    assert 0 < found["spread"].item() < 2


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_target_moves_by_the_decay_of_the_step(name):
    model = made(name, decay=0.9)
    pairs = [
        (model.get_submodule(mine), model.get_submodule(copy))
        for mine, copy in FOLLOWED[name].items()
    ]
    with torch.no_grad():
        for mine, _ in pairs:
            for p in mine.parameters():
                p += torch.randn_like(p)
    before = [[p.clone() for p in copy.parameters()] for _, copy in pairs]
    model.after_step(0.5)
    for (mine, copy), old in zip(pairs, before, strict=True):
        for own, was, now in zip(
            mine.parameters(), old, copy.parameters(), strict=True
        ):
            torch.testing.assert_close(now, 0.95 * was + 0.05 * own)


def test_moco_asks_each_view_for_the_key_of_the_other(monkeypatch):
    model = made("moco-v3", temperature=0.3).train()
    signals = batch().signals
    given = [signals, 2 * signals.flip(1)]
    monkeypatch.setattr(model, "views", lambda s: given)
    q = [model.predictor(model.projector(model.features(v))) for v in given]
    k = [
        model.momentum_projector(model.momentum_encoder(model.scaled(v))) for v in given
    ]
    known = info_nce(q[0], k[1], 0.3) + info_nce(q[1], k[0], 0.3)
    found = model.loss(batch())["loss"]
    torch.testing.assert_close(found, known)
    assert abs(found - info_nce(q[0], k[0], 0.3) - info_nce(q[1], k[1], 0.3)) > 0.01


def test_methods_take_the_batch_of_all_processes(monkeypatch):
    """What the loss is given as its group is the method's, not that of one process."""
    for name, module, loss in (
        ("moco-v3", moco_v3, "info_nce"),
        ("simclr", simclr, "nt_xent"),
        ("barlow-twins", barlow_twins, "cross_correlation"),
    ):
        seen = []
        compute = getattr(module, loss)

        def watched(*given, seen=seen, compute=compute):
            seen.append(given[-1])
            return compute(*given)

        monkeypatch.setattr(module, loss, watched)
        model = made(name).train()
        model.loss(batch())
        assert seen and all(group == model.group for group in seen), name
        assert all(isinstance(group, Group) for group in seen), name


def layers(network: nn.Module) -> list[str]:
    """Outputs of linear layers, and normalisations with and without weights."""
    said = []
    for module in network:
        if isinstance(module, nn.Linear):
            said.append(f"{module.in_features}-{module.out_features}")
        elif isinstance(module, nn.BatchNorm1d):
            said.append("norm" if module.affine else "plain norm")
    return said


def test_projectors_and_predictors_have_the_layers_of_their_papers():
    moco = made("moco-v3", dim=16, widen=3)
    assert layers(moco.projector) == ["12-36", "norm", "36-16", "plain norm"]
    assert layers(moco.predictor) == ["16-36", "norm", "36-16"]
    simsiam = made("simsiam", narrow=3)
    three = ["12-12", "norm", "12-12", "norm", "12-12", "plain norm"]
    assert layers(simsiam.projector) == three
    assert layers(simsiam.predictor) == ["12-4", "norm", "4-12"]
    one = made("simsiam", narrow=99).predictor
    assert layers(one) == ["12-1", "norm", "1-12"]  # never none
    byol = made("byol", dim=16, widen=3)
    assert layers(byol.projector) == ["12-36", "norm", "36-16"]
    assert layers(byol.predictor) == ["16-36", "norm", "36-16"]
    assert layers(made("simclr", dim=5).head) == ["12-12", "norm", "12-5"]


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_a_prediction_aims_at_the_other_view(name, monkeypatch):
    """With the target's (or the projector's) outputs set, the loss is known."""
    model = made(name)
    model.train()
    signals = batch().signals
    monkeypatch.setattr(model, "views", lambda s: [s, s.flip(0)])
    z = [model.projector(model.features(v)) for v in (signals, signals.flip(0))]
    p = [model.predictor(one) for one in z]
    if name == "byol":
        aims = [
            model.target_projector(model.target_encoder(v))
            for v in (signals, signals.flip(0))
        ]
        known = regression(p[0], aims[1]) + regression(p[1], aims[0])
    else:
        known = (negative_cosine(p[0], z[1]) + negative_cosine(p[1], z[0])) / 2
    torch.testing.assert_close(model.loss(batch())["loss"], known)


def test_simsiam_stops_the_gradient_at_what_is_predicted(monkeypatch):
    signals = batch().signals
    gradients = {}
    for stops in (True, False):
        model = made("simsiam", stop_gradient=stops)
        model.predictor = nn.Identity()
        monkeypatch.setattr(model, "views", lambda s: [s, s.roll(1, 0)])
        z = {}
        model.projector.register_forward_hook(
            lambda _, given, z_of, z=z: z.setdefault(len(z), z_of).retain_grad()
        )
        model.loss(Batch(signals, torch.arange(8), 0.0))["loss"].backward()
        gradients[stops] = z[0].grad
        cosine = nn.functional.cosine_similarity
        alone = z[0].detach().requires_grad_()
        (-cosine(alone, z[1].detach(), dim=1).mean() / 2).backward()
        if stops:
            torch.testing.assert_close(z[0].grad, alone.grad)
        else:  # each projection is aimed at, too
            torch.testing.assert_close(z[0].grad, 2 * alone.grad)


class Toy(nn.Module):
    """A network of one layer that sees a few samples, so that a step is quick."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, self.width)

    def forward(self, x):
        return self.layer(x[:, 0, :16])


def test_byol_collapses_without_its_predictor_and_not_with_it(monkeypatch):
    monkeypatch.setattr(registry.method("byol"), "build_encoder", lambda self: Toy())
    last = {}
    for predictor in (True, False):
        model = made("byol", predictor=predictor, decay=0.5, dim=8, widen=4)
        noisy = lambda x: [x + 0.5 * torch.randn_like(x) for _ in range(2)]  # noqa: E731
        monkeypatch.setattr(model, "views", noisy)
        learned = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=3e-2, fused=True)
        for step in range(40):
            data = batch(32, 0.0)
            torch.manual_seed(step)
            losses = model.loss(data)
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
            model.after_step(0.0)
            assert step or losses["spread"] > 0.8
        last[predictor] = losses["spread"].item()
    assert last[True] > 0.7, "with it, records stay apart"
    assert last[False] < 0.2, "without it, they become one"


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("simclr", {"temperature": 0.0}, "more than 0"),
        ("moco-v3", {"decay": 1.5}, "0 to 1"),
        ("byol", {"momentum": 1}, "has no setting 'momentum'"),
        ("simsiam", {"strength": 2.0}, "0 to 1"),
        ("barlow-twins", {"augmentations": ["flip"]}, "augmentations"),
    ],
)
def test_settings_that_nothing_can_be_made_of_are_refused(name, given, message):
    with pytest.raises(ConfigError, match=message):
        registry.settings(name, given)


def test_three_losses_are_those_of_lightly():
    """Of lightly 1.5.22, which needs torchvision and so is no dependency."""
    x = torch.arange(32.0).reshape(8, 4)
    a, b = (0.7 * x).sin(), (0.7 * x + 0.3 * x.square() / 32).sin()
    found = {
        "NTXentLoss(0.1)": nt_xent(a, b, 0.1),
        "BarlowTwinsLoss(0.0051)": sum(redundancy(cross_correlation(a, b), 0.0051)),
        "NegativeCosineSimilarity()": negative_cosine(a, b),
    }
    assert {name: float(loss) for name, loss in found.items()} == pytest.approx(
        {
            "NTXentLoss(0.1)": 7.6347503,
            "BarlowTwinsLoss(0.0051)": 3.0518105,
            "NegativeCosineSimilarity()": -0.2225204,
        },
        abs=2e-6,
    )
