"""Controls over pictures that move in a built page without a kernel."""

import base64
import html
import inspect
import io
import re
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
from PIL import Image

BUDGET = 900_000            # characters that the pictures of one set of controls may take in a page
TAG, WORDS = re.compile(r"<img\b[^>]*>"), re.compile(r'\balt="[^"]*\S[^"]*"')


def grid(choices: Mapping[str, Sequence | Mapping], *panels: Callable[..., str], head: str = "",
         budget: int = BUDGET) -> ipywidgets.VBox:
    """One control for each entry of `choices`, and panels that follow them. Linked in the browser: no kernel is needed.

    choices: name -> values, or label -> value, in the order in which the controls stand. Numbers (and text that begins
    with a digit) get a slider, other text a row of buttons.
    panels: functions whose parameters are names of choices ("false-positive rate" is `false_positive_rate`); each
    returns HTML (a picture by `picture`) for one combination. A panel is asked once for each combination of the choices
    that it names: what does not depend on a choice is not stored twice. Panels stand side by side where there is room.
    head: HTML above the panels that never changes, such as a style sheet. budget: characters of all HTML together.
    Raises ValueError for choices that are missing, blank or look alike, a panel that asks for another choice, a picture
    without words, and a broken budget.
    """
    spelled = {re.sub(r"\W", "_", name): name for name in choices}
    wanted = [list(inspect.signature(panel).parameters) for panel in panels]
    if unknown := [name for names in wanted for name in names if name not in spelled]:
        raise ValueError(f"a panel asks for {unknown}; expected some of {list(spelled)}")
    return _linked(choices, [({name: spelled[name] for name in names}, panel) for names, panel in zip(wanted, panels)],
                   head, budget)


def frames(pictures: Sequence, labels: Sequence[str], *, description: str, alt: str | Sequence[str],
           budget: int = BUDGET) -> ipywidgets.VBox:
    """One control over `labels` that shows the picture of each: a `grid` of one choice.

    pictures: matplotlib figures (they are closed) or the bytes of PNG files. alt: what a picture shows, one text for
    all (its label is added) or one each. Raises ValueError for unequal lengths, and where `grid` does.
    """
    pictures, labels = list(pictures), [str(label) for label in labels]
    texts = [f"{alt}; {description}: {label}" for label in labels] if isinstance(alt, str) else list(alt)
    if not pictures or not len(pictures) == len(labels) == len(texts):
        raise ValueError(f"{len(pictures)} pictures, {len(labels)} labels and {len(texts)} alternative "
                         "texts; expected as many of each, and at least one")
    shown = {label: picture(each, text) for label, each, text in zip(labels, pictures, texts)}
    return _linked({description: labels}, [({"label": description}, lambda label: shown[label])], "", budget)


def ask(controls: Mapping[str, ipywidgets.Widget], answer: Callable[..., str], verb: str) -> ipywidgets.VBox:
    """Controls, a button, and below it the HTML that `answer(**values)` gives when the button is pressed.

    For what is too much to store: it needs a kernel, so its cell belongs under the tag `remove-output`. A ValueError of
    the answer is shown as its text; the button waits until an answer is there.
    """
    for name, control in controls.items():
        control.description, control.style = name, {"description_width": "5rem"}
    button, shown = ipywidgets.Button(description=verb, button_style="primary"), ipywidgets.HTML()

    def press(_) -> None:
        button.disabled, button.description = True, "working …"
        try:
            shown.value = answer(**{name: control.value for name, control in controls.items()})
        except ValueError as error:
            shown.value = f"<p role=alert>{html.escape(str(error))}</p>"
        finally:
            button.disabled, button.description = False, verb
    button.on_click(press)
    return ipywidgets.VBox([*controls.values(), button, shown])


def picture(image: object, alt: str, classes: str = "") -> str:
    """An <img> of a matplotlib figure (it is closed), of the bytes of a PNG file, or of uint8 pixels (H, W) or (H,
    W, 3).

    Stored as WebP. alt: what it shows, in words. classes: for the style sheet.
    """
    source = base64.b64encode(webp(image)).decode()
    classes = f' class="{html.escape(classes)}"' if classes else ""
    return f'<img{classes} src="data:image/webp;base64,{source}" alt="{html.escape(alt)}">'


def webp(image: object, dpi: int = 100) -> bytes:
    """A matplotlib figure, the bytes of a PNG file or uint8 pixels as WebP: lossless or at quality 90, the
    smaller one."""
    if hasattr(image, "savefig"):
        image = _png(image, dpi)
    image = (Image.open(io.BytesIO(image)) if isinstance(image, bytes) else Image.fromarray(image)).convert("RGB")
    encoded = []
    for settings in ({"lossless": True}, {"quality": 90}):
        image.save(file := io.BytesIO(), "WEBP", method=5, **settings)
        encoded.append(file.getvalue())
    return min(encoded, key=len)


def _png(figure, dpi: int) -> bytes:
    import matplotlib.pyplot
    figure.savefig(file := io.BytesIO(), format="png", dpi=dpi)    # not cut to its content: frames must not jump
    matplotlib.pyplot.close(figure)
    return file.getvalue()


def _linked(choices: Mapping, panels: list[tuple[dict, Callable]], head: str, budget: int) -> ipywidgets.VBox:
    """The controls, and below them a box of the stacks that they turn. panels: parameter -> choice, and the
    function."""
    labels = {name: [f"{label:g}" if isinstance(label, float) else str(label) for label in values]
              for name, values in choices.items()}
    values = {name: list(each.values()) if isinstance(each, Mapping) else list(each) for name, each in choices.items()}
    for name, texts in labels.items():
        if not texts or len(set(texts)) < len(texts) or not all(text.strip() for text in texts):
            raise ValueError(f"choices of {name}: {texts}; expected at least one, all distinct and not blank")
    indent = f"{1 + 0.55 * max(map(len, labels)):.1f}em"           # one left edge for all controls
    controls = {name: _control(name, texts, indent) for name, texts in labels.items()}
    # shared: 1.5 kB that no leaf needs of its own
    once = {"layout": ipywidgets.Layout(), "style": ipywidgets.HTML().style}
    leaves = [head]

    def nest(panel: Callable[..., str], names: list[tuple[str, str]], given: dict) -> ipywidgets.Widget:
        if names:
            (parameter, name), *rest = names
            stack = ipywidgets.Stack([nest(panel, rest, given | {parameter: value}) for value in values[name]],
                                     selected_index=0, layout=once["layout"])
            ipywidgets.jslink((controls[name], "index"), (stack, "selected_index"))
            return stack
        leaves.append(panel(**given))
        if silent := [tag[:40] for tag in TAG.findall(leaves[-1]) if not WORDS.search(tag)]:
            raise ValueError(f"the picture {silent[0]}... for {given} has no alternative text; say what it shows")
        return ipywidgets.HTML(leaves[-1], **once)

    # Sliders innermost: a stack that is exchanged while it still draws its own child complains in the console, and only
    # a slider can be dragged that fast.
    def depth(name: tuple[str, str]) -> bool:
        return isinstance(controls[name[1]], ipywidgets.SelectionSlider)

    parts = [ipywidgets.HTML(head, **once)] if head else []
    parts += [nest(panel, sorted(names.items(), key=depth), {}) for names, panel in panels]
    if (size := sum(map(len, leaves))) > budget:
        raise ValueError(
            f"{len(leaves) - 1} pictures take {size:,} bytes, the budget is {budget:,}; use fewer or smaller ones")
    frame = ipywidgets.Box(parts) if len(parts) > 1 else parts[0]
    frame.add_class("book-frame")
    return ipywidgets.VBox([*controls.values(), frame])


def _control(name: str, labels: list[str], indent: str) -> ipywidgets.Widget:
    settings = {"options": labels, "index": 0, "description": name, "style": {"description_width": indent}}
    if all(label[0].isdigit() for label in labels):
        return ipywidgets.SelectionSlider(**settings, continuous_update=True, layout={"width": "min(32rem, 95%)"})
    settings["style"]["button_width"] = "auto"
    return ipywidgets.ToggleButtons(**settings, layout={"width": "95%"})
