"""Images for the pages, and how pages come by rows."""

import numpy as np
import pytest
import torch

from lib.models import DeepBayes
from lib.results import tidy, write_rows
from lib.runs import experiments, pictures, reading


@pytest.mark.parametrize("name", ["GFZ", "GFY", "GBZ", "GBY", "DFZ"])
def test_models_with_a_decoder_draw_images_and_classes_along_the_arrows(name):
    x, y = pictures.ancestral(DeepBayes(name), 6, seed=0)
    assert x.shape == (6, 1, 28, 28) and 0 <= x.min() and x.max() <= 1
    assert y.shape == (6,) and y.min() >= 0 and y.max() < 10


def test_a_seed_draws_the_same_images_again():
    model = DeepBayes("GFZ")
    first, again, other = (pictures.ancestral(model, 3, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_model_without_a_decoder_cannot_draw():
    with pytest.raises(ValueError, match="DFX has no p"):
        pictures.ancestral(DeepBayes("DFX"), 2, seed=0)


def test_no_stored_pictures_give_an_empty_grid(tmp_path):
    found = pictures.examples("whitebox", ["GFZ"], "mim", "laptop", 0, results=tmp_path)
    assert found["rows"] == [] and found["columns"] == []


def test_the_reading_profile_reads_and_never_computes(tmp_path):
    def whitebox(*_):
        raise AssertionError("no page may start hours of work")

    assert reading.rows_of(whitebox, "laptop", 0, "cpu", results=tmp_path).empty


def test_the_reading_profile_makes_a_deleted_table_from_its_records(tmp_path):
    def whitebox(profile, seed, device, results, only):
        write_rows(results / profile / "whitebox.csv", tidy([{"seed": seed, "variant": only}]))

    (tmp_path / "laptop/whitebox").mkdir(parents=True)
    assert reading.rows_of(whitebox, "laptop", 0, "cpu", results=tmp_path).variant.tolist() == ["none"]


@pytest.mark.parametrize("name", experiments.AFTER)
def test_an_experiment_is_called_as_its_folder_so_that_its_rows_are_found(name, tmp_path):
    function = experiments.experiment(name)
    assert function.__name__ == name
    write_rows(tmp_path / "laptop" / f"{name}.csv", tidy([{"seed": 0, "experiment": name}]))
    assert reading.rows_of(function, "laptop", 0, "cpu", results=tmp_path).experiment.tolist() == [name]


def test_a_name_that_is_no_experiments_is_refused_instead_of_read_as_no_rows(tmp_path):
    def strong_protocol(*_):
        raise AssertionError("refused before any work")

    for profile in ("laptop", "smoke"):
        with pytest.raises(ValueError, match="no experiment is called 'strong_protocol'; expected one of .*strong"):
            reading.rows_of(strong_protocol, profile, 0, "cpu", results=tmp_path)
    with pytest.raises(ValueError, match="no experiment is called 'stong'"):
        reading.rows_of(strong_protocol, "laptop", 0, "cpu", results=tmp_path, name="stong")
    assert reading.rows_of(strong_protocol, "laptop", 0, "cpu", results=tmp_path, name="bench-pgd").empty


def test_other_profiles_and_fresh_do_the_work(tmp_path):
    def whitebox(profile, seed, device, results, fresh):
        return tidy([{"profile": profile, "seed": seed, "metric": "fresh", "value": fresh}])

    assert reading.rows_of(whitebox, "smoke", 3, "cpu", results=tmp_path).seed.tolist() == [3]
    assert reading.rows_of(whitebox, "laptop", 3, "cpu", fresh=True, results=tmp_path).value.tolist() == [1]


def test_a_spot_check_without_weights_says_so(tmp_path):
    assert "no weights" in reading.spot_check(["GFZ"], "smoke", 0, "cpu", results=tmp_path)


def test_a_frame_marks_what_the_vote_of_the_draws_misreads(monkeypatch):
    seen = np.array([[[3] * 10, [4] * 6 + [1] * 4, [1] * 6 + [4] * 4]])              # of images of a 3, a 1 and a 1
    stored = ([{"variant": "c=10"}], np.zeros((1, 3, 28, 28), np.uint8), None, seen)
    monkeypatch.setattr(pictures, "thumbnails", lambda *_: stored)
    found = pictures.ambiguous(["GFZ"], torch.zeros(3, 1, 28, 28), torch.tensor([3, 1, 1]), "laptop", 0)
    assert found["captions"][1] == ["3 (10)", "4 (6)", "1 (6)"] and found["flagged"][1] == [False, True, False]
