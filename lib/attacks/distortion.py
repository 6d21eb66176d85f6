"""The smallest change of an image that a system accepts as another class, by bisection of its price (equation 15)."""

from collections.abc import Callable

import torch

from lib.attacks.gradient import adam_pgd, best_by
from lib.attacks.inputs import (Images, KeepFn, LossFn, Mask, Number, check_count, check_gradient, check_images,
                                check_size)
from lib.attacks.norms import L2

FAR = 1000.0        # radius of the ball of the published attack: no bound in [0, 1] pixels


def smallest_change(score: LossFn, success: Callable[[Images], Mask], x: Images, *, rounds: int = 20, steps: int = 1000,
                    step_size: Number = 1.0, c_max: Number = 8.0, best_iterate: bool = False) -> tuple[Images, Mask]:
    """Ascend score(x') - c |x' - x|^2 by Adam from x, with c bisected image by image between 0 and c_max.

    success(x'): whether an image counts. c starts at 0; after a success it grows (a smaller change is asked for), after
    a failure it falls. best_iterate: look at every iterate instead of the last of a round (the published rule), which
    costs one call of `success` more a step. c: logits per squared unit of pixel distance.
    Returns the closest success of all rounds, and which images have any; others come back clean. An image that counts
    as it is has moved by nothing.
    Source: Yin et al. (2020), section 5.1.3 and appendix C; the numbers are those of their code on MNIST.
    Raises ValueError for counts below 1 and sizes that are negative or not finite.
    """
    check_images(x)
    for name, value in {"rounds": rounds, "steps": steps}.items():
        check_count(name, value)
    check_size("c_max", c_max, "published: 8 on MNIST")
    x = x.detach()
    low, high, c = torch.zeros(len(x)).to(x), torch.full((len(x),), float(c_max)).to(x), torch.zeros(len(x)).to(x)
    best, nearest = x.clone(), torch.full((len(x),), torch.inf).to(x)
    with torch.no_grad():
        nearest[success(x)] = 0
    for _ in range(rounds):
        keep: KeepFn | None = best_by(lambda z: -_squared(z, x), success) if best_iterate else None
        price = c.clone()
        found = adam_pgd(lambda z: check_gradient("score", score(z)) - price * _squared(z, x), x, L2(FAR), steps=steps,
                         step_size=step_size, keep=keep)
        with torch.no_grad():
            ok, distance = success(found), _squared(found, x)
        better = ok & (distance < nearest)
        best, nearest = torch.where(better[:, None, None, None], found, best), torch.where(better, distance, nearest)
        low, high = torch.where(ok, c, low), torch.where(ok, high, c)
        c = (low + high) / 2
    return best, nearest.isfinite()


def _squared(a: Images, b: Images) -> torch.Tensor:
    return (a - b).square().sum((1, 2, 3))
