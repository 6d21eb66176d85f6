"""Trainings of other seeds: which are compared, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from lib.metrics import correct
from lib.profiles import profile
from lib.results import read_record, select, write_record
from lib.runs import spread
from lib.runs.training import checkpoint
from lib.runs.units import LISTED

CELLS = [{"attack": "clean"}, {"attack": "pgd", "norm": "linf", "eps": 0.1}]


def outcome(folder, model, seed, right, images=None):
    """A record in which the first `right` images of each cell are read as they should be."""
    n = 10 if images is None else len(images)
    predictions = np.stack([np.where(np.arange(n) < count, 0, 1) for count in right])[..., None].repeat(2, 2)
    write_record(folder / f"smoke/spread/{model}_seed{seed}_00000-{n:05d}.npz",
                 {"index": np.arange(n, dtype=np.int32) if images is None else np.array(images, np.int32),
                  "label": np.zeros(n, np.int8), "predictions": predictions.astype(np.int8),
                  "log_joint": np.zeros((2, n, 10), np.float32), "l2": np.zeros((2, n), np.float32),
                  "linf": np.zeros((2, n), np.float32)},
                 {"experiment": "spread", "dataset": "digits", "model": model, "variant": "", "attack": "pgd, mim",
                  "protocol": "published", "seed": seed, "attack_seed": seed, "profile": "smoke", "cells": CELLS,
                  "dtype": "float32", "data": "digits", "weights": "", "seconds": 0.0, "commit": "", "device": "",
                  "torch": ""})


def test_two_trainings_are_attacked_alike_and_told_apart(tmp_path):
    for seed in (0, 1):
        rows = spread.spread("smoke", seed, results=tmp_path, only=f"DFX_seed{seed}_00000-00004")
        assert seed in set(rows.seed) and checkpoint("DFX", "smoke", seed, "", tmp_path).exists()
    one, two = (read_record(tmp_path / f"smoke/spread/DFX_seed{seed}_00000-00004.npz") for seed in (0, 1))
    assert np.array_equal(one["index"], two["index"]) and one.settings["weights"] != two.settings["weights"]
    attacked = [cell for cell in one.settings["cells"] if cell["attack"] != "clean"]
    assert [(c["attack"], c["eps"]) for c in attacked] == [
        (attack, eps) for attack in ("pgd", "mim") for eps in profile("smoke").spread_eps]
    assert (one["linf"][0] == 0).all() and (one["linf"][1:].max(1) <= [c["eps"] + 1e-6 for c in attacked]).all()
    table = spread.by_seed("smoke", tmp_path)
    assert table.loc[("DFX", "pgd", 0.1), 1] == pytest.approx(correct(two["predictions"], two["label"])[1].mean())
    assert set(select(rows, metric="accuracy").attack) == {"clean", "pgd", "mim"}


def test_models_that_decode_are_repeated_after_the_shortened_training_where_their_own_is_longer():
    assert {model: spread.training_of(model, "laptop") for model in ("GFZ", "DFZ", "DFX", "BNN")} == {
        "GFZ": "shortened", "DFZ": "shortened", "DFX": "", "BNN": ""}
    assert spread.training_of("GFZ", "paper") == "" == spread.training_of("GFZ", "smoke")


def test_an_order_holds_only_if_no_meeting_of_trainings_turns_it(tmp_path):
    for model, counts in {"GFZ": (9, 8), "GBZ": (8, 6), "DFX": (5, 1)}.items():
        for seed, count in enumerate(counts):
            outcome(tmp_path, model, seed, (10, count))
    table = spread.by_seed("smoke", tmp_path)
    assert table.loc[("GBZ", "pgd", 0.1), [0, 1]].tolist() == [0.8, 0.6] and len(table) == 6
    assert table.loc[("GBZ", "pgd", 0.1), "by_trainings"] == pytest.approx(0.2 / np.sqrt(2))
    difference = np.array([0] * 6 + [1, 1, 0, 0])           # image by image, between the two trainings of GBZ
    assert table.loc[("GBZ", "pgd", 0.1), "by_chance"] == pytest.approx(difference.std(ddof=1) / np.sqrt(2 * 10))
    order = spread.orders("smoke", tmp_path).set_index(["better", "worse"])
    assert order.always.to_dict() == {("GFZ", "GBZ"): False, ("GFZ", "DFX"): True, ("GBZ", "DFX"): True}
    assert order.least["GBZ", "DFX"] == pytest.approx(0.1) and set(order.meetings) == {4}
    sides = spread.families("smoke", tmp_path).iloc[0]
    assert (sides.generative, sides.other, sides.which) == (pytest.approx(0.6), 0.5, ("GBZ", "DFX"))
    assert spread.gaps_in_words("smoke", tmp_path).startswith("at most 40.0 points (DFX under PGD at 0.1)")
    line = spread.parted("smoke", tmp_path).loc[("PGD", "0.1")]
    assert line.tolist() == ["2 of 3 pairs", "60.0 % (GBZ)", "50.0 % (DFX)", 10]
    assert "10" in set(spread.shown(table).n.astype(str))


def test_trainings_meet_on_the_images_that_all_of_them_have(tmp_path):
    outcome(tmp_path, "GFZ", 0, (10, 9))
    outcome(tmp_path, "GFZ", 1, (4, 2), images=[0, 1, 2, 9])
    table = spread.by_seed("smoke", tmp_path)
    assert table.n.tolist() == [4, 4] and table.loc[("GFZ", "pgd", 0.1), [0, 1]].tolist() == [0.75, 0.5]


def test_one_training_alone_says_nothing(tmp_path):
    outcome(tmp_path, "GFZ", 0, (10, 9))
    assert spread.by_seed("smoke", tmp_path).empty and spread.orders("smoke", tmp_path).empty
    assert spread.gaps_in_words("smoke", tmp_path).startswith("There are no rows yet")
    assert spread.parted("smoke", tmp_path).empty
    assert isinstance(spread.shown(spread.by_seed("smoke", tmp_path)), pd.DataFrame)


def test_all_trainings_that_are_compared_are_planned():
    """The page shows seeds 0, 1, ...: a batch must not leave the later ones to the page itself."""
    planned = spread.spread("smoke", only=LISTED).unit
    assert {name.split("_")[1] for name in planned} == {f"seed{s}" for s in range(profile("smoke").repeats)}
