"""The worst of several attacks, fixed beside fresh noise, and the order of the two families, where the answer
is known."""

import numpy as np
import pytest

from lib.results import tidy
from lib.runs import withstood
from lib.runs.outcomes import Pooled


def test_the_worst_attack_is_chosen_and_judged_on_different_draws():
    right = np.ones((2, 2, 10), bool)
    right[1, 0] = False                             # the second attack always fools the first image
    # what looks worst in one half is not in the other
    right[:, 1] = [[True] * 5 + [False] * 5, [False] * 5 + [True] * 5]
    assert withstood.worst_share(right).tolist() == [0, 1]
    assert withstood.worst_share(right[..., :1]).tolist() == [0, 0]


def group(predictions, eps=0.1, index=None, **settings) -> Pooled:
    predictions = np.asarray(predictions, np.int8)[None]
    return Pooled({"model": "GBZ", "cells": [{"eps": eps, "variant": "ours"}]} | settings, {
        "index": np.arange(len(predictions[0])) if index is None else np.array(index),
        "label": np.zeros(len(predictions[0]), int), "predictions": predictions})


def test_fixed_noise_is_laid_beside_fresh_noise_on_the_images_that_both_have():
    fixed, fresh = group([[1], [1], [0]]), group([[0, 0], [0, 1]], index=[0, 1])
    table = withstood.fixed_beside_fresh([fixed], {"strong": [fresh]}).set_index("noise")
    assert table.value.to_dict() == {"fixed": 0, "fresh": 0.75} and table.n.tolist() == [2, 2]
    said = withstood.noise_in_words(table.reset_index(), draws=4)
    assert "GBZ keeps 75.0 %" in said and "too few draws (4), or the noise is the defence" in said
    assert withstood.fixed_beside_fresh([fixed], {"strong": [group([[0]], eps=0.2)]}).empty


@pytest.mark.parametrize("other, low, said",
                         [(0.1, 0.0, "beyond the intervals"), (0.1, 0.55, "though the intervals overlap"),
                          (0.8, 0.0,
                           "not every generative model stands above every other, and no model of either "
                           "kind keeps more than 80.0 %")])
def test_families_are_ordered_by_the_lowest_and_the_highest(other, low, said):
    key = {"metric": "accuracy", "eps": 0.1, "n": 10}
    rows = tidy([key | {"model": model, "value": 0.6, "low": 0.5, "high": 0.7} for model in withstood.GENERATIVE]
                + [key | {"model": "DFX", "value": other, "low": low, "high": max(other, low) + 0.01}])
    assert said in withstood.more_robust_in_words(rows, 0.1)
    assert withstood.more_robust_in_words(rows, 0.3) == "At eps 0.3 there are no rows yet to tell."
