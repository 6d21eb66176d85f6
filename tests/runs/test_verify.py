"""Stored images come back when they are computed again, and a record that is wrong is caught."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.results import ROOT, read_record, write_record
from lib.runs import clean, experiments, verify, whitebox
from lib.runs.training import training

CPU = torch.device("cpu")
OTHERWISE = {                   # experiments that are checked by other means
    "training": "a training is not cut into images; the weights are what the other records are computed with",
    "rings": "its points are drawn anew on its page",
    "schedule": "weights of a training on its way are not kept with the project",
    "referee": "its random starts are drawn for all images at once, as the peers draw theirs",
    "density": "points of a plane, no images",
    "heads": "a training", "auc": "no draws to be wrong in: numbers of a whole test", "detection": "likewise",
    "distortion": "likewise", "strangers": "likewise",
}


def test_every_experiment_is_verified_or_says_why_not():
    assert set(verify.CHECKS) | set(OTHERWISE) == set(experiments.AFTER)
    assert not set(verify.CHECKS) & set(OTHERWISE)


@pytest.mark.slow
def test_five_stored_images_come_back(mnist):
    cheap = verify.drawn("laptop", 0, 5, results=ROOT / "data/results", limit=6,
                         keep=lambda settings: settings["attack"] in ("clean", "fgsm"))
    assert len(cheap) == 5
    assert {one.name: verify.verify(one, CPU)[0] for one in cheap} == {one.name: [] for one in cheap}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A smoke record of FGSM, one of clean images, and their folder."""
    folder = tmp_path_factory.mktemp("results")
    training("smoke", results=folder, only="GFZ_seed0")
    clean.clean("smoke", results=folder, only=clean.unit("GFZ", 0))
    whitebox.whitebox("smoke", results=folder, only="GFZ_fgsm_seed0_00000-00004")
    return folder


@pytest.mark.parametrize("experiment", ["clean", "whitebox"])
def test_on_the_same_machine_every_number_comes_back_to_the_last_bit(stored, experiment):
    chosen = [one for one in verify.drawn("smoke", 0, 8, results=stored) if one.path.parent.name == experiment]
    assert len(chosen) == 4
    assert [verify.verify(one, CPU, stored) for one in chosen] == [([], True)] * 4


def flip(arrays, at):
    arrays["predictions"][0, at] = (arrays["predictions"][0, at] + 1) % 10


def shift(arrays, at):
    arrays["log_joint"][1, at, 3] += 60


def swap(arrays, at):
    for name in verify.PER_CELL:
        arrays[name][:, [at, at - 1]] = arrays[name][:, [at - 1, at]]


def lengthen(arrays, at):
    arrays["l2"][1, at] *= 1.2


def void(arrays, at):
    arrays["log_joint"][0, at] = np.nan


def relabel(arrays, at):
    arrays["label"][at] = (arrays["label"][at] + 1) % 10


@pytest.mark.parametrize("plant, said",
                         [(flip, "wrong in"), (shift, "log joint of class 3"), (swap, "again"), (lengthen, "l2"),
                          (void, "log joint"), (relabel, "label")])
def test_a_planted_wrong_record_is_caught_and_named(stored, tmp_path, plant, said, monkeypatch, capsys):
    (one,) = [one for one in verify.drawn("smoke", 0, 8, results=stored)
              if one.image == 2 and one.path.parent.name == "whitebox"]
    again = verify.CHECKS["whitebox"].again(read_record(one.path).settings, one.first, one.last, stored, CPU)
    record = read_record(one.path)
    if plant is flip:                                       # whatever the model says: right becomes wrong, or back
        record["predictions"][0, 2] = again["predictions"][0, 2] = record["label"][2]
    assert verify.compared(record, again, 2, verify.ATTACKED) == []
    plant(record.arrays, 2)
    write_record(tmp_path / "whitebox" / one.path.name, record.arrays, record.settings)
    wrong = verify.compared(read_record(tmp_path / "whitebox" / one.path.name), again, 2, verify.ATTACKED)
    assert wrong and any(said in line for line in wrong)


def test_the_command_says_which_image_differs_and_exits_with_1(stored, monkeypatch, capsys):
    words = ["verify", "--profile", "smoke", "--images", "8", "--seed", "3", "--device", "cpu",
             "--results", str(stored)]
    monkeypatch.setattr("sys.argv", words)
    assert verify.main() == 0
    assert "8 of 8 agree with their record, 8 to the last bit" in capsys.readouterr().out
    path = stored / "smoke/whitebox/GFZ_fgsm_seed0_00000-00004.npz"
    before, record = path.read_bytes(), read_record(path)
    record["linf"][0, 1] += 0.05
    write_record(path, record.arrays, record.settings)
    try:
        assert verify.main() == 1
        said = capsys.readouterr().out
        assert "drawn with seed 3" in said and re.search(r"00000-00004, image 1: DIFFERS: eps 0.1: linf", said)
        assert "7 of 8 agree" in said
        path.write_bytes(before[:-30])
        assert verify.main() == 2 and "cannot be read" in capsys.readouterr().err
    finally:
        path.write_bytes(before)


def test_a_seed_draws_the_same_images_again_and_none_twice():
    first, again, other = (verify.drawn("laptop", seed, 20, results=ROOT / "data/results") for seed in (4, 4, 5))
    assert first == again != other and len({one.name for one in first}) == 20
    assert len({one.path.parent.name for one in first}) >= 4
    assert all(one.seconds < 3 for one in verify.drawn("laptop", 4, 20, results=ROOT / "data/results", limit=3))


def test_a_draw_at_a_tie_may_change_sides_and_no_more(stored):
    record = read_record(stored / "smoke/clean/GFZ_clean_seed0.npz")
    again = {name: array.copy() for name, array in record.arrays.items()}
    again["predictions"][0, 0] = record["label"][0]
    record["predictions"][0, 0] = record["label"][0]
    again["predictions"][0, 0, 0] = (record["label"][0] + 1) % 10
    assert verify.compared(record, again, 0, verify.NOT_ATTACKED) != []
    assert verify.compared(record, again, 0, replace(verify.NOT_ATTACKED, draws=0.5)) == []
