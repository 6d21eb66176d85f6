"""SPSA: its estimate of the gradient, and the attack that follows it."""

import pytest
import torch

from lib.attacks import Linf, adam_pgd, input_gradient, margin, spsa
from lib.attacks.spsa import estimated
from tests.toys import SHAPE, centred


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey(n: int = 4) -> torch.Tensor:
    return torch.full((n, *SHAPE), 0.5, dtype=torch.float64)


def line(x):
    """A linear loss: the estimate is unbiased whatever delta is."""
    weight = torch.linspace(-1, 2, x[0].numel(), dtype=x.dtype).view(SHAPE)
    return (weight * x).sum((1, 2, 3))


def test_the_estimate_converges_to_the_gradient():
    x = grey()
    estimate = input_gradient(estimated(line, samples=4000, delta=0.1, generator=generator()), x)
    torch.testing.assert_close(estimate, input_gradient(line, x), atol=0.15, rtol=0)


def test_one_pair_of_one_pixel_is_exact():
    x = torch.full((3, 1, 1, 1), 0.5, dtype=torch.float64)
    slope = input_gradient(estimated(lambda x: 3 * x.sum((1, 2, 3)), samples=1, delta=0.01, generator=generator()), x)
    torch.testing.assert_close(slope, torch.full_like(x, 3.0))


def test_on_a_linear_loss_it_ends_where_the_true_gradient_does():
    x, ball = grey(), Linf(0.1)
    ours = spsa(line, x, ball, steps=30, samples=64, generator=generator())
    torch.testing.assert_close(ours, adam_pgd(line, x, ball, steps=30, step_size=0.01), atol=1e-3, rtol=0)


def test_it_asks_for_values_only_and_for_two_a_sample():
    calls = []

    def loss(x):
        assert not torch.is_grad_enabled()
        calls.append(len(x))
        return line(x)
    spsa(loss, grey(), Linf(0.1), steps=2, samples=5, generator=generator())
    assert calls == [4] * 20


def test_a_batch_and_its_images_alone_agree():
    net = centred(torch.randn(3, 6, dtype=torch.float64, generator=generator(1)))
    x, y = torch.rand(2, *SHAPE, dtype=torch.float64, generator=generator(2)), torch.tensor([0, 1])
    both = spsa(margin(net, y), x, Linf(0.1), steps=3, samples=4, generator=[generator(5), generator(6)])
    alone = spsa(margin(net, y[1:]), x[1:], Linf(0.1), steps=3, samples=4, generator=[generator(6)])
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize("wrong, message", [({"samples": 0}, "at least 1"), ({"delta": 0.0}, "expected a distance")])
def test_an_estimate_from_nothing_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        estimated(line, **({"samples": 1, "delta": 0.01, "generator": generator()} | wrong))


def test_a_loss_over_the_whole_batch_is_refused():
    with pytest.raises(ValueError, match="one number an image"):
        spsa(lambda x: x.sum(), grey(), Linf(0.1), steps=1, samples=1, generator=[generator()] * 4)


def test_a_step_takes_128_values_as_published_and_may_start_anywhere_in_the_ball():
    calls, x = [], grey()

    def loss(moved):
        calls.append(moved)
        return moved.sum((1, 2, 3))

    start = Linf(0.1).random_start(x, generator())
    spsa(loss, x, Linf(0.1), steps=1, generator=generator(), start=start)
    assert len(calls) == 128
    torch.testing.assert_close((calls[0] + calls[1]) / 2, (x + start).clamp(0, 1))
