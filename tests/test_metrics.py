"""Metrics against cases whose answer is known."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lib import metrics
from lib.detectors import KL

TABLES = json.loads((Path(__file__).resolve().parents[1] / "data/paper/deep-bayes.json").read_text())
GRIDS = {"table1_mnist": ([0.1, 0.2, 0.3, 0.4, 0.5], 0.6), "table2_cifar_binary": ([0.01, 0.02, 0.05, 0.1, 0.2], 0.3)}


def test_wilson_agrees_with_the_textbook_example():
    """81 of 263, Newcombe (1998), table I: 0.2553 to 0.3662."""
    np.testing.assert_allclose(metrics.wilson(81 / 263, 263), (0.2553, 0.3662), atol=5e-5)


def test_wilson_at_the_ends_stays_in_the_unit_interval():
    assert metrics.wilson(0.0, 50)[0] == 0 and metrics.wilson(1.0, 50)[1] == 1
    assert np.isnan(metrics.wilson(np.nan, 0)).all()


def test_wilson_refuses_a_percentage():
    with pytest.raises(ValueError, match="not a percentage"):
        metrics.wilson(97.0, 100)


def test_wilson_covers_the_true_share_95_times_in_100():
    draws = np.random.default_rng(0).binomial(200, 0.3, 4000)
    inside = [low <= 0.3 <= high for low, high in (metrics.wilson(k / 200, 200) for k in draws)]
    assert 0.94 < np.mean(inside) < 0.96


def test_headline_accuracy_is_the_mean_over_draws_and_the_vote_falls_at_six_of_ten():
    draws = np.array([[1] * wrong + [0] * (10 - wrong) for wrong in (0, 5, 6, 10)])
    np.testing.assert_allclose(metrics.correct(draws, np.zeros(4, int)), [1, 0.5, 0.4, 0])
    assert metrics.majority(draws, np.zeros(4, int)).tolist() == [True, True, False, False]


def test_min_eps_is_the_first_radius_that_fools_and_the_fill_where_none_does():
    right = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 1]], bool)        # an image that recovers later stays fooled
    np.testing.assert_allclose(metrics.min_eps(right, [0.1, 0.2, 0.3], 0.4), [0.4, 0.1, 0.2])


def test_min_eps_of_shares_is_the_expectation_over_single_draws():
    right = np.random.default_rng(1).random((3, 5, 2000)) < np.array([0.9, 0.6, 0.3])[:, None, None]
    one_by_one = np.mean([metrics.min_eps(right[:, :, d], [0.1, 0.2, 0.3], 0.4) for d in range(2000)], axis=0)
    np.testing.assert_allclose(metrics.min_eps(right.mean(axis=-1), [0.1, 0.2, 0.3], 0.4), one_by_one, atol=0.004)


def test_what_is_carried_to_larger_radii_is_judged_once_and_not_at_every_radius():
    right = np.array([[0.5], [0.5], [0.7]])
    assert metrics.survival(right)[:, 0].tolist() == pytest.approx([0.5, 0.25, 0.175])
    assert metrics.survival(right, carried=True)[:, 0].tolist() == [0.5, 0.5, 0.5]
    assert metrics.min_eps(right, [0.1, 0.2, 0.3], 0.4, carried=True) == pytest.approx(0.1 + 0.5 * 0.3)


def test_what_is_carried_picks_no_luck_out_of_the_draws():
    """Right in half of all draws at every radius: the smallest of five shares of ten draws would say a third."""
    right = np.random.default_rng(2).random((5, 4000, 10)) < 0.5
    assert metrics.survival(right.mean(-1), carried=True)[-1].mean() < 0.36
    assert metrics.survival(right, carried=True)[-1].mean() == pytest.approx(0.5, abs=0.01)
    certain = np.random.default_rng(3).random((5, 40, 1)) < 0.8
    np.testing.assert_array_equal(metrics.survival(certain, carried=True),
                                  np.minimum.accumulate(certain[..., 0], axis=0))


def test_mean_min_eps_follows_from_the_accuracies_up_to_each_radius():
    right = np.random.default_rng(0).random((5, 300, 1)) < 0.8
    upto = metrics.survival(right.mean(axis=-1)).mean(axis=1).tolist()
    grid, fill = GRIDS["table1_mnist"]
    assert metrics.min_eps(right[..., 0], grid, fill).mean() == pytest.approx(metrics.mean_min_eps(upto, grid, fill))
    assert metrics.mean_min_eps(upto, grid, fill) == pytest.approx(0.1 + 0.1 * sum(upto))


@pytest.mark.parametrize("table", GRIDS)
def test_all_published_cells_lie_within_the_bounds_of_the_identity(table):
    (grid, fill), upto = GRIDS[table], TABLES[table]["accuracy_eps_max"]
    k = grid.index(upto)
    for row in TABLES[table]["rows"]:
        for cell in row["cells"].values():
            a = cell["victim_accuracy_pct"] / 100           # survival only falls: at least a before, at most a after
            least = metrics.mean_min_eps([a] * (k + 1) + [0.0] * (len(grid) - k - 1), grid, fill)
            most = metrics.mean_min_eps([1.0] * k + [a] * (len(grid) - k), grid, fill)
            assert least - 0.005 <= cell["mean_min_linf"] <= most + 0.005


def test_min_eps_refuses_a_descending_grid():
    with pytest.raises(ValueError, match="ascending"):
        metrics.min_eps(np.ones((2, 3)), [0.2, 0.1], 0.4)


def test_survival_refuses_percentages():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metrics.survival(np.full((2, 3), 97.0))


@pytest.mark.parametrize("more, decided", [(5, False), (6, True)])
def test_paired_difference_decides_where_the_exact_sign_test_does(more, decided):
    """5 of 5 differing images give p = 0.06 in McNemar's exact test, 6 of 6 give 0.03."""
    mean, low, high = metrics.paired_difference(np.r_[np.ones(more), np.zeros(100 - more)], np.zeros(100))
    assert mean == pytest.approx(more / 100) and (low > 0) == decided and high > low


def test_paired_difference_is_narrower_than_an_unpaired_one_when_images_agree():
    hard = np.random.default_rng(0).random(500) < 0.5
    low, high = metrics.paired_difference(hard | (np.arange(500) < 30), hard)[1:]
    unpaired = np.subtract(*metrics.wilson(hard.mean(), 500)[::-1])
    assert high - low < unpaired / 2


def test_paired_difference_refuses_other_images():
    with pytest.raises(ValueError, match="same images"):
        metrics.paired_difference(np.ones(3), np.ones(4))


def test_the_interval_of_a_mean_is_that_of_resampled_means():
    generator = np.random.default_rng(0)
    values = generator.normal(3, 1, 400)
    _, low, high = metrics.mean_interval(np.r_[values, np.nan])
    resampled = [values[generator.integers(400, size=400)].mean() for _ in range(2000)]
    np.testing.assert_allclose(np.percentile(resampled, [2.5, 97.5]), (low, high), atol=0.02)


def test_macro_is_the_mean_over_predicted_classes_that_occur_and_micro_over_successes():
    flags, predicted = np.array([1, 0, 0, 0, 1], bool), np.array([7, 2, 2, 2, 2])
    rates = metrics.detection_rates(flags, predicted, success=np.array([1, 1, 1, 1, 0], bool))
    assert rates == {"micro": 0.25, "macro": 0.5, "n": 4}


def test_without_a_success_the_detection_rate_is_not_a_number():
    rates = metrics.detection_rates(np.ones(3, bool), np.zeros(3, int), np.zeros(3, bool))
    assert rates["n"] == 0 and np.isnan(rates["micro"]) and np.isnan(rates["macro"])


def undetectable(classes: int, success_rate: float):
    """Attacked inputs whose scores are those of clean inputs of the class they are predicted as."""
    generator = torch.Generator().manual_seed(0)

    def clean(n: int):
        labels = torch.arange(n) % classes
        logits = torch.randn(n, classes, generator=generator)
        return logits.scatter_add(1, labels[:, None], torch.full((n, 1), 12.0)), labels

    train, (attacked, predicted) = clean(20_000), clean(10_000)
    order = torch.randperm(10_000, generator=generator)
    success = torch.rand(10_000, generator=generator) < success_rate
    return KL.fit(*train), attacked[order], predicted[order].numpy(), success.numpy()


@pytest.mark.parametrize("classes, success_rate, expected", [
    (10, 0.05, 0.905), (10, 0.5, 0.905), (10, 0.95, 0.905), (2, 0.5, 0.52), (10, 1.0, 0.05)])
def test_the_kl_index_fault_detects_what_cannot_be_detected(classes, success_rate, expected):
    kl, log_joint, predicted, success = undetectable(classes, success_rate)
    right = metrics.detection_rates(kl.flags(log_joint, torch.from_numpy(predicted)).numpy(), predicted, success)
    rows, as_class = metrics.kl_index_fault(predicted, success)
    flags = kl.flags(log_joint[rows], torch.from_numpy(as_class)).numpy()
    faulty = metrics.detection_rates(flags, as_class, np.ones(len(rows), bool))
    assert right["macro"] == pytest.approx(0.05, abs=0.03)
    assert faulty["macro"] == pytest.approx(expected, abs=0.03)
    assert faulty["n"] == right["n"]


def test_auc_is_the_share_of_pairs_in_the_right_order():
    assert metrics.auc(np.array([0.0, 2.0]), np.array([1.0, 3.0])) == 0.75


def test_auc_counts_pairs_one_by_one_and_a_tie_as_half():
    chance = np.random.default_rng(0)
    for scores in (chance.normal(size=300), chance.integers(0, 6, 300).astype(np.float32)):
        clean, attacked = scores[:120, None], scores[None, 120:]
        counted = ((attacked > clean) + 0.5 * (attacked == clean)).mean()
        assert metrics.auc(scores[:120], scores[120:]) == pytest.approx(counted, rel=1e-12)


@pytest.mark.parametrize("clean, attacked", [([], [1.0]), ([1.0], []), ([np.nan, 1.0], [0.0])])
def test_auc_of_nothing_or_of_nan_is_refused(clean, attacked):
    with pytest.raises(ValueError, match="expected some numbers of either kind"):
        metrics.auc(np.array(clean), np.array(attacked))


def test_equal_logits_are_the_uniform_distribution():
    np.testing.assert_allclose(np.exp(metrics.gibbs(np.full(8, 1000.0))), 1 / 8)
    np.testing.assert_allclose(metrics.gibbs(np.array([0.0, np.log(3)])), np.log([0.25, 0.75]))


def test_distances_of_distributions_on_known_answers():
    half, quarter = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    assert metrics.total_variation(half, half) == 0 and metrics.divergence(half, np.log([0.5, 0.5, 1e-300])) == 0
    assert metrics.total_variation(half, quarter) == 0.5
    assert metrics.divergence(half, np.log(quarter)) == pytest.approx(np.log(2))
    assert metrics.total_variation(np.array([1.0, 0]), np.array([0.0, 1])) == 1


@pytest.mark.parametrize("call, said", [
    (lambda: metrics.total_variation(np.array([0.5, 0.6]), np.array([0.5, 0.5])), "p sums to 1.1"),
    (lambda: metrics.divergence(np.array([0.5, 0.5]), np.zeros(2)), "q sums to 2"),
    (lambda: metrics.total_variation(np.array([0.5, 0.5]), np.ones(1)), "the same points"),
    (lambda: metrics.gibbs(np.array([0.0, np.nan])), "1 NaN")])
def test_what_is_no_distribution_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_overlap_of_sets_on_known_answers():
    a, b = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert metrics.iou(a, b) == pytest.approx(1 / 3) and metrics.iou(a, a) == 1 and metrics.iou(a, ~a) == 0
    assert np.isnan(metrics.iou(a & False, b & False))


def test_intervals_of_few_values_cover_as_they_say():
    drawn = np.random.default_rng(0).normal(size=(4_000, 3))
    low, high = np.array([metrics.mean_interval(values)[1:] for values in drawn]).T
    assert np.mean((low < 0) & (0 < high)) == pytest.approx(0.95, abs=0.015)


def test_an_interval_of_an_auc_with_nan_is_refused():
    with pytest.raises(ValueError, match="1 scores are NaN"):
        metrics.auc_interval(np.array([0.0, np.nan]), np.array([1.0, 2.0]))
