"""Bounds, trends and their kin, on rows whose answer is known."""

import numpy as np
import pytest

from lib import claims
from lib.claims.estimates import Estimate, difference
from lib.claims.evidence import Missing
from lib.claims.predicates import settle
from tests.claims.rows import WHITE, bound, compare, evidence, row, track, trend


@pytest.mark.parametrize("value, truth", [(0.3, True), (0.48, None), (0.7, False)])
def test_a_bound_is_true_false_or_open_by_its_whole_interval(value, truth):
    found = claims.judge(bound(), evidence(row(value, model="DFX", attack="fgsm", eps=0.2)))
    assert found.truth is truth and f"{100 * value:.1f} %" in found.ours and found.n == 400


def test_a_detection_rate_without_successes_is_passed_over():
    none = row(np.nan, n=0, metric="detect_kl", model="DFX", eps=0.1)
    some = row(0.99, metric="detect_kl", model="DFX", eps=0.2)
    test = {"kind": "bound", **WHITE, "metric": "detect_kl", "model": "DFX", "eps": [0.1, 0.2], "above": 0.9}
    assert claims.judge(test, evidence(none, some)).truth is True
    assert "no attack succeeded" in claims.judge(test | {"eps": [0.1]}, evidence(none)).why


def test_an_interval_over_seeds_holds_the_range_and_students_interval():
    def rows(*values):
        return [row(v, experiment="rings", metric="detect_tv", variant="far", seed=s, n=0)
                for s, v in enumerate(values)]
    test = {"kind": "bound", "experiment": "rings", "metric": "detect_tv", "variant": ["far"], "over_seeds": True}
    many = evidence(*rows(*[0.3] * 20, 0.5))            # the range reaches 0.5, Student's interval 0.33
    assert claims.judge(test | {"below": 0.55}, many).truth is True
    assert claims.judge(test | {"below": 0.45}, many).truth is None
    few = evidence(*rows(0.2, 0.3, 0.5))                # the range reaches 0.5, Student's interval 0.71
    assert claims.judge(test | {"below": 0.55}, few).truth is None
    assert claims.judge(test | {"below": 0.75}, few).truth is True
    assert "at least 3" in claims.judge(test | {"below": 0.45}, evidence(*rows(0.2, 0.3))).why


def test_many_cells_of_few_seeds_widen_by_students_table():
    """Two cells, each just beyond its own interval: by the normal's ratio one would be refuted."""
    rows = [row(v, experiment="rings", metric="detect_tv", variant=cell, seed=s, n=0)
            for cell in ("far", "near") for s, v in enumerate((0.50, 0.52, 0.54))]     # 0.52, give or take 0.05
    test = {"kind": "bound", "experiment": "rings", "metric": "detect_tv", "variant": ["far", "near"],
            "over_seeds": True, "above": 0.585}
    assert claims.judge(test, evidence(*rows)).truth is None
    assert claims.judge(test | {"variant": ["far"]}, evidence(*rows)).truth is False


@pytest.mark.parametrize("values, up, down", [((0.2, 0.5, 0.9), True, False), ((0.9, 0.5, 0.2), False, True),
                                              ((0.5, 0.52, 0.51), None, None), ((0.2, 0.9, 0.5), False, False)])
def test_a_trend_needs_its_ends_and_forbids_a_step_against_it(values, up, down):
    assert claims.judge(trend(direction="up"), track(*values)).truth is up
    assert claims.judge(trend(direction="down"), track(*values)).truth is down


@pytest.mark.parametrize("values, truth", [((0.9, 0.2, 0.8), True), ((0.2, 0.5, 0.9), False), ((0.5, 0.51, 0.5), None)])
def test_not_monotone_needs_a_rise_and_a_fall(values, truth):
    assert claims.judge(trend(direction="not monotone"), track(*values)).truth is truth


@pytest.mark.parametrize("values, truth", [((0.2, 0.8, 0.3), True), ((0.2, 0.5, 0.9), False), ((0.2, 0.5, 0.48), None)])
def test_a_peak_must_exceed_every_other_point(values, truth):
    assert claims.judge(trend(direction="peak", at=0.2), track(*values)).truth is truth


@pytest.mark.parametrize("one, other, truth", [
    (0.3, 0.3, True), (0.3, 0.9, False), (0.5, 0.9, False), (0.3, 0.5, None)])
def test_all_is_false_if_one_part_is_and_open_if_one_is_open(one, other, truth):
    parts = [bound(model=["DFX"]), bound(model=["DFZ"])]
    rows = [row(v, model=m, attack="fgsm", eps=0.2) for m, v in (("DFX", one), ("DFZ", other))]
    assert claims.judge({"kind": "all", "parts": parts}, evidence(*rows)).truth is truth


@pytest.mark.parametrize("accuracy, there, truth", [(0.3, [0.1, 0.2], False), (0.3, [0.1], False), (0.9, [0.1], None)])
def test_one_counterexample_refutes_a_claim_about_cells_of_which_some_are_missing(accuracy, there, truth):
    rows = [row(accuracy, model="DFX", attack="fgsm", eps=eps) for eps in there]
    test = bound(eps=[0.1, 0.2], above=0.5)
    test.pop("below")
    found = claims.judge(test, evidence(*rows))
    assert found.truth is truth and (truth is False or "waits for the row" in found.why)


@pytest.mark.parametrize("near, then, truth",
                         [(0.1, 0.3, True), (0.1, 0.9, False), (0.9, 0.3, None), (0.9, 0.9, None), (None, 0.3, None)])
def test_a_condition_that_is_not_met_leaves_a_claim_open_and_names_what_it_lacks(near, then, truth):
    rows = [row(v, model=m, attack="fgsm", eps=0.2) for m, v in (("DFZ", near), ("DFX", then)) if v is not None]
    test = {"kind": "given", "that": bound(model=["DFZ"]), "then": bound(), "lacks": "a better DFZ"}
    found = claims.judge(test, evidence(*rows))
    assert found.truth is truth and (found.needs == ("a better DFZ",)) == (truth is None)


def test_waits_and_eye_are_open_and_say_for_what():
    assert claims.judge({"kind": "waits", "for": "the moon"}, evidence(row(1.0))).why == "waits for the moon"
    assert "readers could decide" in claims.judge({"kind": "eye", "could_decide": "readers"}, evidence(row(1.0))).why


def test_many_comparisons_do_not_refute_a_claim_by_chance():
    barely = Estimate(-0.05, -0.099, -0.001, 100, "barely below")
    assert settle([barely], "accuracy", 0.0, np.inf, 1).truth is False
    assert settle([barely] * 1 + [Estimate(0.1, 0.05, 0.15, 100)] * 19, "accuracy", 0.0, np.inf, 1).truth is None


def test_a_difference_of_two_intervals_is_wider_than_either_and_narrower_than_their_sum():
    a, b = Estimate(0.6, 0.5, 0.7, 100), Estimate(0.3, 0.2, 0.4, 100)
    found = difference(a, b)
    assert found.value == pytest.approx(0.3) and 0.1 < found.low < 0.2 and 0.4 < found.high < 0.5


@pytest.mark.parametrize("broken", [
    {"kind": "guess"}, {"kind": "bound", "experiment": "x", "metric": "y"}, {"kind": "waits"}, compare(epsilon=0.1),
    {"kind": "compare", "experiment": "x", "metric": "y", "above": {"modle": "GFZ"}, "below": {"model": "DFX"}},
    trend(direction="sideways"), {"kind": "all", "parts": [{"kind": "guess"}]},
    {"kind": "given", "that": {"kind": "guess"}, "then": bound(), "lacks": "x"},
    {"kind": "given", "that": bound(), "then": bound()}])
def test_a_predicate_that_cannot_be_judged_is_refused(broken):
    with pytest.raises(ValueError, match="predicate"):
        claims.check(broken)


@pytest.mark.parametrize("accuracy, truth", [(0.12, None), (0.95, True)])
def test_a_model_that_has_not_learned_its_task_decides_nothing(accuracy, truth):
    clean = {"experiment": "clean", "attack": "clean", "variant": "one-draw", "model": "DFX"}
    found = claims.judge(bound(), evidence(row(accuracy, **clean), row(0.1, model="DFX", attack="fgsm", eps=0.2)))
    assert found.truth is truth and ("DFX (12%)" in found.why) == (truth is None)


def test_missing_rows_are_named():
    with pytest.raises(Missing, match="the row of whitebox: accuracy, GFZ, eps 0.3"):
        evidence(row(0.5)).row(WHITE | {"metric": "accuracy", "model": "GFZ", "eps": 0.3})
