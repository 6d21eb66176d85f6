"""What is committed belongs together: rows follow from records, records from weights."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

from benchmarks import bench
from lib.metrics import correct, wilson
from lib.models import MODELS
from lib.profiles import DETECTORS, profile
from lib.results import ROOT, inventory, inventory_in, read_record, read_rows, rows_from, select
from lib.runs import (auc, density, distortion, heads, networks, referee, reject, rings, schedule, spread, strangers,
                      systems, training)
from lib.runs.experiments import plan
from lib.runs.outcomes import pooled, summariser
from lib.runs.precision import compared
from lib.runs.systems import weights_of
from lib.train import agree, fingerprint, settings_of

RESULTS = ROOT / "data" / "results"                 # not $BOOK_RESULTS: what is committed
ATTACKED = ("clean", "whitebox", "strong", "carlini", "precision", "samples", "averaging")
SUMMARISERS = ({"training": training.summarise, "density": density.summarise, "heads": heads.summarise,
                "auc": auc.summarise, "detection": reject.summarise, "strangers": strangers.summarise,
                "distortion": distortion.summarise, "referee": referee.summarise, "rings": rings.summarise,
                "schedule": schedule.summariser("laptop", RESULTS), "spread": spread.summariser("laptop", RESULTS)}
               | {f"bench-{contest}": bench.summarise for contest in bench.contests("laptop", 0)}
               | dict.fromkeys(ATTACKED, summariser("laptop", RESULTS)))


def test_all_committed_rows_are_compared_with_their_records():
    counted = {"reliability"}                       # by tests/reliability, which write record and rows at once
    assert {path.stem for path in (RESULTS / "laptop").glob("*.csv")} - counted <= set(SUMMARISERS)


@pytest.mark.parametrize("experiment", SUMMARISERS)
def test_committed_rows_are_those_of_the_committed_records(experiment, tmp_path):
    again = rows_from(RESULTS / "laptop" / experiment, SUMMARISERS[experiment])
    committed = read_rows(RESULTS / "laptop" / f"{experiment}.csv")
    keys = [k for k in committed.columns if k not in ("value", "low", "high")]
    again, committed = (f.sort_values(keys, kind="stable").reset_index(drop=True) for f in (again, committed))
    # an image whose distance is the threshold but for rounding may fall on the other side of it on another processor
    moved = (again.value - committed.value).abs() * committed.n         # images
    split = committed.metric.isin(["fpr_tv", "detect_tv"]) & moved.between(0.5, 2.5)
    assert split.sum() <= 5
    pd.testing.assert_frame_equal(again[~split], committed[~split], rtol=1e-4, atol=1e-6, check_dtype=False)
    assert inventory_in(RESULTS / "laptop" / f"{experiment}.csv") == inventory(RESULTS / "laptop" / experiment)


@pytest.mark.parametrize("model", MODELS)
def test_the_committed_weights_are_whole_and_say_what_they_are(model):
    with safe_open(training.checkpoint(model, "laptop", 0), framework="pt") as file:
        settings = json.loads(file.metadata()["settings"])
        assert all(file.get_tensor(name).isfinite().all() for name in file.keys())
    assert (settings["model"], settings["seed"], settings["dataset"]) == (model, 0, "mnist")
    recipe = training.recipe_of(model, "laptop")
    assert all(settings[name] == getattr(recipe, name) for name in ("updates", "batch", "rate", "schedule"))
    if (trained := RESULTS / f"laptop/training/{model}_seed0.npz").exists():
        assert read_record(trained).settings["updates"] == recipe.updates


def test_all_committed_weights_are_those_that_the_laptop_profile_asks_for(mnist, monkeypatch):
    """By their headers: nothing is loaded."""
    class Agreed(Exception):
        pass

    def header(path, model, expected, recipe=None):
        agree(path, settings_of(path), expected, recipe or {})
        raise Agreed

    for module in (training, heads, systems, networks, schedule):
        monkeypatch.setattr(module, "load_weights", header)
        monkeypatch.setattr(module, "fit", lambda *_, **__: pytest.fail("trains"))
    cpu, asked = torch.device("cpu"), {}
    for name in MODELS:
        asked[name, ""] = lambda name=name: training.trained(name, "laptop", 0, cpu)
        asked[name, "shortened"] = lambda name=name: training.trained(name, "laptop", 0, cpu, "shortened")
    for name in schedule.MODELS:
        for stop in profile("laptop").stops:
            asked[name, f"published-{stop}"] = lambda job=(name, stop): schedule.victim_at(*job, "laptop", 0, None,
                                                                                          cpu)
    for kind in ("plain", "robust"):
        asked["CNN", kind] = lambda kind=kind: networks.network(kind, "laptop", 0, cpu)
    for name in systems.NAMES:
        asked[name, ""] = lambda name=name: systems.classifier(name, "laptop", 0, cpu)
    for system, classes in DETECTORS["laptop"].systems.items():
        for k in classes:
            asked["GAT", f"{system}-class{k}"] = lambda job=(system, k): heads.trained_heads(
                job[0], "laptop", 0, cpu, classes=job[1:])
    there = {training.checkpoint(name, "laptop", 0, variant): load for (name, variant), load in asked.items()}
    assert sum(path.exists() for path in there) >= 22
    for path, load in there.items():
        if path.exists():
            with pytest.raises(Agreed):
                load()


@pytest.mark.parametrize("experiment", ATTACKED)
def test_every_record_of_a_model_was_made_with_its_committed_weights(experiment):
    for path in sorted((RESULTS / "laptop" / experiment).glob("*_seed0*.npz")):
        settings = read_record(path).settings
        if settings["model"] in MODELS and "shortened" not in settings.get("variant", "") and experiment != "schedule":
            assert settings["weights"] == fingerprint(training.checkpoint(settings["model"], "laptop", 0)), path.name


@pytest.mark.parametrize("experiment", ["auc", "detection", "distortion", "strangers"])
def test_every_record_of_detectors_was_made_with_their_committed_weights(experiment):
    paths = sorted((RESULTS / "laptop" / experiment).glob("*linf0.3*_seed0.npz"))
    assert paths
    for path in paths:
        settings = read_record(path).settings
        which = ({"classes": (settings["class"],), "names": ()} if experiment == "auc"
                 else {"names": ()} if experiment == "distortion" else {})
        assert settings["weights"] == weights_of("linf0.3", "laptop", 0, **which), path.name


def test_every_record_says_from_which_code_and_data_it_comes():
    for path in (RESULTS / "laptop").glob("*/*.npz"):
        settings = read_record(path).settings
        assert settings["commit"] and settings["device"] and settings["data"], path


def test_accuracy_under_the_strong_protocol_falls_with_eps_within_its_interval():
    for group in pooled([read_record(p) for p in sorted((RESULTS / "laptop/strong").glob("*.npz"))]):
        accuracy = correct(group["predictions"], group["label"]).mean(1)
        n = len(group["label"])
        for smaller, larger in zip(accuracy, accuracy[1:]):
            assert larger <= wilson(smaller, n)[1] + 1e-9, group.settings["model"]


def test_every_perturbation_is_inside_its_ball():
    for path in [*(RESULTS / "laptop/whitebox").glob("*.npz"), *(RESULTS / "laptop/strong").glob("*.npz")]:
        record = read_record(path)
        eps = np.array([cell["eps"] for cell in record.settings["cells"]])
        assert (record["linf"] <= eps[:, None] + 1e-5).all(), path


def test_every_attack_on_a_system_is_inside_its_ball_and_on_the_first_images():
    for path in (RESULTS / "laptop/detection").glob("*.npz"):
        record = read_record(path)
        assert (record["linf"] <= record.settings["eps"] + 1e-5).all(), path
        assert np.array_equal(record["index"], np.arange(len(record["index"]))), path


def test_what_is_accepted_never_grows_with_the_share_of_rejected_images():
    rows = select(read_rows(RESULTS / "laptop/detection.csv"), metric=["error", "accuracy", "accepted"])
    rows = rows[~rows.detector.str.contains("per class")]
    keys = ["model", "variant", "attack", "loss", "eps", "metric", "seed"]
    table = rows.pivot(index=keys, columns="detector", values="value")
    assert (table["reject 0%"] >= table["reject 1%"]).all() and (table["reject 1%"] >= table["reject 5%"]).all()


def test_published_and_strong_rows_are_kept_apart():
    assert set(select(read_rows(RESULTS / "laptop/whitebox.csv"), metric="accuracy").protocol) == {"published"}
    assert set(read_rows(RESULTS / "laptop/strong.csv").protocol) == {"strong"}


def test_the_whole_of_autoattack_beats_the_strong_protocol_by_at_most_3_points_where_gradients_lead_somewhere():
    rows = select(read_rows(RESULTS / "laptop/referee.csv"), model="CNN-robust", protocol="strong", metric="accuracy")
    left = rows.set_index("variant").value
    assert 0.2 <= left["ours"] <= 0.8 and left["ours"] - left["torchattacks"] <= 0.03, left


def test_bfloat16_gradients_attack_as_well_as_float32_ones():
    found = compared("laptop", 0, RESULTS)
    assert set(found.model) == {"GFZ", "GBZ", "DFX"}
    assert ((found.low <= 0) & (found.high >= 0)).all(), found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_committed_record_was_made_with_other_settings_than_the_profile_has(seed):
    found = plan("laptop", seed, RESULTS)                       # raises where one was
    assert set(found[found.stored].experiment) >= {"density", "spread", "training"}
