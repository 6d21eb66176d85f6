"""Who is how many times as fast, and how a cost grows."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lib.plots.palette import FAINT, GROUND, INK, Plate, blank, styled

LOOKS = {  # by how the name of a way begins; the next of OTHERS where none fits
    "plain, no": ("#c98a2b", "^", ":"), "plain": (INK, "o", "-"), "ours, float32": ("#2f8f9d", "s", "--"),
    "ours, bfloat16, all": ("#3b3a94", "v", "--"), "ours, bfloat16": ("#d1452c", "D", "-")}
OTHERS = (("#7d1d3f", "v", "-."), (FAINT, "P", ":"))


@styled
def speedups(rows: pd.DataFrame, label: str, reference: str) -> Figure:
    """How many times as fast as the reference, on a log scale: a line for each value of the column `subject`, a mark
    for each variant, with a bar from the first to the last quartile."""
    rows = rows[(rows.metric == "speedup") & (rows.variant != reference)]
    if rows.empty:
        return blank("no rows yet for speed")
    places = {name: i for i, name in enumerate(reversed(list(dict.fromkeys(rows.subject))))}
    figure = Plate(figsize=(6.4, 1.2 + 0.45 * len(places)), layout="constrained")
    axis = figure.subplots()
    for (variant, part), paint in zip(rows.groupby("variant", sort=False), _paints(rows.variant)):
        height = part.subject.map(places)
        axis.hlines(height, part.low, part.high, color=paint["color"], linewidth=3, zorder=2)
        axis.plot(part.value, height, **paint | {"linestyle": "none"}, label=variant, zorder=3)
    axis.axvline(1, color=INK, linewidth=1)
    axis.set(yticks=list(places.values()), yticklabels=list(places), xscale="log", xlabel=label,
             ylim=(-0.6, len(places) - 0.4))
    _plain_numbers(axis.xaxis)
    axis.grid(True, axis="x")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled
def growth(panels: dict[str, pd.DataFrame], ordinate: dict[str, str]) -> Figure:
    """Lines on log scales, a panel for each name in `panels` (at most four): columns way, count, value, and low and
    high where there is a spread to draw.

    ordinate: what a panel's values are.
    """
    panels = {name: frame for name, frame in panels.items() if len(frame)}
    if not panels:
        return blank("no rows yet for growth")
    ways = list(dict.fromkeys(way for frame in panels.values() for way in frame.way))
    paints = dict(zip(ways, _paints(ways)))
    figure = Plate(figsize=(6.4, 2.7 * ((len(panels) + 1) // 2) + 0.5), layout="constrained")
    axes = figure.subplots((len(panels) + 1) // 2, 2, squeeze=False).ravel()
    for axis, (name, frame) in zip(axes, panels.items()):
        for way, part in frame.sort_values("count").groupby("way", sort=False):
            axis.plot(part["count"], part.value, **paints[way])
            if {"low", "high"} <= {*part}:
                axis.vlines(part["count"], part.low, part.high, color=paints[way]["color"], linewidth=3)
        axis.set(xscale="log", yscale="log", xlabel=name, ylabel=ordinate[name])
        axis.set_xticks(sorted(set(frame["count"])))
        axis.set_ylim(top=1.3 * frame.value.max())
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        _plain_numbers(axis.xaxis), _plain_numbers(axis.yaxis)
        axis.grid(True, axis="both")
    for axis in axes[len(panels):]:
        axis.set_axis_off()
    handles = [axes[0].plot([], [], **paints[way], label=way)[0] for way in ways]
    figure.legend(handles=handles, loc="outside lower center", ncols=1)
    return figure


def _paints(variants) -> list[dict]:
    """Keywords for `plot`, one for each variant in order of appearance."""
    spare, found = iter(OTHERS * 5), []
    for name in dict.fromkeys(variants):
        color, marker, line = (next((look for start, look in LOOKS.items() if name.startswith(start)), None)
                               or next(spare))
        found.append({"color": color, "marker": marker, "linestyle": line, "markersize": 7, "markeredgecolor": GROUND,
                      "markeredgewidth": 0.7})
    return found


def _plain_numbers(axis) -> None:
    axis.set(major_formatter=FuncFormatter(lambda value, _: f"{value:g}"), minor_formatter=NullFormatter())
