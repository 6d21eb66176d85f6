"""Figures of densities: what they draw, and what they say when there is nothing yet."""

import matplotlib as mpl
import numpy as np
import pytest

from lib import plots


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_the_line_shows_every_seed_and_the_truth_once():
    x = np.linspace(0, 1, 50)
    curves = {"ordinary": [x, x], "GAT": [x, x]}
    figure = plots.on_the_line(x, curves, [x, x], x, x[:5], x[5:])
    assert len(figure.axes) == 3 and len(figure.axes[2].lines) == 3
    assert figure.axes[2].lines[0].get_alpha() == 1 > figure.axes[2].lines[1].get_alpha()


@pytest.mark.parametrize("figure", [
    lambda: plots.on_the_line([], {}, [], [], [], []), lambda: plots.maps({"GAT": {}}),
    lambda: plots.along_training({"paper": []}, "tv")])
def test_without_trainings_a_sentence_takes_the_place_of_the_figure(figure):
    assert "no rows yet" in words(figure())


def test_maps_have_a_line_for_each_row_and_a_title_for_each_column_once():
    image, cloud = np.eye(4), (np.ones((3, 2)), np.zeros((2, 2)))
    figure = plots.maps({"points": {"ring": cloud, "grid": cloud}, "GAT": {"ring": image, "grid": image}, "none": {}})
    assert len(figure.axes) == 4 and [axis.get_title("center") for axis in figure.axes] == ["ring", "grid", "", ""]
    assert [len(axis.images) for axis in figure.axes] == [0, 0, 1, 1]


def test_a_missing_map_keeps_its_column_and_says_so():
    image = np.eye(4)
    figure = plots.maps({"truth": {"ring": image, "grid": image}, "GAT": {"grid": image}})
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 0, 1] and "no rows yet" in words(figure)
    figure = plots.maps({" ": {"ring": image, "grid": image}, "": {"spirals": image, "checkerboard": image}})
    assert [axis.get_title("center") for axis in figure.axes] == ["ring", "grid", "spirals", "checkerboard"]


def test_maps_say_where_in_the_square_they_are_and_what_their_colours_mean():
    figure = plots.maps({"": {"ring": np.eye(4), "grid": np.eye(4)}}, bar="sigmoid")
    left, right, bar = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["0.2", "0.4", "0.6", "0.8"]
    assert list(right.get_xticks()) == pytest.approx([0.2, 0.4, 0.6, 0.8]) and len(right.get_yticks()) == 0
    assert bar.get_xlabel() == "sigmoid" and len(plots.maps({"": {"ring": np.eye(4)}}).axes) == 1


def test_a_scale_of_its_own_ends_at_the_greatest_value_of_a_map():
    pair = {"a": np.full((2, 2), 0.01), "b": np.full((2, 2), 5.0)}
    own, unit = plots.maps({"": pair}, scale="own"), plots.maps({"": pair})
    assert [axis.images[0].get_clim()[1] for axis in own.axes] == [0.01, 5.0]
    assert [axis.images[0].get_clim()[1] for axis in unit.axes] == [1, 1]


def test_a_course_has_a_line_a_seed_and_a_name_a_setting():
    figure = plots.along_training({"paper": [([0, 10], [1, 0.5])] * 3, "notebook": [([0, 10], [1, 0.6])]}, "tv")
    assert len(figure.axes[0].lines) == 4 and words(figure).count("setting of the") == 2
