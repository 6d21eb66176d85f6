"""Carlini and Wagner's l2 attack: the closed-form minimum of a linear classifier, and the published bookkeeping."""

import torch

from lib.attacks import carlini_wagner, margin
from tests.toys import Noisy, Smooth, centred, random_images, random_normal


def linear_case():
    """A two-class linear model, images well inside the box, their labels, and the distance to the boundary."""
    model, x = centred(random_normal(2, 6)), random_images(6, low=0.2, high=0.8)
    y = model(x).argmax(1)
    return model, x, y, -margin(model, y)(x).detach() / (model.weight[0] - model.weight[1]).norm().detach()


def l2(adv, x):
    return (adv - x).flatten(1).norm(dim=1)


def test_it_finds_the_smallest_perturbation_of_a_linear_classifier():
    model, x, y, distance = linear_case()
    adv = carlini_wagner(model, x, y, c=10)
    assert (model(adv).argmax(1) != y).all()
    torch.testing.assert_close(l2(adv, x), distance, rtol=0.01, atol=1e-3)
    assert (l2(adv, x) >= distance - 1e-6).all()


def test_confidence_asks_for_that_margin():
    model, x, y, _ = linear_case()
    gap = margin(model, y)(carlini_wagner(model, x, y, c=10, confidence=0.3))
    assert (gap > 0.3).all() and (gap < 0.33).all()


def test_the_clean_image_is_returned_where_nothing_succeeds():
    model, x, y, _ = linear_case()
    assert torch.equal(carlini_wagner(model, x, y, c=0, steps=20), x)


def test_an_image_that_is_misread_already_is_returned_as_it_is():
    model, x, y, _ = linear_case()
    torch.testing.assert_close(carlini_wagner(model, x, 1 - y, c=1, steps=5), x, rtol=0, atol=1e-6)


def test_black_and_white_pixels_can_move():
    model, x, y, _ = linear_case()
    adv = carlini_wagner(model, x.round(), model(x.round()).argmax(1), c=100)
    assert adv.min() >= 0 and adv.max() <= 1 and (l2(adv, x.round()) > 0.01).any()


def test_one_lucky_draw_is_stored_as_success_and_keep_refuses_it():
    model, x, y, _ = linear_case()
    y = y[:1].expand(6)
    x = x[:1].expand(6, -1, -1, -1).contiguous()
    everyone = torch.arange(6)
    still = carlini_wagner(Noisy(model, scale=2.0).of(everyone), x, y, c=0, steps=50)     # c = 0: no image moves
    assert (still != x).any()                           # the tanh's copy of x, off by some 1e-7, was stored
    honest = carlini_wagner(Noisy(model, scale=2.0).of(everyone), x, y, c=0, steps=50,
                            keep=lambda x: model(x).argmax(1) != y)
    assert torch.equal(honest, x)


def test_a_batch_and_its_images_alone_give_the_same_attack():
    x, y, model = random_images(3), torch.tensor([0, 1, 2]), Smooth()
    batch = carlini_wagner(model, x, y, c=1, steps=50)
    alone = torch.cat([carlini_wagner(model, x[i:i + 1], y[i:i + 1], c=1, steps=50) for i in range(3)])
    torch.testing.assert_close(batch, alone, rtol=0, atol=1e-12)
    assert all(p.grad is None for p in model.parameters())
