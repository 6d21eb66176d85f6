"""Tests of single detectors: where negatives go, what random starts add, and that rows follow from records."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lib import published, tables
from lib.attacks import ball
from lib.models import ConvNet
from lib.profiles import DETECTORS, SHORT_STEPS
from lib.results import Record, read_record, read_rows, rows_from, tidy, write_record
from lib.runs import auc, strength
from lib.runs.heads import fresh, variant_of
from lib.runs.training import checkpoint, dataset_of
from lib.train import load_weights, save_weights

TESTS = [auc.Test(norm, eps, 3, step, optimiser) for norm, eps, step in (("linf", 0.1, 0.05), ("l2", 0.5, 0.2))
         for optimiser in ("adam", "normgrad")]


@pytest.fixture(scope="module")
def heads():
    return fresh((3,), 0, (1, 28, 28)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def x():
    return dataset_of("smoke").test.images(slice(0, 4))


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_negatives_move_inside_the_ball_to_where_the_detector_likes_them_better(heads, x, test):
    moved = auc.attacked(heads, x, 0, test, [0, 1, 2, 3], seed=0)
    delta = (moved - x).flatten(1)
    assert (delta.norm(p=torch.inf if test.norm == "linf" else 2, dim=1) <= test.eps + 1e-5).all()
    assert moved.min() >= 0 and moved.max() <= 1
    assert (heads(moved) > heads(x)).all()


def test_of_random_starts_the_largest_logit_of_each_image_counts(heads, x):
    few, many = (heads(auc.attacked(heads, x, 0, auc.Test("linf", 0.1, 2, 0.02, restarts=n), [0, 1, 2, 3], 0))
                 for n in (1, 4))
    assert (many >= few).all() and (many > few).any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_is_in_the_ball_and_depends_on_seed_image_and_restart(x, norm):
    test = auc.Test(norm, 0.4, 2, 0.1, restarts=2)
    start = auc.random_start(x, test, [0, 1, 2, 3], 0, 0)
    assert torch.allclose(ball(norm, 0.4).project(start), start, atol=1e-6)
    assert torch.equal(start[1:2], auc.random_start(x[1:2], test, [1], 0, 0))
    for images, seed, restart in (([4, 5, 6, 7], 0, 0), ([0, 1, 2, 3], 1, 0), ([0, 1, 2, 3], 0, 1)):
        assert not torch.equal(start, auc.random_start(x, test, images, seed, restart))


@pytest.mark.parametrize("test", [auc.Test("linf", 0.0, 2, 0.1), auc.Test("l2", 0.0, 2, 0.1, "normgrad", 2)])
def test_at_radius_0_no_image_moves(heads, x, test):
    assert torch.equal(auc.attacked(heads, x, 0, test, list(range(len(x))), 0), x)


def test_the_detectors_that_the_profile_names_get_every_test_and_the_others_the_main_one():
    for profile, settings in DETECTORS.items():
        for k in (0, 5):
            kinds = [strength.kind_of(test, "l2-5.0", profile) for test in auc.tests(profile, "l2-5.0", k)]
            assert kinds[0] == "main" and set(kinds[1:]) == (
                {"longer", "normgrad", "restarts", "step size", "other ball"}
                if k in settings.further.get("l2-5.0", ()) else set())
    assert DETECTORS["paper"].further["l2-5.0"] == DETECTORS["paper"].systems["l2-5.0"]


def test_as_many_starts_are_told_from_more_of_them(tmp_path):
    for starts in (0, 10, 50):
        one = stored([0.0], [2], variant="linf0.3", norm="linf", eps=0.3, steps=200, step_size=0.01, attack="adam",
                     restarts=starts, seed=0, **{"class": 0})
        write_record(tmp_path / f"laptop/auc/{starts}_seed0.npz", one.arrays, one.settings)
    found = strength.compared("restarts", "laptop", 0, tmp_path)
    assert sorted(found.index.get_level_values("steps")) == ["200 × 0.01, 10 starts", "200 × 0.01, 50 starts"]
    assert {10, 50} == {test.restarts for test in auc.tests("paper", "linf0.5", 0)} - {0}


@pytest.mark.parametrize("name", ["1", "8", "9", "10", "11", "12"])
def test_the_paper_profile_plans_every_test_that_is_printed(name):
    printed = published.auc(name)
    for k, row in zip(printed["class"], printed.itertuples()):
        planned = auc.tests("paper", row.variant, int(k))
        assert auc.Test(row.norm, row.eps, int(row.steps), row.step_size, row.attack, int(row.restarts)) in planned


def test_detectors_trained_with_longer_steps_than_published_are_all_tested_with_those_too():
    for profile, system, shortened in (("laptop", "linf0.5", True), ("laptop", "l2-5.0", False),
                                       ("paper", "linf0.5", False)):
        plans = [auc.tests(profile, system, k) for k in (0, 8)]
        kinds = [{strength.kind_of(test, system, profile): test for test in plan} for plan in plans]
        assert all(("training" in kind) == shortened for kind in kinds)
        if shortened:
            inner, own = DETECTORS[profile].inner(system), kinds[1]["training"]
            assert (own.steps, own.step_size, own.restarts) == (inner.steps, inner.step_size, 1)
            assert plans[1][own] == plans[1][kinds[1]["main"]]


@pytest.mark.parametrize("table, count", [("1", 16), ("8", 16), ("9", 32), ("10", 4), ("11", 10), ("12", 10)])
def test_published_tables_are_read_in_the_form_of_our_rows(table, count):
    rows = published.auc(table)
    assert len(rows) == count and set(rows.variant) <= set(strength.SYSTEMS)
    kinds = {strength.kind_of(auc.Test(r.norm, r.eps, int(r.steps), r.step_size, r.attack, int(r.restarts)),
                              r.variant, "paper")
             for r in rows.itertuples()}
    expected = {"1": {"main", "longer"}, "8": {"normgrad"}, "9": {"main", "other ball"}, "10": {"main", "restarts"}}
    assert kinds == expected.get(table, {"main"})


def test_a_table_that_is_not_of_auc_on_mnist_is_refused_with_the_choices():
    with pytest.raises(KeyError, match="no AUC table '3' on MNIST; expected one of 1, 8, 9, 10, 11, 12"):
        published.auc("3")


def test_more_negatives_are_attacked_alone_and_counted_with_those_that_were(tmp_path, monkeypatch):
    def rows(n):
        settings = DETECTORS["smoke"]
        monkeypatch.setitem(DETECTORS, "smoke", replace(settings, auc_images=settings.auc_images | {"main": n}))
        unit = auc.auc("smoke", results=tmp_path, only="list").unit[0]
        auc.auc("smoke", results=tmp_path, only=unit)
        return read_record(tmp_path / "smoke" / "auc" / f"{unit}.npz")

    few, many = rows(4), rows(7)
    test = auc.main_test("linf0.3", "smoke")
    again = auc.compute("linf0.3", 0, test, 7, "smoke", 0, tmp_path, torch.device("cpu"))[0]
    assert many.settings["runs"][0]["asked"] == 4 and len(few["index"]) == 4
    for name, values in again.items():
        assert np.allclose(many[name], values, rtol=1e-3, atol=1e-3) and len(many[name]) == len(values)
    weights, net = checkpoint("GAT", "smoke", 0, variant_of("linf0.3", 0), tmp_path), ConvNet(1, (1, 28, 28))
    stated = load_weights(weights, net, {})
    with torch.no_grad():
        next(net.parameters()).add_(0.1)
    save_weights(weights, net, stated)
    with pytest.raises(ValueError, match="would grow with"):
        rows(9)


def test_rows_follow_from_records_and_agree_with_scikit_learn(tmp_path):
    rows = auc.auc("smoke", 0, "cpu", tmp_path, only="GAT_linf0.3_class3_adam_linf-0.3_2x0.01_seed0")
    record = read_record(tmp_path / "smoke/auc/GAT_linf0.3_class3_adam_linf-0.3_2x0.01_seed0.npz")
    truth = np.repeat([1, 0], [len(record["natural"]), len(record["attacked"])])
    for metric, negatives in (("auc", "attacked"), ("auc_clean", "others")):
        value = rows[rows.metric == metric].value.item()
        assert value == pytest.approx(roc_auc_score(truth, np.concatenate([record["natural"], record[negatives]])),
                                      abs=1e-6)
    assert (record["label"] != 3).all() and (dataset_of("smoke").test.y[record["index"]] != 3).all()
    again = rows_from(tmp_path / "smoke/auc", auc.summarise)
    assert again.value.tolist() == pytest.approx(read_rows(tmp_path / "smoke/auc.csv").value.tolist(), rel=1e-5)
    assert "in agreement" in strength.spot_check("linf0.3", "smoke", 0, "cpu", (3,), results=tmp_path)


def stored(attacked, index, natural=(3.0, 5.0, 4.0), **settings) -> Record:
    return Record({"natural": np.array(natural, np.float32), "attacked": np.array(attacked, np.float32),
                   "index": np.array(index, np.int32)}, settings, Path("r"))


def test_a_harder_attack_is_compared_on_the_negatives_that_both_attacked():
    main, other = stored([0.0, 3.5, 1.0, 9.0], [2, 4, 5, 7]), stored([4.5, 3.5], [4, 5])
    found = strength.change(main, other)
    assert found["n"] == 2 and found["main"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["other"] == pytest.approx((1 / 3 + 2 / 3) / 2) and found["drop"] == pytest.approx(1 / 3)
    assert found["low"] < found["drop"] < found["high"]
    truth = [1, 1, 1, 0, 0]
    assert found["other"] == pytest.approx(roc_auc_score(truth, [3.0, 5.0, 4.0, 4.5, 3.5]))


def test_a_drop_that_nobody_saw_may_still_meet_the_next_negative():
    natural, rng = np.arange(1.0, 101.0), np.random.default_rng(0)
    still = strength.change(stored([2.5] * 100, range(100), natural), stored([2.5] * 100, range(100), natural))
    assert still["drop"] == 0 and still["high"] == pytest.approx(1.96 * np.sqrt(2) / 102, rel=1e-3)
    covered = []                                    # one negative in a hundred falls by 0.9: a true drop of 0.009
    for _ in range(200):
        after = np.where(rng.random(100) < 0.01, 91.5, 1.5)
        found = strength.change(stored([1.5] * 100, range(100), natural), stored(after, range(100), natural))
        covered.append(found["low"] <= 0.009 <= found["high"])
    assert np.mean(covered) > 0.9


def test_what_its_own_attack_cannot_touch_and_the_main_one_can_is_named():
    rows = pd.DataFrame([("a", "3", "training", 1.0), ("a", "3", "main", 0.5), ("a", "8", "training", 0.99),
                         ("a", "8", "main", 0.98), ("b", "0", "training", 0.9), ("b", "0", "main", 0.9),
                         ("b", "1", "main", 0.1)],
                        columns=["variant", "class", "kind", "value"])
    found = strength.taught(rows)
    assert (found.iloc[0].to_dict() == {"variant": "a", "class": "3", "training": 1.0, "main": 0.5, "fall": 0.5}
            and len(found) == 3)
    assert strength.fallen(found, {"a": "A", "b": "B"}) == "of A class 3; of B none"
    assert strength.taught(rows[rows.kind == "main"]).empty and strength.fallen(found[:0], {}) == "no rows yet"


def test_a_system_in_short_is_counted_over_the_main_attack_alone():
    test = DETECTORS["laptop"].inner("linf0.5")
    row = {"metric": "auc", "variant": "linf0.5", "profile": "laptop", "norm": test.norm, "eps": test.eps, "steps": 200,
           "step_size": 0.01, "attack": "adam", "restarts": 0}
    rows = tidy([row | {"class": "0", "value": 0.9}, row | {"class": "1", "value": 0.5},
                 row | {"class": "1", "value": 0.1, "steps": 2000, "step_size": 0.005}])
    assert strength.in_short(rows, "linf0.5") == (2, "0.7000", "0.5000")
    assert strength.in_short(rows, "l2-2.5") == (0, tables.MISSING, tables.MISSING)


def test_a_system_is_held_against_print_over_the_classes_that_it_has():
    main = pd.DataFrame([("linf0.5", "8", 0.46), ("linf0.5", "0", 0.99), ("l2-2.5", "1", 0.99968)],
                        columns=["variant", "class", "value"])
    found = strength.beside_print(main, "laptop")
    assert list(found.index) == ["linf0.5", "l2-2.5"] and found["class"].tolist() == ["8", "1"]
    assert found["mean"].tolist() == [0.725, 0.99968] and found["published"]["l2-2.5"] == 0.99968
    assert found["published inner"].tolist() == ["100 × 0.01", "100 × 0.1"]
    names = {"linf0.5": "A", "l2-2.5": "B"}
    assert strength.far_below(found, names) == "at most 0.01 below the printed mean: B; farther below it: A"
    assert strength.far_below(strength.beside_print(main[:0], "laptop"), names).endswith("below it: none")


def test_the_main_attack_beside_another_optimiser_is_that_of_the_first_table(tmp_path):
    for name, attack in (("adam", "adam"), ("sign", "normgrad")):
        one = stored([0.0], [2], variant="linf0.3", norm="linf", eps=0.3, steps=200, step_size=0.01, attack=attack,
                     restarts=0, seed=0, **{"class": 0})
        write_record(tmp_path / f"laptop/auc/{name}_seed0.npz", one.arrays, one.settings)
    line = strength.compared("normgrad", "laptop", 0, tmp_path).iloc[0]
    assert (line["printed main"], line["printed"]) == (0.99959, 0.99962)


def test_tests_without_a_common_image_cannot_be_compared():
    with pytest.raises(ValueError, match="share no image"):
        strength.change(stored([1.0], [2]), stored([1.0], [3]))


def test_the_hardest_test_of_a_ball_is_the_largest_logit_of_each_image_that_all_of_them_got(tmp_path):
    settings = {"variant": "linf0.3", "norm": "linf", "step_size": 0.01, "attack": "adam", "restarts": 0, "seed": 0,
                "eps": 0.3, "steps": 200, "class": 0}
    main = stored([0.0, 0.0, 5.0], [2, 3, 4], **settings)
    others = {"sign": stored([9.0, -1.0], [2, 3], **settings | {"attack": "normgrad"}),     # beaten by the first alone
              "far": stored([9.0, 9.0], [2, 3], **settings | {"eps": 0.5})}                 # in another ball
    write_record(tmp_path / "laptop/auc/main_seed0.npz", main.arrays, main.settings)
    assert strength.hardest("laptop", 0, tmp_path).empty
    for name, one in others.items():
        write_record(tmp_path / f"laptop/auc/{name}_seed0.npz", one.arrays, one.settings)
    line = strength.hardest("laptop", 0, tmp_path).loc["linf0.3", "0", "2 attacks"]
    alone = strength.change(main, others["sign"])
    assert line["n"] == 2 and line["main"] == alone["main"] and line["drop"] == alone["drop"] == alone["main"] / 2


def test_nothing_stored_gives_nothing_to_compare(tmp_path):
    assert strength.hardest("laptop", 0, tmp_path).empty
    assert strength.compared("longer", "laptop", 0, tmp_path).empty
    assert "Nothing to recompute" in strength.spot_check("linf0.3", "smoke", 0, "cpu", results=tmp_path)


def auc_row(variant, value, steps, size, k="8", restarts=0, n=500) -> dict:
    return {"experiment": "auc", "dataset": "mnist", "model": "GAT", "variant": variant, "class": k, "attack": "adam",
            "norm": "linf", "eps": 0.5, "steps": steps, "step_size": size, "restarts": restarts, "metric": "auc",
            "value": value, "n": n, "profile": "laptop", "seed": 0}


@pytest.mark.parametrize("after, share, said", [(0.99, 0.98, "it was the inner attack"), (0.52, 0.04, "it was not the"),
                                                (0.75, 0.5, "a part of it")])
def test_short_steps_are_held_against_the_distance_to_print(after, share, said):
    rows = strength.with_kinds(tidy([
        auc_row("linf0.5", 0.50, 200, 0.01), auc_row("linf0.5", 1.0, 12, 1 / 12, restarts=1),
        auc_row("linf0.5", 0.97, 200, 0.01, k="3"), auc_row("linf0.5", 1.0, 12, 1 / 12, k="3", restarts=1),
        auc_row(SHORT_STEPS, after, 200, 0.01), auc_row(SHORT_STEPS, 0.995, 40, 0.02, restarts=1)]))
    found, made_up = strength.short_steps(rows, tidy([auc_row("linf0.5", 1.0, 200, 0.01)]))
    assert set(found["class"]) == {"8"} and set(found.variant) == {"linf0.5", SHORT_STEPS} and set(found.n) == {500}
    assert made_up == pytest.approx(share) and said in strength.blame(made_up)


def test_detectors_that_print_leaves_out_are_named_where_they_fall_in_another_ball():
    lines = [("0", "l2-5.0", "other ball", 0.90, 0.9642), ("8", "l2-5.0", "other ball", 0.73, np.nan),
             ("8", "linf0.5", "other ball", 0.94, np.nan), ("8", "linf0.3", "main", 0.5, np.nan),
             ("8", "l2-2.5", "other ball", 0.99, np.nan)]
    rows = pd.DataFrame(lines, columns=["class", "ball", "kind", "value", "theirs"]).assign(variant="linf0.3")
    names = {"linf0.3": "l∞ 0.3", "linf0.5": "l∞ 0.5", "l2-5.0": "L2 5.0", "l2-2.5": "L2 2.5"}
    assert strength.unprinted(rows, names) == ("0.73 for class 8 of l∞ 0.3 under L2 5.0 and "
                                               "0.94 for class 8 of l∞ 0.3 under l∞ 0.5")
    assert strength.unprinted(rows.head(1), names) == "none"


def test_without_a_training_with_short_steps_nothing_is_blamed():
    rows = strength.with_kinds(tidy([auc_row("linf0.5", 0.5, 200, 0.01),
                                     auc_row("linf0.5", 1.0, 12, 1 / 12, restarts=1)]))
    found, share = strength.short_steps(rows, published.auc("11"))
    assert found.empty and np.isnan(share) and "No detector" in strength.blame(share)
    found, share = strength.short_steps(strength.with_kinds(tidy([])), published.auc("11"))
    assert found.empty and np.isnan(share)
