"""What Yin et al. (2020), and Tramer et al. (2020) after them, ascend against one-against-the-rest detectors.

f: logits of the classifier, (batch, class). heads: the detectors, whose call gives the logit z_k of every class and
whose `picked(x, index)` gives that of one chosen detector an image, so that a gradient costs one network instead of K.
y: true labels. The paper writes losses to be minimised; these are their negatives, to be ascended. All but `aligned`
ask for a wrong class: ValueError, when first called, for logits of a single class.
"""

from typing import Protocol, runtime_checkable

import torch

from lib.attacks.inputs import Images, Labels, Logits, LogitsFn, LossFn, PerImage, check_labels, check_logits
from lib.attacks.losses import margin

AHEAD = 0.01        # by how much the target must lead before an aligned attack turns to the detector (Tramer et al.)


@runtime_checkable
class Detectors(Protocol):
    """One logit a class and image; high where the image looks like that class."""

    def __call__(self, x: Images) -> Logits: ...
    def picked(self, x: Images, index: Labels) -> PerImage: ...


def best_wrong_detector(heads: Detectors, y: Labels) -> LossFn:
    """Equation 9: the largest detector logit of a class other than y."""
    check_labels(y)

    def loss(x: Images) -> PerImage:
        with torch.no_grad():
            index = _others(heads(x), y).argmax(dim=1)
        return heads.picked(x, index)
    return loss


def detector_margin(heads: Detectors, y: Labels) -> LossFn:
    """Equation 8 on detectors ("CW" in Figures 7 and 9): the best wrong detector logit minus that of y."""
    wrong = best_wrong_detector(heads, y)
    return lambda x: wrong(x) - heads.picked(x, y)


def combined(f: LogitsFn, heads: Detectors, y: Labels, as_coded: bool = False) -> LossFn:
    """Equations 10 and 11: f's margin after a (K+1)-th logit, (1 - best wrong detector) * f's largest, is added to it.

    as_coded: the first maximum runs over y and the (K+1)-th logit alone, as in the authors' script, and so does not go
    flat once a wrong class leads.
    """
    check_labels(y)
    wrong = best_wrong_detector(heads, y)

    def loss(x: Images) -> PerImage:
        logits = f(x)
        added = (1 - wrong(x)) * logits.amax(dim=1)
        first = logits.gather(1, y[:, None])[:, 0] if as_coded else logits.amax(dim=1)
        return _others(logits, y).amax(dim=1) - torch.maximum(first, added)
    return loss


def switching(f: LogitsFn, heads: Detectors, y: Labels) -> LossFn:
    """Equation 12: f's margin (8) while f reads the image right, the best wrong detector (9) once it does not."""
    gap = margin(f, y)

    def loss(x: Images) -> PerImage:
        out = gap(x)
        fooled = (out > 0).nonzero()[:, 0]
        if not len(fooled):
            return out
        return out.index_put((fooled,), best_wrong_detector(heads, y[fooled])(x[fooled]).to(out))
    return loss


def aligned(lag: LossFn, heads: Detectors, target: Labels) -> LossFn:
    """Towards class `target`: until it leads by 0.01, its lead; from there on the logit of its detector.

    lag(x): by how much the best other class is above `target` where the class is decided: `margin(f, target)` for an
    integrated system, `detector_margin(heads, target)` for a generative one. Unlike (12) this raises the very detector
    that the system will look at. Source: Tramer et al. (2020), their notebooks on this defence.
    """
    check_labels(target)

    def loss(x: Images) -> PerImage:
        out = -lag(x)
        ahead = (out > AHEAD).nonzero()[:, 0]
        if not len(ahead):
            return out
        return out.index_put((ahead,), heads.picked(x[ahead], target[ahead]).to(out))
    return loss


def _others(logits: Logits, y: Labels) -> Logits:
    check_logits(logits, y, 2)
    return logits.scatter(1, y[:, None], -torch.inf)
