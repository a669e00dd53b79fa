"""Golden numbers: what three training steps of every variant give.

Made by commit 561e3a8, those of statements by 6402111, in float32 with one thread.
They are the definition of `mccgaa.config.METHOD`: whoever changes them must raise
METHOD, because every run, result and page made before is then the work of another
method.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mccgaa.config import METHOD, ModelConfig
from mccgaa.model import MCCGAA
from mccgaa.settings import from_dict, merge

SETTINGS = {
    "input": {"sampling_rate": 100, "duration": 1.0},
    "encoder": {
        "widths": [12, 12, 16, 16],
        "embedding_dim": 12,
        "pool_heads": 2,
        "positions": 5,
    },
    "text": {"encoder": "none: vectors are given", "dim": 6, "hidden": 5},
    "gafa": {"hidden": 8, "output": 4, "heads": 2},
}
VARIANTS: dict[str, dict] = {
    "pair": {},
    "bipartite": {"gafa": {"graph": "bipartite"}},
    "none": {"gafa": {"graph": "none"}},
    "neighbours": {"gafa": {"neighbours": 2}},
    "one-sided": {"loss": {"kind": "one-sided"}},
    "clip": {"loss": {"kind": "clip"}},
    "siglip": {"loss": {"kind": "siglip"}},
    "siglip, learned tau": {"loss": {"kind": "siglip", "learn_tau": True}},
    "cam none": {"encoder": {"cam": "none"}},
    "double-sigmoid": {"encoder": {"gate": "double-sigmoid"}},
    "pool mean": {"encoder": {"pool": "mean"}},
    "minmax": {"input": {"scaling": "minmax"}},
    "statements": {"gafa": {"graph": "none"}, "loss": {"kind": "statements"}},
    "statements, learned tau": {
        "gafa": {"graph": "bipartite"},
        "loss": {
            "kind": "statements",
            "tau": 0.1,
            "learn_tau": True,
            "uma_weight": 0.0,
        },
    },
}

# Of AdamW, as section 4.1 has it.
STEPS, LR, BETAS, DECAY, EPS = 3, 1e-3, (0.9, 0.999), 1e-8, 1e-8

# "losses": L, L_cma and L_uma of each step; "ecg" and "text": the first four numbers
# of the first record's embeddings after the last step.
GOLDEN: dict[str, dict[str, list]] = {
    "pair": {
        "losses": [
            [12.54107, 4.654422, 7.886647],
            [11.6938, 5.041947, 6.65185],
            [9.313345, 4.48639, 4.826956],
        ],
        "ecg": [-0.1988086, 0.3658074, 0.02344333, 0.2684966],
        "text": [-0.4570467, -0.5452092, -0.2580081, -0.2309825],
    },
    "bipartite": {
        "losses": [
            [13.15324, 6.376082, 6.777163],
            [12.40369, 6.871871, 5.531817],
            [14.3175, 6.866337, 7.451159],
        ],
        "ecg": [-0.1822953, 0.3638004, 0.01078049, 0.267115],
        "text": [-0.4585799, -0.5382954, -0.2497261, -0.23669],
    },
    "none": {
        "losses": [
            [11.59426, 4.928687, 6.665569],
            [9.731036, 4.59869, 5.132346],
            [10.25269, 4.285859, 5.966835],
        ],
        "ecg": [-0.1997384, 0.3607484, 0.02218337, 0.2660345],
        "text": [-0.4584914, -0.5429222, -0.2564563, -0.2306417],
    },
    "neighbours": {
        "losses": [
            [12.52667, 4.640019, 7.886647],
            [10.94749, 4.312796, 6.634699],
            [8.898154, 4.013321, 4.884833],
        ],
        "ecg": [-0.2043968, 0.364467, 0.02685428, 0.2640913],
        "text": [-0.4570875, -0.5452802, -0.2597595, -0.2315692],
    },
    "one-sided": {
        "losses": [
            [13.6466, 5.647989, 7.998608],
            [11.78055, 5.064707, 6.715847],
            [10.2771, 4.635752, 5.64135],
        ],
        "ecg": [-0.2018043, 0.3714936, 0.02548086, 0.2675638],
        "text": [-0.4562002, -0.5463257, -0.2593227, -0.2323439],
    },
    "clip": {
        "losses": [
            [6.270535, 2.327211, 3.943323],
            [5.846898, 2.520974, 3.325923],
            [4.656673, 2.243195, 2.413479],
        ],
        "ecg": [-0.1988086, 0.3658074, 0.02344335, 0.2684966],
        "text": [-0.4570467, -0.5452092, -0.2580081, -0.2309825],
    },
    "siglip": {
        "losses": [
            [19.17252, 10.90692, 8.265594],
            [20.71339, 12.84304, 7.870351],
            [17.77072, 11.2707, 6.500023],
        ],
        "ecg": [-0.212609, 0.3566917, 0.006164228, 0.2680261],
        "text": [-0.4629263, -0.5352007, -0.2523679, -0.2273743],
    },
    "siglip, learned tau": {
        "losses": [
            [19.17252, 10.90692, 8.265594],
            [20.71236, 12.84488, 7.867476],
            [17.76516, 11.26967, 6.49549],
        ],
        "ecg": [-0.2126098, 0.3566911, 0.006164488, 0.2680256],
        "text": [-0.4629266, -0.5352005, -0.2523678, -0.2273743],
    },
    "cam none": {
        "losses": [
            [10.07284, 4.255848, 5.816994],
            [11.27088, 4.197088, 7.073792],
            [8.82702, 4.393804, 4.433216],
        ],
        "ecg": [-0.4831702, -0.1800885, 0.210591, 0.2390635],
        "text": [-0.2760187, -0.1692322, 0.2305481, 0.4098051],
    },
    "double-sigmoid": {
        "losses": [
            [11.90366, 4.63575, 7.267913],
            [10.32561, 5.082504, 5.243106],
            [10.21927, 4.211616, 6.007659],
        ],
        "ecg": [-0.2010326, 0.3665355, 0.02247922, 0.2633821],
        "text": [-0.4577993, -0.5433748, -0.2572742, -0.2307331],
    },
    "pool mean": {
        "losses": [
            [11.5525, 5.194548, 6.357951],
            [12.52646, 6.576199, 5.95026],
            [9.860412, 4.984191, 4.876221],
        ],
        "ecg": [-0.3144701, -0.6268664, 0.309213, -0.1311587],
        "text": [0.5695412, 0.4310145, -0.1910893, 0.1363336],
    },
    "minmax": {
        "losses": [
            [13.40731, 4.975111, 8.432201],
            [11.63519, 5.370279, 6.264914],
            [11.59846, 5.12778, 6.470676],
        ],
        "ecg": [-0.2073362, 0.3732707, 0.02628102, 0.2665479],
        "text": [-0.456719, -0.5440399, -0.2557971, -0.2290607],
    },
    "statements": {
        "losses": [
            [22.30166, 15.63609, 6.665569],
            [26.5889, 21.44028, 5.148622],
            [25.66331, 19.58544, 6.077872],
        ],
        "ecg": [-0.2204954, 0.3591438, 0.009422828, 0.2448614],
        "text": [-0.465084, -0.5379097, -0.2488794, -0.229847],
    },
    "statements, learned tau": {
        "losses": [
            [12.2843, 12.2843, 0.0],
            [18.60786, 18.60786, 0.0],
            [17.2144, 17.2144, 0.0],
        ],
        "ecg": [-0.2287939, 0.3589674, 0.01652753, 0.2310834],
        "text": [-0.46344, -0.5294653, -0.2413084, -0.236323],
    },
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batch(step: int) -> tuple[Tensor, Tensor]:
    """Six ECGs of twelve leads and one second, and the vectors of their texts."""
    generator = torch.Generator().manual_seed(100 + step)
    signals = torch.randn(6, 12, 100, generator=generator)
    return signals, torch.randn(6, 6, generator=generator)


def statements(step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same ECGs, vectors of five statements, targets, and weights of mean 1."""
    signals, vectors = batch(step)
    generator = torch.Generator().manual_seed(200 + step)
    targets = (torch.rand(6, 5, generator=generator) < 0.4).float()
    return signals, vectors[:5], targets, torch.tensor([0.5, 1.5, 1.0, 0.8, 1.2])


def train(config: ModelConfig) -> dict[str, list]:
    """Train a fresh model for three steps of AdamW, written out by hand."""
    torch.manual_seed(0)
    model = MCCGAA(config).train()
    parameters = list(model.parameters())
    means = [torch.zeros_like(p) for p in parameters]
    squares = [torch.zeros_like(p) for p in parameters]
    losses = []
    for step in range(1, STEPS + 1):
        torch.manual_seed(step)  # the dropout of eq 31
        model.zero_grad()
        of_sets = config.loss.kind == "statements"
        output = model(*(statements(step) if of_sets else batch(step)))
        output.loss.backward()
        losses.append([output.loss.item(), output.cma.item(), output.uma.item()])
        with torch.no_grad():
            for p, m, v in zip(parameters, means, squares, strict=True):
                if p.grad is None:
                    continue  # of the views of eq 31, where L_uma has no weight
                m.mul_(BETAS[0]).add_((1 - BETAS[0]) * p.grad)
                v.mul_(BETAS[1]).add_((1 - BETAS[1]) * p.grad**2)
                m_hat, v_hat = m / (1 - BETAS[0] ** step), v / (1 - BETAS[1] ** step)
                p.mul_(1 - LR * DECAY).sub_(LR * m_hat / (v_hat.sqrt() + EPS))
    signals, vectors = batch(0)
    with torch.no_grad():
        ecg, text = model.eval().encode_ecg(signals), model.encode_text(vectors)
    return {
        "losses": losses,
        "ecg": ecg[0, :4].tolist(),
        "text": text[0, :4].tolist(),
    }


def test_the_golden_numbers_belong_to_this_method() -> None:
    assert METHOD == 1, "new METHOD: make the golden numbers anew with its code"
    assert GOLDEN.keys() == VARIANTS.keys()


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_gives_the_numbers_of_this_method(variant: str) -> None:
    settings = merge(SETTINGS, VARIANTS[variant])
    made = train(from_dict(ModelConfig, settings, "model"))
    for name, expected in GOLDEN[variant].items():
        torch.testing.assert_close(
            torch.tensor(made[name]),
            torch.tensor(expected),
            rtol=1e-4,
            atol=1e-6,
            msg=lambda text, name=name: f"{variant}, {name}: {text}; see METHOD",
        )
