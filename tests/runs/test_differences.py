"""Small experiments on stored outcomes, on outcomes made by hand whose answers are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.detectors import KL
from lib.profiles import Training, profile
from lib.runs import differences
from lib.runs.outcomes import Pooled

def outcomes(predictions, label, **more) -> Pooled:
    """A group with cells at eps 0.1, 0.2, ... from predictions (cell, image, draw)."""
    predictions = np.asarray(predictions, np.int8)
    cells = [{"eps": 0.1 * (i + 1), "variant": f"c={10 ** i}"} for i in range(len(predictions))]
    arrays = {"index": np.arange(len(label)), "label": np.asarray(label, np.int8), "predictions": predictions} | more
    return Pooled({"model": "GFZ", "attack": "pgd", "cells": cells}, arrays)


def clean_group(images: int = 4000, classes: int = 10) -> Pooled:
    """Log joints of a classifier that is certain of the right class, with a little spread."""
    rng = np.random.default_rng(0)
    label = rng.integers(classes, size=images)
    scores = rng.normal(size=(images, classes)).astype(np.float32)
    scores[np.arange(images), label] += 12
    return Pooled({"model": "GFZ"}, {"test_log_joint": scores, "test_label": label})


def test_the_index_fault_makes_a_useless_detector_look_good_unless_every_attack_succeeds():
    group = clean_group()
    detector = KL.fit(torch.from_numpy(group["test_log_joint"]), torch.from_numpy(group["test_label"]), fpr=0.05)
    table = differences.null_attack(group, detector)
    assert (table["right"] - 0.05).abs().max() < 0.03
    assert table.loc["50%", "published script"] > 0.8
    assert table.loc["100%", "published script"] == pytest.approx(table.loc["100%", "right"])


def test_the_true_class_is_deaf_from_nineteen_nats_at_the_latest_and_all_classes_are_at_a_hundred_and_five():
    table = differences.softmax_gradient(torch.tensor([16.0, 19.0, 105.0]))
    assert table["true class"].iloc[0] < 0 and table["true class"].iloc[1] == 0
    assert table["each other class"].iloc[1] > 0 and table["each other class"].iloc[2] == 0


def test_attacks_are_compared_on_the_images_that_all_of_them_got():
    weak = outcomes([[[0], [0], [0], [0]]], [0, 0, 0, 0])
    strong = outcomes([[[1], [0]]], [0, 0], index=np.array([3, 1]))
    table = differences.same_images({"pgd": weak, "strong": strong}, eps=0.1)
    assert table.accuracy.tolist() == [1.0, 0.5] and table.n.tolist() == [2, 2]
    assert table.gain["strong"] == pytest.approx(0.5) and table.low["strong"] < 0.5 < table.high["strong"]


def test_the_worst_attack_of_each_image_stands_beside_the_attacks():
    weak, strong = outcomes([[[0] * 4, [1] * 4]], [0, 0]), outcomes([[[1] * 4, [0] * 4]], [0, 0])
    groups = [replace(g, settings=g.settings | {"attack": name})
              for name, g in (("pgd", weak), ("mim", weak), ("strong", strong))]
    line = differences.side_by_side(groups, ["GFZ"], radii=(0.1,)).iloc[0]
    assert (line["pgd"], line["strong"], line[differences.WORST]) == (0.5, 0.5, 0)


def test_the_strongest_attack_of_two_has_an_interval_that_allows_for_the_choice():
    """Of three that are equally good, the better of two is surely better than the first in 2.5 % of cases at most."""
    rng, missed, narrow = np.random.default_rng(0), 0, 0
    for _ in range(400):
        label = np.zeros(40, int)
        groups = {name: outcomes(rng.integers(2, size=(1, 40, 1)), label) for name in ("pgd", "mim", "strong")}
        groups = {name: replace(g, settings=g.settings | {"attack": name}) for name, g in groups.items()}
        line = differences.side_by_side(list(groups.values()), ["GFZ"], radii=(0.1,)).iloc[0]
        alone = differences.same_images(groups, 0.1)
        missed, narrow = missed + (line.low > 0), narrow + (alone.low[alone.gain.idxmax()] > 0)
    assert missed / 400 <= 0.025 < narrow / 400


def test_what_a_vanished_gradient_explains_follows_from_margins_and_from_the_longer_attack():
    same = pd.DataFrame({"pgd": [0.4], "mim": [0.1], "drop": [0.3], "n": [20.0]},
                        index=pd.MultiIndex.from_tuples([("GFZ", "0.3")], names=["model", "eps"]))
    zero = pd.DataFrame({"value": [0.0]})
    said = differences.fault_in_words(same, {"GFZ": np.array([1.0, 2.0, 20.0])}, zero)
    assert "33.3 % of its margins" in said and "takes 30.0 points" in said and "explains little" in said
    assert "may explain a part" in differences.fault_in_words(same.assign(mim=0.4), {"GFZ": np.array([20.0])}, zero)
    assert differences.fault_in_words(pd.DataFrame(), {}, zero) == ""


def test_a_radius_that_was_not_run_is_refused_with_those_that_were():
    with pytest.raises(LookupError, match="no cell at eps 0.7"):
        differences.cell_at(outcomes([[[0]]], [0]), 0.7)


def test_judging_by_every_draw_the_mean_or_any_draw_gives_what_the_draws_say():
    draws = [[0] * 10, [0] * 5 + [1] * 5, [1] * 10]
    line = differences.verdict_rules(outcomes([draws], [0, 0, 0])).iloc[0]
    assert line["right in every draw"] == pytest.approx(1 / 3) and line["right in any draw"] == pytest.approx(2 / 3)
    assert line["mean of the draws"] == pytest.approx(0.5) and line["majority"] == pytest.approx(2 / 3)
    assert line["draws disagree"] == pytest.approx(1 / 3)


def test_a_kept_image_that_fresh_draws_read_rightly_was_a_lucky_draw():
    draws = [[0] * 10, [1] * 10, [0] * 10]                       # lucky; truly fooled; returned clean
    line = differences.lucky_draws(outcomes([draws], [0, 0, 0], l2=np.array([[1.0, 2.0, 0.0]]))).iloc[0]
    assert line["kept"] == pytest.approx(2 / 3) and line["n"] == 2
    assert line["still wrong"] == pytest.approx(0.5) and line["by majority"] == pytest.approx(0.5)


def test_the_margin_is_the_true_class_less_the_best_other():
    scores = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 9.0]])
    group = Pooled({"model": "DFX"}, {"test_log_joint": scores, "test_label": np.array([0, 1])})
    assert differences.margins([group])["DFX"].tolist() == [1.0, -4.0]


def test_trainings_are_compared_on_the_images_that_both_have():
    mine, short = (outcomes([[[0, 0], [1, 1], [2, 0]]], [0, 1, 2]),
                   outcomes([[[0, 0], [0, 0], [2, 0], [5, 5]]], [0, 1, 2, 3]))
    table = differences.by_training([mine], [short])
    line = table.loc["pgd", "GFZ", "0.1"]
    assert (line["as trained here"], line["shortened"], line.n) == pytest.approx((2.5 / 3, 0.5, 3))
    assert line["drop"] == pytest.approx(1 / 3) and line.low < line["drop"] < line.high
    assert differences.by_training([mine], []).empty


def test_what_a_shorter_training_changes_is_said_of_pgd_and_of_models_that_have_both(monkeypatch):
    mine, short = outcomes([[[0]], [[0]], [[0]]], [0]), outcomes([[[0]], [[0]], [[1]]], [0])
    monkeypatch.setattr(differences, "stored",
                        lambda experiment, *at: {"schedule": [short], "whitebox": [mine]}[experiment])
    said = differences.by_training_in_words("laptop", 0)
    assert said == ("after a tenth of the training, under published PGD at eps 0.3, "
                    "GFZ 0 % instead of 100 % of the first 1 images survive")
    monkeypatch.setattr(differences, "stored", lambda *at: [])
    assert differences.by_training_in_words("laptop", 0) == "no shortened training has been attacked yet"


def test_the_length_of_every_training_is_said(monkeypatch):
    assert differences.trainings_in_words("paper") == (
        "all of the published 120,000 updates into GFZ, GFY, GBZ, GBY, DFZ, DFX, DBX and BNN")
    lengths = {"decoder": Training(120_000), "GBY": Training(7), "DFZ": Training(7), "other": Training(2)}
    monkeypatch.setattr(differences, "profile_of", lambda name: replace(profile("smoke"), trainings=lengths))
    assert differences.trainings_in_words("laptop") == (
        "all of the published 120,000 updates into GFZ, GFY and GBZ, 7 into GBY and DFZ and 2 into DFX, DBX and BNN")


def test_claims_that_fail_by_models_of_a_shorter_training_alone_are_named(monkeypatch):
    lengths = {"decoder": Training(120_000), "GBY": Training(7), "other": Training(120_000)}
    monkeypatch.setattr(differences, "profile_of", lambda name: replace(profile("smoke"), trainings=lengths))
    assert differences.shorter("laptop") == ("GBY",)
    lines = pd.DataFrame({"id": ["a", "b", "c"], "verdict": ["fails", "fails", "holds"]})
    without = lines.assign(verdict=["undecided", "fails", "holds"])
    assert differences.resting_on_shorter(lines, without) == "a"
    assert differences.resting_on_shorter(lines, lines) == "none"
    held = lines.assign(verdict=["holds as published", "holds", "fails"])
    assert differences.resting_on_shorter(held, lines, "holds") == "a and b"
