"""Figures of densities that detectors learn, on the line and in the plane (Yin et al. 2020, Figures 19 and 20)."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from lib.plots.palette import CLASSES, FAINT, GROUND, INK, LOOKS, Plate, blank, look, styled

HEAT = LinearSegmentedColormap.from_list("heat", [GROUND, "#f3c98b", LOOKS["GAT"][0], "#33091b"])
AROUND = (0.33, 0.67)           # of the line: both peaks
SETTINGS = {"paper": ("setting of the paper", "-"), "notebook": ("setting of the notebook", "--")}


@styled
def on_the_line(x, sigmoids: dict[str, list], densities: list, truth, positives, negatives) -> Figure:
    """Sigmoids after each training above the training points, and below the normalised e^z beside the true density.

    x, truth: (point). sigmoids: model -> one curve a seed, the first drawn strong, the others faint; densities alike.
    positives, negatives: coordinates of training points, drawn as ticks. Without curves it says that there are none.
    """
    if not densities:
        return blank("no rows yet: the training on the line has not been run at this profile")
    figure = Plate(figsize=(6.4, 6.4), layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=[1, 1, 1.5])
    for axis, (model, curves) in zip(axes, sigmoids.items()):
        _curves(axis, x, curves, look(model)["color"])
        for points, color in ((negatives, CLASSES[0]), (positives, CLASSES[1])):
            axis.plot(points, np.full(len(points), -0.12), "|", color=color, markersize=7, markeredgewidth=0.4,
                      clip_on=False)
        axis.axhline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        axis.set(title=f"{model}: sigmoid of the logit", xlim=(0, 1), ylim=(-0.2, 1.04), yticks=[0, 0.5, 1])
    _curves(axes[-1], x, densities, look("GAT")["color"])
    axes[-1].plot(x, truth, color=INK, linewidth=1.4, linestyle="--", label="truth", zorder=4)
    axes[-1].lines[0].set_label("GAT, normalised $e^z$")
    axes[-1].set(title="density of the positives", xlim=AROUND, ylim=(0, None), xlabel="x (here: around the peaks)")
    axes[-1].legend(loc="upper left")
    return figure


def _curves(axis, x, curves: list, color: str) -> None:
    for at, curve in enumerate(curves):
        axis.plot(x, curve, color=color, linewidth=1.8 if at == 0 else 1.0, alpha=1 if at == 0 else 0.4,
                  zorder=3 - (at > 0))


@styled
def maps(rows: dict[str, dict[str, object]], ends: tuple[float, float] = (0.2, 0.8), scale: str = "unit",
         bar: str = "") -> Figure:
    """Small maps of the plane, a line for each row: label -> title -> what is there.

    A map is an array (side, side), row 0 at the bottom, or a pair (positives, negatives) of points, (n, 2) each. ends:
    the part of both axes that every map covers, and that is shown of points. Where all titles are those of the longest
    row, rows share their columns, and a map that is missing is said to be. scale: "unit", colours from 0 to 1; "own",
    from 0 to each map's greatest value. bar: what a colour bar below is called; none where it is empty. No map at all
    gives a strip that says so.
    """
    rows = {label: panels for label, panels in rows.items() if panels}
    if not rows:
        return blank("no rows yet: no training in the plane has been run at this profile")
    columns = list(max(rows.values(), key=len))
    aligned = all(set(panels) <= set(columns) for panels in rows.values())
    each = min(2.6, 6.4 / len(columns))
    figure = Plate(figsize=(each * len(columns), each * len(rows) + (1.1 if bar else 0.5)), layout="compressed")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for at, (axes, (label, panels)) in enumerate(zip(grid, rows.items())):
        for axis, title in zip(axes, columns if aligned else panels):
            axis.set_title(title if at == 0 or not aligned else "", loc="center")
            if title in panels:
                _map(axis, panels[title], ends, scale)
            else:
                axis.text(0.5, 0.5, "no rows yet", ha="center", va="center", style="italic", fontsize=10)
                axis.set(xlim=ends, ylim=ends, xticks=[], yticks=[], aspect="equal")
        axes[0].set_ylabel(label)
        _coordinates(axes[0].yaxis, ends, "bottom", "top")
    for axis in grid[-1]:
        _coordinates(axis.xaxis, ends, "left", "right")
    if bar:
        colours = ScalarMappable(Normalize(0, 1), HEAT)
        figure.colorbar(colours, ax=grid.ravel().tolist(), location="bottom", shrink=0.5, aspect=30, label=bar,
                        ticks=[0, 0.5, 1])
    return figure


def _coordinates(axis, ends: tuple[float, float], first: str, last: str) -> None:
    """Ticks at the fifths of the square; first, last: how the outer labels are aligned, so as to keep inside."""
    axis.set_ticks(np.linspace(*ends, 4))
    labels = axis.set_ticklabels([f"{at:.1f}" for at in np.linspace(*ends, 4)])
    put = "set_ha" if first == "left" else "set_va"
    getattr(labels[0], put)(first), getattr(labels[-1], put)(last)


def _map(axis, shown, ends: tuple[float, float], scale: str) -> None:
    if isinstance(shown, tuple):
        for points, color in zip(shown, reversed(CLASSES)):
            axis.scatter(*np.asarray(points).T, s=1.2, linewidths=0, color=color)
        axis.set_aspect("equal")
    else:
        axis.imshow(shown, origin="lower", extent=(*ends, *ends), cmap=HEAT, vmin=0, interpolation="nearest",
                    vmax=1 if scale == "unit" else float(np.max(shown)))
    axis.set(xlim=ends, ylim=ends, xticks=[], yticks=[])
    axis.grid(False)
    for side in axis.spines.values():
        side.set_visible(True)


@styled
def along_training(curves: dict[str, list[tuple]], ylabel: str) -> Figure:
    """A measure against the number of adversarial updates, a line a seed: setting -> [(updates, values), ...].

    The point at the left end is the ordinary training, after which the adversary begins.
    """
    if not any(curves.values()):
        return blank("no rows yet: the training on the line has not been run at this profile")
    figure = Plate(figsize=(6.4, 3.0), layout="constrained")
    axis = figure.subplots()
    for setting, lines in curves.items():
        words, style = SETTINGS[setting]
        for at, (updates, values) in enumerate(lines):
            axis.plot(updates, values, color=look("GAT")["color"], linestyle=style, marker=".",
                      linewidth=1.8 if at == 0 else 1, alpha=1 if at == 0 else 0.4, label=words if at == 0 else None)
    axis.set_xscale("symlog", linthresh=10, linscale=0.5)
    axis.set(xlabel="adversarial updates", ylabel=ylabel, ylim=(0, None), xlim=(0, None))
    axis.legend(loc="upper right")
    return figure
