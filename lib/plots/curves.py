"""Curves and dots drawn from tidy rows: accuracy, detection and distortion, each with its 95 % interval over images.

Every function takes rows with the columns of `lib.results` (model, attack, eps, metric, value, low, high, n), draws the
rows of its metric and returns a Figure. Two rows for one mark are an error (the caller has not said which it means);
no row at all gives a strip that says so, because rows arrive unit by unit.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MultipleLocator, NullLocator, PercentFormatter

from lib.plots.palette import FAINT, GROUND, INK, NAMES, Plate, blank, look, ordered, styled


def pick(rows: pd.DataFrame, metric: str, key: list[str]) -> pd.DataFrame:
    """Rows of one metric, at most one for each value of the columns `key`; ValueError names the first pair."""
    found = rows[rows.metric == metric].dropna(subset="value")
    twice = found[found.duplicated(key, keep=False)]
    if len(twice):
        first = twice.iloc[0][key].to_dict()
        raise ValueError(f"{metric}: several rows for {first}; select one variant, seed and profile before drawing")
    return found


def panels(count: int, legend: bool = True, height: float = 2.7) -> tuple[Figure, list]:
    """A figure two panels wide with `count` axes; an odd last place, or a strip below, is left for the legend."""
    lines = (count + 1) // 2
    figure = Plate(figsize=(6.4, height * lines + (0.75 if legend and count % 2 == 0 else 0)), layout="constrained")
    figure.colours, figure.octree = 48, True        # bands upon bands have many shades that nobody needs
    axes = figure.subplots(lines, 2, squeeze=False, sharey=True).ravel()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, list(axes)


def legend(figure: Figure, axes: list, count: int, handles: list) -> None:
    """Put the key into the empty panel if there is one, else below all panels."""
    if count % 2:
        axes[count].legend(handles=handles, loc="center", ncols=2)
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))


def keys(models: list[str], published: bool = False) -> list[Line2D]:
    """Legend handles of the models, and of the hollow mark for a printed number."""
    handles = [Line2D([], [], **look(model)) for model in models]
    if published:
        handles.append(Line2D([], [], linestyle="none", marker="o", markerfacecolor="none", markeredgecolor=INK,
                              markersize=9, label="published"))
    return handles


def draw(axis, line: pd.DataFrame, x: str, model: str) -> None:
    """One model's line over column `x` with its interval as a band."""
    line = line.sort_values(x)
    axis.plot(line[x], line.value, clip_on=False, zorder=3, **look(model))
    axis.fill_between(line[x], line.low, line.high, color=look(model)["color"], alpha=0.14, linewidth=0, zorder=2)


def scale(axis, x: str, values: pd.Series) -> None:
    """Name the abscissa and put its ticks where a reader expects them: every 0.1 of eps, every c on a log scale."""
    axis.set_xlabel(x)
    if x == "c":
        axis.set_xscale("log")
        axis.xaxis.set(major_locator=FixedLocator(sorted(set(values))), minor_locator=NullLocator(),
                       major_formatter=FuncFormatter(lambda value, _: f"{value:g}"))
    elif values.max() >= 0.2:
        axis.xaxis.set_major_locator(MultipleLocator(0.1))


def rings(axis, published: pd.DataFrame | None, x: str) -> None:
    """Printed numbers as hollow marks in the model's colour."""
    for cell in ([] if published is None else published.itertuples()):
        axis.plot(getattr(cell, x), cell.value, marker=look(cell.model)["marker"], markersize=11, zorder=4,
                  markerfacecolor="none", markeredgecolor=look(cell.model)["color"], markeredgewidth=1.6)


@styled
def accuracy_against_eps(rows: pd.DataFrame, published: pd.DataFrame | None = None, metric: str = "accuracy") -> Figure:
    """Accuracy (fraction in [0, 1]) against the l-infinity radius, a panel for each attack, a line for each model.

    published: columns attack, model, eps, value; drawn as hollow marks. Rows of attack "clean" become
    the point at eps 0.
    """
    found = pick(rows, metric, ["model", "attack", "eps"])
    clean = found[found.attack == "clean"].assign(eps=0.0)
    attacks = [name for name in ("fgsm", "pgd", "mim") if name in set(found.attack)]
    attacks += sorted(set(found.attack) - {"fgsm", "pgd", "mim", "clean"})
    if not attacks:
        return blank(f"no rows yet for {metric} under an attack")
    figure, axes = panels(len(attacks))
    for axis, attack in zip(axes, attacks):
        lines = pd.concat([clean, found[found.attack == attack]])
        for model in ordered(found.model[found.attack == attack]):
            draw(axis, lines[lines.model == model], "eps", model)
        rings(axis, published if published is None else published[published.attack == attack], "eps")
        axis.set(title=NAMES.get(attack, attack), ylim=(0, 1))
        scale(axis, "eps", lines.eps)
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    for axis in axes[:len(attacks):2]:
        axis.set_ylabel("accuracy")
    legend(figure, axes, len(attacks), keys(ordered(found.model), published is not None and len(published) > 0))
    return figure


@styled
def detection_against(rows: pd.DataFrame, x: str = "eps", detectors: tuple = ("marginal", "logit", "kl"),
                      target: float = 0.05) -> Figure:
    """Share of successful attacks that each detector flags, against `x` ("eps", or "c" on a log axis).

    The dotted line is the false-positive rate asked for: a rate on it means that the detector sees nothing.
    """
    present = [name for name in detectors if f"detect_{name}" in set(rows.metric)]
    if not present:
        return blank("no rows yet for the detectors")
    figure, axes = panels(len(present))
    for axis, detector in zip(axes, present):
        found = pick(rows, f"detect_{detector}", ["model", x])
        for model in ordered(found.model):
            draw(axis, found[found.model == model], x, model)
        axis.axhline(target, color=INK, linestyle=(0, (1, 2)), linewidth=1)
        axis.set(title=NAMES.get(detector, detector), ylim=(0, 1))
        scale(axis, x, found[x])
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    for axis in axes[:len(present):2]:
        axis.set_ylabel("successes flagged")
    legend(figure, axes, len(present), keys(ordered(rows.model)))
    return figure


@styled
def accuracy_against_l2(rows: pd.DataFrame, metric: str = "accuracy", least: int = 10) -> Figure:
    """CW: accuracy against the mean l2 size of the successful perturbations, a line through the five c of each model.

    Needs rows of both metrics, accuracy (or `metric`) and l2, with a column `c`; a line joins its points in the order
    of c. A mean over fewer than `least` successes is drawn without its interval, which would be wider than the figure.
    """
    accuracy, size = (pick(rows, name, ["model", "c"]).set_index(["model", "c"]) for name in (metric, "l2"))
    both = accuracy.join(size[["value", "low", "high", "n"]], rsuffix="_l2", how="inner").reset_index().sort_values("c")
    both.loc[both.n_l2 < least, ["low_l2", "high_l2"]] = np.nan
    if both.empty:
        return blank("no rows yet for CW")
    figure = Plate(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    for model in ordered(both.model):
        line = both[both.model == model]
        axis.plot(line.value_l2, line.value, zorder=3, clip_on=False, **look(model))
        axis.errorbar(line.value_l2, line.value, fmt="none", ecolor=look(model)["color"], alpha=0.35, elinewidth=1.2,
                      xerr=[line.value_l2 - line.low_l2, line.high_l2 - line.value_l2],
                      yerr=[line.value - line.low, line.high - line.value])
    axis.set(xlabel="mean l2 of successful perturbations", ylabel="accuracy", ylim=(0, 1))
    axis.set_xlim(left=0)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(handles=keys(ordered(both.model)), loc="outside lower center", ncols=4)
    return figure


@styled
def beside(rows: pd.DataFrame, published: pd.DataFrame, metric: str, label: str) -> Figure:
    """Ours with its interval and the printed number as a hollow mark, a row for each model, a panel for each attack.

    published: columns attack, model, value. For what is printed as a table: minimum eps, accuracy up to an eps.
    """
    found = pick(rows, metric, ["model", "attack"])
    attacks = [name for name in ("fgsm", "pgd", "mim") if name in set(found.attack)]
    if not attacks:
        return blank(f"no rows yet for {metric}")
    models = ordered(found.model)[::-1]
    figure = Plate(figsize=(6.4, 0.9 + 0.33 * len(models)), layout="constrained")
    axes = figure.subplots(1, len(attacks), squeeze=False, sharex=True, sharey=True)[0]
    for axis, attack in zip(axes, attacks):
        for cell in found[found.attack == attack].itertuples():
            place, paint = models.index(cell.model), look(cell.model)
            axis.plot([cell.low, cell.high], [place, place], color=paint["color"], linewidth=2.4, alpha=0.5)
            axis.plot(cell.value, place, **{**paint, "linestyle": "none", "markersize": 7})
        for cell in published[published.attack == attack].itertuples():
            if cell.model in models:
                axis.plot(cell.value, models.index(cell.model), marker="o", markersize=12, markerfacecolor="none",
                          markeredgecolor=INK, markeredgewidth=1.3)
        axis.set(title=NAMES[attack], yticks=range(len(models)), yticklabels=models)
        axis.grid(True, axis="both")
    figure.supxlabel(label, fontsize=11)
    return figure


@styled
def shares(table: pd.DataFrame, label: str, title: str = "") -> Figure:
    """Grouped dots: index = model, a column for each way of measuring, values fractions in [0, 1].

    Ways are told apart by marker and grey, since a hue means a model; the first stands smallest, on top of the others.
    """
    if table.empty:
        return blank(f"no rows yet for {label}")
    figure = Plate(figsize=(6.4, 0.9 + 0.36 * len(table)), layout="constrained")
    axis = figure.subplots()
    places = range(len(table))[::-1]
    for i, (name, marker, fill) in enumerate(zip(table.columns, "osD^v", (INK, "#c9c4b7", GROUND, FAINT, GROUND))):
        axis.plot(table[name], places, marker, color=fill, markeredgecolor=INK, markersize=6 + 1.2 * i, label=name,
                  clip_on=False, zorder=9 - i)
    axis.hlines(places, table.min(axis=1), table.max(axis=1), color=FAINT, linewidth=1.2, zorder=1)
    axis.set(yticks=places, yticklabels=table.index, xlim=(0, 1), xlabel=label, title=title)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(True, axis="x")
    figure.legend(loc="outside lower center", ncols=min(3, len(table.columns)))
    return figure


@styled
def margins(found: dict, lost: dict[str, float]) -> Figure:
    """Cumulative distribution over images of the margin in nats, a line for each model.

    found: model -> margins. lost: label -> margin from which on a gradient is lost, drawn as upright lines.
    """
    if not found:
        return blank("no rows yet for clean images")
    figure = Plate(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for model in ordered(found):
        values, paint = sorted(found[model]), look(model)
        axis.step(values, [(i + 1) / len(values) for i in range(len(values))], where="post", color=paint["color"],
                  linestyle=paint["linestyle"], label=model)
    for label, nats in lost.items():
        axis.axvline(nats, color=INK, linestyle=(0, (1, 2)), linewidth=1.2)
        axis.text(nats, 1.02, label, ha="center", va="bottom", fontsize=10, transform=axis.get_xaxis_transform())
    axis.set(xlabel="margin of the true class, nats", ylabel="images with less", ylim=(0, 1))
    axis.set_xlim(-15, max([*lost.values(), *(max(values) for values in found.values())]) + 5)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside lower center", ncols=4)
    return figure
