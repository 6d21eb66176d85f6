"""How far images move: what counts as arriving, what rows say of those that never do, and what the page reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lib import published
from lib.detectors.one_vs_rest import Reject
from lib.results import Record, write_record
from lib.runs import distortion, routes
from lib.runs.heads import fresh, split
from lib.runs.training import dataset_of

CPU = torch.device("cpu")
PROTOCOLS = [p for p in distortion.protocols("smoke") if p.step_size < 1]


@pytest.fixture(scope="module")
def fitted():
    heads = fresh(tuple(range(10)), 0, (1, 28, 28)).eval().requires_grad_(False)
    accept = distortion.threshold(heads, "smoke", CPU)
    return lambda system, device: (heads, accept)


@pytest.fixture(scope="module")
def strict(fitted):
    """Detectors with a threshold that none of the first images reaches as it is."""
    heads, accept = fitted("", CPU)
    top = float(heads(dataset_of("smoke").test.images(slice(0, 4))).max())
    return lambda system, device: (heads, max(accept, top) + 0.01)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.aim}-{'best' if p.best else 'last'}")
def test_an_image_has_arrived_where_the_system_misreads_and_accepts_it(strict, protocol):
    arrays, settings = distortion.compute(strict, "linf0.3", replace(protocol, steps=6), 4, "smoke", 0, CPU)
    assert arrays["success"].any() and (arrays["l2"][arrays["success"]] > 0.01).all()
    logits, label = arrays["heads"], arrays["label"]
    there = (logits.argmax(1) != label) & Reject(settings["threshold"]).accepts(logits.max(1))
    assert there[arrays["success"]].all() and (arrays["target"] != label).all()
    clean = dataset_of("smoke").test.images(slice(0, 4)).numpy()
    l2 = np.sqrt(((arrays["thumbs"] / 255 - clean) ** 2).sum((1, 2, 3)))
    assert np.abs(l2 - arrays["l2"]).max() <= np.sqrt(784) / 510 + 1e-4
    assert (arrays["l2"][~arrays["success"]] == 0).all()            # what never arrives comes back clean


@pytest.mark.parametrize("aim", routes.AIMS)
def test_later_images_go_where_they_would_with_the_earlier_ones(strict, aim):
    protocol = next(replace(p, steps=6) for p in PROTOCOLS if p.aim == aim)
    whole, early, late = (distortion.compute(strict, "linf0.3", protocol, n, "smoke", 0, CPU, *first)[0]
                          for n, *first in ((4,), (2,), (4, 2)))
    assert whole["l2"].any()
    for key in whole:
        assert np.allclose(np.concatenate([early[key], late[key]]), whole[key], rtol=1e-4, atol=1e-4)


def test_a_logit_at_the_threshold_is_accepted_as_everywhere_else():
    heads = fresh(tuple(range(10)), 0, (1, 28, 28)).eval().requires_grad_(False)
    for weight in heads.parameters():
        weight.zero_()                                              # every logit is 0, and the class that is read too
    arrays, _ = distortion.compute(lambda *_: (heads, 0.0), "linf0.3", PROTOCOLS[0], 4, "smoke", 0, CPU)
    assert Reject(0.0).accepts(arrays["heads"]).all()
    assert np.array_equal(arrays["success"], arrays["label"] != 0) and arrays["success"].any()


def test_the_threshold_accepts_95_of_100_validation_images(fitted):
    heads, accept = fitted("", CPU)
    score = heads(split("smoke")[1].images()).max(1).values.numpy()
    assert np.mean(score >= accept) >= 0.95 > np.mean(score > accept)


def test_each_aim_is_pursued_as_published_then_with_smaller_steps_then_with_every_iterate():
    for profile in ("smoke", "laptop", "paper"):
        for aim in routes.AIMS:
            ways = [(p.step_size, p.best) for p in distortion.protocols(profile) if p.aim == aim]
            assert ways == [(1.0, False), (0.1, False), (0.1, True)]
    assert all((p.rounds, p.steps) == (20, 1000) for p in distortion.protocols("paper"))


def record(aim, step, best, l2, success, seed=0) -> Record:
    n = len(l2)
    clean = dataset_of("smoke").test.images(slice(0, n)).numpy()
    moved = clean.copy()
    moved[:, 0, 0, 0] = np.where(np.array(success), clean[:, 0, 0, 0] + np.array(l2), clean[:, 0, 0, 0])
    arrays = {"l2": np.array(l2, np.float32), "success": np.array(success),
              "heads": np.eye(10, dtype=np.float32)[[3] * n],
              "thumbs": (moved * 255).round().astype(np.uint8), "label": np.zeros(n, np.int8)}
    return Record(arrays,
                  {"experiment": "distortion", "model": "GAT-generative", "variant": "linf0.3", "loss": aim, "steps": 2,
                   "step_size": step, "protocol": "strong" if best else "published", "seed": seed,
                   "profile": "smoke"}, Path("r"))


def test_images_that_never_arrive_count_as_farthest_in_quantiles_and_not_at_all_in_the_mean():
    rows = pd.DataFrame(
        distortion.summarise([record("random", 1.0, False, [0.2, 0.4, 0.0, 0.6], [True, True, False, True])]))
    value = rows.set_index(rows.metric + rows.get("detector", pd.Series("", rows.index)).fillna("")).value
    assert value["success"] == 0.75 and value["l2"] == pytest.approx(0.4)
    assert (value["l2_quantile25%"], value["l2_quantile50%"]) == pytest.approx((0.2, 0.4))
    assert value["l2_quantile75%"] == pytest.approx(0.6)
    worse = pd.DataFrame(
        distortion.summarise([record("random", 1.0, False, [0.2, 0.0, 0.0, 0.0], [True, False, False, False])]))
    assert worse[worse.metric == "l2_quantile"].value.isna().tolist() == [False, True, True]


def test_the_nearest_of_all_searches_is_taken_image_by_image_on_those_that_all_had():
    searches = [record("random", 1.0, False, [0.5, 0.4, 0.0, 0.9], [True, True, False, True]),
                record("untargeted", 0.1, True, [0.0, 0.3, 0.0], [False, True, False])]
    rows = pd.DataFrame(distortion.summarise(searches))
    rows = rows[rows.loss == "nearest"]
    assert dict(zip(rows.metric, rows.value))["success"] == pytest.approx(2 / 3) and set(rows.n) == {3, 2}
    assert rows[rows.metric == "l2"].value.item() == pytest.approx((0.5 + 0.3) / 2) and rows.step_size.isna().all()
    assert "nearest" not in set(pd.DataFrame(distortion.summarise(searches[:1])).loss)
    other = record("random", 1.0, False, [0.1], [True], seed=1)
    assert set(pd.DataFrame(distortion.summarise([searches[0], other])).loss) == {"random"}


@pytest.fixture
def folder(tmp_path):
    for name, one in (("a", record("random", 1.0, False, [0.5, 0.4, 0.0], [True, True, False])),
                      ("b", record("random", 0.1, True, [0.3, 0.1, 0.2], [True, True, True])),
                      ("c", record("untargeted", 0.1, False, [0.1], [True]))):
        write_record(tmp_path / f"smoke/distortion/GAT_linf0.3_{name}_seed0.npz", one.arrays, one.settings)
    return tmp_path


def test_a_change_of_search_is_judged_on_images_on_which_both_succeed(folder):
    found = routes.changes("linf0.3", "smoke", 0, folder)
    assert list(found.index) == [("random aim", "both")]
    assert found.shorter.item() == pytest.approx(0.25) and found.n.item() == 2


def test_dropping_the_aim_is_judged_search_by_search(folder):
    one = record("untargeted", 1.0, False, [0.2, 0.1], [True, True])
    write_record(folder / "smoke/distortion/GAT_linf0.3_d_seed0.npz", one.arrays, one.settings)
    found = routes.changes("linf0.3", "smoke", 0, folder).loc["from random to none"]
    assert (list(found.index) == [routes.PUBLISHED] and found.shorter.item() == pytest.approx(0.3)
            and found.n.item() == 2)


def test_images_that_go_farther_without_an_aim_are_counted_among_those_that_both_aims_had(folder):
    assert "No search has rows under both aims" in routes.farther("linf0.3", "smoke", 0, folder)
    one = record("untargeted", 1.0, False, [0.2, 0.5, 0.4], [True, True, False])
    write_record(folder / "smoke/distortion/GAT_linf0.3_d_seed0.npz", one.arrays, one.settings)
    assert "1 of 3 images" in routes.farther("linf0.3", "smoke", 0, folder)     # neither aim moved the third
    two = record("untargeted", 0.1, True, [0.4, 0.1], [True, False])
    write_record(folder / "smoke/distortion/GAT_linf0.3_e_seed0.npz", two.arrays, two.settings)
    assert "1 to 2 of 2 to 3 images" in routes.farther("linf0.3", "smoke", 0, folder)


def test_the_threshold_of_a_system_is_one(tmp_path):
    assert np.isnan(routes.threshold("linf0.3", "smoke", 0, tmp_path))
    for name, one in (("a", record("random", 1.0, False, [0.5], [True])),
                      ("b", record("random", 0.1, False, [0.3], [True]))):
        write_record(tmp_path / f"smoke/distortion/GAT_linf0.3_{name}_seed0.npz", one.arrays,
                     one.settings | {"threshold": 2.5})
    assert routes.threshold("linf0.3", "smoke", 0, tmp_path) == 2.5
    write_record(tmp_path / "smoke/distortion/GAT_linf0.3_b_seed0.npz", one.arrays, one.settings | {"threshold": 3.6})
    with pytest.raises(ValueError, match="different thresholds"):
        routes.threshold("linf0.3", "smoke", 0, tmp_path)


def test_records_are_named_by_aim_and_search_in_order(folder):
    assert list(routes.distances("linf0.3", "smoke", 0, folder)) == [
        "random aim, published step", "random aim, smaller steps, best iterate", "no aim, smaller steps", routes.EVERY]
    rows = pd.DataFrame({"loss": ["random", "random", "untargeted", "nearest"], "step_size": [1.0, 0.1, 0.1, np.nan],
                         "protocol": ["published", "published", "strong", "strong"]})
    assert tuple(routes.search(rows)) == (*routes.SEARCHES, routes.EVERY)


def test_searches_are_drawn_on_the_images_that_all_of_them_had_with_the_shortest_way_to_each(folder):
    two = record("untargeted", 0.1, False, [0.35, 0.1, 0.4], [True, False, False])
    write_record(folder / "smoke/distortion/GAT_linf0.3_c_seed0.npz", two.arrays, two.settings)
    far, arrived = routes.distances("linf0.3", "smoke", 0, folder)[routes.EVERY]
    assert far.tolist() == pytest.approx([0.3, 0.1, 0.2]) and arrived.all()
    write_record(folder / "smoke/distortion/GAT_linf0.3_b_seed0.npz",
                 two.arrays | {"l2": two["l2"][:2], "success": two["success"][:2]},
                 two.settings | {"loss": "random", "protocol": "strong"})
    assert {len(l2) for l2, _ in routes.distances("linf0.3", "smoke", 0, folder).values()} == {2}
    assert routes.unmoved("linf0.3", "smoke", 0, "untargeted", routes.SMALLER, folder)[:2] == (2, 3)
    assert routes.unmoved("linf0.3", "smoke", 0, "untargeted", routes.BEST, folder) is None


def test_pictures_leave_a_gap_where_an_image_never_arrived(folder):
    shown = routes.pictures("linf0.3", "smoke", 0, folder)
    assert len(shown["images"]) == len(shown["rows"]) == 4 and len(shown["columns"]) == 1


def test_the_spot_check_sees_a_picture_that_is_not_where_its_record_says(folder):
    assert "3 records lie as far" in routes.spot_check("linf0.3", "smoke", 0, folder)
    wrong = record("random", 1.0, False, [0.5, 0.4, 0.0], [True, True, False])
    write_record(folder / "smoke/distortion/GAT_linf0.3_a_seed0.npz", wrong.arrays | {"l2": wrong["l2"] + 0.2},
                 wrong.settings)
    assert "DIFFER from the record: random aim, published step" in routes.spot_check("linf0.3", "smoke", 0, folder)


def test_nothing_stored_gives_nothing_to_show(tmp_path):
    assert (routes.distances("linf0.3", "smoke", 0, tmp_path) == {}
            and routes.changes("linf0.3", "smoke", 0, tmp_path).empty)
    assert routes.pictures("linf0.3", "smoke", 0, tmp_path)["rows"] == []
    assert "no records yet" in routes.spot_check("linf0.3", "smoke", 0, tmp_path)


def test_published_distances_and_operating_points_are_those_of_the_paper():
    assert published.shares_moved() == {"linf0.3": 1.0, "linf0.5": 0.9455} and published.distance_threshold() == 3.6
    assert published.distances() == {"earlier": 3.68, "linf0.3": 4.4, "linf0.5": 5.65, "submission earlier": 3.68,
                                     "submission linf0.3": 3.8, "submission linf0.5": 4.47}
    assert published.operating_points() == {0.3: (0.08, 0.984), 0.4: (0.941, 0.984)}


def test_the_change_that_shortens_the_way_most_is_named_first():
    index = pd.MultiIndex.from_tuples([("random aim", "a tenth of the step"), ("no aim", "a tenth of the step"),
                                       ("from random to none", "published step")], names=["aim", "change"])
    pairs = pd.DataFrame({"shorter": [0.1, -0.6, 1.9], "low": [-0.1, -1.0, 1.5], "high": [0.3, -0.2, 2.3],
                          "n": [30, 9, 10]}, index=index)
    said = routes.most_in_words(pairs)
    assert said == ("What shortens the way, the most first: dropping the aim by 1.9 (every interval above zero, n 10); "
                    "a tenth of the step by −0.6 to 0.1 (no interval above zero, n 9 to 30).")
    assert routes.most_in_words(pd.DataFrame()) == "No two searches have rows in this copy yet."
