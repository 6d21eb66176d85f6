"""Detectors are trained by equation 5, each as if it were alone, and the best checkpoint is kept."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from lib.attacks import ball
from lib.metrics import auc, auc_interval
from lib.models import ConvNet, Heads, Noise
from lib.profiles import DETECTORS, SHORT_STEPS, SYSTEMS, Inner, Training, namesake
from lib.results import read_record, select
from lib.runs import heads as runs
from lib.runs.negatives import AgainstNegatives
from lib.runs.training import checkpoint

SHAPE = (1, 8, 8)
GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.rand(40, *SHAPE, generator=GENERATOR), torch.arange(40) % 4


def taught(classes, inner=Inner("linf", 0.1, 3, 0.05), negatives=6):
    return AgainstNegatives(runs.fresh(classes, 0, SHAPE), classes, inner, negatives)


def noise(step=0):
    return Noise("train/noise", 0, range(40), step=step)


@pytest.mark.parametrize("in_turn", [True, False])      # one inner attack after the other, or all in one loop
@pytest.mark.parametrize("inner", [Inner("linf", 0.1, 3, 0.05), Inner("l2", 0.5, 3, 0.2)])
def test_a_detector_is_trained_alike_alone_and_beside_others(inner, in_turn, monkeypatch):
    monkeypatch.setattr(Heads, "in_turn", staticmethod(lambda device: in_turn))
    together = taught((0, 1, 2), inner)
    losses = together.objective(X, Y, noise())
    losses.sum().backward()
    for k in range(3):
        alone = taught((k,), inner)
        loss = alone.objective(X, Y, noise())
        loss.sum().backward()
        torch.testing.assert_close(loss[0], losses[k], rtol=1e-5, atol=1e-7)
        for name, weight in together.heads.stacked.items():
            grad = weight.grad.unflatten(0, (3, -1))[k:k + 1] if name[0] in "03" else weight.grad[k:k + 1]
            mine = alone.heads.stacked[name].grad
            assert (grad.view_as(mine) - mine).abs().max() <= 1e-5 * mine.abs().max(), name


def test_the_objective_is_the_mean_cross_entropy_of_clean_positives_and_attacked_negatives():
    model = taught((2,))
    negatives = X[(Y != 2).nonzero()[:6, 0]]
    attacked = model.perturbed(negatives[None], noise())[0]
    logits = model.heads(torch.cat([attacked, X[Y == 2]]))[:, 0]
    label = torch.tensor([0.0] * 6 + [1.0] * 10)
    torch.testing.assert_close(-model.objective(X, Y, noise())[0], F.binary_cross_entropy_with_logits(logits, label))


@pytest.mark.parametrize("inner", [Inner("linf", 0.1, 5, 0.05), Inner("l2", 0.5, 5, 0.2)])
def test_negatives_move_inside_the_ball_to_where_the_detector_likes_them_better(inner):
    model = taught((0,), inner)
    with torch.no_grad():
        for weight in model.heads.parameters():
            weight.mul_(2)                              # a detector that does react
    x = X[Y != 0][None]
    moved = model.perturbed(x, noise())
    delta = (moved - x)[0].flatten(1)
    assert (delta.norm(p=torch.inf if inner.norm == "linf" else 2, dim=1) <= inner.eps + 1e-5).all()
    assert moved.min() >= 0 and moved.max() <= 1
    assert model.heads(moved[0]).mean() > model.heads(x[0]).mean()


def test_starts_differ_between_updates_and_detectors_and_repeat_otherwise():
    model = taught((0, 1))
    first = model.start((6, *SHAPE), 0, noise(0))
    assert torch.equal(first, model.start((6, *SHAPE), 0, noise(0)))
    assert not torch.equal(first, model.start((6, *SHAPE), 1, noise(0)))
    assert not torch.equal(first, model.start((6, *SHAPE), 0, noise(1)))


def test_a_class_that_is_missing_from_a_batch_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="holds 0 of class 3"):
        taught((3,)).objective(X[Y < 3], Y[Y < 3], noise())
    with pytest.raises(ValueError, match="30 others; expected at least 1 and 31"):
        taught((3,), negatives=31).objective(X, Y, noise())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_at_radius_0_negatives_stay_where_they_are(norm):
    x = X[Y != 0][None]
    assert torch.equal(taught((0,), Inner(norm, 0.0, 2, 0.05)).perturbed(x, noise()), x)


def test_unknown_systems_and_norms_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="unknown system 'linf0.1'; expected one of linf0.3"):
        DETECTORS["laptop"].inner("linf0.1")
    with pytest.raises(ValueError, match="unknown norm 'l1'"):
        ball("l1", 0.1)


def test_the_paper_profile_trains_as_published():
    assert {name: DETECTORS["paper"].inner(name) for name in SYSTEMS} == SYSTEMS
    assert (DETECTORS["paper"].training.rate, DETECTORS["paper"].training.schedule) == (5e-4, "constant")
    assert (DETECTORS["paper"].robust_inner, DETECTORS["paper"].robust_ramp) == (Inner("linf", 0.3, 40, 0.01), 0)
    assert DETECTORS["paper"].robust == Training(100_000, batch=50, rate=1e-4, dtype="float32")


def test_a_detector_that_is_stopped_while_it_is_validated_goes_on_where_it_was(tmp_path, monkeypatch):
    unit, real, calls = "GAT_linf0.3_classes3_seed0", runs.validation_auc, []

    def stopped(*args):
        calls.append(args)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(runs, "validation_auc", stopped)
    with pytest.raises(KeyboardInterrupt):
        runs.heads("smoke", 0, "cpu", tmp_path / "cut", only=unit)
    cut = runs.heads("smoke", 0, "cpu", tmp_path / "cut", only=unit)
    whole = runs.heads("smoke", 0, "cpu", tmp_path / "whole", only=unit)
    assert select(cut, metric="validation_auc").value.tolist() == select(whole, metric="validation_auc").value.tolist()
    records = [read_record(tmp_path / name / f"smoke/heads/{unit}.npz") for name in ("cut", "whole")]
    assert np.array_equal(records[0]["objective"], records[1]["objective"]) and records[0]["objective"].any()


def test_a_candidate_that_was_lost_is_asked_for_by_name(tmp_path, monkeypatch):
    unit = "GAT_linf0.3_classes3_seed0"
    longer = replace(DETECTORS["smoke"], training=replace(DETECTORS["smoke"].training, updates=4), candidates=3)
    monkeypatch.setitem(DETECTORS, "smoke", longer)                        # candidates after 2, 3 and 4 updates
    monkeypatch.setattr(runs, "choose", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        runs.heads("smoke", 0, "cpu", tmp_path, only=unit)
    first, *_ = sorted((tmp_path / "smoke/checkpoints").glob("*.partial"))
    first.unlink()
    with pytest.raises(ValueError, match=f"whose weights {first.name} are gone; delete"):
        runs.heads("smoke", 0, "cpu", tmp_path, only=unit)


@pytest.mark.parametrize("removed", [1, 2])
def test_a_training_whose_clearing_is_cut_short_can_be_made_anew(tmp_path, monkeypatch, removed):
    unit, real, calls = "GAT_linf0.3_classes3_seed0", Path.unlink, []

    def killed(path, missing_ok=False):
        if path.suffix in (".partial", ".state") and path.exists():
            calls.append(path)
            if len(calls) > removed:
                raise KeyboardInterrupt
        real(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            runs.heads("smoke", 0, "cpu", tmp_path, only=unit)
    (candidate, *_) = (path for path in calls[removed:] if path.suffix == ".partial")
    candidate.write_text("of another training")
    rows = runs.heads("smoke", 0, "cpu", tmp_path, only=unit, fresh=True)
    whole = runs.heads("smoke", 0, "cpu", tmp_path / "whole", only=unit)
    assert select(rows, metric="validation_auc").value.tolist() == select(whole, metric="validation_auc").value.tolist()
    assert [path.suffix for path in (tmp_path / "smoke/checkpoints").iterdir()] == [".safetensors"]


def test_detectors_that_another_process_has_just_finished_are_not_trained_again_and_lost_ones_are(
        tmp_path, monkeypatch):
    unit, real, trained, once = "GAT_linf0.3_classes3_seed0", runs._train, [], runs.once

    def load():
        runs.trained_heads("linf0.3", "smoke", 0, torch.device("cpu"), tmp_path, classes=(3,))

    def waited(path, make, shared):                             # until the other, which holds the unit, is done
        runs.heads("smoke", 0, "cpu", tmp_path, only=unit)
        make()

    monkeypatch.setattr(runs, "_train", lambda *args: (trained.append(args), real(*args))[1])
    monkeypatch.setattr(runs, "once", waited)
    load()
    assert len(trained) == 1
    monkeypatch.setattr(runs, "once", once)
    checkpoint("GAT", "smoke", 0, "linf0.3-class3", tmp_path).unlink()
    load()
    assert len(trained) == 2


def test_several_who_miss_weights_of_one_training_wait_for_one_of_them(tmp_path, monkeypatch):
    real, trained, cpu = runs._train, [], torch.device("cpu")
    monkeypatch.setattr(runs, "groups", lambda profile, system: [(3, 4)])
    monkeypatch.setattr(runs, "_train", lambda *args: (trained.append(args), real(*args))[1])
    runs.trained_heads("linf0.3", "smoke", 0, cpu, tmp_path, classes=(3,))
    for k in (3, 4):
        checkpoint("GAT", "smoke", 0, f"linf0.3-class{k}", tmp_path).unlink()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda k: runs.trained_heads("linf0.3", "smoke", 0, cpu, tmp_path, classes=(k,)), (3, 4)))
    assert len(trained) == 2                            # the first, and one of the two that missed weights


def test_a_short_training_spans_the_ball_and_keeps_the_step_of_a_pixel_in_l2():
    laptop = DETECTORS["laptop"]
    for name, published in SYSTEMS.items():
        inner = laptop.inner(name)
        assert inner.steps == laptop.steps and inner.eps == published.eps
        if published.norm == "l2":
            assert inner.step_size == published.step_size
        else:
            assert inner.steps * inner.step_size == pytest.approx(laptop.span * published.eps)


def test_the_training_with_short_steps_differs_from_its_namesake_in_its_inner_attack_alone():
    laptop = DETECTORS["laptop"]
    assert namesake(SHORT_STEPS) == "linf0.5" and set(laptop.systems[SHORT_STEPS]) < set(laptop.systems["linf0.5"])
    short, long = laptop.inner(SHORT_STEPS), laptop.inner("linf0.5")
    assert (short.norm, short.eps) == (long.norm, long.eps) and short.step_size < long.step_size / 4
    assert short.steps * short.step_size >= short.eps                   # the whole radius can be reached
    ours, theirs = (runs.recipe_of(system, "laptop") for system in (SHORT_STEPS, "linf0.5"))
    assert {name for name in ours if ours[name] != theirs[name]} == {"inner_steps", "inner_step_size"}


def test_training_keeps_the_checkpoint_of_the_best_validation_auc_and_says_which(tmp_path):
    rows = runs.heads("smoke", 0, "cpu", tmp_path, only="GAT_linf0.3_classes3_seed0")
    record = read_record(tmp_path / "smoke/heads/GAT_linf0.3_classes3_seed0.npz")
    best = record["validation_auc"].max()
    with safe_open(checkpoint("GAT", "smoke", 0, "linf0.3-class3", tmp_path), framework="pt") as file:
        kept = json.loads(file.metadata()["settings"])
    assert kept["validation_auc"] == pytest.approx(best) and kept["updates"] == record["chosen"][0]
    assert rows[rows.metric == "validation_auc"].value.item() == pytest.approx(best, rel=1e-5)
    net = runs.trained_heads("linf0.3", "smoke", 0, torch.device("cpu"), tmp_path, classes=(3,))
    again = runs.validation_auc(net, (3,), "smoke", DETECTORS["smoke"].inner("linf0.3"))
    assert again == [pytest.approx(best, abs=1e-6)]
    assert [path.suffix for path in (tmp_path / "smoke/checkpoints").iterdir()] == [".safetensors"]


def test_detectors_trained_under_another_attack_are_refused(tmp_path, monkeypatch):
    runs.trained_heads("linf0.3", "smoke", 0, torch.device("cpu"), tmp_path, classes=(3,))
    more = replace(DETECTORS["smoke"], steps=DETECTORS["smoke"].steps + 1)
    monkeypatch.setitem(DETECTORS, "smoke", more)
    with pytest.raises(ValueError, match="has inner_steps = .*, expected .*; it belongs to another model or setting"):
        runs.trained_heads("linf0.3", "smoke", 0, torch.device("cpu"), tmp_path, classes=(3,))


def test_detectors_trained_by_another_recipe_are_refused(tmp_path, monkeypatch):
    runs.trained_heads("linf0.3", "smoke", 0, torch.device("cpu"), tmp_path, classes=(3,))
    smoke = DETECTORS["smoke"]
    monkeypatch.setitem(DETECTORS, "smoke", replace(smoke, training=replace(smoke.training, rate=2e-3)))
    with pytest.raises(ValueError, match="has rate = 0.001, expected 0.002; it belongs to another model or setting"):
        runs.trained_heads("linf0.3", "smoke", 0, torch.device("cpu"), tmp_path, classes=(3,))


def test_the_interval_of_an_auc_holds_the_true_value_as_often_as_it_says():
    rng, truth, inside = np.random.default_rng(0), 0.9213504, 0        # P(N(2, 1) > N(0, 1)) = Phi(sqrt 2)
    for _ in range(300):
        clean, attacked = rng.normal(0, 1, 40), rng.normal(2, 1, 60)
        low, high = auc_interval(clean, attacked)
        assert low <= auc(clean, attacked) <= high
        inside += low <= truth <= high
    assert 0.91 <= inside / 300 <= 0.99


def test_the_interval_of_a_perfect_auc_is_not_empty():
    low, high = auc_interval(np.arange(50.0), 100 + np.arange(30.0))
    assert high == 1 and 0.8 < low < 0.95


def test_stacking_networks_of_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match="one output"):
        Heads([ConvNet(2, SHAPE)])
