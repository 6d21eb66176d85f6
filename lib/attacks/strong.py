"""The second, harder test: PGD with restarts on several losses, averaged gradients, and survivors carried on."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lib.attacks.gradient import pgd
from lib.attacks.inputs import Images, Labels, LogitsFn, LossFn, PerImage, check_count, check_logits, check_pair
from lib.attacks.losses import averaged, cross_entropy, towards
from lib.attacks.norms import Ball

STRIDES = (2, 1 / 2, 1 / 10, 1 / 40)    # of eps, a quarter of the steps each: cross the ball first, settle last


def exact_cross_entropy(logits_fn: LogitsFn, y: Labels) -> LossFn:
    """Cross-entropy in float64, which does not run out of gradient at a margin of 17 nats."""
    return cross_entropy(logits_fn, y, torch.float64)


def objective(restart: int, logits_fn: LogitsFn, y: Labels, rivals: Int64[Tensor, "some other"]) -> LossFn:
    """What a restart ascends. By turns, since what one loss cannot climb another often can: the lead of a fixed other
    class, the likeliest first, and the cross-entropy. So two restarts try one class, six try three.
    rivals: the other classes of each image in that order."""
    turn, untargeted = divmod(restart, 2)
    return exact_cross_entropy(logits_fn, y) if untargeted else towards(logits_fn, y, rivals[:, turn % rivals.shape[1]])


def strong(logits_fn_of: Callable[[Int64[Tensor, " some"]], LogitsFn], x: Images, y: Labels, balls: Sequence[Ball], *,
           starts: Float[Tensor, "restart batch channel height width"], steps: int = 100, draws: int = 4,
           verdict_draws: int = 10, check: int | None = None) -> Float[Tensor, "ball batch channel height width"]:
    """Attack every image in each ball, from the smallest ball to the largest; return one adversarial image for each.

    logits_fn_of(index): the classifier for the images at these positions of x; its noise belongs to the image, not to
    the position in the batch. It is asked first of all, before each ball and once for every stretch of steps, whether
    or not any image is left: if noise is keyed by image, asking and call, each image is attacked as it would be alone.
    balls: one norm, eps ascending. starts: points of the unit ball, scaled by eps; as many as restarts.
    steps: their length falls from 2 eps to eps / 40 in four stages (STRIDES): a constant short step stays in whatever
    corner it starts in where gradients mislead. check: the most steps in a stretch; stages end one too (`stretches`).
    By default the longest stage. draws: calls that a gradient is averaged over, and the logits by which
    classes are ranked (`objective`). For a deterministic classifier draws = verdict_draws = 1.

    An image is let go when all of `verdict_draws` fresh draws misread it. This is looked at before the first step of
    each ball, with new draws for the image found so far, and after every stretch. Others are returned as they
    were when most draws misread them (the latest such, in the balls so far). Letting go at a mere majority would carry
    an image that is read correctly half of the time to balls in which it could be broken for good.
    Looking often favours lucky draws a little: judge the result on further draws.

    Raises TypeError or ValueError, before any gradient, for images, labels, starts or settings of a wrong kind, and for
    balls that do not ascend.
    """
    check_pair(x, y)
    check_count("steps", steps)
    check = -(-steps // 4) if check is None else check
    for name, value in {"draws": draws, "verdict_draws": verdict_draws, "check": check}.items():
        check_count(name, value)
    if any(a.eps > b.eps for a, b in zip(balls, balls[1:])) or len({type(ball) for ball in balls}) != 1:
        raise ValueError(f"balls are {list(balls)}; expected at least one, of one norm, eps ascending: sort them")
    if starts.ndim != 5 or starts.shape[1:] != x.shape or not len(starts):
        raise ValueError(f"starts have shape {tuple(starts.shape)}; expected (restart, *{tuple(x.shape)}) with "
                         "at least one restart: one point of the unit ball for each restart and image")

    x = x.detach()
    best, found, everyone = x.clone(), [], torch.arange(len(x), device=x.device)
    rivals = others(logits_fn_of(everyone), x, y, draws)
    for ball in balls:
        misread = misread_share(logits_fn_of(everyone), best, y, verdict_draws)
        for restart, start in enumerate(starts):
            alive = (misread < 1).nonzero()[:, 0]
            delta = ball.eps * start[alive]
            for length, stride in stretches(steps, check):
                logits_fn, clean, label = logits_fn_of(alive), x[alive], y[alive]
                if not len(alive):
                    continue                            # asked all the same: others may be under attack elsewhere
                loss = averaged(objective(restart, logits_fn, label, rivals[alive]), draws)
                x_adv = pgd(loss, clean, ball, start=delta, steps=length, step_size=stride * ball.eps)
                share = misread_share(logits_fn, x_adv, label, verdict_draws)
                better, going = share >= misread[alive], share < 1
                best[alive[better]], misread[alive[better]] = x_adv[better], share[better]
                alive, delta = alive[going], (x_adv - clean)[going]
        found.append(best.clone())
    return torch.stack(found)


def stretches(steps: int, check: int) -> list[tuple[int, float]]:
    """How many steps are taken between two looks, and how long each is in units of eps: a stage, cut every
    `check` steps.

    Stages are as equal as whole steps allow; with fewer than four steps some are missing.
    """
    ends = [-(-stage * steps // 4) for stage in range(5)]
    return [(min(check, end - begin), stride) for first, end, stride in zip(ends, ends[1:], STRIDES)
            for begin in range(first, end, check)]


@torch.no_grad()
def others(logits_fn: LogitsFn, x: Images, y: Labels, draws: int) -> Int64[Tensor, "batch other"]:
    """All classes but the true one, by falling mean logit over `draws` calls."""
    logits = torch.stack([logits_fn(x) for _ in range(draws)]).mean(dim=0)
    check_logits(logits, y, max(2, int(y.max()) + 1 if len(y) else 0))
    return logits.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True)[:, :-1]


@torch.no_grad()
def misread_share(logits_fn: LogitsFn, x: Images, y: Labels, draws: int) -> PerImage:
    """Share of `draws` calls, each with noise of its own, in which the largest logit is not the true class."""
    return torch.stack([logits_fn(x).argmax(dim=1) != y for _ in range(draws)]).float().mean(dim=0)
