"""The two-rings toy: exact densities, regions with a known answer, and a detector's false-positive rate."""

import math

import pandas as pd
import pytest
import torch

from lib.runs import rings as toy
from lib.runs.rings import Rings


def test_on_a_ring_the_log_joint_is_half_the_peak_of_a_gaussian():
    at_ring = torch.tensor([[-1.5, 0.0], [-0.5, 1.0]], dtype=torch.float64)        # both on the left ring
    expected = math.log(0.5) - math.log(2 * math.pi * 0.1**2)
    torch.testing.assert_close(Rings().log_joint(at_ring)[:, 0], torch.full((2,), expected, dtype=torch.float64))


def test_one_sigma_off_the_ring_costs_half_a_nat():
    points = torch.tensor([[-1.5, 0.0], [-1.6, 0.0]], dtype=torch.float64)
    on, off = Rings().log_joint(points)[:, 0]
    assert (on - off).item() == pytest.approx(0.5)


def test_the_rings_cross_where_pythagoras_says_and_are_equally_likely_there():
    crossing = torch.tensor([[0.0, math.sqrt(0.75)], [0.0, -math.sqrt(0.75)]], dtype=torch.float64)
    assert toy.regions(Rings(), crossing)["crossing"].all()
    torch.testing.assert_close(Rings().log_joint(crossing).softmax(1), torch.full((2, 2), 0.5, dtype=torch.float64))


def test_samples_lie_on_their_own_ring_within_the_blur():
    points, labels = Rings().sample(2000, seed=3)
    own = Rings().distance(points).gather(1, labels[:, None])
    assert own.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.05)
    assert labels.bincount().tolist() == [2000, 2000]


def test_a_seed_gives_the_same_points_and_another_seed_others():
    assert torch.equal(Rings().sample(50, seed=1)[0], Rings().sample(50, seed=1)[0])
    assert not torch.equal(Rings().sample(50, seed=1)[0], Rings().sample(50, seed=2)[0])


@pytest.mark.parametrize("rule", toy.RULES)
@pytest.mark.parametrize("name", ["marginal", "kl"])
def test_detectors_reject_the_wanted_share_of_their_own_class(rule, name):
    points, labels = Rings().sample(1000, seed=0)
    scores = Rings().log_joint(points)
    flagged = toy.fit(Rings(), points, labels, fpr=0.1, rule=rule)[name].flags(scores, labels)
    assert flagged.double().mean().item() == pytest.approx(0.1, abs=0.002)


def test_the_achieved_rate_is_that_of_use_where_only_the_predicted_class_is_known():
    """Where more points are misread than may be refused, they use up the allowance of TV, and in use it
    refuses none."""
    points, labels = Rings(sigma=0.2).sample(toy.POINTS, seed=0)
    scores, fitted = Rings(sigma=0.2).log_joint(points), toy.fit(Rings(sigma=0.2), points, labels, fpr=0.1)
    assert (scores.argmax(1) != labels).double().mean() > 0.1
    assert fitted["tv"].flags(scores, labels).double().mean().item() == pytest.approx(0.1)
    assert toy.achieved(Rings(sigma=0.2), 0.1)["tv"] == 0


def test_likelihood_detectors_reject_what_is_far_and_accept_what_is_on_a_ring():
    fitted = toy.fit(Rings(), *Rings().sample(1000, seed=0))
    grid = toy.plane(side=81)
    parts = toy.regions(Rings(), grid)
    flagged = toy.flags(fitted, Rings().log_joint(grid))
    for name in ("marginal", "logit"):
        assert flagged[name][parts["far"]].all()
        assert not flagged[name][parts["ring 0"] | parts["ring 1"]].any()


def test_a_class_assigned_by_hand_makes_logit_detection_reject_the_other_ring():
    fitted = toy.fit(Rings(), *Rings().sample(1000, seed=0))
    grid = toy.plane(side=81)
    other = toy.regions(Rings(), grid)["ring 1"]
    assert toy.flags(fitted, Rings().log_joint(grid), label=0)["logit"][other].all()
    assert not toy.flags(fitted, Rings().log_joint(grid), label=0)["marginal"][other].any()


def test_total_variation_sees_the_crossings_and_the_likelihoods_do_not():
    fitted = toy.fit(Rings(), *Rings().sample(1000, seed=0))
    crossing = torch.tensor([[0.0, math.sqrt(0.75)]], dtype=torch.float64)
    flagged = toy.flags(fitted, Rings().log_joint(crossing))
    assert flagged["tv"].all() and not flagged["marginal"].any() and not flagged["logit"].any()


def test_what_is_doubtful_at_our_width_is_rejected_as_the_rows_say_and_kl_accepts_it_at_any():
    found = toy.doubted((0.05, 0.1), seed=3)
    assert set(found.seed) == {3, 4, 5, 6, 7} and set(found.rule) == set(toy.RULES)
    rows = toy.region_rows(Rings(), toy.fit(Rings(), *Rings().sample(toy.POINTS, 3), rule="alpha"))
    for name in ("kl", "tv"):
        for part in ("uncertain", "crossing"):
            here = found.query(
                f"rule == 'alpha' and sigma == 0.1 and detector == '{name}' and variant == '{part}' and seed == 3")
            row = next(r for r in rows if (r["metric"], r["variant"], r.get("class")) == (f"detect_{name}", part, ""))
            assert here.value.item() == row["value"]
    assert (found[found.detector == "kl"].value == 0).all()


def test_tv_holds_up_to_a_width_and_is_blind_from_another_on():
    lines = [(sigma, "crossing", seed, share)
             for sigma, shares in {0.1: (1, 0.9), 0.2: (0.6, 0.4), 0.3: (0.7, 0.8), 0.4: (0, 0)}.items()
             for seed, share in enumerate(shares)]
    widths = pd.DataFrame(lines, columns=["sigma", "variant", "seed", "value"]).assign(detector="tv")
    assert toy.until(widths) == (0.1, 0.4)
    assert math.isnan(toy.until(widths.assign(value=0.7))[1]) and math.isnan(toy.until(widths.assign(value=0.2))[0])


def test_the_union_rejects_what_any_part_rejects():
    fitted = toy.fit(Rings(), *Rings().sample(200, seed=0))
    flagged = toy.flags(fitted, Rings().log_joint(toy.plane(side=41)))
    parts = torch.stack([flagged[name] for name in ("marginal", "logit", "kl", "tv")])
    assert torch.equal(flagged["all"], parts.any(0))


def test_the_run_gives_every_seed_and_rule_and_a_second_run_reads_the_same(tmp_path):
    rows = toy.rings("smoke", results=tmp_path)
    assert set(rows.seed) == {0, 1, 2, 3, 4} and set(rows.detector) == set(toy.RULES)
    before = (tmp_path / "smoke" / "rings.csv").stat().st_mtime_ns
    assert toy.rings("smoke", results=tmp_path).equals(rows)
    assert (tmp_path / "smoke" / "rings.csv").stat().st_mtime_ns == before


def test_an_unknown_profile_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="unknown profile 'desktop'"):
        toy.rings("desktop", results=tmp_path)
    assert not list(tmp_path.iterdir())
