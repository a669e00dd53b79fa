"""One, two and three processes (gloo) against none: rows, losses and gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from toys import MODEL

from mccgaa.config import GafaConfig, LossConfig
from mccgaa.gafa import Gafa
from mccgaa.gather import ALONE, Group, gather, gather_both, mean
from mccgaa.loss import alignment_loss
from mccgaa.model import MCCGAA

ROWS = 12  # of the whole batch
GRAPHS = {
    "pair": GafaConfig(hidden=8, heads=2, output=4, output_matrix=True),
    "bipartite": GafaConfig(hidden=8, heads=2, output=4, graph="bipartite"),
    "neighbours": GafaConfig(
        hidden=8, heads=2, output=4, graph="bipartite", neighbours=2
    ),
    "none": GafaConfig(graph="none"),
}
CASES = [("pair", "symmetric", torch.float32), ("bipartite", "clip", torch.float32)]
CASES += [
    (graph, kind, torch.float64)
    for graph in ("pair", "bipartite")
    for kind in ("symmetric", "one-sided", "clip", "siglip")
]
CASES += [("neighbours", "symmetric", torch.float64), ("none", "clip", torch.float64)]


def matrix(rows: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64)


class Towers(nn.Module):
    """Two linear encoders, GAFA, a learned temperature and bias."""

    def __init__(self, graph: str, kind: str, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ecg, self.text = nn.Linear(6, 4), nn.Linear(5, 4)
        self.gafa = Gafa(GRAPHS[graph], 4)
        self.tau = nn.Parameter(torch.tensor(0.2))
        self.bias = nn.Parameter(torch.tensor(-2.0))
        self.kind = kind
        self.to(dtype)

    def forward(self, signals: Tensor, texts: Tensor, group: Group) -> Tensor:
        fused = self.gafa(self.ecg(signals), self.text(texts), group)
        loss = alignment_loss(*fused, self.tau, self.kind, bias=self.bias, group=group)
        return mean(loss, group)


def part(rank: int, world: int, *sizes: tuple[int, ...]) -> list[Tensor]:
    """Draw a batch, and take what one of several processes is given of it."""
    whole = (matrix(ROWS, math.prod(size), i) for i, size in enumerate(sizes))
    return [
        t.reshape(ROWS, *size).chunk(world)[rank]
        for t, size in zip(whole, sizes, strict=True)
    ]


def whole_model(loss: LossConfig, graph: str) -> MCCGAA:
    torch.manual_seed(0)
    return MCCGAA(replace(MODEL, loss=loss, gafa=GRAPHS[graph])).double().train()


MODELS = [  # the last number: ECGs that a process encodes at a time
    (LossConfig(dropout=(0.5, 0.2)), "pair", 0),
    (LossConfig(dropout=(0.5, 0.2), uma="dropout", kind="clip"), "neighbours", 0),
    (LossConfig(dropout=(0.5, 0.2)), "bipartite", 2),
    (LossConfig(kind="siglip", learn_tau=True, cma_weight=0.5), "bipartite", 0),
    (LossConfig(kind="statements", learn_tau=True, uma_weight=0.0), "none", 0),
    (LossConfig(kind="statements", learn_tau=True, uma_weight=0.0), "bipartite", 0),
]


def batch(loss: LossConfig, rank: int, world: int) -> list[Tensor]:
    """What a process gives the whole model of `loss`."""
    signals, vectors, answers = part(rank, world, (12, 100), (8,), (3,))
    if loss.kind != "statements":
        return [signals, vectors]
    # Three statements, the same in every process, and which are true of its ECGs.
    return [signals, matrix(3, 8, 9), answers > 0, torch.tensor([0.5, 1.0, 1.5])]


def process(rank: int, most: int, folder: str) -> None:
    """One process of 1, 2 and 3: its own rows, DDP's mean of gradients, to a file."""
    torch.set_num_threads(1)
    for world in range(rank + 1, most + 1):
        store = dist.FileStore(f"{folder}/store{world}", world)  # no port to be taken
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
        results = []
        for case in CASES:
            model = DistributedDataParallel(Towers(*case), find_unused_parameters=True)
            inputs = (t.to(case[2]) for t in part(rank, world, (6,), (5,)))
            loss = model(*inputs, Group(rank, world))
            loss.backward()
            results.append([loss, {n: p.grad for n, p in model.named_parameters()}])
        for *settings, chunk in MODELS:
            model = DistributedDataParallel(whole_model(*settings))
            model.module.chunk = chunk
            torch.manual_seed(rank)  # each process draws its own dropout
            output = model(*batch(settings[0], rank, world))
            output.loss.backward()
            losses = torch.stack(output[:3])
            results.append([losses, {n: p.grad for n, p in model.named_parameters()}])
        torch.save(results, f"{folder}/{rank} of {world}.pt")
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[list]]:
    """What each of one, two and three processes had: losses and gradients by case."""
    folder = tmp_path_factory.mktemp("processes")
    # Imported once, not in each process.
    mp.set_forkserver_preload(["mccgaa.attention", "mccgaa.model", "mccgaa.pairs"])
    mp.start_processes(
        process, args=(3, str(folder)), nprocs=3, start_method="forkserver"
    )
    return {
        world: [torch.load(folder / f"{rank} of {world}.pt") for rank in range(world)]
        for world in (1, 2, 3)
    }


def check(made: list[list], case: int, loss: Tensor, model: nn.Module) -> None:
    """Compare what each process had with one process's loss and model's gradients."""
    for found, gradients in (results[case] for results in made):
        torch.testing.assert_close(found.detach(), loss.detach())
        for name, value in model.named_parameters():
            torch.testing.assert_close(gradients[f"module.{name}"], value.grad)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_have_the_loss_and_gradients_of_one(world: int, made: dict):
    for i, case in enumerate(CASES):
        model = Towers(*case)
        loss = model(*(t.to(case[2]) for t in part(0, 1, (6,), (5,))), ALONE)
        loss.backward()
        check(made[world], i, loss, model)


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("case", range(len(MODELS)))
def test_in_training_only_batch_norm_and_dropout_are_a_process_s_own(
    world: int, case: int, made: dict, monkeypatch: pytest.MonkeyPatch
):
    """One process that normalises and draws in parts equals the processes exactly."""
    *settings, chunk = MODELS[case]
    model = whole_model(*settings)
    features, views = model.encoder.features, model.unimodal.forward

    def views_in_parts(x: Tensor) -> list[Tensor]:
        made = []
        for rank, rows in enumerate(x.chunk(world)):
            torch.manual_seed(rank)
            made.append(views(rows))
        return [torch.cat(view) for view in zip(*made, strict=True)]

    def features_in_parts(x: Tensor) -> Tensor:
        parts = [p for rows in x.chunk(world) for p in rows.split(chunk or ROWS)]
        return torch.cat([features(rows) for rows in parts])

    monkeypatch.setattr(model.encoder, "features", features_in_parts)
    monkeypatch.setattr(model.unimodal, "forward", views_in_parts)
    output = model(*batch(settings[0], 0, 1))
    output.loss.backward()
    check(made[world], len(CASES) + case, torch.stack(output[:3]), model)


class OneOfTwo:
    """`torch.distributed` as one of two processes sees it, the other being tensors."""

    def __init__(self, rank: int, rows: Tensor, gradient: Tensor) -> None:
        self.rank, self.rows, self.gradient = rank, rows, gradient

    def all_gather(self, parts: list[Tensor], own: Tensor) -> None:
        assert own.is_contiguous()
        parts[self.rank].copy_(own)
        parts[1 - self.rank].copy_(self.rows)

    def reduce_scatter(self, own: Tensor, parts: list[Tensor]) -> None:
        assert all(part.is_contiguous() for part in parts)
        own.copy_(parts[self.rank] + self.gradient.chunk(2)[self.rank])

    def all_reduce(self, t: Tensor) -> None:
        t += self.rows


@pytest.mark.parametrize("rank", [0, 1])
def test_gather_joins_rows_by_rank_and_sums_their_gradients(rank, monkeypatch):
    own, other = matrix(2, 3, 1).T, matrix(3, 2, 2)  # (3, 2); `own` is not contiguous
    weight, of_other = matrix(2, 6, 3).T, matrix(6, 2, 4)
    monkeypatch.setattr("mccgaa.gather.dist", OneOfTwo(rank, other, of_other))
    own.requires_grad_()
    joined = gather(own, Group(rank, 2))
    assert torch.equal(joined, torch.cat([other, own] if rank else [own, other]))
    kept = weight.clone()
    joined.backward(weight)
    assert torch.equal(weight, kept)  # autograd's own tensor is not written to
    torch.testing.assert_close(own.grad, (weight + of_other)[3 * rank : 3 * rank + 3])


def test_two_sides_are_gathered_with_one_exchange(monkeypatch):
    x, q, other = matrix(3, 2, 1), matrix(3, 4, 2), matrix(3, 6, 3)
    monkeypatch.setattr("mccgaa.gather.dist", OneOfTwo(1, other, other))
    all_x, all_q = gather_both(x, q, Group(1, 2))
    assert torch.equal(all_x, torch.cat([other[:, :2], x]))
    assert torch.equal(all_q, torch.cat([other[:, 2:], q]))


def test_mean_is_that_of_all_and_its_gradient_this_process_s_own(monkeypatch):
    own, other = matrix(2, 1, 1).requires_grad_(), matrix(2, 1, 2)
    kept = own.detach().clone()
    monkeypatch.setattr("mccgaa.gather.dist", OneOfTwo(0, other, other))
    both = mean(own, Group(0, 2))
    torch.testing.assert_close(both, (own + other) / 2)
    assert torch.equal(own, kept)
    both.backward(other)
    assert torch.equal(own.grad, other)


def test_a_process_alone_exchanges_nothing():
    x, q = matrix(3, 2, 1), matrix(5, 4, 2)
    assert gather(x) is x and mean(x) is x
    assert gather_both(x, q)[0] is x and gather_both(x, q)[1] is q
    assert ALONE == (0, 1)
