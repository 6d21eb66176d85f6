"""What an attack ascends: closures from images to one number an image, made of a classifier's logits and the labels.

Each holds the true labels `y` and calls `logits_fn` anew whenever it is called, so that a randomised classifier draws
new noise. Errors: TypeError or ValueError for labels that are no class numbers, when the closure is made; ValueError
for logits that do not belong to them, when it is first called.
"""

import torch

from lib.attacks.inputs import Labels, LogitsFn, LossFn, PerImage, check_count, check_labels, check_logits


def cross_entropy(logits_fn: LogitsFn, y: Labels, dtype: torch.dtype | None = None) -> LossFn:
    """Minus log softmax of the true class, in nats, computed in `dtype` (None: that of the logits).

    In float32 it saturates: from a margin of about 16.7 nats on, the true class gets a gradient of exactly 0, and from
    about 87 to 104 nats on every class does, so that an attack stands still without any merit of the classifier.
    float64 moves the first limit to about 36.7 nats; the second stays, as the gradient goes back to float32 logits.
    """
    def loss(logits):
        log_p = logits.to(dtype or logits.dtype).log_softmax(dim=1)
        return -_true(log_p, y)
    return _loss(logits_fn, y, loss)


def margin(logits_fn: LogitsFn, y: Labels) -> LossFn:
    """Best other logit minus the true one: positive where the image is misread. Its gradient never saturates."""
    return _loss(logits_fn, y, lambda logits: _best_other(logits, y) - _true(logits, y), classes=2)


def towards(logits_fn: LogitsFn, y: Labels, target: Labels) -> LossFn:
    """Logit of `target` minus that of the true class: the margin with its rival held fixed, (batch) int64.

    The margin changes its rival on the way and may then go to and fro between two; this one does not.
    """
    check_labels(target)
    if len(target) != len(y):
        raise ValueError(f"{len(target)} targets came with {len(y)} labels; expected one target an image")
    classes = int(target.max()) + 1 if len(target) else 2
    return _loss(logits_fn, y, lambda logits: _true(logits, target) - _true(logits, y), classes)


def dlr(logits_fn: LogitsFn, y: Labels) -> LossFn:
    """The margin divided by the gap between the largest and the third largest logit: invariant to scale and shift.

    Source: Croce and Hein (2020), equation 6 (difference of logits ratio). Needs three classes or more.
    """
    def loss(logits):
        first, _, third = logits.topk(3, dim=1).values.unbind(dim=1)
        return (_best_other(logits, y) - _true(logits, y)) / (first - third).clamp_min(1e-12)
    return _loss(logits_fn, y, loss, classes=3)


def averaged(loss_fn: LossFn, draws: int) -> LossFn:
    """The mean of `draws` calls, each with noise of its own; so its gradient is the mean of theirs.

    Holds the graphs of all the draws until the gradient is taken: `draws` times the memory.
    """
    check_count("draws", draws)
    return lambda x: torch.stack([loss_fn(x) for _ in range(draws)]).mean(dim=0)


def _loss(logits_fn, y, loss, classes: int = 1) -> LossFn:
    check_labels(y)
    classes = max(classes, int(y.max()) + 1 if len(y) else 0)        # once, since it waits for the device

    def loss_fn(x):
        logits = logits_fn(x)
        check_logits(logits, y, classes)
        return loss(logits)
    return loss_fn


def _true(scores, y: Labels) -> PerImage:
    return scores.gather(1, y[:, None])[:, 0]


def _best_other(scores, y: Labels) -> PerImage:
    return scores.scatter(1, y[:, None], -torch.inf).amax(dim=1)
