"""Figures: what they refuse, what they say when there are no rows, and that they leave no global state behind."""

import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from lib import plots
from lib.plots import palette


def rows(**columns) -> pd.DataFrame:
    base = {"model": "GFZ", "attack": "pgd", "eps": 0.1, "metric": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6}
    return pd.DataFrame([base | columns])


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_no_rows_give_a_sentence_instead_of_an_error():
    assert "no rows yet" in words(plots.accuracy_against_eps(rows()[:0]))
    assert "no rows yet" in words(plots.detection_against(rows()))
    assert "no rows yet" in words(plots.beside(rows(), rows(), "min_eps", "mean minimum eps"))


def test_two_rows_for_one_mark_are_refused_by_name():
    with pytest.raises(ValueError, match="several rows for .*GFZ"):
        plots.accuracy_against_eps(pd.concat([rows(), rows(value=0.6)]))


def test_the_style_is_seaborns():
    wanted = sns.axes_style("ticks") | sns.plotting_context("paper", font_scale=1.2)
    written = {name: pytest.approx(value) if isinstance(value, float) else value
               for name, value in palette.SEABORN.items()}
    assert {name: wanted[name] for name in written} == written
    silent = {name for name in wanted if name not in palette.RC and wanted[name] != mpl.rcParamsDefault[name]}
    assert silent <= {"image.cmap", "figure.facecolor"}      # every image of the book names its colours


def test_a_model_without_a_look_is_refused_by_name():
    with pytest.raises(ValueError, match="no colour is set for model 'XYZ'"):
        plots.look("XYZ")


def test_no_two_models_share_a_marker_or_a_colour():
    colours, markers, _ = zip(*plots.LOOKS.values())
    assert len(set(colours)) == len(set(markers)) == len(plots.LOOKS)


def test_every_model_stands_out_from_the_ground_by_a_contrast_of_two_to_one_or_more():
    def luminance(colour):
        rgb = np.array(mpl.colors.to_rgb(colour))
        return np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    ground = luminance("#fbfaf6")
    assert min((ground + 0.05) / (luminance(colour) + 0.05) for colour, _, _ in plots.LOOKS.values()) > 2


def test_drawing_leaves_the_global_style_alone():
    before = dict(mpl.rcParams)
    plots.accuracy_against_eps(rows())
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_figure_encodes_to_an_image_of_its_size(kind):
    image = Image.open(io.BytesIO(plots.encode(plots.accuracy_against_eps(rows()), kind, dpi=50)))
    assert image.format.lower() == kind and image.width == 320


def test_a_thin_line_keeps_its_colour_on_a_small_palette():
    figure = palette.blank("")
    lines = ("#8a6d3b", "#c4412f", "#2f8f5b", "#34906f")
    for i, colour in enumerate(lines):
        figure.add_artist(Line2D([0, 0.3], [0.2 * i + 0.2] * 2, color=colour, linewidth=1.5, antialiased=False))
    for i in range(100):                            # a map of blues, on which a cut by counts would spend itself
        figure.add_artist(Rectangle((i / 100, 0), 0.01, 0.9 if i > 40 else 0.15, color=(0.1, i / 100, 0.8)))
    image = Image.open(io.BytesIO(plots.encode(figure, colours=16)))
    assert image.mode == "P" and len(image.getcolors()) <= 16
    shown = np.array([colour for _, colour in image.convert("RGB").getcolors()])
    for colour in lines[:3]:
        wanted = [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(shown - wanted).sum(1).min() <= 6, colour


def test_a_grid_takes_bytes_and_fractions_and_leaves_a_gap_for_none():
    images = [[np.zeros((4, 4)), np.full((4, 4), 255, np.uint8), None]]
    figure = plots.grid(images, ["GFZ"], ["a", "b", "c"], captions=[["1", "2", "3"]], flagged=[[False, True, False]])
    assert len(figure.axes) == 3 and [len(axis.images) for axis in figure.axes] == [1, 1, 0]


def test_a_graph_has_one_arrow_for_each_parent():
    class Chain:
        z, y, x = "", "z", "zy"

    figure = plots.factorisations({"GFZ": Chain})
    arrows = [patch for patch in figure.axes[0].patches if isinstance(patch, mpl.patches.FancyArrowPatch)]
    assert len(arrows) == 3


def test_margins_and_shares_say_when_there_is_nothing_to_draw():
    assert "no rows yet" in words(plots.margins({}, {"lost": 16.6}))
    assert "no rows yet" in words(plots.shares(pd.DataFrame(), "accuracy"))


def test_every_c_of_an_attack_has_its_tick():
    found = pd.concat([rows(c=c, metric="detect_kl", attack="cw") for c in (0.1, 10.0)])
    figure = plots.detection_against(found, x="c")
    figure.draw_without_rendering()
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0.1", "10"]


def speeds(**columns) -> pd.DataFrame:
    base = {"subject": "GFZ", "variant": "ours, float32", "metric": "speedup", "value": 2.0, "low": 1.9, "high": 2.1}
    return pd.DataFrame([base | columns])


def test_speedups_show_every_way_but_the_reference():
    both = pd.concat([speeds(), speeds(variant="plain", value=1.0, low=1.0, high=1.0),
                      speeds(subject="DFX", value=60.0)])
    said = words(plots.speedups(both, "times as fast", reference="plain"))
    assert "ours, float32" in said and "DFX" in said and "plain" not in said
    assert "no rows yet" in words(plots.speedups(both[:0], "times as fast", reference="plain"))


def test_growth_has_a_panel_for_each_axis_that_has_rows():
    frame = pd.DataFrame({"way": "ours", "count": [1, 10], "value": [1.0, 10.0]})
    figure = plots.growth({"images": frame, "samples": frame[:0]}, {"images": "ms", "samples": "ms"})
    assert [axis.get_xlabel() for axis in figure.axes if axis.axison] == ["images"]
    assert "no rows yet" in words(plots.growth({"images": frame[:0]}, {"images": "ms"}))


def test_a_model_keeps_its_colour_in_a_notebook_though_it_has_a_single_mark():
    models = ["GFZ", "GFY", "GBZ", "GBY", "DFX", "DFZ", "DBX", "BNN"]
    found = pd.concat([rows(model=model, c=1.0, n=5, metric=metric, value=0.1 + 0.1 * place, low=0.0, high=1.0)
                       for place, model in enumerate(models) for metric in ("accuracy", "l2")])
    image = Image.open(io.BytesIO(plots.accuracy_against_l2(found)._repr_png_())).convert("RGB")
    shown = np.unique(np.asarray(image).reshape(-1, 3), axis=0) / 255
    away = {model: np.abs(shown - mpl.colors.to_rgb(plots.LOOKS[model][0])).max(1).min() * 255 for model in models}
    assert max(away.values()) < 8, away
