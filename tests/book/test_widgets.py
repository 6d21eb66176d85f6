"""Controls over pictures, as far as they can be seen without a browser."""

import base64
import io
import re

import ipywidgets
import matplotlib
import numpy as np
import pytest
from PIL import Image

from lib.widgets import ask, frames, grid, picture, webp

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
    ({"alt": ["one", "two", " "]}, "no alternative text"),
    ({"budget": 100}, "budget is 100"),
])
def test_a_slider_that_would_mislead_or_weigh_too_much_is_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        slider(**changed)


def follow(widget, **at):
    """The HTML that a box shows when its controls stand at these indices, links being in force."""
    *controls, frame = widget.children
    links = [w for w in ipywidgets.Widget.get_manager_state()["state"].values() if w["model_name"] == "LinkModel"]
    index = {f"IPY_MODEL_{control.model_id}": at[control.description] for control in controls}
    turned = {link["state"]["target"][0]: index[link["state"]["source"][0]] for link in links
              if link["state"]["source"][0] in index}

    def shown(node):
        if isinstance(node, ipywidgets.Stack):
            return shown(node.children[turned[f"IPY_MODEL_{node.model_id}"]])
        return node.value if isinstance(node, ipywidgets.HTML) else " ".join(map(shown, node.children))
    return shown(frame)


def test_panels_follow_all_controls_that_they_name_in_any_order():
    box = grid({"model": ["A", "B"], "eps": [0.1, 0.25], "false-positive rate": ["5%", "10%"]},
               lambda eps, model: f"{model}@{eps}", lambda false_positive_rate: false_positive_rate,
               head="<style></style>")
    kinds = [type(control).__name__ for control in box.children[:-1]]
    assert kinds == ["ToggleButtons", "SelectionSlider", "SelectionSlider"]
    assert [control.options for control in box.children[:-1]] == [("A", "B"), ("0.1", "0.25"), ("5%", "10%")]
    for model in (0, 1):
        for eps in (0, 1):
            for rate in (0, 1):
                at = {"model": model, "eps": eps, "false-positive rate": rate}
                assert follow(box, **at) == f"<style></style> {'AB'[model]}@{(0.1, 0.25)[eps]} {('5%', '10%')[rate]}"


def test_a_panel_is_drawn_once_for_each_combination_of_what_it_names():
    asked = []
    grid({"model": ["A", "B"], "image": [0, 1, 2]}, lambda image: asked.append(image) or "",
         lambda: asked.append("once") or "")
    assert asked == [0, 1, 2, "once"]


def test_labels_may_stand_for_values():
    box = grid({"attack": {"FGSM": "fgsm", "PGD": "pgd"}}, lambda attack: attack)
    assert box.children[0].options == ("FGSM", "PGD") and follow(box, attack=1) == "pgd"


def test_sliders_turn_the_innermost_stacks():
    box = grid({"eps": [1, 2], "model": ["A", "B"]}, lambda eps, model: f"{model}{eps}")
    assert [leaf.value for leaf in box.children[-1].children[0].children] == ["A1", "A2"]


@pytest.mark.parametrize("choices, panel, said", [
    ({"eps": []}, lambda eps: "", "choices of eps"),
    ({"eps": [1, 1.0]}, lambda eps: "", "distinct"),
    ({"eps": [1]}, lambda radius: "", "asks for .'radius'.*expected some of .'eps'"),
    ({"eps": [1]}, lambda eps: '<img src="a.webp">', "no alternative text"),
    ({"eps": [1]}, lambda eps: "x" * 1000, "budget is 500"),
])
def test_controls_that_lead_nowhere_and_pictures_without_words_are_refused(choices, panel, said):
    with pytest.raises(ValueError, match=said):
        grid(choices, panel, budget=500)


def test_pixels_are_stored_without_loss():
    pixels = np.random.default_rng(0).integers(0, 2, (28, 28, 3), np.uint8) * 255
    assert (np.asarray(Image.open(io.BytesIO(webp(pixels)))) == pixels).all()
    assert 'alt="a &lt;digit&gt;"' in picture(pixels[..., 0], "a <digit>")


def test_an_answer_comes_at_the_press_of_the_button_and_an_error_as_words():
    def answer(eps):
        if eps > 1:
            raise ValueError("eps = 2; expected <= 1")
        return f"<b>{eps}</b>"
    box = ask({"eps": ipywidgets.FloatText(0.5)}, answer, "Attack")
    control, button, shown = box.children
    assert shown.value == ""
    button.click()
    assert shown.value == "<b>0.5</b>" and not button.disabled and button.description == "Attack"
    control.value = 2
    button.click()
    assert "expected &lt;= 1" in shown.value
