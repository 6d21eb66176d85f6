"""A training that is looked at on its way ends where it would have ended anyway, and its rows say how far it
had come."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lib.profiles import Training, profile
from lib.results import read_record, select
from lib.runs import schedule, training, units, whitebox
from lib.runs.training import checkpoint
from lib.train import fingerprint, settings_of

CPU = torch.device("cpu")
STOPS = profile("smoke").stops


def same(one, other):
    one, other = load_file(one), load_file(other)
    return all(torch.equal(one[name], other[name]) for name in one | other)


def test_stops_do_not_change_where_a_training_ends(tmp_path):
    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    for stop in STOPS:
        at_stops = schedule.weights_at("GBZ", stop, "smoke", 0, stopped, CPU)
    at_once = schedule.weights_at("GBZ", STOPS[-1], "smoke", 0, straight, CPU)
    assert same(at_stops, at_once)
    first = schedule.weights_at("GBZ", STOPS[0], "smoke", 0, stopped, CPU)
    assert not same(first, at_once)


def test_a_training_that_went_past_a_stop_without_leaving_weights_says_so(tmp_path):
    first, second = (schedule.weights_at("GBZ", stop, "smoke", 0, tmp_path, CPU) for stop in STOPS[:2])
    second.unlink()
    assert schedule.weights_at("GBZ", STOPS[1], "smoke", 0, tmp_path, CPU) == second        # it stands exactly there
    first.unlink()
    state = checkpoint("GBZ", "smoke", 0, schedule.PUBLISHED, tmp_path).with_suffix(".state")
    with pytest.raises(ValueError, match=f"{state.name} is past update {STOPS[0]}"):
        schedule.weights_at("GBZ", STOPS[0], "smoke", 0, tmp_path, CPU)
    schedule.weights_at("GBZ", STOPS[-1], "smoke", 0, tmp_path, CPU)
    assert not state.exists()


def test_weights_of_a_stop_of_another_training_are_refused(tmp_path, monkeypatch):
    schedule.weights_at("GBZ", STOPS[0], "smoke", 0, tmp_path, CPU)
    monkeypatch.setattr(schedule, "PUBLISHED_TRAINING", Training(updates=STOPS[-1], rate=2e-4))
    with pytest.raises(ValueError, match="has rate = 0.0001, expected 0.0002; it belongs to another model or setting"):
        schedule.victim_at("GBZ", STOPS[0], "smoke", 0, tmp_path, CPU)


def test_rows_tell_both_trainings_and_their_lengths(tmp_path):
    rows = schedule.schedule("smoke", results=tmp_path)
    accuracy = select(rows, metric="accuracy", attack="clean")
    expected = {(schedule.SHORTENED, profile("smoke").shortened.updates),
                *((schedule.PUBLISHED, stop) for stop in STOPS)}
    once = select(accuracy, variant=f"{schedule.PUBLISHED}, one draw")
    assert set(once.steps) == {STOPS[-1]} and once.n.eq(profile("smoke").test_images).all()
    assert {(row.variant, int(row.steps)) for row in accuracy.drop(once.index).itertuples()} == expected
    assert set(accuracy.model) == set(schedule.MODELS)
    assert len(select(rows, metric="bound", variant=schedule.PUBLISHED)) == len(STOPS) * len(schedule.MODELS)
    trainings = {schedule.SHORTENED: ""} | {f"{schedule.PUBLISHED}-{stop:06d}": f"{schedule.PUBLISHED}-{stop}"
                                            for stop in STOPS}
    for unit, variant in trainings.items():
        record = read_record(tmp_path / f"smoke/schedule/GBZ_{unit}_seed0.npz")
        assert record.settings["weights"] == fingerprint(checkpoint("GBZ", "smoke", 0, variant, tmp_path)) != ""


def test_the_attack_on_the_shortened_training_is_that_on_the_profiles_own_model(tmp_path):
    assert profile("smoke").training_for("GBZ") == profile("smoke").shortened       # so both attack the same weights
    arrays, settings = schedule.attacked("GBZ", "pgd", 0, 4, "smoke", 0, tmp_path, CPU)
    whitebox.whitebox("smoke", results=tmp_path, only="GBZ_pgd_seed0_00000-00004")
    own = read_record(tmp_path / "smoke/whitebox/GBZ_pgd_seed0_00000-00004.npz")
    assert own.settings["weights"] == settings["weights"] != ""
    assert own.settings["cells"] == [{k: v for k, v in cell.items() if k != "variant"} for cell in settings["cells"]]
    for name in ("l2", "predictions", "log_joint"):
        np.testing.assert_array_equal(arrays[name], own[name])


def test_the_shortened_training_is_attacked_where_the_profile_trains_otherwise(tmp_path, monkeypatch):
    def units(name):
        return set(schedule.schedule(name, results=tmp_path, only="list").unit)

    assert not any("pgd" in unit for unit in units("smoke"))
    assert {"GFZ_shortened-pgd_seed0_00000-00010", "GBZ_shortened-strong_seed0_00005-00010"} <= units("laptop")
    other = replace(profile("smoke"), shortened=Training(1, batch=8))
    for module in (schedule, training):
        monkeypatch.setattr(module, "profile_of", lambda name: other)
    rows = schedule.schedule("smoke", results=tmp_path, only="GBZ_shortened-pgd_seed0_00000-00004")
    assert not rows.metric.str.startswith(("detect", "joint")).any()        # no scores to fit thresholds on yet
    assert set(select(rows, attack="pgd", metric="accuracy").eps) == set(profile("smoke").eps)
    rows = schedule.schedule("smoke", results=tmp_path, only="GBZ_shortened_seed0")
    assert set(select(rows, metric="detect_marginal", detector="quantile-micro", attack="pgd").eps) == set(
        profile("smoke").eps)
    rows = schedule.schedule("smoke", results=tmp_path, only=f"GBZ_published-{STOPS[0]:06d}_seed0")
    assert set(select(rows, attack="clean", metric="accuracy").variant) == {schedule.SHORTENED, schedule.PUBLISHED}


def test_what_schedule_trained_to_its_end_is_not_trained_again(tmp_path, monkeypatch):
    recipe = Training(updates=STOPS[-1], batch=8)
    monkeypatch.setattr(schedule, "PUBLISHED_TRAINING", recipe)
    ends = [schedule.weights_at("GBZ", stop, "smoke", 0, tmp_path, CPU) for stop in STOPS]
    own = replace(profile("smoke"), trainings={"decoder": recipe, "other": recipe})
    monkeypatch.setattr(training, "profile_of", lambda name: own)
    monkeypatch.setattr(training, "PUBLISHED_TRAINING", recipe)
    monkeypatch.setattr(training, "fit", lambda *args, **settings: pytest.fail("trained again"))
    rows = training.training("smoke", results=tmp_path, only="GBZ_seed0")
    assert same(checkpoint("GBZ", "smoke", 0, "", tmp_path), ends[-1])
    assert settings_of(checkpoint("GBZ", "smoke", 0, "", tmp_path))["rate"] == recipe.rate
    assert read_record(tmp_path / "smoke/training/GBZ_seed0.npz")["update"].tolist() == list(STOPS)
    assert set(rows.metric) == {"bound"}            # the seconds would be those of a copy
    ends[-1].unlink()
    with pytest.raises(pytest.fail.Exception):
        training.training("smoke", results=tmp_path, only="GBZ_seed0", fresh=True)


def test_what_schedule_finished_while_its_lock_was_waited_for_is_not_trained_again(tmp_path, monkeypatch):
    recipe, real = Training(updates=STOPS[-1], batch=8), units.locked
    own = replace(profile("smoke"), trainings={"decoder": recipe, "other": recipe})
    monkeypatch.setattr(training, "profile_of", lambda name: own)
    for module in (schedule, training):
        monkeypatch.setattr(module, "PUBLISHED_TRAINING", recipe)
    monkeypatch.setattr(training, "fit", lambda *args, **settings: pytest.fail("trained again"))

    def waited(path, wait=True):                    # until schedule, which holds it, is done
        if path.suffix == ".state":
            monkeypatch.setattr(units, "locked", real)
            for stop in STOPS:
                schedule.weights_at("GBZ", stop, "smoke", 0, tmp_path, CPU)
        return real(path, wait)

    monkeypatch.setattr(units, "locked", waited)
    assert set(training.training("smoke", results=tmp_path, only="GBZ_seed0").metric) == {"bound"}


def test_stops_may_come_in_any_order(tmp_path):
    late, early = (schedule.weights_at("GBZ", stop, "smoke", 0, tmp_path, CPU) for stop in (STOPS[1], STOPS[0]))
    straight = schedule.weights_at("GBZ", STOPS[0], "smoke", 0, tmp_path / "straight", CPU)
    assert same(early, straight) and not same(early, late)
