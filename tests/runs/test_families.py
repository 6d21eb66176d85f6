"""Whether the families part, where the answer is known."""

import numpy as np
import pytest

from lib.results import tidy
from lib.runs import families
from lib.runs.outcomes import Pooled


def group(model, right, n=20, eps=0.1) -> Pooled:
    """The first `right` of n images are read as they should be in both draws."""
    predictions = np.where(np.arange(n) < right, 0, 1).astype(np.int8)[None, :, None].repeat(2, 2)
    return Pooled({"model": model, "cells": [{"eps": eps}]},
                  {"index": np.arange(n), "label": np.zeros(n, int), "predictions": predictions})


def test_pairs_meet_on_the_images_that_all_models_have():
    found = families.paired([group("GFZ", 18), group("GBZ", 30, n=40), group("DFX", 2), group("BNN", 20)], 0.1)
    assert list(zip(found.generative, found.other)) == [("GFZ", "DFX"), ("GFZ", "BNN"), ("GBZ", "DFX"), ("GBZ", "BNN")]
    assert set(found.n) == {20} and found.difference.tolist() == pytest.approx([0.8, -0.1, 0.9, 0.0])
    assert (found.low <= found.difference).all() and (found.difference <= found.high + 0.1).all()
    assert families.paired([group("GFZ", 18)], 0.3).empty and families.paired([group("GFZ", 18)], 0.1).empty


@pytest.mark.parametrize("others, kept, above", [
    ({"DFX": 0, "DBX": 2}, "0.0 to 10.0 %", "4 of 4"),
    ({"DFX": 0, "BNN": 15}, "0.0 to 75.0 %", "2 of 4 (none from BNN)"), ({"DFX": 20}, "100.0 %", "0 of 2")])
def test_what_is_shown_of_the_families(others, kept, above):
    groups = [group("GFZ", 17), group("GBZ", 16), *(group(name, right) for name, right in others.items())]
    table = families.shown(groups, (0.1, 0.2))
    assert table.index.tolist() == ["0.1"]
    assert table.loc["0.1"].tolist() == ["80.0 to 85.0 %", kept, above, 0, 20]
    assert families.shown([group("GFZ", 17)]).empty


def test_differences_below_zero_are_counted_too():
    assert families.shown([group("GFZ", 0), group("DFX", 20)]).loc["0.1", "surely below"] == 1


def test_the_network_trained_against_attacks_is_named_with_its_own_attack():
    row = {"metric": "error", "model": "Madry", "detector": "reject 0%", "loss": "Madry (8)", "eps": 0.3,
           "value": 0.142, "low": 0.114, "high": 0.175, "n": 500}
    said = families.against_adversarial_training(tidy([row, row | {"detector": "reject 5%", "value": 0.1}]))
    assert "85.8 % (82.5 to 88.6) of 500 images" in said and "another attack" in said
    assert families.against_adversarial_training(tidy([])).startswith("No network")
