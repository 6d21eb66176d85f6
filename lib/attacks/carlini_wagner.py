"""The l2 attack of Carlini and Wagner (2017), with one fixed c and the bookkeeping of CleverHans."""

import torch

from lib.attacks.inputs import (Images, KeepFn, Labels, LogitsFn, Number, check_count, check_gradient, check_pair,
                                check_size)
from lib.attacks.losses import margin

SHRINK = 0.999999                                       # keeps arctanh finite at black and white
BETA1, BETA2, FLOOR = 0.9, 0.999, 1e-8                  # Adam's defaults


def carlini_wagner(logits_fn: LogitsFn, x: Images, y: Labels, *, c: Number, steps: int = 1000, lr: Number = 0.01,
                   confidence: Number = 0.0, keep: KeepFn | None = None) -> Images:
    """Minimise |delta|^2 + c * max(0, confidence - margin), the image written as (tanh(w) + 1) / 2, by Adam.

    margin: best other logit minus the true one. c: pixels squared per nat, fixed (one binary-search step).
    Returns for each image the misread iterate of smallest l2 distance, in [0, 1], and the clean image where none was
    misread. "Misread" means in the one evaluation whose gradient is taken too, as published: with a randomised
    classifier that rewards lucky draws, and many results are read correctly when looked at again. `keep(x)` adds a
    stricter test, such as a majority of fresh draws; it is called on the whole batch in every step.
    Distances are measured from the image that the tanh gives back, which is within 5e-7 of x.
    Raises TypeError or ValueError for images or labels of a wrong kind, and for settings that are negative or NaN;
    FloatingPointError at the end if a gradient was NaN.
    Source: Carlini and Wagner (2017), section V; CleverHans, without early abort. Adam as TensorFlow writes it.
    """
    check_pair(x, y)
    check_count("steps", steps)
    for name, value in {"c": c, "lr": lr, "confidence": confidence}.items():
        check_size(name, value, "published are c from 0.1 to 1000, lr 0.01, confidence 0")

    x = x.detach()
    w = torch.atanh(SHRINK * (2 * x - 1))
    origin, gap_of = _image(w), margin(logits_fn, y)
    mean, square = torch.zeros_like(w), torch.zeros_like(w)
    best, best_l2 = x, torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    for step in range(1, steps + 1):
        with torch.enable_grad():
            w = w.detach().requires_grad_()
            x_adv = _image(w)
            l2 = (x_adv - origin).square().sum((1, 2, 3))
            gap = gap_of(x_adv)
            check_gradient("logits_fn", gap)        # the distance has one of its own, so that nothing else would tell
            (grad,) = torch.autograd.grad((l2 + c * (confidence - gap).clamp_min(0)).sum(), w)
        better = (gap > confidence) & (l2 < best_l2)
        if keep is not None:
            better &= keep(x_adv.detach())
        best = torch.where(better[:, None, None, None], x_adv.detach(), best)
        best_l2 = torch.where(better, l2.detach(), best_l2)

        mean = BETA1 * mean + (1 - BETA1) * grad
        square = BETA2 * square + (1 - BETA2) * grad.square()
        rate = lr * (1 - BETA2 ** step) ** 0.5 / (1 - BETA1 ** step)
        w = w.detach() - rate * mean / (square.sqrt() + FLOOR)
    if not w.isfinite().all():
        raise FloatingPointError("a gradient of the attack was NaN; expected finite numbers: look for log(0), 0/0 or "
                                 "an overflow in logits_fn")
    return best.clamp(0, 1)


def _image(w: torch.Tensor) -> Images:
    return (torch.tanh(w) + 1) / 2
