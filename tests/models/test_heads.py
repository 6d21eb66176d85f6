"""Stacked detectors are exactly the separate ones."""

import pytest
import torch
import torch.nn.functional as F

from lib.models import ConvNet, Heads

COUNT, SHAPE = 3, (1, 8, 8)


def nets(count=COUNT, shape=SHAPE):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [ConvNet(1, shape) for _ in range(count)]


def images(*lead):
    return torch.rand(*lead, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_the_parameters_are_those_of_the_published_network():
    assert sum(p.numel() for p in ConvNet(1).parameters()) == 3_265_409
    assert sum(p.numel() for p in ConvNet(10).parameters()) == 3_274_634
    assert sum(p.numel() for p in Heads(nets(10, (1, 28, 28))).parameters()) == 10 * 3_265_409


@pytest.fixture(params=[True, False], ids=["in turn", "grouped"])
def way(request, monkeypatch):
    """Both ways through a stack, whatever the device: one detector after the other, and all in grouped kernels."""
    monkeypatch.setattr(Heads, "in_turn", staticmethod(lambda device: request.param))


def test_stacked_logits_are_those_of_separate_networks_on_shared_images_and_on_their_own(way):
    separate, x, own = nets(), images(5), images(COUNT, 5)
    heads = Heads(separate)
    torch.testing.assert_close(heads(x), torch.cat([net(x) for net in separate], dim=1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(heads(own), torch.cat([net(o) for net, o in zip(separate, own)], dim=1),
                               rtol=1e-5, atol=1e-6)


def test_stacked_gradients_are_those_of_separate_networks_for_weights_and_images(way):
    separate, own = nets(), images(COUNT, 5).requires_grad_()
    heads = Heads(separate)
    F.softplus(heads(own)).sum().backward()
    stacked_input, own.grad = own.grad, None
    sum(F.softplus(net(o)).sum() for net, o in zip(separate, own)).backward()
    torch.testing.assert_close(stacked_input, own.grad, rtol=1e-5, atol=1e-8)
    for k, net in enumerate(separate):
        for name, weight in net.named_parameters():
            grad = heads.stacked[name.replace(".", "_")].grad
            mine = grad.unflatten(0, (COUNT, -1))[k] if name[0] in "03" else grad[k]
            torch.testing.assert_close(mine, weight.grad, rtol=1e-5, atol=1e-7)


def test_a_picked_logit_is_that_of_the_chosen_detector_with_its_gradient():
    heads, x, index = Heads(nets()), images(4).requires_grad_(), torch.tensor([2, 0, 2, 1])
    chosen = heads(x).gather(1, index[:, None])[:, 0]
    torch.testing.assert_close(heads.picked(x, index), chosen, rtol=1e-5, atol=1e-6)
    (a,), (b,) = torch.autograd.grad(chosen.sum(), x), torch.autograd.grad(heads.picked(x, index).sum(), x)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


def test_a_detector_taken_out_has_copies_of_its_weights():
    heads, x = Heads(nets()), images(2)
    net = heads.separate(1)
    torch.testing.assert_close(net(x)[:, 0], heads(x)[:, 1], rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        net[0].weight.zero_()
    assert heads.stacked["0_weight"].any()


def test_no_network_or_networks_of_different_kinds_are_refused():
    with pytest.raises(ValueError, match="0 networks"):
        Heads([])
    with pytest.raises(ValueError, match="expected at least one, all of one shape"):
        Heads([ConvNet(1, SHAPE), ConvNet(1, (1, 4, 4))])
    with pytest.raises(ValueError, match="with one output"):
        Heads([ConvNet(10, SHAPE)])
    with pytest.raises(ValueError, match="batches for 2 detectors; expected 3"):
        Heads(nets())(images(2, 5))
    with pytest.raises(ValueError, match="unknown initialisation 'he'"):
        ConvNet(1, SHAPE, "he")


def test_one_detector_is_a_stack_of_one():
    (net,) = nets(1)
    x = images(3)
    torch.testing.assert_close(Heads([net])(x), net(x), rtol=1e-5, atol=1e-6)
