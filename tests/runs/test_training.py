"""What rows say of a training, and which weights are taken for it."""

from dataclasses import replace

import pytest
import torch

from lib.models import build
from lib.profiles import profile
from lib.results import read_record
from lib.runs import networks
from lib.runs import training as runs
from lib.runs.networks import network
from lib.runs.training import checkpoint, dataset_of, recipe_of, trained, training
from lib.train import fit, initial_weights


@pytest.mark.parametrize("cut_off", [False, True])
def test_only_a_training_of_one_piece_tells_its_seconds(tmp_path, cut_off):
    if cut_off:
        dataset, path = dataset_of("smoke"), checkpoint("DBX", "smoke", 0, results=tmp_path)
        with initial_weights(0):
            model = build("DBX", dataset.shape, len(dataset.classes))
        fit(model, dataset.train, recipe_of("DBX", "smoke"), seed=0, state=path.with_suffix(".state"), stop=1)
    rows = training("smoke", results=tmp_path, only="DBX_seed0")
    assert set(rows.metric) == ({"bound"} if cut_off else {"bound", "seconds"})
    settings = read_record(tmp_path / "smoke/training/DBX_seed0.npz").settings
    assert settings.get("resumed", False) is cut_off


@pytest.mark.parametrize("other", [{"kl_warmup": 1}, {"batch": 7}, {"rate": 2e-3}])
def test_weights_of_another_recipe_are_refused(tmp_path, monkeypatch, other):
    trained("DBX", "smoke", 0, torch.device("cpu"), results=tmp_path)
    recipe = replace(recipe_of("DBX", "smoke"), **other)
    sizes = replace(profile("smoke"), trainings={"decoder": recipe, "other": recipe})
    monkeypatch.setattr(runs, "profile_of", lambda name: sizes)
    (name, value), = other.items()
    with pytest.raises(ValueError, match=f"has {name} = .*, expected {value!r}; it belongs to another model"):
        trained("DBX", "smoke", 0, torch.device("cpu"), results=tmp_path)


@pytest.mark.parametrize("kind, other", [("plain", {"TRAINING": {"rate": 1e-3}}), ("robust", {"INNER": {"steps": 8}}),
                                         ("robust", {"TRAINING": {"batch": 99}})])
def test_small_networks_of_another_recipe_are_refused(tmp_path, monkeypatch, kind, other):
    network(kind, "smoke", 0, torch.device("cpu"), tmp_path)
    (table, change), = other.items()
    monkeypatch.setattr(networks, table, replace(getattr(networks, table), **change))
    with pytest.raises(ValueError, match="it belongs to another model or setting"):
        network(kind, "smoke", 0, torch.device("cpu"), tmp_path)
