"""Balls: steps, projections and random starts with known answers."""

import pytest
import torch

from lib.attacks import L2, Linf
from tests.toys import generator, random_images, random_normal

BALLS = [Linf(0.1), L2(0.5)]
ORDER = {Linf: torch.inf, L2: 2}
DUAL = {Linf: 1, L2: 2}


def norm(ball, delta):
    return delta.flatten(1).norm(p=ORDER[type(ball)], dim=1)


@pytest.mark.parametrize("ball", BALLS)
def test_a_step_has_length_one_and_gains_the_dual_norm(ball):
    grad = random_normal(5, 1, 2, 3)
    step = ball.step(grad)
    torch.testing.assert_close(norm(ball, step), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close((grad * step).sum((1, 2, 3)), grad.flatten(1).norm(p=DUAL[type(ball)], dim=1))


@pytest.mark.parametrize("ball", BALLS)
def test_no_gradient_gives_no_step(ball):
    assert (ball.step(torch.zeros(2, 1, 2, 3)) == 0).all()


@pytest.mark.parametrize("ball", BALLS)
def test_a_projection_ends_in_the_ball_and_leaves_its_points_alone(ball):
    inside = ball.project(random_normal(50, 1, 2, 3))
    assert (norm(ball, inside) <= ball.eps * (1 + 1e-12)).all()
    torch.testing.assert_close(ball.project(inside), inside)


@pytest.mark.parametrize("ball", BALLS)
def test_a_projection_is_the_nearest_point_of_the_ball(ball):
    far = random_normal(1, 1, 2, 3)
    others = ball.random_start(far.expand(2000, -1, -1, -1), generator(1))
    nearest = (far - ball.project(far)).norm()
    assert (others - far).flatten(1).norm(dim=1).min() >= nearest


@pytest.mark.parametrize("ball", BALLS)
def test_a_random_start_is_uniform_in_the_ball(ball):
    x = random_images(4000)
    start = ball.random_start(x, generator(0))
    share = norm(ball, start) / ball.eps                # of the volume, share ** 6 lies inside: uniform in [0, 1]
    assert share.max() <= 1
    torch.testing.assert_close((share ** 6).mean().item(), 0.5, atol=0.02, rtol=0)
    torch.testing.assert_close(start.mean((0, 1)) / ball.eps, torch.zeros(2, 3, dtype=x.dtype), atol=0.05, rtol=0)


@pytest.mark.parametrize("ball", BALLS)
def test_with_a_generator_an_image_a_batch_and_its_images_alone_start_alike(ball):
    x = random_images(3)
    batch = ball.random_start(x, [generator(i) for i in range(3)])
    for i in range(3):
        torch.testing.assert_close(batch[i:i + 1], ball.random_start(x[i:i + 1], [generator(i)]))


@pytest.mark.parametrize("kind", [Linf, L2])
@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf"), True])
def test_an_impossible_eps_is_refused_by_value(kind, eps):
    with pytest.raises(ValueError, match=f"{kind.__name__}'s eps is {eps}; expected a finite number.*: pass the"):
        kind(eps)


def test_grey_levels_given_as_eps_are_refused():
    with pytest.raises(ValueError, match="eps is 8; expected at most 1.*divide grey levels by 255"):
        Linf(8)


def test_a_number_of_generators_that_fits_no_batch_is_refused():
    with pytest.raises(ValueError, match="2 generators for 3 images; expected one, or one an image"):
        Linf(0.1).random_start(random_images(3), [generator(0), generator(1)])
