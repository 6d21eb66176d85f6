"""Measures on logits whose likeness to the truth is known: the exact density, a shifted one, a wide support."""

import numpy as np
import pytest

from lib.runs.likeness import Yardstick, reach, separated
from lib.runs.shapes import SHAPES, draw, grid_points

COUNTS = {"ring": 8, "grid": 25, "spirals": 10, "checkerboard": 100, "two-gaussians": 50}


def yardstick(name, side=None):
    return Yardstick.of(draw(name, 0, COUNTS[name], 5), side or (1000 if name == "two-gaussians" else 300))


def exact(stick):
    return np.log(np.maximum(stick.truth, 1e-300))


@pytest.mark.parametrize("name", SHAPES)
def test_the_exact_density_is_at_distance_zero(name):
    stick = yardstick(name)
    found = stick.density(exact(stick) + 7.0)                   # logits are densities up to a constant
    assert found["tv"] < 1e-9 and found["kl"] < 1e-9
    assert found["inside"] > 0.97


def test_the_exact_density_of_the_line_has_the_known_masses_and_peaks():
    stick = yardstick("two-gaussians")
    found = stick.density(exact(stick))
    assert found["mass"] == pytest.approx([0.5 * 0.998] * 2, abs=0.001)
    assert found["mass_error"] == pytest.approx(np.abs(found["mass"] - 0.5))
    assert found["share"] == pytest.approx([0.5, 0.5], abs=1e-6)
    assert found["peak"] == pytest.approx([19.9, 39.9], abs=0.2) and found["peak_ratio"] == pytest.approx(2, abs=0.01)
    assert (found["offset"] < 0.0006).all()


def test_all_mass_on_the_left_blob_is_half_wrong():
    stick = yardstick("two-gaussians")
    edge = grid_points(1, 1000)[:, 0]
    found = stick.density(np.where(edge < 0.5, exact(stick), -690.0))
    assert found["tv"] == pytest.approx(0.5, abs=1e-6) and found["share"] == pytest.approx([1, 0], abs=1e-6)
    assert found["least_share"] == pytest.approx(0, abs=1e-6) and found["most_share"] == pytest.approx(2, abs=1e-6)
    assert found["kl"] > 100


def test_a_density_shifted_by_a_grid_point_has_its_peaks_off_by_one():
    stick = yardstick("two-gaussians")
    found = stick.density(np.roll(exact(stick), 5))
    assert found["offset"] == pytest.approx([5 / 999] * 2, abs=6e-4)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_equal_logits_give_each_blob_the_area_around_it(name):
    stick = yardstick(name)
    found = stick.density(np.zeros(len(stick.truth)))
    radius = reach(stick.points.centres)
    assert found["share"] == pytest.approx(np.pi * radius**2, rel=0.06)


@pytest.mark.parametrize("name", SHAPES)
def test_the_true_support_has_an_overlap_of_one(name):
    stick = yardstick(name)
    assert stick.accepted(np.where(stick.support, 5.0, -5.0))["iou"] == 1


def test_accepting_everything_overlaps_by_the_share_of_the_support():
    stick = yardstick("checkerboard")
    found = stick.accepted(np.ones(len(stick.truth)))
    assert found["iou"] == pytest.approx(0.3**2 / 2, rel=0.06)          # half of a square of side 0.3


def test_blobs_are_separated_when_each_is_accepted_alone():
    centres = np.array([[0.2, 0.5], [0.5, 0.5], [0.8, 0.5]])
    accepted = np.zeros((11, 11), bool)
    assert separated(accepted, centres) == 0
    accepted[5, 2] = accepted[5, 8] = True
    assert separated(accepted, centres) == pytest.approx(2 / 3)
    accepted[5, 2:6] = True                                             # joins the first two
    assert separated(accepted, centres) == pytest.approx(1 / 3)


def test_ring_blobs_are_found_in_their_own_places():
    stick = yardstick("ring")
    assert stick.accepted(np.where(stick.near.any(0), 1.0, -1.0))["separated"] == 1
    assert stick.accepted(np.where(stick.near[0], 1.0, -1.0))["separated"] == 1 / 8
    assert stick.accepted(np.ones(len(stick.truth)))["separated"] == 0


def test_a_plateau_has_no_valley_and_two_peaks_have_one():
    stick, edge = yardstick("two-gaussians"), grid_points(1, 1000)[:, 0]
    flat = stick.accepted(np.where(abs(edge - 0.5) < 0.2, 4.0, -4.0))
    assert flat["valley"] == pytest.approx(1 / (1 + np.exp(-4))) and flat["separated"] == 0
    peaks = stick.accepted(np.where(stick.support, 4.0, -4.0))
    assert peaks["valley"] == pytest.approx(1 / (1 + np.exp(4))) and peaks["separated"] == 1
    assert peaks["top"] == pytest.approx([1 / (1 + np.exp(-4))] * 2)


def test_logits_of_another_grid_are_refused():
    with pytest.raises(ValueError, match=r"shape \(5,\); expected \(1000,\)"):
        yardstick("two-gaussians").density(np.zeros(5))
