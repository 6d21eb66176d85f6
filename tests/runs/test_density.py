"""Training on points: what the adversary changes, and that units resume and refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.models.noise import Noise
from lib.profiles import DENSITIES, Density, Inner
from lib.results import read_record, select
from lib.runs import density as run
from lib.runs.likeness import Yardstick

KEY = ("two-gaussians", "paper")
CPU = torch.device("cpu")


@pytest.fixture
def sizes(monkeypatch):
    """Sizes under the name of the smoke profile, for one point set."""
    def use(**changes):
        chosen = replace(DENSITIES["smoke"][KEY], **changes)
        monkeypatch.setitem(DENSITIES, "smoke", {KEY: chosen})
        return chosen
    return use


def trained(folder, kind="gat", seed=0, until=None):
    chosen = DENSITIES["smoke"][KEY]
    stick = Yardstick.of(run.points_of("smoke", *KEY[:1], seed), chosen.side)
    return run.train(*KEY, kind, "smoke", seed, folder, CPU, stick, until)


def test_negatives_move_up_the_logit_and_stay_in_ball_and_box():
    sizes = Density(Inner("linf", 0.3, 20, 0.05), 10, width=8, layers=1)
    taught = run.start(sizes, 1, "gat", 0, CPU)
    x = torch.linspace(0, 1, 9)[:, None, None, None]
    moved = taught.moved(x, Noise("test", 0, range(9), step=500))
    assert (taught.net(moved) >= taught.net(x) - 1e-6).all()
    assert ((moved - x).abs() <= 0.3 + 1e-6).all() and (moved >= 0).all() and (moved <= 1).all()


def test_negatives_are_attacked_after_the_ordinary_updates_and_positives_never():
    sizes = Density(Inner("linf", 0.3, 5, 0.05), 10, width=8, layers=1, ordinary=4)
    taught = run.start(sizes, 1, "gat", 0, CPU)
    x, y = torch.linspace(0, 1, 8)[:, None, None, None], torch.tensor([1, 0] * 4)
    with torch.no_grad():
        early, late = (taught.objective(x, y, Noise("test", 0, range(8), step=step)) for step in (3, 4))
        clean = run.start(sizes, 1, "long", 0, CPU).objective(x, y, Noise("test", 0, range(8), step=4))
    torch.testing.assert_close(early, clean)
    torch.testing.assert_close(late[y == 1], early[y == 1])
    assert (late[y == 0] < early[y == 0]).any()


def test_both_kinds_start_alike_and_share_the_ordinary_updates(sizes, tmp_path):
    chosen = sizes()
    gat, long = (trained(tmp_path, kind) for kind in run.KINDS)
    at = gat["update"].tolist().index(chosen.ordinary)
    np.testing.assert_array_equal(gat["logits"][:at + 1], long["logits"][:at + 1])
    assert not np.array_equal(gat["logits"][-1], long["logits"][-1])


def test_the_adversary_raises_the_mass_on_the_blobs(sizes, tmp_path):
    sizes(inner=Inner("linf", 0.3, 10, 0.05), iterations=300, ordinary=100, width=64, layers=3, rate=3e-3,
          positives=100, negatives=100, side=500)
    found = trained(tmp_path)
    at = found["update"].tolist().index(100)
    assert (found["mass"][-1] > 2 * found["mass"][at]).all() and found["tv"][-1] < 0.8 * found["tv"][at]
    assert found["valley"][at] > 0.5 > found["valley"][-1]


def test_a_training_that_was_cut_off_goes_on_to_the_same_numbers(sizes, tmp_path, monkeypatch):
    sizes()
    whole = trained(tmp_path / "whole")
    taken, picture = [], run.picture

    def third(*args):
        taken.append(1)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return picture(*args)

    monkeypatch.setattr(run, "picture", third)
    (tmp_path / "cut").mkdir()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut")
    assert len(list((tmp_path / "cut").glob("*.partial"))) == 3
    again = trained(tmp_path / "cut")
    for name in whole:
        np.testing.assert_array_equal(whole[name], again[name], err_msg=name)
    run.clear(next((tmp_path / "cut").glob("*.state")))     # as its unit does when it has its record
    assert not list((tmp_path / "cut").iterdir())


def test_the_first_updates_alone_give_the_first_picture(sizes, tmp_path):
    sizes()
    np.testing.assert_array_equal(trained(tmp_path, until=run.FIRST)["logits"][0], trained(tmp_path)["logits"][0])


def test_rows_follow_from_the_record_and_the_truth_stands_beside_them(sizes, tmp_path):
    sizes()
    rows = run.density("smoke", results=tmp_path, device="cpu")
    assert set(rows.model) == {"GAT", "ordinary", "ordinary-long", "truth"}
    record = read_record(tmp_path / "smoke/density/two-gaussians_paper_gat_seed0.npz")
    mass = select(rows, model="GAT", metric="mass").sort_values("class").value.to_numpy()
    np.testing.assert_allclose(mass, record["mass"][-1], rtol=1e-5)
    assert select(rows, model="truth", metric="tv").value.tolist() == pytest.approx([0], abs=1e-9)
    assert set(select(rows, model="ordinary").attack) == {"clean"} and set(select(rows, model="GAT").eps) == {0.3}


def test_rows_tell_how_much_of_the_published_size_a_training_had(sizes, tmp_path):
    published = DENSITIES["paper"][KEY]
    sizes(width=published.width // 4)
    rows = run.density("smoke", results=tmp_path, device="cpu")
    expected = min(DENSITIES["smoke"][KEY].iterations / published.iterations, 1 / 4)
    assert select(rows, metric="size").value.tolist() == pytest.approx([expected])
    assert run.published_sizes("grid", "longer") == DENSITIES["paper"]["grid", "paper"]


def test_what_is_there_is_not_trained_again(sizes, tmp_path, monkeypatch):
    sizes()
    rows = run.density("smoke", results=tmp_path, device="cpu")
    monkeypatch.setattr(run, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    assert run.density("smoke", results=tmp_path, device="cpu").equals(rows)


def test_published_settings_are_those_of_the_protocol():
    line, plane, last = (DENSITIES["paper"][key] for key in (KEY, ("ring", "paper"), ("two-gaussians", "notebook")))
    assert (line.inner, line.iterations, line.rate, line.layers) == (Inner("linf", 0.3, 20, 0.05), 2000, 5e-4, 3)
    assert (last.inner, last.iterations, last.rate) == (Inner("linf", 0.4, 10, 0.05), 5000, 1e-4)
    assert (plane.inner, plane.iterations, plane.width, plane.layers) == (Inner("linf", 0.5, 10, 0.05), 50_000, 500, 5)
    assert DENSITIES["laptop"][KEY] == line and DENSITIES["paper"]["checkerboard", "paper"].positives == 10_000


def test_unknown_sets_settings_profiles_and_units_are_refused(tmp_path):
    with pytest.raises(ValueError,
                       match="no training on 'ring' with setting 'notebook'; expected one of two-gaussians"):
        run.sizes_of("smoke", "ring", "notebook")
    with pytest.raises(ValueError, match="unknown profile 'desktop'"):
        run.density("desktop", results=tmp_path)
    with pytest.raises(ValueError,
                       match="unknown unit 'ring' of density; expected one of two-gaussians_paper_gat_seed0"):
        run.density("smoke", results=tmp_path, only="ring")
    assert not list(tmp_path.iterdir())
