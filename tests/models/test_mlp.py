"""The network on points: its size, its start, and what it refuses."""

import pytest
import torch

from lib.models.mlp import MLP


@pytest.mark.parametrize("inputs, layers, parameters", [(1, 3, 502_501), (2, 5, 1_004_001)])
def test_the_published_networks_have_the_published_sizes(inputs, layers, parameters):
    assert sum(p.numel() for p in MLP(inputs, 500, layers).parameters()) == parameters


def test_weights_start_glorot_uniform_and_biases_at_zero():
    net = MLP(2, 100, 2)
    weight, bias = net[3].weight, net[3].bias
    assert weight.abs().max() <= (6 / 200) ** 0.5 and weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.05)
    assert not bias.any()


def test_a_batch_and_its_points_alone_agree():
    net, x = MLP(2, 20, 2), torch.rand(5, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(x), torch.cat([net(one[None]) for one in x]))


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match="1 inputs and 0 layers of 5 units"):
        MLP(1, 5, 0)
