"""Every attack refuses bad images, labels and settings before any work, and says how to mend them."""

from functools import partial

import numpy as np
import pytest
import torch

from lib.attacks import (L2, Linf, adam_pgd, carlini_wagner, cross_entropy, fgsm, margin, mim, pgd, smallest_change,
                         spsa, strong)
from lib.attacks.inputs import check_count, check_images, check_labels, check_pair, check_size
from tests.toys import Smooth, centred, generator, random_images, random_normal

Y = torch.tensor([0, 1])


def untouched(x):
    raise AssertionError("the classifier was called before the input was checked")


def attacks(x, y=Y, logits_fn=untouched):
    """Every attack on these images, not yet run."""
    loss = cross_entropy(logits_fn, Y)
    return {"fgsm": lambda: fgsm(loss, x, Linf(0.1)),
            "pgd": lambda: pgd(loss, x, Linf(0.1), steps=2, step_size=0.1),
            "mim": lambda: mim(loss, x, Linf(0.1), steps=2, step_size=0.1),
            "cw": lambda: carlini_wagner(logits_fn, x, y, c=1.0, steps=2),
            "strong": lambda: strong(lambda index: logits_fn, x, y, [Linf(0.1)], starts=torch.zeros(1, *x.shape))}


BAD_IMAGES = {
    "uint8": (random_images(2).mul(255).byte(), TypeError, "x is torch.uint8; expected float32 or float64.* / 255"),
    "float16": (random_images(2).half(), TypeError, "x is torch.float16; expected float32 or float64"),
    "one image": (random_images(2)[0], ValueError, r"x has shape \(1, 2, 3\); expected \(batch, channel.*x\[None\]"),
    "grey levels": (random_images(2) * 255, ValueError, r"expected pixels in \[0, 1\]: divide by 255"),
    "normalised": (random_images(2) - 0.5, ValueError, r"expected pixels in \[0, 1\].*undo a normalisation"),
    "NaN": (random_images(2).log().sqrt(), ValueError, "x ranges from nan to nan.*look for a NaN"),
}
BAD_LABELS = {
    "int32": (Y.int(), TypeError, r"y is torch.int32; expected int64.*y.long\(\)"),
    "one-hot": (torch.eye(2).long(), ValueError, r"y has shape \(2, 2\); expected \(batch,\).*not one-hot"),
    "negative": (Y - 1, ValueError, "y holds the label -1; expected classes from 0 up"),
}


@pytest.mark.parametrize("x, error, message", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_named_with_a_remedy(x, error, message):
    with pytest.raises(error, match=message):
        check_images(x)


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "mim", "cw", "strong"])
@pytest.mark.parametrize("x", [x for x, *_ in BAD_IMAGES.values()], ids=BAD_IMAGES)
def test_every_attack_refuses_bad_images(attack, x):
    with pytest.raises((TypeError, ValueError)):
        attacks(x)[attack]()


@pytest.mark.parametrize("y, error, message", BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_are_named_with_a_remedy(y, error, message):
    with pytest.raises(error, match=message):
        check_labels(y)


@pytest.mark.parametrize("attack", ["cw", "strong"])
@pytest.mark.parametrize("y", [y for y, *_ in BAD_LABELS.values()] + [torch.tensor([0, 1, 2])])
def test_every_attack_that_takes_labels_refuses_bad_ones(attack, y):
    with pytest.raises((TypeError, ValueError)):
        attacks(random_images(2), y)[attack]()


@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.5)])
def test_a_batch_without_images_comes_back_from_every_attack(ball):
    x, y, model = random_images(4)[:0], torch.zeros(0, dtype=torch.int64), Smooth()
    loss = cross_entropy(model, y)
    for start in (ball.random_start(x, generator(0)), ball.random_start(x, [])):
        assert start.shape == x.shape
    settings = {"steps": 2, "step_size": 0.1}
    found = [fgsm(loss, x, ball), pgd(loss, x, ball, **settings), mim(loss, x, ball, **settings),
             adam_pgd(loss, x, ball, **settings), carlini_wagner(model, x, y, c=1.0, steps=2),
             spsa(loss, x, ball, steps=2, samples=1, generator=generator(0)),
             smallest_change(loss, lambda z: loss(z) > 1, x, rounds=2, steps=2)[0],
             *strong(lambda index: model, x, y, [ball], starts=torch.zeros(2, *x.shape), draws=1, verdict_draws=1)]
    assert all(each.shape == x.shape for each in found) and len(found) == 8


def test_the_ends_of_the_pixel_range_and_the_first_class_are_accepted():
    check_pair(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1), torch.tensor([0, 9]))
    check_pair(torch.zeros(0, 1, 1, 1), torch.zeros(0, dtype=torch.int64))


def test_images_and_labels_of_different_batches_are_refused():
    with pytest.raises(ValueError, match="x holds 3 images and y 2 labels; expected as many"):
        check_pair(random_images(3), Y)


X, LOSS = random_images(2), cross_entropy(Smooth(), Y)
PGD = partial(pgd, LOSS, X, Linf(0.1))
MIM = partial(mim, LOSS, X, Linf(0.1))
CW = partial(carlini_wagner, Smooth(), X, Y)
STRONG = partial(strong, lambda index: Smooth(), X, Y)
STARTS = torch.zeros(1, *X.shape)
BAD_SETTINGS = {
    "no steps": (lambda: PGD(steps=0, step_size=0.1), "steps is 0; expected a whole number of at least 1"),
    "negative step": (lambda: PGD(steps=1, step_size=-0.1), "step_size is -0.1; expected a finite number.*2.5"),
    "NaN step": (lambda: MIM(steps=1, step_size=float("nan")), "step_size is nan"),
    "bad decay": (lambda: MIM(steps=1, step_size=0.1, decay=-1), "decay is -1; .*1.0 is the published value"),
    "start of another shape": (lambda: PGD(steps=1, step_size=0.1, start=torch.zeros(2, 1, 2, 2).double()), None),
    "negative c": (lambda: CW(c=-1), "c is -1; expected a finite number of at least 0: published are"),
    "infinite lr": (lambda: CW(c=1, lr=float("inf")), "lr is inf"),
    "NaN confidence": (lambda: CW(c=1, confidence=float("nan")), "confidence is nan"),
    "no draws": (lambda: STRONG([Linf(0.1)], starts=STARTS, draws=0), "draws is 0"),
    "no balls": (lambda: STRONG([], starts=STARTS), r"balls are \[\]; expected at least one"),
    "balls descending": (lambda: STRONG([Linf(0.2), Linf(0.1)], starts=STARTS), "eps ascending: sort them"),
    "starts of another batch": (lambda: STRONG([Linf(0.1)], starts=torch.zeros(1, 3, 1, 2, 3)), None),
}


@pytest.mark.parametrize("call, message", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_impossible_settings_are_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_numbers_of_numpy_are_numbers():
    check_count("steps", np.int64(2))
    check_size("eps", np.float32(0.1), "")
    for value in (np.float64(2.5), np.int64(0), True, "2"):
        with pytest.raises(ValueError, match="steps is .*; expected a whole number"):
            check_count("steps", value)
    for value in (np.float32("nan"), np.float64(-1), np.bool_(True), "0.1"):
        with pytest.raises(ValueError, match="eps is .*; expected a finite number"):
            check_size("eps", value, "")


def test_a_loss_that_averages_over_the_batch_is_refused():
    with pytest.raises((TypeError, ValueError)):
        fgsm(lambda x: LOSS(x).mean(), X, Linf(0.1))


def test_an_attack_that_ends_in_nan_says_so():
    with pytest.raises(FloatingPointError, match="look for log"):
        fgsm(lambda x: (x.sum((1, 2, 3)) - 100).sqrt(), X, Linf(0.1))


@pytest.mark.parametrize("blind", [lambda logits: lambda x: logits(x.detach()), torch.no_grad()],
                         ids=["detached", "no_grad"])
def test_a_classifier_without_gradients_is_refused_and_does_not_look_robust(blind):
    model, x, y = centred(random_normal(2, 6)).requires_grad_(False), random_images(2), torch.tensor([0, 1])
    logits = blind(model.forward)

    def score(z):
        return logits(z)[:, 0]

    ball = Linf(0.1)
    for attack in (lambda: carlini_wagner(logits, x, y, c=1.0, steps=2),
                   lambda: smallest_change(score, lambda z: score(z) > 9, x, rounds=1, steps=2),
                   lambda: pgd(margin(logits, y), x, ball, steps=2, step_size=0.1)):
        with pytest.raises(ValueError, match="gives no gradient"):
            attack()
