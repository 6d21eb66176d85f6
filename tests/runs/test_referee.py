"""Our attacks against torchattacks, foolbox and AutoAttack, on a network whose robustness is real and not complete."""

import sys

import pytest
import torch

from lib.models import CNN, build
from lib.profiles import profile
from lib.runs import peers
from lib.runs.networks import network
from lib.runs.referee import FixedNoise, compare, compare_strong, referee
from lib.runs.training import checkpoint
from lib.runs.victims import Victim
from tests.conftest import skip_or_fail

IMAGES = 150
POINTS = {"fgsm": 0.02, "pgd": 0.02, "mim": 0.02, "cw": 0.02, "autoattack": 0.03}


@pytest.fixture(scope="module")
def robust(mnist):
    """The robust network, its first test images and their labels."""
    path = checkpoint("CNN", "laptop", 0, "robust")
    if not path.exists():
        skip_or_fail(f"needs {path.name}; train it with: python -m lib.runs.referee --unit CNN-robust_clean_seed0",
                     "REQUIRE_MNIST")
    index = slice(0, IMAGES)
    return network("robust", "laptop", 0, torch.device("cpu")), mnist.test.images(index), mnist.test.labels(index)


def accuracy(net, x, y) -> float:
    return (net(x).argmax(1) == y).double().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["fgsm", "pgd", "mim", "cw"])
def test_at_equal_settings_our_attack_is_as_strong_as_the_peers(robust, attack):
    net, x, y = robust
    found = {name: accuracy(net, adv, y) for name, adv in compare(net, x, y, attack).items()}
    assert len(found) >= 2
    assert 0.2 <= found["ours"] <= 0.8, f"no comparison where so many or so few survive: {found}"
    for name, other in found.items():
        assert abs(found["ours"] - other) <= POINTS[attack], f"ours and {name} differ: {found}"


@pytest.mark.slow
def test_fgsm_is_that_of_the_peers_image_by_image(robust):
    net, x, y = robust
    found = compare(net, x, y, "fgsm")
    for adv in found.values():
        assert ((adv - found["ours"]).abs() < 1e-6).double().mean() > 0.999      # a gradient near 0 may change its sign


@pytest.mark.slow
def test_cw_is_as_near_as_that_of_foolbox(robust):
    net, x, y = robust
    found = compare(net, x[:50], y[:50], "cw")
    l2 = {name: (adv - x[:50]).flatten(1).norm(dim=1) for name, adv in found.items()}
    both = (l2["ours"] > 1e-4) & (l2["foolbox"] > 1e-4)
    assert both.sum() >= 5
    torch.testing.assert_close(l2["ours"][both].mean(), l2["foolbox"][both].mean(), rtol=0.02, atol=0)


@pytest.mark.slow
def test_autoattack_beats_our_strong_protocol_by_at_most_3_points(robust):
    net, x, y = robust
    found = {name: accuracy(net, adv, y) for name, adv in compare_strong(net, x, y).items()}
    assert 0.2 <= found["ours"] <= 0.8, found
    assert found["ours"] - found["torchattacks"] <= POINTS["autoattack"], found


def test_the_experiment_gives_a_row_for_each_library(results):
    rows = referee("smoke", results=results, only="CNN-robust_pgd_seed0")
    rows = rows[rows.metric == "accuracy"]
    assert sorted(rows.variant) == ["foolbox", "ours", "torchattacks"]
    assert rows.n.eq(4).all() and rows.eps.eq(0.25).all() and rows.value.between(0, 1).all()


def test_fixed_noise_is_the_same_for_every_call_and_every_image():
    victim = Victim(build("GFZ").eval(), profile("smoke"), 0, torch.device("cpu"))
    x, net = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0)), FixedNoise(victim, "float32")
    assert torch.equal(net(x), net(x))
    torch.testing.assert_close(net(x[[3, 1]]), net(x)[[3, 1]])
    torch.testing.assert_close(net(x[:1].expand(3, -1, -1, -1)), net(x[:1]).expand(3, -1))


@pytest.mark.parametrize("library, by", [("torchattacks", peers.by_torchattacks), ("foolbox", peers.by_foolbox)])
def test_a_missing_library_is_named_with_a_remedy(monkeypatch, library, by):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"{library} is not installed.*requirements-test.txt"):
        by(CNN(), torch.zeros(1, 1, 28, 28), torch.zeros(1, dtype=torch.int64), "fgsm", eps=0.1, steps=1, step_size=0.1)
