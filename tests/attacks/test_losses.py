"""Losses: their values, where their gradients vanish, and what they refuse."""

import math

import pytest
import torch

from lib.attacks import averaged, cross_entropy, dlr, input_gradient, margin, towards
from tests.toys import Smooth, random_images, random_normal

Y = torch.tensor([0, 2, 1, 0])


def constant(logits):
    """A classifier that always answers with these logits."""
    return lambda x: logits


def as_image(*logits, dtype=torch.float32):
    """Logits written as one image of a 'classifier' that reads its first pixels out as logits."""
    return torch.tensor(logits, dtype=dtype).reshape(1, 1, 1, -1)


def read_out(x):
    return x.flatten(1)


def test_cross_entropy_is_minus_the_log_softmax_of_the_true_class():
    logits = random_normal(4, 3)
    expected = -torch.stack([logits[i].softmax(0)[y].log() for i, y in enumerate(Y)])
    torch.testing.assert_close(cross_entropy(constant(logits), Y)(random_images()), expected)


def test_margin_is_positive_exactly_where_the_image_is_misread():
    logits = random_normal(4, 3)
    gap = margin(constant(logits), Y)(random_images())
    assert torch.equal(gap > 0, logits.argmax(1) != Y)
    torch.testing.assert_close(gap[1], logits[1, :2].max() - logits[1, 2])


def test_margin_survives_logits_of_any_size():
    logits = torch.tensor([[-20_000.0, -30_000.0]])     # an offset of -10,000 on the true class would pick it here
    assert margin(constant(logits), Y[:1])(random_images(1)) == -10_000


def test_towards_needs_a_target_for_each_image():
    with pytest.raises((TypeError, ValueError)):
        towards(constant(random_images().flatten(1)), Y, torch.tensor([1]))


def test_towards_a_class_is_its_lead_over_the_true_one_whatever_the_others_do():
    logits, target = random_normal(4, 3), torch.tensor([1, 0, 2, 2])
    lead = towards(constant(logits), Y, target)(random_images())
    torch.testing.assert_close(lead,
                               torch.stack([logits[i, t] - logits[i, y] for i, (y, t) in enumerate(zip(Y, target))]))
    gradient = input_gradient(towards(read_out, Y[:1], target[:1]), as_image(3.0, 0.0, 2.0))
    assert gradient.flatten().tolist() == [-1, 1, 0]        # the margin would raise the third


def test_towards_a_class_that_the_logits_lack_is_refused():
    with pytest.raises(ValueError, match="need 4 classes, the logits have 3"):
        towards(constant(random_normal(4, 3)), Y, torch.full((4,), 3))(random_images())


def test_dlr_does_not_see_scale_or_shift():
    logits = random_normal(4, 5)
    loss, moved = (dlr(constant(z), Y)(random_images()) for z in (logits, 7 * logits - 3))
    torch.testing.assert_close(loss, moved)
    torch.testing.assert_close(dlr(constant(torch.tensor([[3.0, 2.0, -1.0]])), Y[:1])(random_images(1)),
                               torch.tensor([-1 / 4]))


def saturated(dtype, gap):
    """Gradient of the cross-entropy to three logits whose true one leads by `gap` nats."""
    return input_gradient(cross_entropy(read_out, Y[:1], dtype), as_image(gap, 0.0, -1.0))[0, 0, 0]


@pytest.mark.parametrize("dtype, before, beyond", [(None, 14.0, 18.0), (torch.float64, 34.0, 38.0)])
def test_cross_entropy_loses_the_true_class_above_some_margin(dtype, before, beyond):
    true, other, _ = saturated(dtype, before)
    torch.testing.assert_close(true.item(), -math.exp(-before) * (1 + math.exp(-1)), rtol=0.1, atol=0)
    assert other > 0
    true, other, _ = saturated(dtype, beyond)
    assert true == 0 and other > 0


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_cross_entropy_stands_still_above_104_nats_and_the_margin_never(dtype):
    assert (saturated(dtype, 110.0) == 0).all()
    assert torch.equal(input_gradient(margin(read_out, Y[:1]), as_image(1e6, 0.0, -1.0))[0, 0, 0],
                       torch.tensor([-1.0, 1.0, 0.0]))


def test_averaged_is_the_mean_of_its_calls():
    answers = iter(random_normal(3, 4))
    mean = averaged(lambda x: next(answers), 3)(random_images())
    torch.testing.assert_close(mean, random_normal(3, 4).mean(0))


@pytest.mark.parametrize("make", [cross_entropy, margin, dlr])
def test_each_image_has_its_own_number(make):
    x, model = random_images(), Smooth()
    batch = make(model, Y)(x)
    alone = torch.cat([make(model, Y[i:i + 1])(x[i:i + 1]) for i in range(4)])
    torch.testing.assert_close(batch, alone)


@pytest.mark.parametrize("make", [cross_entropy, margin, dlr])
@pytest.mark.parametrize("y, message", [
    (torch.tensor([0, -1]), "holds the label -1; expected classes from 0 up"),
])
def test_labels_below_0_are_refused_when_the_loss_is_made(make, y, message):
    with pytest.raises(ValueError, match=message):
        make(Smooth(), y)


@pytest.mark.parametrize("make", [cross_entropy, margin, dlr])
def test_labels_beyond_the_logits_are_refused(make):
    with pytest.raises(ValueError, match="need 8 classes, the logits have 3: relabel"):
        make(Smooth(), torch.tensor([0, 7]))(random_images(2))


@pytest.mark.parametrize("make", [cross_entropy, margin, dlr])
def test_logits_of_another_batch_are_refused(make):
    with pytest.raises(ValueError, match=r"logits have shape \(3, 3\) for 4 labels"):
        make(Smooth(), Y)(random_images(3))


def test_dlr_of_two_classes_is_refused():
    with pytest.raises(ValueError, match="need 3 classes, the logits have 2"):
        dlr(Smooth(classes=2), Y[:1])(random_images(1))


def test_averaging_over_no_draws_is_refused():
    with pytest.raises(ValueError, match="draws is 0; expected a whole number of at least 1"):
        averaged(margin(Smooth(), Y), 0)
