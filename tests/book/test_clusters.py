"""Purity and silhouette of embeddings, and the figures that they stand beside."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mccgaa.data.record import Quality, Record
from mccgaa_book.audit import clusters
from mccgaa_book.plots import embedding

TIGHT = np.array([[1, 0.01], [1, 0.02], [1, 0.03], [0.01, 1], [0.02, 1], [0.03, 1]])
KINDS = np.array(list("aaabbb"))


def test_records_with_exactly_one_label_are_chosen_in_their_order():
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0]])
    index, names = clusters.single_label(labels, ["SR", "AFIB"], most=2)
    assert index.tolist() == [0, 3] and names.tolist() == ["SR", "AFIB"]


def test_purity_counts_the_nearest_others_by_cosine():
    assert clusters.purity(TIGHT, KINDS, neighbours=2) == 1
    assert clusters.purity(10 * TIGHT, KINDS, neighbours=2) == 1
    assert clusters.purity(TIGHT, list("ababab"), neighbours=2) == pytest.approx(1 / 3)
    assert clusters.purity(TIGHT, KINDS) == pytest.approx(2 / 5)  # all five others


def test_chance_is_what_shuffled_labels_would_reach():
    assert clusters.chance(KINDS) == pytest.approx(2 * 3 * 2 / (6 * 5))
    assert clusters.chance(["a"] * 4) == 1


def test_the_silhouette_needs_two_classes_and_one_of_two_records():
    assert clusters.silhouette(TIGHT, KINDS) > 0.9
    assert clusters.silhouette(TIGHT, list("ababab")) < 0
    assert math.isnan(clusters.silhouette(TIGHT, ["a"] * 6))
    assert math.isnan(clusters.silhouette(TIGHT, list("abcdef")))


def test_stages_are_compared_task_by_task():
    stages = {"untrained": {"super": TIGHT[::-1].copy()}, "end": {"super": TIGHT}}
    stages["untrained"]["super"] = TIGHT[[0, 3, 1, 4, 2, 5]]
    table = clusters.agreement(stages, {"super": KINDS})
    row = table.loc["super"]
    assert (row["records"], row["classes"]) == (6, 2)
    assert row["silhouette, end"] > 0.9 > row["silhouette, untrained"]
    assert table["records"].dtype == int


def test_a_task_has_a_row_of_planes_and_rare_classes_are_grey():
    rng = np.random.default_rng(0)
    labels = {"csn": [f"c{i % 9}" for i in range(30)], "super": ["a"] * 20 + ["b"] * 10}
    points = {
        s: {t: rng.normal(size=(30, 2)) for t in labels} for s in ("untrained", "end")
    }
    fig = embedding.planes(points, labels)
    drawn = [ax.get_title() for ax in fig.axes if ax.get_title()]
    assert drawn == ["csn, untrained", "csn, end", "super, untrained", "super, end"]
    legends = [ax.get_legend() for ax in fig.axes if ax.get_legend()]
    first, second = ([t.get_text() for t in one.get_texts()] for one in legends)
    assert len(first) == embedding.NAMED + 1 and first[-1] == "others"
    assert second == ["a", "b"]
    plt.close(fig)


def test_an_ecg_lies_on_paper_above_its_embedding():
    signal, present = np.zeros((12, 1000), np.float32), np.ones(12, bool)
    record = Record("x", signal, 100.0, "mV", present, Quality(0.0, (), 0.0))
    vector = np.linspace(-1, 1, 48)
    fig = embedding.ecg_and_embedding(record, vector)
    paper, band, *_ = fig.axes
    assert np.array_equal(np.asarray(band.images[0].get_array()).ravel(), vector)
    width, height = paper.get_xlim()[1], paper.get_ylim()[1]
    assert width > 250 and height > 60  # millimetres of ten seconds
    plt.close(fig)
