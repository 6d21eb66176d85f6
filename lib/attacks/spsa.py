"""The gradient-free attack of Uesato et al. (2018): simultaneous perturbation stochastic approximation."""

import torch

from lib.attacks.gradient import adam_pgd
from lib.attacks.inputs import Images, LossFn, Number, check_count, check_shape, check_size
from lib.attacks.norms import Ball, Generators, Linf

SAMPLES, DELTA, RATE = 64, 0.01, 0.01                    # CleverHans: 128 values a step; Li et al. (2019) with it


def spsa(loss_fn: LossFn, x: Images, ball: Ball, *, steps: int, generator: Generators, samples: int = SAMPLES,
         delta: Number = DELTA, step_size: Number = RATE, start: Images | Number = 0.0) -> Images:
    """Adam's steps inside a ball, along gradients estimated from values of the loss alone.

    steps: gradient estimates. samples: pairs of values in each. delta: distance at which the loss is looked at, pixels
    in [0, 1]; those points may lie outside the box. step_size: Adam's rate. generator: of the directions.
    start: added to x (published: uniform in the ball, `ball.random_start`).
    Costs 2 * samples calls of loss_fn a step, and no memory beyond one call's. Against a randomised classifier the two
    values of a pair should see the same noise, or its differences drown the slope (as they did in the published runs);
    `averaged` losses narrow them. Uesato et al. recommend the margin as loss.
    Raises as `pgd`, and TypeError or ValueError for samples or delta that are not positive.
    """
    return adam_pgd(estimated(loss_fn, samples=samples, delta=delta, generator=generator), x, ball, steps=steps,
                    step_size=step_size, start=start)


def estimated(loss_fn: LossFn, *, samples: int, delta: Number, generator: Generators) -> LossFn:
    """A loss whose gradient is the estimate: the mean over random signs v of v (f(x + dv) - f(x - dv)) / 2d.

    Its value is meaningless. Each call draws new signs.
    """
    check_count("samples", samples)
    check_size("delta", delta, "0.01 is the published value")
    if not delta:
        raise ValueError(f"delta is 0; expected a distance at which the loss can differ, such as {DELTA}")

    def loss(x: Images):
        with torch.no_grad():
            slope = torch.zeros_like(x)
            for _ in range(samples):
                move = delta * Linf(1).random_start(x, generator).sign_()
                rise = check_shape(loss_fn(x + move), x) - loss_fn(x - move)
                slope.addcmul_(rise[:, None, None, None], move)         # delta times the signs: divided out below
        return (slope / (2 * delta**2 * samples) * x).sum((1, 2, 3))
    return loss
