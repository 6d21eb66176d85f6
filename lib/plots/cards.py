"""What a model makes of one attacked image, as HTML: text that can be read aloud, in light and dark, on a phone."""

import math
from collections import Counter

import ipywidgets
import numpy as np
from matplotlib.colors import to_rgb

from lib.plots.palette import CLASSES, GROUND, NAMES
from lib.widgets import ask, grid, picture

NAMED = ("model", "attack", "image", "eps")     # the knobs, in their order
SPAN = 60               # nats that the bar of a class is long; further behind the best class it is empty
# change of a pixel that is drawn in full colour, whatever eps is, so that a faint change looks faint
FULL = 0.5
REACH = 3               # a detector's bar ends at so many times the distance from typical to threshold
BADGES = {"read right": "#1f6f43", "read right, yet flagged": "#57606a", "fooled, but flagged": "#7a5a00",
          "fooled and unnoticed": "#a5281b"}
STYLE = ("""<style>
.book-frame:has(.case) { display: flex; flex-flow: row wrap; gap: .3rem .5rem }
.book-frame:has(.case) :is(.widget-box, .widget-html, .widget-html-content) { margin: 0; padding: 0; max-width: 100%;
                                                                             overflow: visible }
.case { margin: 0; line-height: 1.4; font-size: .92rem }
.case, .case :is(td, th, figcaption) { color: var(--pst-color-text-base, inherit); background: none }
.case img { width: 6rem; height: 6rem; padding: 0 !important; border-radius: 0 !important; image-rendering: pixelated;
            border: 1px solid #8888 }
.case .pair { display: flex; gap: .5rem }
.case figure { margin: 0; padding: 0; width: 6rem }
.case figcaption { margin: .1rem 0 0; padding: 0; font-size: .84rem; line-height: 1.25; text-align: left }
.case .badge { display: inline-block; padding: .05rem .6rem; border-radius: 1rem; color: #fff; font-weight: 600 }
.case table { border-collapse: collapse; margin: .5rem 0; width: 22rem; max-width: calc(100vw - 2.6rem) }
.case td, .case th { padding: 0 .4rem 0 0; font-weight: 400; text-align: left; font-variant-numeric: tabular-nums; """
    """border: 0 }
.case th { width: 4.2rem }
.case td:last-child { text-align: right; white-space: nowrap; width: 1% }
.case .bar { position: relative; height: .75em; background: #8883 }
.case .bar i { position: absolute; inset: 0 auto 0 0; background: #6b7f92 }
.case .true i { background: #2f8a57 } .case .best :is(td, th) { font-weight: 700 } .case .over i { background: #c4412f }
.case .bar b { position: absolute; top: -.15em; bottom: -.15em; left: 33.3%; border-left: 2px solid currentColor }
</style>""")


def deck(cases: dict):
    """Controls over all cases and the cards that they turn; a sentence where there are none.

    cases: (model, attack, image, eps) -> `lib.runs.explorer.Case`. Raises ValueError where a combination of the values
    among them is missing, so that no control leads nowhere.
    """
    if not cases:
        return "no rows yet for the models whose pictures are shown here"
    values = [list(dict.fromkeys(key[i] for key in cases)) for i in range(4)]
    if math.prod(map(len, values)) != len(cases):
        raise ValueError(f"there are {len(cases)} cases for {values}; expected one for each combination: finish the "
                         "missing units of whitebox")
    any_of = {case.image: case for case in cases.values()}

    def shown(draw):
        return lambda model, attack, image, eps: draw(cases[model, attack, image, eps])
    choices = dict(zip(NAMED, values))
    choices["attack"] = {NAMES[attack]: attack for attack in choices["attack"]}
    choices["image"] = {f"a {any_of[image].label}, no. {image}": image for image in choices["image"]}
    return grid(choices, lambda image: clean(any_of[image]), shown(attacked), shown(account), head=STYLE)


def bench(attack_now, models, attacks, images: int):
    """Controls for an attack of the reader's own, on any test image at any radius. They need a kernel.

    attack_now(model=, attack=, eps=, image=) -> `lib.runs.explorer.Case`. images: how many the test set has.
    """
    controls = {"model": ipywidgets.Dropdown(options=list(models)),
                "attack": ipywidgets.Dropdown(options=[(NAMES[attack], attack) for attack in attacks]),
                "eps": ipywidgets.FloatSlider(value=0.15, min=0, max=0.5, step=0.01),
                "image": ipywidgets.BoundedIntText(value=4, min=0, max=images - 1)}

    def answer(**asked) -> str:
        case = attack_now(**asked)
        return f'{STYLE}<div class="book-frame">{clean(case)}{attacked(case)}{account(case)}</div>'
    return ask(controls, answer, "Attack")


def clean(case) -> str:
    """The image that is attacked."""
    words = f"Test image {case.image} before any attack, a digit {case.label}"
    return _framed(_figure(case.clean, words, f"test image {case.image}, a {case.label}"))


def attacked(case) -> str:
    """What was added to the image, and the sum."""
    name = NAMES.get(case.attack, case.attack)
    change = _figure(difference(case.clean, case.attacked), "What the attack added to it: red brightens, blue darkens",
                     f"what {name} adds")
    words = f"The digit {case.label} under {name} at eps {case.eps:g}, read as {case.seen} by {case.model}"
    return _framed(
        f'<div class="pair">{change}{_figure(case.attacked, words, f"{case.model} reads {case.seen}")}</div>')


def account(case) -> str:
    """The verdict, the log joint of every class, and each detector's score against its threshold."""
    counts = Counter(case.draws.tolist()).most_common()
    others = ", ".join(f"{count} see{'s' * (count == 1)} {kind}" for kind, count in counts)
    badge = f'<span class="badge" style="background:{BADGES[case.verdict]}">{case.verdict}</span>'
    detectors = "".join(_detector(name, reading) for name, reading in case.readings.items())
    table = f"<table aria-label=Detectors>{detectors}</table>" if detectors else "<div>no detector is fitted yet</div>"
    return _framed(f"<div>{badge}</div><div>Of {len(case.draws)} more draws {others}.</div>"
                   f'<table aria-label="Log joints in nats">{_classes(case)}</table>{table}')


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: red where a pixel became brighter, blue where darker, in full colour from a change of FULL."""
    change = (after.astype(float) - before) / 255 / FULL
    ground, (red, blue) = np.array(to_rgb(GROUND)), map(np.array, map(to_rgb, CLASSES))
    weight = np.abs(change).clip(0, 1)[..., None]
    return (((ground * (1 - weight) + np.where(change[..., None] > 0, red, blue) * weight) * 255)
            .round().astype(np.uint8))


def _classes(case) -> str:
    lines = []
    for kind, nats in enumerate(case.log_joint):
        width = max(0, 100 - 100 * (case.log_joint.max() - nats) / SPAN)
        marks = " ".join(["true"] * (kind == case.label) + ["best"] * (kind == case.seen))
        lines.append(f'<tr class="{marks}"><th>{kind}{", true" if kind == case.label else ""}<td><div class=bar>'
                     f"<i style=width:{width:.0f}%></i></div><td>{_signed(nats)}")
    return "".join(lines)


def _detector(name: str, reading) -> str:
    reach = (reading.score - reading.typical) / (reading.threshold - reading.typical) / REACH
    return (f"<tr class={'over' if reading.flagged else 'under'}><th>{NAMES[name]}<td><div class=bar>"
            f"<i style=width:{100 * np.clip(reach, 0, 1):.0f}%></i><b></b></div>"
            f"<td>{_signed(reading.score)} / {_signed(reading.threshold)}, "
            f"{'flagged' if reading.flagged else 'accepted'}")


def _signed(nats: float) -> str:
    return f"{nats:.1f}".replace("-", "−")


def _figure(pixels: np.ndarray, alt: str, caption: str) -> str:
    return f"<figure>{picture(pixels, alt)}<figcaption><span>{caption}</span></figcaption></figure>"


def _framed(inner: str) -> str:
    return f"<div class=case>{inner}</div>"
