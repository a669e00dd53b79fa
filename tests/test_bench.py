"""The benchmarks compute what they say they time."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from benchmark import BENCH, load

from mccgaa import runtime
from mccgaa.attention import GraphAttention
from mccgaa_book.speed import on_one_gpu


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the GPU benchmark finds in tiny sizes, with nothing to compile.

    On a CPU it is measured in float32, also by one that has bfloat16, in which tiny
    networks have gradients of their own.
    """
    path = tmp_path_factory.mktemp("bench") / "gpu.json"
    asked = ["--small", "--variants=eager,pooled", f"--json={path}", "--seconds=600"]
    with mock.patch.object(runtime, "has_bf16", lambda device: device.type == "cuda"):
        load("gpu").main(asked)
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_section_of_the_gpu_benchmark_runs(found):
    failed = {name: row for name, row in found.items() if "error" in str(row)}
    assert not failed
    assert found["complete"]
    assert not found["skipped"]
    assert {"facts", "store", "limit", "score"} <= found.keys()
    assert {"profile eager", "profile pooled"} <= found.keys()
    for name in ("usual loop", "usual loop, cached texts", "train eager 8", "short"):
        assert found[name]["samples_per_second"] > 0
        assert len(found[name]["windows"]) >= 3


def test_a_step_of_the_benchmark_is_the_step_of_the_package(found):
    for name in ("train eager 8", "train pooled 8"):
        for what, error in found[name]["beside_the_package_in_fp32"].items():
            assert error < (1e-4 if found["facts"]["device"] == "cpu" else 0.1), what


def test_what_no_longer_fits_the_time_is_named(tmp_path):
    path = tmp_path / "gpu.json"
    load("gpu").main(["--small", "--variants=eager", f"--json={path}", "--seconds=0"])
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["skipped"].keys() == {"facts", "store"}


def test_the_least_traffic_of_a_step_is_that_of_its_maps():
    config = load("gpu").Sizes().config(1).model
    layers = {one["layer"]: one for one in load("traffic").needs(config)}
    assert len(layers) == 21
    # 64 channels at 2500 moments, in 2 bytes: a convolution and its two gradients
    # touch two such maps each, normalisation and ReLU touch eight.
    assert layers["0.0.0"]["bytes"] == 6 * 2 * 64 * 2500
    assert layers["0.0.0"]["bytes_after"] == 8 * 2 * 64 * 2500
    assert layers["0.0.0"]["flops"] == 3 * 2 * 64 * 64 * 3 * 2500
    assert layers["stem"]["flops"] == 2 * 2 * 12 * 64 * 7 * 2500


def test_the_readme_says_what_was_recorded_on_a_gpu():
    """A table by hand goes with the record that it is of."""
    text = (BENCH / "README.md").read_text(encoding="utf-8")
    recorded = json.loads((BENCH / "gpu.json").read_text(encoding="utf-8"))
    table = on_one_gpu()
    for way in table.itertuples():
        row = f"| {way[1]:,} | {way[2]:.1f} |".replace("| 1.0 |", "| 1 |")
        assert row in text, way.Index
    limit = recorded["limit"]
    for name in ("share_of_memory_limit", "share_of_both"):
        assert f"{100 * limit[name]:.0f} %" in text, name
    assert f"{table['minutes'].iloc[-1]:.1f} minutes" in text
    assert recorded["facts"]["device"].split()[-1] in text


def test_the_readme_says_what_was_recorded_on_cpus():
    """Figures in sentences go with the records that they are of."""
    text = " ".join((BENCH / "README.md").read_text(encoding="utf-8").split())
    found = {
        name: json.loads((BENCH / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("training", "classify", "growth", "gpu", "throughput")
    }
    each = found["gpu"]["limit"]["gflop_per_sample"]  # of a training step at 12 x 5000
    loops = found["training"]["settings"][0]["loops"]
    ours, cached = (each * loops[n]["ecg_per_second"] for n in ("ours", "cached"))
    wanted = loops["cached"]["wanted"]
    core = found["classify"]["limit"]
    product = core["matrix_product_gflop_per_second"]
    warm = found["classify"]["warm_ms"]["100"]
    rows = {case: [] for case in ("one", "million", "same", "processes")}
    for row in found["growth"]["rows"]:
        speed = row["records"] / row["epoch_seconds"]
        if (row["records"], row["batch"], row["sampling_rate"]) == (10_000, 64, 25):
            rows["same"].append(speed)
        if row["axis"] == "records" and row["records"] in (1000, 10**6):
            rows["one" if row["records"] == 1000 else "million"].append(speed)
        if row["axis"] == "processes":
            rows["processes"].append((row["samples_per_second"], speed))
    (one,), (million,) = rows["one"], rows["million"]
    low, middle, high = (f"{speed:,.0f}" for speed in sorted(rows["same"]))
    alone, both = rows["processes"]
    window, epoch = (two / one for one, two in zip(alone, both, strict=True))
    for said in (
        f"{ours:.0f} GFLOP per second, the loop with kept vectors {cached:.0f}; ",
        f"would be {wanted * cached:.0f}, and",
        f"reaches {product:.0f} on one such core",
        f"so {2 * product:.0f} at most on two",
        f"{warm['whole']:.1f} CPU ms for a warm ECG at 100 Hz",
        f"The encoder is {warm['encode']:.1f} of them",
        f"it does {core['encoder_gflop']:.2f} GFLOP",
        f"would take {core['encoder_at_that_speed_ms']:.1f} ms",
        f"runs {million / one:.1f} times as fast as one of a thousand",
        f"with {low}, {middle} and {high} ECGs per second",
        f"{window:.1f} times one by the median of windows, {epoch:.2f} times by",
        f"({found['throughput']['ratio']} times)",
    ):
        assert said in text, said


@pytest.mark.parametrize("graph", ["pair", "bipartite"])
def test_the_benchmark_of_gafa_takes_masks_and_edges_in_turns(graph, monkeypatch):
    taken = []
    forward = GraphAttention.forward

    def watched(layer, nodes, links, **options):
        taken.append("edges" if isinstance(links, torch.Tensor) else "masks")
        return forward(layer, nodes, links, **options)

    monkeypatch.setattr(GraphAttention, "forward", watched)
    found = load("gafa").measure(graph, 6, 3, torch.device("cpu"))
    once = ["masks", "masks", "edges", "edges"]
    assert taken[:8] == ["masks"] * 4 + ["edges"] * 4, "what is kept, then a step"
    assert taken[8:] == once * 4
    assert found["ratio"] > 0 < found["masks_kept_mb"]


def test_what_is_kept_is_counted_once():
    x = torch.randn(5, requires_grad=True)
    kept = load("gafa").kept_bytes
    assert kept(lambda: x.exp()) == 20
    assert kept(lambda: x.exp().square()) == 20  # the result of exp, for both
    assert kept(lambda: x.exp().sin().exp()) == 40
    assert kept(lambda: x + 1) == 0


def test_growth_counts_an_epoch_of_a_store_that_is_made_up():
    growth = load("growth")
    case = growth.Case("records", records=4000, batch=8, sampling_rate=10)
    whole = growth.measure(replace(case, records=80), seconds=60)
    assert whole["whole"]
    assert whole["windows"] == 5
    assert whole["epoch_seconds"] > whole["start_seconds"]
    part = growth.measure(case, seconds=0)
    assert not part["whole"]
    assert part["windows"] == 5, "whose median is the speed"
    # 250 of 500 steps were taken, and stand for all of them.
    speed = 4000 / (part["epoch_seconds"] - part["start_seconds"])
    assert speed == pytest.approx(part["samples_per_second"], rel=0.4)


def test_a_made_up_store_repeats_its_records():
    store = load("growth").MadeUpStore(1000, 7)
    out = store.raw([0, 256, 999, 3], np.empty((4, 12, 7), np.int16))
    assert (out[0] == out[1]).all()
    assert (out[2] == store.some[999 % 256]).all()
    assert (out[0] != out[3]).any()
    assert store.signals.shape == (1000, 12, 7)


def test_science_pairs_runs_and_sets_them_beside_the_spread_over_seeds(tmp_path):
    science = load("science")
    index = pd.MultiIndex.from_product(
        [["a", "b", "c"], ["0", "1"]], names=["variant", "seed"]
    )
    plain = pd.Series([70.0, 72.0, 60.0, 62.0, 65.0, 67.0], index)
    near = plain[plain.index.get_level_values("seed") == "0"] + [1.0, -1.0, 0.3]
    found = science.compare(plain, near)
    assert found["difference"] == pytest.approx(0.1) and found["within"]
    assert found["spread_over_seeds"] == pytest.approx(2**0.5, abs=0.01)
    assert len(found["pairs"]) == 3 and found["seeds"] == 2
    half = 4.3027 * np.std([1.0, -1.0, 0.3], ddof=1) / 3**0.5  # t of 95 %, 2 degrees
    assert found["low"] == pytest.approx(0.1 - half, abs=0.01)
    assert found["high"] == pytest.approx(0.1 + half, abs=0.01)
    assert not science.compare(plain, near + 3)["within"]
    assert not science.compare(plain, 2 * near - plain + 1.5)["within"], "the spread"
    steady = plain + np.array([0.3] * 5 + [0.31])
    assert not science.compare(plain, steady)["within"], "the interval"
    # A third seed of one variant: its deviations count as often as there are of them.
    more = pd.concat([plain, pd.Series([71.0], pd.Index([("a", "2")]))])
    more.index.names = plain.index.names
    spread = science.compare(more, near)["spread_over_seeds"]
    assert spread == pytest.approx((6 / 4) ** 0.5, abs=0.01)
    with pytest.raises(SystemExit, match="2 runs"):
        science.compare(plain, near[:2])
    with pytest.raises(SystemExit, match="One seed of each variant"):
        science.compare(near, near)


def test_science_says_of_which_runs_it_is_and_pairs_no_others(tmp_path, capsys):
    rows = ["variant,seed,split,task,class,metric,value"]
    rows += [f"a,{seed},test,super,,auroc,{70 + seed}" for seed in range(3)]
    made = {"trained": ["cpu"], "data": {"p/s": {"fingerprint": "f"}}, "when": "now"}
    of = {"profile_hash": "h", "method": 1, "seconds": 1}
    for name in ("slow", "quick"):
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
        stamp = {"command": name} | made | of
        (tmp_path / f"{name}.json").write_text(json.dumps(stamp))
        rows = [row.replace(",71", ",75") for row in rows]
    files = [str(tmp_path / name) for name in ("slow.csv", "quick.csv", "out.json")]
    load("science").main([*files[:2], "--json", files[2]])
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["plain"]["command"] == "slow" and found["fast"]["command"] == "quick"
    assert found["plain"].keys() == {"command", "trained", "data", "when"}
    assert found["pairs"][1] == {"variant": "a", "seed": "1", "plain": 71, "fast": 75}
    said = capsys.readouterr().out
    assert "difference +1.33 [-4.40, +7.07] over 3 pairs" in said
    assert "over 3 seeds 1.0: BEYOND it" in said

    def again(**change):
        (tmp_path / "quick.json").write_text(json.dumps(stamp | change))
        load("science").main(files[:2])

    again(data=made["data"] | {"q/s": {"fingerprint": "of another profile"}})
    data = {"p/s": {"fingerprint": "g"}}
    for change in ({"data": data}, {"profile_hash": "i"}, {"method": 2}):
        with pytest.raises(SystemExit, match=r"quick.csv .* other settings or data"):
            again(**change)


def test_science_reads_means_over_tasks_of_the_test_split(tmp_path):
    path = tmp_path / "zeroshot.csv"
    path.write_text(
        "variant,seed,split,task,class,metric,value\n"
        "a,0,test,super,,auroc,70\na,0,test,sub,,auroc,80\na,0,val,sub,,auroc,1\n"
        "a,0,test,sub,MI,auroc,2\na,0,test,sub,,auprc,3\n,,test,sub,,records,9\n"
    )
    assert load("science").means(path).to_dict() == {("a", "0"): 75.0}


def gafa_rows(script: ModuleType, path: Path) -> None:
    with mock.patch.object(sys, "argv", ["gafa.py", "--batch", "4", f"--json={path}"]):
        script.main()


# script -> what is slow in it, what stands for that, what is run, its line's name
LONG = {
    "twin": ("rate", {"records_per_second": 1.0}, lambda s, _: s.measure(1), "dataset"),
    "classify": ("fresh", (0.1, 0.1), lambda s, _: s.cold(1), "new processes"),
    "throughput": ("stepper", lambda: 0.1, lambda s, _: s.measure(steps=2), "steps"),
    "gafa": (
        "measure",
        dict.fromkeys(
            ("masks_ms", "edges_ms", "ratio", "masks_kept_mb", "edges_kept_mb"), 1.0
        ),
        gafa_rows,
        "graphs",
    ),
    "packing": (
        "peak_memory",
        dict.fromkeys(("records", "store_mb", "packer_mb", "workers_mb"), 1),
        lambda s, _: s.measure_files(Namespace(records=6, sizes=[1, 2])),
        "stores",
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_benchmark_says_how_far_it_is_and_only_on_stderr(
    name, monkeypatch, tmp_path, capsys
):
    script, (slow, found, work, line) = load(name), LONG[name]
    monkeypatch.setattr(script, slow, lambda *args, **options: found)
    work(script, tmp_path / "out.json")
    told = capsys.readouterr()
    assert line in told.err and "100%" in told.err
    assert "%|" not in told.out and line not in told.out


def test_measuring_tables_says_how_far_it_is(monkeypatch, capsys):
    packing = load("packing")
    monkeypatch.setattr(packing, "write_tables", lambda *args: None)
    done = Namespace(stdout='a line\n{"imports_mb": 1, "read_mb": 2}\n')
    monkeypatch.setattr(packing.subprocess, "run", lambda *args, **options: done)
    assert packing.measure_tables(10)["read_mb"] == 2
    told = capsys.readouterr()
    assert "tables: 100%" in told.err and not told.out


def test_pages_say_how_far_two_ways_of_training_were_apart():
    readme = (BENCH / "README.md").read_text(encoding="utf-8").split("\n\n")
    book = (BENCH.parent / "book" / "reproducing.md").read_text(encoding="utf-8")
    for name in ("science", "science-plain"):
        path = BENCH / f"{name}.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        texts = [part for part in readme if f"`{name}.json`" in part]
        if name == "science-plain":
            texts += [part for part in book.split("\n\n") if "plain_runs.py" in part]
            assert len(texts) == 2
        assert texts
        for said in (" ".join(text.split()) for text in texts):
            assert f"differs by {found['difference']:.2f} " in said
            interval = f"{found['low']:.1f} to {found['high']:.1f}"
            assert f"(95 % interval {interval})" in said
            assert f"{found['spread_over_seeds']:.1f}" in said
        assert found["within"], "they say that the science is the same"
