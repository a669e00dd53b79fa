"""GAFA against the paper's equations 17-24, written out as loops in float64."""

import math
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.nn.functional import normalize

from mccgaa.attention import GraphAttention
from mccgaa.config import GafaConfig
from mccgaa.errors import ConfigError
from mccgaa.gafa import Gafa
from mccgaa.gather import ALONE, Group

B, M, HIDDEN, HEADS, OUT = 5, 3, 6, 2, 4


def embeddings(rows: int, seed: int, width: int = M) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    t = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    return normalize(t, dim=1)


def make(graph: str = "pair", *, seed: int = 0, **settings) -> Gafa:
    torch.manual_seed(seed)
    sizes = {"hidden": HIDDEN, "heads": HEADS, "output": OUT}
    gafa = Gafa(GafaConfig(graph=graph, **(sizes | settings)), M).double()
    with torch.no_grad():  # biases start at zero, where a mistake would not show
        for name, value in gafa.named_parameters():
            if name.endswith("bias"):
                value.normal_()
    return gafa


def naive_similarity(x, q, tau):
    """Eq 17."""
    return [[sum(a * b for a, b in zip(r, s, strict=True)) / tau for s in q] for r in x]


def naive_adjacency(similarity, threshold):
    """Eq 18."""
    return [[1 if s > threshold else 0 for s in row] for row in similarity]


def naive_head(C, neighbours, W, a_i, a_j):
    """Eq 20 and 21 of one head, with the LeakyReLU that eq 21 leaves out."""
    F = len(W[0])
    CW = [
        [sum(c[m] * W[m][f] for m in range(len(c))) for f in range(F)] for c in C
    ]  # row vectors: C W, as in eq 20
    h, beta = [], []
    for i in range(len(C)):
        e = {}
        for j in neighbours[i]:
            z = sum(a_i[f] * CW[i][f] for f in range(F))
            z += sum(a_j[f] * CW[j][f] for f in range(F))
            e[j] = z if z > 0 else 0.2 * z
        total = sum(math.exp(e[s]) for s in neighbours[i])
        beta.append({j: math.exp(e[j]) / total for j in neighbours[i]})
        h.append([sum(beta[i][j] * CW[j][f] for j in neighbours[i]) for f in range(F)])
    return h, beta


def naive_layer(C, neighbours, conv, heads, output):
    """Eq 22: the heads side by side, plus the bias, times W_O where there is one."""
    W = conv.lin.weight.detach().numpy().T  # (in, heads * F)
    a_i, a_j = conv.att_dst.detach().numpy()[0], conv.att_src.detach().numpy()[0]
    F = W.shape[1] // heads
    parts = [
        naive_head(C, neighbours, W[:, k * F : (k + 1) * F], a_i[k], a_j[k])
        for k in range(heads)
    ]
    bias = conv.bias.detach().numpy()
    H = [
        [value for h, _ in parts for value in h[i]] + np.zeros(heads * F) + bias
        for i in range(len(C))
    ]
    if isinstance(output, torch.nn.Linear):
        W_O = output.weight.detach().numpy().T  # (in, out), as eq 22 multiplies
        H = [
            [sum(row[k] * W_O[k][f] for k in range(len(row))) for f in range(len(row))]
            for row in H
        ]
    return H, [beta for _, beta in parts]


def naive_gafa(gafa: Gafa, x, q):
    """Eq 17-24 for both graphs; returns the fused rows and both layers' betas."""
    config, x, q = gafa.config, x.tolist(), q.tolist()
    A = naive_adjacency(naive_similarity(x, q, config.tau), config.threshold)
    n = len(x)
    if config.graph == "pair":
        C = [r + s for r, s in zip(x, q, strict=True)]  # eq 19
        neighbours = [{i} | {j for j in range(n) if A[i][j]} for i in range(n)]
    else:
        C = x + q
        neighbours = [{i} | {n + j for j in range(len(q)) if A[i][j]} for i in range(n)]
        neighbours += [
            {n + j} | {i for i in range(n) if A[i][j]} for j in range(len(q))
        ]
    H1, beta1 = naive_layer(C, neighbours, gafa.layer1, config.heads, gafa.output1)
    elu = [[v if v > 0 else math.exp(v) - 1 for v in row] for row in H1]
    H2, beta2 = naive_layer(elu, neighbours, gafa.layer2, 1, gafa.output2)
    half = config.output // 2
    if config.graph == "pair":
        x_topo, q_topo = [h[:half] for h in H2], [h[half:] for h in H2]  # eq 23
    else:
        x_topo, q_topo = H2[:n], H2[n:]
    x_fuse = [list(t) + r for t, r in zip(x_topo, x, strict=True)]  # eq 24
    q_fuse = [list(t) + s for t, s in zip(q_topo, q, strict=True)]
    return x_fuse, q_fuse, (beta1, beta2)


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
@pytest.mark.parametrize("threshold", [-100.0, 0.0, 5.0, 100.0])
@pytest.mark.parametrize("output_matrix", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_fused_embeddings_equal_equations_17_to_24(
    graph, threshold, output_matrix, dense
):
    gafa = make(graph, threshold=threshold, output_matrix=output_matrix)
    gafa.dense = dense
    x, q = embeddings(B, 1), embeddings(B, 2)
    x_naive, q_naive, _ = naive_gafa(gafa, x, q)
    x_fuse, q_fuse = gafa(x, q)
    torch.testing.assert_close(x_fuse, torch.tensor(x_naive).double())
    torch.testing.assert_close(q_fuse, torch.tensor(q_naive).double())
    assert x_fuse.shape == torch.Size((B, gafa.width)) == (B, M + OUT // 2)


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
@pytest.mark.parametrize("output_matrix", [False, True])
def test_attention_equals_equation_21_in_both_layers(graph, output_matrix):
    gafa = make(graph, output_matrix=output_matrix)
    x, q = embeddings(B, 1), embeddings(B, 2)
    _, _, betas = naive_gafa(gafa, x, q)
    for dense, naive in zip(gafa.attention(x, q), betas, strict=True):
        assert len(dense) == len(naive)
        for head, rows in zip(dense, naive, strict=True):
            expected = torch.zeros_like(head)
            for i, row in enumerate(rows):
                for j, weight in row.items():
                    expected[i, j] = weight
            torch.testing.assert_close(head, expected)


def test_adjacency_equals_equations_17_and_18():
    x, q = embeddings(B, 1), embeddings(B, 2)
    for threshold in (-20.0, 0.0, 3.0, 20.0):
        naive = naive_adjacency(
            naive_similarity(x.tolist(), q.tolist(), 0.07), threshold
        )
        ours = make(threshold=threshold).adjacency(x, q)
        assert ours.int().tolist() == naive


def test_a_similarity_equal_to_the_threshold_is_no_edge():
    x = torch.eye(M, dtype=torch.float64)[:2]
    q = torch.stack([x[0], -x[0]])  # f_sim 2 and -2 for the first ECG, 0 for the other
    at_two = make("bipartite", tau=0.5, threshold=2.0)
    assert not at_two.adjacency(x, q).any()
    below_two = make("bipartite", tau=0.5, threshold=2.0 - 1e-12)
    assert below_two.adjacency(x, q).tolist() == [[True, False], [False, False]]
    at_zero = make("bipartite", tau=0.5, threshold=0.0)
    assert at_zero.adjacency(x, q).tolist() == [[True, False], [False, False]]


def test_output_matrices_are_square_learnable_and_absent_by_default():
    names = ["output1.weight", "output2.weight"]
    plain, full = make(), make(output_matrix=True)
    assert not set(names) & set(plain.state_dict())
    assert set(full.state_dict()) - set(plain.state_dict()) == set(names)
    assert full.output1.weight.shape == (HIDDEN, HIDDEN)
    assert full.output2.weight.shape == (OUT, OUT)
    x_fuse, q_fuse = full(embeddings(B, 1), embeddings(B, 2))
    (x_fuse.square().sum() + q_fuse.square().sum()).backward()
    for name in names:
        assert full.get_parameter(name).grad.abs().sum() > 0
    assert not list(make("none", output_matrix=True).parameters())


def test_neighbours_joins_each_ecg_to_its_k_most_similar_texts():
    x, q = embeddings(B, 1), embeddings(B, 2)
    adjacency = make(neighbours=2).adjacency(x, q)
    for row, similar in zip(adjacency, (x @ q.T).tolist(), strict=True):
        best = sorted(range(B), key=lambda j: -similar[j])[:2]
        assert set(row.nonzero().flatten().tolist()) == set(best)
    assert adjacency.dtype == torch.bool
    assert make(neighbours=99).adjacency(x, q).all()


def test_pair_graph_follows_a_reordering_of_the_pairs():
    gafa, x, q = make(), embeddings(B, 1), embeddings(B, 2)
    order = torch.tensor([3, 0, 4, 1, 2])
    for fused, reordered in zip(gafa(x, q), gafa(x[order], q[order]), strict=True):
        torch.testing.assert_close(fused[order], reordered)


def test_bipartite_graph_does_not_know_which_text_belongs_to_which_ecg():
    gafa, x, q = make("bipartite"), embeddings(B, 1), embeddings(B, 2)
    order = torch.tensor([3, 0, 4, 1, 2])
    (x_fuse, q_fuse), (x_again, q_again) = gafa(x, q), gafa(x, q[order])
    torch.testing.assert_close(x_fuse, x_again)
    torch.testing.assert_close(q_fuse[order], q_again)


def test_pair_graph_changes_an_ecg_when_it_gets_another_text():
    gafa, x, q = make(threshold=1e9), embeddings(B, 1), embeddings(B, 2)
    assert not torch.allclose(gafa(x, q)[0], gafa(x, q.roll(1, 0))[0])


def test_a_node_without_neighbours_attends_to_itself_alone():
    for graph in ("pair", "bipartite"):
        gafa = make(graph, threshold=1e9)
        x, q = embeddings(B, 1), embeddings(B, 2)
        assert not gafa.adjacency(x, q).any()
        for weights in gafa.attention(x, q):
            eye = torch.eye(weights.shape[1], dtype=torch.float64)
            torch.testing.assert_close(weights, eye.expand_as(weights))
        assert all(fused.isfinite().all() for fused in gafa(x, q))


@pytest.mark.parametrize("dense", [False, True])
def test_bipartite_graph_joins_ecgs_to_any_number_of_class_texts(dense):
    gafa, x, q = make("bipartite"), embeddings(B, 1), embeddings(9, 2)
    gafa.dense = dense
    x_naive, q_naive, _ = naive_gafa(gafa, x, q)
    x_fuse, q_fuse = gafa(x, q)
    assert (len(x_fuse), len(q_fuse)) == (B, 9)
    torch.testing.assert_close(x_fuse, torch.tensor(x_naive).double())
    torch.testing.assert_close(q_fuse, torch.tensor(q_naive).double())


def test_without_a_graph_the_embeddings_come_back_unchanged():
    gafa, x, q = make("none"), embeddings(B, 1), embeddings(7, 2)
    x_fuse, q_fuse = gafa(x, q)
    assert x_fuse is x and q_fuse is q
    assert gafa.width == M and not list(gafa.parameters())
    # What it would have joined can be asked all the same, and in full precision.
    assert torch.equal(gafa.adjacency(x, q), make().adjacency(x, q))
    coarse = embeddings(128, 3).bfloat16(), embeddings(128, 4).bfloat16()
    near = 0.5 / gafa.config.tau  # some similarities are very near to it
    exact = make(threshold=near).adjacency(*(t.double() for t in coarse))
    assert torch.equal(make("none", threshold=near).adjacency(*coarse), exact)


def fused_with_gradients(gafa: Gafa, x: Tensor, q: Tensor) -> list[Tensor]:
    """Fused rows, then the gradients of inputs and weights of a sum of squares."""
    gafa.zero_grad()
    x, q = x.clone().requires_grad_(), q.clone().requires_grad_()
    fused = gafa(x, q)
    sum((t * t.cos()).sum() for t in fused).backward()
    return [*fused, x.grad, q.grad, *(p.grad for p in gafa.parameters())]


SHAPES = [("pair", 7, 7), ("pair", 1, 1)]
SHAPES += [("bipartite", 7, 7), ("bipartite", 5, 9), ("bipartite", 4, 1)]


@pytest.mark.parametrize(("graph", "ecgs", "texts"), SHAPES)
@pytest.mark.parametrize("threshold", [-100.0, 0.0, 6.0, 100.0])
def test_masks_and_edges_give_the_same_numbers_and_gradients(
    graph, ecgs, texts, threshold
):
    gafa = make(graph, threshold=threshold, output_matrix=True).float()
    with torch.no_grad():
        for name, value in gafa.named_parameters():
            if "att" in name:  # LeakyReLU has both signs to work on
                value.mul_(3)
    x, q = embeddings(ecgs, 1).float(), embeddings(texts, 2).float()
    assert gafa.dense
    masks = fused_with_gradients(gafa, x, q)
    gafa.dense = False
    edges = fused_with_gradients(gafa, x, q)
    for one, other in zip(masks, edges, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
@pytest.mark.parametrize("block", [1, 20])
def test_attention_in_blocks_of_rows_is_that_of_the_whole(graph, block, monkeypatch):
    gafa, x, q = make(graph), embeddings(B, 1), embeddings(B, 2)
    whole = fused_with_gradients(gafa, x, q)
    monkeypatch.setattr("mccgaa.attention.BLOCK", block)  # one row, or two, at a time
    largest, attend = 0, GraphAttention._attend_rows

    def watched(layer, own, others, mask):
        nonlocal largest
        largest = max(largest, layer.heads * mask.numel())
        return attend(layer, own, others, mask)

    monkeypatch.setattr(GraphAttention, "_attend_rows", watched)
    for one, other in zip(whole, fused_with_gradients(gafa, x, q), strict=True):
        torch.testing.assert_close(one, other)
    assert largest <= max(block, HEADS * B)


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
def test_masks_ask_the_device_for_no_number(graph):
    """A tensor without data has a shape, and no count of edges to wait for."""
    gafa, x, q = make(graph), embeddings(B, 1), embeddings(B, 2)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        x, q = mode.from_tensor(x), mode.from_tensor(q)
        assert gafa(x, q)[0].shape == (B, M + OUT // 2)
        gafa.dense = False
        with pytest.raises(DynamicOutputShapeException, match="nonzero"):
            gafa(x, q)


def test_masks_compile_into_one_graph():
    gafa, x, q = make(), embeddings(B, 1), embeddings(B, 2)
    compiled = torch.compile(gafa, backend="eager", fullgraph=True)
    for one, other in zip(compiled(x, q), gafa(x, q), strict=True):
        torch.testing.assert_close(one, other)


def test_masks_are_for_thresholds_and_edges_for_a_few_neighbours():
    assert make().dense and not make(neighbours=2).dense
    gafa, x, q = make(neighbours=2), embeddings(B, 1), embeddings(B, 2)
    edges = fused_with_gradients(gafa, x, q)
    gafa.dense = True
    for one, other in zip(edges, fused_with_gradients(gafa, x, q), strict=True):
        torch.testing.assert_close(one, other)


def in_threads(gafa: Gafa, x: Tensor, q: Tensor, processes: int, monkeypatch) -> list:
    """What each of several processes fuses; here they are threads that wait."""
    barrier, given, fused = threading.Barrier(processes), {}, {}

    def gather(t: Tensor, group: Group = ALONE) -> Tensor:
        if group.processes == 1:
            return t
        given[group.rank] = t
        barrier.wait(10)
        joined = torch.cat([given[rank] for rank in range(processes)])
        barrier.wait(10)
        return joined

    def process(rank: int) -> None:
        own = (t.chunk(processes)[rank] for t in (x, q))
        try:
            fused[rank] = gafa(*own, Group(rank, processes))
        except BaseException:
            barrier.abort()
            raise

    for module in ("gather", "attention"):
        monkeypatch.setattr(f"mccgaa.{module}.gather", gather)
    threads = [threading.Thread(target=process, args=[r]) for r in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [fused[rank] for rank in range(processes)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize(
    ("graph", "neighbours"), [("pair", None), ("bipartite", None), ("bipartite", 2)]
)
def test_processes_together_fuse_what_one_fuses(
    graph, neighbours, processes, monkeypatch
):
    gafa = make(graph, neighbours=neighbours)
    x, q = embeddings(6, 1), embeddings(6, 2)
    whole = gafa(x, q)
    rows, attend = set(), GraphAttention._attend_rows

    def watched(layer, own, others, mask):
        rows.add((len(own), len(others)))
        return attend(layer, own, others, mask)

    monkeypatch.setattr(GraphAttention, "_attend_rows", watched)
    parts = in_threads(gafa, x, q, processes, monkeypatch)
    assert rows == (set() if neighbours else {(6 // processes, 6)}), "its own of all"
    for side, expected in enumerate(whole):
        joined = torch.cat([part[side] for part in parts])
        torch.testing.assert_close(joined, expected)


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
def test_gradients_of_inputs_are_those_of_finite_differences(graph):
    gafa = make(graph)
    x, q = embeddings(B, 1), embeddings(B, 2)
    assert (x @ q.T).abs().min() > 1e-4  # no edge flips within the step
    inputs = (x.requires_grad_(), q.requires_grad_())
    assert torch.autograd.gradcheck(gafa, inputs, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
def test_gradients_repeat_bit_for_bit_with_several_threads(graph):
    torch.manual_seed(0)
    gafa = Gafa(GafaConfig(graph=graph), 256)
    x, q = embeddings(192, 1, 256).float(), embeddings(192, 2, 256).float()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = []
        for _ in range(4):
            gafa.zero_grad()
            x_in, q_in = x.clone().requires_grad_(), q.clone().requires_grad_()
            x_fuse, q_fuse = gafa(x_in, q_in)
            (x_fuse @ q_fuse.T).exp().mean().backward()
            grads = [p.grad.clone() for p in gafa.parameters()]
            runs.append([x_in.grad, q_in.grad, *grads])
    finally:
        torch.set_num_threads(threads)
    for first, second in pairwise(runs):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_autocast_does_not_lower_the_precision():
    torch.manual_seed(0)
    gafa = Gafa(GafaConfig(), 256)
    x, q = embeddings(8, 1, 256).float(), embeddings(8, 2, 256).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = (*gafa(x, q), *gafa.attention(x, q), gafa.adjacency(x, q).float())
    exact = (*gafa(x, q), *gafa.attention(x, q), gafa.adjacency(x, q).float())
    for a, b in zip(under, exact, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)
    many = embeddings(128, 3, 256).float(), embeddings(128, 4, 256).float()
    middle = (many[0] @ many[1].T).quantile(0.7).item() / GafaConfig().tau
    near = Gafa(GafaConfig(threshold=middle), 256)  # some are very near to it
    with torch.autocast("cpu", dtype=torch.bfloat16):
        joined = near.adjacency(*many)
    assert torch.equal(joined, many[0] @ many[1].T / near.config.tau > middle)
    double = Gafa(GafaConfig(), 256).double()
    double.load_state_dict(gafa.state_dict())
    for a, b in zip(exact[2:4], double.attention(x, q), strict=True):
        torch.testing.assert_close(a, b.float())  # no autocast of its own either
    assert gafa(x.bfloat16(), q.bfloat16())[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 7}, r"gafa\.hidden is 7; .*gafa\.heads, which is 2"),
        ({"hidden": 0}, r"gafa\.hidden is 0"),
        ({"heads": 0}, r"gafa\.heads is 0; expected 1 or more"),
        ({"output": 5}, r"gafa\.output is 5; expected an even number"),
        ({"output": 0}, r"gafa\.output is 0"),
        ({"tau": 0.0}, r"gafa\.tau is 0\.0; expected more than 0"),
        ({"tau": math.inf}, r"gafa\.tau is inf"),
        ({"neighbours": 0}, r"gafa\.neighbours is 0"),
        ({"graph": "ring"}, r"gafa\.graph is 'ring'; expected one of pair, bipartite"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_the_smallest_settings_are_allowed():
    gafa = make(hidden=1, heads=1, output=2, neighbours=1, tau=1e-3)
    x_fuse, _ = gafa(embeddings(B, 1), embeddings(B, 2))
    assert x_fuse.shape == (B, M + 1)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"pair graph makes one node"):
        make()(embeddings(B, 1), embeddings(B + 1, 2))
    with pytest.raises(ValueError, match=r"^q has shape \(5, 4\)"):
        make("bipartite")(embeddings(B, 1), embeddings(B, 2, M + 1))
    with pytest.raises(ValueError, match=r"^x has shape \(5, 4\)"):
        make("bipartite")(embeddings(B, 1, M + 1), embeddings(B, 2))
    with pytest.raises(ValueError, match=r"pair graph makes one node"):
        make().attention(embeddings(B, 1), embeddings(B + 1, 2))
    with pytest.raises(ValueError, match="there is no attention"):
        make("none").attention(embeddings(B, 1), embeddings(B, 2))
