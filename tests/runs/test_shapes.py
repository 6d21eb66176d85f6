"""The point sets of appendix F: moments, supports and densities that are known."""

import numpy as np
import pytest

from lib.runs import shapes
from lib.runs.shapes import SHAPES, draw, grid_points

PLANE = [name for name, shape in SHAPES.items() if shape.dimension == 2]
COUNTS = {"ring": 800, "grid": 1000, "spirals": 1000, "checkerboard": 1000, "two-gaussians": 500}


def points(name, seed=0, negatives=300):
    return draw(name, seed, COUNTS[name], negatives)


def test_the_line_has_two_blobs_of_the_published_moments():
    x = draw("two-gaussians", 0, 20_000, 10).positives[:, 0]
    left, right = x[x < 0.5], x[x > 0.5]
    assert len(left) == len(right) == 10_000
    assert (left.mean(), right.mean()) == pytest.approx((0.4, 0.6), abs=3e-4)
    assert (left.std(), right.std()) == pytest.approx((0.01, 0.005), rel=0.02)


def test_the_true_density_of_the_line_peaks_at_19_9_and_39_9():
    found = points("two-gaussians").density(np.array([[0.4], [0.6]]))
    assert found == pytest.approx([0.5 / (0.01 * np.sqrt(2 * np.pi)), 0.5 / (0.005 * np.sqrt(2 * np.pi))])


def test_negatives_of_the_line_leave_the_published_hole():
    x = points("two-gaussians", negatives=5000).negatives[:, 0]
    assert len(x) == 5000 and (0 <= x).all() and (x <= 1).all() and not ((x > 0.3) & (x < 0.7)).any()
    assert (x < 0.5).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("name", PLANE)
def test_positives_in_the_plane_fill_the_published_middle_of_the_square(name):
    x, scale = points(name).positives, SHAPES[name].scale
    assert x.min() == pytest.approx(0.5 - scale / 2) and x.max() == pytest.approx(0.5 + scale / 2)


@pytest.mark.parametrize("name", PLANE)
def test_negatives_in_the_plane_keep_their_distance_from_the_box_of_the_positives(name):
    found = points(name)
    low, high = found.positives.min(0) - 0.05, found.positives.max(0) + 0.05
    assert len(found.negatives) == 300 and not ((found.negatives > low) & (found.negatives < high)).all(1).any()


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "grid"])       # narrower than any affordable grid
def test_a_density_integrates_to_one(name):
    side = 20_001 if SHAPES[name].dimension == 1 else 1000
    found = points(name).density(grid_points(SHAPES[name].dimension, side))
    assert found.sum() / (side - 1) ** SHAPES[name].dimension == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ["two-gaussians", "ring"])
def test_probabilities_of_cells_are_the_density_where_cells_are_narrow(name):
    found, side = points(name), 1000
    density = found.density(grid_points(SHAPES[name].dimension, side))
    np.testing.assert_allclose(found.probabilities(side), density / density.sum(),
                               atol=0.01 * density.max() / density.sum())


def test_blobs_narrower_than_a_cell_keep_their_probability():
    cells = points("grid").probabilities(101).reshape(101, 101)
    assert cells.sum() == pytest.approx(1)
    assert np.sort(cells.ravel())[:-100].sum() < 1e-6         # at most the four cells around each of 25 centres


@pytest.mark.parametrize("name", SHAPES)
def test_positives_lie_in_the_support_and_where_the_density_is_high(name):
    found = points(name)
    blobs = found.centres is not None           # 3 standard deviations hold 99.7 % on the line, 98.9 % in the plane
    assert found.support(found.positives).mean() > (0.97 if blobs else 0.995)
    assert np.median(found.density(found.positives)) > 5 and not found.support(found.negatives).any()


@pytest.mark.parametrize("name", SHAPES)
def test_the_share_of_points_in_a_part_of_the_support_is_its_probability(name):
    found = draw(name, 1, 20_000, 10)
    grid, cells = grid_points(SHAPES[name].dimension, 1000), found.probabilities(1000)
    left = (grid[:, 0] < 0.47) & (grid[:, -1] < 0.51)
    mine = (found.positives[:, 0] < 0.47) & (found.positives[:, -1] < 0.51)
    assert mine.mean() == pytest.approx(cells[left].sum(), abs=0.012)


def test_ring_and_grid_have_equal_blobs_around_the_published_centres():
    for name, count, first in (("ring", 8, [1, 0]), ("grid", 25, [0, 0])):
        found = points(name)
        assert found.centres.shape == (count, 2)
        np.testing.assert_allclose(found.own(found.centres)[0], first, atol=1e-12)
        nearest = np.square(found.positives[:, None] - found.centres).sum(2).argmin(1)
        assert np.bincount(nearest).tolist() == [COUNTS[name] // count] * count


def test_the_second_arm_mirrors_the_first():
    raw = SHAPES["spirals"].sample(np.random.default_rng(0), 10)
    np.testing.assert_allclose(raw[5:], -raw[:5])


def test_a_seed_gives_the_same_points_and_another_seed_others():
    one, again, other = points("spirals"), points("spirals"), points("spirals", seed=1)
    assert np.array_equal(one.positives, again.positives) and np.array_equal(one.negatives, again.negatives)
    assert not np.array_equal(one.positives, other.positives)


@pytest.mark.parametrize("name, positives, negatives, said", [
    ("moons", 10, 10, "unknown point set 'moons'; expected one of two-gaussians"),
    ("ring", 10, 10, "10 points cannot be shared by 8 blobs"), ("grid", 0, 10, "0 points"),
    ("spirals", 7, 10, "7 points cannot be shared by 2 arms"), ("checkerboard", 0, 10, "0 points"),
    ("ring", 8, 0, "0 negatives"), ("spirals", 0, 10, "0 points")])
def test_sets_that_cannot_be_drawn_are_refused(name, positives, negatives, said):
    with pytest.raises(ValueError, match=said):
        draw(name, 0, positives, negatives)


def test_the_map_into_the_square_and_back_is_one():
    found = points("ring")
    there = shapes.into(found.shape, found.own(found.positives), found.low, found.span)
    np.testing.assert_allclose(there, found.positives)
