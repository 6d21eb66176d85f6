"""The attack experiments: their records do not depend on how the work is cut, and their rows follow from
the records."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.metrics import correct
from lib.results import one, read_record, select
from lib.runs import averaging, carlini, clean, outcomes, precision, samples, strong, whitebox
from lib.runs.training import training
from lib.runs.victims import Victim, first_images

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of the smoke profile with two trained models: one that decodes images and one that does not."""
    path = tmp_path_factory.mktemp("results")
    for model in ("GFZ", "DBX"):
        training("smoke", results=path, only=f"{model}_seed0")
        clean.clean("smoke", results=path, only=clean.unit(model, 0))
    return path


@pytest.mark.parametrize("model", ["GFZ", "DBX"])
@pytest.mark.parametrize("attack", ["fgsm", "pgd", "mim", "strong"])
def test_cutting_the_work_into_other_units_gives_the_same_numbers(folder, model, attack):
    size = Victim.load(model, "smoke", 0, CPU, folder).batch
    whole, _ = whitebox.compute(model, attack, 0, 0, 2 * size, "smoke", folder, CPU)
    parts = [whitebox.compute(model, attack, 0, i * size, (i + 1) * size, "smoke", folder, CPU)[0] for i in range(2)]
    for name in ("predictions", "log_joint", "l2", "linf"):
        assert np.array_equal(whole[name], np.concatenate([p[name] for p in parts], axis=1)), name


def test_perturbations_keep_to_their_radius(folder):
    arrays, settings = whitebox.compute("GFZ", "pgd", 0, 0, 4, "smoke", folder, CPU)
    for cell, linf in zip(settings["cells"], arrays["linf"]):
        assert (linf <= cell["eps"] + 1e-6).all() and (linf > 0).all()


def test_the_stored_log_joint_is_a_draw_of_its_own(folder):
    victim = Victim.load("GFZ", "smoke", 0, CPU, folder)
    images, x, _, _ = first_images(victim.profile, 0, 4)
    first, again = (victim.judge(x, images, "a") for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    draws = victim.predict(x, images, "a", victim.profile.draws + 1)
    assert np.array_equal(first[1], draws[-1]) and not np.array_equal(draws[0], draws[-1])


def test_rows_count_what_the_records_hold(folder):
    rows = whitebox.whitebox("smoke", results=folder, only="GFZ_pgd_seed0_00000-00004")
    record = read_record(folder / "smoke/whitebox/GFZ_pgd_seed0_00000-00004.npz")
    for cell, predictions in zip(record.settings["cells"], record["predictions"]):
        row = one(rows, model="GFZ", attack="pgd", eps=cell["eps"], metric="accuracy")
        assert np.isclose(row.value, (predictions == record["label"][:, None]).mean(), atol=1e-6)
        assert row.n == 4 and row.low <= row.value <= row.high
    assert len(select(rows, metric="detect_kl", detector="alpha-faulty")) == len(record.settings["cells"])
    assert (select(rows, metric="joint_success").value <= 1).all()


def test_detectors_flag_the_wanted_share_of_what_they_were_fitted_on(folder):
    rows = clean.clean("smoke", results=folder, only=clean.unit("GFZ", 0))
    fpr = one(rows, model="GFZ", metric="fpr_marginal", variant="train", detector="quantile-micro")
    assert abs(fpr.value - outcomes.FPR) < 1 / fpr.n


def test_records_that_hold_an_image_twice_are_refused(folder):
    whitebox.whitebox("smoke", results=folder, only="GFZ_fgsm_seed0_00000-00004")
    record = read_record(folder / "smoke/whitebox/GFZ_fgsm_seed0_00000-00004.npz")
    with pytest.raises(ValueError, match="hold some image twice"):
        outcomes.Pooled.of([record, record])


def test_records_of_different_attacks_are_not_pooled(folder):
    whitebox.whitebox("smoke", results=folder, only="GFZ_fgsm_seed0_00000-00004")
    record = read_record(folder / "smoke/whitebox/GFZ_fgsm_seed0_00000-00004.npz")
    older = replace(record, arrays=record.arrays | {"index": record["index"] + 4}, settings=record.settings | {
        "cells": [cell | {"loss": "margin"} for cell in record.settings["cells"]]})
    with pytest.raises(ValueError, match="hold other attacks than .*; delete the older ones"):
        outcomes.Pooled.of([record, older])


def test_records_of_two_formats_are_pooled_and_both_are_named(folder):
    whitebox.whitebox("smoke", results=folder, only="GFZ_fgsm_seed0_00000-00004")
    record = read_record(folder / "smoke/whitebox/GFZ_fgsm_seed0_00000-00004.npz")
    first, second = (replace(record, arrays=record.arrays | {"index": record["index"] + 4 * at},
                             settings=record.settings | {"dtype": dtype})
                     for at, dtype in enumerate(("bfloat16", "float32")))
    assert outcomes.Pooled.of([first, second]).settings["dtype"] == "bfloat16+float32"


def test_carlini_keeps_one_row_set_a_constant(folder):
    rows = carlini.carlini("smoke", results=folder, only="DBX_cw_seed0_00000-00004")
    assert set(select(rows, metric="accuracy").variant) == {"c=1", "c=10"}


def test_what_cw_fooled_is_judged_by_the_majority_and_what_others_fooled_by_one_draw():
    predictions = np.array([[1] + [0] * 9, [0] * 4 + [2] * 3 + [1] * 3])        # a lucky first draw; wrong in 6 of 10
    fooled, seen = outcomes.succeeded("cw", predictions, np.array([0, 0]))
    assert fooled.tolist() == [False, True] and seen[0] == 0
    fooled, seen = outcomes.succeeded("pgd", predictions, np.array([0, 0]))
    assert fooled.tolist() == [True, False] and seen.tolist() == [1, 0]


def test_gradients_in_float32_are_compared_on_the_same_images(folder):
    whitebox.whitebox("smoke", results=folder, only="GFZ_pgd_seed0_00000-00004")
    precision.precision("smoke", results=folder, only="GFZ_pgd_eps0.1_seed0")
    precision.precision("smoke", results=folder, only="GFZ_pgd_eps0.3_seed0")
    lines = precision.compared("smoke", 0, folder)
    assert lines[["model", "eps", "n"]].values.tolist() == [["GFZ", 0.1, 4], ["GFZ", 0.3, 4]]
    assert (lines.low <= lines.difference).all() and (lines.difference <= lines.high).all()


def test_averaged_gradients_are_compared_on_the_same_images_and_fixed_draws_keep_what_they_read(folder):
    for way in ("1draws", "2draws", "fixed"):
        rows = averaging.averaging("smoke", results=folder, only=f"GFZ_{way}_seed0_00000-00004")
    assert set(select(rows, metric="accuracy").variant) == {"", "fixed"}
    lines = averaging.compared("smoke", 0, folder).set_index("draws")
    assert lines.index.tolist() == ["1", "2", "fixed"] and set(lines.n) == {4}
    assert lines.held.notna().tolist() == [False, False, True]
    right = [correct(read_record(folder / f"smoke/averaging/GFZ_{way}_seed0_00000-00004.npz")["predictions"][0],
                     read_record(folder / "smoke/averaging/GFZ_1draws_seed0_00000-00004.npz")["label"]).mean()
             for way in ("1draws", "2draws")]
    assert lines.lost["2"] == pytest.approx(right[0] - right[1])
    said = averaging.in_words(lines.reset_index())
    assert f"2 draws {100 * lines.lost['2']:.1f} points (".replace("-", "−") in said and "none of them" in said
    assert averaging.shown(lines.reset_index()).loc[("GFZ, eps 0.15", "fixed"), "n"] == 4
    assert "no records" in averaging.in_words(averaging.compared("smoke", 5, folder))


def test_what_a_comparison_of_formats_cannot_tell_is_said_with_it():
    line = {"model": "GFZ", "eps": 0.1, "float32": 0.9, "bfloat16": 0.9, "difference": 0.0, "low": -0.1,
            "high": 0.1, "n": 20}
    said = precision.in_words(pd.DataFrame([line]))
    assert "eps 0.1, n = 20" in said and "no sign that the format matters" in said and "up to 10.0 points" in said
    assert ("surely different: GFZ at eps 0.1"
            in precision.in_words(pd.DataFrame([line | {"difference": 0.2, "low": 0.1, "high": 0.3}])))


def test_more_samples_are_predictions_of_their_own(folder):
    rows = samples.samples("smoke", results=folder, only="GFZ_samples_seed0")
    assert set(select(rows, metric="accuracy").variant) == {f"K={k}" for k in samples.sample_counts("smoke")}
    record = read_record(folder / "smoke/samples/GFZ_samples_seed0.npz")
    assert (record["log_joint"][0] != record["log_joint"][1]).any()


@pytest.mark.parametrize("experiment", [whitebox.whitebox, strong.strong, carlini.carlini, clean.clean, training])
def test_an_unknown_profile_is_refused_before_any_work(experiment, tmp_path):
    with pytest.raises(ValueError, match="unknown profile 'desktop'; expected one of smoke, laptop, paper"):
        experiment("desktop", results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_radius_is_no_grid(folder):
    averaging.averaging("smoke", results=folder, only="GFZ_1draws_seed0_00000-00004")
    rows = averaging.averaging("smoke", results=folder, only="GFZ_fixed_seed0_00000-00004")
    assert not {"min_eps", "accuracy_upto"} & set(rows.metric)
    keys = [name for name in rows.columns if name not in ("value", "low", "high", "n", "seconds")]
    assert not rows.duplicated(keys).any()
