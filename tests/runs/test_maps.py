"""What pages draw of trainings on points: read from records that a tiny run has left, or said to be missing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib.profiles import DENSITIES
from lib.runs import density as runs
from lib.runs import maps


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of two point sets at the smallest size."""
    tiny = {key: replace(sizes, iterations=4, ordinary=4, width=4, layers=1)
            for key, sizes in DENSITIES["smoke"].items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DENSITIES, "smoke", tiny)
        made = tmp_path_factory.mktemp("results")
        for name in ("two-gaussians", "ring"):
            runs.density("smoke", results=made, device="cpu", only=f"{name}_paper_gat_seed0")
        yield made


def test_the_line_is_drawn_from_the_record_and_its_estimate_is_a_density(folder):
    found = maps.line("smoke", results=folder)
    assert len(found["densities"]) == len(found["sigmoids"]["ordinary"]) == 1
    assert found["densities"][0].sum() / (len(found["x"]) - 1) == pytest.approx(1)
    assert found["truth"].max() > 15 and set(found["sigmoids"]) == {"ordinary", "GAT"}


def test_maps_hold_only_what_has_been_trained(folder):
    assert set(maps.plane("smoke", results=folder)) == {"ring"} and maps.plane("smoke", seed=5, results=folder) == {}
    truth, estimate = maps.squares("smoke", results=folder)
    assert truth["ring"].sum() == pytest.approx(1) == estimate["ring"].sum()


def test_the_course_starts_where_the_ordinary_training_ends(folder):
    course = maps.course("smoke", results=folder)
    assert min(course) == 0 and max(course) == 4
    np.testing.assert_array_equal(course[0]["ring"], maps.plane("smoke", at="ordinary", results=folder)["ring"])
    ((updates, values),) = maps.curves("tv", "smoke", results=folder)["paper"]
    assert updates[0] == 0 and len(values) == len(updates)


@pytest.mark.parametrize("seeds", [1, 5])
def test_curves_are_of_as_many_trainings_as_the_profile_has(folder, monkeypatch, seeds):
    record = maps.stored("two-gaussians", "smoke", results=folder)
    monkeypatch.setattr(maps, "stored", lambda *_, **__: record)
    monkeypatch.setitem(DENSITIES, "smoke",
                        {key: replace(sizes, seeds=seeds) for key, sizes in DENSITIES["smoke"].items()})
    assert {len(found) for found in maps.curves("tv", "smoke", results=folder).values()} == {seeds}


def test_the_first_updates_can_be_taken_again(folder, monkeypatch):
    assert "agree with the record" in maps.check("smoke", results=folder)
    monkeypatch.setattr(runs, "SPOT", -1.0)
    assert "DIFFER from the record" in maps.check("smoke", results=folder)
    assert "no record yet" in maps.check("smoke", seed=7, results=folder)


def test_departures_name_each_size_that_is_not_published():
    table = maps.departures("laptop")
    assert set(table.points) == {"ring (paper)", "grid (paper)", "spirals (paper)", "checkerboard (paper)",
                                 "grid (longer)"}
    assert set(table["size"][table.points == "grid (longer)"]) == {"width"}
    line = table[(table.points == "checkerboard (paper)") & (table["size"] == "positives")].iloc[0]
    assert (line.published, line.here) == (10_000, 1_000)
    assert maps.departures("paper").empty


def test_squares_count_where_an_accepted_part_holds_no_other(monkeypatch):
    points = runs.points_of("laptop", "checkerboard", 0)
    board = points.probabilities(60, runs.MIDDLE).reshape(60, 60) > 0
    centres = maps._centres(board)
    assert centres.shape == (8, 2) and points.support(0.2 + 0.6 * centres).all()
    joined = board.copy()
    joined[30, :] = True                    # a bar across the middle joins the squares that it meets
    for accepted, said in ((board, "8 of 8"), (~board, "0 of 8"), (joined, "4 of 8")):
        monkeypatch.setattr(maps, "stored", lambda *_, accepted=accepted, **__: {"logits": np.where([accepted], 1, -1)})
        monkeypatch.setattr(runs, "points_of", lambda *_: points)
        assert maps.squares_apart("laptop") == said
    monkeypatch.setattr(maps, "stored", lambda *_, **__: None)
    assert maps.squares_apart("laptop") == "no rows yet"


def test_the_least_and_the_most_that_is_misplaced_are_told_with_their_point_sets():
    rows = pd.DataFrame({"dataset": ["ring", "grid", "grid", "spirals"], "variant": "paper", "model": "GAT",
                         "metric": "tv", "value": [0.5, 0.8, 0.9, 0.3]})
    assert maps.least_and_most(rows) == "from 30.0 % on the spirals to 85.0 % (80.0 to 90.0) on the grid"
    assert maps.least_and_most(rows[:0]) == "no rows yet"


def test_an_unknown_moment_is_refused(folder):
    with pytest.raises(ValueError, match="at = 'start'; expected 'end', 'ordinary' or 'long'"):
        maps.plane("smoke", at="start", results=folder)


def test_what_time_alone_does_is_said_only_where_it_was_tried():
    rows = pd.DataFrame({"metric": "tv", "variant": "paper", "model": ["GAT", "GAT", "ordinary-long", "ordinary-long"],
                         "value": [0.1, 0.2, 0.9, 1.0]})
    assert "not known" in maps.time_alone(rows[:2])
    assert (maps.time_alone(rows).startswith("Time alone does not do it")
            and "95.0 % (90.0 to 100.0)" in maps.time_alone(rows))
    assert maps.time_alone(rows.assign(value=[0.1, 0.95, 0.9, 1.0])).startswith("After as many updates")


@pytest.mark.parametrize("apart, word", [(1.0, "Yes: after"), (0.5, "Some of it: after"), (0.2, "Not at this width:")])
def test_what_length_does_is_said_only_where_it_was_tried(apart, word):
    rows = pd.DataFrame({"dataset": "grid", "model": "GAT", "class": "", "variant": ["paper"] + ["longer"] * 3,
                         "metric": ["separated", "separated", "iou", "tv"], "value": [0.3, apart, 0.1, 0.8]})
    said = maps.length_alone(rows)
    assert said.startswith(word) and f"{100 * apart:.1f} % of the blobs" in said and "80.0 % of the mass" in said
    assert "Not known" in maps.length_alone(rows[:1])
