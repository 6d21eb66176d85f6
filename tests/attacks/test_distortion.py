"""The bisection finds the distance to a border that is known."""

import pytest
import torch

from lib.attacks import smallest_change

BORDER = 0.3        # of the mean pixel above 0.4: success beyond 0.7


def score(x):
    return 10 * (x.mean((1, 2, 3)) - 0.7)


def crossed(x):
    return x.mean((1, 2, 3)) > 0.7


@pytest.mark.parametrize("best_iterate", [False, True])
def test_the_distance_to_a_flat_border_is_found(best_iterate):
    x = torch.full((3, 1, 2, 3), 0.4, dtype=torch.float64)
    found, ok = smallest_change(score, crossed, x, rounds=25, steps=200, step_size=0.01, c_max=50.0,
                                best_iterate=best_iterate)
    assert ok.all() and crossed(found).all()
    distance = (found - x).flatten(1).norm(dim=1)
    exact = BORDER * 6 ** 0.5
    assert (distance >= exact).all() and (distance <= 1.05 * exact).all(), distance / exact


def test_the_best_iterate_is_never_farther_than_the_last():
    x = 0.4 + 0.1 * torch.rand(5, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    distance = {best: (smallest_change(score, crossed, x, rounds=6, steps=30, step_size=0.5,
                                       best_iterate=best)[0] - x).norm()
                for best in (False, True)}
    assert distance[True] <= distance[False] + 1e-9


def test_an_image_that_never_succeeds_comes_back_clean_and_says_so():
    x = torch.rand(2, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    found, ok = smallest_change(score, lambda z: torch.zeros(len(z), dtype=torch.bool), x, rounds=2, steps=3)
    assert not ok.any() and torch.equal(found, x)


def test_an_image_that_counts_as_it_is_comes_back_as_it_is_with_success():
    x = torch.stack([torch.full((1, 2, 3), level, dtype=torch.float64) for level in (0.9, 0.4)])
    found, ok = smallest_change(lambda z: -score(z), crossed, x, rounds=3, steps=20, step_size=0.05)
    assert ok.tolist() == [True, False] and torch.equal(found, x)           # the score leads away from the border


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"steps": 0}, {"c_max": -1.0}, {"c_max": float("nan")}])
def test_settings_that_make_no_sense_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        smallest_change(score, crossed, torch.rand(1, 1, 2, 3), **wrong)
