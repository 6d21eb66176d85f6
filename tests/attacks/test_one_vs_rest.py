"""Losses against detectors: the paper's formulas by hand, on toy detectors, and where each of them turns."""

import pytest
import torch

from lib.attacks import aligned, best_wrong_detector, combined, detector_margin, input_gradient, margin, switching
from tests.toys import Smooth, random_images

Y = torch.tensor([0, 1, 2, 1])


class Toy:
    """Three detectors, with the one extra method that the losses ask for; counts the pictures that each looks at."""

    def __init__(self, seed=1, scale=1.0):
        self.model, self.scale, self.looked = Smooth(seed=seed), scale, 0

    def __call__(self, x):
        return self.scale * self.model(x)

    def picked(self, x, index):
        self.looked += len(x)
        return self(x).gather(1, index[:, None])[:, 0]


def by_hand(logits, y):
    """The true logit, and the best other one."""
    rows = [(row[k], max(v for i, v in enumerate(row) if i != k)) for row, k in zip(logits.tolist(), y.tolist())]
    return (torch.tensor(column, dtype=torch.float64) for column in zip(*rows))


def test_the_best_wrong_detector_is_that_of_equation_9():
    x, heads = random_images(), Toy()
    _, other = by_hand(heads(x), Y)
    torch.testing.assert_close(best_wrong_detector(heads, Y)(x), other)


def test_the_margin_of_detectors_is_equation_8_with_their_logits():
    x, heads = random_images(), Toy()
    true, other = by_hand(heads(x), Y)
    torch.testing.assert_close(detector_margin(heads, Y)(x), other - true)


@pytest.mark.parametrize("as_coded", [False, True])
def test_the_combined_loss_is_that_of_equations_10_and_11(as_coded):
    x, f, heads = random_images(), Smooth(seed=2), Toy()
    (true, other), (_, wrong) = by_hand(f(x), Y), by_hand(heads(x), Y)
    added = (1 - wrong) * f(x).amax(1)
    first = true if as_coded else f(x).amax(1)
    torch.testing.assert_close(combined(f, heads, Y, as_coded)(x), other - torch.maximum(first, added))


def test_the_coded_form_does_not_go_flat_where_a_wrong_class_leads():
    x, f, heads = random_images(), Smooth(seed=2), Toy(scale=0.0)       # (1 - 0) * max f = max f: nothing to gain
    heads.picked = lambda x, index: torch.full((len(x),), 5.0, dtype=x.dtype)       # the added logit is far below
    led = (f(x).argmax(1) != Y) & (f(x).amax(1) > 0)
    assert led.any()
    flat = input_gradient(combined(f, heads, Y), x).flatten(1).norm(dim=1) < 1e-12
    assert flat[led].all()
    assert (input_gradient(combined(f, heads, Y, as_coded=True), x).flatten(1).norm(dim=1)[led] > 1e-6).all()


def test_the_switching_loss_turns_to_the_detectors_once_f_is_fooled():
    x, f, heads = random_images(), Smooth(seed=2), Toy()
    (true, other), (_, wrong) = by_hand(f(x), Y), by_hand(heads(x), Y)
    fooled = f(x).argmax(1) != Y
    assert fooled.any() and not fooled.all()
    torch.testing.assert_close(switching(f, heads, Y)(x), torch.where(fooled, wrong, other - true))


def test_an_aligned_attack_raises_the_detector_that_the_system_will_look_at():
    x, f, heads = random_images(), Smooth(seed=2), Toy()
    target = f(x).argmax(1)                                             # f already says so: only the detector is left
    torch.testing.assert_close(aligned(margin(f, target), heads, target)(x), heads(x).gather(1, target[:, None])[:, 0])
    target = f(x).argmin(1)
    true, other = by_hand(f(x), target)
    torch.testing.assert_close(aligned(margin(f, target), heads, target)(x), true - other)


def test_a_gradient_looks_through_one_detector_an_image():
    x, heads = random_images(), Toy()
    input_gradient(best_wrong_detector(heads, Y), x)
    assert heads.looked == len(x)


def test_labels_of_a_wrong_kind_are_refused_before_any_work():
    with pytest.raises(ValueError, match="holds the label -1"):
        best_wrong_detector(Toy(), Y - 1)


@pytest.mark.parametrize("loss",
                         [lambda heads, y: best_wrong_detector(heads, y), lambda heads, y: detector_margin(heads, y),
                          lambda heads, y: combined(heads, heads, y), lambda heads, y: switching(heads, heads, y)])
def test_a_single_detector_has_no_wrong_class_and_is_refused(loss):
    class One(Toy):
        def __call__(self, x):
            return super().__call__(x)[:, :1]

    with pytest.raises(ValueError, match="need 2 classes, the logits have 1"):
        loss(One(), torch.zeros(4, dtype=torch.int64))(random_images())
