"""Reject curves and thresholds, by counting."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from lib.detectors.one_vs_rest import Reject, curve, generative, integrated

RNG = np.random.default_rng(0)
NATURAL, ATTACKED = RNG.normal(1, 1, 200), RNG.normal(0, 1, 150)
RIGHT, MISREAD = RNG.random(200) < 0.9, RNG.random(150) < 0.7


def test_an_integrated_system_asks_the_detector_of_the_class_that_f_names():
    f, heads = np.array([[0.0, 2.0], [3.0, 1.0]]), np.array([[5.0, -0.7], [0.2, 9.0]])
    predicted, score = integrated(f, heads)
    assert predicted.tolist() == [1, 0] and score.tolist() == [-0.7, 0.2]   # floats: nothing is cut to whole numbers
    assert [part.tolist() for part in generative(heads)] == [[0, 1], [5.0, 9.0]]


def test_every_point_of_a_curve_is_what_counting_gives():
    found = curve(NATURAL, RIGHT, ATTACKED, MISREAD)
    for point in range(0, len(found.threshold), 17):
        t = found.threshold[point]
        assert found.accepted[point] == pytest.approx(np.mean(NATURAL >= t))
        assert found.accuracy[point] == pytest.approx(np.mean((NATURAL >= t) & RIGHT))
        assert found.error[point] == pytest.approx(np.mean((ATTACKED >= t) & MISREAD))


def test_at_minus_infinity_a_curve_is_plain_accuracy_and_error_and_at_infinity_nothing():
    found = curve(NATURAL, RIGHT, ATTACKED, MISREAD)
    assert (found.accepted[0], found.accuracy[0], found.error[0]) == (1, RIGHT.mean(), MISREAD.mean())
    assert (found.accepted[-1], found.accuracy[-1], found.error[-1]) == (0, 0, 0)


def test_where_every_attack_is_misread_the_curve_is_scikit_learns_roc():
    found = curve(NATURAL, RIGHT, ATTACKED, np.ones(150, bool))
    fpr, tpr, _ = roc_curve(np.repeat([1, 0], [200, 150]), np.concatenate([NATURAL, ATTACKED]), drop_intermediate=False)
    ours = {(round(a, 9), round(b, 9)) for a, b in zip(found.accepted, found.error)}
    assert {(round(a, 9), round(b, 9)) for a, b in zip(tpr, fpr)} == ours


@pytest.mark.parametrize("rejected", [0.0, 0.01, 0.05, 0.333])
def test_a_threshold_rejects_at_most_the_share_it_was_fitted_for_and_a_higher_one_more(rejected):
    reject = Reject.fit(NATURAL, rejected)
    assert np.mean(~reject.accepts(NATURAL)) <= rejected
    assert np.mean(~Reject(np.nextafter(reject.threshold, np.inf)).accepts(NATURAL)) > rejected


def test_a_threshold_that_would_accept_nothing_is_refused():
    for rejected in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="rejected is"):
            Reject.fit(NATURAL, rejected)
    with pytest.raises(ValueError, match="no natural scores"):
        Reject.fit(np.empty(0))


def test_a_threshold_above_every_score_accepts_nothing_and_one_below_everything():
    assert not Reject(np.inf).accepts(NATURAL).any() and Reject(-np.inf).accepts(NATURAL).all()


def test_scores_and_outcomes_of_different_number_are_refused():
    with pytest.raises(ValueError, match="200 natural scores with 150 outcomes"):
        curve(NATURAL, MISREAD, ATTACKED, MISREAD)


def test_scores_that_are_no_numbers_fit_no_threshold():
    with pytest.raises(ValueError, match="2 of 4 natural scores are NaN"):
        Reject.fit(np.array([1.0, np.nan, np.nan, 2.0]), 0.5)
