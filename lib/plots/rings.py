"""The two-rings toy: which points of the plane a detector accepts, as in Figure 2 of Li et al. (2019)."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lib.plots.palette import CLASSES, GROUND, INK, NAMES, Plate, styled

SHADE = np.array(to_rgb("#5f5b54"))


@styled
def acceptance(panels: dict, points, labels, reach: float = 2.0, title: str = "", shown: int = 400) -> Figure:
    """Six small maps of the square [-reach, reach]^2; what is rejected lies in the shade.

    panels: title -> (classes, rejected), each (side, side), row 0 at the bottom: int class of every grid point
    (assigned or predicted) and bool. points (n, 2), labels (n,): training data, of which the first `shown` are drawn.
    """
    figure = Plate(figsize=(6.4, 4.75 + (0.3 if title else 0)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
    axes = figure.subplots(-(-len(panels) // 3), 3, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, (name, (classes, rejected)) in zip(axes, panels.items()):
        axis.imshow(tint(classes, rejected), origin="lower", extent=(-reach, reach, -reach, reach),
                    interpolation="nearest")
        edge = np.linspace(-reach, reach, len(rejected))
        if rejected.any() and not rejected.all():
            axis.contour(edge, edge, rejected, levels=[0.5], colors=INK, linewidths=0.8)
        axis.scatter(*np.asarray(points[:shown]).T, s=2.2, linewidths=0, alpha=0.8,
                     c=[CLASSES[int(label)] for label in labels[:shown]])
        axis.set(title=name, xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        axis.grid(False)
    for axis in axes[len(panels):]:
        axis.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    return figure


@styled
def divergences(margin, curves: dict) -> Figure:
    """Scores of KL and TV, in units of their thresholds, against the margin of the predicted class in nats.

    The shaded part above 1 is rejected.
    """
    figure = Plate(figsize=(6.4, 3.0), layout="constrained")
    axis = figure.subplots()
    for (name, curve), style in zip(curves.items(), ("-", "--")):
        axis.plot(margin, curve, style, color=INK, linewidth=2, label=NAMES[name])
    top = max(1.6, *(float(max(curve)) for curve in curves.values()))
    axis.axhspan(1, top, color=SHADE, alpha=0.25, linewidth=0)
    axis.text(margin[-1] * 0.02, 1.04, "rejected", va="bottom", fontsize=10.5)
    axis.set(xlabel="margin of the predicted class, nats", ylabel="score / threshold",
             ylim=(0, top), xlim=(0, margin[-1]))
    axis.legend(loc="upper center")
    return figure


def tint(classes, rejected) -> np.ndarray:
    """(side, side, 3) colours: a pale class colour where a point is accepted, the same in the shade where not."""
    pale = np.array([0.30 * np.array(to_rgb(c)) + 0.70 * np.array(to_rgb(GROUND)) for c in CLASSES])[classes]
    return np.where(rejected[..., None], 0.62 * SHADE + 0.38 * pale, pale)
