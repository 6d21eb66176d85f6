"""FGSM, PGD, MIM and Adam: identities with known answers, and the published algorithms written out by hand."""

import pytest
import torch

from lib.attacks import L2, Linf, adam_pgd, best_by, cross_entropy, fgsm, input_gradient, margin, mim, pgd
from lib.attacks.norms import length
from tests.toys import Smooth, centred, generator, random_images, random_normal

Y = torch.tensor([0, 1, 2, 1])
BALLS = [Linf(0.1), Linf(0.4), L2(0.5), L2(2.0)]
ATTACKS = {
    "fgsm": fgsm,
    "pgd": lambda loss, x, ball, **more: pgd(loss, x, ball, steps=10, step_size=0.3 * ball.eps, **more),
    "pgd, random start": lambda loss, x, ball, **more: pgd(
        loss, x, ball, steps=10, step_size=0.3 * ball.eps,
        start=ball.random_start(x, [generator(int(1000 * image[0, 0, 0])) for image in x]), **more),
    "mim": lambda loss, x, ball, **more: mim(loss, x, ball, steps=10, step_size=0.3 * ball.eps, **more),
    "adam": lambda loss, x, ball, **more: adam_pgd(loss, x, ball, steps=10, step_size=0.3 * ball.eps, **more),
}
every_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def with_black_and_white(dtype=torch.float64):
    """Four toy images, the first of black and white pixels alone."""
    x = random_images(dtype=dtype)
    x[0] = x[0].round()
    return x


@pytest.mark.parametrize("attack, ball, dual", [(attack, *case) for name, attack in ATTACKS.items()
                                                for case in ((Linf(0.1), 1), (L2(0.5), 2))
                                                if (name, case[1]) != ("adam", 2)])
def test_on_a_linear_loss_the_gain_is_eps_times_the_dual_norm(attack, ball, dual):
    weight = random_normal(4, 1, 2, 3)
    x = torch.full_like(weight, 0.5)                    # far from the box, so only the ball binds
    adv = attack(lambda x: (weight * x).sum((1, 2, 3)), x, ball)
    gain = (weight * (adv - x)).sum((1, 2, 3))
    torch.testing.assert_close(gain, ball.eps * weight.flatten(1).norm(p=dual, dim=1), rtol=0.02, atol=0)


def test_on_a_linear_loss_adam_goes_along_the_diagonal_of_an_l2_ball():
    """Each pixel takes steps of one length, whatever its gradient: the gain is that of the sign, not of the
    gradient."""
    weight, eps = random_normal(4, 1, 2, 3), 0.5
    x = torch.full_like(weight, 0.5)
    adv = ATTACKS["adam"](lambda x: (weight * x).sum((1, 2, 3)), x, L2(eps))
    torch.testing.assert_close(adv - x, eps * weight.sign() / 6 ** 0.5, rtol=1e-6, atol=0)


@pytest.mark.parametrize("ball", [Linf(0), L2(0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_attack
def test_eps_0_returns_x_exactly(attack, ball, dtype):
    x = with_black_and_white(dtype)
    assert torch.equal(attack(cross_entropy(Smooth(dtype=dtype), Y), x, ball), x)


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_attack
def test_the_result_is_inside_ball_and_box(attack, ball, dtype):
    x = with_black_and_white(dtype)
    adv = attack(cross_entropy(Smooth(dtype=dtype), Y), x, ball)
    size = (adv - x).flatten(1).norm(p=torch.inf if isinstance(ball, Linf) else 2, dim=1)
    assert (size <= ball.eps + (1e-6 if dtype == torch.float32 else 1e-12)).all()
    assert adv.min() >= 0 and adv.max() <= 1 and adv.dtype == dtype


@pytest.mark.parametrize("ball", BALLS)
@every_attack
def test_a_batch_and_its_images_alone_give_the_same_attack(attack, ball):
    x, model = random_images(), Smooth()
    batch = attack(cross_entropy(model, Y), x, ball)
    alone = [attack(cross_entropy(model, Y[i:i + 1]), x[i:i + 1], ball) for i in range(4)]
    torch.testing.assert_close(batch, torch.cat(alone), rtol=0, atol=1e-12)


@every_attack
def test_no_gradient_is_left_on_the_model_or_the_image(attack):
    x, model = random_images(), Smooth()
    x.requires_grad_()
    adv = attack(cross_entropy(model, Y), x, Linf(0.1))
    assert x.grad is None and not adv.requires_grad
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@every_attack
def test_attacks_work_where_gradients_are_switched_off(attack):
    x, loss = random_images(), cross_entropy(Smooth(), Y)
    with torch.no_grad():
        quiet = attack(loss, x, Linf(0.1))
    assert torch.equal(quiet, attack(loss, x, Linf(0.1)))


@every_attack
def test_a_linear_classifier_loses_accuracy_as_eps_grows(attack):
    model, x = centred(random_normal(2, 6)), random_images(200)
    y = model(x).argmax(1)
    loss = cross_entropy(model, y)
    accuracy = [(model(attack(loss, x, Linf(eps))).argmax(1) == y).double().mean().item()
                for eps in (0, 0.05, 0.1, 0.2, 0.4)]
    assert accuracy[0] == 1 and accuracy == sorted(accuracy, reverse=True) and accuracy[-1] < 0.5


def test_a_linear_classifier_is_misread_exactly_where_the_margin_is_within_reach():
    model, x = centred(random_normal(2, 6)), random_images(200, low=0.3, high=0.7)
    y, eps = model(x).argmax(1), 0.2                    # 0.2 from any pixel stays in the box
    reach = eps * (model.weight[0] - model.weight[1]).abs().sum()
    misread = model(fgsm(margin(model, y), x, Linf(eps))).argmax(1) != y
    assert torch.equal(misread, -margin(model, y)(x) < reach)


def test_pgd_is_the_published_algorithm():
    x, model, eps = with_black_and_white(), Smooth(), 0.2
    loss, start = cross_entropy(model, Y), Linf(eps).random_start(x, generator(1))
    assert ((x + start) < 0).any() and ((x + start) > 1).any()
    delta = start
    for _ in range(7):
        image = x + delta + 0.05 * input_gradient(loss, x + delta).sign()
        delta = (image.clamp(0, 1) - x).clamp(-eps, eps)            # the image to the box, then delta to the ball
    ours = pgd(loss, x, Linf(eps), steps=7, step_size=0.05, start=start)
    torch.testing.assert_close(ours, (x + delta).clamp(0, 1), rtol=0, atol=1e-12)


def test_the_first_gradient_of_pgd_is_taken_at_the_start_outside_the_box():
    seen, x, ball = [], with_black_and_white(), Linf(0.3)
    start = ball.random_start(x, generator(1))

    def loss(image):
        seen.append(image.detach())
        return image.sum((1, 2, 3))

    pgd(loss, x, ball, steps=2, step_size=0.01, start=start)
    torch.testing.assert_close(seen[0], x + start)
    assert seen[0].min() < 0 and seen[1].min() >= 0 and seen[1].max() <= 1


def test_mim_is_the_published_algorithm():
    x, model, eps = random_images(), Smooth(), 0.2
    loss = cross_entropy(model, Y)
    delta, momentum = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(7):
        grad = input_gradient(loss, x + delta)
        momentum = momentum + grad / grad.abs().mean((1, 2, 3), keepdim=True)
        delta = (delta + 0.05 * momentum.sign()).clamp(-eps, eps)   # delta to the ball, then the image to the box
        delta = (x + delta).clamp(0, 1) - x
    torch.testing.assert_close(mim(loss, x, Linf(eps), steps=7, step_size=0.05), x + delta, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ball", [Linf(0.2), L2(0.5)])
def test_adam_is_that_of_torch_with_a_projection_after_each_step(ball):
    x, model = with_black_and_white(), Smooth()
    loss, start = cross_entropy(model, Y), ball.random_start(x, generator(1))
    delta = start.clone().requires_grad_()
    adam = torch.optim.Adam([delta], lr=0.05, maximize=True)
    for _ in range(7):
        adam.zero_grad()
        loss(x + delta).sum().backward()
        adam.step()
        with torch.no_grad():
            delta.copy_(ball.project((x + delta).clamp(0, 1) - x))
    ours = adam_pgd(loss, x, ball, steps=7, step_size=0.05, start=start)
    torch.testing.assert_close(ours, x + delta.detach(), rtol=0, atol=1e-12)
    assert not torch.equal(ours, pgd(loss, x, ball, steps=7, step_size=0.05, start=start))


def test_mim_without_memory_is_pgd():
    x, loss = random_images(), cross_entropy(Smooth(), Y)
    torch.testing.assert_close(mim(loss, x, L2(0.5), steps=7, step_size=0.1, decay=0),
                               pgd(loss, x, L2(0.5), steps=7, step_size=0.1))


def test_a_zero_gradient_moves_nothing():
    x = random_images()
    for name, attack in ATTACKS.items():
        adv = attack(lambda x: 0 * x.sum((1, 2, 3)), x, L2(0.5))
        one = pgd(lambda x: 0 * x.sum((1, 2, 3)), x, L2(0.5), steps=1, step_size=0.15, start=L2(0.5).random_start(
            x, [generator(int(1000 * image[0, 0, 0])) for image in x]))
        torch.testing.assert_close(adv, one if "random" in name else x)
    assert torch.equal(fgsm(lambda x: 0 * x.sum((1, 2, 3)), x, Linf(0.3)), x)


@pytest.mark.parametrize("scale", [1e-13, 1e-22, 1e-38, 1e30])
def test_a_step_in_l2_has_length_one_however_small_or_large_the_gradient(scale):
    grad = scale * (random_images().float() - 0.3)
    torch.testing.assert_close(length(L2(1.0).step(grad)), torch.ones(len(grad), 1, 1, 1).to(grad))


@every_attack
def test_an_infinite_gradient_is_an_error_and_no_attack_that_stands_still(attack):
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        attack(lambda x: x.sum((1, 2, 3)) + torch.inf * x[:, 0, 0, 0], random_images().clamp(0.2, 0.8), Linf(0.1))


def test_keep_returns_the_last_iterate_that_counts_and_x_where_none_does():
    x = torch.full((3, 1, 2, 3), 0.5)
    limit = torch.tensor([0.62, 0.9, 0.0])              # what the mean pixel may be; it rises by 0.05 a step

    adv = pgd(lambda x: x.sum((1, 2, 3)), x, Linf(0.2), steps=6, step_size=0.05,
              keep=lambda x: x.mean((1, 2, 3)) <= limit)
    torch.testing.assert_close(adv.mean((1, 2, 3)), torch.tensor([0.6, 0.7, 0.5]))


@pytest.mark.parametrize("counts", [None, lambda x: x[:, 0, 0, 0] < 0.6], ids=["all count", "some count"])
@pytest.mark.parametrize("attack", [pgd, mim, adam_pgd])
def test_best_by_returns_the_best_iterate_of_those_that_count(attack, counts):
    x, model, seen = random_images(), Smooth(), []
    loss, score = cross_entropy(model, Y), margin(model, (Y + 1) % 3)   # another aim, so that the last is not the best
    run = {"steps": 12, "step_size": 0.15}
    attack(loss, x, Linf(0.4), **run,
           keep=lambda image: (seen.append(image.clone()), torch.ones(len(x), dtype=torch.bool))[1])
    expected, best = x.clone(), [-torch.inf] * len(x)
    for image in seen:
        for i, value in enumerate(score(image).tolist()):
            if value > best[i] and (counts is None or counts(image)[i]):
                expected[i], best[i] = image[i], value
    found = attack(loss, x, Linf(0.4), **run, keep=best_by(score, counts))
    assert torch.equal(found, expected)
    assert len(seen) == 12 and not torch.equal(found, seen[-1])
