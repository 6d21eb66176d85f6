"""Attacks that follow the gradient inside a ball: FGSM, PGD and MIM by its sign or direction, and Adam.

All run one loop: move, clip the image to the box [0, 1], clip the perturbation to the ball. The result lies in both
(to rounding), images do not influence each other, and no gradient is left on any model parameter. `loss_fn(x)` gives
one number an image, to ascend. `keep(x)` says which iterates count; the last that counts is returned, and x where none
does. Without it the last iterate is returned. Of a batch without images nothing is asked, and it comes back.

Errors, before any gradient is taken: TypeError or ValueError for images outside [0, 1] or of another type, for settings
that are negative, NaN or not whole, and for a start of another shape. FloatingPointError at the end if a gradient was
NaN (whose sign is 0, so that the attack would stand still and the classifier look robust).
"""

from collections.abc import Callable

import torch

from lib.attacks.inputs import (Images, KeepFn, LossFn, Mask, Number, PerImage, check_count, check_gradient,
                                check_images, check_shape, check_size)
from lib.attacks.norms import Ball

MIM_FLOOR = 1e-12
BETAS = (0.9, 0.999)     # of Adam


def fgsm(loss_fn: LossFn, x: Images, ball: Ball, *, keep: KeepFn | None = None) -> Images:
    """One step from x to the border of the ball (Goodfellow et al. 2015)."""
    return pgd(loss_fn, x, ball, steps=1, step_size=ball.eps, keep=keep)


def pgd(loss_fn: LossFn, x: Images, ball: Ball, *, steps: int, step_size: Number, start: Images | Number = 0.0,
        keep: KeepFn | None = None) -> Images:
    """Projected gradient ascent from x + start (Madry et al. 2018).

    start: a perturbation inside the ball. x + start may leave the box, and the first gradient is then taken out there;
    so did the published attacks (CleverHans), whose start is uniform in +-eps: `ball.random_start`.
    step_size: length of a step in the ball's norm, pixels in [0, 1].
    """
    return _ascend(loss_fn, x, ball, ball.step, steps=steps, step_size=step_size, start=start, keep=keep)


def mim(loss_fn: LossFn, x: Images, ball: Ball, *, steps: int, step_size: Number, decay: Number = 1.0,
        keep: KeepFn | None = None) -> Images:
    """Gradient ascent with momentum, from x itself (Dong et al. 2018).

    Each gradient is divided by its mean absolute value over the image (at least 1e-12) and added to `decay` times the
    momentum. The paper divides by the sum; the mean is what CleverHans does, and the sign does not see the difference.
    CleverHans clips to the ball before the box; in the l-infinity norm the two orders are one.
    """
    check_images(x)
    check_size("decay", decay, "1.0 is the published value")
    momentum = torch.zeros_like(x)

    def direction(grad: Images) -> Images:
        nonlocal momentum
        momentum = decay * momentum + grad / grad.abs().mean((1, 2, 3), keepdim=True).clamp_min(MIM_FLOOR)
        return ball.step(momentum)

    return _ascend(loss_fn, x, ball, direction, steps=steps, step_size=step_size, start=0.0, keep=keep)


def adam_pgd(loss_fn: LossFn, x: Images, ball: Ball, *, steps: int, step_size: Number, start: Images | Number = 0.0,
             keep: KeepFn | None = None) -> Images:
    """Projected ascent with Adam's steps on the perturbation; its moments start at zero and do not see the projection.

    Source: Yin et al. (2020), whose code uses it on MNIST and in the plane, with "step size" for Adam's rate and
    standard moments (0.9, 0.999). Their framework adds its 1e-8 before the bias correction; this adds it after.
    """
    check_images(x)
    mean, square, taken = torch.zeros_like(x), torch.zeros_like(x), 0

    def direction(grad: Images) -> Images:
        nonlocal mean, square, taken
        taken += 1
        mean, square = mean.lerp(grad, 1 - BETAS[0]), square.lerp(grad.square(), 1 - BETAS[1])
        return mean / (1 - BETAS[0] ** taken) / ((square / (1 - BETAS[1] ** taken)).sqrt() + 1e-8)

    return _ascend(loss_fn, x, ball, direction, steps=steps, step_size=step_size, start=start, keep=keep)


def best_by(score: Callable[[Images], PerImage], counts: KeepFn | None = None) -> KeepFn:
    """A `keep` under which an attack returns, image by image, its best iterate instead of its last.

    score: what should be large. counts: which iterates may be returned at all (default: every one). Costs one more
    forward pass a step. It remembers the best so far: make a new one for every attack.
    """
    best = torch.tensor(-torch.inf)

    def keep(x: Images) -> Mask:
        nonlocal best
        with torch.no_grad():
            now = score(x)
            better = now > best.to(now)
            if counts is not None:
                better = better & counts(x)
        best = torch.where(better, now, best.to(now))
        return better
    return keep


def input_gradient(loss_fn: LossFn, x: Images) -> Images:
    """The gradient of each image's loss with respect to that image. Model parameters get none."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        loss = loss_fn(x)
        check_gradient("loss_fn", check_shape(loss, x))
        return torch.autograd.grad(loss.sum(), x)[0]        # a sum, so that images do not mix


def _ascend(loss_fn: LossFn, x: Images, ball: Ball, direction: Callable[[Images], Images], *, steps: int,
            step_size: Number, start: Images | Number, keep: KeepFn | None) -> Images:
    check_images(x)
    check_count("steps", steps)
    check_size("step_size", step_size, "for example 2.5 * eps / steps")
    start = torch.as_tensor(start, dtype=x.dtype, device=x.device)
    if start.ndim and start.shape != x.shape:
        raise ValueError(f"start has shape {tuple(start.shape)}, x {tuple(x.shape)}; expected the same, or 0.0")

    x = x.detach()
    if not len(x):
        return x
    x_adv = x + ball.project(start.expand_as(x))
    kept, largest = x, torch.zeros((), dtype=x.dtype, device=x.device)
    for _ in range(steps):
        grad = input_gradient(loss_fn, x_adv)
        # NaN and inf stay; looked at once, at the end: no waiting
        largest = torch.maximum(largest, torch.linalg.vector_norm(grad, torch.inf))
        # in place: fresh memory is what a step costs
        moved = (step_size * direction(grad)).add_(x_adv).clamp_(0, 1)
        x_adv = torch.add(x, ball.project(moved.sub_(x))).clamp_(0, 1)      # the last clip undoes rounding alone
        if keep is not None:
            kept = torch.where(keep(x_adv)[:, None, None, None], x_adv, kept)
    if not largest.isfinite() or not x_adv.isfinite().all():
        raise FloatingPointError("a gradient of the loss was NaN or infinite; expected finite numbers: look for log(0),"
                                 " 0/0 or an overflow in logits_fn")
    return x_adv if keep is None else kept
