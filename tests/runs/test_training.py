"""What rows say of a training."""

import pytest

from lib.models import build
from lib.results import read_record
from lib.runs.training import checkpoint, dataset_of, recipe_of, training
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
