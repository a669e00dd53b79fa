"""The hyper-parameters of each baseline, told a second time."""

import math
from dataclasses import asdict

import pytest
from toy_baselines import batch, make

from mccgaa.errors import ConfigError
from mccgaa_book.baselines import registry
from mccgaa_book.baselines.config import VIEWS

# What each method is trained with, beside what all have: who changes a number here has
# to say in the module's docstring where the new one comes from.
OWN = {
    "random": {},
    "simclr": {"temperature": 0.1, "dim": 128},
    "byol": {"decay": 0.99, "dim": 256, "widen": 2, "predictor": True},
    "barlow-twins": {"off_diagonal": 0.0051, "widen": 2},
    "moco-v3": {"temperature": 0.2, "decay": 0.99, "dim": 256, "widen": 2},
    "simsiam": {"narrow": 4, "stop_gradient": True},
    "ts-tcc": {
        **{"moments": 32, "ahead": 12, "width": 100, "depth": 4, "heads": 4},
        **{"segments": 8, "scale": 0.1, "weak_noise": 0.05, "strong_noise": 0.2},
        **{"temporal": 1.0, "contextual": 0.7, "tau": 0.2, "unit": True},
    },
    "clocs": {"coding": "cmsc", "tau": 0.1, "dim": 256},
    "astcl": {
        "augmentations": ("wander", "hum", "muscle", "noise"),
        **{"band": (0.67, 30.0), "leads": 8, "moments": 8, "hidden": 512},
        **{"bottleneck": 128, "reversal": 0.1, "warm_up": 0.1},
    },
    "crt": {
        **{"patch": 0.2, "band": 2.0, "highest": 50.0, "dropped": (0.3, 0.8)},
        **{"constraint": 1e-4, "width": 256, "depth": 5, "heads": 4},
        "decoder_depth": 2,
    },
    "st-mem": {
        **{"warmup": 0.05, "patch": 0.3, "masked": 0.75, "width": 256, "depth": 5},
        **{"heads": 4, "decoder_depth": 2},
    },
}
COMMON = {"lr": 1e-3, "weight_decay": 1e-4, "warmup": 0.0, "strength": 1.0}


@pytest.mark.parametrize("name", OWN)
def test_hyper_parameters_are_those_that_are_told_and_the_rest_all_methods_share(name):
    given = asdict(registry.settings(name))
    views = given.pop("augmentations")
    assert given == COMMON | {k: v for k, v in OWN[name].items() if k in given}
    assert set(OWN[name]) <= {*given, "augmentations"}
    assert views == OWN[name].get("augmentations", VIEWS)
    assert list(OWN) == registry.trained_here()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, {"lr": -1.0}) for name in OWN),
        *((name, {"warmup": 1.5}) for name in OWN),
        ("simclr", {"temperature": 0.0}),
        ("moco-v3", {"temperature": 0.0}),
        ("moco-v3", {"decay": 1.5}),
        ("moco-v3", {"widen": 0}),
        ("byol", {"decay": -0.1}),
        ("byol", {"decay": 1.5}),
        ("byol", {"widen": 0}),
        ("barlow-twins", {"off_diagonal": -0.1}),
        ("barlow-twins", {"widen": 0}),
        ("st-mem", {"masked": -0.1}),
        ("st-mem", {"masked": 0.0}),
        ("st-mem", {"masked": 1.1}),
        ("ts-tcc", {"temporal": -1.0}),
        ("ts-tcc", {"contextual": -1.0}),
        ("simsiam", {"narrow": 0}),
        *(("crt", {key: 0}) for key in ("width", "depth", "heads", "decoder_depth")),
        ("crt", {"constraint": -1.0}),
        *(
            ("ts-tcc", {key: 0})
            for key in ("ahead", "width", "depth", "heads", "segments")
        ),
        ("ts-tcc", {"tau": 0.0}),
        ("astcl", {"leads": 0}),
        ("astcl", {"leads": 13}),
        ("astcl", {"moments": 1}),
        ("astcl", {"reversal": -0.1}),
        ("astcl", {"warm_up": 1.1}),
        ("astcl", {"hidden": 0}),
        ("astcl", {"bottleneck": 0}),
        ("simclr", {"dim": 1}),
        ("byol", {"dim": 1}),
        ("moco-v3", {"dim": 1}),
        ("st-mem", {"patch": 0.0}),
        ("st-mem", {"patch": math.inf}),
        ("simclr", {"temperature": math.inf}),
        *(("crt", {key: 0.0}) for key in ("patch", "band", "highest")),
        *(("ts-tcc", {key: -1.0}) for key in ("scale", "weak_noise", "strong_noise")),
        *(("st-mem", {key: 0}) for key in ("width", "depth", "heads", "decoder_depth")),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_its_name(name, given):
    ((key, value),) = given.items()
    said = rf"^baselines\.settings\.{name}\.{key} is {value}; expected (more than )?\d"
    with pytest.raises(ConfigError, match=said):
        registry.settings(name, given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("byol", {"widen": 1, "decay": 0.0}),
        ("byol", {"decay": 1.0}),
        ("moco-v3", {"widen": 1, "decay": 1.0}),
        ("barlow-twins", {"widen": 1, "off_diagonal": 0.0}),
        ("st-mem", {"masked": 1.0, "width": 4, "depth": 1, "heads": 1}),
        ("st-mem", {"decoder_depth": 1, "masked": 1 / 6}),  # one of six patches
        ("st-mem", {"patch": 1.0, "masked": 0.5}),  # one of two
        ("crt", {"constraint": 0.0, "dropped": (0.0, 0.0), "decoder_depth": 1}),
        ("crt", {"width": 1, "depth": 1, "heads": 1}),
        ("ts-tcc", {"ahead": 1, "moments": 2, "width": 1, "depth": 1, "heads": 1}),
        ("ts-tcc", {"segments": 1, "scale": 0, "weak_noise": 0, "strong_noise": 0}),
        ("astcl", {"leads": 1, "moments": 2, "reversal": 0.0, "warm_up": 0.0}),
        ("astcl", {"leads": 12, "hidden": 1, "bottleneck": 4, "warm_up": 1.0}),
        *((name, {"dim": 2}) for name in ("clocs", "simclr", "byol", "moco-v3")),
        ("simsiam", {"narrow": 1}),
    ],
)
def test_the_ends_of_a_range_belong_to_it(name, given):
    made = asdict(registry.settings(name, given))
    assert {key: made[key] for key in given} == given
    learner = make(name, **given).train()
    loss = learner.loss(batch())["loss"]
    loss.backward()
    steepest = max(
        p.grad.abs().max() for p in learner.parameters() if p.grad is not None
    )
    assert loss.isfinite() and steepest > 0


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        (
            "st-mem",
            {"masked": 0.16},
            r"masked is 0\.16; expected 1/6 or more: a lead has",
        ),
        ("st-mem", {"patch": 1.1}, r"patch is 1\.1; expected half of a record or less"),
        (
            "ts-tcc",
            {"moments": 8, "ahead": 3},
            r"moments is 8; expected 7 or fewer: the",
        ),
        (
            "astcl",
            {"moments": 8},
            r"moments is 8; expected 7 or fewer: the encoder's map",
        ),
    ],
)
def test_a_setting_with_which_a_record_teaches_nothing_is_refused(name, given, said):
    with pytest.raises(ConfigError, match=rf"^baselines\.settings\.{name}\.{said}"):
        make(name, **given)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("astcl", {"band": (30.0, 30.0)}, r"astcl\.band .* the lower first"),
        ("astcl", {"band": (0.0, 30.0)}, r"astcl\.band .* the lower first"),
        ("crt", {"dropped": (0.5, 0.4)}, r"crt\.dropped .* the smaller first"),
        ("crt", {"dropped": (-0.1, 0.4)}, r"crt\.dropped .* the smaller first"),
        ("crt", {"dropped": (0.5, 1.0)}, r"crt\.dropped .* the smaller first"),
        (
            "ts-tcc",
            {"moments": 12},
            r"ts-tcc\.moments is 12; .* than baselines\.settings\.ts-tcc\.ahead, ",
        ),
        ("ts-tcc", {"width": 99}, r"ts-tcc\.width is 99; expected a multiple of 4"),
        ("crt", {"width": 99}, r"crt\.width is 99; expected a multiple of 4"),
        ("st-mem", {"width": 36}, r"st-mem\.width is 36; expected a multiple of 8: 4"),
        ("st-mem", {"width": 258, "heads": 3}, r"st-mem\.width is 258; .* of 12: 3"),
        ("st-mem", {"width": 2, "heads": 1}, r"st-mem\.width is 2; .* of 4: 1 heads"),
        ("astcl", {"bottleneck": 6}, r"astcl\.bottleneck is 6; .* a multiple of 4"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(name, given, said):
    with pytest.raises(ConfigError, match=rf"^baselines\.settings\.{said}"):
        registry.settings(name, given)


OTHER_VIEWS = ["clocs", "ts-tcc", "crt", "st-mem", "random"]  # or none


@pytest.mark.parametrize("name", OWN)
def test_a_setting_that_would_do_nothing_is_refused(name):
    for key, value in {"strength": 0.5, "augmentations": ("noise",)}.items():
        if name not in OTHER_VIEWS:
            assert getattr(registry.settings(name, {key: value}), key) == value
            continue
        said = rf"^baselines\.settings\.{name}\.{key} is .* left out: it does nothing"
        with pytest.raises(ConfigError, match=said):
            registry.settings(name, {key: value})
    registry.settings(
        name, {"strength": 1.0, "augmentations": OWN[name].get("augmentations", VIEWS)}
    )
