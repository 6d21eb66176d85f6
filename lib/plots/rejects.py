"""What the reject option of one-against-the-rest detectors costs and brings: curves, distances, scores, AUC by class.

Functions take arrays and rows and return a Figure; nothing there yet gives a strip that says so.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator, NullLocator, PercentFormatter

from lib.metrics import WORST
from lib.plots.palette import FAINT, GROUND, INK, NAMES, Plate, blank, look, styled

NEAREST = "nearest of all"
SHADES = ("#1d6fb8", "#e58a1f", "#2f8f5b", "#7d1d3f", "#35a3b8", "#8a6d3b", "#6a51a3", "#c4412f")
STYLES = ("-", "--", ":", "-.")
LOSSES = ("classifier (8)", "detectors (9)", "detectors, cross-entropy", "detectors, margin",
          "combined (11)", "Madry (8)",
          "switching (12)", "aligned")                                     # one colour a loss, on every page
WAYS = {", best iterate": "--", ", steps of 0.1": ":", ", as coded": "-.", ", generative": "-.", ", Madry": ":"}
RING = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.4,
        "linestyle": "none"}                                               # a printed number
PERFECT = 1e-5          # where a log scale of 1 - AUC ends: every pair ranked rightly


@styled
def reject_curves(panels: dict, published: dict | None = None, y: str = "accepted", bottom: float = 0.9,
                  reach: float | None = None) -> Figure:
    """Reject curves, one panel each, sharing their axes and one legend.

    panels: title -> {label: Curve}, a curve of `lib.detectors.one_vs_rest` (fields accepted, accuracy and error); a
    loss has one colour everywhere, and the worst case is black. y: "accepted" or "accuracy", drawn from `bottom` up
    over the error, which runs to `reach` (default: to the largest that is drawn). published: title -> {label:
    (error, accuracy)}, drawn as rings that the legend names, since their place is where the curves are dense.
    """
    labels = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    if not labels:
        return blank("no rows yet for these attacks")
    paint = {name: painted(name, place) for place, name in enumerate(labels)}
    marked = list(dict.fromkeys(name for title in panels for name in (published or {}).get(title, {})))
    columns = 3 if len(labels + marked) > 4 and max(map(len, labels)) < 25 else 2
    lines = -(-len(labels + marked) // columns)
    figure = Plate(figsize=(6.4, 3.1 + 0.24 * lines), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)         # else "100%" of a panel meets "0%" of the next
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (title, curves) in zip(axes, panels.items()):
        for name, curve in curves.items():
            color, style = paint[name]
            axis.plot(curve.error, getattr(curve, y), color=color, linestyle=style, zorder=4 if name == WORST else 3,
                      linewidth=2.6 if name == WORST else 1.8)
        for error, value in (published or {}).get(title, {}).values():
            axis.plot(error, value, **RING, zorder=5)
        axis.set(title=title, xlabel="error", ylim=(bottom, 1.002))
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.grid(True, axis="both")
    right = reach or max(c.error[getattr(c, y) >= bottom].max(initial=0) for curves in panels.values()
                         for c in curves.values())
    axes[0].yaxis.set_major_locator(MultipleLocator(0.02 if bottom >= 0.9 else 0.05))
    axes[0].set(ylabel={"accepted": "natural images accepted", "accuracy": "accuracy"}[y],
                xlim=(-0.02 * max(right, 0.02), 1.04 * max(right, 0.02)))
    handles = [Line2D([], [], color=paint[name][0], linestyle=paint[name][1], linewidth=2.2, label=name)
               for name in labels] + [Line2D([], [], **RING, label=name) for name in marked]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9.5)
    return figure


def painted(name: str, place: int = 0) -> tuple[str, str]:
    """Colour and line of an attack by its words: a colour a loss, a line for the way it is run. The worst case
    is black;
    place: where an attack of the reader's own stands among those drawn, which decides its colour."""
    loss = next((i for i, known in enumerate(LOSSES) if name.startswith(known)), None)
    way = next((line for words, line in WAYS.items() if name.endswith(words)), "-")
    return (INK if name == WORST else SHADES[(place if loss is None else loss) % len(SHADES)], way)


def upright(axis, marks: dict[str, float]) -> None:
    """At most two dotted lines with their names above, the smaller value's to its left, so that they do not meet."""
    for (name, value), side in zip(sorted(marks.items(), key=lambda mark: mark[1]), ("right", "left")):
        axis.axvline(value, color=INK, linestyle=(0, (1, 2)), linewidth=1.2)
        axis.text(value, 1.02, f" {name} ", ha=side, va="bottom", fontsize=9.5, transform=axis.get_xaxis_transform())


@styled
def distances(cases: dict, marks: dict | None = None) -> Figure:
    """Share of images that have moved into another class by an L2 distance: a step line each, over all images.

    cases: label -> (distance, success) image by image; a line ends below 1 where some images never got there. NEAREST
    among them is black. The legend says how many. marks: label -> published mean distance (at most two), drawn upright.
    """
    if not cases:
        return blank("no rows yet for distortion")
    figure = Plate(figsize=(6.4, 3.5 + 0.2 * (len(cases) // 2)), layout="constrained")
    axis = figure.subplots()
    far = max(max((l2[ok].max(initial=1) for l2, ok in cases.values())), *(marks or {"": 0}).values()) * 1.06
    for i, (name, (l2, ok)) in enumerate(cases.items()):
        reached = np.sort(l2[ok])
        share = np.arange(1, len(reached) + 1) / len(l2)
        axis.step([0, *reached, far], [0, *share, share[-1] if len(share) else 0], where="post", label=name,
                  color=INK if name == NEAREST else SHADES[i % len(SHADES)], zorder=4 if name == NEAREST else 3,
                  linestyle="-" if name == NEAREST else STYLES[i % len(STYLES)],
                  linewidth=2.6 if name == NEAREST else 1.8)
    upright(axis, marks or {})
    counts = sorted({len(l2) for l2, _ in cases.values()})
    axis.set(xlabel="L2 distance, pixels in [0, 1]", ylabel="images moved", xlim=(0, far), ylim=(0, 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside lower center", ncols=2, fontsize=9.5, title=f"images: {' or '.join(map(str, counts))}",
                  title_fontsize=9.5)
    return figure


@styled
def logit_histograms(cases: dict, xlabel: str = "winning logit", attacked_are: str = "attacked, misread") -> Figure:
    """Histograms of logits, a panel a system: natural images (filled) and attacked ones (outlined), which the legend
    calls `attacked_are`.

    cases: system -> (natural, attacked). The dotted line is the 5 % quantile of the natural ones.
    """
    if not cases:
        return blank("no rows yet for these attacks")
    figure = Plate(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots(1, len(cases), squeeze=False)[0]
    for axis, (name, (natural, attacked)) in zip(axes, cases.items()):
        both = np.concatenate([natural, attacked])
        bins = np.linspace(both.min(), both.max() + 1e-6, 31)
        axis.hist(natural, bins, weights=np.full(len(natural), 1 / len(natural)), color=FAINT, alpha=0.55,
                  label="natural")
        axis.hist(attacked, bins, weights=np.full(len(attacked), 1 / max(1, len(attacked))),
                  histtype="step", linewidth=2, color=look(name)["color"], label=attacked_are)
        axis.axvline(np.quantile(natural, 0.05), color=INK, linestyle=(0, (1, 2)), linewidth=1.2)
        axis.set(title=name, xlabel=xlabel)
        axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=9.5)
    axes[0].set_ylabel("share of each")
    return figure


@styled
def auc_by_class(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """AUC of each detector with its 95 % interval, and the printed number as a ring: a panel for each system
    (`variant`), on a common axis that is logarithmic in 1 - AUC; an AUC of 1 stands at PERFECT.

    rows, published: columns variant, class, value; rows also low and high.
    """
    systems = list(dict.fromkeys(rows.variant))
    if not systems:
        return blank("no rows yet for the AUC of detectors")
    paint = look("GAT")
    figure = Plate(figsize=(6.4, 3.3), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)
    for axis, system in zip(figure.subplots(1, len(systems), squeeze=False, sharex=True, sharey=True)[0], systems):
        found = rows[rows.variant == system]
        place = found["class"].astype(int)
        axis.hlines(place, _missed(found.low), _missed(found.high), color=paint["color"], linewidth=2.4, alpha=0.5)
        axis.plot(_missed(found.value), place, **paint | {"linestyle": "none", "label": "ours (95 %)"})
        if published is not None and len(there := published[published.variant == system]):
            axis.plot(_missed(there.value), there["class"].astype(int), **RING, label="published")
        axis.set(title=NAMES.get(system, system), xlabel="AUC under attack", yticks=range(10), ylim=(9.6, -0.6))
        axis.grid(True, axis="both")
    ends = np.concatenate([axis.dataLim.intervalx for axis in figure.axes])
    axis.set(xscale="log", xlim=(1.6 * ends.max(), ends.min() / 1.6))       # the better, the farther to the right
    ticks = [tick for tick in (0.5, 0.1, 0.01, 0.001, 1e-4, PERFECT) if ends.min() / 1.6 <= tick <= 1.6 * ends.max()]
    axis.set_xticks(ticks, [f"{1 - tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    figure.axes[0].set_ylabel("detector of class")
    handles = {label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=2)
    return figure


def _missed(auc: pd.Series) -> pd.Series:
    """Share of the pairs that are ranked wrongly."""
    return (1 - auc).clip(lower=PERFECT)


@styled
def logit_ranges(kinds: dict, thresholds: dict[str, float]) -> Figure:
    """From the 5 % to the 95 % quantile of the largest detector logit, with its median, a line for each kind of image.

    kinds: name -> logits. thresholds: label -> logit (at most two), drawn upright.
    """
    if not kinds:
        return blank("no rows yet for strangers")
    figure = Plate(figsize=(6.4, 1.2 + 0.36 * len(kinds)), layout="constrained")
    axis, places = figure.subplots(), range(len(kinds))[::-1]
    for place, (name, logits) in zip(places, kinds.items()):
        low, middle, high = np.quantile(logits, [0.05, 0.5, 0.95])
        color = look("GAT-generative")["color"] if place == places[0] else INK
        axis.plot([low, high], [place, place], color=color, linewidth=5, alpha=0.45, solid_capstyle="butt")
        axis.plot([middle], [place], marker="|", markersize=13, markeredgewidth=2.4, color=color)
        axis.plot([logits.max()], [place], marker="o", markersize=4, color=color, markeredgecolor=GROUND)
    upright(axis, thresholds)
    axis.set(yticks=places, yticklabels=list(kinds), xlabel="largest detector logit", ylim=(-0.6, len(kinds) - 0.4))
    axis.grid(True, axis="x")
    return figure
