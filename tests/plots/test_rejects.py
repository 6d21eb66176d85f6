"""Figures of the reject option: what is drawn where, and what they say when there is nothing."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd

from lib import metrics, plots
from lib.plots import rejects
from lib.runs import reject


@dataclass
class Curve:
    accepted: np.ndarray
    accuracy: np.ndarray
    error: np.ndarray


CURVE = Curve(np.array([1, 0.96, 0.5, 0]), np.array([0.98, 0.95, 0.5, 0]), np.array([0.6, 0.3, 0.1, 0]))


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_nothing_to_draw_gives_a_sentence():
    assert ("no rows yet" in words(plots.reject_curves({"GAT-generative": {}}))
            and "no rows yet" in words(plots.distances({})))
    assert "no rows yet" in words(plots.logit_histograms({})) and "no rows yet" in words(plots.logit_ranges({}, {}))
    assert "no rows yet" in words(plots.auc_by_class(pd.DataFrame({"variant": []})))


def test_a_label_keeps_its_colour_over_panels_and_the_worst_case_is_black():
    figure = plots.reject_curves({"a": {"x": CURVE, rejects.WORST: CURVE}, "b": {"y": CURVE, "x": CURVE}})
    left, right = figure.axes
    assert left.lines[0].get_color() == right.lines[1].get_color() != right.lines[0].get_color()
    assert left.lines[1].get_color() == "#26241f"


def test_a_loss_has_one_colour_whatever_else_is_drawn_and_a_line_for_the_way_it_is_run():
    one = plots.reject_curves({"a": {"detectors (9)": CURVE, "detectors (9), best iterate": CURVE}}).axes[0].lines
    two = plots.reject_curves({"a": {"classifier (8)": CURVE, "detectors (9)": CURVE}}).axes[0].lines
    assert one[0].get_color() == one[1].get_color() == two[1].get_color() != two[0].get_color()
    assert one[0].get_linestyle() != one[1].get_linestyle()
    colours = {rejects.painted(name)[0] for name in rejects.LOSSES}
    assert len(colours) == len(rejects.LOSSES)


def test_the_error_axis_reaches_as_far_as_what_is_shown():
    figure = plots.reject_curves({"a": {"x": CURVE}}, bottom=0.9)
    assert 0.6 <= figure.axes[0].get_xlim()[1] < 0.7 and figure.axes[0].get_ylim()[0] == 0.9


def test_a_published_point_is_a_ring_that_the_legend_names():
    figure = plots.reject_curves({"Madry": {"x": CURVE}}, {"Madry": {"published": (0.08, 0.984)}},
                                 y="accuracy", bottom=0.85)
    ring = figure.axes[0].lines[-1]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (0.08, 0.984) and ring.get_markerfacecolor() == "none"
    assert [text.get_text() for text in figure.legends[0].texts] == ["x", "published"]


def test_a_line_of_distances_ends_below_one_where_some_images_never_arrive():
    figure = plots.distances({"a": (np.array([1.0, 3.0, 0.0]), np.array([True, True, False]))},
                             {"earlier": 2.0, "ours": 2.5})
    line = figure.axes[0].lines[0]
    assert line.get_ydata()[-1] == 2 / 3 and line.get_xdata().tolist()[:3] == [0, 1.0, 3.0]
    plots.distances({"a": (np.array([1.0]), np.array([False]))})           # none arrives: still a figure
    both = plots.distances({"a": (np.array([2.0]), np.array([True])),
                            rejects.NEAREST: (np.array([1.0]), np.array([True]))})
    assert both.axes[0].lines[1].get_color() == "#26241f" and "images: 1" in words(both)


def test_auc_has_a_panel_for_each_system_and_a_ring_where_a_number_is_printed():
    rows = pd.DataFrame({"variant": ["linf0.3", "linf0.5"], "class": ["0", "0"], "value": 0.99,
                         "low": 0.98, "high": 1.0})
    figure = plots.auc_by_class(rows, rows[:1])
    assert [axis.get_title("left") for axis in figure.axes] == ["l∞ 0.3", "l∞ 0.5"]
    assert [len(axis.lines) for axis in figure.axes] == [2, 1] and len(figure.legends[0].texts) == 2


def test_the_axis_of_auc_takes_values_near_one_half_and_near_one():
    rows = pd.DataFrame({"variant": "linf0.3", "class": ["0", "1"], "value": [0.46, 1.0], "low": [0.43, 0.999],
                         "high": [0.49, 1.0]})
    axis = plots.auc_by_class(rows).axes[0]
    assert axis.get_xlim()[0] > 0.57 and 0 < axis.get_xlim()[1] < rejects.PERFECT       # the better to the right
    assert [text.get_text() for text in axis.get_xticklabels()][:3] == ["0.5", "0.9", "0.99"]


def test_histograms_and_ranges_of_logits_show_every_image():
    rng = np.random.default_rng(0)
    figure = plots.logit_histograms({"Madry": (rng.normal(5, 1, 100), rng.normal(4, 1, 20))}, "target logit", "pushed")
    assert "target logit" in words(figure) and "pushed" in words(figure)
    assert sum(patch.get_height() for patch in figure.axes[0].patches[:30]) > 0.99
    ranges = plots.logit_ranges({"test digits": rng.normal(5, 1, 50), "noise": rng.normal(-9, 1, 50)},
                                {"1%": 1.0, "5%": 2.0})
    assert "test digits" in words(ranges) and "5%" in words(ranges)


def test_long_names_widen_a_grid_instead_of_squeezing_its_images():
    images = [[np.zeros((4, 4)), None]]
    short, long = (plots.grid(images, [name], ["a", "b"]) for name in ("GFZ", "a rather long name of a row\nand more"))
    assert long.get_figwidth() > short.get_figwidth() == 2.4


def test_the_worst_case_is_called_in_figures_as_in_rows():
    assert rejects.WORST == reject.WORST == metrics.WORST
    assert rejects.painted(reject.WORST)[0] == rejects.INK
