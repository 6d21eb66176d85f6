"""Systems of detectors under attack: where attacked images may be, which of them is kept, and what a record says
of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.attacks import Linf
from lib.models import ConvNet
from lib.profiles import DETECTORS
from lib.runs import detection, reject
from lib.runs.heads import fresh
from lib.runs.systems import InBfloat16, networks
from lib.runs.training import dataset_of

CPU, EPS = torch.device("cpu"), 0.3


@pytest.fixture(scope="module")
def nets():
    """Twelve untrained networks, lively enough that an attack finds its way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = {"f": ConvNet(), "heads": fresh(tuple(range(10)), 0, (1, 28, 28)), "madry": ConvNet(start="madry")}
    return {name: net.eval().requires_grad_(False) for name, net in made.items()}


@pytest.fixture(scope="module")
def images():
    test = dataset_of("smoke").test
    return test.images(slice(0, 4)), test.labels(slice(0, 4))


def attack(nets, images, name, steps=2, best=False, eps=EPS):
    target = (images[1] + 1) % 10
    return detection.attack_batch({k: InBfloat16(net) for k, net in nets.items()}, name, *images, target, eps,
                                  steps, best, 10)


def score(nets, system, x, y):
    """By how much the attacked system accepts a wrong reading; minus infinity where it reads right."""
    predicted, accepted = detection.decide(nets, system, x)
    return torch.where(predicted != y, accepted, -torch.inf)


@pytest.mark.parametrize("name", detection.ATTACKS)
def test_every_attack_ends_inside_its_ball_and_the_box_and_moves_some_image(nets, images, name):
    moved = attack(nets, images, name)
    assert moved.min() >= 0 and moved.max() <= 1
    assert torch.allclose(Linf(EPS).project(moved - images[0]), moved - images[0], atol=1e-6)
    assert (moved != images[0]).any()


@pytest.mark.parametrize("name", ["switching (12)", "aligned, integrated", "random class, Madry"])
def test_at_radius_0_no_image_moves(nets, images, name):
    assert torch.equal(attack(nets, images, name, eps=0.0), images[0])


@pytest.mark.parametrize("name", detection.HARDEST)
def test_the_best_iterate_is_accepted_at_least_as_readily_as_the_last(nets, images, name):
    fast = {k: InBfloat16(net) for k, net in nets.items()}
    system = detection.ATTACKS[name].system
    last, best = (score(fast, system, attack(nets, images, name, 6, keep), images[1]) for keep in (False, True))
    # an image that is never misread comes back clean under the best iterate, and has no score in either
    assert (best >= last).all()


@pytest.mark.parametrize("name, net", [("random class, generative", "heads"), ("random class, Madry", "madry")])
def test_an_attack_towards_a_class_raises_the_logit_of_that_class(nets, images, name, net):
    target = (images[1] + 1) % 10
    clean, moved = (nets[net].picked(x, target) for x in (images[0], attack(nets, images, name)))
    assert (moved > clean).all()


@pytest.mark.parametrize("name", [n for n, a in detection.ATTACKS.items() if a.towards == "every"])
def test_an_aligned_attack_gives_a_misread_image_or_the_clean_one(nets, images, name):
    moved = attack(nets, images, name)
    fast = {k: InBfloat16(net) for k, net in nets.items()}
    lost = score(fast, detection.ATTACKS[name].system, moved, images[1]) > -torch.inf
    clean = (moved == images[0]).flatten(1).all(1)
    assert (lost | clean).all()


def test_a_record_holds_what_every_network_says_of_the_attacked_images(nets):
    arrays, settings = detection.compute(lambda system, device: nets, "linf0.3", "detectors (9)", EPS, False, 4,
                                         "smoke", 0, CPU)
    assert {"f": (4, 10), "heads": (4, 10), "madry": (4, 10)} == {name: arrays[name].shape
                                                                  for name in ("f", "heads", "madry")}
    assert (arrays["linf"] <= EPS + 1e-6).all() and arrays["thumbs"].shape == (4, 1, 28, 28)
    again = nets["heads"](torch.from_numpy(arrays["thumbs"]).float() / 255).numpy()
    assert np.abs(again - arrays["heads"]).max() < 0.05          # pictures are rounded to 256 levels
    assert (settings["protocol"], settings["loss"], settings["eps"]) == ("published", "detectors (9)", EPS)


@pytest.mark.parametrize("name", ["detectors (9)", "random class, Madry", "aligned, Madry"])
def test_later_images_are_attacked_as_they_would_be_with_the_earlier_ones(nets, name):
    def record(*span):
        return detection.compute(lambda *_: nets, "linf0.3", name, EPS, False, span[-1], "smoke", 0, CPU, *span[:-1])[0]

    whole, parts = record(4), (record(2), record(2, 4))
    for key in whole:
        both = np.concatenate([part[key] for part in parts])
        assert np.allclose(both, whole[key], rtol=1e-4, atol=1e-4) and len(both) == 4


def test_the_step_of_the_public_script_is_ten_times_that_of_the_caption(nets):
    settings = [detection.compute(lambda *_: nets, "linf0.3", name, EPS, False, 2, "smoke", 0, CPU)[1]
                for name in ("switching (12)", "switching (12), steps of 0.1")]
    assert settings[1]["step_size"] == pytest.approx(10 * settings[0]["step_size"])


def test_a_record_towards_a_class_says_which_and_never_the_true_one(nets):
    name = "random class, Madry"
    arrays, settings = detection.compute(lambda *_: nets, "linf0.3", name, EPS, False, 4, "smoke", 0, CPU)
    assert (arrays["target"] != arrays["label"]).all() and settings["system"] == "Madry"
    again = detection.compute(lambda *_: nets, "linf0.3", name, EPS, False, 2, "smoke", 0, CPU)[0]
    assert np.array_equal(again["target"], arrays["target"][:2])         # however the images are cut into units


def test_natural_records_are_of_test_images_and_of_held_out_ones(nets):
    def label(name):
        return detection.compute(lambda *_: nets, "linf0.3", name, 0.0, False, 20, "smoke", 0, CPU)[0]["label"]

    assert np.array_equal(label("clean"), dataset_of("smoke").test.y[:20].numpy())
    assert not np.array_equal(label("clean"), label("validation"))


@pytest.mark.parametrize("profile", DETECTORS)
def test_the_plan_attacks_both_ways_and_at_a_larger_radius_and_names_each_unit_once(profile):
    planned = detection.plan(profile, "linf0.3")
    assert {name for name, *_ in planned} == {"clean", "validation", *detection.ATTACKS}
    assert {name for name, _, best, _ in planned if best} == set(detection.LOOKED_AT)
    radii = {round(eps, 3) for name, eps, *_ in planned if name in detection.HARDEST}
    assert radii == ({0.3} if profile == "smoke" else {0.3, 0.4})
    names = [detection.unit_name("linf0.3", name, eps, best, 0) for name, eps, best, _ in planned]
    assert len(set(names)) == len(names)


def test_networks_are_loaded_once_for_all_units(monkeypatch, nets):
    asked = []
    monkeypatch.setattr("lib.runs.systems.classifier", lambda name, *_: asked.append(name) or nets["f"])
    monkeypatch.setattr("lib.runs.systems.trained_heads", lambda system, *_: asked.append(system) or nets["heads"])
    load = networks("smoke", 0, Path("nowhere"))
    assert load("linf0.3", CPU) is load("linf0.3", CPU) and sorted(asked) == ["Madry", "f", "linf0.3"]


def test_an_unknown_unit_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="unknown unit 'GAT_x' of detection; expected one of GAT_linf0.3_clean_seed0"):
        detection.detection("smoke", 0, "cpu", tmp_path, only="GAT_x")
    assert not (tmp_path / "smoke").exists()


def test_every_attack_is_aimed_at_a_system_that_rows_are_made_for():
    assert {attack.system for attack in detection.ATTACKS.values()} == set(reject.SYSTEMS)
