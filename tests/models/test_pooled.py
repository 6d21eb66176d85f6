"""Convolution and pooling as one product: the same numbers and gradients as torch's two layers."""

import pytest
import torch
import torch.nn.functional as F

from lib.models.pooled import pooled_convolution


def layers(x, weight, bias):
    return F.max_pool2d(F.relu(F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)), 2)


def setting(channels, side, dtype=torch.float64):
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(3, channels, 8, 12, generator=rng, dtype=dtype).requires_grad_()
    weight = torch.randn(4, channels, side, side, generator=rng, dtype=dtype).requires_grad_()
    return x, weight, torch.randn(4, generator=rng, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("channels, side", [(1, 5), (3, 5), (2, 3), (1, 1)])
def test_it_is_the_convolution_the_relu_and_the_pooling(channels, side):
    given = setting(channels, side)
    upstream = torch.randn(3, 4, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours, theirs = pooled_convolution(*given), layers(*given)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for own, other in zip(torch.autograd.grad((ours * upstream).sum(), given),
                          torch.autograd.grad((theirs * upstream).sum(), given)):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


def test_of_equal_values_the_first_gets_the_gradient_as_in_pooling():
    x = torch.ones(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    found = [torch.autograd.grad(function(x, weight, bias).sum(), x)[0] for function in (pooled_convolution, layers)]
    assert torch.equal(*found)
    assert found[0][0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_it_works_in_the_precision_of_its_weights():
    x, weight, bias = (value.detach().bfloat16() for value in setting(1, 5))
    assert pooled_convolution(x.float(), weight, bias).dtype == torch.bfloat16
