"""What is attacked is what decides, but for the precision of its products."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.models import ConvNet, Heads
from lib.runs import systems

SHAPE = (1, 8, 8)


def heads(count=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Heads([ConvNet(1, SHAPE) for _ in range(count)])


def images(n=7):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_an_unknown_classifier_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="unknown classifier 'g'; expected one of f, Madry"):
        systems.classifier("g", "smoke", 0, torch.device("cpu"))


@pytest.mark.parametrize("name, bias", [("f", 0.0), ("Madry", 0.1)])
def test_a_classifier_is_trained_once_and_then_read(name, bias, tmp_path):
    first = systems.classifier(name, "smoke", 0, torch.device("cpu"), tmp_path)
    (path,) = (tmp_path / "smoke/checkpoints").iterdir()
    made = path.stat().st_mtime_ns
    again = systems.classifier(name, "smoke", 0, torch.device("cpu"), tmp_path)
    assert path.stat().st_mtime_ns == made
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
    assert not any(p.requires_grad for p in again.parameters())
    assert again[9].bias.median().item() == pytest.approx(bias, abs=0.05)       # still near where it started


def test_weights_of_another_length_of_training_are_refused(tmp_path, monkeypatch):
    systems.classifier("f", "smoke", 0, torch.device("cpu"), tmp_path)
    smoke = systems.DETECTORS["smoke"]
    monkeypatch.setitem(systems.DETECTORS, "smoke", replace(smoke, classifier=replace(smoke.classifier, updates=21)))
    with pytest.raises(ValueError, match="updates = 20, expected 21; .*delete this one and train again"):
        systems.classifier("f", "smoke", 0, torch.device("cpu"), tmp_path)


@pytest.mark.parametrize("name, part, other", [("f", "classifier", {"batch": 63}), ("f", "classifier", {"rate": 1e-2}),
                                               ("Madry", "robust", {"rate": 1e-2})])
def test_weights_of_another_recipe_are_refused(tmp_path, monkeypatch, name, part, other):
    systems.classifier(name, "smoke", 0, torch.device("cpu"), tmp_path)
    smoke = systems.DETECTORS["smoke"]
    monkeypatch.setitem(systems.DETECTORS, "smoke", replace(smoke, **{part: replace(getattr(smoke, part), **other)}))
    with pytest.raises(ValueError, match=f"has {next(iter(other))} = .*; .*delete this one and train again"):
        systems.classifier(name, "smoke", 0, torch.device("cpu"), tmp_path)


def test_attacks_see_nearly_the_logits_that_decide_and_all_of_them_in_float32():
    net, x = heads(), images()
    fast = systems.InBfloat16(net)
    assert fast(x).dtype == torch.float32
    torch.testing.assert_close(fast(x), net(x), rtol=0.05, atol=0.02)
    index = torch.arange(len(x)) % 3
    torch.testing.assert_close(fast.picked(x, index), net.picked(x, index), rtol=0.05, atol=0.02)


def test_many_images_are_read_in_parts_to_the_same_logits(monkeypatch):
    net, x = heads(), images()
    whole = systems.read(net, x, torch.device("cpu"))
    monkeypatch.setattr(systems, "CHUNK", 3)
    assert np.allclose(systems.read(net, x, torch.device("cpu")), whole, rtol=1e-5, atol=1e-6) and whole.shape == (7, 3)
