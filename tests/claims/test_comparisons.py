"""Two sides against each other: by intervals, and image by image where there are records."""

from dataclasses import replace

import numpy as np
import pytest

from lib import claims, results
from lib.claims.evidence import combine
from tests.claims.rows import WHITE, compare, evidence, row, store, write


@pytest.mark.parametrize("above, truth", [(0.8, True), (0.52, None), (0.2, False)])
def test_a_comparison_without_records_uses_the_two_intervals(above, truth):
    rows = [row(above if m == "GFZ" else 0.5, model=m, attack="pgd", eps=e) for m in ("GFZ", "DFX") for e in (0.1, 0.2)]
    assert claims.judge(compare(), evidence(*rows)).truth is truth


def test_pairing_over_images_decides_what_two_intervals_cannot(tmp_path):
    hard = np.arange(400) % 2 == 0
    easier = hard | (np.arange(400) < 40)                   # every image that DFX reads GFZ reads too
    rows = write(tmp_path, "GFZ", [easier] * 2) + write(tmp_path, "DFX", [hard] * 2)
    assert claims.judge(compare(), evidence(*rows)).truth is None
    found = claims.judge(compare(), store(tmp_path, *rows))
    assert found.truth is True and found.ours.startswith("+5.0 points") and found.n == 400


def test_blocks_of_images_are_joined_and_only_shared_images_are_compared(tmp_path):
    rows = write(tmp_path, "GFZ", np.ones((2, 100))) + write(tmp_path, "DFX", np.zeros((2, 50)))
    write(tmp_path, "DFX", np.zeros((2, 30)), first=50)
    found = claims.judge(compare(), store(tmp_path, *rows))
    assert found.truth is True and found.n == 80 and found.ours.startswith("+100.0 points")


def test_the_worst_of_attacks_is_taken_image_by_image(tmp_path):
    half = np.arange(100) < 50
    rows = write(tmp_path, "GFZ", [half, ~half]) + write(tmp_path, "DFX", [half, half])
    test = compare(worst=["eps"], above={"model": ["DFX"]}, below={"model": ["GFZ"]})
    found = claims.judge(test, store(tmp_path, *rows))
    assert found.truth is True and found.ours.startswith("+50.0 points")      # no image survives both eps on GFZ


def test_saturated_cells_are_left_out():
    rows = [row(v, model=m, attack="pgd", eps=e) for m, e, v in (
        ("GFZ", 0.1, 0.99), ("DFX", 0.1, 0.98), ("GFZ", 0.2, 0.8), ("DFX", 0.2, 0.1))]
    assert claims.judge(compare(), evidence(*rows)).truth is None
    assert claims.judge(compare(skip_saturated=True), evidence(*rows)).truth is True
    assert "saturated" in claims.judge(compare(skip_saturated=True, eps=[0.1]), evidence(*rows)).why


@pytest.mark.parametrize("other, truth", [(0.5, None), (0.51, None), (0.9, False)])
def test_alike_needs_the_whole_interval_within_the_margin(other, truth):
    rows = [row(v, model=m, attack="pgd", eps=e) for m, v in (("GFZ", 0.5), ("DFX", other)) for e in (0.1, 0.2)]
    assert claims.judge(compare(within=0.05), evidence(*rows)).truth is truth


def test_alike_is_true_for_models_that_read_the_same_images(tmp_path):
    half = np.arange(400) % 2 == 0
    rows = write(tmp_path, "GFZ", [half] * 2) + write(tmp_path, "DFX", [half] * 2)
    assert claims.judge(compare(within=0.05), store(tmp_path, *rows)).truth is True


def test_another_training_seed_that_turns_the_order_round_leaves_it_open(tmp_path):
    high, low = np.arange(300) < 200, np.arange(300) < 100
    rows = write(tmp_path, "GFZ", [high] * 2) + write(tmp_path, "DFX", [low] * 2)
    assert claims.judge(compare(), store(tmp_path, *rows)).truth is True
    rows += write(tmp_path, "GFZ", [low], seed=1, eps=(0.2,)) + write(tmp_path, "DFX", [high], seed=1, eps=(0.2,))
    found = claims.judge(compare(mean=["eps"]), store(tmp_path, *rows))
    assert found.truth is None and "training seed" in found.why and found.seeds == 2


def test_other_training_seeds_that_agree_are_counted(tmp_path):
    high, low = np.arange(300) < 200, np.arange(300) < 100
    rows = [r for seed, eps in ((0, (0.1, 0.2)), (1, (0.1,)), (2, (0.1,)))
            for model, right in (("GFZ", high), ("DFX", low))
            for r in write(tmp_path, model, [right] * len(eps), seed=seed, eps=eps)]
    found = claims.judge(compare(mean=["eps"]), store(tmp_path, *rows))
    assert found.truth is True and found.seeds == 3


def test_smallest_radii_are_compared_image_by_image(tmp_path):
    rows = write(tmp_path, "GFZ", np.ones((2, 50))) + write(tmp_path, "DFX", np.zeros((2, 50)))
    rows += [row(v, n=50, metric="min_eps", model=m, attack="pgd") for m, v in (("GFZ", 0.3), ("DFX", 0.1))]
    test = compare(metric="min_eps", by=0.05)
    del test["eps"]
    found = claims.judge(test, store(tmp_path, *rows))
    assert found.truth is True and found.ours.startswith("+0.200")


def test_a_seed_that_only_one_model_of_a_side_has_is_left_out(tmp_path):
    """The mean over GFZ and GFY needs both: a second training of one of them must not leave the claim waiting."""
    high, low = np.arange(300) < 200, np.arange(300) < 50
    rows = [r for model, right in (("GFZ", high), ("GFY", high), ("DFX", low))
            for r in write(tmp_path, model, [right] * 2)]
    rows += write(tmp_path, "GFZ", [low] * 2, seed=1)
    found = claims.judge(compare(mean=["model"], above={"model": ["GFZ", "GFY"]}), store(tmp_path, *rows))
    assert found.truth is True, found.why


def test_a_pair_that_surely_refutes_decides_also_where_another_changes_with_the_seed(tmp_path):
    right, wrong = np.ones((2, 60), bool), np.zeros((2, 60), bool)
    rows = write(tmp_path, "GFZ", right) + write(tmp_path, "DFX", wrong) + write(tmp_path, "GFZ", wrong, seed=1)
    rows += write(tmp_path, "DFX", right, seed=1)
    turned = claims.judge(compare(), store(tmp_path, *rows))
    assert turned.truth is None and "changes with the training seed" in turned.why
    rows += write(tmp_path, "GBZ", wrong) + write(tmp_path, "DFZ", right)
    found = claims.judge(compare(above={"model": ["GFZ", "GBZ"]}, below={"model": ["DFX", "DFZ"]}),
                         store(tmp_path, *rows))
    assert found.truth is False and "GBZ − DFZ" in found.why


def test_a_mean_over_models_does_not_change_with_its_members():
    rows = [row(v, metric="detect_kl", model=m, eps=e) for m, values in (("GBZ", (0.9, 0.9)), ("GFZ", (np.nan, 0.1)))
            for e, v in zip((0.1, 0.2), values)]
    test = {"kind": "compare", **WHITE, "metric": "detect_kl", "model": ["GBZ", "GFZ"], "mean": ["model"],
            "above": {"eps": 0.1}, "below": {"eps": 0.2}}
    found = claims.judge(test, evidence(*rows))
    assert found.truth is None and found.ours.startswith("0.0 points")     # of GBZ alone, which did not change
    assert claims.judge(test | {"model": ["GFZ"]}, evidence(*rows)).why == (
        "waits for a successful attack that both sides share (whitebox: detect_kl)")


def test_an_order_that_trainings_of_one_length_turn_round_stays_open(tmp_path):
    """lib.runs.spread repeats the published attacks on trainings of other seeds; there the main seed counts too."""
    right, wrong = np.ones((2, 60), bool), np.zeros((2, 60), bool)
    rows = write(tmp_path, "GFZ", right) + write(tmp_path, "DFX", wrong)
    assert claims.judge(compare(), store(tmp_path / "alone", *rows)).truth is True
    for seed, (one, other) in enumerate([(right, wrong), (wrong, wrong), (right, right)]):
        rows += write(tmp_path, "GFZ", one, seed, experiment="spread")
        rows += write(tmp_path, "DFX", other, seed, experiment="spread")
    found = claims.judge(compare(), store(tmp_path, *rows))
    assert found.truth is None and "seeds 1 and 2 after trainings of one length give −100.0 points" in found.why


def test_a_ledger_without_some_models_believes_nothing_of_them(tmp_path):
    right, wrong = np.ones((2, 60), bool), np.zeros((2, 60), bool)
    rows = write(tmp_path, "GFZ", wrong) + write(tmp_path, "DFX", right) + write(tmp_path, "GBZ", right)
    rows += write(tmp_path, "DFZ", right)
    test, evidence = compare(above={"model": ["GFZ", "GBZ"]}), store(tmp_path, *rows)
    assert claims.judge(test, evidence).truth is False
    found = claims.judge(test, replace(evidence, without=("GFZ",), _known={}))
    assert found.truth is None and "GFZ" in found.why


def test_the_worst_attack_of_an_image_is_chosen_on_other_draws_than_it_is_judged_on(tmp_path):
    """Two attacks that both leave half of the draws right, at random: neither is worse, and luck must not count."""
    rng = np.random.default_rng(0)
    for attack in ("pgd", "mim"):
        predictions = rng.integers(0, 2, (1, 300, 10)).astype(np.int8)
        results.write_record(tmp_path / f"laptop/whitebox/GFZ_{attack}_seed0_0.npz",
                             {"index": np.arange(300), "label": np.zeros(300, np.int8), "predictions": predictions,
                              "l2": np.ones((1, 300))},
                             {"dataset": "mnist", "profile": "laptop", "seed": 0, "experiment": "whitebox",
                              "model": "GFZ", "protocol": "published",
                              "cells": [{"attack": attack, "norm": "linf", "eps": 0.1}]})
    keys = WHITE | {"metric": "accuracy", "model": "GFZ", "eps": 0.1}
    cells = [keys | {"attack": attack} for attack in ("pgd", "mim")]
    found = store(tmp_path, row(0.5, model="GFZ", attack="pgd", eps=0.1))
    assert abs(found.worst(cells).mean() - 0.5) < 0.02 and found.worst(cells[:1]).equals(found.images(cells[0]))
    assert combine([found.images(cell) for cell in cells], worst=True).mean() < 0.43
