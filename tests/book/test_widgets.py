"""The slider over pictures, as far as it can be seen without a browser."""

import base64
import io
import re

import matplotlib
import pytest
from PIL import Image

from lib.widgets import frames

matplotlib.use("agg")


def drawn(n):
    from matplotlib import pyplot
    made = []
    for k in range(n):
        figure, axes = pyplot.subplots(figsize=(1, 1))
        axes.plot([0, k])
        made.append(figure)
    return made


def slider(n=3, **changed):
    given = {"labels": [f"{k} %" for k in range(n)], "description": "rate", "alt": "a line that rises"} | changed
    return frames(drawn(n), given.pop("labels"), **given)


def test_every_label_has_its_own_picture_and_its_own_words():
    box = slider()
    control, stack = box.children
    sources = [re.search(r'base64,([^"]+)" alt="([^"]+)"', child.value).groups() for child in stack.children]
    images = [Image.open(io.BytesIO(base64.b64decode(source))) for source, _ in sources]
    assert {image.format for image in images} == {"WEBP"} and len({image.tobytes() for image in images}) == 3
    assert [text for _, text in sources] == [f"a line that rises; rate: {label}" for label in control.options]
    assert stack.selected_index == control.index == 0


def test_figures_are_closed():
    from matplotlib import pyplot
    before = set(pyplot.get_fignums())
    slider()
    assert set(pyplot.get_fignums()) == before


@pytest.mark.parametrize("changed, said", [
    ({"labels": ["a", "b"]}, "3 pictures, 2 labels"),
    ({"labels": ["a", "a", "b"]}, "distinct"),
    ({"alt": ["one", "two"]}, "2 alternative texts"),
    ({"alt": ["one", "two", " "]}, "not blank"),
    ({"budget": 100}, "budget is 100"),
])
def test_a_slider_that_would_mislead_or_weigh_too_much_is_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        slider(**changed)
