"""Our attacks against torchattacks, foolbox and AutoAttack, on a network whose robustness is real and not complete."""

import sys

import pytest
import torch

from lib.models import CNN, build
from lib.profiles import profile
from lib.results import read_record
from lib.runs import peers
from lib.runs.networks import network
from lib.runs.referee import AS_MANY, CW_IMAGES, EPS, FixedNoise, compare, compare_strong, referee
from lib.runs.training import checkpoint
from lib.runs.victims import Victim
from lib.train import fingerprint
from tests.conftest import skip_or_fail

IMAGES = 150


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


def agree(net, found, y, points: float) -> None:
    """Assert that the accuracies under attack differ by at most `points`, where neither all nor no images survive."""
    left = {name: accuracy(net, adv, y) for name, adv in found.items()}
    assert len(left) >= 2 and 0.2 <= left["ours"] <= 0.8, left
    assert all(abs(left["ours"] - other) <= points for other in left.values()), left


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["pgd", "mim"])
def test_at_equal_settings_our_attack_is_as_strong_as_the_peers(robust, attack):
    net, x, y = robust
    agree(net, compare(net, x, y, attack), y, points=0.02)


@pytest.mark.slow
def test_our_fgsm_is_that_of_the_peers_pixel_by_pixel(robust):
    net, x, y = robust
    found = compare(net, x, y, "fgsm")
    agree(net, found, y, points=0.02)
    for adv in found.values():
        assert ((adv - found["ours"]).abs() < 1e-6).double().mean() > 0.999      # a gradient near 0 may change its sign


@pytest.mark.slow
def test_our_cw_breaks_as_many_as_foolbox_and_from_as_near(robust):
    net, x, y = (robust[0], robust[1][:CW_IMAGES], robust[2][:CW_IMAGES])
    found = compare(net, x, y, "cw")
    agree(net, found, y, points=0.02)
    l2 = {name: (adv - x).flatten(1).norm(dim=1) for name, adv in found.items()}
    both = (l2["ours"] > 1e-4) & (l2["foolbox"] > 1e-4)
    torch.testing.assert_close(l2["ours"][both].mean(), l2["foolbox"][both].mean(), rtol=0.02, atol=0)


@pytest.mark.slow
def test_the_gradient_attacks_of_autoattack_beat_our_strong_protocol_by_at_most_3_points(robust):
    """The record of the whole of AutoAttack, with Square, is held to the same in test_committed."""
    net, x, y = robust
    left = {name: accuracy(net, adv, y) for name, adv in compare_strong(net, x, y, parts=peers.APGD, targets=9).items()}
    assert 0.2 <= left["ours"] <= 0.8, left
    assert left["ours"] - left["torchattacks"] <= 0.03, left


def test_the_experiment_gives_a_row_for_each_library(results):
    rows = referee("smoke", results=results, only="CNN-robust_pgd_seed0")
    rows = rows[rows.metric == "accuracy"]
    assert sorted(rows.variant) == ["foolbox", "ours", "torchattacks"]
    assert rows.n.eq(4).all() and rows.eps.eq(EPS["pgd"]).all() and rows.value.between(0, 1).all()


@pytest.mark.parametrize("kind, unit", [("plain", "clean"), ("robust", "clean"), ("robust", "fgsm")])
def test_records_of_the_small_networks_name_their_weights(kind, unit, results):
    referee("smoke", results=results, only=f"CNN-{kind}_{unit}_seed0")
    settings = read_record(results / f"smoke/referee/CNN-{kind}_{unit}_seed0.npz").settings
    assert settings["weights"] == fingerprint(checkpoint("CNN", "smoke", 0, kind, results)) != ""


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


def test_with_as_many_gradients_as_autoattack_ours_leaves_no_more_than_before(results):
    rows = referee("smoke", results=results, only="GFZ_strong_seed0_00000-00004")
    rows = rows[(rows.metric == "accuracy") & (rows.attack == "pgd")].set_index("variant")
    assert set(rows.index) == {"ours", AS_MANY} and rows.restarts[AS_MANY] == 4 > rows.restarts["ours"]
    assert rows.value[AS_MANY] <= rows.value["ours"]


@pytest.mark.parametrize("kind", ["plain", "robust"])
def test_a_network_is_loaded_where_it_was_asked_for(kind, tmp_path):
    for device in ("cpu", "meta"):
        net = network(kind, "smoke", 0, torch.device(device), tmp_path)
        assert {weight.device.type for weight in net.parameters()} == {device}
