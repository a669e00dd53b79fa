"""The torso: exact lead identities, lead fields, rotations, the electrical axis."""

import numpy as np
import pytest

from mccgaa_twin import anatomy, simulate, torso


@pytest.mark.parametrize(
    "codes", [["NORM", "SR"], ["CLBBB", "AFIB"], ["IMI", "PVC", "STACH"], ["PACE"]]
)
def test_einthoven_and_goldberger_hold_exactly_before_noise(codes):
    signal, _ = simulate.simulate_record(codes, np.random.default_rng(1), source=None)
    lead = dict(zip(torso.LEADS, signal, strict=True))
    bound = 1e-12
    assert np.abs(lead["I"] + lead["III"] - lead["II"]).max() < bound
    assert np.abs(lead["aVR"] + (lead["I"] + lead["II"]) / 2).max() < bound
    assert np.abs(lead["aVL"] - (lead["I"] - lead["III"]) / 2).max() < bound
    assert np.abs(lead["aVF"] - (lead["II"] + lead["III"]) / 2).max() < bound
    assert np.abs(lead["aVR"] + lead["aVL"] + lead["aVF"]).max() < bound


def test_electrode_noise_keeps_the_identities_up_to_rounding():
    signal, _ = simulate.simulate_record(["NORM", "SR"], np.random.default_rng(2))
    step = 0.005
    assert np.abs(signal[1] - signal[0] - signal[2]).max() < 1e-9
    assert np.abs(signal[3] + (signal[0] + signal[1]) / 2).max() <= step / 2 + 1e-9


def test_the_centre_of_the_heart_sees_dowers_matrix():
    fields = torso.lead_fields(np.zeros((1, 3)))
    np.testing.assert_allclose(fields[0], torso.DOWER, atol=1e-12)


def test_a_place_near_an_electrode_is_seen_more_strongly_by_it():
    near = torso.CHEST[2] * 0.4  # towards V3
    field = torso.lead_fields(near[None])[0]
    row = torso.INDEPENDENT.index("V3")
    assert np.linalg.norm(field[row]) > 1.5 * np.linalg.norm(torso.DOWER[row])
    np.testing.assert_allclose(field[:2], torso.DOWER[:2])  # limbs are far


def test_rotation_about_the_back_turns_left_to_the_feet():
    turned = torso.rotation((0, 0, 1), 90) @ np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(turned, [0.0, 1.0, 0.0], atol=1e-12)


def test_rotation_keeps_lengths_and_angles():
    turn = torso.rotation((0.3, -2.0, 1.0), 77)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


@pytest.mark.parametrize("angle", [-150, -60, 0, 45, 90, 170])
def test_the_axis_of_a_frontal_vector_is_its_angle(angle):
    x, y = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    # In Einthoven's triangle lead I is the x part, aVF sqrt(3)/2 of the y part.
    found = torso.frontal_axis(np.array([x]), np.array([np.sqrt(3) / 2 * y]))
    assert found == pytest.approx(angle)


def test_segments_face_outward_and_territories_name_them():
    assert len(anatomy.SEGMENTS) == len(anatomy.MASS) == len(anatomy.PLACES) == 22
    np.testing.assert_allclose(np.linalg.norm(anatomy.NORMALS, axis=1), 1.0)
    facing = dict(zip(anatomy.SEGMENTS, anatomy.NORMALS, strict=True))
    assert facing["mid inferior"][1] > 0.8  # to the feet
    assert facing["mid inferolateral"][2] > 0.3  # to the back
    assert facing["RV free wall"][0] < -0.5 and facing["RV free wall"][2] < -0.3
    assert facing["apical lateral"][0] > 0.5  # to the left
    for name in anatomy.TERRITORIES:
        assert anatomy.weights(name).sum() == len(anatomy.TERRITORIES[name])
