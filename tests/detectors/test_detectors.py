"""Identities that every detector obeys, run over the table of detectors."""
import math

import pytest
import torch

from lib.detectors import DETECTORS, KL, TV, Logit, Marginal
from lib.detectors.thresholds import threshold

detectors = pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
rules = pytest.mark.parametrize("rule", ["quantile", "alpha"])


def clean(n: int = 4000, classes: int = 4, spread: float = 3.0, seed: int = 0):
    """Log joints of n images, about one in 25 of them misread."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    log_joint = spread * torch.randn(n, classes, generator=generator) - 100
    return log_joint.scatter_add(1, labels[:, None], torch.full((n, 1), 10.0)), labels


def flag_rate(fitted, log_joint, labels):
    return fitted.flags(log_joint, labels).double().mean().item()


@detectors
@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.1])
def test_a_fitted_detector_flags_fpr_of_its_own_data(detector, fpr):
    log_joint, labels = clean()
    per_class = 1 / labels.bincount().min().item()          # rounding to whole images, class by class
    assert flag_rate(detector.fit(log_joint, labels, fpr), log_joint, labels) == pytest.approx(fpr, abs=per_class)


@detectors
def test_the_quantile_is_exact_within_every_class(detector):
    log_joint, labels = clean(400)
    labels = torch.arange(400) % 4
    flags = detector.fit(log_joint, labels, 0.05).flags(log_joint, labels)
    counts = [flags[labels == c].sum().item() for c in range(4)]
    assert sum(counts) == 20 if detector is Marginal else counts == [5, 5, 5, 5]  # marginal has one threshold


def test_the_published_rule_reaches_its_rate_on_a_normal_score():
    scores = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    limit = threshold(scores, 0.05, "alpha")
    assert abs((scores > limit).double().mean() - 0.05) <= 1.5e-4
    assert limit == pytest.approx(1.645, abs=0.02)


def test_the_published_rule_uses_the_population_standard_deviation():
    scores = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)     # no alpha gives 5 %
    assert threshold(scores, 0.05, "alpha") == pytest.approx(0.625 + threshold_alpha(scores) * 0.234375**0.5)


def threshold_alpha(scores) -> float:
    """Bisection in [0, 3] by hand, as the protocol words it."""
    low, high, alpha = 0.0, 3.0, 1.5
    for _ in range(20):
        rate = (scores > scores.mean() + alpha * scores.var(correction=0).sqrt()).double().mean()
        low, high = (alpha, high) if rate > 0.05 else (low, alpha)
        alpha = (low + high) / 2
    return alpha


@pytest.mark.parametrize("scores, end", [
    (torch.cat([torch.full((4,), 1e6), torch.zeros(96)]), 0.0),        # even alpha 0 flags less than 5 % ...
    (torch.cat([torch.full((6,), 1.0), torch.zeros(94)]), 3.0)])       # ... even alpha 3 flags more
def test_where_no_alpha_gives_the_rate_the_end_of_the_interval_is_used(scores, end):
    expected = scores.mean() + end * scores.std(correction=0)
    assert threshold(scores.double(), 0.05, "alpha") == pytest.approx(expected.item(), rel=1e-4)


def test_the_marginal_score_is_minus_log_p_of_x():
    log_joint = torch.tensor([[0.2, 0.3]]).log()
    torch.testing.assert_close(Marginal(0.0).score(log_joint), -torch.tensor([0.5], dtype=torch.float64).log())


def test_the_logit_score_belongs_to_the_given_class_and_to_the_best_one_by_default():
    fitted = Logit(torch.tensor([5.0, 1.0, 9.0], dtype=torch.float64))
    log_joint = torch.tensor([[-1.0, -3.0, -7.0]])
    assert fitted.score(log_joint).item() == 1 and fitted.score(log_joint, torch.tensor([1])).item() == 3
    assert not fitted.flags(log_joint).item() and fitted.flags(log_joint, torch.tensor([1])).item()


def test_a_logit_threshold_comes_from_the_images_of_that_class_alone():
    log_joint = torch.tensor([[-1.0, 0.0], [-1.0, 0.0], [0.0, -50.0], [0.0, -50.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert Logit.fit(log_joint, labels).thresholds.tolist() == [1.0, 50.0]


@pytest.mark.parametrize("detector, by_hand", [
    (KL, 0.5 * math.log(0.5 / 0.6) + 0.5 * math.log(0.5 / 0.4)), (TV, 0.1)])
def test_a_divergence_is_taken_from_the_mean_probabilities_of_the_class(detector, by_hand):
    train = torch.tensor([[0.25, 0.75], [0.75, 0.25], [0.1, 0.9]]).log() - 300       # class 0 has mean (1/2, 1/2)
    fitted = detector.fit(train, torch.tensor([0, 0, 1]))
    assert fitted.score(torch.tensor([[0.6, 0.4]]).log(), torch.tensor([0])).item() == pytest.approx(by_hand, rel=1e-4)


@detectors
def test_far_from_zero_and_far_apart_log_joints_give_finite_scores_and_gradients(detector):
    log_joint = torch.tensor([[-2000.0, 0.0, -900.0], [0.0, -5000.0, -1.0], [-3.0, -1.0, 900.0]], requires_grad=True)
    fitted = detector.fit(log_joint.detach(), torch.tensor([1, 0, 2]))
    scores = fitted.score(log_joint, torch.tensor([0, 1, 1]))
    (gradient,) = torch.autograd.grad(scores.sum(), log_joint)
    assert torch.isfinite(scores).all() and torch.isfinite(gradient).all()


@detectors
def test_scores_of_a_batch_and_of_its_images_alone_agree(detector):
    log_joint, labels = clean(500)
    fitted = detector.fit(log_joint, labels)
    alone = torch.cat([fitted.score(log_joint[i:i + 1], labels[i:i + 1]) for i in range(20)])
    torch.testing.assert_close(fitted.score(log_joint[:20], labels[:20]), alone)


@detectors
@rules
@pytest.mark.parametrize("change, message", [
    (dict(log_joint=torch.tensor([[0.0, float("nan")], [0.0, 1.0]])), r"images \[0\] hold NaN"),
    (dict(log_joint=torch.zeros(0, 2), labels=torch.zeros(0, dtype=torch.int64)), "no log joints"),
    (dict(labels=torch.tensor([0, 2])), "labels range from 0 to 2"),
    (dict(labels=torch.tensor([0, 0])), r"label \[1\].*fit on more images"),
    (dict(fpr=0.0), "fpr is 0.0"), (dict(fpr=5.0), "fpr is 5.0"), (dict(fpr=float("nan")), "fpr is nan")])
def test_unusable_training_scores_are_refused(detector, rule, change, message):
    good = dict(log_joint=torch.tensor([[1.0, 0.0], [0.0, 1.0]]), labels=torch.tensor([0, 1]), fpr=0.05)
    with pytest.raises(ValueError, match=message):
        detector.fit(**(good | change), rule=rule)


@detectors
def test_an_unknown_rule_is_refused_with_the_choices(detector):
    with pytest.raises(ValueError, match="'median'.*quantile, alpha"):
        detector.fit(*clean(50), rule="median")


@pytest.mark.parametrize("detector", [Logit, KL, TV])
def test_scores_of_another_number_of_classes_are_refused(detector):
    fitted = detector.fit(*clean(200, classes=4))
    with pytest.raises(ValueError, match=r"shape \(3, 2\); expected \(image, 4\)"):
        fitted.score(torch.zeros(3, 2))


@pytest.mark.parametrize("detector", [Logit, KL, TV])
@pytest.mark.parametrize("wrong", [7, -1])
def test_predictions_that_are_no_class_are_refused(detector, wrong):
    log_joint, labels = clean(200, classes=4)
    fitted = detector.fit(log_joint, labels)
    said = rf"predictions range from {min(wrong, 0)} to {max(wrong, 0)}; expected 0 to 3"
    for ask in (fitted.score, fitted.flags):
        with pytest.raises(ValueError, match=said):
            ask(log_joint[:2], torch.tensor([0, wrong]))
