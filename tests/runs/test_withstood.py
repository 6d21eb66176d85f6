"""The worst of several attacks, and fixed beside fresh noise, where the answer is known."""

import numpy as np

from lib import metrics
from lib.runs import withstood
from lib.runs.outcomes import Pooled


def test_the_worst_attack_is_chosen_and_judged_on_different_draws():
    right = np.ones((2, 2, 10), bool)
    right[1, 0] = False                             # the second attack always fools the first image
    # what looks worst in one half is not in the other
    right[:, 1] = [[True] * 5 + [False] * 5, [False] * 5 + [True] * 5]
    assert metrics.worst_share(right).tolist() == [0, 1]
    assert metrics.worst_share(right[..., :1]).tolist() == [0, 0]


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
