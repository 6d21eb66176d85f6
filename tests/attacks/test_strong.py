"""The strong protocol: what is within reach is found, survivors are carried, and cutting the work changes nothing."""

from functools import partial

import pytest
import torch

from lib.attacks import L2, Linf, input_gradient, margin, misread_share, strong
from lib.attacks.strong import STRIDES, objective, others, stretches
from lib.profiles import PROFILES
from tests.toys import Noisy, Smooth, centred, generator, random_images, random_normal

EPS = (0.02, 0.05, 0.1, 0.2)
CERTAIN = {"draws": 1, "verdict_draws": 1}


def starts(x, ball, restarts=2):
    """Points of the unit ball, keyed by restart and image."""
    seeds = [[generator(100 * r + i) for i in range(len(x))] for r in range(restarts)]
    return torch.stack([type(ball)(1).random_start(x, g) for g in seeds])


@pytest.fixture
def linear():
    model, x = centred(random_normal(2, 6)), random_images(60, low=0.3, high=0.7)
    return model, x, model(x).argmax(1)


@pytest.mark.parametrize("kind, dual", [(Linf, 1), (L2, 2)])
def test_on_a_linear_classifier_it_breaks_exactly_what_is_within_reach(linear, kind, dual):
    model, x, y = linear
    balls = [kind(eps) for eps in EPS]
    found = strong(lambda index: model, x, y, balls, starts=starts(x, balls[0]), steps=60, check=15, **CERTAIN)
    reach = torch.tensor(EPS)[:, None] * (model.weight[0] - model.weight[1]).norm(p=dual)
    broken = torch.stack([model(adv).argmax(1) != y for adv in found])
    needed = -margin(model, y)(x)
    clear = ((needed - reach).abs() > 0.02 * reach)     # the last 2 % of the way may be missed
    assert torch.equal(broken & clear, (needed < reach) & clear)
    assert 0 < broken[0].sum() < broken[-1].sum()


@pytest.mark.parametrize("kind", [Linf, L2])
def test_the_result_is_inside_each_ball_and_the_box(kind):
    x, y, balls = random_images(), torch.tensor([0, 1, 2, 1]), [kind(eps) for eps in EPS]
    found = strong(lambda index: Smooth(), x, y, balls, starts=starts(x, balls[0]), steps=10, check=3, **CERTAIN)
    for ball, adv in zip(balls, found, strict=True):
        assert ((adv - x).flatten(1).norm(p=torch.inf if kind is Linf else 2, dim=1) <= ball.eps + 1e-12).all()
        assert adv.min() >= 0 and adv.max() <= 1


def test_an_image_broken_in_a_small_ball_is_carried_to_the_larger_ones(linear):
    model, x, y = linear
    attacked = []

    def logits_fn_of(index):
        attacked.append(index.tolist())
        return model

    found = strong(logits_fn_of, x, y, [Linf(0.1), Linf(0.2)], starts=starts(x, Linf(1)), steps=10, check=5, **CERTAIN)
    first = model(found[0]).argmax(1) != y
    assert first.any() and torch.equal(found[0][first], found[1][first])
    assert attacked[0] == list(range(len(x))) and not set(attacked[-1]) & set(first.nonzero()[:, 0].tolist())


def test_an_image_that_is_misread_already_is_not_attacked(linear):
    model, x, y = linear
    found = strong(lambda index: model, x, 1 - y, [Linf(0.1)], starts=starts(x, Linf(1)), **CERTAIN)
    assert torch.equal(found[0], x)


def test_eps_0_returns_x_exactly(linear):
    model, x, y = linear
    assert torch.equal(strong(lambda index: model, x, y, [Linf(0)], starts=starts(x, Linf(1)), **CERTAIN)[0], x)


@pytest.mark.parametrize("parts", [[[i] for i in range(8)], [[0, 1, 2], [3, 4, 5, 6, 7]], [[7, 2, 5, 0], [1, 3, 4, 6]]])
def test_cutting_the_work_into_other_units_gives_the_same_attack(parts):
    x, balls, model = random_images(8), [Linf(eps) for eps in EPS], Smooth()
    y = model(x).argmax(1)

    def attack(images):
        return strong(Noisy(model, 0.5, images).of, x[images], y[images], balls, starts=starts(x, Linf(1))[:, images],
                      steps=12, check=4, draws=2, verdict_draws=5)

    whole = attack(list(range(8)))
    broken = torch.stack([model(adv).argmax(1) != y for adv in whole])
    assert broken.any() and not broken.all()            # else nothing leaves the batch, or nothing stays
    for images in parts:
        torch.testing.assert_close(attack(images), whole[:, images], rtol=0, atol=1e-12)


@pytest.mark.parametrize("check", [1, 3, 25, 1000])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 20, 21, 100])
def test_each_stage_takes_a_quarter_of_the_steps_however_often_one_looks(steps, check):
    found = stretches(steps, check)
    assert [stride for length, stride in found for _ in range(length)] == [STRIDES[4 * step // steps]
                                                                           for step in range(steps)]
    assert all(1 <= length <= check for length, _ in found)


@pytest.mark.parametrize("steps", [10, 20, 21])
def test_by_default_one_looks_at_the_end_of_each_stage(steps):
    x, balls, model = random_images(8), [Linf(0.05), Linf(0.2)], Smooth()
    y = model(x).argmax(1)
    attack = partial(strong, lambda index: model, x, y, balls, starts=starts(x, Linf(1)), steps=steps, **CERTAIN)
    assert torch.equal(attack(), attack(check=1000))
    assert stretches(steps, -(-steps // 4)) == stretches(steps, 1000)


@pytest.mark.parametrize("steps", sorted({profile.steps["strong"] for profile in PROFILES.values()}))
def test_experiments_take_the_stretches_that_they_took_before_stages_cut_them(steps):
    check = max(1, steps // 4)
    before = [(min(check, steps - begin), STRIDES[4 * begin // steps]) for begin in range(0, steps, check)]
    assert stretches(steps, -(-steps // 4)) == before


def test_the_attack_finds_the_images_that_it_found_before_stages_cut_stretches():
    x, balls, model = random_images(6), [Linf(0.05), Linf(0.2)], Smooth()
    found = strong(Noisy(model, 0.5).of, x, model(x).argmax(1), balls, starts=starts(x, Linf(1)), steps=12,
                   check=3, draws=2, verdict_draws=5)
    moved = torch.tensor([[0.179946998193447061, 0.0, -0.00749999999999978462, 0.0, 0.0, 0.2],
                          [0.229946998193446828, -0.376799526203714097, -0.4, -0.309735260237446131, 0.0, 0.2]],
                         dtype=torch.float64)
    torch.testing.assert_close((found - x).flatten(2).sum(2), moved, rtol=0, atol=1e-12)


def test_averaging_and_majority_see_through_noise(linear):
    model, x, y = linear
    found = strong(Noisy(model, 0.3).of, x, y, [Linf(0.2)], starts=starts(x, Linf(1)), steps=20, check=10)[0]
    exact = strong(lambda index: model, x, y, [Linf(0.2)], starts=starts(x, Linf(1)), steps=20, check=10, **CERTAIN)[0]
    assert (margin(model, y)(found) - margin(model, y)(x)).mean() > 0
    broken, within_reach = (model(adv).argmax(1) != y for adv in (found, exact))
    assert (broken == within_reach).double().mean() > 0.8


def test_an_image_is_let_go_only_when_every_draw_misreads_it(linear):
    """With noise as large as the margin a majority is soon lost, but each further ball still adds to the share."""
    model, x, y = linear
    balls = [Linf(0.05), Linf(0.3)]
    found = strong(Noisy(model, 0.5).of, x, y, balls, starts=starts(x, Linf(1)), steps=20, check=10)
    share = [misread_share(Noisy(model, 0.5, range(1000, 1100)).of(torch.arange(len(x))), adv, y, 20) for adv in found]
    lucky = (share[0] > 0.5) & (share[0] < 0.9)
    assert lucky.any() and (share[1] >= share[0] - 0.2).all()
    assert share[1][lucky].mean() > share[0][lucky].mean() + 0.1


def test_restarts_go_for_the_likeliest_other_class_first_then_for_the_next():
    logits = torch.tensor([[0.0, 3.0, 5.0, 4.0]])
    ranked = others(lambda x: logits, random_images(1), torch.tensor([1]), 2)
    assert ranked.tolist() == [[2, 3, 0]]
    rises = [input_gradient(objective(restart, lambda x: x.flatten(1), torch.tensor([1]), ranked),
                            logits.view(1, 1, 1, 4))
             for restart in (0, 2, 4, 6)]
    assert [int(gradient.argmax()) for gradient in rises] == [2, 3, 0, 2]
    every = input_gradient(objective(1, lambda x: x.flatten(1), torch.tensor([1]), ranked), logits.view(1, 1, 1, 4))
    assert (every.flatten() > 0).tolist() == [True, False, True, True]      # the cross-entropy raises all of them


def test_misread_share_counts_calls(linear):
    model, x, y = linear
    answers = iter([y, 1 - y, 1 - y, y])
    share = misread_share(lambda x: torch.nn.functional.one_hot(next(answers), 2).double(), x, y, 4)
    assert (share == 0.5).all()


def test_an_attack_without_a_start_is_refused(linear):
    model, x, y = linear
    with pytest.raises(ValueError, match="at least one restart"):
        strong(lambda index: model, x, y, [Linf(0.1)], starts=starts(x, Linf(1))[:0], **CERTAIN)
